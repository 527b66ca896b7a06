"""The examples run as they are, and give the numbers published with the originals they follow."""

import random
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import autodiff as ad

EXAMPLES = Path(__file__).parents[1] / "examples"
SHORT = ["tanh_neuron", "scalars", "tanh_derivatives", "logistic_regression", "fluid", "lenet"]


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run an example with arguments, in a folder of its own; its variables, and what it printed."""
    def run(name, *arguments):
        path = EXAMPLES / f"{name}.py"
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [str(path), *arguments])
        return runpy.run_path(str(path), run_name="__main__"), capsys.readouterr().out
    return run


@pytest.mark.parametrize("name", SHORT)
def test_examples_are_short(name):
    text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 90
    assert f"python examples/{name}.py" in text


def test_an_example_runs_as_a_program(tmp_path):
    done = subprocess.run([sys.executable, "-W", "error", EXAMPLES / "scalars.py"], cwd=tmp_path, text=True,
                          capture_output=True, encoding="utf-8", check=False,
                          env={"PYTHONPATH": str(EXAMPLES.parent), "PYTHONIOENCODING": "utf-8"})
    assert done.returncode == 0, done.stderr
    assert "24.7041" in done.stdout


def test_tanh_neuron(run, tmp_path):
    found, text = run("tanh_neuron", "neuron.dot")
    assert f"{found['y']:.4f}" == "0.7071"
    gradients = [float(found[name].grad) for name in ("x1", "w1", "x2", "w2", "b")]
    assert gradients == pytest.approx([-1.5, 1.0, 0.5, 0.0, 0.5], abs=1e-14)
    assert "∂y/∂x1 = -1.5000" in text
    assert (tmp_path / "neuron.dot").read_text(encoding="utf-8").startswith("digraph")


def test_scalars(run):
    found, text = run("scalars")
    assert (f"{found['y']:.4f}", f"{found['a'].grad:.4f}", f"{found['b'].grad:.4f}") == \
        ("24.7041", "138.8338", "645.5773")
    assert "integer_power(b, n=3)" in text
    ad.gradcheck(found["g"], -4.0, 2.0)


def test_tanh_derivatives(run, tmp_path):
    found, text = run("tanh_derivatives", "curves.png")
    assert float(found["slope_at_1"]) == pytest.approx(0.41997434161402603, rel=1e-15)
    assert found["difference"] == pytest.approx(0.41997434264973155, rel=1e-10)
    y = np.tanh(found["x"])
    s = 1 - y**2
    closed = [y, s, -2 * y * s, s * (6 * y**2 - 2), 8 * y * s * (2 - 3 * y**2), 8 * s * (2 - 15 * y**2 * s)]
    for curve, expected in zip(found["curves"], closed):
        assert curve == pytest.approx(expected, abs=1e-11)
    assert len(found["curves"]) == 7
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    assert "0.41997434161403" in text


def test_logistic_regression(run):
    found, _ = run("logistic_regression")
    assert found["history"][0] == pytest.approx(4 * np.log(2), rel=1e-15)
    assert found["history"][-1] == pytest.approx(1.0672706757870163, rel=1e-13)
    assert all(after < before for before, after in zip(found["history"], found["history"][1:]))


def test_fluid(run):
    found, text = run("fluid")
    assert found["history"][-1] < found["history"][0] / 4
    assert len(text.splitlines()) == found["N"] + 2

    rng = np.random.default_rng(1)              # generic ψ: no place exactly on a cell's edge
    loss, psi = found["loss"], rng.normal(size=(found["N"],) * 2) * 0.3
    value, g = found["gradient"](psi)
    direction, h = rng.normal(size=psi.shape), 1e-6
    slope = (float(loss(psi + h * direction)) - float(loss(psi - h * direction))) / (2 * h)
    assert float(value) == pytest.approx(float(loss(psi)), rel=1e-14)
    assert np.sum(g * direction) == pytest.approx(slope, rel=1e-5)
    still = found["simulate"](np.zeros_like(psi), found["start"])
    assert still.sum() == pytest.approx(found["start"].sum(), rel=1e-12)      # where nothing flows, ink is only spread


def test_lenet(run):
    found, text = run("lenet")
    assert found["history"].metrics["accuracy"][-1] > 0.85
    assert found["history"].train_loss[-1] < 0.5 < 2 < found["history"].train_loss[0]
    assert "max_pool(" in text
    assert sum(p.size for p in found["model"].parameters()) == 61_706          # as LeNet-5 with dense layers is counted


# ---- scalars as in micrograd: one number per Tensor, operators and Python numbers between

a, b = -4.0, 2.0
EXPRESSIONS = {
    "number on the left": (lambda a, b: 2 + 3 * a - 1 - b, (3.0, -1.0)),
    "reflected minus": (lambda a, b: 1 - a, (-1.0, 0.0)),
    "reflected division": (lambda a, b: 8 / a / b, (-8 / 16 / 2, -8 / -4 / 4)),
    "division": (lambda a, b: a / b + b / 2, (0.5, 1.0 + 0.5)),
    "square": (lambda a, b: a**2, (-8.0, 0.0)),
    "cube": (lambda a, b: b**3 * a, (8.0, -48.0)),
    "negative power": (lambda a, b: b**-2, (0.0, -0.25)),
    "root": (lambda a, b: b**0.5, (0.0, 0.5 / np.sqrt(2))),
    "power of a number": (lambda a, b: 2**b, (0.0, 4 * np.log(2))),
    "power of both": (lambda a, b: b**a, (2.0**-4 * np.log(2), -4 * 2.0**-5)),
    "power zero": (lambda a, b: a**0 + b, (0.0, 1.0)),
    "negation": (lambda a, b: -a * -b, (2.0, -4.0)),
    "absolute value": (lambda a, b: abs(a) * b, (-2.0, 4.0)),
    "relu off": (lambda a, b: ad.relu(a + b), (0.0, 0.0)),
    "relu on": (lambda a, b: ad.relu(b - a), (-1.0, 1.0)),
    "sum of a list": (lambda a, b: sum([a, b, a * b]), (3.0, -3.0)),
    "the same twice": (lambda a, b: a + a, (2.0, 0.0)),
    "int and bool and NumPy scalars": (lambda a, b: a * 3 + True * b + np.float64(0.5) * a, (3.5, 1.0)),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_scalar_expressions(name):
    f, expected = EXPRESSIONS[name]
    x, y = ad.Tensor(a, requires_grad=True), ad.Tensor(b, requires_grad=True)
    z = f(x, y)
    assert z.item() == f(a, b)
    assert ad.Tape(z).replay() == z.item()
    z.backward()
    assert [0.0 if t.grad is None else float(t.grad) for t in (x, y)] == pytest.approx(expected, abs=1e-14)
    ad.gradcheck(lambda x, y: f(x, y) + 0 * x * y, a, b)


def test_names_may_be_used_again_as_in_a_sequence_of_assignments():
    """`c += c` and the like make new records; what was computed from the old c stays as it was."""
    x, y = ad.Tensor(a, requires_grad=True), ad.Tensor(b, requires_grad=True)
    c = x + y
    d = x * y
    early = c * d
    c += c * x
    c -= 1
    d *= c + early
    d /= 4
    d.backward()
    by_name = ad.grad(lambda x, y: x * y * ((x + y) * (1 + x) - 1 + (x + y) * x * y) / 4, (0, 1))(a, b)
    assert (float(x.grad), float(y.grad)) == pytest.approx(tuple(map(float, by_name)), rel=1e-15)


def test_a_network_of_scalars_learns():
    """Neurons with a Tensor per weight, one number at a time; and the same network with arrays."""
    rng = random.Random(0)
    xs, targets = [(2.0, 3.0), (3.0, -1.0), (0.5, 1.0), (1.0, -1.0)], [1.0, -1.0, -1.0, 1.0]
    hidden = [[ad.Tensor(rng.uniform(-1, 1), requires_grad=True) for _ in range(3)] for _ in range(6)]
    out = [ad.Tensor(rng.uniform(-1, 1), requires_grad=True) for _ in range(7)]
    parameters = [w for neuron in [*hidden, out] for w in neuron]

    def model(x):
        h = [np.tanh(w1 * x[0] + w2 * x[1] + b) for w1, w2, b in hidden]
        *w, b = out
        return np.tanh(sum((wi * hi for wi, hi in zip(w, h)), start=b))

    losses = []
    for _ in range(60):
        loss = sum((model(x) - t) ** 2 for x, t in zip(xs, targets))
        losses.append(loss.item())
        for w in parameters:
            w.grad = None
        loss.backward()
        if not losses[1:]:
            W, V = (np.array([[float(w) for w in neuron] for neuron in layer]) for layer in (hidden, [out]))

            def of_arrays(W, V):
                h = np.tanh(np.array(xs) @ W[:, :2].T + W[:, 2])
                return ((np.tanh(h @ V[:, :-1].T + V[:, -1])[:, 0] - np.array(targets)) ** 2).sum()

            dW, dV = ad.grad(of_arrays, (0, 1))(W, V)
            assert [float(w.grad) for w in parameters] == pytest.approx([*dW.ravel(), *dV.ravel()], rel=1e-12)
        with ad.no_grad():
            for w in parameters:
                w -= 0.1 * w.grad
    assert losses[-1] < 0.1 < losses[0]


def test_relu_neuron():
    """Two inputs, 1 and -2: the weights' gradients are the inputs where the neuron is on, and zero where it is off."""
    for bias, on in [(3.0, 1.0), (-3.0, 0.0)]:
        w = [ad.Tensor(0.25, requires_grad=True), ad.Tensor(0.5, requires_grad=True)]
        y = ad.relu(sum((wi * xi for wi, xi in zip(w, [1.0, -2.0])), start=ad.Tensor(bias, requires_grad=True)))
        y.backward()
        assert [float(t.grad) for t in w] == [on, -2.0 * on]
        assert y.item() == max(bias - 0.75, 0)
