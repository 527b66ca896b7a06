"""The same loss as operations, layers and single numbers; what is folded, and what is left out."""

import time
from contextlib import ExitStack
from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autodiff as ad
import nn
import viz
from tests.viz.models import deep, numbers, parameter, three_layers, unrolled
from viz.graph import LayerNode


def layers(drawing):
    return {layer.name: layer for layer in drawing.graph.layers}


# ---- layers

def test_each_layer_is_a_card_with_its_sizes_parameters_and_gradient():
    loss, held = three_layers()
    drawing = viz.draw(loss, level="layer", names=held)
    found = layers(drawing)
    assert list(found) == ["layer 1", "layer 2", "layer 3"]
    first = found["layer 1"]
    assert (first.kind, first.sizes, first.parameters, first.names) == ("Dense", "3 → 4", 16, ("W1", "b1"))
    both = ad.gradients(loss, [held["W1"], held["b1"]])
    assert first.norm == pytest.approx(np.sqrt(sum(np.sum(g ** 2) for g in both)))
    assert sorted(t.name for t in drawing.graph.tensors.values()) == ["loss", "x", "y"]
    assert [(e.source, e.target) for e in drawing.graph.edges] == [
        ("x", "layer_layer_1"), ("layer_layer_1", "layer_layer_2"), ("layer_layer_2", "layer_layer_3"),
        ("layer_layer_3", "op_v7"), ("y", "op_v7"), ("op_v7", "op_loss"), ("op_loss", "loss")]
    for words in ("layer 2", "4 → 3", "15 parameters", "gradient norm"):
        assert words in drawing.dot


def test_a_model_around_its_layers_is_a_box():
    model = nn.MLP([4, 8, 1], rng=0)
    loss = model.loss_fn(model(np.ones((5, 4))), np.ones((5, 1)))
    drawing = viz.draw(loss, level="layer")
    assert list(layers(drawing)) == ["layers.0", "layers.1", "loss_fn"]
    assert [c.kind for c in drawing.graph.clusters.values()] == ["MLP"]
    assert [op.op for op in drawing.graph.ops.values() if not isinstance(op, LayerNode)] == ["sigmoid", "sigmoid"]


def test_layers_in_layers_fold_to_the_outer_one_and_open():
    h = parameter("h", 3)
    with ad.scope("encoder", "Encoder"):
        with ad.scope("norm", "Norm"):
            h = h * parameter("g", 3, start=1)
        h = np.tanh(h)
    with ad.scope("head", "Head"):
        loss = (h * parameter("w", 3, start=2)).sum()
    assert list(layers(viz.draw(loss, level="layer"))) == ["encoder", "head"]
    opened = viz.draw(loss, level="layer", expand="encoder")
    assert list(layers(opened)) == ["norm", "head"] and list(opened.graph.clusters) == ["encoder"]
    message = r"expand='decoder' is no layer here; the layers are encoder, encoder\.norm, head"
    with pytest.raises(ValueError, match=message):
        viz.draw(loss, expand=["decoder"])


def test_a_parameter_of_two_layers_is_counted_once():
    E = parameter("E", 5, 2)
    with ad.scope("embed"):
        e = E[np.array([0, 3])]
    with ad.scope("head"):
        logits = e @ E.T
    found = layers(viz.draw((logits ** 2).sum(), level="layer"))
    assert (found["embed"].parameters, found["embed"].shared) == (10, 0)
    assert (found["head"].parameters, found["head"].shared) == (0, 10)
    assert "10 shared" in viz.draw((logits ** 2).sum(), level="layer").dot


def test_without_layers_it_says_so():
    loss = (parameter("w", 3) * 2).sum()
    drawing = viz.draw(loss, level="layer")
    assert "No layers" in drawing.note and drawing.dot
    assert [t.name for t in drawing.graph.tensors.values()] == ["w", "loss"]


def test_a_layer_that_makes_the_loss_has_the_loss_behind_it():
    with ad.scope("all"):
        loss = (parameter("w", 3) * 2).sum()
    graph = viz.draw(loss, level="layer").graph
    assert [(e.source, e.target) for e in graph.edges] == [("layer_all", "loss")]


def test_several_outputs_of_a_layer_are_one_lane():
    with ad.scope("split"):
        a, b = np.split(parameter("w", 4) * 1.0, 2)
    loss = (a * b).sum()
    assert viz.draw(loss, level="layer").dot and viz.draw(loss, level="scalar").dot


# ---- runs

def test_a_run_of_equal_layers_is_one_card_with_a_bar_each():
    loss = deep(11)
    drawing = viz.draw(loss, level="layer")
    run = layers(drawing)["layers.1–11"]
    weights = [r for r in ad.Tape(loss).leaves if r.requires_grad]
    expected = [np.linalg.norm(g) for g in ad.gradients(loss, [ad.Tensor.of(r) for r in weights])][1:-1]
    assert run.count == 11 and run.parameters == 11 * 16 and not run.of_output
    np.testing.assert_allclose(run.bars, expected)
    assert run.norm == pytest.approx(np.linalg.norm(expected))
    assert list(layers(drawing)) == ["layers.0", "layers.1–11", "layers.12"]
    assert drawing.note.startswith("Folded: layers.1–11 (× 11); 55 tensors and operations in 1 card.")
    assert run.hidden == 55 == 11 * (2 * 2 + 1) and drawing.note.split(".")[0] in drawing.dot.replace("</font>", "")


def test_runs_open_again():
    loss = deep(6)
    assert len(layers(viz.draw(loss, level="layer", fold=False))) == 8
    around = viz.draw(loss, level="layer", expand=["layers.3"])
    assert "layers.4–6" in layers(around) and "layers.3" in {c.path for c in around.graph.clusters.values()}


def test_layers_and_what_stands_between_them_repeat_together():
    h = numbers(2, 4)
    for i in range(5):
        with ad.scope(f"dense {i}", "Linear"):
            h = ad.linear(h, parameter(f"W{i}", 4, 4, start=i))
        h = np.tanh(h)
    run = layers(viz.draw(h.sum(), level="layer"))["dense 0–4"]
    assert (run.count, run.kind, run.sizes) == (5, "Linear + tanh", "4 → 4")


def test_parallel_layers_are_no_run():
    x = parameter("x", 2, 3)
    parts = []
    for name in "qkv":
        with ad.scope(name, "Linear"):
            parts.append(ad.linear(x, parameter(f"W{name}", 3, 3)))
    loss = sum(parts[1:], start=parts[0]).sum()
    assert list(layers(viz.draw(loss, level="layer"))) == ["q", "k", "v"]


def test_an_unrolled_loop_has_the_bars_of_its_outputs():
    drawing = viz.draw(unrolled(5), level="layer")
    run = layers(drawing)["cell"]
    assert run.count == 5 and run.of_output and len(run.bars) == 5 and run.parameters == 15
    assert run.inputs == ("x_2", "x_3", "x_4", "x_5")
    assert [t.role for t in drawing.graph.tensors.values()] == ["input", "input", "loss"]


def test_a_module_called_in_a_loop_is_called_several_times():
    cell = nn.Linear(3, 3)
    h = numbers(2, 3)
    for _ in range(4):
        h = np.tanh(cell(h))
    assert [c.call for c in viz.draw(h.sum()).graph.clusters.values()] == [1, 2, 3, 4]
    assert layers(viz.draw(h.sum(), level="layer"))["Linear"].count == 4


def test_a_function_says_what_is_folded():
    loss, _ = three_layers()
    drawing = viz.draw(loss, fold=lambda cluster: cluster.path == "layer 2")
    assert list(layers(drawing)) == ["layer 2"]
    assert {c.path for c in drawing.graph.clusters.values()} == {"layer 1", "layer 3"}


def test_operations_fold_only_when_they_are_too_many():
    loss = deep(11)
    assert not layers(viz.draw(loss))
    assert list(layers(viz.draw(loss, max_nodes=30))) == ["layers.1–11"]
    few = viz.draw(loss, max_nodes=8)
    assert list(layers(few)) == ["layers.0", "layers.1–11", "layers.12"] and "2 more layers" in few.note
    assert few.graph.size <= 8


def test_vanishing_exploding_and_undefined_gradients_have_bars():
    for scale in (1e-4, 1e4, np.inf):
        h = numbers(1, 2)
        for i in range(6):
            with ad.scope(f"l.{i}"), np.errstate(all="ignore"):
                h = ad.linear(h, parameter(f"W{i}", 2, 2)) * scale
        with np.errstate(all="ignore"):
            loss = h.sum()
        assert viz.draw(loss, level="layer").dot.count("bgcolor") >= 6


# ---- what is left out

def test_around_draws_what_is_near():
    loss, _ = three_layers()
    drawing = viz.draw(loss, around="W2", radius=1)
    names = {t.name for t in drawing.graph.tensors.values()}
    assert {"W2"} <= names and not {"W1", "x", "y", "W3", "loss"} & names
    assert "within 1 operations of W2" in drawing.note and "are hidden" in drawing.note
    wide = viz.draw(loss, around="W2", radius=100)
    assert wide.graph.size == viz.draw(loss).graph.size and "0 of" in wide.note
    assert viz.draw(loss, around="W2", radius=0).dot
    with pytest.raises(ad.GradientError, match="nothing on this tape is called 'W9'"):
        viz.draw(loss, around="W9")


def test_around_a_tensor_of_a_large_graph():
    h = first = ad.Tensor(0.5, requires_grad=True)
    middle = None
    for i in range(2000):
        h = np.tanh(h)
        middle = h if i == 1000 else middle
    assert viz.draw(h, around=middle, radius=3).graph.size <= 16
    assert viz.draw(h, around=first, radius=3, max_nodes=4).graph.size <= 4


@pytest.mark.parametrize("options", [{}, {"level": "layer"}, {"fold": False}])
def test_ten_thousand_records_in_layers(options):
    loss = deep(5000, width=1)
    start = time.perf_counter()
    drawing = viz.draw(loss, **options)
    assert drawing.dot and drawing.graph.size <= 400
    assert time.perf_counter() - start < 2


@pytest.mark.slow
def test_a_million_records_do_not_crash():
    h = ad.Tensor(0.5, requires_grad=True)
    for _ in range(1_000_000):
        h = np.tanh(h)
    drawing = viz.draw(h)
    assert "× 999,999" in drawing.note and drawing.dot
    with pytest.raises(ValueError, match="at most 150"):
        viz.draw(h, level="scalar")


def test_many_scopes_in_scopes_take_no_recursion():
    h = ad.Tensor(0.5, requires_grad=True)
    with ExitStack() as scopes:
        for _ in range(1500):
            scopes.enter_context(ad.scope("s"))
        h = np.tanh(h)
    assert viz.draw(h, level="layer").graph.size >= 1


# ---- scalars

def test_every_number_has_a_capsule_and_every_lane_its_derivative():
    loss, held = three_layers((2, 2, 1))
    graph = viz.draw(loss, level="scalar", names=held).graph
    named = {s.name: s for s in graph.scalars.values() if s.name}
    dW1 = ad.gradients(loss, [held["W1"]])[0]
    assert float(named["W1[0,1]"].value) == pytest.approx(held["W1"].data[0, 1], rel=1e-2)
    assert float(named["W1[0,1]"].gradient) == pytest.approx(dW1[0, 1], rel=1e-2)
    assert named["z1[0,0]"].op == "Σ" and named["a1[0,0]"].op == "σ" and named["x[0,1]"].role == "input"
    assert [s.op for s in graph.scalars.values()].count("×") == 6
    a1 = held["a1"].data[0, 0]
    [lane] = [e for e in graph.edges if e.source == named["z1[0,0]"].id]
    assert float(lane.label.removeprefix("× ")) == pytest.approx(a1 * (1 - a1), rel=1e-2)
    assert {c.kind for c in graph.clusters.values()} == {"unit 0", "unit 1"}


def walked_back(graph):
    """The gradients that the labels on the lanes give, multiplied and added up from the output on."""
    found = dict.fromkeys(graph.scalars, 0.0)
    last = next(reversed(graph.scalars))
    found[last] = 1.0
    into = {}
    for e in graph.edges:
        into.setdefault(e.target, []).append(e)
    for node in reversed(graph.scalars):
        for e in into.get(node, []):
            if e.flows:
                found[e.source] += found[node] * (float(e.label.removeprefix("× ")) if e.label else 1.0)
    return found


PROGRAMS = {
    "mlp": lambda: three_layers((2, 2, 1))[0],
    "batch": lambda: three_layers((2, 2, 1), samples=2)[0],
    "linear": lambda: (ad.linear(numbers(1, 3), parameter("W", 2, 3), parameter("b", 2)) ** 2).mean(),
    "softmax": lambda: np.log(ad.softmax(parameter("z", 3))[1]),
    "max": lambda: np.maximum(parameter("z", 3), 0.1).max(),
    "pick": lambda: parameter("z", 4)[np.array([1, 1, 3])].sum(),
    "move": lambda: (np.concatenate([parameter("u", 2), parameter("v", 2, start=3)]).reshape(2, 2).T * 3).sum(),
    "broadcast": lambda: (parameter("u", 3, 1) * parameter("v", 2, start=4)).sum(),
    "shared": lambda: (lambda w: (w * w + w).sum())(parameter("w", 2)),
    "einsum": lambda: np.einsum("ij,kj->", parameter("A", 2, 2), numbers(2, 2)),
    "where": lambda: np.where(numbers(3) > 0, parameter("u", 3), parameter("v", 3, start=4) * 2).sum(),
    "whole": lambda: (np.array([[1, 2]]) @ parameter("W", 2, 1)).sum(),
    "inner": lambda: np.dot(np.array([1, 0]), parameter("w", 2)),
    "self": lambda: (lambda w: (w @ w.T).sum())(parameter("w", 2, 2)),
    "batched": lambda: (numbers(2, 1, 2) @ parameter("W", 2, 2)).sum(),
    "sum": lambda: (parameter("u", 2) + parameter("v", 2, start=3) + parameter("w", 2, start=4)).sum(),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_lanes_multiply_to_the_gradients(program):
    graph = viz.draw(PROGRAMS[program](), level="scalar").graph
    found = walked_back(graph)
    checked = 0
    for node in graph.scalars.values():
        if node.role == "parameter":
            assert found[node.id] == pytest.approx(float(node.gradient), rel=0.06, abs=1e-3)
            checked += 1
    assert checked >= 1


def test_an_array_operand_is_one_capsule_per_entry():
    x = numbers(2)
    graph = viz.draw((x * parameter("w", 2) + x).sum(), level="scalar").graph
    assert sorted(s.name for s in graph.scalars.values() if s.role == "input") == ["x[0]", "x[1]"]


def test_complex_numbers_are_drawn_as_operations():
    loss = np.abs(parameter("w", 2) * 1j).sum()
    with pytest.raises(ValueError, match="real numbers"):
        viz.draw(loss, level="scalar")
    assert viz.draw(loss).dot


@pytest.mark.parametrize("value", [np.zeros((0, 3)), np.float32(2), np.array(True), np.array([1, 2, 3]), np.zeros(7)])
@pytest.mark.parametrize("level", ["layer", "scalar"])
def test_any_tensor_can_be_drawn(value, level):
    drawing = viz.draw(ad.Tensor(value), level=level)
    assert drawing.dot.startswith("digraph") and repr(drawing) and drawing.svg()


def test_too_many_scalars_are_refused_with_what_to_do():
    loss, _ = three_layers((30, 16, 8, 1))
    with pytest.raises(ValueError, match=r"at most 150 can be read(.|\n)*zoom=\('layer 1', 0\)(.|\n)*level='op'"):
        viz.draw(loss, level="scalar")
    with pytest.raises(ValueError, match="at most 150"):
        viz.draw((parameter("w", 1000) * 2).sum(), level="scalar")


def test_zoom_draws_one_neuron():
    loss, _ = three_layers((30, 16, 8, 1), samples=4)
    drawing = viz.draw(loss, level="scalar", zoom=("layer 1", 5))
    named = {s.name for s in drawing.graph.scalars.values()}
    assert "a1[0,5]" in named and "W1[5,29]" in named and "W1[4,0]" not in named and "loss" not in named
    assert "Only a1[0,5]" in drawing.note and repr(drawing).startswith("<Drawing of a1[0,5]: ")
    third = viz.draw(loss, level="scalar", zoom=("layer 2", (3, 1)))
    assert {"a2[3,1]", "a1[3,0]"} <= {s.name for s in third.graph.scalars.values()}
    one = viz.draw(loss, level="scalar", zoom=("z3", 0))
    assert {"z3[0,0]", "a2[0,7]", "b3"} <= {s.name for s in one.graph.scalars.values()}
    assert "a3[0,0]" not in {s.name for s in one.graph.scalars.values()}


@pytest.mark.parametrize(("zoom", "message"), [
    (("layer 9", 0), "zoom='layer 9' is no layer and no result here; there are layer 1, layer 2, layer 3, z1"),
    (("layer 1", 99), r"a1 has shape \(1, 4\), so there is no such entry"),
    (("z1", (0, 0, 0)), "no such entry"), (("z1", "left"), "no such entry"), (("z1",), "zoom= takes"),
])
def test_a_zoom_to_nowhere_says_where_one_can_go(zoom, message):
    loss, _ = three_layers()
    with pytest.raises(ValueError, match=message):
        viz.draw(loss, level="scalar", zoom=zoom)


def test_zoom_and_around_need_their_level():
    loss, _ = three_layers()
    with pytest.raises(ValueError, match="goes with level='scalar'"):
        viz.draw(loss, zoom=("layer 1", 0))
    with pytest.raises(ValueError, match="level='depth' is not known; choose from 'op', 'layer', 'scalar'"):
        viz.draw(loss, level="depth")
    with pytest.raises(ValueError, match="radius at least 0"):
        viz.draw(loss, around="W1", radius=-1)


def test_scalars_of_no_number_are_loud():
    with np.errstate(all="ignore"):
        loss = np.log(parameter("w", 2) * 0 - 1).sum()
    dot = viz.draw(loss, level="scalar").dot
    assert "<b>NaN</b>" in dot


@settings(max_examples=40)
@given(st.text(max_size=12) | st.sampled_from(
    ['"q"', "<b>&", "\n\x00", "a" * 200, "];}", "重み", "\u202e", "", "1", "."]),
       st.sampled_from(["layer", "scalar"]))
def test_hostile_names_at_every_level(name, level):
    w = ad.Tensor([1.0, 2.0], requires_grad=True, name=name)
    with ad.scope(name, name):
        h = w * np.ones(2)
    for output in (h.sum(), reduce(lambda h, _: np.tanh(h), range(9), h)):
        drawing = viz.draw(output, level=level)
        assert drawing.svg().rstrip().endswith("</svg>")
