"""Engines: the state of many chains and what advances it. `sampling` decides what runs where.

A *unit* is a piece of work that touches nothing else - a group of words, or a few chains of a cluster algorithm - with
a random generator of its own. Units run on any number of threads with the same result.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qmlphys.hamiltonians import Ising
from qmlphys.lattices import Lattice
from qmlphys.montecarlo import _clusters, _kernels
from qmlphys.montecarlo._layout import LAZY_DIGITS, REPLICAS, Geometry, bit_planes, geometry
from qmlphys.montecarlo._random import states

__all__ = [
    "ALGORITHMS",
    "ClusterUnit",
    "MetropolisUnit",
    "Series",
    "Tables",
    "Unit",
    "is_compiled",
    "make_units",
    "start_spins",
]

ALGORITHMS = ("metropolis", "wolff", "swendsen-wang")
_CHAINS_PER_CLUSTER_UNIT = 8


def is_compiled(algorithm: str) -> bool:
    """Whether the kernel of an algorithm lies compiled in numba's cache; otherwise its first use takes seconds."""
    kernel = {"metropolis": _kernels.trajectory, "wolff": _clusters.wolff}.get(algorithm, _clusters.swendsen_wang)
    module, name = kernel.py_func.__module__.rpartition(".")[2], kernel.py_func.__name__
    return bool(kernel.signatures) or any(Path(kernel.stats.cache_path).glob(f"{module}.{name}-*.nbi"))


@dataclass(frozen=True)
class Series:
    """Sums measured along a run: of s s' over edges and of s over sites, both int64 (n_rows, n_measurements).

    Row k belongs to chain `chains[k]` of temperature `temperatures[k]` (indices).
    """

    temperatures: NDArray[np.int64]
    chains: NDArray[np.int64]
    pairs: NDArray[np.int64]
    spins: NDArray[np.int64]

    @classmethod
    def joined(cls, parts: list[Series]) -> Series:
        """Successive parts of one run as one."""
        pairs = np.concatenate([part.pairs for part in parts], axis=1)
        spins = np.concatenate([part.spins for part in parts], axis=1)
        return cls(parts[0].temperatures, parts[0].chains, pairs, spins)


class Unit(Protocol):
    """What every engine offers; `members` lists its (temperature index, chain index), row by row."""

    members: NDArray[np.int64]

    def advance(self, n_sweeps: int) -> None:
        """Run sweeps without measuring."""

    def trajectory(self, n_measurements: int, n_skip: int) -> Series:
        """Measure after every `n_skip` sweeps."""

    def snapshot(self, out: NDArray[np.int8]) -> None:
        """Write the spins of all members, row by row: int8 (n_members, n_sites)."""


class Tables:
    """Tables of one model, made when first needed and shared by its units."""

    def __init__(self, model: Ising) -> None:
        self.model = model

    @cached_property
    def geometry(self) -> Geometry:
        """Word layout of the lattice."""
        return geometry(self.model.lattice)

    @cached_property
    def clusters(self) -> _clusters.ClusterTables:
        """Edge tables of the lattice."""
        return _clusters.cluster_tables(self.model.lattice)

    @cached_property
    def classes(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Moves that raise the energy: first class of each degree, code of each class, energy difference of each."""
        degrees = np.unique(self.geometry.degree)
        starts = np.zeros(degrees.max() + 2, dtype=np.int64)
        codes: list[int] = []
        differences: list[float] = []
        coupling, field = self.model.coupling, self.model.field
        for degree in range(degrees.max() + 1):
            starts[degree] = len(codes)
            if degree not in degrees:
                continue
            for unlike in range(degree + 1):
                # Flipping s changes E by 2 s (J sum of neighbours + h): without a field the sign of s drops out.
                for code, spin in ((unlike | 16, 0),) if field == 0.0 else ((unlike, 1), (unlike | 8, -1)):
                    difference = 2.0 * coupling * (degree - 2 * unlike) + 2.0 * field * spin
                    if difference > 0:
                        codes.append(code)
                        differences.append(difference)
        starts[-1] = len(codes)
        return starts, np.array(codes, dtype=np.int64), np.array(differences)


def _two_colouring(lattice: Lattice) -> NDArray[np.int8] | None:
    """Sublattice signs, or None where neighbours cannot all differ."""
    signs = np.zeros(lattice.n_sites, dtype=np.int8)
    neighbours = lattice.neighbours
    signs[0] = 1
    shell = np.array([0])
    while shell.size:
        found = neighbours[shell]
        other = np.unique(found[found >= 0])
        other = other[signs[other] == 0]
        signs[other] = -signs[shell[0]]
        shell = other
    first, second = lattice.edges.T
    return None if (signs[first] == signs[second]).any() else signs


def start_spins(model: Ising, temperature: float, n_chains: int, *, rng: np.random.Generator) -> NDArray[np.int8]:
    """Where the chains start: int8 (n_chains, n_sites).

    Hot chains start at random. Others start in a ground state - half of the chains in each, where there are two -
    because a quench from random spins freezes into stripes that single-spin moves do not undo.
    """
    lattice = model.lattice
    shape = (n_chains, lattice.n_sites)
    mean_field = lattice.neighbours.shape[1] * abs(model.coupling)  # no Ising magnet orders above this temperature
    pattern = np.ones(lattice.n_sites, dtype=np.int8) if model.coupling >= 0 else _two_colouring(lattice)
    if temperature > mean_field or pattern is None:
        return rng.integers(0, 2, size=shape, dtype=np.int8) * np.int8(2) - np.int8(1)
    signs = np.where(np.arange(n_chains) % 2 == 0, 1, -1).astype(np.int8)
    if model.field != 0.0 and model.coupling >= 0:
        signs[:] = np.sign(model.field)
    return signs[:, None] * pattern[None, :]


class MetropolisUnit:
    """A group of words: up to 512 replicas, 64 to a word, each word at a temperature of its own."""

    def __init__(
        self,
        tables: Tables,
        temperatures: NDArray[np.float64],
        blocks: list[tuple[int, int, int]],
        spins: list[NDArray[np.int8]],
        state: NDArray[np.uint64],
    ) -> None:
        """Build a group from blocks (temperature index, first chain, number of chains) and their starting spins."""
        self._geometry = tables.geometry
        starts, codes, differences = tables.classes
        n_words = self._geometry.words_per_group
        n_slabs, n_reduced = self._geometry.n_slabs, self._geometry.n_reduced
        self._starts, self._codes, self._state = starts, codes, state
        self._n_chains = [n for _, _, n in blocks]
        self.members = np.array([(t, first + k) for t, first, n in blocks for k in range(n)], dtype=np.int64)
        self._replicas = np.concatenate([REPLICAS * word + np.arange(n) for word, n in enumerate(self._n_chains)])
        # Words without chains run along at the first temperature and are never read.
        lanes = [temperatures[blocks[word][0] if word < len(blocks) else blocks[0][0]] for word in range(n_words)]
        with np.errstate(over="ignore"):  # at temperatures near the smallest double
            probabilities = np.exp(-differences[:, None] / np.array(lanes * n_slabs)[None, :])
        self._planes = bit_planes((1.0 - 0.5**LAZY_DIGITS) * probabilities).ravel()
        words = np.zeros((n_reduced, n_slabs, n_words), dtype=np.uint64)
        shifts = np.uint64(1) << np.arange(REPLICAS, dtype=np.uint64)
        for word, rows in enumerate(spins):
            bits = (rows < 0).astype(np.uint64) * shifts[: len(rows), None]
            packed = np.bitwise_or.reduce(bits, axis=0)
            words[:, :, word] = packed.reshape(n_slabs, n_reduced).T
        self._words = words.ravel()
        self._signs = tables.geometry.degree.sum() * n_slabs // 2, tables.model.lattice.n_sites

    def leave_out(self, temperatures: NDArray[np.bool_]) -> None:
        """Report no more on some temperatures (a mask over their indices): other units have taken them over."""
        kept = ~temperatures[self.members[:, 0]]
        words = self._replicas[kept] // REPLICAS
        self.members, self._replicas = self.members[kept], self._replicas[kept]
        self._n_chains = [int(np.count_nonzero(words == word)) for word in range(len(self._n_chains))]

    def _run(self) -> tuple[NDArray, ...]:
        g = self._geometry
        return (
            *(self._words, g.degree, g.neighbours, g.rotations),
            *(self._starts, self._codes, self._planes, self._state),
        )

    def advance(self, n_sweeps: int) -> None:
        """Run sweeps without measuring."""
        _kernels.metropolis(*self._run(), n_sweeps)

    def trajectory(self, n_measurements: int, n_skip: int) -> Series:
        """Measure after every `n_skip` sweeps."""
        shape = (n_measurements, self._geometry.words_per_group * REPLICAS)
        unlike, down = np.empty(shape, dtype=np.int64), np.empty(shape, dtype=np.int64)
        _kernels.trajectory(*self._run(), self._geometry.n_slabs, n_skip, unlike, down)
        n_edges, n_sites = self._signs
        return Series(
            temperatures=self.members[:, 0],
            chains=self.members[:, 1],
            pairs=n_edges - unlike[:, self._replicas].T,  # each edge was counted from both ends
            spins=n_sites - 2 * down[:, self._replicas].T,
        )

    def snapshot(self, out: NDArray[np.int8]) -> None:
        """Write the spins of all members, row by row."""
        row = 0
        for word, n in enumerate(self._n_chains):
            _kernels.unpack(self._words, self._geometry.n_slabs, word, n, out[row : row + n])
            row += n


class ClusterUnit:
    """A few chains at one temperature under a cluster algorithm."""

    def __init__(
        self,
        tables: Tables,
        algorithm: str,
        temperature: float,
        members: NDArray[np.int64],
        spins: NDArray[np.int8],
        state: NDArray[np.uint64],
    ) -> None:
        self._tables = tables.clusters
        self._wolff = algorithm == "wolff"
        self._alike = np.int8(1 if tables.model.coupling >= 0 else -1)
        self._threshold = _clusters.bond_threshold(tables.model.coupling, temperature)
        self.members = members
        self._spins = spins
        self._state = state

    def _advance_chain(self, chain: int, n_sweeps: int) -> None:
        t = self._tables
        move = (self._alike, self._threshold, self._state[chain], n_sweeps)
        if self._wolff:
            _clusters.wolff(self._spins[chain], t.partners, t.degree, *move)
        else:
            _clusters.swendsen_wang(self._spins[chain], t.row, t.first, t.second, t.follows, *move)

    def advance(self, n_sweeps: int) -> None:
        """Run updates without measuring."""
        for chain in range(len(self._spins)):
            self._advance_chain(chain, n_sweeps)

    def trajectory(self, n_measurements: int, n_skip: int) -> Series:
        """Measure after every `n_skip` updates."""
        t = self._tables
        pairs = np.empty((len(self._spins), n_measurements), dtype=np.int64)
        spins = np.empty_like(pairs)
        for chain in range(len(self._spins)):
            for k in range(n_measurements):
                self._advance_chain(chain, n_skip)
                pairs[chain, k], spins[chain, k] = _clusters.count(self._spins[chain], t.row, t.first, t.second)
        return Series(self.members[:, 0], self.members[:, 1], pairs, spins)

    def snapshot(self, out: NDArray[np.int8]) -> None:
        """Write the spins of all chains, row by row."""
        out[...] = self._spins


def make_units(
    tables: Tables,
    temperatures: NDArray[np.float64],
    algorithms: list[str],
    n_chains: int,
    seed: np.random.SeedSequence,
) -> list[Unit]:
    """Split all chains of all temperatures into units; the split depends on nothing but the arguments.

    Parameters
    ----------
    tables : Tables
        Of the model.
    temperatures : ndarray, shape (n_temperatures,)
        In units of J / k_B.
    algorithms : list of str
        One a temperature; an empty string leaves the temperature out.
    n_chains : int
        Chains a temperature.
    seed : SeedSequence
        Spawns one child for the starting spins and one for each algorithm.
    """
    start_seed, word_seed, cluster_seed = seed.spawn(3)
    start_rngs = [np.random.default_rng(s) for s in start_seed.spawn(len(temperatures))]
    units: list[Unit] = []
    blocks: list[tuple[int, int, int]] = []
    block_spins: list[NDArray[np.int8]] = []
    cluster_parts: list[tuple[int, NDArray[np.int8]]] = []
    for t, algorithm in enumerate(algorithms):
        if not algorithm:
            continue
        spins = start_spins(tables.model, temperatures[t], n_chains, rng=start_rngs[t])
        if algorithm == "metropolis":
            for first in range(0, n_chains, REPLICAS):
                part = spins[first : first + REPLICAS]
                blocks.append((t, first, len(part)))
                block_spins.append(part)
        else:
            cluster_parts.append((t, spins))
    if blocks:
        width = tables.geometry.words_per_group
        word_states = states(word_seed, -(-len(blocks) // width))
        for k, state in enumerate(word_states):
            chosen = slice(k * width, (k + 1) * width)
            units.append(MetropolisUnit(tables, temperatures, blocks[chosen], block_spins[chosen], state))
    if cluster_parts:
        chain_states = states(cluster_seed, len(cluster_parts) * n_chains).reshape(len(cluster_parts), n_chains, -1)
        for (t, spins), chains in zip(cluster_parts, chain_states, strict=True):
            for first in range(0, n_chains, _CHAINS_PER_CLUSTER_UNIT):
                last = min(first + _CHAINS_PER_CLUSTER_UNIT, n_chains)
                members = np.array([(t, chain) for chain in range(first, last)], dtype=np.int64)
                rows = np.ascontiguousarray(spins[first:last])
                units.append(
                    ClusterUnit(tables, algorithms[t], temperatures[t], members, rows, chains[first:last].copy())
                )
    return units
