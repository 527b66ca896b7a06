"""Models of many kinds, each a function of a generator that gives a loss; printed, run and compared."""

import numpy as np

import autodiff as ad
import nn

MODELS = {}


def model(f):
    MODELS[f.__name__] = f
    return f


def weight(rng, *shape):
    return ad.Tensor(rng.normal(size=shape) * 0.5, requires_grad=True)


@model
def notes_in_rows(rng):
    m = 20
    x, y = rng.normal(size=(m, 5)), (rng.random((m, 1)) > 0.5) * 1.0
    W1, b1, W2, b2, W3, b3 = (weight(rng, *s) for s in [(6, 5), (6,), (4, 6), (4,), (1, 4), (1,)])
    z1 = x @ W1.T + b1
    a1 = ad.sigmoid(z1)
    z2 = a1 @ W2.T + b2
    a2 = ad.sigmoid(z2)
    z3 = a2 @ W3.T + b3
    a3 = ad.sigmoid(z3)
    loss = -(y * np.log(a3) + (1 - y) * np.log(1 - a3)).mean()
    return loss


@model
def notes_in_columns(rng):
    m = 20
    X, Y = rng.normal(size=(5, m)), (rng.random((1, m)) > 0.5) * 1.0
    W1, b1, W2, b2, W3, b3 = (weight(rng, *s) for s in [(6, 5), (6, 1), (4, 6), (4, 1), (1, 4), (1, 1)])
    Z1 = W1 @ X + b1
    A1 = 1 / (1 + np.exp(-Z1))
    Z2 = W2 @ A1 + b2
    A2 = 1 / (1 + np.exp(-Z2))
    Z3 = W3 @ A2 + b3
    A3 = 1 / (1 + np.exp(-Z3))
    cost = -1 / m * np.sum(Y * np.log(A3) + (1 - Y) * np.log(1 - A3))
    return cost


@model
def notes_as_layers(rng):
    ad.seed(1)
    x, y = rng.normal(size=(20, 5)), (rng.random((20, 1)) > 0.5) * 1.0
    net = nn.MLP([5, 6, 4, 1], activation="sigmoid", output="binary")
    loss = net.loss_fn(net(x), y)
    return loss


@model
def linear_regression(rng):
    x, y = rng.normal(size=(12, 3)), rng.normal(size=12)
    w, b = weight(rng, 3), weight(rng)
    yhat = x @ w + b
    loss = ((yhat - y) ** 2).mean()
    return loss


@model
def logistic_regression(rng):
    x, t = rng.normal(size=(12, 3)), (rng.random(12) > 0.5).astype(float)
    w, b = weight(rng, 3), weight(rng)
    z = x @ w + b
    p = ad.sigmoid(z)
    loss = -np.sum(t * np.log(p) + (1 - t) * np.log(1 - p)) / len(t) + 0.01 * np.sum(w ** 2)
    return loss


@model
def softmax_classifier(rng):
    x, labels = rng.normal(size=(8, 5)), rng.integers(0, 3, 8)
    W1, b1, W2, b2 = (weight(rng, *s) for s in [(5, 7), (7,), (7, 3), (3,)])
    h = np.maximum(x @ W1 + b1, 0)
    logits = h @ W2 + b2
    loss = ad.cross_entropy_of_labels(logits, labels).mean()
    return loss


@model
def softmax_by_hand(rng):
    x, labels = rng.normal(size=(8, 5)), rng.integers(0, 3, 8)
    W, b = weight(rng, 5, 3), weight(rng, 3)
    z = x @ W + b
    p = ad.softmax(z)
    loss = -np.log(p[np.arange(8), labels]).mean()
    return loss


@model
def layer_norm(rng):
    x, y = rng.normal(size=(4, 6)), rng.normal(size=(4, 6))
    W, gamma, beta = weight(rng, 6, 6), weight(rng, 6), weight(rng, 6)
    h = x @ W
    mu = h.mean(axis=-1, keepdims=True)
    var = ((h - mu) ** 2).mean(axis=-1, keepdims=True)
    xhat = (h - mu) / np.sqrt(var + 1e-5)
    out = gamma * xhat + beta
    loss = ((out - y) ** 2).sum()
    return loss


@model
def attention(rng):
    x, y = rng.normal(size=(5, 8)), rng.normal(size=(5, 4))
    Wq, Wk, Wv = weight(rng, 8, 4), weight(rng, 8, 4), weight(rng, 8, 4)
    q = x @ Wq
    k = x @ Wk
    v = x @ Wv
    scores = q @ k.T / np.sqrt(4)
    attn = ad.softmax(scores, axis=-1)
    out = attn @ v
    loss = ((out - y) ** 2).mean()
    return loss


@model
def attention_of_many_heads(rng):
    x, y = rng.normal(size=(2, 5, 8)), rng.normal(size=(2, 5, 8))
    Wq, Wk, Wv, Wo = (weight(rng, 8, 8) for _ in range(4))
    q = (x @ Wq).reshape(2, 5, 2, 4).transpose(0, 2, 1, 3)
    k = (x @ Wk).reshape(2, 5, 2, 4).transpose(0, 2, 1, 3)
    v = (x @ Wv).reshape(2, 5, 2, 4).transpose(0, 2, 1, 3)
    mask = np.triu(np.full((5, 5), -1e9), 1)
    attn = ad.softmax(q @ k.mT / 2.0 + mask, axis=-1)
    out = (attn @ v).transpose(0, 2, 1, 3).reshape(2, 5, 8) @ Wo
    loss = ((out - y) ** 2).mean()
    return loss


@model
def recurrent(rng):
    xs, y = rng.normal(size=(5, 3, 2)), rng.normal(size=(3, 4))
    Wx, Wh, b = weight(rng, 2, 4), weight(rng, 4, 4), weight(rng, 4)
    h = np.zeros((3, 4))
    for x_t in xs:
        h = np.tanh(x_t @ Wx + h @ Wh + b)
    loss = ((h - y) ** 2).mean()
    return loss


@model
def recurrent_by_number(rng):
    xs, y = ad.Tensor(rng.normal(size=(3, 3, 2))), rng.normal(size=(3, 4))
    Wx, Wh = weight(rng, 2, 4), weight(rng, 4, 4)
    h1 = np.tanh(xs[0] @ Wx)
    h2 = np.tanh(xs[1] @ Wx + h1 @ Wh)
    h3 = np.tanh(xs[2] @ Wx + h2 @ Wh)
    loss = ((h1 - y) ** 2).mean() + ((h2 - y) ** 2).mean() + ((h3 - y) ** 2).mean()
    return loss


@model
def embedding(rng):
    tokens, y = rng.integers(0, 6, (4, 3)), rng.normal(size=(4, 2))
    E, W = weight(rng, 6, 5), weight(rng, 5, 2)
    e = E[tokens]
    pooled = e.mean(axis=1)
    loss = ((pooled @ W - y) ** 2).sum()
    return loss


@model
def convolution(rng):
    x, y = rng.normal(size=(6, 6)), rng.normal(size=(4, 4))
    K, b = weight(rng, 3, 3), weight(rng)
    out = b
    for i in range(3):
        for j in range(3):
            out = out + K[i, j] * x[i:i + 4, j:j + 4]
    loss = ((np.tanh(out) - y) ** 2).mean()
    return loss


@model
def gru_cell(rng):
    x, h, y = rng.normal(size=(3, 2)), rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
    Wz, Wr, Wh = (weight(rng, 4, 6) for _ in range(3))
    bz, br, bh = (weight(rng, 4) for _ in range(3))
    xh = np.concatenate([x, h], axis=1)
    z = ad.sigmoid(xh @ Wz.T + bz)
    r = ad.sigmoid(xh @ Wr.T + br)
    xrh = np.concatenate([x, r * h], axis=1)
    n = np.tanh(xrh @ Wh.T + bh)
    h2 = (1 - z) * h + z * n
    loss = ((h2 - y) ** 2).mean()
    return loss


@model
def variational(rng):
    x, eps = rng.normal(size=(4, 5)), rng.normal(size=(4, 2))
    We, Wm, Ws, Wd = (weight(rng, *s) for s in [(5, 6), (6, 2), (6, 2), (2, 5)])
    h = np.tanh(x @ We)
    mu = h @ Wm
    logvar = h @ Ws
    z = mu + np.exp(0.5 * logvar) * eps
    xhat = z @ Wd
    reconstruction = ((xhat - x) ** 2).sum()
    kl = -0.5 * (1 + logvar - mu ** 2 - np.exp(logvar)).sum()
    loss = (reconstruction + kl) / 4
    return loss


@model
def batch_norm(rng):
    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    W1, gamma, beta, W2 = (weight(rng, *s) for s in [(3, 4), (4,), (4,), (4, 2)])
    h = x @ W1
    mean = h.mean(axis=0)
    var = h.var(axis=0)
    hhat = (h - mean) / np.sqrt(var + 1e-5)
    a = ad.relu(gamma * hhat + beta)
    loss = ((a @ W2 - y) ** 2).mean()
    return loss


@model
def poisson_regression(rng):
    x, y = rng.normal(size=(9, 3)), rng.integers(0, 5, 9).astype(float)
    w, b = weight(rng, 3), weight(rng)
    eta = x @ w + b
    rate = np.exp(eta)
    loss = (rate - y * eta).mean()
    return loss


@model
def einsum_model(rng):
    x, y = rng.normal(size=(2, 5, 4)), rng.normal(size=(2, 5, 5))
    Q, K = weight(rng, 4, 3), weight(rng, 4, 3)
    q = np.einsum("btd,dk->btk", x, Q)
    k = np.einsum("btd,dk->btk", x, K)
    s = np.einsum("btk,bsk->bts", q, k)
    loss = ((s - y) ** 2).mean()
    return loss


@model
def mixture(rng):
    x = rng.normal(size=10)
    mu, log_sigma, logits = weight(rng, 3), weight(rng, 3), weight(rng, 3)
    log_weights = ad.log_softmax(logits)
    z = (x[:, None] - mu) / np.exp(log_sigma)
    log_p = log_weights - log_sigma - 0.5 * z ** 2
    loss = -ad.logsumexp(log_p, axis=1).mean()
    return loss


@model
def hinge_and_huber(rng):
    x, t = rng.normal(size=(7, 3)), np.sign(rng.normal(size=7))
    w, v = weight(rng, 3), weight(rng, 3)
    margin = t * (x @ w)
    hinge = np.maximum(0, 1 - margin).mean()
    r = x @ v - t
    huber = np.where(np.abs(r) < 1, 0.5 * r ** 2, np.abs(r) - 0.5).mean()
    loss = hinge + huber
    return loss


@model
def running_sums(rng):
    x, y = rng.normal(size=(4, 6)), rng.normal(size=(4, 6))
    w = weight(rng, 6)
    c = np.cumsum(x * w, axis=1)
    s = np.sort(c, axis=1)
    loss = ((s - y) ** 2).sum() + c.max() + np.median(c)
    return loss


@model
def gaussian_process(rng):
    x, y = rng.normal(size=(6, 1)), rng.normal(size=6)
    length, noise = ad.Tensor(0.7, requires_grad=True), ad.Tensor(0.3, requires_grad=True)
    K = np.exp(-0.5 * (x - x.T) ** 2 / length ** 2) + noise * np.eye(6)
    L = np.linalg.cholesky(K)
    alpha = np.linalg.solve(K, y)
    loss = 0.5 * y @ alpha + np.log(np.diagonal(L)).sum()
    return loss


@model
def matrices(rng):
    A, b = ad.Tensor(rng.normal(size=(4, 4)) + 4 * np.eye(4), requires_grad=True), rng.normal(size=(4, 2))
    X = np.linalg.solve(A, b)
    loss = (X ** 2).sum() + np.linalg.det(A) + np.trace(np.linalg.inv(A)) + np.linalg.slogdet(A)[1]
    return loss


@model
def complex_numbers(rng):
    x = rng.normal(size=5)
    w, phi = weight(rng, 5), weight(rng, 5)
    z = w * np.exp(1j * phi) * x
    s = z.sum()
    loss = np.abs(s) ** 2 + (z * np.conj(z)).real.sum() + (z * z).imag.sum()
    return loss


@model
def with_dropout(rng):
    x, y = rng.normal(size=(6, 5)), rng.normal(size=(6, 2))
    W1, W2 = weight(rng, 5, 4), weight(rng, 4, 2)
    h = np.tanh(x @ W1)
    d = ad.dropout(h, 0.4, rng=3)
    loss = ((d @ W2 - y) ** 2).mean()
    return loss


@ad.op
def swish(x, beta):
    return x / (1 + np.exp(-beta * x))


def gate(x, beta):
    return 1 / (1 + np.exp(-beta * x))


swish.derivative(lambda y, x, beta: gate(x, beta) + beta * y * (1 - gate(x, beta)),
                 lambda y, x, beta: x * y * (1 - gate(x, beta)))


@model
def users_own_operation(rng):
    x, y = rng.normal(size=(6, 5)), rng.normal(size=(6, 2))
    W1, W2, beta = weight(rng, 5, 4), weight(rng, 4, 2), ad.Tensor(1.3, requires_grad=True)
    h = swish(x @ W1, beta)
    loss = ((h @ W2 - y) ** 2).mean()
    return loss


@model
def shared_weights(rng):
    x, y = rng.normal(size=(6, 4)), rng.normal(size=(6, 4))
    W = weight(rng, 4, 4)
    h1 = np.tanh(x @ W)
    h2 = np.tanh(h1 @ W)
    out = h2 @ W.T
    loss = ((out - y) ** 2).mean() + 0.1 * (W * W).sum()
    return loss


@model
def residual(rng):
    x, y = rng.normal(size=(6, 4)), rng.normal(size=(6, 4))
    W1, W2 = weight(rng, 4, 4), weight(rng, 4, 4)
    h1 = x + ad.relu(x @ W1)
    h2 = h1 + ad.gelu(h1 @ W2)
    loss = ((h2 - y) ** 2).mean()
    return loss


@model
def joined_and_parted(rng):
    x, y = rng.normal(size=(4, 6)), rng.normal(size=(3, 4))
    A, B = weight(rng, 6, 2), weight(rng, 6, 2)
    both = np.stack([x @ A, x @ B])
    left, right = np.split(both, 2, axis=2)
    joined = np.concatenate([left[0], right[1], left[1] * right[0]], axis=1)
    loss = ((joined.T - y) ** 2).mean()
    return loss


@model
def in_float32(rng):
    x, y = rng.normal(size=(8, 5)).astype(np.float32), (rng.random((8, 1)) > 0.5).astype(np.float32)
    W1, b1, W2, b2 = (ad.Tensor(rng.normal(size=s).astype(np.float32), requires_grad=True)
                      for s in [(5, 6), (6,), (6, 1), (1,)])
    h = ad.relu(x @ W1 + b1)
    z = h @ W2 + b2
    loss = ad.binary_cross_entropy_with_logits(z, y).mean()
    return loss
