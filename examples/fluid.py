"""Which stirring turns a blot of ink into a ring? Ask the gradient of a simulation.

    python examples/fluid.py

Ink is carried about by a flow and spreads a little; the sea has no edges. The flow follows the contours of a stream
function ψ, v = (∂ψ/∂y, -∂ψ/∂x), so nothing is compressed. All 400 numbers of ψ are found from the gradient of what the
ink looks like at the end, walked back through every step of the simulation.
"""

import numpy as np

import autodiff as ad

N, STEPS, INK = 20, 10, " .:-=+*#%@"
rows, columns = np.meshgrid(np.arange(N), np.arange(N), indexing="ij")


def flow(psi):
    """The velocity along the contours of ψ, in cells per step."""
    slope = [(np.roll(psi, -1, axis) - np.roll(psi, 1, axis)) / 2 for axis in (0, 1)]
    return slope[1], -slope[0]


def carried(ink, down, right):
    """Where each cell's ink comes from, one step upstream, mixed from the four cells around that place."""
    i, j = rows - down, columns - right
    top, left = np.floor(i).astype(int), np.floor(j).astype(int)
    s, t = i - top, j - left
    above = (1 - t) * ink[top % N, left % N] + t * ink[top % N, (left + 1) % N]
    below = (1 - t) * ink[(top + 1) % N, left % N] + t * ink[(top + 1) % N, (left + 1) % N]
    return (1 - s) * above + s * below


def spread(ink, rate=0.02):
    """A little diffusion: each cell gives to its four neighbours."""
    return ink + rate * sum(np.roll(ink, shift, axis) - ink for shift in (-1, 1) for axis in (0, 1))


def simulate(psi, ink):
    down, right = flow(psi)
    for _ in range(STEPS):
        ink = spread(carried(ink, down, right))
    return ink


def show(*pictures):
    for lines in zip(*pictures):
        print("   ".join("".join(INK[round(9 * min(max(v, 0), 1))] * 2 for v in line) for line in lines))


radius = np.hypot(rows - N / 2, columns - N / 2)
start = np.exp(-((rows - N / 2) ** 2 / 8 + (columns - N / 2 - 3) ** 2 / 8))
target = np.exp(-((radius - 5) ** 2) / 3)


def loss(psi):
    ink = ad.as_tensor(start)           # NumPy's own arrays take no recorded numbers as an index
    return ((simulate(psi, ink) - target) ** 2).mean()


psi = np.random.default_rng(0).normal(size=(N, N)) * 0.01
gradient = ad.value_and_grad(loss)
history, velocity = [], np.zeros_like(psi)
for _ in range(60):
    value, g = gradient(psi)
    history.append(float(value))
    velocity = 0.9 * velocity - 20.0 * g
    psi = psi + velocity

print(f"loss {history[0]:.4f} → {history[-1]:.4f}; the ink at first, after {STEPS} steps, and as it was to be\n")
show(start, simulate(psi, start), target)
