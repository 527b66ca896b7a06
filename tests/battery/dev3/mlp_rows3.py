"""Regression with three layers on rows: tanh, relu, linear; weight decay on the matrices only."""

import numpy as np

from tests.battery.slips import Slip, label

PARAMETERS = ("W1", "b1", "W2", "b2", "W3", "b3")
LAM = 0.3


def data(rng, dtype):
    shapes = {"X": (7, 5), "Y": (7, 3), "W1": (5, 4), "b1": (4,), "W2": (4, 4), "b2": (4,), "W3": (4, 3), "b3": (3,)}
    return {k: (0.8 * rng.normal(size=s)).astype(dtype) for k, s in shapes.items()}


def loss(X, Y, W1, b1, W2, b2, W3, b3):
    z1 = X @ W1 + b1
    h1 = np.tanh(z1)
    z2 = h1 @ W2 + b2
    h2 = np.maximum(z2, 0)
    out = h2 @ W3 + b3
    err = out - Y
    fit = np.sum(err ** 2) / (2 * X.shape[0])
    decay = LAM / 2 * (np.sum(W1 ** 2) + np.sum(W2 ** 2) + np.sum(W3 ** 2))
    loss = fit + decay
    return loss


def terse(X, Y, W1, b1, W2, b2, W3, b3):
    h1 = np.tanh(X @ W1 + b1)
    h2 = np.maximum(h1 @ W2 + b2, 0)
    d3 = (h2 @ W3 + b3 - Y) / len(X)
    d2 = d3 @ W3.T * (h2 > 0)
    d1 = d2 @ W2.T * (1 - h1 ** 2)
    return {
        "W1": X.T @ d1 + LAM * W1,
        "b1": d1.sum(axis=0),
        "W2": h1.T @ d2 + LAM * W2,
        "b2": d2.sum(axis=0),
        "W3": h2.T @ d3 + LAM * W3,
        "b3": d3.sum(axis=0),
    }


def every_step(X, Y, W1, b1, W2, b2, W3, b3):
    m = X.shape[0]
    # forward
    z1 = X @ W1 + b1
    h1 = np.tanh(z1)
    z2 = h1 @ W2 + b2
    h2 = np.where(z2 > 0, z2, 0)
    out = h2 @ W3 + b3
    err = out - Y
    # backward
    grad_err = err / m
    grad_out = grad_err
    grad_W3 = h2.T @ grad_out
    grad_b3 = np.sum(grad_out, axis=0)
    grad_h2 = grad_out @ W3.T
    grad_z2 = np.where(z2 > 0, grad_h2, 0)
    grad_W2 = h1.T @ grad_z2
    grad_b2 = np.sum(grad_z2, axis=0)
    grad_h1 = grad_z2 @ W2.T
    grad_z1 = grad_h1 * (1 - np.tanh(z1) ** 2)
    grad_W1 = X.T @ grad_z1
    grad_b1 = np.sum(grad_z1, axis=0)
    # regulariser
    grad_W1 = grad_W1 + LAM * W1
    grad_W2 = grad_W2 + LAM * W2
    grad_W3 = grad_W3 + LAM * W3
    return {"W1": grad_W1, "b1": grad_b1, "W2": grad_W2, "b2": grad_b2, "W3": grad_W3, "b3": grad_b3,
            "err": grad_err, "out": grad_out, "h2": grad_h2, "z2": grad_z2, "h1": grad_h1, "z1": grad_z1}


def row_after_row(X, Y, W1, b1, W2, b2, W3, b3):
    m = len(X)
    gW1, gW2, gW3 = LAM * W1, LAM * W2, LAM * W3
    gb1, gb2, gb3 = np.zeros_like(b1), np.zeros_like(b2), np.zeros_like(b3)
    for x, y in zip(X, Y):
        a1 = x @ W1 + b1
        t1 = np.tanh(a1)
        a2 = t1 @ W2 + b2
        t2 = a2 * (a2 > 0)
        e = (t2 @ W3 + b3 - y) / m
        gW3 += np.outer(t2, e)
        gb3 += e
        e = W3 @ e
        e[a2 <= 0] = 0
        gW2 += np.outer(t1, e)
        gb2 += e
        e = W2 @ e
        e /= np.cosh(a1) ** 2
        gW1 += np.outer(x, e)
        gb1 += e
    return {"dW1": gW1, "db1": gb1, "dW2": gW2, "db2": gb2, "dW3": gW3, "db3": gb3}


def list_of_layers(X, Y, W1, b1, W2, b2, W3, b3):
    def step(z):
        return (z > 0).astype(z.dtype)

    def sech2(z):
        return 1 - np.tanh(z) ** 2

    Ws, bs = [W1, W2, W3], [b1, b2, b3]
    act = [np.tanh, lambda z: np.maximum(0, z), lambda z: z]
    act_prime = [sech2, step, np.ones_like]
    inputs, zs = [X], []
    for W, b, f in zip(Ws, bs, act):
        zs.append(inputs[-1] @ W + b)
        inputs.append(f(zs[-1]))
    grads = {}
    g = inputs[-1] - Y
    for l in (2, 1, 0):
        delta = g * act_prime[l](zs[l])
        grads[f"dW{l + 1}"] = inputs[l].T @ delta / len(X) + LAM * Ws[l]
        grads[f"db{l + 1}"] = delta.mean(axis=0)
        g = delta @ Ws[l].T
    err = inputs[-1] - Y
    grads["loss"] = 0.5 * (err ** 2).sum() / len(X) + 0.5 * LAM * sum((W ** 2).sum() for W in Ws)
    return grads


RIGHT = (terse, every_step, row_after_row, list_of_layers)

SLIPS = (
    Slip("tanh' without the square", terse, ("d1 = d2 @ W2.T * (1 - h1 ** 2)", "d1 = d2 @ W2.T * (1 - h1)"),
         label=label("wrong-local-rule", "z1 h1", "tanh")),
    Slip("tanh' and relu' exchanged between the hidden layers", terse,
         ("d2 = d3 @ W3.T * (h2 > 0)", "d2 = d3 @ W3.T * (1 - h2 ** 2)"),
         ("d1 = d2 @ W2.T * (1 - h1 ** 2)", "d1 = d2 @ W2.T * (h1 > 0)"),
         label=label("swapped two wrong-local-rule", "z1 h1 z2 h2", "tanh maximum")),
    Slip("second bias averaged over the batch again", terse, ('"b2": d2.sum(axis=0),', '"b2": d2.mean(axis=0),'),
         label=label("scale", "b2 z2", "add")),
    Slip("decay of the last matrix forgotten", terse, ('"W3": h2.T @ d3 + LAM * W3,', '"W3": h2.T @ d3,'),
         label=label("missing-term dropped-path", "W3 decay", "square sum multiply")),
    Slip("biases decayed as well", terse, ('"b1": d1.sum(axis=0),', '"b1": d1.sum(axis=0) + LAM * b1,'),
         ('"b2": d2.sum(axis=0),', '"b2": d2.sum(axis=0) + LAM * b2,'),
         ('"b3": d3.sum(axis=0),', '"b3": d3.sum(axis=0) + LAM * b3,'),
         label=label("extra-term", "b1 b2 b3 decay")),
    Slip("square W2 not transposed going back", terse,
         ("d1 = d2 @ W2.T * (1 - h1 ** 2)", "d1 = d2 @ W2 * (1 - h1 ** 2)"),
         label=label("missing-transpose", "h1 z2 W2", "matmul")),
    Slip("factor two of the square kept although the loss has a half", terse,
         ("d3 = (h2 @ W3 + b3 - Y) / len(X)", "d3 = 2 * (h2 @ W3 + b3 - Y) / len(X)"),
         label=label("scale wrong-local-rule", "err out fit", "square sum divide subtract")),
    Slip("relu's mask applied after going through W2", terse,
         ("d2 = d3 @ W3.T * (h2 > 0)", "d2 = d3 @ W3.T"),
         ("d1 = d2 @ W2.T * (1 - h1 ** 2)", "d1 = d2 @ W2.T * (h2 > 0) * (1 - h1 ** 2)"),
         label=label("missing-local-derivative two", "z2 h2 h1 z1", "maximum matmul")),
    Slip("relu's mask taken from the first layer", every_step,
         ("grad_z2 = np.where(z2 > 0, grad_h2, 0)", "grad_z2 = np.where(z1 > 0, grad_h2, 0)"),
         label=label("wrong-argument wrong-operand", "z2 h2", "maximum")),
    Slip("relu of the gradient instead of a mask", every_step,
         ("grad_z2 = np.where(z2 > 0, grad_h2, 0)", "grad_z2 = np.where(grad_h2 > 0, grad_h2, 0)"),
         label=label("wrong-argument wrong-local-rule", "z2 h2", "maximum")),
    Slip("tanh taken once more in tanh'", every_step,
         ("grad_z1 = grad_h1 * (1 - np.tanh(z1) ** 2)", "grad_z1 = grad_h1 * (1 - np.tanh(h1) ** 2)"),
         label=label("wrong-argument", "z1 h1", "tanh")),
    Slip("W3 already stepped before the error goes through it", every_step,
         ("grad_h2 = grad_out @ W3.T", "W3 = W3 - 0.1 * grad_W3\ngrad_h2 = grad_out @ W3.T"),
         label=label("stale-value wrong-operand", "h2 W3 out", "matmul")),
    Slip("decay subtracted at W2", every_step,
         ("grad_W2 = grad_W2 + LAM * W2", "grad_W2 = grad_W2 - LAM * W2"),
         label=label("sign", "W2 decay", "square sum multiply")),
    Slip("decay overwrites the data's gradient at W1", every_step,
         ("grad_W1 = grad_W1 + LAM * W1", "grad_W1 = LAM * W1"),
         label=label("overwritten-accumulation dropped-path", "W1 z1", "matmul")),
    Slip("first bias copied from the second layer's line", every_step,
         ("grad_b1 = np.sum(grad_z1, axis=0)", "grad_b1 = np.sum(grad_z2, axis=0)"),
         label=label("wrong-operand", "b1 z1", "add")),
    Slip("W2's input taken before the tanh", every_step,
         ("grad_W2 = h1.T @ grad_z2", "grad_W2 = z1.T @ grad_z2"),
         label=label("wrong-operand stale-value", "W2 z2", "matmul")),
    Slip("mean over all entries of the error", every_step, ("grad_err = err / m", "grad_err = err / err.size"),
         label=label("scale", "err out fit", "square sum divide subtract")),
    Slip("target minus output", every_step, ("err = out - Y", "err = Y - out"),
         label=label("sign", "err out fit", "square sum divide subtract")),
    Slip("decay added for every row", row_after_row,
         ("gW1, gW2, gW3 = LAM * W1, LAM * W2, LAM * W3",
          "gW1, gW2, gW3 = np.zeros_like(W1), np.zeros_like(W2), np.zeros_like(W3)"),
         ("gW3 += np.outer(t2, e)", "gW3 += np.outer(t2, e) + LAM * W3"),
         ("gW2 += np.outer(t1, e)", "gW2 += np.outer(t1, e) + LAM * W2"),
         ("gW1 += np.outer(x, e)", "gW1 += np.outer(x, e) + LAM * W1"),
         label=label("scale", "W1 W2 W3 decay", "square sum multiply")),
    Slip("outer product of W2 the wrong way round", row_after_row,
         ("gW2 += np.outer(t1, e)", "gW2 += np.outer(e, t1)"),
         label=label("transposed-result missing-transpose", "W2 z2", "matmul")),
    Slip("b2 keeps only the last row", row_after_row, ("gb2 += e", "gb2 = e.copy()"),
         label=label("overwritten-accumulation missing-broadcast-reduction dropped-path", "b2 z2", "add")),
    Slip("cosh not squared", row_after_row, ("e /= np.cosh(a1) ** 2", "e /= np.cosh(a1)"),
         label=label("wrong-local-rule", "z1 h1", "tanh")),
    Slip("relu masked by the sign of the layer's input", row_after_row, ("e[a2 <= 0] = 0", "e[t1 <= 0] = 0"),
         label=label("wrong-argument wrong-operand", "z2 h2", "maximum")),
    Slip("relu not differentiated", row_after_row, ("e[a2 <= 0] = 0", ""),
         label=label("missing-local-derivative", "z2 h2", "maximum")),
    Slip("each layer takes the prime of the layer below", list_of_layers,
         ("delta = g * act_prime[l](zs[l])", "delta = g * act_prime[max(l - 1, 0)](zs[l])"),
         label=label("wrong-local-rule two", "out err z2 h2", "maximum")),
    Slip("prime evaluated at the activation", list_of_layers,
         ("delta = g * act_prime[l](zs[l])", "delta = g * act_prime[l](inputs[l + 1])"),
         label=label("wrong-argument", "z1 h1", "tanh")),
    Slip("weight matrices not averaged over the batch", list_of_layers,
         ('grads[f"dW{l + 1}"] = inputs[l].T @ delta / len(X) + LAM * Ws[l]',
          'grads[f"dW{l + 1}"] = inputs[l].T @ delta + LAM * Ws[l]'),
         label=label("scale", "W1 W2 W3 z1 z2 out fit", "matmul divide")),
    Slip("decay divided by the batch too", list_of_layers,
         ('grads[f"dW{l + 1}"] = inputs[l].T @ delta / len(X) + LAM * Ws[l]',
          'grads[f"dW{l + 1}"] = (inputs[l].T @ delta + LAM * Ws[l]) / len(X)'),
         label=label("scale", "W1 W2 W3 decay", "square sum multiply")),
    Slip("g goes back without the layer's prime", list_of_layers,
         ("g = delta @ Ws[l].T", "g = g @ Ws[l].T"),
         label=label("missing-local-derivative wrong-operand", "z2 h2 h1", "maximum matmul")),
    Slip("decay with a two, and biases summed only", list_of_layers,
         ('grads[f"dW{l + 1}"] = inputs[l].T @ delta / len(X) + LAM * Ws[l]',
          'grads[f"dW{l + 1}"] = inputs[l].T @ delta / len(X) + 2 * LAM * Ws[l]'),
         ('grads[f"db{l + 1}"] = delta.mean(axis=0)', 'grads[f"db{l + 1}"] = delta.sum(axis=0)'),
         label=label("two scale", "W1 W2 W3 decay b1 b2 b3 z1 z2 out", "square sum multiply add")),
)
