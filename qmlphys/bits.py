"""Spins, bits, integers and printed bit strings: the one place that knows their order.

Bit 0 is spin +1 and bit 1 is spin -1. Site ``i`` is qubit ``i`` and has the weight ``2**i`` in every integer.
A printed bit string has site 0 at the right, as Qiskit prints its counts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "MAX_BITS",
    "bits_to_integers",
    "bits_to_spins",
    "from_string",
    "integers_to_bits",
    "integers_to_spins",
    "spins_to_bits",
    "spins_to_integers",
    "to_string",
]

MAX_BITS = 62
"""The largest number of sites whose configurations are written as int64 integers."""


def _two_valued(values: ArrayLike, *, argument: str, low: int) -> NDArray[Any]:
    """Return `values` as an array that is known to hold only `low` and 1."""
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"Argument `{argument}` must hold numbers, but its dtype is {array.dtype}.")
    # min, max and the zero test are three passes without a temporary of the size of the data.
    if array.size:
        smallest, largest = array.min(), array.max()
        bad: Any = None
        if not smallest >= low:
            bad = smallest
        elif not largest <= 1:
            bad = largest
        elif low == -1 and not array.all():
            bad = 0
        elif array.dtype.kind == "f" and not np.array_equal(array, np.rint(array)):
            bad = array[array != np.rint(array)].flat[0]
        if bad is not None:
            raise ValueError(f"Argument `{argument}` must hold only {low} and 1, but it holds {bad}.")
    return array


def _last_axis(array: NDArray[Any], *, argument: str) -> int:
    """Return the length of the site axis after checking that an int64 can hold a configuration."""
    if array.ndim == 0:
        raise ValueError(f"Argument `{argument}` must have a last axis of sites, but it is a single number.")
    n_sites = array.shape[-1]
    if not 1 <= n_sites <= MAX_BITS:
        raise ValueError(
            f"Argument `{argument}` must have 1 to {MAX_BITS} sites in its last axis to fit an integer, "
            f"but it has {n_sites}."
        )
    return n_sites


def spins_to_bits(spins: ArrayLike) -> NDArray[np.int8]:
    """Turn spins into bits: +1 becomes 0, -1 becomes 1.

    Parameters
    ----------
    spins : array_like, any shape
        Spins in {-1, +1}.

    Returns
    -------
    ndarray of int8, same shape
        Bits in {0, 1}.

    Raises
    ------
    ValueError
        If a value is neither -1 nor +1.

    Examples
    --------
    >>> spins_to_bits([1, -1, -1]).tolist()
    [0, 1, 1]
    """
    array = _two_valued(spins, argument="spins", low=-1)
    return (array < 0).astype(np.int8)


def bits_to_spins(bits: ArrayLike) -> NDArray[np.int8]:
    """Turn bits into spins: 0 becomes +1, 1 becomes -1.

    Parameters
    ----------
    bits : array_like, any shape
        Bits in {0, 1} (or booleans).

    Returns
    -------
    ndarray of int8, same shape
        Spins in {-1, +1}.

    Raises
    ------
    ValueError
        If a value is neither 0 nor 1.

    Examples
    --------
    >>> bits_to_spins([0, 1, 1]).tolist()
    [1, -1, -1]
    """
    array = _two_valued(bits, argument="bits", low=0).astype(np.int8)
    return (1 - 2 * array).astype(np.int8)


def bits_to_integers(bits: ArrayLike) -> NDArray[np.int64]:
    """Read each row of bits as an integer in which site ``i`` has the weight ``2**i``.

    Parameters
    ----------
    bits : array_like, shape (..., n), n <= 62
        Bits in {0, 1}.

    Returns
    -------
    ndarray of int64, shape (...)
        Integers in [0, 2**n).

    Raises
    ------
    ValueError
        If a value is neither 0 nor 1, or the last axis is empty or longer than 62.

    Examples
    --------
    >>> int(bits_to_integers([1, 1, 0]))
    3
    """
    array = _two_valued(bits, argument="bits", low=0)
    n_sites = _last_axis(array, argument="bits")
    weights = np.left_shift(np.int64(1), np.arange(n_sites, dtype=np.int64))
    return np.asarray(array.astype(np.int64) @ weights, dtype=np.int64)


def integers_to_bits(integers: ArrayLike, n_sites: int) -> NDArray[np.int8]:
    """Write integers as rows of bits; the inverse of `bits_to_integers`.

    Parameters
    ----------
    integers : array_like of int, shape (...)
        Integers in [0, 2**n_sites).
    n_sites : int
        Number of sites, 1 to 62.

    Returns
    -------
    ndarray of int8, shape (..., n_sites)
        Bits in {0, 1}; entry ``i`` has the weight ``2**i``.

    Raises
    ------
    TypeError
        If `integers` holds something else than integers.
    ValueError
        If `n_sites` or an integer is out of range.

    Examples
    --------
    >>> integers_to_bits(3, 4).tolist()
    [1, 1, 0, 0]
    """
    if not 1 <= n_sites <= MAX_BITS:
        raise ValueError(f"Argument `n_sites` must be 1 to {MAX_BITS}, but it is {n_sites}.")
    array = np.asarray(integers)
    if array.dtype.kind not in "iu":
        raise TypeError(f"Argument `integers` must hold integers, but its dtype is {array.dtype}.")
    if array.size and (array.min() < 0 or array.max() >= 2**n_sites):
        bad = array.min() if array.min() < 0 else array.max()
        raise ValueError(f"Argument `integers` must lie in [0, 2**{n_sites}), but it holds {bad}.")
    shifts = np.arange(n_sites, dtype=np.int64)
    return (np.right_shift(array.astype(np.int64)[..., np.newaxis], shifts) & 1).astype(np.int8)


def spins_to_integers(spins: ArrayLike) -> NDArray[np.int64]:
    """Read each row of spins as an integer: a spin -1 at site ``i`` adds ``2**i``.

    Parameters
    ----------
    spins : array_like, shape (..., n), n <= 62
        Spins in {-1, +1}.

    Returns
    -------
    ndarray of int64, shape (...)
        Integers in [0, 2**n).

    Raises
    ------
    ValueError
        If a value is neither -1 nor +1, or the last axis is empty or longer than 62.

    Examples
    --------
    >>> int(spins_to_integers([-1, 1, -1]))
    5
    """
    return bits_to_integers(spins_to_bits(spins))


def integers_to_spins(integers: ArrayLike, n_sites: int) -> NDArray[np.int8]:
    """Write integers as rows of spins; the inverse of `spins_to_integers`.

    Parameters
    ----------
    integers : array_like of int, shape (...)
        Integers in [0, 2**n_sites).
    n_sites : int
        Number of sites, 1 to 62.

    Returns
    -------
    ndarray of int8, shape (..., n_sites)
        Spins in {-1, +1}.

    Raises
    ------
    TypeError
        If `integers` holds something else than integers.
    ValueError
        If `n_sites` or an integer is out of range.

    Examples
    --------
    >>> integers_to_spins(5, 3).tolist()
    [-1, 1, -1]
    """
    return bits_to_spins(integers_to_bits(integers, n_sites))


def to_string(bits: ArrayLike) -> str:
    """Print one row of bits with site 0 at the right.

    Parameters
    ----------
    bits : array_like, shape (n,)
        Bits in {0, 1}; any length.

    Returns
    -------
    str
        ``n`` characters, 0 or 1; the last one is site 0.

    Raises
    ------
    ValueError
        If `bits` is not one-dimensional or holds something else than 0 and 1.

    Examples
    --------
    >>> to_string([1, 1, 0])
    '011'
    """
    array = _two_valued(bits, argument="bits", low=0)
    if array.ndim != 1:
        raise ValueError(f"Argument `bits` must be one row of bits, but its shape is {array.shape}.")
    return (array[::-1].astype(np.uint8) + ord("0")).astype(np.uint8).tobytes().decode("ascii")


def from_string(string: str) -> NDArray[np.int8]:
    """Read a printed bit string, in which site 0 stands at the right.

    Parameters
    ----------
    string : str
        Characters 0 and 1. Blanks, which separate classical registers in print, are skipped.

    Returns
    -------
    ndarray of int8, shape (n,)
        Bits in {0, 1}; entry 0 is the last character.

    Raises
    ------
    ValueError
        If another character occurs.

    Examples
    --------
    >>> from_string("011").tolist()
    [1, 1, 0]
    """
    digits = string.replace(" ", "")
    if digits.strip("01"):
        raise ValueError(f"Argument `string` must hold only 0, 1 and blanks, but it is {string!r}.")
    return (np.frombuffer(digits.encode("ascii"), dtype=np.uint8)[::-1] - ord("0")).astype(np.int8)
