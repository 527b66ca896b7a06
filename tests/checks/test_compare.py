"""compare: verdicts, whom the arbiter sides with, names, functions, kinks, what is said."""

import json

import numpy as np
import pytest

import autodiff as ad
from autodiff.checks.compare import compare
from autodiff.checks.report import WrongGradientError


@np.errstate(over="ignore")
def sigmoid(z):
    return 1 / (1 + np.exp(-z))


class Net:
    """Two layers on five samples, its gradient by hand, and every intermediate by name."""

    def __init__(self, seed=0, dtype=np.float64):
        rng = np.random.default_rng(seed)
        self.x = x = rng.normal(size=(5, 3)).astype(dtype)
        self.y = y = (rng.random((5, 1)) > 0.5).astype(dtype)
        self.W1 = W1 = ad.Tensor(rng.normal(size=(4, 3)), True, dtype=dtype)
        self.b1 = b1 = ad.Tensor(np.zeros(4), True, dtype=dtype)
        self.W2 = W2 = ad.Tensor(rng.normal(size=(1, 4)), True, dtype=dtype)
        self.b2 = b2 = ad.Tensor(np.zeros(1), True, dtype=dtype)
        self.z1 = z1 = x @ W1.T + b1
        self.a1 = a1 = ad.sigmoid(z1)
        z2 = a1 @ W2.T + b2
        self.loss = ad.binary_cross_entropy_with_logits(z2, y).mean()
        self.by_hand = by_hand(x, y, W1.data, b1.data, W2.data, b2.data)


def by_hand(x, y, W1, b1, W2, b2):
    a1 = sigmoid(x @ W1.T + b1)
    dz2 = (sigmoid(a1 @ W2.T + b2) - y) / len(y)
    da1 = dz2 @ W2
    dz1 = da1 * a1 * (1 - a1)
    return {"dW1": dz1.T @ x, "db1": dz1.sum(0), "dW2": dz2.T @ a1, "db2": dz2.sum(0),
            "dz2": dz2, "da1": da1, "dz1": dz1}


# ---- how gradients are given

def test_by_name_by_tensor_and_as_a_function():
    net = Net()
    assert compare(net.loss, net.by_hand).ok
    assert compare(net.loss, {net.W1: net.by_hand["dW1"], net.z1: net.by_hand["dz1"]}).ok
    assert compare(net.loss, {name[1:]: g for name, g in net.by_hand.items()}).ok
    assert compare(net.loss, by_hand).ok
    assert compare(net.loss, by_hand, resample=3).ok
    assert compare(net.loss, {"W1": ad.Tensor(net.by_hand["dW1"]), "b2": list(net.by_hand["db2"])}).ok
    assert net.W1.grad is None


def test_a_tensor_really_called_dW1_wins():
    W = ad.Tensor([1.0, 2.0], True, name="W1")
    dW1 = (W * W).named("dW1")
    loss = (dW1 ** 2).sum()
    assert compare(loss, {"dW1": 2 * W.data ** 2, "W1": 4 * W.data ** 3}).ok


def test_names_for_what_has_none():
    parameters = [ad.Tensor([1.0, 2.0], True), ad.Tensor([3.0, 4.0], True)]
    loss = (parameters[0] * parameters[1]).sum()
    names = {"u": parameters[0], "v": parameters[1]}
    assert compare(loss, {"du": [3, 4], "v": [1.0, 2.0]}, names=names).ok
    assert compare(loss, lambda u, v: {"u": v, "v": u}, names=names, resample=1).ok


def test_unknown_ambiguous_and_doubled_names_are_errors():
    net = Net()
    with pytest.raises(ad.GradientError, match=r"'dQ'; known names: W1, W2, .*z2"):
        compare(net.loss, {"dQ": 1.0})
    with pytest.raises(ad.GradientError, match="given twice"):
        compare(net.loss, {"W1": net.by_hand["dW1"], "dW1": net.by_hand["dW1"]})
    with pytest.raises(ad.GradientError, match="not on this tape"):
        compare(net.loss, {ad.Tensor([1.0], True): 1.0})
    with pytest.raises(ad.GradientError, match="'q', which is not on this tape; known names: W1, W2, .*x, y, z1"):
        compare(net.loss, lambda x, q: {})
    with pytest.raises(ad.GradientError, match="non-scalar"):
        compare(net.a1, {"W1": net.by_hand["dW1"]})
    h = ad.Tensor([1.0], True, name="h")
    g = (h * 2).named("h")
    with pytest.raises(ad.GradientError, match="2 tensors"):
        compare((g * 3).sum(), {"dh": [6.0]})
    w = ad.Tensor([1.0], True)
    sign = np.sign(w)
    with pytest.raises(ad.GradientError, match="no gradient flows to sign"):
        compare((w * sign).sum(), {"sign": [1.0]})


def test_inputs_that_do_not_require_grad_may_be_compared_too():
    x, W = ad.Tensor([[1.0, 2.0]], name="x"), ad.Tensor([[0.3, 0.4]], True, name="W")
    loss = (np.tanh(x @ W.T)).sum()
    slope = 1 - np.tanh(1.1) ** 2
    assert compare(loss, {"dx": slope * W.data, "W": slope * x.data}).ok
    assert compare(loss, {"dx": W.data})["x"].sides_with == "tape"


def test_what_is_no_gradient_is_an_error():
    net = Net()
    for wrong in (None, [1.0], {"W1": "text"}, {"W1": None}, {"W1": 1j}, {"W1": [[1.0], [1.0, 2.0]]}, {1: 1.0}):
        with pytest.raises((ad.OperandError, ad.GradientError)):
            compare(net.loss, wrong)
    with pytest.raises(ad.OperandError, match="resample"):
        compare(net.loss, net.by_hand, resample=2)


def test_functions_get_arrays_of_their_own():
    net = Net()
    before = net.W1.data.copy()

    def rough(x, W1, rate=0.1, **rest):
        assert type(W1) is np.ndarray and rate == 0.1 and not rest
        W1 *= 0
        x += 1
        return {}

    compare(net.loss, rough)
    assert np.array_equal(net.W1.data, before) and compare(net.loss, by_hand).ok


def test_functions_get_transposed_operands_numbers_and_intermediates_by_name():
    rng = np.random.default_rng(1)
    X, lam = rng.normal(size=(5, 3)), 0.3
    w = ad.Tensor(rng.normal(size=3), True)
    z = w @ X.T
    penalty = lam * (w ** 2).sum()
    loss = (z ** 2).sum() + penalty
    report = compare(loss, lambda X, w, z, lam: {"w": 2 * X.T @ z + 2 * lam * w, "z": 2 * z}, resample=2)
    assert report.ok, report


def test_what_is_not_given_is_listed_and_no_error():
    net = Net()
    report = compare(net.loss, {"W1": net.by_hand["dW1"]})
    assert report.ok and report.not_given == ("b1", "W2", "b2") and "not given: b1, W2, b2" in str(report)


# ---- verdicts

def test_shape_mistakes_are_named():
    net = Net()
    good = net.by_hand
    cases = {
        "it is transposed; use dW1.T; then it agrees": ("W1", good["dW1"].T),
        "it is not summed over axis 0, which the forward broadcasts along": ("b1", good["dz1"]),
        "(usually the batch); use db1.sum(axis=0); then it agrees": ("b1", good["dz1"]),
        "a column where a row is wanted; use np.reshape(dW2, (1, 4)); then it agrees": ("W2", good["dW2"].T),
        "axes of length one more or less; use np.reshape(db1, (4,)); then it agrees": ("b1", good["db1"][:, None]),
        "use np.reshape(db2, (1,)); then it agrees": ("b2", good["db2"][0]),
        "a single number for an array": ("W1", 0.0),
        "it would broadcast, but": ("W1", good["dW1"].sum(0)),
        "as many elements in another shape": ("W1", good["dW1"].reshape(2, 6)),
        "yours is (7, 7), W1 is (4, 3)": ("W1", np.zeros((7, 7))),
        "its values differ too": ("W1", 2 * good["dW1"].T),
    }
    for text, (name, g) in cases.items():
        entry = compare(net.loss, {name: g})[name]
        assert entry.verdict == "differs" and text in entry.note, (text, entry.note)


def test_other_dtypes_are_judged_as_what_they_are():
    net = Net()
    assert compare(net.loss, {k: g.astype(np.float32) for k, g in net.by_hand.items()}).ok
    assert not compare(net.loss, {k: g.astype(np.float16).astype(np.float64) for k, g in net.by_hand.items()}).ok
    assert compare(Net(dtype=np.float32).loss, Net().by_hand).ok
    w = ad.Tensor([1.0, 2.0], True)
    assert compare((w * 3).sum(), {"w": np.array([3, 3])}).ok
    assert compare((w * 1).sum(), {"w": np.array([True, True])}).ok


def test_a_small_gradient_is_not_excused_by_its_size():
    w = ad.Tensor([1e-9, 2e-9], True)
    loss = 1e-6 * (w ** 3).sum()
    assert compare(loss, {"w": 3e-6 * w.data ** 2}).ok
    assert compare(loss, {"w": 0 * w.data})["w"].verdict == "differs"
    assert compare(loss, {"w": 3.0001e-6 * w.data ** 2})["w"].verdict == "differs"


def test_a_gradient_that_is_zero():
    w = ad.Tensor([1.0, 2.0], True)
    loss = (w * 0.0).sum() + 3.0
    assert compare(loss, {"w": [0.0, 0.0]}).ok
    assert compare(loss, {"w": [0.0, 1e-3]})["w"].verdict == "differs"


def test_yours_not_finite():
    net = Net()
    entry = compare(net.loss, {"W1": net.by_hand["dW1"] * np.nan})["W1"]
    assert entry.verdict == "differs" and "12 of 12 elements of yours are not finite" in entry.note


def saturated(factor, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(20, 5)).astype(dtype), (rng.random((20, 1)) > 0.5).astype(dtype)
    W = ad.Tensor(rng.normal(size=(1, 5)) * factor, True, dtype=dtype)
    with np.errstate(all="ignore"):
        yhat = 1 / (1 + np.exp(-(x @ W.T)))
        loss = -(y * np.log(yhat) + (1 - y) * np.log(1 - yhat)).mean()
    return loss, ((sigmoid(x @ W.data.T) - y) / 20).T @ x


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_saturated_loss_is_undecided_with_advice(dtype):
    verdicts = []
    for seed in range(20):
        for factor in (12, 60):
            loss, g = saturated(factor, seed, dtype)
            report = compare(loss, {"W": g})
            entry = report["W"]
            verdicts.append(entry.verdict)
            assert entry.verdict != "differs" and report.ok == (entry.verdict == "agrees")
            if entry.verdict == "undecided":
                assert "logits" in entry.note
                report.raise_if_wrong()                         # undecided is not wrong
    assert verdicts.count("undecided") > 20


def test_a_gradient_that_is_zero_but_for_rounding():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 3))
    W = ad.Tensor(rng.normal(size=(2, 3)), True)
    b = ad.Tensor(rng.normal(size=2), True)
    z = x @ W.T + b
    loss = np.tanh(z - z.mean(axis=0)).sum()                    # the mean takes b away again
    for right in (np.zeros(2), np.full(2, 1e-17)):
        report = compare(loss, {"b": right})
        assert report.ok and "zero but for rounding" in report["b"].note
    assert compare(loss, {"b": np.full(2, 1e-3)})["b"].verdict == "differs"


def test_values_that_are_not_finite_are_traced_to_their_line():
    w = ad.Tensor([0.0, 1.0], True)
    with np.errstate(all="ignore"):
        logs = np.log(w)
        loss = (logs * w).sum()
    report = compare(loss, {"w": [1.0, 1.0]})
    assert report["w"].verdict == "undecided"
    assert "first in log at" in report["w"].note and "test_compare.py" in report["w"].note
    assert "not finite" in report.notes[0]


# ---- the arbiter

def cubed(w, factor):
    @ad.op
    def cube(x):
        return x * x * x
    cube.derivative(lambda y, x: factor * x * x)
    return cube(w).sum()


def test_it_sides_with_the_tape():
    net = Net()
    entry = compare(net.loss, {"W1": 2 * net.by_hand["dW1"]})["W1"]
    assert entry.sides_with == "tape" and entry.numeric == pytest.approx(float(entry.correct[entry.worst]), rel=1e-12)
    assert "complex step sides with the tape" in entry.note


def test_it_sides_with_you_and_says_so_loudly():
    w = ad.Tensor([1.0, 2.0], True)
    report = compare(cubed(w, 2), {"w": 3 * w.data ** 2})
    entry = report["w"]
    assert entry.verdict == "undecided" and entry.sides_with == "you" and not report.ok
    assert "THE RULE OF AN OPERATION IS WRONG, not you" in entry.note and "rule of cube with respect to w" in entry.note
    assert "report" not in entry.note                           # it is theirs, not the library's


def test_it_sides_with_neither():
    w = ad.Tensor([1.0, 2.0], True)
    entry = compare(cubed(w, 2), {"w": 4 * w.data ** 2})["w"]
    assert entry.verdict == "differs" and entry.sides_with == "neither" and "neither value" in entry.note


def test_a_bug_of_the_library_asks_to_be_reported(monkeypatch):
    broken = list(ad.sigmoid.edges)
    broken[0] = lambda g, y, x: g * y
    monkeypatch.setattr(ad.sigmoid, "edges", tuple(broken))
    monkeypatch.setattr("autodiff.checks.rules.is_ours", lambda code: True)
    w = ad.Tensor([1.0, 2.0], True)
    s = sigmoid(w.data)
    note = compare(ad.sigmoid(w).sum(), {"w": s * (1 - s)})["w"].note
    assert "THE LIBRARY IS WRONG" in note and "please report it" in note and "rule of sigmoid" in note


def test_operations_that_complex_numbers_do_not_know():
    @ad.op
    def magnitude(x):
        return np.abs(x)
    magnitude.derivative(lambda y, x: np.sign(x))
    w = ad.Tensor([1.0, -2.0], True)
    entry = compare((magnitude(w) ** 2).sum(), {"w": 3 * w.data})["w"]
    assert entry.verdict == "differs" and entry.sides_with == "tape" and "Richardson" in entry.note


def test_with_respect_to_intermediates():
    net = Net()
    report = compare(net.loss, {"z1": net.by_hand["da1"], "a1": net.by_hand["da1"]})
    assert [entry.verdict for entry in report] == ["differs", "agrees"]
    assert report["z1"].sides_with == "tape"


def test_the_value_of_the_loss_may_come_along():
    net = Net()
    value, right = float(net.loss.data), {"W1": net.by_hand["dW1"]}
    for given in ({**right, "loss": value}, (value, right), (right, value)):
        report = compare(net.loss, given if isinstance(given, dict) else lambda given=given: given)
        assert report.ok and len(report) == 1 and "your loss" not in str(report)
    report = compare(net.loss, {**right, "loss": 2 * value})
    assert report.ok and "your loss is" in report.notes[0] and "differs from the recorded loss by" in report.notes[0]


def test_data_that_hide_mistakes_are_named():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1, 3)), rng.normal(size=(1, 3))
    W = ad.Tensor(np.eye(3), True)
    x = ad.Tensor(x, name="x")
    loss = ((np.tanh(x @ W.T) - y) ** 2).sum()
    note = compare(loss, {"W": ad.gradients(loss, [W])[0]}).notes[-1]
    assert "W is symmetric" in note and "one sample" in note and "resample" in note


# ---- kinks

def test_both_values_are_acceptable_at_a_kink():
    w = ad.Tensor([0.0, 2.0, -1.0], True)
    for value in (0.0, 0.5, 1.0):
        report = compare(ad.relu(w).sum(), {"w": [value, 1.0, 0.0]})
        assert report.ok and "both values are acceptable" in report["w"].note and "relu at" in report["w"].note
    assert compare(ad.relu(w).sum(), {"w": [0.0, 1.0, 1.0]})["w"].verdict == "differs"
    assert compare(abs(w).sum(), {"w": [1.0, 1.0, -1.0]}).ok
    tie = ad.Tensor([[1.0, 1.0, 0.0], [1.0, 2.0, 3.0]], True)
    for first in ([1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [1, 1, 0]):
        assert compare(tie.max(axis=1).sum(), {"tie": [first, [0, 0, 1]]}).ok
    assert compare(tie.max(axis=1).sum(), {"tie": [[1, 0, 0], [0, 1, 0]]})["tie"].verdict == "differs"
    assert compare(ad.relu(w[:1]).sum() + 0 * w[1], {"w": [1.0, 0.0, 0.0]}).ok


@pytest.mark.parametrize("f", [
    lambda x: ad.leaky_relu(x, 0.1), lambda x: ad.elu(x, 0.5), lambda x: ad.hardtanh(x, -0.5, 0.7),
    lambda x: np.clip(x, -0.5, 0.7), lambda x: np.linalg.norm(x, None, 1), lambda x: np.std(x, 0),
], ids=["leaky_relu", "elu", "hardtanh", "clip", "norm", "std"])
def test_settings_may_be_given_by_position(f):
    x = ad.Tensor(np.random.default_rng(0).normal(size=(3, 4)), requires_grad=True, name="x")
    loss = (f(x) ** 2).sum()
    (g,) = ad.gradients(loss, [x])
    assert ad.compare(loss, {"x": g}).ok
    assert not ad.compare(loss, {"x": 2 * g}).ok


def test_nothing_but_kinks_is_undecided():
    w = ad.Tensor(np.zeros(2), True)
    report = compare(ad.relu(w).sum(), {"w": [1.0, 1.0]})
    assert report["w"].verdict == "undecided"


def test_dead_units_hide_only_what_depends_on_them():
    rng = np.random.default_rng(0)
    x = np.vstack([np.zeros(3), rng.normal(size=(4, 3))])             # the first sample puts every unit at its kink
    W = ad.Tensor(rng.normal(size=(3, 3)), True)
    b = ad.Tensor(np.zeros(3), True)
    v = ad.Tensor(rng.normal(size=3), True)
    loss = (ad.relu(x @ W.T + b) @ v).sum()

    def gradients(slope):
        z = x @ W.data.T + b.data
        dz = np.where(z == 0, slope, z > 0) * v.data
        return {"W": dz.T @ x, "b": dz.sum(0), "v": np.maximum(z, 0).sum(0)}

    for slope in (0, 0.5, 1):
        report = compare(loss, gradients(slope))
        assert (report["W"].verdict, report["b"].verdict, report["v"].verdict) == ("agrees", "undecided", "agrees")
        assert not report["W"].note
    wrong = gradients(0)
    wrong["W"][1, 1] *= 1.001
    assert compare(loss, wrong)["W"].verdict == "differs"


# ---- resampling

def test_a_mistake_invisible_at_this_point_is_found_at_others():
    x = np.array([[1.0, 2.0], [3.0, -1.0]])
    W = ad.Tensor([[0.5, 0.2], [0.1, 0.3]], True)
    b = ad.Tensor(np.zeros(2), True)
    loss = (ad.relu(x @ W.T + b) ** 2).sum()

    def forgets_b(x, W, b):
        z = x @ W.T
        return {"W": (2 * np.maximum(z, 0)).T @ x}

    assert compare(loss, forgets_b).ok
    report = compare(loss, forgets_b, resample=3)
    assert not report.ok and "at random point 1 of 3" in report["W"].note


def test_positive_leaves_stay_positive():
    rate = ad.Tensor([0.5, 2.0], True)
    loss = (rate - 3 * np.log(rate)).sum()
    assert compare(loss, lambda rate: {"rate": 1 - 3 / rate}, resample=10).ok


def test_values_that_left_the_tape():
    w = ad.Tensor([1.0, 2.0], True)
    z = w * w
    scale = float(z.sum())
    loss = (z * scale).sum()
    report = compare(loss, {"w": 2 * scale * w.data})
    assert report.ok and "left the tape" in report.notes[0]
    with pytest.raises(ad.ReplayError):
        compare(loss, lambda w: {"w": 2 * scale * w}, resample=1)


# ---- the report

def test_the_report_as_table_data_and_exception():
    net = Net()
    report = compare(net.loss, {"dW1": net.by_hand["dW1"], "db2": -net.by_hand["db2"]})
    text = str(report)
    assert text.splitlines()[0].startswith("gradients of ") and "b2 differs; W1 agrees" in text.splitlines()[0]
    header, first = text.splitlines()[2:4]
    assert header.index("verdict") == first.index("agrees") and first.startswith("W1")
    assert len(report) == 2 and [entry.name for entry in report] == ["W1", "b2"]
    assert report["W1"] is report["dW1"] is report[net.W1]
    with pytest.raises(KeyError, match="compared: W1, b2"):
        report["W2"]
    entry = report["b2"]
    assert entry.worst == (0,) and entry.relative_error == pytest.approx(2) and entry.max_error > entry.tolerance
    assert entry.yours[0] == pytest.approx(-entry.correct[0]) and entry.explanations[0].kind == "sign"
    with pytest.raises(WrongGradientError) as caught:
        report.raise_if_wrong()
    assert str(caught.value) == text and caught.value.report is report
    assert isinstance(caught.value, AssertionError) and isinstance(caught.value, ad.AutodiffError)
    data = json.loads(json.dumps(report.to_dict()))
    assert data["ok"] is False and data["entries"][1]["verdict"] == "differs" and data["not_given"] == ["b1", "W2"]
    compare(net.loss, net.by_hand).raise_if_wrong()


def test_nothing_given():
    report = compare(Net().loss, {})
    assert report.ok and len(report) == 0 and "nothing to compare" in str(report)


def test_the_same_twice():
    net = Net()
    assert compare(net.loss, by_hand, resample=2).to_dict() == compare(net.loss, by_hand, resample=2).to_dict()


def test_arrays_changed_since_are_refused():
    net = Net()
    net.x[0, 0] += 1
    with pytest.raises(ad.MutationError):
        compare(net.loss, net.by_hand)
