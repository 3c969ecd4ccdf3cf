"""Where a fraction that goes from one phase to the other crosses one half."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression

from qmlphys._groups import bootstrap_weights
from qmlphys.stats import Estimate

__all__ = ["half_crossing"]

# The fit uses the part of the curve where the fraction lies in this range, and the two points that bracket one half.
_WINDOW = (0.08, 0.92)


class _Curve:
    """A decreasing fraction over increasing parameter values, with the window its crossing is fitted in."""

    def __init__(self, values: npt.NDArray[np.float64], fraction: npt.NDArray[np.float64], n: npt.NDArray[np.float64]):
        self.values = values
        smooth = isotonic_regression(fraction, weights=n, increasing=False).x
        self.ends = float(smooth[0]), float(smooth[-1])
        below = np.flatnonzero(smooth < 0.5)
        self.bracket = int(below[0]) - 1 if len(below) else len(values) - 1
        inside = (smooth > _WINDOW[0]) & (smooth < _WINDOW[1])
        inside[max(self.bracket, 0) : self.bracket + 2] = True
        self.window = np.flatnonzero(inside)

    def crossing(self, fraction: npt.NDArray[np.float64], n: npt.NDArray[np.float64], degree: int) -> float:
        """Return the root of a polynomial through the logits in the window, next to where the curve passes one half."""
        # A resample over the whole scan may leave out a value.
        present = n > 0
        values = self.values[present]
        smooth = isotonic_regression(fraction[present], weights=n[present], increasing=False).x
        below = np.flatnonzero(smooth < 0.5)
        if len(below) == 0 or below[0] == 0:
            return math.nan
        i = int(below[0]) - 1
        low, high = values[i], values[i + 1]
        start = low + (smooth[i] - 0.5) / (smooth[i] - smooth[i + 1]) * (high - low)
        x = self.values[self.window]
        scale = float(x[-1] - x[0])
        # Half a count on either side keeps the logit of a pure fraction finite.
        p = (fraction[self.window] * n[self.window] + 0.5) / (n[self.window] + 1)
        weight = n[self.window] * p * (1 - p)
        keep = n[self.window] > 0
        degree = min(degree, int(keep.sum()) - 1)
        if degree < 1:
            return float(start)
        coefficients = np.polyfit(
            (x[keep] - start) / scale, np.log(p[keep] / (1 - p[keep])), degree, w=np.sqrt(weight[keep])
        )
        roots = np.roots(coefficients)
        real = roots[np.abs(roots.imag) < 1e-9].real * scale + start
        reach = max(start - values[max(i - 1, 0)], values[min(i + 2, len(values) - 1)] - start)
        near = real[np.abs(real - start) <= reach]
        return float(near[np.argmin(np.abs(near - start))]) if len(near) else float(start)


def half_crossing(
    hits: npt.NDArray[np.bool_] | npt.NDArray[np.float64],
    parameter: npt.NDArray[np.float64],
    indices: npt.NDArray[np.intp],
    *,
    n_resamples: int,
    rng: np.random.Generator,
    ends: tuple[float, float] = (0.8, 0.2),
) -> Estimate:
    """Return where the mean of `hits` over the rows crosses one half as a function of the parameter.

    A quadratic through the logits of the fractions between 0.08 and 0.92 is solved; a monotone (isotonic) regression
    says next to which point. The error joins the bootstrap over groups with the change when the quadratic
    becomes a cubic (a line, when there are no more than four points), which stands for the unknown shape of the curve.

    Raises
    ------
    ValueError
        If the mean does not reach `ends` at the two ends of the scan, so that there is no crossing to trust.
    """
    values, position = np.unique(parameter, return_inverse=True)
    if len(values) < 2:
        raise ValueError(f"Argument `parameter` must take at least 2 different values, but takes {len(values)}.")
    n_groups = int(indices.max()) + 1
    # Rows are gathered to (group, value) cells once; a resample only weights the cells.
    cell, row_cell = np.unique(indices * len(values) + position, return_inverse=True)
    cell_group, cell_value = np.divmod(cell, len(values))
    n_cell = np.bincount(row_cell).astype(np.float64)
    hits_cell = np.bincount(row_cell, weights=hits)

    def curve(weights: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        weight = weights[cell_group]
        n = np.bincount(cell_value, weights=weight * n_cell, minlength=len(values)).astype(np.float64)
        total = np.bincount(cell_value, weights=weight * hits_cell, minlength=len(values))
        return total / np.maximum(n, 1e-300), n

    fraction, n = curve(np.ones(n_groups))
    centred = values - np.average(values, weights=n)
    if np.sum(n * centred * fraction) > 0:
        # An order that sets in at large values (of a coupling, say) is read from right to left.
        mirrored = half_crossing(hits, -parameter, indices, n_resamples=n_resamples, rng=rng, ends=ends)
        return Estimate(-mirrored.mean, mirrored.error)
    shape = _Curve(values, fraction, n)
    if not (shape.ends[0] >= ends[0] and shape.ends[1] <= ends[1]):
        raise ValueError(
            f"Argument `parameter` must run from one phase into the other, but the fraction of ordered rows is "
            f"{shape.ends[0]:.2f} at one end and {shape.ends[1]:.2f} at the other (at least {ends[0]} and at most "
            f"{ends[1]} are needed): widen the scan."
        )
    best = shape.crossing(fraction, n, 2)
    weights = bootstrap_weights(indices, parameter, n_resamples, rng)
    replicas = np.array([shape.crossing(*curve(w), 2) for w in weights])
    bad = np.isnan(replicas)
    if bad.mean() > 0.05:
        raise ValueError(
            f"Argument `X` must hold enough independent groups for an error, but {bad.sum()} of {n_resamples} "
            f"bootstrap resamples do not cross one half."
        )
    form = abs(best - shape.crossing(fraction, n, 3 if len(shape.window) > 4 else 1))
    return Estimate(best, math.hypot(float(replicas[~bad].std(ddof=1)), form))
