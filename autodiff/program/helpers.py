"""Small functions that a person defines once above a derivation and then uses: softmax and its kin.

Each gives what the operation's own forward gives, to the last bit, wherever maxima are finite.
"""

from __future__ import annotations

from autodiff.kinds import Op
from autodiff.ops import indexing, losses, random, stable

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
}
