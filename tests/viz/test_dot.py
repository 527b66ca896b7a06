"""How it is drawn: the same text every time, whatever the names hold."""

import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autodiff as ad
import viz
from viz.themes import THEMES

PROGRAM = """
import numpy as np, autodiff as ad, viz
rng = np.random.default_rng(0)
h = x = rng.normal(size=(5, 4))
for i in range(4):
    W = ad.Tensor(rng.normal(size=(4, 4)), requires_grad=True, name=f"W{i}")
    with ad.scope(f"layers.{i}", "Linear"):
        h = np.tanh(h @ W.T + x)
loss = (h ** 2).mean()
print(viz.draw(loss).dot)
"""


def small(name=None, scope=None):
    x = np.arange(6.0).reshape(2, 3)
    W = ad.Tensor(np.ones((2, 3)), requires_grad=True, name=name)
    with ad.scope(scope or "layer", "Linear"):
        z = x @ W.T
    loss = (z * z).sum()
    return loss


def nodes(dot):
    return re.findall(r'^\t"([^"]+)" \[', dot, re.M)


def test_the_text_is_the_same_every_time():
    assert viz.draw(small()).dot == viz.draw(small()).dot


def test_the_text_is_the_same_in_every_process():
    here = {"PYTHONPATH": viz.__path__[0] + "/.."}
    runs = [subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True,
                           env={"PYTHONHASHSEED": seed, **here}).stdout for seed in "12"]
    assert runs[0] == runs[1] and len(runs[0]) > 1000
    assert not re.search(rb"0x[0-9a-f]{6}", runs[0])


def test_ids_are_made_of_names():
    dot = viz.draw(small("W1")).dot
    assert set(nodes(dot)) == {"x", "W1", "op_v1", "op_z", "z", "op_v2", "v2", "op_loss", "loss"} - {"v1"}
    assert dot.startswith("digraph tape {\n") and dot.endswith("}\n")
    assert 'subgraph "cluster_layer" {' in dot and '"x" -> "op_z" [id="x__op_z"' in dot


def test_a_name_that_looks_like_an_id_of_ours_is_no_clash():
    w = ad.Tensor(1.0, requires_grad=True, name="op_loss")
    v = ad.Tensor(1.0, requires_grad=True, name="cluster:row0")
    u = ad.Tensor(1.0, requires_grad=True, name="ŷ")
    y = ad.Tensor(1.0, requires_grad=True, name="y")
    loss = w * v + u * y
    drawn = nodes(viz.draw(loss).dot)
    assert len(drawn) == len(set(drawn)) == 10


HOSTILE = st.text(max_size=12) | st.sampled_from([
    'a "q"', "<b>", "&amp;", "&", "]]>", "-->", "\\N\\G\\l", "\\", "\n", "\x00\x1b", "a" * 200, "}", "];",
    "重み", "🎉", "\u202eevil", "$x_1$", "{a|b}",
    "\ud800", "\ufffe", "/*", "//", "#", "%n", "row0", "node", " ", ""])


@settings(max_examples=60)
@given(HOSTILE, HOSTILE, HOSTILE)
def test_hostile_names_neither_break_nor_inject(tensor, scope, kind):
    w = ad.Tensor([1.0, 2.0, 3.0], requires_grad=True, name=tensor)
    with ad.scope(scope, kind):
        h = w * np.ones(3)
    loss = h.sum()
    drawing = viz.draw(loss, max_nodes=400)
    root = ElementTree.fromstring(drawing.svg())
    drawn = [g for g in root.iter("{http://www.w3.org/2000/svg}g") if g.get("class") == "node"]
    assert len(drawn) == 6
    if re.fullmatch(r"[ -~]{1,20}", tensor) and tensor.strip() == tensor and "  " not in tensor:
        words = {"".join(t.itertext()).strip() for t in root.iter("{http://www.w3.org/2000/svg}text")}
        assert tensor in words


def test_names_are_shown_whole_with_backslashes():
    svg = viz.draw(small(r"a\N\G\\", r"s\N")).svg()
    assert r">a\N\G\\<" in svg and r">s\N<" in svg


def test_long_names_are_cut_in_the_middle():
    dot = viz.draw(small("begin" + "x" * 200 + "end")).dot
    assert re.search(r"<b>beginx+…x+end</b>", dot)


@pytest.mark.parametrize("rankdir", ["LR", "TB"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_themes_and_directions_render(theme, rankdir):
    drawing = viz.draw(small(), theme=theme, rankdir=rankdir)
    ElementTree.fromstring(drawing.svg())
    assert THEMES[theme].background in drawing.dot and f'rankdir="{rankdir}"' in drawing.dot


def test_colours_have_six_digits_and_text_has_contrast():
    for theme in THEMES.values():
        for role, ground in theme.fill.items():
            inks = [theme.ink, theme.subtle, theme.forward, theme.backward, theme.alarm]
            assert min(contrast(ink, ground) for ink in inks) >= 4.5, role
        assert contrast(theme.on_disc, theme.disc) >= 4.5
        for ground in (theme.background, theme.scope_fill):
            assert min(contrast(theme.ink, ground), contrast(theme.subtle, ground)) >= 4.5
    assert not re.findall(r'#(?![0-9a-f]{6}")\w*"', viz.draw(small()).dot.replace("&#", ""))


def contrast(a, b):
    """WCAG 2's ratio of two colours."""
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour):
    parts = np.array(list(bytes.fromhex(colour[1:]))) / 255
    linear = np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_roles_differ_by_more_than_colour():
    dot = viz.draw(small("W")).dot
    line = r' .*style="([^"]+)", penwidth="([^"]+)"(, peripheries="2")?'
    found = {re.search(f'^\t"{name}"{line}', dot, re.M).groups() for name in ("W", "x", "z", "loss")}
    assert len(found) == 4


# ---- rows

def deep(n):
    h = np.ones((2, 3))
    for i in range(n):
        W = ad.Tensor(np.eye(3), requires_grad=True, name=f"W{i}")
        with ad.scope(f"layers.{i}"):
            h = np.tanh(ad.linear(h, W)).named(f"h{i}")
    return h.sum()


def test_a_deep_net_is_cut_into_rows_at_layers():
    dot = viz.draw(deep(12)).dot
    rows = re.findall(r'cluster:row(\d+)"', dot)
    assert 3 <= len(rows) <= 8
    assert "continued" not in dot
    chips = re.findall(r'^\t"(h\d+):op_\w+" \[', dot, re.M)
    assert len(chips) == len(rows) - 1


def test_a_short_one_is_one_row_without_chips():
    dot = viz.draw(small()).dot
    assert dot.count("cluster:row") == 1 and "dashed" not in dot


def test_a_layer_longer_than_a_row_goes_on():
    h = ad.Tensor(np.ones(3), requires_grad=True)
    with ad.scope("long"):
        for _ in range(20):
            h = np.tanh(h)
    dot = viz.draw(h.sum()).dot
    boxes = re.findall(r'subgraph "cluster_long(:\d)?"', dot)
    assert dot.count("continued") == len(boxes) - 1 > 1


def test_a_shared_parameter_is_one_card_and_chips():
    W = ad.Tensor(np.eye(3), requires_grad=True, name="W")
    h = np.ones((2, 3))
    for _ in range(4):
        h = np.tanh(ad.linear(h, W))
    dot = viz.draw(h.sum()).dot
    assert nodes(dot).count("W") == 1 and len([n for n in nodes(dot) if n.startswith("W:")]) == 3


def test_a_skip_connection_comes_from_a_chip_beside():
    x = ad.Tensor(np.ones((2, 3)), requires_grad=True)
    h = np.exp(np.tanh(ad.relu(x))) + x
    dot = viz.draw(h.sum()).dot
    assert '"x:op_h"' in dot and re.search(r'rank=same; "op_h"; "x:op_h"', dot)
