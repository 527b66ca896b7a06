"""A straight line through data, with an intercept, a ridge penalty and a rounded absolute value."""

import numpy as np

from tests.battery.slips import Slip, label

PARAMETERS = ("w", "b")
MU = 0.3


def data(rng, dtype):
    values = {"X": rng.normal(size=(9, 5)) * [1, 0.5, 2, 1, 0.7] + [0.5, -0.3, 0.2, 1, 0],
              "y": rng.normal(size=9) + 1, "w": 0.8 * rng.normal(size=5), "b": rng.normal(),
              "ridge": 0.35, "lasso": 0.6}
    return {k: np.asarray(v, dtype) for k, v in values.items()}


def loss(X, y, w, b, ridge, lasso):
    pred = X @ w + b
    res = pred - y
    fit = np.sum(res**2) / (2 * len(y))
    soft = np.sqrt(w**2 + MU**2)
    l1 = lasso * np.sum(soft)
    l2 = 0.5 * ridge * (w @ w)
    loss = fit + l1 + l2
    return loss


def two_lines(X, y, w, b, ridge, lasso):
    r = (X @ w + b - y) / len(y)
    return {"w": X.T @ r + ridge * w + lasso * w / np.sqrt(w**2 + MU**2), "b": r.sum()}


def normal_equations(X, y, w, b, ridge, lasso):
    n = len(X)
    gram = X.T @ X / n
    moments = X.T @ y / n
    means = X.mean(axis=0)
    dw = gram @ w - moments
    dw = dw + means * b
    dw = dw + ridge * w
    dw = dw + lasso / np.sqrt(1 + (MU / w)**2) * np.sign(w)
    db = means @ w + b - y.mean()
    return {"dw": dw, "db": db}


def design_matrix(X, y, w, b, ridge, lasso):
    ones = np.ones((len(X), 1))
    A = np.hstack([X, ones])
    theta = np.append(w, b)
    residual = A @ theta - y
    g_fit = A.T @ residual / A.shape[0]
    g_soft = np.full_like(w, lasso)
    g_square = 0.5 * g_soft / np.hypot(w, MU)
    g_l1 = np.append(g_square * 2 * w, 0)
    g_l2 = ridge * np.append(w, 0)
    g_theta = g_fit + g_l1 + g_l2
    return {"w": g_theta[:-1], "b": g_theta[-1], "res": residual / len(y), "soft": g_soft}


def point_by_point(X, y, w, b, ridge, lasso):
    grad_w, grad_b = np.zeros_like(w), 0.0
    for xi, yi in zip(X, y, strict=True):
        e = xi @ w + b - yi
        grad_w += e * xi
        grad_b += e
    grad_w /= len(y)
    grad_b /= len(y)
    for j in range(len(w)):
        size = (w[j] * w[j] + MU * MU)**0.5
        grad_w[j] += lasso * w[j] / size
        grad_w[j] += ridge * w[j]
    return {"w": grad_w, "b": grad_b}


RIGHT = (two_lines, normal_equations, design_matrix, point_by_point)

SLIPS = (
    Slip("residual the wrong way round", two_lines,
         ("r = (X @ w + b - y) / len(y)", "r = (y - X @ w - b) / len(y)"),
         label=label("sign", "res pred fit", "subtract square sum divide")),
    Slip("two of the square kept", two_lines,
         ("r = (X @ w + b - y) / len(y)", "r = 2 * (X @ w + b - y) / len(y)"),
         label=label("scale", "res pred fit", "square sum divide subtract")),
    Slip("plain absolute value's sign", two_lines,
         ('return {"w": X.T @ r + ridge * w + lasso * w / np.sqrt(w**2 + MU**2), "b": r.sum()}',
          'return {"w": X.T @ r + ridge * w + lasso * np.sign(w), "b": r.sum()}'),
         label=label("wrong-local-rule", "soft l1 w", "sqrt square")),
    Slip("strengths of the penalties exchanged", two_lines,
         ('return {"w": X.T @ r + ridge * w + lasso * w / np.sqrt(w**2 + MU**2), "b": r.sum()}',
          'return {"w": X.T @ r + lasso * w + ridge * w / np.sqrt(w**2 + MU**2), "b": r.sum()}'),
         label=label("swapped wrong-operand scale two", "l1 l2 lasso ridge soft w", "multiply matmul")),
    Slip("intercept averaged once more", two_lines,
         ('return {"w": X.T @ r + ridge * w + lasso * w / np.sqrt(w**2 + MU**2), "b": r.sum()}',
          'return {"w": X.T @ r + ridge * w + lasso * w / np.sqrt(w**2 + MU**2), "b": r.mean()}'),
         label=label("scale", "b pred", "add sum")),
    Slip("root forgotten below the weight", two_lines,
         ('return {"w": X.T @ r + ridge * w + lasso * w / np.sqrt(w**2 + MU**2), "b": r.sum()}',
          'return {"w": X.T @ r + ridge * w + lasso * w / (w**2 + MU**2), "b": r.sum()}'),
         label=label("wrong-local-rule wrong-argument", "soft l1 w", "sqrt")),
    Slip("penalties averaged along with the data", two_lines,
         ('return {"w": X.T @ r + ridge * w + lasso * w / np.sqrt(w**2 + MU**2), "b": r.sum()}',
          'return {"w": X.T @ r + (ridge * w + lasso * w / np.sqrt(w**2 + MU**2)) / len(y), "b": r.sum()}'),
         label=label("scale", "l1 l2 soft w loss", "add multiply sum matmul")),
    Slip("ridge shrinks with the wrong sign", two_lines,
         ('return {"w": X.T @ r + ridge * w + lasso * w / np.sqrt(w**2 + MU**2), "b": r.sum()}',
          'return {"w": X.T @ r - ridge * w + lasso * w / np.sqrt(w**2 + MU**2), "b": r.sum()}'),
         label=label("sign", "l2 w", "matmul multiply add")),
    Slip("Huber's corner in place of the root", two_lines,
         ('return {"w": X.T @ r + ridge * w + lasso * w / np.sqrt(w**2 + MU**2), "b": r.sum()}',
          'return {"w": X.T @ r + ridge * w + lasso * np.clip(w / MU, -1, 1), "b": r.sum()}'),
         label=label("wrong-local-rule", "soft l1 w", "sqrt square")),
    Slip("intercept forgotten in the slopes' gradient", normal_equations, ("dw = dw + means * b", ""),
         label=label("dropped-path wrong-operand", "w b pred res", "add matmul square")),
    Slip("targets added to the gram part", normal_equations, ("dw = gram @ w - moments", "dw = gram @ w + moments"),
         label=label("sign", "w y res pred", "subtract matmul square")),
    Slip("gram matrix alone, targets left out", normal_equations, ("dw = gram @ w - moments", "dw = gram @ w"),
         label=label("dropped-path wrong-operand", "w y res pred", "subtract matmul square")),
    Slip("covariance of centred inputs", normal_equations,
         ("gram = X.T @ X / n", "gram = np.cov(X.T, bias=True)"),
         label=label("wrong-operand dropped-path extra-term", "X w pred res", "matmul")),
    Slip("sign taken off the rounded absolute value", normal_equations,
         ("dw = dw + lasso / np.sqrt(1 + (MU / w)**2) * np.sign(w)", "dw = dw + lasso / np.sqrt(1 + (MU / w)**2)"),
         label=label("missing-local-derivative wrong-local-rule sign", "soft l1 w", "sqrt square")),
    Slip("intercept by the mean prediction", normal_equations,
         ("db = means @ w + b - y.mean()", "db = means @ w + b"),
         label=label("dropped-path wrong-operand", "b y res pred", "subtract square sum")),
    Slip("ridge step forgotten", normal_equations, ("dw = dw + ridge * w", ""),
         label=label("missing-term dropped-path", "l2 w", "matmul multiply add")),
    Slip("ridge overwrites the fit", normal_equations, ("dw = dw + ridge * w", "dw = ridge * w"),
         label=label("overwritten-accumulation dropped-path", "w l2 fit res pred", "matmul add")),
    Slip("intercept shrunk with the slopes", design_matrix,
         ("g_l2 = ridge * np.append(w, 0)", "g_l2 = ridge * theta"),
         label=label("extra-term", "b l2", "matmul multiply add")),
    Slip("rounded penalty on the intercept as well", design_matrix,
         ("g_l1 = np.append(g_square * 2 * w, 0)", "g_l1 = lasso * theta / np.hypot(theta, MU)"),
         label=label("extra-term", "b l1 soft", "sqrt sum multiply add")),
    Slip("mean over all entries of the design", design_matrix,
         ("g_fit = A.T @ residual / A.shape[0]", "g_fit = A.T @ residual / A.size"),
         label=label("scale", "res pred fit", "divide sum square subtract")),
    Slip("square inside the root not derived", design_matrix,
         ("g_l1 = np.append(g_square * 2 * w, 0)", "g_l1 = np.append(g_square, 0)"),
         label=label("missing-local-derivative", "w soft", "square")),
    Slip("half of the root's slope lost", design_matrix,
         ("g_square = 0.5 * g_soft / np.hypot(w, MU)", "g_square = g_soft / np.hypot(w, MU)"),
         label=label("scale wrong-local-rule", "soft w l1", "sqrt square add sum multiply")),
    Slip("root's slope multiplied by the root", design_matrix,
         ("g_square = 0.5 * g_soft / np.hypot(w, MU)", "g_square = 0.5 * g_soft * np.hypot(w, MU)"),
         label=label("wrong-local-rule", "soft w l1", "sqrt")),
    Slip("whole ridge vector added for each weight", point_by_point,
         ("grad_w[j] += ridge * w[j]", "grad_w += ridge * w"),
         label=label("scale extra-term", "l2 w", "matmul multiply add")),
    Slip("intercept missing in the residual", point_by_point, ("e = xi @ w + b - yi", "e = xi @ w - yi"),
         label=label("dropped-path wrong-operand", "res pred b", "add subtract square")),
    Slip("intercept keeps the last residual", point_by_point, ("grad_b += e", "grad_b = e"),
         label=label("overwritten-accumulation dropped-path missing-broadcast-reduction", "b pred", "add sum")),
    Slip("inputs not multiplied in", point_by_point, ("grad_w += e * xi", "grad_w += e"),
         label=label("missing-local-derivative wrong-operand", "w X pred", "matmul")),
    Slip("rounding not squared", point_by_point,
         ("size = (w[j] * w[j] + MU * MU)**0.5", "size = (w[j] * w[j] + MU)**0.5"),
         label=label("wrong-local-rule wrong-argument wrong-operand", "soft w l1", "sqrt add")),
    Slip("penalty before the mean", point_by_point,
         ("grad_w, grad_b = np.zeros_like(w), 0.0", "grad_w, grad_b = ridge * w, 0.0"),
         ("grad_w[j] += ridge * w[j]", ""),
         label=label("scale", "l2 w", "matmul multiply add")),
    Slip("last weight not penalised", point_by_point, ("for j in range(len(w)):", "for j in range(len(w) - 1):"),
         label=label("missing-term dropped-path", "w l1 l2 soft", "sum sqrt square matmul multiply add")),
    Slip("intercept not averaged, lasso with the other sign", point_by_point,
         ("grad_b /= len(y)", ""), ("grad_w[j] += lasso * w[j] / size", "grad_w[j] -= lasso * w[j] / size"),
         label=label("two", "b pred l1 soft w", "add sum sqrt multiply")),
)
