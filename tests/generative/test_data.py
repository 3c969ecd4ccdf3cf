from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qmlphys.generative._data import as_bits, held_out_rows, in_alphabet, packed, plain


@given(arrays(np.int8, st.tuples(st.integers(1, 12), st.integers(1, 6)), elements=st.integers(0, 1)))
def test_both_alphabets_are_read_and_written(bits: np.ndarray) -> None:
    spins = in_alphabet(bits, "spins")
    assert set(np.unique(spins)) <= {-1, 1}
    assert (spins == 1 - 2 * bits).all()
    for dtype in (np.int8, np.int64, np.float64):
        read, found = as_bits(spins.astype(dtype), alphabet="spins")
        assert found == "spins"
        assert read.dtype == np.int8
        np.testing.assert_array_equal(read, bits)
    read, found = as_bits(bits, alphabet="bits")
    np.testing.assert_array_equal(read, bits)
    assert found == "bits"
    assert (in_alphabet(bits, "bits") == bits).all()


def test_rows_of_ones_are_read_in_the_alphabet_of_the_model() -> None:
    ones = [[1, 1, 1]]
    assert as_bits(ones)[1] == "spins"
    assert as_bits(ones)[0].tolist() == [[0, 0, 0]]
    assert as_bits(ones, alphabet="bits")[0].tolist() == [[1, 1, 1]]
    # What is plainly in the other alphabet is understood.
    assert as_bits([[-1, 1]], alphabet="bits") == (pytest.approx(np.array([[1, 0]])), "spins")
    assert as_bits(np.array([[True, False]]))[0].tolist() == [[1, 0]]


@pytest.mark.parametrize(
    ("rows", "error", "text"),
    [
        ([["a", "b"]], TypeError, "dtype"),
        ([[0, 1j]], TypeError, "complex"),
        (xr.Dataset({"spins": ("site", [1, -1])}), TypeError, "snapshots.as_xy"),
        ([0, 1], ValueError, r"shape is \(2,\)"),
        (np.zeros((0, 3)), ValueError, r"\(0, 3\)"),
        (np.zeros((3, 0)), ValueError, r"\(3, 0\)"),
        ([[0, 2]], ValueError, "it holds 2"),
        ([[0.5, 1]], ValueError, "it holds 0.5"),
        ([[-1, 0, 1]], ValueError, "both -1 and 0"),
        ([[0, np.nan]], ValueError, "it holds nan"),
        ([[0, np.inf]], ValueError, "it holds inf"),
    ],
)
def test_what_is_no_rows_is_refused(rows: object, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        as_bits(rows)  # type: ignore[arg-type]


def test_the_number_of_sites_is_checked_and_the_argument_named() -> None:
    with pytest.raises(ValueError, match="`samples` must have 3 sites a row, but it has 2"):
        as_bits([[0, 1]], n_sites=3, argument="samples")


@given(arrays(np.int8, st.tuples(st.integers(1, 40), st.integers(1, 4)), elements=st.integers(0, 1)))
def test_packed_rows_are_different_and_keep_every_count(bits: np.ndarray) -> None:
    rows, weights = packed(bits)
    assert len(np.unique(rows, axis=0)) == len(rows)
    assert weights.sum() == pytest.approx(1, rel=1e-12)
    for row, weight in zip(rows, weights, strict=True):
        assert weight * len(bits) == pytest.approx((bits == row).all(axis=1).sum(), rel=1e-12)


def test_whole_groups_are_held_out() -> None:
    groups = np.repeat(np.arange(20), 7)
    mask = held_out_rows(140, groups, 0.25, np.random.default_rng(1))
    assert mask.reshape(20, 7).any(axis=1).sum() == 5
    assert (mask.reshape(20, 7).all(axis=1) == mask.reshape(20, 7).any(axis=1)).all()
    # Without groups rows stand for themselves: this would split chains, which shows that the groups did something.
    alone = held_out_rows(140, None, 0.25, np.random.default_rng(1))
    assert alone.sum() == 35
    assert (alone.reshape(20, 7).all(axis=1) != alone.reshape(20, 7).any(axis=1)).any()


def test_nothing_is_held_out_at_zero() -> None:
    rng = np.random.default_rng(3)
    assert not held_out_rows(5, None, 0.0, rng).any()
    assert rng.random() == np.random.default_rng(3).random()


@pytest.mark.parametrize("fraction", [-0.1, 1.0, np.nan])
def test_bad_fractions_are_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="`validation_fraction` must be from 0 to below 1"):
        held_out_rows(5, None, fraction, np.random.default_rng(0))


def test_groups_that_cannot_be_split_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 independent groups"):
        held_out_rows(5, np.zeros(5), 0.5, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"one entry a row \(5\)"):
        held_out_rows(5, np.zeros(4), 0.5, np.random.default_rng(0))


def test_settings_become_json() -> None:
    settings = {"a": np.float64(0.5), "b": (np.int64(2), [np.array([1, 2])]), "c": None, "d": "text"}
    text = json.dumps({name: plain(value) for name, value in settings.items()})
    assert json.loads(text) == {"a": 0.5, "b": [2, [[1, 2]]], "c": None, "d": "text"}
