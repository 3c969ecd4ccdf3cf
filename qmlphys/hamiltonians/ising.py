"""The classical Ising model."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from math import isfinite
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qmlphys.lattices import Lattice

__all__ = ["Ising"]


@dataclass(frozen=True)
class Ising:
    """Ising model, E(s) = -J sum over edges s_i s_j - h sum over sites s_i, with s = -1 or +1.

    Parameters
    ----------
    lattice : Lattice
        Geometry; its `edges` carry the coupling.
    coupling : float, keyword
        J, the unit of energy; positive is ferromagnetic.
    field : float, keyword
        h, in units of energy.

    Examples
    --------
    >>> from qmlphys.lattices import square
    >>> Ising(square(4)).energy(np.ones(16, dtype=np.int8))
    array(-32.)
    """

    lattice: Lattice
    _: KW_ONLY
    coupling: float = 1.0
    field: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.lattice, Lattice):
            raise TypeError(f"Argument `lattice` must be a Lattice, such as square(16), but it is {self.lattice!r}.")
        for name in ("coupling", "field"):
            value = getattr(self, name)
            if not isinstance(value, Real) or isinstance(value, bool) or not isfinite(value):
                raise ValueError(f"Argument `{name}` must be a finite number, but it is {value!r}.")
            object.__setattr__(self, name, float(value))

    @property
    def label(self) -> str:
        """The model as text, without its lattice."""
        return f"Ising(coupling={self.coupling!r}, field={self.field!r})"

    def energy(self, spins: ArrayLike) -> NDArray[np.float64]:
        """Total energy of configurations.

        Parameters
        ----------
        spins : array_like of -1 and +1, shape (..., n_sites)
            Configurations.

        Returns
        -------
        ndarray of float64, shape (...)
            Energies in units of the coupling's unit; divide by `n_sites` for the energy a site.

        Raises
        ------
        ValueError
            If the last axis is not n_sites long or a value is neither -1 nor +1.
        """
        spins = np.asarray(spins)
        n_sites = self.lattice.n_sites
        if spins.ndim == 0 or spins.shape[-1] != n_sites:
            raise ValueError(
                f"Argument `spins` must have shape (..., {n_sites}) on {self.lattice.label}, but it is {spins.shape}."
            )
        if not ((spins == 1) | (spins == -1)).all():
            bad = spins[(spins != 1) & (spins != -1)].flat[0]
            raise ValueError(f"Argument `spins` must hold -1 and +1 only, but it holds {bad!r}.")
        rows = spins.reshape(-1, n_sites).astype(np.int8, copy=False)
        edges = self.lattice.edges
        total = np.empty(len(rows))
        block = max(1, 2**22 // len(edges))  # a few megabytes of products at a time, whatever the number of rows
        for start in range(0, len(rows), block):
            part = rows[start : start + block]
            bonds = (part[:, edges[:, 0]] * part[:, edges[:, 1]]).sum(axis=1, dtype=np.int64)
            total[start : start + block] = -self.coupling * bonds - self.field * part.sum(axis=1, dtype=np.int64)
        return total.reshape(spins.shape[:-1])
