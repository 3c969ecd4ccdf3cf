"""States: an ansatz together with the way in which its configurations are taken - drawn, or all of them."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from qmlphys._arguments import whole_number
from qmlphys.hamiltonians import SpinHalf
from qmlphys.nqs._expectation import (
    Expectation,
    by_chain,
    check_hamiltonian,
    expectation_from,
    expectation_of,
)
from qmlphys.nqs._state import State, restored_rng
from qmlphys.nqs.ansatz import Ansatz, SymmetryGroup
from qmlphys.nqs.samplers import Exact, FullSum, Sampler, SamplerState, Samples
from qmlphys.stats import Estimate

__all__ = ["Expectation", "FullSumState", "MonteCarloState", "State"]

_N_GROUPS = 64  # chains of snapshots that were drawn independently


class MonteCarloState(State):
    """An ansatz whose configurations are drawn.

    Parameters
    ----------
    ansatz : Ansatz
        The network. It is used, and trained, in place.
    sampler : Sampler
        How to draw: `Metropolis`, `Direct`, `Exact`.
    n_samples : int, keyword
        Configurations of one draw; a multiple of the sampler's number of chains.
    rng : None, int or numpy.random.Generator, keyword
        The only source of randomness of the draws.
    device : str or torch.device, optional, keyword
        Where to move the ansatz, such as "cuda"; by default it stays where it is.
    chunk : int, optional, keyword
        Configurations that go through the network at a time, to bound the memory; the results do not depend on it.

    Raises
    ------
    ValueError
        If a number does not fit.
    TypeError
        If `ansatz` is no Ansatz or `sampler` no Sampler.

    Examples
    --------
    >>> from qmlphys.hamiltonians import TransverseIsing
    >>> from qmlphys.lattices import chain
    >>> from qmlphys.nqs import Exact
    >>> from qmlphys.nqs.ansatz import RBM
    >>> state = MonteCarloState(RBM(8, rng=1), Exact(), n_samples=500, rng=1)
    >>> expectation = state.expect(TransverseIsing(chain(8)))
    >>> -10.3 < expectation.energy.mean < -6, expectation.n_samples
    (True, 500)
    """

    def __init__(
        self,
        ansatz: Ansatz,
        sampler: Sampler,
        *,
        n_samples: int,
        rng: int | np.random.Generator | None = None,
        device: str | torch.device | None = None,
        chunk: int | None = None,
    ) -> None:
        super().__init__(ansatz, sampler, rng=rng, device=device, chunk=chunk)
        if not isinstance(sampler, Sampler):
            raise TypeError(f"Argument `sampler` must be a Sampler, such as Metropolis(), but it is {sampler!r}.")
        self.n_samples = whole_number("n_samples", n_samples, least=2)
        self.n_chains = sampler.n_chains
        if self.n_chains and self.n_samples % self.n_chains:
            raise ValueError(
                f"Argument `n_samples` must be a multiple of the sampler's {self.n_chains} chains, "
                f"but it is {self.n_samples}."
            )
        self._chains: SamplerState | None = None

    @property
    def chains(self) -> NDArray[np.int8] | None:
        """Where the chains are, (n_chains, n_sites); None before their start. What is assigned is where they go on."""
        return None if self._chains is None else self._chains.spins.cpu().numpy().copy()

    @chains.setter
    def chains(self, spins: ArrayLike) -> None:
        rows = torch.from_numpy(np.array(spins, dtype=np.int8))
        self._chains = self.sampler.restore(self.ansatz, {"spins": rows})

    def prepare(self) -> None:
        """Compile what sampling needs, and start and warm up the chains if there are none yet."""
        super().prepare()
        if self._chains is None:
            with torch.no_grad():
                self._chains = self.sampler.start(self.ansatz, self.rng)

    def samples(self) -> Samples:
        """Draw `n_samples` configurations; chains go on from where they are, and are warmed up before their first draw.

        Returns
        -------
        Samples
            Configurations, weights and log psi.
        """
        with torch.no_grad():
            if self._chains is None:
                self._chains = self.sampler.start(self.ansatz, self.rng)
            return self.sampler.draw(self.ansatz, self._chains, self.n_samples, self.rng)

    def measure(
        self, hamiltonian: SpinHalf, samples: Samples
    ) -> tuple[Tensor, Expectation, NDArray[np.float64] | None]:
        """Measure the energy on given samples; see `State.measure`."""
        energies = self._local_energies(hamiltonian, samples)
        values = energies.cpu().numpy()
        expectation = expectation_of(hamiltonian, by_chain(values, samples.n_chains), samples.acceptance)
        series = by_chain(values.real, samples.n_chains) if samples.n_chains else None
        return energies, expectation, series

    def expect(self, hamiltonian: SpinHalf, *, n_samples: int | None = None) -> Expectation:
        """Measure the energy on new draws of the chains.

        Parameters
        ----------
        hamiltonian : SpinHalf
            The model.
        n_samples : int, optional, keyword
            How many configurations to draw, rounded up to whole draws of the state's `n_samples`, which is the default.

        Returns
        -------
        Expectation
            Energy and variance with errors.

        Raises
        ------
        FloatingPointError
            If a local energy is nan or inf.
        """
        check_hamiltonian(hamiltonian, self)
        n_samples = self.n_samples if n_samples is None else whole_number("n_samples", n_samples)
        parts, acceptance = [], []
        for _ in range(math.ceil(n_samples / self.n_samples)):
            samples = self.samples()
            values = self._local_energies(hamiltonian, samples).cpu().numpy()
            parts.append(by_chain(values, samples.n_chains))
            acceptance.append(samples.acceptance)
        joined = np.concatenate(parts, axis=1 if self.n_chains else 0)
        return expectation_of(hamiltonian, joined, float(np.mean(acceptance)))

    def fresh(self, rng: int | np.random.Generator | None = None) -> MonteCarloState:
        """Return a state of the same parameters with chains of its own.

        Parameters
        ----------
        rng : None, int or numpy.random.Generator
            Of the new state.

        Returns
        -------
        MonteCarloState
            Sharing `ansatz` and `sampler`.
        """
        return MonteCarloState(self.ansatz, self.sampler, n_samples=self.n_samples, rng=rng, chunk=self.chunk)

    def restart(self) -> None:
        """Forget the chains; the next draw starts and warms up new ones."""
        self._chains = None

    def state_dict(self) -> dict[str, Any]:
        """Return random numbers and chains, as text and tensors."""
        chains = None if self._chains is None else self._chains.state_dict()
        return {"seed": self.seed, "rng": json.dumps(self.rng.bit_generator.state), "chains": chains}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned: the next draw is bit for bit the one that would have followed.

        Parameters
        ----------
        state : dict
            Of a state with the same kind of ansatz and sampler.

        Raises
        ------
        ValueError
            If it does not fit.
        """
        seed, rng = restored_rng(state)
        chains = state["chains"]
        self._chains = None if chains is None else self.sampler.restore(self.ansatz, chains)
        self.seed, self.rng = seed, rng

    def _rows(self, n_draws: int, n_chains: int | None) -> NDArray[np.int8]:
        if self.n_chains and n_chains not in (None, self.n_chains):
            raise ValueError(
                f"Argument `n_chains` must be the sampler's {self.n_chains} or left out, but it is {n_chains!r}."
            )
        n_chains = self.n_chains or whole_number("n_chains", _N_GROUPS if n_chains is None else n_chains)
        parts, n_found = [], 0
        while n_found < n_draws * n_chains:
            parts.append(self.samples().spins.cpu().numpy())
            n_found += len(parts[-1])
        rows = np.concatenate(parts)[: n_draws * n_chains].reshape(n_draws, n_chains, self.n_sites)
        return np.ascontiguousarray(rows.transpose(1, 0, 2))


class FullSumState(State):
    """An ansatz whose energy is summed over all configurations: exact, for small systems.

    Parameters
    ----------
    ansatz : Ansatz
        The network. It is used, and trained, in place.
    magnetization : int, optional, keyword
        Sum of the spins of the configurations that count; by default all do.
    parity : {-1, +1}, optional, keyword
        Product of the spins of the configurations that count.
    symmetry : SymmetryGroup, optional, keyword
        A symmetry of the ansatz and the Hamiltonian. One configuration then stands for all that the group makes of it:
        the same sums at a fraction of the work.
    rng : None, int or numpy.random.Generator, keyword
        For `snapshots`, the only random thing here.
    device : str or torch.device, optional, keyword
        Where to move the ansatz, such as "cuda"; by default it stays where it is.
    chunk : int, optional, keyword
        Configurations that go through the network at a time, to bound the memory; the results do not depend on it.

    Raises
    ------
    ValueError
        If there are too many sites, no configuration has the magnetisation, or the ansatz does not have the symmetry.

    Examples
    --------
    >>> from qmlphys.hamiltonians import TransverseIsing
    >>> from qmlphys.lattices import chain
    >>> from qmlphys.nqs.ansatz import RBM
    >>> expectation = FullSumState(RBM(6, scale=1e-9, rng=1)).expect(TransverseIsing(chain(6), field=0.5))
    >>> round(expectation.energy.mean, 6), expectation.energy.error
    (-3.0, 0.0)
    """

    def __init__(
        self,
        ansatz: Ansatz,
        *,
        magnetization: int | None = None,
        parity: int | None = None,
        symmetry: SymmetryGroup | None = None,
        rng: int | np.random.Generator | None = None,
        device: str | torch.device | None = None,
        chunk: int | None = None,
    ) -> None:
        sampler = FullSum(magnetization=magnetization, parity=parity, symmetry=symmetry)
        super().__init__(ansatz, sampler, rng=rng, device=device, chunk=chunk)
        self._all = self.sampler.start(self.ansatz, self.rng)

    def samples(self) -> Samples:
        """Return all configurations, with |psi|^2 as their weights.

        Returns
        -------
        Samples
            Configurations, weights and log psi.
        """
        with torch.no_grad():
            return self.sampler.draw(self.ansatz, self._all, 0, self.rng)

    def measure(self, hamiltonian: SpinHalf, samples: Samples) -> tuple[Tensor, Expectation, None]:
        """Sum the energy over given samples; see `State.measure`."""
        energies = self._local_energies(hamiltonian, samples)
        weights = samples.weights
        energy = float((weights * energies.real).sum())
        variance = float((weights * (energies - energy).abs().square()).sum())
        return (
            energies,
            expectation_from(hamiltonian, Estimate(energy, 0.0), Estimate(variance, 0.0), len(weights)),
            None,
        )

    def expect(self, hamiltonian: SpinHalf, *, n_samples: int | None = None) -> Expectation:  # noqa: ARG002
        """Sum the energy over all configurations.

        Parameters
        ----------
        hamiltonian : SpinHalf
            The model.
        n_samples : int, optional, keyword
            Of the shared interface; a full sum takes all configurations whatever it says.

        Returns
        -------
        Expectation
            With errors 0.

        Raises
        ------
        FloatingPointError
            If a local energy is nan or inf.
        """
        check_hamiltonian(hamiltonian, self)
        return self.measure(hamiltonian, self.samples())[1]

    def fresh(self, rng: int | np.random.Generator | None = None) -> FullSumState:
        """Return a state of the same parameters.

        Parameters
        ----------
        rng : None, int or numpy.random.Generator
            Of the new state.

        Returns
        -------
        FullSumState
            Sharing `ansatz`.
        """
        magnetization, parity = self.sector
        symmetry = self.symmetry
        return FullSumState(
            self.ansatz, magnetization=magnetization, parity=parity, symmetry=symmetry, rng=rng, chunk=self.chunk
        )

    def restart(self) -> None:
        """Do nothing: there are no chains."""

    def state_dict(self) -> dict[str, Any]:
        """Return the random numbers, as text."""
        return {"seed": self.seed, "rng": json.dumps(self.rng.bit_generator.state), "chains": None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.seed, self.rng = restored_rng(state)

    def _rows(self, n_draws: int, n_chains: int | None) -> NDArray[np.int8]:
        n_chains = whole_number("n_chains", _N_GROUPS if n_chains is None else n_chains)
        magnetization, parity = self.sector
        sampler = Exact(magnetization=magnetization, parity=parity)
        spins = sampler.draw(self.ansatz, self._all, n_chains * n_draws, self.rng).spins
        return spins.to("cpu").numpy().reshape(n_chains, n_draws, self.n_sites)
