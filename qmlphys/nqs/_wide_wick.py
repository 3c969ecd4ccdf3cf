"""Rényi entropies of Gaussian random states by Wick's theorem. Public through `qmlphys.nqs.infinite_width`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations
from math import comb, factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["annealed_moment", "cut_tensor", "product_moment"]


def cut_tensor(matrix: NDArray[Any], n_sites: int, subsystem: Sequence[int]) -> NDArray[Any]:
    """Split both indices of a matrix over configurations into those of A and of the rest.

    Parameters
    ----------
    matrix : ndarray, shape (2^n, 2^n)
        Site i has weight 2^i.
    n_sites : int
        n.
    subsystem : sequence of int
        Sites of A.

    Returns
    -------
    ndarray, shape (d_A, d_B, d_A, d_B)
        The same numbers.
    """
    rest = [site for site in range(n_sites) if site not in subsystem]
    # Axis 0 of a vector shaped (2, ..., 2) is the site of the largest weight.
    axes = [n_sites - 1 - site for site in [*subsystem, *rest]]
    tensor = matrix.reshape((2,) * (2 * n_sites)).transpose([*axes, *(n_sites + axis for axis in axes)])
    return tensor.reshape((2 ** len(subsystem), 2 ** len(rest)) * 2)


def annealed_moment(tensor: NDArray[Any], order: int, *, complex_field: bool) -> float:
    """Return E[Tr rho_A^m norm^m] / E[norm^m] of a centred Gaussian psi.

    Tr rho_A^m is the sum over a_k, b_k of prod_k psi(a_k, b_k) psi*(a_(k+1), b_k). Wick's theorem pairs the factors:
    for a circular complex psi each psi with one psi*, m! ways; for a real one any two, (2m - 1)!! ways.

    Parameters
    ----------
    tensor : ndarray, shape (d_A, d_B, d_A, d_B)
        E[psi(a, b) psi*(a', b')].
    order : int
        m.
    complex_field : bool, keyword
        Whether psi is circular and complex, or real.
    """
    scale = float(np.einsum("abab->", tensor).real)
    tensor = tensor / scale
    trace = 0.0
    for pairing in _pairings(order, complex_field):
        terms = ",".join(_labels(first, order) + _labels(second, order) for first, second in pairing)
        trace += float(np.einsum(terms + "->", *[tensor] * order, optimize="greedy").real)
    return trace / _norm_moment(tensor, order, complex_field)


def product_moment(factor: NDArray[np.float64], counts: tuple[int, int], order: int) -> float:
    """Return the same for a circular psi whose covariance is a product over sites.

    Each term of Wick's sum is a product over sites of prod over cycles of tr c^length: of the permutation pi on the
    sites of B, and of pi followed by the shift on those of A.

    Parameters
    ----------
    factor : ndarray of float64, shape (2, 2)
        c of every site.
    counts : (int, int)
        Sites of A and of B.
    order : int
        m.
    """
    values = np.linalg.eigvalsh(factor)
    values = values / values.sum()
    traces = [1.0] + [float((values**length).sum()) for length in range(1, order + 1)]
    above = below = 0.0
    for permutation in permutations(range(order)):
        plain = np.prod([traces[length] for length in _cycles(permutation)])
        shifted = np.prod([traces[length] for length in _cycles([(k + 1) % order for k in permutation])])
        above += float(shifted ** counts[0] * plain ** counts[1])
        below += float(plain ** sum(counts))
    return above / below


def _pairings(order: int, complex_field: bool) -> Iterator[list[tuple[int, int]]]:
    """Pair fields 0 to 2 m - 1; even ones are psi, odd ones psi*."""
    if complex_field:
        for permutation in permutations(range(order)):
            yield [(2 * k, 2 * target + 1) for k, target in enumerate(permutation)]
    else:
        yield from _matchings(list(range(2 * order)))


def _matchings(fields: list[int]) -> Iterator[list[tuple[int, int]]]:
    if not fields:
        yield []
        return
    first, *rest = fields
    for k, partner in enumerate(rest):
        for others in _matchings(rest[:k] + rest[k + 1 :]):
            yield [(first, partner), *others]


def _labels(field: int, order: int) -> str:
    """Letters of the indices of a field: a of A and of the rest."""
    k, conjugate = divmod(field, 2)
    return "abcdefgh"[(k + conjugate) % order] + "ijklmnop"[k]


def _norm_moment(tensor: NDArray[Any], order: int, complex_field: bool) -> float:
    """E[norm^m] from the cumulants (l - 1)! Tr C^l, with 2^(l-1) for a real field."""
    size = tensor.shape[0] * tensor.shape[1]
    values = np.linalg.eigvalsh(tensor.reshape(size, size))
    cumulants = [
        (1 if complex_field else 2 ** (length - 1)) * factorial(length - 1) * float((values**length).sum())
        for length in range(1, order + 1)
    ]
    moments = [1.0]
    for m in range(1, order + 1):
        moments.append(sum(comb(m - 1, j - 1) * cumulants[j - 1] * moments[m - j] for j in range(1, m + 1)))
    return moments[-1]


def _cycles(permutation: Sequence[int]) -> list[int]:
    left, lengths = set(range(len(permutation))), []
    while left:
        start = k = left.pop()
        length = 1
        while (k := permutation[k]) != start:
            left.remove(k)
            length += 1
        lengths.append(length)
    return lengths
