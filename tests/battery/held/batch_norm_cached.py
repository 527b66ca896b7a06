"""Batch normalisation between two layers, its backward from a cache, a leaky relu and a Huber-like loss."""

import numpy as np

from tests.battery.slips import Slip, label

PARAMETERS = ("W1", "gamma", "beta", "W2", "b2")
EPS = 0.02


def data(rng, dtype):
    return {"x": rng.normal(size=(8, 3)).astype(dtype), "y": rng.normal(size=(8, 2)).astype(dtype),
            "W1": rng.normal(size=(5, 3)).astype(dtype), "gamma": rng.uniform(0.5, 1.5, 5).astype(dtype),
            "beta": rng.normal(size=5).astype(dtype), "W2": rng.normal(size=(2, 5)).astype(dtype),
            "b2": rng.normal(size=2).astype(dtype)}


def loss(x, y, W1, gamma, beta, W2, b2):
    u = x @ W1.T
    mu = u.mean(axis=0)
    c = u - mu
    var = (c * c).mean(axis=0)
    std = np.sqrt(var + 0.02)
    n = c / std
    v = gamma * n + beta
    a = np.where(v > 0, v, 0.1 * v)
    out = a @ W2.T + b2
    r = out - y
    q = np.sqrt(1 + r ** 2) - 1
    loss = q.sum() / 8
    return loss


def bn_forward(u, gamma, beta):
    mean, var = u.mean(0), u.var(0)
    std = np.sqrt(var + EPS)
    n = (u - mean) / std
    return gamma * n + beta, (n, std, gamma)


def bn_backward(dv, cache):
    n, std, gamma = cache
    m = len(dv)
    dgamma = (dv * n).sum(axis=0)
    dbeta = dv.sum(axis=0)
    dn = dv * gamma
    du = (m * dn - dn.sum(axis=0) - n * (dn * n).sum(axis=0)) / (m * std)
    return du, dgamma, dbeta


def layers_with_caches(x, y, W1, gamma, beta, W2, b2):
    u = x @ W1.T
    v, cache = bn_forward(u, gamma, beta)
    slope = np.where(v > 0, 1.0, 0.1)
    a = v * slope
    r = a @ W2.T + b2 - y
    dout = r / np.sqrt(1 + r ** 2) / len(x)
    dW2 = dout.T @ a
    db2 = dout.sum(axis=0)
    da = dout @ W2
    dv = da * slope
    du, dgamma, dbeta = bn_backward(dv, cache)
    return {"W1": du.T @ x, "gamma": dgamma, "beta": dbeta, "W2": dW2, "b2": db2}


def every_step(x, y, W1, gamma, beta, W2, b2):
    m = x.shape[0]
    u = x @ W1.T
    mu = u.mean(axis=0)
    c = u - mu
    var = np.mean(c ** 2, axis=0)
    inv = 1 / np.sqrt(var + EPS)
    n = c * inv
    v = gamma * n + beta
    a = np.maximum(v, 0.1 * v)
    out = a @ W2.T + b2
    r = out - y
    root = np.sqrt(1 + r * r)
    gout = r / root / m
    gW2 = gout.T @ a
    gb2 = gout.sum(0)
    ga = gout @ W2
    gv = np.where(v > 0, ga, 0.1 * ga)
    gbeta = gv.sum(0)
    ggamma = (gv * n).sum(0)
    gn = gv * gamma
    ginv = (gn * c).sum(0)
    gc = gn * inv
    gvar = ginv * -0.5 * inv ** 3
    gc += gvar * 2 * c / m
    gmu = -gc.sum(0)
    gu = gc + gmu / m
    gW1 = gu.T @ x
    return {"W1": gW1, "gamma": ggamma, "beta": gbeta, "W2": gW2, "b2": gb2}


RIGHT = (layers_with_caches, every_step)


def bn_backward_constant_std(dv, cache):
    n, std, gamma = cache
    m = len(dv)
    dn = dv * gamma
    du = (m * dn - dn.sum(axis=0)) / (m * std)
    return du, (dv * n).sum(axis=0), dv.sum(axis=0)


def bn_backward_over_features(dv, cache):
    n, std, gamma = cache
    m = dv.shape[1]
    dn = dv * gamma
    du = (m * dn - dn.sum(axis=0) - n * (dn * n).sum(axis=0)) / (m * std)
    return du, (dv * n).sum(axis=0), dv.sum(axis=0)


def bn_forward_unbiased(u, gamma, beta):
    std = np.sqrt(u.var(0, ddof=1) + EPS)
    n = (u - u.mean(0)) / std
    return gamma * n + beta, (n, std, gamma)


SLIPS = (
    Slip("deviation held constant", layers_with_caches,
         ("du, dgamma, dbeta = bn_backward(dv, cache)", "du, dgamma, dbeta = bn_backward_constant_std(dv, cache)"),
         label=label("treated-as-constant dropped-path", "std var n c", "divide sqrt")),
    Slip("number of features for that of samples", layers_with_caches,
         ("du, dgamma, dbeta = bn_backward(dv, cache)", "du, dgamma, dbeta = bn_backward_over_features(dv, cache)"),
         label=label("wrong-axis scale wrong-local-rule", "mu var c std n u", "mean")),
    Slip("unbiased variance in the recomputed forward", layers_with_caches,
         ("v, cache = bn_forward(u, gamma, beta)", "v, cache = bn_forward_unbiased(u, gamma, beta)"),
         label=label("scale wrong-argument wrong-operand", "var std n v", "mean")),
    Slip("gamma forgotten in the backward's argument", layers_with_caches,
         ("dv = da * slope", "dv = da * slope / gamma"),
         label=label("wrong-operand missing-local-derivative wrong-local-rule", "v n a", "multiply where")),
    Slip("leaky slope left out", layers_with_caches, ("dv = da * slope", "dv = da"),
         label=label("missing-local-derivative", "a v", "where multiply")),
    Slip("slope as for a plain relu", layers_with_caches,
         ("dv = da * slope", "dv = da * (v > 0)"),
         label=label("wrong-local-rule dropped-path", "a v", "where multiply")),
    Slip("slope by the normalised values' sign", layers_with_caches,
         ("slope = np.where(v > 0, 1.0, 0.1)", "slope = np.where(cache[0] > 0, 1.0, 0.1)"),
         label=label("wrong-argument wrong-operand", "a v n", "where multiply")),
    Slip("root of the loss left out", layers_with_caches,
         ("dout = r / np.sqrt(1 + r ** 2) / len(x)", "dout = r / len(x)"),
         label=label("missing-local-derivative", "q r out", "sqrt square")),
    Slip("root not under the one", layers_with_caches,
         ("dout = r / np.sqrt(1 + r ** 2) / len(x)", "dout = r / (1 + r ** 2) / len(x)"),
         label=label("wrong-local-rule double-derivative", "q r out", "sqrt")),
    Slip("two in front of the root", layers_with_caches,
         ("dout = r / np.sqrt(1 + r ** 2) / len(x)", "dout = 2 * r / np.sqrt(1 + r ** 2) / len(x)"),
         label=label("scale missing-local-derivative", "q r out loss", "sqrt square sum divide add subtract")),
    Slip("half in front of the root", layers_with_caches,
         ("dout = r / np.sqrt(1 + r ** 2) / len(x)", "dout = 0.5 * r / np.sqrt(1 + r ** 2) / len(x)"),
         label=label("scale missing-local-derivative wrong-local-rule", "q r out loss",
                     "sqrt square sum divide add subtract")),
    Slip("dW2 from the values before the leak", layers_with_caches, ("dW2 = dout.T @ a", "dW2 = dout.T @ v"),
         label=label("wrong-operand", "W2 a out v", "matmul")),
    Slip("b2 forgotten in the residual", layers_with_caches, ("r = a @ W2.T + b2 - y", "r = a @ W2.T - y"),
         label=label("missing-term dropped-path", "out r b2", "add")),
    Slip("mean of the output bias", layers_with_caches, ("db2 = dout.sum(axis=0)", "db2 = dout.mean(axis=0)"),
         label=label("scale", "b2 out", "add")),
    Slip("W2 moved before it was used", layers_with_caches, ("da = dout @ W2", "W2 -= 0.1 * dW2\nda = dout @ W2"),
         label=label("stale-value", "W2 a out", "matmul transpose")),
    Slip("mean's path left out", every_step, ("gu = gc + gmu / m", "gu = gc"),
         label=label("dropped-path treated-as-constant", "mu u c", "mean subtract")),
    Slip("mean's path not shared out", every_step, ("gu = gc + gmu / m", "gu = gc + gmu"),
         label=label("scale missing-local-derivative", "mu u c", "mean subtract")),
    Slip("mean's path with plus", every_step, ("gmu = -gc.sum(0)", "gmu = gc.sum(0)"),
         label=label("sign", "mu u c", "mean subtract")),
    Slip("variance's part comes after the mean was done", every_step,
         ("gc += gvar * 2 * c / m", "gc = gvar * 2 * c / m"),
         label=label("overwritten-accumulation dropped-path", "c n", "multiply divide subtract")),
    Slip("power of the variance's inverse root", every_step,
         ("gvar = ginv * -0.5 * inv ** 3", "gvar = ginv * -0.5 * inv ** 2"),
         label=label("wrong-local-rule missing-local-derivative", "var std n", "sqrt divide")),
    Slip("minus of the inverse root forgotten", every_step,
         ("gvar = ginv * -0.5 * inv ** 3", "gvar = ginv * 0.5 * inv ** 3"),
         label=label("sign", "var std n c", "sqrt divide")),
    Slip("half of the inverse root forgotten", every_step,
         ("gvar = ginv * -0.5 * inv ** 3", "gvar = -ginv * inv ** 3"),
         label=label("scale wrong-local-rule missing-local-derivative", "var std n c",
                     "sqrt divide multiply mean add")),
    Slip("normalised for centred in the inverse", every_step, ("ginv = (gn * c).sum(0)", "ginv = (gn * n).sum(0)"),
         label=label("wrong-operand wrong-argument missing-local-derivative wrong-local-rule double-derivative",
                     "std n c var", "divide")),
    Slip("gamma's gradient with the values themselves", every_step,
         ("ggamma = (gv * n).sum(0)", "ggamma = (gv * v).sum(0)"),
         label=label("wrong-operand", "gamma n v", "multiply")),
    Slip("gamma's gradient after it was multiplied by gamma", every_step,
         ("ggamma = (gv * n).sum(0)", "gv = gv * gamma\nggamma = (gv * n).sum(0)"), ("gn = gv * gamma", "gn = gv"),
         label=label("stale-value wrong-operand double-derivative missing-local-derivative extra-term", "gamma n v",
                     "multiply")),
    Slip("gamma squared", every_step, ("gn = gv * gamma", "gn = gv * gamma * gamma"),
         label=label("double-derivative wrong-operand", "n v gamma", "multiply")),
    Slip("leak of a hundredth", every_step,
         ("gv = np.where(v > 0, ga, 0.1 * ga)", "gv = np.where(v > 0, ga, 0.01 * ga)"),
         label=label("scale wrong-local-rule", "a v", "where multiply")),
    Slip("leak dropped, epsilon dropped", every_step,
         ("gv = np.where(v > 0, ga, 0.1 * ga)", "gv = np.where(v > 0, ga, 0)"),
         ("inv = 1 / np.sqrt(var + EPS)", "inv = 1 / np.sqrt(var)"),
         label=label("two", "a v var std n", "where multiply add sqrt")),
    Slip("epsilon left out", every_step, ("inv = 1 / np.sqrt(var + EPS)", "inv = 1 / np.sqrt(var)"),
         label=label("missing-term dropped-path", "var std n", "add sqrt divide")),
)
