"""The value with an error bar, how it prints, and the weighted mean of several. Public through `qmlphys.stats`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import special

__all__ = ["Estimate", "WeightedMean", "require_finite", "weighted_mean"]


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error and what is known about how it was measured.

    Parameters
    ----------
    mean : float
        The estimate.
    error : float
        One standard error, >= 0; nan if unknown.
    n_effective : float
        Number of independent draws that would give the same error; nan if unknown.
    tau : float
        Integrated autocorrelation time in draws, >= 0.5 (0.5 = uncorrelated); nan if unknown.
    r_hat : float
        Split R-hat of the chains (1 = converged); nan if unknown.

    Examples
    --------
    >>> print(Estimate(2.26931, 0.00042), Estimate(2.26931, 0.000123), Estimate(-81.3, 12.2))
    2.2693(4) 2.26931(12) -81(12)
    """

    mean: float
    error: float
    n_effective: float = math.nan
    tau: float = math.nan
    r_hat: float = math.nan

    def __post_init__(self) -> None:
        for name in ("mean", "error", "n_effective", "tau", "r_hat"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if self.error < 0:
            raise ValueError(f"Argument `error` must be >= 0 (or nan if unknown), but is {self.error}.")

    def deviation(self, value: float) -> float:
        """Return (mean - value) / error: how many standard errors the estimate lies above a value.

        Parameters
        ----------
        value : float
            What to compare with, for example the exact result.

        Returns
        -------
        float
            Signed number of standard errors; 0 / 0 counts as 0 and x / 0 as an infinity.

        Examples
        --------
        >>> round(Estimate(2.2693, 0.0004).deviation(2.269185), 2)
        0.29
        """
        difference = self.mean - float(value)
        if self.error == 0:
            return 0.0 if difference == 0 else math.copysign(math.inf, difference)
        return difference / self.error

    def __str__(self) -> str:
        return _print(self.mean, self.error)

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


def _print(mean: float, error: float) -> str:
    """Write mean and error as 2.2693(4): one digit of the error, two when its leading digit is 1."""
    if not math.isfinite(mean):
        return f"{mean}({error:.2g})"
    if not math.isfinite(error):
        return f"{mean:.10g}({error})"
    size = max(abs(mean), error)
    if error == 0:
        return f"{mean!r}(0)"
    if size >= 1e6 or size < 1e-4:
        power = math.floor(math.log10(size))
        # Dividing twice keeps 10**power finite for denormal numbers.
        half = 10.0 ** (power // 2)
        rest = 10.0 ** (power - power // 2)
        return f"{_print(mean / half / rest, error / half / rest)}e{power:+03d}"
    two_digits = f"{error:.1e}"
    rounded = two_digits if two_digits[0] == "1" else f"{error:.0e}"
    last_place = int(rounded[-3:]) - (1 if rounded[0] == "1" else 0)  # 0.097 rounds to 0.10, which has two digits
    decimals = max(0, -last_place)
    shown_error = float(rounded)
    head = f"{round(mean, -last_place) + 0.0:.{decimals}f}"
    if shown_error >= 1:
        return f"{head}({shown_error:.{decimals}f})"
    return f"{head}({round(shown_error / 10.0**last_place)})"


def require_finite(array: npt.NDArray[Any], name: str) -> None:
    """Refuse nan and inf."""
    if not np.isfinite(array).all():
        n_bad = int(np.count_nonzero(~np.isfinite(array)))
        raise ValueError(f"Argument `{name}` must be finite, but {n_bad} of {array.size} numbers are nan or inf.")


@dataclass(frozen=True)
class WeightedMean:
    """The weighted mean of estimates and how well they agree.

    Parameters
    ----------
    estimate : Estimate
        Weighted mean and its error.
    chi2 : float
        Sum of squared deviations in units of their errors.
    dof : int
        Number of estimates less one.
    p_value : float
        Probability of a larger chi2 if all measure the same number; nan for a single estimate.
    """

    estimate: Estimate
    chi2: float
    dof: int
    p_value: float


def weighted_mean(
    estimates: Iterable[Estimate], *, method: Literal["internal", "external"] = "internal"
) -> WeightedMean:
    """Join independent estimates of one number with weights 1 / error^2.

    Parameters
    ----------
    estimates : iterable of Estimate
        Independent estimates with positive errors.
    method : {"internal", "external"}
        Error of the mean: from the given errors alone, or enlarged by sqrt(chi2 / dof) where that exceeds 1.

    Returns
    -------
    WeightedMean
        Mean, chi2, degrees of freedom and p-value.

    Raises
    ------
    ValueError
        If there are no estimates, or an error is zero or unknown (its weight would be infinite or arbitrary).

    References
    ----------
    Particle Data Group, Review of particle physics (2024), sec. 5.2.2, eqs. 1-2.

    Examples
    --------
    >>> joined = weighted_mean([Estimate(1.0, 0.1), Estimate(1.2, 0.1)])
    >>> print(joined.estimate, round(joined.chi2, 9), joined.dof)
    1.10(7) 2.0 1
    """
    items = list(estimates)
    if not items:
        raise ValueError("Argument `estimates` must hold at least one estimate, but is empty.")
    if method not in ("internal", "external"):
        raise ValueError(f"Argument `method` must be 'internal' or 'external', but is {method!r}.")
    means = np.array([item.mean for item in items])
    errors = np.array([item.error for item in items])
    require_finite(means, "estimates")
    if not (np.isfinite(errors).all() and (errors > 0).all()):
        raise ValueError(f"Argument `estimates` must have positive, finite errors, but they are {errors.tolist()}.")
    scale = errors.min()
    weights = (scale / errors) ** 2
    mean = float(np.average(means, weights=weights))
    chi2 = float((((means - mean) / errors) ** 2).sum())
    dof = len(items) - 1
    error = float(scale / math.sqrt(weights.sum()))
    if method == "external" and dof and chi2 > dof:
        error *= math.sqrt(chi2 / dof)
    return WeightedMean(Estimate(mean, error), chi2, dof, float(special.chdtrc(dof, chi2)) if dof else math.nan)
