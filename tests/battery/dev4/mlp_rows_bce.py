"""Two hidden layers, rectified and tanh, with one sigmoid output; the binary cross entropy is written out."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("W1", "b1", "W2", "b2", "W3", "b3")


def data(rng, dtype):
    return {"X": rng.normal(size=(9, 5)).astype(dtype),
            "y": np.array([[1], [0], [0], [1], [1], [0], [1], [1], [0]]).astype(dtype),
            "W1": (0.6 * rng.normal(size=(5, 4))).astype(dtype), "b1": (0.3 * rng.normal(size=4)).astype(dtype),
            "W2": (0.7 * rng.normal(size=(4, 4))).astype(dtype), "b2": (0.3 * rng.normal(size=4)).astype(dtype),
            "W3": rng.normal(size=(4, 1)).astype(dtype), "b3": rng.normal(size=1).astype(dtype)}


def loss(X, y, W1, b1, W2, b2, W3, b3):
    z1 = X @ W1 + b1
    a1 = np.maximum(z1, 0)
    z2 = a1 @ W2 + b2
    a2 = np.tanh(z2)
    z3 = a2 @ W3 + b3
    p = ad.sigmoid(z3)
    bce = -(y * np.log(p) + (1 - y) * np.log(1 - p))
    loss = bce.mean()
    return loss


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def step_by_step(X, y, W1, b1, W2, b2, W3, b3):
    n = X.shape[0]
    z1 = X @ W1 + b1
    a1 = np.maximum(z1, 0)
    z2 = a1 @ W2 + b2
    a2 = np.tanh(z2)
    z3 = a2 @ W3 + b3
    p = sigmoid(z3)

    grad_p = ((1 - y) / (1 - p) - y / p) / n
    grad_z3 = grad_p * p * (1 - p)
    grad_W3 = a2.T @ grad_z3
    grad_b3 = grad_z3.sum(axis=0)
    grad_a2 = grad_z3 @ W3.T
    grad_z2 = grad_a2 * (1 - a2 ** 2)
    grad_W2 = a1.T @ grad_z2
    grad_b2 = grad_z2.sum(axis=0)
    grad_a1 = grad_z2 @ W2.T
    grad_z1 = grad_a1 * (z1 > 0)
    grad_W1 = X.T @ grad_z1
    grad_b1 = grad_z1.sum(axis=0)
    return {"W1": grad_W1, "b1": grad_b1, "W2": grad_W2, "b2": grad_b2, "W3": grad_W3, "b3": grad_b3,
            "p": grad_p, "z3": grad_z3, "a2": grad_a2, "z2": grad_z2, "a1": grad_a1, "z1": grad_z1}


def deltas(X, y, W1, b1, W2, b2, W3, b3):
    h = np.maximum(0, X @ W1 + b1)
    g = np.tanh(h @ W2 + b2)
    delta3 = (sigmoid(g @ W3 + b3) - y) / y.size
    dW3, db3 = g.T @ delta3, delta3.sum(0)
    delta2 = (1 - g * g) * (delta3 @ W3.T)
    dW2, db2 = h.T @ delta2, delta2.sum(0)
    delta1 = np.where(h > 0, delta2 @ W2.T, 0)
    dW1, db1 = X.T @ delta1, delta1.sum(0)
    return {"dW1": dW1, "db1": db1, "dW2": dW2, "db2": db2, "dW3": dW3, "db3": db3}


def one_sample_at_a_time(X, y, W1, b1, W2, b2, W3, b3):
    m = len(X)
    dW1, db1 = np.zeros_like(W1), np.zeros_like(b1)
    dW2, db2 = np.zeros_like(W2), np.zeros_like(b2)
    dW3, db3 = np.zeros_like(W3), np.zeros_like(b3)
    cost = 0.0
    for i in range(m):
        x = X[i]
        pre1 = x @ W1 + b1
        h1 = np.maximum(pre1, 0)
        h2 = np.tanh(h1 @ W2 + b2)
        out = sigmoid(h2 @ W3 + b3)[0]
        target = y[i, 0]
        cost += -(target * np.log(out) + (1 - target) * np.log(1 - out))
        e3 = out - target
        e2 = e3 * W3[:, 0] * (1 - h2 ** 2)
        e1 = W2 @ e2
        e1[pre1 <= 0] = 0
        dW3 += e3 * h2[:, None]
        db3 += e3
        dW2 += np.outer(h1, e2)
        db2 += e2
        dW1 += np.outer(x, e1)
        db1 += e1
    grads = {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2, "W3": dW3, "b3": db3}
    grads = {name: g / m for name, g in grads.items()}
    return {**grads, "loss": cost / m}


def over_layers(X, y, W1, b1, W2, b2, W3, b3):
    weights, biases = [W1, W2, W3], [b1, b2, b3]
    act = [lambda z: np.maximum(z, 0), np.tanh, sigmoid]
    slope = [lambda z: (z > 0).astype(z.dtype), lambda z: 1 / np.cosh(z) ** 2, lambda z: sigmoid(z) * sigmoid(-z)]
    inputs, zs = [X], []
    for w, b, f in zip(weights, biases, act):
        zs.append(inputs[-1] @ w + b)
        inputs.append(f(zs[-1]))
    yhat = inputs[-1]
    d = (yhat - y) / (yhat * (1 - yhat))
    d = d / len(y)
    out = {}
    for k in (2, 1, 0):
        d = d * slope[k](zs[k])
        out[f"W{k + 1}"] = inputs[k].T @ d
        out[f"b{k + 1}"] = d.sum(axis=0)
        d = d @ weights[k].T
    return out


RIGHT = (step_by_step, deltas, one_sample_at_a_time, over_layers)

SLIPS = (
    Slip("only the ones counted in the derivative of the cross entropy", step_by_step,
         ("grad_p = ((1 - y) / (1 - p) - y / p) / n", "grad_p = -(y / p) / n"),
         label=label("dropped-path missing-term", "p bce", "log subtract multiply add")),
    Slip("inner minus of log(1 - p) forgotten at p", step_by_step,
         ("grad_p = ((1 - y) / (1 - p) - y / p) / n", "grad_p = -((1 - y) / (1 - p) + y / p) / n"),
         label=label("sign", "p bce", "log subtract multiply add")),
    Slip("mean over the features instead of the samples at p", step_by_step,
         ("n = X.shape[0]", "n = X.shape[1]"),
         label=label("scale", "z3 p bce loss", "sigmoid log negative add mean")),
    Slip("sigmoid applied to p once more for its slope at z3", step_by_step,
         ("grad_z3 = grad_p * p * (1 - p)", "grad_z3 = grad_p * sigmoid(p) * (1 - sigmoid(p))"),
         label=label("wrong-argument", "z3 p", "sigmoid")),
    Slip("rectifier's mask by the sign of the arriving gradient at z1", step_by_step,
         ("grad_z1 = grad_a1 * (z1 > 0)", "grad_z1 = grad_a1 * (grad_a1 > 0)"),
         label=label("wrong-local-rule wrong-argument", "z1 a1", "maximum")),
    Slip("rectifier's mask of the second layer used at z1", step_by_step,
         ("grad_z1 = grad_a1 * (z1 > 0)", "grad_z1 = grad_a1 * (z2 > 0)"),
         label=label("wrong-argument wrong-operand wrong-local-rule", "z1 a1", "maximum")),
    Slip("slope of tanh left out on the way but kept for the weights W2", step_by_step,
         ("grad_a1 = grad_z2 @ W2.T", "grad_a1 = grad_a2 @ W2.T"),
         label=label("missing-local-derivative wrong-operand", "a1 z2 a2", "tanh matmul")),
    Slip("W2's gradient with z1 before the rectifier", step_by_step,
         ("grad_W2 = a1.T @ grad_z2", "grad_W2 = z1.T @ grad_z2"),
         label=label("wrong-operand", "W2 z2 a1", "matmul")),
    Slip("b2 averaged over samples once more", deltas,
         ("dW2, db2 = h.T @ delta2, delta2.sum(0)", "dW2, db2 = h.T @ delta2, delta2.mean(0)"),
         label=label("scale", "b2 z2", "add")),
    Slip("transpose of W2 forgotten on the way back", deltas,
         ("delta1 = np.where(h > 0, delta2 @ W2.T, 0)", "delta1 = np.where(h > 0, delta2 @ W2, 0)"),
         label=label("missing-transpose", "a1 z2 W2", "matmul")),
    Slip("W2 stepped before it is used to go back", deltas,
         ("dW2, db2 = h.T @ delta2, delta2.sum(0)", "dW2, db2 = h.T @ delta2, delta2.sum(0)\nW2 = W2 - 0.5 * dW2"),
         label=label("stale-value wrong-operand", "a1 z2 W2", "matmul")),
    Slip("mask by h at least zero, which the rectified always is", deltas,
         ("delta1 = np.where(h > 0, delta2 @ W2.T, 0)", "delta1 = np.where(h >= 0, delta2 @ W2.T, 0)"),
         label=label("missing-local-derivative wrong-local-rule", "z1 a1", "maximum")),
    Slip("twice the error, as for squares, at z3", deltas,
         ("delta3 = (sigmoid(g @ W3 + b3) - y) / y.size", "delta3 = 2 * (sigmoid(g @ W3 + b3) - y) / y.size"),
         label=label("scale", "z3 p bce loss", "sigmoid log negative add mean")),
    Slip("W2 set by the last sample", one_sample_at_a_time,
         ("dW2 += np.outer(h1, e2)", "dW2 = np.outer(h1, e2)"),
         label=label("overwritten-accumulation dropped-path missing-broadcast-reduction", "W2 z2", "matmul")),
    Slip("copied line: b2 gets the error of the first layer", one_sample_at_a_time,
         ("db2 += e2", "db2 += e1"),
         label=label("wrong-operand", "b2 z2", "add")),
    Slip("outer product the wrong way round for W2", one_sample_at_a_time,
         ("dW2 += np.outer(h1, e2)", "dW2 += np.outer(e2, h1)"),
         label=label("transposed-result missing-transpose", "W2 z2", "matmul")),
    Slip("first sample skipped", one_sample_at_a_time,
         ("for i in range(m):", "for i in range(1, m):"),
         label=label("dropped-path", "loss bce p z3 a2 z2 a1 z1 W1 b1 W2 b2 W3 b3", "mean")),
    Slip("error of the output divided by m in the loop, and the gradients again at the end", one_sample_at_a_time,
         ("e3 = out - target", "e3 = (out - target) / m"),
         label=label("scale", "z3 p bce loss", "sigmoid log negative add mean")),
    Slip("the active units' errors set to zero instead of the others'", one_sample_at_a_time,
         ("e1[pre1 <= 0] = 0", "e1[pre1 > 0] = 0"),
         label=label("wrong-local-rule wrong-argument", "z1 a1", "maximum")),
    Slip("slopes taken at the activations instead of z", over_layers,
         ("d = d * slope[k](zs[k])", "d = d * slope[k](inputs[k + 1])"),
         label=label("wrong-argument two", "z3 p z2 a2", "sigmoid tanh")),
    Slip("slope of the logistic left out after dividing it away by hand, so it is divided twice", over_layers,
         ("d = (yhat - y) / (yhat * (1 - yhat))", "d = (yhat - y) / (yhat * (1 - yhat)) ** 2"),
         label=label("missing-local-derivative wrong-local-rule double-derivative", "p z3 bce", "sigmoid log")),
    Slip("simplified error of the logits given to the loop that has the logistic's slope", over_layers,
         ("d = (yhat - y) / (yhat * (1 - yhat))", "d = yhat - y"),
         label=label("double-derivative missing-local-derivative wrong-local-rule", "p z3 bce", "sigmoid log")),
    Slip("target minus output, and no mean", over_layers,
         ("d = (yhat - y) / (yhat * (1 - yhat))", "d = (y - yhat) / (yhat * (1 - yhat))"),
         ("d = d / len(y)", ""),
         label=label("two scale sign", "z3 p bce loss", "sigmoid log negative add mean subtract")),
)
