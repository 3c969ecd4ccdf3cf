"""`qmlphys phases device`: submit now, fetch later, one line for wrong input."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from qmlphys import cli
from qmlphys.execution import jobs
from qmlphys.workflows import device_phases
from qmlphys.workflows.ground_state import Recipe


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder and a ledger of its own for each test, no account, and small neural states."""
    monkeypatch.setenv("QMLPHYS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith(("QISKIT_IBM", "IAM_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    made = device_phases.DevicePhasesConfig
    small: dict[str, Any] = {"recipe": Recipe(alpha=1, n_samples=64, n_chains=16), "n_first_steps": 40, "n_steps": 20}
    monkeypatch.setattr(device_phases, "DevicePhasesConfig", lambda **options: made(**options, **small))
    return tmp_path


def run_cli(arguments: Sequence[object], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as leaving:
        cli.main(["phases", "device", *(str(argument) for argument in arguments)])
    captured = capsys.readouterr()
    assert isinstance(leaving.value.code, int)
    return leaving.value.code, captured.out, captured.err


def test_jobs_are_submitted_now_and_fetched_later(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--sizes", "3,5", "--fields", "0.3:2.1:7", "--backend", "statevector", "--layers", "0", "--shots", 1000]
    command += ["--no-monte-carlo", "--out", "run", "--seed", 3]
    code, out, err = run_cli([*command, "--no-wait"], capsys)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line[66:] for line in lines[:2]] == [
        "statevector, exact circuit, 3 sites",
        "statevector, exact circuit, 5 sites",
    ]
    known = {job.id for job in jobs.jobs()}
    assert {line[:64] for line in lines[:2]} == known
    assert "without --no-wait" in lines[2]
    code, out, err = run_cli([*command, "--timeout", 120], capsys)
    assert code == 0
    assert "[5/5]" in err
    assert "output 1/2, N = 5, statevector, exact circuit" in out
    assert "Report: run/report.html" in out
    assert {job.id for job in jobs.jobs()} == known
    assert (home / "run" / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sizes", "a,b"], "Sizes must be a list such as 6,8,10, but they are 'a,b'."),
        (["--sizes", "6"], "at least two growing sizes"),
        (["--layers", "x"], "Layers must be a list such as 0,2, but they are 'x'."),
        (["--fields", "x"], "Fields must be a list such as"),
        (["--fields", "-1,0,1,2,3"], "Fields must be positive, in units of J"),
        (["--backend", "ear"], "did you mean 'aer'?"),
        (["--backend", "ibm"], "must name its device"),
        (["--shots", "3"], "--shots"),
        (["--out", "/dev/null"], "'/dev/null' is a file; give the name of a folder."),
    ],
)
def test_wrong_input_gives_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    code, out, err = run_cli(arguments, capsys)
    assert (code, out) == (2, "")
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert message in err
    assert not (home / "runs").exists()
