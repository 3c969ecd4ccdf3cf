"""Phase estimation of exp(+i A t) inside a linear system, in a form whose inverse undoes it.

The circuits here are only ever used as C^H R C with R diagonal in the clock's value, between a clock prepared in a
window and the projection onto that window. This frees them of gates, and nothing is approximated:

* The power 2**b of U = exp(i A t) is applied as U**(-2**b / 2) for clock bit 0 and U**(2**b / 2) for 1. All clock
  amplitudes gain one phase, and the power takes two unitaries of the system and one multiplexed RZ.
* The Fourier transform leaves its bits in reversed order. Its phases that depend on read bits only cancel against their
  inverses; so do CX gates from read bits onto a bit just before its Hadamard gate, which are CZ gates after it.
* A CX onto a clock bit in |+> does nothing, so a multiplexed RZ may begin at any parity.
* The diagonal that a synthesised unitary of the system leaves over commutes with the multiplexed RZ: the next unitary
  takes it. The last unitary before R would meet its inverse after R, and neither is there.
* The first unitary of the system meets |b>: its product with b is prepared.
"""

from __future__ import annotations

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit.library import UnitaryGate
from scipy.linalg import block_diag, expm

from circuits._multiplexers import NO_ANGLE, Complex, Real, demultiplex, gray, parity_walk, walsh
from circuits._product_formulas import bounded_terms, trotter
from circuits._synthesis import up_to_diagonal

__all__: list[str] = []


def exponential(
    circuit: QuantumCircuit, hamiltonian: Complex, time: float, *, uniform: bool
) -> tuple[QuantumCircuit, Complex]:
    """Append phase estimation made of matrix exponentials, but for the unitary of the system that comes first.

    Every power is synthesised on its own, by demultiplexing U**(-h) and U**h. This takes the Schur vectors of their
    product, which for powers of one U are eigenvectors of A as well; products of the unitaries of neighbouring powers
    would therefore collapse. They are not formed: the gates are as many as any other multiplexers would take.

    Parameters
    ----------
    circuit : QuantumCircuit
        Over the system's qubits, then the clock's; gates are appended.
    hamiltonian : ndarray of complex128, shape (2**s, 2**s)
        The matrix A.
    time : float
        The time of one tick: U = exp(i A time).
    uniform : bool
        Whether the clock starts in |+...+>.

    Returns
    -------
    tuple of (QuantumCircuit, ndarray of complex128)
        The unitary that comes first, as a circuit over the system and as a matrix.
    """
    n_system, n_clock = _sizes(circuit, hamiltonian)
    halves = _halves(hamiltonian, time, n_clock)
    first, matrix = QuantumCircuit(n_system), np.eye(hamiltonian.shape[0], dtype=np.complex128)
    owed = np.ones(hamiltonian.shape[0], dtype=np.complex128)
    for b in range(n_clock - 1, -1, -1):
        left, phases, right = demultiplex(halves[b].conj().T, halves[b])
        gates, diagonal = up_to_diagonal(right * owed)
        if b == n_clock - 1:
            first, matrix = gates, diagonal.conj()[:, np.newaxis] * right
        else:
            circuit.compose(gates, range(n_system), inplace=True)
        clock_bit(circuit, b, n_system, phases, uniform=uniform)
        if b > 0:
            gates, owed = up_to_diagonal(left * diagonal)
            circuit.compose(gates, range(n_system), inplace=True)
    return first, matrix


def diagonalised(
    circuit: QuantumCircuit, energies: Real, vectors: Complex, time: float, *, uniform: bool
) -> tuple[QuantumCircuit, Complex]:
    """Append phase estimation in the eigenbasis, and return the change to it, which comes first.

    Parameters
    ----------
    circuit, time, uniform
        As in `exponential`.
    energies : ndarray of float64, shape (2**s,)
        Eigenvalues.
    vectors : ndarray of complex128, shape (2**s, 2**s)
        Eigenvectors, one a column.

    Returns
    -------
    tuple of (QuantumCircuit, ndarray of complex128)
        The change of basis, with the phases of eigenvectors that cost least, as a circuit and as a matrix.
    """
    n_system, n_clock = _sizes(circuit, vectors)
    change = vectors.conj().T
    first, diagonal = up_to_diagonal(change)
    for b in range(n_clock - 1, -1, -1):
        clock_bit(circuit, b, n_system, -energies * time * 2.0 ** (b - 1), uniform=uniform)
    return first, diagonal.conj()[:, np.newaxis] * change


def product_formula(circuit: QuantumCircuit, hamiltonian: Complex, time: float, *, order: int, n_steps: int) -> None:
    """Append phase estimation whose power 2**b is 2**b * `n_steps` steps of a product formula."""
    n_system, n_clock = _sizes(circuit, hamiltonian)
    # 2**n_clock - 1 powers of one tick here, and as many when all is undone.
    terms = bounded_terms(hamiltonian, order=order, n_steps=n_steps, prefix="trotter_", n_times=2 ** (n_clock + 1) - 2)
    for b in range(n_clock - 1, -1, -1):
        power = 2**b
        control = circuit.qubits[n_system + b]
        trotter(circuit, terms, -time * power, order=order, n_steps=n_steps * power, control=control, symmetric=True)
        clock_bit(circuit, b, n_system, None, uniform=False)


def blocks(circuit: QuantumCircuit, hamiltonian: Complex, time: float) -> None:
    """Append phase estimation whose powers are opaque gates."""
    n_system, n_clock = _sizes(circuit, hamiltonian)
    halves = _halves(hamiltonian, time, n_clock)
    for b in range(n_clock - 1, -1, -1):
        where = [*range(n_system), n_system + b]
        circuit.append(UnitaryGate(block_diag(halves[b].conj().T, halves[b]), label=f"U^{2**b}"), where)
        clock_bit(circuit, b, n_system, None, uniform=False)


def clock_bit(circuit: QuantumCircuit, b: int, n_system: int, phases: Real | None, *, uniform: bool) -> None:
    """Append all that clock qubit b takes: exp(i phases[x] Z) for system x, the Fourier phases, the Hadamard gate.

    Qubits above b have been read: qubit n_clock - 1 - i holds bit i of the clock's value, which asks for the phase
    -2 pi 2**i 2**b / 2**n_clock where both are 1.
    """
    n_clock = circuit.num_qubits - n_system
    target = circuit.qubits[n_system + b]
    n_read = n_clock - 1 - b
    controls = [*circuit.qubits[:n_system], *(circuit.qubits[n_system + n_clock - 1 - i] for i in range(n_read))]
    # exp(i phi k c) = exp(i phi (1 - Z_k - Z_c + Z_k Z_c) / 4), of which 1 and Z_k cancel after R.
    fourier = [-2.0 * np.pi * 2.0 ** (i + b - n_clock) for i in range(n_read)]
    angles = {2 ** (n_system + i): -phase / 2.0 for i, phase in enumerate(fourier)}
    path = [0]
    if phases is not None:
        # Down to parity 0 from where a clock bit in |+> may begin, or once around.
        path = gray(n_system)[::-1] if uniform else gray(n_system)
        angles |= dict(enumerate(walsh(-2.0 * phases).tolist()))
    angles[0] = angles.get(0, 0.0) + float(np.sum(fourier)) / 2.0
    path = [mask for mask in [*path, *(2 ** (n_system + i) for i in range(n_read))] if abs(angles[mask]) > NO_ANGLE]
    stops = [(mask, angles[mask]) for mask in path]
    start = path[0] if uniform and path else 0
    # The CX that would lead back from the last read bit are CZ of read bits after the Hadamard gate.
    parity_walk(circuit, target, controls, stops, start=start, end=None if n_read else 0)
    circuit.h(target)


def _sizes(circuit: QuantumCircuit, matrix: Complex) -> tuple[int, int]:
    """Return the numbers of system and clock qubits."""
    n_system = matrix.shape[0].bit_length() - 1
    return n_system, circuit.num_qubits - n_system


def _halves(hamiltonian: Complex, time: float, n_clock: int) -> list[Complex]:
    """Return exp(i A time 2**b / 2) for b = 0, 1, ...: one matrix exponential, and its squares."""
    powers = [expm(0.5j * time * hamiltonian)]
    while len(powers) < n_clock:
        powers.append(powers[-1] @ powers[-1])
    return powers
