"""Models whose derivations are tested: each returns its loss and the name of a tensor."""

import numpy as np

import autodiff as ad
import nn


def numbers(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def parameter(*shape, name, seed=1):
    return ad.Tensor(numbers(*shape, seed=seed + sum(map(ord, name))), requires_grad=True, name=name)


def layers(sizes, column=False):
    weights = [parameter(o, i, name=f"W{k}") for k, (i, o) in enumerate(zip(sizes, sizes[1:]), 1)]
    biases = [parameter(*((o, 1) if column else (o,)), name=f"b{k}") for k, o in enumerate(sizes[1:], 1)]
    return weights, biases


def rows(m=5):
    (W1, W2, W3), (b1, b2, b3) = layers((3, 4, 2, 1))
    x, y = numbers(m, 3), (numbers(m, 1) > 0) * 1.0
    z1 = x @ W1.T + b1
    a1 = ad.sigmoid(z1)
    z2 = a1 @ W2.T + b2
    a2 = ad.sigmoid(z2)
    z3 = a2 @ W3.T + b3
    yhat = ad.sigmoid(z3)
    loss = -(y * np.log(yhat) + (1 - y) * np.log(1 - yhat)).mean()
    return loss, "W1"


def columns(m=5):
    (W1, W2, W3), (b1, b2, b3) = layers((3, 4, 2, 1), True)
    x, y = numbers(3, m), (numbers(1, m) > 0) * 1.0
    z1 = W1 @ x + b1
    a1 = ad.sigmoid(z1)
    z2 = W2 @ a1 + b2
    a2 = ad.sigmoid(z2)
    z3 = W3 @ a2 + b3
    yhat = ad.sigmoid(z3)
    loss = -(y * np.log(yhat) + (1 - y) * np.log(1 - yhat)).mean()
    return loss, "W2"


def single_column():
    (W1, W2, W3), (b1, b2, b3) = layers((3, 4, 2, 1))
    x, y = numbers(3), np.array([1.0])
    z1 = W1 @ x + b1
    a1 = ad.sigmoid(z1)
    z2 = W2 @ a1 + b2
    a2 = ad.sigmoid(z2)
    z3 = W3 @ a2 + b3
    yhat = ad.sigmoid(z3)
    loss = -(y * np.log(yhat) + (1 - y) * np.log(1 - yhat)).sum()
    return loss, "W2"


def single_row():
    (W1, W2), (b1, b2) = layers((3, 4, 2))
    x, y = numbers(3), numbers(2)
    z1 = x @ W1.T + b1
    a1 = np.tanh(z1)
    z2 = a1 @ W2.T + b2
    loss = ((z2 - y) ** 2).sum()
    return loss, "W1"


def mlp():
    model = nn.MLP([3, 4, 2, 1], rng=0)
    x, y = numbers(5, 3), (numbers(5, 1) > 0) * 1.0
    return model.loss_fn(model(x), y), "W1"


def softmax_classifier():
    W, b = parameter(4, 3, name="W"), parameter(3, name="b")
    X, Y = numbers(6, 4), np.eye(3)[[0, 1, 2, 1, 0, 1]]
    z = X @ W + b
    p = ad.softmax(z)
    loss = -(Y * np.log(p)).sum(axis=1).mean()
    return loss, "W"


def picked():
    W, b = parameter(4, 3, name="W"), parameter(3, name="b")
    X, labels = numbers(6, 4), np.array([0, 1, 2, 1, 0, 1])
    z = X @ W + b
    logp = ad.log_softmax(z)
    loss = -logp[np.arange(6), labels].mean()
    return loss, "b"


def linear_regression():
    w, b = parameter(3, name="w"), ad.Tensor(0.5, requires_grad=True, name="b")
    X, y = numbers(6, 3), numbers(6)
    yhat = X @ w + b
    loss = ((yhat - y) ** 2).mean()
    return loss, "w"


def rnn(steps=3):
    W_x, W_h, b = parameter(3, 2, name="W_x"), parameter(3, 3, name="W_h"), parameter(3, name="b")
    X, y = numbers(steps, 4, 2), numbers(4, 3)
    h = ad.Tensor(np.zeros((4, 3)), name="h0")
    for t in range(steps):
        h = np.tanh(X[t] @ W_x.T + h @ W_h.T + b)
    loss = ((h - y) ** 2).mean()
    return loss, "W_h"


def skip():
    W1, W2 = parameter(3, 3, name="W1"), parameter(1, 3, name="W2")
    x, y = numbers(5, 3), numbers(5, 1)
    h = x @ W1.T
    r = h + np.tanh(h)
    out = r @ W2.T
    loss = 0.5 * ((out - y) ** 2).sum()
    return loss, "W1"


def skip_around():
    W1, W2, W3 = parameter(3, 3, name="W1"), parameter(3, 3, name="W2"), parameter(1, 3, name="W3")
    x, y = numbers(5, 3), numbers(5, 1)
    a1 = np.tanh(x @ W1.T)
    z2 = a1 @ W2.T
    a2 = np.tanh(z2)
    r = a1 + a2
    yhat = r @ W3.T
    loss = ((yhat - y) ** 2).mean()
    return loss, "W1"


def by_hand():
    """A sigmoid and a softmax spelled out, with names on the way: their closed forms speak of later cotangents."""
    W, V = parameter(3, 3, name="W"), parameter(2, 3, name="V")
    x, t = numbers(5, 3), numbers(5, 2)
    z = x @ W.T
    e = np.exp(-z)
    a = 1 / (1 + e)
    q = a @ V.T
    f = np.exp(q)
    p = f / f.sum(axis=1, keepdims=True)
    loss = (np.sin(p) * t).sum()
    return loss, "W"


def squashed():
    W1, W2 = parameter(4, 3, name="W1"), parameter(1, 4, name="W2")
    x, y = numbers(5, 3), numbers(5, 1)
    z1 = x @ W1.T
    a1 = np.tanh(z1)
    z2 = a1 @ W2.T
    yhat = np.tanh(z2)
    loss = ((yhat - y) ** 2).mean()
    return loss, "W1"


def unnamed_logit():
    W1, W2 = parameter(4, 3, name="W1"), parameter(1, 4, name="W2")
    x, y = numbers(5, 3), (numbers(5, 1) > 0) * 1.0
    a1 = ad.sigmoid(x @ W1.T)
    yhat = ad.sigmoid(a1 @ W2.T)
    loss = ad.binary_cross_entropy(yhat, y).mean()
    return loss, "W1"


def named_logit():
    W1, W2 = parameter(4, 3, name="W1"), parameter(1, 4, name="W2")
    x, y = numbers(5, 3), (numbers(5, 1) > 0) * 1.0
    a1 = ad.sigmoid(x @ W1.T)
    z2 = a1 @ W2.T
    yhat = ad.sigmoid(z2)
    loss = ad.binary_cross_entropy(yhat, y).mean()
    return loss, "W1"


def layer_norm():
    W, gamma, beta = parameter(4, 4, name="W"), parameter(4, name="gamma"), parameter(4, name="beta")
    x, t = numbers(5, 4), numbers(5, 4, seed=3)
    h = x @ W.T
    mu = h.mean(axis=1, keepdims=True)
    var = ((h - mu) ** 2).mean(axis=1, keepdims=True)
    xhat = (h - mu) / np.sqrt(var + 1e-5)
    y = xhat * gamma + beta
    loss = ((y - t) ** 2).sum()
    return loss, "W"


def batch_norm():
    W, gamma = parameter(3, 4, name="W"), parameter(3, name="gamma")
    x, y = numbers(6, 4), numbers(6, 3)
    z = x @ W.T
    mu = z.mean(axis=0)
    var = z.var(axis=0)
    zhat = (z - mu) / np.sqrt(var + 1e-5)
    out = gamma * zhat
    loss = ((out - y) ** 2).sum()
    return loss, "W"


def attention():
    W_Q, W_K, W_V = (parameter(4, 4, name=name) for name in ("W_Q", "W_K", "W_V"))
    X, t = numbers(5, 4), numbers(5, 4, seed=3)
    Q = X @ W_Q
    K = X @ W_K
    V = X @ W_V
    S = Q @ K.T / np.sqrt(4)
    P = ad.softmax(S)
    O = P @ V
    loss = ((O - t) ** 2).mean()
    return loss, "W_K"


def batched_attention():
    W_Q, W_K = parameter(4, 3, name="W_Q"), parameter(4, 3, name="W_K")
    X = numbers(2, 5, 4)
    Q = X @ W_Q
    K = X @ W_K
    S = Q @ np.swapaxes(K, -1, -2) / np.sqrt(3)
    A = ad.softmax(S)
    O = A @ X
    loss = (O ** 2).sum()
    return loss, "W_Q"


def embedding():
    E, W = parameter(7, 3, name="E"), parameter(2, 3, name="W")
    tokens, y = np.array([1, 2, 1, 5]), numbers(4, 2)
    x = E[tokens]
    out = x @ W.T
    loss = ((out - y) ** 2).mean()
    return loss, "E"


def convolution():
    k, x = parameter(3, name="k"), numbers(4, 10)
    y = k[0] * x[:, :8] + k[1] * x[:, 1:9] + k[2] * x[:, 2:10]
    loss = np.maximum(y, 0).sum()
    return loss, "k"


def gru():
    W_z, W_r, W_h = (parameter(3, 5, name=name) for name in ("W_z", "W_r", "W_h"))
    x, h = numbers(4, 2), numbers(4, 3)
    xh = np.concatenate([x, h], axis=1)
    z = ad.sigmoid(xh @ W_z.T)
    r = ad.sigmoid(xh @ W_r.T)
    n = np.tanh(np.concatenate([x, r * h], axis=1) @ W_h.T)
    h1 = (1 - z) * n + z * h
    loss = (h1 ** 2).sum()
    return loss, "W_r"


def vae():
    W_m, W_v, W_d = parameter(2, 4, name="W_m"), parameter(2, 4, name="W_v"), parameter(4, 2, name="W_d")
    x, eps = numbers(5, 4), numbers(5, 2)
    mu = x @ W_m.T
    logvar = x @ W_v.T
    z = mu + np.exp(0.5 * logvar) * eps
    xhat = z @ W_d.T
    recon = ((xhat - x) ** 2).sum(axis=1).mean()
    kl = -0.5 * (1 + logvar - mu ** 2 - np.exp(logvar)).sum(axis=1).mean()
    loss = recon + kl
    return loss, "W_v"


def poisson():
    w, X, y = parameter(3, name="w"), numbers(6, 3), np.array([0.0, 1, 2, 0, 3, 1])
    eta = X @ w
    loss = (np.exp(eta) - y * eta).mean()
    return loss, "w"


def unnamed():
    W, V = parameter(3, 4, name="W"), parameter(1, 3, name="V")
    x, y = numbers(6, 4), numbers(6, 1)
    loss = ((np.tanh(x @ W.T) @ V.T - y) ** 2).mean()
    return loss, "W"


def sequential():
    model = nn.Sequential(nn.Linear(3, 4, rng=0), nn.ReLU(), nn.Linear(4, 2, rng=1))
    loss = nn.CrossEntropyLoss()(model(numbers(5, 3)), np.array([0, 1, 1, 0, 1]))
    return loss, next(iter(model.parameters()))


def penalty():
    W, x, y, lam = parameter(2, 3, name="W"), numbers(5, 3), numbers(5, 2), 0.1
    yhat = x @ W.T
    loss = ((yhat - y) ** 2).mean() + lam * (W ** 2).sum()
    return loss, "W"


def penalty_on_the_way():
    W, x, y, lam, mu = parameter(2, 3, name="W"), numbers(5, 3), numbers(5, 2), 0.1, 0.3
    h = x @ W.T
    p = np.tanh(h)
    loss = ((p - y) ** 2).mean() + lam * (h ** 2).sum() + mu * np.abs(W).sum()
    return loss, "W"


def weighted_average():
    h, w = parameter(6, name="h"), np.arange(1.0, 7)
    m = np.average(h, weights=w)
    loss = m ** 2
    return loss, "h"


def tied():
    W, x = parameter(3, 3, name="W"), numbers(5, 3)
    h = np.tanh(x @ W.T)
    xr = h @ W
    loss = ((xr - x) ** 2).sum()
    return loss, "W"


def matrices():
    A, b = parameter(3, 3, name="A"), parameter(3, name="b")
    x = np.linalg.solve(A, b)
    loss = np.log(np.linalg.det(A) ** 2) + x.sum() + np.linalg.inv(A).sum()
    return loss, "A"


def unit_vector():
    x, t = parameter(4, name="x"), numbers(4)
    n = np.linalg.norm(x)
    u = x / n
    loss = u @ t
    return loss, "x"


def scalars():
    x = ad.Tensor(2.0, requires_grad=True, name="x")
    y = x ** 3
    loss = np.sin(y) * x
    return loss, "x"


def own_operation():
    @ad.op
    def cube(x):
        return x * x * x

    cube.derivative(lambda y, x: 3 * x * x)
    x = parameter(3, name="x")
    y = cube(x)
    loss = (y * numbers(3)).sum()
    return loss, "x"


def arrays_only():
    @ad.op
    def ordered(x):
        return np.sort(x)

    ordered.vjp(lambda g, y, x: np.asarray(g)[np.argsort(np.argsort(np.asarray(x)))])
    x = parameter(4, name="x")
    y = ordered(x)
    loss = (y * np.arange(4.0)).sum()
    return loss, "x"


def single_precision():
    W = ad.Tensor(numbers(1, 3).astype(np.float32), requires_grad=True, name="W")
    x = numbers(500, 3).astype(np.float32)
    z = x @ W.T
    loss = (z ** 2).mean()
    return loss, "W"


ALL = [value for value in list(globals().values())
       if callable(value) and getattr(value, "__module__", None) == __name__
       and value not in (numbers, parameter, layers)]
