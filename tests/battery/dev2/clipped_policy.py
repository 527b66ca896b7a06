"""A clipped policy objective with an entropy bonus and a value loss on one hidden layer."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("W", "b", "P", "v")


def data(rng, dtype):
    return {"s": rng.normal(size=(9, 4)).astype(dtype), "act": rng.integers(0, 3, size=9),
            "old": np.log(rng.uniform(0.15, 0.6, size=9)).astype(dtype), "adv": rng.normal(size=9).astype(dtype),
            "ret": rng.normal(size=9).astype(dtype), "W": (0.7 * rng.normal(size=(4, 5))).astype(dtype),
            "b": rng.normal(size=5).astype(dtype), "P": (0.7 * rng.normal(size=(5, 3))).astype(dtype),
            "v": rng.normal(size=5).astype(dtype)}


def loss(s, act, old, adv, ret, W, b, P, v):
    h = np.tanh(s @ W + b)
    logits = h @ P
    logp = ad.log_softmax(logits, axis=1)
    chosen = logp[np.arange(9), act]
    ratio = np.exp(chosen - old)
    clipped = np.clip(ratio, 0.8, 1.2)
    gain = np.minimum(ratio * adv, clipped * adv)
    entropy = -(np.exp(logp) * logp).sum(axis=1)
    value = h @ v
    miss = value - ret
    loss = -gain.mean() - 0.1 * entropy.mean() + 0.5 * (miss ** 2).mean()
    return loss


def log_softmax(z):
    z = z - z.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def by_parts(s, act, old, adv, ret, W, b, P, v):
    n = len(s)
    rows = np.arange(n)
    h = np.tanh(s @ W + b)
    logp = log_softmax(h @ P)
    p = np.exp(logp)
    ratio = np.exp(logp[rows, act] - old)
    unclipped = ratio * adv <= np.clip(ratio, 0.8, 1.2) * adv
    dratio = -adv * unclipped / n
    dchosen = dratio * ratio
    onehot = np.zeros_like(p)
    onehot[rows, act] = 1
    dlogits = dchosen[:, None] * (onehot - p)
    entropy = -(p * logp).sum(axis=1, keepdims=True)
    dlogits += 0.1 * p * (logp + entropy) / n
    dvalue = (h @ v - ret) / n
    dP = h.T @ dlogits
    dv = h.T @ dvalue
    dh = dlogits @ P.T + np.outer(dvalue, v)
    dz = dh * (1 - h ** 2)
    return {"W": s.T @ dz, "b": dz.sum(axis=0), "P": dP, "v": dv}


def through_log_probabilities(s, act, old, adv, ret, W, b, P, v):
    n, k = len(s), P.shape[1]
    h = np.tanh(s @ W + b)
    lp = log_softmax(h @ P)
    g_lp = np.zeros_like(lp)
    for i in range(n):
        r = np.exp(lp[i, act[i]] - old[i])
        if adv[i] > 0:
            active = r < 1.2
        else:
            active = r > 0.8
        if active:
            g_lp[i, act[i]] -= adv[i] * r / n
        for j in range(k):
            g_lp[i, j] += 0.1 * np.exp(lp[i, j]) * (1 + lp[i, j]) / n
    g_logits = g_lp - np.exp(lp) * g_lp.sum(axis=1, keepdims=True)
    g_value = 2 * 0.5 * (h @ v - ret) / n
    g_h = g_logits @ P.T
    g_h += g_value[:, None] * v
    g_z = (1 - h * h) * g_h
    return {"dW": s.T @ g_z, "db": g_z.sum(0), "dP": h.T @ g_logits, "dv": g_value @ h}


RIGHT = (by_parts, through_log_probabilities)

SLIPS = (
    Slip("clipping forgotten", by_parts, ("dratio = -adv * unclipped / n", "dratio = -adv / n"),
         label=label("missing-local-derivative wrong-local-rule extra-term wrong-operand", "ratio gain clipped",
                     "minimum clip")),
    Slip("clipped where it is not", by_parts, ("dratio = -adv * unclipped / n", "dratio = -adv * ~unclipped / n"),
         label=label("wrong-local-rule wrong-argument swapped sign", "ratio gain clipped", "minimum clip")),
    Slip("the larger of the two", by_parts,
         ("unclipped = ratio * adv <= np.clip(ratio, 0.8, 1.2) * adv",
          "unclipped = ratio * adv >= np.clip(ratio, 0.8, 1.2) * adv"),
         label=label("wrong-local-rule wrong-argument sign", "ratio gain clipped", "minimum clip")),
    Slip("compared without the advantage", by_parts,
         ("unclipped = ratio * adv <= np.clip(ratio, 0.8, 1.2) * adv", "unclipped = ratio <= np.clip(ratio, 0.8, 1.2)"),
         label=label("wrong-local-rule wrong-argument missing-local-derivative", "ratio gain clipped", "minimum clip")),
    Slip("clipped at both ends whatever the advantage", by_parts,
         ("unclipped = ratio * adv <= np.clip(ratio, 0.8, 1.2) * adv", "unclipped = (ratio > 0.8) & (ratio < 1.2)"),
         label=label("wrong-local-rule wrong-argument dropped-path", "ratio gain clipped", "minimum clip")),
    Slip("advantage's sign", by_parts, ("dratio = -adv * unclipped / n", "dratio = adv * unclipped / n"),
         label=label("sign", "ratio gain loss", "negative mean minimum multiply exp getitem subtract")),
    Slip("ratio's exponential not derived", by_parts, ("dchosen = dratio * ratio", "dchosen = dratio"),
         label=label("missing-local-derivative", "ratio chosen", "exp")),
    Slip("ratio taken twice", by_parts, ("dchosen = dratio * ratio", "dchosen = dratio * ratio * ratio"),
         label=label("double-derivative", "ratio chosen", "exp")),
    Slip("probability for ratio", by_parts, ("dchosen = dratio * ratio", "dchosen = dratio * p[rows, act]"),
         label=label("wrong-argument wrong-operand wrong-local-rule", "ratio chosen", "exp")),
    Slip("p minus one hot", by_parts,
         ("dlogits = dchosen[:, None] * (onehot - p)", "dlogits = dchosen[:, None] * (p - onehot)"),
         label=label("sign", "logits logp chosen ratio gain", "log_softmax getitem exp minimum negative")),
    Slip("log softmax as if it were a pick", by_parts,
         ("dlogits = dchosen[:, None] * (onehot - p)", "dlogits = dchosen[:, None] * onehot"),
         label=label("dropped-path softmax-diagonal missing-local-derivative treated-as-constant wrong-local-rule",
                     "logits logp chosen", "log_softmax")),
    Slip("softmax's gradient for that of its log", by_parts,
         ("dlogits = dchosen[:, None] * (onehot - p)", "dlogits = dchosen[:, None] * p * (onehot - p)"),
         label=label("double-derivative wrong-local-rule softmax-diagonal", "logits logp chosen", "log_softmax")),
    Slip("entropy left out", by_parts, ("dlogits += 0.1 * p * (logp + entropy) / n", ""),
         label=label("dropped-path missing-term treated-as-constant", "logp logits entropy",
                     "multiply exp sum log_softmax mean negative")),
    Slip("entropy replaces the gain", by_parts,
         ("dlogits += 0.1 * p * (logp + entropy) / n", "dlogits = 0.1 * p * (logp + entropy) / n"),
         label=label("overwritten-accumulation dropped-path", "logits logp chosen gain ratio", "log_softmax getitem")),
    Slip("entropy's bonus as a penalty", by_parts,
         ("dlogits += 0.1 * p * (logp + entropy) / n", "dlogits -= 0.1 * p * (logp + entropy) / n"),
         label=label("sign", "logp logits entropy loss", "multiply exp sum mean negative subtract")),
    Slip("entropy itself left out of its gradient", by_parts,
         ("dlogits += 0.1 * p * (logp + entropy) / n", "dlogits += 0.1 * p * logp / n"),
         label=label("softmax-diagonal dropped-path wrong-local-rule missing-term", "logp logits entropy",
                     "log_softmax multiply")),
    Slip("entropy with the wrong sign inside", by_parts,
         ("dlogits += 0.1 * p * (logp + entropy) / n", "dlogits += 0.1 * p * (logp - entropy) / n"),
         label=label("sign softmax-diagonal wrong-local-rule", "logp logits entropy", "log_softmax multiply")),
    Slip("entropy's weight left out", by_parts,
         ("dlogits += 0.1 * p * (logp + entropy) / n", "dlogits += p * (logp + entropy) / n"),
         label=label("scale missing-local-derivative", "logp logits entropy loss",
                     "multiply exp sum mean negative subtract")),
    Slip("value does not reach the hidden layer", by_parts,
         ("dh = dlogits @ P.T + np.outer(dvalue, v)", "dh = dlogits @ P.T"),
         label=label("dropped-path treated-as-constant", "h value", "matmul")),
    Slip("value's two forgotten to cancel", by_parts, ("dvalue = (h @ v - ret) / n", "dvalue = 2 * (h @ v - ret) / n"),
         label=label("scale", "value miss loss", "square mean multiply subtract matmul")),
    Slip("value's half kept", by_parts, ("dvalue = (h @ v - ret) / n", "dvalue = 0.5 * (h @ v - ret) / n"),
         label=label("scale wrong-local-rule missing-local-derivative", "value miss loss",
                     "square mean multiply subtract matmul")),
    Slip("bias left out of the recomputed layer", by_parts, ("h = np.tanh(s @ W + b)", "h = np.tanh(s @ W)"),
         label=label("missing-term dropped-path", "h b", "add tanh")),
    Slip("old subtracted the other way", by_parts,
         ("ratio = np.exp(logp[rows, act] - old)", "ratio = np.exp(old - logp[rows, act])"),
         label=label("sign wrong-operand swapped wrong-argument", "ratio chosen old", "subtract exp")),
    Slip("actions of the sample before", by_parts, ("onehot[rows, act] = 1", "onehot[rows, np.roll(act, 1)] = 1"),
         label=label("scatter wrong-operand", "chosen act logp", "getitem")),
    Slip("no sum over the batch for b, entropy dropped", by_parts, ("dlogits += 0.1 * p * (logp + entropy) / n", ""),
         ('return {"W": s.T @ dz, "b": dz.sum(axis=0), "P": dP, "v": dv}',
          'return {"W": s.T @ dz, "b": dz[0], "P": dP, "v": dv}'),
         label=label("two", "logp logits entropy b", "multiply exp sum mean add")),
    Slip("entropy assigned over the gain", through_log_probabilities,
         ("g_lp[i, j] += 0.1 * np.exp(lp[i, j]) * (1 + lp[i, j]) / n",
          "g_lp[i, j] = 0.1 * np.exp(lp[i, j]) * (1 + lp[i, j]) / n"),
         label=label("overwritten-accumulation dropped-path", "logp chosen gain ratio", "getitem multiply exp")),
    Slip("last action left out of the entropy", through_log_probabilities,
         ("for j in range(k):", "for j in range(k - 1):"),
         label=label("dropped-path", "logp entropy", "multiply exp sum")),
    Slip("log softmax's sum over the samples", through_log_probabilities,
         ("g_logits = g_lp - np.exp(lp) * g_lp.sum(axis=1, keepdims=True)",
          "g_logits = g_lp - np.exp(lp) * g_lp.sum(axis=0)"),
         label=label("wrong-axis softmax-diagonal", "logits logp", "log_softmax")),
    Slip("negative advantages never active", through_log_probabilities, ("active = r > 0.8", "active = False"),
         label=label("dropped-path missing-local-derivative wrong-local-rule", "ratio gain chosen", "minimum clip")),
    Slip("value's gradient set over the policy's", through_log_probabilities,
         ("g_h += g_value[:, None] * v", "g_h = g_value[:, None] * v"),
         label=label("overwritten-accumulation dropped-path", "h logits", "matmul")),
    Slip("tanh' at the values of the loss's head", through_log_probabilities,
         ("g_z = (1 - h * h) * g_h", "g_z = (1 - h) * g_h"),
         label=label("wrong-local-rule", "h", "tanh")),
)
