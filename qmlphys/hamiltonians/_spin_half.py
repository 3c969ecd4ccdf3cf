"""What the quantum models of spins 1/2 share. Public through `qmlphys.hamiltonians`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from math import isfinite
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qmlphys import bits
from qmlphys.hamiltonians._flip_terms import FlipTerms, flip_terms_of, spin_rows
from qmlphys.lattices import Lattice

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from qmlphys.hamiltonians.pauli_sum import PauliSum

__all__ = ["SpinHalf", "basis_letters", "bond_string", "check_lattice", "set_finite"]

MAX_SPARSE_SITES = 24
MAX_SPARSE_ENTRIES = 2**29

# Image of each Pauli letter, and its sign, under the rotation that turns the measured letter into Z. Each is a rotation
# by 180 degrees and its own inverse. The one for X is the Hadamard gate, which leaves the transverse-field Ising model
# without a sign problem; both keep operators real whose strings hold an even number of Y and of Z.
_ROTATIONS: dict[str, dict[str, tuple[str, int]]] = {
    "X": {"I": ("I", 1), "X": ("Z", 1), "Y": ("Y", -1), "Z": ("X", 1)},
    "Y": {"I": ("I", 1), "X": ("X", -1), "Y": ("Z", 1), "Z": ("Y", 1)},
    "Z": {"I": ("I", 1), "X": ("X", 1), "Y": ("Y", 1), "Z": ("Z", 1)},
}


class SpinHalf(ABC):
    """A Hermitian operator on spins 1/2: what follows from its sum of Pauli strings.

    Abstract: a model says what `to_pauli` is; all else is here.

    Attributes
    ----------
    lattice : Lattice or None
        Geometry, where there is one.
    """

    lattice: Lattice | None

    @property
    @abstractmethod
    def n_sites(self) -> int:
        """Number of sites."""

    @property
    @abstractmethod
    def label(self) -> str:
        """The model as text, without its lattice."""

    @abstractmethod
    def to_pauli(self) -> list[tuple[str, float]]:
        """Return the operator as a sum of Pauli strings, no one twice.

        Returns
        -------
        list of (str, float)
            Strings of I, X, Y, Z, the leftmost character site 0, with their coefficients.
        """

    @cached_property
    def flip_terms(self) -> FlipTerms:
        """The sum grouped by flipped sites: what local energies are computed from."""
        return flip_terms_of(self.to_pauli(), self.n_sites)

    @cached_property
    def conserves_magnetization(self) -> bool:
        """Whether the operator commutes with the sum of all Z.

        Worked out from the strings: with D_S the product of Z over S and X_F the flip of F, the commutator
        [D_S X_F, Z_i] is -2 D_S Z_i X_F for i in F, and all of these must cancel.
        """
        terms = self.flip_terms
        commutator: dict[tuple[int, frozenset[int]], complex] = {}
        for owner, coefficient, row in zip(terms.owner, terms.coefficients, terms.zsites, strict=True):
            zsites = frozenset(row[row >= 0].tolist())
            for site in terms.flips[owner]:
                if site >= 0:
                    key = (int(owner), zsites ^ {int(site)})
                    commutator[key] = commutator.get(key, 0.0) + complex(coefficient)
        # Couplings such as 0.1 + 0.2 and 0.3 are to cancel in spite of their last bit.
        largest = float(np.abs(terms.coefficients).max())
        return all(abs(value) <= 1e-12 * largest for value in commutator.values())

    @property
    def reference_energy(self) -> float:
        """Energy at infinite temperature, trace(H) / 2^n: the coefficient of the identity, E_inf of the V-score."""
        terms = self.flip_terms
        constant = (terms.owner == 0) & (terms.zsites < 0).all(axis=1)
        return float(terms.coefficients[constant].real.sum())

    def connected(self, spins: ArrayLike) -> tuple[NDArray[np.int8], NDArray[Any]]:
        """Configurations that the operator leads to, and its matrix elements, at a fixed shape.

        Parameters
        ----------
        spins : array_like of -1 and +1, shape (n, n_sites)
            Configurations s.

        Returns
        -------
        configurations : ndarray of int8, shape (n, n_terms, n_sites)
            s'; entry 0 is s itself. Where an element is zero (two parallel spins are not exchanged) s' is s.
        elements : ndarray of float64 or complex128, shape (n, n_terms)
            <s|H|s'>.

        Raises
        ------
        ValueError
            If the shape does not fit or a value is neither -1 nor +1.

        Examples
        --------
        >>> from qmlphys import hamiltonians, lattices
        >>> model = hamiltonians.Heisenberg(lattices.chain(3))
        >>> configurations, elements = model.connected([[1, 1, -1]])
        >>> configurations[0].tolist(), elements[0].tolist()
        ([[1, 1, -1], [1, 1, -1], [-1, 1, 1], [1, -1, 1]], [-1.0, 0.0, 2.0, 2.0])
        """
        rows = spin_rows(spins, self.n_sites)
        terms = self.flip_terms
        elements = terms.elements(rows)
        signs = np.ones((terms.n_terms, self.n_sites + 1), dtype=np.int8)
        signs[np.arange(terms.n_terms)[:, None], terms.flips] = -1  # -1, the padding, writes into the last column
        configurations = np.where((elements != 0)[:, :, None], signs[None, :, :-1], np.int8(1)) * rows[:, None, :]
        return configurations, elements

    def broken_term(self, permutation: Sequence[int], *, flip: bool = False) -> tuple[str, float] | None:
        """Return a Pauli string that a map of the sites turns into one that the model does not have.

        Parameters
        ----------
        permutation : sequence of int
            Letter i of the image is letter permutation[i] of the string.
        flip : bool, keyword
            Whether all spins are flipped too, which changes the sign of Y and Z.

        Returns
        -------
        (str, float) or None
            The string and its coefficient; None if the map is a symmetry of the model.

        Examples
        --------
        >>> from qmlphys.hamiltonians import PauliSum
        >>> PauliSum([("ZZI", 1.0), ("IZZ", 1.0)]).broken_term([1, 2, 0])
        ('ZZI', 1.0)
        >>> PauliSum([("ZZI", 1.0), ("IZZ", 1.0)]).broken_term([2, 1, 0], flip=True) is None
        True
        """
        terms = dict(self.to_pauli())
        tolerance = 1e-12 * max(map(abs, terms.values()), default=0.0)
        for string, coefficient in terms.items():
            image = "".join([string[site] for site in permutation])
            sign = -1 if flip and (string.count("Y") + string.count("Z")) % 2 else 1
            if abs(terms.get(image, 0.0) - sign * coefficient) > tolerance:
                return string, coefficient
        return None

    def to_sparse(self) -> csr_array:
        """Return the matrix in the basis of configurations.

        Returns
        -------
        scipy.sparse.csr_array of float64 or complex128, shape (2^n_sites, 2^n_sites)
            Row and column number are the bits of a configuration, spin +1 being 0, with site i of weight 2^i.

        Raises
        ------
        ValueError
            If there are more than 24 sites, or 2^29 entries.

        Examples
        --------
        >>> from qmlphys.hamiltonians import PauliSum
        >>> PauliSum([("ZI", 1.0), ("IX", 2.0)]).to_sparse().toarray().tolist()
        [[1.0, 0.0, 2.0, 0.0], [0.0, -1.0, 0.0, 2.0], [2.0, 0.0, 1.0, 0.0], [0.0, 2.0, 0.0, -1.0]]
        """
        from scipy.sparse import csr_array

        n_sites, terms = self.n_sites, self.flip_terms
        if n_sites > MAX_SPARSE_SITES or terms.n_terms << n_sites > MAX_SPARSE_ENTRIES:
            raise ValueError(
                f"Argument `self` must have at most {MAX_SPARSE_SITES} sites and {MAX_SPARSE_ENTRIES} matrix elements "
                f"to become a matrix, but {self.label} has {n_sites} sites and {terms.n_terms} * 2^{n_sites} elements."
            )
        masks = np.where(terms.flips >= 0, np.int64(1) << np.maximum(terms.flips, 0), 0).sum(axis=1)
        size = 1 << n_sites
        step = max(1, 2**22 // terms.n_terms)
        counts, indices, data = [], [], []
        for first in range(0, size, step):
            numbers = np.arange(first, min(first + step, size))
            elements = terms.elements(bits.integers_to_spins(numbers, n_sites))
            there = elements != 0
            counts.append(there.sum(axis=1))
            indices.append((numbers[:, None] ^ masks)[there].astype(np.int32))
            data.append(elements[there])
        pointers = np.concatenate(([0], np.cumsum(np.concatenate(counts))))
        matrix = csr_array((np.concatenate(data), np.concatenate(indices), pointers), shape=(size, size))
        matrix.sort_indices()
        return matrix

    def rotated(self, basis: str) -> PauliSum:
        """Return the same operator as seen from another Pauli basis.

        Measuring Z on the ground state of the result is measuring `basis` on the ground state of this operator. On each
        site the axes are turned by 180 degrees: for X by the Hadamard gate, (X, Y, Z) -> (Z, -Y, X), and for Y by
        (X, Y, Z) -> (-X, Z, Y).

        Parameters
        ----------
        basis : str
            X, Y or Z for all sites, or one letter a site, site 0 first.

        Returns
        -------
        PauliSum
            With the same spectrum, and the same lattice.

        Raises
        ------
        ValueError
            If `basis` holds another letter or its length is neither 1 nor n_sites.

        Examples
        --------
        >>> from qmlphys.hamiltonians import PauliSum
        >>> PauliSum([("ZZ", -1.0), ("XI", -0.5)]).rotated("X").to_pauli()
        [('XX', -1.0), ('ZI', -0.5)]
        """
        from qmlphys.hamiltonians.pauli_sum import PauliSum

        letters = basis_letters(basis, self.n_sites)
        turned = []
        for string, coefficient in self.to_pauli():
            images = [_ROTATIONS[axis][letter] for axis, letter in zip(letters, string, strict=True)]
            sign = np.prod([sign for _, sign in images])
            turned.append(("".join(image for image, _ in images), float(sign * coefficient)))
        short = letters[0] if len(set(letters)) == 1 else basis
        return PauliSum(turned, n_sites=self.n_sites, label=f"{self.label} in basis {short}", lattice=self.lattice)


def check_lattice(lattice: object) -> None:
    """Refuse what is no lattice."""
    if not isinstance(lattice, Lattice):
        raise TypeError(f"Argument `lattice` must be a Lattice, such as chain(16), but it is {lattice!r}.")


def basis_letters(basis: str, n_sites: int) -> str:
    """Check a Pauli basis and return it as one letter a site."""
    if not isinstance(basis, str) or len(basis) not in (1, n_sites) or set(basis) - set("XYZ"):
        raise ValueError(
            f"Argument `basis` must be X, Y or Z, or {n_sites} such letters, one a site, but it is {basis!r}."
        )
    return basis * n_sites if len(basis) == 1 else basis


def set_finite(model: object, *names: str) -> None:
    """Check couplings of a frozen model and store them as floats."""
    for name in names:
        value = getattr(model, name)
        if not isinstance(value, Real) or isinstance(value, bool) or not isfinite(value):
            raise ValueError(f"Argument `{name}` must be a finite number, but it is {value!r}.")
        object.__setattr__(model, name, float(value))


def bond_string(n_sites: int, letter: str, *sites: int) -> str:
    """Return the Pauli string with `letter` at some sites."""
    characters = ["I"] * n_sites
    for site in sites:
        characters[site] = letter
    return "".join(characters)
