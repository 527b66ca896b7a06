"""What kinds of mistake lead from the right line to the one that was written.

Both are read as expressions and compared (`line_changes`); a table says what each change may be called.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence
from typing import Any

from autodiff.checks.reading.expressions import (
    LAYOUTS,
    LINEAR,
    bare,
    constant,
    factors,
    function_of,
    in_formula,
    operand,
    operands_of,
    product_within,
    same,
    tensors_of,
    terms,
)
from autodiff.checks.reading.forms import plainly
from autodiff.checks.reading.line_changes import PRODUCTS, changes
from autodiff.checks.reading.looks import JOINED, complement, is_scatter
from autodiff.checks.reading.renamed import GRADIENT

# What a change of a line may be called, the likeliest first.
KINDS: dict[str, tuple[str, ...]] = {
    "sign": ("sign", "wrong-local-rule"),
    "sign in a formula": ("wrong-local-rule", "sign"),                         # 1 + a for 1 - a
    "number": ("scale", "wrong-operand"),
    "number in a formula": ("wrong-local-rule", "scale", "wrong-argument"),    # sqrt(s + 1) for sqrt(s + 2)
    "total": ("scale", "wrong-operand", "wrong-local-rule"),                   # / n for / weights.sum()
    "normalisation": ("wrong-local-rule", "softmax-diagonal", "missing-local-derivative", "wrong-operand", "scale"),
    "mean for a sum": ("scale", "missing-broadcast-reduction"),
    "axis": ("wrong-axis",),
    "reduction": ("missing-broadcast-reduction", "dropped-path", "overwritten-accumulation"),
    "extra reduction": ("wrong-axis",),
    "transpose": ("missing-transpose",),
    "layout": ("transposed-result", "missing-transpose"),
    "layout of blocks": ("wrong-axis", "scatter", "transposed-result", "missing-transpose"),
    "turned round": ("scatter", "wrong-axis", "transposed-result", "wrong-operand"),              # K[::-1]
    "exchanged": ("swapped",),
    "operand": ("wrong-operand", "wrong-argument"),
    "gradient": ("wrong-operand", "missing-local-derivative"),                 # da for dz
    "operand of another step": ("wrong-operand", "stale-value"),
    "argument": ("wrong-argument", "wrong-operand"),
    "argument of another step": ("wrong-argument", "wrong-operand", "stale-value"),
    "function": ("wrong-local-rule", "wrong-argument"),
    "function too many": ("wrong-argument", "wrong-local-rule"),               # sigmoid(a) (1 - sigmoid(a))
    "function missing": ("wrong-argument", "wrong-local-rule", "missing-local-derivative"),
    "formula": ("wrong-local-rule", "wrong-operand", "softmax-diagonal"),
    "power": ("wrong-local-rule", "wrong-argument"),
    "number of an argument": ("scale", "wrong-argument", "wrong-operand"),
    "factor of an argument": ("wrong-argument", "scale", "wrong-operand"),
    "divisor": ("wrong-local-rule", "wrong-argument", "wrong-operand"),
    "complement": ("wrong-operand", "wrong-argument", "wrong-local-rule"),     # z for 1 - z
    "complement of a function": ("wrong-local-rule", "wrong-argument", "wrong-operand"),
    "diagonal": ("softmax-diagonal", "wrong-local-rule"),                      # p (1 - p) for diag(p) - p pᵀ
    "difference": ("double-derivative", "wrong-local-rule"),                   # p - y, and then the sigmoid's
    "exchanged parts": ("swapped", "scatter", "wrong-operand"),
    "derivative": ("missing-local-derivative", "wrong-operand"),
    "half a derivative": ("wrong-local-rule", "missing-local-derivative"),
    "factor of a product": ("wrong-operand", "missing-local-derivative"),
    "extra derivative": ("double-derivative", "wrong-operand", "wrong-local-rule"),
    "extra operand": ("wrong-operand", "double-derivative", "wrong-local-rule"),
    "extra factor": ("wrong-operand", "wrong-local-rule", "double-derivative"),
    "path": ("dropped-path", "missing-term", "treated-as-constant"),
    "term": ("dropped-path", "missing-term", "treated-as-constant"),
    "penalty": ("missing-term", "dropped-path", "treated-as-constant"),
    "centring": ("treated-as-constant", "dropped-path", "softmax-diagonal", "wrong-local-rule"),
    "term of a formula": ("wrong-local-rule", "dropped-path", "missing-term"),
    "term of an argument": ("wrong-argument", "wrong-operand", "missing-term", "wrong-local-rule"),
    "term of many": ("wrong-operand", "wrong-argument", "missing-term", "dropped-path"),       # of what a function has
    "extra term": ("extra-term", "wrong-local-rule"),
    "extra term of a formula": ("wrong-local-rule", "extra-term"),             # s - 1 for s
    "update": ("stale-value", "extra-term", "wrong-operand"),
    "old value": ("stale-value", "extra-term", "wrong-operand"),
    "nothing": ("dropped-path", "treated-as-constant"),
    "overwriting": ("overwritten-accumulation", "dropped-path"),
    "place": ("scatter", "wrong-operand"),
    "mask": ("wrong-argument", "wrong-operand"),
    "backwards": ("wrong-operand", "wrong-axis", "dropped-path"),
    "fewer rounds": ("dropped-path", "treated-as-constant", "scale"),
    "more rounds": ("extra-term", "dropped-path", "scale"),
    "exchanged terms": ("swapped", "wrong-operand"),
}
MANY = 50                  # for each variable in the head of a loop


def kind_of(wrong: str, right: str) -> str | None:
    """The likeliest kind of mistake, one of `mistakes.KINDS`; None if the lines say nothing.

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
    return next(iter(kinds_of(wrong, right)), None)


def kinds_of(wrong: str, right: str) -> tuple[str, ...]:
    """The kinds of mistake that it may be called, the likeliest first; () if the lines say nothing.

    Examples
    --------
    >>> from autodiff.checks.reading.line_kinds import kinds_of
    >>> kinds_of("dz = da * r * (1 - r)", "dz = da * z * (1 - z)")
    ('wrong-argument', 'wrong-operand')
    """
    return may_be(changed(wrong, right))


def changed(wrong: str, right: str, tensors: Collection[str] = (), numbers: Collection[str] = ()) -> list[str]:
    """What was changed, in the words of `KINDS`; [] if the lines say nothing.

    No name of `tensors` is a number's, and each of `numbers` is one's.
    """
    if wrong == right:
        return []
    try:
        return of_heads(wrong, right) or of_statements(wrong, right, tensors, numbers)
    except (SyntaxError, RecursionError):
        return []


def may_be(words: Sequence[str]) -> tuple[str, ...]:
    """The kinds that some changes may be called together, the likeliest first."""
    if not words:
        return ()
    shared = tuple(kind for kind in KINDS[words[0]] if all(kind in KINDS[word] for word in words))
    return shared if shared or len(words) == 1 else ("two",)


def of_statements(wrong: str, right: str, tensors: Collection[str], numbers: Collection[str]) -> list[str]:
    """What was changed in a statement."""
    a, b = statement(wrong), statement(right)
    if a is None or b is None:
        return []
    (mine, to, value), (good, target, wanted) = a, b
    call_as_they_are({*tensors_of(mine, good), *tensors}, numbers, mine, good)
    if isinstance(value, ast.Dict) and not isinstance(wanted, ast.Dict):       # one key of the result
        value = key_of(value, right) or value
    if target is not None and same(target, wanted):
        return ["update"]                                        # w = w - rate * dw, before it was done with
    if target is not None and isinstance(good, ast.AugAssign) and isinstance(good.op, ast.Add):
        good, wanted = as_assignment(good, target, wanted)
    added = isinstance(good, ast.AugAssign) and isinstance(good.op, ast.Add | ast.Sub)
    if added and isinstance(mine, ast.Assign) and not (to and any(same(n, to) for n in ast.walk(value))):
        return ["overwriting"]
    if is_scatter(wanted) and not is_scatter(value):
        return ["place"]
    if target is not None and isinstance(mine, ast.Assign) and any(same(target, t) for _, t in terms(wanted)) \
            and not any(same(n, target) for n in ast.walk(value)):
        return ["overwriting"]
    if isinstance(mine, ast.AugAssign) and isinstance(good, ast.AugAssign) and type(mine.op) is not type(good.op) \
            and added and isinstance(mine.op, ast.Add | ast.Sub):
        return ["sign"]
    if to is not None and target is not None and not same(to, target):
        masks = any(isinstance(n, ast.Compare) for n in ast.walk(target))
        if not isinstance(to, ast.Subscript):
            return []
        return ["mask" if masks else "place"]
    if type(mine) is not type(good) or type(getattr(mine, "op", None)) is not type(getattr(good, "op", None)):
        value, wanted = whole(mine, value), whole(good, wanted)                # dx *= r for dx /= r
    elif added and counter(mine) and counter(good):
        return ["place"]                                         # where to go on
    elif isinstance(good, ast.AugAssign) and isinstance(good.op, ast.Mult | ast.Div):
        return changes(value, wanted, "" if tensor(wanted) and (not tensor(value) or operand(wanted)) else "*")
    return changes(value, wanted)


def as_assignment(node: ast.stmt, target: ast.expr, value: ast.expr) -> tuple[ast.stmt, ast.expr]:
    """x = e for x += e - x."""
    rest = [(sign, t) for sign, t in terms(value) if sign > 0 or not same(t, target)]
    if len(rest) == len(terms(value)) or not rest:
        return node, value
    text = " ".join(f"{'+' if sign > 0 else '-'} ({ast.unparse(t)})" for sign, t in rest).removeprefix("+ ")
    assigned = ast.parse(f"{ast.unparse(target)} = {text}").body[0]
    assert isinstance(assigned, ast.Assign)
    return assigned, assigned.value


def whole(node: ast.stmt, value: ast.expr) -> ast.expr:
    """The value that a statement gives: of ``x += e`` that is x + e."""
    if not isinstance(node, ast.AugAssign):
        return value
    return ast.parse(f"{ast.unparse(node.target)} {OPERATORS.get(type(node.op), '+')} ({ast.unparse(value)})",
                     mode="eval").body


def call_as_they_are(tensors: Collection[str], numbers: Collection[str], *nodes: ast.AST) -> None:
    """Gives tensors that are called like numbers another name, n_ for n, in the trees themselves, and the reverse."""
    for n in (n for node in nodes for n in ast.walk(node)):
        if isinstance(n, ast.Name) and n.id in tensors and constant(n):
            n.id += "_"
        elif isinstance(n, ast.Name) and n.id in numbers and not constant(n):
            n.id = f"num_{n.id.lower()}"


def tensor(node: ast.expr) -> bool:
    """Whether an expression is a product of variables."""
    return all(operand(f) for _, f in factors(node))


def counter(node: ast.stmt) -> bool:
    """Whether a number is added to a variable that is no gradient."""
    return isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add) and constant(node.value) \
        and isinstance(node.target, ast.Name) and not GRADIENT.match(node.target.id)


OPERATORS: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.MatMult: "@",
                                           ast.Pow: "**"}


def key_of(value: ast.Dict, right: str) -> ast.expr | None:
    """What a dict has under the key that begins a line; None if it has none."""
    key = right.strip().partition(":")[0].strip("\"'")
    return next((v for k, v in zip(value.keys, value.values)
                 if isinstance(k, ast.Constant) and str(k.value) == key), None)


def of_heads(wrong: str, right: str) -> list[str]:
    """What was changed in the head of a loop or of a branch; [] if these are none."""
    if not wrong.endswith(":") or not right.endswith(":"):
        return []
    a, b = (ast.parse(f"{text} pass").body[0] for text in (wrong, right))
    if isinstance(a, ast.If) and isinstance(b, ast.If):
        return of_rounds(a.test, b.test) or changes(a.test, b.test, "*") or ["path"]
    if not isinstance(a, ast.For) or not isinstance(b, ast.For):
        return []
    if same(a, b):
        return []
    if same(a.iter, b.iter):
        return ["place"]                                         # the same rounds, another variable
    mine, good = (rounds(loop.iter) for loop in (a, b))
    if ("reversed" in ast.unparse(a.iter)) != ("reversed" in ast.unparse(b.iter)) or (mine and mine == good[::-1]):
        return ["backwards"]                                     # every step with the values of another
    return ["fewer rounds" if len(mine) < len(good) else "more rounds" if len(mine) > len(good) else
            "fewer rounds" if len(ast.unparse(a.iter)) >= len(ast.unparse(b.iter)) else "more rounds"]


def of_rounds(a: ast.expr, b: ast.expr) -> list[str]:
    """What was changed in a condition that chooses rounds of a loop: others of them, or fewer; [] if it does not."""
    if not any(isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Eq | ast.In) for test in (a, b)):
        return []
    one_off = isinstance(a, ast.Compare) and isinstance(b, ast.Compare) and not any(
        constant(side) for side in (b.left, *b.comparators)) and any(isinstance(n, ast.BinOp) for n in ast.walk(a))
    return ["place" if one_off or any(isinstance(n, ast.Mod) for n in ast.walk(a)) else "path"]


def rounds(node: ast.expr) -> list[Any]:
    """What a loop runs over, with a number for each variable; [] if that cannot be said."""
    names = dict.fromkeys(operands_of(node), MANY)
    builtins = {"range": range, "reversed": lambda x: list(x)[::-1], "list": list, "max": max, "min": min,
                "len": lambda x: x}
    try:
        return list(eval(compile(ast.Expression(node), "<loop>", "eval"), {"__builtins__": {}, **names, **builtins}))
    except Exception:
        return []


def kinds_of_line(text: str) -> tuple[str, ...]:
    """What may be wrong with a line whose right form is not known, the likeliest first."""
    try:
        parsed = statement(text)
    except SyntaxError:
        parsed = None
    if parsed is None:
        return ("dropped-path",)                                 # the header of a loop
    node, target, value = parsed
    if is_scatter(value):
        return ("scatter", "wrong-operand")
    parts = list(ast.walk(value))
    calls = {function_of(n) for n in parts if isinstance(n, ast.Call)}
    products = product_within(value) or bool(calls & PRODUCTS)
    if any(in_formula(n, value) for n in parts if isinstance(n, ast.expr) and (operand(n) or isinstance(n, ast.Call))):
        known: tuple[str, ...] = ("wrong-local-rule", "wrong-argument", "wrong-operand")
        if any(complement(f, g) or of_tanh(g) for _, f in factors(value) for _, g in factors(value)):
            known = ("wrong-argument", "wrong-local-rule", "wrong-operand")   # a (1 - a), 1 - a²: a right formula
            if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Mult):
                known = ("double-derivative", *known)                         # once more
    elif any(isinstance(n, ast.Call) and product_within(n) and function_of(n) not in LINEAR for n in parts):
        known = ("wrong-argument", "wrong-operand", "wrong-local-rule")       # f(W x + b)
    else:
        known = ("wrong-operand", "wrong-local-rule") if products else ("wrong-local-rule", "wrong-operand")
    if calls & {"reshape", "repeat", "tile"}:
        known = ("wrong-axis", "scatter", "transposed-result", *known)
    elif function_of(value) in LAYOUTS:
        known = ("transposed-result", "wrong-axis", "scatter", *known)
    if isinstance(value, ast.Subscript) and any(isinstance(n, ast.Slice) and (n.lower or n.upper)
                                                for n in ast.walk(value.slice)):
        known = ("missing-broadcast-reduction", *known)                       # a part of it only
    elif operand(value) and not isinstance(node, ast.Expr):
        known = ("missing-local-derivative", *known)                          # handed on as it is
    if function_of(value) in JOINED and some_handed_on(value):
        known = ("missing-local-derivative", *known)
    if any(isinstance(n, ast.BinOp) and isinstance(n.op, ast.MatMult) and in_part(n.left) and in_part(n.right)
           for n in parts):
        known = ("dropped-path", *known)                                      # the rest of the sum is left out
    if isinstance(target, ast.Subscript) and isinstance(value, ast.Constant) and isinstance(target.slice, ast.Tuple):
        known = ("scatter", *known)                                           # p[range(n), y] -= 1
    if isinstance(target, ast.Subscript):
        known = (*known, "scatter", *(("overwritten-accumulation",) if isinstance(node, ast.Assign) else ()))
    return tuple(dict.fromkeys((*known, "dropped-path")))        # or a term is missing


def hands_on(text: str) -> bool:
    """Whether a line gives a variable another name and does nothing else."""
    try:
        parsed = statement(text)
    except SyntaxError:
        return False
    return parsed is not None and operand(parsed[2])


def some_handed_on(call: ast.expr) -> bool:
    """Whether of what is joined some parts are computed, and others handed on as they are."""
    parts = call.args if isinstance(call, ast.Call) else []
    joined = [x for part in parts if isinstance(part, ast.List | ast.Tuple) for x in part.elts]
    return any(map(operand, joined)) and not all(map(operand, joined))


def in_part(node: ast.expr) -> bool:
    """Whether this is a part of a matrix, turned perhaps."""
    inner = bare(node)
    return isinstance(inner, ast.Subscript) and any(isinstance(n, ast.Slice) and (n.lower or n.upper)
                                                    for n in ast.walk(inner.slice))


def of_tanh(node: ast.expr) -> bool:
    """Whether this is 1 - a ** 2, or 1 - a * a."""
    match plainly(node):
        case ast.BinOp(left=ast.Constant(value=1), op=ast.Sub(), right=ast.BinOp(op=ast.Pow())):
            return True
    return False


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
        case ast.Expr(value=ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords)):
            return node, None, ast.Dict([ast.Constant(k.arg) for k in keywords], [k.value for k in keywords])
        case ast.Expr(value=value):
            return node, None, value
    return None
