"""A GRU cell with weights of their own for each gate, run for three steps; the last state against a target."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("Wz", "Uz", "bz", "Wr", "Ur", "br", "Wc", "Uc", "bc")


def data(rng, dtype):
    leaves = {"X": rng.normal(size=(3, 7, 5)), "h0": rng.normal(size=(7, 4)), "target": rng.normal(size=(7, 4))}
    for gate in "zrc":
        leaves["W" + gate] = 0.6 * rng.normal(size=(5, 4))
        leaves["U" + gate] = 0.7 * rng.normal(size=(4, 4))
        leaves["b" + gate] = 0.5 * rng.normal(size=4)
    return {name: value.astype(dtype) for name, value in leaves.items()}


def loss(X, h0, target, Wz, Uz, bz, Wr, Ur, br, Wc, Uc, bc):
    h = h0
    for t in range(3):
        az = X[t] @ Wz + h @ Uz + bz
        z = ad.sigmoid(az)
        ar = X[t] @ Wr + h @ Ur + br
        r = ad.sigmoid(ar)
        rh = r * h
        ac = X[t] @ Wc + rh @ Uc + bc
        c = np.tanh(ac)
        h = (1 - z) * h + z * c
    err = h - target
    loss = 0.5 * np.sum(err ** 2) / 7
    return loss


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def cached_backward(X, h0, target, Wz, Uz, bz, Wr, Ur, br, Wc, Uc, bc):
    hs, zs, rs, cs = [h0], [], [], []
    for x in X:
        h = hs[-1]
        zs.append(sigmoid(x @ Wz + h @ Uz + bz))
        rs.append(sigmoid(x @ Wr + h @ Ur + br))
        cs.append(np.tanh(x @ Wc + (rs[-1] * h) @ Uc + bc))
        hs.append((1 - zs[-1]) * h + zs[-1] * cs[-1])
    gWz, gUz, gbz = np.zeros_like(Wz), np.zeros_like(Uz), np.zeros_like(bz)
    gWr, gUr, gbr = np.zeros_like(Wr), np.zeros_like(Ur), np.zeros_like(br)
    gWc, gUc, gbc = np.zeros_like(Wc), np.zeros_like(Uc), np.zeros_like(bc)
    gh = (hs[-1] - target) / len(target)
    for t in reversed(range(len(X))):
        x, h, z, r, c = X[t], hs[t], zs[t], rs[t], cs[t]
        gz = gh * (c - h)
        gc = gh * z
        gh_prev = gh * (1 - z)
        gac = gc * (1 - c * c)
        grh = gac @ Uc.T
        gr = grh * h
        gh_prev += grh * r
        gar = gr * r * (1 - r)
        gaz = gz * z * (1 - z)
        gh_prev += gar @ Ur.T
        gh_prev += gaz @ Uz.T
        gWz += x.T @ gaz
        gUz += h.T @ gaz
        gbz += gaz.sum(axis=0)
        gWr += x.T @ gar
        gUr += h.T @ gar
        gbr += gar.sum(axis=0)
        gWc += x.T @ gac
        gUc += (r * h).T @ gac
        gbc += gac.sum(axis=0)
        gh = gh_prev
    return {"Wz": gWz, "Uz": gUz, "bz": gbz, "Wr": gWr, "Ur": gUr, "br": gbr, "Wc": gWc, "Uc": gUc, "bc": gbc}


def one_thread_per_row(X, h0, target, Wz, Uz, bz, Wr, Ur, br, Wc, Uc, bc):
    T, B, D = X.shape
    H = h0.shape[1]
    hbuf = np.zeros((T + 1, B, H))
    zbuf, rbuf, cbuf = np.zeros((T, B, H)), np.zeros((T, B, H)), np.zeros((T, B, H))
    hbuf[0] = h0
    for t in range(T):
        zbuf[t] = sigmoid(X[t] @ Wz + hbuf[t] @ Uz + bz)
        rbuf[t] = sigmoid(X[t] @ Wr + hbuf[t] @ Ur + br)
        cbuf[t] = np.tanh(X[t] @ Wc + (rbuf[t] * hbuf[t]) @ Uc + bc)
        hbuf[t + 1] = hbuf[t] + zbuf[t] * (cbuf[t] - hbuf[t])
    out = {"d" + k: np.zeros(s) for g in "zrc" for k, s in (("W" + g, (D, H)), ("U" + g, (H, H)), ("b" + g, H))}
    for b in range(B):
        acc = (hbuf[T, b] - target[b]) / B
        for t in range(T - 1, -1, -1):
            hp, z, r, c = hbuf[t, b], zbuf[t, b], rbuf[t, b], cbuf[t, b]
            d_c = acc * z * (1 - c ** 2)
            d_z = acc * (c - hp) * z * (1 - z)
            acc = acc * (1 - z)
            d_r = np.zeros(H)
            for i in range(H):
                s = 0.0
                for j in range(H):
                    s += Uc[i, j] * d_c[j]
                d_r[i] = s * hp[i] * r[i] * (1 - r[i])
                acc[i] += s * r[i]
            for i in range(H):
                for j in range(H):
                    acc[i] += Uz[i, j] * d_z[j] + Ur[i, j] * d_r[j]
                    out["dUz"][i, j] += hp[i] * d_z[j]
                    out["dUr"][i, j] += hp[i] * d_r[j]
                    out["dUc"][i, j] += r[i] * hp[i] * d_c[j]
            for i in range(D):
                xi = X[t, b, i]
                out["dWz"][i] += xi * d_z
                out["dWr"][i] += xi * d_r
                out["dWc"][i] += xi * d_c
            out["dbz"] += d_z
            out["dbr"] += d_r
            out["dbc"] += d_c
    return out


def gates_stacked(X, h0, target, Wz, Uz, bz, Wr, Ur, br, Wc, Uc, bc):
    steps, batch, _ = X.shape
    prev = np.empty((steps, *h0.shape), X.dtype)
    Z, R, C = np.empty_like(prev), np.empty_like(prev), np.empty_like(prev)
    XZ = np.einsum("tbd,dh->tbh", X, Wz) + bz
    XR = np.einsum("tbd,dh->tbh", X, Wr) + br
    XC = np.einsum("tbd,dh->tbh", X, Wc) + bc
    state = h0
    for t in range(steps):
        prev[t] = state
        Z[t] = sigmoid(XZ[t] + state @ Uz)
        R[t] = sigmoid(XR[t] + state @ Ur)
        C[t] = np.tanh(XC[t] + (R[t] * state) @ Uc)
        state = Z[t] * C[t] + (1 - Z[t]) * state
    DZ, DR, DC = np.empty_like(prev), np.empty_like(prev), np.empty_like(prev)
    residual = state - target
    dstate = residual / batch
    t = steps - 1
    while t >= 0:
        DC[t] = dstate
        DC[t] *= Z[t]
        DC[t] *= 1 - C[t] ** 2
        DZ[t] = dstate
        DZ[t] *= C[t] - prev[t]
        DZ[t] *= Z[t] * (1 - Z[t])
        back = np.einsum("bk,hk->bh", DC[t], Uc)
        DR[t] = back
        DR[t] *= prev[t]
        DR[t] *= R[t] * (1 - R[t])
        dstate = dstate * (1 - Z[t])
        dstate += back * R[t]
        dstate += np.einsum("bk,hk->bh", DZ[t], Uz)
        dstate += np.einsum("bk,hk->bh", DR[t], Ur)
        t -= 1
    grads = {"loss": np.sum(residual ** 2) / (2 * batch)}
    for gate, D in (("z", DZ), ("r", DR), ("c", DC)):
        grads["dW" + gate] = np.einsum("tbd,tbh->dh", X, D)
        grads["db" + gate] = np.einsum("tbh->h", D)
    grads["dUz"] = np.einsum("tbi,tbj->ij", prev, DZ)
    grads["dUr"] = np.einsum("tbi,tbj->ij", prev, DR)
    grads["dUc"] = np.einsum("tbi,tbi,tbj->ij", R, prev, DC)
    return grads


RIGHT = (cached_backward, one_thread_per_row, gates_stacked)

SLIPS = (
    Slip("update gate's gradient has the previous state and the candidate the wrong way round", cached_backward,
         ("gz = gh * (c - h)", "gz = gh * (h - c)"),
         label=label("sign", "z az h", "subtract multiply add sigmoid")),
    Slip("update gate's gradient forgets that one minus z keeps the old state", cached_backward,
         ("gz = gh * (c - h)", "gz = gh * c"),
         label=label("dropped-path wrong-operand", "z az h", "subtract multiply add")),
    Slip("reset path overwrites what the state already has", cached_backward,
         ("gh_prev += grh * r", "gh_prev = grh * r"),
         label=label("overwritten-accumulation dropped-path", "h z rh", "multiply add subtract")),
    Slip("the update gate does not go back to the previous state", cached_backward,
         ("gh_prev += gaz @ Uz.T", ""),
         label=label("dropped-path", "h az z", "matmul add")),
    Slip("candidate's recurrent weight with the whole previous state", cached_backward,
         ("gUc += (r * h).T @ gac", "gUc += h.T @ gac"),
         label=label("wrong-operand", "Uc rh ac r", "matmul multiply")),
    Slip("state carried back by z where it should be one minus z, and the candidate by one minus z", cached_backward,
         ("gc = gh * z", "gc = gh * (1 - z)"), ("gh_prev = gh * (1 - z)", "gh_prev = gh * z"),
         label=label("wrong-operand swapped two", "c z h ac", "multiply subtract add")),
    Slip("states off by one, the new state taken for the previous one", cached_backward,
         ("x, h, z, r, c = X[t], hs[t], zs[t], rs[t], cs[t]", "x, h, z, r, c = X[t], hs[t + 1], zs[t], rs[t], cs[t]"),
         label=label("stale-value wrong-operand wrong-argument two",
                     "h z r az ar rh Uz Ur Uc", "matmul multiply subtract")),
    Slip("candidate's bias set in the loop over time", cached_backward,
         ("gbc += gac.sum(axis=0)", "gbc = gac.sum(axis=0)"),
         label=label("overwritten-accumulation missing-broadcast-reduction dropped-path", "bc ac", "add")),
    Slip("reset gate goes back through the transposed update weights", cached_backward,
         ("gh_prev += gar @ Ur.T", "gh_prev += gar @ Uz.T"),
         label=label("wrong-operand", "h ar Ur Uz r", "matmul")),
    Slip("no carry between the steps", cached_backward,
         ("gh = gh_prev", "gh = gh + 0"),
         label=label("stale-value missing-local-derivative dropped-path wrong-operand",
                     "h z c rh az ar", "multiply add matmul subtract")),
    Slip("recurrent weight of the candidate not transposed", cached_backward,
         ("grh = gac @ Uc.T", "grh = gac @ Uc"),
         label=label("missing-transpose", "rh ac Uc r", "matmul")),
    Slip("accumulator scaled by the keep gate before the update gate has read it", one_thread_per_row,
         ("acc = acc * (1 - z)", ""),
         ("d_z = acc * (c - hp) * z * (1 - z)", "acc = acc * (1 - z)\nd_z = acc * (c - hp) * z * (1 - z)"),
         label=label("stale-value wrong-operand wrong-local-rule double-derivative",
                     "z az h", "sigmoid multiply subtract add")),
    Slip("accumulator gets the product without the reset gate", one_thread_per_row,
         ("acc[i] += s * r[i]", "acc[i] += s"),
         label=label("missing-local-derivative", "h rh r", "multiply")),
    Slip("sum over j is started outside the loop over i", one_thread_per_row,
         ("s = 0.0", ""), ("d_r = np.zeros(H)", "d_r = np.zeros(H)\ns = 0.0"),
         label=label("stale-value extra-term wrong-local-rule", "rh ac r h Uc", "matmul multiply")),
    Slip("kernel stops before the first step", one_thread_per_row,
         ("for t in range(T - 1, -1, -1):", "for t in range(T - 1, 0, -1):"),
         label=label("dropped-path",
                     "h az ar ac z r c rh X Wz Uz bz Wr Ur br Wc Uc bc", "matmul add multiply")),
    Slip("tanh derivative taken as c times one minus c", one_thread_per_row,
         ("d_c = acc * z * (1 - c ** 2)", "d_c = acc * z * c * (1 - c)"),
         label=label("wrong-local-rule wrong-argument", "c ac", "tanh")),
    Slip("reset weights written with the update gate's delta", one_thread_per_row,
         ('out["dUr"][i, j] += hp[i] * d_r[j]', 'out["dUr"][i, j] += hp[i] * d_z[j]'),
         label=label("wrong-operand swapped", "Ur ar Uz az", "matmul")),
    Slip("reset gate's bias set in the loops", one_thread_per_row,
         ('out["dbr"] += d_r', 'out["dbr"] = d_r'),
         label=label("overwritten-accumulation missing-broadcast-reduction dropped-path", "br ar", "add")),
    Slip("mean of the batch taken in each step", one_thread_per_row,
         ("acc = acc * (1 - z)", "acc = acc * (1 - z) / B"),
         label=label("scale", "h z c", "multiply subtract add")),
    Slip("reset delta times the reset gate twice, no one minus", gates_stacked,
         ("DR[t] *= R[t] * (1 - R[t])", "DR[t] *= R[t] * R[t]"),
         label=label("wrong-local-rule wrong-argument", "r ar", "sigmoid")),
    Slip("sigmoid of the update gate not differentiated", gates_stacked,
         ("DZ[t] *= Z[t] * (1 - Z[t])", ""),
         label=label("missing-local-derivative", "z az", "sigmoid")),
    Slip("in-place chain on an alias, so the state's gradient is spoiled by the candidate", gates_stacked,
         ("DC[t] = dstate", "delta = dstate"), ("DC[t] *= Z[t]", "delta *= Z[t]"),
         ("DC[t] *= 1 - C[t] ** 2", "delta *= 1 - C[t] ** 2\nDC[t] = delta"),
         label=label("stale-value wrong-operand double-derivative two",
                     "h z c az ac", "multiply add subtract sigmoid tanh")),
    Slip("input weights by the inputs one step late", gates_stacked,
         ('grads["dW" + gate] = np.einsum("tbd,tbh->dh", X, D)',
          'grads["dW" + gate] = np.einsum("tbd,tbh->dh", X[:-1], D[1:])'),
         label=label("wrong-operand stale-value dropped-path", "Wz Wr Wc X az ar ac", "matmul")),
    Slip("factor two from the square although there is a half", gates_stacked,
         ("dstate = residual / batch", "dstate = 2 * residual / batch"),
         label=label("scale", "loss err h", "square sum multiply divide subtract")),
    Slip("update weights' einsum gives the transpose", gates_stacked,
         ('grads["dUz"] = np.einsum("tbi,tbj->ij", prev, DZ)', 'grads["dUz"] = np.einsum("tbi,tbj->ji", prev, DZ)'),
         label=label("transposed-result", "Uz az h", "matmul")),
    Slip("reset gate's path to the state forgotten, and no mean over the batch", gates_stacked,
         ('dstate += np.einsum("bk,hk->bh", DR[t], Ur)', ""), ("dstate = residual / batch", "dstate = residual"),
         label=label("two", "h ar Ur r err loss", "matmul add divide sum multiply")),
)
