"""Small changes of a line: what its writer may have meant instead.

One operand, operator, transpose, number or axis is changed at a time. All are texts: a node's place is put in
parentheses, and what is shown in the end is tidied up.
"""

from __future__ import annotations

import ast
import copy
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from autodiff.checks.reading.arrangements import Operands, exchanged, flips, layouts, ranges, shares, sizes
from autodiff.checks.reading.expressions import function_of
from autodiff.checks.reading.hooks import HEADS, Spot
from autodiff.checks.reading.their_code import Change

OPERANDS = 60              # variables and parts of them that may come in
OPPOSITE = {ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*"}
OVER = [f"axis={axis}{keep}" for axis in (0, 1, -1) for keep in ("", ", keepdims=True")]
DERIVATIVES = ("{0} * (1 - {0})", "1 - {0} ** 2", "{0} > 0", "1 - {0}")     # of sigmoid, tanh by their values, relu


OTHER_DERIVATIVES = [(re.compile(pattern), other) for pattern, other in (
    (r"([\w.\[\]]+) \* \(1 - \1\)", r"(1 - \1 ** 2)"), (r"\(1 - ([\w.\[\]]+) \*\* 2\)", r"\1 * (1 - \1)"))]
OTHER_SIDE = {"maximum": "minimum", "minimum": "maximum", "triu": "tril", "tril": "triu", "argmax": "argmin"}
GATHERING = ("sum", "mean", "max")
ALONG = (*GATHERING, "min", "std", "var", "prod", "cumsum", "argmax")

Shape = tuple[int, ...] | None           # of what the line makes, where nothing else may stand; None if it is unknown


def local(rhs: str, others: Operands, shape: Shape = None) -> Iterator[str]:
    """One sign, operator, index, axis, transpose or number changed."""
    instead, places, tree, nodes = parts(rhs)
    vectors = {name for name, value in others if np.ndim(value) == 1}
    counts = {name for name, value in others if type(value) is int or (np.ndim(value) == 0 and
              np.asarray(value).dtype.kind in "iu")}
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Sub):
        yield f"{ast.unparse(tree.right)} - ({ast.unparse(tree.left)})"
    stacks = {name for name, value in others if np.ndim(value) == 3}
    for node in nodes:
        for new in edited(node):
            yield instead(node, new)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            yield from (instead(x, f"{ast.unparse(x)}.transpose(0, 2, 1)") for x in (node.left, node.right)
                        if ast.unparse(x) in stacks)
        if isinstance(node, ast.Name) and node.id in counts:
            yield from (instead(node, f"{node.id} {step}") for step in ("- 1", "+ 1"))
            yield instead(node, "0")
        if isinstance(node, ast.Call) or node in places:
            x = ast.unparse(node)
            yield from (instead(node, new) for new in (f"{x} - 1", f"1 - {x}"))
            if x in vectors:
                yield instead(node, f"{x}[:, None]")
        yield from (instead(node, new) for new in (*layouts(node, others), *sizes(node, others), *ranges(node, counts)))
        yield from (instead(node, new) for new in flips(node, others) if node in places and node is not tree)
        if isinstance(node, ast.Call):
            yield from (instead(part, f"{c}{ast.unparse(part)}") for part in node.args if part in places
                        for c in ("0.5 * ", "2 * "))
    for part in {ast.unparse(n) for n in nodes if isinstance(n, ast.Subscript) and isinstance(n.slice, ast.Constant)}:
        yield from (rhs.replace(part, f"{part[:part.rindex('[')]}[{n}]") for n in sorted(counts))
    for node in nodes:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
            yield from (instead(term, f"{c} * ({ast.unparse(term)})") for term in (node.left, node.right)
                        for c in (2, 0.5))


def substitutions(rhs: str, others: Operands, shape: Shape = None) -> Iterator[str]:
    """Another operand of the same shape, at one place or wherever it stands; those of the line itself come first."""
    instead, places, _, nodes = parts(rhs)
    for pattern, other in OTHER_DERIVATIVES:
        for found in pattern.finditer(rhs):
            yield rhs[:found.start()] + found.expand(other) + rhs[found.end():]
    shapes = {name: np.shape(value) for name, value in others}
    here = {ast.unparse(node) for node in places}

    def alike(x: str, other: str) -> bool:
        return other != x and (x not in shapes or sorted(shapes[x]) == sorted(shapes[other]))

    for near in (True, False):
        names = [name for name, _ in others if (name in here) == near]
        for node in places:
            x = ast.unparse(node)
            yield from (instead(node, other) for other in names if alike(x, other))
            yield from (instead(node, f"{other}.T") for other in names if alike(x, other) and len(shapes[other]) == 2)
        if near:
            yield from exchanged(rhs, places, shapes)
        for x in dict.fromkeys(n.id for n in places if isinstance(n, ast.Name)):
            everywhere = re.compile(rf"(?<![\w.]){re.escape(x)}(?!\w)")
            yield from (everywhere.sub(other, rhs) for other in names if alike(x, other))
        if near:
            yield from (instead(node, new) for node in places for new in shares(node, shapes))
            yield from (instead(node, f"{ast.unparse(node)} ** 2") for node in places)
            yield from (instead(node, d.format(ast.unparse(node))) for node in places for d in DERIVATIVES)
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            yield from (instead(node, other) for other, _ in others)


def changes(rhs: str, operands_: Operands, shape: Shape = None) -> Iterator[str]:
    """What they may have meant to write: one thing changed, the commonest first."""
    instead, operands, tree, nodes = parts(rhs)
    others = [name for name, _ in operands_]
    spread = [name for name, value in operands_ if shape is None or spreads(np.shape(value), shape)]
    free = elementwise(tree)
    named = {n.id for n in free if isinstance(n, ast.Name)}
    numbers = [name for name, value in operands_ if np.ndim(value) == 0]
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Sub):
        yield f"{ast.unparse(tree.right)} - ({ast.unparse(tree.left)})"
    for node in nodes:
        for new in edited(node):
            yield instead(node, new)
    yield f"-({rhs})"
    for x in dict.fromkeys(n.id for n in operands if isinstance(n, ast.Name)):
        everywhere = re.compile(rf"(?<![\w.]){re.escape(x)}(?!\w)")
        for other in spread if x in named else others:
            yield everywhere.sub(other, rhs)
    for node in operands:
        for other in spread if node in free else others:
            yield instead(node, other)
    yield from (f"{c} * ({rhs})" for c in (2, 0.5))
    for other in spread:
        if other in numbers:
            yield from (f"({rhs}) {op} {other}" for op in "/*")
        else:
            yield from (f"({rhs}) * ({d.format(other)})" for d in DERIVATIVES)
            yield from (f"({rhs}) {op} {other}" for op in "+-")
    yield from (instead(node, d.format(ast.unparse(node))) for node in operands for d in DERIVATIVES)
    yield from (f"({rhs}).sum({axis})" for axis in OVER)


def additions(rhs: str, operands_: Operands, shape: Shape = None) -> Iterator[str]:
    """What they may have left out: a factor or a term made of other variables. One of many may fit by accident."""
    instead, operands, tree, nodes = parts(rhs)
    others = [name for name, _ in operands_]
    numbers = [name for name, value in operands_ if np.ndim(value) == 0]
    shapes = {name: np.shape(value) for name, value in operands_}
    turned = {name: s[::-1] for name, s in shapes.items() if len(s) == 2 and not name.endswith(".T")}
    matrices = [name for name, s in shapes.items() if len(s) == 2]
    spread = [name for name, s in shapes.items() if shape is None or spreads(s, shape)]
    free = elementwise(tree)
    for a in matrices:
        if shape is None or shapes[a] == shape[-2:][:1] * 2:
            yield from (f"{a} @ ({rhs})", *([f"{a}.T @ ({rhs})"] if a in turned else []))
        if shape is None or shapes[a] == shape[-1:] * 2:
            yield from (f"({rhs}) @ {a}", *([f"({rhs}) @ {a}.T"] if a in turned else []))
    for other in spread:
        yield from (f"({rhs}) {op} {other}" for op in "*/+-")
        if other not in numbers:
            yield from (f"({rhs}) * ({d.format(other)})" for d in DERIVATIVES)
    yield from (f"({rhs}).sum({axis})" for axis in OVER)
    for node in nodes:
        number = isinstance(node, ast.Constant) and type(node.value) in (int, float)
        if number or isinstance(node, ast.Call | ast.BinOp):
            yield from (instead(node, f"({ast.unparse(node)}) {op} {c}") for c in numbers for op in "*/+")
    for c in [*numbers, "2", "0.5", *(f"2 * {c}" for c in numbers)]:
        yield from (f"{rhs} + {c} * {other}" for other in spread)
    for node in operands:
        x = ast.unparse(node)
        for other in spread if node in free else others:
            yield from (instead(node, f"{x} {op} {other}") for op in "*/-+")
    for a in others:
        for b in others:
            if product_fits(shapes[a], shapes[b], shape):
                yield f"{rhs} + {a} @ {b}"
            if shapes[a] and shapes[b] and shapes[a][-1:] == shapes[b][-1:] and a in spread and b in spread:
                yield f"{rhs} + {a} * {b}"
            if a in turned and product_fits(turned[a], shapes[b], shape):
                yield f"{rhs} + {a}.T @ {b}"


def spreads(shape: tuple[int, ...], over: tuple[int, ...]) -> bool:
    """Whether an array may stand beside others in a line that makes one of another shape."""
    return len(shape) <= len(over) and all(n in (1, m) for n, m in zip(shape[::-1], over[::-1], strict=False))


def product_fits(a: tuple[int, ...], b: tuple[int, ...], shape: Shape) -> bool:
    """Whether two arrays have a product, which may be added to what has this shape."""
    return a[-1:] == b[-2:][:1] and (shape is None or len(a) > 2 or len(b) > 2 or spreads((*a[:-1], *b[1:]), shape))


def elementwise(tree: ast.expr) -> set[ast.expr]:
    """The parts of an expression that stand side by side in it, so that each spreads over what it makes."""
    match tree:
        case ast.BinOp(left=left, op=op, right=right) if not isinstance(op, ast.MatMult):
            return {tree} | elementwise(left) | elementwise(right)
        case ast.UnaryOp(operand=operand):
            return {tree} | elementwise(operand)
    return {tree}


def parts(rhs: str) -> tuple[Callable[[ast.expr, str], str], list[ast.expr], ast.expr, list[ast.expr]]:
    """What puts a text in place of a node, the operands, the whole expression, and its nodes."""
    tree = ast.parse(rhs, mode="eval").body
    negated = {n.operand for n in ast.walk(tree) if isinstance(n, ast.UnaryOp) and isinstance(n.operand, ast.Constant)}
    nodes = sorted((n for n in ast.walk(tree) if isinstance(n, ast.expr) and n not in negated and not is_shape(n)),
                   key=lambda n: not isinstance(n, ast.UnaryOp))
    operands: list[ast.expr] = [n for n in nodes if isinstance(n, ast.Name | ast.Subscript | ast.Attribute) and plain(n)
                and not (isinstance(n, ast.Name) and n.id == "np")]

    def instead(node: ast.expr, new: str) -> str:
        return f"{rhs[:node.col_offset]}({new}){rhs[node.end_col_offset:]}"

    return instead, operands, tree, nodes


def is_shape(node: ast.expr) -> bool:
    """Whether this is a shape, which is no number: 7 times a shape is that of an array without end."""
    return (isinstance(node, ast.Attribute) and node.attr == "shape") or function_of(node) == "shape"


def edited(node: ast.expr) -> Iterator[str]:
    """One node changed by itself: a transpose, an operator, a sign, a number, an axis, a comparison."""
    x = ast.unparse(node)
    match node:
        case ast.Attribute(value=inner, attr="T"):
            yield ast.unparse(inner)
        case ast.Attribute(value=inner, attr="size"):
            yield from (f"{ast.unparse(inner)}.shape[{axis}]" for axis in (0, 1))
        case ast.Call(func=ast.Name(id="len"), args=[inner]):
            yield from (f"{ast.unparse(inner)}.{size}" for size in ("shape[1]", "size"))
        case ast.Name():
            yield from (f"{x}.T", f"-{x}")
        case ast.Subscript(value=inner, slice=part):
            yield f"{x}.T"
            if isinstance(part, ast.Slice) or "None" in ast.unparse(part):
                yield ast.unparse(inner)
            if isinstance(part, ast.Tuple):
                for i, one in enumerate(part.elts):
                    whole = [":" if k == i else ast.unparse(e) for k, e in enumerate(part.elts)]
                    if isinstance(one, ast.Slice) and ast.unparse(one) != ":":
                        yield f"{ast.unparse(inner)}[{', '.join(whole)}]"
        case ast.BinOp(left=left, op=op, right=other):
            a, b = f"({ast.unparse(left)})", f"({ast.unparse(other)})"
            if isinstance(op, ast.MatMult):
                ta, tb = (ast.unparse(n.value) if isinstance(n, ast.Attribute) and n.attr == "T" else f"{t}.T"
                          for n, t in ((left, a), (other, b)))
                yield from (f"{c} @ {d}" for c, d in ((ta, tb), (b, a), (tb, ta), (b, ta), (tb, a)))
            elif type(op) in OPPOSITE:
                yield f"{a} {OPPOSITE[type(op)]} {b}"
                yield f"{b} {'-' if isinstance(op, ast.Sub) else '/'} {a}"
                if isinstance(op, ast.Div):
                    yield f"{'-' if isinstance(left, ast.UnaryOp) else ''}1 / {b}"
            yield from (a, b)
            yield from regrouped(node)
        case ast.UnaryOp(op=op, operand=operand):
            yield ast.unparse(operand)
            if isinstance(op, ast.USub) and isinstance(operand, ast.Constant):
                yield "0"
        case ast.Constant(value=int() | float() as c) if not isinstance(c, bool):
            yield from (repr(d) for d in dict.fromkeys((0, 1, -1, 2, c + 1, c - 1, 2 * c)) if d != c)
        case ast.Compare(left=left, ops=[_], comparators=[other]):
            yield from (f"{ast.unparse(left)} {op} {ast.unparse(other)}" for op in (">", "<", ">=", "<=", "!="))
            yield ast.unparse(left)
            yield f"abs({ast.unparse(node)[:len(ast.unparse(left))]}){ast.unparse(node)[len(ast.unparse(left)):]}"
        case ast.IfExp(body=body, orelse=other):
            yield from (ast.unparse(body), ast.unparse(other))
        case ast.ListComp(elt=ast.Name(), generators=[part]):
            yield ast.unparse(part.iter)
        case ast.Call(func=f, args=args, keywords=keywords):
            for k in keywords:
                yield ast.unparse(ast.Call(f, args, [other for other in keywords if other is not k]))
            if isinstance(f, ast.Attribute) and f.attr in GATHERING:
                for name in GATHERING:
                    yield ast.unparse(ast.Call(ast.Attribute(f.value, name, ast.Load()), args, keywords))
            if isinstance(f, ast.Attribute) and f.attr in ALONG:
                yield from (f"{ast.unparse(f)}({axis})" for axis in OVER)
            if isinstance(f, ast.Name) and f.id == "range":
                yield f"reversed({x})"
                if len(args) > 1:
                    yield f"range({ast.unparse(args[1])})"
            if isinstance(f, ast.Attribute) and f.attr in OTHER_SIDE:
                yield ast.unparse(ast.Call(ast.Attribute(f.value, OTHER_SIDE[f.attr], ast.Load()), args, keywords))
            for i in range(len(args) - 1):
                swapped = [*args[:i], args[i + 1], args[i], *args[i + 2:]]
                yield ast.unparse(ast.Call(f, swapped, keywords))
            yield from map(ast.unparse, args)


def regrouped(node: ast.BinOp) -> Iterator[str]:
    """A parenthesis that closes elsewhere: (a + b) * c for a + b * c, and the other way round."""
    match node:
        case ast.BinOp(a, ast.Add() | ast.Sub() as plus, ast.BinOp(b, ast.Mult() | ast.Div() as times, c)):
            yield ast.unparse(ast.BinOp(ast.BinOp(a, plus, b), times, c))
        case ast.BinOp(ast.BinOp(a, ast.Add() | ast.Sub() as plus, b), ast.Mult() | ast.Div() as times, c):
            yield ast.unparse(ast.BinOp(a, plus, ast.BinOp(b, times, c)))
            yield ast.unparse(ast.BinOp(ast.BinOp(a, times, c), plus, b))


# ---- in their function

@lru_cache(maxsize=4096)
def compiled(text: str) -> Any:
    """The code of an expression, which is looked at again and again; None if it is none."""
    try:
        return compile(text, "<line>", "eval")
    except (SyntaxError, ValueError, RecursionError):
        return None


def plain(node: ast.AST) -> bool:
    """Whether reading this changes nothing: names, their parts, numbers."""
    return all(isinstance(n, ast.Name | ast.Subscript | ast.Attribute | ast.Constant | ast.Slice | ast.Tuple | ast.BinOp
                          | ast.UnaryOp | ast.operator | ast.unaryop | ast.expr_context) for n in ast.walk(node))


def heads(spot: Spot, frame: Any) -> Iterator[str]:
    """What a loop may have to run over, or a branch to ask for: another list or dict that there is."""
    names = [name for name, value in frame.f_locals.items() if isinstance(value, list | tuple | dict | set | range)
             and not name.startswith("_")]
    if spot.kind == "loop":
        yield from (*names, f"reversed({ast.unparse(spot.expression)})")
    match spot.expression:
        case ast.Compare(left=left, ops=[ast.Eq()]):
            yield from (f"{ast.unparse(left)} in {name}" for name in names)


def scope_of(frame: Any) -> dict[str, Any]:
    """All that can be read in a frame, also by comprehensions within an expression."""
    return {**frame.f_globals, **frame.f_locals}


def evaluating(code: Any) -> Change:
    """What computes another expression in place of theirs."""
    def change(n: int, v: Any) -> Any:
        return eval(code, {"np": np, **scope_of(sys._getframe(2))})
    return change


def operands(spots: Iterable[Spot], frame: Any) -> Iterator[tuple[str, Any]]:
    """What stands for arrays and numbers in their source, and can be read in a frame: x, W.T, hs[t], cache["a1"]."""
    texts = dict.fromkeys(written(tuple(spots)))
    texts |= dict.fromkeys(name for name, value in frame.f_globals.items()
                           if type(value) in (float, int) and not name.startswith("_"))
    texts |= dict.fromkeys(name for name in frame.f_locals if name.isidentifier() and not name.startswith("_"))
    counters = [name for name, value in frame.f_locals.items() if type(value) is int]
    texts |= dict.fromkeys(f"{name}[{i}{step}]" for name, value in frame.f_locals.items() if type(value) is list
                           for i in counters for step in ("", " + 1", " - 1"))
    for text in list(texts)[:OPERANDS]:
        try:
            value = eval(text, frame.f_globals, frame.f_locals)
        except Exception:
            continue
        if isinstance(value, np.ndarray | np.generic | float | int) and not isinstance(value, bool):
            yield text, np.array(value)


@lru_cache(maxsize=8)
def written(spots: tuple[Spot, ...]) -> list[str]:
    """What is read in the statements of these spots."""
    nodes = [node for statement in dict.fromkeys(spot.node for spot in spots) for node in ast.walk(statement)
             if isinstance(node, ast.Name | ast.Subscript | ast.Attribute) and plain(node)]
    return list(dict.fromkeys(map(ast.unparse, nodes)))


def rewritten(spot: Spot, new: ast.expr) -> str:
    """The statement with another expression at this spot."""
    if spot.kind == "key" and spot.node is spot.expression:
        return f'"{spot.name}": {ast.unparse(new)}'
    if spot.kind == "return" and isinstance(spot.node, ast.expr):
        return ast.unparse(new)
    at = [i for i, n in enumerate(ast.walk(spot.node)) if n is spot.expression]
    made = copy.deepcopy(spot.node)
    chosen = {id(n) for i, n in enumerate(ast.walk(made)) if i in at}
    text = ast.unparse(Replacing(chosen, copy.deepcopy(new)).visit(made)).replace(" - -", " + ")
    return text.splitlines()[0] if isinstance(spot.node, HEADS) else text


class Replacing(ast.NodeTransformer):
    """Puts another node in place of some."""

    def __init__(self, which: set[int], new: ast.expr) -> None:
        self.which, self.new = which, new

    def visit(self, node: ast.AST) -> Any:
        """The node, or what stands in its place."""
        return self.new if id(node) in self.which else self.generic_visit(node)
