"""Two steps of an LSTM cell in columns, each gate with its own matrix over [h, x], read out at the end.

The state it starts from comes from elsewhere and is asked for its gradient too.
"""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip

PARAMETERS = ("Wf", "bf", "Wi", "bi", "Wg", "bg", "Wo", "bo", "Wy", "by", "h0", "c0")


def data(rng, dtype):
    values = {"x1": rng.normal(size=(3, 6)), "x2": rng.normal(size=(3, 6)), "y": rng.normal(size=(2, 6)),
              "h0": rng.uniform(-0.8, 0.8, size=(4, 6)), "c0": rng.normal(size=(4, 6))}
    for gate in "figo":
        values["W" + gate] = 0.6 * rng.normal(size=(4, 7))
        values["b" + gate] = 0.4 * rng.normal(size=(4, 1))
    values |= {"Wy": 0.8 * rng.normal(size=(2, 4)), "by": 0.3 * rng.normal(size=(2, 1))}
    return {name: value.astype(dtype) for name, value in values.items()}


def loss(x1, x2, y, h0, c0, Wf, bf, Wi, bi, Wg, bg, Wo, bo, Wy, by):
    v1 = np.concatenate([h0, x1])
    f1 = ad.sigmoid(Wf @ v1 + bf)
    i1 = ad.sigmoid(Wi @ v1 + bi)
    g1 = np.tanh(Wg @ v1 + bg)
    o1 = ad.sigmoid(Wo @ v1 + bo)
    c1 = f1 * c0 + i1 * g1
    t1 = np.tanh(c1)
    h1 = o1 * t1
    v2 = np.concatenate([h1, x2])
    f2 = ad.sigmoid(Wf @ v2 + bf)
    i2 = ad.sigmoid(Wi @ v2 + bi)
    g2 = np.tanh(Wg @ v2 + bg)
    o2 = ad.sigmoid(Wo @ v2 + bo)
    c2 = f2 * c1 + i2 * g2
    t2 = np.tanh(c2)
    h2 = o2 * t2
    yhat = Wy @ h2 + by
    r = yhat - y
    loss = (r ** 2).sum() / (2 * y.shape[1])
    return loss


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def unrolled(x1, x2, y, h0, c0, Wf, bf, Wi, bi, Wg, bg, Wo, bo, Wy, by):
    m, n_h = y.shape[1], len(h0)
    v1 = np.concatenate([h0, x1])
    f1, i1, o1 = sigmoid(Wf @ v1 + bf), sigmoid(Wi @ v1 + bi), sigmoid(Wo @ v1 + bo)
    g1 = np.tanh(Wg @ v1 + bg)
    c1 = f1 * c0 + i1 * g1
    t1 = np.tanh(c1)
    h1 = o1 * t1
    v2 = np.concatenate([h1, x2])
    f2, i2, o2 = sigmoid(Wf @ v2 + bf), sigmoid(Wi @ v2 + bi), sigmoid(Wo @ v2 + bo)
    g2 = np.tanh(Wg @ v2 + bg)
    c2 = f2 * c1 + i2 * g2
    t2 = np.tanh(c2)
    h2 = o2 * t2
    dy = (Wy @ h2 + by - y) / m
    dWy = dy @ h2.T
    dby = dy.sum(axis=1, keepdims=True)
    dh2 = Wy.T @ dy
    do2 = dh2 * t2
    dc2 = dh2 * o2 * (1 - t2 ** 2)
    df2 = dc2 * c1
    di2 = dc2 * g2
    dg2 = dc2 * i2
    dzf2 = df2 * f2 * (1 - f2)
    dzi2 = di2 * i2 * (1 - i2)
    dzg2 = dg2 * (1 - g2 ** 2)
    dzo2 = do2 * o2 * (1 - o2)
    dv2 = Wf.T @ dzf2 + Wi.T @ dzi2 + Wg.T @ dzg2 + Wo.T @ dzo2
    dh1 = dv2[:n_h]
    do1 = dh1 * t1
    dc1 = dh1 * o1 * (1 - t1 ** 2) + dc2 * f2
    df1 = dc1 * c0
    di1 = dc1 * g1
    dg1 = dc1 * i1
    dzf1 = df1 * f1 * (1 - f1)
    dzi1 = di1 * i1 * (1 - i1)
    dzg1 = dg1 * (1 - g1 ** 2)
    dzo1 = do1 * o1 * (1 - o1)
    dv1 = Wf.T @ dzf1 + Wi.T @ dzi1 + Wg.T @ dzg1 + Wo.T @ dzo1
    dh0 = dv1[:n_h]
    dc0 = dc1 * f1
    dWf = dzf1 @ v1.T + dzf2 @ v2.T
    dWi = dzi1 @ v1.T + dzi2 @ v2.T
    dWg = dzg1 @ v1.T + dzg2 @ v2.T
    dWo = dzo1 @ v1.T + dzo2 @ v2.T
    dbf = (dzf1 + dzf2).sum(axis=1, keepdims=True)
    dbi = (dzi1 + dzi2).sum(axis=1, keepdims=True)
    dbg = (dzg1 + dzg2).sum(axis=1, keepdims=True)
    dbo = (dzo1 + dzo2).sum(axis=1, keepdims=True)
    return {"Wf": dWf, "bf": dbf, "Wi": dWi, "bi": dbi, "Wg": dWg, "bg": dbg, "Wo": dWo, "bo": dbo,
            "Wy": dWy, "by": dby, "h0": dh0, "c0": dc0}


def with_a_cache(x1, x2, y, h0, c0, Wf, bf, Wi, bi, Wg, bg, Wo, bo, Wy, by):
    weights = {"f": Wf, "i": Wi, "g": Wg, "o": Wo}
    grads = {k: np.zeros_like(w) for k, w in weights.items()}
    bias_grads = {k: np.zeros((4, 1)) for k in weights}
    cache, h, c = [], h0, c0
    for x in (x1, x2):
        v = np.vstack((h, x))
        f = sigmoid(Wf @ v + bf)
        i = sigmoid(Wi @ v + bi)
        g = np.tanh(Wg @ v + bg)
        o = sigmoid(Wo @ v + bo)
        c_old = c
        c = f * c_old + i * g
        h = o * np.tanh(c)
        cache.append((v, f, i, g, o, c_old, c))
    e = (Wy @ h + by - y) / y.shape[1]
    dWy, dby = e @ h.T, e.sum(axis=1, keepdims=True)
    dh_next = Wy.T @ e
    dc_next = np.zeros_like(c)
    for v, f, i, g, o, c_prev, c in reversed(cache):
        tc = np.tanh(c)
        dc = dc_next + dh_next * o * (1 - tc * tc)
        dz = {}
        dz["f"] = dc * c_prev * f * (1 - f)
        dz["i"] = dc * g * i * (1 - i)
        dz["g"] = dc * i * (1 - g * g)
        dz["o"] = dh_next * tc * o * (1 - o)
        dv = np.zeros_like(v)
        for k in weights:
            grads[k] += dz[k] @ v.T
            bias_grads[k] += dz[k].sum(axis=1, keepdims=True)
            dv += weights[k].T @ dz[k]
        dh_next = dv[:len(h)]
        dc_next = dc * f
    found = {"W" + k: grads[k] for k in weights} | {"b" + k: bias_grads[k] for k in weights}
    return found | {"Wy": dWy, "by": dby, "h0": dh_next, "c0": dc_next}


def gates_stacked(x1, x2, y, h0, c0, Wf, bf, Wi, bi, Wg, bg, Wo, bo, Wy, by):
    W, b = np.vstack([Wf, Wi, Wo, Wg]), np.vstack([bf, bi, bo, bg])
    H, m = h0.shape
    C, V, S = [c0], [], []
    h = h0
    for x in (x1, x2):
        V.append(np.vstack([h, x]))
        pre = W @ V[-1] + b
        act = np.concatenate([sigmoid(pre[:3 * H]), np.tanh(pre[3 * H:])])
        f, i, o, g = np.split(act, 4)
        S.append(act)
        C.append(f * C[-1] + i * g)
        h = o * np.tanh(C[-1])
    delta_y = Wy @ h + by - y
    delta_y = delta_y / m
    delta_h, delta_c = Wy.T @ delta_y, 0
    delta_W, delta_b = np.zeros_like(W), np.zeros_like(b)
    for t in (1, 0):
        f, i, o, g = np.split(S[t], 4)
        delta_c = delta_c + delta_h * o / np.cosh(C[t + 1]) ** 2
        delta_act = np.vstack([delta_c * C[t], delta_c * g, delta_h * np.tanh(C[t + 1]), delta_c * i])
        slope = S[t] * (1 - S[t])
        slope[3 * H:] = 1 - g ** 2
        delta_pre = delta_act * slope
        delta_W += delta_pre @ V[t].T
        delta_b += delta_pre.sum(axis=1)[:, None]
        delta_h = W[:, :H].T @ delta_pre
        delta_c = delta_c * f
    dWf, dWi, dWo, dWg = np.split(delta_W, 4)
    dbf, dbi, dbo, dbg = np.split(delta_b, 4)
    return {"Wf": dWf, "bf": dbf, "Wi": dWi, "bi": dbi, "Wg": dWg, "bg": dbg, "Wo": dWo, "bo": dbo,
            "Wy": delta_y @ h.T, "by": delta_y.sum(axis=1)[:, None], "h0": delta_h, "c0": delta_c}


RIGHT = (unrolled, with_a_cache, gates_stacked)

SLIPS = (
    Slip("first cell only through its own h", unrolled,
         ("dc1 = dh1 * o1 * (1 - t1 ** 2) + dc2 * f2", "dc1 = dh1 * o1 * (1 - t1 ** 2)")),
    Slip("first cell only through the second cell", unrolled,
         ("dc1 = dh1 * o1 * (1 - t1 ** 2) + dc2 * f2", "dc1 = dc2 * f2")),
    Slip("carry to the first cell without the forget gate", unrolled,
         ("dc1 = dh1 * o1 * (1 - t1 ** 2) + dc2 * f2", "dc1 = dh1 * o1 * (1 - t1 ** 2) + dc2")),
    Slip("carry to the first cell with the first forget gate", unrolled,
         ("dc1 = dh1 * o1 * (1 - t1 ** 2) + dc2 * f2", "dc1 = dh1 * o1 * (1 - t1 ** 2) + dc2 * f1")),
    Slip("output gate with the cell, not its tanh", unrolled, ("do2 = dh2 * t2", "do2 = dh2 * c2")),
    Slip("second forget gate with the new cell", unrolled, ("df2 = dc2 * c1", "df2 = dc2 * c2")),
    Slip("candidate's derivative copied from the gates", unrolled,
         ("dzg2 = dg2 * (1 - g2 ** 2)", "dzg2 = dg2 * g2 * (1 - g2)"),
         ("dzg1 = dg1 * (1 - g1 ** 2)", "dzg1 = dg1 * g1 * (1 - g1)")),
    Slip("input gate's derivative taken for a tanh at the first step", unrolled,
         ("dzi1 = di1 * i1 * (1 - i1)", "dzi1 = di1 * (1 - i1 ** 2)")),
    Slip("tanh' at h2", unrolled,
         ("dc2 = dh2 * o2 * (1 - t2 ** 2)", "dc2 = dh2 * o2 * (1 - h2 ** 2)")),
    Slip("no tanh' at the second cell", unrolled, ("dc2 = dh2 * o2 * (1 - t2 ** 2)", "dc2 = dh2 * o2")),
    Slip("input gate and candidate with themselves at the second step", unrolled,
         ("di2 = dc2 * g2", "di2 = dc2 * i2"), ("dg2 = dc2 * i2", "dg2 = dc2 * g2")),
    Slip("output gate left out on the way to h1", unrolled,
         ("dv2 = Wf.T @ dzf2 + Wi.T @ dzi2 + Wg.T @ dzg2 + Wo.T @ dzo2",
          "dv2 = Wf.T @ dzf2 + Wi.T @ dzi2 + Wg.T @ dzg2")),
    Slip("h1's part cut from the wrong end of v2", unrolled, ("dh1 = dv2[:n_h]", "dh1 = dv2[-n_h:]")),
    Slip("Wi of the second step only", unrolled,
         ("dWi = dzi1 @ v1.T + dzi2 @ v2.T", "dWi = dzi2 @ v2.T")),
    Slip("both steps of Wo with the second input", unrolled,
         ("dWo = dzo1 @ v1.T + dzo2 @ v2.T", "dWo = (dzo1 + dzo2) @ v2.T")),
    Slip("both steps of bg averaged over the samples", unrolled,
         ("dbg = (dzg1 + dzg2).sum(axis=1, keepdims=True)", "dbg = (dzg1 + dzg2).mean(axis=1, keepdims=True)")),
    Slip("read-out with the first hidden state", unrolled, ("dWy = dy @ h2.T", "dWy = dy @ h1.T")),
    Slip("state before the first step gets the second step's v", unrolled, ("dh0 = dv1[:n_h]", "dh0 = dv2[:n_h]")),
    Slip("first cell's gradient handed on without its forget gate", unrolled, ("dc0 = dc1 * f1", "dc0 = dc1")),
    Slip("tanh' of the cell twice at the first step, not at all at the second", unrolled,
         ("dc2 = dh2 * o2 * (1 - t2 ** 2)", "dc2 = dh2 * o2"),
         ("dc1 = dh1 * o1 * (1 - t1 ** 2) + dc2 * f2", "dc1 = dh1 * o1 * (1 - t1 ** 2) ** 2 + dc2 * f2")),
    Slip("old cell put by after the update", with_a_cache,
         ("cache.append((v, f, i, g, o, c_old, c))", "cache.append((v, f, i, g, o, c, c))")),
    Slip("h's gradient piles up over the steps", with_a_cache,
         ("dh_next = dv[:len(h)]", "dh_next = dh_next + dv[:len(h)]")),
    Slip("cell carried back with the input gate", with_a_cache, ("dc_next = dc * f", "dc_next = dc * i")),
    Slip("gates' contributions to v overwrite each other", with_a_cache,
         ("dv += weights[k].T @ dz[k]", "dv = weights[k].T @ dz[k]")),
    Slip("biases keep the first step", with_a_cache,
         ("bias_grads[k] += dz[k].sum(axis=1, keepdims=True)", "bias_grads[k] = dz[k].sum(axis=1, keepdims=True)")),
    Slip("sigmoid' of the forget gate forgotten", with_a_cache,
         ('dz["f"] = dc * c_prev * f * (1 - f)', 'dz["f"] = dc * c_prev')),
    Slip("output gate fed from the cell's gradient", with_a_cache,
         ('dz["o"] = dh_next * tc * o * (1 - o)', 'dz["o"] = dc * tc * o * (1 - o)')),
    Slip("backward loop passes over the second step", with_a_cache,
         ("for v, f, i, g, o, c_prev, c in reversed(cache):", "for v, f, i, g, o, c_prev, c in cache[:1]:")),
    Slip("slices of the stack read in another order", gates_stacked,
         ("dWf, dWi, dWo, dWg = np.split(delta_W, 4)", "dWf, dWi, dWg, dWo = np.split(delta_W, 4)"),
         ("dbf, dbi, dbo, dbg = np.split(delta_b, 4)", "dbf, dbi, dbg, dbo = np.split(delta_b, 4)")),
    Slip("tanh's part of the stack begins a gate early", gates_stacked,
         ("slope[3 * H:] = 1 - g ** 2", "slope[2 * H:] = 1 - S[t][2 * H:] ** 2")),
    Slip("cosh without its square", gates_stacked,
         ("delta_c = delta_c + delta_h * o / np.cosh(C[t + 1]) ** 2",
          "delta_c = delta_c + delta_h * o / np.cosh(C[t + 1])")),
    Slip("tanh' of the cell before the step", gates_stacked,
         ("delta_c = delta_c + delta_h * o / np.cosh(C[t + 1]) ** 2",
          "delta_c = delta_c + delta_h * o / np.cosh(C[t]) ** 2")),
    Slip("residual not divided by the samples", gates_stacked, ("delta_y = delta_y / m", "")),
    Slip("biases from the first sample of the batch", gates_stacked,
         ("delta_b += delta_pre.sum(axis=1)[:, None]", "delta_b += delta_pre[:, :1]")),
)
