"""Likelihood, marginals and samples of products of positive factors, by contraction; trained by convex descent."""

from __future__ import annotations

import itertools
import operator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qmlphys.generative._networks import network

__all__ = ["FactorLikelihood", "FactorNetworks", "check_scopes", "check_tables"]

Scopes = tuple[tuple[int, ...], ...]
Tables = tuple[NDArray[np.float64], ...]

MAX_SCOPE = 20
_BRANCHES = torch.eye(2, dtype=torch.float64)
_UNIT = torch.ones((1, 2), dtype=torch.float64)


def check_scopes(scopes: Any, n_sites: Any) -> tuple[Scopes, int]:
    """Check lists of sites, and return the number of sites.

    Raises
    ------
    TypeError, ValueError
        If a scope is empty or too large, or a site is out of range or stands twice in one.
    """
    try:
        found = tuple(tuple(operator.index(site) for site in scope) for scope in scopes)
    except TypeError:
        raise TypeError(f"Argument `scopes` must be a sequence of sequences of sites, but it is {scopes!r}.") from None
    if not found:
        raise ValueError("Argument `scopes` must hold at least one scope, but it is empty.")
    for scope in found:
        if not 1 <= len(scope) <= MAX_SCOPE:
            raise ValueError(f"Argument `scopes` must hold scopes of 1 to {MAX_SCOPE} sites, but one is {scope}.")
        if len(set(scope)) < len(scope) or min(scope) < 0:
            raise ValueError(f"Argument `scopes` must hold different sites from 0 on, but one is {scope}.")
    largest = max(max(scope) for scope in found)
    if n_sites is None:
        return found, largest + 1
    try:
        number = operator.index(n_sites)
    except TypeError:
        raise TypeError(f"Argument `n_sites` must be an integer, but it is {n_sites!r}.") from None
    if number <= largest:
        raise ValueError(f"Argument `n_sites` must be beyond site {largest} of `scopes`, but it is {number}.")
    return found, number


def check_tables(scopes: tuple[tuple[int, ...], ...], tables: Any, *, allow_zeros: bool) -> Tables:
    """Check tables, and scale the largest entry of each to 1."""
    arrays = [np.asarray(table) for table in tables]
    if len(arrays) != len(scopes):
        raise ValueError(f"Argument `tables` must hold one table a scope ({len(scopes)}), but it holds {len(arrays)}.")
    for scope, table in zip(scopes, arrays, strict=True):
        if table.dtype.kind not in "biuf" or table.shape != (2,) * len(scope):
            raise ValueError(
                f"Argument `tables` must hold numbers of shape {(2,) * len(scope)} for the scope {scope}, but the "
                f"shape is {table.shape} and the dtype {table.dtype}."
            )
        if not np.isfinite(table).all() or (table < 0).any() or not table.any():
            raise ValueError(f"Argument `tables` must be positive and finite, but that of the scope {scope} is not.")
        if not allow_zeros and (table == 0).any():
            raise ValueError(f"Argument `tables` must be positive, but that of the scope {scope} holds a zero.")
    return tuple(table.astype(np.float64) / float(table.max()) for table in arrays)


class FactorNetworks:
    """Contractions of Z = sum over x of prod f_a(x).

    Parameters
    ----------
    scopes : tuple of tuple of int
        Sites of each factor.
    n_sites : int
        Number of sites.

    Raises
    ------
    ValueError
        If the contraction needs too much memory.
    """

    def __init__(self, scopes: Scopes, n_sites: int) -> None:
        self.scopes = scopes
        self.n_sites = n_sites
        # A vector of ones on each site: where a value is put in, and where sites without factors are summed over.
        sites = [(site,) for site in range(n_sites)]
        inside = {site for scope in scopes for site in scope}
        alone = [(site,) for site in range(n_sites) if site not in inside]
        self.network = network((*sites, *scopes, *alone), "scopes")
        self._n_alone = len(alone)
        self._plan = self.network.plan([None] * self._n_tensors, [1] * self._n_tensors)

    @property
    def _n_tensors(self) -> int:
        return self.n_sites + len(self.scopes) + self._n_alone

    def _tensors(self, tables: Tables) -> list[torch.Tensor]:
        factors = [torch.from_numpy(np.ascontiguousarray(table))[None] for table in tables]
        return [_UNIT] * self.n_sites + factors + [_UNIT] * self._n_alone

    def log_norm(self, tables: Tables) -> float:
        """Return log Z."""
        values, logs = self.network.contract(self._tensors(tables), self._plan)
        return float(torch.log(values[0]) + logs[0])

    def marginals(self, tables: Tables) -> Tables:
        """Return the probability of every pattern of every scope."""
        found: list[NDArray[np.float64]] = list(tables)
        leaves = list(range(self.n_sites, self.n_sites + len(tables)))
        for leaf, outer, _ in self.network.environments(self._tensors(tables), self._plan, leaves):
            weights = tables[leaf - self.n_sites] * outer[0].numpy()
            found[leaf - self.n_sites] = weights / weights.sum()
        return tuple(found)

    def sample(self, tables: Tables, uniform: NDArray[np.float64], forced: dict[int, int]) -> NDArray[np.int8]:
        """Draw rows of bits; `uniform` has a column for each site that is not forced."""
        tensors = self._tensors(tables)
        for site, bit in forced.items():
            tensors[site] = _BRANCHES[bit : bit + 1]
        branches = {site: _BRANCHES for site in range(self.n_sites) if site not in forced}
        bits = np.empty((len(uniform), self.n_sites), dtype=np.int8)
        step = self.network.rows_at_once(kept=True)
        for first in range(0, len(uniform), step):
            part = slice(first, first + step)
            drawn = self.network.sample(tensors, branches, uniform[part])[0] if branches else {}
            for site in range(self.n_sites):
                bits[part, site] = forced[site] if site in forced else drawn[site]
        return bits

    def energies(self, logs: Tables, bits: NDArray[np.int8]) -> NDArray[np.float64]:
        """Return the sum of the log factors of each row."""
        found = np.zeros(len(bits))
        for scope, table in zip(self.scopes, logs, strict=True):
            found += table[tuple(bits[:, site] for site in scope)]
        return found


class FactorLikelihood:
    """The negative log-likelihood as a convex function of the logarithms of all table entries.

    Parameters
    ----------
    networks : FactorNetworks
        The contractions.
    l2 : float
        Penalty l2 / 2 times the sum of squares of the logarithms.
    """

    def __init__(self, networks: FactorNetworks, l2: float) -> None:
        self.networks = networks
        self.l2 = l2
        sizes = [1 << len(scope) for scope in networks.scopes]
        self._cuts = list(itertools.accumulate(sizes))

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self._cuts[-1]

    def logs(self, theta: NDArray[np.float64]) -> Tables:
        """Cut the vector of parameters into log tables."""
        pieces = np.split(theta, self._cuts[:-1])
        return tuple(piece.reshape((2,) * len(s)) for piece, s in zip(pieces, self.networks.scopes, strict=True))

    def tables(self, theta: NDArray[np.float64]) -> tuple[Tables, float]:
        """Return tables with largest entry 1, and the log of what was divided out."""
        logs = self.logs(theta)
        largest = [float(table.max()) for table in logs]
        return tuple(np.exp(table - top) for table, top in zip(logs, largest, strict=True)), sum(largest)

    def prepare(self, rows: NDArray[np.int8], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Count patterns: the likelihood depends on the rows through these shares only."""
        shares = []
        for scope in self.networks.scopes:
            numbers = np.zeros(len(rows), dtype=np.int64)
            for site in scope:  # the first site of a scope is its first axis
                numbers = 2 * numbers + rows[:, site]
            shares.append(np.bincount(numbers, weights, minlength=1 << len(scope)))
        return np.concatenate(shares)

    def gradient(
        self, theta: NDArray[np.float64], batch: NDArray[np.float64]
    ) -> tuple[float, float, NDArray[np.float64]]:
        """Return objective, NLL and the objective's gradient: marginals of the model minus those of the data."""
        tables, shift = self.tables(theta)
        nll = self.networks.log_norm(tables) + shift - float(batch @ theta)
        marginals = np.concatenate([table.ravel() for table in self.networks.marginals(tables)])
        return nll + self.l2 / 2 * float(theta @ theta), nll, marginals - batch + self.l2 * theta

    def nll(self, theta: NDArray[np.float64], batch: NDArray[np.float64]) -> float:
        """Return the NLL."""
        tables, shift = self.tables(theta)
        return self.networks.log_norm(tables) + shift - float(batch @ theta)

    def measured(self, theta: NDArray[np.float64]) -> dict[str, float]:  # noqa: ARG002 - the same for all problems
        """Nothing else is shown."""
        return {}
