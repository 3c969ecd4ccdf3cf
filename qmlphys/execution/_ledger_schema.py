"""The ledger's tables, their versions, and how a file is made, opened and brought up to date.

A file is made whole under another name and then renamed, so ``jobs.sqlite`` never exists without its tables: an empty
or foreign file under that name is damage, and is refused instead of being filled.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

from qmlphys.execution import _locks

__all__ = ["MIGRATIONS", "LedgerError", "create", "opened"]


class LedgerError(RuntimeError):
    """The ledger cannot be used; the text says why, and what to do, in one sentence."""


LedgerError.__module__ = "qmlphys.execution.ledger"  # where users find it

_APPLICATION = 0x716D6C70  # "qmlp", so that a database of another program is recognised
_BUSY_SECONDS = 30.0

# Which state may follow which. A simulator's job is "sent" while a worker computes it; only a device's job can be
# "sending", for only there can a crash leave it unknown whether the job was accepted.
_LEGAL = {
    "ibm": [
        ("prepared", "sending"),
        ("prepared", "cancelled"),
        ("sending", "prepared"),  # surely not accepted
        ("sending", "sending"),  # the user sends it once more
        ("sending", "sent"),
        ("sent", "done"),
        ("sent", "failed"),
        ("sent", "cancelled"),
        ("failed", "sending"),
        ("cancelled", "sending"),
        ("failed", "sent"),  # an earlier sending turned up
        ("cancelled", "sent"),
        ("done", "sent"),  # the result's file was lost: fetch it again
    ],
    "local": [
        ("prepared", "sent"),
        ("prepared", "failed"),
        ("prepared", "cancelled"),
        ("sent", "done"),
        ("sent", "failed"),
        ("sent", "cancelled"),
        ("failed", "prepared"),
        ("cancelled", "prepared"),
        ("done", "prepared"),  # the result's file was lost: compute it again
    ],
}

_STATES = "('prepared', 'sending', 'sent', 'done', 'failed', 'cancelled')"

# One list of statements a version; a published list is never changed, the next version appends another one.
MIGRATIONS: list[list[str]] = [
    [
        f"""
        CREATE TABLE jobs (
            row INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE CHECK (length(id) = 64),
            tag TEXT NOT NULL UNIQUE,
            kind TEXT NOT NULL CHECK (kind IN ('local', 'ibm')),
            backend TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN {_STATES}),
            task BLOB NOT NULL,
            options TEXT NOT NULL,
            shots INTEGER,
            seed TEXT,
            repeat INTEGER NOT NULL,
            created REAL NOT NULL,
            updated REAL NOT NULL,
            n_qubits INTEGER NOT NULL,
            n_two_qubit_gates INTEGER NOT NULL,
            depth INTEGER NOT NULL,
            device_seconds REAL,
            layout TEXT,
            remote_id TEXT,
            error TEXT
        )
        """,
        "CREATE INDEX jobs_by_state ON jobs (state, kind)",
        "CREATE TABLE sends (tag TEXT PRIMARY KEY, row INTEGER NOT NULL REFERENCES jobs (row), time REAL NOT NULL)",
        """
        CREATE TABLE remotes (
            remote_id TEXT PRIMARY KEY,
            row INTEGER NOT NULL REFERENCES jobs (row),
            tag TEXT NOT NULL,
            time REAL NOT NULL
        )
        """,
        """
        CREATE TABLE history (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            row INTEGER NOT NULL REFERENCES jobs (row),
            time REAL NOT NULL,
            before TEXT,
            after TEXT NOT NULL,
            why TEXT NOT NULL
        )
        """,
        "CREATE TABLE transitions (kind TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL)",
        *(
            f"INSERT INTO transitions VALUES ('{kind}', '{before}', '{after}')"  # noqa: S608 (the table above)
            for kind, pairs in _LEGAL.items()
            for before, after in pairs
        ),
        """
        CREATE TRIGGER legal_transitions BEFORE UPDATE OF state ON jobs
        WHEN NOT EXISTS (
            SELECT 1 FROM transitions WHERE kind = OLD.kind AND before = OLD.state AND after = NEW.state
        )
        BEGIN SELECT RAISE(ABORT, 'no such transition'); END
        """,
        """
        CREATE TRIGGER what_a_job_is BEFORE UPDATE OF row, id, kind, backend, task, options ON jobs
        BEGIN SELECT RAISE(ABORT, 'what a job is never changes'); END
        """,
        """
        CREATE TRIGGER first_states BEFORE INSERT ON jobs WHEN NEW.state <> 'prepared'
        BEGIN SELECT RAISE(ABORT, 'a job begins as prepared'); END
        """,
    ],
    [
        # Version 2: leases of detached workers, checksums of results, calibration times, remarks.
        "ALTER TABLE jobs ADD COLUMN worker TEXT",
        "ALTER TABLE jobs ADD COLUMN worker_pid INTEGER",
        "ALTER TABLE jobs ADD COLUMN worker_started TEXT",
        "ALTER TABLE jobs ADD COLUMN worker_machine TEXT",
        "ALTER TABLE jobs ADD COLUMN lease REAL",
        "ALTER TABLE jobs ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE jobs ADD COLUMN digest TEXT",
        "ALTER TABLE jobs ADD COLUMN calibration TEXT",
        "ALTER TABLE jobs ADD COLUMN note TEXT",
    ],
]


def create(path: Path) -> None:
    """Make a new, empty ledger, whole or not at all; leave one that exists alone.

    Parameters
    ----------
    path : pathlib.Path
        Where; the folder must exist.
    """
    if path.exists():
        return
    with _locks.hold(path.with_name("create.lock"), what="a ledger is made"):
        if path.exists():
            return
        for stray in path.parent.glob(f".{path.name}.*.part*"):  # of a process that was killed right here
            stray.unlink(missing_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        # SQLite gives its own new files the umask's mode; an existing empty file keeps 0600, and so do its side files.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with contextlib.closing(sqlite3.connect(temporary, timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            _migrate(connection, path=path)
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the ledger for the length of the block, bring it up to date, and close it.

    A connection lives only as long as one piece of work: none is ever carried over a fork or between threads.

    Parameters
    ----------
    path : pathlib.Path
        The file, which must exist.

    Yields
    ------
    sqlite3.Connection
        In autocommit mode, with rows by name. A commit is on the disk before it returns.

    Raises
    ------
    LedgerError
        If the file is missing, damaged, foreign, not the user's own, locked for too long, or of a newer version.
    """
    _judge(path)
    try:
        # mode=rw: SQLite must not make the file anew when somebody removes it just now.
        connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
    except sqlite3.Error as error:
        raise LedgerError(_trouble(path, error)) from None
    try:
        connection.row_factory = sqlite3.Row
        # In WAL mode FULL flushes at every commit; NORMAL could forget the last ones when the power fails.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        _check_version(connection, path=path)
        yield connection
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError):
        raise
    except sqlite3.Error as error:
        raise LedgerError(_trouble(path, error)) from None
    finally:
        # Closing may be the last user's checkpoint, which can fail on a full disk; nothing committed is lost by that.
        with contextlib.suppress(sqlite3.Error):
            connection.close()


def _judge(path: Path) -> None:
    """Refuse a path that is not this user's regular file; close it to others if it stands open."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        raise LedgerError(
            f"There is no ledger '{path}': submit a job first, or set QMLPHYS_HOME to its folder."
        ) from None
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
        raise LedgerError(
            f"The ledger '{path}' must be a regular file of your own, but it is not: "
            "move it away, or set QMLPHYS_HOME to another folder."
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        path.chmod(0o600)


def _check_version(connection: sqlite3.Connection, *, path: Path) -> None:
    """Migrate an older ledger; refuse a newer one, and a file that is none."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != _APPLICATION or version < 1:
        raise LedgerError(
            f"'{path}' is not a ledger of qmlphys, or its beginning is lost: nothing was changed in it; "
            "put back a copy, or move it away to begin a new one."
        )
    if version > len(MIGRATIONS):
        raise LedgerError(
            f"The ledger '{path}' has version {version}, but this qmlphys knows versions up to {len(MIGRATIONS)}: "
            "a newer qmlphys wrote it, so use that one (nothing was changed)."
        )
    if version < len(MIGRATIONS):
        _migrate(connection, path=path)


def _migrate(connection: sqlite3.Connection, *, path: Path) -> None:
    """Apply what is missing in one transaction: a crash leaves the old version, whole."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Read again under the lock: another process may have migrated it meanwhile.
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        if version < len(MIGRATIONS):
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise LedgerError(
            f"The ledger '{path}' could not be brought to version {len(MIGRATIONS)} ({error}); "
            "nothing was changed in it."
        ) from None


def _trouble(path: Path, error: sqlite3.Error) -> str:
    """Say in one sentence what SQLite's complaint means for the user."""
    reason = str(error)
    if "locked" in reason or "busy" in reason:
        return f"The ledger '{path}' has been in use by another process for {_BUSY_SECONDS:g} s ({reason}): try again."
    if isinstance(error, sqlite3.OperationalError) and "malformed" not in reason:
        return (
            f"The ledger '{path}' cannot be read or written ({reason}): see to the disk's space and the file's rights."
        )
    return (
        f"The ledger '{path}' is damaged ({reason}): nothing was overwritten; "
        "put back a copy, or move it away to begin a new one."
    )
