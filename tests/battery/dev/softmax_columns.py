"""Softmax regression with a temperature, samples in columns, one-hot targets."""

import numpy as np

from tests.battery.slips import Slip

PARAMETERS = ("W", "b")
T = 2.5


def data(rng, dtype):
    K, m = 3, 6
    return {"X": rng.normal(size=(4, m)).astype(dtype), "Y": np.eye(K, dtype=dtype)[:, rng.integers(K, size=m)],
            "W": rng.normal(size=(K, 4)).astype(dtype), "b": (0.5 * rng.normal(size=(K, 1))).astype(dtype)}


def loss(X, Y, W, b):
    s = W @ X + b
    z = s / T
    e = np.exp(z)
    P = e / e.sum(axis=0, keepdims=True)
    L = np.log(P)
    loss = -(Y * L).sum() / X.shape[1]
    return loss


def short(X, Y, W, b):
    m = X.shape[1]
    E = np.exp((W @ X + b) / T)
    P = E / E.sum(axis=0)
    G = (P - Y) / m
    G = G / T
    dW = G @ X.T
    db = G.sum(axis=1, keepdims=True)
    return {"W": dW, "b": db}


def every_step(X, Y, W, b):
    m = X.shape[1]
    s = W @ X + b
    z = s / T
    e = np.exp(z)
    P = e / e.sum(axis=0, keepdims=True)
    dL = -Y / m
    dP = dL / P
    inner = (P * dP).sum(axis=0, keepdims=True)
    dz = P * (dP - inner)
    ds = dz / T
    dW = ds @ X.T
    db = ds.sum(axis=1, keepdims=True)
    return {"W": dW, "b": db}


def with_jacobians(X, Y, W, b):
    K, m = Y.shape
    dW = np.zeros((K, len(X)))
    db = np.zeros((K, 1))
    for i in range(m):
        x, y = X[:, i], Y[:, i]
        e = np.exp((W @ x + b[:, 0]) / T)
        p = e / np.sum(e)
        J = np.diag(p) - np.outer(p, p)
        dp = -y / p
        dz = J @ dp
        delta = dz / (T * m)
        dW += np.outer(delta, x)
        db[:, 0] += delta
    return {"W": dW, "b": db}


RIGHT = (short, every_step, with_jacobians)

SLIPS = (
    Slip("label minus probability", short, ("G = (P - Y) / m", "G = (Y - P) / m")),
    Slip("forgot the temperature", short, ("G = G / T", "G = G")),
    Slip("times the temperature", short, ("G = G / T", "G = G * T")),
    Slip("sum over the batch, not the mean", short, ("G = (P - Y) / m", "G = P - Y")),
    Slip("softmax' on top of p - y", short, ("G = (P - Y) / m", "G = P * (1 - P) * (P - Y) / m")),
    Slip("W transposed", short, ("dW = G @ X.T", "dW = X @ G.T")),
    Slip("b summed over the classes", short,
         ("db = G.sum(axis=1, keepdims=True)", "db = G.sum(axis=0, keepdims=True)")),
    Slip("the labels forgotten", short, ("G = (P - Y) / m", "G = P / m")),
    Slip("softmax' is p (1 - p)", every_step, ("dz = P * (dP - inner)", "dz = dP * P * (1 - P)")),
    Slip("the normaliser held constant", every_step, ("dz = P * (dP - inner)", "dz = P * dP")),
    Slip("softmax summed over the batch", every_step,
         ("inner = (P * dP).sum(axis=0, keepdims=True)", "inner = (P * dP).sum(axis=1, keepdims=True)")),
    Slip("the inner product with its sign flipped", every_step, ("dz = P * (dP - inner)", "dz = P * (dP + inner)")),
    Slip("times p where log' divides", every_step, ("dP = dL / P", "dP = dL * P")),
    Slip("softmax at the logits", every_step, ("dz = P * (dP - inner)", "dz = z * (dP - (z * dP).sum(axis=0))")),
    Slip("only the diagonal of the Jacobian", with_jacobians,
         ("J = np.diag(p) - np.outer(p, p)", "J = np.diag(p - p ** 2)")),
    Slip("the Jacobian is diag(p)", with_jacobians, ("J = np.diag(p) - np.outer(p, p)", "J = np.diag(p)")),
    Slip("b is overwritten by each sample", with_jacobians, ("db[:, 0] += delta", "db[:, 0] = delta")),
)
