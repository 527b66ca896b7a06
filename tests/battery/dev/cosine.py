"""Features brought to unit length, their cosine with given directions, and how far it is from one."""

import numpy as np

from tests.battery.slips import Slip

PARAMETERS = ("W", "b")


def data(rng, dtype):
    d = rng.normal(size=(5, 3))
    return {"x": rng.normal(size=(5, 4)).astype(dtype), "W": rng.normal(size=(4, 3)).astype(dtype),
            "b": rng.normal(size=3).astype(dtype),
            "d": (d / np.linalg.norm(d, axis=1, keepdims=True)).astype(dtype)}


def loss(x, d, W, b):
    f = x @ W + b
    sq = (f * f).sum(axis=1, keepdims=True)
    r = np.sqrt(sq)
    u = f / r
    cos = (u * d).sum(axis=1)
    loss = np.mean((1 - cos) ** 2)
    return loss


def projected(x, d, W, b):
    f = x @ W + b
    r = np.linalg.norm(f, axis=1, keepdims=True)
    u = f / r
    cos = (u * d).sum(axis=1, keepdims=True)
    dcos = -2 * (1 - cos) / len(x)
    du = dcos * d
    df = (du - u * (u * du).sum(axis=1, keepdims=True)) / r
    dW = x.T @ df
    db = df.sum(axis=0)
    return {"W": dW, "b": db}


def quotient(x, d, W, b):
    f = x @ W + b
    sq = (f ** 2).sum(axis=1, keepdims=True)
    r = np.sqrt(sq)
    cos = (f / r * d).sum(axis=1)
    dcos = 2 * (cos - 1) / len(x)
    du = dcos[:, None] * d
    df = du / r
    dr = -(du * f).sum(axis=1, keepdims=True) / sq
    dsq = dr * 0.5 / r
    df = df + 2 * f * dsq
    dW = x.T @ df
    db = df.sum(axis=0)
    return {"W": dW, "b": db}


def matrices(x, d, W, b):
    dW, db = 0 * W, 0 * b
    for xi, di in zip(x, d):
        f = xi @ W + b
        r = np.sqrt(f @ f)
        u = f / r
        J = (np.eye(len(f)) - np.outer(u, u)) / r
        g = 2 / len(x) * (u @ di - 1) * (J @ di)
        dW = dW + np.outer(xi, g)
        db = db + g
    return {"W": dW, "b": db}


RIGHT = (projected, quotient, matrices)

SLIPS = (
    Slip("the length held constant", projected,
         ("df = (du - u * (u * du).sum(axis=1, keepdims=True)) / r", "df = du / r")),
    Slip("forgot to divide by the length", projected,
         ("df = (du - u * (u * du).sum(axis=1, keepdims=True)) / r",
          "df = du - u * (u * du).sum(axis=1, keepdims=True)")),
    Slip("plus the projection", projected, ("df = (du - u * (u * du).sum(axis=1, keepdims=True)) / r",
                                            "df = (du + u * (u * du).sum(axis=1, keepdims=True)) / r")),
    Slip("projection summed over the batch", projected,
         ("df = (du - u * (u * du).sum(axis=1, keepdims=True)) / r", "df = (du - u * (u * du).sum(axis=0)) / r")),
    Slip("projection not summed", projected,
         ("df = (du - u * (u * du).sum(axis=1, keepdims=True)) / r", "df = (du - u * (u * du)) / r")),
    Slip("f where u belongs", projected, ("df = (du - u * (u * du).sum(axis=1, keepdims=True)) / r",
                                          "df = (du - f * (f * du).sum(axis=1, keepdims=True)) / r")),
    Slip("forgot the minus of 1 - cos", projected, ("dcos = -2 * (1 - cos) / len(x)", "dcos = 2 * (1 - cos) / len(x)")),
    Slip("the square not derived", projected, ("dcos = -2 * (1 - cos) / len(x)", "dcos = -(1 - cos) ** 2 / len(x)")),
    Slip("forgot the outer square", projected,
         ("dcos = -2 * (1 - cos) / len(x)", "dcos = -np.ones_like(cos) / len(x)")),
    Slip("f where the direction belongs", projected, ("du = dcos * d", "du = dcos * f")),
    Slip("b averaged over the batch", projected, ("db = df.sum(axis=0)", "db = df.mean(axis=0)")),
    Slip("forgot the two of f f", quotient, ("df = df + 2 * f * dsq", "df = df + f * dsq")),
    Slip("the length's path overwrites", quotient, ("df = df + 2 * f * dsq", "df = 2 * f * dsq")),
    Slip("forgot the root's half", quotient, ("dsq = dr * 0.5 / r", "dsq = dr / r")),
    Slip("the root's derivative without the root", quotient, ("dsq = dr * 0.5 / r", "dsq = dr * 0.5 / sq")),
    Slip("1/r' is 1/r", quotient, ("dr = -(du * f).sum(axis=1, keepdims=True) / sq",
                                   "dr = -(du * f).sum(axis=1, keepdims=True) / r")),
    Slip("sign of 1/r'", quotient, ("dr = -(du * f).sum(axis=1, keepdims=True) / sq",
                                    "dr = (du * f).sum(axis=1, keepdims=True) / sq")),
    Slip("f for df in b", quotient, ("db = df.sum(axis=0)", "db = f.sum(axis=0)")),
    Slip("Jacobian without the division", matrices,
         ("J = (np.eye(len(f)) - np.outer(u, u)) / r", "J = np.eye(len(f)) - np.outer(u, u) / r")),
    Slip("last pair only", matrices, ("dW = dW + np.outer(xi, g)", "dW = np.outer(xi, g)"), ("db = db + g", "db = g")),
)
