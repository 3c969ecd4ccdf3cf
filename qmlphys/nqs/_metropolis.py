"""Metropolis chains: moves, and the three ways in which chains are driven."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qmlphys.bits import MAX_BITS
from qmlphys.nqs._lookup import Lookup, Machine, fits
from qmlphys.nqs.ansatz._base import Ansatz

__all__ = [
    "Chains",
    "CompiledChains",
    "LookupChains",
    "Moves",
    "NetworkChains",
    "evaluate",
    "evaluate_once",
    "make_chains",
    "spins_of",
]

# Configurations that go through a network at a time, where the caller does not say: on a processor, so many that what
# the layers pass on stays in its cache.
CHUNK = {"cpu": 2**10}
CHUNK_OF_OTHERS = 2**14


def evaluate(ansatz: Ansatz, spins: Tensor, chunk: int | None = None) -> Tensor:
    """Return log psi, without gradients, of any number of configurations."""
    size = CHUNK.get(spins.device.type, CHUNK_OF_OTHERS) if chunk is None else chunk
    with torch.no_grad():
        parts = [ansatz.log_psi(part) for part in spins.split(size)]
    return torch.cat(parts)


def evaluate_once(ansatz: Ansatz, spins: Tensor) -> Tensor:
    """Return what `evaluate` does, with equal configurations evaluated once where an integer holds their bits.

    Chains of an ordered state propose the same few configurations again and again.
    """
    n_sites = spins.shape[1]
    if n_sites > MAX_BITS:
        return evaluate(ansatz, spins)
    codes = ((spins < 0).long() << torch.arange(n_sites, device=spins.device)).sum(dim=1)
    distinct, inverse = torch.unique(codes, return_inverse=True)
    return evaluate(ansatz, spins_of(distinct, n_sites))[inverse]


def spins_of(codes: Tensor, n_sites: int) -> Tensor:
    """Return the configurations, int8 (n, n_sites), of int64 codes: site i has the weight 2^i, bit 1 is spin -1."""
    places = torch.arange(n_sites, device=codes.device)
    return (1 - 2 * ((codes[:, None] >> places) & 1)).to(torch.int8)


@dataclass(frozen=True, eq=False)
class Moves:
    """What may be proposed; every move is its own inverse and is proposed with the same probability everywhere.

    Parameters
    ----------
    sites : ndarray of int64, shape (n_moves, n_flips)
        Sites that each move flips.
    exchange : bool
        Whether a move of two sites is void where their spins are parallel.
    """

    sites: NDArray[np.int64]
    exchange: bool = False


class Chains(ABC):
    """Configurations of many chains under one ansatz, whose parameters stay while this lives.

    Abstract: a subclass says how chains advance.

    Parameters
    ----------
    ansatz : Ansatz
        The state.
    spins : Tensor of int8, shape (n_chains, n_sites)
        Where the chains are; not changed.
    moves : Moves
        What may be proposed.
    """

    def __init__(self, ansatz: Ansatz, spins: Tensor, moves: Moves) -> None:
        self.ansatz, self.moves = ansatz, moves
        self.spins = spins.clone()
        self._log_psi: Tensor | None = None

    @abstractmethod
    def sweep(self, chosen: NDArray[np.int32], thresholds: NDArray[np.float64]) -> int:
        """Make proposals and return how many were accepted.

        Parameters
        ----------
        chosen : ndarray of int32, shape (n_chains, n_steps)
            The move of each chain at each step.
        thresholds : ndarray of float64, shape (n_chains, n_steps)
            Logarithms of uniform random numbers: a proposal is taken where its threshold lies below
            log |psi(s') / psi(s)|^2.
        """

    def log_psi(self) -> Tensor:
        """Logarithms of the amplitudes of all chains, complex128 (n_chains,)."""
        if self._log_psi is None:
            self._log_psi = evaluate(self.ansatz, self.spins)
        return self._log_psi

    def flip_all(self, thresholds: NDArray[np.float64]) -> None:
        """Propose to every chain to flip all of its spins; `thresholds` has shape (n_chains,)."""
        current, proposed = self.log_psi(), evaluate(self.ansatz, -self.spins)
        taken = torch.from_numpy(thresholds).to(current.device) < 2.0 * (proposed.real - current.real)
        self.spins = torch.where(taken[:, None], -self.spins, self.spins)
        self._log_psi = torch.where(taken, proposed, current)


class NetworkChains(Chains):
    """Any ansatz: the proposals of all chains go through it together."""

    def sweep(self, chosen: NDArray[np.int32], thresholds: NDArray[np.float64]) -> int:
        """Make proposals and return how many were accepted."""
        log_psi, device = self.log_psi().clone(), self.spins.device
        sites = torch.from_numpy(self.moves.sites[chosen]).to(device)
        bounds = torch.from_numpy(thresholds).to(device)
        n_accepted = 0
        for step in range(chosen.shape[1]):
            rows = torch.arange(len(self.spins), device=device)
            values = self.spins.gather(1, sites[:, step])
            if self.moves.exchange:
                rows = rows[values[:, 0] != values[:, 1]]  # the others stay as they are: nothing to compute
            if not len(rows):
                continue
            proposals = self.spins[rows].scatter(1, sites[rows, step], -values[rows])
            proposed = evaluate_once(self.ansatz, proposals)
            current = log_psi.real[rows]
            taken = bounds[rows, step] < 2.0 * (proposed.real - current)
            # A chain may start where the amplitude is zero; anywhere else is better.
            taken |= torch.isneginf(current)
            rows = rows[taken]
            self.spins[rows] = proposals[taken]
            log_psi[rows] = proposed[taken]
            n_accepted += len(rows)
        self._log_psi = log_psi
        return n_accepted


class CompiledChains(Chains):
    """A restricted Boltzmann machine on the processor."""

    def __init__(self, ansatz: Ansatz, spins: Tensor, moves: Moves, *, machine: Machine) -> None:
        super().__init__(ansatz, spins, moves)
        self._machine = machine

    def sweep(self, chosen: NDArray[np.int32], thresholds: NDArray[np.float64]) -> int:
        """Make proposals and return how many were accepted."""
        self._log_psi = None
        return self._machine.sweep(
            self.spins.numpy(),
            sites=self.moves.sites,
            chosen=chosen,
            thresholds=thresholds,
            exchange=self.moves.exchange,
        )


class LookupChains(Chains):
    """A restricted Boltzmann machine on any device."""

    def __init__(self, ansatz: Ansatz, spins: Tensor, moves: Moves, *, lookup: Lookup) -> None:
        super().__init__(ansatz, spins, moves)
        self._lookup = lookup

    def sweep(self, chosen: NDArray[np.int32], thresholds: NDArray[np.float64]) -> int:
        """Make proposals and return how many were accepted."""
        self._log_psi = None
        spins, device = self.spins, self.spins.device
        sites = torch.from_numpy(self.moves.sites).to(device)[torch.from_numpy(chosen).to(device).long()]
        bounds = torch.from_numpy(thresholds).to(device)
        p, q = self._lookup.populations(spins)
        accepted = torch.zeros((), dtype=torch.int64, device=device)
        for step in range(chosen.shape[1]):
            move = sites[:, step]
            logarithm, new_p, new_q = self._lookup.flipped(spins, move, p, q)
            taken = bounds[:, step] < 2.0 * logarithm.real
            values = spins.gather(1, move)
            if self.moves.exchange:
                taken &= values[:, 0] != values[:, 1]
            spins = spins.scatter(1, move, torch.where(taken[:, None], -values, values))
            norm = 1.0 / (new_p + new_q)
            p = torch.where(taken[:, None], new_p * norm, p)
            q = torch.where(taken[:, None], new_q * norm, q)
            accepted += taken.sum()
        self.spins = spins
        return int(accepted)


def make_chains(ansatz: Ansatz, spins: Tensor, moves: Moves) -> Chains:
    """Choose how chains are driven: in closed form where the ansatz is a restricted Boltzmann machine.

    Parameters
    ----------
    ansatz : Ansatz
        The state.
    spins : Tensor of int8, shape (n_chains, n_sites)
        Where the chains are; on the device of the ansatz.
    moves : Moves
        What may be proposed.

    Returns
    -------
    Chains
    """
    parameters = ansatz.rbm()
    if parameters is None or not fits(parameters, moves.sites.shape[1]):
        return NetworkChains(ansatz, spins, moves)
    if spins.device.type == "cpu":
        return CompiledChains(ansatz, spins, moves, machine=Machine(parameters))
    return LookupChains(ansatz, spins, moves, lookup=Lookup(parameters))
