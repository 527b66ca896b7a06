"""One neuron, y = tanh(w₁x₁ + w₂x₂ + b), and what each of its numbers does to y.

    python examples/tanh_neuron.py                 # prints y and its gradients
    python examples/tanh_neuron.py neuron.svg      # draws them too

The bias is chosen so that z = asinh 1. Then y = √½ and ∂y/∂z = 1 - y² = ½: every gradient can be checked in the head.
"""

import sys

import numpy as np

import autodiff as ad
import viz

x1, x2 = ad.Tensor(2.0, requires_grad=True), ad.Tensor(0.0, requires_grad=True)
w1, w2 = ad.Tensor(-3.0, requires_grad=True), ad.Tensor(1.0, requires_grad=True)
b = ad.Tensor(6.0 + np.arcsinh(1.0), requires_grad=True)

z = x1 * w1 + x2 * w2 + b
y = np.tanh(z)
y.backward()

print(f"y = {y:.4f}, ∂y/∂z = {ad.gradients(y, [z])[0]:.4f}")
for t in (x1, w1, x2, w2, b):
    print(f"{t.name:>2} = {t:7.4f}   ∂y/∂{t.name} = {t.grad:7.4f}")

for file in sys.argv[1:]:
    viz.draw(y).save(file)
