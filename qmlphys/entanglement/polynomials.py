"""Polynomial networks, whose Schmidt ranks are bounded by counting monomials, and found exactly."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qmlphys import bits
from qmlphys._arguments import whole_number
from qmlphys.entanglement._spectra import read_subsystem

__all__ = ["PolynomialMLP", "polynomial_schmidt_bounds"]

# Two primes below 2^31: products of residues fit into 63 bits.
_PRIMES = (2_147_483_647, 2_147_483_629)
_MAX_SITES = 20
_MAX_SIDE = 10


def polynomial_schmidt_bounds(depth: int, degree: int, width: int) -> tuple[int, int]:
    """Return two bounds on the Schmidt rank of a polynomial network, across every cut.

    Parameters
    ----------
    depth : int
        D, the number of activation layers.
    degree : int
        p, the degree of the activation.
    width : int
        w, the units of the first layer.

    Returns
    -------
    simple : int
        C(w + q, w), q = p^D.
    sharp : int
        C(w + floor(q / 2), w) + C(w + floor((q - 1) / 2), w), at most as large.

    Raises
    ------
    ValueError, TypeError
        If a number is below 1, or q above 2^20.

    Notes
    -----
    psi is a polynomial of degree q in w affine features u + v, with u of subsystem A and v of the rest: a sum of
    monomials u^a v^b with |a| + |b| <= q. As functions of u alone there are C(w + q, w) of them: the simple bound
    (arXiv:2510.11797). In each, |a| <= floor(q / 2) or |b| <= floor((q - 1) / 2); collecting the terms of each of the
    first u^a and of each of the second v^b gives as many products as the sharp bound says.

    Examples
    --------
    >>> polynomial_schmidt_bounds(1, 2, 3), polynomial_schmidt_bounds(2, 2, 2)
    ((10, 5), (15, 9))
    """
    depth = whole_number("depth", depth, most=64)
    degree = whole_number("degree", degree, most=2**20)
    width = whole_number("width", width, most=2**20)
    q = degree**depth
    if q > 2**20:
        raise ValueError(f"Argument `degree` must make degree^depth at most 2^20, but it is {q}.")
    simple = math.comb(width + q, width)
    return simple, math.comb(width + q // 2, width) + math.comb(width + (q - 1) // 2, width)


class PolynomialMLP:
    """A random network psi(s) whose activation is a polynomial, with whole numbers as weights.

    D layers h -> f(W h + b), then an affine output; no exponential. f(t) = t^p + f_(p-1) t^(p-1) + ... + f_1 t. The
    numbers are whole, so the Schmidt rank is found exactly, not from singular values.

    Parameters
    ----------
    n_sites : int
        Spins, 2 to 20.
    depth : int, keyword
        D, at least 1.
    degree : int, keyword
        p, at least 1.
    width : int, keyword
        Units of every layer.
    weight_range : int, keyword
        Weights, biases and the coefficients f are drawn evenly from -weight_range to weight_range, 1 to 2^20.
    rng : None, int or numpy.random.Generator, keyword
        Source of the numbers.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.

    Examples
    --------
    >>> network = PolynomialMLP(6, depth=1, degree=2, width=2, rng=0)
    >>> network.bounds, network.schmidt_rank(range(3))
    ((6, 4), 4)
    """

    def __init__(
        self,
        n_sites: int,
        *,
        depth: int,
        degree: int,
        width: int,
        weight_range: int = 99,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        self.n_sites = whole_number("n_sites", n_sites, least=2, most=_MAX_SITES)
        self.bounds = polynomial_schmidt_bounds(depth, degree, width)
        largest = whole_number("weight_range", weight_range, most=2**20)
        generator = np.random.default_rng(rng)

        def draw(*shape: int) -> NDArray[np.int64]:
            return generator.integers(-largest, largest + 1, size=shape)

        sizes = [n_sites, *[width] * depth]
        self.weights = [draw(sizes[k + 1], sizes[k]) for k in range(depth)]
        self.biases = [draw(width) for _ in range(depth)]
        self.coefficients = np.append(draw(degree - 1), 1)  # of t, t^2, ..., t^p
        self.output, self.constant = draw(width), int(draw(1)[0])

    def amplitudes(self, spins: ArrayLike) -> NDArray[np.float64]:
        """Return psi(s) in floating-point numbers, not normalised.

        Parameters
        ----------
        spins : array_like of -1 and +1, shape (n, n_sites)
            Configurations.

        Returns
        -------
        ndarray of float64, shape (n,)

        Raises
        ------
        ValueError
            If the shape does not fit or a value is neither -1 nor +1.
        """
        rows = np.asarray(spins)
        if rows.ndim != 2 or rows.shape[1] != self.n_sites or not (np.abs(rows) == 1).all():
            raise ValueError(f"Argument `spins` must hold -1 and +1 in shape (n, {self.n_sites}), but it does not.")
        h = rows.astype(np.float64)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            t = h @ weight.T + bias
            h = np.zeros_like(t)
            for coefficient in self.coefficients[::-1]:
                h = (h + coefficient) * t
        return h @ self.output + self.constant

    def to_vector(self) -> NDArray[np.float64]:
        """Return all amplitudes, site i of weight 2^i, shape (2^n_sites,)."""
        return self.amplitudes(bits.integers_to_spins(np.arange(2**self.n_sites), self.n_sites))

    def schmidt_rank(self, subsystem: Iterable[int]) -> int:
        """Return the Schmidt rank between a subsystem and the rest, without rounding.

        Parameters
        ----------
        subsystem : iterable of int
            Sites, each once; the smaller side holds at most 10.

        Returns
        -------
        int
            The rank over GF(p), the larger for two primes p near 2^31. It never exceeds the rank, and is below it only
            if both primes divide all its minors: of random weights about once in 2^60 / rank^2.

        Raises
        ------
        ValueError, TypeError
            If a site does not exist, or both sides are larger than 10.
        """
        sites = read_subsystem(subsystem, self.n_sites)
        others = sorted(set(range(self.n_sites)) - set(sites))
        if min(len(sites), len(others)) > _MAX_SIDE:
            raise ValueError(f"Argument `subsystem` must leave a side of at most {_MAX_SIDE} sites, but it does not.")
        order = [self.n_sites - 1 - site for site in [*reversed(sites), *reversed(others)]]
        ranks = []
        for prime in _PRIMES:
            tensor = self._residues(prime).reshape((2,) * self.n_sites).transpose(order)
            ranks.append(_rank(tensor.reshape(2 ** len(sites), 2 ** len(others)), prime))
        return max(ranks)

    def _residues(self, prime: int) -> NDArray[np.int64]:
        """All amplitudes modulo a prime below 2^31."""
        h = bits.integers_to_spins(np.arange(2**self.n_sites), self.n_sites).astype(np.int64) % prime
        for weight, bias in zip(self.weights, self.biases, strict=True):
            t = (_product(h, weight.T % prime, prime) + bias) % prime
            h = np.zeros_like(t)
            for coefficient in self.coefficients[::-1]:
                h = (h + coefficient) % prime * t % prime
        return (_product(h, self.output[:, None] % prime, prime)[:, 0] + self.constant) % prime


def _product(left: NDArray[np.int64], right: NDArray[np.int64], prime: int) -> NDArray[np.int64]:
    """Matrix product modulo a prime: reduced after every term, of which two would overflow."""
    total = np.zeros((left.shape[0], right.shape[1]), dtype=np.int64)
    for k in range(left.shape[1]):
        total = (total + left[:, k, None] * right[k]) % prime
    return total


def _rank(matrix: NDArray[np.int64], prime: int) -> int:
    """Rank over GF(prime)."""
    rows = matrix.copy() if matrix.shape[0] <= matrix.shape[1] else matrix.T.copy()
    rank = 0
    while rank < len(rows) and rows[rank:].any():
        # The first column with something left holds the next pivot.
        column = int(np.flatnonzero(rows[rank:].any(axis=0))[0])
        pivot = rank + int(np.flatnonzero(rows[rank:, column])[0])
        rows[[rank, pivot]] = rows[[pivot, rank]]
        first = rows[rank, column:] * pow(int(rows[rank, column]), -1, prime) % prime
        rows[rank + 1 :, column:] = (rows[rank + 1 :, column:] - rows[rank + 1 :, column, None] * first) % prime
        rank += 1
    return rank
