"""Leases, detached workers, and what is left after any process is killed at any moment.

One long file: all of it shares the zygote, which test modules cannot import from each other.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from qiskit import QuantumCircuit

from qmlphys.execution import _check, _jobs_local, _running, _worker, jobs, ledger
from qmlphys.execution._locks import Process
from qmlphys.execution._task import task_from_bytes
from qmlphys.execution.ledger import Job, Ledger


def ghz(n_qubits: int, angle: float = 0.5) -> QuantumCircuit:
    circuit = QuantumCircuit(n_qubits)
    circuit.ry(angle, 0)
    for qubit in range(1, n_qubits):
        circuit.cx(0, qubit)
    circuit.measure_all()
    return circuit


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """Record which workers would be started; they all seem to be this process, which is alive."""
    calls: list[tuple[int, str]] = []

    def spawn(book: Ledger, row: int, token: str) -> int:
        calls.append((row, token))
        return os.getpid()

    monkeypatch.setattr(_jobs_local, "spawn", spawn)
    return calls


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setenv("QMLPHYS_HOME", str(tmp_path / "home"))
    return Ledger()


def submit(number: int, **arguments: Any) -> str:
    return jobs.submit(ghz(2), "aer", **{"shots": 20, "repeat": number, **arguments})


def age(book: Ledger, row: int, **columns: object) -> None:
    """Change a lease behind the ledger's back."""
    settings = ", ".join(f"{name} = ?" for name in columns)
    with book.reading() as connection:
        connection.execute(f"UPDATE jobs SET {settings} WHERE row = ?", (*columns.values(), row))  # noqa: S608


# --- leases, without any process --------------------------------------------------------------------------------------


def test_each_job_gets_one_worker(book: Ledger, spawned: list[tuple[int, str]]) -> None:
    name = submit(0)
    job = jobs.job(name)
    assert spawned == [(job.row, spawned[0][1])]
    assert job.state == "prepared"
    assert job.attempts == 1
    assert submit(0) == name
    assert _jobs_local.kick(book) == 0
    assert len(spawned) == 1


def test_no_more_workers_than_may_run_at_once(
    book: Ledger, spawned: list[tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_jobs_local, "N_WORKERS", 2)
    names = [submit(number) for number in range(4)]
    assert [row for row, _ in spawned] == [1, 2]
    waiting = jobs.job(names[3])
    assert _jobs_local.is_waiting(book, waiting)
    assert not _jobs_local.is_waiting(book, jobs.job(names[0]))
    with pytest.raises(TimeoutError, match="behind 2 other jobs"):
        jobs.fetch(names[3], timeout=0)
    # The worker that is done first takes the next job; nobody else has to look after it.
    row, token = spawned[0]
    own = Process.current()
    job = _jobs_local.begin(book, row, token, own)
    assert job is not None
    following = _worker.compute(book, job, token, own)
    assert following is not None
    assert following[0] == 3
    assert jobs.job(names[0]).state == "done"
    assert jobs.job(names[2]).worker == own
    assert jobs.job(names[3]).worker is None
    # Cancelling one that is being computed makes room for the last.
    jobs.cancel(names[1])
    assert [row for row, _ in spawned] == [1, 2, 4]


@pytest.mark.parametrize("how", ["expired", "dead", "reused number", "clock set back"])
def test_a_dead_worker_is_replaced_and_cannot_write(book: Ledger, spawned: list[tuple[int, str]], how: str) -> None:
    name = submit(0)
    row, token = spawned[0]
    own = Process.current()
    first = _jobs_local.begin(book, row, token, own)
    assert first is not None
    assert first.state == "sent"
    assert _jobs_local.kick(book) == 0
    if how == "expired":
        age(book, row, lease=time.time() - 1.0)
    elif how == "dead":
        age(book, row, worker_pid=2**22 + 1)
    elif how == "reused number":
        age(book, row, worker_started="1")
    else:
        age(book, row, lease=time.time() + 10 * _jobs_local.LEASE_SECONDS)
    assert _jobs_local.kick(book) == 1
    assert _jobs_local.kick(book) == 0
    (_, old), (_, new) = spawned
    # The old one still lives and has finished: nothing of it is taken.
    assert _jobs_local.lost(book, row, old)
    assert not _jobs_local.renew(book, row, old)
    assert _worker.compute(book, first, old, own) is None
    assert jobs.job(name).state == "sent"
    assert not book.result(row).exists()
    second = _jobs_local.begin(book, row, new, own)
    assert second is not None
    assert second.attempts == 2
    assert _worker.compute(book, second, new, own) is None
    done = jobs.job(name)
    assert done.state == "done"
    assert done.worker is not None or done.lease is None
    assert [event.after for event in book.history(row)] == ["prepared", "sent", "sent", "done"]
    assert list(book.folder.glob("results/*")) == [book.result(row)]
    assert list(book.folder.glob("results/.*")) == []


def test_a_lease_of_another_machine_runs_out_in_its_own_time(book: Ledger, spawned: list[tuple[int, str]]) -> None:
    submit(0)
    row, token = spawned[0]
    elsewhere = dataclasses.replace(Process.current(), machine="elsewhere", pid=2**22 + 1)
    assert _jobs_local.begin(book, row, token, elsewhere) is not None
    assert _jobs_local.kick(book) == 0
    age(book, row, lease=time.time() - 1.0)
    assert _jobs_local.kick(book) == 1


def test_a_starter_that_died_before_its_worker_began(book: Ledger, spawned: list[tuple[int, str]]) -> None:
    submit(0)
    row, old = spawned[0]
    age(book, row, worker_pid=2**22 + 1)
    assert _jobs_local.kick(book) == 1
    assert _jobs_local.begin(book, row, old, Process.current()) is None
    assert _worker.main([str(book.folder), str(row), old]) == 3


def test_a_job_that_kills_its_workers_is_given_up(book: Ledger, spawned: list[tuple[int, str]]) -> None:
    name = submit(0)
    for _ in range(20):
        age(book, 1, worker_pid=2**22 + 1)
        _jobs_local.kick(book)
    job = jobs.job(name)
    assert job.state == "failed"
    assert len(spawned) == _jobs_local.MAX_ATTEMPTS
    with pytest.raises(jobs.JobError, match=r"ended 5 times without a word.*submit_again"):
        jobs.fetch(name)
    assert submit(0) == name  # submitting it anew changes nothing ...
    assert jobs.job(name).state == "failed"
    assert jobs.submit_again(name[:8]) == name  # ... the user's word does
    assert jobs.job(name).state == "prepared"
    assert len(spawned) == _jobs_local.MAX_ATTEMPTS + 1


def test_a_worker_that_cannot_be_started(book: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def spawn(book: Ledger, row: int, token: str) -> int:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(_jobs_local, "spawn", spawn)
    with pytest.raises(jobs.JobError, match="Cannot allocate memory") as caught:
        submit(0)
    job = jobs.jobs()[0]
    assert caught.value.job_id == job.id
    assert (job.state, job.attempts, job.lease) == ("prepared", 0, None)


def test_a_failing_simulation_ends_the_job_with_its_reason(
    book: Ledger, spawned: list[tuple[int, str]], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QISKIT_IBM_TOKEN", "do-not-tell-anyone")

    def execute(*_: object, **__: object) -> xr.Dataset:
        raise RuntimeError("the simulator broke\nwith do-not-tell-anyone")

    monkeypatch.setattr(_running, "execute", execute)
    name = submit(0)
    assert _worker.main([str(book.folder), "1", spawned[0][1]]) == 0
    job = jobs.job(name)
    assert job.state == "failed"
    assert job.error == "the simulator broke with ***"
    assert _jobs_local.kick(book) == 0  # a fault that would come again is not tried again
    said = capfd.readouterr().err
    assert "RuntimeError" in said
    assert "do-not-tell-anyone" not in said
    with pytest.raises(jobs.JobError, match=r"failed: the simulator broke with \*\*\*\. `submit_again"):
        jobs.fetch(name)


def test_no_seed_means_one_from_the_id(book: Ledger, spawned: list[tuple[int, str]]) -> None:
    names = [submit(0), submit(1), submit(0, rng=5)]
    for row, token in spawned[:]:
        _worker.main([str(book.folder), str(row), token])
    results = [jobs.fetch(name, timeout=0) for name in names]
    for name, result in zip(names, results, strict=True):
        task = task_from_bytes(book.task(jobs.job(name).row))
        seed = _worker.seed_of(name) if task.seed is None else 5
        again = _running.execute(task, _check.check(task), seed=seed)
        np.testing.assert_array_equal(result.spins.values, again.spins.values)
    assert not np.array_equal(results[0].spins.values, results[1].spins.values)


# --- real processes ---------------------------------------------------------------------------------------------------

# Everything is imported once; each command is carried out by a forked child, and so are the workers: a start that would
# take seconds takes milliseconds, and many can be killed. The device's service is a file to which one line is appended.
ZYGOTE = r"""
import json, os, signal, sys, time, random
from pathlib import Path
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
import numpy as np
from qiskit import QuantumCircuit
from qmlphys.execution import _check, _ibm, _jobs_local, _readout, _running, _worker, jobs, ledger

def spawn(book, row, token):
    number = os.fork()
    if number:
        return number
    status = 9
    try:
        os.setsid()
        log = os.open(book.log(row), os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        os.dup2(log, 1), os.dup2(log, 2)
        status = _worker.main([str(book.folder), str(row), token])
    finally:
        os._exit(status)

_jobs_local.spawn = spawn
_jobs_local.MAX_ATTEMPTS = 10**6
simulate = _worker._simulate

def slow(book, job, part):
    time.sleep(DELAY)
    digest = simulate(book, job, part)
    time.sleep(DELAY)
    return digest

_worker._simulate = slow
DELAY = BEFORE = AFTER = 0.02

def lines():
    path = Path(os.environ["QMLPHYS_HOME"]).parent / "service"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

def send(task, checked, *, tag):
    time.sleep(BEFORE)
    remote = f"r{random.SystemRandom().randrange(10**9)}"
    path = os.open(Path(os.environ["QMLPHYS_HOME"]).parent / "service", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.write(path, f"{tag} {remote} {task.id}\n".encode())
    os.close(path)
    time.sleep(AFTER)
    return remote

_ibm.send = send
_ibm.find = lambda tag, *, backend: [line[1] for line in lines() if line[0] == tag]
_ibm.target = lambda name: (None, "2026-01-01T00:00:00Z")
_ibm.status = lambda remote: _ibm.RemoteStatus("done")
_ibm.outcome = lambda remote: _ibm.RemoteOutcome([{"meas": np.zeros((20, 2), np.uint8)}], {"calibration_time": "then"})
check = _check.check
_check.check = lambda task, *, target=None: (
    _check.Checked(task.circuits, "[0, 1]", 2, 1, 3, 0.1) if task.backend.startswith("ibm") else check(task))

def circuit(n_qubits=2):
    made = QuantumCircuit(n_qubits)
    made.ry(0.5, 0)
    for qubit in range(1, n_qubits):
        made.cx(0, qubit)
    made.measure_all()
    return made

print("ready", flush=True)
for line in sys.stdin:
    home, code, answer = json.loads(line)
    number = os.fork()
    if number == 0:
        status = 1
        try:
            os.environ["QMLPHYS_HOME"] = home
            os.setpgid(0, 0)
            exec(code)
            status = 0
        except BaseException as error:
            if answer:
                Path(answer).write_text(repr(error))
        finally:
            os._exit(status)
    print(number, flush=True)
"""


class Zygote:
    """Carries out pieces of Python in processes that start at once."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process, self.folder, self.n_run = process, folder, 0
        self.home = folder / "home"
        self.home.mkdir(mode=0o700)

    def start(self, code: str, answer: str = "") -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([str(self.home), code, answer]) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def run(self, code: str) -> None:
        """Run to the end, and fail if it failed."""
        self.n_run += 1
        answer = self.folder / f"answer{self.n_run}"
        number = self.start(f"{code}\nPath({str(answer)!r}).write_text('ok')", str(answer))
        wait(lambda: not alive(number))
        assert answer.exists(), "the process ended without an answer"
        assert answer.read_text() == "ok"


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait(condition: Callable[[], object], seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def preloaded() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", ZYGOTE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


@pytest.fixture
def zygote(preloaded: subprocess.Popen[str], tmp_path: Path) -> Iterator[Zygote]:
    found = Zygote(preloaded, tmp_path)
    yield found
    if (found.home / "jobs.sqlite").exists():  # no worker outlives its test
        for job in Ledger(found.home).select("worker IS NOT NULL"):
            if job.worker is not None and job.worker.alive():
                kill(job.worker.pid)


def judge(book: Ledger) -> list[Job]:
    """Check what must hold at any moment, whoever was killed."""
    with book.reading() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        connection.execute("BEGIN")  # one moment for both tables, while others go on writing
        found = ledger.select(connection, "1")
        lines = connection.execute("SELECT row, before, after FROM history ORDER BY number").fetchall()
        connection.execute("COMMIT")
    for job in found:
        events = [(line["before"], line["after"]) for line in lines if line["row"] == job.row]
        assert events[0][0] is None
        assert [before for before, _ in events[1:]] == [after for _, after in events[:-1]]
        assert events[-1][1] == job.state
        assert [after for _, after in events].count("done") == (job.state == "done")
        if job.state == "done":
            assert _worker._ledger_results.is_whole(book, job)
    return found


@pytest.mark.parametrize("n_kills", [12, pytest.param(150, marks=pytest.mark.slow)])
def test_workers_killed_at_random(zygote: Zygote, n_kills: int) -> None:
    rng = random.Random(11)  # noqa: S311
    book = Ledger(zygote.home)
    n_jobs = n_killed = 0
    while n_killed < n_kills:
        # Two jobs at least are under way, and one worker after the other is killed while it starts, computes or writes.
        while len(book.select("state IN ('prepared', 'sent')")) < 2:
            zygote.run(f"jobs.submit(circuit(), 'statevector', shots=20, repeat={n_jobs})")
            n_jobs += 1
        time.sleep(rng.uniform(0.0, 0.06))
        workers = [job.worker for job in book.select("state IN ('prepared', 'sent') AND worker IS NOT NULL")]
        for worker in workers[:1]:
            if worker is not None and worker.alive():
                kill(worker.pid)
                n_killed += 1
        judge(book)
        zygote.run("jobs.sync()")
    zygote.run("for job in jobs.jobs(): jobs.fetch(job.id, timeout=80)")
    found = judge(book)
    assert [job.state for job in found] == ["done"] * n_jobs
    assert sum(job.attempts for job in found) > n_jobs
    for stray in book.folder.glob("results/*.part"):  # of a worker that was killed between the end and the tidying up
        os.utime(stray, (0, 0))
    zygote.run("jobs.sync()")
    assert sorted(path.name for path in book.folder.glob("results/*")) == sorted(f"{job.row}.nc" for job in found)
    for job in found:
        # The bits are those of a worker that nobody disturbed.
        task = task_from_bytes(book.task(job.row))
        undisturbed = _running.execute(task, _check.check(task), seed=_worker.seed_of(job.id))
        result = _worker._ledger_results.load(book, job)
        np.testing.assert_array_equal(result.spins.values, undisturbed.spins.values)


def state_of(book: Ledger, repeat: int) -> str:
    found = book.select("repeat = ?", (repeat,))
    return found[0].state if found else "absent"


NOTHING_UNDER_WAY = "jobs._jobs_remote.IN_FLIGHT_SECONDS = 0\n"  # the killed sender is gone, and its service with it
SUBMIT_REMOTE = "jobs.submit(circuit(), 'ibm_torino', shots=20, repeat={k})"


@pytest.mark.parametrize("n_kills", [12, pytest.param(200, marks=pytest.mark.slow)])
def test_submitters_killed_at_random(zygote: Zygote, n_kills: int) -> None:
    rng = random.Random(7)  # noqa: S311
    service = zygote.folder / "service"
    book = Ledger(zygote.home)
    stages = ("absent", "prepared", "sending", "sent")
    # Kills before and after everything, while the request is on its way, and after it was accepted: a machine that is
    # busy with other things must not move all of them to one side.
    delays = ("BEFORE = AFTER = 0.05", "BEFORE = 60", "AFTER = 60")
    for k in range(n_kills):
        answer = zygote.folder / f"child{k}"
        number = zygote.start(f"{delays[k % 3]}\n{SUBMIT_REMOTE.format(k=k)}", str(answer))
        stage = rng.randint(0, 2)
        wait(lambda k=k, number=number, s=stage: stages.index(state_of(book, k)) >= s or not alive(number))
        time.sleep(rng.uniform(0.0, 0.08))
        kill(number)
        wait(lambda number=number: not alive(number))
        assert not answer.exists(), answer.read_text()  # killed, or done: nothing else may end it
    left = {job.state for job in judge(book)}
    assert left <= {"prepared", "sending", "sent"}
    zygote.run("jobs.sync()")
    listed = [line.split() for line in service.read_text().splitlines()]
    remote = {tag: name for tag, name, _ in listed}
    for job in judge(book):
        # What the service accepted is known with its id; what is still `sending` surely is not there.
        assert job.remote_id == remote.get(job.tag)
        assert (job.state == "sending") == (job.tag not in remote and len(book.history(job.row)) > 1)
    # The user submits everything again: what was sent is not sent twice, what was only written down is sent now.
    zygote.run(f"for k in range({n_kills}): " + SUBMIT_REMOTE.format(k="k"))
    for job in judge(book):
        if job.state == "sending":  # a job that may have been accepted goes only by the user's own word
            zygote.run(f"{NOTHING_UNDER_WAY}jobs.submit_again({job.id!r})")
    zygote.run("jobs.sync()")
    found = judge(book)
    assert [job.state for job in found] == ["done"] * n_kills
    sent = [line.split()[2] for line in service.read_text().splitlines()]
    assert sorted(sent) == sorted(job.id for job in found)  # each exactly once
    assert "sending" in left  # the kills did fall into the sending


def test_many_processes_on_one_home(zygote: Zygote) -> None:
    code = (
        "both = ('statevector', 'ibm_torino')\n"
        "names = [jobs.submit(circuit(), b, shots=20, repeat=k) for k in range(3) for b in both]\n"
        "jobs.sync()\n"
        "for name in names: jobs.fetch(name, timeout=80)"
    )
    answers = [zygote.folder / f"many{number}" for number in range(6)]
    numbers = [zygote.start(f"{code}\nPath({str(a)!r}).write_text('ok')", str(a)) for a in answers]
    wait(lambda: not any(alive(number) for number in numbers))
    assert [answer.read_text() for answer in answers] == ["ok"] * 6
    found = judge(Ledger(zygote.home))
    assert [job.state for job in found] == ["done"] * 6
    assert len((zygote.folder / "service").read_text().splitlines()) == 3
    assert [job.attempts for job in found if job.kind == "local"] == [1, 1, 1]


def test_sync_leaves_a_living_sender_alone(zygote: Zygote) -> None:
    number = zygote.start("BEFORE = 60\n" + SUBMIT_REMOTE.format(k=0))
    book = Ledger(zygote.home)
    wait(lambda: [job.state for job in book.select()] == ["sending"])
    before = book.history(1)
    zygote.run("assert [job.state for job in jobs.sync()] == ['sending']")
    zygote.run("jobs.submit(circuit(), 'ibm_torino', shots=20, repeat=0)")
    zygote.run(
        "try:\n    jobs.submit_again(jobs.jobs()[0].id)\nexcept jobs.JobError as error:\n"
        "    assert 'being sent by another process' in str(error), error\nelse:\n    raise AssertionError"
    )
    zygote.run(
        "try:\n    jobs.fetch(jobs.jobs()[0].id, timeout=0.1)\nexcept TimeoutError as error:\n"
        "    assert 'it is sending' in str(error), error\nelse:\n    raise AssertionError"
    )
    assert book.history(1) == before
    kill(number)
    wait(lambda: not alive(number))
    zygote.run("assert [job.state for job in jobs.sync()] == ['sending']")  # not listed: it stays
    zygote.run(NOTHING_UNDER_WAY + "jobs.submit_again(jobs.jobs()[0].id)")
    assert [job.state for job in judge(book)] == ["sent"]
    assert len(book.tags(1)) == 2


SHELL = """
import sys
from qiskit import QuantumCircuit
from qmlphys.execution import jobs
circuit = QuantumCircuit(2)
circuit.ry(0.5, 0)
circuit.cx(0, 1)
circuit.measure_all()
print(jobs.submit(circuit, sys.argv[1], shots=20), flush=True)
input()
"""


def test_a_job_outlives_its_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QMLPHYS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("QISKIT_IBM_TOKEN", "not-for-simulators")
    shell = subprocess.Popen(
        [sys.executable, "-c", SHELL, "statevector"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert shell.stdin is not None
    assert shell.stdout is not None
    name = shell.stdout.readline().strip()
    worker = jobs.job(name).worker
    os.killpg(shell.pid, signal.SIGINT)  # Ctrl-C, then the window is closed
    os.killpg(shell.pid, signal.SIGKILL)
    shell.communicate()
    assert worker is not None
    assert worker.alive()
    assert os.getsid(worker.pid) != shell.pid
    environment = Path(f"/proc/{worker.pid}/environ")
    if environment.exists():
        assert b"not-for-simulators" not in environment.read_bytes()
        handles = [Path(f"/proc/{worker.pid}/fd/{number}").readlink() for number in range(3)]
        assert handles == [
            Path("/dev/null"),
            tmp_path / "home" / "logs" / "1.log",
            tmp_path / "home" / "logs" / "1.log",
        ]
    result = jobs.fetch(name, timeout=90)
    assert result.sizes["draw"] == 20
    assert jobs.job(name).attempts == 1
    book = Ledger()
    wait(lambda: not worker.alive())
    assert "ends: done" in book.log(1).read_text()
    assert (book.log(1).stat().st_mode & 0o777) == 0o600


def test_a_cancelled_simulation_ends_by_itself(zygote: Zygote) -> None:
    zygote.run("DELAY = 60\n_worker.WATCH_SECONDS = 0.05\njobs.submit(circuit(), 'statevector', shots=20)")
    book = Ledger(zygote.home)
    wait(lambda: book.get(1).state == "sent")
    worker = book.get(1).worker
    assert worker is not None
    zygote.run("assert jobs.cancel(jobs.jobs()[0].id[:6]).state == 'cancelled'")
    wait(lambda: not worker.alive())
    assert [event.after for event in book.history(1)] == ["prepared", "sent", "cancelled"]
    zygote.run("jobs.submit_again(jobs.jobs()[0].id)\njobs.fetch(jobs.jobs()[0].id, timeout=80)")
    assert book.get(1).state == "done"


def test_the_heartbeat_renews_the_lease(zygote: Zygote) -> None:
    zygote.run(
        "DELAY = 60\n_worker.WATCH_SECONDS = 0.02\n_jobs_local.BEAT_SECONDS = 0.05\n"
        "jobs.submit(circuit(), 'statevector', shots=20)"
    )
    book = Ledger(zygote.home)
    wait(lambda: book.get(1).state == "sent")
    first = book.get(1).lease
    assert first is not None
    wait(lambda: (book.get(1).lease or 0.0) > first + 0.2)
