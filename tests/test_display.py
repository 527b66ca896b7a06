"""What notebooks show of tensors, tapes, reports, derivations, modules, histories: sound, safe, and there for all."""

import re
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import autodiff as ad
import nn
from autodiff.derivation import mathml
from autodiff.display import numbers, pieces
from autodiff.record import Leaf, Record
from tests.contrast import contrast
from viz.themes import THEMES, blend

HOSTILE = ["<script>alert(1)</script>", 'a"b\'c', "a\nb\tc", "x & y &amp;", "</style><img src=x onerror=alert(1)>",
           r"\frac{a}{b} $x$", "אבג", "\u202eabc\u2066", "x" * 200, "😀 👩\u200d🚀", "\x00\x1b[31m", "\ud800",
           "]]>", ""]
# What notebooks write on what: Jupyter, Visual Studio Code, Colab, GitHub, in light and in dark.
PAGES = [("#000000", "#ffffff"), ("#212121", "#ffffff"), ("#3b3b3b", "#ffffff"), ("#1f2328", "#f6f8fa"),
         ("#e0e0e0", "#111111"), ("#cccccc", "#1f1f1f"), ("#d5d5d5", "#383838"), ("#f0f6fc", "#0d1117")]


def html_of(x):
    """The display, after the checks that hold for each."""
    text = x._repr_html_()
    assert text is not None
    root = ET.fromstring(text)
    text.encode()
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert not tags & {"script", "img", "link", "iframe", "object", "a", "form"}
    for element in root.iter():
        assert not {name for name in element.attrib if name.startswith("on") or name in ("src", "href")}
    styles = [element for element in root.iter() if element.tag.endswith("style")]
    assert len(styles) == 1
    return text, root


def words(root):
    return " ".join("".join(element.itertext()) for element in root.iter() if element.tag in ("bdi", "td", "b"))


def things():
    """One of each, small."""
    x = np.array([[1.0, -2.0], [0.5, 3.0], [1.5, 0.0]])
    W = ad.Tensor([[0.5, -0.25]], requires_grad=True, name="W")
    loss = (np.tanh(x @ W.T) ** 2).mean()
    loss.backward()
    model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.Tanh(), nn.Linear(3, 1, rng=1))
    history = nn.History(train_loss=[0.7, 0.5, 0.4], validation_loss=[0.8, np.inf, 0.6], seconds=[0.1] * 3)
    d = ad.derive(loss, "W")
    return {"leaf": W, "result": loss, "tape": ad.Tape(loss), "right": ad.compare(loss, {"W": W.grad}),
            "wrong": ad.compare(loss, {"W": 2 * W.grad}), "derivation": d, "cost": d.cost(), "model": model,
            "history": history}


@pytest.mark.parametrize("name", things())
def test_each_is_one_element_that_needs_nothing_else(name):
    x = things()[name]
    text, root = html_of(x)
    assert root.get("class") == "wengert"
    assert not re.search(r"https?://(?!www\.w3\.org/)|url\(|@import|javascript:", text)
    assert repr(x)
    assert str(x)


def test_the_style_holds_for_displays_only():
    for selectors in re.findall(r"([^{}]+)\{[^{}]*\}", pieces.STYLE + mathml.STYLE):
        for selector in selectors.split(","):
            assert re.match(r"\.(wengert|derivation)\b", selector.strip()), selector


# ---- colours

def test_contrast_is_measured_as_in_the_standard():
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize(("ink", "page"), PAGES)
def test_every_text_can_be_read_on_every_page(ink, page):
    assert contrast(blend(page, ink, pieces.QUIET / 100), page) >= 4.5
    for name, hue in pieces.HUES.items():
        assert contrast(blend(ink, hue, pieces.INK / 100), page) >= 4.5, name
    for hue in (pieces.POSITIVE, pieces.NEGATIVE):
        assert contrast(ink, blend(page, hue, pieces.STRONGEST / 255)) >= 4.5
    assert contrast(ink, blend(page, pieces.HUES["alarm"], numbers.LOUD / 255)) >= 4.5
    assert contrast(ink, blend(page, pieces.EDGES["input"], pieces.SHARE / 255)) >= 4.5


def test_the_hues_are_those_of_the_pictures():
    light, dark = THEMES["light"], THEMES["dark"]
    middles = {name: blend(getattr(light, name), getattr(dark, name), 0.5)
               for name in ("forward", "backward", "right", "alarm", "positive", "negative")}
    mine = {**pieces.HUES, "positive": pieces.POSITIVE, "negative": pieces.NEGATIVE}
    for name, middle in middles.items():
        assert max(abs(a - b) for a, b in zip(bytes.fromhex(mine[name][1:]), bytes.fromhex(middle[1:]))) <= 1, name
    assert [pieces.EDGES[name] for name in ("parameter", "input")] == [light.border["parameter"], light.border["input"]]


# ---- what they say

def test_a_tensor_says_where_it_came_from_and_shows_its_gradient():
    a = ad.Tensor([1.0, -2.0], requires_grad=True)
    b = (a * a).named("b")
    b.sum().backward()
    said = words(html_of(a)[1])
    assert "requires grad" in said and "value" in said and "gradient" in said and "-4" in said
    said = words(html_of(b)[1])
    assert "multiply(a, a)" in said and "test_display.py" in said and ": a * a" in said


def test_values_are_tinted_by_sign_and_size():
    text, _ = html_of(ad.Tensor([2.0, -2.0, 1.0, 0.0]))
    styles = re.findall(r'<td class="n"( style="background:([^"]*)")?>([^<]*)</td>', text)
    assert [(colour, value) for _, colour, value in styles] == [
        (f"{pieces.POSITIVE}66", "2"), (f"{pieces.NEGATIVE}66", "-2"), (f"{pieces.POSITIVE}33", "1"), ("", "0")]


def test_a_large_array_is_summarised_and_says_so():
    a = np.arange(5000.0).reshape(50, 100)
    text, root = html_of(ad.Tensor(a))
    said = words(root)
    assert "50×100" in said and "0 … 4999, mean 2500, norm 2.041e+05" in said
    assert text.count("<tr>") == 11
    assert "4949" not in said and "4999" in said
    assert len(text) < 15_000


def test_rows_of_many_axes_are_headed_by_their_places():
    _, root = html_of(ad.Tensor(np.arange(12.0).reshape(2, 3, 2)))
    rows = [["".join(cell.itertext()) for cell in line] for line in root.iter("tr")]
    assert rows == [[f"{i},{j}", str(6 * i + 2 * j), str(6 * i + 2 * j + 1)] for i in range(2) for j in range(3)]


def test_troubles_are_counted_and_loud():
    text, root = html_of(ad.Tensor([1.0, np.nan, np.inf, -np.inf, 3.0]))
    assert "1 NaN, 2 inf, 1 … 3, mean 2, norm 3.162 of the others" in words(root)
    assert text.count("<b>") == 3


def test_an_array_too_large_to_look_at_each():
    t = ad.Tensor.of(Leaf(np.broadcast_to(1.0, (10**6, 10**7)), False, sys._getframe()))
    _, root = html_of(t)
    assert "10,000,000,000,000 entries, too many to look at each" in words(root)
    assert repr(t).startswith("Tensor([[1., 1.")


def test_a_tape_is_a_table_and_a_long_one_hides_its_middle_aloud():
    x = ad.Tensor([1.0, 2.0], requires_grad=True)
    y = x
    for _ in range(500):
        y = y * 1.01
    tape = ad.Tape(y.named("end"))
    _, root = html_of(tape)
    rows = [["".join(cell.itertext()) for cell in line] for line in root.iter("tr")]
    listing = str(tape).splitlines()
    assert len(listing) == 501
    assert rows[0] == ["name", "operation", "shape and dtype", "line"]
    assert rows[1][:3] == ["x", "leaf, requires grad", "(2,) float64"]
    assert len(rows) == 42 and rows[21] == ["⋮ 461 more lines; print(tape) shows them all"]
    shown = [*rows[1:21], *rows[22:]]
    for cells, line in zip(shown, [*listing[:20], *listing[-20:]], strict=True):
        assert " ".join(" ".join([cells[0], "=", *cells[1:]]).split()) == " ".join(line.split())


def test_a_tape_names_the_layer_and_the_users_line():
    model = nn.MLP([2, 3, 1], rng=0)
    loss = model(np.ones((4, 2))).sum()
    _, root = html_of(ad.Tape(loss))
    rows = [["".join(cell.itertext()) for cell in line] for line in root.iter("tr")]
    assert rows[0] == ["name", "operation", "shape and dtype", "layer", "line"]
    assert [line[3] for line in rows if line[0] == "z1"] == ["MLP.layers.0"]
    assert all("test_display.py" in line[-1] for line in rows[1:])


def test_a_module_is_a_tree_with_counts():
    model = nn.Sequential(nn.Linear(3, 4, rng=0), nn.Sequential(nn.Tanh(), nn.Linear(4, 1, rng=0)))
    _, root = html_of(model)
    rows = [["".join(cell.itertext()) for cell in line] for line in root.iter("tr")]
    assert [line[2] for line in rows[1:]] == ["21", "16", "5", "", "5"]
    assert rows[2][:2] == ["0Linear(3, 4)", "weight 4×3 bias 4"]
    deep = nn.Sequential(*[nn.Linear(1, 1, rng=0) for _ in range(300)])
    assert "241 more modules" in html_of(deep)[0]


def test_a_module_that_cannot_be_told_says_why():
    model = nn.Sequential(nn.Linear(2, 2, rng=0))
    model.more = []
    model.more.append(nn.Linear(2, 2, rng=0))
    assert model._repr_html_() is None
    assert repr(model).startswith("<Sequential: Sequential.more is a plain list of modules")


def test_a_history_draws_what_is_finite():
    _, root = html_of(things()["history"])
    lines = [element.get("points").split() for element in root.iter("{http://www.w3.org/2000/svg}polyline")]
    assert [len(points) for points in lines] == [3, 2]
    assert html_of(nn.History())[1] is not None
    assert html_of(nn.History(train_loss=[np.nan, np.nan], seconds=[0.1, 0.1], interrupted=True))[1] is not None


# ---- what they survive

@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(name):
    x = ad.Tensor([1.0, 2.0], requires_grad=True, name=name)
    with ad.scope(name or "s", name):
        y = (x * 2).named(name)
    loss = y.sum().named(name)
    loss.backward()
    for shown in (x, y, loss, ad.Tape(loss), ad.compare(loss, {x: x.grad})):
        html_of(shown)
        assert isinstance(repr(shown), str)
    layer = nn.Linear(1, 1, rng=0)
    layer.extra_repr = lambda: name
    html_of(layer)


@settings(max_examples=200)
@given(st.text(st.characters(), max_size=300))
def test_text_of_any_kind_is_well_formed(text):
    inner = ET.fromstring(pieces.span("name", text)).text or ""
    assert len(inner) <= pieces.LONGEST
    assert all(c.isprintable() or c == "\u200d" for c in inner)
    if text.isprintable() and len(text) <= pieces.LONGEST:
        assert inner == text


dtypes = st.one_of(hnp.floating_dtypes(), hnp.integer_dtypes(), hnp.unsigned_integer_dtypes(),
                   hnp.complex_number_dtypes(), hnp.boolean_dtypes())


@settings(max_examples=300)
@given(st.data())
def test_no_value_is_too_much(data):
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=13))
    a = data.draw(hnp.arrays(data.draw(dtypes), shape, fill=st.nothing() if np.prod(shape) < 20 else None))
    t = ad.Tensor(a, name=data.draw(st.one_of(st.none(), st.text(max_size=8))))
    _, root = html_of(t)
    assert isinstance(repr(t), str)
    if 1 < a.size <= 10 and a.ndim == 1 and a.dtype.kind in "iub":
        assert [element.text for element in root.iter("td")] == [str(v) for v in a.tolist()]


class Rude:
    """A name whose text cannot be had."""

    def __str__(self):
        raise RuntimeError("no")

    __repr__ = __str__


@pytest.mark.parametrize("name", [3, 2.5, ("a", 1), object(), b"x", ["y"], Rude()], ids=lambda x: type(x).__name__)
def test_a_name_of_any_type(name):
    x = ad.Tensor([1.0], requires_grad=True)
    x.record.label = name
    loss = (x * x).sum()
    for shown in (x, loss, ad.Tape(loss)):
        assert isinstance(shown._repr_html_(), str | None)
    if not isinstance(name, Rude):
        assert isinstance(repr(x), str)
        html_of(x)


def test_a_record_of_several_outputs():
    x = ad.Tensor(np.arange(6.0), requires_grad=True)
    first, second = np.split(x, [2])
    tape = ad.Tape(first.sum() * second.sum())
    several = [r for r in tape.all if isinstance(r.value, tuple)]
    assert several
    for r in several:
        t = ad.Tensor.of(r)
        assert "float64" in html_of(t)[0]
        assert isinstance(repr(t), str)
        assert isinstance(repr(r), str)
    html_of(tape)


@pytest.mark.parametrize("value", [None, "gone", object()], ids=lambda x: type(x).__name__)
def test_a_value_that_is_no_longer_there(value):
    x = ad.Tensor([1.0], requires_grad=True)
    y = x * 2
    loss = y.sum()
    y.record.value = value
    for shown in (y, loss, ad.Tape(loss)):
        assert isinstance(shown._repr_html_(), str | None)
        assert isinstance(repr(shown), str)
        assert isinstance(str(shown), str)


def test_looking_leaves_no_trace():
    x = ad.Tensor([1.0, 2.0], requires_grad=True)
    y = x * 3
    loss = y.sum()
    before = [(r.leaks, r.seals, getattr(r, "exposed", None), r.value is not None) for r in ad.Tape(loss).all]
    for shown in (x, y, loss, ad.Tape(loss)):
        html_of(shown)
    assert before == [(r.leaks, r.seals, getattr(r, "exposed", None), r.value is not None) for r in ad.Tape(loss).all]
    assert x.record.value.flags.writeable
    assert isinstance(y.record, Record)
