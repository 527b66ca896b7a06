"""tanh and its first six derivatives, each the gradient of the one before.

    python examples/tanh_derivatives.py                   # a table
    python examples/tanh_derivatives.py derivatives.svg   # the curves (needs matplotlib)
"""

import sys

import numpy as np

import autodiff as ad


def tanh(x):
    e = np.exp(-2 * x)
    return (1 - e) / (1 + e)


def slope(f):
    """f' at every element at once: element i of f depends on element i of x alone."""
    return ad.grad(lambda x: f(x).sum())


slope_at_1 = ad.grad(tanh)(1.0)
difference = (tanh(1.0001) - tanh(0.9999)) / 0.0002
print(f"tanh'(1) = {slope_at_1:.14f}   by finite differences {difference:.14f}\n")

x = np.linspace(-7, 7, 201)
curves = [tanh(x)]
f = tanh
for _ in range(6):
    f = slope(f)
    curves.append(f(x))

print("order      at 0   greatest value")
for order, y in enumerate(curves):
    print(f"{order:5d}  {y[100] + 0:8.3f}   {y.max():14.3f}")

if sys.argv[1:]:
    import matplotlib.pyplot as plt

    for order, y in enumerate(curves):
        plt.plot(x, y, label=f"order {order}")
    plt.legend()
    plt.savefig(sys.argv[1])
