"""Yes or no by logistic regression, samples in columns, with a ridge on the weights but not on the intercept."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("w", "b")


def data(rng, dtype):
    return {"X": rng.normal(size=(5, 9)).astype(dtype), "w": (0.6 * rng.normal(size=(5, 1))).astype(dtype),
            "b": np.asarray(rng.normal(), dtype=dtype),
            "y": rng.permutation(np.array([0, 0, 0, 0, 1, 1, 1, 1, 1]))[None, :], "lam": np.asarray(0.35, dtype=dtype)}


def loss(X, w, b, y, lam):
    m = X.shape[1]
    z = w.T @ X + b
    a = ad.sigmoid(z)
    ll = y * np.log(a) + (1 - y) * np.log(1 - a)
    nll = -np.sum(ll) / m
    penalty = lam / 2 * np.sum(w**2)
    J = nll + penalty
    return J


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def course(X, w, b, y, lam):
    m = X.shape[1]
    A = sigmoid(w.T @ X + b)
    dZ = A - y
    dw = X @ dZ.T / m
    dw += lam * w
    db = np.sum(dZ) / m
    return {"dw": dw, "db": db}


def every_link(X, w, b, y, lam):
    m = X.shape[1]
    z = np.dot(w.T, X) + b
    a = sigmoid(z)
    not_a = 1 - a
    not_y = 1 - y
    g_ll = -1 / m
    g_log_a = g_ll * y
    g_log_not_a = g_ll * not_y
    g_a = g_log_a / a
    g_not_a = g_log_not_a / not_a
    g_a = g_a - g_not_a
    g_z = g_a * a * not_a
    g_b = g_z.sum()
    g_w = np.dot(X, g_z.T)
    g_ridge = lam * w
    g_w = g_w + g_ridge
    return {"w": g_w, "b": g_b, "z": g_z, "a": g_a}


def plus_minus_one(X, w, b, y, lam):
    t = 2 * y - 1
    margin = t * (w.T @ X + b)
    delta = -t * sigmoid(-margin)
    n = t.size
    return {"w": (X * delta).sum(axis=1, keepdims=True) / n + lam * w, "b": delta.mean()}


def one_at_a_time(X, w, b, y, lam):
    n_features, n = X.shape
    dw = np.zeros(n_features)
    db = 0.0
    for k in range(n):
        x = X[:, k]
        p = sigmoid(w[:, 0] @ x + b)
        err = p - y[0, k]
        for j in range(n_features):
            dw[j] += err * x[j]
        db += err
    dw = dw / n
    db = db / n
    for j in range(n_features):
        dw[j] += lam * w[j, 0]
    return {"w": dw[:, None], "b": db}


def two_groups(X, w, b, y, lam):
    mask = y[0] == 1
    pos, neg = X[:, mask], X[:, ~mask]
    miss = 1 - sigmoid(w.T @ pos + b)
    false = sigmoid(w.T @ neg + b)
    N = pos.shape[1] + neg.shape[1]
    dw = neg @ false.T - pos @ miss.T
    db = false.sum() - miss.sum()
    return {"w": dw / N + lam * w, "b": db / N}


RIGHT = (course, every_link, plus_minus_one, one_at_a_time, two_groups)

SLIPS = (
    Slip("mean over features", course, ("m = X.shape[1]", "m = X.shape[0]"),
         label=label("scale wrong-axis", "nll ll a z", "sum divide negative")),
    Slip("ridge on the intercept as well", course, ("db = np.sum(dZ) / m", "db = np.sum(dZ) / m + lam * b"),
         label=label("extra-term", "b penalty", "add")),
    Slip("ridge divided by the samples", course, ("dw += lam * w", "dw += lam / m * w"),
         label=label("scale", "penalty w J", "multiply sum divide")),
    Slip("ridge forgotten", course, ("dw += lam * w", ""),
         label=label("missing-term dropped-path", "penalty w J", "sum multiply add")),
    Slip("ridge subtracted like weight decay", course, ("dw += lam * w", "dw -= lam * w"),
         label=label("sign", "penalty w J", "sum multiply add")),
    Slip("lasso's derivative for the ridge", course, ("dw += lam * w", "dw += lam * np.sign(w)"),
         label=label("wrong-local-rule", "penalty w")),
    Slip("derivative of the sigmoid on top of a minus y", course, ("dZ = A - y", "dZ = (A - y) * A * (1 - A)"),
         label=label("double-derivative", "a z", "sigmoid")),
    Slip("intercept not averaged", course, ("db = np.sum(dZ) / m", "db = np.sum(dZ)"),
         label=label("scale", "b z", "add sum")),
    Slip("sigmoid called without intercept", course, ("A = sigmoid(w.T @ X + b)", "A = sigmoid(w.T @ X)"),
         label=label("wrong-argument wrong-operand", "a z ll", "sigmoid add log")),
    Slip("thresholded prediction minus label", course, ("dZ = A - y", "dZ = (A > 0.5) - y"),
         label=label("wrong-argument wrong-local-rule", "a z ll", "sigmoid log")),
    Slip("chain through one minus a added", every_link, ("g_a = g_a - g_not_a", "g_a = g_a + g_not_a"),
         label=label("sign", "a ll", "subtract log")),
    Slip("branch of the negatives left out", every_link, ("g_a = g_a - g_not_a", ""),
         label=label("dropped-path", "a ll", "subtract log add")),
    Slip("branch of the negatives replaces the positives", every_link,
         ("g_a = g_a - g_not_a", "g_a = -g_not_a"),
         label=label("overwritten-accumulation dropped-path", "a ll", "subtract log add")),
    Slip("logarithm of a derived as a", every_link, ("g_a = g_log_a / a", "g_a = g_log_a * a"),
         label=label("wrong-local-rule", "a ll", "log")),
    Slip("denominators exchanged", every_link, ("g_a = g_log_a / a", "g_a = g_log_a / not_a"),
         ("g_not_a = g_log_not_a / not_a", "g_not_a = g_log_not_a / a"),
         label=label("wrong-argument two wrong-operand wrong-local-rule", "a ll", "log")),
    Slip("only half of the sigmoid's derivative", every_link, ("g_z = g_a * a * not_a", "g_z = g_a * a"),
         label=label("wrong-local-rule missing-local-derivative", "z a", "sigmoid")),
    Slip("sigmoid's derivative taken of z", every_link, ("g_z = g_a * a * not_a", "g_z = g_a * z * (1 - z)"),
         label=label("wrong-argument", "z a", "sigmoid")),
    Slip("tanh's derivative", every_link, ("g_z = g_a * a * not_a", "g_z = g_a * (1 - a ** 2)"),
         label=label("wrong-local-rule", "z a", "sigmoid")),
    Slip("minus of the likelihood dropped", every_link, ("g_ll = -1 / m", "g_ll = 1 / m"),
         label=label("sign", "nll ll a", "negative sum divide log")),
    Slip("ridge without its half", every_link, ("g_ridge = lam * w", "g_ridge = 2 * lam * w"),
         label=label("scale wrong-local-rule", "penalty w J", "sum multiply")),
    Slip("labels left at zero and one", plus_minus_one, ("t = 2 * y - 1", "t = y"),
         label=label("wrong-argument dropped-path wrong-local-rule wrong-operand", "z a ll y", "sigmoid log subtract")),
    Slip("margin's sign lost in the sigmoid", plus_minus_one,
         ("delta = -t * sigmoid(-margin)", "delta = -t * sigmoid(margin)"),
         label=label("wrong-argument wrong-local-rule sign", "z a ll", "sigmoid log")),
    Slip("label factor lost", plus_minus_one, ("delta = -t * sigmoid(-margin)", "delta = -sigmoid(-margin)"),
         label=label("sign missing-local-derivative wrong-local-rule", "z a ll", "sigmoid log subtract")),
    Slip("labels turned round", plus_minus_one, ("t = 2 * y - 1", "t = 1 - 2 * y"),
         label=label("wrong-operand sign swapped wrong-argument wrong-local-rule", "z a ll y", "sigmoid log")),
    Slip("square of the weight in the ridge's derivative", one_at_a_time,
         ("dw[j] += lam * w[j, 0]", "dw[j] += lam * w[j, 0] ** 2"),
         label=label("wrong-local-rule wrong-argument wrong-operand", "penalty w")),
    Slip("intercept keeps the last error", one_at_a_time, ("db += err", "db = err"),
         label=label("overwritten-accumulation dropped-path missing-broadcast-reduction", "b z", "add sum")),
    Slip("label of the sample before", one_at_a_time, ("err = p - y[0, k]", "err = p - y[0, k - 1]"),
         label=label("wrong-operand stale-value scatter", "y a z ll", "sigmoid log multiply")),
    Slip("ridge adds the weights without lam", one_at_a_time,
         ("dw[j] += lam * w[j, 0]", "dw[j] += w[j, 0]"),
         label=label("scale missing-local-derivative", "penalty w", "multiply sum")),
    Slip("probability of the misses in the place of one minus it", two_groups,
         ("miss = 1 - sigmoid(w.T @ pos + b)", "miss = sigmoid(w.T @ pos + b)"),
         label=label("wrong-argument wrong-local-rule", "a z ll", "sigmoid log")),
    Slip("groups added up for the intercept", two_groups,
         ("db = false.sum() - miss.sum()", "db = false.sum() + miss.sum()"),
         label=label("sign", "b z", "add sum")),
    Slip("each group by its own mean", two_groups,
         ("dw = neg @ false.T - pos @ miss.T",
          "dw = N * (neg @ false.T / neg.shape[1] - pos @ miss.T / pos.shape[1])"),
         label=label("scale wrong-operand", "w z nll ll", "matmul sum divide")),
    Slip("groups exchanged, and the intercept by positives only", two_groups,
         ("pos, neg = X[:, mask], X[:, ~mask]", "pos, neg = X[:, ~mask], X[:, mask]"),
         ("db = false.sum() - miss.sum()", "db = -miss.sum()"),
         label=label("two", "z a ll b y", "sigmoid log add")),
)
