"""How replicas and sites are laid out in words, lanes and groups, and the tables that the kernels read.

A word holds 64 replicas (chains) of one site at one temperature. A vector has eight lanes, and a *group* is what one
vector works on: `n_slabs` slabs of the lattice times `8 // n_slabs` words. Slabs are equal blocks of rows; as the
lattice is periodic, the site in row r of slab a has its neighbours in the same places of slab a, or, across an edge, of
slab a +- 1: the same vector with its lanes rotated. So one vector updates eight distant sites of the same 64 replicas,
and a single temperature fills the machine. Slabs of fewer than two rows would update neighbours at once, which is
wrong; then lanes go to other words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qmlphys.lattices import Lattice
from qmlphys.montecarlo._simd import LANES

__all__ = ["LAZY_DIGITS", "N_PLANES", "REPLICAS", "Geometry", "bit_planes", "geometry"]

REPLICAS = 64  # replicas in a word
N_PLANES = 64  # binary digits of an acceptance probability
# Metropolis accepts moves with 1 - 2^-4 times the usual probability. Without that chance to stay, sweeps in order are
# deterministic wherever no move raises the energy and can be reducible: the states of a ring fall into n/2 classes that
# are never left, a 4 x 4 torus has 32 pairs of states that turn into each other for ever, and at J = h = 0 every sweep
# turns all spins over. With it, one sweep can make any single flip or none: it is irreducible and aperiodic.
# An even number, because the kernel draws digits in pairs.
LAZY_DIGITS = 4


@dataclass(frozen=True)
class Geometry:
    """Tables of one lattice, reduced to a slab.

    Attributes
    ----------
    n_slabs : int
        Slabs in a vector: 1, 2, 4 or 8.
    n_reduced : int
        Sites in a slab.
    degree : ndarray, shape (n_reduced,)
        Number of neighbours.
    neighbours, rotations : ndarray, shape (n_reduced, coordination)
        Place of the neighbour's vector in the flat array of words (8 times its reduced site), and the rotation of the
        lanes; entries from `degree` on are not read.
    """

    n_slabs: int
    n_reduced: int
    degree: NDArray[np.int64]
    neighbours: NDArray[np.int64]
    rotations: NDArray[np.int64]

    @property
    def words_per_group(self) -> int:
        """Words, 64 replicas each, that share a vector."""
        return LANES // self.n_slabs


def geometry(lattice: Lattice) -> Geometry:
    """Choose the slabs of a lattice and tabulate the neighbours in that layout."""
    n_slabs = next(
        n for n in (8, 4, 2, 1) if n == 1 or (lattice.periodic and lattice.size % n == 0 and lattice.size // n >= 2)
    )
    n_reduced = lattice.n_sites // n_slabs
    words = LANES // n_slabs  # lane = slab * words + word
    partners = lattice.neighbours[:n_reduced]
    degree = (partners >= 0).sum(axis=1)
    # Open boundaries leave gaps; neighbours that exist come first.
    partners = np.take_along_axis(partners, np.argsort(partners < 0, axis=1, kind="stable"), axis=1)
    reduced, slabs = partners % n_reduced, partners // n_reduced
    rotations = np.where(partners >= 0, slabs * words % LANES, 0)

    return Geometry(
        n_slabs=n_slabs,
        n_reduced=n_reduced,
        degree=degree.astype(np.int64),
        neighbours=np.ascontiguousarray(np.where(partners >= 0, reduced, 0) * LANES),
        rotations=np.ascontiguousarray(rotations),
    )


def bit_planes(probabilities: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Binary digits of probabilities as masks, most significant first.

    Parameters
    ----------
    probabilities : ndarray of float64 in [0, 1), shape (n_classes, n_lanes)
        One a class of move and lane.

    Returns
    -------
    ndarray of uint64, shape (n_classes, 64, n_lanes)
        All ones where the digit is 1, zero elsewhere. A double has 53 digits, so nothing is rounded away above 2^-64.
    """
    digits = np.array([int(p * 2.0**N_PLANES) for p in probabilities.ravel().tolist()], dtype=np.uint64)
    digits = digits.reshape(probabilities.shape)
    shifts = np.arange(N_PLANES - 1, -1, -1, dtype=np.uint64)
    bits = (digits[:, None, :] >> shifts[None, :, None]) & np.uint64(1)
    return np.ascontiguousarray(bits * np.uint64(2**64 - 1))
