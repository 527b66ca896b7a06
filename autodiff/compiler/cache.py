"""Generated text to native functions, kept on disk between processes (needs numba).

What a text was compiled to lies in a folder of this user alone, in a file named by a hash of all that decides it: the
text, the signatures, the formulas of `elementary`, the versions, the processor. To load it numba itself is not
imported. Where the folder cannot be had, cannot be written or holds something broken, the text is compiled, and nothing
is said.

The folder is ``wengert`` in the user's cache folder (``XDG_CACHE_HOME``, ``LOCALAPPDATA`` or the platform's own). The
environment variable ``WENGERT_CACHE`` names another, or turns the cache off with ``0``, ``off`` or nothing.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import stat
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from autodiff.compiler.machine_code import Code, loaded, numba_folder

LIMIT = 256 * 2**20             # bytes in the folder, above which the entries not used for longest go
KEPT = 64                       # modules whose functions stay in memory
ENDING = ".code"
DECIDING = "elementary.py", "object_code.py"        # files beside this one that decide what a text is compiled to
PRELUDE = "from autodiff.compiler.elementary import *"      # what a text begins with that calls native functions

linking = threading.Lock()


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
        return path if private(path) else None
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


def entry_name(source: str, functions: Mapping[str, str | None], apart: bool) -> str:
    """A name that differs wherever the machine code might."""
    settings = sorted((name, value) for name, value in os.environ.items() if name.startswith("NUMBA_"))
    parts = (source, sorted(functions.items()), apart, *deciding(), np.__version__, sys.version, settings,
             llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())
    return "k" + hashlib.sha256(repr(parts).encode()).hexdigest()[:40]


@lru_cache(1)
def deciding() -> tuple[Any, ...]:
    """The text of what compiles, and its versions."""
    files = [Path(__file__).with_name(name) for name in DECIDING] + [numba_folder() / "_version.py"]
    return *(file.read_text(encoding="utf-8") for file in files), llvm.llvm_version_info


def kept(path: Path) -> list[Code]:
    """What was stored there, marked as used now; an error where there is nothing, or something broken."""
    data = path.read_bytes()
    size = hashlib.sha256().digest_size
    if hashlib.sha256(data[size:]).digest() != data[:size]:
        raise ValueError(f"{path} is not what was written")
    os.utime(path)
    return [Code(*each) for each in marshal.loads(data[size:])]


def store(path: Path, codes: Iterable[Code]) -> None:
    """Have this at `path`, whole or not at all; OSError where that fails."""
    text = marshal.dumps([tuple(code) for code in codes])
    prune(path.parent)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(text).digest() + text)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def prune(folder: Path, limit: int | None = None) -> None:
    """Take out the entries not used for longest, until what is left has three quarters of `limit` (`LIMIT`) bytes."""
    limit = LIMIT if limit is None else limit
    with suppress(OSError):                 # another process prunes too
        sizes = {path: path.stat().st_size
                 for path in sorted(folder.glob(f"k*{ENDING}"), key=lambda path: path.stat().st_mtime_ns)}
        total = sum(sizes.values())
        if total > limit:
            for path, size in sizes.items():
                if total > 0.75 * limit:
                    path.unlink(missing_ok=True)
                    total -= size


def built(source: str, functions: Mapping[str, str | None], *, apart: bool = False) -> dict[str, Callable[..., Any]]:
    r"""Compile generated functions, or load their machine code from an earlier run.

    Parameters
    ----------
    source : str
        The text of a module of plain functions, with its imports (`PRELUDE` for the native functions).
        It must be our own: it is executed.
    functions : mapping of str to str or None
        The functions to compile, with numba's signature (``"void(float32[:, ::1], float32)"``); None for one that only
        the others call. They give nothing, and make no arrays.
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
    name = entry_name(source, functions, apart)
    place = folder()
    with linking:
        if place is not None:
            with suppress(Exception):               # no entry yet, or a broken one
                return loaded(kept(place / f"{name}{ENDING}"))
        codes: list[Code] = import_module("autodiff.compiler.object_code").compiled(      # late: it imports numba
            source, f"<{name}>", functions, apart)
        if place is not None:
            with suppress(OSError):                 # a full disk
                store(place / f"{name}{ENDING}", codes)
        return loaded(codes)


@lru_cache(KEPT)
def remembered(source: str, functions: tuple[tuple[str, str], ...], apart: bool) -> Mapping[str, Callable[..., Any]]:
    """What `built` gives, looked up where this process has built the same lately."""
    return built(source, dict(functions), apart=apart)
