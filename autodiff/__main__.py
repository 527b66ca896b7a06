"""``python -m autodiff check FILE.py``: is the gradient in this file right, or which step was missed.

The file defines ``loss(...)`` and ``gradients(...)`` and, as variables of the same names, what they ask for:

    x, y = np.array(...), np.array(...)
    W = np.array(...)

    def loss(x, y, W): ...
    def gradients(x, y, W): ... return {"W": dW}
"""

from __future__ import annotations

import argparse
import inspect
import json
import runpy
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autodiff.checks.compare import compare
from autodiff.checks.report import DIFFERS, Report
from autodiff.errors import AutodiffError
from autodiff.tensor import Tensor

RIGHT, WRONG, UNUSABLE = 0, 1, 2         # what the command exits with


class UnusableFileError(AutodiffError, ValueError):
    """The file does not hold what is needed to check a gradient."""


def check(path: str, loss: str = "loss", gradients: str = "gradients", dtype: str | None = None,
          resample: int | None = None) -> Report:
    """Compare the gradient that a file defines with that of the loss it defines.

    Parameters
    ----------
    path : str
        A Python file. It is run.
    loss, gradients : str
        What the two functions are called there.
    dtype : str, optional
        Convert its floating-point arrays to this first.
    resample : int, optional
        Compare at so many random points too.

    Raises
    ------
    UnusableFileError
        If a function, or something it asks for, is missing, or the loss is no recorded scalar.
    """
    if not Path(path).is_file():
        raise UnusableFileError(f"there is no file {path}")
    namespace = runpy.run_path(path, run_name="<checked>")
    forward, manual = (function_named(namespace, name, path) for name in (loss, gradients))
    values = {**asked_for(forward, namespace, path), **asked_for(manual, namespace, path)}
    if dtype is not None:
        values = {name: converted(value, dtype) for name, value in values.items()}
    returned = manual(**{name: np.copy(values[name]) if isinstance(values[name], np.ndarray) else values[name]
                         for name in names_of(manual) if name in values})
    if not isinstance(returned, Mapping):
        raise UnusableFileError(f"{gradients}(...) of {path} must return a dict of gradients by name, "
                                f"not {type(returned).__name__}")
    wanted = {key.removeprefix("d") if key.removeprefix("d") in values else key for key in returned
              if isinstance(key, str)}
    leaves = {name: Tensor(value, requires_grad=name in wanted, name=name) if is_number(value) else value
              for name, value in values.items()}
    result = forward(**{name: leaves[name] for name in names_of(forward) if name in leaves})
    if not isinstance(result, Tensor):
        raise UnusableFileError(f"{loss}(...) of {path} gives {type(result).__name__}, not a recorded number: it is "
                                "called with Tensors and must use NumPy's functions and operators on them; float() and "
                                "math.* leave the tape")
    if not result.record.tracked:
        raise UnusableFileError(f"{loss}(...) of {path} does not depend on what {gradients}(...) returns gradients "
                                f"for: {', '.join(sorted(wanted)) or 'nothing'}")
    return compare(result, manual, resample=resample, inputs=values)


def function_named(namespace: Mapping[str, Any], name: str, path: str) -> Callable[..., Any]:
    """A function of the file."""
    found = namespace.get(name)
    if not callable(found):
        raise UnusableFileError(f"{path} defines no function {name}(...)")
    return found                                                                             # type: ignore[no-any-return]


def names_of(function: Callable[..., Any]) -> list[str]:
    """The names of a function's parameters."""
    return [name for name, p in inspect.signature(function).parameters.items()
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]


def asked_for(function: Callable[..., Any], namespace: Mapping[str, Any], path: str) -> dict[str, Any]:
    """What a function asks for, from the file's variables."""
    found = {}
    for name, p in inspect.signature(function).parameters.items():
        if name in namespace:
            found[name] = namespace[name]
        elif p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY):
            called = getattr(function, "__name__", "a function")
            raise UnusableFileError(f"{called}(...) asks for {name!r}, and {path} has no variable of that name")
    return {name: value.data if isinstance(value, Tensor) else value for name, value in found.items()}


def is_number(value: Any) -> bool:
    """Whether a value can stand on a tape."""
    return isinstance(value, np.ndarray | np.generic | float) and np.asarray(value).dtype.kind in "fiub"


def converted(value: Any, dtype: str) -> Any:
    """A floating-point array in another dtype."""
    return value.astype(dtype) if hasattr(value, "dtype") and value.dtype.kind == "f" else value


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m autodiff", description=__doc__.split("\n\n")[0],
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser("check", help="compare a gradient derived by hand with that of the tape",
                              description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    one.add_argument("file", help="a Python file that defines both functions and what they ask for")
    one.add_argument("--loss", default="loss", metavar="NAME", help="the function that computes the loss")
    one.add_argument("--gradients", default="gradients", metavar="NAME", help="the function that returns the gradients")
    one.add_argument("--dtype", choices=["float32", "float64"], help="convert floating-point arrays first")
    one.add_argument("--resample", type=int, metavar="K", help="compare at K random points too")
    one.add_argument("--json", action="store_true", help="print the report as data")
    given = parser.parse_args(arguments)
    try:
        report = check(given.file, given.loss, given.gradients, given.dtype, given.resample)
    except AutodiffError as error:
        print(f"{parser.prog} check: {error}", file=sys.stderr)
        return UNUSABLE
    print(json.dumps(report.to_dict(), indent=2) if given.json else report)
    return WRONG if any(entry.verdict == DIFFERS for entry in report) else RIGHT


if __name__ == "__main__":
    raise SystemExit(main())
