"""Compiled kernels on words: Metropolis sweeps and measurement. Layout and tables: `_layout`.

Every kernel works on one group and touches nothing else, so groups run on any number of threads with the same result.
Bit k of a word is replica k: set for spin -1. A random vector gives each replica its own bit: none is shared.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from qmlphys.montecarlo._layout import LAZY_DIGITS, N_PLANES, REPLICAS
from qmlphys.montecarlo._random import step
from qmlphys.montecarlo._simd import LANES, any_set, load, rotate_lanes, store, zeros

__all__ = ["COUNTER_PLANES", "measure", "metropolis", "trajectory", "unpack"]

COUNTER_PLANES = 28  # enough for twice the edges of the largest lattice
_FIRST_DIGITS = (
    10  # 512 comparisons last 10.3 digits in the mean: below this, testing for the end costs more than it saves
)


@njit(inline="always")
def _compare(threshold, undecided, less, s0, s1):
    """One binary digit of "random number < threshold" for the replicas that are still undecided."""
    random, s0, s1 = step(s0, s1)
    return undecided & ~(random ^ threshold), less | (undecided & threshold & ~random), s0, s1


@njit(inline="always")
def _neighbour(words, place, rotation):
    value = load(words, place)
    if rotation != 0:
        value = rotate_lanes(value, rotation)
    return value


@njit(inline="always")
def _unlike(words, spin, site, degree, neighbours, rotations):
    """Number of neighbours with the opposite spin, as three binary digits of a vector each."""
    ones = zeros()
    twos = zeros()
    fours = zeros()
    for q in range(degree):
        x = spin ^ _neighbour(words, neighbours[site, q], rotations[site, q])
        carry = ones & x
        ones = ones ^ x
        x = twos & carry
        twos = twos ^ carry
        fours = fours ^ x
    return ones, twos, fours


@njit(inline="always")
def _class_mask(spin, ones, twos, fours, code):
    """Replicas in one class of move; the code: bits 0-2 unlike neighbours, bit 3 the spin, bit 4 either spin."""
    mask = (ones if code & 1 else ~ones) & (twos if code & 2 else ~twos) & (fours if code & 4 else ~fours)
    if not code & 16:
        mask = mask & (spin if code & 8 else ~spin)
    return mask


@njit(cache=True, nogil=True)
def metropolis(words, degree, neighbours, rotations, class_start, class_code, planes, state, n_sweeps):
    """Sweep a group: every site once a sweep, in order, accepted with probability (1 - 2^-4) min(1, exp(-dE/T)).

    The acceptance is the comparison of a random binary fraction with the acceptance probability of the replica's class
    of move, digit by digit from the top, until every replica is decided (at most 64 digits). Why not with probability
    min(1, exp(-dE/T)): see `LAZY_DIGITS`.

    Parameters
    ----------
    words : uint64 (n_reduced * 8,)
        Spins, changed in place.
    degree, neighbours, rotations
        From `Geometry`.
    class_start : int64 (max degree + 2,)
        Classes of a site of degree d: class_start[d] to class_start[d + 1]. Moves in no class do not raise the energy.
    class_code : int64 (n_classes,)
        See `_class_mask`.
    planes : uint64 (n_classes * 64 * 8,)
        Digits of the acceptance probabilities, from `bit_planes`.
    state : uint64 (16,)
        Random state, changed in place.
    n_sweeps : int
        Number of sweeps.
    """
    masks = np.empty(LANES * max(class_code.size, 1), dtype=np.uint64)
    class_size = N_PLANES * LANES
    s0 = load(state, 0)
    s1 = load(state, LANES)
    for _ in range(n_sweeps):
        for site in range(degree.size):
            place = LANES * site
            spin = load(words, place)
            d = degree[site]
            ones, twos, fours = _unlike(words, spin, site, d, neighbours, rotations)
            start = class_start[d]
            n_classes = class_start[d + 1] - start
            digit = _FIRST_DIGITS
            if n_classes == 2:  # square and honeycomb lattices without a field: both masks stay in registers
                mask_a = _class_mask(spin, ones, twos, fours, class_code[start])
                mask_b = _class_mask(spin, ones, twos, fours, class_code[start + 1])
                a = class_size * start
                b = a + class_size
                uphill = mask_a | mask_b
                rest = ~uphill
                undecided = ~zeros()
                accepted = zeros()
                for k in range(LAZY_DIGITS):
                    threshold = (mask_a & load(planes, a + LANES * k)) | (mask_b & load(planes, b + LANES * k)) | rest
                    undecided, accepted, s0, s1 = _compare(threshold, undecided, accepted, s0, s1)
                undecided = undecided & uphill
                for k in range(LAZY_DIGITS, _FIRST_DIGITS):
                    threshold = (mask_a & load(planes, a + LANES * k)) | (mask_b & load(planes, b + LANES * k))
                    undecided, accepted, s0, s1 = _compare(threshold, undecided, accepted, s0, s1)
                while digit < N_PLANES and any_set(undecided):
                    for k in range(digit, digit + 2):
                        threshold = (mask_a & load(planes, a + LANES * k)) | (mask_b & load(planes, b + LANES * k))
                        undecided, accepted, s0, s1 = _compare(threshold, undecided, accepted, s0, s1)
                    digit += 2
            else:
                uphill = zeros()
                for c in range(n_classes):
                    mask = _class_mask(spin, ones, twos, fours, class_code[start + c])
                    store(masks, LANES * c, mask)
                    uphill = uphill | mask
                rest = ~uphill
                undecided = ~zeros()
                accepted = zeros()
                digit = 0
                while digit < N_PLANES and (digit < _FIRST_DIGITS or any_set(undecided)):
                    for k in range(digit, digit + 2):
                        threshold = rest
                        for c in range(n_classes):
                            plane = class_size * (start + c) + LANES * k
                            threshold = threshold | (load(masks, LANES * c) & load(planes, plane))
                        undecided, accepted, s0, s1 = _compare(threshold, undecided, accepted, s0, s1)
                    digit += 2
                    if digit == LAZY_DIGITS:
                        undecided = undecided & uphill
                        rest = zeros()
            store(words, place, spin ^ accepted)
    store(state, 0, s0)
    store(state, LANES, s1)


@njit(inline="always")
def _add_at(counter, plane, x):
    """Add a vector of bits to vertical counters, from one binary digit on."""
    while any_set(x):
        old = load(counter, LANES * plane)
        store(counter, LANES * plane, old ^ x)
        x = old & x
        plane += 1


@njit(cache=True, nogil=True)
def measure(words, degree, neighbours, rotations, n_slabs, unlike_pairs, down):
    """Count unlike neighbour pairs (each edge twice) and spins -1 in every replica of a group.

    Parameters
    ----------
    words, degree, neighbours, rotations
        As in `metropolis`.
    n_slabs : int
        Slabs in a vector.
    unlike_pairs, down : int64 (8 // n_slabs * 64,)
        Output, replica by replica.
    """
    pairs = np.zeros(LANES * COUNTER_PLANES, dtype=np.uint64)
    spins = np.zeros(LANES * COUNTER_PLANES, dtype=np.uint64)
    for site in range(degree.size):
        spin = load(words, LANES * site)
        ones, twos, fours = _unlike(words, spin, site, degree[site], neighbours, rotations)
        _add_at(pairs, 0, ones)
        _add_at(pairs, 1, twos)
        _add_at(pairs, 2, fours)
        _add_at(spins, 0, spin)
    _read_counter(pairs, n_slabs, unlike_pairs)
    _read_counter(spins, n_slabs, down)


@njit(inline="always")
def _read_counter(counter, n_slabs, out):
    n_words = LANES // n_slabs
    out[:] = 0
    for plane in range(COUNTER_PLANES):
        for lane in range(LANES):
            word = counter[LANES * plane + lane]
            if word != 0:
                first = lane % n_words * REPLICAS
                for replica in range(REPLICAS):
                    out[first + replica] += np.int64((word >> np.uint64(replica)) & np.uint64(1)) << plane


@njit(cache=True, nogil=True)
def trajectory(
    words, degree, neighbours, rotations, class_start, class_code, planes, state, n_slabs, n_skip, unlike_pairs, down
):
    """Measure a group after every `n_skip` sweeps; outputs int64 (n_measurements, 8 // n_slabs * 64)."""
    for k in range(down.shape[0]):
        metropolis(words, degree, neighbours, rotations, class_start, class_code, planes, state, n_skip)
        measure(words, degree, neighbours, rotations, n_slabs, unlike_pairs[k], down[k])


@njit(cache=True, nogil=True)
def unpack(words, n_slabs, word, n_chains, out):
    """Write the first `n_chains` replicas of one word of a group as spins, out: int8 (n_chains, n_sites)."""
    n_words = LANES // n_slabs
    n_reduced = words.size // LANES
    for slab in range(n_slabs):
        lane = slab * n_words + word
        for chain in range(n_chains):
            shift = np.uint64(chain)
            for site in range(n_reduced):
                bit = (words[LANES * site + lane] >> shift) & np.uint64(1)
                out[chain, slab * n_reduced + site] = 1 - 2 * np.int8(bit)
