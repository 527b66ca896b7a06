"""`draw`, and the `Drawing` it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodiff import Tape, Tensor
from viz import engines
from viz.build import graph_of
from viz.choice import Wish
from viz.dot import HEAD, TAIL, lines_of
from viz.explorer import Origin, explorer
from viz.frames import moments
from viz.graph import Graph
from viz.look import PARTS, Look
from viz.scalar_dot import scalar_lines
from viz.scalars import scalars_of
from viz.scopes import Cluster
from viz.text import shown
from viz.themes import THEMES
from viz.verdicts import verdicts

if TYPE_CHECKING:
    import graphviz

SUFFIXES = (".svg", ".png", ".pdf", ".dot")      # of a picture; a page ends in .html


def draw(output: Tensor, *, level: str = "op", theme: str = "light", names: Mapping[str, Any] | None = None,
         show: str | Iterable[str] = ("shapes", "values", "gradients"), rankdir: str = "LR",
         fold: bool | Callable[[Cluster], bool] = True, expand: str | Iterable[str] = (), max_nodes: int = 400,
         around: Tensor | str | None = None, radius: int = 2, zoom: tuple[str, Any] | None = None,
         compare: Any = None, label: Callable[[Any], str | None] | None = None,
         colour: Callable[[Any], str | None] | None = None) -> Drawing:
    """Draw the computation graph behind a tensor.

    Every tensor is a card with its name, shape, value and gradient, every operation a disc, every scope
    (a layer) a box. Arrays of up to four entries are shown as numbers, larger ones as a heatmap and a norm.
    Along each edge one lane goes forward, and one back where a gradient flows; both are the wider, the larger it is.
    The gradients are those of `output`, computed for the picture; no `.grad` is read or touched.

    Parameters
    ----------
    output : Tensor
        What to draw: a loss, or any other result. Gradients are drawn if it is a scalar that requires grad. Also what
        `ad.compile` or `nn.train_step` made: its first result, as it was recorded.
    level : {"op", "layer", "scalar"}
        How close to look: at the operations; at the layers (each outermost scope is a card with its sizes,
        parameters and the norm of their gradient); at the single numbers, with the local derivative on each lane back.
    theme : {"light", "dark", "print"}
        The colours; "print" does without.
    names : dict, optional
        Names for tensors and arrays that have none; ``names=locals()`` will do.
    show : iterable of {"shapes", "values", "gradients", "dtype", "bytes", "cost", "source"}
        What is told besides the name; the cost is in multiply-adds, the source is the user's line.
    rankdir : {"LR", "TB"}
        Whether to draw from left to right or from top to bottom.
    fold : bool or callable
        Whether runs of equal layers may become one card, with a bar per layer for the logarithm of its gradient's norm:
        always at level "layer", otherwise if there are more than `max_nodes` nodes, and then all layers if need be.
        Or a function of a layer (with `path`, `kind`, `call`) that says which to fold, at any level but "scalar".
    expand : str or iterable of str
        The paths of layers that stay open, such as "layers.3".
    max_nodes : int
        Of a larger graph, only this many nodes nearest to the output are drawn; the caption and
        `Drawing.note` say how many are hidden.
    around : Tensor or str, optional
        Draw only what lies within `radius` operations of this tensor, forwards and backwards.
    radius : int
        How far that is.
    zoom : tuple of str and int or tuple, optional
        At level "scalar", one neuron: ``("layers.0", 2)`` is unit 2 of that layer's output (of the first sample),
        ``("z1", (0, 2))`` this entry of that result.
    compare : Report, optional
        From `ad.compare`: marks each parameter as right or wrong with the size of the error, and the operation at
        which the mistake was made.
    label, colour : callable, optional
        Called with each node (a `TensorNode`, `OpNode`, `LayerNode` or `ScalarNode` of `viz.graph`): words for its
        card or disc, its colour as "#ffcc00"; None leaves it as it is.

    Returns
    -------
    Drawing
        The picture. A notebook shows it; `save` writes it to a file.

    Raises
    ------
    TypeError
        If `output` is no Tensor.
    ValueError
        If an option has none of the values listed, names nothing in this graph, or there are too many scalars.

    Examples
    --------
    >>> x = np.array([[1.0, 2.0]])
    >>> W = ad.Tensor([[0.5, -0.5]], requires_grad=True)
    >>> with ad.scope("hidden", "Dense"):
    ...     z = x @ W.T
    >>> loss = (z ** 2).mean()
    >>> g = viz.draw(loss, theme="dark")
    >>> g
    <Drawing of loss: 5 tensors, 4 operations, 1 scope>
    >>> print(g.dot[:14])
    digraph tape {
    >>> viz.draw(loss, level="layer"), viz.draw(loss, level="scalar")
    (<Drawing of loss: 2 tensors, 1 layer, 2 operations>, <Drawing of loss: 9 scalars, 1 scope>)
    """
    compiled = getattr(output, "tape", None)
    if isinstance(compiled, Tape):
        output = Tensor.of(compiled.outputs[0])
    if not isinstance(output, Tensor):
        raise TypeError(f"viz.draw takes the Tensor to draw, such as a loss, not {type(output).__name__}")
    one_of("level", level, ("op", "layer", "scalar"))
    one_of("theme", theme, tuple(THEMES))
    one_of("rankdir", rankdir, ("LR", "TB"))
    parts = frozenset([show] if isinstance(show, str) else show)
    for part in sorted(parts):
        one_of("show", part, PARTS)
    if max_nodes < 1 or radius < 0:
        raise ValueError(f"max_nodes must be at least 1 and radius at least 0, not {max_nodes} and {radius}")
    if compare is not None and not hasattr(compare, "entries"):
        raise TypeError(f"compare= takes the report of ad.compare(loss, ...), not {type(compare).__name__}")
    if zoom is not None and (level != "scalar" or len(zoom) != 2):
        raise ValueError("zoom= takes a layer and a unit, zoom=('layers.0', 2), and goes with level='scalar'")
    given = names or {}
    tape = Tape(output, names={name: t for name, t in given.items() if isinstance(t, Tensor)})
    look = Look(THEMES[theme], parts, rankdir, label, colour)
    wish = Wish("op" if level == "scalar" else level, "gradients" in parts, fold,
                (expand,) if isinstance(expand, str) else tuple(expand), max_nodes,
                None if around is None else tape.find(around), radius)
    graph = scalars_of(tape, zoom, given, "gradients" in parts) if level == "scalar" else graph_of(tape, wish, given)
    if compare is not None:
        marks, suspects, said = verdicts(graph, compare)
        look = replace(look, marks=marks, suspects=suspects, said=said)
    return Drawing(graph, look, Origin(tape, wish, given, compare))


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

    def __init__(self, graph: Graph, look: Look, origin: Origin) -> None:
        self.graph = graph
        self._look = look
        self._origin = origin           # it keeps the tape; the graph alone would not
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
        return scalar_lines(self.graph, self._look) if self.graph.scalars else lines_of(self.graph, self._look)

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

    def html(self, path: str | Path | None = None) -> str:
        """The explorer: the picture as one HTML page that needs no network, no library and no dot engine.

        It plays backprop forward and backward, and tells of each node its value, formula, local Jacobian, rule,
        gradient, derivation and line. Layers fold in it; of a picture of scalars it shows the operations. It stays
        under 2 MB: large arrays are summarised, and what is left out is said in it.

        Parameters
        ----------
        path : str or Path, optional
            A file to write it to; an existing one is overwritten.

        Returns
        -------
        str
            The page.

        Raises
        ------
        AutodiffError
            If a value was changed in place since it was drawn.

        Examples
        --------
        >>> W = ad.Tensor([[1.0, -1.0]], requires_grad=True)
        >>> viz.draw(np.tanh(W).sum()).html().startswith("<!doctype html>")
        True
        """
        text = explorer(self._origin, self._look, self.graph)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def save(self, path: str | Path) -> Path:
        """Write the picture to a file, as its suffix says: ``.svg``, ``.png``, ``.pdf``, ``.dot`` or ``.html``.

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
        if suffix not in (*SUFFIXES, ".html"):
            raise ValueError(f"cannot tell from {path.name!r} what to write; "
                             f"end the name in {', '.join(SUFFIXES)}, .html")
        if suffix == ".html":
            self.html(path)
        elif suffix == ".dot":
            path.write_text(self.dot, encoding="utf-8")
        else:
            data = self._render(suffix[1:], path)
            path.write_bytes(engines.with_fonts(data.decode()).encode() if suffix == ".svg" else data)
        return path

    def frames(self, folder: str | Path, format: str = "svg") -> list[Path]:
        """Write the steps of backprop as pictures that lie exactly over each other, for slides.

        First what is given, then a picture per operation forward, then one per operation backward: gradients appear
        when they are known.

        Parameters
        ----------
        folder : str or Path
            Where; it is made if it is not there. The files are called ``frame-000.svg`` and so on.
        format : {"svg", "png", "pdf", "dot"}
            What to write.

        Returns
        -------
        list of Path
            The files, in order.

        Raises
        ------
        ValueError
            For another format.
        RenderError
            If there is no dot engine, or it cannot write this format.

        Examples
        --------
        >>> import tempfile
        >>> W = ad.Tensor([1.0, 2.0], requires_grad=True)
        >>> loss = (W * W).sum()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [path.name for path in viz.draw(loss).frames(folder, "dot")]
        ['frame-000.dot', 'frame-001.dot', 'frame-002.dot', 'frame-003.dot', 'frame-004.dot', 'frame-005.dot']
        """
        one_of("format", format, tuple(suffix[1:] for suffix in SUFFIXES))
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        looks = [replace(self._look, moment=moment) for moment in moments(self.graph)]
        return [Drawing(self.graph, look, self._origin).save(folder / f"frame-{i:03}.{format}")
                for i, look in enumerate(looks)]

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
        layers = len(graph.layers)
        parts = ((len(graph.scalars), "scalar"),) if graph.scalars else (
            (len(graph.tensors), "tensor"), (layers, "layer"), (len(graph.ops) - layers, "operation"))
        told = [f"{n} {word}{'s' if n != 1 else ''}" for n, word in (*parts, (len(graph.clusters), "scope"))
                if n or word in ("tensor", "operation")]
        return f"<Drawing of {shown(graph.title)}: {', '.join(told)}>"

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
