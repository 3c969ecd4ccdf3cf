"""What a circuit costs, counted or estimated, and the form in which it is simulated fastest."""

from __future__ import annotations

from qiskit import QuantumCircuit, transpile
from qiskit.transpiler import PassManager
from qiskit.transpiler.passes import Collect2qBlocks, ConsolidateBlocks

from qmlphys.workflows._linear_system_plan import Plan

__all__ = ["counts_of", "estimated_counts", "fused"]

_BASIS = ["cx", "rz", "sx", "x"]


def fused(circuit: QuantumCircuit) -> QuantumCircuit:
    """Multiply neighbouring gates on the same two qubits: the same circuit, simulated in a third of the steps.

    Parameters
    ----------
    circuit : QuantumCircuit
        Without measurements.

    Returns
    -------
    QuantumCircuit
        The same unitary, global phase included.
    """
    return PassManager([Collect2qBlocks(), ConsolidateBlocks(force_consolidate=True)]).run(circuit)


def counts_of(circuits: list[QuantumCircuit]) -> tuple[int, int]:
    """Return two-qubit gates and depth in CX and single-qubit gates, of the largest circuit.

    Parameters
    ----------
    circuits : list of QuantumCircuit
        One or more.

    Returns
    -------
    n_two_qubit_gates, depth : int
        The largest of each; measurements do not count.
    """
    translated = [transpile(circuit, basis_gates=_BASIS, optimization_level=1) for circuit in circuits]
    return (
        max(circuit.num_nonlocal_gates() for circuit in translated),
        max(circuit.depth(lambda one: one.operation.name not in ("measure", "barrier")) for circuit in translated),
    )


def estimated_counts(plan: Plan) -> tuple[int, int]:
    """Estimate two-qubit gates and depth from what generic synthesis costs.

    A unitary on s qubits takes (23/48) 4^s - (3/2) 2^s + 4/3 CX, a controlled one two of these and 2^s CX between them
    (Shende, Bullock and Markov, IEEE Trans. CAD 25, 1000 (2006), theorems 12 and 13); it stands twice for each clock
    qubit. Flag rotations take 2^n_clock, the two Fourier transforms n (n - 1) each, the vector and the window 2^s and
    2^n_clock, each twice. About every second layer holds a CX, and hardly any two stand side by side.

    Parameters
    ----------
    plan : Plan
        What is to be built.

    Returns
    -------
    n_two_qubit_gates, depth : int
        Estimates.
    """
    n_system, n_clock = plan.system.n_system, plan.chosen.n_clock
    unitary = 23 / 48 * 4**n_system - 1.5 * 2**n_system + 4 / 3
    power = 2 * unitary + 2**n_system
    total = 2 * n_clock * power + 3 * 2**n_clock + 2 * n_clock * (n_clock - 1) + 2 * 2**n_system
    return round(total), round(2 * total)
