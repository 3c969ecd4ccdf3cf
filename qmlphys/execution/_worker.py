"""The detached worker: computes one local job after the other, and writes nothing once its lease is lost.

Started by `qmlphys.execution._jobs_local.spawn` with a home folder, a row and a lease's token.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from qmlphys.execution import _jobs_local, _ledger_results, ledger
from qmlphys.execution._locks import Process
from qmlphys.execution.ledger import Job, Ledger, LedgerError

__all__ = ["Heartbeat", "compute", "main", "seed_of"]

WATCH_SECONDS = 1.0
"""How often a worker looks whether its job was cancelled or given to another one."""

_LOST = 3  # the exit status of a worker whose lease was lost

_log = logging.getLogger("qmlphys")


class Heartbeat:
    """Renews a lease from a thread of its own while the simulator is at work, and ends the process when it is lost.

    Parameters
    ----------
    book : Ledger
        The ledger.
    row : int
        The job.
    token : str
        The lease.

    Raises
    ------
    RuntimeError
        If the thread cannot be started.
    """

    def __init__(self, book: Ledger, row: int, token: str) -> None:
        self._book, self._row, self._token = book, row, token
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop; when this returns, the thread will not end the process any more."""
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        """Watch often, write seldom."""
        renewed = time.monotonic()
        while not self._end.wait(WATCH_SECONDS):
            try:
                held = not _jobs_local.lost(self._book, self._row, self._token)
                if held and time.monotonic() - renewed >= _jobs_local.BEAT_SECONDS:
                    held = _jobs_local.renew(self._book, self._row, self._token)
                    renewed = time.monotonic()
            except LedgerError as error:
                # A full disk or a long transaction may pass; a lease that ran out meanwhile is no longer ours.
                held = time.monotonic() - renewed < _jobs_local.LEASE_SECONDS
                _say(f"The ledger does not answer: {error}")
            if not held and not self._end.is_set():
                _say("The job was cancelled, or its lease was lost: this worker ends.")
                # The simulator runs in compiled code that no exception reaches. What it left half-written is swept
                # away by whoever finishes the job.
                os._exit(_LOST)


def main(arguments: Sequence[str]) -> int:
    """Compute a job, then those that wait, until there is none.

    Parameters
    ----------
    arguments : sequence of str
        Home folder, row, token of the lease.

    Returns
    -------
    int
        Exit status: 0, or 3 if the lease was not there any more.
    """
    os.umask(0o077)
    book = Ledger(Path(arguments[0]), create=False)
    worker = Process.current()
    claim: tuple[int, str] | None = (int(arguments[1]), arguments[2])
    while claim is not None:
        row, token = claim
        job = _jobs_local.begin(book, row, token, worker)
        if job is None:
            _say("The job was given to another worker, or cancelled, before this one began.")
            return _LOST
        claim = compute(book, job, token, worker)
    return 0


def compute(book: Ledger, job: Job, token: str, worker: Process) -> tuple[int, str] | None:
    """Compute one job and write its result, or the reason why there is none.

    Parameters
    ----------
    book : Ledger
        The ledger.
    job : Job
        A job whose lease this worker holds.
    token : str
        The lease.
    worker : Process
        This process.

    Returns
    -------
    row : int
        The next job, which was given to this worker in the moment in which this one was finished.
    str
        Its lease. Or None instead of both.
    """
    part = book.result(job.row).with_name(f"{job.row}.{token}.part")
    error: str | None = None
    digest = ""
    _say(f"Job {job.id} begins (row {job.row}).")
    with Heartbeat(book, job.row, token):
        try:
            digest = _simulate(book, job, part)
        except MemoryError:
            error = "the simulation needs more memory than this machine has: take fewer qubits, or `aer-mps`"
        except Exception as failure:  # whatever the simulator raises ends the job, not the worker
            error = ledger.scrub(str(failure) or type(failure).__name__)
            sys.stderr.write("".join(f"{ledger.scrub(line)}\n" for line in traceback.format_exc().splitlines()))
    found: tuple[Job, str] | None = None
    with book.writing() as connection:
        held = connection.execute(
            "SELECT 1 FROM jobs WHERE row = ? AND worker = ? AND state = 'sent'", (job.row, token)
        ).fetchone()
        if held:
            # The lease is over in the same moment in which the result lies in its place.
            after, why = ("done", "computed") if error is None else ("failed", error)
            ledger.move(
                connection,
                job.row,
                "sent",
                after,
                why=why,
                error=error,
                digest=digest or None,
                worker=None,
                lease=None,
            )
            if error is None:
                _ledger_results.install(part, book.result(job.row))
            found = _jobs_local.next_job(connection, worker)
    with contextlib.suppress(OSError):
        part.unlink(missing_ok=True)
        if held:
            _ledger_results.sweep(book, job.row)
    _say(f"Job {job.id} ends: {(error or 'done') if held else 'its lease was lost, nothing was written'}.")
    return None if found is None else (found[0].row, found[1])


def seed_of(job_id: str) -> int:
    """Return the seed of a job for which the user chose none: the same for every worker that begins it anew.

    Parameters
    ----------
    job_id : str
        64 hexadecimal digits.

    Returns
    -------
    int
        In [0, 2**63).

    Examples
    --------
    >>> seed_of("00000000000000ff" + 48 * "0")
    127
    """
    return int(job_id[:16], 16) >> 1


def _simulate(book: Ledger, job: Job, part: Path) -> str:
    """Run the job's task and save what comes out; return the file's SHA-256."""
    from qmlphys.execution._check import check
    from qmlphys.execution._running import execute
    from qmlphys.execution._task import task_from_bytes

    task = task_from_bytes(book.task(job.row))
    result = execute(task, check(task), seed=seed_of(job.id) if task.seed is None else task.seed)
    return _ledger_results.save(result, part)


def _say(text: str) -> None:
    """Write a line to the worker's log."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
    sys.stderr.write(f"{now} [{os.getpid()}] {ledger.scrub(text)}\n")
    sys.stderr.flush()
