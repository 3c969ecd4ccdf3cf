"""Layers with free angles: order of parameters, their start, and what they reach."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit.circuit.library import RYGate, RZGate
from qiskit.quantum_info import Operator, Statevector, random_unitary

from circuits._ansatz import N_ANGLES, _angles, _euler
from circuits.state_preparation import layered_ansatz, shallow_matrix_product_state

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


def assert_equal_up_to_phase(found: Complex, expected: Complex) -> None:
    phase = np.vdot(found, expected)
    np.testing.assert_allclose(found * phase / abs(phase), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_angles_of_one_qubit(seed: int) -> None:
    small = 10.0 ** -(3 * seed + 1)
    phases = np.exp(1j * np.arange(2) * (seed + 1.0))
    turn = np.array([[np.cos(small), -np.sin(small)], [np.sin(small), np.cos(small)]])
    for unitary in (random_unitary(2, seed=seed).data, np.diag(phases), np.diag(phases)[::-1], turn * phases):
        first, second, third = _euler(unitary)
        found = RZGate(third).to_matrix() @ RYGate(second).to_matrix() @ RZGate(first).to_matrix()
        assert_equal_up_to_phase(found, unitary)
        assert max(abs(first), abs(second), abs(third)) <= np.pi


@pytest.mark.parametrize("seed", range(6))
def test_every_gate_of_two_qubits_is_reached(seed: int) -> None:
    special = {0: np.eye(4), 1: np.eye(4)[[0, 2, 1, 3]], 2: np.diag([1, 1, 1, -1]), 3: np.eye(4)[[0, 1, 3, 2]]}
    gate = np.asarray(special.get(seed, random_unitary(4, seed=seed).data), dtype=np.complex128)
    circuit, start = layered_ansatz(2, n_layers=1)
    angles = _angles(gate)
    assert len(angles) == start.size == N_ANGLES
    assert_equal_up_to_phase(Operator(circuit.assign_parameters(angles)).data, gate)


@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize(("bonds", "n_layers"), [([2], 1), ([2, 2, 2], 1), ([2, 4, 2], 2), ([2, 4, 4, 2], 3)])
def test_start_prepares_the_state(bonds: list[int], n_layers: int, real: bool) -> None:
    tensors = draw(bonds, seed=7, real=real)
    circuit, start = layered_ansatz(len(tensors), n_layers=n_layers, tensors=tensors, n_sweeps=10)
    shallow = shallow_matrix_product_state(tensors, n_layers=n_layers, n_sweeps=10)
    found = Statevector(circuit.assign_parameters(start)).data
    assert_equal_up_to_phase(found, Statevector(shallow).data)
    assert abs(np.vdot(found, dense(tensors))) ** 2 == pytest.approx(shallow.metadata["fidelity"], abs=1e-9)
    assert start.shape == (15 * len(bonds) * n_layers,)
    assert np.abs(start).max() <= np.pi


def test_order_of_the_parameters() -> None:
    # 40 * 15 angles: more than ten, where an order by name would put theta[10] before theta[2].
    circuit, start = layered_ansatz(11, n_layers=4)
    assert [parameter.name for parameter in circuit.parameters] == [f"theta[{i}]" for i in range(start.size)]
    used = [entry.operation.params[0].index for entry in circuit.data]
    assert used == list(range(start.size))
    names = [entry.operation.name for entry in circuit.data[:N_ANGLES]]
    assert names == ["rz", "ry", "rz"] * 2 + ["rxx", "ryy", "rzz"] + ["rz", "ry", "rz"] * 2
    assert [circuit.find_bit(qubit).index for qubit in circuit.data[6].qubits] == [9, 10]


def test_without_a_state_all_angles_are_zero() -> None:
    circuit, start = layered_ansatz(3, n_layers=2)
    assert not start.any()
    np.testing.assert_allclose(Operator(circuit.assign_parameters(start)).data, np.eye(8), rtol=0, atol=1e-15)


def test_further_layers_start_as_identities() -> None:
    tensors = draw([2, 4, 2], seed=0)
    one, start = layered_ansatz(4, n_layers=1, tensors=tensors)
    three, longer = layered_ansatz(4, n_layers=3, tensors=tensors, n_start_layers=1)
    np.testing.assert_array_equal(longer[: start.size], start)
    assert not longer[start.size :].any()
    states = [Statevector(circuit.assign_parameters(x)).data for circuit, x in ((one, start), (three, longer))]
    np.testing.assert_allclose(states[0], states[1], rtol=0, atol=1e-13)
    # A state that one layer prepares takes no more, whatever is allowed.
    assert not layered_ansatz(4, n_layers=3, tensors=draw([2, 2, 2], seed=1))[1][45:].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_qubits": 1, "n_layers": 1}, "`n_qubits` must be an integer from 2 to 1000"),
        ({"n_qubits": 1001, "n_layers": 1}, "`n_qubits` must be an integer from 2 to 1000"),
        ({"n_qubits": 3, "n_layers": 0}, "`n_layers` must be an integer from 1 to 8"),
        ({"n_qubits": 3, "n_layers": 2, "n_start_layers": 3}, "`n_start_layers` must be an integer from 1 to 2"),
        ({"n_qubits": 3, "n_layers": 1, "tensors": [np.ones((1, 2, 1))] * 4}, "each of the 3 qubits, but it holds 4"),
        ({"n_qubits": 3, "n_layers": 1, "tensors": []}, "at least one tensor"),
        ({"n_qubits": 2, "n_layers": 1, "tensors": [np.ones((1, 2, 1))] * 2, "tolerance": -1.0}, "`tolerance`"),
        ({"n_qubits": 2, "n_layers": 1, "tensors": [np.ones((1, 2, 1))] * 2, "n_sweeps": 0.5}, "`n_sweeps`"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layered_ansatz(**arguments)  # type: ignore[arg-type]
