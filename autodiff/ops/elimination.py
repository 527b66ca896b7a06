"""Gauss's elimination and Cholesky's decomposition, analytic and in any dtype: what replays run instead of LAPACK.

LAPACK knows neither longdouble nor a complex step through a symmetric decomposition. Slower, and used by nothing else.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def eliminated(A: Any, B: Any) -> tuple[Any, Any]:
    """The pivots of one matrix, whose product is its determinant, and A⁻¹ B."""
    n = len(A)
    M = np.concatenate([A, B], axis=1)
    pivots = np.ones(n, M.dtype)
    for k in range(n):
        p = k + int(np.argmax(np.abs(M[k:, k])))
        if p != k:
            M[k], M[p] = M[p].copy(), -M[k]
        pivots[k] = M[k, k]
        if pivots[k] == 0:
            raise np.linalg.LinAlgError("Singular matrix")
        M[k] = M[k] / M[k, k]
        factors = M[:, k].copy()
        factors[k] = 0
        M -= factors[:, None] * M[k]
    return pivots, M[:, n:]


def stacked(A: Any, B: Any) -> tuple[Any, Any]:
    """The same for stacks of matrices."""
    batch = np.broadcast_shapes(A.shape[:-2], B.shape[:-2])
    A, B = np.broadcast_to(A, batch + A.shape[-2:]), np.broadcast_to(B, batch + B.shape[-2:])
    dtype = np.result_type(A, B)
    pivots, X = np.ones(A.shape[:-1], dtype), np.zeros(B.shape, dtype)
    for i in np.ndindex(batch):
        pivots[i], X[i] = eliminated(A[i], B[i])
    return pivots, X


def solve(A: Any, b: Any) -> Any:
    """A⁻¹ b."""
    return stacked(A, b)[1] if b.ndim > 1 else stacked(A, b[:, None])[1][..., 0]


def inv(A: Any) -> Any:
    """A⁻¹."""
    return stacked(A, np.eye(A.shape[-1], dtype=A.dtype))[1]


def det(A: Any) -> Any:
    """The determinant."""
    return np.prod(stacked(A, A[..., :0])[0], axis=-1)


def slogdet(A: Any) -> tuple[Any, Any]:
    """Sign and logarithm of the determinant."""
    pivots = stacked(A, A[..., :0])[0]
    signs = np.sign(np.real(pivots))
    return np.prod(signs, axis=-1), np.sum(np.log(signs * pivots), axis=-1)


def cholesky(A: Any) -> Any:
    """The lower triangle L with L Lᵀ = A, of the symmetric part of A."""
    A = (A + np.swapaxes(A, -1, -2)) / 2
    L = np.zeros_like(A)
    for k in range(A.shape[-1]):
        c = A[..., k:, k] - np.sum(L[..., k:, :k] * L[..., k:k + 1, :k], axis=-1)
        L[..., k:, k] = c / np.sqrt(c[..., :1])
    return L
