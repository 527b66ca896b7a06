"""A classifier of two tanh layers, a sample in every column, against one-hot columns."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("W1", "b1", "W2", "b2", "W3", "b3")


def data(rng, dtype):
    labels = np.array([2, 0, 1, 1, 2, 0, 2])
    leaves = {"X": rng.normal(size=(5, 7)), "Y": np.eye(3)[labels].T,
              "W1": 0.6 * rng.normal(size=(4, 5)), "b1": 0.3 * rng.normal(size=(4, 1)),
              "W2": 0.7 * rng.normal(size=(4, 4)), "b2": 0.3 * rng.normal(size=(4, 1)),
              "W3": 0.8 * rng.normal(size=(3, 4)), "b3": 0.3 * rng.normal(size=(3, 1))}
    return {k: v.astype(dtype) for k, v in leaves.items()}


def loss(X, Y, W1, b1, W2, b2, W3, b3):
    m = X.shape[1]
    z1 = W1 @ X + b1
    a1 = np.tanh(z1)
    z2 = W2 @ a1 + b2
    a2 = np.tanh(z2)
    z3 = W3 @ a2 + b3
    logp = ad.log_softmax(z3, axis=0)
    cost = -np.sum(Y * logp) / m
    return cost


def softmax(z):
    e = np.exp(z - z.max(axis=0, keepdims=True))
    return e / e.sum(axis=0, keepdims=True)


def course_style(X, Y, W1, b1, W2, b2, W3, b3):
    m = X.shape[1]
    Z1 = np.dot(W1, X) + b1
    A1 = np.tanh(Z1)
    Z2 = np.dot(W2, A1) + b2
    A2 = np.tanh(Z2)
    Z3 = np.dot(W3, A2) + b3
    A3 = softmax(Z3)
    dZ3 = A3 - Y
    dW3 = 1 / m * np.dot(dZ3, A2.T)
    db3 = 1 / m * np.sum(dZ3, axis=1, keepdims=True)
    dA2 = np.dot(W3.T, dZ3)
    dZ2 = dA2 * (1 - A2 ** 2)
    dW2 = 1 / m * np.dot(dZ2, A1.T)
    db2 = 1 / m * np.sum(dZ2, axis=1, keepdims=True)
    dA1 = np.dot(W2.T, dZ2)
    dZ1 = dA1 * (1 - A1 ** 2)
    dW1 = 1 / m * np.dot(dZ1, X.T)
    db1 = 1 / m * np.sum(dZ1, axis=1, keepdims=True)
    return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2, "W3": dW3, "b3": db3}


def column_by_column(X, Y, W1, b1, W2, b2, W3, b3):
    n = X.shape[1]
    g_W1, g_b1 = np.zeros_like(W1), np.zeros_like(b1)
    g_W2, g_b2 = np.zeros_like(W2), np.zeros_like(b2)
    g_W3, g_b3 = np.zeros_like(W3), np.zeros_like(b3)
    for j in range(n):
        x = X[:, j]
        h1 = np.tanh(W1 @ x + b1[:, 0])
        h2 = np.tanh(W2 @ h1 + b2[:, 0])
        s = W3 @ h2 + b3[:, 0]
        p = np.exp(s) / np.exp(s).sum()
        e3 = p - Y[:, j]
        e2 = (1 - h2 * h2) * (e3 @ W3)
        e1 = (1 - h1 * h1) * (e2 @ W2)
        g_W3 += np.outer(e3, h2)
        g_b3[:, 0] += e3
        g_W2 += np.outer(e2, h1)
        g_b2[:, 0] += e2
        g_W1 += np.outer(e1, x)
        g_b1[:, 0] += e1
    return {"W1": g_W1 / n, "b1": g_b1 / n, "W2": g_W2 / n, "b2": g_b2 / n, "W3": g_W3 / n, "b3": g_b3 / n}


def tanh_prime(z):
    return 1 / np.cosh(z) ** 2


def every_step(X, Y, W1, b1, W2, b2, W3, b3):
    m = Y.shape[1]
    z1 = W1 @ X + b1
    a1 = np.tanh(z1)
    z2 = W2 @ a1 + b2
    a2 = np.tanh(z2)
    z3 = W3 @ a2 + b3
    p = softmax(z3)
    cost = -np.sum(Y * np.log(p)) / m
    grad_logp = -Y / m
    grad_p = grad_logp / p
    inner = np.sum(grad_p * p, axis=0, keepdims=True)
    grad_z3 = p * (grad_p - inner)
    grad_W3 = grad_z3 @ a2.T
    grad_b3 = grad_z3.sum(axis=1, keepdims=True)
    grad_a2 = W3.T @ grad_z3
    grad_z2 = grad_a2 * tanh_prime(z2)
    grad_W2 = grad_z2 @ a1.T
    grad_b2 = grad_z2.sum(axis=1, keepdims=True)
    grad_a1 = W2.T @ grad_z2
    grad_z1 = grad_a1 * tanh_prime(z1)
    grad_W1 = grad_z1 @ X.T
    grad_b1 = grad_z1.sum(axis=1, keepdims=True)
    return {"loss": cost, "z3": grad_z3, "a2": grad_a2, "z2": grad_z2, "a1": grad_a1, "z1": grad_z1,
            "W1": grad_W1, "b1": grad_b1, "W2": grad_W2, "b2": grad_b2, "W3": grad_W3, "b3": grad_b3}


def list_of_layers(X, Y, W1, b1, W2, b2, W3, b3):
    weights, biases = [W1, W2, W3], [b1, b2, b3]
    acts = [X]
    for W, b in zip(weights[:-1], biases[:-1]):
        acts.append(np.tanh(W @ acts[-1] + b))
    delta = (softmax(W3 @ acts[-1] + b3) - Y) / X.shape[1]
    grads = {}
    for k in (3, 2, 1):
        grads[f"dW{k}"] = delta @ acts[k - 1].T
        grads[f"db{k}"] = np.einsum("ij->i", delta)[:, None]
        if k > 1:
            delta = weights[k - 1].T @ delta
            delta *= 1 - acts[k - 1] ** 2
    return grads


RIGHT = (course_style, column_by_column, every_step, list_of_layers)

SLIPS = (
    Slip("tanh' of the second layer written 1 - a2", course_style,
         ("dZ2 = dA2 * (1 - A2 ** 2)", "dZ2 = dA2 * (1 - A2)"),
         label=label("wrong-local-rule", "a2 z2", "tanh")),
    Slip("first layer's tanh' with the other layer's activation", course_style,
         ("dZ1 = dA1 * (1 - A1 ** 2)", "dZ1 = dA1 * (1 - A2 ** 2)"),
         label=label("wrong-argument wrong-operand", "a1 z1", "tanh")),
    Slip("W2 not transposed on the way to a1", course_style, ("dA1 = np.dot(W2.T, dZ2)", "dA1 = np.dot(W2, dZ2)"),
         label=label("missing-transpose", "a1 W2 z2", "matmul")),
    Slip("no division by m in b2 only", course_style,
         ("db2 = 1 / m * np.sum(dZ2, axis=1, keepdims=True)", "db2 = np.sum(dZ2, axis=1, keepdims=True)"),
         label=label("scale", "b2", "add divide sum")),
    Slip("W2's gradient with its own layer's output", course_style,
         ("dW2 = 1 / m * np.dot(dZ2, A1.T)", "dW2 = 1 / m * np.dot(dZ2, A2.T)"),
         label=label("wrong-operand", "W2 z2", "matmul")),
    Slip("m read off the wrong axis of X", course_style, ("m = X.shape[1]", "m = X.shape[0]"),
         label=label("scale", "cost logp z3", "divide negative sum multiply log_softmax")),
    Slip("softmax over the samples", course_style,
         ("A3 = softmax(Z3)", "A3 = softmax(Z3.T).T"),
         label=label("wrong-axis wrong-local-rule wrong-argument", "z3 logp", "log_softmax")),
    Slip("bias left out of the first layer's recomputed forward", course_style,
         ("Z1 = np.dot(W1, X) + b1", "Z1 = np.dot(W1, X)"),
         label=label("wrong-argument wrong-operand stale-value missing-term", "z1 a1 b1", "add tanh")),
    Slip("target minus prediction", column_by_column, ("e3 = p - Y[:, j]", "e3 = Y[:, j] - p"),
         label=label("sign", "z3 logp cost", "negative divide sum multiply log_softmax")),
    Slip("W2's outer product the wrong way round", column_by_column,
         ("g_W2 += np.outer(e2, h1)", "g_W2 += np.outer(h1, e2)"),
         label=label("transposed-result missing-transpose", "W2 z2", "matmul")),
    Slip("b1 keeps only the last sample", column_by_column, ("g_b1[:, 0] += e1", "g_b1[:, 0] = e1"),
         label=label("overwritten-accumulation missing-broadcast-reduction dropped-path", "b1 z1", "add")),
    Slip("hidden error goes back before tanh' of layer two is on it", column_by_column,
         ("e1 = (1 - h1 * h1) * (e2 @ W2)", "e1 = (1 - h1 * h1) * ((e3 @ W3) @ W2)"),
         label=label("missing-local-derivative stale-value wrong-operand", "a1 z2 a2", "tanh matmul")),
    Slip("logistic derivative for tanh in the loop", column_by_column,
         ("e2 = (1 - h2 * h2) * (e3 @ W3)", "e2 = h2 * (1 - h2) * (e3 @ W3)"),
         label=label("wrong-local-rule", "a2 z2", "tanh")),
    Slip("loop starts at one", column_by_column, ("for j in range(n):", "for j in range(1, n):"),
         label=label("dropped-path missing-broadcast-reduction",
                     "cost logp z3 X Y", "sum multiply log_softmax negative divide")),
    Slip("one minus too many: the log's minus twice", every_step, ("grad_logp = -Y / m", "grad_logp = Y / m"),
         label=label("sign", "logp cost z3", "negative divide sum multiply log_softmax")),
    Slip("only the diagonal of softmax's Jacobian", every_step,
         ("grad_z3 = p * (grad_p - inner)", "grad_z3 = p * (1 - p) * grad_p"),
         label=label("softmax-diagonal wrong-local-rule", "z3 logp", "log_softmax")),
    Slip("softmax's inner product summed over samples too", every_step,
         ("inner = np.sum(grad_p * p, axis=0, keepdims=True)", "inner = np.sum(grad_p * p, keepdims=True)"),
         label=label("wrong-axis softmax-diagonal wrong-local-rule", "z3 logp", "log_softmax sum")),
    Slip("tanh' taken at the output instead of the input, layer one", every_step,
         ("grad_z1 = grad_a1 * tanh_prime(z1)", "grad_z1 = grad_a1 * tanh_prime(a1)"),
         label=label("wrong-argument", "a1 z1", "tanh")),
    Slip("b3 averaged where the mean was taken already", every_step,
         ("grad_b3 = grad_z3.sum(axis=1, keepdims=True)", "grad_b3 = grad_z3.mean(axis=1, keepdims=True)"),
         label=label("scale", "b3", "add sum")),
    Slip("log's derivative forgotten before the softmax's", every_step,
         ("grad_p = grad_logp / p", "grad_p = grad_logp"),
         label=label("missing-local-derivative wrong-local-rule", "logp z3", "log_softmax")),
    Slip("b1's gradient pasted from b2's", every_step,
         ("grad_b1 = grad_z1.sum(axis=1, keepdims=True)", "grad_b1 = grad_z2.sum(axis=1, keepdims=True)"),
         label=label("wrong-operand stale-value swapped", "b1", "add sum")),
    Slip("no tanh' anywhere in the loop over layers", list_of_layers, ("delta *= 1 - acts[k - 1] ** 2", ""),
         label=label("missing-local-derivative", "a1 z1 a2 z2", "tanh")),
    Slip("all biases divided by m once more", list_of_layers,
         ('grads[f"db{k}"] = np.einsum("ij->i", delta)[:, None]',
          'grads[f"db{k}"] = np.einsum("ij->i", delta)[:, None] / X.shape[1]'),
         label=label("scale", "b1 b2 b3", "add divide sum")),
    Slip("divided by all entries of Y, and tanh' with a plus", list_of_layers,
         ("delta = (softmax(W3 @ acts[-1] + b3) - Y) / X.shape[1]",
          "delta = (softmax(W3 @ acts[-1] + b3) - Y) / Y.size"),
         ("delta *= 1 - acts[k - 1] ** 2", "delta *= 1 + acts[k - 1] ** 2"),
         label=label("two", "cost logp z3 a1 z1 a2 z2", "divide negative sum multiply log_softmax tanh")),
)
