"""A word from the words before it: their vectors side by side, a tanh layer, a softmax over the vocabulary."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("E", "H", "d", "U", "c")


def data(rng, dtype):
    return {"words": np.array([[4, 1, 4], [0, 7, 2], [2, 4, 9], [1, 1, 5], [8, 2, 0], [3, 7, 7]], np.int64),
            "nxt": np.array([7, 3, 1, 7, 5, 2], np.int64),
            "E": rng.normal(size=(10, 4)).astype(dtype),
            "H": (0.5 * rng.normal(size=(5, 12))).astype(dtype), "d": (0.5 * rng.normal(size=5)).astype(dtype),
            "U": rng.normal(size=(10, 5)).astype(dtype), "c": rng.normal(size=10).astype(dtype)}


def loss(words, nxt, E, H, d, U, c):
    vectors = [E[words[:, k]] for k in range(3)]
    x = np.concatenate(vectors, axis=1)
    a = x @ H.T + d
    h = np.tanh(a)
    s = h @ U.T + c
    logZ = ad.logsumexp(s, axis=1)
    score = s[np.arange(6), nxt]
    loss = np.mean(logZ - score)
    return loss


def probabilities(s):
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def scatter_rows(words, nxt, E, H, d, U, c):
    N, k = words.shape
    x = E[words].reshape(N, -1)
    a = x @ H.T + d
    h = np.tanh(a)
    s = h @ U.T + c
    ds = probabilities(s)
    ds[np.arange(N), nxt] -= 1
    ds = ds / N
    dU = ds.T @ h
    dc = ds.sum(axis=0)
    dh = ds @ U
    da = dh * (1 - h ** 2)
    dH = da.T @ x
    dd = da.sum(axis=0)
    dx = da @ H
    dvectors = dx.reshape(N, k, E.shape[1])
    dE = np.zeros_like(E)
    np.add.at(dE, words, dvectors)
    return {"E": dE, "H": dH, "d": dd, "U": dU, "c": dc, "x": dx, "a": da, "h": dh, "s": ds}


def blocks_by_position(words, nxt, E, H, d, U, c):
    """One block of H for each position of the window; columns are samples."""
    n = len(nxt)
    width = E.shape[1]
    onehot = np.eye(len(E), dtype=E.dtype)
    W = [H[:, j * width:(j + 1) * width] for j in range(3)]
    picked = [onehot[words[:, j]] for j in range(3)]
    pre = d[:, None]
    for Wj, Pj in zip(W, picked):
        pre = pre + Wj @ (Pj @ E).T
    h = np.tanh(pre)
    P = probabilities((U @ h).T + c).T
    delta_s = (P - onehot[nxt].T) / n
    delta_a = (U.T @ delta_s) / np.cosh(pre) ** 2
    gE = np.zeros_like(E)
    gH = np.empty_like(H)
    for j in range(3):
        gH[:, j * width:(j + 1) * width] = delta_a @ picked[j] @ E
        gE += picked[j].T @ (delta_a.T @ W[j])
    gU = delta_s @ h.T
    return {"dE": gE, "dH": gH, "dd": delta_a.sum(1), "dU": gU, "dc": delta_s.sum(1)}


def in_plain_loops(words, nxt, E, H, d, U, c):
    gE, gH, gd = 0 * E, 0 * H, 0 * d
    gU, gc = 0 * U, 0 * c
    size = E.shape[1]
    N = len(words)
    value = 0
    for context, word in zip(words, nxt):
        x = np.concatenate([E[i] for i in context])
        h = np.tanh(H @ x + d)
        p = probabilities(U @ h + c)
        value -= np.log(p[word]) / N
        gh = 0 * h
        for v in range(len(p)):
            err = p[v] / N
            if v == word:
                err -= 1 / N
            gc[v] += err
            gU[v] += err * h
            gh += err * U[v]
        ga = gh - gh * h * h
        gd += ga
        gH += ga[:, None] * x[None, :]
        gx = ga @ H
        start = 0
        for i in context:
            gE[i] += gx[start:start + size]
            start += size
    return {"E": gE, "H": gH, "d": gd, "U": gU, "c": gc, "loss": value}


RIGHT = (scatter_rows, blocks_by_position, in_plain_loops)

SLIPS = (
    Slip("words met twice get only one of their gradients in E", scatter_rows,
         ("np.add.at(dE, words, dvectors)", "dE[words] += dvectors"),
         label=label("scatter overwritten-accumulation dropped-path", "E x", "getitem")),
    Slip("embedding's rows of the next word instead of the context's", scatter_rows,
         ("np.add.at(dE, words, dvectors)", "np.add.at(dE, nxt, dvectors.sum(axis=1))"),
         label=label("scatter wrong-operand", "E x words nxt", "getitem")),
    Slip("gradient of x cut up in the wrong order, position last", scatter_rows,
         ("dvectors = dx.reshape(N, k, E.shape[1])", "dvectors = dx.reshape(N, E.shape[1], k).transpose(0, 2, 1)"),
         label=label("scatter wrong-axis", "E x", "concatenate getitem")),
    Slip("tanh's slope at the slope's input: 1 - tanh(h) squared", scatter_rows,
         ("da = dh * (1 - h ** 2)", "da = dh * (1 - np.tanh(h) ** 2)"),
         label=label("wrong-argument", "a h", "tanh")),
    Slip("square forgotten in tanh's slope", scatter_rows,
         ("da = dh * (1 - h ** 2)", "da = dh * (1 - h)"),
         label=label("wrong-local-rule", "a h", "tanh")),
    Slip("bias d from the gradient before the tanh", scatter_rows,
         ("dd = da.sum(axis=0)", "dd = dh.sum(axis=0)"),
         label=label("missing-local-derivative wrong-operand", "d a h", "tanh add")),
    Slip("one subtracted before the softmax, at the scores", scatter_rows,
         ("ds = probabilities(s)", "s[np.arange(N), nxt] -= 1\nds = probabilities(s)"),
         ("ds[np.arange(N), nxt] -= 1", ""),
         label=label("wrong-argument wrong-local-rule stale-value", "s logZ score", "logsumexp subtract getitem")),
    Slip("scores instead of probabilities less one", scatter_rows,
         ("ds = probabilities(s)", "ds = s.copy()"),
         label=label("missing-local-derivative wrong-local-rule wrong-operand", "s logZ", "logsumexp")),
    Slip("divided by the words of all contexts", scatter_rows,
         ("ds = ds / N", "ds = ds / words.size"),
         label=label("scale", "s logZ score loss", "logsumexp mean subtract getitem")),
    Slip("mean over samples undone for U alone", scatter_rows,
         ("dU = ds.T @ h", "dU = N * ds.T @ h"),
         label=label("scale", "U s", "matmul")),
    Slip("one added for the next word", scatter_rows,
         ("ds[np.arange(N), nxt] -= 1", "ds[np.arange(N), nxt] += 1"),
         label=label("sign", "s score", "subtract getitem")),
    Slip("U's gradient with a in place of h", scatter_rows,
         ("dU = ds.T @ h", "dU = ds.T @ a"),
         label=label("wrong-operand", "U h s", "matmul")),
    Slip("embedding set by the last position of the window", blocks_by_position,
         ("gE += picked[j].T @ (delta_a.T @ W[j])", "gE = picked[j].T @ (delta_a.T @ W[j])"),
         label=label("overwritten-accumulation dropped-path scatter", "E x", "concatenate getitem")),
    Slip("first block of H used at each position", blocks_by_position,
         ("gE += picked[j].T @ (delta_a.T @ W[j])", "gE += picked[j].T @ (delta_a.T @ W[0])"),
         label=label("wrong-operand scatter", "E x H a", "matmul concatenate getitem")),
    Slip("only the word right before is followed back", blocks_by_position,
         ("gE += picked[j].T @ (delta_a.T @ W[j])", "if j == 2:\n    gE += picked[j].T @ (delta_a.T @ W[j])"),
         label=label("dropped-path", "E x", "concatenate getitem")),
    Slip("blocks of H filled from the window's other end", blocks_by_position,
         ("gH[:, j * width:(j + 1) * width] = delta_a @ picked[j] @ E",
          "gH[:, j * width:(j + 1) * width] = delta_a @ picked[2 - j] @ E"),
         label=label("wrong-operand scatter swapped transposed-result", "H x a", "matmul concatenate")),
    Slip("slope 1 / cosh without the square", blocks_by_position,
         ("delta_a = (U.T @ delta_s) / np.cosh(pre) ** 2", "delta_a = (U.T @ delta_s) / np.cosh(pre)"),
         label=label("wrong-local-rule", "a h", "tanh")),
    Slip("slope of tanh forgotten", blocks_by_position,
         ("delta_a = (U.T @ delta_s) / np.cosh(pre) ** 2", "delta_a = U.T @ delta_s"),
         label=label("missing-local-derivative", "a h", "tanh")),
    Slip("slope of tanh at h, and no mean", blocks_by_position,
         ("delta_a = (U.T @ delta_s) / np.cosh(pre) ** 2", "delta_a = (U.T @ delta_s) / np.cosh(h) ** 2"),
         ("delta_s = (P - onehot[nxt].T) / n", "delta_s = P - onehot[nxt].T"),
         label=label("two", "a h s loss logZ score", "tanh mean subtract logsumexp getitem")),
    Slip("probabilities before the bias c", blocks_by_position,
         ("P = probabilities((U @ h).T + c).T", "P = probabilities((U @ h).T).T"),
         label=label("wrong-argument wrong-operand", "s logZ c", "logsumexp add")),
    Slip("start never moved on: all positions take the first block", in_plain_loops,
         ("start += size", ""),
         label=label("scatter wrong-operand", "E x", "concatenate getitem")),
    Slip("start moved on by one number instead of one vector", in_plain_loops,
         ("start += size", "start += 1"),
         label=label("scatter wrong-operand", "E x", "concatenate getitem")),
    Slip("hidden gradient kept for the last word of the vocabulary alone", in_plain_loops,
         ("gh += err * U[v]", "gh = err * U[v]"),
         label=label("overwritten-accumulation dropped-path missing-broadcast-reduction", "h s", "matmul")),
    Slip("hidden gradient only from the right word", in_plain_loops,
         ("gh += err * U[v]", "if v == word:\n    gh += err * U[v]"),
         label=label("dropped-path", "h s", "matmul")),
    Slip("right word's whole one subtracted, not its share of the mean", in_plain_loops,
         ("err -= 1 / N", "err -= 1"),
         label=label("scale", "score s loss", "mean subtract getitem")),
    Slip("probability of the right word skipped in the error", in_plain_loops,
         ("err -= 1 / N", "err = -1 / N"),
         label=label("overwritten-accumulation dropped-path wrong-local-rule", "s logZ score",
                     "logsumexp subtract getitem")),
    Slip("plus in tanh's slope", in_plain_loops,
         ("ga = gh - gh * h * h", "ga = gh + gh * h * h"),
         label=label("sign wrong-local-rule", "a h", "tanh")),
    Slip("embedding rows set anew by each context", in_plain_loops,
         ("gE[i] += gx[start:start + size]", "gE[i] = gx[start:start + size]"),
         label=label("scatter overwritten-accumulation dropped-path", "E x", "getitem")),
    Slip("gradient before the tanh taken for H", in_plain_loops,
         ("gH += ga[:, None] * x[None, :]", "gH += gh[:, None] * x[None, :]"),
         label=label("missing-local-derivative wrong-operand", "H a h", "tanh matmul")),
)
