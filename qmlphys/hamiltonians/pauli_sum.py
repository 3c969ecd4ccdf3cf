"""Any Hermitian sum of Pauli strings."""

from __future__ import annotations

from cmath import isfinite
from collections.abc import Iterable
from dataclasses import dataclass, field
from numbers import Complex

from qmlphys.hamiltonians._spin_half import SpinHalf, check_lattice
from qmlphys.lattices import Lattice

__all__ = ["PauliSum"]


@dataclass(frozen=True, init=False)
class PauliSum(SpinHalf):
    """Sum of Pauli strings with real coefficients.

    Parameters
    ----------
    terms : iterable of (str, float)
        Strings of I, X, Y and Z, the leftmost character site 0, and their coefficients. A string that comes twice is
        added up.
    n_sites : int, optional, keyword
        Number of sites; by default the length of the strings, which must all be equally long.
    label : str, keyword
        Name of the model.
    lattice : Lattice, optional, keyword
        Geometry; the terms do not depend on it.

    Raises
    ------
    ValueError
        If a string is malformed, a coefficient is not finite, or the sum is not Hermitian: a Pauli string is Hermitian,
        so its coefficient must be real.

    Examples
    --------
    >>> model = PauliSum([("XX", 1.0), ("ZI", 0.5), ("XX", -0.25)])
    >>> model.to_pauli(), model.n_sites, model.conserves_magnetization
    ([('XX', 0.75), ('ZI', 0.5)], 2, False)
    """

    terms: tuple[tuple[str, float], ...]
    lattice: Lattice | None
    _n_sites: int = field(repr=False)
    _label: str = field(repr=False)

    def __init__(
        self,
        terms: Iterable[tuple[str, complex]],
        *,
        n_sites: int | None = None,
        label: str = "",
        lattice: Lattice | None = None,
    ) -> None:
        merged: dict[str, float] = {}
        for entry in terms:
            string, coefficient = _checked(entry)
            if n_sites is None:
                n_sites = len(string)
            if len(string) != n_sites:
                raise ValueError(
                    f"Argument `terms` must hold strings of {n_sites} letters, one a site, but {string!r} has "
                    f"{len(string)}."
                )
            merged[string] = merged.get(string, 0.0) + coefficient
        if isinstance(n_sites, bool) or not isinstance(n_sites, int) or n_sites < 1:
            raise ValueError(
                f"Argument `n_sites` must be an integer of at least 1, which strings would tell, but it is {n_sites!r}."
            )
        if lattice is not None:
            check_lattice(lattice)
            if lattice.n_sites != n_sites:
                raise ValueError(
                    f"Argument `lattice` must have {n_sites} sites as the strings do, but {lattice.label} has "
                    f"{lattice.n_sites}."
                )
        if not isinstance(label, str):
            raise TypeError(f"Argument `label` must be text, but it is {label!r}.")
        kept = tuple((string, coefficient) for string, coefficient in merged.items() if coefficient != 0)
        object.__setattr__(self, "terms", kept)
        object.__setattr__(self, "_n_sites", n_sites)
        object.__setattr__(self, "_label", label or f"PauliSum of {len(kept)} strings")
        object.__setattr__(self, "lattice", lattice)

    @property
    def n_sites(self) -> int:
        """Number of sites."""
        return self._n_sites

    @property
    def label(self) -> str:
        """The model as text, without its lattice."""
        return self._label

    def to_pauli(self) -> list[tuple[str, float]]:
        """Return the strings, each once, and their coefficients."""
        return list(self.terms)


def _checked(entry: object) -> tuple[str, float]:
    """Check one term and return it with a real coefficient."""
    if not isinstance(entry, tuple | list) or len(entry) != 2:
        raise TypeError(f"Argument `terms` must hold (string, coefficient) pairs, but it holds {entry!r}.")
    string, coefficient = entry
    if not isinstance(string, str) or not string or set(string) - set("IXYZ"):
        raise ValueError(f"Argument `terms` must hold strings of I, X, Y and Z, but it holds {string!r}.")
    if not isinstance(coefficient, Complex) or isinstance(coefficient, bool) or not isfinite(coefficient):
        raise ValueError(f"Argument `terms` must hold finite coefficients, but that of {string!r} is {coefficient!r}.")
    if complex(coefficient).imag != 0:
        raise ValueError(
            f"Argument `terms` must be Hermitian, but the coefficient of {string!r} is {coefficient!r}: "
            "with a complex coefficient the sum is non-Hermitian."
        )
    return string, float(complex(coefficient).real)
