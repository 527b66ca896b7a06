"""Logistic regression on labels -1 and +1: weighted log(1 + exp(-margin)), and a squared norm of the weights."""

import numpy as np

from tests.battery.slips import Slip, label

PARAMETERS = ("w", "b")
LAM = 0.4


def data(rng, dtype):
    signs = np.array([1, -1, -1, 1, 1, -1, 1])
    return {"X": rng.normal(size=(5, 7)).astype(dtype), "w": rng.normal(size=(5, 1)).astype(dtype),
            "b": rng.normal(size=(1, 1)).astype(dtype), "y": rng.permutation(signs)[None].astype(dtype),
            "s": rng.uniform(0.3, 2.5, size=(1, 7)).astype(dtype)}


def loss(X, w, b, y, s):
    f = w.T @ X + b
    m = y * f
    q = np.exp(-m)
    l = np.log(1 + q)
    data = np.sum(s * l) / np.sum(s)
    norm = np.sum(w * w)
    loss = data + LAM / 2 * norm
    return loss


def sigma(t):
    return 1 / (1 + np.exp(-t))


def closed_form(X, w, b, y, s):
    m = y * (w.T @ X + b)
    g = -y * sigma(-m) * s / s.sum()
    return {"w": X @ g.T + LAM * w, "b": g.sum(keepdims=True)}


def chain_in_full(X, w, b, y, s):
    f = np.matmul(w.T, X) + b
    m = y * f
    q = np.exp(-m)
    total = np.sum(s)
    dl = s / total
    dq = dl / (1 + q)
    dm = dq * -q
    df = dm * y
    db = np.sum(df, axis=1, keepdims=True)
    dw = np.matmul(X, df.T)
    dnorm = LAM / 2
    dw += dnorm * 2 * w
    return {"w": dw, "b": db, "f": df, "m": dm}


def sample_after_sample(X, w, b, y, s):
    n_features, n = X.shape
    grad_w = np.zeros((n_features, 1))
    grad_b = 0.0
    objective = 0.0
    for i in range(n):
        xi = X[:, i]
        label = y[0, i]
        weight = s[0, i]
        score = w[:, 0] @ xi + b[0, 0]
        margin = label * score
        if margin > 0:
            e = np.exp(-margin)
            slope = -e / (1 + e)
            objective += weight * np.log1p(e)
        else:
            e = np.exp(margin)
            slope = -1 / (1 + e)
            objective += weight * (np.log1p(e) - margin)
        coef = weight * label * slope
        grad_w[:, 0] += coef * xi
        grad_b += coef
    grad_w /= s.sum()
    grad_b /= s.sum()
    grad_w += LAM * w
    objective = objective / s.sum() + LAM / 2 * np.sum(w ** 2)
    return {"dw": grad_w, "db": np.array([[grad_b]]), "loss": objective}


def by_probabilities(X, w, b, y, s):
    t = (y + 1) / 2
    p = sigma(w.T @ X + b)
    residual = p - t
    alpha = s / np.sum(s)
    weighted = alpha * residual
    A = np.vstack([X, np.ones((1, X.shape[1]))])
    grad = A @ weighted.T
    shrink = LAM * np.vstack([w, np.zeros((1, 1))])
    grad = grad + shrink
    return {"w": grad[:-1], "b": grad[-1:]}


def halves_and_tanh(X, w, b, y, s):
    n = X.shape[1]
    rel = s.ravel() / s.mean()
    margins = y.ravel() * (X.T @ w[:, 0] + b.item())
    pull = 0.5 * (1 - np.tanh(margins / 2))
    signed = rel * y.ravel() * pull
    grad_w = -(signed @ X.T) / n
    grad_b = -signed.mean()
    grad_w = grad_w + LAM * w.ravel()
    return {"w": grad_w.reshape(w.shape), "b": np.full((1, 1), grad_b)}


RIGHT = (closed_form, chain_in_full, sample_after_sample, by_probabilities, halves_and_tanh)

SLIPS = (
    Slip("sigmoid of the margin instead of minus the margin", closed_form,
         ("g = -y * sigma(-m) * s / s.sum()", "g = -y * sigma(m) * s / s.sum()"),
         label=label("wrong-argument wrong-local-rule sign", "m q l f", "exp log negative")),
    Slip("label not multiplied in", closed_form,
         ("g = -y * sigma(-m) * s / s.sum()", "g = -sigma(-m) * s / s.sum()"),
         label=label("missing-local-derivative wrong-operand", "f m y", "multiply")),
    Slip("minus of the margin's exponent lost", closed_form,
         ("g = -y * sigma(-m) * s / s.sum()", "g = y * sigma(-m) * s / s.sum()"),
         label=label("sign", "f m q l data", "negative exp log multiply sum divide")),
    Slip("margin without the label", closed_form, ("m = y * (w.T @ X + b)", "m = w.T @ X + b"),
         label=label("wrong-argument wrong-operand", "m f q y", "multiply exp negative")),
    Slip("margin without the intercept", closed_form, ("m = y * (w.T @ X + b)", "m = y * (w.T @ X)"),
         label=label("wrong-argument wrong-operand dropped-path", "f m b q", "add matmul exp")),
    Slip("label on the product only, not on the intercept", closed_form,
         ("m = y * (w.T @ X + b)", "m = y * (w.T @ X) + b"),
         label=label("wrong-argument wrong-operand", "m f b q", "multiply add exp")),
    Slip("sample weights forgotten, plain mean", closed_form,
         ("g = -y * sigma(-m) * s / s.sum()", "g = -y * sigma(-m) / s.size"),
         label=label("missing-local-derivative wrong-operand two", "l data s", "multiply sum divide")),
    Slip("weighted sum over the number of samples", closed_form,
         ("g = -y * sigma(-m) * s / s.sum()", "g = -y * sigma(-m) * s / s.size"),
         label=label("scale", "data l q m f", "sum divide multiply log exp negative")),
    Slip("sigmoid's derivative", closed_form,
         ("g = -y * sigma(-m) * s / s.sum()", "g = -y * sigma(-m) * (1 - sigma(-m)) * s / s.sum()"),
         label=label("double-derivative wrong-local-rule", "m q l f", "exp log negative")),
    Slip("log not derived", chain_in_full, ("dq = dl / (1 + q)", "dq = dl"),
         label=label("missing-local-derivative", "l q", "log add")),
    Slip("one inside the log forgotten", chain_in_full, ("dq = dl / (1 + q)", "dq = dl / q"),
         label=label("wrong-argument wrong-local-rule dropped-path", "l q", "log add")),
    Slip("exponential of minus the margin derived without the minus", chain_in_full, ("dm = dq * -q", "dm = dq * q"),
         label=label("sign", "q m f l data", "exp negative multiply log")),
    Slip("minus kept, exponential dropped", chain_in_full, ("dm = dq * -q", "dm = -dq"),
         label=label("missing-local-derivative", "q m", "exp negative")),
    Slip("margin's gradient handed on as the score's", chain_in_full, ("df = dm * y", "df = dm"),
         label=label("missing-local-derivative wrong-operand", "f m y", "multiply")),
    Slip("margin for label in the score's gradient", chain_in_full, ("df = dm * y", "df = dm * m"),
         label=label("wrong-operand wrong-argument wrong-local-rule", "f m y", "multiply")),
    Slip("penalty's gradient replaces that of the data", chain_in_full,
         ("dw += dnorm * 2 * w", "dw = dnorm * 2 * w"),
         label=label("overwritten-accumulation dropped-path", "w f norm", "matmul transpose multiply")),
    Slip("intercept averaged", chain_in_full,
         ("db = np.sum(df, axis=1, keepdims=True)", "db = np.mean(df, axis=1, keepdims=True)"),
         label=label("scale", "b f", "add")),
    Slip("norm's two forgotten with the half kept", chain_in_full, ("dw += dnorm * 2 * w", "dw += dnorm * w"),
         label=label("scale", "w norm loss", "multiply sum add")),
    Slip("intercept from the margins' gradient", chain_in_full,
         ("db = np.sum(df, axis=1, keepdims=True)", "db = np.sum(dm, axis=1, keepdims=True)"),
         label=label("missing-local-derivative wrong-operand", "b f m", "multiply add")),
    Slip("slope of the positive branch used with the negative one's exponential", sample_after_sample,
         ("slope = -1 / (1 + e)", "slope = -e / (1 + e)"),
         label=label("wrong-argument wrong-local-rule", "m q l f", "exp log negative")),
    Slip("samples on the right side of the boundary ignored, as with a hinge", sample_after_sample,
         ("slope = -e / (1 + e)", "slope = 0"),
         label=label("dropped-path wrong-local-rule", "m q l f", "exp log negative")),
    Slip("penalty before the division by the weights", sample_after_sample,
         ("grad_w += LAM * w", ""), ("grad_w /= s.sum()", "grad_w += LAM * w\ngrad_w /= s.sum()"),
         label=label("scale", "w norm loss", "multiply sum add")),
    Slip("intercept not normalised", sample_after_sample, ("grad_b /= s.sum()", ""),
         label=label("scale", "b f", "add")),
    Slip("only the last sample reaches the intercept, and the penalty is doubled", sample_after_sample,
         ("grad_b += coef", "grad_b = coef"), ("grad_w += LAM * w", "grad_w += 2 * LAM * w"),
         label=label("two", "b f w norm", "add multiply sum")),
    Slip("sample's weight squared", sample_after_sample,
         ("coef = weight * label * slope", "coef = weight * weight * label * slope"),
         label=label("double-derivative wrong-operand wrong-local-rule", "l data s q m f", "multiply")),
    Slip("labels not turned into zero and one", by_probabilities, ("t = (y + 1) / 2", "t = y"),
         label=label("wrong-local-rule wrong-argument wrong-operand extra-term",
                     "f m q l y", "exp log negative multiply")),
    Slip("labels turned the wrong way into zero and one", by_probabilities,
         ("t = (y + 1) / 2", "t = (1 - y) / 2"),
         label=label("wrong-local-rule wrong-argument wrong-operand sign two",
                     "f m q l y", "exp log negative multiply")),
    Slip("intercept shrunk too", by_probabilities,
         ("shrink = LAM * np.vstack([w, np.zeros((1, 1))])", "shrink = LAM * np.vstack([w, b])"),
         label=label("extra-term", "b f norm loss", "add multiply")),
    Slip("shrinkage of the sign, as for absolute values", by_probabilities,
         ("shrink = LAM * np.vstack([w, np.zeros((1, 1))])",
          "shrink = LAM * np.vstack([np.sign(w), np.zeros((1, 1))])"),
         label=label("wrong-local-rule wrong-operand wrong-argument", "w norm", "multiply sum")),
    Slip("sample weights inside the sigmoid rather than on the residual", by_probabilities,
         ("p = sigma(w.T @ X + b)", "p = sigma(s * (w.T @ X + b))"),
         label=label("wrong-argument wrong-operand", "f m q l s", "exp log negative multiply")),
    Slip("argument of the tanh not halved", halves_and_tanh,
         ("pull = 0.5 * (1 - np.tanh(margins / 2))", "pull = 0.5 * (1 - np.tanh(margins))"),
         label=label("wrong-argument wrong-local-rule", "m q l f", "exp log negative")),
    Slip("one half before the tanh forgotten", halves_and_tanh,
         ("pull = 0.5 * (1 - np.tanh(margins / 2))", "pull = 1 - np.tanh(margins / 2)"),
         label=label("scale", "m q l f data", "exp log negative multiply sum divide")),
    Slip("penalty forgotten", halves_and_tanh, ("grad_w = grad_w + LAM * w.ravel()", ""),
         label=label("missing-term dropped-path", "w norm loss", "multiply sum add")),
    Slip("penalty under the data's minus", halves_and_tanh,
         ("grad_w = grad_w + LAM * w.ravel()", "grad_w = grad_w - LAM * w.ravel()"),
         label=label("sign", "w norm loss", "multiply sum add")),
    Slip("weights relative to the largest", halves_and_tanh,
         ("rel = s.ravel() / s.mean()", "rel = s.ravel() / s.max()"),
         label=label("scale", "data l q m f s", "sum divide multiply log exp negative")),
    Slip("intercept's minus lost", halves_and_tanh, ("grad_b = -signed.mean()", "grad_b = signed.mean()"),
         label=label("sign", "b f", "add")),
)
