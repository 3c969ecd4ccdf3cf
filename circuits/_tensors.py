"""Matrix product states as lists of arrays (left, 2, right): checks, canonical forms, overlaps.

Index 0 of the middle axis is |0>. Everything is scaled on the way, so that thousands of sites neither overflow nor
underflow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from circuits import _arguments
from circuits._multiplexers import Complex

__all__: list[str] = []

MAX_BOND = 64
"""A bond of 64 asks for unitaries on 7 qubits, of about 4,000 CX each; beyond that exact gates are of no use."""

# Schmidt weights below this, relative to the largest of their cut, are rounding; all of them together stay below 1e-24.
_NO_WEIGHT = 1e-13


def checked(tensors: Sequence[ArrayLike], argument: str = "tensors") -> list[Complex]:
    """Return tensors as complex arrays that fit together."""
    if isinstance(tensors, str) or not hasattr(tensors, "__len__") or not hasattr(tensors, "__getitem__"):
        raise TypeError(
            f"Argument `{argument}` must be a sequence of arrays (left, 2, right), but it is {type(tensors).__name__}."
        )
    if len(tensors) == 0:
        raise ValueError(f"Argument `{argument}` must hold at least one tensor, but it is empty.")
    arrays = [_arguments.numbers(tensor, argument) for tensor in tensors]
    for site, array in enumerate(arrays):
        if array.ndim != 3 or array.shape[1] != 2 or 0 in array.shape:
            raise ValueError(
                f"Argument `{argument}` must hold arrays of shape (left, 2, right), but that of site {site} has shape "
                f"{array.shape}."
            )
        before = arrays[site - 1].shape[2] if site else 1
        if array.shape[0] != before:
            raise ValueError(
                f"Argument `{argument}` must fit together, but that of site {site} has a left bond of "
                f"{array.shape[0]} beside one of {before}."
            )
    if arrays[-1].shape[2] != 1:
        raise ValueError(f"Argument `{argument}` must end with a right bond of 1, but it is {arrays[-1].shape[2]}.")
    return arrays


def canonical(tensors: list[Complex], *, max_bond: int | None = None) -> list[Complex]:
    """Return the right-canonical form of norm 1 with the smallest bonds; the phase of the state is kept.

    With `max_bond`, smaller Schmidt weights are left out, cut after cut from the right, and the rest has norm 1.
    """
    carried: Complex = np.ones((1, 1), dtype=np.complex128)
    left = []
    for tensor in tensors:
        merged = np.tensordot(carried, _scaled(tensor), axes=(1, 0))
        q, carried = np.linalg.qr(_scaled(merged.reshape(-1, tensor.shape[2])))
        left.append(q.reshape(-1, 2, q.shape[1]))
    # What is left of the last site is one number, the phase of the state after the scaling.
    carried = carried / np.abs(carried)
    result = []
    for tensor in reversed(left):
        merged = np.tensordot(tensor, carried, axes=(2, 0))
        right = merged.shape[2]
        u, weights, v = np.linalg.svd(merged.reshape(-1, 2 * right), full_matrices=False)
        kept = int(np.count_nonzero(weights > _NO_WEIGHT * weights[0]))
        kept = kept if max_bond is None else min(kept, max_bond)
        result.append(v[:kept].reshape(kept, 2, right))
        carried = u[:, :kept] * (weights[:kept] / np.linalg.norm(weights[:kept]))
    # The first bond is 1 and its factor a phase.
    result[-1] = np.tensordot(carried, result[-1], axes=(1, 0))
    return result[::-1]


def _scaled(matrix: Complex) -> Complex:
    """Return a matrix times the power of 2 that brings its largest entry near 1."""
    largest = float(max(np.abs(matrix.real).max(), np.abs(matrix.imag).max()))
    if largest == 0.0:
        raise ValueError("Argument `tensors` must make a state, but all its amplitudes are zero.")
    exponent = -math.frexp(largest)[1]
    # In two steps: the whole power may lie beyond the largest number.
    return np.asarray(matrix * 2.0 ** (exponent // 2) * 2.0 ** (exponent - exponent // 2))


def centred(tensors: list[Complex], bond: int) -> tuple[list[Complex], Complex]:
    """Return sites 0 to `bond` left-canonical, and the matrix of the bond; `tensors` is right-canonical of norm 1."""
    carried: Complex = np.ones((1, 1), dtype=np.complex128)
    left = []
    for tensor in tensors[: bond + 1]:
        merged = np.tensordot(carried, tensor, axes=(1, 0))
        q, carried = np.linalg.qr(merged.reshape(-1, merged.shape[2]))
        left.append(q.reshape(merged.shape[0], 2, -1))
    return left, carried


def mirrored(tensors: Sequence[Complex]) -> list[Complex]:
    """Return the tensors of the sites in reverse order."""
    return [tensor.transpose(2, 1, 0) for tensor in reversed(tensors)]


def overlap(first: Sequence[Complex], second: Sequence[Complex]) -> complex:
    """Return <first|second>."""
    carried = np.ones((1, 1), dtype=np.complex128)
    for bra, ket in zip(first, second, strict=True):
        half = np.tensordot(carried, ket, axes=(1, 0))
        carried = np.tensordot(bra.conj(), half, axes=((0, 1), (0, 1)))
    return complex(carried[0, 0])
