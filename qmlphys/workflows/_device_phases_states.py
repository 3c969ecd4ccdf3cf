"""Ground states of the Ising ring in a transverse field: as matrix product states, and as circuits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from qmlphys import lattices, mps, snapshots
from qmlphys.hamiltonians import TransverseIsing
from qmlphys.mps._tensors import compressed

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

__all__ = ["MODEL", "circuits_of", "ground_state", "mps_snapshots"]

MODEL = "TransverseIsing(coupling=1.0)"
"""The model of all snapshots here, without the field that is scanned."""

_ATTEMPTS = 4
_SYMMETRIC = 1 - 1e-9  # of the overlap with the flipped state, from which on nothing is done


def ground_state(size: int, field: float, *, max_bond: int = 32, seed: int = 1) -> mps.MatrixProductState:
    """Find the ground state of the ring -J sum ZZ - h sum X, even under the flip of all spins.

    Deep in the ordered phase the two lowest states differ by less energy than DMRG resolves, and it returns any
    combination of them. The ground state of a finite ring is the even one, so that part is taken.

    Parameters
    ----------
    size : int
        Sites, at least 3.
    field : float
        h in units of J, positive.
    max_bond : int
        Largest bond, at least 2; a ring needs the square of what an open chain needs.
    seed : int
        Of DMRG's first state.

    Returns
    -------
    MatrixProductState
        Of norm 1.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> state = ground_state(6, 0.1)
    >>> up, down = state.amplitudes([[1] * 6, [-1] * 6])
    >>> bool(abs(up - down) < 1e-6 and abs(up) > 0.69)
    True
    """
    model = TransverseIsing(lattices.chain(size), field=field)
    for attempt in range(_ATTEMPTS):
        state = mps.dmrg(model, max_bond=max_bond, rng=seed + attempt).state.normalized()
        flipped = tuple(tensor[:, ::-1] for tensor in state.tensors)
        overlap = _overlap(state.tensors, flipped)
        if overlap > _SYMMETRIC:
            return state
        if overlap > -0.5:  # else it is the odd state of the pair, which has no even part
            tensors, _ = compressed(_sum(state.tensors, flipped), max_bond)
            return mps.MatrixProductState(tensors).normalized()
    raise ValueError(
        f"Argument `field` must be larger on {size} sites: at {field:g} DMRG keeps finding the odd state of the two "
        "lowest ones."
    )


def _overlap(first: Sequence[NDArray[Any]], second: Sequence[NDArray[Any]]) -> float:
    """Return <first|second>, real for the real states here."""
    edge = np.ones((1, 1))
    for a, b in zip(first, second, strict=True):
        edge = np.einsum("ab,asc,bsd->cd", edge, a.conj(), b, optimize=True)
    return float(np.real(edge[0, 0]))


def _sum(first: Sequence[NDArray[Any]], second: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    """Return the sum of two states, its bonds as wide as both together."""
    found = []
    last = len(first) - 1
    for site, (a, b) in enumerate(zip(first, second, strict=True)):
        left = 0 if site == 0 else a.shape[0]
        right = 0 if site == last else a.shape[2]
        wide = np.zeros((left + b.shape[0], 2, right + b.shape[2]), dtype=a.dtype)
        wide[: a.shape[0], :, : a.shape[2]] += a
        wide[left:, :, right:] += b
        found.append(wide)
    return tuple(found)


def circuits_of(states: Sequence[mps.MatrixProductState], *, n_layers: int = 0) -> list[QuantumCircuit]:
    """Turn matrix product states into circuits that prepare them and measure every qubit in the basis Z.

    Parameters
    ----------
    states : sequence of MatrixProductState
        One a circuit.
    n_layers : int
        0 prepares them exactly, 1 to 8 by so many layers of two-qubit gates.

    Returns
    -------
    list of QuantumCircuit
        Site i is qubit i; `metadata` holds "fidelity" and "two_qubit_gates".

    Raises
    ------
    ValueError
        If `n_layers` is out of range, or a bond is too large for an exact circuit.

    Examples
    --------
    >>> exact, shallow = (circuits_of([ground_state(6, 1.0)], n_layers=n)[0] for n in (0, 1))
    >>> exact.metadata["two_qubit_gates"] > shallow.metadata["two_qubit_gates"], exact.num_clbits
    (True, 6)
    """
    from circuits import matrix_product_state, shallow_matrix_product_state

    found = []
    for state in states:
        if n_layers:
            circuit = shallow_matrix_product_state(state.tensors, n_layers=n_layers)
        else:
            circuit = matrix_product_state(state.tensors)
        circuit.measure_all()
        found.append(circuit)
    return found


def mps_snapshots(
    states: Sequence[mps.MatrixProductState], fields: Sequence[float], *, n_draws: int, seed: int = 1
) -> xr.Dataset:
    """Sample matrix product states without any circuit: what a device without errors would measure.

    Parameters
    ----------
    states : sequence of MatrixProductState
        One a field, on the same number of sites.
    fields : sequence of float
        Transverse fields.
    n_draws : int
        Independent snapshots of each.
    seed : int
        Where the randomness starts.

    Returns
    -------
    xarray.Dataset
        Snapshots with ``source="generative"``: independent draws, one chain.

    Examples
    --------
    >>> ds = mps_snapshots([ground_state(6, 0.1)], [0.1], n_draws=50)
    >>> ds.spins.shape, ds.attrs["lattice"]
    ((1, 1, 50, 6), 'chain(6)')
    """
    rng = np.random.default_rng(seed)
    rows = np.stack([state.sample(n_draws, rng) for state in states])[:, None]
    return snapshots.dataset(
        rows,
        list(fields),
        name="field",
        units="J",
        source="generative",
        model=MODEL,
        lattice=f"chain({rows.shape[-1]})",
        seed=seed,
    )
