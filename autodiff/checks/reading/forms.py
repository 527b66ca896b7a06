"""Ways to write the same expression: one of them, and the terms of it multiplied out."""

from __future__ import annotations

import ast
import copy
from collections.abc import Sequence

from autodiff.checks.reading.expressions import Signed, factors, one, same, terms

OPERATORS = {"add": ast.Add, "subtract": ast.Sub, "multiply": ast.Mult, "divide": ast.Div}
MOST_TERMS = 24            # of a product multiplied out


def expanded(node: ast.expr, deep: bool = False) -> list[tuple[int, list[str]]]:
    """An expression multiplied out: its terms, each with its sign and its factors as texts; [] if they are too many.

    Sums with a number in them, such as 1 - a, are left together unless it goes `deep`.
    """
    found: list[tuple[int, list[str]]] = []
    for sign, term in terms(node):
        products: list[tuple[int, list[str]]] = [(sign, [])]
        for power, f in factors(term):
            inner = terms(f)
            if power > 0 and len(inner) > 1 and (deep or not any(isinstance(t, ast.Constant) for _, t in inner)):
                parts = expanded(f, deep)
            elif power > 0 and len(inner) == 1 and not same(inner[0][1], f):
                parts = [(inner[0][0] * s, p) for s, p in expanded(inner[0][1], deep)]
            else:
                parts = [(1, [] if same(f, ast.Constant(1)) else ["1/" * (power < 0) + ast.unparse(f)])]
            products = [(s * t, [*x, *y]) for s, x in products for t, y in parts]
            if not parts or len(products) > MOST_TERMS:
                return []
        found += [(s, reduced(parts)) for s, parts in products]
    return [(sign, sorted(parts)) for sign, parts in found] if len(found) <= MOST_TERMS else []


def reduced(parts: Sequence[str]) -> list[str]:
    """Factors without those that they are divided by as well: m / m."""
    left = list(parts)
    for part in parts:
        if "1/" + part in left:
            left.remove(part)
            left.remove("1/" + part)
    return left


def as_factors(texts: Sequence[str]) -> list[Signed]:
    """Factors written as texts, with their exponents."""
    return [(-1 if text.startswith("1/") else 1, ast.parse(text.removeprefix("1/"), mode="eval").body)
            for text in texts]


def plainly(node: ast.expr) -> ast.expr:
    """An expression in one of the ways in which it may be written: 1 - a² for (1 + a) (1 - a), b for a + (b - a)."""
    class Plain(ast.NodeTransformer):
        """Rewrites products and sums from the inside."""

        def visit_BinOp(self, n: ast.BinOp) -> ast.expr:
            """A product or a sum."""
            self.generic_visit(n)
            found = factors(n) if isinstance(n.op, ast.Mult) else []
            for power, f in found:
                for other, g in found:
                    if power == other == 1 and (square := of_conjugates(f, g)) is not None:
                        rest = [part for part in found if part[1] is not f and part[1] is not g]
                        return product([*rest, (1, square)])
            if isinstance(n.op, ast.Add | ast.Sub):
                mine = terms(n)
                for sign, t in mine:
                    opposite = next((part for part in mine if part[0] == -sign and same(part[1], t)), None)
                    if opposite is not None and len(mine) == 2:
                        return ast.Constant(0)
                    if opposite is not None and len(mine) == 3:
                        [(left, kept)] = [part for part in mine if part[1] is not t and part is not opposite]
                        return kept if left > 0 else ast.UnaryOp(ast.USub(), kept)
                if any(isinstance(t, ast.Constant) for _, t in mine):
                    n.left, n.right = squared(n.left), squared(n.right)
            return n

        def visit_Call(self, n: ast.Call) -> ast.expr:
            """A function for an operator; a sum whose axes are kept and then taken away."""
            self.generic_visit(n)
            match n:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="np"), attr="matmul" | "dot"), args=[x, y],
                              keywords=[]) | ast.Call(func=ast.Attribute(value=x, attr="dot"), args=[y],
                                                      keywords=[]):
                    return ast.BinOp(x, ast.MatMult(), y)
                case ast.Call(func=ast.Attribute(value=ast.Name(id="np"), attr=name), args=[x, y], keywords=[]) \
                        if name in OPERATORS:
                    return ast.BinOp(x, OPERATORS[name](), y)
                case ast.Call(func=ast.Attribute(value=ast.Name(id="np"), attr="transpose"), args=[x], keywords=[]) \
                        | ast.Call(func=ast.Attribute(value=x, attr="transpose"), args=[], keywords=[]):
                    return ast.Attribute(x, "T")
                case ast.Call(func=ast.Attribute(value=ast.Call(keywords=keywords) as inner, attr="reshape"),
                              args=[ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=1))]) if any(
                        k.arg == "keepdims" for k in keywords):
                    return ast.Call(inner.func, inner.args, [k for k in keywords if k.arg != "keepdims"])
            return n

    written: ast.expr = Plain().visit(copy.deepcopy(node))
    return ast.fix_missing_locations(written)


def of_conjugates(f: ast.expr, g: ast.expr) -> ast.expr | None:
    """1 - a² of 1 + a and 1 - a; None if these are others."""
    match f, g:
        case ast.BinOp(left=one_f, op=ast.Add(), right=a), ast.BinOp(left=one_g, op=ast.Sub(), right=b) \
                if one(one_f) and one(one_g) and same(a, b):
            return ast.BinOp(one_f, ast.Sub(), ast.BinOp(a, ast.Pow(), ast.Constant(2)))
    return None


def squared(node: ast.expr) -> ast.expr:
    """a ** 2 for a * a."""
    match node:
        case ast.BinOp(left=a, op=ast.Mult(), right=b) if same(a, b):
            return ast.BinOp(a, ast.Pow(), ast.Constant(2))
        case ast.Call(func=ast.Attribute(attr="square"), args=[a]):
            return ast.BinOp(a, ast.Pow(), ast.Constant(2))
    return node


def product(found: Sequence[Signed]) -> ast.expr:
    """Factors put together again."""
    made = [f for power, f in found if power > 0]
    whole = made[0] if made else ast.Constant(1)
    for f in made[1:]:
        whole = ast.BinOp(whole, ast.Mult(), f)
    for power, f in found:
        if power < 0:
            whole = ast.BinOp(whole, ast.Div(), f)
    return whole
