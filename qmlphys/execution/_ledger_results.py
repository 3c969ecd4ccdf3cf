"""Results on the disk: written whole, known by their checksum, judged before they are read."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np
import xarray as xr

from qmlphys import snapshots
from qmlphys._atomic import atomic_path
from qmlphys.execution import ledger
from qmlphys.execution.ledger import Job, JobError, Ledger

# The same judgement of hostile files as for snapshots: written once, and kept in one place.
from qmlphys.snapshots import _file as _netcdf

__all__ = ["check_probabilities", "complete", "is_whole", "load", "save", "sweep"]

_DIMS = ("parameter", "outcome")
_TOLERANCE = 1e-6
"""How far probabilities may be from the sum 1: single-precision amplitudes of some thousand gates stay far below."""


def save(ds: xr.Dataset, path: Path) -> str:
    """Write a result and return its SHA-256.

    Parameters
    ----------
    ds : xarray.Dataset
        A snapshot Dataset, or exact probabilities (``probability`` over ``(parameter, outcome)``).
    path : pathlib.Path
        Where; replaced in one step.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    if "spins" in ds:
        snapshots.save(ds, path)
    else:
        check_probabilities(ds)
        with atomic_path(path) as temporary, h5netcdf.File(temporary, "w") as file:
            file.dimensions = dict(ds.sizes)
            file.attrs.update({str(key): _netcdf._fixed(value) for key, value in ds.attrs.items()})
            file.create_variable("probability", _DIMS, data=ds["probability"].values)
            parameter = file.create_variable("parameter", _DIMS[:1], data=ds["parameter"].values)
            parameter.attrs.update({key: _netcdf._fixed(ds["parameter"].attrs[key]) for key in ("name", "units")})
    return _digest(path)


def load(book: Ledger, job: Job) -> xr.Dataset:
    """Read the result of a job that is done.

    Parameters
    ----------
    book : Ledger
        The ledger.
    job : Job
        A job in the state done.

    Returns
    -------
    xarray.Dataset
        As it was saved.

    Raises
    ------
    JobError
        If the file is missing or damaged; the text says how to get the result back.
    """
    path = book.result(job.row)
    again = "computes it again, with the same bits" if job.kind == "local" else "fetches it from the service again"
    cure = f"`qmlphys jobs restore {job.id[:12]}` {again}."
    message = f"The result '{path}' of job {job.id[:12]} is damaged (it is not what the ledger says): {cure}"
    try:
        if _digest(path) == job.digest:
            return snapshots.load(path) if job.shots is not None else _load_probabilities(path)
    except OSError as error:
        reason = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        message = f"The result '{path}' of job {job.id[:12]} {reason}: {cure}"
    except snapshots.SnapshotError as error:
        message = f"The result of job {job.id[:12]} is damaged ({error}): {cure}"
    raise JobError(message, job_id=job.id, state=job.state)


def is_whole(book: Ledger, job: Job) -> bool:
    """Tell whether the result of a job is there and is the one that was written."""
    try:
        return _digest(book.result(job.row)) == job.digest
    except OSError:
        return False


def complete(book: Ledger, row: int, part: Path, digest: str, *, why: str, **columns: Any) -> bool:
    """Put a result that was saved beside its place into it, and mark the job done, unless it is no longer sent.

    The renaming happens inside the transaction, when the state is known and cannot change: the file lies in its place
    before the row says so, and a process that comes too late replaces nothing.

    Parameters
    ----------
    book : Ledger
        The ledger.
    row : int
        The job.
    part : pathlib.Path
        The saved result; renamed, or removed if it comes too late.
    digest : str
        Its SHA-256.
    why : str
        For the history.
    **columns
        Further columns to set.

    Returns
    -------
    bool
        Whether this result was taken.
    """
    with book.writing() as connection:
        taken = ledger.move(connection, row, "sent", "done", why=why, digest=digest, error=None, **columns)
        if taken:
            install(part, book.result(row))
    part.unlink(missing_ok=True)
    return taken


def install(part: Path, place: Path) -> None:
    """Rename a file and put the folder's entry on the disk."""
    part.replace(place)
    folder = os.open(place.parent, os.O_RDONLY)
    try:
        with contextlib.suppress(
            OSError
        ):  # a few file systems cannot flush a folder; the rename is atomic all the same
            os.fsync(folder)
    finally:
        os.close(folder)


def sweep(book: Ledger, row: int) -> None:
    """Remove what killed processes left half-written of a job's result; nobody may be at work on it."""
    for stray in [*book.folder.glob(f"results/{row}.*.part"), *book.folder.glob(f"results/.{row}.*.part")]:
        stray.unlink(missing_ok=True)


def check_probabilities(ds: xr.Dataset) -> None:
    """Refuse a Dataset that does not hold exact probabilities.

    Parameters
    ----------
    ds : xarray.Dataset
        The candidate.

    Raises
    ------
    SnapshotError
        If a variable, dtype, value or attribute does not fit.
    """
    if "probability" not in ds or "parameter" not in ds.coords:
        raise snapshots.SnapshotError("The data set has no `probability` over `parameter`, so it is no exact result.")
    probability = ds["probability"]
    if probability.dims != _DIMS or probability.dtype != np.float64 or 0 in probability.shape:
        raise snapshots.SnapshotError(
            f"`probability` must be float64 over {_DIMS}, but it is {probability.dtype} over {probability.dims}."
        )
    rows = probability.values
    if not (np.isfinite(rows).all() and rows.min() >= 0.0 and abs(rows.sum(axis=1) - 1.0).max() <= _TOLERANCE):
        raise snapshots.SnapshotError("`probability` must hold values >= 0 with the sum 1 for each parameter value.")
    values = ds["parameter"]
    if values.dtype != np.float64 or not np.isfinite(values.values).all():
        raise snapshots.SnapshotError("`parameter` must hold finite float64 values.")
    for key in ("name", "units"):
        if not isinstance(values.attrs.get(key), str):
            raise snapshots.SnapshotError(f"`parameter` must carry the attribute `{key}` as text.")
    if "outcome" not in ds.coords or not np.array_equal(ds["outcome"].values, np.arange(ds.sizes["outcome"])):
        raise snapshots.SnapshotError("`outcome` must count 0, 1, 2, ... along its dimension.")


def _load_probabilities(path: Path) -> xr.Dataset:
    """Read exact probabilities; the file's own description is judged before anything is allocated."""
    try:
        with h5py.File(path, "r") as file:
            result = _read_probabilities(file, path)
    except snapshots.SnapshotError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, UnicodeError) as error:
        reason = (str(error).splitlines() or ["unknown"])[0].rstrip(".")
        raise snapshots.SnapshotError(f"'{path}' cannot be read ({reason})") from None
    check_probabilities(result)
    return result


def _read_probabilities(file: h5py.File, path: Path) -> xr.Dataset:
    """Judge all items of the root group, then read them."""
    items = _netcdf._datasets(file, path=path)
    if set(items) != {"probability", "parameter"}:
        raise snapshots.SnapshotError(
            f"'{path}' must hold `probability` and `parameter`, but it holds {sorted(items)}."
        )
    probability, parameter = items["probability"], items["parameter"]
    _netcdf._judge(probability, name="probability", kind="float64", n_dims=2, path=path)
    _netcdf._judge(parameter, name="parameter", kind="float64", n_dims=1, shape=probability.shape[:1], path=path)
    if _netcdf._declared_bytes(probability) > min(snapshots.MAX_BYTES, path.stat().st_size):
        # It is written without compression, so a file that declares more than it holds is none of ours.
        raise snapshots.SnapshotError(f"'{path}' declares more data than a file of its size can hold.")
    parameter_attrs = _netcdf._attributes(parameter, path=path)
    return xr.Dataset(
        {"probability": (_DIMS, np.asarray(probability[...], dtype=np.float64))},
        {
            "parameter": ("parameter", np.asarray(parameter[...], dtype=np.float64), parameter_attrs),
            "outcome": np.arange(probability.shape[1], dtype=np.int64),
        },
        _netcdf._attributes(file, path=path),
    )


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
