"""Slow collective modes: what natural gradient relaxes last.

Natural gradient follows imaginary time: a deviation of excitation energy omega decays as exp(-omega t). Near a
transition the order parameter costs hardly any energy - on a critical chain omega falls as 1 / L - so that it relaxes
last, below the noise of the samples, and the energy does not tell. A few functions phi(s) of the collective spin
amplitudes span these deviations. In their span the energy is a small quadratic form, whose matrix elements are means
over the samples of a step: with psi near the ground state,

    <phi_i psi| H - E |phi_j psi> = 1/2 < sum_s' -H_ss' psi(s') / psi(s) (phi_i(s') - phi_i(s)) (phi_j(s') - phi_j(s)) >

(Feynman's excitation energies: R. P. Feynman, Phys. Rev. 94, 262 (1954), eq. 24), and Cov(phi_i, E_loc) is the force.
This is what is done with the slow modes of a linear equation in two-grid methods and deflation (R. A. Nicolaides, SIAM
J. Numer. Anal. 24, 355 (1987)), and what the linear method does with all parameters (C. J. Umrigar et al., Phys. Rev.
Lett. 98, 110201 (2007)), here for a handful of directions that need no parameters of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qmlphys import lattices
from qmlphys._arguments import whole_number
from qmlphys.hamiltonians import SpinHalf
from qmlphys.nqs._state import State
from qmlphys.nqs.local_energy import energy_terms
from qmlphys.nqs.samplers import Samples
from qmlphys.nqs.states import MonteCarloState

__all__ = ["CollectiveModes", "check_modes"]

_LARGEST_GAIN = 100.0  # of an excitation energy that is lost in the noise
_ENOUGH = 256  # samples for the excitation energies, whose noise only changes how fast a mode relaxes
_CONSTANT = 1e-12  # standard deviation of a feature that a conserved magnetisation fixes
_DEPENDENT = 1e-9  # eigenvalue of the correlation matrix below which features depend on each other


@dataclass(frozen=True)
class CollectiveModes:
    """The slow modes of spins on a lattice, and how fast they are to relax.

    The modes are eigenvectors v of the lattice's Laplacian: plane waves, on a periodic lattice. The features of a
    configuration s are, for each of the `n_modes` lowest levels, the mean of (v.s)^2 / n_sites over its eigenvectors,
    and the square of the first of these: m^2 of the magnetisation a site, the structure factor of the longest waves,
    and m^4. They are even in the spins and have the symmetry of the lattice.

    Parameters
    ----------
    lattice : Lattice
        Where the spins are.
    n_modes : int, keyword
        Levels of the Laplacian that are taken, that of m^2 counted, at least 1; on a lattice that has fewer, all.
    rate : float, keyword
        A feature of excitation energy omega < rate relaxes like exp(-rate t) rather than exp(-omega t); in units of
        the Hamiltonian, > 0. It is held at half of 1 / step size where it would be more: a step then takes at most half
        of a deviation away.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> modes = CollectiveModes(lattices.chain(4), n_modes=2)
    >>> modes.values(torch.tensor([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1]])).round(decimals=12).tolist()
    [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.5, 0.0]]
    """

    lattice: lattices.Lattice
    _: KW_ONLY
    n_modes: int = 4
    rate: float = 5.0

    def __post_init__(self) -> None:
        if not isinstance(self.lattice, lattices.Lattice):
            raise TypeError(f"Argument `lattice` must be a Lattice, such as chain(16), but it is {self.lattice!r}.")
        whole_number("n_modes", self.n_modes)
        if isinstance(self.rate, bool) or not isinstance(self.rate, float | int) or not 0 < self.rate < math.inf:
            raise ValueError(f"Argument `rate` must be a positive number, but it is {self.rate!r}.")

    @cached_property
    def _levels(self) -> list[Tensor]:
        """Orthonormal eigenvectors of the lowest levels of the Laplacian, (n_sites, degeneracy) each."""
        n, edges = self.lattice.n_sites, self.lattice.edges
        laplacian = np.zeros((n, n))
        np.add.at(laplacian, (edges[:, 0], edges[:, 1]), -1.0)
        laplacian += laplacian.T
        laplacian -= np.diag(laplacian.sum(axis=1))
        values, vectors = np.linalg.eigh(laplacian)
        starts = np.flatnonzero(np.diff(values, prepend=-np.inf) > 1e-9 * (1 + values[-1]))
        levels = np.split(vectors, starts[1:], axis=1)[: self.n_modes]
        return [torch.from_numpy(part.copy()) for part in levels]

    def values(self, spins: Tensor) -> Tensor:
        """Return the features of configurations.

        Parameters
        ----------
        spins : Tensor of -1 and +1, shape (n, n_sites)
            Configurations.

        Returns
        -------
        Tensor of float64, shape (n, n_features)
            One a level, and the square of the first; between 0 and 1.
        """
        return self._features([spins.double() @ level.to(spins.device) for level in self._levels])

    def changes(self, spins: Tensor, flips: Tensor) -> Tensor:
        """Return by how much flips change the features.

        Parameters
        ----------
        spins : Tensor of -1 and +1, shape (n, n_sites)
            Configurations.
        flips : Tensor of int64, shape (n_terms, max_flips)
            Sites that are flipped together, filled up with -1.

        Returns
        -------
        Tensor of float64, shape (n, n_terms, n_features)
            Zero where nothing is flipped.
        """
        flipped = torch.where(flips >= 0, spins.double()[:, flips], 0.0)  # a padded -1 reads some site, times 0
        before, after = [], []
        for level in self._levels:
            level = level.to(spins.device)
            amplitude = (spins.double() @ level)[:, None, :]
            before.append(amplitude)
            after.append(amplitude - 2 * torch.einsum("ntf,tfv->ntv", flipped, level[flips]))
        return self._features(after) - self._features(before)

    def _features(self, amplitudes: list[Tensor]) -> Tensor:
        """From the amplitudes of the eigenvectors, level by level in the last axis, to features there."""
        levels = torch.stack([part.square().mean(dim=-1) for part in amplitudes], dim=-1) / self.lattice.n_sites
        return torch.cat([levels, levels[..., :1].square()], dim=-1)

    def energy_forms(
        self, hamiltonian: SpinHalf, state: State, spins: Tensor, log_psi: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what each configuration adds to the energy form of the features, and its local energy.

        Parameters
        ----------
        hamiltonian : SpinHalf
            The model.
        state : State
            Whose amplitudes they are.
        spins : Tensor of int8, shape (n, n_sites)
            Configurations.
        log_psi : Tensor of complex128, shape (n,)
            Their log psi.

        Returns
        -------
        forms : Tensor of float64, shape (n, n_features, n_features)
            The sum of the module's head, real part: its mean over |psi|^2 is <phi_i psi| H - E |phi_j psi>.
        energies : Tensor of float64, shape (n,)
            Real parts of E_loc.
        """
        flips = torch.from_numpy(hamiltonian.flip_terms.flips.copy()).to(spins.device)
        forms, energies, first = [], [], 0
        for terms in energy_terms(hamiltonian, state.ansatz, spins, log_psi, chunk=state.chunk):
            change = self.changes(spins[first : first + len(terms)], flips)  # none by the first term, the diagonal
            forms.append(torch.einsum("nt,nti,ntj->nij", -0.5 * terms.real, change, change))
            energies.append(terms.real.sum(dim=1))
            first += len(terms)
        return torch.cat(forms), torch.cat(energies)

    def accelerated(
        self, hamiltonian: SpinHalf, state: State, samples: Samples, energies: Tensor, *, step_size: float
    ) -> Tensor:
        """Return local energies whose natural gradient relaxes the slow modes at `rate`.

        In the span of the features, the real part of E_loc is replaced by rate / omega of itself, feature by feature of
        the diagonal form; a feature with omega > rate, and all outside of the span, keep what they have. At an
        eigenstate nothing changes, since there E_loc is constant.

        Parameters
        ----------
        hamiltonian : SpinHalf
            The model.
        state : State
            Whose samples they are.
        samples : Samples
            Configurations with weights.
        energies : Tensor of complex128, shape (n,)
            Their local energies.
        step_size : float, keyword
            Of the step.

        Returns
        -------
        Tensor of complex128, shape (n,)
            For `NaturalGradient.direction`.
        """
        spins, weights, log_psi = samples.spins, samples.weights, samples.log_psi
        features = self.values(spins)
        features -= weights @ features
        scale = (weights @ features.square()).sqrt()
        used = scale > _CONSTANT
        features = features[:, used] / scale[used]
        overlaps, vectors = torch.linalg.eigh(features.T @ (weights[:, None] * features))
        kept = overlaps > _DEPENDENT
        basis = vectors[:, kept] / overlaps[kept].sqrt()
        if isinstance(state, MonteCarloState):  # an odd stride visits all chains where there are several draws
            stride = max(1, len(spins) // _ENOUGH) | 1
            spins, log_psi, weights = spins[::stride], log_psi[::stride], weights[::stride] / weights[::stride].sum()
        forms = torch.einsum("n,nij->ij", weights, self.energy_forms(hamiltonian, state, spins, log_psi)[0])
        forms = (forms / torch.outer(scale, scale))[used][:, used]
        omega, rotation = torch.linalg.eigh(basis.T @ forms @ basis)
        features = features @ (basis @ rotation)  # uncorrelated, in overlap and in energy, with variance 1
        force = features.T @ (samples.weights * energies.real)
        rate = min(self.rate, 0.5 / step_size)
        gain = (rate / omega.clamp(min=rate / _LARGEST_GAIN)).clamp(min=1.0)
        # Where samples and state are so bad that the form is not positive, there is nothing to go by.
        gain = torch.where(omega > 0, gain, 1.0)
        return energies + features @ ((gain - 1.0) * force)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as a dictionary that JSON can hold; `from_dict` reads it back."""
        return {"lattice": self.lattice.label, "n_modes": self.n_modes, "rate": self.rate}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> CollectiveModes:
        """Make the modes that a dictionary of `to_dict` describes.

        Raises
        ------
        ValueError
            If the dictionary describes none.
        """
        names = ["lattice", "n_modes", "rate"]
        if not isinstance(values, Mapping) or sorted(values) != names:
            raise ValueError(f"Argument `values` must have the keys {names}, but it is {values!r}.")
        lattice = lattices.from_label(values["lattice"])
        return CollectiveModes(lattice, n_modes=values["n_modes"], rate=values["rate"])


def check_modes(modes: CollectiveModes, state: State, *, name: str) -> None:
    """Refuse what are no collective modes of this state.

    Parameters
    ----------
    modes : CollectiveModes
        The candidate.
    state : State
        Whose modes they are to be.
    name : str, keyword
        Of the argument, for the message.

    Raises
    ------
    TypeError
        If they are of another kind.
    ValueError
        If they have another number of sites.

    Examples
    --------
    >>> from qmlphys.nqs import FullSumState
    >>> from qmlphys.nqs.ansatz import RBM
    >>> check_modes(CollectiveModes(lattices.chain(6)), FullSumState(RBM(6, rng=1)), name="collective")
    """
    if not isinstance(modes, CollectiveModes):
        raise TypeError(f"Argument `{name}` must be CollectiveModes, but it is {modes!r}.")
    if modes.lattice.n_sites != state.n_sites:
        raise ValueError(
            f"Argument `{name}` must have the {state.n_sites} sites of the state, but it has {modes.lattice.n_sites}."
        )
