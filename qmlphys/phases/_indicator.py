"""The W curve of learning by confusion: its interior maximum with an error, and the best curve any learner can reach."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import find_peaks
from sklearn.isotonic import isotonic_regression

from qmlphys.phases._groups import bootstrap_weights, check_parameter, group_indices, hold_out

__all__ = ["OptimalIndicator", "check_splits", "exact_indicator", "interior_maximum", "optimal_indicator", "replicas"]

Floats = npt.NDArray[np.float64]

# The peak is fitted where it stands out by more than this part of its prominence; the others measure the choice.
_DEPTH = 0.5
_OTHER_DEPTHS = (0.35, 0.7)
# A peak counts if it stands out from the minima on both sides by this many standard errors.
_SIGNIFICANCE = 3.0


@dataclass(frozen=True)
class OptimalIndicator:
    """The best W curve on given snapshots and the classifier that reaches it.

    Parameters
    ----------
    splits : ndarray of shape (n_splits,)
        Where the parameter range is cut in two.
    indicator : ndarray of shape (n_splits,)
        Accuracy of the best classifier for each cut, between 1/2 and 1.
    indicator_error : ndarray of shape (n_splits,)
        Standard errors (bootstrap over groups); strongly correlated between neighbours.
    thresholds : ndarray of shape (n_splits,)
        Value of the statistic above (below, if it falls with the parameter) which a snapshot is said to lie above the cut.
    critical_point : float
        Interior maximum of the W; nan if there is none that stands out.
    critical_point_error : float
        Its standard error.
    """

    splits: Floats
    indicator: Floats
    indicator_error: Floats
    thresholds: Floats
    critical_point: float
    critical_point_error: float


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


def exact_indicator(
    probability: npt.ArrayLike,
    parameter: npt.ArrayLike,
    *,
    splits: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
) -> Floats:
    """Return the best possible W curve in closed form, from the distribution of a sufficient statistic.

    For a cut s the best classifier names the more probable side, so that W(s) is the sum over outcomes x of
    max(sum over p < s of w_p P(x | p), sum over p > s of w_p P(x | p)), with the shares w_p of the parameter values.

    Parameters
    ----------
    probability : array_like of shape (n_values, n_outcomes)
        P(x | p): one normalised distribution a parameter value; for the Ising model that of the energy.
    parameter : array_like of shape (n_values,)
        Parameter values, in any unit.
    splits : array_like of shape (n_splits,)
        Where the parameter range is cut in two, increasing, strictly inside it.
    weights : array_like of shape (n_values,), optional
        Share of each parameter value among the snapshots, >= 0; equal by default.

    Returns
    -------
    ndarray of shape (n_splits,)
        W, between 1/2 and 1.

    Raises
    ------
    ValueError
        If a distribution is not normalised, shapes disagree, or splits lie outside.

    References
    ----------
    J. Arnold and F. Schäfer, Phys. Rev. X 12, 031044 (2022) (optimal indicator of learning by confusion).

    Examples
    --------
    >>> exact_indicator([[0.9, 0.1], [0.2, 0.8]], [1.0, 2.0], splits=[1.5])
    array([0.85])
    """
    table = np.asarray(probability, dtype=np.float64)
    values = np.asarray(parameter, dtype=np.float64)
    if table.ndim != 2 or values.shape != table.shape[:1]:
        raise ValueError(
            f"Argument `probability` must have one row a parameter value, but the shapes are {table.shape} and {values.shape}."
        )
    if not (np.isfinite(table).all() and (table >= 0).all() and np.allclose(table.sum(axis=1), 1, rtol=0, atol=1e-9)):
        raise ValueError("Argument `probability` must hold distributions, but a row is negative, not finite or not of sum 1.")
    share = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    if share.shape != values.shape or not (np.isfinite(share).all() and (share >= 0).all() and share.sum() > 0):
        raise ValueError(f"Argument `weights` must be one number >= 0 a parameter value, but is {weights!r}.")
    cuts = check_splits(splits, values)
    joint = table * (share / share.sum())[:, None]
    below = (values < cuts[:, None]).astype(np.float64) @ joint
    return np.maximum(below, joint.sum(axis=0) - below).sum(axis=1)


def optimal_indicator(
    statistic: npt.ArrayLike,
    parameter: npt.ArrayLike,
    *,
    splits: npt.ArrayLike,
    groups: npt.ArrayLike | None = None,
    held_out: npt.ArrayLike | None = None,
    n_resamples: int = 200,
    rng: int | np.random.Generator | None = None,
) -> OptimalIndicator:
    """Return the best W curve on given snapshots, from a sufficient statistic with a monotone likelihood ratio.

    The energy of a classical model is such a statistic for the temperature: P(s | T) is exp(-E(s)/T) / Z(T), so whatever
    a snapshot says of T it says through E, and P(E | T') / P(E | T) is monotone in E. The Bayes classifier for any cut of
    the scan is then a threshold on E. Thresholds are learnt on other rows than those they are judged on, so the
    curve is not flattered by noise; any other statistic gives a lower curve, and is answered all the same.

    W is the accuracy over the snapshots as they were sampled, every row with the same weight. Near the ends of the scan it
    tends to the share of the larger side and says nothing. The interior maximum is at a finite size not the critical
    temperature, even with the exact energy: it lies where the distributions of E change fastest over the given scan.

    Parameters
    ----------
    statistic : array_like of shape (n,)
        Energy of each snapshot (total or per site, one lattice size only).
    parameter : array_like of shape (n,)
        Parameter of each snapshot.
    splits : array_like of shape (n_splits,)
        Where the parameter range is cut in two, increasing, strictly inside it.
    groups : array_like of shape (n,), optional
        Independent chain of each row. Without them every row counts as independent.
    held_out : array_like of bool, shape (n,), optional
        Rows to judge on, such as `ConfusionScheme.held_out_`; thresholds come from the others. By default both halves of
        the groups are judged with thresholds from the other half.
    n_resamples : int
        Resamples of the bootstrap over groups, >= 2.
    rng : None, int or Generator
        Random numbers of the bootstrap and of the halves.

    Returns
    -------
    OptimalIndicator
        Curve, errors, thresholds (with halves, the mean of both) and the interior maximum.

    Raises
    ------
    ValueError
        If shapes disagree, numbers are not finite, splits lie outside, or there are too few groups.

    References
    ----------
    J. Arnold and F. Schäfer, Phys. Rev. X 12, 031044 (2022).

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> parameter = np.repeat(np.linspace(0, 1, 21), 50)
    >>> statistic = (parameter > 0.5) + 0.1 * generator.normal(size=parameter.size)
    >>> optimum = optimal_indicator(statistic, parameter, splits=np.linspace(0.1, 0.9, 17), rng=0)
    >>> round(optimum.critical_point, 1), bool(optimum.indicator[8] > 0.99)
    (0.5, True)
    """
    x = np.asarray(statistic, dtype=np.float64)
    if x.ndim != 1 or x.size == 0 or not np.isfinite(x).all():
        raise ValueError(f"Argument `statistic` must be a list of finite numbers, but its shape is {x.shape} or some are not.")
    values = check_parameter(parameter, x)
    cuts = check_splits(splits, values)
    indices = group_indices(groups, len(values))
    generator = np.random.default_rng(rng)
    if held_out is None:
        mask = hold_out(indices, values, 0.5, generator)
        parts = [mask, ~mask]
    else:
        mask = np.asarray(held_out)
        if mask.dtype != np.bool_ or mask.shape != x.shape or mask.all() or not mask.any():
            raise ValueError("Argument `held_out` must be a mask, one bool a row, that is neither all True nor all False.")
        parts = [mask]
    # A statistic that falls with the parameter is turned round.
    sign = -1.0 if np.sum((values - values.mean()) * (x - x.mean())) < 0 else 1.0
    above = values[:, None] > cuts
    correct = np.zeros((len(x), len(cuts)), dtype=bool)
    found = []
    for part in parts:
        thresholds = _thresholds(sign * x[~part], above[~part])
        correct[part] = (sign * x[part, None] > thresholds) == above[part]
        found.append(sign * thresholds)
    judged = np.logical_or.reduce(parts)
    indices = np.unique(indices[judged], return_inverse=True)[1]
    weights = bootstrap_weights(indices, values[judged], n_resamples, generator)
    resampled = replicas(correct[judged], indices, weights)
    curve = correct[judged].mean(axis=0)
    place, error = interior_maximum(cuts, curve, resampled)
    return OptimalIndicator(cuts, curve, resampled.std(axis=0, ddof=1), np.mean(found, axis=0), place, error)


def _thresholds(x: Floats, above: npt.NDArray[np.bool_]) -> Floats:
    """Return for each cut the threshold with the most rows right: `above` if x lies above it.

    Better thresholds for larger cuts are never smaller (the likelihood ratio is monotone), which a monotone regression
    imposes: it averages over the noise of the single maxima.
    """
    levels, level = np.unique(x, return_inverse=True)
    edges = np.concatenate(([levels[0] - 1], (levels[1:] + levels[:-1]) / 2, [levels[-1] + 1]))
    order = np.argsort(level, kind="stable")
    last = np.cumsum(np.bincount(level))
    thresholds = np.empty(above.shape[1])
    for k in range(above.shape[1]):
        # Rows at or below the threshold are right if they lie below the cut; the constant number above is left out.
        gain = np.concatenate(([0], np.cumsum(np.where(above[order, k], -1, 1))[last - 1]))
        best = np.flatnonzero(gain == gain.max())
        thresholds[k] = edges[best[len(best) // 2]]
    return isotonic_regression(thresholds)


def replicas(correct: npt.NDArray[np.bool_], indices: npt.NDArray[np.intp], weights: Floats) -> Floats:
    """Return the resampled curves (n_resamples, n_splits) from which rows were right (n, n_splits)."""
    order = np.argsort(indices, kind="stable")
    sizes = np.bincount(indices)
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    right = np.add.reduceat(correct[order].astype(np.int32), starts, axis=0)
    return (weights @ right) / (weights @ sizes)[:, None]


def interior_maximum(splits: Floats, curve: Floats, resampled: Floats) -> tuple[float, float]:
    """Return position and error of the maximum of the W between its two minima; nan if none stands out.

    A cubic through the upper half of the peak is maximised. The error joins the scatter over the resampled curves with half the
    range over windows of other depths.
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
    return float(places[0][0]), math.hypot(scatter, form)


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
    # The root of 3 a t^2 + 2 b t + c at which the second derivative is negative, in the form without cancellation for b < 0.
    denominator = -b + np.sqrt(np.maximum(discriminant, 0))
    vertex = np.divide(c, denominator, out=np.full(len(c), np.nan), where=denominator > 0)
    grid = np.linspace(-1, 1, 201)
    highest = grid[np.argmax(np.vander(grid, 4)[:, 3 - degree :] @ fitted, axis=0)]
    inside = (discriminant > 0) & (np.abs(vertex) <= 1)
    return middle + half * np.where(inside, vertex, highest)
