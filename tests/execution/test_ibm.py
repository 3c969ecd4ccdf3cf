"""The IBM client against the loop-back server: results, exactly one job, retries, secrets, the kept target.

One long file: all of it shares the server and its fixtures, which test modules cannot import from each other.
"""

from __future__ import annotations

import datetime
import functools
import importlib.util
import json
import logging
import socket
import ssl
import stat
import threading
import traceback
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from qiskit import ClassicalRegister, QuantumCircuit, transpile
from qiskit.circuit import Parameter

from qmlphys.execution import _ibm, _ibm_errors, _ibm_following, _ibm_service, _ibm_target, _ibm_transport

pytest.importorskip("qiskit_ibm_runtime", reason="needs the extra ibm")
pytest.importorskip("qiskit_aer", reason="the loop-back server runs its devices with Aer")


def _load(name: str) -> Any:
    """Load a file beside this one; tests are no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ibm_server = _load("ibm_server")
KEY, INSTANCE = ibm_server.KEY, ibm_server.INSTANCE
ACCOUNT = ("QISKIT_IBM_TOKEN", "QISKIT_IBM_INSTANCE", "QISKIT_IBM_URL", "QISKIT_IBM_CHANNEL", "IAM_URL")
JOBS = {"method": "POST", "path": "/jobs"}


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Any]:
    with ibm_server.running_server(noise=False) as server:
        yield server


@pytest.fixture(autouse=True)
def refused() -> Iterator[list[str]]:
    """Nothing here may leave this machine."""
    with ibm_server.this_machine_only() as refused:
        yield refused


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own data folder, no saved account, no long pauses."""
    monkeypatch.setenv("QMLPHYS_HOME", str(tmp_path / "home"))
    management = pytest.importorskip("qiskit_ibm_runtime.accounts.management")
    monkeypatch.setattr(management, "_DEFAULT_ACCOUNT_CONFIG_JSON_FILE", str(tmp_path / "qiskit" / "qiskit-ibm.json"))
    monkeypatch.setattr(_ibm_transport, "BACKOFF", 0.001)
    for name in (*ACCOUNT, "QISKIT_FUNCTIONS_EXPERIMENTAL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.fixture
def server(shared_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The server, whole, and the environment of its clients."""
    for name, value in shared_server.environment.items():
        monkeypatch.setenv(name, value)
    yield shared_server
    shared_server.mend()
    shared_server.hold(False)
    shared_server.set_usage(limit_reached=False)
    for name in ("ibm_manila", "ibm_torino"):
        shared_server.set_device(name, status="active", queue=0)
    shared_server.wait_until_idle()


_N_TAGS = iter(range(10**6))


def new_tag() -> str:
    return f"qmlphys-test-{next(_N_TAGS):08x}"


@functools.cache
def target_of(device: str) -> Any:
    """Return a device's target, fetched once; tests of how it is kept ask for it themselves."""
    return _ibm.target(device)[0]


def job_for(
    circuits: QuantumCircuit | list[QuantumCircuit], *, values: Any = None, shots: int = 64, device: str = "ibm_manila"
) -> tuple[Any, Any]:
    """Return what `send` reads of a task and of its translation."""
    several = circuits if isinstance(circuits, list) else [circuits]
    isa = transpile(several, target=target_of(device), optimization_level=1, seed_transpiler=1)
    parameter_values = None if values is None else np.asarray(values, dtype=np.float64)
    task = types.SimpleNamespace(
        id="ab" * 32, backend=device, shots=shots, parameter_values=parameter_values, circuits=tuple(several)
    )
    return task, types.SimpleNamespace(isa=tuple(isa), layout="[0, 1]")


def flip() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.x(0)
    circuit.measure_all()
    return circuit


def n_posts(server: Any) -> int:
    return len(server.requests("POST", "/jobs"))


def with_tag(server: Any, tag: str) -> list[str]:
    return [job["id"] for job in server.accepted() if tag in job["tags"]]


# --- results ---------------------------------------------------------------------------------------------------------


def test_bits_come_back_by_register_and_scan_point(server: Any) -> None:
    """Exact reference: an ideal device and angles of 0 and pi leave nothing to chance."""
    angle = [Parameter("z_first"), Parameter("a_second")]  # circuit.parameters sorts by name: a_second, z_first
    circuit = QuantumCircuit(3)
    circuit.add_register(ClassicalRegister(2, "low"), ClassicalRegister(1, "high"))
    circuit.ry(angle[0], 0)
    circuit.ry(angle[1], 1)
    circuit.x(2)
    circuit.measure([0, 1, 2], [0, 1, 2])
    values = np.pi * np.array([[0, 0], [0, 1], [1, 0], [1, 1]])  # columns: a_second, z_first
    before = n_posts(server)
    tag = new_tag()
    remote_id = _ibm.send(*job_for(circuit, values=values, shots=20), tag=tag)
    server.wait_until_idle()
    found = _ibm.outcome(remote_id)
    assert n_posts(server) == before + 1
    assert len(found.registers) == 4
    for row, registers in zip(values, found.registers, strict=True):
        assert set(registers) == {"low", "high"}
        assert registers["low"].dtype == np.uint8
        assert registers["low"].shape == (20, 2)
        assert (registers["low"] == [round(row[1] / np.pi), round(row[0] / np.pi)]).all()
        assert (registers["high"] == [[1]] * 20).all()
    assert found.metadata["remote_id"] == remote_id
    assert found.metadata["backend"] == "ibm_manila"
    assert found.metadata["tag"] == tag
    assert found.metadata["layout"] == "[0, 1]"
    assert found.metadata["calibration_time"] == "2024-05-27T18:27:23+00:00"
    assert float(found.metadata["device_seconds"]) > 0
    assert found.metadata["started"] < found.metadata["finished"]


def test_several_circuits_are_one_job(server: Any) -> None:
    idle = QuantumCircuit(1)
    idle.measure_all()
    before = n_posts(server)
    remote_id = _ibm.send(*job_for([flip(), idle, flip()], shots=5), tag=new_tag())
    server.wait_until_idle()
    found = _ibm.outcome(remote_id)
    assert n_posts(server) == before + 1
    assert [int(registers["meas"].sum()) for registers in found.registers] == [5, 0, 5]


@pytest.mark.parametrize("also_kept", [False, True])
def test_a_parameter_that_the_translation_drops_does_not_shift_the_others(server: Any, also_kept: bool) -> None:
    circuit = QuantumCircuit(1)
    circuit.rz(Parameter("a_idle"), 0)  # on |0>: only a phase
    if also_kept:
        circuit.ry(Parameter("b"), 0)
    circuit.measure_all()
    values = [[0.3, np.pi], [0.4, 0.0]] if also_kept else [[0.3], [0.4]]
    task, checked = job_for(circuit, values=values, shots=10)
    slim = QuantumCircuit(1)
    if also_kept:
        slim.ry(Parameter("b"), 0)
    slim.measure_all()
    checked.isa = job_for(slim, values=values)[1].isa
    remote_id = _ibm.send(task, checked, tag=new_tag())
    server.wait_until_idle()
    sums = [int(registers["meas"].sum()) for registers in _ibm.outcome(remote_id).registers]
    assert sums == ([10, 0] if also_kept else [0, 0])


def test_frequencies_follow_the_angle(server: Any) -> None:
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("angle"), 0)
    circuit.measure_all()
    angles, shots = np.array([0.5, 1.0, 2.0]), 8000
    remote_id = _ibm.send(*job_for(circuit, values=angles[:, None], shots=shots), tag=new_tag())
    server.wait_until_idle()
    measured = np.array([registers["meas"].mean() for registers in _ibm.outcome(remote_id).registers])

    def deviations(expected: Any) -> Any:
        return np.abs(measured - expected) / np.sqrt(expected * (1 - expected) / shots)

    assert (deviations(np.sin(angles / 2) ** 2) < 5).all()
    assert (deviations(np.sin((angles + 0.2) / 2) ** 2) > 5).all()  # the control: other angles are told apart


def test_what_is_sent(server: Any) -> None:
    """Shots and tags as asked for; neither decoupling nor twirling; the caller's metadata stay at home."""
    circuit = flip()
    circuit.metadata = {"private": "stays here"}
    tag = new_tag()
    task, checked = job_for(circuit, shots=17)
    assert checked.isa[0].metadata == {"private": "stays here"}
    remote_id = _ibm.send(task, checked, tag=tag)
    sent = server.payload(remote_id)
    assert sent["shots"] == 17
    assert sent["sampler"]["dynamical_decoupling"]["enable"] is False
    assert sent["sampler"]["twirling"]["enable_gates"] is False
    assert sent["sampler"]["twirling"]["enable_measure"] is False
    assert sent["options"]["init_qubits"] is True
    assert sent["circuit_metadata"] == [{"tag": tag, "layout": "[0, 1]"}]
    assert checked.isa[0].metadata == {"private": "stays here"}
    (job,) = [job for job in server.accepted() if job["id"] == remote_id]
    assert job["tags"] == [tag, "qmlphys", f"qmlphys-id-{task.id}"]
    assert job["backend"] == "ibm_manila"


def test_feed_forward_runs_on_the_large_device(server: Any) -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], True)):
        circuit.x(1)
    circuit.measure(1, 1)
    remote_id = _ibm.send(*job_for(circuit, shots=4, device="ibm_torino"), tag=new_tag())
    server.wait_until_idle()
    (registers,) = _ibm.outcome(remote_id).registers
    assert registers["c"].tolist() == [[1, 1]] * 4
    assert "if_else" in server.payload(remote_id)["operations"]


# --- exactly one job -------------------------------------------------------------------------------------------------

REFUSALS = [400, 401, 403, 404, 409, 413, 422, 429]
LOST = [
    ("status", 500, 0),
    ("status", 502, 0),
    ("status", 503, 0),
    ("status", 504, 0),
    ("status", 408, 0),
    ("status-after", 500, 1),
    ("status-after", 502, 1),
    ("status-after", 520, 1),
    ("status-after", [307, {"Location": "/experimental/jobs"}], 1),
    ("status-after", [302, {"Location": "/experimental/jobs"}], 1),
    ("cut-before", None, 0),
    ("cut-after", None, 1),
    ("garbage", None, 1),
    ("truncated", None, 1),
]


@pytest.mark.parametrize(("kind", "value", "n_jobs"), LOST, ids=str)
def test_a_lost_answer_is_never_followed_by_a_second_request(server: Any, kind: str, value: Any, n_jobs: int) -> None:
    task, checked = job_for(flip())
    before, tag = n_posts(server), new_tag()
    server.fail(kind, value=value, times=3, **JOBS)
    with pytest.raises(_ibm.MaybeSent, match="may have been accepted"):
        _ibm.send(task, checked, tag=tag)
    assert n_posts(server) == before + 1
    assert len(with_tag(server, tag)) == n_jobs
    assert _ibm.find(tag, backend="ibm_manila") == with_tag(server, tag)


@pytest.mark.parametrize("code", REFUSALS)
def test_a_refused_job_was_surely_not_accepted(server: Any, code: int) -> None:
    task, checked = job_for(flip())
    before, tag = n_posts(server), new_tag()
    server.fail("status", value=code, times=3, **JOBS)
    with pytest.raises(_ibm.NotSent, match=rf"did not accept the job .*{code}"):
        _ibm.send(task, checked, tag=tag)
    assert n_posts(server) == before + 1
    assert with_tag(server, tag) == []


def test_a_slow_answer_is_not_waited_for_without_end(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    task, checked = job_for(flip())
    tag = new_tag()
    monkeypatch.setattr(_ibm_transport, "POST_TIMEOUT", 0.2)
    server.fail("slow-after", value=0.6, **JOBS)
    with pytest.raises(_ibm.MaybeSent, match="may have been accepted"):
        _ibm.send(task, checked, tag=tag)
    server.wait_until_idle()
    assert len(with_tag(server, tag)) == 1


def test_a_refused_connection_is_surely_not_sent(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    task, checked = job_for(flip())
    before, tag = n_posts(server), new_tag()
    with ibm_server.running_server() as other:
        closed = other.root
    real = _ibm_transport._post_job

    def elsewhere(request: Any, options: Any) -> Any:
        request.url = f"{closed}/experimental/jobs"
        return real(request, options)

    monkeypatch.setattr(_ibm_transport, "_post_job", elsewhere)
    with pytest.raises(_ibm.NotSent, match="did not accept"):
        _ibm.send(task, checked, tag=tag)
    assert n_posts(server) == before
    assert with_tag(server, tag) == []


def test_only_what_precedes_a_connection_counts_as_not_sent() -> None:
    from urllib3 import exceptions

    def of(reason: Exception) -> Any:
        return requests.ConnectionError(exceptions.MaxRetryError(None, "/jobs", reason))

    unreached = [
        of(exceptions.NewConnectionError(None, "refused")),
        of(exceptions.ConnectTimeoutError(None, "late")),
        of(exceptions.ProxyError("no proxy", OSError())),
        of(exceptions.SSLError(ssl.SSLCertVerificationError("self-signed"))),
        requests.exceptions.ConnectTimeout(exceptions.MaxRetryError(None, "/", exceptions.ConnectTimeoutError())),
    ]
    undecided = [
        requests.ConnectionError(exceptions.ProtocolError("cut", ConnectionResetError())),
        of(exceptions.SSLError(ssl.SSLEOFError("cut in the middle"))),
        requests.exceptions.ReadTimeout(exceptions.ReadTimeoutError(None, "/jobs", "late")),
        requests.exceptions.ChunkedEncodingError(exceptions.IncompleteRead(1, 2)),
    ]
    assert all(_ibm_transport._never_connected(error) for error in unreached)
    assert not any(_ibm_transport._never_connected(error) for error in undecided)


@pytest.mark.parametrize(("path", "code"), [("/backends", 500), ("/backends/ibm_manila/status", 404)])
def test_what_fails_before_the_request_is_surely_not_sent(server: Any, path: str, code: int) -> None:
    task, checked = job_for(flip())
    before = n_posts(server)
    server.fail("status", method="GET", path=path, value=code, times=20)
    with pytest.raises(_ibm.NotSent):
        _ibm.send(task, checked, tag=new_tag())
    assert n_posts(server) == before


def test_the_plain_client_does_send_twice(server: Any) -> None:
    """The control: the same fault makes two jobs where our transport is not underneath."""
    from qiskit_ibm_runtime import QiskitRuntimeService
    from qiskit_ibm_runtime.executor_sampler import Sampler

    _, checked = job_for(flip())
    tag = new_tag()
    sampler = Sampler(mode=QiskitRuntimeService().backend("ibm_manila"))
    sampler.options.environment.job_tags = [tag]
    server.fail("status-after", value=502, times=1, **JOBS)
    sampler.run([checked.isa[0]], shots=3)
    assert len(with_tag(server, tag)) == 2


def test_threads_share_one_connection_and_send_each_job_once(server: Any) -> None:
    task, checked = job_for(flip(), shots=2)
    tags = [new_tag() for _ in range(6)]
    ids: dict[str, str] = {}

    def work(tag: str) -> None:
        ids[tag] = _ibm.send(task, checked, tag=tag)

    before = len(server.requests("POST", "/identity/token"))
    threads = [threading.Thread(target=work, args=(tag,)) for tag in tags]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests("POST", "/identity/token")) == before
    assert {tag: [remote_id] for tag, remote_id in ids.items()} == {tag: with_tag(server, tag) for tag in tags}


# --- retries of what is harmless -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", [("status", 503), ("status", 429), ("cut-before", None), ("truncated", None)], ids=str
)
def test_reading_survives_two_failures(server: Any, fault: tuple[str, Any]) -> None:
    remote_id = _ibm.send(*job_for(flip()), tag=new_tag())
    server.fail(fault[0], path=f"/jobs/{remote_id}", value=fault[1], times=2)
    before = len(server.requests("GET", f"/jobs/{remote_id}"))
    assert _ibm.status(remote_id).state in ("queued", "running", "done")
    assert len(server.requests("GET", f"/jobs/{remote_id}")) == before + 3


def test_reading_gives_up_after_a_bounded_number_of_tries(server: Any) -> None:
    remote_id = _ibm.send(*job_for(flip()), tag=new_tag())
    server.fail("status", path=f"/jobs/{remote_id}", value=503, times=100)
    before = len(server.requests("GET", f"/jobs/{remote_id}"))
    with pytest.raises(_ibm.Unreachable, match="try again later"):
        _ibm.status(remote_id)
    assert len(server.requests("GET", f"/jobs/{remote_id}")) == before + _ibm_transport.N_TRIES


def test_the_pause_that_the_service_asks_for_is_kept(server: Any) -> None:
    remote_id = _ibm.send(*job_for(flip()), tag=new_tag())
    path = f"/jobs/{remote_id}"
    server.fail("status", path=path, value=[429, {"Retry-After": "1"}])
    _ibm.status(remote_id)
    first, second = [one["time"] for one in server.requests("GET", path)][-2:]
    assert second - first >= 1.0


def test_a_pause_of_an_hour_is_an_answer_and_not_slept(server: Any) -> None:
    remote_id = _ibm.send(*job_for(flip()), tag=new_tag())
    path = f"/jobs/{remote_id}"
    server.fail("status", path=path, value=[429, {"Retry-After": "3600"}])
    before = len(server.requests("GET", path))
    with pytest.raises(_ibm.Unreachable, match="slow down"):
        _ibm.status(remote_id)
    assert len(server.requests("GET", path)) == before + 1


def test_a_service_that_says_nothing_is_not_waited_for_without_end(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote_id = _ibm.send(*job_for(flip()), tag=new_tag())
    monkeypatch.setattr(_ibm_transport, "READ_TIMEOUT", 0.1)
    monkeypatch.setattr(_ibm_transport, "N_TRIES", 2)
    server.fail("slow-before", path=f"/jobs/{remote_id}", value=0.4, times=5)
    with pytest.raises(_ibm.Unreachable):
        _ibm.status(remote_id)
    server.wait_until_idle()


# --- finding by tag --------------------------------------------------------------------------------------------------


def test_find_reads_all_pages(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_ibm_following, "PAGE", 2)
    task, checked = job_for(flip())
    tag = new_tag()
    ids = [_ibm.send(task, checked, tag=tag) for _ in range(5)]
    _ibm.send(task, checked, tag=tag + "-another")
    assert _ibm.find(tag, backend="ibm_manila") == ids
    assert _ibm.find(new_tag(), backend="ibm_manila") == []
    # A page that comes twice, as when the list shifts while it is read.
    server.fail("repeat-page", path="/jobs", times=3)
    assert _ibm.find(tag, backend="ibm_manila") == ids


def test_a_list_that_stays_incomplete_is_an_error_and_not_an_answer(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the user would be told that the job is not there, and would send it again."""
    monkeypatch.setattr(_ibm_following, "PAGE", 1)
    real = _ibm_following.listed

    class Short:
        def __init__(self, client: Any) -> None:
            self.client = client

        def jobs_get(self, **options: Any) -> Any:
            answer = self.client.jobs_get(**options)
            return {**answer, "jobs": answer["jobs"] if options["skip"] == 0 else []}

    monkeypatch.setattr(_ibm, "listed", lambda client, tag: real(Short(client), tag))
    task, checked = job_for(flip())
    tag = new_tag()
    for _ in range(2):
        _ibm.send(task, checked, tag=tag)
    with pytest.raises(_ibm.IBMError, match=r"lists 2 jobs with the tag .* but shows only 1"):
        _ibm.find(tag, backend="ibm_manila")


def test_a_tag_on_another_device_is_an_error(server: Any) -> None:
    tag = new_tag()
    _ibm.send(*job_for(flip()), tag=tag)
    with pytest.raises(_ibm.IBMError, match="is on ibm_manila instead of ibm_torino"):
        _ibm.find(tag, backend="ibm_torino")


# --- states ----------------------------------------------------------------------------------------------------------


def test_states_of_a_job(server: Any) -> None:
    task, checked = job_for(flip())
    server.hold()
    server.fail("job-error", **JOBS)
    bad, good, stopped, late = [_ibm.send(task, checked, tag=new_tag()) for _ in range(4)]
    assert _ibm.status(good).state == "queued"
    with pytest.raises(_ibm.IBMError, match="has no result: it is queued"):
        _ibm.outcome(good)
    _ibm.cancel(stopped)
    server.set_job(late, status="Cancelled", code=1305, reason="Job ran longer than maximum execution time.")
    server.hold(False)
    server.wait_until_idle()
    assert _ibm.status(good) == _ibm.RemoteStatus("done")
    assert _ibm.status(stopped) == _ibm.RemoteStatus("cancelled")
    assert _ibm.status(late) == _ibm.RemoteStatus("failed", "Job ran longer than maximum execution time.")
    assert _ibm.status(bad) == _ibm.RemoteStatus("failed", "RuntimeError: the device lost its calibration")
    for remote_id, text in ((bad, "it is failed .*lost its calibration"), (stopped, "it is cancelled")):
        with pytest.raises(_ibm.IBMError, match=text):
            _ibm.outcome(remote_id)
    with pytest.raises(_ibm.IBMError, match="has ended already"):
        _ibm.cancel(good)
    server.set_job(good, status="Napping")
    with pytest.raises(_ibm.IBMError, match="'NAPPING', which qmlphys does not know"):
        _ibm.status(good)


@pytest.mark.parametrize("call", [_ibm.status, _ibm.outcome, _ibm.cancel])
def test_an_unknown_job(server: Any, call: Callable[[str], Any]) -> None:
    with pytest.raises(_ibm.UnknownJob, match="no job d9999 "):
        call("d9999")
    for remote_id in ("../instances", "", "a b", "x" * 200):
        with pytest.raises(ValueError, match="Argument `remote_id`"):
            call(remote_id)


def test_a_circuit_that_is_not_translated_fails_at_the_service(server: Any) -> None:
    task, checked = job_for(flip())
    bell = QuantumCircuit(2)
    bell.h(0)
    bell.measure_all()
    checked.isa = (bell,)
    remote_id = _ibm.send(task, checked, tag=new_tag())
    server.wait_until_idle()
    assert "h on qubits (0,) is not supported" in _ibm.status(remote_id).message


# --- devices ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "n_qubits"), [("ibm_manila", 5), ("ibm_torino", 133)])
def test_the_target_is_kept_for_a_day(server: Any, home: Path, name: str, n_qubits: int) -> None:
    from qiskit_ibm_runtime import fake_provider

    target, calibration = _ibm.target(name)
    fake = {"ibm_manila": fake_provider.FakeManilaV2, "ibm_torino": fake_provider.FakeTorino}[name]().target
    assert target.num_qubits == n_qubits
    assert set(target.build_coupling_map().get_edges()) == set(fake.build_coupling_map().get_edges())
    assert set(target.operation_names) == set(fake.operation_names)
    two = "cx" if name == "ibm_manila" else "cz"
    assert {qubits: target[two][qubits].error for qubits in target[two]} == {
        qubits: fake[two][qubits].error for qubits in fake[two]
    }
    before = len(server.requests())
    again, same = _ibm.target(name)
    assert len(server.requests()) == before  # offline
    assert same == calibration
    assert again.operation_names == target.operation_names
    path = home / "targets" / f"{name}.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert KEY not in path.read_text(encoding="utf-8")
    assert INSTANCE not in path.read_text(encoding="utf-8")


def _aged(kept: dict[str, Any], age: datetime.timedelta) -> str:
    return json.dumps({**kept, "fetched": (datetime.datetime.now(datetime.UTC) - age).isoformat()})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda kept: _aged(kept, datetime.timedelta(days=1, seconds=1)),
        lambda kept: _aged(kept, -datetime.timedelta(hours=1)),
        lambda kept: json.dumps({**kept, "name": "ibm_torino"}),
        lambda kept: json.dumps({**kept, "version": 0}),
        lambda kept: json.dumps({**kept, "configuration": {}}),
        lambda kept: json.dumps({**kept, "properties": []}),
        lambda kept: json.dumps(kept)[:-200],
        lambda _: "[]",
        lambda _: "",
    ],
)
def test_a_kept_target_that_is_old_or_damaged_is_fetched_again(
    server: Any, home: Path, spoil: Callable[[dict[str, Any]], str]
) -> None:
    first, _ = _ibm.target("ibm_manila")
    path = home / "targets" / "ibm_manila.json"
    path.write_text(spoil(json.loads(path.read_text(encoding="utf-8"))), encoding="utf-8")
    before = len(server.requests("GET", "/backends/ibm_manila/configuration"))
    second, _ = _ibm.target("ibm_manila")
    assert len(server.requests("GET", "/backends/ibm_manila/configuration")) > before
    assert second.operation_names == first.operation_names
    assert _ibm_target.read("ibm_manila") is not None


def test_a_kept_target_just_younger_than_a_day_is_used(server: Any, home: Path) -> None:
    _ibm.target("ibm_manila")
    path = home / "targets" / "ibm_manila.json"
    kept = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(_aged(kept, datetime.timedelta(hours=23, minutes=59)), encoding="utf-8")
    before = len(server.requests())
    _ibm.target("ibm_manila")
    assert len(server.requests()) == before


@pytest.mark.parametrize("name", ["ibm", "../x", "ibm_torino/..", "IBM_TORINO", "", "ibm_" + "x" * 80, "ibm_a\n"])
def test_names_that_cannot_be_devices(server: Any, name: str) -> None:
    with pytest.raises(ValueError, match="Argument `backend` must be the name of an IBM device"):
        _ibm.target(name)


def test_an_unknown_device_is_named_with_those_that_there_are(server: Any) -> None:
    with pytest.raises(_ibm.IBMError, match="no device 'ibm_nowhere'; it has: ibm_manila, ibm_torino"):
        _ibm.target("ibm_nowhere")


def test_the_least_busy_device(server: Any) -> None:
    assert _ibm.devices() == ["ibm_manila", "ibm_torino"]
    server.set_device("ibm_manila", queue=3)
    server.set_device("ibm_torino", queue=7)
    assert _ibm.least_busy(2) == "ibm_manila"
    server.set_device("ibm_manila", queue=8)  # asked anew each time
    assert _ibm.least_busy(2) == "ibm_torino"
    assert _ibm.least_busy(6) == "ibm_torino"
    server.set_device("ibm_torino", status="maintenance")
    assert _ibm.least_busy(2) == "ibm_manila"
    with pytest.raises(_ibm.IBMError, match=r"No IBM device with 6 qubits is online .* the largest has 5"):
        _ibm.least_busy(6)
    with pytest.raises(ValueError, match="Argument `n_qubits` must be at least 1, but it is 0"):
        _ibm.least_busy(0)


def test_spent_device_time_is_a_warning_without_the_account(server: Any) -> None:
    task, checked = job_for(flip())
    server.set_usage(limit_reached=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _ibm.send(task, checked, tag=new_tag())
    assert [str(one.message) for one in caught] == [
        "The account's instance has used up its device time: the job waits until there is more."
    ]


# --- accounts and secrets --------------------------------------------------------------------------------------------


def all_text(error: BaseException) -> str:
    """Return everything that an exception can show, the linked ones included."""
    text = "".join(traceback.format_exception(error))
    seen: list[BaseException] = []
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is not None and one not in seen:
            seen.append(one)
            text += repr(one) + str(vars(one))
            todo += [one.__cause__, one.__context__]
    return text


def has_secret(text: str) -> bool:
    return any(secret in text for secret in (KEY, INSTANCE, "eyJ", "loopback0account"))


@pytest.mark.parametrize("code", [401, 403, 404, 418, 500])
def test_no_error_holds_a_credential(server: Any, caplog: pytest.LogCaptureFixture, code: int) -> None:
    """The server repeats the token and the account's name in its errors."""
    task, checked = job_for(flip())
    done = _ibm.send(task, checked, tag=new_tag())
    server.wait_until_idle()
    calls: list[Callable[[], Any]] = [
        lambda: _ibm.status(done),
        lambda: _ibm.outcome(done),
        lambda: _ibm.cancel(done),
        lambda: _ibm.find(new_tag(), backend="ibm_manila"),
        lambda: _ibm.least_busy(1),
        lambda: _ibm.target("ibm_torino"),
        lambda: _ibm.send(task, checked, tag=new_tag()),
    ]
    for method in ("GET", "POST"):
        server.fail("status", method=method, path="/(jobs|backends).*", value=code, times=10**6)
    with caplog.at_level(logging.DEBUG):
        for call in calls:
            with pytest.raises(_ibm.IBMError) as caught:
                call()
            assert not has_secret(all_text(caught.value)), all_text(caught.value)
            assert caught.value.__cause__ is None
            assert caught.value.__context__ is None
    texts = [record.getMessage() for record in caplog.records if not record.name.startswith("urllib3")]
    assert not any("eyJ" in text or KEY in text for text in texts)


def test_the_client_itself_would_show_the_token(server: Any) -> None:
    """The control: without scrubbing, the same error holds it."""
    from qiskit_ibm_runtime import QiskitRuntimeService

    service = QiskitRuntimeService()
    server.fail("status", path="/jobs/.*", value=403, times=100)
    with pytest.raises(Exception, match="failed on demand") as caught:
        service.job("d0")
    assert has_secret(all_text(caught.value))


def test_scrubbing() -> None:
    _ibm_errors.keep_secret("s3cret-key-of-mine")
    text = (
        "key s3cret-key-of-mine; Authorization: Bearer abc.def; {'apikey': 'xyz123', \"access_token\": \"q.w.e\"}; "
        "https://user:hunter2@proxy.example.com/; crn:v1:bluemix:public:q:us-east:a/123:456::; "
        "eyJhbGciOi.eyJpYXQ.sig"
    )
    cleaned = _ibm_errors.scrub(text)
    for secret in ("s3cret", "abc.def", "xyz123", "q.w.e", "hunter2", "a/123", "eyJ"):
        assert secret not in cleaned
    assert "proxy.example.com" in cleaned
    assert _ibm_errors.scrub("one\ntwo") == "one two"
    assert len(_ibm_errors.scrub("x" * 10_000)) == _ibm_errors.MAX_TEXT
    _ibm_errors.forget_secrets()


def test_no_account_is_one_clear_sentence(home: Path) -> None:
    assert not _ibm.has_account()
    with pytest.raises(
        _ibm.NoAccount, match=r"No IBM Quantum account was found: save one once with .*QISKIT_IBM_TOKEN"
    ):
        _ibm.least_busy(1)


def test_a_saved_account_is_used(shared_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from qiskit_ibm_runtime import QiskitRuntimeService

    environment = shared_server.environment
    for name in ("QISKIT_FUNCTIONS_EXPERIMENTAL", "IAM_URL"):
        monkeypatch.setenv(name, environment[name])
    QiskitRuntimeService.save_account(token=KEY, instance=INSTANCE, url=environment["QISKIT_IBM_URL"])
    assert _ibm.has_account()
    assert _ibm.devices() == ["ibm_manila", "ibm_torino"]


def test_an_account_of_several_instances_is_searched_whole(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from qiskit_ibm_runtime.accounts import Account

    tags = [new_tag(), new_tag()]
    ids = [_ibm.send(*job_for(flip(), shots=3), tag=tags[0])]
    monkeypatch.setenv("QISKIT_IBM_INSTANCE", ibm_server.SECOND_INSTANCE)
    ids.append(_ibm.send(*job_for(flip(), shots=3), tag=tags[1]))
    assert _ibm.find(tags[0], backend="ibm_manila") == []
    with pytest.raises(_ibm.UnknownJob):
        _ibm.status(ids[0])
    # No instance named: the client asks for a list of all, elsewhere.
    both = [
        {"crn": crn, "plan": "open", "name": f"number {i}", "tags": [], "pricing_type": "free"}
        for i, crn in enumerate((INSTANCE, ibm_server.SECOND_INSTANCE))
    ]
    monkeypatch.setattr(Account, "list_instances", lambda self: both)
    monkeypatch.delenv("QISKIT_IBM_INSTANCE")
    server.wait_until_idle()
    for tag, remote_id in zip(tags, ids, strict=True):
        assert _ibm.find(tag, backend="ibm_manila") == [remote_id]
        assert _ibm.outcome(remote_id).registers[0]["meas"].tolist() == [[1]] * 3


def test_a_forked_process_does_not_use_its_parents_connection(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with _ibm_service.connected() as mine:
        held = _ibm_service._PROCESS
    monkeypatch.setattr(held, "pid", -1)  # as a child finds it, with a lock that nobody there will ever release
    held.lock = None
    with _ibm_service.connected() as other:
        assert other is not mine
    assert _ibm_service._PROCESS is not held


def test_a_wrong_key_is_an_account_error(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_for(flip())
    wrong = "another-key-0123456789"
    monkeypatch.setenv("QISKIT_IBM_TOKEN", wrong)
    with pytest.raises(_ibm.NoAccount, match="refused the key") as caught:
        _ibm.least_busy(1)
    assert wrong not in all_text(caught.value)
    with pytest.raises(_ibm.NotSent, match="Nothing was sent"):
        _ibm.send(*job, tag=new_tag())


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("QISKIT_IBM_URL", "http://quantum.example.com/experimental"),
        ("QISKIT_IBM_URL", "http://127.0.0.1.example.com/experimental"),
        ("QISKIT_IBM_URL", "ftp://127.0.0.1/experimental"),
        ("QISKIT_IBM_URL", "127.0.0.1/experimental"),
        ("IAM_URL", "http://iam.example.com"),
    ],
)
def test_tokens_do_not_travel_over_plain_http(
    server: Any, refused: list[str], monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    before = len(server.requests())
    with pytest.raises(_ibm.NoAccount, match="must start with https://"):
        _ibm.least_busy(1)
    assert len(server.requests()) == before
    assert refused == []  # not even tried


def test_a_proxy_in_the_environment_does_not_see_what_stays_here(
    server: Any, refused: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://192.0.2.1:3128")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    # Another account is opened anew, token included.
    monkeypatch.setenv("QISKIT_IBM_CHANNEL", "ibm_cloud")
    assert _ibm.devices() == ["ibm_manila", "ibm_torino"]
    _ibm.send(*job_for(flip()), tag=new_tag())
    assert refused == []


# --- the tests' own fence --------------------------------------------------------------------------------------------


def test_the_fence_refuses_other_machines(refused: list[str]) -> None:
    with pytest.raises(ibm_server.OtherHostError, match=r"192\.0\.2\.1"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    with pytest.raises(ibm_server.OtherHostError, match=r"example\.com"):
        socket.getaddrinfo("example.com", 443)
    with socket.socket() as one, pytest.raises(ibm_server.OtherHostError):
        one.connect_ex(("192.0.2.1", 80))
    assert refused == ["192.0.2.1", "example.com", "192.0.2.1"]


def test_without_an_own_token_address_the_client_calls_out_and_is_stopped(
    server: Any, refused: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IAM_URL")
    with pytest.raises(_ibm.Unreachable, match="no access token"):
        _ibm.least_busy(1)
    assert set(refused) == {"iam.cloud.ibm.com"}
