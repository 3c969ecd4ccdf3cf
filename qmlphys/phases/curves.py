"""A scan through a transition: labels from its two far ends, and a learner's mean output along it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from qmlphys._groups import check_parameter, group_indices

__all__ = ["far_ends", "mean_curve"]


def far_ends(
    parameter: npt.ArrayLike,
    *,
    fraction: float = 0.25,
    low: float | None = None,
    high: float | None = None,
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Label the rows at both far ends of a scan, and only those: 1 (ordered) at the low one, 0 at the high one.

    No critical value is asked for. What lies between the ends is unlabelled, so a learner has to find the transition
    there by itself. If order sits at the high end (a coupling, say), pass `-parameter`.

    Parameters
    ----------
    parameter : array_like of float, shape (n,)
        Control parameter of each row, finite.
    fraction : float
        Share of the scan's range that makes up each end, in (0, 0.5).
    low : float, optional
        Last value of the ordered end; replaces `fraction` on that side.
    high : float, optional
        First value of the disordered end; replaces `fraction` on that side.

    Returns
    -------
    mask : ndarray of bool, shape (n,)
        Rows that belong to an end.
    y : ndarray of int, shape (mask.sum(),)
        Labels of those rows: train with `X[mask], y`.

    Raises
    ------
    ValueError
        If the ends overlap, touch, or hold no row.

    References
    ----------
    E. P. L. van Nieuwenburg, Y.-H. Liu and S. D. Huber, Nature Physics 13, 435 (2017), where labels far from the
    transition are the case in which nothing about it is known.

    Examples
    --------
    >>> mask, y = far_ends([1.0, 2.0, 3.0, 4.0, 5.0], fraction=0.3)
    >>> mask.tolist(), y.tolist()
    ([True, True, False, True, True], [1, 1, 0, 0])
    """
    values = check_parameter(parameter, np.asarray(parameter))
    if not 0 < fraction < 0.5:
        raise ValueError(
            f"Argument `fraction` must lie between 0 and 0.5, so that the ends stay apart, but it is {fraction}."
        )
    start, stop = float(values.min()), float(values.max())
    last = start + fraction * (stop - start) if low is None else float(low)
    first = stop - fraction * (stop - start) if high is None else float(high)
    if not last < first:
        raise ValueError(
            f"Arguments `low` and `high` must leave the ends apart, but the ordered end runs to {last:g} and the "
            f"disordered end starts at {first:g}."
        )
    ordered = values <= last
    disordered = values >= first
    if not (ordered.any() and disordered.any()):
        raise ValueError(
            f"Argument `parameter` must have rows in both ends, but it runs from {start:g} to {stop:g}: "
            f"{ordered.sum()} rows up to {last:g} and {disordered.sum()} rows from {first:g}."
        )
    mask = ordered | disordered
    return mask, ordered[mask].astype(np.int64)


def mean_curve(output: npt.ArrayLike, parameter: npt.ArrayLike, *, groups: npt.ArrayLike | None = None) -> xr.Dataset:
    """Average a learner's output over the rows at each value of the parameter, with errors from independent groups.

    Parameters
    ----------
    output : array_like of float, shape (n,)
        For example the probability of the ordered class, or the order parameter's square.
    parameter : array_like of float, shape (n,)
        Control parameter of each row.
    groups : array_like, shape (n,), optional
        Independent group (chain) of each row; without it every row counts as independent.

    Returns
    -------
    xarray.Dataset
        `mean`, `error` (one standard error of the mean, from the scatter of the groups; nan with a single group),
        `n_groups` and `n_rows` over the coordinate `parameter`, increasing.

    Raises
    ------
    ValueError
        If lengths differ or a number is not finite.

    Examples
    --------
    >>> curve = mean_curve([1.0, 0.8, 0.1, 0.3], [1.0, 1.0, 2.0, 2.0])
    >>> curve["mean"].values.round(3).tolist(), curve["error"].values.round(3).tolist()
    ([0.9, 0.2], [0.1, 0.1])
    """
    y = np.asarray(output, dtype=np.float64)
    if y.ndim != 1:
        raise ValueError(f"Argument `output` must have one number a row, shape (n,), but its shape is {y.shape}.")
    if not np.isfinite(y).all():
        raise ValueError(
            f"Argument `output` must be finite, but {np.count_nonzero(~np.isfinite(y))} numbers are nan or inf."
        )
    x = check_parameter(parameter, y)
    index = group_indices(groups, len(y))
    values, place = np.unique(x, return_inverse=True)
    # A group that visits several values counts as one group at each of them.
    cell, row_cell = np.unique(place * (int(index.max()) + 1) + index, return_inverse=True)
    cell_place = cell // (int(index.max()) + 1)
    n = np.bincount(row_cell).astype(np.float64)
    n_rows = np.bincount(place)
    mean = np.bincount(place, weights=y) / n_rows
    # Ratio estimator: groups may hold different numbers of rows.
    excess = np.bincount(row_cell, weights=y) - n * mean[cell_place]
    n_groups = np.bincount(cell_place)
    square = np.bincount(cell_place, weights=excess**2)
    small = np.where(n_groups > 1, n_groups / np.maximum(n_groups - 1, 1), np.nan)
    error = np.sqrt(square * small) / n_rows
    columns = {"mean": mean, "error": error, "n_groups": n_groups, "n_rows": n_rows}
    return xr.Dataset({name: ("parameter", column) for name, column in columns.items()}, coords={"parameter": values})
