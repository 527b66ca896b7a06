"""Expressions taken apart: terms of sums, factors of products, what is a number, what looks like a derivative."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

Signed = tuple[int, ast.expr]                  # a term with its sign, or a factor with its exponent, 1 or -1
SIZES = {*"mnkdNMTDKB", "batch", "batch_size", "count", "size", "width", "length", "steps"}    # what numbers are called
RATES = {"lam", "lambda_", "lr", "alpha", "beta", "scale", "temperature", "l2", "decay"}
NUMBERS = re.compile(r"[A-Z]{3,}\d*|[A-Z]+(_[A-Z]+)+|(n|num)_[a-z]\w*")           # RIDGE, N_OUT, n_out
DERIVATIVE_NAMES = {"where", "cosh", "cos", "sin", "sign", "exp", "heaviside", "sigmoid"}
REDUCTIONS = {"sum", "mean"}
LAYOUTS = {"T", "t", "transpose", "swapaxes"}
LINEAR = {*REDUCTIONS, *LAYOUTS, "reshape", "outer", "dot", "matmul", "einsum", "tensordot", "repeat", "tile", "append",
          "concatenate", "stack", "diag", "copy", "zeros_like", "ones_like", "asarray", "array", "cumsum", "flip"}
OF_NUMBERS = {"sqrt", "range", "float", "int", "eye", "identity", "ones", "zeros", "arange", "full"}
GRADIENT = re.compile(r"(d|g|grad|delta)_?[a-z]")         # what gradients are called: dmu, g_mean


def same(a: ast.AST, b: ast.AST) -> bool:
    """Whether two expressions are written alike."""
    return ast.unparse(a) == ast.unparse(b)


def bare(node: ast.expr) -> ast.expr:
    """An expression without transposes at its outside."""
    while True:
        match node:
            case ast.Attribute(value=value, attr="T"):
                node = value
            case ast.Call(func=ast.Attribute(value=ast.Name(id="np"), attr=name) | ast.Name(id=name),
                          args=[value, *_]) if name in LAYOUTS:
                node = value
            case ast.Call(func=ast.Attribute(value=value, attr=name)) if name in LAYOUTS:
                node = value
            case _:
                return node


def reduction(node: ast.expr) -> tuple[str, ast.expr, tuple[str, ...]] | None:
    """``x.sum(axis=0)`` or ``np.sum(x, axis=0)`` taken apart: which, of what, and how."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="np"), attr=name), args=[value, *rest], keywords=keys) \
                if name in REDUCTIONS:
            pass
        case ast.Call(func=ast.Attribute(value=value, attr=name), args=rest, keywords=keys) if name in REDUCTIONS:
            pass
        case _:
            return None
    return name, value, tuple(ast.unparse(x) for x in (*rest, *(k.value for k in keys)))


def terms(node: ast.expr, sign: int = 1) -> list[Signed]:
    """The terms of a sum with their signs."""
    match node:
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return terms(left, sign) + terms(right, sign)
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return terms(left, sign) + terms(right, -sign)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return terms(operand, -sign)
        case ast.BinOp(left=left, op=ast.Mult() | ast.Div() as op, right=right):
            inner = terms(left)                               # -2 * x / m, whose sign stands with the 2
            if len(inner) == 1 and inner[0][0] < 0:
                return [(-sign, ast.BinOp(inner[0][1], op, right))]
        case ast.Constant(value=int() | float() as value) if value < 0:
            return [(-sign, ast.Constant(-value))]
    return [(sign, node)]


def factors(node: ast.expr, power: int = 1) -> list[Signed]:
    """The factors of a product, with -1 for those it is divided by."""
    match node:
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return factors(left, power) + factors(right, power)
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return factors(left, power) + factors(right, -power)
        case ast.BinOp(left=ast.BinOp(op=ast.Mult()) as left, op=ast.Pow(), right=ast.Constant(value=2)):
            return factors(left, power) * 2
    return [(power, node)]


def strip_factors(node: ast.expr) -> ast.expr:
    """An expression without its constant factors."""
    left = [f for _, f in factors(node) if not constant(f)]
    return left[0] if len(left) == 1 else node


def without_numbers(term: Signed) -> str:
    """The text of a term without its constant factors, also of those in a product of matrices."""
    sign, node = term
    parts = []
    for power, f in factors(node):
        match f:
            case ast.BinOp(left=left, op=ast.MatMult(), right=right):
                parts.append(f"{power} {without_numbers((1, left))} @ {without_numbers((1, right))}")
            case _ if not constant(f):
                parts.append(f"{power} {ast.unparse(f)}")
    return f"{sign} " + " * ".join(sorted(parts))


def unmatched(mine: Sequence[Signed], good: Sequence[Signed]) -> tuple[list[Signed], list[Signed]]:
    """What the first has and the second has not, and the reverse."""
    left, rest = [], list(good)
    for sign, node in mine:
        for other in rest:
            if other[0] == sign and same(other[1], node):
                rest.remove(other)
                break
        else:
            left.append((sign, node))
    return left, rest


def constant(node: ast.AST) -> bool:
    """Whether an expression is a number: a literal, a size, or called like one."""
    match node:
        case ast.Constant():
            return True
        case ast.Name(id=name):
            return name in SIZES or name.lower() in RATES or bool(NUMBERS.fullmatch(name))
        case ast.Call(func=ast.Name(id="len" | "float" | "int")):
            return True
        case ast.Call(func=ast.Attribute(attr="sqrt"), args=[inner]):
            return constant(inner)
        case ast.Attribute(attr="size" | "ndim"):
            return True
        case ast.Subscript(value=ast.Attribute(attr="shape")):
            return True
        case ast.BinOp(left=left, right=right):
            return constant(left) and constant(right)
        case ast.UnaryOp(operand=operand):
            return constant(operand)
    return False


def derivative(node: ast.expr) -> bool:
    """Whether a factor looks like part of a derivative: a, 1 - a, 1 - a², z > 0."""
    match node:
        case ast.BinOp(left=ast.Constant(value=1 | 1.0), op=ast.Sub()) | ast.Compare():
            return True
        case ast.Name() | ast.Subscript():
            return True
        case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)):
            return name in DERIVATIVE_NAMES
    return False


def linear(node: ast.expr) -> bool:
    """Whether a factor is a sum of tensors, and so no derivative: yhat - y."""
    parts = [n for _, n in terms(node)]
    names = [{n.id for n in ast.walk(part) if isinstance(n, ast.Name)} for part in parts]
    apart = sum(map(len, names)) == len(set().union(*names))               # which those of a - a² are not
    return len(parts) > 1 and apart and not any(isinstance(n, ast.Constant) for n in parts)


def in_derivative(factor: ast.expr, other: ast.expr) -> bool:
    """Whether a factor belongs to a derivative of which another is here: a of a * (1 - a)."""
    names = {n.id for n in ast.walk(factor) if isinstance(n, ast.Name)}
    return isinstance(other, ast.BinOp) and isinstance(other.op, ast.Sub | ast.Add) and bool(
        names & {n.id for n in ast.walk(other) if isinstance(n, ast.Name)})


def penalty(node: ast.expr) -> bool:
    """Whether a term looks like that of a penalty: λ W, 2 λ W, W / s."""
    names = [f for _, f in factors(node) if not constant(f)]
    if len(names) != 1 or not isinstance(names[0], ast.Name | ast.Subscript) or len(factors(node)) < 2:
        return False
    return not GRADIENT.match(ast.unparse(names[0]))


def one(node: ast.expr) -> bool:
    """Whether this is the number 1."""
    return isinstance(node, ast.Constant) and node.value == 1


def form(node: ast.expr) -> str:
    """An expression with all names alike."""
    text = ast.dump(node)
    for n in ast.walk(node):
        if isinstance(n, ast.Name):
            text = text.replace(f"id='{n.id}'", "id='_'")
    return text


def zero(node: ast.expr) -> bool:
    """Whether an expression says that there is nothing: 0, zeros, or 0 times something."""
    match node:
        case ast.Constant(value=int() | float() as value):
            return value == 0
        case ast.Call(func=ast.Attribute(attr="zeros" | "zeros_like")):
            return True
        case ast.BinOp(op=ast.Mult(), left=left, right=right):
            return zero(left) or zero(right)
    return False


def operands_of(node: ast.AST) -> set[str]:
    """The variables of an expression."""
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} - {"np"}


def tensors_of(*nodes: ast.AST) -> set[str]:
    """The variables, called like sizes, that are used as tensors are: squared, taken from 1, handed to a function."""
    found: set[str] = set()
    for n in (n for node in nodes for n in ast.walk(node)):
        match n:
            case ast.BinOp(left=ast.Name(id=name), op=ast.Pow()) | ast.Subscript(value=ast.Name(id=name)) \
                    | ast.Attribute(value=ast.Name(id=name)) \
                    | ast.BinOp(left=ast.Constant(value=1), op=ast.Sub(), right=ast.Name(id=name)):
                found.add(name)
            case ast.BinOp(left=left, op=ast.MatMult(), right=right):
                found |= {x.id for x in (left, right) if isinstance(x, ast.Name)}
            case ast.BinOp(left=ast.Name(id=name), op=ast.Mult(), right=ast.Name(id=other)) if name == other:
                found.add(name)
            case ast.Call(args=[ast.Name(id=name)]) if function_of(n) not in {*LINEAR, *OF_NUMBERS}:
                found.add(name)
    return found & SIZES


def outside_sizes(node: ast.expr) -> set[str]:
    """The variables of an expression but for those of which only the size counts: n of n * len(x)."""
    if isinstance(node, ast.Call | ast.Attribute | ast.Subscript) and constant(node):
        return set()
    if isinstance(node, ast.BinOp):
        return outside_sizes(node.left) | outside_sizes(node.right)
    return operands_of(node)


def operand(node: ast.AST) -> bool:
    """Whether this is a variable or a part of one: x, W.T, hs[t]."""
    while isinstance(node, ast.Subscript | ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name)


def sliced(node: ast.expr) -> ast.expr:
    """What an expression is a slice of: x of x[0][:, None]."""
    while isinstance(node, ast.Subscript):
        node = node.value
    return node


def in_formula(x: ast.expr, node: ast.expr) -> bool:
    """Whether an operand stands in a formula of a derivative: a function, a comparison, a power, 1 - a, a (1 - a)."""
    def has(part: ast.AST) -> bool:
        return any(same(n, x) for n in ast.walk(part))

    for n in ast.walk(node):
        if not has(n) or product_within(n):
            continue
        match n:
            case ast.Call(args=[argument]) if function_of(n) not in LINEAR and has(argument):
                return True
            case ast.Compare() | ast.BinOp(op=ast.Pow()):
                return True
            case ast.BinOp(op=ast.Add() | ast.Sub()) if any(isinstance(t, ast.Constant) for _, t in terms(n)):
                if any(all(has(f) for _, f in factors(t)) for _, t in terms(n)):
                    return True
            case ast.BinOp(op=ast.Mult()):
                if sum(map(has, (f for _, f in factors(n)))) > 1:
                    return True
    return False


def product_within(node: ast.AST) -> bool:
    """Whether there is a product of matrices within, so that what stands there is an operand of that."""
    return any(isinstance(n, ast.BinOp) and isinstance(n.op, ast.MatMult) for n in ast.walk(node))


def function_of(node: ast.expr) -> str:
    """The name of what is called, without the module or object it belongs to."""
    return ast.unparse(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else ""
