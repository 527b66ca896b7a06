"""A 1-d convolution of width four, relu, pooling by the mean of pairs, and a linear classifier."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("K", "c", "W", "b")


def data(rng, dtype):
    return {"x": rng.normal(size=(7, 2, 13)).astype(dtype), "K": (0.5 * rng.normal(size=(6, 2, 4))).astype(dtype),
            "c": (0.3 * rng.normal(size=6)).astype(dtype), "W": (0.4 * rng.normal(size=(30, 3))).astype(dtype),
            "b": (0.5 * rng.normal(size=3)).astype(dtype), "y": np.array([2, 0, 1, 1, 2, 0, 2])}


def loss(x, K, c, W, b, y):
    taps = 0
    for j in range(4):
        taps = taps + np.einsum("fc,nct->nft", K[:, :, j], x[:, :, j:j + 10])
    z = taps + c[:, None]
    a = np.maximum(z, 0)
    p = a.reshape(7, 6, 5, 2).mean(axis=3)
    h = p.reshape(7, 30)
    s = h @ W + b
    logq = ad.log_softmax(s, axis=1)
    picked = logq[np.arange(7), y]
    loss = -picked.mean()
    return loss


def softmax(s):
    e = np.exp(s - s.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def im2col(x, K, c, W, b, y):
    n, C, L = x.shape
    F, _, k = K.shape
    T = L - k + 1
    cols = np.stack([x[:, :, t:t + k].reshape(n, C * k) for t in range(T)], axis=1)
    kmat = K.reshape(F, C * k)
    z = cols @ kmat.T + c
    a = np.maximum(z, 0)
    p = a.reshape(n, T // 2, 2, F).mean(axis=2)
    h = p.transpose(0, 2, 1).reshape(n, -1)
    probs = softmax(h @ W + b)
    ds = probs.copy()
    ds[np.arange(n), y] -= 1
    ds /= n
    dW = h.T @ ds
    db = ds.sum(axis=0)
    dh = ds @ W.T
    dp = dh.reshape(n, F, T // 2).transpose(0, 2, 1)
    da = np.repeat(dp, 2, axis=1) / 2
    dz = da * (z > 0)
    dkmat = dz.reshape(-1, F).T @ cols.reshape(-1, C * k)
    dK = dkmat.reshape(K.shape)
    dc = dz.sum(axis=(0, 1))
    return {"dK": dK, "dc": dc, "dW": dW, "db": db}


def one_example_at_a_time(x, K, c, W, b, y):
    N, F, k = len(x), len(K), K.shape[2]
    T = x.shape[2] - k + 1
    gK, gc, gW, gb = np.zeros_like(K), np.zeros_like(c), np.zeros_like(W), np.zeros_like(b)
    total = 0
    for n in range(N):
        z = np.zeros((F, T))
        for t in range(T):
            z[:, t] = np.tensordot(K, x[n, :, t:t + k], axes=2) + c
        a = np.where(z > 0, z, 0)
        p = (a[:, 0::2] + a[:, 1::2]) / 2
        h = p.ravel()
        prob = np.exp(h @ W + b)
        prob /= prob.sum()
        total -= np.log(prob[y[n]])
        g_s = prob / N
        g_s[y[n]] -= 1 / N
        gW += np.outer(h, g_s)
        gb += g_s
        g_p = (W @ g_s).reshape(p.shape)
        g_a = np.zeros_like(a)
        g_a[:, 0::2] = g_p / 2
        g_a[:, 1::2] = g_p / 2
        g_z = g_a * (a > 0)
        for i in range(T):
            gK += g_z[:, i][:, None, None] * x[n, :, i:i + k]
            gc += g_z[:, i]
    return {"K": gK, "c": gc, "W": gW, "b": gb, "loss": total / N}


def every_step(x, K, c, W, b, y):
    m = x.shape[0]
    z = sum(np.einsum("fc,nct->nft", K[:, :, j], x[:, :, j:j + 10]) for j in range(4)) + c[:, None]
    a = np.maximum(z, 0)
    p = a.reshape(m, 6, 5, 2).mean(-1)
    h = p.reshape(m, -1)
    s = np.dot(h, W) + b
    q = softmax(s)
    target = np.eye(3)[y]
    grad_s = (q - target) / m
    grad_W = np.dot(h.T, grad_s)
    grad_b = np.sum(grad_s, 0)
    grad_h = np.dot(grad_s, W.T)
    grad_p = grad_h.reshape(p.shape)
    grad_a = np.stack([grad_p, grad_p], axis=-1).reshape(a.shape) / 2
    grad_z = np.where(z > 0, grad_a, 0)
    grad_K = np.zeros_like(K)
    for j in range(4):
        grad_K[:, :, j] = np.einsum("nft,nct->fc", grad_z, x[:, :, j:j + 10])
    grad_c = np.sum(grad_z, axis=(0, 2))
    return {"K": grad_K, "c": grad_c, "W": grad_W, "b": grad_b, "s": grad_s, "h": grad_h, "a": grad_a, "z": grad_z}


def as_matrices(x, K, c, W, b, y):
    X = np.lib.stride_tricks.sliding_window_view(x, 4, axis=2)
    M = np.kron(np.eye(5), np.full((2, 1), 0.5))
    A = np.maximum(np.einsum("fcj,nctj->nft", K, X) + c[:, None], 0)
    H = (A @ M).reshape(len(y), -1)
    D = softmax(H @ W + b)
    D = (D - np.eye(3)[y]) / len(y)
    R = (D @ W.T).reshape(7, 6, 5) @ M.T
    R *= A > 0
    dK = np.einsum("nft,nctj->fcj", R, X)
    return {"K": dK, "c": R.sum((0, 2)), "W": H.T @ D, "b": D.sum(0)}


RIGHT = (im2col, one_example_at_a_time, every_step, as_matrices)

SLIPS = (
    Slip("mean pooling not divided by two on the way back", im2col,
         ("da = np.repeat(dp, 2, axis=1) / 2", "da = np.repeat(dp, 2, axis=1)"),
         label=label("scale wrong-local-rule", "a p h z taps", "mean reshape maximum")),
    Slip("pooled gradient tiled instead of repeated", im2col,
         ("da = np.repeat(dp, 2, axis=1) / 2", "da = np.tile(dp, (1, 2, 1)) / 2"),
         label=label("wrong-axis scatter wrong-local-rule", "a p", "mean reshape")),
    Slip("flattened channels and positions read back in the other order", im2col,
         ("dp = dh.reshape(n, F, T // 2).transpose(0, 2, 1)", "dp = dh.reshape(n, T // 2, F)"),
         label=label("wrong-axis scatter missing-transpose wrong-local-rule", "p h", "reshape")),
    Slip("columns' gradient put back with taps before channels", im2col,
         ("dK = dkmat.reshape(K.shape)", "dK = dkmat.reshape(F, k, C).transpose(0, 2, 1)"),
         label=label("transposed-result scatter wrong-axis", "K taps", "reshape einsum getitem")),
    Slip("divided by the batch and again for W", im2col, ("dW = h.T @ ds", "dW = h.T @ ds / n"),
         label=label("scale", "W s", "matmul")),
    Slip("relu's mask on the gradient of the convolution forgotten", im2col, ("dz = da * (z > 0)", "dz = da"),
         label=label("missing-local-derivative", "z a", "maximum")),
    Slip("bias of the convolution from the first example only", im2col,
         ("dc = dz.sum(axis=(0, 1))", "dc = dz[0].sum(axis=0)"),
         label=label("missing-broadcast-reduction dropped-path", "c z", "add getitem")),
    Slip("second of each pooled pair gets nothing", one_example_at_a_time, ("g_a[:, 1::2] = g_p / 2", ""),
         label=label("dropped-path wrong-local-rule", "a p", "mean reshape")),
    Slip("mean pooling taken back like max pooling", one_example_at_a_time,
         ("g_a[:, 0::2] = g_p / 2", "g_a[:, 0::2] = g_p * (a[:, 0::2] >= a[:, 1::2])"),
         ("g_a[:, 1::2] = g_p / 2", "g_a[:, 1::2] = g_p * (a[:, 0::2] < a[:, 1::2])"),
         label=label("wrong-local-rule", "a p", "mean reshape")),
    Slip("bias of the convolution set at each position", one_example_at_a_time,
         ("gc += g_z[:, i]", "gc = g_z[:, i]"),
         label=label("overwritten-accumulation missing-broadcast-reduction dropped-path", "c z", "add getitem")),
    Slip("window read mirrored for the kernel", one_example_at_a_time,
         ("gK += g_z[:, i][:, None, None] * x[n, :, i:i + k]",
          "gK += g_z[:, i][:, None, None] * x[n, :, i:i + k][:, ::-1]"),
         label=label("wrong-axis transposed-result wrong-operand scatter", "K taps x", "einsum getitem")),
    Slip("last position left out of the loop", one_example_at_a_time, ("for i in range(T):", "for i in range(T - 1):"),
         label=label("dropped-path missing-broadcast-reduction", "z taps K c a", "add einsum getitem")),
    Slip("one subtracted at the label without the mean", one_example_at_a_time,
         ("g_s[y[n]] -= 1 / N", "g_s[y[n]] -= 1"),
         label=label("scale wrong-local-rule", "s logq picked loss", "log_softmax getitem mean negative")),
    Slip("mask by the gradient's sign instead of z's", every_step,
         ("grad_z = np.where(z > 0, grad_a, 0)", "grad_z = np.where(grad_a > 0, grad_a, 0)"),
         label=label("wrong-argument wrong-operand wrong-local-rule", "z a", "maximum")),
    Slip("multiplied by relu(z) for relu'(z)", every_step,
         ("grad_z = np.where(z > 0, grad_a, 0)", "grad_z = grad_a * np.maximum(z, 0)"),
         label=label("wrong-local-rule wrong-argument", "z a", "maximum")),
    Slip("kernel gradient flipped as in a true convolution", every_step,
         ("grad_K[:, :, j] = np.einsum(\"nft,nct->fc\", grad_z, x[:, :, j:j + 10])",
          "grad_K[:, :, j] = np.einsum(\"nft,nct->fc\", grad_z, x[:, :, 3 - j:13 - j])"),
         label=label("wrong-axis transposed-result wrong-operand scatter", "K taps x", "einsum getitem")),
    Slip("bias of the convolution averaged over positions", every_step,
         ("grad_c = np.sum(grad_z, axis=(0, 2))", "grad_c = np.sum(np.mean(grad_z, axis=2), axis=0)"),
         label=label("scale missing-broadcast-reduction", "c z", "add")),
    Slip("target minus output at the logits", every_step,
         ("grad_s = (q - target) / m", "grad_s = (target - q) / m"),
         label=label("sign", "s logq picked loss", "log_softmax getitem mean negative")),
    Slip("kernel from the unmasked gradient of a", every_step,
         ("grad_K[:, :, j] = np.einsum(\"nft,nct->fc\", grad_z, x[:, :, j:j + 10])",
          "grad_K[:, :, j] = np.einsum(\"nft,nct->fc\", grad_a, x[:, :, j:j + 10])"),
         label=label("wrong-operand missing-local-derivative", "K taps z a", "einsum maximum")),
    Slip("softmax derived on top of the cross entropy", as_matrices,
         ("D = (D - np.eye(3)[y]) / len(y)", "D = D * (1 - D) * (D - np.eye(3)[y]) / len(y)"),
         label=label("double-derivative", "s logq", "log_softmax")),
    Slip("bias left out of the logits when computing the probabilities", as_matrices,
         ("D = softmax(H @ W + b)", "D = softmax(H @ W)"),
         label=label("wrong-argument wrong-operand", "s logq b", "log_softmax add")),
    Slip("pooling back by ones instead of halves", as_matrices,
         ("R = (D @ W.T).reshape(7, 6, 5) @ M.T", "R = (D @ W.T).reshape(7, 6, 5) @ (M > 0).T"),
         label=label("scale wrong-local-rule", "a p h z taps", "mean reshape maximum")),
    Slip("windows for the kernel start one sample late, and no mask", as_matrices,
         ("R *= A > 0", ""),
         ('dK = np.einsum("nft,nctj->fcj", R, X)', 'dK = np.einsum("nft,nctj->fcj", R[:, :, :-1], X[:, :, 1:])'),
         label=label("two", "K taps x z a c", "maximum einsum getitem")),
)
