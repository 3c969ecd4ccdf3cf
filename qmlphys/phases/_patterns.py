"""Counting local patterns of spins: a translation-averaged local function is linear in these counts.

A pattern is what a window of `kernel_size` sites along every axis shows; -1 is written as bit 1. The site at offset
(o_1, ..., o_d) of the window has the bit o_d k^(d-1) + (the index of (o_1, ..., o_(d-1)) in row-major order), so that
sliding the window along the last axis shifts the integer by k^(d-1) bits. All spins reversed is the complement,
n_patterns - 1 - pattern.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["MAX_PATTERN_SITES", "count_patterns", "holds_spins", "mean_over_patterns", "pattern_spins"]

MAX_PATTERN_SITES = 12
"""The largest window, in sites, whose 2**sites patterns are tabulated."""


def _lines(shape: tuple[int, ...], kernel_size: int) -> npt.NDArray[np.int64]:
    """For every line along the last axis, the lines that a window starting there covers, periodic, in bit order."""
    *front, _ = shape
    starts = np.indices(front).reshape(len(front), math.prod(front))
    offsets = np.indices((kernel_size,) * len(front)).reshape(len(front), kernel_size ** len(front))
    lines = np.zeros((starts.shape[1], offsets.shape[1]), dtype=np.int64)
    for axis, size in enumerate(front):
        lines = lines * size + (starts[axis][:, None] + offsets[axis]) % size
    return lines


@njit(cache=True, nogil=True)
def _read_line(spins, starts, width, kernel_size, column, codes):  # type: ignore[no-untyped-def]
    """Write the patterns of all windows that start on one line; simple loops over slices, which compile to SIMD."""
    n_columns = len(starts)
    for m in range(n_columns):
        line = spins[starts[m] * width : (starts[m] + 1) * width]
        # The sign bit of an int8 is the bit of the spin.
        if m == 0:
            for j in range(width):
                column[j] = (line[j] >> 7) & 1
        else:
            for j in range(width):
                column[j] |= ((line[j] >> 7) & 1) << m
    for j in range(kernel_size - 1):
        column[width + j] = column[j % width]
    for j in range(width):
        codes[j] = column[j]
    for m in range(1, kernel_size):
        shifted = column[m : m + width]
        for j in range(width):
            codes[j] |= shifted[j] << (m * n_columns)


@njit(cache=True, nogil=True)
def _count(spins, lines, width, kernel_size, counts):  # type: ignore[no-untyped-def]
    column = np.empty(width + kernel_size, dtype=np.uint16)
    codes = np.empty(width, dtype=np.uint16)
    # Neighbouring sites often show the same pattern; two tables keep one increment from waiting for the other.
    even = np.zeros(counts.shape[1], dtype=np.int32)
    odd = np.zeros(counts.shape[1], dtype=np.int32)
    for row in range(spins.shape[0]):
        even[:] = 0
        odd[:] = 0
        for line in range(lines.shape[0]):
            _read_line(spins[row], lines[line], width, kernel_size, column, codes)
            for j in range(width // 2):
                even[codes[2 * j]] += 1
                odd[codes[2 * j + 1]] += 1
            if width % 2:
                even[codes[width - 1]] += 1
        for pattern in range(counts.shape[1]):
            counts[row, pattern] = even[pattern] + odd[pattern]


@njit(cache=True, nogil=True)
def _mean(spins, lines, width, kernel_size, table, means):  # type: ignore[no-untyped-def]
    column = np.empty(width + kernel_size, dtype=np.uint16)
    codes = np.empty(width, dtype=np.uint16)
    for row in range(spins.shape[0]):
        # Four sums, so that an addition need not wait for the one before it.
        a = b = c = d = 0.0
        for line in range(lines.shape[0]):
            _read_line(spins[row], lines[line], width, kernel_size, column, codes)
            for j in range(width // 4):
                a += table[codes[4 * j]]
                b += table[codes[4 * j + 1]]
                c += table[codes[4 * j + 2]]
                d += table[codes[4 * j + 3]]
            for j in range(width // 4 * 4, width):
                a += table[codes[j]]
        means[row] = (a + b + c + d) / (lines.shape[0] * width)


@njit(cache=True, nogil=True)
def _holds_spins(flat):  # type: ignore[no-untyped-def]
    for start in range(0, len(flat), 4096):
        wrong = np.int8(0)
        for value in flat[start : start + 4096]:
            wrong |= (value != 1) & (value != -1)
        if wrong:
            return False
    return True


def holds_spins(rows: npt.NDArray[np.int8]) -> bool:
    """Return whether all entries are -1 or +1."""
    return bool(_holds_spins(np.ascontiguousarray(rows).ravel()))


def _check(spins: npt.NDArray[Any], shape: tuple[int, ...], kernel_size: int) -> npt.NDArray[np.int8]:
    n_sites = math.prod(shape)
    if spins.ndim != 2 or spins.shape[1] != n_sites:
        raise ValueError(f"Argument `spins` must have shape (n, {n_sites}) on {shape}, but it is {spins.shape}.")
    if kernel_size ** len(shape) > MAX_PATTERN_SITES:
        raise ValueError(
            f"Argument `kernel_size` must give windows of at most {MAX_PATTERN_SITES} sites, but {kernel_size} in "
            f"{len(shape)} dimensions gives {kernel_size ** len(shape)}."
        )
    return np.ascontiguousarray(spins, dtype=np.int8)


def count_patterns(
    spins: npt.NDArray[Any], shape: tuple[int, ...], *, kernel_size: int = 3
) -> npt.NDArray[np.int16] | npt.NDArray[np.int32]:
    """Count how often each local pattern occurs in periodic snapshots.

    Parameters
    ----------
    spins : ndarray of shape (n, prod(shape)), in {-1, +1}
        Snapshots, sites in row-major order.
    shape : tuple of int
        The lattice's shape, 1 to 3 axes.
    kernel_size : int
        Width of the window along every axis; kernel_size ** len(shape) <= 12.

    Returns
    -------
    ndarray of int16 (int32 above 32,767 sites), shape (n, 2 ** kernel_size ** len(shape))
        Counts; every row sums to the number of sites.

    Examples
    --------
    >>> count_patterns(np.array([[1, 1, -1, -1]]), (4,), kernel_size=2).tolist()
    [[1, 1, 1, 1]]
    """
    rows = _check(spins, shape, kernel_size)
    dtype = np.int16 if rows.shape[1] < 2**15 else np.int32
    counts = np.empty((len(rows), 2 ** (kernel_size ** len(shape))), dtype=dtype)
    _count(rows, _lines(shape, kernel_size), shape[-1], kernel_size, counts)
    return counts


def mean_over_patterns(
    spins: npt.NDArray[Any], shape: tuple[int, ...], table: npt.NDArray[np.float64], *, kernel_size: int = 3
) -> npt.NDArray[np.float64]:
    """Average a function of the local pattern over all sites of periodic snapshots.

    Parameters
    ----------
    spins : ndarray of shape (n, prod(shape)), in {-1, +1}
        Snapshots, sites in row-major order.
    shape : tuple of int
        The lattice's shape, 1 to 3 axes.
    table : ndarray of shape (2 ** kernel_size ** len(shape),)
        The function's value for each pattern.
    kernel_size : int
        Width of the window along every axis.

    Returns
    -------
    ndarray of float64, shape (n,)
        Averages.

    Examples
    --------
    >>> mean_over_patterns(np.array([[1, 1, 1, -1]]), (4,), np.array([1.0, -1.0]), kernel_size=1).tolist()
    [0.5]
    """
    rows = _check(spins, shape, kernel_size)
    means = np.empty(len(rows))
    _mean(rows, _lines(shape, kernel_size), shape[-1], kernel_size, np.asarray(table, dtype=np.float64), means)
    return means


def pattern_spins(n_dimensions: int, kernel_size: int) -> npt.NDArray[np.int8]:
    """Return every pattern as the window it stands for.

    Parameters
    ----------
    n_dimensions : int
        Number of axes, 1 to 3.
    kernel_size : int
        Width of the window along every axis.

    Returns
    -------
    ndarray of int8 in {-1, +1}, shape (n_patterns, kernel_size, ..., kernel_size)
        Row p is the window whose integer is p.

    Examples
    --------
    >>> pattern_spins(1, 2).tolist()
    [[1, 1], [-1, 1], [1, -1], [-1, -1]]
    """
    n_sites = kernel_size**n_dimensions
    if n_sites > MAX_PATTERN_SITES:
        raise ValueError(f"A window must have at most {MAX_PATTERN_SITES} sites to be tabulated, but has {n_sites}.")
    bits = (np.arange(2**n_sites)[:, None] >> np.arange(n_sites)) & 1
    windows = (1 - 2 * bits).astype(np.int8).reshape((-1,) + (kernel_size,) * n_dimensions)
    # The bits run over the last axis slowest: it comes first here and is moved to its place.
    return np.ascontiguousarray(np.moveaxis(windows, 1, -1))
