"""The ledger: every job, written down before anything is sent, in one SQLite file of the user's own.

It lies in the user's data directory, or in the folder that the environment variable QMLPHYS_HOME names::

    jobs.sqlite       the jobs, their history, every tag and every remote id (mode 0600)
    results/7.nc      the result of the job in row 7, named by the row's number, never by an id
    logs/7.log        what its worker said
    locks/7.lock      held while the job is being sent

A state changes only by compare-and-set inside SQLite, and only along the transitions that the file itself lists, so any
number of processes may use it at once. A commit is on the disk before the next step is taken. The functions that
users call are in `qmlphys.execution.jobs`.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import platformdirs

from qmlphys.execution import _ledger_schema
from qmlphys.execution._ledger_records import SETTLED, STATES, Event, Job, JobError, is_secret, scrub
from qmlphys.execution._ledger_rows import COLUMNS, job_of, moment, move, record, select
from qmlphys.execution._ledger_schema import LedgerError

__all__ = [
    "SETTLED",
    "STATES",
    "Event",
    "Job",
    "JobError",
    "Ledger",
    "LedgerError",
    "home",
    "is_secret",
    "new_tag",
    "scrub",
]

_PREFIX = re.compile(r"[0-9a-f]{4,64}")


def home() -> Path:
    """Return the folder of the ledger, and make it (mode 0700) when it is missing.

    Returns
    -------
    pathlib.Path
        What QMLPHYS_HOME names, else the user's data directory for qmlphys; absolute.

    Raises
    ------
    LedgerError
        If the folder cannot be made, or is not a folder.

    Examples
    --------
    >>> import tempfile
    >>> from unittest import mock
    >>> with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, QMLPHYS_HOME=f"{folder}/mine"):
    ...     home().name
    'mine'
    """
    named = os.environ.get("QMLPHYS_HOME", "")
    folder = Path(named or platformdirs.user_data_dir("qmlphys", appauthor=False)).expanduser().absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(
            f"The folder '{folder}' for the ledger cannot be made ({error.strerror}): "
            "set the environment variable QMLPHYS_HOME to a folder of your own."
        ) from None
    return folder


def new_tag(job_id: str) -> str:
    """Return a fresh tag for a job: it begins like the id and was never used before.

    Parameters
    ----------
    job_id : str
        The job's id.

    Returns
    -------
    str
        Such as "qmlphys-0123456789abcdef-89abcdef".

    Examples
    --------
    >>> new_tag("0123456789abcdef" * 4)[:25]
    'qmlphys-0123456789abcdef-'
    """
    return f"qmlphys-{job_id[:16]}-{secrets.token_hex(4)}"


class Ledger:
    """The jobs of one home folder. It holds no connection open, so it may be used after a fork and by threads.

    Parameters
    ----------
    folder : pathlib.Path, optional
        The home folder, which must exist; `home()` unless given.
    create : bool
        Whether to make the file when it is missing.

    Raises
    ------
    LedgerError
        If the file is damaged, foreign, or of a newer version.
    """

    def __init__(self, folder: Path | None = None, *, create: bool = True) -> None:
        self.folder = home() if folder is None else folder
        self.path = self.folder / "jobs.sqlite"
        try:
            for name in ("results", "logs", "locks") if create else ():
                (self.folder / name).mkdir(mode=0o700, exist_ok=True)
            if create:
                _ledger_schema.create(self.path)
        except (OSError, sqlite3.Error) as error:
            raise LedgerError(
                f"The folder '{self.folder}' cannot be written ({error}): "
                "set the environment variable QMLPHYS_HOME to a folder of your own."
            ) from None
        with self.reading():
            pass

    def result(self, row: int) -> Path:
        """Return the place of a result."""
        return self.folder / "results" / f"{row}.nc"

    def log(self, row: int) -> Path:
        """Return the place of a worker's log."""
        return self.folder / "logs" / f"{row}.log"

    def lock(self, row: int) -> Path:
        """Return the lock that is held while a job is sent or looked up."""
        return self.folder / "locks" / f"{row}.lock"

    def reading(self) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        """Open the file for single statements, each a transaction of its own."""
        return _ledger_schema.opened(self.path)

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Open the file for one transaction that no other writer interrupts; it is on the disk when the block ends."""
        with _ledger_schema.opened(self.path) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def insert(self, job_id: str, *, kind: str, task: bytes, **columns: Any) -> tuple[Job, bool]:
        """Write a job down as prepared, unless it is there.

        Parameters
        ----------
        job_id : str
            The task's id.
        kind : {"local", "ibm"}
            Who computes it.
        task : bytes
            The task, as `task_to_bytes` writes it.
        **columns
            Further columns of the table: backend, options (JSON), shots, ...

        Returns
        -------
        job : Job
            The job with this id, new or old.
        bool
            Whether it is new.
        """
        now = time.time()
        tag = new_tag(job_id)
        values = {"id": job_id, "tag": tag, "kind": kind, "state": "prepared", "task": task, **columns}
        values |= {"created": now, "updated": now}
        names = ", ".join(values)
        marks = ", ".join(f":{name}" for name in values)
        with self.writing() as connection:
            # Two processes that submit the same task at the same moment: the second one inserts nothing.
            added = connection.execute(
                f"INSERT INTO jobs ({names}) VALUES ({marks}) ON CONFLICT (id) DO NOTHING",  # noqa: S608
                values,
            )
            new = added.rowcount == 1
            if new:
                row = added.lastrowid
                connection.execute("INSERT INTO sends VALUES (?, ?, ?)", (tag, row, now))
                record(connection, int(row or 0), None, "prepared", why="submitted")
            found = connection.execute(f"SELECT {COLUMNS} FROM jobs WHERE id = ?", (job_id,)).fetchone()  # noqa: S608
        return job_of(found), new

    def by_id(self, job_id: str) -> Job | None:
        """Return the job with exactly this id, or None."""
        found = self.select("id = ?", (job_id,))
        return found[0] if found else None

    def get(self, row: int) -> Job:
        """Return the job in a row that is known to exist."""
        return self.select("row = ?", (row,))[0]

    def find(self, prefix: str) -> Job:
        """Return the one job whose id begins like this.

        Parameters
        ----------
        prefix : str
            4 to 64 hexadecimal digits.

        Returns
        -------
        Job
            The job.

        Raises
        ------
        ValueError
            If this is no beginning of an id, or fits no job or several.
        """
        if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix.lower()):
            shown = repr(prefix) if len(repr(prefix)) <= 80 else repr(prefix)[:77] + "..."
            raise ValueError(f"Argument `job_id` must be 4 to 64 hexadecimal digits of a job's id, but it is {shown}.")
        low = prefix.lower()
        found = self.select("id >= ? AND id < ?", (low, low + "g"))  # g follows every hexadecimal digit
        if len(found) != 1:
            what = "there is no such job" if not found else f"{len(found)} jobs begin like this"
            raise ValueError(f"Argument `job_id` must name one job of '{self.path}', but for {low!r} {what}.")
        return found[0]

    def select(self, where: str = "1", values: Sequence[Any] = ()) -> list[Job]:
        """Return jobs in the order in which they were submitted; `where` is SQL that this package wrote."""
        with self.reading() as connection:
            return select(connection, where, values)

    def task(self, row: int) -> bytes:
        """Return the stored task of a job."""
        with self.reading() as connection:
            return bytes(connection.execute("SELECT task FROM jobs WHERE row = ?", (row,)).fetchone()[0])

    def history(self, row: int) -> list[Event]:
        """Return what happened to a job, oldest first."""
        with self.reading() as connection:
            found = connection.execute("SELECT * FROM history WHERE row = ? ORDER BY number", (row,)).fetchall()
        return [Event(moment(line["time"]), line["before"], line["after"], line["why"]) for line in found]

    def tags(self, row: int) -> list[str]:
        """Return every tag that a job was ever sent with, oldest first."""
        with self.reading() as connection:
            found = connection.execute("SELECT tag FROM sends WHERE row = ? ORDER BY time, rowid", (row,)).fetchall()
        return [str(line[0]) for line in found]

    def remotes(self, row: int) -> list[str]:
        """Return every id that the service is known to have given a job, oldest first."""
        with self.reading() as connection:
            found = connection.execute(
                "SELECT remote_id FROM remotes WHERE row = ? ORDER BY time, rowid", (row,)
            ).fetchall()
        return [str(line[0]) for line in found]

    def move(self, row: int, before: str, after: str, *, why: str, **columns: Any) -> bool:
        """Change a job's state if it is still `before`, in one transaction.

        Parameters
        ----------
        row : int
            The job.
        before, after : str
            The states.
        why : str
            For the history; secrets are removed.
        **columns
            Further columns to set in the same moment.

        Returns
        -------
        bool
            False if another process was first; then nothing is changed.
        """
        with self.writing() as connection:
            return move(connection, row, before, after, why=why, **columns)
