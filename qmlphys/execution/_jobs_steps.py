"""What the functions of `qmlphys.execution.jobs` have in common: first steps, next steps, and how they are told."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qiskit import QuantumCircuit

from qmlphys.execution import _jobs_local, _jobs_remote
from qmlphys.execution._task import Task, task_to_bytes
from qmlphys.execution.ledger import SETTLED, Job, JobError, Ledger

if TYPE_CHECKING:
    from qmlphys.execution._check import Checked

__all__ = ["ended", "least_busy", "proceed", "still", "submit_local", "submit_remote", "sweep"]

_STALE_SECONDS = 86_400.0
_SENDING_SECONDS = 10.0
"""So long a new job may be between two steps of its sender without being taken for abandoned."""


def least_busy(circuits: QuantumCircuit | Sequence[QuantumCircuit]) -> str:
    """Return the real device that "ibm" stands for now."""
    from qmlphys.execution import _ibm

    several = [circuits] if isinstance(circuits, QuantumCircuit) else list(circuits)
    if not several or not all(isinstance(circuit, QuantumCircuit) for circuit in several):
        raise TypeError("Argument `circuits` must be a QuantumCircuit or several of them, but it is not.")
    return _ibm.least_busy(max(circuit.num_qubits for circuit in several))


def _columns(task: Task, checked: Checked, calibration: str | None) -> dict[str, object]:
    """Return what the ledger keeps of a task besides the task itself."""
    return {
        "backend": task.backend,
        "options": json.dumps(dataclasses.asdict(task.options), sort_keys=True),
        "shots": task.shots,
        "seed": None if task.seed is None else str(task.seed),
        "repeat": task.repeat,
        **_jobs_remote.facts(checked, calibration),
    }


def submit_local(book: Ledger, task: Task) -> None:
    """Write a simulator's job down, and see to it that a worker is there."""
    from qmlphys.execution import _check

    if book.by_id(task.id) is None:
        checked = _check.check(task)  # a refused circuit leaves nothing behind
        book.insert(task.id, kind="local", task=task_to_bytes(task), **_columns(task, checked, None))
    _jobs_local.kick(book)


def submit_remote(book: Ledger, task: Task) -> None:
    """Write a device's job down, then send it, unless that was done before."""
    found = book.by_id(task.id)
    if found is not None and (found.state != "prepared" or _jobs_remote.in_hands(book, found.row)):
        return
    checked, calibration = _jobs_remote.translate(task)  # a refused circuit leaves nothing that could be sent
    if found is None:
        columns = _columns(task, checked, calibration)
        found, _ = book.insert(task.id, kind="ibm", task=task_to_bytes(task), **columns)
    if found.state == "prepared":
        _jobs_remote.send(book, found.row, task, checked, calibration)


def proceed(book: Ledger, found: Job) -> Job:
    """Do what can be done for a job right now, and return it as it is then."""
    found = book.get(found.row)
    if found.state in SETTLED:
        return found
    if found.kind == "local":
        _jobs_local.kick(book)
        return book.get(found.row)
    if found.state == "sent":
        return _jobs_remote.advance(book, found)
    if found.state == "sending":
        found = _jobs_remote.settle(book, found.row)
    if found.state not in ("prepared", "sending") or _jobs_remote.in_hands(book, found.row):
        return found
    age = datetime.datetime.now(datetime.UTC) - found.updated
    if found.state == "prepared" and found.error is None and age.total_seconds() < _SENDING_SECONDS:
        return found
    reason = f" ({found.error.rstrip('.')})" if found.error else ""
    what = "was never sent" if found.state == "prepared" else "may never have arrived: the service does not list it"
    raise JobError(
        f"Job {found.id[:12]} {what}{reason}. `submit_again('{found.id[:12]}')` sends it once more.",
        job_id=found.id,
        state=found.state,
    )


def ended(found: Job) -> JobError:
    """Return the error of a job that ended without a result."""
    what = (
        f"failed: {(found.error or 'no reason is known').rstrip('.')}" if found.state == "failed" else "was cancelled"
    )
    return JobError(
        f"Job {found.id[:12]} {what}. `submit_again('{found.id[:12]}')` runs it once more.",
        job_id=found.id,
        state=found.state,
    )


def still(book: Ledger, found: Job, timeout: float) -> str:
    """Say how far a job is that was waited for in vain."""
    where = f"it is {found.state}"
    if found.kind == "ibm":
        where += f" to {found.backend}" if found.state == "sent" else ""
    elif _jobs_local.is_waiting(book, found):
        where += f", behind {_jobs_local.N_WORKERS} other jobs that are being computed"
    elif found.state == "sent":
        where += " to a worker, which computes it"
    return (
        f"Job {found.id[:12]} is not done after {timeout:g} s: {where}. It goes on; fetch it again later, "
        f"or end it with `cancel('{found.id[:12]}')`."
    )


def sweep(book: Ledger) -> None:
    """Remove half-written results that are a day old: whoever wrote them is gone."""
    for stray in book.folder.glob("results/*.part"):
        with contextlib.suppress(OSError):
            if time.time() - stray.stat().st_mtime > _STALE_SECONDS:
                stray.unlink()
