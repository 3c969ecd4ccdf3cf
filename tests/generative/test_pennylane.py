from __future__ import annotations

from typing import Any

import numpy as np
import pennylane
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector, library
from qiskit.quantum_info import Statevector

from qmlphys.bits import integers_to_bits
from qmlphys.generative import _pennylane
from qmlphys.generative._pennylane import Simulator, read_circuit, translate


def layered(n_qubits: int, n_layers: int, *, entangled: bool = True) -> QuantumCircuit:
    """RY and RZ on every qubit, RXX around a ring."""
    angles = iter(ParameterVector("t", n_layers * 3 * n_qubits + n_qubits))
    circuit = QuantumCircuit(n_qubits)
    for _ in range(n_layers):
        for qubit in range(n_qubits):
            circuit.ry(next(angles), qubit)
            circuit.rz(next(angles), qubit)
        for qubit in range(n_qubits if entangled else 0):
            circuit.rxx(next(angles), qubit, (qubit + 1) % n_qubits)
    for qubit in range(n_qubits):
        circuit.ry(next(angles), qubit)
    return circuit


def qiskit_probabilities(circuit: QuantumCircuit, parameters: Any) -> NDArray[np.float64]:
    return Statevector(circuit.assign_parameters(parameters)).probabilities()


def scrambled(n_qubits: int, rng: np.random.Generator) -> QuantumCircuit:
    """A fixed circuit without any symmetry, so that every phase shows."""
    circuit = QuantumCircuit(n_qubits)
    for qubit in range(n_qubits):
        circuit.u(*rng.uniform(0.3, 2.8, 3), qubit)
    for qubit in range(n_qubits - 1):
        circuit.cx(qubit, qubit + 1)
        circuit.u(*rng.uniform(0.3, 2.8, 3), qubit)
    return circuit


class TestTranslation:
    @pytest.mark.parametrize("name", sorted(_pennylane._GATES))
    def test_every_gate_is_qiskits(self, name: str) -> None:
        rng = np.random.default_rng(sum(map(ord, name)))
        n_angles, n_qubits, _ = _pennylane._GATES[name]
        angle = Parameter("a")
        angles = [0.7 * angle + 0.2, *rng.uniform(0.3, 2.8, 2)][:n_angles]
        for qubits in ([0, 1, 2][:n_qubits], [2, 0, 1][:n_qubits]):
            circuit = scrambled(3, rng)
            circuit.ry(angle, 0)
            if name in ("u1", "u2", "u3"):  # no method of the circuit
                circuit.append(getattr(library, f"{name.upper()}Gate")(*angles), qubits)
            else:
                getattr(circuit, name)(*angles, *qubits)
            circuit = circuit.compose(scrambled(3, rng))
            p = Simulator(read_circuit(circuit)).probabilities(np.array([1.1]))
            np.testing.assert_allclose(p, qiskit_probabilities(circuit, [1.1]), rtol=0, atol=1e-14)
            # Guard: without the gate the outcome is another.
            assert n_angles == 0 or np.abs(p - qiskit_probabilities(circuit, [1.4])).max() > 1e-3

    @settings(max_examples=15, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), n_qubits=st.integers(1, 6))
    def test_probabilities_equal_qiskits(self, seed: int, n_qubits: int) -> None:
        rng = np.random.default_rng(seed)
        names = ParameterVector("t", 5)
        circuit = QuantumCircuit(n_qubits, global_phase=names[0])
        for _ in range(30):
            qubits = rng.permutation(n_qubits).tolist()
            n_angles, n_needed, _ = _pennylane._GATES[name := rng.choice(sorted(_pennylane._GATES))]
            if n_needed > n_qubits or name in ("u1", "u2", "u3"):
                continue
            angles = [rng.normal() * names[int(rng.integers(5))] + rng.normal() for _ in range(n_angles)]
            getattr(circuit, name)(*angles, *qubits[:n_needed])
        circuit.barrier()
        circuit.rx(names[1] - 2 * names[2] + names[1] / 3, 0)
        values = rng.uniform(-7, 7, circuit.num_parameters)
        p = Simulator(read_circuit(circuit)).probabilities(values)
        np.testing.assert_allclose(p, qiskit_probabilities(circuit, values), rtol=0, atol=1e-12)

    def test_site_i_has_the_weight_2_to_the_i(self) -> None:
        circuit = QuantumCircuit(3)
        circuit.x(0)
        circuit.ry(Parameter("a"), 2)
        np.testing.assert_allclose(
            Simulator(read_circuit(circuit)).probabilities(np.zeros(1)), np.eye(8)[1], atol=1e-15
        )

    def test_operations(self) -> None:
        angles = ParameterVector("t", 2)
        circuit = QuantumCircuit(2)
        circuit.h(0)
        circuit.rzz(2 * angles[1] - 1, 0, 1)
        circuit.sdg(1)
        first, second, third = translate(circuit.compose(QuantumCircuit(2)), [0.25])
        assert (first.name, list(first.wires)) == ("Hadamard", [1])
        assert (second.name, list(second.wires), second.parameters) == ("IsingZZ", [1, 0], [-0.5])
        np.testing.assert_allclose(third.matrix(), [[1, 0], [0, -1j]], atol=1e-15)

    def test_many_parameters_keep_the_order_of_the_circuit(self) -> None:
        circuit = QuantumCircuit(1)
        for angle in ParameterVector("t", 12):
            circuit.rx(angle, 0)
        circuit.ry(Parameter("a"), 0)
        assert read_circuit(circuit).parameters == tuple(angle.name for angle in circuit.parameters)


class TestGradient:
    def test_equals_the_exact_shift_rule(self) -> None:
        # d p / d theta = (p(theta + pi/2) - p(theta - pi/2)) / 2 holds for rotations whose generator has +-1/2 only.
        rng = np.random.default_rng(4)
        simulator = Simulator(read_circuit(layered(4, 2)))
        theta = rng.uniform(0, 6, 28)
        outcomes, weights = np.array([0, 3, 4, 10, 15]), rng.normal(size=5)
        gradient = simulator.gradient(theta, outcomes, weights)
        for k, step in enumerate(np.eye(28) * np.pi / 2):
            shifted = simulator.probabilities(theta + step) - simulator.probabilities(theta - step)
            assert gradient[k] == pytest.approx(weights @ shifted[outcomes] / 2, rel=1e-12, abs=1e-14)
        assert np.linalg.norm(gradient) > 0.1

    def test_one_observable_equals_projector_by_projector(self) -> None:
        rng = np.random.default_rng(5)
        sequence = read_circuit(layered(3, 1))
        theta = rng.uniform(0, 6, 12)
        outcomes, weights = np.array([1, 2, 6]), rng.normal(size=3)
        simulator = Simulator(sequence)

        @pennylane.qnode(simulator.device, interface="torch", diff_method="adjoint", device_vjp=True)
        def projector(angles: Any, bits: list[int]) -> Any:
            sequence.operations(angles)
            return pennylane.expval(pennylane.Projector(bits, wires=range(3)))

        total = np.zeros(12)
        for outcome, weight in zip(outcomes, weights, strict=True):
            variables = torch.tensor(theta, requires_grad=True)
            value = projector(sequence.angles(variables).unbind(), integers_to_bits(outcome, 3)[::-1].tolist())
            total += weight * torch.autograd.grad(value, variables)[0].numpy()
        np.testing.assert_allclose(simulator.gradient(theta, outcomes, weights), total, rtol=0, atol=1e-14)

    def test_parameters_shared_scaled_and_added(self) -> None:
        a, b = Parameter("a"), Parameter("b")
        circuit = scrambled(3, np.random.default_rng(0))
        circuit.crx(2 * a - b / 3, 0, 2)
        circuit.u(a, b, 0.4 - a, 1)
        circuit.cp(a + b, 1, 2)
        circuit = circuit.compose(scrambled(3, np.random.default_rng(1)))
        simulator = Simulator(read_circuit(circuit))
        theta, outcomes, weights = np.array([0.7, -1.9]), np.arange(8), np.linspace(-1, 2, 8)
        numeric = [
            (simulator.probabilities(theta + step) - simulator.probabilities(theta - step)) @ weights / 2e-5
            for step in 1e-5 * np.eye(2)
        ]
        # Central differences: 1e-10 of the step squared, 1e-11 of rounding.
        np.testing.assert_allclose(simulator.gradient(theta, outcomes, weights), numeric, rtol=0, atol=1e-9)

    def test_costs_do_not_grow_with_the_number_of_parameters(self) -> None:
        counts = []
        for n_layers in (1, 4):
            simulator = Simulator(read_circuit(layered(3, n_layers)))
            theta = np.linspace(0, 5, len(simulator.sequence.parameters))
            with pennylane.Tracker(simulator.device) as tracker:
                simulator.gradient(theta, np.array([0, 5]), np.array([1.0, 2.0]))
            counts.append((tracker.totals.get("executions", 0), tracker.totals.get("vjps", 0)))
        # Parameter shifts would be two runs a parameter.
        assert counts[0] == counts[1]
        assert counts[0][0] <= 2
        assert 1 <= counts[0][1] <= 2

    def test_adjoint_does_not_differentiate_probabilities(self) -> None:
        # Why there are two QNodes.
        device = pennylane.device("lightning.qubit", wires=1, seed=0)

        @pennylane.qnode(device, interface="torch", diff_method="adjoint")
        def circuit(angle: Any) -> Any:
            pennylane.RY(angle, wires=0)
            return pennylane.probs(wires=0)

        with pytest.raises(Exception, match="adjoint"):
            circuit(torch.tensor(0.3, requires_grad=True))
