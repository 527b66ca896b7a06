"""`landscape`, and the `Landscape` it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autodiff import OperandError, generator
from viz.landscapes.contours import levels_of
from viz.landscapes.picture import Picture
from viz.landscapes.plane import Bump, Plane, bumps, through
from viz.landscapes.space import Descent, Space
from viz.models import Array, Loss, pair, trained, untouched
from viz.themes import THEMES

MOST = 1000         # samples that the loss is taken of
MARGIN = 1.25       # how much more than the paths the plane shows
PLANES = ("ends", "paths", "random")


def landscape(model: Any, loss_fn: Loss, data: Any, *, starts: int = 3, steps: int = 200, lr: float = 0.5,
              momentum: float = 0.9, plane: str | tuple[Any, Any] = "ends", points: int = 41,
              span: float | None = None, samples: int = MOST,
              init: Callable[[Any, np.random.Generator], Any] | None = None,
              rng: np.random.Generator | int | None = 0, theme: str = "light") -> Landscape:
    """The loss on a plane through the space of all parameters, and the paths from random starts to where they end.

    Such losses are not convex: from random starts, gradient descent ends in different minima. Here the model is
    trained from several, and the loss is drawn on the plane through the ends; what is on the straight line between
    two ends is told in `Landscape.note`. Nothing of the model is changed: afterwards it has the parameters, the modes
    and the random numbers that it had before, bit for bit.

    Parameters
    ----------
    model : callable with named_parameters
        Such as an `nn.Module`; called with samples.
    loss_fn : callable
        ``loss_fn(prediction, target)``, a scalar Tensor.
    data : pair of array or Tensor
        Samples and targets, along axis 0.
    starts : int
        How many times to train; 0 for a look around where the model is, along random directions.
    steps, lr, momentum : int, float, float
        Gradient descent on all samples at once: v ← momentum v − lr ∂loss/∂θ, θ ← θ + v.
    plane : {"ends", "paths", "random"} or pair of directions
        The plane nearest to the ends (of three starts, the one through them), or to all the paths (both by principal
        components); or through the model's own parameters along two random directions, each filter as long as the
        model's own (Li et al., 2018, "Visualizing the loss landscape of neural nets"), or two that are given: each a
        dict of paths, or a sequence, of one array per parameter.
    points : int
        The loss is computed on a grid of points × points.
    span : float, optional
        The plane is shown from -span to span along both directions; by default, as far as the paths go, or 1.
    samples : int
        Of more samples, so many drawn at random.
    init : callable, optional
        ``init(model, rng)`` sets the parameters of a start, in place. By default as in the notes: weights Glorot
        normal, biases 0.
    rng : numpy.random.Generator or int, optional
        Where starts, directions and samples come from; None for the generator of `autodiff.seed`.
    theme : {"light", "dark", "print"}
        The colours.

    Returns
    -------
    Landscape
        With `.values`, `.paths`, `.note`. A notebook shows it; `save` writes it to a file.

    Raises
    ------
    OperandError, ShapeError
        If the model has no parameters to train, the data are no pair, or the loss is no scalar.
    ValueError
        If an option has none of the values listed.

    Examples
    --------
    >>> x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> y = np.array([[0.0], [1.0], [1.0], [0.0]])
    >>> model = nn.MLP([2, 2, 1], activation="tanh", rng=0)
    >>> seen = viz.landscape(model, model.loss_fn, (x, y), points=11)
    >>> seen
    <Landscape of MLP: 11×11 points, 3 paths of 200 steps>
    >>> seen.values.shape, len(seen.paths), seen.paths[0].shape[1]
    ((11, 11), 3, 2)
    """
    if isinstance(plane, str) and plane not in PLANES:
        raise ValueError(f"plane={plane!r} is not known; choose from {', '.join(map(repr, PLANES))}, or give two "
                         "directions")
    if theme not in THEMES:
        raise ValueError(f"theme={theme!r} is not known; choose from {', '.join(map(repr, THEMES))}")
    if starts < 0 or steps < 1 or points < 2 or samples < 1 or (span is not None and not span > 0):
        raise ValueError(f"starts={starts}, steps={steps}, points={points}, samples={samples}, span={span}: there "
                         "cannot be fewer than 0 starts or 2 points, and the rest is positive")
    parameters = trained(model)
    x, y = pair(data)
    with untouched(model), np.errstate(all="ignore"):
        draws = generator(rng)
        total = len(x)
        if total > samples:
            chosen = np.sort(draws.choice(total, samples, replace=False))
            x, y = x[chosen], y[chosen]
        space = Space(model, [p for _, p in parameters], loss_fn, x, y)
        here = space.here()
        space.loss_of_here()                    # whatever is wrong with the loss is told, not drawn
        paths = []
        for _ in range(starts):
            start = space.drawn(draws)
            if init is not None:
                init(model, draws)
                start = space.here()
            paths.append(space.descend(start, steps, lr, momentum))
        kind = "given" if not isinstance(plane, str) else plane if starts else "random"
        names = [path for path, _ in parameters]
        where = plane_of(plane if kind == "given" else kind, space, paths, here, names, draws)
        flat = [where.coordinates(path.points) for path in paths]
        if span is None:
            furthest = MARGIN * max((float(np.abs(f).max()) for f in flat), default=0.0)
            span = furthest if kind in ("ends", "paths") and furthest > 0 else max(furthest, 1.0)
        axis = np.linspace(-span, span, points)
        values = np.array([[space.loss_at(where.at(a, b)) for a in axis] for b in axis])
        between = bumps(space, [path.end for path in paths])
    return Landscape(type(model).__name__, axis, values, where, paths, flat, between, (len(x), total),
                     (steps, lr, momentum), kind, theme)


def plane_of(plane: str | tuple[Any, Any], space: Space, paths: list[Descent], here: Array, names: list[str],
             draws: np.random.Generator) -> Plane:
    """The plane that was asked for."""
    if not isinstance(plane, str):
        if len(plane) != 2:
            raise ValueError(f"plane= takes two directions, not {len(plane)}")
        u, v = (direction(given, space, names) for given in plane)
        if abs(u @ v) >= (1 - 1e-12) * np.linalg.norm(u) * np.linalg.norm(v):
            raise ValueError("plane= takes two directions that span a plane; these are parallel, or one of them is 0")
        return Plane(here, u, v)
    if plane == "random":
        return Plane(here, space.random_direction(draws, here), space.random_direction(draws, here))
    points = np.stack([path.end for path in paths]) if plane == "ends" and len(paths) > 2 else \
        np.concatenate([path.points for path in paths])
    return through(points, draws)


def direction(given: Any, space: Space, names: list[str]) -> Array:
    """A direction as it was given."""
    arrays = [given[name] for name in names] if isinstance(given, dict) else list(given)
    shapes = [np.shape(a) for a in arrays]
    if shapes != space.shapes:
        raise OperandError(f"a direction has one array for each parameter, of shapes {space.shapes}, not {shapes}")
    return space.joined(arrays)


@dataclass(frozen=True, repr=False)
class Landscape:
    """The loss on a plane, and paths on it; made by `landscape`.

    Attributes
    ----------
    title : str
        What model it is of.
    axis : ndarray of shape (points,)
        The coordinates along both directions.
    values : ndarray of shape (points, points)
        The loss; ``values[i, j]`` at ``axis[j]`` along the first direction and ``axis[i]`` along the second.
    plane : Plane
        Its centre and directions, vectors of all parameters.
    descents : list of Descent
        The paths in the space of all parameters, with the loss along them.
    paths : list of ndarray of shape (n, 2)
        The same on the plane: the nearest points.
    between : list of Bump
        The loss on the straight lines between the ends.
    samples : tuple of int
        How many samples the loss is of, and of how many.
    training : tuple
        Steps, learning rate, momentum.
    kind : str
        How the plane was chosen.
    theme : str
        The colours.
    """

    title: str
    axis: Array
    values: Array
    plane: Plane
    descents: list[Descent]
    paths: list[Array]
    between: list[Bump]
    samples: tuple[int, int]
    training: tuple[int, float, float]
    kind: str
    theme: str

    @property
    def sentences(self) -> list[str]:
        """What the picture does not say by itself."""
        used, total = self.samples
        steps, lr, momentum = self.training
        found = [f"The loss of {self.title} on {used:,} samples" + (f" of {total:,}" if used < total else "")
                 + f", on {len(self.axis)}×{len(self.axis)} points of " + {
                     "ends": "the plane through the ends." if len(self.paths) == 3 else
                             "the plane nearest to the ends." if len(self.paths) > 3 else
                             "the plane nearest to the paths.",
                     "paths": "the plane nearest to the paths.",
                     "random": "a plane through its parameters along two random directions, filter by filter as long "
                               "as these.",
                     "given": "the plane along the directions given."}[self.kind]]
        if self.paths:
            held = self.plane.held(np.concatenate([d.points for d in self.descents]))
            found.append(f"{len(self.paths)} random starts, {steps:,} steps of gradient descent each (learning rate "
                         f"{lr:g}, momentum {momentum:g}). Paths are drawn where they come nearest to the plane, which "
                         f"holds {100 * held:.0f} % of their spread.")
            if early := [str(i) for i, d in enumerate(self.descents, 1) if d.diverged]:
                found.append(f"The loss of start {', '.join(early)} became infinite or NaN: the learning rate is too "
                             "high.")
        proofs = [b for b in self.between if b.proves]
        if proofs:
            worst = max(proofs, key=lambda b: b.top - max(b.losses[0], b.losses[-1]))
            (i, j), a, b = worst.ends, worst.losses[0], worst.losses[-1]
            does = f"rises to {worst.top:.3g}" if worst.top > max(a, b) else "lies above the chord"
            found.append(f"On the straight line from end {i} ({a:.3g}) to end {j} ({b:.3g}) the loss {does}: no convex "
                         "function does that.")
        elif self.between:
            found.append("On the straight lines between the ends the loss stays below the chord: nothing here shows "
                         "that it is not convex.")
        if broken := int(self.values.size - np.isfinite(self.values).sum()):
            found.append(f"At {broken:,} points it is infinite or NaN.")
        return found

    @property
    def note(self) -> str:
        """What the picture shows and what not, in sentences."""
        return " ".join(self.sentences)

    def svg(self, theme: str | None = None) -> str:
        """The picture as SVG text, which needs no engine.

        Parameters
        ----------
        theme : {"light", "dark", "print"}, optional
            Other colours than those asked for at first.
        """
        return Picture(self, THEMES[theme or self.theme]).svg()

    def figure(self) -> Any:
        """The picture as a Matplotlib figure, to add to.

        Raises
        ------
        ImportError
            If Matplotlib is not installed, with the command that installs it.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError("landscape.figure() and .png or .pdf files are drawn with Matplotlib; install it with: "
                              "python -m pip install matplotlib. A .svg needs nothing.") from error
        theme, levels = THEMES[self.theme], levels_of(self.values)
        figure = Figure(figsize=(6.4, 5.2), layout="compressed", facecolor=theme.background)
        axes = figure.subplots()
        axes.set_facecolor(theme.background)
        held = np.ma.masked_invalid(self.values)
        if len(levels):
            edges = [held.min(), *levels, held.max()]
            colours = Picture(self, theme).colours
            filled = axes.contourf(self.axis, self.axis, held, levels=edges, colors=colours)
            axes.contour(self.axis, self.axis, held, levels=levels, colors=theme.ink, linewidths=0.4, alpha=0.5)
            bar = figure.colorbar(filled, ax=axes, label="loss", format="%.3g")
            bar.ax.yaxis.label.set_color(theme.ink)
            bar.ax.tick_params(colors=theme.ink)
        for i, path in enumerate(self.paths, 1):
            axes.plot(*path.T, color=theme.backward, linewidth=1.6)
            axes.plot(*path[0], "o", markerfacecolor=theme.background, color=theme.backward)
            axes.plot(*path[-1], "o", color=theme.backward)
            axes.annotate(str(i), path[-1], xytext=(6, 6), textcoords="offset points", color=theme.ink)
        axes.set_aspect("equal")
        axes.set_xlabel("first direction", color=theme.ink)
        axes.set_ylabel("second direction", color=theme.ink)
        axes.tick_params(colors=theme.ink)
        return figure

    def save(self, path: str | Path) -> Path:
        """Write the picture to a file: ``.svg`` as it is shown, ``.png`` or ``.pdf`` with Matplotlib.

        Raises
        ------
        ValueError
            If the suffix is none of these.
        ImportError
            If Matplotlib is needed and not installed.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix == ".svg":
            path.write_text(self.svg(), encoding="utf-8")
        elif suffix in (".png", ".pdf"):
            self.figure().savefig(path, dpi=150)
        else:
            raise ValueError(f"cannot tell from {path.name!r} what to write; end the name in .svg, .png, .pdf")
        return path

    def __repr__(self) -> str:
        n = len(self.axis)
        paths = f", {len(self.paths)} path{'s' if len(self.paths) > 1 else ''} of {self.training[0]:,} steps" \
            if self.paths else ""
        return f"<Landscape of {self.title}: {n}×{n} points{paths}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What a notebook shows. Never raises."""
        bundle = {"text/plain": repr(self)}
        try:
            bundle["image/svg+xml"] = self.svg()
        except Exception as error:
            bundle["text/plain"] += f"\n(not shown: {error})"
        return bundle
