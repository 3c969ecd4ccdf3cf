"""Order of bits: against the definition, against Qiskit's, and there and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qmlphys import bits


def test_every_configuration_of_ten_sites_has_its_own_integer() -> None:
    integers = np.arange(2**10)
    rows = bits.integers_to_bits(integers, 10)
    # By the definition, digit by digit: an independent way to the same numbers.
    assert [sum(int(b) << i for i, b in enumerate(row)) for row in rows] == integers.tolist()
    assert [bits.to_string(row) for row in rows] == [format(i, "010b") for i in integers]
    np.testing.assert_array_equal(bits.bits_to_integers(rows), integers)


def test_spin_up_is_bit_zero() -> None:
    assert bits.spins_to_bits([1, -1]).tolist() == [0, 1]
    assert bits.bits_to_spins([0, 1]).tolist() == [1, -1]
    assert bits.bits_to_spins(np.array([True, False])).tolist() == [-1, 1]


def test_order_is_that_of_qiskit() -> None:
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import Statevector

    circuit = QuantumCircuit(5)
    circuit.x([0, 3])
    state = Statevector(circuit)
    row = np.array([1, 0, 0, 1, 0])
    assert state.probabilities_dict() == {bits.to_string(row): 1.0}
    assert int(np.argmax(state.probabilities())) == int(bits.bits_to_integers(row))


@given(hnp.arrays(np.int8, hnp.array_shapes(min_dims=1, max_dims=3, max_side=62), elements=st.sampled_from([-1, 1])))
def test_round_trips(spins: np.ndarray) -> None:
    n_sites = spins.shape[-1]
    np.testing.assert_array_equal(bits.bits_to_spins(bits.spins_to_bits(spins)), spins)
    integers = bits.spins_to_integers(spins)
    assert integers.dtype == np.int64
    assert integers.shape == spins.shape[:-1]
    np.testing.assert_array_equal(bits.integers_to_spins(integers, n_sites), spins)
    row = spins.reshape(-1, n_sites)[0]
    string = bits.to_string(bits.spins_to_bits(row))
    np.testing.assert_array_equal(bits.bits_to_spins(bits.from_string(string)), row)
    assert int(string, 2) == int(integers.reshape(-1)[0])


def test_largest_integer_is_not_cut() -> None:
    ones = np.ones(bits.MAX_BITS, dtype=np.int8)
    assert int(bits.bits_to_integers(ones)) == 2**62 - 1


def test_types_are_small_and_signed() -> None:
    assert bits.spins_to_bits(np.array([1.0, -1.0])).dtype == np.int8
    assert bits.bits_to_spins(np.array([0, 1], dtype=np.uint64)).dtype == np.int8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bits.spins_to_bits([1, 0]), "must hold only -1 and 1, but it holds 0"),
        (lambda: bits.spins_to_bits([1, 2]), "but it holds 2"),
        (lambda: bits.spins_to_bits([1, -3]), "but it holds -3"),
        (lambda: bits.spins_to_bits([1.0, np.nan]), "but it holds nan"),
        (lambda: bits.spins_to_bits([1.0, 0.5]), "but it holds 0.5"),
        (lambda: bits.bits_to_spins([0, -1]), "must hold only 0 and 1, but it holds -1"),
        (lambda: bits.bits_to_integers(1), "but it is a single number"),
        (lambda: bits.bits_to_integers(np.zeros(63)), "1 to 62 sites"),
        (lambda: bits.bits_to_integers(np.zeros((2, 0))), "1 to 62 sites"),
        (lambda: bits.integers_to_bits([4], 2), "must lie in"),
        (lambda: bits.integers_to_bits([-1], 2), "but it holds -1"),
        (lambda: bits.integers_to_bits([0], 63), "must be 1 to 62, but it is 63"),
        (lambda: bits.to_string([[0, 1]]), "must be one row"),
        (lambda: bits.from_string("0120"), "but it is '0120'"),
    ],
)
def test_wrong_values_are_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_wrong_types_are_named() -> None:
    with pytest.raises(TypeError, match="must hold integers"):
        bits.integers_to_bits([0.5], 2)
    with pytest.raises(TypeError, match="must hold numbers"):
        bits.spins_to_bits(["up"])
