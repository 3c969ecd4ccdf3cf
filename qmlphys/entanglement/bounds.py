"""Bounds on the entanglement of functions of few affine features of the spins."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qmlphys._arguments import whole_number
from qmlphys.entanglement._clusters import labels_of_rows
from qmlphys.entanglement._spectra import read_subsystem

__all__ = ["EntanglementBound", "distinct_values_bound", "entanglement_bound"]

# Partial sums of features that are told apart; those that rounding explains, in units of the largest weight, are one.
_MAX_VALUES = 2**20
_SAME = 1e-12


@dataclass(frozen=True)
class EntanglementBound:
    """What the number of affine features says of entropies.

    Parameters
    ----------
    value : float
        c mu ln n, in nats.
    ceiling : float
        What no state of n spins exceeds: ln 2 times half of them, rounded down.
    constant : float
        The c that was taken.
    says_nothing : bool
        Whether mu reaches n, or the value the ceiling.
    sentence : str
        This, in words.
    """

    value: float
    ceiling: float
    constant: float
    says_nothing: bool
    sentence: str


def entanglement_bound(n_features: int, n_sites: int, *, constant: float = 1.0) -> EntanglementBound:
    """Return the bound S_A <= c mu ln n on the entropy of every subsystem.

    Parameters
    ----------
    n_features : int
        mu, the affine features of the spins that psi is a function of; see `affine_features`.
    n_sites : int
        n, at least 2.
    constant : float, keyword
        c > 0. The theorem only says that there is one.

    Returns
    -------
    EntanglementBound
        The value for this c, and whether it says anything.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.

    Notes
    -----
    Paul, Phys. Rev. Lett. 136 (2026), arXiv:2510.11797: if psi = G(features) with G analytic and bounded, and the
    features and G fixed while n grows, S_A <= c mu ln n for every A, with mu <= k + 1 for k scalar nonlinearities.
    Rigorous is the growth with n for some c that depends on how far G can be continued into the complex plane; at one
    n and c = 1 the value is a scale, not a bound. Rigorous at every n are `polynomial_schmidt_bounds` where G is a
    polynomial, and `distinct_values_bound` where the weights repeat.

    Examples
    --------
    >>> entanglement_bound(1, 22).says_nothing, entanglement_bound(22, 22).says_nothing
    (False, True)
    """
    mu = whole_number("n_features", n_features, least=0)
    n = whole_number("n_sites", n_sites, least=2)
    if not (isinstance(constant, int | float | np.floating) and math.isfinite(constant) and constant > 0):
        raise ValueError(f"Argument `constant` must be a positive number, but it is {constant!r}.")
    value, ceiling = constant * mu * math.log(n), (n // 2) * math.log(2)
    scale = f"c mu ln n = {value:.4g} nats with c = {constant:g}"
    if mu >= n:
        sentence = (
            f"{mu} affine features of {n} spins: psi can be any function of the spins, and the bound says nothing."
        )
    elif value >= ceiling:
        sentence = (
            f"{scale} is not below the {ceiling:.4g} nats that any state of {n} spins keeps: at this n it says nothing."
        )
    else:
        sentence = (
            f"{scale}, below the {ceiling:.4g} nats of volume law: at fixed mu = {mu} entropies grow as ln n at most, "
            "if psi is an analytic, bounded function of the features; c itself is not known."
        )
    return EntanglementBound(value, ceiling, float(constant), mu >= n or value >= ceiling, sentence)


def distinct_values_bound(matrix: ArrayLike, subsystem: Iterable[int]) -> float:
    """Return a rigorous bound on the entropy of a subsystem of any function of the features, in nats.

    Parameters
    ----------
    matrix : array_like of float, shape (n_features, n_sites)
        Weights of the features, such as `AffineFeatures.matrix`.
    subsystem : iterable of int
        Sites, each once.

    Returns
    -------
    float
        The logarithm of the number of values that the features' sums over the sites of the smaller of both counts take,
        at most the ln 2 a site of any state.

    Raises
    ------
    ValueError, TypeError
        If the matrix is malformed or a site does not exist.

    Notes
    -----
    psi(s_A, s_B) = g(F_A s_A + F_B s_B): two configurations of A with equal F_A s_A are equal rows of psi's matrix, so
    the Schmidt rank is at most the number of values on either side, whatever g is. Weights that are all equal give
    n_A + 1 values, as in Dicke states; generic ones 2^n_A, and the bound is the trivial one.

    Examples
    --------
    >>> round(distinct_values_bound([[1.0] * 100], range(9)), 6) == round(math.log(10), 6)
    True
    """
    weights = np.asarray(matrix, dtype=np.float64)
    if weights.ndim != 2 or weights.shape[1] < 1 or not np.isfinite(weights).all():
        raise ValueError(
            f"Argument `matrix` must be finite, of shape (n_features, n_sites), but its shape is {weights.shape}."
        )
    sites = read_subsystem(subsystem, weights.shape[1])
    others = sorted(set(range(weights.shape[1])) - set(sites))
    ceiling = min(len(sites), len(others)) * math.log(2)
    counts = [_n_values(weights[:, side]) for side in (sites, others)]
    return min([ceiling, *(math.log(count) for count in counts if count is not None)])


def _n_values(weights: NDArray[np.float64]) -> int | None:
    """Count the values of weights @ s over all s; None where there are too many to count."""
    largest = np.abs(weights).max(axis=1, keepdims=True, initial=0.0)
    steps = (weights / np.where(largest > 0, largest, 1.0)).T  # equal weights become 1, whose sums are exact
    values = np.zeros((1, steps.shape[1]))
    for step in steps[steps.any(axis=1)]:
        if 2 * len(values) > _MAX_VALUES:
            return None
        both = np.concatenate([values + step, values - step])
        _, first = np.unique(labels_of_rows(both, _SAME), return_index=True)
        values = both[first]
    return len(values)
