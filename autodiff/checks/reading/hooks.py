"""Hooks put around the values in a function's source: what a line assigns, adds, collects, returns."""

from __future__ import annotations

import ast
import copy
import linecache
from dataclasses import dataclass
from types import CodeType
from typing import Any

from autodiff.sites import short_path

HOOK = "__value_of_line__"
COLLECTING = {"append", "appendleft", "insert", "extend", "update", "setdefault", "add"}
HEADS = ast.For | ast.While | ast.If
OPAQUE = ("loop", "index", "choice", "picked")            # kinds of spots whose values are noted only as having been
STATEMENTS = ("body", "orelse", "finalbody")
Definition = ast.FunctionDef | ast.Lambda


@dataclass(frozen=True, eq=False)
class Spot:
    """A place in a source where a value is made.

    Attributes
    ----------
    kind : str
        "value" of an assignment, "increment" added to a variable, "whole" variable after it was changed in place or
        added to, "key" of a dict, "element" collected in a list, "return", "factor" a variable is multiplied by; of
        what may be no array: "loop" over something, "index" where something is put, "choice" of a branch, "picked" to
        be taken apart.
    name : str
        What they call the value: a variable, the key of a dict; "" where it has no name.
    file, line, end_line, function : str, int, int, str
        Where.
    main : bool
        Whether it stands in the function itself, not in one that it calls.
    node, expression : ast.AST
        The statement, or the part of one; and what is computed: of a variable added to, the variable itself.
    reads : frozenset of str
        The variables that the statement reads.
    fresh : bool
        Whether a variable changed in place is made anew each time, so that each of its values counts, not the last.
    """

    kind: str
    name: str
    file: str
    line: int
    end_line: int
    function: str
    main: bool
    node: ast.AST
    expression: ast.expr
    reads: frozenset[str] = frozenset()
    fresh: bool = False

    @property
    def text(self) -> str:
        """The source, on one line."""
        end = self.end_line
        if isinstance(self.node, HEADS):
            end = max(self.line, self.node.body[0].lineno - 1)
        lines = (linecache.getline(self.file, n).strip() for n in range(self.line, end + 1))
        return " ".join(lines)

    @property
    def where(self) -> str:
        """File and line."""
        return f"{short_path(self.file)}:{self.line}"


class Hooks:
    """Puts a hook around each value in the statements of one function."""

    def __init__(self, spots: list[Spot], code: CodeType, main: bool) -> None:
        self.spots, self.main = spots, main
        self.file, self.function = code.co_filename, code.co_name
        self.made: set[str] = set()                       # the variables that the innermost loop's body makes

    def rebuilt(self, node: Definition) -> Definition:
        """The definition with hooks; what was read is left as it is."""
        if isinstance(node, ast.Lambda):
            return ast.copy_location(ast.Lambda(node.args, self.around(node.body, node.body, "return", "")), node)
        new: Any = ast.FunctionDef(node.name, node.args, self.block(node.body), [], None)
        new.type_params = getattr(node, "type_params", [])
        rebuilt: Definition = ast.copy_location(new, node)
        return rebuilt

    def within(self, name: str) -> Hooks:
        """For the body of a function that is defined in this one."""
        inner = copy.copy(self)
        inner.main, inner.function = False, name
        return inner

    def block(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        """Statements with hooks."""
        return [new for statement in statements for new in self.statement(statement)]

    def statement(self, s: ast.stmt) -> list[ast.stmt]:
        """A statement with hooks, and what must come after it."""
        match s:
            case ast.Assign(targets=targets, value=value):
                new: ast.stmt = ast.Assign([self.indexed(t, s) for t in targets], self.value(value, s, targets[0]))
                return [ast.copy_location(new, s), *self.after(s, targets[0], value)]
            case ast.AnnAssign(target=target, value=value) if value is not None:
                new = ast.Assign([target], self.value(value, s, target))
                return [ast.copy_location(new, s), *self.after(s, target, value)]
            case ast.AugAssign(target=target, op=op, value=value):
                added = isinstance(op, ast.Add | ast.Sub)
                value = self.around(value, s, "increment", named(target)) if added else \
                    self.around(value, s, "factor", "")
                new = ast.AugAssign(self.indexed(target, s), op, value)
                return [ast.copy_location(new, s), *self.after(s, target, value, added=True)]
            case ast.Return(value=value) if value is not None and not isinstance(value, ast.Name):
                return [ast.copy_location(ast.Return(self.value(value, s, None)), s)]
            case ast.Expr(value=ast.Call() as call):
                return self.call(s, call)
            case ast.FunctionDef():
                inner: Any = ast.FunctionDef(s.name, s.args, self.within(s.name).block(s.body), s.decorator_list,
                                             s.returns)
                inner.type_params = getattr(s, "type_params", [])
                return [ast.copy_location(inner, s)]
            case ast.For() | ast.While() if not self.made >= (made := made_in(s.body)):
                outer, self.made = self.made, made
                new_loop = self.statement(s)
                self.made = outer
                return new_loop
            case ast.For() | ast.While() | ast.If() | ast.With() | ast.Try():
                fields = {name: getattr(s, name) for name in s._fields if hasattr(s, name)}
                for part in STATEMENTS:
                    if part in fields:
                        fields[part] = self.block(fields[part])
                if isinstance(s, ast.For):
                    fields["iter"] = self.around(s.iter, s, "loop", "")
                if isinstance(s, ast.If):
                    fields["test"] = self.around(s.test, s, "choice", "")
                if isinstance(s, ast.For | ast.While):                 # so that no loop runs on for ever
                    watch = ast.Call(ast.Name(HOOK, ast.Load()), [ast.Constant(0), ast.Constant(None)], [])
                    fields["body"] = [ast.copy_location(ast.Expr(watch), s), *fields["body"]]
                if isinstance(s, ast.Try):
                    fields["handlers"] = [ast.copy_location(ast.ExceptHandler(h.type, h.name, self.block(h.body)), h)
                                          for h in s.handlers]
                return [ast.copy_location(type(s)(**fields), s)]
        return [s]

    def indexed(self, target: Any, s: ast.AST) -> Any:
        """A target ``x[i]`` with a hook around each index."""
        if not isinstance(target, ast.Subscript):
            return target
        def one(i: ast.expr) -> ast.expr:
            if isinstance(i, ast.Slice):
                return ast.copy_location(ast.Slice(i.lower and one(i.lower), i.upper and one(i.upper), i.step), i)
            return i if isinstance(i, ast.Starred | ast.Constant) else self.around(i, s, "index", "")
        index = target.slice
        index = ast.copy_location(ast.Tuple([one(i) for i in index.elts], ast.Load()), index) \
            if isinstance(index, ast.Tuple) else one(index)
        return ast.copy_location(ast.Subscript(target.value, index, ast.Store()), target)

    def value(self, value: ast.expr, s: ast.AST, target: ast.expr | None) -> ast.expr:
        """The right-hand side of an assignment, or what is returned, with hooks."""
        name = named(target) if target is not None else ""
        kind = "value" if target is not None else "return"
        match value:
            case ast.Dict(keys=keys, values=values):
                parts = [v if k is None else self.value(v, v, target) if isinstance(v, ast.Lambda)
                         else self.around(v, v, "key", key_text(k)) for k, v in zip(keys, values, strict=True)]
                return ast.copy_location(ast.Dict(keys, parts), value)
            case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords):
                pairs = [ast.keyword(k.arg, self.around(k.value, k.value, "key", k.arg) if k.arg else k.value)
                         for k in keywords]
                return ast.copy_location(ast.Call(value.func, [], pairs), value)
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                targets = target.elts if isinstance(target, ast.Tuple | ast.List) else [None] * len(elements)
                if len(targets) != len(elements) or any(isinstance(e, ast.Starred) for e in (*targets, *elements)):
                    return value
                parts = [self.around(e, s, "value" if t is not None else "element", named(t) if t is not None else name)
                         for t, e in zip(targets, elements, strict=True)]
                return ast.copy_location(type(value)(parts, ast.Load()), value)
            case ast.ListComp(elt=element, generators=generators):
                return ast.copy_location(ast.ListComp(self.around(element, s, "element", name), generators), value)
            case ast.DictComp(key=key, value=element, generators=generators):
                return ast.copy_location(ast.DictComp(key, self.around(element, s, "element", name), generators), value)
            case ast.Lambda(args=arguments, body=body):
                inner = self.within("<lambda>")
                return ast.copy_location(ast.Lambda(arguments, inner.around(body, s, "return", name)), value)
            case ast.BinOp() if adds_to(value, name):                          # x = x + a + b is x += a + b
                return self.around(self.terms(value, s, name), s, "whole", name, value)
        if isinstance(target, ast.Tuple | ast.List) or takes(value):
            value = self.around(value, s, "picked", "")
            if isinstance(target, ast.Tuple | ast.List):
                return value
        return self.around(value, s, kind, name)

    def terms(self, value: Any, s: ast.AST, name: str) -> ast.expr:
        """A sum that begins with the variable it is assigned to, with a hook around each term."""
        left = value.left if isinstance(value.left, ast.Name) else self.terms(value.left, s, name)
        right = self.around(value.right, s, "increment", name)
        return ast.copy_location(ast.BinOp(left, value.op, right), value)

    def after(self, s: ast.stmt, target: ast.expr, value: ast.expr, added: bool = False) -> list[ast.stmt]:
        """Hooks for variables that are only known after the statement."""
        if isinstance(target, ast.Tuple | ast.List):
            if isinstance(value, ast.Tuple | ast.List):
                return []
            return [self.again(s, t, "value") for t in target.elts if isinstance(t, ast.Name)]
        if isinstance(target, ast.Name):
            return [self.again(s, target, "whole")] if added else []
        root = root_of(target)
        if root is None:
            return []
        extra = [self.look(s, root)]
        if added and isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant | ast.Name):
            extra.append(self.again(s, target, "whole"))
        return extra

    def call(self, s: ast.Expr, call: ast.Call) -> list[ast.stmt]:
        """A statement that is a call: what it collects, and the variables that it may have changed."""
        f = call.func
        roots = [f.value] if isinstance(f, ast.Attribute) and isinstance(f.value, ast.Name) else []
        roots += [a for a in call.args[:1] if isinstance(a, ast.Name)]
        roots += [k.value for k in call.keywords if k.arg == "out" and isinstance(k.value, ast.Name)]
        collecting = isinstance(f, ast.Attribute) and f.attr in COLLECTING
        kind = "element" if collecting else "increment"
        start = 0 if collecting else 2                       # np.add.at(dE, ids, g)
        arguments = [self.collected(a, s, kind, roots[0].id if roots else "") if i >= start else a
                     for i, a in enumerate(call.args)]
        if not collecting and len(arguments) > 2 and not isinstance(arguments[1], ast.Starred):
            arguments[1] = self.around(arguments[1], s, "index", "")
        new = ast.copy_location(ast.Expr(ast.copy_location(ast.Call(f, arguments, call.keywords), call)), s)
        return [new, *(self.look(s, root) for root in roots if root.id != "np")]

    def collected(self, value: ast.expr, s: ast.AST, kind: str, name: str) -> ast.expr:
        """What is collected with its hook; each part of a tuple or a dict has its own."""
        match value:
            case ast.Starred():
                return value
            case ast.Tuple(elts=parts) if not any(isinstance(part, ast.Starred) for part in parts):
                return ast.copy_location(ast.Tuple([self.around(p, s, kind, "") for p in parts], ast.Load()), value)
            case ast.Dict(keys=keys, values=values):
                parts = [v if k is None else self.around(v, s, kind, key_text(k))
                         for k, v in zip(keys, values, strict=True)]
                return ast.copy_location(ast.Dict(keys, parts), value)
        return self.around(value, s, kind, name)

    def around(self, value: ast.expr, s: ast.AST, kind: str, name: str, original: ast.expr | None = None) -> ast.expr:
        """A value with its hook."""
        return ast.copy_location(self.hooked(value, s, kind, name, original), value)

    def again(self, s: ast.stmt, target: Any, kind: str) -> ast.stmt:
        """``x = hook(x)``, after a statement that changed x."""
        loaded = type(target)(**{**{n: getattr(target, n) for n in target._fields}, "ctx": ast.Load()})
        return ast.copy_location(ast.Assign([target], self.hooked(loaded, s, kind, named(target))), s)

    def look(self, s: ast.stmt, root: ast.Name) -> ast.stmt:
        """``hook(x)``, after a statement that changed elements of x."""
        return ast.copy_location(ast.Expr(self.hooked(ast.Name(root.id, ast.Load()), s, "whole", root.id)), s)

    def hooked(self, value: ast.expr, s: Any, kind: str, name: str, original: ast.expr | None = None) -> ast.Call:
        """The call of the hook; `original` is the value as they wrote it."""
        original = original or value
        reads = frozenset(n.id for n in ast.walk(s) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load))
        spot = Spot(kind, name, self.file, s.lineno, s.end_lineno, self.function, self.main, s, original, reads,
                    kind == "whole" and name in self.made)
        self.spots.append(spot)
        number = ast.Constant(len(self.spots) - 1)
        return ast.Call(ast.Name(HOOK, ast.Load()), [number, value], [])


def takes(value: ast.expr) -> bool:
    """Whether an expression takes something out of a list."""
    match value:
        case ast.Call(func=ast.Attribute(attr="pop" | "popleft")):
            return True
    return False


def made_in(body: list[ast.stmt]) -> set[str]:
    """The variables that the statements of a loop assign, other than by adding to them."""
    return {t.id for s in body if isinstance(s, ast.Assign) for target in s.targets
            for t in (target.elts if isinstance(target, ast.Tuple | ast.List) else [target])
            if isinstance(t, ast.Name) and not adds_to(s.value, t.id)}


def adds_to(value: ast.expr, name: str) -> bool:
    """Whether this is a sum that begins with the variable of this name."""
    while isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add | ast.Sub):
        value = value.left
        if isinstance(value, ast.Name):
            return value.id == name
    return False


def named(target: ast.expr | None) -> str:
    """What a target calls its value: a variable, or the key it is stored under."""
    match target:
        case ast.Name(id=name):
            return name
        case ast.Subscript(slice=ast.Constant(value=str() as key)):
            return key
        case ast.Subscript(value=inner):
            return named(inner)
        case ast.Attribute(attr=name):
            return name
    return ""


def key_text(key: ast.expr) -> str:
    """The key of a dict."""
    return str(key.value) if isinstance(key, ast.Constant) else ""


def root_of(target: ast.expr) -> ast.Name | None:
    """The variable of which a target is a part."""
    while isinstance(target, ast.Subscript | ast.Attribute):
        target = target.value
    return target if isinstance(target, ast.Name) else None
