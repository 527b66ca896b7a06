"""Names, scopes, words of one's own and verdicts may hold anything: no writer breaks, and nothing gets in."""

import json
import re
import shutil
import subprocess
import sysconfig
from functools import cache
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import autodiff as ad
import viz
from tests.viz.models import looking
from viz.frames import moments
from viz.text import shown

ENGINE = shutil.which("graphviz-pure", path=sysconfig.get_path("scripts")) or shutil.which("graphviz-pure")
SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
TAGS = {SVG + tag for tag in ("svg", "g", "title", "polygon", "polyline", "path", "ellipse", "text", "a")}
LEVELS = ("layer", "op", "scalar")
NASTY = [
    'a "q"', "it's", "<b>bold</b>", "<script>alert(1)</script>", "</svg><svg onload=alert(1)>", "<port>",
    "&amp;", "&", "&#0;", "]]>", "-->", "<!--", "<![CDATA[", "<?xml?>", "javascript:alert(1)",
    "\\", "\\N\\G\\l\\n", '\\"', "\n", "\r\n", "\t", "\x00\x1b[31m", "\u2028", " ", "", "1", ".",
    "}", "];", '"]; evil [label="x"', "} subgraph cluster_x {", "{a|b}", "a:b", "a->b", "x" * 59 + '"',
    "node", "edge", "graph", "digraph", "strict", "subgraph", "/*", "//", "#", "row0", "cluster:row0", "op_v1",
    "%n", "%s", "{0}", "${x}", "$x_1$", r"\frac{a}{b}", r"\input{x}", "^_~",
    "a" * 200, "é" * 200, "e\u0301" * 40, "重み", "🎉", "👩‍👩‍👧", "\u202eevil", "\u05d0\u05d1", "\u0627\u0644",
    "\ud800", "\udfff\ud800", "\ufffe", "\ufeff",
]
ONE = st.sampled_from(NASTY)
TEXT = ONE | st.text(st.characters(), max_size=30) | st.builds(str.__add__, ONE, ONE)
PLAIN = "plain"


def computed(tensor, scope, kind, array, explain=False):
    """A loss of two layers in which every name is somebody's, and gradients by hand of which one is wrong."""
    data = np.array([[1.0, -2.0]])
    W = ad.Tensor([[0.5, -0.5], [0.25, 1.0]], requires_grad=True, name=tensor)
    with ad.scope(scope, kind):
        z = (data @ W.T).named(tensor)
    with ad.scope(kind, scope):
        a = np.tanh(z).named(array)
    loss = (a * a).sum().named(array)
    g = 2 * a.data * (1 - a.data ** 2)
    return loss, ad.compare(loss, {W: g.T @ data + [[0.0, 0.0], [0.0, 1.0]]}, explain=explain), {array: data}


def drawn(level, words, *names, explain=False):
    loss, report, arrays = computed(*names, explain=explain)
    return viz.draw(loss, level=level, compare=report, names=arrays, label=lambda node: words,
                    show=["shapes", "values", "gradients", "dtype", "source"])


@cache
def keys_of_plain(level):
    """What a harmless picture says about itself."""
    return set(parsed(drawn(level, PLAIN, *"abcd").dot))


def parsed(dot):
    """What an engine reads in DOT text."""
    done = subprocess.run([ENGINE, "-Tjson"], input=dot.encode(), capture_output=True, check=True)
    return json.loads(done.stdout)


def structure(graph):
    """The names of all nodes and boxes, and what the edges join."""
    return [row["name"] for row in graph["objects"]], [(e["tail"], e["head"]) for e in graph["edges"]]


def assert_harmless(svg):
    """Nothing in a picture but shapes and words."""
    root = ElementTree.fromstring(svg)
    for node in root.iter():
        assert node.tag in TAGS
        assert not any(key.lower().startswith("on") or key in ("href", LINK + "href", "style") for key in node.attrib)
        assert re.fullmatch(r"[\w.:-]*", node.get("id", ""), re.A)
    return root


@pytest.mark.parametrize("level", LEVELS)
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.tuples(TEXT, TEXT, TEXT, TEXT), TEXT)
@example(('"]; evil [label="x"', "</svg><svg onload=alert(1)>", "\\N", "\ud800"), "<td>\n&nbsp;\x00")
@example(("\u202e\u05d0", "👩‍👩‍👧", "e\u0301" * 40, "é" * 200), "a" * 200 + "\n" + "b" * 200)
def test_hostile_text_changes_nothing_but_words(level, names, words):
    drawing = drawn(level, words, *names)
    dot = drawing.dot
    dot.encode()
    graph = parsed(dot)
    alike = drawing.graph
    nodes = [row for row in graph["objects"] if "nodes" not in row and "subgraphs" not in row]
    chips = [row for row in nodes if "dashed" in row.get("style", "")]
    twin = [plain if name else "" for plain, name in zip("abcd", names, strict=True)]       # "" is no name
    assert alike.size == viz.draw(computed(*twin)[0], level=level).graph.size
    assert len(nodes) - len(chips) == alike.size and len(graph["edges"]) == len(alike.edges)
    assert set(graph) == keys_of_plain(level)
    root = assert_harmless(drawing.svg())
    seen = {"".join(text.itertext()) for text in root.iter(SVG + "text")}
    for line in words.split("\n"):
        told = shown(line, 48).strip()
        if re.fullmatch("[ -~]+", told) and "  " not in told:
            assert any(told == text.strip() for text in seen)


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from(LEVELS), TEXT, TEXT)
def test_frames_of_hostile_names(level, tensor, scope):
    drawing = drawn(level, None, tensor, scope, tensor, scope)
    told = list(moments(drawing.graph))
    whole = structure(parsed(drawing.dot))
    for moment in (told[0], told[len(told) // 2], told[-1]):
        frame = looking(drawing, moment=moment)
        assert_harmless(frame.svg())
        assert structure(parsed(frame.dot)) == whole


@pytest.mark.parametrize("name", NASTY)
def test_each_nasty_name_is_drawn_and_told(name, tmp_path):
    for level in LEVELS:
        drawing = drawn(level, name, name, name, name, name, explain=level == "op")
        assert_harmless(drawing.svg())
        repr(drawing).encode()
    assert drawing.save(tmp_path / "a.dot").read_text(encoding="utf-8") == drawing.dot
