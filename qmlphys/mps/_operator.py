"""Sums of Pauli strings as matrix product operators."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["energy_moments", "operator_tensors"]

RANK_TOLERANCE = 1e-13  # singular values of coefficients, relative to the largest, that are rounding errors

# In place of Y the real matrix iY, so that models with an even number of Y a string stay real.
_LETTERS = "IXYZ"
_MATRICES = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, 1], [-1, 0]], [[1, 0], [0, -1]]], dtype=np.float64)
_PHASES = (1, -1j, -1, 1j)  # Y = -i (iY)


def operator_tensors(terms: list[tuple[str, float]], n_sites: int) -> list[NDArray[Any]]:
    """Write a sum of Pauli strings as a product of tensors, of the smallest bonds there are.

    At every cut the coefficients are a matrix between what stands left and what stands right of it; its singular value
    decomposition is that of the operator, for Pauli strings are orthogonal. Only coefficients are decomposed, so
    nothing grows as 2^n_sites (in the manner of Ren, Li, Jiang, Shuai, J. Chem. Phys. 153, 084118 (2020)).

    Parameters
    ----------
    terms : list of (str, float)
        Strings, leftmost character site 0; no one twice.
    n_sites : int
        Number of sites.

    Returns
    -------
    list of ndarray, each of shape (left, right, 2, 2)
        <s|W|s'> in the last two axes; float64 where the operator is real, else complex128.
    """
    phased = [(string, coefficient * _PHASES[string.count("Y") % 4]) for string, coefficient in terms]
    phased = phased or [("I" * n_sites, 0.0)]
    coefficients: NDArray[Any] = np.array([[coefficient for _, coefficient in phased]], dtype=np.complex128)
    if not coefficients.imag.any():
        coefficients = coefficients.real
    suffixes = [string for string, _ in phased]
    tensors = []
    for site in range(n_sites):
        rests = {rest: k for k, rest in enumerate(dict.fromkeys(suffix[1:] for suffix in suffixes))}
        left = len(coefficients)
        joined = np.zeros((left, 4, len(rests)), dtype=coefficients.dtype)
        for column, suffix in enumerate(suffixes):
            joined[:, _LETTERS.index(suffix[0]), rests[suffix[1:]]] = coefficients[:, column]
        suffixes = list(rests)
        if site == n_sites - 1:
            factor = joined
        else:
            u, singular, v = np.linalg.svd(joined.reshape(4 * left, -1), full_matrices=False)
            rank = max(1, int((singular > RANK_TOLERANCE * singular[0]).sum()))
            factor = u[:, :rank].reshape(left, 4, rank)
            coefficients = singular[:rank, None] * v[:rank]
        tensors.append(np.einsum("apb,pst->abst", factor, _MATRICES))
    return tensors


def energy_moments(tensors: tuple[NDArray[Any], ...], terms: list[tuple[str, float]], *, centre: float | None) -> float:
    """Sums over a state that need not be normalised: <H>, or <(H - centre)^2> where a centre is given.

    Both are divided by <psi|psi>, which is followed beside them and scales the environments.
    """
    n_sites = len(tensors)
    shifted = dict(terms)
    if centre is not None:
        # The difference is taken in the operator: <H^2> - <H>^2 would cancel.
        shifted["I" * n_sites] = shifted.get("I" * n_sites, 0.0) - centre
    operator = operator_tensors(list(shifted.items()), n_sites)
    dtype = np.result_type(operator[0], tensors[0])
    norm = np.ones((1, 1), dtype=dtype)
    environment = np.ones((1, 1, 1) if centre is None else (1, 1, 1, 1), dtype=dtype)
    for tensor, factor in zip(tensors, operator, strict=True):
        norm = np.tensordot(tensor.conj(), np.tensordot(norm, tensor, axes=(1, 0)), axes=((0, 1), (0, 1)))
        # Axes of the environment: bra, operators, ket.
        environment = np.tensordot(environment, tensor, axes=(-1, 0))  # bra, w..., s', ket
        environment = np.tensordot(environment, factor, axes=((-3, -2), (0, 3)))  # bra, (w,) ket, w', s
        if centre is not None:
            environment = np.tensordot(environment, factor, axes=((1, 4), (0, 3)))  # bra, ket, w2', w1', s
            environment = np.moveaxis(environment, 2, 3)
            environment = np.tensordot(tensor.conj(), environment, axes=((0, 1), (0, 4)))  # bra', ket, w1', w2'
            environment = np.moveaxis(environment, 1, 3)
        else:
            environment = np.tensordot(tensor.conj(), environment, axes=((0, 1), (0, 3)))  # bra', ket, w'
            environment = np.moveaxis(environment, 1, 2)
        scale = np.abs(norm).max()
        norm, environment = norm / scale, environment / scale
    return float((environment.reshape(-1)[0] / norm[0, 0]).real)
