"""Elementary functions that a loop vectorises: exp, log, tanh and their kin, for float32 and float64 (needs numba).

The C library's functions take one number a call, so a loop around one runs at a tenth of the processor's width. Those
here are straight lines of adds, multiplies and selections without a branch, which LLVM turns into vector instructions.

Each formula is written once, over `Real`: a value of the program that LLVM is building. Run on one, it writes its own
instructions, in either precision; a kernel that calls `exp(x)` has them in its loop, with nothing left to inline.

Largest errors, in units in the last place of the true value (`tests/compiler/test_elementary.py`; every float32 was
tried, and random float64 of every exponent):

======================  =======  =======
function                float32  float64
======================  =======  =======
log, log1p              0.9      0.9
exp                     1.0      1.0
expm1                   1.5      1.5
softplus                1.8      1.8
sigmoid                 2.5      2.5
tanh                    2.6      2.6
======================  =======  =======

NaN, infinities, signed zeros and subnormal numbers are as in NumPy (underflow is gradual), but no warning is given.
Only these formulas may contract a product and a sum into one rounding; a kernel around them needs no fast-math flag,
and keeps NumPy's results to the bit wherever it adds, multiplies, divides or takes a root. `accumulate` is the one
exception: a sum built with it may be taken in any order, which is what lets a reduction run in vectors.

A loop of fewer than about 32 rounds falls short of a vector or two: functions from here belong in a flat loop.
Sine, cosine and powers are not here (their arguments reduce at length): use `math`, one number a call.

The polynomials are minimax fits (Remez exchange in 50 digits), of (eʳ - 1 - r - r²/2) / r³ for |r| <= ln(2)/2, relative
to eʳ - 1, and of (2 atanh(s)/s - 2) / s² for |s| <= (√2 - 1)/(√2 + 1). The reductions are the classical ones:
W. J. Cody and W. Waite, Software Manual for the Elementary Functions (1980), chapters 5 and 6.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

__all__ = ["NATIVE", "accumulate", "divided", "exp", "expm1", "log", "log1p", "maximum", "minimum", "sigmoid",
           "softplus", "tanh", "turn"]

if binding.llvm_version_info < (17,):       # it would end the process at the first `maximum`
    raise ImportError("native kernels need numba 0.62 or later: this one's LLVM has no maximum that keeps NaN")


@dataclass(frozen=True)
class Format:
    """A floating point format, and what the formulas need to know of it."""

    real: ir.Type
    word: ir.IntType                    # the integer of the same width
    digits: int                         # stored bits of the fraction
    bias: int                           # of the exponent
    range: tuple[float, float]          # eˣ is 0 below it and inf above it
    log_2: tuple[float, float]          # ln 2 = high + low; n * high is exact for every exponent n
    exp: tuple[float, ...]
    log: tuple[float, ...]

    @property
    def shift(self) -> float:
        """Added to a number, it leaves the nearest integer n in the last bits; biased, they are the exponent of 2ⁿ."""
        return 1.5 * 2.0**self.digits + self.bias

    @property
    def tiny(self) -> float:
        """The smallest normal number."""
        return 2.0 ** (1 - self.bias)

    @property
    def root(self) -> int:
        """The bits of √½."""
        dtype = np.float32 if self.digits == 23 else np.float64
        return int(dtype(math.sqrt(0.5)).view(np.uint32 if self.digits == 23 else np.uint64))


FORMATS = {
    types.float32: Format(
        ir.FloatType(), ir.IntType(32), 23, 127, (-104.0, 89.0), (0.693145751953125, 1.428606820309417232e-6),
        (0.16666666297152193831, 0.04166648199387839492, 0.0083334199535037923713, 0.00139333309734856987,
         0.00019824092955047622812),
        (0.66666776545321598082, 0.39977519126375487023, 0.29872384576706543106)),
    types.float64: Format(
        ir.DoubleType(), ir.IntType(64), 52, 1023, (-746.0, 710.0), (0.6931471805596629565, 2.823529056303157712e-13),
        (0.16666666666666675868, 0.041666666666666576929, 0.0083333333333220806732, 0.0013888888888943037822,
         0.00019841269885173678666, 0.000024801587197689488652, 2.7557245033343105985e-6, 2.755738727175327041e-7,
         2.5108786256373421308e-8, 2.0878919023805519682e-9),
        (0.6666666666666734648, 0.39999999999412929404, 0.2857142874281441785, 0.22222198525770797708,
         0.18183566967452647518, 0.15313978666161080593, 0.14796710194725606711)),
}


class Real:
    """A number in the program being built: arithmetic on it writes instructions."""

    __slots__ = ("builder", "form", "value")

    def __init__(self, builder: Any, form: Format, value: Any) -> None:
        """Hold `value` (of `form`), which `builder` made."""
        self.builder, self.form, self.value = builder, form, value

    def of(self, other: Real | float) -> Any:
        """The value of `other`, a number or a constant of this format."""
        return other.value if isinstance(other, Real) else ir.Constant(self.form.real, float(other))

    def new(self, value: Any) -> Real:
        """Another number of this format."""
        return Real(self.builder, self.form, value)

    def __add__(self, other: Real | float) -> Real:
        return self.new(self.builder.fadd(self.value, self.of(other), flags=("contract",)))

    def __sub__(self, other: Real | float) -> Real:
        return self.new(self.builder.fsub(self.value, self.of(other), flags=("contract",)))

    def __rsub__(self, other: float) -> Real:
        return self.new(self.builder.fsub(self.of(other), self.value, flags=("contract",)))

    def __mul__(self, other: Real | float) -> Real:
        return self.new(self.builder.fmul(self.value, self.of(other), flags=("contract",)))

    def __truediv__(self, other: Real | float) -> Real:
        return self.new(self.builder.fdiv(self.value, self.of(other)))

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Real:
        return self.new(self.builder.fneg(self.value))

    def __abs__(self) -> Real:
        return self.call("fabs")

    def __lt__(self, other: Real | float) -> Any:
        return self.builder.fcmp_ordered("<", self.value, self.of(other))

    def __gt__(self, other: Real | float) -> Any:
        return self.builder.fcmp_ordered(">", self.value, self.of(other))

    def is_(self, other: float) -> Any:
        """Whether it equals `other`; never so for NaN."""
        return self.builder.fcmp_ordered("==", self.value, self.of(other))

    def call(self, name: str, *others: Real | float, flags: tuple[str, ...] = ()) -> Real:
        """LLVM's own function `name` of it and of `others`."""
        operands = [self.value, *(self.of(other) for other in others)]
        kind = ir.FunctionType(self.form.real, [self.form.real] * len(operands))
        function = self.builder.module.declare_intrinsic(f"llvm.{name}", [self.form.real], kind)
        return self.new(self.builder.call(function, operands, fastmath=flags))

    @property
    def bits(self) -> Any:
        """The same bits as an integer."""
        return self.builder.bitcast(self.value, self.form.word)

    def from_bits(self, word: Any) -> Real:
        """A number of this format by its bits."""
        return self.new(self.builder.bitcast(word, self.form.real))


def where(condition: Any, a: Real | float, b: Real) -> Real:
    """`a` where the condition holds, else `b`."""
    return b.new(b.builder.select(condition, b.of(a), b.value))


def constant(x: Real, value: float) -> Real:
    """`value` in the format of `x`."""
    return x.new(x.of(value))


def polynomial(x: Real, coefficients: tuple[float, ...]) -> Real:
    """c₀ + c₁ x + c₂ x² + ..., by Horner's rule."""
    y = x * coefficients[-1] + coefficients[-2]
    for c in coefficients[-3::-1]:
        y = y * x + c
    return y


def rounded(x: Real) -> Real:
    """The nearest integer, for |x| up to a quarter of 2^digits."""
    return (x + x.form.shift) - x.form.shift


def power_of_two(n: Real) -> Real:
    """2ⁿ for an integer n whose power is a normal number."""
    return n.from_bits(n.builder.shl((n + n.form.shift).bits, n.form.word(n.form.digits)))


def parts(x: Real) -> tuple[Real, Real]:
    """m and n with x = m 2ⁿ and √½ <= m < √2, of a positive normal number."""
    form, b = x.form, x.builder
    word = form.word
    bits = b.add(x.bits, word((form.bias << form.digits) - form.root))      # √½ has the exponent of 1 now
    m = x.from_bits(b.add(b.and_(bits, word((1 << form.digits) - 1)), word(form.root)))
    # The exponent as the last bits of 2^digits: a conversion of 64 bit integers is no vector instruction everywhere.
    n = x.from_bits(b.or_(b.lshr(bits, word(form.digits)), word((form.bias + form.digits) << form.digits)))
    return m, n - (2.0**form.digits + form.bias)


def pair(a: Real | float, b: Real, low: Real) -> tuple[Real, Real]:
    """a + b + low as it rounds, and what rounding lost; |b| <= |a| or a = 0, and `low` is smaller."""
    high = a + b
    low = (b - (high - a)) + low
    total = high + low
    return total, low - (total - high)


def reduced(x: Real) -> tuple[Real, Real, Real]:
    """n, r and t, where x = n ln 2 + r, |r| <= ln(2)/2 and eʳ = 1 + r + t."""
    high, low = x.form.log_2
    n = rounded(x * math.log2(math.e))
    r = (x - n * high) - n * low
    return n, r, r * r * (0.5 + r * polynomial(r, x.form.exp))


def above(x: Real, low: float) -> Real:
    """`x`, or `low` where that is larger; NaN stays."""
    return where(x < low, low, x)


def below(x: Real, high: float) -> Real:
    """`x`, or `high` where that is smaller; NaN stays."""
    return where(x > high, high, x)


def exp_of(x: Real) -> Real:
    """eˣ = 2ⁿ eʳ, scaled in two steps: to underflow gradually, and as 2ⁿ alone may overflow."""
    n, r, t = reduced(above(below(x, x.form.range[1]), x.form.range[0]))
    half = rounded(n * 0.5)
    first = power_of_two(half)
    return ((r + t) * first + first) * power_of_two(n - half)


def decayed(x: Real) -> Real:
    """exp(-|x|): a factor on the way keeps what is subnormal in the end normal until then."""
    n, r, t = reduced(above(-abs(x), x.form.range[0]))
    lift = 2 * x.form.digits
    scale = power_of_two(n + lift)
    return ((r + t) * scale + scale) * 2.0**-lift


def expm1_of(x: Real) -> Real:
    """eˣ - 1 = 2 (2ⁿ⁻¹ eʳ - ½): half of it, since 2ⁿ alone may overflow."""
    n, r, t = reduced(above(below(x, x.form.range[1]), -60))
    half = power_of_two(n - 1)
    return where(abs(x) < 2 * x.form.tiny, x, pair(half - 0.5, half * r, half * t)[0] * 2)


def sigmoid_of(x: Real) -> Real:
    """1 / (1 + e) for x >= 0 and e / (1 + e) otherwise, e = exp(-|x|): nothing overflows."""
    e = decayed(x)
    return where(x < 0, e, constant(x, 1)) / (e + 1)


def tanh_of(x: Real) -> Real:
    """-m / (2 + m) with m = exp(-2|x|) - 1 = (2ⁿ - 1) + 2ⁿ (eʳ - 1)."""
    n, r, t = reduced(below(abs(x), 40) * -2)
    scale = power_of_two(n)
    m = (r + t) * scale + (scale - 1)
    return (-m / (m + 2)).call("copysign", x)


def log_sum(n: Real, f: Real, low: Real | float) -> Real:
    """ln(2ⁿ (1 + f)) = n ln 2 + f - f²/2 + s (f²/2 + s² P(s²)) with s = f / (2 + f); a small `low` on top."""
    high_2, low_2 = f.form.log_2
    s = f / (2 + f)
    z, h = s * s, f * f * 0.5
    return n * high_2 - ((h - (s * (h + z * polynomial(z, f.form.log)) + (n * low_2 + low))) - f)


def log_of(x: Real) -> Real:
    """ln x: a subnormal number is scaled first."""
    small = x < x.form.tiny
    lift = x.form.digits + 2
    m, n = parts(where(small, x * 2.0**lift, x))
    y = log_sum(where(small, n - lift, n), m - 1, 0)
    y = where(x > 0, y, where(x.is_(0), -math.inf, constant(x, math.nan)))
    return where(x < math.inf, y, x)


def log1p_of(x: Real) -> Real:
    """ln(1 + x) = ln u + (what 1 + x lost) / u, with u = 1 + x as it rounds."""
    u = x + 1
    lost = where(abs(x) < 1, x - (u - 1), 1 - (u - x))
    m, n = parts(u)
    near = n.is_(0)                     # there u - 1 and the loss add up to x itself
    y = log_sum(n, where(near, x, m - 1), where(near, 0, lost) / u)
    y = where(x > -1, y, where(x.is_(-1), -math.inf, constant(x, math.nan)))
    return where(x < math.inf, where(x.is_(0), x, y), x)


def maximum_of(x: Real, y: Real) -> Real:
    """The larger one, or NaN where either is; of two zeros either one, which halves the cost."""
    return x.call("maximum", y, flags=("nsz",))


def minimum_of(x: Real, y: Real) -> Real:
    """The smaller one, or NaN where either is; of two zeros either one."""
    return x.call("minimum", y, flags=("nsz",))


def softplus_of(x: Real) -> Real:
    """ln(1 + eˣ) = max(x, 0) + ln(1 + exp(-|x|))."""
    return maximum_of(x, constant(x, 0)) + log1p_of(decayed(x))


def sum_of(total: Real, x: Real) -> Real:
    """total + x, which may be regrouped with other such sums: a reduction by it runs in vectors."""
    return total.new(total.builder.fadd(total.value, x.value, flags=("reassoc", "nsz")))


def divided_of(x: Real, y: Real) -> Real:
    """x / y for a normal y > 0: in float32 by an estimate of 1 / y and one step of Newton's, where processors have it.

    That is within 2.7 units in the last place; what is not finite may be NaN. Above 2¹²⁶ the estimate would be
    subnormal, and that of infinity would give NaN, where an optimiser's step should be next to nothing.
    """
    return x.new(x.builder.fdiv(x.value, below(y, 2.0**126).value, flags=("arcp", "ninf")))


SHORT = (maximum_of, minimum_of, sum_of, divided_of)


def native(formula: Callable[..., Real]) -> Any:
    """`formula` as a function that compiled code can call, on float32 or on float64 (all arguments alike)."""
    def typed(*arguments: Any) -> Any:
        if arguments[0] not in FORMATS or any(a != arguments[0] for a in arguments):
            return None
        def emitted(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            if formula not in SHORT:        # LLVM holds back from the widest vectors, which gain a third in these
                set.add(builder.function.attributes, '"prefer-vector-width"="512"')     # llvmlite would refuse the name
            return formula(*(Real(builder, FORMATS[arguments[0]], value) for value in values)).value
        return arguments[0](*arguments), emitted
    if formula.__code__.co_argcount == 1:
        return intrinsic(lambda context, x: typed(x))
    return intrinsic(lambda context, x, y: typed(x, y))


exp, expm1, log, log1p = native(exp_of), native(expm1_of), native(log_of), native(log1p_of)
tanh, sigmoid, softplus = native(tanh_of), native(sigmoid_of), native(softplus_of)
maximum, minimum, accumulate, divided = native(maximum_of), native(minimum_of), native(sum_of), native(divided_of)

@intrinsic
def turn(context: Any, x: Any, i: Any, j: Any, y: Any) -> Any:
    """The square of x whose first element is x[i, j], written to y[j, i] on, transposed; a vector a side.

    Element (a, b) goes to (b, a) bit by bit of the two numbers: halves of the square are exchanged, then quarters, ...
    """
    n = 64 * 8 // x.dtype.bitwidth

    def emitted(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        vector, word = ir.VectorType(FORMATS[x.dtype].real, n), ir.IntType(32)

        def place(k: int, row: Any, column: Any, own: int) -> Any:
            """Where the k-th row of the square lies."""
            array = context.make_array(signature.args[own])(context, builder, values[own])
            columns = builder.extract_value(array.shape, 1)
            at = builder.add(builder.mul(builder.add(row, row.type(k)), columns), column)
            return builder.bitcast(builder.gep(array.data, [at]), vector.as_pointer())

        def mixed(a: Any, b: Any, picked: list[int]) -> Any:
            """These of the elements of a and b."""
            return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(word, n), [word(k) for k in picked]))

        rows = [builder.load(place(k, values[1], values[2], 0), align=x.dtype.bitwidth // 8) for k in range(n)]
        half = n // 2
        while half:
            for k in [k for k in range(n) if not k & half]:
                a, b = rows[k], rows[k + half]
                rows[k] = mixed(a, b, [m if not m & half else n + m - half for m in range(n)])
                rows[k + half] = mixed(a, b, [m + half if not m & half else n + m for m in range(n)])
            half //= 2
        for k, row in enumerate(rows):
            builder.store(row, place(k, values[2], values[1], 3), align=x.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(x, i, j, y), emitted


# What a NumPy function (or operation of ours) on a dtype is called in generated text (`cache.PRELUDE` imports them).
NATIVE: dict[tuple[str, str], str] = {
    (name, char): name for char in "fd"
    for name in ("exp", "expm1", "log", "log1p", "tanh", "sigmoid", "softplus", "maximum", "minimum")}
