"""Ground states by the density matrix renormalisation group, with quimb. Public through `qmlphys.mps`."""

from __future__ import annotations

import logging
import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qmlphys.hamiltonians import SpinHalf
from qmlphys.mps._operator import operator_tensors
from qmlphys.mps._state import MatrixProductState
from qmlphys.mps._tensors import compressed

__all__ = ["DMRGResult", "dmrg"]

FIRST_BOND = 8
# The inner eigensolver starts from the state of the sweep before, so that it need not be exact at once; at quimb's 1e-3
# the energy stalls at 1e-7.
LOCAL_TOLERANCE = 1e-8
LOCAL_VECTORS = 8
EXTRA_BOND = 16  # directions that each sweep may add to a bond
RESIDUAL_BOND = 512  # bond up to which the residual is formed before it is compressed

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class DMRGResult:
    """What `dmrg` found.

    Parameters
    ----------
    state : MatrixProductState
        Of norm 1.
    energy : float
        Its total energy, an upper bound of the ground state's.
    variance : float
        <(H - E)^2>: zero on an eigenstate; an eigenvalue lies within its square root of the energy.
    sweep_energies : ndarray of float64, shape (n_sweeps,)
        Energy at the end of each sweep.
    converged : bool
        Whether the last sweep changed the energy by less than `tol`.
    """

    state: MatrixProductState
    energy: float
    variance: float
    sweep_energies: NDArray[np.float64]
    converged: bool

    @property
    def n_sweeps(self) -> int:
        """Number of sweeps over the chain that were made."""
        return len(self.sweep_energies)


def dmrg(
    hamiltonian: SpinHalf,
    *,
    max_bond: int = 64,
    tol: float = 1e-8,
    cutoff: float = 1e-12,
    max_sweeps: int = 40,
    rng: np.random.Generator | int | None = None,
) -> DMRGResult:
    """Find the ground state as a matrix product state, by two-site sweeps.

    The sites are taken in the order of their numbers, whatever the lattice: a ring or a square is a chain with long
    bonds, and needs a larger `max_bond`. The bond starts at 8 and doubles with each sweep.

    Parameters
    ----------
    hamiltonian : SpinHalf
        Model of at least 3 sites.
    max_bond : int, keyword
        Largest bond dimension, at least 1.
    tol : float, keyword
        It stops when a sweep at the full bond changes the energy by less than this, > 0.
    cutoff : float, keyword
        Sum of squared singular values that a bond may leave out, from 0 to below 1.
    max_sweeps : int, keyword
        Most sweeps, at least 1; to have reached them is said in the result and in the log.
    rng : None, int or numpy.random.Generator, keyword
        Of the first state.

    Returns
    -------
    DMRGResult
        State, energy, variance.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range.

    Notes
    -----
    White, Phys. Rev. Lett. 69, 2863 (1992); Schollwoeck, Ann. Phys. 326, 96 (2011), section 6. Where two states are
    degenerate, as those of an ordered Ising chain nearly are, the result is some combination of them.

    Examples
    --------
    >>> from qmlphys import exact, hamiltonians, lattices
    >>> found = dmrg(hamiltonians.TransverseIsing(lattices.chain(12), field=1.0), max_bond=16, rng=1)
    >>> round(found.energy, 6), round(exact.tfim_chain_energy(12, field=1.0), 6), found.converged
    (-15.322595, -15.322595, True)
    """
    if not isinstance(hamiltonian, SpinHalf):
        raise TypeError(
            f"Argument `hamiltonian` must be a quantum model, such as Heisenberg, but it is {hamiltonian!r}."
        )
    if hamiltonian.n_sites < 3:
        raise ValueError(f"Argument `hamiltonian` must have at least 3 sites, but it has {hamiltonian.n_sites}.")
    for name, number in (("max_bond", max_bond), ("max_sweeps", max_sweeps)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ValueError(f"Argument `{name}` must be an integer of at least 1, but it is {number!r}.")
    if not (math.isfinite(tol) and tol > 0):
        raise ValueError(f"Argument `tol` must be positive and finite, but it is {tol!r}.")
    if not 0 <= cutoff < 1:
        raise ValueError(f"Argument `cutoff` must be from 0 to below 1, but it is {cutoff!r}.")
    logger.info("quimb does the sweeps; its first use on a machine compiles, which may take half a minute.")
    state, energies, converged = _sweeps(
        hamiltonian,
        max_bond=max_bond,
        tol=tol,
        cutoff=cutoff,
        max_sweeps=max_sweeps,
        generator=np.random.default_rng(rng),
    )
    if not converged:
        logger.warning(
            "DMRG of %s stopped after %d sweeps before its energy was steady within %g.",
            hamiltonian.label,
            max_sweeps,
            tol,
        )
    # Not quimb's number, which is that of the last local problem.
    energy = state.expectation(hamiltonian)
    return DMRGResult(state, energy, state.variance(hamiltonian), np.array(energies), converged)


def _sweeps(
    hamiltonian: SpinHalf,
    *,
    max_bond: int,
    tol: float,
    cutoff: float,
    max_sweeps: int,
    generator: np.random.Generator,
) -> tuple[MatrixProductState, list[float], bool]:
    """Run quimb's two-site DMRG; return the state, the energy of each sweep, and whether it is steady."""
    import quimb.tensor as qtn  # type: ignore[import-untyped]  # here, because it takes seconds

    n_sites, terms = hamiltonian.n_sites, hamiltonian.to_pauli()
    operator = operator_tensors(terms, n_sites)
    # quimb contracts the first physical axis with the ket, so the axes of <s|W|s'> change places.
    arrays = [factor.swapaxes(2, 3) for factor in operator]
    matrix_product = qtn.MatrixProductOperator([arrays[0][0], *arrays[1:-1], arrays[-1][:, 0]], shape="lrud")
    shapes = [(1, 2, 2), *[(2, 2, 2)] * (n_sites - 2), (2, 2, 1)]
    state = MatrixProductState(tuple(generator.standard_normal(shape).astype(operator[0].dtype) for shape in shapes))
    state = state.normalized()
    energies: list[float] = []
    converged = False
    with warnings.catch_warnings():
        # cotengra misses its optional optimisers, which a chain has no use for.
        warnings.filterwarnings("ignore", message="Couldn't find `optuna`", category=UserWarning)
        for sweep in range(max_sweeps):
            bond = min(max_bond, FIRST_BOND << sweep)
            start = _enriched(state, terms, energies[-1], bond) if energies else state.tensors
            p0 = qtn.MatrixProductState([start[0][0], *start[1:-1], start[-1][:, :, 0]], shape="lpr")
            solver = qtn.DMRG2(matrix_product, bond_dims=[bond], cutoffs=[cutoff], p0=p0)
            solver.opts["local_eig_tol"] = LOCAL_TOLERANCE
            solver.opts["local_eig_ncv"] = LOCAL_VECTORS
            solver.solve(tol=0.0, max_sweeps=1, sweep_sequence="RL"[sweep % 2])
            energies.append(float(np.real(solver.energy)))
            found = solver.state
            found.permute_arrays("lpr")
            first, *middle, last = (np.asarray(array) for array in found.arrays)
            state = MatrixProductState((first[None], *middle, last[:, :, None])).normalized()
            if bond == max_bond and sweep and abs(energies[-1] - energies[-2]) < tol:
                converged = True
                break
    return state, energies, converged


def _enriched(
    state: MatrixProductState, terms: list[tuple[str, float]], energy: float, bond: int
) -> tuple[NDArray[Any], ...]:
    """The same state up to 1e-8, its bonds widened by directions of the residual (H - E) psi, as far as `bond`.

    A two-site update sees the rest of the chain only through the states that its bonds carry. Where neighbours lie far
    apart, as the ends of a ring do, no update would find out that it pays to flip spins at both; the residual says so
    (subspace expansion: Hubig, McCulloch, Schollwoeck, Wolf, Phys. Rev. B 91, 155115 (2015)).
    """
    room = bond - state.max_bond
    if room < 1:
        return state.tensors
    shifted = dict(terms)
    identity = "I" * state.n_sites
    shifted[identity] = shifted.get(identity, 0.0) - energy
    operator = operator_tensors(list(shifted.items()), state.n_sites)
    widest = max(factor.shape[1] for factor in operator)
    base, _ = compressed(state.tensors, max(FIRST_BOND, RESIDUAL_BOND // widest))
    product = []
    for tensor, factor in zip(base, operator, strict=True):
        (left, _, right), (a, b) = tensor.shape, factor.shape[:2]
        product.append(np.einsum("abst,ltr->alsbr", factor, tensor).reshape(a * left, 2, b * right))
    residual, log_norm = compressed(tuple(product), min(room, EXTRA_BOND))
    if log_norm == -np.inf:  # an eigenstate to the last bit
        return state.tensors
    sums = []
    for site, (tensor, other) in enumerate(zip(state.tensors, residual, strict=True)):
        left = 0 if site == 0 else tensor.shape[0]
        right = 0 if site == state.n_sites - 1 else tensor.shape[2]
        wide = np.zeros((left + other.shape[0], 2, right + other.shape[2]), dtype=tensor.dtype)
        wide[left:, :, right:] = other if site else 1e-8 * other
        wide[: tensor.shape[0], :, : tensor.shape[2]] += tensor
        sums.append(wide)
    return tuple(sums)
