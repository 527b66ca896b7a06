"""Three layers of sigmoids with the samples in columns, as in lecture notes; binary cross entropy written out."""

import numpy as np

import autodiff as ad
from tests.battery.slips import Slip, label

PARAMETERS = ("W1", "b1", "W2", "b2", "W3", "b3")


def data(rng, dtype):
    return {"X": rng.normal(size=(5, 7)).astype(dtype),
            "Y": np.array([[1, 0, 0, 1, 1, 0, 1]]).astype(dtype),
            "W1": rng.normal(size=(4, 5)).astype(dtype), "b1": rng.normal(size=(4, 1)).astype(dtype),
            "W2": rng.normal(size=(4, 4)).astype(dtype), "b2": rng.normal(size=(4, 1)).astype(dtype),
            "W3": rng.normal(size=(1, 4)).astype(dtype), "b3": rng.normal(size=(1, 1)).astype(dtype)}


def loss(X, Y, W1, b1, W2, b2, W3, b3):
    Z1 = np.dot(W1, X) + b1
    A1 = ad.sigmoid(Z1)
    Z2 = np.dot(W2, A1) + b2
    A2 = ad.sigmoid(Z2)
    Z3 = np.dot(W3, A2) + b3
    A3 = ad.sigmoid(Z3)
    losses = -(Y * np.log(A3) + (1 - Y) * np.log(1 - A3))
    cost = np.mean(losses)
    return cost


def sigmoid(Z):
    return 1 / (1 + np.exp(-Z))


def lecture_notes(X, Y, W1, b1, W2, b2, W3, b3):
    m = X.shape[1]
    A1 = sigmoid(np.dot(W1, X) + b1)
    A2 = sigmoid(np.dot(W2, A1) + b2)
    A3 = sigmoid(np.dot(W3, A2) + b3)
    dZ3 = A3 - Y
    dW3 = 1 / m * np.dot(dZ3, A2.T)
    db3 = 1 / m * np.sum(dZ3, axis=1, keepdims=True)
    dA2 = np.dot(W3.T, dZ3)
    dZ2 = dA2 * A2 * (1 - A2)
    dW2 = 1 / m * np.dot(dZ2, A1.T)
    db2 = 1 / m * np.sum(dZ2, axis=1, keepdims=True)
    dA1 = np.dot(W2.T, dZ2)
    dZ1 = dA1 * A1 * (1 - A1)
    dW1 = 1 / m * np.dot(dZ1, X.T)
    db1 = 1 / m * np.sum(dZ1, axis=1, keepdims=True)
    return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2, "W3": dW3, "b3": db3}


def everything_named(X, Y, W1, b1, W2, b2, W3, b3):
    Z1 = W1 @ X + b1
    A1 = sigmoid(Z1)
    Z2 = W2 @ A1 + b2
    A2 = sigmoid(Z2)
    Z3 = W3 @ A2 + b3
    A3 = sigmoid(Z3)
    m = Y.shape[1]
    dA3 = -(np.divide(Y, A3) - np.divide(1 - Y, 1 - A3)) / m
    dZ3 = dA3 * sigmoid(Z3) * (1 - sigmoid(Z3))
    dW3 = dZ3 @ A2.T
    db3 = dZ3.sum(axis=1, keepdims=True)
    dA2 = W3.T @ dZ3
    dZ2 = dA2 * sigmoid(Z2) * (1 - sigmoid(Z2))
    dW2 = dZ2 @ A1.T
    db2 = dZ2.sum(axis=1, keepdims=True)
    dA1 = W2.T @ dZ2
    dZ1 = dA1 * sigmoid(Z1) * (1 - sigmoid(Z1))
    dW1 = dZ1 @ X.T
    db1 = dZ1.sum(axis=1, keepdims=True)
    cost = -np.mean(Y * np.log(A3) + (1 - Y) * np.log(1 - A3))
    return {"dA3": dA3, "dZ3": dZ3, "dW3": dW3, "db3": db3, "dA2": dA2, "dZ2": dZ2, "dW2": dW2, "db2": db2,
            "dA1": dA1, "dZ1": dZ1, "dW1": dW1, "db1": db1, "loss": cost}


def model_backward(X, Y, W1, b1, W2, b2, W3, b3):
    def forward(A_prev, W, b):
        A = sigmoid(W @ A_prev + b)
        return A, (A_prev, W, A)

    def backward(dA, cache):
        A_prev, W, A = cache
        dZ = dA * A * (1 - A)
        dW = dZ @ A_prev.T / A_prev.shape[1]
        db = np.mean(dZ, axis=1, keepdims=True)
        dA_prev = W.T @ dZ
        return dA_prev, dW, db

    grads, caches, A = {}, [], X
    for W, b in ((W1, b1), (W2, b2), (W3, b3)):
        A, cache = forward(A, W, b)
        caches.append(cache)
    AL = A
    dA = (1 - Y) / (1 - AL) - Y / AL
    for l in reversed(range(3)):
        dA, dW, db = backward(dA, caches[l])
        grads[f"dW{l + 1}"] = dW
        grads[f"db{l + 1}"] = db
    return grads


def one_column_at_a_time(X, Y, W1, b1, W2, b2, W3, b3):
    n, m = X.shape
    grad_W1, grad_b1 = np.zeros_like(W1), np.zeros_like(b1)
    grad_W2, grad_b2 = np.zeros_like(W2), np.zeros_like(b2)
    grad_W3, grad_b3 = np.zeros_like(W3), np.zeros_like(b3)
    for i in range(m):
        x = X[:, i:i + 1]
        a1 = sigmoid(W1 @ x + b1)
        a2 = sigmoid(W2 @ a1 + b2)
        a3 = sigmoid(W3 @ a2 + b3)
        delta3 = a3 - Y[:, i:i + 1]
        delta2 = (W3.T @ delta3) * (a2 - a2 ** 2)
        delta1 = (W2.T @ delta2) * (a1 - a1 ** 2)
        grad_W3 += delta3 * a2.T
        grad_b3 += delta3
        grad_W2 += delta2 @ a1.T
        grad_b2 += delta2
        grad_W1 += delta1 @ x.T
        grad_b1 += delta1
    return {"W1": grad_W1 / m, "b1": grad_b1 / m, "W2": grad_W2 / m, "b2": grad_b2 / m,
            "W3": grad_W3 / m, "b3": grad_b3 / m}


RIGHT = (lecture_notes, everything_named, model_backward, one_column_at_a_time)

SLIPS = (
    Slip("m is the number of features", lecture_notes, ("m = X.shape[1]", "m = X.shape[0]"),
         label=label("scale", "cost losses A3 Z3", "mean negative add log sigmoid")),
    Slip("second layer's derivative forgotten", lecture_notes, ("dZ2 = dA2 * A2 * (1 - A2)", "dZ2 = dA2"),
         label=label("missing-local-derivative", "Z2 A2", "sigmoid")),
    Slip("mean forgotten for the first bias", lecture_notes,
         ("db1 = 1 / m * np.sum(dZ1, axis=1, keepdims=True)", "db1 = np.sum(dZ1, axis=1, keepdims=True)"),
         label=label("scale", "b1 Z1", "add")),
    Slip("W2 not transposed on the way down", lecture_notes,
         ("dA1 = np.dot(W2.T, dZ2)", "dA1 = np.dot(W2, dZ2)"),
         label=label("missing-transpose", "A1 Z2 W2", "matmul")),
    Slip("tanh's derivative in the first layer", lecture_notes,
         ("dZ1 = dA1 * A1 * (1 - A1)", "dZ1 = dA1 * (1 - np.power(A1, 2))"),
         label=label("wrong-local-rule", "Z1 A1", "sigmoid")),
    Slip("its own activation multiplied into W2", lecture_notes,
         ("dW2 = 1 / m * np.dot(dZ2, A1.T)", "dW2 = 1 / m * np.dot(dZ2, A2.T)"),
         label=label("wrong-operand", "W2 A1 A2 Z2", "matmul")),
    Slip("W2 updated before it is used going down", lecture_notes,
         ("dA1 = np.dot(W2.T, dZ2)", "W2 = W2 - 0.5 * dW2\ndA1 = np.dot(W2.T, dZ2)"),
         label=label("stale-value wrong-operand", "A1 W2 Z2", "matmul")),
    Slip("bias of the second layer from the activation's gradient", lecture_notes,
         ("db2 = 1 / m * np.sum(dZ2, axis=1, keepdims=True)", "db2 = 1 / m * np.sum(dA2, axis=1, keepdims=True)"),
         label=label("missing-local-derivative wrong-operand", "b2 Z2 A2", "add sigmoid")),
    Slip("weight decay on W1 that the cost does not have", lecture_notes,
         ("dW1 = 1 / m * np.dot(dZ1, X.T)", "dW1 = 1 / m * np.dot(dZ1, X.T) + 0.7 / m * W1"),
         label=label("extra-term", "W1", "matmul")),
    Slip("target minus output", lecture_notes, ("dZ3 = A3 - Y", "dZ3 = Y - A3"),
         label=label("sign", "cost losses A3 Z3", "mean negative add log sigmoid")),
    Slip("minus only before the first fraction", everything_named,
         ("dA3 = -(np.divide(Y, A3) - np.divide(1 - Y, 1 - A3)) / m",
          "dA3 = (-np.divide(Y, A3) - np.divide(1 - Y, 1 - A3)) / m"),
         label=label("sign wrong-local-rule", "A3 losses", "log subtract add multiply negative")),
    Slip("the other class left out of the cross entropy", everything_named,
         ("dA3 = -(np.divide(Y, A3) - np.divide(1 - Y, 1 - A3)) / m", "dA3 = -np.divide(Y, A3) / m"),
         label=label("dropped-path missing-term", "A3 losses", "log subtract add multiply")),
    Slip("sigmoid's derivative at the activation", everything_named,
         ("dZ2 = dA2 * sigmoid(Z2) * (1 - sigmoid(Z2))", "dZ2 = dA2 * sigmoid(A2) * (1 - sigmoid(A2))"),
         label=label("wrong-argument wrong-local-rule", "Z2 A2", "sigmoid")),
    Slip("no sigmoid in the derivative of the first layer", everything_named,
         ("dZ1 = dA1 * sigmoid(Z1) * (1 - sigmoid(Z1))", "dZ1 = dA1 * Z1 * (1 - Z1)"),
         label=label("wrong-argument wrong-local-rule", "Z1 A1", "sigmoid")),
    Slip("first layer's derivative at the second layer", everything_named,
         ("dZ1 = dA1 * sigmoid(Z1) * (1 - sigmoid(Z1))", "dZ1 = dA1 * sigmoid(Z2) * (1 - sigmoid(Z2))"),
         label=label("wrong-argument wrong-operand", "Z1 A1 Z2 A2", "sigmoid")),
    Slip("output's simplification and then sigmoid's derivative as well", everything_named,
         ("dA3 = -(np.divide(Y, A3) - np.divide(1 - Y, 1 - A3)) / m", "dA3 = (A3 - Y) / m"),
         label=label("double-derivative wrong-local-rule missing-local-derivative", "A3 Z3 losses", "sigmoid log")),
    Slip("mean twice, at the output and in W2", everything_named, ("dW2 = dZ2 @ A1.T", "dW2 = dZ2 @ A1.T / m"),
         label=label("scale", "W2 Z2", "matmul")),
    Slip("first layer fed from dA2", everything_named, ("dA1 = W2.T @ dZ2", "dA1 = W2.T @ dA2"),
         label=label("wrong-operand missing-local-derivative", "A1 Z2 A2 W2", "sigmoid matmul")),
    Slip("helper passes dA down past the sigmoid", model_backward, ("dA_prev = W.T @ dZ", "dA_prev = W.T @ dA"),
         label=label("missing-local-derivative wrong-operand", "A3 Z3 A2 Z2 A1", "sigmoid matmul")),
    Slip("every layer is given the gradient of the last activation", model_backward,
         ("dA, dW, db = backward(dA, caches[l])", "_, dW, db = backward(dA, caches[l])"),
         label=label("wrong-operand stale-value missing-local-derivative", "A3 Z3 A2 W3 Z2 A1 W2",
                     "matmul sigmoid")),
    Slip("mean of the bias over everything", model_backward,
         ("db = np.mean(dZ, axis=1, keepdims=True)", "db = np.mean(dZ) * np.ones_like(W[:, :1])"),
         label=label("wrong-axis", "b1 b2 Z1 Z2", "add")),
    Slip("helper divides by m where it goes down too", model_backward,
         ("dA_prev = W.T @ dZ", "dA_prev = W.T @ dZ / A_prev.shape[1]"),
         label=label("scale", "Z3 A2 Z2 A1 Z1", "matmul sigmoid")),
    Slip("classes exchanged in the derivative of the cost", model_backward,
         ("dA = (1 - Y) / (1 - AL) - Y / AL", "dA = Y / (1 - AL) - (1 - Y) / AL"),
         label=label("wrong-operand swapped wrong-local-rule wrong-argument", "A3 losses Y",
                     "log subtract multiply add")),
    Slip("second weights set, not added up", one_column_at_a_time,
         ("grad_W2 += delta2 @ a1.T", "grad_W2 = delta2 @ a1.T"),
         label=label("overwritten-accumulation dropped-path", "W2 Z2", "matmul")),
    Slip("last column not visited", one_column_at_a_time, ("for i in range(m):", "for i in range(m - 1):"),
         label=label("dropped-path", "cost losses A3 Z3 A2 Z2 A1 Z1 X Y",
                     "mean negative add log sigmoid matmul")),
    Slip("brackets around the second layer's derivative lost", one_column_at_a_time,
         ("delta2 = (W3.T @ delta3) * (a2 - a2 ** 2)", "delta2 = (W3.T @ delta3) * a2 - a2 ** 2"),
         label=label("wrong-local-rule extra-term", "Z2 A2", "sigmoid")),
    Slip("label of the previous column, and third bias overwritten", one_column_at_a_time,
         ("delta3 = a3 - Y[:, i:i + 1]", "delta3 = a3 - Y[0, i - 1]"),
         ("grad_b3 += delta3", "grad_b3 = delta3"),
         label=label("two", "Y losses A3 Z3 b3", "sigmoid log add subtract multiply")),
    Slip("outer product the wrong way round in W2", one_column_at_a_time,
         ("grad_W2 += delta2 @ a1.T", "grad_W2 += a1 @ delta2.T"),
         label=label("transposed-result missing-transpose", "W2", "matmul")),
)
