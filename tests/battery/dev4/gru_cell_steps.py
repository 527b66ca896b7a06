"""A gated recurrent unit in columns, with separate matrices, over three steps; squared error of a read-out."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("Wz", "Uz", "bz", "Wr", "Ur", "br", "Wn", "Un", "bn", "V")


def data(rng, dtype):
    def normal(*shape):
        return (0.7 * rng.normal(size=shape)).astype(dtype)

    return {"xs": normal(3, 2, 6), "h0": normal(4, 6), "target": normal(5, 6),
            "Wz": normal(4, 2), "Uz": normal(4, 4), "bz": normal(4, 1),
            "Wr": normal(4, 2), "Ur": normal(4, 4), "br": normal(4, 1),
            "Wn": normal(4, 2), "Un": normal(4, 4), "bn": normal(4, 1), "V": normal(5, 4)}


def loss(xs, h0, target, Wz, Uz, bz, Wr, Ur, br, Wn, Un, bn, V):
    h = h0
    for t in range(3):
        x = xs[t]
        z = ad.sigmoid(Wz @ x + Uz @ h + bz)
        r = ad.sigmoid(Wr @ x + Ur @ h + br)
        rh = r * h
        n = np.tanh(Wn @ x + Un @ rh + bn)
        h = z * h + (1 - z) * n
    out = V @ h
    err = out - target
    loss = 0.5 * np.sum(err ** 2) / 6
    return loss


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def with_cache(xs, h0, target, Wz, Uz, bz, Wr, Ur, br, Wn, Un, bn, V):
    cache = []
    h = h0
    for x in xs:
        z = sigmoid(Wz @ x + Uz @ h + bz)
        r = sigmoid(Wr @ x + Ur @ h + br)
        n = np.tanh(Wn @ x + Un @ (r * h) + bn)
        cache.append((x, h, z, r, n))
        h = z * h + (1 - z) * n
    derr = (V @ h - target) / 6
    dV = derr @ h.T
    dh = V.T @ derr
    dWz, dUz, dbz = np.zeros_like(Wz), np.zeros_like(Uz), np.zeros_like(bz)
    dWr, dUr, dbr = np.zeros_like(Wr), np.zeros_like(Ur), np.zeros_like(br)
    dWn, dUn, dbn = np.zeros_like(Wn), np.zeros_like(Un), np.zeros_like(bn)
    for x, hp, z, r, n in reversed(cache):
        dn = dh * (1 - z)
        dz = dh * (hp - n)
        dhp = dh * z
        dpn = dn * (1 - n ** 2)
        dWn += dpn @ x.T
        dUn += dpn @ (r * hp).T
        dbn += dpn.sum(axis=1, keepdims=True)
        drh = Un.T @ dpn
        dr = drh * hp
        dhp += drh * r
        dpr = dr * r * (1 - r)
        dWr += dpr @ x.T
        dUr += dpr @ hp.T
        dbr += dpr.sum(axis=1, keepdims=True)
        dhp += Ur.T @ dpr
        dpz = dz * z * (1 - z)
        dWz += dpz @ x.T
        dUz += dpz @ hp.T
        dbz += dpz.sum(axis=1, keepdims=True)
        dhp += Uz.T @ dpz
        dh = dhp
    return {"Wz": dWz, "Uz": dUz, "bz": dbz, "Wr": dWr, "Ur": dUr, "br": dbr,
            "Wn": dWn, "Un": dUn, "bn": dbn, "V": dV}


def time_arrays(xs, h0, target, Wz, Uz, bz, Wr, Ur, br, Wn, Un, bn, V):
    T = len(xs)
    H = np.zeros((T + 1, *h0.shape), h0.dtype)
    Z, R, N = (np.zeros((T, *h0.shape), h0.dtype) for _ in range(3))
    H[0] = h0
    for t in range(T):
        Z[t] = sigmoid(Wz @ xs[t] + Uz @ H[t] + bz)
        R[t] = sigmoid(Wr @ xs[t] + Ur @ H[t] + br)
        N[t] = np.tanh(Wn @ xs[t] + Un @ (R[t] * H[t]) + bn)
        H[t + 1] = N[t] + Z[t] * (H[t] - N[t])
    g_out = (V @ H[T] - target) / h0.shape[1]
    g_H = np.zeros_like(H)
    g_az, g_ar, g_an = np.zeros_like(Z), np.zeros_like(R), np.zeros_like(N)
    g_H[T] = V.T @ g_out
    for t in range(T - 1, -1, -1):
        g_az[t] = g_H[t + 1] * (H[t] - N[t]) * Z[t] * (1 - Z[t])
        g_an[t] = g_H[t + 1] * (1 - Z[t]) * (1 - N[t] ** 2)
        back = Un.T @ g_an[t]
        g_ar[t] = back * H[t] * R[t] * (1 - R[t])
        g_H[t] = g_H[t + 1] * Z[t] + back * R[t] + Ur.T @ g_ar[t] + Uz.T @ g_az[t]
    RH = R * H[:-1]
    prev = H[:-1]
    return {"Wz": np.einsum("thn,tin->hi", g_az, xs), "Uz": np.einsum("thn,tkn->hk", g_az, prev),
            "bz": g_az.sum((0, 2))[:, None],
            "Wr": np.einsum("thn,tin->hi", g_ar, xs), "Ur": np.einsum("thn,tkn->hk", g_ar, prev),
            "br": g_ar.sum((0, 2))[:, None],
            "Wn": np.einsum("thn,tin->hi", g_an, xs), "Un": np.einsum("thn,tkn->hk", g_an, RH),
            "bn": g_an.sum((0, 2))[:, None],
            "V": g_out @ H[T].T}


def forward_step(x, h, Wz, Uz, bz, Wr, Ur, br, Wn, Un, bn):
    z = sigmoid(Wz @ x + Uz @ h + bz)
    r = sigmoid(Wr @ x + Ur @ h + br)
    n = np.tanh(Wn @ x + Un @ (r * h) + bn)
    return z * h + (1 - z) * n, z, r, n


def gate(delta, x, h):
    return delta @ x.T, delta @ h.T, delta.sum(1, keepdims=True)


def recursive(xs, h0, target, Wz, Uz, bz, Wr, Ur, br, Wn, Un, bn, V):
    grads = {}

    def add(letter, parts):
        for name, part in zip(("W", "U", "b"), parts):
            grads[name + letter] = grads.get(name + letter, 0) + part

    def visit(t, h):
        if t == len(xs):
            e = V @ h - target
            e = e / e.shape[1]
            grads["V"] = e @ h.T
            return V.T @ e
        x = xs[t]
        h_new, z, r, n = forward_step(x, h, Wz, Uz, bz, Wr, Ur, br, Wn, Un, bn)
        delta_h = visit(t + 1, h_new)
        delta_n = delta_h * (1 - z) * (1 + n) * (1 - n)
        delta_z = delta_h * (h - n) * (z - z ** 2)
        delta_rh = Un.T @ delta_n
        delta_r = delta_rh * h * (r - r ** 2)
        add("n", gate(delta_n, x, r * h))
        add("r", gate(delta_r, x, h))
        add("z", gate(delta_z, x, h))
        direct = delta_h * z
        through_gates = Uz.T @ delta_z + Ur.T @ delta_r
        through_n = delta_rh * r
        return direct + through_gates + through_n

    visit(0, h0)
    return {"d" + name: grads[name] for name in grads}


RIGHT = (with_cache, time_arrays, recursive)

SLIPS = (
    Slip("n's share taken with z instead of one minus z", with_cache,
         ("dn = dh * (1 - z)", "dn = dh * z"), ("dhp = dh * z", "dhp = dh * (1 - z)"),
         label=label("wrong-operand swapped wrong-local-rule", "h n z", "multiply add")),
    Slip("update gate's gradient only from the state it keeps", with_cache,
         ("dz = dh * (hp - n)", "dz = dh * hp"),
         label=label("dropped-path treated-as-constant", "z h", "multiply subtract add")),
    Slip("update gate's gradient with n minus the old state", with_cache,
         ("dz = dh * (hp - n)", "dz = dh * (n - hp)"),
         label=label("sign", "z h", "multiply subtract add sigmoid")),
    Slip("old state's direct path overwritten by the one through the reset gate", with_cache,
         ("dhp += drh * r", "dhp = drh * r"),
         label=label("overwritten-accumulation dropped-path", "h rh z", "multiply add")),
    Slip("reset gate's path to the old state forgotten", with_cache,
         ("dhp += Ur.T @ dpr", ""),
         label=label("dropped-path", "h r", "matmul")),
    Slip("Un's gradient with the state that is not reset", with_cache,
         ("dUn += dpn @ (r * hp).T", "dUn += dpn @ hp.T"),
         label=label("wrong-operand", "Un rh n", "matmul")),
    Slip("tanh' taken as n (1 - n)", with_cache,
         ("dpn = dn * (1 - n ** 2)", "dpn = dn * n * (1 - n)"),
         label=label("wrong-local-rule", "n", "tanh")),
    Slip("copied block: bias of the reset gate gets the update gate's sum", with_cache,
         ("dbz += dpz.sum(axis=1, keepdims=True)", "dbr += dpz.sum(axis=1, keepdims=True)"),
         label=label("wrong-operand extra-term dropped-path scatter", "bz br z r", "add")),
    Slip("gradient of the state not handed on to the step before", with_cache,
         ("dh = dhp", ""),
         label=label("stale-value dropped-path wrong-operand", "h", "multiply add")),
    Slip("transpose of Un forgotten going back", with_cache,
         ("drh = Un.T @ dpn", "drh = Un @ dpn"),
         label=label("missing-transpose", "rh n Un", "matmul")),
    Slip("state kept in the cache is the new one", with_cache,
         ("cache.append((x, h, z, r, n))", ""),
         ("h = z * h + (1 - z) * n", "h = z * h + (1 - z) * n\ncache.append((x, h, z, r, n))"),
         label=label("stale-value wrong-operand", "h z r n rh Un Ur Uz", "multiply matmul")),
    Slip("hidden state of the next step in Uz", time_arrays,
         ('return {"Wz": np.einsum("thn,tin->hi", g_az, xs), "Uz": np.einsum("thn,tkn->hk", g_az, prev),',
          'return {"Wz": np.einsum("thn,tin->hi", g_az, xs), "Uz": np.einsum("thn,tkn->hk", g_az, H[1:]),'),
         label=label("wrong-operand stale-value", "Uz z h", "matmul")),
    Slip("backward loop stops before the first step", time_arrays,
         ("for t in range(T - 1, -1, -1):", "for t in range(T - 1, 0, -1):"),
         label=label("dropped-path", "h z r n x Wz Uz bz Wr Ur br Wn Un bn", "matmul add")),
    Slip("reset gate multiplies twice on the way to its own gradient", time_arrays,
         ("g_ar[t] = back * H[t] * R[t] * (1 - R[t])", "g_ar[t] = back * R[t] * H[t] * R[t] * (1 - R[t])"),
         label=label("wrong-operand wrong-local-rule", "r rh h", "multiply sigmoid")),
    Slip("direct path to the old state through the candidate not reset", time_arrays,
         ("g_H[t] = g_H[t + 1] * Z[t] + back * R[t] + Ur.T @ g_ar[t] + Uz.T @ g_az[t]",
          "g_H[t] = g_H[t + 1] * Z[t] + back + Ur.T @ g_ar[t] + Uz.T @ g_az[t]"),
         label=label("missing-local-derivative wrong-operand", "h rh r", "multiply")),
    Slip("the two recurrent gate matrices exchanged on the way back", time_arrays,
         ("g_H[t] = g_H[t + 1] * Z[t] + back * R[t] + Ur.T @ g_ar[t] + Uz.T @ g_az[t]",
          "g_H[t] = g_H[t + 1] * Z[t] + back * R[t] + Uz.T @ g_ar[t] + Ur.T @ g_az[t]"),
         label=label("swapped wrong-operand", "h z r Uz Ur", "matmul")),
    Slip("half of the squared error forgotten: factor two at the output", time_arrays,
         ("g_out = (V @ H[T] - target) / h0.shape[1]", "g_out = 2 * (V @ H[T] - target) / h0.shape[1]"),
         label=label("scale", "out err loss", "square sum divide subtract multiply")),
    Slip("bias bn summed at the last step only", time_arrays,
         ('"bn": g_an.sum((0, 2))[:, None],', '"bn": g_an[-1].sum(1)[:, None],'),
         label=label("dropped-path missing-broadcast-reduction overwritten-accumulation", "bn n", "add")),
    Slip("read-out error divided by the number of outputs", recursive,
         ("e = e / e.shape[1]", "e = e / e.shape[0]"),
         label=label("scale", "out err loss", "square sum divide subtract multiply")),
    Slip("direct carry of the state left out", recursive,
         ("return direct + through_gates + through_n", "return through_gates + through_n"),
         label=label("dropped-path", "h z", "multiply add")),
    Slip("gates' gradients before the sigmoid's slope for z", recursive,
         ("delta_z = delta_h * (h - n) * (z - z ** 2)", "delta_z = delta_h * (h - n)"),
         label=label("missing-local-derivative", "z", "sigmoid")),
    Slip("reset gate's slope taken from the update gate", recursive,
         ("delta_r = delta_rh * h * (r - r ** 2)", "delta_r = delta_rh * h * (z - z ** 2)"),
         label=label("wrong-argument wrong-operand", "r z", "sigmoid")),
    Slip("new state instead of the old one in the reset gate's weights", recursive,
         ('add("r", gate(delta_r, x, h))', 'add("r", gate(delta_r, x, h_new))'),
         label=label("wrong-operand stale-value", "Ur r h", "matmul")),
    Slip("update gate's sign, and Un with the plain state", recursive,
         ("delta_z = delta_h * (h - n) * (z - z ** 2)", "delta_z = delta_h * (n - h) * (z - z ** 2)"),
         ('add("n", gate(delta_n, x, r * h))', 'add("n", gate(delta_n, x, h))'),
         label=label("two", "z h Un rh n", "multiply subtract matmul sigmoid add")),
)
