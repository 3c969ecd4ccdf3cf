"""Where noisy curves cross a level or each other. Public through `qmlphys.scaling`."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from qmlphys.scaling._local_fits import ACCEPTED, Curve, bracket, local_fit, locate, read_curve, steep_window
from qmlphys.stats import Estimate

__all__ = ["crossing", "pair_crossing", "slope_at"]

# Logits are taken only of values this far from 0 and 1, where their errors are still symmetric.
_LOGISTIC_MARGIN = 0.02


def _check_options(order: int, width: float | None, n_resamples: int) -> None:
    if isinstance(order, bool) or not isinstance(order, int | np.integer) or order < 1:
        raise ValueError(f"Argument `order` must be an integer >= 1, but is {order!r}.")
    if width is not None and not (math.isfinite(width) and width > 0):
        raise ValueError(f"Argument `width` must be positive, but is {width}.")
    if n_resamples < 2:
        raise ValueError(f"Argument `n_resamples` must be at least 2, but is {n_resamples}.")


def crossing(
    parameter: npt.ArrayLike,
    values: npt.ArrayLike,
    errors: npt.ArrayLike | None = None,
    *,
    level: float = 0.5,
    method: Literal["polynomial", "logistic"] = "polynomial",
    order: int = 3,
    width: float | None = None,
    n_resamples: int = 1000,
    rng: int | np.random.Generator | None = None,
) -> Estimate:
    """Return where a noisy curve crosses a level, for example a network's output 1/2.

    A polynomial is fitted by weighted least squares to the steep part of the curve around the crossing. Unless `width`
    is given, the window starts at 70 % of the way to the extremes of the curve and drops its farthest points until the
    fit has a p-value above 0.01; two points, a straight line, are the least.

    Parameters
    ----------
    parameter : array_like of shape (n_points,)
        Temperatures or other parameter, each once, in any order.
    values : array_like of shape (n_points,) or (n_replicas, n_points)
        The curve; with a leading axis of independent replicas (chains) it is their mean.
    errors : array_like of shape (n_points,), optional
        Standard errors, >= 0; required without replicas, refused with them. A vanishing error, where an output is
        saturated, weighs as the median of the others.
    level : float
        Level to cross.
    method : {"polynomial", "logistic"}
        Fit the values, or the logits of values between 0.02 and 0.98 (for outputs between 0 and 1 on a coarse grid).
    order : int
        Order of the polynomial, lowered where the window has too few points.
    width : float, optional
        Half-width of the window in units of the parameter around the crossing; fixed, and so is the order.
    n_resamples : int
        Size of the parametric bootstrap, used without replicas.
    rng : None, int or Generator
        Random numbers of the bootstrap.

    Returns
    -------
    Estimate
        Position of the crossing. The error is the delete-one jackknife over replicas or the parametric
        bootstrap; it does not know of a bias of the curve itself.

    Raises
    ------
    ValueError
        If no significant crossing lies in the range, or an argument is malformed.

    References
    ----------
    J. Carrasquilla, R. G. Melko, Nature Phys. 13, 431 (2017), fig. 1 (output 1/2 marks the transition);
    B. Efron, The jackknife, the bootstrap and other resampling plans (1982).

    Examples
    --------
    >>> temperature = np.linspace(2, 2.6, 13)
    >>> output = 1 / (1 + np.exp((temperature - 2.27) / 0.05))
    >>> print(crossing(temperature, output, np.full(13, 1e-3), method="logistic", rng=0))
    2.27000(15)
    """
    _check_options(order, width, n_resamples)
    curve = read_curve(parameter, values, errors, "values")
    if method not in ("polynomial", "logistic"):
        raise ValueError(f"Argument `method` must be 'polynomial' or 'logistic', but is {method!r}.")
    if not math.isfinite(level) or (method == "logistic" and not 0 < level < 1):
        raise ValueError(f"Argument `level` must be finite (between 0 and 1 for logits), but is {level}.")
    difference = curve.values - level
    k, sign = bracket(curve.parameter, difference, curve.errors)
    middle = float(curve.parameter[k - 1 : k + 1].mean())
    if width is not None:
        curve = curve.between(middle - width, middle + width)
    elif method == "polynomial":
        first, end = steep_window(difference, k, sign)
        curve = curve.take(np.arange(first, end))
    if method == "logistic":
        curve, level = _logits(curve, middle), math.log(level / (1 - level))
    if len(curve.parameter) < 2:
        raise ValueError(f"Argument `width` must hold at least 2 points around {middle:.6g}, but is {width}.")
    return locate(
        [curve],
        level,
        sign,
        order=order,
        fixed_width=width is not None,
        middle=middle,
        n_resamples=n_resamples,
        rng=rng,
    )


def _logits(curve: Curve, middle: float) -> Curve:
    low, high = _LOGISTIC_MARGIN, 1 - _LOGISTIC_MARGIN
    everything = curve.values if curve.replicas is None else np.vstack((curve.values, curve.replicas))
    usable = np.atleast_2d((everything > low) & (everything < high)).all(axis=0)
    if usable.sum() < 2 or not (curve.parameter[usable].min() < middle < curve.parameter[usable].max()):
        raise ValueError(
            "Argument `values` must lie between 0.02 and 0.98 on both sides of the crossing for method='logistic', "
            f"but only {int(usable.sum())} points do: take more points near {middle:.6g}, or method='polynomial'."
        )
    curve = curve.take(np.flatnonzero(usable))
    replicas = None if curve.replicas is None else np.log(curve.replicas / (1 - curve.replicas))
    spread = curve.errors / (curve.values * (1 - curve.values))
    return Curve(curve.parameter, np.log(curve.values / (1 - curve.values)), spread, replicas)


def pair_crossing(
    parameter: npt.ArrayLike,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    first_errors: npt.ArrayLike | None = None,
    second_errors: npt.ArrayLike | None = None,
    second_parameter: npt.ArrayLike | None = None,
    order: int = 3,
    width: float | None = None,
    n_resamples: int = 1000,
    rng: int | np.random.Generator | None = None,
) -> Estimate:
    """Return where the curves of two sizes cross, for example two cumulant ratios.

    Each curve gets its own local polynomial, as in `crossing`; the window is that of the difference of the curves.

    Parameters
    ----------
    parameter : array_like of shape (n_points,)
        Temperatures of the first curve (and of the second, unless `second_parameter` is given).
    first, second : array_like of shape (n_points,) or (n_replicas, n_points)
        The curves; replicas of both, or of neither. Replica i of the first and of the second are left out together.
    first_errors, second_errors : array_like, optional
        Standard errors; required without replicas.
    second_parameter : array_like, optional
        Temperatures of the second curve; they must overlap with the first.
    order, width, n_resamples, rng
        As in `crossing`.

    Returns
    -------
    Estimate
        Position of the crossing.

    Raises
    ------
    ValueError
        If the curves do not cross significantly in their common range, or an argument is malformed.

    References
    ----------
    K. Binder, Z. Phys. B 43, 119 (1981) (crossing of cumulants).

    Examples
    --------
    >>> t = np.linspace(-0.1, 0.1, 21)
    >>> errors = np.full(21, 1e-4)
    >>> small, large = 0.9 - np.tanh(4 * t) / 5, 0.9 - np.tanh(8 * t) / 5
    >>> result = pair_crossing(t, small, large, first_errors=errors, second_errors=errors, rng=0)
    >>> abs(result.mean) < 2e-4, result.error < 2e-4
    (True, True)
    """
    _check_options(order, width, n_resamples)
    curves = [
        read_curve(parameter, first, first_errors, "first"),
        read_curve(parameter if second_parameter is None else second_parameter, second, second_errors, "second"),
    ]
    if (curves[0].replicas is None) != (curves[1].replicas is None):
        raise ValueError("Arguments `first` and `second` must both have replicas or both have errors.")
    if curves[0].replicas is not None and curves[1].replicas is not None:
        n_first, n_second = len(curves[0].replicas), len(curves[1].replicas)
        if n_first != n_second:
            raise ValueError(
                f"Arguments `first` and `second` must have as many replicas, but have {n_first}, {n_second}."
            )
    low = max(curve.parameter[0] for curve in curves)
    high = min(curve.parameter[-1] for curve in curves)
    curves = [curve.between(low, high) for curve in curves]
    if min(len(curve.parameter) for curve in curves) < 2:
        raise ValueError(
            "Argument `second_parameter` must overlap with `parameter` in at least 2 points of each curve."
        )
    grid = curves[0].parameter
    difference = curves[0].values - np.interp(grid, curves[1].parameter, curves[1].values)
    noise = np.hypot(curves[0].errors, np.interp(grid, curves[1].parameter, curves[1].errors))
    k, sign = bracket(grid, difference, noise)
    middle = float(grid[k - 1 : k + 1].mean())
    if width is None:
        start, end = steep_window(difference, k, sign)
        low, high = float(grid[start]), float(grid[end - 1])
        spacing = np.diff(curves[1].parameter).max()
        # The second curve may have its points elsewhere: at least one on either side.
        low, high = min(low, middle - spacing), max(high, middle + spacing)
    else:
        low, high = middle - width, middle + width
    curves = [curve.between(low, high) for curve in curves]
    if min(len(curve.parameter) for curve in curves) < 2:
        raise ValueError(f"Argument `width` must hold at least 2 points around {middle:.6g}, but is {width}.")
    return locate(
        curves,
        0.0,
        sign,
        order=order,
        fixed_width=width is not None,
        middle=middle,
        n_resamples=n_resamples,
        rng=rng,
    )


def slope_at(
    parameter: npt.ArrayLike,
    values: npt.ArrayLike,
    errors: npt.ArrayLike | None = None,
    *,
    point: float,
    width: float,
    order: int = 3,
) -> Estimate:
    """Return the slope of a noisy curve at a point, from a local polynomial.

    Parameters
    ----------
    parameter : array_like of shape (n_points,)
        Temperatures, each once.
    values : array_like of shape (n_points,) or (n_replicas, n_points)
        The curve, or independent replicas of it.
    errors : array_like of shape (n_points,), optional
        Standard errors; required without replicas.
    point : float
        Where to take the slope.
    width : float
        Half-width of the window in units of the parameter.
    order : int
        Order of the polynomial; the window must hold more points than that.

    Returns
    -------
    Estimate
        Slope and its error, enlarged by sqrt(chi2 / dof) where the fit is bad (p < 0.01).

    Raises
    ------
    ValueError
        If the window does not hold enough points on both sides, or an argument is malformed.

    References
    ----------
    A. M. Ferrenberg, D. P. Landau, Phys. Rev. B 44, 5081 (1991) (slopes of cumulants at T_c).

    Examples
    --------
    >>> t = np.linspace(-1, 1, 9)
    >>> print(slope_at(t, 2 * t + t**2, np.full(9, 0.01), point=0.0, width=1.0, order=2))
    2.000(5)
    """
    _check_options(order, width, 2)
    curve = read_curve(parameter, values, errors, "values").between(point - width, point + width)
    if len(curve.parameter) <= order or not curve.parameter[0] <= point <= curve.parameter[-1]:
        raise ValueError(
            f"Argument `width` must hold more than {order} points on both sides of {point:.6g}, but the "
            f"window of {width} holds {len(curve.parameter)}."
        )
    fit = local_fit(curve, order, point, width)
    if curve.replicas is not None:
        slopes = curve.replicas @ fit.inverse[1]
        error = math.sqrt((len(slopes) - 1) * float(slopes.var()))
    else:
        error = float(np.linalg.norm(fit.inverse[1] * curve.errors))
    if fit.p_value <= ACCEPTED:
        error *= math.sqrt(fit.chi2 / fit.dof)
    return Estimate(float(fit.coefficients[1]) / width, error / width)
