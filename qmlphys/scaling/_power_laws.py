"""Power laws in the size: extrapolation and nu from slopes. Public through `qmlphys.scaling`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from qmlphys.stats._estimate import Estimate, require_finite

__all__ = ["ExponentFit", "Extrapolation", "exponent_from_slopes", "extrapolate"]

Values = npt.NDArray[np.float64]

# Range in which a fitted exponent is searched.
_EXPONENTS = (0.05, 8.0)


@dataclass(frozen=True)
class Extrapolation:
    """A fitted power law in L; made by `extrapolate`.

    Parameters
    ----------
    critical_point : Estimate
        Value at infinite size.
    amplitude : Estimate
        a in T_c + a L^-exponent.
    exponent : Estimate
        The exponent, with error 0 if it was given without one.
    chi2, p_value : float
        Goodness of the fit; p_value is nan without degrees of freedom.
    dof : int
        Sizes less parameters.
    """

    critical_point: Estimate
    amplitude: Estimate
    exponent: Estimate
    chi2: float
    dof: int
    p_value: float

    def predict(self, sizes: npt.ArrayLike) -> Values:
        """Return the fitted positions at given sizes.

        Parameters
        ----------
        sizes : array_like
            Linear sizes.

        Returns
        -------
        ndarray
            T_c + a L^-exponent.
        """
        length = np.asarray(sizes, dtype=np.float64)
        return self.critical_point.mean + self.amplitude.mean * length**-self.exponent.mean


def _positions(
    sizes: npt.ArrayLike, points: npt.ArrayLike, errors: npt.ArrayLike, name: str
) -> tuple[Values, Values, Values]:
    arrays = [np.asarray(item, dtype=np.float64) for item in (sizes, points, errors)]
    for label, array in zip(("sizes", name, "errors"), arrays, strict=True):
        if array.ndim != 1 or array.shape != arrays[0].shape:
            raise ValueError(
                f"Argument `{label}` must have shape (n_sizes,) = {arrays[0].shape}, but has {array.shape}."
            )
        require_finite(array, label)
    for label, array in (("sizes", arrays[0]), ("errors", arrays[2])):
        if (array <= 0).any():
            raise ValueError(f"Argument `{label}` must be positive, but holds {array.min()}.")
    if len(np.unique(arrays[0])) < 2:
        raise ValueError(f"Argument `sizes` must hold at least 2 different sizes, but holds {arrays[0].tolist()}.")
    return arrays[0], arrays[1], arrays[2]


def extrapolate(
    sizes: npt.ArrayLike,
    points: npt.ArrayLike,
    errors: npt.ArrayLike,
    *,
    exponent: float | Estimate | None = None,
) -> Extrapolation:
    """Fit T*(L) = T_c + a L^-exponent to pseudo-critical points, such as crossings or peaks.

    Parameters
    ----------
    sizes, points, errors : array_like of shape (n_sizes,)
        Linear sizes, pseudo-critical points and their standard errors, > 0.
    exponent : float or Estimate, optional
        1/nu for points that shift like the scaled variable; held fixed, and the error of an Estimate is propagated.
        Fitted if not given, which takes at least three sizes.

    Returns
    -------
    Extrapolation
        T_c, amplitude, exponent and chi2.

    Raises
    ------
    ValueError
        If there are too few sizes, or a fitted exponent is not determined.

    References
    ----------
    M. N. Barber, in Phase transitions and critical phenomena 8 (1983), sec. II (shift exponent).

    Examples
    --------
    >>> fit = extrapolate([16, 32, 64], [2.32, 2.295, 2.2825], [1e-3, 1e-3, 1e-3], exponent=1.0)
    >>> print(fit.critical_point, fit.amplitude)
    2.2700(12) 0.80(3)
    """
    length, values, sigma = _positions(sizes, points, errors, "points")
    fitted = exponent is None
    if len(length) < (3 if fitted else 2) or (fitted and len(np.unique(length)) < 3):
        raise ValueError(f"Argument `sizes` must hold at least {3 if fitted else 2} sizes, but holds {len(length)}.")
    unit = math.exp(float(np.log(length).mean()))
    logs = np.log(length / unit)

    def solve(power: float) -> tuple[Values, Values, float]:
        design = np.column_stack((np.ones_like(logs), np.exp(-power * logs))) / sigma[:, None]
        inverse = np.linalg.pinv(design)
        linear: Values = inverse @ (values / sigma)
        return linear, np.asarray(inverse, dtype=np.float64), float(((values / sigma - design @ linear) ** 2).sum())

    given = exponent if isinstance(exponent, Estimate) else Estimate(math.nan if exponent is None else exponent, 0.0)
    power = given.mean
    if fitted:
        power = _minimum(lambda trial: solve(trial)[2])
    elif not (_EXPONENTS[0] <= power <= _EXPONENTS[1] and math.isfinite(given.error)):
        raise ValueError(
            f"Argument `exponent` must lie between {_EXPONENTS[0]} and {_EXPONENTS[1]}, but is {exponent}."
        )
    linear, inverse, chi2 = solve(power)
    slope = -linear[1] * logs * np.exp(-power * logs) / sigma  # derivative of the weighted fit by the exponent
    if fitted:
        jacobian = np.column_stack((np.ones_like(logs) / sigma, np.exp(-power * logs) / sigma, slope))
        covariance = _covariance(jacobian)
    else:
        covariance = np.zeros((3, 3))
        covariance[:2, :2] = inverse @ inverse.T
        response = np.append(-(inverse @ slope), 1.0)
        covariance += np.outer(response, response) * given.error**2
    # Back from units of the mean size: a = a' unit^exponent.
    amplitude = linear[1] * unit**power
    to_amplitude = np.array([0.0, unit**power, amplitude * math.log(unit)])
    dof = len(length) - (3 if fitted else 2)
    return Extrapolation(
        Estimate(linear[0], math.sqrt(covariance[0, 0])),
        Estimate(amplitude, math.sqrt(max(0.0, float(to_amplitude @ covariance @ to_amplitude)))),
        Estimate(power, math.sqrt(covariance[2, 2])),
        chi2,
        dof,
        float(special.chdtrc(dof, chi2)) if dof else math.nan,
    )


def _minimum(chi2: Callable[[float], float]) -> float:
    """Return the exponent of least chi2: a scan, then Brent's search in the best cell."""
    grid = np.geomspace(*_EXPONENTS, 80)
    best = int(np.argmin([chi2(float(power)) for power in grid]))
    if best in (0, len(grid) - 1):
        raise ValueError(
            "Argument `exponent` must be given: the points do not determine it (no minimum of chi2 between "
            f"{_EXPONENTS[0]} and {_EXPONENTS[1]})."
        )
    found = optimize.minimize_scalar(
        chi2, bounds=(float(grid[best - 1]), float(grid[best + 1])), method="bounded", options={"xatol": 1e-10}
    )
    return float(found.x)


def _covariance(jacobian: Values) -> Values:
    """Return the covariance of least-squares parameters from their weighted Jacobian."""
    scale = np.linalg.norm(jacobian, axis=0)
    _, singular, right = np.linalg.svd(jacobian / np.where(scale > 0, scale, 1.0), full_matrices=False)
    if not (scale > 0).all() or singular[-1] < 1e-12 * singular[0]:
        raise ValueError("Argument `exponent` must be given: the points do not determine it.")
    inverse = right.T / singular / scale[:, None]
    return inverse @ inverse.T


@dataclass(frozen=True)
class ExponentFit:
    """A fitted exponent nu; made by `exponent_from_slopes`.

    Parameters
    ----------
    nu : Estimate
        Correlation-length exponent.
    chi2, p_value : float
        Goodness of the fit; p_value is nan without degrees of freedom.
    dof : int
        Sizes less parameters.
    """

    nu: Estimate
    chi2: float
    dof: int
    p_value: float


def exponent_from_slopes(
    sizes: npt.ArrayLike, slopes: npt.ArrayLike, errors: npt.ArrayLike, *, correction: float | None = None
) -> ExponentFit:
    """Return nu from the growth of slopes at the crossing, dR/dT = A L^(1/nu) (1 + b L^-omega).

    A straight line is fitted to ln|slope| against ln L, with b L^-omega as a further term if asked for.

    Parameters
    ----------
    sizes, slopes, errors : array_like of shape (n_sizes,)
        Linear sizes, slopes (see `slope_at`) and their standard errors; all slopes of one sign.
    correction : float, optional
        omega of a correction to scaling; none by default.

    Returns
    -------
    ExponentFit
        nu and chi2.

    Raises
    ------
    ValueError
        If there are too few sizes, slopes differ in sign or are not significant.

    References
    ----------
    A. M. Ferrenberg, D. P. Landau, Phys. Rev. B 44, 5081 (1991) (nu from the slopes of cumulants).

    Examples
    --------
    >>> print(exponent_from_slopes([16, 32, 64], [4.0, 8.0, 16.0], [0.04, 0.08, 0.16]).nu)
    1.000(10)
    """
    length, values, sigma = _positions(sizes, slopes, errors, "slopes")
    n_parameters = 2 if correction is None else 3
    if len(np.unique(length)) < n_parameters:
        raise ValueError(f"Argument `sizes` must hold at least {n_parameters} sizes, but holds {length.tolist()}.")
    if correction is not None and not _EXPONENTS[0] <= correction <= _EXPONENTS[1]:
        raise ValueError(
            f"Argument `correction` must lie between {_EXPONENTS[0]} and {_EXPONENTS[1]}, not {correction}."
        )
    if not ((values > 3 * sigma).all() or (values < -3 * sigma).all()):
        raise ValueError(
            "Argument `slopes` must have one sign and exceed three errors each, or their logarithms mean nothing, but "
            f"is {values.tolist()}."
        )
    logs = np.log(length) - float(np.log(length).mean())
    terms = [np.ones_like(logs), logs] + ([] if correction is None else [np.exp(-correction * logs)])
    weights = np.abs(values) / sigma
    design = np.column_stack(terms) * weights[:, None]
    inverse = np.linalg.pinv(design)
    target = np.log(np.abs(values)) * weights
    linear = inverse @ target
    chi2, dof = float(((target - design @ linear) ** 2).sum()), len(length) - n_parameters
    inverse_nu, error = float(linear[1]), float(np.linalg.norm(inverse[1]))
    if inverse_nu <= 3 * error:
        raise ValueError(f"Argument `slopes` must grow with size, but 1/nu is {Estimate(inverse_nu, error)}.")
    p_value = float(special.chdtrc(dof, chi2)) if dof else math.nan
    return ExponentFit(Estimate(1 / inverse_nu, error / inverse_nu**2), chi2, dof, p_value)
