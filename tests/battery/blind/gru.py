"""A GRU over three steps, rows are examples; squared error of a number read from the last state."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip

PARAMETERS = ("Wz", "Uz", "bz", "Wr", "Ur", "br", "Wn", "Un", "bn", "v", "h0")


def data(rng, dtype):
    n = lambda *shape: (0.8 * rng.normal(size=shape)).astype(dtype)
    leaves = {"x1": n(5, 3), "x2": n(5, 3), "x3": n(5, 3), "h0": n(5, 4), "v": n(4), "y": n(5)}
    for gate in "zrn":
        leaves |= {f"W{gate}": n(3, 4), f"U{gate}": n(4, 4), f"b{gate}": n(4)}
    return leaves


def loss(x1, x2, x3, h0, Wz, Uz, bz, Wr, Ur, br, Wn, Un, bn, v, y):
    h = h0
    for x in (x1, x2, x3):
        z = ad.sigmoid(x @ Wz + h @ Uz + bz)
        r = ad.sigmoid(x @ Wr + h @ Ur + br)
        n = np.tanh(x @ Wn + (r * h) @ Un + bn)
        h = (1 - z) * h + z * n
    pred = h @ v
    mse = np.square(pred - y).mean()
    return mse


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def every_gate_spelled_out(x1, x2, x3, h0, Wz, Uz, bz, Wr, Ur, br, Wn, Un, bn, v, y):
    xs = [x1, x2, x3]
    T = len(xs)
    hs, zs, rs, ns = [h0], [], [], []
    for t in range(T):
        zs.append(sigmoid(xs[t] @ Wz + hs[t] @ Uz + bz))
        rs.append(sigmoid(xs[t] @ Wr + hs[t] @ Ur + br))
        ns.append(np.tanh(xs[t] @ Wn + (rs[t] * hs[t]) @ Un + bn))
        hs.append((1 - zs[t]) * hs[t] + zs[t] * ns[t])
    pred = hs[T] @ v
    dpred = 2 * (pred - y) / len(y)
    dv = hs[T].T @ dpred
    dh = dpred[:, None] * v[None, :]
    dWz, dUz, dbz = np.zeros_like(Wz), np.zeros_like(Uz), np.zeros_like(bz)
    dWr, dUr, dbr = np.zeros_like(Wr), np.zeros_like(Ur), np.zeros_like(br)
    dWn, dUn, dbn = np.zeros_like(Wn), np.zeros_like(Un), np.zeros_like(bn)
    for t in range(T - 1, -1, -1):
        x, hprev, z, r, n = xs[t], hs[t], zs[t], rs[t], ns[t]
        dz = dh * (n - hprev)
        dn = dh * z
        dhprev = dh * (1 - z)
        dn_pre = dn * (1 - n ** 2)
        dWn += x.T @ dn_pre
        dUn += (r * hprev).T @ dn_pre
        dbn += dn_pre.sum(axis=0)
        drh = dn_pre @ Un.T
        dr = drh * hprev
        dhprev += drh * r
        dr_pre = dr * r * (1 - r)
        dWr += x.T @ dr_pre
        dUr += hprev.T @ dr_pre
        dbr += dr_pre.sum(axis=0)
        dhprev += dr_pre @ Ur.T
        dz_pre = dz * z * (1 - z)
        dWz += x.T @ dz_pre
        dUz += hprev.T @ dz_pre
        dbz += dz_pre.sum(axis=0)
        dhprev += dz_pre @ Uz.T
        dh = dhprev
    return {"Wz": dWz, "Uz": dUz, "bz": dbz, "Wr": dWr, "Ur": dUr, "br": dbr, "Wn": dWn, "Un": dUn, "bn": dbn,
            "v": dv, "h0": dh, "pred": dpred}


def backward_of_a_cell(x1, x2, x3, h0, Wz, Uz, bz, Wr, Ur, br, Wn, Un, bn, v, y):
    def forward(x, h):
        z, r = sigmoid(x @ Wz + h @ Uz + bz), sigmoid(x @ Wr + h @ Ur + br)
        n = np.tanh(x @ Wn + (r * h) @ Un + bn)
        return h + z * (n - h), (x, h, z, r, n)

    names = ["Wz", "Uz", "bz", "Wr", "Ur", "br", "Wn", "Un", "bn"]
    grads = {name: np.zeros_like(p) for name, p in zip(names, (Wz, Uz, bz, Wr, Ur, br, Wn, Un, bn))}

    def backward(g, cache):
        x, h, z, r, n = cache
        gn = g * z * (1 - n * n)
        gz = g * (n - h) * z * (1 - z)
        grh = gn @ Un.T
        gr = grh * h * r * (1 - r)
        for name, gate, state in (("z", gz, h), ("r", gr, h), ("n", gn, r * h)):
            grads["W" + name] += x.T @ gate
            grads["U" + name] += state.T @ gate
            grads["b" + name] += gate.sum(0)
        return g * (1 - z) + grh * r + gz @ Uz.T + gr @ Ur.T

    h1, cache1 = forward(x1, h0)
    h2, cache2 = forward(x2, h1)
    h3, cache3 = forward(x3, h2)
    e = h3 @ v - y
    g3 = 2 / len(y) * np.outer(e, v)
    g2 = backward(g3, cache3)
    g1 = backward(g2, cache2)
    g0 = backward(g1, cache1)
    return {**grads, "v": 2 / len(y) * e @ h3, "h0": g0}


def gates_stacked(x1, x2, x3, h0, Wz, Uz, bz, Wr, Ur, br, Wn, Un, bn, v, y):
    B, H = h0.shape
    W, U, b = np.hstack([Wz, Wr]), np.hstack([Uz, Ur]), np.hstack([bz, br])
    tape, h = [], h0
    for x in (x1, x2, x3):
        both = sigmoid(x @ W + h @ U + b)
        z, r = both[:, :H], both[:, H:]
        n = np.tanh(np.hstack([x, r * h]) @ np.vstack([Wn, Un]) + bn)
        tape.append((x, h, both, n))
        h = z * n + (1 - z) * h
    delta_y = (h @ v - y) * (2 / B)
    grad_v = delta_y @ h
    delta_h = np.outer(delta_y, v)
    grad_W, grad_U, grad_b = np.zeros_like(W), np.zeros_like(U), np.zeros_like(b)
    grad_Wn, grad_Un, grad_bn = np.zeros_like(Wn), np.zeros_like(Un), np.zeros_like(bn)
    for x, h, both, n in tape[::-1]:
        z, r = np.split(both, 2, axis=1)
        delta_n = delta_h * z * (1 - n ** 2)
        delta_rh = np.einsum("bj,ij->bi", delta_n, Un)
        delta_gates = np.hstack([delta_h * (n - h), delta_rh * h]) * both * (1 - both)
        grad_W += x.T @ delta_gates
        grad_U += h.T @ delta_gates
        grad_b += np.ones(B, dtype=b.dtype) @ delta_gates
        grad_Wn += x.T @ delta_n
        grad_Un += (r * h).T @ delta_n
        grad_bn += np.ones(B, dtype=b.dtype) @ delta_n
        delta_h = delta_h * (1 - z) + delta_rh * r + delta_gates @ U.T
    (gWz, gWr), (gUz, gUr) = np.split(grad_W, 2, axis=1), np.split(grad_U, 2, axis=1)
    gbz, gbr = np.split(grad_b, 2)
    return {"dWz": gWz, "dUz": gUz, "dbz": gbz, "dWr": gWr, "dUr": gUr, "dbr": gbr,
            "dWn": grad_Wn, "dUn": grad_Un, "dbn": grad_bn, "dv": grad_v, "dh0": delta_h}


RIGHT = (every_gate_spelled_out, backward_of_a_cell, gates_stacked)

SLIPS = (
    Slip("sign of the update gate: hprev - n", every_gate_spelled_out,
         ("dz = dh * (n - hprev)", "dz = dh * (hprev - n)")),
    Slip("forgot that n is subtracted from hprev: dz is dh n", every_gate_spelled_out,
         ("dz = dh * (n - hprev)", "dz = dh * n")),
    Slip("swapped z and 1 - z of the other GRU convention in the backward pass", every_gate_spelled_out,
         ("dn = dh * z", "dn = dh * (1 - z)"), ("dhprev = dh * (1 - z)", "dhprev = dh * z")),
    Slip("forgot the reset gate on the way to the previous state", every_gate_spelled_out,
         ("dhprev += drh * r", "dhprev += drh")),
    Slip("left out the path to the previous state through the reset gate", every_gate_spelled_out,
         ("dhprev += dr_pre @ Ur.T", "")),
    Slip("hprev instead of the reset hprev in Un's gradient", every_gate_spelled_out,
         ("dUn += (r * hprev).T @ dn_pre", "dUn += hprev.T @ dn_pre")),
    Slip("forgot sigmoid' at the reset gate", every_gate_spelled_out, ("dr_pre = dr * r * (1 - r)", "dr_pre = dr")),
    Slip("sigmoid derivative for the tanh of the candidate", every_gate_spelled_out,
         ("dn_pre = dn * (1 - n ** 2)", "dn_pre = dn * n * (1 - n)")),
    Slip("pasted the bias line: dbr collects the update gate", every_gate_spelled_out,
         ("dbr += dr_pre.sum(axis=0)", "dbr += dz.sum(axis=0)")),
    Slip("previous state's gradient overwritten by the update gate's path", every_gate_spelled_out,
         ("dhprev += dz_pre @ Uz.T", "dhprev = dz_pre @ Uz.T")),
    Slip("dh never handed to the previous step", every_gate_spelled_out, ("dh = dhprev", "")),
    Slip("dh changed to the previous state's before n's gradient was taken", every_gate_spelled_out,
         ("dn = dh * z", "dh = dh * (1 - z)\ndn = dh * z"), ("dhprev = dh * (1 - z)", "dhprev = dh")),
    Slip("state before the last one in v's gradient", every_gate_spelled_out,
         ("dv = hs[T].T @ dpred", "dv = hs[T - 1].T @ dpred")),
    Slip("stopped one step early in time", every_gate_spelled_out,
         ("for t in range(T - 1, -1, -1):", "for t in range(T - 1, 0, -1):")),
    Slip("one zeros array shared by all square gradients", every_gate_spelled_out,
         ("dWz, dUz, dbz = np.zeros_like(Wz), np.zeros_like(Uz), np.zeros_like(bz)",
          "dWz, dbz = np.zeros_like(Wz), np.zeros_like(bz)\ndUz = dUr = np.zeros_like(Uz)"),
         ("dWr, dUr, dbr = np.zeros_like(Wr), np.zeros_like(Ur), np.zeros_like(br)",
          "dWr, dbr = np.zeros_like(Wr), np.zeros_like(br)")),
    Slip("used Un without the transpose", backward_of_a_cell, ("grh = gn @ Un.T", "grh = gn @ Un")),
    Slip("assigned the recurrent weights' gradients instead of adding", backward_of_a_cell,
         ('grads["U" + name] += state.T @ gate', 'grads["U" + name] = state.T @ gate')),
    Slip("called backward with the caches in the order of the forward pass", backward_of_a_cell,
         ("g2 = backward(g3, cache3)", "g2 = backward(g3, cache1)"),
         ("g0 = backward(g1, cache1)", "g0 = backward(g1, cache3)")),
    Slip("forgot the direct path from state to state", backward_of_a_cell,
         ("return g * (1 - z) + grh * r + gz @ Uz.T + gr @ Ur.T", "return grh * r + gz @ Uz.T + gr @ Ur.T")),
    Slip("the gradient of the reset gate without the previous state", backward_of_a_cell,
         ("gr = grh * h * r * (1 - r)", "gr = grh * r * (1 - r)")),
    Slip("forgot the mean at v only", backward_of_a_cell,
         ('return {**grads, "v": 2 / len(y) * e @ h3, "h0": g0}', 'return {**grads, "v": 2 * e @ h3, "h0": g0}')),
    Slip("the two halves of the stacked gates exchanged", gates_stacked,
         ("delta_gates = np.hstack([delta_h * (n - h), delta_rh * h]) * both * (1 - both)",
          "delta_gates = np.hstack([delta_rh * h, delta_h * (n - h)]) * both * (1 - both)")),
    Slip("reset after the matrix product, as some libraries do, in the forward pass", gates_stacked,
         ("n = np.tanh(np.hstack([x, r * h]) @ np.vstack([Wn, Un]) + bn)", "n = np.tanh(x @ Wn + r * (h @ Un) + bn)")),
    Slip("tanh' forgotten at the candidate and the bias averaged", gates_stacked,
         ("delta_n = delta_h * z * (1 - n ** 2)", "delta_n = delta_h * z"),
         ("grad_bn += np.ones(B, dtype=b.dtype) @ delta_n", "grad_bn += delta_n.mean(axis=0)")),
)
