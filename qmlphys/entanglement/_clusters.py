"""Rows of numbers that agree up to rounding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["labels_of_rows"]


def labels_of_rows(rows: NDArray[np.float64], tolerance: float) -> NDArray[np.int64]:
    """Number the different rows: two have one label if chains of gaps up to `tolerance` join them in every column."""
    labels = np.zeros(len(rows), dtype=np.int64)
    for column in rows.T:
        order = np.lexsort((column, labels))
        values, before = column[order], labels[order]
        new = np.ones(len(order), dtype=bool)
        new[1:] = (before[1:] != before[:-1]) | (np.diff(values) > tolerance)
        labels[order] = np.cumsum(new) - 1
    return labels
