"""Spectra of subsystems of matrix product states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qmlphys.entanglement._spectra import Spectrum
from qmlphys.mps import MatrixProductState

__all__ = ["block_spectra", "chain_spectrum"]

# Numbers of the tensor that is carried along the chain, and rows of a density matrix: 64 MB and 268 MB when complex.
_MAX_NUMBERS = 2**22
_MAX_DENSITY = 2**12

Tensors = tuple[NDArray[Any], ...]


def chain_spectrum(state: MatrixProductState, sites: list[int]) -> Spectrum:
    """Return the spectrum of any set of sites.

    One tensor (inside, outside, bond) is carried along the chain. An index that is larger than the other two together
    is replaced by the triangular factor's, which is an isometry of that side and changes no Schmidt coefficient: for a
    block no index exceeds the product of the bonds at its ends.
    """
    inside = np.zeros(state.n_sites, dtype=bool)
    inside[sites] = True
    borders = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    if not len(borders):
        return Spectrum.pure()
    # To the right of the last border all sites are on one side, and in this form their bond index is orthonormal.
    tensors = state.normalized().tensors
    stop = int(borders[-1])
    carried = np.ones((1, 1, 1), dtype=tensors[0].dtype)
    for site in range(stop):
        grown = _grown(carried, tensors[site], inside=bool(inside[site]))
        if grown is None:
            if len(borders) == 2 and inside[site]:
                return _block_density(carried, tensors[site:stop])
            raise _too_large(state, len(borders))
        carried = grown
    return _closed(carried, last_inside=bool(inside[stop]))


def block_spectra(
    state: MatrixProductState, blocks: set[tuple[int, int]]
) -> Iterator[tuple[tuple[int, int], Spectrum]]:
    """Go through blocks (start, stop) that end before the last site; those of one start share a sweep."""
    tensors = state.normalized().tensors
    before = np.ones((1, 1, 1), dtype=tensors[0].dtype)
    for start in range(len(tensors) - 1):
        stops = {stop for first, stop in blocks if first == start}
        carried = before
        for stop in range(start + 1, max(stops, default=0) + 1):
            grown = _grown(carried, tensors[stop - 1], inside=True)
            if grown is None:
                yield from (((start, late), chain_spectrum(state, list(range(start, late)))) for late in stops)
                break
            carried = grown
            if stop in stops:
                stops.remove(stop)
                yield (start, stop), _closed(carried, last_inside=False)
        step = _grown(before, tensors[start], inside=False)
        if step is None:
            raise _too_large(state, 1)
        before = step


def _too_large(state: MatrixProductState, n_borders: int) -> ValueError:
    return ValueError(
        f"Argument `subsystem` must cut fewer or smaller bonds of the state: with bonds of up to {state.max_bond} a "
        f"subsystem of {n_borders} {'border' if n_borders == 1 else 'borders'} takes more than {_MAX_NUMBERS} numbers."
    )


def _grown(carried: NDArray[Any], tensor: NDArray[Any], *, inside: bool) -> NDArray[Any] | None:
    """Add a site to a side of (inside, outside, bond), and shrink that side if it can be; None if it is too large."""
    n_in, n_out, _ = carried.shape
    bond = tensor.shape[2]
    if 2 * n_in * n_out * bond > _MAX_NUMBERS:
        return None
    joined = np.tensordot(carried, tensor, axes=(2, 0))  # (inside, outside, 2, bond)
    if inside:
        matrix = joined.transpose(0, 2, 1, 3).reshape(2 * n_in, n_out * bond)
        return _shrunk(matrix).reshape(-1, n_out, bond)
    matrix = joined.transpose(1, 2, 0, 3).reshape(2 * n_out, n_in * bond)
    return np.ascontiguousarray(_shrunk(matrix).reshape(-1, n_in, bond).transpose(1, 0, 2))


def _shrunk(matrix: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.linalg.qr(matrix, mode="r")) if matrix.shape[0] > matrix.shape[1] else matrix


def _closed(carried: NDArray[Any], *, last_inside: bool) -> Spectrum:
    n_in, n_out, bond = carried.shape
    if last_inside:
        matrix = carried.transpose(0, 2, 1).reshape(n_in * bond, n_out)
    else:
        matrix = carried.reshape(n_in, n_out * bond)
    return Spectrum.of_singular_values(np.linalg.svd(matrix, compute_uv=False))


def _block_density(carried: NDArray[Any], tensors: Tensors) -> Spectrum:
    """Return the spectrum of a block from the density matrix of the two bonds beside it.

    `carried` may hold the block's first sites already; what it traces, the block itself, has the same spectrum.
    """
    _, n_out, _ = carried.shape
    # (outside, bond, outside', bond'), the block's states summed.
    density = np.tensordot(carried, carried.conj(), axes=(0, 0))
    for tensor in tensors:
        if n_out * tensor.shape[2] > _MAX_DENSITY:
            raise ValueError(
                f"Argument `state` must have bonds beside the block whose product is at most {_MAX_DENSITY}, but they "
                f"are {n_out} and {tensor.shape[2]}."
            )
        half = np.tensordot(density, tensor, axes=(1, 0))  # (outside, outside', bond', 2, bond)
        density = np.tensordot(half, tensor.conj(), axes=((2, 3), (0, 1))).transpose(0, 2, 1, 3)
    size = n_out * density.shape[1]
    return Spectrum.of_density(density.reshape(size, size))
