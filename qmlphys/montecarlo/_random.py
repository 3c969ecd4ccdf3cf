"""The random generator of the kernels, xoroshiro128++, eight lanes at once or one.

Source: Blackman and Vigna, "Scrambled linear pseudorandom number generators", ACM Trans. Math. Softw. 47, 36 (2021).
Lanes and generators start from different words of a `numpy.random.SeedSequence`.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from qmlphys.montecarlo._simd import LANES, rotate_left, shift_left, store

__all__ = ["STATE_SIZE", "below", "fill", "scalar_step", "states", "step"]

STATE_SIZE = 2 * LANES


def states(seed: np.random.SeedSequence, n: int) -> NDArray[np.uint64]:
    """Independent states of n vector generators, shape (n, 16); the first two words make a scalar generator."""
    words = seed.generate_state(STATE_SIZE * n, dtype=np.uint64)
    return words.astype(np.uint64, copy=False).reshape(n, STATE_SIZE)


@njit(inline="always")
def step(s0, s1):
    """Advance eight generators: (random words, new s0, new s1)."""
    result = rotate_left(s0 + s1, 17) + s0
    mixed = s0 ^ s1
    return result, rotate_left(s0, 49) ^ mixed ^ shift_left(mixed, 21), rotate_left(mixed, 28)


@njit(inline="always")
def fill(buffer, s0, s1):
    """Fill an array of words (its size a multiple of eight) and return the new state."""
    for at in range(0, buffer.size, LANES):
        words, s0, s1 = step(s0, s1)
        store(buffer, at, words)
    return s0, s1


@njit(inline="always")
def _rotate(x, k):
    return (x << np.uint64(k)) | (x >> np.uint64(64 - k))


@njit(inline="always")
def scalar_step(s0, s1):
    """Advance one generator: (random word, new s0, new s1)."""
    result = _rotate(s0 + s1, 17) + s0
    mixed = s0 ^ s1
    return result, _rotate(s0, 49) ^ mixed ^ (mixed << np.uint64(21)), _rotate(mixed, 28)


@njit(inline="always")
def below(n, s0, s1):
    """Uniform integer in [0, n), n < 2^32, free of bias (Lemire, ACM Trans. Model. Comput. Simul. 29, 3, 2019)."""
    n = np.uint64(n)
    low = np.uint64(0xFFFFFFFF)
    rejected = (np.uint64(1) << np.uint64(32)) % n
    while True:
        word, s0, s1 = scalar_step(s0, s1)
        product = (word >> np.uint64(32)) * n
        if (product & low) >= rejected:
            return np.int64(product >> np.uint64(32)), s0, s1
