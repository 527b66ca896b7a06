"""A regression: a linear layer, layer norm with gain and bias, relu, a linear output, the mean squared error."""

import numpy as np

from tests.battery.slips import Slip, label

PARAMETERS = ("W", "gamma", "beta", "V", "c")

EPS = 0.05


def data(rng, dtype):
    leaves = {"X": rng.normal(size=(7, 5)), "y": rng.normal(size=(7, 2)), "W": rng.normal(size=(5, 6)),
              "gamma": 1 + 0.4 * rng.normal(size=6), "beta": 0.4 * rng.normal(size=6),
              "V": rng.normal(size=(6, 2)), "c": rng.normal(size=2)}
    return {k: v.astype(dtype) for k, v in leaves.items()}


def loss(X, y, W, gamma, beta, V, c):
    h = X @ W
    mu = np.mean(h, axis=-1, keepdims=True)
    centred = h - mu
    var = np.mean(centred ** 2, axis=-1, keepdims=True)
    std = np.sqrt(var + EPS)
    xhat = centred / std
    n = gamma * xhat + beta
    r = np.maximum(n, 0)
    out = r @ V + c
    diff = out - y
    mse = np.mean(diff ** 2)
    return mse


def closed_form(X, y, W, gamma, beta, V, c):
    h = X @ W
    xc = h - h.mean(1, keepdims=True)
    istd = 1 / np.sqrt((xc ** 2).mean(1, keepdims=True) + EPS)
    xhat = xc * istd
    n = gamma * xhat + beta
    r = np.maximum(n, 0)
    dout = 2 * (r @ V + c - y) / y.size
    dV = r.T @ dout
    dc = dout.sum(0)
    dn = dout @ V.T * (n > 0)
    dgamma = (dn * xhat).sum(0)
    dbeta = dn.sum(0)
    dxhat = dn * gamma
    m1 = dxhat.mean(1, keepdims=True)
    m2 = (dxhat * xhat).mean(1, keepdims=True)
    dh = istd * (dxhat - m1 - xhat * m2)
    dW = X.T @ dh
    return {"W": dW, "gamma": dgamma, "beta": dbeta, "V": dV, "c": dc}


def node_by_node(X, y, W, gamma, beta, V, c):
    B, K = y.shape
    h = X @ W
    D = h.shape[1]
    mu = h.sum(axis=1, keepdims=True) / D
    centred = h - mu
    sq = centred ** 2
    var = sq.sum(axis=1, keepdims=True) / D
    std = np.sqrt(var + EPS)
    inv = 1.0 / std
    xhat = centred * inv
    n = gamma * xhat + beta
    mask = (n > 0).astype(n.dtype)
    r = n * mask
    diff = r @ V + c - y
    # output
    g_out = (2.0 / (B * K)) * diff
    g_c = np.sum(g_out, axis=0)
    g_V = np.dot(r.T, g_out)
    g_r = np.dot(g_out, V.T)
    g_n = g_r * mask
    # gain and bias
    g_beta = np.sum(g_n, axis=0)
    g_gamma = np.sum(g_n * xhat, axis=0)
    g_xhat = g_n * gamma
    # normalisation
    g_inv = np.sum(g_xhat * centred, axis=1, keepdims=True)
    g_centred = g_xhat * inv
    g_std = -g_inv / std ** 2
    g_var = g_std * 0.5 / std
    g_sq = np.ones_like(h) * g_var / D
    g_centred += 2 * centred * g_sq
    g_mu = -np.sum(g_centred, axis=1, keepdims=True)
    g_h = g_centred.copy()
    g_h += np.ones_like(h) * g_mu / D
    g_W = np.dot(X.T, g_h)
    return {"W": g_W, "gamma": g_gamma, "beta": g_beta, "V": g_V, "c": g_c,
            "h": g_h, "n": g_n, "r": g_r, "out": g_out}


def row_jacobians(X, y, W, gamma, beta, V, c):
    dW, dV = np.zeros(W.shape), np.zeros(V.shape)
    dgamma, dbeta, dc = np.zeros(6), np.zeros(6), np.zeros(2)
    rows, d = len(X), len(gamma)
    P = np.eye(d) - 1 / d
    for x, t in zip(X, y):
        h = x @ W
        u = P @ h
        s = np.sqrt(u @ u / d + EPS)
        xhat = u / s
        n = gamma * xhat + beta
        r = np.where(n > 0, n, 0)
        err = (r @ V + c - t) / rows
        dV += np.outer(r, err)
        dc += err
        dn = np.where(n > 0, V @ err, 0)
        dgamma += dn * xhat
        dbeta += dn
        J = P / s - np.outer(u, u) / (d * s ** 3)
        dh = J @ (gamma * dn)
        dW += np.outer(x, dh)
    return {"dW": dW, "dgamma": dgamma, "dbeta": dbeta, "dV": dV, "dc": dc}


def norm_forward(h, gamma, beta):
    mu = h.mean(axis=1)
    var = h.var(axis=1)
    xhat = ((h.T - mu) / np.sqrt(var + EPS)).T
    return gamma * xhat + beta, (xhat, gamma, var)


def helper_functions(X, y, W, gamma, beta, V, c):
    def norm_backward(dn, cache):
        xhat, g, v = cache
        N = xhat.shape[1]
        dg = np.einsum("nd,nd->d", dn, xhat)
        db = np.einsum("nd->d", dn)
        dx = dn * g
        total = dx.sum(axis=1, keepdims=True)
        along = np.einsum("nd,nd->n", dx, xhat)[:, None]
        out = N * dx - total - xhat * along
        return out / (N * np.sqrt(v + EPS)[:, None]), dg, db

    n, cache = norm_forward(X @ W, gamma, beta)
    r = n.clip(min=0)
    pred = r @ V + c
    dpred = 2 * (pred - y) / (len(y) * 2)
    dr = np.einsum("nk,dk->nd", dpred, V)
    dr[n <= 0] = 0
    dh, dgamma, dbeta = norm_backward(dr, cache)
    return {"W": np.einsum("ni,nd->id", X, dh), "gamma": dgamma, "beta": dbeta,
            "V": np.einsum("nd,nk->dk", r, dpred), "c": np.einsum("nk->k", dpred)}


RIGHT = (closed_form, node_by_node, row_jacobians, helper_functions)

SLIPS = (
    Slip("the mean's part of the norm's gradient forgotten", closed_form,
         ("dh = istd * (dxhat - m1 - xhat * m2)", "dh = istd * (dxhat - xhat * m2)"),
         label=label("dropped-path treated-as-constant", "mu h centred", "mean subtract")),
    Slip("statistics treated as constants", closed_form,
         ("dh = istd * (dxhat - m1 - xhat * m2)", "dh = istd * dxhat"),
         label=label("treated-as-constant dropped-path",
                     "mu var std h centred xhat", "mean sqrt divide subtract square")),
    Slip("means over the batch as in batch norm", closed_form,
         ("m1 = dxhat.mean(1, keepdims=True)", "m1 = dxhat.mean(0, keepdims=True)"),
         ("m2 = (dxhat * xhat).mean(1, keepdims=True)", "m2 = (dxhat * xhat).mean(0, keepdims=True)"),
         label=label("wrong-axis", "mu var h centred xhat", "mean")),
    Slip("gain left out before the norm", closed_form, ("dxhat = dn * gamma", "dxhat = dn"),
         label=label("missing-local-derivative", "xhat n gamma", "multiply")),
    Slip("gain's gradient with the centred input", closed_form,
         ("dgamma = (dn * xhat).sum(0)", "dgamma = (dn * xc).sum(0)"),
         label=label("wrong-operand stale-value", "gamma", "multiply")),
    Slip("relu mask from the normalised value", closed_form,
         ("dn = dout @ V.T * (n > 0)", "dn = dout @ V.T * (xhat > 0)"),
         label=label("wrong-argument wrong-operand", "r n", "maximum")),
    Slip("divided by the batch only, not by the outputs", closed_form,
         ("dout = 2 * (r @ V + c - y) / y.size", "dout = 2 * (r @ V + c - y) / len(y)"),
         label=label("scale", "mse diff out", "mean square subtract")),
    Slip("epsilon outside the root", closed_form,
         ("istd = 1 / np.sqrt((xc ** 2).mean(1, keepdims=True) + EPS)",
          "istd = 1 / (np.sqrt((xc ** 2).mean(1, keepdims=True)) + EPS)"),
         label=label("wrong-argument wrong-operand wrong-local-rule stale-value", "std var xhat", "sqrt add divide")),
    Slip("plus where the variance's part is taken off", closed_form,
         ("dh = istd * (dxhat - m1 - xhat * m2)", "dh = istd * (dxhat - m1 + xhat * m2)"),
         label=label("sign", "var std xhat h centred", "divide sqrt mean square")),
    Slip("two forgotten at the squared error", node_by_node,
         ("g_out = (2.0 / (B * K)) * diff", "g_out = (1.0 / (B * K)) * diff"),
         label=label("scale wrong-local-rule", "mse diff out", "mean square subtract")),
    Slip("variance's path overwrites the direct one", node_by_node,
         ("g_centred += 2 * centred * g_sq", "g_centred = 2 * centred * g_sq"),
         label=label("overwritten-accumulation dropped-path", "centred xhat", "divide subtract square")),
    Slip("derivative of one over std without its minus", node_by_node,
         ("g_std = -g_inv / std ** 2", "g_std = g_inv / std ** 2"),
         label=label("sign wrong-local-rule", "std var xhat centred", "divide sqrt mean square add")),
    Slip("derivative of one over std not squared", node_by_node,
         ("g_std = -g_inv / std ** 2", "g_std = -g_inv / std"),
         label=label("wrong-local-rule missing-local-derivative", "std xhat var", "divide sqrt")),
    Slip("root's one half forgotten", node_by_node, ("g_var = g_std * 0.5 / std", "g_var = g_std / std"),
         label=label("scale wrong-local-rule", "std var xhat centred", "sqrt mean square divide add")),
    Slip("square differentiated without the two", node_by_node,
         ("g_centred += 2 * centred * g_sq", "g_centred += centred * g_sq"),
         label=label("scale wrong-local-rule", "centred var std xhat", "square mean sqrt divide add")),
    Slip("mean's gradient summed from the normalised value's", node_by_node,
         ("g_mu = -np.sum(g_centred, axis=1, keepdims=True)", "g_mu = -np.sum(g_xhat, axis=1, keepdims=True)"),
         label=label("missing-local-derivative wrong-operand stale-value", "mu centred", "subtract divide")),
    Slip("mean's gradient not divided by the width", node_by_node,
         ("g_h += np.ones_like(h) * g_mu / D", "g_h += np.ones_like(h) * g_mu"),
         label=label("scale missing-local-derivative", "mu h centred", "mean subtract")),
    Slip("relu's mask forgotten for the bias", node_by_node,
         ("g_beta = np.sum(g_n, axis=0)", "g_beta = np.sum(g_r, axis=0)"),
         label=label("missing-local-derivative wrong-operand stale-value", "beta", "maximum add")),
    Slip("output weights see the values before relu", node_by_node,
         ("g_V = np.dot(r.T, g_out)", "g_V = np.dot(n.T, g_out)"),
         label=label("wrong-operand stale-value", "V out", "matmul")),
    Slip("gain's gradient summed over the features too", node_by_node,
         ("g_gamma = np.sum(g_n * xhat, axis=0)", "g_gamma = np.full(D, np.sum(g_n * xhat))"),
         label=label("wrong-axis", "gamma", "multiply")),
    Slip("cube of std written as a square in the Jacobian", row_jacobians,
         ("J = P / s - np.outer(u, u) / (d * s ** 3)", "J = P / s - np.outer(u, u) / (d * s ** 2)"),
         label=label("wrong-local-rule missing-local-derivative", "std xhat var", "divide sqrt")),
    Slip("identity instead of the centring matrix", row_jacobians,
         ("J = P / s - np.outer(u, u) / (d * s ** 3)", "J = np.eye(d) / s - np.outer(u, u) / (d * s ** 3)"),
         label=label("dropped-path treated-as-constant", "mu h centred", "mean subtract")),
    Slip("raw input in place of the centred one", row_jacobians,
         ("J = P / s - np.outer(u, u) / (d * s ** 3)", "J = P / s - np.outer(u, h) / (d * s ** 3)"),
         label=label("wrong-operand wrong-argument stale-value", "std xhat centred var", "divide sqrt multiply")),
    Slip("gain applied twice", row_jacobians, ("dgamma += dn * xhat", "dgamma += dn * gamma * xhat"),
         label=label("wrong-local-rule wrong-operand double-derivative stale-value", "gamma n", "multiply")),
    Slip("only the last row's input weights", row_jacobians, ("dW += np.outer(x, dh)", "dW = np.outer(x, dh)"),
         label=label("overwritten-accumulation missing-broadcast-reduction dropped-path", "W h", "matmul")),
    Slip("std forgotten at the end of the norm's backward", helper_functions,
         ("return out / (N * np.sqrt(v + EPS)[:, None]), dg, db", "return out / N, dg, db"),
         label=label("missing-local-derivative wrong-local-rule", "xhat centred std h", "divide")),
    Slip("divided by the variance instead of its root", helper_functions,
         ("return out / (N * np.sqrt(v + EPS)[:, None]), dg, db", "return out / (N * (v + EPS)[:, None]), dg, db"),
         label=label("wrong-argument wrong-local-rule double-derivative", "xhat centred std h", "divide sqrt")),
    Slip("factor N forgotten in the helper", helper_functions,
         ("out = N * dx - total - xhat * along", "out = dx - total - xhat * along"),
         label=label("scale", "xhat centred h", "divide subtract")),
    Slip("relu's zeros not set", helper_functions, ("dr[n <= 0] = 0", ""),
         label=label("missing-local-derivative", "r n", "maximum")),
    Slip("norm's projection with the gradient before the gain, and the bias averaged", helper_functions,
         ('along = np.einsum("nd,nd->n", dx, xhat)[:, None]', 'along = np.einsum("nd,nd->n", dn, xhat)[:, None]'),
         ('db = np.einsum("nd->d", dn)', 'db = np.einsum("nd->d", dn) / len(dn)'),
         label=label("two", "std var xhat n gamma beta", "divide multiply sqrt mean add")),
)
