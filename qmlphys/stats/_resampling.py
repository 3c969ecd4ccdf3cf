"""Jackknife and bootstrap over independent groups (chains). Public through `qmlphys.stats`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from qmlphys.stats._estimate import Estimate, require_finite

__all__ = ["bootstrap", "bootstrap_replicas", "jackknife", "jackknife_covariance", "jackknife_replicas"]


def _groups(data: tuple[npt.ArrayLike, ...], axis: int) -> list[npt.NDArray[Any]]:
    """Check the arrays that are resampled and bring their group axis to the front."""
    if not data:
        raise ValueError("Argument `data` must be at least one array whose axis runs over groups, but none was given.")
    arrays = []
    for position, item in enumerate(data):
        array = np.asarray(item)
        if array.ndim == 0:
            raise ValueError(f"Argument `data[{position}]` must have an axis of groups, but is a scalar.")
        if array.dtype.kind not in "biufc":
            raise TypeError(f"Argument `data[{position}]` must hold numbers, but its dtype is {array.dtype}.")
        require_finite(array, f"data[{position}]")
        arrays.append(np.moveaxis(array, axis, 0))
    lengths = {len(array) for array in arrays}
    if len(lengths) > 1:
        raise ValueError(f"Argument `data` must agree in the number of groups, but they are {sorted(lengths)}.")
    if min(lengths) < 2:
        raise ValueError(f"Argument `data` must have at least 2 groups, but has {min(lengths)}.")
    return arrays


def _apply(function: Callable[..., Any], arrays: list[npt.NDArray[Any]], axis: int) -> npt.NDArray[np.float64]:
    result = np.asarray(function(*(np.moveaxis(array, 0, axis) for array in arrays)), dtype=np.float64)
    if result.ndim > 1:
        raise ValueError(f"Argument `function` must return a number or a vector, but returned shape {result.shape}.")
    if not np.isfinite(result).all():
        raise ValueError(f"Argument `function` must return finite numbers, but returned {result}.")
    return result


def jackknife_replicas(function: Callable[..., Any], *data: npt.ArrayLike, axis: int = 0) -> npt.NDArray[np.float64]:
    """Return the function with each group left out in turn.

    Parameters
    ----------
    function : callable
        Takes the arrays without one group and returns a number or a vector.
    *data : array_like of shape (n_groups, ...)
        Arrays whose `axis` runs over the same independent groups (chains).
    axis : int
        Axis of the groups.

    Returns
    -------
    ndarray of shape (n_groups,) or (n_groups, n_values)
        Delete-one-group values.

    Raises
    ------
    ValueError, TypeError
        If there are fewer than two groups, numbers of groups differ, or anything is not finite.

    References
    ----------
    B. Efron, The jackknife, the bootstrap and other resampling plans (1982), ch. 3 (SIAM).

    Examples
    --------
    >>> jackknife_replicas(np.mean, [1.0, 2.0, 6.0])
    array([4. , 3.5, 1.5])
    """
    arrays = _groups(data, axis)
    values = [
        _apply(function, [np.delete(array, group, axis=0) for array in arrays], axis) for group in range(len(arrays[0]))
    ]
    return np.stack(values)


def jackknife_covariance(
    function: Callable[..., Any], *data: npt.ArrayLike, axis: int = 0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return a vector-valued function of the data and its jackknife covariance matrix.

    Parameters
    ----------
    function : callable
        Takes the arrays and returns a vector.
    *data : array_like of shape (n_groups, ...)
        Arrays whose `axis` runs over the same independent groups (chains).
    axis : int
        Axis of the groups.

    Returns
    -------
    values : ndarray of shape (n_values,)
        The function of all data.
    covariance : ndarray of shape (n_values, n_values)
        Its covariance; of rank n_groups - 1 at most.

    Raises
    ------
    ValueError, TypeError
        As `jackknife_replicas`.

    References
    ----------
    B. Efron, The jackknife, the bootstrap and other resampling plans (1982), ch. 3 (SIAM).

    Examples
    --------
    >>> values, covariance = jackknife_covariance(lambda x: x.mean(axis=0), [[1.0, 0.0], [3.0, 0.0]])
    >>> values, covariance.diagonal()
    (array([2., 0.]), array([1., 0.]))
    """
    replicas = np.atleast_2d(jackknife_replicas(function, *data, axis=axis).T).T
    values = np.atleast_1d(_apply(function, _groups(data, axis), axis))
    deviations = replicas - replicas.mean(axis=0)
    return values, (len(replicas) - 1) / len(replicas) * deviations.T @ deviations


@overload
def jackknife(
    function: Callable[..., float], *data: npt.ArrayLike, axis: int = 0, bias_correction: bool = False
) -> Estimate: ...
@overload
def jackknife(
    function: Callable[..., npt.NDArray[Any]], *data: npt.ArrayLike, axis: int = 0, bias_correction: bool = False
) -> list[Estimate]: ...
def jackknife(
    function: Callable[..., Any], *data: npt.ArrayLike, axis: int = 0, bias_correction: bool = False
) -> Estimate | list[Estimate]:
    """Return a function of the data with its delete-one-group jackknife error.

    Parameters
    ----------
    function : callable
        Takes the arrays (all groups, or all but one) and returns a number or a vector.
    *data : array_like of shape (n_groups, ...)
        Arrays whose `axis` runs over the same independent groups (chains).
    axis : int
        Axis of the groups.
    bias_correction : bool
        Remove the bias of order 1 / n_groups from the mean: n f - (n - 1) mean of the replicas.

    Returns
    -------
    Estimate or list of Estimate
        One for a number, a list for a vector.

    Raises
    ------
    ValueError, TypeError
        As `jackknife_replicas`.

    References
    ----------
    B. Efron, The jackknife, the bootstrap and other resampling plans (1982), chs. 2 (bias)
    and 3 (variance).

    Examples
    --------
    >>> chains = np.random.default_rng(0).normal(size=(64, 100))
    >>> print(jackknife(lambda x: np.mean(x**2) ** 2 / np.mean(x**4), chains))
    0.339(8)
    """
    replicas = jackknife_replicas(function, *data, axis=axis)
    values = _apply(function, _groups(data, axis), axis)
    n_groups = len(replicas)
    centre = replicas.mean(axis=0)
    errors = np.sqrt((n_groups - 1) / n_groups * ((replicas - centre) ** 2).sum(axis=0))
    if bias_correction:
        values = n_groups * values - (n_groups - 1) * centre
    return _estimates(values, errors)


def _estimates(values: npt.NDArray[np.float64], errors: npt.NDArray[np.float64]) -> Estimate | list[Estimate]:
    if values.ndim == 0:
        return Estimate(float(values), float(errors))
    return [Estimate(float(value), float(error)) for value, error in zip(values, errors, strict=True)]


def bootstrap_replicas(
    function: Callable[..., Any],
    *data: npt.ArrayLike,
    n_resamples: int = 1000,
    rng: int | np.random.Generator | None = None,
    axis: int = 0,
) -> npt.NDArray[np.float64]:
    """Return the function of groups drawn with replacement.

    Parameters
    ----------
    function : callable
        Takes the arrays and returns a number or a vector.
    *data : array_like of shape (n_groups, ...)
        Arrays whose `axis` runs over the same independent groups (chains).
    n_resamples : int
        Number of resamples, >= 2.
    rng : None, int or Generator
        Random numbers.
    axis : int
        Axis of the groups.

    Returns
    -------
    ndarray of shape (n_resamples,) or (n_resamples, n_values)
        The function of each resample.

    Raises
    ------
    ValueError, TypeError
        As `jackknife_replicas`, and if `n_resamples` is below 2.

    References
    ----------
    B. Efron, The jackknife, the bootstrap and other resampling plans (1982), ch. 5 (SIAM).

    Examples
    --------
    >>> bootstrap_replicas(np.mean, [1.0, 1.0, 1.0], n_resamples=4, rng=0)
    array([1., 1., 1., 1.])
    """
    if n_resamples < 2:
        raise ValueError(f"Argument `n_resamples` must be at least 2, but is {n_resamples}.")
    arrays = _groups(data, axis)
    generator = np.random.default_rng(rng)
    n_groups = len(arrays[0])
    picks = generator.integers(n_groups, size=(n_resamples, n_groups))
    return np.stack([_apply(function, [array[pick] for array in arrays], axis) for pick in picks])


@overload
def bootstrap(
    function: Callable[..., float],
    *data: npt.ArrayLike,
    n_resamples: int = 1000,
    rng: int | np.random.Generator | None = None,
    axis: int = 0,
) -> Estimate: ...
@overload
def bootstrap(
    function: Callable[..., npt.NDArray[Any]],
    *data: npt.ArrayLike,
    n_resamples: int = 1000,
    rng: int | np.random.Generator | None = None,
    axis: int = 0,
) -> list[Estimate]: ...
def bootstrap(
    function: Callable[..., Any],
    *data: npt.ArrayLike,
    n_resamples: int = 1000,
    rng: int | np.random.Generator | None = None,
    axis: int = 0,
) -> Estimate | list[Estimate]:
    """Return a function of the data with its bootstrap error over groups.

    The scatter of the resamples is multiplied by sqrt(n / (n - 1)), which makes the error of a mean unbiased in square.

    Parameters
    ----------
    function : callable
        Takes the arrays and returns a number or a vector.
    *data : array_like of shape (n_groups, ...)
        Arrays whose `axis` runs over the same independent groups (chains).
    n_resamples : int
        Number of resamples, >= 2; the error's own relative error is about 1 / sqrt(2 n_resamples).
    rng : None, int or Generator
        Random numbers.
    axis : int
        Axis of the groups.

    Returns
    -------
    Estimate or list of Estimate
        One for a number, a list for a vector; the mean is the function of the data as given.

    Raises
    ------
    ValueError, TypeError
        As `bootstrap_replicas`.

    References
    ----------
    B. Efron, The jackknife, the bootstrap and other resampling plans (1982), ch. 5 (SIAM).

    Examples
    --------
    >>> chains = np.random.default_rng(0).normal(size=(64, 100))
    >>> print(bootstrap(lambda x: np.mean(x**2) ** 2 / np.mean(x**4), chains, n_resamples=200, rng=0))
    0.339(8)
    """
    replicas = bootstrap_replicas(function, *data, n_resamples=n_resamples, rng=rng, axis=axis)
    arrays = _groups(data, axis)
    n_groups = len(arrays[0])
    errors = replicas.std(axis=0, ddof=1) * math.sqrt(n_groups / (n_groups - 1))
    return _estimates(_apply(function, arrays, axis), errors)
