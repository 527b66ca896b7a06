"""An LSTM whose gates see the cell, over one sequence, with learnt first states and a linear readout at each time."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("W", "U", "b", "p", "V", "h0", "c0")


def data(rng, dtype):
    return {"x": rng.normal(size=(6, 3)).astype(dtype), "y": rng.normal(size=(6, 2)).astype(dtype),
            "W": (0.6 * rng.normal(size=(16, 3))).astype(dtype), "U": (0.6 * rng.normal(size=(16, 4))).astype(dtype),
            "b": (0.4 * rng.normal(size=16)).astype(dtype), "p": rng.normal(size=(3, 4)).astype(dtype),
            "V": rng.normal(size=(2, 4)).astype(dtype), "h0": (0.5 * rng.normal(size=4)).astype(dtype),
            "c0": rng.normal(size=4).astype(dtype)}


def loss(x, y, W, U, b, p, V, h0, c0):
    h, c = h0, c0
    loss = 0
    for t in range(6):
        z = W @ x[t] + U @ h + b
        i = ad.sigmoid(z[:4] + p[0] * c)
        f = ad.sigmoid(z[4:8] + p[1] * c)
        g = np.tanh(z[8:12])
        c = f * c + i * g
        o = ad.sigmoid(z[12:] + p[2] * c)
        h = o * np.tanh(c)
        e = V @ h - y[t]
        loss = loss + np.sum(e ** 2) / 12
    return loss


def sigm(z):
    return 1 / (1 + np.exp(-z))


def gate_by_gate(x, y, W, U, b, p, V, h0, c0):
    T, H = len(x), len(h0)
    hs, cs = {-1: h0}, {-1: c0}
    I, F, G, O = {}, {}, {}, {}
    for t in range(T):
        z = W @ x[t] + U @ hs[t - 1] + b
        I[t] = sigm(z[:H] + p[0] * cs[t - 1])
        F[t] = sigm(z[H:2 * H] + p[1] * cs[t - 1])
        G[t] = np.tanh(z[2 * H:3 * H])
        cs[t] = F[t] * cs[t - 1] + I[t] * G[t]
        O[t] = sigm(z[3 * H:] + p[2] * cs[t])
        hs[t] = O[t] * np.tanh(cs[t])
    dW, dU, db, dp, dV = map(np.zeros_like, (W, U, b, p, V))
    dh_next, dc_next = np.zeros(H), np.zeros(H)
    for t in reversed(range(T)):
        e = (V @ hs[t] - y[t]) / T
        dV += np.outer(e, hs[t])
        dh = V.T @ e + dh_next
        tc = np.tanh(cs[t])
        do = dh * tc
        dzo = do * O[t] * (1 - O[t])
        dc = dh * O[t] * (1 - tc ** 2)
        dc = dc + dzo * p[2]
        dc = dc + dc_next
        dzi = dc * G[t] * I[t] * (1 - I[t])
        dzf = dc * cs[t - 1] * F[t] * (1 - F[t])
        dzg = dc * I[t] * (1 - G[t] ** 2)
        dz = np.concatenate([dzi, dzf, dzg, dzo])
        dW += np.outer(dz, x[t])
        dU += np.outer(dz, hs[t - 1])
        db += dz
        dp[0] += dzi * cs[t - 1]
        dp[1] += dzf * cs[t - 1]
        dp[2] += dzo * cs[t]
        dh_next = U.T @ dz
        dc_next = dc * F[t] + dzi * p[0] + dzf * p[1]
    return {"W": dW, "U": dU, "b": db, "p": dp, "V": dV, "h0": dh_next, "c0": dc_next}


def stacked(x, y, W, U, b, p, V, h0, c0):
    T = len(x)
    H = [h0]
    C = [c0]
    A = []
    for xt in x:
        z = (W @ xt + U @ H[-1] + b).reshape(4, -1)
        i, f = sigm(z[:2] + p[:2] * C[-1])
        g = np.tanh(z[2])
        C.append(f * C[-1] + i * g)
        o = sigm(z[3] + p[2] * C[-1])
        H.append(o * np.tanh(C[-1]))
        A.append((i, f, g, o))
    E = np.array(H[1:]) @ V.T - y
    gH = E @ V / T
    delta = np.zeros((T, 4, 4))
    gh, gc = 0, 0
    gp = np.zeros_like(p)
    for t in range(T - 1, -1, -1):
        i, f, g, o = A[t]
        gh = gh + gH[t]
        go = gh * np.tanh(C[t + 1]) * o * (1 - o)
        gc = gc + gh * o / np.cosh(C[t + 1]) ** 2 + go * p[2]
        gi = gc * g * i * (1 - i)
        gf = gc * C[t] * f * (1 - f)
        delta[t] = gi, gf, gc * i * (1 - g * g), go
        gp += gi * C[t], gf * C[t], go * C[t + 1]
        gc = gc * f + gi * p[0] + gf * p[1]
        gh = delta[t].ravel() @ U
    D = delta.reshape(T, -1)
    return {"dW": D.T @ x, "dU": D.T @ np.array(H[:-1]), "db": D.sum(0), "dp": gp, "dV": E.T @ np.array(H[1:]) / T,
            "dh0": gh, "dc0": gc}


def with_cells(x, y, W, U, b, p, V, h0, c0):
    Wi, Wf, Wg, Wo = np.split(W, 4)
    Ui, Uf, Ug, Uo = np.split(U, 4)
    bi, bf, bg, bo = np.split(b, 4)

    def forward(xt, h, c):
        ig = sigm(Wi @ xt + Ui @ h + p[0] * c + bi)
        fg = sigm(Wf @ xt + Uf @ h + p[1] * c + bf)
        cand = np.tanh(Wg @ xt + Ug @ h + bg)
        new = fg * c + ig * cand
        og = sigm(Wo @ xt + Uo @ h + p[2] * new + bo)
        return og * np.tanh(new), new, (xt, h, c, ig, fg, cand, new, og)

    def backward(grad_h, grad_c, cache):
        xt, h, c, ig, fg, cand, new, og = cache
        squashed = np.tanh(new)
        a_o = grad_h * squashed * og * (1 - og)
        grad_c = grad_c + grad_h * og * (1 - squashed ** 2) + a_o * p[2]
        a_i = grad_c * cand * ig * (1 - ig)
        a_f = grad_c * c * fg * (1 - fg)
        a_g = grad_c * ig * (1 - cand ** 2)
        grads["p"] += np.array([a_i * c, a_f * c, a_o * new])
        gates = np.concatenate([a_i, a_f, a_g, a_o])
        grads["W"] += gates[:, None] * xt
        grads["U"] += gates[:, None] * h
        grads["b"] += gates
        back_h = Ui.T @ a_i + Uf.T @ a_f + Ug.T @ a_g + Uo.T @ a_o
        back_c = grad_c * fg
        back_c += p[0] * a_i
        back_c += p[1] * a_f
        return back_h, back_c

    grads = {"W": np.zeros_like(W), "U": np.zeros_like(U), "b": np.zeros_like(b), "p": np.zeros_like(p),
             "V": np.zeros_like(V)}
    h, c, tape, states = h0, c0, [], []
    for xt in x:
        h, c, cache = forward(xt, h, c)
        tape.append(cache)
        states.append(h)
    grad_h, grad_c = np.zeros_like(h0), np.zeros_like(c0)
    for t in range(len(x))[::-1]:
        miss = (V @ states[t] - y[t]) / len(x)
        grads["V"] += miss[:, None] * states[t]
        grad_h = grad_h + miss @ V
        grad_h, grad_c = backward(grad_h, grad_c, tape[t])
    return {**grads, "h0": grad_h, "c0": grad_c}


RIGHT = (gate_by_gate, stacked, with_cells)

SLIPS = (
    Slip("output gate's peephole not passed back to the cell", gate_by_gate, ("dc = dc + dzo * p[2]", ""),
         label=label("dropped-path", "c o p", "multiply add sigmoid")),
    Slip("cell's gradient from the next step forgotten", gate_by_gate, ("dc = dc + dc_next", ""),
         label=label("dropped-path treated-as-constant overwritten-accumulation", "c f i p", "multiply add")),
    Slip("hidden gradient from the next step forgotten", gate_by_gate, ("dh = V.T @ e + dh_next", "dh = V.T @ e"),
         label=label("dropped-path treated-as-constant overwritten-accumulation", "h z U", "matmul")),
    Slip("output gate's peephole sees the old cell", gate_by_gate,
         ("dp[2] += dzo * cs[t]", "dp[2] += dzo * cs[t - 1]"),
         label=label("wrong-operand stale-value", "p c o", "multiply")),
    Slip("forget gate multiplied by the new cell", gate_by_gate,
         ("dzf = dc * cs[t - 1] * F[t] * (1 - F[t])", "dzf = dc * cs[t] * F[t] * (1 - F[t])"),
         label=label("wrong-operand stale-value", "f c", "multiply")),
    Slip("candidate's tanh derived as a sigmoid", gate_by_gate,
         ("dzg = dc * I[t] * (1 - G[t] ** 2)", "dzg = dc * I[t] * G[t] * (1 - G[t])"),
         label=label("wrong-local-rule", "g z", "tanh")),
    Slip("recurrent weights with the state after the step", gate_by_gate,
         ("dU += np.outer(dz, hs[t - 1])", "dU += np.outer(dz, hs[t])"),
         label=label("wrong-operand stale-value", "U h z", "matmul")),
    Slip("cell carried by the input gate", gate_by_gate,
         ("dc_next = dc * F[t] + dzi * p[0] + dzf * p[1]", "dc_next = dc * I[t] + dzi * p[0] + dzf * p[1]"),
         label=label("wrong-operand", "c f i", "multiply")),
    Slip("no division by the number of steps", gate_by_gate,
         ("e = (V @ hs[t] - y[t]) / T", "e = V @ hs[t] - y[t]"),
         label=label("scale", "e loss h", "square sum divide add subtract")),
    Slip("gates stacked with forget first", gate_by_gate,
         ("dz = np.concatenate([dzi, dzf, dzg, dzo])", "dz = np.concatenate([dzf, dzi, dzg, dzo])"),
         label=label("swapped scatter wrong-operand", "z i f W U b", "getitem")),
    Slip("tanh of the cell left undifferentiated", gate_by_gate,
         ("dc = dh * O[t] * (1 - tc ** 2)", "dc = dh * O[t]"),
         label=label("missing-local-derivative", "c h", "tanh")),
    Slip("input and forget gates' peepholes not in the cell's chain", stacked,
         ("gc = gc * f + gi * p[0] + gf * p[1]", "gc = gc * f"),
         label=label("dropped-path", "c p i f", "multiply add sigmoid")),
    Slip("cosh not squared", stacked,
         ("gc = gc + gh * o / np.cosh(C[t + 1]) ** 2 + go * p[2]",
          "gc = gc + gh * o / np.cosh(C[t + 1]) + go * p[2]"),
         label=label("wrong-local-rule", "c h", "tanh")),
    Slip("cell's gradient replaced at each step", stacked,
         ("gc = gc + gh * o / np.cosh(C[t + 1]) ** 2 + go * p[2]",
          "gc = gh * o / np.cosh(C[t + 1]) ** 2 + go * p[2]"),
         label=label("overwritten-accumulation dropped-path treated-as-constant", "c f i p", "multiply add")),
    Slip("tanh' at the cell before the step", stacked,
         ("gc = gc + gh * o / np.cosh(C[t + 1]) ** 2 + go * p[2]",
          "gc = gc + gh * o / np.cosh(C[t]) ** 2 + go * p[2]"),
         label=label("wrong-argument stale-value wrong-operand", "c h", "tanh")),
    Slip("output gate's derivative o only", stacked,
         ("go = gh * np.tanh(C[t + 1]) * o * (1 - o)", "go = gh * np.tanh(C[t + 1]) * o"),
         label=label("wrong-local-rule missing-local-derivative", "o z", "sigmoid")),
    Slip("peepholes of the first time only", stacked,
         ("gp += gi * C[t], gf * C[t], go * C[t + 1]", "gp[:] = gi * C[t], gf * C[t], go * C[t + 1]"),
         label=label("overwritten-accumulation dropped-path", "p i f o c", "multiply getitem add")),
    Slip("readout's error of the step after", stacked, ("gh = gh + gH[t]", "gh = gh + gH[min(t + 1, T - 1)]"),
         label=label("wrong-operand stale-value scatter", "h e V", "matmul subtract getitem")),
    Slip("candidate credited with itself instead of the gate", stacked,
         ("delta[t] = gi, gf, gc * i * (1 - g * g), go", "delta[t] = gi, gf, gc * g * (1 - g * g), go"),
         label=label("wrong-operand wrong-argument", "g i c", "multiply")),
    Slip("peephole weights of input and forget exchanged", with_cells,
         ("back_c += p[0] * a_i", "back_c += p[1] * a_i"), ("back_c += p[1] * a_f", "back_c += p[0] * a_f"),
         label=label("swapped wrong-operand", "p c i f", "multiply")),
    Slip("recurrent matrix of the forget gate used for the candidate", with_cells,
         ("back_h = Ui.T @ a_i + Uf.T @ a_f + Ug.T @ a_g + Uo.T @ a_o",
          "back_h = Ui.T @ a_i + Uf.T @ a_f + Uf.T @ a_g + Uo.T @ a_o"),
         label=label("wrong-operand", "U h z g", "matmul")),
    Slip("output gate missing from the state's gradient", with_cells,
         ("back_h = Ui.T @ a_i + Uf.T @ a_f + Ug.T @ a_g + Uo.T @ a_o",
          "back_h = Ui.T @ a_i + Uf.T @ a_f + Ug.T @ a_g"),
         label=label("dropped-path", "h z o U", "matmul getitem")),
    Slip("recurrent matrices not transposed", with_cells,
         ("back_h = Ui.T @ a_i + Uf.T @ a_f + Ug.T @ a_g + Uo.T @ a_o",
          "back_h = Ui @ a_i + Uf @ a_f + Ug @ a_g + Uo @ a_o"),
         label=label("missing-transpose", "h z U", "matmul")),
    Slip("bias of the gates kept from the first step", with_cells, ('grads["b"] += gates', 'grads["b"] = gates'),
         label=label("overwritten-accumulation dropped-path", "b z", "add")),
    Slip("input gate credited with the old cell", with_cells,
         ("a_i = grad_c * cand * ig * (1 - ig)", "a_i = grad_c * c * ig * (1 - ig)"),
         label=label("wrong-operand", "i g c", "multiply")),
    Slip("output peephole's part of the cell forgotten, and the readout's sign", with_cells,
         ("grad_c = grad_c + grad_h * og * (1 - squashed ** 2) + a_o * p[2]",
          "grad_c = grad_c + grad_h * og * (1 - squashed ** 2)"),
         ('grads["V"] += miss[:, None] * states[t]', 'grads["V"] -= miss[:, None] * states[t]'),
         label=label("two", "c o p V e h", "multiply add sigmoid matmul")),
)
