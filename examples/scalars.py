"""A long way from two numbers to a third, one small step at a time, and the gradient back.

    python examples/scalars.py

The function is the one in micrograd's README, on its numbers: g(-4, 2) = 24.7041, ∂g/∂a = 138.8338, ∂g/∂b = 645.5773.
"""

import autodiff as ad


def g(a, b):
    c = 2 * (2 * (a + b) + 1) + 1 - a
    d = 4 * (3 * (a * b + b**3) + ad.relu(a + b)) + ad.relu(b - a)
    f = (c - d) ** 2
    return f / 2 + 10 / f


a, b = ad.Tensor(-4.0, requires_grad=True), ad.Tensor(2.0, requires_grad=True)
y = g(a, b)
y.backward()

print(f"g = {y:.4f}   ∂g/∂a = {a.grad:.4f}   ∂g/∂b = {b.grad:.4f}")
print(f"\nand the {len(ad.Tape(y))} steps behind it:\n\n{ad.Tape(y)}")
