"""The solution that the circuit leaves, against dense algebra; and the two-qubit gates that it takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg
from numpy.typing import NDArray
from qiskit import QuantumCircuit, transpile
from qiskit.quantum_info import Operator, Statevector

from circuits.evolution import evolution as evolve
from circuits.linear_systems import clock_window, hhl, spectral_norm_bounds

Complex = NDArray[np.complex128]
TIME = 0.7
GATE_LEVEL = ("exponential", "diagonalised")


def random_basis(rng: np.random.Generator, size: int, *, real: bool) -> Complex:
    """Orthogonal or unitary, by the Haar measure."""
    square = rng.normal(size=(size, size)) + (0.0 if real else 1j) * rng.normal(size=(size, size))
    q, r = np.linalg.qr(square)
    return q * (np.diag(r) / np.abs(np.diag(r)))


def on_grid(s: int, n: int, *, seed: int, real: bool) -> tuple[Complex, Complex]:
    """A matrix whose eigenvalues are distinct points of the clock's grid for TIME, signs mixed, and a vector."""
    rng = np.random.default_rng(seed)
    values = [k for k in range(-(2 ** (n - 1)), 2 ** (n - 1)) if k]
    chosen = rng.choice(values, 2**s, replace=False)
    # Of one magnitude, A^{-1} would be a multiple of A; of one sign, signs would go untested.
    while np.all(chosen > 0) or np.all(chosen < 0) or np.ptp(np.abs(chosen)) == 0:
        chosen = rng.choice(values, 2**s, replace=False)
    basis = random_basis(rng, 2**s, real=real)
    matrix = (basis * (2 * np.pi * chosen / (2**n * TIME))) @ basis.conj().T
    vector = rng.normal(size=2**s) + (0.0 if real else 1j) * rng.normal(size=2**s)
    return (matrix + matrix.conj().T) / 2, vector


def off_grid(s: int, *, seed: int) -> tuple[Complex, Complex]:
    rng = np.random.default_rng(seed)
    basis = random_basis(rng, 2**s, real=False)
    matrix = (basis * rng.uniform(-0.95, 0.95, 2**s) * np.pi / TIME) @ basis.conj().T
    return (matrix + matrix.conj().T) / 2, rng.normal(size=2**s) + 1j * rng.normal(size=2**s)


def solution(circuit: QuantumCircuit) -> Complex:
    system, clock, flag = circuit.qregs
    state = Statevector(circuit).data
    return state.reshape(2**flag.size, 2**clock.size, 2**system.size)[1, 0]


def filtered(matrix: Complex, vector: Complex, table: NDArray[Any], *, n: int, window: str, time: float) -> Complex:
    """f(A) b / ||b|| by the dense formula of the docstring, with windows written out once more."""
    size = 2**n
    j = np.arange(size)
    weights = {"uniform": np.ones(size), "sine": np.sin(np.pi * (j + 0.5) / size)}[window]
    weights = weights / np.linalg.norm(weights)
    energies, vectors = np.linalg.eigh(matrix)
    phases = energies[:, np.newaxis] * time - 2 * np.pi * np.arange(size) / size
    alpha = np.einsum("j,jik->ik", weights, np.exp(1j * j[:, np.newaxis, np.newaxis] * phases)) / np.sqrt(size)
    f = np.abs(alpha) ** 2 @ table
    return (vectors * f) @ vectors.conj().T @ (vector / np.linalg.norm(vector))


def reciprocals(n: int) -> NDArray[np.float64]:
    return np.array([0.0 if k == 0 else 1.0 / (k if k < 2 ** (n - 1) else k - 2**n) for k in range(2**n)])


def fidelity(a: Complex, b: Complex) -> float:
    return float(np.abs(np.vdot(a, b)) ** 2 / np.vdot(a, a).real / np.vdot(b, b).real)


def n_two_qubit(circuit: QuantumCircuit) -> int:
    counted = circuit.count_ops()
    assert set(counted) <= {"cx", "cz", "u", "rx", "ry", "rz", "h"}
    return counted.get("cx", 0) + counted.get("cz", 0)


@pytest.mark.parametrize("evolution", [*GATE_LEVEL, "blocks"])
@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize(("s", "n"), [(1, 2), (1, 5), (2, 4), (3, 6), (4, 5)])
def test_on_the_grid_it_is_the_dense_solution(s: int, n: int, real: bool, evolution: str) -> None:
    matrix, vector = on_grid(s, n, seed=20 * s + n, real=real)
    circuit = hhl(matrix, vector, n_clock=n, evolution=evolution, time=TIME)
    exact = np.linalg.solve(matrix, vector)
    state = Statevector(circuit).data.reshape(2, -1)
    found = state[1, : 2**s]
    # Some thousand gates from numerical decompositions; 1e-10 is a million times below what is claimed (0.999).
    np.testing.assert_allclose(found, circuit.metadata["scale"] * exact / np.linalg.norm(vector), rtol=0, atol=1e-10)
    assert fidelity(found, exact) > 1 - 1e-9
    # Not vacuous: neither b itself nor A b would do, nor the solution with all signs of eigenvalues lost.
    energies, basis = np.linalg.eigh(matrix)
    unsigned = (basis / np.abs(energies)) @ basis.conj().T @ vector
    for wrong in (vector, matrix @ vector, unsigned):
        assert fidelity(wrong, exact) < 0.99
    # And the clock has come back: all of flag 1 stands at clock 0.
    assert np.linalg.norm(state[1]) == pytest.approx(np.linalg.norm(found), rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize(
    ("s", "n", "evolution", "asked", "reached"),
    [
        (3, 6, "diagonalised", 200, 162),
        (3, 6, "exponential", 750, 578),
        (2, 4, "diagonalised", 72, 48),
        (2, 4, "exponential", 100, 84),
    ],
)
def test_two_qubit_gates(s: int, n: int, evolution: str, asked: int, reached: int, real: bool, seed: int) -> None:
    matrix, vector = on_grid(s, n, seed=100 + seed, real=real)
    circuit = hhl(matrix, vector, n_clock=n, evolution=evolution, time=TIME)
    assert fidelity(solution(circuit), np.linalg.solve(matrix, vector)) > 0.999
    assert n_two_qubit(circuit) <= reached < asked
    for basis_gates in (["cx", "u"], ["rz", "sx", "x", "cx"])[: 1 + (seed == 0)]:
        device = transpile(circuit, basis_gates=basis_gates, optimization_level=1)
        assert set(device.count_ops()) <= set(basis_gates)
        assert device.count_ops()["cx"] <= reached
    if seed == 0:
        best = transpile(circuit, basis_gates=["cx", "u"], optimization_level=3, seed_transpiler=0)
        assert best.count_ops()["cx"] <= reached
        # The optimiser may round; 0.999 is what is asked of it.
        assert fidelity(solution(best), np.linalg.solve(matrix, vector)) > 0.999


@pytest.mark.parametrize("window", ["uniform", "sine"])
@pytest.mark.parametrize("evolution", [*GATE_LEVEL, "blocks"])
@pytest.mark.parametrize(("s", "n"), [(1, 3), (2, 4), (3, 5)])
def test_off_the_grid_it_is_the_filter(s: int, n: int, evolution: str, window: str) -> None:
    matrix, vector = off_grid(s, seed=s)
    circuit = hhl(matrix, vector, n_clock=n, evolution=evolution, time=TIME, window=window)
    expected = filtered(matrix, vector, reciprocals(n), n=n, window=window, time=TIME)
    # Hundreds of gates from numerical decompositions.
    np.testing.assert_allclose(solution(circuit), expected, rtol=0, atol=1e-10)
    other = filtered(
        matrix, vector, reciprocals(n), n=n, window="sine" if window == "uniform" else "uniform", time=TIME
    )
    assert np.abs(other - expected).max() > 1e-3  # the window is seen
    assert np.abs(filtered(-matrix, vector, reciprocals(n), n=n, window=window, time=TIME) - expected).max() > 1e-3


@pytest.mark.parametrize("window", ["uniform", "sine"])
@pytest.mark.parametrize("evolution", [*GATE_LEVEL, "blocks"])
def test_any_reciprocal_table(evolution: str, window: str) -> None:
    matrix, vector = off_grid(2, seed=7)
    table = np.random.default_rng(1).uniform(-1, 1, 16)
    table[[3, 11]] = 1.0, -1.0
    circuit = hhl(matrix, vector, n_clock=4, evolution=evolution, time=TIME, window=window, reciprocal=table)
    expected = filtered(matrix, vector, table, n=4, window=window, time=TIME)
    np.testing.assert_allclose(solution(circuit), expected, rtol=0, atol=1e-10)
    assert circuit.metadata["scale"] is None


def test_a_table_for_known_eigenvalues() -> None:
    matrix, vector = on_grid(3, 6, seed=4, real=False)
    table = np.random.default_rng(2).uniform(-1, 1, 64)
    circuit = hhl(matrix, vector, n_clock=6, evolution="diagonalised", time=TIME, reciprocal=table)
    expected = filtered(matrix, vector, table, n=6, window="uniform", time=TIME)
    np.testing.assert_allclose(solution(circuit), expected, rtol=0, atol=1e-10)
    assert n_two_qubit(circuit) <= 162


@pytest.mark.parametrize("evolution", [*GATE_LEVEL, "blocks"])
@pytest.mark.parametrize("k", [-8, -7, -1, 1, 2, 7])
def test_twos_complement(k: int, evolution: str) -> None:
    """Each signed clock value on its own: the amplitude is 1 / k, sign and all."""
    other = 3 if k != 3 else 5
    matrix = 2 * np.pi / (16 * TIME) * np.diag([k, other])
    circuit = hhl(matrix, [1.0, 1.0], n_clock=4, evolution=evolution, time=TIME, reciprocal=reciprocals(4))
    expected = np.array([1 / k, 1 / other]) / np.sqrt(2)
    np.testing.assert_allclose(solution(circuit), expected, rtol=0, atol=1e-12)


def test_zero_eigenvalues_give_nothing() -> None:
    matrix = 2 * np.pi / (8 * TIME) * np.diag([0.0, 2.0])
    for evolution in GATE_LEVEL:
        circuit = hhl(matrix, [1.0, 1.0], n_clock=3, evolution=evolution, time=TIME)
        found = solution(circuit) / circuit.metadata["scale"]
        np.testing.assert_allclose(found, [0.0, 1 / matrix[1, 1] / np.sqrt(2)], rtol=0, atol=1e-12)


@pytest.mark.parametrize("evolution", GATE_LEVEL)
@pytest.mark.parametrize("kind", ["identity", "degenerate", "diagonal", "strings", "permuted", "weak", "dilation"])
def test_matrices_with_structure(kind: str, evolution: str) -> None:
    x, eye = np.array([[0.0, 1.0], [1.0, 0.0]]), np.eye(2)
    rng = np.random.default_rng(0)
    matrix = {
        "identity": 2.0 * np.eye(8),
        "degenerate": np.diag([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0]),
        "diagonal": np.diag([1.0, 2.0, 3.0, 4.0, -1.0, -2.0, -3.0, -4.0]),
        "strings": np.kron(np.kron(x, x), x),
        "permuted": np.kron(np.kron(x, eye), eye) + 0.5 * np.kron(np.kron(eye, x), eye) + 0.2 * np.eye(8),
        "weak": np.diag(np.arange(1.0, 9.0)) + 1e-6 * np.ones((8, 8)),
        "dilation": np.kron(x, rng.normal(size=(4, 4))),
    }[kind]
    matrix = (matrix + matrix.T) / 2
    vector = rng.normal(size=8)
    # Off the grid, so that the table is 1 / k for both.
    circuit = hhl(matrix, vector, n_clock=4, evolution=evolution, time=3.0 / spectral_norm_bounds(matrix)[1])
    expected = filtered(matrix, vector, reciprocals(4), n=4, window="uniform", time=circuit.metadata["time"])
    np.testing.assert_allclose(solution(circuit), expected, rtol=0, atol=1e-10)


def few_strings() -> tuple[Complex, Complex]:
    """Four Pauli strings, not all of which commute, and a vector."""
    x, y, z, eye = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1.0, -1.0]), np.eye(2)
    matrix = 1.3 * np.kron(x, x) - 0.9 * np.kron(eye, z) + 0.7 * np.kron(z, y) + 0.5 * np.eye(4)
    return matrix, np.array([1.0, -0.5, 2.0j, 0.3])


@pytest.mark.parametrize("order", [2, 4])
def test_product_formulas_belong_to_one_effective_matrix(order: int) -> None:
    """All powers are powers of one step, so that the filter is exact for the matrix whose exponential the step is."""
    matrix, vector = few_strings()
    time = 0.25
    step = Operator(evolve(matrix, -time / 2, method="trotter", order=order)).data
    effective = -1j * scipy.linalg.logm(step) / (time / 2)
    np.testing.assert_allclose(effective, effective.conj().T, rtol=0, atol=1e-12)
    circuit = hhl(matrix, vector, n_clock=4, evolution="trotter", time=time, trotter_order=order)
    expected = filtered((effective + effective.conj().T) / 2, vector, reciprocals(4), n=4, window="uniform", time=time)
    np.testing.assert_allclose(solution(circuit), expected, rtol=0, atol=1e-10)
    exact = filtered(matrix, vector, reciprocals(4), n=4, window="uniform", time=time)
    assert np.abs(exact - expected).max() > 1e-6  # the effective matrix is another one


@pytest.mark.parametrize(("order", "steps"), [(1, (8, 16)), (2, (2, 4)), (4, (1, 2))])
def test_product_formulas_converge_with_their_order(order: int, steps: tuple[int, int]) -> None:
    matrix, vector = few_strings()
    expected = filtered(matrix, vector, reciprocals(3), n=3, window="sine", time=0.3)
    errors = []
    for n_steps in steps:
        circuit = hhl(
            matrix,
            vector,
            n_clock=3,
            evolution="trotter",
            time=0.3,
            window="sine",
            trotter_order=order,
            trotter_steps=n_steps,
        )
        errors.append(np.linalg.norm(solution(circuit) - expected))
    # The leading term's slope; the next term is smaller by about a step's length.
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.3)
    assert errors[1] > 1e-12


def test_only_the_demonstration_solves_an_eigenproblem(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("an eigenproblem was solved")

    matrix, vector = off_grid(3, seed=1)
    for module in (np.linalg, scipy.linalg):
        for name in ("eigh", "eig", "eigvalsh", "eigvals", "solve", "inv", "lstsq"):
            monkeypatch.setattr(module, name, refuse)
    for evolution in ("exponential", "blocks", "trotter"):
        for time in (None, 0.5):
            hhl(matrix, vector, n_clock=3, evolution=evolution, time=time)
    with pytest.raises(AssertionError, match="eigenproblem"):
        hhl(matrix, vector, n_clock=3, evolution="diagonalised")


def test_registers_and_metadata() -> None:
    matrix, vector = off_grid(2, seed=0)
    circuit = hhl(matrix, vector, n_clock=3, window="sine")
    assert [(r.name, r.size) for r in circuit.qregs] == [("system", 2), ("clock", 3), ("flag", 1)]
    assert circuit.num_clbits == 0
    assert circuit.name == "hhl"
    time = circuit.metadata["time"]
    assert circuit.metadata == {
        "time": time,
        "window": "sine",
        "evolution": "exponential",
        "scale": 2 * np.pi / (8 * time),
        "demonstration": False,
    }
    shown = hhl(matrix, vector, n_clock=3, evolution="diagonalised")
    assert shown.metadata["demonstration"] is True
    assert "demonstration" in shown.name


def test_the_largest_scale_is_taken() -> None:
    """With a known spectrum the smallest eigenvalue sets the scale; without, the first tick of the clock does."""
    matrix = 2 * np.pi / (32 * TIME) * np.diag([5.0, -7.0])
    known = hhl(matrix, [1.0, 2.0], n_clock=5, evolution="diagonalised", time=TIME)
    unknown = hhl(matrix, [1.0, 2.0], n_clock=5, time=TIME)
    assert known.metadata["scale"] == pytest.approx(matrix[0, 0], rel=1e-12)
    assert unknown.metadata["scale"] == pytest.approx(matrix[0, 0] / 5, rel=1e-12)
    assert np.linalg.norm(solution(known)) == pytest.approx(5 * np.linalg.norm(solution(unknown)), rel=1e-9)


@pytest.mark.parametrize("n", [2, 3, 6])
def test_the_time_chosen_keeps_all_eigenvalues_on_the_clock(n: int) -> None:
    for seed in range(20):
        matrix = off_grid(3, seed=seed)[0] * 10.0 ** (seed - 10)
        norm = float(np.abs(np.linalg.eigvalsh(matrix)).max())
        lower, upper = spectral_norm_bounds(matrix)
        assert lower <= norm * (1 + 1e-12)
        assert norm <= upper * (1 + 1e-12)
        assert upper <= 1.034 * lower
        time = hhl(matrix, np.ones(8), n_clock=n, evolution="blocks").metadata["time"]
        ticks = 2 ** (n - 1) - 1
        assert 0.96 * ticks < norm * time * 2**n / (2 * np.pi) <= ticks * (1 + 1e-12)


def test_windows() -> None:
    for n in (1, 2, 5):
        for window in ("uniform", "sine"):
            weights = clock_window(n, window)
            assert weights.shape == (2**n,)
            assert np.linalg.norm(weights) == pytest.approx(1.0, rel=1e-12)
            np.testing.assert_allclose(weights, weights[::-1], rtol=1e-12)
    with pytest.raises(ValueError, match="`window`"):
        clock_window(3, "hann")
    with pytest.raises(ValueError, match="`n_clock`"):
        clock_window(0)


@pytest.mark.parametrize(("vector", "expected"), [([1.0, 0.0], [0.5, 0.5]), ([1.0, -1.0], [0.0, 0.0])])
def test_the_null_space_of_a_singular_matrix_is_left_out(vector: list[float], expected: list[float]) -> None:
    """The projection on the eigenvector (1, 1) comes out; (1, -1), with eigenvalue 0, does not raise the flag."""
    circuit = hhl([[1.0, 1.0], [1.0, 1.0]], vector, n_clock=4, time=np.pi / 4)  # the eigenvalue 2 lies on the grid
    found = Statevector(circuit).data.reshape(2, 16, 2)[1, 0]
    scale = 2.0 / circuit.metadata["scale"]
    np.testing.assert_allclose(found * scale, expected, atol=1e-12)


GOOD: dict[str, Any] = {"matrix": np.eye(2), "vector": [1.0, 0.0], "n_clock": 3}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"matrix": [[0.0, 1.0], [0.0, 0.0]]}, "dilation"),
        ({"matrix": [[1.0, np.nan], [np.nan, 1.0]]}, "NaN"),
        ({"matrix": np.zeros((2, 2))}, "must not be zero"),
        ({"matrix": np.eye(2) * 1e200}, "between 1e-100 and 1e"),
        ({"matrix": np.eye(2) * 1e-200}, "between 1e-100 and 1e"),
        ({"matrix": np.eye(3), "vector": np.ones(3)}, "pad it"),
        ({"matrix": np.eye(256)}, "has 256"),
        ({"matrix": [1.0, 2.0]}, "square matrix"),
        ({"vector": [0.0, 0.0]}, "`vector` must not be zero"),
        ({"vector": [1.0, 0.0, 0.0]}, "`vector` must have 2 entries"),
        ({"vector": [1.0, np.inf]}, "finite"),
        ({"vector": [[1.0, 0.0]]}, "one-dimensional"),
        ({"n_clock": 1}, "`n_clock` must be an integer from 2"),
        ({"n_clock": 15}, "`n_clock` must be an integer"),
        ({"n_clock": 3.0}, "`n_clock` must be an integer"),
        ({"evolution": "magic"}, "`evolution` must be one of"),
        ({"window": "hann"}, "`window` must be one of"),
        ({"time": 0.0}, "must be positive"),
        ({"time": np.nan}, "finite real number"),
        ({"time": 3.3}, "phases would wrap"),
        ({"matrix": np.diag([1.0, 3.2]), "time": np.pi / 3.2, "evolution": "diagonalised"}, "make it smaller"),
        ({"reciprocal": np.ones(4)}, r"shape \(8,\)"),
        ({"reciprocal": np.full(8, 1.01)}, r"\[-1, 1\]"),
        ({"reciprocal": np.full(8, 0.5j)}, r"\[-1, 1\]"),
        ({"reciprocal": np.full(8, np.nan)}, "NaN"),
        ({"trotter_steps": 2}, "must be left out"),
        ({"evolution": "trotter", "trotter_order": 3}, "`trotter_order`"),
        ({"evolution": "trotter", "trotter_steps": 0}, "`trotter_steps`"),
        ({"evolution": "trotter", "trotter_steps": 10**6}, "take fewer"),
    ],
)
def test_bad_arguments_are_refused(change: dict[str, Any], message: str) -> None:
    arguments = {**GOOD, **change}
    with pytest.raises(ValueError, match=message):
        hhl(arguments.pop("matrix"), arguments.pop("vector"), **arguments)


def test_text_is_refused() -> None:
    with pytest.raises(TypeError, match="must hold numbers"):
        hhl([["a", "b"], ["c", "d"]], [1.0, 0.0], n_clock=3)


def test_the_smallest_and_largest_matrices() -> None:
    hhl([[1.0, 0.0], [0.0, -1.0]], [1e-200, 1e-200], n_clock=2)
    matrix = np.diag(np.linspace(-1, 1, 128)) + 0.01
    circuit = hhl(matrix, np.ones(128), n_clock=3, evolution="blocks", window="sine")
    expected = filtered(matrix, np.ones(128), reciprocals(3), n=3, window="sine", time=circuit.metadata["time"])
    np.testing.assert_allclose(solution(circuit), expected, rtol=0, atol=1e-10)
