"""Multiplexed rotations as walks from parity to parity, and multiplexers of unitaries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Qubit
from scipy.linalg import schur

__all__: list[str] = []

Complex = NDArray[np.complex128]
Real = NDArray[np.float64]

# An angle below this turns nothing that float64 can see.
NO_ANGLE = 1e-15
# A vector of signs adds to others when it stands out of their span by so much. Along any direction the squares of all
# 2**n of them sum to 2**n, so one always stands out by 1 or more.
_ADDS = 0.5


def gray(n_bits: int) -> list[int]:
    """Return all masks of `n_bits` bits, each one bit away from the one before, from 0 on."""
    return [i ^ (i >> 1) for i in range(2**n_bits)]


def signs(masks: Sequence[int], values: Sequence[int]) -> Real:
    """Return the matrix (-1)**popcount(mask & value), shape (n_values, n_masks)."""
    both = np.bitwise_and(np.asarray(values, dtype=np.int64)[:, np.newaxis], np.asarray(masks, dtype=np.int64))
    return 1.0 - 2.0 * (np.bitwise_count(both) & 1).astype(np.float64)


def walsh(angles: Real) -> Real:
    """Return a_m with angles[x] = sum_m a_m (-1)**popcount(m & x); fast transform, length a power of two."""
    result = np.array(angles, dtype=np.float64)
    width = 1
    while width < result.size:
        pairs = result.reshape(-1, 2, width)
        result = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1).reshape(-1)
        width *= 2
    return np.asarray(result / result.size)


def parity_walk(
    circuit: QuantumCircuit,
    target: Qubit,
    controls: Sequence[Qubit],
    stops: Iterable[tuple[int, float]],
    *,
    axis: str = "z",
    start: int = 0,
    end: int | None = None,
) -> int:
    """Turn `target` at stops, each one a parity of controls: the multiplexed rotation, gate by gate.

    About Z, CX gates lead from stop to stop, and `target` holds its own bit plus the parity of the stop's controls.
    About Y they are CZ gates, and the parity decides the sense of the turn.

    Parameters
    ----------
    circuit : QuantumCircuit
        Where gates are appended.
    target : Qubit
        The qubit that is turned.
    controls : sequence of Qubit
        Bit i of a mask stands for ``controls[i]``.
    stops : iterable of (int, float)
        Masks and angles in radians; a stop with no angle is passed by.
    axis : {"z", "y"}
        RZ and CX, or RY and CZ.
    start : int
        The mask to be taken as reached. Other than 0 it is right only for a target that the gates on the way there
        leave alone: |+> about Z, |0> about Y.
    end : int, optional
        The mask to go to after the last stop; None stays there, and the gates that would lead back to 0 are owed.

    Returns
    -------
    int
        The mask at the end.
    """
    step, turn = (circuit.cx, circuit.rz) if axis == "z" else (circuit.cz, circuit.ry)
    here = start
    for mask, angle in stops:
        if abs(angle) <= NO_ANGLE:
            continue
        for bit in _bits(here ^ mask):
            step(controls[bit], target)
        here = mask
        turn(float(angle), target)
    if end is not None:
        for bit in _bits(here ^ end):
            step(controls[bit], target)
        here = end
    return here


def _bits(mask: int) -> list[int]:
    """Return the positions of the bits that are set, lowest first."""
    return [bit for bit in range(mask.bit_length()) if mask >> bit & 1]


def flag_rotations(
    circuit: QuantumCircuit,
    flag: Qubit,
    controls: Sequence[Qubit],
    amplitudes: Real,
    *,
    values: Sequence[int] | None = None,
) -> None:
    """Turn `flag` from |0> so that its amplitude of |1> is ``amplitudes[k]`` where the controls hold k.

    A multiplexed RY of 2**n - 1 CZ: controlled Z gates before the first rotation do nothing to |0>, and one after the
    last would only change signs, which go into the angles instead. The branch with flag 0 keeps its magnitude but not
    its sign pattern, so the gate stands for a multiplexed RY only on a flag in |0>.

    Parameters
    ----------
    circuit, flag, controls
        Where gates are appended, and the qubits; bit i of k is ``controls[i]``.
    amplitudes : ndarray of float64, shape (2**n,) or, with `values`, (n_values,)
        Amplitudes in [-1, 1].
    values : sequence of int, optional
        The only values that the controls ever hold; then n_values rotations and, as a rule, one CZ fewer are enough.
    """
    n_controls = len(controls)
    path = gray(n_controls) if values is None else _short_path(values, n_controls)
    held = range(2**n_controls) if values is None else values
    # The walk ends where CZ gates are still owed; each owes a sign of |1>, known beforehand.
    half = 2.0 * np.arcsin(np.clip(signs(path[-1:], held)[:, 0] * amplitudes, -1.0, 1.0))
    # As a rule there are as many stops as values; where the way leads through more, the smallest angles do.
    angles = walsh(half)[path] if values is None else np.linalg.lstsq(signs(path, held), half, rcond=None)[0]
    parity_walk(circuit, flag, controls, zip(path, angles.tolist(), strict=True), axis="y", end=path[-1])


def _short_path(values: Sequence[int], n_bits: int) -> list[int]:
    """Return masks from 0 on, one bit apart, whose signs tell all `values` apart linearly: usually n_values of them."""
    found = np.zeros((0, len(values)))
    path: list[int] = []

    def remainder(mask: int) -> Real:
        column = signs([mask], values)[:, 0]
        return column - (found @ column) @ found

    def visit(mask: int) -> None:
        nonlocal found
        path.append(mask)
        rest = remainder(mask)
        if (length := float(np.linalg.norm(rest))) > _ADDS:
            found = np.vstack([found, rest / length])

    visit(0)
    while found.shape[0] < len(values):
        # The nearest mask that adds something; ties go to the smallest, so that the circuit is reproducible.
        near = sorted(range(2**n_bits), key=lambda mask: ((mask ^ path[-1]).bit_count(), mask))
        chosen = next(mask for mask in near if np.linalg.norm(remainder(mask)) > _ADDS)
        for bit in _bits(path[-1] ^ chosen):
            visit(path[-1] ^ 1 << bit)
    return path


def demultiplex(first: Complex, second: Complex) -> tuple[Complex, Real, Complex]:
    """Write two unitaries as first = L D R and second = L D^H R with one diagonal D = diag(exp(i phases)).

    L holds Schur vectors of ``first @ second^H`` (theorem 12 of Shende, Bullock and Markov, quant-ph/0406176); the
    Schur form of a unitary matrix is diagonal, also where eigenvalues coincide.

    Parameters
    ----------
    first, second : ndarray of complex128, shape (d, d)
        Unitary matrices.

    Returns
    -------
    tuple of (ndarray of complex128, ndarray of float64, ndarray of complex128)
        L of shape (d, d), phases of shape (d,) in radians, R of shape (d, d).
    """
    triangle, left = schur(first @ second.conj().T, output="complex")
    phases = np.angle(np.diag(triangle)) / 2.0
    right = np.exp(1j * phases)[:, np.newaxis] * (left.conj().T @ second)
    return left, phases, right
