"""From the eigenvalues of a reduced density matrix to entropies of any order, and the checks of their arguments."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Spectrum", "read_order", "read_subsystem", "renyi_entropy"]

# Roundings, in units of their own and of the dimension, that may stand where an eigenvalue is zero.
_ROUNDINGS = 8


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues of a reduced density matrix and what of them is rounding.

    Parameters
    ----------
    values : ndarray of float64, shape (n_values,)
        Not negative, falling, of sum 1.
    floor : float
        Values up to this times the largest cannot be told from zero.
    """

    values: NDArray[np.float64]
    floor: float

    @classmethod
    def of_singular_values(cls, singular: NDArray[np.float64]) -> Spectrum:
        """From Schmidt coefficients, falling, of any norm: small eigenvalues are known far below 1e-16."""
        weights = (singular / singular[0]) ** 2
        return cls(weights / weights.sum(), float(_ROUNDINGS * len(singular) * np.finfo(np.float64).eps) ** 2)

    @classmethod
    def of_density(cls, density: NDArray[Any]) -> Spectrum:
        """From a density matrix of any trace: eigenvalues are known to about 1e-16."""
        weights = np.linalg.eigvalsh(density)[::-1].clip(min=0.0)
        return cls(weights / weights.sum(), float(_ROUNDINGS * len(weights) * np.finfo(np.float64).eps))

    @classmethod
    def pure(cls) -> Spectrum:
        """Of a subsystem that is entangled with nothing."""
        return cls(np.ones(1), 0.0)

    def entropy(self, order: float) -> float:
        """Return the Rényi entropy, in nats."""
        # Below order 1 every rounding would count as an eigenvalue.
        values = self.values if order >= 1 else self.values[self.values > self.floor * self.values[0]]
        return _renyi(values, order)


def renyi_entropy(probabilities: ArrayLike, *, order: float = 1.0) -> float:
    """Return the Rényi entropy of a distribution: ln(sum_i p_i^order) / (1 - order), in nats.

    Parameters
    ----------
    probabilities : array_like, shape (n,)
        Not negative, and not all zero; divided by their sum.
    order : float, keyword
        At least 0. Order 1 is Shannon's entropy, 0 the logarithm of the number of positive entries, inf the
        min-entropy.

    Returns
    -------
    float
        Entropy in nats.

    Raises
    ------
    ValueError
        If an entry is negative or not finite, all are zero, or the order is negative or nan.

    Examples
    --------
    >>> [round(renyi_entropy([0.5, 0.25, 0.25], order=a), 4) for a in (0, 1, 2, float("inf"))]
    [1.0986, 1.0397, 0.9808, 0.6931]
    """
    values = np.asarray(probabilities, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all() or (values < 0).any() or not values.any():
        raise ValueError("Argument `probabilities` must be a row of numbers >= 0 that are not all zero, but it is not.")
    return _renyi(values / values.sum(), read_order(order))


def _renyi(values: NDArray[np.float64], order: float) -> float:
    values = values[values > 0]
    values = values / values.sum()
    logs = np.log(values)
    if order == np.inf:
        return max(0.0, -float(logs.max()))
    if order == 1:
        return max(0.0, -float(values @ logs))
    if abs(order - 1) < 0.5:  # ln(sum p^a) is close to zero, as is 1 - a: without the difference of two large parts
        return max(0.0, -float(np.log1p(values @ np.expm1((order - 1) * logs))) / (order - 1))
    largest = float(logs.max())
    total = np.log(np.exp(order * (logs - largest)).sum()) + order * largest
    return max(0.0, float(total) / (1 - order))


def read_order(order: float) -> float:
    """Check a Rényi order."""
    try:
        number = float(order)
    except (TypeError, ValueError):
        raise TypeError(f"Argument `order` must be a number, but it is {order!r}.") from None
    if not number >= 0:
        raise ValueError(f"Argument `order` must be at least 0, but it is {order!r}.")
    return number


def read_subsystem(subsystem: Iterable[int], n_sites: int) -> list[int]:
    """Check a set of sites, and return it in rising order."""
    try:
        sites = [operator.index(site) for site in subsystem]
    except TypeError:
        raise TypeError(f"Argument `subsystem` must be a sequence of sites, but it is {subsystem!r}.") from None
    for site in sites:
        if not 0 <= site < n_sites:
            raise ValueError(f"Argument `subsystem` must hold sites from 0 to {n_sites - 1}, but it holds {site}.")
    if len(set(sites)) < len(sites):
        twice = next(site for site in sites if sites.count(site) > 1)
        raise ValueError(f"Argument `subsystem` must name every site once, but it names {twice} twice.")
    return sorted(sites)
