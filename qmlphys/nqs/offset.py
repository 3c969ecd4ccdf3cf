"""By how much a trained state's control parameter is off, as far as its order goes."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from qmlphys._arguments import whole_number
from qmlphys.hamiltonians import SpinHalf
from qmlphys.nqs._expectation import check_hamiltonian, require_finite
from qmlphys.nqs._state import State
from qmlphys.nqs.collective import CollectiveModes, check_modes
from qmlphys.nqs.local_energy import local_energies
from qmlphys.nqs.samplers import Samples
from qmlphys.nqs.states import MonteCarloState
from qmlphys.stats import Estimate, jackknife

__all__ = ["parameter_offset"]

_CONSTANT = 1e-12  # standard deviation of a feature that a conserved magnetisation fixes, or slope of a response
_DEPENDENT = 1e-9  # eigenvalue of the energy form, relative to the largest, below which features depend on each other
_NOISE = 1e-2  # negative eigenvalue of the energy form, relative to the largest, that is taken for noise
_GROUPS = 32  # of chains, for the jackknife


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
    offset: the rest lies outside of the span and is not in the error. Where d is not small, it means nothing but that.

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
        d with its statistical error, a jackknife over groups of chains, in units of the parameter; error 0 for a full
        sum.

    Raises
    ------
    ValueError
        If the arguments do not fit, m^2 does not vary or respond, or the state is too far from the ground state.
    FloatingPointError
        If a local energy is nan or inf.

    Examples
    --------
    >>> from qmlphys import lattices
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
    spins, weights = samples.spins, samples.weights
    forms, energies = modes.energy_forms(hamiltonian, state, spins, samples.log_psi)
    require_finite(energies.to(torch.complex128))
    changed = local_energies(shifted, state.ansatz, spins, samples.log_psi, chunk=state.chunk)
    require_finite(changed)
    features = modes.values(spins)
    # Centred at the same place for all groups: what the jackknife subtracts is then small.
    features, energies, change = (part - weights @ part for part in (features, energies, changed.real - energies))
    columns = torch.stack([energies, change], dim=1)
    groups = _groups(len(spins), samples.n_chains) if isinstance(state, MonteCarloState) else np.zeros(len(spins), int)
    index = torch.from_numpy(groups).to(spins.device)
    sums = [
        torch.zeros(int(groups.max()) + 1, *part.shape[1:], dtype=torch.float64, device=spins.device)
        .index_add_(0, index, weights.reshape(-1, *[1] * (part.ndim - 1)) * part)
        .cpu()
        .numpy()
        for part in (
            torch.ones_like(weights),
            features,
            columns,
            features[:, :, None] * features[:, None, :],
            features[:, :, None] * columns[:, None, :],
            forms,
        )
    ]
    if len(sums[0]) > 1:
        return jackknife(_offset, *sums)
    return Estimate(_offset(*sums), math.nan if isinstance(state, MonteCarloState) else 0.0)


def _groups(n: int, n_chains: int) -> NDArray[np.int64]:
    """Return the group of each sample; chains, or samples where there are none, stay in one group."""
    n_units = n_chains or n
    return np.arange(n) % n_units * min(_GROUPS, n_units) // n_units


def _offset(*sums: NDArray[np.float64]) -> float:
    """Return the offset from sums over groups: weight, features, energy and its change, their products, energy form."""
    weight, *totals = (part.sum(axis=0) for part in sums)
    mean, column, squares, products, form = (part / weight for part in totals)
    overlap, forces = squares - np.outer(mean, mean), products - np.outer(mean, column)
    scale = np.sqrt(overlap.diagonal().clip(min=0))
    if scale[0] < _CONSTANT:
        raise ValueError(
            "Argument `state` must have a magnetisation that varies, but in its configurations it does not."
        )
    used = scale > _CONSTANT
    scale, overlap, forces, form = scale[used], overlap[used][:, used], forces[used], form[used][:, used]
    omega, vectors = np.linalg.eigh(form / np.outer(scale, scale))
    if omega[0] < -_NOISE * omega[-1] or omega[-1] <= 0:
        raise ValueError(
            "Argument `state` must be near the ground state, but deviations of its order cost no energy: train longer."
        )
    kept = omega > _DEPENDENT * omega[-1]
    vectors = vectors[:, kept]
    response = vectors @ ((vectors.T @ (overlap[0] / scale)) / omega[kept]) / scale
    energy, change = response @ forces
    if abs(change) < _CONSTANT:
        raise ValueError("Argument `shifted` must be a model of another order, but <m^2> does not respond to it.")
    return float(-energy / change)


def _drawn(state: State, n_samples: int | None) -> Samples:
    """Take at least so many configurations; a full sum takes all."""
    n_draws = 1
    if n_samples is not None:
        whole_number("n_samples", n_samples)
        n_draws = math.ceil(n_samples / getattr(state, "n_samples", n_samples))
    parts = [state.samples() for _ in range(n_draws)]
    weights = torch.cat([part.weights for part in parts]) / n_draws
    spins, log_psi = (torch.cat([getattr(part, name) for part in parts]) for name in ("spins", "log_psi"))
    return Samples(spins, weights, log_psi, parts[0].n_chains, parts[0].acceptance)
