"""The critical point from the far ends of a scan: right, reproducible, resumable, and free of exact values."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from qmlphys import exact
from qmlphys.workflows import criticality
from qmlphys.workflows.criticality import MAGNETIZATION, CriticalityConfig

QUICK = CriticalityConfig(
    sizes=(8, 12, 16),
    training_size=8,
    n_seeds=2,
    n_scan=13,
    n_scan_draws=12,
    n_draws=(150, 150, 150),
    n_chunks=(1, 1, 1),
    seed=3,
)


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """One run; exact values are hidden from it, so that what it finds cannot rest on them."""
    folder = tmp_path_factory.mktemp("criticality")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "critical_temperature", lambda name: math.nan)
        return folder, criticality.run(QUICK, out=folder)


def test_the_critical_point_is_covered_by_an_error_that_says_something(quick):
    _, result = quick
    assert abs(result.critical_point.deviation(exact.critical_temperature("square"))) < 4
    assert result.critical_point.error < 0.05
    assert abs(result.nu.deviation(1.0)) < 4
    assert result.nu.error < 0.3
    # The learned order parameter is no relabelled magnetisation, but both see the same transition.
    learned, known = result.scans["network 0"].critical_point, result.scans[MAGNETIZATION].critical_point
    assert learned.mean != known.mean
    assert abs(learned.mean - known.mean) < 0.05


def test_the_error_is_at_least_that_of_the_chains_and_holds_the_scatter_of_the_seeds(quick):
    _, result = quick
    networks = [scan for name, scan in result.scans.items() if name != MAGNETIZATION]
    assert len(networks) == QUICK.n_seeds
    chains = math.sqrt(np.mean([scan.statistical[0] ** 2 for scan in networks]))
    scatter = np.std([scan.critical_point.mean for scan in networks], ddof=1)
    assert result.critical_point.error >= math.hypot(chains, scatter) * (1 - 1e-12)


def test_a_finished_run_is_read_and_not_computed(quick, monkeypatch):
    folder, result = quick

    def never(*args, **kwargs):
        raise AssertionError("computed again")

    for name in ("train", "locate", "measure"):
        monkeypatch.setattr(criticality, name, never)
    again = criticality.run(QUICK, out=folder)
    assert again.critical_point == result.critical_point
    assert again.cumulants.identical(result.cumulants)


def test_a_run_that_lost_a_chunk_computes_that_chunk_and_gives_the_same_bits(quick):
    folder, result = quick
    (folder / "steps" / "size-12-chunk-0.json").unlink()
    again = criticality.run(QUICK, out=folder)
    assert again.cumulants.identical(result.cumulants)
    assert again.critical_point == result.critical_point


def test_the_folder_holds_numbers_figures_and_a_report(quick):
    folder, result = quick
    table = json.loads((folder / "results.json").read_text())
    assert table[0]["value"] == result.critical_point.mean
    assert table[0]["error"] == result.critical_point.error
    assert {path.name for path in (folder / "figures").iterdir()} == {"cumulant-crossing.svg", "cumulant-collapse.svg"}
    assert "<html" in (folder / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("ends", [(0.25, 1.0), (0.35, 1.2), (0.15, 0.85)])
def test_shifted_ends_leave_the_answer_within_its_error(ends):
    result = criticality.run(replace(QUICK, sizes=(8, 16, 32), training_size=16, ends=ends))
    assert abs(result.critical_point.deviation(exact.critical_temperature("square"))) < 3
    assert result.critical_point.error < 0.02


@pytest.mark.slow
def test_the_square_lattice_teaches_the_triangular_one():
    config = replace(QUICK, sizes=(8, 16, 32), training_size=16, lattice="triangular")
    result = criticality.run(config)
    known = exact.critical_temperature("triangular")
    assert abs(result.critical_point.mean / known - 1) < 0.005
    assert abs(result.critical_point.deviation(known)) < 4


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"sizes": (16,)}, "two growing sizes"),
        ({"sizes": (16, 8)}, "two growing sizes"),
        ({"n_draws": (1,)}, "n_draws"),
        ({"ends": (1.0, 0.5)}, "ends"),
        ({"half_width": 9.0}, "half_width"),
        ({"n_chains": 1}, "n_chains"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change, text):
    with pytest.raises(ValueError, match=text):
        replace(QUICK, **change)
