"""A quantum transition on a device: ground states as circuits, measured through the ledger, judged by a classifier.

A field is scanned across the transition of the Ising ring in a transverse field. Every ground state becomes a matrix
product state, this a circuit, and the circuits of one size one job on each backend. A classifier, which was trained on
snapshots of neural states from the two far ends of the field, judges what came back, and beside it neural states, Monte
Carlo of the classical twin, and the matrix product states themselves: one snapshot format, one analysis.

`submit` sends the jobs and returns; `run` sends what was not sent, waits, and reports. Both keep the ids in the run
folder, so that another start, after Ctrl-C, a kill or a night, fetches what was submitted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike

from qmlphys.workflows import _device_phases_output as output
from qmlphys.workflows._device_phases_config import DevicePhasesConfig
from qmlphys.workflows._device_phases_judge import ExactJudgement, critical_field, judge
from qmlphys.workflows._device_phases_output import TITLE
from qmlphys.workflows._device_phases_states import circuits_of, ground_state, mps_snapshots
from qmlphys.workflows._device_phases_steps import Journey
from qmlphys.workflows._device_phases_twin import classical_twin, twin_temperature
from qmlphys.workflows.outcome import Outcome
from qmlphys.workflows.runs import Panel, RunFolder, Steps

__all__ = [
    "N_STEPS",
    "DevicePhasesConfig",
    "ExactJudgement",
    "Submission",
    "circuits_of",
    "classical_twin",
    "critical_field",
    "ground_state",
    "judge",
    "mps_snapshots",
    "panel",
    "run",
    "submit",
    "twin_temperature",
]

N_STEPS = 5
"""How many steps a user is told of."""

_WORKFLOW = "device-phases"


@dataclass(frozen=True)
class Submission:
    """One job: the scan of one ring on one backend.

    Parameters
    ----------
    label : str
        Backend and kind of circuits, such as "aer, 2 layers".
    size : int
        Sites.
    job_id : str
        Its id in the ledger.
    """

    label: str
    size: int
    job_id: str


def submit(
    config: DevicePhasesConfig | None = None,
    *,
    out: str | PathLike[str] = "runs/device-phases",
    tell: Callable[[str], None] | None = None,
) -> list[Submission]:
    """Prepare the circuits of all scans and submit them, one job a scan; return at once, without any result.

    Parameters
    ----------
    config : DevicePhasesConfig, optional
        Settings.
    out : path-like
        Run folder, which keeps the ids. Scans that were submitted from it before are not submitted again.
    tell : callable, optional
        Told of each scan.

    Returns
    -------
    list of Submission
        `run` with the same settings and folder goes on with them.

    Raises
    ------
    ValueError
        If the settings do not fit, or a circuit cannot run on its backend.
    JobError
        If a service did not take a job; the ledger keeps it.

    Examples
    --------
    >>> import os, tempfile
    >>> from unittest import mock
    >>> config = DevicePhasesConfig(sizes=(3, 4), backends=("statevector",), n_layers=(0,), shots=200)
    >>> with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, QMLPHYS_HOME=folder):
    ...     sent = submit(config, out=f"{folder}/run")
    ...     again = submit(config, out=f"{folder}/run")
    >>> [(job.label, job.size) for job in sent], sent == again
    ([('statevector, exact circuit', 3), ('statevector, exact circuit', 4)], True)
    """
    journey = Journey(config or DevicePhasesConfig(), RunFolder(out, workflow=_WORKFLOW), tell=tell)
    return [Submission(label, size, job_id) for (label, size), job_id in journey.submitted().items()]


def run(
    config: DevicePhasesConfig | None = None,
    *,
    out: str | PathLike[str] = "runs/device-phases",
    timeout: float | None = None,
    progress: bool = False,
    tell: Callable[[str], None] | None = None,
) -> Outcome:
    """Submit the scans, train the classifier while they run, fetch, judge, and write the report.

    Parameters
    ----------
    config : DevicePhasesConfig, optional
        Settings.
    out : path-like
        Run folder. Steps that were finished in it with the same settings are read instead of computed, and jobs that
        were submitted are fetched, not submitted again.
    timeout : float, optional
        Seconds to wait for each job; without end unless given.
    progress : bool
        Tell on standard error which step is under way.
    tell : callable, optional
        Told of each state as its training begins, and of each job.

    Returns
    -------
    Outcome
        Every number, and where the report is.

    Raises
    ------
    ValueError
        If the settings do not fit, or the scan does not show two phases.
    JobError
        If a job failed.
    TimeoutError
        If a job is not done in time; it goes on, and so does another call.
    OSError
        If a file cannot be read or written.
    """
    started = time.perf_counter()
    config = config or DevicePhasesConfig()
    folder = RunFolder(out, workflow=_WORKFLOW)
    found = panel(config, folder, steps=Steps(N_STEPS, shown=progress), timeout=timeout, tell=tell)
    report = folder.write_panels(config, [found])
    return Outcome(TITLE, list(found.rows), report, time.perf_counter() - started, folder.n_resumed)


def panel(
    config: DevicePhasesConfig,
    folder: RunFolder,
    *,
    steps: Steps,
    timeout: float | None = None,
    tell: Callable[[str], None] | None = None,
) -> Panel:
    """Do the work of `run` and return what it found instead of writing a report.

    Parameters
    ----------
    config : DevicePhasesConfig
        Settings.
    folder : RunFolder
        Where finished steps, states and jobs are kept.
    steps : Steps
        Told of each step as it begins.
    timeout : float, optional
        Seconds to wait for each job.
    tell : callable, optional
        Told of each state and each job.

    Returns
    -------
    Panel
        Numbers and pictures.
    """
    journey = Journey(config, folder, tell=tell)
    steps.begin(f"ground states into circuits, and the circuits to {', '.join(config.backends)}")
    journey.submitted()
    # The jobs are on their way while the states are trained.
    steps.begin(f"neural ground states along the field, N = {', '.join(map(str, config.sizes))}")
    for size in config.sizes:
        journey.neural(size)
    steps.begin("a network that sees both far ends, and Monte Carlo of the classical twin")
    journey.network()
    if config.monte_carlo:
        for size in config.sizes:
            journey.monte_carlo(size)
    steps.begin("what the jobs measured, and what the network says of every source")
    results = output.Results(journey, timeout=timeout)
    steps.begin("pictures of one transition from all sources")
    return Panel(TITLE, output.SUMMARY, output.rows(config, results), output.figures(config, results))
