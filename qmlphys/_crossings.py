"""Where noisy curves cross a level or each other. Public through `qmlphys.scaling`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from qmlphys._estimate import Estimate, require_finite

__all__ = ["crossing", "pair_crossing", "slope_at"]

Values = npt.NDArray[np.float64]

# A local polynomial is accepted at this p-value; below it the window shrinks.
_ACCEPTED = 0.01
# Each side of the crossing must lie on its side of the level by this many standard errors, taken together.
_SIGNIFICANT = 3.0
# The window reaches out to this fraction of the way from the crossing to the extremes of the curve.
_REACH = 0.7
# Logits are taken only of values this far from 0 and 1, where their errors are still symmetric.
_LOGISTIC_MARGIN = 0.02


@dataclass(frozen=True)
class _Curve:
    """A sampled curve: parameter (n,), values (n,), errors (n,) and replicas (n_replicas, n) or None."""

    parameter: Values
    values: Values
    errors: Values
    replicas: Values | None

    def between(self, low: float, high: float) -> _Curve:
        inside = (self.parameter >= low) & (self.parameter <= high)
        return self.take(inside)

    def take(self, index: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> _Curve:
        replicas = None if self.replicas is None else self.replicas[:, index]
        return _Curve(self.parameter[index], self.values[index], self.errors[index], replicas)


def _curve(parameter: npt.ArrayLike, values: npt.ArrayLike, errors: npt.ArrayLike | None, name: str) -> _Curve:
    """Check and sort a curve; with a leading axis of independent replicas, errors come from their scatter."""
    t = np.asarray(parameter, dtype=np.float64)
    v = np.asarray(values, dtype=np.float64)
    if t.ndim != 1 or len(t) < 2:
        raise ValueError(f"Argument `parameter` must have shape (n_points,) with at least 2 points, but has {t.shape}.")
    if v.ndim not in (1, 2) or v.shape[-1] != len(t):
        raise ValueError(
            f"Argument `{name}` must have shape ({len(t)},) or (n_replicas, {len(t)}), but its shape is {v.shape}."
        )
    require_finite(t, "parameter")
    require_finite(v, name)
    if len(np.unique(t)) < len(t):
        raise ValueError("Argument `parameter` must hold each value once: average repeated points first.")
    replicas = None
    if v.ndim == 2:
        n_replicas = len(v)
        if errors is not None:
            raise ValueError(f"Argument `errors` must be None when `{name}` has replicas: their scatter is the error.")
        if n_replicas < 2:
            raise ValueError(f"Argument `{name}` must have at least 2 replicas, but has {n_replicas}.")
        sigma = v.std(axis=0, ddof=1) / math.sqrt(n_replicas)
        replicas = (v.sum(axis=0) - v) / (n_replicas - 1)  # delete-one means
        v = v.mean(axis=0)
    elif errors is None:
        raise ValueError(f"Argument `errors` must be given unless `{name}` has a leading axis of replicas.")
    else:
        sigma = np.asarray(errors, dtype=np.float64)
        if sigma.shape != v.shape:
            raise ValueError(f"Argument `errors` must have shape {v.shape}, but its shape is {sigma.shape}.")
        require_finite(sigma, "errors")
        if (sigma < 0).any():
            raise ValueError(f"Argument `errors` must be >= 0, but holds {sigma.min()}.")
    return _Curve(t, v, sigma, replicas).take(np.argsort(t))


def _weights(errors: Values) -> Values:
    """Return 1 / error; a vanishing error (a saturated output, a single value seen) counts as the median of the others."""
    positive = errors[errors > 0]
    return 1 / np.where(errors > 0, errors, np.median(positive) if len(positive) else 1.0)


def _bracket(parameter: Values, difference: Values, errors: Values) -> tuple[int, float]:
    """Return k and s such that s * difference is positive before point k and negative from there on.

    The sign change is where the running sum turns, so that noise that crosses several times near the level does no harm.
    """
    total = np.concatenate(([0.0], np.cumsum(difference)))
    contrast = 2 * total - total[-1]  # sum before k minus sum from k on
    k = int(np.argmax(np.abs(contrast)))
    sign = 1.0 if contrast[k] > 0 else -1.0
    before, after = sign * total[k], sign * (total[-1] - total[k])
    noise_before = _SIGNIFICANT * math.sqrt(float((errors[:k] ** 2).sum()))
    noise_after = _SIGNIFICANT * math.sqrt(float((errors[k:] ** 2).sum()))
    if not (0 < k < len(difference)) or before <= noise_before or -after <= noise_after:
        raise ValueError(
            f"No crossing lies between {parameter[0]:.6g} and {parameter[-1]:.6g}: argument `parameter` must reach to both "
            f"sides of it, but the curve stays {'above' if total[-1] > 0 else 'below'} within its errors."
        )
    return k, sign


def _window(curve: _Curve, difference: Values, k: int, sign: float) -> tuple[int, int]:
    """Return first and last + 1 index of the steep part of the curve around the crossing before point k."""
    smooth = sign * difference
    if len(smooth) > 4:
        smooth = np.concatenate((smooth[:1], (smooth[:-2] + smooth[1:-1] + smooth[2:]) / 3, smooth[-1:]))
    high, low = _REACH * smooth[:k].max(), _REACH * smooth[k:].min()
    first, last = k - 1, k
    while first > 0 and smooth[first - 1] < high:
        first -= 1
    while last < len(smooth) - 1 and smooth[last + 1] > low:
        last += 1
    return first, last + 1


@dataclass(frozen=True)
class _LocalFit:
    """Weighted least squares of a polynomial in (T - centre) / scale: a linear map of the values, with its chi2."""

    centre: float
    scale: float
    inverse: Values  # (order + 1, n): coefficients from values
    coefficients: Values
    chi2: float
    dof: int

    @property
    def p_value(self) -> float:
        return float(special.chdtrc(self.dof, self.chi2)) if self.dof else 1.0


def _fit(curve: _Curve, order: int, centre: float, scale: float) -> _LocalFit:
    weights = _weights(curve.errors)
    powers = np.vander((curve.parameter - centre) / scale, min(order, len(curve.parameter) - 1) + 1, increasing=True)
    inverse = np.linalg.pinv(powers * weights[:, None]) * weights
    coefficients = inverse @ curve.values
    exact = not (curve.errors > 0).any()
    residuals = 0.0 if exact else (curve.values - powers @ coefficients) * weights
    return _LocalFit(centre, scale, inverse, coefficients, float(np.sum(residuals**2)), len(powers) - powers.shape[1])


def _evaluate(coefficients: Values, x: Values | float) -> tuple[Values, Values]:
    """Return polynomials (..., order + 1) and their slopes at x (...,)."""
    value = np.zeros(np.shape(coefficients)[:-1]) + 0.0 * np.asarray(x)
    slope = np.zeros_like(value)
    for k in range(coefficients.shape[-1] - 1, -1, -1):
        slope = slope * x + value
        value = value * x + coefficients[..., k]
    return value, slope


def _root(coefficients: Values, low: float, high: float, sign: float) -> float:
    """Return the root in [low, high] (scaled units) at which the curve falls (times sign); the middlemost if several."""
    roots = np.polynomial.polynomial.polyroots(np.trim_zeros(coefficients, "b"))
    real = roots.real[np.abs(roots.imag) < 1e-9]
    real = real[(real >= low) & (real <= high)]
    real = real[[sign * _evaluate(coefficients, float(root))[1] < 0 for root in real]] if len(real) else real
    if not len(real):
        return math.nan
    return float(real[np.argmin(np.abs(real - (low + high) / 2))])


def _newton(coefficients: Values, start: float) -> Values:
    """Follow the root `start` into each of many slightly different polynomials (n, order + 1)."""
    x = np.full(len(coefficients), start)
    with np.errstate(all="ignore"):
        for _ in range(30):
            value, slope = _evaluate(coefficients, x)
            x = x - value / slope
        value, slope = _evaluate(coefficients, x)
        # A replica whose polynomial lost its root near the crossing oscillates; it is reported, not averaged in.
        lost = ~(np.abs(value) < 1e-9 * (np.abs(slope) + np.abs(coefficients).sum(axis=1)))
    x[lost] = np.nan
    return x


def _locate(
    curves: list[_Curve],
    level: float,
    sign: float,
    *,
    order: int,
    fixed_width: bool,
    middle: float,
    n_resamples: int,
    rng: int | np.random.Generator | None,
) -> Estimate:
    """Fit all curves (one, or two whose difference matters) in a window that shrinks until the fits are good."""
    while True:
        parameters = np.concatenate([curve.parameter for curve in curves])
        low, high = float(parameters.min()), float(parameters.max())
        centre, scale = (low + high) / 2, (high - low) / 2
        fits = [_fit(curve, order, centre, scale) for curve in curves]
        chi2, dof = sum(fit.chi2 for fit in fits), sum(fit.dof for fit in fits)
        coefficients = _difference([fit.coefficients for fit in fits], level)
        root = _root(coefficients, -1.0, 1.0, sign)
        good = math.isfinite(root) and (dof == 0 or special.chdtrc(dof, chi2) > _ACCEPTED)
        smallest = min(len(curve.parameter) for curve in curves)
        if good or fixed_width or smallest <= 2:
            break
        # Leave out the point farthest from the crossing, of every curve.
        middle = centre + scale * root if math.isfinite(root) else middle
        curves = [_without_farthest(curve, middle) for curve in curves]
    if not math.isfinite(root):
        raise ValueError(
            f"No crossing lies between {low:.6g} and {high:.6g}: the local fit has no root there. Argument `width` must "
            "cover the crossing, and more points or smaller errors are needed near it."
        )
    roots = _replicate(curves, fits, level, root, n_resamples=n_resamples, rng=rng)
    lost = float(np.mean(~np.isfinite(roots) | (np.abs(roots) > 3)))
    if lost > 0.02:
        raise ValueError(
            f"No crossing is determined between {low:.6g} and {high:.6g}: {lost:.0%} of the resampled curves do not cross "
            "there. Take more points or smaller errors near it."
        )
    roots = roots[np.isfinite(roots) & (np.abs(roots) <= 3)]
    if curves[0].replicas is not None:
        error = math.sqrt((len(roots) - 1) * float(roots.var()))  # delete-one jackknife
    else:
        error = float(roots.std())
    # A window that could not be made good enlarges the error as the Particle Data Group does.
    inflation = math.sqrt(chi2 / dof) if dof and special.chdtrc(dof, chi2) <= _ACCEPTED else 1.0
    return Estimate(centre + scale * root, scale * error * inflation)


def _difference(coefficients: list[Values], level: float) -> Values:
    result = np.array(coefficients[0])
    if len(coefficients) == 2:
        width = max(result.shape[-1], coefficients[1].shape[-1])
        padded = [np.zeros((*c.shape[:-1], width)) for c in coefficients]
        for target, source in zip(padded, coefficients, strict=True):
            target[..., : source.shape[-1]] = source
        result = padded[0] - padded[1]
    result[..., 0] -= level
    return result


def _replicate(
    curves: list[_Curve],
    fits: list[_LocalFit],
    level: float,
    root: float,
    *,
    n_resamples: int,
    rng: int | np.random.Generator | None,
) -> Values:
    """Return the root (scaled) in every replica of the data, or in curves redrawn within their errors."""
    generator = np.random.default_rng(rng)
    samples = []
    for curve, fit in zip(curves, fits, strict=True):
        if curve.replicas is not None:
            samples.append(curve.replicas @ fit.inverse.T)
        else:
            noise = generator.normal(size=(n_resamples, len(curve.values))) * curve.errors
            samples.append((curve.values + noise) @ fit.inverse.T)
    return _newton(_difference(samples, level), root)


def _without_farthest(curve: _Curve, middle: float) -> _Curve:
    """Drop the farthest point, but keep one on either side of the middle."""
    below, above = curve.parameter < middle, curve.parameter >= middle
    candidates = np.abs(curve.parameter - middle)
    for side in (below, above):
        if side.sum() == 1:
            candidates[side] = -1.0
    if len(candidates) <= 2:
        return curve
    return curve.take(np.delete(np.arange(len(candidates)), int(np.argmax(candidates))))


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

    A polynomial is fitted by weighted least squares to the steep part of the curve around the crossing. Unless `width` is
    given, the window starts at 70 % of the way to the extremes of the curve and drops its farthest points until the fit
    has a p-value above 0.01; two points, a straight line, are the least.

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
    2.2700(2)
    """
    _check_options(order, width, n_resamples)
    curve = _curve(parameter, values, errors, "values")
    if method not in ("polynomial", "logistic"):
        raise ValueError(f"Argument `method` must be 'polynomial' or 'logistic', but is {method!r}.")
    if not math.isfinite(level) or (method == "logistic" and not 0 < level < 1):
        raise ValueError(f"Argument `level` must be finite (between 0 and 1 for logits), but is {level}.")
    difference = curve.values - level
    k, sign = _bracket(curve.parameter, difference, curve.errors)
    middle = float(curve.parameter[k - 1 : k + 1].mean())
    if width is not None:
        curve = curve.between(middle - width, middle + width)
    elif method == "polynomial":
        first, end = _window(curve, difference, k, sign)
        curve = curve.take(np.arange(first, end))
    if method == "logistic":
        curve, level = _logits(curve, middle), math.log(level / (1 - level))
    if len(curve.parameter) < 2:
        raise ValueError(f"Argument `width` must hold at least 2 points around {middle:.6g}, but is {width}.")
    return _locate(
        [curve],
        level,
        sign,
        order=order,
        fixed_width=width is not None,
        middle=middle,
        n_resamples=n_resamples,
        rng=rng,
    )


def _logits(curve: _Curve, middle: float) -> _Curve:
    low, high = _LOGISTIC_MARGIN, 1 - _LOGISTIC_MARGIN
    everything = curve.values if curve.replicas is None else np.vstack((curve.values, curve.replicas))
    usable = np.atleast_2d((everything > low) & (everything < high)).all(axis=0)
    if usable.sum() < 2 or not (curve.parameter[usable].min() < middle < curve.parameter[usable].max()):
        raise ValueError(
            "Argument `values` must lie between 0.02 and 0.98 on both sides of the crossing for method='logistic', "
            f"but only {int(usable.sum())} points do: take more points near {middle:.6g}, or method='polynomial'."
        )
    curve = curve.take(usable)
    replicas = None if curve.replicas is None else np.log(curve.replicas / (1 - curve.replicas))
    spread = curve.errors / (curve.values * (1 - curve.values))
    return _Curve(curve.parameter, np.log(curve.values / (1 - curve.values)), spread, replicas)


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
    K. Binder, Z. Phys. B 43, 119 (1981), sec. 4.

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
        _curve(parameter, first, first_errors, "first"),
        _curve(parameter if second_parameter is None else second_parameter, second, second_errors, "second"),
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
    k, sign = _bracket(grid, difference, noise)
    middle = float(grid[k - 1 : k + 1].mean())
    if width is None:
        start, end = _window(curves[0], difference, k, sign)
        low, high = float(grid[start]), float(grid[end - 1])
        spacing = np.diff(curves[1].parameter).max()
        # The second curve may have its points elsewhere: at least one on either side.
        low, high = min(low, middle - spacing), max(high, middle + spacing)
    else:
        low, high = middle - width, middle + width
    curves = [curve.between(low, high) for curve in curves]
    if min(len(curve.parameter) for curve in curves) < 2:
        raise ValueError(f"Argument `width` must hold at least 2 points around {middle:.6g}, but is {width}.")
    return _locate(
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
    A. M. Ferrenberg, D. P. Landau, Phys. Rev. B 44, 5081 (1991), sec. II (slopes of cumulants at T_c).

    Examples
    --------
    >>> t = np.linspace(-1, 1, 9)
    >>> print(slope_at(t, 2 * t + t**2, np.full(9, 0.01), point=0.0, width=1.0, order=2))
    2.000(5)
    """
    _check_options(order, width, 2)
    curve = _curve(parameter, values, errors, "values").between(point - width, point + width)
    if len(curve.parameter) <= order or not curve.parameter[0] <= point <= curve.parameter[-1]:
        raise ValueError(
            f"Argument `width` must hold more than {order} points on both sides of {point:.6g}, but the window of {width} "
            f"holds {len(curve.parameter)}."
        )
    fit = _fit(curve, order, point, width)
    if curve.replicas is not None:
        slopes = curve.replicas @ fit.inverse[1]
        error = math.sqrt((len(slopes) - 1) * float(slopes.var()))
    else:
        error = float(np.linalg.norm(fit.inverse[1] * curve.errors))
    if fit.p_value <= _ACCEPTED:
        error *= math.sqrt(fit.chi2 / fit.dof)
    return Estimate(float(fit.coefficients[1]) / width, error / width)
