"""Where things lie: no words over words, no lane over a card that is none of its ends, no lane across another."""

import re
import shutil
import sysconfig
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest

import autodiff as ad
import nn
import viz
from tests.viz.models import attention, numbers, parameter, second_derivative, three_layers, unrolled, wrong
from viz.layout import arranged
from viz.scalar_layout import scalars_arranged
from viz.text import ems

SVG = "{http://www.w3.org/2000/svg}"


def residual():
    h = numbers(2, 3)
    for i in range(3):
        with ad.scope(f"block {i}", "Block"):
            h = h + np.tanh(ad.linear(h, parameter(f"W{i}", 3, 3, start=i)))
    return (h ** 2).mean()


def siamese():
    W, parts = parameter("W", 2, 3), []
    for i, side in enumerate(("left", "right")):
        x = numbers(2, 3, start=i)
        with ad.scope(side):
            parts.append(np.tanh(ad.linear(x, W)))
    return ((parts[0] - parts[1]) ** 2).mean()


def classifier():
    words = np.array([[3, 1, 4], [5, 9, 2]])
    with ad.scope("embedding"):
        means = parameter("E", 10, 4)[words].mean(axis=1)
    return nn.functional.cross_entropy(ad.linear(means, parameter("W", 3, 4)), np.array([0, 2]))


PICTURES = {
    "notes": lambda: viz.draw(three_layers()[0]),
    "notes down": lambda: viz.draw(three_layers()[0], rankdir="TB"),
    "notes layers": lambda: viz.draw(three_layers()[0], level="layer"),
    "notes scalars": lambda: viz.draw(three_layers((2, 2, 1))[0], level="scalar"),
    "wide scalars": lambda: viz.draw(three_layers((3, 3, 2, 1))[0], level="scalar"),
    "neuron": lambda: viz.draw(three_layers()[0], level="scalar", zoom=("layer 2", 1)),
    "wrong scalars": lambda: viz.draw(wrong()[0], level="scalar", compare=wrong()[1]),
    "wrong": lambda: viz.draw(wrong()[0], compare=wrong()[1]),
    "loop": lambda: viz.draw(unrolled(3)),
    "loop layers": lambda: viz.draw(unrolled(20), level="layer"),
    "attention": lambda: viz.draw(attention()),
    "residual": lambda: viz.draw(residual()),
    "siamese": lambda: viz.draw(siamese()),
    "classifier": lambda: viz.draw(classifier(), show=["shapes", "values", "gradients", "cost", "source"]),
    "gradient": lambda: viz.draw(second_derivative()),
}


@pytest.fixture(autouse=True)
def one_engine(monkeypatch):
    """Others have other fonts."""
    pure = shutil.which("graphviz-pure", path=sysconfig.get_path("scripts")) or shutil.which("graphviz-pure")
    monkeypatch.setenv("WENGERT_DOT", pure)


def boxes(groups):
    """For each node the corners of what is drawn of it."""
    found = {}
    for g in groups:
        shapes = [shape for shape in g.iter() if shape.tag in (SVG + "polygon", SVG + "path")]
        points = [tuple(map(float, pair.split(","))) for shape in shapes
                  for pair in re.findall(r"-?[\d.]+,-?[\d.]+", shape.get("points") or shape.get("d"))]
        for e in g.iter(SVG + "ellipse"):
            x, y, rx, ry = (float(e.get(key)) for key in ("cx", "cy", "rx", "ry"))
            points += [(x - rx, y - ry), (x + rx, y + ry)]
        found[g.get("id")] = np.array([np.min(points, axis=0), np.max(points, axis=0)])
    return found


def line(g, steps=12):
    """Points along a lane."""
    d = g.find(f".//{SVG}path").get("d")
    points = np.array([tuple(map(float, pair.split(","))) for pair in re.findall(r"-?[\d.]+,-?[\d.]+", d)])
    t = np.linspace(0, 1, steps)[:, None]
    parts = [(1 - t) ** 3 * a + 3 * t * (1 - t) ** 2 * b + 3 * t ** 2 * (1 - t) * c + t ** 3 * e
             for a, b, c, e in (points[i:i + 4] for i in range(0, len(points) - 1, 3))]
    return np.concatenate(parts)


def crossings(p, q):
    """How often two broken lines cross."""
    a, b, c, d = p[:-1, None], p[1:, None], q[None, :-1], q[None, 1:]

    def side(u, v, w):
        return np.sign((v - u)[..., 0] * (w - u)[..., 1] - (v - u)[..., 1] * (w - u)[..., 0])

    return int(np.sum((side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0)))


@pytest.mark.parametrize("name", PICTURES)
def test_nothing_lies_over_anything_else(name):
    drawing = PICTURES[name]()
    root = ElementTree.fromstring(drawing.svg())
    groups = {kind: [g for g in root.iter(SVG + "g") if g.get("class") == kind] for kind in ("node", "edge")}
    cards = boxes(groups["node"])
    for (one, a), (other, b) in combinations(cards.items(), 2):
        assert (a[1] <= b[0]).any() or (b[1] <= a[0]).any(), (one, other)

    words = []
    for text in root.iter(SVG + "text"):
        told, size = "".join(text.itertext()), float(text.get("font-size"))
        x, y = float(text.get("x")), float(text.get("y"))
        room = sum(map(ems, told.strip())) * size * 0.75        # `ems` leaves room
        x += 0.28 * size * (len(told) - len(told.lstrip()))
        x -= room / 2 if text.get("text-anchor") == "middle" else 0
        words.append((told, np.array([[x, y - 0.7 * size], [x + room, y]])))
    words = [(told, box) for told, box in words if told.strip()]
    for (one, a), (other, b) in combinations(words, 2):
        assert (a[1] <= b[0]).any() or (b[1] <= a[0]).any(), (one, other)

    layout = (scalars_arranged if drawing.graph.scalars else arranged)(drawing.graph)
    ends = {e.id: (e.source, e.target) for e in layout.edges}
    lines = {g.get("id"): line(g) for g in groups["edge"]}
    assert set(lines) == set(ends)
    for id, points in lines.items():
        for node, (low, high) in cards.items():
            if node not in ends[id]:
                assert not ((points > low) & (points < high)).all(axis=1).any(), (id, node)
    for (one, p), (other, q) in combinations(lines.items(), 2):
        assert not crossings(p, q), (one, other)


# ---- what stands where

def test_what_comes_in_stands_before_the_box_and_what_is_inside_within():
    graph = viz.draw(unrolled(3)).graph
    layout = arranged(graph)
    assert {layout.scope[chip] for chip, c in layout.chips.items() if c.name.startswith("h")} == {""}
    assert {layout.scope[chip] for chip, c in layout.chips.items() if c.name == "Wx"} == {"cell_2", "cell_3"}
    assert [t.name for t in graph.tensors.values()].count("Wx") == 1


def test_a_shared_parameter_is_one_card_and_one_chip():
    graph = viz.draw(siamese()).graph
    assert [chip.name for chip in arranged(graph).chips.values()] == ["W"]


def test_a_transposed_result_on_the_way_has_no_card():
    graph = viz.draw(attention()).graph
    assert [op.aside for op in graph.ops.values() if op.op == "transpose"] == [True]
    k = viz.draw((parameter("a", 2, 3) * 2).T.sum()).graph          # not on the way to a product alone: as any other
    assert [op.op for op in k.ops.values()] == ["multiply", "transpose", "sum"]


def test_what_has_no_card_says_its_name_where_another_row_needs_it():
    h = parameter("h", 3)
    for _ in range(7):
        h = np.tanh(h)
    drawing = viz.draw(h.sum(), level="layer")
    chips = {chip.name for chip in arranged(drawing.graph).chips.values()}
    assert chips and all(f"→ {name}<" in drawing.dot for name in chips)


def test_a_unit_holds_all_it_works_on():
    graph = viz.draw(three_layers((2, 3, 1))[0], level="scalar").graph
    layout = scalars_arranged(graph)
    assert len(layout.rows) == 3
    leaves = {node for node in graph.scalars if not any(e.target == node for e in graph.edges)}
    for e in layout.edges:
        if e.source in leaves or e.source in layout.chips:
            assert layout.scope[e.source] == layout.scope[e.target]
    assert [chip.name for chip in layout.chips.values()].count("a[0,0]") == 2
    assert [s.name for s in graph.scalars.values()].count("a[0,0]") == 1


def test_a_long_row_of_scalars_is_broken():
    h = ad.Tensor(0.5, requires_grad=True)
    for _ in range(10):
        h = np.tanh(h)
    layout = scalars_arranged(viz.draw(h, level="scalar").graph)
    assert len(layout.rows) == 3 and len(layout.chips) == 2


def test_a_run_begins_with_what_is_learned():
    model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.Sigmoid(),
                          *[part for i in range(4) for part in (nn.Linear(3, 3, rng=i), nn.Sigmoid())], nn.Linear(3, 1))
    graph = viz.draw(model(numbers(2, 2)).sum(), level="layer").graph
    [run] = [layer for layer in graph.layers if layer.count > 1]
    assert (run.count, run.kind, run.name) == (4, "Linear + Sigmoid", "Sequential.2–9")


def test_without_gradients_there_is_one_lane():
    h = parameter("w", 3) * 2
    assert 'dir="both"' not in viz.draw(h).dot and 'dir="both"' in viz.draw(h.sum()).dot
