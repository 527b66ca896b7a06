"""A net of two tanh layers and a linear one, samples as columns, squared error."""

import numpy as np

from tests.battery.slips import Slip

PARAMETERS = ("W1", "b1", "W2", "b2", "W3", "b3")


def data(rng, dtype):
    values = {"x": rng.normal(size=(5, 8)), "t": rng.normal(size=(3, 8)),
              "W1": 0.5 * rng.normal(size=(6, 5)), "b1": rng.normal(size=6),
              "W2": 0.5 * rng.normal(size=(4, 6)), "b2": rng.normal(size=4),
              "W3": rng.normal(size=(3, 4)), "b3": rng.normal(size=3)}
    return {name: value.astype(dtype) for name, value in values.items()}


def loss(x, t, W1, b1, W2, b2, W3, b3):
    h1 = np.tanh(W1 @ x + b1[:, None])
    h2 = np.tanh(W2 @ h1 + b2[:, None])
    y = W3 @ h2 + b3[:, None]
    e = y - t
    per_sample = 0.5 * np.sum(e ** 2, axis=0)
    L = np.mean(per_sample)
    return L


def long_hand(x, t, W1, b1, W2, b2, W3, b3):
    N = x.shape[1]
    s1 = W1 @ x + b1[:, None]
    h1 = np.tanh(s1)
    s2 = W2 @ h1 + b2[:, None]
    h2 = np.tanh(s2)
    y = W3 @ h2 + b3[:, None]
    grad_y = (y - t) / N
    grad_W3 = grad_y @ h2.T
    grad_b3 = grad_y.sum(axis=1)
    grad_h2 = W3.T @ grad_y
    grad_s2 = grad_h2 * (1 - h2 ** 2)
    grad_W2 = grad_s2 @ h1.T
    grad_b2 = grad_s2.sum(axis=1)
    grad_h1 = W2.T @ grad_s2
    grad_s1 = grad_h1 * (1 - h1 ** 2)
    grad_W1 = grad_s1 @ x.T
    grad_b1 = grad_s1.sum(axis=1)
    return {"W1": grad_W1, "b1": grad_b1, "W2": grad_W2, "b2": grad_b2, "W3": grad_W3, "b3": grad_b3,
            "h1": grad_h1, "h2": grad_h2, "y": grad_y}


def nielsen(x, t, W1, b1, W2, b2, W3, b3):
    """The four equations of backpropagation, one sample after another."""
    n = x.shape[1]
    nabla_w = [np.zeros(w.shape) for w in (W1, W2, W3)]
    nabla_b = [np.zeros(b.shape) for b in (b1, b2, b3)]
    for k in range(n):
        a0 = x[:, k]
        z1 = W1.dot(a0) + b1
        a1 = np.tanh(z1)
        z2 = W2.dot(a1) + b2
        a2 = np.tanh(z2)
        z3 = W3.dot(a2) + b3
        delta = z3 - t[:, k]
        nabla_w[2] += np.outer(delta, a2)
        nabla_b[2] += delta
        delta = W3.T.dot(delta) / np.cosh(z2) ** 2
        nabla_w[1] += np.outer(delta, a1)
        nabla_b[1] += delta
        delta = W2.T.dot(delta) / np.cosh(z1) ** 2
        nabla_w[0] += np.outer(delta, a0)
        nabla_b[0] += delta
    nabla_w = [g / n for g in nabla_w]
    nabla_b = [g / n for g in nabla_b]
    return {"W1": nabla_w[0], "b1": nabla_b[0], "W2": nabla_w[1], "b2": nabla_b[1],
            "W3": nabla_w[2], "b3": nabla_b[2]}


def with_ones(x, t, W1, b1, W2, b2, W3, b3):
    """The biases as one more column of the weights."""
    m = t.shape[-1]
    one = np.ones((1, m), dtype=x.dtype)
    A0 = np.vstack([x, one])
    T1 = np.tanh(np.c_[W1, b1] @ A0)
    A1 = np.vstack([T1, one])
    T2 = np.tanh(np.c_[W2, b2] @ A1)
    A2 = np.vstack([T2, one])
    D3 = np.c_[W3, b3] @ A2 - t
    D2 = (1 - T2 * T2) * (W3.T @ D3)
    D1 = (1 - T1 * T1) * (W2.T @ D2)
    G3 = D3 @ A2.T / m
    G2 = D2 @ A1.T / m
    G1 = D1 @ A0.T / m
    return {"W1": G1[:, :-1], "b1": G1[:, -1], "W2": G2[:, :-1], "b2": G2[:, -1], "W3": G3[:, :-1], "b3": G3[:, -1]}


def terse(x, t, W1, b1, W2, b2, W3, b3):
    h1 = np.tanh(W1 @ x + b1[:, None])
    h2 = np.tanh(W2 @ h1 + b2[:, None])
    g3 = (W3 @ h2 + b3[:, None] - t) / t.shape[1]
    g2 = np.einsum("oh,on->hn", W3, g3) * (1 - h2) * (1 + h2)
    g1 = np.einsum("oh,on->hn", W2, g2) * (1 - h1) * (1 + h1)
    dW3 = np.einsum("on,hn->oh", g3, h2)
    dW2 = np.einsum("on,hn->oh", g2, h1)
    dW1 = np.einsum("on,hn->oh", g1, x)
    db1, db2, db3 = g1.sum(1), g2.sum(1), g3.sum(1)
    return dict(W1=dW1, b1=db1, W2=dW2, b2=db2, W3=dW3, b3=db3)


RIGHT = (long_hand, nielsen, with_ones, terse)

SLIPS = (
    Slip("kept the 2 of the square although the half cancels it", long_hand,
         ("grad_y = (y - t) / N", "grad_y = 2 * (y - t) / N")),
    Slip("divided by all the elements, as in a mean over outputs as well", long_hand,
         ("grad_y = (y - t) / N", "grad_y = (y - t) / y.size")),
    Slip("a tanh' at the linear output layer too", long_hand,
         ("grad_y = (y - t) / N", "grad_y = (y - t) / N * (1 - np.tanh(y) ** 2)")),
    Slip("forgot the square in tanh' at layer 1", long_hand,
         ("grad_s1 = grad_h1 * (1 - h1 ** 2)", "grad_s1 = grad_h1 * (1 - h1)")),
    Slip("sigmoid's derivative for tanh in both hidden layers", long_hand,
         ("grad_s2 = grad_h2 * (1 - h2 ** 2)", "grad_s2 = grad_h2 * h2 * (1 - h2)"),
         ("grad_s1 = grad_h1 * (1 - h1 ** 2)", "grad_s1 = grad_h1 * h1 * (1 - h1)")),
    Slip("pre-activation s1 instead of h1 in the gradient of W2", long_hand,
         ("grad_W2 = grad_s2 @ h1.T", "grad_W2 = grad_s2 @ s1.T")),
    Slip("went back through W2 from h2, skipping the second tanh", long_hand,
         ("grad_h1 = W2.T @ grad_s2", "grad_h1 = W2.T @ grad_h2")),
    Slip("b2's gradient from before the tanh of layer 2", long_hand,
         ("grad_b2 = grad_s2.sum(axis=1)", "grad_b2 = grad_h2.sum(axis=1)")),
    Slip("bias gradients along the wrong axis, because samples used to be rows", long_hand,
         ("grad_b1 = grad_s1.sum(axis=1)", "grad_b1 = grad_s1.sum(axis=0)"),
         ("grad_b2 = grad_s2.sum(axis=1)", "grad_b2 = grad_s2.sum(axis=0)"),
         ("grad_b3 = grad_y.sum(axis=1)", "grad_b3 = grad_y.sum(axis=0)")),
    Slip("averaged b1's gradient instead of summing it", long_hand,
         ("grad_b1 = grad_s1.sum(axis=1)", "grad_b1 = grad_s1.mean(axis=1)")),
    Slip("one over cosh without the square at layer 2", nielsen,
         ("delta = W3.T.dot(delta) / np.cosh(z2) ** 2", "delta = W3.T.dot(delta) / np.cosh(z2)")),
    Slip("multiplied by cosh squared instead of dividing, at layer 1", nielsen,
         ("delta = W2.T.dot(delta) / np.cosh(z1) ** 2", "delta = W2.T.dot(delta) * np.cosh(z1) ** 2")),
    Slip("target minus output", nielsen, ("delta = z3 - t[:, k]", "delta = t[:, k] - z3")),
    Slip("took the weights' mean over the samples but not the biases'", nielsen,
         ("nabla_b = [g / n for g in nabla_b]", "")),
    Slip("the last sample's W3 gradient only, assigned instead of added", nielsen,
         ("nabla_w[2] += np.outer(delta, a2)", "nabla_w[2] = np.outer(delta, a2)")),
    Slip("left out the last sample of the loop", nielsen, ("for k in range(n):", "for k in range(n - 1):")),
    Slip("tanh of the tanh in the derivative of layer 2", with_ones,
         ("D2 = (1 - T2 * T2) * (W3.T @ D3)", "D2 = (1 - np.tanh(T2) ** 2) * (W3.T @ D3)")),
    Slip("divided only the last layer by m", with_ones,
         ("G2 = D2 @ A1.T / m", "G2 = D2 @ A1.T"), ("G1 = D1 @ A0.T / m", "G1 = D1 @ A0.T")),
    Slip("returned minus the gradients of layer 1, like the update", with_ones,
         ("G1 = D1 @ A0.T / m", "G1 = -(D1 @ A0.T) / m")),
    Slip("split 1 - h1**2 into (1 - h1) twice", terse,
         ("g1 = np.einsum(\"oh,on->hn\", W2, g2) * (1 - h1) * (1 + h1)",
          "g1 = np.einsum(\"oh,on->hn\", W2, g2) * (1 - h1) * (1 - h1)")),
    Slip("forgot the target, and divided the weights of layer 1 by the batch once more", terse,
         ("g3 = (W3 @ h2 + b3[:, None] - t) / t.shape[1]", "g3 = (W3 @ h2 + b3[:, None]) / t.shape[1]"),
         ("dW1 = np.einsum(\"on,hn->oh\", g1, x)", "dW1 = np.einsum(\"on,hn->oh\", g1, x) / x.shape[1]")),
)
