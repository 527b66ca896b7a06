"""What parts of two lines are to each other: the sum of another, one minus another, a mean that is taken off."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from autodiff.checks.reading.expressions import (
    Signed,
    factors,
    function_of,
    one,
    operand,
    operands_of,
    reduction,
    same,
    sliced,
    strip_factors,
    terms,
    zero,
)

JOINED = {"append", "concatenate", "hstack", "vstack", "stack"}


def quotients(found: Sequence[Signed]) -> bool:
    """Whether there is a quotient among terms."""
    return any(power < 0 for _, term in found for power, _ in factors(term))


def difference(mine: Sequence[Signed], good: Sequence[Signed]) -> bool:
    """Whether p - y stands where the derivative of a logarithm must: the two share their variables."""
    return quotients(good) and len(mine) == 2 and all(operand(t) for _, t in mine) and mine[0][0] != mine[1][0] \
        and set().union(*(operands_of(t) for _, t in mine)) == set().union(*(operands_of(t) for _, t in good))


def exchanged(left: Sequence[Signed], missing: Sequence[Signed]) -> bool:
    """Whether terms have the same factors, in another order among them."""
    def parts(found: Sequence[Signed]) -> list[str]:
        return sorted(ast.unparse(part) for _, t in found for _, f in factors(t) for part in (
            (f.left, f.right) if isinstance(f, ast.BinOp) and isinstance(f.op, ast.MatMult) else (f,)))
    return len(left) == len(missing) > 1 and parts(left) == parts(missing)


def centring(term: ast.expr, good: Sequence[Signed]) -> bool:
    """Whether a term takes off a mean, or a weighted sum, of another: g - (g * p).sum(), diag(p) - outer(p, p)."""
    inner = [n for n in ast.walk(term) if isinstance(n, ast.Call) and (reduction(n) or function_of(n) == "outer")]
    names = {n.id for call in inner for n in ast.walk(call) if isinstance(n, ast.Name)} - {"np"}
    others = {n.id for _, t in good if not same(t, term) for n in ast.walk(t) if isinstance(n, ast.Name)}
    return bool(names & others)


def twice(f: ast.expr, others: Sequence[ast.expr]) -> bool:
    """Whether a factor stands among others, with the rest of its derivative: r with r and 1 - r."""
    return any(same(f, other) for other in others) and any(complement(f, other) for other in others)


def pointwise(left: Sequence[Signed], missing: Sequence[Signed], common: Sequence[ast.expr]) -> bool:
    """Whether p (1 - p) stands where p times a difference must: dp p (1 - p) for p (dp - Σ dp p)."""
    return len(missing) == 1 and len(terms(missing[0][1])) == 2 and \
        any(complement(p, f) for p in common for _, f in left)


def totalled(f: ast.expr, others: Sequence[ast.expr]) -> bool:
    """Whether this is the sum of one of some factors: e / e.sum()."""
    total = reduction(f)
    return total is not None and total[0] == "sum" and any(same(total[1], other) for other in others)


def complement(f: ast.expr, g: ast.expr) -> bool:
    """Whether the second is 1 minus the first."""
    return isinstance(g, ast.BinOp) and isinstance(g.op, ast.Sub) and one(g.left) and same(g.right, f)


def negated(f: ast.expr, g: ast.expr) -> bool:
    """Whether two numbers differ in their sign only."""
    (s, x), (t, y) = terms(f)[0], terms(g)[0]
    return s != t and same(x, y)


def reduced_or_not(a: ast.expr, b: ast.expr) -> str | None:
    """One is the sum of the other, or of something to which it is proportional."""
    good, mine = reduction(sliced(b)), reduction(sliced(a))
    if good is not None and mine is None and (same(sliced(a), good[1]) or
                                              same(strip_factors(sliced(a)), strip_factors(good[1]))):
        return "reduction"
    if mine is not None and good is None and (same(mine[1], b) or same(strip_factors(mine[1]), strip_factors(b))):
        return "extra reduction"
    return None


def filled(node: ast.expr) -> ast.expr:
    """What an array is filled with: x of np.full(n, x) and of x * np.ones_like(b)."""
    if function_of(node) == "full" and isinstance(node, ast.Call) and len(node.args) > 1:
        return node.args[1]
    rest = [f for _, f in factors(node) if function_of(f) not in ("ones", "ones_like")]
    return rest[0] if len(rest) == 1 else node


def padded(node: ast.expr) -> bool:
    """Whether zeros are put beside something: np.append(w, 0)."""
    return isinstance(node, ast.Call) and function_of(node) in JOINED and any(
        zero(x) for part in node.args for x in (part.elts if isinstance(part, ast.List | ast.Tuple) else (part,)))


def is_scatter(node: ast.expr) -> bool:
    """Whether this is a call of ``np.add.at``."""
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "np.add.at"


def permuted(mine: Sequence[ast.expr], good: Sequence[ast.expr]) -> bool:
    """Whether expressions are the same in another order."""
    a, b = (list(map(ast.unparse, found)) for found in (mine, good))
    return a != b and sorted(a) == sorted(b)


def of_letters(mine: str, good: str) -> str:
    """Two specifications of one einsum."""
    (ins, _, out), (wanted_ins, _, wanted) = mine.partition("->"), good.partition("->")
    if ins == wanted_ins and sorted(out) == sorted(wanted):
        return "layout"
    turned = [sorted(x) == sorted(y) for x, y in zip(ins.split(","), wanted_ins.split(","), strict=False)]
    return "transpose" if out == wanted and turned and all(turned) else "axis"
