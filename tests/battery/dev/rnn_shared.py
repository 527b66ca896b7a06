"""A recurrent net: three steps that share their weights, states kept in a list, the last one read out."""

import numpy as np

from tests.battery.slips import Slip

PARAMETERS = ("Wx", "Wh", "b", "v")


def data(rng, dtype):
    return {**{name: rng.normal(size=(5, 2)).astype(dtype) for name in ("x1", "x2", "x3")},
            "y": rng.normal(size=5).astype(dtype),
            "h0": (0.5 * rng.normal(size=(5, 4))).astype(dtype), "Wx": rng.normal(size=(2, 4)).astype(dtype),
            "Wh": (0.7 * rng.normal(size=(4, 4))).astype(dtype), "b": (0.3 * rng.normal(size=4)).astype(dtype),
            "v": rng.normal(size=4).astype(dtype)}


def loss(x1, x2, x3, y, h0, Wx, Wh, b, v):
    x = [x1, x2, x3]
    hs = [h0]
    for t in range(3):
        a = x[t] @ Wx + hs[t] @ Wh + b
        h = np.tanh(a)
        hs.append(h)
    out = hs[-1] @ v
    loss = 0.5 * np.mean((out - y) ** 2)
    return loss


def through_time(x1, x2, x3, y, h0, Wx, Wh, b, v):
    x = [x1, x2, x3]
    hs = [h0]
    for t in range(3):
        hs.append(np.tanh(x[t] @ Wx + hs[t] @ Wh + b))
    dout = (hs[-1] @ v - y) / len(y)
    dv = hs[-1].T @ dout
    dh = dout[:, None] * v
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
    for t in reversed(range(3)):
        da = dh * (1 - hs[t + 1] ** 2)
        dWx = dWx + x[t].T @ da
        dWh = dWh + hs[t].T @ da
        db = db + da.sum(axis=0)
        dh = da @ Wh.T
    return {"Wx": dWx, "Wh": dWh, "b": db, "v": dv}


def unrolled(x1, x2, x3, y, h0, Wx, Wh, b, v):
    h1 = np.tanh(x1 @ Wx + h0 @ Wh + b)
    h2 = np.tanh(x2 @ Wx + h1 @ Wh + b)
    h3 = np.tanh(x3 @ Wx + h2 @ Wh + b)
    e = (h3 @ v - y) / len(y)
    g3 = np.outer(e, v) * (1 - h3 * h3)
    g2 = (g3 @ Wh.T) * (1 - h2 * h2)
    g1 = (g2 @ Wh.T) * (1 - h1 * h1)
    grads = {"v": e @ h3}
    grads["Wx"] = x1.T @ g1 + x2.T @ g2 + x3.T @ g3
    grads["Wh"] = h0.T @ g1 + h1.T @ g2 + h2.T @ g3
    grads["b"] = (g1 + g2 + g3).sum(axis=0)
    return grads


RIGHT = (through_time, unrolled)

SLIPS = (
    Slip("Wh overwritten at each step", through_time, ("dWh = dWh + hs[t].T @ da", "dWh = hs[t].T @ da")),
    Slip("everything overwritten at each step", through_time, ("dWx = dWx + x[t].T @ da", "dWx = x[t].T @ da"),
         ("dWh = dWh + hs[t].T @ da", "dWh = hs[t].T @ da"), ("db = db + da.sum(axis=0)", "db = da.sum(axis=0)")),
    Slip("b from one step only", through_time, ("db = db + da.sum(axis=0)", "db = da.sum(axis=0)")),
    Slip("the state held constant", through_time, ("dh = da @ Wh.T", "dh = 0 * da")),
    Slip("the new state instead of the old", through_time,
         ("dWh = dWh + hs[t].T @ da", "dWh = dWh + hs[t + 1].T @ da")),
    Slip("h0 at every step", through_time, ("dWh = dWh + hs[t].T @ da", "dWh = dWh + h0.T @ da")),
    Slip("tanh' at the old state", through_time, ("da = dh * (1 - hs[t + 1] ** 2)", "da = dh * (1 - hs[t] ** 2)")),
    Slip("tanh' at the last state", through_time, ("da = dh * (1 - hs[t + 1] ** 2)", "da = dh * (1 - hs[-1] ** 2)")),
    Slip("no tanh' at any step", through_time, ("da = dh * (1 - hs[t + 1] ** 2)", "da = dh")),
    Slip("Wh not transposed", through_time, ("dh = da @ Wh.T", "dh = da @ Wh")),
    Slip("Wh's gradient transposed", through_time, ("dWh = dWh + hs[t].T @ da", "dWh = dWh + da.T @ hs[t]")),
    Slip("no mean over the batch", through_time, ("dout = (hs[-1] @ v - y) / len(y)", "dout = hs[-1] @ v - y")),
    Slip("first input forgotten", unrolled, ('grads["Wx"] = x1.T @ g1 + x2.T @ g2 + x3.T @ g3',
                                             'grads["Wx"] = x2.T @ g2 + x3.T @ g3')),
    Slip("inputs in the wrong order", unrolled, ('grads["Wx"] = x1.T @ g1 + x2.T @ g2 + x3.T @ g3',
                                                 'grads["Wx"] = x3.T @ g1 + x2.T @ g2 + x1.T @ g3')),
    Slip("b added over neither steps nor samples", unrolled, ('grads["b"] = (g1 + g2 + g3).sum(axis=0)',
                                                              'grads["b"] = g1 + g2 + g3')),
    Slip("no tanh' in the middle", unrolled, ("g2 = (g3 @ Wh.T) * (1 - h2 * h2)", "g2 = g3 @ Wh.T")),
    Slip("Wh was updated halfway", unrolled,
         ("g1 = (g2 @ Wh.T) * (1 - h1 * h1)", "g1 = (g2 @ (Wh - 0.1 * h2.T @ g3).T) * (1 - h1 * h1)")),
)
