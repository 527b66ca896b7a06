"""The doctor on arrays from a loop: mistakes made every time round, and other mistakes at several edges at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff.checks.doctor.backprop import Backprop
from autodiff.checks.doctor.loops import Loops

TIMES = 3
Arrays = dict[str, Any]


def values(seed: int = 0) -> Arrays:
    """A gated loop's leaves."""
    rng = np.random.default_rng(seed)
    shapes = {"x": (TIMES, 3, 2), "h0": (3, 4), "Wz": (2, 4), "Uz": (4, 4), "Wg": (2, 4), "Ug": (4, 4), "v": (4,)}
    return {name: 0.8 * rng.normal(size=shape) for name, shape in shapes.items()}


def recorded(v: Arrays) -> ad.Tensor:
    """The loss: a state that is a mixture of itself and of something new."""
    t = {name: ad.Tensor(x, requires_grad=name != "x", name=name) for name, x in v.items()}
    h = t["h0"]
    for k in range(TIMES):
        z = ad.sigmoid(t["x"][k] @ t["Wz"] + h @ t["Uz"])
        g = np.tanh(t["x"][k] @ t["Wg"] + h @ t["Ug"])
        h = (1 - z) * h + z * g
    return ad.Tensor.mean((h @ t["v"]) ** 2)


def by_hand(v: Arrays, **instead: Callable[..., Any]) -> Arrays:
    """The gradients, with some steps in another way: each is given the quantities of its time."""
    hs, zs, gs = [v["h0"]], [], []
    for k in range(TIMES):
        zs.append(1 / (1 + np.exp(-(v["x"][k] @ v["Wz"] + hs[k] @ v["Uz"]))))
        gs.append(np.tanh(v["x"][k] @ v["Wg"] + hs[k] @ v["Ug"]))
        hs.append((1 - zs[k]) * hs[k] + zs[k] * gs[k])
    s = hs[-1] @ v["v"]
    d = {name: np.zeros_like(x) for name, x in v.items() if name != "x"}
    d["v"] = hs[-1].T @ s * 2 / len(s)
    dh = np.outer(s, v["v"]) * 2 / len(s)
    for k in range(TIMES - 1, -1, -1):
        if k < instead.get("stop", lambda: 0)():
            break
        q = dict(dh=dh, z=zs[k], g=gs[k], h=hs[k], new=hs[k + 1], k=k, v=v)
        dz = dh * (gs[k] - hs[k])
        q["az"] = az = instead["az"](dz=dz, **q) if "az" in instead else dz * zs[k] * (1 - zs[k])
        q["ag"] = ag = instead["ag"](**q) if "ag" in instead else dh * zs[k] * (1 - gs[k] ** 2)
        before = instead["before"](**q) if "before" in instead else hs[k]
        d["Wz"] += v["x"][k].T @ az
        d["Uz"] += before.T @ az
        d["Wg"] += v["x"][k].T @ ag
        d["Ug"] += hs[k].T @ ag
        right = dh * (1 - zs[k]) + az @ v["Uz"].T + ag @ v["Ug"].T
        dh = instead["carry"](**q) if "carry" in instead else right
    d["h0"] = dh
    return d


SLIPS: list[tuple[str, dict[str, Callable[..., Any]]]] = [
    ("overwritten-accumulation", dict(carry=lambda az, v, **_: az @ v["Uz"].T)),
    ("dropped-path", dict(carry=lambda az, ag, v, **_: az @ v["Uz"].T + ag @ v["Ug"].T)),
    ("swapped", dict(carry=lambda dh, z, az, ag, v, **_: dh * (1 - z) + az @ v["Ug"].T + ag @ v["Uz"].T)),
    ("missing-transpose", dict(carry=lambda dh, z, az, ag, v, **_: dh * (1 - z) + az @ v["Uz"] + ag @ v["Ug"].T)),
    ("wrong-operand", dict(carry=lambda dh, z, az, ag, v, **_: dh * z + az @ v["Uz"].T + ag @ v["Ug"].T)),
    ("wrong-argument", dict(az=lambda dz, g, **_: dz * g * (1 - g))),
    ("wrong-local-rule", dict(az=lambda dz, z, **_: dz * z)),
    ("wrong-operand", dict(before=lambda new, **_: new)),
    ("wrong-operand", dict(before=lambda g, **_: g)),
    ("missing-local-derivative", dict(
        carry=lambda dh, z, az, ag, v, **_: dh * (1 - z) + az @ v["Uz"].T + dh @ v["Ug"].T)),
    ("extra-term", dict(carry=lambda dh, z, az, ag, v, **_: dh + dh * (1 - z) + az @ v["Uz"].T + ag @ v["Ug"].T)),
    ("dropped-path", dict(stop=lambda: 1)),
    ("dropped-path", dict(stop=lambda: 2)),
]


@pytest.mark.parametrize(("kind", "slip"), SLIPS)
def test_every_time_round(kind: str, slip: dict[str, Callable[..., Any]]) -> None:
    v = values()
    report = ad.compare(recorded(v), by_hand(v, **slip))
    assert not report.ok
    first = report.explanations[0]
    assert kind in {e.kind for e in (first, *first.members)}, first.sentence
    assert first.params and first.places


def test_the_right_one_is_right() -> None:
    for seed in range(3):
        v = values(seed)
        assert ad.compare(recorded(v), by_hand(v)).ok


def test_loops_are_found_with_what_they_carry() -> None:
    tape = ad.Tape(recorded(values()))
    loops = Loops(Backprop(tape, [r for r in tape.leaves if r.requires_grad]))
    assert loops.times == TIMES
    assert {r.name for r in loops.states} == {"h"}
    assert all(loops.time[e.r] - loops.time.get(e.x, -1) == 1 for e in loops.carrying)
    assert all(len({loops.line[e.r] for e in edges}) == 1 for edges in loops.groups)


def test_a_tape_without_a_loop_has_none() -> None:
    w = ad.Tensor([1.0, 2.0], requires_grad=True, name="w")
    tape = ad.Tape(((np.exp(w) - 1) ** 2).sum())
    loops = Loops(Backprop(tape, list(tape.leaves)))
    assert loops.times == 0 and not loops.carrying and not loops.groups


def kinds_of(loss: ad.Tensor, **given: Any) -> set[str]:
    """What the first class of explanations calls a mistake."""
    first = ad.compare(loss, given).explanations[0]
    return {e.kind for e in (first, *first.members)}


def test_several_edges_at_once() -> None:
    rng = np.random.default_rng(1)
    X, y, w = rng.normal(size=(9, 5)), rng.normal(size=9), ad.Tensor(rng.normal(size=5), requires_grad=True, name="w")
    a, b = 0.35, 0.6
    root = np.sqrt(w.data ** 2 + 0.3)
    fit = X.T @ (X @ w.data - y) / 9
    loss = ((X @ w - y) ** 2).sum() / 18 + b * np.sqrt(w ** 2 + 0.3).sum() + 0.5 * a * (w @ w)
    assert "swapped" in kinds_of(loss, w=fit + b * w.data + a * w.data / root)
    assert "scale" in kinds_of(loss, w=fit + (a * w.data + b * w.data / root) / 9)
    mask = np.arange(5) < 4
    assert "dropped-path" in kinds_of(loss, w=fit + (a * w.data + b * w.data / root) * mask)
    assert "wrong-local-rule" in kinds_of(loss, w=fit + a * np.sign(w.data) + b * w.data / root)


def test_softmax_and_lengths_along_another_axis() -> None:
    rng = np.random.default_rng(2)
    S, V = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3, 4))
    s = ad.Tensor(S, requires_grad=True, name="s")
    loss = (ad.softmax(s, axis=-1) * V).sum()
    p = np.exp(S) / np.exp(S).sum(-1, keepdims=True)
    assert kinds_of(loss, s=p * (V - (p * V).sum(1, keepdims=True))) == {"wrong-axis"}
    A, C = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    x = ad.Tensor(A, requires_grad=True, name="x")
    n = np.sqrt((A ** 2).sum(1, keepdims=True) + 0.1)
    unit = A / n
    u = x / np.sqrt((x ** 2).sum(axis=1, keepdims=True) + 0.1)
    assert "wrong-axis" in kinds_of((u * C).sum(), x=(C - unit * (unit * C).sum(0, keepdims=True)) / n)


def test_parts_side_by_side_cut_in_wrong_places() -> None:
    rng = np.random.default_rng(3)
    a, b = (ad.Tensor(rng.normal(size=(4, 3)), requires_grad=True, name=name) for name in "ab")
    W = rng.normal(size=(6, 2))
    loss = ((np.concatenate([a, b], axis=1) @ W) ** 2).sum()
    g = 2 * np.concatenate([a.data, b.data], axis=1) @ W @ W.T
    assert "scatter" in kinds_of(loss, a=g[:, :3], b=g[:, :3])


def test_largest_and_branches() -> None:
    rng = np.random.default_rng(4)
    x = ad.Tensor(rng.normal(size=(4, 6)), requires_grad=True, name="x")
    c = rng.normal(size=4)
    assert "wrong-local-rule" in kinds_of((x.max(axis=1) * c).sum(), x=np.repeat(c[:, None] / 6, 6, 1))
    z = ad.Tensor(rng.normal(size=7), requires_grad=True, name="z")
    loss = np.where(z > 0, z ** 3, np.exp(z)).sum()
    assert "swapped" in kinds_of(loss, z=np.where(z.data > 0, np.exp(z.data), 3 * z.data ** 2))
