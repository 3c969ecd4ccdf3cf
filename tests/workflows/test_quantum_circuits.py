"""The quantum part of the demonstration: right physics, resumable, and one report with the classical part."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from qmlphys.report import Row
from qmlphys.workflows import demo, quantum_circuits
from qmlphys.workflows.quantum_circuits import QuantumCircuitsConfig
from qmlphys.workflows.runs import Panel, RunFolder, Steps


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "quantum"
    quantum_circuits.run(QuantumCircuitsConfig(), out=path)
    return path


def rows_of(folder: Path) -> list[Row]:
    return [Row(**row) for row in json.loads((folder / "results.json").read_text())]


def test_the_rod_is_solved_within_what_was_certified(folder: Path) -> None:
    error, bound = rows_of(folder)[:2]
    assert 0 < error.value <= bound.value <= 0.01


def test_shots_without_noise_agree_with_the_classical_solve(folder: Path) -> None:
    rows = [row for row in rows_of(folder) if "rod of 4" in row.name]
    clean = [row for row in rows if row.name.endswith("Aer")]
    noisy = [row for row in rows if "noise" in row.name]
    assert len(clean) == len(noisy) == 3
    # sigma of each is checked elsewhere; here 4 sigma, and a control: noise must be seen
    assert all(abs(row.deviation) < 4 for row in clean)
    assert max(abs(row.deviation) for row in noisy) > 5


def test_the_rod_is_the_heat_equation() -> None:
    matrix, rhs = quantum_circuits.rod(8)
    # Green's function of -u'' with u = 0 at both ends: u_i = min(i, j) (n + 1 - max(i, j)) / (n + 1)
    i, j = np.arange(1, 9), int(np.argmax(rhs)) + 1
    exact = np.minimum(i, j) * (9 - np.maximum(i, j)) / 9
    np.testing.assert_allclose(np.linalg.solve(matrix, rhs), exact, rtol=1e-12)


def test_tones_are_found_where_they_were_put(folder: Path) -> None:
    for label in ("frequency, exact", "frequency, Aer"):
        found = [row for row in rows_of(folder) if row.name == label]
        assert [row.exact for row in found] == [137.0, 322.0]
        assert all(abs(row.deviation) < 4 for row in found)


def test_a_second_start_computes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (folder / "results.json").read_bytes()

    def never(*_: object) -> None:
        raise AssertionError("computed again")

    for name in ("_solved", "_sampled", "_transformed"):
        monkeypatch.setattr(quantum_circuits, name, never)
    quantum_circuits.run(QuantumCircuitsConfig(), out=folder)
    assert (folder / "results.json").read_bytes() == before


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ValueError, match="`n_unknowns` must be 2 to 64, but it is 65"):
        QuantumCircuitsConfig(n_unknowns=65)
    with pytest.raises(ValueError, match="`tones` must lie between 0 and 500 Hz"):
        QuantumCircuitsConfig(tones=(700.0,))


def test_the_demo_joins_all_parts(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def phases(_config: object, _folder: RunFolder, *, steps: Steps, bars: bool) -> Panel:
        return Panel("Phases", "Of matter.", [Row("T_c", 2.27, 0.01, 2.269)], {})

    def ground_states(_config: object, _folder: RunFolder, *, steps: Steps) -> Panel:
        return Panel("Ground states", "Of chains.", [Row("h_c", 1.0, 0.01, 1.0)], {})

    def generative(_config: object, _folder: RunFolder, *, steps: Steps) -> Panel:
        return Panel("Generative models", "Of snapshots.", [Row("NLL", 3.4012, 0.0, 3.4012)], {})

    monkeypatch.setattr(demo.ising_phases, "panel", phases)
    monkeypatch.setattr(demo.ground_state, "panel", ground_states)
    monkeypatch.setattr(demo.generative, "panel", generative)

    def entanglement(_config: object, _folder: RunFolder, *, steps: Steps) -> Panel:
        return Panel("Entanglement", "Of networks.", [Row("S", 1.0, 0.01, 1.0)], {})

    monkeypatch.setattr(demo.entanglement_scaling, "panel", entanglement)
    key, known = RunFolder._key, RunFolder(folder, workflow="quantum-circuits")
    # The steps are those of the run above: a step's name and settings say which one it is, whatever the workflow.
    monkeypatch.setattr(RunFolder, "_key", lambda self, name, settings: key(known, name, settings))
    out = tmp_path / "demo"
    shutil.copytree(folder / "steps", out / "steps")
    found = demo.run(demo.DemoConfig(circuits=QuantumCircuitsConfig()), out=out)
    assert found.n_resumed == len(list((folder / "steps").iterdir()))
    page = found.report.read_text(encoding="utf-8")
    assert page.index("<h2>Phases</h2>") < page.index(f"<h2>{quantum_circuits._TITLE}</h2>")
    assert [row.section for row in rows_of(out)][:3] == ["Phases", "Ground states", quantum_circuits._TITLE]
    assert [row.section for row in rows_of(out)][-2:] == ["Generative models", "Entanglement"]
    assert len(rows_of(out)) == 4 + len(rows_of(folder))
    settings = json.loads((out / "settings.json").read_text())
    assert settings["config"]["circuits"]["device"] == "fake_torino"
    assert [section["title"] for section in settings["sections"]] == [
        "Phases",
        "Ground states",
        quantum_circuits._TITLE,
        "Generative models",
        "Entanglement",
    ]
