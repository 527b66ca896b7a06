"""How often `compare` is wrong: never a false alarm on a right gradient, never a wrong one let pass.

Each model is given as the arrays it starts from, its loss, and its gradient by hand, written as on paper and not as the
tape computes it, so that the two round differently.
"""

import numpy as np
import pytest

import autodiff as ad
from autodiff.checks.compare import compare
from autodiff.checks.numeric import gradcheck


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def glorot(rng, *shape):
    return rng.normal(size=shape) * np.sqrt(2 / sum(shape))


class RowNet:
    """The three-layer net, samples as rows, the loss on logits."""

    def arrays(self, rng, m):
        return {"x": rng.normal(size=(m, 7)), "y": (rng.random((m, 1)) > 0.5) * 1.0,
                "W1": glorot(rng, 6, 7), "b1": rng.normal(size=6) * 0.1, "W2": glorot(rng, 4, 6), "b2": np.zeros(4),
                "W3": glorot(rng, 1, 4), "b3": np.zeros(1)}

    def loss(self, x, y, W1, b1, W2, b2, W3, b3):
        a1 = ad.sigmoid(x @ W1.T + b1)
        a2 = ad.sigmoid(ad.linear(a1, W2, b2))
        return ad.binary_cross_entropy_with_logits(a2 @ W3.T + b3, y).mean()

    def gradients(self, x, y, W1, b1, W2, b2, W3, b3):
        a1 = sigmoid(x @ W1.T + b1)
        a2 = sigmoid(a1 @ W2.T + b2)
        dz3 = (sigmoid(a2 @ W3.T + b3) - y) / len(x)
        dz2 = dz3 @ W3 * a2 * (1 - a2)
        dz1 = dz2 @ W2 * a1 * (1 - a1)
        return {"W1": dz1.T @ x, "b1": dz1.sum(0), "W2": dz2.T @ a1, "b2": dz2.sum(0),
                "W3": dz3.T @ a2, "b3": dz3.sum(0)}


class ColumnNet:
    """The same with samples as columns, tanh and relu, and the loss spelled out with logarithms."""

    def arrays(self, rng, m):
        return {"x": rng.normal(size=(7, m)), "y": (rng.random((1, m)) > 0.5) * 1.0,
                "W1": glorot(rng, 6, 7), "b1": rng.normal(size=(6, 1)) * 0.1, "W2": glorot(rng, 4, 6),
                "b2": rng.normal(size=(4, 1)) * 0.1, "W3": glorot(rng, 1, 4), "b3": np.zeros((1, 1))}

    def loss(self, x, y, W1, b1, W2, b2, W3, b3):
        a1 = np.tanh(W1 @ x + b1)
        a2 = ad.relu(W2 @ a1 + b2)
        p = 1 / (1 + np.exp(-(W3 @ a2 + b3)))
        return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()

    def gradients(self, x, y, W1, b1, W2, b2, W3, b3):
        a1 = np.tanh(W1 @ x + b1)
        z2 = W2 @ a1 + b2
        a2 = np.maximum(z2, 0)
        d3 = (sigmoid(W3 @ a2 + b3) - y) / x.shape[1]
        d2 = W3.T @ d3 * (z2 > 0)
        d1 = W2.T @ d2 * (1 - a1 * a1)
        return {"W1": d1 @ x.T, "b1": d1.sum(1, keepdims=True), "W2": d2 @ a1.T, "b2": d2.sum(1, keepdims=True),
                "W3": d3 @ a2.T, "b3": d3.sum(1, keepdims=True)}


class Softmax:
    """Softmax regression; the log-sum-exp is the library's or spelled out."""

    def __init__(self, spelled):
        self.spelled = spelled

    def arrays(self, rng, m):
        return {"x": rng.normal(size=(m, 5)), "y": np.eye(4)[rng.integers(0, 4, m)],
                "W": rng.normal(size=(4, 5)), "b": rng.normal(size=4)}

    def loss(self, x, y, W, b):
        z = x @ W.T + b
        if self.spelled:
            return (np.log(np.exp(z).sum(axis=1)) - (y * z).sum(axis=1)).mean()
        return -(y * ad.log_softmax(z)).sum() / len(x)

    def gradients(self, x, y, W, b):
        e = np.exp(x @ W.T + b)
        dz = (e / e.sum(1, keepdims=True) - y) / len(x)
        return {"W": dz.T @ x, "b": dz.sum(0)}


class LogSumExp:
    def arrays(self, rng, m):
        return {"w": rng.normal(size=m + 3) * 5}

    def loss(self, w):
        return ad.logsumexp(w) + np.log(np.exp(2 * w).sum())

    def gradients(self, w):
        one, two = np.exp(w - w.max()), np.exp(2 * (w - w.max()))
        return {"w": one / one.sum() + 2 * two / two.sum()}


class Division:
    def arrays(self, rng, m):
        return {"a": rng.normal(size=(m, 3)), "b": rng.uniform(0.1, 3, size=3), "c": rng.normal()}

    def loss(self, a, b, c):
        return ((a / b - c) ** 2 / (1 + c ** 2)).sum()

    def gradients(self, a, b, c):
        r, s = a / b - c, 1 + c * c
        return {"a": 2 * r / (b * s), "b": (-2 * r * a).sum(0) / b**2 / s,
                "c": -2 * r.sum() / s - 2 * c * (r**2).sum() / s**2}


class Power:
    def arrays(self, rng, m):
        return {"x": rng.uniform(0.2, 3, size=m + 1), "p": rng.uniform(0.5, 3, size=m + 1)}

    def loss(self, x, p):
        return (x ** p).sum() + (x ** 5).mean() + (np.sqrt(x) ** -3).sum() + (2.0 ** p).sum()

    def gradients(self, x, p):
        return {"x": p * x ** (p - 1) + 5 * x**4 / len(x) - 1.5 * x**-2.5, "p": x**p * np.log(x) + 2**p * np.log(2)}


class DeepChain:
    """Sixty layers."""

    def arrays(self, rng, m):
        return {"x": rng.normal(size=(m, 3)), "W": np.linalg.qr(rng.normal(size=(60, 3, 3)))[0]}

    def loss(self, x, W):
        a = x
        for k in range(60):
            a = np.tanh(a @ W[k]) + a / 2
        return (a * a).mean()

    def gradients(self, x, W):
        inputs, h = [x], []
        for k in range(60):
            h.append(np.tanh(inputs[-1] @ W[k]))
            inputs.append(h[-1] + inputs[-1] / 2)
        d, dW = 2 * inputs[-1] / x.size, np.zeros_like(W)
        for k in reversed(range(60)):
            dh = d * (1 - h[k] ** 2)
            dW[k] = inputs[k].T @ dh
            d = dh @ W[k].T + d / 2
        return {"W": dW}


class Norms:
    """Layer norm, and unit vectors."""

    def arrays(self, rng, m):
        return {"x": rng.normal(size=(m, 6)), "t": rng.normal(size=(m, 6)), "g": rng.normal(size=6),
                "b": rng.normal(size=6), "u": rng.normal(size=6)}

    def loss(self, x, t, g, b, u):
        c = x * u - (x * u).mean(axis=1, keepdims=True)
        h = c / np.sqrt((c * c).mean(axis=1, keepdims=True) + 1e-5)
        return ((h * g + b - t) ** 2).mean() + (t @ (u / np.sqrt((u * u).sum()))).sum()

    def gradients(self, x, t, g, b, u):
        v = x * u
        s = np.sqrt(v.var(axis=1, keepdims=True) + 1e-5)
        h = (v - v.mean(axis=1, keepdims=True)) / s
        r = 2 * (h * g + b - t) / x.size
        dh = r * g
        dv = (dh - dh.mean(1, keepdims=True) - h * (dh * h).mean(1, keepdims=True)) / s
        n = np.sqrt(u @ u)
        dn = t.sum(0)
        return {"g": (r * h).sum(0), "b": r.sum(0), "u": (dv * x).sum(0) + (dn - u * (u @ dn) / n**2) / n}


class Embedding:
    """A table looked up with repeated indices, a maximum over time, a Poisson loss."""

    def arrays(self, rng, m):
        return {"i": rng.integers(0, 4, (m, 3)), "n": rng.poisson(2.0, m) * 1.0, "E": rng.normal(size=(4, 5)),
                "w": rng.normal(size=5)}

    def loss(self, i, n, E, w):
        eta = E[i].max(axis=1) @ w
        return (np.exp(eta) - n * eta).mean()

    def gradients(self, i, n, E, w):
        looked_up = E[i]
        top = looked_up.max(axis=1)
        d = (np.exp(top @ w) - n) / len(n)
        first = looked_up.argmax(axis=1)
        dE = np.zeros_like(E)
        for sample in range(len(n)):
            for k in range(5):
                dE[i[sample, first[sample, k]], k] += d[sample] * w[k]
        return {"E": dE, "w": top.T @ d}


MODELS = {"row net": RowNet(), "column net": ColumnNet(), "softmax": Softmax(False), "softmax, spelled": Softmax(True),
          "log-sum-exp": LogSumExp(), "division": Division(), "power": Power(), "deep chain": DeepChain(),
          "norms": Norms(), "embedding": Embedding()}


def make(model, seed, m=5, dtype=np.float64, scale=1.0):
    """A model's loss on a tape, and its gradient by hand in the same dtype and at the same scale."""
    arrays = {name: np.asarray(a, dtype=a.dtype if getattr(a, "dtype", np.float64) == np.int64 else dtype)
              for name, a in model.arrays(np.random.default_rng(seed), m).items()}
    by_hand = {name: scale * np.asarray(g, dtype) for name, g in model.gradients(**arrays).items()}
    tensors = {name: ad.Tensor(a, True, name=name) if name in by_hand else a for name, a in arrays.items()}
    return model.loss(**tensors) * scale, by_hand


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", MODELS)
def test_right_gradients_agree(name, dtype):
    cases = [(seed, 5, 1.0) for seed in range(20)]
    cases += [(seed, m, scale) for seed in range(20, 24) for m, scale in [(1, 1.0), (64, 1.0), (5, 1e-6), (5, 1e6)]]
    undecided = 0
    for seed, m, scale in cases:
        loss, by_hand = make(MODELS[name], seed, m, dtype, scale)
        report = compare(loss, by_hand)
        report.raise_if_wrong()
        undecided += not report.ok
    assert undecided <= (1 if dtype is np.float32 else 0)      # sixty layers may cost float32 all its digits


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", [name for name in MODELS if name != "deep chain"])
def test_gradcheck_raises_no_false_alarm(name, dtype):
    model = MODELS[name]
    for seed in range(5):
        arrays = {key: np.asarray(a, a.dtype if getattr(a, "dtype", np.float64) == np.int64 else dtype)
                  for key, a in model.arrays(np.random.default_rng(seed), 4).items()}
        by_hand = model.gradients(**arrays)

        def f(parameters, model=model, arrays=arrays):
            return model.loss(**{**arrays, **parameters})

        gradcheck(f, {key: arrays[key] for key in by_hand}, order=2)


MISTAKES = {
    "sign": lambda g: -g,
    "factor m": lambda g: g * 5,
    "half": lambda g: g / 2,
    "zero": lambda g: 0 * g,
    "one part in a million, everywhere": lambda g: g * (1 + 1e-6),
    "largest element dropped": lambda g: np.where(np.abs(g) == np.abs(g).max(), 0, g),
    "values transposed": lambda g: g[::-1] if g.ndim == 1 else g.T.reshape(g.shape),
    "a constant added": lambda g: g + 1e-3 * np.abs(g).max(),
    "one element": lambda g: g + 1e-3 * np.abs(g).max() * (np.arange(g.size).reshape(g.shape) == g.size // 2),
    "not finite": lambda g: np.where(np.arange(g.size).reshape(g.shape) == 0, np.nan, g),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", MODELS)
def test_wrong_gradients_differ(name, dtype):
    for seed, scale in [(0, 1.0), (1, 1e-6), (2, 1e6)]:
        loss, by_hand = make(MODELS[name], seed, 5, dtype, scale)
        for mistake, apply in MISTAKES.items():
            if dtype == np.float32 and "million" in mistake:
                continue
            wrong = {key: apply(np.asarray(g)).astype(dtype) for key, g in by_hand.items()}
            wrong = {key: g for key, g in wrong.items() if not np.array_equal(g, by_hand[key])}     # of one element
            report = compare(loss, wrong, explain=False)
            assert all(entry.verdict == "differs" for entry in report), f"{mistake}, seed {seed}\n{report}"
            if mistake != "not finite":
                assert all(entry.sides_with == "tape" for entry in report), f"{mistake}, seed {seed}\n{report}"
