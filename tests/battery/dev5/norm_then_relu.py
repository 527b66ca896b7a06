"""Batch norm in front of a relu layer, squared error."""

import numpy as np

from tests.battery.slips import Slip, label

PARAMETERS = ("W", "gamma", "beta", "V", "c")


def data(rng, dtype):
    def normal(*shape):
        return rng.normal(size=shape).astype(dtype)
    return {"x": normal(7, 5), "t": normal(7, 3), "W": normal(5, 4), "gamma": (1 + 0.4 * normal(4)).astype(dtype),
            "beta": 1.2 * normal(4), "V": normal(4, 3), "c": normal(3)}


def loss(x, t, W, gamma, beta, V, c):
    s = x @ W
    mu = s.mean(axis=0)
    centred = s - mu
    var = (centred ** 2).mean(axis=0)
    std = np.sqrt(var + 1e-2)
    shat = centred / std
    n = gamma * shat + beta
    h = n * (n > 0)
    y = h @ V + c
    e = y - t
    loss = 0.5 * (e ** 2).sum(axis=1).mean()
    return loss


def forward(x, W, gamma, beta, V, c):
    s = x @ W
    centred = s - s.mean(0)
    std = np.sqrt(s.var(0) + 1e-2)
    shat = centred / std
    n = gamma * shat + beta
    h = np.maximum(n, 0)
    return s, centred, std, shat, n, h, h @ V + c


def closed_form(x, t, W, gamma, beta, V, c):
    s, centred, std, shat, n, h, y = forward(x, W, gamma, beta, V, c)
    N = x.shape[0]
    dy = (y - t) / N
    dV = h.T @ dy
    dc = dy.sum(0)
    dn = (dy @ V.T) * (n > 0)
    dgamma = (dn * shat).sum(0)
    dbeta = dn.sum(0)
    ds = gamma / (N * std) * (N * dn - dbeta - shat * dgamma)
    dW = x.T @ ds
    return {"W": dW, "gamma": dgamma, "beta": dbeta, "V": dV, "c": dc}


def by_the_graph(x, t, W, gamma, beta, V, c):
    s, centred, std, shat, n, h, y = forward(x, W, gamma, beta, V, c)
    N = len(x)
    eps = 1e-2
    var = std ** 2 - eps
    g_y = (y - t) / N
    g_V = np.dot(h.T, g_y)
    g_c = np.sum(g_y, axis=0)
    g_h = np.dot(g_y, V.T)
    g_n = g_h.copy()
    g_n[n <= 0] = 0
    g_gamma = np.sum(g_n * shat, axis=0)
    g_beta = np.sum(g_n, axis=0)
    g_shat = g_n * gamma
    g_var = np.sum(g_shat * centred, axis=0) * -0.5 * (var + eps) ** -1.5
    g_mu = -np.sum(g_shat / std, axis=0) + g_var * np.mean(-2 * centred, axis=0)
    g_s = g_shat / std
    g_s += g_var * 2 * centred / N
    g_s += g_mu / N
    g_W = np.dot(x.T, g_s)
    return {"W": g_W, "gamma": g_gamma, "beta": g_beta, "V": g_V, "c": g_c}


def unit_by_unit(x, t, W, gamma, beta, V, c):
    N, K = len(x), len(gamma)
    S = x @ W
    dW, dgamma, dbeta, dV = np.zeros_like(W), np.zeros_like(gamma), np.zeros_like(beta), np.zeros_like(V)
    hs = []
    for k in range(K):
        r = (S[:, k] - S[:, k].mean()) / np.sqrt(S[:, k].var() + 1e-2)
        hs.append(np.maximum(gamma[k] * r + beta[k], 0))
    err = (np.stack(hs, axis=1) @ V + c - t) / N
    for k in range(K):
        sigma = np.sqrt(S[:, k].var() + 1e-2)
        z = (S[:, k] - S[:, k].mean()) / sigma
        dV[k] = hs[k] @ err
        back = err @ V[k]
        back = back * (hs[k] > 0)
        dgamma[k] = back @ z
        dbeta[k] = back.sum()
        dz = gamma[k] * back
        col = dz - dz.mean()
        col = col - z * (dz * z).mean()
        dW[:, k] = x.T @ col / sigma
    return {"dW": dW, "dgamma": dgamma, "dbeta": dbeta, "dV": dV, "dc": err.sum(0)}


RIGHT = (closed_form, by_the_graph, unit_by_unit)

SLIPS = (
    Slip("statistics taken as constants at s", closed_form,
         ("ds = gamma / (N * std) * (N * dn - dbeta - shat * dgamma)", "ds = gamma / std * dn"),
         label=label("treated-as-constant", "s mu var std centred shat", "mean sqrt subtract divide square")),
    Slip("the mean's path left out at s", closed_form,
         ("ds = gamma / (N * std) * (N * dn - dbeta - shat * dgamma)",
          "ds = gamma / (N * std) * (N * dn - shat * dgamma)"),
         label=label("dropped-path treated-as-constant", "s mu centred", "mean subtract")),
    Slip("gamma left out at s", closed_form,
         ("ds = gamma / (N * std) * (N * dn - dbeta - shat * dgamma)",
          "ds = 1 / (N * std) * (N * dn - dbeta - shat * dgamma)"),
         label=label("missing-local-derivative wrong-operand", "shat n gamma s centred std", "multiply divide")),
    Slip("variance's part added at s", closed_form,
         ("ds = gamma / (N * std) * (N * dn - dbeta - shat * dgamma)",
          "ds = gamma / (N * std) * (N * dn - dbeta + shat * dgamma)"),
         label=label("sign", "var std s centred shat", "sqrt divide mean square")),
    Slip("gamma's gradient from the centred, not the normalised", closed_form,
         ("dgamma = (dn * shat).sum(0)", "dgamma = (dn * centred).sum(0)"),
         label=label("wrong-operand", "gamma n shat centred", "multiply")),
    Slip("relu masked by the normalised before gamma and beta", closed_form,
         ("dn = (dy @ V.T) * (n > 0)", "dn = (dy @ V.T) * (shat > 0)"),
         label=label("wrong-argument wrong-operand", "n h shat", "multiply greater")),
    Slip("two from the square kept at y", closed_form, ("dy = (y - t) / N", "dy = 2 * (y - t) / N"),
         label=label("scale", "y e loss", "square multiply mean sum subtract")),
    Slip("V's gradient from n before the relu", closed_form, ("dV = h.T @ dy", "dV = n.T @ dy"),
         label=label("wrong-operand missing-local-derivative", "V y h n", "matmul")),
    Slip("mean over samples and outputs at y", by_the_graph, ("g_y = (y - t) / N", "g_y = (y - t) / y.size"),
         label=label("scale", "y e loss", "square multiply mean sum subtract")),
    Slip("1/N forgotten in the variance's path", by_the_graph,
         ("g_s += g_var * 2 * centred / N", "g_s += g_var * 2 * centred"),
         label=label("scale", "var std centred s", "mean square")),
    Slip("mean's path not divided by N", by_the_graph, ("g_s += g_mu / N", "g_s += g_mu"),
         label=label("scale", "mu s", "mean")),
    Slip("overwritten instead of added in the variance's step", by_the_graph,
         ("g_s += g_var * 2 * centred / N", "g_s = g_var * 2 * centred / N"),
         label=label("overwritten-accumulation dropped-path", "s centred shat std", "divide subtract square")),
    Slip("power -1/2 for -3/2 in the variance", by_the_graph,
         ("g_var = np.sum(g_shat * centred, axis=0) * -0.5 * (var + eps) ** -1.5",
          "g_var = np.sum(g_shat * centred, axis=0) * -0.5 * (var + eps) ** -0.5"),
         label=label("wrong-local-rule", "std var shat", "sqrt divide")),
    Slip("eps forgotten in the variance's derivative", by_the_graph,
         ("g_var = np.sum(g_shat * centred, axis=0) * -0.5 * (var + eps) ** -1.5",
          "g_var = np.sum(g_shat * centred, axis=0) * -0.5 * var ** -1.5"),
         label=label("wrong-argument wrong-local-rule", "std var shat", "sqrt divide add")),
    Slip("g_n is g_h, relu never masked", by_the_graph, ("g_n[n <= 0] = 0", ""),
         label=label("missing-local-derivative", "n h", "multiply greater")),
    Slip("uncentred s in the variance's step", by_the_graph,
         ("g_s += g_var * 2 * centred / N", "g_s += g_var * 2 * s / N"),
         label=label("wrong-operand wrong-argument", "var centred s std", "square mean")),
    Slip("gamma multiplied in after its own gradient was used for beta", by_the_graph,
         ("g_beta = np.sum(g_n, axis=0)", "g_beta = np.sum(g_n * gamma, axis=0)"),
         label=label("wrong-operand wrong-local-rule", "beta n gamma shat", "add multiply")),
    Slip("not divided by sigma at W", unit_by_unit, ("dW[:, k] = x.T @ col / sigma", "dW[:, k] = x.T @ col"),
         label=label("missing-local-derivative wrong-operand", "s centred shat std W", "divide")),
    Slip("divided by the variance at W", unit_by_unit,
         ("dW[:, k] = x.T @ col / sigma", "dW[:, k] = x.T @ col / sigma ** 2"),
         label=label("wrong-local-rule double-derivative wrong-operand wrong-argument", "shat s centred std var",
                     "divide sqrt")),
    Slip("sum for the mean in the projection on z", unit_by_unit,
         ("col = col - z * (dz * z).mean()", "col = col - z * (dz * z).sum()"),
         label=label("scale", "var std s centred shat", "mean square sqrt divide")),
    Slip("projection forgotten and beta averaged", unit_by_unit,
         ("col = col - z * (dz * z).mean()", ""), ("dbeta[k] = back.sum()", "dbeta[k] = back.mean()"),
         label=label("two", "var std s centred shat mu beta n", "mean square sqrt divide add")),
)
