"""Least squares with an intercept and a penalty on the weights, by residuals and by the normal equations."""

import numpy as np

from tests.battery.slips import Slip, label

PARAMETERS = ("w", "b")


def data(rng, dtype):
    leaves = {"X": rng.normal(size=(9, 4)) + 0.3, "w": rng.normal(size=4), "b": rng.normal(size=()),
              "y": rng.normal(size=9), "lam": rng.uniform(0.3, 0.8, size=())}
    return {name: np.asarray(value).astype(dtype) for name, value in leaves.items()}


def loss(X, y, w, b, lam):
    pred = X @ w + b
    resid = pred - y
    fit = np.sum(resid ** 2) / (2 * len(X))
    norm2 = w @ w
    penalty = lam / 2 * norm2
    loss = fit + penalty
    return loss


def by_residuals(X, y, w, b, lam):
    m = X.shape[0]
    r = X @ w + b - y
    dw = X.T @ r / m
    dw += lam * w
    db = r.sum() / m
    return {"w": dw, "b": db}


def normal_equations(X, y, w, b, lam):
    n, d = X.shape
    gram = X.T @ X
    moment = X.T @ y
    column = X.sum(axis=0)
    grad_w = (gram @ w + b * column - moment) / n + lam * w
    grad_b = (column @ w + n * b - y.sum()) / n
    return {"dw": grad_w, "db": grad_b}


def with_column_of_ones(X, y, w, b, lam):
    Z = np.column_stack([np.ones(len(X), dtype=X.dtype), X])
    theta = np.append(b, w)
    keep = np.ones_like(theta)
    keep[0] = 0
    g = Z.T @ (Z @ theta) - Z.T @ y
    g = g / len(y)
    g = g + lam * keep * theta
    return {"w": g[1:], "b": g[0]}


def point_by_point(X, y, w, b, lam):
    slope, offset, value = np.zeros_like(w), 0.0, 0.0
    for x_i, y_i in zip(X, y, strict=True):
        e = y_i - (x_i @ w + b)
        value += e * e
        slope -= e * x_i
        offset -= e
    slope = slope / len(y) + w * lam
    offset = offset / len(y)
    return {"w": slope, "b": offset, "loss": value / (2 * len(y)) + lam * (w ** 2).sum() / 2}


RIGHT = (by_residuals, normal_equations, with_column_of_ones, point_by_point)

SLIPS = (
    Slip("penalty with the factor two of an unhalved square", by_residuals, ("dw += lam * w", "dw += 2 * lam * w"),
         label=label("scale", "penalty norm2 w", "multiply divide matmul")),
    Slip("penalty forgotten", by_residuals, ("dw += lam * w", ""),
         label=label("missing-term dropped-path", "penalty norm2 w", "multiply matmul add")),
    Slip("penalty replaces the fit's gradient of w", by_residuals, ("dw += lam * w", "dw = lam * w"),
         label=label("overwritten-accumulation dropped-path", "w fit pred resid penalty", "matmul add")),
    Slip("penalty as of the absolute value", by_residuals, ("dw += lam * w", "dw += lam * np.sign(w)"),
         label=label("wrong-local-rule", "penalty norm2 w", "matmul multiply")),
    Slip("intercept penalised too", by_residuals, ("db = r.sum() / m", "db = r.sum() / m + lam * b"),
         label=label("extra-term", "b penalty norm2", "add")),
    Slip("residual without the intercept", by_residuals, ("r = X @ w + b - y", "r = X @ w - y"),
         label=label("wrong-operand dropped-path wrong-argument", "resid pred b fit", "square add subtract")),
    Slip("residual taken the other way about", by_residuals, ("r = X @ w + b - y", "r = y - (X @ w + b)"),
         label=label("sign", "resid fit pred", "square subtract")),
    Slip("fit's gradient with the targets for residuals", by_residuals, ("dw = X.T @ r / m", "dw = X.T @ y / m"),
         label=label("wrong-operand wrong-argument", "w resid pred y", "matmul square")),
    Slip("penalty inside the mean over points", normal_equations,
         ("grad_w = (gram @ w + b * column - moment) / n + lam * w",
          "grad_w = (gram @ w + b * column - moment + lam * w) / n"),
         label=label("scale", "penalty norm2 w", "multiply divide matmul")),
    Slip("cross term of intercept and inputs left out for w", normal_equations,
         ("grad_w = (gram @ w + b * column - moment) / n + lam * w",
          "grad_w = (gram @ w - moment) / n + lam * w"),
         label=label("dropped-path wrong-operand wrong-argument", "w pred resid b", "matmul add")),
    Slip("intercept's own term not multiplied by the number of points", normal_equations,
         ("grad_b = (column @ w + n * b - y.sum()) / n", "grad_b = (column @ w + b - y.sum()) / n"),
         label=label("scale missing-broadcast-reduction wrong-operand dropped-path", "b pred resid", "add sum")),
    Slip("intercept as if inputs were centred", normal_equations,
         ("grad_b = (column @ w + n * b - y.sum()) / n", "grad_b = b - y.mean()"),
         label=label("dropped-path wrong-operand wrong-argument", "b pred resid w", "add matmul")),
    Slip("mean over features in the moments", normal_equations, ("n, d = X.shape", "d, n = X.shape"),
         label=label("scale", "fit resid pred loss", "divide sum square")),
    Slip("penalty subtracted", with_column_of_ones, ("g = g + lam * keep * theta", "g = g - lam * keep * theta"),
         label=label("sign", "penalty norm2 w", "add multiply matmul")),
    Slip("first component not kept out of the penalty", with_column_of_ones, ("keep[0] = 0", ""),
         label=label("extra-term", "b penalty norm2", "add")),
    Slip("last component kept out of the penalty instead of the first", with_column_of_ones,
         ("keep[0] = 0", "keep[-1] = 0"),
         label=label("two extra-term missing-term dropped-path", "b w penalty norm2", "add multiply matmul")),
    Slip("intercept read from the end", with_column_of_ones,
         ('return {"w": g[1:], "b": g[0]}', 'return {"w": g[:-1], "b": g[-1]}'),
         label=label("swapped scatter wrong-operand", "w b")),
    Slip("targets' term with a plus", with_column_of_ones,
         ("g = Z.T @ (Z @ theta) - Z.T @ y", "g = Z.T @ (Z @ theta) + Z.T @ y"),
         label=label("sign wrong-operand wrong-argument", "y resid pred fit", "subtract square")),
    Slip("minus of the inner derivative lost for the slope", point_by_point, ("slope -= e * x_i", "slope += e * x_i"),
         label=label("sign", "w pred resid", "matmul")),
    Slip("two of the square kept although the loss has the half", point_by_point,
         ("slope -= e * x_i", "slope -= 2 * e * x_i"), ("offset -= e", "offset -= 2 * e"),
         label=label("scale", "fit resid pred", "square divide sum")),
    Slip("offset overwritten by the last point, and weights without penalty", point_by_point,
         ("offset -= e", "offset = -e"), ("slope = slope / len(y) + w * lam", "slope = slope / len(y)"),
         label=label("two", "b w pred resid penalty norm2", "add sum multiply matmul")),
    Slip("absolute error's derivative", point_by_point,
         ("slope -= e * x_i", "slope -= np.sign(e) * x_i"), ("offset -= e", "offset -= np.sign(e)"),
         label=label("wrong-local-rule", "resid fit", "square")),
)
