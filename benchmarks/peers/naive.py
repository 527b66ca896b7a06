"""NumPy as a student writes it: formulas derived by hand, every expression a fresh array."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from benchmarks.workloads import (
    BETA1,
    BETA2,
    EPSILON,
    A,
    B,
    Workload,
    X,
    checksum,
    elements,
    lenet,
    perceptron,
)


def build(work: Workload, variant: str) -> Callable[[int], float]:
    """The step of a workload."""
    return BUILDERS[work.kind](work)


def sigmoid(z: Any) -> Any:
    """1 / (1 + e^-z), as in the notes."""
    return 1.0 / (1.0 + np.exp(-z))


def updating(work: Workload, parameters: list[Any]) -> Callable[[list[Any]], None]:
    """Gradient descent or Adam, in place; autograd and MyGrad use it too."""
    if work.kind == "conv" or work.binary:
        def update(gradients: list[Any]) -> None:
            for p, g in zip(parameters, gradients):
                p -= work.lr * g
        return update

    m, v = [np.zeros_like(p) for p in parameters], [np.zeros_like(p) for p in parameters]
    t = 0

    def adam(gradients: list[Any]) -> None:
        nonlocal t
        t += 1
        for i, g in enumerate(gradients):
            m[i] = BETA1 * m[i] + (1 - BETA1) * g
            v[i] = BETA2 * v[i] + (1 - BETA2) * g * g
            parameters[i] -= work.lr * (m[i] / (1 - BETA1**t)) / (np.sqrt(v[i] / (1 - BETA2**t)) + EPSILON)
    return adam


def softmax_cross_entropy(z: Any, y: Any) -> tuple[Any, Any]:
    """The loss, and its derivative with respect to the logits."""
    rows = np.arange(len(y))
    e = np.exp(z - z.max(axis=1, keepdims=True))
    q = e / e.sum(axis=1, keepdims=True)
    loss = -np.mean(np.log(q[rows, y]))
    q[rows, y] -= 1
    return loss, q / len(y)


def learning(work: Workload) -> tuple[Any, Any, Callable[[Any, Any], float]]:
    """The data, and one training step of the perceptron on a batch."""
    p = perceptron(work)
    W, b, layers = p.W, p.b, range(len(p.W))
    update = updating(work, W + b)

    def learn(x: Any, y: Any) -> float:
        a = [x]
        for i in layers:
            z = a[-1] @ W[i] + b[i]
            a.append(sigmoid(z) if work.binary else np.maximum(z, 0) if i < layers[-1] else z)
        if work.binary:
            loss = -np.mean(y * np.log(a[-1]) + (1 - y) * np.log(1 - a[-1]))
            delta = (a[-1] - y) / len(y)
        else:
            loss, delta = softmax_cross_entropy(a[-1], y)
        dW, db = [None] * len(W), [None] * len(W)
        for i in reversed(layers):
            dW[i], db[i] = a[i].T @ delta, delta.sum(axis=0)
            if i:
                delta = delta @ W[i].T
                delta = delta * a[i] * (1 - a[i]) if work.binary else delta * (a[i] > 0)
        update(dW + db)
        return loss
    return p.x, p.y, learn


def train(work: Workload) -> Callable[[int], float]:
    """w1 to w4: the same batch at every step."""
    x, y, learn = learning(work)

    def step(k: int) -> float:
        for _ in range(k):
            loss = learn(x, y)
        return loss
    return step


def epoch(work: Workload) -> Callable[[int], float]:
    """w1epoch: sample by sample; the mean loss."""
    x, y, learn = learning(work)

    def step(k: int) -> float:
        for _ in range(k):
            total = 0.0
            for i in range(len(x)):
                total += learn(x[i:i + 1], y[i:i + 1])
        return total / len(x)
    return step


def scalars(work: Workload) -> Callable[[int], float]:
    """w5 in Python floats, with a list of what the way back needs."""
    def step(k: int) -> float:
        for _ in range(k):
            x, kept = X, []
            for turn in range(work.turns):
                kept.append(x)
                x = x * A + B
                if turn % 10 == 9:
                    x = math.tanh(x)
                    kept.append(x)
            dx, da, db = 1.0, 0.0, 0.0
            for turn in reversed(range(work.turns)):
                if turn % 10 == 9:
                    h = kept.pop()
                    dx *= 1 - h * h
                db += dx
                da += dx * kept.pop()
                dx *= A
        return checksum(x, (dx, da, db))
    return step


def elementwise(work: Workload) -> Callable[[int], float]:
    """w6."""
    x = elements()

    def step(k: int) -> float:
        for _ in range(k):
            t1 = np.tanh(x * 0.5 + 0.1)
            s1 = sigmoid(t1 * x)
            e1 = np.exp(s1)
            t2 = np.tanh(e1 * 0.3 - x)
            s2 = sigmoid(t2 + x)
            e2 = np.exp(s2 * s2)
            t3 = np.tanh(e2 * 0.5)
            s3 = sigmoid((t3 + x) * 0.7)
            e3 = np.exp(s3)
            value = (e3 * x).sum()
            g = x * e3 * s3 * (1 - s3) * 0.7
            dx = e3 + g
            g = g * (1 - t3 * t3) * 0.5 * e2 * 2 * s2 * s2 * (1 - s2)
            dx = dx + g
            g = g * (1 - t2 * t2)
            dx = dx - g
            g = g * 0.3 * e1 * s1 * (1 - s1)
            dx = dx + g * t1 + g * x * (1 - t1 * t1) * 0.5
        return checksum(value, [dx]) if k == 1 else 0.0
    return step


def convolve(x: Any, weight: Any, padding: int) -> tuple[Any, Any]:
    """The convolution, and the patches that its gradient needs, (N, H, W, C·k·k)."""
    out, _, size, _ = weight.shape
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    patches = sliding_window_view(x, (size, size), axis=(2, 3)).transpose(0, 2, 3, 1, 4, 5)
    patches = patches.reshape(*patches.shape[:3], -1)
    return (patches @ weight.reshape(out, -1).T).transpose(0, 3, 1, 2), patches


def pool(a: Any) -> tuple[Any, Any]:
    """The maxima of 2 x 2 squares, and which elements they are, the first of equal ones."""
    n, c, h, w = a.shape
    squares = a.reshape(n, c, h // 2, 2, w // 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(n, c, h // 2, w // 2, 4)
    chosen = squares.argmax(axis=-1)[..., None]
    return np.take_along_axis(squares, chosen, -1)[..., 0], chosen


def unpool(g: Any, chosen: Any) -> Any:
    """The gradient of `pool`."""
    n, c, h, w = g.shape
    squares = np.zeros((n, c, h, w, 4), g.dtype)
    np.put_along_axis(squares, chosen, g[..., None], -1)
    return squares.reshape(n, c, h, w, 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(n, c, 2 * h, 2 * w)


def conv(work: Workload) -> Callable[[int], float]:
    """w7: convolutions as products of patches with weights."""
    p = lenet()
    k1, k2, f1, f2, f3 = p.weights
    update = updating(work, p.weights)

    def step(k: int) -> float:
        for _ in range(k):
            z1, patches1 = convolve(p.x, k1, 2)
            a1, chosen1 = pool(np.maximum(z1, 0))
            z2, patches2 = convolve(a1, k2, 0)
            a2, chosen2 = pool(np.maximum(z2, 0))
            h0 = a2.reshape(len(a2), -1)
            h1 = np.maximum(h0 @ f1.T, 0)
            h2 = np.maximum(h1 @ f2.T, 0)
            loss, delta = softmax_cross_entropy(h2 @ f3.T, p.y)
            d3 = delta.T @ h2
            delta = delta @ f3 * (h2 > 0)
            d2 = delta.T @ h1
            delta = delta @ f2 * (h1 > 0)
            d1 = delta.T @ h0
            delta = unpool((delta @ f1).reshape(a2.shape), chosen2) * (z2 > 0)
            dk2 = np.einsum("nohw,nhwp->op", delta, patches2, optimize=True).reshape(k2.shape)
            delta = convolve(delta, k2[:, :, ::-1, ::-1].swapaxes(0, 1), 4)[0]
            delta = unpool(delta, chosen1) * (z1 > 0)
            dk1 = np.einsum("nohw,nhwp->op", delta, patches1, optimize=True).reshape(k1.shape)
            update([dk1, dk2, d1, d2, d3])
        return loss
    return step


def hvp(work: Workload) -> Callable[[int], float]:
    """w8: every line of forward and backward, followed by its tangent."""
    p = perceptron(work)
    W, b, V, c, layers = p.W, p.b, p.vW, p.vb, range(len(p.W))

    def step(k: int) -> float:
        for _ in range(k):
            a, ta = [p.x], [np.zeros_like(p.x)]
            for i in layers:
                z = a[i] @ W[i] + b[i]
                tz = a[i] @ V[i] + c[i] + ta[i] @ W[i]
                a.append(np.maximum(z, 0) if i < layers[-1] else z)
                ta.append(tz * (z > 0) if i < layers[-1] else tz)
            delta = softmax_cross_entropy(z, p.y)[1]
            q = delta * len(p.x) + p.onehot
            tdelta = q * (tz - (q * tz).sum(axis=1, keepdims=True)) / len(p.x)
            HW, Hb = [None] * len(W), [None] * len(W)
            for i in reversed(layers):
                HW[i], Hb[i] = a[i].T @ tdelta + ta[i].T @ delta, tdelta.sum(axis=0)
                if i:
                    on = a[i] > 0
                    tdelta = (tdelta @ W[i].T + delta @ V[i].T) * on
                    delta = delta @ W[i].T * on
        return checksum(0.0, HW + Hb) if k == 1 else 0.0
    return step


BUILDERS = {"train": train, "epoch": epoch, "scalars": scalars, "elementwise": elementwise, "conv": conv, "hvp": hvp}
