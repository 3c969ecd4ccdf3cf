"""Bookkeeping of independent groups: the inner split and the bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmlphys._groups import bootstrap_weights, check_parameter, group_indices, hold_out
from qmlphys.phases._crossing import half_crossing


@settings(deadline=None, max_examples=40)
@given(
    n_values=st.integers(1, 7),
    n_chains=st.integers(2, 9),
    fraction=st.floats(0.1, 0.9),
    seed=st.integers(0, 2**16),
)
def test_hold_out_takes_whole_groups_evenly_over_the_scan(n_values, n_chains, fraction, seed):
    rng = np.random.default_rng(seed)
    parameter = np.repeat(np.linspace(1, 3, n_values), n_chains * 3)
    groups = np.repeat(np.arange(n_values * n_chains), 3)
    shuffle = rng.permutation(len(groups))
    mask = hold_out(groups[shuffle], parameter[shuffle], fraction, rng)
    held = np.unique(groups[shuffle][mask])
    assert not np.isin(groups[shuffle][~mask], held).any()
    assert 0 < mask.sum() < len(mask)
    per_value = np.bincount(held // n_chains, minlength=n_values)
    assert np.abs(per_value - fraction * n_chains).max() < 2


def test_hold_out_needs_two_groups():
    with pytest.raises(ValueError, match="at least 2 independent groups"):
        hold_out(np.zeros(5, dtype=int), np.arange(5.0), 0.5, np.random.default_rng(0))


def test_bootstrap_of_a_mean_has_the_exact_variance():
    # n - 1 out of n draws: variance of the mean = (unbiased variance of the groups) / n (Rao and Wu 1988).
    rng = np.random.default_rng(1)
    counts = [2, 5, 9]
    parameter = np.repeat([1.0, 2.0, 3.0], counts)
    x = rng.normal(size=sum(counts))
    weights = bootstrap_weights(np.arange(len(x)), parameter, 40_000, rng)
    for value in (1.0, 2.0, 3.0):
        inside = parameter == value
        n = inside.sum()
        np.testing.assert_allclose(weights[:, inside].sum(axis=1), n, rtol=1e-12)
        means = weights[:, inside] @ x[inside] / n
        exact = x[inside].var(ddof=1) / n
        # Relative error of a variance from R resamples is sqrt((kurtosis - 1) / R), at most about 1.5 / sqrt(R) here.
        assert means.var() == pytest.approx(exact, rel=5 * 1.5 / 200)


def test_bootstrap_redraws_over_the_scan_when_a_chain_runs_through_it():
    parameter = np.tile([1.0, 2.0], 6)
    indices = np.repeat(np.arange(6), 2)
    weights = bootstrap_weights(indices, parameter, 200, np.random.default_rng(0))
    np.testing.assert_allclose(weights.sum(axis=1), 6, rtol=1e-12)
    with pytest.raises(ValueError, match="n_groups = 1"):
        bootstrap_weights(np.zeros(4, dtype=int), np.arange(4.0), 10, np.random.default_rng(0))


def test_groups_and_parameter_are_checked():
    with pytest.raises(ValueError, match="one entry a row"):
        group_indices([0, 1], 3)
    with pytest.raises(ValueError, match="must be finite"):
        check_parameter([1.0, np.nan], np.zeros((2, 1)))
    with pytest.raises(TypeError, match="real numbers"):
        check_parameter(["a", "b"], np.zeros((2, 1)))
    with pytest.raises(ValueError, match="Complex"):
        check_parameter([1j, 2.0], np.zeros((2, 1)))
    np.testing.assert_array_equal(group_indices(["b", "a", "b"], 3), [1, 0, 1])


def test_half_crossing_of_exact_logistic_fractions():
    # The logit of a logistic curve is a line, which the fit contains: exact up to the rounding of 10^6 draws.
    values = np.linspace(-1, 2, 13)
    n = 1_000_000
    p = 1 / (1 + np.exp((values - 0.37) / 0.2))
    parameter = np.repeat(values, 4)
    groups = np.arange(len(parameter))
    hits = np.repeat(np.round(p * n) / n, 4)
    result = half_crossing(hits, parameter, groups, n_resamples=10, rng=np.random.default_rng(0))
    assert result.mean == pytest.approx(0.37, abs=2e-3)  # half a count is added to 4, not 10^6, here
    mirrored = half_crossing(hits, -parameter, groups, n_resamples=10, rng=np.random.default_rng(0))
    assert mirrored.mean == pytest.approx(-result.mean, abs=1e-9)


def test_half_crossing_error_covers():
    values = np.linspace(0, 1, 9)
    p = 1 / (1 + np.exp((values - 0.43) / 0.1))
    rng = np.random.default_rng(3)
    deviations, errors = [], []
    for _ in range(40):
        hits = (rng.random((len(values), 60)) < p[:, None]).astype(float).ravel()
        parameter = np.repeat(values, 60)
        result = half_crossing(hits, parameter, np.arange(len(hits)), n_resamples=60, rng=rng)
        deviations.append(result.deviation(0.43))
        errors.append(result.error)
    assert 0.6 < np.std(deviations) < 1.4
    assert abs(np.mean(deviations)) < 5 / np.sqrt(40)
    assert 0.005 < np.mean(errors) < 0.05


def test_half_crossing_with_one_row_a_value():
    # A continuous scan: the bootstrap runs over the whole scan and leaves out values.
    rng = np.random.default_rng(5)
    parameter = np.sort(rng.uniform(0, 1, 300))
    hits = rng.random(300) < 1 / (1 + np.exp((parameter - 0.43) / 0.05))
    result = half_crossing(hits, parameter, np.arange(300), n_resamples=50, rng=rng)
    assert abs(result.deviation(0.43)) < 4.5
    assert 0.003 < result.error < 0.1


def test_half_crossing_refuses_a_scan_without_a_crossing():
    parameter = np.repeat([1.0, 2.0, 3.0], 10)
    with pytest.raises(ValueError, match="widen the scan"):
        half_crossing(np.ones(30), parameter, np.arange(30), n_resamples=10, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="2 different values"):
        half_crossing(np.ones(30), np.ones(30), np.arange(30), n_resamples=10, rng=np.random.default_rng(0))
