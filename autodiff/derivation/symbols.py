"""Names as mathematics: W1 is W with subscript 1, yhat is ŷ, delta is δ; whatever else a name is, it stays safe."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Hashable
from typing import Any

from autodiff.derivation.notation import (
    Call,
    Expr,
    Fenced,
    Fraction,
    Number,
    Symbol,
    Transpose,
)
from autodiff.derivation.paper import (
    add,
    minus,
    scaled,
    subtract,
)

GREEK = dict(zip(
    ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
     "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"],
    "αβγδεζηθικλμνξπρστυφχψω", strict=True)) | {"lam": "λ", "eps": "ε", "Gamma": "Γ", "Delta": "Δ",
    "Theta": "Θ", "Lambda": "Λ", "Sigma": "Σ", "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω"}
LAYER = {"weight": "W", "bias": "b"}            # of a layer, by its path: layers.0.weight is W₀
NAME = re.compile(r"(?P<base>[^\W\d_]+?)(?P<accent>_?(?:hat|bar|tilde))?(?P<digits>\d*)(?P<rest>(?:_[^\W_]+)*)")


def symbol_of(name: str, key: Hashable = None) -> Symbol:
    """The symbol for a name.

    A single letter, or the name of a Greek one, takes what follows as subscript; a longer word stays a word.

    >>> symbol_of("W1").base, symbol_of("W1").sub
    ('W', ('1',))
    >>> symbol_of("W_hh").sub, symbol_of("yhat").accent, symbol_of("delta").base
    (('hh',), 'hat', 'δ')
    >>> symbol_of("layers.0.weight").base, symbol_of("layers.0.weight").sub
    ('W', ('0',))
    >>> symbol_of("log_var").base, symbol_of("a<b>$").base
    ('log_var', 'a<b>$')
    """
    path, _, last = name.rpartition(".")
    if path and last in LAYER:
        place = path.removeprefix("layers.")
        return Symbol(LAYER[last], (place,), key=key)
    found = NAME.fullmatch(name)
    if not found:
        return Symbol(name, key=key)
    base = GREEK.get(found["base"], found["base"])
    rest = tuple(GREEK.get(part, part) for part in found["rest"].split("_") if part)
    subscripts = ((found["digits"],) if found["digits"] else ()) + rest
    if len(base) == 1:
        return Symbol(base, subscripts, found["accent"].lstrip("_") if found["accent"] else "", key)
    if found["rest"] and not all(part.isdigit() for part in rest):
        return Symbol(name, key=key)
    return Symbol(base + (found["accent"] or ""), subscripts, key=key)


def raw_source(text: str, look: Callable[[str], Expr | None]) -> Expr | None:
    """What a line says of an operand that plain NumPy computed, such as ``1 - y``, as far as that is simple arithmetic.

    `look` gives the expression for a name; None where the text is anything else.
    """
    try:
        return arithmetic(ast.parse(text, mode="eval").body, look)
    except (SyntaxError, ValueError, RecursionError):
        return None


def arithmetic(node: ast.expr, look: Callable[[str], Expr | None]) -> Expr | None:
    """A node of Python's syntax tree as an expression."""
    match node:
        case ast.Name(id=name):
            return look(name)
        case ast.Constant(value=int() | float() as value):
            return Number(value)
        case ast.Attribute(value=ast.Name(), attr="T"):
            body = arithmetic(node.value, look)
            return Transpose(body) if body else None
        case ast.Call(func=ast.Name(id="len"), args=[ast.Name(id=name)]):
            body = look(name)
            return Call(Symbol("len"), (body,)) if body else None
        case ast.Call(func=ast.Attribute(value=ast.Name(id="np" | "math"), attr="sqrt"), args=[inner]):
            body = arithmetic(inner, look)
            return Fenced("root", body) if body else None
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            body = arithmetic(operand, look)
            return minus(body) if body else None
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Div() as op, right=right):
            a, b = arithmetic(left, look), arithmetic(right, look)
            if a and b:
                return add(a, b) if isinstance(op, ast.Add) else subtract(a, b) if isinstance(op, ast.Sub) \
                    else Fraction(a, b)
        case ast.BinOp(left=ast.Constant() as left, op=ast.Mult(), right=right):
            a, b = arithmetic(left, look), arithmetic(right, look)
            if a and b:
                return scaled(a, b)
    return None


def generated(taken: set[str], letter: str = "u") -> Callable[[], str]:
    """Names u1, u2, ... that are not taken."""
    state = {"n": 0}

    def new() -> str:
        state["n"] += 1
        while f"{letter}{state['n']}" in taken:
            state["n"] += 1
        return f"{letter}{state['n']}"

    return new


def distinct(wishes: list[tuple[Any, str]]) -> dict[Any, str]:
    """A name of its own for each: one that is used again is numbered from 1 (h1, h2, h3), if these are free."""
    uses: dict[str, int] = {}
    for _, name in wishes:
        uses[name] = uses.get(name, 0) + 1
    names: dict[Any, str] = {}
    given = set(uses)
    counts: dict[str, int] = {}
    for key, name in wishes:
        if uses[name] == 1:
            names[key] = name
            continue
        counts[name] = counts.get(name, 0) + 1
        joint = "" if len(name) == 1 or name in GREEK else "_"
        while (numbered := f"{name}{joint}{counts[name]}") in given:
            counts[name] += 1
        given.add(numbered)
        names[key] = numbered
    return names
