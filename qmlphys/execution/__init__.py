"""Circuits in, snapshot Datasets out: on simulators, fake devices and IBM hardware.

`run` answers at once; `submit` writes a job into the ledger first, so that it can be fetched from any later shell and
is never lost or sent twice. Backends are known by name: "statevector" (exact), "aer", "aer-mps", "aer-gpu",
"fake_torino" and every other fake device, "ibm_..." and "ibm" for the least busy device of an account.

Examples
--------
>>> from qiskit import QuantumCircuit
>>> from qmlphys.snapshots import counts
>>> bell = QuantumCircuit(2)
>>> _ = bell.h(0), bell.cx(0, 1), bell.measure_all()
>>> counts(run(bell, "statevector", shots=100, rng=1))
{'11': 54, '00': 46}
"""

from __future__ import annotations

from qmlphys.execution import backends, circuit_files, jobs
from qmlphys.execution._check import Checked, CircuitRefused, check
from qmlphys.execution._ibm_errors import IBMError
from qmlphys.execution._running import run, statevector
from qmlphys.execution._simulators import SimulationFailed
from qmlphys.execution._task import Options, Task, make_task
from qmlphys.execution.backends import BackendMissing
from qmlphys.execution.circuit_files import CircuitFileError
from qmlphys.execution.jobs import JobError, cancel, fetch, submit, submit_again, sync

__all__ = [
    "BackendMissing",
    "Checked",
    "CircuitFileError",
    "CircuitRefused",
    "IBMError",
    "JobError",
    "Options",
    "SimulationFailed",
    "Task",
    "backends",
    "cancel",
    "check",
    "circuit_files",
    "fetch",
    "jobs",
    "make_task",
    "run",
    "statevector",
    "submit",
    "submit_again",
    "sync",
]
