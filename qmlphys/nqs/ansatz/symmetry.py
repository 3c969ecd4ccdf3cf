"""Groups of lattice symmetries with one-dimensional characters: quantum numbers that a state can be projected on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qmlphys.lattices import Lattice
from qmlphys.nqs.ansatz._arguments import count, read_lattice
from qmlphys.nqs.ansatz._isometries import isometries

__all__ = ["SymmetryGroup"]


@dataclass(frozen=True, eq=False)
class SymmetryGroup:
    """A group of site permutations and global spin flips, with a number for each element.

    Element g turns a configuration s into g s with (g s)_i = f_g s[p_g(i)], where f_g is -1 if g flips the spins. It
    acts on states by (U_g psi)(s) = psi(g s), and U_g U_h belongs to p_g(p_h(i)). A state of the sector has
    U_g psi = chi_g psi.

    Parameters
    ----------
    permutations : array of int, shape (n_elements, n_sites)
        p_g; every row holds each site once.
    spin_flips : array of bool, shape (n_elements,)
        Whether g also flips all spins.
    characters : array of complex or float, shape (n_elements,)
        chi_g, a one-dimensional representation: chi_gh = chi_g chi_h.

    Raises
    ------
    ValueError
        If the elements are no group, or the characters no representation of it: no state has such quantum numbers.

    Examples
    --------
    >>> ring = SymmetryGroup.translations(4, momentum=2) * SymmetryGroup.spin_flip(4, -1)
    >>> len(ring), ring.characters[:4].tolist()
    (8, [1.0, -1.0, -1.0, 1.0])
    """

    permutations: NDArray[np.int64]
    spin_flips: NDArray[np.bool_]
    characters: NDArray[np.complex128] | NDArray[np.float64]

    def __post_init__(self) -> None:
        permutations = _whole_numbers(self.permutations)
        flips = np.array(self.spin_flips, dtype=bool)
        characters = np.array(self.characters, dtype=np.complex128)
        n = len(permutations)
        if flips.shape != (n,) or characters.shape != (n,):
            raise ValueError(
                f"Arguments `spin_flips` and `characters` must have shape ({n},), one for each row of `permutations`, "
                f"but they have {flips.shape} and {characters.shape}."
            )
        rows, found = _composition(permutations, flips)
        errors = np.abs(characters[found] - characters[:, None] * characters[None, :])
        if not np.isfinite(characters).all() or np.abs(np.abs(characters) - 1).max() > 1e-9 or errors.max() > 1e-9:
            g, h = np.unravel_index(int(np.argmax(np.nan_to_num(errors, nan=np.inf))), errors.shape)
            raise ValueError(
                "Argument `characters` must be a one-dimensional representation of the group, but the elements "
                f"{g} and {h} have {_text(characters[g])} and {_text(characters[h])} and their product "
                f"has {_text(characters[found[g, h]])}: no state has these quantum numbers."
            )
        kept = characters.real.copy() if np.abs(characters.imag).max() < 1e-12 else characters
        for name, array in (("permutations", rows), ("spin_flips", flips), ("characters", kept)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def __repr__(self) -> str:
        # Checkpoints tell calculations apart by this text.
        arrays = (self.permutations, self.spin_flips, self.characters.astype(np.complex128))
        digest = hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
        return f"<SymmetryGroup of {len(self)} elements on {self.n_sites} sites, {digest[:12]}>"

    def __len__(self) -> int:
        return len(self.permutations)

    @property
    def n_sites(self) -> int:
        """Number of sites."""
        return self.permutations.shape[1]

    @property
    def is_real(self) -> bool:
        """Whether all characters are real."""
        return not np.iscomplexobj(self.characters)

    def __mul__(self, other: SymmetryGroup) -> SymmetryGroup:
        """Return the group of all products of an element of each, which the two must share only the identity of."""
        if not isinstance(other, SymmetryGroup):
            return NotImplemented
        if other.n_sites != self.n_sites:
            raise ValueError(
                f"Both groups must have the same number of sites, but: {self.n_sites} and {other.n_sites}."
            )
        return SymmetryGroup(
            self.permutations[:, other.permutations].reshape(-1, self.n_sites),
            (self.spin_flips[:, None] ^ other.spin_flips[None, :]).reshape(-1),
            (self.characters[:, None] * other.characters[None, :]).reshape(-1),
        )

    @classmethod
    def translations(cls, lattice: Lattice | int, *, momentum: int | Sequence[int] = 0) -> SymmetryGroup:
        """Return the translations of a periodic lattice by unit cells, with a momentum.

        Parameters
        ----------
        lattice : Lattice or int
            A periodic lattice, or the number of sites of a ring.
        momentum : int or sequence of int, keyword
            m of k = 2 pi m / size, along each axis; one number is meant for all. The translation by r cells has
            chi = exp(-i k r): with m = size/2 a state changes sign under a step.

        Raises
        ------
        ValueError
            If a momentum is no integer, or their number is not that of the axes: no others fit on the lattice.

        Examples
        --------
        >>> from qmlphys.lattices import square
        >>> len(SymmetryGroup.translations(square(4), momentum=(2, 2)))
        16
        """
        lattice = read_lattice(lattice, periodic=True)
        shape = (lattice.size,) * lattice.n_dimensions
        steps = np.atleast_1d(np.asarray(momentum, dtype=np.float64))
        if steps.size == 1:
            steps = np.repeat(steps, lattice.n_dimensions)
        if steps.shape != (lattice.n_dimensions,) or (steps != np.round(steps)).any():
            raise ValueError(
                f"Argument `momentum` must be {lattice.n_dimensions} integer(s), in units of 2 pi / {lattice.size}, "
                f"but it is {momentum!r}: no state on {lattice.label} has it."
            )
        cells = np.arange(lattice.n_sites).reshape(*shape, lattice.n_basis)
        axes = tuple(range(lattice.n_dimensions))
        shifts = np.array(list(product(*[range(n) for n in shape])))
        permutations = np.stack([np.roll(cells, tuple(-shift), axes).reshape(-1) for shift in shifts])
        turns = (shifts @ steps.astype(np.int64)) % lattice.size
        return cls(permutations, np.zeros(len(shifts), dtype=bool), _roots(turns, lattice.size))

    @classmethod
    def spin_flip(cls, n_sites: int, sign: int = 1) -> SymmetryGroup:
        """Return the flip of all spins, under which the state is even (sign 1) or odd (sign -1).

        Examples
        --------
        >>> SymmetryGroup.spin_flip(3, -1).spin_flips.tolist()
        [False, True]
        """
        _check_sign("sign", sign)
        sites = np.arange(count("n_sites", n_sites))
        return cls(np.stack([sites, sites]), np.array([False, True]), np.array([1.0, sign]))

    @classmethod
    def point_group(cls, lattice: Lattice | int, *, rotation: int = 1, reflection: int = 1) -> SymmetryGroup:
        """Return the rotations and reflections of a lattice about a point, with a sign for each kind.

        On a periodic lattice the point is site 0 (the centre of a hexagon on the honeycomb), on an open one the middle.

        Parameters
        ----------
        lattice : Lattice or int
            A lattice, or the number of sites of a ring.
        rotation : {1, -1}, keyword
            Sign under the smallest rotation; on a cubic lattice that under exchange of two axes.
        reflection : {1, -1}, keyword
            Sign under the reflection that keeps the direction of the first axis and turns the others around; on a chain
            that under reversal, on a cubic lattice that under inversion.

        Raises
        ------
        ValueError
            If a sign is not 1 or -1, or is -1 for something that the lattice does not have.

        Examples
        --------
        >>> from qmlphys.lattices import square, triangular
        >>> len(SymmetryGroup.point_group(square(4))), len(SymmetryGroup.point_group(triangular(3)))
        (8, 12)
        """
        lattice = read_lattice(lattice)
        _check_sign("rotation", rotation)
        _check_sign("reflection", reflection)
        found = isometries(lattice)
        for name, sign, there in (
            ("rotation", rotation, found.turns.any()),
            ("reflection", reflection, found.mirrors.any()),
        ):
            if sign == -1 and not there:
                raise ValueError(f"Argument `{name}` must be 1 on {lattice.label}, which has none, but it is -1.")
        characters = np.where(found.turns % 2 == 1, rotation, 1) * np.where(found.mirrors, reflection, 1)
        return cls(found.permutations, np.zeros(len(characters), dtype=bool), characters)


def _whole_numbers(permutations: ArrayLike) -> NDArray[np.int64]:
    rows = np.array(permutations)
    if rows.ndim != 2 or rows.shape[0] < 1 or rows.dtype.kind not in "iu":
        raise ValueError(
            "Argument `permutations` must be integers of shape (n_elements, n_sites), "
            f"but it is {rows.dtype} of shape {rows.shape}."
        )
    rows = rows.astype(np.int64)
    bad = np.flatnonzero((np.sort(rows, axis=1) != np.arange(rows.shape[1])).any(axis=1))
    if bad.size:
        raise ValueError(f"Argument `permutations` must hold each site once a row, but row {bad[0]} does not.")
    return rows


def _composition(
    permutations: NDArray[np.int64], flips: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows, and the table of which row is the product of which two."""
    n, n_sites = permutations.shape
    elements = np.hstack([permutations, flips[:, None]])
    # A row is found again by a random linear form of it, which wraps around; then it is compared in full.
    form = np.random.default_rng(0).integers(1, 2**62, size=n_sites + 1)
    keys = elements @ form
    order = np.argsort(keys)
    table = np.empty((n, n), dtype=np.int64)
    for g in range(n):
        products = np.hstack([permutations[g][permutations], (flips[g] ^ flips)[:, None]])
        place = np.minimum(np.searchsorted(keys[order], products @ form), n - 1)
        table[g] = order[place]
        if not np.array_equal(elements[table[g]], products):
            raise ValueError("Argument `permutations` must, with `spin_flips`, hold a group, but products are missing.")
    if n > 1 and len(np.unique(elements, axis=0)) != n:
        raise ValueError(
            "Argument `permutations` must, with `spin_flips`, hold each element once, but some come twice."
        )
    return permutations, table


def _roots(turns: NDArray[np.int64], n: int) -> NDArray[np.complex128]:
    """exp(-2 pi i turns / n), without rounding where it is real or imaginary."""
    values = np.exp(-2j * np.pi * turns / n)
    for quarter, exact in enumerate((1, -1j, -1, 1j)):
        values[4 * turns == quarter * n] = exact
    return values


def _check_sign(name: str, sign: int) -> None:
    if sign not in (1, -1):
        raise ValueError(f"Argument `{name}` must be 1 or -1, but it is {sign!r}.")


def _text(number: complex) -> str:
    return f"{number.real:.6g}" if abs(number.imag) < 1e-12 else f"{number:.6g}"
