"""Lanes, themes, what is shown, callbacks, verdicts, frames."""

import re

import numpy as np
import pytest

import autodiff as ad
import viz
from tests.viz.models import by_hand, deep, looking, parameter, three_layers, wrong
from viz.dot import lane_width
from viz.frames import moments
from viz.themes import THEMES


def edges(dot):
    return {m[1]: m[0] for m in re.finditer(r'^\t".*-> .*id="([^"]+)".*$', dot, re.M)}


# ---- lanes

@pytest.mark.parametrize("theme", THEMES)
def test_two_lanes_where_a_gradient_flows_and_one_where_none_does(theme):
    w = parameter("w", 3)
    x = np.ones(3)
    lines = edges(viz.draw((x * w).sum(), theme=theme).dot)
    colours = THEMES[theme]
    assert f'dir="both", color="{colours.forward}:{colours.backward}"' in lines["w__op_v1"]
    assert 'dir="both"' not in lines["x__op_v1"] and f'color="{colours.subtle}"' in lines["x__op_v1"]
    assert not any(":" in re.search('color="([^"]*)"', line)[1]
                   for line in edges(viz.draw((x * w).sum(), show="values").dot).values())


def test_a_lane_stated_backwards_has_its_colours_the_other_way():
    x, W, b = np.ones((1, 2)), parameter("W", 3, 2), parameter("b", 3)
    dot = viz.draw(ad.linear(x, W, b).sum()).dot
    light = THEMES["light"]
    assert f'"op_v1" -> "b" [id="b__op_v1", dir="both", color="{light.backward}:{light.forward}"' in dot


def test_lanes_are_the_wider_the_larger_the_gradient():
    widths = [lane_width(norm, 1.0) for norm in (0.0, 1e-9, 1e-2, 1e-1, 1.0)]
    assert widths == sorted(widths) and widths[0] == widths[1] < widths[2] < widths[3] < widths[4]
    assert lane_width(np.nan, 1.0) == lane_width(np.inf, 0.5) == widths[4] and lane_width(0.0, 0.0) == widths[0]
    loss, _ = three_layers()
    graph = viz.draw(loss).graph
    for e in graph.edges:
        end = graph.tensors.get(e.source) or graph.tensors.get(e.target)
        if e.flows and end is not None and end.gradient is not None:
            assert e.norm == pytest.approx(end.gradient.norm)


def test_a_gradient_that_is_no_number_is_a_loud_lane():
    with np.errstate(all="ignore"):
        loss = np.log(parameter("w", 3) * 0).sum()
    assert f':{THEMES["light"].alarm}"' in viz.draw(loss).dot


def test_print_tells_signs_without_colours():
    dot = viz.draw(three_layers()[0], theme="print").dot
    assert "−</font></td>" in dot and "grey with a sign negative" in dot
    assert all(len(set(bytes.fromhex(c))) == 1 for c in set(re.findall(r'"#([0-9a-f]{6})"', dot)))


# ---- what is shown

def test_show_tells_more():
    loss, _ = three_layers()
    dot = viz.draw(loss, show=["dtype", "bytes", "cost", "source"]).dot
    assert "float64" in dot and "96 B" in dot and "12 multiply-adds" in dot and re.search(r"models\.py:\d+", dot)
    assert not re.search(r"96 B|multiply-adds</font>|models\.py:\d+</font>", viz.draw(loss).dot)
    layer = viz.draw(loss, level="layer", show=["cost", "source"]).dot
    assert "20 multiply-adds" in layer and "models.py" in layer


def test_multiply_adds_are_those_of_the_shapes():
    x, W = np.ones((5, 3)), parameter("W", 4, 3)
    loss = np.einsum("ij,kj->ik", x, W).sum() + (x @ W.T).sum()
    costs = {node.op: node.cost for node in viz.draw(loss).graph.ops.values()}
    assert costs["einsum"] == costs["matmul"] == 60 and costs["transpose"] == 0 and costs["sum"] == 20


def test_the_convention_is_told():
    x, W = np.ones((5, 3)), parameter("W", 4, 3)
    assert "Samples are rows." in viz.draw((x @ W.T).sum()).dot
    assert "Samples are columns." in viz.draw((W @ x.T).sum()).dot
    assert "Samples are" not in viz.draw((W @ W.T).sum()).dot


def test_labels_and_colours_of_ones_own():
    loss, _ = three_layers()
    dot = viz.draw(loss, label=lambda node: 'my "W"\n<b>' if getattr(node, "name", "") == "W1" else None,
                   colour=lambda node: "#ffcc00" if getattr(node, "op", "") == "sigmoid" else None).dot
    assert "my &quot;W&quot;" in dot and "&lt;b&gt;" in dot and dot.count('fillcolor="#ffcc00"') == 3
    assert 'color="#000000"' in dot                  # text that reads on the colour
    layer = viz.draw(loss, level="layer", label=lambda node: node.id, colour=lambda node: "#abcdef").dot
    assert "layer_layer_1" in layer and 'fillcolor="#abcdef"' in layer
    for bad in ("red", "#fff", '#ffcc00" evil="1'):
        with pytest.raises(ValueError, match="six hexadecimal digits"):
            viz.draw(loss, colour=lambda node, bad=bad: bad).dot


# ---- verdicts

def test_a_right_gradient_is_marked_right():
    loss, held = three_layers()
    report = ad.compare(loss, by_hand(held))
    assert report.ok
    drawing = viz.draw(loss, compare=report)
    assert drawing.svg().count("✓ off by") == 6 and "✗" not in drawing.dot
    assert "Gradients given by hand: W3, b3, W2, b2, W1, b1 agree." in drawing.dot
    layers = viz.draw(loss, compare=report, level="layer").dot
    assert all(layers.count(f"✓ right: W{l}, b{l}") == 1 for l in (1, 2, 3))


def test_a_wrong_one_is_marked_where_the_mistake_is():
    loss, held = three_layers()
    report = ad.compare(loss, by_hand(held, slip=True))
    drawing = viz.draw(loss, compare=report)
    alarm = THEMES["light"].alarm
    assert drawing.svg().count("✗ off by") == 4 and drawing.dot.count("✓ off by") == 2
    suspects = re.findall(rf'^\t"(\w+)" \[.*fillcolor="#334155", color="{alarm}"', drawing.dot, re.M)
    assert suspects == ["op_a2"]
    said = " ".join(re.findall(r'point-size="12"[^>]*>([^<]*)<', drawing.dot))
    assert "W2, b2, W1, b1 differ; W3, b3 agree." in said and "leaving out" in said and "Correct: " in said
    layer = viz.draw(loss, compare=report, level="layer").dot
    assert "✗ wrong: W2, b2" in layer and re.search(rf'"layer_layer_2" \[.*color="{alarm}"', layer)


def test_compare_with_something_else_is_told():
    with pytest.raises(TypeError, match=r"compare= takes the report of ad\.compare\(loss, \.\.\.\), not dict"):
        viz.draw(three_layers()[0], compare={"W1": 0})


def test_a_png_without_the_signs_font_has_others(tmp_path):
    loss, held = three_layers()
    assert viz.draw(loss, compare=ad.compare(loss, by_hand(held))).png().startswith(b"\x89PNG")


# ---- frames

def test_frames_tell_backprop_in_order(tmp_path):
    loss, held = three_layers()
    drawing = viz.draw(loss)
    told = list(moments(drawing.graph))
    operations = len(drawing.graph.ops)
    assert len(told) == 2 * operations + 2
    assert not told[operations].gradients and len(told[operations].values) == len(drawing.graph.tensors)
    order = [r.name for r in ad.Tape(loss).records if r.name in drawing.graph.tensors]
    appeared = [name for before, after in zip(told, told[1:], strict=False)
                for name in sorted(after.values - before.values)]
    assert [name for name in appeared if name in order] == order
    assert told[-1].gradients == {t.id for t in drawing.graph.tensors.values() if t.gradient is not None}
    for before, after in zip(told, told[1:], strict=False):
        assert before.values <= after.values and before.gradients <= after.gradients and before.back <= after.back


def test_a_gradient_appears_when_its_last_part_has_come():
    w = parameter("w", 3)
    u = np.exp(w)
    loss = (u * w).sum()
    *_, before, last = moments(viz.draw(loss).graph)
    assert "w" not in before.gradients and "w" in last.gradients


def test_frames_lie_exactly_over_each_other(tmp_path):
    loss, _ = three_layers((2, 2, 1))
    paths = viz.draw(loss).frames(tmp_path / "steps" / "here")
    sizes = {re.search(r'<svg width="(\d+)pt" height="(\d+)pt"', path.read_text(encoding="utf-8")).groups()
             for path in paths}
    assert len(sizes) == 1 and [path.name for path in paths[:2]] == ["frame-000.svg", "frame-001.svg"]
    first, last = (path.read_text(encoding="utf-8") for path in (paths[0], paths[-1]))
    assert "before: " in first and "backward" in last

    def places(svg):
        return re.findall(r'<text [^>]*? x="([^"]+)" y="([^"]+)"', svg)[:-8]

    assert places(first) == places(last)


def test_what_is_not_known_yet_is_not_seen():
    loss, held = three_layers((2, 2, 1))
    drawing = viz.draw(loss)
    start = next(moments(drawing.graph))
    z1 = drawing.graph.tensors["z1"]
    hidden = looking(drawing, moment=start).dot
    line = next(line for line in hidden.splitlines() if line.startswith('\t"z1" ['))
    label = line.split("tooltip")[0].partition("z1</b>")[2].split("</tr>", 1)[1]
    assert z1.gradient is not None
    assert set(re.findall(r'color="(#\w{6})"', label.partition(">, style")[0])) == {"#ffffff"}


def test_frames_of_layers_and_their_limits(tmp_path):
    paths = viz.draw(deep(4), level="layer").frames(tmp_path, format="dot")
    assert len(paths) >= 6 and all(path.read_text(encoding="utf-8").startswith("digraph") for path in paths)
    with pytest.raises(ValueError, match="format='gif' is not known"):
        viz.draw(deep(4)).frames(tmp_path, format="gif")


# ---- scalars: one by one

def test_frames_of_scalars_end_with_every_gradient(tmp_path):
    loss, held = three_layers((2, 2, 1))
    drawing = viz.draw(loss, level="scalar")
    graph, told = drawing.graph, list(moments(drawing.graph))
    assert len(told) == 2 + 2 * len(graph.steps) and not told[len(graph.steps)].gradients
    assert told[-1].gradients == {s.id for s in graph.scalars.values() if s.gradient is not None}
    for before, after in zip(told, told[1:], strict=False):
        assert before.values <= after.values and before.gradients <= after.gradients
    assert told[1].title == "forward 1/14: × gives a product"
    assert told[18].title == "backward 3/14: σ gives the gradient of z2"
    paths = drawing.frames(tmp_path)
    sizes = {re.search(r'<svg width="(\d+)pt" height="(\d+)pt"', path.read_text(encoding="utf-8")).groups()
             for path in paths}
    assert len(paths) == len(told) and len(sizes) == 1


def test_a_scalar_that_is_not_known_yet_is_not_seen():
    loss, _ = three_layers((2, 2, 1))
    drawing = viz.draw(loss, level="scalar")
    told = list(moments(drawing.graph))

    def colours(moment, node):
        [line] = [line for line in looking(drawing, moment=moment).dot.splitlines()
                  if line.startswith(f'\t"{node}" [')]
        return re.findall(r'color="(#\w{6})">', line.partition("tooltip")[0])

    light = THEMES["light"]
    assert not {light.forward, light.backward} & set(colours(told[0], "z1_0_0_"))
    assert light.forward in colours(told[len(told) // 2 - 1], "z1_0_0_")
    assert light.backward not in colours(told[len(told) // 2 - 1], "z1_0_0_")
    assert light.backward in colours(told[-1], "z1_0_0_")


def test_a_neuron_plays_from_the_gradient_it_is_given():
    loss, _ = three_layers()
    told = [moment.title for moment in moments(viz.draw(loss, level="scalar", zoom=("layer 2", 0)).graph)]
    assert "backward: the gradient of a2[0,0] is given" in told and told[-1].startswith("backward")


def test_verdicts_on_scalars_are_those_of_their_entries():
    loss, held = three_layers((2, 2, 1))
    [dW1] = ad.gradients(loss, [held["W1"]])
    slipped = np.array(dW1)
    slipped[0, 1] += 0.25
    drawing = viz.draw(loss, level="scalar", compare=ad.compare(loss, {"W1": slipped}))
    marks = {drawing.graph.scalars[id].name: mark for id, mark in drawing._look.marks.items()}
    assert {name: mark.good for name, mark in marks.items()} == {
        "W1[0,0]": True, "W1[0,1]": False, "W1[1,0]": True, "W1[1,1]": True}
    assert marks["W1[0,1]"].text == "✗ off by 0.25" and "✗ off by 0.25" in drawing.dot
    wrong_shape = viz.draw(loss, level="scalar", compare=ad.compare(loss, {"W1": np.ones(3)}))
    assert {mark.text for mark in wrong_shape._look.marks.values()} == {"✗ wrong shape"}


def test_an_entry_at_a_kink_is_not_held_against_anyone():
    w = ad.Tensor([0.0, 1.0], requires_grad=True, name="w")
    loss = ad.relu(w).sum()
    drawing = viz.draw(loss, level="scalar", compare=ad.compare(loss, {"w": np.array([1.0, 1.5])}))
    marks = {drawing.graph.scalars[id].name: mark.text for id, mark in drawing._look.marks.items()}
    assert marks == {"w[0]": "undecided", "w[1]": "✗ off by 0.5"}


def test_the_scalars_that_a_diagnosis_names_have_a_ring():
    loss, report = wrong()
    drawing = viz.draw(loss, level="scalar", compare=report)
    assert {drawing.graph.scalars[id].name for id in drawing._look.suspects} == {"a2[0,0]", "a2[0,1]"}
    assert drawing.dot.count(f'color="{THEMES["light"].alarm}", tooltip=') == 2
    assert "leaving out" in drawing.svg()


def test_words_and_colours_of_ones_own_on_scalars():
    loss, _ = three_layers((2, 2, 1))
    dot = viz.draw(loss, level="scalar", label=lambda node: "mine" if node.name == "b2" else None,
                   colour=lambda node: "#abcdef" if node.role == "input" else None).dot
    assert dot.count(">mine<") == 1 and dot.count('fillcolor="#abcdef"') == 3


def test_a_derivative_that_was_not_used_yet_has_the_colour_of_its_ground():
    drawing = viz.draw(three_layers((2, 2, 1))[0], level="scalar", theme="dark")
    start = looking(drawing, moment=next(moments(drawing.graph))).dot
    [inside] = re.findall(r'id="z2__a2".*label=<<font point-size="8" color="(#\w{6})"', start)
    [outside] = re.findall(r'-> "v5".*dir="both".*label=<<font point-size="8" color="(#\w{6})"', start)
    assert (inside, outside) == (THEMES["dark"].scope_fill, THEMES["dark"].background)
