"""Text, LaTeX and MathML of every model: well formed, of hostile names too, and the same in content."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autodiff as ad
from autodiff.derivation.symbols import symbol_of
from autodiff.derivation.text import Text
from tests.derivation import models

ENVIRONMENT = re.compile(r"\\(begin|end)\{(\w+\*?)\}")
MATH = "{http://www.w3.org/1998/Math/MathML}"
CORE = {"math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "msub", "msup", "msubsup", "munder", "mover", "mfrac",
        "msqrt", "mtable", "mtr", "mtd"}
ARITY = {"msub": 2, "msup": 2, "msubsup": 3, "munder": 2, "mover": 2, "mfrac": 2}


def balanced(latex):
    """Braces, environments, \\left and \\right, and dollars pair up."""
    plain = re.sub(r"\\[{}$\\&%#_]", "", latex)
    depth = 0
    for c in plain:
        depth += (c == "{") - (c == "}")
        assert depth >= 0
    assert depth == 0
    stack = []
    for kind, name in ENVIRONMENT.findall(latex):
        if kind == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert not stack
    assert latex.count(r"\left") - latex.count(r"\leftarrow") == latex.count(r"\right") - latex.count(r"\rightarrow")
    assert plain.count("$") % 2 == 0


def well_formed(text):
    """XML whose MathML elements are of the Core and have as many children as they must."""
    root = ET.fromstring(text)
    for element in root.iter():
        if element.tag.startswith(MATH):
            name = element.tag.removeprefix(MATH)
            assert name in CORE
            if name in ARITY:
                assert len(element) == ARITY[name], ET.tostring(element)
    assert "\\" not in text
    return root


@pytest.mark.parametrize("simplify", [True, False])
@pytest.mark.parametrize("numbers", [True, False])
@pytest.mark.parametrize("model", models.ALL, ids=lambda model: model.__name__)
def test_every_model(model, numbers, simplify):
    loss, wrt = model()
    d = ad.derive(loss, wrt, numbers=numbers, simplify=simplify)
    text = str(d)
    assert text.count("∂") >= 2 and "\n\n\n" not in text and "None" not in text
    balanced(d.latex())
    well_formed(d.mathml())
    well_formed(d._repr_html_())
    balanced(d._repr_latex_())
    assert repr(d).startswith("<derivation of ∂")
    assert str(d.cost())


EVERY = pytest.mark.parametrize("model", models.ALL, ids=lambda model: model.__name__)


def check_each(loss, records):
    """Each is verified when it is made."""
    for r in records:
        if r.requires_grad and r is not loss.record and not isinstance(r.value, tuple):
            d = ad.derive(loss, ad.Tensor.of(r))
            np.testing.assert_allclose(d.gradient, ad.gradients(loss, [ad.Tensor.of(r)])[0], rtol=1e-5, atol=1e-12)


@EVERY
def test_every_parameter(model):
    loss, _ = model()
    check_each(loss, ad.Tape(loss).leaves)


@pytest.mark.slow
@EVERY
def test_every_intermediate(model):
    loss, _ = model()
    check_each(loss, ad.Tape(loss))


@pytest.mark.parametrize("model", [models.gru, models.layer_norm, models.by_hand], ids=lambda model: model.__name__)
def test_intermediates(model):
    loss, _ = model()
    check_each(loss, [r for k, r in enumerate(ad.Tape(loss)) if r.name or k % 3 == 0])


@pytest.mark.parametrize(("name", "text"), [
    ("W1", "W₁"), ("W12", "W₁₂"), ("yhat", "ŷ"), ("y_hat", "ŷ"), ("xbar", "x̄"), ("delta", "δ"), ("W_hh", "Wₕₕ"),
    ("W_Q", "W_Q"), ("loss", "loss"), ("log_var", "log_var"), ("layers.0.weight", "W₀"), ("2.weight", "W₂"),
    ("encoder.fc.bias", "b_encoder.fc"), ("ŷ", "ŷ"), ("θ_1", "θ₁"), ("h_prev", "h_prev"), ("_", "_"), ("x__y", "x__y"),
    ("z1_2", "z_(1,2)"),
    ("loss2", "loss₂"), ("a<b>", "a<b>"),
])
def test_names(name, text):
    assert Text().formula(symbol_of(name)) == text


HOSTILE = ["a<b>&", "_", "^", "$x$", "\\frac{", "}", "%#~", "]]>", "<!--", "&amp;", "\x00\x07", "lo\nss", "x|y",
           "\u202e evil", "名前", "λ′", "\\", "'\"", "a" * 300]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(name):
    check_names(name, "other")


@settings(max_examples=40, deadline=None)
@given(st.text(min_size=1, max_size=12), st.text(min_size=1, max_size=12))
def test_any_names(first, second):
    check_names(first, second)


def check_names(first, second):
    W = ad.Tensor(np.ones((2, 3)), requires_grad=True, name=first)
    x = np.arange(6.0).reshape(2, 3)
    z = (x @ W.T).named(second)
    loss = (z * z).mean().named(first + second)
    d = ad.derive(loss, W, numbers=True)
    assert "\n\n\n" not in str(d)
    balanced(d.latex())
    well_formed(d.mathml())
    well_formed(d._repr_html_())


def test_names_that_would_look_alike_stay_apart():
    a = ad.Tensor(np.ones(2), requires_grad=True, name="W1")
    b = ad.Tensor(np.ones(2), requires_grad=True, name="W_1")
    loss = (a * b).sum()
    assert "W₁ ⊙ W_1" in str(ad.derive(loss, "W1"))


def test_a_users_delta_is_not_ours():
    delta = ad.Tensor(np.ones(2), requires_grad=True, name="delta")
    z = (3 * delta).named("z")
    loss = (z * z * z).sum()
    page = str(ad.derive(loss, "delta"))
    assert "∂loss/∂δ = 3 g" in page


def test_latex_of_the_notes():
    latex = ad.derive(models.rows()[0], "W1").latex()
    for piece in (r"\delta_{2} &= \frac{\partial \text{loss}}{\partial z_{2}} = \delta_{3} \, W_{3} \odot "
                  r"\sigma^{\prime}\left(z_{2}\right)",
                  r"\frac{\partial \text{loss}}{\partial W_{1}} &= \delta_{1}^{\top} \, x",
                  r"\frac{\hat{y} - y}{m}",
                  r"\sum_{s} {\left[\delta_{1}\right]}_{si} \, {x}_{sj}"):
        assert piece in latex


def test_mathml_of_the_notes():
    root = well_formed(ad.derive(models.rows()[0], "W1").mathml())
    formulas = ["".join(element.itertext()) for element in root.iter(f"{MATH}math")]
    assert "=δ1⊤x" in formulas
    assert "=∂loss∂z2=δ3W3⊙σ′(z2)" in formulas


def test_parentheses_keep_the_meaning():
    """What is printed for a nest of operations reads as what was computed."""
    x, y = (ad.Tensor(np.array([2.0, 3.0]), requires_grad=True, name=name) for name in "xy")
    for f, wanted in ((lambda: x - (y - x), "x − (y − x)"), (lambda: (x - y) * x, "(x − y) ⊙ x"),
                      (lambda: x / (y * x), "x/(y ⊙ x)"), (lambda: (x + y) ** 2, "(x + y)²"),
                      (lambda: -(x + y) * y, "−(x + y) ⊙ y"), (lambda: (x / y) ** 3, "(x/y)³"),
                      (lambda: x - (-y), "x + y"), (lambda: np.exp(-x) * 2, "2 exp(−x)"),
                      (lambda: (x * y) ** 2 / (x - 1), "(x ⊙ y)²/(x − 1)")):
        u = f().named("u")
        loss = (u * u).sum()
        assert f"u = {wanted} " in str(ad.derive(loss, "x"))
