"""Jobs of a run folder: submitted once, known by the id that is kept there, fetched by whoever comes later."""

from __future__ import annotations

from collections.abc import Callable

import xarray as xr

from qmlphys.execution import backends, jobs
from qmlphys.workflows._generative_device import fetch

__all__ = ["fetched", "layers_label"]


def layers_label(backend: str, n_layers: int) -> str:
    """Name what a circuit gave on a backend."""
    if not n_layers:
        return f"{backend}, exact circuit"
    return f"{backend}, {n_layers} layer{'s' if n_layers > 1 else ''}"


def fetched(job_id: str, backend: str, send: Callable[[], str], *, timeout: float | None = None) -> xr.Dataset:
    """Wait for a job that a run folder remembers and return its snapshots.

    Parameters
    ----------
    job_id : str
        From the run folder.
    backend : str
        Where it was sent.
    send : callable
        Submits the same circuits again and returns the id: used where this ledger does not know the job, as on another
        machine, and the backend is a simulator. The same circuits have the same id there.
    timeout : float, optional
        Seconds to wait; without end unless given.

    Returns
    -------
    xarray.Dataset
        As of `qmlphys.workflows.generative.fetch`.

    Raises
    ------
    ValueError
        If this ledger does not know a job that went to a device: that is never sent twice by a program.
    JobError, TimeoutError
        If the job failed, or is not done in time.
    """
    try:
        jobs.job(job_id)
    except ValueError:
        if backends.resolve(backend).kind == "ibm":
            raise
        job_id = send()
    return fetch(job_id, timeout=timeout)
