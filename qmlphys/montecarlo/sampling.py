"""From a model and temperatures to snapshots in one call."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from qmlphys._arguments import whole_number
from qmlphys.hamiltonians import Ising
from qmlphys.montecarlo.simulation import Simulation

__all__ = ["sample"]


def sample(
    model: Ising,
    temperatures: ArrayLike,
    *,
    n_chains: int = 64,
    n_draws: int = 100,
    algorithm: str = "auto",
    n_thermalize: int | None = None,
    n_skip: int | None = None,
    rng: np.random.Generator | int | None = None,
    progress: bool = False,
) -> xr.Dataset:
    """Sample Ising configurations at several temperatures.

    Parameters
    ----------
    model : Ising
        What to sample.
    temperatures : array_like of float > 0, shape (n_temperatures,)
        In units of J / k_B.
    n_chains, n_draws : int
        Independent chains a temperature, and draws from each, at least 1.
    algorithm : {"auto", "metropolis", "wolff", "swendsen-wang"}
        See `Simulation`.
    n_thermalize, n_skip : int, optional
        Sweeps before the first draw, and before each draw. By default a pilot run measures the autocorrelation time tau
        and takes at least 20 tau, and 2 tau.
    rng : None, int or numpy.random.Generator
        One value gives the same bits on any number of threads.
    progress : bool
        Show progress bars.

    Returns
    -------
    xarray.Dataset
        Snapshots over (parameter, chain, draw, site) with `energy` and `magnetization` per site.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range; the message names it, its value and the cure.
    RuntimeError
        If the autocorrelation time is too long to be measured.

    Examples
    --------
    >>> from qmlphys.hamiltonians import Ising
    >>> from qmlphys.lattices import square
    >>> ds = sample(Ising(square(8)), [1.5, 3.5], n_draws=10, rng=1)
    >>> bool(abs(ds["magnetization"]).mean("chain").mean("draw")[0] > 0.9)
    True
    """
    simulation = Simulation(model, temperatures, n_chains=n_chains, algorithm=algorithm, rng=rng)
    n_draws = whole_number("n_draws", n_draws)
    if n_thermalize is not None:
        n_thermalize = whole_number("n_thermalize", n_thermalize, least=0)
    if n_skip is not None:
        n_skip = whole_number("n_skip", n_skip)
    simulation.thermalize(n_thermalize, progress=progress)
    return simulation.draw(n_draws, n_skip=n_skip, progress=progress)
