"""gradcheck: quiet where the rule is right, loud and precise where it is not, honest at kinks."""

import math

import numpy as np
import pytest

import autodiff as ad
from autodiff.checks.differences import NotAnalytic, complex_step, richardson
from autodiff.checks.numeric import GradcheckError, gradcheck
from autodiff.checks.rules import wrong_rules
from autodiff.kinds import Op, select
from autodiff.ops import (
    activations,
    arithmetic,
    contraction,
    cumulative,
    elementary,
    indexing,
    linalg,
    losses,
    products,
    random,
    reductions,
    selecting,
    shapes,
    stable,
    trigonometric,
)
from autodiff.ops import complex as complex_

rng = np.random.default_rng(5)
A = rng.normal(size=(3, 4))
B = rng.normal(size=(3, 4))
P = rng.uniform(0.2, 0.8, size=(3, 4))
M = rng.normal(size=(4, 2))
I = np.array([0, 2, 2])
PLACES = ((slice(0, 4), 0), (indexing.HOLE, 0))


# ---- every operation, to second order; the key says which record it must put on the tape

CASES = {
    "add": (lambda a, b: a + b, A, B[0]),
    "subtract": (lambda a, b: a - b, A, B[:, :1]),
    "multiply": (lambda a, b: a * b, A, B),
    "divide": (lambda a, b: a / b, A, P),
    "negative": (lambda a: -a, A),
    "square": (lambda a: a ** 2, A),
    "power": (lambda a, b: a ** b, P, B),
    "integer_power": (lambda a: a ** 5 + a ** -3, P),
    "maximum": (np.maximum, A, B),
    "minimum": (np.minimum, A, B),
    "absolute": (abs, A),
    "clip": (lambda a: a.clip(-0.5, 0.5) * a, A),
    "where": (lambda a, b: np.where(a > b, a * b, b), A, B),
    "sqrt": (np.sqrt, P),
    "exp": (np.exp, A),
    "log": (np.log, P),
    "log1p": (np.log1p, P),
    "tanh": (np.tanh, A),
    "swapaxes": (lambda a: np.swapaxes(a, 0, 1) ** 2, A),
    "moveaxis": (lambda a: np.moveaxis(a, 0, 1) ** 2, A),
    "flip": (lambda a: np.flip(a) * a, A),
    "roll": (lambda a: np.roll(a, 1) * a, A),
    "rot90": (lambda a: np.rot90(a) ** 2, A),
    "pad": (lambda a: np.pad(a, 1) ** 2, A),
    "tile": (lambda a: np.tile(a, 2) ** 2, A),
    "repeat": (lambda a: np.repeat(a, [1, 0, 2], axis=0) ** 2, A),
    "tril": (lambda a: np.tril(a) ** 2, A),
    "triu": (lambda a: np.triu(a) ** 2, A),
    "diag": (lambda a: np.diag(a[0]) @ np.diag(a[1]), A),
    "argsort": (lambda a: np.sort(a) ** 2, A),
    "index_update": (lambda a, b: ad.index_update(a, 1, b[0]) ** 2, A, B),
    "written_last": (lambda a, b: ad.index_update(a, [0, 2, 0], b) ** 2, A, B),
    "einsum": (lambda a, b: np.einsum("ij,kj->ik", a, b), A, B),
    "conj": (lambda a: np.conj(a) * a, A),
    "imag": (lambda a: np.imag(a * (1 + 2j) * a), A),
    "solve": (lambda a: np.linalg.solve(a @ a.T + np.eye(3), a), A),
    "inv": (lambda a: np.linalg.inv(a @ a.T + np.eye(3)), A),
    "det": (lambda a: np.linalg.det(a @ a.T), A),
    "slogdet": (lambda a: np.linalg.slogdet(a @ a.T)[1], A),
    "cholesky": (lambda a: np.linalg.cholesky(a @ a.T + np.eye(3)), A),
    "exp2": (np.exp2, A),
    "expm1": (np.expm1, A),
    "log2": (np.log2, P),
    "log10": (np.log10, P),
    "cbrt": (np.cbrt, A),
    "reciprocal": (np.reciprocal, P),
    "nan_to_num": (lambda a: np.nan_to_num(a) ** 2, A),
    "fmax": (np.fmax, A, B),
    "fmin": (np.fmin, A, B),
    "fabs": (np.fabs, A),
    "copysign": (lambda a, b: np.copysign(a, b) * a, A, B),
    "heaviside": (lambda a, b: np.heaviside(a, b) * a, A, B),
    "hypot": (np.hypot, A, B),
    "float_power": (np.float_power, P, B),
    "remainder": (lambda a, b: (a * 7 % b) ** 2, A, P),
    "fmod": (lambda a, b: np.fmod(a * 7, b) ** 2, A, P),
    "logaddexp": (np.logaddexp, A, B),
    "logaddexp2": (np.logaddexp2, A, B),
    "sin": (np.sin, A),
    "cos": (np.cos, A),
    "tan": (np.tan, P),
    "arcsin": (np.arcsin, P),
    "arccos": (np.arccos, P),
    "arctan": (np.arctan, A),
    "arctan2": (np.arctan2, A, B),
    "sinh": (np.sinh, A),
    "cosh": (np.cosh, A),
    "arcsinh": (np.arcsinh, A),
    "arccosh": (lambda p: np.arccosh(1 + p), P),
    "arctanh": (np.arctanh, P),
    "sinc": (np.sinc, A),
    "radians": (lambda a: np.radians(a) ** 2, A),
    "degrees": (lambda a: np.degrees(a) ** 2, A),
    "log_sigmoid": (ad.log_sigmoid, A),
    "normal_pdf": (activations.normal_pdf, A),
    "normal_cdf": (activations.normal_cdf, A),
    "gelu": (ad.gelu, A),
    "gelu_tanh": (ad.gelu_tanh, A),
    "silu": (ad.silu, A),
    "mish": (ad.mish, A),
    "elu": (lambda a: ad.elu(a, alpha=0.7), A),
    "leaky_relu": (lambda a: ad.leaky_relu(a, negative_slope=0.1) ** 2, A),
    "hardtanh": (lambda a: ad.hardtanh(a, max_val=0.5) ** 2, A),
    "prod": (lambda a: a.prod(axis=1) * a.prod(), A),
    "median": (lambda a: np.median(a, axis=0) * np.median(a), A),
    "var": (lambda a: a.var(axis=0, ddof=1) * a.var(), A),
    "std": (lambda a: a.std(axis=0) * a.std(ddof=1), A),
    "norm": (lambda a: np.linalg.norm(a, axis=0) * np.linalg.norm(a), A),
    "nanmax": (lambda a: np.nanmax(a, axis=0) * np.nanmax(a), A),
    "nanmin": (lambda a: np.nanmin(a, axis=0) * np.nanmin(a), A),
    "cumsum": (lambda a: np.cumsum(a, axis=1) ** 2 + np.cumsum(a).sum(), A),
    "cumprod": (lambda a: (np.cumprod(a, axis=1), np.cumprod(a)), A),
    "recurrence": (cumulative.recurrence, A, B),
    "alias": (lambda a: np.positive(a) ** 2, A),
    "copy": (lambda a: np.copy(a) ** 2, A),
    "real": (lambda a: np.real(a) ** 2, A),
    "astype": (lambda a: a.astype(np.float32).astype(np.float64) ** 2, A.astype(np.float32)),
    "getitem": (lambda a: a[1:, 0] * a[0, 0] + a[I, :][:2, 1] + a[a > 0].sum() ** 2, A),
    "scatter": (lambda a, v: indexing.scatter(a[0], v, I, indices=PLACES, shape=(6,)) ** 2, A, A[:, 0]),
    "binary_cross_entropy": (ad.binary_cross_entropy, P, P.T.reshape(3, 4)),
    "binary_cross_entropy_with_logits": (ad.binary_cross_entropy_with_logits, A, P),
    "squared_error": (ad.squared_error, A, B),
    "cross_entropy": (lambda z, t: ad.cross_entropy_of_probabilities(z, t) + ad.cross_entropy_of_labels(z, I), A, P),
    "matmul": (lambda a, m, v: (a @ m, m.T @ v, v @ a.T, v @ v), A, M, A[0]),
    "linear": (ad.linear, A, M.T, M[0]),
    "sum": (lambda a: a.sum(axis=0, keepdims=True) * a.sum(), A),
    "mean": (lambda a: a.mean(axis=1) ** 2, A),
    "max": (lambda a: a.max(axis=0) * a.max(), A),
    "min": (lambda a: np.min(a, axis=1, keepdims=True) ** 2, A),
    "reshape": (lambda a: a.reshape(4, 3) ** 2, A),
    "transpose": (lambda a, b: np.transpose(a.reshape(3, 2, 2), (2, 0, 1)) ** 2 * b.T[:2, 0, None, None], A, B),
    "expand_dims": (lambda a: np.expand_dims(a, 1) * a, A),
    "squeeze": (lambda a: np.squeeze(a) ** 2, A[:, None]),
    "broadcast_to": (lambda a: np.broadcast_to(a, (2, 3, 4)) ** 2, A),
    "sum_to": (lambda a: ad.sum_to(a, shape=(4,)) ** 2, A),
    "split": (lambda a: [part ** 2 for part in np.split(a, 2, axis=1)], A),
    "concatenate": (lambda a, b: np.concatenate([a, b, a], axis=1) ** 2, A, B),
    "stack": (lambda a, b: np.stack([a, b], axis=1) ** 2, A, B),
    "dropout_mask": (lambda a: ad.dropout(a, 0.5, rng=3) ** 2, A),
    "sigmoid": (ad.sigmoid, A),
    "softplus": (ad.softplus, A),
    "relu": (lambda a: ad.relu(a) ** 2, A),
    "softmax": (lambda a: ad.softmax(a, axis=0) * A, A),
    "log_softmax": (ad.log_softmax, A),
    "logsumexp": (lambda a: ad.logsumexp(a, axis=0) * ad.logsumexp(a), A),
}
CONSTANT = {"greater", "greater_equal", "less", "less_equal", "equal", "not_equal", "logical_and", "logical_or",
            "logical_xor", "logical_not", "bitwise_and", "bitwise_or", "bitwise_xor", "invert", "sign", "floor",
            "one_hot", "ceil", "trunc", "rint", "round", "floor_divide", "signbit", "middle", "argmax",
            "argmin", "any", "all", "count_nonzero", "nonzero"}


@pytest.mark.parametrize("name", CASES)
def test_every_operation_to_second_order(name):
    f, *args = CASES[name]
    gradcheck(f, *args, order=2)


@pytest.mark.parametrize("name", CASES)
def test_every_operation_in_float32(name):
    f, *args = CASES[name]
    if name != "scatter":
        gradcheck(f, *(np.asarray(a, np.float32) for a in args))


def test_no_operation_is_forgotten():
    modules = (activations, arithmetic, complex_, contraction, cumulative, elementary, indexing, linalg, losses,
               products, random, reductions, selecting, shapes, stable, trigonometric)
    names = {x.name for module in modules for x in vars(module).values() if isinstance(x, Op)} - {select.name}
    assert names - set(CASES) - CONSTANT - {"truncate", "astype", "detach"} == set()


def test_constant_operations_pass_where_they_are_used():
    def f(a, b):
        return (a > 0) * (b <= 0.1) * a + np.sign(b) * a * a + np.floor(a) * b + ~(a < b) * a

    gradcheck(f, A, B, order=2)


# ---- what may go in and come out

def test_nested_arguments_and_outputs():
    def f(params, x, n, layers):
        h = np.tanh(x @ params["W"] + params["b"]) * n
        return {"h": h, "extras": [h.sum(axis=0) * layers[0], (layers[1] ** 2).sum(), None]}

    gradcheck(f, {"W": M, "b": 0.5}, A, 3, (M[0], np.ones(2)), order=2)


def test_tensors_are_checked_and_left_alone():
    W = ad.Tensor(M, requires_grad=True)
    gradcheck(lambda W: (W * W).sum(), W)
    assert W.grad is None


def test_integers_strings_and_functions_are_passed_through():
    def f(x, axis, how, g):
        assert type(axis) is int and how == "sum"
        return g(x).sum(axis=axis)

    gradcheck(f, A, 1, "sum", np.tanh)


def test_some_elements_only():
    gradcheck(lambda W: np.tanh(W).sum(), rng.normal(size=(300, 300)), elements=5)


def test_third_order():
    gradcheck(lambda x: (x ** 3 * np.exp(x)).sum(), A[0], order=3)


def test_what_cannot_be_checked_says_so():
    with pytest.raises(TypeError, match="nothing to check"):
        gradcheck(lambda n: n, 3)
    with pytest.raises(GradcheckError, match="nothing on the tape"):
        gradcheck(lambda x: np.sum(x.data ** 2), A)
    with pytest.raises(ad.TracedValueError, match=r"ad\.gradcheck"):
        gradcheck(lambda x: x if x.sum() > 0 else -x, A)
    with pytest.raises(GradcheckError, match="value is nan"):
        gradcheck(lambda x: np.log(x).sum() if False else (x * np.nan).sum(), A)


# ---- what is wrong

def wrong_cube():
    @ad.op
    def cube(x):
        return x * x * x
    return cube.derivative(lambda y, x: 2 * x * x)


def test_a_wrong_rule_is_found_and_named():
    cube = wrong_cube()

    def f(W, x):
        h = np.tanh(W @ x)
        return cube(h).sum()

    with pytest.raises(GradcheckError) as caught:
        gradcheck(f, A, A[0])
    error, message = caught.value, str(caught.value)
    assert isinstance(error, ad.AutodiffError) and isinstance(error, AssertionError)
    assert error.op == "cube" and error.order == 1 and error.method == "complex step" and error.name in ("W", "x")
    assert error.error > 1e6 * error.tolerance
    assert abs(error.tape / error.numeric - 2 / 3) < 1e-9 or error.error == abs(error.tape - error.numeric)
    for text in (f"{error.name}[", "tape ", "complex step", "rounding explains",
                 "the derivative rule of cube with respect to h", "test_gradcheck.py", "cube(h)"):
        assert text in message, message


@pytest.mark.parametrize("relative", [1e-2, 1e-6, 1e-10])
def test_a_rule_wrong_by_little(relative):
    @ad.op
    def half_sine(x):
        return np.exp(x)
    half_sine.derivative(lambda y, x: y * (1 + relative))
    with pytest.raises(GradcheckError):
        gradcheck(half_sine, A)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_a_wrong_rule_at_any_scale(scale):
    cube = wrong_cube()
    with pytest.raises(GradcheckError):
        gradcheck(lambda x: scale * cube(x), A)
    with pytest.raises(GradcheckError):
        gradcheck(lambda x: cube(scale * x), A)
    gradcheck(lambda x: scale * (scale * x) ** 3, A, order=2)


def test_wrong_in_float32():
    with pytest.raises(GradcheckError):
        gradcheck(wrong_cube(), A.astype(np.float32))

    @ad.op
    def near(x):
        return x * x
    near.derivative(lambda y, x: 2.0001 * x)
    with pytest.raises(GradcheckError, match="near"):
        gradcheck(near, A.astype(np.float32))


def test_wrong_in_one_argument_and_one_element():
    @ad.op
    def scaled(x, w):
        return x * w
    scaled.derivative(lambda y, x, w: w, lambda y, x, w: x * np.array([1.0, 1.0, 1.0, 1.001]))
    with pytest.raises(GradcheckError) as caught:
        gradcheck(scaled, A, A[0])
    assert (caught.value.name, caught.value.index) == ("w", (3,))


def test_wrong_at_second_order_only():
    @ad.op
    def cube(x):
        return x * x * x

    @ad.op
    def square(x):
        return x * x
    square.derivative(lambda y, x: 3 * x)               # wrong, and used by the rule of cube alone
    cube.derivative(lambda y, x: 3 * square(x))
    gradcheck(cube, A)
    with pytest.raises(GradcheckError, match="Hessian") as caught:
        gradcheck(cube, A, order=2)
    assert caught.value.order == 2 and caught.value.op == "square"


def test_a_recorded_gradient_that_differs_from_the_plain_one():
    @ad.op
    def twice(x):
        return x * 2.0
    twice.transpose(lambda g, y, x: g * (2.0 if isinstance(x, np.ndarray) else 3.0))
    with pytest.raises(GradcheckError) as caught:
        gradcheck(twice, A)
    assert caught.value.method == "recorded" and caught.value.tolerance < 1e-12


# ---- operations that are not analytic, or whose rules take only arrays

def test_operations_unknown_to_complex_numbers_and_to_tensors():
    @ad.op
    def erf(x):
        return np.vectorize(math.erf)(x)
    erf.derivative(lambda y, x: 2 / math.sqrt(math.pi) * np.vectorize(lambda t: math.exp(-t * t))(x))
    gradcheck(lambda x: erf(x) * x, A)
    gradcheck(lambda x: (erf(x) * x).sum(), A.astype(np.float32))

    @ad.op
    def bad(x):
        return np.vectorize(math.erf)(x)
    bad.derivative(lambda y, x: 1.001 * 2 / math.sqrt(math.pi) * np.vectorize(lambda t: math.exp(-t * t))(x))
    with pytest.raises(GradcheckError) as caught:
        gradcheck(lambda x: bad(x) * x, A)
    assert caught.value.method == "Richardson" and caught.value.op == "bad"


def test_a_forward_that_drops_or_conjugates_the_imaginary_part():
    for forward in (lambda x: np.abs(x), lambda x: np.abs(x) + 0 * x, lambda x: np.conj(x) * np.sign(np.real(x))):
        magnitude = ad.op(forward).derivative(lambda y, x: np.sign(x))
        gradcheck(magnitude, A)
        with pytest.raises(GradcheckError):
            gradcheck(ad.op(forward).derivative(lambda y, x: -np.sign(x)), A)


def test_rules_with_numpy_functions_that_have_none_here():
    @ad.op
    def arc(x):
        return np.arctan(x)
    arc.derivative(lambda y, x: 1 / (1 + np.hypot(x, 0) ** 2))
    gradcheck(arc, A)


# ---- kinks

def test_elements_at_a_kink_are_left_out_and_the_others_checked():
    x = np.array([0.0, 1.0, -2.0, 0.0])
    gradcheck(lambda x: ad.relu(x) * x + ad.relu(x), x)
    gradcheck(abs, x, order=2)
    gradcheck(lambda x: x.clip(-2.0, 1.0), x)
    gradcheck(lambda x: np.where(x > 0, 2 * x, x), x)
    gradcheck(lambda x: np.maximum(x, np.zeros(4)), x)
    gradcheck(lambda x: np.stack([x, x[::-1]]).max(axis=0), x)
    gradcheck(lambda x: np.floor(x) * x + np.sign(x), x + np.array([0.5, 0, 0, 0]))

    @ad.op
    def wrong(x):
        return np.maximum(x, 0)
    wrong.derivative(lambda y, x: (x > 0) * 1.01)
    with pytest.raises(GradcheckError) as caught:
        gradcheck(lambda x: wrong(x) + ad.relu(x), x)
    assert caught.value.index == (1,) and "relu at" in str(caught.value)


@pytest.mark.parametrize(("f", "op"), [
    (abs, "absolute"), (ad.relu, "relu"), (lambda x: np.maximum(x, 0.0), "maximum"),
    (lambda x: x.clip(0.0, 1.0), "clip"), (lambda x: np.where(x > 0, x, 0), "greater")])
def test_nothing_but_kinks_is_an_error_that_names_the_line(f, op):
    with pytest.raises(GradcheckError, match="at a kink") as caught:
        gradcheck(lambda x: f(x), np.zeros(2))
    assert f"{op} at" in str(caught.value) and "test_gradcheck.py" in str(caught.value)


def test_a_kink_reached_only_by_rounding():
    w = np.array([0.1, 0.2, 0.3])                       # 0.1 + 0.2 - 0.3 is 5.6e-17
    gradcheck(lambda w, v: ad.relu(w[0] + w[1] - w[2]) + (w * v).sum(), w, w)
    with pytest.raises(GradcheckError, match="relu"):
        gradcheck(lambda w: ad.relu(w[0] + w[1] - w[2]) + (w * w).sum(), w)


# ---- the two numeric methods

def test_complex_step_and_richardson_agree():
    x = ad.Tensor(A, requires_grad=True)
    tape = ad.Tape((np.tanh(x) * np.exp(-x * x)).sum())
    exact = complex_step(tape, x)
    value, error = richardson(tape, x)
    assert np.all(np.abs(value - exact) <= error + 1e-15) and error.max() < 1e-9
    assert np.allclose(exact.reshape(A.shape), ad.gradients(ad.Tensor.of(tape.outputs[0]), [x])[0], rtol=1e-13)


def test_with_respect_to_an_intermediate_and_elsewhere():
    x = ad.Tensor([1.0, 2.0], requires_grad=True)
    z = x * x
    tape = ad.Tape((z ** 3).sum())
    assert complex_step(tape, z) == pytest.approx([3.0, 48.0], rel=1e-14)
    assert complex_step(tape, z, [(1,)], {x.record: np.array([1.0, 1.0])}) == pytest.approx([48.0], rel=1e-14)
    assert complex_step(tape, x, [(1,)], {x.record: np.array([1.0, 1.0])}) == pytest.approx([6.0], rel=1e-14)


def test_the_error_bar_is_wide_at_a_kink():
    x = ad.Tensor([1e-4, 1.0], requires_grad=True)
    _, error = richardson(ad.Tape(abs(x).sum()), x)
    assert error[0] > 1e-3 > 1e-9 > error[1]


def test_not_analytic_names_the_operation():
    @ad.op
    def magnitude(x):
        return np.abs(x)
    magnitude.derivative(lambda y, x: np.sign(x))
    x = ad.Tensor(A, requires_grad=True)
    with pytest.raises(NotAnalytic, match="magnitude"):
        complex_step(ad.Tape(magnitude(x).sum()), x)


def test_right_rules_are_not_accused():
    for name, (f, *args) in CASES.items():
        tensors = [ad.Tensor(a, requires_grad=True) for a in args]
        value = f(*tensors)
        for y in value if isinstance(value, tuple | list) else [value]:
            assert wrong_rules(ad.Tape((y * y).sum())) == [], name


@pytest.mark.parametrize("factor", [1, 2])
def test_a_rule_that_finds_the_chosen_elements_again(factor: int) -> None:
    """Noise on the result alone would break ``x == y``, and the doubt about that would excuse any factor."""
    @ad.op
    def top(x):
        return np.max(x)

    @ad.op
    def positive(x):
        return np.maximum(x, 0)

    top.vjp(lambda g, y, x: factor * g * (x == y))
    positive.derivative(lambda y, x: factor * 1.0 * (y == x))
    for f in (top, positive):
        if factor == 1:
            ad.gradcheck(f, np.array([1.0, 3.0, -2.0]))
        else:
            with pytest.raises(GradcheckError, match=f"rule of {f.name}"):
                ad.gradcheck(f, np.array([1.0, 3.0, -2.0]))
