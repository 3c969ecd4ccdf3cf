"""The measured energy, and the checks that states and the driver share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qmlphys.hamiltonians import FlipTerms, SpinHalf
from qmlphys.nqs.ansatz import SymmetryGroup
from qmlphys.stats import Estimate, estimate

if TYPE_CHECKING:
    from qmlphys.nqs.states import State

__all__ = [
    "Expectation",
    "by_chain",
    "check_hamiltonian",
    "expectation_from",
    "expectation_of",
    "find_device",
    "require_finite",
]


@dataclass(frozen=True)
class Expectation:
    """The energy of a state, measured.

    Parameters
    ----------
    energy : Estimate
        Total energy with its error, autocorrelation time and R-hat; error 0 for a full sum.
    variance : Estimate
        Variance of the Hamiltonian in the state, <H^2> - <H>^2, zero for an eigenstate. It is that of the local
        energies: where psi is exactly zero, by a symmetry, there is none, and what H psi has there is missing.
    v_score : float
        n_sites variance / (energy - E_inf)^2, E_inf being the energy at infinite temperature.
    n_samples : int
        Configurations that were looked at.
    acceptance : float
        Share of accepted proposals; nan where nothing is proposed.

    References
    ----------
    D. Wu et al., Science 386, 296 (2024), eq. 2 (V-score).
    """

    energy: Estimate
    variance: Estimate
    v_score: float
    n_samples: int
    acceptance: float = math.nan

    @property
    def r_hat(self) -> float:
        """Split R-hat of the energy; nan with fewer than 4 draws a chain."""
        return self.energy.r_hat

    @property
    def tau(self) -> float:
        """Integrated autocorrelation time of the energy, in draws."""
        return self.energy.tau

    def __str__(self) -> str:
        return f"E = {self.energy}, variance {self.variance}, V-score {self.v_score:.2g}"


def by_chain(values: NDArray[Any], n_chains: int) -> NDArray[Any]:
    """Return values of samples, (n_draws * n_chains,), by chain, (n_chains, n_draws); a sample without chain is one."""
    return values.reshape(-1, n_chains).T if n_chains else values[:, None]


def expectation_of(hamiltonian: SpinHalf, series: NDArray[np.complex128], acceptance: float) -> Expectation:
    """Measure the energy from drawn local energies, shape (n_chains, n_draws)."""
    energy = estimate(series.real)
    deviations = np.abs(series - series.mean()) ** 2
    variance = float(deviations.sum()) / (deviations.size - 1)
    # The energy's effective number of samples serves for the squares too: only the error's last digit would differ.
    error = float(deviations.std()) / math.sqrt(energy.n_effective)
    return expectation_from(hamiltonian, energy, Estimate(variance, error), series.size, acceptance)


def expectation_from(
    hamiltonian: SpinHalf, energy: Estimate, variance: Estimate, n_samples: int, acceptance: float = math.nan
) -> Expectation:
    """Join energy and variance, and add the V-score."""
    gain = (energy.mean - hamiltonian.reference_energy) ** 2
    v_score = hamiltonian.n_sites * variance.mean / gain if gain > 0 else math.inf
    return Expectation(energy, variance, v_score, n_samples, acceptance)


def check_hamiltonian(hamiltonian: SpinHalf, state: State) -> None:
    """Refuse what is no Hamiltonian of this state.

    Parameters
    ----------
    hamiltonian : SpinHalf
        The candidate.
    state : State
        What it is to be measured in.

    Raises
    ------
    TypeError
        If it is no quantum model.
    ValueError
        If it has another number of sites, is not Hermitian, or leads out of the sector that the samples lie in.
    """
    if not isinstance(hamiltonian, SpinHalf):
        raise TypeError(
            "Argument `hamiltonian` must be a quantum model, such as TransverseIsing(chain(16)) or a PauliSum, "
            f"but it is {hamiltonian!r}."
        )
    if hamiltonian.n_sites != state.n_sites:
        raise ValueError(
            f"Argument `hamiltonian` must have the ansatz's {state.n_sites} sites, but {hamiltonian.label} has "
            f"{hamiltonian.n_sites}."
        )
    _check_hermitian(hamiltonian.flip_terms, hamiltonian.label)
    magnetization, parity = state.sector
    if magnetization is not None and not hamiltonian.conserves_magnetization:
        raise ValueError(
            f"Argument `hamiltonian` must conserve the sum of the spins, which the samples keep at {magnetization}, "
            f"but {hamiltonian.label} does not: that sector is unphysical."
        )
    odd = (hamiltonian.flip_terms.flips >= 0).sum(axis=1) % 2 == 1
    if parity is not None and odd.any():
        raise ValueError(
            f"Argument `hamiltonian` must conserve the product of the spins, which the samples keep at {parity:+d}, "
            f"but {hamiltonian.label} does not: that sector is unphysical."
        )
    if state.symmetry is not None:
        _check_symmetric(hamiltonian, state.symmetry)


def _check_symmetric(hamiltonian: SpinHalf, symmetry: SymmetryGroup) -> None:
    """Refuse a Hamiltonian that does not commute with the group by which the sum is shortened."""
    for permutation, flip in zip(symmetry.permutations.tolist(), symmetry.spin_flips.tolist(), strict=True):
        broken = hamiltonian.broken_term(permutation, flip=flip)
        if broken is not None:
            raise ValueError(
                f"Argument `hamiltonian` must have the symmetry of the state's sum, but an element of the group turns "
                f"the term {broken[1]:g} {broken[0]} of {hamiltonian.label} into one that it does not have."
            )


def _check_hermitian(terms: FlipTerms, label: str) -> None:
    """Refuse strings that are not Hermitian; a model that says its own `to_pauli` may hold complex coefficients."""
    # Y stands on the sites that are both flipped and multiplied. With an odd number of Y the coefficient is imaginary.
    flips, zsites = terms.flips[terms.owner], terms.zsites
    n_y = ((flips[:, :, None] == zsites[:, None, :]) & (flips[:, :, None] >= 0)).sum(axis=(1, 2))
    wrong = np.where(n_y % 2 == 1, terms.coefficients.real, terms.coefficients.imag)
    if wrong.any() or not np.isfinite(terms.coefficients).all():
        raise ValueError(
            f"Argument `hamiltonian` must be Hermitian, but {label} is non-Hermitian: {np.count_nonzero(wrong)} of its "
            f"{terms.n_strings} Pauli strings have complex coefficients."
        )


def require_finite(local_energies: Tensor) -> None:
    """Refuse local energies that are nan or inf, with where the first of them is."""
    if not bool(torch.isfinite(torch.view_as_real(local_energies).sum())):
        bad = torch.nonzero(~torch.isfinite(local_energies)).reshape(-1)
        raise FloatingPointError(
            f"{len(bad)} of {len(local_energies)} local energies are nan or inf, the first at sample {int(bad[0])}"
            if len(bad)
            else "the sum of the local energies overflows"
        )


def find_device(name: str | torch.device) -> torch.device:
    """Return the torch device of that name, or say that it is not there."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        first = str(error).splitlines()[0]
        raise ValueError(
            f"Argument `device` must name a device torch can use here, but it is {name!r}: {first}"
        ) from error
    return device
