"""Error bars against closed forms: AR(1) series, jackknife formulae, coverage."""

from __future__ import annotations

import dataclasses
import math
import pickle
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from qmlphys import stats
from qmlphys.stats import Estimate


def ar1(rng, *, n_chains, n_draws, tau):
    """x[t+1] = r x[t] + noise, stationary with variance 1; its integrated time is (1 + r) / (2 (1 - r)) exactly."""
    r = (2 * tau - 1) / (2 * tau + 1)
    noise = rng.normal(size=(n_chains, n_draws)) * math.sqrt(1 - r * r)
    noise[:, 0] = rng.normal(size=n_chains)
    return lfilter([1.0], [1.0, -r], noise, axis=1)


def exact_variance_of_mean(n_draws, tau):
    """Variance of the mean of one AR(1) chain: sum over all pairs of r^|t - s| / n^2."""
    r = (2 * tau - 1) / (2 * tau + 1)
    lags = np.arange(1, n_draws)
    return (1 + 2 * ((1 - lags / n_draws) * r**lags).sum()) / n_draws


# --- printing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mean", "error", "text"),
    [
        (2.26931, 0.00042, "2.2693(4)"),
        (2.26931, 0.000123, "2.26931(12)"),
        (2.26931, 0.000196, "2.2693(2)"),
        (2.26931, 0.000096, "2.26931(10)"),
        (2.26931, 0.0000949, "2.26931(9)"),
        (-0.4406868, 0.00002, "-0.44069(2)"),
        (-0.0001, 0.003, "0.000(3)"),
        (12.34, 1.23, "12.3(1.2)"),
        (12.34, 0.98, "12.3(1.0)"),
        (12.34, 3.4, "12(3)"),
        (1234.5, 340.0, "1200(300)"),
        (1234.5, 134.0, "1230(130)"),
        (0.0, 1.0, "0.0(1.0)"),
        (1.5, 0.0, "1.5(0)"),
        (2.0, math.nan, "2(nan)"),
        (2.0, math.inf, "2(inf)"),
        (math.nan, math.nan, "nan(nan)"),
        (-math.inf, 0.1, "-inf(0.1)"),
        (1.2345e12, 3e9, "1.234(3)e+12"),
        (-4.2e-9, 3e-10, "-4.2(3)e-09"),
        (1e-300, 1e-301, "1.00(10)e-300"),
        (1e300, 1e308, "0.0(1.0)e+308"),
        (9.9999e5, 1.0, "999990.0(1.0)"),
    ],
)
def test_print(mean, error, text):
    assert str(Estimate(mean, error)) == text


@settings(derandomize=True, deadline=None)
@given(
    st.floats(-1e9, 1e9, allow_subnormal=False),
    st.floats(1e-9, 1e9),
)
def test_print_reads_back(mean, error):
    """The printed mean is within the rounding of the last shown digit, the error within its one or two digits."""
    match = re.fullmatch(r"(-?[\d.]+)\(([\d.]+)\)(e[+-]\d+)?", str(Estimate(mean, error)))
    assert match is not None
    head, digits, power = match[1], match[2], float("1" + (match[3] or ""))
    decimals = len(head.split(".")[1]) if "." in head else 0
    shown = float(digits) * power * (1 if "." in digits else 10.0**-decimals)
    assert shown == pytest.approx(error, rel=0.26)  # 2.5 -> 2 or 3 is the coarsest rounding: 20 %, 1.95 -> 2
    assert abs(float(head) * power - mean) <= 0.5001 * shown + 1e-9 * abs(mean)


def test_format_spec_and_frozen():
    value = Estimate(1, 0.25)
    assert f"{value:>10}|" == "    1.0(2)|"
    assert isinstance(value.mean, float)
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.mean = 2.0
    assert pickle.loads(pickle.dumps(value)).error == 0.25  # noqa: S301 - our own bytes


def test_deviation():
    assert Estimate(1.0, 0.5).deviation(2.0) == -2.0
    assert Estimate(1.0, 0.0).deviation(1.0) == 0.0
    assert Estimate(1.0, 0.0).deviation(2.0) == -math.inf


def test_negative_error_is_refused():
    with pytest.raises(ValueError, match=r"`error` must be >= 0 .* but is -0.1"):
        Estimate(1.0, -0.1)


# --- autocorrelation --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tau", "n_chains", "n_draws"), [(0.5, 4, 40_000), (3.0, 1, 200_000), (20.0, 64, 10_000)])
def test_tau_of_ar1(tau, n_chains, n_draws):
    x = ar1(np.random.default_rng(11), n_chains=n_chains, n_draws=n_draws, tau=tau)
    # Madras and Sokal 1988, eq. 2.24: var(tau) = 2 (2 W + 1) tau^2 / N with W = 5 tau; the cut tail is exp(-5) tau.
    error = tau * math.sqrt(2 * (10 * tau + 1) / x.size)
    measured = stats.autocorrelation_time(x)
    assert abs(measured - tau) < 4 * error + math.exp(-5) * tau
    assert stats.effective_sample_size(x) == pytest.approx(x.size / (2 * measured))
    assert error < 0.1 * tau


def test_tau_equals_plain_sum():
    """The FFT against the definition, and the window against a loop."""
    rng = np.random.default_rng(2)
    x = ar1(rng, n_chains=3, n_draws=400, tau=4.0) + 7.0
    centred = x - x.mean()
    gamma = [np.mean([chain[: 400 - t] @ chain[t:] / (400 - t) for chain in centred]) for t in range(400)]
    tau, lag = 0.5, 0
    while lag < 5 * tau:
        lag += 1
        tau += gamma[lag] / gamma[0]
    shift = 2 * tau / x.size
    expected = (tau + shift * (lag + 0.5)) / (1 + shift)
    assert stats.autocorrelation_time(x) == pytest.approx(expected, rel=1e-10)  # rounding of two FFTs
    assert expected > 2


def test_bias_of_the_measured_mean_is_removed():
    """Averaged over many short series tau is right to a few per cent; without the correction it is 20 % too low."""
    rng = np.random.default_rng(3)
    taus = [stats.autocorrelation_time(ar1(rng, n_chains=1, n_draws=300, tau=5.0)) for _ in range(400)]
    assert np.mean(taus) == pytest.approx(5.0, rel=0.12)


def test_chains_share_one_mean():
    """Two frozen chains at different places are fully correlated; a mean of their own would show none of it."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(2, 200)) + np.array([[-5.0], [5.0]])
    assert stats.autocorrelation_time(x) > 50
    assert stats.autocorrelation_time(x[:1]) < 1
    assert stats.r_hat(x) > 5


def test_anticorrelated_and_constant_series():
    alternating = np.resize([1.0, -1.0], (2, 100))
    assert stats.autocorrelation_time(alternating) == 0.5
    constant = np.full((3, 50), 0.1)
    assert stats.autocorrelation_time(constant) == 0.5
    assert stats.effective_sample_size(constant) == 150
    assert stats.r_hat(constant) == 1.0
    assert stats.estimate(constant) == Estimate(0.1, 0.0, 150, 0.5, 1.0)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_units_do_not_matter(scale):
    x = ar1(np.random.default_rng(5), n_chains=4, n_draws=500, tau=2.0)
    plain, scaled = stats.estimate(x), stats.estimate(x * scale)
    # The square of 1e200 would overflow; rounding of the offset costs a few bits.
    assert scaled.tau == pytest.approx(plain.tau, rel=1e-9)
    assert scaled.r_hat == pytest.approx(plain.r_hat, rel=1e-9)


# --- R-hat ------------------------------------------------------------------------------------------------------------


def test_r_hat_by_hand():
    # Halves (0, 2), (2, 4), (1, 3), (3, 5): means 1, 3, 2, 4, within variance 2, variance of the means 5/3.
    x = np.array([[0.0, 2.0, 2.0, 4.0], [1.0, 3.0, 3.0, 5.0]])
    assert stats.r_hat(x) == pytest.approx(math.sqrt(0.5 + 5 / 6), rel=1e-12)
    # An odd number of draws: the middle one is left out.
    assert stats.r_hat(np.insert(x, 2, 99.0, axis=1)) == pytest.approx(math.sqrt(0.5 + 5 / 6), rel=1e-12)


def test_r_hat_sees_a_drift_in_one_chain():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(1, 1000))
    assert stats.r_hat(x) < 1.01
    assert stats.r_hat(x + np.linspace(0, 5, 1000)) > 1.5


# --- the error of a mean ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_chains", "n_draws", "tau"),
    [(64, 100, 0.5), (64, 100, 5.0), (64, 60, 50.0), (2, 4000, 10.0), (1, 4000, 10.0), (16, 1, 0.5), (8, 200, 4.0)],
)
def test_coverage_of_estimate(n_chains, n_draws, tau):
    """Many short chains, few long ones, chains far shorter than tau: the errors are honest in all."""
    rng = np.random.default_rng(7)
    n_sets = 400
    estimates = [stats.estimate(ar1(rng, n_chains=n_chains, n_draws=n_draws, tau=tau)) for _ in range(n_sets)]
    z = np.array([e.deviation(0.0) for e in estimates])
    # The standard deviation of n_sets z-scores is known to 1/sqrt(2 n_sets) = 3.5 %; 16 chains: Student's t.
    assert z.std() == pytest.approx(math.sqrt(15 / 13) if n_draws == 1 else 1.0, abs=0.12)
    assert abs(z.mean()) < 4 / math.sqrt(n_sets)
    exact = math.sqrt(exact_variance_of_mean(n_draws, tau) / n_chains)
    assert np.sqrt(np.mean([e.error**2 for e in estimates])) == pytest.approx(exact, rel=0.08)


def test_naive_error_fails_the_same_check():
    """Negative control: the error of uncorrelated draws is far too small, so the coverage test can fail."""
    rng = np.random.default_rng(7)
    z = []
    for _ in range(200):
        x = ar1(rng, n_chains=64, n_draws=100, tau=5.0)
        z.append(x.mean() / (x.std() / math.sqrt(x.size)))
    assert np.std(z) > 2.5


def test_disagreeing_chains_widen_the_error():
    """Chains stuck in different places: the error is the scatter of the chains, not the noise inside them."""
    rng = np.random.default_rng(8)
    offsets = rng.normal(size=(10, 1))
    result = stats.estimate(offsets + 0.01 * rng.normal(size=(10, 500)))
    assert result.error == pytest.approx(offsets.std(ddof=1) / math.sqrt(10), rel=1e-2)
    assert result.n_effective == pytest.approx(10, rel=0.15)
    assert result.r_hat > 10


def test_estimate_fields():
    x = ar1(np.random.default_rng(9), n_chains=64, n_draws=2000, tau=5.0)
    result = stats.estimate(x)
    assert result.mean == pytest.approx(x.mean(), rel=1e-12)
    assert result.n_effective == pytest.approx(x.size / 10, rel=0.15)
    assert result.tau == pytest.approx(5.0, rel=0.05)
    assert 1.0 <= result.r_hat < 1.02
    assert math.isnan(stats.estimate(np.array([[1.0], [2.0]])).r_hat)
    assert stats.estimate(x[0]) == stats.estimate(x[:1])


@pytest.mark.parametrize(
    "function", [stats.estimate, stats.autocorrelation_time, stats.effective_sample_size, stats.r_hat]
)
def test_bad_series_are_refused(function):
    with pytest.raises(ValueError, match="must be finite, but 1 of 8"):
        function([[1.0, 2.0, math.nan, 3.0], [1.0, 2.0, 2.0, 3.0]])
    with pytest.raises(ValueError, match="not be empty"):
        function(np.empty((3, 0)))
    with pytest.raises(ValueError, match=r"shape is \(2, 2, 2\)"):
        function(np.zeros((2, 2, 2)))
    with pytest.raises(TypeError, match="real numbers, but its dtype"):
        function(np.array([["a", "b"]]))
    with pytest.raises(TypeError, match="real numbers, but its dtype"):
        function(np.array([1.0 + 2.0j, 3.0]))


def test_too_few_draws_are_refused():
    with pytest.raises(ValueError, match="at least two draws"):
        stats.estimate([[1.0]])
    with pytest.raises(ValueError, match="at least 4 draws a chain, but has 3"):
        stats.r_hat(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="`window` must be a positive number, but is 0"):
        stats.autocorrelation_time([1.0, 2.0, 3.0], window=0)


# --- resampling -------------------------------------------------------------------------------------------------------


def test_jackknife_of_a_mean_is_the_standard_error():
    x = np.random.default_rng(10).normal(size=(12, 5))
    result = stats.jackknife(np.mean, x)
    means = x.mean(axis=1)
    assert result.mean == pytest.approx(x.mean(), rel=1e-12)
    assert result.error == pytest.approx(means.std(ddof=1) / math.sqrt(12), rel=1e-12)


def test_jackknife_bias_correction_makes_the_variance_unbiased():
    """Textbook identity: corrected by the jackknife, the biased variance (1/n) becomes the unbiased one (1/(n - 1))."""
    x = np.random.default_rng(11).normal(size=9)
    assert stats.jackknife(np.var, x).mean == pytest.approx(x.var(), rel=1e-12)
    corrected = stats.jackknife(np.var, x, bias_correction=True)
    assert corrected.mean == pytest.approx(x.var(ddof=1), rel=1e-12)


def test_jackknife_vector_and_covariance():
    rng = np.random.default_rng(12)
    x, y = rng.normal(size=(2, 20, 7))
    y += 0.5 * x

    def both(a, b):
        return np.array([a.mean(), b.mean()])

    values, covariance = stats.jackknife_covariance(both, x, y)
    expected = np.cov(x.mean(axis=1), y.mean(axis=1)) / 20
    np.testing.assert_allclose(covariance, expected, rtol=1e-10)
    assert covariance[0, 1] > 0.1 * covariance[0, 0]
    estimates = stats.jackknife(both, x, y)
    np.testing.assert_allclose([e.mean for e in estimates], values, rtol=1e-12)
    np.testing.assert_allclose([e.error for e in estimates], np.sqrt(np.diag(expected)), rtol=1e-10)
    _, single = stats.jackknife_covariance(np.mean, x)
    np.testing.assert_allclose(single, expected[:1, :1], rtol=1e-10)


def test_jackknife_along_another_axis():
    x = np.random.default_rng(13).normal(size=(3, 8))
    along = stats.jackknife(lambda a: a.mean(axis=1), x, axis=1)
    turned = stats.jackknife(lambda a: a.mean(axis=0), x.T)
    assert [e.error for e in along] == pytest.approx([e.error for e in turned], rel=1e-12)


def test_jackknife_coverage_of_a_nonlinear_function():
    """z-scores of (mean of a) / (mean of b) over correlated chains, against the exact ratio."""
    rng = np.random.default_rng(14)
    z = []
    for _ in range(300):
        chains = ar1(rng, n_chains=32, n_draws=50, tau=4.0)
        a, b = 2.0 + chains, 3.0 + chains[:, ::-1] + 0.5 * rng.normal(size=chains.shape)
        z.append(stats.jackknife(lambda u, v: u.mean() / v.mean(), a, b).deviation(2 / 3))
    assert np.std(z) == pytest.approx(1.0, abs=0.15)
    assert abs(np.mean(z)) < 0.25


def test_bootstrap_agrees_with_jackknife():
    x = np.random.default_rng(15).normal(size=(40, 10)) ** 2
    booted = stats.bootstrap(np.mean, x, n_resamples=4000, rng=1)
    assert booted.error == pytest.approx(stats.jackknife(np.mean, x).error, rel=0.05)  # 1/sqrt(8000) = 1.1 %
    assert booted.mean == pytest.approx(x.mean(), rel=1e-12)
    again = stats.bootstrap(np.mean, x, n_resamples=4000, rng=np.random.default_rng(1))
    assert again == booted
    vector = stats.bootstrap(lambda a: np.array([a.mean(), -a.mean()]), x, n_resamples=50, rng=2)
    assert vector[0].error == pytest.approx(vector[1].error, rel=1e-12)


def test_bad_groups_are_refused():
    with pytest.raises(ValueError, match="at least 2 groups, but has 1"):
        stats.jackknife(np.mean, [[1.0, 2.0]])
    with pytest.raises(ValueError, match=r"agree in the number of groups, but they are \[3, 4\]"):
        stats.jackknife(lambda a, b: a.mean() / b.mean(), np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="must be finite"):
        stats.bootstrap(np.mean, [1.0, math.inf])
    with pytest.raises(ValueError, match="returned nan"):
        stats.jackknife(lambda _: math.nan, np.ones(3))
    with pytest.raises(ValueError, match=r"a number or a vector, but returned shape \(3, 3\)"):
        stats.jackknife(lambda _: np.eye(3), np.ones(3))
    with pytest.raises(ValueError, match="at least one array"):
        stats.jackknife(np.mean)
    with pytest.raises(ValueError, match="is a scalar"):
        stats.jackknife(np.mean, 3.0)
    with pytest.raises(TypeError, match="must hold numbers"):
        stats.jackknife(np.mean, ["a", "b"])
    with pytest.raises(ValueError, match="`n_resamples` must be at least 2, but is 1"):
        stats.bootstrap(np.mean, np.ones(3), n_resamples=1)


# --- weighted mean ----------------------------------------------------------------------------------------------------


def test_weighted_mean():
    joined = stats.weighted_mean([Estimate(1.0, 0.1), Estimate(2.0, 0.2)])
    assert joined.estimate.mean == pytest.approx(1.2, rel=1e-12)  # weights 4 : 1
    assert joined.estimate.error == pytest.approx(0.2 / math.sqrt(5), rel=1e-12)
    assert joined.chi2 == pytest.approx(4 + 16, rel=1e-12)
    assert joined.dof == 1
    assert joined.p_value == pytest.approx(math.erfc(math.sqrt(10)), rel=1e-9)  # chi2 of one degree of freedom
    enlarged = stats.weighted_mean([Estimate(1.0, 0.1), Estimate(2.0, 0.2)], method="external")
    assert enlarged.estimate.error == pytest.approx(0.2 / math.sqrt(5) * math.sqrt(20), rel=1e-12)
    agreeing = stats.weighted_mean([Estimate(1.0, 0.1), Estimate(1.01, 0.1)], method="external")
    assert agreeing.estimate.error == pytest.approx(0.1 / math.sqrt(2), rel=1e-12)
    assert math.isnan(stats.weighted_mean([Estimate(1.0, 0.1)]).p_value)


def test_weighted_mean_refuses():
    with pytest.raises(ValueError, match="is empty"):
        stats.weighted_mean([])
    with pytest.raises(ValueError, match=r"positive, finite errors, but they are \[0.0, 0.1\]"):
        stats.weighted_mean([Estimate(1.0, 0.0), Estimate(1.0, 0.1)])
    with pytest.raises(ValueError, match="`method` must be"):
        stats.weighted_mean([Estimate(1.0, 0.1)], method="birge")
