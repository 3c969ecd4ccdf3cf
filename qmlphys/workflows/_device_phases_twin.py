"""Ground states of the Ising ring in a transverse field as layers of a classical lattice, for Monte Carlo.

The diagonal-to-diagonal transfer matrix of the square lattice commutes with the ring's Hamiltonian. Its largest
eigenvector is thus the ring's ground state, and since the matrix is normal, the spins along a diagonal of an endless
cylinder have exactly the distribution of the ring's spins, measured in the basis of the coupling, at the field
h / J = 1 / sinh(2 J / T)^2. There is no small time step and no extrapolation: M. J. Stephen and L. Mittag, J. Math.
Phys. 13, 1944 (1972); I. Peschel and V. J. Emery, Z. Phys. B 43, 241 (1981).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from qmlphys import snapshots
from qmlphys.hamiltonians import Ising
from qmlphys.lattices import Lattice
from qmlphys.montecarlo import sample

__all__ = ["Cylinder", "classical_twin", "twin_temperature"]

# Lengths of the cylinder in units of its circumference: at the critical point the slowest mode then keeps the share
# exp(-pi * 24 / 8) = 8e-5 of what the ends, joined, know of each other.
_ASPECT = 24
_LAYERS = 8  # diagonals read from one configuration, as far apart as possible


@dataclass(frozen=True)
class Cylinder(Lattice):
    """A square lattice around a cylinder whose circumference runs along the diagonals; the ends are joined.

    Row x holds the sites (x, 0) to (x, circumference - 1), neighbours of each other; beyond the last one of row x comes
    the first one of row x - circumference, so that the diagonal (x, 0), (x + 1, 1), ... closes after `circumference`
    sites. Monte Carlo asks a lattice for nothing but shape and neighbours, which is why this is one.

    Attributes
    ----------
    circumference : int
        Sites of a diagonal, at least 3.
    """

    circumference: int = 3

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, and sites of a row."""
        return (self.size, self.circumference)

    @property
    def label(self) -> str:
        """A text for messages; no file names this lattice."""
        return f"diagonal cylinder({self.size}, {self.circumference})"

    @property
    def diagonals(self) -> NDArray[np.int64]:
        """Sites of each diagonal, shape (rows, circumference)."""
        steps = np.arange(self.circumference)
        return (np.arange(self.size)[:, None] + steps) % self.size * self.circumference + steps

    def _partners(self, k: int) -> NDArray[np.int64]:
        if k != 1:
            raise ValueError(f"Argument `k` must be 1 on a {self.label}, but it is {k}.")
        rows, n = self.shape
        x, y = (part.ravel() for part in np.indices((rows, n)))
        columns = []
        for dx, dy in ((-1, 0), (0, -1), (0, 1), (1, 0)):
            turns = (y + dy) // n  # how often the step goes around
            columns.append((x + dx - turns * n) % rows * n + (y + dy) % n)
        return np.stack(columns, axis=1)


def twin_temperature(field: ArrayLike) -> NDArray[np.float64]:
    """Return the temperature at which diagonals of the square lattice are distributed as a ring's ground state.

    Parameters
    ----------
    field : array_like of float > 0
        Transverse field, in units of the coupling.

    Returns
    -------
    ndarray of float
        2 / arsinh(h^(-1/2)), in units of J / k_B: rising with the field.

    Raises
    ------
    ValueError
        If a field is not positive.

    Examples
    --------
    >>> twin_temperature([0.5, 2.0]).round(4).tolist()
    [1.7449, 3.0373]
    """
    h = np.asarray(field, dtype=np.float64)
    if not (np.isfinite(h).all() and (h > 0).all()):
        raise ValueError(f"Argument `field` must be positive, but it is {np.asarray(field).tolist()}.")
    return np.asarray(2.0 / np.arcsinh(1.0 / np.sqrt(h)))


def classical_twin(
    size: int,
    fields: Sequence[float],
    *,
    n_chains: int = 64,
    n_draws: int = 8,
    rng: np.random.Generator | int | None = None,
) -> xr.Dataset:
    """Sample ground states of the Ising ring in a transverse field by classical Monte Carlo, without a time step.

    Parameters
    ----------
    size : int
        Sites of the ring, at least 3.
    fields : sequence of float
        Transverse fields in units of J, positive.
    n_chains : int
        Independent chains at each field.
    n_draws : int
        Configurations from each chain; eight diagonals are read from each.
    rng : None, int or Generator
        One value gives the same snapshots on any number of threads.

    Returns
    -------
    xarray.Dataset
        Snapshots with ``source="montecarlo"``, ``8 n_draws`` draws a chain, which are not independent within it. The
        joined ends leave an error of about 1e-4 of the second moment, below what these samples can show.

    Raises
    ------
    ValueError
        If a field is not positive, or a number is out of range.

    Notes
    -----
    Stephen and Mittag, J. Math. Phys. 13, 1944 (1972): the diagonal-to-diagonal transfer matrix.

    Examples
    --------
    >>> ds = classical_twin(4, [0.2, 3.0], n_chains=8, n_draws=2, rng=1)
    >>> ds.sizes["draw"], ds["parameter"].attrs["name"], bool(abs(ds["magnetization"][0]).mean() > 0.9)
    (16, 'field', True)
    """
    temperatures = twin_temperature(fields)
    # A multiple of 8 rows is what eight diagonals and the words of the Metropolis kernel divide evenly.
    lattice = Cylinder("square", -(-_ASPECT * size // 8) * 8, True, size)
    order = np.argsort(temperatures)
    drawn = sample(Ising(lattice), temperatures[order], n_chains=n_chains, n_draws=n_draws, rng=rng)
    chosen = lattice.diagonals[:: lattice.size // _LAYERS]
    spins = drawn["spins"].values[np.argsort(order)][..., chosen]  # parameter, chain, draw, layer, site
    rows = spins.reshape(*spins.shape[:2], -1, size)
    return snapshots.dataset(
        rows,
        fields,
        name="field",
        units="J",
        source="montecarlo",
        model="TransverseIsing(coupling=1.0)",
        lattice=f"chain({size})",
        seed=rng if isinstance(rng, int) else None,
        observables={"magnetization": rows.mean(axis=-1)},
    )
