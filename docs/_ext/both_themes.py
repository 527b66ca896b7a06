"""Pictures as the pages show them: light and dark, of which the page's theme shows one."""

from copy import copy
from dataclasses import replace

from viz.themes import THEMES


def both_themes(drawing):
    """A drawing in light colours twice, the second time in dark ones; any other as it is."""
    if drawing._look.theme is not THEMES["light"]:
        return drawing.svg()
    return "".join(f'<div class="only-{name}">{in_colours(drawing, name)}</div>' for name in ("light", "dark"))


def in_colours(drawing, theme):
    """The picture in the colours of a theme, as an element of a page."""
    other = copy(drawing)
    other.__dict__.pop("_lines", None)
    other._look = replace(drawing._look, theme=THEMES[theme])
    svg = other.svg()
    return svg[svg.index("<svg"):]
