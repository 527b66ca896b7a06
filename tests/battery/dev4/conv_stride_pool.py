"""A convolution over time in strides of two, a ReLU, pooling by the larger of two, a linear layer."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("x", "K", "b", "W", "c")


def data(rng, dtype):
    return {"x": rng.normal(size=(5, 2, 17)).astype(dtype), "K": rng.normal(size=(6, 2, 3)).astype(dtype) / 2,
            "b": rng.normal(size=6).astype(dtype), "W": rng.normal(size=(24, 3)).astype(dtype) / 3,
            "c": rng.normal(size=3).astype(dtype), "Y": rng.normal(size=(5, 3)).astype(dtype)}


def loss(x, K, b, W, c, Y):
    frames = []
    for t in range(8):
        window = x[:, :, 2 * t:2 * t + 3]
        frames.append(np.einsum("nck,fck->nf", window, K) + b)
    conv = np.stack(frames, axis=2)
    act = ad.relu(conv)
    pooled = np.max(act.reshape(5, 6, 4, 2), axis=3)
    flat = pooled.reshape(5, 24)
    out = flat @ W + c
    err = out - Y
    loss = np.sum(err ** 2) / 5
    return loss


def six_loops(x, K, b, W, c, Y):
    n_samples, n_in, length = x.shape
    n_out, _, width = K.shape
    steps = (length - width) // 2 + 1
    gx, gK, gb, gW, gc = (np.zeros_like(v) for v in (x, K, b, W, c))
    for n in range(n_samples):
        conv = np.zeros((n_out, steps))
        for f in range(n_out):
            for t in range(steps):
                conv[f, t] = np.sum(x[n, :, 2 * t:2 * t + width] * K[f]) + b[f]
        act = np.maximum(conv, 0)
        pooled = np.maximum(act[:, 0::2], act[:, 1::2])
        flat = pooled.ravel()
        g_out = 2 * (flat @ W + c - Y[n]) / n_samples
        gW += np.outer(flat, g_out)
        gc += g_out
        g_pooled = (W @ g_out).reshape(pooled.shape)
        for f in range(n_out):
            for p in range(steps // 2):
                t = 2 * p + int(act[f, 2 * p + 1] > act[f, 2 * p])
                g = g_pooled[f, p]
                if conv[f, t] <= 0:
                    continue
                gb[f] += g
                for i in range(n_in):
                    for k in range(width):
                        gK[f, i, k] += g * x[n, i, 2 * t + k]
                        gx[n, i, 2 * t + k] += g * K[f, i, k]
    return {"x": gx, "K": gK, "b": gb, "W": gW, "c": gc}


def columns(x, K, b, W, c, Y):
    N, C, L = x.shape
    F, _, R = K.shape
    T = (L - R) // 2 + 1
    where = 2 * np.arange(T)[:, None] + np.arange(R)
    cols = x[:, :, where].transpose(0, 2, 1, 3).reshape(N * T, C * R)
    z = cols @ K.reshape(F, C * R).T + b
    a = np.maximum(z, 0).reshape(N, T, F).transpose(0, 2, 1)
    pairs = a.reshape(N, F, T // 2, 2)
    winner = pairs.argmax(axis=3)
    h = pairs.max(axis=3).reshape(N, -1)
    d_out = 2 / N * (h @ W + c - Y)
    d_W = h.T @ d_out
    d_c = d_out.sum(0)
    d_h = (d_out @ W.T).reshape(N, F, T // 2)
    d_pairs = np.zeros_like(pairs)
    np.put_along_axis(d_pairs, winner[..., None], d_h[..., None], axis=3)
    d_a = d_pairs.reshape(N, F, T)
    d_z = d_a.transpose(0, 2, 1).reshape(N * T, F) * (z > 0)
    d_b = d_z.sum(0)
    d_K = (d_z.T @ cols).reshape(K.shape)
    d_cols = (d_z @ K.reshape(F, C * R)).reshape(N, T, C, R)
    d_x = np.zeros_like(x)
    np.add.at(d_x, (slice(None), slice(None), where), d_cols.transpose(0, 2, 1, 3))
    return {"dx": d_x, "dK": d_K, "db": d_b, "dW": d_W, "dc": d_c}


def tap_by_tap(x, K, b, W, c, Y):
    n = len(x)
    taps = [x[:, :, j:j + 15:2] for j in range(3)]
    conv = sum(np.einsum("nct,fc->nft", taps[j], K[:, :, j]) for j in range(3)) + b[None, :, None]
    act = conv * (conv > 0)
    even, odd = act[..., ::2], act[..., 1::2]
    pooled = np.where(even >= odd, even, odd)
    flat = pooled.reshape(n, -1)
    err = flat @ W + c - Y
    derr = 2 * err / n
    dW = np.einsum("ni,no->io", flat, derr)
    dc = np.einsum("no->o", derr)
    dpooled = np.einsum("no,io->ni", derr, W).reshape(pooled.shape)
    dact = np.zeros_like(act)
    dact[..., ::2] = dpooled * (even >= odd)
    dact[..., 1::2] = dpooled * (even < odd)
    dconv = dact * (conv > 0)
    db = dconv.sum(axis=(0, 2))
    dK = np.zeros_like(K)
    dx = np.zeros_like(x)
    for j in range(3):
        dK[:, :, j] = np.einsum("nft,nct->fc", dconv, taps[j])
        dx[:, :, j:j + 15:2] += np.einsum("nft,fc->nct", dconv, K[:, :, j])
    return {"x": dx, "K": dK, "b": db, "W": dW, "c": dc, "loss": np.sum(err ** 2) / n}


def full_correlation_of_spread_errors(x, K, b, W, c, Y):
    N, C, L = x.shape
    F, _, R = K.shape
    z = np.stack([np.tensordot(x[:, :, s:s + R], K, axes=([1, 2], [1, 2])) for s in range(0, L - R + 1, 2)], axis=2)
    z += b.reshape(1, F, 1)
    a = np.maximum(z, 0)
    P = a.shape[2] // 2
    m = a.reshape(N, F, P, 2).max(axis=3)
    v = m.reshape(N, F * P)
    delta_out = (2 / N) * (v @ W + c - Y)
    delta_m = (delta_out @ W.T).reshape(N, F, P)
    unpooled = np.repeat(delta_m, 2, axis=2)
    is_max = a == np.repeat(m, 2, axis=2)
    delta_z = unpooled * is_max * np.sign(a)
    spread = np.zeros((N, F, L - R + 1))
    spread[:, :, ::2] = delta_z
    nabla_K = np.zeros_like(K)
    for r in range(R):
        nabla_K[:, :, r] = np.tensordot(spread, x[:, :, r:r + L - R + 1], axes=([0, 2], [0, 2]))
    padded = np.pad(spread, ((0, 0), (0, 0), (R - 1, R - 1)))
    flipped = K[:, :, ::-1]
    nabla_x = np.zeros_like(x)
    for s in range(L):
        nabla_x[:, :, s] = np.tensordot(padded[:, :, s:s + R], flipped, axes=([1, 2], [0, 2]))
    return {"x": nabla_x, "K": nabla_K, "b": delta_z.sum((0, 2)), "W": v.T @ delta_out, "c": delta_out.sum(0)}


RIGHT = (six_loops, columns, tap_by_tap, full_correlation_of_spread_errors)

SLIPS = (
    Slip("input's gradient set where windows overlap", six_loops,
         ("gx[n, i, 2 * t + k] += g * K[f, i, k]", "gx[n, i, 2 * t + k] = g * K[f, i, k]"),
         label=label("overwritten-accumulation scatter", "x window", "getitem einsum")),
    Slip("stride forgotten when the input is read for the kernel", six_loops,
         ("gK[f, i, k] += g * x[n, i, 2 * t + k]", "gK[f, i, k] += g * x[n, i, t + k]"),
         label=label("wrong-operand scatter", "K window conv x", "einsum getitem")),
    Slip("stride forgotten when the input's gradient is placed", six_loops,
         ("gx[n, i, 2 * t + k] += g * K[f, i, k]", "gx[n, i, t + k] += g * K[f, i, k]"),
         label=label("scatter", "x window", "getitem")),
    Slip("kernel turned round for the input's gradient, though the index already runs forwards", six_loops,
         ("gx[n, i, 2 * t + k] += g * K[f, i, k]", "gx[n, i, 2 * t + k] += g * K[f, i, width - 1 - k]"),
         label=label("wrong-operand wrong-axis scatter missing-transpose", "x window K conv", "einsum getitem")),
    Slip("the smaller of the two gets the pool's gradient", six_loops,
         ("t = 2 * p + int(act[f, 2 * p + 1] > act[f, 2 * p])", "t = 2 * p + int(act[f, 2 * p + 1] < act[f, 2 * p])"),
         label=label("scatter wrong-local-rule wrong-argument", "act pooled conv", "max")),
    Slip("the first of every pair gets the pool's gradient", six_loops,
         ("t = 2 * p + int(act[f, 2 * p + 1] > act[f, 2 * p])", "t = 2 * p"),
         label=label("scatter wrong-local-rule", "act pooled conv", "max")),
    Slip("bias counted before the check of the ReLU", six_loops,
         ("gb[f] += g", ""), ("if conv[f, t] <= 0:", "gb[f] += g\nif conv[f, t] <= 0:"),
         label=label("missing-local-derivative wrong-operand", "b conv act", "relu add")),
    Slip("loop over the kernel stops a tap early", six_loops,
         ("for k in range(width):", "for k in range(width - 1):"),
         label=label("dropped-path", "x K window conv", "einsum getitem")),
    Slip("bias of the linear layer only from the last sample", six_loops, ("gc += g_out", "gc = g_out"),
         label=label("overwritten-accumulation missing-broadcast-reduction dropped-path",
                     "c out", "add matmul")),
    Slip("squared error's two forgotten", columns,
         ("d_out = 2 / N * (h @ W + c - Y)", "d_out = (h @ W + c - Y) / N"),
         label=label("scale", "err loss out", "square sum divide subtract")),
    Slip("error over all its entries", columns,
         ("d_out = 2 / N * (h @ W + c - Y)", "d_out = 2 / Y.size * (h @ W + c - Y)"),
         label=label("scale", "err loss out", "square sum divide subtract")),
    Slip("features and positions mixed up when the columns are made again", columns,
         ("d_z = d_a.transpose(0, 2, 1).reshape(N * T, F) * (z > 0)", "d_z = d_a.reshape(N * T, F) * (z > 0)"),
         label=label("wrong-axis scatter missing-transpose transposed-result",
                     "conv act", "stack reshape relu")),
    Slip("columns folded back with channels and taps in the wrong order", columns,
         ("d_cols = (d_z @ K.reshape(F, C * R)).reshape(N, T, C, R)",
          "d_cols = (d_z @ K.reshape(F, C * R)).reshape(N, T, R, C).transpose(0, 1, 3, 2)"),
         label=label("wrong-axis scatter missing-transpose transposed-result", "x window", "getitem einsum reshape")),
    Slip("columns folded back with += and an index array", columns,
         ("np.add.at(d_x, (slice(None), slice(None), where), d_cols.transpose(0, 2, 1, 3))",
          "d_x[:, :, where] += d_cols.transpose(0, 2, 1, 3)"),
         label=label("scatter overwritten-accumulation", "x window", "getitem")),
    Slip("bias averaged over samples and positions", columns, ("d_b = d_z.sum(0)", "d_b = d_z.mean(0)"),
         label=label("scale", "b conv", "add")),
    Slip("ReLU not derived", columns,
         ("d_z = d_a.transpose(0, 2, 1).reshape(N * T, F) * (z > 0)",
          "d_z = d_a.transpose(0, 2, 1).reshape(N * T, F)"),
         label=label("missing-local-derivative", "conv act", "relu")),
    Slip("linear weights' gradient with the pooled values flattened positions first", columns,
         ("d_W = h.T @ d_out", "d_W = pairs.max(axis=3).transpose(0, 2, 1).reshape(N, -1).T @ d_out"),
         label=label("wrong-axis wrong-operand transposed-result scatter missing-transpose",
                     "W flat pooled out", "matmul reshape")),
    Slip("ReLU's value for its derivative", tap_by_tap, ("dconv = dact * (conv > 0)", "dconv = dact * act"),
         label=label("wrong-local-rule missing-local-derivative wrong-argument", "conv act", "relu")),
    Slip("pool passes to both of a pair", tap_by_tap,
         ("dact[..., ::2] = dpooled * (even >= odd)", "dact[..., ::2] = dpooled"),
         ("dact[..., 1::2] = dpooled * (even < odd)", "dact[..., 1::2] = dpooled"),
         label=label("wrong-local-rule missing-local-derivative scatter", "act pooled", "max")),
    Slip("pool derived as a mean", tap_by_tap,
         ("dact[..., ::2] = dpooled * (even >= odd)", "dact[..., ::2] = dpooled / 2"),
         ("dact[..., 1::2] = dpooled * (even < odd)", "dact[..., 1::2] = dpooled / 2"),
         label=label("wrong-local-rule scatter", "act pooled", "max")),
    Slip("odd positions of a pair never get anything", tap_by_tap,
         ("dact[..., 1::2] = dpooled * (even < odd)", ""),
         label=label("dropped-path scatter", "act pooled conv", "max")),
    Slip("kernel's gradient with the activations in place of their errors", tap_by_tap,
         ("dK[:, :, j] = np.einsum(\"nft,nct->fc\", dconv, taps[j])",
          "dK[:, :, j] = np.einsum(\"nft,nct->fc\", act, taps[j])"),
         label=label("wrong-operand", "K conv act window", "einsum")),
    Slip("taps of the input one off for the kernel", tap_by_tap,
         ("dK[:, :, j] = np.einsum(\"nft,nct->fc\", dconv, taps[j])",
          "dK[:, :, j] = np.einsum(\"nft,nct->fc\", dconv, taps[j - 1])"),
         label=label("wrong-operand scatter wrong-axis", "K window conv x", "einsum getitem")),
    Slip("target minus output, and the input's overlaps replaced", tap_by_tap,
         ("derr = 2 * err / n", "derr = -2 * err / n"),
         ("dx[:, :, j:j + 15:2] += np.einsum(\"nft,fc->nct\", dconv, K[:, :, j])",
          "dx[:, :, j:j + 15:2] = np.einsum(\"nft,fc->nct\", dconv, K[:, :, j])"),
         label=label("two", "err out loss x window", "square sum divide subtract getitem")),
    Slip("bias of the convolution from what comes before the ReLU's derivative", tap_by_tap,
         ("db = dconv.sum(axis=(0, 2))", "db = dact.sum(axis=(0, 2))"),
         label=label("missing-local-derivative wrong-operand", "b conv act", "relu add")),
    Slip("kernel not flipped in the full correlation", full_correlation_of_spread_errors,
         ("flipped = K[:, :, ::-1]", "flipped = K"),
         label=label("wrong-operand wrong-axis missing-transpose scatter", "x window K conv", "einsum getitem")),
    Slip("channels flipped with the taps", full_correlation_of_spread_errors,
         ("flipped = K[:, :, ::-1]", "flipped = K[:, ::-1, ::-1]"),
         label=label("wrong-operand wrong-axis scatter transposed-result", "x window K conv", "einsum getitem")),
    Slip("upsampled by tiling instead of repeating", full_correlation_of_spread_errors,
         ("unpooled = np.repeat(delta_m, 2, axis=2)", "unpooled = np.tile(delta_m, (1, 1, 2))"),
         label=label("scatter wrong-axis wrong-local-rule", "act pooled", "max reshape")),
    Slip("errors put next to each other instead of a stride apart", full_correlation_of_spread_errors,
         ("spread[:, :, ::2] = delta_z", "spread[:, :, :8] = delta_z"),
         label=label("scatter wrong-operand", "x K window conv", "getitem stack einsum")),
    Slip("sign of what goes into the ReLU as its derivative", full_correlation_of_spread_errors,
         ("delta_z = unpooled * is_max * np.sign(a)", "delta_z = unpooled * is_max * np.sign(z)"),
         label=label("wrong-local-rule wrong-argument sign", "conv act", "relu")),
)
