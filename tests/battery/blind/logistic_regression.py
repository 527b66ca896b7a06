"""Logistic regression with class weights and an L2 penalty on the weights, not on the intercept."""

import numpy as np

from tests.battery.slips import Slip

PARAMETERS = ("theta", "bias")


def data(rng, dtype):
    return {"X": rng.normal(size=(10, 4)).astype(dtype),
            "y": np.array([0, 1, 0, 0, 1, 0, 0, 1, 0, 0], dtype=np.int64),
            "class_weight": np.array([0.6, 2.3], dtype=dtype),
            "theta": rng.normal(size=4).astype(dtype), "bias": dtype(-0.4), "C": dtype(0.15)}


def loss(X, y, class_weight, theta, bias, C):
    sw = class_weight[y]
    logits = X @ theta + bias
    nll = np.logaddexp(0, logits) - y * logits
    data_term = np.sum(sw * nll) / np.sum(sw)
    penalty = C / 2 * np.dot(theta, theta)
    objective = data_term + penalty
    return objective


def usual(X, y, class_weight, theta, bias, C):
    sw = class_weight[y]
    logits = X @ theta + bias
    p = 1 / (1 + np.exp(-logits))
    residual = p - y
    residual = sw * residual
    residual = residual / sw.sum()
    grad_theta = X.T @ residual
    grad_theta = grad_theta + C * theta
    grad_bias = residual.sum()
    return {"theta": grad_theta, "bias": grad_bias, "logits": residual}


def with_margins(X, y, class_weight, theta, bias, C):
    t = 2 * y - 1
    w = np.where(t > 0, class_weight[1], class_weight[0])
    margin = t * (X @ theta + bias)
    pull = 1 / (1 + np.exp(margin))
    coef = -w * t * pull / np.sum(w)
    return {"theta": coef @ X + C * theta, "bias": np.sum(coef)}


def looped(X, y, class_weight, theta, bias, C):
    n_samples, n_features = X.shape
    g = np.zeros(n_features)
    g0 = 0.0
    total_weight = 0.0
    for i in range(n_samples):
        z = np.dot(X[i], theta) + bias
        prob = 1.0 / (1.0 + np.exp(-z))
        weight = class_weight[y[i]]
        total_weight += weight
        for j in range(n_features):
            g[j] += weight * (prob - y[i]) * X[i, j]
        g0 += weight * (prob - y[i])
    for j in range(n_features):
        g[j] /= total_weight
        g[j] += C * theta[j]
    g0 /= total_weight
    return {"theta": g, "bias": g0}


def augmented(X, y, class_weight, theta, bias, C):
    """Intercept as the last weight, with a column of ones."""
    A = np.column_stack([X, np.ones(len(X), dtype=X.dtype)])
    beta = np.append(theta, bias)
    s = class_weight[y] / class_weight[y].sum()
    q = np.exp(-np.logaddexp(0, -A @ beta))
    keep = np.ones_like(beta)
    keep[-1] = 0
    dbeta = A.T @ (s * (q - y)) + C * keep * beta
    return {"theta": dbeta[:-1], "bias": dbeta[-1]}


def by_class(X, y, class_weight, theta, bias, C):
    """Positives and negatives apart: -log p for the ones, -log(1 - p) for the others."""
    pos, neg = X[y == 1], X[y == 0]
    w_neg, w_pos = class_weight
    norm = w_pos * len(pos) + w_neg * len(neg)
    p_pos = 1 / (1 + np.exp(-(pos @ theta + bias)))
    p_neg = 1 / (1 + np.exp(-(neg @ theta + bias)))
    dz_pos = -w_pos * (1 - p_pos) / norm
    dz_neg = w_neg * p_neg / norm
    dtheta = dz_pos @ pos
    dtheta += dz_neg @ neg
    dtheta += C * theta
    dbias = dz_pos.sum()
    dbias += dz_neg.sum()
    return {"dtheta": dtheta, "dbias": dbias}


RIGHT = (usual, with_margins, looped, augmented, by_class)

SLIPS = (
    Slip("forgot the class weights in the residual", usual, ("residual = sw * residual", "")),
    Slip("averaged over the number of samples instead of the sum of the weights", usual,
         ("residual = residual / sw.sum()", "residual = residual / len(y)")),
    Slip("weighted only the probability, a bracket is missing", usual,
         ("residual = p - y", "residual = sw * p - y"), ("residual = sw * residual", "")),
    Slip("an extra p (1 - p) as in least squares on the probabilities", usual,
         ("residual = sw * residual", "residual = sw * residual * p * (1 - p)")),
    Slip("penalty's two left in: 2 C theta", usual,
         ("grad_theta = grad_theta + C * theta", "grad_theta = grad_theta + 2 * C * theta")),
    Slip("labels minus probabilities, for gradient ascent on the likelihood", usual,
         ("residual = p - y", "residual = y - p")),
    Slip("probabilities computed without the intercept", usual,
         ("logits = X @ theta + bias", "logits = X @ theta")),
    Slip("averaged the residuals once more in the intercept", usual,
         ("grad_bias = residual.sum()", "grad_bias = residual.mean()")),
    Slip("sigmoid of plus the margin instead of minus", with_margins,
         ("pull = 1 / (1 + np.exp(margin))", "pull = 1 / (1 + np.exp(-margin))")),
    Slip("dropped the label's sign in the chain rule of the margin", with_margins,
         ("coef = -w * t * pull / np.sum(w)", "coef = -w * pull / np.sum(w)")),
    Slip("weights of the two classes exchanged", with_margins,
         ("w = np.where(t > 0, class_weight[1], class_weight[0])",
          "w = np.where(t > 0, class_weight[0], class_weight[1])")),
    Slip("penalty put on inside the loop over the samples", looped,
         ("g[j] += weight * (prob - y[i]) * X[i, j]", "g[j] += weight * (prob - y[i]) * X[i, j] + C * theta[j]"),
         ("g[j] += C * theta[j]", "")),
    Slip("intercept's gradient assigned instead of added up", looped,
         ("g0 += weight * (prob - y[i])", "g0 = weight * (prob - y[i])")),
    Slip("divided the penalty by the total weight as well", looped,
         ("g[j] += C * theta[j]", "g[j] += C * theta[j] / total_weight")),
    Slip("forgot to divide the intercept's gradient by the total weight", looped, ("g0 /= total_weight", "")),
    Slip("penalized the intercept as well", augmented, ("keep[-1] = 0", "")),
    Slip("excluded the first weight instead of the intercept from the penalty", augmented,
         ("keep[-1] = 0", "keep[0] = 0")),
    Slip("labels of minus one and one in p - y", augmented,
         ("dbeta = A.T @ (s * (q - y)) + C * keep * beta", "dbeta = A.T @ (s * (q - (2 * y - 1))) + C * keep * beta")),
    Slip("p instead of 1 - p at the positives", by_class,
         ("dz_pos = -w_pos * (1 - p_pos) / norm", "dz_pos = -w_pos * p_pos / norm")),
    Slip("negatives overwrite the positives in theta's gradient", by_class,
         ("dtheta += dz_neg @ neg", "dtheta = dz_neg @ neg")),
    Slip("wrong sign of the negatives, and no penalty", by_class,
         ("dz_neg = w_neg * p_neg / norm", "dz_neg = -w_neg * p_neg / norm"), ("dtheta += C * theta", "")),
)
