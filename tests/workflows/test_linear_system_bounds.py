"""Bounds on singular values against their decomposition, and embeddings against the systems they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qmlphys.workflows._linear_system_bounds import embed, is_definite, is_hermitian, singular_value_bounds


def matrix_of(singular_values: NDArray[np.float64], rng: np.random.Generator, *, real: bool) -> NDArray[np.complex128]:
    """Return U diag(s) V with random unitaries."""
    n = len(singular_values)
    parts = []
    for _ in range(2):
        z = rng.normal(size=(n, n)) + (0 if real else 1j) * rng.normal(size=(n, n))
        parts.append(np.linalg.qr(z)[0])
    return np.asarray((parts[0] * singular_values) @ parts[1])


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    n=st.integers(2, 64),
    condition=st.floats(1.0, 1e3),
    unit=st.sampled_from([1e-150, 1.0, 1e150]),
    real=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_bounds_enclose_the_singular_values_tightly(
    n: int, condition: float, unit: float, real: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    s = np.concatenate([[1.0, 1 / condition], rng.uniform(1 / condition, 1, n - 2)]) * unit
    low, high = singular_value_bounds(matrix_of(s, rng, real=real))
    # Rounding of the matrix itself moves singular values by parts in 1e14 of the largest.
    assert low <= s.min() * (1 + 1e-10)
    assert high >= s.max() * (1 - 1e-13)
    assert low > s.min() / 1.0025
    assert high < s.max() * 1.0025


@pytest.mark.parametrize(
    "matrix", [np.ones((3, 3)), np.diag([1.0, 0.0]), np.diag([1.0, 1e-9]), np.array([[0.0, 1.0], [0.0, 0.0]])]
)
def test_singular_matrices_have_no_lower_bound(matrix: NDArray[np.float64]) -> None:
    low, high = singular_value_bounds(matrix)
    assert low == 0
    assert high >= np.linalg.norm(matrix, 2)


@pytest.mark.parametrize("kind", ["positive", "negative", "indefinite", "general"])
@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("n", [2, 3, 8, 13])
def test_the_solution_of_an_embedding_holds_the_solution(kind: str, real: bool, n: int) -> None:
    rng = np.random.default_rng(n)
    s = rng.uniform(0.5, 2, n)
    a = matrix_of(s, rng, real=real)
    if kind != "general":
        u = matrix_of(np.ones(n), rng, real=real)
        sign = {"positive": 1, "negative": -1, "indefinite": np.where(np.arange(n) % 2, 1, -1)}[kind]
        a = (u * (s * sign)) @ u.conj().T
        a = (a + a.conj().T) / 2
    b = rng.normal(size=n) * 1e3
    system = embed(a, b, bounds=(0.5, 2.0))
    assert len(system.matrix) == 2**system.n_system
    assert np.array_equal(system.matrix, system.matrix.conj().T)
    assert np.iscomplexobj(system.matrix) == (not real)
    assert system.definite == (kind in ("positive", "negative"))
    assert np.linalg.norm(system.vector) == pytest.approx(1, rel=1e-12)
    eigenvalues = np.linalg.eigvalsh(system.matrix)
    assert np.abs(eigenvalues).min() >= system.low * (1 - 1e-12)
    assert np.abs(eigenvalues).max() <= system.high * (1 + 1e-12)
    y = np.linalg.solve(system.matrix, system.vector) * system.factor
    expected = np.linalg.solve(a, b)
    np.testing.assert_allclose(y[system.offset : system.offset + n], expected, rtol=1e-10, atol=1e-10)
    rest = np.delete(y, np.arange(system.offset, system.offset + n))
    assert np.abs(rest).max(initial=0) < 1e-9 * np.abs(expected).max()


def test_hermitian_and_definite_are_told_apart() -> None:
    assert is_hermitian(np.array([[1.0, 1j], [-1j, 2.0]]))
    assert not is_hermitian(np.array([[1.0, 1j], [1j, 2.0]]))
    assert not is_hermitian(np.array([[1.0, 1.0], [1.0 + 1e-9, 2.0]]))
    assert [is_definite(np.diag(d)) for d in ([1.0, 2.0], [-1.0, -2.0], [1.0, -2.0])] == [1, -1, 0]
    assert is_definite(np.array([[1.0, 2.0], [2.0, 1.0]])) == 0  # positive diagonal, one negative eigenvalue
