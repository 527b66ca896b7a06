"""Pictures as the pages show them: light and dark, of which the page's theme shows one."""

from copy import copy
from dataclasses import replace

from viz.themes import THEMES


def both_themes(drawing):
    """A drawing in light colours twice, the second time in dark ones; any other as it is."""
    if drawing._look.theme is not THEMES["light"]:
        return drawing.svg()
    return twice(lambda theme: in_colours(drawing, theme))


def landscape_in_both(seen):
    """The same of a landscape."""
    return seen.svg() if seen.theme != "light" else twice(seen.svg)


def twice(picture):
    """What the page's theme chooses from: a picture's SVG in the colours of each, as elements of the page."""
    found = {name: picture(name) for name in ("light", "dark")}
    return "".join(f'<div class="only-{name}">{svg[svg.index("<svg"):]}</div>' for name, svg in found.items())


def in_colours(drawing, theme):
    """The picture in the colours of a theme."""
    other = copy(drawing)
    other.__dict__.pop("_lines", None)
    other._look = replace(drawing._look, theme=THEMES[theme])
    return other.svg()
