"""What all samplers share: samples, the state of chains, sectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qmlphys._arguments import whole_number
from qmlphys.nqs.ansatz._base import Ansatz, check_spins

__all__ = ["Sampler", "SamplerState", "Samples", "check_sector"]


@dataclass(frozen=True, eq=False)
class Samples:
    """Configurations with their weights.

    Attributes
    ----------
    spins : Tensor of int8, shape (n, n_sites)
        Configurations of -1 and +1 on the device of the ansatz; with chains in the order of draws, such that
        ``spins.reshape(n_draws, n_chains, n_sites)`` has a chain in each column.
    weights : Tensor of float64, shape (n,)
        What each counts in a mean; their sum is 1.
    log_psi : Tensor of complex128, shape (n,)
        Logarithms of the amplitudes.
    n_chains : int
        Number of chains; 0 where configurations are independent of each other, or enumerated.
    acceptance : float
        Share of the proposed moves that were accepted, of those that do not flip all spins; nan where there are none.
    """

    spins: Tensor
    weights: Tensor
    log_psi: Tensor
    n_chains: int
    acceptance: float


@dataclass(eq=False)
class SamplerState:
    """What a sampler remembers from draw to draw.

    Attributes
    ----------
    spins : Tensor of int8, shape (n_chains, n_sites)
        Where the chains are; without rows for samplers that have none.
    """

    spins: Tensor

    def state_dict(self) -> dict[str, Any]:
        """Return the state as tensors in main memory, for a checkpoint.

        Returns
        -------
        dict
            What `load_state_dict` reads.
        """
        return {"spins": self.spins.to("cpu", copy=True)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put the chains where they were.

        Parameters
        ----------
        state : dict
            Of a sampler with as many chains and sites.

        Raises
        ------
        ValueError
            If it does not fit.
        """
        spins = state.get("spins") if isinstance(state, dict) else None
        if not isinstance(spins, Tensor) or spins.dtype != torch.int8 or spins.shape != self.spins.shape:
            found = f"{spins.dtype} of shape {tuple(spins.shape)}" if isinstance(spins, Tensor) else repr(spins)
            raise ValueError(
                f"Argument `state` must hold spins, int8 of shape {tuple(self.spins.shape)}, but it holds {found}."
            )
        check_spins(spins, self.spins.shape[1])
        self.spins = spins.to(self.spins.device, copy=True)


class Sampler(ABC):
    """Draws configurations of an ansatz.

    Abstract: subclasses are final and frozen; what changes from draw to draw lies in a `SamplerState`.
    """

    n_chains: int

    @abstractmethod
    def start(self, ansatz: Ansatz, rng: np.random.Generator) -> SamplerState:
        """Start chains, and warm them up.

        Parameters
        ----------
        ansatz : Ansatz
            The state to draw from.
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        SamplerState
            To be passed to `draw`.

        Raises
        ------
        ValueError
            If the sampler does not fit the ansatz, or no configuration lies in the sector.
        """

    @abstractmethod
    def draw(self, ansatz: Ansatz, state: SamplerState, n_samples: int, rng: np.random.Generator) -> Samples:
        """Draw configurations.

        Parameters
        ----------
        ansatz : Ansatz
            The state to draw from; its parameters may have changed since the last draw.
        state : SamplerState
            Of this sampler; chains go on from it, and it is brought up to date.
        n_samples : int
            Configurations to draw: a multiple of the number of chains where there are chains.
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        Samples

        Raises
        ------
        ValueError
            If `n_samples` does not fit.
        """

    def restore(self, ansatz: Ansatz, state: dict[str, Any]) -> SamplerState:
        """Return chains at a checkpoint, without warming them up.

        Parameters
        ----------
        ansatz : Ansatz
            The state to draw from.
        state : dict
            What `SamplerState.state_dict` returned.

        Returns
        -------
        SamplerState

        Raises
        ------
        ValueError
            If it is of another number of chains or sites.
        """
        restored = SamplerState(torch.ones((self.n_chains, ansatz.n_sites), dtype=torch.int8, device=ansatz.device))
        restored.load_state_dict(state)
        return restored


def check_sector(n_sites: int, magnetization: int | None, parity: int | None) -> None:
    """Refuse sectors in which there is no configuration.

    Parameters
    ----------
    n_sites : int
        Number of sites.
    magnetization : int or None
        Sum of all spins.
    parity : int or None
        Product of all spins.

    Raises
    ------
    ValueError
        If no configuration has them.
    """
    if magnetization is not None:
        value = whole_number("magnetization", magnetization, least=-(2**31))
        if abs(value) > n_sites or (value - n_sites) % 2:
            kind = "even" if n_sites % 2 == 0 else "odd"
            raise ValueError(
                f"Argument `magnetization` must be {kind} and between {-n_sites} and {n_sites} on {n_sites} sites, "
                f"but it is {magnetization!r}."
            )
    if parity is not None:
        if isinstance(parity, bool) or parity not in (-1, 1):
            raise ValueError(f"Argument `parity` must be -1 or +1, but it is {parity!r}.")
        if magnetization is not None and (-1) ** ((n_sites - magnetization) // 2) != parity:
            raise ValueError(
                f"Argument `parity` must be {-parity} on {n_sites} sites with magnetization {magnetization}, "
                f"but it is {parity}."
            )
