"""Series of correlated draws: autocorrelation time, effective sample size, R-hat and the estimate of a mean."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft, special

from qmlphys.stats._estimate import Estimate, require_finite

__all__ = ["autocorrelation_time", "effective_sample_size", "estimate", "r_hat"]

# Chains are said to disagree when the scatter of their means would be this improbable (F test) for the measured tau.
_DISAGREEMENT = 1e-3
# From this many chains on, the scatter of chain means alone is trusted when the series are too short to give tau.
_MANY_CHAINS = 8


def _series(x: npt.ArrayLike, name: str = "x") -> npt.NDArray[np.float64]:
    """Check a series and return it as float64 of shape (n_chains, n_draws)."""
    array = np.asarray(x)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"Argument `{name}` must hold real numbers, but its dtype is {array.dtype}.")
    if array.ndim == 1:
        array = array[None, :]
    if array.ndim != 2 or array.size == 0:
        raise ValueError(
            f"Argument `{name}` must have shape (n_chains, n_draws) or (n_draws,) and not be empty, "
            f"but its shape is {np.shape(x)}."
        )
    array = array.astype(np.float64)
    require_finite(array, name)
    return array


def _autocovariance(series: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the autocovariance at lags 0..n_draws - 1 about the mean of all chains, by FFT."""
    n_chains, n_draws = series.shape
    n_padded = fft.next_fast_len(2 * n_draws, real=True)
    spectrum = fft.rfft(series - series.mean(), n_padded, axis=1)
    power = (spectrum.real**2 + spectrum.imag**2).sum(axis=0)
    products = fft.irfft(power, n_padded)[:n_draws]
    return products / (n_chains * np.arange(n_draws, 0, -1.0))


@dataclass(frozen=True)
class _Correlation:
    """Variance of one draw, integrated time, the window it was summed over and whether that window closed."""

    variance: float
    tau: float
    window: int
    closed: bool


def _in_units_of_range(series: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], float, float]:
    """Map the series to [0, 1]: squares of very large or very small numbers would leave the floating-point range."""
    low = float(series.min())
    scale = float(series.max()) - low
    if not math.isfinite(scale):
        raise ValueError(f"Argument `x` must span less than 1.8e308, but runs from {low:.3g} to {series.max():.3g}.")
    return (series - low) / (scale or 1.0), low, scale


def _correlation(series: npt.NDArray[np.float64], window: float) -> _Correlation:
    """Measure variance and tau of a series that lies in [0, 1]."""
    if not (math.isfinite(window) and window > 0):
        raise ValueError(f"Argument `window` must be a positive number, but is {window}.")
    if not series.any():
        return _Correlation(0.0, 0.5, 0, closed=True)
    gamma = _autocovariance(series)
    tau = 0.5 + np.concatenate(([0.0], np.cumsum(gamma[1:]))) / gamma[0]
    closes = np.arange(len(tau)) >= window * np.maximum(tau, 0.5)
    closed = bool(closes.any())
    last = int(np.argmax(closes)) if closed else len(tau) - 1
    # One shared, measured mean lowers every lag by the variance of that mean, 2 tau gamma(0) / N, to leading order.
    shift = 2 * max(float(tau[last]), 0.0) / series.size
    corrected = (float(tau[last]) + shift * (last + 0.5)) / (1 + shift)
    return _Correlation(float(gamma[0]) * (1 + shift), max(corrected, 0.5), last, closed=closed)


def autocorrelation_time(x: npt.ArrayLike, *, window: float = 5.0) -> float:
    """Return the integrated autocorrelation time tau = 1/2 + sum of the normalised autocorrelations.

    The sum stops at the smallest lag W >= `window` * tau(W). All chains share one mean, so that short chains that
    sit at different values count as correlated; the O(1/N) bias that the measured mean causes is removed
    to leading order. What remains: the cut tail (a fraction exp(-`window`) of an exponential), and chains shorter than
    the window, for which the number is only a lower bound. Anticorrelated series give 0.5.

    Parameters
    ----------
    x : array_like of shape (n_chains, n_draws) or (n_draws,)
        Measured series; finite real numbers.
    window : float
        Length of the summation window in units of tau, > 0.

    Returns
    -------
    float
        tau in draws, >= 0.5; 0.5 means uncorrelated, and is returned for a constant series.

    Raises
    ------
    ValueError
        If the series is empty, has more than two axes or is not finite, or `window` is not positive.
    TypeError
        If the series does not hold real numbers.

    References
    ----------
    A. D. Sokal, Monte Carlo methods in statistical mechanics: foundations and new algorithms (1997), secs. 2-3
    (definition and automatic window);
    U. Wolff, Comput. Phys. Commun. 156, 143 (2004), eq. 49 (bias of the measured mean).

    Examples
    --------
    >>> draws = np.random.default_rng(0).normal(size=(4, 2000))
    >>> round(autocorrelation_time(draws), 1)
    0.5
    """
    return _correlation(_in_units_of_range(_series(x))[0], window).tau


def effective_sample_size(x: npt.ArrayLike, *, window: float = 5.0) -> float:
    """Return the number of independent draws that carry as much information: n_chains n_draws / (2 tau).

    Parameters
    ----------
    x : array_like of shape (n_chains, n_draws) or (n_draws,)
        Measured series; finite real numbers.
    window : float
        Summation window, as in `autocorrelation_time`.

    Returns
    -------
    float
        Between 0 and the number of draws; all draws for a constant series.

    Raises
    ------
    ValueError, TypeError
        As `autocorrelation_time`.

    References
    ----------
    A. D. Sokal, Monte Carlo methods in statistical mechanics: foundations and new algorithms (1997), sec. 2.

    Examples
    --------
    >>> effective_sample_size(np.repeat([[1.0, 2.0, 1.0, 2.0]], 3, axis=0))
    12.0
    """
    series = _series(x)
    return series.size / (2 * _correlation(_in_units_of_range(series)[0], window).tau)


def r_hat(x: npt.ArrayLike) -> float:
    """Return split R-hat: how much the halves of the chains disagree (1 = not at all).

    The classical statistic on the draws themselves, not its rank-normalised variant: it needs a finite variance,
    which every observable of a finite lattice has.

    Parameters
    ----------
    x : array_like of shape (n_chains, n_draws) or (n_draws,)
        Measured series with at least 4 draws; of an odd number, the middle draw is left out.

    Returns
    -------
    float
        R-hat; 1 if all draws are equal, inf if halves are constant but differ. Values above 1.01 call for longer runs.

    Raises
    ------
    ValueError, TypeError
        If there are fewer than 4 draws, or as `autocorrelation_time`.

    References
    ----------
    A. Gelman et al., Bayesian data analysis, 3rd ed. (2013), sec. 11.4;
    A. Vehtari et al., Bayesian Analysis 16, 667 (2021), eqs. 1-4.

    Examples
    --------
    >>> bool(r_hat(np.random.default_rng(0).normal(size=(4, 500))) < 1.01)
    True
    >>> r_hat([[0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    inf
    """
    series = _series(x)
    if series.shape[1] < 4:
        raise ValueError(f"Argument `x` must have at least 4 draws a chain, but has {series.shape[1]}.")
    return _split_r_hat(_in_units_of_range(series)[0])


def _split_r_hat(series: npt.NDArray[np.float64]) -> float:
    if not series.any():
        return 1.0
    half = series.shape[1] // 2
    halves = np.concatenate((series[:, :half], series[:, -half:]))
    within = float(halves.var(axis=1, ddof=1).mean())
    between = float(halves.mean(axis=1).var(ddof=1))
    if within == 0:
        # The odd middle draw alone may differ.
        return math.inf if between > 0 else 1.0
    return math.sqrt((half - 1) / half + between / within)


def estimate(x: npt.ArrayLike, *, window: float = 5.0) -> Estimate:
    """Return the mean over chains and draws with its standard error.

    Two measurements of the variance of the mean are joined: the scatter of the chain means (n_chains - 1 degrees of
    freedom, needs no tau) and 2 tau var / N (about N / (2 W + 1) degrees of freedom for a window W), pooled by their
    degrees of freedom. So few long chains are judged by tau and many short ones by their scatter. Scatter alone is used
    when chains disagree (F test at 0.001), and when the series is too short for the window of tau; with fewer than
    8 chains the larger of the two is used then. A single chain shorter than about 50 tau has an error too small: look
    at `tau` and `r_hat`.

    Parameters
    ----------
    x : array_like of shape (n_chains, n_draws) or (n_draws,)
        Measured series with at least two draws in all; finite real numbers.
    window : float
        Summation window of tau, as in `autocorrelation_time`.

    Returns
    -------
    Estimate
        With n_effective, tau, and r_hat (nan below 4 draws a chain). A constant series has error 0, tau 0.5, R-hat 1.

    Raises
    ------
    ValueError, TypeError
        If there is only one draw, or as `autocorrelation_time`.

    References
    ----------
    U. Wolff, Comput. Phys. Commun. 156, 143 (2004), eqs. 42 (degrees of freedom) and 49 (bias).

    Examples
    --------
    >>> result = estimate(np.random.default_rng(0).normal(loc=2.0, size=(64, 100)))
    >>> print(result)
    1.999(12)
    """
    series = _series(x)
    n_draws = series.shape[1]
    if series.size < 2:
        raise ValueError("Argument `x` must hold at least two draws to give an error, but holds 1.")
    series, low, scale = _in_units_of_range(series)
    correlation = _correlation(series, window)
    quality = _split_r_hat(series) if n_draws >= 4 else math.nan
    if scale == 0:
        return Estimate(low, 0.0, series.size, 0.5, 1.0)
    variance = _variance_of_mean(series, correlation)
    n_effective = min(float(series.size), correlation.variance / variance) if variance > 0 else float(series.size)
    mean = low + scale * float(series.mean())
    return Estimate(mean, scale * math.sqrt(variance), n_effective, correlation.tau, quality)


def _variance_of_mean(series: npt.NDArray[np.float64], correlation: _Correlation) -> float:
    n_chains, n_draws = series.shape
    within = 2 * correlation.tau * correlation.variance / series.size
    if n_chains == 1:
        return within
    between = float(series.mean(axis=1).var(ddof=1)) / n_chains
    if n_draws == 1:
        return between
    if not correlation.closed:
        return between if n_chains >= _MANY_CHAINS else max(between, within)
    dof_between = n_chains - 1
    dof_within = series.size / (2 * correlation.window + 1)
    if between > within * float(special.fdtri(dof_between, dof_within, 1 - _DISAGREEMENT)):
        return between
    return (dof_between * between + dof_within * within) / (dof_between + dof_within)
