"""A linear-chain conditional random field: scores by a linear layer, log partition by the forward recursion."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("W", "b", "A", "start")


def data(rng, dtype):
    return {"x": rng.normal(size=(6, 3)).astype(dtype), "tags": np.array([2, 0, 3, 3, 1, 0]),
            "W": (0.6 * rng.normal(size=(3, 4))).astype(dtype), "b": rng.normal(size=4).astype(dtype),
            "A": rng.normal(size=(4, 4)).astype(dtype), "start": rng.normal(size=4).astype(dtype)}


def loss(x, tags, W, b, A, start):
    s = x @ W + b
    alpha = start + s[0]
    for t in range(1, 6):
        alpha = ad.logsumexp(alpha.reshape(4, 1) + A, axis=0) + s[t]
    logZ = ad.logsumexp(alpha)
    emit = s[np.arange(6), tags].sum()
    move = A[tags[:-1], tags[1:]].sum()
    path = emit + move + start[tags[0]]
    loss = (logZ - path) / 6
    return loss


def lse(v, axis=None):
    top = v.max()
    return np.log(np.exp(v - top).sum(axis=axis)) + top


def forward_backward(x, tags, W, b, A, start):
    T, S = len(x), len(b)
    s = x @ W + b
    alpha, beta = np.zeros((T, S)), np.zeros((T, S))
    alpha[0] = start + s[0]
    for t in range(1, T):
        alpha[t] = lse(alpha[t - 1][:, None] + A, axis=0) + s[t]
    for t in range(T - 2, -1, -1):
        beta[t] = lse(A + s[t + 1] + beta[t + 1], axis=1)
    logZ = lse(alpha[-1])
    single = np.exp(alpha + beta - logZ)
    dA = np.zeros_like(A)
    for t in range(T - 1):
        dA += np.exp(alpha[t][:, None] + A + s[t + 1] + beta[t + 1] - logZ)
    for t in range(T - 1):
        dA[tags[t], tags[t + 1]] -= 1
    ds = single.copy()
    ds[np.arange(T), tags] -= 1
    dstart = single[0].copy()
    dstart[tags[0]] -= 1
    ds /= T
    return {"W": x.T @ ds, "b": ds.sum(axis=0), "A": dA / T, "start": dstart / T}


def back_through_the_recursion(x, tags, W, b, A, start):
    n = len(tags)
    s = x @ W + b
    alphas = [start + s[0]]
    weights = []
    for t in range(1, n):
        m = alphas[-1][:, None] + A
        e = np.exp(m - m.max(axis=0))
        weights.append(e / e.sum(axis=0))
        alphas.append(np.log(e.sum(axis=0)) + m.max(axis=0) + s[t])
    last = np.exp(alphas[-1] - alphas[-1].max())
    g = last / last.sum() / n
    gs = np.zeros_like(s)
    gA = np.zeros_like(A)
    for t in range(n - 1, 0, -1):
        gs[t] += g
        flow = weights[t - 1] * g
        gA += flow
        g = flow.sum(axis=1)
    gs[0] += g
    gstart = g.copy()
    for t, k in enumerate(tags):
        gs[t, k] -= 1 / n
        if t > 0:
            gA[tags[t - 1], k] -= 1 / n
    gstart[tags[0]] -= 1 / n
    return {"W": x.T @ gs, "b": gs.sum(0), "A": gA, "start": gstart}


RIGHT = (forward_backward, back_through_the_recursion)

SLIPS = (
    Slip("backward messages start with the last scores", forward_backward,
         ("beta[t] = lse(A + s[t + 1] + beta[t + 1], axis=1)", "beta[t] = lse(A + s[t] + beta[t + 1], axis=1)"),
         label=label("wrong-operand stale-value", "alpha s A", "logsumexp add")),
    Slip("backward messages over the wrong axis", forward_backward,
         ("beta[t] = lse(A + s[t + 1] + beta[t + 1], axis=1)", "beta[t] = lse(A + s[t + 1] + beta[t + 1], axis=0)"),
         label=label("wrong-axis", "alpha A", "logsumexp")),
    Slip("backward messages lack the scores", forward_backward,
         ("beta[t] = lse(A + s[t + 1] + beta[t + 1], axis=1)", "beta[t] = lse(A + beta[t + 1], axis=1)"),
         label=label("missing-term dropped-path wrong-operand", "alpha s A", "logsumexp add")),
    Slip("backward messages stop before the first", forward_backward,
         ("for t in range(T - 2, -1, -1):", "for t in range(T - 2, 0, -1):"),
         label=label("dropped-path", "alpha s A", "logsumexp add")),
    Slip("backward messages left out of the singles", forward_backward,
         ("single = np.exp(alpha + beta - logZ)", "single = np.exp(alpha - logZ)"),
         label=label("missing-term dropped-path wrong-operand missing-local-derivative treated-as-constant",
                     "alpha s logZ", "logsumexp add")),
    Slip("pairs lack the backward message", forward_backward,
         ("dA += np.exp(alpha[t][:, None] + A + s[t + 1] + beta[t + 1] - logZ)",
          "dA += np.exp(alpha[t][:, None] + A + s[t + 1] - logZ)"),
         label=label("missing-term dropped-path wrong-operand missing-local-derivative", "A alpha", "logsumexp add")),
    Slip("pairs with the message of the step itself", forward_backward,
         ("dA += np.exp(alpha[t][:, None] + A + s[t + 1] + beta[t + 1] - logZ)",
          "dA += np.exp(alpha[t][:, None] + A + s[t + 1] + beta[t] - logZ)"),
         label=label("wrong-operand stale-value", "A alpha", "logsumexp add")),
    Slip("pairs transposed", forward_backward,
         ("dA += np.exp(alpha[t][:, None] + A + s[t + 1] + beta[t + 1] - logZ)",
          "dA += np.exp(alpha[t][:, None] + A + s[t + 1] + beta[t + 1] - logZ).T"),
         label=label("transposed-result missing-transpose", "A alpha", "logsumexp add")),
    Slip("pairs overwritten", forward_backward,
         ("dA += np.exp(alpha[t][:, None] + A + s[t + 1] + beta[t + 1] - logZ)",
          "dA = np.exp(alpha[t][:, None] + A + s[t + 1] + beta[t + 1] - logZ)"),
         label=label("overwritten-accumulation dropped-path", "A alpha", "add logsumexp")),
    Slip("moves of the path the other way", forward_backward,
         ("dA[tags[t], tags[t + 1]] -= 1", "dA[tags[t + 1], tags[t]] -= 1"),
         label=label("transposed-result scatter missing-transpose swapped wrong-operand", "A move tags", "getitem")),
    Slip("moves of the path not taken off", forward_backward, ("dA[tags[t], tags[t + 1]] -= 1", "pass"),
         label=label("dropped-path missing-term", "A move path", "getitem sum add")),
    Slip("path's scores added", forward_backward,
         ("ds[np.arange(T), tags] -= 1", "ds[np.arange(T), tags] += 1"),
         label=label("sign", "s emit path", "getitem sum add subtract")),
    Slip("tags shifted by one", forward_backward,
         ("ds[np.arange(T), tags] -= 1", "ds[np.arange(T), np.roll(tags, 1)] -= 1"),
         label=label("scatter wrong-operand", "s emit tags", "getitem")),
    Slip("start's tag not taken off", forward_backward, ("dstart[tags[0]] -= 1", ""),
         label=label("dropped-path missing-term", "start path", "getitem add")),
    Slip("start takes the last marginal", forward_backward, ("dstart = single[0].copy()", "dstart = single[-1].copy()"),
         label=label("wrong-operand stale-value", "start alpha", "add logsumexp")),
    Slip("scores not divided by the length", forward_backward, ("ds /= T", ""),
         label=label("scale missing-local-derivative", "s loss logZ path b W", "divide subtract")),
    Slip("A not divided, start divided twice", forward_backward,
         ('return {"W": x.T @ ds, "b": ds.sum(axis=0), "A": dA / T, "start": dstart / T}',
          'return {"W": x.T @ ds, "b": ds.sum(axis=0), "A": dA, "start": dstart / T ** 2}'),
         label=label("two scale", "A start loss", "divide")),
    Slip("b is the first step's", forward_backward,
         ('return {"W": x.T @ ds, "b": ds.sum(axis=0), "A": dA / T, "start": dstart / T}',
          'return {"W": x.T @ ds, "b": ds[0], "A": dA / T, "start": dstart / T}'),
         label=label("missing-broadcast-reduction overwritten-accumulation dropped-path", "b s", "add")),
    Slip("weights normalised over the next tag", back_through_the_recursion,
         ("weights.append(e / e.sum(axis=0))", "weights.append(e / e.sum(axis=1, keepdims=True))"),
         label=label("wrong-axis", "alpha A", "logsumexp")),
    Slip("weights of the step before", back_through_the_recursion,
         ("flow = weights[t - 1] * g", "flow = weights[t - 2] * g"),
         label=label("wrong-operand stale-value", "alpha A", "logsumexp")),
    Slip("flow summed over where it comes from", back_through_the_recursion,
         ("g = flow.sum(axis=1)", "g = flow.sum(axis=0)"),
         label=label("wrong-axis", "alpha", "reshape add logsumexp")),
    Slip("scores of a step get the gradient before it", back_through_the_recursion, ("gs[0] += g", ""),
         label=label("dropped-path missing-term", "s alpha start", "add getitem")),
    Slip("recursion runs to the second step", back_through_the_recursion,
         ("for t in range(n - 1, 0, -1):", "for t in range(n - 1, 1, -1):"),
         label=label("dropped-path", "alpha s A start", "add logsumexp")),
    Slip("flow not weighted by what comes", back_through_the_recursion,
         ("flow = weights[t - 1] * g", "flow = weights[t - 1] / n"),
         label=label("wrong-operand missing-local-derivative dropped-path treated-as-constant wrong-local-rule",
                     "alpha A", "logsumexp")),
    Slip("A set by the last flow", back_through_the_recursion, ("gA += flow", "gA = flow"),
         label=label("overwritten-accumulation dropped-path", "A alpha", "add logsumexp")),
    Slip("A as its own mean", back_through_the_recursion, ("gA += flow", "gA += flow / n"),
         label=label("scale", "A alpha", "add logsumexp")),
    Slip("moves counted from the wrong end", back_through_the_recursion,
         ("gA[tags[t - 1], k] -= 1 / n", "gA[k, tags[t - 1]] -= 1 / n"),
         label=label("transposed-result scatter missing-transpose swapped wrong-operand", "A move tags", "getitem")),
    Slip("last scores not normalised", back_through_the_recursion, ("g = last / last.sum() / n", "g = last / n"),
         label=label("missing-local-derivative softmax-diagonal wrong-local-rule", "logZ alpha", "logsumexp")),
    Slip("transitions left out of the recomputed recursion", back_through_the_recursion,
         ("m = alphas[-1][:, None] + A", "m = alphas[-1][:, None] + 0 * A"),
         label=label("missing-term dropped-path wrong-operand scale", "alpha A", "add logsumexp")),
)
