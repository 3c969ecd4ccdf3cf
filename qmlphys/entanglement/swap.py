"""Rényi-2 entropy by Monte Carlo: two copies of a state, part of which is exchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qmlphys import stats
from qmlphys._arguments import whole_number
from qmlphys.entanglement._spectra import read_subsystem

__all__ = ["swap_entropy"]

# Tr rho^2 must lie this many errors above zero for its logarithm to mean something.
_SIGNIFICANT = 3.0
_MIN_PAIRS = 4


def swap_entropy(
    sample: Callable[[int, np.random.Generator], Any],
    log_psi: Callable[[NDArray[np.int8]], Any],
    subsystem: Iterable[int],
    *,
    n_samples: int = 10_000,
    groups: ArrayLike | None = None,
    chunk_size: int = 8192,
    rng: np.random.Generator | int | None = None,
) -> stats.Estimate:
    """Estimate the Rényi-2 entropy of a state that can be sampled and evaluated.

    Parameters
    ----------
    sample : callable, (n, rng) -> array_like of -1 and +1, shape (n, n_sites)
        Draws n configurations from |psi|^2. They must be independent, also of those of other calls, unless `groups`
        says which are not.
    log_psi : callable, ndarray of int8 of shape (n, n_sites) -> array_like of complex, shape (n,)
        Logarithms of amplitudes, not normalised; -inf is an amplitude of zero.
    subsystem : iterable of int
        Sites, each once.
    n_samples : int, keyword
        Pairs of configurations, at least 2.
    groups : array_like, shape (2 * n_samples,), optional, keyword
        For samples of Markov chains: which chain each row of `sample(2 * n_samples, rng)`, then called once, belongs
        to. Rows of one group may be correlated, in the order of the chain; groups are independent, equally long, and an
        even number, at least 8. The first chain is paired with the second, and so on.
    chunk_size : int, keyword
        Configurations that `log_psi` sees at once, at least 1.
    rng : None, int or numpy.random.Generator, keyword
        Source of randomness, handed to `sample`.

    Returns
    -------
    stats.Estimate
        -ln Tr rho_A^2 in nats and its standard error; n_effective, tau and r_hat are those of the estimates of
        Tr rho_A^2.

    Raises
    ------
    ValueError, TypeError
        If shapes, spins or groups do not fit; or if Tr rho_A^2 is not three errors above zero: then its logarithm is
        unknown, and more samples are needed, up to e^(2 S) of them.

    Notes
    -----
    Hastings, Gonzalez, Kallin, Melko, Phys. Rev. Lett. 104, 157201 (2010): the mean of psi(s'_A s_B) psi(s_A s'_B) /
    (psi(s) psi(s')) over independent s and s'. Its variance is at most 1, while the mean is e^-S. The error goes
    through the logarithm to first order, whose bias is half the square of the relative error.

    Examples
    --------
    >>> def draw(n, rng):  # a Bell pair
    ...     return np.repeat(1 - 2 * rng.integers(0, 2, size=(n, 1)), 2, axis=1)
    >>> def log_psi(spins):
    ...     return np.where(spins[:, 0] == spins[:, 1], 0.0, -np.inf)
    >>> print(swap_entropy(draw, log_psi, [0], n_samples=4000, rng=1))
    0.707(16)
    """
    n_samples = whole_number("n_samples", n_samples, least=2)
    chunk_size = whole_number("chunk_size", chunk_size)
    generator = np.random.default_rng(rng)
    n_pairs = max(1, chunk_size // 2)
    ratios = np.empty(n_samples)
    if groups is None:
        for first in range(0, n_samples, n_pairs):
            n_here = min(n_pairs, n_samples - first)
            rows = _rows(sample(2 * n_here, generator), 2 * n_here)
            ratios[first : first + n_here] = _swap_ratios(rows[:n_here], rows[n_here:], log_psi, subsystem)
        series = ratios[:, None]
    else:
        one, other, n_chains = _pairs_of_chains(groups, n_samples)
        rows = _rows(sample(2 * n_samples, generator), 2 * n_samples)
        for first in range(0, n_samples, n_pairs):
            here = slice(first, first + n_pairs)
            ratios[here] = _swap_ratios(rows[one[here]], rows[other[here]], log_psi, subsystem)
        series = ratios.reshape(n_chains, -1)
    purity = stats.estimate(series)
    # A mean without scatter, such as that of a product state, is sure only if it is positive.
    if not purity.mean > _SIGNIFICANT * purity.error:
        raise ValueError(
            f"Argument `n_samples` must be larger than {n_samples}: the estimate of Tr rho^2, {purity}, is not "
            f"{_SIGNIFICANT:g} errors above zero, so the entropy is unknown."
        )
    return stats.Estimate(
        -np.log(purity.mean) + 0.0,
        purity.error / purity.mean,
        n_effective=purity.n_effective,
        tau=purity.tau,
        r_hat=purity.r_hat,
    )


def _rows(spins: Any, n_rows: int) -> NDArray[np.int8]:
    array = np.asarray(spins)
    if array.ndim != 2 or len(array) != n_rows or array.shape[1] < 1:
        raise ValueError(f"Argument `sample` must return an array ({n_rows}, n_sites), but its shape is {array.shape}.")
    if not (np.abs(array) == 1).all() or array.dtype.kind not in "if":
        raise ValueError("Argument `sample` must return spins -1 and +1, but it returned something else.")
    return array.astype(np.int8)


def _pairs_of_chains(groups: ArrayLike, n_samples: int) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Return the rows of both copies, chain by chain, and the number of pairs of chains."""
    labels = np.asarray(groups)
    if labels.shape != (2 * n_samples,):
        raise ValueError(
            f"Argument `groups` must have shape ({2 * n_samples},), two rows a sample, but it is {labels.shape}."
        )
    _, inverse, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(sizes) % 2 or len(sizes) < 2 * _MIN_PAIRS or len(set(sizes.tolist())) > 1:
        raise ValueError(
            f"Argument `groups` must name an even number of groups, at least {2 * _MIN_PAIRS}, of equal size, but it "
            f"names {len(sizes)} of sizes {sizes.min()} to {sizes.max()}."
        )
    chains = np.argsort(inverse, kind="stable").reshape(len(sizes), -1)
    return chains[::2].reshape(-1), chains[1::2].reshape(-1), len(sizes) // 2


def _swap_ratios(
    one: NDArray[np.int8],
    other: NDArray[np.int8],
    log_psi: Callable[[NDArray[np.int8]], Any],
    subsystem: Iterable[int],
) -> NDArray[np.float64]:
    sites = read_subsystem(subsystem, one.shape[1])
    swapped, back = one.copy(), other.copy()
    swapped[:, sites], back[:, sites] = other[:, sites], one[:, sites]
    logs = []
    for rows in (one, other, swapped, back):
        values = np.asarray(log_psi(rows))
        if values.shape != (len(rows),) or values.dtype.kind not in "fc":
            raise ValueError(
                f"Argument `log_psi` must return {len(rows)} numbers, but it returned shape {values.shape} and dtype "
                f"{values.dtype}."
            )
        logs.append(values.astype(np.complex128))
    below = logs[0] + logs[1]
    if not np.isfinite(below).all():
        raise ValueError("Argument `sample` must draw configurations with an amplitude, but log_psi of one is -inf.")
    above = logs[2] + logs[3]
    zero = np.isneginf(above.real)
    ratios = np.exp(np.where(zero, 0.0, above) - below).real
    return np.where(zero, 0.0, ratios)
