"""Vectors prepared by their Schmidt decompositions: by halves, or site by site where every cut is thin."""

from __future__ import annotations

import numpy as np
from qiskit import QuantumCircuit

from circuits._multiplexers import Complex
from circuits._synthesis import exactly, up_to_diagonal

__all__: list[str] = []

# A Schmidt weight below this is rounding of a product state.
_NO_WEIGHT = 1e-15


def schmidt(values: Complex) -> QuantumCircuit:
    """Prepare a complex normalised vector by halves, global phase included.

    Examples
    --------
    >>> from qiskit.quantum_info import Statevector
    >>> values = np.array([1, 2j, 3, -4]) / np.sqrt(30)
    >>> bool(np.allclose(Statevector(schmidt(values)).data, values))
    True
    """
    n_qubits = values.size.bit_length() - 1
    if n_qubits == 1:
        # The second column is whatever makes it unitary; it is never used.
        return exactly(np.array([[values[0], -values[1].conj()], [values[1], values[0].conj()]]))
    n_low = n_qubits // 2
    n_high = n_qubits - n_low
    high, weights, low = np.linalg.svd(values.reshape(2**n_high, 2**n_low))
    rank = int(np.count_nonzero(weights > _NO_WEIGHT))
    circuit = QuantumCircuit(n_qubits)
    if rank == 1:
        circuit.compose(schmidt(low[0] * weights[0]), range(n_low), inplace=True)
        circuit.compose(schmidt(high[:, 0]), range(n_low, n_qubits), inplace=True)
        return circuit
    # |psi> = sum_i weights_i |i>_low |i>_high, then one unitary a half. Each is synthesised as circuit @ diag, and the
    # diagonals, which meet the same i, are phases of the Schmidt vector.
    inverse_low, diagonal_low = up_to_diagonal(low.conj())
    inverse_high, diagonal_high = up_to_diagonal(high.conj().T)
    n_bits = (rank - 1).bit_length()
    size = 2**n_bits
    padded = np.zeros(size, dtype=np.complex128)
    padded[:rank] = weights[:rank]
    circuit.compose(schmidt(padded * (diagonal_low[:size] * diagonal_high[:size]).conj()), range(n_bits), inplace=True)
    for bit in range(n_bits):
        circuit.cx(bit, n_low + bit)
    circuit.compose(inverse_low.inverse(), range(n_low), inplace=True)
    circuit.compose(inverse_high.inverse(), range(n_low, n_qubits), inplace=True)
    return circuit


def staircase(values: Complex) -> QuantumCircuit:
    """Prepare a vector whose halves are entangled by at most two Schmidt vectors, wherever it is cut: 2 n - 3 CX.

    A matrix product state of bond dimension 2, unravelled from qubit 0 on: one gate of two qubits rotates the two
    Schmidt vectors of qubits 0 and 1 to |0> of qubit 0, which is then done; the rest is a shorter vector of the kind.

    Examples
    --------
    >>> from qiskit.quantum_info import Statevector
    >>> values = np.array([1, 0, 0, 0, 0, 0, 0, 1]) / np.sqrt(2)
    >>> bool(np.allclose(Statevector(staircase(values)).data, values))
    True
    """
    n_qubits = values.size.bit_length() - 1
    circuit = QuantumCircuit(n_qubits)
    gates: list[QuantumCircuit] = []
    rest = values.astype(np.complex128)
    for _ in range(n_qubits - 2):
        # Rows: all qubits above these two. Columns: these two, the lower one with weight 1.
        above, weights, two = np.linalg.svd(rest.reshape(-1, 4))
        if weights[2:].max(initial=0.0) > 1e-12:
            raise ValueError(f"The vector needs more than two Schmidt vectors; the third has weight {weights[2]:.3g}.")
        # The gate maps |i> of the upper qubit, the lower one in |0>, to Schmidt vector i.
        gate = two.T[:, [0, 2, 1, 3]]
        inverse, diagonal = up_to_diagonal(gate.conj().T)
        gates.append(inverse.inverse())
        rest = (above[:, :2] * (weights[:2] * diagonal[[0, 2]].conj())).reshape(-1)
    circuit.compose(schmidt(rest), circuit.qubits[-min(n_qubits, 2) :], inplace=True)
    for low in range(n_qubits - 3, -1, -1):
        circuit.compose(gates[low], [low, low + 1], inplace=True)
    return circuit
