"""The generative model of graph states as circuits: filters with post-selection, chains for certain, the paper's way.

The model of Gao, Zhang and Duan (Science Advances 4, eaat9004 (2018)) is the state

    |Q>  ~  (M_0 x M_1 x ... x M_{n-1}) |G>,     |G> = prod_edges CZ |+>^n,

with one invertible 2 x 2 matrix a qubit. Some qubits are visible: measured, they give the data x with the probability
q(x) = <Q|x><x|Q> / <Q|Q>. The others are hidden and their outcome does not matter.

Site i is qubit i and has the weight 2**i.
"""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import ArrayLike
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister

from circuits import _arguments
from circuits._filters import (
    append_filter,
    append_matrix,
    checked_matrices,
    checked_visible,
    singular_parts,
    success_probability,
)
from circuits._gen_chains import chain_tensors, paths
from circuits._graphs import Graph, checked_graph, graph_state
from circuits._ground_projection import ground_state_projection
from circuits._ground_spaces import ProjectionSuccess, projection_success
from circuits._matrix_products import matrix_product_state

__all__ = [
    "ProjectionSuccess",
    "chain_model",
    "generative_model",
    "graph_model",
    "ground_state_projection",
    "is_chain",
    "projection_success",
]

_ANCILLAS = ("one_each", "reused")


def graph_model(
    graph: Graph,
    matrices: ArrayLike,
    *,
    visible: Sequence[int] | None = None,
    ancillas: str = "one_each",
    measure: bool = True,
) -> QuantumCircuit:
    """Prepare the model on any graph: the graph state, then each matrix as unitary - filter - unitary.

    With M = U diag(1, s) V, V and U are gates, and the filter diag(1, s) turns an ancilla where the qubit is 1; it was
    applied if the ancilla is then found in |0>. **Only shots whose flags are all 0 belong to the model**: the chance of
    that falls exponentially with the number of matrices that are not unitary. Where the graph is a chain, `chain_model`
    prepares the same state without loss; `generative_model` chooses.

    Parameters
    ----------
    graph : tuple of (int, sequence of pairs of int)
        Number of qubits, 1 to 10,000, and the edges. For a lattice: ``(lattice.n_sites, lattice.edges)``.
    matrices : array_like of float or complex, shape (n_qubits, 2, 2)
        One invertible matrix a qubit: rows belong to the qubit measured, columns to the qubit of the graph state. Their
        scale does not matter; a unitary one takes no filter.
    visible : sequence of int, optional
        The qubits that are measured, in the order of the data's columns; all of them by default.
    ancillas : {"one_each", "reused"}
        An ancilla for each filter, or a single one that is measured and reset in between: fewer qubits, but a simulator
        then runs shot by shot.
    measure : bool
        True: measure the visible qubits; gates that only hidden qubits would see are left out. False: leave the
        whole state |Q> in register `q` (where all ancillas are found in |0>).

    Returns
    -------
    QuantumCircuit
        Registers `q` (n_qubits), `a` (ancillas, if there are filters), and classical `x` (bit k is the k-th visible
        qubit; only with `measure`) and `flag` (bit k belongs to the k-th matrix that is not unitary; without `measure`
        only if ancillas are reused). ``metadata``: "preparation" ("post-selected"), "success_probability" (the exact
        chance that all flags are 0; None for a graph which is too wide to be contracted and has more than 20 qubits)
        and "two_qubit_gates" (one an edge and one a filter).

    Raises
    ------
    TypeError, ValueError
        If the graph is none, a matrix is singular (condition number above 1e12), or an argument does not match it.

    Examples
    --------
    >>> circuit = graph_model((3, [(0, 1), (1, 2), (2, 0)]), [[[1, 0], [0, 0.5]]] * 3)
    >>> circuit.metadata["success_probability"], circuit.metadata["two_qubit_gates"]
    (0.244140625, 6)
    """
    n_qubits, edges = checked_graph(graph)
    normalised = checked_matrices(matrices, n_qubits)
    qubits = checked_visible(visible, n_qubits)
    _arguments.choice(ancillas, "ancillas", _ANCILLAS)
    left, weak, right = singular_parts(normalised)
    filtered = [qubit for qubit in range(n_qubits) if weak[qubit] < 1.0]
    place = {qubit: k for k, qubit in enumerate(filtered)}
    reused = ancillas == "reused"

    system = QuantumRegister(n_qubits, "q")
    circuit = QuantumCircuit(system, name="graph_model")
    ancilla = QuantumRegister(1 if reused else len(filtered), "a")
    data, flag = ClassicalRegister(len(qubits), "x"), ClassicalRegister(len(filtered), "flag")
    if filtered:
        circuit.add_register(ancilla)
    if measure:
        circuit.add_register(data)
    if filtered and (measure or reused):
        circuit.add_register(flag)

    circuit.compose(graph_state((n_qubits, edges)), system, inplace=True)
    seen = set(qubits) if measure else set(range(n_qubits))
    for qubit in range(n_qubits):
        if weak[qubit] == 1.0:
            if qubit in seen:
                append_matrix(circuit, system[qubit], left[qubit] @ right[qubit])
            continue
        k = place[qubit]
        append_matrix(circuit, system[qubit], right[qubit])
        where = ancilla[0 if reused else k]
        if reused and k:
            circuit.reset(where)
        append_filter(circuit, system[qubit], where, float(weak[qubit]))
        if reused:
            circuit.measure(where, flag[k])
        if qubit in seen:
            append_matrix(circuit, system[qubit], left[qubit])
    if measure:
        circuit.measure([system[qubit] for qubit in qubits], data)
        if filtered and not reused:
            circuit.measure(ancilla, flag)
    circuit.metadata = {
        "preparation": "post-selected",
        "success_probability": success_probability(n_qubits, edges, normalised),
        "two_qubit_gates": len(edges) + len(filtered),
    }
    return circuit


def is_chain(graph: Graph) -> bool:
    """Tell whether each connected piece of a graph is a path, whatever the numbers of its qubits.

    Parameters
    ----------
    graph : tuple of (int, sequence of pairs of int)
        Number of qubits and the edges.

    Returns
    -------
    bool
        True for open chains, several chains side by side, single qubits; False for rings and whatever branches.

    Raises
    ------
    TypeError, ValueError
        If the graph is none.

    Examples
    --------
    >>> is_chain((4, [(2, 0), (0, 3), (3, 1)])), is_chain((3, [(0, 1), (1, 2), (2, 0)]))
    (True, False)
    """
    return paths(*checked_graph(graph)) is not None


def chain_model(
    graph: Graph, matrices: ArrayLike, *, visible: Sequence[int] | None = None, measure: bool = True
) -> QuantumCircuit:
    """Prepare the model on a chain, without ancillas and without post-selection: every shot belongs to the model.

    On a chain |Q> is a matrix product state of bond 2, which gates of neighbours unfold from the middle to both ends
    (`state_preparation.matrix_product_state`): 2 n - 3 CX for n qubits, fewer where matrices are unitary, down to n - 1
    if all of them are.

    Parameters
    ----------
    graph : tuple of (int, sequence of pairs of int)
        Number of qubits and the edges; each connected piece must be a path (`is_chain`), with any numbering.
    matrices : array_like of float or complex, shape (n_qubits, 2, 2)
        One invertible matrix a qubit, as in `graph_model`.
    visible : sequence of int, optional
        The qubits that are measured, in the order of the data's columns; all of them by default.
    measure : bool
        Whether to measure the visible qubits.

    Returns
    -------
    QuantumCircuit
        Register `q` (n_qubits) and, with `measure`, classical `x` (bit k is the k-th visible qubit). ``metadata``:
        "preparation" ("deterministic"), "success_probability" (1) and "two_qubit_gates".

    Raises
    ------
    TypeError, ValueError
        If the graph is none or no chain, a matrix is singular, or an argument does not match the graph.

    Examples
    --------
    >>> circuit = chain_model((3, [(0, 1), (1, 2)]), [[[1, 0], [0.3, 0.5]]] * 3, measure=False)
    >>> circuit.num_qubits, circuit.metadata["two_qubit_gates"]
    (3, 3)
    """
    n_qubits, edges = checked_graph(graph)
    pieces = paths(n_qubits, edges)
    if pieces is None:
        raise ValueError(
            "Argument `graph` must be a chain (every connected piece a path), but it has a ring or a branch: use "
            "`graph_model`."
        )
    normalised = checked_matrices(matrices, n_qubits)
    qubits = checked_visible(visible, n_qubits)
    system = QuantumRegister(n_qubits, "q")
    circuit = QuantumCircuit(system, name="chain_model")
    n_gates = 0
    for piece in pieces:
        # A chain that nobody looks at is not prepared.
        if measure and not set(piece) & set(qubits):
            continue
        part = matrix_product_state(chain_tensors(normalised[piece]))
        circuit.compose(part, [system[qubit] for qubit in piece], inplace=True)
        n_gates += part.metadata["two_qubit_gates"]
    if measure:
        data = ClassicalRegister(len(qubits), "x")
        circuit.add_register(data)
        circuit.measure([system[qubit] for qubit in qubits], data)
    circuit.metadata = {"preparation": "deterministic", "success_probability": 1.0, "two_qubit_gates": n_gates}
    return circuit


def generative_model(
    graph: Graph,
    matrices: ArrayLike,
    *,
    visible: Sequence[int] | None = None,
    ancillas: str = "one_each",
    measure: bool = True,
) -> QuantumCircuit:
    """Prepare the model the cheapest way: a chain for certain (`chain_model`), another graph by post-selection.

    Parameters
    ----------
    graph, matrices, visible, ancillas, measure
        As in `graph_model`; `ancillas` matters only where there is post-selection.

    Returns
    -------
    QuantumCircuit
        As from `chain_model` or `graph_model`; ``metadata["preparation"]`` says which: "deterministic" (all shots
        count) or "post-selected" (those with all bits of `flag` 0).

    Raises
    ------
    TypeError, ValueError
        As in `graph_model`.

    Examples
    --------
    >>> generative_model((2, [(0, 1)]), [[[1, 0], [0.3, 0.5]]] * 2).metadata["preparation"]
    'deterministic'
    """
    _arguments.choice(ancillas, "ancillas", _ANCILLAS)
    if is_chain(graph):
        return chain_model(graph, matrices, visible=visible, measure=measure)
    return graph_model(graph, matrices, visible=visible, ancillas=ancillas, measure=measure)
