"""A one-dimensional convolution written with slices, relu, global mean, logistic loss with labels -1 and 1."""

import numpy as np

from tests.battery.slips import Slip

PARAMETERS = ("K", "c", "w", "b")


def data(rng, dtype):
    y = np.where(rng.random(6) < 0.5, -1, 1).astype(dtype)
    y[:2] = 1, -1
    return {"x": rng.normal(size=(6, 10, 2)).astype(dtype), "y": y, "K": rng.normal(size=(3, 2, 4)).astype(dtype),
            "c": (0.5 * rng.normal(size=4)).astype(dtype), "w": rng.normal(size=4).astype(dtype), "b": dtype(-0.4)}


def loss(x, y, K, c, w, b):
    width = K.shape[0]
    n = x.shape[1] - width + 1
    z = c
    for k in range(width):
        z = z + x[:, k:k + n] @ K[k]
    a = np.maximum(z, 0)
    pooled = a.mean(axis=1)
    score = pooled @ w + b
    loss = np.logaddexp(0, -y * score).mean()
    return loss


def by_positions(x, y, K, c, w, b):
    m, length, _ = x.shape
    width = len(K)
    n = length - width + 1
    z = np.zeros((m, n, K.shape[2]), dtype=x.dtype) + c
    for i in range(width):
        z += x[:, i:i + n] @ K[i]
    a = np.maximum(z, 0)
    pooled = a.mean(axis=1)
    score = pooled @ w + b

    dscore = -y / (1 + np.exp(y * score)) / m
    dw = pooled.T @ dscore
    db = dscore.sum()
    dpooled = np.outer(dscore, w)
    da = np.broadcast_to(dpooled[:, None, :] / n, a.shape)
    dz = da * (z > 0)
    dc = dz.sum(axis=(0, 1))
    dK = np.zeros_like(K)
    for k in range(width):
        dK[k] = np.einsum("nti,nto->io", x[:, k:k + n], dz)
    return {"K": dK, "c": dc, "w": dw, "b": db, "a": da, "pooled": dpooled, "score": dscore}


def windows_as_matrix(x, y, K, c, w, b):
    k, cin, cout = K.shape
    cols = np.lib.stride_tricks.sliding_window_view(x, k, axis=1).transpose(0, 1, 3, 2)
    m, n = cols.shape[:2]
    cols = cols.reshape(m * n, k * cin)
    Z = cols @ K.reshape(k * cin, cout) + c
    R = np.where(Z > 0, Z, 0).reshape(m, n, cout)
    P = R.sum(1) / n
    f = P @ w + b
    p_wrong = 1 / (1 + np.exp(y * f))
    g_f = -(y * p_wrong) / m
    g_w = g_f @ P
    g_b = np.sum(g_f)
    g_P = g_f[:, None] * w[None, :]
    g_R = np.repeat(g_P / n, n, axis=0)
    g_Z = np.where(Z > 0, g_R, 0)
    g_K = (cols.T @ g_Z).reshape(K.shape)
    g_c = g_Z.sum(0)
    return {"dK": g_K, "dc": g_c, "dw": g_w, "db": g_b}


def all_loops(x, y, K, c, w, b):
    N, length, n_in = x.shape
    size, _, n_out = K.shape
    steps = length - size + 1
    grad_K, grad_c, grad_w, grad_b = np.zeros_like(K), np.zeros_like(c), np.zeros_like(w), 0.0
    for s in range(N):
        z = np.empty((steps, n_out), dtype=x.dtype)
        for t in range(steps):
            z[t] = c + sum(x[s, t + j] @ K[j] for j in range(size))
        act = z * (z > 0)
        feature = act.mean(0)
        margin = y[s] * (feature @ w + b)
        slope = -y[s] * np.exp(-margin) / (1 + np.exp(-margin))
        grad_w += slope * feature
        grad_b += slope
        for t in range(steps):
            delta = slope * w * (z[t] > 0) / steps
            grad_c += delta
            for j in range(size):
                grad_K[j] += np.outer(x[s, t + j], delta)
    return {"K": grad_K / N, "c": grad_c / N, "w": grad_w / N, "b": grad_b / N}


RIGHT = (by_positions, windows_as_matrix, all_loops)

SLIPS = (
    Slip("forgot the relu at z", by_positions, ("dz = da * (z > 0)", "dz = da")),
    Slip("relu mask from the sign of the gradient", by_positions, ("dz = da * (z > 0)", "dz = da * (da > 0)")),
    Slip("multiplied by a instead of the mask a > 0", by_positions, ("dz = da * (z > 0)", "dz = da * a")),
    Slip("forgot the 1/n of the global mean", by_positions,
         ("da = np.broadcast_to(dpooled[:, None, :] / n, a.shape)",
          "da = np.broadcast_to(dpooled[:, None, :], a.shape)")),
    Slip("divided by the input length instead of the number of windows", by_positions,
         ("da = np.broadcast_to(dpooled[:, None, :] / n, a.shape)",
          "da = np.broadcast_to(dpooled[:, None, :] / length, a.shape)")),
    Slip("kernel gradient comes out flipped", by_positions,
         ('dK[k] = np.einsum("nti,nto->io", x[:, k:k + n], dz)',
          'dK[width - 1 - k] = np.einsum("nti,nto->io", x[:, k:k + n], dz)')),
    Slip("same slice of x for every kernel position", by_positions,
         ('dK[k] = np.einsum("nti,nto->io", x[:, k:k + n], dz)',
          'dK[k] = np.einsum("nti,nto->io", x[:, :n], dz)')),
    Slip("formula for labels 0 and 1 with labels -1 and 1", by_positions,
         ("dscore = -y / (1 + np.exp(y * score)) / m", "dscore = (1 / (1 + np.exp(-score)) - y) / m")),
    Slip("summed c over the batch and averaged over time", by_positions,
         ("dc = dz.sum(axis=(0, 1))", "dc = dz.sum(axis=0).mean(axis=0)")),
    Slip("the kernel's last position left at zero", by_positions,
         ("for k in range(width):", "for k in range(width - 1):")),
    Slip("the last window left out at K: range ends one too early", by_positions,
         ('dK[k] = np.einsum("nti,nto->io", x[:, k:k + n], dz)',
          'dK[k] = np.einsum("nti,nto->io", x[:, k:k + n - 1], dz[:, :-1])')),
    Slip("probability of the right class instead of the wrong one", windows_as_matrix,
         ("p_wrong = 1 / (1 + np.exp(y * f))", "p_wrong = 1 / (1 + np.exp(-y * f))")),
    Slip("dropped the minus of -y", windows_as_matrix, ("g_f = -(y * p_wrong) / m", "g_f = y * p_wrong / m")),
    Slip("forgot the label in the gradient of the score", windows_as_matrix,
         ("g_f = -(y * p_wrong) / m", "g_f = -p_wrong / m")),
    Slip("tile instead of repeat: pooled gradients given to the wrong examples", windows_as_matrix,
         ("g_R = np.repeat(g_P / n, n, axis=0)", "g_R = np.tile(g_P / n, (n, 1))")),
    Slip("window and channel mixed up in the reshape of K's gradient", windows_as_matrix,
         ("g_K = (cols.T @ g_Z).reshape(K.shape)",
          "g_K = (cols.T @ g_Z).reshape(cin, k, cout).transpose(1, 0, 2)")),
    Slip("max pooling in the gradient of w", windows_as_matrix, ("g_w = g_f @ P", "g_w = g_f @ R.max(1)")),
    Slip("leaky slope for the negative part", windows_as_matrix,
         ("g_Z = np.where(Z > 0, g_R, 0)", "g_Z = np.where(Z > 0, g_R, 0.1 * g_R)")),
    Slip("mask of the pooled feature instead of every step", all_loops,
         ("delta = slope * w * (z[t] > 0) / steps", "delta = slope * w * (feature > 0) / steps")),
    Slip("forgot w between the score and the feature", all_loops,
         ("delta = slope * w * (z[t] > 0) / steps", "delta = slope * (z[t] > 0) / steps")),
    Slip("x and kernel index run against each other", all_loops,
         ("grad_K[j] += np.outer(x[s, t + j], delta)", "grad_K[j] += np.outer(x[s, t + size - 1 - j], delta)")),
    Slip("always the first sample's input", all_loops,
         ("grad_K[j] += np.outer(x[s, t + j], delta)", "grad_K[j] += np.outer(x[0, t + j], delta)")),
    Slip("logistic loss's b not averaged, and c overwritten by the last step", all_loops,
         ('return {"K": grad_K / N, "c": grad_c / N, "w": grad_w / N, "b": grad_b / N}',
          'return {"K": grad_K / N, "c": grad_c / N, "w": grad_w / N, "b": grad_b}'),
         ("grad_c += delta", "grad_c = delta")),
    Slip("exp(margin) where exp(-margin) belongs", all_loops,
         ("slope = -y[s] * np.exp(-margin) / (1 + np.exp(-margin))",
          "slope = -y[s] * np.exp(margin) / (1 + np.exp(-margin))")),
)
