"""Linear regression with an intercept under Huber's loss, a ridge on the weights alone."""

import numpy as np

from tests.battery.slips import Slip, label

PARAMETERS = ("w", "b")

DELTA = 0.9
LAM = 0.25


def data(rng, dtype):
    X = rng.normal(size=(11, 4))
    leaves = {"X": X, "y": X @ rng.normal(size=4) + 1.5 * rng.normal(size=11), "w": rng.normal(size=4),
              "b": 0.2 + 0.5 * rng.normal(size=1)}
    return {k: v.astype(dtype) for k, v in leaves.items()}


def loss(X, y, w, b):
    pred = X @ w + b
    r = pred - y
    absr = np.abs(r)
    quad = 0.5 * r ** 2
    lin = DELTA * (absr - 0.5 * DELTA)
    rho = np.where(absr <= DELTA, quad, lin)
    fit = np.mean(rho)
    ridge = 0.5 * LAM * np.sum(w ** 2)
    total = fit + ridge
    return total


def clipped(X, y, w, b):
    r = X @ w + b - y
    psi = np.clip(r, -DELTA, DELTA)
    gw = X.T @ psi / len(y) + LAM * w
    gb = psi.mean(keepdims=True)
    return {"w": gw, "b": gb}


def branch_by_branch(X, y, w, b):
    n, p = X.shape
    dw = np.zeros(p)
    db = np.zeros(1)
    value = 0.0
    for i in range(n):
        r = np.dot(w, X[i]) + b[0] - y[i]
        if abs(r) <= DELTA:
            value += 0.5 * r * r
            dr = r
        else:
            value += DELTA * (abs(r) - 0.5 * DELTA)
            dr = DELTA * np.sign(r)
        dw += dr * X[i]
        db += dr
    dw /= n
    db /= n
    value /= n
    value += 0.5 * LAM * np.dot(w, w)
    dw += LAM * w
    return {"w": dw, "b": db, "loss": value}


def all_nodes(X, y, w, b):
    N = y.shape[0]
    pred = X @ w + b
    r = pred - y
    absr = np.abs(r)
    small = absr <= DELTA
    d_total = 1.0
    d_fit = d_total
    d_rho = np.full(N, d_fit / N)
    d_quad = np.where(small, d_rho, 0)
    d_lin = np.where(small, 0, d_rho)
    d_absr = DELTA * d_lin
    d_r = d_quad * r
    d_r = d_r + d_absr * np.sign(r)
    d_pred = d_r
    d_w = X.T @ d_pred
    d_b = np.array([d_pred.sum()])
    d_ridge = d_total
    d_w = d_w + d_ridge * LAM * w
    return {"dw": d_w, "db": d_b, "dr": d_r, "dabsr": d_absr, "dquad": d_quad, "dlin": d_lin}


def as_weights(X, y, w, b):
    Z = np.column_stack([X, np.ones(len(X))])
    theta = np.append(w, b)
    resid = y - Z @ theta
    q = np.minimum(1, DELTA / np.maximum(np.abs(resid), 1e-12))
    penalty = LAM * np.append(np.ones(len(w)), 0)
    normal = Z.T @ (q[:, None] * Z) / len(y)
    grad = normal @ theta - Z.T @ (q * y) / len(y) + penalty * theta
    return {"w": grad[:-1], "b": grad[-1:]}


def inliers_and_outliers(X, y, w, b):
    m = len(y)
    error = X @ w + b - y
    inside = np.abs(error) <= DELTA
    above = error > DELTA
    below = error < -DELTA
    grad_w = error[inside] @ X[inside]
    grad_w += DELTA * X[above].sum(axis=0)
    grad_w -= DELTA * X[below].sum(axis=0)
    grad_b = error[inside].sum()
    grad_b += DELTA * above.sum()
    grad_b -= DELTA * below.sum()
    return {"w": grad_w / m + LAM * w, "b": np.array([grad_b / m])}


RIGHT = (clipped, branch_by_branch, all_nodes, as_weights, inliers_and_outliers)

SLIPS = (
    Slip("residual not clipped: plain least squares", clipped, ("psi = np.clip(r, -DELTA, DELTA)", "psi = r"),
         label=label("wrong-local-rule missing-local-derivative dropped-path wrong-argument",
                     "rho r quad lin", "where absolute")),
    Slip("clipped at one instead of delta", clipped,
         ("psi = np.clip(r, -DELTA, DELTA)", "psi = np.clip(r, -1, 1)"),
         label=label("wrong-local-rule wrong-argument scale", "rho r quad lin absr", "where less_equal multiply")),
    Slip("ridge on the intercept too", clipped,
         ("gb = psi.mean(keepdims=True)", "gb = psi.mean(keepdims=True) + LAM * b"),
         label=label("extra-term", "b ridge", "add sum square")),
    Slip("ridge forgotten", clipped,
         ("gw = X.T @ psi / len(y) + LAM * w", "gw = X.T @ psi / len(y)"),
         label=label("missing-term dropped-path", "w ridge", "square sum add multiply")),
    Slip("ridge's two not cancelled by its half", clipped,
         ("gw = X.T @ psi / len(y) + LAM * w", "gw = X.T @ psi / len(y) + 2 * LAM * w"),
         label=label("scale wrong-local-rule", "w ridge", "square sum add multiply")),
    Slip("ridge divided by the samples", clipped,
         ("gw = X.T @ psi / len(y) + LAM * w", "gw = (X.T @ psi + LAM * w) / len(y)"),
         label=label("scale", "w ridge", "square sum add multiply")),
    Slip("penalty of the absolute value instead of the square", clipped,
         ("gw = X.T @ psi / len(y) + LAM * w", "gw = X.T @ psi / len(y) + LAM * np.sign(w)"),
         label=label("wrong-local-rule", "w ridge", "square")),
    Slip("data's gradient averaged over the features", clipped,
         ("gw = X.T @ psi / len(y) + LAM * w", "gw = X.T @ psi / len(w) + LAM * w"),
         label=label("scale", "w", "matmul mean")),
    Slip("weight decay subtracted", clipped,
         ("gw = X.T @ psi / len(y) + LAM * w", "gw = X.T @ psi / len(y) - LAM * w"),
         label=label("sign", "w ridge", "square sum add multiply")),
    Slip("intercept summed, not averaged", clipped,
         ("gb = psi.mean(keepdims=True)", "gb = psi.sum(keepdims=True)"),
         label=label("scale", "b", "mean sum add")),
    Slip("intercept from the unclipped residual", clipped,
         ("gb = psi.mean(keepdims=True)", "gb = r.mean(keepdims=True)"),
         label=label("missing-local-derivative wrong-operand stale-value wrong-local-rule", "b", "where add")),
    Slip("sign forgotten in the linear branch", branch_by_branch, ("dr = DELTA * np.sign(r)", "dr = DELTA"),
         label=label("missing-local-derivative wrong-local-rule sign", "absr lin r", "absolute")),
    Slip("delta forgotten in the linear branch", branch_by_branch, ("dr = DELTA * np.sign(r)", "dr = np.sign(r)"),
         label=label("scale missing-local-derivative", "lin absr r", "multiply absolute")),
    Slip("branches the wrong way round", branch_by_branch, ("if abs(r) <= DELTA:", "if abs(r) > DELTA:"),
         label=label("swapped wrong-local-rule wrong-argument", "rho quad lin absr", "where less_equal")),
    Slip("absolute value forgotten in the branch's test", branch_by_branch, ("if abs(r) <= DELTA:", "if r <= DELTA:"),
         label=label("wrong-argument wrong-operand wrong-local-rule",
                     "rho absr quad lin", "where absolute less_equal")),
    Slip("the loss where its derivative should be", branch_by_branch, ("dr = r", "dr = 0.5 * r * r"),
         label=label("missing-local-derivative wrong-local-rule wrong-operand", "quad r", "square multiply")),
    Slip("weights divided by n in the loop and after it", branch_by_branch,
         ("dw += dr * X[i]", "dw += dr * X[i] / n"),
         label=label("scale", "w", "matmul mean sum")),
    Slip("ridge put on before the mean is taken", branch_by_branch,
         ("dw += LAM * w", ""), ("dw /= n", "dw += LAM * w\ndw /= n"),
         label=label("scale", "w ridge", "square sum add multiply")),
    Slip("first row's features for every sample", branch_by_branch, ("dw += dr * X[i]", "dw += dr * X[0]"),
         label=label("wrong-operand stale-value", "w X", "matmul")),
    Slip("target forgotten in the residual", branch_by_branch,
         ("r = np.dot(w, X[i]) + b[0] - y[i]", "r = np.dot(w, X[i]) + b[0]"),
         label=label("wrong-argument wrong-operand stale-value missing-term", "r y", "subtract")),
    Slip("both branches taken at every sample", all_nodes,
         ("d_lin = np.where(small, 0, d_rho)", "d_lin = d_rho"),
         label=label("extra-term missing-local-derivative wrong-local-rule", "lin rho absr", "where")),
    Slip("linear branch overwrites the quadratic one", all_nodes,
         ("d_r = d_r + d_absr * np.sign(r)", "d_r = d_absr * np.sign(r)"),
         label=label("overwritten-accumulation dropped-path", "r quad", "square absolute")),
    Slip("derivative of the absolute value left out", all_nodes,
         ("d_r = d_r + d_absr * np.sign(r)", "d_r = d_r + d_absr"),
         label=label("missing-local-derivative wrong-local-rule sign", "absr r", "absolute")),
    Slip("sign of the target for that of the residual", all_nodes,
         ("d_r = d_r + d_absr * np.sign(r)", "d_r = d_r + d_absr * np.sign(y)"),
         label=label("wrong-argument wrong-operand", "absr r", "absolute")),
    Slip("absolute residual in the quadratic branch", all_nodes, ("d_r = d_quad * r", "d_r = d_quad * absr"),
         label=label("wrong-argument wrong-operand wrong-local-rule sign", "quad r", "square multiply")),
    Slip("ridge overwrites the data's part", all_nodes,
         ("d_w = d_w + d_ridge * LAM * w", "d_w = d_ridge * LAM * w"),
         label=label("overwritten-accumulation dropped-path", "w pred", "matmul add")),
    Slip("mean's one over N forgotten", all_nodes,
         ("d_rho = np.full(N, d_fit / N)", "d_rho = np.full(N, d_fit)"),
         label=label("scale missing-local-derivative", "fit rho r pred", "mean where subtract")),
    Slip("intercept left out of the prediction", all_nodes, ("pred = X @ w + b", "pred = X @ w"),
         label=label("wrong-argument wrong-operand stale-value missing-term", "pred r b", "add subtract")),
    Slip("intercept penalised in the augmented vector", as_weights,
         ("penalty = LAM * np.append(np.ones(len(w)), 0)", "penalty = LAM * np.ones(len(theta))"),
         label=label("extra-term", "b ridge", "add sum square")),
    Slip("weights of the samples forgotten at the targets", as_weights,
         ("grad = normal @ theta - Z.T @ (q * y) / len(y) + penalty * theta",
          "grad = normal @ theta - Z.T @ y / len(y) + penalty * theta"),
         label=label("missing-local-derivative wrong-local-rule wrong-operand dropped-path",
                     "r rho pred", "where subtract")),
    Slip("weights of the samples squared", as_weights,
         ("normal = Z.T @ (q[:, None] * Z) / len(y)", "normal = (q[:, None] * Z).T @ (q[:, None] * Z) / len(y)"),
         ("grad = normal @ theta - Z.T @ (q * y) / len(y) + penalty * theta",
          "grad = normal @ theta - Z.T @ (q * q * y) / len(y) + penalty * theta"),
         label=label("double-derivative wrong-local-rule", "r rho lin absr", "where absolute multiply")),
    Slip("residual below counted as above", inliers_and_outliers,
         ("grad_w -= DELTA * X[below].sum(axis=0)", "grad_w += DELTA * X[below].sum(axis=0)"),
         label=label("sign", "w", "absolute matmul")),
    Slip("outliers dropped from the intercept, and a half at the inliers", inliers_and_outliers,
         ("grad_b += DELTA * above.sum()", ""), ("grad_b -= DELTA * below.sum()", ""),
         ("grad_w = error[inside] @ X[inside]", "grad_w = 0.5 * error[inside] @ X[inside]"),
         label=label("two", "b lin w quad", "where absolute square multiply sum")),
    Slip("low outliers forgotten for the weights", inliers_and_outliers,
         ("grad_w -= DELTA * X[below].sum(axis=0)", ""),
         label=label("dropped-path", "w", "matmul absolute where")),
)
