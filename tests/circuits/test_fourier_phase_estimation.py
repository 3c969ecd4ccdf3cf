"""Phase estimation: exact on the grid, the known kernel off it, and every way to give the unitary."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import RZGate, UnitaryGate
from qiskit.quantum_info import Operator, Statevector
from scipy.stats import unitary_group

from circuits.fourier import phase_estimation
from tests.reference import branches


def with_phases(phases: list[float], seed: int) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """A unitary with given eigenphases, in turns, and its eigenvectors as columns."""
    vectors = unitary_group.rvs(len(phases), random_state=seed)
    return vectors @ np.diag(np.exp(2j * np.pi * np.array(phases))) @ vectors.conj().T, vectors


def kernel(phase: float, n_clock: int) -> NDArray[np.float64]:
    """Probability of each clock value (Cleve et al. 1998), as a geometric sum without a division by zero."""
    size = 2**n_clock
    j = np.arange(size)
    return np.abs(np.exp(2j * np.pi * np.outer(phase - j / size, j)).mean(axis=1)) ** 2


def clock_of(circuit: QuantumCircuit, state: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Distribution of the clock, with the system in a state at the start."""
    n_clock = len(circuit.qregs[1])
    start = np.zeros((2**n_clock, state.size), complex)
    start[0] = state
    final = Statevector(start.ravel()).evolve(circuit).data.reshape(2**n_clock, state.size)
    return (np.abs(final) ** 2).sum(axis=1)


@pytest.mark.parametrize(("n_system", "n_clock"), [(1, 1), (1, 5), (2, 4), (3, 3)])
def test_phases_on_the_grid_are_exact(n_system: int, n_clock: int) -> None:
    rng = np.random.default_rng(n_clock)
    integers = rng.integers(0, 2**n_clock, size=2**n_system)
    matrix, vectors = with_phases([k / 2**n_clock for k in integers], seed=3)
    circuit = phase_estimation(matrix, n_clock)
    assert [(r.name, r.size) for r in circuit.qregs] == [("system", n_system), ("clock", n_clock)]
    for integer, vector in zip(integers, vectors.T, strict=True):
        # 1e-10: the powers magnify the rounding of the phases by up to 2^n_clock.
        np.testing.assert_allclose(clock_of(circuit, vector), np.eye(2**n_clock)[integer], rtol=0, atol=1e-10)


def test_phases_off_the_grid_follow_the_kernel() -> None:
    phases = [0.1, 0.377, 0.61803, 0.95]
    matrix, vectors = with_phases(phases, seed=1)
    circuit = phase_estimation(matrix, 5)
    for phase, vector in zip(phases, vectors.T, strict=True):
        expected = kernel(phase, 5)
        assert 0.3 < expected.max() < 0.999
        np.testing.assert_allclose(clock_of(circuit, vector), expected, rtol=0, atol=1e-11)
    weights = np.array([0.1, 0.2, 0.3, 0.4])
    mixed = clock_of(circuit, vectors @ np.sqrt(weights))
    np.testing.assert_allclose(mixed, weights @ [kernel(phase, 5) for phase in phases], rtol=0, atol=1e-11)


def test_circuits_and_gates_give_what_their_matrix_gives() -> None:
    inner = QuantumCircuit(2, global_phase=0.3)
    inner.ry(0.4, 0)
    inner.cx(0, 1)
    inner.rz(1.1, 1)
    state = np.array([0.5, 0.5j, -0.5, 0.5])
    expected = clock_of(phase_estimation(Operator(inner).data, 3), state)
    assert expected.max() < 0.9
    for given in (inner, inner.to_gate(), UnitaryGate(Operator(inner).data)):
        np.testing.assert_allclose(clock_of(phase_estimation(given, 3), state), expected, rtol=0, atol=1e-12)
    one = np.array([0.6, 0.8j])
    rotation = RZGate(1.234)
    np.testing.assert_allclose(
        clock_of(phase_estimation(rotation, 4), one),
        clock_of(phase_estimation(rotation.to_matrix(), 4), one),
        rtol=0,
        atol=1e-12,
    )


@pytest.mark.parametrize("n_clock", [1, 2, 4])
def test_the_semiclassical_readout_has_the_same_distribution(n_clock: int) -> None:
    matrix, vectors = with_phases([0.2, 0.7123], seed=2)
    circuit = phase_estimation(matrix, n_clock, readout="semiclassical")
    assert [register.name for register in circuit.cregs] == ["k"]
    start = np.zeros((2**n_clock, 2), complex)
    start[0] = vectors @ [0.6, 0.8]
    found = branches.distribution(circuit, start.ravel())
    expected = 0.36 * kernel(0.2, n_clock) + 0.64 * kernel(0.7123, n_clock)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_powers_stay_unitary_with_many_clock_qubits() -> None:
    matrix, _ = with_phases([0.2, 0.7123], seed=2)
    last = phase_estimation(matrix, 30).data[59].operation.to_matrix()
    np.testing.assert_allclose(last.conj().T @ last, np.eye(4), rtol=0, atol=1e-12)


def test_the_error_of_the_transform_is_passed_on() -> None:
    circuit = phase_estimation(np.diag([1, 1j]), 6, error=0.2)
    assert 0 < circuit.metadata["error_bound"] <= 0.2
    state = np.array([0.0, 1.0])
    difference = 0.5 * np.abs(clock_of(circuit, state) - np.eye(64)[16]).sum()
    assert 0 < difference <= circuit.metadata["error_bound"]


def measured() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    return circuit


def reset() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.reset(0)
    return circuit


def unbound() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("a"), 0)
    return circuit


@pytest.mark.parametrize(
    ("unitary", "n_clock", "problem", "text"),
    [
        (np.eye(3), 2, ValueError, "must have 2, 4, 8"),
        (np.eye(1), 2, ValueError, "must have 2, 4, 8"),
        (np.ones((2, 4)), 2, ValueError, "must have 2, 4, 8"),
        (np.diag([1, 1.01]), 2, ValueError, "must be unitary, but U\\^dagger U differs"),
        (np.diag([1, np.nan]), 2, ValueError, "must be finite"),
        ("U", 2, TypeError, "must be a matrix, a QuantumCircuit or a Gate"),
        (measured(), 2, ValueError, "remove measurements"),
        (reset(), 2, ValueError, "must be a unitary circuit"),
        (unbound(), 2, ValueError, "bind them"),
        (QuantumCircuit(0), 2, ValueError, "at least one qubit"),
        (np.eye(2), 0, ValueError, "`n_clock` must be 1 to 30"),
        (np.eye(2), 31, ValueError, "`n_clock` must be 1 to 30"),
        (QuantumCircuit(1), 17, ValueError, "`n_clock` must be 1 to 16"),
        (np.eye(2), 1.5, TypeError, "`n_clock` must be an integer"),
    ],
)
def test_what_is_refused(unitary: Any, n_clock: Any, problem: type[Exception], text: str) -> None:
    with pytest.raises(problem, match=text):
        phase_estimation(unitary, n_clock)
    with pytest.raises(ValueError, match="Argument `readout` must be"):
        phase_estimation(np.eye(2), 2, readout="iterative")  # type: ignore[arg-type]
