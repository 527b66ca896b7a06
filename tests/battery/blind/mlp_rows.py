"""A net of three sigmoid layers, samples as rows, binary cross entropy."""

import numpy as np

from tests.battery.slips import Slip

PARAMETERS = ("W1", "b1", "W2", "b2", "W3", "b3")


def data(rng, dtype):
    values = {"X": rng.normal(size=(7, 5)),
              "W1": rng.normal(size=(4, 5)), "b1": rng.normal(size=4),
              "W2": rng.normal(size=(4, 4)), "b2": rng.normal(size=4),
              "W3": rng.normal(size=(1, 4)), "b3": rng.normal(size=1)}
    values["y"] = np.array([[1], [0], [0], [1], [1], [0], [1]])
    return {name: value.astype(dtype) for name, value in values.items()}


def loss(X, y, W1, b1, W2, b2, W3, b3):
    z1 = X @ W1.T + b1
    a1 = 1 / (1 + np.exp(-z1))
    z2 = a1 @ W2.T + b2
    a2 = 1 / (1 + np.exp(-z2))
    z3 = a2 @ W3.T + b3
    a3 = 1 / (1 + np.exp(-z3))
    losses = -(y * np.log(a3) + (1 - y) * np.log(1 - a3))
    loss = losses.mean()
    return loss


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def sigmoid_prime(z):
    s = sigmoid(z)
    return s * (1 - s)


def step_by_step(X, y, W1, b1, W2, b2, W3, b3):
    m = X.shape[0]
    # forward
    z1 = X @ W1.T + b1
    a1 = sigmoid(z1)
    z2 = a1 @ W2.T + b2
    a2 = sigmoid(z2)
    z3 = a2 @ W3.T + b3
    a3 = sigmoid(z3)
    # backward
    da3 = -(y / a3) + (1 - y) / (1 - a3)
    da3 = da3 / m
    dz3 = da3 * a3 * (1 - a3)
    dW3 = dz3.T @ a2
    db3 = np.sum(dz3, axis=0)
    da2 = dz3 @ W3
    dz2 = da2 * a2 * (1 - a2)
    dW2 = dz2.T @ a1
    db2 = np.sum(dz2, axis=0)
    da1 = dz2 @ W2
    dz1 = da1 * a1 * (1 - a1)
    dW1 = dz1.T @ X
    db1 = np.sum(dz1, axis=0)
    return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2, "W3": dW3, "b3": db3,
            "z1": dz1, "a1": da1, "z2": dz2, "a2": da2, "z3": dz3}


def deltas(X, y, W1, b1, W2, b2, W3, b3):
    m = len(X)
    z1 = X @ W1.T + b1
    a1 = sigmoid(z1)
    z2 = a1 @ W2.T + b2
    a2 = sigmoid(z2)
    a3 = sigmoid(a2 @ W3.T + b3)

    delta3 = a3 - y
    delta2 = delta3 @ W3 * sigmoid_prime(z2)
    delta1 = delta2 @ W2 * sigmoid_prime(z1)

    return {
        "dW1": delta1.T @ X / m,
        "db1": delta1.mean(axis=0),
        "dW2": delta2.T @ a1 / m,
        "db2": delta2.mean(axis=0),
        "dW3": delta3.T @ a2 / m,
        "db3": delta3.mean(axis=0),
    }


def sample_by_sample(X, y, W1, b1, W2, b2, W3, b3):
    gW1, gW2, gW3 = np.zeros_like(W1), np.zeros_like(W2), np.zeros_like(W3)
    gb1, gb2, gb3 = np.zeros_like(b1), np.zeros_like(b2), np.zeros_like(b3)
    n = len(X)
    for x, target in zip(X, y):
        h1 = sigmoid(W1 @ x + b1)
        h2 = sigmoid(W2 @ h1 + b2)
        out = sigmoid(W3 @ h2 + b3)
        err = out - target
        gW3 += np.outer(err, h2)
        gb3 += err
        back2 = (W3.T @ err) * h2 * (1 - h2)
        gW2 += np.outer(back2, h1)
        gb2 += back2
        back1 = (W2.T @ back2) * h1 * (1 - h1)
        gW1 += np.outer(back1, x)
        gb1 += back1
    return {"W1": gW1 / n, "b1": gb1 / n, "W2": gW2 / n, "b2": gb2 / n, "W3": gW3 / n, "b3": gb3 / n}


def layer_loop(X, y, W1, b1, W2, b2, W3, b3):
    weights = [W1, W2, W3]
    biases = [b1, b2, b3]
    acts = [X]
    for W, b in zip(weights, biases):
        acts.append(sigmoid(acts[-1] @ W.T + b))
    grads = {}
    delta = (acts[3] - y) / y.shape[0]
    for i in (3, 2, 1):
        a_in = acts[i - 1]
        grads[f"W{i}"] = np.einsum("no,ni->oi", delta, a_in)
        grads[f"b{i}"] = np.einsum("no->o", delta)
        if i > 1:
            delta = (delta @ weights[i - 1]) * a_in * (1 - a_in)
    return grads


RIGHT = (step_by_step, deltas, sample_by_sample, layer_loop)

SLIPS = (
    Slip("lost the minus sign of the cross entropy", step_by_step,
         ("da3 = -(y / a3) + (1 - y) / (1 - a3)", "da3 = y / a3 - (1 - y) / (1 - a3)")),
    Slip("forgot that d log(1 - a3) has an inner minus, so the second term has the wrong sign", step_by_step,
         ("da3 = -(y / a3) + (1 - y) / (1 - a3)", "da3 = -(y / a3) - (1 - y) / (1 - a3)")),
    Slip("never divided by the batch size", step_by_step, ("da3 = da3 / m", "")),
    Slip("forgot the sigmoid's derivative at the output", step_by_step,
         ("dz3 = da3 * a3 * (1 - a3)", "dz3 = da3")),
    Slip("sent dz2 back through W2 transposed", step_by_step, ("da1 = dz2 @ W2", "da1 = dz2 @ W2.T")),
    Slip("used the first layer's derivative at the second layer", step_by_step,
         ("dz2 = da2 * a2 * (1 - a2)", "dz2 = da2 * a1 * (1 - a1)")),
    Slip("W2's gradient with the layer's own output instead of its input", step_by_step,
         ("dW2 = dz2.T @ a1", "dW2 = dz2.T @ a2")),
    Slip("W2's gradient transposed", step_by_step, ("dW2 = dz2.T @ a1", "dW2 = a1.T @ dz2")),
    Slip("took a gradient step on W2 before going further back through it", step_by_step,
         ("dW2 = dz2.T @ a1", "dW2 = dz2.T @ a1\nW2 = W2 - 0.5 * dW2")),
    Slip("copied the line of b2 for b1 and left dz2 in it", step_by_step,
         ("db1 = np.sum(dz1, axis=0)", "db1 = np.sum(dz2, axis=0)")),
    Slip("squared-error habit: multiplied by sigmoid' at the output although it cancels", deltas,
         ("delta3 = a3 - y", "delta3 = (a3 - y) * a3 * (1 - a3)")),
    Slip("gave sigmoid_prime the activations instead of the pre-activations", deltas,
         ("delta2 = delta3 @ W3 * sigmoid_prime(z2)", "delta2 = delta3 @ W3 * sigmoid_prime(a2)"),
         ("delta1 = delta2 @ W2 * sigmoid_prime(z1)", "delta1 = delta2 @ W2 * sigmoid_prime(a1)")),
    Slip("summed the biases' gradients over the batch, only the weights' are means", deltas,
         ('"db1": delta1.mean(axis=0),', '"db1": delta1.sum(axis=0),'),
         ('"db2": delta2.mean(axis=0),', '"db2": delta2.sum(axis=0),'),
         ('"db3": delta3.mean(axis=0),', '"db3": delta3.sum(axis=0),')),
    Slip("averaged already at the output and again in every gradient", deltas,
         ("delta3 = a3 - y", "delta3 = (a3 - y) / m")),
    Slip("averaged b1's gradient over the units, not over the samples", deltas,
         ('"db1": delta1.mean(axis=0),', '"db1": delta1.mean(axis=1),')),
    Slip("W1's gradient overwritten by each sample instead of added up", sample_by_sample,
         ("gW1 += np.outer(back1, x)", "gW1 = np.outer(back1, x)")),
    Slip("swapped the two factors of the outer product at W2", sample_by_sample,
         ("gW2 += np.outer(back2, h1)", "gW2 += np.outer(h1, back2)")),
    Slip("left out (1 - h1) in the derivative of the first layer", sample_by_sample,
         ("back1 = (W2.T @ back2) * h1 * (1 - h1)", "back1 = (W2.T @ back2) * h1")),
    Slip("added the output error to b2 instead of the hidden one", sample_by_sample,
         ("gb2 += back2", "gb2 += err")),
    Slip("took the derivative with the activations above in the loop over layers", layer_loop,
         ("delta = (delta @ weights[i - 1]) * a_in * (1 - a_in)",
          "delta = (delta * acts[i] * (1 - acts[i])) @ weights[i - 1]")),
    Slip("target minus prediction, and no hidden derivative", layer_loop,
         ("delta = (acts[3] - y) / y.shape[0]", "delta = (y - acts[3]) / y.shape[0]"),
         ("delta = (delta @ weights[i - 1]) * a_in * (1 - a_in)", "delta = delta @ weights[i - 1]")),
)
