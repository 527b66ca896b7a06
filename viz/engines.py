"""The dot engines, tried in order: Graphviz's own, then one from pip; each run as a program.

Set the environment variable ``WENGERT_DOT`` to a program's path to use that one and no other.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
import warnings
from pathlib import Path

from autodiff import AutodiffError

PIP = 'pip install "wengert[render]"'
CHOICE = "WENGERT_DOT"
SECONDS = 120
# graphviz-pure has no table of widths beyond ASCII; the cards leave room for that.
KNOWN = re.compile(r"no value for width of non-ASCII character|Falling back to width of space character")
FONTS = "Helvetica, Arial, 'Liberation Sans', sans-serif"     # of equal widths: macOS, Windows, Linux


class RenderError(AutodiffError, RuntimeError):
    """A picture could not be rendered. The message says why, what to do, and where the DOT text is."""


def find() -> str | None:
    """The path of the engine that would be used; None if there is none."""
    if chosen := os.environ.get(CHOICE):
        return chosen
    if dot := shutil.which("dot"):
        return dot
    return shutil.which("graphviz-pure", path=sysconfig.get_path("scripts")) or shutil.which("graphviz-pure")


def name_of(engine: str) -> str:
    """The engine's name, from its path.

    >>> name_of("/usr/bin/dot")
    'dot'
    """
    return Path(engine).stem


def render(source: str, format: str, beside: Path | None = None) -> tuple[bytes, str]:
    """DOT text rendered as "svg", "png" or "pdf", and the name of the engine that did it.

    Parameters
    ----------
    source : str
        The DOT text.
    format : str
        What to make of it.
    beside : Path, optional
        Where the picture was wanted; the DOT text is left there if it cannot be made.

    Raises
    ------
    RenderError
        If there is no engine, or it fails, or cannot write this format.
    """
    engine = find()
    if engine is None:
        raise RenderError("no dot engine was found: neither Graphviz's own program `dot` on the PATH nor "
                          f"`graphviz-pure`, which comes from pip.\n  Install one of them: {PIP}\n"
                          f"  or Graphviz itself (https://graphviz.org/download).\n  {kept(source, beside)}")
    name = name_of(engine)
    if format == "png" and name == "graphviz-pure":     # its own fonts lack these two
        source = source.replace("✓", "√").replace("✗", "×")
    if format == "pdf" and name == "graphviz-pure":
        raise RenderError("graphviz-pure, the engine found here, writes SVG and PNG but no PDF; that takes "
                          "Graphviz's own `dot` on the PATH (https://graphviz.org/download).\n"
                          f"  Or save as .svg, which any browser prints to PDF.\n  {kept(source, beside)}")
    try:
        done = subprocess.run([engine, f"-T{format}"], input=source.encode(), capture_output=True,
                              timeout=SECONDS)
    except OSError as error:
        raise RenderError(f"{engine} could not be run: {error}.\n  {kept(source, beside)}") from None
    except subprocess.TimeoutExpired:
        raise RenderError(f"{name} took more than {SECONDS} s; draw fewer nodes (max_nodes=).\n"
                          f"  {kept(source, beside)}") from None
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode or not done.stdout:
        raise RenderError(f"{name} could not draw this (exit status {done.returncode}): "
                          f"{said or 'it did not say why'}\n  {kept(source, beside)}")
    if unknown := [line for line in said.splitlines() if line.strip() and not KNOWN.search(line)]:
        warnings.warn(f"{name} says: " + "\n".join(unknown), stacklevel=4)
    return done.stdout, name


def kept(source: str, beside: Path | None) -> str:
    """Write the DOT text for the user, and say where."""
    try:
        if beside is not None:
            path = beside.with_suffix(".dot")
            path.write_text(source, encoding="utf-8")
        else:
            handle, made = tempfile.mkstemp(suffix=".dot", prefix="tape-")
            path = Path(made)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(source)
    except OSError as error:
        return f"(The DOT text could not be kept either: {error}. It is in `.dot`.)"
    return f"The DOT text was written to {path}; any Graphviz viewer shows it."


def with_fonts(svg: str) -> str:
    """The SVG with fonts that every system has one of."""
    return svg.replace('font-family="Helvetica,sans-Serif"', f'font-family="{FONTS}"')
