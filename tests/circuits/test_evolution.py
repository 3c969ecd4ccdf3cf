"""Evolutions against the matrix exponential, and the order of product formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg
from numpy.typing import NDArray
from qiskit.quantum_info import Operator

from circuits.evolution import controlled_evolution, evolution

EXACT = ("exponential", "diagonalised", "blocks")


def draw(n_qubits: int, *, seed: int, real: bool = False) -> NDArray[np.complex128]:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(2, 2**n_qubits, 2**n_qubits))
    square = matrix[0] + (0.0 if real else 1j) * matrix[1]
    return (square + square.conj().T) / 2


def controlled(off: NDArray[Any], on: NDArray[Any]) -> NDArray[np.complex128]:
    """The control is the last qubit, so that it has the largest weight."""
    return scipy.linalg.block_diag(off, on)


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize("n_qubits", [1, 2, 3, 4])
def test_exact_methods(n_qubits: int, real: bool, method: str) -> None:
    hamiltonian = draw(n_qubits, seed=n_qubits, real=real)
    for time in (0.8, -1.7) if n_qubits < 4 else (-1.7,):
        expected = scipy.linalg.expm(-1j * time * hamiltonian)
        assert np.abs(expected - expected.conj().T).max() > 0.1  # the sign of the time is seen
        # Hundreds of gates from numerical decompositions.
        np.testing.assert_allclose(
            Operator(evolution(hamiltonian, time, method=method)).data, expected, rtol=0, atol=1e-11
        )
        half = scipy.linalg.expm(-0.5j * time * hamiltonian)
        one = controlled_evolution(hamiltonian, time, method=method)
        both = controlled_evolution(hamiltonian, time, method=method, symmetric=True)
        np.testing.assert_allclose(Operator(one).data, controlled(np.eye(len(half)), expected), rtol=0, atol=1e-11)
        np.testing.assert_allclose(Operator(both).data, controlled(half.conj().T, half), rtol=0, atol=1e-11)


def test_precession_about_z() -> None:
    # Closed form: exp(-i Z t) = diag(exp(-i t), exp(i t)).
    for method in (*EXACT, "trotter"):
        found = Operator(evolution([[1.0, 0.0], [0.0, -1.0]], 0.3, method=method)).data
        np.testing.assert_allclose(found, np.diag(np.exp([-0.3j, 0.3j])), rtol=0, atol=1e-14)


@pytest.mark.parametrize(("n_qubits", "plain", "with_control"), [(1, 0, 2), (2, 3, 9), (3, 19, 45), (4, 95, 205)])
def test_counts_of_the_docstrings(n_qubits: int, plain: int, with_control: int) -> None:
    hamiltonian = draw(n_qubits, seed=5)
    assert evolution(hamiltonian, 1.0).count_ops().get("cx", 0) <= plain
    for symmetric in (False, True):
        circuit = controlled_evolution(hamiltonian, 1.0, symmetric=symmetric)
        assert circuit.count_ops().get("cx", 0) <= with_control


def test_registers_and_metadata() -> None:
    circuit = controlled_evolution(draw(2, seed=0), 1.0, method="diagonalised")
    assert [(register.name, register.size) for register in circuit.qregs] == [("system", 2), ("control", 1)]
    assert circuit.metadata == {"evolution": "diagonalised", "demonstration": True}
    assert "demonstration" in circuit.name
    assert evolution(draw(2, seed=0), 1.0).metadata == {"evolution": "exponential", "demonstration": False}


@pytest.mark.parametrize("kind", ["plain", "controlled", "symmetric"])
@pytest.mark.parametrize("order", [1, 2, 4, 6])
def test_order_of_product_formulas(order: int, kind: str) -> None:
    x, y, z = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1.0, -1.0])
    hamiltonian = 1.3 * np.kron(x, x) - 0.9 * np.kron(np.eye(2), z) + 0.7 * np.kron(z, y) + 0.5 * np.eye(4)
    time = 0.7
    exact = scipy.linalg.expm(-1j * time * hamiltonian)
    half = scipy.linalg.expm(-0.5j * time * hamiltonian)
    expected = {
        "plain": exact,
        "controlled": controlled(np.eye(4), exact),
        "symmetric": controlled(half.conj().T, half),
    }[kind]
    errors = []
    steps = (2, 4) if order == 6 else (4, 8)
    for n_steps in steps:
        if kind == "plain":
            circuit = evolution(hamiltonian, time, method="trotter", order=order, n_steps=n_steps)
        else:
            circuit = controlled_evolution(
                hamiltonian, time, method="trotter", order=order, n_steps=n_steps, symmetric=kind == "symmetric"
            )
        errors.append(np.linalg.norm(Operator(circuit).data - expected, 2))
    slope = np.log2(errors[0] / errors[1])
    # The leading term alone has this slope; the next one is smaller by a step's length, which is below 1/4.
    assert slope == pytest.approx(order, abs=0.3)
    assert errors[1] > 1e-13  # above rounding: the slope means something


def test_commuting_terms_have_no_trotter_error() -> None:
    diagonal = np.diag(np.random.default_rng(0).normal(size=8))
    for order in (1, 2, 4, 6):
        found = Operator(evolution(diagonal, 2.0, method="trotter", order=order)).data
        np.testing.assert_allclose(found, scipy.linalg.expm(-2j * diagonal), rtol=0, atol=1e-12)


def test_pauli_strings_start_at_site_0() -> None:
    # X on site 0, Y on site 1, Z on site 2; the largest weight stands leftmost in the product.
    x, y, z = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1.0, -1.0])
    hamiltonian = np.kron(np.kron(z, y), x)
    circuit = evolution(hamiltonian, 0.4, method="trotter", order=1)
    np.testing.assert_allclose(Operator(circuit).data, scipy.linalg.expm(-0.4j * hamiltonian), rtol=0, atol=1e-13)
    assert circuit.count_ops()["cx"] == 4


def test_only_one_method_solves_an_eigenproblem(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("an eigenproblem was solved")

    hamiltonian = draw(3, seed=1)
    for module in (np.linalg, scipy.linalg):
        for name in ("eigh", "eig", "eigvalsh", "eigvals"):
            monkeypatch.setattr(module, name, refuse)
    for method in ("exponential", "trotter", "blocks"):
        evolution(hamiltonian, 1.0, method=method)
        controlled_evolution(hamiltonian, 1.0, method=method)
    with pytest.raises(AssertionError, match="eigenproblem"):
        evolution(hamiltonian, 1.0, method="diagonalised")


@pytest.mark.parametrize("build", [evolution, controlled_evolution])
@pytest.mark.parametrize(
    ("matrix", "options", "message"),
    [
        ([[1.0, 2.0], [0.0, 1.0]], {}, "dilation"),
        ([[1.0, float("nan")], [0.0, 1.0]], {}, "NaN"),
        ([[0.0, 0.0], [0.0, 0.0]], {}, "must not be zero"),
        (np.eye(3), {}, "has 3"),
        (np.eye(256), {}, "has 256"),
        (np.ones((2, 4)), {}, "square"),
        (np.eye(2), {"time": float("inf")}, "`time` must be a finite"),
        (np.eye(2), {"method": "magic"}, "'exponential'"),
        (np.eye(2), {"method": "trotter", "order": 3}, "`order` must be one of"),
        (np.eye(2), {"method": "trotter", "n_steps": 0}, "`n_steps` must be an integer"),
        (np.eye(2), {"n_steps": 5}, "must be left out"),
        (np.eye(2), {"method": "blocks", "order": 4}, "must be left out"),
        (np.ones((8, 8)), {"method": "trotter", "order": 8, "n_steps": 100000}, "take fewer"),
    ],
)
def test_bad_arguments_are_refused(build: Any, matrix: Any, options: dict[str, Any], message: str) -> None:
    settings = {"time": 1.0, **options}
    with pytest.raises(ValueError, match=message):
        build(matrix, settings.pop("time"), **settings)
