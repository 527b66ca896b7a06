"""Softmax regression on a hidden layer, with class weights, label smoothing and weight decay."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("W1", "b1", "W2", "b2")


def data(rng, dtype):
    def normal(*shape):
        return rng.normal(size=shape).astype(dtype)
    return {"X": normal(7, 5), "labels": np.array([2, 0, 1, 1, 2, 0, 2]),
            "weights": rng.uniform(0.5, 2.5, size=3).astype(dtype), "lam": np.asarray(0.3, dtype=dtype),
            "W1": normal(5, 4), "b1": normal(4), "W2": normal(4, 3), "b2": normal(3)}


def loss(X, labels, weights, lam, W1, b1, W2, b2):
    z1 = X @ W1 + b1
    a1 = ad.sigmoid(z1)
    z2 = a1 @ W2 + b2
    p = ad.softmax(z2, axis=1)
    q = 0.9 * np.eye(3)[labels] + 0.1 / 3
    w = weights[labels]
    ce = -np.sum(q * np.log(p), axis=1)
    fit = np.sum(w * ce) / np.sum(w)
    decay = lam / 2 * (np.sum(W1 ** 2) + np.sum(W2 ** 2))
    total = fit + decay
    return total


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def short(X, labels, weights, lam, W1, b1, W2, b2):
    a1 = sigmoid(X @ W1 + b1)
    p = softmax(a1 @ W2 + b2)
    q = 0.9 * np.eye(3)[labels] + 0.1 / 3
    w = weights[labels]
    delta2 = (p - q) * w[:, None] / w.sum()
    delta1 = delta2 @ W2.T * a1 * (1 - a1)
    W2_grad = a1.T @ delta2 + lam * W2
    W1_grad = X.T @ delta1 + lam * W1
    return {"W1": W1_grad, "b1": delta1.sum(0), "W2": W2_grad, "b2": delta2.sum(0)}


def through_the_log(X, labels, weights, lam, W1, b1, W2, b2):
    n, eps = len(labels), 0.1
    z1 = X @ W1 + b1
    a1 = sigmoid(z1)
    p = softmax(a1 @ W2 + b2)
    q = np.full(p.shape, eps / 3)
    q[np.arange(n), labels] += 1 - eps
    w = weights[labels]
    dce = w / np.sum(w)
    dp = -dce[:, None] * q / p
    dz2 = p * (dp - np.sum(dp * p, axis=1, keepdims=True))
    dW2 = a1.T @ dz2
    db2 = np.sum(dz2, axis=0)
    da1 = dz2 @ W2.T
    dz1 = da1 * sigmoid(z1) * sigmoid(-z1)
    dW1 = X.T @ dz1
    db1 = np.sum(dz1, axis=0)
    dW1 += lam * W1
    dW2 += lam * W2
    return {"dW1": dW1, "db1": db1, "dW2": dW2, "db2": db2, "z1": dz1, "z2": dz2}


def loop(X, labels, weights, lam, W1, b1, W2, b2):
    gW1, gW2 = lam * W1, lam * W2
    gb1, gb2 = np.zeros_like(b1), np.zeros_like(b2)
    mass = sum(weights[c] for c in labels)
    for x, c in zip(X, labels):
        hid = sigmoid(x @ W1 + b1)
        err = softmax(hid @ W2 + b2)
        err -= 0.1 / 3
        err[c] -= 0.9
        err *= weights[c] / mass
        back = W2 @ err
        back *= hid - hid ** 2
        gW2 += hid[:, None] * err
        gb2 += err
        gW1 += x[:, None] * back
        gb1 += back
    return {"W1": gW1, "b1": gb1, "W2": gW2, "b2": gb2}


RIGHT = (short, through_the_log, loop)

SLIPS = (
    Slip("hard labels in the error at z2", short,
         ("q = 0.9 * np.eye(3)[labels] + 0.1 / 3", "q = np.eye(3)[labels]"),
         label=label("wrong-operand wrong-local-rule wrong-argument", "z2 p ce labels", "softmax log multiply")),
    Slip("class weights forgotten", short,
         ("delta2 = (p - q) * w[:, None] / w.sum()", "delta2 = (p - q) / len(labels)"),
         label=label("missing-local-derivative wrong-operand wrong-local-rule", "fit ce w weights z2 p",
                     "multiply divide sum softmax")),
    Slip("divided by n, not by the sum of weights", short,
         ("delta2 = (p - q) * w[:, None] / w.sum()", "delta2 = (p - q) * w[:, None] / len(w)"),
         label=label("scale", "z2 p ce fit", "divide sum softmax log multiply negative")),
    Slip("weights along the classes, not by label", short,
         ("delta2 = (p - q) * w[:, None] / w.sum()", "delta2 = (p - q) * weights / w.sum()"),
         label=label("wrong-axis wrong-operand", "z2 p ce fit w weights", "multiply softmax log")),
    Slip("decay subtracted at W2", short,
         ("W2_grad = a1.T @ delta2 + lam * W2", "W2_grad = a1.T @ delta2 - lam * W2"),
         label=label("sign", "W2 decay", "square sum multiply add")),
    Slip("decay forgotten at W1", short, ("W1_grad = X.T @ delta1 + lam * W1", "W1_grad = X.T @ delta1"),
         label=label("missing-term dropped-path", "W1 decay", "square sum multiply add")),
    Slip("tanh' in place of sigmoid'", short,
         ("delta1 = delta2 @ W2.T * a1 * (1 - a1)", "delta1 = delta2 @ W2.T * (1 - a1 ** 2)"),
         label=label("wrong-local-rule", "z1 a1", "sigmoid")),
    Slip("two lam at W1 and at W2", through_the_log, ("dW1 += lam * W1", "dW1 += 2 * lam * W1"),
         ("dW2 += lam * W2", "dW2 += 2 * lam * W2"),
         label=label("scale", "W1 W2 decay lam", "square multiply sum divide add")),
    Slip("decay overwrites W2", through_the_log, ("dW2 += lam * W2", "dW2 = lam * W2"),
         label=label("overwritten-accumulation dropped-path", "W2 z2 decay", "matmul add square")),
    Slip("softmax derived as a sigmoid", through_the_log,
         ("dz2 = p * (dp - np.sum(dp * p, axis=1, keepdims=True))", "dz2 = p * (1 - p) * dp"),
         label=label("softmax-diagonal wrong-local-rule dropped-path", "z2 p", "softmax")),
    Slip("softmax's sum over the samples", through_the_log,
         ("dz2 = p * (dp - np.sum(dp * p, axis=1, keepdims=True))",
          "dz2 = p * (dp - np.sum(dp * p, axis=0, keepdims=True))"),
         label=label("wrong-axis softmax-diagonal", "z2 p", "softmax")),
    Slip("sigmoid for its derivative at z1", through_the_log,
         ("dz1 = da1 * sigmoid(z1) * sigmoid(-z1)", "dz1 = da1 * sigmoid(z1)"),
         label=label("wrong-local-rule missing-local-derivative", "z1 a1", "sigmoid")),
    Slip("minus of the log forgotten at p", through_the_log,
         ("dp = -dce[:, None] * q / p", "dp = dce[:, None] * q / p"),
         label=label("sign", "p ce fit z2", "negative log softmax sum multiply")),
    Slip("sigmoid' at the activation", through_the_log,
         ("dz1 = da1 * sigmoid(z1) * sigmoid(-z1)", "dz1 = da1 * sigmoid(a1) * sigmoid(-a1)"),
         label=label("wrong-argument", "z1 a1", "sigmoid")),
    Slip("error by the neighbouring class", loop, ("err[c] -= 0.9", "err[c - 1] -= 0.9"),
         label=label("scatter wrong-operand", "z2 p ce labels", "softmax log multiply")),
    Slip("decay on the bias b2 as well", loop,
         ("gb1, gb2 = np.zeros_like(b1), np.zeros_like(b2)", "gb1, gb2 = np.zeros_like(b1), lam * b2"),
         label=label("extra-term", "b2 decay z2", "add")),
    Slip("first layer through W2 after it was updated", loop, ("back = W2 @ err", "back = (W2 - 0.1 * gW2) @ err"),
         label=label("stale-value wrong-operand", "a1 W2 z2", "matmul")),
    Slip("b2 by the error without the class weights, W1 overwritten", loop,
         ("gb2 += err", "gb2 += err * mass / weights[c]"), ("gW1 += x[:, None] * back", "gW1 = x[:, None] * back"),
         label=label("two", "b2 z2 w weights fit ce W1 z1", "add multiply matmul divide sum")),
)
