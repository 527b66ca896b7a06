"""The plan of a workspace: what is needed at the same time never overlaps, and what is done with is used again."""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import autodiff as ad
from autodiff.compiler.lowering import less_one_hot
from autodiff.compiler.planning import ALIGNED, Memory, read_by, release, room, taken
from autodiff.compiler.specialised import Specialised
from autodiff.compiler.tracing import is_array, traced
from tests.compiler.test_random_programs import programs

QUICK = settings(max_examples=40, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
                 suppress_health_check=list(HealthCheck))
X = np.linspace(-1, 1, 12).reshape(3, 4)


def specialised(f, *args):
    return Specialised(traced(f, args, {}, is_array), jit=False)


def overlapping(a, b, memory):
    i, j = memory.offsets[a], memory.offsets[b]
    return i < j + b.value.nbytes and j < i + a.value.nbytes


def intervals(schedule, memory):
    """When each planned result is written, and when it, or what may share its memory, is last read: by brute force."""
    found = {}
    for i, node in enumerate(schedule.nodes):
        for r in node.results:
            if r in memory.offsets:
                readers = [j for j, other in enumerate(schedule.nodes)
                           if any(r in schedule.roots(x) for x in read_by(other))]
                kept = any(r in schedule.roots(y) for y in schedule.outputs)
                found[r] = (i, len(schedule.nodes) if kept else max(readers, default=i))
    return found


def check(whole):
    """No two results needed at the same time overlap; only what is done element by element is done in place."""
    memory, live = whole.memory, intervals(whole.schedule, whole.memory)
    for r, (made, last) in live.items():
        assert memory.offsets[r] % ALIGNED == 0
        assert memory.offsets[r] + r.value.nbytes <= memory.size
        for s, (begun, done) in live.items():
            if r is s or not overlapping(r, s, memory):
                continue
            assert last <= begun or done <= made, whole.source
            if last == begun:               # s is written while r is read: over it exactly
                assert memory.offsets[r] == memory.offsets[s]
                assert s.op.kind == "elementwise" or s.op is less_one_hot
                assert r.value.shape == s.value.shape and r.value.dtype == s.value.dtype
    assert memory.size <= memory.unshared
    assert memory.unshared == sum(map(room, memory.offsets))


@QUICK
@given(programs(most=30))
def test_lifetimes_never_overlap(program):
    xs = program.inputs()
    with np.errstate(all="ignore"):
        try:
            program(*map(ad.Tensor, xs))
        except Exception:
            return
        check(specialised(program, *xs))
        check(specialised(lambda *xs: program.total(*xs), *xs))


def test_a_long_chain_takes_the_room_of_two():
    def chain(x):
        for _ in range(50):
            x = np.tanh(x @ np.eye(4))
        return x.sum()

    whole = specialised(chain, X)
    check(whole)
    assert whole.memory.size <= 2 * room(ad.Tensor(X).record)
    assert whole.memory.unshared == 100 * room(ad.Tensor(X).record)


def test_elementwise_operations_are_done_in_place():
    def chain(x):
        for _ in range(10):
            x = np.exp(np.sin(x))
        return x.sum()

    whole = specialised(chain, X)
    assert len(set(whole.memory.offsets.values())) == 1


def test_operators_are_done_in_place_too():
    """They are called as ufuncs, like exp and sin."""
    whole = specialised(lambda x: (1 - (-(np.exp(x) * 2) + 1) / 3).sum(), X)
    check(whole)
    assert len(set(whole.memory.offsets.values())) == 1


def test_ones_are_taken_off_in_place():
    """Off softmax(z) at each row's class, for the last who reads that; the first needs a copy."""
    def f(z, labels, others):
        def loss(z):
            return (ad.cross_entropy_of_labels(z, labels) + ad.cross_entropy_of_labels(z, others)).sum()

        return np.tanh(ad.grad(loss)(z)).sum()

    args = X, np.array([0, 3, 1]), np.array([2, 2, 0])
    whole = specialised(f, *args)
    check(whole)
    lines = [line for line in whole.source.splitlines() if "-= 1" in line]
    assert ["copyto(" in line for line in lines] == [True, False]
    assert ad.compile(f, jit=False)(*args) == f(*args)


def test_what_is_handed_out_is_not_planned():
    whole = specialised(lambda x: (np.exp(x), np.exp(x) + 1), X)
    assert not whole.memory.offsets


def test_what_a_view_shows_stays():
    def f(x):
        y = np.exp(x)
        rows = y[1:]
        z = np.sin(y)                   # y is read here last, but for its rows
        return (z @ z.T).sum() + rows.sum()

    check(specialised(f, X))


def test_what_an_unknown_operation_may_hand_out_stays():
    @ad.op
    def same(x):
        return x

    same.derivative(lambda y, x: 1.0)

    def f(x):
        y = same(np.exp(x))
        z = np.sin(x) * 2
        return (y * 1.0).sum() + (z * z).sum() + y.sum()

    check(specialised(f, X))
    compiled = ad.compile(f, jit=False)
    assert compiled(X) == f(X)


@QUICK
@given(st.lists(st.tuples(st.integers(1, 20), st.booleans()), max_size=60))
def test_memory_given_back_is_whole_again(requests):
    """Places never overlap; when all are given back, one free piece is left."""
    memory, free, held = Memory(), [], []
    for size, first in requests:
        size *= ALIGNED
        offset = taken(free, size, memory)
        for start, length in [*held, *free]:
            assert offset + size <= start or start + length <= offset
        held.append((offset, size))
        if first and held:
            release(free, *held.pop(0))
    for place in held:
        release(free, *place)
    assert free == ([(0, memory.size)] if memory.size else [])


@pytest.mark.parametrize("jit", [False, True])
def test_empty_results_take_no_room(jit):
    f = lambda x: (np.exp(x) @ np.ones((4, 2))).sum()
    compiled = ad.compile(f, jit=jit)
    assert compiled(np.zeros((0, 4))) == 0
    assert all(program.memory.size == 0 for program in compiled.kinds)
