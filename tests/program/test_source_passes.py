"""The passes one by one: liveness, sharing, substitution, and each trivial rule of algebra."""

import sys

import numpy as np
import pytest

import autodiff as ad
from autodiff.naming import names_of
from autodiff.ops import arithmetic as a
from autodiff.program.lifting import index_of, lifted
from autodiff.program.lines import Layout
from autodiff.program.passes import Program, computed, shared, substituted
from autodiff.program.simplification import simplified
from autodiff.record import Leaf


def leaf(value):
    return Leaf(value, True, sys._getframe())


x, y, z = (leaf(np.random.default_rng(i).normal(size=(3, 2))) for i in range(3))
NAMES = {x: "x", y: "y", z: "z"}


def written(r, names=None, exact=False):
    """The text of a record after all rules."""
    program = Program({"out": r}, names or {})
    program = program if exact else shared(simplified(program))
    layout = Layout(program, NAMES, dict.fromkeys(["x", "y", "z"], 1), exact)
    result = program.outputs["out"]
    return layout.lines[-1].text.partition(" = ")[2] if layout.lines else layout.number(result, None).text


def of(f):
    """What a function of three Tensors records."""
    return f(*(ad.Tensor.of(r) for r in (x, y, z))).record


RULES = [
    (lambda x, y, z: x * 1 + 0, "x"),
    (lambda x, y, z: 0 + x / 1, "x"),
    (lambda x, y, z: np.negative(-x), "x"),
    (lambda x, y, z: -(x - y), "y - x"),
    (lambda x, y, z: x + (-y), "x - y"),
    (lambda x, y, z: -x + y, "y - x"),
    (lambda x, y, z: x - (-y), "x + y"),
    (lambda x, y, z: x + (-2.0), "x - 2"),
    (lambda x, y, z: 2 * (x * 3) / 12, "x / 2"),
    (lambda x, y, z: x * (y * z), "x * y * z"),
    (lambda x, y, z: 0.5 * x * 2, "x"),
    (lambda x, y, z: x * (1 / 569) * 2, "2 * x / 569"),
    (lambda x, y, z: x * 0.1, "0.1 * x"),
    (lambda x, y, z: -(x * -y) / -3, "-x * y / 3"),
    (lambda x, y, z: x / (1 / 7), "7 * x"),
    (lambda x, y, z: x ** 1, "x"),
    (lambda x, y, z: np.power(x, 2.0), "x**2"),
    (lambda x, y, z: (1 + x) * (1 - x), "1 - x**2"),
    (lambda x, y, z: x.T.T, "x"),
    (lambda x, y, z: (x.T @ y).T, "y.T @ x"),
    (lambda x, y, z: np.swapaxes(x.T, 0, 1), "x"),
    (lambda x, y, z: np.moveaxis(x, (0, 1), (-2, -1)), "x"),
    (lambda x, y, z: x.reshape(6).reshape(2, 3), "x.reshape(2, 3)"),
    (lambda x, y, z: x.reshape(6).reshape(3, 2), "x"),
    (lambda x, y, z: np.expand_dims(x, 1).reshape(3, 2), "x"),
    (lambda x, y, z: ad.sum_to(x, shape=(3, 2)), "x"),
    (lambda x, y, z: ad.sum_to(-x, shape=(2,)), "-x.sum(axis=0)"),
    (lambda x, y, z: np.broadcast_to(x, (3, 2)), "x"),
    (lambda x, y, z: np.copy(x) + y, "x + y"),
    (lambda x, y, z: x + x, "2 * x"),
    (lambda x, y, z: (x @ y[0][:, None])[:, 0], "(x @ y[0][:, None])[:, 0]"),
    (lambda x, y, z: np.squeeze(x @ np.expand_dims(y[0], -1), -1), "x @ y[0]"),
    (lambda x, y, z: x.astype(np.float64) * y, "x * y"),
    (lambda x, y, z: x * 0, "np.zeros((3, 2))"),
]


@pytest.mark.parametrize(("f", "text"), RULES, ids=[f"{i}: {text}" for i, (_, text) in enumerate(RULES)])
def test_rules(f, text):
    assert written(of(f)) == text if text != "x" else simplified(Program({"out": of(f)})).outputs["out"] is x


BROADCAST = of(lambda x, y, z: np.broadcast_to(x, (1, 3, 2))).op


@pytest.mark.parametrize(("build", "text"), [
    (lambda: computed(a.multiply, computed(BROADCAST, 0.25, shape=(3, 2)), x), "x / 4"),
    (lambda: computed(a.subtract, computed(BROADCAST, 1.0, shape=(3, 2)), x), "1 - x"),
    (lambda: computed(a.negative, computed(BROADCAST, 3.0, shape=(3, 2))), "np.full((3, 2), -3.0)"),
    (lambda: ad.sum_to(ad.Tensor.of(computed(BROADCAST, 2.0, shape=(3, 2))), shape=(2,)).record, "np.full(2, 6.0)"),
    (lambda: computed(a.divide, 1.0, 3.0), "1 / 3"),
])
def test_constants_are_multiplied_out(build, text):
    assert written(build()) == text


def test_a_name_is_not_taken_apart():
    inner = of(lambda x, y, z: 2 * x)
    outer = computed(a.multiply, 3, inner)
    assert written(outer) == "6 * x"
    assert written(outer, {inner: "h"}) == "3 * h"


def test_what_is_used_twice_is_not_taken_apart():
    inner = of(lambda x, y, z: x * y)
    outer = computed(a.add, computed(a.multiply, 3, inner), computed(a.square, inner))
    assert written(outer) == "3 * g1 + g1**2"


def test_one_record_for_what_is_the_same_and_none_for_what_is_dead():
    dead = of(lambda x, y, z: np.sin(x))
    r = of(lambda x, y, z: np.exp(x * y) + np.exp(x * y))
    program = Program({"out": r}, order={dead: 0})
    assert dead not in program.records
    assert len([s for s in program.records if s.op]) == 5
    assert len([s for s in shared(program).records if s.op]) == 3


def test_options_and_numbers_tell_records_apart():
    r = of(lambda x, y, z: np.stack([x.sum(axis=0), x.sum(axis=1)[:2], x.sum(axis=0) * 1.0, x.sum(axis=0) * 1]))
    assert len([s for s in shared(Program({"out": r})).records if s.op and s.op.name == "sum"]) == 2
    assert len([s for s in shared(Program({"out": r})).records if s.op and s.op.name == "multiply"]) == 2


def test_substitution_reaches_into_what_is_put_in():
    """A form that refers to another that is itself replaced."""
    first, second = of(lambda x, y, z: x * y), of(lambda x, y, z: x / z)
    r = computed(a.add, first, second)
    form_of_first = computed(a.subtract, second, y)
    form_of_second = computed(a.negative, z)
    program = substituted(Program({"out": r}), {first: form_of_first, second: form_of_second})
    assert not {first, second} & set(program.records)
    assert {s.op.name for s in program.records if s.op} == {"add", "subtract", "negative"}


def test_dtypes_are_kept():
    f = leaf(np.float32([1.0, -2.0]))
    mask = computed(a.greater, f, 0)
    for r in [computed(a.multiply, computed(BROADCAST, np.float32(1.0), shape=(2,)), mask),
              computed(a.multiply, f, mask), computed(a.negative, computed(a.multiply, 1.0, mask))]:
        program = simplified(Program({"out": r}))
        assert program.outputs["out"].value.dtype == r.value.dtype


def test_arrays_become_inputs_and_expressions_of_them_records():
    y, xs = np.array([0.0, 1.0]), np.arange(6.0).reshape(3, 2)
    w = ad.Tensor([0.5, 0.6], requires_grad=True)
    loss = (y * np.log(w) + (1 - y) * np.log(1 - w) + xs[1] * w).sum()
    found = lifted(ad.Tape(loss))
    assert sorted(found.arrays.values()) == ["xs", "y"]
    tape = [r for r in ad.Tape(ad.Tensor.of(found.loss)).all if r.op]
    assert {r.op.name for r in tape} >= {"subtract", "getitem", "alias"}
    assert np.array_equal(found.loss.value, loss.data)


def test_an_expression_that_is_no_longer_true_is_an_array_of_its_own():
    y = np.array([0.0, 1.0])
    w = ad.Tensor([0.5, 0.6], requires_grad=True)
    z = w * y
    old, y = y, y + 1
    loss = (z + (1 - y) * w).sum()
    source = ad.source(loss)
    assert np.array_equal(source.function(**source.recorded)["w"], old + 1 - y)


@pytest.mark.parametrize("index", [(0,), (1, slice(None)), (slice(1, 3), slice(0, 2)), (slice(None), 1), (2, 1, 3),
                                   (slice(0, 4, 2), slice(None), slice(1, None, 3)), (slice(None), slice(1, 2))])
def test_the_index_of_a_view_is_found(index):
    base = np.arange(60.0).reshape(4, 3, 5)
    for array in (base, np.asfortranarray(base)):
        view = array[index]
        if isinstance(view, np.ndarray):
            found = index_of(view, array)
            assert found is None or (np.shares_memory(array[found], view) and np.array_equal(array[found], view))
            if all(n > 1 for n in view.shape):
                assert found is not None


def test_views_that_no_index_gives():
    base = np.arange(12.0).reshape(3, 4)
    for view in [base.T, base[::-1], base.reshape(2, 6), base.ravel()[1:], np.broadcast_to(base[0], (2, 4))]:
        found = index_of(view, base)
        assert found is None or np.array_equal(base[found], view)


def test_leaves_that_a_function_made_are_called_as_they_are_used():
    def made():
        return ad.Tensor([1.0, 2.0], requires_grad=True)
    weights, bias = made(), made()
    loss = (weights * 3 + bias).sum()
    names = names_of(ad.Tape(loss).all)
    assert {"weights", "bias"} <= set(names.values())
    assert ad.compare(loss, {"weights": [3.0, 3.0], "dbias": [1.0, 1.0]}).ok
