"""Two hidden layers on rows, tanh and then leaky relu, with a softmax at the end."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("W1", "b1", "W2", "b2", "W3", "b3")
SLOPE = 0.1


def data(rng, dtype):
    leaves = {"X": rng.normal(size=(7, 5)), "W1": rng.normal(size=(5, 4)), "b1": rng.normal(size=4),
              "W2": rng.normal(size=(4, 4)), "b2": rng.normal(size=4),
              "W3": rng.normal(size=(4, 3)), "b3": rng.normal(size=3)}
    leaves = {name: value.astype(dtype) for name, value in leaves.items()}
    return {**leaves, "y": np.array([0, 2, 1, 2, 0, 1, 1], dtype=np.int64)}


def loss(X, y, W1, b1, W2, b2, W3, b3):
    z1 = X @ W1 + b1
    h1 = np.tanh(z1)
    z2 = h1 @ W2 + b2
    h2 = ad.leaky_relu(z2, negative_slope=SLOPE)
    scores = h2 @ W3 + b3
    logp = ad.log_softmax(scores, axis=1)
    picked = logp[np.arange(7), y]
    loss = -np.mean(picked)
    return loss


def softmax(s):
    e = np.exp(s - s.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def step_by_step(X, y, W1, b1, W2, b2, W3, b3):
    m = X.shape[0]
    z1 = X @ W1 + b1
    h1 = np.tanh(z1)
    z2 = h1 @ W2 + b2
    h2 = np.where(z2 > 0, z2, SLOPE * z2)
    scores = h2 @ W3 + b3
    p = softmax(scores)
    dscores = p.copy()
    dscores[np.arange(m), y] -= 1
    dscores /= m
    dW3 = h2.T @ dscores
    db3 = dscores.sum(axis=0)
    dh2 = dscores @ W3.T
    dz2 = dh2.copy()
    dz2[z2 < 0] *= SLOPE
    dW2 = h1.T @ dz2
    db2 = dz2.sum(axis=0)
    dh1 = dz2 @ W2.T
    dz1 = dh1 * (1 - h1 ** 2)
    dW1 = X.T @ dz1
    db1 = dz1.sum(axis=0)
    return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2, "W3": dW3, "b3": db3, "z2": dz2, "z1": dz1}


def deltas(X, y, W1, b1, W2, b2, W3, b3):
    a1 = np.tanh(X @ W1 + b1)
    u = a1 @ W2 + b2
    a2 = np.maximum(SLOPE * u, u)
    target = np.eye(W3.shape[1], dtype=X.dtype)[y]
    delta3 = (softmax(a2 @ W3 + b3) - target) / len(X)
    delta2 = (delta3 @ W3.T) * np.where(u > 0, 1, SLOPE).astype(X.dtype)
    delta1 = (delta2 @ W2.T) * (1 - a1 * a1)
    return {
        "dW3": a2.T @ delta3,
        "db3": delta3.sum(0),
        "dW2": a1.T @ delta2,
        "db2": delta2.sum(0),
        "dW1": X.T @ delta1,
        "db1": delta1.sum(0),
    }


def row_after_row(X, y, W1, b1, W2, b2, W3, b3):
    n = len(y)
    gW1, gW2, gW3 = np.zeros_like(W1), np.zeros_like(W2), np.zeros_like(W3)
    gb1, gb2, gb3 = np.zeros_like(b1), np.zeros_like(b2), np.zeros_like(b3)
    total = 0.0
    for i in range(n):
        x = X[i]
        t = np.tanh(x @ W1 + b1)
        q = t @ W2 + b2
        r = np.where(q > 0, q, SLOPE * q)
        s = r @ W3 + b3
        e = np.exp(s - s.max())
        p = e / e.sum()
        total -= np.log(p[y[i]])
        g = p / n
        g[y[i]] -= 1 / n
        gW3 += np.outer(r, g)
        gb3 += g
        g = W3 @ g
        g = np.where(q > 0, g, SLOPE * g)
        gW2 += np.outer(t, g)
        gb2 += g
        back = W2 @ g
        back = back / np.cosh(x @ W1 + b1) ** 2
        gW1 += np.outer(x, back)
        gb1 += back
    return {"W1": gW1, "b1": gb1, "W2": gW2, "b2": gb2, "W3": gW3, "b3": gb3, "loss": total / n}


def through_log_softmax(X, y, W1, b1, W2, b2, W3, b3):
    h1 = np.tanh(X @ W1 + b1)
    z2 = h1 @ W2 + b2
    mask = (z2 > 0).astype(X.dtype)
    h2 = mask * z2 + SLOPE * (1 - mask) * z2
    P = softmax(h2 @ W3 + b3)
    grad_logp = np.zeros_like(P)
    grad_logp[np.arange(len(y)), y] = -1 / len(y)
    grad_scores = grad_logp - P * grad_logp.sum(axis=1, keepdims=True)
    grad_h2 = grad_scores.dot(W3.T)
    grad_z2 = grad_h2 * (mask + SLOPE * (1 - mask))
    grad_h1 = grad_z2.dot(W2.T)
    grad_z1 = grad_h1 - grad_h1 * h1 ** 2
    ones = np.ones(len(y), dtype=X.dtype)
    return {"W1": X.T.dot(grad_z1), "b1": ones @ grad_z1, "W2": h1.T.dot(grad_z2), "b2": ones @ grad_z2,
            "W3": h2.T.dot(grad_scores), "b3": ones @ grad_scores}


RIGHT = (step_by_step, deltas, row_after_row, through_log_softmax)

SLIPS = (
    Slip("relu instead of leaky relu backwards: negative entries set to zero", step_by_step,
         ("dz2[z2 < 0] *= SLOPE", "dz2[z2 < 0] = 0"),
         label=label("wrong-local-rule scale dropped-path", "z2 h2", "leaky_relu")),
    Slip("mask of the leaky relu from the gradient instead of z2", step_by_step,
         ("dz2[z2 < 0] *= SLOPE", "dz2[dh2 < 0] *= SLOPE"),
         label=label("wrong-argument wrong-local-rule", "z2 h2", "leaky_relu")),
    Slip("tanh' with z1 in place of h1", step_by_step,
         ("dz1 = dh1 * (1 - h1 ** 2)", "dz1 = dh1 * (1 - z1 ** 2)"),
         label=label("wrong-argument", "z1 h1", "tanh")),
    Slip("leaky relu undone after dW2 and db2 were taken from dh2", step_by_step,
         ("dW2 = h1.T @ dz2", "dW2 = h1.T @ dh2"), ("db2 = dz2.sum(axis=0)", "db2 = dh2.sum(axis=0)"),
         label=label("missing-local-derivative stale-value wrong-operand", "z2 h2 W2 b2", "leaky_relu matmul add")),
    Slip("square W2 not transposed on the way to h1", step_by_step,
         ("dh1 = dz2 @ W2.T", "dh1 = dz2 @ W2"),
         label=label("missing-transpose", "h1 W2 z2", "matmul")),
    Slip("mean over the rows for the bias b3 although already divided", step_by_step,
         ("db3 = dscores.sum(axis=0)", "db3 = dscores.mean(axis=0)"),
         label=label("scale", "b3 scores", "add")),
    Slip("W3 multiplied with the pre-activation z2", step_by_step,
         ("dW3 = h2.T @ dscores", "dW3 = z2.T @ dscores"),
         label=label("wrong-operand", "W3 h2 z2 scores", "matmul")),
    Slip("derivative of the sigmoid for tanh", deltas,
         ("delta1 = (delta2 @ W2.T) * (1 - a1 * a1)", "delta1 = (delta2 @ W2.T) * a1 * (1 - a1)"),
         label=label("wrong-local-rule wrong-argument", "z1 h1", "tanh")),
    Slip("slopes of leaky relu exchanged", deltas,
         ("delta2 = (delta3 @ W3.T) * np.where(u > 0, 1, SLOPE).astype(X.dtype)",
          "delta2 = (delta3 @ W3.T) * np.where(u > 0, SLOPE, 1).astype(X.dtype)"),
         label=label("wrong-local-rule swapped scale", "z2 h2", "leaky_relu")),
    Slip("bias b1 copied from the line of b2", deltas, ('"db1": delta1.sum(0),', '"db1": delta2.sum(0),'),
         label=label("wrong-operand stale-value swapped", "b1 z1 z2 b2", "add")),
    Slip("W2 with its outputs a2 instead of its inputs a1", deltas,
         ('"dW2": a1.T @ delta2,', '"dW2": a2.T @ delta2,'),
         label=label("wrong-operand", "W2 h1 h2 z2", "matmul")),
    Slip("dW2 is delta times inputs, the other way round", deltas,
         ('"dW2": a1.T @ delta2,', '"dW2": delta2.T @ a1,'),
         label=label("transposed-result missing-transpose", "W2", "matmul")),
    Slip("gradient of the second layer not multiplied by the leaky slope in row loop", row_after_row,
         ("g = np.where(q > 0, g, SLOPE * g)", ""),
         label=label("missing-local-derivative", "z2 h2", "leaky_relu")),
    Slip("weights W2 of the row overwritten", row_after_row,
         ("gW2 += np.outer(t, g)", "gW2 = np.outer(t, g)"),
         label=label("overwritten-accumulation missing-broadcast-reduction dropped-path", "W2 z2", "matmul")),
    Slip("one over n forgotten at the true class", row_after_row,
         ("g[y[i]] -= 1 / n", "g[y[i]] -= 1"),
         label=label("scale wrong-local-rule", "picked logp scores loss", "getitem log_softmax mean negative")),
    Slip("cosh not squared", row_after_row,
         ("back = back / np.cosh(x @ W1 + b1) ** 2", "back = back / np.cosh(x @ W1 + b1)"),
         label=label("wrong-local-rule", "z1 h1", "tanh")),
    Slip("log softmax backwards without the probabilities' term", through_log_softmax,
         ("grad_scores = grad_logp - P * grad_logp.sum(axis=1, keepdims=True)", "grad_scores = grad_logp"),
         label=label("missing-local-derivative dropped-path wrong-local-rule treated-as-constant softmax-diagonal",
                     "scores logp", "log_softmax")),
    Slip("softmax jacobian used for log softmax", through_log_softmax,
         ("grad_scores = grad_logp - P * grad_logp.sum(axis=1, keepdims=True)",
          "grad_scores = P * (grad_logp - (P * grad_logp).sum(axis=1, keepdims=True))"),
         label=label("wrong-local-rule softmax-diagonal double-derivative", "scores logp", "log_softmax")),
    Slip("log softmax's gradient summed over rows", through_log_softmax,
         ("grad_scores = grad_logp - P * grad_logp.sum(axis=1, keepdims=True)",
          "grad_scores = grad_logp - P * grad_logp.sum(axis=0, keepdims=True)"),
         label=label("wrong-axis", "scores logp", "log_softmax")),
    Slip("sign of the log likelihood lost, and biases averaged", through_log_softmax,
         ("grad_logp[np.arange(len(y)), y] = -1 / len(y)", "grad_logp[np.arange(len(y)), y] = 1 / len(y)"),
         ("ones = np.ones(len(y), dtype=X.dtype)", "ones = np.full(len(y), 1 / len(y), dtype=X.dtype)"),
         label=label("two", "loss picked logp scores b1 b2 b3 z1 z2", "negative mean getitem log_softmax add")),
)
