"""Where in the user's code a record was made, and what the user called it.

A record keeps the code object that ran and the index of the instruction it was at: 70 ns. Lines,
columns and names are read from these only when somebody asks.
"""

from __future__ import annotations

import ast
import dis
import linecache
import os
import sys
from bisect import bisect_right
from functools import lru_cache
from types import CodeType, FrameType
from typing import NamedTuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDERS = tuple(os.path.join(ROOT, package, "") for package in ("autodiff", "nn", "viz"))
COMPOSED = os.path.join(ROOT, "autodiff", "ops", "composed.py")       # NumPy functions written in terms of others
STRUCTURED = frozenset(("scan",))                                     # whose arguments have several operands each
MODULES = ("np", "numpy", "ad", "autodiff")                           # np.f(x) has the operand x, t.f(x) has t too


class Site(NamedTuple):
    """A place in a source file; columns count from 0 and are -1 when unknown."""

    file: str
    line: int
    end_line: int
    column: int
    end_column: int

    def __str__(self) -> str:
        return f"{short_path(self.file)}:{self.line}"

    @property
    def text(self) -> str:
        """The source text of the expression, or of the whole line when columns are unknown."""
        lines = [linecache.getline(self.file, n) for n in range(self.line, self.end_line + 1)]
        if not "".join(lines).strip():
            return ""
        if self.column < 0:
            return lines[0].strip()
        encoded = [line.encode() for line in lines]
        encoded[-1] = encoded[-1][:self.end_column]
        encoded[0] = encoded[0][self.column:]
        return " ".join(part.decode(errors="replace").strip() for part in encoded)


def outside(depth: int) -> FrameType:
    """The nearest frame, from `depth` frames above the caller outwards, that is not ours."""
    frame = sys._getframe(depth)
    while frame.f_back is not None and is_ours(frame.f_code):
        frame = frame.f_back
    return frame


def is_ours(code: CodeType) -> bool:
    """Whether this code belongs to the library, so that its lines and variables are not the user's."""
    return code.co_filename.startswith(FOLDERS)


def short_path(file: str) -> str:
    """The file's path as a person would type it here."""
    if file.startswith("<"):
        return file
    if "ipykernel_" in file:                # a notebook keeps each cell in a file of its own
        return "cell"
    try:
        relative = os.path.relpath(file)
    except ValueError:                    # another drive
        return file
    return file if relative.startswith("..") else relative


@lru_cache(maxsize=4096)
def locate(code: CodeType, lasti: int) -> Site:
    """The source position of an instruction."""
    positions = list(code.co_positions())
    line, end, column, end_column = positions[lasti // 2] if lasti >= 0 else (None,) * 4
    line = code.co_firstlineno if line is None else line
    return Site(code.co_filename, line, line if end is None else end,
                -1 if column is None else column, -1 if end_column is None else end_column)


@lru_cache(maxsize=256)
def instructions(code: CodeType) -> tuple[list[dis.Instruction], list[int]]:
    """The instructions of a code object, and their offsets."""
    found = list(dis.get_instructions(code))
    return found, [instruction.offset for instruction in found]


@lru_cache(maxsize=4096)
def assigned_name(code: CodeType, lasti: int, output: int = 0) -> str | None:
    """The name that the result of this instruction is assigned to, if it is.

    ``z = x @ W`` gives "z", ``self.h = f(x)`` gives "h", ``a, b = split(x)`` gives "a" or "b" by
    `output`. Reads the bytecode, so it works in a terminal and a notebook as well.
    """
    if lasti < 0:
        return None
    listing, offsets = instructions(code)
    at = bisect_right(offsets, lasti) - 1          # during a call the index may stand in the instruction's cache
    following = iter(listing[at + 1:at + 4 + output])
    instruction = next(following, None)
    while instruction is not None and instruction.opname in ("COPY", "CACHE", "NOP"):
        instruction = next(following, None)
    if instruction is not None and instruction.opname == "UNPACK_SEQUENCE":
        targets = [name for i in listing[at + 2:] for name in stored(i)]
        return targets[output] if output < len(targets) else None
    if instruction is not None and instruction.opname.startswith("LOAD_"):     # self.h = ...
        instruction = next(following, None)
        if instruction is not None and instruction.opname == "STORE_ATTR":
            return str(instruction.argval)
        return name_in_tuple(locate(code, lasti))                              # x, y = f(), g()
    names = stored(instruction) if instruction is not None else []
    return names[0] if names else name_in_tuple(locate(code, lasti))


def name_in_tuple(site: Site) -> str | None:
    """The name by which ``a, b = f(), g()`` calls the expression at this place, read from the source."""
    line = linecache.getline(site.file, site.line)
    indent = len(line) - len(line.lstrip())
    try:
        statement = ast.parse(line.strip()).body[:1]
    except (SyntaxError, ValueError):
        return None
    match statement:
        case [ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values))]:
            for target, value in zip(targets, values):
                if isinstance(target, ast.Name) and (value.col_offset, value.end_col_offset) == (
                        site.column - indent, site.end_column - indent):
                    return target.id
    return None


def stored(instruction: dis.Instruction) -> list[str]:
    """The variables an instruction stores to (some of CPython's store two)."""
    if not instruction.opname.startswith(("STORE_FAST", "STORE_NAME", "STORE_GLOBAL", "STORE_DEREF")):
        return []
    names = [instruction.argval] if isinstance(instruction.argval, str) else list(instruction.argval)
    stores = instruction.opname.count("STORE_") if instruction.opname.startswith("STORE_FAST") else 1
    return [str(name) for name in names[:stores]]


COMPARISONS = {ast.Lt: "less", ast.LtE: "less_equal", ast.Gt: "greater", ast.GtE: "greater_equal",
               ast.Eq: "equal", ast.NotEq: "not_equal"}


@lru_cache(maxsize=4096)
def operand_texts(code: CodeType, lasti: int, n: int, op: str) -> tuple[str, ...]:
    """How the n operands of an op are written in the source: ``x @ W.T`` gives ("x", "W.T").

    Of a call its first arguments, of ``x.f(a)`` with two operands both x and a; "" where it cannot be
    told, as for a comparison that ran the other way round (``[1, 2] < t`` as ``t > [1, 2]``).
    """
    try:
        node = ast.parse(locate(code, lasti).text, mode="eval").body
    except (SyntaxError, ValueError):
        return ("",) * n
    match node:
        case ast.BinOp(left=left, right=right):
            parts: list[ast.expr] = [left, right]
        case ast.Compare(left=left, ops=[comparison], comparators=[right]) if COMPARISONS.get(type(comparison)) == op:
            parts = [left, right]
        case ast.Call() if op in STRUCTURED:
            parts = []
        case ast.Call(func=function, args=arguments):
            parts = call_operands(function, arguments, n)
        case ast.Subscript(value=part, slice=index):
            parts = [part, *index_arrays(index, n - 1)]
        case ast.UnaryOp(operand=part) | ast.Attribute(value=part):
            parts = [part]
        case _:
            parts = []
    if isinstance(node, ast.BinOp | ast.Compare) and n != 2:
        parts = []
    texts = tuple(ast.unparse(part) for part in parts[:n])
    return texts + ("",) * (n - len(texts))


@lru_cache(maxsize=4096)
def part_texts(code: CodeType, lasti: int, caller: CodeType, at: int, n: int, op: str) -> tuple[str, ...]:
    """How the n operands of an op within a composed function are written where that was called.

    The function's own line says which of its parameters each operand is, the call what the user gave for that; ""
    for what the function computed.
    """
    try:
        call = ast.parse(locate(caller, at).text, mode="eval").body
    except (SyntaxError, ValueError):
        return ("",) * n
    if not isinstance(call, ast.Call) or getattr(call.func, "attr", None) != code.co_name:
        return ("",) * n
    given = dict(zip(code.co_varnames[:code.co_argcount], map(ast.unparse, call.args)))
    given |= {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg}
    return tuple(given.get(text, "") for text in operand_texts(code, lasti, n, op))


def index_arrays(index: ast.expr, n: int) -> list[ast.expr]:
    """Which parts of an index are its n arrays, none if that cannot be told."""
    elements = index.elts if isinstance(index, ast.Tuple) else [index]
    arrays = [element for element in elements if not isinstance(element, ast.Slice) and not is_constant(element)]
    return arrays if len(arrays) == n else []


def call_operands(function: ast.expr, arguments: list[ast.expr], n: int) -> list[ast.expr]:
    """Which parts of a call are its n operands: the arguments but for texts, or x and the arguments of ``x.f(...)``."""
    arguments = [a for a in arguments if not (isinstance(a, ast.Constant) and isinstance(a.value, str))]
    if n > 1 and len(arguments) == 1 and isinstance(arguments[0], ast.List | ast.Tuple) and len(arguments[0].elts) == n:
        return arguments[0].elts                                       # np.stack([a, b])
    owner = [function.value] if isinstance(function, ast.Attribute) else []
    if owner and isinstance(owner[0], ast.Name) and owner[0].id in MODULES:
        return arguments
    setting = not arguments or is_constant(arguments[0])               # x.sum(), x.sum(0)
    if owner and (len(arguments) == n - 1 or (n == 1 and setting)):
        return owner + arguments
    return arguments


def is_constant(node: ast.expr) -> bool:
    """Whether an argument is written out: a number, or a tuple of numbers."""
    if isinstance(node, ast.Tuple | ast.List):
        return all(is_constant(element) for element in node.elts)
    return isinstance(node.operand if isinstance(node, ast.UnaryOp) else node, ast.Constant)
