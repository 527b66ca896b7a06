"""An LSTM over four steps, its gates cut from one product, and a squared error at every step."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("W", "b", "V", "c", "h0", "s0")
H = 5


def data(rng, dtype):
    return {"x": rng.normal(size=(4, 3, 2)).astype(dtype), "W": (rng.normal(size=(7, 20)) / 2).astype(dtype),
            "b": rng.normal(size=20).astype(dtype), "V": rng.normal(size=(5, 6)).astype(dtype),
            "c": rng.normal(size=6).astype(dtype), "h0": rng.normal(size=(3, 5)).astype(dtype),
            "s0": rng.normal(size=(3, 5)).astype(dtype), "y": rng.normal(size=(4, 3, 6)).astype(dtype)}


def loss(x, W, b, V, c, h0, s0, y):
    h = h0
    s = s0
    total = 0
    for t in range(4):
        joint = np.concatenate([x[t], h], axis=1)
        z = joint @ W + b
        i = ad.sigmoid(z[:, :H])
        f = ad.sigmoid(z[:, H:2 * H])
        o = ad.sigmoid(z[:, 2 * H:3 * H])
        g = np.tanh(z[:, 3 * H:])
        s = f * s + i * g
        h = o * np.tanh(s)
        out = h @ V + c
        err = out - y[t]
        total = total + np.sum(err ** 2)
    loss = total / 12
    return loss


def sig(z):
    return 1 / (1 + np.exp(-z))


def gates(z):
    return sig(z[:, :H]), sig(z[:, H:2 * H]), sig(z[:, 2 * H:3 * H]), np.tanh(z[:, 3 * H:])


def lists_of_caches(x, W, b, V, c, h0, s0, y):
    T, n, D = x.shape
    hs, ss, caches, value = [h0], [s0], [], 0.0
    for t in range(T):
        joint = np.hstack([x[t], hs[-1]])
        i, f, o, g = gates(joint @ W + b)
        ss.append(f * ss[-1] + i * g)
        hs.append(o * np.tanh(ss[-1]))
        caches.append((joint, i, f, o, g))
    dW, db, dV, dc = np.zeros_like(W), np.zeros_like(b), np.zeros_like(V), np.zeros_like(c)
    dh_next, ds_next = np.zeros_like(h0), np.zeros_like(s0)
    for t in range(T - 1, -1, -1):
        joint, i, f, o, g = caches[t]
        err = hs[t + 1] @ V + c - y[t]
        value += np.sum(err ** 2) / (T * n)
        dout = 2 * err / (T * n)
        dV += hs[t + 1].T @ dout
        dc += dout.sum(axis=0)
        dh = dout @ V.T + dh_next
        tanh_s = np.tanh(ss[t + 1])
        do = dh * tanh_s
        ds = dh * o * (1 - tanh_s ** 2)
        ds += ds_next
        df = ds * ss[t]
        di = ds * g
        dg = ds * i
        dzi = di * i * (1 - i)
        dzf = df * f * (1 - f)
        dzo = do * o * (1 - o)
        dzg = dg * (1 - g ** 2)
        dz = np.hstack([dzi, dzf, dzo, dzg])
        dW += joint.T @ dz
        db += dz.sum(axis=0)
        djoint = dz @ W.T
        dh_next = djoint[:, D:]
        ds_next = ds * f
    return {"W": dW, "b": db, "V": dV, "c": dc, "h0": dh_next, "s0": ds_next, "loss": value}


def filled_arrays(x, W, b, V, c, h0, s0, y):
    T, n, D = x.shape
    A = np.zeros((T, n, D + H))
    Z = np.zeros((T, n, 4 * H))
    cell = np.zeros((T + 1, n, H))
    hid = np.zeros((T + 1, n, H))
    cell[0], hid[0] = s0, h0
    for t in range(T):
        A[t, :, :D], A[t, :, D:] = x[t], hid[t]
        Z[t] = A[t] @ W + b
        i, f, o, g = gates(Z[t])
        cell[t + 1] = f * cell[t] + i * g
        hid[t + 1] = o * np.tanh(cell[t + 1])
    E = 2 * (hid[1:] @ V + c - y) / (T * n)
    dV = np.einsum("tnh,tno->ho", hid[1:], E)
    dc = np.einsum("tno->o", E)
    dHid = np.zeros_like(hid)
    dHid[1:] = E @ V.T
    dCell = np.zeros_like(cell)
    dZ = np.zeros_like(Z)
    for t in reversed(range(T)):
        i, f, o, g = gates(Z[t])
        th = np.tanh(cell[t + 1])
        dCell[t + 1] += dHid[t + 1] * o * (1 - th * th)
        dZ[t, :, :H] = dCell[t + 1] * g * i * (1 - i)
        dZ[t, :, H:2 * H] = dCell[t + 1] * cell[t] * f * (1 - f)
        dZ[t, :, 2 * H:3 * H] = dHid[t + 1] * th * o * (1 - o)
        dZ[t, :, 3 * H:] = dCell[t + 1] * i * (1 - g * g)
        dHid[t] += dZ[t] @ W[D:].T
        dCell[t] = dCell[t + 1] * f
    dW = np.einsum("tnd,tnz->dz", A, dZ)
    db = np.einsum("tnz->z", dZ)
    return {"W": dW, "b": db, "V": dV, "c": dc, "h0": dHid[0], "s0": dCell[0]}


def step_functions(x, W, b, V, c, h0, s0, y):
    D = x.shape[2]
    steps, samples = x.shape[:2]

    def forward(x_t, h_prev, s_prev):
        u = np.concatenate((x_t, h_prev), axis=1)
        i, f, o, g = gates(u @ W + b)
        s = s_prev * f + g * i
        return o * np.tanh(s), s, (u, i, f, o, g, s_prev, s)

    def backward(grad_h, grad_s, cache):
        u, i, f, o, g, s_prev, s = cache
        th = np.tanh(s)
        grad_s = grad_s + grad_h * o * (1 - th ** 2)
        grad_i = grad_s * g
        grad_f = grad_s * s_prev
        grad_o = grad_h * th
        grad_g = grad_s * i
        blocks = [grad_i * i * (1 - i), grad_f * f * (1 - f), grad_o * o * (1 - o), grad_g * (1 - g ** 2)]
        grad_z = np.concatenate(blocks, axis=1)
        grad_u = grad_z @ W.T
        return grad_u[:, D:], grad_s * f, u.T @ grad_z, grad_z.sum(0)

    h, s, kept, states = h0, s0, [], []
    for x_t in x:
        h, s, cache = forward(x_t, h, s)
        kept.append(cache)
        states.append(h)
    grads = {"W": 0, "b": 0, "V": 0, "c": 0}
    grad_h, grad_s = np.zeros_like(h), np.zeros_like(s)
    for t in reversed(range(steps)):
        delta = 2 / (steps * samples) * (states[t] @ V + c - y[t])
        grads["V"] = grads["V"] + states[t].T @ delta
        grads["c"] = grads["c"] + delta.sum(0)
        grad_h = grad_h + delta @ V.T
        grad_h, grad_s, gW, gb = backward(grad_h, grad_s, kept[t])
        grads["W"] = grads["W"] + gW
        grads["b"] = grads["b"] + gb
    return {**grads, "h0": grad_h, "s0": grad_s}


def a_sequence_at_a_time(x, W, b, V, c, h0, s0, y):
    T, N, D = x.shape
    Wx, Wh = W[:D], W[D:]
    g_Wx, g_Wh, g_b, g_V, g_c = (np.zeros_like(p) for p in (Wx, Wh, b, V, c))
    g_h0, g_s0 = np.zeros_like(h0), np.zeros_like(s0)
    for k in range(N):
        h, s = {-1: h0[k]}, {-1: s0[k]}
        act = {}
        for t in range(T):
            z = x[t, k] @ Wx + h[t - 1] @ Wh + b
            i, f, o = sig(z[:3 * H]).reshape(3, H)
            g = np.tanh(z[3 * H:])
            act[t] = i, f, o, g
            s[t] = f * s[t - 1] + i * g
            h[t] = o * np.tanh(s[t])
        carry_h = np.zeros(H)
        carry_s = np.zeros(H)
        for t in range(T)[::-1]:
            i, f, o, g = act[t]
            g_out = (h[t] @ V + c - y[t, k]) * 2
            g_out = g_out / (N * T)
            g_V += np.outer(h[t], g_out)
            g_c += g_out
            g_h = V @ g_out + carry_h
            g_s = carry_s + g_h * o / np.cosh(s[t]) ** 2
            slopes = np.concatenate([i * (1 - i), f * (1 - f), o * (1 - o), 1 - g ** 2])
            g_z = np.concatenate([g_s * g, g_s * s[t - 1], g_h * np.tanh(s[t]), g_s * i])
            g_z = g_z * slopes
            g_Wx += np.outer(x[t, k], g_z)
            g_Wh += np.outer(h[t - 1], g_z)
            g_b += g_z
            carry_h = Wh @ g_z
            carry_s = g_s * f
        g_h0[k] = carry_h
        g_s0[k] = carry_s
    return {"dW": np.vstack([g_Wx, g_Wh]), "db": g_b, "dV": g_V, "dc": g_c, "dh0": g_h0, "ds0": g_s0}


RIGHT = (lists_of_caches, filled_arrays, step_functions, a_sequence_at_a_time)

SLIPS = (
    Slip("cell's gradient of the later step not added", lists_of_caches, ("ds += ds_next", ""),
         label=label("dropped-path overwritten-accumulation", "s f", "multiply add")),
    Slip("state's gradient of the later step not added", lists_of_caches,
         ("dh = dout @ V.T + dh_next", "dh = dout @ V.T"),
         label=label("dropped-path overwritten-accumulation", "h joint", "concatenate matmul")),
    Slip("forget gate sees the new cell instead of the old one", lists_of_caches,
         ("df = ds * ss[t]", "df = ds * ss[t + 1]"),
         label=label("wrong-operand stale-value", "f s", "multiply")),
    Slip("input gate and candidate exchanged", lists_of_caches, ("di = ds * g", "di = ds * i"),
         ("dg = ds * i", "dg = ds * g"),
         label=label("swapped wrong-operand two", "i g s", "multiply")),
    Slip("candidate's tanh derived like a sigmoid", lists_of_caches,
         ("dzg = dg * (1 - g ** 2)", "dzg = dg * g * (1 - g)"),
         label=label("wrong-local-rule", "g z", "tanh")),
    Slip("output gate's sigmoid not derived", lists_of_caches, ("dzo = do * o * (1 - o)", "dzo = do"),
         label=label("missing-local-derivative", "o z", "sigmoid")),
    Slip("gates stacked in another order than in the forward pass", lists_of_caches,
         ("dz = np.hstack([dzi, dzf, dzo, dzg])", "dz = np.hstack([dzi, dzf, dzg, dzo])"),
         label=label("swapped scatter", "z o g W b", "getitem")),
    Slip("cell carried back through the input gate", lists_of_caches, ("ds_next = ds * f", "ds_next = ds * i"),
         label=label("wrong-operand", "s f i", "multiply")),
    Slip("state's part of the joint vector cut from its beginning", lists_of_caches,
         ("dh_next = djoint[:, D:]", "dh_next = djoint[:, :H]"),
         label=label("scatter wrong-operand", "h joint", "concatenate")),
    Slip("output gate's gradient with the cell itself, its tanh forgotten", lists_of_caches,
         ("do = dh * tanh_s", "do = dh * ss[t + 1]"),
         label=label("missing-local-derivative wrong-operand wrong-argument", "o h s", "multiply tanh")),
    Slip("tanh of the cell not derived", lists_of_caches,
         ("ds = dh * o * (1 - tanh_s ** 2)", "ds = dh * o"),
         label=label("missing-local-derivative", "s h", "tanh")),
    Slip("output's weights only from the first step", lists_of_caches,
         ("dV += hs[t + 1].T @ dout", "dV = hs[t + 1].T @ dout"),
         label=label("overwritten-accumulation dropped-path missing-broadcast-reduction", "V out h", "matmul")),
    Slip("bias overwritten at every step, error's two forgotten", lists_of_caches,
         ("db += dz.sum(axis=0)", "db = dz.sum(axis=0)"), ("dout = 2 * err / (T * n)", "dout = err / (T * n)"),
         label=label("two", "b z err out total loss", "add matmul square sum divide")),
    Slip("error at a step with the state of the step before", filled_arrays,
         ("E = 2 * (hid[1:] @ V + c - y) / (T * n)", "E = 2 * (hid[:-1] @ V + c - y) / (T * n)"),
         label=label("wrong-operand wrong-argument stale-value", "out err h", "matmul square")),
    Slip("output's weights with the states one step early", filled_arrays,
         ('dV = np.einsum("tnh,tno->ho", hid[1:], E)', 'dV = np.einsum("tnh,tno->ho", hid[:-1], E)'),
         label=label("wrong-operand stale-value", "V out h", "matmul")),
    Slip("only the last step's error enters the states", filled_arrays,
         ("dHid[1:] = E @ V.T", "dHid[-1] = E[-1] @ V.T"),
         label=label("dropped-path", "h out err total", "matmul add")),
    Slip("recurrent gradient replaces the error's at a step", filled_arrays,
         ("dHid[t] += dZ[t] @ W[D:].T", "dHid[t] = dZ[t] @ W[D:].T"),
         label=label("overwritten-accumulation dropped-path", "h joint out", "matmul concatenate")),
    Slip("cell's carried gradient overwritten", filled_arrays,
         ("dCell[t + 1] += dHid[t + 1] * o * (1 - th * th)", "dCell[t + 1] = dHid[t + 1] * o * (1 - th * th)"),
         label=label("overwritten-accumulation dropped-path", "s f h", "multiply tanh")),
    Slip("last rows of the weights for the recurrence taken from the front", filled_arrays,
         ("dHid[t] += dZ[t] @ W[D:].T", "dHid[t] += dZ[t] @ W[:H].T"),
         label=label("wrong-operand scatter", "h joint W z", "matmul concatenate")),
    Slip("tanh of the cell taken twice", filled_arrays,
         ("th = np.tanh(cell[t + 1])", "th = np.tanh(np.tanh(cell[t + 1]))"),
         label=label("wrong-argument wrong-operand two", "s h o", "tanh multiply")),
    Slip("forget gate's slope from the input gate", filled_arrays,
         ("dZ[t, :, H:2 * H] = dCell[t + 1] * cell[t] * f * (1 - f)",
          "dZ[t, :, H:2 * H] = dCell[t + 1] * cell[t] * i * (1 - i)"),
         label=label("wrong-argument wrong-operand", "f z i", "sigmoid")),
    Slip("truncated after one step: nothing goes back by the states", filled_arrays,
         ("dHid[t] += dZ[t] @ W[D:].T", ""),
         label=label("dropped-path treated-as-constant", "h joint h0", "concatenate matmul")),
    Slip("mean over the time steps forgotten", filled_arrays,
         ("E = 2 * (hid[1:] @ V + c - y) / (T * n)", "E = 2 * (hid[1:] @ V + c - y) / n"),
         label=label("scale", "err out total loss", "divide sum square subtract add")),
    Slip("minus for the forget gate", step_functions,
         ("grad_f = grad_s * s_prev", "grad_f = -grad_s * s_prev"),
         label=label("sign", "f z s", "multiply sigmoid getitem")),
    Slip("cell passed back before the state's share is in it", step_functions,
         ("grad_s = grad_s + grad_h * o * (1 - th ** 2)",
          "later = grad_s\ngrad_s = later + grad_h * o * (1 - th ** 2)"),
         ("return grad_u[:, D:], grad_s * f, u.T @ grad_z, grad_z.sum(0)",
          "return grad_u[:, D:], later * f, u.T @ grad_z, grad_z.sum(0)"),
         label=label("dropped-path stale-value", "s h f", "tanh multiply")),
    Slip("cell passed back without the forget gate", step_functions,
         ("return grad_u[:, D:], grad_s * f, u.T @ grad_z, grad_z.sum(0)",
          "return grad_u[:, D:], grad_s, u.T @ grad_z, grad_z.sum(0)"),
         label=label("missing-local-derivative", "s f", "multiply")),
    Slip("bias averaged over the samples", step_functions,
         ("return grad_u[:, D:], grad_s * f, u.T @ grad_z, grad_z.sum(0)",
          "return grad_u[:, D:], grad_s * f, u.T @ grad_z, grad_z.mean(0)"),
         label=label("scale", "b z", "add")),
    Slip("caches read in the order of the forward pass", step_functions,
         ("grad_h, grad_s, gW, gb = backward(grad_h, grad_s, kept[t])",
          "grad_h, grad_s, gW, gb = backward(grad_h, grad_s, kept[steps - 1 - t])"),
         label=label("stale-value wrong-operand wrong-argument",
                     "i f o g s z joint h W", "multiply sigmoid tanh matmul")),
    Slip("initial cell's gradient from before the first step's backward", step_functions,
         ("grad_h, grad_s, gW, gb = backward(grad_h, grad_s, kept[t])",
          "last_s = grad_s\ngrad_h, grad_s, gW, gb = backward(grad_h, grad_s, kept[t])"),
         ('return {**grads, "h0": grad_h, "s0": grad_s}', 'return {**grads, "h0": grad_h, "s0": last_s}'),
         label=label("stale-value dropped-path missing-local-derivative wrong-operand", "s0 s f", "multiply")),
    Slip("loop stops before the first step", step_functions,
         ("for t in reversed(range(steps)):", "for t in range(steps - 1, 0, -1):"),
         label=label("dropped-path stale-value",
                     "W b V c h0 s0 h s z out joint i f o g err total", "matmul add multiply")),
    Slip("input weights' gradient overwritten at every step of every sequence", a_sequence_at_a_time,
         ("g_Wx += np.outer(x[t, k], g_z)", "g_Wx = np.outer(x[t, k], g_z)"),
         label=label("overwritten-accumulation dropped-path missing-broadcast-reduction",
                     "W z joint", "matmul")),
    Slip("recurrent weights with the state of the same step", a_sequence_at_a_time,
         ("g_Wh += np.outer(h[t - 1], g_z)", "g_Wh += np.outer(h[t], g_z)"),
         label=label("wrong-operand stale-value", "W z joint h", "matmul concatenate")),
    Slip("carried state not reset between the sequences", a_sequence_at_a_time,
         ("carry_h = np.zeros(H)", ""),
         ("act = {}", "act = {}\nif k == 0:\n    carry_h = np.zeros(H)"),
         label=label("stale-value extra-term", "h joint h0 out", "concatenate matmul")),
    Slip("output gate left out of the cell's gradient", a_sequence_at_a_time,
         ("g_s = carry_s + g_h * o / np.cosh(s[t]) ** 2", "g_s = carry_s + g_h / np.cosh(s[t]) ** 2"),
         label=label("missing-local-derivative wrong-operand", "s h o", "multiply tanh")),
    Slip("slope of the tanh with one cosh", a_sequence_at_a_time,
         ("g_s = carry_s + g_h * o / np.cosh(s[t]) ** 2", "g_s = carry_s + g_h * o / np.cosh(s[t])"),
         label=label("wrong-local-rule", "s h", "tanh")),
    Slip("candidate's slope that of the sigmoids", a_sequence_at_a_time,
         ("slopes = np.concatenate([i * (1 - i), f * (1 - f), o * (1 - o), 1 - g ** 2])",
          "slopes = np.concatenate([i * (1 - i), f * (1 - f), o * (1 - o), g * (1 - g)])"),
         label=label("wrong-local-rule", "g z", "tanh")),
)
