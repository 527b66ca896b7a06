"""`ad.source`: the text a person would have written, which runs as it stands and computes what the tape does."""

import ast
import re
import subprocess
import sys
from functools import cache

import numpy as np
import pytest

import autodiff as ad
from autodiff.program import text as texts
from autodiff.program.writing import Text
from tests.program.models import MODELS

EVERY = pytest.mark.parametrize("name", MODELS)


def recorded(name, seed=0):
    return MODELS[name](np.random.default_rng(seed))


@cache
def printed(name, simplify=True):
    """A model's loss and its source, made once for all tests."""
    loss = recorded(name)
    return loss, ad.source(loss, simplify=simplify)


def leaves_of(loss):
    return [ad.Tensor.of(r) for r in ad.Tape(loss).leaves if r.requires_grad]


def body(source):
    [function] = [node for node in ast.parse(source).body if getattr(node, "name", "") == "gradients"]
    return function


# ---- must show

@pytest.mark.parametrize("name", ["notes_in_rows", "notes_in_columns", "notes_as_layers"])
def test_the_notes_network_takes_at_most_16_backward_lines(name):
    source = ad.source(recorded(name))
    assert source.backward_lines <= 11
    assert source.forward_lines == 6


def test_the_notes_network_is_written_as_on_paper():
    source = ad.source(recorded("notes_in_rows"))
    for line in ["def gradients(x, y, W1, b1, W2, b2, W3, b3):", "z1 = x @ W1.T + b1", "a1 = 1 / (1 + np.exp(-z1))",
                 "dz3 = (a3 - y) / 20", "dW3 = dz3.T @ a2", "db3 = dz3.sum(axis=0)", "da2 = dz3 @ W3",
                 "dz2 = da2 * a2 * (1 - a2)", "dW1 = dz1.T @ x", "# (6, 5)", "∂loss/∂z3 = (a3 - y) / 20",
                 'return {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2, "W3": dW3, "b3": db3}']:
        assert line in source
    columns = ad.source(recorded("notes_in_columns"))
    for line in ["dW3 = dZ3 @ A2.T", "dA2 = W3.T @ dZ3", "db3 = dZ3.sum(axis=1, keepdims=True)"]:
        assert line in columns


@EVERY
def test_models_printed_and_executed_agree_to_1e13(name):
    loss, source = printed(name)
    namespace = {}
    exec(str(source), namespace)
    found = namespace["gradients"](**{name: np.copy(value) for name, value in source.recorded.items()})
    expected = ad.gradients(loss, leaves_of(loss))
    rtol = 1e-13 if loss.dtype == np.float64 else 1e-5
    for value, right in zip(found.values(), expected, strict=True):
        assert np.max(np.abs(value - right), initial=0) <= rtol * np.max(np.abs(right), initial=0)


@EVERY
def test_models_unsimplified_to_the_last_bit(name):
    _, source = printed(name, simplify=False)
    assert source.checked == "to the last bit"


@EVERY
def test_what_is_printed_is_a_valid_manual(name):
    loss, source = printed(name)
    assert ad.compare(loss, source).ok


def test_at_random_points_too():
    for name in ["notes_in_rows", "softmax_classifier", "layer_norm", "gru_cell", "recurrent"]:
        loss, source = printed(name)
        assert ad.compare(loss, source, resample=3).ok


def test_it_runs_with_numpy_alone():
    """In a process that cannot import ours."""
    loss = recorded("attention")
    source = ad.source(loss)
    arguments = {name: np.asarray(value).tolist() for name, value in source.recorded.items()}
    code = f"{source}\nimport sys\narguments = {arguments!r}\n" \
           "g = gradients(**{k: np.array(v) for k, v in arguments.items()})\n" \
           "print(sorted(m for m in sys.modules if m.startswith(('autodiff', 'nn', 'viz'))), float(g['Wq'].sum()))"
    out = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, cwd="/").stdout
    modules, _, total = out.strip().rpartition(" ")
    Wq = next(t for t in leaves_of(loss) if t.shape == (8, 4))
    assert modules == "[]"
    assert np.isclose(float(total), ad.gradients(loss, [Wq])[0].sum(), rtol=1e-12)


# ---- as a person writes

@EVERY
def test_no_line_is_dead_and_no_name_is_given_twice(name):
    for simplify in (True, False):
        _, source = printed(name, simplify)
        function = body(source)
        names = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
        read = {node.id for node in names if isinstance(node.ctx, ast.Load)}
        stored = [node.id for node in names if isinstance(node.ctx, ast.Store)]
        assert len(set(stored) - {"_"}) == len([s for s in stored if s != "_"])
        assert {argument.arg for argument in function.args.args} <= read
        assert set(stored) - {"_"} <= read
        assert "autodiff" not in source


@EVERY
def test_lines_are_short(name):
    for line in str(printed(name)[1]).splitlines():
        assert len(line.partition("  # (")[0]) <= 100 or line.startswith(("MILLS", "    axes", "    return"))


def test_common_subexpressions_are_shared_and_constants_multiplied_out():
    x = np.arange(6.0).reshape(2, 3)
    w = ad.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    loss = 3 * ((2 * (x * w)) ** 2).mean() / 4
    source = ad.source(loss)
    assert "dw = (x * w * x).sum(axis=0)" in source


def test_only_the_forward_that_the_backward_reads():
    w = ad.Tensor([1.0, 2.0], requires_grad=True)
    u = np.sin(w)
    loss = (3 * u).sum() + np.log(w).sum()
    source = ad.source(loss)
    assert source.forward_lines == 0
    assert "np.sin" not in source
    assert "np.log" not in source


def test_the_loss_too_on_request():
    loss = recorded("notes_in_rows")
    source = ad.source(loss, with_loss=True)
    value, found = source.function(**source.recorded)
    assert value == loss.item()
    assert list(found) == ["W1", "b1", "W2", "b2", "W3", "b3"]
    assert "return loss, {" in source


def test_it_states_what_it_is_specialised_to():
    w = ad.Tensor([1.0, 2.0], requires_grad=True)
    s = (w * w).sum()
    if s > 1:
        loss = s * 2
    else:
        loss = s * 3
    source = ad.source(loss)
    assert "w (2,)" in source
    assert "s > 1" in source
    assert "bool()" in source
    dropped = ad.source(recorded("with_dropout"))
    assert "keys" in dropped


def test_assumptions_are_told():
    z = ad.Tensor(np.random.default_rng(0).normal(size=(4, 3)), requires_grad=True)
    t = np.full((4, 3), 1 / 3)
    p = ad.softmax(z)
    loss = -(t * np.log(p)).sum(axis=1).mean()
    assert ad.compare(loss, ad.source(loss)).ok


# ---- what is asked for

def test_by_name_by_tensor_and_intermediates():
    loss = recorded("notes_in_rows")
    tape = ad.Tape(loss)
    z2 = ad.Tensor.of(tape.find("z2"))
    source = ad.source(loss, [z2, "W3"])
    assert 'return {"z2": dz2, "W3": dW3}' in source
    assert 'return {"W3": dW3}' in ad.source(loss, "W3")
    assert "z1" not in ad.source(loss, z2).partition("# backward")[2]


def test_names_given():
    a, b = (ad.Tensor(np.ones(2) * k, requires_grad=True) for k in (1.0, 2.0))
    loss = (a * b * b).sum()
    source = ad.source(loss, names={"alpha": a, "layers.0.weight": b})
    assert "def gradients(alpha, layers_0_weight):" in source
    assert '"layers.0.weight": ' in source
    assert list(source.function(np.ones(2), np.full(2, 2.0))) == ["alpha", "layers.0.weight"]


def test_hostile_names():
    rng = np.random.default_rng(0)
    names = ["lambda", "np", "gradients", 'a"b', "a\\b", "größe", "1st", "", "x y", "softmax", "d", "dd", "sum", "0"]
    tensors = [ad.Tensor(rng.normal(size=3), requires_grad=True, name=name or None) for name in names]
    total = tensors[0] * 0
    for t in tensors:
        total = total + ad.softmax(np.sin(t)) * t
    loss = (total ** 2).sum()
    for simplify in (True, False):
        source = ad.source(loss, simplify=simplify)
        assert set(source.function(*(t.data for t in tensors))) >= {name for name in names if name}


def test_a_gradient_of_zero_and_one_of_a_number():
    w, v = ad.Tensor([1.0, 2.0], requires_grad=True), ad.Tensor(2.0, requires_grad=True)
    loss = v * 3 + np.floor(w).sum()
    assert 'return {"w": np.zeros(2), "v": 3.0}' in ad.source(loss)
    assert 'return {"v": 3.0}' in ad.source(v * 3, v)
    assert 'return {"v": 1.0}' in ad.source(v)


def test_refusals():
    loss = recorded("linear_regression")
    with pytest.raises(ad.GradientError, match="nothing on this tape is called 'W9'; known names: .*yhat"):
        ad.source(loss, "W9")
    with pytest.raises(ad.OperandError, match="wrt= is a name"):
        ad.source(loss, [3])
    with pytest.raises(ad.OperandError, match="takes tensors"):
        ad.source(3.0)
    with pytest.raises(ad.GradientError, match="non-scalar"):
        ad.source(ad.Tensor([1.0, 2.0], requires_grad=True) * 2)
    c = ad.Tensor([1.0, 2.0], name="c")
    w = ad.Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(ad.GradientError, match="no gradient flows to c"):
        ad.source((c * w).sum(), "c")


def test_a_changed_array_is_noticed():
    x = np.ones(3)
    w = ad.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    loss = (x * w * w).sum()
    x += 1
    with pytest.raises(ad.MutationError, match="x, used by multiply"):
        ad.source(loss)


def test_nothing_of_the_users_is_touched():
    loss = recorded("embedding")
    before = [np.copy(t.data) for t in leaves_of(loss)]
    ad.source(loss)
    assert all(t.grad is None and np.array_equal(t.data, b) for t, b in zip(leaves_of(loss), before))
    loss.backward()


# ---- never silently wrong

def wrong_tanh(r, w):
    return Text(f"np.sin({w.arg(r.inputs[0])})")


@pytest.mark.parametrize("simplify", [True, False])
def test_a_text_that_computes_something_else_raises(monkeypatch, simplify):
    w = ad.Tensor([0.5, 0.7], requires_grad=True)
    loss = np.tanh(w).sum()
    [tanh] = [r.op for r in ad.Tape(loss) if r.op.name == "tanh"]
    monkeypatch.setitem(texts.TEXTS, tanh, wrong_tanh)
    with pytest.raises(ad.SourceError, match="printed gradient of w differs"):
        ad.source(loss, simplify=simplify)


def test_a_text_that_does_not_run_raises(monkeypatch):
    w = ad.Tensor([0.5, 0.7], requires_grad=True)
    loss = np.tanh(w).sum()
    [tanh] = [r.op for r in ad.Tape(loss) if r.op.name == "tanh"]
    monkeypatch.setitem(texts.TEXTS, tanh, lambda r, w: Text(f"np.eye(3)[{w.arg(r.inputs[0])}]"))
    with pytest.raises(ad.SourceError, match="printed gradient of w does not run: .*integer") as caught:
        ad.source(loss)
    assert isinstance(caught.value.__cause__, IndexError)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_single_label_is_a_number_in_an_index(dtype):
    w = ad.Tensor(np.array([0.1, 0.2, 0.3], dtype), requires_grad=True)
    y = np.tanh(w)
    loss = y.mean() + w[0].mean() + (w * 1).sum()
    assert "[0]" in ad.source(loss)


def test_a_wrong_simplification_raises(monkeypatch):
    import autodiff.program.simplification as simplification
    w = ad.Tensor([0.5, 0.7], requires_grad=True)
    loss = (w - 3 * w * w).sum()
    monkeypatch.setitem(simplification.RULES, ad.Tape(loss)[0].op, (lambda r, state: r.inputs[0],))
    with pytest.raises(ad.SourceError):
        ad.source(loss)


def test_saturated_values_print_too():
    """The tape's own gradient is no number there, and the text's is none either."""
    y = np.array([0.0, 1.0])
    z = ad.Tensor([800.0, 2.0], requires_grad=True)
    a = ad.sigmoid(z)
    with np.errstate(all="ignore"):
        loss = -(y * np.log(a) + (1 - y) * np.log(1 - a)).mean()
        for simplify in (True, False):
            found = ad.source(loss, simplify=simplify).function(y, z.data)["z"]
            assert np.array_equal(np.isnan(found), np.isnan(ad.gradients(loss, [z])[0]))


# ---- operations of one's own

OFFSET = np.array([1.0, 2.0])
POWER = 3


def helper(x):
    """A part of the forward."""
    return x ** POWER + OFFSET


@ad.op
def wavy(x: np.ndarray, *, scale: float = 2.0) -> np.ndarray:
    """With all that a source must take along."""
    y: np.ndarray = scale * np.sin(helper(x))
    return y


wavy.derivative(lambda y, x, scale=2.0: scale * np.cos(helper(x)) * POWER * x ** (POWER - 1))


def test_an_operation_of_ones_own_is_taken_along():
    w = ad.Tensor([0.3, 0.4], requires_grad=True)
    loss = (wavy(w, scale=1.5) ** 2).sum()
    source = ad.source(loss)
    for line in ["def wavy(x, *, scale=2.0):", "POWER = 3", "def helper(x):", "OFFSET = np.array([1.0, 2.0]",
                 "wavy(w, scale=1.5)"]:
        assert line in source
    assert "A part of" not in source


def test_one_that_cannot_be_taken_along_is_told():
    class Table:
        rows = np.ones(2)
    table = Table()

    @ad.op
    def looked_up(x):
        return x * x * table.rows
    looked_up.derivative(lambda y, x: 2 * x)
    w = ad.Tensor([0.3, 0.4], requires_grad=True)
    loss = (looked_up(w) ** 2).sum()
    with pytest.raises(ad.SourceError, match=r"looked_up cannot be printed: table, which looked_up uses, is a Table"):
        ad.source(loss)


def test_a_rule_that_works_on_arrays_only_is_told():
    @ad.op
    def ordered(x):
        return np.sort(x)
    ordered.vjp(lambda g, y, x: np.asarray(g)[np.argsort(np.argsort(np.asarray(x)))])
    w = ad.Tensor([0.3, -0.4], requires_grad=True)
    u = np.sin(w)
    y = ordered(u)
    loss = (y * np.arange(2.0)).sum()
    assert ad.gradients(loss, [w])[0].shape == (2,)
    for simplify in (True, False):
        with pytest.raises(ad.SourceError, match="the gradient of ordered cannot be printed") as caught:
            ad.source(loss, simplify=simplify)
        said = str(caught.value)
        assert "its rule works on plain arrays only" in said and "State the rule of ordered in NumPy functions" in said
        assert re.search(r"at \S*test_source.py:\d+: ordered\(u\)\n", said)
        assert isinstance(caught.value.__cause__, ad.TracedValueError)


def test_an_error_of_no_rule_is_passed_on(monkeypatch):
    import autodiff.program.backward as backward

    def broken(*_, **__):
        raise ZeroDivisionError("elsewhere")
    loss = recorded("linear_regression")
    monkeypatch.setattr(backward, "walk_back", broken)
    with pytest.raises(ZeroDivisionError, match="elsewhere"):
        ad.source(loss)


def test_the_docstring_speaks_as_the_lines_do():
    x, y = np.ones((3, 2)), np.ones((3, 1))
    W1, W2 = (ad.Tensor(np.full(s, 0.1), requires_grad=True) for s in ((4, 2), (1, 4)))
    a1 = np.tanh(x @ W1.T)
    yhat = ad.sigmoid(a1 @ W2.T)
    loss = ad.binary_cross_entropy(yhat, y).mean()
    source = " ".join(ad.source(loss).split())
    assert "∂loss/∂(a1 @ W2.T) = (yhat - y) / 3, by algebra, if the floor 1e-12 within" in source
    assert "matmul" not in source


def test_weights_of_an_average_keep_their_name():
    h, w = ad.Tensor(np.arange(3.0), requires_grad=True), np.array([0.2, 0.3, 0.7])
    m = np.average(h, weights=w)
    loss = m ** 2
    source = ad.source(loss)
    assert "def gradients(w, h):" in source and "(h * w).sum()" in source


def test_a_lambda_is_taken_along():
    doubled = ad.op(lambda x: x * x * 2)
    doubled.derivative(lambda y, x: 4 * x)
    w = ad.Tensor([0.3, 0.4], requires_grad=True)
    loss = (doubled(w) ** 2).sum()
    assert "return x * x * 2" in ad.source(loss)


# ---- layouts and dtypes

@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_every_dtype(dtype):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 4)).astype(dtype)
    W, b = (ad.Tensor(rng.normal(size=s).astype(dtype), requires_grad=True) for s in [(4, 3), (3,)])
    h = ad.relu(x @ W + b)
    loss = (h * 0.1 + np.tanh(h) / 3).mean()
    for simplify in (True, False):
        source = ad.source(loss, simplify=simplify)
        assert all(g.dtype == dtype for g in source.function(*source.recorded.values()).values())


def test_layouts_to_the_last_bit():
    """Sums go with memory: Fortran order, reversed, strided and broadcast arrays."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=(40, 50))
    for x in [np.asfortranarray(base), base[::-1, ::-1], base[::2, 1::3], np.broadcast_to(base[:1], (40, 50)), base.T]:
        w = ad.Tensor(rng.normal(size=x.shape[1]), requires_grad=True)
        V = ad.as_tensor(np.asfortranarray(rng.normal(size=x.shape)), requires_grad=True)
        loss = np.tanh((x * V).sum(axis=0) * w).mean() + (x @ w).mean() + (V * x).sum()
        assert ad.source(loss, simplify=False).checked == "to the last bit"
        assert ad.source(loss).checked == "within rounding"


def test_empty_arrays():
    w = ad.Tensor(np.zeros((0, 3)), requires_grad=True)
    loss = (w * w).sum() + np.exp(w).sum(axis=0).sum()
    assert ad.source(loss)(np.zeros((0, 3)))["w"].shape == (0, 3)


def test_a_tape_of_thousands_of_records():
    w = ad.Tensor([0.1, 0.2], requires_grad=True)
    y = w
    for _ in range(600):                                    # twice as many, more than Python recurses
        y = np.sin(y) * 1.001
    loss = y.sum()
    assert ad.source(loss, simplify=False).checked == "to the last bit"
    assert ad.source(loss).checked == "within rounding"


# ---- the object

def test_a_source_is_text_that_can_be_called():
    loss = recorded("linear_regression")
    source = ad.source(loss)
    assert repr(source) == str(source)
    assert source._repr_markdown_().startswith("```python\nimport numpy as np")
    x, y, w, b = source.recorded.values()
    assert np.array_equal(source(x, y, w, b)["w"], source(w=w, b=b)["w"])
    assert [line.name for line in source.lines] == ["yhat", "dyhat", "db", "dw"]
