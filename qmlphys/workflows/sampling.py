"""Sample an Ising model and save the snapshots in one step: what `qmlphys ising sample` runs."""

from __future__ import annotations

import os
from collections.abc import Sequence

import xarray as xr

from qmlphys import lattices, snapshots
from qmlphys.hamiltonians import Ising
from qmlphys.montecarlo import sample

__all__ = ["sample_ising"]

_LATTICES = {
    "chain": lattices.chain,
    "square": lattices.square,
    "triangular": lattices.triangular,
    "honeycomb": lattices.honeycomb,
    "cubic": lattices.cubic,
}


def sample_ising(
    lattice: str,
    size: int,
    temperatures: Sequence[float] | None = None,
    *,
    periodic: bool = True,
    coupling: float = 1.0,
    field: float = 0.0,
    n_chains: int = 64,
    n_draws: int = 100,
    algorithm: str = "auto",
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> xr.Dataset:
    """Sample configurations over a scan of temperatures.

    Parameters
    ----------
    lattice : {"chain", "square", "triangular", "honeycomb", "cubic"}
        Name of the lattice.
    size : int
        Linear size, at least 3.
    temperatures : sequence of float, optional
        In units of J / k_B, > 0; by default 25 from z |J| / 4 to z |J| with z neighbours a site: the mean-field value
        z J is above every critical temperature, and order is nearly complete at a quarter of it.
    periodic : bool
        Whether the lattice closes on itself.
    coupling, field : float
        J and h.
    n_chains, n_draws : int
        Independent chains a temperature, snapshots a chain.
    algorithm : {"auto", "metropolis", "wolff", "swendsen-wang"}
        Update scheme.
    seed : int
        Where all randomness starts.
    out : path-like, optional
        Where to save the snapshots.
    progress : bool
        Show progress.

    Returns
    -------
    xarray.Dataset
        The snapshots.

    Raises
    ------
    ValueError
        If an argument is out of range, or the data set would be larger than `snapshots.load` accepts.

    Examples
    --------
    >>> dict(sample_ising("square", 4, [2.0], n_chains=2, n_draws=3).sizes)
    {'parameter': 1, 'chain': 2, 'draw': 3, 'site': 16}
    """
    if lattice not in _LATTICES:
        raise ValueError(f"Argument `lattice` must be one of {', '.join(_LATTICES)}, but it is {lattice!r}.")
    where = _LATTICES[lattice](size, periodic=periodic)
    if temperatures is None:
        mean_field = where.neighbours.shape[1] * abs(coupling)
        temperatures = [mean_field * (0.25 + 0.75 * i / 24) for i in range(25)]
    n_bytes = len(temperatures) * max(n_chains, 0) * max(n_draws, 0) * where.n_sites
    if n_bytes > snapshots.MAX_BYTES:
        raise ValueError(
            f"The snapshots must take at most {snapshots.MAX_BYTES / 2**30:.0f} GiB, but these would take "
            f"{n_bytes / 2**30:.1f} GiB: sample fewer temperatures, chains or draws."
        )
    try:
        ds = sample(
            Ising(where, coupling=coupling, field=field),
            temperatures,
            n_chains=n_chains,
            n_draws=n_draws,
            algorithm=algorithm,
            rng=seed,
            progress=progress,
        )
    except RuntimeError as error:
        # Chains that do not thermalise follow from what was asked for, such as a frustrated magnet at low temperature.
        raise ValueError(str(error)) from error
    if out is not None:
        snapshots.save(ds, out)
    return ds
