"""Two layers with batch norm and a sigmoid between, cross entropy of two probabilities; samples in columns.

The loss is the mean over all entries.
"""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip

PARAMETERS = ("W1", "gamma", "beta", "W2", "b2")
EPS = 0.1


def data(rng, dtype):
    return {"X": rng.normal(size=(5, 8)).astype(dtype), "T": (rng.random((2, 8)) < 0.5).astype(dtype),
            "W1": (0.7 * rng.normal(size=(4, 5))).astype(dtype),
            "gamma": (1.3 + 0.4 * rng.normal(size=(4, 1))).astype(dtype),
            "beta": (0.6 * rng.normal(size=(4, 1))).astype(dtype),
            "W2": rng.normal(size=(2, 4)).astype(dtype), "b2": (0.5 * rng.normal(size=(2, 1))).astype(dtype)}


def loss(X, T, W1, gamma, beta, W2, b2):
    U = W1 @ X
    mu = U.mean(axis=1, keepdims=True)
    D = U - mu
    var = (D ** 2).mean(axis=1, keepdims=True)
    inv_std = (var + EPS) ** -0.5
    N = D * inv_std
    V = gamma * N + beta
    A = ad.sigmoid(V)
    Z = W2 @ A + b2
    P = ad.sigmoid(Z)
    L = T * np.log(P) + (1 - T) * np.log(1 - P)
    loss = -L.mean()
    return loss


def every_step(X, T, W1, gamma, beta, W2, b2):
    m = X.shape[1]
    U = W1 @ X
    mu = U.mean(axis=1, keepdims=True)
    D = U - mu
    var = (D ** 2).mean(axis=1, keepdims=True)
    inv_std = 1 / np.sqrt(var + EPS)
    N = D * inv_std
    V = gamma * N + beta
    A = 1 / (1 + np.exp(-V))
    Z = W2 @ A + b2
    P = 1 / (1 + np.exp(-Z))
    dP = (-T / P + (1 - T) / (1 - P)) / T.size
    dZ = dP * P * (1 - P)
    dW2 = dZ @ A.T
    db2 = dZ.sum(axis=1, keepdims=True)
    dA = W2.T @ dZ
    dV = dA * A * (1 - A)
    dgamma = (dV * N).sum(axis=1, keepdims=True)
    dbeta = dV.sum(axis=1, keepdims=True)
    dN = dV * gamma
    dinv_std = (dN * D).sum(axis=1, keepdims=True)
    dvar = -0.5 * dinv_std * (var + EPS) ** -1.5
    dD = dN * inv_std + 2 / m * D * dvar
    dmu = -dD.sum(axis=1, keepdims=True)
    dU = dD + dmu / m
    dW1 = dU @ X.T
    return {"W1": dW1, "gamma": dgamma, "beta": dbeta, "W2": dW2, "b2": db2, "U": dU, "V": dV}


def one_line_norm(X, T, W1, gamma, beta, W2, b2):
    m = X.shape[1]
    pre = W1 @ X
    std = np.sqrt(pre.var(axis=1, keepdims=True) + EPS)
    hat = (pre - pre.mean(axis=1, keepdims=True)) / std
    act = 1 / (1 + np.exp(-gamma * hat - beta))
    prob = 1 / (1 + np.exp(-W2 @ act - b2))
    d2 = (prob - T) / prob.size
    d1 = W2.T @ d2 * (act - act ** 2)
    g_beta = d1.sum(axis=1, keepdims=True)
    g_gamma = np.sum(d1 * hat, axis=1, keepdims=True)
    d0 = gamma / (m * std) * (m * d1 - g_beta - hat * g_gamma)
    return {"W1": d0 @ X.T, "gamma": g_gamma, "beta": g_beta,
            "W2": d2 @ act.T, "b2": d2.sum(axis=1, keepdims=True)}


def unit_by_unit(X, T, W1, gamma, beta, W2, b2):
    units, m = len(W1), X.shape[1]
    cache = []
    A = np.zeros((units, m), X.dtype)
    for j in range(units):
        u = W1[j] @ X
        s = np.sqrt(np.mean((u - u.mean()) ** 2) + EPS)
        nrm = (u - u.mean()) / s
        A[j] = 1 / (1 + np.exp(-(gamma[j] * nrm + beta[j])))
        cache.append((nrm, s))
    P = 1 / (1 + np.exp(-(W2 @ A + b2)))
    delta = (P - T) / (2 * m)
    gW2 = delta @ A.T
    gb2 = delta.sum(1, keepdims=True)
    gW1, ggamma, gbeta = np.zeros_like(W1), np.zeros_like(gamma), np.zeros_like(beta)
    for j in range(units - 1, -1, -1):
        nrm, s = cache[j]
        gv = W2[:, j] @ delta * A[j] * (1 - A[j])
        ggamma[j] = gv @ nrm
        gbeta[j] = gv.sum()
        gn = gamma[j] * gv
        J = (np.eye(m) - np.full((m, m), 1 / m) - np.outer(nrm, nrm) / m) / s
        gu = J @ gn
        gW1[j] = X @ gu
    return {"W1": gW1, "gamma": ggamma, "beta": gbeta, "W2": gW2, "b2": gb2}


def in_rows(X, T, W1, gamma, beta, W2, b2):
    x, t = X.T, T.T
    n, outputs = t.shape
    u = x @ W1.T
    centred = u - u.mean(axis=0)
    variance = np.mean(centred * centred, axis=0)
    xhat = centred / np.sqrt(variance + EPS)
    a = 1 / (1 + np.exp(-(xhat * gamma.ravel() + beta.ravel())))
    p = 1 / (1 + np.exp(-(a @ W2.T + b2.ravel())))
    grad_logit = (p - t) / n / outputs
    grad_a = grad_logit @ W2
    grad_v = grad_a * a * (1 - a)
    grad_gamma = (grad_v * xhat).sum(axis=0)
    grad_beta = grad_v.sum(axis=0)
    g = grad_v * gamma.ravel()
    g -= g.mean(axis=0)
    g -= xhat * (g * xhat).mean(axis=0)
    g /= np.sqrt(variance + EPS)
    return {"dW1": g.T @ x,
            "dgamma": grad_gamma[:, None],
            "dbeta": grad_beta[:, None],
            "dW2": grad_logit.T @ a,
            "db2": grad_logit.sum(axis=0)[:, None]}


RIGHT = (every_step, one_line_norm, unit_by_unit, in_rows)

SLIPS = (
    Slip("log(1 - p) differentiated as if it were log p", every_step,
         ("dP = (-T / P + (1 - T) / (1 - P)) / T.size", "dP = (-T / P + (1 - T) / P) / T.size")),
    Slip("the negatives left out of the cross entropy", every_step,
         ("dP = (-T / P + (1 - T) / (1 - P)) / T.size", "dP = (-T / P) / T.size")),
    Slip("averaged over the samples only", every_step,
         ("dP = (-T / P + (1 - T) / (1 - P)) / T.size", "dP = (-T / P + (1 - T) / (1 - P)) / m")),
    Slip("the mean applied to the first half only", every_step,
         ("dP = (-T / P + (1 - T) / (1 - P)) / T.size", "dP = -T / P / T.size + (1 - T) / (1 - P)")),
    Slip("the output's sigmoid' at the logit", every_step,
         ("dZ = dP * P * (1 - P)", "dZ = dP * Z * (1 - Z)")),
    Slip("the hidden sigmoid' at the output of the norm", every_step,
         ("dV = dA * A * (1 - A)", "dV = dA * V * (1 - V)")),
    Slip("tanh' for the hidden sigmoid", every_step, ("dV = dA * A * (1 - A)", "dV = dA * (1 - A ** 2)")),
    Slip("W2 from the values before the sigmoid", every_step, ("dW2 = dZ @ A.T", "dW2 = dZ @ V.T")),
    Slip("gamma's gradient before the sigmoid was undone", every_step,
         ("dgamma = (dV * N).sum(axis=1, keepdims=True)", "dgamma = (dA * N).sum(axis=1, keepdims=True)")),
    Slip("gamma's gradient with the raw pre-activations", every_step,
         ("dgamma = (dV * N).sum(axis=1, keepdims=True)", "dgamma = (dV * U).sum(axis=1, keepdims=True)")),
    Slip("beta averaged", every_step,
         ("dbeta = dV.sum(axis=1, keepdims=True)", "dbeta = dV.mean(axis=1, keepdims=True)")),
    Slip("gamma was stepped before it was used", every_step,
         ("dN = dV * gamma", "gamma = gamma - 4 * dgamma\ndN = dV * gamma")),
    Slip("minus one half as the exponent of dvar", every_step,
         ("dvar = -0.5 * dinv_std * (var + EPS) ** -1.5", "dvar = -0.5 * dinv_std * (var + EPS) ** -0.5")),
    Slip("the power rule without its minus one half", every_step,
         ("dvar = -0.5 * dinv_std * (var + EPS) ** -1.5", "dvar = dinv_std * (var + EPS) ** -1.5")),
    Slip("forgot epsilon in dvar", every_step,
         ("dvar = -0.5 * dinv_std * (var + EPS) ** -1.5", "dvar = -0.5 * dinv_std * var ** -1.5")),
    Slip("dinv_std summed over the units", every_step,
         ("dinv_std = (dN * D).sum(axis=1, keepdims=True)", "dinv_std = (dN * D).sum(axis=0, keepdims=True)")),
    Slip("D with its square", every_step,
         ("dD = dN * inv_std + 2 / m * D * dvar", "dD = dN * inv_std + 2 / m * D ** 2 * dvar")),
    Slip("divided by var instead of the deviation", every_step,
         ("dD = dN * inv_std + 2 / m * D * dvar", "dD = dN * inv_std ** 2 + 2 / m * D * dvar")),
    Slip("the batch mean as a running constant", every_step, ("dU = dD + dmu / m", "dU = dD")),
    Slip("running averages in the recomputed norm", one_line_norm,
         ("std = np.sqrt(pre.var(axis=1, keepdims=True) + EPS)",
          "std = np.sqrt(0.9 + 0.1 * pre.var(axis=1, keepdims=True) + EPS)")),
    Slip("Bessel's correction in the recomputed norm", one_line_norm,
         ("std = np.sqrt(pre.var(axis=1, keepdims=True) + EPS)",
          "std = np.sqrt(pre.var(axis=1, keepdims=True, ddof=1) + EPS)")),
    Slip("the sigmoid' of the hidden layer counted twice", one_line_norm,
         ("d1 = W2.T @ d2 * (act - act ** 2)", "d1 = W2.T @ d2 * (act - act ** 2) ** 2")),
    Slip("the sum for beta turned into a mean, which the formula for batch norm reads too", one_line_norm,
         ("g_beta = d1.sum(axis=1, keepdims=True)", "g_beta = d1.mean(axis=1, keepdims=True)")),
    Slip("the hidden sigmoid passed through unchanged", one_line_norm,
         ("d1 = W2.T @ d2 * (act - act ** 2)", "d1 = W2.T @ d2")),
    Slip("no m before d1 in the formula for batch norm", one_line_norm,
         ("d0 = gamma / (m * std) * (m * d1 - g_beta - hat * g_gamma)",
          "d0 = gamma / (m * std) * (d1 - g_beta - hat * g_gamma)")),
    Slip("hat missing before g_gamma", one_line_norm,
         ("d0 = gamma / (m * std) * (m * d1 - g_beta - hat * g_gamma)",
          "d0 = gamma / (m * std) * (m * d1 - g_beta - g_gamma)")),
    Slip("gamma missing from the formula for batch norm", one_line_norm,
         ("d0 = gamma / (m * std) * (m * d1 - g_beta - hat * g_gamma)",
          "d0 = 1 / (m * std) * (m * d1 - g_beta - hat * g_gamma)")),
    Slip("normalisation and scale only, mean and deviation as constants", one_line_norm,
         ("d0 = gamma / (m * std) * (m * d1 - g_beta - hat * g_gamma)", "d0 = gamma / std * d1")),
    Slip("the deviation of the last unit for all of them", unit_by_unit,
         ("nrm, s = cache[j]", "nrm, _ = cache[j]")),
    Slip("the first unit is never reached", unit_by_unit,
         ("for j in range(units - 1, -1, -1):", "for j in range(units - 1, 0, -1):")),
    Slip("the outer product of the norm's Jacobian not divided by m", unit_by_unit,
         ("J = (np.eye(m) - np.full((m, m), 1 / m) - np.outer(nrm, nrm) / m) / s",
          "J = (np.eye(m) - np.full((m, m), 1 / m) - np.outer(nrm, nrm)) / s")),
    Slip("the ones of the norm's Jacobian with a plus", unit_by_unit,
         ("J = (np.eye(m) - np.full((m, m), 1 / m) - np.outer(nrm, nrm) / m) / s",
          "J = (np.eye(m) + np.full((m, m), 1 / m) - np.outer(nrm, nrm) / m) / s")),
    Slip("the weights of the first output only", unit_by_unit,
         ("gv = W2[:, j] @ delta * A[j] * (1 - A[j])", "gv = W2[0, j] * delta[0] * A[j] * (1 - A[j])")),
    Slip("the activation of the unit before", unit_by_unit,
         ("gv = W2[:, j] @ delta * A[j] * (1 - A[j])", "gv = W2[:, j] @ delta * A[j] * (1 - A[j - 1])")),
    Slip("gamma and beta came back in each other's place", in_rows,
         ('"dgamma": grad_gamma[:, None],', '"dgamma": grad_beta[:, None],'),
         ('"dbeta": grad_beta[:, None],', '"dbeta": grad_gamma[:, None],')),
    Slip("centred the whole of g instead of each unit", in_rows, ("g -= g.mean(axis=0)", "g -= g.mean()")),
    Slip("projected on the activations instead of the normalised values", in_rows,
         ("g -= xhat * (g * xhat).mean(axis=0)", "g -= xhat * (g * a).mean(axis=0)")),
    Slip("gamma multiplied into grad_v in place before its own gradient was taken", in_rows,
         ("grad_v = grad_a * a * (1 - a)", "grad_v = grad_a * a * (1 - a)\ngrad_v *= gamma.ravel()"),
         ("g = grad_v * gamma.ravel()", "g = grad_v")),
    Slip("multiplied by the deviation at the end", in_rows,
         ("g /= np.sqrt(variance + EPS)", "g *= np.sqrt(variance + EPS)")),
    Slip("the error's sign turned and gamma left out", in_rows,
         ("grad_logit = (p - t) / n / outputs", "grad_logit = (t - p) / n / outputs"),
         ("g = grad_v * gamma.ravel()", "g = grad_v.copy()")),
)
