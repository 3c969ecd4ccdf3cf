"""The demonstration holds all its parts, in order, from one seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qmlphys.report import Row
from qmlphys.workflows import demo
from qmlphys.workflows.runs import Panel


def test_all_parts_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []

    def part(name: str) -> Any:
        def panel(_config: object, _folder: object, **_: object) -> Panel:
            begun.append(name)
            return Panel(name, f"About {name}.", [Row(name, 1.0)], {})

        return panel

    names = ["ising_phases", "ground_state", "quantum_circuits", "generative", "entanglement_scaling"]
    for name in names:
        monkeypatch.setattr(getattr(demo, name), "panel", part(name))
    found = demo.run(out=tmp_path)
    assert begun == names
    assert [row.name for row in found.rows] == begun
    page = found.report.read_text(encoding="utf-8")
    places = [page.index(f"<h2>{name}</h2>") for name in begun]
    assert places == sorted(places)


def test_one_seed_reaches_all_parts() -> None:
    config = demo.DemoConfig.seeded(5)
    assert (config.phases.seed, config.ground_states.seed, config.circuits.seed) == (5, 5, 5)
    assert config.generative_models.seed == 5
    assert max(config.ground_states.sizes) <= 32
