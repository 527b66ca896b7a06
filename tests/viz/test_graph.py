"""What is drawn: nodes, roles, gradients, clusters, and what is left out."""

import time
import weakref
from functools import reduce

import numpy as np
import pytest

import autodiff as ad
import viz
from viz.values import summarized

RNG = np.random.default_rng(0)


def parameter(*shape, name=None):
    return ad.Tensor(RNG.normal(size=shape), requires_grad=True, name=name)


def dense():
    """Two layers in scopes, x and y plain arrays."""
    x, y = RNG.normal(size=(5, 4)), RNG.normal(size=(5, 1))
    W1, b1, W2 = parameter(3, 4, name="W1"), parameter(3, name="b1"), parameter(1, 3, name="W2")
    with ad.scope("layers.0", "Linear"):
        z1 = ad.linear(x, W1, b1)
    a1 = np.tanh(z1)
    with ad.scope("layers.1", "Linear"):
        z2 = ad.linear(a1, W2)
    loss = ((z2 - y) ** 2).mean()
    return loss, {"W1": W1, "b1": b1, "W2": W2, "z1": z1, "a1": a1, "z2": z2}


def ops(graph):
    return [node.op for node in graph.ops.values()]


# ---- nodes

def test_every_tensor_has_its_name_role_shape_and_dtype():
    loss, _ = dense()
    graph = viz.draw(loss).graph
    roles = {t.name: t.role for t in graph.tensors.values()}
    assert roles == {"loss": "loss", "x": "input", "y": "input",
                     **dict.fromkeys(("W1", "b1", "W2"), "parameter"),
                     **dict.fromkeys(("z1", "a1", "z2", "v1", "v2"), "intermediate")}
    W1 = graph.tensors["W1"]
    assert W1.value.shape == (3, 4) and W1.value.dtype == "float64" and W1.named
    assert not graph.tensors["v1"].named
    assert ops(graph) == ["linear", "tanh", "linear", "subtract", "square", "mean"]
    assert graph.tensors[graph.output].name == "loss"


def test_an_array_used_twice_is_one_card():
    x = np.arange(6.0)
    w = parameter(6)
    graph = viz.draw((w * x + x).sum()).graph
    assert [t.name for t in graph.tensors.values() if t.role == "input"] == ["x"]


def test_constants_stand_on_the_disc():
    w = ad.Tensor(2.0, requires_grad=True)
    drawing = viz.draw(np.clip(1 - w * np.float64(0.5), None, 3.0) ** 2)
    assert [node.constants for node in drawing.graph.ops.values()] == [
        (None, "0.5"), ("1", None), (None, "None", "3"), (None,)]
    for words in ("× 0.5", "1 −", "clip(·, None, 3)", "x²"):
        assert f">{words}<" in drawing.dot


def test_several_outputs_come_from_one_disc():
    x = parameter(4, 6)
    p, q, r = np.split(x, 3, axis=1)
    loss = (p * q + r).sum()
    graph = viz.draw(loss).graph
    assert ops(graph) == ["split", "multiply", "add", "sum"]
    assert {graph.tensors[e.target].name for e in graph.edges if graph.ops.get(e.source)
            and graph.ops[e.source].op == "split"} == {"p", "q", "r"}
    assert [graph.tensors[name].place for name in "pqr"] == [0, 1, 2]
    assert "output 2" in viz.draw(r).dot


def test_a_transpose_on_the_way_has_no_card_and_a_named_one_does():
    x, W = np.ones((2, 3)), parameter(4, 3)
    unnamed = viz.draw((x @ W.T).sum()).graph
    assert len(unnamed.tensors) == 4 and ops(unnamed) == ["transpose", "matmul", "sum"]
    Wt = W.T
    assert "Wt" in viz.draw((x @ Wt).sum()).graph.tensors


def test_the_leaf_itself_can_be_drawn():
    w = ad.Tensor(3.0, requires_grad=True)
    graph = viz.draw(w).graph
    assert list(graph.tensors) == ["w"] and graph.tensors["w"].gradient.numbers == (("1",),)
    constant = ad.Tensor([1, 2])
    assert viz.draw(constant).graph.tensors["constant"].role == "input"


def test_names_may_be_all_of_locals():
    data = np.arange(3.0)
    w = parameter(3)
    scores = [w * data[:3]]
    hidden = scores[0]
    names = viz.draw(hidden.sum(), names=locals()).graph.tensors
    assert "hidden" in names and "w" in names


def test_arrays_are_named_as_written_only_when_that_is_certain():
    a, t, values = np.ones(3), parameter(3), [0.0, 1.0, 2.0]
    assert "a" in viz.draw(a < t).graph.tensors
    assert "a" in viz.draw(np.maximum(a, t)).graph.tensors
    for backwards in (values < t, values <= t):              # these run as t > values: the array is not "t"
        assert [n.name for n in viz.draw(backwards).graph.tensors.values()][:2] == ["c1", "array"]


def test_a_graph_does_not_keep_the_tape_alive():
    loss, held = dense()
    graph = viz.draw(loss).graph                # the drawing itself does: its explorer tells of the tape
    gone = weakref.ref(held["z1"].data)
    del loss, held
    assert gone() is None and "z1" in graph.tensors


# ---- gradients

def test_gradients_are_those_of_autodiff():
    loss, held = dense()
    graph = viz.draw(loss).graph
    for name, g in zip(held, ad.gradients(loss, list(held.values()))):
        assert graph.tensors[name].gradient == summarized(g)


def test_grad_is_neither_read_nor_touched():
    loss, held = dense()
    viz.draw(loss).dot
    assert all(t.grad is None for t in held.values())
    loss.backward()
    before = held["W1"].grad.copy()
    held["W1"].grad *= 0
    graph = viz.draw(loss).graph
    assert graph.tensors["W1"].gradient == summarized(before)
    assert not held["W1"].grad.any()


def test_what_no_gradient_reaches_has_a_gradient_of_zero():
    w, v = parameter(3, name="w"), parameter(3)
    graph = viz.draw(np.where(np.array([False] * 3), w, v).sum() + (w > v).sum()).graph
    assert graph.tensors["w"].gradient.norm == 0 and not any(map(any, graph.tensors["w"].gradient.heat))


def test_edges_know_where_gradients_flow():
    x, w = np.ones(3), parameter(3, name="w")
    graph = viz.draw((x * w).sum()).graph
    assert {(e.source, e.flows) for e in graph.edges} == {
        ("x", False), ("w", True), ("op_v1", True), ("v1", True), ("op_v2", True)}


@pytest.mark.parametrize(("make", "reason"), [
    (lambda w: w * 2, "is no scalar"),
    (lambda w: (w * 2).sum() > 1, "does not depend on anything that requires grad"),
    (lambda w: (w * 1j).sum(), "is of dtype complex128"),
])
def test_without_gradients_the_note_says_why(make, reason):
    output = make(parameter(3))
    drawing = viz.draw(output)
    assert reason in drawing.note and reason in drawing.dot
    assert all(t.gradient is None for t in drawing.graph.tensors.values())


def test_after_an_update_the_picture_comes_without_gradients():
    loss, held = dense()
    with ad.no_grad():
        held["W2"] -= 0.1
    drawing = viz.draw(loss)
    assert "Without gradients" in drawing.note and "W2" in drawing.note


def test_a_rule_that_fails_does_not_prevent_the_picture():
    @ad.op
    def broken(x):
        return x * 1.0
    broken.derivative(lambda y, x: 1 / 0)
    assert "division by zero" in viz.draw(broken(ad.Tensor(1.0, requires_grad=True))).note


def test_show_chooses_what_is_computed():
    loss, _ = dense()
    drawing = viz.draw(loss, show="shapes")
    assert drawing.note == "" and all(t.gradient is None for t in drawing.graph.tensors.values())
    assert ">value<" not in drawing.dot and ">gradient<" not in drawing.dot and "4×3" not in drawing.dot
    assert "3×4" in drawing.dot


def test_the_gradient_itself_can_be_drawn():
    x = parameter(3, name="x")
    [g] = ad.gradients((x ** 3).sum(), [x], record=True)
    assert viz.draw(g.sum()).graph.tensors["x"].gradient.size == 3


# ---- clusters

def test_one_cluster_per_scope():
    loss, _ = dense()
    graph = viz.draw(loss).graph
    assert {c.id: c.kind for c in graph.clusters.values()} == {"layers.0": "Linear", "layers.1": "Linear"}
    assert {t.name for t in graph.tensors.values() if t.scope == "layers.0"} == {"W1", "b1", "z1"}
    assert graph.tensors["loss"].scope == graph.tensors["a1"].scope == ""


def test_clusters_nest_as_scopes_do():
    h = parameter(3)
    with ad.scope("net", "Net"):
        with ad.scope("0"):
            a = h * 2
        b = a + 1
        with ad.scope("1"):
            c = b * h
    graph = viz.draw(c.sum()).graph
    assert {c.id: (c.parent, c.kind) for c in graph.clusters.values()} == {
        "net": ("", "Net"), "net.0": ("net", ""), "net.1": ("net", "")}
    assert graph.tensors["b"].scope == "net"


def test_a_layer_called_twice_is_two_clusters():
    h = w = parameter(3)
    for _ in range(3):
        with ad.scope("cell"):
            h = np.tanh(h * w)
    graph = viz.draw(h.sum()).graph
    assert [(c.id, c.call) for c in graph.clusters.values()] == [("cell", 1), ("cell_2", 2), ("cell_3", 3)]
    assert "call 3" in viz.draw(h.sum()).dot


# ---- large graphs

def chain(n):
    return reduce(lambda h, _: np.tanh(h), range(n), ad.Tensor(0.5, requires_grad=True))


def test_a_large_graph_is_cut_and_says_so():
    drawing = viz.draw(chain(300), max_nodes=100, fold=False)
    assert drawing.graph.size == 100
    assert drawing.note == "The 100 nodes nearest to v300 are drawn; 501 more are hidden (max_nodes=100)."
    assert drawing.note in drawing.dot
    assert drawing.graph.beyond == {"beyond_v250": "v250"}
    assert viz.draw(chain(300), max_nodes=601).note == ""


def test_ten_thousand_records_take_no_recursion_and_little_time():
    h = chain(10_000)
    start = time.perf_counter()
    assert len(viz.draw(h, fold=False).dot) > 1000
    assert time.perf_counter() - start < 2
    start = time.perf_counter()
    drawing = viz.draw(h)
    assert drawing.graph.size == 5 and "tanh (× 9,999)" in drawing.note
    assert time.perf_counter() - start < 2


def test_even_uncut_a_long_chain_is_drawn():
    drawing = viz.draw(chain(1500), max_nodes=10_000)
    assert drawing.graph.size == 3001 and drawing.note == "" and drawing.dot


def test_wide_graphs_and_shared_leaves_are_cut_too():
    w = parameter(2)
    total = sum((w * np.full(2, i) for i in range(100)), start=w)
    drawing = viz.draw(total.sum(), max_nodes=30, fold=False)
    assert drawing.graph.size <= 30 and "more are hidden" in drawing.note and drawing.dot
