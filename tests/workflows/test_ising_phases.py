"""The demonstration, made small: right, resumable, free of exact values, and whole when it was interrupted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from qmlphys import exact, snapshots
from qmlphys.report import read_results
from qmlphys.workflows import _ising_phases_steps as steps
from qmlphys.workflows import ising_phases
from qmlphys.workflows.ising_phases import IsingPhasesConfig
from qmlphys.workflows.outcome import Outcome

SMALL = IsingPhasesConfig(
    sizes=(6, 12),
    training_size=12,
    n_scan=13,
    n_scan_draws=8,
    n_training_draws=6,
    n_draws=(150, 100),
    n_transfer_draws=(150, 100),
    seed=4,
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Outcome]]:
    """One run, in which every known critical temperature is wrong: what it finds cannot rest on them."""
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "critical_temperature", lambda name: 1.5 if name == "square" else 5.5)
        yield folder, ising_phases.run(SMALL, out=folder)


def test_critical_temperatures_are_found_without_being_known(small: tuple[Path, Outcome]) -> None:
    found = {row.name: row for row in small[1].rows if row.name.startswith("T_c")}
    assert len(found) == 7
    for name, row in found.items():
        truth = 3.640957 if "triangular" in name else 2.269185
        assert row.error is not None
        assert 0 < row.error < 0.1
        # Lattices this small leave corrections to scaling of a percent beside the statistical error.
        assert abs(row.value - truth) < 4 * row.error + 0.02, name
        assert row.exact == (5.5 if "triangular" in name else 1.5)


def test_no_learner_beats_the_bayes_limit_or_is_useless(small: tuple[Path, Outcome]) -> None:
    table = {row.name: row for row in small[1].rows if row.name.startswith("accuracy")}
    for size in SMALL.sizes:
        limit = table[f"accuracy, Bayes limit, L = {size}"]
        for learner in ("dense network", "CNN", "cut in |m|", "cut in energy"):
            row = table[f"accuracy, {learner}, L = {size}"]
            assert row.error is not None
            assert row.value < limit.value + 4 * row.error
            assert row.value > limit.value - 0.06
    distance = next(row for row in small[1].rows if row.name.startswith("largest distance"))
    assert 0 < distance.value < 0.05


def test_the_folder_is_what_the_contract_says(small: tuple[Path, Outcome]) -> None:
    folder, outcome = small
    assert outcome.report == folder / "report.html"
    assert {p.name for p in folder.iterdir()} == {
        *("settings.json", "results.json", "report.html", "figures", "steps"),
        *("square-06.nc", "square-12.nc", "square-12-confusion.nc", "triangular-12.nc"),
    }
    assert snapshots.load(folder / "square-12.nc").attrs["lattice"] == "square(12)"
    assert read_results(folder) == outcome.rows
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    assert settings["config"]["seed"] == 4
    figures = {p.stem for p in (folder / "figures").iterdir()}
    assert figures >= {"snapshots", "network-output", "cumulant-collapse", "principal-components", "confusion"}
    page = outcome.report.read_text(encoding="utf-8")
    assert page.count("<img ") == len(figures) == len(settings["figures"])
    for row in outcome.rows:
        assert row.text in page


def test_a_finished_run_is_only_reported_again_and_told_step_by_step(
    small: tuple[Path, Outcome], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, outcome = small

    def never(*_: object, **__: object) -> None:
        raise AssertionError("computed again")

    for name in ("SupervisedPhaseClassifier", "PhaseClusterer", "ConfusionScheme", "Simulation", "sample"):
        monkeypatch.setattr(steps, name, never)
    before = outcome.report.read_bytes()
    again = ising_phases.run(SMALL, out=folder, progress=True)
    assert again.rows == outcome.rows
    assert again.n_resumed >= 12
    assert again.report.read_bytes() == before
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("]")[0] for line in lines] == [f"[{k}/{steps.N_STEPS}" for k in range(1, steps.N_STEPS + 1)]


def test_an_interrupted_run_goes_on_and_gives_the_same_numbers(
    small: tuple[Path, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two finished steps are lost and the run is interrupted in the second: the first is then not lost again."""
    folder, outcome = small
    for name in ("confusion", "clusters"):
        (folder / "steps" / f"{name}.json").unlink()

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(steps, "ConfusionScheme", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ising_phases.run(SMALL, out=folder)
    assert (folder / "steps" / "clusters.json").exists()
    assert not list(folder.rglob("*.part"))
    assert ising_phases.run(SMALL, out=folder).rows == outcome.rows


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"training_size": 9}, "`training_size` must be one of the sizes"),
        ({"n_seeds": 1}, "`n_seeds` must be at least 2"),
        ({"sizes": (16,)}, "at least two growing sizes"),
        ({"ends": (1.0, 0.5)}, "two growing positive numbers"),
        ({"n_draws": (1, 2)}, "`n_draws` must hold a positive number for each"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        IsingPhasesConfig(**settings)  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_demonstration_keeps_its_promises(tmp_path: Path) -> None:
    """The default run at another seed than the README's: the goals that it is published with."""
    rows = {row.name: row for row in ising_phases.run(IsingPhasesConfig(seed=12), out=tmp_path).rows}
    square = rows["T_c, square lattice, CNN"]
    assert abs(square.value - exact.critical_temperature("square")) <= 0.01
    assert abs(square.deviation or 0) < 3
    triangular = rows["T_c, triangular lattice, CNN"]
    assert abs(triangular.value / exact.critical_temperature("triangular") - 1) < 0.005
    for control in ("moved down", "moved up"):
        row = rows[f"T_c, control: ends {control}"]
        assert row.error is not None
        assert square.error is not None
        assert abs(row.value - square.value) < 2 * (row.error**2 + square.error**2) ** 0.5
    assert rows["largest distance of the two W, L = 16"].value < 0.02
