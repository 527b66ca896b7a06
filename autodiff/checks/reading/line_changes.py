"""What was changed between the right expression and the one that was written, in words.

Both are taken apart level by level (terms of a sum, factors of a product, operands, arguments) and what they share is
set aside, until what is left says what happened: a factor is missing, a tensor is another. The words are the keys of
`line_kinds.KINDS`.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Sequence

from autodiff.checks.reading.expressions import (
    LINEAR,
    Signed,
    bare,
    constant,
    derivative,
    factors,
    form,
    function_of,
    in_derivative,
    linear,
    one,
    operand,
    operands_of,
    penalty,
    reduction,
    same,
    sliced,
    strip_factors,
    terms,
    unmatched,
    zero,
)
from autodiff.checks.reading.forms import expanded, plainly
from autodiff.checks.reading.renamed import of_operands, renamed

PRODUCTS = {"outer", "dot", "matmul", "einsum", "tensordot"}


def changes(a: ast.expr, b: ast.expr, within: str = "") -> list[str]:
    """What was changed from b, the right one, to a, each thing once.

    They stand `within` a product of matrices ("@") or of numbers ("*"), or in a function ("f").
    """
    a, b = plainly(a), plainly(b)
    found = list(dict.fromkeys(differences(a, b, within)))
    if found == ["formula"] or len(found) > 1:                         # a parenthesis that closes elsewhere
        for deep in (False, True):
            other = list(dict.fromkeys(of_expanded(a, b, deep)))
            if len(other) == 1 and other != ["formula"]:
                return other
    if set(found) == {"sign", "number"}:
        return ["number"]
    return found


def differences(a: ast.expr, b: ast.expr, within: str = "") -> Iterator[str]:
    """The same, as it is found."""
    if same(a, b):
        return
    if isinstance(a, ast.Dict) and isinstance(b, ast.Dict):
        yield from of_results(a, b)
    elif is_scatter(a) and is_scatter(b):
        yield "place"
    elif isinstance(a, ast.IfExp) and (same(a.body, b) or same(a.orelse, b)):
        yield "nothing" if zero(a.orelse if same(a.body, b) else a.body) else "old value"
    elif isinstance(a, ast.BinOp) and isinstance(a.op, ast.Pow) and same(a.left, b) and not operand(b):
        yield "extra derivative"
    elif same(bare(a), bare(b)):
        yield "transpose" if within == "@" else "layout"
    elif (other := renamed(a, b)) is not None:
        yield from of_operands(*other, b, within)
    elif isinstance(a, ast.Attribute) and isinstance(b, ast.Attribute) and a.attr == b.attr == "T":
        yield from differences(a.value, b.value, within)
    elif word := reduced_or_not(a, b):
        yield word
    elif zero(a):
        yield "path"
    else:
        yield from of_sums(a, b, within)


def of_sums(a: ast.expr, b: ast.expr, within: str) -> Iterator[str]:
    """Two expressions as sums; if they have one term each, as products."""
    mine, good = terms(a), terms(b)
    shared = len(unmatched(mine, good)[0]) < len(mine)
    if (len(mine) > 1 and len(good) > 1) or (len(mine) != len(good) and (
            shared or len(factors(a)) == len(factors(b)) == 1)):
        yield from of_terms(mine, good, within)
        return
    if len(mine) == len(good) == 1:
        if mine[0][0] != good[0][0]:
            yield "argument" if within == "f" else "sign" if within != "*" else "sign in a formula"
        a, b = mine[0][1], good[0][1]
    if same(a, b):
        return
    if word := reduced_or_not(a, b):
        yield word
        return
    mine, good = factors(a), factors(b)
    if len(mine) > 1 or len(good) > 1:
        yield from of_factors(mine, good, within)
    else:
        yield from of_reductions(a, b, within)


def of_results(a: ast.Dict, b: ast.Dict) -> Iterator[str]:
    """Two dicts of results: exchanged values, or values that differ."""
    mine = {ast.unparse(k): v for k, v in zip(a.keys, a.values) if k is not None}
    good = {ast.unparse(k): v for k, v in zip(b.keys, b.values) if k is not None}
    differ = [k for k in good if k in mine and not same(mine[k], good[k])]
    if len(differ) > 1 and sorted(ast.unparse(mine[k]) for k in differ) == sorted(ast.unparse(good[k]) for k in differ):
        yield "exchanged"
        return
    for k in differ:
        yield from changes(mine[k], good[k])


def of_terms(mine: Sequence[Signed], good: Sequence[Signed], within: str) -> Iterator[str]:
    """The terms of two sums."""
    left, missing = unmatched(mine, good)
    formula = within == "*" and any(isinstance(t, ast.Constant) for _, t in (*good, *mine))
    if not left:
        for _, term in missing:
            yield "term of an argument" if within == "f" else "term of a formula" if formula else \
                "centring" if centring(term, good) else "penalty" if penalty(term) else "term"
    elif not missing:
        updated = within and any(penalty(term) or len(factors(term)) > 1 for _, term in left)
        yield "update" if updated else "extra term"
    elif sorted(map(ast.unparse, (t for _, t in left))) == sorted(map(ast.unparse, (t for _, t in missing))):
        polynomial = formula or len(set().union(*(operands_of(t) for _, t in good))) == 1        # 1 - a, a - a²
        yield "sign in a formula" if within == "*" and polynomial and not quotients(left) else "sign"
    elif len(left) == len(missing) == 1:
        if left[0][0] != missing[0][0]:
            yield "sign" if within != "*" else "sign in a formula"
        yield from differences(left[0][1], missing[0][1], within)
    elif exchanged(left, missing):
        yield "exchanged terms"
    elif len(left) == len(missing) and [form(t) for _, t in left] == [form(t) for _, t in missing]:
        yield "operand"
    else:
        words = {word for (s, x), (t, y) in zip(left, missing, strict=False) if s == t
                 for word in differences(x, y, within)}
        yield words.pop() if len(words) == 1 and len(left) == len(missing) else \
            "difference" if difference(mine, good) else "formula"


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
    """Whether a term takes off a mean, or a weighted sum, of another: g - (g * p).sum()."""
    inner = [n for n in ast.walk(term) if isinstance(n, ast.Call) and reduction(n)]
    names = {n.id for call in inner for n in ast.walk(call) if isinstance(n, ast.Name)} - {"np"}
    others = {n.id for _, t in good if not same(t, term) for n in ast.walk(t) if isinstance(n, ast.Name)}
    return bool(names & others)


def of_factors(mine: Sequence[Signed], good: Sequence[Signed], within: str) -> Iterator[str]:
    """The factors of two products."""
    if any(zero(f) for power, f in mine if power > 0):
        yield "path"
        return
    left, missing = ([part for part in found if not one(part[1])] for found in unmatched(mine, good))
    variables = {name for _, f in (*mine, *good) if not constant(f) for name in operands_of(f)}

    def number(f: ast.expr) -> bool:
        return constant(f) and not operands_of(f) & variables

    common = [f for power, f in mine if (power, f) not in left]
    if not left and not missing:
        return                                                         # the same in another order
    if all(number(f) for _, f in (*left, *missing)):
        yield "sign" if len(left) == len(missing) == 1 and negated(left[0][1], missing[0][1]) else \
            "number of an argument" if within == "f" else "number"
    elif not left:
        half = any(in_derivative(f, other) for _, f in missing for other in common)
        again = all((within == "*" or power < 0) and any(same(f, other) for other in common)            # h for h h
                    for power, f in missing)
        yield "power" if again else "half a derivative" if half else "factor of a product" if within == "@" else \
            "factor of an argument" if within == "f" else \
            "total" if all(reduction(f) for _, f in missing) else "derivative"
    elif not missing:
        if not all(derivative(f) for _, f in left):
            yield "extra factor"
        else:
            known = all(any(same(n, f) for _, other in good for n in ast.walk(other)) for _, f in left if operand(f))
            yield "extra derivative" if known or not all(operand(f) for _, f in left) else "extra operand"
    elif len(left) == len(missing) == 1:
        yield from of_two_factors(*left[0], *missing[0], within)
    else:
        alike = [form(f) for _, f in left] == [form(f) for _, f in missing]
        yield "argument" if alike else "formula"


def of_two_factors(power: int, f: ast.expr, wanted: int, g: ast.expr, within: str) -> Iterator[str]:
    """One factor stands in place of another."""
    if power != wanted:
        yield "formula"
    elif constant(f) and (reduction(g) or constant(g)):
        yield "total"
    elif operand(f) and operand(g):
        yield from ["divisor"] if power < 0 and not within else of_operands(f, g, g, "" if within == "*" else within)
    elif complement(f, g) or complement(g, f):
        yield "complement" if operand(f) or operand(g) else "complement of a function"
    else:
        yield from differences(f, g, "" if linear(g) else "*")


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


def of_reductions(a: ast.expr, b: ast.expr, within: str) -> Iterator[str]:
    """Sums over axes: left out, over others, or of something else."""
    mine, good = reduction(a), reduction(b)
    if mine and good and same(mine[1], good[1]):
        yield "axis" if mine[0] == good[0] else "mean for a sum"
    elif mine and good:
        inner = reduction(mine[1])
        if inner and same(inner[1], good[1]):                         # .mean(axis=1).sum(axis=0) for .sum((0, 1))
            yield "mean for a sum" if inner[0] != mine[0] else "axis"
        elif isinstance(mine[1], ast.Subscript) and same(sliced(mine[1]), good[1]):
            yield "reduction"                                         # z[0].sum(0) for z.sum((0, 1))
        else:
            yield from differences(mine[1], good[1], within)
    else:
        yield from of_nodes(a, b, within)


def of_nodes(a: ast.expr, b: ast.expr, within: str) -> Iterator[str]:
    """Two expressions that are neither sums nor products of numbers."""
    match a, b:
        case ast.BinOp(op=ast.MatMult()), ast.BinOp(op=ast.MatMult()):
            if same(bare(a.left), bare(b.right)) and same(bare(a.right), bare(b.left)):
                yield "layout" if within != "@" else "transpose"
            else:
                yield from differences(a.left, b.left, "@")
                yield from differences(a.right, b.right, "@")
        case _, ast.BinOp(op=ast.MatMult()) if any(same(bare(a), bare(x)) for x in (b.left, b.right)):
            yield "derivative"
        case _, ast.Call() if function_of(b) in PRODUCTS and any(same(bare(a), bare(x)) for x in b.args):
            yield "derivative"
        case ast.BinOp(op=ast.Pow()), ast.BinOp(op=ast.Pow()) if same(a.right, b.right):
            root = not isinstance(b.right, ast.Constant) or not isinstance(b.right.value, int)
            yield from differences(a.left, b.left, "f" if within == "f" or root else "*")
        case ast.BinOp(op=ast.Pow(), left=ast.Call() as inner, right=ast.Constant(value=4)), \
                ast.BinOp(op=ast.Pow(), left=other, right=ast.Constant(value=2)) if same(inner, other):
            yield "extra derivative"
        case (ast.BinOp(op=ast.Pow()), _) | (_, ast.BinOp(op=ast.Pow())):
            yield "power"
        case _ if constant(a) and constant(b):
            yield "number in a formula" if within == "f" else "number"
        case ast.Call(), ast.Call() if function_of(a) == function_of(b):
            yield from of_calls(a, b, within)
        case ast.Call(args=[inner]), _ if same(inner, b):
            yield "function too many" if within == "*" else "operand"
        case _, ast.Call(args=[inner]) if same(inner, a):
            yield "function missing" if within in ("*", "f") else "transpose" if within == "@" else "derivative"
        case ast.Call(), ast.Call() if within != "*" and {"reshape", "transpose"} & {function_of(a), function_of(b)}:
            yield "layout of blocks"
        case ast.Call(), ast.Call():
            yield "function" if within in ("*", "f") else "operand"
        case _ if operand(a) and operand(b):
            yield "argument" if within in ("*", "f") else "operand"
        case ast.Compare(), ast.Compare() if same(a.comparators[0], b.comparators[0]) and not same(a.left, b.left):
            yield "argument"
        case ast.Compare(), _ if within != "@":
            yield "formula"
        case (ast.Constant(), _) | (_, ast.Constant()):
            yield "number" if not within else "formula"
        case ast.List() | ast.Tuple(), ast.List() | ast.Tuple() if len(a.elts) > 1 and \
                sorted(map(ast.unparse, a.elts)) == sorted(map(ast.unparse, b.elts)):
            yield "exchanged parts"
        case ast.Subscript(), ast.Subscript() if same(a.slice, b.slice):
            yield from differences(a.value, b.value, within)
        case _ if type(a) is type(b) and not isinstance(a, ast.BinOp | ast.Compare):
            for x, y in zip(ast.iter_child_nodes(a), ast.iter_child_nodes(b)):
                if isinstance(x, ast.expr) and isinstance(y, ast.expr):
                    yield from changes(x, y, within)
        case _:
            yield "operand" if within == "@" else "formula"


def of_calls(a: ast.Call, b: ast.Call, within: str) -> Iterator[str]:
    """Two calls of one function."""
    mine, good = ({k.arg: ast.dump(k.value) for k in call.keywords} for call in (a, b))
    operands = [sorted(map(ast.unparse, call.args[1:])) for call in (a, b)]
    name = function_of(b)
    if name == "einsum" and operands[0] == operands[1]:
        yield of_letters(*(ast.unparse(call.args[0]).strip("'\"") for call in (a, b)))
        return
    if len(a.args) == len(b.args) == 2 and same(a.args[0], b.args[1]) and same(a.args[1], b.args[0]):
        yield "layout"
        return
    if {k: v for k, v in mine.items() if k != "ddof"} != {k: v for k, v in good.items() if k != "ddof"}:
        yield "axis"
    elif mine != good:
        yield "number"                                       # n - 1 for n
    elif name == "reshape" and len(a.args) == len(b.args) and not all(map(same, a.args, b.args)):
        yield "layout of blocks"
        return
    elif isinstance(a.func, ast.Attribute) and isinstance(b.func, ast.Attribute) and not same(a.func, b.func):
        yield from changes(a.func.value, b.func.value, within)
        return
    elif len(a.args) != len(b.args):
        yield "axis"
    inner = "@" if name in PRODUCTS else "f" if name not in LINEAR else within
    for x, y in zip(a.args, b.args):
        yield from differences(x, y, inner)


def of_letters(mine: str, good: str) -> str:
    """Two specifications of one einsum."""
    (ins, _, out), (wanted_ins, _, wanted) = mine.partition("->"), good.partition("->")
    if ins == wanted_ins and sorted(out) == sorted(wanted):
        return "layout"
    turned = [sorted(x) == sorted(y) for x, y in zip(ins.split(","), wanted_ins.split(","), strict=False)]
    return "transpose" if out == wanted and turned and all(turned) else "axis"


def is_scatter(node: ast.expr) -> bool:
    """Whether this is a call of ``np.add.at``."""
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "np.add.at"


def of_expanded(a: ast.expr, b: ast.expr, deep: bool) -> Iterator[str]:
    """The two multiplied out, term by term: in which of them a factor is missing."""
    mine, good = expanded(a, deep), expanded(b, deep)
    left, rest = [], list(good)
    for term in mine:
        if term in rest:
            rest.remove(term)
        else:
            left.append(term)
    if not mine or not good or len(left) > len(rest) or (left and len(left) < len(rest)):
        return
    if not left:
        yield "term"
    for sign, parts in left:
        nearest = max(rest, key=lambda t: (sum((Counter(t[1]) & Counter(parts)).values()), t[0] == sign))
        rest.remove(nearest)
        if nearest[0] != sign:
            yield "sign"
        lost, more = (list((Counter(x) - Counter(y)).elements()) for x, y in
                      ((nearest[1], parts), (parts, nearest[1])))
        if lost and more:
            yield "formula"
        elif lost or more:
            yield from of_factors(as_factors([*more, "common"]), as_factors([*lost, "common"]), "")


def as_factors(texts: Sequence[str]) -> list[Signed]:
    """Factors written as texts, with their exponents."""
    return [(-1 if text.startswith("1/") else 1, ast.parse(text.removeprefix("1/"), mode="eval").body)
            for text in texts]
