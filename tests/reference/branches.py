"""Plain state-vector simulator that follows every branch of every measurement: no sampling, no Qiskit arithmetic."""

from __future__ import annotations

import cmath
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

_R = math.sqrt(0.5)
_CX = np.array([[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0]])  # control: first qubit, the lower bit
_SWAP = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])

# Matrices with the gate's first qubit as the lowest bit.
MATRICES: dict[str, Callable[..., Any]] = {
    "h": lambda: [[_R, _R], [_R, -_R]],
    "x": lambda: [[0, 1], [1, 0]],
    "p": lambda angle: [[1, 0], [0, cmath.exp(1j * angle)]],
    "sx": lambda: [[0.5 + 0.5j, 0.5 - 0.5j], [0.5 - 0.5j, 0.5 + 0.5j]],
    "sxdg": lambda: [[0.5 - 0.5j, 0.5 + 0.5j], [0.5 + 0.5j, 0.5 - 0.5j]],
    "cx": lambda: _CX,
    "swap": lambda: _SWAP,
    "cp": lambda angle: np.diag([1, 1, 1, cmath.exp(1j * angle)]),
    "unitary": lambda matrix: matrix,
}


def apply(state: NDArray[np.complex128], matrix: Any, qubits: list[int]) -> NDArray[np.complex128]:
    """Return a state of n qubits after a matrix on some of them."""
    n = state.size.bit_length() - 1
    # Axis n - 1 - q of the tensor is qubit q; the matrix has its last qubit in its first axis.
    axes = [n - 1 - q for q in reversed(qubits)]
    size = len(qubits)
    gate = np.asarray(matrix, dtype=np.complex128).reshape((2,) * (2 * size))
    moved = np.tensordot(gate, state.reshape((2,) * n), axes=(list(range(size, 2 * size)), axes))
    return np.moveaxis(moved, range(size), axes).reshape(-1)


def run(circuit: QuantumCircuit, state: NDArray[np.complex128]) -> dict[tuple[int, ...], NDArray[np.complex128]]:
    """Return, for each value of the classical bits in order of declaration, what is left of the state, unnormalised."""
    branches = {
        (0,) * circuit.num_clbits: np.asarray(state, dtype=np.complex128) * cmath.exp(1j * circuit.global_phase)
    }
    return _follow(circuit.data, circuit, branches)


def _follow(
    instructions: Iterable[Any], circuit: QuantumCircuit, branches: dict[tuple[int, ...], NDArray[np.complex128]]
) -> dict[tuple[int, ...], NDArray[np.complex128]]:
    for instruction in instructions:
        name = instruction.operation.name
        qubits = [circuit.find_bit(qubit).index for qubit in instruction.qubits]
        if name == "measure":
            clbit = circuit.find_bit(instruction.clbits[0]).index
            found: dict[tuple[int, ...], NDArray[np.complex128]] = defaultdict(
                lambda: np.zeros(2**circuit.num_qubits, complex)
            )
            for bits, state in branches.items():
                for value in (0, 1):
                    projector = np.diag([1 - value, value])
                    written = (*bits[:clbit], value, *bits[clbit + 1 :])
                    found[written] = found[written] + apply(state, projector, qubits)
            branches = dict(found)
        elif name == "if_else":
            clbit, wanted = instruction.operation.condition
            index = circuit.find_bit(clbit).index
            body = instruction.operation.blocks[0]
            for bits in [b for b in branches if b[index] == wanted]:
                state = branches[bits] * cmath.exp(1j * body.global_phase)
                for inner in body.data:
                    places = [qubits[body.find_bit(qubit).index] for qubit in inner.qubits]
                    state = apply(state, MATRICES[inner.operation.name](*inner.operation.params), places)
                branches[bits] = state
        elif name != "barrier":
            matrix = MATRICES[name](*instruction.operation.params)
            branches = {bits: apply(state, matrix, qubits) for bits, state in branches.items()}
    return branches


def statevector(circuit: QuantumCircuit, state: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Return the state after a circuit without measurements."""
    (result,) = run(circuit, state).values()
    return result


def distribution(circuit: QuantumCircuit, state: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Return the probability of each integer in the classical bits, bit i of weight 2^i."""
    result = np.zeros(2**circuit.num_clbits)
    for bits, left in run(circuit, state).items():
        result[sum(bit << place for place, bit in enumerate(bits))] += float(np.vdot(left, left).real)
    return result
