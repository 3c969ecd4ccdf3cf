"""Jobs that the IBM Quantum service has: the list, where one stands, what it measured."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qmlphys.execution import _ibm_target
from qmlphys.execution._ibm_errors import IBMError, UnknownJob, scrub
from qmlphys.execution._ibm_service import Connection

__all__ = ["RemoteOutcome", "RemoteStatus", "job_of", "listed", "outcome_of", "status_of"]

PAGE = 50
"""Jobs on one page of the service's list."""

MAX_PAGES = 2000
"""More pages than this are taken for a list without end."""

N_LISTINGS = 3
"""How often a list that came out incomplete is read anew."""

State = Literal["queued", "running", "done", "failed", "cancelled"]

_STATES: dict[str, State] = {
    "QUEUED": "queued",
    "RUNNING": "running",
    "COMPLETED": "done",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
}

RAN_TOO_LONG = 1305
"""The service's reason code of jobs that it stopped itself; it calls them cancelled."""


@dataclass(frozen=True)
class RemoteStatus:
    """Where a job stands.

    Parameters
    ----------
    state : {"queued", "running", "done", "failed", "cancelled"}
        The last three are final.
    message : str
        Why it failed; empty otherwise.
    """

    state: State
    message: str = ""


@dataclass(frozen=True)
class RemoteOutcome:
    """What a job measured.

    Parameters
    ----------
    registers : list of dict
        One a scan point: the classical register's name -> bits of shape (shots, size), uint8; ``[:, i]`` is bit i.
    metadata : dict
        Text and numbers: ``remote_id``, ``backend``; where the service gives them ``calibration_time`` (that the
        device had when the job ran), ``started``, ``finished`` (ISO 8601) and ``device_seconds``; from the sender
        ``tag`` and ``layout``.
    """

    registers: list[dict[str, NDArray[np.uint8]]]
    metadata: dict[str, str | int | float] = field(default_factory=dict)


def listed(client: Any, tag: str) -> dict[str, dict[str, Any]]:
    """Return one instance's jobs with a tag, by id and oldest first; read anew where the pages do not add up.

    The list may shift while it is read, and a page may come twice: jobs are counted by id, and the end of the list is
    an empty page, whatever the total says.
    """
    count = 0
    seen: dict[str, dict[str, Any]] = {}
    for _ in range(N_LISTINGS):
        seen = {}
        skip = 0
        for _ in range(MAX_PAGES):
            # Oldest first: what is added meanwhile comes at the end and shifts nothing.
            answer = client.jobs_get(limit=PAGE, skip=skip, job_tags=[tag], descending=False, include_mocks=True)
            page = answer["jobs"]
            count = int(answer.get("count", 0))
            if not page:
                break
            skip += len(page)
            seen.update((row["id"], row) for row in page)
        else:
            raise IBMError(f"The list of jobs with the tag {tag} does not end.")
        if len(seen) >= count:
            # The filter is trusted only so far: a stranger's job must not be taken for ours.
            return {key: row for key, row in seen.items() if tag in row.get("tags", [tag])}
    raise IBMError(f"The service lists {count} jobs with the tag {tag}, but shows only {len(seen)}: try again.")


def status_of(client: Any, row: dict[str, Any], remote_id: str) -> RemoteStatus:
    """Read the state from the service's description of a job."""
    described = row["state"]
    name = str(described["status"]).upper()
    reason = str(described.get("reason") or "")
    code = described.get("reasonCode") or described.get("reason_code")
    if name not in _STATES:
        raise IBMError(f"The service says that the job {remote_id} is {name!r}, which qmlphys does not know.")
    state = _STATES[name]
    if state == "cancelled" and code == RAN_TOO_LONG:
        state, reason = "failed", reason or "the job ran longer than allowed"
    if state == "failed" and not reason:
        # The last line of the service's traceback says what went wrong.
        lines = [line for line in client.job_results(remote_id).splitlines() if line.strip()]
        reason = lines[-1] if lines else "the service gives no reason"
    return RemoteStatus(state=state, message=scrub(reason) if state == "failed" else "")


def outcome_of(connection: Connection, remote_id: str) -> RemoteOutcome:
    """Return what a finished job measured (see `qmlphys.execution._ibm.outcome`)."""
    from qiskit_ibm_runtime import RuntimeJobV2

    client, row = job_of(connection, remote_id)
    now = status_of(client, row, remote_id)
    if now.state != "done":
        detail = f" ({now.message})" if now.message else ""
        raise IBMError(f"The job {remote_id} has no result: it is {now.state}{detail}.")
    job = RuntimeJobV2(
        backend=None,
        api_client=client,
        job_id=remote_id,
        program_id=row.get("program", {}).get("id", ""),
        service=connection.service,
    )
    # It is done: the limit only guards against a service that changes its mind.
    result = job.result(timeout=60.0)
    metadata = _metadata(client, row, remote_id)
    registers: list[dict[str, NDArray[np.uint8]]] = []
    for part in result:
        arrays = {name: bits.to_bool_array(order="little").astype(np.uint8) for name, bits in part.data.items()}
        registers += [{name: bits[index] for name, bits in arrays.items()} for index in np.ndindex(part.data.shape)]
        sent = (part.metadata or {}).get("circuit_metadata") or {}
        metadata.update({key: str(sent[key]) for key in ("tag", "layout") if sent.get(key)})
    if not registers:
        raise IBMError(f"The result of the job {remote_id} is empty.")
    return RemoteOutcome(registers=registers, metadata=metadata)


def _metadata(client: Any, row: dict[str, Any], remote_id: str) -> dict[str, str | int | float]:
    """Return what the service tells about a job that ran."""
    from qiskit_ibm_runtime.api.exceptions import RequestsApiError

    name = str(row.get("backend") or "")
    metadata: dict[str, str | int | float] = {"remote_id": remote_id, "backend": name}
    metrics = client.job_metadata(remote_id)
    times = metrics.get("timestamps") or {}
    for key, source in (("started", "running"), ("finished", "finished")):
        if times.get(source):
            metadata[key] = str(times[source])
    seconds = (metrics.get("usage") or {}).get("qpu_charge_time_seconds")
    if seconds is not None:
        metadata["device_seconds"] = float(seconds)
    if name and times.get("running"):
        _ibm_target.require_name(name)
        moment = datetime.datetime.fromisoformat(str(times["running"]))
        try:
            properties = client.backend_properties(name, datetime=moment)
        except RequestsApiError as error:
            if error.status_code != 404:  # a retired device has no calibration any more
                raise
            properties = None
        if properties:
            metadata["calibration_time"] = _ibm_target.calibration_time(properties)
    return metadata


def job_of(connection: Connection, remote_id: str) -> tuple[Any, dict[str, Any]]:
    """Return the client of the instance that has a job, and the service's description of the job."""
    from qiskit_ibm_runtime.api.exceptions import RequestsApiError

    for client in connection.clients():
        try:
            return client, client.job_get(remote_id, exclude_params=True)
        except RequestsApiError as error:
            if error.status_code != 404:
                raise
    raise UnknownJob(f"The IBM Quantum service has no job {remote_id} for this account.")
