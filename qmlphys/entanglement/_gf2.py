"""Linear algebra over GF(2) on bits packed in words of 64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["packed", "pivot_columns"]


def packed(bits: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Pack rows of bits: (n_rows, n_columns) -> (n_rows, n_words); column c is bit c % 64 of word c // 64."""
    n_rows, n_columns = bits.shape
    n_words = -(-n_columns // 64)
    padded = np.zeros((n_rows, 64 * n_words), dtype=bool)
    padded[:, :n_columns] = bits
    # Little-endian bytes and bits, whatever the machine, so that a column has one place.
    return np.packbits(padded, axis=1, bitorder="little").view("<u8").astype(np.uint64, copy=False)


def pivot_columns(bits: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the columns that are independent of those before them, in rising order.

    So the rank is their number, and the rank of the first k columns the number of those below k.
    """
    n_columns = bits.shape[1]
    rows = packed(bits)
    top = 0
    pivots = []
    for column in range(n_columns):
        if top == len(rows):
            break
        word, mask = column // 64, np.uint64(1) << np.uint64(column % 64)
        hit = np.flatnonzero(rows[top:, word] & mask)
        if not len(hit):
            continue
        hit += top
        pivot = rows[hit[0]].copy()
        # The columns before are already zero below, so only the later words change.
        rows[hit[1:], word:] ^= pivot[word:]
        rows[hit[0]] = rows[top]
        top += 1
        pivots.append(column)
    return np.array(pivots, dtype=np.int64)
