"""Collapse over many fit windows, joined by model averaging. Public through `qmlphys.scaling`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
import numpy.typing as npt

from qmlphys.scaling._collapse import Collapse, collapse, replica_errors
from qmlphys.stats import Estimate

__all__ = ["FitWindow", "WindowScan", "window_scan"]

Values = npt.NDArray[np.float64]
Correction = float | Literal["fit"] | None


@dataclass(frozen=True, eq=False)
class FitWindow:
    """One fit of a scan.

    Parameters
    ----------
    minimum_size : float
        Smallest size kept.
    width : float
        Largest |x| = |T - T_c| L^(1/nu) kept, x taken from a pilot fit to all points; those kept are in
        `collapse.sizes`, `collapse.temperatures` and `collapse.values`.
    order : int
        Order of the polynomial.
    correction : None, float or "fit"
        Correction to scaling.
    nonlinear : bool
        Whether x bends with T - T_c.
    collapse : Collapse
        The fit.
    weight : float
        Share in the average; 0 if the fit was rejected.
    """

    minimum_size: float
    width: float
    order: int
    correction: Correction
    nonlinear: bool
    collapse: Collapse
    weight: float


@dataclass(frozen=True, eq=False)
class WindowScan:
    """Average over fit windows; made by `window_scan`.

    Parameters
    ----------
    critical_point, nu : Estimate
        Averages; errors join statistics and the spread over windows in quadrature.
    statistical : tuple of float
        Statistical errors of T_c and nu.
    window : tuple of float
        Spread of T_c and nu over windows.
    fits : tuple of FitWindow
        All fits that converged, best weight first, rejected ones (weight 0) last.
    n_failed : int
        Windows that gave no fit: too few points, no convergence, undetermined parameters.
    """

    critical_point: Estimate
    nu: Estimate
    statistical: tuple[float, float]
    window: tuple[float, float]
    fits: tuple[FitWindow, ...]
    n_failed: int

    @property
    def best(self) -> Collapse:
        """The fit of the largest weight."""
        return self.fits[0].collapse


def window_scan(
    sizes: npt.ArrayLike,
    temperatures: npt.ArrayLike,
    values: npt.ArrayLike,
    errors: npt.ArrayLike | None = None,
    *,
    minimum_sizes: Sequence[float] | None = None,
    widths: Sequence[float] | None = None,
    orders: Sequence[int] = (2, 3, 4),
    corrections: Sequence[Correction] = (None, 1.0, 2.0),
    nonlinear: Sequence[bool] = (False, True),
    mixed: Sequence[bool] = (False,),
    replicas: npt.ArrayLike | None = None,
    replica_kind: Literal["jackknife", "bootstrap"] = "jackknife",
    minimum_p_value: float = 0.01,
    weights: Literal["aic", "flat"] = "aic",
    guess: tuple[float, float] | None = None,
) -> WindowScan:
    """Repeat `collapse` over fit windows and average the acceptable fits.

    A pilot fit of all data (of the highest order) sets x once, so that the choice of points does not follow the
    noise of each fit. A fit counts if its p-value is at least `minimum_p_value`. Its weight is exp(-AIC/2) with
    AIC = chi2 + 2 n_parameters + 2 n_cut, where n_cut points lie outside of its window, or the same for all ("flat").
    The statistical error is that of the average of replicas where given, else the root of the mean square; the spread
    of the fits about their average is added in quadrature. Flat weights give the more cautious spread: AIC weights
    often rest on a single window.

    Parameters
    ----------
    sizes, temperatures, values, errors
        As in `collapse`.
    minimum_sizes : sequence of float, optional
        Smallest sizes to try; by default all that leave at least three sizes (two, without correction, if there are
        no more).
    widths : sequence of float, optional
        Largest |x| to try; by default 0.5, 0.7 and 1 of the largest in the data.
    orders : sequence of int
        Orders of the polynomial to try.
    corrections : sequence of None, float or "fit"
        Corrections to scaling to try. Leave some in: without any, the smallest sizes whose correction just escapes the
        p-value bias T_c by up to three times the error quoted (measured on synthetic data). Fits with more terms than
        a window determines are left out.
    nonlinear : sequence of bool
        Whether x bends with T - T_c, tried both ways; for wide windows of small sizes it does.
    mixed : sequence of bool
        Whether fits with a correction also have the term c x L^-omega; with both, tried both ways. Few sizes cannot
        tell a correction of the slope from nu, and leaving the term out then makes the error of nu too small. (True,)
        alone leaves out fits without a correction.
    replicas, replica_kind, guess
        As in `collapse`.
    minimum_p_value : float
        Fits below it are rejected. Even if the ansatz is perfect, about this fraction of scans has no acceptable fit.
    weights : {"aic", "flat"}
        How accepted fits are weighted.

    Returns
    -------
    WindowScan
        T_c and nu with their errors, the two parts of each error, and all fits.

    Raises
    ------
    ValueError
        If no fit is acceptable, or an argument is malformed.

    References
    ----------
    W. I. Jay, E. T. Neil, Phys. Rev. D 103, 114502 (2021) (averages, errors, and the weight of cut data).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> size, t = (a.ravel() for a in np.meshgrid([16.0, 32.0, 64.0], np.linspace(2.2, 2.4, 21)))
    >>> values = 0.9 - 0.3 * np.tanh((t - 2.3) * size / 4) + 1e-3 * rng.normal(size=63)
    >>> scan = window_scan(size, t, values, np.full(63, 1e-3), orders=(3, 5, 7), corrections=(None,))
    >>> print(scan.critical_point, len(scan.fits) > 10)
    2.30007(15) True
    """
    if weights not in ("aic", "flat"):
        raise ValueError(f"Argument `weights` must be 'aic' or 'flat', but is {weights!r}.")
    if not 0 <= minimum_p_value < 1:
        raise ValueError(f"Argument `minimum_p_value` must lie in [0, 1), but is {minimum_p_value}.")
    for name, choices in (("orders", orders), ("corrections", corrections), ("nonlinear", nonlinear), ("mixed", mixed)):
        if len(choices) == 0:
            raise ValueError(f"Argument `{name}` must hold at least one choice, but is empty.")

    table = None if replicas is None else np.asarray(replicas, dtype=np.float64)
    pilot = collapse(
        sizes,
        temperatures,
        values,
        errors,
        order=max(orders),
        replicas=table,
        replica_kind=replica_kind,
        guess=guess,
    )
    length, x = pilot.sizes, np.abs(pilot.scaled_variable(pilot.sizes, pilot.temperatures))
    known = np.unique(length)
    if minimum_sizes is None:
        minimum_sizes = [float(size) for size in known[: max(1, len(known) - 2)]]
    if widths is None:
        widths = [float(fraction * x.max()) for fraction in (0.5, 0.7, 1.0)]
    start = (pilot.critical_point.mean, pilot.nu.mean)
    fits: list[tuple[float, float, int, Correction, bool, Collapse, int]] = []
    n_failed = 0
    last_error: ValueError | None = None
    for smallest, width, order, correction, bent, steep in product(
        minimum_sizes, widths, orders, corrections, nonlinear, mixed
    ):
        if steep and correction is None:  # there is no omega; the other way round it is tried
            continue
        kept = (length >= smallest) & (x <= width * (1 + 1e-12))
        try:
            fit = collapse(
                length[kept],
                pilot.temperatures[kept],
                pilot.values[kept],
                None if errors is None else pilot.errors[kept],
                order=order,
                correction=correction,
                mixed=steep,
                nonlinear=bent,
                replicas=None if table is None else table[kept],
                replica_kind=replica_kind,
                guess=start,
            )
        except ValueError as error:
            n_failed += 1
            last_error = error
            continue
        fits.append((smallest, width, order, correction, bent, fit, int((~kept).sum())))
    good = np.array([fit.p_value >= minimum_p_value for *_, fit, _ in fits], dtype=bool)
    if not good.any():
        best = max((fit.p_value for *_, fit, _ in fits), default=math.nan)
        reason = f"the best p-value is {best:.2g}" if fits else f"all windows failed, the last because: {last_error}"
        raise ValueError(
            f"No fit window is acceptable (p >= {minimum_p_value}) among {len(fits) + n_failed}: {reason}. Raise "
            "`orders`, add `corrections`, drop small sizes with `minimum_sizes` or narrow `widths`."
        )
    share = _shares(np.array([fit.aic + 2 * n_cut for *_, fit, n_cut in fits]), good, weights)
    point, point_errors = _average([fit for *_, fit, _ in fits], share, lambda fit: fit.critical_point, 0, replica_kind)
    nu, nu_errors = _average([fit for *_, fit, _ in fits], share, lambda fit: fit.nu, 1, replica_kind)
    ranked = sorted(
        (FitWindow(*fit[:6], weight=float(weight)) for fit, weight in zip(fits, share, strict=True)),
        key=lambda item: -item.weight,
    )
    return WindowScan(
        Estimate(point, math.hypot(*point_errors)),
        Estimate(nu, math.hypot(*nu_errors)),
        (point_errors[0], nu_errors[0]),
        (point_errors[1], nu_errors[1]),
        tuple(ranked),
        n_failed,
    )


def _shares(aic: Values, good: npt.NDArray[np.bool_], weights: str) -> Values:
    raw = np.exp(-(aic - aic[good].min()) / 2) if weights == "aic" else np.ones(len(aic))
    # A rejected fit may have the lower AIC; its exponential can overflow before it is multiplied by zero.
    share = np.where(good, raw, 0.0)
    return share / share.sum()


def _average(
    fits: list[Collapse], share: Values, get: Callable[[Collapse], Estimate], column: int, kind: str
) -> tuple[float, tuple[float, float]]:
    """Return the average of T_c (column 0) or nu (column 1) and its statistical and window errors."""
    means = np.array([get(fit).mean for fit in fits])
    mean = float(share @ means)
    spread = math.sqrt(max(0.0, float(share @ (means - mean) ** 2)))
    tables = [fit.replica_parameters for fit in fits]
    if tables[0] is not None:
        # The same chains enter every window: their average is taken replica by replica.
        columns = np.array([table[:, column] for table in tables if table is not None])
        joined = share @ (1 / columns if column == 1 else columns)
        return mean, (float(replica_errors(joined[:, None], kind)[0]), spread)
    statistical = math.sqrt(float(share @ np.array([get(fit).error for fit in fits]) ** 2))
    return mean, (statistical, spread)
