"""Submit a circuit now, fetch its snapshots later, from any shell: what users do with jobs.

A job is known by its id, the SHA-256 of what it is; wherever an id is asked for, its first four or more digits do if
they fit one job only. Submitting the same task again returns the same id, whatever became of the job: a task is
computed once. A job that failed or was cancelled is sent once more only by `submit_again`, and an intended repetition
is another job by another `repeat`.

Simulator jobs are computed by a worker process that outlives the shell. Jobs for IBM devices are sent at once; should
this process die while it sends, the job stays *sending* until `sync` finds it at the service, or the user submits it
again.

More than half of this file is documentation: it is the whole of what users call, in one place.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from qiskit import QuantumCircuit

from qmlphys.execution import _jobs_local, _jobs_remote, _jobs_steps, _ledger_results, _locks, backends
from qmlphys.execution._task import Options, make_task
from qmlphys.execution.ledger import Event, Job, JobError, Ledger

__all__ = [
    "Event",
    "Job",
    "JobError",
    "cancel",
    "fetch",
    "history",
    "job",
    "jobs",
    "restore",
    "submit",
    "submit_again",
    "sync",
]

# Seconds between two looks at a job: short first, then longer; the service is asked less often than the ledger.
_FIRST_POLL = {"local": 0.05, "ibm": 0.25}
_LAST_POLL = {"local": 1.0, "ibm": 20.0}
_POLL_GROWTH = 1.4
_MAX_FAILURES = 5


def submit(
    circuits: QuantumCircuit | Sequence[QuantumCircuit],
    backend: str,
    *,
    shots: int | None,
    rng: int | np.random.Generator | None = None,
    parameter_values: ArrayLike | None = None,
    values: ArrayLike | None = None,
    name: str = "parameter",
    units: str = "1",
    basis: str = "Z",
    model: str = "",
    lattice: str = "",
    options: Options | None = None,
    repeat: int = 0,
) -> str:
    """Write a job into the ledger, start it or send it, and return its id at once.

    Parameters
    ----------
    circuits : QuantumCircuit or sequence of QuantumCircuit
        One circuit, or one a scan point.
    backend : str
        Such as "aer", "fake_torino", "ibm_torino"; "ibm" becomes the least busy device before the id is computed.
    shots : int or None
        >= 1 a scan point; None, on "statevector" only, for exact probabilities.
    rng : int, Generator or None
        Seed of the simulation. None: derived from the id, so that a worker that begins anew gets the same bits.
    parameter_values : array_like of float, shape (n_points, n_parameters), optional
        Values of the circuit's free parameters: a sweep is one job.
    values : array_like of float, shape (n_points,), optional
        The control parameter of each scan point; where several numbers change at once, their place in the sweep.
    name, units : str
        Of the control parameter.
    basis, model, lattice : str
        Labels of the result.
    options : Options, optional
        How to translate and simulate.
    repeat : int
        >= 0; another number makes another job of the same circuits.

    Returns
    -------
    str
        The id, 64 hexadecimal digits. A task that was submitted before, by any process, has the id that it had, and
        is not computed again; `job` tells what became of it.

    Raises
    ------
    ValueError
        If an argument does not fit, or the circuit cannot run on this backend (then nothing is written or sent).
    JobError
        If the service refused the job or its answer was lost. The job is kept in the ledger, and the error tells its
        id and what to do.
    LedgerError
        If the ledger cannot be used.

    Examples
    --------
    >>> from qiskit import QuantumCircuit
    >>> bell = QuantumCircuit(2)
    >>> _ = bell.h(0)
    >>> _ = bell.cx(0, 1)
    >>> bell.measure_all()
    >>> submit(bell, "aer", shots=0)
    Traceback (most recent call last):
        ...
    ValueError: Argument `shots` must be ...
    """
    target = backends.resolve(backend)
    if target.name == "ibm":
        target = backends.resolve(_jobs_steps.least_busy(circuits))
    task = make_task(
        circuits,
        target.name,
        shots=shots,
        rng=rng,
        parameter_values=parameter_values,
        values=values,
        name=name,
        units=units,
        basis=basis,
        model=model,
        lattice=lattice,
        options=options,
        repeat=repeat,
    )
    book = Ledger()
    if target.kind == "ibm":
        _jobs_steps.submit_remote(book, task)
    else:
        _jobs_steps.submit_local(book, task)
    return task.id


def fetch(job_id: str, *, timeout: float | None = None) -> xr.Dataset:
    """Wait for a job and return its result.

    Parameters
    ----------
    job_id : str
        The id, or 4 or more of its first digits.
    timeout : float, optional
        How long to wait, in seconds; 0 looks once. None: as long as it takes.

    Returns
    -------
    xarray.Dataset
        Snapshots; exact probabilities of a job with ``shots=None``.

    Raises
    ------
    ValueError
        If there is no such job, or `timeout` is negative or no number.
    TimeoutError
        If the job is not done after `timeout`; it goes on all the same.
    JobError
        If the job failed, was cancelled or never reached the service, or its result is lost or damaged.

    Examples
    --------
    >>> fetch("../../etc/passwd")
    Traceback (most recent call last):
        ...
    ValueError: Argument `job_id` must be 4 to 64 hexadecimal digits of a job's id, but it is '../../etc/passwd'.
    """
    if timeout is not None and not (isinstance(timeout, (int, float)) and timeout >= 0 and not math.isnan(timeout)):
        raise ValueError(f"Argument `timeout` must be None or a number of seconds >= 0, but it is {timeout!r}.")
    book = Ledger()
    found = book.find(job_id)
    end = math.inf if timeout is None else time.monotonic() + timeout
    pause = _FIRST_POLL[found.kind]
    n_failures = 0
    while True:
        try:
            found = _jobs_steps.proceed(book, found)
            n_failures = 0
        except JobError as error:
            # One lost answer must not end a wait of hours; a lasting fault must not be waited for.
            n_failures += 1
            if found.state != "sent" or found.kind != "ibm" or n_failures >= _MAX_FAILURES or time.monotonic() >= end:
                raise
            del error
        if found.state == "done":
            return _ledger_results.load(book, found)
        if found.state in ("failed", "cancelled"):
            raise _jobs_steps.ended(found)
        if time.monotonic() >= end:
            raise TimeoutError(_jobs_steps.still(book, found, timeout or 0.0))
        time.sleep(max(0.0, min(pause, end - time.monotonic())))
        pause = min(pause * _POLL_GROWTH, _LAST_POLL[found.kind])


def cancel(job_id: str) -> Job:
    """Cancel a job that is not done yet; a simulation ends within seconds, a device's job is cancelled at the service.

    Parameters
    ----------
    job_id : str
        The id, or 4 or more of its first digits.

    Returns
    -------
    Job
        Cancelled; or done or failed, if it ended just before.

    Raises
    ------
    ValueError
        If there is no such job.
    JobError
        If the job has ended already, if it is not known whether the service has it, or if the service does not
        answer.

    Examples
    --------
    >>> cancel("")
    Traceback (most recent call last):
        ...
    ValueError: Argument `job_id` must be 4 to 64 hexadecimal digits of a job's id, but it is ''.
    """
    book = Ledger()
    found = book.find(job_id)
    if found.kind == "ibm" and found.state == "sending":
        found = _jobs_remote.settle(book, found.row)
        if found.state == "sending":
            raise JobError(
                f"Job {found.id[:12]} is being sent, or its sender died and the service does not list it: "
                "whether it exists is not known, so it cannot be cancelled; `sync` looks it up again.",
                job_id=found.id,
                state=found.state,
            )
    if found.kind == "ibm" and found.state == "sent":
        return _jobs_remote.stop(book, found)
    for before in ("prepared", "sent"):
        if found.kind == "ibm" and before == "sent":
            break
        # The worker notices that its lease is gone, and ends.
        if book.move(found.row, before, "cancelled", why="cancelled by the user", worker=None, lease=None):
            _jobs_local.kick(book)
            return book.get(found.row)
    found = book.get(found.row)
    if found.state == "cancelled":
        return found
    raise JobError(
        f"Job {found.id[:12]} cannot be cancelled, for it is {found.state}.", job_id=found.id, state=found.state
    )


def sync() -> list[Job]:
    """Bring the ledger up to date: restart dead workers, look up jobs that may have been sent, fetch what is done.

    A job that is *sending* and not on the service's list stays as it is; only `submit_again` sends it once more. One
    that was never sent (*prepared*) is not sent by this function either. One process at a time synchronises; others
    wait for it.

    Returns
    -------
    list of Job
        Every job that was unfinished when this began, as it is now, the newest first.

    Raises
    ------
    JobError
        If the service did not answer for a job; all others were brought up to date before.
    TimeoutError
        If another process synchronises for more than ten minutes.

    Examples
    --------
    >>> import os, tempfile
    >>> from unittest import mock
    >>> with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, QMLPHYS_HOME=folder):
    ...     sync()
    []
    """
    book = Ledger()
    failures: list[JobError] = []
    with _locks.hold(book.folder / "locks" / "sync.lock", what="the jobs are brought up to date"):
        _jobs_steps.sweep(book)
        open_jobs = book.select("state NOT IN ('done', 'failed', 'cancelled')")
        if any(found.kind == "local" for found in open_jobs):
            _jobs_local.kick(book)
        for found in open_jobs:
            if found.kind == "ibm":
                try:
                    if found.state == "sending":
                        found = _jobs_remote.settle(book, found.row)
                    if found.state == "sent":
                        _jobs_remote.advance(book, found)
                except JobError as error:
                    failures.append(error)
    if failures:
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        raise JobError(f"{str(failures[0]).rstrip('.')}{more}.", job_id=failures[0].job_id, state=failures[0].state)
    return [book.get(found.row) for found in reversed(open_jobs)]


def jobs() -> list[Job]:
    """Return all jobs of the ledger; nobody is asked, nothing is started.

    Returns
    -------
    list of Job
        As the ledger knows them, the newest first; `sync` brings them up to date.

    Examples
    --------
    >>> import os, tempfile
    >>> from unittest import mock
    >>> with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, QMLPHYS_HOME=folder):
    ...     jobs()
    []
    """
    return Ledger().select()[::-1]


def job(job_id: str) -> Job:
    """Return one job.

    Parameters
    ----------
    job_id : str
        The id, or 4 or more of its first digits.

    Returns
    -------
    Job
        As the ledger knows it.

    Raises
    ------
    ValueError
        If this is no beginning of an id, or fits no job or several.

    Examples
    --------
    >>> job("abc")
    Traceback (most recent call last):
        ...
    ValueError: Argument `job_id` must be 4 to 64 hexadecimal digits of a job's id, but it is 'abc'.
    """
    return Ledger().find(job_id)


def history(job_id: str) -> list[Event]:
    """Return what happened to a job.

    Parameters
    ----------
    job_id : str
        The id, or 4 or more of its first digits.

    Returns
    -------
    list of Event
        Oldest first.

    Raises
    ------
    ValueError
        If there is no such job.

    Examples
    --------
    >>> import os, tempfile
    >>> from unittest import mock
    >>> with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, QMLPHYS_HOME=folder):
    ...     history("0123")
    Traceback (most recent call last):
        ...
    ValueError: ...
    """
    book = Ledger()
    return book.history(book.find(job_id).row)


def submit_again(job_id: str) -> str:
    """Send a job once more that failed, was cancelled, or may never have arrived.

    What an IBM device may still have of it is looked up first: if an earlier sending turns up, that one is kept and
    nothing is sent.

    Parameters
    ----------
    job_id : str
        The id, or 4 or more of its first digits.

    Returns
    -------
    str
        The full id, which stays the same.

    Raises
    ------
    ValueError
        If there is no such job, or the device cannot run the circuit any more.
    JobError
        If the job is being computed or done, may still be under way (within a minute of its last sending), or could
        not be sent.

    Examples
    --------
    >>> import os, tempfile
    >>> from unittest import mock
    >>> with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, QMLPHYS_HOME=folder):
    ...     submit_again("0123")
    Traceback (most recent call last):
        ...
    ValueError: ...
    """
    book = Ledger()
    found = book.find(job_id)
    if found.kind == "ibm":
        return _jobs_remote.resend(book, found.row).id
    for before in ("failed", "cancelled"):
        why = "the user submits it again"
        if book.move(found.row, before, "prepared", why=why, error=None, attempts=0, worker=None, lease=None):
            _jobs_local.kick(book)
            return found.id
    found = book.get(found.row)
    raise JobError(
        f"Job {found.id[:12]} is {found.state}, so it cannot be submitted again "
        "(another `repeat` makes another job of the same circuits).",
        job_id=found.id,
        state=found.state,
    )


def restore(job_id: str) -> Job:
    """Get back the result of a finished job whose file was lost or damaged.

    A simulation is computed again, with the same bits; a device's result is fetched from the service again.

    Parameters
    ----------
    job_id : str
        The id, or 4 or more of its first digits.

    Returns
    -------
    Job
        The job; unchanged if its result is whole.

    Raises
    ------
    ValueError
        If there is no such job.
    JobError
        If the job is not done, or the service does not answer.

    Examples
    --------
    >>> import os, tempfile
    >>> from unittest import mock
    >>> with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, QMLPHYS_HOME=folder):
    ...     restore("0123")
    Traceback (most recent call last):
        ...
    ValueError: ...
    """
    book = Ledger()
    found = book.find(job_id)
    if found.state != "done":
        raise JobError(
            f"Job {found.id[:12]} is {found.state}, so it has no result to restore.", job_id=found.id, state=found.state
        )
    if _ledger_results.is_whole(book, found):
        return found
    why = "the result was lost"
    if found.kind == "ibm":
        book.move(found.row, "done", "sent", why=why, digest=None)
        return _jobs_remote.advance(book, book.get(found.row))
    book.move(found.row, "done", "prepared", why=why, digest=None, attempts=0)
    _jobs_local.kick(book)
    return book.get(found.row)
