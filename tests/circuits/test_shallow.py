"""Shallow circuits for matrix product states: the net against dense algebra, and overlaps that never decrease."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator, Statevector, random_unitary

from circuits import _tensors
from circuits._layers import Ascent, Layer, LayerNet, completed, disentangler, grown, undone
from circuits.state_preparation import matrix_product_state, shallow_matrix_product_state

Complex = NDArray[np.complex128]


def draw(bonds: list[int], *, seed: int, real: bool = False) -> list[Complex]:
    rng = np.random.default_rng(seed)
    shapes = [(left, 2, right) for left, right in itertools.pairwise([1, *bonds, 1])]
    return [rng.normal(size=shape) + (0.0 if real else 1j) * rng.normal(size=shape) for shape in shapes]


def dense(tensors: list[Complex]) -> Complex:
    vector = np.ones((1, 1))
    for tensor in tensors:
        vector = np.tensordot(vector, tensor, axes=(1, 0)).transpose(1, 0, 2).reshape(-1, tensor.shape[2])
    return vector[:, 0] / np.linalg.norm(vector)


def ising_like(n_sites: int) -> list[Complex]:
    """Amplitudes exp(-E/2) of classical spins with couplings to first and second neighbours, on a chain: bonds of 4."""
    spin = np.array([1.0, -1.0])
    step = np.zeros((2, 2, 2, 2, 2))  # two spins before, this one, two spins after
    for before, last, this in itertools.product(range(2), repeat=3):
        step[before, last, this, last, this] = math.exp(0.5 * spin[last] * spin[this] + 0.3 * spin[before] * spin[this])
    tensor = step.reshape(4, 2, 4) + 0.0j
    return [tensor.sum(axis=0, keepdims=True), *[tensor] * (n_sites - 2), tensor.sum(axis=2, keepdims=True)]


def random_layers(n_sites: int, n_layers: int, seed: int) -> list[Layer]:
    rng = np.random.default_rng(seed)
    return [[random_unitary(4, seed=rng).data for _ in range(n_sites - 1)] for _ in range(n_layers)]


def as_circuit(layers: list[Layer]) -> QuantumCircuit:
    n_sites = len(layers[0]) + 1
    circuit = QuantumCircuit(n_sites)
    for layer in layers:
        for low in range(n_sites - 2, -1, -1):
            circuit.unitary(layer[low], [low, low + 1])
    return circuit


def net_of(tensors: list[Complex], layers: list[Layer]) -> LayerNet:
    return LayerNet(_tensors.canonical(tensors), layers)


def simulated(circuit: QuantumCircuit) -> list[Complex]:
    """A circuit of gates on neighbours, run on a matrix product state without truncation beyond rounding."""
    state = [np.array([1.0, 0.0], dtype=np.complex128).reshape(1, 2, 1)] * circuit.num_qubits
    for entry in circuit.data:
        sites = [circuit.find_bit(qubit).index for qubit in entry.qubits]
        gate = Operator(entry.operation).data
        if len(sites) == 1:
            state[sites[0]] = np.einsum("ts,lsr->ltr", gate, state[sites[0]])
            continue
        low = min(sites)
        gate = gate.reshape(2, 2, 2, 2)  # second and first qubit after, second and first before
        if sites[0] > sites[1]:
            gate = gate.transpose(1, 0, 3, 2)
        pair = np.einsum("UVul,aluz->aVUz", gate, np.tensordot(state[low], state[low + 1], axes=(2, 0)))
        left, right = pair.shape[0], pair.shape[3]
        u, weights, v = np.linalg.svd(pair.reshape(2 * left, 2 * right), full_matrices=False)
        kept = max(1, int((weights > 1e-13 * weights[0]).sum()))
        state[low] = (u[:, :kept] * weights[:kept]).reshape(left, 2, kept)
        state[low + 1] = v[:kept].reshape(kept, 2, right)
    return [tensor * np.exp(1j * circuit.global_phase * (site == 0)) for site, tensor in enumerate(state)]


@pytest.mark.parametrize(("bonds", "n_layers"), [([2], 1), ([1], 3), ([2, 3], 2), ([2, 4, 3, 2], 1), ([2, 4, 4, 2], 3)])
def test_overlap_of_layers(bonds: list[int], n_layers: int) -> None:
    tensors = draw(bonds, seed=n_layers)
    layers = random_layers(len(tensors), n_layers, seed=1)
    expected = np.vdot(dense(tensors), Statevector(as_circuit(layers)).data)
    assert net_of(tensors, layers).amplitude() == pytest.approx(expected, abs=1e-13)
    assert abs(expected) > 1e-3


def test_a_sweep_leaves_each_gate_at_its_best() -> None:
    # One gate, two sites: the best gate prepares the state exactly.
    tensors = draw([2], seed=0)
    net = net_of(tensors, random_layers(2, 1, seed=3))
    assert net.sweep() == pytest.approx(1.0, abs=1e-13)
    # Several: after many sweeps no turn of a single gate gains anything, to first order.
    tensors = draw([2, 4, 2], seed=0)
    ascent = Ascent(net_of(tensors, random_layers(4, 2, seed=3)))
    ascent.run(300, 0.0)
    vector = dense(tensors)
    rng = np.random.default_rng(0)
    steps = [random_unitary(4, seed=rng).data for _ in range(6)]
    hermitian = [step + step.conj().T for step in steps]
    for depth, column, turn in itertools.product(range(2), range(3), hermitian):
        values = []
        for sign in (1.0, -1.0):
            layers = [list(layer) for layer in ascent.layers]
            turned, _ = np.linalg.qr(np.eye(4) + sign * 1e-5j * turn)
            turned = turned * np.sign(np.diag(turned).real)
            layers[depth][column] = turned @ layers[depth][column]
            values.append(abs(np.vdot(vector, Statevector(as_circuit(layers)).data)) ** 2)
        assert abs(values[0] - values[1]) / 2e-5 < 1e-4
        assert max(values) <= ascent.reached + 1e-12


@pytest.mark.parametrize("seed", range(3))
def test_the_overlap_never_decreases(seed: int) -> None:
    tensors = draw([2, 4, 8, 4, 2], seed=seed)
    net = net_of(tensors, random_layers(6, 2, seed=seed))
    plain = [abs(net.amplitude()) ** 2]
    for _ in range(10):
        plain.append(net.sweep())
        assert plain[-1] == pytest.approx(abs(net.amplitude()) ** 2, rel=1e-11)
    assert np.all(np.diff(plain) > -1e-13)
    assert plain[-1] > plain[0] + 0.1
    ascent = Ascent(net_of(tensors, random_layers(6, 2, seed=seed)))
    reached = [ascent.reached]
    for _ in range(10):
        ascent.run(1, 0.0)
        reached.append(ascent.reached)
    assert np.all(np.diff(reached) > -1e-13)
    found = np.vdot(dense(tensors), Statevector(as_circuit(ascent.layers)).data)
    assert abs(found) ** 2 == pytest.approx(ascent.reached, rel=1e-11)


@pytest.mark.parametrize("seed", range(3))
def test_more_layers_are_never_worse(seed: int) -> None:
    state = _tensors.canonical(draw([2, 4, 8, 8, 4, 2], seed=seed, real=seed == 0))
    for n_sweeps in (0, 3, 15):
        values = [value for _, value in grown(state, 3, n_sweeps, 1e-2)]
        assert np.all(np.diff(values) >= -1e-13)
    assert values[2] > values[1] > values[0]


def test_disentangler_takes_off_a_bond_of_two() -> None:
    tensors = draw([2] * 6, seed=0)
    state = _tensors.canonical(tensors)
    layer = disentangler(state)
    assert abs(net_of(tensors, [layer]).amplitude()) == pytest.approx(1.0, abs=1e-12)
    rest = undone(state, layer)
    assert [tensor.shape[0] for tensor in rest] == [1] * 7
    np.testing.assert_allclose(np.abs(dense(rest))[0], 1.0, rtol=0, atol=1e-12)


def test_layers_taken_off() -> None:
    tensors = draw([2, 4, 4, 2], seed=1)
    layer = random_layers(5, 1, seed=2)[0]
    expected = Operator(as_circuit([layer])).adjoint().data @ dense(tensors)
    np.testing.assert_allclose(dense(undone(_tensors.canonical(tensors), layer)), expected, rtol=0, atol=1e-12)


def test_free_columns_stay_near() -> None:
    near = random_unitary(4, seed=0).data
    columns = near[:, [0, 2]] @ random_unitary(2, seed=1).data
    found = completed(columns, [0, 2], near)
    np.testing.assert_allclose(found[:, [0, 2]], columns, rtol=0, atol=1e-14)
    np.testing.assert_allclose(found[:, [1, 3]], near[:, [1, 3]], rtol=0, atol=1e-13)


@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize(("bonds", "n_layers"), [([2], 2), ([2, 4, 2], 2), ([2, 4, 4, 4, 2], 3), ([2, 4, 1, 2, 3], 2)])
def test_circuits_of_random_states(bonds: list[int], n_layers: int, real: bool) -> None:
    tensors = draw(bonds, seed=5, real=real)
    n_sites = len(tensors)
    circuit = shallow_matrix_product_state(tensors, n_layers=n_layers, n_sweeps=10)
    overlap = np.vdot(dense(tensors), Statevector(circuit).data)
    # The phase is such that the overlap is positive; gates are synthesised to 1e-12.
    assert overlap == pytest.approx(math.sqrt(circuit.metadata["fidelity"]), abs=1e-10)
    assert 0.7 < circuit.metadata["fidelity"] <= 1.0
    used = circuit.metadata["layers"]
    assert circuit.metadata["two_qubit_gates"] == circuit.count_ops()["cx"] == circuit.num_nonlocal_gates()
    assert circuit.metadata["two_qubit_gates"] <= 2 * n_sites - 3 + 3 * (used - 1) * (n_sites - 1)
    assert all(len(entry.qubits) == 1 or entry.operation.name == "cx" for entry in circuit.data)


@pytest.mark.parametrize("n_sites", [1, 2, 3, 9])
def test_bonds_of_two_take_one_layer(n_sites: int) -> None:
    tensors = draw([2] * (n_sites - 1), seed=n_sites)
    circuit = shallow_matrix_product_state(tensors, n_layers=3)
    assert circuit.metadata["fidelity"] == pytest.approx(1.0, abs=1e-12)
    assert circuit.metadata["layers"] == (n_sites > 1)
    assert circuit.metadata["two_qubit_gates"] == max(2 * n_sites - 3, 0)


def test_products_take_no_gate_of_two_qubits() -> None:
    circuit = shallow_matrix_product_state(draw([1] * 5, seed=0), n_layers=2)
    assert circuit.metadata == {"fidelity": pytest.approx(1.0, abs=1e-12), "two_qubit_gates": 0, "layers": 1}


@pytest.mark.parametrize("n_layers", [1, 2])
def test_fifty_sites(n_layers: int) -> None:
    tensors = ising_like(50)
    circuit = shallow_matrix_product_state(tensors, n_layers=n_layers, n_sweeps=6)
    fidelity = circuit.metadata["fidelity"]
    found = simulated(circuit)
    value = _tensors.overlap(_tensors.canonical(tensors), found)
    assert value == pytest.approx(math.sqrt(fidelity), abs=1e-9)
    assert _tensors.overlap(found, found) == pytest.approx(1.0, abs=1e-9)
    assert fidelity > (0.99, 0.999)[n_layers - 1]
    assert circuit.metadata["two_qubit_gates"] <= 97 + 147 * (n_layers - 1)
    # The exact circuit costs more.
    assert matrix_product_state(tensors).metadata["two_qubit_gates"] > 2 * circuit.metadata["two_qubit_gates"]


def test_sweeps_beat_the_analytic_start() -> None:
    tensors = draw([2, 4, 8, 8, 4, 2], seed=1)
    values = [shallow_matrix_product_state(tensors, n_layers=2, n_sweeps=n).metadata["fidelity"] for n in (0, 20)]
    assert 1.0 - values[1] < 0.5 * (1.0 - values[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_layers": 0}, "`n_layers` must be an integer from 1 to 8"),
        ({"n_layers": 9}, "`n_layers` must be an integer from 1 to 8"),
        ({"n_layers": 2.0}, "`n_layers` must be an integer"),
        ({"n_sweeps": -1}, "`n_sweeps` must be an integer from 0"),
        ({"tolerance": 1.0}, "`tolerance` must be from 0 to below 1"),
        ({"tolerance": math.nan}, "`tolerance` must be a finite"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shallow_matrix_product_state(draw([2, 2], seed=0), **settings)  # type: ignore[arg-type]


def test_contractions_too_large_are_refused() -> None:
    with pytest.raises(ValueError, match="take fewer layers or truncate"):
        shallow_matrix_product_state(draw([2, 4, *[8] * 195, 4, 2], seed=0), n_layers=8)


def test_bad_tensors_are_refused() -> None:
    with pytest.raises(ValueError, match="left bond of 3 beside one of 2"):
        shallow_matrix_product_state([np.ones((1, 2, 2)), np.ones((3, 2, 1))])
    with pytest.raises(TypeError, match="must be a sequence"):
        shallow_matrix_product_state(3)  # type: ignore[arg-type]
