"""Arrays as they come: of no axes, empty, not contiguous, in Fortran's order, backwards."""

import numpy as np
import pytest

import autodiff as ad
from tests.table import TABLE, close, gradients_or_zeros, weight

ELEMENTWISE = [case for case in TABLE if case.group in ("unary", "binary")]
SEVERAL_AXES = [case for case in TABLE if any(len(case.args[i].shape) > 1 for i in case.wrt)]


def spaced(x):
    """Every second element along the last axis of something larger."""
    if not x.ndim:
        return x
    larger = np.full((*x.shape[:-1], 2 * x.shape[-1]), np.nan)
    larger[..., ::2] = x
    return larger[..., ::2]


LAYOUTS = {
    "fortran": lambda x: np.array(x, order="F"),
    "spaced": spaced,
    "backwards": lambda x: np.ascontiguousarray(x[::-1])[::-1] if x.ndim else x,
    "transposed": lambda x: np.array(x.T, order="C").T,
    "unaligned": lambda x: (
        np.frombuffer(b"\0" + x.tobytes(), dtype=np.uint8)[1:].view(x.dtype).reshape(x.shape) if x.size else x
    ),
}


def gradients(case, xs):
    ts = [ad.as_tensor(x, requires_grad=True) if i in case.wrt else x for i, x in enumerate(xs)]
    y = case.f(np, *ts)
    loss = (y * weight(y).astype(y.dtype)).sum()
    chosen = [ts[i] for i in case.wrt]
    return y.numpy(), ad.gradients(loss, chosen), ad.gradients(loss, chosen, record=True)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", SEVERAL_AXES, ids=str)
def test_layouts(case, layout):
    xs = case.arrays()
    y, gs, _ = gradients(case, xs)
    other = [LAYOUTS[layout](x) if i in case.wrt else x for i, x in enumerate(xs)]
    y2, gs2, recorded = gradients(case, other)
    close(y2, y, 1e-13)
    for g, g2, r in zip(gs, gs2, recorded):
        close(g2, g, 1e-12)
        assert np.array_equal(r.numpy(), g2)
        assert g2.flags.c_contiguous
        assert g2.flags.writeable
    for x, o in zip(xs, other):
        assert np.array_equal(x, o)


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (2, 0, 1), (1,), (1, 1)], ids=str)
@pytest.mark.parametrize("case", ELEMENTWISE, ids=str)
def test_shapes_without_axes_or_elements(case, shape):
    case = case.with_shape(*[shape for _ in case.wrt])
    xs = case.arrays()
    y, gs, recorded = gradients(case, xs)
    assert y.shape == shape
    for g, r in zip(gs, recorded):
        assert isinstance(g, np.ndarray)
        assert g.shape == shape
        assert g.dtype == np.float64
        assert np.array_equal(r.numpy(), g)
    ts = [ad.Tensor(x, requires_grad=True) for x in xs]
    first = ad.gradients(case.f(np, *ts).sum(), ts, record=True)
    second = gradients_or_zeros(sum((g * g).sum() for g in first), ts)
    assert [g.shape for g in second] == [shape] * len(xs)
    value, tangent = ad.jvp(lambda *xs: case.f(np, *xs), xs, xs)
    assert np.shape(value) == np.shape(tangent) == shape


@pytest.mark.parametrize("case", ELEMENTWISE, ids=str)
def test_zero_dimensional_arrays_and_scalars_agree(case):
    case = case.with_shape(*[() for _ in case.wrt])
    xs = case.arrays()
    a = gradients(case, xs)[1]
    b = gradients(case, [x[()] for x in xs])[1]
    c = gradients(case, [x.reshape(1) for x in xs])[1]
    for one, two, three in zip(a, b, c):
        close(two, one, 1e-15)
        close(three[0], one, 1e-14)  # scalars and arrays may differ by NumPy's vectorised functions


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min"])
@pytest.mark.parametrize("axis", [None, 0, -1])
def test_reductions_of_scalars(name, axis):
    x = ad.Tensor(2.0, requires_grad=True)
    y = getattr(np, name)(x, axis=axis)
    y.backward()
    assert y.shape == ()
    assert x.grad == 1


@pytest.mark.parametrize("axis", [None, 0, 1, (0, 1)])
def test_sums_of_nothing(axis):
    x = ad.Tensor(np.zeros((0, 3)), requires_grad=True)
    y = x.sum(axis=axis)
    assert np.array_equal(y.numpy(), np.zeros((0, 3)).sum(axis=axis))
    y.sum().backward()
    assert x.grad.shape == (0, 3)


def test_reductions_over_an_axis_beside_an_empty_one():
    for name in ("mean", "max", "min", "logsumexp"):
        x = ad.Tensor(np.zeros((0, 3)), requires_grad=True)
        y = ad.logsumexp(x, axis=1) if name == "logsumexp" else getattr(np, name)(x, axis=1)
        assert y.shape == (0,)
        y.sum().backward()
        assert x.grad.shape == (0, 3)
    for f in (ad.softmax, ad.log_softmax):
        x = ad.Tensor(np.zeros((0, 3)), requires_grad=True)
        f(x).sum().backward()
        assert x.grad.shape == (0, 3)


@pytest.mark.parametrize("bias", [(4,), (1,), ()])
@pytest.mark.parametrize("rows", [(5,), (), (2, 5), (0,)])
@pytest.mark.parametrize("dtypes", [("f4", "f4", "f4"), ("f4", "f4", "f8"), ("f8", "f4", "f4"), ("f4", "f4", ">f4"),
                                    ("i8", "i8", "f8"), ("f2", "f2", "f4"), ("f8", "f8", "i8")])
def test_the_bias_is_added_as_numpy_adds_it(dtypes, rows, bias):
    """Also where the sum does not fit the product's memory; and no operand is written to."""
    rng = np.random.default_rng(0)
    for n_out in (4, 1):
        x, W, b = operands = [np.asarray(rng.integers(-9, 9, shape)).astype(dtype)
                              for shape, dtype in zip([(*rows, 3), (n_out, 3), bias], dtypes)]
        before = [v.copy() for v in operands]
        y = ad.linear(x, W, b)
        assert y.dtype == (x @ W.T + b).dtype
        np.testing.assert_array_equal(y, x @ W.T + b)
        np.testing.assert_equal(operands, before)


@pytest.mark.parametrize(
    "shapes",
    [
        ((0, 4), (3, 4), (3,)),
        ((5, 0), (3, 0), (3,)),
        ((5, 4), (0, 4), (0,)),
        ((2, 0, 4), (3, 4), (3,)),
        ((2, 5, 4), (0, 4), (0,)),
        ((2, 5, 0), (3, 0), (3,)),
        ((0,), (3, 0), (3,)),
        ((4,), (0, 4), (0,)),
    ],
    ids=str,
)
def test_linear_of_nothing(shapes):
    ts = [ad.Tensor(np.ones(s), requires_grad=True) for s in shapes]
    y = ad.linear(*ts)
    assert y.shape == (*shapes[0][:-1], shapes[1][0])
    y.sum().backward()
    for t in ts:
        assert t.grad.shape == t.shape
    assert np.array_equal(ts[2].grad, np.full(shapes[2], np.prod(shapes[0][:-1])))


def test_concatenate_stack_and_split_of_nothing():
    a, b = ad.Tensor(np.ones((0, 3)), requires_grad=True), ad.Tensor(np.ones((2, 3)), requires_grad=True)
    (np.concatenate([a, b, a]) * 2.0).sum().backward()
    assert a.grad.shape == (0, 3)
    assert np.array_equal(b.grad, np.full((2, 3), 2.0))
    c = ad.Tensor(np.ones((2, 3)), requires_grad=True)
    first, empty, rest = np.split(c, [1, 1])
    (first.sum() + empty.sum() + 3 * rest.sum()).backward()
    assert np.array_equal(c.grad, [[1, 1, 1], [3, 3, 3]])
    assert empty.shape == (0, 3)


def test_large_alternating_layout_in_a_net():
    """A Fortran-ordered batch through two layers gives what a C-ordered one gives."""
    rng = np.random.default_rng(0)
    x, W, V = rng.normal(size=(30, 8)), rng.normal(size=(5, 8)), rng.normal(size=(1, 5))

    def run(x, W, V):
        ts = [ad.as_tensor(a, requires_grad=True) for a in (x, W, V)]
        ad.binary_cross_entropy_with_logits(
            ad.linear(np.tanh(ad.linear(ts[0], ts[1])), ts[2]), np.ones((30, 1))
        ).mean().backward()
        return [t.grad for t in ts]

    for a, b in zip(run(x, W, V), run(np.asfortranarray(x), np.asfortranarray(W), V)):
        close(a, b, 1e-13)
        assert b.flags.c_contiguous
