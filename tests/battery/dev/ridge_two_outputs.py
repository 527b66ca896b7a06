"""Ridge regression with two outputs on features standardised inside the loss; the features' gradient is asked for too.

Each output has a strength of its own for the penalty.
"""

import numpy as np

from tests.battery.slips import Slip

PARAMETERS = ("X", "W", "b")


def data(rng, dtype):
    X = rng.normal(size=(9, 4)) * [0.7, 1.6, 1.1, 2.0] + [0.5, -1.0, 0.3, 0.8]
    return {"X": X.astype(dtype), "Y": (1.5 * rng.normal(size=(9, 2))).astype(dtype),
            "W": rng.normal(size=(4, 2)).astype(dtype), "b": rng.normal(size=2).astype(dtype),
            "lam": np.array([0.3, 0.12], dtype)}


def loss(X, Y, W, b, lam):
    mu = X.mean(axis=0)
    C = X - mu
    var = (C ** 2).mean(axis=0)
    sd = np.sqrt(var)
    S = C / sd
    pred = S @ W + b
    E = pred - Y
    fit = (E ** 2).sum() / (2 * X.shape[0])
    penalty = (lam * (W ** 2).sum(axis=0)).sum()
    loss = fit + penalty
    return loss


def step_by_step(X, Y, W, b, lam):
    n = len(X)
    mu = X.mean(axis=0)
    C = X - mu
    var = (C ** 2).mean(axis=0)
    sd = np.sqrt(var)
    S = C / sd
    E = S @ W + b - Y
    dpred = E / n
    dW = S.T @ dpred
    dW = dW + 2 * lam * W
    db = dpred.sum(axis=0)
    dS = dpred @ W.T
    dsd = -(dS * C).sum(axis=0) / sd ** 2
    dvar = dsd / (2 * sd)
    dC = dS / sd + dvar * 2 * C / n
    dmu = -dC.sum(axis=0)
    dX = dC + dmu / n
    return {"X": dX, "W": dW, "b": db, "S": dS}


def closed_form(X, Y, W, b, lam):
    m = X.shape[0]
    sigma = X.std(axis=0)
    Z = (X - X.mean(axis=0)) / sigma
    R = (Z @ W + b - Y) / m
    G = R @ W.T
    gX = (G - G.mean(axis=0) - Z * (G * Z).mean(axis=0)) / sigma
    gW = Z.T @ R + 2 * W * lam
    gb = R.sum(axis=0)
    return {"X": gX, "W": gW, "b": gb}


def output_by_output(X, Y, W, b, lam):
    n, d = X.shape
    sd = np.sqrt(X.var(axis=0))
    S = (X - X.mean(axis=0)) / sd
    gS = np.zeros_like(X)
    gW, gb = np.zeros_like(W), np.zeros_like(b)
    for k in range(W.shape[1]):
        err = S @ W[:, k] + b[k] - Y[:, k]
        gW[:, k] = S.T @ err / n + 2 * lam[k] * W[:, k]
        gb[k] = err.mean()
        gS = gS + np.outer(err, W[:, k]) / n
    gX = np.zeros_like(X)
    for j in range(d):
        u = S[:, j]
        g = gS[:, j]
        gX[:, j] = (g - g.mean() - u * (g @ u) / n) / sd[j]
    return {"X": gX, "W": gW, "b": gb}


def normal_equations(X, Y, W, b, lam):
    n = X.shape[0]
    ones = np.ones(n, X.dtype)
    center = np.eye(n, dtype=X.dtype) - np.outer(ones, ones) / n
    Xc = center @ X
    inv = 1 / np.sqrt((Xc * Xc).sum(axis=0) / n)
    S = Xc * inv
    gram = S.T @ S / n
    grad_W = gram @ W - S.T @ Y / n + 2 * W @ np.diag(lam)
    grad_b = b - ones @ Y / n
    resid = S @ W + b - Y
    grad_S = resid @ W.T / n
    grad_Xc = grad_S * inv
    grad_inv = (grad_S * Xc).sum(axis=0)
    grad_Xc = grad_Xc - grad_inv * inv ** 3 * Xc / n
    grad_X = center.T @ grad_Xc
    return {"X": grad_X, "W": grad_W, "b": grad_b}


RIGHT = (step_by_step, closed_form, output_by_output, normal_equations)

SLIPS = (
    Slip("the penalty's square lost its two", step_by_step, ("dW = dW + 2 * lam * W", "dW = dW + lam * W")),
    Slip("the penalty was averaged over the samples", step_by_step,
         ("dW = dW + 2 * lam * W", "dW = dW + 2 * lam * W / n")),
    Slip("no penalty on the first feature, as if it were the intercept", step_by_step,
         ("dW = dW + 2 * lam * W", "dW[1:] = dW[1:] + 2 * lam * W[1:]")),
    Slip("the derivative of a lasso penalty", step_by_step,
         ("dW = dW + 2 * lam * W", "dW = dW + lam * np.sign(W)")),
    Slip("the penalty's line was lost", step_by_step, ("dW = dW + 2 * lam * W", "")),
    Slip("kept the two of the square though the half cancels it", step_by_step,
         ("dpred = E / n", "dpred = 2 * E / n")),
    Slip("W's gradient from the raw features", step_by_step, ("dW = S.T @ dpred", "dW = X.T @ dpred")),
    Slip("W's gradient from features that are only centred", step_by_step, ("dW = S.T @ dpred", "dW = C.T @ dpred")),
    Slip("predicted from features that are only centred", step_by_step,
         ("E = S @ W + b - Y", "E = C @ W + b - Y")),
    Slip("the recomputed prediction forgot the intercept", step_by_step, ("E = S @ W + b - Y", "E = S @ W - Y")),
    Slip("one over sd, not its square, in the quotient rule", step_by_step,
         ("dsd = -(dS * C).sum(axis=0) / sd ** 2", "dsd = -(dS * C).sum(axis=0) / sd")),
    Slip("the quotient rule's minus is gone", step_by_step,
         ("dsd = -(dS * C).sum(axis=0) / sd ** 2", "dsd = (dS * C).sum(axis=0) / sd ** 2")),
    Slip("dsd keeps a row for each sample", step_by_step,
         ("dsd = -(dS * C).sum(axis=0) / sd ** 2", "dsd = -dS * C / sd ** 2")),
    Slip("the derivative of the root without its half", step_by_step, ("dvar = dsd / (2 * sd)", "dvar = dsd / sd")),
    Slip("the derivative of the root taken at sd", step_by_step,
         ("dvar = dsd / (2 * sd)", "dvar = dsd / (2 * np.sqrt(sd))")),
    Slip("the variance's mean was taken for a sum", step_by_step,
         ("dC = dS / sd + dvar * 2 * C / n", "dC = dS / sd + dvar * 2 * C")),
    Slip("the standard deviation taken as given", step_by_step,
         ("dC = dS / sd + dvar * 2 * C / n", "dC = dS / sd")),
    Slip("dmu added whole to each sample", step_by_step, ("dX = dC + dmu / n", "dX = dC + dmu")),
    Slip("dmu without its minus", step_by_step,
         ("dmu = -dC.sum(axis=0)", "dmu = dC.sum(axis=0)")),
    Slip("the mean taken as given", step_by_step, ("dX = dC + dmu / n", "dX = dC")),
    Slip("sigma with n - 1", closed_form, ("sigma = X.std(axis=0)", "sigma = X.std(axis=0, ddof=1)")),
    Slip("one sigma for all features", closed_form, ("sigma = X.std(axis=0)", "sigma = X.std()")),
    Slip("multiplied by sigma at the end", closed_form,
         ("gX = (G - G.mean(axis=0) - Z * (G * Z).mean(axis=0)) / sigma",
          "gX = (G - G.mean(axis=0) - Z * (G * Z).mean(axis=0)) * sigma")),
    Slip("the projection on Z summed instead of averaged", closed_form,
         ("gX = (G - G.mean(axis=0) - Z * (G * Z).mean(axis=0)) / sigma",
          "gX = (G - G.mean(axis=0) - Z * (G * Z).sum(axis=0)) / sigma")),
    Slip("the projection on Z not multiplied by Z again", closed_form,
         ("gX = (G - G.mean(axis=0) - Z * (G * Z).mean(axis=0)) / sigma",
          "gX = (G - G.mean(axis=0) - (G * Z).mean(axis=0)) / sigma")),
    Slip("the mean of G over the features", closed_form,
         ("gX = (G - G.mean(axis=0) - Z * (G * Z).mean(axis=0)) / sigma",
          "gX = (G - G.mean(axis=1, keepdims=True) - Z * (G * Z).mean(axis=0)) / sigma")),
    Slip("penalised the intercept", closed_form, ("gb = R.sum(axis=0)", "gb = R.sum(axis=0) + 2 * b * lam")),
    Slip("one strength for both outputs", output_by_output,
         ("gW[:, k] = S.T @ err / n + 2 * lam[k] * W[:, k]", "gW[:, k] = S.T @ err / n + 2 * lam[0] * W[:, k]")),
    Slip("gS keeps the last output", output_by_output,
         ("gS = gS + np.outer(err, W[:, k]) / n", "gS = np.outer(err, W[:, k]) / n")),
    Slip("the second output's error against the first target", output_by_output,
         ("err = S @ W[:, k] + b[k] - Y[:, k]", "err = S @ W[:, k] + b[k] - Y[:, 0]")),
    Slip("the column of the other output's weights", output_by_output,
         ("gS = gS + np.outer(err, W[:, k]) / n", "gS = gS + np.outer(err, W[:, k - 1]) / n")),
    Slip("the last feature left out of the loop", output_by_output,
         ("for j in range(d):", "for j in range(d - 1):")),
    Slip("divided by the sd of the wrong features", output_by_output,
         ("gX[:, j] = (g - g.mean() - u * (g @ u) / n) / sd[j]",
          "gX[:, j] = (g - g.mean() - u * (g @ u) / n) / sd[j - 1]")),
    Slip("the mean of the projection counts the features", output_by_output,
         ("gX[:, j] = (g - g.mean() - u * (g @ u) / n) / sd[j]",
          "gX[:, j] = (g - g.mean() - u * (g @ u) / d) / sd[j]")),
    Slip("inv squared where its cube belongs", normal_equations,
         ("grad_Xc = grad_Xc - grad_inv * inv ** 3 * Xc / n", "grad_Xc = grad_Xc - grad_inv * inv ** 2 * Xc / n")),
    Slip("the path through inv replaces the direct one", normal_equations,
         ("grad_Xc = grad_Xc - grad_inv * inv ** 3 * Xc / n", "grad_Xc = -grad_inv * inv ** 3 * Xc / n")),
    Slip("the gram matrix not divided by n", normal_equations, ("gram = S.T @ S / n", "gram = S.T @ S")),
    Slip("the gradient of S not averaged, that of b with its sign turned", normal_equations,
         ("grad_S = resid @ W.T / n", "grad_S = resid @ W.T"),
         ("grad_b = b - ones @ Y / n", "grad_b = ones @ Y / n - b")),
)
