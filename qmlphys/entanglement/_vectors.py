"""Reduced density matrices of state vectors, in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qmlphys.entanglement._spectra import Spectrum

__all__ = ["MAX_VECTOR_SITES", "read_vector", "vector_spectrum"]

MAX_VECTOR_SITES = 24

# Amplitudes that are taken out of the vector at once: 64 MB of complex numbers.
_CHUNK = 2**22
# Up to here singular values cost nothing that matters, and they know small eigenvalues better.
_SMALL_SITES = 12


def read_vector(state: ArrayLike) -> tuple[NDArray[Any], int]:
    """Check a state vector; return it with its number of sites."""
    array = np.asarray(state)
    n_sites = array.size.bit_length() - 1
    if array.ndim != 1 or array.dtype.kind not in "iufc" or array.size < 2 or array.size != 1 << n_sites:
        raise ValueError(
            "Argument `state` must be a vector of 2^n_sites amplitudes, a MatrixProductState or a StabilizerState, "
            f"but it has shape {array.shape} and dtype {array.dtype}."
        )
    if n_sites > MAX_VECTOR_SITES:
        raise ValueError(f"Argument `state` must have at most {MAX_VECTOR_SITES} sites as a vector, but has {n_sites}.")
    largest = _largest(array)
    if not np.isfinite(largest) or largest == 0:
        raise ValueError(f"Argument `state` must be finite and not zero, but its largest amplitude is {largest}.")
    return array, n_sites


def vector_spectrum(vector: NDArray[Any], n_sites: int, sites: list[int], *, accurate: bool) -> Spectrum:
    """Return the spectrum of a subsystem of a checked vector.

    The smaller side's matrix is built from chunks of the larger side's states. With `accurate` its triangular factor is
    kept, whose singular values know eigenvalues down to 1e-30; otherwise the density matrix, which is faster.
    """
    others = [site for site in range(n_sites) if site not in set(sites)]
    few, many = (sites, others) if len(sites) <= len(others) else (others, sites)
    if not few:
        return Spectrum.pure()
    if accurate or n_sites <= _SMALL_SITES:
        factor = np.zeros((0, 2 ** len(few)))
        for block in _blocks(vector, n_sites, few, many):
            rows = np.concatenate([factor, block])
            factor = np.asarray(np.linalg.qr(rows, mode="r")) if len(rows) > 2 ** len(few) else rows
        return Spectrum.of_singular_values(np.linalg.svd(factor, compute_uv=False))
    density: Any = 0.0
    for block in _blocks(vector, n_sites, few, many):
        density = density + block.conj().T @ block
    return Spectrum.of_density(density)


def _blocks(vector: NDArray[Any], n_sites: int, few: list[int], many: list[int]) -> Iterator[NDArray[Any]]:
    """Go through the matrix (states of `many`, states of `few`) in blocks of rows, scaled to numbers near 1."""
    scale = _largest(vector)
    kind = np.complex128 if vector.dtype.kind == "c" else np.float64
    # Axis k of the tensor is site n - 1 - k.
    tensor = vector.reshape((2,) * n_sites).transpose(
        [n_sites - 1 - site for site in [*reversed(many), *reversed(few)]]
    )
    # A block has at least as many rows as columns: fewer would be factorised again and again.
    n_numbers = max(_CHUNK, 4 ** len(few))
    n_outer = min(len(many), max(0, n_sites - (n_numbers.bit_length() - 1)))
    for outer in product((0, 1), repeat=n_outer):
        yield tensor[outer].reshape(-1, 2 ** len(few)).astype(kind) / scale


def _largest(vector: NDArray[Any]) -> float:
    """Return the largest |amplitude|, without an array as large as the vector; nan and inf stay."""
    return float(np.max([np.abs(part).max() for part in np.array_split(vector, -(-vector.size // _CHUNK))]))
