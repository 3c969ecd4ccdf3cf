"""The Ising model in a transverse field."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from qmlphys.hamiltonians._spin_half import SpinHalf, bond_string, check_lattice, set_finite
from qmlphys.lattices import Lattice

__all__ = ["TransverseIsing"]


@dataclass(frozen=True)
class TransverseIsing(SpinHalf):
    """Transverse-field Ising model, H = -J sum over edges Z_i Z_j - h sum over sites X_i, in Pauli matrices.

    Parameters
    ----------
    lattice : Lattice
        Geometry; its `edges` carry the coupling.
    coupling : float, keyword
        J, the unit of energy; positive is ferromagnetic.
    field : float, keyword
        h, in units of energy. The chain is critical at |h| = |J| (Pfeuty, Ann. Phys. 57, 79 (1970)).

    Examples
    --------
    >>> from qmlphys.lattices import chain
    >>> TransverseIsing(chain(3), field=0.5).to_pauli()[2:4]
    [('IZZ', -1.0), ('XII', -0.5)]
    """

    lattice: Lattice
    _: KW_ONLY
    coupling: float = 1.0
    field: float = 1.0

    def __post_init__(self) -> None:
        check_lattice(self.lattice)
        set_finite(self, "coupling", "field")

    @property
    def n_sites(self) -> int:
        """Number of sites."""
        return self.lattice.n_sites

    @property
    def label(self) -> str:
        """The model as text, without its lattice."""
        return f"TransverseIsing(coupling={self.coupling!r}, field={self.field!r})"

    def to_pauli(self) -> list[tuple[str, float]]:
        """Return the operator as Pauli strings, leftmost character site 0, with coefficients other than zero."""
        n_sites = self.n_sites
        terms = [(bond_string(n_sites, "Z", *edge), -self.coupling) for edge in self.lattice.edges.tolist()]
        terms += [(bond_string(n_sites, "X", site), -self.field) for site in range(n_sites)]
        return [(string, coefficient) for string, coefficient in terms if coefficient != 0]
