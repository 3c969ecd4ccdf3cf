"""Rows of the ledger inside a transaction that is already open (see `qmlphys.execution.ledger.Ledger`)."""

from __future__ import annotations

import dataclasses
import datetime
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

from qmlphys.execution._ledger_records import Job, scrub
from qmlphys.execution._locks import Process

__all__ = ["COLUMNS", "job_of", "moment", "move", "record", "select"]

COLUMNS = ", ".join(
    [field.name for field in dataclasses.fields(Job) if field.name != "worker"]
    + ["worker_pid", "worker_started", "worker_machine"]
)


def move(connection: sqlite3.Connection, row: int, before: str, after: str, *, why: str, **columns: Any) -> bool:
    """Change a job's state inside a transaction that is already open (see `Ledger.move`)."""
    values = {"state": after, "updated": time.time(), **columns}
    settings = ", ".join(f"{name} = :{name}" for name in values)
    changed = connection.execute(
        f"UPDATE jobs SET {settings} WHERE row = :row_ AND state = :before_",  # noqa: S608 (our own names)
        {**values, "row_": row, "before_": before},
    )
    if changed.rowcount != 1:
        return False
    record(connection, row, before, after, why=why)
    return True


def record(connection: sqlite3.Connection, row: int, before: str | None, after: str, *, why: str) -> None:
    """Add a line to a job's history."""
    connection.execute(
        "INSERT INTO history (row, time, before, after, why) VALUES (?, ?, ?, ?, ?)",
        (row, time.time(), before, after, scrub(why)),
    )


def select(connection: sqlite3.Connection, where: str, values: Sequence[Any] = ()) -> list[Job]:
    """Return jobs over a connection that is already open (see `Ledger.select`)."""
    found = connection.execute(f"SELECT {COLUMNS} FROM jobs WHERE {where} ORDER BY row", tuple(values))  # noqa: S608
    return [job_of(line) for line in found.fetchall()]


def job_of(line: sqlite3.Row) -> Job:
    """Turn a row of the table into a Job."""
    values = dict(line)
    pid, started, machine = (values.pop(f"worker_{key}") for key in ("pid", "started", "machine"))
    values["worker"] = None if pid is None else Process(pid, started, machine)
    values["created"], values["updated"] = moment(values["created"]), moment(values["updated"])
    return Job(**values)


def moment(seconds: float) -> datetime.datetime:
    """Turn seconds since 1970 into a time in UTC."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
