"""The layout of the snapshot Dataset: how one is built and what is refused (public in `qmlphys.snapshots`)."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "MAX_BYTES",
    "OBSERVABLE_DIMS",
    "SCHEMA_VERSION",
    "SOURCES",
    "SPIN_DIMS",
    "SnapshotError",
    "check",
    "dataset",
]

SCHEMA_VERSION = 1
"""Version of the layout; a change that old readers cannot read raises it."""

SOURCES = ("montecarlo", "nqs", "device", "generative")
"""The allowed values of the attribute ``source``."""

SPIN_DIMS = ("parameter", "chain", "draw", "site")
OBSERVABLE_DIMS = SPIN_DIMS[:3]

MAX_BYTES = 4 * 2**30
"""The largest data set that `load` accepts unless it is told otherwise, in bytes once unpacked."""

_ATTRIBUTES = ("schema_version", "source", "model", "lattice", "basis", "seed", "versions")
_INT64_MAX = 2**63 - 1


class SnapshotError(ValueError):
    """The data set or file is not a snapshot Dataset; the text says why in one sentence."""


SnapshotError.__module__ = "qmlphys.snapshots"  # where users find it


@functools.cache
def _versions() -> str:
    """Return, as JSON, the versions of what writes a data set."""
    found = {"python": platform.python_version()}
    for package in ("qmlphys", "numpy", "numba", "xarray", "h5netcdf"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # run from a source tree that was never installed
            found[package] = "unknown"
    return json.dumps(found, sort_keys=True)


def dataset(
    spins: ArrayLike,
    parameter: ArrayLike,
    *,
    name: str,
    units: str,
    source: str,
    model: str,
    lattice: str,
    basis: str = "Z",
    seed: int | str | None,
    observables: Mapping[str, ArrayLike] | None = None,
    register: Sequence[str] | None = None,
) -> xr.Dataset:
    """Build a checked snapshot Dataset.

    Parameters
    ----------
    spins : array_like of int, shape (n_parameters, n_chains, n_draws, n_sites)
        Spins in {-1, +1}. Independent runs lie along the second axis, successive draws along the third. An int8
        array is taken as it is, without a copy.
    parameter : array_like of float, shape (n_parameters,)
        The control parameter's values, finite.
    name : str
        What the control parameter is: "temperature", "field", ...
    units : str
        Its units, such as "J/k_B"; "1" for a pure number.
    source : {"montecarlo", "nqs", "device", "generative"}
        Where the snapshots come from.
    model, lattice : str
        What was sampled: the labels of the Hamiltonian and of the lattice (empty where there is none).
    basis : str
        "Z", "X" or "Y" for all sites, or one such letter a site, site 0 first.
    seed : int, str or None
        What the random numbers were started from. None is kept as "unknown".
    observables : mapping of str to array_like, shape (n_parameters, n_chains, n_draws), optional
        Quantities measured on the way, finite; stored as float64.
    register : sequence of str, length n_sites, optional
        The classical register of each site (device data), in order of declaration.

    Returns
    -------
    xarray.Dataset
        See the head of `qmlphys.snapshots`.

    Raises
    ------
    SnapshotError
        If anything does not fit (a ValueError).

    Examples
    --------
    >>> ds = dataset([[[[1, -1, 1]]]], [2.0], name="temperature", units="J/k_B", source="montecarlo",
    ...              model="Ising(coupling=1.0, field=0.0)", lattice="chain(3)", seed=7)
    >>> ds.spins.dims
    ('parameter', 'chain', 'draw', 'site')
    """
    rows = np.asarray(spins)
    if rows.dtype.kind not in "iu":
        raise SnapshotError(f"Argument `spins` must hold integers, but its dtype is {rows.dtype}.")
    if rows.dtype != np.int8:
        if rows.size and (rows.min() < -1 or rows.max() > 1):
            bad = rows.min() if rows.min() < -1 else rows.max()
            raise SnapshotError(f"`spins` must hold only -1 and +1, but it holds {bad}.")
        rows = rows.astype(np.int8)
    if rows.ndim != len(SPIN_DIMS):
        raise SnapshotError(f"Argument `spins` must have the axes {SPIN_DIMS}, but its shape is {rows.shape}.")
    values = np.asarray(parameter, dtype=np.float64)
    if values.shape != rows.shape[:1]:
        raise SnapshotError(
            f"Argument `parameter` must have one value per row of `spins` ({rows.shape[0]}), "
            f"but its shape is {values.shape}."
        )
    variables: dict[str, Any] = {"spins": (SPIN_DIMS, rows)}
    for key, measured in (observables or {}).items():
        array = np.asarray(measured, dtype=np.float64)
        if array.shape != rows.shape[:3]:
            raise SnapshotError(f"Observable {key!r} must have the shape {rows.shape[:3]}, but it has {array.shape}.")
        variables[key] = (OBSERVABLE_DIMS, array)
    coordinates: dict[str, Any] = {"parameter": ("parameter", values, {"name": name, "units": units})}
    if register is not None:
        if len(register) != rows.shape[3]:
            raise SnapshotError(
                f"Argument `register` must name a register for each of the {rows.shape[3]} sites, "
                f"but it has {len(register)} names."
            )
        coordinates["register"] = ("site", np.array([str(r) for r in register], dtype=np.str_))
    if seed is None:
        seed = "unknown"
    elif not isinstance(seed, str):
        # Entropy of 128 bits has no integer type in netCDF; as decimal digits it survives.
        seed = int(seed) if abs(int(seed)) <= _INT64_MAX else str(int(seed))
    result = xr.Dataset(
        variables,
        coordinates,
        {
            "schema_version": SCHEMA_VERSION,
            "source": source,
            "model": model,
            "lattice": lattice,
            "basis": basis,
            "seed": seed,
            "versions": _versions(),
        },
    )
    check(result)
    return result


def check(ds: xr.Dataset) -> None:
    """Refuse a data set that is not a snapshot Dataset, in one sentence that says why.

    Parameters
    ----------
    ds : xarray.Dataset
        The candidate.

    Raises
    ------
    TypeError
        If `ds` is not an xarray.Dataset.
    SnapshotError
        If a variable, dimension, dtype, value or attribute is missing or wrong.

    Examples
    --------
    >>> check(xr.Dataset())
    Traceback (most recent call last):
        ...
    qmlphys.snapshots.SnapshotError: The data set has no variable `spins`, so it holds no snapshots.
    """
    if not isinstance(ds, xr.Dataset):
        raise TypeError(f"Argument `ds` must be an xarray.Dataset, but it is a {type(ds).__name__}.")
    if "spins" not in ds.data_vars:
        raise SnapshotError("The data set has no variable `spins`, so it holds no snapshots.")
    if "parameter" not in ds.coords:
        raise SnapshotError("The data set has no coordinate `parameter`, so the snapshots belong to no value.")
    for attribute in _ATTRIBUTES:
        if attribute not in ds.attrs:
            raise SnapshotError(f"The data set has no attribute `{attribute}`.")
    if ds.attrs["schema_version"] != SCHEMA_VERSION:
        raise SnapshotError(
            f"Attribute `schema_version` must be {SCHEMA_VERSION}, but it is {ds.attrs['schema_version']!r}: "
            "another version of qmlphys wrote this data set."
        )
    spins = ds["spins"]
    if spins.dims != SPIN_DIMS:
        raise SnapshotError(f"`spins` must lie over {SPIN_DIMS}, but it lies over {spins.dims}.")
    if spins.dtype != np.int8:
        raise SnapshotError(f"`spins` must be int8, but its dtype is {spins.dtype}.")
    if 0 in spins.shape:
        raise SnapshotError(f"`spins` must not be empty, but its shape is {spins.shape}.")
    _check_spins(spins.values)
    values = ds["parameter"]
    if values.dims != ("parameter",) or values.dtype != np.float64:
        raise SnapshotError(
            f"`parameter` must be float64 over ('parameter',), but it is {values.dtype} over {values.dims}."
        )
    if not np.isfinite(values.values).all():
        raise SnapshotError("`parameter` must hold finite values, but it holds NaN or infinity.")
    for key in ("name", "units"):
        if not isinstance(values.attrs.get(key), str):
            raise SnapshotError(f"`parameter` must carry the attribute `{key}` as text, but it does not.")
    for label, variable in ds.data_vars.items():
        if label != "spins":
            _check_observable(str(label), variable)
    if "register" in ds.coords and (ds["register"].dims != ("site",) or ds["register"].dtype.kind not in "UTO"):
        raise SnapshotError(f"`register` must be names over ('site',), but it lies over {ds['register'].dims}.")
    _check_attributes(ds)


def _check_spins(spins: NDArray[np.int8]) -> None:
    """Refuse anything but -1 and +1 in three passes that allocate nothing."""
    low, high = spins.min(), spins.max()
    if low < -1 or high > 1 or not spins.all():
        bad = low if low < -1 else high if high > 1 else 0
        raise SnapshotError(f"`spins` must hold only -1 and +1, but it holds {bad}.")


def _check_observable(key: str, variable: xr.DataArray) -> None:
    """Refuse a measured quantity with other dimensions, another dtype, or without a finite value somewhere."""
    if variable.dims != OBSERVABLE_DIMS or variable.dtype != np.float64:
        raise SnapshotError(
            f"`{key}` must be float64 over {OBSERVABLE_DIMS}, but it is {variable.dtype} over {variable.dims}."
        )
    if not np.isfinite(variable.values).all():
        raise SnapshotError(f"`{key}` must hold finite values, but it holds NaN or infinity.")


def _check_attributes(ds: xr.Dataset) -> None:
    """Refuse attributes of the wrong kind."""
    for label, value in ds.attrs.items():
        if not isinstance(value, (str, int, float, np.integer, np.floating)):
            raise SnapshotError(f"Attribute `{label}` must be text or a number, but it is a {type(value).__name__}.")
    for key in ("source", "model", "lattice", "basis", "versions"):
        if not isinstance(ds.attrs[key], str):
            raise SnapshotError(f"Attribute `{key}` must be text, but it is {ds.attrs[key]!r}.")
    if ds.attrs["source"] not in SOURCES:
        raise SnapshotError(f"Attribute `source` must be one of {SOURCES}, but it is {ds.attrs['source']!r}.")
    basis, n_sites = ds.attrs["basis"], ds.sizes["site"]
    if len(basis) not in (1, n_sites) or basis.strip("XYZ"):
        raise SnapshotError(
            f"Attribute `basis` must be one Pauli letter, or one for each of the {n_sites} sites, but it is {basis!r}."
        )
    if isinstance(ds.attrs["seed"], (float, np.floating)):
        raise SnapshotError(f"Attribute `seed` must be an integer or text, but it is {ds.attrs['seed']!r}.")
