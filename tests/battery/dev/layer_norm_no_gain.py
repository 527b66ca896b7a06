"""A linear layer, layer norm without gain, a linear read-out, squared error."""

import numpy as np

from tests.battery.slips import Slip

PARAMETERS = ("W", "v")
eps = 1e-3


def data(rng, dtype):
    return {"x": rng.normal(size=(6, 4)).astype(dtype), "y": rng.normal(size=6).astype(dtype),
            "W": rng.normal(size=(4, 5)).astype(dtype), "v": rng.normal(size=5).astype(dtype)}


def loss(x, y, W, v):
    z = x @ W
    mu = z.mean(axis=1, keepdims=True)
    c = z - mu
    var = (c ** 2).mean(axis=1, keepdims=True)
    s = np.sqrt(var + eps)
    n = c / s
    out = n @ v
    loss = ((out - y) ** 2).mean()
    return loss


def compact(x, y, W, v):
    z = x @ W
    s = np.sqrt(z.var(axis=1, keepdims=True) + eps)
    n = (z - z.mean(axis=1, keepdims=True)) / s
    dout = 2 * (n @ v - y) / len(y)
    dn = dout[:, None] * v
    p = dn - dn.mean(axis=1, keepdims=True)
    q = n * (dn * n).mean(axis=1, keepdims=True)
    dz = (p - q) / s
    return {"W": x.T @ dz, "v": n.T @ dout}


def in_full(x, y, W, v):
    m, k = len(x), len(v)
    z = x @ W
    mu = z.mean(axis=1, keepdims=True)
    c = z - mu
    var = (c ** 2).mean(axis=1, keepdims=True)
    s = np.sqrt(var + eps)
    n = c / s
    dout = 2 / m * (n @ v - y)
    dv = n.T @ dout
    dn = np.outer(dout, v)
    dc = dn / s
    ds = -(dn * c / s ** 2).sum(axis=1, keepdims=True)
    dvar = ds / (2 * s)
    dc = dc + dvar * 2 * c / k
    dmu = -dc.sum(axis=1, keepdims=True)
    dz = dc + dmu / k
    dW = x.T @ dz
    return {"W": dW, "v": dv}


def uncentred(x, y, W, v):
    """Takes z for c in the variance: centring at the end removes the difference."""
    z = x @ W
    k = z.shape[1]
    s = np.sqrt(z.var(axis=1, keepdims=True) + eps)
    c = z - z.mean(axis=1, keepdims=True)
    e = c @ v / s[:, 0] - y
    g = 2 / len(y) * np.outer(e, v)
    dc = g / s - z / k * (g * c).sum(axis=1, keepdims=True) / s ** 3
    dz = dc - dc.sum(axis=1, keepdims=True) / k
    return {"W": x.T @ dz, "v": (c / s).T @ e * 2 / len(y)}


RIGHT = (compact, in_full, uncentred)

SLIPS = (
    Slip("the mean held constant", in_full, ("dz = dc + dmu / k", "dz = dc")),
    Slip("the deviation held constant", in_full, ("dc = dc + dvar * 2 * c / k", "")),
    Slip("mean and deviation held constant", in_full, ("dc = dc + dvar * 2 * c / k", ""),
         ("dz = dc + dmu / k", "dz = dc")),
    Slip("the mean's gradient summed over the batch", in_full,
         ("dmu = -dc.sum(axis=1, keepdims=True)", "dmu = -dc.sum(axis=0, keepdims=True)")),
    Slip("s not summed", in_full, ("ds = -(dn * c / s ** 2).sum(axis=1, keepdims=True)", "ds = -(dn * c / s ** 2)")),
    Slip("the sign of 1/s", in_full, ("ds = -(dn * c / s ** 2).sum(axis=1, keepdims=True)",
                                      "ds = (dn * c / s ** 2).sum(axis=1, keepdims=True)")),
    Slip("1/s' without the square", in_full, ("ds = -(dn * c / s ** 2).sum(axis=1, keepdims=True)",
                                              "ds = -(dn * c / s).sum(axis=1, keepdims=True)")),
    Slip("n where c belongs", in_full, ("ds = -(dn * c / s ** 2).sum(axis=1, keepdims=True)",
                                        "ds = -(dn * n / s ** 2).sum(axis=1, keepdims=True)")),
    Slip("sqrt' without the half", in_full, ("dvar = ds / (2 * s)", "dvar = ds / s")),
    Slip("sqrt' times s", in_full, ("dvar = ds / (2 * s)", "dvar = ds * s / 2")),
    Slip("sqrt' at var", in_full, ("dvar = ds / (2 * s)", "dvar = ds / (2 * (var + eps))")),
    Slip("forgot sqrt'", in_full, ("dvar = ds / (2 * s)", "dvar = ds")),
    Slip("the variance is a sum", in_full, ("dc = dc + dvar * 2 * c / k", "dc = dc + dvar * 2 * c")),
    Slip("the second path overwrites the first", in_full, ("dc = dc + dvar * 2 * c / k", "dc = dvar * 2 * c / k")),
    Slip("mean over everything", compact,
         ("p = dn - dn.mean(axis=1, keepdims=True)", "p = dn - dn.mean()")),
    Slip("means over the batch, as batch norm has them", compact,
         ("p = dn - dn.mean(axis=1, keepdims=True)", "p = dn - dn.mean(axis=0)"),
         ("q = n * (dn * n).mean(axis=1, keepdims=True)", "q = n * (dn * n).mean(axis=0)")),
    Slip("projection left out", compact, ("dz = (p - q) / s", "dz = p / s")),
    Slip("forgot 1/s", compact, ("dz = (p - q) / s", "dz = p - q")),
)
