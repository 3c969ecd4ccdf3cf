"""Time evolution exp(-i H t) as a circuit, alone or controlled by a qubit.

Site i is qubit i and has the weight 2**i in rows and columns of H. Energies times t are in radians: hbar = 1.
Phase estimation of a linear system, `circuits.linear_systems.hhl`, is written with U = exp(+i A t) and passes -t here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from qiskit import QuantumCircuit, QuantumRegister
from qiskit.circuit import Qubit
from qiskit.circuit.library import UnitaryGate
from scipy.linalg import block_diag, expm

from circuits import _arguments
from circuits._multiplexers import Complex, demultiplex, gray, parity_walk, walsh
from circuits._product_formulas import METHODS, bounded_terms, trotter, trotter_options
from circuits._synthesis import exactly, up_to_diagonal

__all__ = ["controlled_evolution", "evolution"]


def evolution(
    matrix: ArrayLike, time: float, *, method: str = "exponential", order: int = 2, n_steps: int = 1
) -> QuantumCircuit:
    """Evolve a state by exp(-i H t).

    Parameters
    ----------
    matrix : array_like of float or complex, shape (2**s, 2**s), s = 1 to 7
        The Hermitian matrix H.
    time : float
        t, of either sign, in units of 1 / energy.
    method : {"exponential", "diagonalised", "trotter", "blocks"}
        "exponential": the matrix exponential, synthesised as a unitary (0, 3, 19, 95 CX for s = 1 to 4).
        "diagonalised": eigenvectors, phases, eigenvectors; it solves the eigenproblem classically, so it demonstrates
        rather than computes. "trotter": a product formula over the Pauli strings of H. "blocks": one opaque
        `UnitaryGate`, for simulators.
    order : {1, 2, 4, 6, 8}
        Order of the product formula (Suzuki, J. Math. Phys. 32, 400 (1991)): its error is O(t**(order + 1) /
        n_steps**order). Only "trotter" takes it.
    n_steps : int, 1 to 1000000
        Number of steps of the product formula. Only "trotter" takes it.

    Returns
    -------
    QuantumCircuit
        Register `system` of s qubits. ``metadata``: "evolution" (the method), "demonstration" (whether the answer was
        put in classically).

    Raises
    ------
    TypeError, ValueError
        If `matrix` is not a finite, non-zero Hermitian matrix of 2, 4 ... 128 rows, `time` is not finite, or an option
        is unknown or does not belong to the method.

    Examples
    --------
    >>> import numpy as np
    >>> from qiskit.quantum_info import Operator
    >>> circuit = evolution([[0.0, 1.0], [1.0, 0.0]], np.pi / 2)
    >>> bool(np.allclose(Operator(circuit).data, [[0.0, -1j], [-1j, 0.0]]))
    True
    """
    hamiltonian, time = _checked(matrix, time, method=method, order=order, n_steps=n_steps)
    n_qubits = hamiltonian.shape[0].bit_length() - 1
    circuit = QuantumCircuit(QuantumRegister(n_qubits, "system"))
    if method == "trotter":
        terms = bounded_terms(hamiltonian, order=order, n_steps=n_steps)
        trotter(circuit, terms, time, order=order, n_steps=n_steps)
    elif method == "diagonalised":
        energies, vectors = np.linalg.eigh(hamiltonian)
        # V^H = diag @ inner, and the diagonal commutes with the phases between V and V^H.
        inner, _ = up_to_diagonal(vectors.conj().T)
        circuit.compose(inner, inplace=True)
        _phases(circuit, -time * energies)
        circuit.compose(inner.inverse(), inplace=True)
    else:
        unitary = expm(-1j * time * hamiltonian)
        if method == "blocks":
            circuit.append(UnitaryGate(unitary, label="evolution"), circuit.qubits)
        else:
            circuit.compose(exactly(unitary), inplace=True)
    return _labelled(circuit, "evolution", method)


def controlled_evolution(
    matrix: ArrayLike,
    time: float,
    *,
    method: str = "exponential",
    symmetric: bool = False,
    order: int = 2,
    n_steps: int = 1,
) -> QuantumCircuit:
    """Evolve a state by exp(-i H t) where a control qubit is 1: the controlled power of phase estimation.

    Parameters
    ----------
    matrix : array_like of float or complex, shape (2**s, 2**s), s = 1 to 7
        The Hermitian matrix H.
    time : float
        t, of either sign, in units of 1 / energy. A power k of exp(-i H t) is the time k t.
    method : {"exponential", "diagonalised", "trotter", "blocks"}
        As in `evolution`. "exponential" synthesises the two-block matrix by demultiplexing (Shende, Bullock and
        Markov, quant-ph/0406176, theorem 12): 2, 9, 45, 205 CX for s = 1 to 4.
    symmetric : bool
        False: exp(-i H t) for control 1 and nothing for control 0. True: exp(-i H t / 2) for control 1 and its inverse
        for control 0, which phase estimation likes as well (its clock amplitudes gain one common phase) and which
        halves the gates of a product formula.
    order : {1, 2, 4, 6, 8}
        Order of the product formula. Only "trotter" takes it.
    n_steps : int, 1 to 1000000
        Number of steps of the product formula. Only "trotter" takes it.

    Returns
    -------
    QuantumCircuit
        Registers `system` (s qubits) and `control` (1). ``metadata`` as in `evolution`.

    Raises
    ------
    TypeError, ValueError
        As in `evolution`.

    Examples
    --------
    >>> import numpy as np
    >>> from qiskit.quantum_info import Operator
    >>> circuit = controlled_evolution([[0.0, 1.0], [1.0, 0.0]], np.pi / 2)
    >>> bool(np.allclose(Operator(circuit).data[2:, 2:], [[0.0, -1j], [-1j, 0.0]]))
    True
    """
    hamiltonian, time = _checked(matrix, time, method=method, order=order, n_steps=n_steps)
    n_qubits = hamiltonian.shape[0].bit_length() - 1
    system, control = QuantumRegister(n_qubits, "system"), QuantumRegister(1, "control")
    circuit = QuantumCircuit(system, control)
    if method == "trotter":
        # exp(-i H t (1 - Z_c) / 2), or without the 1 when symmetric: Pauli strings with one letter more.
        terms = bounded_terms(hamiltonian, order=order, n_steps=n_steps, n_times=1 if symmetric else 2)
        trotter(circuit, terms, time, order=order, n_steps=n_steps, control=control[0], symmetric=symmetric)
        return _labelled(circuit, "controlled_evolution", method)
    if method == "diagonalised":
        energies, vectors = np.linalg.eigh(hamiltonian)
        inner, _ = up_to_diagonal(vectors.conj().T)
        circuit.compose(inner, system, inplace=True)
        _walk(circuit, control[0], system[:], time * energies / 2.0)
        if not symmetric:
            _phases(circuit, -time * energies / 2.0)
        circuit.compose(inner.inverse(), system, inplace=True)
        return _labelled(circuit, "controlled_evolution", method)
    half = expm(-0.5j * time * hamiltonian)
    if symmetric:
        off, on = half.conj().T, half
    else:
        off, on = np.eye(hamiltonian.shape[0], dtype=np.complex128), half @ half
    if method == "blocks":
        circuit.append(UnitaryGate(block_diag(off, on), label="controlled_evolution"), circuit.qubits)
    else:
        left, phases, right = demultiplex(off, on)
        inner, diagonal = up_to_diagonal(right)
        circuit.compose(inner, system, inplace=True)
        _walk(circuit, control[0], system[:], phases)
        circuit.compose(exactly(left * diagonal), system, inplace=True)
    return _labelled(circuit, "controlled_evolution", method)


def _checked(matrix: ArrayLike, time: float, *, method: str, order: int, n_steps: int) -> tuple[Complex, float]:
    """Return H and t after checking all arguments."""
    _arguments.choice(method, "method", METHODS)
    trotter_options(method, order=order, n_steps=n_steps)
    return _arguments.hermitian(matrix), _arguments.real_number(time, "time")


def _labelled(circuit: QuantumCircuit, name: str, method: str) -> QuantumCircuit:
    """Name a circuit and say how it was made."""
    demonstration = method == "diagonalised"
    circuit.name = f"{name}_demonstration" if demonstration else name
    circuit.metadata = {"evolution": method, "demonstration": demonstration}
    return circuit


def _walk(circuit: QuantumCircuit, control: Qubit, system: list[Qubit], phases: np.ndarray) -> None:
    """Multiply by exp(i phases[x] Z) of the control, where the system holds x."""
    coefficients = walsh(-2.0 * phases)
    parity_walk(circuit, control, system, [(m, float(coefficients[m])) for m in gray(len(system))], end=0)


def _phases(circuit: QuantumCircuit, phases: np.ndarray) -> None:
    """Multiply by exp(i phases[x]), where the system holds x: 2**s - 2 CX."""
    rest = np.asarray(phases, dtype=np.float64)
    for target in range(rest.size.bit_length() - 1):
        pairs = rest.reshape(-1, 2)
        _walk(
            circuit,
            circuit.qubits[target],
            circuit.qubits[target + 1 : rest.size.bit_length() - 1 + target],
            (pairs[:, 0] - pairs[:, 1]) / 2.0,
        )
        rest = pairs.mean(axis=1)
    circuit.global_phase += float(rest[0])
