"""Plain twin of the pattern kernels: every window is read site by site."""

from __future__ import annotations

import itertools
import math

import numpy as np


def count_patterns(spins: np.ndarray, shape: tuple[int, ...], kernel_size: int) -> np.ndarray:
    """Count local patterns by walking over all windows; bit order as `qmlphys.phases._patterns` states it."""
    n_dimensions = len(shape)
    counts = np.zeros((len(spins), 2 ** (kernel_size**n_dimensions)), dtype=np.int64)
    for row, snapshot in enumerate(spins):
        field = snapshot.reshape(shape)
        for corner in itertools.product(*map(range, shape)):
            pattern = 0
            for offset in itertools.product(range(kernel_size), repeat=n_dimensions):
                *front, last = offset
                place = last * kernel_size ** (n_dimensions - 1)
                place += sum(o * kernel_size**power for power, o in enumerate(reversed(front)))
                site = tuple((c + o) % size for c, o, size in zip(corner, offset, shape, strict=True))
                pattern |= int(field[site] < 0) << place
            counts[row, pattern] += 1
    assert (counts.sum(1) == math.prod(shape)).all()
    return counts
