"""Circuits that prepare a given state from |0...0>: a vector of amplitudes, a graph state, a matrix product state.

Site i is qubit i and has the weight 2**i in the index of an amplitude.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from qiskit import QuantumCircuit

from circuits import _arguments
from circuits._ansatz import layered_ansatz
from circuits._graphs import graph_state
from circuits._matrix_products import matrix_product_state
from circuits._multiplexers import gray, parity_walk, walsh
from circuits._schmidt import schmidt, staircase
from circuits._shallow import shallow_matrix_product_state

__all__ = [
    "amplitudes",
    "graph_state",
    "layered_ansatz",
    "matrix_product_state",
    "schmidt",
    "shallow_matrix_product_state",
    "staircase",
]

_MAX_QUBITS = 14
"""Amplitudes are given one by one, and gates are as many: 2**14 of both is where it stops being useful."""


def amplitudes(vector: ArrayLike) -> QuantumCircuit:
    """Prepare a vector of amplitudes, scaled to norm 1, from |0...0>.

    A real vector takes RY and CZ gates only, multiplexed rotations from the last qubit to qubit 0 (Mottonen et al.,
    quant-ph/0407010, without the CZ that only change signs): at most 2**n - n - 1 CZ, that is 1, 4, 11, 26 for n = 2,
    3, 4, 5, and fewer where parities do not matter. A complex vector is split into halves by its Schmidt decomposition
    (Plesch and Brukner, arXiv:1003.5760), where the diagonals of all gates move into the Schmidt vector: at most 1, 3,
    7, 23 CX for n = 2, 3, 4, 5. The state comes out with the phase that was asked for (`global_phase` included).

    Parameters
    ----------
    vector : array_like of float or complex, shape (2**n,), n = 1 to 14
        Amplitudes; index 2**i belongs to qubit i. The norm is divided out.

    Returns
    -------
    QuantumCircuit
        n qubits.

    Raises
    ------
    TypeError
        If `vector` does not hold numbers.
    ValueError
        If it is zero, holds NaN or infinity, or its length is not 2, 4, 8 ... 16384.

    Examples
    --------
    >>> from qiskit.quantum_info import Statevector
    >>> circuit = amplitudes([3.0, 4.0j])
    >>> [complex(round(x.real, 12) + 0.0, round(x.imag, 12) + 0.0) for x in Statevector(circuit).data]
    [(0.6+0j), 0.8j]
    """
    values = _arguments.state(vector)
    n_qubits = values.size.bit_length() - 1
    if values.size != 2**n_qubits or not 1 <= n_qubits <= _MAX_QUBITS:
        raise ValueError(
            f"Argument `vector` must have 2, 4, 8 ... {2**_MAX_QUBITS} entries, but it has {values.size}: "
            "fill it up with zeros."
        )
    circuit = _real(values.real) if not np.any(values.imag) else schmidt(values)
    circuit.name = "amplitudes"
    return circuit


def _real(values: NDArray[np.float64]) -> QuantumCircuit:
    """Prepare a real normalised vector with RY and CZ."""
    n_qubits = values.size.bit_length() - 1
    circuit = QuantumCircuit(n_qubits)
    index = np.arange(values.size)
    signed = values
    # What the qubits above `target` hold: one real amplitude for each of their values.
    held = np.ones(1)
    for target in range(n_qubits - 1, 0, -1):
        parts = _folded(signed, target)
        controls = circuit.qubits[target + 1 :]
        last = parity_walk(circuit, circuit.qubits[target], controls, _stops(parts, held), axis="y")
        # The CZ gates that would lead back change only signs. They are diagonal, so they may be thought to stand at the
        # very end, and what they would do there is taken out of the amplitudes beforehand.
        owed = np.bitwise_count((index >> (target + 1)) & last) & (index >> target) & 1
        signed = np.where(owed == 1, -signed, signed)
        held = parts
    # The walk of qubit 0 owes nothing: it goes all the way to an end whose signs were taken out; the cheaper of two.
    trials = []
    for end in {0, 2 ** (n_qubits - 1) // 2}:
        owed = np.bitwise_count((index >> 1) & end) & index & 1
        trial = QuantumCircuit(n_qubits)
        stops = _stops(np.where(owed == 1, -signed, signed), held)
        parity_walk(trial, trial.qubits[0], trial.qubits[1:], stops, axis="y", end=end)
        trials.append(trial)
    return circuit.compose(min(trials, key=lambda trial: trial.count_ops().get("cz", 0)))


def _folded(values: NDArray[np.float64], n_below: int) -> NDArray[np.float64]:
    """Return the weight of each value of the upper qubits, with the sign that their first amplitude has."""
    for _ in range(n_below):
        pairs = values.reshape(-1, 2)
        first = np.where(pairs[:, 0] != 0.0, pairs[:, 0], pairs[:, 1])
        values = np.copysign(np.hypot(pairs[:, 0], pairs[:, 1]), first)
    return values


def _stops(parts: NDArray[np.float64], held: NDArray[np.float64]) -> list[tuple[int, float]]:
    """Return masks and angles of the multiplexed RY that splits each amplitude held into its two parts."""
    pairs = parts.reshape(-1, 2) * np.copysign(1.0, held)[:, np.newaxis]
    angles = 2.0 * np.arctan2(pairs[:, 1], pairs[:, 0])
    # Branches that never occur turn as one that does: then a state without entanglement takes no CZ.
    occurs = np.any(pairs != 0.0, axis=1)
    angles[~occurs] = angles[int(np.argmax(occurs))]
    coefficients = walsh(angles)
    return [(mask, float(coefficients[mask])) for mask in gray(held.size.bit_length() - 1)]
