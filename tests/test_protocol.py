"""What a Tensor does where NumPy, Python's operators and the standard library meet it."""

import copy
import math
import operator
import pickle
import re
from contextlib import suppress

import numpy as np
import pytest

import autodiff as ad
from autodiff import numpy_table

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])
V = np.array([2.0, 0.5, 1.25])


def leaf(value=X):
    return ad.Tensor(value, requires_grad=True)


def check(f, value=X, recorded=True):
    """f on a Tensor has NumPy's value and dtype, is recorded, and its gradient is that of a slow difference."""
    x = leaf(value)
    y = f(x)
    expected = f(np.asarray(value)[()])
    assert isinstance(y, ad.Tensor)
    assert np.array_equal(y.numpy(), expected)
    assert y.dtype == np.asarray(expected).dtype
    assert y.record.op is not None
    if recorded:
        [g] = ad.gradients(y.sum(), [x])
        h = 1e-6
        v = np.random.default_rng(0).normal(size=np.shape(value))
        slope = (np.sum(f(value + h * v)) - np.sum(f(value - h * v))) / (2 * h)
        assert np.sum(g * v) == pytest.approx(slope, rel=1e-6, abs=1e-8)
    return y


# ---- operators

BINARY = [operator.add, operator.sub, operator.mul, operator.truediv]
OTHERS = {
    "number": 2.5,
    "int": 3,
    "array": V,
    "scalar": np.float64(1.5),
    "int_array": np.array([1, 2, 3]),
    "list": [1.0, 2.0, 3.0],
    "tuple": (1, 2, 3),
    "nested": [[1.0], [2.0]],
    "zero_d": np.array(2.0),
    "float32": np.float32(0.5),
    "bool": True,
}


@pytest.mark.parametrize("op", BINARY)
@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("reflected", [False, True])
def test_arithmetic_operators(op, other, reflected):
    o = OTHERS[other]
    as_numpy = np.asarray(o) if isinstance(o, list | tuple) else o
    x = leaf()
    y = op(o, x) if reflected else op(x, o)
    expected = op(as_numpy, X) if reflected else op(X, as_numpy)
    assert isinstance(y, ad.Tensor)
    assert y.record.op.name == {"truediv": "divide", "mul": "multiply", "sub": "subtract", "add": "add"}[op.__name__]
    assert np.array_equal(y.numpy(), expected)
    assert y.dtype == expected.dtype
    [g] = ad.gradients(y.sum(), [x])
    h = 1e-6
    slope = (
        np.sum(op(as_numpy, X + h) if reflected else op(X + h, as_numpy))
        - np.sum(op(as_numpy, X - h) if reflected else op(X - h, as_numpy))
    ) / (2 * h)
    assert np.sum(g) == pytest.approx(slope, rel=1e-6)


def test_two_tensors_and_a_tensor_with_itself():
    x, v = leaf(), leaf(V)
    y = x * v - x / v + v - x
    assert np.array_equal(y.numpy(), X * V - X / V + V - X)
    [g] = ad.gradients((x * x).sum(), [x])
    assert np.array_equal(g, 2 * X)


@pytest.mark.parametrize(
    "f",
    [
        operator.neg,
        operator.pos,
        abs,
        lambda x: x**2,
        lambda x: x**3,
        lambda x: x**-2,
        lambda x: x @ V,
        lambda x: V[:2] @ x,
        lambda x: x @ [1.0, 2.0, 3.0],
        lambda x: [1.0, 2.0] @ x if isinstance(x, ad.Tensor) else np.array([1.0, 2.0]) @ x,
        lambda x: x[0] ** 2.0,
        lambda x: 2**x,
        lambda x: 2.0**x,
        lambda x: np.float64(2) ** x,
        lambda x: V**x,
    ],
    ids=[
        "neg",
        "pos",
        "abs",
        "square",
        "cube",
        "inverse",
        "matvec",
        "vecmat",
        "matlist",
        "listmat",
        "float_power",
        "rpow",
        "rpow_float",
        "rpow_scalar",
        "rpow_array",
    ],
)
def test_other_operators(f):
    x = leaf()
    y = f(x)
    assert np.allclose(y.numpy(), f(X), rtol=1e-15)
    [g] = ad.gradients(y.sum(), [x])
    slope = (np.sum(f(X + 1e-6)) - np.sum(f(X - 1e-6))) / 2e-6
    assert np.sum(g) == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("op", [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne])
@pytest.mark.parametrize(
    "other", [0.5, V, leaf(V), [2.0, 0.5, 1.25], np.float64(2.0)], ids=["number", "array", "tensor", "list", "scalar"]
)
def test_comparisons_are_elementwise_and_recorded(op, other):
    plain = other.numpy() if isinstance(other, ad.Tensor) else other
    x = leaf()
    for y, expected in [(op(x, other), op(X, plain)), (op(other, x), op(np.asarray(plain), X))]:
        assert isinstance(y, ad.Tensor)
        assert y.dtype == bool
        assert np.array_equal(y.numpy(), expected)
        assert y.record.op.kind == "constant"


@pytest.mark.parametrize("op", [operator.and_, operator.or_, operator.xor])
def test_logical_operators(op):
    x = leaf()
    a, b = x > 0, X < 1
    for y in (op(a, b), op(b, a), op(a, x < 1), op(a, True), op(True, a)):
        assert isinstance(y, ad.Tensor)
        assert y.dtype == bool
    assert np.array_equal(op(a, b).numpy(), op(X > 0, b))
    assert np.array_equal(op(b, a).numpy(), op(b, X > 0))
    assert np.array_equal((~a).numpy(), ~(X > 0))


IN_PLACE = {
    "+=": operator.iadd,
    "-=": operator.isub,
    "*=": operator.imul,
    "/=": operator.itruediv,
    "**=": operator.ipow,
    "@=": operator.imatmul,
}


@pytest.mark.parametrize("sign", IN_PLACE)
@pytest.mark.parametrize("other", ["number", "array", "tensor", "list"])
def test_in_place_moves_the_handle_and_changes_nothing_recorded(sign, other):
    """Every other name of the tensor moves along, and what was computed from it before keeps its gradient."""
    M = np.array([[2.0, 0.5], [1.0, 1.5]])
    o = {"number": 3, "array": M, "tensor": ad.Tensor(M), "list": M.tolist()}[other]
    if (sign == "@=") == (other == "number") or (sign, other) in (("@=", "list"), ("**=", "list")):
        pytest.skip("no matter for this operator")
    x = leaf(M)
    y = x * 2.0
    alias, record, before = y, y.record, y.numpy().copy()
    used = (y * y).sum()
    result = IN_PLACE[sign](y, o)
    assert result is y is alias
    assert y.record is not record
    assert np.array_equal(record.value, before)
    assert np.array_equal(ad.gradients(used, [x])[0], 8 * M)
    plain = o.numpy() if isinstance(o, ad.Tensor) else np.asarray(o)
    expected = before @ plain if sign == "@=" else IN_PLACE[sign](before.copy(), plain)
    assert np.allclose(y.numpy(), expected, rtol=1e-15)
    assert ad.gradients(y.sum(), [x])[0].shape == (2, 2)


@pytest.mark.parametrize("sign", IN_PLACE)
def test_in_place_on_a_parameter_keeps_it_a_parameter(sign):
    """Under no_grad every in-place operator writes to the leaf itself; outside, every one refuses."""
    M = np.array([[2.0, 0.5], [1.0, 1.5]])
    W = leaf(M)
    kept, array = W, W.record.value
    other = M if sign == "@=" else 2.0
    with pytest.raises(ad.GradientError, match="leaf that requires grad"):
        IN_PLACE[sign](W, other)
    with ad.no_grad():
        W = IN_PLACE[sign](W, other)
    assert W is kept
    assert W.requires_grad
    assert W.is_leaf
    assert W.record.value is array
    assert np.allclose(array, M @ M if sign == "@=" else IN_PLACE[sign](M.copy(), 2.0))


def test_in_place_never_changes_a_parameters_shape():
    W = leaf(V)
    with ad.no_grad(), pytest.raises((ad.ShapeError, ValueError)):
        W += np.ones((2, 3))
    assert W.shape == (3,)
    assert np.array_equal(W.numpy(), V)
    with ad.no_grad(), pytest.raises((ad.ShapeError, ValueError)):
        W *= np.ones(4)


def test_in_place_keeps_a_parameters_dtype():
    W = ad.Tensor(V.astype(np.float32), requires_grad=True)
    with ad.no_grad():
        W -= np.full(3, 0.1)
        W *= np.float64(2)
    assert W.dtype == np.float32


def test_array_plus_equals_tensor_raises_with_advice():
    a, t = V.copy(), leaf(V)
    for f in (operator.iadd, operator.imul, operator.isub, operator.itruediv):
        with pytest.raises(
            ad.OperandError, match=r"cannot write into an array[\s\S]*test_protocol.py:\d+[\s\S]*x = x \+ t"
        ):
            f(a, t)
    assert np.array_equal(a, V)
    with pytest.raises(ad.OperandError, match="cannot write"):
        np.add(t, t, out=a)
    with pytest.raises(ad.OperandError, match="cannot write"):
        np.exp(t, out=a)


def test_scalars_plus_equals_tensor_is_a_tensor():
    a = np.float64(2.0)
    t = leaf(3.0)
    a += t
    assert isinstance(a, ad.Tensor)
    b = 1.0
    b *= t
    assert isinstance(b, ad.Tensor)


@pytest.mark.parametrize(
    "other", [None, "text", object(), {"a": 1}, {1, 2}], ids=["None", "str", "object", "dict", "set"]
)
def test_operands_that_are_no_numbers(other):
    t = leaf()
    for op in (operator.add, operator.sub, operator.truediv, operator.matmul, operator.lt):
        with pytest.raises(TypeError):
            op(t, other)
        with pytest.raises(TypeError):
            op(other, t)
    assert (t == other) is False
    assert (t != other) is True
    with pytest.raises(TypeError, match="add"):
        np.add(t, other)


class Friendly:
    """A type that knows Tensors: asked after the Tensor declined."""

    def __radd__(self, other):
        return "radd"

    def __rmul__(self, other):
        return "rmul"


def test_unknown_types_get_their_turn():
    assert leaf() + Friendly() == "radd"
    assert leaf() * Friendly() == "rmul"


@pytest.mark.parametrize("op", [operator.lshift, operator.rshift, divmod])
def test_operators_without_a_rule_raise_a_type_error(op):
    with pytest.raises(TypeError):
        op(leaf(), 2)
    with pytest.raises(TypeError):
        op(2, leaf())


def test_a_tensor_subclass_is_a_tensor():
    class Named(ad.Tensor):
        __slots__ = ()

    p = Named(V, requires_grad=True)
    for y in (p * 2.0, 2.0 * p, np.exp(p), V * p, p @ p, p[0]):
        assert isinstance(y, ad.Tensor)
    (p * p).sum().backward()
    assert np.array_equal(p.grad, 2 * V)
    assert isinstance(copy.deepcopy(p), Named)
    assert isinstance(copy.copy(p), Named)


# ---- NumPy's functions and methods

FUNCTIONS = {
    "exp": np.exp,
    "add": lambda x: np.add(x, V),
    "add_first": lambda x: np.add(V, x),
    "multiply_list": lambda x: np.multiply([1.0, 2.0, 3.0], x),
    "power": lambda x: np.power(x, 2),
    "negative": np.negative,
    "abs": np.abs,
    "absolute": np.absolute,
    "square": np.square,
    "tanh": np.tanh,
    "maximum": lambda x: np.maximum(x, 0.1),
    "minimum": lambda x: np.minimum(V, x),
    "matmul": lambda x: np.matmul(x, V),
    "true_divide": lambda x: np.true_divide(x, V),
    "sum": np.sum,
    "sum_axis": lambda x: np.sum(x, 0),
    "sum_keyword": lambda x: np.sum(x, axis=-1, keepdims=True),
    "mean": lambda x: np.mean(x, axis=(0, 1)),
    "max": lambda x: np.max(x, axis=0),
    "amax": lambda x: np.amax(x, axis=0),
    "min": np.min,
    "amin": lambda x: np.amin(x, 1),
    "reduce": lambda x: np.add.reduce(x, axis=1),
    "reduce_default": np.add.reduce,
    "max_reduce": lambda x: np.maximum.reduce(x, 1),
    "min_reduce": lambda x: np.minimum.reduce(x, axis=None),
    "reshape": lambda x: np.reshape(x, (3, 2)),
    "reshape_keyword": lambda x: np.reshape(x, shape=(3, 2)),
    "reshape_order": lambda x: np.reshape(x, (3, 2), order="C"),
    "transpose": np.transpose,
    "transpose_axes": lambda x: np.transpose(x, axes=[1, 0]),
    "expand_dims": lambda x: np.expand_dims(x, axis=(0, 2)),
    "squeeze": lambda x: np.squeeze(x[:1]),
    "broadcast_to": lambda x: np.broadcast_to(x, (4, 2, 3)),
    "broadcast_to_list": lambda x: np.broadcast_to(x, [4, 2, 3]),
    "broadcast_to_int": lambda x: np.broadcast_to(x[0, 0], 3),
    "concatenate": lambda x: np.concatenate([x, X]),
    "concatenate_plain_first": lambda x: np.concatenate((X, x), axis=1),
    "concatenate_positional": lambda x: np.concatenate((x, x), -1),
    "stack": lambda x: np.stack([x[0], V, x[1]]),
    "stack_axis": lambda x: np.stack((X, x), axis=2),
    "split": lambda x: np.split(x, 3, axis=1)[1],
    "split_keywords": lambda x: np.split(x, indices_or_sections=[1], axis=0)[0],
    "where": lambda x: np.where(X > 0, x, 0.0),
    "where_both": lambda x: np.where(x > 0, x, V),
    "clip": lambda x: np.clip(x, -0.6, 1.1),
    "real": np.real,
    "copy": np.copy,
    "positive": np.positive,
    "method_sum": lambda x: x.sum(),
    "method_sum_axis": lambda x: x.sum(1, keepdims=True),
    "method_mean": lambda x: x.mean(0),
    "method_max": lambda x: x.max(axis=1),
    "method_min": lambda x: x.min(),
    "method_reshape": lambda x: x.reshape(3, 2),
    "method_reshape_tuple": lambda x: x.reshape((3, 2)),
    "method_reshape_int": lambda x: x.reshape(-1),
    "method_reshape_free": lambda x: x.reshape(-1, 2),
    "T": lambda x: x.T,
    "method_transpose": lambda x: x.transpose(),
    "method_transpose_axes": lambda x: x.transpose(1, 0),
    "method_transpose_tuple": lambda x: x.transpose((1, 0)),
    "method_dot": lambda x: x.dot(V),
    "method_dot_matrix": lambda x: x.dot(X.T),
    "method_dot_number": lambda x: x.dot(2.0),
    "method_squeeze": lambda x: x[:1].squeeze(),
    "method_squeeze_axis": lambda x: x[:, :1].squeeze(1),
    "method_clip": lambda x: x.clip(-0.6, 1.1),
    "method_astype": lambda x: x.astype(np.float64),
    "getitem": lambda x: x[1, ::2],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_numpys_functions_and_methods(name):
    check(FUNCTIONS[name])


def test_sum_by_its_keyword():
    """np.sum(a=t) is legal NumPy."""
    assert float(np.sum(a=leaf(V))) == V.sum()


def test_out_none_and_defaults_are_no_options():
    x = leaf()
    assert np.sum(x, axis=None, dtype=None, out=None).item() == X.sum()
    assert np.mean(x, axis=None, keepdims=False).item() == X.mean()
    assert np.max(x, out=None).item() == 2.0
    assert np.concatenate([x, x], axis=0, out=None, dtype=None, casting="same_kind").shape == (4, 3)
    assert np.exp(x, out=None).shape == (2, 3)


def test_copy_is_a_copy():
    """np.copy of a constant can be written to without changing the original."""
    a = ad.Tensor(V)
    c = np.copy(a)
    c[0] = 99.0
    assert np.array_equal(a.numpy(), V)
    d = copy.copy(a)
    assert d.record is a.record


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t: np.add(t, 1.0, dtype=np.float32), ["np.add", "dtype"]),
        (lambda t: np.add(t, 1.0, where=X > 0), ["np.add", "where"]),
        (lambda t: np.sum(t, dtype=np.float32), ["np.sum", "dtype"]),
        (lambda t: np.sum(t, where=X > 0), ["np.sum", "where"]),
        (lambda t: np.sum(t, initial=3.0), ["np.sum", "initial"]),
        (lambda t: np.max(t, initial=3.0), ["np.max", "initial"]),
        (lambda t: np.reshape(t, (3, 2), order="F"), ["np.reshape", "order"]),
        (lambda t: np.concatenate([t, t], dtype=np.float32), ["np.concatenate", "dtype"]),
        (lambda t: np.add.reduce(t, 0, np.float32), ["dtype"]),
        (lambda t: np.clip(t, 0, 1, dtype=np.float32), ["np.clip"]),
        (lambda t: t.sum(dtype=np.float32), ["sum", "dtype"]),
    ],
    ids=[
        "add_dtype",
        "add_where",
        "sum_dtype",
        "sum_where",
        "sum_initial",
        "max_initial",
        "reshape_order",
        "concatenate_dtype",
        "reduce_dtype",
        "clip_dtype",
        "method_dtype",
    ],
)
def test_keywords_that_are_not_supported_are_refused_by_name(call, words):
    with pytest.raises(ad.OperandError) as caught:
        call(leaf())
    for word in words:
        assert word in str(caught.value)


MISSING = {
    "spacing": (np.spacing, True),
    "nanmedian": (np.nanmedian, False),
    "cov": (np.cov, False),
    "convolve": (lambda t: np.convolve(t, t), False),
    "trapezoid": (np.trapezoid, False),
}


@pytest.mark.parametrize("name", MISSING)
def test_what_has_no_rule_says_so_and_shows_how_to_add_one(name):
    f, elementwise = MISSING[name]
    with pytest.raises(ad.NoRuleError) as caught:
        f(leaf(V))
    text = str(caught.value)
    assert f"np.{name} has no derivative rule" in text
    assert "test_protocol.py" in text
    advice = re.search(r"    @ad\.op\n    def .*\n    .*\n", text).group().rstrip().splitlines()
    assert len(advice) == 3
    assert ("derivative" if elementwise else "vjp") in advice[2]
    assert isinstance(caught.value, TypeError)


def test_following_the_advice_works(monkeypatch):
    monkeypatch.delitem(numpy_table.UFUNCS, np.cbrt)
    monkeypatch.delitem(numpy_table.FUNCTIONS, np.median)
    with pytest.raises(ad.NoRuleError) as caught:
        np.cbrt(leaf(V))
    lines = re.search(r"    @ad\.op\n    def .*\n    .*\n", str(caught.value)).group()
    source = "\n".join(line.removeprefix("    ") for line in lines.splitlines()).replace("...)", "1 / (3 * y * y))")
    space = {"ad": ad, "np": np}
    exec(source, space)
    x = leaf(V)
    y = space["cbrt"](x)
    assert np.array_equal(y.numpy(), np.cbrt(V))
    [g] = ad.gradients(y.sum(), [x])
    assert np.allclose(g, 1 / (3 * np.cbrt(V) ** 2))
    with pytest.raises(ad.NoRuleError) as caught:
        np.median(x)
    source = "\n".join(
        line.removeprefix("    ")
        for line in re.search(r"    @ad\.op\n    def .*\n    .*\n", str(caught.value)).group().splitlines()
    )
    exec(source.replace("...)", "g * (x == y))"), space)
    [g] = ad.gradients(space["median"](x), [x])
    assert np.array_equal(g, np.median(V) == V)


@pytest.mark.parametrize(
    "call",
    [
        lambda t: np.add.accumulate(t),
        lambda t: np.multiply.accumulate(t),
        lambda t: np.multiply.outer(t, t),
        lambda t: np.add.at(t, [0], 1.0),
        lambda t: np.add.reduceat(t, [0]),
    ],
    ids=["accumulate", "product", "outer", "at", "reduceat"],
)
def test_methods_of_universal_functions_without_a_rule(call):
    with pytest.raises(ad.AutodiffError, match=r"np\.(add|multiply)\.\w+|assign"):
        call(leaf(V))


def test_functions_with_several_outputs_have_no_elementwise_advice():
    with pytest.raises(ad.NoRuleError) as caught:
        np.modf(leaf(V))
    assert "np.modf" in str(caught.value)


def test_where_with_a_condition_alone():
    """np.where(c) is nonzero: positions, or an error that says there is no rule; never a riddle."""
    t = leaf(V)
    with suppress(ad.NoRuleError):
        assert np.array_equal(np.where(t > 1.0)[0], [0, 2])


# ---- plain arrays made of tensors


def test_making_plain_arrays_of_tracked_tensors_raises_with_advice():
    t = leaf(2.0)
    v = leaf(V) * 2.0
    for make in (
        lambda: np.array([t, t]),
        lambda: np.asarray(t),
        lambda: np.array(v),
        lambda: np.asarray([v, v]),
        lambda: np.array([[t, 1.0]]),
        lambda: np.asarray(v, dtype=float),
        lambda: np.array(t, dtype=np.float32),
    ):
        with pytest.raises(ad.TracedValueError) as caught:
            make()
        for word in ("np.stack", "np.concatenate", "np.where", ".numpy()", ".detach()", "test_protocol.py"):
            assert word in str(caught.value)


def test_assigning_a_tracked_tensor_into_an_array_raises():
    a, t = np.zeros(3), leaf(V)
    with pytest.raises((ad.TracedValueError, ValueError)):
        a[:] = t
    assert np.array_equal(a, np.zeros(3))


def test_constants_may_become_plain_arrays():
    c = ad.Tensor(V)
    assert np.array_equal(np.asarray(c), V)
    assert np.asarray(c, dtype=np.float32).dtype == np.float32
    assert np.array_equal(np.array([c, c]), [V, V])
    assert not np.shares_memory(np.array(c, copy=True), c.record.value)
    assert np.array_equal(leaf(V).detach().numpy(), V)


def test_a_list_of_tensors_is_no_tensor():
    t = leaf(V)
    with pytest.raises(ad.OperandError, match=r"np\.stack"):
        ad.Tensor([t, t])
    with pytest.raises((ad.OperandError, ad.TracedValueError), match=r"np\.stack"):
        t + [t, t]


# ---- shape, dtype, questions


def test_attributes_and_metadata_functions():
    t = leaf()
    assert (t.shape, t.ndim, t.size, t.dtype, len(t)) == ((2, 3), 2, 6, np.dtype(float), 2)
    assert (np.shape(t), np.ndim(t), np.size(t), np.size(t, 1)) == ((2, 3), 2, 6, 3)
    assert np.result_type(t, np.float32) == np.float64
    assert np.result_type(ad.Tensor(np.float32([1])), 2.0) == np.float32
    assert not np.iscomplexobj(t)
    assert np.isrealobj(t)
    for like in (np.zeros_like(t), np.ones_like(t), np.empty_like(t), np.full_like(t, 2.0)):
        assert type(like) is np.ndarray
        assert like.shape == (2, 3)
    assert np.zeros_like(t, dtype=np.float32).dtype == np.float32
    assert np.zeros_like(t, shape=(4,)).shape == (4,)


def test_comparisons_of_whole_arrays():
    t = leaf()
    assert np.allclose(t, X)
    assert np.allclose(X, t + 1e-12)
    assert np.allclose(t, X + 1, atol=2.0)
    assert np.array_equal(t, X)
    assert not np.array_equal(t, X + 1)
    assert np.isclose(t, X).all()
    assert np.shares_memory(t, t.data)
    np.testing.assert_allclose(t.numpy(), X)


def test_texts_of_numpy():
    t = leaf(V)
    assert np.array_str(t) == np.array_str(V)
    assert np.array_repr(t) == np.array_repr(V)
    assert np.array2string(t) == np.array2string(V)


@pytest.mark.parametrize(
    ("t", "text"),
    [
        (ad.Tensor([1.0, 2.0], name="a"), "Tensor([1., 2.], name='a')"),
        (ad.Tensor([1.0, 2.0], name="a", requires_grad=True), "Tensor([1., 2.], name='a', requires_grad=True)"),
        (ad.Tensor(np.float32([1.0]), name="a"), "Tensor([1.], dtype=float32, name='a')"),
        (ad.Tensor(2.5, name="a"), "Tensor(2.5, name='a')"),
        ((ad.Tensor(2.5, requires_grad=True) * 2).named("y"), "Tensor(5., name='y', op=multiply, requires_grad=True)"),
        (ad.Tensor([True], name="a"), "Tensor([ True], name='a')"),
    ],
    ids=["plain", "grad", "float32", "number", "result", "bool"],
)
def test_repr(t, text):
    assert repr(t) == text
    assert str(t) == text


def test_repr_of_large_arrays_is_short():
    assert len(repr(ad.Tensor(np.zeros((1000, 1000))))) < 2000


def test_format():
    t = leaf(2.5)
    assert f"{t:.3f}" == "2.500"
    assert f"{t * 2:8.2e}" == "5.00e+00"
    assert "Tensor" in f"{leaf(V)}"
    assert f"{(leaf(V) * 2).sum():.1f}" == "7.5"


# ---- numbers


def test_numbers():
    t = leaf(2.75)
    assert (float(t), int(t), complex(t), t.item(), bool(t)) == (2.75, 2, 2.75 + 0j, 2.75, True)
    assert math.floor(t) == 2
    assert math.sqrt(leaf(4.0)) == 2
    assert not bool(leaf(0.0))
    assert float(leaf([2.0])) == 2
    assert type(t.item()) is float
    assert leaf(V).tolist() == V.tolist()
    assert ad.Tensor(3).item() == 3
    assert type(ad.Tensor(3).item()) is int


@pytest.mark.parametrize(
    "f", [float, int, bool, complex, lambda t: t.item()], ids=["float", "int", "bool", "complex", "item"]
)
def test_numbers_of_several_elements_raise(f):
    with pytest.raises(ad.ShapeError, match=r"shape \(3,\)"):
        f(leaf(V))


def test_index():
    assert [10, 20, 30][ad.Tensor(1)] == 20
    assert list(range(ad.Tensor(2))) == [0, 1]
    assert operator.index(ad.Tensor(np.int32(4))) == 4
    with pytest.raises(TypeError, match="index"):
        [10, 20][leaf(1.0)]


INSIDE = {
    "float": float,
    "int": int,
    "bool": bool,
    "complex": complex,
    "item": lambda t: t.item(),
    "tolist": lambda t: t.tolist(),
    "array": np.asarray,
    "if": lambda t: 1 if t > 0 else 2,
}


@pytest.mark.parametrize("how", INSIDE)
def test_values_may_not_leave_the_tape_inside_a_transform(how):
    for transform in (
        ad.grad(lambda t: t * INSIDE[how](t)),
        ad.hessian(lambda t: t * INSIDE[how](t)),
        lambda x: ad.jvp(lambda t: t * INSIDE[how](t), (x,), (1.0,)),
        lambda x: ad.vjp(lambda t: t * INSIDE[how](t), x),
    ):
        with pytest.raises(ad.TracedValueError) as caught:
            transform(2.0)
        assert "test_protocol.py" in str(caught.value)


def test_asking_what_a_tensor_contains_may_not_decide_inside_a_transform():
    with pytest.raises(ad.TracedValueError):
        ad.grad(lambda t: t[0] * (2.0 if 3.0 in t else 1.0))(np.array([3.0, 2.0]))


# ---- containers


def test_len_iter_and_unpacking():
    t = leaf()
    assert len(t) == 2
    a, b = t
    assert np.array_equal(a.numpy(), X[0])
    assert np.array_equal(ad.gradients((a * b).sum(), [t])[0], X[::-1])
    first, *rest = leaf(V)
    assert first.item() == 2.0
    assert len(rest) == 2
    assert sum(leaf(V)).item() == V.sum()
    assert max(leaf(V)).item() == 2.0
    assert [y.item() for y in reversed(leaf(V))] == V[::-1].tolist()
    s = leaf(2.0)
    for f in (len, iter, list):
        with pytest.raises(TypeError, match="0-d"):
            f(s)


def test_contains():
    assert 2.0 in leaf(V)
    assert 3.0 not in leaf(V)
    assert np.float64(0.5) in leaf(V)


def test_hashing_is_by_identity():
    a, b = leaf(V), leaf(V)
    assert hash(a) == hash(a)
    assert len({a, b, a}) == 2
    assert {a: 1, b: 2}[b] == 2
    assert a in {a}
    assert isinstance(a == b, ad.Tensor)
    assert np.array_equal((a == b).numpy(), [True] * 3)


def test_truth_of_a_comparison_of_arrays_raises():
    with pytest.raises(ad.ShapeError, match="bool"):
        bool(leaf(V) == leaf(V))


# ---- copies


@pytest.fixture(scope="module")
def long_chain():
    x = leaf(0.5)
    y = x
    for _ in range(25_000):
        y = y * 0.9999 + 0.001
    return x, y


def test_copies_of_a_long_graph_do_not_recurse(long_chain):
    x, y = long_chain
    assert len(ad.Tape(y)) == 50_000
    for z in (copy.deepcopy(y), pickle.loads(pickle.dumps(y)), copy.deepcopy([{"a": (y,)}])[0]["a"][0]):
        assert z.is_leaf
        assert z.item() == y.item()
        assert z.requires_grad
    assert copy.copy(y).record is y.record
    assert len(pickle.dumps(y)) < 1000
    assert len(repr(y)) < 200
    assert float(ad.gradients(y, [x])[0]) == pytest.approx(0.9999**25_000)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(protocol):
    for t in (
        leaf(V),
        ad.Tensor(V.astype(np.float32), name="v"),
        leaf(2.0),
        ad.Tensor(3),
        leaf(X) * 2.0,
        ad.Tensor([True, False]),
    ):
        again = pickle.loads(pickle.dumps(t, protocol))
        assert np.array_equal(again.numpy(), t.numpy())
        assert again.dtype == t.dtype
        assert again.requires_grad == t.requires_grad
        assert t.name is None or again.name == t.name
        assert type(again) is type(t)
    t = leaf(V)
    again = pickle.loads(pickle.dumps(t))
    (again * again).sum().backward()
    assert np.array_equal(again.grad, 2 * V)


def test_deepcopy_keeps_sharing_and_makes_its_own_memory():
    t = leaf(V)
    pair = copy.deepcopy({"a": t, "b": [t]})
    assert pair["a"] is pair["b"][0]
    assert not np.shares_memory(pair["a"].numpy(), t.numpy())
    y = copy.deepcopy(t * 2.0)
    with ad.no_grad():
        y += 1.0
    assert np.array_equal(y.numpy(), 2 * V + 1)


def test_a_copied_leaf_can_be_trained():
    for again in (copy.deepcopy(leaf(V)), pickle.loads(pickle.dumps(leaf(V))), copy.deepcopy(leaf(2.0))):
        (again * 2.0).sum().backward()
        with ad.no_grad():
            again -= 0.5 * again.grad
        assert again.requires_grad


# ---- assignment to elements


def test_setitem_on_a_constant():
    t = ad.Tensor(X)
    t[0] = 1.0
    t[1, 1:] = [5.0, 6.0]
    t[:, 0] = ad.Tensor([7.0, 8.0])
    t[t.numpy() > 7.5] = 0.0
    assert np.array_equal(t.numpy(), [[7, 1, 1], [0, 5, 6]])


def test_setitem_on_a_parameter_only_where_nothing_is_recorded():
    W = leaf(V)
    with pytest.raises(ad.GradientError, match="no_grad"):
        W[0] = 1.0
    with ad.no_grad():
        W[0] = 1.0
        W[1:] += 1.0
    assert np.array_equal(W.numpy(), [1.0, 1.5, 2.25])
    assert W.requires_grad


def test_setitem_on_a_result_moves_the_handle():
    x = leaf(V)
    y = x * 2
    before = y.sum()
    y[0] = 1.0
    assert np.array_equal(y.numpy(), [1.0, *(2 * V[1:])])
    assert np.array_equal(ad.gradients(y.sum(), [x])[0], [0, 2, 2])
    assert np.array_equal(ad.gradients(before, [x])[0], [2, 2, 2])


def test_setitem_of_a_recorded_value_is_refused():
    t = ad.Tensor(V)
    with pytest.raises(ad.GradientError, match=r"np\.where"):
        t[0] = leaf(2.0) * 1.0
    with pytest.raises(ad.GradientError, match=r"np\.where"):
        t[0] = leaf(2.0)
    assert np.array_equal(t.numpy(), V)


def test_setitem_after_use_is_caught_by_backward():
    c, W = ad.Tensor(V), leaf(V)
    loss = (c * W).sum()
    c[0] = 5.0
    with pytest.raises(ad.MutationError):
        loss.backward()
    c, W = ad.Tensor(V), leaf(V)
    part = c[1:]
    loss = (part * W[1:]).sum()
    c[2] = 5.0
    with pytest.raises(ad.MutationError):
        loss.backward()


def test_setitem_through_a_view_of_a_constant_after_use_is_caught():
    """A row of a constant shares its memory, as in NumPy: writing to the row is writing to the constant."""
    c, W = ad.Tensor(X.copy()), leaf(X)
    row = c[0]
    loss = (c * W).sum()
    row[0] = 5.0
    if c.numpy()[0, 0] == 5.0:
        with pytest.raises(ad.MutationError):
            loss.backward()


def test_setitem_of_a_zero_dimensional_constant():
    t = ad.Tensor(2.0)
    t[()] = 3.0
    assert t.item() == 3.0


def test_delitem_is_refused():
    with pytest.raises((TypeError, AttributeError, ValueError)):
        del leaf(V)[0]


# ---- operands by keyword


def test_operands_by_keyword_are_recorded_like_any_other():
    """Our own functions with their operands by name: recorded, differentiable, replayable."""
    x, W, b = leaf(X), leaf(np.ones((2, 3))), leaf(np.array([1.0, 2.0]))
    y = ad.linear(x, W, b=b)
    assert y.record.op.name == "linear"
    gs = ad.gradients(y.sum(), [x, W, b])
    for g, e in zip(gs, ad.gradients(ad.linear(x, W, b).sum(), [x, W, b])):
        assert np.array_equal(g, e)
    assert np.array_equal(ad.Tape(y).replay({b: np.zeros(2)}), X @ np.ones((3, 2)))
    z = ad.linear(x=x, W=W, b=b)
    assert np.array_equal(z.numpy(), y.numpy())
    s = ad.softmax(x=x, axis=0)
    assert np.array_equal(s.numpy(), ad.softmax(x, axis=0).numpy())


def test_positional_options_of_our_functions():
    x = leaf(X)
    assert np.array_equal(ad.softmax(x, 0).numpy(), ad.softmax(x, axis=0).numpy())
    assert np.array_equal(ad.logsumexp(x, 1, True).numpy(), ad.logsumexp(x, axis=1, keepdims=True).numpy())
    assert np.array_equal(ad.sum_to(x, (1, 3)).numpy(), X.sum(0, keepdims=True))
    [g] = ad.gradients(ad.softmax(x, 0)[0, 0], [x])
    assert np.array_equal(g, ad.gradients(ad.softmax(x, axis=0)[0, 0], [x])[0])


def test_options_that_are_tensors():
    """An axis or shape that comes as a constant Tensor is taken as the number it is."""
    x, axis = leaf(X), ad.Tensor(1)
    assert np.array_equal(np.sum(x, axis=axis).numpy(), X.sum(axis=1))


def test_plain_arguments_give_plain_results():
    for y in (
        ad.sigmoid(V),
        ad.linear(X, np.ones((2, 3))),
        ad.softmax(V),
        ad.relu(0.5),
        ad.logsumexp(V),
        ad.sum_to(X, shape=(3,)),
    ):
        assert not isinstance(y, ad.Tensor)
    assert ad.sigmoid(0.0) == 0.5
    assert np.array_equal(ad.relu([-1.0, 2.0]), [0, 2])


def test_numbers_as_arguments_of_our_functions():
    for f in (ad.sigmoid, ad.softplus, ad.relu, ad.logsumexp, ad.softmax, ad.log_softmax):
        assert np.isfinite(f(1))
        assert np.isfinite(f(1.0))
        assert ad.grad(f)(1.0).shape == ()


def test_both_orders_of_tensor_and_array_record_the_users_line():
    """Whoever is asked first, the record stands on the user's line."""
    t = leaf(V)
    results = [
        V * t,
        t * V,
        np.multiply(V, t),
        np.float64(2) * t,
        np.sum(t),
        t.sum(),
        ad.sigmoid(t),
        np.where(V > 1, t, V),
        2.0 / t,
        -t,
        t[0],
        [1, 2, 3] * t,
        t.T,
        np.clip(t, 0, 1),
        np.add.reduce(t),
    ]
    lines = [int(y.record.where.rpartition(":")[2]) for y in results]
    assert lines == list(range(lines[0], lines[0] + len(results)))
    assert all("test_protocol.py" in y.record.where for y in results)


# ---- what transforms hand out


@pytest.mark.parametrize(
    "f",
    [
        lambda x: ad.grad(lambda x: ad.grad(lambda y: x * y**2)(1.0))(x),
        lambda x: ad.grad(lambda x: x * ad.grad(lambda y: x + y)(x))(x),
        lambda x: ad.grad(lambda b: ad.grad(lambda a, b: a**b)(2.0, b))(x),
        lambda x: ad.grad(ad.grad(ad.grad(lambda x: x**4)))(x),
        lambda x: ad.jvp(ad.grad(lambda x: x**3), (x,), (1.0,))[1],
        lambda x: ad.grad(lambda x: ad.jvp(lambda y: x * y**2, (3.0,), (1.0,))[1])(x),
        lambda x: ad.grad(lambda x: ad.vjp(lambda y: x * y, 2.0)[1](1.0)[0])(x),
        lambda x: ad.value_and_grad(lambda x: ad.value_and_grad(lambda y: x * y * y)(2.0)[0])(x)[1],
        lambda x: ad.grad(lambda x: ad.hessian(lambda y: x * y**3)(2.0))(x),
        lambda x: ad.grad(lambda x: ad.jacobian(lambda y: x * y**3)(2.0))(x),
        lambda x: ad.grad(lambda x: ad.hvp(lambda y: x * y**3, (2.0,), (1.0,))[0])(x),
    ],
    ids=[
        "mixed",
        "shared",
        "exponent",
        "thrice",
        "jvp_of_grad",
        "grad_of_jvp",
        "grad_of_vjp",
        "value",
        "hessian",
        "jacobian",
        "hvp",
    ],
)
def test_nested_transforms_end_in_plain_values(f):
    """Nothing outside is tracked, so the outermost result is an array: an inner variable is nobody's leaf."""
    assert not isinstance(f(5.0), ad.Tensor)


def test_a_replay_takes_values_as_a_tensor_would():
    """Lists and integers become what the leaf holds: the same program, in the same dtype."""
    x = ad.Tensor([1.0, 2.0], requires_grad=True)
    y = x * x * 0.5 + 1
    for values in ([3, 4], np.array([3, 4]), (3.0, 4.0), ad.Tensor([3, 4])):
        again = ad.Tape(y).replay({x: values})
        assert np.array_equal(again, [5.5, 9])
        assert ad.Tape(y).replay({x: values}, dtype=np.longdouble).dtype == np.longdouble
        assert ad.Tape(y).replay({x: values}, dtype=np.complex128).dtype == np.complex128
    assert ad.Tape(x * x).replay({x: [3, 4]}).dtype == np.float64
    s = ad.Tensor(2.0, requires_grad=True)
    assert ad.Tape(s / s).replay({s: 3}, dtype=np.longdouble).dtype == np.longdouble
    with pytest.raises(ad.ReplayError, match="shape"):
        ad.Tape(y).replay({x: [1.0, 2.0, 3.0]})
