"""A linear classifier whose logits are divided by a trained temperature, with a penalty on the weights."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("W", "b", "tau")


def data(rng, dtype):
    return {"X": rng.normal(size=(8, 5)).astype(dtype), "y": np.array([2, 0, 1, 3, 2, 2, 1, 0], np.int64),
            "W": rng.normal(size=(5, 4)).astype(dtype), "b": rng.normal(size=4).astype(dtype),
            "tau": rng.uniform(1.3, 2.6, size=()).astype(dtype), "lam": np.asarray(0.3, dtype)}


def loss(X, y, W, b, tau, lam):
    logits = np.dot(X, W) + b
    scaled = logits / tau
    logp = ad.log_softmax(scaled, axis=1)
    picked = logp[np.arange(8), y]
    nll = -np.sum(picked) / 8
    l2 = lam / 2 * np.sum(W * W)
    total = nll + l2
    return total


def textbook(X, y, W, b, tau, lam):
    N = X.shape[0]
    logits = X @ W + b
    scaled = logits / tau
    scaled = scaled - scaled.max(axis=1, keepdims=True)
    exps = np.exp(scaled)
    probs = exps / exps.sum(axis=1, keepdims=True)
    dscaled = probs.copy()
    dscaled[np.arange(N), y] -= 1
    dscaled /= N
    dlogits = dscaled / tau
    dtau = -(dscaled * logits).sum() / tau ** 2
    dW = X.T @ dlogits
    dW += lam * W
    db = dlogits.sum(axis=0)
    return {"W": dW, "b": db, "tau": dtau, "logits": dlogits}


def with_one_hot(X, y, W, b, tau, lam):
    n, k = len(y), b.size
    Y = np.zeros((n, k), X.dtype)
    Y[np.arange(n), y] = 1
    F = X @ W + b
    P = np.exp(F / tau)
    P = P / P.sum(1)[:, None]
    E = (P - Y) / (n * tau)
    return {"dW": X.T @ E + lam * W, "db": np.ones(n, X.dtype) @ E, "dtau": -np.sum(E * F) / tau}


def beta_loops(X, y, W, b, tau, lam):
    beta = 1 / tau
    grad_W = lam * W
    grad_b = np.zeros_like(b)
    grad_beta = 0.0
    nll = 0.0
    for i, x in enumerate(X):
        f = W.T @ x + b
        m = np.max(beta * f)
        log_norm = m + np.log(np.sum(np.exp(beta * f - m)))
        nll += log_norm - beta * f[y[i]]
        for c in range(len(b)):
            prob = np.exp(beta * f[c] - log_norm)
            g = (prob - (c == y[i])) / len(X)
            grad_beta += g * f[c]
            g = g * beta
            grad_W[:, c] += g * x
            grad_b[c] += g
    grad_tau = grad_beta * (-beta ** 2)
    penalty = 0.5 * lam * (W ** 2).sum()
    return {"W": grad_W, "b": grad_b, "tau": np.asarray(grad_tau), "loss": nll / len(X) + penalty}


def expectations(X, y, W, b, tau, lam):
    """Model's expectation minus the data's, of the features and of the logits."""
    logits = X @ W + b
    p = np.exp(logits / tau)
    p /= p.sum(axis=1, keepdims=True)
    chosen = logits[np.arange(len(X)), y]
    expected = np.einsum("nc,nc->n", p, logits)
    gap = expected - chosen
    g_tau = -gap.mean() / tau ** 2
    model_W, model_b = np.einsum("nf,nc->fc", X, p), p.sum(axis=0)
    data_W, data_b = np.zeros_like(W), np.zeros_like(b)
    np.add.at(data_W.T, y, X)
    np.add.at(data_b, y, 1)
    scale = tau * len(X)
    g_W = (model_W - data_W) / scale + lam * W
    g_b = (model_b - data_b) / scale
    return {"W": g_W, "b": g_b, "tau": g_tau}


RIGHT = (textbook, with_one_hot, beta_loops, expectations)

SLIPS = (
    Slip("temperature forgotten on the way to the logits", textbook,
         ("dlogits = dscaled / tau", "dlogits = dscaled"),
         label=label("missing-local-derivative scale", "logits scaled", "divide")),
    Slip("temperature multiplied instead of divided at the logits", textbook,
         ("dlogits = dscaled / tau", "dlogits = dscaled * tau"),
         label=label("scale wrong-local-rule", "logits scaled", "divide")),
    Slip("temperature's gradient with the shifted and scaled logits", textbook,
         ("dtau = -(dscaled * logits).sum() / tau ** 2", "dtau = -(dscaled * scaled).sum() / tau ** 2"),
         label=label("wrong-operand scale wrong-local-rule", "tau scaled logits", "divide")),
    Slip("minus of the quotient forgotten at tau", textbook,
         ("dtau = -(dscaled * logits).sum() / tau ** 2", "dtau = (dscaled * logits).sum() / tau ** 2"),
         label=label("sign", "tau scaled", "divide")),
    Slip("tau not squared in its own gradient", textbook,
         ("dtau = -(dscaled * logits).sum() / tau ** 2", "dtau = -(dscaled * logits).sum() / tau"),
         label=label("scale wrong-local-rule", "tau scaled", "divide")),
    Slip("penalty's gradient forgotten at W", textbook,
         ("dW += lam * W", ""),
         label=label("missing-term dropped-path", "W l2 total", "sum multiply add")),
    Slip("half of the penalty forgotten: twice lam W", textbook,
         ("dW += lam * W", "dW += 2 * lam * W"),
         label=label("scale", "W l2", "sum multiply divide")),
    Slip("penalty takes the place of the data's gradient", textbook,
         ("dW += lam * W", "dW = lam * W"),
         label=label("overwritten-accumulation dropped-path", "W logits", "matmul")),
    Slip("softmax normalised over the samples", textbook,
         ("probs = exps / exps.sum(axis=1, keepdims=True)", "probs = exps / exps.sum(axis=0, keepdims=True)"),
         label=label("wrong-axis wrong-local-rule", "logp scaled", "log_softmax")),
    Slip("one subtracted from every probability of the labels' columns", textbook,
         ("dscaled[np.arange(N), y] -= 1", "dscaled[:, y] -= 1"),
         label=label("scatter wrong-local-rule", "picked logp scaled", "getitem log_softmax")),
    Slip("divided by all entries of the probabilities", textbook,
         ("dscaled /= N", "dscaled /= probs.size"),
         label=label("scale", "nll picked logp scaled", "getitem sum divide negative log_softmax")),
    Slip("probabilities without the temperature", with_one_hot,
         ("P = np.exp(F / tau)", "P = np.exp(F)"),
         label=label("wrong-argument wrong-operand", "scaled logp logits", "log_softmax divide")),
    Slip("penalty inside the mean over samples", with_one_hot,
         ('return {"dW": X.T @ E + lam * W, "db": np.ones(n, X.dtype) @ E, "dtau": -np.sum(E * F) / tau}',
          'return {"dW": X.T @ E + lam * W / n, "db": np.ones(n, X.dtype) @ E, "dtau": -np.sum(E * F) / tau}'),
         label=label("scale", "W l2", "sum multiply divide")),
    Slip("logits without the bias in tau's gradient", with_one_hot,
         ('return {"dW": X.T @ E + lam * W, "db": np.ones(n, X.dtype) @ E, "dtau": -np.sum(E * F) / tau}',
          'return {"dW": X.T @ E + lam * W, "db": np.ones(n, X.dtype) @ E, "dtau": -np.sum(E * (X @ W)) / tau}'),
         label=label("wrong-operand", "tau scaled logits", "divide")),
    Slip("penalty on the bias as well", with_one_hot,
         ('return {"dW": X.T @ E + lam * W, "db": np.ones(n, X.dtype) @ E, "dtau": -np.sum(E * F) / tau}',
          'return {"dW": X.T @ E + lam * W, "db": np.ones(n, X.dtype) @ E + lam * b, "dtau": -np.sum(E * F) / tau}'),
         label=label("extra-term", "b l2 total", "add")),
    Slip("labels shifted by one, as if counted from one", with_one_hot,
         ("Y[np.arange(n), y] = 1", "Y[np.arange(n), y - 1] = 1"),
         label=label("scatter wrong-operand", "picked logp scaled y", "getitem log_softmax")),
    Slip("slope of the softmax on top of the difference", with_one_hot,
         ("E = (P - Y) / (n * tau)", "E = (P - Y) * P * (1 - P) / (n * tau)"),
         label=label("double-derivative", "scaled logp", "log_softmax")),
    Slip("label's one never subtracted", beta_loops,
         ("g = (prob - (c == y[i])) / len(X)", "g = prob / len(X)"),
         label=label("dropped-path wrong-local-rule missing-term", "scaled logp picked nll", "log_softmax getitem")),
    Slip("gradient of the inverse temperature returned for tau", beta_loops,
         ("grad_tau = grad_beta * (-beta ** 2)", "grad_tau = grad_beta"),
         label=label("missing-local-derivative wrong-local-rule scale", "tau scaled", "divide")),
    Slip("inverse temperature's gradient set, not added", beta_loops,
         ("grad_beta += g * f[c]", "grad_beta = g * f[c]"),
         label=label("overwritten-accumulation dropped-path missing-broadcast-reduction", "tau scaled", "divide")),
    Slip("beta multiplied in before tau's share is taken", beta_loops,
         ("grad_beta += g * f[c]", ""), ("g = g * beta", "g = g * beta\ngrad_beta += g * f[c]"),
         label=label("scale double-derivative stale-value wrong-local-rule", "tau scaled", "divide")),
    Slip("penalty added for every sample", beta_loops,
         ("grad_W = lam * W", "grad_W = np.zeros_like(W)"), ("f = W.T @ x + b", "grad_W += lam * W\nf = W.T @ x + b"),
         label=label("scale", "W l2", "sum multiply divide")),
    Slip("last class left out of the loop", beta_loops,
         ("for c in range(len(b)):", "for c in range(len(b) - 1):"),
         label=label("dropped-path", "scaled logp logits W b tau", "log_softmax divide matmul")),
    Slip("labels' features set instead of added", expectations,
         ("np.add.at(data_W.T, y, X)", "data_W.T[y] = X"),
         label=label("scatter overwritten-accumulation dropped-path", "W logits picked logp scaled", "getitem matmul")),
    Slip("labels counted once each with plus equals", expectations,
         ("np.add.at(data_b, y, 1)", "data_b[y] += 1"),
         label=label("scatter overwritten-accumulation dropped-path", "b logits picked logp scaled", "getitem add")),
    Slip("data's expectation minus the model's in W, and tau's gradient only summed", expectations,
         ("g_W = (model_W - data_W) / scale + lam * W", "g_W = (data_W - model_W) / scale + lam * W"),
         ("g_tau = -gap.mean() / tau ** 2", "g_tau = -gap.sum() / tau ** 2"),
         label=label("two", "W logits tau scaled", "divide sum matmul")),
    Slip("mean of the logits in place of the expected one", expectations,
         ("expected = np.einsum(\"nc,nc->n\", p, logits)", "expected = logits.mean(axis=1)"),
         label=label("wrong-operand wrong-local-rule", "tau scaled logp", "divide log_softmax")),
    Slip("absolute value's slope for the penalty", expectations,
         ("g_W = (model_W - data_W) / scale + lam * W", "g_W = (model_W - data_W) / scale + lam * np.sign(W)"),
         label=label("wrong-local-rule", "W l2", "sum multiply")),
)
