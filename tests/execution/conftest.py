"""Circuits that several test modules run."""

from __future__ import annotations

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ClassicalRegister, Parameter, QuantumRegister


@pytest.fixture
def bell() -> QuantumCircuit:
    """Two qubits that agree."""
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure_all()
    return circuit


@pytest.fixture
def feed_forward() -> QuantumCircuit:
    """A measurement whose outcome decides what happens to another qubit; two classical registers."""
    first, second = ClassicalRegister(1, "first"), ClassicalRegister(2, "second")
    circuit = QuantumCircuit(QuantumRegister(3, "q"), first, second)
    circuit.ry(1.1, 0)
    circuit.cx(0, 1)
    circuit.measure(0, first[0])
    with circuit.if_test((first, 1)) as otherwise:
        circuit.x(2)
        circuit.ry(0.4, 1)
    with otherwise:
        circuit.ry(0.7, 2)
    circuit.measure([1, 2], second)
    return circuit


@pytest.fixture
def swept() -> QuantumCircuit:
    """One free parameter: the chance of a 1 on qubit 0 is sin^2(angle / 2); qubit 1 copies it."""
    angle = Parameter("angle")
    circuit = QuantumCircuit(2)
    circuit.ry(angle, 0)
    circuit.cx(0, 1)
    circuit.measure_all()
    return circuit
