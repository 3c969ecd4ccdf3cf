"""Data collapse: one weighted fit of a finite-size scaling function to all sizes. Public through `qmlphys.scaling`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from qmlphys.scaling._scaling_model import Problem, ScalingModel, covariance_of, minimise, starting_points, to_standard
from qmlphys.stats import Estimate

__all__ = ["Collapse", "collapse", "replica_covariance", "replica_errors"]

Values = npt.NDArray[np.float64]

# The slope of the scaling function at T_c must differ from zero by this many standard errors.
_SIGNIFICANT = 3.0


@dataclass(frozen=True, eq=False)
class Collapse:
    """A fitted data collapse; made by `collapse`.

    Parameters
    ----------
    critical_point : Estimate
        T_c.
    nu : Estimate
        Correlation-length exponent.
    coefficients : dict of str to Estimate
        All parameters by name: "critical_point", "inverse_nu", "omega" and "nonlinearity" if fitted, "R*", "a_1" .. ,
        "b" and "c" if present.
    covariance : ndarray of shape (n_parameters, n_parameters)
        Covariance of the parameters, from replicas where given, in the order of `coefficients`.
    chi2, p_value : float
        Goodness of the fit.
    dof : int
        Points less parameters.
    sizes, temperatures, values, errors : ndarray of shape (n_points,)
        The data.
    residuals : ndarray of shape (n_points,)
        (value - fit) / error.
    replica_parameters : ndarray of shape (n_replicas, n_parameters) or None
        Parameters refitted to each replica.
    """

    critical_point: Estimate
    nu: Estimate
    coefficients: dict[str, Estimate]
    covariance: Values
    chi2: float
    dof: int
    p_value: float
    sizes: Values
    temperatures: Values
    values: Values
    errors: Values
    residuals: Values
    replica_parameters: Values | None
    _model: ScalingModel = field(repr=False)

    @property
    def aic(self) -> float:
        """Akaike information criterion, chi2 + 2 n_parameters."""
        return self.chi2 + 2 * len(self.coefficients)

    def _get(self, name: str) -> float:
        return self.coefficients[name].mean if name in self.coefficients else 0.0

    def scaled_variable(self, sizes: npt.ArrayLike, temperatures: npt.ArrayLike) -> Values:
        """Return x = (T - T_c) L^(1/nu), with the fitted nonlinearity if there is one.

        Parameters
        ----------
        sizes, temperatures : array_like
            Sizes and temperatures, broadcast against each other.

        Returns
        -------
        ndarray
            Scaled variable.
        """
        t = np.asarray(temperatures, dtype=np.float64) - self._get("critical_point")
        length = np.asarray(sizes, dtype=np.float64) ** self._get("inverse_nu")
        return t * (1 + self._get("nonlinearity") * t) * length

    def curve(self, x: npt.ArrayLike) -> Values:
        """Return the fitted scaling function R* + a_1 x + a_2 x^2 + .. of infinite size.

        Parameters
        ----------
        x : array_like
            Scaled variable.

        Returns
        -------
        ndarray
            The master curve.
        """
        powers = [self._get("R*"), *(self._get(f"a_{k}") for k in range(1, self._model.order + 1))]
        return np.asarray(np.polynomial.polynomial.polyval(np.asarray(x, dtype=np.float64), powers))

    def correction(self, sizes: npt.ArrayLike, temperatures: npt.ArrayLike) -> Values:
        """Return the fitted correction to scaling, (b + c x) L^-omega; zero without one.

        Parameters
        ----------
        sizes, temperatures : array_like
            Sizes and temperatures, broadcast against each other.

        Returns
        -------
        ndarray
            What to subtract from values so that they lie on `curve`.
        """
        x = self.scaled_variable(sizes, temperatures)
        if self._model.correction is None:
            return np.zeros_like(x)
        omega = self._model.correction if isinstance(self._model.correction, float) else self._get("omega")
        return (self._get("b") + self._get("c") * x) * np.asarray(sizes, dtype=np.float64) ** -omega

    def predict(self, sizes: npt.ArrayLike, temperatures: npt.ArrayLike) -> Values:
        """Return the fitted values, master curve and correction.

        Parameters
        ----------
        sizes, temperatures : array_like
            Sizes and temperatures, broadcast against each other.

        Returns
        -------
        ndarray
            R(T, L).
        """
        return self.curve(self.scaled_variable(sizes, temperatures)) + self.correction(sizes, temperatures)


def replica_covariance(replicas: Values, kind: str) -> Values:
    """Return the covariance of the rows of an array (n_replicas, n) of jackknife or bootstrap replicas."""
    deviations = replicas - replicas.mean(axis=0)
    n = len(replicas)
    return deviations.T @ deviations * ((n - 1) / n if kind == "jackknife" else 1 / (n - 1))


def replica_errors(replicas: Values, kind: str) -> Values:
    """Return the standard errors of the columns of an array (n_replicas, n) of jackknife or bootstrap replicas."""
    n = len(replicas)
    return replicas.std(axis=0) * math.sqrt(n - 1 if kind == "jackknife" else n / (n - 1))


def _data(
    sizes: npt.ArrayLike,
    temperatures: npt.ArrayLike,
    values: npt.ArrayLike,
    errors: npt.ArrayLike | None,
    replicas: npt.ArrayLike | None,
    kind: str,
) -> tuple[Values, Values, Values, Values, Values | None]:
    """Check the data and return float arrays; errors from the replicas where they are not given."""
    if kind not in ("jackknife", "bootstrap"):
        raise ValueError(f"Argument `replica_kind` must be 'jackknife' or 'bootstrap', but is {kind!r}.")
    named = {"sizes": sizes, "temperatures": temperatures, "values": values}
    arrays = {name: np.asarray(item, dtype=np.float64) for name, item in named.items()}
    table = None
    if replicas is not None:
        table = np.asarray(replicas, dtype=np.float64)
        if table.ndim != 2 or table.shape[1] < 3:
            raise ValueError(
                f"Argument `replicas` must have shape (n_points, n_replicas) with at least 3, but has {table.shape}."
            )
    if errors is None:
        if table is None:
            raise ValueError("Argument `errors` must be given unless `replicas` are.")
        arrays["errors"] = replica_errors(table.T, kind)
    else:
        arrays["errors"] = np.asarray(errors, dtype=np.float64)
    n_points = arrays["sizes"].size
    for name, array in arrays.items():
        if array.ndim != 1 or len(array) != n_points or n_points == 0:
            raise ValueError(
                f"Argument `{name}` must have shape (n_points,) = ({n_points},) like `sizes`, but has {array.shape}: "
                "one entry for each pair of size and temperature."
            )
        if not np.isfinite(array).all():
            raise ValueError(
                f"Argument `{name}` must be finite, but {int((~np.isfinite(array)).sum())} entries are not."
            )
    if table is not None and (len(table) != n_points or not np.isfinite(table).all()):
        raise ValueError(f"Argument `replicas` must be finite and have {n_points} rows, but has shape {table.shape}.")
    if (arrays["sizes"] <= 0).any():
        raise ValueError(f"Argument `sizes` must be positive, but holds {arrays['sizes'].min()}.")
    if (arrays["errors"] <= 0).any():
        raise ValueError(f"Argument `errors` must be positive, but holds {arrays['errors'].min()}.")
    return arrays["sizes"], arrays["temperatures"], arrays["values"], arrays["errors"], table


def _p_value(chi2: float, dof: int, n_replicas: int | None) -> float:
    """Return the probability of a larger chi2; errors measured from few replicas widen its distribution.

    A squared residual over a variance measured with m degrees of freedom follows F(1, m); the sum is matched in mean
    and variance by a scaled chi2 distribution.
    """
    if dof == 0:
        return math.nan
    m = math.inf if n_replicas is None else n_replicas - 1.0
    if m <= 4 or math.isinf(m):
        return float(special.chdtrc(dof, chi2))
    mean, variance = m / (m - 2), 2 * m**2 * (m - 1) / ((m - 2) ** 2 * (m - 4))
    return float(special.chdtrc(2 * dof * mean**2 / variance, 2 * chi2 * mean / variance))


def collapse(
    sizes: npt.ArrayLike,
    temperatures: npt.ArrayLike,
    values: npt.ArrayLike,
    errors: npt.ArrayLike | None = None,
    *,
    order: int = 3,
    correction: float | Literal["fit"] | None = None,
    mixed: bool = False,
    nonlinear: bool = False,
    replicas: npt.ArrayLike | None = None,
    replica_kind: Literal["jackknife", "bootstrap"] = "jackknife",
    guess: tuple[float, float] | None = None,
) -> Collapse:
    """Fit R(T, L) = R* + sum of a_k x^k + (b + c x) L^-omega with x = (T - T_c) L^(1/nu) to all sizes at once.

    Weighted least squares by variable projection: the coefficients, in which R is linear, are solved for exactly at
    every step of a Levenberg-Marquardt search over T_c and 1/nu (and omega, d). Without a `guess` it starts from
    the best points of a grid that spans the data; no known critical value enters.

    Parameters
    ----------
    sizes, temperatures : array_like of shape (n_points,)
        Linear size and temperature of each point; sizes need not share temperatures.
    values, errors : array_like of shape (n_points,)
        A dimensionless quantity, such as a cumulant ratio or a network's output, and its standard errors. Errors may
        be left out if there are replicas.
    order : int
        Order of the polynomial in x, 1 to 9.
    correction : None, float or "fit"
        omega of the leading correction to scaling: none, fixed, or fitted.
    mixed : bool
        Also fit the term c x L^-omega.
    nonlinear : bool
        Also fit d in x = (T - T_c) [1 + d (T - T_c)] L^(1/nu).
    replicas : array_like of shape (n_points, n_replicas), optional
        Values with each independent chain left out in turn (delete-one jackknife), or bootstrap values. Column i is
        the same chain at all points. The errors of the result then come from refits of the columns, which
        is right for correlated points too; weights stay the same.
    replica_kind : {"jackknife", "bootstrap"}
        What the replicas are.
    guess : tuple of float, optional
        Starting point (T_c, nu) in place of the grid, for example from another fit.

    Returns
    -------
    Collapse
        Critical point, nu, coefficients, goodness of fit, and the scaled variable for plots.

    Raises
    ------
    ValueError
        If the data do not hold the transition of at least two sizes, do not determine all parameters, or are malformed.

    References
    ----------
    M. N. Barber, in Phase transitions and critical phenomena 8 (1983), sec. II; K. Binder, Z. Phys. B 43, 119 (1981);
    G. H. Golub, V. Pereyra, SIAM J. Numer. Anal. 10, 413 (1973) (variable projection).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> size, t = (a.ravel() for a in np.meshgrid([16.0, 32.0, 64.0], np.linspace(2.2, 2.4, 21)))
    >>> values = 0.9 - 0.3 * np.tanh((t - 2.3) * size / 4) + 1e-3 * rng.normal(size=63)
    >>> fit = collapse(size, t, values, np.full(63, 1e-3), order=7)
    >>> print(fit.critical_point, fit.nu, fit.dof)
    2.30011(13) 1.006(4) 53
    """
    length, t, v, sigma, table = _data(sizes, temperatures, values, errors, replicas, replica_kind)
    model = ScalingModel(order, correction, mixed=mixed, nonlinear=nonlinear)
    n_parameters = model.n_nonlinear + model.n_linear
    n_sizes = len(np.unique(length))
    needed = 2 if model.correction is None else 3
    if n_sizes < needed:
        raise ValueError(f"Argument `sizes` must hold at least {needed} sizes for this fit, but holds {n_sizes}.")
    if len(v) <= n_parameters:
        raise ValueError(
            f"Argument `values` must hold more than {n_parameters} points (parameters), but holds {len(v)}."
        )
    problem = Problem(model, length, t, 1 / sigma)
    weighted = v / sigma
    starts = starting_points(problem, weighted, guess)
    solutions = minimise(problem, starts, np.broadcast_to(weighted, (len(starts), len(v))))
    best = int(np.argmin(np.where(solutions.converged, solutions.chi2, np.inf)))
    if not solutions.converged[best]:
        raise ValueError(
            "The collapse did not converge: no T_c and nu inside the range of `temperatures` minimise chi2. The data "
            "must cover both sides of the transition; with `correction='fit'`, fix omega instead."
        )
    theta = solutions.theta[best]
    internal, parameters = covariance_of(problem, theta, solutions.linear[best])
    covariance, standard = internal, parameters
    replica_parameters = None
    if table is not None:
        shifted = minimise(problem, np.broadcast_to(theta, (table.shape[1], len(theta))), table.T / sigma)
        if not shifted.converged.all():
            n_lost = int((~shifted.converged).sum())
            raise ValueError(
                f"{n_lost} of {table.shape[1]} replicas have no collapse: the data do not determine the fit."
            )
        replica_parameters = to_standard(problem, shifted.theta, shifted.linear)
        covariance = replica_covariance(replica_parameters, replica_kind)
    sd = np.sqrt(covariance.diagonal())
    names = model.names
    _require_transition(length, t, standard, sd, names)
    inverse_nu = standard[1]
    nu_error = sd[1] / inverse_nu**2
    if replica_parameters is not None:
        nu_error = float(replica_errors(1 / replica_parameters[:, 1:2], replica_kind)[0])
    residuals = solutions.residuals[best]
    chi2 = float(residuals @ residuals)
    dof = len(v) - n_parameters
    measured = None
    if table is not None and replica_kind == "jackknife" and np.allclose(sigma, replica_errors(table.T, replica_kind)):
        measured = table.shape[1]
    return Collapse(
        Estimate(standard[0], sd[0]),
        Estimate(1 / inverse_nu, nu_error),
        {name: Estimate(mean, error) for name, mean, error in zip(names, standard, sd, strict=True)},
        covariance,
        chi2,
        dof,
        _p_value(chi2, dof, measured),
        length,
        t,
        v,
        sigma,
        residuals,
        replica_parameters,
        model,
    )


def _require_transition(sizes: Values, temperatures: Values, parameters: Values, sd: Values, names: list[str]) -> None:
    critical, slope = parameters[0], names.index("a_1")
    covered = [
        size
        for size in np.unique(sizes)
        if temperatures[sizes == size].min() < critical < temperatures[sizes == size].max()
    ]
    if len(covered) < 2:
        raise ValueError(
            f"Argument `temperatures` must reach to both sides of the transition for at least two sizes, but the fit "
            f"puts it at {critical:.6g}, inside the range of {len(covered)}."
        )
    if abs(parameters[slope]) < _SIGNIFICANT * sd[slope]:
        raise ValueError(
            "The collapse has no significant slope at the fitted T_c: the data do not show a transition in this range "
            "of `temperatures`."
        )
