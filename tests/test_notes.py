"""Every closed form of the notes, from the tape: one sample and a batch, columns and rows."""

import numpy as np
import pytest

import autodiff as ad

SIZES = (5, 4, 3, 1)
RELATIVE = 1e-12


def parameters(rng, column):
    weights = [rng.normal(0, np.sqrt(2 / (i + o)), (o, i)) for i, o in zip(SIZES, SIZES[1:])]
    biases = [rng.normal(0, 0.1, (o, 1) if column else (o,)) for o in SIZES[1:]]
    return weights, biases


def close(a, b):
    assert a.shape == b.shape
    assert np.max(np.abs(a - b)) <= RELATIVE * np.max(np.abs(b))


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def record(x, y, weights, biases, column, spelled_out):
    """The notes' model and loss, every quantity named as on paper."""
    W = [ad.Tensor(w, requires_grad=True, name=f"W{i}") for i, w in enumerate(weights, 1)]
    b = [ad.Tensor(v, requires_grad=True, name=f"b{i}") for i, v in enumerate(biases, 1)]
    a, zs = [ad.Tensor(x, name="x")], []
    for Wl, bl in zip(W, b):
        zs.append((Wl @ a[-1] + bl) if column else (a[-1] @ Wl.T + bl))
        a.append(1 / (1 + np.exp(-zs[-1])) if spelled_out else ad.sigmoid(zs[-1]))
    yhat = a[-1]
    if spelled_out:
        loss = -(y * np.log(yhat) + (1 - y) * np.log(1 - yhat)).mean()
    else:
        loss = ad.binary_cross_entropy(yhat, y).mean()
    return loss, W, b, zs, a


@pytest.mark.parametrize("spelled_out", [False, True])
@pytest.mark.parametrize("column", [False, True])
@pytest.mark.parametrize("m", [1, 7])
def test_backprop_as_derived(m, column, spelled_out):
    rng = np.random.default_rng(m)
    weights, biases = parameters(rng, column)
    x = rng.normal(size=(SIZES[0], m) if column else (m, SIZES[0]))
    y = rng.integers(0, 2, (1, m) if column else (m, 1)).astype(float)
    loss, W, b, zs, a = record(x, y, weights, biases, column, spelled_out)
    found = ad.gradients(loss, [*W, *b, *zs])
    dW, db, dz = found[:3], found[3:6], found[6:]

    delta = (a[-1].numpy() - y) / m                                   # ∂loss/∂z[L] = ŷ − y; the mean brings the 1/m
    for layer in (2, 1, 0):
        close(dz[layer], delta)
        before = a[layer].numpy()
        if column:
            close(dW[layer], delta @ before.T)                        # ∂loss/∂W_ij = δ_i a_j
            close(db[layer], delta.sum(axis=1, keepdims=True))
            delta = weights[layer].T @ delta * before * (1 - before)  # δ[l] = (W[l+1]ᵀ δ[l+1]) ⊙ g'(z[l])
        else:
            close(dW[layer], delta.T @ before)
            close(db[layer], delta.sum(axis=0))
            delta = delta @ weights[layer] * before * (1 - before)


def test_the_jacobians_of_the_chain():
    """∂z/∂a = W,  ∂a/∂z = diag(g'(z)),  ∂z/∂W_ij = a_j e_i."""
    rng = np.random.default_rng(0)
    W, b, a = rng.normal(size=(3, 4)), rng.normal(size=3), rng.normal(size=4)
    z = W @ a + b
    close(ad.jacobian(lambda a: W @ a + b)(a), W)
    close(ad.jacobian(ad.sigmoid)(z), np.diag(sigmoid(z) * (1 - sigmoid(z))))
    J = ad.jacobian(lambda W: W @ a + b)(W)
    for i in range(3):
        for j in range(4):
            close(J[:, i, j], a[j] * np.eye(3)[i])


def test_the_row_form_for_layer_two():
    """∂loss/∂W[2]_ij = [(ŷ − y) W[3] ⊙ g'(z[2])]_i a[1]_j, for one sample."""
    rng = np.random.default_rng(3)
    weights, biases = parameters(rng, True)
    x, y = rng.normal(size=(SIZES[0], 1)), np.ones((1, 1))
    loss, W, _, zs, a = record(x, y, weights, biases, True, False)
    [dW2] = ad.gradients(loss, [W[1]])
    g = sigmoid(zs[1].numpy()) * (1 - sigmoid(zs[1].numpy()))
    row = (a[3].numpy() - y) @ weights[2] * g.T
    close(dW2, np.einsum("i,j->ij", row[0], a[1].numpy()[:, 0]))


def test_gradient_descent_lowers_the_loss():
    rng = np.random.default_rng(4)
    weights, biases = parameters(rng, False)
    x, y = rng.normal(size=(20, 5)), rng.integers(0, 2, (20, 1)).astype(float)
    losses = []
    for _ in range(50):
        loss, W, b, _, _ = record(x, y, weights, biases, False, False)
        loss.backward()
        weights = [w.data - 0.5 * w.grad for w in W]
        biases = [v.data - 0.5 * v.grad for v in b]
        losses.append(float(loss))
    assert all(later < earlier for earlier, later in zip(losses, losses[1:]))


@pytest.mark.parametrize("spelled_out", [False, True])
def test_against_complex_step(spelled_out):
    rng = np.random.default_rng(5)
    weights, biases = parameters(rng, False)
    x, y = rng.normal(size=(6, 5)), rng.integers(0, 2, (6, 1)).astype(float)
    loss, W, b, _, _ = record(x, y, weights, biases, False, spelled_out)
    tape = ad.Tape(loss)
    for parameter, g in zip([*W, *b], ad.gradients(loss, [*W, *b])):
        for index in np.ndindex(g.shape):
            bumped = parameter.numpy().astype(complex)
            bumped[index] += 1e-30j
            assert abs(tape.replay({parameter: bumped}, dtype=complex).imag / 1e-30 - g[index]) <= 1e-14
