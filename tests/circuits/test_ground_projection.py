"""Preparation by projection onto ground spaces: Hamiltonians, Kraus operators, exact branches, frequencies on Aer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit, transpile
from qiskit.quantum_info import Operator, Statevector
from qiskit_aer import AerSimulator
from scipy.linalg import polar
from scipy.stats import chi2

from circuits import _ground_projection as projection
from circuits import _ground_spaces as spaces
from circuits.fourier import phase_estimation
from circuits.generative import ProjectionSuccess, ground_state_projection, projection_success

Complex = NDArray[np.complex128]
Graph = tuple[int, Sequence[tuple[int, int]]]
PAULIS = {"I": np.eye(2), "X": np.array([[0, 1], [1, 0]]), "Z": np.diag([1, -1])}

GRAPHS: dict[str, Graph] = {
    "single": (1, []),
    "pair": (2, [(0, 1)]),
    "apart": (2, []),
    "triangle": (3, [(0, 1), (1, 2), (0, 2)]),
    "path": (3, [(1, 0), (0, 2)]),
    "star": (4, [(0, 1), (0, 2), (0, 3)]),
    "ring": (5, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)]),
    "kite": (5, [(0, 1), (1, 2), (2, 0), (2, 3), (3, 4)]),
}


def matrices_of(graph: Graph, seed: int, low: float = 1.5, high: float = 3.0) -> Complex:
    """U diag(1, 1 / c) V with condition numbers c between two bounds."""
    rng = np.random.default_rng(seed)
    n = graph[0]
    square = rng.normal(size=(2, n, 2, 2)) + 1j * rng.normal(size=(2, n, 2, 2))
    left, right = np.linalg.qr(square)[0]
    weak = np.stack([np.ones(n), 1.0 / rng.uniform(low, high, n)], axis=1)
    return (left * weak[:, np.newaxis, :]) @ right


def kron(parts: Sequence[NDArray[Any]]) -> Complex:
    """The product with site 0 of the smallest weight."""
    product = np.ones((1, 1))
    for part in parts:
        product = np.kron(part, product)
    return product


def dense(graph: Graph, matrices: NDArray[Any]) -> Complex:
    n, edges = graph
    signs = [(-1.0) ** sum((k >> a & 1) * (k >> b & 1) for a, b in edges) for k in range(2**n)]
    state = kron(list(matrices)) @ np.array(signs)
    return state / np.linalg.norm(state)


def fidelity(a: Complex, b: Complex) -> float:
    return float(np.abs(np.vdot(a, b)) ** 2 / np.vdot(a, a).real / np.vdot(b, b).real)


def reference_parent(graph: Graph, matrices: Complex) -> Complex:
    """Projectors made on the few sites of each term alone, by the singular vectors of M^{-H} (1 - K) / 2."""
    n, edges = graph
    total = np.zeros((2**n, 2**n), dtype=np.complex128)
    for centre in range(n):
        sites = sorted({centre, *(a + b - centre for a, b in edges if centre in (a, b))})
        stabiliser = kron([PAULIS["X" if site == centre else "Z"] for site in sites])
        inverse = np.linalg.inv(kron([matrices[site] for site in sites])).conj().T
        left, values, _ = np.linalg.svd(inverse @ (np.eye(2 ** len(sites)) - stabiliser) / 2.0)
        basis = left[:, : 2 ** len(sites) // 2]
        assert values[2 ** len(sites) // 2] < 1e-9
        local = basis @ basis.conj().T
        index = np.arange(2**n)
        inside = sum((index >> site & 1) << k for k, site in enumerate(sites))
        outside = index & ~sum(1 << site for site in sites)
        total += local[np.ix_(inside, inside)] * (outside[:, np.newaxis] == outside)
    return total


@pytest.mark.parametrize("name", GRAPHS)
def test_parent_hamiltonian(name: str) -> None:
    graph = GRAPHS[name]
    positive = np.stack([polar(matrix)[1] for matrix in matrices_of(graph, seed=1)])
    found = spaces.parent(*graph, positive)
    np.testing.assert_allclose(found, reference_parent(graph, positive), rtol=0, atol=1e-11)
    energies = np.linalg.eigvalsh(found)
    assert np.linalg.norm(found @ dense(graph, positive)) < 1e-11
    # The only ground state.
    assert energies[1] > 1e-3
    # Of |G> alone: the number of stabilisers that are -1.
    plain = spaces.parent(*graph, np.broadcast_to(np.eye(2), positive.shape).astype(np.complex128))
    binomial = np.sort([k.bit_count() for k in range(2 ** graph[0])])
    np.testing.assert_allclose(np.linalg.eigvalsh(plain), binomial, rtol=0, atol=1e-12)


def test_hamiltonians_lead_from_the_graph_to_the_model() -> None:
    graph = GRAPHS["kite"]
    matrices = matrices_of(graph, seed=2)
    matrices[3] = polar(matrices[3])[0]
    plan = spaces.planned(graph, 3.0 * matrices, 3)
    assert plan.filtered == [0, 1, 2, 4]
    assert len(plan.stages) == 5
    for stage in plan.stages:
        assert np.linalg.norm(stage.hamiltonian @ stage.ground) < 1e-11
        assert fidelity(stage.vectors[:, 0], stage.ground) == pytest.approx(1.0, abs=1e-12)
    last = kron(list(plan.unitaries)) @ plan.stages[-1].ground
    assert fidelity(last, dense(graph, matrices)) == pytest.approx(1.0, abs=1e-12)
    # Kantorovich: with positive matrices no step is small.
    success = projection_success(graph, matrices, n_clock=3, max_attempts=1)
    conditions = [np.linalg.cond(matrices[qubit]) for qubit in plan.filtered]
    assert np.all(success.overlaps >= [4.0 * c / (1.0 + c) ** 2 for c in conditions])


@pytest.mark.parametrize("n_clock", [1, 2, 5])
def test_passing_is_the_kernel_of_phase_estimation(n_clock: int) -> None:
    phases = np.linspace(0.1, 6.2, 23)
    size = 2**n_clock
    kernel = np.sin(size * phases / 2) / (size * np.sin(phases / 2))
    np.testing.assert_allclose(spaces.passing(phases, n_clock), kernel, rtol=0, atol=1e-13)
    for phase in phases[::5]:
        whole = phase_estimation(np.diag([1.0, np.exp(-1j * phase)]), n_clock)
        start = QuantumCircuit(*whole.qregs)
        start.x(0)
        zero = Statevector(whole.compose(start, front=True)).probabilities(range(1, n_clock + 1))[0]
        assert zero == pytest.approx(float(spaces.passing(np.array(phase), n_clock) ** 2), abs=1e-12)


def test_time_of_a_tick() -> None:
    # Energies 1 .. n of |G>: with more clock values than energies nothing passes, and the shortest such time is taken.
    for n, n_clock in ((2, 2), (3, 2), (5, 3)):
        time, leak = spaces.best_time(np.arange(1.0, n + 1), n_clock)
        assert leak < 1e-25
        assert time == pytest.approx(2.0 * np.pi / 2**n_clock)
    excited = np.array([0.13, 0.4, 1.7, 2.2])
    leaks = [spaces.best_time(excited, n_clock)[1] for n_clock in (1, 3, 5, 7)]
    assert leaks == sorted(leaks, reverse=True)
    assert leaks[0] > 0.01 > 1e-3 > leaks[-1]
    time, leak = spaces.best_time(excited, 3)
    trials = np.linspace(1e-3, 2.0 * np.pi / 0.13, 100_001)
    finest = np.max(spaces.passing(np.multiply.outer(trials, excited), 3) ** 2, axis=1).min()
    assert leak == pytest.approx(np.max(spaces.passing(time * excited, 3) ** 2), abs=1e-12)
    # The search is a grid of its own; a fifty times finer one does little better.
    assert leak <= finest + 0.01


@pytest.mark.parametrize("evolution", projection.EVOLUTIONS)
@pytest.mark.parametrize("name", ["single", "pair", "triangle"])
def test_estimation_is_the_kraus_operator(name: str, evolution: str) -> None:
    graph, n_clock = GRAPHS[name], 2
    for stage in spaces.planned(graph, matrices_of(graph, seed=3), n_clock).stages:
        size = 2 ** graph[0]
        whole = Operator(projection._estimation(stage, n_clock, evolution)).data.reshape(4, size, 4, size)
        energies, vectors = np.linalg.eigh(stage.hamiltonian)
        f = (vectors * np.prod([np.cos(energies * stage.time * 2**b / 2) for b in range(n_clock)], axis=0)) @ (
            vectors.conj().T
        )
        # Hundreds of gates from numerical decompositions.
        np.testing.assert_allclose(whole[0, :, 0], f, rtol=0, atol=1e-10)
        held, not_held = spaces.clock_states(stage, n_clock)
        undone = whole.reshape(4 * size, 4 * size).conj().T @ np.kron(np.diag([1.0, 0, 0, 0]), np.eye(size))
        undone = (undone @ whole.reshape(4 * size, 4 * size)).reshape(4, size, 4, size)[:, :, 0]
        for value in range(4):
            expected = (vectors * held[:, value]) @ vectors.conj().T
            np.testing.assert_allclose(undone[value], expected, rtol=0, atol=1e-10)
            other = (1.0 if value == 0 else 0.0) * np.eye(size) - expected
            np.testing.assert_allclose((vectors * not_held[:, value]) @ vectors.conj().T, other, rtol=0, atol=1e-10)


def branches(circuit: QuantumCircuit) -> dict[tuple[int, ...], Complex]:
    """All outcomes of a circuit with measurements, resets and one-bit conditions: bits -> unnormalised density matrix.

    Kept as rows of state vectors whose sum of projectors is the density matrix; few, since it is factored again.
    """
    size = 2**circuit.num_qubits
    start = np.zeros((1, size), dtype=np.complex128)
    start[0, 0] = 1.0
    held = {(0,) * circuit.num_clbits: start}
    return _followed(circuit, held, list(range(circuit.num_qubits)), list(range(circuit.num_clbits)))


def _followed(
    circuit: QuantumCircuit, held: dict[tuple[int, ...], Complex], qubits: list[int], clbits: list[int]
) -> dict[tuple[int, ...], Complex]:
    for instruction in circuit.data:
        operation = instruction.operation
        where = [qubits[circuit.find_bit(qubit).index] for qubit in instruction.qubits]
        bits = [clbits[circuit.find_bit(bit).index] for bit in instruction.clbits]
        after: dict[tuple[int, ...], list[Complex]] = {}
        if operation.name == "if_else":
            bit, value = operation.condition
            tested = clbits[circuit.find_bit(bit).index]
            inside = {key: rows for key, rows in held.items() if key[tested] == value}
            for key, rows in held.items():
                if key not in inside:
                    after.setdefault(key, []).append(rows)
            for key, rows in _followed(operation.blocks[0], inside, where, bits).items():
                after.setdefault(key, []).append(rows)
        else:
            for key, rows in held.items():
                for bit_value, changed in _applied(operation, rows, where):
                    new = list(key)
                    if operation.name == "measure":
                        new[bits[0]] = bit_value
                    after.setdefault(tuple(new), []).append(changed)
        held = {key: _short(np.concatenate(parts)) for key, parts in after.items()}
    return held


def _applied(operation: Any, rows: Complex, where: list[int]) -> list[tuple[int, Complex]]:
    n = rows.shape[1].bit_length() - 1
    axes = [1 + n - 1 - qubit for qubit in where]
    tensor = rows.reshape(-1, *[2] * n)
    if operation.name in ("measure", "reset"):
        results = []
        for value in (0, 1):
            part = np.moveaxis(np.zeros_like(tensor), axes[0], 0)
            source = np.moveaxis(tensor, axes[0], 0)[value]
            part[0 if operation.name == "reset" else value] = source
            results.append((value, np.moveaxis(part, 0, axes[0]).reshape(rows.shape)))
        return results
    k = len(where)
    gate = Operator(operation).data.reshape([2] * 2 * k)
    # The gate's first axis belongs to its last qubit.
    moved = np.tensordot(gate, tensor, axes=(list(range(k, 2 * k)), axes[::-1]))
    return [(0, np.moveaxis(moved, range(k), axes[::-1]).reshape(rows.shape))]


def _short(rows: Complex) -> Complex:
    if rows.shape[0] < 2:
        return rows
    _, values, right = np.linalg.svd(rows, full_matrices=False)
    keep = values > 1e-14
    return values[keep, np.newaxis] * right[keep] if np.any(keep) else rows[:1]


def success_and_state(circuit: QuantumCircuit) -> tuple[float, Complex]:
    """The chance of flags 0 and the density matrix of `q` there."""
    n = circuit.qregs[0].size
    total = np.zeros((2**n, 2**n), dtype=np.complex128)
    for key, rows in branches(circuit).items():
        if not any(key):
            parts = rows.reshape(-1, 2**n)
            total += parts.T @ parts.conj()
    probability = float(np.trace(total).real)
    return probability, total / probability


@pytest.mark.parametrize(
    ("name", "n_clock", "max_attempts", "evolution"),
    [
        ("single", 1, 4, "exponential"),
        ("pair", 1, 1, "blocks"),
        ("pair", 2, 3, "exponential"),
        ("apart", 2, 2, "diagonalised"),
        ("triangle", 2, 2, "blocks"),
        ("path", 1, 3, "blocks"),
    ],
)
def test_every_branch_as_predicted(name: str, n_clock: int, max_attempts: int, evolution: str) -> None:
    graph = GRAPHS[name]
    matrices = matrices_of(graph, seed=5, low=2.0, high=4.0)
    options = {"n_clock": n_clock, "max_attempts": max_attempts}
    circuit = ground_state_projection(graph, matrices, evolution=evolution, measure=False, **options)
    probability, state = success_and_state(circuit)
    exact = dense(graph, matrices)
    found = projection_success(graph, matrices, **options)
    assert found.probability == pytest.approx(probability, abs=1e-10)
    assert found.fidelity == pytest.approx(np.vdot(exact, state @ exact).real, abs=1e-10)
    assert circuit.metadata["success_probability"] == found.probability
    assert circuit.metadata["fidelity"] == found.fidelity
    # The prediction tells one setting from the next.
    other = projection_success(graph, matrices, n_clock=n_clock, max_attempts=max_attempts + 1)
    assert other.probability > probability + 1e-3


def test_perfect_projectors() -> None:
    """The closed form of the two-dimensional plane against projectors on the whole space; a fine clock comes near."""
    graph = GRAPHS["star"]
    matrices = matrices_of(graph, seed=6)
    positive = np.stack([polar(matrix)[1] for matrix in matrices])
    for max_attempts in (1, 2, 5):
        success = projection_success(graph, matrices, n_clock=8, max_attempts=max_attempts)
        put_in = np.broadcast_to(np.eye(2), positive.shape).astype(np.complex128)
        rho = np.outer(dense(graph, put_in), dense(graph, put_in))
        for qubit in range(4):
            before = np.outer(dense(graph, put_in), dense(graph, put_in).conj())
            put_in[qubit] = positive[qubit]
            after = np.outer(dense(graph, put_in), dense(graph, put_in).conj())
            not_before, not_after = np.eye(16) - before, np.eye(16) - after
            done = np.zeros_like(rho)
            for _ in range(max_attempts):
                done = done + after @ rho @ after
                rho = not_after @ rho @ not_after
                rho = before @ rho @ before + not_before @ rho @ not_before
            rho = done
        assert success.ideal_probability == pytest.approx(np.trace(rho).real, abs=1e-12)
        assert success.probability == pytest.approx(success.ideal_probability, abs=2e-3)
        assert success.fidelity > 0.9995
    coarse = [projection_success(graph, matrices, n_clock=n, max_attempts=3) for n in (1, 2, 4, 6)]
    assert coarse[0].fidelity < coarse[1].fidelity < coarse[2].fidelity < coarse[3].fidelity
    assert coarse[0].fidelity < 0.9
    assert np.all(coarse[3].leaks < 1e-2)
    assert np.all(coarse[3].gaps > 0.0)


def run(circuit: QuantumCircuit, shots: int, seed: int) -> tuple[int, NDArray[np.int64]]:
    simulator = AerSimulator(seed_simulator=seed, max_parallel_threads=1)
    result = np.zeros(2 ** circuit.cregs[0].size, dtype=np.int64)
    for key, count in simulator.run(circuit, shots=shots).result().get_counts().items():
        flags, data = key.split(" ")
        if "1" not in flags:
            result[int(data, 2)] += count
    return int(result.sum()), result


def sigmas(n_success: int, shots: int, success: ProjectionSuccess) -> float:
    p = success.probability
    return abs(n_success - shots * p) / float(np.sqrt(shots * p * (1.0 - p)))


@pytest.mark.parametrize(
    ("name", "n_clock", "max_attempts", "shots"),
    [
        ("single", 2, 3, 4000),
        ("pair", 2, 2, 4000),
        ("triangle", 2, 3, 2000),
        ("star", 2, 2, 1000),
        ("ring", 2, 1, 1500),
        ("kite", 3, 2, 200),
        pytest.param("star", 4, 4, 4000, marks=pytest.mark.slow),
        pytest.param("ring", 4, 3, 2000, marks=pytest.mark.slow),
        pytest.param("kite", 4, 3, 2000, marks=pytest.mark.slow),
    ],
)
def test_aer_succeeds_as_often_as_predicted(name: str, n_clock: int, max_attempts: int, shots: int) -> None:
    graph = GRAPHS[name]
    matrices = matrices_of(graph, seed=7)
    options: dict[str, int] = {"n_clock": n_clock, "max_attempts": max_attempts}
    circuit = ground_state_projection(graph, matrices, evolution="blocks", **options)
    n_success, _ = run(circuit, shots, seed=11)
    assert sigmas(n_success, shots, projection_success(graph, matrices, **options)) < 3.0
    # Control: other matrices; many attempts hide these, and are taken for one attempt instead.
    other = matrices if max_attempts > 2 else matrices_of(graph, seed=7, low=6.0, high=9.0)
    wrong = projection_success(graph, other, n_clock=n_clock, max_attempts=1 if max_attempts > 2 else max_attempts)
    assert sigmas(n_success, shots, wrong) > 5.0


def test_a_wrong_clock_is_caught() -> None:
    graph = GRAPHS["ring"]
    matrices = matrices_of(graph, seed=7, low=3.0, high=4.0)
    shots = 1500
    circuit = ground_state_projection(graph, matrices, n_clock=2, max_attempts=1, evolution="blocks")
    n_success, _ = run(circuit, shots, seed=1)
    assert sigmas(n_success, shots, projection_success(graph, matrices, n_clock=2, max_attempts=1)) < 3.0
    assert sigmas(n_success, shots, projection_success(graph, matrices, n_clock=1, max_attempts=1)) > 5.0
    assert sigmas(n_success, shots, projection_success(graph, matrices, n_clock=2, max_attempts=2)) > 5.0


def test_kept_shots_follow_the_model() -> None:
    graph, visible = GRAPHS["triangle"], [2, 0]
    matrices = matrices_of(graph, seed=8)
    options: dict[str, int] = {"n_clock": 4, "max_attempts": 2}
    circuit = ground_state_projection(graph, matrices, visible=visible, evolution="blocks", **options)
    n_success, counts = run(circuit, 3000, seed=2)
    assert projection_success(graph, matrices, **options).fidelity > 0.9999

    def p_value(parts: Complex) -> float:
        weights = np.abs(dense(graph, parts)) ** 2
        index = np.arange(8)
        expected = n_success * np.bincount((index >> 2 & 1) + 2 * (index & 1), weights)
        return float(chi2.sf(((counts - expected) ** 2 / expected).sum(), 3))

    assert p_value(matrices) > 1e-3
    assert p_value(matrices[[1, 0, 2]]) < 1e-6


def test_gates_of_a_device() -> None:
    graph = GRAPHS["pair"]
    matrices = matrices_of(graph, seed=9)
    circuits = {
        evolution: ground_state_projection(graph, matrices, n_clock=2, max_attempts=2, evolution=evolution)
        for evolution in projection.EVOLUTIONS
    }
    circuit = circuits["exponential"]
    assert [(r.name, r.size) for r in circuit.qregs] == [("q", 2), ("clock", 2), ("a", 1)]
    assert [(r.name, r.size) for r in circuit.cregs] == [("x", 2), ("flag", 2)]
    assert set(circuit.count_ops()) <= {"h", "cz", "cx", "u", "rx", "ry", "rz", "measure", "if_else"}
    blocks = [instruction.operation for instruction in circuit.data if instruction.operation.name == "if_else"]
    assert len(blocks) == 2
    for block in blocks:
        # One bit decides, and there is no condition inside a condition.
        assert block.condition[1] == 1
        assert "if_else" not in block.blocks[0].count_ops()
    first = circuit.metadata["two_qubit_gates_first_attempts"]
    assert first == circuit.count_ops()["cx"] + circuit.count_ops()["cz"]
    inside = [block.blocks[0].count_ops() for block in blocks]
    assert circuit.metadata["two_qubit_gates"] == first + sum(ops["cx"] + ops["cz"] for ops in inside)
    assert circuits["diagonalised"].metadata["two_qubit_gates"] < circuit.metadata["two_qubit_gates"]
    assert circuits["blocks"].metadata["two_qubit_gates"] is None
    assert [circuits[name].metadata["demonstration"] for name in projection.EVOLUTIONS] == [False, True, False]
    device = transpile(
        circuit, basis_gates=["rz", "sx", "x", "cx", "if_else", "reset", "measure"], optimization_level=1
    )
    assert device.count_ops()["cx"] <= first
    options: dict[str, int] = {"n_clock": 2, "max_attempts": 2}
    n_success, _ = run(device, 2000, seed=3)
    assert sigmas(n_success, 2000, projection_success(graph, matrices, **options)) < 3.0


def test_nothing_to_filter() -> None:
    graph = GRAPHS["path"]
    unitaries = np.stack([polar(matrix)[0] for matrix in matrices_of(graph, seed=10)])
    circuit = ground_state_projection(graph, unitaries, n_clock=2, max_attempts=3, measure=False)
    assert circuit.num_qubits == 3
    assert fidelity(Statevector(circuit).data, dense(graph, unitaries)) == pytest.approx(1.0, abs=1e-12)
    success = projection_success(graph, unitaries, n_clock=2, max_attempts=3)
    assert success.probability == pytest.approx(1.0, abs=1e-12)
    assert success.ideal_probability == 1.0
    assert success.overlaps.size == 0


@pytest.mark.parametrize("build", [ground_state_projection, projection_success])
def test_bad_input(build: Any) -> None:
    graph = GRAPHS["pair"]
    good: dict[str, Any] = {"matrices": [np.diag([1.0, 0.5])] * 2, "n_clock": 2, "max_attempts": 2}
    six = (6, [(i, i + 1) for i in range(5)])
    with pytest.raises(ValueError, match=r"`graph` must have at most 5 qubits .* but it has 6: use `generative_model`"):
        build(six, **{**good, "matrices": [np.eye(2)] * 6})
    with pytest.raises(ValueError, match="qubit 1 has the condition number"):
        build(graph, **{**good, "matrices": [np.eye(2), np.ones((2, 2))]})
    star = GRAPHS["star"]
    narrow = matrices_of(star, seed=1, low=900.0, high=1000.0)
    with pytest.raises(ValueError, match=r"gap of at least 0\.0001, but it falls to"):
        build(star, **{**good, "matrices": narrow})
    for value in (0, 9, 2.0, True):
        with pytest.raises(ValueError, match=f"`n_clock` must be an integer from 1 to 8, but it is {value}"):
            build(graph, **{**good, "n_clock": value})
    for value in (0, 65, "3"):
        with pytest.raises(ValueError, match=f"`max_attempts` must be an integer from 1 to 64, but it is {value!r}"):
            build(graph, **{**good, "max_attempts": value})
    if build is ground_state_projection:
        with pytest.raises(ValueError, match="`evolution` must be one of"):
            build(graph, **good, evolution="trotter")
        with pytest.raises(ValueError, match="`visible` must hold qubits from 0 to 1"):
            build(graph, **good, visible=[2])
