"""Transition matrices over all 2^n states, read from the tables of the kernels, without sampling.

State k has spin -1 at site i where bit i of k is set. Rows are where a chain comes from: p becomes p @ M.
"""

from __future__ import annotations

from functools import cache, reduce

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from qmlphys.hamiltonians import Ising
from qmlphys.lattices import Lattice
from qmlphys.montecarlo._engines import MetropolisUnit
from qmlphys.montecarlo._layout import LAZY_DIGITS
from tests.reference import clusters
from tests.reference.random_words import LANES

N_PLANES = 64


def all_states(n_sites: int) -> NDArray[np.int64]:
    """Spins of all states, shape (2^n, n)."""
    return 1 - 2 * (np.arange(2**n_sites)[:, None] >> np.arange(n_sites) & 1)


def boltzmann(model: Ising, temperature: float) -> NDArray[np.float64]:
    """Equilibrium distribution, from `Ising.energy`."""
    energies = model.energy(all_states(model.lattice.n_sites).astype(np.int8))
    weights = np.exp(-(energies - energies.min()) / temperature)
    return weights / weights.sum()


def acceptance(unit: MetropolisUnit, states: NDArray, lane: int, reduced: int) -> tuple[int, NDArray[np.float64]]:
    """Return the site that a lane updates, and the probability in each state, from the arrays the kernel is given."""
    g = unit._geometry
    n_words = g.words_per_group
    slab, word = divmod(lane, n_words)
    site = slab * g.n_reduced + reduced
    degree = int(g.degree[reduced])
    unlike = np.zeros(len(states), dtype=np.int64)
    for place, rotation in zip(g.neighbours[reduced, :degree], g.rotations[reduced, :degree], strict=True):
        source = (lane + rotation) % LANES
        assert source % n_words == word, "a rotation must not mix the words of a group"
        assert place % LANES == 0
        unlike += states[:, site] != states[:, source // n_words * g.n_reduced + place // LANES]
    planes = unit._planes.reshape(-1, N_PLANES, LANES)
    assert np.isin(planes, [0, 2**64 - 1]).all()
    digits = planes[:, :, lane] & np.uint64(1)
    probabilities = (digits * 0.5 ** np.arange(1, N_PLANES + 1)).sum(axis=1)
    result = np.full(len(states), 1.0 - 0.5**LAZY_DIGITS)  # moves in no class
    n_matches = np.zeros(len(states), dtype=np.int64)
    for c in range(unit._starts[degree], unit._starts[degree + 1]):
        code = int(unit._codes[c])
        match = unlike == code & 7
        if not code & 16:
            match &= states[:, site] == (-1 if code & 8 else 1)
        n_matches += match
        result[match] = probabilities[c]
    assert n_matches.max() <= 1, "classes must not overlap"
    return site, result


def metropolis_updates(unit: MetropolisUnit, *, word: int = 0) -> list[sparse.csr_array]:
    """Matrices of the single-site updates of one word, in the kernel's order.

    Sites that one vector updates at once are no neighbours, so that their matrices commute; they stand one by one.
    """
    g = unit._geometry
    states = all_states(g.n_slabs * g.n_reduced)
    updates = []
    for reduced in range(g.n_reduced):
        for slab in range(g.n_slabs):
            site, p = acceptance(unit, states, slab * g.words_per_group + word, reduced)
            source = np.arange(len(states))
            rows, columns = np.concatenate([source, source]), np.concatenate([source, source ^ (1 << site)])
            updates.append(sparse.coo_array((np.concatenate([1.0 - p, p]), (rows, columns))).tocsr())
    return updates


def product(matrices: list[sparse.csr_array]) -> NDArray[np.float64]:
    """Matrix of one update after the other."""
    return reduce(lambda a, b: a @ b, matrices).toarray()


def swendsen_wang(lattice: Lattice, *, alike: int, bond_probability: float) -> NDArray[np.float64]:
    """Matrix of one Swendsen-Wang update: all sets of active bonds, all flips of their clusters."""
    states = all_states(lattice.n_sites)
    matrix = np.zeros((len(states), len(states)))
    site_bits = 1 << np.arange(lattice.n_sites)

    @cache  # the same bonds are active in many states
    def flips_of(bonds: tuple[tuple[int, int], ...]) -> NDArray[np.int64]:
        roots = clusters.components(lattice.n_sites, list(bonds))
        flips = np.zeros(1, dtype=np.int64)
        for root in sorted(set(roots)):
            flips = np.concatenate([flips, flips ^ site_bits[np.array(roots) == root].sum()])
        return flips

    for source, spins in enumerate(states):
        edges = clusters.satisfied_edges(lattice, spins, alike)
        for chosen in range(2 ** len(edges)):
            bonds = tuple(edge for k, edge in enumerate(edges) if chosen >> k & 1)
            flips = flips_of(bonds)
            weight = bond_probability ** len(bonds) * (1.0 - bond_probability) ** (len(edges) - len(bonds))
            matrix[source, source ^ flips] += weight / len(flips)
    return matrix


def wolff(lattice: Lattice, *, alike: int, bond_probability: float) -> NDArray[np.float64]:
    """Matrix of one Wolff update: all seeds, all strings of decisions on the way."""
    states = all_states(lattice.n_sites)
    matrix = np.zeros((len(states), len(states)))
    for source, spins in enumerate(states):
        weights, results = [], []
        for seed in range(lattice.n_sites):
            paths = clusters.every_decision(
                lambda decide, s=spins, at=seed: clusters.wolff(lattice, s, alike=alike, seed=at, bond=decide),
                bond_probability,
            )
            for weight, result in paths:
                weights.append(weight / lattice.n_sites)
                results.append(result)
        numbers = (np.array(results) < 0) @ (1 << np.arange(lattice.n_sites))
        np.add.at(matrix[source], numbers, weights)
    return matrix


def is_primitive(matrix: NDArray[np.float64]) -> bool:
    """Whether some power has only positive entries: irreducible and aperiodic (Wielandt's bound on the power)."""
    n = len(matrix)
    reach = (matrix > 0).astype(np.float32)
    power = 1
    while power < n * n - 2 * n + 2:
        reach = (reach @ reach > 0).astype(np.float32)
        power *= 2
    return bool(reach.all())
