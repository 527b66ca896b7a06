"""Linear, batch norm with gain and bias, relu, linear, squared error summed over outputs and averaged over examples."""

import numpy as np

from tests.battery.slips import Slip

PARAMETERS = ("W1", "gain", "shift", "W2", "b2")

EPS = 1e-2


def data(rng, dtype):
    n = lambda *shape: rng.normal(size=shape).astype(dtype)
    return {"X": n(9, 5), "T": n(9, 2), "W1": n(5, 4), "gain": rng.uniform(0.5, 1.8, size=4).astype(dtype),
            "shift": dtype(0.5) * n(4), "W2": n(4, 2), "b2": n(2)}


def loss(X, T, W1, gain, shift, W2, b2):
    z1 = X @ W1
    mu = np.mean(z1, axis=0)
    var = np.mean((z1 - mu) ** 2, axis=0)
    zhat = (z1 - mu) / np.sqrt(var + EPS)
    bn = gain * zhat + shift
    a1 = np.maximum(0, bn)
    out = a1 @ W2 + b2
    loss = 0.5 * np.sum((out - T) ** 2) / X.shape[0]
    return loss


def through_mean_and_variance(X, T, W1, gain, shift, W2, b2):
    m = X.shape[0]
    z1 = X @ W1
    mu = z1.mean(axis=0)
    centred = z1 - mu
    var = (centred ** 2).mean(axis=0)
    std = np.sqrt(var + EPS)
    zhat = centred / std
    bn = gain * zhat + shift
    a1 = np.maximum(0, bn)
    out = a1 @ W2 + b2

    dout = (out - T) / m
    dW2 = a1.T @ dout
    db2 = dout.sum(axis=0)
    da1 = dout @ W2.T
    dbn = da1 * (bn > 0)
    dgain = (dbn * zhat).sum(axis=0)
    dshift = dbn.sum(axis=0)
    dzhat = dbn * gain
    dvar = (dzhat * centred).sum(axis=0) * -0.5 * (var + EPS) ** -1.5
    dmu = -dzhat.sum(axis=0) / std
    dz1 = dzhat / std
    dz1 += dvar * 2 * centred / m
    dz1 += dmu / m
    dW1 = X.T @ dz1
    return {"W1": dW1, "gain": dgain, "shift": dshift, "W2": dW2, "b2": db2,
            "out": dout, "a1": da1, "bn": dbn, "zhat": dzhat}


def one_line_batchnorm(X, T, W1, gain, shift, W2, b2):
    n = len(X)
    z = X @ W1
    inv = 1 / np.sqrt(z.var(0) + EPS)
    xh = (z - z.mean(0)) * inv
    r = np.maximum(gain * xh + shift, 0)
    g = (r @ W2 + b2 - T) / n
    gW2, gb2 = r.T @ g, g.sum(0)
    g = np.where(r > 0, g @ W2.T, 0)
    ggain, gshift = (g * xh).sum(0), g.sum(0)
    gz = gain * inv / n * (n * g - gshift - xh * ggain)
    gW1 = X.T @ gz
    return {"dW1": gW1, "dgain": ggain, "dshift": gshift, "dW2": gW2, "db2": gb2}


def node_by_node(X, T, W1, gain, shift, W2, b2):
    N, D = X.shape[0], W1.shape[1]
    h = X.dot(W1)
    mean = np.sum(h, axis=0) / N
    xmu = h - mean
    sq = xmu ** 2
    var = np.sum(sq, axis=0) / N
    sqrtvar = np.sqrt(var + EPS)
    ivar = 1 / sqrtvar
    hat = xmu * ivar
    pre = gain * hat + shift
    act = pre.clip(min=0)
    y = act.dot(W2) + b2
    dy = (y - T) / N
    dW2, db2 = act.T.dot(dy), dy.sum(axis=0)
    dact = dy.dot(W2.T)
    dpre = dact.copy()
    dpre[pre <= 0] = 0
    dshift = np.sum(dpre, axis=0)
    dgain = np.sum(dpre * hat, axis=0)
    dhat = dpre * gain
    divar = np.sum(dhat * xmu, axis=0)
    dxmu1 = dhat * ivar
    dsqrtvar = -divar / sqrtvar ** 2
    dvar = 0.5 * dsqrtvar / np.sqrt(var + EPS)
    dsq = np.ones((N, D), dtype=X.dtype) * dvar / N
    dxmu2 = 2 * xmu * dsq
    dh1 = dxmu1 + dxmu2
    dmean = -np.sum(dxmu1 + dxmu2, axis=0)
    dh2 = np.ones((N, D), dtype=X.dtype) * dmean / N
    dh = dh1 + dh2
    dW1 = X.T.dot(dh)
    return {"W1": dW1, "gain": dgain, "shift": dshift, "W2": dW2, "b2": db2}


def unit_by_unit(X, T, W1, gain, shift, W2, b2):
    m = X.shape[0]
    z = X @ W1
    grad = {k: np.zeros_like(p) for k, p in (("W1", W1), ("gain", gain), ("shift", shift), ("W2", W2))}
    zn = (z - z.mean(0)) / np.sqrt(z.var(0) + EPS)
    a = np.maximum(gain * zn + shift, 0)
    delta = (a @ W2 + b2 - T) / m
    center = np.eye(m, dtype=X.dtype) - np.full((m, m), 1 / m, dtype=X.dtype)
    for j in range(z.shape[1]):
        s = np.sqrt(z[:, j].var() + EPS)
        J = (center - np.outer(zn[:, j], zn[:, j]) / m) / s
        grad["W2"][j] = a[:, j] @ delta
        d = delta @ W2[j] * (a[:, j] > 0)
        grad["gain"][j] = d @ zn[:, j]
        grad["shift"][j] = d.sum()
        grad["W1"][:, j] = X.T @ (J @ d) * gain[j]
    return {**grad, "b2": delta.sum(0)}


RIGHT = (through_mean_and_variance, one_line_batchnorm, node_by_node, unit_by_unit)

SLIPS = (
    Slip("mean and variance taken for constants", through_mean_and_variance,
         ("dz1 += dvar * 2 * centred / m", ""), ("dz1 += dmu / m", "")),
    Slip("left out the path through the variance", through_mean_and_variance, ("dz1 += dvar * 2 * centred / m", "")),
    Slip("forgot the 1/m of the mean at mu", through_mean_and_variance, ("dz1 += dmu / m", "dz1 += dmu")),
    Slip("power -0.5 instead of -1.5 at the variance", through_mean_and_variance,
         ("dvar = (dzhat * centred).sum(axis=0) * -0.5 * (var + EPS) ** -1.5",
          "dvar = (dzhat * centred).sum(axis=0) * -0.5 * (var + EPS) ** -0.5")),
    Slip("minus lost at the variance", through_mean_and_variance,
         ("dvar = (dzhat * centred).sum(axis=0) * -0.5 * (var + EPS) ** -1.5",
          "dvar = (dzhat * centred).sum(axis=0) * 0.5 * (var + EPS) ** -1.5")),
    Slip("gain's gradient from the values before normalisation", through_mean_and_variance,
         ("dgain = (dbn * zhat).sum(axis=0)", "dgain = (dbn * z1).sum(axis=0)")),
    Slip("shift's gradient averaged over the batch", through_mean_and_variance,
         ("dshift = dbn.sum(axis=0)", "dshift = dbn.mean(axis=0)")),
    Slip("forgot the gain at zhat", through_mean_and_variance, ("dzhat = dbn * gain", "dzhat = dbn")),
    Slip("relu mask from the values before the batch norm", through_mean_and_variance,
         ("dbn = da1 * (bn > 0)", "dbn = da1 * (z1 > 0)")),
    Slip("divided by the variance instead of the standard deviation on the direct path", through_mean_and_variance,
         ("dz1 = dzhat / std", "dz1 = dzhat / (var + EPS)")),
    Slip("two of the square although the loss has a half", through_mean_and_variance,
         ("dout = (out - T) / m", "dout = 2 * (out - T) / m")),
    Slip("unbiased variance in the forward pass", one_line_batchnorm,
         ("inv = 1 / np.sqrt(z.var(0) + EPS)", "inv = 1 / np.sqrt(z.var(0, ddof=1) + EPS)")),
    Slip("forgot the n in front of g in the short formula", one_line_batchnorm,
         ("gz = gain * inv / n * (n * g - gshift - xh * ggain)", "gz = gain * inv / n * (g - gshift - xh * ggain)")),
    Slip("plus in front of the gain term in the short formula", one_line_batchnorm,
         ("gz = gain * inv / n * (n * g - gshift - xh * ggain)",
          "gz = gain * inv / n * (n * g - gshift + xh * ggain)")),
    Slip("forgot the relu", one_line_batchnorm, ("g = np.where(r > 0, g @ W2.T, 0)", "g = g @ W2.T")),
    Slip("gain and shift exchanged in the result of the short formula", one_line_batchnorm,
         ("ggain, gshift = (g * xh).sum(0), g.sum(0)", "gshift, ggain = (g * xh).sum(0), g.sum(0)")),
    Slip("returned the gradients times the learning rate", one_line_batchnorm,
         ('return {"dW1": gW1, "dgain": ggain, "dshift": gshift, "dW2": gW2, "db2": gb2}',
          "lr = 0.1\nreturn "
          '{"dW1": lr * gW1, "dgain": lr * ggain, "dshift": lr * gshift, "dW2": lr * gW2, "db2": lr * gb2}')),
    Slip("lost the minus at the mean", node_by_node,
         ("dmean = -np.sum(dxmu1 + dxmu2, axis=0)", "dmean = np.sum(dxmu1 + dxmu2, axis=0)")),
    Slip("forgot the 1/N of the variance", node_by_node,
         ("dsq = np.ones((N, D), dtype=X.dtype) * dvar / N", "dsq = np.ones((N, D), dtype=X.dtype) * dvar")),
    Slip("forgot the two at the square of xmu", node_by_node, ("dxmu2 = 2 * xmu * dsq", "dxmu2 = xmu * dsq")),
    Slip("derivative of 1/x without the square", node_by_node,
         ("dsqrtvar = -divar / sqrtvar ** 2", "dsqrtvar = -divar / sqrtvar")),
    Slip("derivative of the root without the half", node_by_node,
         ("dvar = 0.5 * dsqrtvar / np.sqrt(var + EPS)", "dvar = dsqrtvar / np.sqrt(var + EPS)")),
    Slip("dh2 overwrote dh1", node_by_node, ("dh = dh1 + dh2", "dh = dh2")),
    Slip("mask applied after the gain and shift gradients were taken", node_by_node,
         ("dpre[pre <= 0] = 0", ""), ("dhat = dpre * gain", "dhat = dpre * (pre > 0) * gain")),
    Slip("gain of the first unit for every unit", unit_by_unit,
         ('grad["W1"][:, j] = X.T @ (J @ d) * gain[j]', 'grad["W1"][:, j] = X.T @ (J @ d) * gain[0]')),
    Slip("forgot the 1/m in the Jacobian's outer product", unit_by_unit,
         ("J = (center - np.outer(zn[:, j], zn[:, j]) / m) / s", "J = (center - np.outer(zn[:, j], zn[:, j])) / s")),
    Slip("forgot the 1/m in the centring matrix, and normalised values instead of activations at W2", unit_by_unit,
         ("center = np.eye(m, dtype=X.dtype) - np.full((m, m), 1 / m, dtype=X.dtype)",
          "center = np.eye(m, dtype=X.dtype) - np.ones((m, m), dtype=X.dtype)"),
         ('grad["W2"][j] = a[:, j] @ delta', 'grad["W2"][j] = zn[:, j] @ delta')),
)
