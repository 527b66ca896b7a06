"""The rules of a tape run on formulas: what values and gradients are, in terms of what is on the tape.

Data are the arrays that no gradient flows to. A sum of two arrays, such as z = x W + b, is a symbol of its own: people
speak of z. So is what a matrix product gives; where formulas end in this way, the recorded gradient is the symbol that
the next ones are about.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from autodiff.forward import contribution
from autodiff.kinds import At, select
from autodiff.ops import arithmetic, contraction, elementary, indexing, products
from autodiff.program.algebra import Algebra, Atom, UnknownFormulaError, arrays_in
from autodiff.program.formula import Formula, as_formula, hot
from autodiff.program.passes import value_of
from autodiff.program.polynomial import Rational
from autodiff.record import Record
from autodiff.sites import is_ours, locate
from autodiff.tensor import Tensor

PRODUCTS = {products.matmul, products.linear, contraction.contract}
MANY = 500           # records: of a longer tape only what is next to the loss is looked at
DEEP = 25            # operations to look into at most, for what a value is
TERMS = 24           # and terms in it
WRITTEN = re.compile(r"(?P<sign>1(\.0*)?-|-|)(?P<y>[A-Za-z_][\w.\[\]:,()]*)")


class Formulas:
    """What is known of a tape as formulas.

    Attributes
    ----------
    algebra : Algebra
        The symbols.
    values : dict of Record to Formula
        What the values are that were asked for.
    gradients : dict of Record to Formula
        What the gradients of the loss are, as far as formulas go.
    needs : dict of Record to dict
        What was taken for granted for the gradient at a record.
    """

    def __init__(self, loss: Record, tape: Sequence[Record], cotangents: Mapping[Record, Tensor],
                 names: Collection[Record]) -> None:
        self.tape, self.cotangents, self.names = tape, cotangents, names
        self.algebra = Algebra()
        self.values: dict[Record, Formula] = {}
        self.gradients: dict[Record, Formula] = {}
        self.needs: dict[Record, dict[str, None]] = {}
        self.related: dict[int, Formula] = {}                   # data that is simply made of other data, by id
        self.first: dict[Any, Record] = {}
        self.relate()
        self.walk(loss)

    # ---- values

    def relate(self) -> None:
        """Find data that the user wrote as 1 - y or -y where nothing was recorded of it."""
        written: dict[str, dict[str, Any]] = {}                 # by the y within: y itself, -y and 1 - y
        for x, texts in data_of(self.tape, self.cotangents):
            for text in texts:
                if match := WRITTEN.fullmatch(text.replace(" ", "")):
                    sign, y = match["sign"], match["y"]
                    written.setdefault(y, {}).setdefault("1-" if "1" in sign else sign, x)
        for forms in written.values():
            kind = min(forms)
            base = forms[kind]
            b, value = self.value(base), value_of(base)
            y, there = (b, value) if not kind else (-b, -value) if kind == "-" else (1 - b, 1 - value)
            for other, x in forms.items():
                if x is not base and np.array_equal(value_of(x), 1 - there if other == "1-" else -there):
                    self.related[id(x)] = 1 - y if other == "1-" else -y

    def value(self, r: Any, depth: int = DEEP) -> Any:
        """What a record's value is in terms of the atoms; itself an atom where that is not known."""
        if not isinstance(r, Record):
            return self.related.get(id(r)) or as_formula(self.algebra, r) if isinstance(r, np.ndarray) and r.ndim else r
        if r not in self.values:
            same = self.same_as(r)
            self.values[r] = self.value(same, depth) if same is not r else \
                self.related.get(id(r)) or self.looked_into(r, depth) or as_formula(self.algebra, r)
        return self.values[r]

    def same_as(self, r: Record) -> Record:
        """The first record that did the same to the same."""
        if r.op is None or r.op.kind == "constant" or r.options:
            return r
        key = (r.op, *(x if isinstance(x, Record | int | float) else id(x) for x in r.inputs))
        first = self.first.setdefault(key, r)
        return first if np.array_equal(first.value, r.value) else r

    def looked_into(self, r: Record, depth: int) -> Formula | None:
        """What the operation of a record makes of formulas, if that says something."""
        op = r.op
        if op is None or op.user or op in PRODUCTS or not depth or isinstance(r.value, tuple) or op is indexing.items:
            return None
        if any(isinstance(x, Record) and isinstance(x.value, tuple) for x in r.inputs):       # one of several outputs
            return None
        if op is indexing.item:
            x = self.value(r.inputs[0], depth - 1)
            return x.reshape(np.shape(r.value)) if whole_index(r) else None
        operands = [self.value(x, depth - 1) for x in r.inputs]
        if op in (arithmetic.add, arithmetic.subtract):        # z = x W + b is what people speak of, not its terms
            left, right = (arrays_in(x.u) if isinstance(x, Formula) else set() for x in operands)
            if left and right and left != right:
                return None
        try:
            y = op.forward(*operands, **r.options)
        except Exception:               # whatever an operation does with what is no array
            return None
        short = isinstance(y, Formula) and len(y.u.above) + len(y.u.below) <= TERMS
        return y if short and y.shape == np.shape(r.value) else None

    # ---- the walk back

    def walk(self, loss: Record) -> None:
        """Find the gradient at every record where it is known as a formula."""
        one = loss not in self.cotangents or bool(np.all(self.cotangents[loss].record.value == 1))
        seed = Formula(self.algebra, Rational.number(1), np.shape(loss.value))
        arrived: dict[Record, Formula | None] = {loss: seed if one else None}
        for r in reversed(self.tape):
            if r not in arrived:
                continue
            g = arrived.pop(r)
            granted = self.needs.get(r, {})
            if g is not None:
                self.gradients[r] = g
            if len(self.tape) <= MANY and r in self.cotangents and (g is None or (r in self.names and self.joins(r))):
                g = as_formula(self.algebra, self.cotangents[r].record)
                granted = {}                        # the recorded gradient takes nothing for granted
            if g is not None and g.u == 0:
                continue
            for i, x in enumerate(r.inputs):
                if isinstance(x, Record) and x.requires_grad and (x.op is not None or x in self.cotangents):
                    c = None if g is None else self.contributed(r, i, g)
                    arrived[x] = added(arrived[x], c) if x in arrived else c
                    if c is not None:
                        self.needs.setdefault(x, {}).update(granted)

    def joins(self, r: Record) -> bool:
        """Whether a record has more than one array to hand its gradient to: they all need it, so it has a line."""
        about = [arrays for x in r.inputs if isinstance(x, Record) and x in self.cotangents
                 and (arrays := {a for a in arrays_in(self.value(x).u) if record_of(a) in self.cotangents})]
        return any(arrays != about[0] for arrays in about)

    def contributed(self, r: Record, i: int, g: Formula) -> Formula | None:
        """What a record contributes to the gradient of input `i`, as its rule says; None if that is no formula."""
        op, x = r.op, r.inputs[i]
        assert op is not None
        if op is select or (op in PRODUCTS and not self.dotted_with_data(r, i)) \
                or any(np.asarray(value_of(y)).dtype.kind == "c" for y in r.inputs if not isinstance(y, tuple)):
            return None
        partial = op.partials[i] if i < len(op.partials) else None
        floors = len(self.algebra.floors)
        try:
            if isinstance(partial, int):
                c: Any = g * partial
            else:
                c = contribution(op, i, g, self.value(r), [self.value(y) for y in r.inputs], r.options)
            if isinstance(c, At):
                c = self.put(c, r, x)
            if not isinstance(c, Formula) or len(c.u.above) + len(c.u.below) > TERMS:
                return None
            found: Formula = c
            if c.shape != np.shape(x.value):
                if x.op is None:        # a bias: its gradient is a sum of that of z, and is best said so
                    return None
                found = c.summed_to(np.shape(x.value))
        except Exception:               # the rule asks for more than formulas know
            return None
        for floor in self.algebra.floors[floors:]:
            self.needs.setdefault(x, {})[f"the floor {floor:g} within {op.name} is not reached (it is not here)"] = None
        return found

    def dotted_with_data(self, r: Record, i: int) -> bool:
        """Whether a product is a sum of products with data, such as y @ log a, or of squares: a way to write a sum."""
        x = r.inputs[i]
        return np.size(r.value) == 1 and x.op is not None and not any(
            isinstance(y, Record) and y in self.cotangents and y is not x for y in r.inputs)

    def put(self, at: At, r: Record, x: Record) -> Formula:
        """A contribution to one class of each row, as a formula: it stands where a one-hot array is one."""
        shape = np.shape(x.value)
        value: Formula = at.value
        if whole_index(r):
            return value.reshape(shape)
        arrays = iter(r.inputs[1:])
        index = [next(arrays) if i is indexing.HOLE else i
                 for i in (at.index if isinstance(at.index, tuple) else (at.index,))]
        if len(shape) == len(index) == 1 and isinstance(index[0], int | np.integer):
            label = self.algebra.atom("label", int(index[0]) % shape[0], ())
            labels, axis = Formula(self.algebra, Rational.of(label), ()), -1
            column: tuple[int, ...] = ()
        elif len(shape) == len(index) == 2:
            axis = -1 if counts(value_of(index[0]), shape[0]) else -2
            if axis == -2 and not counts(value_of(index[1]), shape[1]):
                raise UnknownFormulaError("an index of other places")
            labels = as_formula(self.algebra, index[axis]).reshape((shape[-3 - axis],))
            column = (shape[0], 1) if axis == -1 else (1, shape[1])
        else:
            raise UnknownFormulaError("an index of other places")
        picked = self.algebra.atom("array", r, np.shape(r.value))
        lifted = self.algebra.atom("picked", r, ())
        one = self.algebra.with_atoms(value.u, {picked: Rational.of(lifted)})
        one = Formula(self.algebra, one, value.shape).reshape(column).u
        whole = self.value(x).u
        everywhere: Formula = Formula(self.algebra, self.algebra.with_atoms(one, {lifted: whole}), shape)
        everywhere = everywhere * hot(labels, axis, shape)
        return everywhere


def data_of(tape: Sequence[Record], flows: Collection[Record]) -> Iterator[tuple[Any, list[str]]]:
    """The arrays that no gradient flows to, and how the user wrote them: where they are used, and made."""
    seen: set[int] = set()
    for r in tape:
        for k, x in enumerate(r.inputs):
            leaf = x.inputs[0] if isinstance(x, Record) and x.op is elementary.alias else x
            if id(x) in seen or not is_data(leaf, flows):
                continue
            seen.add(id(x))
            made = [locate(leaf.code, leaf.lasti).text] if isinstance(leaf, Record) and not is_ours(leaf.code) else []
            yield x, [r.written[k], *made]


def is_data(x: Any, flows: Collection[Record]) -> bool:
    """Whether an operand is an array, or a leaf that no gradient flows to."""
    return x.op is None and x not in flows if isinstance(x, Record) else isinstance(x, np.ndarray) and x.ndim > 0


def whole_index(r: Record) -> bool:
    """Whether an index takes all there is, and only drops or adds axes of length one."""
    index = r.options.get("index")
    parts = index if isinstance(index, tuple) else (index,)
    return np.size(value_of(r.inputs[0])) == np.size(r.value) and all(
        (isinstance(i, slice) and (i.step or 1) > 0) or i is None or i is Ellipsis or isinstance(i, int | np.integer)
        for i in parts)


def counts(a: Any, n: int) -> bool:
    """Whether an index array is 0, 1, ... n - 1."""
    return bool(np.size(a) == n and np.array_equal(np.ravel(a), np.arange(n)))


def record_of(atom: Atom) -> Any:
    """The record that an atom is the value of; None if it is none."""
    return atom.key if isinstance(atom.key, Record) else None


def added(a: Formula | None, b: Formula | None) -> Formula | None:
    """The sum of two contributions, if both are known."""
    try:
        return None if a is None or b is None else a + b
    except ArithmeticError:
        return None
