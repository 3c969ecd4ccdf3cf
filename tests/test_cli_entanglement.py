"""Entanglement on the command line."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from qmlphys import cli
from qmlphys.workflows import entanglement_scaling as workflow


def run_cli(arguments: Sequence[object], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Run the command line in this process."""
    with pytest.raises(SystemExit) as leaving:
        cli.main(["entanglement", *map(str, arguments)])
    captured = capsys.readouterr()
    assert isinstance(leaving.value.code, int)
    return leaving.value.code, captured.out, captured.err


def test_features_are_counted_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "counts.json"
    code, out, err = run_cli(["features", "mlp-tanh", "--n", 12, "--json", table], capsys)
    assert (code, err) == (0, "")
    assert "6 scalar nonlinearities and 3 affine features of 12 spins" in " ".join(out.split())
    rows = {row["name"]: row["value"] for row in json.loads(table.read_text(encoding="utf-8"))}
    assert (rows["nonlinearities k"], rows["affine features mu"], rows["bound says something"]) == (6, 3, 1)
    code, out, _ = run_cli(["features", "transformer", "--n", 11], capsys)
    assert code == 0
    assert "says nothing" in out


def test_references_are_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "values.json"
    code, out, err = run_cli(["references", "--n", 2, "--n-a", 1, "--json", table], capsys)
    assert (code, err) == (0, "")
    assert "Entropy of 1 of 2 sites" in out
    rows = {row["name"]: row["value"] for row in json.loads(table.read_text(encoding="utf-8"))}
    assert rows["random states"] == pytest.approx(1 / 3)  # Page, Phys. Rev. Lett. 71, 1291 (1993), Eq. (4)
    assert rows["GHZ state"] == math.log(2)
    code, out, _ = run_cli(["references"], capsys)
    assert code == 0
    assert "Entropy of 11 of 22 sites" in out


def test_the_battery_takes_its_settings_from_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[workflow.BatteryConfig, Path, bool]] = []

    def run(config: workflow.BatteryConfig, *, out: Path, fresh: bool, **_: object) -> workflow.Outcome:
        asked.append((config, out, fresh))
        row = workflow.Row("entropy", 1.0, 0.1, 1.05, "nats")
        return workflow.Outcome("Battery", [row], out / "report.html", 1.5, 2)

    monkeypatch.setattr(workflow, "run", run)
    monkeypatch.chdir(tmp_path)
    code, out, err = run_cli(["battery", "--seed", 4, "--out", "here", "--json", "rows.json"], capsys)
    assert (code, err) == (0, "")
    assert "2 steps taken up from before" in " ".join(out.split())
    assert (tmp_path / "rows.json").exists()
    code, _, _ = run_cli(["battery", "--full", "--fresh"], capsys)
    assert code == 0
    assert asked == [
        (workflow.BatteryConfig(seed=4), Path("here"), False),
        (workflow.BatteryConfig.full(seed=1), Path("runs/entanglement-full"), True),
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["features", "perceptron"], "must be one of tanh"),
        (["features", "tanh", "--n", 1], "--n"),
        (["features", "transformer", "--n", 5], "`n`"),
        (["features", "tanh", "--n", 40], "`n_sites`"),
        (["references", "--n", 8, "--n-a", 8], "`n_a`"),
        (["references", "--n", 8, "--n-down", 9], "`n_down`"),
        (["references", "--n", 10**11], "less than or equal to 100000"),
        (["battery", "--seed", -1], "--seed"),
        (["battery", "--out", "file"], "'file' is a file; give the name of a folder"),
        (["battery", "--json", "nowhere/rows.json"], "There is no folder"),
        (["nothing"], "nothing"),
    ],
)
def test_wrong_input_gives_one_line(
    arguments: list[object],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("no folder")
    code, _, err = run_cli(arguments, capsys)
    assert code == 2
    assert words in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1
