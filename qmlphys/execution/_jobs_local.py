"""Jobs on this machine's simulators: detached workers, the lease that each one holds, and how dead ones are replaced.

A worker is not a child of the shell that started it: it has a session of its own, no inherited files, and its output
goes to a log. What it holds is a *lease* in the ledger, a random token with a time limit that its heartbeat renews. Who
finds a lease run out, or its process gone, puts a new token there and starts another worker; the old one, should it
still live, can no longer write anything, for every step asks for the token in the same transaction.

At most `N_WORKERS` run at once. A worker that has finished takes the next waiting job in the same transaction, so that
a job that was submitted while all were busy is never forgotten.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import qmlphys
from qmlphys.execution import ledger
from qmlphys.execution._locks import Process
from qmlphys.execution.ledger import Job, JobError, Ledger

__all__ = [
    "BEAT_SECONDS",
    "LEASE_SECONDS",
    "MAX_ATTEMPTS",
    "N_WORKERS",
    "begin",
    "is_waiting",
    "kick",
    "lost",
    "next_job",
    "renew",
    "spawn",
]

LEASE_SECONDS = 300.0
"""How long a lease runs: generous, for a machine may be slow, and a worker that died is noticed without it."""

BEAT_SECONDS = 20.0
"""How often a worker renews its lease."""

MAX_ATTEMPTS = 5
"""So often a job's worker may die (out of memory, killed, power cut) before the job counts as failed."""

N_WORKERS = max(2, min(4, os.cpu_count() or 1))
"""How many workers run at once in one home folder: each simulator uses several cores itself."""

_LOCAL = "kind = 'local' AND state IN ('prepared', 'sent')"

# The first lines of a worker. It leaves the session, and its parent ends at once, so that it belongs to no shell; then
# what it inherited as standard output, through which its number was told, becomes the log.
_PROGRAM = """
import os, sys
number = os.fork()
if number:
    os.write(1, b"%d" % number)
    os._exit(0)
os.dup2(2, 1)
sys.path.append(sys.argv[1])
from qmlphys.execution._worker import main
sys.exit(main(sys.argv[2:]))
"""


def kick(book: Ledger) -> int:
    """Start workers for local jobs that wait for one or whose worker has died, as many as may run at once.

    Parameters
    ----------
    book : Ledger
        The ledger.

    Returns
    -------
    int
        How many workers were started.

    Raises
    ------
    JobError
        If the system cannot start a process.
    """
    n_started = 0
    # A look without the write lock first, for this is called with every poll.
    while any(not _attended(job) for job in book.select(_LOCAL)):
        claim = _claim_for_start(book)
        if claim is None:
            break
        job, token = claim
        try:
            worker = Process.of(spawn(book, job.row, token))
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            _release(book, job.row, token)
            raise JobError(
                f"A worker for job {job.id[:12]} could not be started ({error}); the job is kept: "
                "`qmlphys jobs sync` tries again.",
                job_id=job.id,
                state=job.state,
            ) from None
        n_started += 1
        with book.writing() as connection:
            # Only while this process still stands there: the worker may have begun, and even have ended, already.
            connection.execute(
                "UPDATE jobs SET worker_pid = ?, worker_started = ?, worker_machine = ? "
                "WHERE row = ? AND worker = ? AND worker_pid = ? AND state = ?",
                (worker.pid, worker.started, worker.machine, job.row, token, os.getpid(), job.state),
            )
    return n_started


def is_waiting(book: Ledger, job: Job) -> bool:
    """Tell whether a job waits because as many workers as may run at once are busy with others."""
    busy = [other for other in book.select(_LOCAL) if _attended(other)]
    return len(busy) >= N_WORKERS and all(other.row != job.row for other in busy)


def spawn(book: Ledger, row: int, token: str) -> int:
    """Start a detached worker process.

    Parameters
    ----------
    book : Ledger
        The ledger.
    row : int
        The job that it is to begin with.
    token : str
        The lease that it takes over.

    Returns
    -------
    int
        Its process number.
    """
    if not sys.executable:
        raise OSError("this Python does not know its own program")
    root = Path(qmlphys.__file__).parents[1]
    log = os.open(book.log(row), os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    try:
        answer = subprocess.run(  # noqa: S603 (our own program and arguments)
            # -P: no file in the working directory can pose as a module.
            [sys.executable, "-P", "-c", _PROGRAM, str(root), str(book.folder), str(row), token],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            cwd=book.folder,
            # A simulator needs no account.
            env={name: value for name, value in os.environ.items() if not ledger.is_secret(name)},
            timeout=60.0,
            check=True,
        )
    finally:
        os.close(log)
    return int(answer.stdout)


def begin(book: Ledger, row: int, token: str, worker: Process) -> Job | None:
    """Take over a lease as the worker that was started for it.

    Parameters
    ----------
    book : Ledger
        The ledger.
    row : int
        The job.
    token : str
        The lease.
    worker : Process
        Who takes it over.

    Returns
    -------
    Job or None
        The job, now sent; None if somebody else was given it, or it was cancelled.
    """
    with book.writing() as connection:
        taken = connection.execute(
            "UPDATE jobs SET worker_pid = ?, worker_started = ?, worker_machine = ?, lease = ? "
            "WHERE row = ? AND worker = ? AND state IN ('prepared', 'sent')",
            (worker.pid, worker.started, worker.machine, time.time() + LEASE_SECONDS, row, token),
        )
        if taken.rowcount != 1:
            return None
        ledger.move(connection, row, "prepared", "sent", why=f"computed by process {worker.pid}")
        return ledger.select(connection, "row = ?", (row,))[0]


def renew(book: Ledger, row: int, token: str) -> bool:
    """Give a lease its full time again; False if it is held no longer."""
    with book.writing() as connection:
        renewed = connection.execute(
            "UPDATE jobs SET lease = ? WHERE row = ? AND worker = ? AND state = 'sent'",
            (time.time() + LEASE_SECONDS, row, token),
        )
        return renewed.rowcount == 1


def lost(book: Ledger, row: int, token: str) -> bool:
    """Tell whether a lease was given to somebody else, or its job cancelled."""
    return not book.select("row = ? AND worker = ? AND state = 'sent'", (row, token))


def next_job(connection: sqlite3.Connection, worker: Process) -> tuple[Job, str] | None:
    """Give the longest-waiting job to a worker that has just finished, inside the transaction in which it did.

    Parameters
    ----------
    connection : sqlite3.Connection
        With the transaction open.
    worker : Process
        Who asks.

    Returns
    -------
    job : Job
        The job.
    str
        The lease's token. Or None instead of both, if no job waits.
    """
    return _claim(connection, worker, limit=None)


def _attended(job: Job) -> bool:
    """Tell whether a worker is at a job."""
    return job.attended(time.time(), longest=2 * LEASE_SECONDS)


def _claim_for_start(book: Ledger) -> tuple[Job, str] | None:
    """Reserve the first job that has no worker, in the name of this process, which is to start one."""
    with book.writing() as connection:
        return _claim(connection, Process.current(), limit=N_WORKERS)


def _claim(connection: sqlite3.Connection, worker: Process, *, limit: int | None) -> tuple[Job, str] | None:
    """Put a fresh token on the first job without a worker; give up on jobs that have killed too many."""
    jobs = ledger.select(connection, _LOCAL)
    idle = [job for job in jobs if not _attended(job)]
    for job in idle:
        if job.attempts >= MAX_ATTEMPTS:
            why = (
                f"its worker ended {job.attempts} times without a word (killed, or out of memory): "
                f"see '{job.row}.log' among the logs"
            )
            ledger.move(connection, job.row, job.state, "failed", why=why, error=why, worker=None, lease=None)
            continue
        if limit is not None and len(jobs) - len(idle) >= limit:
            return None
        token = secrets.token_hex(8)
        connection.execute(
            "UPDATE jobs SET worker = ?, worker_pid = ?, worker_started = ?, worker_machine = ?, lease = ?, "
            "attempts = attempts + 1 WHERE row = ?",
            (token, worker.pid, worker.started, worker.machine, time.time() + LEASE_SECONDS, job.row),
        )
        if job.state == "sent":
            ledger.record(connection, job.row, "sent", "sent", why="its worker has ended; another one begins anew")
        return ledger.select(connection, "row = ?", (job.row,))[0], token
    return None


def _release(book: Ledger, row: int, token: str) -> None:
    """Take back a reservation for which no worker could be started."""
    with book.writing() as connection:
        connection.execute(
            "UPDATE jobs SET worker = NULL, lease = NULL, attempts = attempts - 1 WHERE row = ? AND worker = ?",
            (row, token),
        )
