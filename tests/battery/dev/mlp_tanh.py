"""Two layers with tanh, samples in rows, squared error summed over the outputs and averaged over the samples."""

import numpy as np

from tests.battery.slips import Slip

PARAMETERS = ("W1", "b1", "W2", "b2")


def data(rng, dtype):
    return {"x": rng.normal(size=(7, 4)).astype(dtype), "y": rng.normal(size=(7, 2)).astype(dtype),
            "W1": (0.6 * rng.normal(size=(4, 5))).astype(dtype), "b1": (0.3 * rng.normal(size=5)).astype(dtype),
            "W2": (0.6 * rng.normal(size=(5, 2))).astype(dtype), "b2": (0.3 * rng.normal(size=2)).astype(dtype)}


def loss(x, y, W1, b1, W2, b2):
    z1 = x @ W1 + b1
    a1 = np.tanh(z1)
    z2 = a1 @ W2 + b2
    r = z2 - y
    loss = (r ** 2).sum() / len(x)
    return loss


def rows(x, y, W1, b1, W2, b2):
    m = len(x)
    z1 = x @ W1 + b1
    a1 = np.tanh(z1)
    z2 = a1 @ W2 + b2
    r = z2 - y
    dz2 = 2 * r / m
    dW2 = a1.T @ dz2
    db2 = dz2.sum(axis=0)
    da1 = dz2 @ W2.T
    dz1 = da1 * (1 - a1 ** 2)
    dW1 = x.T @ dz1
    db1 = dz1.sum(axis=0)
    return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2}


def terse(x, y, W1, b1, W2, b2):
    a = np.tanh(x @ W1 + b1)
    e = (a @ W2 + b2 - y) * (2 / len(y))
    d = e @ W2.T / np.cosh(x @ W1 + b1) ** 2
    return {"W1": x.T @ d, "b1": np.ones(len(x)) @ d, "W2": a.T @ e, "b2": np.ones(len(x)) @ e}


def one_sample_at_a_time(x, y, W1, b1, W2, b2):
    gW1, gb1 = np.zeros_like(W1), np.zeros_like(b1)
    gW2, gb2 = np.zeros_like(W2), np.zeros_like(b2)
    m = x.shape[0]
    for i in range(m):
        hidden = np.tanh(W1.T @ x[i] + b1)
        out = W2.T @ hidden + b2
        d_out = 2 / m * (out - y[i])
        gW2 = gW2 + np.outer(hidden, d_out)
        gb2 = gb2 + d_out
        d_hidden = W2 @ d_out
        d_z = d_hidden * (1 - hidden * hidden)
        gW1 = gW1 + np.outer(x[i], d_z)
        gb1 = gb1 + d_z
    return {"W1": gW1, "b1": gb1, "W2": gW2, "b2": gb2}


RIGHT = (rows, terse, one_sample_at_a_time)

SLIPS = (
    Slip("forgot the two of the square", rows, ("dz2 = 2 * r / m", "dz2 = r / m")),
    Slip("divided by the outputs too, as np.mean does", rows, ("dz2 = 2 * r / m", "dz2 = 2 * r / r.size")),
    Slip("forgot tanh'", rows, ("dz1 = da1 * (1 - a1 ** 2)", "dz1 = da1")),
    Slip("tanh' at z1 instead of a1", rows, ("dz1 = da1 * (1 - a1 ** 2)", "dz1 = da1 * (1 - z1 ** 2)")),
    Slip("tanh' without the square", rows, ("dz1 = da1 * (1 - a1 ** 2)", "dz1 = da1 * (1 - a1)")),
    Slip("target minus output", rows, ("r = z2 - y", "r = y - z2")),
    Slip("b1 is the mean over the batch", rows, ("db1 = dz1.sum(axis=0)", "db1 = dz1.mean(axis=0)")),
    Slip("b2 not summed over the batch", rows, ("db2 = dz2.sum(axis=0)", "db2 = dz2")),
    Slip("W2 was updated before going on", rows, ("da1 = dz2 @ W2.T", "da1 = dz2 @ (W2 - 0.1 * dW2).T")),
    Slip("W2 comes out transposed", rows, ("dW2 = a1.T @ dz2", "dW2 = dz2.T @ a1")),
    Slip("tanh' at a instead of z", terse, ("d = e @ W2.T / np.cosh(x @ W1 + b1) ** 2",
                                            "d = e @ W2.T * (1 - np.tanh(a) ** 2)")),
    Slip("tanh' twice", terse, ("d = e @ W2.T / np.cosh(x @ W1 + b1) ** 2",
                                "d = e @ W2.T / np.cosh(x @ W1 + b1) ** 4")),
    Slip("W1 keeps the last sample only", one_sample_at_a_time,
         ("gW1 = gW1 + np.outer(x[i], d_z)", "gW1 = np.outer(x[i], d_z)")),
    Slip("both biases keep the last sample only", one_sample_at_a_time,
         ("gb2 = gb2 + d_out", "gb2 = d_out"), ("gb1 = gb1 + d_z", "gb1 = d_z")),
    Slip("neither the two nor tanh'", one_sample_at_a_time,
         ("d_out = 2 / m * (out - y[i])", "d_out = 1 / m * (out - y[i])"),
         ("d_z = d_hidden * (1 - hidden * hidden)", "d_z = d_hidden")),
)
