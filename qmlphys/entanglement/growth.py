"""Which law entropies follow as the system grows: area, logarithm or volume."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

__all__ = ["GrowthFit", "LawFit", "fit_growth"]

_Law = Literal["area", "logarithmic", "volume"]

# A slope counts from here, in errors; and a law is rejected below this p-value.
_SIGNIFICANT = 3.0
_REJECTED = 1e-3
_MIN_POINTS = 4


@dataclass(frozen=True)
class LawFit:
    """A fit S = intercept + slope f(n), with f = 0, ln n or n.

    Parameters
    ----------
    intercept, slope : float
        In nats, and in nats per unit of f; the slope of a constant is 0.
    intercept_error, slope_error : float
        Standard errors from the given errors, enlarged by sqrt(chi2 / dof) where that exceeds 1.
    chi2 : float
        Sum of squared deviations in units of the given errors; nan if none were given.
    dof : int
        Degrees of freedom.
    p_value : float
        Probability of a larger chi2 if the law holds; nan if no errors were given.
    residual : float
        Root mean square deviation, in nats.
    """

    intercept: float
    intercept_error: float
    slope: float
    slope_error: float
    chi2: float
    dof: int
    p_value: float
    residual: float


@dataclass(frozen=True)
class GrowthFit:
    """How entropies grow.

    Parameters
    ----------
    verdict : {"area", "logarithmic", "volume", "undecided"}
        The law that describes them best; undecided where two do about as well.
    slope, slope_error : float
        Of the logarithm: S = a + slope ln n.
    rejects_logarithm : bool
        Whether the logarithm fails: its p-value is below 0.001 (without errors: the verdict is another law).
    weights : mapping of str to float
        Akaike weights of the laws, of sum 1: how likely each is the best of the three, by this information alone.
    fits : mapping of str to LawFit
        The fits by "area" (a constant), "logarithmic" and "volume" (linear in n).
    sentence : str
        The verdict in words.
    """

    verdict: Literal["area", "logarithmic", "volume", "undecided"]
    slope: float
    slope_error: float
    rejects_logarithm: bool
    weights: Mapping[str, float]
    fits: Mapping[str, LawFit]
    sentence: str


def fit_growth(
    n_sites: ArrayLike, entropies: ArrayLike, errors: ArrayLike | None = None, *, odds: float = 20.0
) -> GrowthFit:
    """Compare the laws S = a, a + b ln n and a + b n.

    Parameters
    ----------
    n_sites : array_like, shape (n_points,)
        Sizes of the system (or of the block), positive; at least 4 different ones.
    entropies : array_like, shape (n_points,)
        Entropies in nats, of independent samples.
    errors : array_like, shape (n_points,), optional
        Their standard errors, positive. Without, entropies are taken as exact up to a scatter that is the same
        everywhere, whose size is that of the best fit.
    odds : float, keyword
        How much more likely than the next one a law must be to be the verdict, at least 1.

    Returns
    -------
    GrowthFit
        Verdict, slope of the logarithm with its error, and all fits.

    Raises
    ------
    ValueError
        If shapes do not fit, numbers are not finite or not positive, there are fewer than 4 different sizes, or the
        odds are below 1.

    Notes
    -----
    Weighted least squares. The verdict takes the law of the smallest chi2 / max(1, c) + 2 (number of parameters), c the
    smallest chi2 / dof of all laws: Akaike's criterion for errors that are too small by a common factor (Burnham and
    Anderson, Model selection and multimodel inference, 2nd ed. (2002), sec. 2.5). Another law that is not less
    likely by the odds makes it undecided, and a slope must be positive by three errors. A law of the list wins even if
    all are wrong: look at the p-values.

    Examples
    --------
    >>> n = np.array([8, 12, 16, 20])
    >>> fit_growth(n, 0.3 + 0.5 * np.log(n), [0.01] * 4).verdict, fit_growth(n, n / 3, [0.01] * 4).rejects_logarithm
    ('logarithmic', True)
    """
    x, y = np.asarray(n_sites, dtype=np.float64), np.asarray(entropies, dtype=np.float64)
    sigma = np.ones_like(y) if errors is None else np.asarray(errors, dtype=np.float64)
    for name, array in (("n_sites", x), ("entropies", y), ("errors", sigma)):
        if array.ndim != 1 or array.shape != x.shape or not np.isfinite(array).all():
            raise ValueError(
                f"Argument `{name}` must be a row of {x.size} finite numbers, one a size, but it is {array.tolist()}."
            )
    if not (x > 0).all() or len(np.unique(x)) < _MIN_POINTS:
        raise ValueError(
            f"Argument `n_sites` must hold at least {_MIN_POINTS} different positive sizes, but it is {x.tolist()}."
        )
    if not odds >= 1:
        raise ValueError(f"Argument `odds` must be at least 1, but it is {odds!r}.")
    if not (sigma > 0).all():
        raise ValueError(f"Argument `errors` must be positive, but they are {sigma.tolist()}.")
    functions: dict[_Law, NDArray[np.float64] | None] = {"area": None, "logarithmic": np.log(x), "volume": x}
    raw = {law: _least_squares(f, y, sigma) for law, f in functions.items()}
    if errors is None:
        # The scatter is unknown: the best law's, but not below the rounding of the entropies.
        rounding = 1e-14 * max(1.0, float(np.abs(y).max()))
        unit = max(rounding**2, min(chi2 / dof for _, _, chi2, dof in raw.values()))
    else:
        unit = 1.0
    scale = max(1.0, min(chi2 / unit / dof for _, _, chi2, dof in raw.values()))
    fits, criteria = {}, {}
    for law, (values, covariance, chi2, dof) in raw.items():
        spread = np.sqrt(np.diag(covariance) * max(unit, chi2 / dof))
        deviation = y - values[0] - (values[1] * functions[law] if functions[law] is not None else 0.0)
        fits[law] = LawFit(
            intercept=float(values[0]),
            intercept_error=float(spread[0]),
            slope=float(values[1]) if len(values) > 1 else 0.0,
            slope_error=float(spread[1]) if len(values) > 1 else 0.0,
            chi2=math.nan if errors is None else chi2,
            dof=dof,
            p_value=math.nan if errors is None else float(special.chdtrc(dof, chi2)),
            residual=float(np.sqrt((deviation**2).mean())),
        )
        criteria[law] = chi2 / unit / scale + 2 * len(values)
    return _judged(fits, criteria, 2 * math.log(odds))


def _least_squares(
    function: NDArray[np.float64] | None, y: NDArray[np.float64], sigma: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float, int]:
    """Return parameters, their covariance for the given errors, chi2 and degrees of freedom."""
    columns = [np.ones_like(y)] if function is None else [np.ones_like(y), function]
    design = np.stack(columns, axis=1) / sigma[:, None]
    values, *_ = np.linalg.lstsq(design, y / sigma, rcond=None)
    chi2 = float(((design @ values - y / sigma) ** 2).sum())
    covariance = np.linalg.inv(design.T @ design).astype(np.float64)
    return values.astype(np.float64), covariance, chi2, len(y) - len(columns)


def _judged(fits: dict[_Law, LawFit], criteria: dict[_Law, float], decisive: float) -> GrowthFit:
    order = sorted(criteria, key=lambda law: criteria[law])
    best: _Law = order[0]
    verdict: Literal["area", "logarithmic", "volume", "undecided"] = best
    logarithm = fits["logarithmic"]
    if best != "area":
        rival = order[1]
        slope = fits[best].slope
        if abs(slope) <= _SIGNIFICANT * fits[best].slope_error:
            verdict = "area"
        elif slope < 0 or criteria[rival] - criteria[best] < decisive:
            verdict = "undecided"
    if verdict == "area" and fits["area"].dof and _grows_too_little_to_see(fits):
        verdict = "undecided"
    rejects = logarithm.p_value < _REJECTED if not math.isnan(logarithm.p_value) else verdict in ("area", "volume")
    sentence = (
        f"{verdict.capitalize()}{'' if verdict == 'undecided' else ' law'}: the logarithm has the slope "
        f"{logarithm.slope:.3g} +- {logarithm.slope_error:.2g} nats"
        + ("" if math.isnan(logarithm.p_value) else f" and p = {logarithm.p_value:.2g}")
        + f"; deviations are {', '.join(f'{fit.residual:.2g} ({law})' for law, fit in fits.items())} nats."
    )
    likelihoods = {str(law): math.exp(-(value - criteria[best]) / 2) for law, value in criteria.items()}
    return GrowthFit(
        verdict,
        logarithm.slope,
        logarithm.slope_error,
        rejects,
        MappingProxyType({law: value / sum(likelihoods.values()) for law, value in likelihoods.items()}),
        MappingProxyType({str(law): fit for law, fit in fits.items()}),
        sentence,
    )


def _grows_too_little_to_see(fits: dict[_Law, LawFit]) -> bool:
    """Whether errors are so large that a logarithm of the size of one spin's entropy would not be seen."""
    return _SIGNIFICANT * fits["logarithmic"].slope_error > math.log(2)
