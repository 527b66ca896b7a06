"""Two graph convolutions with normalised neighbours, a readout by the mean per graph, logistic loss."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("W1", "W2", "b", "w")


def data(rng, dtype):
    A = np.zeros((7, 7))
    for i, j in ((0, 1), (1, 2), (0, 2), (2, 3), (4, 5), (5, 6)):
        A[i, j] = 1
    A[np.arange(7), np.arange(7)] = 0.5
    return {"x": rng.normal(size=(7, 3)).astype(dtype), "A": (A + 0.3 * A.T).astype(dtype),
            "G": np.array([[0.25] * 4 + [0] * 3, [0] * 4 + [1 / 3] * 3]).astype(dtype), "y": np.array([1.0,
             0.0]).astype(dtype),
            "W1": rng.normal(size=(3, 5)).astype(dtype), "W2": (0.6 * rng.normal(size=(5, 4))).astype(dtype),
            "b": (0.3 * rng.normal(size=4)).astype(dtype), "w": rng.normal(size=4).astype(dtype)}


def loss(x, A, G, y, W1, W2, b, w):
    deg = A.sum(axis=1, keepdims=True)
    N = A / deg
    s = N @ x @ W1
    h = ad.relu(s)
    r = N @ h @ W2 + b
    k = np.tanh(r)
    pooled = G @ k
    a = pooled @ w
    p = ad.sigmoid(a)
    ce = -(y * np.log(p) + (1 - y) * np.log(1 - p)).sum()
    loss = ce + 0.05 * (W1 ** 2).sum()
    return loss


def matrices(x, A, G, y, W1, W2, b, w):
    N = A / A.sum(axis=1, keepdims=True)
    m1 = N @ x
    s = m1 @ W1
    h = np.maximum(s, 0)
    m2 = N @ h
    k = np.tanh(m2 @ W2 + b)
    pooled = G @ k
    p = 1 / (1 + np.exp(-pooled @ w))
    da = p - y
    dw = pooled.T @ da
    dpooled = np.outer(da, w)
    dk = G.T @ dpooled
    dr = dk * (1 - k ** 2)
    dW2 = m2.T @ dr
    db = dr.sum(axis=0)
    dm2 = dr @ W2.T
    dh = N.T @ dm2
    ds = dh * (s > 0)
    dW1 = m1.T @ ds + 0.1 * W1
    return {"W1": dW1, "W2": dW2, "b": db, "w": dw}


def messages(x, A, G, y, W1, W2, b, w):
    nodes = len(x)
    deg = A.sum(1)
    edges = [(i, j, A[i, j] / deg[i]) for i in range(nodes) for j in range(nodes) if A[i, j] != 0]
    m = np.zeros_like(x)
    for i, j, weight in edges:
        m[i] += weight * x[j]
    pre = m @ W1
    hidden = pre * (pre > 0)
    m2 = np.zeros_like(hidden)
    for i, j, weight in edges:
        m2[i] += weight * hidden[j]
    out = np.tanh(m2 @ W2 + b)
    read = G @ out
    prob = 1 / (1 + np.exp(-(read @ w)))
    grads = {"W1": 2 * 0.05 * W1, "W2": np.zeros_like(W2), "b": np.zeros_like(b), "w": np.zeros_like(w)}
    d_out = np.zeros_like(out)
    for g in range(len(y)):
        err = prob[g] - y[g]
        grads["w"] += err * read[g]
        d_out += np.outer(G[g], err * w)
    d_r = d_out * (1 - out * out)
    grads["W2"] += m2.T @ d_r
    grads["b"] += d_r.sum(axis=0)
    d_m2 = d_r @ W2.T
    d_hidden = np.zeros_like(hidden)
    for i, j, weight in edges:
        d_hidden[j] += weight * d_m2[i]
    d_pre = d_hidden * (pre > 0)
    grads["W1"] += m.T @ d_pre
    return grads


RIGHT = (matrices, messages)

SLIPS = (
    Slip("neighbours not transposed", matrices, ("dh = N.T @ dm2", "dh = N @ dm2"),
         label=label("missing-transpose", "h r N", "matmul")),
    Slip("neighbours left out on the way back", matrices, ("dh = N.T @ dm2", "dh = dm2"),
         label=label("missing-local-derivative wrong-operand", "h r N", "matmul")),
    Slip("neighbours not normalised on the way back", matrices, ("dh = N.T @ dm2", "dh = A.T @ dm2"),
         label=label("wrong-operand missing-local-derivative", "h r N A", "matmul")),
    Slip("W2 without the neighbours", matrices, ("dW2 = m2.T @ dr", "dW2 = h.T @ dr"),
         label=label("wrong-operand missing-local-derivative", "W2 h r N", "matmul")),
    Slip("W1 without the neighbours", matrices, ("dW1 = m1.T @ ds + 0.1 * W1", "dW1 = x.T @ ds + 0.1 * W1"),
         label=label("wrong-operand missing-local-derivative", "W1 x s N", "matmul")),
    Slip("decay forgotten", matrices, ("dW1 = m1.T @ ds + 0.1 * W1", "dW1 = m1.T @ ds"),
         label=label("missing-term dropped-path", "W1 loss", "square sum multiply add")),
    Slip("decay without its two", matrices, ("dW1 = m1.T @ ds + 0.1 * W1", "dW1 = m1.T @ ds + 0.05 * W1"),
         label=label("scale wrong-local-rule", "W1 loss", "square sum multiply add")),
    Slip("decay subtracted", matrices, ("dW1 = m1.T @ ds + 0.1 * W1", "dW1 = m1.T @ ds - 0.1 * W1"),
         label=label("sign", "W1 loss", "square sum multiply add")),
    Slip("decay of W2 too", matrices, ("dW2 = m2.T @ dr", "dW2 = m2.T @ dr + 0.1 * W2"),
         label=label("extra-term", "W2")),
    Slip("sigmoid' on top", matrices, ("da = p - y", "da = (p - y) * p * (1 - p)"),
         label=label("double-derivative", "p a", "sigmoid")),
    Slip("y minus p", matrices, ("da = p - y", "da = y - p"),
         label=label("sign", "p a ce", "sigmoid negative sum matmul")),
    Slip("mean over the graphs", matrices, ("da = p - y", "da = (p - y) / len(y)"),
         label=label("scale", "p a ce", "sigmoid negative sum matmul")),
    Slip("readout's weights from the nodes' sum", matrices, ("dw = pooled.T @ da", "dw = k.sum(axis=0) * da.sum()"),
         label=label("wrong-operand wrong-local-rule wrong-axis", "w pooled a k", "matmul")),
    Slip("pooling not undone evenly", matrices, ("dk = G.T @ dpooled", "dk = (G > 0).T @ dpooled"),
         label=label("wrong-operand missing-local-derivative wrong-local-rule scale", "k pooled G", "matmul")),
    Slip("tanh' at the first layer's values", matrices,
         ("dr = dk * (1 - k ** 2)", "dr = dk * (1 - (m2 @ W2 + b) ** 2)"),
         label=label("wrong-argument", "k r", "tanh")),
    Slip("tanh' without the square", matrices, ("dr = dk * (1 - k ** 2)", "dr = dk * (1 - k)"),
         label=label("wrong-local-rule", "k r", "tanh")),
    Slip("relu' by the messages", matrices, ("ds = dh * (s > 0)", "ds = dh * (dh > 0)"),
         label=label("wrong-argument wrong-local-rule", "h s", "relu")),
    Slip("relu' left out", matrices, ("ds = dh * (s > 0)", "ds = dh"),
         label=label("missing-local-derivative", "h s", "relu")),
    Slip("neighbours normalised by their columns when recomputed", matrices,
         ("N = A / A.sum(axis=1, keepdims=True)", "N = A / A.sum(axis=0, keepdims=True)"),
         label=label("wrong-axis", "N A s r", "sum matmul")),
    Slip("b left out when recomputed", matrices, ("k = np.tanh(m2 @ W2 + b)", "k = np.tanh(m2 @ W2)"),
         label=label("missing-term dropped-path", "r b k", "add")),
    Slip("b is a mean, W2 decayed", matrices, ("db = dr.sum(axis=0)", "db = dr.mean(axis=0)"),
         ("dW2 = m2.T @ dr", "dW2 = m2.T @ dr + 0.1 * W2"),
         label=label("two", "b r W2", "add")),
    Slip("messages run back along the arrows", messages,
         ("d_hidden[j] += weight * d_m2[i]", "d_hidden[i] += weight * d_m2[j]"),
         label=label("missing-transpose scatter wrong-operand", "h r N", "matmul")),
    Slip("last message only", messages, ("d_hidden[j] += weight * d_m2[i]", "d_hidden[j] = weight * d_m2[i]"),
         label=label("overwritten-accumulation dropped-path scatter", "h r N", "matmul")),
    Slip("message's weight forgotten", messages, ("d_hidden[j] += weight * d_m2[i]", "d_hidden[j] += d_m2[i]"),
         label=label("missing-local-derivative wrong-operand scale", "h r N", "matmul")),
    Slip("messages in the recomputed forward overwrite", messages,
         ("m2[i] += weight * hidden[j]", "m2[i] = weight * hidden[j]"),
         label=label("overwritten-accumulation dropped-path wrong-operand", "r h N", "matmul")),
    Slip("only the first graph", messages, ("for g in range(len(y)):", "for g in range(len(y) - 1):"),
         label=label("dropped-path", "a p ce pooled y", "sum matmul multiply sigmoid")),
    Slip("graph's nodes overwritten", messages, ("d_out += np.outer(G[g], err * w)", "d_out = np.outer(G[g], err * w)"),
         label=label("overwritten-accumulation dropped-path", "k pooled G", "matmul")),
    Slip("w of the last graph", messages, ('grads["w"] += err * read[g]', 'grads["w"] = err * read[g]'),
         label=label("overwritten-accumulation dropped-path missing-broadcast-reduction", "w a pooled", "matmul")),
    Slip("decay is the weight itself", messages,
         ('grads = {"W1": 2 * 0.05 * W1, "W2": np.zeros_like(W2), "b": np.zeros_like(b), "w": np.zeros_like(w)}',
          'grads = {"W1": 0.05 * W1 ** 2, "W2": np.zeros_like(W2), "b": np.zeros_like(b), "w": np.zeros_like(w)}'),
         label=label("wrong-local-rule wrong-argument missing-local-derivative", "W1 loss", "square sum multiply add")),
)
