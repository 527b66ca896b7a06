"""The benchmarks: every side does the same mathematics, selection and tables say what they should."""

import importlib
import json
import math
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import first, machine, picture, rounds, table
from benchmarks.peers import PEERS, Peer, by_autograd, by_mygrad, naive, ours, tuned
from benchmarks.workloads import RECORDS, SAMPLES, WORKLOADS, chain, checksum, elements, lenet, named, perceptron

# Small enough for every test run; the same code as at full size.
SMALL = {
    "w1b1": {}, "w1b569": {}, "w2": {},
    "w3": dict(sizes=(20, 12, 7, 4), batch=9), "w4": dict(sizes=(16, 8, 8, 3), batch=5),
    "w5": dict(turns=95), "w7": {}, "w8": {},
}
INSTALLED = {"tuned": tuned, "autograd": by_autograd, "mygrad": by_mygrad, "ours": ours}


def small(name):
    return replace(WORKLOADS[name], **SMALL[name])


def losses(module, work, variant=""):
    step = module.build(work, variant)
    return None if step is None else [float(step(1)) for _ in range(3)]


@pytest.fixture(scope="module")
def expected():
    return {name: losses(naive, small(name)) for name in SMALL}


@pytest.mark.parametrize("side", INSTALLED)
@pytest.mark.parametrize("name", SMALL)
def test_all_sides_have_the_losses_of_naive_numpy(name, side, expected):
    got = losses(INSTALLED[side], small(name))
    if got is None:
        assert (name, side) in {("w5", "tuned"), ("w8", "mygrad"), ("w7", "ours")}
    else:
        assert rounds.distance(got, expected[name]) <= WORKLOADS[name].rtol


def test_blocks_cover_every_parameter(monkeypatch):
    monkeypatch.setattr(tuned, "BLOCK", 100)            # 20 x 12 + 12 + 12 x 7 ... parameters: the last block is short
    work = small("w3")
    np.testing.assert_array_equal(losses(tuned, work, "blocks"), losses(tuned, work))
    assert tuned.build(WORKLOADS["w1b1"], "blocks") is None


@pytest.mark.parametrize("name", ["w1b1", "w2", "w7"])
def test_layers_have_them_too(name, expected):
    assert rounds.distance(losses(ours, small(name), "nn"), expected[name]) <= WORKLOADS[name].rtol


@pytest.fixture
def short(monkeypatch):
    """Few samples and few elements, wherever they are made."""
    whole = perceptron

    def cut(work):
        p = whole(work)
        if work.kind == "epoch":
            p.x, p.y = p.x[:6], p.y[:6]
        return p

    for module in (naive, tuned, by_autograd, by_mygrad, ours):
        monkeypatch.setattr(module, "perceptron", cut)
        monkeypatch.setattr(module, "elements", lambda: elements()[:70_001])


@pytest.mark.parametrize("name", ["w1epoch", "w6"])
@pytest.mark.parametrize("side", INSTALLED)
def test_all_sides_agree_on_the_long_ones_cut_short(name, side, short):
    work = WORKLOADS[name]
    assert rounds.distance(losses(INSTALLED[side], work), losses(naive, work)) <= work.rtol
    if name == "w6":
        assert rounds.distance(losses(tuned, work, "blocks"), losses(naive, work)) <= work.rtol


def test_naive_losses_are_those_of_the_formulas():
    """By an oracle with no code in common: log-sum-exp of scipy, gradients by complex step, Adam as in the paper."""
    from scipy.special import logsumexp
    work = replace(WORKLOADS["w2"], sizes=(3, 4, 2), batch=5, dtype="f8", lr=0.01)
    p = perceptron(work)
    flat = np.concatenate([v.ravel() for v in (*p.W, *p.b)]).astype(complex)

    def loss(theta):
        parts = np.split(theta, np.cumsum([12, 8, 4]))
        z = p.x @ parts[0].reshape(3, 4) + parts[2]
        h = np.where(z.real > 0, z, 0) @ parts[1].reshape(4, 2) + parts[3]
        top = h.real.max(axis=1, keepdims=True)
        return (np.log(np.exp(h - top).sum(axis=1)) + top[:, 0] - h[np.arange(5), p.y]).mean()

    real = np.maximum(p.x @ p.W[0], 0) @ p.W[1]
    assert loss(flat).real == pytest.approx((logsumexp(real, axis=1) - real[np.arange(5), p.y]).mean(), rel=1e-13)
    m = v = np.zeros(flat.size)
    wanted = []
    for t in (1, 2, 3):
        wanted.append(loss(flat).real)
        g = np.array([loss(flat + 1e-30j * e).imag / 1e-30 for e in np.eye(flat.size)])
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        flat = flat - 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    assert losses(naive, work) == pytest.approx(wanted, rel=1e-9)


def test_a_convolution_is_scipys():
    from scipy.signal import correlate
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal((2, 3, 9, 7)), rng.standard_normal((4, 3, 5, 5))
    padded = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)))
    wanted = [[sum(correlate(padded[n, c], w[o, c], "valid") for c in range(3)) for o in range(4)] for n in range(2)]
    np.testing.assert_allclose(naive.convolve(x, w, 2)[0], wanted, atol=1e-12)


def test_pooling_goes_back_to_the_first_of_equal_maxima():
    a = np.array([[[[1.0, 1.0], [0.0, 1.0]]]])
    top, chosen = naive.pool(a)
    assert top.item() == 1.0
    np.testing.assert_array_equal(naive.unpool(np.array([[[[5.0]]]]), chosen), [[[[5.0, 0.0], [0.0, 0.0]]]])


def test_arrays_are_as_the_workloads_say():
    for name, work in WORKLOADS.items():
        if work.sizes:
            p = perceptron(work)
            assert {v.dtype for v in (*p.W, *p.b, *getattr(p, "vW", ()), p.x)} == {np.dtype(work.dtype)}, name
            assert [w.shape for w in p.W] == list(zip(work.sizes, work.sizes[1:]))
            assert len(p.x) == len(p.y) == (SAMPLES if work.kind == "epoch" else work.batch)
            q = perceptron(work)
            assert all(np.array_equal(a, b) for a, b in zip((*p.W, p.x, p.y), (*q.W, q.x, q.y)))
    assert elements().shape == (1_000_000,) and elements().dtype == np.float32
    assert [w.shape for w in lenet().weights] == [(6, 1, 5, 5), (16, 6, 5, 5), (120, 400), (84, 120), (10, 84)]


def test_w5_and_w6_are_as_long_as_they_say():
    class Counted:
        """A value that counts the operations done with it."""
        done = 0

        def act(self, *_):
            Counted.done += 1
            return self

        __mul__ = __add__ = __sub__ = act

    from benchmarks.workloads import scalars
    x = Counted()
    scalars(x, x, x, Counted.act, WORKLOADS["w5"].turns)
    assert Counted.done == pytest.approx(100_000, abs=20)
    Counted.done = 0
    chain(x, Counted.act, Counted.act, Counted.act)
    assert Counted.done == 20
    for name, work in RECORDS.items():
        Counted.done = 0
        scalars(x, x, x, Counted.act, work.turns)
        assert Counted.done == pytest.approx(int(name.removeprefix("records")), rel=0.02)


def test_every_peer_is_written_and_says_what_it_needs():
    for name, peer in PEERS.items():
        source = importlib.util.find_spec(f"benchmarks.peers.{peer.module}")
        assert source is not None, name
        if not peer.missing():
            assert importlib.import_module(f"benchmarks.peers.{peer.module}").build
    assert Peer("naive", "", ("no_such_package_at_all",)).missing() == ["no_such_package_at_all"]
    assert set(first.COMPILED) <= set(PEERS)
    assert {name for pair in table.QUOTIENTS for name in pair} <= {*PEERS, "best"}
    assert named("w2") is WORKLOADS["w2"] and named("records100") is RECORDS["records100"]


def test_checksum_sees_every_element():
    g = [np.array([1.0, -2.0]), np.array(-3.0)]
    assert checksum(np.float32(4.0), g) == 10.0


def test_distance():
    assert rounds.distance([1.0, 2.2], [1.0, 2.0]) == pytest.approx(0.1)
    assert rounds.distance([0.0], [1e-9]) == pytest.approx(1e-6)          # near zero it is measured against 1e-3
    assert math.isnan(rounds.distance([math.nan], [1.0]))
    with pytest.raises(ValueError, match="zip"):
        rounds.distance([1.0], [1.0, 2.0])


def test_selection():
    options = command.parsed(["-w", "w2,w3", "-t", "1", "ours_jit", "jax", "torch"])
    assert options.workloads == ["w2", "w3"] and options.threads == [1]
    assert options.peers == ["ours_jit", "jax", "torch"]
    options = command.parsed([])
    assert options.workloads == list(WORKLOADS) and options.peers == list(PEERS) and options.threads == [1, 2]


@pytest.mark.parametrize("arguments", [["nobody"], ["-w", "w9"], ["-t", "one"]])
def test_a_wrong_selection_is_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        command.parsed(arguments)
    said = capsys.readouterr().err
    assert "nobody" in said or "w9" in said or "one" in said


def test_threads_are_set_and_no_kernel_is_forced(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Nehalem")
    env = rounds.environment(2, MINE="x")
    assert "OPENBLAS_CORETYPE" not in env and env["MINE"] == "x"
    assert env["OPENBLAS_NUM_THREADS"] == env["OMP_NUM_THREADS"] == env["MKL_NUM_THREADS"] == "2"


def test_peers_take_turns_in_their_own_processes(monkeypatch):
    """The whole way, with one peer that is not there and one that does not do this workload."""
    monkeypatch.setitem(PEERS, "absent", Peer("absent", "not there", ("no_such_package_at_all",)))
    rows = rounds.measure("w1b1", ["tuned", "ours", "micrograd", "absent"], threads=1, rounds=3, slice_s=0.002)
    by = {row["peer"]: row for row in rows}
    assert by["absent"]["missing"] == ["no_such_package_at_all"] and "us" not in by["absent"]
    assert next(iter(by)) == "naive"                                      # never asked for, always there
    for name in ("naive", "tuned", "ours"):
        assert len(by[name]["rounds"]) == 3 and min(by[name]["rounds"]) > 0
        assert by[name]["agrees"] and by[name]["off"] < 1e-12
        assert by[name]["first_s"] > 0 and by[name]["rss_mb"] > 10
    assert "absent: not installed (no_such_package_at_all)" in table.report(rows)


@pytest.mark.parametrize(("step", "slice_s", "steps"), [(1e-4, 0.1, 1000), (0.05, 0.1, 10), (0.3, 0.1, 3), (4, 0.1, 1)])
def test_a_slice_has_enough_steps_that_memory_stays(step, slice_s, steps):
    class Clock:
        count = 1

        def seconds(self, k):
            return step

    assert rounds.settled(Clock(), slice_s) == pytest.approx(steps, rel=1e-6, abs=1)


def test_a_peer_that_fails_is_reported_and_the_others_go_on(monkeypatch):
    monkeypatch.setitem(PEERS, "broken", Peer("broken_on_purpose", "no such module"))
    rows = {row["peer"]: row for row in rounds.measure("w1b1", ["broken"], 1, rounds=1, slice_s=0.001)}
    assert "KeyError" in rows["broken"]["error"] and "us" in rows["naive"]


def row(peer, workload="w2", times=(100.0,), **more):
    return dict(workload=workload, threads=1, peer=peer, us=float(np.median(times)), rounds=list(times), off=0.0,
                agrees=True, first_s=0.5, import_s=0.1, rss_mb=40.0) | more


def test_the_table_names_the_best_peer_and_marks_what_differs():
    rows = [row("naive", times=(100.0, 300.0, 200.0)), row("jax", times=(50.0, 150.0, 90.0)),
            row("limit", times=(9.0,) * 3), row("torch", off=0.5, agrees=False),
            row("ours_jit", times=(25.0, 75.0, 90.0)),
            dict(workload="w2", threads=1, peer="mygrad", error="it broke")]
    said = table.report(rows)
    assert "**90.0**" in said and "100 !" in said
    assert "0.50 jax" in said
    assert "torch on w2, 1 threads (!): losses differ from naive NumPy's by 5.0e-01, more than 1e-04" in said
    assert "mygrad on w2, 1 threads: it broke" in said
    assert table.quotient(rows[1], rows[0]) == 0.5                        # medians of quotients, not of times


def test_tables_are_square():
    for text in (table.times, table.quotients, table.first_use):
        made = text([row("naive"), row("ours", "w5"), row("naive", "w5"), row("torch", "w5")], 1)
        for block in "\n".join(made).split("\n\n"):
            assert len({line.count("|") for line in block.splitlines()}) == 1
            assert len({len(line) for line in block.splitlines()}) == 1


@pytest.mark.parametrize(("number", "text"), [(0.0123, "0.0123"), (1.0, "1.00"), (35.44, "35.4"), (99.94, "99.9"),
                                              (171908.3, "171,908")])
def test_figures_have_three_digits(number, text):
    assert table.figure(number) == text


def test_the_picture_is_well_formed_and_puts_the_faster_to_the_right():
    rows = [row("naive"), row("jax", times=(10.0,)), row("ours", times=(1.0,), agrees=False), row("naive", "w5")]
    root = ET.fromstring(picture.draw(rows, 1))
    dots = list(root.iter("{http://www.w3.org/2000/svg}circle"))
    w2 = [float(dot.get("cx")) for dot in dots[:3]]
    assert len(dots) == 4 and w2 == sorted(w2) and dots[2].get("fill") == "#fff"
    assert {"w2", "w5"} <= {text.text for text in root.iter("{http://www.w3.org/2000/svg}text")}
    assert ET.fromstring(picture.draw([], 2)).tag.endswith("svg")


def test_results_are_kept_with_the_machine(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "RESULTS", tmp_path)
    command.main(["-w", "w1b1", "-t", "1", "-r", "1", "--slice", "0.001", "tuned"])
    assert "µs a step" in capsys.readouterr().out
    kept, = tmp_path.glob("*.json")
    result = json.loads(kept.read_text())
    assert result["machine"]["versions"]["numpy"] == np.__version__ and result["machine"]["cores"] >= 1
    assert {line["peer"] for line in result["rows"]} == {"naive", "tuned"}
    assert ET.parse(next(iter(tmp_path.glob("*.svg")))).getroot().tag.endswith("svg")
    assert np.__version__ in machine.in_words(result["machine"])


def test_first_use_is_measured_twice():
    cold, warm = first.starts("records100", "ours") or pytest.fail("ours does this")
    assert cold["first_s"] > 0 and warm["first_s"] > 0 and cold["mb"] > 10
    assert first.starts("w5", "tuned") is None
