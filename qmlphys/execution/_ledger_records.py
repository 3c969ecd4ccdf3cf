"""What the ledger tells: jobs, their history, and texts without secrets (public in `qmlphys.execution.ledger`)."""

from __future__ import annotations

import datetime
import os
import re
from dataclasses import dataclass

from qmlphys.execution import _ibm_errors
from qmlphys.execution._locks import Process

__all__ = ["SETTLED", "STATES", "Event", "Job", "JobError", "is_secret", "scrub"]

STATES = ("prepared", "sending", "sent", "done", "failed", "cancelled")
"""Where a job can stand: written down, on its way, accepted (or being computed), and the three ends."""

SETTLED = ("done", "failed", "cancelled")
"""The states that no longer change by themselves."""

_SECRET_NAME = re.compile(r"TOKEN|API_?KEY|SECRET|PASSWORD")
_MIN_SECRET = 6


def scrub(text: object) -> str:
    """Return a text on one line without any secret that this process knows, and without what looks like one.

    Parameters
    ----------
    text : object
        What to clean; its `str` is taken.

    Returns
    -------
    str
        At most 400 characters.

    Examples
    --------
    >>> scrub("refused: Bearer abcdefgh.ijkl is not valid")
    'refused: *** is not valid'
    """
    cleaned = str(text)
    values = {value.strip() for name, value in os.environ.items() if is_secret(name)}
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= _MIN_SECRET:
            cleaned = cleaned.replace(value, "***")
    return _ibm_errors.scrub(cleaned)


def is_secret(name: str) -> bool:
    """Tell by its name whether an environment variable holds a secret.

    Examples
    --------
    >>> is_secret("QISKIT_IBM_TOKEN"), is_secret("HOME")
    (True, False)
    """
    return _SECRET_NAME.search(name.upper()) is not None


class JobError(RuntimeError):
    """A job cannot give what was asked of it; the text says why, and what to do, in one sentence.

    Parameters
    ----------
    message : str
        The sentence.
    job_id : str
        The job's id.
    state : str
        Its state when this happened.
    """

    def __init__(self, message: str, *, job_id: str = "", state: str = "") -> None:
        super().__init__(scrub(message))
        self.job_id = job_id
        self.state = state


@dataclass(frozen=True)
class Event:
    """One line of a job's history.

    Parameters
    ----------
    time : datetime.datetime
        When, in UTC.
    before, after : str or None
        The states; `before` is None for the first one.
    why : str
        The reason.
    """

    time: datetime.datetime
    before: str | None
    after: str
    why: str


@dataclass(frozen=True)
class Job:
    """One job as the ledger knew it when it was read.

    Parameters
    ----------
    row : int
        Its number in the ledger, which also names its files.
    id : str
        SHA-256 of the task's canonical form, 64 hexadecimal digits.
    tag : str
        What the job is marked with at the service, should it have to be looked up there.
    kind : {"local", "ibm"}
        Computed by a worker process on this machine, or by an IBM device.
    backend : str
        Canonical name, such as "aer" or "ibm_torino".
    state : str
        One of `STATES`.
    shots : int or None
        Shots a scan point; None for exact probabilities.
    repeat : int
        Tells intended repetitions apart.
    created, updated : datetime.datetime
        In UTC.
    n_qubits, n_two_qubit_gates, depth : int
        Of the translated circuits.
    device_seconds : float or None
        Estimate of the device's time, in seconds.
    layout : str or None
        The physical qubits, as JSON.
    calibration : str or None
        Time of the calibration that the translation used.
    remote_id : str or None
        The service's id.
    error : str or None
        Why it failed, or why it could not be sent; one sentence without secrets.
    note : str or None
        What the user should know besides, such as a job that the service accepted twice.
    attempts : int
        How many workers were started for it.
    worker : Process or None
        The worker that holds the lease.
    lease : float or None
        Until when, in seconds since 1970.
    digest : str or None
        SHA-256 of the result's file.
    """

    row: int
    id: str
    tag: str
    kind: str
    backend: str
    state: str
    shots: int | None
    repeat: int
    created: datetime.datetime
    updated: datetime.datetime
    n_qubits: int
    n_two_qubit_gates: int
    depth: int
    device_seconds: float | None
    layout: str | None
    calibration: str | None
    remote_id: str | None
    error: str | None
    note: str | None
    attempts: int
    worker: Process | None
    lease: float | None
    digest: str | None

    def attended(self, now: float, *, longest: float) -> bool:
        """Tell whether a worker is at this job: its lease runs and the process is not known to have ended.

        Parameters
        ----------
        now : float
            Seconds since 1970.
        longest : float
            No lease is given for longer, in seconds; one that claims to be comes from a clock that was set back.

        Returns
        -------
        bool
            False also for a job that waits for its first worker.
        """
        if self.worker is None or self.lease is None or not now < self.lease <= now + longest:
            return False
        return self.worker.alive() is not False


for _class in (Event, Job, JobError):
    _class.__module__ = "qmlphys.execution.ledger"  # where users find them
