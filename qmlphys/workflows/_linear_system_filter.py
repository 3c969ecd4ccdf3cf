"""The table of flag rotations by which HHL inverts, designed from bounds on the spectrum, with a certificate.

After phase estimation, flag rotation and uncomputation, the system's state beside clock = 0 and flag = 1 is f(A) b with

    f(lambda) = sum_k g_k |alpha_k(lambda t)|^2,    0 <= k < N = 2^n_clock,

where g_k are the flag's amplitudes and alpha_k the clock's. In the angle theta = lambda t this is a trigonometric
polynomial of degree N - 1. If the angles of all eigenvalues lie in a known set, then the relative error of the
solution, norm included, is at most the largest ``|theta f(theta) / scale - 1|`` on that set: no eigenvalue is needed
for it. The plain choice g_k ~ 1 / lambda_k makes that error fall slowly with the clock's size; here g minimises it.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

__all__ = ["MAX_CLOCK", "MIN_CLOCK", "Filter", "certify", "clock_weights", "design", "narrowest"]

MIN_CLOCK = 2
MAX_CLOCK = 12
"""The largest clock that is designed: beyond it the dense normal equations would take minutes."""

Window = Literal["sine", "uniform"]

# Where the gaps around 0 and around the wrap-around are equally wide, both cost the same degree. Spectra of one sign
# use the whole circle, where the jump at its end is lower by the condition number and a wider gap there pays.
_GAPS = {False: (1.0, 2.0), True: (4.0, 2.0, 1.0)}
_LEAST_SCALE = 0.25
_N_REWEIGHTED = 8
_N_DERIVATIVES = 10


@dataclass(frozen=True, eq=False)
class Filter:
    r"""A table of flag amplitudes and what it is certified to do.

    Parameters
    ----------
    n_clock : int
        Number of clock qubits.
    window : {"sine", "uniform"}
        The clock's initial amplitudes.
    table : ndarray of float, shape (2**n_clock,)
        Flag amplitudes g_k in [-1, 1], by unsigned clock value.
    low, high : float
        Angles theta = \\|lambda\\| t for which the certificate holds, 0 < low <= high.
    definite : bool
        Whether it holds for positive angles only (then up to 2 pi) or for both signs (then up to pi).
    scale : float
        f(theta) is scale / theta up to `error`.
    error : float
        Certified largest \\|theta f(theta) / scale - 1\\|.
    """

    n_clock: int
    window: Window
    table: NDArray[np.float64]
    low: float
    high: float
    definite: bool
    scale: float
    error: float


def clock_weights(n_clock: int, window: Window) -> NDArray[np.float64]:
    r"""Return the autocorrelation r_m of the clock's initial amplitudes, m = 0 ... N - 1.

    The response to a clock value k is ``|alpha_k|^2 = sum_m r_|m| exp(i m (theta - 2 pi k / N)) / N`` over \\|m\\| < N.

    Parameters
    ----------
    n_clock : int
        Number of clock qubits.
    window : {"sine", "uniform"}
        sqrt(2/N) sin(pi (j + 1/2) / N), which leaks least far away, or 1 / sqrt(N).

    Returns
    -------
    ndarray of shape (2**n_clock,)
        r_0 = 1.

    References
    ----------
    Harrow, Hassidim and Lloyd, Phys. Rev. Lett. 103, 150502 (2009), eq. 3 (the sine window).

    Examples
    --------
    >>> clock_weights(2, "uniform")
    array([1.  , 0.75, 0.5 , 0.25])
    """
    n_values = 2**n_clock
    if window == "sine":
        amplitudes = np.sqrt(2 / n_values) * np.sin(np.pi * (np.arange(n_values) + 0.5) / n_values)
    else:
        amplitudes = np.full(n_values, n_values**-0.5)
    return np.correlate(amplitudes, amplitudes, mode="full")[n_values - 1 :].copy()


def _response(angles: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``|alpha_k(theta)|^2``, shape (n_angles, N)."""
    n_values = len(weights)
    # The sum over m and -m, folded onto m mod N, is one discrete Fourier transform over the clock values.
    m = np.arange(n_values)
    waves = weights * np.exp(1j * np.outer(angles, m))
    folded = waves.copy()
    folded[:, 1:] += (weights[1:] * np.exp(-1j * np.outer(angles, m[1:])))[:, ::-1]
    return np.fft.fft(folded, axis=1).real / n_values


def certify(table: NDArray[np.float64], weights: NDArray[np.float64], scale: float, low: float, high: float) -> float:
    """Bound ``|theta f(theta) / scale - 1|`` for every theta in [low, high], not on a grid alone.

    Around each point of a grid the error is expanded to order 10; the remainder is bounded by Bernstein's inequality
    for trigonometric polynomials of degree N - 1, with ``|f| <= max |g|`` because the responses are non-negative and
    sum to one.

    Parameters
    ----------
    table : ndarray of shape (N,)
        Flag amplitudes.
    weights : ndarray of shape (N,)
        From `clock_weights`.
    scale : float
        Nominal theta f(theta).
    low, high : float
        The interval of angles.

    Returns
    -------
    float
        An upper bound that exceeds the largest value by some percent of it.

    References
    ----------
    A. Zygmund, Trigonometric series (1959), vol. II, ch. X, theorem 3.13 (Bernstein's inequality).

    Examples
    --------
    >>> certify(np.zeros(4), clock_weights(2, "sine"), 1.0, 0.5, 1.0)
    1.0
    """
    n_values = len(table)
    degree = n_values - 1
    n_points = max(64 * n_values, 4096)
    step = 2 * np.pi / n_points
    first, last = math.floor(low / step), math.ceil(high / step)
    places = np.arange(first, last + 1)
    angles = places * step
    m = np.arange(n_values)
    coefficients = weights * np.fft.fft(table) / n_values  # of exp(i m theta) for m >= 0; conjugates for m < 0
    largest = float(np.abs(table).max())
    bound = np.zeros(len(angles))
    previous = np.zeros(len(angles))
    factor = 1.0
    for order in range(_N_DERIVATIVES):
        spectrum = np.zeros(n_points // 2 + 1, dtype=np.complex128)
        spectrum[:n_values] = coefficients * (1j * m) ** order
        # irfft divides by its length, and counts m > 0 twice as wanted.
        derivative = np.fft.irfft(spectrum, n_points)[places % n_points] * n_points
        term = angles * derivative + order * previous
        bound += factor * np.abs(term / scale - (1.0 if order == 0 else 0.0))
        previous = derivative
        factor *= step / 2 / (order + 1)
    order = _N_DERIVATIVES
    remainder = factor * largest * ((high + step) * degree**order + order * degree ** (order - 1)) / abs(scale)
    return float(bound.max() + remainder)


class _Problem:
    """The weighted least squares of one clock and one interval, for several weights of the penalty."""

    def __init__(self, condition: float, n_clock: int, window: Window, *, definite: bool, gap: float) -> None:
        self.n_values = 2**n_clock
        self.n_clock, self.window, self.definite = n_clock, window, definite
        self.high = (2 if definite else 1) * np.pi * condition / (condition + gap)
        self.low = self.high / condition
        self.weights = clock_weights(n_clock, window)
        n_angles = math.ceil((3 if definite else 3 / 2) * self.n_values) + 16
        # Denser at both ends, where the error is largest, as for any best approximation.
        share = (1 - np.cos(np.pi * (np.arange(n_angles) + 0.5) / n_angles)) / 2
        angles = self.low + (self.high - self.low) * share
        response = _response(angles, self.weights)
        grid = 2 * np.pi * np.arange(self.n_values) / self.n_values
        if definite:
            unknowns = np.arange(self.n_values)
        else:
            # An odd table makes f odd, so that both signs are right at once; g_0 = g_{N/2} = 0.
            unknowns = np.arange(1, self.n_values // 2)
            response = response[:, unknowns] - response[:, -unknowns]
        self.unknowns = unknowns
        # The unknowns are relative to the plain reciprocal, so that all are of order one.
        self.plain = 1 / np.maximum(grid[unknowns], self.low)
        self.columns = angles[:, None] * response * self.plain

    def solve(self, penalty: float, target: float) -> Filter:
        """Lower the largest error by reweighting (Lawson) until it is below the target or the steps are used up."""
        n_angles, n_unknowns = self.columns.shape
        weights = np.full(n_angles, 1 / n_angles)
        ridge = penalty * (self.low * self.plain) ** 2 + 1e-15
        best, smallest = np.ones(n_unknowns), math.inf
        for step in range(_N_REWEIGHTED):
            normal = (self.columns * weights[:, None]).T @ self.columns
            normal[np.diag_indices(n_unknowns)] += ridge
            factor = linalg.cho_factor(normal, overwrite_a=True, check_finite=False)
            relative = linalg.cho_solve(factor, self.columns.T @ weights, check_finite=False)
            residual = np.abs(self.columns @ relative - 1)
            if residual.max() < smallest:
                best, smallest = relative, float(residual.max())
            # The certificate is some percent larger than what a grid shows; far above the target, more steps are vain.
            if smallest <= 0.8 * target or (step >= 3 and smallest > 3 * target > 0):
                break
            weights = weights * residual
            weights = weights / weights.sum() + 1e-6 / n_angles
        return self._filter(best * self.plain)

    def _filter(self, values: NDArray[np.float64]) -> Filter:
        table = np.zeros(self.n_values)
        table[self.unknowns] = values
        if not self.definite:
            table[-self.unknowns] = -values
        scale = 1 / float(np.abs(table).max())
        table = np.clip(table * scale, -1, 1)
        error = certify(table, self.weights, scale, self.low, self.high)
        return Filter(self.n_clock, self.window, table, self.low, self.high, self.definite, scale, error)


@functools.lru_cache(maxsize=256)
def narrowest(condition: float, n_clock: int, *, definite: bool, window: Window = "sine") -> Filter:
    """Return the filter of the smallest error that a clock of this size gives.

    Parameters
    ----------
    condition : float
        Ratio of the bounds on the spectrum, >= 1.
    n_clock : int
        Number of clock qubits, 2 to 12.
    definite : bool
        Whether all eigenvalues are positive.
    window : {"sine", "uniform"}
        The clock's initial amplitudes.

    Returns
    -------
    Filter
        With its certificate.

    Examples
    --------
    >>> narrowest(100.0, 9, definite=False).error < 0.003
    True
    """
    found = [
        _Problem(condition, n_clock, window, definite=definite, gap=gap).solve(1e-10, 0.0) for gap in _GAPS[definite]
    ]
    return min(found, key=lambda one: one.error)


@functools.lru_cache(maxsize=256)
def design(
    condition: float, error: float, *, definite: bool, window: Window = "sine", n_clock: int | None = None
) -> Filter | None:
    """Return the filter with the fewest clock qubits, and then the largest scale, that meets an error.

    Parameters
    ----------
    condition : float
        Ratio of the bounds on the spectrum, >= 1.
    error : float
        Largest relative error of the solution, in (0, 1).
    definite : bool
        Whether all eigenvalues are positive: the whole circle is theirs then, which saves a clock qubit.
    window : {"sine", "uniform"}
        The clock's initial amplitudes.
    n_clock : int, optional
        Use this many clock qubits.

    Returns
    -------
    Filter or None
        None if no clock of up to 12 qubits (or the given one) meets the error.

    Examples
    --------
    >>> design(100.0, 0.01, definite=False).n_clock, design(100.0, 0.01, definite=True).n_clock
    (9, 8)
    """
    fallback: Filter | None = None
    for size in range(MIN_CLOCK, MAX_CLOCK + 1) if n_clock is None else (n_clock,):
        # A degree of N / 2 is what such a clock gives, and 1/theta needs at least about condition / pi of it.
        if n_clock is None and condition > 4 * 2**size * (2 if definite else 1):
            continue
        best = _best_of_size(condition, error, size, definite=definite, window=window)
        if best is None:
            continue
        if best.scale >= _LEAST_SCALE * best.low:
            return best
        # The success probability falls as the scale's square: one more clock qubit is cheaper than that.
        if fallback is not None:
            break
        fallback = best
    return fallback


def _best_of_size(condition: float, error: float, size: int, *, definite: bool, window: Window) -> Filter | None:
    """Return the filter of the largest scale that a clock of this size meets the error with; None if none does."""
    best: Filter | None = None
    # Other gaps gain a few percent only, and a large clock takes seconds for each.
    for gap in _GAPS[definite] if size < 10 else _GAPS[definite][:1]:
        problem = _Problem(condition, size, window, definite=definite, gap=gap)
        penalty = min(1e-10, 1e-4 * error**2)
        found = problem.solve(penalty, error)
        while found.error <= error:  # a larger penalty lowers the table's peak, until the error is used up
            if best is None or found.scale / found.low > best.scale / best.low:
                best = found
            penalty *= 30
            found = problem.solve(penalty, error)
    return best
