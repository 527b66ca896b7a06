"""A straight line to two outputs by weighted least squares."""

import numpy as np

from tests.battery.slips import Slip, label

PARAMETERS = ("W", "b")


def data(rng, dtype):
    return {"X": rng.normal(size=(7, 5)).astype(dtype), "W": rng.normal(size=(5, 2)).astype(dtype),
            "b": rng.normal(size=2).astype(dtype), "Y": (2 * rng.normal(size=(7, 2))).astype(dtype),
            "s": rng.uniform(0.4, 2.5, size=7).astype(dtype)}


def loss(X, W, b, Y, s):
    xw = X @ W
    pred = xw + b
    r = pred - Y
    sq = r**2
    per = np.sum(sq, axis=1)
    weighted = s * per
    total = weighted.sum()
    norm = 2 * s.sum()
    loss = total / norm
    return loss


def short(X, W, b, Y, s):
    r = X @ W + b - Y
    tmp = s[:, None] * r
    tmp /= s.sum()
    return {"W": X.T @ tmp, "b": tmp.sum(0)}


def whitened(X, W, b, Y, s):
    root = np.sqrt(s / s.sum())[:, None]
    ones = np.ones((len(X), 1), dtype=X.dtype)
    A = root * np.hstack([X, ones])
    B = root * Y
    theta = np.vstack([W, b])
    G = A.T @ (A @ theta - B)
    return {"W": G[:-1], "b": G[-1]}


def normal_equations(X, W, b, Y, s):
    p = s / s.sum()
    P = np.diag(p)
    XtPX = X.T @ P @ X
    XtPY = X.T @ P @ Y
    x_bar = p @ X
    y_bar = p @ Y
    dW = XtPX @ W + np.outer(x_bar, b) - XtPY
    db = x_bar @ W + b - y_bar
    return {"dW": dW, "db": db}


def sample_by_sample(X, W, b, Y, s):
    dW = np.zeros_like(W)
    db = np.zeros_like(b)
    total = 0.0
    for i in range(X.shape[0]):
        e = X[i] @ W + b - Y[i]
        total = total + s[i] * (e @ e) / 2
        dW += s[i] * np.outer(X[i], e)
        db += s[i] * e
    mass = s.sum()
    dW = dW / mass
    db = db / mass
    return {"W": dW, "b": db, "loss": total / mass}


def output_by_output(X, W, b, Y, s):
    r_0 = X @ W[:, 0] + b[0] - Y[:, 0]
    r_1 = X @ W[:, 1] + b[1] - Y[:, 1]
    q = s / np.sum(s)
    dW = np.empty_like(W)
    db = np.empty_like(b)
    dW[:, 0] = X.T @ (q * r_0)
    dW[:, 1] = X.T @ (q * r_1)
    db[0] = q @ r_0
    db[1] = q @ r_1
    return {"W": dW, "b": db}


def step_by_step(X, W, b, Y, s):
    pred = X @ W + b
    r = pred - Y
    norm = 2 * s.sum()
    d_total = 1 / norm
    d_weighted = d_total * np.ones_like(s)
    d_per = s * d_weighted
    d_sq = np.repeat(d_per[:, None], 2, axis=1)
    d_r = d_sq * 2 * r
    d_pred = d_r
    d_b = d_pred.sum(axis=0)
    d_W = X.T @ d_pred
    return {"W": d_W, "b": d_b, "pred": d_pred, "per": d_per}


RIGHT = (short, whitened, normal_equations, sample_by_sample, output_by_output, step_by_step)

SLIPS = (
    Slip("targets minus prediction", short, ("r = X @ W + b - Y", "r = Y - X @ W - b"),
         label=label("sign", "r pred sq per weighted total loss", "subtract sum multiply divide add")),
    Slip("divided by the number of samples instead of the sum of weights", short,
         ("tmp /= s.sum()", "tmp /= len(s)"),
         label=label("scale wrong-operand", "loss norm total weighted per sq r pred", "divide sum multiply")),
    Slip("bias from the residuals without weights", short,
         ('return {"W": X.T @ tmp, "b": tmp.sum(0)}', 'return {"W": X.T @ tmp, "b": r.mean(0)}'),
         label=label("missing-local-derivative wrong-operand", "b pred weighted per r", "multiply add sum")),
    Slip("weights squared", short, ("tmp = s[:, None] * r", "tmp = s[:, None] ** 2 * r"),
         label=label("double-derivative wrong-local-rule wrong-operand", "weighted per sq r pred", "multiply")),
    Slip("intercept left out of the residual", short, ("r = X @ W + b - Y", "r = X @ W - Y"),
         label=label("wrong-argument wrong-operand wrong-local-rule", "sq r pred xw", "add subtract")),
    Slip("bias summed over everything", short,
         ('return {"W": X.T @ tmp, "b": tmp.sum(0)}', 'return {"W": X.T @ tmp, "b": tmp.sum() + 0 * b}'),
         label=label("wrong-axis missing-broadcast-reduction", "b pred", "add sum")),
    Slip("targets not whitened", whitened, ("B = root * Y", "B = Y"),
         label=label("wrong-argument wrong-operand wrong-local-rule",
                     "sq r pred weighted Y", "subtract multiply")),
    Slip("square root of the weights forgotten", whitened,
         ("root = np.sqrt(s / s.sum())[:, None]", "root = (s / s.sum())[:, None]"),
         label=label("wrong-local-rule double-derivative wrong-operand",
                     "weighted per sq r pred total norm loss", "multiply divide")),
    Slip("ones column not whitened", whitened,
         ("A = root * np.hstack([X, ones])", "A = np.hstack([root * X, ones])"),
         label=label("wrong-argument two wrong-operand missing-local-derivative wrong-local-rule",
                     "sq r pred b weighted per", "add multiply")),
    Slip("rows of theta's gradient cut as if the ones came first", whitened,
         ('return {"W": G[:-1], "b": G[-1]}', 'return {"W": G[1:], "b": G[0]}'),
         label=label("swapped scatter wrong-operand", "W b xw pred", "matmul add")),
    Slip("bias term missing in W's normal equations", normal_equations,
         ("dW = XtPX @ W + np.outer(x_bar, b) - XtPY", "dW = XtPX @ W - XtPY"),
         label=label("wrong-argument dropped-path wrong-operand", "W xw pred r sq b", "matmul add")),
    Slip("plain mean of the targets", normal_equations, ("y_bar = p @ Y", "y_bar = Y.mean(axis=0)"),
         label=label("wrong-operand missing-local-derivative wrong-argument",
                     "b pred r sq weighted Y", "add subtract multiply")),
    Slip("plain mean of the inputs", normal_equations, ("x_bar = p @ X", "x_bar = X.mean(axis=0)"),
         label=label("wrong-operand two missing-local-derivative wrong-argument",
                     "W b xw pred r sq weighted X", "matmul add multiply")),
    Slip("targets' moments not weighted", normal_equations, ("XtPY = X.T @ P @ Y", "XtPY = X.T @ Y / len(Y)"),
         label=label("wrong-operand missing-local-derivative wrong-argument",
                     "W xw pred r sq weighted Y", "matmul subtract multiply")),
    Slip("targets added for the bias", normal_equations,
         ("db = x_bar @ W + b - y_bar", "db = x_bar @ W + b + y_bar"),
         label=label("sign wrong-argument", "b pred r sq Y", "subtract add")),
    Slip("W's gradient is the last sample's", sample_by_sample,
         ("dW += s[i] * np.outer(X[i], e)", "dW = s[i] * np.outer(X[i], e)"),
         label=label("overwritten-accumulation dropped-path missing-broadcast-reduction", "W xw", "matmul")),
    Slip("weight of the sample before for the bias", sample_by_sample,
         ("db += s[i] * e", "db += s[i - 1] * e"),
         label=label("wrong-operand stale-value", "b pred weighted s", "add multiply")),
    Slip("bias not divided", sample_by_sample, ("db = db / mass", ""),
         label=label("scale", "b pred", "add sum divide")),
    Slip("first sample never seen", sample_by_sample,
         ("for i in range(X.shape[0]):", "for i in range(1, X.shape[0]):"),
         label=label("dropped-path missing-broadcast-reduction",
                     "total weighted per sq r pred xw W b loss X", "sum matmul add")),
    Slip("second output's residual copied from the first", output_by_output,
         ("dW[:, 1] = X.T @ (q * r_1)", "dW[:, 1] = X.T @ (q * r_0)"),
         label=label("wrong-operand", "W xw pred r", "matmul")),
    Slip("second residual with the first output's targets", output_by_output,
         ("r_1 = X @ W[:, 1] + b[1] - Y[:, 1]", "r_1 = X @ W[:, 1] + b[1] - Y[:, 0]"),
         label=label("wrong-operand wrong-argument", "r Y sq pred", "subtract")),
    Slip("weights over their maximum", output_by_output, ("q = s / np.sum(s)", "q = s / np.max(s)"),
         label=label("scale wrong-operand", "loss norm total weighted per sq r pred", "divide sum multiply")),
    Slip("absolute value derived in place of the square", step_by_step,
         ("d_r = d_sq * 2 * r", "d_r = d_sq * np.sign(r)"),
         label=label("wrong-local-rule", "sq r")),
    Slip("two of the square forgotten", step_by_step, ("d_r = d_sq * 2 * r", "d_r = d_sq * r"),
         label=label("scale wrong-local-rule", "sq r per pred")),
    Slip("value of the square sent back", step_by_step, ("d_r = d_sq * 2 * r", "d_r = d_sq * r ** 2"),
         label=label("wrong-local-rule wrong-argument", "sq r")),
    Slip("sample weights not passed through", step_by_step, ("d_per = s * d_weighted", "d_per = d_weighted"),
         label=label("missing-local-derivative", "weighted per", "multiply")),
    Slip("divided by the weights as if to undo them", step_by_step,
         ("d_per = s * d_weighted", "d_per = d_weighted / s"),
         label=label("wrong-local-rule", "weighted per", "multiply")),
    Slip("prediction in the place of the residual, and bias averaged", step_by_step,
         ("d_r = d_sq * 2 * r", "d_r = d_sq * 2 * pred"), ("d_b = d_pred.sum(axis=0)", "d_b = d_pred.mean(axis=0)"),
         label=label("two", "sq r pred b", "add")),
)
