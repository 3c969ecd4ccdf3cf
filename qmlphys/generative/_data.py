"""Rows of bits or spins in, rows of the same alphabet out, and the rows that are held out."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qmlphys._alphabet import find_alphabet
from qmlphys._arguments import no_dataset
from qmlphys._groups import group_indices, hold_out
from qmlphys.bits import bits_to_spins

__all__ = ["Binary", "as_bits", "held_out_rows", "in_alphabet", "packed", "plain"]

Binary = Literal["bits", "spins"]


def as_bits(
    X: ArrayLike, *, n_sites: int | None = None, alphabet: Binary | None = None, argument: str = "X"
) -> tuple[NDArray[np.int8], Binary]:
    """Read rows of 0/1 or of -1/+1 as bits (bit 0 is spin +1).

    Parameters
    ----------
    X : array_like, shape (n, n_sites), n >= 1
        Bits or spins.
    n_sites : int, optional
        What the second axis must have.
    alphabet : {"bits", "spins"}, optional
        How rows of ones alone, which could be either, are read: as the model's own; by default they are spins.
    argument : str
        What errors call it.

    Returns
    -------
    (ndarray of int8, shape (n, n_sites), str)
        Bits, and the alphabet that was found.

    Raises
    ------
    ValueError, TypeError
        If the shape does not fit or another value occurs.
    """
    no_dataset(argument, X)
    rows = np.asarray(X)
    if rows.dtype.kind not in "biuf":
        raise TypeError(f"Argument `{argument}` must hold bits (0/1) or spins (-1/+1), but its dtype is {rows.dtype}.")
    if rows.ndim != 2 or 0 in rows.shape:
        raise ValueError(f"Argument `{argument}` must be rows of sites, (n, n_sites), but its shape is {rows.shape}.")
    if n_sites is not None and rows.shape[1] != n_sites:
        raise ValueError(f"Argument `{argument}` must have {n_sites} sites a row, but it has {rows.shape[1]}.")
    found = alphabet if alphabet is not None and (rows == 1).all() else find_alphabet(rows)
    if found == "real":
        allowed = [value for value in np.unique(rows) if value not in (-1, 0, 1)]
        text = f"it holds {allowed[0]:g}" if allowed else "it holds both -1 and 0"
        raise ValueError(f"Argument `{argument}` must hold bits (0/1) or spins (-1/+1), but {text}.")
    bits = rows.astype(np.int8) if found == "bits" else (rows < 0).astype(np.int8)
    return bits, found


def in_alphabet(bits: NDArray[np.int8], alphabet: Binary) -> NDArray[np.int8]:
    """Write bits in the alphabet that a model was fitted on."""
    return bits if alphabet == "bits" else bits_to_spins(bits)


def packed(bits: NDArray[np.int8]) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Return the different rows and the share of each, so that repeated snapshots cost nothing."""
    rows, counts = np.unique(bits, axis=0, return_counts=True)
    return rows, counts / counts.sum()


def held_out_rows(
    n_rows: int, groups: ArrayLike | None, fraction: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Choose whole groups of rows for validation.

    Parameters
    ----------
    n_rows : int
        Number of rows.
    groups : array_like, shape (n_rows,), optional
        The independent chain of each row; without it every row stands for itself.
    fraction : float
        Share of the groups, from 0 (none) to below 1.
    rng : Generator
        Source of randomness.

    Returns
    -------
    ndarray of bool, shape (n_rows,)
        True for rows that are held out.

    Raises
    ------
    ValueError
        If the fraction is out of range, or there are fewer than two groups to split.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"Argument `validation_fraction` must be from 0 to below 1, but it is {fraction!r}.")
    if fraction == 0:
        return np.zeros(n_rows, dtype=bool)
    indices = group_indices(groups, n_rows)
    # Groups without a control parameter: all at the same place.
    return hold_out(indices, np.zeros(n_rows), fraction, rng)


def plain(value: Any) -> Any:
    """Return a setting as JSON knows it."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return value
