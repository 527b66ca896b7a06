"""Generated text to native functions, kept on disk between processes (needs numba).

A module's text is written to a folder of this user alone and compiled from there, since numba keeps machine code beside
a source file. Its name is a hash of all that decides the machine code: the text, the signatures, the formulas of
`elementary`, the versions, the processor. Where the folder cannot be had, cannot be written or holds something broken,
the text is compiled in memory and nothing is said.

The folder is ``wengert`` in the user's cache folder (``XDG_CACHE_HOME``, ``LOCALAPPDATA`` or the platform's own). The
environment variable ``WENGERT_CACHE`` names another, or turns the cache off with ``0``, ``off`` or nothing.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import tempfile
import threading
import time
import types
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from numba.core.compiler import Compiler, Flags

from autodiff.compiler import elementary

MACHINE_CODE = "__pycache__"     # where numba puts it, beside the text
LIMIT = 256 * 2**20             # bytes in the folder, above which the entries not used for longest go
# NumPy's rules for division; no fast-math flag: what is not a reduction is NumPy's to the bit; no wrapper for C.
# Never parallel: numba's threads and the BLAS's spin against each other.
OPTIONS: dict[str, Any] = dict(nogil=True, error_model="numpy", boundscheck=False, no_cfunc_wrapper=True)

KEPT = 64                       # modules whose functions stay in memory

loading = threading.Lock()


class Apart(Compiler):
    """Compiles what is called with arrays that share no memory.

    LLVM would look whether they do before each loop, and takes neighbours for overlapping: that loop has no vectors.
    """

    def __init__(self, *arguments: Any) -> None:
        flags = next(x for x in arguments if isinstance(x, Flags))
        flags.noalias = True                # type: ignore[assignment, misc]
        super().__init__(*arguments)        # type: ignore[no-untyped-call]


def folder() -> Path | None:
    """The cache folder, made if absent; None where it is turned off or not safe to load code from.

    Safe means: a real folder of this user's that nobody else may write to.
    """
    chosen = os.environ.get("WENGERT_CACHE")
    if chosen is not None and chosen.strip().lower() in ("", "0", "off"):
        return None
    try:
        path = Path(chosen).expanduser().absolute() if chosen is not None else user_folder() / "wengert"
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not private(path):
            return None
        (path / MACHINE_CODE).mkdir(mode=0o700, exist_ok=True)
        return path if private(path / MACHINE_CODE) else None
    except (OSError, RuntimeError):         # not permitted, no such drive; no home
        return None


def private(path: Path) -> bool:
    """Whether `path` is a real folder that this user owns and may write to, and nobody else may."""
    found = path.lstat()
    others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    owned = not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not others)   # Windows keeps neither there
    return stat.S_ISDIR(found.st_mode) and owned and os.access(path, os.W_OK | os.X_OK)


def user_folder() -> Path:
    """The platform's folder for what may be thrown away."""
    named = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME", "")
    if Path(named).is_absolute():
        return Path(named)
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")


def entry_name(source: str, functions: Mapping[str, str | None], options: Mapping[str, Any]) -> str:
    """A name that differs wherever the machine code might."""
    parts = (source, Path(elementary.__file__).read_text(encoding="utf-8"), repr(sorted(functions.items())),
             repr(sorted(options.items())), numba.__version__, llvm.llvm_version_info, np.__version__, sys.version,
             llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())
    return "k" + hashlib.sha256(repr(parts).encode()).hexdigest()[:40]


def entry(folder: Path, name: str) -> list[Path]:
    """The files of an entry: its text, then its machine code."""
    return [folder / f"{name}.py", *(folder / MACHINE_CODE).glob(f"{name}.*")]


def remove(folder: Path, name: str) -> None:
    """Take an entry out of the folder; what another process has taken already does not matter."""
    for path in entry(folder, name):
        with suppress(OSError):
            path.unlink()


def store(path: Path, source: str) -> None:
    """Have `source` at `path`, whole or not at all, marked as read now; OSError where that fails."""
    text = source.encode()
    if path.exists():
        if path.read_bytes() == text:
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
            return
        remove(path.parent, path.stem)
    prune(path.parent)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def prune(folder: Path, limit: int | None = None) -> None:
    """Take out the entries not used for longest, until what is left has three quarters of `limit` (`LIMIT`) bytes."""
    limit = LIMIT if limit is None else limit
    with suppress(OSError):                 # another process prunes too
        sizes = {path.stem: sum(file.stat().st_size for file in entry(folder, path.stem))
                 for path in sorted(folder.glob("k*.py"), key=lambda path: path.stat().st_atime_ns)}
        total = sum(sizes.values())
        if total > limit:
            for name, size in sizes.items():
                if total > 0.75 * limit:
                    remove(folder, name)
                    total -= size


def compiled(source: str, file: str, functions: Mapping[str, str | None], options: Mapping[str, Any],
             ) -> dict[str, Callable[..., Any]]:
    """The functions of `source`, whose lines are said to be in `file`, as `built` returns them."""
    module = types.ModuleType(Path(file).stem.strip("<>"))
    exec(compile(source, file, "exec"), vars(module))
    made: dict[str, Any] = {}
    with loading, warnings.catch_warnings():
        warnings.simplefilter("ignore", numba.NumbaWarning)
        sys.modules[module.__name__] = module           # machine code read from disk looks for its globals there
        try:
            for name, signature in sorted(functions.items(), key=lambda item: item[1] is not None):
                chosen = options if signature else {**options, "cache": False}
                made[name] = numba.njit(signature, **chosen)(getattr(module, name))
                setattr(module, name, made[name])
        finally:
            del sys.modules[module.__name__]
    # The bare entry point: no look at the arguments' types, which costs as much as a small kernel.
    return {name: next(iter(made[name].overloads.values())).entry_point
            for name, signature in functions.items() if signature is not None}


def built(source: str, functions: Mapping[str, str | None], *, allocating: bool = False,
          apart: bool = False) -> dict[str, Callable[..., Any]]:
    r"""Compile generated functions, or load their machine code from an earlier run.

    Parameters
    ----------
    source : str
        The text of a module of plain functions, with its imports (`elementary.PRELUDE` for the native functions).
        It must be our own: it is executed.
    functions : mapping of str to str or None
        The functions to compile, with numba's signature (``"void(float32[:, ::1], float32)"``); None for one that only
        the others call.
    allocating : bool
        Whether a function makes arrays, reshapes or calls ``np.dot``. Without, an array argument costs 6 ns, not 33.
    apart : bool
        Whether what is written to shares no memory with any other argument: loops need not look then.

    Returns
    -------
    dict of str to callable
        Those with a signature. They release the interpreter lock. A call trusts its arguments: they must have the
        signature's dtypes, dimensions and layout (only the item size is checked), and what is written to must be
        writable, since read-only arrays are not refused.

    Raises
    ------
    numba.core.errors.NumbaError
        Where the text cannot be compiled. Trouble with the folder raises nothing.

    Examples
    --------
    >>> from autodiff.compiler.cache import built
    >>> text = "def double(x):\n    for i in range(x.shape[0]):\n        x[i] *= 2"
    >>> x = np.arange(3.0)
    >>> built(text, {"double": "void(float64[::1])"})["double"](x)
    >>> x
    array([0., 2., 4.])
    """
    options = {**OPTIONS, "_nrt": allocating, **({"pipeline_class": Apart} if apart else {})}
    name = entry_name(source, functions, options)
    place = folder()
    if place is not None:
        path = place / f"{name}.py"
        try:
            store(path, source)
            return compiled(source, str(path), functions, {**options, "cache": True})
        except Exception:                   # a full disk, a broken entry; what is wrong with the text shows again below
            remove(place, name)
    return compiled(source, f"<{name}>", functions, options)


@lru_cache(KEPT)
def remembered(source: str, functions: tuple[tuple[str, str], ...], apart: bool) -> Mapping[str, Callable[..., Any]]:
    """What `built` gives, looked up where this process has built the same lately."""
    return built(source, dict(functions), apart=apart)
