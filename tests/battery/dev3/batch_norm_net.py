"""Batch normalisation of a hidden layer in columns, a sigmoid, and squared errors of a linear readout."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("W", "gain", "bias", "V")
EPS = 0.05


def data(rng, dtype):
    return {"X": rng.normal(size=(4, 9)).astype(dtype), "W": rng.normal(size=(6, 4)).astype(dtype),
            "gain": (1 + 0.4 * rng.normal(size=(6, 1))).astype(dtype),
            "bias": (0.5 * rng.normal(size=(6, 1))).astype(dtype), "V": rng.normal(size=(3, 6)).astype(dtype),
            "T": rng.normal(size=(3, 9)).astype(dtype)}


def loss(X, W, gain, bias, V, T):
    u = W @ X
    mu = u.mean(axis=1, keepdims=True)
    d = u - mu
    var = np.mean(d ** 2, axis=1, keepdims=True)
    std = np.sqrt(var + EPS)
    xhat = d / std
    v = gain * xhat + bias
    a = ad.sigmoid(v)
    out = V @ a
    r = out - T
    loss = (r * r).sum() / (2 * 9)
    return loss


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def node_by_node(X, W, gain, bias, V, T):
    m = X.shape[1]
    u = W @ X
    mu = u.mean(axis=1, keepdims=True)
    d = u - mu
    sq = d ** 2
    var = sq.mean(axis=1, keepdims=True)
    std = np.sqrt(var + EPS)
    inv = 1 / std
    xhat = d * inv
    v = gain * xhat + bias
    a = sigmoid(v)
    r = V @ a - T
    dout = r / m
    dV = dout @ a.T
    da = V.T @ dout
    dv = da * a * (1 - a)
    dbias = dv.sum(axis=1, keepdims=True)
    dgain = (dv * xhat).sum(axis=1, keepdims=True)
    dxhat = dv * gain
    dinv = (dxhat * d).sum(axis=1, keepdims=True)
    dd1 = dxhat * inv
    dstd = -dinv / std ** 2
    dvar = 0.5 * dstd / std
    dsq = np.ones_like(u) * dvar / m
    dd2 = 2 * d * dsq
    dd = dd1 + dd2
    dmu = -dd.sum(axis=1, keepdims=True)
    du = dd + dmu / m
    dW = du @ X.T
    return {"dW": dW, "dgain": dgain, "dbias": dbias, "dV": dV}


def closed_form(X, W, gain, bias, V, T):
    n = T.shape[1]
    u = np.dot(W, X)
    std = np.sqrt(np.var(u, axis=1, keepdims=True) + EPS)
    x_hat = (u - u.mean(axis=1, keepdims=True)) / std
    act = sigmoid(gain * x_hat + bias)
    err = (np.dot(V, act) - T) / n
    delta = np.dot(V.T, err) * act * (1 - act)
    sum_delta = delta.sum(axis=1, keepdims=True)
    sum_delta_x = np.sum(delta * x_hat, axis=1, keepdims=True)
    delta_u = gain / (n * std) * (n * delta - sum_delta - x_hat * sum_delta_x)
    return {"W": np.dot(delta_u, X.T), "gain": sum_delta_x, "bias": sum_delta, "V": np.dot(err, act.T)}


def feature_by_feature(X, W, gain, bias, V, T):
    m = X.shape[1]
    H = len(W)
    normed, sigmas, acts = np.zeros((H, m)), np.zeros(H), np.zeros((H, m))
    for k in range(H):
        row = W[k] @ X
        sigmas[k] = np.sqrt(row.var() + EPS)
        normed[k] = (row - row.mean()) / sigmas[k]
        acts[k] = sigmoid(gain[k] * normed[k] + bias[k])
    err = V @ acts - T
    g_W, g_gain, g_bias, g_V = np.zeros_like(W), np.zeros_like(gain), np.zeros_like(bias), np.zeros_like(V)
    for k in range(H):
        g_V[:, k] = err @ acts[k] / m
        g_v = V[:, k] @ err / m * acts[k] * (1 - acts[k])
        g_bias[k] = g_v.sum()
        g_gain[k] = g_v @ normed[k]
        J = (np.eye(m) - 1 / m - np.outer(normed[k], normed[k]) / m) / sigmas[k]
        g_u = J.T @ (gain[k] * g_v)
        g_W[k] = X @ g_u
    return {"W": g_W, "gain": g_gain, "bias": g_bias, "V": g_V}


def as_in_the_paper(X, W, gain, bias, V, T):
    def statistics(u):
        return np.mean(u, axis=1)[:, None], np.var(u, axis=1)[:, None]

    u = W @ X
    mean, variance = statistics(u)
    norm = (u - mean) * (variance + EPS) ** -0.5
    shifted = gain * norm + bias
    out = sigmoid(shifted)
    batch = u.shape[1]
    grad_y = (V @ out - T) / batch
    grad_shifted = (V.T @ grad_y) * sigmoid(shifted) * sigmoid(-shifted)
    grad_norm = grad_shifted * gain
    grad_variance = np.sum(grad_norm * (u - mean) * -0.5 * (variance + EPS) ** -1.5, axis=1, keepdims=True)
    grad_mean = -np.sum(grad_norm, axis=1, keepdims=True) * (variance + EPS) ** -0.5
    grad_u = grad_norm * (variance + EPS) ** -0.5
    grad_u += grad_variance * 2 * (u - mean) / batch
    grad_u += grad_mean / batch
    grad_gain = np.einsum("hm,hm->h", grad_shifted, norm)[:, None]
    grad_bias = np.einsum("hm->h", grad_shifted)[:, None]
    return {"W": np.einsum("hm,dm->hd", grad_u, X), "gain": grad_gain, "bias": grad_bias,
            "V": np.einsum("om,hm->oh", grad_y, out), "v": grad_shifted, "xhat": grad_norm}


RIGHT = (node_by_node, closed_form, feature_by_feature, as_in_the_paper)

SLIPS = (
    Slip("variance treated as a constant", node_by_node, ("dd = dd1 + dd2", "dd = dd1"),
         label=label("treated-as-constant dropped-path", "var std d xhat", "divide sqrt add mean square")),
    Slip("square root's half forgotten", node_by_node, ("dvar = 0.5 * dstd / std", "dvar = dstd / std"),
         label=label("scale wrong-local-rule", "var std d xhat", "sqrt divide mean square")),
    Slip("inverse's derivative without the minus", node_by_node, ("dstd = -dinv / std ** 2", "dstd = dinv / std ** 2"),
         label=label("sign", "std xhat var d", "divide sqrt mean square")),
    Slip("inverse's derivative by std not squared", node_by_node, ("dstd = -dinv / std ** 2", "dstd = -dinv / std"),
         label=label("wrong-local-rule missing-local-derivative wrong-argument", "std xhat var", "divide sqrt")),
    Slip("mean's path added whole to every sample", node_by_node, ("du = dd + dmu / m", "du = dd + dmu"),
         label=label("scale missing-local-derivative wrong-local-rule", "mu u d", "mean subtract")),
    Slip("gain's gradient with v for xhat", node_by_node,
         ("dgain = (dv * xhat).sum(axis=1, keepdims=True)", "dgain = (dv * v).sum(axis=1, keepdims=True)"),
         label=label("wrong-operand wrong-argument", "gain v xhat", "multiply")),
    Slip("two of the square forgotten at d", node_by_node, ("dd2 = 2 * d * dsq", "dd2 = d * dsq"),
         label=label("scale wrong-local-rule", "d var std xhat", "square mean sqrt divide")),
    Slip("square's derivative at the normed value", node_by_node, ("dd2 = 2 * d * dsq", "dd2 = 2 * xhat * dsq"),
         label=label("wrong-argument wrong-operand wrong-local-rule", "d var std xhat", "square divide")),
    Slip("gain not passed through", node_by_node, ("dxhat = dv * gain", "dxhat = dv"),
         label=label("missing-local-derivative wrong-operand", "xhat v gain", "multiply")),
    Slip("two of the square kept and the loss's half dropped", closed_form,
         ("err = (np.dot(V, act) - T) / n", "err = 2 * (np.dot(V, act) - T) / n"),
         label=label("scale", "r out loss", "multiply sum divide subtract")),
    Slip("mean's term left out of the closed form", closed_form,
         ("delta_u = gain / (n * std) * (n * delta - sum_delta - x_hat * sum_delta_x)",
          "delta_u = gain / (n * std) * (n * delta - x_hat * sum_delta_x)"),
         label=label("treated-as-constant dropped-path", "mu u d", "mean subtract")),
    Slip("closed form with plus at the variance term", closed_form,
         ("delta_u = gain / (n * std) * (n * delta - sum_delta - x_hat * sum_delta_x)",
          "delta_u = gain / (n * std) * (n * delta - sum_delta + x_hat * sum_delta_x)"),
         label=label("sign", "var std d xhat", "divide sqrt mean square")),
    Slip("std forgotten in the closed form", closed_form,
         ("delta_u = gain / (n * std) * (n * delta - sum_delta - x_hat * sum_delta_x)",
          "delta_u = gain / n * (n * delta - sum_delta - x_hat * sum_delta_x)"),
         label=label("missing-local-derivative wrong-local-rule", "xhat d u std", "divide")),
    Slip("sums over features instead of samples in the closed form", closed_form,
         ("delta_u = gain / (n * std) * (n * delta - sum_delta - x_hat * sum_delta_x)",
          "delta_u = gain / (n * std) * (n * delta - delta.sum(axis=0, keepdims=True) - x_hat * sum_delta_x)"),
         label=label("wrong-axis", "mu u d", "mean subtract sum")),
    Slip("epsilon left out of the std", closed_form,
         ("std = np.sqrt(np.var(u, axis=1, keepdims=True) + EPS)", "std = np.sqrt(np.var(u, axis=1, keepdims=True))"),
         label=label("wrong-argument wrong-operand wrong-local-rule", "std var xhat", "sqrt add divide")),
    Slip("gain and bias gradients returned for each other", closed_form,
         ('return {"W": np.dot(delta_u, X.T), "gain": sum_delta_x, "bias": sum_delta, "V": np.dot(err, act.T)}',
          'return {"W": np.dot(delta_u, X.T), "gain": sum_delta, "bias": sum_delta_x, "V": np.dot(err, act.T)}'),
         label=label("swapped", "gain bias v", "multiply add")),
    Slip("unbiased variance, over m - 1", feature_by_feature,
         ("J = (np.eye(m) - 1 / m - np.outer(normed[k], normed[k]) / m) / sigmas[k]",
          "J = (np.eye(m) - 1 / m - np.outer(normed[k], normed[k]) / (m - 1)) / sigmas[k]"),
         label=label("scale", "var std d xhat", "mean sqrt divide square")),
    Slip("divided by the variance instead of its root", feature_by_feature,
         ("J = (np.eye(m) - 1 / m - np.outer(normed[k], normed[k]) / m) / sigmas[k]",
          "J = (np.eye(m) - 1 / m - np.outer(normed[k], normed[k]) / m) / sigmas[k] ** 2"),
         label=label("wrong-local-rule wrong-argument wrong-operand double-derivative", "xhat d u std", "divide")),
    Slip("sigmoid's derivative forgotten in each feature", feature_by_feature,
         ("g_v = V[:, k] @ err / m * acts[k] * (1 - acts[k])", "g_v = V[:, k] @ err / m"),
         label=label("missing-local-derivative", "v a", "sigmoid")),
    Slip("sigmoid's derivative evaluated at the normed value", feature_by_feature,
         ("g_v = V[:, k] @ err / m * acts[k] * (1 - acts[k])",
          "g_v = V[:, k] @ err / m * sigmoid(normed[k]) * (1 - sigmoid(normed[k]))"),
         label=label("wrong-argument", "v a xhat", "sigmoid")),
    Slip("readout's gradient not averaged, and bias averaged", feature_by_feature,
         ("g_V[:, k] = err @ acts[k] / m", "g_V[:, k] = err @ acts[k]"),
         ("g_bias[k] = g_v.sum()", "g_bias[k] = g_v.mean()"),
         label=label("two", "V out r bias v", "matmul add")),
    Slip("readout's weights from the values before the sigmoid", as_in_the_paper,
         ('"V": np.einsum("om,hm->oh", grad_y, out), "v": grad_shifted, "xhat": grad_norm}',
          '"V": np.einsum("om,hm->oh", grad_y, shifted), "v": grad_shifted, "xhat": grad_norm}'),
         label=label("wrong-operand wrong-argument", "V a v out", "matmul")),
    Slip("variance power minus one half copied for minus three halves", as_in_the_paper,
         ("grad_variance = np.sum(grad_norm * (u - mean) * -0.5 * (variance + EPS) ** -1.5, axis=1, keepdims=True)",
          "grad_variance = np.sum(grad_norm * (u - mean) * -0.5 * (variance + EPS) ** -0.5, axis=1, keepdims=True)"),
         label=label("wrong-local-rule wrong-argument missing-local-derivative", "var std xhat", "sqrt divide")),
    Slip("mean's path forgets the gain", as_in_the_paper,
         ("grad_mean = -np.sum(grad_norm, axis=1, keepdims=True) * (variance + EPS) ** -0.5",
          "grad_mean = -np.sum(grad_shifted, axis=1, keepdims=True) * (variance + EPS) ** -0.5"),
         label=label("missing-local-derivative wrong-operand", "mu xhat gain v d u", "multiply mean subtract")),
    Slip("mean's part overwrites the others", as_in_the_paper,
         ("grad_u += grad_mean / batch", "grad_u = grad_u * 0 + grad_mean / batch"),
         label=label("overwritten-accumulation dropped-path", "u d mu xhat", "subtract mean divide")),
    Slip("direct part overwritten by the variance's", as_in_the_paper,
         ("grad_u += grad_variance * 2 * (u - mean) / batch", "grad_u = grad_variance * 2 * (u - mean) / batch"),
         label=label("overwritten-accumulation dropped-path", "u d xhat", "divide subtract")),
)
