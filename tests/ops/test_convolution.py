"""Convolution and pooling against loops and SciPy, over every option; their rules, edges and refusals."""

import itertools
import warnings

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

import autodiff as ad
from autodiff.ops import convolution
from autodiff.ops.convolution import conv_transpose, conv_weight
from autodiff.ops.pooling import avg_unpool
from tests.table import close, complex_step

few = settings(max_examples=60, deadline=None)


# ---- one number after another, as the definitions say

def pairs(padding, kernel, dilation):
    """The margins, from every way to say them."""
    if padding == "same":
        return [((d * (k - 1)) // 2, d * (k - 1) - (d * (k - 1)) // 2) for k, d in zip(kernel, dilation)]
    return [(p, p) if isinstance(p, int) else p for p in padding]


def windows_of(sizes, kernel, stride, pads, dilation):
    """For each place of the result, where on x each element of the window lies; None in the margin."""
    counts = [(n + a + b - d * (k - 1) - 1) // s + 1
              for n, k, s, (a, b), d in zip(sizes, kernel, stride, pads, dilation)]
    for place in np.ndindex(*counts):
        held = []
        for offset in np.ndindex(*kernel):
            at = tuple(s * p + d * o - a for p, o, s, (a, _), d in zip(place, offset, stride, pads, dilation))
            held.append((offset, at if all(0 <= i < n for i, n in zip(at, sizes)) else None))
        yield place, counts, held


def conv_by_loops(x, w, b, stride, pads, dilation, groups):
    samples, out = len(x), len(w)
    per, size = w.shape[1], out // groups
    y = None
    for place, counts, held in windows_of(x.shape[2:], w.shape[2:], stride, pads, dilation):
        if y is None:
            y = np.zeros((samples, out, *counts), np.result_type(x, w))
        for n, o in itertools.product(range(samples), range(out)):
            group = o // size
            y[(n, o, *place)] = b[o] + sum(
                x[(n, group * per + c, *at)] * w[(o, c, *offset)]
                for offset, at in held if at is not None for c in range(per))
    return y


def pool_by_loops(x, kernel, stride, pads, dilation, how):
    y = None
    for place, counts, held in windows_of(x.shape[2:], kernel, stride, pads, dilation):
        if y is None:
            y = np.zeros((*x.shape[:2], *counts))
        for n, c in np.ndindex(*x.shape[:2]):
            y[(n, c, *place)] = how([x[(n, c, *at)] for _, at in held if at is not None], len(held))
    return y


@st.composite
def layouts(draw, pooling=False):
    """Sizes and options that fit together, and arrays of these, laid out in memory in any order."""
    dims = draw(st.integers(1, 2))
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(dims))
    dilation = tuple(draw(st.integers(1, 2)) for _ in range(dims))
    stride = tuple(draw(st.integers(1, 3)) for _ in range(dims))
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation)]
    most = [r // 2 for r in reach] if pooling else [r + 1 for r in reach]
    padding = tuple(draw(st.one_of(st.integers(0, m), st.tuples(st.integers(0, m), st.integers(0, m)))) for m in most)
    if not pooling and draw(st.booleans()) and set(stride) == {1}:
        padding = "same"
    room = [sum(pair) for pair in pairs(padding, kernel, dilation)]
    sizes = tuple(draw(st.integers(max(1, r - p), r + 3)) for r, p in zip(reach, room))
    groups = 1 if pooling else draw(st.integers(1, 3))
    channels, out = (draw(st.integers(1, 2)) * groups for _ in range(2))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))

    def array(*shape):
        order = draw(st.permutations(range(len(shape))))
        return np.transpose(rng.normal(size=[shape[i] for i in order]), np.argsort(order))

    x, w, b = array(draw(st.integers(1, 3)), channels, *sizes), array(out, channels // groups, *kernel), array(out)
    return x, w, b, {"stride": stride, "padding": padding, "dilation": dilation}, groups


@few
@given(layouts())
def test_convolution_against_loops(drawn):
    x, w, b, options, groups = drawn
    expected = conv_by_loops(x, w, b, options["stride"], pairs(options["padding"], w.shape[2:], options["dilation"]),
                             options["dilation"], groups)
    close(ad.conv(x, w, b, **options, groups=groups), expected, 1e-13)


@few
@given(layouts())
def test_the_three_are_one_sum(drawn):
    """<conv(x, w), g> = <x, conv_transpose(g, w)> = <w, conv_weight(x, g)>, exactly as a bilinear map has it."""
    x, w, _, options, groups = drawn
    options = {**options, "groups": groups}
    y = ad.conv(x, w, **options)
    g = np.random.default_rng(1).normal(size=y.shape)
    back = conv_transpose(g, w, shape=x.shape[2:], **options)
    weight = conv_weight(x, g, window=w.shape[2:], **options)
    assert back.shape == x.shape
    assert weight.shape == w.shape
    total, scale = np.sum(y * g), np.sum(np.abs(y * g))
    assert abs(np.sum(x * back) - total) <= 1e-12 * scale
    assert abs(np.sum(w * weight) - total) <= 1e-12 * scale


@settings(max_examples=20, deadline=None)
@given(layouts())
def test_gradients_of_any_order(drawn):
    x, w, b, options, groups = drawn
    rng = np.random.default_rng(2)

    def f(x, w, b):
        y = ad.conv(x, w, b, **options, groups=groups)
        return (y * y * y).sum()

    def first(x, w, b):
        return sum((g * v).sum() for g, v in zip(ad.grad(f, (0, 1, 2))(x, w, b), directions))

    directions = [rng.normal(size=v.shape) for v in (x, w, b)]
    for i, g in enumerate(ad.grad(f, (0, 1, 2))(x, w, b)):
        close(g, complex_step(lambda *xs: np.sum(ad.conv(*xs, **options, groups=groups) ** 3), [x, w, b], i), 1e-11)
    h = 1e-5
    moved = [first(*(v + s * h * d for v, d in zip((x, w, b), directions))) for s in (1, -1)]
    second = ad.hvp(f, (x, w, b), tuple(directions))
    along = sum(np.sum(v * d) for v, d in zip(second, directions))
    assert along == pytest.approx((moved[0] - moved[1]) / (2 * h), rel=1e-6, abs=1e-4)


def test_against_scipy():
    rng = np.random.default_rng(0)
    for shape, window in [((2, 3, 20), (4, 3, 5)), ((2, 3, 9, 11), (4, 3, 3, 4)), ((1, 2, 5, 6, 7), (2, 2, 2, 3, 3))]:
        x, w = rng.normal(size=shape), rng.normal(size=window)
        expected = np.stack([np.stack([scipy.signal.correlate(one, k, "valid")[0] for k in w]) for one in x])
        close(ad.conv(x, w), expected, 1e-13)
        for dtype, rtol in ((np.float32, 1e-5), (np.float16, 2e-2), (np.longdouble, 1e-13), (complex, 1e-13)):
            y = ad.conv(x.astype(dtype), w.astype(dtype))
            assert y.dtype == dtype
            close(y.astype(complex), expected, rtol)


def test_against_autograd():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import autograd
        import autograd.numpy as anp
        from autograd.scipy.signal import convolve

        rng = np.random.default_rng(0)
        x, w, g = rng.normal(size=(2, 3, 6, 5)), rng.normal(size=(4, 3, 2, 3)), rng.normal(size=(2, 4, 5, 3))

        def theirs(x, w):                            # autograd's kernel is (in, out, ...), and flipped
            y = convolve(x, anp.transpose(w[:, :, ::-1, ::-1], (1, 0, 2, 3)), axes=([2, 3], [2, 3]),
                         dot_axes=([1], [0]), mode="valid")
            return anp.sum(y * g)

        ours = ad.grad(lambda x, w: (ad.conv(x, w) * g).sum(), (0, 1))(x, w)
        for i in (0, 1):
            close(ours[i], autograd.grad(theirs, i)(x, w), 1e-12)


# ---- how it is computed makes no difference

@pytest.mark.parametrize("block", [1, 4096, 1 << 40])
def test_blocks_of_any_size(block, monkeypatch):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(3, 4, 17, 9)), rng.normal(size=(6, 2, 3, 3))
    options = {"stride": (2, 1), "padding": 1, "groups": 2}
    y = ad.conv(x, w, **options)
    there = [y, conv_transpose(y, w, shape=(17, 9), **options), conv_weight(x, y, window=(3, 3), **options)]
    monkeypatch.setattr(convolution, "BLOCK", block)
    here = [ad.conv(x, w, **options), conv_transpose(y, w, shape=(17, 9), **options),
            conv_weight(x, y, window=(3, 3), **options)]
    for a, b in zip(here, there):
        close(a, b, 1e-13)


@pytest.mark.parametrize("out", [1, 4])
def test_both_ways_back_agree(out):
    """With stride 1 the gradient of x is a convolution, or not, by the number of channels alone."""
    rng = np.random.default_rng(out)
    w, g = rng.normal(size=(out, 2, 3, 2)), rng.normal(size=(2, out, 5, 4))
    padded = [(a, b) for a in range(4) for b in range(4)]
    for pair in padded:
        shape = (5 + 2 - sum(pair), 4 + 1)
        if shape[0] < 1:
            continue
        back = conv_transpose(g, w, shape=shape, padding=(pair, (0, 0)))
        x = rng.normal(size=(2, 2, *shape))
        assert np.sum(x * back) == pytest.approx(np.sum(ad.conv(x, w, padding=(pair, (0, 0))) * g), rel=1e-11)


def test_no_samples():
    x, w = ad.Tensor(np.zeros((0, 2, 5, 5)), requires_grad=True), ad.Tensor(np.ones((3, 2, 3, 3)), requires_grad=True)
    for pool in (lambda y: ad.max_pool(y, window=2, stride=1), lambda y: ad.avg_pool(y, window=2, stride=1)):
        y = pool(ad.conv(x, w, np.ones(3), padding=1))
        assert y.shape == (0, 3, 4, 4)
        gx, gw = ad.gradients(y.sum(), [x, w])
        assert gx.shape == x.shape
        assert np.array_equal(gw, np.zeros(w.shape))


def test_integers_and_infinities():
    x = np.arange(12).reshape(1, 1, 3, 4)
    assert ad.conv(x, np.ones((1, 1, 2, 2), int)).tolist() == [[[[10, 14, 18], [26, 30, 34]]]]
    assert ad.max_pool(x - 20, window=2, padding=1).tolist() == [[[[-20, -18, -17], [-12, -10, -9]]]]
    assert ad.avg_pool(x, window=2).tolist() == [[[[2.5, 4.5]]]]
    y = ad.conv(np.array([[[np.inf, 1.0, 1.0, 1.0]]]), np.ones((1, 1, 2)))
    assert y.tolist() == [[[np.inf, 2.0, 2.0]]]


def test_contributions_are_the_users_own():
    """What arrives in .grad is contiguous, writable, and shared with nothing."""
    rng = np.random.default_rng(0)
    x = ad.Tensor(rng.normal(size=(2, 3, 5, 5)), requires_grad=True)
    w = ad.Tensor(rng.normal(size=(3, 3, 3, 3)), requires_grad=True)
    ad.max_pool(ad.conv(x, w, padding=1), window=2).sum().backward()
    for t in (x, w):
        assert t.grad.flags.c_contiguous
        assert t.grad.flags.owndata
        assert t.grad.flags.writeable


# ---- pooling

@few
@given(layouts(pooling=True), st.booleans())
def test_pooling_against_loops(drawn, include):
    x, w, _, options, _ = drawn
    kernel, pads = w.shape[2:], pairs(options["padding"], w.shape[2:], options["dilation"])
    top = pool_by_loops(x, kernel, options["stride"], pads, options["dilation"],
                        lambda held, n: max(held, default=-np.inf))         # a dilated window may see padding alone
    assert np.array_equal(ad.max_pool(x, window=kernel, **options), top)
    pads = [(min(a, k // 2), min(b, k // 2)) for (a, b), k in zip(pads, kernel)]
    sizes = [n + a + b - k for n, k, (a, b) in zip(x.shape[2:], kernel, pads)]
    if min(sizes) >= 0:
        mean = pool_by_loops(x, kernel, options["stride"], pads, (1,) * len(kernel),
                             lambda held, n: sum(held) / (n if include else len(held)))
        found = ad.avg_pool(x, window=kernel, stride=options["stride"], padding=pads, count_include_pad=include)
        close(found, mean, 1e-13)
        g = np.random.default_rng(3).normal(size=found.shape)
        back = avg_unpool(g, shape=x.shape[2:], window=kernel, stride=options["stride"], padding=pads,
                          count_include_pad=include)
        assert np.sum(back * x) == pytest.approx(np.sum(found * g), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize(("n", "window", "stride", "padding", "expected"), [
    (5, 2, 2, 0, 3), (5, 3, 2, 0, 2), (6, 3, 2, 0, 3), (7, 2, 3, 0, 3), (4, 2, 2, 1, 3), (5, 2, 2, 1, 3),
    (1, 2, 2, 1, 1), (3, 1, 3, 0, 1), (4, 1, 2, 0, 2),
])
def test_sizes_rounded_up(n, window, stride, padding, expected):
    """As PyTorch counts: a last window that would start in the margin after x is left out."""
    x = np.arange(1.0, n + 1).reshape(1, 1, n)
    for pool in (ad.max_pool, ad.avg_pool):
        y = pool(x, window=window, stride=stride, padding=padding, ceil_mode=True)
        assert y.shape == (1, 1, expected)
    last = range(max(0, (expected - 1) * stride - padding), min(n, (expected - 1) * stride - padding + window))
    assert ad.max_pool(x, window=window, stride=stride, padding=padding, ceil_mode=True)[0, 0, -1] == last[-1] + 1
    mean = ad.avg_pool(x, window=window, stride=stride, padding=padding, ceil_mode=True, count_include_pad=False)
    assert mean[0, 0, -1] == pytest.approx(np.mean([i + 1 for i in last]))


def pooled_gradient(x, **options):
    return ad.grad(lambda x: ad.max_pool(x, **options).sum())(np.array([[x]]))[0, 0].tolist()


def test_ties_and_nan():
    """Of equal elements the first, row by row, has the gradient; a NaN is the largest."""
    assert pooled_gradient([2.0, 2.0, 1.0, 1.0], window=2) == [1, 0, 1, 0]
    assert pooled_gradient([0.0, -0.0, 3.0], window=3) == [0, 0, 1]
    assert pooled_gradient([1.0, 5.0, 5.0, 1.0], window=3, stride=1) == [0, 2, 0, 0]
    assert pooled_gradient([[1.0, 7.0], [7.0, 7.0]], window=2) == [[0, 1], [0, 0]]
    assert pooled_gradient([1.0, np.nan, np.nan, 2.0, 3.0, 1.0], window=3) == [0, 1, 0, 0, 1, 0]
    assert pooled_gradient([-np.inf, -np.inf], window=2) == [1, 0]
    assert np.isnan(ad.max_pool(np.array([[[1.0, np.nan]]]), window=2)).all()
    assert pooled_gradient([-np.inf, 1.0], window=2, padding=1) == [1, 1]         # the margin is never the largest
    assert pooled_gradient([-np.inf, np.nan], window=2, padding=1) == [1, 1]


def test_a_tie_is_a_kink():
    """The checks leave aside what the choice at a tie decides, and nothing else."""
    x = np.array([[[1.0, 1.0, 0.0, 3.0, 2.0, 2.0]]])
    ad.gradcheck(lambda x: (ad.max_pool(x, window=2) ** 2).sum(), x)
    ad.gradcheck(lambda x: (ad.max_pool(x, window=3, stride=1, padding=1) ** 2).sum(), x)
    wrong = ad.op(lambda x: x * x)
    wrong.vjp(lambda g, y, x: 3 * g * x)
    with pytest.raises(ad.GradcheckError):
        ad.gradcheck(lambda x: wrong(ad.max_pool(x, window=2)).sum(), x)


# ---- printed

@pytest.mark.parametrize("options", [
    {}, {"padding": "same"}, {"padding": "valid"}, {"padding": ((1, 2), (0, 1)), "stride": (2, 1)}, {"groups": 2},
    {"padding": (1, 2), "dilation": (2, 1)}, {"stride": 3, "groups": 4},
], ids=str)
@pytest.mark.parametrize("pool", [{"window": 2}, {"window": (2, 1), "stride": 1, "padding": (1, 0)},
                                  {"window": 2, "ceil_mode": True}], ids=str)
def test_the_printed_source_is_short_and_right(options, pool):
    rng = np.random.default_rng(0)
    x = ad.Tensor(rng.normal(size=(2, 4, 7, 6)), requires_grad=True)
    w = ad.Tensor(rng.normal(size=(4, 4 // options.get("groups", 1), 3, 2)), requires_grad=True)
    loss = (ad.max_pool(ad.conv(x, w, rng.normal(size=4), **options), **pool) ** 2).sum()
    source = ad.source(loss)
    assert source.checked in ("within rounding", "to the last bit")
    assert len(str(source).splitlines()) < 100
    assert ad.source(loss, simplify=False).checked == "to the last bit"


# ---- refusals

X, W = np.zeros((2, 3, 8, 8)), np.zeros((4, 3, 3, 3))
REFUSED = [
    (lambda x: ad.conv(x, W[:, :2]), "x has 3 channels .* the kernel expects 2"),
    (lambda x: ad.conv(x, W, groups=2), "for each of 2 groups: 6"),
    (lambda x: ad.conv(x, W[:3, :1], groups=4), "3 channels .* do not fall into 4 groups"),
    (lambda x: ad.conv(x, W, groups=0), "0 groups"),
    (lambda x: ad.conv(x, W, np.zeros(3)), r"the bias has shape \(3,\), not \(4,\)"),
    (lambda x: ad.conv(x, W, np.zeros((4, 1))), "the bias has shape"),
    (lambda x: ad.conv(x[0], W), "One sample alone is x.None."),
    (lambda x: ad.conv(x, np.zeros((4, 3, 9, 3))), "a window of 9 is larger than x, 8 along axis 2"),
    (lambda x: ad.conv(x, W, dilation=(1, 5), padding=1), "3 dilated to 11 is larger than x, 8 and 2 of padding"),
    (lambda x: ad.conv(x, W, stride=0), "1 or more"),
    (lambda x: ad.conv(x, W, dilation=-1), "1 or more"),
    (lambda x: ad.conv(x, W, padding=-1), "less than nothing"),
    (lambda x: ad.conv(x, W, stride=(1, 1, 1)), "for each of 2 axes"),
    (lambda x: ad.conv(x, W, padding=(1,)), "for each of 2 axes"),
    (lambda x: ad.conv(x, W, padding="full"), "not 'same', 'valid'"),
    (lambda x: ad.conv(x, W, padding="same", stride=2), "padding='same' .* stride=2"),
    (lambda x: ad.max_pool(x, window=9), "a window of 9 is larger"),
    (lambda x: ad.max_pool(x, window=2, padding=2), "more than half"),
    (lambda x: ad.avg_pool(x, window=(2, 2, 2)), "for each of 2 axes"),
    (lambda x: ad.max_pool(x, window=0), "1 or more"),
]


@pytest.mark.parametrize(("call", "said"), REFUSED, ids=range(len(REFUSED)))
def test_what_does_not_fit_is_told_with_shapes_and_the_line(call, said):
    with pytest.raises(ad.ShapeError, match=said) as told:
        call(ad.Tensor(X, requires_grad=True))
    assert "test_convolution.py" in str(told.value)
    assert "8, 8)" in str(told.value)
    with pytest.raises(ValueError, match=said):                    # plain arrays: NumPy's own kind of error
        call(X)


def test_a_thousand_samples_take_memory_in_proportion_to_the_result():
    """Columns are made a few rows at a time: 25 times x would be 125 MB."""
    import tracemalloc

    x, w = np.ones((200, 4, 28, 28)), np.ones((4, 4, 5, 5))
    tracemalloc.start()
    y = ad.conv(x, w)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < x.nbytes + 2 * y.nbytes + 8 * convolution.BLOCK
