"""Checks of arguments that several builders share; each error is one sentence that names the cure."""

from __future__ import annotations

import math
from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__: list[str] = []

MAX_ROWS = 128
"""The largest matrix that is turned into gates: 64 unknowns, doubled when a matrix is made Hermitian."""

# Hermitian to rounding: sums of products of float64 entries, relative to the largest entry.
_HERMITIAN = 1e-10

_SMALLEST = 1e-100


def numbers(values: ArrayLike, argument: str) -> NDArray[np.complex128]:
    """Return finite numbers as a complex array."""
    array = np.asarray(values)
    if array.dtype.kind not in "biufc":
        raise TypeError(f"Argument `{argument}` must hold numbers, but its dtype is {array.dtype}.")
    if not np.all(np.isfinite(array)):
        raise ValueError(f"Argument `{argument}` must hold finite numbers, but it holds NaN or infinity.")
    return array.astype(np.complex128)


def hermitian(matrix: ArrayLike, argument: str = "matrix") -> NDArray[np.complex128]:
    """Return a Hermitian matrix of 2, 4, ... 128 rows, freed of rounding."""
    array = numbers(matrix, argument)
    if array.ndim != 2 or array.shape[0] != array.shape[1]:
        raise ValueError(f"Argument `{argument}` must be a square matrix, but its shape is {array.shape}.")
    n_rows = array.shape[0]
    if not 2 <= n_rows <= MAX_ROWS or n_rows & (n_rows - 1):
        raise ValueError(
            f"Argument `{argument}` must have 2, 4, 8 ... {MAX_ROWS} rows, but it has {n_rows}: "
            "pad it with a multiple of the identity."
        )
    largest = float(np.abs(array).max())
    if float(np.abs(array - array.conj().T).max()) > _HERMITIAN * largest:
        raise ValueError(
            f"Argument `{argument}` must be Hermitian, but it differs from its adjoint by "
            f"{float(np.abs(array - array.conj().T).max()):.3g}: solve with the dilation [[0, A], [A^H, 0]] instead."
        )
    if largest == 0.0:
        raise ValueError(f"Argument `{argument}` must not be zero, but all its entries are 0.")
    if not _SMALLEST < largest < 1.0 / _SMALLEST:
        raise ValueError(
            f"Argument `{argument}` must have its largest entry between {_SMALLEST:g} and {1.0 / _SMALLEST:g}, so that "
            f"squares fit float64, but it is {largest:g}: scale it."
        )
    return (array + array.conj().T) / 2.0


def state(vector: ArrayLike, argument: str = "vector", *, size: int | None = None) -> NDArray[np.complex128]:
    """Return a non-zero vector, normalised."""
    array = numbers(vector, argument)
    if array.ndim != 1:
        raise ValueError(f"Argument `{argument}` must be one-dimensional, but its shape is {array.shape}.")
    if size is not None and array.size != size:
        raise ValueError(f"Argument `{argument}` must have {size} entries, one a row, but it has {array.size}.")
    largest = float(np.abs(array).max()) if array.size else 0.0
    if largest == 0.0:
        raise ValueError(f"Argument `{argument}` must not be zero, but all its {array.size} entries are 0.")
    # Scaled first: squares of tiny or huge entries leave the range of float64.
    array = array / largest
    return np.asarray(array / np.linalg.norm(array))


def real_number(value: float, argument: str) -> float:
    """Return a finite real number as a float."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise ValueError(f"Argument `{argument}` must be a finite real number, but it is {value!r}.")
    return float(value)


def whole_number(value: int, argument: str, *, low: int, high: int) -> int:
    """Return an integer that lies in [low, high]."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= value <= high:
        raise ValueError(f"Argument `{argument}` must be an integer from {low} to {high}, but it is {value!r}.")
    return int(value)


def choice(value: str, argument: str, options: tuple[str, ...]) -> str:
    """Return one of the named options."""
    if value not in options:
        raise ValueError(f"Argument `{argument}` must be one of {', '.join(map(repr, options))}, but it is {value!r}.")
    return value
