"""NumPy with planned buffers: out= everywhere, parameters and gradients flat.

In the variant "blocks" Adam and w6 go through their arrays in blocks that stay in the second-level cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from benchmarks.workloads import BETA1, BETA2, EPSILON, Workload, checksum, elements, lenet, perceptron

BLOCK = 32768       # elements


def build(work: Workload, variant: str) -> Callable[[int], float] | None:
    """The step of a workload; Python floats (w5) leave nothing to tune."""
    if variant == "blocks":
        return BLOCKED[work.kind](work, BLOCK) if work.kind in BLOCKED and work.dtype == "f4" else None
    return BUILDERS[work.kind](work) if work.kind in BUILDERS else None


def flat(arrays: list[Any]) -> tuple[Any, list[Any]]:
    """One buffer with the arrays' values, and a view of it for each."""
    buffer, views, at = np.concatenate([a.ravel() for a in arrays]), [], 0
    for a in arrays:
        views.append(buffer[at:at + a.size].reshape(a.shape))
        at += a.size
    return buffer, views


def descent(P: Any, G: Any, lr: float) -> Callable[[], None]:
    """Gradient descent; overwrites the gradient."""
    def update() -> None:
        np.multiply(G, lr, out=G)
        np.subtract(P, G, out=P)
    return update


def adam(P: Any, G: Any, lr: float, block: int | None) -> Callable[[], None]:
    """Adam; overwrites the gradient."""
    size = block or P.size
    M, V, T = np.zeros_like(P), np.zeros_like(P), np.empty(size, P.dtype)
    blocks = [(*(a[i:i + size] for a in (P, G, M, V)), T[:P.size - i]) for i in range(0, P.size, size)]
    add, mul, sub, div, sqrt = np.add, np.multiply, np.subtract, np.divide, np.sqrt
    t = 0

    def update() -> None:
        nonlocal t
        t += 1
        rate, scale = lr / (1 - BETA1**t), (1 - BETA2**t) ** -0.5
        for p, g, m, v, s in blocks:
            mul(m, BETA1, out=m); mul(g, 1 - BETA1, out=s); add(m, s, out=m)
            mul(v, BETA2, out=v); mul(g, g, out=g); mul(g, 1 - BETA2, out=g); add(v, g, out=v)
            sqrt(v, out=s); mul(s, scale, out=s); add(s, EPSILON, out=s)
            div(m, s, out=s); mul(s, rate, out=s); sub(p, s, out=p)
    return update


def sigmoid(z: Any) -> None:
    """In place."""
    np.negative(z, out=z)
    np.exp(z, out=z)
    np.add(z, 1, out=z)
    np.reciprocal(z, out=z)


def cross_entropy(z: Any, rows: Any, y: Any, col: Any, delta: Any) -> float:
    """The loss; leaves its derivative in `delta` and shifts the logits."""
    z.max(axis=1, keepdims=True, out=col)
    np.subtract(z, col, out=z)
    np.exp(z, out=delta)
    delta.sum(axis=1, keepdims=True, out=col)
    loss = (np.log(col).sum() - z[rows, y].sum()) / len(y)
    np.multiply(col, len(y), out=col)
    np.divide(delta, col, out=delta)
    delta[rows, y] -= 1 / len(y)
    return loss


def learning(work: Workload, block: int | None) -> tuple[Any, Any, Callable[[Any, Any], float]]:
    """The data, and one training step of the perceptron on a batch."""
    p = perceptron(work)
    n, L, dtype = work.batch, len(p.W), work.dtype
    P, views = flat(p.W + p.b)
    G, gradients = flat([np.zeros_like(v) for v in views])
    W, b, dW, db = views[:L], views[L:], gradients[:L], gradients[L:]
    WT = [w.T for w in W]
    a, d = ([np.empty((n, size), dtype) for size in work.sizes] for _ in "ad")
    aT = [v.T for v in a]
    s, t, col = (np.empty_like(d[-1]), np.empty_like(d[-1]), np.empty((n, 1), dtype))
    derivative = [np.empty((n, size), dtype if work.binary else bool) for size in work.sizes]
    ones, rows = np.ones(n, dtype), np.arange(n)
    add, mul, sub, log, dot = np.add, np.multiply, np.subtract, np.log, np.dot
    update = descent(P, G, work.lr) if work.binary else adam(P, G, work.lr, block)

    def learn(x: Any, y: Any) -> float:
        a[0], aT[0] = x, x.T
        for i in range(L):
            z = a[i + 1]
            dot(a[i], W[i], out=z)
            add(z, b[i], out=z)
            if work.binary:
                sigmoid(z)
            elif i < L - 1:
                np.maximum(z, 0, out=z)
        delta = d[L]
        if work.binary:
            sub(1, z, out=s); log(s, out=s); sub(1, y, out=t); mul(s, t, out=s)
            log(z, out=t); mul(t, y, out=t); add(s, t, out=s)
            loss = -add.reduce(s, axis=None) / n
            sub(z, y, out=delta); mul(delta, 1 / n, out=delta)
        else:
            loss = cross_entropy(z, rows, y, col, delta)
        for i in range(L - 1, -1, -1):
            delta = d[i + 1]
            dot(aT[i], delta, out=dW[i])
            dot(ones, delta, out=db[i])
            if i:
                dot(delta, WT[i], out=d[i])
                if work.binary:
                    sub(1, a[i], out=derivative[i])
                    mul(d[i], a[i], out=d[i])
                else:
                    np.greater(a[i], 0, out=derivative[i])
                mul(d[i], derivative[i], out=d[i])
        update()
        return loss
    return p.x, p.y, learn


def train(work: Workload, block: int | None = None) -> Callable[[int], float]:
    """w1 to w4: the same batch at every step."""
    x, y, learn = learning(work, block)

    def step(k: int) -> float:
        for _ in range(k):
            loss = learn(x, y)
        return loss
    return step


def epoch(work: Workload) -> Callable[[int], float]:
    """w1epoch: sample by sample; the mean loss."""
    x, y, learn = learning(work, None)
    samples = [(x[i:i + 1], y[i:i + 1]) for i in range(len(x))]

    def step(k: int) -> float:
        for _ in range(k):
            total = 0.0
            for x, y in samples:
                total += learn(x, y)
        return total / len(samples)
    return step


def elementwise(work: Workload, block: int | None = None) -> Callable[[int], float]:
    """w6."""
    x = elements()
    dx, size = np.empty_like(x), block or x.size
    buffers = [np.empty(size, x.dtype) for _ in range(11)]
    add, mul, sub, exp, tanh = np.add, np.multiply, np.subtract, np.exp, np.tanh

    def both(x: Any, dx: Any) -> float:
        t1, s1, e1, t2, s2, e2, t3, s3, e3, s, g = (v[:x.size] for v in buffers)

        def back_tanh(y: Any) -> None:
            mul(y, y, out=s); sub(1, s, out=s); mul(g, s, out=g)

        def back_sigmoid(y: Any) -> None:
            sub(1, y, out=s); mul(s, y, out=s); mul(g, s, out=g)

        mul(x, 0.5, out=t1); add(t1, 0.1, out=t1); tanh(t1, out=t1)
        mul(t1, x, out=s1); sigmoid(s1); exp(s1, out=e1)
        mul(e1, 0.3, out=t2); sub(t2, x, out=t2); tanh(t2, out=t2)
        add(t2, x, out=s2); sigmoid(s2)
        mul(s2, s2, out=e2); exp(e2, out=e2)
        mul(e2, 0.5, out=t3); tanh(t3, out=t3)
        add(t3, x, out=s3); mul(s3, 0.7, out=s3); sigmoid(s3); exp(s3, out=e3)
        mul(e3, x, out=g)
        value = g.sum()
        back_sigmoid(s3); mul(g, 0.7, out=g); add(e3, g, out=dx)
        back_tanh(t3); mul(g, e2, out=g); mul(g, s2, out=g); back_sigmoid(s2); add(dx, g, out=dx)
        back_tanh(t2); sub(dx, g, out=dx)
        mul(g, 0.3, out=g); mul(g, e1, out=g); back_sigmoid(s1)
        mul(g, t1, out=s); add(dx, s, out=dx)
        mul(g, x, out=g); mul(g, 0.5, out=g); back_tanh(t1); add(dx, g, out=dx)
        return float(value)

    blocks = [(x[i:i + size], dx[i:i + size]) for i in range(0, x.size, size)]

    def step(k: int) -> float:
        for _ in range(k):
            value = sum([both(*pair) for pair in blocks])
        return checksum(value, [dx]) if k == 1 else 0.0
    return step


class Convolution:
    """One convolution with relu and 2 x 2 max pooling, its buffers, and the way back."""

    def __init__(self, x: Any, weight: Any, gradient: Any, padding: int) -> None:
        n, c, h, w = x.shape
        out, _, size, _ = weight.shape
        self.padded = np.zeros((n, c, h + 2 * padding, w + 2 * padding), x.dtype)
        self.inside = self.padded[:, :, padding:padding + h, padding:padding + w]
        self.windows = sliding_window_view(self.padded, (size, size), axis=(2, 3)).transpose(1, 4, 5, 0, 2, 3)
        self.patches = np.empty(self.windows.shape, x.dtype)
        self.rows = self.patches.reshape(c * size * size, -1)
        self.weight, self.gradient = weight.reshape(out, -1), gradient.reshape(out, -1)
        self.z = np.empty((out, n, *self.windows.shape[4:]), x.dtype)       # channels first: one product for all
        self.dz = np.empty_like(self.z)
        self.drows = np.empty_like(self.rows)
        self.dpadded = np.empty_like(self.padded)
        self.squares = [self.z[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]
        self.dsquares = [self.dz[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]
        self.a = np.empty(self.squares[0].shape, x.dtype)
        self.da, self.other = np.empty_like(self.a), np.empty_like(self.a)
        self.on, self.free = np.empty(self.a.shape, bool), np.empty(self.a.shape, bool)

    def forward(self, x: Any) -> Any:
        """relu commutes with the maximum, so it acts on a quarter of the elements."""
        np.copyto(self.inside, x)
        np.copyto(self.patches, self.windows)
        np.dot(self.weight, self.rows, out=self.z.reshape(len(self.weight), -1))
        np.maximum(self.squares[0], self.squares[1], out=self.a)
        np.maximum(self.squares[2], self.squares[3], out=self.other)
        np.maximum(self.a, self.other, out=self.a)
        np.maximum(self.a, 0, out=self.a)
        return self.a

    def backward(self) -> None:
        """From `da` to the weight's gradient and `dz`; each square's first maximum gets it all."""
        np.greater(self.a, 0, out=self.free)
        for square, dsquare in zip(self.squares, self.dsquares):
            np.equal(square, self.a, out=self.on)
            np.logical_and(self.on, self.free, out=self.on)
            np.multiply(self.da, self.on, out=dsquare)
            np.greater(self.free, self.on, out=self.free)
        np.dot(self.dz.reshape(len(self.weight), -1), self.rows.T, out=self.gradient)

    def back_to_input(self) -> Any:
        """The gradient of its input: patches' gradients added up, a shift at a time."""
        np.dot(self.weight.T, self.dz.reshape(len(self.weight), -1), out=self.drows)
        shifts = self.drows.reshape(self.patches.shape)
        h, w = self.z.shape[2:]
        target = self.dpadded
        target.fill(0)
        for i in range(shifts.shape[1]):
            for j in range(shifts.shape[2]):
                view = target[:, :, i:i + h, j:j + w].transpose(1, 0, 2, 3)
                np.add(view, shifts[:, i, j], out=view)
        return target


def conv(work: Workload) -> Callable[[int], float]:
    """w7."""
    p = lenet()
    P, weights = flat(p.weights)
    G, (g1, g2, d1, d2, d3) = flat([np.zeros_like(w) for w in weights])
    k1, k2, f1, f2, f3 = weights
    first = Convolution(p.x, k1, g1, 2)
    second = Convolution(np.empty((32, 6, 14, 14), "f4"), k2, g2, 0)
    h0, h1, h2, z = (np.empty((32, size), "f4") for size in (400, 120, 84, 10))
    e0, e1, e2, delta = (np.empty_like(v) for v in (h0, h1, h2, z))
    on1, on2 = np.empty(h1.shape, bool), np.empty(h2.shape, bool)
    col, rows = np.empty((32, 1), "f4"), np.arange(32)
    update = descent(P, G, work.lr)
    dot, mul = np.dot, np.multiply

    def step(k: int) -> float:
        for _ in range(k):
            a1 = first.forward(p.x)
            a2 = second.forward(a1.transpose(1, 0, 2, 3))
            np.copyto(h0.reshape(32, 16, 5, 5), a2.transpose(1, 0, 2, 3))
            dot(h0, f1.T, out=h1); np.maximum(h1, 0, out=h1)
            dot(h1, f2.T, out=h2); np.maximum(h2, 0, out=h2)
            dot(h2, f3.T, out=z)
            loss = cross_entropy(z, rows, p.y, col, delta)
            dot(delta.T, h2, out=d3); dot(delta, f3, out=e2)
            np.greater(h2, 0, out=on2); mul(e2, on2, out=e2)
            dot(e2.T, h1, out=d2); dot(e2, f2, out=e1)
            np.greater(h1, 0, out=on1); mul(e1, on1, out=e1)
            dot(e1.T, h0, out=d1); dot(e1, f1, out=e0)
            np.copyto(second.da, e0.reshape(32, 16, 5, 5).transpose(1, 0, 2, 3))
            second.backward()
            np.copyto(first.da, second.back_to_input().transpose(1, 0, 2, 3))
            first.backward()
            update()
        return loss
    return step


def hvp(work: Workload) -> Callable[[int], float]:
    """w8."""
    p = perceptron(work)
    W, b, V, c, n, L = p.W, p.b, p.vW, p.vb, work.batch, len(p.W)
    a, ta, d, td, s = ([np.empty((n, size), "f4") for size in work.sizes] for _ in range(5))
    on = [np.empty((n, size), bool) for size in work.sizes]
    HW, other, Hb = ([np.empty_like(v) for v in arrays] for arrays in (W, W, b))
    col, a[0], ones = np.empty((n, 1), "f4"), p.x, np.ones(n, "f4")
    dot, add, mul, sub, div = np.dot, np.add, np.multiply, np.subtract, np.divide

    def step(k: int) -> float:
        for _ in range(k):
            for i in range(L):
                z, tz = a[i + 1], ta[i + 1]
                dot(a[i], W[i], out=z); add(z, b[i], out=z)
                dot(a[i], V[i], out=tz); add(tz, c[i], out=tz)
                if i:
                    dot(ta[i], W[i], out=s[i + 1]); add(tz, s[i + 1], out=tz)
                if i < L - 1:
                    np.greater(z, 0, out=on[i + 1])
                    np.maximum(z, 0, out=z); mul(tz, on[i + 1], out=tz)
            q, t = d[L], td[L]
            z.max(axis=1, keepdims=True, out=col)
            sub(z, col, out=q); np.exp(q, out=q)
            q.sum(axis=1, keepdims=True, out=col); div(q, col, out=q)
            mul(q, tz, out=t); t.sum(axis=1, keepdims=True, out=col)
            sub(tz, col, out=t); mul(t, q, out=t); mul(t, 1 / n, out=t)
            sub(q, p.onehot, out=q); mul(q, 1 / n, out=q)
            for i in range(L - 1, -1, -1):
                dot(a[i].T, td[i + 1], out=HW[i]); dot(ones, td[i + 1], out=Hb[i])
                if i:
                    dot(ta[i].T, d[i + 1], out=other[i]); add(HW[i], other[i], out=HW[i])
                    dot(td[i + 1], W[i].T, out=td[i]); dot(d[i + 1], V[i].T, out=s[i])
                    add(td[i], s[i], out=td[i]); mul(td[i], on[i], out=td[i])
                    dot(d[i + 1], W[i].T, out=d[i]); mul(d[i], on[i], out=d[i])
        return checksum(0.0, HW + Hb) if k == 1 else 0.0
    return step


BUILDERS = {"train": train, "epoch": epoch, "elementwise": elementwise, "conv": conv, "hvp": hvp}
BLOCKED = {"train": train, "elementwise": elementwise}
