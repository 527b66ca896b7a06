"""Two 1-D convolutions as sums over taps, the second one with a stride; sum pooling and a linear output."""

import numpy as np

from tests.battery.slips import Slip, label

PARAMETERS = ("K1", "b1", "K2", "b2", "V", "c")


def data(rng, dtype):
    leaves = {"x": rng.normal(size=(7, 14, 2)), "y": rng.normal(size=(7, 4)),
              "K1": 0.5 * rng.normal(size=(3, 2, 6)), "b1": 0.3 * rng.normal(size=6),
              "K2": 0.4 * rng.normal(size=(4, 6, 3)), "b2": 0.3 * rng.normal(size=3),
              "V": 0.5 * rng.normal(size=(3, 4)), "c": 0.3 * rng.normal(size=4)}
    return {name: value.astype(dtype) for name, value in leaves.items()}


def loss(x, y, K1, b1, K2, b2, V, c):
    z1 = b1
    for k in range(3):
        z1 = z1 + x[:, k:k + 12] @ K1[k]
    a1 = np.maximum(z1, 0)
    z2 = b2
    for k in range(4):
        z2 = z2 + a1[:, k:k + 9:2] @ K2[k]
    a2 = np.maximum(z2, 0)
    pooled = np.sum(a2, axis=1)
    out = pooled @ V + c
    diff = out - y
    loss = np.mean(diff ** 2)
    return loss


def taps_in_buffers(x, y, K1, b1, K2, b2, V, c):
    z1 = np.zeros((len(x), 12, 6), x.dtype)
    for k in range(3):
        z1 += x[:, k:k + 12] @ K1[k]
    z1 += b1
    a1 = np.maximum(z1, 0)
    z2 = np.zeros((len(x), 5, 3), x.dtype)
    for k in range(4):
        z2 += a1[:, k:k + 9:2] @ K2[k]
    z2 += b2
    a2 = np.maximum(z2, 0)
    pooled = a2.sum(1)
    g_out = pooled @ V + c
    g_out -= y
    g_out *= 2 / y.size
    g_V = pooled.T @ g_out
    g_c = g_out.sum(0)
    g_pooled = g_out @ V.T
    g_z2 = np.repeat(g_pooled[:, None, :], 5, axis=1)
    g_z2 *= z2 > 0
    g_K2 = np.zeros_like(K2)
    g_a1 = np.zeros_like(a1)
    for k in range(4):
        g_K2[k] += np.einsum("ntc,ntf->cf", a1[:, k:k + 9:2], g_z2)
        g_a1[:, k:k + 9:2] += g_z2 @ K2[k].T
    g_b2 = g_z2.sum(axis=(0, 1))
    g_z1 = g_a1
    g_z1[z1 <= 0] = 0
    g_K1 = np.zeros_like(K1)
    for k in range(3):
        g_K1[k] += np.einsum("ntc,ntf->cf", x[:, k:k + 12], g_z1)
    g_b1 = g_z1.sum(axis=(0, 1))
    return {"K1": g_K1, "b1": g_b1, "K2": g_K2, "b2": g_b2, "V": g_V, "c": g_c}


def ported_kernel(x, y, K1, b1, K2, b2, V, c):
    N, _, C = x.shape
    T1, F1, T2, F2, stride = 12, K1.shape[2], 5, K2.shape[2], 2
    dK1, db1, dK2, db2 = np.zeros_like(K1), np.zeros_like(b1), np.zeros_like(K2), np.zeros_like(b2)
    dV, dc = np.zeros_like(V), np.zeros_like(c)
    total = 0.0
    for n in range(N):
        h1 = np.zeros((T1, F1))
        for t in range(T1):
            acc = b1.copy()
            for k in range(3):
                acc += x[n, t + k] @ K1[k]
            h1[t] = np.where(acc > 0, acc, 0)
        h2 = np.zeros((T2, F2))
        pool = np.zeros(F2)
        for t in range(T2):
            acc = b2.copy()
            for k in range(4):
                acc += h1[stride * t + k] @ K2[k]
            h2[t] = np.where(acc > 0, acc, 0)
            pool += h2[t]
        e = pool @ V + c - y[n]
        total += e @ e
        e *= 2 / (N * len(e))
        dV += np.outer(pool, e)
        dc += e
        dpool = V @ e
        dh1 = np.zeros((T1, F1))
        for t in range(T2):
            for f in range(F2):
                if h2[t, f] <= 0:
                    continue
                g = dpool[f]
                db2[f] += g
                for k in range(4):
                    pos = stride * t + k
                    dK2[k, :, f] += g * h1[pos]
                    dh1[pos] += g * K2[k, :, f]
        for t in range(T1):
            for f in range(F1):
                if h1[t, f] <= 0:
                    continue
                g = dh1[t, f]
                db1[f] += g
                for k in range(3):
                    for ch in range(C):
                        dK1[k, ch, f] += g * x[n, t + k, ch]
    return {"loss": total / y.size, "dK1": dK1, "db1": db1, "dK2": dK2, "db2": db2, "dV": dV, "dc": dc}


def gathered_columns(x, y, K1, b1, K2, b2, V, c):
    i1 = np.arange(12)[:, None] + np.arange(3)
    i2 = 2 * np.arange(5)[:, None] + np.arange(4)
    cols1 = x[:, i1].reshape(7 * 12, 6)
    w1 = K1.reshape(6, 6)
    pre1 = cols1 @ w1 + b1
    act1 = np.clip(pre1, 0, None).reshape(7, 12, 6)
    cols2 = act1[:, i2].reshape(7 * 5, 24)
    w2 = K2.reshape(24, 3)
    pre2 = cols2 @ w2 + b2
    act2 = np.clip(pre2, 0, None).reshape(7, 5, 3)
    feat = np.einsum("ntf->nf", act2)
    delta = 2 * (feat @ V + c - y) / y.size
    d_feat = np.einsum("no,fo->nf", delta, V)
    d_act2 = np.broadcast_to(d_feat[:, None], act2.shape)
    d_pre2 = d_act2.reshape(35, 3) * np.heaviside(pre2, 0)
    d_cols2 = np.einsum("rf,cf->rc", d_pre2, w2).reshape(7, 5, 4, 6)
    d_act1 = np.zeros_like(act1)
    np.add.at(d_act1, (slice(None), i2), d_cols2)
    d_pre1 = d_act1.reshape(84, 6) * np.heaviside(pre1, 0)
    return {
        "c": np.einsum("no->o", delta),
        "V": np.einsum("nf,no->fo", feat, delta),
        "b2": np.einsum("rf->f", d_pre2),
        "K2": np.einsum("rc,rf->cf", cols2, d_pre2).reshape(K2.shape),
        "b1": np.einsum("rf->f", d_pre1),
        "K1": np.einsum("rc,rf->cf", cols1, d_pre1).reshape(K1.shape),
    }


RIGHT = (taps_in_buffers, ported_kernel, gathered_columns)

SLIPS = (
    Slip("hidden gradient of a tap overwrites that of the tap before", taps_in_buffers,
         ("g_a1[:, k:k + 9:2] += g_z2 @ K2[k].T", "g_a1[:, k:k + 9:2] = g_z2 @ K2[k].T"),
         label=label("overwritten-accumulation dropped-path scatter", "a1 z2", "getitem matmul add")),
    Slip("taps flipped on the way back", taps_in_buffers,
         ("g_a1[:, k:k + 9:2] += g_z2 @ K2[k].T", "g_a1[:, k:k + 9:2] += g_z2 @ K2[3 - k].T"),
         label=label("wrong-operand wrong-axis scatter", "a1 z2 K2", "matmul getitem")),
    Slip("stride forgotten on the way back", taps_in_buffers,
         ("g_a1[:, k:k + 9:2] += g_z2 @ K2[k].T", "g_a1[:, k:k + 5] += g_z2 @ K2[k].T"),
         label=label("scatter", "a1 z2", "getitem")),
    Slip("stride forgotten in the second kernel's gradient", taps_in_buffers,
         ('g_K2[k] += np.einsum("ntc,ntf->cf", a1[:, k:k + 9:2], g_z2)',
          'g_K2[k] += np.einsum("ntc,ntf->cf", a1[:, k:k + 5], g_z2)'),
         label=label("wrong-operand scatter", "K2 a1 z2", "getitem matmul")),
    Slip("hidden mask left out", taps_in_buffers, ("g_z1[z1 <= 0] = 0", ""),
         label=label("missing-local-derivative", "z1 a1", "maximum")),
    Slip("mean over the batch only", taps_in_buffers, ("g_out *= 2 / y.size", "g_out *= 2 / len(y)"),
         label=label("scale", "loss diff out", "mean square subtract")),
    Slip("second bias averaged over the positions", taps_in_buffers,
         ("g_b2 = g_z2.sum(axis=(0, 1))", "g_b2 = g_z2.sum(0).mean(0)"),
         label=label("scale missing-broadcast-reduction", "b2 z2", "add")),
    Slip("pooled gradient shared out as if pooling were a mean", taps_in_buffers,
         ("g_z2 = np.repeat(g_pooled[:, None, :], 5, axis=1)", "g_z2 = np.repeat(g_pooled[:, None, :] / 5, 5, axis=1)"),
         label=label("scale wrong-local-rule", "pooled a2 z2", "sum maximum matmul")),
    Slip("first kernel goes by the input reversed in time", taps_in_buffers,
         ('g_K1[k] += np.einsum("ntc,ntf->cf", x[:, k:k + 12], g_z1)',
          'g_K1[k] += np.einsum("ntc,ntf->cf", x[:, 2 - k:14 - k], g_z1)'),
         label=label("transposed-result wrong-operand wrong-axis scatter", "K1 z1 x", "getitem matmul")),
    Slip("second relu's mask taken of the gradient instead of z2", taps_in_buffers,
         ("g_z2 *= z2 > 0", "g_z2 *= g_z2 > 0"),
         label=label("wrong-argument wrong-local-rule", "z2 a2", "maximum")),
    Slip("overlapping taps averaged on the way back to the hidden layer", ported_kernel,
         ("dh1[pos] += g * K2[k, :, f]", "dh1[pos] += g * K2[k, :, f] / 4"),
         label=label("scale", "a1 z2 z1", "matmul add maximum getitem")),
    Slip("hidden gradient buffer allocated once for all samples", ported_kernel,
         ("dh1 = np.zeros((T1, F1))", "dh1 = np.zeros((T1, F1)) if n == 0 else dh1"),
         label=label("stale-value extra-term", "a1 z2 z1", "matmul add maximum getitem")),
    Slip("second kernel's gradient by the weights instead of the hidden values", ported_kernel,
         ("dK2[k, :, f] += g * h1[pos]", "dK2[k, :, f] += g * K2[k, :, f]"),
         label=label("wrong-operand", "K2 a1 z2", "matmul getitem")),
    Slip("first kernel's gradient lacks the last position", ported_kernel,
         ("db1[f] += g", "db1[f] += g\nif t + 1 == T1:\n    continue"),
         label=label("dropped-path", "K1 z1 x", "matmul getitem")),
    Slip("one position too late on the way back", ported_kernel,
         ("pos = stride * t + k", "pos = stride * t + k\nnxt = min(pos + 1, T1 - 1)"),
         ("dh1[pos] += g * K2[k, :, f]", "dh1[nxt] += g * K2[k, :, f]"),
         label=label("scatter", "a1 z2 z1", "getitem matmul")),
    Slip("gradient times the activation in place of the step", ported_kernel,
         ("g = dpool[f]", "g = dpool[f] * h2[t, f]"),
         label=label("wrong-local-rule wrong-argument wrong-operand", "a2 z2 pooled", "maximum sum")),
    Slip("output bias assigned in the loop over samples", ported_kernel, ("dc += e", "dc[:] = e"),
         label=label("overwritten-accumulation missing-broadcast-reduction dropped-path", "c out", "add")),
    Slip("target's error with the wrong sign", ported_kernel,
         ("e = pool @ V + c - y[n]", "e = y[n] - (pool @ V + c)"),
         label=label("sign", "diff out loss", "subtract mean square")),
    Slip("pooled values that stop before the last position, for the output weights", ported_kernel,
         ("dV += np.outer(pool, e)", "dV += np.outer(h2[:-1].sum(0), e)"),
         label=label("dropped-path wrong-operand", "V pooled a2 out", "matmul sum")),
    Slip("first bias before the mask", ported_kernel,
         ("db1[f] += g", ""), ("if h1[t, f] <= 0:", "db1[f] += dh1[t, f]\nif h1[t, f] <= 0:"),
         label=label("missing-local-derivative wrong-operand stale-value", "b1 z1 a1", "maximum add")),
    Slip("columns put back by fancy plus equals", gathered_columns,
         ("np.add.at(d_act1, (slice(None), i2), d_cols2)", "d_act1[:, i2] += d_cols2"),
         label=label("scatter overwritten-accumulation dropped-path", "a1 z2", "getitem matmul add")),
    Slip("columns unfolded with channels before taps", gathered_columns,
         ('d_cols2 = np.einsum("rf,cf->rc", d_pre2, w2).reshape(7, 5, 4, 6)',
          'd_cols2 = np.einsum("rf,cf->rc", d_pre2, w2).reshape(7, 5, 6, 4).swapaxes(2, 3)'),
         label=label("scatter wrong-axis transposed-result wrong-operand", "a1 z2 K2", "getitem matmul")),
    Slip("factor two of the square forgotten", gathered_columns,
         ("delta = 2 * (feat @ V + c - y) / y.size", "delta = (feat @ V + c - y) / y.size"),
         label=label("scale wrong-local-rule", "loss diff out", "mean square subtract")),
    Slip("first mask taken from the row before", gathered_columns,
         ("d_pre1 = d_act1.reshape(84, 6) * np.heaviside(pre1, 0)",
          "d_pre1 = d_act1.reshape(84, 6) * np.heaviside(np.roll(pre1, 1, axis=0), 0)"),
         label=label("wrong-argument wrong-operand scatter", "z1 a1", "maximum")),
    Slip("second kernel with the gradient before the mask, and error not doubled", gathered_columns,
         ('"K2": np.einsum("rc,rf->cf", cols2, d_pre2).reshape(K2.shape),',
          '"K2": np.einsum("rc,rf->cf", cols2, d_act2.reshape(35, 3)).reshape(K2.shape),'),
         ("delta = 2 * (feat @ V + c - y) / y.size", "delta = (feat @ V + c - y) / y.size"),
         label=label("two", "K2 z2 a2 loss diff out", "maximum matmul getitem mean square subtract")),
    Slip("output weights by the last position's activations", gathered_columns,
         ('"V": np.einsum("nf,no->fo", feat, delta),', '"V": np.einsum("nf,no->fo", act2[:, -1], delta),'),
         label=label("wrong-operand dropped-path", "V pooled a2 out", "matmul sum")),
    Slip("first kernel reshaped as filters, channels, taps", gathered_columns,
         ('"K1": np.einsum("rc,rf->cf", cols1, d_pre1).reshape(K1.shape),',
          '"K1": np.einsum("rc,rf->cf", cols1, d_pre1).reshape(2, 3, 6).swapaxes(0, 1),'),
         label=label("transposed-result wrong-axis scatter", "K1 z1 x", "matmul getitem")),
    Slip("first bias's gradient as a mean over the rows", gathered_columns,
         ('"b1": np.einsum("rf->f", d_pre1),', '"b1": np.mean(d_pre1, axis=0),'),
         label=label("scale missing-broadcast-reduction", "b1 z1", "add")),
)
