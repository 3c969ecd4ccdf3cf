"""The finite-size scaling ansatz and its fit by variable projection, for `qmlphys.scaling`.

Many fits run side by side: arrays lead with a batch axis B of starting points or of replicas of the data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Problem", "ScalingModel", "Solutions", "covariance_of", "minimise", "starting_points", "to_standard"]

Values = npt.NDArray[np.float64]

_MAX_ORDER = 9
_MAX_STEPS = 100
# A fit has converged when a further step would lower chi2 by less than this fraction: 1e-6 sigma in the parameters.
_CONVERGED = 1e-12
# Limits of 1/nu and omega in the search; beyond them neither has a physical meaning nor the fit a minimum.
_INVERSE_NU = (0.05, 8.0)
_OMEGA = (0.1, 8.0)
_FIRST_OMEGA = 1.5
_GRID_T, _GRID_Y, _N_STARTS = 25, 12, 6
# Columns of the scaled Jacobian are collinear to this degree when parameters cannot be told apart.
_SINGULAR = 1e-9


@dataclass(frozen=True)
class ScalingModel:
    """Which terms the scaling function has; validates the choice."""

    order: int
    correction: float | Literal["fit"] | None
    mixed: bool
    nonlinear: bool

    def __init__(
        self, order: int, correction: float | Literal["fit"] | None, *, mixed: bool = False, nonlinear: bool = False
    ) -> None:
        if isinstance(order, bool) or not isinstance(order, int | np.integer) or not 1 <= order <= _MAX_ORDER:
            raise ValueError(f"Argument `order` must be an integer from 1 to {_MAX_ORDER}, but is {order!r}.")
        if isinstance(correction, str) or correction is None:
            if correction not in ("fit", None):
                raise ValueError(f"Argument `correction` must be None, 'fit' or a number, but is {correction!r}.")
        elif not (_OMEGA[0] <= float(correction) <= _OMEGA[1]):
            raise ValueError(
                f"Argument `correction` must lie between {_OMEGA[0]} and {_OMEGA[1]}, but is {correction}."
            )
        else:
            correction = float(correction)
        if mixed and correction is None:
            raise ValueError("Argument `mixed` must be False when `correction` is None: there is no omega.")
        for name, value in (
            ("order", int(order)),
            ("correction", correction),
            ("mixed", mixed),
            ("nonlinear", nonlinear),
        ):
            object.__setattr__(self, name, value)

    @property
    def fits_omega(self) -> bool:
        """Whether omega is a parameter."""
        return self.correction == "fit"

    @property
    def n_nonlinear(self) -> int:
        """Number of parameters that are searched."""
        return 2 + self.fits_omega + self.nonlinear

    @property
    def n_linear(self) -> int:
        """Number of coefficients that are solved for."""
        return 1 + self.order + (self.correction is not None) + self.mixed

    @property
    def names(self) -> list[str]:
        """Names of all parameters, nonlinear ones first."""
        return [
            "critical_point",
            "inverse_nu",
            *(["omega"] if self.fits_omega else []),
            *(["nonlinearity"] if self.nonlinear else []),
            "R*",
            *(f"a_{k}" for k in range(1, self.order + 1)),
            *(["b"] if self.correction is not None else []),
            *(["c"] if self.mixed else []),
        ]


class Problem:
    """The points of one fit, in units in which x and L are of order one so that powers stay well conditioned."""

    def __init__(self, model: ScalingModel, sizes: Values, temperatures: Values, weights: Values) -> None:
        self.model = model
        self.weights = weights
        self.temperatures = temperatures
        self.log_unit = float(np.log(sizes).mean())
        self.log_sizes = np.log(sizes) - self.log_unit
        self.unit = float(temperatures.std()) or 1.0
        span = float(np.ptp(temperatures))
        self.t_limits = (float(temperatures.min()) - span / 4, float(temperatures.max()) + span / 4)

    def omega(self, theta: Values) -> Values:
        """Return omega of each fit, (B, 1)."""
        if self.model.fits_omega:
            return theta[:, 2:3]
        fixed = self.model.correction
        return np.full((len(theta), 1), fixed if isinstance(fixed, float) else 0.0)

    def _x(self, theta: Values) -> tuple[Values, Values, Values, Values]:
        """Return T - T_c in units, (L / L_0)^(1/nu), the nonlinearity and x, each (B, n)."""
        t = (self.temperatures - theta[:, :1]) / self.unit
        length = np.exp(theta[:, 1:2] * self.log_sizes)
        bend = theta[:, -1:] * self.unit if self.model.nonlinear else np.zeros((len(theta), 1))
        return t, length, bend, t * (1 + bend * t) * length

    def basis(self, theta: Values) -> Values:
        """Return the weighted terms of the scaling function, (B, n, n_linear)."""
        x = self._x(theta)[3]
        columns = np.empty((*x.shape, self.model.n_linear))
        columns[..., 0] = self.weights
        for k in range(1, self.model.order + 1):
            columns[..., k] = columns[..., k - 1] * x
        if self.model.correction is not None:
            decay = np.exp(-self.omega(theta) * self.log_sizes) * self.weights
            columns[..., self.model.order + 1] = decay
            if self.model.mixed:
                columns[..., self.model.order + 2] = decay * x
        return columns

    def slopes(self, theta: Values, linear: Values) -> Values:
        """Return the weighted derivatives of the fit with respect to the nonlinear parameters, (B, n, n_nonlinear)."""
        t, length, bend, x = self._x(theta)
        order = self.model.order
        by_x = np.zeros_like(x)
        for k in range(order, 0, -1):
            by_x = by_x * x + k * linear[:, k : k + 1]
        decay = np.exp(-self.omega(theta) * self.log_sizes)
        if self.model.mixed:
            by_x += linear[:, order + 2 : order + 3] * decay
        result = np.empty((*x.shape, self.model.n_nonlinear))
        result[..., 0] = -by_x * (1 + 2 * bend * t) * length / self.unit
        result[..., 1] = by_x * x * self.log_sizes
        if self.model.fits_omega:
            amplitude = linear[:, order + 1 : order + 2]
            if self.model.mixed:
                amplitude = amplitude + linear[:, order + 2 : order + 3] * x
            result[..., 2] = -amplitude * decay * self.log_sizes
        if self.model.nonlinear:
            result[..., -1] = by_x * t**2 * length * self.unit
        return result * self.weights[:, None]

    def allowed(self, theta: Values) -> npt.NDArray[np.bool_]:
        """Return which fits lie inside the limits of the search, (B,)."""
        inside = (theta[:, 0] > self.t_limits[0]) & (theta[:, 0] < self.t_limits[1])
        inside &= (theta[:, 1] > _INVERSE_NU[0]) & (theta[:, 1] < _INVERSE_NU[1])
        if self.model.fits_omega:
            inside &= (theta[:, 2] > _OMEGA[0]) & (theta[:, 2] < _OMEGA[1])
        if self.model.nonlinear:
            # x must grow with T over all the data.
            reach = np.abs(self.temperatures - theta[:, :1]).max(axis=1)
            inside &= np.abs(theta[:, -1]) * reach < 0.5
        return inside


@dataclass(frozen=True)
class Solutions:
    """Results of `minimise`, batch axis first."""

    theta: Values
    linear: Values
    residuals: Values
    chi2: Values
    converged: npt.NDArray[np.bool_]


def _project(problem: Problem, theta: Values, data: Values) -> tuple[Values, Values, Values, Values]:
    """Return orthonormal basis, linear coefficients, residuals and chi2 at given nonlinear parameters."""
    q, r = np.linalg.qr(problem.basis(theta))
    # Collinear terms leave a zero on the diagonal; a tiny number there keeps the batch solvable, at a huge coefficient.
    diagonal = np.einsum("bii->bi", r)
    floor = 1e-14 * np.abs(diagonal).max(axis=1, keepdims=True)
    diagonal[:] = np.where(np.abs(diagonal) < floor, floor, diagonal)
    components = np.einsum("bnm,bn->bm", q, data)
    residuals = data - np.einsum("bnm,bm->bn", q, components)
    linear = np.linalg.solve(r, components[..., None])[..., 0]
    return q, linear, residuals, np.einsum("bn,bn->b", residuals, residuals)


def minimise(problem: Problem, starts: Values, data: Values) -> Solutions:
    """Minimise chi2 from each start (B, n_nonlinear) for its weighted data (B, n): Levenberg-Marquardt, batched.

    The Jacobian of the projected residuals is Kaufman's: the part of the slopes that the linear terms cannot follow.
    """
    theta = np.array(starts, dtype=np.float64)
    q, linear, residuals, chi2 = _project(problem, theta, data)
    damping = np.full(len(theta), 1e-3)
    converged = np.zeros(len(theta), dtype=bool)
    identity = np.eye(theta.shape[1])
    rows = np.arange(len(theta))  # those under way: `q` and `damping` are kept for them alone
    for _ in range(_MAX_STEPS):
        slopes = problem.slopes(theta[rows], linear[rows])
        slopes -= q @ (q.transpose(0, 2, 1) @ slopes)
        gradient = np.einsum("bnk,bn->bk", slopes, residuals[rows])
        curvature = slopes.transpose(0, 2, 1) @ slopes
        diagonal = np.einsum("bkk->bk", curvature)
        scale = np.sqrt(np.maximum(diagonal, 1e-30 * (diagonal.sum(axis=1, keepdims=True) + 1e-270)))
        scaled = curvature / (scale[:, :, None] * scale[:, None, :])
        g = gradient / scale
        # The undamped decrement tells how far the minimum still is.
        full = np.linalg.solve(scaled + 1e-14 * identity, g[..., None])[..., 0]
        decrement = np.einsum("bk,bk->b", full, g)
        near = np.abs(decrement) <= _CONVERGED * (1 + chi2[rows])
        converged[rows] = near
        if near.all():
            break
        far = ~near
        rows, damping, q = rows[far], damping[far], q[far]
        scaled, g, scale = scaled[far], g[far], scale[far]
        step = np.linalg.solve(scaled + damping[:, None, None] * identity, g[..., None])[..., 0] / scale
        trial = theta[rows] + step
        allowed = problem.allowed(trial)
        trial = np.where(allowed[:, None], trial, theta[rows])
        new_q, new_linear, new_residuals, new_chi2 = _project(problem, trial, data[rows])
        better = allowed & (new_chi2 <= chi2[rows])
        moved = rows[better]
        theta[moved], linear[moved], residuals[moved] = trial[better], new_linear[better], new_residuals[better]
        chi2[moved] = new_chi2[better]
        q = np.where(better[:, None, None], new_q, q)
        damping = np.where(better, np.maximum(damping / 10, 1e-12), np.minimum(damping * 8, 1e12))
        if (damping >= 1e12).all():
            break
    return Solutions(theta, linear, residuals, chi2, converged & problem.allowed(theta))


def starting_points(problem: Problem, data: Values, guess: tuple[float, float] | None) -> Values:
    """Return starts (B, n_nonlinear): the guess, or the best points of a grid over the range of the data."""
    extra = ([_FIRST_OMEGA] if problem.model.fits_omega else []) + ([0.0] if problem.model.nonlinear else [])
    if guess is not None:
        critical, nu = (float(value) for value in guess)
        if not (math.isfinite(critical) and nu > 0 and problem.allowed(np.array([[critical, 1 / nu, *extra]]))[0]):
            raise ValueError(f"Argument `guess` must be (T_c, nu) inside the range of the data, but is {guess}.")
        return np.array([[critical, 1 / nu, *extra]])
    low, high = float(problem.temperatures.min()), float(problem.temperatures.max())
    t_grid = np.linspace(low, high, _GRID_T + 2)[1:-1]
    y_grid = np.geomspace(0.4, 3.0, _GRID_Y)
    t, y = (axis.ravel() for axis in np.meshgrid(t_grid, y_grid, indexing="ij"))
    theta = np.column_stack((t, y, *(np.full(len(t), value) for value in extra)))
    chi2 = _project(problem, theta, np.broadcast_to(data, (len(t), len(data))))[3]
    return theta[np.argsort(chi2)[:_N_STARTS]]


def to_standard(problem: Problem, theta: Values, linear: Values) -> Values:
    """Return all parameters in the units of the data, (B, n_parameters): L in sites, T in the units given."""
    order = problem.model.order
    shift = theta[:, 1:2] * problem.log_unit + math.log(problem.unit)
    factors = np.ones_like(linear)
    factors[:, : order + 1] = np.exp(-np.arange(order + 1) * shift)
    if problem.model.correction is not None:
        growth = np.exp(problem.omega(theta)[:, 0] * problem.log_unit)
        factors[:, order + 1] = growth
        if problem.model.mixed:
            factors[:, order + 2] = growth * np.exp(-shift[:, 0])
    return np.concatenate((theta, linear * factors), axis=1)


def covariance_of(problem: Problem, theta: Values, linear: Values) -> tuple[Values, Values]:
    """Return covariance and values of all parameters in the units of the data, from the Jacobian at the minimum."""
    slopes = problem.slopes(theta[None], linear[None])[0]
    jacobian = np.concatenate((slopes, problem.basis(theta[None])[0]), axis=1)
    scale = np.linalg.norm(jacobian, axis=0)
    _, singular, right = np.linalg.svd(jacobian / np.where(scale > 0, scale, 1.0), full_matrices=False)
    if not (scale > 0).all() or singular[-1] < _SINGULAR * singular[0]:
        raise ValueError(
            "The data do not determine all parameters of the collapse: lower `order`, fix `correction`, or add sizes "
            "and temperatures."
        )
    inverse = right.T / singular / scale[:, None]
    standard = to_standard(problem, theta[None], linear[None])[0]
    transform = _standard_jacobian(problem, theta, linear)
    return transform @ inverse @ inverse.T @ transform.T, standard


def _standard_jacobian(problem: Problem, theta: Values, linear: Values) -> Values:
    """Return d(standard parameters) / d(internal parameters), for the linear coefficients depend on L_0^(1/nu)."""
    k, order = len(theta), problem.model.order
    standard = to_standard(problem, theta[None], linear[None])[0]
    unit = to_standard(problem, theta[None], np.ones_like(linear)[None])[0]
    result = np.diag(np.concatenate((np.ones(k), unit[k:])))
    powers = np.zeros(len(linear))
    powers[: order + 1] = np.arange(order + 1)
    if problem.model.mixed:
        powers[order + 2] = 1
    result[k:, 1] = -powers * problem.log_unit * standard[k:]
    if problem.model.fits_omega:
        result[k + order + 1 :, 2] = problem.log_unit * standard[k + order + 1 :]
    return result
