"""The loss landscape: what is computed, what is drawn, and that the model is left as it was."""

import base64
import io
import re
import sys
import xml.etree.ElementTree as ET

import matplotlib.image
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import autodiff as ad
import nn
import viz
from tests.contrast import contrast
from viz.landscapes.contours import bands_image, contour, levels_of, magnified
from viz.landscapes.plane import Plane, through
from viz.landscapes.space import Space
from viz.themes import THEMES

SVG = "{http://www.w3.org/2000/svg}"
rng = np.random.default_rng(3)
X = rng.normal(size=(40, 3))
Y = X @ np.array([[1.0], [-2.0], [0.5]]) + 0.3
XOR = (np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.array([[0.0], [1.0], [1.0], [0.0]]))


def linear(**options):
    model = nn.Linear(3, 1, rng=0)
    return model, viz.landscape(model, nn.MSELoss(), (X, Y), **{"points": 9, "steps": 40, "lr": 0.1, **options})


def xor(**options):
    model = nn.MLP([2, 2, 1], activation="tanh", rng=0)
    return viz.landscape(model, model.loss_fn, XOR, **{"points": 9, **options})


def mse(theta):
    """The loss of the linear model as a function of (weight, bias), in NumPy."""
    return float(np.mean((X @ theta[:3, None] + theta[3] - Y) ** 2))


# ---- what is computed

def test_values_are_the_loss_on_the_plane():
    _, seen = linear()
    for i, b in enumerate(seen.axis):
        for j, a in enumerate(seen.axis):
            assert seen.values[i, j] == pytest.approx(mse(seen.plane.at(a, b)), rel=1e-12)


def test_paths_are_gradient_descent_with_momentum():
    _, seen = linear(starts=2, steps=7, momentum=0.5)
    for path in seen.descents:
        theta, velocity = path.points[0], np.zeros(4)
        for k in range(8):
            assert np.allclose(path.points[k], theta, rtol=1e-12, atol=1e-12)
            assert path.losses[k] == pytest.approx(mse(theta), rel=1e-12)
            r = X @ theta[:3, None] + theta[3] - Y
            g = np.concatenate([2 * np.mean(r * X, axis=0), [2 * np.mean(r)]])
            velocity = 0.5 * velocity - 0.1 * g
            theta = theta + velocity


def test_three_ends_lie_on_the_plane():
    seen = xor()
    for path, flat in zip(seen.descents, seen.paths, strict=True):
        assert np.allclose(seen.plane.at(*flat[-1]), path.end, atol=1e-9)
        assert np.abs(flat).max() <= seen.axis[-1]
    assert "through the ends" in seen.note


def test_a_loss_that_is_not_convex_is_said_to_be_so_with_proof():
    seen = xor()
    proofs = [b for b in seen.between if b.proves]
    assert proofs
    assert "no convex function does that" in seen.note
    for b in proofs:
        i, j = (k - 1 for k in b.ends)
        assert b.losses[0] == pytest.approx(seen.descents[i].losses[-1], rel=1e-9)
        assert b.losses[-1] == pytest.approx(seen.descents[j].losses[-1], rel=1e-9)


def test_a_convex_loss_is_not_said_to_be_anything_else():
    for starts in (2, 3, 5):
        _, seen = linear(starts=starts, steps=15)
        assert not any(b.proves for b in seen.between)
        assert "nothing here shows that it is not convex" in seen.note


def test_random_directions_are_as_long_as_the_filters():
    model = nn.MLP([4, 5, 2], output="regression", rng=1)
    space = Space(model, model.parameters(), nn.MSELoss(), np.ones((2, 4)), np.ones((2, 2)))
    direction = space.parts(space.random_direction(np.random.default_rng(0), space.here()))
    for p, d in zip(model.parameters(), direction, strict=True):
        expected = np.linalg.norm(p.data, axis=1) if p.ndim > 1 else np.zeros(1)
        assert np.allclose(np.linalg.norm(d, axis=1) if p.ndim > 1 else np.abs(d).max(), expected)


def test_around_the_model_and_along_directions_that_are_given():
    model, seen = linear(starts=0)
    assert seen.kind == "random" and not seen.paths and seen.axis[-1] == 1
    assert seen.values[4, 4] == pytest.approx(nn.MSELoss()(model(X), Y).item(), rel=1e-12)
    u = {"weight": np.array([[1.0, 0.0, 0.0]]), "bias": np.zeros(1)}
    v = [np.zeros((1, 3)), np.ones(1)]
    model, seen = linear(starts=0, plane=(u, v), span=2.0)
    here = np.append(model.weight.data.ravel(), model.bias.data)
    assert seen.values[0, 8] == pytest.approx(mse(here + [2.0, 0, 0, -2.0]), rel=1e-12)
    assert "directions given" in seen.note


def test_more_starts_than_three_and_fewer():
    assert "nearest to the ends" in xor(starts=4, points=5).note
    assert "nearest to the paths" in xor(starts=1, points=5).note
    assert "nearest to the paths" in xor(plane="paths", points=5).note
    assert len(xor(starts=12, points=3, steps=5).paths) == 12


def test_the_seed_decides():
    a, b, c = (xor(rng=seed, points=5, steps=20) for seed in (1, 1, 2))
    assert np.array_equal(a.values, b.values) and a.note == b.note
    assert not np.array_equal(a.values, c.values)


def test_starts_of_ones_own():
    def init(model, draws):
        for p in model.parameters():
            p.data = draws.uniform(5.0, 6.0, size=p.shape)

    _, seen = linear(init=init)
    assert all(5 <= v <= 6 for path in seen.descents for v in path.points[0])


def test_many_samples_are_sampled_and_it_is_said():
    model = nn.Linear(1, 1, rng=0)
    x = np.linspace(0, 1, 500)[:, None]
    seen = viz.landscape(model, nn.MSELoss(), (x, x), samples=30, points=3, steps=3)
    assert seen.samples == (30, 500) and "30 samples of 500" in seen.note


def test_a_path_that_leaves_the_world():
    _, seen = linear(lr=1e200, momentum=0.0, steps=30)
    assert all(path.diverged for path in seen.descents)
    assert all(np.isfinite(path.losses).all() for path in seen.descents)
    assert "learning rate is too high" in seen.note
    ET.fromstring(seen.svg())


def test_a_loss_that_is_no_number_in_places():
    model = nn.Linear(3, 1, rng=0)

    def loss_fn(yhat, y):
        return np.log(np.abs(yhat).sum() - 60) ** 2

    u = {"weight": np.array([[1.0, 0.0, 0.0]]), "bias": np.zeros(1)}
    v = {"weight": np.zeros((1, 3)), "bias": np.ones(1)}
    seen = viz.landscape(model, loss_fn, (X, Y), starts=0, plane=(u, v), span=5.0, points=9)
    broken = int((~np.isfinite(seen.values)).sum())
    assert 0 < broken < 81
    assert f"At {broken} points it is infinite or NaN" in seen.note
    ET.fromstring(seen.svg())


# ---- the model is left as it was

class Noisy(nn.Module):
    def __init__(self):
        self.first = nn.Linear(3, 4, rng=0)
        self.drop = nn.Dropout(0.5)
        self.last = nn.Linear(4, 1, rng=1)
        self.mean = ad.Tensor(np.zeros(2))

    def forward(self, x):
        return self.last(self.drop(np.tanh(self.first(x))))


def state(model):
    return [(name, p.record, p.record.value.tobytes(), p.record.version, p.record.leaks, p.requires_grad,
             None if p.grad is None else (id(p.grad), p.grad.tobytes())) for name, p in model.named_parameters()]


def test_nothing_is_changed():
    model = Noisy()
    model.first.weight.data = np.array([[-0.0, 5e-324, 1 / 3]] * 4)
    model.first.bias.requires_grad = False
    model.drop.eval()
    held = model.last.weight.data                    # the user holds the array itself
    nn.MSELoss()(model(X), Y).backward()
    pending = nn.MSELoss()(model(X), Y)              # a graph that stands on the parameters
    before, modes = state(model), [m.training for _, m in model.named_modules()]
    ad.seed(5)
    expected = ad.generator().random(3)
    ad.seed(5)
    seen = viz.landscape(model, nn.MSELoss(), (X, Y), points=5, steps=10)
    assert np.array_equal(ad.generator().random(3), expected)
    assert state(model) == before
    assert model.last.weight.data is held
    assert [m.training for _, m in model.named_modules()] == modes
    assert seen.plane.u.size == 12 + 4 + 1               # the frozen bias does not move
    pending.backward()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError("mine"), MemoryError])
def test_nothing_is_changed_when_it_ends_badly(error):
    model = Noisy()
    before = state(model)
    calls = []

    def loss_fn(yhat, y):
        calls.append(1)
        if len(calls) > 8:
            raise error
        return ((yhat - y) ** 2).mean()

    with pytest.raises(error if isinstance(error, type) else type(error)):
        viz.landscape(model, loss_fn, (X, Y), points=5, steps=30)
    assert state(model) == before
    assert model.training and model.drop.training


def test_what_a_layer_counts_is_not_counted_on():
    class Counting(nn.Linear):
        def forward(self, x):
            self.count += 1
            return super().forward(x)

    model = Counting(3, 1, rng=0)
    model.count = ad.Tensor(0.0)
    viz.landscape(model, nn.MSELoss(), (X, Y), points=3, steps=2)
    assert model.count.item() == 0


def test_classes():
    model = nn.MLP([3, 4, 3], output="multiclass", rng=0)
    seen = viz.landscape(model, model.loss_fn, (X, np.arange(40) % 3), points=4, steps=5)
    assert np.isfinite(seen.values).all()
    assert viz.Watch(model, model.loss_fn, (ad.Tensor(X), np.arange(40) % 3)).looks[0].loss > 0


def test_a_loss_that_looks_at_the_model_itself_sees_it_move():
    model = nn.Linear(3, 1, rng=0)
    seen = viz.landscape(model, lambda yhat, y: (model.weight ** 2).sum() + (model.bias ** 2).sum(), (X, Y), points=5,
                         steps=3, lr=0.1)
    for i, b in enumerate(seen.axis):
        for j, a in enumerate(seen.axis):
            assert seen.values[i, j] == pytest.approx(float(np.sum(seen.plane.at(a, b) ** 2)), rel=1e-12)


def test_a_model_of_another_make():
    class Mine:
        def __init__(self):
            self.w = ad.Tensor([1.0, 2.0, 3.0], requires_grad=True)

        def named_parameters(self):
            return [("w", self.w)]

        def __call__(self, x):
            return (x @ self.w)[:, None]

    mine = Mine()
    assert viz.landscape(mine, lambda a, b: ((a - b) ** 2).mean(), (X, Y), points=3, steps=3).title == "Mine"
    assert mine.w.data.tolist() == [1.0, 2.0, 3.0]


# ---- what is refused

@pytest.mark.parametrize(("options", "said"), [
    ({"plane": "up"}, "choose from 'ends'"), ({"theme": "pink"}, "choose from 'light'"),
    ({"starts": -1}, "fewer than 0"),
    ({"points": 1}, "2 points"), ({"span": -1.0}, "positive"), ({"span": float("nan")}, "positive"),
    ({"plane": (1,)}, "two directions"), ({"plane": ([np.ones((1, 3)), np.ones(1)],) * 2}, "parallel"),
    ({"plane": ([np.zeros((1, 3)), np.zeros(1)], [np.ones((1, 3)), np.ones(1)])}, "parallel"),
])
def test_options_that_make_no_sense(options, said):
    with pytest.raises(ValueError, match=said):
        linear(**options)


def test_what_is_no_model_no_data_no_loss():
    with pytest.raises(ad.OperandError, match="named_parameters"):
        viz.landscape(np.tanh, nn.MSELoss(), (X, Y))
    with pytest.raises(ad.OperandError, match="no parameters that require grad"):
        viz.landscape(nn.Tanh(), nn.MSELoss(), (X, Y))
    with pytest.raises(ad.OperandError, match="pair"):
        viz.landscape(nn.Linear(3, 1), nn.MSELoss(), X)
    with pytest.raises(ad.ShapeError, match="equally many"):
        viz.landscape(nn.Linear(3, 1), nn.MSELoss(), (X, Y[:5]))
    with pytest.raises(ad.ShapeError, match="scalar"):
        viz.landscape(nn.Linear(3, 1), lambda a, b: a - b, (X, Y))
    with pytest.raises(ad.OperandError, match="of shapes"):
        linear(plane=([np.ones(3)], [np.ones(2)]))

    def nothing(model, draws):
        model.weight.data = np.full((1, 3), np.nan)

    with pytest.raises(ad.OperandError, match="nan before any step"):
        linear(init=nothing)


# ---- contours and bands

grids = hnp.arrays(np.float64, st.tuples(st.integers(2, 9), st.integers(2, 9)),
                   elements=st.one_of(st.floats(-5, 5, width=32), st.sampled_from([np.nan, np.inf, 0.0])))


@settings(max_examples=200)
@given(grids, st.floats(-4.9, 4.9).map(lambda v: v + 1e-7))
def test_contour_lines_lie_at_their_level_and_end_only_at_a_rim(values, level):
    pieces = contour(values, level)
    ends = {}
    for x0, y0, x1, y1 in pieces:
        for x, y in ((x0, y0), (x1, y1)):
            assert 0 <= x <= values.shape[1] - 1 and 0 <= y <= values.shape[0] - 1
            i, j = min(int(y), values.shape[0] - 2), min(int(x), values.shape[1] - 2)
            s, t = y - i, x - j
            corner = np.where(np.isfinite(values[i:i + 2, j:j + 2]), values[i:i + 2, j:j + 2], 0)
            weights = np.outer([1 - s, s], [1 - t, t])
            assert float(np.sum(corner * weights)) == pytest.approx(level, abs=1e-6)
            key = (round(x, 9), round(y, 9))
            ends[key] = ends.get(key, 0) + 1
    if np.isfinite(values).all():
        for (x, y), n in ends.items():
            inside = 0 < x < values.shape[1] - 1 and 0 < y < values.shape[0] - 1
            assert n % 2 == 0 or not inside


def test_the_image_has_the_colour_of_the_band():
    values = np.array([[0.0, 1.0, 2.0], [3.0, 4.0, np.nan], [6.0, 7.0, 8.0]])
    colours = ["#112233", "#445566", "#778899"]
    uri = bands_image(values, np.array([2.5, 5.5]), colours, "#ff0000")
    picture = matplotlib.image.imread(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    seen = (picture[..., :3] * 255).round().astype(int)
    assert seen.shape == (17, 17, 3)
    for i in range(3):
        for j in range(3):
            expected = "#ff0000" if i == 1 and j == 2 else colours[int(np.searchsorted([2.5, 5.5], values[i, j]))]
            if np.isfinite(magnified(values)[8 * i, 8 * j]):
                assert "#{:02x}{:02x}{:02x}".format(*seen[16 - 8 * i, 8 * j]) == expected
    assert [255, 0, 0] in seen.reshape(-1, 3).tolist()


@given(grids)
def test_levels_lie_between_the_values(values):
    levels = levels_of(values)
    sound = values[np.isfinite(values)]
    assert (np.diff(levels) >= 0).all()
    if len(levels):
        assert sound.min() <= levels[0] and levels[-1] <= sound.max()


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(2, 7)), elements=st.floats(-9, 9, width=32)))
def test_a_plane_through_any_points(points):
    plane = through(points, np.random.default_rng(0))
    q = np.stack([plane.u, plane.v])
    assert np.allclose(q @ q.T, np.eye(2), atol=1e-6)
    flat = plane.coordinates(points)
    back = plane.centre + flat @ q
    if len(points) <= 3:
        assert np.allclose(back, points, atol=1e-5)
    assert -1e-9 <= plane.held(points) <= 1 + 1e-9


def test_coordinates_are_those_of_the_nearest_point_also_of_slanted_directions():
    plane = Plane(np.array([1.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0]), np.array([1.0, 2.0, 0.0]))
    assert np.allclose(plane.coordinates(np.array([[1 + 3 + 4, 1 + 8, 7.0]])), [[3, 4]])


# ---- the picture

@pytest.mark.parametrize("theme", THEMES)
def test_the_picture_is_one_svg_that_needs_nothing_else(theme):
    seen = xor()
    text = seen.svg(theme)
    root = ET.fromstring(text)
    assert root.tag == f"{SVG}svg" and len(text) < 100_000
    assert not {e.tag for e in root.iter()} & {f"{SVG}script", f"{SVG}foreignObject"}
    assert all(e.get("href").startswith("data:image/png;base64,") for e in root.iter(f"{SVG}image"))
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    words = [e.text for e in root.iter(f"{SVG}text")]
    for line in ("loss", "start", "end", "first direction", "1", "2", "3"):
        assert line in words
    assert sum(" → " in w for w in words) == 3
    assert " ".join(seen.sentences[0].split()) in " ".join(words)
    assert len(list(root.iter(f"{SVG}polyline"))) == 6


def test_a_path_is_drawn_where_it_goes():
    seen = xor(starts=1, points=5)
    root = ET.fromstring(seen.svg())
    line = [tuple(map(float, p.split(","))) for p in next(root.iter(f"{SVG}polyline")).get("points").split()]
    span = seen.axis[-1]
    frame = next(root.iter(f"{SVG}image"))
    left, top, side = (float(frame.get(k)) for k in ("x", "y", "width"))
    for (x, y), (a, b) in zip(line, seen.paths[0], strict=True):
        assert x == pytest.approx(left + side * (a / span + 1) / 2, abs=0.06)
        assert y == pytest.approx(top + side * (1 - b / span) / 2, abs=0.06)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_can_be_read(theme):
    colours = THEMES[theme]
    pairs = [(colours.ink, colours.background), (colours.subtle, colours.background),
             (colours.backward, colours.background), (colours.background, colours.backward)]
    for a, b in pairs:
        assert contrast(a, b) >= 4.5
    root = ET.fromstring(xor(points=5, steps=5).svg(theme))
    assert {e.get("fill") for e in root.iter(f"{SVG}text")} <= {colours.ink, colours.subtle, colours.backward,
                                                                colours.background}


def test_a_hostile_name():
    model = type('<b onload="x">&\u202e', (nn.Linear,), {})(3, 1, rng=0)
    seen = viz.landscape(model, nn.MSELoss(), (X, Y), points=3, steps=2)
    root = ET.fromstring(seen.svg())
    assert not list(root.iter(f"{SVG}b"))
    assert "<b onload=" in root.find(f"{SVG}title").text


def test_files(tmp_path, monkeypatch):
    seen = xor(points=5, steps=5)
    assert seen.save(tmp_path / "a.svg").read_text(encoding="utf-8") == seen.svg()
    assert seen.save(tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert seen.save(tmp_path / "a.PDF").read_bytes().startswith(b"%PDF")
    with pytest.raises(ValueError, match=r"\.svg, \.png, \.pdf"):
        seen.save(tmp_path / "a.gif")
    flat = seen.figure().axes[0]
    assert len(flat.lines) == 9
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="python -m pip install matplotlib"):
        seen.save(tmp_path / "b.png")
    seen.save(tmp_path / "b.svg")


def test_in_a_notebook(monkeypatch):
    seen = xor(points=5, steps=5)
    bundle = seen._repr_mimebundle_()
    assert bundle["text/plain"] == "<Landscape of MLP: 5×5 points, 3 paths of 5 steps>"
    ET.fromstring(bundle["image/svg+xml"])
    monkeypatch.setattr(viz.Landscape, "svg", lambda self: 1 / 0)
    assert "not shown" in seen._repr_mimebundle_()["text/plain"]


def test_all_one_colour():
    model = nn.Linear(3, 1, rng=0)
    seen = viz.landscape(model, lambda yhat, y: (yhat * 0).sum() + 1, (X, Y), points=4, steps=2)
    assert (seen.values == 1).all() and not len(levels_of(seen.values))
    ET.fromstring(seen.svg())
    seen.figure()
