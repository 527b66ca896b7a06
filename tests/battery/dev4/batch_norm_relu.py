"""A layer normalised over the batch, a ReLU and a softmax classifier."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("W1", "gamma", "beta", "W2", "b2")
EPS = 1e-2


def data(rng, dtype):
    shifts = rng.uniform(0.4, 1.1, size=4) * rng.choice([-1, 1], size=4)
    return {"X": rng.normal(size=(7, 5)).astype(dtype), "W1": rng.normal(size=(5, 4)).astype(dtype),
            "gamma": rng.uniform(0.5, 1.7, size=4).astype(dtype), "beta": shifts.astype(dtype),
            "W2": rng.normal(size=(4, 3)).astype(dtype), "b2": rng.normal(size=3).astype(dtype),
            "y": np.array([2, 0, 1, 1, 0, 2, 2])}


def loss(X, W1, gamma, beta, W2, b2, y):
    h = X @ W1
    mu = h.mean(axis=0)
    hc = h - mu
    var = (hc ** 2).mean(axis=0)
    std = np.sqrt(var + EPS)
    xhat = hc / std
    z = gamma * xhat + beta
    a = ad.relu(z)
    scores = a @ W2 + b2
    logp = ad.log_softmax(scores, axis=1)
    loss = -logp[np.arange(7), y].mean()
    return loss


def softmax_rows(s):
    e = np.exp(s - s.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def every_node_of_the_graph(X, W1, gamma, beta, W2, b2, y):
    n = X.shape[0]
    h = X @ W1
    mu = h.mean(axis=0)
    hmu = h - mu
    sq = hmu ** 2
    var = sq.mean(axis=0)
    sqrtvar = np.sqrt(var + EPS)
    ivar = 1 / sqrtvar
    xhat = hmu * ivar
    z = gamma * xhat + beta
    a = np.maximum(z, 0)
    probs = softmax_rows(a @ W2 + b2)
    dscores = probs.copy()
    dscores[np.arange(n), y] -= 1
    dscores /= n
    dW2 = a.T @ dscores
    db2 = dscores.sum(axis=0)
    da = dscores @ W2.T
    dz = da * (z > 0)
    dbeta = dz.sum(axis=0)
    dgamma = (dz * xhat).sum(axis=0)
    dxhat = dz * gamma
    divar = (dxhat * hmu).sum(axis=0)
    dhmu = dxhat * ivar
    dsqrtvar = -divar / sqrtvar ** 2
    dvar = 0.5 * dsqrtvar / sqrtvar
    dsq = np.ones_like(h) * dvar / n
    dhmu += 2 * hmu * dsq
    dmu = -dhmu.sum(axis=0)
    dh = dhmu.copy()
    dh += dmu / n
    dW1 = X.T @ dh
    return {"W1": dW1, "gamma": dgamma, "beta": dbeta, "W2": dW2, "b2": db2, "z": dz, "h": dh}


def the_formula_on_one_line(X, W1, gamma, beta, W2, b2, y):
    m = len(y)
    h = X @ W1
    s = np.sqrt(h.var(axis=0) + EPS)
    xh = (h - h.mean(axis=0)) / s
    a = np.maximum(gamma * xh + beta, 0)
    g = (softmax_rows(a @ W2 + b2) - np.eye(3)[y]) / m
    gz = (g @ W2.T) * (a > 0)
    gb, gg = gz.sum(0), (gz * xh).sum(0)
    gh = gamma / (m * s) * (m * gz - gb - xh * gg)
    return {"dW1": X.T @ gh, "dgamma": gg, "dbeta": gb, "dW2": a.T @ g, "db2": g.sum(0)}


def jacobian_of_each_feature(X, W1, gamma, beta, W2, b2, y):
    N, H = len(X), len(gamma)
    h = X @ W1
    centred = h - h.mean(axis=0)
    sigma = np.sqrt(np.mean(centred ** 2, axis=0) + EPS)
    normed = centred / sigma
    pre = normed * gamma + beta
    act = np.where(pre > 0, pre, 0)
    P = softmax_rows(act @ W2 + b2)
    T = np.zeros_like(P)
    for i in range(N):
        T[i, y[i]] = 1
    delta2 = (P - T) / N
    delta1 = delta2 @ W2.T
    delta1[pre <= 0] = 0
    grad_h = np.empty_like(h)
    for j in range(H):
        upstream = delta1[:, j] * gamma[j]
        J = np.eye(N) - 1 / N
        J = J - np.outer(normed[:, j], normed[:, j]) / N
        J = J / sigma[j]
        grad_h[:, j] = J @ upstream
    grad_W1 = np.zeros_like(W1)
    grad_W2 = np.zeros_like(W2)
    for i in range(N):
        grad_W1 += np.outer(X[i], grad_h[i])
        grad_W2 += np.outer(act[i], delta2[i])
    return {"W1": grad_W1, "gamma": np.sum(delta1 * normed, axis=0), "beta": np.sum(delta1, axis=0),
            "W2": grad_W2, "b2": np.sum(delta2, axis=0)}


def through_mean_and_variance(X, W1, gamma, beta, W2, b2, y):
    n = X.shape[0]
    h = np.dot(X, W1)
    mu = np.mean(h, axis=0)
    v = np.var(h, axis=0) + EPS
    x_hat = (h - mu) * v ** -0.5
    out = x_hat * gamma + beta
    mask = out > 0
    relu_out = out * mask
    p = softmax_rows(np.dot(relu_out, W2) + b2)
    value = -np.log(p[np.arange(n), y]).mean()
    p[np.arange(n), y] -= 1
    d_logits = p / n
    d_W2 = np.dot(relu_out.T, d_logits)
    d_b2 = d_logits.sum(axis=0)
    d_out = np.dot(d_logits, W2.T) * mask
    d_gamma = np.einsum("nj,nj->j", d_out, x_hat)
    d_beta = np.einsum("nj->j", d_out)
    d_xhat = d_out * gamma
    d_var = np.sum(d_xhat * (h - mu) * -0.5 * v ** -1.5, axis=0)
    d_mean = np.sum(d_xhat * -(v ** -0.5), axis=0)
    d_h = d_xhat * v ** -0.5
    d_h = d_h + d_var * 2 * (h - mu) / n
    d_h = d_h + d_mean / n
    d_W1 = np.dot(X.T, d_h)
    return {"W1": d_W1, "gamma": d_gamma, "beta": d_beta, "W2": d_W2, "b2": d_b2, "loss": value}


RIGHT = (every_node_of_the_graph, the_formula_on_one_line, jacobian_of_each_feature, through_mean_and_variance)

SLIPS = (
    Slip("gradient through the batch mean forgotten", every_node_of_the_graph, ("dh += dmu / n", ""),
         label=label("dropped-path treated-as-constant", "mu h hc", "mean subtract")),
    Slip("variance's branch replaces the one of the division", every_node_of_the_graph,
         ("dhmu += 2 * hmu * dsq", "dhmu = 2 * hmu * dsq"),
         label=label("overwritten-accumulation dropped-path", "hc xhat h", "divide subtract")),
    Slip("minus of the reciprocal lost", every_node_of_the_graph,
         ("dsqrtvar = -divar / sqrtvar ** 2", "dsqrtvar = divar / sqrtvar ** 2"),
         label=label("sign", "std var hc xhat", "divide sqrt mean square add")),
    Slip("one half of the square root lost", every_node_of_the_graph,
         ("dvar = 0.5 * dsqrtvar / sqrtvar", "dvar = dsqrtvar / sqrtvar"),
         label=label("scale wrong-local-rule", "std var hc xhat", "sqrt divide mean square add")),
    Slip("square root's own value in the numerator", every_node_of_the_graph,
         ("dvar = 0.5 * dsqrtvar / sqrtvar", "dvar = 0.5 * dsqrtvar * sqrtvar"),
         label=label("wrong-local-rule wrong-argument wrong-operand", "std var", "sqrt")),
    Slip("gamma's gradient taken with the values before division by the deviation", every_node_of_the_graph,
         ("dgamma = (dz * xhat).sum(axis=0)", "dgamma = (dz * hmu).sum(axis=0)"),
         label=label("wrong-operand", "gamma z xhat hc", "multiply")),
    Slip("beta's gradient taken before the ReLU's mask", every_node_of_the_graph,
         ("dbeta = dz.sum(axis=0)", "dbeta = da.sum(axis=0)"),
         label=label("missing-local-derivative wrong-operand", "beta z a", "relu add")),
    Slip("ReLU's mask by the normalised values rather than the scaled and shifted ones", every_node_of_the_graph,
         ("dz = da * (z > 0)", "dz = da * (xhat > 0)"),
         label=label("wrong-argument", "z a xhat", "relu")),
    Slip("second weights' gradient with what went into the ReLU", every_node_of_the_graph,
         ("dW2 = a.T @ dscores", "dW2 = z.T @ dscores"),
         label=label("wrong-operand stale-value", "W2 scores a z", "matmul")),
    Slip("mean of the squares passed back as a sum", every_node_of_the_graph,
         ("dsq = np.ones_like(h) * dvar / n", "dsq = np.ones_like(h) * dvar"),
         label=label("scale", "var std hc", "mean square add sqrt")),
    Slip("mean and variance as constants", the_formula_on_one_line,
         ("gh = gamma / (m * s) * (m * gz - gb - xh * gg)", "gh = gamma / s * gz"),
         label=label("treated-as-constant dropped-path", "mu var std hc xhat h", "mean sqrt divide subtract")),
    Slip("m forgotten before the direct term of the formula", the_formula_on_one_line,
         ("gh = gamma / (m * s) * (m * gz - gb - xh * gg)", "gh = gamma / (m * s) * (gz - gb - xh * gg)"),
         label=label("scale", "h hc xhat", "subtract divide")),
    Slip("last term of the formula added", the_formula_on_one_line,
         ("gh = gamma / (m * s) * (m * gz - gb - xh * gg)", "gh = gamma / (m * s) * (m * gz - gb + xh * gg)"),
         label=label("sign", "var std hc xhat h", "mean sqrt divide square add")),
    Slip("formula's term of the mean with gamma's gradient and that of the variance with beta's",
         the_formula_on_one_line,
         ("gh = gamma / (m * s) * (m * gz - gb - xh * gg)", "gh = gamma / (m * s) * (m * gz - gg - xh * gb)"),
         label=label("swapped wrong-operand wrong-local-rule",
                     "mu var std hc xhat h gamma beta", "mean divide subtract")),
    Slip("sample variance with m - 1 in the deviation", the_formula_on_one_line,
         ("s = np.sqrt(h.var(axis=0) + EPS)", "s = np.sqrt(h.var(axis=0, ddof=1) + EPS)"),
         label=label("wrong-argument wrong-operand scale wrong-local-rule", "std var xhat hc", "mean sqrt divide add")),
    Slip("no epsilon", the_formula_on_one_line,
         ("s = np.sqrt(h.var(axis=0) + EPS)", "s = np.sqrt(h.var(axis=0))"),
         label=label("wrong-argument wrong-operand wrong-local-rule", "var std xhat", "add sqrt divide")),
    Slip("gradients of gamma and beta returned for each other", the_formula_on_one_line,
         ("gb, gg = gz.sum(0), (gz * xh).sum(0)", "gg, gb = gz.sum(0), (gz * xh).sum(0)"),
         ("gh = gamma / (m * s) * (m * gz - gb - xh * gg)", "gh = gamma / (m * s) * (m * gz - gg - xh * gb)"),
         label=label("swapped", "gamma beta z", "multiply add")),
    Slip("gamma not applied on the way back to the normalised values", jacobian_of_each_feature,
         ("upstream = delta1[:, j] * gamma[j]", "upstream = delta1[:, j]"),
         label=label("missing-local-derivative wrong-operand", "xhat z gamma", "multiply")),
    Slip("Jacobian's outer product of centred instead of normalised values", jacobian_of_each_feature,
         ("J = J - np.outer(normed[:, j], normed[:, j]) / N", "J = J - np.outer(centred[:, j], centred[:, j]) / N"),
         label=label("wrong-operand wrong-argument wrong-local-rule",
                     "var std hc xhat h", "divide mean square sqrt")),
    Slip("Jacobian without the variance's part", jacobian_of_each_feature,
         ("J = J - np.outer(normed[:, j], normed[:, j]) / N", ""),
         label=label("treated-as-constant dropped-path", "var std hc xhat h", "sqrt mean divide square")),
    Slip("Jacobian divided by the variance instead of the deviation", jacobian_of_each_feature,
         ("J = J / sigma[j]", "J = J / sigma[j] ** 2"),
         label=label("wrong-operand wrong-argument wrong-local-rule double-derivative", "hc xhat h std", "divide")),
    Slip("ReLU has no derivative", jacobian_of_each_feature, ("delta1[pre <= 0] = 0", ""),
         label=label("missing-local-derivative", "z a", "relu")),
    Slip("sum over the batch instead of mean, and first weights from the last sample only", jacobian_of_each_feature,
         ("delta2 = (P - T) / N", "delta2 = P - T"),
         ("grad_W1 += np.outer(X[i], grad_h[i])", "grad_W1 = np.outer(X[i], grad_h[i])"),
         label=label("two", "loss logp scores W1 h", "mean negative getitem log_softmax matmul")),
    Slip("exponent -1/2 kept in the derivative by the variance", through_mean_and_variance,
         ("d_var = np.sum(d_xhat * (h - mu) * -0.5 * v ** -1.5, axis=0)",
          "d_var = np.sum(d_xhat * (h - mu) * -0.5 * v ** -0.5, axis=0)"),
         label=label("wrong-local-rule wrong-argument wrong-operand", "std var xhat", "sqrt divide")),
    Slip("variance's derivative with the values as they came, not centred", through_mean_and_variance,
         ("d_var = np.sum(d_xhat * (h - mu) * -0.5 * v ** -1.5, axis=0)",
          "d_var = np.sum(d_xhat * h * -0.5 * v ** -1.5, axis=0)"),
         label=label("wrong-operand wrong-argument stale-value", "std var xhat hc h", "divide square")),
    Slip("plus for the mean's branch", through_mean_and_variance,
         ("d_mean = np.sum(d_xhat * -(v ** -0.5), axis=0)", "d_mean = np.sum(d_xhat * v ** -0.5, axis=0)"),
         label=label("sign", "mu h hc", "mean subtract")),
    Slip("mean's branch averaged and averaged again", through_mean_and_variance,
         ("d_mean = np.sum(d_xhat * -(v ** -0.5), axis=0)", "d_mean = np.mean(d_xhat * -(v ** -0.5), axis=0)"),
         label=label("scale", "mu h hc", "mean subtract")),
    Slip("labels' one subtracted after the division by n", through_mean_and_variance,
         ("p[np.arange(n), y] -= 1", ""),
         ("d_logits = p / n", "d_logits = p / n\nd_logits[np.arange(n), y] -= 1"),
         label=label("scale wrong-local-rule", "scores logp loss", "log_softmax getitem mean negative")),
)
