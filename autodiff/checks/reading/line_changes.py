"""What was changed between the right expression and the one that was written, in words.

Both are taken apart level by level (terms of a sum, factors of a product, operands, arguments) and what they share is
set aside, until what is left says what happened: a factor is missing, a tensor is another. The words are the keys of
`line_kinds.KINDS`.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Sequence

from autodiff.checks.reading.at_once import of_functions, of_wholes
from autodiff.checks.reading.expressions import (
    GRADIENT,
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
    outside_sizes,
    penalty,
    product_within,
    reduction,
    same,
    sliced,
    terms,
    unmatched,
    without_numbers,
    zero,
)
from autodiff.checks.reading.forms import as_factors, expanded, plainly
from autodiff.checks.reading.looks import (
    centring,
    complement,
    crossed,
    difference,
    exchanged,
    filled,
    negated,
    of_letters,
    off_centre,
    permuted,
    pointwise,
    quotients,
    reduced_or_not,
    total,
    totalled,
    twice,
)
from autodiff.checks.reading.renamed import of_operands, renamed

PRODUCTS = {"outer", "dot", "matmul", "einsum", "tensordot"}
VAGUE = {"argument", "operand", "formula", "gradient"}
TOGETHER = {frozenset({"sign", "number"}): ["number"], frozenset({"axis", "exchanged parts"}): ["axis"]}


def changes(a: ast.expr, b: ast.expr, within: str = "") -> list[str]:
    """What was changed from b, the right one, to a, each thing once.

    They stand `within` a product of matrices ("@") or of numbers ("*"), or in a function ("f").
    """
    a, b = plainly(a), plainly(b)
    found = list(dict.fromkeys(differences(a, b, within)))
    if set(found) <= VAGUE and crossed(a, b):
        return ["exchanged terms"]
    if found == ["formula"] or len(found) > 1:                         # a parenthesis that closes elsewhere
        for deep in (False, True):
            other = list(dict.fromkeys(of_expanded(a, b, deep)))
            if len(other) == 1 and other != ["formula"]:
                return other
    return TOGETHER.get(frozenset(found), found)


def differences(a: ast.expr, b: ast.expr, within: str = "") -> Iterator[str]:
    """The same, as it is found."""
    if same(a, b):
        return
    if isinstance(a, ast.Dict) and isinstance(b, ast.Dict):
        yield from of_results(a, b)
    elif filled(a) is not a and reduction(b):
        yield from differences(filled(a), b, within)                   # d.sum() * np.ones_like(b) for d.sum(axis=0)
    elif isinstance(a, ast.IfExp) and (same(a.body, b) or same(a.orelse, b)):
        other = a.orelse if same(a.body, b) else a.body
        yield from ["nothing"] if zero(other) else ["old value"] if operand(other) else \
            ["derivative"] if one(other) else differences(other, b, within)
    elif at_once := of_wholes(a, b, within):
        yield at_once
    elif (pair := renamed(a, b)) is not None:
        yield from of_operands(*pair, b, within)
    elif isinstance(a, ast.Attribute) and isinstance(b, ast.Attribute) and a.attr == b.attr == "T":
        yield from differences(a.value, b.value, within)
    elif word := reduced_or_not(a, b):
        yield word
    elif zero(a):
        yield "path"
    elif zero(b):
        yield "extra term"
    elif within == "f" and operand(a) and not constant(a) and not any(same(n, a) for n in ast.walk(b)):
        yield "argument"                                               # cosh(h) for cosh(W x + b)
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
            yield "argument" if within == "f" else "sign"
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
            yield "term of many" if within == "f" and len(good) > 2 else "term of an argument" if within == "f" else \
                "term of a formula" if formula else \
                "centring" if centring(term, good) else "penalty" if penalty(term) else "term"
    elif not missing:
        updated = within and any(penalty(term) or len(factors(term)) > 1 or (
            sign < 0 and not constant(term) and any(map(constant, ast.walk(term)))) for sign, term in left)
        yield "update" if updated else "extra term of a formula" if formula else \
            "operand" if within == "@" else "extra term"
    elif sorted(map(ast.unparse, (t for _, t in left))) == sorted(map(ast.unparse, (t for _, t in missing))):
        polynomial = formula or len(set().union(*(operands_of(t) for _, t in good))) == 1        # 1 - a, a - a²
        whole = len(left) == len(mine) == len(good)                                             # exp(x) - 1: 1 - exp(x)
        yield "sign in a formula" if within == "*" and polynomial and not whole and not quotients(left) else "sign"
    elif len(left) == len(missing) == 1:
        if left[0][0] != missing[0][0]:
            yield "sign" if within != "*" else "sign in a formula"
        yield from differences(left[0][1], missing[0][1], within)
    elif len(left) == len(missing) > 1 and sorted(map(without_numbers, left)) == sorted(map(without_numbers, missing)):
        yield "number"                                                 # the weight at the other term
    elif exchanged(left, missing):
        yield "exchanged terms"
    else:
        words = {word for (s, x), (t, y) in zip(left, missing, strict=False) if s == t
                 for word in differences(x, y, within)}
        alike = len(left) == len(missing) and [form(t) for _, t in left] == [form(t) for _, t in missing]
        yield words.pop() if len(words) == 1 and len(left) == len(missing) and (not alike or words == {"layout"}) else \
            "operand" if alike else "difference" if difference(mine, good) else "formula"


def of_factors(mine: Sequence[Signed], good: Sequence[Signed], within: str) -> Iterator[str]:
    """The factors of two products."""
    if any(zero(f) for power, f in mine if power > 0):
        yield "path"
        return
    left, missing = ([part for part in found if not one(part[1])] for found in unmatched(mine, good))
    variables = {name for _, f in (*mine, *good) if not constant(f) for name in operands_of(f)}

    def number(f: ast.expr) -> bool:
        return constant(f) and not outside_sizes(f) & variables

    shared = [part for part in mine if part not in left]
    extra = [(1, ast.Name("common")), *shared]
    common = [f for _, f in shared]
    if not left and not missing:
        return                                                         # the same in another order
    if [power for power, _ in left] != [power for power, _ in missing] and not all(
            number(f) for _, f in (*left, *missing)):
        others, wanted = ([part for part in found if not number(part[1])] for found in (left, missing))
        if len(others) < len(left) or len(wanted) < len(missing):      # by their numbers apart the lines may be scaled
            yield from squares(of_factors([*extra, *others], [*extra, *wanted], within))
            return
    if all(number(f) for _, f in (*left, *missing)):
        yield "sign" if len(left) == len(missing) == 1 and negated(left[0][1], missing[0][1]) else \
            "number of an argument" if within == "f" else "number"
    elif not left and within != "f" and common and all(number(f) for f in common) and all(
            power < 0 and isinstance(f, ast.Name) and len(f.id) == 1 for power, f in missing):
        yield "number"                                                 # EPS for EPS / C
    elif not left:
        half = any(in_derivative(f, other) for _, f in missing for other in common)
        again = all((within == "*" or power < 0) and any(same(f, other) for other in common)            # h for h h
                    for power, f in missing)
        yield "power" if again else "half a derivative" if half else "factor of a product" if within == "@" else \
            "factor of an argument" if within == "f" else \
            "normalisation" if all(power < 0 and totalled(f, common) for power, f in missing) else \
            "total" if all(reduction(f) or total(f) for _, f in missing) else "derivative"
    elif not missing:
        if not all(derivative(f) for _, f in left):
            yield "extra factor"
        elif all(operand(f) and twice(f, common) for _, f in left):
            yield "extra factor"                                       # r of r * h * r * (1 - r)
        else:
            known = all(any(same(n, f) for _, other in good for n in ast.walk(other)) for _, f in left if operand(f))
            yield "extra derivative" if known or not all(operand(f) for _, f in left) else "extra operand"
    elif len(missing) == 1 and (whole := reduction(missing[0][1])) and not any(unmatched(left, factors(whole[1]))):
        yield "reduction"                                              # u * du for (u * du).sum()
    elif pointwise(left, missing, common):
        yield "diagonal"
    elif len(left) == len(missing) == 1:
        yield from of_two_factors(*left[0], *missing[0], within, common)
    else:
        alike = [form(f) for _, f in left] == [form(f) for _, f in missing]
        yield "argument" if alike else "formula"


def squares(words: Iterator[str]) -> Iterator[str]:
    """Words for factors that differ by a number too: x² for 2 x is a square that was not differentiated."""
    for word in words:
        yield "power" if word == "extra derivative" else word


def of_two_factors(power: int, f: ast.expr, wanted: int, g: ast.expr, within: str,
                   common: Sequence[ast.expr]) -> Iterator[str]:
    """One factor stands in place of another, beside common ones."""
    if power != wanted:
        yield "power" if same(f, g) else "formula"                     # 1 / mu for mu
    elif power < 0 and total(f) and total(g):
        yield "total"                                                  # s / s.max() for s / s.sum()
    elif off_centre(f, g) and any(GRADIENT.match(ast.unparse(other)) for other in common):
        yield "operand"                                                # d * x for d * (x - mu)
    elif constant(f) and (reduction(g) or constant(g) or (power < 0 and operand(g))):
        yield "total"
    elif operand(f) and operand(g):
        yield from ["divisor"] if power < 0 and not within else of_operands(f, g, g, "" if within == "*" else within)
    elif complement(f, g) or complement(g, f):
        again = any(same(other, x) for other in common for x in (f, g))                       # r * r for r * (1 - r)
        yield "argument" if power < 0 else "complement" if not again and (operand(f) or operand(g)) else \
            "complement of a function"
    elif power < 0 and reduced_or_not(f, g):
        yield "divisor"
    elif any(function_of(x) == "sqrt" and isinstance(x, ast.Call) and same(x.args[0], y) for x, y in ((f, g), (g, f))):
        yield "power"
    else:
        bare_number = all(map(constant, common))
        yield from ("term" if bare_number and word == "term of a formula" else word                  # 0.5 * (s - 1)
                    for word in differences(f, g, "" if linear(g) else "*"))


def of_reductions(a: ast.expr, b: ast.expr, within: str) -> Iterator[str]:
    """Sums over axes: left out, over others, or of something else."""
    mine, good = reduction(filled(a)), reduction(b)
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
        case _ if constant(a) and reduction(b):
            yield "total"
        case _ if operand(b) and GRADIENT.match(ast.unparse(b)) and product_within(a):
            yield "derivative"                                                   # e @ W.T for dz: what dz begins with
        case ast.Call(), ast.Call() if function_of(a) == function_of(b):
            yield from of_calls(a, b, within)
        case _ if word := of_functions(a, b, within):
            yield word
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
        case ast.List() | ast.Tuple(), ast.List() | ast.Tuple() if permuted(a.elts, b.elts):
            yield "exchanged parts"
        case ast.Subscript(), ast.Subscript() if same(a.slice, b.slice):
            yield from differences(a.value, b.value, within)
        case ast.Subscript(), ast.Subscript() if same(a.value, b.value):
            yield "place"                                                        # (x * y)[1:] for (x * y)[:-1]
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
    if isinstance(b.func, ast.Name) and permuted(a.args, b.args):
        yield "exchanged terms"                              # f(a, V, U) for f(a, U, V)
        return
    if {k: v for k, v in mine.items() if k != "ddof"} != {k: v for k, v in good.items() if k != "ddof"}:
        yield "axis"
    elif mine != good:
        yield "number"                                       # n - 1 for n
    elif name == "reshape" and len(a.args) == len(b.args) and not all(map(same, a.args, b.args)):
        yield "layout of blocks"
        return
    elif name == "roll" and same(a.args[0], b.args[0]):
        yield "place"
        return
    elif isinstance(a.func, ast.Attribute) and isinstance(b.func, ast.Attribute) and not same(a.func, b.func):
        yield from changes(a.func.value, b.func.value, within)
        return
    elif len(a.args) != len(b.args):
        yield "axis"
    inner = "@" if name in PRODUCTS else "f" if name not in LINEAR else within
    for x, y in zip(a.args, b.args):
        yield from differences(x, y, inner)


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
