"""One transition from three kinds of snapshots: exact references, one job a scan, nothing sent twice, visible noise."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from qmlphys import exact, lattices
from qmlphys.bits import integers_to_spins
from qmlphys.execution import jobs
from qmlphys.hamiltonians import Ising, TransverseIsing
from qmlphys.phases import SupervisedPhaseClassifier, far_ends
from qmlphys.snapshots import as_xy
from qmlphys.stats import Estimate
from qmlphys.workflows import _device_phases_steps as steps
from qmlphys.workflows import device_phases
from qmlphys.workflows._device_phases_judge import LEARNED, MAGNETIZATION, ExactJudgement, ratio_of
from qmlphys.workflows._device_phases_twin import Cylinder
from qmlphys.workflows.device_phases import DevicePhasesConfig
from qmlphys.workflows.ground_state import Recipe
from qmlphys.workflows.outcome import Outcome

SMALL = DevicePhasesConfig(
    sizes=(4, 6),
    fields=(0.3, 0.6, 0.8, 1.0, 1.2, 1.6, 2.0),
    backends=("statevector", "fake_lagos"),
    n_layers=(1,),
    shots=4000,
    recipe=Recipe(alpha=2, n_samples=256, n_chains=64),
    n_first_steps=60,
    n_steps=40,
    n_draws=32,
    n_chains=32,
    n_configurations=8,
    seed=2,
)


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One ledger of its own for this file."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("QMLPHYS_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def done(home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A finished run."""
    path = tmp_path_factory.mktemp("run")
    return path, device_phases.run(SMALL, out=path, timeout=300)


@pytest.fixture(scope="module")
def network() -> SupervisedPhaseClassifier:
    """A network that saw both ends of a scan of six sites."""
    ds = device_phases.classical_twin(6, np.linspace(0.3, 2.3, 9).tolist(), n_chains=32, n_draws=8, rng=1)
    X, field, groups = as_xy(ds)
    ends, y = far_ends(field)
    return SupervisedPhaseClassifier("cnn", shape=(6,), random_state=1).fit(X[ends], y, groups=groups[ends])


def chances_of(size: int, field: float) -> np.ndarray:
    model = TransverseIsing(lattices.chain(size), field=field)
    vector = exact.ground_state(model, sector=exact.Sector(spin_flip=1), vectors=True).vector
    return np.abs(vector) ** 2


def transfer_matrix(size: int, temperature: float) -> np.ndarray:
    """From one diagonal of the square lattice to the next."""
    states = integers_to_spins(np.arange(2**size), size).astype(float)
    return np.exp(states @ (states + np.roll(states, 1, axis=1)).T / temperature)


# --- the classical twin --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [3, 4, 5])
@pytest.mark.parametrize("field", [0.3, 1.0, 2.5])
def test_the_largest_eigenvector_of_the_transfer_matrix_is_the_ground_state(size: int, field: float) -> None:
    matrix = transfer_matrix(size, float(device_phases.twin_temperature(field)))
    values, vectors = np.linalg.eig(matrix)
    found = np.abs(vectors[:, int(np.argmax(values.real))]) ** 2
    known = chances_of(size, field)
    # rtol is that of nearly degenerate eigenvectors at low fields.
    np.testing.assert_allclose(found / found.sum(), known, rtol=1e-8, atol=1e-10)
    wrong = chances_of(size, 1.1 * field)
    assert np.abs(wrong - known).max() > 1e-3  # control: another field is another distribution


def test_a_cylinder_has_the_distribution_of_its_transfer_matrix() -> None:
    lattice = Cylinder("square", 5, True, 3)
    neighbours = lattice.neighbours
    assert lattice.shape == (5, 3)
    assert len(lattice.edges) == 2 * lattice.n_sites
    assert all(site in neighbours[other] for site in range(15) for other in neighbours[site])
    # Every site lies on one diagonal, and is joined to two sites of the next one and two of the last one.
    diagonals = lattice.diagonals
    assert sorted(diagonals.ravel().tolist()) == list(range(15))
    where = np.empty(15, dtype=int)
    for k, diagonal in enumerate(diagonals):
        where[diagonal] = k
    for site in range(15):
        assert sorted((where[neighbours[site]] - where[site]) % 5) == [1, 1, 4, 4]
    # All 2^15 configurations.
    states = integers_to_spins(np.arange(2**15), 15)
    weights = np.exp(-Ising(lattice).energy(states) / 2.5)
    rows = states[:, diagonals[2]]
    index = ((1 - rows) // 2) @ 2 ** np.arange(3)
    found = np.bincount(index, weights=weights, minlength=8)
    known = np.diag(np.linalg.matrix_power(transfer_matrix(3, 2.5), 5))
    np.testing.assert_allclose(found / found.sum(), known / known.sum(), rtol=1e-10)


def test_monte_carlo_of_the_twin_has_the_moments_of_the_ground_state() -> None:
    fields = [2.0, 0.5, 1.0]  # in any order
    ds = device_phases.classical_twin(6, fields, n_chains=64, n_draws=8, rng=3)
    assert (ds.attrs["source"], ds.attrs["lattice"], ds.sizes["draw"]) == ("montecarlo", "chain(6)", 64)
    spins = ds["spins"].values.astype(float)
    square = (spins.mean(axis=-1) ** 2).mean(axis=2)
    bonds = (spins * np.roll(spins, 1, axis=-1)).mean(axis=(2, 3))
    for k, field in enumerate(fields):
        known = exact.tfim_chain_correlations(6, field=field)
        for values, truth in ((square[k], known.mean()), (bonds[k], known[1])):
            error = values.std(ddof=1) / 8
            assert abs(values.mean() - truth) < 5 * error
            assert error < 0.01
    # control: the order at a field that is off by 15 %
    off = exact.tfim_chain_correlations(6, field=1.15).mean()
    assert abs(square[2].mean() - off) > 5 * square[2].std(ddof=1) / 8


def test_only_positive_fields_have_a_temperature() -> None:
    assert float(device_phases.twin_temperature(1.0)) == pytest.approx(exact.critical_temperature("square"), rel=1e-12)
    with pytest.raises(ValueError, match="`field` must be positive"):
        device_phases.twin_temperature([1.0, 0.0])
    with pytest.raises(ValueError, match="`k` must be 1"):
        Cylinder("square", 8, True, 3).edges_of_order(2)


# --- states and circuits -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "field"), [(4, 1.0), (8, 0.1), (10, 0.1), (9, 1.4)])
def test_ground_states_are_those_of_the_even_sector(size: int, field: float) -> None:
    state = device_phases.ground_state(size, field)
    vector = state.to_vector()
    # DMRG stops at an energy steady within 1e-8; fields of 0.1 are where it breaks the symmetry by itself.
    np.testing.assert_allclose(np.abs(vector) ** 2, chances_of(size, field), atol=1e-5)
    assert abs(vector @ vector[::-1] - 1) < 1e-6
    assert state.norm == pytest.approx(1.0, abs=1e-12)


def test_exact_circuits_measure_the_ground_state() -> None:
    from qmlphys import execution

    state = device_phases.ground_state(5, 0.9)
    circuit = device_phases.circuits_of([state])[0]
    found = execution.run(circuit, "statevector", shots=None)["probability"].values[0]
    np.testing.assert_allclose(found, chances_of(5, 0.9), atol=1e-7)  # of DMRG
    assert circuit.metadata["fidelity"] == pytest.approx(1.0, abs=1e-10)


# --- the judgement -------------------------------------------------------------------------------------------


def test_the_exact_judgement_is_what_many_snapshots_say(network: SupervisedPhaseClassifier) -> None:
    fields = [0.5, 0.8, 1.0, 1.2, 1.6, 2.0]
    for size in (4, 6):
        states = [device_phases.ground_state(size, h) for h in fields]
        ds = device_phases.mps_snapshots(states, fields, n_draws=6400, seed=size)
        judged = device_phases.judge(network, ds)
        exactly = ExactJudgement(network, size)
        for k, h in enumerate(fields):
            known = exactly.at(h)
            assert abs(judged["output"].values[k] - known.output) < 5 * judged["output_error"].values[k]
            for learner in (LEARNED, MAGNETIZATION):
                ratio = ratio_of(judged, learner)
                assert abs(ratio.values[k] - known.ratios[learner]) < 5 * ratio.errors[k]
            truth = exact.tfim_chain_correlations(size, field=h)[1 : size // 2 + 1]
            deviation = judged["correlation"].values[k] - truth
            assert (np.abs(deviation) < 5 * judged["correlation_error"].values[k]).all()
        assert judged["output"].values[0] > judged["output"].values[-1] + 0.3  # it tells phases
        found = Estimate(judged.attrs["transition"], judged.attrs["transition_error"])
        assert abs(found.deviation(exactly.transition(np.array(fields)))) < 5
        assert found.error < 0.03


def test_the_critical_field_is_that_of_the_exact_curves(network: SupervisedPhaseClassifier) -> None:
    fields = np.linspace(0.4, 2.2, 13)
    judged = []
    for size in (4, 8):
        states = [device_phases.ground_state(size, h) for h in fields]
        ds = device_phases.mps_snapshots(states, fields.tolist(), n_draws=6400, seed=size)
        judged.append(device_phases.judge(network, ds))
    exactly = [ExactJudgement(network, size) for size in (4, 8)]
    for learner in (LEARNED, MAGNETIZATION):
        known = exactly[0].crossing(exactly[1], fields, learner)
        found = device_phases.critical_field(*judged, learner=learner)
        assert abs(found.deviation(known)) < 5
        assert found.error < 0.03
        assert 0.8 < known < 1.0  # rings this short cross well below the critical field
    assert exactly[0].crossing(exactly[1], fields, MAGNETIZATION) == pytest.approx(0.8913, abs=5e-4)
    with pytest.raises(ValueError, match="cross"):
        device_phases.critical_field(judged[0], judged[0])


def test_a_single_chain_of_dependent_draws_has_no_error(network: SupervisedPhaseClassifier) -> None:
    ds = device_phases.classical_twin(4, [0.5, 1.0, 1.5, 2.0], n_chains=2, n_draws=2, rng=1)
    with pytest.raises(ValueError, match="at least two independent chains or shots, but it has 1 chains of 16 draws"):
        device_phases.judge(network, ds.isel(chain=slice(1)))


# --- the whole way -------------------------------------------------------------------------------------------


def test_one_job_a_scan_and_all_sources_agree_but_the_noisy_one(done: tuple[Path, Outcome]) -> None:
    path, outcome = done
    book = jobs.jobs()
    assert len(book) == 4  # two sizes on two backends
    rows = {row.name: row for row in outcome.rows}
    clean = ("neural states", "Monte Carlo", "matrix product states")
    for size in (4, 6):
        for source in clean:
            row = rows[f"output 1/2, N = {size}, {source}"]
            assert row.deviation is not None
            assert abs(row.deviation) < 5
            assert row.error is not None
            assert row.error < 0.05
        # Noise looks like disorder at every field: this device sees no order at all in either size.
        record = json.loads((path / "steps" / f"judged-fake-lagos-1-layer-0{size}.json").read_text(encoding="utf-8"))
        judged = xr.Dataset.from_dict(record["outcome"])
        known = json.loads((path / "steps" / "known.json").read_text(encoding="utf-8"))["outcome"]["output"][str(size)]
        assert (judged["output"].values < known - 5 * judged["output_error"].values).all()
        assert math.isnan(rows[f"output 1/2, N = {size}, fake_lagos, 1 layer"].value)
    names = [name for name in rows if name.startswith("<m^2>")]
    assert len(names) == 5
    shares = [rows[name].value for name in rows if name.startswith("share of <Z Z'> kept, distance 1, N = 6")]
    ideal, noisy_share = shares
    assert ideal > 0.9 > noisy_share > 0.2
    error = rows["readout error, fake_lagos, 1 layer"].value
    assert 0.05 < error < 0.25  # of this device most of the noise is readout
    assert noisy_share < (1 - 2 * error) ** 2 + 0.05  # gates lose something too
    assert rows["endless chain, for comparison"].value == 1.0
    page = outcome.report.read_text(encoding="utf-8")
    assert page.count("<img ") >= 4
    settings = json.loads((path / "settings.json").read_text(encoding="utf-8"))
    assert settings["config"]["backends"] == ["statevector", "fake_lagos"]
    truth = [exact.tfim_chain_correlations(6, field=h)[1:4] for h in SMALL.fields]
    assert (judged["correlation"].values < truth).all()


def test_a_second_start_computes_and_sends_nothing(done: tuple[Path, Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    path, first = done

    def never(*_: object, **__: object) -> None:
        raise AssertionError("this was done before")

    for name in ("submit", "fetched", "ground_state", "classical_twin", "mps_snapshots", "judge"):
        monkeypatch.setattr(steps, name, never)
    monkeypatch.setattr("qmlphys.workflows._ground_state_scan._train", never)
    again = device_phases.run(SMALL, out=path)
    assert [(row.name, row.value) for row in again.rows if math.isfinite(row.value)] == [
        (row.name, row.value) for row in first.rows if math.isfinite(row.value)
    ]
    assert again.n_resumed > 20


def test_what_was_submitted_is_fetched_by_a_later_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What is sent and fetched does not depend on the neural states: they may be rough.
    rough = Recipe(alpha=1, n_samples=64, n_chains=16)
    config = replace(
        SMALL, backends=("statevector",), n_layers=(0,), shots=500, monte_carlo=False, seed=5,
        recipe=rough, n_first_steps=30, n_steps=10, n_draws=16,
    )  # fmt: skip
    before = len(jobs.jobs())
    told: list[str] = []
    sent = device_phases.submit(config, out=tmp_path, tell=told.append)
    assert [(job.label, job.size) for job in sent] == [
        ("statevector, exact circuit", 4),
        ("statevector, exact circuit", 6),
    ]
    assert len(jobs.jobs()) == before + 2
    assert any(sent[0].job_id[:12] in text for text in told)
    # Killed after the ledger had the job and before the folder had its id: the same circuits have the same id.
    record = next((tmp_path / "steps").glob("device-*-04-job.json"))
    record.unlink()
    assert device_phases.submit(config, out=tmp_path) == sent
    assert len(jobs.jobs()) == before + 2

    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(steps, "fetched", stopped)
        with pytest.raises(KeyboardInterrupt):
            device_phases.run(config, out=tmp_path)
    with monkeypatch.context() as patch:

        def never(*_: object, **__: object) -> None:
            raise AssertionError("nothing is sent twice")

        patch.setattr(steps, "submit", never)
        found = device_phases.run(config, out=tmp_path, timeout=120)
    assert len(jobs.jobs()) == before + 2
    assert found.n_resumed > 14  # the neural states of both sizes among them
    rows = {row.name: row for row in found.rows}
    assert not any("Monte Carlo" in name for name in rows)
    share = next(row for name, row in rows.items() if name.startswith("share of <Z Z'> kept, distance 1"))
    assert share.error is not None
    assert abs(share.value - 1) < 5 * share.error


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": (6,)}, "at least two growing sizes"),
        ({"sizes": (8, 6)}, "at least two growing sizes"),
        ({"sizes": (2, 6)}, "from 3 to 64"),
        ({"fields": (0.5, 1.0)}, "at least five different positive numbers"),
        ({"fields": (0.0, 0.5, 1.0, 1.5, 2.0)}, "at least five different positive numbers"),
        ({"backends": ()}, "name different backends"),
        ({"backends": ("aer", "AER")}, "name different backends"),
        ({"backends": ("ear",)}, "did you mean 'aer'"),
        ({"backends": ("ibm",)}, "must name its device"),
        ({"n_layers": ()}, "different numbers, at least one"),
        ({"n_layers": (9,)}, "from 0 to 8, but it holds 9"),
        ({"shots": 100}, "`shots` must be a whole number from 200"),
        ({"max_bond": 1}, "`max_bond` must be a whole number from 2"),
        ({"end_fraction": 0.5}, "between 0 and 0.5"),
        ({"recipe": Recipe(n_samples=4, n_chains=2)}, "at least 4 chains"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)


def test_a_text_is_no_list_of_backends() -> None:
    with pytest.raises(TypeError, match="`backends` must be a list or a tuple, but it is 'aer'"):
        replace(SMALL, backends="aer")  # type: ignore[arg-type]
