"""einsum over random subscripts, always in an optimised order; the other products against NumPy's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autodiff as ad
from autodiff.ops import contraction
from tests.table import close, complex_step, gradients_or_zeros, weight


@st.composite
def programs(draw):
    """Subscripts and the shapes of their operands: repeated and lone labels, ellipses, stretched axes."""
    sizes = {label: draw(st.integers(1, 3)) for label in "abcd"}
    batch = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
    inputs, shapes = [], []
    for _ in range(draw(st.integers(1, 3))):
        labels = draw(st.text("abcd", max_size=3))
        shape = [sizes[label] for label in labels]
        dots = draw(st.booleans())
        at = draw(st.integers(0, len(labels)))
        hidden = batch[draw(st.integers(0, len(batch))):] if dots else ()
        inputs.append(labels[:at] + "..." * dots + labels[at:])
        shapes.append((*shape[:at], *(draw(st.sampled_from([1, n])) for n in hidden), *shape[at:]))
    text = ",".join(inputs)
    if draw(st.booleans()):
        used = sorted(set(text) & set(sizes))
        output = "".join(draw(st.permutations(used))[:draw(st.integers(0, 4))])
        text += "->" + ("..." if "..." in text else "") + output
    return text, shapes


@settings(max_examples=150)
@given(program=programs())
def test_any_subscripts(program):
    text, shapes = program
    rng = np.random.default_rng(0)
    xs = [rng.normal(size=s) for s in shapes]
    expected = np.einsum(text, *xs)
    ts = [ad.Tensor(x, requires_grad=True) for x in xs]
    y = np.einsum(text, *ts)
    assert y.shape == expected.shape
    close(y.numpy(), expected, 1e-13)
    w = weight(y)
    total = (y * w).sum()
    first = ad.gradients(total, ts, record=True)
    for i, (g, plain) in enumerate(zip(first, ad.gradients(total, ts))):
        assert np.array_equal(g.numpy(), plain)
        close(plain, complex_step(lambda *xs: np.sum(np.einsum(text, *xs) * w), xs, i), 1e-12)
    if len(xs) > 1:
        directions = [weight(x, 5 + i) for i, x in enumerate(xs)]
        second = gradients_or_zeros(sum((g * d).sum() for g, d in zip(first, directions)), ts)
        for h, e in zip(second, ad.hvp(lambda *xs: (np.einsum(text, *xs) * w).sum(), xs, directions)):
            close(h, e, 1e-11)
    _, tangent = ad.jvp(lambda *xs: np.einsum(text, *xs), xs, xs)
    close(tangent, len(xs) * expected, 1e-12)


def test_the_rule_swaps_the_subscripts():
    a, b = (ad.Tensor(np.ones(s), requires_grad=True) for s in [(2, 3), (3, 4)])
    [ga, gb] = ad.gradients(np.einsum("ij,jk->ik", a, b).sum(), [a, b], record=True)
    assert [g.record.options["subscripts"] for g in (ga, gb)] == ["ik,jk->ij", "ij,ik->jk"]


def test_never_unoptimised(monkeypatch):
    """A chain of 6 matrices and its gradient: a naive sum over all indices would take 40^7 products."""
    seen = []
    numpys = np.einsum

    def watched(*args, optimize=False):
        seen.append(optimize)
        return numpys(*args, optimize=optimize)

    monkeypatch.setattr(contraction.np, "einsum", watched)
    ts = [ad.Tensor(np.full((40, 40), 0.1), requires_grad=True) for _ in range(6)]
    loss = contraction.einsum("ab,bc,cd,de,ef,fg->", *ts)
    ad.gradients(loss, ts)
    assert len(seen) > 6
    assert all(seen)


@pytest.mark.parametrize(("text", "shapes", "words"), [
    ("ij,jk", [(2, 3), (4, 3)], "einsum"), ("ij->ik", [(2, 3)], "'k'"), ("ij->ii", [(2, 3)], "twice"),
    ("ij", [(2,)], "1 axes"),
    ("ii", [(2, 3)], "'i'"), ("i,j", [(2,)], "2 subscripts"), ("...i->i", [(2, 3)], "ellipses"),
])
def test_wrong_subscripts(text, shapes, words):
    with pytest.raises((ValueError, ad.AutodiffError), match=words):
        np.einsum(text, *(ad.Tensor(np.ones(s), requires_grad=True) for s in shapes))


@settings(max_examples=60)
@given(data=st.data(), n=st.integers(0, 2))
def test_tensordot(data, n):
    shared = data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    left, right = (data.draw(st.lists(st.integers(0, 3), max_size=2)) for _ in range(2))
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(*left, *shared)), rng.normal(size=(*shared, *right))
    ta, tb = ad.Tensor(a, requires_grad=True), ad.Tensor(b, requires_grad=True)
    y = np.tensordot(ta, tb, n)
    close(y.numpy(), np.tensordot(a, b, n), 1e-13)
    w = weight(y)
    ga, gb = ad.gradients((y * w).sum(), [ta, tb])
    close(ga, np.tensordot(w, b, axes=(range(len(left), w.ndim), range(n, b.ndim))), 1e-13)
    close(gb, np.tensordot(a, w, axes=(range(len(left)), range(len(left)))), 1e-13)


@pytest.mark.parametrize(("a", "b"), [
    ((), ()), ((), (3,)), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (4, 3, 2)), ((2, 2, 3), (3, 1)),
    ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((2, 0), (4, 0, 3)),
], ids=str)
def test_dot_of_every_rank(a, b):
    a, b = np.ones(a) * 2, np.ones(b) * 3
    ta, tb = ad.Tensor(a, requires_grad=True), ad.Tensor(b, requires_grad=True)
    for y in (np.dot(ta, tb), ta.dot(tb), np.dot(a, tb), np.dot(ta, b)):
        assert np.array_equal(y.numpy(), np.dot(a, b))
    w = weight(np.dot(a, b))
    for g, x, i in zip(ad.gradients((np.dot(ta, tb) * w).sum(), [ta, tb]), (a, b), (0, 1)):
        close(g, complex_step(lambda a, b: np.sum(np.dot(a, b) * w), [a, b], i), 1e-13)
        assert g.shape == x.shape


def test_products_of_a_list_and_a_tensor():
    t = ad.Tensor([1.0, 2.0], requires_grad=True)
    assert np.array_equal(np.dot([3.0, 4.0], t).numpy(), 11.0)
    assert np.array_equal(np.outer([3.0, 4.0], t).numpy(), [[3, 6], [4, 8]])
    assert np.array_equal(np.einsum("i,i", [3.0, 4.0], t).numpy(), 11.0)
    assert np.array_equal(np.kron([1.0, 0.0], t).numpy(), [1, 2, 0, 0])
    assert np.array_equal(np.tensordot([3.0, 4.0], t, 1).numpy(), 11.0)
    assert np.array_equal(np.inner(t, [3.0, 4.0]).numpy(), 11.0)
