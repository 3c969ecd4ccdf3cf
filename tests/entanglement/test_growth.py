"""Laws of growth: known ones are found, and the others rejected."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qmlphys.entanglement import dicke_entropy, entropy, fit_growth, page_entropy

SIZES = np.array([8, 10, 12, 14, 16, 18, 20, 22])
LAWS = {
    "area": lambda n: 1.3 + 0 * n,
    "logarithmic": lambda n: 0.2 + 0.5 * np.log(n),
    "volume": lambda n: -0.5 + 0.3 * n,
}


@pytest.mark.parametrize("law", LAWS)
def test_laws_are_found_and_errors_are_honest(law):
    rng = np.random.default_rng(0)
    # Over these sizes half a logarithm differs from a straight line by 0.03 nats.
    sigma = np.full(len(SIZES), 0.008)
    fits = [fit_growth(SIZES, LAWS[law](SIZES) + sigma * rng.standard_normal(len(SIZES)), sigma) for _ in range(300)]
    found = [fit.verdict for fit in fits]
    assert found.count(law) > 290
    if law == "logarithmic":
        deviations = [(fit.slope - 0.5) / fit.slope_error for fit in fits]
        # Errors grow with chi2 / dof where that exceeds 1, so they are a little too large.
        assert 0.8 < np.std(deviations) < 1.05
        assert abs(np.mean(deviations)) < 5 / math.sqrt(300)
        assert sum(fit.rejects_logarithm for fit in fits) <= 3
        p = [fit.fits["logarithmic"].p_value for fit in fits]
        assert 0.4 < np.mean(p) < 0.6
    if law == "volume":
        assert all(fit.rejects_logarithm for fit in fits)


def test_volume_law_of_random_states_is_rejected_as_a_logarithm():
    sizes, entropies, errors = [], [], []
    for n in (6, 7, 8, 9, 10, 11, 12):
        values = []
        for seed in range(12):
            rng = np.random.default_rng([n, seed])
            values.append(entropy(rng.standard_normal(2**n) + 1j * rng.standard_normal(2**n), range(n // 3)))
        sizes.append(n)
        entropies.append(np.mean(values) * n / 3 / (n // 3))  # per site of the block: n / 3 is no whole number
        errors.append(np.std(values, ddof=1) / math.sqrt(12) * n / 3 / (n // 3))
    fit = fit_growth(sizes, entropies, errors)
    assert fit.rejects_logarithm
    pages = [page_entropy(n // 2, n) for n in range(8, 24, 2)]
    fit = fit_growth(range(8, 24, 2), pages, [0.01] * 8)
    assert (fit.verdict, fit.rejects_logarithm) == ("volume", True)
    assert fit.fits["volume"].slope == pytest.approx(math.log(2) / 2, abs=1e-3)
    assert fit.fits["volume"].p_value > 0.9
    assert "Volume law" in fit.sentence
    exact_fit = fit_growth(range(8, 24, 2), pages)
    assert (exact_fit.verdict, exact_fit.rejects_logarithm) == ("volume", True)


def test_dicke_states_grow_as_half_a_logarithm():
    sizes = [64, 128, 256, 512, 1024]
    fit = fit_growth(sizes, [dicke_entropy(n, n // 2, n // 2) for n in sizes])
    assert (fit.verdict, fit.rejects_logarithm) == ("logarithmic", False)
    assert fit.slope == pytest.approx(0.5, abs=5e-3)
    assert sum(fit.weights.values()) == pytest.approx(1)
    assert fit.weights["logarithmic"] > 0.99
    assert math.isnan(fit.fits["logarithmic"].p_value)


def test_exact_laws_without_errors():
    for law, function in LAWS.items():
        assert fit_growth(SIZES, function(SIZES)).verdict == law


def test_what_cannot_be_told_apart_is_undecided():
    n = np.array([16, 17, 18, 19])
    close = fit_growth(n, 0.5 * np.log(n), [1e-3] * 4)
    assert close.verdict == "undecided"
    assert "Undecided" in close.sentence
    assert close.weights["logarithmic"] < 20 * close.weights["volume"]
    assert fit_growth(n, 0.5 * np.log(n), [1e-3] * 4, odds=1).verdict == "logarithmic"
    assert fit_growth(SIZES, LAWS["volume"](SIZES), [5.0] * 8).verdict == "undecided"
    assert fit_growth(SIZES, -0.5 * np.log(SIZES), [1e-3] * 8).verdict == "undecided"


def test_errors_that_are_too_small_are_enlarged():
    rng = np.random.default_rng(2)
    entropies = LAWS["logarithmic"](SIZES) + 0.05 * rng.standard_normal(len(SIZES))
    fit = fit_growth(SIZES, entropies, [0.001] * 8)
    assert fit.slope_error > 10 * 0.001
    assert abs(fit.slope - 0.5) < 5 * fit.slope_error
    assert fit.rejects_logarithm  # with these errors no law of the list holds, and the p-values say so
    assert max(law.p_value for law in fit.fits.values()) < 1e-3


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (([1, 2, 3], [1, 2, 3]), "at least 4 different positive sizes"),
        (([1, 2, 3, 3], [1, 2, 3, 4]), "at least 4 different positive sizes"),
        (([0, 1, 2, 3], [1, 2, 3, 4]), "at least 4 different positive sizes"),
        (([1, 2, 3, 4], [1, 2, 3]), "`entropies` must be a row of 4"),
        (([1, 2, 3, 4], [1, 2, 3, np.nan]), "`entropies` must be a row of 4 finite"),
        (([[1, 2, 3, 4]], [[1, 2, 3, 4]]), "`n_sites` must be a row"),
        (([1, 2, 3, 4], [1, 2, 3, 4], [1, 1, 1]), "`errors` must be a row of 4"),
        (([1, 2, 3, 4], [1, 2, 3, 4], [1, 1, 1, 0]), "`errors` must be positive"),
    ],
)
def test_bad_arguments(arguments, text):
    with pytest.raises(ValueError, match=text):
        fit_growth(*arguments)
    with pytest.raises(ValueError, match="`odds` must be at least 1"):
        fit_growth(SIZES, SIZES, odds=0.5)
