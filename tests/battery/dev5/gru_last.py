"""A GRU over three steps on rows, each gate with one weight for input and state; a logistic unit on the last state."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("Wz", "bz", "Wr", "br", "Wn", "bn", "v", "c")


def data(rng, dtype):
    leaves = {"xs": rng.normal(size=(3, 6, 4)), "h0": rng.normal(size=(6, 5)), "v": rng.normal(size=5),
              "c": rng.normal(size=()), "y": (rng.random(6) > 0.5) * 1.0}
    for gate in "zrn":
        leaves["W" + gate] = 0.7 * rng.normal(size=(9, 5))
        leaves["b" + gate] = rng.normal(size=5)
    return {name: np.asarray(value).astype(dtype) for name, value in leaves.items()}


def loss(xs, h0, y, Wz, bz, Wr, br, Wn, bn, v, c):
    h = h0
    for t in range(3):
        xh = np.concatenate([xs[t], h], axis=1)
        z = ad.sigmoid(xh @ Wz + bz)
        r = ad.sigmoid(xh @ Wr + br)
        xrh = np.concatenate([xs[t], r * h], axis=1)
        n = np.tanh(xrh @ Wn + bn)
        h = (1 - z) * n + z * h
    logit = h @ v + c
    losses = ad.softplus(logit) - y * logit
    loss = losses.mean()
    return loss


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def backward_through_time(xs, h0, y, Wz, bz, Wr, br, Wn, bn, v, c):
    T, m, d = xs.shape
    hs, cache = [h0], []
    for t in range(T):
        h = hs[-1]
        xh = np.hstack([xs[t], h])
        z = sigmoid(xh @ Wz + bz)
        r = sigmoid(xh @ Wr + br)
        xrh = np.hstack([xs[t], r * h])
        n = np.tanh(xrh @ Wn + bn)
        cache.append((xh, z, r, xrh, n))
        hs.append((1 - z) * n + z * h)
    dlogit = (sigmoid(hs[-1] @ v + c) - y) / m
    dv = hs[-1].T @ dlogit
    dc = dlogit.sum()
    dh = np.outer(dlogit, v)
    dWz, dWr, dWn = np.zeros_like(Wz), np.zeros_like(Wr), np.zeros_like(Wn)
    dbz, dbr, dbn = np.zeros_like(bz), np.zeros_like(br), np.zeros_like(bn)
    for t in reversed(range(T)):
        xh, z, r, xrh, n = cache[t]
        h_prev = hs[t]
        dn = dh * (1 - z)
        dz = dh * (h_prev - n)
        dh_prev = dh * z
        dan = dn * (1 - n ** 2)
        dWn += xrh.T @ dan
        dbn += dan.sum(axis=0)
        dxrh = dan @ Wn.T
        drh = dxrh[:, d:]
        dr = drh * h_prev
        dh_prev = dh_prev + drh * r
        daz = dz * z * (1 - z)
        dar = dr * r * (1 - r)
        dWz += xh.T @ daz
        dWr += xh.T @ dar
        dbz += daz.sum(axis=0)
        dbr += dar.sum(axis=0)
        dxh = daz @ Wz.T + dar @ Wr.T
        dh = dh_prev + dxh[:, d:]
    return {"Wz": dWz, "bz": dbz, "Wr": dWr, "br": dbr, "Wn": dWn, "bn": dbn, "v": dv, "c": dc}


def one_cell_back(g, x, h, z, r, n, Wz, Wr, Wn):
    k = x.shape[1]
    g_n = g * (1 - z) * (1 - n * n)
    g_z = g * (h - n) * z * (1 - z)
    g_rh = g_n @ Wn[k:].T
    g_r = g_rh * h * r * (1 - r)
    g_h = g * z + g_rh * r + g_z @ Wz[k:].T + g_r @ Wr[k:].T
    return g_h, g_z, g_r, g_n


def gates_stacked(xs, h0, y, Wz, bz, Wr, br, Wn, bn, v, c):
    T, batch, k = xs.shape
    H, Z, R, N = [h0], [], [], []
    for t in range(T):
        before = H[t]
        Z.append(sigmoid(xs[t] @ Wz[:k] + before @ Wz[k:] + bz))
        R.append(sigmoid(xs[t] @ Wr[:k] + before @ Wr[k:] + br))
        N.append(np.tanh(xs[t] @ Wn[:k] + (R[t] * before) @ Wn[k:] + bn))
        H.append(Z[t] * before + (1 - Z[t]) * N[t])
    g_logit = (sigmoid(H[T] @ v + c) - y) / batch
    g = g_logit[:, None] * v
    GZ, GR, GN = [None] * T, [None] * T, [None] * T
    for t in range(T - 1, -1, -1):
        g, GZ[t], GR[t], GN[t] = one_cell_back(g, xs[t], H[t], Z[t], R[t], N[t], Wz, Wr, Wn)
    GZ, GR, GN = np.array(GZ), np.array(GR), np.array(GN)
    before = np.array(H[:-1])
    reset = np.array(R) * before
    both = np.concatenate([xs, before], axis=2)
    gated = np.concatenate([xs, reset], axis=2)
    return {
        "Wz": np.einsum("tmi,tmo->io", both, GZ),
        "Wr": np.einsum("tmi,tmo->io", both, GR),
        "Wn": np.einsum("tmi,tmo->io", gated, GN),
        "bz": GZ.sum(axis=(0, 1)),
        "br": GR.sum(axis=(0, 1)),
        "bn": GN.sum(axis=(0, 1)),
        "v": g_logit @ H[T],
        "c": np.sum(g_logit),
    }


def one_sequence_at_a_time(xs, h0, y, Wz, bz, Wr, br, Wn, bn, v, c):
    steps, count, width = xs.shape
    out = {"dWz": 0, "dbz": 0, "dWr": 0, "dbr": 0, "dWn": 0, "dbn": 0, "dv": 0, "dc": 0}
    for i in range(count):
        state = h0[i]
        tape = []
        for t in range(steps):
            a = np.concatenate([xs[t, i], state])
            z, r = sigmoid(a @ Wz + bz), sigmoid(a @ Wr + br)
            b = np.concatenate([xs[t, i], r * state])
            n = np.tanh(b @ Wn + bn)
            tape.append((a, b, z, r, n, state))
            state = n + z * (state - n)
        error = (sigmoid(state @ v + c) - y[i]) / count
        out["dv"] = out["dv"] + error * state
        out["dc"] = out["dc"] + error
        delta = error * v
        while tape:
            a, b, z, r, n, state = tape.pop()
            delta_n = delta * (1 - z) * (1 - n ** 2)
            delta_z = delta * (state - n) * z * (1 - z)
            gated = (Wn @ delta_n)[width:]
            delta_r = gated * state * r * (1 - r)
            out["dWn"] = out["dWn"] + np.outer(b, delta_n)
            out["dWz"] = out["dWz"] + np.outer(a, delta_z)
            out["dWr"] = out["dWr"] + np.outer(a, delta_r)
            out["dbn"] = out["dbn"] + delta_n
            out["dbz"] = out["dbz"] + delta_z
            out["dbr"] = out["dbr"] + delta_r
            delta = delta * z + gated * r
            delta = delta + (Wz @ delta_z + Wr @ delta_r)[width:]
    return out


RIGHT = (backward_through_time, gates_stacked, one_sequence_at_a_time)

SLIPS = (
    Slip("update gate's two sides exchanged in dz", backward_through_time,
         ("dz = dh * (h_prev - n)", "dz = dh * (n - h_prev)"),
         label=label("sign swapped", "z h", "multiply subtract add sigmoid")),
    Slip("new state's h in place of the previous one for the reset gate", backward_through_time,
         ("dr = drh * h_prev", "dr = drh * hs[t + 1]"),
         label=label("wrong-operand stale-value", "r h xrh", "multiply sigmoid")),
    Slip("path of the reset state to the previous h forgotten", backward_through_time,
         ("dh_prev = dh_prev + drh * r", ""),
         label=label("dropped-path", "h r xrh", "multiply concatenate")),
    Slip("path of the reset state overwrites the carry", backward_through_time,
         ("dh_prev = dh_prev + drh * r", "dh_prev = drh * r"),
         label=label("overwritten-accumulation dropped-path", "h r z xrh", "multiply add")),
    Slip("reset gate not multiplied where the reset state goes back", backward_through_time,
         ("dh_prev = dh_prev + drh * r", "dh_prev = dh_prev + drh"),
         label=label("missing-local-derivative wrong-local-rule wrong-operand", "h r xrh", "multiply")),
    Slip("gates give nothing to the previous state", backward_through_time,
         ("dh = dh_prev + dxh[:, d:]", "dh = dh_prev"),
         label=label("dropped-path", "h xh z r", "concatenate matmul")),
    Slip("candidate weight goes with the ungated concatenation", backward_through_time,
         ("dWn += xrh.T @ dan", "dWn += xh.T @ dan"),
         label=label("wrong-operand stale-value", "Wn xrh xh n", "matmul")),
    Slip("gradients of candidate weight of the last seen step only", backward_through_time,
         ("dWn += xrh.T @ dan", "dWn = xrh.T @ dan"),
         label=label("overwritten-accumulation dropped-path", "Wn xrh n", "matmul")),
    Slip("bias of reset gate taken from before its sigmoid", backward_through_time,
         ("dbr += dar.sum(axis=0)", "dbr += dr.sum(axis=0)"),
         label=label("missing-local-derivative wrong-operand stale-value", "br r", "add sigmoid")),
    Slip("weights of the gates exchanged on the way back", backward_through_time,
         ("dxh = daz @ Wz.T + dar @ Wr.T", "dxh = daz @ Wr.T + dar @ Wz.T"),
         label=label("swapped wrong-operand", "xh Wz Wr h z r", "matmul")),
    Slip("previous state gated by z instead of r for the candidate's weight", gates_stacked,
         ("reset = np.array(R) * before", "reset = np.array(Z) * before"),
         label=label("wrong-operand", "Wn xrh r z n", "multiply matmul")),
    Slip("states one step late in the weights", gates_stacked,
         ("before = np.array(H[:-1])", "before = np.array(H[1:])"),
         label=label("wrong-operand stale-value", "xh h xrh Wz Wr Wn z r n", "concatenate matmul multiply")),
    Slip("batch mean dropped at the logit", gates_stacked,
         ("g_logit = (sigmoid(H[T] @ v + c) - y) / batch", "g_logit = sigmoid(H[T] @ v + c) - y"),
         label=label("scale", "logit losses loss", "mean softplus")),
    Slip("first step not gone back through", gates_stacked,
         ("for t in range(T - 1, -1, -1):",
          "GZ[0] = GR[0] = GN[0] = np.zeros_like(h0)\nfor t in range(T - 1, 0, -1):"),
         label=label("dropped-path", "h xh xrh z r n Wz Wr Wn bz br bn", "matmul add concatenate sigmoid tanh")),
    Slip("output weight from the state before last", gates_stacked,
         ('"v": g_logit @ H[T],', '"v": g_logit @ H[T - 1],'),
         label=label("wrong-operand stale-value", "v h logit", "matmul")),
    Slip("roles of z and 1 - z exchanged backwards", one_sequence_at_a_time,
         ("delta_n = delta * (1 - z) * (1 - n ** 2)", "delta_n = delta * z * (1 - n ** 2)"),
         ("delta = delta * z + gated * r", "delta = delta * (1 - z) + gated * r"),
         label=label("swapped wrong-operand wrong-argument wrong-local-rule", "h z n", "multiply subtract add")),
    Slip("carry lost, only the gated part is passed", one_sequence_at_a_time,
         ("delta = delta * z + gated * r", "delta = gated * r"),
         label=label("dropped-path", "h z", "multiply add")),
    Slip("sigmoid' of the update gate once more", one_sequence_at_a_time,
         ("delta_z = delta * (state - n) * z * (1 - z)", "delta_z = delta * (state - n) * (z * (1 - z)) ** 2"),
         label=label("double-derivative", "z", "sigmoid")),
    Slip("reset gate's sigmoid not derived, and the output bias with the other sign", one_sequence_at_a_time,
         ("delta_r = gated * state * r * (1 - r)", "delta_r = gated * state * r"),
         ('out["dc"] = out["dc"] + error', 'out["dc"] = out["dc"] - error'),
         label=label("two", "r br Wr c logit", "sigmoid add")),
    Slip("reset weight receives the update gate's delta", one_sequence_at_a_time,
         ('out["dWr"] = out["dWr"] + np.outer(a, delta_r)', 'out["dWr"] = out["dWr"] + np.outer(a, delta_z)'),
         label=label("wrong-operand swapped", "Wr r z", "matmul sigmoid")),
)
