"""Invertible matrices on the qubits of a graph state: singular values, filters, the chance that all filters pass."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from qiskit import QuantumCircuit
from qiskit.circuit import Qubit

from circuits import _arguments
from circuits._multiplexers import Complex, Real
from circuits._synthesis import exactly

__all__: list[str] = []

MAX_CONDITION = 1e12
"""Beyond this a matrix is singular as far as float64 can tell."""

# A filter this close to letting everything pass is none: it would change amplitudes by rounding.
_NO_FILTER = 1e-14
# Numbers of the largest intermediate tensor: 4**11, which are 64 MiB.
_MAX_WIDTH = 10
# A vector of 2**20 amplitudes is smaller than that.
_MAX_DENSE = 20
_HADAMARD = np.array([[1.0, 1.0], [1.0, -1.0]])


def checked_matrices(matrices: ArrayLike, n_qubits: int) -> Complex:
    """Return one invertible matrix a qubit, each scaled to the largest singular value 1."""
    array = _arguments.numbers(matrices, "matrices")
    if array.shape != (n_qubits, 2, 2):
        raise ValueError(
            f"Argument `matrices` must have shape ({n_qubits}, 2, 2), one matrix a qubit, but its shape is "
            f"{array.shape}."
        )
    largest = np.abs(array).max(axis=(1, 2))
    if not np.all(largest):
        raise ValueError(f"Argument `matrices` must be invertible, but that of qubit {int(np.argmin(largest))} is 0.")
    # Scaled first: squares of tiny or huge entries leave the range of float64.
    scaled = array / largest[:, np.newaxis, np.newaxis]
    values = np.linalg.svd(scaled, compute_uv=False)
    worst = int(np.argmin(values[:, 1] / values[:, 0]))
    if values[worst, 0] > MAX_CONDITION * values[worst, 1]:
        number = values[worst, 0] / values[worst, 1] if values[worst, 1] else np.inf
        raise ValueError(
            f"Argument `matrices` must hold invertible matrices, but that of qubit {worst} has the condition number "
            f"{number:.3g}, above {MAX_CONDITION:.0e}: bound it when the model is trained."
        )
    return np.asarray(scaled / values[:, 0, np.newaxis, np.newaxis])


def checked_visible(visible: Sequence[int] | None, n_qubits: int) -> list[int]:
    """Return the qubits that are measured, all of them by default."""
    if visible is None:
        return list(range(n_qubits))
    array = np.asarray(visible)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iu":
        raise ValueError(f"Argument `visible` must be a sequence of one or more qubits, but it is {visible!r}.")
    qubits = [int(qubit) for qubit in array]
    if min(qubits) < 0 or max(qubits) >= n_qubits:
        raise ValueError(f"Argument `visible` must hold qubits from 0 to {n_qubits - 1}, but it holds {qubits}.")
    if len(set(qubits)) < len(qubits):
        raise ValueError(f"Argument `visible` must hold each qubit once, but it is {qubits}.")
    return qubits


def singular_parts(matrices: Complex) -> tuple[Complex, Real, Complex]:
    """Return U, s, V of M = U diag(1, s) V for each matrix; s is 1 exactly where there is nothing to filter."""
    left, values, right = np.linalg.svd(matrices)
    weak = values[:, 1] / values[:, 0]
    return left, np.where(weak > 1.0 - _NO_FILTER, 1.0, weak), right


def append_filter(circuit: QuantumCircuit, qubit: Qubit, ancilla: Qubit, weak: float) -> None:
    """Append diag(1, weak) on a qubit, done where the ancilla, |0> before, is found in |0>.

    The ancilla is to turn by 2 arccos(weak) where the qubit is 1. As it comes in |0>, one CZ does what a controlled
    rotation needs two for: RY(-a) Z RY(a)|0> = RY(-2a)|0>, while RY(-a) RY(a)|0> = |0>.
    """
    half = float(np.arctan2(np.sqrt((1.0 - weak) * (1.0 + weak)), weak))
    circuit.ry(half, ancilla)
    circuit.cz(qubit, ancilla)
    circuit.ry(-half, ancilla)


def append_matrix(circuit: QuantumCircuit, qubit: Qubit, unitary: Complex) -> None:
    """Append a unitary of one qubit, global phase included."""
    circuit.compose(exactly(unitary), [qubit], inplace=True)


def success_probability(n_qubits: int, edges: Sequence[tuple[int, int]], matrices: Complex) -> float | None:
    """Return <G|prod M_i^H M_i|G>, the chance that all filters pass; None where that is out of reach.

    A sum over pairs of bits (g_i, g'_i), one a qubit, of products of factors of one or two qubits: variables are summed
    out one by one, those with fewest neighbours first. All factors belong to a positive map, so that nothing cancels
    that was not small from the start. Graphs which are too wide for that are done as vectors up to 20 qubits.
    """
    order = _elimination_order(n_qubits, edges)
    if order is None:
        return dense_success_probability(n_qubits, edges, matrices) if n_qubits <= _MAX_DENSE else None
    local = np.einsum("nxg,nxh->ngh", matrices.conj(), matrices).reshape(n_qubits, 4) / 2.0
    joined = np.kron(_HADAMARD, _HADAMARD)
    factors: dict[int, tuple[tuple[int, ...], Complex]] = dict(enumerate(((i,), local[i]) for i in range(n_qubits)))
    factors.update((n_qubits + k, (edge, joined)) for k, edge in enumerate(edges))
    touching: list[set[int]] = [{i} for i in range(n_qubits)]
    for k, edge in enumerate(edges):
        for qubit in edge:
            touching[qubit].add(n_qubits + k)
    log_scale, total = 0.0, np.ones((), dtype=np.complex128)
    for key, qubit in enumerate(order, start=n_qubits + len(edges)):
        parts = [factors.pop(k) for k in sorted(touching[qubit])]
        labels = tuple(sorted({label for part, _ in parts for label in part}))
        spent = touching[qubit].copy()
        for label in labels:
            touching[label] -= spent
        product = np.ones((1,) * len(labels), dtype=np.complex128)
        for part, values in parts:
            product = product * _spread(values, part, labels)
        message = product.sum(axis=labels.index(qubit))
        largest = float(np.abs(message).max())
        log_scale += np.log(largest)
        rest = tuple(label for label in labels if label != qubit)
        if not rest:
            total = total * (message / largest)
            continue
        factors[key] = (rest, message / largest)
        for label in rest:
            touching[label].add(key)
    return min(1.0, float(total.real * np.exp(log_scale)))


def _spread(values: Complex, labels: tuple[int, ...], onto: tuple[int, ...]) -> Complex:
    """Return a tensor with its axes in the order of `onto`, of length 1 where it has no such label."""
    ordered = np.transpose(values, np.argsort(labels))
    return np.reshape(ordered, [4 if label in labels else 1 for label in onto])


def _elimination_order(n_qubits: int, edges: Sequence[tuple[int, int]]) -> list[int] | None:
    """Return the qubits by fewest neighbours at their turn, or None if more than `_MAX_WIDTH` are met."""
    near: list[set[int]] = [set() for _ in range(n_qubits)]
    for first, second in edges:
        near[first].add(second)
        near[second].add(first)
    heap = [(len(near[qubit]), qubit) for qubit in range(n_qubits)]
    heapq.heapify(heap)
    order: list[int] = []
    done = [False] * n_qubits
    while heap:
        degree, qubit = heapq.heappop(heap)
        if done[qubit] or degree != len(near[qubit]):
            continue
        if degree > _MAX_WIDTH:
            return None
        done[qubit] = True
        order.append(qubit)
        for other in near[qubit]:
            near[other] |= near[qubit]
            near[other] -= {qubit, other}
            heapq.heappush(heap, (len(near[other]), other))
    return order


def graph_vector(n_qubits: int, edges: Sequence[tuple[int, int]]) -> Complex:
    """Return the amplitudes of a graph state."""
    index = np.arange(2**n_qubits)
    odd = np.zeros(2**n_qubits, dtype=np.int64)
    for first, second in edges:
        odd ^= (index >> first) & (index >> second) & 1
    return np.asarray((1.0 - 2.0 * odd) * 2.0 ** (-n_qubits / 2), dtype=np.complex128)


def applied(vector: Complex, matrix: Complex, qubit: int) -> Complex:
    """Return the amplitudes with a matrix applied to one qubit."""
    parts = vector.reshape(-1, 2, 2**qubit)
    return np.einsum("xg,agb->axb", matrix, parts).reshape(-1)


def dense_success_probability(n_qubits: int, edges: Sequence[tuple[int, int]], matrices: Complex) -> float:
    """Return the squared norm of all matrices on the graph state's vector."""
    vector = graph_vector(n_qubits, edges)
    for qubit in range(n_qubits):
        vector = applied(vector, matrices[qubit], qubit)
    return min(1.0, float(np.vdot(vector, vector).real))
