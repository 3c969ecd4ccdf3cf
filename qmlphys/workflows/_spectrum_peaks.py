"""Which bins of a measured power spectrum stand out of noise, and where between the bins the tones lie.

White noise gives each bin of a periodogram an independent, exponentially distributed power, so that the counts of S
shots over m bins follow Bose-Einstein statistics: every way to share S counts among m bins is equally likely. A bin
then gets c counts or more with the probability C(S - c + m - 1, m - 1) / C(S + m - 1, m - 1), which for exact powers
becomes (1 - x)^(m - 1) with x the bin's share (Fisher 1929). Times m, for the m places where it could have happened,
this is the false-alarm probability; the level of the noise need not be known. Bins that the skirts of known tones reach
are compared with a steady amplitude in noise instead (`_moments`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

__all__ = ["Peak", "Powers", "far_from", "find_peaks", "tail"]

Array = NDArray[np.float64]

RESOLUTION = 2.0
"""Bins: a second tone nearer than this to a found one is not looked for."""

_NOTHING = 1e-14  # shares of an exact spectrum below this are rounding of the amplitudes
_N_OFFSETS, _N_PHASES = 81, 24
_FLOOR = 1e-9  # share of a bin; exact spectra of clean signals are not trusted further, which keeps fits well-behaved
_N_ROUNDS = 4
_N_LIKELY = 8  # points of the grid, along one axis, that carry the posterior before the grid is refined


@dataclass(frozen=True)
class Powers:
    """A power spectrum as it was measured.

    Parameters
    ----------
    values : ndarray of float, shape (n_bins,)
        Counts of each bin, or exact probabilities if `shots` is None.
    bins : ndarray of int, shape (n_bins,)
        The number k of each bin: k / N cycles a sample. Those of a real signal are 1 to N/2 - 1, folded.
    n_samples : int
        N, the length of the signal.
    shots : int or None
        Shots, of which some may have fallen into bins that are not here; None for exact probabilities.
    real : bool
        The signal is real: a tone at +f comes with its mirror image at -f.
    """

    values: Array
    bins: NDArray[np.int64]
    n_samples: int
    shots: int | None
    real: bool

    @property
    def scale(self) -> float:
        """Counts for a share of 1."""
        return 1.0 if self.shots is None else float(self.shots)


@dataclass(frozen=True)
class Peak:
    """A tone.

    Parameters
    ----------
    position, position_error : float
        Frequency in bins (cycles in the whole signal), and its standard error.
    share, share_error : float
        Share of the signal's power, and its standard error.
    p_value : float
        Probability that white noise shows as strong a peak anywhere in the spectrum.
    bin : int
        The bin that stood out.
    """

    position: float
    position_error: float
    share: float
    share_error: float
    p_value: float
    bin: int


def tail(value: Array, total: float, n_bins: int, *, sampled: bool) -> Array:
    """Return the probability that white noise puts `value` or more of `total` into one bin out of `n_bins`.

    Parameters
    ----------
    value : ndarray of float, shape (n,)
        Counts, or powers, of single bins.
    total : float
        Sum over all bins.
    n_bins : int
        Number of bins.
    sampled : bool
        Whether these are counts.

    Returns
    -------
    ndarray of float, shape (n,)
        Probabilities.

    Examples
    --------
    >>> tail(np.array([0.0, 3.0, 10.0]), 10.0, 8, sampled=True).round(4).tolist()
    [1.0, 0.1765, 0.0001]
    """
    left = np.maximum(total - value, 0.0)
    if not sampled:
        return (left / total) ** (n_bins - 1)
    return np.exp(_log_ways(left, n_bins) - _log_ways(np.asarray(total), n_bins))


def _log_ways(counts: Array, n_bins: int) -> Array:
    """Return log C(counts + n_bins - 1, n_bins - 1) up to a constant, for counts that need not be integer."""
    return special.gammaln(counts + n_bins) - special.gammaln(counts + 1.0)


def find_peaks(powers: Powers, *, false_alarm: float, n_peaks: int | None = None) -> tuple[list[Peak], float]:
    """Find the tones, the clearest first.

    Each step looks at the bins that are at least two bins away from all tones found so far. Their expected power is
    the background and the skirts of those tones, in the worst case added in phase.

    Parameters
    ----------
    powers : Powers
        The spectrum.
    false_alarm : float
        Probability, in (0, 1), that a spectrum of white noise shows a peak.
    n_peaks : int or None
        Stop after so many.

    Returns
    -------
    peaks : list of Peak
        In the order in which they were found.
    background : float
        Mean share of a bin that belongs to no tone.
    """
    peaks: list[Peak] = []
    while True:
        allowed = far_from(powers, peaks)
        background = _background(powers, peaks, allowed)
        if not allowed.any() or (n_peaks is not None and len(peaks) >= n_peaks):
            break
        place, p_value = _clearest(powers, peaks, allowed, background)
        if p_value > false_alarm:
            break
        peaks.append(_fit(powers, place, p_value, peaks, background))
        # The background was too large while the new tone was part of it, and every tone is noise to the others.
        for _ in range(_N_ROUNDS):
            before, background = background, _background(powers, peaks, far_from(powers, peaks))
            if abs(before - background) < 0.01 * background:
                break
            peaks = [
                _fit(powers, _place_of(powers, peak), peak.p_value, peaks[:i] + peaks[i + 1 :], background)
                for i, peak in enumerate(peaks)
            ]
    return peaks, background


def _place_of(powers: Powers, peak: Peak) -> int:
    """Return where a peak's bin stands among the bins."""
    return int(np.flatnonzero(powers.bins == peak.bin)[0])


def _distance(powers: Powers, position: float) -> Array:
    """Return the distance of each bin from a position; the spectrum of a complex signal is a circle."""
    difference = np.abs(powers.bins - position)
    return difference if powers.real else np.minimum(difference, powers.n_samples - difference)


def far_from(powers: Powers, peaks: list[Peak]) -> NDArray[np.bool_]:
    """Return which bins lie far from all peaks."""
    allowed = np.ones(powers.bins.size, dtype=bool)
    for peak in peaks:
        allowed &= _distance(powers, peak.position) >= RESOLUTION
        allowed &= _distance(powers, peak.bin) >= RESOLUTION
    return allowed


def _amplitude(distance: Array, n_samples: int) -> NDArray[np.complex128]:
    """Return the amplitude that a tone of norm 1 has `distance` bins away: a geometric sum over the samples."""
    turn = np.pi * distance
    below = n_samples * np.sin(turn / n_samples)
    whole = np.abs(below) < 1e-12
    ratio = np.where(whole, 1.0, np.sin(turn) / np.where(whole, 1.0, below))
    return ratio * np.exp(-1j * turn * (n_samples - 1) / n_samples)


def _envelope(powers: Powers, peak: Peak) -> Array:
    """Return the largest amplitude that a tone can have in each bin, its mirror image included."""
    bins = powers.bins.astype(np.float64)
    found = np.abs(_amplitude(bins - peak.position, powers.n_samples))
    if powers.real:
        found = found + np.abs(_amplitude(bins + peak.position, powers.n_samples))
    return math.sqrt(peak.share) * found


def _skirts(powers: Powers, peaks: list[Peak]) -> Array:
    """Return the largest share that the tones can have in each bin."""
    return np.asarray(sum((_envelope(powers, peak) for peak in peaks), np.zeros(powers.bins.size)) ** 2)


def _background(powers: Powers, peaks: list[Peak], allowed: NDArray[np.bool_]) -> float:
    """Return the mean share of a bin beyond the skirts; rather too much than too little."""
    if not allowed.any():
        return 0.0
    mean = np.asarray(sum((_envelope(powers, peak) ** 2 for peak in peaks), np.zeros(powers.bins.size)))
    return float(np.maximum(powers.values / powers.scale - mean, 0.0)[allowed].mean())


def _clearest(powers: Powers, peaks: list[Peak], allowed: NDArray[np.bool_], background: float) -> tuple[int, float]:
    """Return the bin that stands out most, and how often white noise does as much somewhere."""
    n_bins = int(allowed.sum())
    sampled = powers.shots is not None
    values = powers.values[allowed]
    skirts = _skirts(powers, peaks)[allowed]
    noticed = values > (0.0 if sampled else _NOTHING)
    if not noticed.any() or background <= 0.0:
        return 0, 1.0
    total = background * n_bins * powers.scale
    chances = np.ones(n_bins)
    plain = skirts <= 0.01 * background
    chances[plain] = tail(values[plain], total, n_bins, sampled=sampled)
    if not plain.all():
        chances[~plain] = _tail_above(values[~plain], skirts[~plain], background, powers)
    chances[~noticed] = 1.0
    best = int(np.lexsort((-values, chances))[0])
    return int(np.flatnonzero(allowed)[best]), float(min(1.0, n_bins * chances[best]))


def _moments(skirts: Array, background: Array | float, powers: Powers) -> tuple[Array, Array]:
    """Return mean counts, and the shape of the gamma distribution of the intensity, of a steady tone in white noise.

    The intensity of a steady amplitude of power s in noise of power b has the mean s + b and the variance
    b^2 + 2 s b; a gamma distribution of the same two stands for it: exact for s = 0, and with a longer tail otherwise.
    """
    mean = skirts + background
    return powers.scale * mean, mean**2 / (background**2 + 2.0 * skirts * background)


def _tail_above(values: Array, skirts: Array, background: float, powers: Powers) -> Array:
    """Return the probability of `values` or more in bins that the skirts of known tones reach."""
    mean, shape = _moments(skirts, background, powers)
    if powers.shots is None:
        return special.gammaincc(shape, shape * values / mean)
    # Poisson counts of a gamma-distributed intensity: a negative binomial distribution.
    return np.where(values > 0, special.betainc(np.maximum(values, 1.0), shape, mean / (mean + shape)), 1.0)


def _log_likelihood(values: Array, tones: Array, background: Array, powers: Powers) -> Array:
    """Return the log-likelihood summed over the last axis."""
    mean, shape = _moments(tones, background, powers)
    if powers.shots is None:
        value = np.maximum(values, 1e-30)
        each = (
            shape * np.log(shape / mean) + (shape - 1) * np.log(value) - shape * value / mean - special.gammaln(shape)
        )
    else:
        each = special.gammaln(values + shape) - special.gammaln(shape) + special.xlogy(values, mean / (mean + shape))
        each = each - shape * np.log1p(mean / shape)
    return np.asarray(each.sum(axis=-1))


def _spread(places: Array, weights: Array, mean: float) -> float:
    """Return the standard deviation of a distribution, or what 99 % of it would need as a normal one, if that is more.

    Two solutions, one on each side of a bin, make a distribution with two peaks, which lies beyond 4 standard
    deviations more often than an error bar promises.
    """
    deviation = math.sqrt(float((weights * (places - mean) ** 2).sum()))
    cumulative = np.cumsum(weights)
    low, high = places[np.searchsorted(cumulative, (0.005, 0.995)).clip(max=places.size - 1)]
    return max(deviation, float(max(high - mean, mean - low)) / 2.576)


def _fit(powers: Powers, place: int, p_value: float, others: list[Peak], background: float) -> Peak:
    """Locate a tone from the five bins around the one that stands out.

    The posterior of the position (and, for a real signal, of the phase between a tone and its mirror image) on a grid
    that is refined until it resolves the posterior. The position is its mean and the error its spread: where the
    neighbours leave open on which side of the bin the tone lies, the error says so.
    """
    centre = int(powers.bins[place])
    near = np.flatnonzero(_distance(powers, centre) <= 2)
    bins, values = powers.bins[near].astype(np.float64), powers.values[near]
    noise = max(background, _FLOOR) + _skirts(powers, others)[near]
    strength = float(np.maximum((values / powers.scale - noise).sum(), 1e-13))

    def share_of(offset: Array, phase: Array) -> tuple[Array, Array]:
        amplitude = _amplitude(bins - centre - offset[..., np.newaxis], powers.n_samples)
        if powers.real:
            mirror = _amplitude(bins + centre + offset[..., np.newaxis], powers.n_samples)
            turn = np.exp(1j * phase)[..., np.newaxis]
            amplitude = turn * amplitude + mirror / turn
        kernel = np.abs(amplitude) ** 2
        return kernel, strength / kernel.sum(axis=-1)

    low, high = -1.0, 1.0
    phases = np.linspace(0.0, np.pi, _N_PHASES, endpoint=False) if powers.real else np.zeros(1)
    mean = error = share = 0.0
    for _ in range(40):
        grid, turned = np.meshgrid(np.linspace(low, high, _N_OFFSETS), phases, indexing="ij")
        kernel, shares = share_of(grid, turned)
        likelihood = _log_likelihood(values, shares[..., np.newaxis] * kernel, noise, powers)
        below = likelihood.max() - likelihood
        # A grid that is too coarse for the posterior is searched as if the data were worse, then refined.
        coarse = max(1.0, float(np.sort(below, axis=None)[_N_LIKELY * (4 if powers.real else 1)]) / 3.0)
        weights = np.exp(-below / coarse)
        weights /= weights.sum()
        mean = float((weights * grid).sum())
        error = _spread(grid[:, 0], weights.sum(axis=1), mean)
        share = float((weights * shares).sum())
        step = (high - low) / (_N_OFFSETS - 1)
        if coarse == 1.0 and error > 2.0 * step:
            break
        if step < 1e-12:
            break
        likely = weights > 1e-3 * weights.max()
        low, high = max(-1.0, float(grid[likely].min()) - step), min(1.0, float(grid[likely].max()) + step)
        if powers.real:
            turn = float(phases[1] - phases[0])
            # The phase is a circle: its range is cut down only where it does not reach around the end.
            reached = turned[likely]
            if reached.max() - reached.min() + 2 * turn < 0.9 * (phases[-1] - phases[0] + turn):
                phases = np.linspace(reached.min() - turn, reached.max() + turn, _N_PHASES)
    _, shape = _moments(share_of(np.array(mean), np.array(0.0))[0] * share, noise, powers)
    scatter = values**2 / shape + (values if powers.shots is not None else 0.0)
    share_error = math.sqrt(float(scatter.sum())) / powers.scale
    return replace(Peak(0.0, error, share, share_error, p_value, centre), position=centre + mean)
