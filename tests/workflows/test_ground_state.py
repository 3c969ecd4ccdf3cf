"""Neural ground states: right energies, resumable scans, snapshots in any basis, a transition that was not known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from qmlphys import exact, nqs, snapshots
from qmlphys.hamiltonians import SpinHalf
from qmlphys.workflows import _ground_state_collapse as collapse
from qmlphys.workflows import _ground_state_output as outputs
from qmlphys.workflows import _ground_state_phases as journeys
from qmlphys.workflows import _ground_state_scan as scans
from qmlphys.workflows import analysis, ground_state
from qmlphys.workflows.ground_state import GroundStateConfig, PhasesConfig, Recipe, ScanConfig
from qmlphys.workflows.runs import RunFolder

LEARNERS = (journeys.TRANSFERRED, journeys.COMPONENT, journeys.CONFUSION, journeys.MAGNETIZATION)
QUICK = Recipe(alpha=2, n_samples=256, n_chains=64)
SCAN = ScanConfig(size=8, fields=(0.6, 1.0, 1.4, 1.8, 2.2), recipe=QUICK, n_first_steps=60, n_steps=30, n_draws=40)


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, xr.Dataset]:
    path = tmp_path_factory.mktemp("scan") / "states"
    return path, ground_state.scan(SCAN, folder=RunFolder(path, workflow="test"))


def exact_snapshots(n: int, h: float, n_rows: int, rng: np.random.Generator) -> NDArray[np.int8]:
    """Draw the ring's ground state exactly: its bonds Z_i Z_(i+1) are free-fermion occupations, a determinantal law.

    With G_ij = <i b_i a_(j+1)> (Lieb, Schultz and Mattis 1961) the probability of bonds d is det(1 + diag(d) G) / 2^n,
    drawn bond by bond from Schur complements, all rows side by side.
    """
    k = np.pi * (2 * np.arange(n) + 1) / n
    phase = (1 + h * np.exp(1j * k)) / np.abs(1 + h * np.exp(1j * k))
    distance = np.arange(n)[None, :] - np.arange(n)[:, None]
    g = np.exp(1j * k * distance[..., None]) @ phase / n
    kernel = np.tile((np.eye(n) + g.real) / 2, (n_rows, 1, 1))
    bonds = np.empty((n_rows, n))
    for i in range(n):
        p = kernel[:, i, i]
        kept = rng.random(n_rows) < p
        bonds[:, i] = np.where(kept, 1, -1)
        pivot = np.where(kept, p, p - 1)
        column = kernel[:, i + 1 :, i] / pivot[:, None]
        kernel[:, i + 1 :, i + 1 :] -= column[:, :, None] * kernel[:, i : i + 1, i + 1 :]
    first = rng.choice([-1.0, 1.0], size=(n_rows, 1))
    return (first * np.concatenate([np.ones((n_rows, 1)), np.cumprod(bonds[:, :-1], axis=1)], axis=1)).astype(np.int8)


def test_the_energy_is_that_of_free_fermions_on_fresh_samples() -> None:
    config = GroundStateConfig(size=10, field=1.5, n_steps=150, n_final=8192, recipe=QUICK)
    found = ground_state.run(config)
    truth = exact.tfim_chain_energy(10, field=1.5)
    energy = found.energy.energy
    # The variational bound, and the variance of a state this good: the gap above is larger than 1.
    assert energy.mean > truth - 4 * energy.error
    assert energy.mean < truth + found.energy.variance.mean + 4 * energy.error
    assert found.energy.v_score < 1e-4
    assert found.history["v_score"].values[0] > 1e-2
    assert {row.name for row in found.rows} >= {"energy", "V-score", "steps"}
    assert next(row for row in found.rows if row.name == "energy").exact == truth


def test_a_ground_state_goes_on_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = GroundStateConfig(size=6, n_steps=40, n_final=512, recipe=QUICK)
    straight = ground_state.run(config)
    with monkeypatch.context() as patch:
        run = nqs.VMC.run
        patch.setattr(nqs.VMC, "run", lambda self, _, **options: run(self, 20, **options))  # as if it were stopped
        half = ground_state.run(config, out=tmp_path)
    assert half.history.sizes["step"] == 20
    resumed = ground_state.run(config, out=tmp_path)
    assert resumed.history.sizes["step"] == 40
    assert resumed.energy.energy.mean == straight.energy.energy.mean
    assert resumed.report is not None
    assert resumed.report.read_text(encoding="utf-8").count("<img ") == 1


@pytest.mark.parametrize(("name", "size"), [("heisenberg", 8), ("j1j2", 8)])
def test_antiferromagnets_stay_in_their_sector(name: str, size: int) -> None:
    config = GroundStateConfig(
        hamiltonian=name, size=size, field=0.3, n_steps=120, n_final=4096, recipe=Recipe(2, 256, 64, step_size=0.03)
    )
    found = ground_state.run(config)
    truth = next(row.exact for row in found.rows if row.name == "energy")
    assert truth is not None
    assert -4 * found.energy.energy.error < found.energy.energy.mean - truth < 0.02 * abs(truth)


def test_a_scan_is_a_snapshot_data_set_with_the_right_energies(scanned: tuple[Path, xr.Dataset]) -> None:
    ds = scanned[1]
    snapshots.check(ds)
    assert ds.attrs["source"] == "nqs"
    assert ds["parameter"].attrs["name"] == "field"
    assert analysis.known_critical_point(ds) == 1.0
    energies, errors = scans.energies_of(ds)
    truth = np.array([exact.tfim_chain_energy(8, field=h) / 8 for h in ds["parameter"].values])
    assert (np.abs(energies - truth) < 5 * errors + 1e-3).all()
    assert (np.array(json.loads(ds.attrs["v_scores"])) < 1e-3).all()
    # and the correlations: both signs of the cat state were met
    X = ds["spins"].values
    ends = (X[:, :, :, 0].astype(float) * X[:, :, :, 4]).mean(axis=(1, 2))
    known = [exact.tfim_chain_correlations(8, field=h)[4] for h in ds["parameter"].values]
    np.testing.assert_allclose(ends, known, atol=0.08)  # 5 sigma of 2560 correlated draws
    assert ends[0] > 0.8
    assert abs(X[0].mean()) < 0.5


def test_a_scan_that_was_stopped_goes_on(scanned: tuple[Path, xr.Dataset], monkeypatch: pytest.MonkeyPatch) -> None:
    path, before = scanned
    last = max((path / "steps").iterdir())
    last.unlink()
    trained = []
    original = scans._train

    def counted(*arguments: object) -> xr.Dataset:
        trained.append(arguments[1])
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(scans, "_train", counted)
    again = ground_state.scan(SCAN, folder=RunFolder(path, workflow="test"))
    assert trained == [0.6]
    xr.testing.assert_identical(again["spins"], before["spins"])


@pytest.mark.parametrize(
    ("size", "parts"),
    [(18, [(6, 3e-4, 0.9, False), (12, 1e-2, 0.0, True)]), (8, [(6, 3e-4, 0.9, False), (12, 3e-4, 0.9, True)])],
)
def test_relaxation_ends_the_training(
    size: int, parts: list[tuple[int, float, float, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[tuple[int, float, float, bool]] = []
    real = scans.driver_of

    def recorded(model: SpinHalf, state: nqs.State, recipe: Recipe, **settings: Any) -> nqs.VMC:
        modes = settings.get("collective") is not None
        found.append((settings["n_steps"], recipe.diagonal_shift, recipe.momentum, modes))
        return real(model, state, recipe, **settings)

    monkeypatch.setattr(scans, "driver_of", recorded)
    config = ScanConfig(size=size, fields=(1.5,), recipe=QUICK, n_first_steps=18, relaxation=2 / 3, n_draws=2)
    (state,) = scans.scan_states(config)
    assert found == parts  # sums over all configurations have no noise that a large shift would keep out
    offset, error = json.loads(state.attrs["offset"])
    assert abs(offset) < 0.1
    assert error == 0 if size == 8 else 0 < error < 0.05


def test_one_step_is_not_one_of_relaxation() -> None:
    scans.scan_states(ScanConfig(size=6, fields=(1.5,), recipe=QUICK, n_first_steps=1, relaxation=0.9, n_draws=1))


def test_a_state_without_an_offset_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    # Without a field the samples keep the product of the spins, which the model at another field would not.
    config = ScanConfig(size=6, fields=(0.0, 1.0), recipe=QUICK, n_first_steps=20, relaxation=0.5, n_draws=2)
    ds = ground_state.scan(config)
    assert json.loads(ds.attrs["offsets"])[0] == [None, None]
    assert "the offset of field 0 is not known" in caplog.text
    errors = collapse.state_errors(ds)
    assert np.isfinite(errors).tolist() == [False, True]


def test_points_without_a_known_error_are_left_out() -> None:
    windows = windows_of(np.random.default_rng(3), 1.0, 0.001)
    windows[1]["state_error"][2] = np.nan
    points = collapse.points_of(windows, "m")
    assert [len(column) for column in points] == [20] * 4
    assert np.isfinite(points).all()


def test_the_error_of_a_state_is_its_offset_and_the_error_of_that(tmp_path: Path) -> None:
    config = ScanConfig(size=8, fields=(1.5, 1.2), recipe=QUICK, n_first_steps=20, n_steps=5, n_draws=2)
    settled = replace(config, relaxation=0.5)
    folder = RunFolder(tmp_path, workflow="test")
    kept = scans.joined(scans.scan_states(settled, folder=folder))
    again = scans.joined(scans.scan_states(settled, folder=folder))  # read back from files
    offsets = json.loads(kept.attrs["offsets"])
    assert json.loads(again.attrs["offsets"]) == offsets
    assert "offsets" not in scans.scan(config).attrs
    assert len(offsets) == 2
    offsets[0][1] = 3 / 4 * 1.25 * offsets[0][0]
    found = collapse.state_errors(kept.assign_attrs(offsets=json.dumps(offsets)))
    np.testing.assert_allclose(found, [1.25**2 * abs(offsets[0][0]), 1.25 * abs(offsets[1][0])])


def test_snapshots_in_the_basis_of_the_field() -> None:
    config = ScanConfig(size=6, fields=(1.5,), basis="X", recipe=QUICK, n_first_steps=80, n_draws=20)
    ds = ground_state.scan(config)
    assert ds.attrs["basis"] == "X"
    known = exact.tfim_chain_transverse_magnetization(6, field=1.5)
    assert ds["magnetization"].values.mean() == pytest.approx(known, abs=0.03)  # 5 sigma of 1280 draws
    assert (ds["spins"].values.prod(axis=-1) == 1).all()  # the parity of the ground state


def windows_of(rng: np.random.Generator, centre: float, state_error: float = 0.0) -> list[xr.Dataset]:
    """Moments of the magnetisation in exact snapshots, laid out as the journey keeps them."""
    parts = []
    for size in (8, 12, 16):
        fields = centre * (1 + 1.5 / size * np.linspace(-1, 1, 7))
        q = np.array([exact_snapshots(size, h, 3200, rng).mean(axis=1).reshape(32, 100) for h in fields])
        dims = ("learner", "parameter", "group")
        powers = [(q**p).mean(axis=-1)[None] for p in (2, 4)]
        errors = np.full(7, state_error)
        parts.append(
            xr.Dataset(
                {"second": (dims, powers[0]), "fourth": (dims, powers[1]), "state_error": ("parameter", errors)},
                {"learner": ["m"], "parameter": fields},
                {"size": size},
            )
        )
    return parts


def test_exact_snapshots_have_the_known_correlations() -> None:
    X = exact_snapshots(8, 0.9, 20_000, np.random.default_rng(1)).astype(float)
    found = (X[:, :1] * X).mean(axis=0)
    np.testing.assert_allclose(found, exact.tfim_chain_correlations(8, field=0.9)[:8], atol=5 / np.sqrt(20_000))
    assert found[4] < 0.75


@pytest.mark.parametrize("centre", [0.96, 1.05])
def test_the_collapse_of_exact_snapshots_gives_the_critical_field(centre: float) -> None:
    fit = collapse.collapse_of(windows_of(np.random.default_rng(3), centre), "m")
    assert 0 < fit.critical_point.error < 0.03
    assert abs(fit.critical_point.mean - 1) < 3 * fit.critical_point.error + 0.01  # corrections of sizes this small
    assert abs(fit.nu.mean - 1) < 3 * fit.nu.error + 0.05


def test_imperfect_states_make_errors_larger() -> None:
    exact_states, others = (windows_of(np.random.default_rng(3), 1.0, error) for error in (0.0, 0.006))
    assert (
        collapse.collapse_of(others, "m").critical_point.error
        > 1.1 * collapse.collapse_of(exact_states, "m").critical_point.error
    )


def test_a_search_whose_fits_fail_says_so_and_draws_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise ValueError("No fit window is acceptable")

    monkeypatch.setattr(journeys, "collapse_of", refused)
    config = PhasesConfig(sizes=(8, 12, 16), training_size=8)
    windows = [
        part.assign_coords(learner=["network 0"]).assign(v_score=("parameter", np.full(7, 1e-6)))
        for part in windows_of(np.random.default_rng(3), 1.0, 0.001)
    ]
    found = journeys.Journey(config, RunFolder(tmp_path, workflow="test"))._collapse(windows)
    assert np.isnan(found["network"]).all()
    fields = np.array(config.fields)
    line = {"parameter": fields, "mean": fields, "error": 0 * fields, "crossing": [1.0, 0.1]}
    parts = {
        str(size): {"network 0": line, "v_score": fields, "splits": fields, "indicator": [fields, fields]}
        for size in config.sizes
    }
    drawn = outputs.figures(config, parts, found, parts)
    assert set(drawn) >= {"ground-state-output", "ground-state-crossing"}
    assert "ground-state-collapse" not in drawn
    assert "no fit is acceptable" in drawn["ground-state-output"][1]
    parts = {size: {**part, "clustering": [1.0, 0.1], "confusion": [1.0, 0.1]} for size, part in parts.items()}
    found |= {name: [np.nan] * 4 for name in ("moved down", "moved up", *LEARNERS)}
    table = {row.name: row for row in outputs.rows(config, parts, found, parts)}
    assert np.isnan(table["h_c, CNN"].value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GroundStateConfig(hamiltonian="hubbard"), "`hamiltonian` must be one of"),
        (lambda: GroundStateConfig(n_steps=0), "`n_steps`"),
        (lambda: ScanConfig(fields=()), "`fields`"),
        (lambda: ScanConfig(size=4, basis="W"), "`basis`"),
        (lambda: ScanConfig(n_draws=0), "`n_draws`"),
        (lambda: Recipe(n_samples=100, n_chains=64), "multiple of the 64 chains"),
        (lambda: Recipe(step_size=0.0), "`step_size`"),
        (lambda: PhasesConfig(sizes=(16,)), "`sizes`"),
        (lambda: PhasesConfig(training_size=20), "`training_size`"),
        (lambda: PhasesConfig(n_seeds=1), "`n_seeds`"),
        (lambda: PhasesConfig(half_width=9.0), "`half_width`"),
        (lambda: PhasesConfig(ends=(1.0, 0.5)), "`ends`"),
        (lambda: ScanConfig(hamiltonian="j1j2", relaxation=0.5), "`relaxation` must be 0 but for the order of tfim"),
        (lambda: ScanConfig(relaxation=1.0), "`relaxation` must be at least 0 and less than 1"),
    ],
)
def test_wrong_settings_are_named(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.slow
def test_the_transition_is_found_without_being_known(tmp_path: Path) -> None:
    found = ground_state.phases(ground_state.demo_config(seed=2), out=tmp_path)
    rows = {row.name: row for row in found.rows if row.name.startswith("h_c")}
    assert len(rows) == 7
    for row in rows.values():
        assert row.error is not None
        assert 0 < row.error < 0.06
        assert abs(row.value - 1) < 3.5 * row.error
    again = ground_state.phases(ground_state.demo_config(seed=2), out=tmp_path)
    assert again.rows == found.rows
    assert found.n_resumed == 0
    assert again.n_resumed >= 3 * ground_state.demo_config().n_scan  # every state of the scans, and more


@pytest.mark.slow
def test_chains_up_to_64_give_the_exponent(tmp_path: Path) -> None:
    rows = {row.name: row for row in ground_state.phases(PhasesConfig(), out=tmp_path).rows}
    for name in ("CNN", "clustering", "confusion"):
        for quantity, most in (("h_c", 0.01), ("nu", 0.05)):
            row = rows[f"{quantity}, {name}"]
            assert row.error is not None
            assert 0 < row.error < most
            assert abs(row.value - 1) < most


@pytest.mark.slow
def test_the_transition_of_squares_is_found(tmp_path: Path) -> None:
    config = PhasesConfig(lattice="square", sizes=(4, 6, 8), training_size=6, n_scan=11)
    rows = {row.name: row for row in ground_state.phases(config, out=tmp_path).rows}
    for name in ("h_c, CNN", "h_c, clustering", "h_c, magnetisation"):
        row = rows[name]
        assert row.error is not None
        assert 0 < row.error < 0.05
        assert abs(row.value - 3.04433) < 3.5 * row.error
        assert abs(row.value / 3.04433 - 1) < 0.01
