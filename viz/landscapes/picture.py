"""A landscape as SVG: bands of the loss from dark to bright, paths over them, the ends with their losses."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from viz.engines import FONTS
from viz.landscapes.contours import BANDS, bands_image, contour, levels_of
from viz.text import shown
from viz.themes import Theme, blend
from viz.values import number

if TYPE_CHECKING:
    from viz.landscapes.landscape import Landscape

SIDE, LEFT, TOP = 440, 46, 16           # of the plane, in pixels
WIDTH = 660
BAR = 14


class Picture:
    """What is known while a landscape is drawn."""

    def __init__(self, landscape: Landscape, theme: Theme) -> None:
        self.landscape, self.theme = landscape, theme
        self.levels = levels_of(landscape.values)
        low, high = theme.forward, blend(theme.background, theme.forward, 0.06)
        n = max(len(self.levels), 0) + 1
        self.colours = [blend(low, high, i / max(n - 1, 1)) for i in range(n)]
        self.span = float(landscape.axis[-1])

    def place(self, a: float, b: float) -> tuple[float, float]:
        """Where a point of the plane is drawn."""
        return LEFT + SIDE * (a / self.span + 1) / 2, TOP + SIDE * (1 - b / self.span) / 2

    def svg(self) -> str:
        """The whole picture."""
        caption = [line for sentence in self.landscape.sentences for line in wrap(sentence, 112)]
        height = TOP + SIDE + 44 + 14 * len(caption)
        theme = self.theme
        title = escape(shown(f"Loss landscape of {self.landscape.title}", 200))
        head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
                f'height="{height}" style="max-width:100%;height:auto" role="img" font-family="{FONTS}" font-size="11">'
                f"<title>{title}</title><desc>{escape(shown(self.landscape.note, 2000))}</desc>"
                f'<rect width="{WIDTH}" height="{height}" fill="{theme.background}"/>')
        below = (self.words(line, 12, TOP + SIDE + 46 + 14 * i, theme.subtle) for i, line in enumerate(caption))
        return "".join([head, *self.ground(), *self.axes(), *self.bar(), *self.paths(), *below, "</svg>\n"])

    def words(self, text: str, x: float, y: float, colour: str, more: str = "") -> str:
        """A line of text."""
        return f'<text x="{x:g}" y="{y:g}" fill="{colour}"{more}>{escape(shown(text, 200))}</text>'

    def ground(self) -> Iterator[str]:
        """The bands, and lines between them."""
        values, theme = self.landscape.values, self.theme
        image = bands_image(values, self.levels, self.colours, blend(theme.background, theme.alarm, 0.55))
        yield (f'<image x="{LEFT}" y="{TOP}" width="{SIDE}" height="{SIDE}" href="{image}" '
               'preserveAspectRatio="none"/>')
        step = SIDE / (len(self.landscape.axis) - 1)
        for level in self.levels:
            line = "".join(f"M{LEFT + x0 * step:.1f} {TOP + SIDE - y0 * step:.1f}"
                           f"L{LEFT + x1 * step:.1f} {TOP + SIDE - y1 * step:.1f}"
                           for x0, y0, x1, y1 in contour(values, float(level)))
            if line:
                yield f'<path d="{line}" fill="none" stroke="{theme.ink}" stroke-opacity="0.35" stroke-width="0.7"/>'
        yield (f'<rect x="{LEFT}" y="{TOP}" width="{SIDE}" height="{SIDE}" fill="none" '
               f'stroke="{theme.border["intermediate"]}"/>')

    def axes(self) -> Iterator[str]:
        """Ends and middle of both axes, and what they are."""
        theme, bottom = self.theme, TOP + SIDE
        for part, anchor in ((-1, "start"), (0, "middle"), (1, "end")):
            x, y = self.place(part * self.span, part * self.span)
            text = number(part * self.span)
            yield self.words(text, x, bottom + 14, theme.subtle, f' text-anchor="{anchor}"')
            yield self.words(text, LEFT - 6, y + (10 if part > 0 else 0 if part < 0 else 4), theme.subtle,
                             ' text-anchor="end"')
        yield self.words("first direction", LEFT + SIDE / 4, bottom + 14, theme.subtle, ' text-anchor="middle"')
        yield self.words("second direction", 14, TOP + SIDE / 4, theme.subtle,
                         f' text-anchor="middle" transform="rotate(-90 14 {TOP + SIDE / 4:g})"')

    def bar(self) -> Iterator[str]:
        """The colours with their losses, and how to read the paths."""
        theme, x = self.theme, LEFT + SIDE + 20
        n, sound = len(self.colours), self.landscape.values[np.isfinite(self.landscape.values)]
        tall = 16 * BANDS
        yield self.words("loss", x, TOP + 10, theme.ink, ' font-weight="bold"')
        top = TOP + 20
        for i, colour in enumerate(self.colours):
            yield (f'<rect x="{x}" y="{top + tall * (n - 1 - i) / n:.1f}" width="{BAR}" height="{tall / n + 0.4:.1f}" '
                   f'fill="{colour}"/>')
        if len(sound):
            edges = [float(sound.min()), *map(float, self.levels), float(sound.max())]
            for i, edge in enumerate(edges if n > 1 else edges[:1]):
                yield self.words(number(edge), x + BAR + 6, top + tall * (1 - i / n) + 4, theme.subtle)
        y = top + tall + 34
        for i, path in enumerate(self.landscape.descents, 1):
            if i > 8:
                yield self.words(f"and {len(self.landscape.descents) - 8} more", x, y, theme.subtle)
                break
            told = f"{number(float(path.losses[0]))} → {number(float(path.losses[-1]))}"
            yield self.words(f"{i}", x, y, theme.backward, ' font-weight="bold"')
            yield self.words(told, x + 16, y, theme.ink)
            y += 17
        if self.landscape.paths:
            yield (f'<circle cx="{x + 4}" cy="{y + 6}" r="4" fill="{theme.background}" stroke="{theme.backward}" '
                   'stroke-width="2"/>')
            yield self.words("start", x + 14, y + 10, theme.subtle)
            yield f'<circle cx="{x + 62}" cy="{y + 6}" r="5" fill="{theme.backward}"/>'
            yield self.words("end", x + 72, y + 10, theme.subtle)
        elif self.landscape.kind != "ends":
            yield f'<circle cx="{x + 4}" cy="{y + 6}" r="4" fill="{theme.backward}"/>'
            yield self.words("the model", x + 14, y + 10, theme.subtle)

    def paths(self) -> Iterator[str]:
        """The paths, from a ring to a dot with the start's number."""
        theme = self.theme
        if not self.landscape.paths:
            x, y = self.place(0, 0)
            yield (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{theme.backward}" stroke="{theme.background}" '
                   'stroke-width="1.5"/>')
        yield f'<clipPath id="landscape-plane"><rect x="{LEFT}" y="{TOP}" width="{SIDE}" height="{SIDE}"/></clipPath>'
        yield '<g clip-path="url(#landscape-plane)">'
        for path in self.landscape.paths:
            places = [self.place(a, b) for a, b in path]
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            for colour, wide in ((theme.background, 4.5), (theme.backward, 2)):
                yield (f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="{wide}" '
                       'stroke-linejoin="round" stroke-linecap="round"/>')
            yield "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.7" fill="{theme.backward}"/>' for x, y in places)
        yield "</g>"
        for i, path in enumerate(self.landscape.paths, 1):
            (x0, y0), (x1, y1) = (self.place(*path[k]) for k in (0, -1))
            yield (f'<circle cx="{x0:.1f}" cy="{y0:.1f}" r="4.5" fill="{theme.background}" stroke="{theme.backward}" '
                   'stroke-width="2"/>')
            yield (f'<circle cx="{x1:.1f}" cy="{y1:.1f}" r="8.5" fill="{theme.backward}" stroke="{theme.background}" '
                   'stroke-width="1.5"/>')
            yield self.words(str(i), x1, y1 + 4, theme.background, ' text-anchor="middle" font-weight="bold"')
