"""Operations within one expression, in the words of the user's lines."""

import numpy as np
import pytest

import autodiff as ad
from autodiff.kinds import At
from autodiff.naming import ArrayNames
from autodiff.ops.indexing import put_together, separated
from autodiff.program.text import expression, operand_text
from autodiff.program.writing import ANY, Text

RNG = np.random.default_rng(0)


class Line:
    """Writes an expression in one line, down to what has a name."""

    exact = False

    def __init__(self, tensor):
        self.arrays = ArrayNames(ad.Tape(tensor).all)
        self.asked = []

    def arg(self, x, level=ANY, r=None):
        self.asked.append(r)
        if isinstance(x, ad.record.Record):
            found = Text(x.name) if x.name else expression(x, self)
        else:
            found = operand_text(x, self.arrays) if np.ndim(x) else Text(repr(x))
        return found.text if found.level >= level else f"({found.text})"

    def helper(self, op):
        return op.name


def line(tensor, forward=None):
    return expression(tensor.record, Line(tensor if forward is None else forward)).text


def placed(x, g, *indices):
    """What contributions at these indices give, as the walk back puts them together."""
    parts = map(separated, indices)
    return put_together([At(g, template, arrays) for template, arrays in parts], x.record.value)


def test_a_scatter_is_an_addition_at_an_index():
    E, tokens = ad.Tensor(RNG.normal(size=(13, 4)), requires_grad=True), RNG.integers(0, 13, (32, 3))
    emb = E[tokens]
    demb = ad.Tensor(np.ones(emb.shape), requires_grad=True)
    assert line(placed(E, demb, tokens), emb) == "scatter_add(tokens, demb)"
    rows = ad.Tensor(np.ones((3, 4)), requires_grad=True)
    assert line(placed(E, rows, slice(0, 3)), emb) == "scatter_add(np.s_[0:3], rows)"
    one = ad.Tensor(1.0, requires_grad=True)
    assert line(placed(E, one, (1, 2), (0, 3)), emb) == "scatter_add((1, 2), one) + scatter_add((0, 3), one)"
    assert "array" not in line(placed(E, demb, tokens), emb) and "\u25a1" not in line(placed(E, demb, tokens), emb)


def test_an_assignment_is_an_update():
    x, i = ad.Tensor(RNG.normal(size=5), requires_grad=True), np.array([1, 3])
    v = ad.Tensor([1.0, 2.0], requires_grad=True)
    assert line(ad.index_update(x, i, v), x[i]) == "index_update(x, i, v)"
    assert line(ad.index_update(x, slice(1, 3), v)) == "index_update(x, np.s_[1:3], v)"


def test_plain_operands_are_written_as_the_user_did():
    x, h0, y = RNG.normal(size=(5, 6)), RNG.normal(size=(5, 4)), RNG.normal(size=(5, 4))
    W = ad.Tensor(RNG.normal(size=(6, 4)), requires_grad=True)
    z = x @ W + h0
    assert line(z) == "x @ W + h0"
    assert line(z * (1 - y)) == "z * (1 - y)"
    other = z * (h0 + y)
    assert line(other, z) == "z * array(5, 4)"                          # which the lines known here do not name
    g = ad.Tensor(np.ones((5, 4)), requires_grad=True)
    [product] = [r for r in ad.Tape(z) if r.op.name == "matmul"]
    assert line(product.op.edges[1](g, None, x, W), z) == "x.T @ g"


@pytest.mark.parametrize(("text", "written"), [("x", "x.T"), ("x.T", "x"), ("xs[0]", "(xs[0]).T")])
def test_a_transpose_of_what_is_known_is_known(text, written):
    x = xs = RNG.normal(size=(1, 3, 2))
    x = xs[0]
    W = ad.Tensor(np.ones((3, 3)), requires_grad=True)
    tensor = {"x": W @ x, "xs[0]": W @ xs[0]}.get(text)
    tensor = x.T @ W if tensor is None else tensor
    [plain] = [v for v in ad.Tape(tensor)[0].inputs if isinstance(v, np.ndarray)]
    names = ArrayNames(ad.Tape(tensor).all)
    assert names(plain) == text and names(plain.T) == written
    assert names(np.copy(plain)) == names(plain[:1]) == names(3.0) == ""
