"""What HHL must know of a matrix before a circuit can be built: bounds on its spectrum, and a Hermitian embedding.

The bounds need neither an eigenvalue nor a singular-value decomposition, neither an inverse nor a solution: a Hermitian
matrix minus a multiple of the identity is positive definite if and only if its Cholesky factorisation exists. Bisection
on the multiple encloses the smallest and the largest singular value. This is honest classical work: about thirty
factorisations of n^3 / 3 operations, so more than a classical solve of the system itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

__all__ = ["Embedding", "embed", "is_definite", "is_hermitian", "norm_is_at_most", "singular_value_bounds"]

_WIDTH = 1.002
"""Ratio within which bisection encloses a singular value: the clock's degree grows as the condition number."""

_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Embedding:
    """A Hermitian system of 2^s rows whose solution holds that of the given one.

    Parameters
    ----------
    matrix : ndarray, shape (2**n_system, 2**n_system)
        Hermitian; real where the given matrix is real.
    vector : ndarray, shape (2**n_system,)
        Its right-hand side, of norm 1.
    n_system : int
        Number of system qubits.
    offset : int
        The unknowns are the entries offset ... offset + n - 1 of its solution.
    definite : bool
        Whether all eigenvalues are positive.
    low, high : float
        Bounds on the absolute eigenvalues.
    factor : float
        The given system's solution is `factor` times this one's.
    """

    matrix: NDArray[np.float64] | NDArray[np.complex128]
    vector: NDArray[np.float64] | NDArray[np.complex128]
    n_system: int
    offset: int
    definite: bool
    low: float
    high: float
    factor: float


def _is_positive(matrix: NDArray[np.complex128] | NDArray[np.float64]) -> bool:
    """Return whether the Cholesky factorisation of a Hermitian matrix exists."""
    factorise = lapack.zpotrf if np.iscomplexobj(matrix) else lapack.dpotrf
    _, info = factorise(matrix, lower=1, clean=0)
    return info == 0


def is_hermitian(matrix: NDArray[np.float64] | NDArray[np.complex128]) -> bool:
    """Return whether a matrix equals its adjoint up to the rounding of the numbers that it was made from.

    Parameters
    ----------
    matrix : ndarray, shape (n, n)
        Real or complex.

    Returns
    -------
    bool
        True if the largest deviation is at most 1e-14 of the largest entry.

    Examples
    --------
    >>> is_hermitian(np.array([[1.0, 2.0], [2.0, 3.0]]))
    True
    """
    return bool(np.abs(matrix - matrix.conj().T).max() <= 1e-14 * np.abs(matrix).max())


def is_definite(matrix: NDArray[np.float64] | NDArray[np.complex128]) -> int:
    """Return 1 if a Hermitian matrix is positive definite, -1 if it is negative definite, 0 otherwise.

    Parameters
    ----------
    matrix : ndarray, shape (n, n)
        Hermitian.

    Returns
    -------
    int
        The sign of all its eigenvalues, if there is one.

    Examples
    --------
    >>> is_definite(np.diag([1.0, 2.0])), is_definite(np.diag([-1.0, 2.0])), is_definite(np.diag([-1.0, -2.0]))
    (1, 0, -1)
    """
    diagonal = matrix.diagonal().real
    if diagonal.min() > 0:
        return int(_is_positive(matrix))
    return -int(_is_positive(-matrix)) if diagonal.max() < 0 else 0


def norm_is_at_most(matrix: NDArray[np.float64] | NDArray[np.complex128], bound: float) -> bool:
    """Return whether a matrix has no singular value above a bound, by one Cholesky factorisation.

    Parameters
    ----------
    matrix : ndarray, shape (n, n)
        Any matrix.
    bound : float
        Positive.

    Returns
    -------
    bool
        True also where the largest singular value equals the bound up to rounding.

    Examples
    --------
    >>> norm_is_at_most(np.diag([1.0, -2.0]), 2.0), norm_is_at_most(np.diag([1.0, -2.0]), 1.9)
    (True, False)
    """
    scaled = matrix / bound
    if not np.abs(scaled).max() <= 1.1:  # no entry exceeds the norm; and the product below cannot overflow
        return False
    gram = scaled.conj().T @ scaled
    slack = 8 * len(gram) ** 2 * _EPS * float(gram.diagonal().real.sum())
    return _is_positive((1 + slack) * np.eye(len(gram)) - gram)


def singular_value_bounds(matrix: NDArray[np.float64] | NDArray[np.complex128]) -> tuple[float, float]:
    """Enclose all singular values of a square matrix.

    Parameters
    ----------
    matrix : ndarray, shape (n, n)
        Any matrix that is not zero.

    Returns
    -------
    low, high : float
        low <= every singular value <= high, each within 0.2 % of the extreme one for condition numbers up to 1000 (for
        larger ones `low` gives way to rounding). `low` is 0 where the matrix is singular as far as double precision can
        tell (condition number beyond about 1e6).

    Notes
    -----
    A factorisation in floating point that succeeds proves positivity up to a shift of order n^2 eps times the trace
    (Higham, Accuracy and stability of numerical algorithms, 2nd ed. (2002), theorem 10.7); the bounds are moved
    outwards by that.

    Examples
    --------
    >>> low, high = singular_value_bounds(np.array([[0.0, 2.0], [-0.5, 0.0]]))
    >>> 0.499 < low <= 0.5, 2.0 <= high < 2.004
    (True, True)
    """
    unit = float(np.abs(matrix).max())
    scaled = matrix / unit
    gram = scaled.conj().T @ scaled
    n_rows = len(gram)
    trace = float(gram.diagonal().real.sum())
    slack = 8 * n_rows**2 * _EPS * trace
    identity = np.eye(n_rows)
    inside, outside = trace / n_rows, trace  # the largest eigenvalue of the Gram matrix lies between
    outside += slack
    while outside > _WIDTH * inside:
        middle = math.sqrt(inside * outside)
        if _is_positive((middle - slack) * identity - gram):
            outside = middle
        else:
            inside = middle
    high = math.sqrt(outside) * unit
    inside, outside = 2 * slack, float(gram.diagonal().real.min())  # the smallest one lies below any diagonal entry
    if not (outside > inside and _is_positive(gram - (inside + slack) * identity)):
        return 0.0, high
    while outside > _WIDTH * inside:
        middle = math.sqrt(inside * outside)
        if _is_positive(gram - (middle + slack) * identity):
            inside = middle
        else:
            outside = middle
    return math.sqrt(inside) * unit, high


def embed(
    matrix: NDArray[np.float64] | NDArray[np.complex128],
    rhs: NDArray[np.float64] | NDArray[np.complex128],
    *,
    bounds: tuple[float, float],
) -> Embedding:
    """Make a linear system Hermitian and its size a power of two.

    A Hermitian matrix is padded by a multiple of the identity inside its bounds, where the right-hand side is zero. Any
    other becomes [[0, A], [A^H, 0]], whose eigenvalues are plus and minus the singular values of A, with the right-hand
    side [b, 0] and the solution [0, x].

    Parameters
    ----------
    matrix : ndarray, shape (n, n)
        The system's matrix A.
    rhs : ndarray, shape (n,)
        The right-hand side b, not zero.
    bounds : (float, float)
        Bounds on the singular values of A.

    Returns
    -------
    Embedding
        With matrix and bounds divided by the upper bound, and a right-hand side of norm 1.

    Examples
    --------
    >>> system = embed(np.array([[0.0, 2.0], [-0.5, 0.0]]), np.array([1.0, 0.0]), bounds=(0.5, 2.0))
    >>> system.matrix.real.round(2).tolist(), system.offset
    ([[0.0, 0.0, 0.0, 1.0], [0.0, 0.0, -0.25, 0.0], [0.0, -0.25, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]], 2)
    """
    low, high = bounds
    n_unknowns = len(matrix)
    n_bits = max(1, (n_unknowns - 1).bit_length())
    size = 2**n_bits
    largest = float(np.abs(rhs).max())
    length = float(np.linalg.norm(rhs / largest))
    hermitian = is_hermitian(matrix)
    sign = 1
    block = np.zeros((size, size), dtype=matrix.dtype)
    block[:n_unknowns, :n_unknowns] = matrix / high
    if hermitian:
        block = (block + block.conj().T) / 2  # to the last bit, which circuit builders may insist on
        sign = is_definite(block[:n_unknowns, :n_unknowns]) or 1
        block = sign * block
    block[range(n_unknowns, size), range(n_unknowns, size)] = 1.0
    b = np.zeros(size, dtype=rhs.dtype)
    b[:n_unknowns] = sign * (rhs / largest / length)
    factor = length * (largest / high)
    if hermitian:
        definite = is_definite(block) == 1
        return Embedding(block, b, n_bits, 0, definite, low / high, 1.0, factor)
    zero = np.zeros_like(block)
    dilated = np.block([[zero, block], [block.conj().T, zero]])
    return Embedding(dilated, np.concatenate([b, np.zeros_like(b)]), n_bits + 1, size, False, low / high, 1.0, factor)
