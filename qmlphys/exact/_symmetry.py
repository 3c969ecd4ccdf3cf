"""Symmetry sectors of spin models: groups of permutations and spin flips with their characters.

A group element g acts on configurations as (g s)[i] = +-s[permutation[i]], and a state lies in the sector when
psi(g s) = character(g) psi(s) for every g.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from qmlphys.hamiltonians import SpinHalf

__all__ = ["Group", "Sector", "sector_group"]

MAX_ORDER = 4096
TOLERANCE = 1e-9  # of characters, which are products of up to MAX_ORDER roots of unity


@dataclass(frozen=True)
class Sector:
    """Quantum numbers that a state is to have; what is None is left free.

    Parameters
    ----------
    magnetization : int, optional, keyword
        Sum of the spins, from -n_sites to n_sites and of its parity; for models that conserve it.
    spin_flip : {-1, +1}, optional, keyword
        Eigenvalue of the flip of all spins, the product of all X.
    momentum : sequence of int, optional, keyword
        One number m from 0 to size - 1 for each axis of the model's periodic lattice: psi(s') = exp(2 pi i m / size)
        psi(s) for s'[x] = s[x + one cell].
    permutations : sequence of sequences of int, optional, keyword
        Further symmetries, such as rotations and reflections, each a permutation p of the sites; generators are enough.
    characters : sequence of complex, optional, keyword
        For each permutation the number c with psi(s[p]) = c psi(s); by default 1.

    Examples
    --------
    >>> Sector(magnetization=0, spin_flip=1)
    Sector(magnetization=0, spin_flip=1, momentum=None, permutations=None, characters=None)
    """

    _: KW_ONLY
    magnetization: int | None = None
    spin_flip: int | None = None
    momentum: Sequence[int] | None = None
    permutations: Sequence[Sequence[int]] | None = None
    characters: Sequence[complex] | None = None


@dataclass(frozen=True, eq=False)
class Group:
    """All elements of a sector's group.

    Parameters
    ----------
    permutations : ndarray of int64, shape (order, n_sites)
        The first is the identity.
    flips : ndarray of bool, shape (order,)
        Whether all spins are flipped too.
    characters : ndarray of float64 or complex128, shape (order,)
        Of absolute value 1.
    """

    permutations: npt.NDArray[np.int64]
    flips: npt.NDArray[np.bool_]
    characters: npt.NDArray[Any]

    @property
    def order(self) -> int:
        """Number of elements."""
        return len(self.flips)


Generator = tuple[tuple[int, ...], bool, complex]


def sector_group(sector: Sector, hamiltonian: SpinHalf) -> Group:
    """Check a sector against a model and return its group.

    Raises
    ------
    ValueError
        If no state can have the quantum numbers, the characters are no representation, or the model does not have the
        symmetry.
    """
    n_sites = hamiltonian.n_sites
    _check_magnetization(sector, hamiltonian)
    identity = tuple(range(n_sites))
    generators: list[tuple[str, Generator]] = []
    if sector.spin_flip is not None:
        if sector.spin_flip not in (-1, 1):
            raise ValueError(f"Argument `spin_flip` must be -1 or +1, but is {sector.spin_flip!r}.")
        if sector.magnetization:
            raise ValueError(
                "Argument `spin_flip` must be None where the magnetization is not zero, for the flip changes its sign, "
                f"but is {sector.spin_flip!r} with magnetization {sector.magnetization!r}."
            )
        generators.append(("spin_flip", (identity, True, complex(sector.spin_flip))))
    generators += [("momentum", entry) for entry in _translations(sector, hamiltonian)]
    generators += [("permutations", entry) for entry in _permutations(sector, n_sites)]
    for argument, (permutation, flip, _) in generators:
        _check_symmetry(hamiltonian, argument, permutation, flip)
    return _closure([entry for _, entry in generators], n_sites)


def _check_magnetization(sector: Sector, hamiltonian: SpinHalf) -> None:
    if sector.magnetization is None:
        return
    n_sites = hamiltonian.n_sites
    try:
        total = operator.index(sector.magnetization)
    except TypeError:
        raise TypeError(f"Argument `magnetization` must be an integer, but is {sector.magnetization!r}.") from None
    if abs(total) > n_sites or (total - n_sites) % 2:
        raise ValueError(
            f"Argument `magnetization` must be one of -{n_sites}, {2 - n_sites}, ..., {n_sites} for {n_sites} spins of "
            f"-1 and +1, but is {total}."
        )
    if not hamiltonian.conserves_magnetization:
        raise ValueError(
            f"Argument `magnetization` must be None for {hamiltonian.label}, which does not conserve it, "
            f"but is {total}."
        )


def _translations(sector: Sector, hamiltonian: SpinHalf) -> list[Generator]:
    """One step along each axis of the lattice, with its phase."""
    if sector.momentum is None:
        return []
    lattice = hamiltonian.lattice
    if lattice is None or not lattice.periodic:
        where = "has no lattice" if lattice is None else f"lives on {lattice.label}"
        raise ValueError(
            f"Argument `momentum` must be None unless the lattice is periodic, but is {sector.momentum!r} and "
            f"{hamiltonian.label} {where}."
        )
    size, n_axes, n_basis = lattice.size, lattice.n_dimensions, lattice.n_basis
    numbers = tuple(np.atleast_1d(np.asarray(sector.momentum)).tolist())
    if len(numbers) != n_axes or not all(isinstance(m, int) and 0 <= m < size for m in numbers):
        raise ValueError(
            f"Argument `momentum` must hold {n_axes} integers from 0 to {size - 1} on {lattice.label}, "
            f"but is {sector.momentum!r}."
        )
    cells = np.arange(size**n_axes).reshape((size,) * n_axes)
    generators = []
    for axis, number in enumerate(numbers):
        moved = np.roll(cells, -1, axis=axis).reshape(-1)
        permutation = (moved[:, None] * n_basis + np.arange(n_basis)).reshape(-1)
        generators.append((tuple(permutation.tolist()), False, _root(number, size)))
    return generators


def _root(number: int, size: int) -> complex:
    """exp(2 pi i number / size), exact where it is +-1."""
    exact = {0: 1.0 + 0j, size: -1.0 + 0j}.get(2 * number)
    return complex(np.exp(2j * np.pi * number / size)) if exact is None else exact


def _permutations(sector: Sector, n_sites: int) -> list[Generator]:
    if sector.permutations is None:
        if sector.characters is not None:
            raise ValueError(f"Argument `characters` must be None without permutations, but is {sector.characters!r}.")
        return []
    permutations = [tuple(np.asarray(permutation).tolist()) for permutation in sector.permutations]
    for permutation in permutations:
        if sorted(permutation) != list(range(n_sites)):
            raise ValueError(
                f"Argument `permutations` must hold permutations of 0 to {n_sites - 1}, but holds {permutation!r}."
            )
    characters = [1.0 + 0j] * len(permutations) if sector.characters is None else list(map(complex, sector.characters))
    if len(characters) != len(permutations):
        raise ValueError(
            f"Argument `characters` must hold one number for each of {len(permutations)} permutations, but holds "
            f"{len(characters)}."
        )
    return [(p, False, c) for p, c in zip(permutations, characters, strict=True)]


def _check_symmetry(hamiltonian: SpinHalf, argument: str, permutation: tuple[int, ...], flip: bool) -> None:
    """Refuse a map of the sites, with or without the spin flip, that changes the model."""
    broken = hamiltonian.broken_term(permutation, flip=flip)
    if broken is not None:
        what = "the flip of all spins" if flip else f"the permutation {list(permutation)}"
        raise ValueError(
            f"Argument `{argument}` must be a symmetry of the model, but {what} turns the term {broken[1]!r} "
            f"{broken[0]} of {hamiltonian.label} into one that it does not have."
        )


def _closure(generators: list[Generator], n_sites: int) -> Group:
    """Multiply generators until nothing new comes; with two characters for one product there is no such state."""
    identity = (tuple(range(n_sites)), False)
    found: dict[tuple[tuple[int, ...], bool], complex] = {identity: 1.0 + 0j}
    fresh = [identity]
    while fresh:
        permutation, flip = fresh.pop()
        for second, second_flip, character in generators:
            product = (tuple(permutation[site] for site in second), flip ^ second_flip)
            value = found[permutation, flip] * character
            known = found.get(product)
            if known is None:
                if len(found) == MAX_ORDER:
                    raise ValueError(
                        f"Argument `permutations` must generate a group of at most {MAX_ORDER} elements with the other "
                        "symmetries, but it has more."
                    )
                found[product] = value
                fresh.append(product)
            elif abs(known - value) > TOLERANCE:
                raise ValueError(
                    "Argument `sector` must hold quantum numbers that go together, but these give the map of sites "
                    f"{list(product[0])} the characters {_short(known)} and {_short(value)}: they are no "
                    "representation of the group, and no state has them."
                )
    characters: npt.NDArray[Any] = np.array(list(found.values()))
    if np.abs(characters.imag).max() < TOLERANCE:
        characters = np.sign(characters.real)  # roots of unity that are real
    permutations = np.array([permutation for permutation, _ in found], dtype=np.int64)
    return Group(permutations, np.array([flip for _, flip in found]), characters)


def _short(value: complex) -> str:
    return f"{value.real:.4g}" if abs(value.imag) < TOLERANCE else f"{value:.4g}"
