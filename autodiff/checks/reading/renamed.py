"""One operand of an expression replaced by another, wherever it stands."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from autodiff.checks.reading.expressions import (
    bare,
    constant,
    factors,
    function_of,
    in_formula,
    operand,
    product_within,
    reduction,
    same,
    terms,
    zero,
)
from autodiff.checks.reading.looks import turned_index

GRADIENT = re.compile(r"(d|g|grads?|delta)_?[a-zA-Z]")          # what gradients are called: dmu, g_mean, dZ1


def renamed(a: ast.expr, b: ast.expr) -> tuple[ast.expr, ast.expr] | None:
    """The operand of b, and what stands in a wherever that stood, if that is all; None if it is not."""
    found: dict[tuple[str, str], tuple[ast.expr, ast.expr]] = {}

    def walk(x: ast.AST, y: ast.AST) -> bool:
        if same(x, y):
            return True
        if isinstance(x, ast.expr) and isinstance(y, ast.expr) and constant(x) and constant(y):
            return False                                               # another number: len(x) for len(y)
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
    if constant(x) or (isinstance(x, ast.Subscript) and same(x.value, y) and "::-1" in ast.unparse(x.slice)):
        return None                                                    # a number, or the same turned round
    if operand(x):
        return x, y
    if isinstance(x, ast.Call) and reduction(x) is None and not zero(x) and function_of(x) not in ("sign", "sqrt"):
        return x, y
    return (x, y) if isinstance(x, ast.BinOp) and isinstance(x.op, ast.Add | ast.Sub) and in_formula(y, b) else None


def of_operands(x: ast.expr, y: ast.expr, b: ast.expr, within: str) -> Iterator[str]:
    """One operand, x, stands wherever y must stand in b."""
    one_off = isinstance(x, ast.Subscript) and isinstance(y, ast.Subscript) and same(x.value, y.value) \
        and any(isinstance(n, ast.Add | ast.Sub) for s in (x, y) for n in ast.walk(s.slice))
    if turned_index(x, y):
        yield "transpose"                                              # W[k, j] for W[j, k]
    elif in_formula(y, b) or within == "f" or (within == "*" and same(y, b)):
        yield "argument" if not one_off else "operand of another step" if added_up(y, b) else "argument of another step"
    elif any(power < 0 and same(f, y) for _, t in terms(b) for power, f in factors(t)):
        yield "divisor"
    elif any(power < 0 and same(f, y) for n in ast.walk(b) if isinstance(n, ast.BinOp) for power, f in factors(n)):
        yield "argument"                                               # y of 1 - x / y
    elif GRADIENT.match(ast.unparse(y)) and product_within(x):
        yield "derivative"                                             # (e @ W.T).reshape(shape) for dz
    elif all(GRADIENT.match(ast.unparse(one)) for one in (x, y)) and not one_off:
        yield "gradient"
    else:
        yield "operand of another step" if one_off else "operand"


def added_up(y: ast.expr, b: ast.expr) -> bool:
    """Whether an operand is one of many terms, not what a function is taken of."""
    return any(len(terms(n)) > 2 and any(same(t, y) for _, t in terms(n)) for n in ast.walk(b)
               if isinstance(n, ast.BinOp))
