"""Ratios of moments of an order parameter over independent chains. Public through `qmlphys.scaling`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from qmlphys.scaling._collapse import replica_covariance
from qmlphys.stats._estimate import require_finite

__all__ = ["Cumulant", "cumulant_from_moments", "cumulant_ratio"]

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cumulant:
    """A ratio of moments at one or more points, with its delete-one-chain replicas.

    Parameters
    ----------
    values, errors : ndarray of shape (...,)
        The ratio and its jackknife error at each point.
    replicas : ndarray of shape (..., n_chains)
        The ratio with each chain left out in turn; flattened to (n_points, n_chains) it goes into `collapse`.
    """

    values: Values
    errors: Values
    replicas: Values

    @property
    def covariance(self) -> Values:
        """Jackknife covariance between points, shape (n_points, n_points); right if chains run through all points."""
        return replica_covariance(self.replicas.reshape(-1, self.replicas.shape[-1]).T, "jackknife")


def cumulant_ratio(
    order_parameter: npt.ArrayLike,
    *,
    kind: Literal["ratio", "binder"] = "ratio",
    bias_correction: bool = True,
) -> Cumulant:
    """Return <q^2>^2 / <q^4> (or the Binder cumulant) of an order parameter measured in independent chains.

    Parameters
    ----------
    order_parameter : array_like of shape (..., n_chains, n_draws)
        Order parameter q, such as the magnetisation; leading axes are points (sizes, temperatures).
    kind : {"ratio", "binder"}
        <q^2>^2 / <q^4>, between 1/3 (Gaussian) and 1 (ordered), or U = 1 - <q^4> / (3 <q^2>^2), between 0 and 2/3.
    bias_correction : bool
        Remove the bias of order 1 / n_chains by the jackknife.

    Returns
    -------
    Cumulant
        Values, errors and delete-one-chain replicas.

    Raises
    ------
    ValueError
        If there are fewer than two chains, or numbers are not finite or vanish identically.

    References
    ----------
    K. Binder, Z. Phys. B 43, 119 (1981) (fourth-order cumulant).

    Examples
    --------
    >>> from qmlphys.stats import Estimate
    >>> gaussian = cumulant_ratio(np.random.default_rng(0).normal(size=(64, 500)))
    >>> print(Estimate(gaussian.values, gaussian.errors))
    0.331(3)
    """
    q = np.asarray(order_parameter, dtype=np.float64)
    if q.ndim < 2 or q.size == 0:
        raise ValueError(f"Argument `order_parameter` must have shape (..., n_chains, n_draws), but has {q.shape}.")
    require_finite(q, "order_parameter")
    square = q**2
    return cumulant_from_moments(
        square.mean(axis=-1), (square**2).mean(axis=-1), kind=kind, bias_correction=bias_correction
    )


def cumulant_from_moments(
    second: npt.ArrayLike,
    fourth: npt.ArrayLike,
    *,
    kind: Literal["ratio", "binder"] = "ratio",
    bias_correction: bool = True,
) -> Cumulant:
    """Return the same as `cumulant_ratio` from the moments <q^2> and <q^4> of each chain.

    Parameters
    ----------
    second, fourth : array_like of shape (..., n_chains)
        Moments of each chain; all chains of a point have the same number of draws.
    kind, bias_correction
        As in `cumulant_ratio`.

    Returns
    -------
    Cumulant
        Values, errors and delete-one-chain replicas.

    Raises
    ------
    ValueError
        If there are fewer than two chains, shapes differ, or numbers are not finite or vanish identically.

    References
    ----------
    K. Binder, Z. Phys. B 43, 119 (1981) (fourth-order cumulant).

    Examples
    --------
    >>> cumulant_from_moments([1.0, 1.0], [1.0, 1.0]).values
    array(1.)
    """
    m2, m4 = np.asarray(second, dtype=np.float64), np.asarray(fourth, dtype=np.float64)
    if m2.shape != m4.shape or m2.ndim < 1 or m2.shape[-1] < 2:
        raise ValueError(
            "Arguments `second` and `fourth` must have the same shape (..., n_chains) with at least 2 chains, but have "
            f"{m2.shape} and {m4.shape}."
        )
    require_finite(m2, "second")
    require_finite(m4, "fourth")
    if kind not in ("ratio", "binder"):
        raise ValueError(f"Argument `kind` must be 'ratio' or 'binder', but is {kind!r}.")
    n = m2.shape[-1]
    left_out = [(m.sum(axis=-1, keepdims=True) - m) / (n - 1) for m in (m2, m4)]
    if (left_out[0] <= 0).any() or (left_out[1] <= 0).any():
        raise ValueError(
            "Arguments `second` and `fourth` must be positive: the order parameter vanishes at some point."
        )

    def ratio(a: Values, b: Values) -> Values:
        return a**2 / b if kind == "ratio" else 1 - b / (3 * a**2)

    values = ratio(m2.mean(axis=-1), m4.mean(axis=-1))
    replicas = ratio(*left_out)
    centre = replicas.mean(axis=-1)
    errors = np.sqrt((n - 1) * ((replicas - centre[..., None]) ** 2).mean(axis=-1))
    if bias_correction:
        shift = (n - 1) * (values - centre)
        values, replicas = values + shift, replicas + shift[..., None]
    return Cumulant(np.asarray(values), np.asarray(errors), replicas)
