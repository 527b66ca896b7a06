"""Object code made callable without the compiler that made it (needs numba's files, and llvmlite).

To import numba and start it takes half a second and 130 MB; to link what it compiled earlier takes LLVM's linker, the C
functions that its code calls, and Python's exceptions by name.
"""

from __future__ import annotations

import builtins
import ctypes
from collections.abc import Callable, Iterable
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite.binding as llvm

VARIADIC = 0x0001 | 0x0002            # METH_VARARGS | METH_KEYWORDS


class Code(NamedTuple):
    """A compiled function.

    Attributes
    ----------
    name : str
        What it is called.
    text : bytes
        The object file.
    entry : str
        Its symbol for Python: a C function (closure, arguments, keywords) that checks item sizes and gives None.
    environment : str
        The symbol of a pointer that must not be null.
    needs : tuple of str
        The symbols it takes from elsewhere.
    """

    name: str
    text: bytes
    entry: str
    environment: str
    needs: tuple[str, ...]


class Method(ctypes.Structure):
    """A C function as Python describes it (PyMethodDef)."""

    _fields_ = [("name", ctypes.c_char_p), ("call", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p)]


def loaded(codes: Iterable[Code]) -> dict[str, Callable[..., Any]]:
    """The functions of some object code, by name. Each keeps alive what it needs. LLVM trusts what it is given.

    Raises
    ------
    RuntimeError
        If a symbol is unknown.
    """
    codes = list(codes)
    introduce()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target.create_target_machine(jit=True))
    unknown = sorted({symbol for code in codes for symbol in code.needs if not llvm.address_of_symbol(symbol)})
    if unknown:                             # LLVM would end the process
        raise RuntimeError(f"machine code needs what is not there: {', '.join(unknown)}")
    for code in codes:
        engine.add_object_file(llvm.ObjectFileRef.from_data(code.text))
    engine.finalize_object()
    return {code.name: function(code, engine) for code in codes}


def function(code: Code, engine: Any) -> Callable[..., Any]:
    """A linked function, callable."""
    here = engine.get_global_value_address(code.environment)
    ctypes.c_void_p.from_address(here).value = id(engine)
    method = Method(code.name.encode(), engine.get_function_address(code.entry), VARIADIC, None)
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype, make.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
    made: Callable[..., Any] = make(ctypes.addressof(method), (method, engine), None)       # held as its __self__
    return made


@cache
def introduce() -> None:
    """Tell LLVM what numba's code calls by name, as numba itself does when it starts."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    spec = PathFinder.find_spec("numba._helperlib", [str(numba_folder())])
    if spec is None:
        raise ImportError("numba's shared library is not where numba is", name="numba._helperlib")
    helpers: dict[str, int] = module_from_spec(spec).c_helpers      # numba/__init__.py would import all else
    for name, address in helpers.items():
        llvm.add_symbol(f"numba_{name}", address)
    llvm.add_symbol("_Py_NoneStruct", id(None))
    for name, error in vars(builtins).items():
        if isinstance(error, type) and issubclass(error, BaseException):
            llvm.add_symbol(f"PyExc_{name}", id(error))


def numba_folder() -> Path:
    """Where numba is installed; ImportError where it is not."""
    spec = find_spec("numba")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("No module named 'numba'", name="numba")
    return Path(spec.submodule_search_locations[0])
