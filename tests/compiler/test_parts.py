"""Long programs in several functions: the same numbers, and no function longer than a few lines more than allowed."""

import ast
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

import autodiff as ad
import nn
from autodiff.compiler import parts
from nn.compiled import train_step
from tests.compiler.test_random_programs import check, programs

FEW = settings(max_examples=25, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
               suppress_health_check=list(HealthCheck))
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 4)), RNG.integers(0, 3, 20)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Functions of three lines."""
    monkeypatch.setattr(parts, "LONG", 3)


def functions(source):
    """Each function of a text by name, its lines counted without those of functions in it."""
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            inner = sum(len(ast.unparse(f).splitlines()) for f in node.body if isinstance(f, ast.FunctionDef))
            found.setdefault(node.name, []).append(len(ast.unparse(node).splitlines()) - inner)
    return found


@FEW
@given(programs())
def test_values(program):
    check(program, jit=False, gradients=False)


@FEW
@given(programs())
def test_gradients(program):
    check(program, jit=False, gradients=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", [
    lambda ps: nn.optim.SGD(ps, lr=0.1, momentum=0.9), lambda ps: nn.optim.Adam(ps, lr=0.01, weight_decay=0.1)],
                         ids=["momentum", "adam"])
@pytest.mark.parametrize("n", [1, 5, 20])
def test_a_training_step(make, dtype, n):
    """With scalars, class numbers, buffers of its own, and a parameter of one element."""
    losses, models = [], []
    for compiled in (True, False):
        model = nn.Sequential(nn.Linear(4, 3, rng=0, dtype=dtype), nn.ReLU(), nn.Linear(3, 3, rng=1, dtype=dtype))
        step = train_step(model, nn.CrossEntropyLoss(), make(model.parameters()), compile=compiled, jit=False)
        losses.append([step(X[:n].astype(dtype), Y[:n]) for _ in range(4)])
        models.append(model.state_dict())
        if compiled:
            assert len(functions(step.source)["part"]) > 5
    np.testing.assert_array_equal(*losses)
    for path, value in models[0].items():
        np.testing.assert_array_equal(value, models[1][path], err_msg=path)


def test_names_of_the_users_that_are_ours():
    def f(part, kept_1, bind_1, step):
        one = part * 1.0
        memory = np.exp(kept_1) * one
        part_2 = memory / (1 + bind_1)
        number = part_2 * 0.25 + step
        rows_2 = np.tanh(number) * one
        ones_20 = rows_2 - part
        return (ones_20 * kept_1).sum() + number.mean()

    args = [np.linspace(k, k + 1, 40).reshape(20, 2) for k in range(4)]
    both = ad.value_and_grad(f, (0, 1, 2, 3))
    got, want = ad.compile(both, jit=False)(*args), both(*args)
    assert got[0] == want[0]
    for a, b in zip(got[1], want[1], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("start", [np.float64(0.3), np.full(5, 0.3)], ids=["scalar", "array"])
def test_no_function_is_long(start, monkeypatch):
    """The backward part reads every result of the forward part, each in the part that needs it."""
    monkeypatch.setattr(parts, "LONG", 20)

    def chain(x):
        y = x
        for _ in range(100):
            y = np.tanh(y * 1.1 + x)
        return y.sum()

    compiled = ad.compile(ad.value_and_grad(chain), jit=False)
    value, slope = compiled(start)
    want, other = ad.value_and_grad(chain)(start)
    assert value == want and np.array_equal(slope, other)
    lengths = functions(compiled.source)
    assert len(lengths["part"]) > 15
    assert max(max(each) for each in lengths.values()) < 20 * 5        # its lines, the views and what is handed on


def test_short_programs_are_one_function(monkeypatch):
    monkeypatch.setattr(parts, "LONG", 1000)
    compiled = ad.compile(lambda x: np.exp(x) * 2, jit=False)
    compiled(X)
    assert functions(compiled.source).keys() == {"bind", "step"}


def test_what_is_indented_stays_with_its_head():
    lines = ["a = 1", "for start in range(3):", *["    a = a"] * 9, "b = a"]
    found = parts.parted(lines)
    assert [line for part in found for line in part.lines] == lines
    assert all(not part.lines[0].startswith(" ") for part in found)


@pytest.mark.slow
@pytest.mark.parametrize("gradients", [False, True])
def test_many_programs(gradients):
    many = settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    many(given(programs(most=40))(lambda program: check(program, jit=False, gradients=gradients)))()


@pytest.mark.slow
def test_the_text_of_many_results_takes_python_a_time_in_proportion(monkeypatch):
    """One function with 8,000 views would take it longer than all else together."""
    def seconds(n, long):
        monkeypatch.setattr(parts, "LONG", long)
        bound = [f"m_{i} = ndarray((4,), np.float64, memory, {64 * i})" for i in range(n)]
        lines = [f"add(m_{i}, m_{i // 2}, m_{i})" for i in range(n)]
        text = parts.in_parts([], ["x"], bound, lines, [], {})
        start = time.process_time()
        parts.defined(text, {})
        return time.process_time() - start

    assert seconds(8_000, 1000) < 0.7 * seconds(8_000, 100_000)
    assert seconds(8_000, 1000) < 8 * seconds(2_000, 1000)
