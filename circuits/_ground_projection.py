"""Phase estimation onto the ground space of parent Hamiltonians, one matrix after the other, failures undone.

What it does to the state is derived, and predicted, in `circuits._ground_spaces`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import ControlFlowOp

from circuits import _arguments
from circuits._filters import append_matrix, checked_visible
from circuits._graphs import Graph, graph_state
from circuits._ground_spaces import MAX_ATTEMPTS, Stage, planned, predicted
from circuits._multiplexers import flag_rotations, gray, parity_walk, walsh
from circuits._synthesis import up_to_diagonal
from circuits.evolution import controlled_evolution

__all__ = ["ground_state_projection"]

EVOLUTIONS = ("exponential", "diagonalised", "blocks")


def ground_state_projection(
    graph: Graph,
    matrices: ArrayLike,
    *,
    n_clock: int,
    max_attempts: int,
    visible: Sequence[int] | None = None,
    evolution: str = "exponential",
    measure: bool = True,
) -> QuantumCircuit:
    """Prepare the model by phase estimation onto the ground spaces of its parent Hamiltonians, failures undone.

    Each matrix is a unitary times a positive one. The positive ones are put in one at a time: |Q_t> is the only ground
    state of a sum of projectors H_t, onto which phase estimation projects |Q_{t-1}>. Where it fails, the failure is
    undone with H_{t-1} and tried again, by operations conditioned on one bit each. The unitaries stand at the end.
    **Only shots whose flags are all 0 belong to the model.**

    Parameters
    ----------
    graph : tuple of (int, sequence of pairs of int)
        Number of qubits, 1 to 5, and the edges.
    matrices : array_like of float or complex, shape (n_qubits, 2, 2)
        One invertible matrix a qubit; their scale does not matter. Their condition numbers close the gap of H_t.
    n_clock : int
        Clock qubits, 1 to 8. An excited state that the clock cannot tell from the ground state passes with the chance
        ``leaks`` of `projection_success`.
    max_attempts : int
        Attempts at each matrix, 1 to 64; with 1 nothing is undone.
    visible : sequence of int, optional
        The qubits that are measured, in the order of the data's columns; all of them by default.
    evolution : {"exponential", "diagonalised", "blocks"}
        How the powers of exp(-i H_t time) are made, all exactly: as matrix exponentials turned into CX; in the
        eigenbasis, which puts the answer in classically; or as opaque gates for simulators.
    measure : bool
        True: measure the visible qubits. False: leave the state in register `q`.

    Returns
    -------
    QuantumCircuit
        Registers `q` (n_qubits), `clock` (n_clock), `a` (1), classical `x` (bit k is the k-th visible qubit; only with
        `measure`) and `flag` (bit k belongs to the k-th matrix that is not unitary; 0 where it was put in).
        ``metadata``: "preparation" ("ground-state projection"), "success_probability", "fidelity",
        "ideal_success_probability" (`projection_success`), "two_qubit_gates" (with all attempts; None for "blocks"),
        "two_qubit_gates_first_attempts" (when none fails) and "demonstration" (whether the answer was put in).

    Raises
    ------
    TypeError, ValueError
        If the graph is none or has more than 5 qubits, a matrix is singular, a gap of the Hamiltonians is below 1e-4,
        or another argument is out of range.

    Notes
    -----
    A clock tells energies 0 and E apart by the phase E times the time of a tick. That time is chosen for the spectrum
    of each H_t, which up to 5 qubits is known: the one that lets the least of any excited state pass.

    An attempt takes one phase estimation, a retry four and two resets of the clock. With perfect projectors a first
    attempt succeeds with the overlap p = |<Q_t|Q_{t-1}>|^2, each retry with 2 p (1 - p).

    References
    ----------
    Gao, Zhang and Duan, Science Advances 4, eaat9004 (2018); Schwarz, Temme and Verstraete, Phys. Rev. Lett. 108,
    110502 (2012).

    Examples
    --------
    >>> matrices = [[[1.0, 0.0], [0.0, 0.5]], [[1.0, 0.2], [0.2, 1.0]]]
    >>> circuit = ground_state_projection((2, [(0, 1)]), matrices, n_clock=3, max_attempts=3)
    >>> round(circuit.metadata["success_probability"], 4), circuit.metadata["two_qubit_gates"]
    (0.9155, 526)
    """
    plan = planned(graph, matrices, n_clock)
    n_qubits, filtered = plan.n_qubits, plan.filtered
    _arguments.whole_number(max_attempts, "max_attempts", low=1, high=MAX_ATTEMPTS)
    _arguments.choice(evolution, "evolution", EVOLUTIONS)
    qubits = checked_visible(visible, n_qubits)
    success = predicted(plan, n_clock, max_attempts)

    system, clock, ancilla = QuantumRegister(n_qubits, "q"), QuantumRegister(n_clock, "clock"), QuantumRegister(1, "a")
    data, flag = ClassicalRegister(len(qubits), "x"), ClassicalRegister(len(filtered), "flag")
    circuit = QuantumCircuit(system, name="ground_state_projection")
    circuit.compose(graph_state((n_qubits, plan.edges)), system, inplace=True)
    if filtered:
        circuit.add_register(clock, ancilla)
    if measure:
        circuit.add_register(data)
    if filtered:
        circuit.add_register(flag)
        estimates = [_estimation(stage, n_clock, evolution) for stage in plan.stages]
        for k in range(len(filtered)):
            _attempt(circuit, estimates[k + 1])
            circuit.measure(ancilla[0], flag[k])
            if max_attempts == 1:
                continue
            retry = QuantumCircuit(system, clock, ancilla, flag)
            _undo(retry, estimates[k + 1], estimates[k])
            _attempt(retry, estimates[k + 1])
            retry.measure(ancilla[0], flag[k])
            for _ in range(max_attempts - 1):
                # One bit a condition, nothing nested: a shot that is through passes by all that follow.
                circuit.if_test((flag[k], 1), retry, [*system, *clock, *ancilla], [*flag])
    for qubit in qubits if measure else range(n_qubits):
        append_matrix(circuit, system[qubit], plan.unitaries[qubit])
    if measure:
        circuit.measure([system[qubit] for qubit in qubits], data)
    circuit.metadata = {
        "preparation": "ground-state projection",
        "success_probability": success.probability,
        "fidelity": success.fidelity,
        "ideal_success_probability": success.ideal_probability,
        "two_qubit_gates": _n_two_qubit_gates(circuit, nested=True) if evolution != "blocks" else None,
        "two_qubit_gates_first_attempts": _n_two_qubit_gates(circuit, nested=False) if evolution != "blocks" else None,
        "demonstration": evolution == "diagonalised",
    }
    return circuit


def _estimation(stage: Stage, n_clock: int, evolution: str) -> QuantumCircuit:
    """Make phase estimation of one Hamiltonian, over the system's qubits and then the clock's."""
    n_qubits = stage.energies.size.bit_length() - 1
    circuit = QuantumCircuit(n_qubits + n_clock)
    system, clock = circuit.qubits[:n_qubits], circuit.qubits[n_qubits:]
    circuit.h(clock)
    if evolution == "diagonalised":
        change, _ = up_to_diagonal(stage.vectors.conj().T)
        circuit.compose(change, system, inplace=True)
    for b, control in enumerate(clock):
        time = stage.time * 2.0**b
        if evolution == "diagonalised":
            angles = walsh(-time * stage.energies)
            parity_walk(circuit, control, system, [(m, float(angles[m])) for m in gray(n_qubits)], end=0)
        else:
            power = controlled_evolution(stage.hamiltonian, time, method=evolution, symmetric=True)
            circuit.compose(power, [*system, control], inplace=True)
    if evolution == "diagonalised":
        circuit.compose(change.inverse(), system, inplace=True)
    circuit.h(clock)
    return circuit


def _attempt(circuit: QuantumCircuit, estimate: QuantumCircuit) -> None:
    """Append phase estimation and turn the ancilla to 1 where the clock is not 0."""
    system, clock, ancilla = circuit.qregs
    circuit.compose(estimate, [*system, *clock], inplace=True)
    flag_rotations(circuit, ancilla[0], clock[:], np.append(0.0, np.ones(2**clock.size - 1)))


def _undo(circuit: QuantumCircuit, failed: QuantumCircuit, before: QuantumCircuit) -> None:
    """Append what follows a failure: phase estimation undone, the Hamiltonian before measured, the outcome forgotten.

    A reset of the ancilla is that measurement; whichever way it goes, the next step is the same.
    """
    system, clock, ancilla = circuit.qregs
    circuit.compose(failed.inverse(), [*system, *clock], inplace=True)
    circuit.reset([*clock, *ancilla])
    _attempt(circuit, before)
    circuit.reset(ancilla)
    circuit.compose(before.inverse(), [*system, *clock], inplace=True)
    circuit.reset(clock)


def _n_two_qubit_gates(circuit: QuantumCircuit, *, nested: bool) -> int:
    """Return the number of CX and CZ, in conditioned blocks too if asked."""
    total = 0
    for instruction in circuit.data:
        operation = instruction.operation
        if isinstance(operation, ControlFlowOp):
            total += sum(_n_two_qubit_gates(block, nested=True) for block in operation.blocks) if nested else 0
        else:
            total += operation.name in ("cx", "cz")
    return total
