"""An LSTM over a series of steps, gates stacked in one matrix, squared error of what is read out at the end."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("W", "b", "V")


def data(rng, dtype):
    return {"x": rng.normal(size=(4, 3, 2)).astype(dtype), "y": rng.normal(size=(3, 6)).astype(dtype),
            "h0": rng.normal(size=(3, 5)).astype(dtype), "c0": rng.normal(size=(3, 5)).astype(dtype),
            "W": (0.5 * rng.normal(size=(7, 20))).astype(dtype), "b": (0.3 * rng.normal(size=20)).astype(dtype),
            "V": (0.7 * rng.normal(size=(5, 6))).astype(dtype)}


def loss(x, y, h0, c0, W, b, V):
    n = 5
    h, c = h0, c0
    for t in range(4):
        z = np.concatenate([x[t], h], axis=1) @ W + b
        i = ad.sigmoid(z[:, :n])
        f = ad.sigmoid(z[:, n:2 * n])
        o = ad.sigmoid(z[:, 2 * n:3 * n])
        g = np.tanh(z[:, 3 * n:])
        c = f * c + i * g
        u = np.tanh(c)
        h = o * u
    e = h @ V - y
    loss = (e ** 2).sum() / 3
    return loss


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def list_of_caches(x, y, h0, c0, W, b, V):
    T, B, D = x.shape
    H = h0.shape[1]
    h, c = h0, c0
    caches = []
    for t in range(T):
        xh = np.concatenate([x[t], h], axis=1)
        z = xh @ W + b
        i, f, o = sigmoid(z[:, :H]), sigmoid(z[:, H:2 * H]), sigmoid(z[:, 2 * H:3 * H])
        g = np.tanh(z[:, 3 * H:])
        c_prev = c
        c = f * c_prev + i * g
        h = o * np.tanh(c)
        caches.append((xh, i, f, o, g, c_prev, c))
    dout = 2 * (h @ V - y) / B
    dV = h.T @ dout
    dh = dout @ V.T
    dc = np.zeros_like(c0)
    dW = np.zeros_like(W)
    db = np.zeros_like(b)
    for t in reversed(range(T)):
        xh, i, f, o, g, c_prev, c = caches[t]
        tc = np.tanh(c)
        do = dh * tc
        dc = dc + dh * o * (1 - tc ** 2)
        di = dc * g
        dg = dc * i
        df = dc * c_prev
        dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g ** 2)], axis=1)
        dW += xh.T @ dz
        db += dz.sum(axis=0)
        dxh = dz @ W.T
        dh = dxh[:, D:]
        dc = dc * f
    return {"W": dW, "b": db, "V": dV}


def dicts_in_place(x, y, h0, c0, W, b, V):
    T, B, D = x.shape
    H = h0.shape[1]
    hs, cs, gates = {-1: h0}, {-1: c0}, {}
    for t in range(T):
        gates[t] = np.hstack([x[t], hs[t - 1]]) @ W + b
        gates[t][:, :3 * H] = sigmoid(gates[t][:, :3 * H])
        gates[t][:, 3 * H:] = np.tanh(gates[t][:, 3 * H:])
        cs[t] = gates[t][:, H:2 * H] * cs[t - 1] + gates[t][:, :H] * gates[t][:, 3 * H:]
        hs[t] = gates[t][:, 2 * H:3 * H] * np.tanh(cs[t])
    err = (hs[T - 1] @ V - y) * 2 / B
    grads = {"W": 0 * W, "b": 0 * b, "V": hs[T - 1].T @ err}
    dh = err @ V.T
    dc = 0 * c0
    for t in range(T - 1, -1, -1):
        i, f, o, g = np.split(gates[t], 4, axis=1)
        dc += dh * o * (1 - np.tanh(cs[t]) ** 2)
        da = np.empty_like(gates[t])
        da[:, :H] = dc * g
        da[:, H:2 * H] = dc * cs[t - 1]
        da[:, 2 * H:3 * H] = dh * np.tanh(cs[t])
        da[:, 3 * H:] = dc * i
        da[:, :3 * H] *= gates[t][:, :3 * H] * (1 - gates[t][:, :3 * H])
        da[:, 3 * H:] *= 1 - g ** 2
        grads["W"][:D] += x[t].T @ da
        grads["W"][D:] += hs[t - 1].T @ da
        grads["b"] += da.sum(0)
        dh = da @ W[D:].T
        dc *= f
    return grads


RIGHT = (list_of_caches, dicts_in_place)

SLIPS = (
    Slip("forget gate left out of the cell's carry", list_of_caches, ("dc = dc * f", ""),
         label=label("missing-local-derivative dropped-path wrong-operand", "c f", "multiply")),
    Slip("cell's gradient does not come from the step after", list_of_caches,
         ("dc = dc + dh * o * (1 - tc ** 2)", "dc = dh * o * (1 - tc ** 2)"),
         label=label("dropped-path overwritten-accumulation treated-as-constant", "c", "multiply add")),
    Slip("carry through the input gate", list_of_caches, ("dc = dc * f", "dc = dc * i"),
         label=label("wrong-operand wrong-argument", "c f i", "multiply")),
    Slip("cache holds the cell after the step twice", list_of_caches,
         ("caches.append((xh, i, f, o, g, c_prev, c))", "caches.append((xh, i, f, o, g, c, c))"),
         label=label("wrong-operand stale-value", "c f", "multiply")),
    Slip("cache of the step before", list_of_caches,
         ("xh, i, f, o, g, c_prev, c = caches[t]", "xh, i, f, o, g, c_prev, c = caches[t - 1]"),
         label=label("wrong-operand stale-value wrong-argument scatter two", "z h c i f o g u W")),
    Slip("tanh of the cell before", list_of_caches, ("tc = np.tanh(c)", "tc = np.tanh(c_prev)"),
         label=label("wrong-argument wrong-operand stale-value", "u c h o", "tanh multiply")),
    Slip("no tanh' at the cell", list_of_caches,
         ("dc = dc + dh * o * (1 - tc ** 2)", "dc = dc + dh * o"),
         label=label("missing-local-derivative", "u c", "tanh")),
    Slip("tanh' at c, not at tanh c", list_of_caches,
         ("dc = dc + dh * o * (1 - tc ** 2)", "dc = dc + dh * o * (1 - c ** 2)"),
         label=label("wrong-argument wrong-local-rule", "u c", "tanh")),
    Slip("loop ends before the first step", list_of_caches,
         ("for t in reversed(range(T)):", "for t in reversed(range(1, T)):"),
         label=label("dropped-path", "W b z h c", "matmul add getitem concatenate")),
    Slip("loop starts one step late", list_of_caches,
         ("for t in reversed(range(T)):", "for t in reversed(range(T - 1)):"),
         label=label("dropped-path", "W b z h c", "matmul add getitem concatenate multiply")),
    Slip("steps taken forwards", list_of_caches, ("for t in reversed(range(T)):", "for t in range(T):"),
         label=label("wrong-axis scatter wrong-operand stale-value", "W b z h c", "matmul add")),
    Slip("b overwritten at each step", list_of_caches, ("db += dz.sum(axis=0)", "db = dz.sum(axis=0)"),
         label=label("overwritten-accumulation dropped-path", "b z", "add")),
    Slip("part of x handed on as that of h", list_of_caches, ("dh = dxh[:, D:]", "dh = dxh[:, :H]"),
         label=label("scatter wrong-operand wrong-axis", "h z", "concatenate")),
    Slip("sigmoid' of the wrong gate", list_of_caches,
         ("dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g ** 2)], axis=1)",
          "dz = np.concatenate([di * i * (1 - i), df * f * (1 - i), do * o * (1 - o), dg * (1 - g ** 2)], axis=1)"),
         label=label("wrong-argument wrong-operand wrong-local-rule", "f z i", "sigmoid")),
    Slip("sigmoid' for the candidate too", list_of_caches,
         ("dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g ** 2)], axis=1)",
          "dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * g * (1 - g)], axis=1)"),
         label=label("wrong-local-rule", "g z", "tanh")),
    Slip("input gate and candidate exchanged in di", list_of_caches, ("di = dc * g", "di = dc * i"),
         label=label("wrong-operand missing-local-derivative", "i c g", "multiply")),
    Slip("no two, and b averaged over the batch", list_of_caches,
         ("dout = 2 * (h @ V - y) / B", "dout = (h @ V - y) / B"),
         ("db += dz.sum(axis=0)", "db += dz.mean(axis=0)"),
         label=label("two", "e loss b z", "square add")),
    Slip("dV with the state before last", list_of_caches, ("dV = h.T @ dout", "dV = caches[-1][0][:, D:].T @ dout"),
         label=label("wrong-operand stale-value", "V e h", "matmul")),
    Slip("candidate squashed by the sigmoid in the recomputed forward", list_of_caches,
         ("g = np.tanh(z[:, 3 * H:])", "g = sigmoid(z[:, 3 * H:])"),
         label=label("wrong-local-rule wrong-operand wrong-argument", "g z c", "tanh")),
    Slip("h at index t of the step itself", dicts_in_place,
         ('grads["W"][D:] += hs[t - 1].T @ da', 'grads["W"][D:] += hs[t].T @ da'),
         label=label("wrong-operand stale-value", "W h z", "matmul concatenate")),
    Slip("rows of x and of h of W exchanged in the carry", dicts_in_place,
         ("dh = da @ W[D:].T", "dh = da @ W[:H].T"),
         label=label("scatter wrong-operand wrong-axis", "h z W", "matmul concatenate")),
    Slip("dc with the cell before it", dicts_in_place,
         ("dc += dh * o * (1 - np.tanh(cs[t]) ** 2)", "dc += dh * o * (1 - np.tanh(cs[t - 1]) ** 2)"),
         label=label("wrong-argument wrong-operand stale-value", "u c", "tanh")),
    Slip("forget gate times the new cell", dicts_in_place,
         ("da[:, H:2 * H] = dc * cs[t - 1]", "da[:, H:2 * H] = dc * cs[t]"),
         label=label("wrong-operand stale-value", "f c", "multiply")),
    Slip("sigmoid' on the first two gates only", dicts_in_place,
         ("da[:, :3 * H] *= gates[t][:, :3 * H] * (1 - gates[t][:, :3 * H])",
          "da[:, :2 * H] *= gates[t][:, :2 * H] * (1 - gates[t][:, :2 * H])"),
         label=label("missing-local-derivative", "o z", "sigmoid")),
    Slip("candidate's slice also squashed as a gate", dicts_in_place, ("da[:, 3 * H:] *= 1 - g ** 2", ""),
         label=label("missing-local-derivative", "g z", "tanh")),
    Slip("dc set to zero at each step", dicts_in_place, ("dc *= f", "dc = 0 * c0"),
         label=label("dropped-path treated-as-constant", "c", "multiply add")),
    Slip("the carry of h is added to itself", dicts_in_place, ("dh = da @ W[D:].T", "dh = dh + da @ W[D:].T"),
         label=label("extra-term stale-value", "h z", "matmul concatenate")),
    Slip("scaled by the number of outputs", dicts_in_place,
         ("err = (hs[T - 1] @ V - y) * 2 / B", "err = (hs[T - 1] @ V - y) * 2 / y.size"),
         label=label("scale", "e loss", "divide sum square subtract")),
    Slip("W's rows of x overwritten", dicts_in_place,
         ('grads["W"][:D] += x[t].T @ da', 'grads["W"][:D] = x[t].T @ da'),
         label=label("overwritten-accumulation dropped-path", "W z", "matmul concatenate")),
)
