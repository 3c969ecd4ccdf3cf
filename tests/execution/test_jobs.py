"""What users do with jobs: submit, fetch, cancel, synchronise, submit again, restore.

One long file: all of it shares the stand-in for the service, which test modules cannot import from each other.
"""

from __future__ import annotations

import dataclasses
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit

from qmlphys import snapshots
from qmlphys.execution import _check, _ibm, _jobs_local, _jobs_remote, _ledger_results, _worker, jobs, run
from qmlphys.execution._locks import hold
from qmlphys.execution._task import Options
from qmlphys.execution.jobs import JobError
from qmlphys.execution.ledger import Ledger


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """Return a fresh ledger whose workers compute at once, in this process."""
    monkeypatch.setenv("QMLPHYS_HOME", str(tmp_path / "home"))

    def spawn(book: Ledger, row: int, token: str) -> int:
        _worker.main([str(book.folder), str(row), token])
        return os.getpid()

    monkeypatch.setattr(_jobs_local, "spawn", spawn)
    monkeypatch.setattr(_worker.os, "umask", lambda _: 0)
    return Ledger()


class Service:
    """The device's service as far as the ledger sees it, with faults on demand."""

    def __init__(self) -> None:
        self.accepted: list[tuple[str, str]] = []  # tag, remote id
        self.before: Exception | BaseException | None = None  # raised before a job is accepted
        self.after: Exception | BaseException | None = None  # raised when it has been accepted
        self.states: dict[str, _ibm.RemoteStatus] = {}
        self.down: Exception | None = None
        self.copies = 1
        self.cancelled: list[str] = []
        self.on_send: Callable[[], None] = lambda: None

    def send(self, task: Any, checked: Any, *, tag: str) -> str:
        self.on_send()
        if self.before is not None:
            raise self.before
        for _ in range(self.copies):
            self.accepted.append((tag, f"remote{len(self.accepted)}"))
        if self.after is not None:
            raise self.after
        return self.accepted[-1][1]

    def find(self, tag: str, *, backend: str) -> list[str]:
        self._answer()
        return [remote for other, remote in self.accepted if other == tag]

    def status(self, remote_id: str) -> _ibm.RemoteStatus:
        self._answer()
        return self.states.get(remote_id, _ibm.RemoteStatus("queued"))

    def outcome(self, remote_id: str) -> _ibm.RemoteOutcome:
        self._answer()
        bits = np.array([[1, 0]] * 20, dtype=np.uint8)
        return _ibm.RemoteOutcome([{"meas": bits}], {"calibration_time": "2026-02-03T04:05:06Z"})

    def cancel(self, remote_id: str) -> None:
        self._answer()
        self.cancelled.append(remote_id)

    def _answer(self) -> None:
        if self.down is not None:
            raise self.down

    def done(self) -> None:
        self.states = {remote: _ibm.RemoteStatus("done") for _, remote in self.accepted}


@pytest.fixture
def service(book: Ledger, monkeypatch: pytest.MonkeyPatch) -> Service:
    found = Service()
    for name in ("send", "find", "status", "outcome", "cancel"):
        monkeypatch.setattr(_ibm, name, getattr(found, name))
    monkeypatch.setattr(_ibm, "target", lambda name: (name, "2026-01-01T00:00:00Z"))
    monkeypatch.setattr(_ibm, "least_busy", lambda n_qubits: "ibm_quiet")
    local = _check.check

    def check(task: Any, *, target: Any = None) -> _check.Checked:
        if target is None:
            return local(task)
        if task.n_qubits > 100:
            raise _check.CircuitRefused("The circuit has too many qubits.")
        return _check.Checked(task.circuits, "[4, 5]", 2, 1, 3, 0.5)

    monkeypatch.setattr(_check, "check", check)
    return found


def remote(bell: QuantumCircuit, repeat: int = 0, backend: str = "ibm_torino") -> str:
    return jobs.submit(bell, backend, shots=20, repeat=repeat)


# --- jobs on this machine ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["statevector", "aer"])
def test_a_job_gives_what_run_gives(book: Ledger, bell: QuantumCircuit, backend: str) -> None:
    arguments: dict[str, Any] = {
        "shots": 50,
        "rng": 3,
        "values": [0.25],
        "name": "field",
        "units": "J",
        "model": "bell",
    }
    name = jobs.submit(bell, backend, **arguments)
    result = jobs.fetch(name[:10])
    expected = run(bell, backend, **arguments)
    np.testing.assert_array_equal(result.spins.values, expected.spins.values)
    assert result.attrs == expected.attrs
    assert result.parameter.attrs == {"name": "field", "units": "J"}
    snapshots.check(result)
    job = jobs.job(name)
    assert (job.state, job.shots, job.backend, job.n_qubits, job.n_two_qubit_gates) == ("done", 50, backend, 2, 1)
    assert [event.after for event in jobs.history(name)] == ["prepared", "sent", "done"]


def test_a_sweep_is_one_job(book: Ledger, swept: QuantumCircuit) -> None:
    angles = [0.0, np.pi / 2, np.pi]
    name = jobs.submit(swept, "statevector", shots=400, rng=1, parameter_values=angles)
    result = jobs.fetch(name)
    assert len(jobs.jobs()) == 1
    np.testing.assert_array_equal(result.parameter.values, angles)
    ones = (result.spins.values[:, 0, :, 0] == -1).mean(axis=1)
    assert ones[0] == 0.0
    assert ones[2] == 1.0
    assert abs(ones[1] - 0.5) < 5 * 0.5 / np.sqrt(400)  # five standard errors of a fair coin


def test_exact_probabilities_are_kept_too(book: Ledger, swept: QuantumCircuit) -> None:
    angles = [0.3, 1.2]
    name = jobs.submit(swept, "statevector", shots=None, parameter_values=angles, values=[1.0, 2.0])
    result = jobs.fetch(name)
    again = jobs.fetch(name)
    assert again.identical(result)
    chance = np.sin(np.array(angles) / 2) ** 2  # |<1|RY(angle)|0>|^2
    zero = np.zeros(2)
    np.testing.assert_allclose(result.probability, np.stack([1 - chance, zero, zero, chance], axis=1), atol=1e-15)
    assert result.outcome.dtype == np.int64
    assert result.attrs["task"] == name


def test_probabilities_that_are_none_are_refused(book: Ledger, swept: QuantumCircuit, tmp_path: Path) -> None:
    good = run(swept, "statevector", shots=None, parameter_values=[0.3])
    _ledger_results.check_probabilities(good)
    path = tmp_path / "p.nc"
    _ledger_results.save(good, path)
    assert _ledger_results._load_probabilities(path).identical(good)
    for change in ({"probability": good.probability * 2}, {"probability": good.probability - 0.1}):
        with pytest.raises(snapshots.SnapshotError, match="sum 1"):
            _ledger_results.check_probabilities(good.assign(change))
    with pytest.raises(snapshots.SnapshotError, match="float64"):
        _ledger_results.check_probabilities(good.assign(probability=good.probability.astype(np.float32)))
    snapshot = run(swept, "statevector", shots=3, parameter_values=[0.3])
    _ledger_results.save(snapshot, path)
    with pytest.raises(snapshots.SnapshotError, match="must hold `probability`"):
        _ledger_results._load_probabilities(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(snapshots.SnapshotError, match="cannot be read"):
        _ledger_results._load_probabilities(path)


def test_the_same_task_is_one_job(book: Ledger, bell: QuantumCircuit) -> None:
    name = jobs.submit(bell, "aer", shots=10)
    assert jobs.submit(bell.copy("another name"), "aer", shots=10) == name
    others = [
        jobs.submit(bell, "aer", shots=10, repeat=1),
        jobs.submit(bell, "aer", shots=11),
        jobs.submit(bell, "aer", shots=10, rng=1),
        jobs.submit(bell, "statevector", shots=10),
        jobs.submit(bell, "aer", shots=10, options=Options(precision="single")),
    ]
    assert len({name, *others}) == 6
    assert [job.id for job in jobs.jobs()] == [name, *others][::-1]  # the newest first
    assert {job.attempts for job in jobs.jobs()} == {1}


@pytest.mark.parametrize("n_shots", [0, -1, None])
def test_a_refused_task_leaves_nothing(book: Ledger, bell: QuantumCircuit, n_shots: int | None) -> None:
    with pytest.raises(ValueError, match="shots"):
        jobs.submit(bell, "aer", shots=n_shots)
    with pytest.raises(ValueError, match="nowhere"):
        jobs.submit(bell, "nowhere", shots=1)
    wide = QuantumCircuit(60, 1)
    wide.h(range(60))
    wide.measure(0, 0)
    with pytest.raises(_check.CircuitRefused):
        jobs.submit(wide, "aer", shots=1)
    assert jobs.jobs() == []


@pytest.mark.parametrize("timeout", [-1.0, float("nan"), "soon", -0.001])
def test_timeouts_are_judged(book: Ledger, timeout: Any) -> None:
    with pytest.raises(ValueError, match="timeout"):
        jobs.fetch("abcd", timeout=timeout)


@pytest.mark.parametrize("function", [jobs.fetch, jobs.cancel, jobs.job, jobs.history, jobs.submit_again, jobs.restore])
def test_ids_are_never_paths(book: Ledger, function: Callable[[str], Any]) -> None:
    for name in ("../../etc/passwd", "results/1.nc", "", "abc", "*"):
        with pytest.raises(ValueError, match="4 to 64 hexadecimal digits"):
            function(name)
    with pytest.raises(ValueError, match="there is no such job"):
        function("abcd")


def test_a_job_that_is_not_done_says_so(book: Ledger, bell: QuantumCircuit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_jobs_local, "spawn", lambda book, row, token: os.getpid())
    name = jobs.submit(bell, "aer", shots=10)
    for timeout in (0, 0.05):
        with pytest.raises(
            TimeoutError, match=rf"Job {name[:12]} is not done after {timeout:g} s: it is prepared.*goes on"
        ):
            jobs.fetch(name, timeout=timeout)
    assert jobs.cancel(name).state == "cancelled"
    assert jobs.cancel(name).state == "cancelled"
    assert jobs.submit(bell, "aer", shots=10) == name
    with pytest.raises(JobError, match=r"was cancelled.*submit_again") as caught:
        jobs.fetch(name)
    assert (caught.value.job_id, caught.value.state) == (name, "cancelled")
    with pytest.raises(JobError, match="cancelled, so it has no result to restore"):
        jobs.restore(name)


def test_a_done_job_is_neither_cancelled_nor_submitted_again(book: Ledger, bell: QuantumCircuit) -> None:
    name = jobs.submit(bell, "aer", shots=10)
    with pytest.raises(JobError, match="cannot be cancelled, for it is done"):
        jobs.cancel(name)
    with pytest.raises(JobError, match="is done, so it cannot be submitted again"):
        jobs.submit_again(name)


@pytest.mark.parametrize("damage", ["missing", "truncated", "one bit", "another job's"])
@pytest.mark.parametrize("exact", [False, True])
def test_a_lost_result_is_computed_again(book: Ledger, bell: QuantumCircuit, damage: str, exact: bool) -> None:
    names = [jobs.submit(bell, "statevector", shots=None if exact else 10, repeat=repeat) for repeat in range(2)]
    first = jobs.fetch(names[0])
    path = book.result(1)
    content = bytearray(path.read_bytes())
    assert jobs.restore(names[0]).digest == jobs.job(names[0]).digest  # whole: nothing happens
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(content[:-100])
    elif damage == "one bit":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.write_bytes(book.result(2).read_bytes())
    with pytest.raises(JobError, match=rf"(missing|damaged).*qmlphys jobs restore {names[0][:12]}` computes it again"):
        jobs.fetch(names[0])
    assert jobs.restore(names[0]).state == "done"
    assert jobs.fetch(names[0]).identical(first)
    assert [event.why for event in jobs.history(names[0])].count("computed") == 2


# --- jobs on a device -------------------------------------------------------------------------------------------------


def test_everything_is_written_before_anything_is_sent(service: Service, book: Ledger, bell: QuantumCircuit) -> None:
    seen: list[Any] = []

    def look() -> None:
        with book.reading() as connection:
            line = dict(connection.execute("SELECT * FROM jobs").fetchone())
        seen.append((line["state"], line["tag"], line["backend"], line["remote_id"], line["layout"], line["task"]))

    service.on_send = look
    name = remote(bell)
    job = jobs.job(name)
    (state, tag, backend, remote_id, layout, task) = seen[0]
    assert (state, backend, remote_id, layout) == ("sending", "ibm_torino", None, "[4, 5]")
    assert service.accepted == [(tag, "remote0")]
    assert task == book.task(job.row)
    assert (job.state, job.remote_id, job.tag) == ("sent", "remote0", tag)
    assert (job.device_seconds, job.calibration) == (0.5, "2026-01-01T00:00:00Z")
    assert remote(bell) == name
    assert len(service.accepted) == 1


def test_the_least_busy_device_has_a_name(service: Service, bell: QuantumCircuit) -> None:
    name = remote(bell, backend="ibm")
    assert jobs.job(name).backend == "ibm_quiet"
    assert remote(bell, backend="ibm_quiet") == name


def test_a_device_job_is_followed_and_kept(service: Service, book: Ledger, bell: QuantumCircuit) -> None:
    name = remote(bell)
    with pytest.raises(TimeoutError, match="it is sent to ibm_torino"):
        jobs.fetch(name, timeout=0)
    assert [job.state for job in jobs.sync()] == ["sent"]
    service.done()
    result = jobs.fetch(name)
    np.testing.assert_array_equal(result.spins.values[0, 0], [[-1, 1]] * 20)
    attrs = result.attrs
    assert (attrs["layout"], attrs["remote_id"], attrs["task"]) == ("[4, 5]", "remote0", name)
    assert (attrs["calibration_time"], attrs["translated_for"]) == ("2026-02-03T04:05:06Z", "2026-01-01T00:00:00Z")
    service.down = RuntimeError("the service is closed for ever")
    assert jobs.fetch(name).identical(result)  # kept here
    assert jobs.sync() == []
    book.result(1).unlink()
    with pytest.raises(JobError, match=r"missing.*fetches it from the service again"):
        jobs.fetch(name)
    with pytest.raises(JobError, match="closed for ever"):
        jobs.restore(name)
    service.down = None
    assert jobs.fetch(name).identical(result)  # the restoring goes on where it stood
    assert len(service.accepted) == 1


def test_a_refused_circuit_costs_nothing(service: Service, book: Ledger) -> None:
    wide = QuantumCircuit(101, 1)
    wide.measure(0, 0)
    with pytest.raises(_check.CircuitRefused):
        jobs.submit(wide, "ibm_torino", shots=20)
    assert jobs.jobs() == []
    assert service.accepted == []


def test_a_job_that_was_surely_not_accepted(service: Service, bell: QuantumCircuit) -> None:
    service.before = _ibm.NotSent("503, try later")
    with pytest.raises(JobError, match=r"was not sent \(503, try later\).*submit it again") as caught:
        remote(bell)
    job = jobs.job(caught.value.job_id)
    assert (job.state, job.error) == ("prepared", "503, try later")
    with pytest.raises(JobError, match="was never sent"):
        jobs.fetch(job.id)
    assert [found.state for found in jobs.sync()] == ["prepared"]  # only the user sends
    service.before = None
    assert remote(bell) == job.id
    assert jobs.job(job.id).state == "sent"
    assert len(service.accepted) == 1


def test_a_lost_answer_is_found_at_once(service: Service, bell: QuantumCircuit) -> None:
    service.after = _ibm.MaybeSent("connection cut")
    name = remote(bell)
    job = jobs.job(name)
    assert (job.state, job.remote_id, job.error) == ("sent", "remote0", None)
    assert [event.after for event in jobs.history(name)] == ["prepared", "sending", "sending", "sent"]


@pytest.mark.parametrize("fault", [_ibm.MaybeSent("connection cut"), RuntimeError("a surprise"), KeyboardInterrupt()])
def test_a_job_that_may_have_been_sent(
    service: Service, bell: QuantumCircuit, fault: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.before = fault
    expected = KeyboardInterrupt if isinstance(fault, KeyboardInterrupt) else JobError
    with pytest.raises(expected):
        remote(bell)
    name = jobs.jobs()[0].id
    assert jobs.job(name).state == "sending"
    service.before = None
    assert remote(bell) == name  # submitting it anew is not the word that sends it twice
    assert [job.state for job in jobs.sync()] == ["sending"]
    assert service.accepted == []
    with pytest.raises(JobError, match=r"may never have arrived.*submit_again"):
        jobs.fetch(name, timeout=5)
    with pytest.raises(JobError, match="cannot be cancelled"):
        jobs.cancel(name)
    old = jobs.job(name).tag
    with pytest.raises(JobError, match=r"was sent \d s ago and may still be under way: wait \d+ s"):
        jobs.submit_again(name)
    assert service.accepted == []
    assert jobs.job(name).tag == old
    monkeypatch.setattr(_jobs_remote, "IN_FLIGHT_SECONDS", 0.0)  # as if the minute had passed
    assert jobs.submit_again(name[:6]) == name
    job = jobs.job(name)
    assert (job.state, job.remote_id) == ("sent", "remote0")
    assert service.accepted == [(job.tag, "remote0")]
    assert job.tag != old
    with pytest.raises(JobError, match="is sent, so it cannot be submitted again"):
        jobs.submit_again(name)


def test_a_job_that_turns_up_late_is_not_sent_again(
    service: Service, book: Ledger, bell: QuantumCircuit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_jobs_remote, "IN_FLIGHT_SECONDS", 0.0)
    service.before = _ibm.MaybeSent("connection cut")
    with pytest.raises(JobError):
        remote(bell)
    job = jobs.jobs()[0]
    service.before = None
    service.accepted.append((job.tag, "late"))
    jobs.submit_again(job.id)
    assert jobs.job(job.id).remote_id == "late"
    assert len(service.accepted) == 1
    # Also one of an earlier tag, while the newest is still on its way.
    service.before = _ibm.MaybeSent("cut again")
    with pytest.raises(JobError):
        remote(bell, repeat=1)
    second = jobs.jobs()[0]
    with pytest.raises(JobError):
        jobs.submit_again(second.id)
    assert jobs.job(second.id).tag != second.tag
    service.accepted.append((second.tag, "very late"))
    assert [found.state for found in jobs.sync()] == ["sent", "sent"]
    assert jobs.job(second.id).remote_id == "very late"


def test_a_job_that_was_accepted_twice_is_told(
    service: Service, book: Ledger, bell: QuantumCircuit, caplog: pytest.LogCaptureFixture
) -> None:
    service.copies, service.after = 2, _ibm.MaybeSent("connection cut")
    name = remote(bell)
    job = jobs.job(name)
    assert (job.state, job.remote_id) == ("sent", "remote0")
    assert book.remotes(job.row) == ["remote0", "remote1"]
    assert job.note is not None
    assert "accepted this job 2 times: remote0 is kept, cancel remote1" in job.note
    assert job.note in caplog.text


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_job_that_ended_badly_runs_again_by_the_users_word(
    service: Service, bell: QuantumCircuit, state: Any
) -> None:
    name = remote(bell)
    service.states["remote0"] = _ibm.RemoteStatus(state, "error 1517" if state == "failed" else "")
    with pytest.raises(JobError, match="error 1517" if state == "failed" else "was cancelled"):
        jobs.fetch(name)
    assert remote(bell) == name
    assert jobs.job(name).state == state
    assert len(service.accepted) == 1
    jobs.submit_again(name)
    assert [found for _, found in service.accepted] == ["remote0", "remote1"]
    assert jobs.job(name).remote_id == "remote1"
    service.done()
    assert jobs.fetch(name).attrs["remote_id"] == "remote1"


def test_cancelling_on_a_device(service: Service, bell: QuantumCircuit, monkeypatch: pytest.MonkeyPatch) -> None:
    name = remote(bell)
    assert jobs.cancel(name).state == "cancelled"
    assert service.cancelled == ["remote0"]
    late = remote(bell, repeat=1)

    def cancel(remote_id: str) -> None:
        raise RuntimeError("has ended already")

    monkeypatch.setattr(_ibm, "cancel", cancel)
    with pytest.raises(JobError, match=r"could not be cancelled.*has ended already"):
        jobs.cancel(late)
    service.done()
    assert jobs.cancel(late).state == "done"  # its result was there first, and is kept
    assert jobs.fetch(late).sizes["draw"] == 20


def test_a_service_out_of_reach_hinders_nothing_else(
    service: Service, bell: QuantumCircuit, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, local = remote(bell), jobs.submit(bell, "aer", shots=10)
    again = dataclasses.replace(jobs.job(local))
    service.down = RuntimeError("no route to host")
    with pytest.raises(JobError, match="no route to host"):
        jobs.sync()
    assert jobs.job(local) == again
    monkeypatch.setattr(jobs, "_FIRST_POLL", {"ibm": 0.001, "local": 0.001})
    n_asked = 0

    def status(remote_id: str) -> _ibm.RemoteStatus:
        nonlocal n_asked
        n_asked += 1
        if n_asked % 3:
            raise RuntimeError("a short fault")
        return _ibm.RemoteStatus("done" if n_asked > 5 else "running")

    monkeypatch.setattr(_ibm, "status", status)
    service.down = None
    assert jobs.fetch(device).sizes["draw"] == 20  # faults that pass do not end the waiting
    assert n_asked == 6
    lasting = remote(bell, repeat=1)
    service.down = RuntimeError("a lasting fault")
    monkeypatch.setattr(_ibm, "status", service.status)
    with pytest.raises(JobError, match="a lasting fault"):
        jobs.fetch(lasting)


def test_two_fetchers_keep_one_result(service: Service, book: Ledger, bell: QuantumCircuit) -> None:
    name = remote(bell)
    service.done()
    sent = jobs.job(name)
    _jobs_remote.advance(book, sent)
    digest = jobs.job(name).digest
    _jobs_remote.advance(book, sent)  # the second one comes too late, and replaces nothing
    assert jobs.job(name).digest == digest
    assert [event.after for event in jobs.history(name)].count("done") == 1
    assert sorted(path.name for path in (book.folder / "results").iterdir()) == ["1.nc"]


def test_one_synchronises_at_a_time(book: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def impatient(path: Path, *, what: str) -> Any:
        return hold(path, what=what, timeout=0.05)

    monkeypatch.setattr(jobs._locks, "hold", impatient)
    with hold(book.folder / "locks" / "sync.lock", what="another one"), pytest.raises(TimeoutError, match="brought up"):
        jobs.sync()
    assert jobs.sync() == []


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_no_token_reaches_the_home_folder_or_a_message(
    service: Service,
    book: Ledger,
    bell: QuantumCircuit,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    secret = "Z7-planted+token/0123456789"  # noqa: S105 (made up)
    monkeypatch.setenv("QISKIT_IBM_TOKEN", secret)
    text = f"POST refused, header Authorization: apikey {secret} and again {secret}"
    told: list[str] = []

    def expect(action: Callable[[], Any]) -> None:
        with pytest.raises(JobError) as caught:
            action()
        told.append("".join(traceback.format_exception(caught.value)))
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None  # nothing leads to the client's own exception

    for repeat, fault in enumerate((_ibm.NotSent(text), _ibm.MaybeSent(text), RuntimeError(text))):
        service.before = fault
        expect(lambda repeat=repeat: remote(bell, repeat=repeat))
    service.before = None
    name = remote(bell, repeat=9)
    service.down = RuntimeError(text)
    for action in (jobs.sync, lambda: jobs.fetch(name, timeout=0), lambda: jobs.cancel(name)):
        expect(action)
    service.down = None
    service.states["remote0"] = _ibm.RemoteStatus("failed", text)
    expect(lambda: jobs.fetch(name))
    told += [str(job) for job in jobs.jobs()] + [str(jobs.history(job.id)) for job in jobs.jobs()] + [caplog.text]
    assert len(told) > 10
    assert not any(secret in line for line in told)
    assert any("***" in line for line in told)
    files = [path for path in book.folder.rglob("*") if path.is_file()]
    assert len(files) > 3
    assert not any(secret.encode() in path.read_bytes() for path in files)
    assert book.path.read_bytes().count(b"***") > 0
