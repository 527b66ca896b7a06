"""A one-dimensional convolution written with slices: a trained offset in front, sigmoid, weighted read-out."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip

PARAMETERS = ("s", "k", "b", "w")


def data(rng, dtype):
    return {"x": rng.normal(size=(4, 8)).astype(dtype), "y": rng.normal(size=4).astype(dtype),
            "s": (0.5 * rng.normal(size=8)).astype(dtype), "k": rng.normal(size=3).astype(dtype),
            "b": dtype(0.5 * rng.normal()), "w": rng.normal(size=6).astype(dtype)}


def loss(x, y, s, k, b, w):
    u = x + s
    z = k[0] * u[:, 0:6] + k[1] * u[:, 1:7] + k[2] * u[:, 2:8] + b
    a = ad.sigmoid(z)
    out = a @ w
    loss = 0.5 * ((out - y) ** 2).sum()
    return loss


def by_taps(x, y, s, k, b, w):
    u = x + s
    z = sum(k[j] * u[:, j:j + 6] for j in range(3)) + b
    a = 1 / (1 + np.exp(-z))
    err = a @ w - y
    dw = a.T @ err
    da = err[:, None] * w
    dz = da * a * (1 - a)
    db = dz.sum()
    dk = np.array([(dz * u[:, j:j + 6]).sum() for j in range(3)])
    du = np.zeros(u.shape)
    for j in range(3):
        du[:, j:j + 6] += k[j] * dz
    ds = du.sum(axis=0)
    return {"s": ds, "k": dk, "b": db, "w": dw}


def by_padding(x, y, s, k, b, w):
    u = x + s
    a = ad.sigmoid(k[0] * u[:, :6] + k[1] * u[:, 1:7] + k[2] * u[:, 2:] + b)
    e = a @ w - y
    g = np.outer(e, w) * (a - a ** 2)
    p = np.pad(g, ((0, 0), (2, 2)))
    du = k[0] * p[:, 2:] + k[1] * p[:, 1:-1] + k[2] * p[:, :-2]
    k0, k1, k2 = np.sum(g * u[:, :6]), np.sum(g * u[:, 1:7]), np.sum(g * u[:, 2:])
    return {"s": du.sum(axis=0), "k": np.stack([k0, k1, k2]), "b": g.sum(), "w": e @ a}


def by_windows(x, y, s, k, b, w):
    ds, dk, db, dw = np.zeros(8), np.zeros(3), 0.0, np.zeros(6)
    for n in range(len(x)):
        row = x[n] + s
        a = np.array([1 / (1 + np.exp(-(row[i:i + 3] @ k + b))) for i in range(6)])
        e = a @ w - y[n]
        dw += e * a
        for i in range(6):
            d = e * w[i] * a[i] * (1 - a[i])
            dk += d * row[i:i + 3]
            db += d
            ds[i:i + 3] += d * k
    return {"s": ds, "k": dk, "b": db, "w": dw}


RIGHT = (by_taps, by_padding, by_windows)

SLIPS = (
    Slip("forgot sigmoid'", by_taps, ("dz = da * a * (1 - a)", "dz = da")),
    Slip("sigmoid' at z", by_taps, ("dz = da * a * (1 - a)", "dz = da * z * (1 - z)")),
    Slip("sigmoid' of a", by_taps, ("dz = da * a * (1 - a)", "dz = da * np.exp(-a) / (1 + np.exp(-a)) ** 2")),
    Slip("sigmoid' is 1 - a", by_taps, ("dz = da * a * (1 - a)", "dz = da * (1 - a)")),
    Slip("tanh' for sigmoid'", by_taps, ("dz = da * a * (1 - a)", "dz = da * (1 - a ** 2)")),
    Slip("slices overwrite", by_taps, ("du[:, j:j + 6] += k[j] * dz", "du[:, j:j + 6] = k[j] * dz")),
    Slip("slices all at the front", by_taps, ("du[:, j:j + 6] += k[j] * dz", "du[:, 0:6] += k[j] * dz")),
    Slip("kernel flipped", by_taps, ("du[:, j:j + 6] += k[j] * dz", "du[:, j:j + 6] += k[2 - j] * dz")),
    Slip("k from the raw input", by_taps, ("dk = np.array([(dz * u[:, j:j + 6]).sum() for j in range(3)])",
                                           "dk = np.array([(dz * x[:, j:j + 6]).sum() for j in range(3)])")),
    Slip("k's taps backwards", by_taps, ("dk = np.array([(dz * u[:, j:j + 6]).sum() for j in range(3)])",
                                         "dk = np.array([(dz * u[:, 2 - j:8 - j]).sum() for j in range(3)])")),
    Slip("s is not summed over the samples", by_taps, ("ds = du.sum(axis=0)", "ds = du")),
    Slip("s of the first sample", by_taps, ("ds = du.sum(axis=0)", "ds = du[0]")),
    Slip("b summed over positions only", by_taps, ("db = dz.sum()", "db = dz.sum(axis=1)")),
    Slip("sigmoid' twice", by_padding, ("g = np.outer(e, w) * (a - a ** 2)", "g = np.outer(e, w) * (a - a ** 2) ** 2")),
    Slip("sigmoid' with a plus", by_padding,
         ("g = np.outer(e, w) * (a - a ** 2)", "g = np.outer(e, w) * (a + a ** 2)")),
    Slip("last tap's path forgotten", by_padding,
         ("du = k[0] * p[:, 2:] + k[1] * p[:, 1:-1] + k[2] * p[:, :-2]", "du = k[0] * p[:, 2:] + k[1] * p[:, 1:-1]")),
    Slip("padding on the wrong side", by_padding,
         ("du = k[0] * p[:, 2:] + k[1] * p[:, 1:-1] + k[2] * p[:, :-2]",
          "du = k[0] * p[:, :-2] + k[1] * p[:, 1:-1] + k[2] * p[:, 2:]")),
    Slip("window shifted", by_windows, ("ds[i:i + 3] += d * k", "ds[i + 1:i + 3] += d * k[:-1]")),
    Slip("window's centre only", by_windows, ("ds[i:i + 3] += d * k", "ds[i + 1] += d * k[1]")),
    Slip("k overwritten by each window", by_windows, ("dk += d * row[i:i + 3]", "dk = d * row[i:i + 3]")),
)
