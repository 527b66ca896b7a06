"""Smoke of Graphviz's own `dot`, as Debian installs it: every picture renders, with the same nodes and lanes."""

import shutil
import sysconfig
from xml.etree import ElementTree

import pytest

import autodiff as ad
import viz
from tests.viz.test_goldens import PICTURES

pytestmark = pytest.mark.browser        # with what needs more than pip installs
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def system(monkeypatch):
    """Whatever `dot` is on the PATH, and nothing else."""
    dot = shutil.which("dot")
    assert dot, "Graphviz's own dot is needed here: apt install graphviz"
    monkeypatch.delenv("WENGERT_DOT", raising=False)
    return dot


def drawn(svg):
    """The ids of nodes and lanes."""
    return sorted((g.get("class"), g.get("id")) for g in ElementTree.fromstring(svg).iter(SVG + "g")
                  if g.get("class") in ("node", "edge"))


@pytest.mark.parametrize("name", PICTURES)
def test_the_same_nodes_and_lanes(name, system, monkeypatch):
    drawing = PICTURES[name]()
    svg = drawing.svg()
    assert drawing.engine == "dot"
    pure = shutil.which("graphviz-pure", path=sysconfig.get_path("scripts")) or shutil.which("graphviz-pure")
    monkeypatch.setenv("WENGERT_DOT", pure)
    assert drawn(svg) == drawn(drawing.svg()) and len(drawn(svg)) > 4


def test_every_format(system, tmp_path):
    drawing = PICTURES["notes-op"]()
    for format, begin in (("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")):
        assert drawing.save(tmp_path / f"net.{format}").read_bytes().startswith(begin)


@pytest.mark.parametrize("name", ['"]; evil [label="x"', "<b>&", "\\N", "\u202e\ud800", "é" * 200, "🎉"])
def test_hostile_names(name, system):
    w = ad.Tensor([1.0, 2.0], requires_grad=True, name=name)
    with ad.scope(name, name):
        loss = (w * 2).sum()
    svg = viz.draw(loss, label=lambda node: name).svg()
    assert len([id for kind, id in drawn(svg) if kind == "node"]) == 5
