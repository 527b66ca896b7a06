"""Logistic regression by gradient descent: four samples, three weights, and a loss with no class or layer about it.

    python examples/logistic_regression.py

Samples, step and loss are those of autograd's tutorial: 4 log 2 = 2.7726 at first, 1.0673 after 100 steps.
"""

import numpy as np

import autodiff as ad

X = np.array([[0.52, 1.12, 0.77], [0.88, -1.08, 0.15], [0.52, 0.06, -1.30], [0.74, -2.49, 1.39]])
y = np.array([1.0, 1.0, 0.0, 1.0])


def loss(w):
    """The surprise at the labels, -Σ [y log ŷ + (1 - y) log(1 - ŷ)], with ŷ = σ(Xw)."""
    yhat = 1 / (1 + np.exp(-(X @ w)))
    return -(y * np.log(yhat) + (1 - y) * np.log(1 - yhat)).sum()


ad.gradcheck(loss, np.zeros(3))
gradient = ad.grad(loss)

w = np.zeros(3)
history = [loss(w)]
for _ in range(100):
    w -= 0.01 * gradient(w)
    history.append(loss(w))

print(f"loss {history[0]:.4f} → {history[-1]:.4f}   w = {w.round(4)}")
print(f"closed form: |∂loss/∂w - Xᵀ(ŷ - y)| = {np.abs(gradient(w) - X.T @ (1 / (1 + np.exp(-(X @ w))) - y)).max():.1e}")
