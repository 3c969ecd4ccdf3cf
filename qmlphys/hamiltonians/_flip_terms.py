"""A sum of Pauli strings grouped by the sites that it flips. Public through `qmlphys.hamiltonians`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["FlipTerms", "flip_terms_of", "spin_rows"]

# Numbers of a block of string values: 32 MB, whatever the number of configurations.
BLOCK = 2**22


@dataclass(frozen=True, eq=False)
class FlipTerms:
    """An operator as a sum over sets of flipped sites, each with its matrix element as a function of the spins.

    A Pauli string flips the sites of its X and Y and multiplies by the spins of its Y and Z:
    <s|X|-s> = 1, <s|Y|-s> = -i s, <s|Z|s> = s. Strings that flip the same sites make one term. The element of term k,
    <s|H|s with the sites of k flipped>, is the sum over the strings of k of coefficient * product of s over its
    z-sites.

    Parameters
    ----------
    n_sites : int
        Number of sites.
    flips : ndarray of int64, shape (n_terms, max_flips)
        Flipped sites of each term in rising order, then -1. Row 0 is the diagonal: it flips nothing, and is there even
        where it is zero.
    owner : ndarray of int64, shape (n_strings,)
        The term that each string belongs to; rising, and every term owns at least one string.
    coefficients : ndarray of complex128, shape (n_strings,)
        Coefficient of each string, with the factors -i of its Y.
    zsites : ndarray of int64, shape (n_strings, max_z)
        Sites whose spins multiply each string's coefficient, then -1.

    Examples
    --------
    >>> from qmlphys import hamiltonians, lattices
    >>> terms = hamiltonians.TransverseIsing(lattices.chain(3), field=0.5).flip_terms
    >>> terms.flips.tolist(), terms.is_real
    ([[-1], [0], [1], [2]], True)
    >>> terms.elements([[1, 1, -1]]).tolist()
    [[1.0, -0.5, -0.5, -0.5]]
    """

    n_sites: int
    flips: NDArray[np.int64]
    owner: NDArray[np.int64]
    coefficients: NDArray[np.complex128]
    zsites: NDArray[np.int64]

    @property
    def n_terms(self) -> int:
        """Number of terms, the diagonal one included."""
        return len(self.flips)

    @property
    def n_strings(self) -> int:
        """Number of products of spins in all terms together."""
        return len(self.owner)

    @property
    def max_flips(self) -> int:
        """Largest number of sites that a term flips; 1 where none flips any."""
        return int(self.flips.shape[1])

    @property
    def is_real(self) -> bool:
        """Whether all matrix elements are real."""
        return not self.coefficients.imag.any()

    def elements(self, spins: ArrayLike) -> NDArray[Any]:
        """Matrix elements of all terms.

        Parameters
        ----------
        spins : array_like of -1 and +1, shape (n, n_sites)
            Configurations s.

        Returns
        -------
        ndarray of float64 (of complex128 where `is_real` is False), shape (n, n_terms)
            <s|H_k|s with the sites of term k flipped>.

        Raises
        ------
        ValueError
            If the shape does not fit or a value is neither -1 nor +1.
        """
        rows = spin_rows(spins, self.n_sites)
        coefficients: NDArray[Any] = self.coefficients.real if self.is_real else self.coefficients
        starts = np.searchsorted(self.owner, np.arange(self.n_terms))
        result = np.empty((len(rows), self.n_terms), dtype=coefficients.dtype)
        step = max(1, BLOCK // self.n_strings)
        for first in range(0, len(rows), step):
            part = rows[first : first + step]
            # Site -1, the padding, is one more column, which holds ones.
            part = np.concatenate((part, np.ones((len(part), 1), dtype=np.int8)), axis=1)
            signs = np.ones((len(part), self.n_strings), dtype=np.int8)
            for column in self.zsites.T:
                signs *= part[:, column]
            result[first : first + step] = np.add.reduceat(coefficients * signs, starts, axis=1)
        return result


def spin_rows(spins: ArrayLike, n_sites: int) -> NDArray[np.int8]:
    """Check configurations and return them as int8 of shape (n, n_sites)."""
    array = np.asarray(spins)
    if array.ndim != 2 or array.shape[1] != n_sites:
        raise ValueError(f"Argument `spins` must have shape (n, {n_sites}), but it is {array.shape}.")
    bad = (array != 1) & (array != -1)
    if bad.any():
        raise ValueError(f"Argument `spins` must hold -1 and +1 only, but it holds {array[bad][0]}.")
    return array.astype(np.int8, copy=False)


def flip_terms_of(terms: Iterable[tuple[str, float]], n_sites: int) -> FlipTerms:
    """Group Pauli strings, no one twice, by the sites that they flip; in the order in which these first occur."""
    groups: dict[tuple[int, ...], list[tuple[tuple[int, ...], complex]]] = {(): []}
    for string, coefficient in terms:
        flips = tuple(site for site, letter in enumerate(string) if letter in "XY")
        zsites = tuple(site for site, letter in enumerate(string) if letter in "YZ")
        # The power is looked up, for (-1j)**2 has a rounding error in its imaginary part.
        phase = (1, -1j, -1, 1j)[string.count("Y") % 4]
        groups.setdefault(flips, []).append((zsites, coefficient * phase))
    if not groups[()]:
        groups[()].append(((), 0.0))
    strings = [string for group in groups.values() for string in group]
    arrays = (
        _padded(list(groups)),
        np.repeat(np.arange(len(groups), dtype=np.int64), [len(group) for group in groups.values()]),
        np.array([coefficient for _, coefficient in strings], dtype=np.complex128),
        _padded([zsites for zsites, _ in strings]),
    )
    for array in arrays:
        array.setflags(write=False)
    return FlipTerms(n_sites, *arrays)


def _padded(rows: list[tuple[int, ...]]) -> NDArray[np.int64]:
    """Tuples of sites as rows of one array, filled up with -1, of one column at least."""
    width = max(1, *map(len, rows))
    return np.array([row + (-1,) * (width - len(row)) for row in rows], dtype=np.int64)
