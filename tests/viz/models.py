"""The computations that the pictures' tests draw: small, and the same every time."""

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
