"""The best W curve that any learner can reach, from a sufficient statistic or in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.isotonic import isotonic_regression

from qmlphys._groups import check_parameter, group_indices, hold_out
from qmlphys.phases._indicator import check_splits, measure

__all__ = ["OptimalIndicator", "exact_indicator", "optimal_indicator"]

Floats = npt.NDArray[np.float64]


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
        Value of the statistic beyond which a snapshot is said to lie above the cut (below which, if the statistic falls
        with the parameter).
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
            f"Argument `probability` must have one row a parameter value, but the shapes are {table.shape} and "
            f"{values.shape}."
        )
    if not (np.isfinite(table).all() and (table >= 0).all() and np.allclose(table.sum(axis=1), 1, rtol=0, atol=1e-9)):
        raise ValueError(
            "Argument `probability` must hold distributions, but a row is negative, not finite or not of sum 1."
        )
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

    The energy of a classical model is such a statistic for the temperature: P(s | T) is exp(-E(s)/T) / Z(T), so
    whatever a snapshot says of T it says through E, and P(E | T') / P(E | T) is monotone in E. The Bayes classifier for
    any cut of the scan is then a threshold on E. Thresholds are learnt on other rows than those they are judged on, so
    the curve is not flattered by noise; any other statistic gives a lower curve, and is answered all the same.

    W is the accuracy over the snapshots as they were sampled, every row with the same weight. Near the ends of the scan
    it tends to the share of the larger side and says nothing. The interior maximum is at a finite size not the critical
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
        Rows to judge on, such as `ConfusionScheme.held_out_`; thresholds come from the others. By default each half of
        the groups is judged with thresholds from the other half.
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
        raise ValueError(
            f"Argument `statistic` must be a list of finite numbers, but its shape is {x.shape} or some are not."
        )
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
            raise ValueError(
                "Argument `held_out` must be a mask, one bool a row, that is neither all True nor all False."
            )
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
    curve = measure(
        correct[None, judged], values[judged], indices[judged], cuts, n_resamples=n_resamples, rng=generator
    )
    return OptimalIndicator(
        cuts, curve.indicator, curve.error, np.mean(found, axis=0), curve.critical_point, curve.critical_point_error
    )


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
