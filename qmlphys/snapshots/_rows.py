"""Snapshots as rows, as counts, and joined (public in `qmlphys.snapshots`)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from qmlphys import bits
from qmlphys.snapshots._schema import MAX_BYTES, SnapshotError, check, dataset

__all__ = ["as_xy", "concatenate", "counts", "from_counts"]


def as_xy(ds: xr.Dataset) -> tuple[NDArray[np.int8], NDArray[np.float64], NDArray[np.int64]]:
    """Lay snapshots out as rows for a learner.

    Parameters
    ----------
    ds : xarray.Dataset
        A snapshot Dataset.

    Returns
    -------
    X : ndarray of int8, shape (n, n_sites)
        Spins; rows run over parameter (slowest), chain, draw. A view of the data set where memory allows.
    parameter : ndarray of float64, shape (n,)
        The control parameter of each row.
    groups : ndarray of int64, shape (n,)
        One number per independent chain: parameter index * n_chains + chain. Rows of one group are correlated draws,
        which a validation split must keep together.

    Raises
    ------
    SnapshotError
        If `ds` is not a snapshot Dataset.

    Examples
    --------
    >>> ds = dataset([[[[1, 1]], [[1, -1]]]], [2.0], name="temperature", units="J/k_B", source="montecarlo",
    ...              model="", lattice="", seed=0)
    >>> X, temperature, groups = as_xy(ds)
    >>> X.tolist(), temperature.tolist(), groups.tolist()
    ([[1, 1], [1, -1]], [2.0, 2.0], [0, 1])
    """
    check(ds)
    spins = ds["spins"].values
    n_parameters, n_chains, n_draws, n_sites = spins.shape
    per_parameter = n_chains * n_draws
    parameter = np.repeat(ds["parameter"].values, per_parameter)
    groups = np.repeat(np.arange(n_parameters * n_chains, dtype=np.int64), n_draws)
    return spins.reshape(n_parameters * per_parameter, n_sites), parameter, groups


def counts(ds: xr.Dataset, *, parameter: int | None = None) -> dict[str, int]:
    """Count how often each configuration occurs, as printed bit strings.

    Parameters
    ----------
    ds : xarray.Dataset
        A snapshot Dataset.
    parameter : int, optional
        Index of the control parameter's value to count at. Needed only where there are several: snapshots at
        different values are never thrown together.

    Returns
    -------
    dict of str to int
        Bit string (site 0 at the right, registers separated by a blank, the first declared one at the right) to
        number of draws, over all chains; most frequent first.

    Raises
    ------
    SnapshotError
        If `ds` is not a snapshot Dataset.
    ValueError
        If `parameter` is needed or out of range.

    Examples
    --------
    >>> ds = dataset([[[[1, -1], [1, -1], [1, 1]]]], [0.0], name="field", units="J", source="nqs",
    ...              model="", lattice="", seed=0)
    >>> counts(ds)
    {'10': 2, '00': 1}
    """
    check(ds)
    n_parameters = ds.sizes["parameter"]
    if parameter is None:
        if n_parameters > 1:
            raise ValueError(
                f"Argument `parameter` must say which of the {n_parameters} values to count at, but it is None."
            )
        parameter = 0
    if not 0 <= parameter < n_parameters:
        raise ValueError(f"Argument `parameter` must lie in [0, {n_parameters}), but it is {parameter}.")
    n_sites = ds.sizes["site"]
    rows = bits.spins_to_bits(ds["spins"].values[parameter].reshape(-1, n_sites))
    packed = np.packbits(rows, axis=1)
    _, first, number = np.unique(packed, axis=0, return_index=True, return_counts=True)
    blanks = _register_ends(ds)
    found = {_print(rows[i], blanks): int(k) for i, k in zip(first, number, strict=True)}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _register_ends(ds: xr.Dataset) -> list[int]:
    """Return the sites at which a new register starts."""
    if "register" not in ds.coords:
        return []
    names = ds["register"].values
    return [i for i in range(1, len(names)) if names[i] != names[i - 1]]


def _print(row: NDArray[np.int8], blanks: Sequence[int]) -> str:
    """Print one row of bits with a blank between registers."""
    edges = [0, *blanks, len(row)]
    parts = [bits.to_string(row[a:b]) for a, b in itertools.pairwise(edges)]
    return " ".join(reversed(parts))


def from_counts(
    counts: Mapping[str, int],
    parameter: float,
    *,
    name: str,
    units: str,
    model: str,
    lattice: str,
    source: str = "device",
    basis: str = "Z",
    seed: int | str | None,
    registers: Mapping[str, int] | None = None,
) -> xr.Dataset:
    """Turn counts of printed bit strings into a snapshot Dataset: one chain, every shot a draw.

    Parameters
    ----------
    counts : mapping of str to int
        Bit string (site 0 at the right; blanks between registers are allowed) to number of shots. Shots come out in
        the order of the mapping: counts hold no order in time.
    parameter : float
        The control parameter's value.
    name, units, model, lattice, source, basis, seed
        As in `dataset`.
    registers : mapping of str to int, optional
        Classical registers in order of declaration, each with its number of bits.

    Returns
    -------
    xarray.Dataset
        A snapshot Dataset of shape (1, 1, shots, n_sites). Join several with `concatenate`.

    Raises
    ------
    SnapshotError
        If strings differ in length, a number is negative, there is no shot at all, or registers do not fit.

    Examples
    --------
    >>> ds = from_counts({"0 01": 2, "1 11": 1}, 0.0, name="field", units="J", model="", lattice="", seed=3,
    ...                  registers={"data": 2, "flag": 1})
    >>> ds.register.values.tolist(), counts(ds)
    (['data', 'data', 'flag'], {'0 01': 2, '1 11': 1})
    """
    numbers = [int(n) for n in counts.values()]
    if any(n < 0 for n in numbers) or sum(numbers) < 1:
        raise SnapshotError(
            f"Argument `counts` must hold numbers >= 0 and at least one shot, but it holds {dict(counts)}."
        )
    rows = [bits.from_string(string) for string in counts]
    n_sites = len(rows[0])
    for string, row in zip(counts, rows, strict=True):
        if len(row) != n_sites or n_sites == 0:
            raise SnapshotError(
                f"Argument `counts` must have bit strings of one length ({n_sites}), but one of them is {string!r}."
            )
    if sum(numbers) * n_sites > MAX_BYTES:
        raise SnapshotError(
            f"Argument `counts` must unpack to at most {MAX_BYTES} bytes, but it has {sum(numbers)} shots."
        )
    register: list[str] | None = None
    if registers is not None:
        register = [key for key, size in registers.items() for _ in range(size)]
        if len(register) != n_sites:
            raise SnapshotError(f"Argument `registers` must have {n_sites} bits together, but it has {len(register)}.")
        pattern = [size for size in reversed(list(registers.values())) if size]
        for string in counts:
            if " " in string and [len(part) for part in string.split(" ")] != pattern:
                raise SnapshotError(
                    f"Argument `registers` must fit the blanks in the strings, but {string!r} has other parts than "
                    f"{dict(registers)}."
                )
    shots = np.repeat(bits.bits_to_spins(np.stack(rows)), numbers, axis=0)
    return dataset(
        shots[np.newaxis, np.newaxis],
        [parameter],
        name=name,
        units=units,
        source=source,
        model=model,
        lattice=lattice,
        basis=basis,
        seed=seed,
        register=register,
    )


def concatenate(datasets: Sequence[xr.Dataset]) -> xr.Dataset:
    """Join snapshot Datasets along the control parameter, in the order given.

    Parameters
    ----------
    datasets : sequence of xarray.Dataset
        Snapshot Datasets of one model, lattice, basis and source, with the same numbers of chains, draws and sites
        and the same measured quantities.

    Returns
    -------
    xarray.Dataset
        One snapshot Dataset. If the seeds differ, all are kept, separated by commas. Attributes beyond the schema are
        kept where all agree.

    Raises
    ------
    SnapshotError
        If there is nothing to join or the data sets do not fit together.

    Examples
    --------
    >>> parts = [from_counts({"0": 2}, h, name="field", units="J", model="", lattice="", seed=1) for h in (0.5, 1.0)]
    >>> concatenate(parts).parameter.values.tolist()
    [0.5, 1.0]
    """
    if not datasets:
        raise SnapshotError("Argument `datasets` must hold at least one data set, but it is empty.")
    for ds in datasets:
        check(ds)
    first = datasets[0]
    for i, ds in enumerate(datasets[1:], start=1):
        for key in ("source", "model", "lattice", "basis"):
            _same(f"attribute `{key}`", first.attrs[key], ds.attrs[key], i)
        for key in ("name", "units"):
            _same(f"`{key}` of the parameter", first["parameter"].attrs[key], ds["parameter"].attrs[key], i)
        for key in ("chain", "draw", "site"):
            _same(f"number of {key}s", first.sizes[key], ds.sizes[key], i)
        _same("measured quantities", sorted(map(str, first.data_vars)), sorted(map(str, ds.data_vars)), i)
        _same("registers", _registers(first), _registers(ds), i)
    seeds = list(dict.fromkeys(str(ds.attrs["seed"]) for ds in datasets))
    joined = dataset(
        np.concatenate([ds["spins"].values for ds in datasets]),
        np.concatenate([ds["parameter"].values for ds in datasets]),
        name=first["parameter"].attrs["name"],
        units=first["parameter"].attrs["units"],
        source=first.attrs["source"],
        model=first.attrs["model"],
        lattice=first.attrs["lattice"],
        basis=first.attrs["basis"],
        seed=first.attrs["seed"] if len(seeds) == 1 else ",".join(seeds),
        observables={
            str(key): np.concatenate([ds[key].values for ds in datasets]) for key in first.data_vars if key != "spins"
        },
        register=_registers(first),
    )
    for key, value in first.attrs.items():
        if key not in joined.attrs and all(ds.attrs.get(key) == value for ds in datasets):
            joined.attrs[key] = value
    return joined


def _registers(ds: xr.Dataset) -> list[str] | None:
    """Return the register of each site, or None."""
    return [str(r) for r in ds["register"].values] if "register" in ds.coords else None


def _same(what: str, first: object, other: object, index: int) -> None:
    """Refuse to join two data sets that differ in `what`."""
    if first != other:
        raise SnapshotError(
            f"Argument `datasets` must agree in {what}, but data set 0 has {first!r} and data set {index} {other!r}."
        )
