"""Generated text to object code, by numba."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

import numba
from numba.core.compiler import Compiler, Flags

from autodiff.compiler.machine_code import Code

# NumPy's rules for division; no fast-math flag: what is not a reduction is NumPy's to the bit; no wrapper for C, and
# nothing that makes arrays. Never parallel: numba's threads and the BLAS's spin against each other.
OPTIONS: dict[str, Any] = dict(nogil=True, error_model="numpy", boundscheck=False, no_cfunc_wrapper=True, _nrt=False)
ELSEWHERE = re.compile(r'^declare [^@]*@"?([^"(]+)"?\(|^@"?([^" ]+)"? = external ', re.MULTILINE)


class Apart(Compiler):
    """Compiles what is called with arrays that share no memory.

    LLVM would look whether they do before each loop, and takes neighbours for overlapping: that loop has no vectors.
    """

    def __init__(self, *arguments: Any) -> None:
        flags = next(x for x in arguments if isinstance(x, Flags))
        flags.noalias = True                # type: ignore[assignment, misc]
        super().__init__(*arguments)        # type: ignore[no-untyped-call]


def compiled(source: str, file: str, functions: Mapping[str, str | None], apart: bool) -> list[Code]:
    """The functions of `source` that have a signature, its lines said to be in `file`; see `cache.built`."""
    namespace: dict[str, Any] = {}
    exec(compile(source, file, "exec"), namespace)
    options = {**OPTIONS, **({"pipeline_class": Apart} if apart else {})}
    codes = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", numba.NumbaWarning)
        for name, signature in sorted(functions.items(), key=lambda item: item[1] is not None):     # called ones first
            made = namespace[name] = numba.njit(signature, **options)(namespace[name])
            if signature is not None:
                codes.append(code_of(name, next(iter(made.overloads.values()))))
    return codes


def code_of(name: str, result: Any) -> Code:
    """What numba made of a function."""
    library, about = result.library, result.fndesc
    (text, _) = library.serialize_using_object_code()[2]
    named = (a or b for a, b in ELSEWHERE.findall(library.get_llvm_str()))
    needs = tuple(sorted(symbol for symbol in named if not symbol.startswith("llvm.")))
    return Code(name, text, about.llvm_cpython_wrapper_name, about.env_name, needs)
