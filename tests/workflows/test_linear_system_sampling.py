"""Sampled expectation values: Pauli strings against matrices, error bars by coverage, and shots that are too few."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from qmlphys import bits, snapshots
from qmlphys.workflows import _linear_system_sampling as sampling
from qmlphys.workflows import linear_system

PAULIS = {"I": np.eye(2), "X": np.array([[0, 1], [1, 0]]), "Y": np.array([[0, -1j], [1j, 0]]), "Z": np.diag([1, -1])}


def dense(terms: dict[str, float]) -> NDArray[np.complex128]:
    total: Any = 0
    for string, value in terms.items():
        matrix: Any = np.eye(1)
        for letter in reversed(string):  # the leftmost character, site 0, is the last factor
            matrix = np.kron(matrix, PAULIS[letter])
        total = total + value * matrix
    return np.asarray(total, dtype=np.complex128)


def hermitian(n: int, seed: int) -> NDArray[np.complex128]:
    rng = np.random.default_rng(seed)
    m = rng.normal(size=(n, n)) + 1j * rng.normal(size=(n, n))
    return np.asarray(m + m.conj().T)


@pytest.mark.parametrize("n", [2, 3, 4, 7, 16])
def test_a_matrix_is_the_sum_of_its_pauli_strings(n: int) -> None:
    matrix = hermitian(n, n)
    (found,) = sampling.parse([matrix], n_unknowns=n)
    n_bits = (n - 1).bit_length()
    padded = np.zeros((2**n_bits, 2**n_bits), dtype=complex)
    padded[:n, :n] = matrix
    terms = {**found.terms, "I" * n_bits: found.constant}
    np.testing.assert_allclose(dense(terms), padded, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.operator, padded, rtol=1e-12, atol=1e-12)
    norm = np.linalg.norm(padded - found.constant * np.eye(len(padded)), 2)
    assert norm <= found.spread < 1.003 * norm
    (again,) = sampling.parse([list(terms.items())], n_unknowns=n)
    np.testing.assert_allclose(again.operator, padded, rtol=1e-12, atol=1e-12)


def test_every_string_is_measured_once_in_a_basis_that_shows_it() -> None:
    observables = sampling.parse([hermitian(8, 0), "XYZ", "ZZI"], n_unknowns=8)
    groups = sampling.group(observables, n_bits=3)
    strings = [string for _, members in groups for string in members]
    assert len(strings) == len(set(strings)) == 63
    assert len(groups) == 27  # all strings of three letters need all 3^3 bases
    for basis, members in groups:
        assert all(letter in ("I", basis[site]) for string in members for site, letter in enumerate(string))
    assert sampling.group([], n_bits=2) == [("ZZ", [])]


def shots_of(rows: list[tuple[NDArray[np.int8], NDArray[np.bool_]]], *, n_bits: int) -> xr.Dataset:
    """Write system bits and success into the data set that a backend with two clock bits would give."""
    spins = []
    for system, success in rows:
        clock = np.zeros((len(system), 2), dtype=np.int8)
        clock[~success, 1] = 1
        flag = np.ones((len(system), 1), dtype=np.int8)
        spins.append(bits.bits_to_spins(np.hstack([system, clock, flag])))
    names = ["system_bits"] * n_bits + ["clock_bits"] * 2 + ["flag_bits"]
    return snapshots.dataset(
        np.array(spins)[:, np.newaxis],
        np.arange(len(rows)),
        name="basis",
        units="1",
        source="device",
        model="",
        lattice="",
        seed=0,
        register=names,
    )


def draw(rng: np.random.Generator, n_shots: int, *, share: float, up: dict[str, float]) -> xr.Dataset:
    """Sample one qubit whose mean in each basis is known."""
    rows = []
    for mean in up.values():
        system = (rng.random((n_shots, 1)) > (1 + mean) / 2).astype(np.int8)
        rows.append((system, rng.random(n_shots) < share))
    return shots_of(rows, n_bits=1)


def test_error_bars_cover_the_truth_as_often_as_they_should() -> None:
    observables = sampling.parse([[("Z", 1.0), ("X", 0.5), ("I", 2.0)]], n_unknowns=2)
    groups = sampling.group(observables, n_bits=1)
    assert [basis for basis, _ in groups] == ["Z", "X"]
    truth = {"Z": 0.6, "X": -0.8}
    expected = 2.0 + truth["Z"] + 0.5 * truth["X"]
    rng = np.random.default_rng(12)
    n_repeats, inside, probability_inside, too_small = 1000, 0, 0, 0
    for _ in range(n_repeats):
        ds = draw(rng, 400, share=0.2, up=truth)
        probability, (value,) = sampling.estimate(ds, observables, groups, dilated=False)
        inside += abs(value.deviation(expected)) < 1
        probability_inside += abs(probability.deviation(0.2)) < 1
        # Negative control: as if every shot had been a success.
        too_small += abs(value.deviation(expected)) < np.sqrt(0.2)
    # One standard error covers 68.3 %; 5 sigma of a binomial over 1000 repeats is 7.4 %, discreteness takes 1 % more.
    assert abs(inside / n_repeats - 0.683) < 0.084
    assert abs(probability_inside / n_repeats - 0.683) < 0.084
    assert abs(too_small / n_repeats - 0.683) > 0.25


def test_equal_outcomes_do_not_claim_to_be_exact() -> None:
    observables = sampling.parse(["Z"], n_unknowns=2)
    groups = sampling.group(observables, n_bits=1)
    ds = draw(np.random.default_rng(1), 20, share=1.1, up={"Z": 1.0})
    probability, (value,) = sampling.estimate(ds, observables, groups, dilated=False)
    assert (value.mean, probability.mean) == (1.0, 1.0)
    assert 0.05 < value.error < 0.15
    assert 0.02 < probability.error < 0.1
    assert value.n_effective == 20
    nothing = draw(np.random.default_rng(1), 20, share=-1.0, up={"Z": 1.0})
    probability, (value,) = sampling.estimate(nothing, observables, groups, dilated=False)
    assert probability.mean == 0
    assert np.isnan(value.mean)


def test_the_last_system_qubit_selects_the_half_that_holds_the_solution() -> None:
    system = np.array([[0, 1], [1, 0], [0, 1], [0, 0]], dtype=np.int8)
    ds = shots_of([(system, np.ones(4, dtype=bool))], n_bits=2)
    observables = sampling.parse(["Z"], n_unknowns=2)
    groups = sampling.group(observables, n_bits=1)
    probability, (value,) = sampling.estimate(ds, observables, groups, dilated=True)
    assert (probability.mean, value.mean) == (0.5, 1.0)


MATRIX = np.array([[2.0, 0.5 - 0.5j], [0.5 + 0.5j, -1.5]])
RHS = np.array([1.0, 0.5j])
OBSERVABLES = ["Z", [("X", 1.0), ("Y", -2.0)], np.array([[1.0, 1j], [-1j, 3.0]])]
OPERATORS = [dense({"Z": 1.0}), dense({"X": 1.0, "Y": -2.0}), np.array([[1.0, 1j], [-1j, 3.0]])]


@pytest.mark.parametrize("dilate", [False, True])
def test_aer_gives_the_expectations_of_the_solution(dilate: bool) -> None:
    pytest.importorskip("qiskit_aer", reason="samples on Aer")
    a = MATRIX @ np.diag([1.0, 0.8]) if dilate else MATRIX
    answer = linear_system.solve(a, RHS, error=0.04, backend="aer", shots=60_000, observables=OBSERVABLES, rng=5)
    assert answer.solution is None
    assert np.isnan(answer.residual)
    assert answer.shots == 60_000
    assert answer.n_groups == 3
    assert answer.notes == ()
    x = np.linalg.solve(a, RHS)
    length = np.linalg.norm(x)
    for value, operator in zip(answer.expectations, OPERATORS, strict=True):
        exact = (x.conj() @ operator @ x).real / length**2
        spread = np.linalg.norm(operator - np.trace(operator) / 2 * np.eye(2), 2)
        # The circuit's own error is certified, the rest is statistics.
        assert abs(value.mean - exact) < 5 * value.error + 2 * answer.error_bound * spread
        assert 0 < value.error <= 0.04 * spread
    assert abs(answer.norm.mean - length) < 5 * answer.norm.error + answer.error_bound * length
    assert answer.norm.error <= 0.04 * length
    exactly = linear_system.solve(a, RHS, error=0.01)
    assert answer.error_bound <= 0.01
    assert exactly.norm.mean == pytest.approx(length, rel=0.01)
    assert [row.name for row in answer.rows()][:2] == ["norm of the solution", "<Z>"]
    with pytest.raises(ValueError, match="use backend='statevector'"):
        answer.bars()
    # Negative control: the expectations of b are none of the solution's.
    wrong = (RHS.conj() @ OPERATORS[1] @ RHS).real / np.linalg.norm(RHS) ** 2
    margin = 2 * answer.error_bound * np.linalg.norm(OPERATORS[1], 2)
    assert abs(answer.expectations[1].mean - wrong) > 5 * answer.expectations[1].error + margin


def test_the_same_seed_gives_the_same_numbers() -> None:
    pytest.importorskip("qiskit_aer", reason="samples on Aer")
    first, second, other = (
        linear_system.solve(MATRIX, RHS, error=0.2, backend="aer", shots=4000, observables=["Z"], rng=seed)
        for seed in (3, 3, 4)
    )
    assert first.expectations == second.expectations
    assert first.norm == second.norm
    assert first.norm != other.norm


def test_shots_that_cannot_do_are_refused_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("something was run")

    monkeypatch.setattr("qmlphys.execution.run", refuse)
    with pytest.raises(linear_system.TooFewShotsError, match=r"even in the best case.*but it is 100: take") as caught:
        linear_system.solve(np.diag([1.0, -0.1]), [1.0, 1.0], error=0.005, backend="aer", shots=100)
    assert caught.value.result is None
    assert caught.value.n_shots > 100
    with pytest.raises(AssertionError, match="something was run"):
        linear_system.solve(np.diag([1.0, -0.1]), [1.0, 1.0], error=0.005, backend="aer", shots=caught.value.n_shots)


def test_a_result_that_is_not_precise_enough_is_kept_and_enough_shots_are_named() -> None:
    pytest.importorskip("qiskit_aer", reason="samples on Aer")
    a, b = np.diag([1.0, -0.25]), np.array([1.0, 0.1])  # b lies along the large eigenvalue: success is rare
    with pytest.raises(linear_system.TooFewShotsError, match="result so far is in") as caught:
        linear_system.solve(a, b, error=0.1, backend="aer", shots=600, observables=["Z", "X"], rng=1)
    kept = caught.value.result
    assert kept is not None
    assert kept.shots == 600
    assert kept.success_probability.mean > 0
    assert caught.value.n_shots > 600
    answer = linear_system.solve(
        a, b, error=0.1, backend="aer", shots=caught.value.n_shots, observables=["Z", "X"], rng=2
    )
    assert answer.norm.error / answer.norm.mean < 0.1
    assert all(value.error < 0.1 for value in answer.expectations)


def test_no_success_at_all_names_a_number_too() -> None:
    pytest.importorskip("qiskit_aer", reason="samples on Aer")
    a, b = np.diag([1.0, -1 / 30]), np.array([1.0, 0.0])
    with pytest.raises(linear_system.TooFewShotsError, match="no success") as caught:
        linear_system.solve(a, b, error=0.9, backend="aer", shots=4, rng=1)
    assert caught.value.n_shots > 500
    assert caught.value.result is not None
    assert caught.value.result.success_probability.mean == 0
    assert "none succeeded" in caught.value.result.advice


def test_a_fake_device_says_that_its_errors_are_statistical_only() -> None:
    pytest.importorskip("qiskit_ibm_runtime", reason="fake devices live there")
    pytest.importorskip("qiskit_aer", reason="samples on Aer")
    a, b = np.diag([1.0, -0.8]), np.array([1.0, 1.0])
    answer = linear_system.solve(a, b, error=0.3, backend="fake_torino", shots=2000, observables=["Z"], rng=1)
    assert any("statistical only" in note for note in answer.notes)
    exact = np.linalg.solve(a, b)
    row = answer.rows()[1]
    assert row.exact == pytest.approx((exact[0] ** 2 - exact[1] ** 2) / (exact @ exact), rel=1e-12)
    # Noise pulls towards zero; a few dozen gates leave the sign and most of the size.
    assert abs(answer.expectations[0].mean - float(row.exact or 0)) < 0.3
