"""Plain twin of the multi-spin Metropolis kernel: spins of -1 and +1, one site after the other, in plain terms.

Random numbers are spent as the kernel spends them: a vector of eight words gives every replica of every lane one binary
digit, at least ten vectors a site, then two at a time until every replica whose move raises the energy knows on which
side of its acceptance probability its number lies. Moves that do not raise it look at four digits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qmlphys.hamiltonians import Ising
from tests.reference.random_words import LANES, Lanes

REPLICAS = 64
FIRST_DIGITS = 10
ACCEPTED = 15 / 16  # of the moves that do not raise the energy; a sweep that takes all of them can be reducible


def energy_change(model: Ising, spins: NDArray[np.int64], site: int) -> NDArray[np.float64]:
    """Return E(flipped) - E, 2 s (J sum of neighbours + h), for configurations (..., n_sites)."""
    partners = model.lattice.neighbours[site]
    field = model.coupling * spins[..., partners[partners >= 0]].sum(axis=-1) + model.field
    return 2.0 * spins[..., site] * field


def sweep(model: Ising, temperatures: NDArray, spins: NDArray[np.int64], *, n_slabs: int, lanes: Lanes) -> int:
    """Sweep a group once, in place; returns the largest number of digits that a site needed.

    Parameters
    ----------
    temperatures : ndarray, shape (8 // n_slabs,)
        One a word.
    spins : ndarray of -1 and +1, shape (8 // n_slabs, 64, n_sites)
        Spins of every word and replica.
    n_slabs : int
        Blocks of sites that are updated at once: site r of every block, then r + 1.
    lanes : Lanes
        Random numbers; lane slab * n_words + word serves this block of this word.
    """
    n_words = LANES // n_slabs
    n_reduced = model.lattice.n_sites // n_slabs
    most = 0
    for reduced in range(n_reduced):
        sites = [slab * n_reduced + reduced for slab in range(n_slabs)]
        change = np.stack([energy_change(model, spins, site) for site in sites])  # slab, word, replica
        # Acceptance probabilities in units of 2^-64, rounded down.
        ratio = np.exp(-np.maximum(change, 0.0) / temperatures[:, None])
        level = np.array([int(p * 2.0**64) for p in (ACCEPTED * ratio).flat], dtype=np.uint64).reshape(LANES, REPLICAS)
        uphill = change.reshape(LANES, REPLICAS) > 0
        number = np.zeros((LANES, REPLICAS), dtype=np.uint64)
        n_digits = 0
        undecided = uphill
        while n_digits < FIRST_DIGITS or (n_digits < 64 and (n_digits % 2 or undecided.any())):
            words = np.array(lanes.words(), dtype="<u8")
            digits = np.unpackbits(words.view(np.uint8), bitorder="little").reshape(LANES, REPLICAS)
            number = (number << np.uint64(1)) | digits
            n_digits += 1
            undecided = uphill & (number == level >> np.uint64(64 - n_digits))
        accepted = number < level >> np.uint64(64 - n_digits)
        most = max(most, n_digits)
        for site, flips in zip(sites, accepted.reshape(n_slabs, n_words, REPLICAS), strict=True):
            spins[..., site] *= np.where(flips, -1, 1)
    return most


def measure(model: Ising, spins: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the sum of s s' over edges and of s over sites of configurations (..., n_sites)."""
    pairs = sum(spins[..., a] * spins[..., b] for a, b in model.lattice.edges.tolist())
    return pairs, spins.sum(axis=-1)


def unpack(words: NDArray[np.uint64], *, n_slabs: int) -> NDArray[np.int64]:
    """Return the spins (8 // n_slabs, 64, n_sites) of a flat array of words, read bit by bit."""
    n_words = LANES // n_slabs
    n_reduced = words.size // LANES
    spins = np.empty((n_words, REPLICAS, n_slabs * n_reduced), dtype=np.int64)
    for place, word in enumerate(words.tolist()):
        reduced, lane = divmod(place, LANES)
        slab, column = divmod(lane, n_words)
        for replica in range(REPLICAS):
            spins[column, replica, slab * n_reduced + reduced] = -1 if word >> replica & 1 else 1
    return spins
