"""``.. public-names:: autodiff``: the reference of what a package exports, generated, so that nothing is forgotten.

``:from:`` takes only what the listed modules (below the package) define; ``:but:`` leaves theirs out.
Docstrings are written to be read in a terminal; `for_sphinx` sees to what means something else to Sphinx.
"""

import importlib
import inspect
import re
from typing import ClassVar

from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.ext.napoleon import NumpyDocstring
from sphinx.util.docutils import SphinxDirective

from autodiff import Op

MARKED = re.compile(r"(``.*?``|`.*?`|\*\w[\w ]*\*)")         # code, and words set apart

class PublicNames(SphinxDirective):
    """Each public name with its docstring, in the order of ``__all__``."""

    required_arguments = 1
    option_spec: ClassVar = {"from": directives.unchanged, "but": directives.unchanged}

    def run(self):
        """The parsed text."""
        package = self.arguments[0]
        module = importlib.import_module(package)
        lines = [f".. py:currentmodule:: {package}", ""]
        for name in names_of(module):
            value = getattr(module, name)
            if not inspect.ismodule(value) and self.asked_for(where_defined(value)):
                lines += [*entry(package, name, value), ""]
        return self.parse_text_to_nodes(StringList(lines, source=f"the public names of {package}"))

    def asked_for(self, place):
        """Whether the options want what is defined in this module."""
        wanted, unwanted = (tuple((self.options.get(key) or "").split()) for key in ("from", "but"))
        return (not wanted or place.startswith(wanted)) and not (unwanted and place.startswith(unwanted))


def names_of(module):
    """What a module exports; without ``__all__``, what of its package it has whose docstring shows its use."""
    package = module.__name__.partition(".")[0]
    return getattr(module, "__all__", None) or [
        name for name, value in vars(module).items()
        if callable(value) and str(getattr(value, "__module__", "")).startswith(package)
        and ">>>" in (value.__doc__ or "")]


def where_defined(value):
    """The module of a function or class, without the package: "ops.stable"."""
    home = value.forward if isinstance(value, Op) else value
    return home.__module__.partition(".")[2]


def entry(package, name, value):
    """The directive that documents one name."""
    if isinstance(value, Op):
        plain = inspect.cleandoc(value.__doc__ or "").splitlines()
        for_sphinx(None, "function", name, value, None, plain)
        doc = str(NumpyDocstring(plain, what="function")).splitlines()
        return [f".. py:function:: {name}{inspect.signature(value.forward)}".replace(": Any", ""), "",
                *(f"   {line}" for line in doc)]
    kind = "exception" if inspect.isclass(value) and issubclass(value, Exception) else \
        "class" if inspect.isclass(value) else "function"
    return [f".. auto{kind}:: {package}.{name}"]


def for_sphinx(app, what, name, value, options, lines):
    """Change a docstring in place: |x| is no substitution, * no emphasis, a property's text no "type: text"."""
    if any("ufunc docs" in line for line in lines):          # NumPy's own docstring, with links into its pages
        lines[:] = ["As NumPy's."]
    example = False
    for i, line in enumerate(lines):
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        if not example:
            lines[i] = "".join(part if MARKED.match(part) else re.sub(r"([|*])", r"\\\1", part)
                               for part in MARKED.split(line))
    if what in ("attribute", "property"):
        lines.insert(0, "")


def setup(app):
    """Sphinx asks for this."""
    app.add_directive("public-names", PublicNames)
    app.connect("autodoc-process-docstring", for_sphinx, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
