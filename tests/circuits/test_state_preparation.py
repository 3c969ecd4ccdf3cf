"""Prepared states against the vectors asked for, and what they cost."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator, Statevector, random_unitary

from circuits._synthesis import exactly, up_to_diagonal
from circuits.linear_systems import clock_window
from circuits.state_preparation import amplitudes, staircase


def draw(n_qubits: int, *, seed: int, real: bool) -> NDArray[np.complex128]:
    rng = np.random.default_rng(seed)
    vector = rng.normal(size=2**n_qubits) + (0.0 if real else 1j) * rng.normal(size=2**n_qubits)
    return vector / np.linalg.norm(vector)


def n_two_qubit(circuit: QuantumCircuit) -> int:
    return sum(len(instruction.qubits) == 2 for instruction in circuit.data)


def check(circuit: QuantumCircuit, expected: NDArray[np.complex128]) -> None:
    """Compare amplitudes, phase included; a gate of two qubits may leave out 1e-12 and seldom leaves out 1e-15."""
    np.testing.assert_allclose(Statevector(circuit).data, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("n_qubits", "most"), [(1, 0), (2, 1), (3, 3), (4, 7), (5, 23), (6, 42), (7, 118)])
def test_complex_vectors(n_qubits: int, most: int, seed: int) -> None:
    vector = draw(n_qubits, seed=seed, real=False)
    circuit = amplitudes(vector)
    check(circuit, vector)
    assert n_two_qubit(circuit) <= most
    assert np.abs(np.abs(Statevector(circuit).data) - np.abs(vector[::-1])).max() > 0.01  # the order is seen


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_qubits", range(1, 9))
def test_real_vectors_take_ry_and_cz_only(n_qubits: int, seed: int) -> None:
    vector = draw(n_qubits, seed=seed, real=True)
    circuit = amplitudes(vector)
    check(circuit, vector)
    assert set(circuit.count_ops()) <= {"ry", "cz"}
    assert n_two_qubit(circuit) == 2**n_qubits - n_qubits - 1


def test_weight_of_a_qubit_is_its_power_of_two() -> None:
    for site in range(4):
        vector = np.zeros(16)
        vector[2**site] = 1.0
        circuit = amplitudes(vector)
        assert n_two_qubit(circuit) == 0
        check(circuit, vector)
        check(amplitudes(1j * vector), 1j * vector)


def test_states_without_entanglement_are_free() -> None:
    vector = np.ones(1)
    for seed in range(5):
        vector = np.kron(draw(1, seed=seed, real=True), vector)
    assert n_two_qubit(amplitudes(vector)) == 0
    check(amplitudes(vector), vector)
    turned = vector * np.exp(0.3j)
    assert n_two_qubit(amplitudes(turned)) == 0
    check(amplitudes(turned), turned)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda n: st.lists(st.sampled_from([0.0, 1.0, -1.0, 1j, 0.5, 1e-9, -2.0 + 1j]), min_size=2**n, max_size=2**n)
    )
)
def test_sparse_vectors_with_ties(values: list[complex]) -> None:
    vector = np.asarray(values)
    if np.any(vector):
        check(amplitudes(vector), vector / np.linalg.norm(vector))


@pytest.mark.parametrize("factor", [1e-300, 1e-12, 1e300])
def test_the_norm_is_divided_out(factor: float) -> None:
    check(amplitudes(np.array([3.0, 4.0j]) * factor), np.array([0.6, 0.8j]))


@pytest.mark.parametrize("n_qubits", [1, 2, 3, 4, 6, 8, 10])
def test_staircase_of_the_sine_window(n_qubits: int) -> None:
    window = clock_window(n_qubits, "sine").astype(np.complex128)
    circuit = staircase(window)
    check(circuit, window)
    assert n_two_qubit(circuit) == max(2 * n_qubits - 3, 0)


def test_staircase_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match="more than two Schmidt vectors"):
        staircase(draw(4, seed=0, real=False))


@pytest.mark.parametrize(("n_qubits", "n_cx"), [(1, 0), (2, 2), (3, 18), (4, 94)])
def test_unitaries_up_to_a_diagonal(n_qubits: int, n_cx: int) -> None:
    for seed in range(5):
        unitary = random_unitary(2**n_qubits, seed=seed).data
        circuit, diagonal = up_to_diagonal(unitary)
        exact = exactly(unitary)
        assert circuit.count_ops().get("cx", 0) == n_cx
        np.testing.assert_allclose(np.abs(diagonal), 1.0, rtol=1e-12)
        found = diagonal[:, np.newaxis] * Operator(circuit).data
        # A numerical decomposition into up to two hundred gates, each rounded.
        np.testing.assert_allclose(found, unitary, rtol=0, atol=1e-11)
        np.testing.assert_allclose(Operator(exact).data, unitary, rtol=0, atol=1e-11)
        assert exact.count_ops().get("cx", 0) == n_cx + (n_qubits > 1)


@pytest.mark.parametrize("small", [1e-3, 1e-5, 1e-6, 1e-8, 1e-10])
@pytest.mark.parametrize(
    "weights",
    [(0.3, 1, 0), (0.3, 0.2, 1), (1, 0, 0), (0.3, 0.3, 1), (np.pi / 4, 1, 0), (np.pi / 4, 0.2, 1), (np.pi / 4,) * 3],
)
def test_weak_couplings_are_kept(weights: tuple[float, ...], small: float) -> None:
    # Entries of 1 stand for the weak coupling; a decomposer that rounds to simpler gates is off by up to 1e-5.
    x, y, z = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1.0, -1.0])
    a, b, c = (small if weight == 1 else weight - small for weight in weights)
    inner = scipy.linalg.expm(1j * (a * np.kron(x, x) + b * np.kron(y, y) + c * np.kron(z, z)))
    local = [np.kron(random_unitary(2, seed=s).data, random_unitary(2, seed=s + 9).data) for s in (0, 1)]
    unitary = local[0] @ inner @ local[1]
    circuit, diagonal = up_to_diagonal(unitary)
    # A Weyl coordinate below 1e-12 is left out; so much may also be missing where Qiskit's decomposer is taken.
    np.testing.assert_allclose(diagonal[:, np.newaxis] * Operator(circuit).data, unitary, rtol=0, atol=1.5e-12)
    np.testing.assert_allclose(Operator(exactly(unitary)).data, unitary, rtol=0, atol=2e-12)


def test_block_diagonal_unitaries_take_fewer_gates() -> None:
    blocks = [random_unitary(4, seed=seed).data for seed in (0, 1)]
    unitary = scipy.linalg.block_diag(*blocks)
    circuit = exactly(unitary)
    np.testing.assert_allclose(Operator(circuit).data, unitary, rtol=0, atol=1e-12)
    assert circuit.count_ops()["cx"] == 9


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ([0.0, 0.0], "must not be zero"),
        ([1.0, float("nan")], "NaN"),
        ([1.0, float("inf")], "finite"),
        ([1.0, 2.0, 3.0], "fill it up with zeros"),
        ([1.0], "must have 2, 4, 8"),
        ([], "must not be zero"),
        ([[1.0, 0.0]], "one-dimensional"),
        (np.ones(2**15), "16384"),
    ],
)
def test_bad_vectors_are_refused(vector: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        amplitudes(vector)


def test_text_is_refused() -> None:
    with pytest.raises(TypeError, match="must hold numbers"):
        amplitudes(["a", "b"])
