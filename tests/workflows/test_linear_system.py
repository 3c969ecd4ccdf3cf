"""HHL end to end on the exact backend: the stated error on random systems, its NumPy twin, and what is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import scipy.linalg
from numpy.typing import NDArray

from qmlphys.workflows import _linear_system_plan as planning
from qmlphys.workflows import linear_system

KINDS = ("positive", "negative", "indefinite", "general")


def random_system(
    rng: np.random.Generator, *, n: int, kind: str, condition: float, real: bool
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Draw a matrix with a known condition number and a right-hand side, both of any magnitude."""

    def draw(*shape: int) -> NDArray[Any]:
        return rng.normal(size=shape) if real else rng.normal(size=shape) + 1j * rng.normal(size=shape)

    s = np.concatenate([[1.0, 1 / condition], np.exp(rng.uniform(-np.log(condition), 0, n - 2))])
    u, v = (np.linalg.qr(draw(n, n))[0] for _ in range(2))
    if kind == "general":
        a = (u * s) @ v
    else:
        sign = {"positive": 1, "negative": -1, "indefinite": np.where(np.arange(n) % 2, 1, -1)}[kind]
        a = (u * (s * sign)) @ u.conj().T
        a = (a + a.conj().T) / 2
    return a * 10.0 ** rng.uniform(-6, 6), draw(n) * 10.0 ** rng.uniform(-6, 6)


def relative_error(answer: linear_system.Solution, a: NDArray[Any], b: NDArray[Any]) -> float:
    exact = np.linalg.solve(a, b)
    assert answer.solution is not None
    return float(np.linalg.norm(answer.solution - exact) / np.linalg.norm(exact))


def check(a: NDArray[Any], b: NDArray[Any], *, error: float) -> float:
    answer = linear_system.solve(a, b, error=error)
    found = relative_error(answer, a, b)
    assert found <= answer.error_bound <= error
    assert answer.residual <= answer.error_bound * (1 + 1e-6)
    assert answer.norm.mean == pytest.approx(np.linalg.norm(np.linalg.solve(a, b)), rel=error)
    assert answer.fidelity >= 1 - error**2
    assert answer.counts_are_estimates == (len(a) > 16)
    return found / error


# Sizes are spread so that every path is taken: one, two and more bits, padding, gates and dense blocks.
SMALL = [
    (size, KINDS[place % 4], real, condition)
    for place, (size, real, condition) in enumerate(
        [
            (2, True, 1.0),
            (2, False, 100.0),
            (2, False, 3.0),
            (2, True, 100.0),
            (3, False, 2.0),
            (3, True, 10.0),
            (4, False, 50.0),
            (4, True, 4.0),
            (5, True, 100.0),
            (6, False, 7.0),
            (7, True, 20.0),
            (5, False, 3.0),
            (8, False, 30.0),
            (11, True, 8.0),
            (16, False, 5.0),
            (8, True, 6.0),
            (17, False, 100.0),
            (33, True, 100.0),
            (64, False, 15.0),
            (40, False, 100.0),
        ]
    )
]


@pytest.mark.parametrize(("n", "kind", "real", "condition"), SMALL)
def test_the_stated_error_is_met(n: int, kind: str, real: bool, condition: float) -> None:
    rng = np.random.default_rng([n, KINDS.index(kind), real])
    a, b = random_system(rng, n=n, kind=kind, condition=condition, real=real)
    share = check(a, b, error=0.01)
    assert share > 1e-3, "far better than asked for: the circuit would be too large"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200))
def test_the_stated_error_is_met_on_two_hundred_systems(seed: int) -> None:
    rng = np.random.default_rng([2026, seed])
    n = int(rng.integers(2, 65))
    condition = float(np.exp(rng.uniform(0, np.log(100))))
    error = float(10 ** rng.uniform(-3, -1))
    a, b = random_system(rng, n=n, kind=KINDS[seed % 4], condition=condition, real=bool(rng.integers(2)))
    check(a, b, error=error)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_the_largest_circuits_of_gates_are_built_and_right(seed: int) -> None:
    # 32 rows and 9 clock qubits, fifteen thousand CX: synthesis must not trip over rounding.
    rng = np.random.default_rng([16, seed])
    a, b = random_system(rng, n=16, kind="general", condition=100.0, real=bool(seed % 2))
    check(a, b, error=0.01)


@pytest.mark.parametrize(("condition", "error"), [(2.0, 1e-6), (10.0, 1e-5), (100.0, 1e-3)])
def test_small_errors_are_met(condition: float, error: float) -> None:
    a, b = random_system(np.random.default_rng(5), n=3, kind="indefinite", condition=condition, real=True)
    check(a, b, error=error)


@pytest.mark.parametrize("kind", KINDS)
def test_the_circuit_applies_the_filter(kind: str) -> None:
    rng = np.random.default_rng(11)
    a, b = random_system(rng, n=3, kind=kind, condition=6.0, real=False)
    answer = linear_system.solve(a, b, error=0.05)
    plan = planning.make_plan(
        a,
        b,
        error=0.05,
        bounds=None,
        max_condition=100,
        n_clock=None,
        window="sine",
        method="exponential",
        blocks=False,
    )
    # The twin: f as a matrix function, by the eigendecomposition that the circuit never sees.
    eigenvalues, vectors = np.linalg.eigh(plan.system.matrix)
    n_values = 2**plan.chosen.n_clock
    ticks = np.arange(n_values)
    start = np.sqrt(2 / n_values) * np.sin(np.pi * (ticks + 0.5) / n_values)
    clock = np.fft.fft(start * np.exp(1j * np.outer(eigenvalues * plan.time, ticks)), axis=1) / np.sqrt(n_values)
    f = np.abs(clock) ** 2 @ plan.chosen.table
    state = vectors @ (f * (vectors.conj().T @ plan.system.vector))
    assert answer.success_probability.mean == pytest.approx(np.linalg.norm(state) ** 2, rel=1e-9)
    expected = state[plan.system.offset : plan.system.offset + 3] * plan.per_amplitude
    # Thousands of gates in double precision.
    np.testing.assert_allclose(answer.solution, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
    # Not vacuous: the filter's error is far above that agreement, so f is told from 1 / lambda.
    assert relative_error(answer, a, b) > 1e-5


DECOMPOSITIONS = ("eig", "eigh", "eigvals", "eigvalsh", "svd", "solve")


def test_no_eigenvalue_singular_value_or_solution_shapes_the_circuit(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(function: Any) -> Any:
        # The window of the clock is prepared by singular values of its own amplitudes, at most four columns wide; every
        # array that could hold the system has at least five rows and columns.
        def wrapped(array: Any, *args: Any, **kwargs: Any) -> Any:
            if min(np.shape(array)) >= 5:
                raise AssertionError("a decomposition or a solution was computed")
            return function(array, *args, **kwargs)

        return wrapped

    systems = [
        random_system(np.random.default_rng(place), n=n, kind=kind, condition=20.0, real=False)
        for place, (n, kind) in enumerate([(5, "positive"), (8, "indefinite"), (5, "general"), (17, "general")])
    ]
    for name in (*DECOMPOSITIONS, "inv", "pinv", "cond", "lstsq", "det"):
        if hasattr(np.linalg, name):
            monkeypatch.setattr(np.linalg, name, refusing(getattr(np.linalg, name)))
    for name in (*DECOMPOSITIONS, "inv", "pinv", "lstsq", "svdvals", "schur", "lu_factor", "det"):
        if hasattr(scipy.linalg, name):
            monkeypatch.setattr(scipy.linalg, name, refusing(getattr(scipy.linalg, name)))
    for a, b in systems:
        plan = planning.make_plan(
            a,
            b,
            error=0.02,
            bounds=None,
            max_condition=100,
            n_clock=None,
            window="sine",
            method="exponential",
            blocks=True,
        )
        circuit = plan.circuit()
        assert circuit.num_qubits == plan.system.n_system + plan.chosen.n_clock + 1
    with pytest.raises(
        AssertionError, match="was computed"
    ):  # the demonstration does, which shows that this test sees it
        dataclasses.replace(plan, blocks=False, method="diagonalised").circuit()


def test_the_demonstration_is_labelled_and_right() -> None:
    a, b = random_system(np.random.default_rng(2), n=4, kind="indefinite", condition=5.0, real=True)
    answer = linear_system.solve(a, b, method="diagonalised")
    usual = linear_system.solve(a, b)
    assert relative_error(answer, a, b) <= 0.01
    assert answer.demonstration
    assert not usual.demonstration
    assert any("Demonstration" in note for note in answer.notes)
    assert any("demonstration" in row.source for row in answer.rows())
    assert answer.n_two_qubit_gates < usual.n_two_qubit_gates


def test_user_bounds_are_used_and_wrong_ones_noticed() -> None:
    a = np.diag([1.0, -2.0, 4.0])
    b = np.ones(3)
    wide = linear_system.solve(a, b, bounds=(0.5, 5.0))
    assert wide.bounds == (0.5, 5.0)
    assert wide.condition == pytest.approx(10)
    assert relative_error(wide, a, b) <= 0.01
    for wrong, text in (((2.5, 4.0), "the residual is 0.[0-9]+ where"), ((1.0, 3.9), "has one above 3.9")):
        with pytest.raises(ValueError, match=f"`bounds` must enclose every singular value, but.*{text}"):
            linear_system.solve(a, b, bounds=wrong)


def test_a_singular_system_with_a_solution_can_be_solved_within_bounds() -> None:
    a = np.diag([1.0, -2.0, 0.0])
    with pytest.raises(ValueError, match="condition number"):
        linear_system.solve(a, [1.0, 1.0, 0.0])
    with pytest.raises(ValueError, match="residual"):
        linear_system.solve(a, [1.0, 1.0, 0.1], bounds=(1.0, 2.0))
    answer = linear_system.solve(a, [1.0, 1.0, 0.0], bounds=(1.0, 2.0), error=0.01)
    np.testing.assert_allclose(answer.solution, [1.0, -0.5, 0.0], atol=0.01)


def test_observables_on_the_exact_backend() -> None:
    a, b = random_system(np.random.default_rng(4), n=4, kind="general", condition=3.0, real=False)
    x = np.linalg.solve(a, b)
    x = x / np.linalg.norm(x)
    rng = np.random.default_rng(0)
    o = rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4))
    o = o + o.conj().T
    answer = linear_system.solve(a, b, error=1e-4, observables=[o, "ZI", [("IZ", 2.0), ("II", 1.0)]])
    # Site 0 has weight 1 in the index, so it alternates fastest.
    expected = [o, np.diag([1.0, -1.0, 1.0, -1.0]), np.diag([3.0, 3.0, -1.0, -1.0])]
    for value, operator in zip(answer.expectations, expected, strict=True):
        exact = (x.conj() @ operator @ x).real
        assert abs(value.mean - exact) <= 2e-4 * np.linalg.norm(operator, 2)
        assert value.error == 0
    rows = {row.name: row for row in answer.rows()}
    assert rows["<ZI>"].exact == pytest.approx((x.conj() @ expected[1] @ x).real, rel=1e-9)


def test_the_result_is_frozen_and_tells_what_it_cost() -> None:
    a, b = random_system(np.random.default_rng(6), n=2, kind="indefinite", condition=2.0, real=True)
    answer = linear_system.solve(a, b, error=0.05)
    with pytest.raises(dataclasses.FrozenInstanceError):
        answer.solution = None  # type: ignore[misc]
    assert answer.n_qubits == 1 + answer.n_clock + 1
    assert 0 < answer.n_two_qubit_gates < answer.depth
    assert answer.scale * np.linalg.norm(answer.solution) / np.linalg.norm(b) == pytest.approx(  # type: ignore[arg-type]
        np.sqrt(answer.success_probability.mean), rel=1e-9
    )
    assert "Solve this system classically" in answer.advice
    assert str(answer.n_two_qubit_gates) in answer.advice
    found, classical = answer.bars()
    np.testing.assert_allclose(found, classical, atol=0.05 * np.linalg.norm(classical))
    assert all(row.exact is None for row in answer.rows(compare=False))


@pytest.mark.parametrize(("of_matrix", "of_rhs"), [(1e69, 1e-69), (1e-69, 1e69)])
def test_units_far_from_one_change_nothing(of_matrix: float, of_rhs: float) -> None:
    a, b = random_system(np.random.default_rng(9), n=3, kind="indefinite", condition=2.0, real=True)
    a, b = a / np.abs(a).max(), b / np.abs(b).max()
    usual = linear_system.solve(a, b, error=0.05)
    far = linear_system.solve(a * of_matrix, b * of_rhs, error=0.05)
    assert usual.solution is not None
    assert far.solution is not None
    np.testing.assert_allclose(far.solution, usual.solution * (of_rhs / of_matrix), rtol=1e-9)
    assert far.residual == pytest.approx(usual.residual, rel=1e-6)
    assert far.fidelity == pytest.approx(usual.fidelity, rel=1e-9)


def test_a_phase_of_the_right_hand_side_is_a_phase_of_the_solution() -> None:
    a, b = random_system(np.random.default_rng(8), n=2, kind="general", condition=2.0, real=True)
    first = linear_system.solve(a, b, error=0.05).solution
    turned = linear_system.solve(a, 1j * b, error=0.05).solution
    assert first is not None
    assert turned is not None
    np.testing.assert_allclose(turned, 1j * first, rtol=1e-9)


GOOD = np.array([[2.0, 1.0], [1.0, 3.0]])


@pytest.mark.parametrize(
    ("matrix", "rhs", "options", "kind", "text"),
    [
        (np.ones((2, 3)), [1, 1], {}, ValueError, r"`matrix` must be square with 2 to 64 rows.*\(2, 3\)"),
        (np.eye(65), np.ones(65), {}, ValueError, r"2 to 64 rows.*\(65, 65\)"),
        ([[1.0]], [1.0], {}, ValueError, "2 to 64 rows"),
        ([[1, 2], [3]], [1, 1], {}, ValueError, "rows differ in length"),
        ([["a", "b"], ["c", "d"]], [1, 1], {}, TypeError, "`matrix` must hold numbers"),
        (GOOD, [1, 1, 1], {}, ValueError, r"`rhs` must be a vector of 2 numbers.*\(3,\)"),
        (GOOD, [[1], [1]], {}, ValueError, r"`rhs` must be a vector"),
        (GOOD, [0, 0], {}, ValueError, "`rhs` must not be zero"),
        (GOOD, [1, np.nan], {}, ValueError, "`rhs` must be finite, but 1 of 2"),
        ([[np.inf, 0], [0, 1]], [1, 1], {}, ValueError, "`matrix` must be finite"),
        (np.zeros((2, 2)), [1, 1], {}, ValueError, "`matrix` must not be zero"),
        (GOOD * 1e200, [1, 1], {}, ValueError, "`matrix` must have its largest entry between.*scale the system"),
        (GOOD, [0, 1e-200], {}, ValueError, "`rhs` must have its largest entry between"),
        ([[1, 2], [2, 4]], [1, 1], {}, ValueError, "condition number of at most 100.*beyond.*regularise"),
        (
            np.diag([1, 1e-3]),
            [1, 1],
            {},
            ValueError,
            "condition number of at most 100.*at least 99[0-9].*`max_condition`",
        ),
        (GOOD, [1, 1], {"error": 1.0}, ValueError, r"`error` must be a number in \[1e-06, 1\), but it is 1.0"),
        (GOOD, [1, 1], {"error": 1e-7}, ValueError, "`error` must be a number"),
        (GOOD, [1, 1], {"error": float("nan")}, ValueError, "`error` must be a number"),
        (GOOD, [1, 1], {"error": "0.1"}, ValueError, "`error` must be a number"),
        (GOOD, [1, 1], {"max_condition": 0.5}, ValueError, "`max_condition` must be a finite number >= 1"),
        (GOOD, [1, 1], {"n_clock": 1}, ValueError, "`n_clock` must be a whole number from 2 to 12"),
        (GOOD, [1, 1], {"n_clock": 2, "error": 1e-4}, ValueError, "reachable with 2 clock qubits.*leave `n_clock` out"),
        (GOOD, [1, 1], {"window": "box"}, ValueError, "`window` must be 'sine' or 'uniform'"),
        (GOOD, [1, 1], {"method": "trotter"}, ValueError, "`method` must be 'exponential' or 'diagonalised'"),
        (GOOD, [1, 1], {"bounds": (2.0, 1.0)}, ValueError, "`bounds` must satisfy 0 < low <= high"),
        (GOOD, [1, 1], {"bounds": 3.0}, TypeError, "`bounds` must be two numbers"),
        (GOOD, [1, 1], {"bounds": (0.001, 4.0)}, ValueError, "condition number of at most 100"),
        (GOOD, [1, 1], {"backend": "nothing"}, ValueError, "nothing"),
        (GOOD, [1, 1], {"shots": 100}, ValueError, "`shots` must be left out on backend 'statevector'"),
        (GOOD, [1, 1], {"rng": 1}, ValueError, "`rng` must be left out on backend 'statevector'"),
        (GOOD, [1, 1], {"backend": "aer"}, ValueError, "`shots` must be a positive whole number.*None"),
        (GOOD, [1, 1], {"backend": "aer", "shots": 0}, ValueError, "`shots` must be a positive whole number.*0"),
        (GOOD, [1, 1], {"observables": "Z"}, TypeError, "must be a list of observables.*str"),
        (GOOD, [1, 1], {"observables": ["ZZ"]}, ValueError, "Pauli string of 1 characters.*'ZZ'"),
        (GOOD, [1, 1], {"observables": [np.eye(3)]}, ValueError, r"must have the shape.*\(3, 3\)"),
        (GOOD, [1, 1], {"observables": [np.array([[0, 1], [2, 0]])]}, ValueError, "must be Hermitian"),
        (GOOD, [1, 1], {"observables": [[("Z", 1j)]]}, ValueError, "must have real coefficients"),
        (GOOD, [1, 1], {"observables": [np.full((2, 2), np.nan)]}, ValueError, "must be finite"),
        (GOOD, [1, 1], {"observables": [object()]}, TypeError, "must be a Hermitian matrix, a Pauli string"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(
    matrix: Any, rhs: Any, options: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text) as caught:
        linear_system.solve(matrix, rhs, **options)
    assert "\n" not in str(caught.value)


def test_a_larger_condition_number_can_be_allowed() -> None:
    a = np.diag([1.0, -1 / 150])
    answer = linear_system.solve(a, [0.1, 1.0], error=0.05, max_condition=200)
    assert relative_error(answer, a, np.array([0.1, 1.0])) <= 0.05
    assert 150 <= answer.condition < 151
