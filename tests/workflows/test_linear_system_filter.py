"""The filter against brute force, its certificate against dense grids, and what the optimised table gains."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from qmlphys.workflows._linear_system_filter import Filter, certify, clock_weights, design, narrowest


def responses(angles: NDArray[np.float64], n_clock: int, window: str) -> NDArray[np.float64]:
    """Phase estimation by its definition: Fourier sums over the clock's ticks, one angle and one value at a time."""
    n_values = 2**n_clock
    ticks = np.arange(n_values)
    start = np.sin(np.pi * (ticks + 0.5) / n_values) if window == "sine" else np.ones(n_values)
    start = start / np.linalg.norm(start)
    values = np.empty((len(angles), n_values))
    for row, angle in enumerate(angles):
        for k in range(n_values):
            amplitude = np.sum(start * np.exp(1j * ticks * (angle - 2 * np.pi * k / n_values))) / np.sqrt(n_values)
            values[row, k] = abs(amplitude) ** 2
    return values


def worst(chosen: Filter, angles: NDArray[np.float64]) -> float:
    n_values = 2**chosen.n_clock
    ticks = np.arange(n_values)
    start = np.sqrt(2 / n_values) * np.sin(np.pi * (ticks + 0.5) / n_values)  # every design here has the sine window
    amplitudes = np.fft.fft(start * np.exp(1j * np.outer(angles, ticks)), axis=1) / np.sqrt(n_values)
    f = np.abs(amplitudes) ** 2 @ chosen.table
    return float(np.abs(angles * f / chosen.scale - 1).max())


@pytest.mark.parametrize("window", ["sine", "uniform"])
def test_the_autocorrelation_gives_the_response_of_phase_estimation(window: str) -> None:
    angles = np.array([-1.0, 0.0, 0.3, 2.2])
    weights = clock_weights(3, window)  # type: ignore[arg-type]
    m = np.arange(-7, 8)
    direct = responses(angles, 3, window)
    for k in range(8):
        series = (weights[np.abs(m)] * np.exp(1j * np.outer(angles - 2 * np.pi * k / 8, m))).sum(axis=1) / 8
        np.testing.assert_allclose(series, direct[:, k], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(direct.sum(axis=1), 1, rtol=1e-12)


@pytest.mark.parametrize(
    ("condition", "error", "definite"),
    [(1.1, 0.1, False), (3.0, 0.01, False), (3.0, 1e-6, True), (10.0, 1e-3, True), (30.0, 0.05, False)],
)
def test_a_design_meets_its_error_and_the_certificate_is_an_upper_bound_but_a_close_one(
    condition: float, error: float, definite: bool
) -> None:
    chosen = design(condition, error, definite=definite)
    assert chosen is not None
    assert chosen.high / chosen.low == pytest.approx(condition, rel=1e-12)
    assert chosen.high < (2 * np.pi if definite else np.pi)
    assert np.abs(chosen.table).max() == pytest.approx(1, rel=1e-12)
    # Points that have nothing to do with the grid of the certificate.
    angles = np.random.default_rng(3).uniform(chosen.low, chosen.high, 2000)
    found = worst(chosen, np.concatenate([[chosen.low, chosen.high], angles]))
    assert found <= chosen.error <= error
    assert chosen.error < 1.3 * found + 1e-9
    if not definite:
        # Odd: negative angles are as good, up to rounding.
        assert worst(chosen, -angles) == pytest.approx(worst(chosen, angles), rel=1e-6)


def test_the_certificate_sees_what_hides_between_the_points_of_a_coarse_grid() -> None:
    chosen = design(10.0, 0.01, definite=False)
    assert chosen is not None
    weights = clock_weights(chosen.n_clock, "sine")
    spoiled = chosen.table.copy()
    spoiled[5] += 0.02
    assert certify(spoiled, weights, chosen.scale, chosen.low, chosen.high) > 0.01 >= chosen.error
    # Wider than it was designed for: the certificate must not hold either.
    assert certify(chosen.table, weights, chosen.scale, chosen.low / 1.5, chosen.high) > 0.01


def plain(n_clock: int, condition: float, window: str) -> float:
    """The error of the reciprocal table C / lambda_k, the eigenvalues filling the clock's range as well as they can."""
    n_values = 2**n_clock
    high = np.pi * condition / (condition + 1)
    low = high / condition
    grid = 2 * np.pi * np.fft.fftfreq(n_values)
    table = np.divide(1.0, grid, out=np.zeros(n_values), where=np.abs(grid) >= low)
    table[n_values // 2] = 0
    return certify(table, clock_weights(n_clock, window), 1.0, low, high)  # type: ignore[arg-type]


def test_the_optimised_table_saves_clock_qubits_against_plain_reciprocals() -> None:
    optimised = design(100.0, 0.01, definite=False)
    definite = design(100.0, 0.01, definite=True)
    assert optimised is not None
    assert definite is not None
    assert (optimised.n_clock, definite.n_clock) == (9, 8)
    assert plain(9, 100.0, "sine") > 0.01
    assert plain(11, 100.0, "uniform") > 0.01
    # At equal size the error is several times smaller.
    assert 5 * narrowest(100.0, 9, definite=False).error < plain(9, 100.0, "sine")


def test_clocks_that_are_too_small_are_not_taken() -> None:
    assert design(100.0, 0.01, definite=False, n_clock=7) is None
    assert narrowest(100.0, 7, definite=False).error > 0.01
    chosen = design(100.0, 0.01, definite=False, n_clock=10)
    assert chosen is not None
    assert chosen.n_clock == 10


def test_the_scale_is_close_to_the_largest_possible_one() -> None:
    # |f| <= 1 and f ~ scale / theta at the lower bound: scale cannot exceed low (1 + error) / (1 - error).
    for condition, error in ((2.0, 0.1), (10.0, 0.01), (100.0, 0.01)):
        chosen = design(condition, error, definite=False)
        assert chosen is not None
        assert 0.5 * chosen.low < chosen.scale <= chosen.low * (1 + error)
