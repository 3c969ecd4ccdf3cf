"""Slow collective modes: what natural gradient relaxes last, and by how much a trained state misses it.

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
from qmlphys.nqs._expectation import by_chain, check_hamiltonian, require_finite
from qmlphys.nqs._state import State
from qmlphys.nqs.ansatz._base import Ansatz
from qmlphys.nqs.local_energy import energy_terms, local_energies
from qmlphys.nqs.samplers import Samples
from qmlphys.nqs.states import MonteCarloState
from qmlphys.stats import Estimate, estimate

__all__ = ["CollectiveModes", "check_modes", "parameter_offset"]

_LARGEST_GAIN = 100.0  # of an excitation energy that is lost in the noise
_ENOUGH = 256  # samples for the excitation energies, whose noise only changes how fast a mode relaxes
_CONSTANT = 1e-12  # standard deviation of a feature that a conserved magnetisation fixes, or slope of a response
_DEPENDENT = 1e-9  # eigenvalue of the correlation matrix below which features depend on the others


@dataclass(frozen=True)
class CollectiveModes:
    """The slow modes of spins on a lattice, and how fast they are to relax.

    With the eigenvectors v of the lattice's Laplacian, of lowest eigenvalues, as modes - plane waves of long
    wavelength on a periodic lattice - the features of a configuration are sum over v of (v.s)^2 / n_sites, a mean over
    each of the `n_modes` lowest levels, and the square of the first: m^2 and m^4 of the magnetisation a site, and the
    structure factor of the longest waves. They are even in the spins and have the symmetry of the lattice.

    Parameters
    ----------
    lattice : Lattice
        Where the spins are.
    n_modes : int, keyword
        Levels of the Laplacian that are taken, at least 1; on a lattice that has fewer, all.
    rate : float, keyword
        A feature of excitation energy omega < rate relaxes like exp(-rate t) rather than exp(-omega t); in units of
        the Hamiltonian, > 0. Times the step size it must stay well below 1.

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
        if not (math.isfinite(self.rate) and self.rate > 0):
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

    def accelerated(
        self, hamiltonian: SpinHalf, ansatz: Ansatz, samples: Samples, energies: Tensor, *, chunk: int | None = None
    ) -> Tensor:
        """Return local energies whose natural gradient relaxes the slow modes at `rate`.

        In the span of the features, E_loc is replaced by rate / omega of itself, feature by feature of the diagonal
        form; a feature with omega > rate, and all outside of the span, keep what they have. At an eigenstate nothing
        changes, since there E_loc is constant.

        Parameters
        ----------
        hamiltonian : SpinHalf
            The model.
        ansatz : Ansatz
            The state.
        samples : Samples
            Configurations with weights.
        energies : Tensor of complex128, shape (n,)
            Their local energies.
        chunk : int, optional, keyword
            As for `local_energies`.

        Returns
        -------
        Tensor of complex128, shape (n,)
            For `NaturalGradient.direction`.
        """
        slow = self._slow(hamiltonian, ansatz, samples, chunk)
        force = slow.features.T @ (samples.weights * energies.real)  # the features have mean 0
        gain = (self.rate / slow.energies.clamp(min=self.rate / _LARGEST_GAIN)).clamp(min=1.0)
        # Where samples and state are so bad that the form is not positive, there is nothing to go by.
        gain = torch.where(slow.energies > 0, gain, 1.0)
        return energies + slow.features @ ((gain - 1.0) * force)

    def _slow(self, hamiltonian: SpinHalf, ansatz: Ansatz, samples: Samples, chunk: int | None) -> _Slow:
        """Diagonalise overlap and energy in the span of the features."""
        spins, weights = samples.spins, samples.weights
        features = self.values(spins)
        features -= weights @ features
        scale = (weights @ features.square()).sqrt()
        used = scale > _CONSTANT
        features = features[:, used] / scale[used]
        overlaps, vectors = torch.linalg.eigh(features.T @ (weights[:, None] * features))
        kept = overlaps > _DEPENDENT
        basis = vectors[:, kept] / overlaps[kept].sqrt()
        energy = torch.zeros(len(basis), len(basis), dtype=torch.float64, device=spins.device)
        alike = bool((weights == weights[0]).all())
        some = slice(None, None, max(1, len(spins) // _ENOUGH) if alike else 1)
        weights = weights[some] / weights[some].sum()
        flips = torch.from_numpy(hamiltonian.flip_terms.flips.copy()).to(spins.device)
        first = 0
        for terms in energy_terms(hamiltonian, ansatz, spins[some], samples.log_psi[some], chunk=chunk):
            rows = slice(first, first + len(terms))
            change = self.changes(spins[some][rows], flips)[:, :, used] / scale[used]
            energy -= 0.5 * torch.einsum("nt,nti,ntj->ij", weights[rows, None] * terms.real, change, change)
            first = rows.stop
        energies, rotation = torch.linalg.eigh(basis.T @ energy @ basis)
        return _Slow(features @ (basis @ rotation), energies)

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


@dataclass(frozen=True, eq=False)
class _Slow:
    """Combinations of the features that are uncorrelated, in overlap and in energy.

    Attributes
    ----------
    features : Tensor of float64, shape (n, rank)
        At the samples; mean 0, variance 1.
    energies : Tensor of float64, shape (rank,)
        Excitation energies, rising.
    """

    features: Tensor
    energies: Tensor


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
    """
    if not isinstance(modes, CollectiveModes):
        raise TypeError(f"Argument `{name}` must be CollectiveModes, but it is {modes!r}.")
    if modes.lattice.n_sites != state.n_sites:
        raise ValueError(
            f"Argument `{name}` must have the {state.n_sites} sites of the state, but it has {modes.lattice.n_sites}."
        )


def parameter_offset(
    state: State,
    hamiltonian: SpinHalf,
    shifted: SpinHalf,
    modes: CollectiveModes,
    *,
    n_samples: int | None = None,
) -> Estimate:
    """Measure by how much a state's order is off, as a change of the Hamiltonian's control parameter.

    To first order a state that is not quite the ground state has <m^2> off by 2 Cov(chi, E_loc), where chi, the
    response of m^2, solves (H - E) chi psi = (m^2 - <m^2>) psi; it is sought in the span of the features. (The residual
    of the energy, weighted with the response of the quantity of interest: R. Becker and R. Rannacher, Acta Numerica 10,
    1 (2001).) The same formula with -dH in the place of E_loc says how <m^2> of the ground state follows the parameter.
    Their ratio is the offset d: as far as its order goes, the state is the ground state at lambda + d. The energy
    variance, which counts all deviations alike, would allow for much more.

    On Ising rings of 12 to 64 sites at their transition, in the middle of training, this was 80 to 105 % of the true
    offset: the rest lies outside of the span, and is not in the error.

    Parameters
    ----------
    state : State
        Near the ground state.
    hamiltonian : SpinHalf
        H at the value lambda of its control parameter, in which it is linear.
    shifted : SpinHalf
        H at lambda + 1.
    modes : CollectiveModes
        Where the response is sought.
    n_samples : int, optional, keyword
        Configurations to draw, rounded up to whole draws of the state's own number, the default. A full sum takes all.

    Returns
    -------
    Estimate
        d with its statistical error, in units of the parameter; error 0 for a full sum.

    Raises
    ------
    ValueError
        If the arguments do not fit, or m^2 does not respond to the parameter.
    FloatingPointError
        If a local energy is nan or inf.

    Examples
    --------
    >>> from qmlphys.hamiltonians import TransverseIsing
    >>> from qmlphys.nqs import FullSumState, VMC
    >>> from qmlphys.nqs.ansatz import TranslationRBM
    >>> lattice = lattices.chain(8)
    >>> models = [TransverseIsing(lattice, field=h) for h in (1.0, 1.02, 2.0)]
    >>> state = FullSumState(TranslationRBM(8, alpha=4, visible_bias=False, hidden_bias=False, rng=1))
    >>> trained_at_102 = VMC(models[1], state).run(200)
    >>> round(parameter_offset(state, models[0], models[2], CollectiveModes(lattice)).mean, 3)  # 1.02 - 1
    0.02
    """
    for model in (hamiltonian, shifted):
        check_hamiltonian(model, state)
    check_modes(modes, state, name="modes")
    samples = _drawn(state, n_samples)
    ansatz, chunk = state.ansatz, state.chunk
    order = modes.values(samples.spins)[:, 0]
    if float((order - samples.weights @ order).abs().max()) < _CONSTANT:
        raise ValueError(
            "Argument `state` must have a magnetisation that varies, but in its configurations it does not."
        )
    slow = modes._slow(hamiltonian, ansatz, samples, chunk)
    if float(slow.energies[0]) <= 0:
        raise ValueError(
            "Argument `state` must be near the ground state, but deviations of its order cost no energy: train longer."
        )
    response = slow.features @ ((slow.features.T @ (samples.weights * order)) / slow.energies)
    first, second = (
        local_energies(model, ansatz, samples.spins, samples.log_psi, chunk=chunk) for model in (hamiltonian, shifted)
    )
    require_finite(first)
    require_finite(second)
    energy, change = first.real, (second - first).real
    energy, change = (part - samples.weights @ part for part in (energy, change))
    slope = float(samples.weights @ (response * change))
    if abs(slope) < _CONSTANT:
        raise ValueError(
            "Argument `shifted` must be a model of another order, but <m^2> does not respond to the change."
        )
    offset = -float(samples.weights @ (response * energy)) / slope
    if not isinstance(state, MonteCarloState):
        return Estimate(offset, 0.0)
    rest = (response * (energy + offset * change) / slope).cpu().numpy()
    return Estimate(offset, estimate(by_chain(rest, samples.n_chains)).error)


def _drawn(state: State, n_samples: int | None) -> Samples:
    """Take at least so many configurations; a full sum takes all."""
    n_draws = 1
    if isinstance(state, MonteCarloState) and n_samples is not None:
        n_draws = math.ceil(whole_number("n_samples", n_samples) / state.n_samples)
    parts = [state.samples() for _ in range(n_draws)]
    weights = torch.cat([part.weights for part in parts]) / n_draws
    spins, log_psi = (torch.cat([getattr(part, name) for part in parts]) for name in ("spins", "log_psi"))
    return Samples(spins, weights, log_psi, parts[0].n_chains, parts[0].acceptance)
