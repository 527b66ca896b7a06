"""The order of a program: nodes after what they read, loops of records that belong together, and their roles."""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

import autodiff as ad
from autodiff.compiler.loop_text import fits
from autodiff.compiler.lowering import folded, lowered
from autodiff.compiler.planning import read_by
from autodiff.compiler.schedule import COLUMN, FULL, LATE, LONGEST, ROW, SCALAR, Loop, aligned, scheduled, sizes
from autodiff.compiler.tracing import is_array, traced
from autodiff.program.passes import shared
from tests.compiler.test_random_programs import programs

QUICK = settings(max_examples=60, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
                 suppress_health_check=list(HealthCheck))
X = np.linspace(-1, 1, 12).reshape(3, 4)


def program_of(f, *args, native=True):
    return shared(folded(lowered(traced(f, args, {}, is_array).program, native)))


def schedule_of(f, *args, first=None):
    program = program_of(f, *args)
    return scheduled(program, fits, None if first is None else [list(program.outputs.values())[i] for i in first])


def roles(f, *args):
    """The roles in each loop, by the operations' names."""
    loops = [node.loop for node in schedule_of(f, *args).nodes if node.loop]
    return [{r.op.name: role for r, role in loop.roles.items()} for loop in loops]


def check(schedule):
    """Everything is there before it is read, and each record is computed once."""
    done = set()
    for node in schedule.nodes:
        for x in read_by(node):
            for root in schedule.roots(x):
                assert root.op is None or root in done
        for r in node.records:
            assert r not in done
            inside = {schedule.root(x) for x in r.inputs if hasattr(x, "op")} & set(node.records)
            assert all(node.records.index(x) < node.records.index(r) for x in inside)
        done |= set(node.records)
        assert set(node.results) <= set(node.records)
        if node.loop is not None:
            assert len(node.records) <= LONGEST
            for r, role in [*node.loop.roles.items(), *node.loop.reads.items()]:
                rows, columns = node.loop.rows, node.loop.columns
                assert np.size(r.value) == {FULL: rows * columns, COLUMN: rows, ROW: columns, SCALAR: 1}[role], r
    for y in schedule.outputs:
        assert schedule.root(y).op is None or schedule.root(y) in done


@QUICK
@given(programs(most=30))
def test_what_is_read_is_there(program):
    xs = program.inputs()
    with np.errstate(all="ignore"):
        try:
            program(*map(ad.Tensor, xs))
        except Exception:
            return
        check(schedule_of(program, *xs))
        check(schedule_of(ad.value_and_grad(program.total, argnums=tuple(range(len(xs)))), *xs))
        check(scheduled(program_of(program, *xs, native=False)))


def test_elementwise_operations_are_one_loop():
    [loop] = roles(lambda x: np.exp(np.sin(x) * 2) + x, X)
    assert set(loop.values()) == {FULL}
    [node] = schedule_of(lambda x: np.exp(np.sin(x) * 2) + x, X).nodes
    assert len(node.results) == 1


def test_a_softmax_is_one_loop_over_rows():
    [loop] = roles(lambda x: ad.softmax(x), X)
    assert loop["exp"] == FULL and loop["sum"] == COLUMN and loop["max"] == COLUMN


@pytest.mark.parametrize(("axis", "role"), [(0, ROW), (1, COLUMN), (None, SCALAR), (-1, COLUMN), ((0, 1), SCALAR)])
def test_reductions_join_the_loop_of_what_they_reduce(axis, role):
    [loop] = roles(lambda x: np.sin(x).sum(axis=axis), X)
    assert loop == {"sin": FULL, "sum": role}


def test_a_reduction_of_other_rows_does_not():
    """Rows of a view may be others than those of what it shows."""
    f = lambda x: ((x * 1.5).reshape(3, 2, 2).sum(axis=-1), (x * 1.5).reshape(2, 6).sum(axis=1))
    check(schedule_of(f, X))
    for a, b in zip(ad.compile(f, jit=True)(X), f(X)):
        np.testing.assert_allclose(a, b)


def test_no_cycle_through_a_product():
    """y joins neither the loop that x @ x needs, nor one that needs it."""
    def f(x):
        a = np.sin(x)
        b = a @ a.T @ a
        return a * b + np.cos(b) * a

    check(schedule_of(f, X))


def test_what_comes_first_comes_first():
    """Nothing that the early outputs do not need runs before they are there."""
    def f(x):
        late = np.exp(x) * 3
        early = np.sin(x).sum()
        return early, late * early

    schedule = schedule_of(f, X, first=[0])
    check(schedule)
    levels = [node.level >= LATE for node in schedule.nodes]
    assert levels == sorted(levels) and any(levels) and not all(levels)
    assert not any(r.op.name == "exp" for node in schedule.nodes if node.level < LATE for r in node.records)


def test_a_long_chain_is_cut():
    def chain(x):
        for i in range(4 * LONGEST):
            x = np.sin(x) + i
        return x

    schedule = schedule_of(chain, X)
    check(schedule)
    assert len(schedule.nodes) >= 8


@pytest.mark.parametrize(("shape", "expected"), [
    ((), (1, 1)), ((5,), (1, 5)), ((3, 4), (3, 4)), ((3, 1), (1, 3)), ((1, 4), (1, 4)), ((2, 3, 4), (6, 4)),
    ((2, 3, 1), (1, 6)), ((1, 1, 1), (1, 1))])
def test_sizes(shape, expected):
    assert sizes(shape) == expected


@pytest.mark.parametrize(("shape", "whole", "role"), [
    ((), (3, 4), SCALAR), ((1, 1), (3, 4), SCALAR), ((3, 4), (3, 4), FULL), ((3, 1), (3, 4), COLUMN),
    ((4,), (3, 4), ROW), ((1, 4), (3, 4), ROW), ((1, 4), (2, 3, 4), ROW), ((2, 3, 1), (2, 3, 4), COLUMN),
    ((3, 4), (2, 3, 4), None),
    ((2, 1, 4), (2, 3, 4), None), ((2, 1, 1), (2, 3, 4), None), ((3, 1), (2, 3, 4), None)])
def test_how_operands_are_broadcast(shape, whole, role):
    assert aligned(shape, whole, Loop(*sizes(whole))) == role
