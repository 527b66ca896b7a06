"""A tanh RNN in columns with a prediction at each step, cross entropy averaged over steps and sequences."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip

PARAMETERS = ("Wxh", "Whh", "bh", "Why", "by", "h0")


def data(rng, dtype):
    return {"x": rng.normal(size=(6, 3, 4)).astype(dtype), "y": rng.integers(0, 7, size=(6, 4)),
            "Wxh": (0.6 * rng.normal(size=(5, 3))).astype(dtype), "Whh": (0.5 * rng.normal(size=(5, 5))).astype(dtype),
            "bh": (0.3 * rng.normal(size=(5, 1))).astype(dtype), "Why": (0.7 * rng.normal(size=(7, 5))).astype(dtype),
            "by": (0.3 * rng.normal(size=(7, 1))).astype(dtype), "h0": (0.6 * rng.normal(size=(5, 1))).astype(dtype)}


def loss(x, y, Wxh, Whh, bh, Why, by, h0):
    T, B = y.shape
    zx = np.einsum("hd,tdb->thb", Wxh, x)
    h = h0
    scores = []
    for t in range(T):
        z = zx[t] + Whh @ h + bh
        h = np.tanh(z)
        s = Why @ h + by
        scores.append(s)
    logp = ad.log_softmax(np.stack(scores), axis=1)
    picked = logp[np.arange(T)[:, None], y, np.arange(B)]
    loss = -picked.mean()
    return loss


def min_char_style(x, y, Wxh, Whh, bh, Why, by, h0):
    T, B = y.shape
    zs, hs, ps = {}, {-1: np.tile(h0, (1, B))}, {}
    for t in range(T):
        zs[t] = Wxh @ x[t] + Whh @ hs[t - 1] + bh
        hs[t] = np.tanh(zs[t])
        scores = np.exp(Why @ hs[t] + by)
        ps[t] = scores / scores.sum(axis=0)
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby = np.zeros_like(bh), np.zeros_like(by)
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(T)):
        ds = np.copy(ps[t])
        ds[y[t], range(B)] -= 1
        ds /= T * B
        dWhy += ds @ hs[t].T
        dby += ds.sum(axis=1, keepdims=True)
        dh = Why.T @ ds + dhnext
        dz = (1 - hs[t] * hs[t]) * dh
        dbh += dz.sum(axis=1, keepdims=True)
        dWxh += dz @ x[t].T
        dWhh += dz @ hs[t - 1].T
        dhnext = Whh.T @ dz
    dh0 = dhnext.sum(axis=1, keepdims=True)
    return {"Wxh": dWxh, "Whh": dWhh, "bh": dbh, "Why": dWhy, "by": dby, "h0": dh0}


def all_steps_in_arrays(x, y, Wxh, Whh, bh, Why, by, h0):
    T, B = y.shape
    n_hidden, n_classes = len(bh), len(by)
    h = np.empty((T + 1, n_hidden, B), dtype=x.dtype)
    h[0] = h0
    for t in range(T):
        h[t + 1] = np.tanh(Wxh @ x[t] + Whh @ h[t] + bh)
    e = np.exp(np.einsum("ch,thb->tcb", Why, h[1:]) + by)
    p = e / e.sum(axis=1, keepdims=True)
    onehot = np.eye(n_classes)[y].transpose(0, 2, 1)
    delta_s = (p - onehot) / y.size
    delta_h = np.einsum("ch,tcb->thb", Why, delta_s)
    delta_z = np.zeros_like(delta_h)
    carry = np.zeros((n_hidden, B))
    for t in range(T - 1, -1, -1):
        delta_z[t] = (delta_h[t] + carry) * (1 - h[t + 1] ** 2)
        carry = Whh.T @ delta_z[t]
    grad_Why = np.einsum("tcb,thb->ch", delta_s, h[1:])
    grad_by = delta_s.sum(axis=(0, 2))[:, None]
    grad_Wxh = np.einsum("thb,tdb->hd", delta_z, x)
    grad_Whh = np.einsum("thb,tgb->hg", delta_z, h[:-1])
    grad_bh = delta_z.sum(axis=(0, 2))[:, None]
    grad_h0 = carry.sum(axis=1, keepdims=True)
    return {"dWxh": grad_Wxh, "dWhh": grad_Whh, "dbh": grad_bh, "dWhy": grad_Why, "dby": grad_by, "dh0": grad_h0}


def every_path_by_itself(x, y, Wxh, Whh, bh, Why, by, h0):
    T, B = y.shape
    H = [h0 + np.zeros((1, B))]
    for t in range(T):
        H.append(np.tanh(Wxh @ x[t] + Whh @ H[-1] + bh))
    gx, gh, gb = 0 * Wxh, 0 * Whh, 0 * bh
    gy, gc, g0 = 0 * Why, 0 * by, 0 * h0
    for t in range(T):
        q = np.exp(Why @ H[t + 1] + by)
        q = q / q.sum(axis=0)
        q[y[t], np.arange(B)] -= 1.0
        q = q / (T * B)
        gy = gy + q @ H[t + 1].T
        gc = gc + q.sum(axis=1, keepdims=True)
        g = Why.T @ q
        for k in range(t, -1, -1):
            d = g * (1 - H[k + 1] ** 2)
            gx = gx + d @ x[k].T
            gh = gh + d @ H[k].T
            gb = gb + d.sum(axis=1, keepdims=True)
            g = Whh.T @ d
        g0 = g0 + g.sum(axis=1, keepdims=True)
    return {"Wxh": gx, "Whh": gh, "bh": gb, "Why": gy, "by": gc, "h0": g0}


RIGHT = (min_char_style, all_steps_in_arrays, every_path_by_itself)

SLIPS = (
    Slip("nothing comes from the next step", min_char_style, ("dh = Why.T @ ds + dhnext", "dh = Why.T @ ds")),
    Slip("Whh not transposed in dhnext", min_char_style, ("dhnext = Whh.T @ dz", "dhnext = Whh @ dz")),
    Slip("dhnext from dh instead of dz", min_char_style, ("dhnext = Whh.T @ dz", "dhnext = Whh.T @ dh")),
    Slip("dhnext piles up over the steps", min_char_style, ("dhnext = Whh.T @ dz", "dhnext = dhnext + Whh.T @ dz")),
    Slip("dWhh with the new hidden state", min_char_style, ("dWhh += dz @ hs[t - 1].T", "dWhh += dz @ hs[t].T")),
    Slip("first step's previous state is taken to be zero", min_char_style,
         ("dWhh += dz @ hs[t - 1].T", "if t > 0:\n    dWhh += dz @ hs[t - 1].T")),
    Slip("first step takes its own state as the previous one", min_char_style,
         ("dWhh += dz @ hs[t - 1].T", "dWhh += dz @ hs[max(t - 1, 0)].T")),
    Slip("targets of the step before", min_char_style, ("ds[y[t], range(B)] -= 1", "ds[y[t - 1], range(B)] -= 1")),
    Slip("averaged over the sequences only", min_char_style, ("ds /= T * B", "ds /= B")),
    Slip("tanh' at z", min_char_style, ("dz = (1 - hs[t] * hs[t]) * dh", "dz = (1 - zs[t] * zs[t]) * dh")),
    Slip("h0's gradient is that of the first state", min_char_style,
         ("dh0 = dhnext.sum(axis=1, keepdims=True)", "dh0 = dh.sum(axis=1, keepdims=True)")),
    Slip("by only gets the last step looked at", min_char_style,
         ("dby += ds.sum(axis=1, keepdims=True)", "dby = ds.sum(axis=1, keepdims=True)")),
    Slip("backward loop leaves out step zero", min_char_style,
         ("for t in reversed(range(T)):", "for t in reversed(range(1, T)):")),
    Slip("softmax times one minus softmax on top", min_char_style,
         ("ds /= T * B", "ds *= ps[t] * (1 - ps[t]) / (T * B)")),
    Slip("tanh' one step early", all_steps_in_arrays,
         ("delta_z[t] = (delta_h[t] + carry) * (1 - h[t + 1] ** 2)",
          "delta_z[t] = (delta_h[t] + carry) * (1 - h[t] ** 2)")),
    Slip("Why with the states before the step", all_steps_in_arrays,
         ('grad_Why = np.einsum("tcb,thb->ch", delta_s, h[1:])',
          'grad_Why = np.einsum("tcb,thb->ch", delta_s, h[:-1])')),
    Slip("Whh's axes the other way round", all_steps_in_arrays,
         ('grad_Whh = np.einsum("thb,tgb->hg", delta_z, h[:-1])',
          'grad_Whh = np.einsum("thb,tgb->gh", delta_z, h[:-1])')),
    Slip("bh from the first sequence only", all_steps_in_arrays,
         ("grad_bh = delta_z.sum(axis=(0, 2))[:, None]", "grad_bh = delta_z.sum(axis=0)[:, :1]")),
    Slip("went through the steps forwards", all_steps_in_arrays,
         ("for t in range(T - 1, -1, -1):", "for t in list(range(T)):")),
    Slip("probabilities normalised over the sequences", all_steps_in_arrays,
         ("p = e / e.sum(axis=1, keepdims=True)", "p = e / e.sum(axis=2, keepdims=True)")),
    Slip("tanh' on the step's own part only", all_steps_in_arrays,
         ("delta_z[t] = (delta_h[t] + carry) * (1 - h[t + 1] ** 2)",
          "delta_z[t] = delta_h[t] * (1 - h[t + 1] ** 2) + carry")),
    Slip("state detached halfway", all_steps_in_arrays,
         ("carry = Whh.T @ delta_z[t]", "carry = Whh.T @ delta_z[t] if t != T // 2 else np.zeros_like(carry)")),
    Slip("Whh with the last state at every step", all_steps_in_arrays,
         ('grad_Whh = np.einsum("thb,tgb->hg", delta_z, h[:-1])',
          'grad_Whh = np.einsum("thb,gb->hg", delta_z, h[-1])')),
    Slip("h0 averaged over the sequences, Why's bias over the steps", all_steps_in_arrays,
         ("grad_h0 = carry.sum(axis=1, keepdims=True)", "grad_h0 = carry.mean(axis=1, keepdims=True)"),
         ("grad_by = delta_s.sum(axis=(0, 2))[:, None]", "grad_by = delta_s.mean(axis=0).sum(axis=1)[:, None]")),
    Slip("paths stop before the first step", every_path_by_itself,
         ("for k in range(t, -1, -1):", "for k in range(t, 0, -1):")),
    Slip("paths of two steps at most", every_path_by_itself,
         ("for k in range(t, -1, -1):", "for k in range(t, max(t - 2, -1), -1):")),
    Slip("input of the step of the loss, not of the path", every_path_by_itself,
         ("gx = gx + d @ x[k].T", "gx = gx + d @ x[t].T")),
    Slip("h0 from the last step's path only", every_path_by_itself,
         ("g0 = g0 + g.sum(axis=1, keepdims=True)", "g0 = g.sum(axis=1, keepdims=True)")),
    Slip("states all kept in the same buffer", every_path_by_itself,
         ("H.append(np.tanh(Wxh @ x[t] + Whh @ H[-1] + bh))",
          "H.append(np.tanh(Wxh @ x[t] + Whh @ H[-1] + bh, out=H[0]))")),
    Slip("tanh' of the step of the loss all along the path", every_path_by_itself,
         ("d = g * (1 - H[k + 1] ** 2)", "d = g * (1 - H[t + 1] ** 2)")),
)
