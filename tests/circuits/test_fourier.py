"""The Fourier transform against the DFT matrix, and the certified bound of the approximate one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit.quantum_info import Operator

from circuits.fourier import line_qft, qft, semiclassical_qft
from tests.reference import branches


def dft(n: int) -> NDArray[np.complex128]:
    """The definition, element by element."""
    j = np.arange(2**n)
    return np.exp(2j * np.pi * (np.outer(j, j) % 2**n) / 2**n) / math.sqrt(2**n)


def reversal(n: int) -> NDArray[np.float64]:
    """The permutation that reverses n bits."""
    return np.eye(2**n)[[int(f"{k:0{n}b}"[::-1], 2) for k in range(2**n)]]


def random_state(n: int, seed: int) -> NDArray[np.complex128]:
    rng = np.random.default_rng(seed)
    vector = rng.normal(size=2**n) + 1j * rng.normal(size=2**n)
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize("n", range(1, 9))
def test_every_form_is_the_dft_matrix(n: int) -> None:
    forward, turned = dft(n), reversal(n)
    forms = {
        (False, True): forward,
        (True, True): forward.conj().T,
        (False, False): turned @ forward,
        (True, False): forward.conj().T @ turned,
    }
    for (inverse, swaps), expected in forms.items():
        found = Operator(qft(n, inverse=inverse, swaps=swaps)).data
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    if n > 1:  # the sign of the exponent and the order of the bits are seen by this test
        assert np.abs(forward - forward.conj()).max() > 0.1
        assert np.abs(forward - turned @ forward).max() > 0.1


@pytest.mark.parametrize("n", [9, 12])
def test_larger_transforms_act_as_numpy_does(n: int) -> None:
    state = random_state(n, n)
    np.testing.assert_allclose(
        branches.statevector(qft(n), state), np.fft.ifft(state, norm="ortho"), rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(
        branches.statevector(qft(n, inverse=True), state), np.fft.fft(state, norm="ortho"), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("n", range(2, 9))
@pytest.mark.parametrize("error", [1e-3, 0.03, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("inverse", [False, True])
def test_the_bound_holds_and_is_close(n: int, error: float, inverse: bool) -> None:
    circuit = qft(n, inverse=inverse, error=error)
    exact = dft(n).conj().T if inverse else dft(n)
    distance = np.linalg.norm(Operator(circuit).data - exact, 2)
    bound = circuit.metadata["error_bound"]
    assert distance <= bound + 1e-13  # rounding of the matrices
    assert bound <= error
    assert distance >= 0.5 * bound  # a bound that is far too large leaves out too little
    kept, left_out = circuit.metadata["n_rotations"], circuit.metadata["n_rotations_left_out"]
    assert kept == circuit.count_ops().get("cp", 0)
    assert kept + left_out == n * (n - 1) // 2
    assert (bound > 0) == (left_out > 0)


@pytest.mark.parametrize("n", [4, 8, 20, 64])
def test_one_more_rotation_would_break_the_bound(n: int) -> None:
    for error in (1e-4, 1e-2, 0.2):
        circuit = qft(n, error=error)
        kept = [
            2 * math.pi / 2 ** (abs(circuit.find_bit(a).index - circuit.find_bit(b).index) + 1)
            for a, b in pairs(circuit)
        ]
        smallest = min(kept)
        # Leaving out one more adds at most 2 sin(t/8): the sine is concave.
        assert circuit.metadata["error_bound"] + 2 * math.sin(smallest / 8) > error
        # Leaving the whole gates out, without their one-qubit parts, saves less.
        assert circuit.metadata["n_rotations_left_out"] >= plain_truncation(n, error)


def pairs(circuit: Any) -> list[Any]:
    return [instruction.qubits for instruction in circuit.data if instruction.operation.name == "cp"]


def plain_truncation(n: int, error: float) -> int:
    """How many whole gates fit a bound on the sum of 2 sin(t / 2)."""
    angles = sorted(math.pi / 2**d for d in range(1, n) for _ in range(n - d))
    sums = np.cumsum([2 * math.sin(t / 2) for t in angles])
    return int(np.searchsorted(sums, error, side="right"))


def test_more_error_leaves_out_more() -> None:
    kept = [qft(30, error=error).metadata["n_rotations"] for error in (0.0, 1e-6, 1e-4, 1e-2, 0.1, 1.0, 1e3)]
    assert kept == sorted(kept, reverse=True)
    assert kept[0] == 435
    assert kept[3] < 330
    assert kept[-1] == 0
    assert qft(30).metadata["error_bound"] == 0.0


@pytest.mark.parametrize("builder", [qft, line_qft, semiclassical_qft])
@pytest.mark.parametrize(
    ("n", "problem"),
    [(0, ValueError), (-3, ValueError), (2.0, TypeError), ("4", TypeError), (True, TypeError), (2000, ValueError)],
)
def test_bad_sizes(builder: Any, n: Any, problem: type[Exception]) -> None:
    with pytest.raises(problem, match="Argument `n` must be"):
        builder(n)


@pytest.mark.parametrize("builder", [qft, semiclassical_qft])
@pytest.mark.parametrize("error", [-1e-9, math.nan, math.inf, "1", True])
def test_bad_errors(builder: Any, error: Any) -> None:
    with pytest.raises(ValueError, match="Argument `error` must be a finite number >= 0"):
        builder(4, error=error)
