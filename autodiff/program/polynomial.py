"""Rational functions of symbols, exact: what proves that two ways to write a derivative are the same.

A polynomial is a dict of monomials and their coefficients, a rational function a quotient of two in lowest terms. The
greatest common divisor is Euclid's, by pseudo-remainders with contents taken out (Knuth, TAOCP vol. 2, 4.6.1).
Exponents may be fractions, so that √t is t to the half.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from functools import reduce
from math import gcd, lcm
from typing import Any

Symbol = Any                                                # hashable, and ordered among its like
Number = int | Fraction
Monomial = tuple[tuple[Symbol, Number], ...]                # symbols in order, with exponents that are not 0
Polynomial = dict[Monomial, Number]                         # without coefficients that are 0

UNIT: Monomial = ()
ONE: Polynomial = {UNIT: 1}
MOST = 400              # terms: what grows beyond is nothing that a person would write


class TooLongError(ArithmeticError):
    """An expression grew beyond what is worth looking at."""


# ---- monomials and polynomials

def monomial(powers: Iterable[tuple[Symbol, Number]]) -> Monomial:
    """The product of these powers, a symbol's exponents added up."""
    exponents: dict[Symbol, Number] = {}
    for symbol, n in powers:
        exponents[symbol] = exponents.get(symbol, 0) + n
    return tuple(sorted((s, whole(n)) for s, n in exponents.items() if n))


def whole(n: Number) -> Number:
    """A number, as an int if it is one, which is several times faster."""
    return n if isinstance(n, int) or n.denominator > 1 else n.numerator


def ratio(a: Number, b: Number) -> Number:
    """a / b, exactly."""
    return whole(Fraction(a, b))


def plus(p: Polynomial, q: Polynomial, times: Number = 1) -> Polynomial:
    """p + times q."""
    total = dict(p)
    for m, c in q.items():
        total[m] = total.get(m, 0) + times * c
        if not total[m]:
            del total[m]
    return total


def product(p: Polynomial, q: Polynomial) -> Polynomial:
    """p q."""
    if len(p) * len(q) > MOST:
        raise TooLongError
    if p == ONE or q == ONE:
        return q if p == ONE else p
    total: Polynomial = {}
    for m, c in p.items():
        for n, d in q.items():
            k = monomial((*m, *n)) if m and n else m or n
            total[k] = total.get(k, 0) + c * d
            if not total[k]:
                del total[k]
    return total


def symbols_of(*polynomials: Polynomial) -> set[Symbol]:
    """What symbols stand in them."""
    return {symbol for p in polynomials for m in p for symbol, _ in m}


def with_exponents(p: Polynomial, f: Callable[[Symbol, Any], Any]) -> Polynomial:
    """p with every exponent n of every symbol s replaced by f(s, n)."""
    return {monomial((s, f(s, n)) for s, n in m): c for m, c in p.items()}


def by_degree(p: Polynomial, x: Symbol) -> dict[int, Polynomial]:
    """The coefficients of the powers of x."""
    parts: dict[int, Polynomial] = {}
    for m, c in p.items():
        n: Any = next((n for s, n in m if s == x), 0)
        parts.setdefault(n, {})[tuple(power for power in m if power[0] != x)] = c
    return parts


def content(p: Polynomial) -> Number:
    """The positive number that makes the coefficients whole and coprime when divided by it."""
    return ratio(reduce(gcd, (abs(c.numerator) for c in p.values())), lcm(*(c.denominator for c in p.values())))


def shared_powers(*polynomials: Polynomial) -> Monomial:
    """The powers that all monomials of all of these have in common."""
    first: dict[Symbol, Number]
    first, *others = (dict(m) for p in polynomials for m in p)
    for other in others:
        first = {s: min(n, other[s]) for s, n in first.items() if s in other}
    return monomial(first.items())


def over(p: Polynomial, m: Monomial) -> Polynomial:
    """p over a monomial."""
    inverse = tuple((s, -n) for s, n in m)
    return {monomial((*k, *inverse)): c for k, c in p.items()} if m else p


def leading(p: Polynomial) -> Monomial:
    """The monomial that comes first in lexicographic order, which goes along with products."""
    symbols = sorted(symbols_of(p))
    return max(p, key=lambda m: [dict(m).get(s, 0) for s in symbols])


def divided(p: Polynomial, q: Polynomial) -> Polynomial | None:
    """p / q where that leaves no rest, else None. No exponent is negative."""
    symbols = sorted(symbols_of(p, q))

    def order(m: Monomial) -> list[Any]:
        exponents: dict[Symbol, Number] = dict(m)
        return [exponents.get(s, 0) for s in symbols]

    top = max(q, key=order)
    quotient: Polynomial = {}
    inverse = tuple((s, -n) for s, n in top)
    while p:
        first = max(p, key=order)
        m = monomial((*first, *inverse))
        if any(n < 0 for _, n in m) or len(quotient) > MOST:
            return None
        quotient[m] = ratio(p[first], q[top])
        p = plus(p, product({m: quotient[m]}, q), -1)
    return quotient


def greatest_divisor(p: Polynomial, q: Polynomial) -> Polynomial:
    """The greatest common divisor of two polynomials that are not 0, but for a number."""
    if len(p) == 1 or len(q) == 1:
        return {shared_powers(p, q): 1}
    mine, yours = symbols_of(p), symbols_of(q)
    if mine != yours:                                       # it has no symbol that one of them lacks
        longer, shorter, only = (p, q, mine - yours) if mine - yours else (q, p, yours - mine)
        return reduce(greatest_divisor, by_degree(longer, min(only)).values(), shorter)
    x = min(mine)
    p, inside_p = primitive(p, x)
    q, inside_q = primitive(q, x)
    while q:
        p, q = q, rest(p, q, x)
        q = primitive(q, x)[0] if q else q
    both = greatest_divisor(inside_p, inside_q)
    return product(p, both) if x in symbols_of(p) else both


def primitive(p: Polynomial, x: Symbol) -> tuple[Polynomial, Polynomial]:
    """p over what all its coefficients of powers of x have in common, and that."""
    inside = reduce(greatest_divisor, by_degree(p, x).values())
    p = divided(p, inside) or p
    c = content(p)
    return {m: ratio(k, c) for m, k in p.items()}, inside


def rest(p: Polynomial, q: Polynomial, x: Symbol) -> Polynomial:
    """What remains of p, times a polynomial without x, when q is taken from it as often as it goes."""
    parts = by_degree(q, x)
    degree = max(parts)
    while p and (n := max(powers := by_degree(p, x))) >= degree:
        shift: Polynomial = {monomial([(x, n - degree)]): 1}
        p = plus(product(parts[degree], p), product(product(powers[n], shift), q), -1)
    return p


# ---- rational functions

class Rational:
    """A quotient of two polynomials, in lowest terms; equal ones are written alike.

    Attributes
    ----------
    above, below : dict of Monomial to int or Fraction
        Numerator and denominator, without negative exponents; the leading coefficient of the denominator is 1.

    Examples
    --------
    >>> from autodiff.program.polynomial import Rational
    >>> a, y = Rational.of("a"), Rational.of("y")
    >>> (-y / a + (1 - y) / (1 - a)) * a * (1 - a)              # binary cross entropy, then the sigmoid
    a - y
    """

    __slots__ = ("above", "below")

    def __init__(self, above: Polynomial, below: Polynomial = ONE) -> None:
        if not above:
            below = ONE
        if below != ONE or any(n < 0 for m in above for _, n in m):
            above, below = lowest(above, below)
        self.above, self.below = above, below

    @classmethod
    def of(cls, symbol: Symbol, power: Number = 1) -> Rational:
        """A power of a symbol."""
        return cls({monomial([(symbol, power)]): 1})

    @classmethod
    def number(cls, c: Number) -> Rational:
        """A number."""
        return cls({UNIT: whole(c)} if c else {})

    @property
    def symbols(self) -> set[Symbol]:
        """What symbols stand in it."""
        return symbols_of(self.above, self.below)

    @property
    def constant(self) -> Number | None:
        """Its value if it is a number."""
        return None if self.symbols else self.above.get(UNIT, 0)

    @property
    def terms(self) -> list[tuple[Monomial, Number]] | None:
        """Its monomials, with negative exponents for what they are divided by; None if the denominator is a sum."""
        if len(self.below) > 1:
            return None
        return list(over(self.above, next(iter(self.below))).items())

    def __add__(self, other: Rational | int) -> Rational:
        other = lifted(other)
        if self.below == other.below:
            return Rational(plus(self.above, other.above), self.below)
        return Rational(plus(product(self.above, other.below), product(other.above, self.below)),
                        product(self.below, other.below))

    def __neg__(self) -> Rational:
        return self * -1

    def __sub__(self, other: Rational | int) -> Rational:
        return self + lifted(other) * -1

    def __mul__(self, other: Rational | int) -> Rational:
        other = lifted(other)
        return Rational(product(self.above, other.above), product(self.below, other.below))

    def __truediv__(self, other: Rational | int) -> Rational:
        other = lifted(other)
        if not other.above:
            raise ZeroDivisionError("a rational function divided by 0")
        return Rational(product(self.above, other.below), product(self.below, other.above))

    def __rsub__(self, other: int) -> Rational:
        return lifted(other) - self

    def __rtruediv__(self, other: int) -> Rational:
        return lifted(other) / self

    __radd__, __rmul__ = __add__, __mul__

    def __pow__(self, n: int) -> Rational:
        if n < 0:
            return 1 / self ** -n
        if n > MOST:
            raise TooLongError
        result = Rational(ONE)
        for _ in range(n):
            result = result * self
        return result

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rational | int):
            return NotImplemented
        other = lifted(other)
        return self.above == other.above and self.below == other.below

    def __hash__(self) -> int:
        return hash((frozenset(self.above.items()), frozenset(self.below.items())))

    def mapped(self, f: Callable[[Symbol, Number], Rational]) -> Rational:
        """Every power of a symbol replaced by a rational function."""
        found: dict[tuple[Symbol, Number], Rational] = {}
        for m in (*self.above, *self.below):
            for power in m:
                if power not in found:
                    found[power] = f(*power)
        above, over_above = replaced(self.above, found)
        below, over_below = replaced(self.below, found)
        if not below:
            raise ZeroDivisionError("a rational function divided by 0")
        return Rational(product(above, over_below), product(below, over_above))

    def __repr__(self) -> str:
        above, below = written(self.above), written(self.below)
        if self.below == ONE:
            return above
        return f"({above})/({below})"


def lifted(x: Rational | Number) -> Rational:
    """A number as a rational function."""
    return x if isinstance(x, Rational) else Rational.number(x)


def replaced(p: Polynomial, found: Mapping[tuple[Symbol, Number], Rational]) -> tuple[Polynomial, Polynomial]:
    """A polynomial with its powers replaced, as numerator and denominator: brought to one denominator once."""
    terms = []
    common = ONE
    for m, c in p.items():
        above: Polynomial = {UNIT: c}
        below = ONE
        for power in m:
            above, below = product(above, found[power].above), product(below, found[power].below)
        terms.append((above, below))
        if divided(common, below) is None:
            common = below if divided(below, common) is not None else product(common, below)
    total: Polynomial = {}
    for above, below in terms:
        total = plus(total, product(above, divided(common, below) or ONE))
    return total, common


def lowest(above: Polynomial, below: Polynomial) -> tuple[Polynomial, Polynomial]:
    """Numerator and denominator over all that they have in common, with no exponent negative or shared."""
    lows: dict[Symbol, Any] = {}
    for m in (*above, *below):
        for s, n in m:
            lows[s] = min(lows.get(s, 0), n)
    lift = monomial(lows.items())
    above, below = over(above, lift), over(below, lift)
    shared = shared_powers(above, below)
    above, below = over(above, shared), over(below, shared)
    if len(above) > 1 and len(below) > 1 and symbols_of(above) & symbols_of(below):
        scale: dict[Symbol, int] = {}
        for m in (*above, *below):
            for s, n in m:
                scale[s] = lcm(scale.get(s, 1), n.denominator)
        above, below = (with_exponents(p, lambda s, n: n * scale[s]) for p in (above, below))
        both = greatest_divisor(above, below)
        if both != ONE and symbols_of(both):
            above, below = divided(above, both) or above, divided(below, both) or below
        above, below = (with_exponents(p, lambda s, n: ratio(n, scale[s])) for p in (above, below))
    c = below[leading(below)]
    return above if c == 1 else {m: ratio(k, c) for m, k in above.items()}, {m: ratio(k, c) for m, k in below.items()}


def written(p: Polynomial) -> str:
    """A polynomial as text, positive terms first."""
    text = ""
    for m, c in sorted(p.items(), key=lambda term: (term[1] < 0, term[0])):
        factors = "*".join(str(s) if n == 1 else f"{s}^{n}" for s, n in m)
        size = "" if factors and abs(c) == 1 else str(abs(c))
        sign = (" - " if c < 0 else " + ") if text else "-" if c < 0 else ""
        text += sign + "*".join(filter(None, (size, factors)))
    return text or "0"
