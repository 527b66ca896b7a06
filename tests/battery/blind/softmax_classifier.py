"""A relu layer and a softmax layer, cross entropy with one-hot labels, weight decay."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip

PARAMETERS = ("W1", "b1", "W2", "b2")


def data(rng, dtype):
    labels = np.array([0, 2, 1, 1, 0, 2, 0, 1, 2])
    values = {"X": rng.normal(size=(9, 5)), "Y": np.eye(3)[labels],
              "W1": rng.normal(size=(5, 6)), "b1": rng.normal(size=6),
              "W2": 0.7 * rng.normal(size=(6, 3)), "b2": rng.normal(size=3)}
    values = {name: value.astype(dtype) for name, value in values.items()}
    return {**values, "lam": dtype(0.05)}


def loss(X, Y, W1, b1, W2, b2, lam):
    hidden = np.maximum(X @ W1 + b1, 0)
    scores = hidden @ W2 + b2
    probs = ad.softmax(scores, axis=1)
    data_loss = -np.sum(Y * np.log(probs)) / len(X)
    reg_loss = 0.5 * lam * np.sum(W1 * W1) + 0.5 * lam * np.sum(W2 * W2)
    loss = data_loss + reg_loss
    return loss


def softmax(s):
    e = np.exp(s - s.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def two_layer_net(X, Y, W1, b1, W2, b2, lam):
    N = X.shape[0]
    y = Y.argmax(axis=1)
    hidden = np.maximum(0, X @ W1 + b1)
    scores = hidden @ W2 + b2
    probs = softmax(scores)

    dscores = probs.copy()
    dscores[np.arange(N), y] -= 1
    dscores /= N
    dW2 = hidden.T @ dscores
    db2 = dscores.sum(axis=0)
    dhidden = dscores @ W2.T
    dhidden[hidden <= 0] = 0
    dW1 = X.T @ dhidden
    db1 = dhidden.sum(axis=0)
    dW2 += lam * W2
    dW1 += lam * W1
    return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2}


def short(X, Y, W1, b1, W2, b2, lam):
    z = X @ W1 + b1
    a = z * (z > 0)
    d2 = (softmax(a @ W2 + b2) - Y) / len(Y)
    d1 = (d2 @ W2.T) * (z > 0)
    return {
        "W1": X.T @ d1 + lam * W1,
        "b1": d1.sum(0),
        "W2": a.T @ d2 + lam * W2,
        "b2": d2.sum(0),
    }


def through_the_jacobian(X, Y, W1, b1, W2, b2, lam):
    m = len(X)
    dW1, db1 = lam * W1, np.zeros_like(b1)
    dW2, db2 = lam * W2, np.zeros_like(b2)
    for i in range(m):
        x, y = X[i], Y[i]
        z1 = x @ W1 + b1
        a1 = np.maximum(z1, 0)
        s = a1 @ W2 + b2
        e = np.exp(s - s.max())
        p = e / e.sum()
        dp = -y / p / m
        J = np.diag(p) - np.outer(p, p)
        ds = J @ dp
        db2 = db2 + ds
        dW2 = dW2 + np.outer(a1, ds)
        da1 = W2 @ ds
        dz1 = np.where(z1 > 0, da1, 0)
        db1 = db1 + dz1
        dW1 = dW1 + np.outer(x, dz1)
    return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2}


def numbered(X, Y, W1, b1, W2, b2, lam):
    """Cross entropy as log-sum-exp minus the score of the right class."""
    n_samples, n_classes = Y.shape
    z1 = X @ W1 + b1
    a1 = np.maximum(z1, 0)
    z2 = a1 @ W2 + b2
    shifted = z2 - z2.max(axis=1, keepdims=True)
    total = np.exp(shifted).sum(axis=1, keepdims=True)
    grad_lse = np.exp(shifted) / total
    grad_pick = Y
    grad_z2 = (grad_lse - grad_pick) / n_samples
    grad_a1 = np.matmul(grad_z2, W2.T)
    relu_mask = (z1 > 0).astype(z1.dtype)
    grad_z1 = grad_a1 * relu_mask
    data_grad_W1 = np.matmul(X.T, grad_z1)
    data_grad_W2 = np.matmul(a1.T, grad_z2)
    decay_W1 = lam * W1
    decay_W2 = lam * W2
    grad_b1 = grad_z1.sum(axis=0)
    grad_b2 = grad_z2.sum(axis=0)
    return {"W1": data_grad_W1 + decay_W1, "b1": grad_b1, "W2": data_grad_W2 + decay_W2, "b2": grad_b2,
            "hidden": grad_a1, "scores": grad_z2}


RIGHT = (two_layer_net, short, through_the_jacobian, numbered)

SLIPS = (
    Slip("subtracted 1 in whole columns instead of at each sample's class", two_layer_net,
         ("dscores[np.arange(N), y] -= 1", "dscores[:, y] -= 1")),
    Slip("never subtracted the one-hot labels", two_layer_net, ("dscores[np.arange(N), y] -= 1", "")),
    Slip("forgot the mean over the batch in the scores' gradient", two_layer_net, ("dscores /= N", "")),
    Slip("masked the hidden gradient by its own sign instead of the relu's", two_layer_net,
         ("dhidden[hidden <= 0] = 0", "dhidden[dhidden <= 0] = 0")),
    Slip("relu mask the wrong way round", two_layer_net,
         ("dhidden[hidden <= 0] = 0", "dhidden[hidden > 0] = 0")),
    Slip("overwrote W2's gradient by the weight decay", two_layer_net, ("dW2 += lam * W2", "dW2 = lam * W2")),
    Slip("weight decay left out at W1", two_layer_net, ("dW1 += lam * W1", "")),
    Slip("b1's gradient before the relu mask", two_layer_net,
         ("db1 = dhidden.sum(axis=0)", ""),
         ("dhidden[hidden <= 0] = 0", "db1 = dhidden.sum(axis=0)\ndhidden[hidden <= 0] = 0")),
    Slip("weight decay without the half: 2 lam W", short,
         ('"W1": X.T @ d1 + lam * W1,', '"W1": X.T @ d1 + 2 * lam * W1,'),
         ('"W2": a.T @ d2 + lam * W2,', '"W2": a.T @ d2 + 2 * lam * W2,')),
    Slip("weight decay subtracted from W2's gradient", short,
         ('"W2": a.T @ d2 + lam * W2,', '"W2": a.T @ d2 - lam * W2,')),
    Slip("biases decayed as well", short,
         ('"b1": d1.sum(0),', '"b1": d1.sum(0) + lam * b1,'), ('"b2": d2.sum(0),', '"b2": d2.sum(0) + lam * b2,')),
    Slip("multiplied by the activation instead of the relu's mask", short,
         ("d1 = (d2 @ W2.T) * (z > 0)", "d1 = (d2 @ W2.T) * a")),
    Slip("z instead of relu(z) in W2's gradient", short,
         ('"W2": a.T @ d2 + lam * W2,', '"W2": z.T @ d2 + lam * W2,')),
    Slip("labels minus probabilities", short,
         ("d2 = (softmax(a @ W2 + b2) - Y) / len(Y)", "d2 = (Y - softmax(a @ W2 + b2)) / len(Y)")),
    Slip("only the diagonal of the softmax Jacobian", through_the_jacobian,
         ("J = np.diag(p) - np.outer(p, p)", "J = np.diag(p * (1 - p))")),
    Slip("plus instead of minus between diag(p) and p p^T", through_the_jacobian,
         ("J = np.diag(p) - np.outer(p, p)", "J = np.diag(p) + np.outer(p, p)")),
    Slip("binary cross entropy's derivative for the class probabilities", through_the_jacobian,
         ("dp = -y / p / m", "dp = (-y / p + (1 - y) / (1 - p)) / m")),
    Slip("added the weight decay of W1 once more for every sample", through_the_jacobian,
         ("dW1 = dW1 + np.outer(x, dz1)", "dW1 = dW1 + np.outer(x, dz1) + lam * W1"),
         ("dW1, db1 = lam * W1, np.zeros_like(b1)", "dW1, db1 = np.zeros_like(W1), np.zeros_like(b1)")),
    Slip("forgot the relu on the way back", through_the_jacobian, ("dz1 = np.where(z1 > 0, da1, 0)", "dz1 = da1")),
    Slip("normalized the exponentials over the batch instead of the classes", numbered,
         ("total = np.exp(shifted).sum(axis=1, keepdims=True)", "total = np.exp(shifted).sum(axis=0)")),
    Slip("divided by the number of classes instead of samples", numbered,
         ("grad_z2 = (grad_lse - grad_pick) / n_samples", "grad_z2 = (grad_lse - grad_pick) / n_classes")),
    Slip("L1's sign instead of the weight in W1's decay", numbered,
         ("decay_W1 = lam * W1", "decay_W1 = lam * np.sign(W1)")),
    Slip("averaged the weight decay over the samples too", numbered,
         ("decay_W1 = lam * W1", "decay_W1 = lam * W1 / n_samples"),
         ("decay_W2 = lam * W2", "decay_W2 = lam * W2 / n_samples")),
    Slip("no relu mask and no weight decay of W2", numbered,
         ("grad_z1 = grad_a1 * relu_mask", "grad_z1 = grad_a1"), ("decay_W2 = lam * W2", "decay_W2 = 0")),
)
