"""What full-sum and Monte Carlo states share. Public through `qmlphys.nqs.states`."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from qmlphys import bits, snapshots
from qmlphys._arguments import seed_number, whole_number
from qmlphys.hamiltonians import SpinHalf
from qmlphys.nqs._expectation import (
    Expectation,
    check_hamiltonian,
    find_device,
    require_finite,
)
from qmlphys.nqs._metropolis import evaluate
from qmlphys.nqs.ansatz import Ansatz, SymmetryGroup
from qmlphys.nqs.local_energy import local_energies, warm_up
from qmlphys.nqs.natural_gradient import energy_gradient
from qmlphys.nqs.samplers import Metropolis, Sampler, Samples, configurations
from qmlphys.nqs.tangent import Tangent, assign_flat, flat_parameters

__all__ = ["State", "restored_rng"]


class State(ABC):
    """What full-sum and Monte Carlo states share; make one of these.

    Attributes
    ----------
    ansatz : Ansatz
        The network; its parameters are the state.
    sampler : Sampler
        Where configurations come from.
    seed : int
        What the random numbers were started from.
    chunk : int or None
        Configurations that go through the network at a time.
    """

    def __init__(
        self,
        ansatz: Ansatz,
        sampler: Sampler,
        *,
        rng: int | np.random.Generator | None,
        device: str | torch.device | None,
        chunk: int | None,
    ) -> None:
        if not isinstance(ansatz, Ansatz):
            raise TypeError(
                f"Argument `ansatz` must be an Ansatz, such as RBM(16), but it is a {type(ansatz).__name__}."
            )
        self.ansatz = ansatz if device is None else ansatz.to(find_device(device))
        self.sampler = sampler
        self.chunk = None if chunk is None else whole_number("chunk", chunk)
        self.seed = seed_number(rng)
        self.rng = np.random.default_rng(self.seed)

    @property
    def n_sites(self) -> int:
        """Number of sites."""
        return self.ansatz.n_sites

    @property
    def sector(self) -> tuple[int | None, int | None]:
        """Sum and product of the spins that all configurations share; None where they need not."""
        sampler = self.sampler
        magnetization: int | None = getattr(sampler, "magnetization", None)
        parity: int | None = getattr(sampler, "parity", None)
        if isinstance(sampler, Metropolis):  # its moves keep a sector even where it was not told which
            if sampler.moves == "exchange" and magnetization is None:
                magnetization = self.n_sites % 2
            if sampler.moves == "pair" and parity is None:
                parity = 1
        return magnetization, parity

    @property
    def symmetry(self) -> SymmetryGroup | None:
        """The symmetry by which a full sum is shortened; None elsewhere."""
        found: SymmetryGroup | None = getattr(self.sampler, "symmetry", None)
        return found

    @property
    def parameters(self) -> NDArray[Any]:
        """All parameters as a vector (n_parameters,), float64 or complex128: a copy; those of a twin can be set."""
        return flat_parameters(self.ansatz).cpu().numpy()

    @parameters.setter
    def parameters(self, values: ArrayLike) -> None:
        array = np.asarray(values)
        if array.dtype.kind not in "fc" or not np.isfinite(array).all():
            raise ValueError("Argument `parameters` must hold finite real or complex numbers, but it does not.")
        assign_flat(self.ansatz, torch.from_numpy(array.copy()).to(self.ansatz.device))

    def prepare(self) -> None:
        """Compile what sampling needs and start the chains, so that no later draw waits for it."""
        warm_up(self.ansatz)

    @abstractmethod
    def samples(self) -> Samples:
        """Take configurations: the next ones of every chain, or all there are."""

    @abstractmethod
    def expect(self, hamiltonian: SpinHalf, *, n_samples: int | None = None) -> Expectation:
        """Measure the energy."""

    @abstractmethod
    def fresh(self, rng: int | np.random.Generator | None = None) -> State:
        """Return a state of the same parameters whose draws have nothing to do with this one's."""

    @abstractmethod
    def restart(self) -> None:
        """Forget the chains; the next draw starts new ones."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return all that the next draw depends on, parameters aside."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""

    @abstractmethod
    def _rows(self, n_draws: int, n_chains: int | None) -> NDArray[np.int8]:
        """Return drawn spins of shape (n_chains, n_draws, n_sites)."""

    @abstractmethod
    def measure(
        self, hamiltonian: SpinHalf, samples: Samples
    ) -> tuple[Tensor, Expectation, NDArray[np.float64] | None]:
        """Measure the energy on given samples.

        Parameters
        ----------
        hamiltonian : SpinHalf
            A model that `check_hamiltonian` has accepted.
        samples : Samples
            Of `samples()`.

        Returns
        -------
        local_energies : Tensor of complex128, shape (n,)
            Of each configuration.
        expectation : Expectation
            Their mean.
        series : ndarray of float64, shape (n_chains, n_draws), or None
            Their real parts by chain; None without chains.

        Raises
        ------
        FloatingPointError
            If a local energy is nan or inf.
        """

    def gradient(self, hamiltonian: SpinHalf) -> tuple[Tensor, Expectation]:
        """Measure the energy and its gradient on new samples.

        Parameters
        ----------
        hamiltonian : SpinHalf
            The model.

        Returns
        -------
        gradient : Tensor of float64 or complex128, shape (n_parameters,)
            dE/dp in the order of ``ansatz.parameters()``; for complex parameters dE/d(Re p) + i dE/d(Im p).
        expectation : Expectation
            The energy of the same samples.

        Raises
        ------
        FloatingPointError
            If a local energy is nan or inf.
        """
        check_hamiltonian(hamiltonian, self)
        samples = self.samples()
        energies, expectation, _ = self.measure(hamiltonian, samples)
        tangent = Tangent(self.ansatz, samples.spins, chunk=self.chunk)
        return energy_gradient(tangent, energies, samples.weights), expectation

    def snapshots(
        self,
        n_draws: int,
        *,
        parameter: float,
        hamiltonian: SpinHalf,
        n_chains: int | None = None,
        name: str = "field",
        units: str = "J",
        basis: str = "Z",
    ) -> xr.Dataset:
        """Draw snapshots in the manner of `qmlphys.snapshots`, to be read by every learner.

        Parameters
        ----------
        n_draws : int
            Draws of each chain.
        parameter : float, keyword
            Value of the control parameter, the coordinate of the result.
        hamiltonian : SpinHalf, keyword
            Whose state this is: it gives the labels, and the energy of every draw.
        n_chains : int, optional, keyword
            For states without chains: into how many independent groups the draws are divided; 64 by default. Chains
            of a Metropolis sampler are what they are.
        name, units : str, keyword
            Of the control parameter.
        basis : str, keyword
            The Pauli basis that a +1 or -1 refers to: what `hamiltonian` was rotated to.

        Returns
        -------
        xarray.Dataset
            Spins over (parameter, chain, draw, site), with local energy and magnetisation a site. The mean of the
            local energies is the energy; their spread is that of the Hamiltonian in the state.

        Examples
        --------
        >>> from qmlphys.hamiltonians import TransverseIsing
        >>> from qmlphys.lattices import chain
        >>> from qmlphys.nqs import FullSumState
        >>> from qmlphys.nqs.ansatz import RBM
        >>> state = FullSumState(RBM(6, rng=1), rng=1)
        >>> ds = state.snapshots(5, parameter=0.5, hamiltonian=TransverseIsing(chain(6), field=0.5), n_chains=3)
        >>> ds.spins.shape, ds.attrs["source"]
        ((1, 3, 5, 6), 'nqs')
        """
        check_hamiltonian(hamiltonian, self)
        rows = self._rows(whole_number("n_draws", n_draws), n_chains)
        flat = torch.from_numpy(rows.reshape(-1, self.n_sites)).to(self.ansatz.device)
        log_psi = evaluate(self.ansatz, flat, self.chunk)
        energies = local_energies(hamiltonian, self.ansatz, flat, log_psi, chunk=self.chunk)
        require_finite(energies)
        lattice = hamiltonian.lattice
        return snapshots.dataset(
            rows[None],
            [parameter],
            name=name,
            units=units,
            source="nqs",
            model=hamiltonian.label,
            lattice="" if lattice is None else lattice.label,
            basis=basis,
            seed=self.seed,
            observables={
                "energy": (energies.real.cpu().numpy() / self.n_sites).reshape(1, *rows.shape[:2]),
                "magnetization": rows.mean(axis=2)[None],
            },
        )

    def vector(self) -> NDArray[np.complex128]:
        """Return the normalised state vector.

        Returns
        -------
        ndarray of complex128, shape (2^n_sites,)
            Amplitudes; site i has weight 2^i in the index, a spin -1 being bit 1. Zero outside of the sampler's sector.

        Raises
        ------
        ValueError
            With more than 24 sites or 2^20 configurations.
        """
        n_sites = self.n_sites
        magnetization, parity = self.sector
        spins = configurations(n_sites, magnetization=magnetization, parity=parity)
        log_psi = evaluate(self.ansatz, torch.from_numpy(spins).to(self.ansatz.device), self.chunk).cpu().numpy()
        vector = np.zeros(2**n_sites, dtype=np.complex128)
        vector[bits.spins_to_integers(spins)] = np.exp(log_psi - log_psi.real.max())
        return vector / np.linalg.norm(vector)

    def _local_energies(self, hamiltonian: SpinHalf, samples: Samples) -> Tensor:
        energies = local_energies(hamiltonian, self.ansatz, samples.spins, samples.log_psi, chunk=self.chunk)
        require_finite(energies)
        return energies


def restored_rng(state: dict[str, Any]) -> tuple[int, np.random.Generator]:
    """Read seed and random numbers of a `state_dict`."""
    rng = np.random.default_rng()
    try:
        rng.bit_generator.state = json.loads(state["rng"])
        return int(state["seed"]), rng
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"Argument `state` must hold the state of a random generator, but {error}.") from error
