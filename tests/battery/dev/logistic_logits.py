"""Logistic regression on logits, spelled with log1p and exp, weights decayed, the bias not."""

import numpy as np

from tests.battery.slips import Slip

PARAMETERS = ("w", "b")
lam = 0.2


def data(rng, dtype):
    return {"X": rng.normal(size=(8, 3)).astype(dtype), "y": (rng.random(8) < 0.5).astype(dtype),
            "w": rng.normal(size=3).astype(dtype), "b": dtype(rng.normal())}


def loss(X, y, w, b):
    t = X @ w + b
    e = np.exp(-t)
    u = np.log1p(e)
    nll = np.mean(u + t - y * t)
    decay = 0.5 * lam * np.sum(w * w)
    loss = nll + decay
    return loss


def textbook(X, y, w, b):
    m = len(y)
    s = 1 / (1 + np.exp(-(X @ w + b)))
    dt = (s - y) / m
    dw = X.T @ dt + lam * w
    db = np.sum(dt)
    return {"w": dw, "b": db}


def as_written(X, y, w, b):
    t = X @ w + b
    e = np.exp(-t)
    du = np.full(len(y), 1 / len(y))
    de = du / (1 + e)
    dt = -e * de
    dt = dt + (1 - y) * du
    dw = dt @ X
    dw = dw + lam * w
    return {"w": dw, "b": dt.sum()}


def loop(X, y, w, b):
    dw, db = 0 * w, 0.0
    for xi, yi in zip(X, y):
        pi = 1 / (1 + np.exp(-(xi @ w) - b))
        err = pi - yi
        dw = dw + err * xi
        db = db + err
    dw = dw / len(X)
    db = db / len(X)
    dw = dw + lam * w
    return {"w": dw, "b": db}


RIGHT = (textbook, as_written, loop)

SLIPS = (
    Slip("sigmoid' on top of s - y", textbook, ("dt = (s - y) / m", "dt = (s - y) * s * (1 - s) / m")),
    Slip("y - s", textbook, ("dt = (s - y) / m", "dt = (y - s) / m")),
    Slip("decay left out", textbook, ("dw = X.T @ dt + lam * w", "dw = X.T @ dt")),
    Slip("decay with the wrong sign", textbook, ("dw = X.T @ dt + lam * w", "dw = X.T @ dt - lam * w")),
    Slip("decay without its half", textbook, ("dw = X.T @ dt + lam * w", "dw = X.T @ dt + 2 * lam * w")),
    Slip("decay is the norm itself", textbook, ("dw = X.T @ dt + lam * w", "dw = X.T @ dt + 0.5 * lam * w ** 2")),
    Slip("the bias decayed too", textbook, ("db = np.sum(dt)", "db = np.sum(dt) + lam * b")),
    Slip("b is the mean once more", textbook, ("db = np.sum(dt)", "db = np.mean(dt)")),
    Slip("b for every sample", textbook, ("db = np.sum(dt)", "db = dt")),
    Slip("forgot the linear term", as_written, ("dt = dt + (1 - y) * du", "")),
    Slip("forgot the minus of exp(-t)", as_written, ("dt = -e * de", "dt = e * de")),
    Slip("forgot exp'", as_written, ("dt = -e * de", "dt = -de")),
    Slip("log1p' is 1 / e", as_written, ("de = du / (1 + e)", "de = du / e")),
    Slip("y where 1 - y belongs", as_written, ("dt = dt + (1 - y) * du", "dt = dt + y * du")),
    Slip("decay in every round", loop, ("dw = dw + err * xi", "dw = dw + err * xi + lam * w")),
    Slip("w overwritten in the loop", loop, ("dw = dw + err * xi", "dw = err * xi")),
    Slip("forgot 1/m for w", loop, ("dw = dw / len(X)", "")),
)
