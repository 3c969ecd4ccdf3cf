"""The Heisenberg model with first and second neighbours."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from qmlphys.hamiltonians._spin_half import SpinHalf, bond_string, check_lattice, set_finite
from qmlphys.lattices import Lattice

__all__ = ["J1J2"]


@dataclass(frozen=True)
class J1J2(SpinHalf):
    """J1-J2 model, H = J1 sum over neighbours S_ij + J2 sum over second neighbours S_ij, S_ij = XX + YY + ZZ.

    Pauli matrices: in spin operators S = sigma / 2 the exchanges are 4 J1 and 4 J2.

    Parameters
    ----------
    lattice : Lattice
        Geometry, whose second neighbours are `edges_of_order(2)`: on a square the diagonals.
    j1 : float, keyword
        Exchange between neighbours, the unit of energy; positive is antiferromagnetic.
    j2 : float, keyword
        Exchange between second neighbours, in units of energy.

    Raises
    ------
    ValueError
        If the periodic lattice is so small that second neighbours are also first ones.

    Examples
    --------
    >>> from qmlphys.lattices import square
    >>> len(J1J2(square(4)).to_pauli())  # 32 edges and 32 diagonals, three strings each
    192
    """

    lattice: Lattice
    _: KW_ONLY
    j1: float = 1.0
    j2: float = 0.5

    def __post_init__(self) -> None:
        check_lattice(self.lattice)
        set_finite(self, "j1", "j2")
        self.lattice.edges_of_order(2)

    @property
    def n_sites(self) -> int:
        """Number of sites."""
        return self.lattice.n_sites

    @property
    def label(self) -> str:
        """The model as text, without its lattice."""
        return f"J1J2(j1={self.j1!r}, j2={self.j2!r})"

    def to_pauli(self) -> list[tuple[str, float]]:
        """Return the operator as Pauli strings, leftmost character site 0, with coefficients other than zero."""
        return [
            (bond_string(self.n_sites, letter, *pair), strength)
            for order, strength in ((1, self.j1), (2, self.j2))
            if strength != 0
            for pair in self.lattice.edges_of_order(order).tolist()
            for letter in "XYZ"
        ]
