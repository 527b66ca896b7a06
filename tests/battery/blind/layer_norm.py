"""A linear layer, layer norm with gain and bias written out, a linear read-out, squared error."""

import numpy as np

from tests.battery.slips import Slip

PARAMETERS = ("W", "b", "gamma", "beta", "V", "c")


def data(rng, dtype):
    values = {"X": rng.normal(size=(7, 4)), "T": rng.normal(size=(7, 3)),
              "W": rng.normal(size=(4, 6)), "b": rng.normal(size=6),
              "gamma": rng.normal(size=6) + 1, "beta": rng.normal(size=6),
              "V": rng.normal(size=(6, 3)), "c": rng.normal(size=3)}
    return {name: value.astype(dtype) for name, value in values.items()}


def loss(X, T, W, b, gamma, beta, V, c):
    u = X @ W + b
    mu = u.mean(axis=1, keepdims=True)
    centered = u - mu
    var = (centered ** 2).mean(axis=1, keepdims=True)
    std = np.sqrt(var + 1e-5)
    u_hat = centered / std
    n = gamma * u_hat + beta
    out = n @ V + c
    L = ((out - T) ** 2).sum() / len(X)
    return L


def every_node(X, T, W, b, gamma, beta, V, c):
    N = X.shape[0]
    D = W.shape[1]
    u = X @ W + b
    mu = u.mean(axis=1, keepdims=True)
    centered = u - mu
    var = (centered ** 2).mean(axis=1, keepdims=True)
    std = np.sqrt(var + 1e-5)
    istd = 1 / std
    u_hat = centered * istd
    n = gamma * u_hat + beta
    out = n @ V + c

    dout = 2 * (out - T) / N
    dV = n.T @ dout
    dc = dout.sum(axis=0)
    dn = dout @ V.T
    dgamma = (dn * u_hat).sum(axis=0)
    dbeta = dn.sum(axis=0)
    du_hat = dn * gamma
    distd = (du_hat * centered).sum(axis=1, keepdims=True)
    dcentered = du_hat * istd
    dstd = -distd / std ** 2
    dvar = dstd * 0.5 / std
    dcentered = dcentered + dvar * 2 * centered / D
    dmu = -dcentered.sum(axis=1, keepdims=True)
    du = dcentered + dmu / D
    dW = X.T @ du
    db = du.sum(axis=0)
    return {"W": dW, "b": db, "gamma": dgamma, "beta": dbeta, "V": dV, "c": dc,
            "n": dn, "u_hat": du_hat, "var": dvar, "u": du, "out": dout}


def compact(X, T, W, b, gamma, beta, V, c):
    u = X @ W + b
    sigma = np.sqrt(u.var(axis=-1, keepdims=True) + 1e-5)
    xhat = (u - u.mean(axis=-1, keepdims=True)) / sigma
    normed = gamma * xhat + beta
    r = 2 / len(X) * (normed @ V + c - T)
    g_n = r @ V.T
    g = g_n * gamma
    m1 = g.mean(axis=-1, keepdims=True)
    m2 = (g * xhat).mean(axis=-1, keepdims=True)
    g_u = (g - m1 - xhat * m2) / sigma
    return {
        "W": X.T @ g_u,
        "b": g_u.sum(axis=0),
        "gamma": np.sum(g_n * xhat, axis=0),
        "beta": np.sum(g_n, axis=0),
        "V": normed.T @ r,
        "c": r.sum(axis=0),
    }


def row_jacobians(X, T, W, b, gamma, beta, V, c):
    grads = {"W": 0 * W, "b": 0 * b, "gamma": 0 * gamma, "beta": 0 * beta, "V": 0 * V, "c": 0 * c}
    batch = len(X)
    d = len(gamma)
    for x, t in zip(X, T):
        u = x @ W + b
        s = np.sqrt(u.var() + 1e-5)
        h = (u - u.mean()) / s
        y = gamma * h + beta
        e = 2 * (y @ V + c - t) / batch
        grads["c"] += e
        grads["V"] += np.outer(y, e)
        g_y = V @ e
        grads["beta"] += g_y
        grads["gamma"] += g_y * h
        J = (np.eye(d) - np.ones((d, d)) / d - np.outer(h, h) / d) / s
        g_u = J.T @ (gamma * g_y)
        grads["b"] += g_u
        grads["W"] += np.outer(x, g_u)
    return grads


def batchnorm_paper_style(X, T, W, b, gamma, beta, V, c):
    """The formulas of the batch norm paper, carried over to rows."""
    m, H = X.shape[0], gamma.shape[0]
    u = np.einsum("bi,ih->bh", X, W) + b
    mean = np.einsum("bh->b", u)[:, None] / H
    diff = u - mean
    variance = np.einsum("bh,bh->b", diff, diff)[:, None] / H + 1e-5
    hat = diff / np.sqrt(variance)
    y = hat * gamma + beta
    grad_out = 2 * (np.einsum("bh,ho->bo", y, V) + c - T) / m
    grad_y = np.einsum("bo,ho->bh", grad_out, V)
    grad_hat = grad_y * gamma
    grad_variance = np.sum(grad_hat * diff * -0.5 * variance ** -1.5, axis=1)[:, None]
    grad_mean = np.sum(-grad_hat / np.sqrt(variance), axis=1)[:, None]
    grad_u = grad_hat / np.sqrt(variance)
    grad_u += grad_variance * 2 * diff / H
    grad_u += grad_mean / H
    grad_gamma = np.einsum("bh,bh->h", grad_y, hat)
    grad_V = np.einsum("bh,bo->ho", y, grad_out)
    grad_W = np.einsum("bi,bh->ih", X, grad_u)
    return {"W": grad_W, "b": grad_u.sum(0), "gamma": grad_gamma, "beta": grad_y.sum(0),
            "V": grad_V, "c": grad_out.sum(0)}


RIGHT = (every_node, compact, row_jacobians, batchnorm_paper_style)

SLIPS = (
    Slip("gain forgotten on the way back to u_hat", every_node, ("du_hat = dn * gamma", "du_hat = dn")),
    Slip("sign lost in the derivative of one over std", every_node,
         ("dstd = -distd / std ** 2", "dstd = distd / std ** 2")),
    Slip("derivative of the square root without its half", every_node,
         ("dvar = dstd * 0.5 / std", "dvar = dstd / std")),
    Slip("overwrote dcentered by the way through the variance", every_node,
         ("dcentered = dcentered + dvar * 2 * centered / D", "dcentered = dvar * 2 * centered / D")),
    Slip("the variance's mean divided by the batch size, not by the features", every_node,
         ("dcentered = dcentered + dvar * 2 * centered / D", "dcentered = dcentered + dvar * 2 * centered / N")),
    Slip("forgot that the mean depends on u", every_node, ("du = dcentered + dmu / D", "du = dcentered")),
    Slip("mean's way back without dividing by the number of features", every_node,
         ("du = dcentered + dmu / D", "du = dcentered + dmu")),
    Slip("gamma's gradient with the raw u instead of the normalized one", every_node,
         ("dgamma = (dn * u_hat).sum(axis=0)", "dgamma = (dn * u).sum(axis=0)")),
    Slip("b's gradient taken at the normalized output, as beta's", every_node,
         ("db = du.sum(axis=0)", "db = dn.sum(axis=0)")),
    Slip("mean and standard deviation treated as constants", compact,
         ("g_u = (g - m1 - xhat * m2) / sigma", "g_u = g / sigma")),
    Slip("means over the batch as in batch norm", compact,
         ("m1 = g.mean(axis=-1, keepdims=True)", "m1 = g.mean(axis=0, keepdims=True)"),
         ("m2 = (g * xhat).mean(axis=-1, keepdims=True)", "m2 = (g * xhat).mean(axis=0, keepdims=True)")),
    Slip("left out xhat in front of the second mean", compact,
         ("g_u = (g - m1 - xhat * m2) / sigma", "g_u = (g - m1 - m2) / sigma")),
    Slip("divided by the variance instead of the standard deviation", compact,
         ("g_u = (g - m1 - xhat * m2) / sigma", "g_u = (g - m1 - xhat * m2) / sigma ** 2")),
    Slip("sums instead of means in the compact formula", compact,
         ("m1 = g.mean(axis=-1, keepdims=True)", "m1 = g.sum(axis=-1, keepdims=True)"),
         ("m2 = (g * xhat).mean(axis=-1, keepdims=True)", "m2 = (g * xhat).sum(axis=-1, keepdims=True)")),
    Slip("V's gradient with xhat, before gain and bias", compact, ('"V": normed.T @ r,', '"V": xhat.T @ r,')),
    Slip("gamma's gradient with g that already holds the gain", compact,
         ('"gamma": np.sum(g_n * xhat, axis=0),', '"gamma": np.sum(g * xhat, axis=0),')),
    Slip("unbiased variance, divided by D - 1, in the backward's forward", compact,
         ("sigma = np.sqrt(u.var(axis=-1, keepdims=True) + 1e-5)",
          "sigma = np.sqrt(u.var(axis=-1, keepdims=True, ddof=1) + 1e-5)")),
    Slip("plus sign in front of h h^T in the Jacobian", row_jacobians,
         ("J = (np.eye(d) - np.ones((d, d)) / d - np.outer(h, h) / d) / s",
          "J = (np.eye(d) - np.ones((d, d)) / d + np.outer(h, h) / d) / s")),
    Slip("gamma's gradient assigned, not accumulated over the rows", row_jacobians,
         ('grads["gamma"] += g_y * h', 'grads["gamma"] = g_y * h')),
    Slip("variance to the power -1/2 instead of -3/2", batchnorm_paper_style,
         ("grad_variance = np.sum(grad_hat * diff * -0.5 * variance ** -1.5, axis=1)[:, None]",
          "grad_variance = np.sum(grad_hat * diff * -0.5 * variance ** -0.5, axis=1)[:, None]")),
    Slip("grad_mean added without the minus", batchnorm_paper_style,
         ("grad_mean = np.sum(-grad_hat / np.sqrt(variance), axis=1)[:, None]",
          "grad_mean = np.sum(grad_hat / np.sqrt(variance), axis=1)[:, None]")),
    Slip("forgot the two of the squared error and the way through the variance", batchnorm_paper_style,
         ("grad_out = 2 * (np.einsum(\"bh,ho->bo\", y, V) + c - T) / m",
          "grad_out = (np.einsum(\"bh,ho->bo\", y, V) + c - T) / m"),
         ("grad_u += grad_variance * 2 * diff / H", "")),
)
