"""Graph states of chains with a matrix on each qubit, as matrix product states of bond 2."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from circuits._multiplexers import Complex

__all__: list[str] = []

_HADAMARD = np.array([[1.0, 1.0], [1.0, -1.0]])


def paths(n_qubits: int, edges: Sequence[tuple[int, int]]) -> list[list[int]] | None:
    """Return the qubits of each connected piece in the order along its path; None if a piece is no path."""
    near: list[list[int]] = [[] for _ in range(n_qubits)]
    for first, second in edges:
        near[first].append(second)
        near[second].append(first)
    if max(map(len, near)) > 2:
        return None
    pieces: list[list[int]] = []
    seen: set[int] = set()
    for start in range(n_qubits):
        if start in seen or len(near[start]) == 2:
            continue
        path = [start]
        while following := [qubit for qubit in near[path[-1]] if qubit not in path[-2:]]:
            path.append(following[0])
        seen.update(path)
        pieces.append(path)
    # What no end leads to is a ring.
    return pieces if len(seen) == n_qubits else None


def chain_tensors(matrices: Complex) -> list[Complex]:
    """Return prod_i M_i |G> of a chain 0 - 1 - ... - (n - 1) as tensors (left, 2, right), not normalised.

    The bond behind a site carries its bit in the graph state; CZ of two neighbours is the sign between two such bits.
    """
    tensors = [np.einsum("lr,xr->lxr", _HADAMARD, matrix) for matrix in matrices]
    # Before the first site there is no sign, and the last one's bit is summed over.
    tensors[0] = tensors[0][:1]
    tensors[-1] = tensors[-1].sum(axis=2, keepdims=True)
    return tensors
