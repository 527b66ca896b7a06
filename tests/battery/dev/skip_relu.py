"""Two relu layers of equal width, the second with a skip connection; weights decayed; one output."""

import numpy as np

from tests.battery.slips import Slip

PARAMETERS = ("W1", "b1", "W2", "b2", "w3")
lam = 0.05


def data(rng, dtype):
    return {"X": rng.normal(size=(6, 4)).astype(dtype), "y": rng.normal(size=6).astype(dtype),
            "W1": rng.normal(size=(4, 4)).astype(dtype), "b1": (0.5 * rng.normal(size=4)).astype(dtype),
            "W2": rng.normal(size=(4, 4)).astype(dtype), "b2": (0.5 * rng.normal(size=4)).astype(dtype),
            "w3": rng.normal(size=4).astype(dtype)}


def loss(X, y, W1, b1, W2, b2, w3):
    z1 = X @ W1 + b1
    h1 = np.maximum(z1, 0)
    z2 = h1 @ W2 + b2
    h2 = np.maximum(z2, 0)
    s = h1 + h2
    out = s @ w3
    fit = np.mean((out - y) ** 2)
    decay = lam * (np.sum(W1 ** 2) + np.sum(W2 ** 2))
    loss = fit + decay
    return loss


def careful(X, y, W1, b1, W2, b2, w3):
    n = X.shape[0]
    z1 = X @ W1 + b1
    h1 = np.maximum(z1, 0)
    z2 = h1 @ W2 + b2
    h2 = np.maximum(z2, 0)
    s = h1 + h2
    out = s @ w3
    dout = 2 / n * (out - y)
    dw3 = s.T @ dout
    ds = np.outer(dout, w3)
    dh2 = ds
    dz2 = dh2 * (z2 > 0)
    dW2 = h1.T @ dz2
    dW2 = dW2 + 2 * lam * W2
    db2 = dz2.sum(axis=0)
    dh1 = dz2 @ W2.T
    dh1 = dh1 + ds
    dz1 = dh1 * (z1 > 0)
    dW1 = X.T @ dz1
    dW1 = dW1 + 2 * lam * W1
    db1 = dz1.sum(axis=0)
    return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2, "w3": dw3}


def compact(X, y, W1, b1, W2, b2, w3):
    relu = lambda z: z * (z > 0)
    h1 = relu(X @ W1 + b1)
    h2 = relu(h1 @ W2 + b2)
    e = 2 * ((h1 + h2) @ w3 - y)[:, None] / len(y)
    d2 = e * w3 * (h2 > 0)
    d1 = (d2 @ W2.T + e * w3) * (h1 > 0)
    return {"w3": ((h1 + h2) * e).sum(0), "W2": h1.T @ d2 + 2 * lam * W2, "b2": d2.sum(0),
            "W1": X.T @ d1 + 2 * lam * W1, "b1": d1.sum(0)}


RIGHT = (careful, compact)

SLIPS = (
    Slip("forgot the skip", careful, ("dh1 = dh1 + ds", "")),
    Slip("only the skip", careful, ("dh1 = dz2 @ W2.T", "dh1 = 0 * h1")),
    Slip("the skip overwrites", careful, ("dh1 = dh1 + ds", "dh1 = ds")),
    Slip("forgot W2's transpose", careful, ("dh1 = dz2 @ W2.T", "dh1 = dz2 @ W2")),
    Slip("W1's gradient transposed", careful, ("dW1 = X.T @ dz1", "dW1 = dz1.T @ X")),
    Slip("mask of the sum instead of z2", careful, ("dz2 = dh2 * (z2 > 0)", "dz2 = dh2 * (s > 0)")),
    Slip("mask of the gradient", careful, ("dz2 = dh2 * (z2 > 0)", "dz2 = dh2 * (dh2 > 0)")),
    Slip("mask the wrong way round", careful, ("dz2 = dh2 * (z2 > 0)", "dz2 = dh2 * (z2 < 0)")),
    Slip("relu' is relu", careful, ("dz1 = dh1 * (z1 > 0)", "dz1 = dh1 * h1")),
    Slip("forgot the first relu", careful, ("dz1 = dh1 * (z1 > 0)", "dz1 = dh1")),
    Slip("the input instead of h1", careful, ("dW2 = h1.T @ dz2", "dW2 = X.T @ dz2")),
    Slip("dz1 instead of dz2", careful, ("db2 = dz2.sum(axis=0)", "db2 = (dh2 * (z1 > 0)).sum(axis=0)")),
    Slip("only h2 reaches w3", careful, ("dw3 = s.T @ dout", "dw3 = h2.T @ dout")),
    Slip("half the decay of W1", careful, ("dW1 = dW1 + 2 * lam * W1", "dW1 = dW1 + lam * W1")),
    Slip("W2 is not decayed", careful, ("dW2 = dW2 + 2 * lam * W2", "")),
    Slip("W2 decays W1", careful, ("dW2 = dW2 + 2 * lam * W2", "dW2 = dW2 + 2 * lam * W1")),
    Slip("w3 decayed as well", careful, ("dw3 = s.T @ dout", "dw3 = s.T @ dout + 2 * lam * w3")),
    Slip("W1 and W2 swapped", careful, ('return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2, "w3": dw3}',
                                        'return {"W1": dW2, "b1": db1, "W2": dW1, "b2": db2, "w3": dw3}')),
    Slip("biases swapped", careful, ('return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2, "w3": dw3}',
                                     'return {"W1": dW1, "b1": db2, "W2": dW2, "b2": db1, "w3": dw3}')),
    Slip("no skip, no relu", compact, ("d1 = (d2 @ W2.T + e * w3) * (h1 > 0)", "d1 = d2 @ W2.T")),
    Slip("W2 untransposed and half the error", compact,
         ("e = 2 * ((h1 + h2) @ w3 - y)[:, None] / len(y)", "e = ((h1 + h2) @ w3 - y)[:, None] / len(y)"),
         ("d1 = (d2 @ W2.T + e * w3) * (h1 > 0)", "d1 = (d2 @ W2 + e * w3) * (h1 > 0)")),
)
