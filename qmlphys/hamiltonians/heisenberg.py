"""The Heisenberg model and its anisotropic form, XXZ."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from qmlphys.hamiltonians._spin_half import SpinHalf, bond_string, check_lattice, set_finite
from qmlphys.lattices import Lattice

__all__ = ["Heisenberg"]


@dataclass(frozen=True)
class Heisenberg(SpinHalf):
    """Heisenberg (XXZ) model, H = +J sum over edges (X_i X_j + Y_i Y_j + D Z_i Z_j), in Pauli matrices.

    In spin operators S = sigma / 2 the exchange is 4 J.

    Parameters
    ----------
    lattice : Lattice
        Geometry; its `edges` carry the coupling.
    coupling : float, keyword
        J, the unit of energy; positive is antiferromagnetic.
    anisotropy : float, keyword
        D: 1 is the Heisenberg model, 0 the XX model.

    Examples
    --------
    >>> from qmlphys.lattices import chain
    >>> Heisenberg(chain(3, periodic=False), anisotropy=0.5).to_pauli()[:3]
    [('XXI', 1.0), ('YYI', 1.0), ('ZZI', 0.5)]
    """

    lattice: Lattice
    _: KW_ONLY
    coupling: float = 1.0
    anisotropy: float = 1.0

    def __post_init__(self) -> None:
        check_lattice(self.lattice)
        set_finite(self, "coupling", "anisotropy")

    @property
    def n_sites(self) -> int:
        """Number of sites."""
        return self.lattice.n_sites

    @property
    def label(self) -> str:
        """The model as text, without its lattice."""
        return f"Heisenberg(coupling={self.coupling!r}, anisotropy={self.anisotropy!r})"

    def to_pauli(self) -> list[tuple[str, float]]:
        """Return the operator as Pauli strings, leftmost character site 0, with coefficients other than zero."""
        strengths = {"X": self.coupling, "Y": self.coupling, "Z": self.coupling * self.anisotropy}
        return [
            (bond_string(self.n_sites, letter, *edge), strength)
            for edge in self.lattice.edges.tolist()
            for letter, strength in strengths.items()
            if strength != 0
        ]
