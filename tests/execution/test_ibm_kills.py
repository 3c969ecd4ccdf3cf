"""No job lost and none sent twice, however often the submitting process is killed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("qiskit_ibm_runtime", reason="needs the extra ibm")
pytest.importorskip("qiskit_aer", reason="the loop-back server runs its devices with Aer")

SCRIPT = Path(__file__).with_name("ibm_kills.py")


def run_campaign(tmp_path: Path, *, n: int, n_control: int = 0, seed: int) -> dict[str, Any]:
    """Run the script in a process without threads, which forks."""
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
    environment = {**os.environ, **one_thread, "QISKIT_PARALLEL": "FALSE"}
    environment.update(HOME=str(tmp_path), QMLPHYS_HOME=str(tmp_path / "home"))
    command = [sys.executable, str(SCRIPT), "--n", str(n), "--n-control", str(n_control), "--seed", str(seed)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_none_lost_or_doubled(report: dict[str, Any], *, n: int) -> None:
    assert report["violations"] == []
    assert report["n_accepted"] == report["n_tasks"]
    assert report["n_killed"] == n  # of processes at work; those that were done before do not count
    # The kills went where it hurts: before and after the service had the job.
    assert report["stages"].get("sending, then sent", 0) > 0, report["stages"]
    assert report["stages"].get("sending, then sending", 0) > 0, report["stages"]


def test_kills_lose_no_job_and_double_none(tmp_path: Path) -> None:
    report = run_campaign(tmp_path, n=16, n_control=3, seed=20260101)
    assert_none_lost_or_doubled(report["ledger"], n=16)
    # The control: a protocol that writes down what it sent only afterwards is caught by the same judge.
    assert any("was accepted 2 times" in text for text in report["control"]["violations"]), report["control"]


@pytest.mark.slow
def test_two_hundred_kills(tmp_path: Path) -> None:
    assert_none_lost_or_doubled(run_campaign(tmp_path, n=200, seed=20260102)["ledger"], n=200)


def test_the_judge_sees_every_kind_of_violation() -> None:
    spec = importlib.util.spec_from_file_location("ibm_kills", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    ibm_kills = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(ibm_kills)
    wanted = {"a": 0, "b": 1}
    rows = [{"id": "a", "state": "done", "bits": [[0, 0, 0]]}, {"id": "b", "state": "done", "bits": [[1, 0, 0]]}]
    accepted = [{"tags": ["t1", "qmlphys", "qmlphys-id-a"]}, {"tags": ["t2", "qmlphys", "qmlphys-id-b"]}]

    def judged(changed: list[dict[str, Any]] | None = None, got: list[dict[str, Any]] | None = None) -> list[str]:
        return ibm_kills.violations(wanted, rows if changed is None else changed, accepted if got is None else got)

    assert judged() == []
    assert judged(rows[:1]) == ["task 1 is 0 times in the book"]
    assert judged([*rows, rows[0]]) == ["task 0 is 2 times in the book"]
    assert judged([rows[0], {**rows[1], "bits": [[1, 0, 0], [0, 0, 0]]}]) == [
        "task 1 is done with the bits [[1, 0, 0], [0, 0, 0]]"
    ]
    assert judged([rows[0], {**rows[1], "state": "sending"}]) == ["task 1 is sending with the bits [[1, 0, 0]]"]
    assert judged([*rows, {"id": "c", "state": "done", "bits": None}]) == ["a stranger is in the book: c"]
    assert judged(got=accepted[:1]) == ["task 1 was accepted 0 times"]
    assert judged(got=[*accepted, {"tags": ["t3", "qmlphys", "qmlphys-id-a"]}]) == ["task 0 was accepted 2 times"]
    assert judged(got=[*accepted, {"tags": ["x"]}]) == ["a job without the id of a task was accepted"]
