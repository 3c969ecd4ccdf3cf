"""Which neural state suits which Hamiltonian, for `qmlphys.workflows.ground_state`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from qmlphys import exact, lattices
from qmlphys.hamiltonians import J1J2, Heisenberg, SpinHalf, TransverseIsing

if TYPE_CHECKING:
    from qmlphys import nqs

__all__ = ["MODELS", "Recipe", "ansatz_of", "driver_of", "known_energy", "model_of", "sampler_of", "state_of"]

_FIRST_SHIFT = 1e-2
_MAX_SUMMED_SITES = 16  # two thousand orbits of a ring, which is fewer than the samples would be
_MAX_EXACT_SITES = 14  # a dense Lanczos of 2^14 amplitudes takes well under a second


def _tfim(lattice: lattices.Lattice, field: float) -> SpinHalf:
    return TransverseIsing(lattice, field=field)


def _heisenberg(lattice: lattices.Lattice, field: float) -> SpinHalf:  # noqa: ARG001 - it has none
    return Heisenberg(lattice)


def _j1j2(lattice: lattices.Lattice, field: float) -> SpinHalf:
    return J1J2(lattice, j2=field)


MODELS: dict[str, Callable[[lattices.Lattice, float], SpinHalf]] = {
    "tfim": _tfim,
    "heisenberg": _heisenberg,
    "j1j2": _j1j2,
}
"""Name to constructor from a lattice and the control parameter: h of the Ising model, J2 of J1-J2."""


@dataclass(frozen=True)
class Recipe:
    """How a neural state is made and trained.

    Parameters
    ----------
    alpha : int
        Hidden units a site of the restricted Boltzmann machine.
    n_samples : int
        Configurations a step, a multiple of `n_chains`.
    n_chains : int
        Independent Markov chains.
    step_size : float
        Learning rate at the beginning, > 0; it falls to a fifth of it.
    diagonal_shift : float
        Regularisation of the natural gradient, >= 0.
    momentum : float
        Of SPRING, in [0, 1).
    target : float
        V-score, averaged over ten steps, at which training ends early; 0 takes all steps.

    Examples
    --------
    >>> Recipe(alpha=2).n_samples
    1024
    """

    alpha: int = 8
    n_samples: int = 1024
    n_chains: int = 1024
    step_size: float = 0.1
    diagonal_shift: float = 3e-4
    momentum: float = 0.9
    target: float = 0.0

    def __post_init__(self) -> None:
        for name in ("alpha", "n_samples", "n_chains"):
            if getattr(self, name) < 1:
                raise ValueError(f"Argument `{name}` must be at least 1, but it is {getattr(self, name)}.")
        if self.n_samples % self.n_chains:
            raise ValueError(
                f"Argument `n_samples` must be a multiple of the {self.n_chains} chains, but it is {self.n_samples}."
            )
        if not (math.isfinite(self.step_size) and self.step_size > 0):
            raise ValueError(f"Argument `step_size` must be a positive number, but it is {self.step_size}.")
        if not (math.isfinite(self.target) and self.target >= 0):
            raise ValueError(f"Argument `target` must be a number of at least 0, but it is {self.target}.")


def model_of(name: str, lattice: lattices.Lattice, field: float, *, basis: str = "Z") -> SpinHalf:
    """Return a Hamiltonian by name, as seen from a Pauli basis.

    Parameters
    ----------
    name : str
        One of `MODELS`.
    lattice : Lattice
        Geometry.
    field : float
        The control parameter.
    basis : str
        X, Y or Z for all sites, or one letter a site.

    Returns
    -------
    SpinHalf
        The model itself in basis Z, else a PauliSum.

    Raises
    ------
    ValueError
        If there is no such model or basis.

    Examples
    --------
    >>> model_of("tfim", lattices.chain(4), 0.5).label
    'TransverseIsing(coupling=1.0, field=0.5)'
    """
    if name not in MODELS:
        raise ValueError(f"Argument `hamiltonian` must be one of {', '.join(MODELS)}, but it is {name!r}.")
    model = MODELS[name](lattice, field)
    return model if set(basis) == {"Z"} and len(basis) in (1, lattice.n_sites) else model.rotated(basis)


def _is_stoquastic(model: SpinHalf) -> bool:
    """Tell whether no off-diagonal element is positive, so that the ground state can be chosen positive."""
    terms = model.flip_terms
    there = terms.owner > 0
    plain = (terms.zsites[there] < 0).all()  # without signs that depend on the configuration
    coefficients = terms.coefficients[there]
    return bool(plain and (coefficients.real <= 0).all() and (coefficients.imag == 0).all())


def _is_even(model: SpinHalf) -> bool:
    """Tell whether the diagonal is even under the flip of all spins and no sign depends on an odd number of them."""
    return bool(((model.flip_terms.zsites >= 0).sum(axis=1) % 2 == 0).all())


def _keeps_parity(model: SpinHalf) -> bool:
    return bool(((model.flip_terms.flips >= 0).sum(axis=1) % 2 == 0).all())


def ansatz_of(model: SpinHalf, recipe: Recipe, *, uniform: bool = True, rng: int = 0) -> nqs.Ansatz:
    """Return a restricted Boltzmann machine that can be the ground state of the model.

    Real and positive where no off-diagonal element is positive; with the Marshall sign for antiferromagnets on lattices
    of two sublattices; complex otherwise. Without biases, hence even, where the model does not change under the flip of
    all spins. With the translations of a periodic lattice where all sites are alike.

    Parameters
    ----------
    model : SpinHalf
        The Hamiltonian, with its lattice.
    recipe : Recipe
        Gives the number of hidden units.
    uniform : bool
        Whether all sites are measured in the same basis.
    rng : int
        Seeds the initial weights.

    Returns
    -------
    Ansatz
        Ready to be trained.
    """
    from qmlphys import nqs

    antiferromagnet = isinstance(model, Heisenberg | J1J2)
    lattice = model.lattice
    if lattice is None:
        raise ValueError("Argument `model` must live on a lattice, but it has none.")
    positive = _is_stoquastic(model) or isinstance(model, Heisenberg)
    bias = not _is_even(model)
    settings: dict[str, Any] = {
        "alpha": recipe.alpha,
        "dtype": "float64" if positive else "complex128",
        "visible_bias": bias,
        "hidden_bias": bias,
        "scale": 0.1,
        "rng": rng,
    }
    machine: nqs.Ansatz = (
        nqs.TranslationRBM(lattice, **settings)
        if lattice.periodic and uniform
        else nqs.RBM(lattice.n_sites, **settings)
    )
    return nqs.Marshall(machine, lattice) if antiferromagnet else machine


def sampler_of(model: SpinHalf, *, n_chains: int, n_sweeps: int = 1, n_warmup: int = 20) -> nqs.Metropolis:
    """Return the Metropolis sampler whose moves keep what the model keeps.

    Parameters
    ----------
    model : SpinHalf
        The Hamiltonian.
    n_chains : int
        Independent chains.
    n_sweeps : int
        Sweeps between draws.
    n_warmup : int
        Sweeps before the first.

    Returns
    -------
    Metropolis
        Exchanges where the magnetisation is conserved, pairs where only the product of all spins is, else flips.
    """
    from qmlphys import nqs

    settings: dict[str, Any] = {"n_sweeps": n_sweeps, "n_warmup": n_warmup}
    if model.conserves_magnetization:
        return nqs.Metropolis(n_chains, moves="exchange", **settings)
    if _keeps_parity(model):
        return nqs.Metropolis(n_chains, moves="pair", **settings)
    return nqs.Metropolis(n_chains, moves="flip", flip_all=_is_even(model), **settings)


@lru_cache(maxsize=8)  # states of one scan share the group, and with it the table of its orbits
def _symmetry(lattice: lattices.Lattice, even: bool) -> nqs.SymmetryGroup:
    """Return the translations of a lattice, with the flip of all spins for models that are even."""
    from qmlphys import nqs

    symmetry = nqs.SymmetryGroup.translations(lattice)
    return symmetry * nqs.SymmetryGroup.spin_flip(lattice.n_sites) if even else symmetry


def state_of(
    model: SpinHalf, ansatz: nqs.Ansatz, recipe: Recipe, *, uniform: bool = True, rng: int = 0
) -> nqs.MonteCarloState | nqs.FullSumState:
    """Return the state that suits the size: summed over the symmetry's orbits on small lattices, else sampled.

    Parameters
    ----------
    model : SpinHalf
        The Hamiltonian, with its lattice.
    ansatz : Ansatz
        Of `ansatz_of`.
    recipe : Recipe
        Gives samples and chains.
    uniform : bool
        Whether all sites are measured in the same basis.
    rng : int
        Seeds the samples.

    Returns
    -------
    MonteCarloState or FullSumState
        The latter for positive ground states on periodic lattices of at most 16 sites.
    """
    from qmlphys import nqs

    lattice = model.lattice
    positive = _is_stoquastic(model) and not model.conserves_magnetization
    if positive and uniform and lattice is not None and lattice.periodic and lattice.n_sites <= _MAX_SUMMED_SITES:
        symmetry = _symmetry(lattice, _is_even(model))
        # Pairs of flips from all spins up: the sector of the ground state.
        parity = 1 if _keeps_parity(model) else None
        return nqs.FullSumState(ansatz, parity=parity, symmetry=symmetry, rng=rng)
    sampler = sampler_of(model, n_chains=recipe.n_chains)
    return nqs.MonteCarloState(ansatz, sampler, n_samples=recipe.n_samples, rng=rng)


def driver_of(
    model: SpinHalf, state: nqs.State, recipe: Recipe, *, n_steps: int, collective: nqs.CollectiveModes | None = None
) -> nqs.VMC:
    """Return the optimiser of a state.

    The diagonal shift begins at 0.01 and falls to the recipe's on the first third of the way: far from the ground state
    a step must not follow directions that hardly any sample knows. The step size falls to a fifth along a cosine, which
    takes the noise of the samples out of the parameters.

    Parameters
    ----------
    model : SpinHalf
        The Hamiltonian.
    state : State
        What is trained.
    recipe : Recipe
        Step size, shift and momentum.
    n_steps : int
        Steps that it will take.
    collective : CollectiveModes, optional
        Slow modes that it relaxes faster.

    Returns
    -------
    VMC
        Ready to run.
    """
    from qmlphys import nqs

    shift: float | nqs.Schedule = recipe.diagonal_shift
    if 0 < recipe.diagonal_shift < _FIRST_SHIFT:
        shift = nqs.ExponentialDecay(_FIRST_SHIFT, recipe.diagonal_shift, n_steps=max(1, n_steps // 3))
    # Near zero weights the energy is a saddle, and an unlimited step from there lands anywhere.
    gradient = nqs.NaturalGradient(diagonal_shift=shift, momentum=recipe.momentum, clip=2.0)
    size = nqs.CosineDecay(recipe.step_size, recipe.step_size / 5, n_steps=n_steps)
    return nqs.VMC(model, state, natural_gradient=gradient, step_size=size, collective=collective)


def known_energy(name: str, lattice: lattices.Lattice, field: float) -> tuple[float, str] | None:
    """Return the exact ground-state energy and where it comes from, for comparison only.

    Parameters
    ----------
    name : str
        One of `MODELS`.
    lattice : Lattice
        Geometry.
    field : float
        The control parameter.

    Returns
    -------
    (float, str) or None
        Total energy; None where neither a closed form nor a small matrix is at hand.

    Examples
    --------
    >>> round(known_energy("tfim", lattices.chain(32), 1.0)[0], 7)
    -40.7600325
    """
    if name == "tfim" and lattice.name == "chain":
        return exact.tfim_chain_energy(lattice.n_sites, field=field, periodic=lattice.periodic), "free fermions"
    if name == "heisenberg" and lattice.name == "chain" and lattice.periodic and lattice.n_sites % 2 == 0:
        return exact.heisenberg_chain_energy(lattice.n_sites), "Bethe ansatz"
    if lattice.n_sites > _MAX_EXACT_SITES:
        return None
    return exact.ground_state(MODELS[name](lattice, field)).energy, "sparse diagonalisation"
