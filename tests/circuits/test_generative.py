"""The generative model's circuits against dense algebra: state, distribution, chance of success, gates."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit import QuantumCircuit, transpile
from qiskit.quantum_info import Statevector
from qiskit_aer import AerSimulator
from scipy.stats import chi2

from circuits import _filters
from circuits.generative import chain_model, generative_model, graph_model, is_chain

Complex = NDArray[np.complex128]
Graph = tuple[int, Sequence[tuple[int, int]]]
RING = (5, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)])
CHAIN = (5, [(3, 0), (0, 4), (4, 1), (1, 2)])
KITE = (5, [(0, 1), (1, 2), (2, 0), (2, 3), (3, 4)])


def unitaries(rng: np.random.Generator, n: int) -> Complex:
    return np.linalg.qr(rng.normal(size=(n, 2, 2)) + 1j * rng.normal(size=(n, 2, 2)))[0]


def with_condition(rng: np.random.Generator, n: int, low: float, high: float) -> Complex:
    """U diag(1, 1 / c) V with Haar unitaries and condition numbers c between two bounds."""
    weak = np.stack([np.ones(n), 1.0 / rng.uniform(low, high, n)], axis=1)
    return (unitaries(rng, n) * weak[:, np.newaxis, :]) @ unitaries(rng, n)


def dense(graph: Graph, matrices: NDArray[Any]) -> Complex:
    """prod M_i |G>, written out: signs counted edge by edge, the matrices as one Kronecker product."""
    n, edges = graph
    amplitudes = []
    for index in range(2**n):
        bits = [index >> i & 1 for i in range(n)]
        amplitudes.append((-1.0) ** sum(bits[a] * bits[b] for a, b in edges) / 2 ** (n / 2))
    product = np.ones((1, 1))
    for matrix in matrices:
        product = np.kron(matrix, product)
    return product @ np.array(amplitudes, dtype=np.complex128)


def model(graph: Graph, matrices: NDArray[Any], visible: Sequence[int] | None = None) -> NDArray[np.float64]:
    """q(x) with bit k of x the k-th visible qubit."""
    n = graph[0]
    weights = np.abs(dense(graph, matrices)) ** 2
    return marginal(weights / weights.sum(), range(n) if visible is None else visible)


def marginal(weights: NDArray[np.float64], qubits: Sequence[int]) -> NDArray[np.float64]:
    index = np.arange(weights.size)
    values = sum((index >> qubit & 1) << k for k, qubit in enumerate(qubits))
    return np.bincount(values, weights, minlength=2 ** len(qubits))


def chance(matrices: NDArray[Any], graph: Graph) -> float:
    """The squared norm with each matrix scaled to norm 1."""
    scaled = [matrix / np.linalg.norm(matrix, 2) for matrix in matrices]
    return float(np.linalg.norm(dense(graph, np.array(scaled))) ** 2)


def fidelity(a: Complex, b: Complex) -> float:
    return float(np.abs(np.vdot(a, b)) ** 2 / np.vdot(a, a).real / np.vdot(b, b).real)


def kept(circuit: QuantumCircuit) -> Complex:
    """The state of `q` for flags 0: measured ancillas are projected, the end's measurements of `q` left out."""
    n = circuit.qregs[0].size
    state = Statevector.from_int(0, 2**circuit.num_qubits)
    for instruction in circuit.data:
        where = [circuit.find_bit(qubit).index for qubit in instruction.qubits]
        name = instruction.operation.name
        if name == "measure":
            if where[0] >= n:
                data = state.data.copy()
                data[(np.arange(data.size) >> where[0] & 1) == 1] = 0.0
                state = Statevector(data)
        elif name == "reset":
            # Of a qubit that was found in |0>.
            assert not np.any(state.data[(np.arange(state.data.size) >> where[0] & 1) == 1])
        else:
            state = state.evolve(instruction.operation, where)
    assert not np.any(state.data[2**n :]) or circuit.num_clbits == 0
    return state.data[: 2**n]


def measured(circuit: QuantumCircuit) -> list[int]:
    """The qubits measured into `x`, in the order of its bits."""
    found = {}
    for instruction in circuit.data:
        if instruction.operation.name == "measure":
            register, index = circuit.find_bit(instruction.clbits[0]).registers[0]
            if register.name == "x":
                found[index] = circuit.find_bit(instruction.qubits[0]).index
    return [found[k] for k in range(len(found))]


def sampled(circuit: QuantumCircuit, shots: int, seed: int, **options: Any) -> tuple[NDArray[np.int64], int]:
    """Counts of x among shots with all flags 0, and how many those are."""
    counts = AerSimulator(seed_simulator=seed, **options).run(circuit, shots=shots).result().get_counts()
    n = next(register.size for register in circuit.cregs if register.name == "x")
    result = np.zeros(2**n, dtype=np.int64)
    for key, count in counts.items():
        parts = key.split(" ")
        if "1" not in "".join(parts[:-1]):
            result[int(parts[-1], 2)] += count
    return result, int(result.sum())


def p_value(counts: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
    """Chi-squared with rare outcomes taken together, so that every class expects 5 or more."""
    order = np.argsort(probabilities)
    expected, seen = counts.sum() * probabilities[order], counts[order]
    first = int(np.searchsorted(np.cumsum(expected), 5.0))
    expected = np.append(expected[: first + 1].sum(), expected[first + 1 :])
    seen = np.append(seen[: first + 1].sum(), seen[first + 1 :])
    assert expected.min() >= 5.0
    assert expected.size > 4
    return float(chi2.sf(((seen - expected) ** 2 / expected).sum(), expected.size - 1))


@st.composite
def problems(draw: st.DrawFn) -> tuple[Graph, Complex, list[int]]:
    n = draw(st.integers(1, 6))
    pairs = [(a, b) for b in range(n) for a in range(b)]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    matrices = with_condition(rng, n, 1.0, 20.0) * rng.uniform(0.01, 100.0, (n, 1, 1))
    plain = draw(st.lists(st.integers(0, n - 1), unique=True))
    matrices[plain] = unitaries(rng, n)[plain]
    visible = draw(st.lists(st.integers(0, n - 1), unique=True, min_size=1))
    return (n, edges), matrices, visible


@given(problems())
@settings(max_examples=40, deadline=None)
def test_post_selection_leaves_the_model(problem: tuple[Graph, Complex, list[int]]) -> None:
    graph, matrices, visible = problem
    n = graph[0]
    exact = dense(graph, matrices)
    whole = graph_model(graph, matrices, measure=False)
    state = Statevector(whole).data[: 2**n]
    assert fidelity(state, exact) == pytest.approx(1.0, abs=1e-12)
    assert whole.metadata["success_probability"] == pytest.approx(np.vdot(state, state).real, abs=1e-12)
    assert chance(matrices, graph) == pytest.approx(np.vdot(state, state).real, abs=1e-12)
    for ancillas in ("one_each", "reused"):
        circuit = graph_model(graph, matrices, visible=visible, ancillas=ancillas)
        assert measured(circuit) == visible
        weights = np.abs(kept(circuit)) ** 2
        assert weights.sum() == pytest.approx(circuit.metadata["success_probability"], abs=1e-12)
        found = marginal(weights, measured(circuit)) / weights.sum()
        np.testing.assert_allclose(found, model(graph, matrices, visible), rtol=0, atol=1e-10)


@given(problems())
@settings(max_examples=25, deadline=None)
def test_any_choice_is_the_model(problem: tuple[Graph, Complex, list[int]]) -> None:
    graph, matrices, visible = problem
    circuit = generative_model(graph, matrices, visible=visible)
    chain = is_chain(graph)
    assert circuit.metadata["preparation"] == ("deterministic" if chain else "post-selected")
    if chain:
        assert [register.name for register in (*circuit.qregs, *circuit.cregs)] == ["q", "x"]
        assert circuit.metadata["success_probability"] == 1.0
    weights = np.abs(kept(circuit)) ** 2
    assert weights.sum() == pytest.approx(circuit.metadata["success_probability"], abs=1e-12)
    found = marginal(weights, measured(circuit)) / weights.sum()
    np.testing.assert_allclose(found, model(graph, matrices, visible), rtol=0, atol=1e-10)


def test_registers_and_gates() -> None:
    rng = np.random.default_rng(0)
    matrices = with_condition(rng, 5, 2.0, 4.0)
    matrices[3] = unitaries(rng, 1)[0]
    circuit = graph_model(KITE, matrices, visible=[4, 0, 3])
    assert [(r.name, r.size) for r in circuit.qregs] == [("q", 5), ("a", 4)]
    assert [(r.name, r.size) for r in circuit.cregs] == [("x", 3), ("flag", 4)]
    # One CZ an edge, one a filter; what only hidden qubits would see is not there.
    assert circuit.count_ops()["cz"] == circuit.metadata["two_qubit_gates"] == 5 + 4
    assert circuit.count_ops()["u"] == 4 + 2 + 1
    assert set(circuit.count_ops()) == {"h", "cz", "ry", "u", "measure"}
    reused = graph_model(KITE, matrices, visible=[4, 0, 3], ancillas="reused")
    assert [(r.name, r.size) for r in reused.qregs] == [("q", 5), ("a", 1)]
    assert reused.count_ops()["reset"] == 3
    assert reused.metadata == circuit.metadata
    assert graph_model(KITE, matrices, measure=False).num_clbits == 0
    assert [r.name for r in graph_model(KITE, matrices, ancillas="reused", measure=False).cregs] == ["flag"]
    none = graph_model(KITE, unitaries(rng, 5))
    assert [r.name for r in (*none.qregs, *none.cregs)] == ["q", "x"]
    assert none.metadata["success_probability"] == pytest.approx(1.0, abs=1e-12)
    for built in (circuit, reused):
        device = transpile(built, basis_gates=["rz", "sx", "x", "cx"], optimization_level=1)
        assert device.count_ops()["cx"] == 9


@pytest.mark.parametrize(
    ("graph", "visible", "ancillas"),
    [(RING, None, "one_each"), (KITE, [3, 0, 4, 1], "reused"), (CHAIN, [2, 1, 4, 3], "")],
)
def test_aer_gives_the_model(graph: Graph, visible: list[int] | None, ancillas: str) -> None:
    rng = np.random.default_rng(7)
    matrices = with_condition(rng, 5, 1.5, 3.0)
    shots = 20_000
    circuit = generative_model(graph, matrices, visible=visible, ancillas=ancillas or "one_each")
    counts, n_kept = sampled(circuit, shots, seed=3)
    p = circuit.metadata["success_probability"]
    assert abs(n_kept - shots * p) <= 4.0 * np.sqrt(shots * p * (1.0 - p))
    assert p_value(counts, model(graph, matrices, visible)) > 1e-3
    # Controls: one matrix left out, one edge left out, columns in another order.
    without = matrices.copy()
    without[1] = np.eye(2)
    assert p_value(counts, model(graph, without, visible)) < 1e-6
    assert p_value(counts, model((5, graph[1][1:]), matrices, visible)) < 1e-6
    assert p_value(counts, model(graph, matrices, (visible or [0, 1, 2, 3, 4])[::-1])) < 1e-6
    if ancillas:
        # All shots, flagged ones too, are something else.
        everything = graph_model(graph, matrices, visible=visible)
        unflagged = QuantumCircuit(*everything.qregs, *everything.cregs)
        for instruction in everything.data:
            if instruction.operation.name != "measure" or instruction.clbits[0] in everything.cregs[0]:
                unflagged.append(instruction)
        assert p_value(sampled(unflagged, n_kept, seed=4)[0], model(graph, matrices, visible)) < 1e-6


def grid(rows: int, columns: int) -> Graph:
    index = np.arange(rows * columns).reshape(rows, columns)
    across = np.stack([index[:, :-1].ravel(), index[:, 1:].ravel()], axis=1)
    down = np.stack([index[:-1].ravel(), index[1:].ravel()], axis=1)
    return rows * columns, [(int(a), int(b)) for a, b in np.concatenate([across, down])]


def tree(n: int, rng: np.random.Generator) -> Graph:
    label = rng.permutation(n)
    return n, [(int(label[i]), int(label[rng.integers(i)])) for i in range(1, n)]


@pytest.mark.parametrize(
    "graph", [grid(3, 3), tree(10, np.random.default_rng(5)), (10, [(0, i) for i in range(1, 10)])]
)
def test_chance_of_success_is_the_norm(graph: Graph) -> None:
    matrices = with_condition(np.random.default_rng(1), graph[0], 1.0, 50.0)
    exact = chance(matrices, graph)
    found = graph_model(graph, matrices).metadata["success_probability"]
    assert found == pytest.approx(exact, rel=1e-11)
    assert _filters.dense_success_probability(*graph, matrices) == pytest.approx(exact, rel=1e-11)
    assert exact < 0.1


def test_chance_of_success_of_large_graphs() -> None:
    # Diagonal matrices commute with the graph state's gates: each filter passes with (1 + s^2) / 2.
    rng = np.random.default_rng(2)
    for graph in (tree(200, rng), grid(5, 40), (300, [(i, (i + 1) % 300) for i in range(300)])):
        weak = rng.uniform(0.8, 1.0, graph[0])
        matrices = np.zeros((graph[0], 2, 2))
        matrices[:, 0, 0], matrices[:, 1, 1] = 1.0, weak
        found = graph_model(graph, matrices).metadata["success_probability"]
        assert found == pytest.approx(float(np.prod((1.0 + weak**2) / 2.0)), rel=1e-10)
    # In a chain the bits of neighbours are summed by one transfer matrix a qubit.
    n = 250
    matrices = with_condition(rng, n, 1.0, 3.0)
    message = np.ones((2, 2))
    flips = np.array([[1.0, 1.0], [1.0, -1.0]])
    for k, matrix in enumerate(matrices):
        product = matrix.conj().T @ matrix / 2.0 * message
        message = flips @ product @ flips if k < n - 1 else product
    found = graph_model((n, [(i, i + 1) for i in range(n - 1)]), matrices).metadata["success_probability"]
    assert found == pytest.approx(float(message.sum().real), rel=1e-10)
    assert 0.0 < found < 1e-20


def test_chance_of_success_of_wide_graphs() -> None:
    def complete(n: int) -> Graph:
        return n, [(a, b) for b in range(n) for a in range(b)]

    rng = np.random.default_rng(3)
    # As a vector; beyond that it is not known, and said so.
    matrices = with_condition(rng, 13, 1.0, 3.0)
    assert _filters._elimination_order(*complete(13)) is None
    found = graph_model(complete(13), matrices).metadata["success_probability"]
    state = kept(graph_model(complete(13), matrices, ancillas="reused"))
    assert found == pytest.approx(np.vdot(state, state).real, rel=1e-11)
    assert graph_model(complete(21), with_condition(rng, 21, 1.0, 3.0)).metadata["success_probability"] is None


@pytest.mark.parametrize("n", [1, 2, 3, 4, 6, 9])
@pytest.mark.parametrize("real", [False, True])
def test_chains_are_prepared_for_certain(n: int, real: bool) -> None:
    rng = np.random.default_rng(10 * n + real)
    label = rng.permutation(n)
    graph = (n, [(int(a), int(b)) for a, b in pairwise(label)])
    matrices = with_condition(rng, n, 1.0, 100.0)
    if real:
        matrices = rng.normal(size=(n, 2, 2)) + 0j
    circuit = chain_model(graph, matrices, measure=False)
    assert circuit.num_qubits == n
    assert circuit.num_clbits == 0
    assert fidelity(Statevector(circuit).data, dense(graph, matrices)) == pytest.approx(1.0, abs=1e-12)
    n_gates = sum(len(instruction.qubits) == 2 for instruction in circuit.data)
    assert n_gates == circuit.metadata["two_qubit_gates"] <= max(2 * n - 3, n - 1)
    # Another state, close in gates, is seen.
    if n > 1:
        wrong = matrices.copy()
        wrong[label[0]] = matrices[label[1]]
        assert fidelity(Statevector(circuit).data, dense(graph, wrong)) < 0.999


def test_chains_of_unitaries_take_a_gate_an_edge() -> None:
    rng = np.random.default_rng(4)
    graph = (8, [(i, i + 1) for i in range(7)])
    matrices = unitaries(rng, 8)
    circuit = chain_model(graph, matrices, measure=False)
    assert circuit.metadata["two_qubit_gates"] == 7
    assert fidelity(Statevector(circuit).data, dense(graph, matrices)) == pytest.approx(1.0, abs=1e-12)
    # One filter in the middle costs at most one gate more.
    matrices[4] = with_condition(rng, 1, 3.0, 4.0)[0]
    circuit = chain_model(graph, matrices, measure=False)
    assert circuit.metadata["two_qubit_gates"] <= 9
    assert fidelity(Statevector(circuit).data, dense(graph, matrices)) == pytest.approx(1.0, abs=1e-12)


def test_several_chains_side_by_side() -> None:
    rng = np.random.default_rng(5)
    graph = (7, [(6, 1), (1, 3), (0, 5)])
    matrices = with_condition(rng, 7, 1.0, 9.0)
    circuit = chain_model(graph, matrices, measure=False)
    assert fidelity(Statevector(circuit).data, dense(graph, matrices)) == pytest.approx(1.0, abs=1e-12)
    assert circuit.metadata["two_qubit_gates"] == 4
    # A chain that nobody looks at is not prepared.
    seen = chain_model(graph, matrices, visible=[5, 2])
    assert seen.metadata["two_qubit_gates"] == 1
    found = marginal(np.abs(kept(seen)) ** 2, measured(seen))
    np.testing.assert_allclose(found, model(graph, matrices, [5, 2]), rtol=0, atol=1e-12)


def test_long_chain() -> None:
    """Mean values of 60 qubits against products of transfer matrices; matrices in the wrong order are caught."""
    rng = np.random.default_rng(6)
    n, shots = 60, 2000
    matrices = with_condition(rng, n, 1.5, 4.0)
    circuit = chain_model((n, [(i, i + 1) for i in range(n - 1)]), matrices)
    assert circuit.metadata["two_qubit_gates"] == 2 * n - 3
    simulator = AerSimulator(method="matrix_product_state", seed_simulator=5)
    counts = simulator.run(circuit, shots=shots).result().get_counts()
    means = np.zeros(n)
    for key, count in counts.items():
        means += count * (1.0 - 2.0 * np.array([int(bit) for bit in key[::-1]]))
    means /= shots

    def exact(parts: Complex) -> NDArray[np.float64]:
        flips = np.array([[1.0, 1.0], [1.0, -1.0]])
        z = np.diag([1.0, -1.0])

        def passed(message: Complex, matrix: Complex) -> Complex:
            return flips @ (matrix.conj().T @ matrix * message) @ flips / 4.0

        left, right = [np.ones((2, 2))], [np.ones((2, 2))]
        for matrix in parts[:-1]:
            left.append(passed(left[-1], matrix))
        for matrix in parts[:0:-1]:
            right.append(passed(right[-1], matrix))
        both = [a * b for a, b in zip(left, right[::-1], strict=True)]
        return np.array(
            [
                ((m.conj().T @ z @ m) * b).sum().real / ((m.conj().T @ m) * b).sum().real
                for m, b in zip(parts, both, strict=True)
            ]
        )

    def deviation(values: NDArray[np.float64]) -> float:
        return float(np.abs((means - values) / np.sqrt((1.0 - values**2) / shots)).max())

    assert deviation(exact(matrices)) < 4.5
    assert deviation(exact(matrices[::-1])) > 10.0


def test_hundreds_of_qubits() -> None:
    n = 400
    matrices = with_condition(np.random.default_rng(8), n, 1.0, 3.0)
    circuit = chain_model((n, [(i, i + 1) for i in range(n - 1)]), matrices)
    assert circuit.metadata["two_qubit_gates"] == 2 * n - 3


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        ((1, []), True),
        ((4, []), True),
        ((4, [(3, 1), (1, 0), (0, 2)]), True),
        ((5, [(3, 1), (0, 2)]), True),
        ((3, [(0, 1), (1, 2), (2, 0)]), False),
        ((6, [(0, 1), (1, 2), (2, 0), (3, 4)]), False),
        ((4, [(0, 1), (0, 2), (0, 3)]), False),
    ],
)
def test_what_is_a_chain(graph: Graph, expected: bool) -> None:
    assert is_chain(graph) is expected
    n = graph[0]
    matrices = [np.diag([1.0, 0.5])] * n
    name = generative_model(graph, matrices).metadata["preparation"]
    assert name == ("deterministic" if expected else "post-selected")
    if not expected:
        with pytest.raises(ValueError, match="must be a chain"):
            chain_model(graph, matrices)


@pytest.mark.parametrize("build", [graph_model, chain_model, generative_model])
def test_bad_input(build: Any) -> None:
    graph = (3, [(0, 1), (1, 2)])
    good = [np.diag([1.0, 0.5])] * 3
    with pytest.raises(ValueError, match=r"`matrices` must have shape \(3, 2, 2\), .* but its shape is \(2, 2, 2\)"):
        build(graph, good[:2])
    with pytest.raises(ValueError, match=r"qubit 1 has the condition number 1e\+13"):
        build(graph, [good[0], np.diag([1.0, 1e-13]), good[2]])
    with pytest.raises(ValueError, match="qubit 2 has the condition number"):
        build(graph, [good[0], good[1], np.ones((2, 2))])
    with pytest.raises(ValueError, match="that of qubit 2 is 0"):
        build(graph, [good[0], good[1], np.zeros((2, 2))])
    with pytest.raises(ValueError, match="`matrices` must hold finite numbers"):
        build(graph, [good[0], good[1], np.diag([np.nan, 1.0])])
    with pytest.raises(TypeError, match="`matrices` must hold numbers"):
        build(graph, [[["a"] * 2] * 2] * 3)
    with pytest.raises(ValueError, match="from 0 to 2, but it holds"):
        build(graph, good, visible=[0, 3])
    with pytest.raises(ValueError, match="each qubit once"):
        build(graph, good, visible=[0, 0])
    for visible in ([], [[0, 1]], [0.5], "01", 1):
        with pytest.raises(ValueError, match="sequence of one or more qubits"):
            build(graph, good, visible=visible)
    with pytest.raises(ValueError, match="`graph`"):
        build((3, [(0, 3)]), good)
    with pytest.raises(TypeError, match="`graph`"):
        build("chain", good)
    if build is not chain_model:
        with pytest.raises(ValueError, match="`ancillas` must be one of 'one_each', 'reused', but it is 'two'"):
            build(graph, good, ancillas="two")


def test_scale_does_not_matter() -> None:
    rng = np.random.default_rng(9)
    matrices = with_condition(rng, 5, 2.0, 3.0)
    scaled = matrices * np.array([1e-200, 1e150, -1.0, 1j, 1e-3])[:, np.newaxis, np.newaxis]
    for build in (graph_model, generative_model):
        for graph in (RING, CHAIN):
            one, other = build(graph, matrices, measure=False), build(graph, scaled, measure=False)
            size = 2**5
            assert fidelity(Statevector(one).data[:size], Statevector(other).data[:size]) == pytest.approx(1, abs=1e-12)
            assert one.metadata["success_probability"] == pytest.approx(
                other.metadata["success_probability"], rel=1e-12
            )


def test_filter_takes_one_gate() -> None:
    """diag(1, s), flagged 0, and what is lost, flagged 1, for any s down to the smallest condition allowed."""
    for weak in (1.0, 0.999999, 0.5, 1e-3, 1e-12):
        circuit = QuantumCircuit(2)
        _filters.append_filter(circuit, circuit.qubits[0], circuit.qubits[1], weak)
        assert circuit.count_ops()["cz"] == 1
        start = np.array([0.6, 0.8j])
        state = Statevector(np.kron([1.0, 0.0], start)).evolve(circuit).data
        np.testing.assert_allclose(state[:2], [0.6, 0.8j * weak], rtol=0, atol=1e-15)
        assert abs(state[2]) < 1e-15
        assert abs(state[3]) == pytest.approx(0.8 * np.sqrt((1.0 - weak) * (1.0 + weak)), abs=1e-15)
