"""Lattices: frozen geometry - sites, edges, neighbours, coordinates, boundary.

A lattice is a block of unit cells, spanned by primitive vectors, with one or more sites a cell. Everything else follows
from the distances between sites: the k-th neighbours of a site are the sites in the k-th shell around it. The distance
between neighbours is the unit of length.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod, sqrt

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_SITES", "Lattice", "chain", "cubic", "from_label", "honeycomb", "square", "triangular"]

_MIN_SIZE = 3
MAX_SITES = 2**24
"""The largest lattice."""

# Name: primitive vectors of the cell, positions of the sites in it. The first axis runs over rows.
_CELLS: dict[str, tuple[tuple[tuple[float, ...], ...], tuple[tuple[float, ...], ...]]] = {
    "chain": (((1.0,),), ((0.0,),)),
    "square": (((1.0, 0.0), (0.0, 1.0)), ((0.0, 0.0),)),
    "triangular": (((sqrt(3) / 2, 0.5), (0.0, 1.0)), ((0.0, 0.0),)),
    "honeycomb": (((1.5, sqrt(3) / 2), (0.0, sqrt(3))), ((0.0, 0.0), (0.5, sqrt(3) / 2))),
    "cubic": (((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)), ((0.0, 0.0, 0.0),)),
}


@dataclass(frozen=True)
class Lattice:
    """A finite lattice; make one with `chain`, `square`, `triangular`, `honeycomb` or `cubic`.

    Two lattices are equal when name, size and boundary are. Arrays are read-only and made when first asked for.

    Attributes
    ----------
    name : str
        "chain", "square", "triangular", "honeycomb" or "cubic".
    size : int
        Number of unit cells along each axis, at least 3.
    periodic : bool
        Whether the ends of every axis are joined.

    Examples
    --------
    >>> lattice = square(4)
    >>> lattice.n_sites, lattice.shape, lattice.edges.shape
    (16, (4, 4), (32, 2))
    >>> lattice.neighbours[0].tolist()
    [12, 3, 1, 4]
    """

    name: str
    size: int
    periodic: bool = True

    def __post_init__(self) -> None:
        if self.name not in _CELLS:
            raise ValueError(f"Argument `name` must be one of {sorted(_CELLS)}, but it is {self.name!r}.")
        try:
            size = operator.index(self.size)
        except TypeError:
            raise TypeError(f"Argument `size` must be an integer, but it is {self.size!r}.") from None
        if isinstance(self.size, bool) or size < _MIN_SIZE:
            raise ValueError(
                f"Argument `size` must be at least {_MIN_SIZE}, but it is {self.size!r}: "
                "on a smaller periodic lattice two sites would share more than one edge."
            )
        object.__setattr__(self, "size", size)
        if not isinstance(self.periodic, bool | np.bool_):
            raise TypeError(f"Argument `periodic` must be True or False, but it is {self.periodic!r}.")
        if self.n_sites > MAX_SITES:
            raise ValueError(
                f"Argument `size` must give at most {MAX_SITES} sites, but {self.label} has {self.n_sites}."
            )

    def __str__(self) -> str:
        return self.label

    @property
    def label(self) -> str:
        """The call that makes this lattice, as text; `from_label` reads it back."""
        return f"{self.name}({self.size})" if self.periodic else f"{self.name}({self.size}, periodic=False)"

    @property
    def n_dimensions(self) -> int:
        """Number of axes."""
        return len(_CELLS[self.name][0])

    @property
    def n_basis(self) -> int:
        """Number of sites in a unit cell."""
        return len(_CELLS[self.name][1])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a configuration as an array: `spins.reshape(lattice.shape)`; its product is `n_sites`.

        The honeycomb is drawn as a brick wall of `size` rows and `2 size` columns.
        """
        return (self.size,) * (self.n_dimensions - 1) + (self.size * self.n_basis,)

    @property
    def n_sites(self) -> int:
        """Number of sites."""
        return prod(self.shape)

    @cached_property
    def coordinates(self) -> NDArray[np.float64]:
        """Positions of the sites, shape (n_sites, n_dimensions), in units of the neighbour distance."""
        vectors, basis = (np.array(part) for part in _CELLS[self.name])
        cells = np.indices((self.size,) * self.n_dimensions).reshape(self.n_dimensions, -1).T
        return _frozen((cells @ vectors)[:, None, :] + basis[None, :, :]).reshape(self.n_sites, self.n_dimensions)

    @cached_property
    def neighbours(self) -> NDArray[np.int64]:
        """Nearest neighbours, shape (n_sites, coordination number); -1 where an open boundary cuts one off.

        Column k holds the neighbour in the same direction for every site of one sublattice.
        """
        return _frozen(self._partners(1))

    @cached_property
    def edges(self) -> NDArray[np.int64]:
        """Nearest-neighbour pairs, each once, shape (n_edges, 2), smaller site first."""
        return self.edges_of_order(1)

    def edges_of_order(self, k: int) -> NDArray[np.int64]:
        """Pairs of k-th neighbours, each once.

        Parameters
        ----------
        k : int
            Shell, at least 1; 1 gives the nearest neighbours, on a square lattice 2 gives the diagonals.

        Returns
        -------
        ndarray of int64, shape (n_pairs, 2)
            Smaller site first, sorted.

        Raises
        ------
        ValueError
            If k < 1, or if the periodic lattice is so small that a k-th neighbour is also a nearer one.

        Examples
        --------
        >>> chain(5).edges_of_order(2).tolist()
        [[0, 2], [0, 3], [1, 3], [1, 4], [2, 4]]
        """
        if operator.index(k) < 1:
            raise ValueError(f"Argument `k` must be at least 1, but it is {k!r}.")
        partners = self._partners(k)
        if self.periodic and k > 1:
            nearer = np.hstack([self._partners(j) for j in range(1, k)] + [np.arange(self.n_sites)[:, None]])
            if (partners[:, :, None] == nearer[:, None, :]).any():
                raise ValueError(
                    f"Argument `k` must be smaller on {self.label}, but it is {k}: "
                    "around so small a period a neighbour of this order is also a nearer one; take a larger lattice."
                )
        first = np.repeat(np.arange(self.n_sites), partners.shape[1])
        second = partners.ravel()
        keep = second >= 0
        pairs = np.sort(np.stack([first[keep], second[keep]], axis=1), axis=1)
        return _frozen(np.unique(pairs, axis=0))

    def _partners(self, k: int) -> NDArray[np.int64]:
        """K-th neighbours of every site in a fixed order of directions, -1 where there is none."""
        n_basis, n_dim = self.n_basis, self.n_dimensions
        cells = np.indices((self.size,) * n_dim).reshape(n_dim, -1).T
        strides = self.size ** np.arange(n_dim - 1, -1, -1)
        columns = []
        for sub, shell in enumerate(_shell(self.name, k)):
            for *offset, target_sub in shell:
                target = cells + np.array(offset)
                inside = ((target >= 0) & (target < self.size)).all(axis=1)
                index = (target % self.size) @ strides * n_basis + target_sub
                columns.append((sub, np.where(inside | self.periodic, index, -1)))
        width = max(sum(1 for sub, _ in columns if sub == s) for s in range(n_basis))
        partners = np.full((self.n_sites, width), -1, dtype=np.int64)
        for s in range(n_basis):
            for column, values in enumerate(values for sub, values in columns if sub == s):
                partners[s::n_basis, column] = values
        return partners


def _shell(name: str, k: int) -> list[list[tuple[int, ...]]]:
    """For each site of a cell, the (cell offset..., site in cell) of its k-th neighbours on the infinite lattice."""
    vectors, basis = (np.array(part) for part in _CELLS[name])
    reach = k + 1  # the k-th distance on these lattices is at most k, and one cell step is at least one unit across
    offsets = np.array(list(product(range(-reach, reach + 1), repeat=len(vectors))))
    shells = []
    for origin in basis:
        steps = (offsets @ vectors)[:, None, :] + basis[None, :, :] - origin
        distances = np.round(np.sqrt((steps**2).sum(axis=2)), 9)
        radius = np.unique(distances)[k]  # the zeroth is the site itself
        found = np.argwhere(distances == radius)
        shells.append([(*offsets[cell].tolist(), int(sub)) for cell, sub in found])
    return shells


def _frozen(array: NDArray) -> NDArray:
    array.setflags(write=False)
    return array


def chain(n: int, *, periodic: bool = True) -> Lattice:
    """Chain of n sites.

    Parameters
    ----------
    n : int
        Number of sites, at least 3.
    periodic : bool
        Whether the last site is a neighbour of the first (a ring).

    Examples
    --------
    >>> chain(3, periodic=False).edges.tolist()
    [[0, 1], [1, 2]]
    """
    return Lattice("chain", n, periodic)


def square(l: int, *, periodic: bool = True) -> Lattice:  # noqa: E741 - the field's letter
    """Square lattice of l x l sites; site i is row i // l, column i % l.

    Parameters
    ----------
    l : int
        Linear size, at least 3.
    periodic : bool
        Torus (True) or open edges.

    Examples
    --------
    >>> square(3).n_sites
    9
    """
    return Lattice("square", l, periodic)


def triangular(l: int, *, periodic: bool = True) -> Lattice:  # noqa: E741 - the field's letter
    """Triangular lattice of l x l sites, six neighbours each (a square lattice with one diagonal).

    Parameters
    ----------
    l : int
        Linear size, at least 3.
    periodic : bool
        Torus (True) or open edges.

    Examples
    --------
    >>> triangular(4).neighbours.shape
    (16, 6)
    """
    return Lattice("triangular", l, periodic)


def honeycomb(l: int, *, periodic: bool = True) -> Lattice:  # noqa: E741 - the field's letter
    """Honeycomb lattice of l x l cells with two sites each, three neighbours a site.

    Parameters
    ----------
    l : int
        Number of cells along each axis, at least 3.
    periodic : bool
        Torus (True) or open edges.

    Examples
    --------
    >>> honeycomb(4).n_sites
    32
    """
    return Lattice("honeycomb", l, periodic)


def cubic(l: int, *, periodic: bool = True) -> Lattice:  # noqa: E741 - the field's letter
    """Simple cubic lattice of l x l x l sites.

    Parameters
    ----------
    l : int
        Linear size, at least 3.
    periodic : bool
        Torus (True) or open faces.

    Examples
    --------
    >>> cubic(3).edges.shape
    (81, 2)
    """
    return Lattice("cubic", l, periodic)


_MAKERS: dict[str, Callable[..., Lattice]] = {
    "chain": chain,
    "cubic": cubic,
    "honeycomb": honeycomb,
    "square": square,
    "triangular": triangular,
}


def from_label(label: str) -> Lattice:
    """Read a lattice back from its `label`.

    Parameters
    ----------
    label : str
        For example "square(16)" or "chain(8, periodic=False)".

    Raises
    ------
    ValueError
        If the text is not the label of a lattice.

    Examples
    --------
    >>> from_label("square(16)") == square(16)
    True
    """
    match = re.fullmatch(r"(\w+)\(([1-9][0-9]{0,7})(, periodic=False)?\)", label)
    if match is None or match[1] not in _MAKERS:
        raise ValueError(f"Argument `label` must name a lattice, such as 'square(16)', but it is {label!r}.")
    return _MAKERS[match[1]](int(match[2]), periodic=match[3] is None)
