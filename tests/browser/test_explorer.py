"""The explorer in a browser: Debian's chromium, offline. Run by `make test-browser`."""

import json
import os
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO

import numpy as np
import pytest
from matplotlib.image import imread
from playwright.sync_api import expect, sync_playwright

import autodiff as ad
import viz
from tests.viz import models

pytestmark = pytest.mark.browser
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, tmp_path):
    """Opens a drawing's page; in the end, the browser must have said nothing and asked for the one file only."""
    contexts, said, requests = [], [], []

    def open_(drawing, **settings):
        path = drawing.save(tmp_path / f"net{len(contexts)}.html")
        settings = {"viewport": {"width": 1280, "height": 800}, "offline": True, **settings}
        context = chromium.new_context(**settings)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        page.path = path
        return page

    yield open_
    for context in contexts:
        context.close()
    assert said == []
    assert len(requests) == len(contexts) and all(url.startswith("file:") for url in requests)


def told(page):
    return json.loads(page.locator("#data").text_content())


def seen(page, part):
    """The names of the cards whose value, or gradient, can be seen."""
    return set(page.evaluate("""part => [...document.querySelectorAll('.node.tensor')]
        .filter(g => { const inner = g.querySelector('.of-' + part);
                       return inner && getComputedStyle(inner).visibility === 'visible'; })
        .map(g => g.dataset.id)""", part))


def panel_text(page):
    return page.locator("#panel").inner_text()


def select(page, id):
    page.locator(f'[data-id="{id}"]').click()


def pixels(png):
    """A screenshot as RGB."""
    return (imread(BytesIO(png), "png")[..., :3] * 255).round().astype(int)


# ---- playing

def test_played_to_the_end_every_gradient_is_revealed_in_tape_order_and_none_before_its_step(opened):
    loss, held = models.three_layers()
    page = opened(viz.draw(loss))
    data = told(page)
    page.keyboard.press("Home")
    known, order = set(), []
    for k, step in enumerate(data["steps"]):
        now = seen(page, "gradient")
        assert now == known | set(step["gradients"]), step["title"]
        order += [data["nodes"][id]["title"] for id in step["gradients"]]
        known = now
        assert seen(page, "value") == {id for s in data["steps"][:k + 1] for id in s["values"]}
        assert page.locator("#step").inner_text() == step["title"].replace(": ", " ", 1)
        page.keyboard.press("ArrowRight")
    assert [name for name in order if name in ("loss", "a3", "z3", "a2", "z2", "a1", "z1")] == \
        ["loss", "a3", "z3", "a2", "z2", "a1", "z1"]
    assert {data["nodes"][id]["title"] for id in known} >= {name for name in held if name not in ("x", "y")}


def test_play_runs_to_the_end_and_stops(opened):
    page = opened(viz.draw(models.three_layers((2, 2, 1, 1))[0]))
    page.clock.install()
    last = len(told(page)["steps"]) - 1
    page.get_by_role("button", name="play").click()
    assert page.locator("#scrub").input_value() == "0"
    assert page.locator("#play").get_attribute("aria-pressed") == "true"
    page.clock.run_for(900 * (last + 3))
    assert page.locator("#scrub").input_value() == str(last)
    assert page.locator("#play").get_attribute("aria-pressed") == "false"


@pytest.mark.parametrize("name", ["W1", "z2", "loss"])
def test_the_panel_never_tells_a_gradient_before_its_step(opened, name):
    loss, held = models.three_layers()
    g = ad.gradients(loss, [held.get(name, loss)])[0]
    page = opened(viz.draw(loss, compare=ad.compare(loss, models.by_hand(held, slip=True))))
    data = told(page)
    select(page, name)
    at = next(k for k, s in enumerate(data["steps"]) if name in s["gradients"])
    value = next(k for k, s in enumerate(data["steps"]) if name in s["values"])
    for k in range(len(data["steps"])):
        page.locator("#scrub").fill(str(k))
        cells = page.locator("#panel .values td").all()
        told_now = [float(cell.get_attribute("title")) for cell in cells]
        n = np.size(g)
        assert len(told_now) >= (n if k >= value else 0) + (n if k >= at else 0)
        if k < at:
            assert len(told_now) == (n if k >= value else 0) and "differs" not in panel_text(page)
        else:
            assert told_now[n:2 * n] == g.ravel().tolist()
    assert "Not known yet" not in panel_text(page)


def test_the_panel_tells_what_numpy_says(opened):
    loss, held = models.three_layers(samples=2)
    page = opened(viz.draw(loss))
    select(page, "W1")
    cells = [float(cell.get_attribute("title")) for cell in page.locator("#panel .values td").all()]
    W1 = held["W1"]
    assert cells == [*W1.data.ravel().tolist(), *ad.gradients(loss, [W1])[0].ravel().tolist()]
    page.locator("#panel summary").click()
    assert page.locator("#panel details math").count() > 5
    text = panel_text(page)
    assert "parameter" in text and "4×3" in text and "float64" in text and "models.py" in text


def test_the_verdict_and_the_doctors_sentence_are_told(opened):
    loss, held = models.three_layers()
    page = opened(viz.draw(loss, compare=ad.compare(loss, models.by_hand(held, slip=True))))
    assert "leaving out σ′" in panel_text(page)
    select(page, "W2")
    assert "✗ differs" in panel_text(page) and "leaving out σ′" in panel_text(page)
    select(page, "W3")
    assert "✓ agrees" in panel_text(page)
    page.locator(".suspect").click()
    assert "the doctor says" in panel_text(page)
    outline = "getComputedStyle(document.querySelector('[data-id=W2] .card')).stroke"
    wrong = page.evaluate(outline)
    page.keyboard.press("Home")                 # no verdict before the gradient is known
    assert page.evaluate(outline) != wrong and "the doctor says" not in panel_text(page)
    page.keyboard.press("Escape")
    assert "leaving out" not in panel_text(page)


# ---- finding and folding

def test_search(opened):
    page = opened(viz.draw(models.three_layers()[0]))
    page.keyboard.press("/")
    page.keyboard.type("W2")
    assert page.locator(".hit").count() >= 1
    page.keyboard.press("Enter")
    assert page.locator("#panel h2").inner_text() == "W2"
    page.locator("#search").fill("parameter")
    assert page.locator(".hit").count() == 6
    page.locator("#search").fill("no such thing")
    assert page.locator(".hit").count() == 0 and page.locator("#hits").inner_text() == "0"
    page.locator("#search").press("Escape")
    assert page.locator("svg.searching").count() == 0


def places(page):
    return page.evaluate("""() => [...document.querySelectorAll('#picture [transform], #picture .edge path')]
        .filter(e => !e.closest('[hidden]')).map(e => e.getAttribute('transform') || e.getAttribute('d'))""")


@pytest.mark.parametrize("name", ["three_layers", "unrolled", "attention"])
def test_the_page_lays_out_as_python_does(opened, name):
    """With nothing folded, the page's own layout puts every card and every line where Python put it."""
    loss = {"three_layers": lambda: models.three_layers()[0], "unrolled": lambda: models.unrolled(4),
            "attention": models.attention}[name]()
    page = opened(viz.draw(loss, fold=False))
    ours = page.evaluate("""html => { const other = new DOMParser().parseFromString(html, 'text/html');
        return [...other.querySelectorAll('.node[data-id], .chip, .edge path')].map(
            e => e.getAttribute('transform') || e.getAttribute('d')); }""", page.path.read_text(encoding="utf-8"))
    theirs = page.evaluate("""() => [...document.querySelectorAll('.node[data-id], .chip, .edge path')].map(
        e => e.getAttribute('transform') || e.getAttribute('d'))""")
    assert len(ours) == len(theirs) > 20
    for a, b in zip(ours, theirs, strict=True):
        assert np.allclose(numbers(a), numbers(b), atol=0.21), (a, b)


def numbers(text):
    return [float(x) for x in "".join(c if c in "0123456789.-" else " " for c in text.replace("-", " -")).split()]


def test_layers_fold_and_unfold(opened):
    page = opened(viz.draw(models.three_layers()[0]))
    before = places(page)
    height = page.locator('[data-id="loss"]').bounding_box()["y"]
    page.locator('.scope[data-scope="layer_2"] .fold').click()
    expect(page.locator('[data-id="W2"]')).to_be_hidden()
    expect(page.locator('[data-card="layer_2"]')).to_be_visible()
    expect(page.locator('[data-id="W1"]')).to_be_visible()
    assert page.locator('[data-id="loss"]').bounding_box()["y"] < height        # what is below moves up
    page.locator('[data-card="layer_2"]').click()
    expect(page.locator('[data-id="W2"]')).to_be_visible()
    assert places(page) == before
    page.keyboard.press("f")
    assert page.locator(".folded:visible").count() == 3
    assert page.locator(".node.tensor:visible").count() == 4                    # x, y, the mean's operand, the loss
    page.locator("#search").fill("z2")
    page.locator("#search").press("Enter")                                      # what is found is opened
    expect(page.locator('[data-id="z2"]')).to_be_visible()


def test_a_reference_leads_to_what_it_stands_for(opened):
    page = opened(viz.draw(models.three_layers()[0]))
    page.locator(".chip").first.click()
    assert page.locator("#panel h2").inner_text() in ("a1", "a2", "a3")


def test_pan_zoom_and_fit(opened):
    page = opened(viz.draw(models.three_layers()[0]))

    def view():
        return [float(x) for x in page.locator("#picture").get_attribute("viewBox").split()]

    whole = view()
    page.mouse.move(400, 300)
    page.mouse.wheel(0, -400)
    page.wait_for_function("w => +document.querySelector('#picture').getAttribute('viewBox').split(' ')[2] < w",
                           arg=whole[2])
    near = view()
    page.mouse.down()
    page.mouse.move(480, 340, steps=4)
    page.mouse.up()
    assert view()[0] < near[0] and view()[1] < near[1] and view()[2] == near[2]
    assert page.locator(".selected").count() == 0                               # a drag is no click
    page.keyboard.press("0")
    assert np.allclose(view()[2:], whole[2:])
    page.keyboard.press("+")
    assert view()[2] < whole[2]


# ---- theme, keyboard, small screens, motion

def test_light_and_dark_follow_the_system_and_the_reader(opened):
    loss = models.three_layers()[0]
    grounds = {}
    for scheme in ("light", "dark"):
        page = opened(viz.draw(loss), color_scheme=scheme)
        grounds[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        shot = pixels(page.screenshot())
        colours, counts = np.unique(shot.reshape(-1, 3), axis=0, return_counts=True)
        assert len(colours) > 100 and counts.max() < 0.9 * counts.sum()
        assert (colours[counts.argmax()].mean() > 200) == (scheme == "light")
        canvas = pixels(page.locator("#canvas").screenshot())
        assert (np.abs(canvas - canvas[2, 2]).sum(axis=2) > 30).mean() > 0.03
        page.get_by_role("button", name="theme").click()
        other = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert other != grounds[scheme]
        page.keyboard.press("t")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == grounds[scheme]
    assert grounds["light"] != grounds["dark"]


def test_the_keyboard_alone_is_enough(opened):
    page = opened(viz.draw(models.three_layers()[0]))
    names, inside = [], []
    for _ in range(20):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.id || document.activeElement.getAttribute('role')"))
        if page.evaluate("!!document.activeElement.closest('#picture')"):
            inside.append(page.evaluate("document.activeElement.getAttribute('aria-label')"))
    assert names[:4] == ["search", "fold", "fit", "theme"] and len(inside) == 1     # the picture is one stop
    assert names.index("panel") < names.index("play") < names.index("scrub")
    page.locator('#picture [tabindex="0"]').focus()
    labels = []
    for _ in range(60):
        labels.append(page.evaluate("document.activeElement.getAttribute('aria-label')"))
        page.keyboard.press("ArrowDown")
    assert any(label.startswith("W1, parameter, 4×3") for label in labels)
    assert any(label.startswith("Fold layer 1") for label in labels) and all(labels)
    while not page.evaluate("document.activeElement.dataset.id === 'W1'"):
        page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert page.locator("#panel h2").inner_text() == "W1"
    assert page.locator('[data-id="W1"]').get_attribute("aria-pressed") == "true"
    page.keyboard.press("Escape")
    assert page.locator("#panel h2").inner_text() == "loss"
    page.keyboard.press("Home")
    assert page.locator("#scrub").input_value() == "0"
    page.keyboard.press("End")
    assert page.locator("#next").is_disabled()


def test_what_a_screen_reader_is_told(opened):
    page = opened(viz.draw(models.three_layers()[0]))
    expect(page.locator("#step[role=status]")).to_have_attribute("aria-live", "polite")
    expect(page.get_by_role("slider")).to_have_attribute("aria-label", "Step of the computation")
    assert page.locator("#scrub").get_attribute("aria-valuetext") == told(page)["steps"][-1]["title"]
    for button in page.get_by_role("button").all():
        assert (button.get_attribute("aria-label") or button.inner_text()).strip()
    assert page.evaluate("document.documentElement.lang") == "en" and page.title() == "loss.backward()"


def test_on_a_phone_the_panel_stands_below(opened):
    page = opened(viz.draw(models.three_layers()[0]), viewport={"width": 390, "height": 780}, has_touch=True)
    canvas, panel = (page.locator(id).bounding_box() for id in ("#canvas", "#panel"))
    assert panel["y"] >= canvas["y"] + canvas["height"] - 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator('[data-id="W1"]').tap()
    assert page.locator("#panel h2").inner_text() == "W1"
    assert page.locator("#play").bounding_box()["y"] < 780                      # the controls stay in sight


def test_who_wants_no_motion_sees_none(opened):
    loss = models.three_layers()[0]
    moving = {}
    for motion in ("no-preference", "reduce"):
        page = opened(viz.draw(loss), reduced_motion=motion)
        page.locator("#scrub").fill("5")
        moving[motion] = page.evaluate("document.getAnimations().length")
    assert moving["no-preference"] > 0 and moving["reduce"] == 0


# ---- the content policy

def test_no_name_runs_a_script(opened):
    evil = ["</script><script>window.hacked=1</script>", "<img src=x onerror='window.hacked=1'>",
            "'\"><svg onload=alert(1)>", "javascript:window.hacked=1", "${window.hacked=1}",
            "<style>*{display:none}</style>", "\\u003cscript>"]
    W = [ad.Tensor([[float(i)]], requires_grad=True, name=name) for i, name in enumerate(evil, start=1)]
    total = 1.0
    for w in W:
        with ad.scope(w.name, w.name):
            total = (total * w).named(w.name + "!")
    loss = total.sum()
    page = opened(viz.draw(loss, compare=ad.compare(loss, {W[0]: [[9.0]]})))
    data = told(page)
    for id in data["nodes"]:
        page.locator(f'[data-id="{id}"]').dispatch_event("click")
    titles = {p["title"] for p in data["nodes"].values()}
    assert titles >= set(evil)
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("document.images.length + document.scripts.length + document.styleSheets.length") == 3
    names = page.evaluate("[...document.querySelectorAll('*')].flatMap(e => [...e.attributes].map(a => a.name))")
    assert not any(name.startswith("on") for name in names)


def test_the_policy_itself_stops_scripts_styles_and_requests(chromium, tmp_path):
    path = viz.draw(models.three_layers((2, 2, 1, 1))[0]).save(tmp_path / "net.html")
    context = chromium.new_context(offline=True)
    page = context.new_page()
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(path.as_uri())
    page.locator("#panel").evaluate("""panel => { panel.innerHTML = '<img src=x onerror="window.hacked=1">';
        for (const [tag, text] of [['script', 'window.hacked = 2'], ['style', 'body{display:none}']]) {
            const e = document.createElement(tag);
            e.textContent = text;
            document.body.append(e); } }""")
    page.wait_for_timeout(100)
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("getComputedStyle(document.body).display") != "none"
    assert len(said) >= 3 and all("Content Security Policy" in line for line in said)
    context.close()


def test_from_a_server_it_is_one_request(chromium, tmp_path):
    viz.draw(models.three_layers()[0]).save(tmp_path / "net.html")
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format, *arguments):
            asked.append(self.path)

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        context = chromium.new_context()
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/net.html")
        page.keyboard.press("Home")
        assert page.locator("#scrub").input_value() == "0"
        page.wait_for_timeout(200)
        context.close()
        server.shutdown()
        thread.join()
    assert asked == ["/net.html"]


# ---- large

def test_four_hundred_nodes_are_still_lively(opened):
    page = opened(viz.draw(models.deep(60), fold=False))
    assert page.locator(".node.tensor").count() > 150
    page.keyboard.press("Home")
    spent = page.evaluate("""async () => { const start = performance.now();
        for (let i = 0; i < 5; i++) {
            dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'}));
            await new Promise(requestAnimationFrame); }
        return (performance.now() - start) / 5; }""")
    assert spent < 3000                     # about 60 ms; the machine may be busy
