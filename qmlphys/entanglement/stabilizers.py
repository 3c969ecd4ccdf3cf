"""Stabiliser states: entropies of thousands of sites by ranks over GF(2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qmlphys._arguments import whole_number
from qmlphys.entanglement._gf2 import pivot_columns
from qmlphys.entanglement._spectra import read_subsystem

__all__ = ["StabilizerState"]

_MAX_SITES = 2**14

# Rows of the commutation table that are made at once.
_ROWS = 1024


class StabilizerState:
    """The state that n_sites independent, commuting Pauli strings leave as it is.

    Signs of the strings do not change entropies, so there are none.

    Parameters
    ----------
    generators : sequence of str
        n_sites strings of n_sites letters I, X, Y and Z; the leftmost is site 0, as in `to_pauli`. At most 16384 sites.

    Raises
    ------
    ValueError, TypeError
        If a string is malformed, two do not commute, or they depend on each other.

    Notes
    -----
    With the generators as rows of bits (x, z), the entropy of n_A sites is (r - n_A) ln 2, where r is the rank over
    GF(2) of the columns that belong to these sites: Fattal et al., arXiv:quant-ph/0406168; Hamma, Ionicioiu, Zanardi,
    Phys. Rev. A 71, 022315 (2005). The spectrum is flat, so this is the entropy of every order.

    Examples
    --------
    >>> bell = StabilizerState(["XX", "ZZ"])
    >>> round(bell.entropy([0]), 6)
    0.693147
    """

    def __init__(self, generators: Sequence[str]) -> None:
        if isinstance(generators, str) or not all(isinstance(string, str) for string in generators):
            raise TypeError(f"Argument `generators` must be a sequence of Pauli strings, but it is {generators!r}.")
        n_sites = whole_number("len(generators)", len(generators), most=_MAX_SITES)
        x, z = np.empty((n_sites, n_sites), dtype=bool), np.empty((n_sites, n_sites), dtype=bool)
        for row, string in enumerate(generators):
            if len(string) != n_sites or string.strip("IXYZ"):
                raise ValueError(
                    f"Argument `generators` must hold {n_sites} strings of {n_sites} letters I, X, Y or Z, one a site, "
                    f"but string {row} is {string[:40]!r} with {len(string)} letters."
                )
            letters = np.frombuffer(string.encode("ascii"), dtype=np.uint8)
            x[row] = (letters == ord("X")) | (letters == ord("Y"))
            z[row] = (letters == ord("Z")) | (letters == ord("Y"))
        pair = _anticommuting_pair(x, z)
        if pair is not None:
            raise ValueError(
                f"Argument `generators` must commute with each other, but strings {min(pair)} and {max(pair)} do not."
            )
        rank = len(pivot_columns(np.concatenate([x, z], axis=1)))
        if rank < n_sites:
            raise ValueError(
                f"Argument `generators` must be independent, but only {rank} of the {n_sites} strings are."
            )
        self._x, self._z = x, z

    @classmethod
    def from_graph(cls, n_sites: int, edges: Iterable[Sequence[int]]) -> StabilizerState:
        """Return the graph state, prod over edges of CZ on |+>^n_sites.

        Parameters
        ----------
        n_sites : int
            Number of vertices, at most 16384.
        edges : iterable of pairs of int, or array_like of shape (n_edges, 2)
            Pairs of different vertices; each pair at most once.

        Returns
        -------
        StabilizerState
            With the generators X_i prod over neighbours of Z_j.

        Raises
        ------
        ValueError, TypeError
            If a vertex does not exist, or an edge is a loop or stands twice.

        Examples
        --------
        >>> from qmlphys.lattices import square
        >>> lattice = square(32)
        >>> graph = StabilizerState.from_graph(lattice.n_sites, lattice.edges)
        >>> round(graph.entropy(range(512)) / np.log(2))
        64
        """
        n_sites = whole_number("n_sites", n_sites, most=_MAX_SITES)
        z = np.zeros((n_sites, n_sites), dtype=bool)
        for edge in edges:
            a, b = (whole_number("edges", site, least=0, most=n_sites - 1) for site in edge)
            if a == b or z[a, b]:
                raise ValueError(f"Argument `edges` must hold pairs of different sites once, but ({a}, {b}) is not so.")
            z[a, b] = z[b, a] = True
        state = cls.__new__(cls)  # these strings commute and are independent, whatever the graph
        state._x, state._z = np.eye(n_sites, dtype=bool), z
        return state

    @property
    def n_sites(self) -> int:
        """Number of sites."""
        return len(self._x)

    @property
    def generators(self) -> list[str]:
        """The strings, site 0 leftmost."""
        letters = np.array([b"I", b"X", b"Z", b"Y"])[self._x + 2 * self._z.astype(np.int8)]
        return [row.tobytes().decode("ascii") for row in letters]

    def entropy(self, subsystem: Iterable[int]) -> float:
        """Return the entropy of a set of sites, in nats; it is the same for every Rényi order.

        Parameters
        ----------
        subsystem : iterable of int
            Sites, each once.

        Returns
        -------
        float
            A multiple of ln 2.

        Raises
        ------
        ValueError, TypeError
            If a site does not exist or stands twice.
        """
        sites = read_subsystem(subsystem, self.n_sites)
        if 2 * len(sites) > self.n_sites:  # both sides of a pure state have the same entropy
            sites = sorted(set(range(self.n_sites)) - set(sites))
        if not sites:
            return 0.0
        rank = len(pivot_columns(np.concatenate([self._x[:, sites], self._z[:, sites]], axis=1)))
        return float((rank - len(sites)) * np.log(2))

    def _blocks(self, blocks: set[tuple[int, int]]) -> dict[tuple[int, int], float]:
        """Entropies of blocks [start, stop), by one elimination a start: pivots of the first columns are their rank."""
        found = {}
        for start in sorted({first for first, _ in blocks}):
            stops = sorted(stop for first, stop in blocks if first == start)
            columns = np.stack([self._x[:, start : stops[-1]], self._z[:, start : stops[-1]]], axis=2)
            pivots = pivot_columns(columns.reshape(self.n_sites, -1))
            for stop in stops:
                rank = int(np.searchsorted(pivots, 2 * (stop - start)))
                found[start, stop] = float((rank - (stop - start)) * np.log(2))
        return found


def _anticommuting_pair(x: NDArray[np.bool_], z: NDArray[np.bool_]) -> tuple[int, int] | None:
    """Return the first two rows that do not commute: that differ, both not I, on an odd number of sites."""
    from scipy import sparse

    n_rows = len(x)
    if 16 * (np.count_nonzero(x) + np.count_nonzero(z)) < x.size:
        kind: Any = sparse.csr_array
        rows_x, rows_z = kind(x, dtype=np.int64), kind(z, dtype=np.int64)
        table = (rows_x @ rows_z.T + rows_z @ rows_x.T).tocoo()
        odd_entries = np.flatnonzero(table.data & 1)
        if not len(odd_entries):
            return None
        return int(table.row[odd_entries[0]]), int(table.col[odd_entries[0]])
    for first in range(0, n_rows, _ROWS):
        here = slice(first, first + _ROWS)
        here_x, here_z = x[here].astype(np.float32), z[here].astype(np.float32)
        for second in range(0, first + 1, _ROWS):
            there = slice(second, second + _ROWS)
            # Whole numbers up to 2^15 in single precision are exact.
            odd = here_x @ z[there].T.astype(np.float32) + here_z @ x[there].T.astype(np.float32)
            hits = np.argwhere(odd.astype(np.int64) & 1)
            if len(hits):
                return int(first + hits[0, 0]), int(second + hits[0, 1])
    return None
