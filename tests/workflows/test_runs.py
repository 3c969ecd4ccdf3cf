"""Run folders: what is finished is kept, what changed is computed again, nothing is half-written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from qmlphys import plotting, snapshots
from qmlphys.report import read_results
from qmlphys.stats import Estimate
from qmlphys.workflows.runs import Row, RunFolder


@dataclass(frozen=True)
class Config:
    size: int = 8
    temperatures: tuple[float, ...] = (1.0, 2.0)


class Counter:
    """A step that counts how often it was computed."""

    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome
        self.n = 0

    def __call__(self) -> Any:
        self.n += 1
        return self.outcome


def data() -> xr.Dataset:
    return snapshots.dataset(
        np.ones((1, 2, 3, 4), dtype=np.int8),
        [1.0],
        name="temperature",
        units="J/k_B",
        source="montecarlo",
        model="",
        lattice="",
        seed=0,
    )


def test_a_finished_step_is_read(tmp_path: Path) -> None:
    work = Counter({"x": np.float64(0.1), "list": np.arange(3), "nan": float("nan"), "deep": {"a": (1, "b")}})
    first = RunFolder(tmp_path / "a" / "b", workflow="w").step("s", Config(), work)
    again = RunFolder(tmp_path / "a" / "b", workflow="w")
    assert (
        again.step("s", Config(), work) == first == {"x": 0.1, "list": [0, 1, 2], "nan": None, "deep": {"a": [1, "b"]}}
    )
    assert work.n == 1
    assert again.n_resumed == 1


@pytest.mark.parametrize(
    ("workflow", "name", "settings", "fresh"),
    [
        ("other", "s", Config(), False),
        ("w", "t", Config(), False),
        ("w", "s", Config(size=9), False),
        ("w", "s", Config(), True),
    ],
)
def test_what_changed_is_computed_again(
    tmp_path: Path, workflow: str, name: str, settings: Config, fresh: bool
) -> None:
    work = Counter({"x": 1})
    RunFolder(tmp_path, workflow="w").step("s", Config(), work)
    RunFolder(tmp_path, workflow=workflow, fresh=fresh).step(name, settings, work)
    assert work.n == 2


@pytest.mark.parametrize("content", ["", "{", "[]", '{"key": 3}', "\ud800"])
def test_a_damaged_record_is_computed_again(tmp_path: Path, content: str) -> None:
    work = Counter({"x": 1})
    RunFolder(tmp_path, workflow="w").step("s", 1, work)
    (tmp_path / "steps" / "s.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    assert RunFolder(tmp_path, workflow="w").step("s", 1, work) == {"x": 1}
    assert work.n == 2


def test_an_interrupted_step_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> dict[str, Any]:
        raise KeyboardInterrupt

    folder = RunFolder(tmp_path, workflow="w")
    with pytest.raises(KeyboardInterrupt):
        folder.step("s", 1, interrupted)
    assert not (tmp_path / "steps").exists()


def test_snapshots_are_loaded_if_they_are_there(tmp_path: Path) -> None:
    work = Counter(data())
    RunFolder(tmp_path, workflow="w").snapshots("cold", 1, work)
    again = RunFolder(tmp_path, workflow="w").snapshots("cold", 1, work)
    assert work.n == 1
    xr.testing.assert_identical(again, data())
    RunFolder(tmp_path, workflow="w").snapshots("cold", 2, work)
    assert work.n == 2


@pytest.mark.parametrize("damage", ["remove", "truncate"])
def test_damaged_snapshots_are_made_again(tmp_path: Path, damage: str) -> None:
    work = Counter(data())
    RunFolder(tmp_path, workflow="w").snapshots("cold", 1, work)
    file = tmp_path / "cold.nc"
    if damage == "remove":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:1000])
    RunFolder(tmp_path, workflow="w").snapshots("cold", 1, work)
    assert work.n == 2
    assert snapshots.load(file).identical(data())


def test_a_kill_between_data_and_record_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New data beside an old record would be taken for what the old settings gave."""
    work = Counter(data())
    RunFolder(tmp_path, workflow="w").snapshots("cold", 1, work)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("qmlphys.workflows.runs._write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            RunFolder(tmp_path, workflow="w").snapshots("cold", 2, work)
    RunFolder(tmp_path, workflow="w").snapshots("cold", 1, work)
    assert work.n == 3


@pytest.mark.parametrize("name", ["", "../a", "a/b", "A", ".hidden", "a" * 101, "a b"])
def test_names_cannot_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    folder = RunFolder(tmp_path / "run", workflow="w")
    with pytest.raises(ValueError, match="must be made of"):
        folder.step(name, 1, dict)
    with pytest.raises(ValueError, match="must be made of"):
        folder.snapshots(name, 1, data)
    assert list(tmp_path.iterdir()) == []


def test_only_plain_values_are_kept(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not object"):
        RunFolder(tmp_path, workflow="w").step("s", 1, lambda: {"x": object()})


def test_the_whole_folder_becomes_a_report(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, workflow="w")
    folder.write_settings(Config(), title="A title", summary="What", figures=[("one", "Caption of one")])
    rows = [Row("nu", 1.01, 0.02, 1.0, source="collapse"), Row("lost", float("nan"), float("inf"))]
    folder.write_results(rows)
    folder.save_figure("one", plotting.estimates({"a": Estimate(1, 0.1)}).figure)
    page = folder.write_report().read_text(encoding="utf-8")
    assert "1.01(2)" in page
    assert "Caption of one" in page
    assert read_results(tmp_path)[0] == rows[0]
    content = json.loads((tmp_path / "settings.json").read_text(encoding="utf-8"))
    assert content["config"] == {"size": 8, "temperatures": [1.0, 2.0]}
    assert {"python", "qmlphys", "torch"} <= set(content["versions"])
    raw = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert set(raw[0]) == {"name", "value", "error", "exact", "unit", "source", "section"}
    assert raw[1]["value"] is None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["figures", "report.html", "results.json", "settings.json"]
