"""Compiled cluster kernels on int8 spins: Swendsen-Wang and Wolff, one chain at a time.

Cluster labels are different in every replica, so there is nothing to share within a word; the work is union-find, and
what counts is to keep branches predictable: bonds along rows are labelled by a running minimum, the others are first
listed without a branch and then joined.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from qmlphys.lattices import Lattice
from qmlphys.montecarlo._random import below, fill, scalar_step
from qmlphys.montecarlo._simd import LANES, load, store

__all__ = ["ClusterTables", "bond_threshold", "cluster_tables", "count", "swendsen_wang", "wolff"]


@dataclass(frozen=True)
class ClusterTables:
    """Edges of a lattice as the cluster kernels read them; site numbers take 16 bits where they fit.

    Attributes
    ----------
    row : int
        Sites in a row: site i and i - 1 are joined by an edge unless i is a multiple of `row`.
    first, second : ndarray, shape (n_other_edges,)
        All other edges, larger site first, sorted by direction.
    follows : ndarray of uint8, shape (n_other_edges,)
        1 where the edge before is the same edge one site back along both rows: together with the two row edges it
        closes a loop of four.
    partners : ndarray, shape (n_sites, coordination)
        Neighbours, for Wolff; entries from `degree` on are not read.
    degree : ndarray of int64, shape (n_sites,)
        Number of neighbours.
    """

    row: int
    first: NDArray
    second: NDArray
    follows: NDArray[np.uint8]
    partners: NDArray
    degree: NDArray[np.int64]


def cluster_tables(lattice: Lattice) -> ClusterTables:
    """Tabulate the edges of a lattice."""
    dtype = np.uint16 if lattice.n_sites <= 2**16 else np.int32
    row = lattice.shape[-1]
    low, high = lattice.edges.T
    other = (high - low != 1) | (high % row == 0)
    if np.count_nonzero(~other) != lattice.n_sites - lattice.n_sites // row:
        raise ValueError(f"Argument `lattice` must join neighbours along its rows, but {lattice.label} does not.")
    first, second = high[other], low[other]
    order = np.lexsort((first, first - second))
    first, second = first[order], second[order]
    follows = np.zeros(first.size, dtype=np.uint8)
    follows[1:] = (np.diff(first) == 1) & (np.diff(second) == 1)
    partners = np.take_along_axis(lattice.neighbours, np.argsort(lattice.neighbours < 0, axis=1, kind="stable"), axis=1)
    return ClusterTables(
        row=row,
        first=first.astype(dtype),
        second=second.astype(dtype),
        follows=follows,
        partners=np.maximum(partners, 0).astype(dtype),
        degree=(lattice.neighbours >= 0).sum(axis=1),
    )


def bond_threshold(coupling: float, temperature: float) -> np.uint32:
    """The probability 1 - exp(-2 |J| / T) that a satisfied bond is active, in units of 2^-32."""
    exponent = -2.0 * abs(coupling) / float(temperature)  # infinite, without a warning, near the smallest double
    return np.uint32(min(round(-np.expm1(exponent) * 2.0**32), 2**32 - 1))


@njit(inline="always")
def _join(parent, a, b):
    """Join the trees of two sites; the smaller root stays."""
    a = parent[parent[a]]
    b = parent[parent[b]]
    while True:  # rows are labelled in order, so that two steps nearly always reach the roots
        above_a = parent[a]
        above_b = parent[b]
        if (above_a == a) & (above_b == b):
            break
        a = parent[above_a]
        b = parent[above_b]
    parent[max(a, b)] = min(a, b)


@njit(cache=True, nogil=True)
def swendsen_wang(spins, row, first, second, follows, alike, threshold, state, n_sweeps):
    """Swendsen-Wang updates of one chain (Phys. Rev. Lett. 58, 86, 1987).

    Parameters
    ----------
    spins : int8 (n_sites,)
        Spins, changed in place.
    row, first, second, follows
        From `ClusterTables`.
    alike : int8
        Product of two spins that satisfies a bond: 1 for positive coupling, -1 for negative.
    threshold : uint32
        From `bond_threshold`.
    state : uint64 (16,)
        Random state, changed in place.
    n_sweeps : int
        Number of updates; each draws all bonds and flips every cluster with probability 1/2.
    """
    n_sites = spins.size
    n_other = first.size
    row_words = np.empty((n_sites // (2 * LANES) + 1) * LANES, dtype=np.uint64)
    other_words = np.empty((n_other // (2 * LANES) + 1) * LANES, dtype=np.uint64)
    coin_words = np.empty((n_sites // (64 * LANES) + 1) * LANES, dtype=np.uint64)
    row_random = row_words.view(np.uint32)
    other_random = other_words.view(np.uint32)
    coins = coin_words.view(np.uint8)
    joined = np.empty(n_sites, dtype=np.uint8)
    active = np.empty(n_other + 1, dtype=np.int32)
    parent = np.empty(n_sites, dtype=first.dtype)
    flip = np.empty(n_sites, dtype=np.int8)
    s0 = load(state, 0)
    s1 = load(state, LANES)
    for _ in range(n_sweeps):
        s0, s1 = fill(row_words, s0, s1)
        s0, s1 = fill(other_words, s0, s1)
        s0, s1 = fill(coin_words, s0, s1)
        for site in range(1, n_sites):
            joined[site] = (spins[site] * spins[site - 1] == alike) & (row_random[site] < threshold)
        for start in range(0, n_sites, row):
            joined[start] = 0
        label = 0
        for site in range(n_sites):
            label = label if joined[site] else site
            parent[site] = label

        n_active = 0
        before = np.uint8(0)
        for edge in range(n_other):
            a = first[edge]
            b = second[edge]
            now = np.uint8((spins[a] * spins[b] == alike) & (other_random[edge] < threshold))
            closes_loop = before & joined[a] & joined[b] & follows[edge]
            active[n_active] = edge  # overwritten by the next one unless it is active
            n_active += now & ~closes_loop
            before = now
        for k in range(n_active):
            _join(parent, first[active[k]], second[active[k]])

        for site in range(n_sites):  # parents come before their children, so one step up reaches the root
            root = parent[parent[site]]
            parent[site] = root
            flip[site] = -np.int8((coins[root >> 3] >> (root & 7)) & 1)
        for site in range(n_sites):
            spins[site] = (spins[site] ^ flip[site]) - flip[site]
    store(state, 0, s0)
    store(state, LANES, s1)


@njit(cache=True, nogil=True)
def wolff(spins, partners, degree, alike, threshold, state, n_steps):
    """Flip `n_steps` Wolff clusters of one chain (Phys. Rev. Lett. 62, 361, 1989); returns the number of flipped spins.

    Parameters are those of `swendsen_wang`; `partners` and `degree` are from `ClusterTables`.
    """
    stack = np.empty(spins.size, dtype=partners.dtype)
    # Number of the last cluster a site was in. A flipped spin alone does not tell: where bonds are frustrated, a member
    # of the cluster looks from another member as if it were still to be flipped.
    last = np.full(spins.size, -1, dtype=np.int64)
    s0 = state[0]
    s1 = state[1]
    n_flipped = 0
    for step in range(n_steps):
        seed, s0, s1 = below(spins.size, s0, s1)
        stack[0] = seed
        last[seed] = step
        spins[seed] = -spins[seed]
        top = 1
        while top > 0:
            top -= 1
            site = stack[top]
            n_flipped += 1
            unflipped = -spins[site]
            for q in range(degree[site]):
                other = partners[site, q]
                if spins[other] * unflipped == alike and last[other] != step:
                    word, s0, s1 = scalar_step(s0, s1)
                    if (word >> np.uint64(32)) < threshold:
                        last[other] = step
                        spins[other] = -spins[other]
                        stack[top] = other
                        top += 1
    state[0] = s0
    state[1] = s1
    return n_flipped


@njit(cache=True, nogil=True)
def count(spins, row, first, second):
    """Sum of s s' over the edges and sum of s over the sites of one chain; the edges are from `ClusterTables`."""
    pairs = 0
    for start in range(0, spins.size, row):
        for site in range(start + 1, start + row):
            pairs += spins[site] * spins[site - 1]
    for edge in range(first.size):
        pairs += spins[first[edge]] * spins[second[edge]]
    total = 0
    for site in range(spins.size):
        total += spins[site]
    return pairs, total
