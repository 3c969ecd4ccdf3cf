"""Jobs on IBM devices: send once, find by tag, follow, fetch, cancel.

Plain functions, so that the ledger knows nothing of the client. Nothing here retries the creation of a job, waits
without end, or lets a credential into a text. The rest of `qmlphys.execution` calls these functions; users call
`submit`, `fetch` and `sync`.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING

from qiskit.transpiler import Target

from qmlphys.execution import _ibm_sending, _ibm_target
from qmlphys.execution._ibm_errors import IBMError, MaybeSent, NoAccount, NotSent, UnknownJob, Unreachable, plain
from qmlphys.execution._ibm_following import RemoteOutcome, RemoteStatus, job_of, listed, outcome_of, status_of
from qmlphys.execution._ibm_service import connected, has_account

if TYPE_CHECKING:
    from qmlphys.execution._check import Checked
    from qmlphys.execution._task import Task

__all__ = [
    "IBMError",
    "MaybeSent",
    "NoAccount",
    "NotSent",
    "RemoteOutcome",
    "RemoteStatus",
    "UnknownJob",
    "Unreachable",
    "cancel",
    "devices",
    "find",
    "has_account",
    "least_busy",
    "outcome",
    "send",
    "status",
    "target",
]

_REMOTE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")


def target(name: str) -> tuple[Target, str]:
    """Return what a device can do, from the copy kept in the user's data folder if it is younger than a day.

    Parameters
    ----------
    name : str
        The device's name, such as ``"ibm_torino"``.

    Returns
    -------
    target : qiskit.transpiler.Target
        Gates, couplings, errors and durations.
    calibration : str
        When the device was calibrated, ISO 8601 in UTC.

    Raises
    ------
    ValueError
        If `name` cannot be a device's name.
    IBMError
        If there is no account, no such device, or no way to the service.
    """
    _ibm_target.require_name(name)
    return _target(name)


@plain
def _target(name: str) -> tuple[Target, str]:
    kept = _ibm_target.read(name)
    if kept is not None:
        try:
            return _ibm_target.build(name, *kept)
        except Exception:  # whatever an older format makes the client raise
            kept = None  # kept by another version of the client: fetched again
    with connected() as connection:
        backend = connection.backend(name)
        client = connection.service._get_api_client(backend._instance)
        # Asked anew: the copies that the client keeps are decoded, and cannot be written as JSON again.
        configuration = client.backend_configuration(name, refresh=True)
        properties = client.backend_properties(name)
    built = _ibm_target.build(name, copy.deepcopy(configuration), copy.deepcopy(properties))
    _ibm_target.write(name, configuration, properties)
    return built


def devices() -> list[str]:
    """Return the names of the account's devices, sorted.

    Returns
    -------
    list of str
        Real devices only.

    Raises
    ------
    IBMError
        If there is no account or no way to the service.
    """
    return _devices()


@plain
def _devices() -> list[str]:
    with connected() as connection:
        return connection.device_names()


def least_busy(n_qubits: int) -> str:
    """Return the device, online and large enough, with the fewest jobs waiting.

    Parameters
    ----------
    n_qubits : int
        Qubits needed, >= 1.

    Returns
    -------
    str
        Its name; the first in the alphabet among equals.

    Raises
    ------
    ValueError
        If `n_qubits` < 1.
    IBMError
        If no such device is online, or there is no account or no way to the service.
    """
    if n_qubits < 1:
        raise ValueError(f"Argument `n_qubits` must be at least 1, but it is {n_qubits}.")
    return _least_busy(n_qubits)


@plain
def _least_busy(n_qubits: int) -> str:
    with connected() as connection:
        # Asked anew: the list that the client keeps holds the queues of the moment it was opened.
        rows = [row for client in connection.clients() for row in client.list_backends()]
    online = [row for row in rows if row.get("class") != "mock" and row["status"]["name"] == "online"]
    fitting = [row for row in online if row["qubits"] >= n_qubits]
    if not fitting:
        largest = max((row["qubits"] for row in online), default=0)
        raise IBMError(
            f"No IBM device with {n_qubits} qubits is online for this account; the largest has {largest}: use a "
            "smaller circuit, or try later."
        )
    return str(min(fitting, key=lambda row: (row["queue_length"], row["name"]))["name"])


def send(task: Task, checked: Checked, *, tag: str) -> str:
    """Create a job on a device: one request that is never repeated, whatever happens to it.

    Parameters
    ----------
    task : Task
        What to run; all of it becomes one job.
    checked : Checked
        The circuits as translated for the device.
    tag : str
        The unique tag by which `find` finds the job again; it was written down before.

    Returns
    -------
    str
        The service's id of the job.

    Raises
    ------
    ValueError
        If `task` is for no IBM device, or `tag` has characters other than letters, digits and ``_.:-``.
    NotSent
        If the job was surely not accepted; sending again is safe.
    MaybeSent
        If it may have been accepted: look it up by its tag before anything else.
    """
    _require_tag(tag)
    _ibm_target.require_name(task.backend)
    if task.shots is None or task.shots < 1:
        raise ValueError(f"Argument `shots` must be at least 1 on an IBM device, but it is {task.shots}.")
    return plain(_ibm_sending.send)(task, checked, tag)


def find(tag: str, *, backend: str) -> list[str]:
    """Return the ids of the jobs with a tag, over all pages of the service's list and all instances.

    Parameters
    ----------
    tag : str
        The unique tag that `send` was given.
    backend : str
        The device that it was for.

    Returns
    -------
    list of str
        Oldest first; empty if the service lists none. A job just created may take a moment to be listed.

    Raises
    ------
    ValueError
        If `tag` is none, or `backend` no device's name.
    IBMError
        If the list stays incomplete, a job with this tag runs on another device, or the service does not answer.
    """
    _require_tag(tag)
    _ibm_target.require_name(backend)
    return _find(tag, backend)


@plain
def _find(tag: str, backend: str) -> list[str]:
    with connected() as connection:
        found = {key: row for client in connection.clients() for key, row in listed(client, tag).items()}
    for remote_id, row in found.items():
        if row.get("backend") not in (None, backend):
            raise IBMError(f"The job {remote_id} has the tag {tag}, but is on {row['backend']} instead of {backend}.")
    return list(found)


def status(remote_id: str) -> RemoteStatus:
    """Return where a job stands.

    Parameters
    ----------
    remote_id : str
        The service's id of the job.

    Returns
    -------
    RemoteStatus
        State and, for a failed job, the reason.

    Raises
    ------
    UnknownJob
        If the service has no such job.
    IBMError
        If the service does not answer, or in an unknown way.
    """
    _require_remote_id(remote_id)
    return _status(remote_id)


@plain
def _status(remote_id: str) -> RemoteStatus:
    with connected() as connection:
        client, row = job_of(connection, remote_id)
        return status_of(client, row, remote_id)


def outcome(remote_id: str) -> RemoteOutcome:
    """Return what a finished job measured; does not wait.

    Parameters
    ----------
    remote_id : str
        The service's id of the job.

    Returns
    -------
    RemoteOutcome
        Bits by scan point and register, and metadata.

    Raises
    ------
    UnknownJob
        If the service has no such job.
    IBMError
        If the job is not done, or its result cannot be read.
    """
    _require_remote_id(remote_id)
    return _outcome(remote_id)


@plain
def _outcome(remote_id: str) -> RemoteOutcome:
    with connected() as connection:
        return outcome_of(connection, remote_id)


def cancel(remote_id: str) -> None:
    """Ask the service to stop a job.

    Parameters
    ----------
    remote_id : str
        The service's id of the job.

    Raises
    ------
    UnknownJob
        If the service has no such job.
    IBMError
        If it has ended already, or the service does not answer.
    """
    _require_remote_id(remote_id)
    _cancel(remote_id)


@plain
def _cancel(remote_id: str) -> None:
    with connected() as connection:
        client, _ = job_of(connection, remote_id)
        try:
            client.job_cancel(remote_id)
        except Exception as error:  # the client's errors have no common base; all but one go on
            if getattr(error, "status_code", None) == 409:
                raise IBMError(f"The job {remote_id} has ended already and cannot be cancelled.") from None
            raise


def _require_remote_id(remote_id: str) -> None:
    """Refuse what cannot be an id, since it becomes part of an address."""
    if not isinstance(remote_id, str) or not _REMOTE_ID.fullmatch(remote_id):
        raise ValueError(
            f"Argument `remote_id` must be a job's id (letters, digits, _ and -), but it is {remote_id!r:.80}."
        )


def _require_tag(tag: str) -> None:
    """Refuse what cannot be a tag."""
    if not isinstance(tag, str) or not _TAG.fullmatch(tag):
        raise ValueError(f"Argument `tag` must be letters, digits and _.:- (128 at most), but it is {tag!r:.80}.")
