"""The pages run: their code cells, in order, without a kernel; and what Sphinx would miss is not missing."""

import ast
import contextlib
import importlib.util
import inspect
import io
import linecache
import re
from pathlib import Path

import numpy as np
import pytest

import autodiff as ad
from tests.table import CONSTANT, TABLE

DOCS = Path(__file__).parents[1] / "docs"
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TAGS = re.compile(r"\A:tags: \[(.*)\]\n")
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
EXECUTED = [path for path in PAGES if CELL.search(path.read_text())]


def cells(page):
    """The tags, source and first line of each code cell."""
    text = page.read_text()
    for match in CELL.finditer(text):
        tags = TAGS.match(match[1])
        source = match[1][tags.end():] if tags else match[1]
        start = match.end() - len("```") - len(source)
        yield (tags[1] if tags else ""), source, text.count("\n", 0, start) + 1


def run(source, name, line, namespace):
    """Run a cell as a notebook does: its lines can be looked up, and an expression at its end is shown."""
    source = "\n" * (line - 1) + source
    linecache.cache[name] = len(source), None, source.splitlines(keepends=True), name
    tree = ast.parse(source, name)
    shown = tree.body.pop().value if isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(tree, name, "exec"), namespace)
        if shown is not None:
            repr(eval(compile(ast.Expression(shown), name, "eval"), namespace))


@pytest.mark.parametrize("page", EXECUTED, ids=lambda page: page.stem)
def test_the_cells_of_a_page_run(page):
    namespace = {"__name__": "__main__"}
    with np.printoptions():
        for i, (tags, source, line) in enumerate(cells(page), start=1):
            expected = pytest.raises(ad.AutodiffError) if "raises-exception" in tags else contextlib.nullcontext()
            with expected:
                run(source, f"{page.name}, cell {i}", line, namespace)


def test_most_pages_are_executed_and_every_page_is_in_the_index():
    assert len(EXECUTED) >= 7
    index = (DOCS / "index.md").read_text()
    listed = re.findall(r"^(?:api/)?[a-z-]+$", index, re.MULTILINE)
    assert sorted(listed) == sorted(str(p.relative_to(DOCS).with_suffix("")) for p in PAGES if p.stem != "index")


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+\.md)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_what_performance_quotes_is_in_the_readme():
    text, readme = (DOCS / "performance.md").read_text(), (DOCS.parent / "README.md").read_text()
    for heading in re.findall(r'^:(?:start-after|end-before): "(.*)"$', text, re.MULTILINE):
        assert heading in readme


def public_names():
    for name in ("autodiff", "nn", "viz"):
        package = importlib.import_module(name)
        for public in package.__all__:
            value = getattr(package, public)
            if not inspect.ismodule(value):
                yield name, public, getattr(value, "forward", value).__module__.partition(".")[2]


@pytest.mark.parametrize("name", ["autodiff", "nn", "viz"])
def test_the_reference_has_every_public_name_once(name):
    """By what the directives of its page ask for."""
    page = (DOCS / "api" / f"{name}.md").read_text()
    parts = [dict(re.findall(r":(\w+): (.*)", options))
             for options in re.findall(rf"^\.\. public-names:: {name}\n((?:   :.*\n)*)", page, re.MULTILINE)]
    for package, public, place in public_names():
        if package == name:
            found = [part for part in parts if place.startswith(tuple(part.get("from", "").split()) or "")
                     and not ("but" in part and place.startswith(tuple(part["but"].split())))]
            assert len(found) == 1, f"{name}.{public}, defined in {place}, is in {len(found)} parts of the reference"


def test_the_coverage_page_has_every_name_with_a_line():
    spec = importlib.util.spec_from_file_location("covered", DOCS / "_ext" / "covered.py")
    covered = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(covered)
    text = "\n".join(covered.text(TABLE, CONSTANT))
    assert "| `np.tanh` | `tanh` | elementwise | " in text
    assert "| `ad.relu` | `relu` | elementwise | " in text
