"""Matrix product states and graph states as circuits, against dense algebra, and what they cost."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator, Pauli, Statevector, random_unitary
from scipy.stats import chi2

from circuits import _tensors
from circuits._graphs import edge_colours
from circuits._isometries import peel
from circuits.state_preparation import amplitudes, graph_state, matrix_product_state

Complex = NDArray[np.complex128]


def draw(bonds: list[int], *, seed: int, real: bool = False) -> list[Complex]:
    rng = np.random.default_rng(seed)
    ends = [1, *bonds, 1]
    shapes = [(left, 2, right) for left, right in itertools.pairwise(ends)]
    return [rng.normal(size=shape) + (0.0 if real else 1j) * rng.normal(size=shape) for shape in shapes]


def dense(tensors: list[Complex]) -> Complex:
    """All amplitudes by the definition: one product of matrices each."""
    n_sites = len(tensors)
    values = np.empty(2**n_sites, dtype=np.complex128)
    for index in range(2**n_sites):
        product = np.eye(1)
        for site, tensor in enumerate(tensors):
            product = product @ tensor[:, index >> site & 1]
        values[index] = product[0, 0]
    return values / np.linalg.norm(values)


def ghz(n_sites: int) -> list[Complex]:
    copy = np.eye(2)[:, :, np.newaxis] * np.eye(2)[:, np.newaxis] + 0j
    return [copy.sum(axis=0, keepdims=True), *[copy] * (n_sites - 2), copy.sum(axis=2, keepdims=True)]


def single_excitation(n_sites: int) -> list[Complex]:
    step = np.zeros((2, 2, 2), dtype=np.complex128)
    step[0, 0, 0] = step[0, 1, 1] = step[1, 0, 1] = 1.0
    return [step[:1], *[step] * (n_sites - 2), step[:, :, 1:]]


def cluster(n_sites: int) -> list[Complex]:
    step = np.array([[[1, 0], [0, 1]], [[1, 0], [0, -1]]], dtype=np.complex128)
    return [step[:1], *[step] * (n_sites - 2), step.sum(axis=2, keepdims=True)]


def disguised(tensors: list[Complex], *, seed: int) -> list[Complex]:
    """The same state up to unitaries of single sites, in another gauge."""
    rng = np.random.default_rng(seed)
    result, gauge = [], np.eye(1, dtype=np.complex128)
    for site, tensor in enumerate(tensors):
        bond = tensor.shape[2]
        following = random_unitary(bond, seed=rng).data @ np.diag(rng.uniform(0.5, 2.0, bond))
        following = following if site < len(tensors) - 1 else np.eye(1)
        turn = random_unitary(2, seed=rng).data
        result.append(np.einsum("al,lsr,ts,rb->atb", np.linalg.inv(gauge), tensor, turn, following))
        gauge = following
    return result


def check(tensors: list[Complex], n_cx: int) -> QuantumCircuit:
    circuit = matrix_product_state(tensors)
    # A gate may leave out 1e-12 where it is nearly a simpler one.
    np.testing.assert_allclose(Statevector(circuit).data, dense(tensors), rtol=0, atol=2e-12)
    assert circuit.metadata["fidelity"] == pytest.approx(1.0, abs=1e-12)
    assert circuit.metadata["two_qubit_gates"] == circuit.count_ops().get("cx", 0) == n_cx
    assert all(len(entry.qubits) == 1 or entry.operation.name == "cx" for entry in circuit.data)
    return circuit


@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize(
    ("n_sites", "bond", "n_cx"),
    [
        (1, 1, 0),
        (4, 1, 0),
        (2, 2, 1),
        (3, 2, 3),
        (8, 2, 13),
        (4, 4, 7),
        (5, 4, 18),
        (8, 4, 51),
        (6, 8, 42),
        (8, 8, 144),
    ],
)
def test_random_states(n_sites: int, bond: int, n_cx: int, real: bool) -> None:
    check(draw([bond] * (n_sites - 1), seed=n_sites, real=real), n_cx)


@pytest.mark.parametrize("bond", [3, 5, 6, 7])
def test_bonds_that_are_no_powers_of_two(bond: int) -> None:
    check(draw([bond] * 6, seed=bond), {3: 40}.get(bond, 93))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("make", [ghz, cluster])
def test_states_of_one_cx_a_site(make: object, seed: int) -> None:
    for n_sites in (2, 3, 7):
        state = make(n_sites)  # type: ignore[operator]
        check(state if seed == 0 else disguised(state, seed=seed), n_sites - 1)


@pytest.mark.parametrize("seed", range(2))
def test_single_excitation(seed: int) -> None:
    for n_sites in (2, 3, 7):
        state = single_excitation(n_sites)
        check(state if seed == 0 else disguised(state, seed=seed), 2 * n_sites - 3)


def test_depth_grows_from_the_middle() -> None:
    for n_sites in (9, 10):
        circuit = matrix_product_state(draw([2] * (n_sites - 1), seed=0))
        depth = circuit.depth(lambda entry: len(entry.qubits) == 2)
        assert depth <= n_sites < circuit.metadata["two_qubit_gates"]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.integers(0, 2**16), st.booleans())
def test_any_profile_of_bonds(bonds: list[int], seed: int, real: bool) -> None:
    tensors = draw(bonds, seed=seed, real=real)
    circuit = matrix_product_state(tensors)
    np.testing.assert_allclose(Statevector(circuit).data, dense(tensors), rtol=0, atol=2e-12)


@pytest.mark.parametrize(
    "bonds", [[2, 4, 2, 2, 4, 2], [2, 1, 2, 4, 2, 1, 1], [4, 1, 3, 1, 2], [2, 4, 8, 2, 4, 8, 4, 2]]
)
def test_necks_and_products(bonds: list[int]) -> None:
    tensors = draw(bonds, seed=1)
    circuit = matrix_product_state(tensors)
    np.testing.assert_allclose(Statevector(circuit).data, dense(tensors), rtol=0, atol=2e-12)
    # Where a bond is 1, no gate crosses it.
    for cut in (site for site, bond in enumerate(bonds) if bond == 1):
        for entry in circuit.data:
            sites = [circuit.find_bit(qubit).index for qubit in entry.qubits]
            assert max(sites) <= cut or min(sites) > cut


def test_superfluous_bonds_cost_nothing() -> None:
    tensors = draw([2] * 5, seed=3)
    padded = [np.pad(tensor, ((0, 3 * (site > 0)), (0, 0), (0, 3 * (site < 5)))) for site, tensor in enumerate(tensors)]
    check(padded, 9)
    check([np.kron(tensor, np.ones((1 + (site > 0), 1, 1 + (site < 5)))) for site, tensor in enumerate(tensors)], 9)


@pytest.mark.parametrize("factor", [5e-324, 1e-300, 1e-100, 1e100, 1e300])
def test_the_norm_is_divided_out(factor: float) -> None:
    tensors = [factor * tensor for tensor in ghz(6)]
    assert matrix_product_state(tensors).metadata["fidelity"] == pytest.approx(1.0, abs=1e-12)


def test_the_phase_is_kept() -> None:
    tensors = draw([2, 2, 2], seed=0)
    tensors[1] = tensors[1] * np.exp(0.7j)
    check(tensors, 5)


@pytest.mark.parametrize(("n_sites", "bond", "n_cx"), [(150, 2, 297), (30, 4, 293), (12, 8, 348)])
def test_long_chains(n_sites: int, bond: int, n_cx: int) -> None:
    # The fidelity is that of the gates, gate by gate contracted with the state; long chains must not add up errors.
    circuit = matrix_product_state(draw([bond] * (n_sites - 1), seed=1))
    assert circuit.metadata["fidelity"] == pytest.approx(1.0, abs=1e-12)
    assert circuit.metadata["two_qubit_gates"] == n_cx


@pytest.mark.slow
def test_the_largest_bond() -> None:
    tensors = draw([2, 4, 8, 16, 32, 64, 64, 32, 16, 8, 4, 2], seed=1)
    circuit = matrix_product_state(tensors)
    np.testing.assert_allclose(Statevector(circuit).data, dense(tensors), rtol=0, atol=1e-11)
    assert circuit.metadata["two_qubit_gates"] < 8000


def p_value(counts: NDArray[np.int64], expected: NDArray[np.float64]) -> float:
    """Chi-squared test of counts, outcomes with few expected counts taken together."""
    rare = expected < 5.0
    observed = np.append(counts[~rare], counts[rare].sum())
    wanted = np.append(expected[~rare], expected[rare].sum())
    kept = wanted > 0.0
    return float(chi2.sf(((observed - wanted)[kept] ** 2 / wanted[kept]).sum(), kept.sum() - 1))


def test_samples_follow_the_state() -> None:
    tensors = draw([2, 4, 4, 2], seed=2)
    circuit = matrix_product_state(tensors)
    shots = 20_000
    counts = np.random.default_rng(3).multinomial(shots, Statevector(circuit).probabilities())
    right = np.abs(dense(tensors)) ** 2
    # The control: the same state with the sites in reverse order.
    wrong = np.abs(dense(_tensors.mirrored(tensors))) ** 2
    assert p_value(counts, shots * right) > 1e-4
    assert p_value(counts, shots * wrong) < 1e-12


@pytest.mark.parametrize(("n_qubits", "n_columns"), [(2, 2), (2, 1), (3, 4), (3, 3), (3, 1), (4, 8), (4, 5)])
@pytest.mark.parametrize("seed", range(3))
def test_peeled_isometries(n_qubits: int, n_columns: int, seed: int) -> None:
    columns = random_unitary(2**n_qubits, seed=seed).data[:, :n_columns]
    circuit, smaller = peel(columns)
    half = 2 ** (n_qubits - 1)
    np.testing.assert_allclose(Operator(circuit).data[:, :half] @ smaller, columns, rtol=0, atol=1e-12)
    np.testing.assert_allclose(smaller.conj().T @ smaller, np.eye(n_columns), rtol=0, atol=1e-12)
    assert circuit.count_ops()["cx"] <= {2: 2, 3: 11, 4: 51}[n_qubits]


@pytest.mark.parametrize("small", [0.0, 1e-16, 1e-12, 1e-8, 1e-4])
def test_peeling_stands_coinciding_and_vanishing_singular_values(small: float) -> None:
    # Halves cos and sin of angles that lie close together, near 0: their bases are hard to tell apart.
    angles = small * np.array([1.0, 3.0, 2.0, 0.5])
    unitaries = [random_unitary(4, seed=seed).data for seed in range(3)]
    columns = np.vstack([unitaries[0] * np.cos(angles), unitaries[1] * np.sin(angles)]) @ unitaries[2]
    for top in (columns, np.roll(columns, 4, axis=0)):
        circuit, smaller = peel(top)
        np.testing.assert_allclose(Operator(circuit).data[:, :4] @ smaller, top, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ([], "at least one tensor"),
        ([np.ones((1, 2))], "shape \\(left, 2, right\\), but that of site 0"),
        ([np.ones((1, 3, 1))], "shape \\(left, 2, right\\)"),
        ([np.ones((1, 2, 0)), np.ones((0, 2, 1))], "shape \\(left, 2, right\\)"),
        ([np.ones((1, 2, 2)), np.ones((3, 2, 1))], "left bond of 3 beside one of 2"),
        ([np.ones((2, 2, 1))], "left bond of 2 beside one of 1"),
        ([np.ones((1, 2, 2))], "end with a right bond of 1, but it is 2"),
        ([np.zeros((1, 2, 1))], "all its amplitudes are zero"),
        ([np.array([[[1.0, 1.0], [0.0, 0.0]]]), np.array([[[1.0], [0.0]], [[-1.0], [0.0]]])], "amplitudes are zero"),
        ([np.full((1, 2, 1), np.nan)], "NaN"),
        ([np.full((1, 2, 1), np.inf)], "finite"),
    ],
)
def test_bad_tensors_are_refused(tensors: list[Complex], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        matrix_product_state(tensors)


@pytest.mark.parametrize("tensors", ["text", 3, [np.full((1, 2, 1), "a")]])
def test_no_tensors_at_all(tensors: object) -> None:
    with pytest.raises(TypeError, match="Argument `tensors` must"):
        matrix_product_state(tensors)  # type: ignore[arg-type]


def test_bonds_too_large_for_a_circuit() -> None:
    with pytest.raises(ValueError, match=r"at most 64, but that between sites 6 and 7 is 65.*shallow_matrix_product"):
        matrix_product_state(draw([2, 4, 8, 16, 32, 64, 65, 64, 32, 16, 8, 4, 2], seed=0))


def test_truncation_keeps_the_best_of_one_cut() -> None:
    tensors = draw([2, 4, 2], seed=4)
    vector = dense(tensors)
    weights = np.linalg.svd(vector.reshape(4, 4))[1]
    state = _tensors.canonical(tensors, max_bond=3)
    assert [tensor.shape[0] for tensor in state] == [1, 2, 3, 2]
    assert abs(np.vdot(dense(state), vector)) ** 2 == pytest.approx((weights[:3] ** 2).sum(), rel=1e-12)
    assert weights[3] > 0.01


# Graph states


@pytest.mark.parametrize(
    ("n_qubits", "edges"),
    [
        (1, []),
        (3, []),
        (2, [(1, 0)]),
        (5, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)]),
        (4, list(itertools.combinations(range(4), 2))),
        (6, [(0, 3), (5, 1), (2, 4), (3, 5)]),
    ],
)
def test_graph_states(n_qubits: int, edges: list[tuple[int, int]]) -> None:
    circuit = graph_state((n_qubits, edges))
    index = np.arange(2**n_qubits)
    sign = np.ones(2**n_qubits)
    for first, second in edges:
        sign = np.where((index >> first) & (index >> second) & 1, -sign, sign)
    state = Statevector(circuit)
    np.testing.assert_allclose(state.data, sign / 2 ** (n_qubits / 2), rtol=0, atol=1e-13)
    for qubit in range(n_qubits):
        near = {i + j - qubit for i, j in edges if qubit in (i, j)}
        label = "".join("X" if q == qubit else "Z" if q in near else "I" for q in range(n_qubits))
        assert state.expectation_value(Pauli(label[::-1])).real == pytest.approx(1.0, abs=1e-12)
    assert circuit.count_ops().get("cz", 0) == len(edges)


def test_chain_graph_is_the_cluster_state() -> None:
    state = Statevector(graph_state((7, [(site, site + 1) for site in range(6)]))).data
    np.testing.assert_allclose(Statevector(matrix_product_state(cluster(7))).data, state, rtol=0, atol=1e-12)
    np.testing.assert_allclose(Statevector(amplitudes(state)).data, state, rtol=0, atol=1e-12)


def grid(length: int) -> list[tuple[int, int]]:
    along = [(site, site + 1) for site in range(length**2) if (site + 1) % length]
    return [*along, *((site, site + length) for site in range(length**2 - length))]


@pytest.mark.parametrize(
    ("n_qubits", "edges", "most"),
    [
        (30, [(site, site + 1) for site in range(29)], 2),
        (30, [(site, (site + 1) % 30) for site in range(30)], 2),
        (31, [(site, (site + 1) % 31) for site in range(31)], 3),
        (9, [(0, site) for site in range(1, 9)], 8),
        (400, grid(20), 4),
    ],
)
def test_depth_of_graph_states(n_qubits: int, edges: list[tuple[int, int]], most: int) -> None:
    shuffled = [tuple(edge) for edge in np.random.default_rng(0).permutation(edges).tolist()]
    assert graph_state((n_qubits, shuffled)).depth(lambda entry: len(entry.qubits) == 2) == most


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 10), st.randoms(use_true_random=False), st.floats(0.0, 1.0))
def test_colours_of_edges(n_qubits: int, random: object, density: float) -> None:
    pairs = list(itertools.combinations(range(n_qubits), 2))
    edges = [pair for pair in pairs if random.random() < density]  # type: ignore[attr-defined]
    random.shuffle(edges)  # type: ignore[attr-defined]
    classes = edge_colours(n_qubits, edges)
    assert sorted(edge for colour in classes for edge in colour) == sorted(edges)
    for colour in classes:
        assert len({qubit for edge in colour for qubit in edge}) == 2 * len(colour)
    degree = max((sum(qubit in edge for edge in edges) for qubit in range(n_qubits)), default=0)
    assert degree <= len(classes) <= degree + 1


@pytest.mark.parametrize(
    ("graph", "error", "message"),
    [
        (3, TypeError, "pair \\(n_qubits, edges\\), but it is int"),
        ((3,), TypeError, "pair"),
        ((0, []), ValueError, "from 1 to 10000, but it is 0"),
        ((2.0, []), ValueError, "integer"),
        ((20_000, []), ValueError, "10000"),
        ((3, [(0, 1, 2)]), TypeError, "pairs of integers"),
        ((3, [(0, 1), (2,)]), TypeError, "pairs of integers"),
        ((3, [0, 1]), TypeError, "pairs of integers"),
        ((3, [(0.0, 1.0)]), TypeError, "pairs of integers"),
        ((3, [(0, 3)]), ValueError, "qubits 0 to 2, but it has the edge \\(0, 3\\)"),
        ((3, [(-1, 1)]), ValueError, "edge \\(-1, 1\\)"),
        ((3, [(1, 1)]), ValueError, "different qubits"),
        ((3, [(0, 1), (1, 0)]), ValueError, "each edge once, but \\(1, 0\\)"),
    ],
)
def test_bad_graphs_are_refused(graph: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        graph_state(graph)  # type: ignore[arg-type]
