"""Three layers on columns, tanh then sigmoids from Glorot's start, with the binary cross entropy written out."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("W1", "b1", "W2", "b2", "W3", "b3")


def data(rng, dtype):
    def glorot(fan_out, fan_in):
        return rng.normal(size=(fan_out, fan_in)) * np.sqrt(2 / (fan_in + fan_out))

    values = {"X": rng.normal(size=(5, 7)) + 0.3, "Y": rng.permutation([[0, 1, 1, 0, 1, 0, 1]], axis=1),
              "W1": glorot(4, 5), "b1": 0.3 * rng.normal(size=(4, 1)),
              "W2": glorot(4, 4), "b2": 0.3 * rng.normal(size=(4, 1)),
              "W3": glorot(1, 4), "b3": 0.3 * rng.normal(size=(1, 1))}
    return {k: v.astype(dtype) for k, v in values.items()}


def loss(X, Y, W1, b1, W2, b2, W3, b3):
    m = X.shape[1]
    Z1 = W1 @ X + b1
    A1 = np.tanh(Z1)
    Z2 = W2 @ A1 + b2
    A2 = ad.sigmoid(Z2)
    Z3 = W3 @ A2 + b3
    A3 = ad.sigmoid(Z3)
    logprobs = Y * np.log(A3) + (1 - Y) * np.log(1 - A3)
    cost = -np.sum(logprobs) / m
    return cost


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def dsigmoid(z):
    return sigmoid(z) * (1 - sigmoid(z))


def from_the_course(X, Y, W1, b1, W2, b2, W3, b3):
    m = X.shape[1]
    A1 = np.tanh(W1 @ X + b1)
    A2 = sigmoid(W2 @ A1 + b2)
    A3 = sigmoid(W3 @ A2 + b3)
    dZ3 = A3 - Y
    dW3 = (1 / m) * dZ3 @ A2.T
    db3 = (1 / m) * np.sum(dZ3, axis=1, keepdims=True)
    dA2 = W3.T @ dZ3
    dZ2 = dA2 * A2 * (1 - A2)
    dW2 = (1 / m) * dZ2 @ A1.T
    db2 = (1 / m) * np.sum(dZ2, axis=1, keepdims=True)
    dA1 = W2.T @ dZ2
    dZ1 = dA1 * (1 - A1**2)
    dW1 = (1 / m) * dZ1 @ X.T
    db1 = (1 / m) * np.sum(dZ1, axis=1, keepdims=True)
    return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2, "W3": dW3, "b3": db3}


def every_step(X, Y, W1, b1, W2, b2, W3, b3):
    Z1 = np.dot(W1, X) + b1
    A1 = np.tanh(Z1)
    Z2 = np.dot(W2, A1) + b2
    A2 = sigmoid(Z2)
    Z3 = np.dot(W3, A2) + b3
    A3 = sigmoid(Z3)
    m = Y.shape[1]
    cost = -np.sum(Y * np.log(A3) + (1 - Y) * np.log(1 - A3)) / m
    grad_logprobs = -np.ones_like(Y) / m
    grad_A3 = grad_logprobs * (Y / A3 - (1 - Y) / (1 - A3))
    grad_Z3 = grad_A3 * dsigmoid(Z3)
    grad_W3 = np.dot(grad_Z3, A2.T)
    grad_b3 = grad_Z3.sum(axis=1, keepdims=True)
    grad_A2 = np.dot(W3.T, grad_Z3)
    grad_Z2 = grad_A2 * dsigmoid(Z2)
    grad_W2 = np.dot(grad_Z2, A1.T)
    grad_b2 = grad_Z2.sum(axis=1, keepdims=True)
    grad_A1 = np.dot(W2.T, grad_Z2)
    grad_Z1 = grad_A1 / np.cosh(Z1)**2
    grad_W1 = np.dot(grad_Z1, X.T)
    grad_b1 = grad_Z1.sum(axis=1, keepdims=True)
    return {"loss": cost, "A3": grad_A3, "Z3": grad_Z3, "A2": grad_A2, "Z2": grad_Z2, "A1": grad_A1, "Z1": grad_Z1,
            "W1": grad_W1, "b1": grad_b1, "W2": grad_W2, "b2": grad_b2, "W3": grad_W3, "b3": grad_b3}


def sample_by_sample(X, Y, W1, b1, W2, b2, W3, b3):
    gW1, gW2, gW3 = np.zeros_like(W1), np.zeros_like(W2), np.zeros_like(W3)
    gb1, gb2, gb3 = np.zeros_like(b1), np.zeros_like(b2), np.zeros_like(b3)
    m = X.shape[1]
    for i in range(m):
        x, y = X[:, i], Y[:, i]
        a1 = np.tanh(W1 @ x + b1[:, 0])
        a2 = sigmoid(W2 @ a1 + b2[:, 0])
        a3 = sigmoid(W3 @ a2 + b3[:, 0])
        err3 = a3 - y
        err2 = (err3 @ W3) * (a2 - a2 * a2)
        err1 = (err2 @ W2) * (1 - a1) * (1 + a1)
        gW3 += np.outer(err3, a2)
        gb3[:, 0] += err3
        gW2 += np.outer(err2, a1)
        gb2[:, 0] += err2
        gW1 += np.outer(err1, x)
        gb1[:, 0] += err1
    return {"dW1": gW1 / m, "db1": gb1 / m, "dW2": gW2 / m, "db2": gb2 / m, "dW3": gW3 / m, "db3": gb3 / m}


def over_the_layers(X, Y, W1, b1, W2, b2, W3, b3):
    Ws, acts = [None, W1, W2, W3], [X]
    for layer, b in enumerate([b1, b2, b3], start=1):
        z = Ws[layer] @ acts[-1] + b
        acts.append(np.tanh(z) if layer == 1 else sigmoid(z))
    slopes = {1: lambda a: 1 - a**2, 2: lambda a: a * (1 - a)}
    delta = (acts[3] - Y) / len(Y.T)
    grads = {}
    for layer in (3, 2, 1):
        below = acts[layer - 1]
        grads[f"W{layer}"] = np.einsum("oi,hi->oh", delta, below)
        grads[f"b{layer}"] = np.einsum("oi->o", delta)[:, None]
        if layer > 1:
            error = np.einsum("oh,oi->hi", Ws[layer], delta)
            delta = slopes[layer - 1](below) * error
    return grads


RIGHT = (from_the_course, every_step, sample_by_sample, over_the_layers)

SLIPS = (
    Slip("second bias without its mean", from_the_course,
         ("db2 = (1 / m) * np.sum(dZ2, axis=1, keepdims=True)", "db2 = np.sum(dZ2, axis=1, keepdims=True)"),
         label=label("scale", "b2 Z2", "add sum divide")),
    Slip("features counted for m", from_the_course, ("m = X.shape[1]", "m = X.shape[0]"),
         label=label("scale", "cost logprobs A3 Z3", "divide negative sum log add multiply sigmoid")),
    Slip("tanh's slope for the sigmoid layer", from_the_course,
         ("dZ2 = dA2 * A2 * (1 - A2)", "dZ2 = dA2 * (1 - A2**2)"),
         label=label("wrong-local-rule", "Z2 A2", "sigmoid")),
    Slip("one of the two A2 became A1", from_the_course,
         ("dZ2 = dA2 * A2 * (1 - A2)", "dZ2 = dA2 * A2 * (1 - A1)"),
         label=label("wrong-operand wrong-argument wrong-local-rule", "Z2 A2 A1", "sigmoid")),
    Slip("last weights stepped before the error goes through them", from_the_course,
         ("dA2 = W3.T @ dZ3", "W3 = W3 - 0.5 * dW3\ndA2 = W3.T @ dZ3"),
         label=label("stale-value wrong-operand", "A2 W3 Z3", "matmul")),
    Slip("second weights meet their own layer's output", from_the_course,
         ("dW2 = (1 / m) * dZ2 @ A1.T", "dW2 = (1 / m) * dZ2 @ A2.T"),
         label=label("wrong-operand", "W2 A1 A2 Z2", "matmul")),
    Slip("sum of the first bias with a mean on top", from_the_course,
         ("db1 = (1 / m) * np.sum(dZ1, axis=1, keepdims=True)",
          "db1 = (1 / m) * np.mean(dZ1, axis=1, keepdims=True)"),
         label=label("scale", "b1 Z1", "add sum divide")),
    Slip("squared error's delta at the output", from_the_course,
         ("dZ3 = A3 - Y", "dZ3 = (A3 - Y) * A3 * (1 - A3)"),
         label=label("double-derivative wrong-local-rule", "Z3 A3 logprobs cost", "sigmoid log")),
    Slip("half of the cross entropy's slope added", every_step,
         ("grad_A3 = grad_logprobs * (Y / A3 - (1 - Y) / (1 - A3))",
          "grad_A3 = grad_logprobs * (Y / A3 + (1 - Y) / (1 - A3))"),
         label=label("sign missing-local-derivative", "A3 logprobs", "subtract log multiply add")),
    Slip("only the ones' half of the cross entropy", every_step,
         ("grad_A3 = grad_logprobs * (Y / A3 - (1 - Y) / (1 - A3))", "grad_A3 = grad_logprobs * Y / A3"),
         label=label("dropped-path missing-term", "A3 logprobs", "log subtract multiply add")),
    Slip("cost's minus lost", every_step,
         ("grad_logprobs = -np.ones_like(Y) / m", "grad_logprobs = np.ones_like(Y) / m"),
         label=label("sign", "cost logprobs A3 Z3", "negative sum divide log add multiply sigmoid")),
    Slip("output sigmoid passed over", every_step, ("grad_Z3 = grad_A3 * dsigmoid(Z3)", "grad_Z3 = grad_A3"),
         label=label("missing-local-derivative", "Z3 A3", "sigmoid")),
    Slip("sigmoid of the sigmoid in the slope", every_step,
         ("grad_Z2 = grad_A2 * dsigmoid(Z2)", "grad_Z2 = grad_A2 * dsigmoid(A2)"),
         label=label("wrong-argument", "Z2 A2", "sigmoid")),
    Slip("middle weights not turned", every_step,
         ("grad_A1 = np.dot(W2.T, grad_Z2)", "grad_A1 = np.dot(W2, grad_Z2)"),
         label=label("missing-transpose", "A1 W2 Z2", "matmul")),
    Slip("hyperbolic cosine not squared", every_step,
         ("grad_Z1 = grad_A1 / np.cosh(Z1)**2", "grad_Z1 = grad_A1 / np.cosh(Z1)"),
         label=label("wrong-local-rule", "Z1 A1", "tanh")),
    Slip("second bias takes the error before the slope", every_step,
         ("grad_b2 = grad_Z2.sum(axis=1, keepdims=True)", "grad_b2 = grad_A2.sum(axis=1, keepdims=True)"),
         label=label("missing-local-derivative wrong-operand", "b2 Z2 A2", "sigmoid add sum")),
    Slip("first weights keep the last sample only", sample_by_sample,
         ("gW1 += np.outer(err1, x)", "gW1 = np.outer(err1, x)"),
         label=label("overwritten-accumulation dropped-path missing-broadcast-reduction", "W1 Z1", "matmul")),
    Slip("second bias sums over its units", sample_by_sample, ("gb2[:, 0] += err2", "gb2[:, 0] += err2.sum()"),
         label=label("wrong-axis missing-broadcast-reduction", "b2 Z2", "add sum")),
    Slip("sample count starts at one", sample_by_sample, ("for i in range(m):", "for i in range(1, m):"),
         label=label("dropped-path missing-broadcast-reduction",
                     "cost logprobs A3 Z3 A2 Z2 A1 Z1 X Y W1 b1 W2 b2 W3 b3", "sum matmul add")),
    Slip("outer product of the middle layer the other way round", sample_by_sample,
         ("gW2 += np.outer(err2, a1)", "gW2 += np.outer(a1, err2)"),
         label=label("transposed-result missing-transpose", "W2 Z2", "matmul")),
    Slip("target minus output", sample_by_sample, ("err3 = a3 - y", "err3 = y - a3"),
         label=label("sign", "Z3 A3 logprobs cost", "sigmoid log multiply add sum negative divide")),
    Slip("factors of the hyperbolic tangent's slope alike", sample_by_sample,
         ("err1 = (err2 @ W2) * (1 - a1) * (1 + a1)", "err1 = (err2 @ W2) * (1 - a1) * (1 - a1)"),
         label=label("wrong-local-rule", "Z1 A1", "tanh")),
    Slip("all slopes as for a sigmoid", over_the_layers,
         ("slopes = {1: lambda a: 1 - a**2, 2: lambda a: a * (1 - a)}",
          "slopes = {1: lambda a: a * (1 - a), 2: lambda a: a * (1 - a)}"),
         label=label("wrong-local-rule", "Z1 A1", "tanh")),
    Slip("slopes left out of the recursion", over_the_layers,
         ("delta = slopes[layer - 1](below) * error", "delta = error"),
         label=label("missing-local-derivative", "Z2 A2 Z1 A1", "sigmoid tanh")),
    Slip("sum not mean, and middle error not turned", from_the_course,
         ("dA1 = W2.T @ dZ2", "dA1 = W2 @ dZ2"),
         ("dW3 = (1 / m) * dZ3 @ A2.T", "dW3 = dZ3 @ A2.T"),
         label=label("two", "W3 Z3 A1 W2 Z2", "matmul divide")),
)
