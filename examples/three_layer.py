"""The notes' 3-layer network on real data: train it, check every gradient three ways, draw it.

    python examples/three_layer.py                 # or: make demo
    python examples/three_layer.py --splits 10     # the test accuracy over ten splits

Wisconsin breast cancer data (569 samples, 30 measurements, y = 1 for malignant). The gradients of the tape are compared
with the closed forms derived by hand, written below in plain NumPy, and with complex-step differences.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

import autodiff as ad
import nn
import viz

DATA = Path(__file__).parent / "data" / "breast_cancer.csv.gz"
SIZES = [30, 16, 8, 1]


# ---- data and model

def load(seed):
    """Standardised training and test samples; a fifth, drawn by the seed, is kept for the test."""
    table = np.loadtxt(DATA, delimiter=",", skiprows=1)
    x, y = table[:, :-1], table[:, -1:]
    order = np.random.default_rng(seed).permutation(len(x))
    test, train = order[: len(x) // 5], order[len(x) // 5:]
    mean, spread = x[train].mean(axis=0), x[train].std(axis=0)
    x = (x - mean) / spread
    return (x[train], y[train]), (x[test], y[test])


def accuracy(yhat, y):
    return np.mean((yhat > 0.5) == y)


def trained(seed, epochs, progress=True):
    """The notes' model, after gradient descent; and what training looked like."""
    train, test = load(seed)
    model = nn.MLP(SIZES, activation="sigmoid", output="binary", rng=seed)       # Glorot-normal W, zero b
    optimizer = nn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    history = nn.fit(model, model.loss_fn, train, optimizer, epochs=epochs, batch_size=16, validation=test, rng=seed,
                     metrics={"accuracy": accuracy}, progress=progress)
    return model, history, train, test


# ---- the gradients by hand

def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def loss_by_hand(x, y, W1, b1, W2, b2, W3, b3):
    a1 = sigmoid(x @ W1.T + b1)
    a2 = sigmoid(a1 @ W2.T + b2)
    yhat = sigmoid(a2 @ W3.T + b3)
    return -np.mean(y * np.log(yhat) + (1 - y) * np.log(1 - yhat))


def gradients_by_hand(x, y, W1, b1, W2, b2, W3, b3):
    """δ[3] = ŷ − y;  δ[l] = (W[l+1]ᵀ δ[l+1]) ⊙ g'(z[l]);  ∂loss/∂W[l]_ij = δ[l]_i a[l-1]_j;  ∂loss/∂b[l] = δ[l]."""
    a1 = sigmoid(x @ W1.T + b1)
    a2 = sigmoid(a1 @ W2.T + b2)
    yhat = sigmoid(a2 @ W3.T + b3)
    d3 = (yhat - y) / len(x)                    # samples are rows, so δ is a row each; the mean brings the 1/m
    d2 = d3 @ W3 * a2 * (1 - a2)
    d1 = d2 @ W2 * a1 * (1 - a1)
    return {"W1": d1.T @ x, "b1": d1.sum(axis=0), "W2": d2.T @ a1, "b2": d2.sum(axis=0),
            "W3": d3.T @ a2, "b3": d3.sum(axis=0)}


def gradients_by_complex_step(x, y, **parameters):
    """∂loss/∂θ = Im loss(θ + ih) / h: no subtraction, so h can be tiny and the result is exact to rounding."""
    h, found = 1e-30, {}
    for name, value in parameters.items():
        found[name] = np.empty_like(value)
        for index in np.ndindex(value.shape):
            bumped = value.astype(complex)
            bumped[index] += 1j * h
            found[name][index] = loss_by_hand(x, y, **{**parameters, name: bumped}).imag / h
    return found


def compare(model, x, y):
    """Print the table; return the loss and whether all six parameters agree in both ways."""
    loss = model.loss_fn(model(x), y)
    parameters = {p.name: p.numpy() for p in model.parameters()}
    tape = dict(zip(parameters, ad.gradients(loss, list(model.parameters()))))
    others = {"closed form": gradients_by_hand(x, y, **parameters),
              "complex step": gradients_by_complex_step(x, y, **parameters)}
    reports = {way: ad.compare(loss, manual) for way, manual in others.items()}

    print(f"\n∂loss/∂Θ from the tape, beside two others (largest difference / largest entry), {len(x)} samples\n")
    print(f"{'Θ':<4} {'shape':<9} {'‖∂loss/∂Θ‖':>11}   {'closed form':<21} complex step")
    for name, g in tape.items():
        row = f"{name:<4} {'×'.join(map(str, g.shape)):<9} {np.linalg.norm(g):11.3e}   "
        for way, manual in others.items():
            error = np.max(np.abs(g - manual[name])) / np.max(np.abs(g))
            row += f"{error:7.1e}  {reports[way][name].verdict:<12}"
        print(row.rstrip())
    return loss, all(report.ok for report in reports.values())


# ---- the main job

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the split, the initial weights and the batches")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--splits", type=int, metavar="N", help="only print the test accuracy over N seeded splits")
    parser.add_argument("--folder", type=Path, default=Path(), help="where to write the pictures")
    options = parser.parse_args()

    if options.splits:
        found = []
        for seed in range(options.splits):
            _, history, _, _ = trained(seed, options.epochs, progress=False)
            found.append(history.metrics["accuracy"][-1])
            print(f"split {seed}: test accuracy {found[-1]:.1%}")
        print(f"mean {np.mean(found):.1%}, worst {min(found):.1%}")
        return 0

    model, history, train, test = trained(options.seed, options.epochs)
    print(model)
    print(f"test accuracy {history.metrics['accuracy'][-1]:.1%} on {len(test[0])} samples it has not seen")

    fresh = nn.MLP(SIZES, activation="sigmoid", output="binary", rng=options.seed)
    loss, agree = compare(fresh, *train)               # before training, when the gradients are not small yet

    drawing = viz.draw(loss)
    options.folder.mkdir(parents=True, exist_ok=True)
    files = [options.folder / f"three_layer.{kind}" for kind in ("svg", "png", "dot")]
    for file in files:
        drawing.save(file)
    files.append(options.folder / "three_layer_loss.png")
    history.plot(files[-1])
    print("\nwritten: " + ", ".join(str(file) for file in files))
    return 0 if agree else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nstopped")
