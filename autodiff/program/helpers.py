"""Small functions that a person defines once above a derivation and then uses: softmax and its kin.

Each gives what the operation's own forward gives, to the last bit, wherever maxima are finite; those in `ROUNDED`
within rounding, and where the last bit is asked for their forwards are printed.
"""

from __future__ import annotations

from autodiff.kinds import Op
from autodiff.ops import convolution, indexing, losses, pooling, random, stable

HELPERS: dict[Op, tuple[str, str]] = {
    stable.softmax: ("softmax", '''
def softmax(x, axis=-1):
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)
'''),
    stable.log_softmax: ("log_softmax", '''
def log_softmax(x, axis=-1):
    x = x - np.max(x, axis=axis, keepdims=True)
    return x - np.log(np.sum(np.exp(x), axis=axis, keepdims=True))
'''),
    stable.logsumexp: ("logsumexp", '''
def logsumexp(x, axis=None, keepdims=False):
    top = np.max(x, axis=axis, keepdims=True)
    y = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
    return y if keepdims else np.squeeze(y, axis)[()]
'''),
    stable.softplus: ("softplus", '''
def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
'''),
    losses.cross_entropy_of_labels: ("cross_entropy", '''
def cross_entropy(z, labels):
    z = z - np.max(z, axis=-1, keepdims=True)
    log_p = z - np.log(np.sum(np.exp(z), axis=-1, keepdims=True))
    return -np.take_along_axis(log_p, labels[..., None], -1)[..., 0]
'''),
    losses.binary_cross_entropy: ("binary_cross_entropy", '''
def binary_cross_entropy(p, t):
    return -(t * np.maximum(np.log(p), -100.0) + (1 - t) * np.maximum(np.log1p(-p), -100.0))
'''),
    losses.binary_cross_entropy_with_logits: ("binary_cross_entropy_with_logits", '''
def binary_cross_entropy_with_logits(z, t):
    return np.maximum(z, 0) - t * z + np.log1p(np.exp(-np.abs(z)))
'''),
    random.dropout_mask: ("dropout_mask", '''
def dropout_mask(shape, rate, key, dtype=float):
    kept = np.random.Generator(np.random.Philox(key=key)).random(shape) >= rate
    return kept.astype(dtype) / (1 - rate)
'''),
    indexing.last: ("written_last", '''
def written_last(shape, index):
    order = np.zeros(shape, int)
    turn = np.arange(1, order[index].size + 1).reshape(order[index].shape)
    order[index] = turn
    return order[index] == turn
'''),
    convolution.conv: ("conv", '''
def conv(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    axes = x.ndim - 2
    s, d, p = (v if isinstance(v, tuple) else (v,) * axes for v in (stride, dilation, padding))
    x = np.pad(x, ((0, 0), (0, 0), *(q if isinstance(q, tuple) else (q, q) for q in p)))
    out = [(n - e * (k - 1) - 1) // t + 1 for n, k, e, t in zip(x.shape[2:], w.shape[2:], d, s)]
    y = 0
    for k in np.ndindex(*w.shape[2:]):              # at each place of the kernel: what it sees
        at = [slice(e * i, e * i + t * (m - 1) + 1, t) for i, e, t, m in zip(k, d, s, out)]
        seen = x[:, :, *at].reshape(len(x), groups, w.shape[1], -1)
        y = y + w[:, :, *k].reshape(groups, -1, w.shape[1]) @ seen
    y = y.reshape(len(x), len(w), *out)
    return y if b is None else y + b.reshape(-1, *[1] * axes)
'''),
    convolution.conv_transpose: ("conv_transpose", '''
def conv_transpose(g, w, shape, stride=1, padding=0, dilation=1, groups=1):
    s, d, p = (v if isinstance(v, tuple) else (v,) * len(shape) for v in (stride, dilation, padding))
    p = [q if isinstance(q, tuple) else (q, q) for q in p]
    x = np.zeros((len(g), groups * w.shape[1], *(n + sum(q) for n, q in zip(shape, p))), g.dtype)
    rows = g.reshape(len(g), groups, len(w) // groups, -1)
    for k in np.ndindex(*w.shape[2:]):              # at each place of the kernel: what goes back
        at = [slice(e * i, e * i + t * (m - 1) + 1, t) for i, e, t, m in zip(k, d, s, g.shape[2:])]
        back = w[:, :, *k].reshape(groups, -1, w.shape[1]).swapaxes(1, 2) @ rows
        x[:, :, *at] += back.reshape(len(g), -1, *g.shape[2:])
    return x[:, :, *(slice(a, a + n) for n, (a, _) in zip(shape, p))]
'''),
    convolution.conv_weight: ("conv_weight", '''
def conv_weight(x, g, window, stride=1, padding=0, dilation=1, groups=1):
    s, d, p = (v if isinstance(v, tuple) else (v,) * len(window) for v in (stride, dilation, padding))
    x = np.pad(x, ((0, 0), (0, 0), *(q if isinstance(q, tuple) else (q, q) for q in p)))
    w = np.zeros((groups, g.shape[1] // groups, x.shape[1] // groups, *window), x.dtype)
    rows = g.reshape(len(g), groups, g.shape[1] // groups, -1)
    for k in np.ndindex(*window):                   # at each place of the kernel: what it saw, times g
        at = [slice(e * i, e * i + t * (m - 1) + 1, t) for i, e, t, m in zip(k, d, s, g.shape[2:])]
        seen = x[:, :, *at].reshape(len(x), groups, x.shape[1] // groups, -1)
        w[:, :, :, *k] = (rows @ seen.swapaxes(2, 3)).sum(axis=0)
    return w.reshape(g.shape[1], -1, *window)
'''),
    pooling.max_pool: ("max_pool", '''
def max_pool(x, window, stride=None, padding=0, dilation=1):
    k, d, p = (v if isinstance(v, tuple) else (v,) * (x.ndim - 2) for v in (window, dilation, padding))
    s = k if stride is None else stride if isinstance(stride, tuple) else (stride,) * len(k)
    margin = ((0, 0), (0, 0), *(q if isinstance(q, tuple) else (q, q) for q in p))
    x = np.pad(x, margin, constant_values=-np.inf)
    out = [(n - e * (m - 1) - 1) // t + 1 for n, m, e, t in zip(x.shape[2:], k, d, s)]
    y = -np.inf
    for place in np.ndindex(*k):
        at = [slice(e * i, e * i + t * (m - 1) + 1, t) for i, e, t, m in zip(place, d, s, out)]
        y = np.maximum(y, x[:, :, *at])
    return y
'''),
    pooling.max_unpool: ("max_unpool", '''
def max_unpool(g, x, y, window, stride=None, padding=0, dilation=1):
    k, d, p = (v if isinstance(v, tuple) else (v,) * (x.ndim - 2) for v in (window, dilation, padding))
    s = k if stride is None else stride if isinstance(stride, tuple) else (stride,) * len(k)
    p = [q if isinstance(q, tuple) else (q, q) for q in p]
    inner = [slice(a, a + n) for n, (a, _) in zip(x.shape[2:], p)]
    x = np.pad(x, ((0, 0), (0, 0), *p), constant_values=np.nan)
    dx, free = np.zeros(x.shape, g.dtype), np.ones(y.shape, bool)
    for place in np.ndindex(*k):                    # the first that is the largest gets g
        at = [slice(e * i, e * i + t * (m - 1) + 1, t) for i, e, t, m in zip(place, d, s, y.shape[2:])]
        hit = free & (x[:, :, *at] == y)
        free &= ~hit
        dx[:, :, *at] += g * hit
    return dx[:, :, *inner]
'''),
}
ROUNDED: set[Op] = {convolution.conv, convolution.conv_transpose, convolution.conv_weight,
                    pooling.max_pool, pooling.max_unpool}
