"""The one request that creates a job on an IBM device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qmlphys.execution._ibm_errors import IBMError, MaybeSent, NotSent, scrub
from qmlphys.execution._ibm_service import connected

if TYPE_CHECKING:
    from qmlphys.execution._check import Checked
    from qmlphys.execution._task import Task

__all__ = ["send"]


def send(task: Task, checked: Checked, tag: str) -> str:
    """Create a job (see `qmlphys.execution._ibm.send`)."""
    from qmlphys.execution import _ibm_transport

    # Whatever goes wrong, only the transport knows how far the one request came.
    with _ibm_transport.observed() as attempt:
        try:
            _run_sampler(task, checked, tag)
            failure = "the client sent nothing"
        except Exception as error:  # what counts is the fate of the request, whatever the client makes of it
            failure = attempt.reason or f"{type(error).__name__}: {scrub(error)}"
            account_error = error if isinstance(error, IBMError) else None
        else:
            account_error = None
    if attempt.fate == "accepted":
        return attempt.remote_id
    if attempt.fate == "not sent":
        if account_error is not None and not attempt.n_posts:
            raise NotSent(f"Nothing was sent. {account_error}")
        raise NotSent(f"{task.backend} did not accept the job ({failure}): nothing runs, and it may be sent again.")
    raise MaybeSent(
        f"The answer to a new job for {task.backend} was lost ({failure}): it may have been accepted. "
        "`qmlphys jobs sync` looks it up by its tag."
    )


def _run_sampler(task: Task, checked: Checked, tag: str) -> None:
    """Let the client's sampler build and send the job."""
    from qiskit_ibm_runtime.executor_sampler import Sampler
    from qiskit_ibm_runtime.options_models.sampler import SamplerOptions

    options = SamplerOptions()
    # Off by the client's default as well; written out because dynamic circuits may not have it, and because twirling
    # would split the shots into groups.
    options.dynamical_decoupling.enable = False
    options.twirling.enable_gates = False
    options.twirling.enable_measure = False
    options.environment.job_tags = [tag, "qmlphys", f"qmlphys-id-{task.id}"]
    with connected() as connection:
        Sampler(mode=connection.backend(task.backend), options=options).run(_pubs(task, checked, tag), shots=task.shots)


def _pubs(task: Task, checked: Checked, tag: str) -> list[Any]:
    """Return the job's parts: one with all parameter values, or one a circuit."""
    circuits = []
    for circuit in checked.isa:
        own = circuit.copy()
        # The caller's metadata stay at home; these come back with the result.
        own.metadata = {"tag": tag, "layout": checked.layout or ""}
        circuits.append(own)
    values = task.parameter_values
    if values is None or len(circuits) > 1:
        return circuits
    (circuit,) = circuits
    # The translation may have found that a parameter does not matter, and dropped it.
    column = {parameter.name: index for index, parameter in enumerate(task.circuits[0].parameters)}
    kept = [column[parameter.name] for parameter in circuit.parameters]
    if not kept:
        return [circuit] * len(values)
    return [(circuit, np.ascontiguousarray(np.asarray(values, dtype=np.float64)[:, kept]))]
