"""Where a mistake is said to be: an unnamed part of a line is quoted as it stands, not as the line's variable."""

import numpy as np

import autodiff as ad


def test_a_part_of_a_line_is_not_what_the_line_makes():
    rng = np.random.default_rng(0)
    W_x, W_h = (ad.Tensor(rng.normal(size=(3, 3)), requires_grad=True, name=name) for name in ("W_x", "W_h"))
    X, y = rng.normal(size=(4, 5, 3)), rng.normal(size=(5, 3))
    h = np.zeros((5, 3))
    states = [h]
    for x in X:
        h = np.tanh(x @ W_x.T + h @ W_h.T)
        states.append(h)
    loss = ((h - y) ** 2).mean()
    values = [states[0], *(s.numpy() for s in states[1:])]
    g = 2 * (values[-1] - y) / y.size
    dW_x, dW_h = np.zeros((3, 3)), np.zeros((3, 3))
    for t in reversed(range(4)):
        dz = g * (1 - values[t + 1] ** 2)
        dW_x += dz.T @ X[t]
        dW_h += dz.T @ values[t]
        g = dz @ (W_h.numpy().T if t == 3 else W_h.numpy())
    [first, *_] = ad.compare(loss, {"W_x": dW_x, "W_h": dW_h})["W_h"].explanations
    [place] = first.places
    assert first.kind == "missing-transpose" and place.part
    assert str(place).startswith("h @ W_h.T (") and "= h @ W_h.T" not in first.sentence
    assert place.tensor == "h_4"                                # where it is, as data


def test_what_has_a_name_is_told_with_it():
    x, y = np.random.default_rng(0).normal(size=(2, 6, 3))
    W = ad.Tensor(np.eye(3) + 0.1, requires_grad=True)
    z = x @ W.T
    a = np.tanh(z)
    loss = ((a - y) ** 2).mean()
    wrong = (2 * (a - y) / y.size).numpy().T @ x
    [first, *_] = ad.compare(loss, {"W": wrong})["W"].explanations
    assert first.kind == "missing-local-derivative" and not first.places[0].part
    assert "at a = np.tanh(z) (" in first.sentence
