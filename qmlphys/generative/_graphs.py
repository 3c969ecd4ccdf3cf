"""Graphs of qubits: what users may give, and the graph state as a vector."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qmlphys.generative._file import ModelFileError
from qmlphys.lattices import Lattice, from_label

__all__ = ["MAX_VECTOR_QUBITS", "Graph", "check_visible", "graph_from_json", "graph_to_json", "read_graph"]

MAX_VECTOR_QUBITS = 20
_MAX_QUBITS = 2**16


@dataclass(frozen=True)
class Graph:
    """A simple graph: `n_qubits` vertices and edges (i, j) with i < j, sorted."""

    n_qubits: int
    edges: tuple[tuple[int, int], ...]

    def neighbours(self) -> list[list[int]]:
        """Return the sorted neighbours of each vertex."""
        found: list[list[int]] = [[] for _ in range(self.n_qubits)]
        for i, j in self.edges:
            found[i].append(j)
            found[j].append(i)
        return [sorted(row) for row in found]

    def state(self, matrices: NDArray[np.complex128]) -> NDArray[np.complex128]:
        """Return the graph state prod CZ |+>^n with a matrix on each qubit, shape (2^n,), normalised."""
        n = self.n_qubits
        if n > MAX_VECTOR_QUBITS:
            raise ValueError(f"A vector needs at most {MAX_VECTOR_QUBITS} qubits, but the model has {n}.")
        numbers = np.arange(1 << n)
        parity = np.zeros(len(numbers), dtype=np.int64)
        for i, j in self.edges:
            parity ^= (numbers >> i) & (numbers >> j) & 1
        vector = (1.0 - 2.0 * parity).astype(np.complex128)
        for qubit, matrix in enumerate(matrices):
            vector = np.einsum("ab,xby->xay", matrix, vector.reshape(-1, 2, 1 << qubit)).reshape(-1)
        return vector / np.linalg.norm(vector)


def read_graph(graph: Any) -> Graph:
    """Check a lattice, or a pair (n_qubits, edges).

    Raises
    ------
    TypeError, ValueError
        If it is neither, an index is out of range, an edge is a loop or stands twice.
    """
    if isinstance(graph, Graph):
        return graph
    if isinstance(graph, Lattice):
        return Graph(_number_of_qubits(graph.n_sites), tuple(sorted((int(i), int(j)) for i, j in graph.edges)))
    if isinstance(graph, str) or not isinstance(graph, Sequence) or len(graph) != 2:
        raise TypeError(f"Argument `graph` must be a Lattice or a pair (n_qubits, edges), but it is {graph!r}.")
    n_qubits = _number_of_qubits(graph[0])
    if isinstance(graph[1], str) or not isinstance(graph[1], Iterable):
        raise TypeError(f"Argument `graph` must hold edges as pairs of qubits, but they are {graph[1]!r}.")
    edges: set[tuple[int, int]] = set()
    for edge in graph[1]:
        i, j = _edge(edge, n_qubits)
        if (i, j) in edges:
            raise ValueError(f"Argument `graph` must hold each edge once, but ({i}, {j}) stands twice.")
        edges.add((i, j))
    return Graph(n_qubits, tuple(sorted(edges)))


def _number_of_qubits(value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"Argument `graph` must begin with the number of qubits, but it is {value!r}.") from None
    if isinstance(value, bool) or not 1 <= number <= _MAX_QUBITS:
        raise ValueError(f"Argument `graph` must have 1 to {_MAX_QUBITS} qubits, but it has {value!r}.")
    return number


def _edge(edge: Any, n_qubits: int) -> tuple[int, int]:
    try:
        i, j = (operator.index(end) for end in edge)
    except (TypeError, ValueError):
        raise TypeError(f"Argument `graph` must hold edges as pairs of qubits, but one is {edge!r}.") from None
    if not (0 <= i < n_qubits and 0 <= j < n_qubits):
        raise ValueError(f"Argument `graph` must join qubits 0 to {n_qubits - 1}, but it holds the edge ({i}, {j}).")
    if i == j:
        raise ValueError(f"Argument `graph` must join different qubits, but it holds the loop ({i}, {j}).")
    return min(i, j), max(i, j)


def check_visible(visible: Any, n_qubits: int) -> tuple[int, ...]:
    """Return the visible qubits in the order of the columns; None is all of them.

    Raises
    ------
    TypeError, ValueError
        If there is none, one is out of range or stands twice.
    """
    if visible is None:
        return tuple(range(n_qubits))
    try:
        qubits = tuple(operator.index(qubit) for qubit in visible)
    except TypeError:
        raise TypeError(f"Argument `visible` must be a sequence of qubits, but it is {visible!r}.") from None
    if not qubits:
        raise ValueError("Argument `visible` must name at least one qubit, but it is empty.")
    bad = [qubit for qubit in qubits if not 0 <= qubit < n_qubits]
    if bad:
        raise ValueError(f"Argument `visible` must name qubits 0 to {n_qubits - 1}, but it holds {bad[0]}.")
    if len(set(qubits)) != len(qubits):
        twice = next(qubit for qubit in qubits if qubits.count(qubit) > 1)
        raise ValueError(f"Argument `visible` must name each qubit once, but {twice} stands twice.")
    return qubits


def graph_to_json(graph: Any) -> Any:
    """Write a graph argument as JSON knows it."""
    if isinstance(graph, Lattice):
        return graph.label
    found = read_graph(graph)
    return [found.n_qubits, [list(edge) for edge in found.edges]]


def graph_from_json(value: Any) -> Any:
    """Read back what `graph_to_json` wrote.

    Raises
    ------
    ModelFileError
        If it is no graph.
    """
    try:
        if isinstance(value, str):
            lattice = from_label(value)
            read_graph(lattice)
            return lattice
        graph = read_graph(value)
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"The file must hold a graph, but it does not: {error}") from None
    return graph.n_qubits, graph.edges
