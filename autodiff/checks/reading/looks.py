"""What parts of two lines are to each other: the sum of another, one minus another, a mean that is taken off."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from autodiff.checks.reading.expressions import (
    Signed,
    bare,
    factors,
    form,
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

MEANS = re.compile(r"mu|mean|avg")         # what a mean is called
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
    """Whether this is the sum of one of some factors, of exponentials if it is over all of them: e / e.sum()."""
    found = reduction(f)
    return found is not None and found[0] == "sum" and any(same(found[1], other) for other in others) \
        and (bool(found[2]) or not operand(found[1]) or ast.unparse(found[1]).startswith("e"))


def total(node: ast.expr) -> bool:
    """Whether this is one number of many: s.sum(), np.max(s), len(x)."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="np"), attr="sum" | "mean" | "max" | "min"), args=[_],
                      keywords=[]) | ast.Call(func=ast.Attribute(attr="sum" | "mean" | "max" | "min"), args=[],
                                              keywords=[]) | ast.Call(func=ast.Name(id="len" | "sum")):
            return True
    return False


def off_centre(f: ast.expr, g: ast.expr) -> bool:
    """Whether a variable stands where it less its mean must: x for x - mu."""
    match g:
        case ast.BinOp(left=x, op=ast.Sub(), right=centre):
            return operand(f) and same(x, f) and bool(MEANS.search(ast.unparse(centre)))
    return False


def turned_index(a: ast.expr, b: ast.expr) -> bool:
    """Whether two elements of one array have each other's row and column: W[k, j] and W[j, k]."""
    match a, b:
        case ast.Subscript(value=x, slice=ast.Tuple(elts=mine)), ast.Subscript(value=y, slice=ast.Tuple(elts=good)):
            return same(x, y) and len(good) == 2 and permuted(mine, good) and all(map(operand, good))
    return False


def multiplied(node: ast.expr) -> list[str]:
    """What a product of matrices is made of, however it is written; [] if this is none."""
    match node:
        case ast.BinOp(left=left, op=ast.MatMult(), right=right):
            return sorted(map(called, (left, right)))
        case ast.Call(args=[ast.Constant(value=str()), left, right]) if function_of(node) == "einsum":
            return sorted(map(called, (left, right)))
    return []


def called(node: ast.expr) -> str:
    """The name of a variable, also of one that was put away: Q of cache["Q"]."""
    match bare(node):
        case ast.Subscript(slice=ast.Constant(value=str() as name)):
            return name
    return ast.unparse(bare(node))


def crossed(a: ast.expr, b: ast.expr) -> bool:
    """Whether two variables stand in each other's place, wherever they stand but in an index."""
    if form(a) != form(b):
        return False
    pairs = set(zip(variables_in(a), variables_in(b), strict=True))
    turned = {(x, y) for x, y in pairs if x != y}
    return len(turned) == 2 and {(y, x) for x, y in turned} == turned and len({x for x, _ in pairs}) == len(pairs)


def variables_in(node: ast.AST) -> list[str]:
    """The variables of an expression in their order, without those in an index."""
    if isinstance(node, ast.Name):
        return [node.id]
    inner = [node.value] if isinstance(node, ast.Subscript) else ast.iter_child_nodes(node)
    return [name for child in inner for name in variables_in(child)]


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
