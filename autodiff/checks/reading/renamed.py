"""One operand of an expression replaced by another, wherever it stands."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from autodiff.checks.reading.expressions import (
    bare,
    constant,
    factors,
    function_of,
    in_formula,
    operand,
    reduction,
    same,
    terms,
    zero,
)


def renamed(a: ast.expr, b: ast.expr) -> tuple[ast.expr, ast.expr] | None:
    """The operand of b, and what stands in a wherever that stood, if that is all; None if it is not."""
    found: dict[tuple[str, str], tuple[ast.expr, ast.expr]] = {}

    def walk(x: ast.AST, y: ast.AST) -> bool:
        if same(x, y):
            return True
        if isinstance(x, ast.Subscript) and isinstance(y, ast.Subscript) and same(x.slice, y.slice):
            return walk(x.value, y.value)
        if isinstance(x, ast.Call) and isinstance(y, ast.Call):
            if function_of(x) != function_of(y) or (isinstance(x.func, ast.Name) and not same(x.func, y.func)):
                return False
        elif isinstance(y, ast.expr) and operand(y) and isinstance(x, ast.expr) and not isinstance(x, ast.Constant) \
                and not constant(y):
            found[ast.unparse(x), ast.unparse(y)] = x, y
            return len(found) == 1
        if type(x) is not type(y) or isinstance(y, ast.Constant | ast.operator | ast.cmpop | ast.unaryop):
            return False
        mine, good = list(ast.iter_child_nodes(x)), list(ast.iter_child_nodes(y))
        return len(mine) == len(good) and all(map(walk, mine, good))

    if not walk(a, b) or len(found) != 1:
        return None
    [(x, y)] = found.values()
    if any(same(n, y) for n in ast.walk(a)) != any(same(n, y) for n in ast.walk(x)) or same(bare(x), bare(y)):
        return None                                                    # not wherever it stood, or only turned
    if operand(x):
        return None if constant(x) else (x, y)
    if isinstance(x, ast.Call) and reduction(x) is None and not zero(x):
        return x, y
    return (x, y) if isinstance(x, ast.BinOp) and isinstance(x.op, ast.Add | ast.Sub) and in_formula(y, b) else None


def of_operands(x: ast.expr, y: ast.expr, b: ast.expr, within: str) -> Iterator[str]:
    """One operand, x, stands wherever y must stand in b."""
    one_off = isinstance(x, ast.Subscript) and isinstance(y, ast.Subscript) and same(x.value, y.value) \
        and any(isinstance(n, ast.Add | ast.Sub) for s in (x, y) for n in ast.walk(s.slice))
    if in_formula(y, b) or within == "f" or (within == "*" and same(y, b)):
        yield "argument of another step" if one_off else "argument"
    elif any(power < 0 and same(f, y) for _, t in terms(b) for power, f in factors(t)):
        yield "divisor"
    else:
        yield "operand of another step" if one_off else "operand"
