"""Three layers with the samples in columns, binary cross entropy written out."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("W1", "b1", "W2", "b2", "W3", "b3")


def data(rng, dtype):
    def normal(*shape):
        return (0.7 * rng.normal(size=shape)).astype(dtype)
    return {"X": normal(5, 7), "Y": np.array([[1, 0, 0, 1, 1, 0, 1]]).astype(dtype),
            "W1": normal(4, 5), "b1": normal(4, 1), "W2": normal(4, 4), "b2": normal(4, 1),
            "W3": normal(1, 4), "b3": normal(1, 1)}


def loss(X, Y, W1, b1, W2, b2, W3, b3):
    m = X.shape[1]
    Z1 = W1 @ X + b1
    A1 = np.tanh(Z1)
    Z2 = W2 @ A1 + b2
    A2 = np.maximum(Z2, 0)
    Z3 = W3 @ A2 + b3
    A3 = ad.sigmoid(Z3)
    cost = -np.sum(Y * np.log(A3) + (1 - Y) * np.log(1 - A3)) / m
    return cost


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def course(X, Y, W1, b1, W2, b2, W3, b3):
    m = X.shape[1]
    A1 = np.tanh(W1 @ X + b1)
    Z2 = W2 @ A1 + b2
    A2 = np.maximum(Z2, 0)
    A3 = sigmoid(W3 @ A2 + b3)
    dZ3 = A3 - Y
    dW3 = dZ3 @ A2.T / m
    db3 = np.sum(dZ3, axis=1, keepdims=True) / m
    dA2 = W3.T @ dZ3
    dZ2 = dA2 * (Z2 > 0)
    dW2 = dZ2 @ A1.T / m
    db2 = np.sum(dZ2, axis=1, keepdims=True) / m
    dA1 = W2.T @ dZ2
    dZ1 = dA1 * (1 - A1 ** 2)
    dW1 = dZ1 @ X.T / m
    db1 = np.sum(dZ1, axis=1, keepdims=True) / m
    return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2, "W3": dW3, "b3": db3}


def every_step(X, Y, W1, b1, W2, b2, W3, b3):
    m = Y.size
    z1 = W1.dot(X) + b1
    a1 = np.tanh(z1)
    z2 = W2.dot(a1) + b2
    a2 = z2 * (z2 > 0)
    z3 = W3.dot(a2) + b3
    a3 = sigmoid(z3)
    grad_a3 = -(Y / a3 - (1 - Y) / (1 - a3)) / m
    grad_z3 = grad_a3 * a3 * (1 - a3)
    grad_W3 = grad_z3.dot(a2.T)
    grad_b3 = grad_z3.sum(1, keepdims=True)
    grad_a2 = W3.T.dot(grad_z3)
    grad_z2 = np.where(z2 > 0, grad_a2, 0)
    grad_W2 = grad_z2.dot(a1.T)
    grad_b2 = grad_z2.sum(1, keepdims=True)
    grad_a1 = W2.T.dot(grad_z2)
    grad_z1 = grad_a1 / np.cosh(z1) ** 2
    grad_W1 = grad_z1.dot(X.T)
    grad_b1 = grad_z1.sum(1, keepdims=True)
    return {"dW1": grad_W1, "db1": grad_b1, "dW2": grad_W2, "db2": grad_b2, "dW3": grad_W3, "db3": grad_b3}


def sample_by_sample(X, Y, W1, b1, W2, b2, W3, b3):
    g = {"W1": np.zeros_like(W1), "b1": np.zeros_like(b1), "W2": np.zeros_like(W2),
         "b2": np.zeros_like(b2), "W3": np.zeros_like(W3), "b3": np.zeros_like(b3)}
    m = X.shape[1]
    for i in range(m):
        x, y = X[:, [i]], Y[0, i]
        h1 = np.tanh(W1 @ x + b1)
        s2 = W2 @ h1 + b2
        h2 = np.where(s2 > 0, s2, 0)
        p = sigmoid(W3 @ h2 + b3)
        delta3 = p - y
        delta2 = (W3.T * delta3) * (s2 > 0)
        delta1 = (W2.T @ delta2) * (1 - h1 * h1)
        g["W3"] += delta3 * h2.T
        g["b3"] += delta3
        g["W2"] += np.outer(delta2, h1)
        g["b2"] += delta2
        g["W1"] += np.outer(delta1, x)
        g["b1"] += delta1
    return {name: value / m for name, value in g.items()}


RIGHT = (course, every_step, sample_by_sample)

SLIPS = (
    Slip("difference the other way round at Z3", course, ("dZ3 = A3 - Y", "dZ3 = Y - A3"),
         label=label("sign", "Z3 A3 cost", "sigmoid log negative sum divide")),
    Slip("1/m forgotten in W2", course, ("dW2 = dZ2 @ A1.T / m", "dW2 = dZ2 @ A1.T"),
         label=label("scale", "W2 Z2", "matmul")),
    Slip("mask at Z2 from A1", course, ("dZ2 = dA2 * (Z2 > 0)", "dZ2 = dA2 * (A1 > 0)"),
         label=label("wrong-argument wrong-operand wrong-local-rule", "Z2 A2 A1", "maximum")),
    Slip("gradient of A1 through W2 not transposed", course, ("dA1 = W2.T @ dZ2", "dA1 = W2 @ dZ2"),
         label=label("missing-transpose", "A1 Z2 W2", "matmul")),
    Slip("tanh' with A2 for A1 at Z1", course, ("dZ1 = dA1 * (1 - A1 ** 2)", "dZ1 = dA1 * (1 - A2 ** 2)"),
         label=label("wrong-argument wrong-operand", "Z1 A1 A2", "tanh")),
    Slip("b1 from dA1, before the tanh", course,
         ("db1 = np.sum(dZ1, axis=1, keepdims=True) / m", "db1 = np.sum(dA1, axis=1, keepdims=True) / m"),
         label=label("missing-local-derivative wrong-operand", "b1 Z1 A1", "tanh add")),
    Slip("relu not derived at Z2", course, ("dZ2 = dA2 * (Z2 > 0)", "dZ2 = dA2"),
         label=label("missing-local-derivative", "Z2 A2", "maximum")),
    Slip("W3's gradient from A1", course, ("dW3 = dZ3 @ A2.T / m", "dW3 = dZ3 @ A1.T / m"),
         label=label("wrong-operand", "W3 Z3 A2 A1", "matmul")),
    Slip("divided by m again at Z2", course, ("dZ2 = dA2 * (Z2 > 0)", "dZ2 = dA2 * (Z2 > 0) / m"),
         label=label("scale", "Z2 A2", "maximum matmul")),
    Slip("the second class's part added with the wrong sign at a3", every_step,
         ("grad_a3 = -(Y / a3 - (1 - Y) / (1 - a3)) / m", "grad_a3 = -(Y / a3 + (1 - Y) / (1 - a3)) / m"),
         label=label("sign wrong-local-rule", "A3 cost", "log subtract multiply add")),
    Slip("only the log of the ones derived at a3", every_step,
         ("grad_a3 = -(Y / a3 - (1 - Y) / (1 - a3)) / m", "grad_a3 = -(Y / a3) / m"),
         label=label("dropped-path missing-term", "A3 cost", "log subtract multiply add")),
    Slip("sigmoid' forgotten at z3", every_step, ("grad_z3 = grad_a3 * a3 * (1 - a3)", "grad_z3 = grad_a3"),
         label=label("missing-local-derivative", "Z3 A3", "sigmoid")),
    Slip("sigmoid' of z3 in place of a3", every_step,
         ("grad_z3 = grad_a3 * a3 * (1 - a3)", "grad_z3 = grad_a3 * z3 * (1 - z3)"),
         label=label("wrong-argument wrong-local-rule", "Z3 A3", "sigmoid")),
    Slip("cosh not squared at z1", every_step,
         ("grad_z1 = grad_a1 / np.cosh(z1) ** 2", "grad_z1 = grad_a1 / np.cosh(z1)"),
         label=label("wrong-local-rule", "Z1 A1", "tanh")),
    Slip("b2 averaged over the samples once more", every_step,
         ("grad_b2 = grad_z2.sum(1, keepdims=True)", "grad_b2 = grad_z2.mean(1, keepdims=True)"),
         label=label("scale", "b2 Z2", "add")),
    Slip("b3 from the first sample only, and relu mask by the gradient's sign", every_step,
         ("grad_z2 = np.where(z2 > 0, grad_a2, 0)", "grad_z2 = np.where(grad_a2 > 0, grad_a2, 0)"),
         ("grad_b3 = grad_z3.sum(1, keepdims=True)", "grad_b3 = grad_z3[:, :1]"),
         label=label("two", "Z2 A2 b3 Z3", "maximum add")),
    Slip("only the last sample's W2", sample_by_sample,
         ('g["W2"] += np.outer(delta2, h1)', 'g["W2"] = np.outer(delta2, h1)'),
         label=label("overwritten-accumulation dropped-path missing-broadcast-reduction", "W2 Z2 A1", "matmul")),
    Slip("outer product of W2 the other way", sample_by_sample,
         ('g["W2"] += np.outer(delta2, h1)', 'g["W2"] += np.outer(h1, delta2)'),
         label=label("transposed-result", "W2 Z2", "matmul")),
    Slip("sigmoid' kept at the output though it cancels", sample_by_sample,
         ("delta3 = p - y", "delta3 = (p - y) * p * (1 - p)"),
         label=label("double-derivative", "Z3 A3 cost", "sigmoid log")),
    Slip("sigmoid' for the tanh of layer one", sample_by_sample,
         ("delta1 = (W2.T @ delta2) * (1 - h1 * h1)", "delta1 = (W2.T @ delta2) * h1 * (1 - h1)"),
         label=label("wrong-local-rule", "Z1 A1", "tanh")),
    Slip("b1 gets delta2", sample_by_sample, ('g["b1"] += delta1', 'g["b1"] += delta2'),
         label=label("wrong-operand swapped", "b1 Z1 b2 Z2", "add")),
)
