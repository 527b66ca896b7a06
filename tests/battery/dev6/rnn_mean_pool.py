"""An Elman RNN over four steps with shared weights, its states averaged over time, and a logistic output."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("Wx", "Wh", "bh", "v", "v0")
T = 4


def data(rng, dtype):
    return {"seq": rng.normal(size=(6, T, 3)).astype(dtype), "lab": np.array([0, 1, 1, 0, 1, 0]).astype(dtype),
            "hstart": (0.5 * rng.normal(size=5)).astype(dtype), "Wx": (0.6 * rng.normal(size=(5, 3))).astype(dtype),
            "Wh": (0.5 * rng.normal(size=(5, 5))).astype(dtype), "bh": (0.5 * rng.normal(size=5)).astype(dtype),
            "v": (1.5 * rng.normal(size=5)).astype(dtype), "v0": np.array(rng.normal(), dtype=dtype)}


def loss(seq, lab, hstart, Wx, Wh, bh, v, v0):
    h = hstart + np.zeros((6, 5), dtype=seq.dtype)
    states = []
    for t in range(T):
        u = np.einsum("nf,kf->nk", seq[:, t], Wx) + h @ Wh.T + bh
        h = np.tanh(u)
        states.append(h)
    pooled = (states[0] + states[1] + states[2] + states[3]) / T
    score = pooled @ v + v0
    nll_each = ad.softplus(score) - lab * score
    J = nll_each.mean()
    return J


def expit(s):
    return 1 / (1 + np.exp(-s))


def run_forward(seq, hstart, Wx, Wh, bh):
    hs = [np.tile(hstart, (len(seq), 1))]
    for t in range(T):
        hs.append(np.tanh(seq[:, t] @ Wx.T + hs[t] @ Wh.T + bh))
    return hs


def through_time(seq, lab, hstart, Wx, Wh, bh, v, v0):
    n = len(lab)
    hs = run_forward(seq, hstart, Wx, Wh, bh)
    hbar = sum(hs[1:]) / T
    residual = (expit(hbar @ v + v0) - lab) / n
    gv = hbar.T @ residual
    gv0 = residual.sum()
    gpool = np.outer(residual, v) / T
    gWx, gWh, gb = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(bh)
    carry = np.zeros_like(gpool)
    for t in range(T, 0, -1):
        gh = gpool + carry
        delta = gh * (1 - hs[t] ** 2)
        gWx += delta.T @ seq[:, t - 1]
        gWh += delta.T @ hs[t - 1]
        gb += delta.sum(axis=0)
        carry = delta @ Wh
    return {"Wx": gWx, "Wh": gWh, "bh": gb, "v": gv, "v0": gv0}


def unrolled(seq, lab, hstart, Wx, Wh, bh, v, v0):
    N = seq.shape[0]
    x1, x2, x3, x4 = seq[:, 0], seq[:, 1], seq[:, 2], seq[:, 3]
    h0 = np.broadcast_to(hstart, (N, len(hstart)))
    h1 = np.tanh(x1 @ Wx.T + h0 @ Wh.T + bh)
    h2 = np.tanh(x2 @ Wx.T + h1 @ Wh.T + bh)
    h3 = np.tanh(x3 @ Wx.T + h2 @ Wh.T + bh)
    h4 = np.tanh(x4 @ Wx.T + h3 @ Wh.T + bh)
    hm = (h1 + h2 + h3 + h4) / 4
    pi = expit(hm @ v + v0)
    dscore = (pi - lab) / N
    dhm = dscore[:, None] * v[None, :]
    dh4 = dhm / 4
    du4 = dh4 * (1 - h4 * h4)
    dh3 = dhm / 4 + du4 @ Wh
    du3 = dh3 * (1 - h3 * h3)
    dh2 = dhm / 4 + du3 @ Wh
    du2 = dh2 * (1 - h2 * h2)
    dh1 = dhm / 4 + du2 @ Wh
    du1 = dh1 * (1 - h1 * h1)
    dWx = du1.T @ x1 + du2.T @ x2 + du3.T @ x3 + du4.T @ x4
    dWh = du1.T @ h0 + du2.T @ h1 + du3.T @ h2 + du4.T @ h3
    dbh = np.sum(du1 + du2 + du3 + du4, axis=0)
    dv = np.sum(dscore[:, None] * hm, axis=0)
    dv0 = np.sum(dscore)
    return {"dWx": dWx, "dWh": dWh, "dbh": dbh, "dv": dv, "dv0": dv0, "pooled": dhm}


def sensitivities_forward(seq, lab, hstart, Wx, Wh, bh, v, v0):
    n, k, f = len(seq), len(bh), seq.shape[2]
    I = np.eye(k)
    JWx, JWh, Jb, Jv, Jv0 = 0 * Wx, 0 * Wh, 0 * bh, 0 * v, 0.0
    for i in range(n):
        h = hstart
        Sx, Sh, Sb = np.zeros((k, k, f)), np.zeros((k, k, k)), np.zeros((k, k))
        Mx, Mh, Mb, m = 0 * Sx, 0 * Sh, 0 * Sb, 0 * h
        for t in range(T):
            x = seq[i, t]
            h_new = np.tanh(Wx @ x + Wh @ h + bh)
            D = 1 - h_new ** 2
            Sx = D[:, None, None] * (I[:, :, None] * x + np.einsum("ab,bcd->acd", Wh, Sx))
            Sh = D[:, None, None] * (I[:, :, None] * h + np.einsum("ab,bcd->acd", Wh, Sh))
            Sb = D[:, None] * (I + Wh @ Sb)
            Mx += Sx / T
            Mh += Sh / T
            Mb += Sb / T
            h = h_new
            m += h / T
        r = expit(m @ v + v0) - lab[i]
        JWx += r * np.einsum("a,abc->bc", v, Mx) / n
        JWh += r * np.einsum("a,abc->bc", v, Mh) / n
        Jb += r * (v @ Mb) / n
        Jv += r * m / n
        Jv0 += r / n
    return {"Wx": JWx, "Wh": JWh, "bh": Jb, "v": Jv, "v0": Jv0}


def sum_over_subjects(seq, lab, hstart, Wx, Wh, bh, v, v0):
    dWx, dWh, dbh = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(bh)
    dv, dv0 = np.zeros_like(v), 0.0
    for X, y in zip(seq, lab, strict=True):
        states = []
        prev = hstart
        for t in range(T):
            prev = np.tanh(Wx @ X[t] + Wh @ prev + bh)
            states.append(prev)
        mean_state = np.mean(states, axis=0)
        e = expit(v @ mean_state + v0) - y
        dv += e * mean_state
        dv0 += e
        later = np.zeros_like(bh)
        for t in reversed(range(T)):
            delta = (e * v / T + Wh.T @ later) * (1 - states[t] ** 2)
            before = states[t - 1] if t > 0 else hstart
            dWx += np.outer(delta, X[t])
            dWh += np.outer(delta, before)
            dbh += delta
            later = delta
    n = len(lab)
    return {"Wx": dWx / n, "Wh": dWh / n, "bh": dbh / n, "v": dv / n, "v0": dv0 / n}


RIGHT = (through_time, unrolled, sensitivities_forward, sum_over_subjects)

SLIPS = (
    Slip("later steps not carried back", through_time,
         ("gh = gpool + carry", "gh = gpool"),
         label=label("dropped-path treated-as-constant", "h u Wh", "matmul tanh add")),
    Slip("pooled gradient only at the last step", through_time,
         ("gh = gpool + carry", "gh = gpool + carry if t == T else carry"),
         label=label("dropped-path", "pooled h", "add divide")),
    Slip("recurrent weights by the state they made", through_time,
         ("gWh += delta.T @ hs[t - 1]", "gWh += delta.T @ hs[t]"),
         label=label("wrong-operand stale-value", "Wh h u", "matmul")),
    Slip("carried back through the transpose", through_time,
         ("carry = delta @ Wh", "carry = delta @ Wh.T"),
         label=label("missing-transpose", "h Wh u", "matmul transpose")),
    Slip("carry not through the tanh", through_time,
         ("carry = delta @ Wh", "carry = gh @ Wh"),
         label=label("missing-local-derivative wrong-operand", "u h", "tanh")),
    Slip("pooling's quarter forgotten", through_time,
         ("gpool = np.outer(residual, v) / T", "gpool = np.outer(residual, v)"),
         label=label("scale", "pooled h score", "divide add matmul")),
    Slip("input weights of one step only", through_time,
         ("gWx += delta.T @ seq[:, t - 1]", "gWx = delta.T @ seq[:, t - 1]"),
         label=label("overwritten-accumulation dropped-path", "Wx u seq", "einsum")),
    Slip("tanh's derivative at the state before", through_time,
         ("delta = gh * (1 - hs[t] ** 2)", "delta = gh * (1 - hs[t - 1] ** 2)"),
         label=label("wrong-argument stale-value wrong-operand", "h u", "tanh")),
    Slip("carry piles up over the steps", through_time,
         ("carry = delta @ Wh", "carry = carry + delta @ Wh"),
         label=label("extra-term stale-value wrong-operand", "h u Wh", "matmul add")),
    Slip("initial state counted in the average", through_time,
         ("hbar = sum(hs[1:]) / T", "hbar = sum(hs) / (T + 1)"),
         label=label("wrong-argument wrong-operand extra-term", "pooled h score v hstart", "divide add matmul")),
    Slip("first step left out of the backward loop", through_time,
         ("for t in range(T, 0, -1):", "for t in range(T, 1, -1):"),
         label=label("dropped-path", "u h Wx Wh bh", "tanh matmul einsum add")),
    Slip("input of the step after", through_time,
         ("gWx += delta.T @ seq[:, t - 1]", "gWx += delta.T @ seq[:, t % T]"),
         label=label("wrong-operand stale-value", "Wx seq u", "einsum")),
    Slip("logistic derivative left in the residual", unrolled,
         ("dscore = (pi - lab) / N", "dscore = (pi - lab) * pi * (1 - pi) / N"),
         label=label("double-derivative", "score nll_each J", "softplus")),
    Slip("third state lacks its share of the average", unrolled,
         ("dh3 = dhm / 4 + du4 @ Wh", "dh3 = du4 @ Wh"),
         label=label("dropped-path", "h pooled", "add divide")),
    Slip("second state from the fourth step", unrolled,
         ("dh2 = dhm / 4 + du3 @ Wh", "dh2 = dhm / 4 + du4 @ Wh"),
         label=label("wrong-operand stale-value", "h u", "matmul tanh")),
    Slip("copied tanh of the third step", unrolled,
         ("du2 = dh2 * (1 - h2 * h2)", "du2 = dh2 * (1 - h3 * h3)"),
         label=label("wrong-argument stale-value wrong-operand", "h u", "tanh")),
    Slip("initial state's product left out", unrolled,
         ("dWh = du1.T @ h0 + du2.T @ h1 + du3.T @ h2 + du4.T @ h3", "dWh = du2.T @ h1 + du3.T @ h2 + du4.T @ h3"),
         label=label("dropped-path", "Wh u h hstart", "matmul")),
    Slip("recurrent outer products transposed", unrolled,
         ("dWh = du1.T @ h0 + du2.T @ h1 + du3.T @ h2 + du4.T @ h3",
          "dWh = h0.T @ du1 + h1.T @ du2 + h2.T @ du3 + h3.T @ du4"),
         label=label("transposed-result missing-transpose", "Wh u", "matmul transpose")),
    Slip("output weights by the last state", unrolled,
         ("dv = np.sum(dscore[:, None] * hm, axis=0)", "dv = np.sum(dscore[:, None] * h4, axis=0)"),
         label=label("wrong-operand stale-value", "v pooled h score", "matmul")),
    Slip("shared bias averaged over the steps", unrolled,
         ("dbh = np.sum(du1 + du2 + du3 + du4, axis=0)", "dbh = np.sum(du1 + du2 + du3 + du4, axis=0) / 4"),
         label=label("scale", "bh u", "add")),
    Slip("second step's delta not through tanh and output bias not averaged", unrolled,
         ("du2 = dh2 * (1 - h2 * h2)", "du2 = dh2"),
         ("dv0 = np.sum(dscore)", "dv0 = np.sum(pi - lab)"),
         label=label("two", "h u v0 score nll_each J", "tanh add mean")),
    Slip("bias's sensitivity without the recursion", sensitivities_forward,
         ("Sb = D[:, None] * (I + Wh @ Sb)", "Sb = D[:, None] * I"),
         label=label("dropped-path treated-as-constant", "bh u h Wh", "matmul add tanh")),
    Slip("sensitivity with the state already renewed", sensitivities_forward,
         ("Sh = D[:, None, None] * (I[:, :, None] * h + np.einsum(\"ab,bcd->acd\", Wh, Sh))",
          "Sh = D[:, None, None] * (I[:, :, None] * h_new + np.einsum(\"ab,bcd->acd\", Wh, Sh))"),
         label=label("wrong-operand stale-value", "Wh u h", "matmul")),
    Slip("average of the input sensitivities keeps the last", sensitivities_forward,
         ("Mx += Sx / T", "Mx = Sx / T"),
         label=label("overwritten-accumulation dropped-path", "Wx h pooled u", "add divide einsum")),
    Slip("tanh's derivative from the old state", sensitivities_forward,
         ("D = 1 - h_new ** 2", "D = 1 - h ** 2"),
         label=label("wrong-argument stale-value wrong-operand", "h u", "tanh")),
    Slip("recursion of the sensitivity with transposed weights", sensitivities_forward,
         ("Sx = D[:, None, None] * (I[:, :, None] * x + np.einsum(\"ab,bcd->acd\", Wh, Sx))",
          "Sx = D[:, None, None] * (I[:, :, None] * x + np.einsum(\"ba,bcd->acd\", Wh, Sx))"),
         label=label("missing-transpose", "Wh h u Wx", "matmul transpose einsum")),
    Slip("subject's label added", sum_over_subjects,
         ("e = expit(v @ mean_state + v0) - y", "e = expit(v @ mean_state + v0) + y"),
         label=label("sign", "score nll_each lab", "subtract multiply softplus")),
    Slip("state before the first is the last one", sum_over_subjects,
         ("before = states[t - 1] if t > 0 else hstart", "before = states[t - 1]"),
         label=label("wrong-operand stale-value", "Wh hstart h u", "matmul")),
    Slip("delta of the later step not through the weights", sum_over_subjects,
         ("delta = (e * v / T + Wh.T @ later) * (1 - states[t] ** 2)",
          "delta = (e * v / T + later) * (1 - states[t] ** 2)"),
         label=label("missing-local-derivative wrong-operand wrong-local-rule", "h u Wh", "matmul")),
    Slip("tanh's derivative only on the pooled part", sum_over_subjects,
         ("delta = (e * v / T + Wh.T @ later) * (1 - states[t] ** 2)",
          "delta = e * v / T * (1 - states[t] ** 2) + Wh.T @ later"),
         label=label("missing-local-derivative", "h u", "tanh")),
    Slip("later deltas summed", sum_over_subjects,
         ("later = delta", "later = later + delta"),
         label=label("extra-term stale-value wrong-operand", "h u Wh", "matmul add")),
    Slip("recurrent weights divided by n and T", sum_over_subjects,
         ('return {"Wx": dWx / n, "Wh": dWh / n, "bh": dbh / n, "v": dv / n, "v0": dv0 / n}',
          'return {"Wx": dWx / n, "Wh": dWh / (n * T), "bh": dbh / n, "v": dv / n, "v0": dv0 / n}'),
         label=label("scale", "Wh u", "matmul")),
)
