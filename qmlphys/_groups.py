"""Independent groups of rows (Monte Carlo chains): checks, the inner split and bootstrap weights."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_consistent_length, column_or_1d

__all__ = ["bootstrap_weights", "check_parameter", "group_indices", "hold_out"]


def check_parameter(parameter: npt.ArrayLike, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the parameter as float64 of shape (n,), checked to be real, finite and of one value a row."""
    values = column_or_1d(parameter, warn=True)
    if values.dtype.kind not in "biuf":
        if values.dtype.kind != "O":
            raise TypeError(f"Argument `parameter` must hold real numbers, but its dtype is {values.dtype}.")
        values = values.astype(np.float64)
    check_consistent_length(X, values)
    if not np.isfinite(values).all():
        n_bad = int(np.count_nonzero(~np.isfinite(values)))
        raise ValueError(f"Argument `parameter` must be finite, but {n_bad} of {len(values)} values are NaN or inf.")
    return values.astype(np.float64)


def group_indices(groups: npt.ArrayLike | None, n_rows: int) -> npt.NDArray[np.intp]:
    """Return the group of each row as 0 .. n_groups - 1; without groups every row stands for itself."""
    if groups is None:
        return np.arange(n_rows)
    labels = column_or_1d(groups)
    if len(labels) != n_rows:
        raise ValueError(f"Argument `groups` must have one entry a row ({n_rows}), but has {len(labels)}.")
    return np.unique(labels, return_inverse=True)[1]


def hold_out(
    indices: npt.NDArray[np.intp],
    parameter: npt.NDArray[np.float64],
    fraction: float,
    rng: np.random.Generator,
) -> npt.NDArray[np.bool_]:
    """Pick whole groups, spread evenly over the parameter, and return the mask of their rows.

    Groups are put in the order of their parameter, ties shuffled, and taken at a constant stride: chains at one
    temperature are divided as evenly as their number allows, and a scan with one chain a temperature is thinned.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"A held-out fraction must lie between 0 and 1, but is {fraction}.")
    place = np.bincount(indices, weights=parameter) / np.bincount(indices)
    n_groups = len(place)
    if n_groups < 2:
        raise ValueError(
            f"Argument `groups` must hold at least 2 independent groups to split, but n_groups = {n_groups}."
        )
    # Rounding keeps means of equal temperatures equal.
    order = np.lexsort((rng.random(n_groups), np.round(place, 12)))
    steps = np.floor(np.arange(n_groups + 1) * fraction + rng.random())
    chosen = np.diff(steps) > 0
    if chosen.all() or not chosen.any():
        chosen[:] = False
        chosen[rng.integers(n_groups)] = True
        if fraction > 0.5:
            chosen = ~chosen
    picked = np.zeros(n_groups, dtype=bool)
    picked[order] = chosen
    return picked[indices]


def bootstrap_weights(
    indices: npt.NDArray[np.intp],
    parameter: npt.NDArray[np.float64],
    n_resamples: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.float64]:
    """Return weights (n_resamples, n_groups) of a bootstrap over groups.

    Groups that belong to one parameter value each are redrawn within that value, n - 1 out of n, which gives the
    variance of a mean without bias (J. N. K. Rao and C. F. J. Wu, J. Am. Stat. Assoc. 83, 231 (1988), sec. 2); the
    weights are scaled so that every value keeps its share of the data. If groups run over several values, or a value
    has one group only, groups are redrawn over the whole scan.
    """
    n_groups = int(indices.max()) + 1
    if n_groups < 2:
        raise ValueError(
            f"Argument `groups` must hold at least 2 independent groups to give an error, but n_groups = {n_groups}."
        )
    place = parameter[np.unique(indices, return_index=True)[1]]
    nested = bool((place[indices] == parameter).all())
    stratum = np.unique(place, return_inverse=True)[1] if nested else np.zeros(n_groups, dtype=np.intp)
    if np.bincount(stratum).min() < 2:
        stratum = np.zeros(n_groups, dtype=np.intp)
    weights = np.empty((n_resamples, n_groups))
    for members in np.split(np.argsort(stratum, kind="stable"), np.cumsum(np.bincount(stratum))[:-1]):
        n_members = len(members)
        counts = rng.multinomial(n_members - 1, np.full(n_members, 1 / n_members), size=n_resamples)
        weights[:, members] = counts * (n_members / (n_members - 1))
    return weights
