"""Plain twins of the cluster kernels. Decisions come from callbacks: random words, or every possibility in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from qmlphys.lattices import Lattice
from tests.reference.random_words import LANES, Generator, Lanes


def components(n_sites: int, bonds: list[tuple[int, int]]) -> list[int]:
    """Return for every site the smallest site that bonds connect it with."""
    linked: list[list[int]] = [[] for _ in range(n_sites)]
    for a, b in bonds:
        linked[a].append(b)
        linked[b].append(a)
    roots = [-1] * n_sites
    for start in range(n_sites):
        if roots[start] >= 0:
            continue
        todo = [start]
        while todo:
            site = todo.pop()
            if roots[site] < 0:
                roots[site] = start
                todo.extend(linked[site])
    return roots


def satisfied_edges(lattice: Lattice, spins: NDArray, alike: int) -> list[tuple[int, int]]:
    """Return the edges whose spins multiply to `alike`, smaller site first."""
    values = spins.tolist()  # plain numbers are compared faster, and this is done half a million times
    return [(a, b) for a, b in lattice.edges.tolist() if values[a] * values[b] == alike]


def swendsen_wang(
    lattice: Lattice,
    spins: NDArray,
    *,
    alike: int,
    bond: Callable[[tuple[int, int]], bool],
    coin: Callable[[int], bool],
) -> NDArray:
    """Return the spins after one Swendsen-Wang update: `bond` activates satisfied edges, `coin` flips clusters."""
    active = [edge for edge in satisfied_edges(lattice, spins, alike) if bond(edge)]
    roots = components(lattice.n_sites, active)
    flips = {root: coin(root) for root in sorted(set(roots))}
    return np.array([-s if flips[root] else s for s, root in zip(spins.tolist(), roots, strict=True)])


def swendsen_wang_words(lattice: Lattice, spins: NDArray, *, alike: int, threshold: int, lanes: Lanes) -> NDArray:
    """Return the spins after one update that spends random words as the kernel does.

    First 32 bits for every site (for the edge to the site before it in its row), in whole vectors, then 32 bits for
    every other edge, sorted by the distance of its sites and the larger site, then a bit for every site, of which those
    of the smallest sites of clusters are looked at.
    """
    row = lattice.shape[-1]
    along = {(a, b) for a, b in lattice.edges.tolist() if b - a == 1 and b % row}
    other = [(a, b) for a, b in lattice.edges.tolist() if (a, b) not in along]
    other.sort(key=lambda edge: (edge[1] - edge[0], edge[1]))
    row_halves = list(lanes.halves(lattice.n_sites // (2 * LANES) + 1))
    other_halves = list(lanes.halves(len(other) // (2 * LANES) + 1))
    coin_words = [word for _ in range(lattice.n_sites // (64 * LANES) + 1) for word in lanes.words()]
    number = {edge: row_halves[edge[1]] for edge in along} | dict(zip(other, other_halves, strict=False))
    return swendsen_wang(
        lattice,
        spins,
        alike=alike,
        bond=lambda edge: number[edge] < threshold,
        coin=lambda root: bool(coin_words[root // 64] >> root % 64 & 1),
    )


def wolff(lattice: Lattice, spins: NDArray, *, alike: int, seed: int, bond: Callable[[], bool]) -> NDArray:
    """Return the spins after the cluster of `seed` was flipped; `bond` decides on satisfied edges that leave it."""
    neighbours, values = lattice.neighbours.tolist(), spins.tolist()  # plain numbers: half a million updates
    members = {seed}
    todo = [seed]
    while todo:
        site = todo.pop()
        for other in neighbours[site]:
            if other >= 0 and other not in members and values[site] * values[other] == alike and bond():
                members.add(other)
                todo.append(other)
    return np.array([-s if site in members else s for site, s in enumerate(values)])


def wolff_words(lattice: Lattice, spins: NDArray, *, alike: int, threshold: int, generator: Generator) -> NDArray:
    """Return the spins after one update that spends random words as the kernel does."""
    seed = generator.below(lattice.n_sites)
    return wolff(lattice, spins, alike=alike, seed=seed, bond=lambda: generator.word() >> 32 < threshold)


def every_decision(run: Callable[[Callable[[], bool]], NDArray], probability: float) -> Iterator[tuple[float, NDArray]]:
    """Run a procedure once for every string of decisions it can ask for; yields (probability of the string, result)."""
    path: list[bool] = []
    while True:
        asked = 0

        def decide() -> bool:
            nonlocal asked
            if asked == len(path):
                path.append(True)
            asked += 1
            return path[asked - 1]

        result = run(decide)
        yes = sum(path)
        yield probability**yes * (1.0 - probability) ** (len(path) - yes), result
        while path and not path[-1]:
            path.pop()
        if not path:
            return
        path[-1] = False
