"""The explorer's page, read without a browser: what is in it, in which order, and that nothing gets out of place."""

import json
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autodiff as ad
import viz
from tests.viz import models
from viz.explorer.details import table
from viz.explorer.page import asset, embedded, variables
from viz.explorer.placing import spread_out
from viz.themes import THEMES, blend

VOID = {"meta", "link", "input", "br", "hr", "img"}
HOSTILE = ['a"b', "a'b", "<b>bold</b>", "</script><script>alert(1)</script>", "<!--<script>", "line\nbreak",
           "&amp;&lt;", r"\frac{a}{b} $x$", 'x"]; digraph { a -> b }', "\u202eright to left\u202c", "שלום", "n" * 200,
           "🦆🔥", "\x00\x07\ud7ff", "javascript:alert(1)", "]]>", "${title}", "{{x}}"]


class Page(HTMLParser):
    """The elements of a page; raises where they do not nest."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.text = [], [], {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        tag, attrs = self.open[-1] if self.open else ("", {})
        key = attrs.get("id") or attrs.get("type") or tag
        self.text[key] = self.text.get(key, "") + data

    def of(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def data(self):
        return json.loads(self.text["data"])


def read(drawing):
    text = drawing.html()
    return text, Page(text)


def panels(drawing):
    return read(drawing)[1].data["nodes"]


# ---- the file

def test_it_is_one_file_that_may_load_nothing():
    text, page = read(viz.draw(models.three_layers()[0]))
    assert text.startswith("<!doctype html>") and '<meta charset="utf-8">' in text[:100]
    [policy] = [m["content"] for m in page.of("meta") if m.get("http-equiv")]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:"
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        [body] = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = b64encode(sha256(body.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    for tag, attrs in page.elements:
        assert not any(name.startswith("on") for name in attrs), attrs
        assert "style" not in attrs
        assert tag not in {"iframe", "object", "embed", "base", "form", "a"}
        assert attrs.get("src") is None and attrs.get("href") in (None, "data:,")
    assert "unsafe" not in policy


def test_it_is_written_where_a_path_is_given(tmp_path):
    g = viz.draw(models.three_layers()[0])
    assert g.save(tmp_path / "net.html").read_text(encoding="utf-8") == g.html()
    assert g.html(tmp_path / "b.html") == (tmp_path / "b.html").read_text(encoding="utf-8") == g.html()


def test_the_notes_net_is_small_and_fast():
    loss, _ = models.three_layers()
    assert len(viz.draw(loss).html().encode()) < 200_000
    fastest = min(timed(lambda: viz.draw(loss).html()) for _ in range(3))
    assert fastest < 5              # about 0.3 s; the machine may be busy


def timed(f):
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


def test_with_an_empty_path_there_is_dot_and_html_and_a_friendly_message(tmp_path):
    code = """
import numpy as np, autodiff as ad, viz, sysconfig
sysconfig.get_path = lambda *a, **k: ""
W = ad.Tensor([[1.0, 2.0]], requires_grad=True, name="W")
g = viz.draw(np.tanh(W).sum())
assert g.engine is None and g.dot.startswith("digraph")
assert 'data-id="W"' in g.html()
g.save("net.html")
try:
    g.svg()
except viz.RenderError as error:
    print(error)
"""
    env = {key: value for key, value in os.environ.items() if key != "WENGERT_DOT"} | {
        "PATH": "", "PYTHONPATH": os.getcwd()}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "pip install" in done.stdout and (tmp_path / "net.html").stat().st_size > 10_000


# ---- what is told

def test_the_steps_are_those_of_the_tape_forward_then_backward():
    loss, held = models.three_layers()
    data = read(viz.draw(loss))[1].data
    names = {id: panel["title"] for id, panel in data["nodes"].items()}
    order = {name: r.serial for r in ad.Tape(loss).all if (name := r.name) in held or r is loss.record}
    phases = [s["phase"] for s in data["steps"]]
    assert phases == sorted(phases, reverse=True)                     # "forward" sorts behind "backward"
    forward = [names[id] for s in data["steps"] if s["op"] for id in s["values"]]
    forward = [name for name in forward if name in order]
    assert forward == ["z1", "a1", "z2", "a2", "z3", "a3", "loss"] == sorted(forward, key=order.get)
    backward = [names[id] for s in data["steps"] if s["phase"] == "backward" for id in s["gradients"]]
    assert [name for name in backward if name in forward] == forward[::-1] and backward[0] == "loss"
    assert {name for name in backward if name in held} == set(held) - {"x", "y"}
    assert not any(s["gradients"] for s in data["steps"] if s["phase"] == "forward")
    for l in (1, 2, 3):                                               # a parameter's gradient needs that of its z
        assert backward.index(f"W{l}") > backward.index(f"z{l}") < backward.index(f"b{l}")


def test_every_step_becomes_known_once():
    for loss in (models.three_layers()[0], models.unrolled(4), models.deep(5)):
        data = read(viz.draw(loss, fold=False))[1].data
        for what in ("values", "gradients"):
            told = [id for s in data["steps"] for id in s[what]]
            assert len(told) == len(set(told))
        tensors = {id for id, p in data["nodes"].items() if p["kind"] == "tensor"}
        assert {id for s in data["steps"] for id in s["values"]} == tensors
        with_gradient = {id for id in tensors if "gradient" in data["nodes"][id]}
        assert {id for s in data["steps"] for id in s["gradients"]} == with_gradient


def test_the_numbers_are_numpys():
    loss, held = models.three_layers(samples=3)
    told = {p["title"]: p for p in panels(viz.draw(loss)).values() if p["kind"] == "tensor"}
    for name, t in held.items():
        value = t.data if isinstance(t, ad.Tensor) else t
        if name in told:
            assert np.array_equal(told[name]["value"]["rows"], np.asarray(value).reshape(-1, value.shape[-1]))
    wanted = [name for name in held if isinstance(held[name], ad.Tensor)]
    for name, g in zip(wanted, ad.gradients(loss, [held[name] for name in wanted]), strict=True):
        assert np.array_equal(told[name]["gradient"]["rows"], g.reshape(-1, g.shape[-1]))
    # by hand, as in the notes
    a2, W3 = held["a2"].data, held["W3"].data
    dz3 = (held["a3"].data - held["y"]) / 3
    assert np.allclose(told["W3"]["gradient"]["rows"], dz3.T @ a2)
    assert np.allclose(told["z2"]["gradient"]["rows"], dz3 @ W3 * a2 * (1 - a2))


def test_a_panel_tells_jacobian_rule_derivation_and_line():
    loss, _ = models.three_layers()
    told = {p["title"]: p for p in panels(viz.draw(loss)).values()}
    z2 = next(p for p in told.values() if p["title"] == "a2")
    assert [j["shape"] for j in z2["jacobians"]] == ["3 × 3"] and "diagonal" in z2["jacobians"][0]["structure"]
    assert "σ" in z2["formula"] and z2["rules"] and "ad.sigmoid(z)" in z2["source"]["text"]
    assert "models.py:" in z2["source"]["where"]
    assert "derivation" in told["W1"] and told["W1"]["role"] == "parameter" and told["W1"]["chips"][1] == "4×3"


@pytest.mark.parametrize("name", ["three_layers", "unrolled", "deep", "attention"])
def test_the_derivations_are_those_of_derive(name):
    sizes = {"three_layers": {"samples": 3}, "unrolled": {"n": 2}, "deep": {"n": 2}}
    made = getattr(models, name)(**sizes.get(name, {}))
    loss = made[0] if isinstance(made, tuple) else made
    told = [p for p in panels(viz.draw(loss, fold=False)).values() if p.get("role") == "parameter"]
    assert len(told) >= 2
    for p in told:
        derived = ad.derive(loss, p["title"]).mathml()
        assert re.sub(r' xmlns="[^"]*"', "", derived) == p["derivation"]


def markup(drawing):
    """All MathML and HTML that the page inserts."""
    for p in panels(drawing).values():
        yield from (p[key] for key in ("formula", "derivation", "ofMath") if key in p)
        yield from (j["math"] for j in p.get("jacobians", ()))
        yield from p.get("rules", ())


@pytest.mark.parametrize("name", ["W", *HOSTILE])
def test_the_markup_is_well_formed_and_without_a_backslash(name):
    W, b = models.parameter(name, 3, 2), models.parameter(name + "2", 3)
    z = (models.numbers(4, 2) @ W.T + b).named(name + "z")
    found = list(markup(viz.draw((np.tanh(z) ** 2).mean())))
    assert len(found) > 8
    allowed = {"math", "mrow", "mi", "mo", "mn", "mtext", "msub", "msup", "msubsup", "mover", "munder", "mfrac",
               "mspace", "msqrt", "mtable", "mtr", "mtd", "div", "h4", "p", "table", "tr", "td", "th"}
    attributes = {"displaystyle", "accent", "form", "stretchy", "class", "width", "lspace", "rspace"}
    for text in found:
        assert "\\" not in text
        for element in ET.fromstring(text).iter():
            assert element.tag in allowed, element.tag
            assert set(element.attrib) <= attributes


def test_a_comparison_is_told():
    loss, held = models.three_layers()
    mine = models.by_hand(held, slip=True)
    found = panels(viz.draw(loss, compare=ad.compare(loss, mine)))
    told = {p["title"]: p for p in found.values()}
    verdicts = {name: told[name]["manual"]["verdict"] for name in mine}
    assert verdicts == dict(W1="differs", b1="differs", W2="differs", b2="differs", W3="agrees", b3="agrees")
    assert np.array_equal(told["W2"]["manual"]["yours"]["rows"], mine["W2"])
    assert any("σ′" in line for line in told["W2"]["manual"]["said"])
    assert [found[p["result"]]["title"] for p in found.values() if "suspect" in p] == ["a2"]
    wrong = panels(viz.draw(loss, compare=ad.compare(loss, {"b1": np.zeros(7)})))
    assert "shape" in wrong["b1"]["manual"]["error"] and "manual" not in wrong["W1"]


def test_what_was_changed_in_place_is_not_shown_as_what_was_drawn():
    W = ad.Tensor([[1.0, 2.0]], requires_grad=True, name="W")
    g = viz.draw((W * W).sum())
    W.data[...] = 5
    with pytest.raises(ad.AutodiffError, match="W was changed in place"):
        g.html()


# ---- hostile, strange and large

@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name):
    W = models.parameter(name, 2, 2)
    with ad.scope(name, name):
        y = (models.numbers(3, 2) @ W).named(name + "y")
    loss = y.sum().named(name + "l")
    text, page = read(viz.draw(loss, label=lambda node: name))
    assert page.of("script") == [{"type": "application/json", "id": "data"}, {}]
    assert {tag for tag, _ in page.elements} <= {
        "html", "head", "meta", "title", "link", "style", "body", "header", "h1", "p", "div", "label", "span", "input",
        "output", "button", "main", "section", "aside", "footer", "noscript", "script", "kbd",
        "svg", "g", "rect", "text", "tspan", "path", "marker", "defs"}
    assert "\u202e" not in page.text.get("text", "") and "\x00" not in text
    svg = text[text.index("<svg"):text.index("</svg>") + 6]
    ET.fromstring(svg)                                              # well-formed as XML too
    assert any(p["title"] == name for p in page.data["nodes"].values())


@settings(max_examples=60, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8))
def test_json_cannot_end_its_script(value):
    text = embedded(value)
    assert json.loads(text) == value
    assert not re.search(r"</|<!|<script", text, re.IGNORECASE)


@pytest.mark.parametrize("value", [
    np.array([np.nan, np.inf, -np.inf, 1.0]), np.array(3.0), np.zeros((0, 3)), np.array([[1 + 2j, np.nan * 1j]]),
    np.arange(5), np.array([True, False]), np.array(2 ** 62), np.float32(0.1), np.full((2, 3, 4), 1e300),
    np.random.default_rng(0).normal(size=(50, 60)), np.array([5e-324, -0.0]), np.array([np.inf] * 100)])
def test_any_array_has_a_table(value):
    found = json.loads(embedded(table(value, 64)))
    assert found["shape"] == ("×".join(map(str, np.shape(value))) or "scalar")
    assert found["cut"] == (np.size(value) > 64)
    if not found["cut"] and np.asarray(value).dtype.kind == "f" and np.size(value):
        told = np.array([[float(v) for v in row] for row in found["rows"]])
        assert np.array_equal(told.ravel(), np.asarray(value, dtype=float).ravel(), equal_nan=True)
    sound = np.asarray(value)[np.isfinite(value)] if np.size(value) else []
    assert np.size(value) == len(sound) or "trouble" in found


def test_what_is_no_number_is_loud():
    with np.errstate(all="ignore"):
        W = ad.Tensor([[0.0, -1.0], [4.0, np.inf]], requires_grad=True, name="W")
        text, page = read(viz.draw(np.log(W).sum()))
    svg = text[text.index("<svg"):text.index("</svg>")]
    assert 'class="alarm' in svg and "node tensor parameter bad" in svg
    assert "trouble" in page.data["nodes"]["W"]["value"]


@pytest.mark.parametrize("make", [lambda W: W > 0, lambda W: W * 1j, lambda W: W + W, lambda W: W[:0] * 2,
                                  lambda W: np.argmax(W, axis=1)], ids=["bool", "complex", "matrix", "empty", "int"])
def test_results_that_are_no_loss_have_a_page_too(make):
    r = make(models.parameter("W", 2, 3)).named("r")
    data = read(viz.draw(r))[1].data
    assert all(s["phase"] == "forward" for s in data["steps"]) and data["steps"][-1]["values"] == ["r"]
    told = data["nodes"]["r"]
    assert told["formula"] and told["value"]["shape"] == "×".join(map(str, r.shape))
    assert told["value"]["rows"] == json.loads(embedded(table(r.data, 64)))["rows"]


def test_a_rule_that_takes_arrays_only_does_not_break_the_page():
    @ad.op
    def twice(x):
        return 2 * x

    twice.vjp(lambda g, y, x: np.frombuffer(np.asarray(g).tobytes()) * 2)
    x = ad.Tensor([1.0, 2.0], requires_grad=True, name="x")
    told = panels(viz.draw(twice(x).sum()))
    assert told["x"]["gradient"]["rows"] == [[2.0, 2.0]]


def test_several_outputs():
    x = ad.Tensor(np.diag([3.0, 1.0]) + 0.1, requires_grad=True, name="x")
    sign, size = np.linalg.slogdet(x @ x.T)
    told = panels(viz.draw(sign * size))
    assert any(p["title"] == "slogdet" for p in told.values())
    size = next(p for p in told.values() if p["title"] == "size")
    assert size["value"]["rows"] == [[float(np.linalg.slogdet(x.data @ x.data.T)[1])]]


def test_layers_can_be_opened_in_the_page_and_scalars_become_operations():
    data = read(viz.draw(models.deep(4), level="layer"))[1].data
    assert len(data["folded"]) == 6 and any(p["kind"] == "op" for p in data["nodes"].values())
    data = read(viz.draw(models.three_layers((2, 2, 1, 1))[0], level="scalar"))[1].data
    assert "W1" in data["nodes"] and data["folded"] == []


def test_a_large_tape_is_a_small_file():
    h = models.parameter("h", 20, 20)
    for i in range(100):
        with ad.scope(f"block{i}", "Block"):
            for _ in range(100):
                h = np.tanh(h)
    drawing = viz.draw(h.sum())
    start = time.perf_counter()
    text, page = read(drawing)
    assert time.perf_counter() - start < 20         # about 0.5 s; the machine may be busy
    assert len(text.encode()) < 2_000_000
    assert any("block" in p["title"] and p["kind"] == "layer" for p in page.data["nodes"].values())
    assert any("2,000 records" in note for note in page.data["notes"])


def test_many_large_parameters_stay_below_two_megabytes_and_say_what_is_left_out():
    h = models.numbers(8, 12)
    for i in range(60):
        h = np.tanh(ad.linear(h, models.parameter(f"W{i}", 12, 12, start=i)))
    text, page = read(viz.draw(h.mean(), fold=False))
    assert len(text.encode()) < 2_000_000
    notes = " ".join(page.data["notes"])
    assert "corner" in notes and "derivations" in notes
    assert page.data["nodes"]["W3"]["value"]["shape"] == "12×12" and page.data["nodes"]["W3"]["value"]["cut"]


# ---- layout

@pytest.mark.parametrize("name", ["unrolled", "deep", "attention"])
def test_no_two_cards_lie_over_each_other(name):
    loss = models.attention() if name == "attention" else getattr(models, name)(6)
    grid = read(viz.draw(loss, fold=False))[1].data["grid"]
    boxes = list(grid["boxes"].values())
    for i, (x, y, w, h, *_) in enumerate(boxes):
        for X, Y, W, H, *_ in boxes[:i]:
            assert abs(x - X) >= (w + W) / 2 - 0.5 or abs(y - Y) >= (h + H) / 2 - 0.5


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(1, 8))
def test_spread_out_keeps_order_and_distance_and_is_best(data, n):
    reals = st.floats(-100, 100)
    wish = data.draw(st.lists(reals, min_size=n, max_size=n))
    force = data.draw(st.lists(st.floats(0.1, 10), min_size=n, max_size=n))
    apart = data.draw(st.lists(st.floats(0, 20), min_size=n - 1, max_size=n - 1))
    found = np.array(spread_out(wish, force, apart))
    assert np.all(np.diff(found) >= np.array(apart) - 1e-9)

    def cost(places):
        return float(np.sum(np.array(force) * (places - wish) ** 2))

    rng = np.random.default_rng(0)
    for _ in range(30):
        other = np.sort(rng.normal(scale=60, size=n)) + np.concatenate([[0.0], np.cumsum(apart)])
        assert cost(found) <= cost(other) + 1e-6 * (1 + cost(other))


# ---- colours

def luminance(colour):
    parts = [v / 255 for v in bytes.fromhex(colour[1:])]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a, b):
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def colours(theme):
    rule = {"light": r"^:root\{color-scheme:light;(.*?)\}", "dark": r"\[data-theme=dark\]\{color-scheme:dark;(.*?)\}"}
    [found] = re.findall(rule[theme], variables(), re.MULTILINE)
    if theme == "dark":
        assert f":not([data-theme=light]){{color-scheme:dark;{found}}}" in variables()       # the system's choice
    return dict(part[2:].split(":") for part in found.split(";"))


CARDS = [f"fill-{role}" for role in ("parameter", "input", "intermediate", "output", "loss")] + ["scope-fill"]
GROUNDS = {                                             # of each text's colour: everything it stands on
    "ink": [*CARDS, "background"], "subtle": [*CARDS, "background"],
    "forward": [*CARDS, "background"], "backward": [*CARDS, "background"],
    "alarm": [*CARDS, "background"], "right": [*CARDS, "background"], "on-disc": ["disc"],
}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_is_readable_in_both_themes(theme):
    known = colours(theme)
    assert known["ink"] == THEMES[theme].ink and known["fill-loss"] == THEMES[theme].fill["loss"]
    for text, grounds in GROUNDS.items():
        for ground in grounds:
            assert contrast(known[text], known[ground]) >= 4.5, (theme, text, ground)
    [strongest] = re.findall(r"STRONGEST = (\d+)", asset("panel.js"))
    for hue in ("positive", "negative"):
        assert contrast(known["ink"], blend(known["background"], known[hue], int(strongest) / 100)) >= 4.5


def test_every_colour_of_a_text_is_among_those_measured():
    css = re.sub(r"/\*.*?\*/", "", asset("page.css"), flags=re.DOTALL)
    used = set(re.findall(r"[{;]color:var\(--([\w-]+)\)", css))
    used |= {colour for rule, colour in re.findall(r"([^{}]*)\{[^{}]*fill:var\(--([\w-]+)\)", css)
             if re.search(r"\btext\b|\btspan\b", rule)}
    assert used <= set(GROUNDS) and len(used) >= 6
    grounds = set(re.findall(r"background:var\(--([\w-]+)\)", css)) - {"forward", "backward"}    # of the legend's bars
    assert grounds <= {*CARDS, "background", "disc"}
    assert not re.search(r"#[0-9a-f]{3,6}\b", css.replace("#to", "").replace("#back", "").replace("#faint", ""))
