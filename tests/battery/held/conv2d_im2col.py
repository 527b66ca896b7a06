"""A two-dimensional convolution by columns of patches, tanh, and a softmax classifier on what comes out."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("x", "K", "c", "W")


def data(rng, dtype):
    return {"x": rng.normal(size=(3, 2, 5, 4)).astype(dtype), "K": (0.5 * rng.normal(size=(4, 2, 3, 2))).astype(dtype),
            "c": rng.normal(size=4).astype(dtype), "W": (0.4 * rng.normal(size=(36, 5))).astype(dtype),
            "labels": rng.permutation(5)[:3]}       # no two alike, so that their order shows


def loss(x, K, c, W, labels):
    z = c.reshape(1, 4, 1, 1)
    for i in range(3):
        for j in range(2):
            z = z + np.einsum("nchw,fc->nfhw", x[:, :, i:i + 3, j:j + 3], K[:, :, i, j])
    a = np.tanh(z)
    flat = a.reshape(3, 36)
    s = flat @ W
    logp = ad.log_softmax(s, axis=1)
    loss = -logp[np.arange(3), labels].mean()
    return loss


def im2col(x, k, m):
    n, c, h, w = x.shape
    cols = np.empty((n, h - k + 1, w - m + 1, c, k, m), dtype=x.dtype)
    for i in range(h - k + 1):
        for j in range(w - m + 1):
            cols[:, i, j] = x[:, :, i:i + k, j:j + m]
    return cols.reshape(n * (h - k + 1) * (w - m + 1), c * k * m)


def col2im(cols, shape, k, m):
    n, c, h, w = shape
    cols = cols.reshape(n, h - k + 1, w - m + 1, c, k, m)
    image = np.zeros(shape, dtype=cols.dtype)
    for i in range(h - k + 1):
        for j in range(w - m + 1):
            image[:, :, i:i + k, j:j + m] += cols[:, i, j]
    return image


def matrix_products(x, K, c, W, labels):
    N, F = len(x), len(K)
    cols = im2col(x, 3, 2)
    Kmat = K.reshape(F, -1)
    z = (cols @ Kmat.T + c).reshape(N, 3, 3, F).transpose(0, 3, 1, 2)
    a = np.tanh(z)
    flat = a.reshape(N, -1)
    s = flat @ W
    p = np.exp(s - s.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    ds = p.copy()
    ds[np.arange(N), labels] -= 1
    ds /= N
    dW = flat.T @ ds
    da = (ds @ W.T).reshape(a.shape)
    dz = da * (1 - a ** 2)
    dz_cols = dz.transpose(0, 2, 3, 1).reshape(-1, F)
    dc = dz_cols.sum(axis=0)
    dK = (dz_cols.T @ cols).reshape(K.shape)
    dcols = dz_cols @ Kmat
    dx = col2im(dcols, x.shape, 3, 2)
    return {"x": dx, "K": dK, "c": dc, "W": dW}


def taps(x, K, c, W, labels):
    n = x.shape[0]
    out = np.zeros((n, 4, 3, 3))
    for u in range(3):
        for v in range(2):
            out += np.tensordot(x[:, :, u:u + 3, v:v + 3], K[:, :, u, v], axes=([1], [1])).transpose(0, 3, 1, 2)
    out += c[None, :, None, None]
    act = np.tanh(out)
    scores = act.reshape(n, -1) @ W
    e = np.exp(scores)
    onehot = np.eye(5)[labels]
    g = (e / e.sum(1, keepdims=True) - onehot) / n
    g_W = act.reshape(n, -1).T @ g
    g_out = (g @ W.T).reshape(act.shape) * (1 - act * act)
    g_c = g_out.sum(axis=(0, 2, 3))
    g_K, g_x = np.zeros_like(K), np.zeros_like(x)
    for u in range(3):
        for v in range(2):
            g_K[:, :, u, v] = np.einsum("nfhw,nchw->fc", g_out, x[:, :, u:u + 3, v:v + 3])
            g_x[:, :, u:u + 3, v:v + 3] += np.einsum("nfhw,fc->nchw", g_out, K[:, :, u, v])
    return {"dx": g_x, "dK": g_K, "dc": g_c, "dW": g_W}


def col2im_overwriting(cols, shape, k, m):
    n, c, h, w = shape
    cols = cols.reshape(n, h - k + 1, w - m + 1, c, k, m)
    image = np.zeros(shape, dtype=cols.dtype)
    for i in range(h - k + 1):
        for j in range(w - m + 1):
            image[:, :, i:i + k, j:j + m] = cols[:, i, j]
    return image


RIGHT = (matrix_products, taps)

SLIPS = (
    Slip("patches overwrite each other in the image", matrix_products,
         ("dx = col2im(dcols, x.shape, 3, 2)", "dx = col2im_overwriting(dcols, x.shape, 3, 2)"),
         label=label("overwritten-accumulation scatter dropped-path", "x", "getitem einsum")),
    Slip("columns in the order of the image", matrix_products,
         ("dz_cols = dz.transpose(0, 2, 3, 1).reshape(-1, F)", "dz_cols = dz.reshape(-1, F)"),
         label=label("wrong-axis scatter missing-transpose wrong-operand", "z a flat", "reshape einsum")),
    Slip("filters next to rows", matrix_products,
         ("dz_cols = dz.transpose(0, 2, 3, 1).reshape(-1, F)", "dz_cols = dz.transpose(0, 3, 2, 1).reshape(-1, F)"),
         label=label("wrong-axis scatter missing-transpose wrong-operand", "z a x K", "reshape einsum")),
    Slip("c is the mean over the patches", matrix_products, ("dc = dz_cols.sum(axis=0)", "dc = dz_cols.mean(axis=0)"),
         label=label("scale", "c z", "reshape add")),
    Slip("tanh' at z", matrix_products, ("dz = da * (1 - a ** 2)", "dz = da * (1 - z ** 2)"),
         label=label("wrong-argument", "a z", "tanh")),
    Slip("tanh' by the sigmoid's formula", matrix_products, ("dz = da * (1 - a ** 2)", "dz = da * a * (1 - a)"),
         label=label("wrong-local-rule", "a z", "tanh")),
    Slip("tanh' at the gradient", matrix_products, ("dz = da * (1 - a ** 2)", "dz = da * (1 - da ** 2)"),
         label=label("wrong-argument wrong-local-rule wrong-operand", "a z", "tanh")),
    Slip("labels' one taken off at the wrong sample", matrix_products,
         ("ds[np.arange(N), labels] -= 1", "ds[np.arange(N), labels[::-1]] -= 1"),
         label=label("scatter wrong-operand", "s logp loss labels", "getitem log_softmax")),
    Slip("one not taken off", matrix_products, ("ds[np.arange(N), labels] -= 1", ""),
         label=label("dropped-path missing-term softmax-diagonal wrong-local-rule", "s logp", "log_softmax getitem")),
    Slip("one added", matrix_products, ("ds[np.arange(N), labels] -= 1", "ds[np.arange(N), labels] += 1"),
         label=label("sign softmax-diagonal wrong-local-rule", "s logp", "log_softmax getitem negative")),
    Slip("not divided by the samples", matrix_products, ("ds /= N", ""),
         label=label("scale missing-local-derivative", "s logp loss", "mean log_softmax getitem negative")),
    Slip("divided by classes", matrix_products, ("ds /= N", "ds /= s.size"),
         label=label("scale", "s logp loss", "mean log_softmax getitem negative")),
    Slip("softmax over the samples", matrix_products,
         ("p /= p.sum(axis=1, keepdims=True)", "p /= p.sum(axis=0, keepdims=True)"),
         label=label("wrong-axis", "s logp", "log_softmax")),
    Slip("dW from the pre-activations", matrix_products, ("dW = flat.T @ ds", "dW = z.reshape(N, -1).T @ ds"),
         label=label("wrong-operand missing-local-derivative", "W flat s z", "matmul")),
    Slip("kernel reshaped with its axes exchanged", matrix_products,
         ("dK = (dz_cols.T @ cols).reshape(K.shape)", "dK = (cols.T @ dz_cols).reshape(K.shape)"),
         label=label("transposed-result missing-transpose wrong-axis", "K z", "einsum")),
    Slip("back to patches without tanh'", matrix_products,
         ("dcols = dz_cols @ Kmat", "dcols = da.transpose(0, 2, 3, 1).reshape(-1, F) @ Kmat"),
         label=label("missing-local-derivative", "x a z", "tanh einsum")),
    Slip("bias forgotten in the recomputed forward", matrix_products,
         ("z = (cols @ Kmat.T + c).reshape(N, 3, 3, F).transpose(0, 3, 1, 2)",
          "z = (cols @ Kmat.T).reshape(N, 3, 3, F).transpose(0, 3, 1, 2)"),
         label=label("missing-term dropped-path", "z c", "add reshape einsum")),
    Slip("tap index shifted in the kernel's gradient", taps,
         ('g_K[:, :, u, v] = np.einsum("nfhw,nchw->fc", g_out, x[:, :, u:u + 3, v:v + 3])',
          'g_K[:, :, u, v] = np.einsum("nfhw,nchw->fc", g_out, x[:, :, u:u + 3, 1 - v:4 - v])'),
         label=label("scatter wrong-operand", "K x z", "einsum getitem")),
    Slip("rows and columns of the kernel exchanged for the image", taps,
         ('g_x[:, :, u:u + 3, v:v + 3] += np.einsum("nfhw,fc->nchw", g_out, K[:, :, u, v])',
          'g_x[:, :, u:u + 3, v:v + 3] += np.einsum("nfhw,fc->nchw", g_out, K[:, :, v, min(u, 1)])'),
         label=label("wrong-operand scatter missing-transpose wrong-axis", "x K z", "einsum getitem")),
    Slip("image's pixels set, not added", taps,
         ('g_x[:, :, u:u + 3, v:v + 3] += np.einsum("nfhw,fc->nchw", g_out, K[:, :, u, v])',
          'g_x[:, :, u:u + 3, v:v + 3] = np.einsum("nfhw,fc->nchw", g_out, K[:, :, u, v])'),
         label=label("overwritten-accumulation scatter dropped-path", "x", "getitem einsum")),
    Slip("tanh' left out for the bias only", taps,
         ("g_c = g_out.sum(axis=(0, 2, 3))", "g_c = (g @ W.T).reshape(act.shape).sum(axis=(0, 2, 3))"),
         label=label("missing-local-derivative", "c a z", "tanh reshape")),
    Slip("bias summed over samples and rows, first column", taps,
         ("g_c = g_out.sum(axis=(0, 2, 3))", "g_c = g_out[:, :, :, 0].sum(axis=(0, 2))"),
         label=label("wrong-axis missing-broadcast-reduction dropped-path overwritten-accumulation", "c z",
                     "reshape add")),
    Slip("twice the tanh", taps,
         ("g_out = (g @ W.T).reshape(act.shape) * (1 - act * act)",
          "g_out = (g @ W.T).reshape(act.shape) * (1 - act * act) ** 2"),
         label=label("double-derivative", "a z", "tanh")),
    Slip("tanh' with the wrong sign inside", taps,
         ("g_out = (g @ W.T).reshape(act.shape) * (1 - act * act)",
          "g_out = (g @ W.T).reshape(act.shape) * (1 + act * act)"),
         label=label("wrong-local-rule", "a z", "tanh")),
    Slip("one hot subtracted after the mean", taps,
         ("g = (e / e.sum(1, keepdims=True) - onehot) / n", "g = e / e.sum(1, keepdims=True) / n - onehot"),
         label=label("scale wrong-local-rule softmax-diagonal", "s logp loss", "log_softmax getitem mean negative")),
    Slip("exponentials not normalised", taps,
         ("g = (e / e.sum(1, keepdims=True) - onehot) / n", "g = (e - onehot) / n"),
         label=label("missing-local-derivative softmax-diagonal wrong-local-rule wrong-operand", "s logp",
                     "log_softmax")),
    Slip("no mean, and the filter's gradient without tanh'", taps,
         ("g = (e / e.sum(1, keepdims=True) - onehot) / n", "g = e / e.sum(1, keepdims=True) - onehot"),
         ("g_out = (g @ W.T).reshape(act.shape) * (1 - act * act)", "g_out = (g @ W.T).reshape(act.shape)"),
         label=label("two", "s logp loss a z", "tanh mean negative")),
)
