"""Unitary matrices into gates, exactly or up to a diagonal that a neighbour takes over.

Qiskit's own decompositions treat a gate of two qubits that is nearly a simpler one as that one, with errors up to 1e-5;
weak couplings would be lost. Here only the Weyl coordinates are taken from there, without that approximation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Qubit
from qiskit.circuit.library import CXGate
from qiskit.quantum_info import Operator
from qiskit.synthesis import TwoQubitBasisDecomposer, TwoQubitWeylDecomposition

from circuits._multiplexers import Complex, demultiplex, gray, parity_walk, walsh

__all__: list[str] = []

# Rounding of matrices with a few hundred entries; what is smaller than this is left out.
_NEAR = 1e-13
# The third Weyl coordinate has lost a digit to differences of phases; below this it is taken for 0.
_NO_THIRD = 1e-12
# Radians that show the slope of a Weyl coordinate, far above rounding and far below its curvature.
_STEP = 1e-6
_THREE_CX = TwoQubitBasisDecomposer(CXGate())
_X = np.array([[0.0, 1.0], [1.0, 0.0]], dtype=np.complex128)
_YY = np.fliplr(np.diag([-1.0, 1.0, 1.0, -1.0])).astype(np.complex128)
_ZZ = np.array([1.0, -1.0, -1.0, 1.0])


def up_to_diagonal(unitary: Complex) -> tuple[QuantumCircuit, Complex]:
    """Synthesise a unitary but for a diagonal that follows: unitary = diag(d) @ circuit, global phase included.

    One qubit: nothing is left over. Two qubits: 2 CX. Three: 18 CX, four: 94, n: one CX fewer than `exactly`, since the
    last gate of two qubits gives its diagonal away as all others do.

    Parameters
    ----------
    unitary : ndarray of complex128, shape (2**n, 2**n)
        A unitary matrix.

    Returns
    -------
    tuple of (QuantumCircuit, ndarray of complex128)
        The circuit over n qubits, and d of shape (2**n,).
    """
    circuit = QuantumCircuit(unitary.shape[0].bit_length() - 1)
    diagonal = _append(circuit, circuit.qubits, np.asarray(unitary, dtype=np.complex128), exact=False)
    return circuit, diagonal


def exactly(unitary: Complex) -> QuantumCircuit:
    """Synthesise a unitary, global phase included: 0, 3, 19, 95 ... CX for 1, 2, 3, 4 ... qubits."""
    circuit = QuantumCircuit(unitary.shape[0].bit_length() - 1)
    _append(circuit, circuit.qubits, np.asarray(unitary, dtype=np.complex128), exact=True)
    return circuit


def _append(circuit: QuantumCircuit, qubits: Sequence[Qubit], unitary: Complex, *, exact: bool) -> Complex:
    """Append a unitary; return the diagonal that is owed (ones when `exact`).

    The block-ZXZ decomposition of Krol and Al-Ars (arXiv:2403.13692, section III): with polar decompositions
    U00 = S0 W0 and U01 = S1 W1 and C^H = i W1^H W0,

        U = (A0 + A1) (H x 1) (1 + B) (H x 1) (1 + C),
        A0 = U00 + U01 C^H,   A1 = U10 + U11 C^H,   B = A0^H (U00 - U01 C^H)

    where (P + Q) applies P or Q by the value of the last qubit.
    """
    size = unitary.shape[0]
    if size == 2:
        _one_qubit(circuit, qubits[0], unitary)
        return np.ones(2, dtype=np.complex128)
    if size == 4:
        return _two_qubits(circuit, qubits, unitary, exact=exact)
    half = size // 2
    lower, top = qubits[:-1], qubits[-1]
    u00, u01, u10, u11 = unitary[:half, :half], unitary[:half, half:], unitary[half:, :half], unitary[half:, half:]
    owed = np.ones(half, dtype=np.complex128)
    if float(np.abs(u01).max()) < _NEAR:
        left, phases, right = demultiplex(u00, u11)
        owed = _append(circuit, lower, right, exact=False)
        _turn(circuit, top, lower, phases, start=0, end=0)
        return np.tile(_append(circuit, lower, left * owed, exact=exact), 2)
    c_adjoint = 1j * _polar(u01).conj().T @ _polar(u00)
    a0, a1 = u00 + u01 @ c_adjoint, u10 + u11 @ c_adjoint
    b = a0.conj().T @ (u00 - u01 @ c_adjoint)
    left_a, phases_a, right_a = demultiplex(a0, a1)
    left_c, phases_c, right_c = demultiplex(np.eye(half, dtype=np.complex128), c_adjoint.conj().T)
    owed = _append(circuit, lower, right_c, exact=False)
    # CX gates next to the Hadamard gates are CZ gates beyond them, which the multiplexer between takes in.
    before = _signs(_turn(circuit, top, lower, phases_c, start=0, end=None), half)
    path_back = gray(len(lower))[-1]
    after = _signs(path_back, half)
    left, phases, right = demultiplex(right_a @ left_c, after[:, np.newaxis] * (right_a @ b @ left_c) * before)
    circuit.h(top)
    owed = _append(circuit, lower, right * owed, exact=False)
    _turn(circuit, top, lower, phases, start=0, end=0)
    owed = _append(circuit, lower, left * owed, exact=False)
    circuit.h(top)
    _turn(circuit, top, lower, phases_a, start=path_back, end=0)
    return np.tile(_append(circuit, lower, left_a * owed, exact=exact), 2)


def _polar(matrix: Complex) -> Complex:
    """Return the unitary factor W of matrix = S W with S positive."""
    left, _, right = np.linalg.svd(matrix)
    return np.asarray(left @ right)


def _signs(mask: int, size: int) -> np.ndarray:
    """Return (-1)**popcount(mask & x) for x below `size`."""
    return 1.0 - 2.0 * (np.bitwise_count(np.arange(size) & mask) & 1)


def _turn(
    circuit: QuantumCircuit, top: Qubit, lower: Sequence[Qubit], phases: np.ndarray, *, start: int, end: int | None
) -> int:
    """Append exp(i phases[x] Z) of the top qubit where the others hold x; return the parity it stays at."""
    coefficients = walsh(-2.0 * phases)
    path = gray(len(lower))
    stops = [(mask, float(coefficients[mask])) for mask in (path if start == 0 else path[::-1])]
    return parity_walk(circuit, top, lower, stops, start=start, end=end)


def _one_qubit(circuit: QuantumCircuit, qubit: Qubit, unitary: Complex) -> None:
    """Append a unitary of one qubit, global phase included."""
    theta = 2.0 * np.arctan2(abs(unitary[1, 0]), abs(unitary[0, 0]))
    # U(theta, phi, lambda) has the phases 0, lambda + pi, phi, phi + lambda; small entries have none to speak of.
    if abs(unitary[0, 0]) >= abs(unitary[1, 0]):
        phase = np.angle(unitary[0, 0])
        total = np.angle(unitary[1, 1]) - phase
        phi = np.angle(unitary[1, 0]) - phase if unitary[1, 0] else 0.0
        lam = total - phi
    else:
        phi_on, lam_on = np.angle(unitary[1, 0]), np.angle(-unitary[0, 1])
        phase = np.angle(unitary[0, 0]) if unitary[0, 0] else 0.0
        phi, lam = phi_on - phase, lam_on - phase
    circuit.global_phase += float(phase)
    circuit.u(float(theta), float(phi), float(lam), qubit)


def _two_qubits(circuit: QuantumCircuit, qubits: Sequence[Qubit], unitary: Complex, *, exact: bool) -> Complex:
    """Append a unitary of two qubits by 2 CX up to the diagonal that is returned, or exactly by 3."""
    # Products of many factors are unitary to 1e-13 only, where Qiskit's Weyl decomposition gives up now and then.
    unitary = _polar(unitary)
    if exact:
        three = _THREE_CX(unitary)
        if float(np.abs(Operator(three).data - unitary).max()) < 10 * _NEAR:
            circuit.compose(three, list(qubits), inplace=True)
            return np.ones(4, dtype=np.complex128)
    phi, weyl = _turned_easy(unitary)
    turn = np.exp(1j * phi * _ZZ)
    circuit.global_phase += weyl.global_phase
    low, high = qubits
    if max(abs(weyl.a), abs(weyl.b), abs(weyl.c)) < _NEAR:
        _one_qubit(circuit, low, weyl.K1r @ weyl.K2r)
        _one_qubit(circuit, high, weyl.K1l @ weyl.K2l)
    else:
        # exp(i a XX + i b YY) is exp(i a XX + i b ZZ) between quarter turns about X, and CX turns XX into X of the
        # control and ZZ into Z of the target.
        quarter = _about_x(np.pi / 2.0)
        _one_qubit(circuit, low, quarter @ weyl.K2r)
        _one_qubit(circuit, high, quarter @ weyl.K2l)
        if abs(weyl.c) >= _NO_THIRD:
            # Next to rotations about a single axis phi may be known to fewer digits than the gates need.
            _turn_about_yy(circuit, low, high, weyl.c)
        circuit.cx(high, low)
        circuit.rx(-2.0 * weyl.a, high)
        circuit.rz(-2.0 * weyl.b, low)
        circuit.cx(high, low)
        _one_qubit(circuit, low, weyl.K1r @ quarter.conj().T)
        _one_qubit(circuit, high, weyl.K1l @ quarter.conj().T)
    if not exact:
        return turn.conj()
    # Nearly a simpler gate, which the decomposer took for that: one CX more, and exact.
    circuit.cx(low, high)
    circuit.rz(2.0 * phi, high)
    circuit.cx(low, high)
    return np.ones(4, dtype=np.complex128)


def _turned_easy(unitary: Complex) -> tuple[float, TwoQubitWeylDecomposition]:
    """Return phi such that exp(i phi ZZ) @ unitary takes 2 CX, and that product's Weyl decomposition.

    Two CX are enough for V in SU(4) when tr(V YY V^T YY) is real (Shende, Bullock and Markov, quant-ph/0308045). With
    V = exp(i phi ZZ) U this trace is cos(2 phi) a + i sin(2 phi) b, which names phi.
    """

    def at(angle: float) -> tuple[float, TwoQubitWeylDecomposition]:
        turned = np.exp(1j * angle * _ZZ)[:, np.newaxis] * unitary
        return angle, TwoQubitWeylDecomposition(turned, fidelity=None)

    special: Complex = unitary * np.linalg.det(unitary) ** -0.25
    gamma = special @ _YY @ special.T @ _YY
    phi = 0.5 * float(np.arctan2(-np.trace(gamma).imag, (np.diag(gamma) @ _ZZ).real))
    trials = [at(phi)]
    if (off := abs(trials[0][1].c)) >= _NEAR:
        # Both sums are small, and phi has lost digits. The third coordinate, of unknown sign, is linear nearby.
        for step in (off, _STEP):
            trials.append(at(phi + step))
            other = abs(trials[-1][1].c)
            trials += [at(phi + step * off / total) for total in (off + other, off - other) if total]
    return min(trials, key=lambda trial: abs(trial[1].c))


def _turn_about_yy(circuit: QuantumCircuit, low: Qubit, high: Qubit, angle: float) -> None:
    """Append exp(i angle YY), which is exp(i angle ZZ) seen between the quarter turns about X."""
    for qubit in (low, high):
        circuit.rx(np.pi / 2.0, qubit)
    circuit.cx(low, high)
    circuit.rz(-2.0 * angle, high)
    circuit.cx(low, high)
    for qubit in (low, high):
        circuit.rx(-np.pi / 2.0, qubit)


def _about_x(angle: float) -> Complex:
    """Return exp(-i angle X / 2)."""
    return np.cos(angle / 2.0) * np.eye(2) - 1j * np.sin(angle / 2.0) * _X
