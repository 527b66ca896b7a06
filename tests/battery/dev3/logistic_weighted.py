"""Logistic regression with an intercept per site, sample weights, a smooth lasso and sites shrunk to their mean."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("w", "a", "b")
LASSO, RIDGE, DELTA = 0.15, 0.4, 0.09


def data(rng, dtype):
    return {"X": rng.normal(size=(11, 5)).astype(dtype), "w": rng.normal(size=5).astype(dtype),
            "a": rng.normal(size=3).astype(dtype), "b": np.array(rng.normal(), dtype),
            "site": np.array([0, 2, 1, 1, 0, 2, 2, 0, 1, 2, 2]), "y": np.array([1, 0, 0, 1, 1, 0, 1, 0, 0, 1, 1]),
            "weight": rng.uniform(0.3, 2.5, size=11).astype(dtype)}


def loss(X, w, a, b, site, y, weight):
    z = X @ w + a[site] + b
    sign = 2 * y - 1
    margin = sign * z
    nll = -ad.log_sigmoid(margin)
    fit = (weight * nll).sum() / weight.sum()
    lasso = np.sqrt(w * w + DELTA).sum()
    dev = a - a.mean()
    ridge = np.sum(dev ** 2)
    loss = fit + LASSO * lasso + RIDGE / 2 * ridge
    return loss


def sigma(z):
    return 1 / (1 + np.exp(-z))


def residuals(X, w, a, b, site, y, weight):
    p = sigma(X @ w + a[site] + b)
    e = weight * (p - y) / weight.sum()
    gw = X.T @ e
    gw += LASSO * w / np.sqrt(w ** 2 + DELTA)
    ga = np.bincount(site, e, minlength=len(a))
    ga += RIDGE * (a - a.mean())
    return {"w": gw, "a": ga, "b": e.sum()}


def margins_in_a_loop(X, w, a, b, site, y, weight):
    dw = np.zeros_like(w)
    da = np.zeros_like(a)
    db = 0.0
    norm = weight.sum()
    for i in range(len(y)):
        t = 1 if y[i] == 1 else -1
        s = site[i]
        margin = t * (X[i] @ w + a[s] + b)
        dz = -t * sigma(-margin) * weight[i] / norm
        dw += dz * X[i]
        da[s] += dz
        db += dz
    for j in range(len(w)):
        dw[j] += LASSO * w[j] / (w[j] ** 2 + DELTA) ** 0.5
    for s in range(len(a)):
        da[s] += RIDGE * (a[s] - sum(a) / len(a))
    return {"w": dw, "a": da, "b": db}


def all_intermediates(X, w, a, b, site, y, weight):
    n, sites = len(y), len(a)
    z = X @ w + a[site] + b
    sgn = 2.0 * y - 1.0
    margin = sgn * z
    prob = sigma(margin)
    root = np.sqrt(w * w + DELTA)
    dev = a - np.mean(a)
    L = -np.sum(weight * np.log(prob)) / np.sum(weight) + LASSO * root.sum() + RIDGE / 2 * np.sum(dev * dev)
    d_nll = weight / np.sum(weight)
    d_logsig = -d_nll
    d_margin = d_logsig * (1 - prob)
    d_z = d_margin * sgn
    d_b = np.sum(d_z)
    d_w_fit = np.dot(d_z, X)
    d_a = np.zeros(sites)
    for i in range(n):
        d_a[site[i]] += d_z[i]
    d_root = LASSO * np.ones_like(root)
    d_ww = d_root * 0.5 / root
    d_w = d_w_fit + 2 * w * d_ww
    d_dev = RIDGE / 2 * 2 * dev
    d_mean = -np.sum(d_dev)
    d_a += d_dev + d_mean / sites
    return {"loss": L, "w": d_w, "a": d_a, "b": d_b, "z": d_z, "margin": d_margin, "dev": d_dev}


def design_matrix(X, w, a, b, site, y, weight):
    Phi = np.hstack([X, np.eye(3)[site], np.ones((11, 1))])
    theta = np.concatenate([w, a, [b]])
    omega = np.diag(weight / weight.sum())
    mu = sigma(Phi @ theta)
    C = np.eye(3) - np.ones((3, 3)) / 3
    grad = Phi.T @ omega @ (mu - y)
    grad[:5] += LASSO * w / np.hypot(w, DELTA ** 0.5)
    grad[5:8] += RIDGE * C @ a
    return {"dw": grad[:5], "da": grad[5:8], "db": grad[8]}


RIGHT = (residuals, margins_in_a_loop, all_intermediates, design_matrix)

SLIPS = (
    Slip("sample weights forgotten", residuals,
         ("e = weight * (p - y) / weight.sum()", "e = (p - y) / len(y)"),
         label=label("wrong-operand missing-local-derivative wrong-local-rule", "nll fit weight margin z",
                     "multiply sum divide")),
    Slip("weights applied and divided by the number of samples", residuals,
         ("e = weight * (p - y) / weight.sum()", "e = weight * (p - y) / len(y)"),
         label=label("scale wrong-operand", "fit nll margin z weight", "divide sum multiply negative log_sigmoid")),
    Slip("sigmoid' times the residual, as with squared errors", residuals,
         ("e = weight * (p - y) / weight.sum()", "e = weight * (p - y) * p * (1 - p) / weight.sum()"),
         label=label("double-derivative", "z margin nll", "log_sigmoid")),
    Slip("lasso's sign by np.sign, no smoothing", residuals,
         ("gw += LASSO * w / np.sqrt(w ** 2 + DELTA)", "gw += LASSO * np.sign(w)"),
         label=label("wrong-local-rule wrong-argument", "lasso w", "sqrt add")),
    Slip("ridge's derivative for the lasso", residuals,
         ("gw += LASSO * w / np.sqrt(w ** 2 + DELTA)", "gw += LASSO * w"),
         label=label("missing-local-derivative wrong-local-rule", "lasso w", "sqrt")),
    Slip("sites shrunk to zero", residuals, ("ga += RIDGE * (a - a.mean())", "ga += RIDGE * a"),
         label=label("wrong-argument wrong-operand dropped-path extra-term", "dev ridge a",
                     "mean subtract square")),
    Slip("penalty of the sites subtracted", residuals,
         ("ga += RIDGE * (a - a.mean())", "ga -= RIDGE * (a - a.mean())"),
         label=label("sign", "ridge dev a loss", "multiply add sum square subtract")),
    Slip("penalty assigned over the data's gradient of w", residuals,
         ("gw += LASSO * w / np.sqrt(w ** 2 + DELTA)", "gw = LASSO * w / np.sqrt(w ** 2 + DELTA)"),
         label=label("overwritten-accumulation dropped-path", "w z fit", "matmul add")),
    Slip("minus of the margin's derivative lost", margins_in_a_loop,
         ("dz = -t * sigma(-margin) * weight[i] / norm", "dz = t * sigma(-margin) * weight[i] / norm"),
         label=label("sign", "z margin nll fit", "log_sigmoid negative multiply sum divide")),
    Slip("probability of the right class instead of the wrong one", margins_in_a_loop,
         ("dz = -t * sigma(-margin) * weight[i] / norm", "dz = -t * sigma(margin) * weight[i] / norm"),
         label=label("wrong-argument wrong-local-rule", "margin nll z", "log_sigmoid")),
    Slip("label's sign forgotten outside the sigmoid", margins_in_a_loop,
         ("dz = -t * sigma(-margin) * weight[i] / norm", "dz = -sigma(-margin) * weight[i] / norm"),
         label=label("missing-local-derivative wrong-operand sign", "z margin sign", "multiply")),
    Slip("site's row set by each of its samples", margins_in_a_loop, ("da[s] += dz", "da[s] = dz"),
         label=label("scatter overwritten-accumulation", "a z site", "getitem")),
    Slip("shrinkage at the sample loop's leftover site", margins_in_a_loop,
         ("for s in range(len(a)):", "for _ in range(len(a)):"),
         label=label("scatter wrong-operand stale-value", "a dev ridge", "square subtract sum mean")),
    Slip("weight of the first sample for all", margins_in_a_loop,
         ("dz = -t * sigma(-margin) * weight[i] / norm", "dz = -t * sigma(-margin) * weight[0] / norm"),
         label=label("wrong-operand", "nll fit weight margin z", "multiply")),
    Slip("log not differentiated in the log likelihood", all_intermediates,
         ("d_margin = d_logsig * (1 - prob)", "d_margin = d_logsig * prob * (1 - prob)"),
         label=label("missing-local-derivative wrong-local-rule double-derivative", "margin nll z", "log_sigmoid")),
    Slip("label's sign not applied going back", all_intermediates, ("d_z = d_margin * sgn", "d_z = d_margin"),
         label=label("missing-local-derivative wrong-operand sign", "z margin sign", "multiply")),
    Slip("root's half forgotten", all_intermediates, ("d_ww = d_root * 0.5 / root", "d_ww = d_root / root"),
         label=label("scale wrong-local-rule", "lasso w", "sqrt sum multiply add")),
    Slip("divided by w squared plus delta, not its root", all_intermediates,
         ("d_ww = d_root * 0.5 / root", "d_ww = d_root * 0.5 / root ** 2"),
         label=label("wrong-local-rule wrong-argument", "lasso w", "sqrt")),
    Slip("lasso's factor forgotten", all_intermediates,
         ("d_root = LASSO * np.ones_like(root)", "d_root = np.ones_like(root)"),
         label=label("scale missing-local-derivative", "lasso w loss", "multiply sum sqrt add")),
    Slip("ridge's two kept and its half dropped", all_intermediates,
         ("d_dev = RIDGE / 2 * 2 * dev", "d_dev = RIDGE * 2 * dev"),
         label=label("scale", "dev ridge a loss", "square sum multiply add subtract")),
    Slip("site of the sample before", all_intermediates,
         ("d_a[site[i]] += d_z[i]", "d_a[site[i - 1]] += d_z[i]"),
         label=label("scatter wrong-operand", "a site z", "getitem")),
    Slip("sample weights squared", design_matrix,
         ("omega = np.diag(weight / weight.sum())", "omega = np.diag(weight / weight.sum()) ** 2 * len(y)"),
         label=label("wrong-operand double-derivative wrong-local-rule", "nll fit weight margin z",
                     "multiply divide sum")),
    Slip("intercept penalised like the sites", design_matrix,
         ("grad[5:8] += RIDGE * C @ a", "grad[5:8] += RIDGE * C @ a\ngrad[8] += RIDGE * b"),
         label=label("extra-term", "b z", "add")),
    Slip("delta not rooted in the hypotenuse", design_matrix,
         ("grad[:5] += LASSO * w / np.hypot(w, DELTA ** 0.5)", "grad[:5] += LASSO * w / np.hypot(w, DELTA)"),
         label=label("wrong-argument wrong-operand wrong-local-rule", "lasso w", "sqrt add")),
    Slip("wrong sign of the residual and no shrinkage of the sites", design_matrix,
         ("grad = Phi.T @ omega @ (mu - y)", "grad = Phi.T @ omega @ (y - mu)"),
         ("grad[5:8] += RIDGE * C @ a", ""),
         label=label("two", "z margin nll fit a dev ridge", "log_sigmoid negative multiply square sum add")),
)
