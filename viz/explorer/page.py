"""The page of the explorer: one file that needs nothing else, and may load nothing else."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from dataclasses import fields
from hashlib import sha256
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from viz.themes import THEMES, Theme

SCRIPTS = ("grid.js", "panel.js", "page.js")
PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src '$style_hash'; script-src \
'$script_hash'; img-src data:; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<link rel="icon" href="data:,">
<style>$style</style>
</head>
<body>
<header>
<h1>$title</h1><p class="about">$about</p>
<div class="tools">
<label class="search"><span class="aloud">Search by name, operation or role</span>
<input id="search" type="search" placeholder="search" autocomplete="off" spellcheck="false">
<output id="hits"></output></label>
<button id="fold" type="button" hidden>fold layers</button>
<button id="fit" type="button" title="fit the page (0)">fit</button>
<button id="theme" type="button" title="light or dark (t)">theme</button>
</div>
</header>
<main>
<section id="canvas" aria-label="Computation graph. Arrow up and arrow down go from node to node, Enter selects.">
$svg
<p class="keys" aria-hidden="true"><kbd>space</kbd> play <kbd>←</kbd><kbd>→</kbd> step <kbd>↑</kbd><kbd>↓</kbd> nodes \
<kbd>/</kbd> search <kbd>f</kbd> fold <kbd>0</kbd> fit <kbd>t</kbd> theme</p>
</section>
<aside id="panel" aria-label="About what is selected" tabindex="0"></aside>
</main>
<footer>
<div class="buttons">
<button id="first" type="button" aria-label="To the start">|◀</button>
<button id="back" type="button" aria-label="One step back">◀</button>
<button id="play" type="button" aria-pressed="false">▶ play</button>
<button id="next" type="button" aria-label="One step on">▶</button>
<button id="last" type="button" aria-label="To the end">▶|</button>
</div>
<input id="scrub" type="range" min="0" max="$last" value="$last" aria-label="Step of the computation">
<p id="step" role="status" aria-live="polite"></p>
</footer>
<noscript><p>The picture is complete; to play it and to look into it takes JavaScript.</p></noscript>
<script type="application/json" id="data">$data</script>
<script>$script</script>
</body>
</html>
""")


def document(svg: str, data: dict[str, Any]) -> str:
    """The HTML of a picture and what is told of it."""
    style = variables() + asset("page.css")
    script = '"use strict";(() => {\n' + "\n".join(map(asset, SCRIPTS)) + "\n})();\n"
    return PAGE.substitute(
        title=escape(f"{data['title']}.backward()" if len(data["steps"]) and data["steps"][-1]["phase"] == "backward"
                     else data["title"]),
        about=escape(data["about"]), style=style, style_hash=digest(style), script=script, script_hash=digest(script),
        svg=svg, data=embedded(data), last=max(len(data["steps"]) - 1, 0))


def asset(name: str) -> str:
    """A file that lies beside this one."""
    return files("viz.explorer").joinpath(name).read_text(encoding="utf-8")


def digest(text: str) -> str:
    """How the content policy knows a text."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def embedded(data: Any) -> str:
    r"""JSON that nothing in it can end before its end.

    >>> embedded(["<b></script><!--"])
    '["<b><\\/script>\\u003c!--"]'
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return re.sub(r"<(?=!|script)", r"\\u003c", text.replace("</", r"<\/"), flags=re.IGNORECASE)


def variables() -> str:
    """The colours of both themes: the system's choice, or the reader's."""
    light, dark = (declared(THEMES[name]) for name in ("light", "dark"))
    return (f":root{{color-scheme:light;{light}}}\n"
            f"@media (prefers-color-scheme:dark){{:root:not([data-theme=light]){{color-scheme:dark;{dark}}}}}\n"
            f":root[data-theme=dark]{{color-scheme:dark;{dark}}}\n")


def declared(theme: Theme) -> str:
    """A theme as variables."""
    found: list[str] = []
    for f in fields(theme):
        value = getattr(theme, f.name)
        name = f.name.replace("_", "-")
        if isinstance(value, dict):
            found += [f"--{name}-{role}:{colour}" for role, colour in value.items()]
        elif isinstance(value, str):
            found.append(f"--{name}:{value}")
    return ";".join(found)
