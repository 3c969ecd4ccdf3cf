"""Jobs on IBM devices: sent at most once, looked up by tag after a crash, followed until the result is kept.

The order is: *prepared* is on the disk, the circuits were checked offline, *sending* is on the disk, the one request
goes out, the remote id and *sent* are on the disk. Whoever sends, or looks up what a dead process may have sent, holds
the lock of the job's row all the while; so a job in *sending* whose lock is free belongs to nobody alive. From there it
goes on only by what the service's list says, or by the user's own word (`resend`).
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import logging
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import xarray as xr

from qmlphys.execution import _ledger_results, _locks, ledger
from qmlphys.execution.ledger import Job, JobError, Ledger

if TYPE_CHECKING:
    from qmlphys.execution._check import Checked
    from qmlphys.execution._task import Task

__all__ = ["advance", "facts", "in_hands", "resend", "send", "settle", "stop", "translate"]

T = TypeVar("T")

_log = logging.getLogger("qmlphys")
IN_FLIGHT_SECONDS = 60.0
"""Within this time a request may still be under way to the service's list; until then nothing is sent again."""

_LOOKING_SECONDS = 0.5  # others who look whether a lock is free hold it for microseconds
_MAX_ATTR = 60_000  # the longest text that a snapshot file keeps as an attribute


def translate(task: Task) -> tuple[Checked, str]:
    """Check a task offline and translate it for its device.

    Parameters
    ----------
    task : Task
        For an IBM device.

    Returns
    -------
    checked : Checked
        The translated circuits.
    calibration : str
        Time of the calibration that the translation used.

    Raises
    ------
    CircuitRefused
        If the device could not run it.
    JobError
        If what the device can do is neither kept on this machine nor to be had from the service.
    """
    from qmlphys.execution import _check, _ibm

    what = "What the device can do is not known"
    target, calibration = _asked(what, task.id, "prepared", lambda: _ibm.target(task.backend))
    return _check.check(task, target=target), calibration


def facts(checked: Checked, calibration: str | None) -> dict[str, Any]:
    """Return what the ledger keeps of a translation, by column."""
    return {
        "n_qubits": checked.n_qubits,
        "n_two_qubit_gates": checked.n_two_qubit_gates,
        "depth": checked.depth,
        "device_seconds": checked.device_seconds,
        "layout": checked.layout,
        "calibration": calibration,
    }


def send(book: Ledger, row: int, task: Task, checked: Checked, calibration: str) -> Job:
    """Send a prepared job; do nothing if another process was first.

    Parameters
    ----------
    book : Ledger
        The ledger.
    row : int
        The job.
    task : Task
        Its task.
    checked : Checked
        The translated circuits.
    calibration : str
        Time of the calibration that they were translated for.

    Returns
    -------
    Job
        As it is now.

    Raises
    ------
    JobError
        If the job was not accepted, or it is not known whether it was; the text says which.
    """
    with _locks.hold(book.lock(row), what=f"job {row} is being sent"):
        why = "the request goes out"
        if not book.move(row, "prepared", "sending", why=why, error=None, **facts(checked, calibration)):
            return book.get(row)
        return _transmit(book, book.get(row), task, checked)


def in_hands(book: Ledger, row: int) -> bool:
    """Tell whether some process is sending or looking up this job right now."""
    return _locks.is_held(book.lock(row))


def settle(book: Ledger, row: int) -> Job:
    """Look up a job that was left in sending, unless its sender is alive.

    Parameters
    ----------
    book : Ledger
        The ledger.
    row : int
        The job.

    Returns
    -------
    Job
        Sent, if the service lists it; as it was if not.

    Raises
    ------
    JobError
        If the service does not answer.
    """
    with _locks.try_hold(book.lock(row), patience=_LOOKING_SECONDS) as taken:
        job = book.get(row)
        if not taken or job.state != "sending":
            return job
        return _look_up(book, job)


def resend(book: Ledger, row: int) -> Job:
    """Send a job once more, with a new tag, after looking up all earlier ones.

    Parameters
    ----------
    book : Ledger
        The ledger.
    row : int
        A job that is sending, failed or cancelled (or prepared, when it was never sent).

    Returns
    -------
    Job
        Sent: by this call, or by an earlier one that turned up.

    Raises
    ------
    JobError
        If the job is in another state, is being sent right now, was sent less than `IN_FLIGHT_SECONDS` ago, or could
        not be sent.
    CircuitRefused
        If the device, as it is now, cannot run it.
    """
    from qmlphys.execution._task import task_from_bytes

    task = task_from_bytes(book.task(row))
    checked, calibration = translate(task)
    with _locks.try_hold(book.lock(row), patience=_LOOKING_SECONDS) as taken:
        job = book.get(row)
        if not taken:
            raise JobError(
                f"Job {job.id[:12]} is being sent by another process right now: wait for it.",
                job_id=job.id,
                state=job.state,
            )
        if job.state not in ("prepared", "sending", "failed", "cancelled"):
            raise JobError(
                f"Job {job.id[:12]} is {job.state}, so it cannot be submitted again "
                "(another `repeat` makes another job of the same circuits).",
                job_id=job.id,
                state=job.state,
            )
        if job.state != "prepared":
            job = _look_up(book, job)
            if job.state == "sent":
                return job
        if job.state == "sending":
            _refuse_in_flight(book, job)
        tag = ledger.new_tag(job.id)
        with book.writing() as connection:
            connection.execute("INSERT INTO sends VALUES (?, ?, ?)", (tag, row, time.time()))
            ledger.move(
                connection,
                row,
                job.state,
                "sending",
                why=f"the user submits it again, with the tag {tag}",
                tag=tag,
                remote_id=None,
                error=None,
                **facts(checked, calibration),
            )
        return _transmit(book, book.get(row), task, checked)


def _refuse_in_flight(book: Ledger, job: Job) -> None:
    """Refuse to send again what was sent so lately that the service may not list it yet."""
    last = max(event.time for event in book.history(job.row) if event.after == "sending")
    age = (datetime.datetime.now(datetime.UTC) - last).total_seconds()
    if 0 <= age < IN_FLIGHT_SECONDS:
        raise JobError(
            f"Job {job.id[:12]} was sent {age:.0f} s ago and may still be under way: wait "
            f"{IN_FLIGHT_SECONDS - age:.0f} s, and look with `qmlphys jobs sync` whether it has arrived.",
            job_id=job.id,
            state=job.state,
        )


def advance(book: Ledger, job: Job) -> Job:
    """Ask the service how a sent job does, and keep its result when it is done.

    Parameters
    ----------
    book : Ledger
        The ledger.
    job : Job
        A job with a remote id, in the state sent.

    Returns
    -------
    Job
        As it is now.

    Raises
    ------
    JobError
        If the service does not answer, or not with a result of this job.
    """
    from qmlphys.execution import _ibm

    remote_id = _remote_id(job)
    what = f"The service did not tell how job {job.id[:12]} does"
    status = _asked(what, job.id, job.state, lambda: _ibm.status(remote_id))
    if status.state == "failed":
        reason = ledger.scrub(status.message or "the service gives no reason")
        book.move(job.row, "sent", "failed", why=f"the service: {reason}", error=reason)
    elif status.state == "cancelled":
        book.move(job.row, "sent", "cancelled", why="cancelled at the service")
    elif status.state == "done":
        _collect(book, job, remote_id)
    return book.get(job.row)


def stop(book: Ledger, job: Job) -> Job:
    """Cancel a sent job at the service.

    Parameters
    ----------
    book : Ledger
        The ledger.
    job : Job
        In the state sent.

    Returns
    -------
    Job
        Cancelled, or what it had become before the service heard of it.

    Raises
    ------
    JobError
        If the service does not answer.
    """
    from qmlphys.execution import _ibm

    remote_id = _remote_id(job)
    try:
        _ibm.cancel(remote_id)
        refused = None
    except Exception as error:  # what the client raises has no common base
        refused = ledger.scrub(error)
    if refused is None:
        book.move(job.row, "sent", "cancelled", why="cancelled by the user")
        return book.get(job.row)
    # It may have ended just before: then its own end counts.
    job = advance(book, job)
    if job.state == "sent":
        raise JobError(f"Job {job.id[:12]} could not be cancelled ({refused}).", job_id=job.id, state=job.state)
    return job


def _transmit(book: Ledger, job: Job, task: Task, checked: Checked) -> Job:
    """Make the one request of a job in sending, and write down what came of it."""
    from qmlphys.execution import _ibm

    remote_id: str | None = None
    refused: str | None = None
    unsure = ""
    try:
        remote_id = _ibm.send(task, checked, tag=job.tag)
    except _ibm.NotSent as error:
        refused = ledger.scrub(error)
    except Exception as error:  # MaybeSent; and whatever else happens on the way leaves it unknown
        unsure = ledger.scrub(error) or type(error).__name__
    # All exceptions are raised outside the handlers, so that none carries the client's, which may hold secrets.
    if remote_id is not None:
        _adopt(book, job, [(job.tag, remote_id)], why="accepted by the service")
        return book.get(job.row)
    if refused is not None:
        book.move(job.row, "sending", "prepared", why=f"surely not accepted: {refused}", error=refused)
        raise JobError(
            f"Job {job.id[:12]} was not sent ({refused}). It is kept, and costs nothing: submit it again.",
            job_id=job.id,
            state="prepared",
        )
    with book.writing() as connection:
        connection.execute("UPDATE jobs SET error = ? WHERE row = ? AND state = 'sending'", (unsure, job.row))
        ledger.record(connection, job.row, "sending", "sending", why=f"may have been accepted: {unsure}")
    with contextlib.suppress(JobError):  # the service may be out of reach: then `sync` finds out later
        found = _look_up(book, job)
        if found.state == "sent":
            return found
    raise JobError(
        f"Job {job.id[:12]} may have reached {job.backend}, or not ({unsure}). Nothing is lost: "
        "`qmlphys jobs sync` looks it up by its tag; only `submit --again` sends it once more.",
        job_id=job.id,
        state="sending",
    )


def _look_up(book: Ledger, job: Job) -> Job:
    """Ask the service for every tag of a job, and take over what it lists; the row's lock is held."""
    from qmlphys.execution import _ibm

    known = set(book.remotes(job.row))
    found: list[tuple[str, str]] = []
    what = f"Job {job.id[:12]} could not be looked up"
    for tag in book.tags(job.row):
        listed = _asked(what, job.id, job.state, functools.partial(_ibm.find, tag, backend=job.backend))
        found += [(tag, remote_id) for remote_id in listed if remote_id not in known]
    if found:
        _adopt(book, job, found, why="found at the service by its tag")
    return book.get(job.row)


def _adopt(book: Ledger, job: Job, found: list[tuple[str, str]], *, why: str) -> None:
    """Write down the service's ids of a job; the first one is kept, any other is worth a warning."""
    note = job.note
    with book.writing() as connection:
        for tag, remote_id in found:
            connection.execute(
                "INSERT INTO remotes VALUES (?, ?, ?, ?) ON CONFLICT (remote_id) DO NOTHING",
                (remote_id, job.row, tag, time.time()),
            )
        first = found[0][1]
        if len(found) > 1:
            others = ", ".join(remote_id for _, remote_id in found[1:])
            note = (
                f"The service accepted this job {len(found)} times: {first} is kept, "
                f"cancel {others} there if it still runs."
            )
            why = f"{why}, {len(found)} times: {first} is kept, beside {others}"
        ledger.move(connection, job.row, job.state, "sent", why=why, remote_id=first, error=None, note=note)
    if len(found) > 1:
        _log.warning("Job %s: %s", job.id[:12], note)


def _collect(book: Ledger, job: Job, remote_id: str) -> None:
    """Fetch the result of a job that the service has done, and keep it."""
    from qmlphys.execution import _ibm
    from qmlphys.execution._readout import to_dataset
    from qmlphys.execution._task import task_from_bytes

    task = task_from_bytes(book.task(job.row))

    def ask() -> xr.Dataset:
        outcome = _ibm.outcome(remote_id)
        attrs: dict[str, str | int | float] = {
            "remote_id": remote_id,
            "layout": job.layout or "",
            "translated_for": job.calibration or "",
            **{key: _short(value) for key, value in outcome.metadata.items()},
        }
        return to_dataset(task, outcome.registers, seed=None, attrs=attrs)

    result = _asked(f"The result of job {job.id[:12]} could not be fetched", job.id, job.state, ask)
    # The row's number and a random word: two processes that fetch at once do not write into the same file.
    part = book.result(job.row).with_name(f"{job.row}.{secrets.token_hex(8)}.part")
    try:
        digest = _ledger_results.save(result, part)
        _ledger_results.complete(book, job.row, part, digest, why="fetched from the service")
    finally:
        part.unlink(missing_ok=True)


def _short(value: Any) -> str | int | float:
    """Make an attribute out of what the service says."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    return str(value)[:_MAX_ATTR]


def _remote_id(job: Job) -> str:
    """Return the service's id of a sent job."""
    if job.remote_id is None:
        raise JobError(f"Job {job.id[:12]} has no id at the service.", job_id=job.id, state=job.state)
    return job.remote_id


def _asked(what: str, job_id: str, state: str, question: Callable[[], T]) -> T:
    """Ask the service's client something; whatever it raises becomes one sentence without secrets.

    The error is raised outside the handler: no link leads to the client's own exception, whose request holds a token.
    """
    try:
        return question()
    except Exception as error:  # the client's errors have no common base
        failure = ledger.scrub(error) or type(error).__name__
    raise JobError(f"{what}: {failure.rstrip('.')}.", job_id=job_id, state=state)
