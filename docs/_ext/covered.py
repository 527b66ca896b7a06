"""What is differentiable and how it is tested, as Markdown, from the declared table in `tests/table.py`.

Each line of the declared table is recorded once, with a NumPy that takes down which of its names are
asked for. What is on the tape says which operations the line tests.
"""

from collections import defaultdict
from types import ModuleType

import numpy as np

import autodiff as ad
from autodiff import numpy_table, protocol

ORACLES = {"a": "autograd", "m": "mygrad"}
COLUMNS = ("name", "operation", "kind", "lines", "compared with", "kinks")


class Asked:
    """A NumPy that takes down its names as they are asked for."""

    def __init__(self, module, path, names):
        self.module, self.path, self.names = module, path, names

    def __getattr__(self, name):
        value = getattr(self.module, name)
        if isinstance(value, ModuleType):
            return Asked(value, f"{self.path}{name}.", self.names)
        self.names.add(called(value) if callable(value) else name)
        return value


def called(function):
    """NumPy's name for a function: "tanh", "linalg.norm"."""
    within = (getattr(function, "__module__", None) or "numpy").removeprefix("numpy").strip(".")
    within = "" if within.startswith(("_", "lib", "core", "ma")) else within
    return f"{within}.{function.__name__}" if within else function.__name__


class Lines:
    """Which lines of the table test what: by NumPy's name, by operation; and the kinks they keep away from."""

    def __init__(self, table, constant):
        self.by_name, self.by_op, self.kinks = defaultdict(set), defaultdict(set), defaultdict(set)
        self.oracles = {case.name: case.oracles for case in table}
        for case in table:
            tensors = [ad.Tensor(x, requires_grad=True) if i in case.wrt else x for i, x in enumerate(case.arrays())]
            self.enter(case.name, case.f, tensors, case.kinks)
        for name, (function, *operands) in constant.items():
            self.enter(name, function, [ad.Tensor(x, requires_grad=x.dtype.kind == "f") for x in operands])

    def enter(self, line, function, tensors, kinks=""):
        """Run one line and note what it used."""
        names = set()
        try:
            results = function(Asked(np, "", names), *tensors)
        except Exception as error:
            error.add_note(f"in the line {line!r} of the declared table")
            raise
        results = results if isinstance(results, tuple | list) else [results]
        ops = [r.op for r in ad.Tape(*[t for t in results if isinstance(t, ad.Tensor)])]
        for name in names:
            self.by_name[name].add(line)
        for op in ops:
            self.by_op[op].add(line)
        for key in (*names, *ops[:1]):              # what a line is about comes first
            self.kinks[key].add(kinks)

    def row(self, shown, op, name=None):
        """A row: an operation, or how it is composed, and the lines that test it."""
        found = self.by_name[name] | self.by_op[op]
        libraries = {ORACLES.get(letter, letter) for line in found for letter in self.oracles.get(line, "")}
        kinks = self.kinks[op] if op else self.kinks[name]
        return (f"`{shown}`", f"`{op.name}`" if op else "", op.kind if op else "composed of others",
                str(len(found) or "none yet"), ", ".join(sorted(libraries)), "; ".join(sorted(kinks - {""})))


def markdown(rows):
    """Rows as a table."""
    return ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS),
            *("| " + " | ".join(cells) + " |" for cells in rows), ""]


def text(table, constant):
    """The page's tables."""
    with np.errstate(all="ignore"):
        lines = Lines(table, constant)

    def rows(entries):
        return [lines.row(f"np.{name}", op, name) for name, op in sorted(entries.items())]

    ufuncs = {called(f): op for f, op in numpy_table.UFUNCS.items()}
    functions = {called(f): op for f, (op, _) in numpy_table.FUNCTIONS.items()}
    functions |= {called(f): None for f in numpy_table.COMPOSED}
    functions.setdefault("clip", protocol.a.clip)
    ours = {name: value for name in ad.__all__ if isinstance(value := getattr(ad, name), ad.Op)}
    reductions = ", ".join(f"`np.{f.__name__}.reduce`" for f in numpy_table.REDUCTIONS)
    methods = ", ".join(f"`.{name}`" for name in sorted(protocol.METHODS) if not name.startswith("_"))
    looking = ", ".join(f"`np.{name}`" for name in sorted(map(called, numpy_table.METADATA)))
    return [
        f"{len(ufuncs)} universal functions, {len(functions)} other functions and {len(ours)} of ours; "
        f"{len(table)} lines with a derivative, {len(constant)} without.", "",
        "## Universal functions", "", *markdown(rows(ufuncs)), f"And the reductions {reductions}.", "",
        "## Other functions of NumPy", "", *markdown(rows(functions)),
        "## Ours", "", *markdown([lines.row(f"ad.{name}", op) for name, op in sorted(ours.items())]),
        "## Methods and operators", "",
        f"Methods of a Tensor: {methods}. Operators: `+ - * / ** @ -t abs(t) t[...] & | ^ ~`, the comparisons, and "
        "their in-place forms.", "",
        "## Names that only look", "",
        "These see shapes and dtypes or merely compare; they answer with plain values, and nothing is recorded: "
        f"{looking}.", ""]
