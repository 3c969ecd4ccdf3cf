"""Graphs as pairs `(n_qubits, edges)`, and the states that belong to them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from qiskit import QuantumCircuit

from circuits import _arguments

__all__ = ["checked_graph", "edge_colours", "graph_state"]

MAX_GRAPH_QUBITS = 10_000
"""The colours of a graph's edges are searched one edge after the other; this many qubits still take seconds."""

Graph = tuple[int, Sequence[Sequence[int]]]


def graph_state(graph: Graph) -> QuantumCircuit:
    """Prepare the graph state prod_{(i, j)} CZ_{ij} |+>^n from |0...0>.

    The CZ gates commute; they stand in the order of a colouring of the edges, all edges of a colour side by side. A
    bipartite graph (a chain, an even ring, a square lattice) of largest degree D takes a depth of D in CZ gates, which
    no order can beat; any other takes D or D + 1.

    Parameters
    ----------
    graph : tuple of (int, sequence of pairs of int)
        Number of qubits, 1 to 10,000, and the edges, each pair of qubits at most once, in either order. For a lattice:
        ``(lattice.n_sites, lattice.edges)``.

    Returns
    -------
    QuantumCircuit
        n qubits: H on each, one CZ an edge.

    Raises
    ------
    TypeError
        If `graph` is no such pair.
    ValueError
        If a qubit does not exist, an edge joins a qubit to itself, or an edge is given twice.

    Notes
    -----
    Hein, Eisert and Briegel, Phys. Rev. A 69, 062311 (2004). The stabilisers are K_i = X_i prod_{j next to i} Z_j.

    Examples
    --------
    >>> circuit = graph_state((4, [(0, 1), (1, 2), (2, 3), (3, 0)]))
    >>> dict(circuit.count_ops()), circuit.depth()
    ({'h': 4, 'cz': 4}, 3)
    """
    n_qubits, edges = checked_graph(graph)
    circuit = QuantumCircuit(n_qubits, name="graph_state")
    circuit.h(range(n_qubits))
    for colour in edge_colours(n_qubits, edges):
        for first, second in colour:
            circuit.cz(first, second)
    return circuit


def checked_graph(graph: Graph) -> tuple[int, list[tuple[int, int]]]:
    """Return the number of qubits and the edges, the smaller qubit of each first; order of edges is kept."""
    if not isinstance(graph, tuple | list) or len(graph) != 2:
        raise TypeError(f"Argument `graph` must be a pair (n_qubits, edges), but it is {type(graph).__name__}.")
    n_qubits = _arguments.whole_number(graph[0], "graph[0]", low=1, high=MAX_GRAPH_QUBITS)
    try:
        pairs = np.asarray([tuple(edge) for edge in graph[1]])
    except (TypeError, ValueError) as error:
        raise TypeError("Argument `graph` must hold edges as pairs of integers, but they are no such pairs.") from error
    if pairs.size == 0:
        return n_qubits, []
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise TypeError(
            "Argument `graph` must hold edges as pairs of integers, but they make an array of shape "
            f"{pairs.shape} and dtype {pairs.dtype}."
        )
    edges: list[tuple[int, int]] = []
    seen: set[tuple[int, int]] = set()
    for first, second in pairs.tolist():
        edge = (min(first, second), max(first, second))
        if not 0 <= edge[0] <= edge[1] < n_qubits:
            raise ValueError(
                f"Argument `graph` must join qubits 0 to {n_qubits - 1}, but it has the edge ({first}, {second})."
            )
        if first == second:
            raise ValueError(f"Argument `graph` must join different qubits, but it has the edge ({first}, {second}).")
        if edge in seen:
            raise ValueError(f"Argument `graph` must hold each edge once, but ({first}, {second}) is there twice.")
        seen.add(edge)
        edges.append(edge)
    return n_qubits, edges


def edge_colours(n_qubits: int, edges: Sequence[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Split edges into classes without common qubits: D of them on a bipartite graph of degree D, at most D + 1 else.

    Edge by edge. Where no colour is free at both ends, a colour `a` free at the first end is made free at the other by
    exchanging it with a colour `b` free there, along the path of these two colours (Konig's argument). Only in a graph
    with odd cycles can that path end at the first qubit; then one more colour and Vizing's argument, in the form of
    Misra and Gries (Inf. Process. Lett. 41, 131 (1992)), always find room.
    """
    # at[qubit][colour] is the neighbour that this colour leads to.
    at: list[dict[int, int]] = [{} for _ in range(n_qubits)]
    degree = int(np.bincount(np.asarray(edges, dtype=np.int64).reshape(-1), minlength=1).max())
    n_colours = degree
    for first, second in edges:
        if not _joined(at, first, second, n_colours):
            n_colours = degree + 1
            _rotated(at, first, second, n_colours)
    classes: list[list[tuple[int, int]]] = [[] for _ in range(n_colours)]
    for qubit, neighbours in enumerate(at):
        for colour, other in neighbours.items():
            if qubit < other:
                classes[colour].append((qubit, other))
    return [sorted(colour) for colour in classes if colour]


def _free(at: list[dict[int, int]], qubit: int, n_colours: int) -> list[int]:
    """Return the colours that no edge at a qubit has."""
    return [colour for colour in range(n_colours) if colour not in at[qubit]]


def _colour(at: list[dict[int, int]], first: int, second: int, colour: int) -> None:
    at[first][colour] = second
    at[second][colour] = first


def _path(at: list[dict[int, int]], start: int, colour: int, other: int) -> list[int]:
    """Return the qubits along edges of two colours in turn."""
    path = [start]
    while colour in at[path[-1]]:
        path.append(at[path[-1]][colour])
        colour, other = other, colour
    return path


def _exchange(at: list[dict[int, int]], path: list[int], colour: int, other: int) -> None:
    """Exchange two colours along a path that starts with the first of them."""
    pairs = list(itertools.pairwise(path))
    for step, (first, second) in enumerate(pairs):
        old = other if step % 2 else colour
        del at[first][old], at[second][old]
    for step, (first, second) in enumerate(pairs):
        _colour(at, first, second, colour if step % 2 else other)


def _joined(at: list[dict[int, int]], first: int, second: int, n_colours: int) -> bool:
    """Colour one more edge, if a colour is free at both ends or one exchange along a path makes one so."""
    free, beyond = _free(at, first, n_colours), _free(at, second, n_colours)
    common = [colour for colour in free if colour in beyond]
    if common:
        _colour(at, first, second, common[0])
        return True
    for a in free:
        for b in beyond:
            path = _path(at, second, a, b)
            if path[-1] != first:
                _exchange(at, path, a, b)
                _colour(at, first, second, a)
                return True
    return False


def _rotated(at: list[dict[int, int]], first: int, second: int, n_colours: int) -> None:
    """Colour one more edge with D + 1 colours at hand."""
    # A fan: the colour from `first` to each of its qubits is free at the qubit before.
    fan = [second]
    while True:
        following = [qubit for colour, qubit in at[first].items() if qubit not in fan and colour not in at[fan[-1]]]
        if not following:
            break
        fan.append(following[0])
    c, d = _free(at, first, n_colours)[0], _free(at, fan[-1], n_colours)[0]
    _exchange(at, _path(at, first, d, c), d, c)
    # Now d is free at `first`, and at some qubit up to which the fan is still one.
    last = next(place for place, qubit in enumerate(fan) if d not in at[qubit])
    colours = {qubit: colour for colour, qubit in at[first].items()}
    moved = [colours[qubit] for qubit in fan[1 : last + 1]]
    for qubit, colour in zip(fan[1 : last + 1], moved, strict=True):
        del at[first][colour], at[qubit][colour]
    for qubit, colour in zip(fan, [*moved, d], strict=False):
        _colour(at, first, qubit, colour)
