"""A convolution over time by loops, relu, pooling by the mean, and a linear layer with squared error."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("K", "bk", "W", "b")


def data(rng, dtype):
    return {"x": rng.normal(size=(5, 2, 9)).astype(dtype), "y": rng.normal(size=(5, 3)).astype(dtype),
            "K": rng.normal(size=(4, 2, 3)).astype(dtype), "bk": rng.normal(size=4).astype(dtype),
            "W": rng.normal(size=(4, 3)).astype(dtype), "b": rng.normal(size=3).astype(dtype)}


def loss(x, y, K, bk, W, b):
    outputs = []
    for p in range(4):
        window = x[:, :, 2 * p:2 * p + 3]
        outputs.append(np.einsum("ncw,fcw->nf", window, K) + bk)
    z = np.stack(outputs, axis=2)
    a = ad.relu(z)
    m = a.mean(axis=2)
    out = m @ W + b
    e = out - y
    loss = 0.5 * np.mean(np.sum(e * e, axis=1))
    return loss


def window_by_window(x, y, K, bk, W, b):
    N, C, L = x.shape
    F, _, k = K.shape
    stride = 2
    n_out = (L - k) // stride + 1
    z = np.zeros((N, F, n_out))
    for p in range(n_out):
        z[:, :, p] = np.tensordot(x[:, :, p * stride:p * stride + k], K, axes=([1, 2], [1, 2])) + bk
    a = np.maximum(z, 0)
    m = a.mean(axis=2)
    e = m @ W + b - y
    dout = e / N
    dW = m.T @ dout
    db = dout.sum(axis=0)
    dm = dout @ W.T
    da = np.repeat(dm[:, :, None], n_out, axis=2) / n_out
    dz = da * (z > 0)
    dK = np.zeros_like(K)
    for p in range(n_out):
        patch = x[:, :, p * stride:p * stride + k]
        dK += np.einsum("nf,ncw->fcw", dz[:, :, p], patch)
    dbk = dz.sum(axis=(0, 2))
    return {"K": dK, "bk": dbk, "W": dW, "b": db}


def sample_by_sample(x, y, K, bk, W, b):
    gK, gbk, gW, gb = np.zeros(K.shape), np.zeros(bk.shape), np.zeros(W.shape), np.zeros(b.shape)
    n = len(x)
    positions = list(range(0, x.shape[2] - K.shape[2] + 1, 2))
    for s in range(n):
        pre = np.zeros((len(bk), len(positions)))
        for j, q in enumerate(positions):
            for f in range(len(bk)):
                pre[f, j] = np.sum(K[f] * x[s, :, q:q + 3]) + bk[f]
        act = pre * (pre > 0)
        pooled = act.sum(axis=1) / len(positions)
        err = (pooled @ W + b - y[s]) / n
        gb += err
        gW += np.outer(pooled, err)
        back = W @ err / len(positions)
        for f in range(len(bk)):
            for j, q in enumerate(positions):
                if pre[f, j] > 0:
                    gbk[f] += back[f]
                    gK[f] += back[f] * x[s, :, q:q + 3]
    return {"K": gK, "bk": gbk, "W": gW, "b": gb}


def kernel_taps(x, y, K, bk, W, b):
    views = [x[:, :, i:i + 7:2] for i in range(3)]
    z = sum(np.einsum("fc,ncp->nfp", K[:, :, i], v) for i, v in enumerate(views)) + bk[:, None]
    gate = (z > 0).astype(z.dtype)
    m = (z * gate).mean(axis=-1)
    g_out = (m @ W + b - y) / y.shape[0]
    g_z = gate * (g_out @ W.T)[:, :, None] / z.shape[-1]
    g_K = np.empty_like(K)
    for i in range(3):
        g_K[:, :, i] = np.einsum("nfp,ncp->fc", g_z, views[i])
    return {"dK": g_K, "dbk": g_z.sum((0, 2)), "dW": m.T @ g_out, "db": g_out.sum(0)}


RIGHT = (window_by_window, sample_by_sample, kernel_taps)

SLIPS = (
    Slip("patch read backwards", window_by_window,
         ("patch = x[:, :, p * stride:p * stride + k]", "patch = x[:, :, p * stride:p * stride + k][:, :, ::-1]"),
         label=label("scatter wrong-operand", "K x window z", "einsum")),
    Slip("stride forgotten on the way back", window_by_window,
         ("patch = x[:, :, p * stride:p * stride + k]", "patch = x[:, :, p:p + k]"),
         label=label("scatter wrong-operand", "K x window z", "einsum")),
    Slip("last window forgotten", window_by_window,
         ("dK += np.einsum(\"nf,ncw->fcw\", dz[:, :, p], patch)",
          "if p < n_out - 1:\n    dK += np.einsum(\"nf,ncw->fcw\", dz[:, :, p], patch)"),
         label=label("dropped-path", "K z window", "einsum stack")),
    Slip("kernel overwritten by each window", window_by_window,
         ("dK += np.einsum(\"nf,ncw->fcw\", dz[:, :, p], patch)",
          "dK = np.einsum(\"nf,ncw->fcw\", dz[:, :, p], patch)"),
         label=label("overwritten-accumulation dropped-path", "K z", "einsum")),
    Slip("mean over the windows not undone", window_by_window,
         ("da = np.repeat(dm[:, :, None], n_out, axis=2) / n_out", "da = np.repeat(dm[:, :, None], n_out, axis=2)"),
         label=label("scale missing-local-derivative", "m a z", "mean")),
    Slip("divided by the length of the kernel", window_by_window,
         ("da = np.repeat(dm[:, :, None], n_out, axis=2) / n_out", "da = np.repeat(dm[:, :, None], n_out, axis=2) / k"),
         label=label("scale", "m a z", "mean relu")),
    Slip("relu' of the activations' gradient", window_by_window, ("dz = da * (z > 0)", "dz = da * (da > 0)"),
         label=label("wrong-argument wrong-local-rule", "a z", "relu")),
    Slip("relu' left out", window_by_window, ("dz = da * (z > 0)", "dz = da"),
         label=label("missing-local-derivative", "a z", "relu")),
    Slip("kernel's bias summed over the samples' mean", window_by_window,
         ("dbk = dz.sum(axis=(0, 2))", "dbk = dz.sum(axis=2).mean(axis=0)"),
         label=label("scale", "bk z", "add")),
    Slip("kernel's bias from the first window", window_by_window,
         ("dbk = dz.sum(axis=(0, 2))", "dbk = dz[:, :, 0].sum(axis=0)"),
         label=label("overwritten-accumulation dropped-path missing-broadcast-reduction wrong-axis", "bk z",
                     "add stack")),
    Slip("bias left out of the recomputed forward", window_by_window,
         ("z[:, :, p] = np.tensordot(x[:, :, p * stride:p * stride + k], K, axes=([1, 2], [1, 2])) + bk",
          "z[:, :, p] = np.tensordot(x[:, :, p * stride:p * stride + k], K, axes=([1, 2], [1, 2]))"),
         label=label("missing-term dropped-path", "z bk", "add einsum stack")),
    Slip("summed over the windows in the recomputed forward", window_by_window,
         ("m = a.mean(axis=2)", "m = a.sum(axis=2)"),
         label=label("scale wrong-operand two", "m a", "mean")),
    Slip("dW with the sums of both halves", window_by_window, ("dW = m.T @ dout", "dW = a.max(axis=2).T @ dout"),
         label=label("wrong-operand", "W m a out", "matmul")),
    Slip("gradient of the half of the square twice", window_by_window, ("dout = e / N", "dout = 2 * e / N"),
         label=label("scale", "e loss out", "multiply mean sum")),
    Slip("mean over outputs too", window_by_window, ("dout = e / N", "dout = e / e.size"),
         label=label("scale", "e loss out", "multiply mean sum")),
    Slip("bias of the last sample", sample_by_sample, ("gb += err", "gb = err"),
         label=label("overwritten-accumulation dropped-path missing-broadcast-reduction", "b out", "add")),
    Slip("outer product the wrong way in sums", sample_by_sample,
         ("gW += np.outer(pooled, err)", "gW += np.outer(act.sum(axis=1), err)"),
         label=label("scale wrong-operand", "W m a out", "matmul mean")),
    Slip("first sample never visited", sample_by_sample, ("for s in range(n):", "for s in range(1, n):"),
         label=label("dropped-path missing-broadcast-reduction", "x e out z loss m a", "mean sum multiply")),
    Slip("relu' at the sign of the weights", sample_by_sample, ("if pre[f, j] > 0:", "if act[f, 0] > 0:"),
         label=label("wrong-argument wrong-operand scatter", "a z", "relu")),
    Slip("window starts at the index of the window", sample_by_sample,
         ("gK[f] += back[f] * x[s, :, q:q + 3]", "gK[f] += back[f] * x[s, :, j:j + 3]"),
         label=label("scatter wrong-operand", "K x window z", "einsum")),
    Slip("error not divided by the samples", sample_by_sample,
         ("err = (pooled @ W + b - y[s]) / n", "err = pooled @ W + b - y[s]"),
         label=label("scale", "e loss out", "multiply mean sum")),
    Slip("bk counted once for each sample only", sample_by_sample, ("gbk[f] += back[f]", "gbk[f] = back[f]"),
         label=label("overwritten-accumulation dropped-path missing-broadcast-reduction", "bk z", "add")),
    Slip("taps in reverse order", kernel_taps,
         ('g_K[:, :, i] = np.einsum("nfp,ncp->fc", g_z, views[i])',
          'g_K[:, :, i] = np.einsum("nfp,ncp->fc", g_z, views[2 - i])'),
         label=label("scatter wrong-operand", "K x window z", "einsum")),
    Slip("two taps only", kernel_taps, ("g_K = np.empty_like(K)", "g_K = np.zeros_like(K)"),
         ("for i in range(3):", "for i in range(2):"),
         label=label("dropped-path", "K z window", "einsum")),
    Slip("gate before the bias", kernel_taps,
         ("gate = (z > 0).astype(z.dtype)", "gate = (z - bk[:, None] > 0).astype(z.dtype)"),
         label=label("wrong-argument missing-term wrong-operand", "a z bk", "relu add")),
    Slip("W not divided by anything but pooled twice", kernel_taps,
         ("g_z = gate * (g_out @ W.T)[:, :, None] / z.shape[-1]",
          "g_z = gate * (g_out @ W.T)[:, :, None] / z.shape[-1] ** 2"),
         label=label("scale double-derivative", "m a z", "mean relu")),
    Slip("bk's gradient before the gate", kernel_taps,
         ('return {"dK": g_K, "dbk": g_z.sum((0, 2)), "dW": m.T @ g_out, "db": g_out.sum(0)}',
          'return {"dK": g_K, "dbk": (g_out @ W.T).sum(0), "dW": m.T @ g_out, "db": g_out.sum(0)}'),
         label=label("missing-local-derivative", "bk a z", "relu")),
)
