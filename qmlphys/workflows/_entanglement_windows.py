"""Entropies of cyclic windows of states, over seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas

from qmlphys import entanglement
from qmlphys._arguments import whole_number

__all__ = [
    "MAX_SITES",
    "Maker",
    "amplitudes_of",
    "generator_of",
    "mean_and_error",
    "sample_entropies",
    "window_entropies",
]

Maker: TypeAlias = Callable[[int, np.random.Generator], Any]
MAX_SITES = 24
# States of few nonlinearities have few Schmidt values: so many rows are tried in place of all, and taken where the
# weight outside is below what a sum of doubles resolves.
_FEW = (64, 256)
_N_TESTS = 8
_NEGLIGIBLE = 1e-15
_HOPELESS = 1e-6  # so much outside the first try is not gone at the second


def window_entropies(
    vector: NDArray[Any], starts: Iterable[int], *, lengths: Sequence[int], order: float = 1.0
) -> NDArray[np.float64]:
    """Return entropies of cyclic blocks of several lengths that begin at the same sites, in nats.

    The density matrix of the longest block is built once a start; the others are partial traces of it, so that all
    lengths together cost little more than the longest one. Of states with few Schmidt values only a factor of it is.
    Half of a ring that begins n / 2 sites further is the other half, of the same entropy, and is not computed again.

    Parameters
    ----------
    vector : ndarray, shape (2^n_sites,)
        Amplitudes of any norm, site i of weight 2^i.
    starts : iterable of int
        First sites of the blocks.
    lengths : sequence of int
        Sites of the blocks, 1 to n_sites / 2.
    order : float
        Rényi order, at least 1: below, rounding counts.

    Returns
    -------
    ndarray of float64, shape (n_starts, n_lengths)
        Entropies.

    Raises
    ------
    ValueError
        If the vector is not finite, all zero or of a wrong size, or a number is out of range.

    Examples
    --------
    >>> ghz = np.zeros(16)
    >>> ghz[[0, 15]] = 1.0
    >>> window_entropies(ghz, [0, 3], lengths=[1, 2]).round(6).tolist()
    [[0.693147, 0.693147], [0.693147, 0.693147]]
    """
    psi = np.asarray(vector)
    n_sites = psi.size.bit_length() - 1
    if psi.ndim != 1 or psi.size != 1 << n_sites or not 2 <= n_sites <= MAX_SITES:
        raise ValueError(
            f"Argument `vector` must hold 2^n amplitudes for 2 to {MAX_SITES} sites, but its shape is {psi.shape}."
        )
    if psi.dtype.kind == "c" and not psi.imag.any():
        psi = psi.real  # a quarter of the work
    largest = float(np.abs(psi).max())
    if not math.isfinite(largest) or largest == 0:
        raise ValueError(f"Argument `vector` must be finite and not zero, but its largest amplitude is {largest}.")
    if not order >= 1:
        raise ValueError(f"Argument `order` must be at least 1, but it is {order!r}.")
    wanted = [whole_number("lengths", length, most=n_sites // 2) for length in lengths]
    if not wanted:
        raise ValueError("Argument `lengths` must hold at least one length, but it is empty.")
    psi = (psi / largest).astype(np.complex128 if psi.dtype.kind == "c" else np.float64)
    found = []
    longest = max(wanted)
    halves: dict[int, float] = {}
    for start in starts:
        first = whole_number("starts", start, least=0, most=n_sites - 1)
        known = {longest: halves[first % longest]} if first % longest in halves else {}
        # Sites are turned round so that the block begins at site 0.
        turned = psi.reshape(1 << (n_sites - first), 1 << first).T
        by_length = known | _block_entropies(turned, [length for length in wanted if length not in known], order=order)
        if 2 * longest == n_sites:
            halves[first % longest] = by_length[longest]
        found.append([by_length[length] for length in wanted])
    return np.array(found)


def _block_entropies(turned: NDArray[Any], wanted: Sequence[int], *, order: float) -> dict[int, float]:
    """Return entropies of the blocks of several lengths that begin at the lowest site."""
    by_length: dict[int, float] = {}
    if not wanted:
        return by_length
    rows = np.ascontiguousarray(turned).reshape(-1, 1 << max(wanted))
    factor = _compressed(rows)
    density = np.empty((0, 0)) if factor is not None else _gram(rows)
    for length in range(max(wanted), 0, -1):
        if factor is not None and len(factor) >= factor.shape[1]:
            density, factor = _gram(factor), None
        if length in wanted:
            values = np.linalg.eigvalsh(density if factor is None else factor @ factor.conj().T).clip(min=0.0)
            by_length[length] = entanglement.renyi_entropy(values, order=order)
        half = 1 << (length - 1)
        if factor is None:
            parts = density.reshape(2, half, 2, half)
            density = parts[0, :, 0, :] + parts[1, :, 1, :]
        else:
            factor = factor.reshape(-1, half)
    return by_length


def _compressed(rows: NDArray[Any]) -> NDArray[Any] | None:
    """Return few rows with the same sum of psi psi^dagger, or None where few do not do.

    The range of the matrix is found from random combinations of its columns (Halko, Martinsson, Tropp, SIAM Review 53,
    217 (2011)); combinations that were not used for it then measure the weight that is left out.
    """
    for number in _FEW:
        if rows.shape[1] < 4 * number:
            return None
        probes = np.random.default_rng(0).standard_normal((rows.shape[1], number + _N_TESTS))
        images = rows @ probes
        basis = np.linalg.qr(images[:, :number])[0]
        tests = images[:, number:]
        lost = tests - basis @ (basis.conj().T @ tests)
        outside = np.linalg.norm(lost) ** 2 / _N_TESTS / np.linalg.norm(rows) ** 2
        if outside <= _NEGLIGIBLE:
            return basis.conj().T @ rows
        if outside > _HOPELESS:
            return None
    return None


def _gram(rows: NDArray[Any]) -> NDArray[Any]:
    """Return sum over rows of psi psi^dagger.

    Its real part is symmetric, so that BLAS computes one half only, and its imaginary part is the difference of a real
    product and its transpose: two thirds of the time of a complex product.
    """
    if rows.dtype.kind == "c":
        real, imaginary = np.ascontiguousarray(rows.real), np.ascontiguousarray(rows.imag)
        mixed = imaginary.T @ real
        return _gram(real) + _gram(imaginary) + 1j * (mixed - mixed.T)
    upper = blas.dsyrk(1.0, rows.T)  # in Fortran's order, as BLAS wants it
    return upper + np.triu(upper, 1).T


def amplitudes_of(state: Any, n_sites: int) -> NDArray[Any]:
    """Return the amplitudes of what a maker returned: a vector, or a network."""
    if isinstance(state, np.ndarray | list | tuple):
        vector = np.asarray(state)
        if vector.shape != (1 << n_sites,):
            raise ValueError(
                f"Argument `make` must return a network or {1 << n_sites} amplitudes for {n_sites} sites, but what it "
                f"returned has the shape {vector.shape}."
            )
        return vector
    if not callable(state):
        raise TypeError(
            "Argument `make` must return a network (a torch module or a function of spins) or amplitudes, but it "
            f"returned {type(state).__name__}."
        )
    from qmlphys.nqs import ensembles

    return ensembles.amplitudes(state, n_sites)


def starts_of(n_sites: int, n_windows: int) -> list[int]:
    """Return the first sites of windows that are spread over a ring, at most one a site."""
    number = min(n_windows, n_sites)
    return [(k * n_sites) // number for k in range(number)]


def generator_of(seed: int, n_sites: int, k: int) -> np.random.Generator:
    """Return the random numbers of a state, which depend on nothing but its own place."""
    return np.random.default_rng(np.random.SeedSequence([seed, n_sites, k]))


def sample_entropies(
    make: Maker,
    n_sites: int,
    *,
    lengths: Sequence[int],
    n_seeds: int,
    n_windows: int,
    seed: int,
    first: int = 0,
    order: float = 1.0,
) -> NDArray[np.float64]:
    """Return entropies over seeds, windows and lengths.

    Parameters
    ----------
    make : callable
        Takes n_sites and a generator; returns a network or amplitudes.
    n_sites : int
        Sites, 2 to 24.
    lengths : sequence of int
        Sites of the blocks, 1 to n_sites / 2.
    n_seeds, n_windows : int
        States, and cyclic windows of each; windows beyond n_sites would be the same ones.
    seed : int
        Where all randomness starts.
    first : int
        Number of the first state, where the others are computed elsewhere.
    order : float
        Rényi order, at least 1.

    Returns
    -------
    ndarray of float64, shape (n_seeds, n_windows, n_lengths)
        In nats.
    """
    starts = starts_of(n_sites, n_windows)
    return np.array(
        [
            window_entropies(
                amplitudes_of(make(n_sites, generator_of(seed, n_sites, k)), n_sites),
                starts,
                lengths=lengths,
                order=order,
            )
            for k in range(first, first + n_seeds)
        ]
    )


def mean_and_error(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return means and standard errors of (n_seeds, n_windows, ...); windows of one state are not independent.

    The error is that of the seeds' means, and nan where there is one seed.
    """
    means = values.mean(axis=1)
    n_seeds = len(means)
    error = means.std(axis=0, ddof=1) / math.sqrt(n_seeds) if n_seeds > 1 else np.full(means.shape[1:], np.nan)
    return means.mean(axis=0), error
