"""What kind of mistake leads from the right line to the one that was written.

Both are read as expressions. What they share is set aside, level by level (terms of a sum, factors of a product,
operands, arguments), until what is left says what happened: a factor is missing, a tensor is another.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from autodiff.checks.reading.expressions import (
    Signed,
    bare,
    constant,
    derivative,
    factors,
    form,
    in_derivative,
    linear,
    penalty,
    reduction,
    same,
    strip_factors,
    terms,
    unmatched,
)

TENSOR = (ast.Name, ast.Subscript, ast.Attribute)


def kind_of(wrong: str, right: str) -> str | None:
    """The kind of mistake, one of `mistakes.KINDS`; None if the lines say nothing.

    Parameters
    ----------
    wrong, right : str
        Two statements of Python, or two expressions.

    Examples
    --------
    >>> from autodiff.checks.reading.line_kinds import kind_of
    >>> kind_of("dz = da", "dz = da * a * (1 - a)"), kind_of("dW = dz.T @ a2", "dW = dz.T @ a1")
    ('missing-local-derivative', 'wrong-operand')
    >>> kind_of("dW = x", "dW += x"), kind_of("db = dz.sum(axis=0)", "db = dz.sum(axis=0) / m")
    ('overwritten-accumulation', 'scale')
    """
    try:
        if (kind := of_heads(wrong, right)) is not None:
            return kind
        a, b = statement(wrong), statement(right)
    except SyntaxError:
        return None
    if a is None or b is None:
        return None
    (mine, to, value), (good, target, wanted) = a, b
    if isinstance(value, ast.Dict) and not isinstance(wanted, ast.Dict):       # one key of the result
        value = key_of(value, right) or value
    if target is not None and same(target, wanted):
        return "stale-value"                                     # w = w - rate * dw, before it was done with
    if isinstance(good, ast.AugAssign) and isinstance(mine, ast.Assign):
        return "overwritten-accumulation"
    if is_scatter(wanted) and not is_scatter(value):
        return "scatter"
    if target is not None and isinstance(mine, ast.Assign) and any(same(target, t) for _, t in terms(wanted)) \
            and not any(same(target, t) for _, t in terms(value)):
        return "overwritten-accumulation"
    if isinstance(mine, ast.AugAssign) and isinstance(good, ast.AugAssign) and type(mine.op) is not type(good.op):
        return "sign"
    if to is not None and target is not None and not same(to, target):
        masks = any(isinstance(n, ast.Compare) for n in ast.walk(target))
        return ("wrong-argument" if masks else "scatter") if isinstance(to, ast.Subscript) else None
    found = list(dict.fromkeys(differences(value, wanted)))
    return None if not found else found[0] if len(found) == 1 else "two"


def key_of(value: ast.Dict, right: str) -> ast.expr | None:
    """What a dict has under the key that begins a line; None if it has none."""
    key = right.strip().partition(":")[0].strip("\"'")
    return next((v for k, v in zip(value.keys, value.values)
                 if isinstance(k, ast.Constant) and str(k.value) == key), None)


def of_heads(wrong: str, right: str) -> str | None:
    """The kind of mistake in the head of a loop or of a branch; None if these are none."""
    if not wrong.endswith(":") or not right.endswith(":"):
        return None
    a, b = (ast.parse(f"{text} pass").body[0] for text in (wrong, right))
    if isinstance(a, ast.If) and isinstance(b, ast.If):
        return next(differences(a.test, b.test, "*"), "dropped-path")
    if not isinstance(a, ast.For) or not isinstance(b, ast.For):
        return None
    mine, good = (ast.unparse(loop.iter) for loop in (a, b))
    if ("reversed" in mine) != ("reversed" in good):
        return "wrong-operand"                                   # every step with the values of another
    return "dropped-path" if len(mine) >= len(good) else "extra-term"


def is_scatter(node: ast.expr) -> bool:
    """Whether this is a call of ``np.add.at``."""
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "np.add.at"


def kind_of_line(text: str) -> str:
    """What is most likely wrong with a line whose right form is not known."""
    try:
        parsed = statement(text)
    except SyntaxError:
        return "dropped-path"                                    # the header of a loop
    if parsed is None:
        return "dropped-path"
    node, target, value = parsed
    if is_scatter(value) or (isinstance(target, ast.Subscript) and isinstance(node, ast.AugAssign)):
        return "scatter"
    calls = {ast.unparse(n.func).rpartition(".")[2] for n in ast.walk(value) if isinstance(n, ast.Call)}
    products = any(isinstance(n, ast.BinOp) and isinstance(n.op, ast.MatMult) for n in ast.walk(value))
    products = products or bool(calls & {"outer", "einsum", "dot", "matmul", "tensordot"})
    return "wrong-operand" if products else "wrong-local-rule"


def statement(text: str) -> tuple[ast.stmt, ast.expr | None, ast.expr] | None:
    """A statement, what it assigns to, and what."""
    text = text.strip()
    text = text.removeprefix("return ") if text.startswith("return ") else text
    if text.startswith('"') and text.count(":") and not text.startswith('""'):
        text = text.split(":", 1)[1].strip().rstrip(",")                      # a key of the result
    node = ast.parse(text).body[0] if text else None
    match node:
        case ast.Assign(targets=[target], value=value):
            return node, target, value
        case ast.AugAssign(target=target, value=value):
            return node, target, value
        case ast.Expr(value=value):
            return node, None, value
    return None


def differences(a: ast.expr, b: ast.expr, within: str = "") -> Iterator[str]:
    """The kinds of mistake from b, the right one, to a; `within` a product of matrices ("@") or of numbers ("*")."""
    if same(a, b):
        return
    if isinstance(a, ast.Dict) and isinstance(b, ast.Dict):
        yield from of_results(a, b)
        return
    if is_scatter(a) and is_scatter(b):
        yield "scatter"
        return
    if same(bare(a), bare(b)):
        yield "missing-transpose" if within == "@" else "transposed-result"
        return
    if isinstance(a, ast.Attribute) and isinstance(b, ast.Attribute) and a.attr == b.attr == "T":
        yield from differences(a.value, b.value, within)
        return
    if (reduction(a) is None) != (reduction(b) is None) and (kind := reduced_or_not(a, b)):
        yield kind
        return
    terms_a, terms_b = terms(a), terms(b)
    if len(terms_a) == len(terms_b) == 1:
        if terms_a[0][0] != terms_b[0][0]:
            yield "sign" if within != "*" else "wrong-local-rule"
        a, b = terms_a[0][1], terms_b[0][1]
    elif (len(terms_a) > 1 and len(terms_b) > 1) or len(factors(a)) == len(factors(b)) == 1:
        yield from of_terms(terms_a, terms_b, within)
        return
    if same(a, b):
        return
    if (reduction(a) is None) != (reduction(b) is None) and (kind := reduced_or_not(a, b)):
        yield kind
        return
    factors_a, factors_b = factors(a), factors(b)
    if len(factors_a) > 1 or len(factors_b) > 1:
        yield from of_factors(factors_a, factors_b, within)
        return
    yield from of_reductions(a, b, within)


def of_results(a: ast.Dict, b: ast.Dict) -> Iterator[str]:
    """Two dicts of results: exchanged values, or values that differ."""
    mine = {ast.unparse(k): v for k, v in zip(a.keys, a.values) if k is not None}
    good = {ast.unparse(k): v for k, v in zip(b.keys, b.values) if k is not None}
    differ = [k for k in good if k in mine and not same(mine[k], good[k])]
    if len(differ) > 1 and sorted(ast.unparse(mine[k]) for k in differ) == sorted(ast.unparse(good[k]) for k in differ):
        yield "swapped"
        return
    for k in differ:
        yield from differences(mine[k], good[k])


def of_terms(mine: Sequence[Signed], good: Sequence[Signed], within: str) -> Iterator[str]:
    """The terms of two sums."""
    left, missing = unmatched(mine, good)
    if not left:
        for _, term in missing:
            formula = within == "*" and any(isinstance(t, ast.Constant) for _, t in (*good, *mine))
            yield "wrong-local-rule" if formula else "missing-term" if penalty(term) else "dropped-path"
    elif not missing:
        updated = within and any(penalty(term) or len(factors(term)) > 1 for _, term in left)
        yield "stale-value" if updated else "extra-term"
    elif sorted(map(ast.unparse, (t for _, t in left))) == sorted(map(ast.unparse, (t for _, t in missing))):
        yield "sign" if within != "*" or len(left) == len(good) else "wrong-local-rule"
    elif len(left) == len(missing) == 1:
        if left[0][0] != missing[0][0]:
            yield "sign" if within != "*" else "wrong-local-rule"
        yield from differences(left[0][1], missing[0][1], within)
    elif len(left) == len(missing) and [form(t) for _, t in left] == [form(t) for _, t in missing]:
        yield "wrong-operand"
    else:
        yield "wrong-local-rule"


def of_factors(mine: Sequence[Signed], good: Sequence[Signed], within: str) -> Iterator[str]:
    """The factors of two products."""
    if any(isinstance(f, ast.Constant) and f.value == 0 for _, f in mine):
        yield "dropped-path"
        return
    left, missing = unmatched(mine, good)
    common = [f for power, f in mine if (power, f) not in left]
    if not left:
        if all(constant(f) for _, f in missing):
            yield "scale"
        else:
            half = any(in_derivative(f, other) for _, f in missing for other in common)
            yield "wrong-local-rule" if half else "missing-local-derivative"
    elif not missing:
        if all(constant(f) for _, f in left):
            yield "scale"
        else:
            yield "double-derivative" if all(derivative(f) for _, f in left) else "wrong-operand"
    elif all(constant(f) for _, f in (*left, *missing)):
        yield "scale"
    elif len(left) == len(missing) == 1:
        if left[0][0] != missing[0][0]:
            yield "wrong-local-rule"
        elif isinstance(left[0][1], TENSOR) and isinstance(missing[0][1], TENSOR):
            yield "wrong-operand"
        else:
            yield from differences(left[0][1], missing[0][1], "" if linear(missing[0][1]) else "*")
    else:
        alike = [form(f) for _, f in left] == [form(f) for _, f in missing]
        yield "wrong-argument" if alike else "wrong-local-rule"


def reduced_or_not(a: ast.expr, b: ast.expr) -> str | None:
    """One is the sum of the other, or of something to which it is proportional."""
    good, mine = reduction(b), reduction(a)
    if good is not None:
        alone = a.value if isinstance(a, ast.Subscript) else a
        if same(alone, good[1]) or same(strip_factors(alone), strip_factors(good[1])):
            return "missing-broadcast-reduction"
    if mine is not None and (same(mine[1], b) or same(strip_factors(mine[1]), strip_factors(b))):
        return "wrong-axis"
    return None


def of_reductions(a: ast.expr, b: ast.expr, within: str) -> Iterator[str]:
    """Sums over axes: left out, over others, or of something else."""
    mine, good = reduction(a), reduction(b)
    if mine and good and same(mine[1], good[1]):
        yield "wrong-axis" if mine[0] == good[0] else "scale"
    elif mine and good:
        yield from differences(mine[1], good[1], within)
    else:
        yield from of_nodes(a, b, within)


def of_nodes(a: ast.expr, b: ast.expr, within: str) -> Iterator[str]:
    """Two expressions that are neither sums nor products of numbers."""
    match a, b:
        case ast.BinOp(op=ast.MatMult()), ast.BinOp(op=ast.MatMult()):
            if same(bare(a.left), bare(b.right)) and same(bare(a.right), bare(b.left)):
                yield "transposed-result"
            else:
                yield from differences(a.left, b.left, "@")
                yield from differences(a.right, b.right, "@")
        case ast.BinOp(op=ast.Pow()), ast.BinOp(op=ast.Pow()) if same(a.right, b.right):
            yield from differences(a.left, b.left, "*")
        case ast.BinOp(op=ast.Pow(), left=left), _ if same(left, b):
            yield "double-derivative" if isinstance(b, ast.BinOp | ast.Call) else "wrong-local-rule"
        case (ast.BinOp(op=ast.Pow()), _) | (_, ast.BinOp(op=ast.Pow())):
            yield "wrong-local-rule"
        case _ if constant(a) and constant(b):
            yield "scale"
        case ast.Call(), ast.Call() if same(a.func, b.func):
            yield from of_calls(a, b, within)
        case ast.Call(args=[inner]), _ if same(inner, b):
            yield "wrong-argument" if within == "*" else "wrong-operand"
        case _, ast.Call(args=[inner]) if same(inner, a):
            yield "wrong-argument" if within == "*" else "missing-local-derivative"
        case ast.Call(), ast.Call():
            yield "wrong-local-rule" if within == "*" else "wrong-operand"
        case (ast.Name() | ast.Subscript() | ast.Attribute()), (ast.Name() | ast.Subscript() | ast.Attribute()):
            yield "wrong-argument" if within == "*" else "wrong-operand"
        case ast.Compare(), ast.Compare() if same(a.comparators[0], b.comparators[0]) and not same(a.left, b.left):
            yield "wrong-argument"
        case (ast.Constant(), _) | (_, ast.Constant()):
            yield "scale" if not within else "wrong-local-rule"
        case _ if type(a) is type(b) and not isinstance(a, ast.BinOp | ast.Compare):
            for x, y in zip(ast.iter_child_nodes(a), ast.iter_child_nodes(b)):
                if isinstance(x, ast.expr) and isinstance(y, ast.expr):
                    yield from differences(x, y, within)
        case _:
            yield "wrong-operand" if within == "@" else "wrong-local-rule"


def of_calls(a: ast.Call, b: ast.Call, within: str) -> Iterator[str]:
    """Two calls of one function."""
    mine, good = ({k.arg: ast.dump(k.value) for k in call.keywords} for call in (a, b))
    operands = [sorted(map(ast.unparse, call.args[1:])) for call in (a, b)]
    if ast.unparse(b.func) == "np.einsum" and operands[0] == operands[1]:
        letters = [ast.unparse(call.args[0]).partition("->") for call in (a, b)]
        mixed = sorted(letters[0][2]) == sorted(letters[1][2])
        yield "transposed-result" if mixed else "wrong-axis"
        return
    if len(a.args) == len(b.args) == 2 and same(a.args[0], b.args[1]) and same(a.args[1], b.args[0]):
        yield "transposed-result"
        return
    if {k: v for k, v in mine.items() if k != "ddof"} != {k: v for k, v in good.items() if k != "ddof"}:
        yield "wrong-axis"
    elif mine != good:
        yield "scale"                                        # n - 1 for n
    elif len(a.args) != len(b.args):
        yield "wrong-axis"
    product = ast.unparse(b.func) in ("np.outer", "np.dot", "np.matmul", "np.einsum")
    for x, y in zip(a.args, b.args):
        yield from differences(x, y, "@" if product else within)
