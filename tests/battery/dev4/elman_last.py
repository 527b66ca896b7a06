"""An Elman network over a sequence; classes are read off the last state."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("Wx", "Wh", "bh", "Wy", "by", "h0")


def data(rng, dtype):
    leaves = {"x": rng.normal(size=(6, 5, 3)), "Wx": 0.6 * rng.normal(size=(3, 4)),
              "Wh": 0.6 * rng.normal(size=(4, 4)), "bh": 0.3 * rng.normal(size=4),
              "Wy": rng.normal(size=(4, 3)), "by": 0.3 * rng.normal(size=3), "h0": 0.5 * rng.normal(size=(1, 4))}
    return {**{k: v.astype(dtype) for k, v in leaves.items()}, "labels": np.array([1, 0, 2, 2, 1, 1], dtype=np.int64)}


def loss(x, labels, Wx, Wh, bh, Wy, by, h0):
    B, T, _ = x.shape
    h = np.repeat(h0, B, axis=0)
    for t in range(T):
        z = x[:, t] @ Wx + h @ Wh + bh
        h = np.tanh(z)
    scores = h @ Wy + by
    lse = ad.logsumexp(scores, axis=1)
    chosen = scores[np.arange(B), labels]
    nll = np.sum(lse - chosen) / B
    return nll


def through_time(x, labels, Wx, Wh, bh, Wy, by, h0):
    B, T, D = x.shape
    H = Wh.shape[0]
    hs = np.zeros((T + 1, B, H))
    hs[0] = h0
    for t in range(T):
        hs[t + 1] = np.tanh(x[:, t] @ Wx + hs[t] @ Wh + bh)
    scores = hs[T] @ Wy + by
    probs = np.exp(scores - scores.max(1, keepdims=True))
    probs /= probs.sum(1, keepdims=True)
    dscores = probs.copy()
    dscores[np.arange(B), labels] -= 1
    dscores /= B
    dWy = hs[T].T @ dscores
    dby = dscores.sum(0)
    dWx, dWh, dbh = np.zeros((D, H)), np.zeros((H, H)), np.zeros(H)
    dh = dscores @ Wy.T
    for t in reversed(range(T)):
        dz = dh * (1 - hs[t + 1] ** 2)
        dWx += x[:, t].T @ dz
        dWh += hs[t].T @ dz
        dbh += dz.sum(0)
        dh = dz @ Wh.T
    dh0 = dh.sum(0, keepdims=True)
    return {"Wx": dWx, "Wh": dWh, "bh": dbh, "Wy": dWy, "by": dby, "h0": dh0}


def state_list(x, labels, Wx, Wh, bh, Wy, by, h0):
    B, T = x.shape[:2]
    states = [np.repeat(h0, B, axis=0)]
    for t in range(T):
        states.append(np.tanh(x[:, t] @ Wx + states[-1] @ Wh + bh))
    out = states[-1] @ Wy + by
    onehot = np.eye(len(by))[labels]
    e = np.exp(out)
    g_out = (e / e.sum(axis=1)[:, None] - onehot) / B
    deltas = [None] * T
    back = g_out @ Wy.T
    deltas[T - 1] = (1 - states[T] ** 2) * back
    for t in range(T - 2, -1, -1):
        back = deltas[t + 1] @ Wh.T
        deltas[t] = (1 - states[t + 1] ** 2) * back
    delta = np.stack(deltas)
    before = np.stack(states[:-1])
    g = {"Wy": np.einsum("bh,bk->hk", states[-1], g_out), "by": g_out.sum(axis=0)}
    g["Wx"] = np.einsum("btd,tbh->dh", x, delta)
    g["Wh"] = np.einsum("tbg,tbh->gh", before, delta)
    g["bh"] = np.einsum("tbh->h", delta)
    g["h0"] = np.sum(delta[0] @ Wh.T, axis=0)[None]
    return g


def one_sequence(seq, cls, Wx, Wh, bh, Wy, by, h0):
    cache = []
    h = h0[0]
    for v in seq:
        new = np.tanh(v @ Wx + h @ Wh + bh)
        cache.append((v, h, new))
        h = new
    s = h @ Wy + by
    p = np.exp(s - s.max())
    p = p / p.sum()
    p[cls] -= 1
    gWy, gby = np.outer(h, p), p
    gWx, gWh, gbh = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(bh)
    gh = Wy @ p
    while cache:
        v, prev, cur = cache.pop()
        ga = gh * (1 - cur) * (1 + cur)
        gWx += np.outer(v, ga)
        gWh += np.outer(prev, ga)
        gbh += ga
        gh = Wh @ ga
    return gWx, gWh, gbh, gWy, gby, gh[None, :]


def sequence_by_sequence(x, labels, Wx, Wh, bh, Wy, by, h0):
    total = [np.zeros_like(w) for w in (Wx, Wh, bh, Wy, by, h0)]
    for seq, cls in zip(x, labels):
        parts = one_sequence(seq, cls, Wx, Wh, bh, Wy, by, h0)
        for a, g in zip(total, parts):
            a += g
    return {name: a / len(labels) for name, a in zip(PARAMETERS, total)}


def loop_inside(x, labels, Wx, Wh, bh, Wy, by, h0):
    n, steps, _ = x.shape
    grad_Wx, grad_Wh, grad_bh = 0 * Wx, 0 * Wh, 0 * bh
    grad_Wy, grad_by, grad_h0 = 0 * Wy, 0 * by, 0 * h0
    for i in range(n):
        hidden = {-1: h0[0]}
        for t in range(steps):
            hidden[t] = np.tanh(Wx.T @ x[i, t] + Wh.T @ hidden[t - 1] + bh)
        logits = Wy.T @ hidden[steps - 1] + by
        prob = np.exp(logits) / np.sum(np.exp(logits))
        target = np.zeros(3)
        target[labels[i]] = 1
        err = (prob - target) / n
        grad_Wy += np.outer(hidden[steps - 1], err)
        grad_by += err
        carry = Wy @ err
        for t in range(steps - 1, -1, -1):
            local = 1 - hidden[t] ** 2
            pre = local * carry
            grad_Wx += np.outer(x[i, t], pre)
            grad_Wh += np.outer(hidden[t - 1], pre)
            grad_bh += pre
            carry = Wh @ pre
        grad_h0 += carry
    return {"dWx": grad_Wx, "dWh": grad_Wh, "dbh": grad_bh, "dWy": grad_Wy, "dby": grad_by, "dh0": grad_h0}


RIGHT = (through_time, state_list, sequence_by_sequence, loop_inside)

SLIPS = (
    Slip("Wh's gradient with the state of the same step", through_time,
         ("dWh += hs[t].T @ dz", "dWh += hs[t + 1].T @ dz"),
         label=label("wrong-operand stale-value", "Wh z", "matmul")),
    Slip("tanh' from the state before", through_time,
         ("dz = dh * (1 - hs[t + 1] ** 2)", "dz = dh * (1 - hs[t] ** 2)"),
         label=label("wrong-argument stale-value wrong-operand", "h z", "tanh")),
    Slip("recurrent weight not transposed going back", through_time, ("dh = dz @ Wh.T", "dh = dz @ Wh"),
         label=label("missing-transpose", "h Wh z", "matmul")),
    Slip("nothing carried back past the last step", through_time, ("dh = dz @ Wh.T", "dh = np.zeros_like(dh)"),
         label=label("dropped-path treated-as-constant", "h Wh z h0", "matmul tanh")),
    Slip("carry skips tanh'", through_time, ("dh = dz @ Wh.T", "dh = dh @ Wh.T"),
         label=label("missing-local-derivative stale-value wrong-operand", "h z", "tanh matmul")),
    Slip("carry added to the old one", through_time, ("dh = dz @ Wh.T", "dh = dh + dz @ Wh.T"),
         label=label("extra-term stale-value", "h z", "tanh matmul add")),
    Slip("input weights keep only the first step's part", through_time,
         ("dWx += x[:, t].T @ dz", "dWx = x[:, t].T @ dz"),
         label=label("overwritten-accumulation dropped-path", "Wx z", "matmul getitem")),
    Slip("stops before the first step", through_time,
         ("for t in reversed(range(T)):", "for t in reversed(range(1, T)):"),
         label=label("dropped-path stale-value", "z h h0 Wx Wh bh", "matmul tanh")),
    Slip("initial state taken as zeros in the states kept", through_time, ("hs[0] = h0", ""),
         label=label("wrong-operand wrong-argument stale-value", "h0 h z", "repeat matmul tanh")),
    Slip("readout weights with the state before the last", through_time,
         ("dWy = hs[T].T @ dscores", "dWy = hs[T - 1].T @ dscores"),
         label=label("wrong-operand stale-value", "Wy scores", "matmul")),
    Slip("initial state averaged over the batch", through_time,
         ("dh0 = dh.sum(0, keepdims=True)", "dh0 = dh.mean(0, keepdims=True)"),
         label=label("scale", "h0", "repeat sum")),
    Slip("divided by steps as well as batch", through_time, ("dscores /= B", "dscores /= B * T"),
         label=label("scale", "nll scores lse chosen", "divide sum subtract logsumexp getitem")),
    Slip("readout's error fed in at every step", state_list,
         ("back = deltas[t + 1] @ Wh.T", "back = deltas[t + 1] @ Wh.T + g_out @ Wy.T"),
         label=label("extra-term", "h", "matmul add tanh")),
    Slip("tanh' missing at the last step", state_list,
         ("deltas[T - 1] = (1 - states[T] ** 2) * back", "deltas[T - 1] = back"),
         label=label("missing-local-derivative", "h z", "tanh")),
    Slip("inputs summed in reverse order of time", state_list,
         ('g["Wx"] = np.einsum("btd,tbh->dh", x, delta)', 'g["Wx"] = np.einsum("btd,tbh->dh", x[:, ::-1], delta)'),
         label=label("wrong-operand wrong-axis scatter", "Wx z x", "matmul getitem")),
    Slip("states paired with the later step's delta", state_list,
         ('g["Wh"] = np.einsum("tbg,tbh->gh", before, delta)',
          'g["Wh"] = np.einsum("tbg,tbh->gh", before[:-1], delta[1:])'),
         label=label("wrong-operand stale-value", "Wh z", "matmul")),
    Slip("bias from the last step only", state_list,
         ('g["bh"] = np.einsum("tbh->h", delta)', 'g["bh"] = delta[-1].sum(axis=0)'),
         label=label("dropped-path overwritten-accumulation missing-broadcast-reduction", "bh z", "add sum")),
    Slip("initial state without its weight", state_list,
         ('g["h0"] = np.sum(delta[0] @ Wh.T, axis=0)[None]', 'g["h0"] = np.sum(delta[0], axis=0)[None]'),
         label=label("missing-local-derivative stale-value wrong-operand", "h0 h", "matmul")),
    Slip("softmax normalised over the batch", state_list,
         ("g_out = (e / e.sum(axis=1)[:, None] - onehot) / B", "g_out = (e / e.sum(axis=0) - onehot) / B"),
         label=label("wrong-axis wrong-local-rule", "lse scores", "logsumexp")),
    Slip("Wh's gradient transposed", state_list,
         ('g["Wh"] = np.einsum("tbg,tbh->gh", before, delta)',
          'g["Wh"] = np.einsum("tbg,tbh->hg", before, delta)'),
         label=label("transposed-result missing-transpose", "Wh z", "matmul")),
    Slip("mean over the batch forgotten at the end", sequence_by_sequence,
         ("return {name: a / len(labels) for name, a in zip(PARAMETERS, total)}",
          "return dict(zip(PARAMETERS, total))"),
         label=label("scale", "nll scores lse chosen", "divide sum subtract logsumexp getitem")),
    Slip("mean taken in the loop and once more at the end", sequence_by_sequence,
         ("a += g", "a += g / len(labels)"),
         label=label("scale", "nll scores lse chosen", "divide sum subtract logsumexp getitem")),
    Slip("hidden bias forgotten in the forward", loop_inside,
         ("hidden[t] = np.tanh(Wx.T @ x[i, t] + Wh.T @ hidden[t - 1] + bh)",
          "hidden[t] = np.tanh(Wx.T @ x[i, t] + Wh.T @ hidden[t - 1])"),
         label=label("wrong-argument wrong-operand stale-value missing-term", "z h bh", "add tanh")),
    Slip("target at the neighbouring class", loop_inside,
         ("target[labels[i]] = 1", "target[labels[i] - 1] = 1"),
         label=label("scatter wrong-operand", "chosen scores labels", "getitem")),
    Slip("initial state's gradient set by the last sequence", loop_inside, ("grad_h0 += carry", "grad_h0[:] = carry"),
         label=label("overwritten-accumulation missing-broadcast-reduction dropped-path", "h0 h", "repeat")),
    Slip("one step back too many for the input", loop_inside,
         ("grad_Wx += np.outer(x[i, t], pre)", "grad_Wx += np.outer(x[i, t - 1], pre)"),
         label=label("wrong-operand stale-value scatter", "Wx z x", "matmul getitem")),
    Slip("tanh' left out at every step", loop_inside, ("pre = local * carry", "pre = carry"),
         label=label("missing-local-derivative", "h z", "tanh")),
    Slip("sigmoid's derivative in the loop over time", loop_inside,
         ("local = 1 - hidden[t] ** 2", "local = hidden[t] * (1 - hidden[t])"),
         label=label("wrong-local-rule", "h z", "tanh")),
    Slip("bias before tanh', and the readout's bias not over n", loop_inside,
         ("grad_bh += pre", "grad_bh += carry"), ("grad_by += err", "grad_by += err * n"),
         label=label("two", "bh by", "tanh add divide sum")),
)
