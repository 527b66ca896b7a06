"""A small convolution by slices, tanh, average pooling, a linear layer, a pseudo-Huber loss; the image is asked too."""

import numpy as np

from tests.battery.slips import Slip

PARAMETERS = ("x", "K", "bk", "W", "b")
DECAY = 0.05


def data(rng, dtype):
    return {"x": rng.normal(size=(5, 2, 6, 8)).astype(dtype), "y": (1.5 * rng.normal(size=(5, 3))).astype(dtype),
            "K": (0.4 * rng.normal(size=(4, 2, 3, 3))).astype(dtype), "bk": (0.4 * rng.normal(size=4)).astype(dtype),
            "W": (0.5 * rng.normal(size=(24, 3))).astype(dtype), "b": (0.5 * rng.normal(size=3)).astype(dtype)}


def loss(x, y, K, bk, W, b):
    z = bk[:, None, None]
    for i in range(3):
        for j in range(3):
            z = z + np.einsum("nchw,fc->nfhw", x[:, :, i:i + 4, j:j + 6], K[:, :, i, j])
    a = np.tanh(z)
    p = (a[:, :, ::2, ::2] + a[:, :, 1::2, ::2] + a[:, :, ::2, 1::2] + a[:, :, 1::2, 1::2]) / 4
    flat = p.reshape(len(x), -1)
    s = flat @ W + b
    r = s - y
    q = np.sqrt(1 + r ** 2)
    fit = (q - 1).sum() / len(x)
    loss = fit + DECAY * (W ** 2).sum()
    return loss


def convolved(x, K, bk):
    windows = np.lib.stride_tricks.sliding_window_view(x, K.shape[2:], axis=(2, 3))
    return np.einsum("nchwij,fcij->nfhw", windows, K) + bk[:, None, None]


def by_slices(x, y, K, bk, W, b):
    N = x.shape[0]
    a = np.tanh(convolved(x, K, bk))
    F, Ho, Wo = a.shape[1:]
    p = a.reshape(N, F, Ho // 2, 2, Wo // 2, 2).mean(axis=(3, 5))
    flat = p.reshape(N, -1)
    r = flat @ W + b - y
    ds = r / np.sqrt(1 + r ** 2) / N
    dW = flat.T @ ds
    dW += 2 * DECAY * W
    db = ds.sum(axis=0)
    dflat = ds @ W.T
    dp = dflat.reshape(p.shape)
    da = np.repeat(np.repeat(dp, 2, axis=2), 2, axis=3) / 4
    dz = da * (1 - a ** 2)
    dbk = dz.sum(axis=(0, 2, 3))
    dK = np.zeros_like(K)
    dx = np.zeros_like(x)
    for i in range(K.shape[2]):
        for j in range(K.shape[3]):
            dK[:, :, i, j] = np.einsum("nfhw,nchw->fc", dz, x[:, :, i:i + Ho, j:j + Wo])
            dx[:, :, i:i + Ho, j:j + Wo] += np.einsum("nfhw,fc->nchw", dz, K[:, :, i, j])
    return {"x": dx, "K": dK, "bk": dbk, "W": dW, "b": db}


def as_correlations(x, y, K, bk, W, b):
    view = np.lib.stride_tricks.sliding_window_view
    act = np.tanh(convolved(x, K, bk))
    pooled = (act[:, :, ::2] + act[:, :, 1::2]) / 2
    pooled = (pooled[..., ::2] + pooled[..., 1::2]) / 2
    features = pooled.reshape(len(x), -1)
    residual = features @ W + b - y
    g_s = residual / np.hypot(1, residual) / len(x)
    g_p = (g_s @ W.T).reshape(pooled.shape)
    g_a = np.kron(g_p, np.full((2, 2), 0.25))
    g_z = g_a * (1 - act) * (1 + act)
    g_K = np.einsum("nchwij,nfij->fchw", view(x, g_z.shape[2:], axis=(2, 3)), g_z)
    margin = ((0, 0), (0, 0), (2, 2), (2, 2))
    flipped = K[:, :, ::-1, ::-1]
    g_x = np.einsum("nfhwij,fcij->nchw", view(np.pad(g_z, margin), (3, 3), axis=(2, 3)), flipped)
    g_W = features.T @ g_s + 2 * DECAY * W
    return {"x": g_x, "K": g_K, "bk": np.einsum("nfhw->f", g_z), "W": g_W, "b": g_s.sum(axis=0)}


def pixel_by_pixel(x, y, K, bk, W, b):
    n = len(x)
    gx, gK, gbk = np.zeros_like(x), np.zeros_like(K), np.zeros_like(bk)
    gW, gb = 2 * DECAY * W, np.zeros_like(b)
    weights = W.reshape(4, 2, 3, 3)
    for m in range(n):
        out = np.tanh(convolved(x[m:m + 1], K, bk))[0]
        p = out.reshape(4, 2, 2, 3, 2).mean(axis=(2, 4))
        e = p.ravel() @ W + b - y[m]
        e = e / np.sqrt(1 + e * e) / n
        gW += np.outer(p.ravel(), e)
        gb += e
        back = weights @ e
        for u in range(4):
            for v in range(6):
                up = back[:, u // 2, v // 2] / 4
                d = up * (1 - out[:, u, v] ** 2)
                patch = x[m, :, u:u + 3, v:v + 3]
                gK += d[:, None, None, None] * patch
                gbk += d
                gx[m, :, u:u + 3, v:v + 3] += np.tensordot(d, K, axes=1)
    return {"x": gx, "K": gK, "bk": gbk, "W": gW, "b": gb}


RIGHT = (by_slices, as_correlations, pixel_by_pixel)

SLIPS = (
    Slip("quarter of the pooling forgotten", by_slices,
         ("da = np.repeat(np.repeat(dp, 2, axis=2), 2, axis=3) / 4",
          "da = np.repeat(np.repeat(dp, 2, axis=2), 2, axis=3)")),
    Slip("pooled gradients tiled instead of repeated", by_slices,
         ("da = np.repeat(np.repeat(dp, 2, axis=2), 2, axis=3) / 4", "da = np.tile(dp, (1, 1, 2, 2)) / 4")),
    Slip("pooling passes back to the upper left pixel only", by_slices,
         ("da = np.repeat(np.repeat(dp, 2, axis=2), 2, axis=3) / 4",
          "da = np.zeros_like(a)\nda[:, :, ::2, ::2] = dp / 4")),
    Slip("image's gradient overwritten by each kernel position", by_slices,
         ("dx[:, :, i:i + Ho, j:j + Wo] += np.einsum(\"nfhw,fc->nchw\", dz, K[:, :, i, j])",
          "dx[:, :, i:i + Ho, j:j + Wo] = np.einsum(\"nfhw,fc->nchw\", dz, K[:, :, i, j])")),
    Slip("kernel's rows and columns exchanged", by_slices,
         ('dK[:, :, i, j] = np.einsum("nfhw,nchw->fc", dz, x[:, :, i:i + Ho, j:j + Wo])',
          'dK[:, :, j, i] = np.einsum("nfhw,nchw->fc", dz, x[:, :, i:i + Ho, j:j + Wo])')),
    Slip("row offset copied to the columns of the slice", by_slices,
         ('dK[:, :, i, j] = np.einsum("nfhw,nchw->fc", dz, x[:, :, i:i + Ho, j:j + Wo])',
          'dK[:, :, i, j] = np.einsum("nfhw,nchw->fc", dz, x[:, :, i:i + Ho, i:i + Wo])')),
    Slip("last kernel row never visited", by_slices,
         ("for i in range(K.shape[2]):", "for i in range(K.shape[2] - 1):")),
    Slip("kernel bias averaged over the pixels", by_slices,
         ("dbk = dz.sum(axis=(0, 2, 3))", "dbk = dz.sum(axis=0).mean(axis=(1, 2))")),
    Slip("kernel bias from the first sample", by_slices,
         ("dbk = dz.sum(axis=(0, 2, 3))", "dbk = dz[0].sum(axis=(1, 2))")),
    Slip("tanh' at the pooled activations", by_slices,
         ("dz = da * (1 - a ** 2)", "dz = da * (1 - np.repeat(np.repeat(p, 2, axis=2), 2, axis=3) ** 2)")),
    Slip("no root in the loss's derivative", by_slices,
         ("ds = r / np.sqrt(1 + r ** 2) / N", "ds = r / (1 + r ** 2) / N")),
    Slip("as if the loss were squared error", by_slices, ("ds = r / np.sqrt(1 + r ** 2) / N", "ds = r / N")),
    Slip("two left in front of the root's derivative", by_slices,
         ("ds = r / np.sqrt(1 + r ** 2) / N", "ds = 2 * r / np.sqrt(1 + r ** 2) / N")),
    Slip("unflattened with the filters last", by_slices,
         ("dp = dflat.reshape(p.shape)", "dp = dflat.reshape(N, Ho // 2, Wo // 2, F).transpose(0, 3, 1, 2)")),
    Slip("decay forgotten", by_slices, ("dW += 2 * DECAY * W", "")),
    Slip("decayed weights used for going on", by_slices, ("dW += 2 * DECAY * W", "dW += 2 * DECAY * W\nW -= dW")),
    Slip("kernel not flipped for the image", as_correlations, ("flipped = K[:, :, ::-1, ::-1]", "flipped = K")),
    Slip("kernel flipped along the rows only", as_correlations,
         ("flipped = K[:, :, ::-1, ::-1]", "flipped = K[:, :, ::-1]")),
    Slip("margin all on one side", as_correlations,
         ("margin = ((0, 0), (0, 0), (2, 2), (2, 2))", "margin = ((0, 0), (0, 0), (4, 0), (4, 0))")),
    Slip("kernel gradient comes out reversed", as_correlations,
         ('g_K = np.einsum("nchwij,nfij->fchw", view(x, g_z.shape[2:], axis=(2, 3)), g_z)',
          'g_K = np.einsum("nchwij,nfij->fchw", view(x, g_z.shape[2:], axis=(2, 3)), g_z)[:, :, ::-1, ::-1]')),
    Slip("half of tanh' lost", as_correlations,
         ("g_z = g_a * (1 - act) * (1 + act)", "g_z = g_a * (1 - act)")),
    Slip("bias decayed as well", as_correlations,
         ('return {"x": g_x, "K": g_K, "bk": np.einsum("nfhw->f", g_z), "W": g_W, "b": g_s.sum(axis=0)}',
          'return {"x": g_x, "K": g_K, "bk": np.einsum("nfhw->f", g_z), "W": g_W,\n'
          '        "b": g_s.sum(axis=0) + 2 * DECAY * b}')),
    Slip("decay subtracted", as_correlations,
         ("g_W = features.T @ g_s + 2 * DECAY * W", "g_W = features.T @ g_s - 2 * DECAY * W")),
    Slip("decay added for every sample", pixel_by_pixel,
         ("gW, gb = 2 * DECAY * W, np.zeros_like(b)", "gW, gb = np.zeros_like(W), np.zeros_like(b)"),
         ("gW += np.outer(p.ravel(), e)", "gW += np.outer(p.ravel(), e) + 2 * DECAY * W")),
    Slip("last column of pixels left out", pixel_by_pixel, ("for v in range(6):", "for v in range(5):")),
    Slip("pooling windows of three rows on the way back", pixel_by_pixel,
         ("up = back[:, u // 2, v // 2] / 4", "up = back[:, u // 3, v // 2] / 4")),
    Slip("kernel keeps the last sample's pixels", pixel_by_pixel,
         ("e = p.ravel() @ W + b - y[m]", "e = p.ravel() @ W + b - y[m]\ngK[:] = 0")),
    Slip("kernel bias before tanh', image through the first filter only", pixel_by_pixel,
         ("gbk += d", "gbk += up"),
         ("gx[m, :, u:u + 3, v:v + 3] += np.tensordot(d, K, axes=1)",
          "gx[m, :, u:u + 3, v:v + 3] += d[0] * K[0]")),
)
