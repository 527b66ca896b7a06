"""The film of a training: what is seen at each look, what the page holds, and that looking changes nothing."""

import json
import re
import xml.etree.ElementTree as ET
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import numpy as np
import pytest

import autodiff as ad
import nn
import viz
from tests.contrast import contrast
from viz.themes import THEMES
from viz.watching import page as pages
from viz.watching.flow import flow_of
from viz.watching.watch import MOST

SVG = "{http://www.w3.org/2000/svg}"
rng = np.random.default_rng(1)
X = rng.normal(size=(24, 3))
Y = (X[:, :1] > 0) * 1.0
HOSTILE = ["<script>alert(1)</script>", 'a"b\'c', "a\nb", "x & y", "</script><script>alert(1)</script>", "-->", "אבג",
           "\u202eabc", "x" * 200, "😀", "\x00", "\ud800", "]]>", "</style>"]


def film(epochs=6, model=None, loss_fn=None, lr=0.5, data=(X, Y), **options):
    model = model or nn.MLP([3, 4, 1], rng=0)
    loss_fn = loss_fn or getattr(model, "loss_fn", None) or nn.MSELoss()
    watch = viz.Watch(model, loss_fn, data)
    history = nn.fit(model, loss_fn, data, nn.optim.SGD(model.parameters(), lr=lr), epochs=epochs, progress=False,
                     callbacks=[watch], rng=0, **options)
    return watch, history, model


class Page(HTMLParser):
    """The elements of a page, and whether they nest."""

    VOID = ("meta", "input", "br", "link", "img")

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.texts = [], [], {}
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append((tag, len(self.elements) - 1))

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open:
            place = self.open[-1][1]
            self.texts[place] = self.texts.get(place, "") + data

    def all(self, tag, **wanted):
        return [(attributes, self.texts.get(i, "")) for i, (name, attributes) in enumerate(self.elements)
                if name == tag and all(attributes.get(k) == v for k, v in wanted.items())]


def data_of(page):
    return json.loads(page.all("script", id="data")[0][1])


# ---- what is seen

def test_numbers_are_those_of_numpy():
    watch, _, model = film()
    W1, b1, W2, b2 = (p.data for p in model.parameters())
    a = X @ W1.T + b1
    h = 1 / (1 + np.exp(-a))
    yhat = 1 / (1 + np.exp(-(h @ W2.T + b2)))
    d2 = (yhat - Y) / len(X)
    d1 = d2 @ W2 * h * (1 - h)
    first, second = (unit for unit in watch.units if unit.learned)
    at = watch.looks[-1].numbers
    assert at[second.id].gradient == pytest.approx(np.sqrt(np.sum((d2.T @ h) ** 2) + np.sum(d2.sum(0) ** 2)))
    assert at[first.id].gradient == pytest.approx(np.sqrt(np.sum((d1.T @ X) ** 2) + np.sum(d1.sum(0) ** 2)))
    assert at[first.id].output == pytest.approx(np.sqrt(np.mean(a ** 2)))
    assert at[first.id].arriving == pytest.approx(np.sqrt(np.sum(d1 ** 2)))
    assert watch.looks[-1].loss == pytest.approx(-np.mean(Y * np.log(yhat) + (1 - Y) * np.log(1 - yhat)))


def test_the_first_look_is_before_the_first_epoch():
    watch, history, _ = film(epochs=3)
    assert watch.epochs == [0, 1, 2, 3]
    assert watch.looks[0].loss == pytest.approx(history.train_loss[0])     # all at once: taken before the step
    assert repr(watch) == "<Watch of MLP: 4 looks at 3 layers, epochs 0 to 3>"


def test_units_are_in_the_order_they_run():
    watch, _, _ = film(epochs=1)
    assert [(u.name, u.kind, u.sizes, u.learned) for u in watch.units] == [
        ("layers.0", "Linear", "3 → 4", 16), ("σ", "", "", 0), ("layers.1", "Linear", "4 → 1", 5), ("σ", "", "", 0),
        ("loss_fn", "BCELoss", "24×1 → scalar", 0)]
    assert [u.given for u in watch.units] == [("samples",), (), (), (), ("targets",)]
    assert all(b.sources == (a.id,) for a, b in zip(watch.units, watch.units[1:]))


def test_a_residual_net():
    class Res(nn.Module):
        def __init__(self):
            self.a, self.b = nn.Linear(3, 3, rng=0), nn.Linear(3, 1, rng=1)

        def forward(self, x):
            h = self.a(x)
            return self.b(h + np.tanh(h))

    watch, _, _ = film(model=Res(), loss_fn=nn.MSELoss())
    a, tanh, add, b, loss = watch.units
    assert (a.name, tanh.name, add.name, b.name, loss.name) == ("a", "tanh", "+", "b", "MSELoss")
    assert set(add.sources) == {a.id, tanh.id}
    assert flow_of(watch.units, 900).named[add.id] == [a.id]
    assert "← a<" in watch.html()


def test_a_long_training_keeps_at_most_so_many_looks_and_the_last():
    model = nn.Linear(3, 1, rng=0)
    watch = viz.Watch(model, nn.MSELoss(), (X, Y))
    for epoch in range(1, 1001):
        model.bias.data = np.array([float(epoch)])
        watch()
        assert len(watch.epochs) == len(watch.looks) <= MOST + 1
        assert watch.epochs[0] == 0 and watch.epochs[-1] == epoch
    steps = np.diff(watch.epochs)
    assert watch.every == 8 and set(steps[:-1]) == {8} and steps[-1] <= 8
    b = watch.looks[-1]
    assert b.loss == pytest.approx(nn.MSELoss()(model(X), Y).item())
    assert "one in 8 is kept" in watch.html()


class Noisy(nn.Module):
    def __init__(self):
        self.first, self.drop, self.last = nn.Linear(3, 4, rng=0), nn.Dropout(0.5), nn.Linear(4, 1, rng=1)

    def forward(self, x):
        return self.last(self.drop(np.tanh(self.first(x))))


def test_watching_changes_no_training():
    def trained(watched):
        model = Noisy()
        ad.seed(3)
        watch = [viz.Watch(model, nn.MSELoss(), (X, Y))] if watched else []
        history = nn.fit(model, nn.MSELoss(), (X, Y), nn.optim.SGD(model.parameters(), lr=0.1), epochs=5, batch_size=7,
                         progress=False, callbacks=watch)
        return history.train_loss, [p.data.tobytes() for p in model.parameters()], model.drop.training

    assert trained(True) == trained(False)


def test_looking_touches_no_gradient_and_no_mode():
    model = Noisy()
    nn.MSELoss()(model(X), Y).backward()
    model.drop.eval()
    before = [(id(p.grad), p.grad.tobytes(), p.record.version, p.record.leaks) for p in model.parameters()]
    watch = viz.Watch(model, nn.MSELoss(), (X, Y))
    with ad.no_grad():
        watch()
    assert before == [(id(p.grad), p.grad.tobytes(), p.record.version, p.record.leaks) for p in model.parameters()]
    assert model.training and not model.drop.training
    assert watch.looks[0].numbers == watch.looks[1].numbers
    assert all(n.arriving is not None for n in watch.looks[1].numbers.values())


def test_numbers_that_are_none_are_loud():
    model = nn.Sequential(nn.Linear(3, 2, rng=0), nn.Linear(2, 1, rng=0))
    watch = viz.Watch(model, nn.MSELoss(), (X, Y))
    model[0].weight.data = np.full((2, 3), np.nan)
    watch()
    model[0].weight.data = np.full((2, 3), 1e200)
    watch()
    page = Page(watch.html())
    assert data_of(page)["loss"][1:] == ["NaN", "inf"]
    assert data_of(page)["units"][0]["gradient"][1] == "NaN"
    assert "At epoch 1 the loss on the sample is NaN or infinite" in watch.html()


def test_a_model_of_another_make_and_a_loop_of_ones_own():
    class Mine:
        def __init__(self):
            self.w = ad.Tensor([[1.0, 2.0, 3.0]], requires_grad=True, name="w")

        def named_parameters(self):
            return [("w", self.w)]

        def __call__(self, x):
            return x @ self.w.T

    mine = Mine()
    watch = viz.Watch(mine, lambda a, b: ((a - b) ** 2).mean(), (X, Y))
    mine.w.data = np.zeros((1, 3))
    watch()
    assert watch.epochs == [0, 1] and watch.looks[1].loss == pytest.approx(np.mean(Y ** 2))
    assert [unit.is_layer for unit in watch.units] == [False] * len(watch.units)
    Page(watch.html())


def test_what_is_refused(tmp_path):
    with pytest.raises(ad.OperandError, match="named_parameters"):
        viz.Watch(np.tanh, nn.MSELoss(), (X, Y))
    with pytest.raises(ad.OperandError, match="pair"):
        viz.Watch(nn.Linear(3, 1), nn.MSELoss(), X)
    with pytest.raises(ad.ShapeError, match="scalar"):
        viz.Watch(nn.Linear(3, 1), lambda a, b: a, (X, Y))
    watch, _, _ = film(epochs=1)
    with pytest.raises(ValueError, match=r"\.html"):
        watch.save(tmp_path / "film.svg")


# ---- fit's callbacks

def test_callbacks_are_called_after_each_epoch_in_order():
    calls = []
    model = nn.Linear(3, 1, rng=0)
    history = nn.fit(model, nn.MSELoss(), (X, Y), nn.optim.SGD(model.parameters(), lr=0.1), epochs=3, progress=False,
                     validation=(X, Y), callbacks=(f for f in (
                         lambda m, h: calls.append(("a", m is model, len(h), len(h.validation_loss))),
                         lambda m, h: calls.append(("b", m.training, len(h), len(h.seconds))))))
    assert calls == [(name, True, n, n) for n in (1, 2, 3) for name in "ab"]
    assert len(history) == 3


def test_what_a_callback_raises_ends_the_training_and_the_modes_are_as_before():
    model = nn.Sequential(nn.Linear(3, 1, rng=0), nn.Dropout(0.1)).eval()

    def callback(model, history):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        nn.fit(model, nn.MSELoss(), (X, Y), nn.optim.SGD(model.parameters(), lr=0.1), epochs=3, progress=False,
               callbacks=[callback])
    assert not model.training


# ---- the page

def test_the_page_is_one_file_with_a_strict_policy():
    watch, _, _ = film(validation=(X, Y))
    text = watch.html()
    page = Page(text)
    [(policy, _)] = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    [(_, style)], scripts = page.all("style"), page.all("script")
    [script] = [source for attributes, source in scripts if attributes.get("type") is None]

    def digest(source):
        return f"'sha256-{b64encode(sha256(source.encode()).digest()).decode()}'"

    assert policy["content"] == (f"default-src 'none'; style-src {digest(style)}; script-src {digest(script)}; "
                                 "base-uri 'none'; form-action 'none'")
    attributes = {name for _, has in page.elements for name in has}
    assert not {name for name in attributes if name.startswith("on") or name in ("src", "href", "style")}
    assert not re.search(r"https?://|url\(|@import|\.innerHTML|eval\(", text)
    assert len(text) < 60_000
    assert len(page.all("meta", charset="utf-8")) == len(page.all("meta", name="viewport")) == 1


def test_the_data_are_what_was_seen():
    watch, _, _ = film(epochs=4)
    film_ = data_of(Page(watch.html()))
    assert film_["epochs"] == [0, 1, 2, 3, 4]
    assert film_["loss"] == [pytest.approx(look.loss, rel=1e-3) for look in watch.looks]
    for unit, told in zip(watch.units, film_["units"], strict=True):
        for kind in ("gradient", "output", "arriving"):
            seen = [getattr(look.numbers[unit.id], kind) for look in watch.looks]
            assert told[kind] == [v if v is None else pytest.approx(v, rel=1e-3) for v in seen]


def test_everything_that_the_script_asks_for_is_there():
    watch, _, _ = film()
    page = Page(watch.html())
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    script = pages.resource("page.js")
    assert set(re.findall(r'by\("(\w+)"\)', script)) | {"data"} <= set(ids)
    n = len(watch.units)
    for tag in ("g", "text", "td", "path"):
        for attributes, _ in page.all(tag):
            for key in ("data-unit", "data-lane"):
                if key in attributes:
                    assert 0 <= int(attributes[key]) < n
    layers = sum(unit.is_layer for unit in watch.units)
    assert len(page.all("g", **{"class": "spark"})) == 2 * 2 * layers         # two curves in each of two widths
    assert len(page.all("td", **{"data-of": "gradient"})) == n
    for attributes, _ in page.all("circle"):
        if "data-points" in attributes:
            assert len(json.loads(attributes["data-points"])) == len(watch.epochs)


def test_it_can_be_used_without_a_mouse_and_without_sight():
    page = Page(film()[0].html())
    assert all(a["type"] == "button" for a, _ in page.all("button"))
    assert all(words.strip() or "aria-label" in a for a, words in page.all("button"))
    assert page.all("input")[0][0]["aria-label"] == "epoch"
    assert page.all("output")[0][0]["role"] == "status"
    assert all(a.get("role") == "img" and a.get("aria-label") for a, _ in page.all("svg"))
    assert page.elements[0] == ("html", {"lang": "en"})
    script = pages.resource("page.js")
    for word in ("prefers-reduced-motion", "ArrowLeft", "ArrowRight", "Home", "End", '" "', "prefers-color-scheme"):
        assert word in script


def test_the_losses_are_drawn_where_they_are():
    watch, history, _ = film(epochs=5, validation=(X, Y))
    page = Page(watch.html())
    curves = {a["class"].split()[1]: [tuple(map(float, p.split(","))) for p in a["points"].split()]
              for a, _ in page.all("polyline")}
    values = {"sample": [look.loss for look in watch.looks], "forward": history.train_loss,
              "backward": history.validation_loss}
    assert {k: len(v) for k, v in curves.items()} == {"sample": 6, "forward": 5, "backward": 5}
    everything = [v for some in values.values() for v in some]
    low, high = min(everything), max(everything)
    for kind, points in curves.items():
        for (_, y), v in zip(points, values[kind], strict=True):
            assert y == pytest.approx(256 - 246 * (v - low) / (high - low), abs=0.1)
    assert [x for x, _ in curves["sample"]][1:] == [x for x, _ in curves["forward"]]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_can_be_read(theme):
    [(_, style)] = Page(film()[0].html()).all("style")
    rules = {"light": r":root\{([^}]*)\}", "dark": r":root\[data-theme=dark\]\{([^}]*)\}"}
    named = dict(re.findall(r"--([\w-]+):(#\w{6})", re.search(rules[theme], style)[1]))
    css = pages.resource("page.css")
    assert set(re.findall(r"var\(--([\w-]+)\)", css)) <= set(named)
    inks = set(re.findall(r"(?<![-\w])color:var\(--(\w+)\)|text[.\w]*\{[^}]*fill:var\(--(\w+)\)", css))
    inks = {a or b for a, b in inks}
    assert inks == {"ink", "subtle", "forward", "backward", "alarm"}
    for ink in inks:
        for ground in ("background", "fill-intermediate"):
            assert contrast(named[ink], named[ground]) >= 4.5, (ink, ground)


def test_both_themes_are_there():
    [(_, style)] = Page(film(epochs=1)[0].html()).all("style")
    assert style.count(f"--ink:{THEMES['dark'].ink}") == 2 and style.count(f"--ink:{THEMES['light'].ink}") == 1
    assert "prefers-color-scheme:dark" in style


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(name):
    class Model(nn.Module):
        def __init__(self):
            self.w = nn.Parameter(np.ones((1, 3)), name=name)

        def forward(self, x):
            with ad.scope(name, name):
                return np.tanh(x @ self.w.T)

    Model.__name__ = name.replace("\x00", "").encode(errors="replace").decode()
    watch = viz.Watch(Model(), nn.MSELoss(), (X, Y))
    text = watch.html()
    text.encode()
    page = Page(text)
    assert len(page.all("script")) == 2 and len(page.all("style")) == 1
    assert data_of(page)["epochs"] == [0]
    for svg in re.findall(r"<svg.*?</svg>", text, re.S):
        ET.fromstring(svg)
    assert watch._repr_html_() is not None


def test_a_very_deep_net_is_cut_aloud_and_stays_small():
    model = nn.Sequential(*[part for i in range(200) for part in (nn.Linear(2, 2, rng=i), nn.Tanh())])
    x = np.ones((3, 2))
    watch = viz.Watch(model, nn.MSELoss(), (x, x))
    for _ in range(10):
        watch()
    text = watch.html()
    assert len(watch.units) == 401
    assert len(data_of(Page(text))["units"]) == 160
    assert "241 of 401 layers and operations are not shown" in text
    assert len(text) < 600_000


def test_boxes_do_not_overlap_and_stay_on_the_page():
    model = nn.Sequential(*[part for i in range(9) for part in (nn.Linear(3, 3, rng=i), nn.Tanh())])
    units = viz.Watch(model, lambda a, b: ((a - b) ** 2).mean(), (X, X)).units
    for room in (900, 330, 10):
        flow = flow_of(units, room)
        boxes = list(flow.places.values())
        for b in boxes:
            assert b.x >= 0 and b.y >= 0 and b.x + b.width <= flow.width and b.y + b.height <= flow.height
        assert flow.width <= max(room, 204)
        for i, a in enumerate(boxes):
            for b in boxes[:i]:
                assert a.x + a.width < b.x or b.x + b.width < a.x or a.y + a.height < b.y or b.y + b.height < a.y
        assert len(flow.lanes) == len(units) - 1


def test_in_a_notebook(monkeypatch):
    watch, _, _ = film(epochs=1)
    root = ET.fromstring(watch._repr_html_())
    assert root.tag == "iframe" and root.get("sandbox") == "allow-scripts"
    assert root.get("srcdoc").split() == watch.html().split()
    monkeypatch.setattr(viz.Watch, "html", lambda self: 1 / 0)
    assert watch._repr_html_() is None


def test_saving(tmp_path):
    watch, _, _ = film(epochs=1)
    assert watch.save(tmp_path / "film.html").read_text(encoding="utf-8") == watch.html()
