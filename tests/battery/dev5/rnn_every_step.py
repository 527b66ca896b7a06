"""A tanh RNN with a softmax at every step."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("Wx", "Wh", "bh", "Wy", "by")


def data(rng, dtype):
    def normal(*shape):
        return (0.6 * rng.normal(size=shape)).astype(dtype)
    return {"x": normal(5, 6, 3), "h0": normal(6, 4), "labels": rng.integers(0, 5, size=(5, 6)),
            "Wx": normal(3, 4), "Wh": normal(4, 4), "bh": normal(4), "Wy": normal(4, 5), "by": normal(5)}


def loss(x, h0, labels, Wx, Wh, bh, Wy, by):
    T, B = x.shape[:2]
    h = h0
    total = 0
    for t in range(T):
        a = x[t] @ Wx + h @ Wh + bh
        h = np.tanh(a)
        o = h @ Wy + by
        logp = ad.log_softmax(o, axis=1)
        total = total - logp[np.arange(B), labels[t]].sum()
    loss = total / B
    return loss


def softmax(o):
    e = np.exp(o - o.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def states(x, h0, Wx, Wh, bh):
    hs = [h0]
    for t in range(len(x)):
        hs.append(np.tanh(x[t] @ Wx + hs[-1] @ Wh + bh))
    return hs


def through_time(x, h0, labels, Wx, Wh, bh, Wy, by):
    T, B = labels.shape
    hs = states(x, h0, Wx, Wh, bh)
    dWx, dWh, dbh = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(bh)
    dWy, dby = np.zeros_like(Wy), np.zeros_like(by)
    dh_next = np.zeros_like(h0)
    for t in reversed(range(T)):
        do = softmax(hs[t + 1] @ Wy + by)
        do[np.arange(B), labels[t]] -= 1
        do /= B
        dWy += hs[t + 1].T @ do
        dby += do.sum(axis=0)
        dh = do @ Wy.T + dh_next
        da = (1 - hs[t + 1] ** 2) * dh
        dWx += x[t].T @ da
        dWh += hs[t].T @ da
        dbh += da.sum(axis=0)
        dh_next = da @ Wh.T
    return {"Wx": dWx, "Wh": dWh, "bh": dbh, "Wy": dWy, "by": dby}


def stacked(x, h0, labels, Wx, Wh, bh, Wy, by):
    T, B = labels.shape
    H = np.stack(states(x, h0, Wx, Wh, bh))
    G = (softmax(H[1:] @ Wy + by) - np.eye(len(by))[labels]) / B
    E = G @ Wy.T
    D = np.zeros_like(H[1:])
    D[-1] = E[-1] * (1 - H[-1] ** 2)
    for t in range(T - 2, -1, -1):
        D[t] = (E[t] + D[t + 1] @ Wh.T) * (1 - H[t + 1] ** 2)
    g_Wx = np.einsum("tbi,tbj->ij", x, D)
    g_Wh = np.einsum("tbi,tbj->ij", H[:-1], D)
    g_bh = D.sum((0, 1))
    g_Wy = np.einsum("tbi,tbj->ij", H[1:], G)
    g_by = G.sum((0, 1))
    return {"Wx": g_Wx, "Wh": g_Wh, "bh": g_bh, "Wy": g_Wy, "by": g_by}


def step_back(delta_h, x_t, h_prev, h_t, Wh):
    delta = delta_h * (1 - h_t * h_t)
    return x_t.T @ delta, h_prev.T @ delta, delta.sum(0), delta @ Wh.T


def with_helper(x, h0, labels, Wx, Wh, bh, Wy, by):
    T, B = labels.shape
    hs = states(x, h0, Wx, Wh, bh)
    probs = [softmax(h @ Wy + by) for h in hs[1:]]
    errors = []
    for t in range(T):
        onehot = np.zeros_like(probs[t])
        onehot[range(B), labels[t]] = 1
        errors.append((probs[t] - onehot) / B)
    grads = {"dWy": sum(h.T @ err for h, err in zip(hs[1:], errors)), "dby": sum(err.sum(0) for err in errors)}
    grads.update(dWx=0, dWh=0, dbh=0)
    carry = 0
    for t in range(T - 1, -1, -1):
        delta_h = errors[t] @ Wy.T + carry
        gx, gh, gb, carry = step_back(delta_h, x[t], hs[t], hs[t + 1], Wh)
        grads["dWx"] += gx
        grads["dWh"] += gh
        grads["dbh"] += gb
    return grads


RIGHT = (through_time, stacked, with_helper)

SLIPS = (
    Slip("no gradient from the next step's h", through_time, ("dh = do @ Wy.T + dh_next", "dh = do @ Wy.T"),
         label=label("dropped-path treated-as-constant", "h a", "matmul tanh")),
    Slip("Wh with the new state instead of the one before", through_time,
         ("dWh += hs[t].T @ da", "dWh += hs[t + 1].T @ da"),
         label=label("wrong-operand stale-value", "Wh h a", "matmul")),
    Slip("tanh' at the state one step early", through_time,
         ("da = (1 - hs[t + 1] ** 2) * dh", "da = (1 - hs[t] ** 2) * dh"),
         label=label("wrong-argument stale-value wrong-operand", "a h", "tanh")),
    Slip("dh passed back before the tanh'", through_time, ("dh_next = da @ Wh.T", "dh_next = dh @ Wh.T"),
         label=label("missing-local-derivative wrong-operand", "h a", "tanh matmul")),
    Slip("Wh not transposed on the way back", through_time, ("dh_next = da @ Wh.T", "dh_next = da @ Wh"),
         label=label("missing-transpose", "h a Wh", "matmul")),
    Slip("Wy of the last handled step only", through_time,
         ("dWy += hs[t + 1].T @ do", "dWy = hs[t + 1].T @ do"),
         label=label("overwritten-accumulation dropped-path", "Wy h o", "matmul")),
    Slip("the label's one not subtracted", through_time, ("do[np.arange(B), labels[t]] -= 1", ""),
         label=label("dropped-path wrong-local-rule missing-term", "o logp loss total labels", "log_softmax getitem")),
    Slip("labels of the step before", through_time,
         ("do[np.arange(B), labels[t]] -= 1", "do[np.arange(B), labels[t - 1]] -= 1"),
         label=label("scatter wrong-operand", "o logp labels", "log_softmax getitem")),
    Slip("dh_next goes on growing", through_time, ("dh_next = da @ Wh.T", "dh_next += da @ Wh.T"),
         label=label("extra-term overwritten-accumulation stale-value", "h a", "matmul tanh add")),
    Slip("mean over the steps as well", stacked,
         ("G = (softmax(H[1:] @ Wy + by) - np.eye(len(by))[labels]) / B",
          "G = (softmax(H[1:] @ Wy + by) - np.eye(len(by))[labels]) / (B * T)"),
         label=label("scale", "o logp loss total", "log_softmax divide sum subtract getitem")),
    Slip("last step's delta left zero", stacked, ("D[-1] = E[-1] * (1 - H[-1] ** 2)", ""),
         label=label("dropped-path", "a h", "tanh matmul")),
    Slip("tanh' only on the recurrent part", stacked,
         ("D[t] = (E[t] + D[t + 1] @ Wh.T) * (1 - H[t + 1] ** 2)",
          "D[t] = E[t] + D[t + 1] @ Wh.T * (1 - H[t + 1] ** 2)"),
         label=label("missing-local-derivative", "a h", "tanh")),
    Slip("loop stops before the first step", stacked,
         ("for t in range(T - 2, -1, -1):", "for t in range(T - 2, 0, -1):"),
         label=label("dropped-path", "a h x Wx Wh bh h0", "tanh matmul add")),
    Slip("Wy from the states before each step", stacked,
         ('g_Wy = np.einsum("tbi,tbj->ij", H[1:], G)', 'g_Wy = np.einsum("tbi,tbj->ij", H[:-1], G)'),
         label=label("wrong-operand stale-value", "Wy h o", "matmul")),
    Slip("bh from the last step alone", stacked, ("g_bh = D.sum((0, 1))", "g_bh = D[-1].sum(0)"),
         label=label("dropped-path missing-broadcast-reduction", "bh a", "add")),
    Slip("carry subtracted", with_helper,
         ("delta_h = errors[t] @ Wy.T + carry", "delta_h = errors[t] @ Wy.T - carry"),
         label=label("sign", "h a", "matmul tanh")),
    Slip("error of the last step at every step", with_helper,
         ("delta_h = errors[t] @ Wy.T + carry", "delta_h = errors[-1] @ Wy.T + carry"),
         label=label("wrong-operand stale-value", "h o logp", "matmul")),
    Slip("loss not averaged, and helper given the state before for tanh'", with_helper,
         ("errors.append((probs[t] - onehot) / B)", "errors.append(probs[t] - onehot)"),
         ("gx, gh, gb, carry = step_back(delta_h, x[t], hs[t], hs[t + 1], Wh)",
          "gx, gh, gb, carry = step_back(delta_h, x[t], hs[t], hs[t], Wh)"),
         label=label("two", "o logp loss total a h", "log_softmax divide sum subtract getitem tanh")),
)
