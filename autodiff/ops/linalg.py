"""Linear algebra on square matrices, each a stack of them; (·)ᵀ is the transpose of each.

`det` and `slogdet` are differentiated where the matrix is regular, as their rules need the inverse. `cholesky` takes a
real symmetric matrix and reads one triangle, as NumPy does; its derivative is that for symmetric matrices, each
off-diagonal pair sharing theirs evenly. Rules: M. Giles, "Collected matrix derivative results for forward and reverse
mode algorithmic differentiation" (2008); I. Murray, "Differentiation of the Cholesky decomposition" (2016).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.kinds import Op
from autodiff.ops import elimination
from autodiff.ops.products import flipped as T


def column(v: Any) -> Any:
    """Vectors as matrices of one column."""
    return np.expand_dims(v, -1)


def scalar(s: Any) -> Any:
    """Numbers as matrices of one element."""
    return np.expand_dims(s, (-2, -1))


def lower(x: Any) -> Any:
    """The lower triangle with half the diagonal."""
    return 0.5 * (np.tril(x) + np.tril(x, -1))


def symmetric(x: Any) -> Any:
    """The symmetric part."""
    return 0.5 * (x + T(x))


def trace(x: Any) -> Any:
    """Of each matrix the trace."""
    return np.trace(x, axis1=-2, axis2=-1)


def against(L: Any, x: Any) -> Any:
    """L⁻ᵀ x L⁻¹."""
    return T(np.linalg.solve(T(L), T(np.linalg.solve(T(L), x))))


def solve_back(g: Any, y: Any, A: Any, b: Any) -> Any:
    """A⁻ᵀ g, what solve contributes to b."""
    return np.linalg.solve(T(A), g) if b.ndim > 1 else np.linalg.solve(T(A), column(g))[..., 0]


def solve_forth(t: Any, y: Any, A: Any, b: Any) -> Any:
    """A⁻¹ t y, how much solve moves against a step t of A."""
    return np.linalg.solve(A, t @ y) if b.ndim > 1 else np.linalg.solve(A, t @ column(y))[..., 0]


def outer(w: Any, y: Any, b: Any) -> Any:
    """W yᵀ, with vectors as one-column matrices."""
    return w @ T(y) if b.ndim > 1 else column(w) * np.expand_dims(y, -2)


def real_only(f: Any, instead: str) -> Any:
    """A forward that refuses complex matrices, for which its rule would be wrong."""

    def forward(A: Any) -> Any:
        if A.dtype.kind == "c":
            raise TypeError(f"complex matrices have no rule here; {instead}")
        y = f(A)
        return tuple(y) if isinstance(y, tuple) else y

    return forward


# --------------- forward                                                                   vjp
solve = Op(lambda A, b: np.linalg.solve(A, b), "solve", elimination.solve).vjp(
    lambda g, y, A, b: -outer(solve_back(g, y, A, b), y, b),                                  # ∂A
    lambda g, y, A, b: solve_back(g, y, A, b),                                                # ∂b
).jvp(
    lambda t, y, A, b: -solve_forth(t, y, A, b),
    lambda t, y, A, b: np.linalg.solve(A, t))

inv = Op(lambda A: np.linalg.inv(A), "inv", elimination.inv).vjp(
    lambda g, y, A: -T(y) @ g @ T(y)).jvp(
    lambda t, y, A: -y @ t @ y)

det = Op(lambda A: np.linalg.det(A), "det", elimination.det).vjp(
    lambda g, y, A: scalar(g * y) * T(np.linalg.inv(A))).jvp(
    lambda t, y, A: y * trace(np.linalg.solve(A, t)))

slogdet = Op(real_only(np.linalg.slogdet, "use np.linalg.det"), "slogdet", elimination.slogdet).vjp(
    lambda g, y, A: scalar(g[1]) * T(np.linalg.inv(A)))                                       # the sign is constant

cholesky = Op(real_only(np.linalg.cholesky, "write them as real ones of twice the size"), "cholesky", elimination.cholesky).vjp(
    lambda g, L, A: symmetric(against(L, lower(T(L) @ np.tril(g))))).jvp(
    lambda t, L, A: L @ lower(against(T(L), symmetric(t))))


# ---- in terms of these

SlogdetResult = type(np.linalg.slogdet(np.eye(1)))


def slogdet_named(a: Any) -> Any:
    """As NumPy's slogdet, a named tuple."""
    return SlogdetResult(*slogdet(a))


def cholesky_of(a: Any, /, *, upper: bool = False) -> Any:
    """As NumPy's: the lower triangle, or the upper."""
    return T(cholesky(T(a))) if upper else cholesky(a)


def matrix_power(a: Any, n: int) -> Any:
    """A whole power of each matrix, by squaring."""
    if n < 0:
        return matrix_power(np.linalg.inv(a), -n)
    result, power = None, a
    while n:
        if n & 1:
            result = power if result is None else result @ power
        n >>= 1
        if n:
            power = power @ power
    return 0 * a + np.eye(a.shape[-1], dtype=a.dtype) if result is None else result
