"""The Fourier transform on a line: what it does, where its gates lie, how many they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qiskit.quantum_info import Operator

from circuits.fourier import line_qft
from tests.reference import branches


def reversed_bits(n: int) -> list[int]:
    return [int(f"{k:0{n}b}"[::-1], 2) for k in range(2**n)]


@pytest.mark.parametrize("n", range(1, 9))
@pytest.mark.parametrize("order", ["reversed", "natural"])
def test_the_line_is_the_dft_matrix(n: int, order: Any) -> None:
    size = 2**n
    matrix = np.fft.ifft(np.eye(size), axis=0, norm="ortho")
    expected = matrix[reversed_bits(n)] if order == "reversed" else matrix
    forward, backward = line_qft(n, order=order), line_qft(n, inverse=True, order=order)
    np.testing.assert_allclose(Operator(forward).data, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(Operator(backward).data, expected.conj().T, rtol=0, atol=1e-12)
    if n > 1:
        assert np.abs(matrix - matrix[reversed_bits(n)]).max() > 0.1


@pytest.mark.parametrize("n", [9, 11, 12])
def test_larger_lines_act_as_numpy_does(n: int) -> None:
    rng = np.random.default_rng(n)
    state = rng.normal(size=2**n) + 1j * rng.normal(size=2**n)
    state /= np.linalg.norm(state)
    basis = np.zeros(2**n, complex)
    basis[rng.integers(2**n)] = 1.0
    for vector in (state, basis):
        expected = np.fft.ifft(vector, norm="ortho")
        natural = branches.statevector(line_qft(n, order="natural"), vector)
        np.testing.assert_allclose(natural, expected, rtol=0, atol=1e-12)
        turned = branches.statevector(line_qft(n), vector)
        np.testing.assert_allclose(turned, expected[reversed_bits(n)], rtol=0, atol=1e-12)
        back = branches.statevector(line_qft(n, inverse=True), turned)
        np.testing.assert_allclose(back, vector, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("n", "inverse"), [*((n, False) for n in range(2, 65)), (2, True), (7, True), (40, True)])
def test_counts_and_neighbours(n: int, inverse: bool) -> None:
    reversed_order, natural = line_qft(n, inverse=inverse), line_qft(n, inverse=inverse, order="natural")
    for circuit, n_cx in ((reversed_order, n * n - 2), (natural, n * n + 2 * n - 5)):
        places = [
            [circuit.find_bit(qubit).index for qubit in instruction.qubits]
            for instruction in circuit.data
            if len(instruction.qubits) > 1
        ]
        assert set(circuit.count_ops()) <= {"cx", "h", "p", "sx", "sxdg"}
        assert circuit.count_ops()["cx"] == len(places) == n_cx
        assert all(abs(a - b) == 1 for a, b in places)
        assert circuit.num_clbits == 0
    # Park and Ahn 2023 is the aim for the reversed order, Fowler et al. 2004 the peer for the natural one.
    assert reversed_order.count_ops()["cx"] <= n * n + n - 4
    if n > 5:
        assert 2 * natural.count_ops()["cx"] < 3 * n * (n - 1)


@pytest.mark.parametrize("n", [2, 3, 5, 16, 40])
def test_two_qubit_depths(n: int) -> None:
    def depth(circuit: Any) -> int:
        return circuit.depth(lambda instruction: len(instruction.qubits) == 2)

    assert depth(line_qft(n)) == n * n - 2
    assert depth(line_qft(n, order="natural")) == (3 if n == 2 else 6 * n - 8)


def test_unknown_orders() -> None:
    with pytest.raises(ValueError, match=r"Argument `order` must be 'reversed' or 'natural', but it is 'up'\."):
        line_qft(3, order="up")  # type: ignore[arg-type]
