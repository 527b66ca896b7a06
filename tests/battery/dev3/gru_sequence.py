"""A gated recurrent unit over a few steps; the last state gives the logit of a yes or no."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("h0", "Wz", "Uz", "bz", "Wr", "Ur", "br", "Wh", "Uh", "bh", "v", "c")


def data(rng, dtype):
    T, N, D, H = 5, 3, 2, 4
    shapes = {"x": (T, N, D), "h0": (N, H), "v": (H,), "c": (1,)}
    for k in "zrh":
        shapes |= {"W" + k: (D, H), "U" + k: (H, H), "b" + k: (H,)}
    leaves = {k: (0.7 * rng.normal(size=s)).astype(dtype) for k, s in shapes.items()}
    return leaves | {"y": np.array([1, 0, 1]).astype(dtype)}


def loss(x, h0, y, Wz, Uz, bz, Wr, Ur, br, Wh, Uh, bh, v, c):
    h = h0
    for t in range(x.shape[0]):
        z = ad.sigmoid(x[t] @ Wz + h @ Uz + bz)
        r = ad.sigmoid(x[t] @ Wr + h @ Ur + br)
        rh = r * h
        g = np.tanh(x[t] @ Wh + rh @ Uh + bh)
        h = (1 - z) * h + z * g
    s = h @ v + c
    each = ad.softplus(s) - y * s
    loss = np.mean(each)
    return loss


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def with_caches(x, h0, y, Wz, Uz, bz, Wr, Ur, br, Wh, Uh, bh, v, c):
    T = len(x)
    hs, zs, rs, gs = [h0], [], [], []
    for t in range(T):
        h = hs[t]
        zs.append(sigmoid(x[t] @ Wz + h @ Uz + bz))
        rs.append(sigmoid(x[t] @ Wr + h @ Ur + br))
        gs.append(np.tanh(x[t] @ Wh + (rs[t] * h) @ Uh + bh))
        hs.append((1 - zs[t]) * h + zs[t] * gs[t])

    dWz, dUz, dbz = np.zeros_like(Wz), np.zeros_like(Uz), np.zeros_like(bz)
    dWr, dUr, dbr = np.zeros_like(Wr), np.zeros_like(Ur), np.zeros_like(br)
    dWh, dUh, dbh = np.zeros_like(Wh), np.zeros_like(Uh), np.zeros_like(bh)
    ds = (sigmoid(hs[T] @ v + c) - y) / len(y)
    dv = hs[T].T @ ds
    dc = ds.sum(keepdims=True)
    dh = np.outer(ds, v)
    for t in reversed(range(T)):
        h, z, r, g = hs[t], zs[t], rs[t], gs[t]
        dz = dh * (g - h)
        dg = dh * z
        dh = dh * (1 - z)

        dag = dg * (1 - g * g)
        drh = dag @ Uh.T
        dr = drh * h
        dh += drh * r

        daz = dz * z * (1 - z)
        dar = dr * r * (1 - r)
        dh += daz @ Uz.T
        dh += dar @ Ur.T

        dWz += x[t].T @ daz
        dUz += h.T @ daz
        dbz += daz.sum(0)
        dWr += x[t].T @ dar
        dUr += h.T @ dar
        dbr += dar.sum(0)
        dWh += x[t].T @ dag
        dUh += (r * h).T @ dag
        dbh += dag.sum(0)
    return {"h0": dh, "Wz": dWz, "Uz": dUz, "bz": dbz, "Wr": dWr, "Ur": dUr, "br": dbr,
            "Wh": dWh, "Uh": dUh, "bh": dbh, "v": dv, "c": dc}


def one_sequence_at_a_time(x, h0, y, Wz, Uz, bz, Wr, Ur, br, Wh, Uh, bh, v, c):
    T, N, D = x.shape
    G = {"h0": np.zeros_like(h0), "Wz": 0, "Uz": 0, "bz": 0, "Wr": 0, "Ur": 0, "br": 0, "Wh": 0, "Uh": 0, "bh": 0,
         "v": 0, "c": np.zeros(1)}
    for n in range(N):
        tape = []
        state = h0[n]
        for xt in x[:, n]:
            up = sigmoid(xt @ Wz + state @ Uz + bz)
            res = sigmoid(xt @ Wr + state @ Ur + br)
            cand = np.tanh(xt @ Wh + (res * state) @ Uh + bh)
            tape.append((xt, state, up, res, cand))
            state = state + up * (cand - state)
        prob = sigmoid(state @ v + c[0])
        err = (prob - y[n]) / N
        G["v"] = G["v"] + err * state
        G["c"] += err
        carry = err * v
        while tape:
            xt, old, up, res, cand = tape.pop()
            d_cand = carry * up * (1 - cand ** 2)
            d_up = carry * (cand - old) * up * (1 - up)
            through = Uh @ d_cand
            d_res = through * old * res * (1 - res)
            carry = carry * (1 - up) + through * res + Uz @ d_up + Ur @ d_res
            G["Wh"] = G["Wh"] + np.outer(xt, d_cand)
            G["Uh"] = G["Uh"] + np.outer(res * old, d_cand)
            G["bh"] = G["bh"] + d_cand
            G["Wz"] = G["Wz"] + np.outer(xt, d_up)
            G["Uz"] = G["Uz"] + np.outer(old, d_up)
            G["bz"] = G["bz"] + d_up
            G["Wr"] = G["Wr"] + np.outer(xt, d_res)
            G["Ur"] = G["Ur"] + np.outer(old, d_res)
            G["br"] = G["br"] + d_res
        G["h0"][n] = carry
    return G


def stacked_gates(x, h0, y, Wz, Uz, bz, Wr, Ur, br, Wh, Uh, bh, v, c):
    T, N, _ = x.shape
    H = h0.shape[1]
    W = np.hstack([Wz, Wr, Wh])
    b = np.concatenate([bz, br, bh])
    U2 = np.hstack([Uz, Ur])
    states = np.empty((T + 1, N, H))
    states[0] = h0
    gates = np.empty((T, N, 3 * H))
    for t in range(T):
        pre = x[t] @ W + b
        pair = sigmoid(pre[:, :2 * H] + states[t] @ U2)
        new = np.tanh(pre[:, 2 * H:] + (pair[:, H:] * states[t]) @ Uh)
        gates[t] = np.hstack([pair, new])
        states[t + 1] = states[t] * (1 - pair[:, :H]) + new * pair[:, :H]
    Z, R, C = gates[..., :H], gates[..., H:2 * H], gates[..., 2 * H:]
    before = states[:-1]
    last = states[-1]

    delta_s = (sigmoid(last @ v + c) - y) / N
    delta_h = delta_s[:, None] * v
    delta = np.empty_like(gates)
    for t in range(T - 1, -1, -1):
        delta[t, :, 2 * H:] = delta_h * Z[t] * (1 - C[t] ** 2)
        delta_q = delta[t, :, 2 * H:] @ Uh.T
        delta[t, :, :H] = delta_h * (C[t] - before[t]) * Z[t] * (1 - Z[t])
        delta[t, :, H:2 * H] = delta_q * before[t] * R[t] * (1 - R[t])
        delta_h = delta_h * (1 - Z[t]) + delta_q * R[t] + delta[t, :, :2 * H] @ U2.T

    gW = np.tensordot(x, delta, axes=([0, 1], [0, 1]))
    gb = delta.sum(axis=(0, 1))
    gU2 = np.einsum("tnh,tnk->hk", before, delta[:, :, :2 * H])
    gUh = np.einsum("tnh,tnk->hk", R * before, delta[:, :, 2 * H:])
    gv = delta_s @ last
    return {"h0": delta_h, "v": gv, "c": delta_s.sum(keepdims=True),
            "Wz": gW[:, :H], "Wr": gW[:, H:2 * H], "Wh": gW[:, 2 * H:],
            "bz": gb[:H], "br": gb[H:2 * H], "bh": gb[2 * H:],
            "Uz": gU2[:, :H], "Ur": gU2[:, H:], "Uh": gUh}


RIGHT = (with_caches, one_sequence_at_a_time, stacked_gates)

SLIPS = (
    Slip("update gate's two ends exchanged in dz", with_caches, ("dz = dh * (g - h)", "dz = dh * (h - g)"),
         label=label("sign swapped", "z h", "subtract multiply add sigmoid")),
    Slip("update gate sees only the candidate", with_caches, ("dz = dh * (g - h)", "dz = dh * g"),
         label=label("dropped-path", "z h", "subtract multiply")),
    Slip("state carried by z instead of one minus z", with_caches, ("dh = dh * (1 - z)", "dh = dh * z"),
         label=label("wrong-operand wrong-local-rule", "h z", "multiply subtract")),
    Slip("candidate's share taken after dh was scaled", with_caches,
         ("dg = dh * z", ""), ("dh = dh * (1 - z)", "dh = dh * (1 - z)\ndg = dh * z"),
         label=label("stale-value wrong-operand double-derivative", "g h z", "multiply")),
    Slip("reset gate left out on the way back to the state", with_caches, ("dh += drh * r", "dh += drh"),
         label=label("missing-local-derivative wrong-operand", "rh h r", "multiply")),
    Slip("no way back through the reset gate", with_caches, ("dh += dar @ Ur.T", ""),
         label=label("dropped-path", "h r", "matmul sigmoid")),
    Slip("way through the update gate overwrites the state's gradient", with_caches,
         ("dh += daz @ Uz.T", "dh = daz @ Uz.T"),
         label=label("overwritten-accumulation dropped-path", "h z", "matmul multiply")),
    Slip("reset gate paired with the new state", with_caches, ("dr = drh * h", "dr = drh * hs[t + 1]"),
         label=label("wrong-operand stale-value", "r rh h", "multiply")),
    Slip("candidate's recurrent weights with the state not reset", with_caches,
         ("dUh += (r * h).T @ dag", "dUh += h.T @ dag"),
         label=label("wrong-operand", "Uh g rh", "matmul")),
    Slip("sigmoid' of the update gate pasted from the reset gate", with_caches,
         ("daz = dz * z * (1 - z)", "daz = dz * r * (1 - r)"),
         label=label("wrong-argument wrong-operand", "z", "sigmoid")),
    Slip("input of the step before for Wr", with_caches, ("dWr += x[t].T @ dar", "dWr += x[t - 1].T @ dar"),
         label=label("wrong-operand stale-value", "Wr r x", "matmul")),
    Slip("loop stops before the first step", with_caches,
         ("for t in reversed(range(T)):", "for t in reversed(range(1, T)):"),
         label=label("dropped-path", "h h0 z r g rh Wz Uz bz Wr Ur br Wh Uh bh")),
    Slip("error of the output fed in at every step", with_caches,
         ("dh += drh * r", "dh += drh * r + (np.outer(ds, v) if t else 0)"),
         label=label("extra-term", "h s loss", "matmul add")),
    Slip("candidate's bias keeps the first step only", with_caches, ("dbh += dag.sum(0)", "dbh = dag.sum(0)"),
         label=label("overwritten-accumulation dropped-path", "bh g", "add")),
    Slip("Ur used without transposing", with_caches, ("dh += dar @ Ur.T", "dh += dar @ Ur"),
         label=label("missing-transpose", "h r Ur", "matmul")),
    Slip("tanh' at the update gate's value", with_caches, ("dag = dg * (1 - g * g)", "dag = dg * (1 - z * z)"),
         label=label("wrong-argument wrong-operand", "g", "tanh")),
    Slip("sigmoid' on top of the logistic loss", with_caches,
         ("ds = (sigmoid(hs[T] @ v + c) - y) / len(y)",
          "p = sigmoid(hs[T] @ v + c)\nds = (p - y) * p * (1 - p) / len(y)"),
         label=label("double-derivative", "s each loss", "softplus")),
    Slip("state runs on from one sequence to the next", one_sequence_at_a_time,
         ("state = h0[n]", "state = h0[n] if n == 0 else state"),
         label=label("stale-value wrong-operand", "h h0 z r g rh")),
    Slip("forward mixes with the gate the other way round", one_sequence_at_a_time,
         ("state = state + up * (cand - state)", "state = cand + up * (state - cand)"),
         label=label("swapped wrong-operand wrong-local-rule", "h z g", "multiply subtract add")),
    Slip("tanh' of the candidate forgotten", one_sequence_at_a_time,
         ("d_cand = carry * up * (1 - cand ** 2)", "d_cand = carry * up"),
         label=label("missing-local-derivative", "g", "tanh")),
    Slip("one sigmoid factor of the reset gate forgotten", one_sequence_at_a_time,
         ("d_res = through * old * res * (1 - res)", "d_res = through * old * (1 - res)"),
         label=label("wrong-local-rule", "r", "sigmoid")),
    Slip("outer product of Uz turned round", one_sequence_at_a_time,
         ('G["Uz"] = G["Uz"] + np.outer(old, d_up)', 'G["Uz"] = G["Uz"] + np.outer(d_up, old)'),
         label=label("transposed-result missing-transpose", "Uz z", "matmul")),
    Slip("Wr set instead of added to", one_sequence_at_a_time,
         ('G["Wr"] = G["Wr"] + np.outer(xt, d_res)', 'G["Wr"] = np.outer(xt, d_res)'),
         label=label("overwritten-accumulation dropped-path", "Wr r", "matmul")),
    Slip("gates' weights exchanged in the carry", one_sequence_at_a_time,
         ("carry = carry * (1 - up) + through * res + Uz @ d_up + Ur @ d_res",
          "carry = carry * (1 - up) + through * res + Ur @ d_up + Uz @ d_res"),
         label=label("swapped wrong-operand", "h z r Uz Ur", "matmul")),
    Slip("direct carry forgotten", one_sequence_at_a_time,
         ("carry = carry * (1 - up) + through * res + Uz @ d_up + Ur @ d_res",
          "carry = through * res + Uz @ d_up + Ur @ d_res"),
         label=label("dropped-path", "h z", "multiply add")),
    Slip("output weights meet the state of the step before", one_sequence_at_a_time,
         ('G["v"] = G["v"] + err * state', 'G["v"] = G["v"] + err * tape[-1][1]'),
         label=label("wrong-operand stale-value", "v s h", "matmul")),
    Slip("batch mean forgotten at the output", stacked_gates,
         ("delta_s = (sigmoid(last @ v + c) - y) / N", "delta_s = sigmoid(last @ v + c) - y"),
         label=label("scale", "s each loss", "mean subtract softplus")),
    Slip("averaged over the steps as well", stacked_gates,
         ("delta_s = (sigmoid(last @ v + c) - y) / N", "delta_s = (sigmoid(last @ v + c) - y) / (N * T)"),
         label=label("scale", "s each loss", "mean subtract softplus")),
    Slip("recurrent weights of the gates meet the states after", stacked_gates,
         ('gU2 = np.einsum("tnh,tnk->hk", before, delta[:, :, :2 * H])',
          'gU2 = np.einsum("tnh,tnk->hk", states[1:], delta[:, :, :2 * H])'),
         label=label("wrong-operand stale-value", "Uz Ur z r h", "matmul")),
    Slip("update gate's slice used as the reset gate in Uh", stacked_gates,
         ('gUh = np.einsum("tnh,tnk->hk", R * before, delta[:, :, 2 * H:])',
          'gUh = np.einsum("tnh,tnk->hk", Z * before, delta[:, :, 2 * H:])'),
         label=label("wrong-operand", "Uh rh g", "matmul multiply")),
    Slip("slices of the stacked bias in the wrong order", stacked_gates,
         ('"bz": gb[:H], "br": gb[H:2 * H], "bh": gb[2 * H:],', '"bz": gb[H:2 * H], "br": gb[:H], "bh": gb[2 * H:],'),
         label=label("swapped", "bz br z r", "add")),
    Slip("biases averaged over the batch", stacked_gates,
         ("gb = delta.sum(axis=(0, 1))", "gb = delta.mean(axis=1).sum(axis=0)"),
         label=label("scale missing-broadcast-reduction", "bz br bh z r g", "add")),
    Slip("candidate's way back forgotten, and the mean", stacked_gates,
         ("delta_h = delta_h * (1 - Z[t]) + delta_q * R[t] + delta[t, :, :2 * H] @ U2.T",
          "delta_h = delta_h * (1 - Z[t]) + delta[t, :, :2 * H] @ U2.T"),
         ("gv = delta_s @ last", "gv = N * delta_s @ last"),
         label=label("two", "h rh v s", "multiply matmul")),
    Slip("only the last two steps followed back", stacked_gates,
         ("for t in range(T - 1, -1, -1):", "delta[:T - 2] = 0\nfor t in range(T - 1, T - 3, -1):"),
         label=label("dropped-path treated-as-constant", "h h0 z r g rh Wz Uz bz Wr Ur br Wh Uh bh")),
    Slip("reset gate's error formed with the reset state", stacked_gates,
         ("delta[t, :, H:2 * H] = delta_q * before[t] * R[t] * (1 - R[t])",
          "delta[t, :, H:2 * H] = delta_q * R[t] * before[t] * R[t] * (1 - R[t])"),
         label=label("wrong-operand wrong-local-rule", "r rh", "multiply sigmoid")),
)
