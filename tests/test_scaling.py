"""Finite-size scaling on synthetic curves of known T_c and nu, and on exact finite lattices.

One long file: all of it shares the synthetic curves, with and without corrections to scaling.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from qmlphys import exact, lattices, scaling, stats
from qmlphys.hamiltonians import Ising
from qmlphys.stats import Estimate

T_CRITICAL = 2.2719
SIZES = np.array([16.0, 24.0, 32.0, 48.0, 64.0, 96.0, 128.0])
POWERS = (0.916, -0.25, 0.02, 0.03, -0.004)  # R*, a_1 .. a_4: shaped like the cumulant ratio of the Ising model


def z_summary(z):
    """Check that z-scores are N(0, 1): mean and standard deviation within 4 of their standard errors."""
    z = np.asarray(z)
    assert abs(z.mean()) < 4 / math.sqrt(len(z))
    assert abs(z.std() - 1) < 4 / math.sqrt(2 * len(z))


def grid(*, nu=1.0, n_points=11, width=1.5, sizes=SIZES, critical=T_CRITICAL):
    """Sizes, temperatures and x of points spread evenly in the scaled variable."""
    x = np.tile(np.linspace(-width, width, n_points), len(sizes))
    length = np.repeat(sizes, n_points)
    return length, critical + x * length ** (-1 / nu), x


def synthetic(*, nu=1.0, b=0.0, omega=1.75, c=0.0, d=0.0, **options):
    """Return sizes, temperatures and exact values of a scaling function with corrections."""
    length, t, x = grid(nu=nu, **options)
    x = x * (1 + d * x * length ** (-1 / nu))
    return length, t, np.polynomial.polynomial.polyval(x, POWERS) + (b + c * x) * length**-omega


# --- cumulants --------------------------------------------------------------------------------------------------------


def test_cumulants_of_known_distributions():
    ordered = scaling.cumulant_ratio(np.resize([0.8, -0.8], (4, 10)))
    assert ordered.values == pytest.approx(1.0, rel=1e-12)
    assert ordered.errors == pytest.approx(0.0, abs=1e-12)
    assert scaling.cumulant_ratio(np.resize([0.8, -0.8], (4, 10)), kind="binder").values == pytest.approx(2 / 3)
    # Gaussian: <q^4> = 3 <q^2>^2. Uniform on [-1, 1]: (1/3)^2 / (1/5) = 5/9.
    rng = np.random.default_rng(1)
    gaussian = scaling.cumulant_ratio(rng.normal(size=(64, 2000)))
    assert abs(gaussian.values - 1 / 3) < 4 * gaussian.errors < 0.01
    uniform = scaling.cumulant_ratio(rng.uniform(-1, 1, size=(64, 2000)))
    assert abs(uniform.values - 5 / 9) < 4 * uniform.errors < 0.01


@pytest.mark.parametrize("kind", ["ratio", "binder"])
def test_cumulant_equals_plain_jackknife(kind):
    """The closed-form delete-one means against `stats.jackknife`, chain by chain."""
    q = np.random.default_rng(2).normal(size=(3, 10, 7))

    def plain(chains):
        m2, m4 = np.mean(chains**2), np.mean(chains**4)
        return m2**2 / m4 if kind == "ratio" else 1 - m4 / (3 * m2**2)

    for bias_correction in (False, True):
        fast = scaling.cumulant_ratio(q, kind=kind, bias_correction=bias_correction)
        for point in range(3):
            slow = stats.jackknife(plain, q[point], bias_correction=bias_correction)
            assert fast.values[point] == pytest.approx(slow.mean, rel=1e-12)
            assert fast.errors[point] == pytest.approx(slow.error, rel=1e-10)
    np.testing.assert_allclose(np.sqrt(np.diag(fast.covariance)), fast.errors, rtol=1e-10)
    _, covariance = stats.jackknife_covariance(lambda chains: np.array([plain(c) for c in chains]), q, axis=1)
    np.testing.assert_allclose(fast.covariance, covariance, rtol=1e-8, atol=1e-14)


def test_cumulant_coverage_against_exact_enumeration():
    """Magnetisations drawn from the exact distribution of the 4x4 torus; the ratio from exact moments."""
    temperature, rng = 2.4, np.random.default_rng(3)
    model = exact.enumerate_ising(Ising(lattices.square(4)))
    weights = model.counts * np.exp(-(model.energies + 32) / temperature)
    truth = float(model.magnetization_moment(2, temperature) ** 2 / model.magnetization_moment(4, temperature))
    draws = rng.choice(model.magnetization_sums / 16, p=weights / weights.sum(), size=(300, 16, 40))
    result = scaling.cumulant_ratio(draws)
    # Sixteen chains: Student's t widens the z-scores by sqrt(15/13).
    z_summary((result.values - truth) / result.errors / math.sqrt(15 / 13))


def test_bias_correction_of_cumulants():
    """Few draws in all: the plain ratio is biased by many standard errors of the average, the corrected one is not."""
    q = np.random.default_rng(4).normal(size=(20_000, 8, 4))
    corrected = scaling.cumulant_ratio(q).values
    plain = scaling.cumulant_ratio(q, bias_correction=False).values
    standard_error = plain.std() / math.sqrt(len(plain))
    assert abs(plain.mean() - 1 / 3) > 30 * standard_error
    assert abs(corrected.mean() - 1 / 3) < 0.3 * abs(plain.mean() - 1 / 3)


def test_cumulants_refuse():
    with pytest.raises(ValueError, match=r"shape \(\.\.\., n_chains, n_draws\), but has \(5,\)"):
        scaling.cumulant_ratio(np.ones(5))
    with pytest.raises(ValueError, match="at least 2 chains"):
        scaling.cumulant_ratio(np.ones((1, 5)))
    with pytest.raises(ValueError, match="vanishes"):
        scaling.cumulant_ratio(np.zeros((3, 5)))
    with pytest.raises(ValueError, match="must be finite"):
        scaling.cumulant_ratio(np.full((3, 5), math.nan))
    with pytest.raises(ValueError, match="'ratio' or 'binder'"):
        scaling.cumulant_ratio(np.ones((3, 5)), kind="U4")


# --- crossings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["polynomial", "logistic"])
@pytest.mark.parametrize("replicated", [False, True])
@pytest.mark.parametrize(("n_points", "steepness", "noise"), [(13, 0.05, 1e-2), (41, 0.02, 3e-3)])
def test_crossing_coverage(method, replicated, n_points, steepness, noise):
    """A network-like output crosses 1/2 at a known temperature; outputs are saturated far away."""
    rng = np.random.default_rng(4)
    t = np.linspace(2.0, 2.6, n_points)
    output = 1 / (1 + np.exp((t - T_CRITICAL) / steepness))
    sigma = 2 * noise * np.sqrt(output * (1 - output)) + 1e-7
    z = []
    for _ in range(100):
        if replicated:
            chains = output + 5 * sigma * rng.normal(size=(25, n_points))
            result = scaling.crossing(t, chains, method=method)
        else:
            drawn = output + sigma * rng.normal(size=n_points)
            result = scaling.crossing(t, drawn, sigma, method=method, n_resamples=200, rng=rng)
        z.append(result.deviation(T_CRITICAL))
    assert 0 < result.error < 0.01
    z_summary(z)


def test_crossing_of_exact_curves_and_any_order_of_points():
    t = np.linspace(-1, 1, 11)
    for sign in (1, -1):
        result = scaling.crossing(t, sign * (t - 0.123), np.full(11, 1e-9), level=0.0, rng=0)
        assert result.mean == pytest.approx(0.123, abs=1e-8)
    noisy = t - 0.1 + 0.01 * np.random.default_rng(5).normal(size=11)
    order = np.random.default_rng(6).permutation(11)
    forward = scaling.crossing(t, noisy, np.full(11, 0.01), level=0.0, width=0.5, rng=0)
    shuffled = scaling.crossing(t[order], noisy[order], np.full(11, 0.01), level=0.0, width=0.5, rng=0)
    assert forward == shuffled
    assert forward.error == pytest.approx(0.01 / math.sqrt(5), rel=0.5)  # cubic through 5 points: near the mean's error


def test_noise_that_crosses_several_times_does_no_harm():
    """The level is touched far below the transition by noise; the transition is found all the same."""
    t = np.linspace(0, 1, 21)
    values = np.where(t < 0.6, 0.52, 0.05)
    values[3] = 0.49
    result = scaling.crossing(t, values, np.full(21, 0.02), rng=0)
    assert 0.55 <= result.mean <= 0.6


def test_no_crossing_is_an_error():
    t, errors = np.linspace(2.0, 2.2, 11), np.full(11, 0.01)
    with pytest.raises(ValueError, match="reach to both sides of it, but the curve stays above"):
        scaling.crossing(t, np.full(11, 0.9), errors)
    with pytest.raises(ValueError, match="No crossing"):
        scaling.crossing(t, 0.5 + 0.01 * np.random.default_rng(7).normal(size=11), errors)
    with pytest.raises(ValueError, match="No crossing"):
        scaling.pair_crossing(t, t, t + 0.5, first_errors=errors, second_errors=errors)


def test_crossing_refuses_malformed_curves():
    t, v, e = [1.0, 2.0, 3.0], [0.9, 0.5, 0.1], [0.1, 0.1, 0.1]
    with pytest.raises(ValueError, match="`errors` must be given unless"):
        scaling.crossing(t, v)
    with pytest.raises(ValueError, match="`errors` must be None when"):
        scaling.crossing(t, [v, v], e)
    with pytest.raises(ValueError, match="must be finite"):
        scaling.crossing(t, [0.9, math.nan, 0.1], e)
    with pytest.raises(ValueError, match="each value once"):
        scaling.crossing([1.0, 1.0, 2.0], v, e)
    with pytest.raises(ValueError, match=r"shape \(3,\) or \(n_replicas, 3\)"):
        scaling.crossing(t, [0.9, 0.1], e)
    with pytest.raises(ValueError, match="`errors` must be >= 0"):
        scaling.crossing(t, v, [0.1, -0.1, 0.1])
    with pytest.raises(ValueError, match="`width` must be positive"):
        scaling.crossing(t, v, e, width=-1.0)
    with pytest.raises(ValueError, match="`order` must be an integer >= 1"):
        scaling.crossing(t, v, e, order=0)
    with pytest.raises(ValueError, match="'polynomial' or 'logistic'"):
        scaling.crossing(t, v, e, method="spline")
    with pytest.raises(ValueError, match="`level` must be finite"):
        scaling.crossing(t, v, e, method="logistic", level=1.5)
    with pytest.raises(ValueError, match=r"between 0\.02 and 0\.98 on both sides"):
        scaling.crossing(t, [1.0, 1.0, 0.0], e, method="logistic")


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("replicated", [False, True])
def test_pair_crossing_coverage(shifted, replicated):
    """Two cumulant-like curves of different steepness; the second may be sampled at other temperatures."""
    rng, noise, z = np.random.default_rng(8), 1e-3, []
    t = np.linspace(-0.1, 0.1, 21)
    u = np.linspace(-0.09, 0.095, 23) if shifted else t
    small, large = 0.9 - np.tanh(4 * (t - 0.01)) / 5, 0.9 - np.tanh(8 * (u - 0.01)) / 5
    for _ in range(100):
        if replicated:
            a, b = (curve + 5 * noise * rng.normal(size=(25, len(curve))) for curve in (small, large))
            errors = None, None
        else:
            a, b = (curve + noise * rng.normal(size=len(curve)) for curve in (small, large))
            errors = np.full(len(t), noise), np.full(len(u), noise)
        result = scaling.pair_crossing(
            t, a, b, first_errors=errors[0], second_errors=errors[1], second_parameter=u, n_resamples=200, rng=rng
        )
        z.append(result.deviation(0.01))
    # With 25 replicas Student's t widens the z-scores by 4 %.
    z_summary(np.array(z) / (math.sqrt(24 / 22) if replicated else 1.0))


def test_pair_crossing_refuses_mixed_input():
    t, curve, errors = np.linspace(0, 1, 5), np.linspace(1, 0, 5), np.full(5, 0.1)
    with pytest.raises(ValueError, match="both have replicas or both have errors"):
        scaling.pair_crossing(t, curve, np.tile(curve, (3, 1)), first_errors=errors)
    with pytest.raises(ValueError, match="as many replicas, but have 4, 3"):
        scaling.pair_crossing(t, np.tile(curve, (4, 1)), np.tile(curve, (3, 1)))
    with pytest.raises(ValueError, match="must overlap"):
        scaling.pair_crossing(t, curve, curve, first_errors=errors, second_errors=errors, second_parameter=t + 5)


# --- extrapolation and slopes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fixed", [True, False])
def test_extrapolation_coverage(fixed):
    rng = np.random.default_rng(9)
    sigma = 1e-4 * np.ones(len(SIZES))
    z, z_exponent, p = [], [], []
    for _ in range(300):
        points = T_CRITICAL + 0.8 / SIZES**1.2 + sigma * rng.normal(size=len(SIZES))
        fit = scaling.extrapolate(SIZES, points, sigma, exponent=1.2 if fixed else None)
        z.append(fit.critical_point.deviation(T_CRITICAL))
        p.append(fit.p_value)
        if not fixed:
            z_exponent.append(fit.exponent.deviation(1.2))
    z_summary(z)
    assert np.mean(p) == pytest.approx(0.5, abs=0.08)
    assert fit.dof == len(SIZES) - (2 if fixed else 3)
    np.testing.assert_allclose(fit.predict(SIZES), points, atol=5e-4)
    if not fixed:
        z_summary(z_exponent)


def test_extrapolation_with_the_wrong_exponent_is_seen():
    points = T_CRITICAL + 0.8 / SIZES
    assert scaling.extrapolate(SIZES, points, np.full(7, 1e-4), exponent=2.0).p_value < 1e-10
    assert scaling.extrapolate(SIZES, points, np.full(7, 1e-4), exponent=1.0).p_value > 0.99


def test_extrapolation_propagates_the_error_of_the_exponent():
    """Against a plain Monte Carlo over the exponent."""
    points, sigma, rng = T_CRITICAL + 0.8 / SIZES, np.full(7, 1e-4), np.random.default_rng(10)
    joined = scaling.extrapolate(SIZES, points, sigma, exponent=Estimate(1.0, 0.02))
    fixed = scaling.extrapolate(SIZES, points, sigma, exponent=1.0)
    trials = [scaling.extrapolate(SIZES, points, sigma, exponent=float(e)) for e in 1.0 + 0.02 * rng.normal(size=400)]
    for name in ("critical_point", "amplitude"):
        spread = np.std([getattr(trial, name).mean for trial in trials])
        total = math.hypot(getattr(fixed, name).error, spread)
        assert getattr(joined, name).error == pytest.approx(total, rel=0.1)  # 400 draws know a spread to 3.5 %
    assert joined.critical_point.error > 1.3 * fixed.critical_point.error


def test_extrapolation_refuses():
    with pytest.raises(ValueError, match="at least 2 different sizes"):
        scaling.extrapolate([8, 8], [1.0, 1.0], [0.1, 0.1], exponent=1.0)
    with pytest.raises(ValueError, match="at least 3 sizes, but holds 2"):
        scaling.extrapolate([8, 16], [1.0, 1.1], [0.1, 0.1])
    with pytest.raises(ValueError, match="`errors` must be positive"):
        scaling.extrapolate([8, 16], [1.0, 1.1], [0.1, 0.0], exponent=1.0)
    with pytest.raises(ValueError, match="`exponent` must lie between"):
        scaling.extrapolate([8, 16], [1.0, 1.1], [0.1, 0.1], exponent=-1.0)
    with pytest.raises(ValueError, match="`exponent` must be given"):
        scaling.extrapolate([8, 16, 32], [1.0, 2.0, 3.0], [0.1, 0.1, 0.1])


def test_exact_specific_heat_peaks_extrapolate_to_tc():
    """Kaufman's finite lattices: the peaks approach T_c as 1/L, nu = 1 (Ferdinand and Fisher 1969)."""
    sizes, truth = np.array([128, 192, 256, 384, 512]), exact.critical_temperature("square")
    peaks = [
        optimize.minimize_scalar(
            lambda t, size=size: -float(exact.ising_square_specific_heat(int(size), t)),
            bounds=(2.269, 2.33),
            method="bounded",
            options={"xatol": 1e-9},
        ).x
        for size in sizes
    ]
    assert min(peaks) - truth > 1e-3
    # Corrections of relative order ln(L) / L remain; the fitted exponent takes up part of them with the other sign.
    fitted = scaling.extrapolate(sizes, peaks, np.full(5, 1e-6))
    fixed = scaling.extrapolate(sizes, peaks, np.full(5, 1e-6), exponent=1.0)
    assert truth - 2e-5 < fitted.critical_point.mean < truth < fixed.critical_point.mean < truth + 2e-5
    assert 1 / fitted.exponent.mean == pytest.approx(1.0, abs=0.012)
    # T_peak / T_c - 1 = 0.3603 / L for large square tori (Ferdinand and Fisher 1969, sec. V).
    shifts = (np.array(peaks) / truth - 1) * sizes
    assert (np.diff(shifts) > 0).all()
    assert shifts[-1] == pytest.approx(0.3603, rel=0.005)


def test_exponent_from_slopes_coverage():
    rng, nu = np.random.default_rng(11), 0.63
    z, z_corrected = [], []
    for _ in range(300):
        plain = -0.3 * SIZES ** (1 / nu)
        sigma = 0.01 * np.abs(plain)
        noise = sigma * rng.normal(size=len(SIZES))
        z.append(scaling.exponent_from_slopes(SIZES, plain + noise, sigma).nu.deviation(nu))
        bent = plain * (1 + 0.5 / SIZES)
        fit = scaling.exponent_from_slopes(SIZES, bent + noise, sigma, correction=1.0)
        z_corrected.append(fit.nu.deviation(nu))
    z_summary(z)
    z_summary(z_corrected)
    assert fit.dof == 4
    # Negative control: a strong correction that is ignored spoils the fit.
    bent = plain * (1 + 20 / SIZES**2)
    assert scaling.exponent_from_slopes(SIZES, bent, 1e-3 * np.abs(bent)).p_value < 1e-6


def test_slopes_of_a_collapse_give_its_nu():
    """slope_at and exponent_from_slopes together, on noisy curves."""
    length, t, values = synthetic(n_points=21, width=1.0)
    noisy = values + 1e-3 * np.random.default_rng(12).normal(size=len(values))
    slopes = [
        scaling.slope_at(
            t[length == size], noisy[length == size], np.full(21, 1e-3), point=T_CRITICAL, width=1.01 / size
        )
        for size in SIZES
    ]
    fit = scaling.exponent_from_slopes(SIZES, [s.mean for s in slopes], [s.error for s in slopes])
    assert abs(fit.nu.deviation(1.0)) < 3
    assert fit.nu.error < 0.02
    replicas = values[:11] + 1e-3 * np.random.default_rng(13).normal(size=(20, 11))
    few = scaling.slope_at(t[:11], replicas, point=float(t[5]), width=1.0)
    assert few.error == pytest.approx(
        scaling.slope_at(
            t[:11], replicas.mean(0), np.full(11, 1e-3 / math.sqrt(20)), point=float(t[5]), width=1.0
        ).error,
        rel=0.5,  # a standard deviation from 20 replicas is known to 16 %
    )


def test_slopes_refuse():
    with pytest.raises(ValueError, match="one sign and exceed three errors"):
        scaling.exponent_from_slopes([8, 16, 32], [1.0, 2.0, -4.0], [0.1, 0.1, 0.1])
    with pytest.raises(ValueError, match="must grow with size"):
        scaling.exponent_from_slopes([8, 16, 32], [4.0, 2.0, 1.0], [0.1, 0.1, 0.1])
    with pytest.raises(ValueError, match="at least 3 sizes"):
        scaling.exponent_from_slopes([8, 16], [1.0, 2.0], [0.1, 0.1], correction=1.0)
    with pytest.raises(ValueError, match="more than 3 points on both sides"):
        scaling.slope_at([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [0.1, 0.1, 0.1], point=2.0, width=5.0)


# --- collapse ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "truth"),
    [
        ({"order": 4}, {}),
        ({"order": 4, "correction": 1.75}, {"b": 0.5}),
        ({"order": 4, "correction": 1.75, "mixed": True, "nonlinear": True}, {"b": 0.5, "c": 0.3, "d": -0.7}),
        ({"order": 4}, {"nu": 0.63}),
        ({"order": 4}, {"nu": 1.7}),
    ],
)
def test_collapse_recovers_exact_data(options, truth):
    """Without noise every parameter comes back to rounding, from the grid of starts alone."""
    length, t, values = synthetic(**truth)
    fit = scaling.collapse(length, t, values, np.full(len(t), 1e-4), **options)
    assert fit.chi2 < 1e-10
    assert fit.critical_point.mean == pytest.approx(T_CRITICAL, abs=1e-10)
    assert fit.nu.mean == pytest.approx(truth.get("nu", 1.0), rel=1e-7)
    expected = dict(zip(("R*", "a_1", "a_2", "a_3", "a_4"), POWERS, strict=True))
    expected |= {name: truth[name] for name in ("b", "c") if name in truth}
    expected |= {"nonlinearity": truth["d"]} if "d" in truth else {}
    for name, value in expected.items():
        assert fit.coefficients[name].mean == pytest.approx(value, rel=1e-5, abs=1e-8), name
    np.testing.assert_allclose(fit.predict(length, t), values, atol=1e-10)
    # What a plot shows: values less the correction lie on one curve.
    x = fit.scaled_variable(length, t)
    np.testing.assert_allclose(values - fit.correction(length, t), fit.curve(x), atol=1e-10)
    if not truth:
        np.testing.assert_allclose(x, grid()[2], atol=1e-8)


@pytest.mark.parametrize(
    ("options", "truth"),
    [
        ({"order": 4}, {}),
        ({"order": 4, "correction": 1.75}, {"b": 0.5}),
        ({"order": 4, "correction": "fit"}, {"b": 3.0}),
    ],
)
def test_collapse_coverage(options, truth):
    """240 noisy data sets: unbiased, honest errors, uniform p-values."""
    rng, sigma = np.random.default_rng(14), 1e-3
    length, t, values = synthetic(**truth)
    errors = np.full(len(t), sigma)
    z, z_nu, z_coefficient, p = [], [], [], []
    for _ in range(240):
        fit = scaling.collapse(length, t, values + sigma * rng.normal(size=len(t)), errors, **options)
        z.append(fit.critical_point.deviation(T_CRITICAL))
        z_nu.append(fit.nu.deviation(1.0))
        z_coefficient.append(fit.coefficients["a_2"].deviation(POWERS[2]))
        p.append(fit.p_value)
    z_summary(z)
    z_summary(z_nu)
    z_summary(z_coefficient)
    assert np.mean(p) == pytest.approx(0.5, abs=4 / math.sqrt(12 * 240))
    assert fit.critical_point.error < 1e-4
    assert fit.nu.error < 0.01


def test_collapse_is_the_least_squares_solution():
    """The batched variable projection against a plain search over all parameters (scipy, MINPACK)."""
    length, t, values = synthetic(b=0.5)
    sigma = 1e-3 * (1 + np.random.default_rng(15).random(len(t)))
    noisy = values + sigma * np.random.default_rng(16).normal(size=len(t))
    fit = scaling.collapse(length, t, noisy, sigma, order=4, correction=1.75)
    names = list(fit.coefficients)
    start = np.array([item.mean for item in fit.coefficients.values()])

    def residuals(parameters):
        p = dict(zip(names, parameters, strict=True))
        x = (t - p["critical_point"]) * length ** p["inverse_nu"]
        master = sum(p[f"a_{k}"] * x**k for k in range(1, 5)) + p["R*"]
        return (master + p["b"] * length**-1.75 - noisy) / sigma

    plain = optimize.least_squares(residuals, 1.001 * start, method="lm", x_scale="jac", xtol=1e-14, ftol=1e-14)
    errors = np.sqrt(np.diag(fit.covariance))
    assert 2 * plain.cost == pytest.approx(fit.chi2, rel=1e-9)  # MINPACK's own stopping rule
    np.testing.assert_allclose((plain.x - start) / errors, 0, atol=1e-4)
    # SciPy's Jacobian is a forward difference.
    np.testing.assert_allclose(np.linalg.inv(plain.jac.T @ plain.jac), fit.covariance, rtol=1e-3)
    np.testing.assert_allclose(fit.residuals, -residuals(start), atol=1e-6)
    assert fit.aic == pytest.approx(fit.chi2 + 2 * 8)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    shift=st.floats(-5, 5),
    stretch=st.floats(0.01, 100),
    length_unit=st.floats(0.1, 10),
    amplitude=st.sampled_from([-3.0, 1e-3, 50.0]),
)
def test_collapse_does_not_depend_on_units(shift, stretch, length_unit, amplitude):
    length, t, values = synthetic(sizes=SIZES[:4])
    noisy = values + 1e-3 * np.random.default_rng(17).normal(size=len(t))
    errors = np.full(len(t), 1e-3)
    plain = scaling.collapse(length, t, noisy, errors, order=3)
    other = scaling.collapse(
        length * length_unit, shift + stretch * t, amplitude * noisy, abs(amplitude) * errors, order=3
    )
    assert other.nu.mean == pytest.approx(plain.nu.mean, abs=1e-4 * plain.nu.error)
    assert other.nu.error == pytest.approx(plain.nu.error, rel=1e-4)
    assert (other.critical_point.mean - shift) / stretch == pytest.approx(
        plain.critical_point.mean, abs=1e-4 * plain.critical_point.error
    )
    assert other.chi2 == pytest.approx(plain.chi2, rel=1e-6)


def test_data_that_do_not_collapse_are_seen():
    """Negative controls: large sizes that follow another nu, an ignored correction, and x built with a wrong nu."""
    length, t, values = synthetic()
    errors = np.full(len(t), 1e-3)
    assert scaling.collapse(length, t, values, errors, order=4).p_value > 0.99
    other_nu = T_CRITICAL + (t - T_CRITICAL) * np.where(length > 40, 0.7, 1.0)
    assert scaling.collapse(length, other_nu, values, errors, order=4).p_value < 1e-10
    corrected = synthetic(b=5.0)[2]
    assert scaling.collapse(length, t, corrected, errors, order=4).p_value < 1e-10
    assert scaling.collapse(length, t, corrected, errors, order=4, correction=1.75).p_value > 0.99
    wrong_x = (t - T_CRITICAL) * length ** (1 / 0.8)
    design = np.vander(wrong_x / np.abs(wrong_x).max(), 5)
    chi2 = float(np.linalg.lstsq(design / 1e-3, values / 1e-3, rcond=None)[1][0])
    assert chi2 > 100 * len(t)


@pytest.mark.parametrize("window", ["above", "below", "flat", "one size"])
def test_windows_that_miss_the_transition_raise(window):
    length, t, values = synthetic()
    errors = np.full(len(t), 1e-3)
    noisy = values + errors * np.random.default_rng(18).normal(size=len(t))
    if window == "flat":
        with pytest.raises(ValueError, match=r"(no significant slope|did not converge|do not determine|both sides)"):
            scaling.collapse(length, t, 0.5 + noisy - values, errors)
        return
    if window == "one size":
        keep = (length == 16) | (t > T_CRITICAL + 0.001)
    else:
        keep = t > T_CRITICAL + 0.001 if window == "above" else t < T_CRITICAL - 0.001
    with pytest.raises(ValueError, match=r"(both sides|did not converge|do not determine)"):
        scaling.collapse(length[keep], t[keep], noisy[keep], errors[keep])


def chains_of(values, sigma, *, n_chains, rng, common=0.0):
    """Per-chain values whose mean over chains scatters by sigma; `common` is the part shared by all points."""
    noise = rng.normal(size=(len(values), n_chains)) * math.sqrt(1 - common)
    noise += rng.normal(size=(1, n_chains)) * math.sqrt(common)
    return values[:, None] + sigma * math.sqrt(n_chains) * noise


def delete_one(chains):
    n = chains.shape[1]
    return (chains.sum(axis=1, keepdims=True) - chains) / (n - 1)


@pytest.mark.parametrize("common", [0.0, 0.8])
def test_jackknife_over_chains_is_right_for_correlated_points(common):
    """The same chains run through all temperatures: refits of replicas know the correlation, the covariance not."""
    rng, sigma = np.random.default_rng(19), 1e-3
    length, t, values = synthetic(sizes=SIZES[::2])
    z, z_r, z_naive = [], [], []
    for _ in range(150):
        chains = chains_of(values, sigma, n_chains=48, rng=rng, common=common)
        mean, replicas = chains.mean(axis=1), delete_one(chains)
        guess = (T_CRITICAL, 1.0)
        fit = scaling.collapse(length, t, mean, np.full(len(t), sigma), order=4, replicas=replicas, guess=guess)
        naive = scaling.collapse(length, t, mean, np.full(len(t), sigma), order=4, guess=guess)
        assert fit.critical_point.mean == naive.critical_point.mean
        z.append(fit.critical_point.deviation(T_CRITICAL))
        z_r.append(fit.coefficients["R*"].deviation(POWERS[0]))
        z_naive.append(naive.coefficients["R*"].deviation(POWERS[0]))
    z_summary(z)
    z_summary(z_r)
    assert np.std(z_naive) == pytest.approx(1.0, abs=0.2) if common == 0 else np.std(z_naive) > 2


def test_errors_and_p_values_from_few_replicas():
    """Errors measured from ten chains make chi2 too large; the p-value knows."""
    rng = np.random.default_rng(20)
    length, t, values = synthetic(sizes=SIZES[::2])
    p, chi2 = [], []
    for _ in range(150):
        chains = chains_of(values, 1e-3, n_chains=10, rng=rng)
        fit = scaling.collapse(
            length, t, chains.mean(axis=1), order=4, replicas=delete_one(chains), guess=(T_CRITICAL, 1.0)
        )
        p.append(fit.p_value)
        chi2.append(fit.chi2 / fit.dof)
    assert np.mean(chi2) > 1.15
    assert np.mean(p) == pytest.approx(0.5, abs=0.1)
    assert fit.errors == pytest.approx(chains.std(axis=1, ddof=1) / math.sqrt(10), rel=1e-10)


def test_bootstrap_replicas_agree_with_the_covariance():
    rng, sigma = np.random.default_rng(21), 1e-3
    length, t, values = synthetic(sizes=SIZES[::2])
    noisy = values + sigma * rng.normal(size=len(t))
    boots = noisy[:, None] + sigma * rng.normal(size=(len(t), 400))
    options = {"order": 4, "replicas": boots, "replica_kind": "bootstrap"}
    fit = scaling.collapse(length, t, noisy, np.full(len(t), sigma), **options)
    plain = scaling.collapse(length, t, noisy, np.full(len(t), sigma), order=4)
    assert fit.critical_point.error == pytest.approx(plain.critical_point.error, rel=0.12)  # 3.5 % for 400 resamples
    assert fit.nu.error == pytest.approx(plain.nu.error, rel=0.12)
    assert fit.replica_parameters.shape == (400, 7)
    # Each replica is a fit of its own.
    alone = scaling.collapse(length, t, boots[:, 3], np.full(len(t), sigma), order=4)
    assert fit.replica_parameters[3, 0] == pytest.approx(
        alone.critical_point.mean, abs=1e-4 * alone.critical_point.error
    )
    assert scaling.collapse(length, t, noisy, **options).errors == pytest.approx(sigma, rel=0.2)


def test_collapse_from_cumulants_of_chains():
    """The whole way from chains of an order parameter to T_c: a distribution between Gaussian and two-peaked."""
    rng = np.random.default_rng(22)
    length, t, x = grid(sizes=np.array([16.0, 32.0, 64.0]), n_points=9)
    # q = +-m + noise: <q^2> = m^2 + s^2, <q^4> = m^4 + 6 m^2 s^2 + 3 s^4, a function of x alone.
    m, s = np.sqrt(1 / (1 + np.exp(x)))[:, None, None], 0.5
    sign = rng.choice([-1, 1], size=(len(t), 64, 200))
    cumulants = scaling.cumulant_ratio(m * sign + s * rng.normal(size=sign.shape))
    fit = scaling.collapse(length, t, cumulants.values, replicas=cumulants.replicas, order=4)
    a, b = m[:, 0, 0] ** 2, s * s
    truth = (a + b) ** 2 / (a * a + 6 * a * b + 3 * b * b)
    # 27 squared z-scores average to 1 with a standard deviation of 0.27.
    assert np.mean(((cumulants.values - truth) / cumulants.errors) ** 2) == pytest.approx(1.0, abs=0.9)
    assert abs(fit.nu.deviation(1.0)) < 4
    assert fit.nu.error < 0.2
    assert fit.p_value > 0.001
    # A function of x alone, whatever its shape, crosses at T_c.
    assert abs(fit.critical_point.deviation(T_CRITICAL)) < 4
    assert fit.critical_point.error < 5e-3


def test_collapse_refuses():
    length, t, values = synthetic(sizes=SIZES[:2])
    errors = np.full(len(t), 1e-3)
    bad = values.copy()
    bad[3] = math.nan
    cases = [
        ((length, t, bad, errors), {}, "`values` must be finite, but 1 entries"),
        ((length, t, values, errors[:-1]), {}, r"`errors` must have shape \(n_points,\)"),
        ((length, t, values, 0 * errors), {}, "`errors` must be positive, but holds 0.0"),
        ((-length, t, values, errors), {}, "`sizes` must be positive"),
        ((0 * length + 8, t, values, errors), {}, "at least 2 sizes for this fit, but holds 1"),
        ((length, t, values, errors), {"correction": 1.0}, "at least 3 sizes for this fit, but holds 2"),
        (
            (length[::4], t[::4], values[::4], errors[::4]),
            {"order": 4},
            r"more than 7 points \(parameters\), but holds 6",
        ),
        ((length, t, values, errors), {"order": 0}, "`order` must be an integer from 1 to 9, but is 0"),
        ((length, t, values, errors), {"correction": "free"}, "None, 'fit' or a number, but is 'free'"),
        ((length, t, values, errors), {"correction": -1.0}, "must lie between 0.1 and 8.0, but is -1.0"),
        ((length, t, values, errors), {"mixed": True}, "`mixed` must be False when"),
        ((length, t, values, errors), {"guess": (99.0, 1.0)}, "`guess` must be"),
        ((length, t, values, errors), {"replicas": np.ones((3, 9))}, "have 22 rows"),
        ((length, t, values, errors), {"replicas": np.ones(22)}, r"shape \(n_points, n_replicas\)"),
        ((length, t, values, errors), {"replicas": np.ones((22, 9)), "replica_kind": "loo"}, "`replica_kind` must be"),
        ((length, t, values), {}, "`errors` must be given unless `replicas` are"),
    ]
    for arguments, options, message in cases:
        with pytest.raises(ValueError, match=message):
            scaling.collapse(*arguments, **options)


# --- windows ----------------------------------------------------------------------------------------------------------


def test_window_scan_coverage():
    """Corrections to scaling and a bend in x that single fits of the scan lack: the joined errors cover the truth."""
    rng, sigma = np.random.default_rng(23), 1e-3
    length, t, values = synthetic(b=0.3, omega=1.75, d=-0.5)
    windows = {"orders": (3, 4), "widths": (1.0, 1.6), "minimum_sizes": (32, 48)}
    z, z_nu, z_bare = [], [], []
    for _ in range(24):
        noisy = values + sigma * rng.normal(size=len(t))
        scan = scaling.window_scan(length, t, noisy, np.full(len(t), sigma), **windows)
        z.append(scan.critical_point.deviation(T_CRITICAL))
        z_nu.append(scan.nu.deviation(1.0))
        bare = scaling.window_scan(
            length, t, noisy, np.full(len(t), sigma), corrections=(None,), nonlinear=(False,), **windows
        )
        z_bare.append(bare.critical_point.deviation(T_CRITICAL))
    # 24 sets know a root mean square to 14 %.
    assert 0.5 < np.sqrt(np.mean(np.square(z))) < 1.5
    assert 0.5 < np.sqrt(np.mean(np.square(z_nu))) < 1.5
    assert scan.critical_point.error < 1e-4
    # Negative control: no correction in the scan, and the error is too small.
    assert np.sqrt(np.mean(np.square(z_bare))) > 2


def test_a_correction_of_the_slope_is_in_the_error_of_nu():
    """Three sizes cannot tell it from nu: scans that try it both ways cover the truth, those without it do not."""
    rng, sigma = np.random.default_rng(26), 1e-3
    length, t, values = synthetic(b=0.3, c=0.2, omega=1.0, sizes=(16, 32, 64))
    windows = {"orders": (3, 4), "corrections": (1.0, 2.0), "nonlinear": (False,), "weights": "flat"}
    z, z_bare = [], []
    for _ in range(8):
        arguments = (length, t, values + sigma * rng.normal(size=len(t)), np.full(len(t), sigma))
        both = scaling.window_scan(*arguments, mixed=(False, True), **windows)
        bare = scaling.window_scan(*arguments, **windows)
        assert len(both.fits) + both.n_failed == 2 * (len(bare.fits) + bare.n_failed)
        z.append(both.nu.deviation(1.0))
        z_bare.append(bare.nu.deviation(1.0))
    assert np.sqrt(np.mean(np.square(z))) < 1.8
    assert np.sqrt(np.mean(np.square(z_bare))) > 2


def test_window_scan_books():
    """Weights, budget and rejected fits."""
    length, t, values = synthetic()
    noisy = values + 1e-3 * np.random.default_rng(24).normal(size=len(t))
    arguments = (length, t, noisy, np.full(len(t), 1e-3))
    windows = {"minimum_sizes": (16, 64), "widths": (0.8, 1.5), "corrections": (None,), "nonlinear": (False,)}
    scan = scaling.window_scan(*arguments, orders=(1, 4), **windows)
    assert len(scan.fits) + scan.n_failed == 8
    assert sum(fit.weight for fit in scan.fits) == pytest.approx(1.0, rel=1e-12)
    assert all(fit.weight == 0 for fit in scan.fits if fit.collapse.p_value < 0.01)
    assert any(fit.weight == 0 for fit in scan.fits)  # straight lines through a curve
    for k, estimate in enumerate((scan.critical_point, scan.nu)):
        assert estimate.error == pytest.approx(math.hypot(scan.statistical[k], scan.window[k]), rel=1e-12)
    # Jay and Neil's weight, by hand.
    good = [fit for fit in scan.fits if fit.weight > 0]
    cut = [len(t) - len(fit.collapse.values) for fit in good]
    aic = np.array(
        [fit.collapse.chi2 + 2 * len(fit.collapse.coefficients) + 2 * n for fit, n in zip(good, cut, strict=True)]
    )
    expected = np.exp(-(aic - aic.min()) / 2)
    np.testing.assert_allclose([fit.weight for fit in good], expected / expected.sum(), rtol=1e-10)
    mean = sum(fit.weight * fit.collapse.critical_point.mean for fit in good)
    assert scan.critical_point.mean == pytest.approx(mean, rel=1e-12)
    flat = scaling.window_scan(*arguments, orders=(1, 4), weights="flat", **windows)
    assert {fit.weight for fit in flat.fits} == {0.0, 1 / len(good)}
    assert flat.critical_point.error > scan.critical_point.error
    assert scan.best is scan.fits[0].collapse


def test_window_scan_with_replicas():
    rng = np.random.default_rng(25)
    length, t, values = synthetic(sizes=SIZES[::2])
    chains = chains_of(values, 1e-3, n_chains=64, rng=rng)
    scan = scaling.window_scan(length, t, chains.mean(axis=1), replicas=delete_one(chains), corrections=(None, 2.0))
    assert abs(scan.critical_point.deviation(T_CRITICAL)) < 4
    assert abs(scan.nu.deviation(1.0)) < 4
    parameters = [fit.collapse.replica_parameters for fit in scan.fits]
    joined = sum(fit.weight * table[:, 0] for fit, table in zip(scan.fits, parameters, strict=True))
    assert scan.statistical[0] == pytest.approx(math.sqrt(63) * joined.std(), rel=1e-10)


def test_window_scan_refuses():
    length, t, values = synthetic(b=20.0)
    arguments = (length, t, values, np.full(len(t), 1e-4))
    with pytest.raises(ValueError, match=r"No fit window is acceptable \(p >= 0.01\) among 4: the best p-value is"):
        scaling.window_scan(*arguments, orders=(3, 4), minimum_sizes=(16,), widths=(1.5,), corrections=(None,))
    with pytest.raises(ValueError, match="all windows failed, the last because: Argument `sizes`"):
        scaling.window_scan(*arguments, minimum_sizes=(500,))
    with pytest.raises(ValueError, match="`orders` must hold at least one"):
        scaling.window_scan(*arguments, orders=())
    with pytest.raises(ValueError, match="'aic' or 'flat'"):
        scaling.window_scan(*arguments, weights="equal")
    with pytest.raises(ValueError, match=r"`minimum_p_value` must lie in \[0, 1\)"):
        scaling.window_scan(*arguments, minimum_p_value=1.0)


# --- joining ----------------------------------------------------------------------------------------------------------


def test_join_errors():
    seeds = [Estimate(1.0, 0.3), Estimate(1.2, 0.4), Estimate(1.4, 0.5)]
    budget = scaling.join_errors(seeds, window=0.1)
    assert budget.estimate.mean == pytest.approx(1.2, rel=1e-12)
    assert budget.chains == pytest.approx(math.sqrt((0.09 + 0.16 + 0.25) / 3), rel=1e-12)
    assert budget.seeds == pytest.approx(0.2, rel=1e-12)
    assert budget.estimate.error == pytest.approx(math.sqrt(0.5 / 3 + 0.04 + 0.01), rel=1e-12)
    assert str(budget).startswith("1.2(5) [chains 0.41, seeds 0.2, window 0.1]")


def test_join_errors_of_independent_measurements():
    """Coverage: the scatter of independent results already holds their statistical errors."""
    rng, z = np.random.default_rng(26), []
    for _ in range(400):
        results = [Estimate(5.0 + 0.3 * rng.normal() + 0.2 * rng.normal(), 0.3) for _ in range(20)]
        z.append(scaling.join_errors(results, independent=True).estimate.deviation(5.0))
    assert np.std(z) == pytest.approx(1.0, abs=0.12)


def test_join_errors_of_common_data_are_not_divided():
    """Coverage with Monte Carlo noise common to all seeds; dividing it by sqrt(n) would be wrong by a factor of two."""
    rng, z, z_divided = np.random.default_rng(27), [], []
    for _ in range(400):
        common = 0.3 * rng.normal()
        results = [Estimate(5.0 + common + 0.1 * rng.normal(), 0.3) for _ in range(5)]
        z.append(scaling.join_errors(results).estimate.deviation(5.0))
        z_divided.append(scaling.join_errors(results, independent=True).estimate.deviation(5.0))
    assert 0.8 < np.std(z) < 1.1
    assert np.std(z_divided) > 1.8


def test_join_errors_refuses():
    with pytest.raises(ValueError, match="at least two seeds, but holds 1"):
        scaling.join_errors([Estimate(1.0, 0.1)])
    with pytest.raises(ValueError, match="must be finite"):
        scaling.join_errors([Estimate(1.0, 0.1), Estimate(1.0, math.nan)])
    with pytest.raises(ValueError, match="`window` must be >= 0"):
        scaling.join_errors([Estimate(1.0, 0.1), Estimate(1.0, 0.1)], window=-1.0)


def test_results_are_frozen():
    length, t, values = synthetic()
    fit = scaling.collapse(length, t, values, np.full(len(t), 1e-3))
    with pytest.raises(dataclasses.FrozenInstanceError):
        fit.chi2 = 0.0
