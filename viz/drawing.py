"""`draw`, and the `Drawing` it returns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodiff import Tape, Tensor
from viz import engines
from viz.dot import HEAD, TAIL, lines_of
from viz.graph import Graph, graph_of
from viz.themes import THEMES

if TYPE_CHECKING:
    import graphviz

PARTS = ("shapes", "values", "gradients")
SUFFIXES = (".svg", ".png", ".pdf", ".dot")


def draw(output: Tensor, *, theme: str = "light", names: Mapping[str, Any] | None = None,
         show: Iterable[str] = PARTS, rankdir: str = "LR", max_nodes: int = 400) -> Drawing:
    """Draw the computation graph behind a tensor.

    Every tensor is a card with its name, shape, value and gradient, every operation a disc, every scope
    (a layer) a box. Arrays of up to four entries are shown as numbers, larger ones as a heatmap and a norm.
    The gradients are those of `output`, computed for the picture; no `.grad` is read or touched.

    Parameters
    ----------
    output : Tensor
        What to draw: a loss, or any other result. Gradients are drawn if it is a scalar that requires grad.
    theme : {"light", "dark"}
        The colours.
    names : dict, optional
        Names for tensors and arrays that have none; ``names=locals()`` will do.
    show : iterable of {"shapes", "values", "gradients"}
        What the cards hold besides the name.
    rankdir : {"LR", "TB"}
        Whether to draw from left to right or from top to bottom.
    max_nodes : int
        Of a larger graph, only this many nodes nearest to the output are drawn; the caption and
        `Drawing.note` say how many are hidden.

    Returns
    -------
    Drawing
        The picture. A notebook shows it; `save` writes it to a file.

    Raises
    ------
    TypeError
        If `output` is no Tensor.
    ValueError
        If an option has none of the values listed.

    Examples
    --------
    >>> x = np.array([[1.0, 2.0]])
    >>> W = ad.Tensor([[0.5, -0.5]], requires_grad=True)
    >>> z = x @ W.T
    >>> loss = (z ** 2).mean()
    >>> g = viz.draw(loss, theme="dark")
    >>> g
    <Drawing of loss: 5 tensors, 4 operations>
    >>> print(g.dot[:14])
    digraph tape {
    """
    if not isinstance(output, Tensor):
        raise TypeError(f"viz.draw takes the Tensor to draw, such as a loss, not {type(output).__name__}")
    one_of("theme", theme, tuple(THEMES))
    one_of("rankdir", rankdir, ("LR", "TB"))
    parts = frozenset([show] if isinstance(show, str) else show)
    for part in sorted(parts):
        one_of("show", part, PARTS)
    if max_nodes < 1:
        raise ValueError(f"max_nodes must be at least 1, not {max_nodes}")
    given = names or {}
    tape = Tape(output, names={name: t for name, t in given.items() if isinstance(t, Tensor)})
    graph = graph_of(tape, "gradients" in parts, max_nodes, given)
    return Drawing(graph, theme, parts, rankdir)


def one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    """Raise unless an option's value is one of those known."""
    if value not in known:
        raise ValueError(f"{option}={value!r} is not known; choose from {', '.join(map(repr, known))}")


class Drawing:
    """A picture of a computation graph, as it was when it was drawn.

    Attributes
    ----------
    graph : Graph
        What is drawn: nodes, edges, clusters.

    Examples
    --------
    >>> x = ad.Tensor([1.0, 2.0], requires_grad=True)
    >>> drawing = viz.draw(np.exp(x).sum())
    >>> sorted(node.name for node in drawing.graph.tensors.values())[-1]
    'x'
    """

    def __init__(self, graph: Graph, theme: str, show: frozenset[str], rankdir: str) -> None:
        self.graph = graph
        self._look = THEMES[theme], show, rankdir
        self._engine: str | None = None

    @property
    def note(self) -> str:
        """What the picture does not show and why, in sentences; "" if it shows everything."""
        return " ".join(self.graph.notes)

    @property
    def engine(self) -> str | None:
        """The name of the engine that rendered this, or of the one that would; None if there is none."""
        found = engines.find()
        return self._engine or (engines.name_of(found) if found else None)

    @cached_property
    def _lines(self) -> list[str]:
        return lines_of(self.graph, *self._look)

    @property
    def dot(self) -> str:
        """The picture as DOT text, which needs no engine; the same text for the same computation."""
        return HEAD + "".join(self._lines) + TAIL

    def svg(self) -> str:
        """The picture as SVG text.

        Raises
        ------
        RenderError
            If there is no dot engine, or it fails.
        """
        return engines.with_fonts(self._render("svg").decode())

    def png(self) -> bytes:
        """The picture as the bytes of a PNG file.

        Raises
        ------
        RenderError
            If there is no dot engine, or it fails.
        """
        return self._render("png")

    def save(self, path: str | Path) -> Path:
        """Write the picture to a file, as its suffix says: ``.svg``, ``.png``, ``.pdf`` or ``.dot``.

        Parameters
        ----------
        path : str or Path
            The file; an existing one is overwritten.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        ValueError
            If the suffix is none of these.
        RenderError
            If there is no dot engine, or it cannot write this format. The DOT text is then left beside
            the file that was asked for.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix not in SUFFIXES:
            raise ValueError(f"cannot tell from {path.name!r} what to write; "
                             f"end the name in {', '.join(SUFFIXES)}")
        if suffix == ".dot":
            path.write_text(self.dot, encoding="utf-8")
        else:
            data = self._render(suffix[1:], path)
            path.write_bytes(engines.with_fonts(data.decode()).encode() if suffix == ".svg" else data)
        return path

    def digraph(self) -> graphviz.Digraph:
        """The picture as a `graphviz.Digraph`, to add to; its `source` is `dot`."""
        import graphviz  # only who asks for it pays for it

        made: graphviz.Digraph = graphviz.Digraph("tape", body=self._lines)
        return made

    def _render(self, format: str, path: Path | None = None) -> bytes:
        data, self._engine = engines.render(self.dot, format, path)
        return data

    def __repr__(self) -> str:
        graph = self.graph
        boxes = f", {len(graph.clusters)} scopes" if graph.clusters else ""
        name = graph.tensors[graph.output].name
        return f"<Drawing of {name}: {len(graph.tensors)} tensors, {len(graph.ops)} operations{boxes}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What a notebook shows: the picture, or without an engine this text. Never raises."""
        bundle = {"text/plain": repr(self)}
        try:
            if engines.find() is None:
                bundle["text/plain"] += f"\nTo see it: {engines.PIP}"
            else:
                svg = self.svg()
                # Some notebooks crop a picture that is wider than the page; this one shrinks.
                bundle["image/svg+xml"] = svg.replace("<svg ", '<svg style="max-width:100%;height:auto" ', 1)
        except Exception as error:
            bundle["text/plain"] += f"\n(not shown: {error})"
        return bundle
