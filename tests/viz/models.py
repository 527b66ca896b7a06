"""The computations that the pictures' tests draw: small, and the same every time."""

from copy import copy
from dataclasses import replace

import numpy as np

import autodiff as ad


def numbers(*shape, start=0.0):
    """Numbers that are the same on every machine."""
    n = int(np.prod(shape))
    return ((np.arange(n) * 7 + start) % 11 / 5 - 1).reshape(shape)


def parameter(name, *shape, start=0.0):
    return ad.Tensor(numbers(*shape, start=start), requires_grad=True, name=name)


def three_layers(sizes=(3, 4, 3, 1), samples=1):
    """The 3-layer network with sigmoids and binary cross entropy, and its tensors by name."""
    held = {"x": numbers(samples, sizes[0]), "y": np.ones((samples, 1))}
    a = held["x"]
    for l, (n_in, n_out) in enumerate(zip(sizes, sizes[1:], strict=False), start=1):
        W, b = parameter(f"W{l}", n_out, n_in, start=l), parameter(f"b{l}", n_out, start=2 * l)
        with ad.scope(f"layer {l}", "Dense"):
            z = (a @ W.T + b).named(f"z{l}")
            a = ad.sigmoid(z).named(f"a{l}")
        held.update({W.name: W, b.name: b, z.name: z, a.name: a})
    loss = ad.binary_cross_entropy(a, held["y"]).mean()
    return loss, held


def deep(n, width=4):
    """n equal layers, and one before and one after them."""
    h = numbers(2, 3)
    for i, (n_in, n_out) in enumerate([(3, width), *[(width, width)] * n, (width, 1)]):
        W = parameter(f"W{i}", n_out, n_in, start=i)
        with ad.scope(f"layers.{i}", "Dense"):
            h = ad.sigmoid(ad.linear(h, W))
    return h.mean()


def unrolled(n):
    """A recurrent cell called n times."""
    Wx, Wh = parameter("Wx", 3, 2), parameter("Wh", 3, 3, start=3)
    h = np.zeros((1, 3))
    for i in range(n):
        x = numbers(1, 2, start=i)
        with ad.scope("cell", "RNN"):
            h = np.tanh(x @ Wx.T + h @ Wh.T)
    return (h ** 2).mean()


def attention():
    """Three branches from one input, which come together again; then what came in is added."""
    x = numbers(3, 2)
    with ad.scope("attention", "Attention"):
        q, k, v = (ad.linear(x, parameter(f"W{c}", 2, 2, start=i)).named(c) for i, c in enumerate("qkv"))
        mixed = ad.softmax(q @ k.T / 2, axis=-1) @ v
    out = x + mixed
    return (out ** 2).mean()


def second_derivative():
    """A gradient's gradient: the seed is used again and again, and so is x."""
    x = ad.Tensor(0.7, requires_grad=True, name="x")
    y = np.sin(x) * np.exp(x)
    [dy] = ad.gradients(y, [x], record=True)
    return ad.gradients(dy, [x], record=True)[0].named("d2y")


def by_hand(held, slip=False):
    """The gradients of the 3-layer net, derived by hand; with a slip, σ' is left out once."""
    dz = held["a3"].data - held["y"]
    grads = {}
    for l in (3, 2, 1):
        before = held["x"] if l == 1 else held[f"a{l - 1}"].data
        grads[f"W{l}"], grads[f"b{l}"] = dz.T @ before, dz.sum(axis=0)
        dz = dz @ held[f"W{l}"].data
        if l > 1 and not (slip and l == 3):
            dz = dz * before * (1 - before)
    return grads


def wrong():
    """A small 3-layer net, and the report on a derivation of its gradients with a slip."""
    loss, held = three_layers((2, 2, 2, 1))
    return loss, ad.compare(loss, by_hand(held, slip=True))


def looking(drawing, **changes):
    """The same drawing, but for how it looks."""
    other = copy(drawing)
    other.__dict__.pop("_lines", None)
    other._look = replace(drawing._look, **changes)
    return other
