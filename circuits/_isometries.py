"""Isometries from n qubits to n + 1, up to a unitary before them that a neighbour takes over."""

from __future__ import annotations

import numpy as np
from qiskit import QuantumCircuit
from scipy.linalg import null_space

from circuits._multiplexers import Complex, Real, demultiplex, gray, parity_walk, signs, walsh
from circuits._synthesis import exactly, up_to_diagonal

__all__: list[str] = []

# Entries of unitary matrices below this are rounding of tensors with a few hundred entries, or might as well be.
_NEAR = 1e-12


def peel(columns: Complex) -> tuple[QuantumCircuit, Complex]:
    """Write an isometry as a circuit behind a smaller one: columns = circuit @ (|0> of the last qubit, smaller).

    In the manner of the block decomposition of Krol and Al-Ars (arXiv:2403.13692, section III), for half of the columns
    and with the first factor left over: where U0 and U1 are the halves, with polar decompositions Uj = Wj Hj,
    E = H0 + i H1 is unitary, and

        U |0> = (A0 + A1) (H x 1) (1 + B) (H x 1) |0>,     A0 = W0 E^H,   A1 = i W1 E^H,   B = E^2

    where (P + Q) applies P or Q by the value of the last qubit. All these steps keep absolute errors at rounding, also
    where singular values of a half coincide or vanish.

    Parameters
    ----------
    columns : ndarray of complex128, shape (2**n, c), c <= 2**(n - 1), n >= 2
        Orthonormal columns.

    Returns
    -------
    tuple of (QuantumCircuit, ndarray of complex128)
        The circuit on n qubits - at most 2, 11, 51 CX for n = 2, 3, 4 - and the isometry of shape (2**(n - 1), c).
    """
    half = columns.shape[0] // 2
    n_lower = half.bit_length() - 1
    given = columns.shape[1]
    if columns.shape == (4, 2) and (simple := _one_cx(columns)) is not None:
        return simple
    if given < half:
        # Columns that never occur; any do.
        columns = np.hstack([columns, null_space(columns.conj().T)[:, : half - given]])
    factors = [_right_polar(part) for part in (columns[:half], columns[half:])]
    e_adjoint = (factors[0][1] + 1j * factors[1][1]).conj().T
    a0, a1 = factors[0][0] @ e_adjoint, 1j * factors[1][0] @ e_adjoint
    b = e_adjoint.conj().T @ e_adjoint.conj().T
    left, phases, right = demultiplex(a0, a1)
    # CX gates next to the Hadamard gate are CZ gates before it, which the multiplexer there takes in.
    inner = signs(gray(n_lower)[-1:], range(half)) * (right @ b)
    inner_left, inner_phases, inner_right = demultiplex(right, inner)
    circuit = QuantumCircuit(n_lower + 1)
    *lower, top = circuit.qubits
    circuit.h(top)
    # CX gates leave |+> alone, so the walk may start anywhere.
    _turn(circuit, inner_phases)
    middle, owed = up_to_diagonal(inner_left)
    circuit.compose(middle, lower, inplace=True)
    circuit.h(top)
    _turn(circuit, phases)
    circuit.compose(exactly(left * owed), lower, inplace=True)
    return circuit, inner_right[:, :given]


def _right_polar(matrix: Complex) -> tuple[Complex, Complex]:
    """Return W unitary and H positive with matrix = W H."""
    left, weights, right = np.linalg.svd(matrix)
    return left @ right, (right.conj().T * weights) @ right


def _turn(circuit: QuantumCircuit, phases: Real) -> None:
    """Append exp(i phases[x] Z) of the last qubit where the others hold x, behind a walk that was done elsewhere."""
    *lower, top = circuit.qubits
    coefficients = walsh(-2.0 * phases)
    path = gray(len(lower))[::-1]
    parity_walk(circuit, top, lower, [(mask, float(coefficients[mask])) for mask in path], start=path[0], end=0)


def _one_cx(columns: Complex) -> tuple[QuantumCircuit, Complex] | None:
    """Return a circuit of at most one CX for an isometry from one qubit into two, where there is one.

    There is one if a basis u_0, u_1 of qubit 0 splits it into products: columns = sum_j u_j b_j r_j^H. With the right
    phases b_0 and b_1 lie in one real plane of the last qubit, mirror images of each other, and CX is that mirror.
    """
    halves = columns.reshape(2, 2, 2)  # last qubit, qubit 0, column
    one, other = halves
    cross = one @ other.conj().T
    # These have common eigenvectors exactly where such a basis exists; with odd weights their sum has no others.
    hermitian = 0.7 * one @ one.conj().T - 0.4 * other @ other.conj().T
    hermitian = hermitian + (1.0 + 0.8j) * cross + (1.0 - 0.8j) * cross.conj().T
    basis = np.linalg.eigh(hermitian)[1]
    decomposed = [np.linalg.svd(block) for block in np.einsum("sj,fsc->jfc", basis.conj(), halves)]
    if max(float(weights[1]) for _, weights, _ in decomposed) > _NEAR:
        return None
    b0, b1 = (u[:, 0] * weights[0] for u, weights, _ in decomposed)
    before = np.stack([v[0] for _, _, v in decomposed])
    phase = np.exp(1j * np.angle(np.vdot(b0, b1)))
    b1, before[1] = b1 / phase, before[1] * phase
    cosine, sine = np.linalg.norm(b0 + b1) / 2.0, np.linalg.norm(b0 - b1) / 2.0
    plus = (b0 + b1) / (2.0 * cosine)
    # Orthogonal to plus; its phase is that of b0 - b1, if there is a difference.
    minus = np.array([-plus[1].conj(), plus[0].conj()])
    minus = minus * np.exp(1j * np.angle(np.vdot(minus, b0 - b1)))
    circuit = QuantumCircuit(2)
    if sine > _NEAR:
        if cosine - sine > _NEAR:
            circuit.ry(2.0 * float(np.arctan2(cosine - sine, cosine + sine)), 1)
        circuit.cx(0, 1)
        mirror = np.stack([plus + minus, plus - minus], axis=1) / np.sqrt(2.0)
    else:
        mirror = np.stack([plus, minus], axis=1)
    circuit.compose(exactly(mirror), [1], inplace=True)
    circuit.compose(exactly(basis), [0], inplace=True)
    return circuit, before
