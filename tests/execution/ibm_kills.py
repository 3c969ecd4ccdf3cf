"""Kill processes while they submit, recover as a user would, and count what the service got.

Run as a script by `test_ibm_kills.py`; prints one JSON object. One process loads everything and then forks: each
submission and each recovery is a process of its own, as if started in a new shell. Its own threads would not survive
a fork, so there are none.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import functools
import gc
import importlib.util
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SHOTS = 4
N_BITS = 3
DEVICE = "ibm_manila"
SPAN = 0.03
"""Seconds by which the server lengthens the critical window, at most, before and after it accepts a job."""


def load(name: str) -> Any:
    """Load a file beside this one; tests are no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def preload() -> None:
    """Import what a submission needs, so that a fork is ready at once."""
    import qiskit_ibm_runtime.executor_sampler
    import qiskit_ibm_runtime.options_models.sampler
    import qiskit_ibm_runtime.utils.backend_decoder
    from qiskit.transpiler.preset_passmanagers.plugin import PassManagerStagePluginManager

    from qmlphys.execution import _check, _ibm_transport, _readout, jobs

    _ = (qiskit_ibm_runtime.executor_sampler, _check, _ibm_transport, _readout, jobs)
    PassManagerStagePluginManager()
    gc.collect()
    gc.freeze()  # children must not copy all of this memory only to find no garbage in it


def circuit(index: int) -> Any:
    """Return the circuit of a task: it measures the last bits of its number."""
    from qiskit import QuantumCircuit

    made = QuantumCircuit(N_BITS)
    for i in range(N_BITS):
        if index >> i & 1:
            made.x(i)
    made.measure_all()
    return made


def task_of(index: int) -> Any:
    """Return a task; `repeat` makes each one different."""
    from qmlphys.execution._task import make_task

    return make_task(circuit(index), DEVICE, shots=SHOTS, repeat=index)


class Ledger:
    """The protocol of the library: written down, then sent; looked up by tag before it is sent again."""

    @staticmethod
    def submit(index: int) -> None:
        from qmlphys.execution import jobs

        jobs.submit(circuit(index), DEVICE, shots=SHOTS, repeat=index)

    @staticmethod
    def recover(index: int) -> str:
        """Do what a user does in a new shell; returns what was found there."""
        from qmlphys.execution import _jobs_remote, jobs

        _jobs_remote.IN_FLIGHT_SECONDS = 0.0  # the killed process is gone and the server idle: nothing is under way
        wanted = task_of(index).id
        before = {job.id: job.state for job in jobs.jobs()}.get(wanted, "absent")
        jobs.sync()
        after = {job.id: job.state for job in jobs.jobs()}.get(wanted, "absent")
        if after == "absent":
            Ledger.submit(index)
        elif after in ("prepared", "sending"):
            jobs.submit_again(wanted)
        return f"{before}, then {'sent' if after == 'done' else after}"

    @staticmethod
    def rows() -> list[dict[str, Any]]:
        """Return what the ledger holds in the end."""
        from qmlphys.bits import spins_to_bits
        from qmlphys.execution import jobs

        jobs.sync()
        found = []
        for job in jobs.jobs():
            bits = None
            if job.state == "done":
                result = jobs.fetch(job.id, timeout=0)
                assert result["spins"].dims[-1] == "site"
                bits = np.unique(spins_to_bits(result["spins"].values.reshape(-1, N_BITS)), axis=0).tolist()
            found.append({"id": job.id, "state": job.state, "bits": bits})
        return found


class SentFirst:
    """The control, wrong on purpose: it writes down what it has sent only after the answer."""

    @staticmethod
    def _book() -> Path:
        return Path(os.environ["QMLPHYS_HOME"], "sent.txt")

    @staticmethod
    def submit(index: int) -> None:
        from qmlphys.execution import _check, _ibm, ledger

        task = task_of(index)
        target, _ = _ibm.target(DEVICE)
        remote_id = _ibm.send(task, _check.check(task, target=target), tag=ledger.new_tag(task.id))
        with SentFirst._book().open("a", encoding="utf-8") as book:
            book.write(f"{task.id} {remote_id}\n")

    @staticmethod
    def _known() -> list[list[str]]:
        book = SentFirst._book()
        return [line.split() for line in book.read_text(encoding="utf-8").splitlines()] if book.exists() else []

    @staticmethod
    def recover(index: int) -> str:
        if task_of(index).id in [line[0] for line in SentFirst._known()]:
            return "sent"
        SentFirst.submit(index)
        return "absent"

    @staticmethod
    def rows() -> list[dict[str, Any]]:
        from qmlphys.execution import _ibm

        found = []
        for job_id, remote_id in SentFirst._known():
            (registers,) = _ibm.outcome(remote_id).registers
            bits = np.unique(registers["meas"], axis=0).tolist()
            found.append({"id": job_id, "state": "done", "bits": bits})
        return found


def violations(wanted: dict[str, int], rows: list[dict[str, Any]], accepted: list[dict[str, Any]]) -> list[str]:
    """Return every way in which a job was lost, sent twice, or came back wrong.

    Parameters
    ----------
    wanted : dict
        The id of each task that was submitted -> its number.
    rows : list of dict
        What the protocol's own book holds: id, state, bits.
    accepted : list of dict
        The jobs that the service accepted, with their tags.
    """
    wrong = []
    held = collections.Counter(row["id"] for row in rows)
    owners = collections.Counter(tag.removeprefix("qmlphys-id-") for job in accepted for tag in job["tags"])
    for job_id, index in wanted.items():
        if held[job_id] != 1:
            wrong.append(f"task {index} is {held[job_id]} times in the book")
        if owners[job_id] != 1:
            wrong.append(f"task {index} was accepted {owners[job_id]} times")
    for row in rows:
        index = wanted.get(row["id"])
        if index is None:
            wrong.append(f"a stranger is in the book: {row['id']}")
        elif row["state"] != "done" or row["bits"] != [[index >> i & 1 for i in range(N_BITS)]]:
            wrong.append(f"task {index} is {row['state']} with the bits {row['bits']}")
    if len(accepted) != sum(owners[job_id] for job_id in wanted):
        wrong.append("a job without the id of a task was accepted")
    return wrong


def forked(function: Callable[[], Any]) -> tuple[int, int]:
    """Run a function in a process of its own; returns its number, and where its answer (JSON) can be read."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reading)
            answer = json.dumps(function()).encode()
            os.write(writing, answer)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writing)
    return pid, reading


def answer_of(function: Callable[[], Any]) -> Any:
    """Run a function in a process of its own to its end."""
    pid, reading = forked(function)
    with os.fdopen(reading, "rb") as stream:
        text = stream.read()
    _, status = os.waitpid(pid, 0)
    if status:
        raise RuntimeError("A process that was not killed failed; its trace stands above.")
    return json.loads(text)


def kill(pid: int, reading: int) -> bool:
    """Kill a process at once; returns whether it was still at work."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    os.close(reading)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)


class Plan:
    """When a submission is killed: all over its length, around its request, or where only luck could save the control.

    Parameters
    ----------
    server : Server
        The loop-back server, in a process of its own.
    rng : numpy.random.Generator
        Draws the moments.
    duration : float
        Seconds that an undisturbed submission lasts.
    """

    def __init__(self, server: Any, rng: np.random.Generator, duration: float) -> None:
        self.server = server
        self.rng = rng
        self.duration = duration

    def _slow(self, **seconds: float) -> None:
        for kind, value in seconds.items():
            self.server.fail(kind.replace("_", "-"), method="POST", path="/jobs", value=value)

    def wait(self, index: int, *, late: bool) -> None:
        """Wait for the moment to kill; `prepare` came before."""
        if late or index % 2 == 0:
            self.server.wait_for_post(20.0)
            time.sleep(self.delay)
        else:
            time.sleep(self.delay)

    def prepare(self, index: int, *, late: bool) -> None:
        """Set up the server for one submission, and draw its moment."""
        fraction, before, after = self.rng.random(3) * [1, SPAN, SPAN]
        self.server.forget_announcements()
        if late:  # accepted, and the answer is on its way: the control has not written it down yet
            self._slow(slow_after=0.4)
            self.delay = 0.1
        elif index % 10 == 4:  # the service loses the request itself
            self._slow(slow_before=2 * SPAN, cut_before=0)
            self.delay = fraction * SPAN
        elif index % 2 == 0:
            self._slow(slow_before=before, slow_after=after)
            self.delay = fraction * (before + after + SPAN / 2)
        else:
            self.delay = fraction * 1.2 * self.duration


def campaign(protocol: Any, server: Any, *, n: int, seed: int, late: bool = False) -> dict[str, Any]:
    """Submit tasks and kill the submissions at random moments until `n` were still at work; recover each; judge."""
    answer_of(_fetch_target)
    n_before = len(server.accepted())
    durations = []
    undisturbed = range(10**6, 10**6 + 3)
    for index in undisturbed:  # they tell how long a submission lasts
        start = time.monotonic()
        answer_of(functools.partial(protocol.submit, index))
        durations.append(time.monotonic() - start)
    plan = Plan(server, np.random.default_rng(seed), float(np.median(durations)))
    stages: collections.Counter[str] = collections.Counter()
    n_killed = n_tasks = 0
    while n_killed < n and n_tasks < 4 * n:
        index = n_tasks
        n_tasks += 1
        plan.prepare(index, late=late)
        pid, reading = forked(functools.partial(protocol.submit, index))
        plan.wait(index, late=late)
        n_killed += kill(pid, reading)
        # What had reached the service takes effect there, also without its sender.
        server.wait_until_idle(jobs=False)
        server.mend()
        stages[answer_of(functools.partial(protocol.recover, index))] += 1
    server.wait_until_idle()
    wanted = {task_of(index).id: index for index in (*range(n_tasks), *undisturbed)}
    rows = answer_of(protocol.rows)
    accepted = server.accepted()[n_before:]
    return {
        "n_tasks": len(wanted),
        "n_killed": n_killed,
        "stages": dict(stages),
        "n_accepted": len(accepted),
        "violations": violations(wanted, rows, accepted),
        "seconds_of_a_submission": plan.duration,
    }


def _fetch_target() -> None:
    """Fetch the device's target once, so that submissions find it kept."""
    from qmlphys.execution import _ibm

    _ibm.target(DEVICE)


def main() -> None:
    """Run the library's protocol, then the control."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, required=True, help="kills of the library's protocol")
    parser.add_argument("--n-control", type=int, default=0, help="kills of the protocol that is wrong on purpose")
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    ibm_server = load("ibm_server")
    with ibm_server.this_machine_only(), ibm_server.running_server(own_process=True, noise=False) as server:
        os.environ.update(server.environment)
        preload()
        n_threads = len(list(Path("/proc/self/task").iterdir())) if Path("/proc/self/task").exists() else 1
        assert n_threads == 1, f"{n_threads} threads would not survive a fork"
        report = {"ledger": campaign(Ledger, server, n=arguments.n, seed=arguments.seed)}
        if arguments.n_control:
            os.environ["QMLPHYS_HOME"] += "-control"
            report["control"] = campaign(SentFirst, server, n=arguments.n_control, seed=arguments.seed, late=True)
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main()
