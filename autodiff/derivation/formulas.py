"""Records as expressions, up to the records that have a symbol.

`Formulas` reads any tape: the forward, and what a rule records when it is run on Tensors, which is how derivatives get
their formulas: there is no second set of rules. How each operation is written is the table in `written`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import numpy as np

from autodiff.derivation.calls import Held, default, spread
from autodiff.derivation.notation import Expr, Number, Shown, Symbol, size
from autodiff.derivation.paper import bare, is_number
from autodiff.derivation.structure import shape_of
from autodiff.derivation.symbols import raw_source, symbol_of
from autodiff.derivation.written import FORMULA, SPREADING
from autodiff.ops import indexing
from autodiff.record import Record
from autodiff.sites import locate

TELLING = 6           # characters of a number beyond which its value says whose it is
LARGE = 40            # parts of an expression beyond which what is constant gets a letter instead


class Formulas:
    """Records as expressions.

    Parameters
    ----------
    symbols : dict of Record to Expr
        Where to stop: what is written as a symbol. Added to as constants get letters.
    new_name : callable
        Gives the next free name.
    samples : int or None
        How many samples there are, if that is known: this number as a divisor is written m.
    row_vectors : bool
        Whether a vector is a row.

    Attributes
    ----------
    arrays, scalars : dict
        What plain arrays are called, by their identity, and numbers that only one thing can be, by their value.
    """

    def __init__(self, symbols: Mapping[Record, Expr], new_name: Callable[[], str], samples: int | None = None,
                 row_vectors: bool = False) -> None:
        self.symbols = dict(symbols)
        self.new_name = new_name
        self.samples = samples
        self.arrays: dict[int, Expr] = {}
        self.scalars: dict[complex, Expr] = {}
        self.row_vectors = row_vectors

    def meet_all(self, tape: list[Record]) -> None:
        """Learn what plain arrays are called: by the text of the line, numbered if that meant several arrays."""
        met: dict[str, list[Any]] = {}
        for r in tape:
            for x, text in zip(r.inputs, r.written, strict=True):
                if isinstance(x, np.ndarray) and x.ndim and text and not any(x is y for y in met.setdefault(text, [])):
                    met[text].append(x)
        taken = {symbol.base + "".join(map(str, symbol.sub)) for symbol in self.symbols.values()
                 if isinstance(symbol, Symbol)}
        for text, arrays in met.items():
            name = text.partition("[")[0]
            if len(arrays) > 1 and name.isidentifier() and not all(np.array_equal(x, arrays[0]) for x in arrays):
                counter = (f"{name}{k}" for k in count(1))
                free = (candidate for candidate in counter if candidate not in taken)
                self.arrays |= {id(x): symbol_of(next(free), Held(x)) for x in arrays}
        for r in tape:
            self.meet(r)

    def meet(self, r: Record) -> None:
        """Learn what the arrays are called that an operation takes."""
        if r.op is indexing.items:
            self.meet_index(r)
        for i, x in enumerate(r.inputs):
            if isinstance(x, float) and len(repr(float(x))) > TELLING and r.written[i]:
                self.scalars.setdefault(complex(x), self.operand(r, i))
            if isinstance(x, np.ndarray):
                self.arrays.setdefault(id(x), self.operand(r, i))

    def meet_index(self, r: Record) -> None:
        """Learn what the arrays in an index are called: ``p[rows, labels]``."""
        try:
            node = ast.parse(locate(r.code, r.lasti).text, mode="eval").body
        except (SyntaxError, ValueError):
            return
        if isinstance(node, ast.Subscript):
            texts = [ast.unparse(e) for e in (node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice])]
            index = r.options["index"]
            parts = index if isinstance(index, tuple) else (index,)
            if len(texts) == len(parts):
                arrays = iter(r.inputs[1:])
                for part, text in zip(parts, texts):
                    x = next(arrays) if part is indexing.HOLE else None
                    if isinstance(x, np.ndarray) and text.isidentifier():
                        self.arrays.setdefault(id(x), symbol_of(text, Held(x)))

    def of(self, record: Record) -> Expr:
        """What a record is written as: its symbol if it has one."""
        return self.symbols.get(record) or self.formula(record)

    def formula(self, record: Record) -> Expr:
        """How a record is computed from those that have symbols."""
        needed, pending = {record}, [record]
        while pending:
            for x in pending.pop().inputs:
                if isinstance(x, Record) and x not in needed and x not in self.symbols and x.op is not None:
                    needed.add(x)
                    pending.append(x)
        written: dict[Record, Expr] = {}
        for r in sorted(needed, key=lambda r: r.serial):
            args = [written[x] if isinstance(x, Record) and x in written else self.operand(r, i)
                    for i, x in enumerate(r.inputs)]
            written[r] = y = self.one(r, args)
            if size(y) > LARGE and r is not record:
                written[r] = self.symbols[r] = symbol_of(self.new_name(), key=r)
        return written[record]

    def one(self, r: Record, args: list[Expr]) -> Expr:
        """One operation on operands that are written already."""
        op: Any = r.op
        if op is None:
            return self.number(r.value)
        if op in SPREADING and shape_of(r.inputs[0]) == () != shape_of(r):
            return spread(args[0], shape_of(r))
        if op in SPREADING and args and is_number(args[0]) and isinstance(args[0], Shown):
            return spread(bare(args[0]), shape_of(r))
        y = FORMULA.get(op, default)(self, r, args)
        if op.kind == "elementwise" and shape_of(r):
            full = [a for a, x in zip(args, r.inputs) if shape_of(x) == shape_of(r)]
            if any(map(is_spread, args)) and all(map(is_spread, full)):
                return spread(y, shape_of(r), all(is_number(a) or shape_of(x) == ()
                                                        for a, x in zip(args, r.inputs)))
        return y

    def operand(self, r: Record, i: int) -> Expr:
        """An operand that no operation on the way made: a symbol, a number, an array by the user's name for it."""
        x = r.inputs[i]
        if isinstance(x, Record):
            known = self.symbols.get(x)
            return known if known is not None else self.number(x.value)
        if x is None or isinstance(x, tuple):
            return Symbol(repr(x), key=Held(x))
        if id(x) in self.arrays:
            return self.arrays[id(x)]
        text = r.written[i]
        if not text and np.ndim(x) == 0 and (known := self.scalars.get(complex(x))):
            return known
        body = raw_source(text, symbol_of) if text else None
        if isinstance(body, Number) or (body is None and np.ndim(x) == 0):
            return self.number(x)
        if body is None and isinstance(x, np.ndarray) and x.size and np.all(x == x.flat[0]):
            return spread(self.number(x.flat[0]), x.shape)
        body = body or Symbol(text if 0 < len(text) < 25 else self.new_name())
        return Symbol(body.base, body.sub, body.accent, Held(x)) if isinstance(body, Symbol) \
            else Shown(body, lambda _: x, "worth")

    def number(self, x: Any) -> Expr:
        """A constant without a name."""
        if isinstance(x, tuple):
            return Symbol(self.new_name(), key=Held(x))
        if np.size(x) == 1:
            y: Expr = Number(np.asarray(x).item())
            return y if np.ndim(x) == 0 else spread(y, np.shape(x))
        if isinstance(x, np.ndarray) and x.size and np.all(x == x.flat[0]):
            return spread(Number(x.flat[0].item()), x.shape)
        return Symbol(self.new_name(), key=Held(x))

    def divisor(self, n: Any) -> Expr:
        """A number one divides by: m where it is the number of samples."""
        n = int(n) if float(n).is_integer() else float(n)
        return Symbol("m", key=Held(n)) if n == self.samples and n > 2 else Number(n)


def is_spread(x: Expr) -> bool:
    """Whether something is written without the shape that it is broadcast to."""
    return isinstance(x, Shown) and x.role == "spread"
