"""Layers of two-qubit gates with free angles, for training; they may start as a matrix product state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.synthesis import TwoQubitWeylDecomposition

from circuits import _arguments
from circuits._multiplexers import Complex
from circuits._shallow import MAX_LAYERS, layers_for

__all__ = ["N_ANGLES", "layered_ansatz"]

N_ANGLES = 15
"""Angles of one gate of two qubits: as many as SU(4) has dimensions, and each of its elements is reached."""

MAX_ANSATZ_QUBITS = 1000


def layered_ansatz(
    n_qubits: int,
    *,
    n_layers: int,
    tensors: Sequence[ArrayLike] | None = None,
    n_start_layers: int | None = None,
    n_sweeps: int = 40,
    tolerance: float = 1e-2,
) -> tuple[QuantumCircuit, NDArray[np.float64]]:
    r"""Layers of general two-qubit gates with free angles, and angles to start from.

    Each layer is a staircase as in `shallow_matrix_product_state`: one gate on each pair of neighbours, the last pair
    first. A gate on qubits i and j = i + 1 is

        RZ RY RZ (i),  RZ RY RZ (j),  RXX RYY RZZ (i, j),  RZ RY RZ (i),  RZ RY RZ (j)

    in the order of action, with one angle each: 15, in this order the entries of the parameter vector. This is the
    Cartan form, so every gate of SU(4) is reached. All angles 0 are the identity.

    Parameters
    ----------
    n_qubits : int, 2 to 1000
        Number of qubits.
    n_layers : int, 1 to 8, keyword
        Number of layers.
    tensors : sequence of array_like, each of shape (left, 2, right), optional, keyword
        A matrix product state on `n_qubits` sites, as for `shallow_matrix_product_state`. The angles returned then
        prepare what that function prepares; without it they are zeros.
    n_start_layers : int, 1 to `n_layers`, optional, keyword
        Most layers spent on that state, by default all. The others act last and start as identities, as do layers that
        the state does not need.
    n_sweeps : int, 0 to 10,000, keyword
        As for `shallow_matrix_product_state`.
    tolerance : float, keyword
        As for `shallow_matrix_product_state`, in [0, 1).

    Returns
    -------
    tuple of (QuantumCircuit, ndarray of float64)
        The circuit over the ParameterVector "theta", with ``circuit.parameters`` in the order of the angles, and the
        angles in radians, shape (15 (n_qubits - 1) n_layers,), each in [-pi, pi].

    Raises
    ------
    TypeError
        If `tensors` does not hold arrays of numbers.
    ValueError
        If a number is out of range, or `tensors` is not a state on `n_qubits` sites.

    Notes
    -----
    A start from a matrix product state avoids the flat landscape that random angles meet: Rudolph, Miller, Motlagh,
    Chen, Acharya and Perdomo-Ortiz, Nat. Commun. 14, 8367 (2023). Cartan form: Zhang, Vala, Sastry and Whaley,
    Phys. Rev. A 67, 042313 (2003).

    Examples
    --------
    >>> circuit, start = layered_ansatz(4, n_layers=2)
    >>> start.size, circuit.num_parameters, circuit.parameters[10].name
    (90, 90, 'theta[10]')
    >>> plus = [[[[1.0], [1.0]]], [[[1.0], [1.0]]]]
    >>> circuit, start = layered_ansatz(2, n_layers=1, tensors=plus)
    >>> from qiskit.quantum_info import Statevector
    >>> Statevector(circuit.assign_parameters(start)).probabilities().round(12).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    n_qubits = _arguments.whole_number(n_qubits, "n_qubits", low=2, high=MAX_ANSATZ_QUBITS)
    n_layers = _arguments.whole_number(n_layers, "n_layers", low=1, high=MAX_LAYERS)
    if n_start_layers is None:
        n_start_layers = n_layers
    n_start_layers = _arguments.whole_number(n_start_layers, "n_start_layers", low=1, high=n_layers)
    start = np.zeros((n_layers, n_qubits - 1, N_ANGLES))
    if tensors is not None:
        layers, state = layers_for(tensors, n_layers=n_start_layers, n_sweeps=n_sweeps, tolerance=tolerance)
        if len(state) != n_qubits:
            raise ValueError(
                f"Argument `tensors` must hold one tensor for each of the {n_qubits} qubits, but it holds {len(state)}."
            )
        for depth, layer in enumerate(layers):
            # The pair that acts first stands first.
            start[depth] = [_angles(gate) for gate in reversed(layer)]
    theta = ParameterVector("theta", start.size)
    circuit = QuantumCircuit(n_qubits, name="layered_ansatz")
    angles = iter(theta)
    for _ in range(n_layers):
        for low in range(n_qubits - 2, -1, -1):
            pair = (low, low + 1)
            for qubit in pair:
                circuit.rz(next(angles), qubit)
                circuit.ry(next(angles), qubit)
                circuit.rz(next(angles), qubit)
            circuit.rxx(next(angles), *pair)
            circuit.ryy(next(angles), *pair)
            circuit.rzz(next(angles), *pair)
            for qubit in pair:
                circuit.rz(next(angles), qubit)
                circuit.ry(next(angles), qubit)
                circuit.rz(next(angles), qubit)
    return circuit, start.reshape(-1)


def _angles(gate: Complex) -> list[float]:
    """Return the 15 angles of a gate of two qubits, but for its global phase."""
    weyl = TwoQubitWeylDecomposition(gate, fidelity=None)
    # Qiskit calls the lower qubit r and the upper one l, and writes the middle as exp(i a XX + i b YY + i c ZZ).
    middle = [-2.0 * weyl.a, -2.0 * weyl.b, -2.0 * weyl.c]
    return [*_euler(weyl.K2r), *_euler(weyl.K2l), *middle, *_euler(weyl.K1r), *_euler(weyl.K1l)]


def _euler(unitary: Complex) -> list[float]:
    """Return (first, second, third) with unitary = RZ(third) RY(second) RZ(first), but for the global phase."""
    theta = 2.0 * float(np.arctan2(abs(unitary[1, 0]), abs(unitary[0, 0])))
    # The entries have the phases 0, first + pi; third, first + third. Small ones have none to speak of.
    if abs(unitary[0, 0]) >= abs(unitary[1, 0]):
        both = unitary[1, 1] * unitary[0, 0].conj()
        third = float(np.angle(unitary[1, 0] * unitary[0, 0].conj())) if unitary[1, 0] else 0.0
        first = float(np.angle(both)) - third
    else:
        third_on, first_on = float(np.angle(unitary[1, 0])), float(np.angle(-unitary[0, 1]))
        phase = float(np.angle(unitary[0, 0])) if unitary[0, 0] else 0.0
        first, third = first_on - phase, third_on - phase
    return [_wrapped(first), theta, _wrapped(third)]


def _wrapped(angle: float) -> float:
    """Return an angle in [-pi, pi]: a full turn is a global phase."""
    return float(np.arctan2(np.sin(angle), np.cos(angle)))
