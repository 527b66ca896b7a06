"""Rational functions: exact, and written in one way only."""

from fractions import Fraction
from functools import wraps

import pytest
from hypothesis import assume, given, reject
from hypothesis import strategies as st

from autodiff.program.polynomial import MOST, ONE, Rational, TooLongError, divided, greatest_divisor, product

SYMBOLS = "abc"


def unless_too_long(test):
    """What grows too long is given up: another case."""
    @wraps(test)
    def run(*args, **options):
        try:
            test(*args, **options)
        except TooLongError:
            reject()
    return run


numbers = st.integers(-4, 4) | st.fractions(-2, 2, max_denominator=6)
points = st.fixed_dictionaries({s: st.fractions(-3, 3, max_denominator=7) for s in SYMBOLS})
leaves = st.sampled_from(SYMBOLS).map(Rational.of) | numbers.map(Rational.number)


@st.composite
def polynomials(draw, terms=3, degree=2):
    total = Rational.number(0)
    for _ in range(draw(st.integers(1, terms))):
        term = Rational.number(draw(numbers))
        for s in SYMBOLS:
            term = term * Rational.of(s) ** draw(st.integers(0, degree))
        total = total + term
    return total


def at(u, point):
    """The value of a rational function, None at a pole."""
    above, below = (sum((c * multiplied(point[s] ** n for s, n in m) for m, c in p.items()), start=Fraction(0))
                    for p in (u.above, u.below))
    return above / below if below else None


def multiplied(factors):
    result = Fraction(1)
    for factor in factors:
        result *= factor
    return result


@given(polynomials(), polynomials(), polynomials(), points)
@unless_too_long
def test_it_is_arithmetic(p, q, r, point):
    x, y, z = (at(u, point) for u in (p, q, r))
    assert at(p + q, point) == x + y
    assert at(p - q, point) == x - y
    assert at(p * q, point) == x * y
    assert at(-p, point) == -x
    assert at(p ** 3, point) == x ** 3
    if r != 0 and z:
        assert at((p + q) / r, point) == (x + y) / z


@given(polynomials(), polynomials(), polynomials())
@unless_too_long
def test_what_is_equal_is_written_alike(p, q, r):
    assert p * (q + r) == p * q + p * r
    assert hash(p * (q + r)) == hash(p * q + p * r)
    assume(q != 0 and r != 0)
    assert p / q + p / r == p * (q + r) / (q * r)
    assert (p * r) / (q * r) == p / q
    assert str((p * r) / (q * r)) == str(p / q)
    assert (p / q) * q == p


@given(polynomials(), polynomials(), polynomials())
@unless_too_long
def test_the_greatest_divisor_divides_and_is_the_greatest(p, q, r):
    assume(p != 0 and q != 0 and r != 0)
    g = greatest_divisor(product(p.above, r.above), product(q.above, r.above))
    assert divided(product(p.above, r.above), g) is not None
    assert divided(product(q.above, r.above), g) is not None
    assert divided(g, r.above) is not None


@given(polynomials(), polynomials())
@unless_too_long
def test_division_with_a_rest_is_none(p, q):
    assume(p != 0 and len(q.symbols) > 0 and q != 0)
    with_rest = p * q + 1
    assert divided(with_rest.above, q.above) is None


@given(polynomials(), polynomials(), polynomials(), points)
@unless_too_long
def test_replacing_a_symbol(u, p, q, point):
    assume(q != 0 and at(q, point))
    there = at(p, point) / at(q, point)
    replaced = u.mapped(lambda s, n: (p / q) ** n if s == "a" else Rational.of(s, n))
    assert at(replaced, point) == at(u, {**point, "a": there})


def test_roots():
    t, half = Rational.of("t"), Rational.of("t", Fraction(1, 2))
    assert half * half == t
    assert (t - 1) / (half - 1) == half + 1
    assert half / t == 1 / half
    assert str((t - 1) / (half - 1)) == "1 + t^1/2"


def test_numbers():
    u = Rational.number(Fraction(4, 2))
    assert u == 2 and u.constant == 2 and isinstance(u.constant, int)
    assert Rational.of("a").constant is None
    assert Rational.number(0).constant == 0 and str(Rational.number(0)) == "0"
    assert Rational.of("a") != "a"
    assert 3 - Rational.of("a") == -(Rational.of("a") - 3)


def test_terms_of_a_quotient():
    a, b = Rational.of("a"), Rational.of("b")
    assert (1 + a / b).terms == [((("a", 1), ("b", -1)), 1), ((), 1)]
    assert (a / (1 + b)).terms is None


def test_nothing_is_divided_by_nothing():
    a = Rational.of("a")
    with pytest.raises(ZeroDivisionError):
        a / (a - a)
    with pytest.raises(ZeroDivisionError):
        (1 / (a - 1)).mapped(lambda s, n: Rational.number(1))


def test_what_grows_is_given_up():
    u = sum((Rational.of(s) for s in "abcdefghij"), start=Rational.number(1))
    with pytest.raises(TooLongError):
        u ** 12
    with pytest.raises(TooLongError):
        u ** (MOST + 1)


@pytest.mark.parametrize("da", [
    lambda a, y: -y / a + (1 - y) / (1 - a),
    lambda a, y: -(y / a - (1 - y) / (1 - a)),
    lambda a, y: (a - y) / (a * (1 - a)),
    lambda a, y: -y / a - (y - 1) / (1 - a),
    lambda a, y: (1 - y) / (1 - a) - y / a,
    lambda a, y: -(y * (1 - a) - (1 - y) * a) / (a - a * a),
], ids=range(6))
@pytest.mark.parametrize("sigmoid", [lambda e: 1 / (1 + e), lambda e: 1 - e / (e + 1), lambda e: (1 / e) / (1 + 1 / e)],
                         ids=range(3))
def test_cross_entropy_of_a_sigmoid(da, sigmoid):
    """However both are spelled, for any y: e = e⁻ᶻ, so ∂e/∂z = -e."""
    e, y = Rational.of("e"), Rational.of("y")
    a = sigmoid(e)
    slope = 1 / (1 + e) ** 2 * e                            # ∂a/∂z
    assert da(a, y) * slope == a - y


def test_one_is_one():
    assert Rational(ONE) == 1 and product(ONE, ONE) == ONE
