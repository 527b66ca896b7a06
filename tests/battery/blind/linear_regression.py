"""Polynomial features of one variable, two outputs, ridge: mean squared error plus alpha times the squared weights."""

import numpy as np

from tests.battery.slips import Slip

PARAMETERS = ("coef", "intercept")


def data(rng, dtype):
    values = {"x": rng.uniform(-1.5, 1.5, size=9), "Y": rng.normal(size=(9, 2)),
              "coef": rng.normal(size=(3, 2)), "intercept": rng.normal(size=2)}
    values = {name: value.astype(dtype) for name, value in values.items()}
    return {**values, "alpha": dtype(0.2)}


def loss(x, Y, coef, intercept, alpha):
    Phi = np.stack([x, x ** 2, x ** 3], axis=1)
    pred = Phi @ coef + intercept
    resid = pred - Y
    mse = np.mean(resid ** 2)
    ridge = alpha * np.sum(coef ** 2)
    cost = mse + ridge
    return cost


def plain(x, Y, coef, intercept, alpha):
    Phi = np.stack([x, x ** 2, x ** 3], axis=1)
    pred = Phi @ coef + intercept
    resid = pred - Y
    dpred = 2 * resid / resid.size
    dcoef = Phi.T @ dpred
    dcoef = dcoef + 2 * alpha * coef
    dintercept = dpred.sum(axis=0)
    return {"coef": dcoef, "intercept": dintercept, "resid": dpred}


def gram(x, Y, coef, intercept, alpha):
    """Multiplied out, with the moments of the data."""
    P = np.column_stack((x, x * x, x * x * x))
    n, k = Y.shape
    G = P.T @ P
    colsum = P.sum(axis=0)
    cross = P.T @ Y
    g_w = G @ coef + np.outer(colsum, intercept) - cross
    g_c = coef.T @ colsum + n * intercept - Y.sum(axis=0)
    return {"coef": 2 / (n * k) * g_w + 2 * alpha * coef, "intercept": 2 / (n * k) * g_c}


def element_by_element(x, Y, coef, intercept, alpha):
    n, outputs = Y.shape
    degree = coef.shape[0]
    d_coef = np.zeros(coef.shape)
    d_int = np.zeros(intercept.shape)
    for i in range(n):
        for k in range(outputs):
            yhat = intercept[k]
            for d in range(degree):
                yhat = yhat + coef[d, k] * x[i] ** (d + 1)
            common = 2 * (yhat - Y[i, k])
            common = common / (n * outputs)
            for d in range(degree):
                d_coef[d, k] += common * x[i] ** (d + 1)
            d_int[k] += common
    for d in range(degree):
        for k in range(outputs):
            d_coef[d, k] += 2 * alpha * coef[d, k]
    return {"coef": d_coef, "intercept": d_int}


def output_by_output(x, Y, coef, intercept, alpha):
    powers = np.vander(x, 4, increasing=True)
    W = np.vstack([intercept, coef])
    lam = np.diag([0, alpha, alpha, alpha])
    columns = []
    for k in range(Y.shape[1]):
        w = W[:, k]
        r = Y[:, k] - powers @ w
        col = -2 * powers.T @ r / Y.size
        col = col + 2 * lam @ w
        columns.append(col)
    D = np.stack(columns, axis=1)
    return {"dcoef": D[1:], "dintercept": D[0]}


RIGHT = (plain, gram, element_by_element, output_by_output)

SLIPS = (
    Slip("forgot the two of the square in the residuals", plain,
         ("dpred = 2 * resid / resid.size", "dpred = resid / resid.size")),
    Slip("divided by the samples only although the mean is over the outputs too", plain,
         ("dpred = 2 * resid / resid.size", "dpred = 2 * resid / len(resid)")),
    Slip("ridge term without its two", plain,
         ("dcoef = dcoef + 2 * alpha * coef", "dcoef = dcoef + alpha * coef")),
    Slip("ridge differentiated like a norm, not its square", plain,
         ("dcoef = dcoef + 2 * alpha * coef", "dcoef = dcoef + alpha * coef / np.linalg.norm(coef)")),
    Slip("no ridge in the gradient", plain, ("dcoef = dcoef + 2 * alpha * coef", "")),
    Slip("summed the intercept's gradient over everything", plain,
         ("dintercept = dpred.sum(axis=0)", "dintercept = dpred.sum()")),
    Slip("intercept's gradient not summed over the samples", plain,
         ("dintercept = dpred.sum(axis=0)", "dintercept = dpred")),
    Slip("predicted without the intercept, gone from the residual", plain,
         ("pred = Phi @ coef + intercept", "pred = Phi @ coef")),
    Slip("cubic feature written as a square again", gram,
         ("P = np.column_stack((x, x * x, x * x * x))", "P = np.column_stack((x, x * x, x * x))")),
    Slip("forgot the intercept when multiplying out the weights' gradient", gram,
         ("g_w = G @ coef + np.outer(colsum, intercept) - cross", "g_w = G @ coef - cross")),
    Slip("intercept added once instead of n times", gram,
         ("g_c = coef.T @ colsum + n * intercept - Y.sum(axis=0)",
          "g_c = coef.T @ colsum + intercept - Y.sum(axis=0)")),
    Slip("cross term with Y has the wrong sign", gram,
         ("g_w = G @ coef + np.outer(colsum, intercept) - cross",
          "g_w = G @ coef + np.outer(colsum, intercept) + cross")),
    Slip("powers start at zero in the gradient", element_by_element,
         ("d_coef[d, k] += common * x[i] ** (d + 1)", "d_coef[d, k] += common * x[i] ** d")),
    Slip("differentiated the feature: (d + 1) x**d", element_by_element,
         ("d_coef[d, k] += common * x[i] ** (d + 1)", "d_coef[d, k] += common * (d + 1) * x[i] ** d")),
    Slip("ridge overwrites the weights' gradient", element_by_element,
         ("d_coef[d, k] += 2 * alpha * coef[d, k]", "d_coef[d, k] = 2 * alpha * coef[d, k]")),
    Slip("intercept keeps the last sample's gradient only", element_by_element,
         ("d_int[k] += common", "d_int[k] = common")),
    Slip("dropped the minus in front although the residual is target minus prediction", output_by_output,
         ("col = -2 * powers.T @ r / Y.size", "col = 2 * powers.T @ r / Y.size")),
    Slip("ridge on the intercept as well", output_by_output,
         ("lam = np.diag([0, alpha, alpha, alpha])", "lam = np.diag([alpha, alpha, alpha, alpha])")),
    Slip("the first output's weights used for every output", output_by_output, ("w = W[:, k]", "w = W[:, 0]")),
    Slip("took the highest power first, as np.vander does by itself", output_by_output,
         ("powers = np.vander(x, 4, increasing=True)", "powers = np.vander(x, 4)")),
    Slip("no mean at all, and the ridge subtracted", output_by_output,
         ("col = -2 * powers.T @ r / Y.size", "col = -2 * powers.T @ r"),
         ("col = col + 2 * lam @ w", "col = col - 2 * lam @ w")),
)
