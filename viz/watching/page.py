"""The page of a `Watch`: the layers in two widths, the losses, and the film's numbers, in one file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from math import isfinite
from typing import TYPE_CHECKING, Any

from viz.explorer.page import digest, embedded, variables
from viz.text import shown
from viz.values import number
from viz.watching.chart import chart
from viz.watching.flow import CARD, Flow, Place, flow_of
from viz.watching.looking import Unit

if TYPE_CHECKING:
    from viz.watching.watch import Watch

SIZES = (("wide", 900), ("narrow", 330))        # pixels of the picture beside the losses, and on a phone
MOST_UNITS = 160
SPARK = 20                      # how tall a curve within a card is
KINDS = ("gradient", "output", "arriving")


def page(watch: Watch) -> str:
    """The page as text."""
    units, hidden = drawn(watch.units)
    style = variables() + resource("page.css")
    script = resource("page.js")
    title = text(f"Training of {watch.title}")
    policy = (f"default-src 'none'; style-src '{digest(style)}'; script-src '{digest(script)}'; base-uri 'none'; "
              "form-action 'none'")
    pictures = "".join(picture(units, flow_of(units, room), name) for name, room in SIZES)
    last = len(watch.epochs) - 1
    body = f"""<header><h1>{title}</h1><p class="quiet">{text(summary(watch))}</p>
<button id="theme" type="button" title="light or dark (t)">Light / dark</button></header>
<main><section class="layers" aria-label="layers">
<h2>What comes out of each layer, and the gradient that reaches it</h2>
{pictures}</section>
<section class="losses" aria-label="loss"><h2>Loss</h2>
{chart(watch)}</section>
<section class="words"><p class="quiet note">{text(' '.join([*hidden, *how_to_read(units, watch)]))}</p>
<details><summary>The numbers of this epoch as a table</summary>{table(units, watch)}</details></section></main>
<footer><div class="controls"><button id="back" type="button" aria-label="one epoch back">◀</button>
<button id="play" type="button" aria-pressed="false">Play</button>
<button id="next" type="button" aria-label="one epoch forward">▶</button>
<input id="slider" type="range" min="0" max="{last}" value="{last}" step="1" aria-label="epoch"/>
<output id="said" role="status" aria-live="polite" for="slider"></output></div></footer>
<script id="data" type="application/json">{data(units, watch)}</script>
<script>{script}</script>"""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"/>
<meta http-equiv="Content-Security-Policy" content="{policy}"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>{title}</title>
<style>{style}</style></head>
<body>
{body}
</body></html>
"""


def resource(name: str) -> str:
    """A file that lies beside this one."""
    return files("viz.watching").joinpath(name).read_text(encoding="utf-8")


def text(words: str, longest: int = 2000) -> str:
    """Text within an element or an attribute."""
    return escape(shown(words, longest))


# ---- what is said

def summary(watch: Watch) -> str:
    """The line beside the title."""
    n, learned = len(watch.x), sum(unit.learned for unit in watch.units)
    return (f"epochs {watch.epochs[0]} to {watch.epochs[-1]}, looked at on {n:,} sample{'s' if n > 1 else ''}, "
            f"{learned:,} parameters")


def how_to_read(units: Sequence[Unit], watch: Watch) -> list[str]:
    """How the picture is read, and what it leaves out."""
    found = ["Gradient: the norm of ∂loss/∂parameters, or in a layer without parameters of ∂loss/∂output. Output: the "
             "root mean square of what comes out. Curves run over the epochs, on a logarithmic scale that is the same "
             f"for all layers: gradients {extent(units, ('gradient', 'arriving'), watch)}, outputs "
             f"{extent(units, ('output',), watch)}. A lane back is the wider, the larger the gradient that arrives."]
    if watch.every > 1:
        found.append(f"Of the epochs, one in {watch.every:,} is kept, and the last.")
    return found


def extent(units: Sequence[Unit], kinds: tuple[str, ...], watch: Watch) -> str:
    """From where to where a scale goes."""
    sizes = [v for unit in units for kind in kinds for v in series(unit, kind, watch) if isinstance(v, float) and v > 0]
    return f"{number(min(sizes))} … {number(max(sizes))}" if sizes else "all 0"


def drawn(units: Sequence[Unit]) -> tuple[list[Unit], list[str]]:
    """The units that are drawn; of very many only those that learn, and of these the first and the last."""
    chosen, said = list(units), []
    if len(chosen) > MOST_UNITS:
        chosen = [unit for unit in chosen if unit.learned] or chosen
    if len(chosen) > MOST_UNITS:
        chosen = chosen[:MOST_UNITS // 2] + chosen[-MOST_UNITS // 2:]
    if len(chosen) < len(units):
        said.append(f"{len(units) - len(chosen):,} of {len(units):,} layers and operations are not shown.")
    return chosen, said


def series(unit: Unit, kind: str, watch: Watch) -> list[Any]:
    """One of a unit's numbers over the looks; None where it was not there."""
    seen = (look.numbers.get(unit.id) for look in watch.looks)
    return [None if numbers is None else plain(getattr(numbers, kind)) for numbers in seen]


def plain(v: float | None) -> Any:
    """A number as JSON has it: four digits, and words for what is none."""
    return v if v is None else float(f"{v:.4g}") if isfinite(v) else number(v)


def data(units: Sequence[Unit], watch: Watch) -> str:
    """The film as JSON that can stand in a script element."""
    film = {"epochs": watch.epochs, "loss": [plain(look.loss) for look in watch.looks],
            "units": [{"name": shown(unit.name, 60), **{kind: series(unit, kind, watch) for kind in KINDS}}
                      for unit in units]}
    return embedded(film)


def table(units: Sequence[Unit], watch: Watch) -> str:
    """The numbers of an epoch, for those who do not see the picture; the last epoch's until the script runs."""
    rows = []
    for i, unit in enumerate(units):
        cells = "".join(f'<td class="n" data-unit="{i}" data-of="{kind}">{told(series(unit, kind, watch)[-1])}</td>'
                        for kind in KINDS)
        rows.append(f"<tr><td>{text(unit.name, 60)}</td><td>{text(unit.kind, 60)}</td>{cells}</tr>")
    head = "".join(f'<th scope="col"{more}>{name}</th>' for name, more in (
        ("layer", ""), ("", ""), ("gradient of parameters", ' class="n"'), ("output", ' class="n"'),
        ("gradient of output", ' class="n"')))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def told(v: Any) -> str:
    """A number of the film as the page writes it."""
    return "–" if v is None else v if isinstance(v, str) else number(v)


# ---- the picture

def picture(units: Sequence[Unit], flow: Flow, name: str) -> str:
    """The layers as SVG; the script fills in the numbers."""
    at = {unit.id: i for i, unit in enumerate(units)}
    names = {unit.id: unit.name for unit in units}
    parts = [lane(flow.places[a], flow.places[b], at[a]) for a, b in flow.lanes]
    for i, unit in enumerate(units):
        parts.extend(unit_parts(i, unit, flow.places[unit.id]))
        others = [names[source] for source in flow.named[unit.id] if source in names] + list(unit.given)
        if others:
            place = flow.places[unit.id]
            parts.append(f'<text class="small quiet" x="{place.x:g}" y="{place.y - 4:g}">'
                         f"← {text(', '.join(others), 34)}</text>")
    what = text(f"The layers of the model, in the order they run: {', '.join(unit.name for unit in units)}", 600)
    return (f'<svg class="{name}" viewBox="0 0 {flow.width:g} {flow.height:g}" width="{flow.width:g}" '
            f'height="{flow.height:g}" role="img" aria-label="{what}">{"".join(parts)}</svg>')


def unit_parts(i: int, unit: Unit, place: Place) -> Iterator[str]:
    """A layer's card, or an operation's."""
    x, y, wide = place.x, place.y, place.width
    learns = " learns" if unit.learned else ""
    yield (f'<g><title>{text(f"{unit.name} {unit.kind}")}</title><rect class="card{learns}" x="{x:g}" y="{y:g}" '
           f'width="{wide:g}" height="{place.height:g}" rx="9"/></g>')
    if not unit.is_layer:
        middle = x + wide / 2
        yield f'<text class="name" text-anchor="middle" x="{middle:g}" y="{y + 20:g}">{text(unit.name, 20)}</text>'
        for row, kind, side in ((38, "output", "forward"), (53, "arriving", "backward")):
            yield (f'<text class="small {side}" text-anchor="middle" x="{middle:g}" y="{y + row:g}" data-unit="{i}" '
                   f'data-of="{kind}">–</text>')
        return
    facts = [unit.kind, unit.sizes, f"{unit.learned:,} learned" if unit.learned else ""]
    yield f'<text class="name" x="{x + 10:g}" y="{y + 19:g}">{text(unit.name, 21)}</text>'
    yield f'<text class="small quiet" x="{x + 10:g}" y="{y + 33:g}">{text(" · ".join(filter(None, facts)), 36)}</text>'
    kind = "gradient" if unit.learned else "arriving"
    for top, of, side, word in ((40, kind, "backward", "gradient" if unit.learned else "gradient of output"),
                                (78, "output", "forward", "output")):
        yield (f'<g><text class="small {side}" x="{x + 10:g}" y="{y + top + 10:g}">{word}</text>'
               f'<text class="number {side}" x="{x + CARD - 10:g}" y="{y + top + 10:g}">–</text>'
               f'<rect class="rail" x="{x + 10:g}" y="{y + top + 13:g}" width="{CARD - 20}" height="{SPARK}" rx="3"/>'
               f'<g class="spark" transform="translate({x + 12:g} {y + top + 15:g})" data-unit="{i}" data-of="{of}" '
               f'data-side="{side}" data-width="{CARD - 24}" data-height="{SPARK - 4}">'
               f'<path class="curve {side}" d="M0 0"/><circle class="dot {side}" r="0"/></g></g>')


def lane(a: Place, b: Place, source: int) -> str:
    """The lanes between two units: a value goes there, a gradient comes back."""
    if a.line == b.line:
        x0, x1, y = a.x + a.width, b.x, a.y + a.height / 2
        ways = ((f"M{x0 + 3:g} {y - 4:g}H{x1 - 8:g}", f"M{x1 - 8:g} {y - 8:g}l7 4l-7 4z"),
                (f"M{x1 - 3:g} {y + 6:g}H{x0 + 8:g}", f"M{x0 + 8:g} {y + 1.5:g}l-7 4.5l7 4.5z"))
    else:
        x0, y0, x1, y1 = a.x + a.width / 2, a.y + a.height, b.x + b.width / 2, b.y
        middle = y1 - 18 - (0 if b.height > 100 else (118 - b.height) / 2)
        ways = ((f"M{x0 - 5:g} {y0 + 2:g}V{middle - 4:g}H{x1 - 5:g}V{y1 - 8:g}", f"M{x1 - 9:g} {y1 - 8:g}l4 7l4 -7z"),
                (f"M{x1 + 5:g} {y1 - 2:g}V{middle + 4:g}H{x0 + 5:g}V{y0 + 8:g}",
                 f"M{x0 + 0.5:g} {y0 + 8:g}l4.5 -7l4.5 7z"))
    (forward, tip), (backward, back_tip) = ways
    return (f'<path class="lane forward" stroke-width="2" d="{forward}"/><path class="tip forward" d="{tip}"/>'
            f'<path class="lane backward" stroke-width="2" data-lane="{source}" d="{backward}"/>'
            f'<path class="tip backward" d="{back_tip}"/>')
