"""The W curve of learning by confusion: its cuts, its errors and its interior maximum."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.signal import find_peaks

from qmlphys._groups import bootstrap_weights

__all__ = ["Curve", "bin_means", "check_splits", "interior_maximum", "measure", "midpoints", "replicas"]

Floats = npt.NDArray[np.float64]

# The peak is fitted where it stands out by more than this part of its prominence; the others measure the choice.
_DEPTH = 0.6
_OTHER_DEPTHS = (0.4, 0.8)
# A peak counts if it stands out from the minima on both sides by this many standard errors: many, since the largest of
# a hundred differences is looked at.
_SIGNIFICANCE = 4.0


class Curve(NamedTuple):
    """A measured W curve with its errors and its interior maximum (nan if none stands out)."""

    indicator: Floats
    error: Floats
    critical_point: float
    critical_point_error: float


def midpoints(parameter: Floats, n_splits: int) -> Floats:
    """Return at most n_splits cuts half way between neighbouring parameter values."""
    levels = np.unique(parameter)
    if len(levels) < 2:
        raise ValueError(f"Argument `y` must hold at least 2 different parameter values, but all are {levels[0]}.")
    middles = (levels[1:] + levels[:-1]) / 2
    if n_splits >= len(middles):
        return middles
    # Centres of equal parts of the list, so that a single cut lies in the middle.
    return middles[((np.arange(n_splits) + 0.5) * len(middles) / n_splits).astype(int)]


def check_splits(splits: npt.ArrayLike, parameter: Floats) -> Floats:
    """Return the splits as float64, checked to increase and to leave data on both sides of each."""
    cuts = np.asarray(splits, dtype=np.float64)
    if cuts.ndim != 1 or cuts.size == 0 or not np.isfinite(cuts).all() or (np.diff(cuts) <= 0).any():
        raise ValueError(f"Argument `splits` must be a list of finite, increasing numbers, but is {splits!r}.")
    low, high = float(parameter.min()), float(parameter.max())
    if not (low < cuts[0] and cuts[-1] < high):
        raise ValueError(
            f"Argument `splits` must lie strictly between the smallest and the largest parameter, {low} and {high}, "
            f"but runs from {cuts[0]} to {cuts[-1]}."
        )
    return cuts


def bin_means(parameter: Floats, splits: Floats) -> Floats:
    """Return the mean parameter between neighbouring cuts, (n_splits + 1,); the middle where there are no rows."""
    middle = np.concatenate(([parameter.min()], (splits[1:] + splits[:-1]) / 2, [parameter.max()]))
    place = np.searchsorted(splits, parameter)
    counts = np.bincount(place, minlength=len(middle))
    sums = np.bincount(place, weights=parameter, minlength=len(middle))
    return np.where(counts > 0, sums / np.maximum(counts, 1), middle)


def measure(
    correct: npt.NDArray[np.bool_],
    parameter: Floats,
    indices: npt.NDArray[np.intp],
    splits: Floats,
    *,
    n_resamples: int,
    rng: np.random.Generator,
) -> Curve:
    """Return the W curve from which rows each of several trainings got right, (n_trainings, n_rows, n_splits).

    The bootstrap over groups is joined with the scatter of the trainings about their mean. Its own noise of
    1 / sqrt(2 n_resamples) is that of the error.
    """
    curves = correct.mean(axis=1)
    mean = curves.mean(axis=0)
    n_trainings = len(correct)
    indices = np.unique(indices, return_inverse=True)[1]
    if indices.max() < 1:
        return Curve(mean, np.full(len(splits), np.nan), math.nan, math.nan)
    weights = bootstrap_weights(indices, parameter, n_resamples, rng)
    each = [replicas(item, indices, weights) for item in correct]
    resampled = np.mean(each, axis=0)
    variance = resampled.var(axis=0, ddof=1)
    place, error = interior_maximum(splits, mean, resampled)
    if n_trainings > 1:
        variance += curves.var(axis=0, ddof=1) / n_trainings
        # A training without a maximum of its own makes the error nan: none could speak for it.
        places = [interior_maximum(splits, curve, own)[0] for curve, own in zip(curves, each, strict=True)]
        error = math.hypot(error, float(np.std(places, ddof=1)) / math.sqrt(n_trainings))
    return Curve(mean, np.sqrt(variance), place, error)


def replicas(correct: npt.NDArray[np.bool_], indices: npt.NDArray[np.intp], weights: Floats) -> Floats:
    """Return the resampled curves (n_resamples, n_splits) from which rows were right (n, n_splits)."""
    order = np.argsort(indices, kind="stable")
    sizes = np.bincount(indices)
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    right = np.add.reduceat(correct[order].astype(np.int32), starts, axis=0)
    return (weights @ right) / (weights @ sizes)[:, None]


def interior_maximum(splits: Floats, curve: Floats, resampled: Floats) -> tuple[float, float]:
    """Return position and error of the maximum of the W between its two minima; nan if none stands out.

    A cubic through the upper part of the peak is maximised. The error joins the scatter over the resampled curves with
    half the range over windows of other depths and with the spacing of the cuts.
    """
    peak = _peak(curve, resampled)
    if peak is None:
        return math.nan, math.nan
    centre, left, right = peak
    base = max(curve[left], curve[right])
    places = []
    for depth in (_DEPTH, *_OTHER_DEPTHS):
        window = _window(curve, centre, left, right, curve[centre] - depth * (curve[centre] - base))
        both = _vertices(splits[window], np.concatenate((curve[None, window], resampled[:, window])))
        places.append(both)
    scatter = float(places[0][1:].std(ddof=1))
    form = float(np.ptp([place[0] for place in places])) / 2
    # Between two cuts a distance h apart the curve is not known: the variance of a uniform distribution, h^2 / 12.
    grid = float(np.diff(splits)[max(centre - 1, 0) : centre + 1].mean()) / math.sqrt(12)
    return float(places[0][0]), math.hypot(scatter, form, grid)


def _peak(curve: Floats, resampled: Floats) -> tuple[int, int, int] | None:
    """Return the indices of the most prominent interior peak and of the minima beside it."""
    peaks, properties = find_peaks(curve, prominence=0)
    for candidate in np.argsort(properties["prominences"])[::-1]:
        centre = int(peaks[candidate])
        left = int(properties["left_bases"][candidate])
        right = int(properties["right_bases"][candidate])
        rises = curve[centre] - curve[[left, right]]
        noise = (resampled[:, [centre]] - resampled[:, [left, right]]).std(axis=0, ddof=1)
        if (rises > _SIGNIFICANCE * noise).all() and (rises > 0).all():
            return centre, left, right
    return None


def _window(curve: Floats, centre: int, left: int, right: int, level: float) -> npt.NDArray[np.intp]:
    """Return the points around the centre that lie above the level, and at least five where the curve has them."""
    low, high = centre, centre
    while low > left and curve[low - 1] > level:
        low -= 1
    while high < right and curve[high + 1] > level:
        high += 1
    while high - low < 4 and (low > left or high < right):
        low, high = max(low - 1, left), min(high + 1, right)
    return np.arange(low, high + 1)


def _vertices(x: Floats, curves: Floats) -> Floats:
    """Return where polynomials through the curves (n_curves, n_points) are largest, within the window."""
    middle, half = (x[0] + x[-1]) / 2, (x[-1] - x[0]) / 2
    t = (x - middle) / half
    degree = 3 if len(x) > 5 else 2
    powers = np.vander(t, 4)[:, 3 - degree :]
    fitted = np.linalg.pinv(powers) @ curves.T
    a = fitted[0] if degree == 3 else np.zeros(curves.shape[0])
    b, c = fitted[-3], fitted[-2]
    discriminant = b**2 - 3 * a * c
    # The root of 3 a t^2 + 2 b t + c with a negative second derivative, in the form without cancellation for b < 0.
    denominator = -b + np.sqrt(np.maximum(discriminant, 0))
    vertex = np.divide(c, denominator, out=np.full(len(c), np.nan), where=denominator > 0)
    grid = np.linspace(-1, 1, 201)
    highest = grid[np.argmax(np.vander(grid, 4)[:, 3 - degree :] @ fitted, axis=0)]
    inside = (discriminant > 0) & (np.abs(vertex) <= 1)
    return middle + half * np.where(inside, vertex, highest)
