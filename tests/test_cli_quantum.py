"""The commands of the quantum side as a user meets them, in processes of their own where that matters."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from qiskit import QuantumCircuit, qpy

from qmlphys import cli, snapshots
from qmlphys.execution import jobs
from qmlphys.execution.ledger import Ledger

BELL = 'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[2];\ncreg c[2];\nh q[0];\ncx q[0],q[1];\nmeasure q -> c;\n'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a ledger of its own, and no account."""
    monkeypatch.setenv("QMLPHYS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith(("QISKIT_IBM", "IAM_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def system(home: Path) -> Path:
    np.save("A.npy", np.array([[2.0, -1.0], [-1.0, 2.0]]))
    np.save("b.npy", np.array([1.0, 0.5]))
    return home


def run_cli(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as leaving:
        cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert isinstance(leaving.value.code, int)
    return leaving.value.code, captured.out, captured.err


def good(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    code, out, err = run_cli(arguments, capsys)
    assert (code, err) == (0, "")
    return out


def test_a_transform_is_written_submitted_and_fetched(capsys: pytest.CaptureFixture[str]) -> None:
    file = "qft.qasm3"
    assert "3 qubits" in good(["circuit", "qft", "3", "-o", file, "--figure", "qft.svg"], capsys)
    assert Path("qft.svg").read_text().startswith("<?xml")
    job_id = good(["submit", file, "--measure-all", "--backend", "statevector", "--seed", "1"], capsys).split()[0]
    out = good(["jobs", "fetch", job_id[:8], "-o", "qft.nc", "--figure", "counts.svg", "--timeout", "60"], capsys)
    assert "Snapshots: qft.nc" in out
    assert Path("counts.svg").is_file()
    ds = snapshots.load("qft.nc")
    assert dict(ds.sizes) == {"parameter": 1, "chain": 1, "draw": 1024, "site": 3}
    assert len(snapshots.counts(ds)) == 8  # the transform of |000> is uniform
    listed = good(["jobs"], capsys)
    assert job_id[:12] in listed
    assert "done" in listed
    assert json.loads(good(["jobs", "show", job_id], capsys))["id"] == job_id


def test_forms_of_the_transform(capsys: pytest.CaptureFixture[str]) -> None:
    good(["circuit", "qft", "4", "--form", "line", "--inverse", "-o", "line.qpy"], capsys)
    with Path("line.qpy").open("rb") as stream:
        (line,) = qpy.load(stream)
    assert line.count_ops()["cx"] <= 4**2 + 4 - 4
    assert (
        "if"
        in good(["circuit", "qft", "3", "--form", "semiclassical", "-o", "s.qasm3"], capsys)
        + Path("s.qasm3").read_text()
    )
    assert "at most" in good(["circuit", "qft", "12", "--error", "0.1", "-o", "short.qasm"], capsys)


def test_the_same_task_is_one_job_and_a_repetition_another(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bell.qasm").write_text(BELL)
    arguments = ["submit", "bell.qasm", "--backend", "statevector", "--shots", "50"]
    first, same, other = (good([*arguments, *more], capsys).split()[0] for more in ((), (), ("--repeat", "1")))
    assert first == same != other
    out = good(["jobs", "fetch", other], capsys)
    assert "00" in out
    assert "01" not in out
    good(["jobs", "fetch", first], capsys)
    assert "prepared" not in good(["jobs", "sync"], capsys)


def test_a_job_outlives_the_shell_that_submitted_it(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bell.qasm").write_text(BELL)
    shell = subprocess.Popen(
        ["/bin/sh", "-c", f'"{sys.executable}" -m qmlphys submit bell.qasm --backend aer --shots 500; sleep 100'],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert shell.stdout is not None
    job_id = shell.stdout.readline().split()[0]
    os.killpg(shell.pid, signal.SIGKILL)  # what closing a terminal does at worst
    shell.wait()
    shell.stdout.close()
    out = good(["jobs", "fetch", job_id, "--timeout", "100"], capsys)
    assert "11" in out


def test_a_lost_result_is_restored(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bell.qasm").write_text(BELL)
    out = good(["submit", "bell.qasm", "--backend", "statevector", "--seed", "3", "--wait"], capsys)
    job_id = out.split()[0]
    counts = good(["jobs", "fetch", job_id], capsys)
    book = Ledger()
    book.result(jobs.job(job_id).row).unlink()
    code, _, err = run_cli(["jobs", "fetch", job_id], capsys)
    assert code == 1
    assert f"`qmlphys jobs restore {job_id[:12]}`" in err
    good(["jobs", "restore", job_id], capsys)
    assert good(["jobs", "fetch", job_id, "--timeout", "60"], capsys) == counts  # the same bits again


def test_exact_results_are_printed_and_not_written_as_snapshots(capsys: pytest.CaptureFixture[str]) -> None:
    circuit = QuantumCircuit(2)
    circuit.ry(2 * math.asin(math.sqrt(0.2)), 0)
    job_id = jobs.submit(circuit, "statevector", shots=None)
    out = good(["jobs", "fetch", job_id, "--timeout", "60"], capsys)
    shown = [line.split() for line in out.splitlines() if "0." in line]
    assert [[cell for cell in line if cell[0] in "01"] for line in shown] == [["00", "0.8"], ["01", "0.2"]]
    code, _, err = run_cli(["jobs", "fetch", job_id, "-o", "exact.nc"], capsys)
    assert code == 2
    assert "exact probabilities, not snapshots" in err
    assert not Path("exact.nc").exists()


def test_what_a_user_should_know_of_a_job_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bell.qasm").write_text(BELL)
    good(["submit", "bell.qasm", "--backend", "statevector", "--wait"], capsys)
    assert "note" not in good(["jobs", "list"], capsys)
    with Ledger().writing() as connection:
        connection.execute("UPDATE jobs SET note = 'the service accepted it twice'")
    assert "the service accepted it twice" in good(["jobs", "list"], capsys)


def test_cancelling_a_finished_job_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bell.qasm").write_text(BELL)
    out = good(["submit", "bell.qasm", "--backend", "statevector", "--wait"], capsys)
    assert "share" in out
    code, _, err = run_cli(["jobs", "cancel", out.split()[0]], capsys)
    assert code in (1, 2)
    assert err.count("\n") == 1


def test_linear_systems_are_solved_and_written(system: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = good(["solve", "A.npy", "b.npy", "-o", "x.npy", "--figure", "x.svg", "--json", "x.json"], capsys)
    assert "Solve this system classically" in out
    exact = np.linalg.solve(np.load("A.npy"), np.load("b.npy"))
    assert np.linalg.norm(np.load("x.npy") - exact) <= 0.01 * np.linalg.norm(exact)
    assert Path("x.svg").is_file()
    rows = {row["name"]: row["value"] for row in json.loads(Path("x.json").read_text())}
    assert rows["norm of the solution"] == pytest.approx(np.linalg.norm(exact), rel=0.01)
    arguments = ["solve", "A.npy", "b.npy", "--backend", "aer", "--shots", "20000", "--error", "0.1"]
    sampled = good([*arguments, "--observable", "Z", "--seed", "1"], capsys)
    assert "<Z>" in sampled
    hhl = good(
        ["circuit", "hhl", "A.npy", "b.npy", "--clock", "3", "-o", "h.qpy", "--evolution", "diagonalised"], capsys
    )
    assert "demonstration" in hhl


def test_frequencies_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    np.save("signal.npy", np.cos(2 * np.pi * 0.125 * np.arange(32)))
    out = good(["spectrum", "signal.npy", "--sample-rate", "8", "--figure", "s.svg", "--json", "s.json"], capsys)
    assert "frequency 1" in out
    rows = {row["name"]: row["value"] for row in json.loads(Path("s.json").read_text())}
    assert rows["frequency 1"] == pytest.approx(1.0, abs=1e-6)


def test_backends_are_listed_with_what_mends_them(capsys: pytest.CaptureFixture[str]) -> None:
    out = good(["backends"], capsys)
    for word in ("statevector", "aer-mps", "aer-gpu", "fake_torino", "QISKIT_IBM_TOKEN"):
        assert word in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["circuit", "qft", "0", "-o", "x.qasm"], "`n`"),
        (["circuit", "qft", "3", "-o", "x.txt"], "must end in .qasm"),
        (["circuit", "qft", "3", "-o", "nowhere/x.qasm"], "no folder 'nowhere'"),
        (["circuit", "qft", "3", "-o", "x.qasm", "--form", "line", "--error", "0.1"], "--form full only"),
        (["circuit", "hhl", "bell.qasm", "b.npy", "-o", "x.qasm"], "as numpy.save writes it"),
        (["submit", "missing.qasm"], "no file 'missing.qasm'"),
        (["submit"], "either a circuit FILE or --again ID"),
        (["submit", "bell.qasm", "--shots", "0"], "`shots` must be an integer >= 1, but it is 0"),
        (["submit", "bell.qasm", "--backend", "fake_torin"], "did you mean 'fake_torino'"),
        (["submit", "bell.qasm", "--backend", "ibm_torino"], "account"),
        (["submit", "broken.qasm"], "broken.qasm"),
        (["submit", "secret.qasm"], "include"),
        (["submit", "large.qasm", "--measure-all"], "60 qubits"),
        (["submit", "bare.qasm"], "measure"),
        (["submit", "bell.qasm", "--measure-all"], "classical bits of its own"),
        (["submit", "--again", "abcd1234"], "abcd1234"),
        (["jobs", "fetch", "../../etc"], "hexadecimal"),
        (["jobs", "fetch", "abcd1234"], "abcd1234"),
        (["submit", "--again", "abcd1234", "--shots", "5"], "--shots does not fit --again"),
        (["submit", "--again", "abcd1234", "--measure-all"], "--measure-all does not fit --again"),
        (["submit", "--again", "abcd1234"], "no such job"),
        (["circuit", "qft", "100", "-o", "x.qasm", "--figure", "x.svg"], "at most 2000 instructions to be drawn"),
        (["circuit", "hhl", "head.npy", "b.npy", "-o", "x.qpy"], "array of numbers"),
        (["circuit", "hhl", "huge.npy", "b.npy", "-o", "x.qpy"], "largest entry between 1e-100 and 1e+100"),
        (["solve", ".", "b.npy"], "no regular file"),
        (["solve", "A.npy", "b.npy", "--observable", "Z"], "--observable belongs to sampled backends"),
        (["solve", "A.npy", "missing.npy"], "There is no file 'missing.npy'."),
        (["solve", "A.npy", "object.npy"], "array of numbers"),
        (["solve", "A.npy", "b.npy", "--backend", "aer"], "`shots` must be"),
        (["solve", "A.npy", "b.npy", "--backend", "aer", "--shots", "10"], "`shots` must be at least"),
        (["solve", "A.npy", "b.npy", "--figure", "x.png"], "must end in '.svg'"),
        (["solve", "singular.npy", "b.npy"], "condition number"),
        (["spectrum", "b.npy"], "`signal`"),
    ],
)
def test_wrong_input_gives_one_line_and_loses_nothing(
    system: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bell.qasm").write_text(BELL)
    Path("bare.qasm").write_text('OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[2];\nh q[0];\n')
    Path("large.qasm").write_text('OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[60];\nh q[0];\n')
    Path("broken.qasm").write_text("OPENQASM 2.0;\nthis is not a circuit\n")
    Path("secret.qasm").write_text('OPENQASM 2.0;\ninclude "/etc/passwd";\nqreg q[1];\n')
    np.save("object.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save("singular.npy", np.ones((2, 2)))
    np.save("huge.npy", np.eye(2) * 1e200)
    Path("head.npy").write_bytes(Path("A.npy").read_bytes().replace(b"), }", b"(, }"))
    before = {path.name for path in system.iterdir()}
    code, out, err = run_cli(arguments, capsys)
    assert code in (1, 2)
    if "ibm_torino" not in arguments:  # the service, not the input, is what is missing there
        assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("Error: ")
    assert message in err
    assert "root:" not in err
    assert {path.name for path in system.iterdir()} - before <= {"home", ".config", ".cache", ".matplotlib", ".qiskit"}


def test_a_result_that_is_not_there_yet_is_said_to_be_so(capsys: pytest.CaptureFixture[str]) -> None:
    # twenty qubits, two hundred layers: seconds of work, of which no part can be there at once
    gates = "".join(f"rx(0.1) q[{i % 20}];\ncx q[{i % 20}],q[{(i + 1) % 20}];\n" for i in range(4000))
    text = f'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[20];\ncreg c[20];\n{gates}measure q -> c;\n'
    Path("long.qasm").write_text(text)
    job_id = good(["submit", "long.qasm"], capsys).split()[0]
    code, _, err = run_cli(["jobs", "fetch", job_id, "--timeout", "0"], capsys)
    assert code == 1
    assert err.count("\n") == 1
    assert job_id[:8] in err
    assert "cancelled" in good(["jobs", "cancel", job_id], capsys)
    time.sleep(0.1)
    assert "cancelled" in good(["jobs", "list"], capsys)


def test_a_device_job_is_found_again_after_its_answer_was_lost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("qiskit_ibm_runtime", reason="needs the extra ibm")
    spec = importlib.util.spec_from_file_location("ibm_server", Path(__file__).parent / "execution" / "ibm_server.py")
    assert spec is not None
    assert spec.loader is not None
    ibm_server = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(ibm_server)
    Path("bell.qasm").write_text(BELL)
    with ibm_server.running_server(noise=False) as server, ibm_server.this_machine_only() as refused:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("qmlphys.execution._ibm_transport.BACKOFF", 0.001)
        server.fail("cut-after", method="POST", path="/jobs", times=1)
        server.fail("status", method="GET", path="/jobs", times=100, value=503)  # out of reach for a while
        code, out, err = run_cli(["submit", "bell.qasm", "--backend", "ibm_manila", "--shots", "64"], capsys)
        listed = good(["jobs", "list"], capsys)
        assert "sending" in listed  # accepted there, and unknown here
        job_id = listed.split("sending")[0].split()[-1]
        assert server.environment["QISKIT_IBM_TOKEN"] not in out + err + listed
        server.mend()
        server.wait_until_idle()
        assert "sending" not in good(["jobs", "sync"], capsys)
        assert "11" in good(["jobs", "fetch", job_id, "--timeout", "60"], capsys)
        assert len(server.accepted()) == 1
        assert code == 1
        assert "may have reached ibm_manila" in err
        assert refused == []
