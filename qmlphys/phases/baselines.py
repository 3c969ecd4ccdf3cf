"""What a network has to beat: the best cut in |m|, the best cut in the energy, and the Bayes limit.

The energy is a sufficient statistic for the temperature, P(s | T) = exp(-E(s) / T) / Z(T): whatever a snapshot says
about its temperature it says through E. No learner that labels snapshots by their temperature can be better than the
best function of E, and since P(E | T') / P(E | T) is monotone in E that function is a threshold. A network above the
Bayes limit has seen the test data; one below the |m| line has learned less than a single number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy.special import logsumexp, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from qmlphys._alphabet import find_alphabet, to_spins
from qmlphys._groups import check_parameter
from qmlphys.lattices import Lattice
from qmlphys.phases.curves import mean_curve
from qmlphys.stats import Estimate

__all__ = ["CutClassifier", "accuracy", "bayes_limit", "report"]

_Floats = npt.NDArray[np.float64]

# Newton's method on the multiple-histogram equations: steps, largest residual share, shortest step of the line search.
_MAX_NEWTON = 100
_CONVERGED = 1e-8
_SHORTEST_STEP = 1e-6


@njit(cache=True)
def _bonds(X, edges, sums):  # type: ignore[no-untyped-def]
    for row in range(X.shape[0]):
        x = X[row]
        total = 0.0
        for edge in range(edges.shape[0]):
            total += x[edges[edge, 0]] * x[edges[edge, 1]]
        sums[row] = total


class CutClassifier(ClassifierMixin, BaseEstimator):
    """Classify snapshots by one threshold on one physical quantity; the threshold with the most training rows right.

    Parameters
    ----------
    statistic : {"magnetization", "energy"}
        |m|, the absolute mean of the spins; or the energy per site at J = 1, -sum over edges of s_i s_j / n_sites.
    lattice : Lattice, optional
        Whose edges carry the energy; None is a ring of all sites.

    Attributes
    ----------
    threshold_ : float
        Where the quantity is cut: half way between the neighbouring training values.
    sign_ : int
        +1 if `classes_[1]` lies above the threshold, -1 if below.
    classes_ : ndarray of shape (2,)
        Labels, sorted.
    n_features_in_ : int
        Number of sites.

    Examples
    --------
    >>> X = np.array([[1, 1, 1, 1], [-1, -1, -1, -1], [1, -1, 1, -1], [-1, 1, 1, -1]])
    >>> CutClassifier("magnetization").fit(X, [1, 1, 0, 0]).predict(X).tolist()
    [1, 1, 0, 0]
    """

    def __init__(
        self, statistic: Literal["magnetization", "energy"] = "magnetization", *, lattice: Lattice | None = None
    ) -> None:
        self.statistic = statistic
        self.lattice = lattice

    def fit(self, X: Any, y: Any) -> Self:
        """Find the threshold.

        Parameters
        ----------
        X : array_like of shape (n, n_sites)
            Snapshots (or any finite numbers).
        y : array_like of shape (n,)
            Labels of two classes.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If y does not hold two classes, or an argument does not fit.
        """
        X, y = validate_data(self, X, y, dtype="numeric")
        check_classification_targets(y)
        y = column_or_1d(y, warn=True)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) > 2:
            raise ValueError(f"Only binary classification is supported. The type of the target is {type_of_target(y)}.")
        if len(self.classes_) < 2:
            raise ValueError(f"Argument `y` must hold two classes, but it holds one class only: {self.classes_[0]!r}.")
        self.alphabet_ = find_alphabet(X)
        self.threshold_, self.sign_ = _best_cut(self._measure(X), labels)
        return self

    def decision_function(self, X: Any) -> _Floats:
        """Return how far the quantity lies on the side of `classes_[1]`, shape (n,)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype="numeric")
        return self.sign_ * (self._measure(X) - self.threshold_)

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the label of each row, shape (n,)."""
        above = self.decision_function(X) > 0
        return self.classes_[above.astype(np.intp)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        # One number of physics is no good on tables whose columns are not sites.
        tags.classifier_tags.poor_score = True
        return tags

    def _measure(self, X: npt.NDArray[Any]) -> _Floats:
        X = to_spins(X, self.alphabet_)
        n_sites = X.shape[1]
        if self.statistic == "magnetization":
            return np.abs(X.mean(axis=1, dtype=np.float64))
        if self.statistic != "energy":
            raise ValueError(f"Argument `statistic` must be 'magnetization' or 'energy', but it is {self.statistic!r}.")
        if self.lattice is None:
            edges = np.column_stack([np.arange(n_sites), (np.arange(n_sites) + 1) % n_sites])
        elif self.lattice.n_sites == n_sites:
            edges = np.array(self.lattice.edges)
        else:
            raise ValueError(
                f"Argument `lattice` must have one site a column of X ({n_sites}), but {self.lattice.label} has "
                f"{self.lattice.n_sites}."
            )
        bonds = np.empty(len(X))
        _bonds(np.ascontiguousarray(X, dtype=None if X.dtype == np.int8 else np.float64), edges, bonds)
        return -bonds / n_sites


def _best_cut(x: _Floats, labels: npt.NDArray[np.intp]) -> tuple[float, int]:
    """Return threshold and side (+1: class 1 above) with the most rows right; the middle one of equals."""
    levels, level = np.unique(x, return_inverse=True)
    edges = np.concatenate(([levels[0] - 1], (levels[1:] + levels[:-1]) / 2, [levels[-1] + 1]))
    # Right answers of "class 1 above edges[k]", up to a constant: class 0 at or below counts for it, class 1 against.
    gain = np.concatenate(([0], np.cumsum(np.bincount(level, weights=1.0 - 2.0 * labels))))
    n_ones = int(labels.sum())
    n_zeros = len(labels) - n_ones
    # The other side has right what this one has wrong.
    sign = 1 if gain.max() + n_ones >= n_zeros - gain.min() else -1
    best = np.flatnonzero(sign * gain == (sign * gain).max())
    return float(edges[best[len(best) // 2]]), sign


def accuracy(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    parameter: npt.ArrayLike | None = None,
) -> Estimate:
    """Return the share of right answers with its error.

    Parameters
    ----------
    y_true, y_pred : array_like of shape (n,)
        Labels.
    groups : array_like of shape (n,), optional
        Independent group (chain) of each row; without it every row counts as independent.
    parameter : array_like of shape (n,), optional
        Control parameter of each row. A scan's values are chosen, not drawn, so their differences are then no part of
        the error.

    Returns
    -------
    Estimate
        Accuracy and its standard error (nan if a value of the parameter has a single group).

    Raises
    ------
    ValueError
        If lengths differ.

    Examples
    --------
    >>> print(accuracy([0, 0, 1, 1], [0, 1, 1, 1]))
    0.8(2)
    """
    truth, answer = np.asarray(y_true), np.asarray(y_pred)
    if truth.ndim != 1 or truth.shape != answer.shape:
        raise ValueError(
            f"Arguments `y_true` and `y_pred` must be lists of one length, but their shapes are {truth.shape} and "
            f"{answer.shape}."
        )
    return _mean((truth == answer).astype(np.float64), groups, parameter)


def _mean(values: _Floats, groups: npt.ArrayLike | None, parameter: npt.ArrayLike | None) -> Estimate:
    """Return the mean over rows; groups scatter within each value of the parameter."""
    curve = mean_curve(values, np.zeros(len(values)) if parameter is None else parameter, groups=groups)
    share = curve["n_rows"].values / len(values)
    return Estimate(float(share @ curve["mean"].values), float(np.sqrt(share**2 @ curve["error"].values ** 2)))


def bayes_limit(
    energy: npt.ArrayLike,
    temperature: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    log_partition: npt.ArrayLike | None = None,
) -> Estimate:
    """Return the best accuracy any classifier can have on snapshots that are labelled by their temperature.

    With n_T rows at temperature T, the probability that a snapshot of energy E has label 1 is the sum of
    n_T exp(-E/T)/Z(T) over the temperatures of label 1, divided by the sum over all. The limit is the mean of
    max(p, 1 - p): it is averaged over the measured energies only, not over right and wrong answers, and is therefore
    less noisy than any counted accuracy. For exact distributions of the energy, see `confusion.exact_indicator`.

    Parameters
    ----------
    energy : array_like of shape (n,)
        *Total* energy of each row, in the units of the temperature.
    temperature : array_like of shape (n,)
        Temperature of each row, > 0, in units of J / k_B.
    y : array_like of shape (n,)
        Label of each row, two classes; it must be a function of the temperature.
    groups : array_like of shape (n,), optional
        Independent group (chain) of each row.
    log_partition : array_like of shape (n_temperatures,), optional
        ln Z at the different temperatures, in increasing order, up to a common constant. By default it is found from
        the energies of all temperatures together (the multiple-histogram equations).

    Returns
    -------
    Estimate
        The limit and its statistical error.

    Raises
    ------
    ValueError
        If shapes differ, a temperature is not positive, or rows of one temperature have different labels.

    References
    ----------
    A. M. Ferrenberg and R. H. Swendsen, Phys. Rev. Lett. 63, 1195 (1989), for the multiple-histogram equations.
    J. Arnold and F. Schäfer, Phys. Rev. X 12, 031044 (2022), for optimal predictors in phase learning.

    Examples
    --------
    >>> limit = bayes_limit([0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 2.0, 2.0], [1, 1, 0, 0], log_partition=[0.0, 0.0])
    >>> round(limit.mean, 3)  # (max(1, 1) / 2 + max(e^-1, e^-1/2) / (e^-1 + e^-1/2)) / 2
    0.561
    """
    E = np.asarray(energy, dtype=np.float64)
    if E.ndim != 1 or E.size == 0 or not np.isfinite(E).all():
        raise ValueError(
            f"Argument `energy` must be a list of finite numbers, but its shape is {E.shape} or some are not."
        )
    T = check_parameter(temperature, E)
    if T.min() <= 0:
        raise ValueError(f"Argument `temperature` must be positive, but its smallest value is {T.min():g}.")
    classes, labels = np.unique(column_or_1d(y), return_inverse=True)
    check_consistent_length(E, labels)
    if len(classes) != 2:
        raise ValueError(f"Argument `y` must hold two classes, but it holds {len(classes)}.")
    values, place = np.unique(T, return_inverse=True)
    ordered = np.bincount(place, weights=labels) / np.bincount(place)
    if not np.isin(ordered, (0.0, 1.0)).all():
        mixed = values[(ordered > 0) & (ordered < 1)][0]
        raise ValueError(f"Argument `y` must be a function of the temperature, but rows at T = {mixed:g} differ.")
    levels, level = np.unique(E, return_inverse=True)
    log_share = np.log(np.bincount(place) / len(E))
    if log_partition is None:
        mean_energy = np.bincount(place, weights=E) / np.bincount(place)
        weight = np.bincount(level) / len(E)
        log_z = _multiple_histograms(levels, weight, 1 / values, mean_energy, np.exp(log_share))
    else:
        log_z = np.asarray(log_partition, dtype=np.float64)
        if log_z.shape != values.shape or not np.isfinite(log_z).all():
            raise ValueError(
                f"Argument `log_partition` must be one finite number for each of the {len(values)} temperatures, but "
                f"it is {log_partition!r}."
            )
    log_joint = log_share - log_z - levels[:, None] / values
    log_ordered = logsumexp(log_joint[:, ordered == 1], axis=1) - logsumexp(log_joint, axis=1)
    p = np.exp(np.minimum(log_ordered, 0.0))
    return _mean(np.maximum(p, 1 - p)[level], groups, values[place])


def _multiple_histograms(levels: _Floats, weight: _Floats, beta: _Floats, energy: _Floats, share: _Floats) -> _Floats:
    """Solve the multiple-histogram equations for ln Z at every temperature.

    They say that the gradient of a convex function of f = -ln Z vanishes: the mean over all rows of the logarithm of
    sum_k share_k exp(f_k - beta_k E), less sum_k share_k f_k. Newton's method finds it in a few steps.
    """

    def value(f: _Floats) -> float:
        return float(weight @ logsumexp(np.log(share) + f - levels[:, None] * beta, axis=1) - share @ f)

    # Thermodynamic integration, d ln Z / d beta = -<E>, starts it near the solution.
    f = np.concatenate(([0.0], np.cumsum(np.diff(beta) * (energy[1:] + energy[:-1]) / 2)))
    for _ in range(_MAX_NEWTON):
        p = softmax(np.log(share) + f - levels[:, None] * beta, axis=1)
        mean = weight @ p
        gradient = mean - share
        if np.abs(gradient).max() < _CONVERGED:
            return -f
        hessian = np.diag(mean) - (p * weight[:, None]).T @ p
        # A common constant in f is free, and so are constants between temperatures whose energies do not overlap.
        step = -np.linalg.pinv(hessian, rcond=1e-10, hermitian=True) @ gradient
        before, length = value(f), 1.0
        while value(f + length * step) > before and length > _SHORTEST_STEP:
            length /= 2
        f = f + length * step
    raise ValueError(
        f"Argument `energy` must sample overlapping distributions at neighbouring temperatures, but ln Z did not "
        f"converge in {_MAX_NEWTON} steps (residual {np.abs(gradient).max():.1e}): give a denser grid, or "
        f"`log_partition`."
    )


def report(
    classifiers: Mapping[str, Any],
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    groups: npt.ArrayLike | None = None,
    parameter: npt.ArrayLike | None = None,
    energy: npt.ArrayLike | None = None,
) -> dict[str, Estimate]:
    """Judge fitted classifiers on the same snapshots, beside the Bayes limit.

    Parameters
    ----------
    classifiers : mapping of str to estimator
        Fitted; anything with `predict`, networks and `CutClassifier` alike.
    X : array_like of shape (n, n_sites)
        Held-out snapshots.
    y : array_like of shape (n,)
        Their labels.
    groups : array_like of shape (n,), optional
        Independent group (chain) of each row.
    parameter : array_like of shape (n,), optional
        Temperature of each row; needed for the Bayes limit.
    energy : array_like of shape (n,), optional
        Total energy of each row. If given, the Bayes limit is the last entry.

    Returns
    -------
    dict of str to Estimate
        Accuracies in the order given.

    Raises
    ------
    ValueError
        If energies are given without temperatures.

    Examples
    --------
    >>> X = np.array([[1, 1, 1, 1], [-1, -1, -1, -1], [1, -1, 1, -1], [-1, 1, 1, -1]])
    >>> cut = CutClassifier().fit(X, [1, 1, 0, 0])
    >>> report({"|m| cut": cut}, X, [1, 1, 0, 0])["|m| cut"].mean
    1.0
    """
    table = {
        name: accuracy(y, learner.predict(X), groups=groups, parameter=parameter)
        for name, learner in classifiers.items()
    }
    if energy is not None:
        if parameter is None:
            raise ValueError("Argument `parameter` must hold the temperatures if energies are given, but it is None.")
        table["Bayes limit"] = bayes_limit(energy, parameter, y, groups=groups)
    return table
