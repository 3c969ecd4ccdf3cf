"""Draws from a matrix product state some of whose sites are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qmlphys.generative._data import Binary

__all__ = ["FREE", "draw", "known_bits", "log_marginal"]

FREE = -1
"""What stands for a site that is not known, beside the bits 0 and 1."""

# Amplitudes that ought to be zero are rounding errors, 1e-16 of the rest; their squares are no probabilities. A weight
# that falls by more than this from one site to the next is taken for zero.
_ROUNDING = 1e-28


def known_bits(given: ArrayLike | None, n_sites: int, alphabet: Binary) -> NDArray[np.int8]:
    """Return bits, and `FREE` where nothing is known."""
    known = np.full(n_sites, FREE, dtype=np.int8)
    if given is None:
        return known
    row = np.asarray(given)
    if row.dtype.kind not in "biuf":
        raise TypeError(
            f"Argument `given` must hold numbers, and NaN where a site is free, but its dtype is {row.dtype}."
        )
    if row.shape != (n_sites,):
        raise ValueError(f"Argument `given` must have one entry a site, ({n_sites},), but its shape is {row.shape}.")
    row = row.astype(np.float64)
    fixed = ~np.isnan(row)
    allowed = (0, 1) if alphabet == "bits" else (-1, 1)
    wrong = row[fixed & ~np.isin(row, allowed)]
    if wrong.size:
        raise ValueError(
            f"Argument `given` must hold {allowed[0]}, {allowed[1]} or NaN, as the model was fitted on {alphabet}, but "
            f"it holds {wrong[0]:g}."
        )
    known[fixed] = row[fixed] if alphabet == "bits" else row[fixed] < 0
    return known


def _environments(tensors: Sequence[NDArray[Any]], known: NDArray[np.int8]) -> tuple[list[NDArray[Any]], float]:
    """Matrices E_i = sum over the free sites >= i of what stands right of bond i, trace 1, and the log of the whole."""
    found: list[NDArray[Any]] = [np.ones((1, 1))] * (len(tensors) + 1)
    log_weight = 0.0
    for site in range(len(tensors) - 1, -1, -1):
        tensor, right = tensors[site], found[site + 1]
        bits = (0, 1) if known[site] == FREE else (int(known[site]),)
        matrix = sum((tensor[:, bit] @ right @ tensor[:, bit].conj().T for bit in bits), np.zeros(()))
        trace = float(np.trace(matrix).real)
        # Against the size of the tensor, so that no form of the state matters.
        if not trace > _ROUNDING * float(np.linalg.norm(tensor) ** 2) / max(tensor.shape[0], 1):
            return found, -np.inf
        found[site] = matrix / trace
        log_weight += np.log(trace)
    return found, log_weight


def log_marginal(tensors: Sequence[NDArray[Any]], known: NDArray[np.int8]) -> float:
    """Return ln of the probability of the known sites, the others summed over, for a state of norm 1.

    Parameters
    ----------
    tensors : sequence of ndarray, shape (left, 2, right)
        The state.
    known : ndarray of int8, shape (n_sites,)
        Bits, or `FREE`.

    Returns
    -------
    float
        -inf where the probability is zero up to rounding.
    """
    return _environments(tensors, known)[1]


def draw(
    tensors: Sequence[NDArray[Any]], known: NDArray[np.int8], n_draws: int, rng: np.random.Generator
) -> NDArray[np.int8]:
    """Draw the free sites from their distribution given the known ones, exactly and independently.

    Parameters
    ----------
    tensors : sequence of ndarray, shape (left, 2, right)
        The state.
    known : ndarray of int8, shape (n_sites,)
        Bits, or `FREE`; any set of sites.
    n_draws : int
        Number of rows.
    rng : Generator
        Source of randomness.

    Returns
    -------
    ndarray of int8, shape (n_draws, n_sites)
        Bits; known sites have their own.

    Raises
    ------
    ValueError
        If the known sites have probability zero.

    Notes
    -----
    What is to the right of a bond is a matrix, because the free sites are summed over; what is to the left is a vector
    a row, because all its bits are known or drawn. One pass of D^3 a site, then D^2 a site and row.
    """
    environments, log_weight = _environments(tensors, known)
    if log_weight == -np.inf:
        raise ValueError("Argument `given` must be possible, but the model gives these known sites probability zero.")
    uniform = rng.random((n_draws, len(tensors)))
    rows = np.arange(n_draws)
    bits = np.empty((n_draws, len(tensors)), dtype=np.int8)
    vectors = np.ones((n_draws, 1), dtype=np.result_type(*tensors))
    for site, tensor in enumerate(tensors):
        branches = np.stack([vectors @ tensor[:, 0], vectors @ tensor[:, 1]])
        weights = ((branches @ environments[site + 1]) * branches.conj()).real.sum(axis=2)
        if known[site] == FREE:
            weights = np.maximum(weights, 0.0)
            chosen = (uniform[:, site] * weights.sum(axis=0) >= weights[0]).astype(np.int64)
        else:
            chosen = np.full(n_draws, known[site], dtype=np.int64)
        bits[:, site] = chosen
        vectors = branches[chosen, rows]
        vectors = vectors / np.abs(vectors).max(axis=1, keepdims=True)
    return bits
