"""Local polynomials through noisy curves and their roots, for `qmlphys.scaling`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from qmlphys.stats._estimate import Estimate, require_finite

__all__ = ["ACCEPTED", "Curve", "bracket", "local_fit", "locate", "read_curve", "steep_window"]

Values = npt.NDArray[np.float64]

# A local polynomial is accepted at this p-value; below it the window shrinks.
ACCEPTED = 0.01
# Each side of the crossing must lie on its side of the level by this many standard errors, taken together.
_SIGNIFICANT = 3.0
# The window reaches out to this fraction of the way from the crossing to the extremes of the curve.
_REACH = 0.7


@dataclass(frozen=True)
class Curve:
    """A sampled curve: parameter (n,), values (n,), errors (n,) and replicas (n_replicas, n) or None."""

    parameter: Values
    values: Values
    errors: Values
    replicas: Values | None

    def between(self, low: float, high: float) -> Curve:
        return self.take(np.flatnonzero((self.parameter >= low) & (self.parameter <= high)))

    def take(self, index: npt.NDArray[np.intp]) -> Curve:
        replicas = None if self.replicas is None else self.replicas[:, index]
        return Curve(self.parameter[index], self.values[index], self.errors[index], replicas)


def read_curve(parameter: npt.ArrayLike, values: npt.ArrayLike, errors: npt.ArrayLike | None, name: str) -> Curve:
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
    return Curve(t, v, sigma, replicas).take(np.argsort(t))


def _weights(errors: Values) -> Values:
    """Return 1 / error; a vanishing error (a saturated output) counts as the median of the others."""
    positive = errors[errors > 0]
    return 1 / np.where(errors > 0, errors, np.median(positive) if len(positive) else 1.0)


def bracket(parameter: Values, difference: Values, errors: Values) -> tuple[int, float]:
    """Return k and s such that s * difference is positive before point k and negative from there on.

    The sign change is where the running sum turns, so that noise that crosses several times does no harm.
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
            f"No crossing lies between {parameter[0]:.6g} and {parameter[-1]:.6g}: argument `parameter` must reach to "
            f"both sides of it, but the curve stays {'above' if total[-1] > 0 else 'below'} within its errors."
        )
    return k, sign


def steep_window(difference: Values, k: int, sign: float) -> tuple[int, int]:
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
class LocalFit:
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


def local_fit(curve: Curve, order: int, centre: float, scale: float) -> LocalFit:
    weights = _weights(curve.errors)
    powers = np.vander((curve.parameter - centre) / scale, min(order, len(curve.parameter) - 1) + 1, increasing=True)
    inverse = np.linalg.pinv(powers * weights[:, None]) * weights
    coefficients = inverse @ curve.values
    exact = not (curve.errors > 0).any()
    residuals = 0.0 if exact else (curve.values - powers @ coefficients) * weights
    return LocalFit(centre, scale, inverse, coefficients, float(np.sum(residuals**2)), len(powers) - powers.shape[1])


def _evaluate(coefficients: Values, x: Values | float) -> tuple[Values, Values]:
    """Return polynomials (..., order + 1) and their slopes at x (...,)."""
    value = np.zeros(np.shape(coefficients)[:-1]) + 0.0 * np.asarray(x)
    slope = np.zeros_like(value)
    for k in range(coefficients.shape[-1] - 1, -1, -1):
        slope = slope * x + value
        value = value * x + coefficients[..., k]
    return value, slope


def _root(coefficients: Values, low: float, high: float, sign: float) -> float:
    """Return the root in [low, high] at which the curve falls (times sign); the middlemost if there are several."""
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


def locate(
    curves: list[Curve],
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
        fits = [local_fit(curve, order, centre, scale) for curve in curves]
        chi2, dof = sum(fit.chi2 for fit in fits), sum(fit.dof for fit in fits)
        coefficients = _difference([fit.coefficients for fit in fits], level)
        root = _root(coefficients, -1.0, 1.0, sign)
        good = math.isfinite(root) and (dof == 0 or special.chdtrc(dof, chi2) > ACCEPTED)
        smallest = min(len(curve.parameter) for curve in curves)
        if good or fixed_width or smallest <= 2:
            break
        # Leave out the point farthest from the crossing, of every curve.
        middle = centre + scale * root if math.isfinite(root) else middle
        curves = [_without_farthest(curve, middle) for curve in curves]
    if not math.isfinite(root):
        raise ValueError(
            f"No crossing lies between {low:.6g} and {high:.6g}: the local fit has no root there. Argument `width` "
            "must cover the crossing, and more points or smaller errors are needed near it."
        )
    roots = _replicate(curves, fits, level, root, n_resamples=n_resamples, rng=rng)
    lost = float(np.mean(~np.isfinite(roots) | (np.abs(roots) > 3)))
    if lost > 0.02:
        raise ValueError(
            f"No crossing is determined between {low:.6g} and {high:.6g}: {lost:.0%} of the resampled curves do not "
            "cross there. Take more points or smaller errors near it."
        )
    roots = roots[np.isfinite(roots) & (np.abs(roots) <= 3)]
    # The delete-one jackknife multiplies the variance by n - 1.
    error = float(roots.std()) * (1.0 if curves[0].replicas is None else math.sqrt(len(roots) - 1))
    # A window that could not be made good enlarges the error as the Particle Data Group does.
    inflation = math.sqrt(chi2 / dof) if dof and special.chdtrc(dof, chi2) <= ACCEPTED else 1.0
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
    curves: list[Curve],
    fits: list[LocalFit],
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


def _without_farthest(curve: Curve, middle: float) -> Curve:
    """Drop the farthest point, but keep one on either side of the middle."""
    below, above = curve.parameter < middle, curve.parameter >= middle
    candidates = np.abs(curve.parameter - middle)
    for side in (below, above):
        if side.sum() == 1:
            candidates[side] = -1.0
    if len(candidates) <= 2:
        return curve
    return curve.take(np.delete(np.arange(len(candidates)), int(np.argmax(candidates))))
