"""From snapshots to a device and back: the right distribution comes out, and nothing is computed or sent twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import xarray as xr

from qmlphys import exact, execution, lattices, snapshots
from qmlphys.bits import integers_to_bits
from qmlphys.generative import BornMachine, FactorGraphModel, GraphGenerativeModel
from qmlphys.hamiltonians import Ising
from qmlphys.mps import MatrixProductState
from qmlphys.report import Row
from qmlphys.workflows import _generative_steps as steps
from qmlphys.workflows import _generative_training as training
from qmlphys.workflows import generative
from qmlphys.workflows._generative_device import _post_selected
from qmlphys.workflows.generative import GenerativeConfig, GraphsConfig, ImagesConfig, StartsConfig
from qmlphys.workflows.runs import RunFolder, Steps
from qmlphys.workflows.sampling import sample_ising

SMALL = GenerativeConfig(
    size=3,
    temperatures=(1.0, 2.0, 3.5),
    n_chains=16,
    n_draws=60,
    max_bond=6,
    n_layers=(0, 1),
    shots=600,
    images=ImagesConfig(size=2, max_bond=4, shots=500, n_shown=4),
    graphs=GraphsConfig(sizes=(3,), n_draws=500, shots=1500, max_steps=40, n_starts=1),
    starts=StartsConfig(n_sites=4, n_draws=300, n_layers=1, max_bond=2, n_seeds=2, max_steps=4),
    seed=3,
)


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One ledger of its own for this file."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("QMLPHYS_HOME", str(folder))
        yield folder


def random_born(n_sites: int, seed: int) -> BornMachine:
    """A machine of whatever state, with all bonds."""
    vector = np.random.default_rng(seed).normal(size=2**n_sites)
    return BornMachine.from_state(MatrixProductState.from_vector(vector), alphabet="bits")


def random_ring(n_qubits: int, seed: int) -> GraphGenerativeModel:
    rng = np.random.default_rng(seed)
    matrices = rng.normal(size=(n_qubits, 2, 2)) + 1j * rng.normal(size=(n_qubits, 2, 2)) + 1.5 * np.eye(2)
    edges = [(i, (i + 1) % n_qubits) for i in range(n_qubits)]
    return GraphGenerativeModel.from_matrices((n_qubits, edges), matrices, visible=list(range(0, n_qubits, 2)))


def probabilities(model: object, n_sites: int) -> np.ndarray:
    return np.exp(model.score_samples(integers_to_bits(np.arange(2**n_sites), n_sites)))  # type: ignore[attr-defined]


def shots_of(chances: np.ndarray, n_shots: int, seed: int) -> xr.Dataset:
    """Snapshots drawn from the probabilities of all configurations."""
    n_sites = len(chances).bit_length() - 1
    outcomes = np.random.default_rng(seed).choice(len(chances), size=n_shots, p=chances)
    return snapshots.dataset(
        (1 - 2 * integers_to_bits(outcomes, n_sites))[None, None].astype(np.int8),
        [0.0],
        name="parameter",
        units="1",
        source="device",
        model="",
        lattice="",
        seed=seed,
    )


def test_bars_and_stripes_are_all_there_once() -> None:
    for size, number in ((2, 6), (3, 14), (4, 30)):
        images = generative.bars_and_stripes(size)
        assert images.shape == (number, size**2)
        pictures = images.reshape(-1, size, size)
        rows = (pictures == pictures[:, :, :1]).all(axis=(1, 2))
        columns = (pictures == pictures[:, :1, :]).all(axis=(1, 2))
        assert (rows | columns).all()
        assert len(np.unique(images, axis=0)) == number
    with pytest.raises(ValueError, match="`size` must be 2 to 6, but it is 7"):
        generative.bars_and_stripes(7)


def test_chi_squared_is_pearsons_and_sees_what_is_wrong() -> None:
    chances = np.random.default_rng(1).dirichlet(np.full(16, 5.0))
    ds = shots_of(chances, 4000, 2)
    found = generative.chi_squared(ds, chances)
    observed = np.array([snapshots.counts(ds).get(f"{k:04b}", 0) for k in range(16)])
    known = scipy.stats.chisquare(observed, 4000 * chances)
    assert found.dof == 15
    np.testing.assert_allclose([found.statistic, found.p_value], [known.statistic, known.pvalue], rtol=1e-9)
    assert found.p_value > 1e-3
    assert generative.chi_squared(ds, chances[::-1]).p_value < 1e-9  # control: all bits inverted
    impossible = np.where(np.arange(16) == int(np.argmax(observed)), 0.0, chances)
    assert generative.chi_squared(ds, impossible / impossible.sum()).p_value == 0
    with pytest.raises(ValueError, match=r"probabilities of sum 1, but they have the shape \(8,\)"):
        generative.chi_squared(ds, chances[:8])
    with pytest.raises(ValueError, match="`parameter` must lie in"):
        generative.chi_squared(ds, chances, parameter=1)
    with pytest.raises(ValueError, match="enough rows for two bins"):
        generative.chi_squared(shots_of(chances, 3, 2), chances)


def test_p_values_of_the_right_model_are_uniform() -> None:
    # Rare outcomes share a bin; the mean of 200 uniform numbers is 1/2 within 5 * 0.29 / sqrt(200).
    chances = np.random.default_rng(3).dirichlet(np.full(64, 0.4))
    values = [generative.chi_squared(shots_of(chances, 500, seed), chances).p_value for seed in range(200)]
    assert abs(np.mean(values) - 0.5) < 5 * 0.29 / 200**0.5
    assert min(values) < 0.1 < 0.9 < max(values)


def test_an_exact_circuit_has_the_distribution_of_its_model() -> None:
    for seed in (1, 2):
        model = random_born(5, seed)
        circuit = generative.compile_circuit(model)
        assert circuit.metadata["fidelity"] == pytest.approx(1.0, abs=1e-10)
        found = execution.run(circuit, "statevector", shots=None)["probability"].values[0]
        np.testing.assert_allclose(found, probabilities(model, 5), atol=1e-12)
    bare = generative.compile_circuit(model, measure=False)
    assert bare.num_clbits == 0
    shallow = generative.compile_circuit(model, n_layers=1)
    assert 0.1 < shallow.metadata["fidelity"] < 0.999
    assert shallow.metadata["two_qubit_gates"] < circuit.metadata["two_qubit_gates"]


def test_factor_graphs_and_graph_models_become_circuits() -> None:
    rng = np.random.default_rng(4)
    scopes = [(0, 1), (1, 2), (2, 0)]
    model = FactorGraphModel.from_tables(scopes, [rng.uniform(0.3, 1.0, (2, 2)) for _ in scopes])
    circuit = generative.compile_circuit(model, ancillas="reused")
    assert circuit.metadata["preparation"] == "post-selected"
    ds = execution.run(circuit, "statevector", shots=20_000, rng=1)
    flags = ds["register"].values == "flag"
    kept = (ds["spins"].values[0, 0][:, flags] == 1).all(axis=1)
    chance = circuit.metadata["success_probability"]
    assert abs(kept.mean() - chance) < 5 * (chance * (1 - chance) / 20_000) ** 0.5
    rows = ds["spins"].values[0, 0][kept][:, ~flags]
    seen = np.bincount(((rows < 0) * 2 ** np.arange(3)).sum(axis=1), minlength=8) / len(rows)
    assert np.abs(seen - probabilities(model, 3)).max() < 5 * 0.5 / len(rows) ** 0.5
    chain = GraphGenerativeModel.from_matrices((3, [(0, 1), (1, 2)]), random_ring(4, 1).matrices_[:3])
    assert generative.compile_circuit(chain).metadata["preparation"] == "deterministic"


def test_what_cannot_be_compiled_is_refused() -> None:
    large = random_born(14, 1)
    assert max(large.bonds_) == 128
    with pytest.raises(ValueError, match="bonds of at most 64 to be prepared exactly, but its largest is 128"):
        generative.compile_circuit(large)
    small = random_born(2, 1)
    with pytest.raises(ValueError, match="`n_layers` must be an integer >= 0, but it is -1"):
        generative.compile_circuit(small, n_layers=-1)
    with pytest.raises(ValueError, match="`ancillas` must be 'one_each' for a Born machine"):
        generative.compile_circuit(small, ancillas="reused")
    with pytest.raises(ValueError, match="`ancillas` must be 'one_each' or 'reused'"):
        generative.compile_circuit(small, ancillas="few")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`n_layers` must be 0 for a GraphGenerativeModel"):
        generative.compile_circuit(random_ring(4, 1), n_layers=2)
    with pytest.raises(TypeError, match="but it is a dict"):
        generative.compile_circuit({})


def test_aer_samples_the_model_and_no_other() -> None:
    model = BornMachine(max_bond=6, random_state=1).fit(generative.bars_and_stripes(3))
    ds = generative.sample_on(generative.compile_circuit(model), "aer", shots=4000, seed=2, values=[1.5], name="size")
    assert (ds.attrs["source"], ds["parameter"].values.tolist()) == ("device", [1.5])
    assert generative.chi_squared(ds, model).p_value > 1e-4
    # Controls that must fail: the order of the sites reversed in the circuit's place, and a machine of other data.
    other = BornMachine(max_bond=6, random_state=1).fit(generative.bars_and_stripes(3)[2:])
    assert generative.chi_squared(ds, other).p_value < 1e-9
    half = BornMachine(max_bond=6, random_state=1).fit(
        np.repeat(generative.bars_and_stripes(3), [2] * 5 + [1] * 9, axis=0)
    )
    assert generative.chi_squared(ds, half).p_value < 1e-9
    assert [share.mean for share in generative.kept_shares(ds)] == [1.0]


def test_post_selection_keeps_the_predicted_share_and_the_right_rows() -> None:
    model = random_ring(6, 2)
    circuit = generative.compile_circuit(model)
    ds = generative.sample_on(circuit, "statevector", shots=20_000, seed=1)
    (share,) = generative.kept_shares(ds)
    assert 0 < share.mean < 1
    assert abs(share.deviation(circuit.metadata["success_probability"])) < 5
    assert ds.sizes["draw"] == round(share.mean * 20_000)
    assert ds["register"].values.tolist() == ["x"] * 3
    assert generative.chi_squared(ds, model).p_value > 1e-4
    assert generative.chi_squared(ds, random_ring(6, 3)).p_value < 1e-9
    with pytest.raises(ValueError, match="must keep at least one shot"):
        _post_selected(execution.run(_never(), "statevector", shots=5, rng=1))


def _never() -> Any:
    from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister

    circuit = QuantumCircuit(QuantumRegister(2, "q"), ClassicalRegister(1, "x"), ClassicalRegister(1, "flag"))
    circuit.x(1)
    circuit.measure([0, 1], [0, 1])
    return circuit


def test_models_learn_each_value_and_hold_out_whole_chains() -> None:
    ds = sample_ising("chain", 6, [0.5, 3.0], n_chains=20, n_draws=20, seed=1)
    told: list[str] = []
    cold, hot = generative.learn(ds, max_bond=4, max_sweeps=4, seed=2, tell=told.append)
    assert told == ["temperature 0.5", "temperature 3"]
    assert np.isfinite(cold.history_["validation_nll"]).all()
    assert cold.score(ds["spins"].values[0].reshape(-1, 6)) > hot.score(ds["spins"].values[1].reshape(-1, 6)) + 1
    samples = generative.model_samples([cold, hot], ds, n_samples=300, rng=5)
    assert (samples.attrs["source"], samples.attrs["lattice"]) == ("generative", "chain(6)")
    # Shots of a device are independent, though they come as one chain.
    again = generative.learn(samples, max_bond=4, max_sweeps=2)
    assert len(again) == 2
    with pytest.raises(ValueError, match="at least 2 independent groups"):
        generative.learn(ds.isel(chain=[0]), max_bond=2)
    with pytest.raises(ValueError, match="one model for each of the 2 values"):
        generative.model_samples([cold], ds, n_samples=3)


def test_exact_values_are_those_of_enumeration() -> None:
    ds = sample_ising("square", 3, [1.5, 3.0], periodic=False, n_chains=4, n_draws=2, seed=1)
    found = generative.exact_values(ds)
    assert found is not None
    known = exact.enumerate_ising(Ising(lattices.square(3, periodic=False)))
    np.testing.assert_allclose(found["energy"], known.energy([1.5, 3.0]), rtol=1e-12)
    np.testing.assert_allclose(found["magnetization"], known.abs_magnetization([1.5, 3.0]), rtol=1e-12)
    # Neighbours: 12 bonds on 9 sites carry all of the energy.
    np.testing.assert_allclose(found["correlation"][:, 0], -found["energy"] * 9 / 12, rtol=1e-12)
    assert found["distance"].values.tolist() == [1, 2, 3, 4]
    assert generative.exact_values(ds.assign_attrs(model="Heisenberg()")) is None


def test_the_judge_finds_twins_alike_and_others_different() -> None:
    temperatures = [1.0, 2.0, 3.0, 4.0]
    ds, twin = (sample_ising("square", 3, temperatures, n_chains=32, n_draws=60, seed=seed) for seed in (1, 2))
    warm = sample_ising("square", 3, [1.6, 2.6, 3.6, 4.6], n_chains=32, n_draws=60, seed=3)
    warm = warm.assign_coords(parameter=ds["parameter"])
    found = generative.judge(ds, {"twin": twin, "warm": warm}, seed=1)
    assert found["source"].values.tolist() == ["originals", "twin", "warm"]
    for key in ("energy", "magnetization", "correlation", "output"):
        alike = np.abs(found[f"{key}_deviation"].sel(source="twin").values)
        # 4.5 standard errors: a dozen numbers, and errors that are estimates themselves
        assert alike.max() < 4.5
        assert np.abs(found[f"{key}_deviation"].sel(source="warm").values).max() > 8
    known = generative.exact_values(ds)
    assert known is not None
    pull = (found["energy"][:2] - known["energy"]) / found["energy_error"][:2]
    assert np.abs(pull).max() < 4.5
    crossing, error = found["transition"].values, found["transition_error"].values
    assert abs(crossing[0] - crossing[1]) < 5 * np.hypot(error[0], error[1])
    # What is called cooler than it is seems to lose its order sooner.
    assert (found["output"].values[2, 1:3] < found["output"].values[0, 1:3] - 0.1).all()


def test_the_judge_refuses_what_cannot_be_compared() -> None:
    ds = sample_ising("chain", 4, [1.0, 2.0], n_chains=4, n_draws=4, seed=1)
    assert "output" not in generative.judge(ds, {})  # two values: no scan for a classifier
    with pytest.raises(ValueError, match="`others` must hold snapshots of 4 sites"):
        generative.judge(ds, {"Aer": sample_ising("chain", 4, [1.0, 3.0], n_chains=4, n_draws=4, seed=1)})
    with pytest.raises(ValueError, match="must lie on a lattice such as 'square"):
        generative.judge(ds.assign_attrs(lattice=""), {})
    with pytest.raises(ValueError, match="must have the 5 sites"):
        generative.judge(ds.assign_attrs(lattice="chain(5)"), {})
    with pytest.raises(ValueError, match="must not use the label of the originals"):
        generative.judge(ds, {"originals": ds})
    scan = sample_ising("chain", 4, [1.0, 2.0, 3.0], n_chains=2, n_draws=4, seed=1)
    with pytest.raises(ValueError, match="at least four chains"):
        generative.judge(scan, {})


def test_a_born_machines_angles_beat_random_ones() -> None:
    chances = training.boltzmann(6, temperature=1.0, ring=True)
    rows = training.drawn(chances, n_draws=1000, rng=1)
    found = generative.hybrid(rows, n_layers=2, max_bond=4, n_seeds=2, max_steps=4, seed=1)
    born, random = found["nll"].values
    floor = found.attrs["entropy"]
    assert floor <= found["best_nll"].values.min()
    assert (born[:, 0] < floor + 0.1).all()
    # Before the first step, and after as many for both.
    assert born[:, 0].max() < random[:, 0].min() - 0.5
    assert born[:, -1].max() < random[:, -1].min() - 0.1
    assert found["gradient_norm"].shape == (2, 2, 5)
    with pytest.raises(ValueError, match="rows of 2 to 16 sites"):
        generative.hybrid(np.ones((3, 17)))


@pytest.fixture(scope="module")
def folder(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whole run."""
    path = tmp_path_factory.mktemp("runs") / "generative"
    generative.run(SMALL, out=path)
    return path


def rows_of(folder: Path) -> dict[str, Row]:
    return {row["name"]: Row(**row) for row in json.loads((folder / "results.json").read_text())}


def test_a_small_run_is_right(folder: Path) -> None:
    rows = rows_of(folder)
    assert rows["NLL, bars and stripes 2x2"].value == pytest.approx(np.log(6), abs=1e-4)
    assert rows["chi squared, p-value"].value > 1e-4
    assert rows["the same, control"].value < 1e-9
    success = rows["success of post-selection, ring of 3 sites"]
    assert success.deviation is not None
    assert abs(success.deviation) < 4.5
    assert 0.01 < success.value < 0.99
    assert rows["largest difference of ln q"].value < 1e-10
    assert rows["fidelity, exact circuits"].value == pytest.approx(1, abs=1e-9)
    for source in ("originals", "Born machine", "aer, exact circuit"):
        energy = rows[f"energy a site at temperature 2, {source}"]
        assert energy.exact == pytest.approx(
            float(exact.enumerate_ising(Ising(lattices.square(3, periodic=False))).energy(2.0)), rel=1e-12
        )
    assert rows["NLL at temperature 2, Born machine, held-out rows"].value < 9 * np.log(2)
    born, random = (rows[f"NLL of a circuit before it, start: {start}"] for start in ("Born machine", "random angles"))
    assert born.value < random.value
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "simulated classically" in page
    assert len(list((folder / "figures").glob("generative-*.svg"))) == 9


def test_a_second_start_computes_and_sends_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (folder / "results.json").read_bytes()

    def never(*_: object, **__: object) -> None:
        raise AssertionError("computed again")

    for module, names in (
        (training, ("learn", "sample_ising")),
        (steps, ("submit", "fetched", "judge", "compile_circuit")),
    ):
        for name in names:
            monkeypatch.setattr(module, name, never)
    found = generative.run(SMALL, out=folder)
    assert (folder / "results.json").read_bytes() == before
    assert found.n_resumed > 10


def test_a_job_that_was_sent_is_fetched_and_not_sent_again(
    folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journey = steps.Journey(SMALL, RunFolder(folder, workflow="generative"))
    file = folder / "generative-ring-3.nc"
    before = snapshots.load(file)
    file.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(steps, "submit", lambda *_, **__: pytest.fail("sent again"))
        assert journey.device("ring-3").equals(before)
    # In a ledger that has never seen the job the same circuits give the same bits.
    file.unlink()
    monkeypatch.setenv("QMLPHYS_HOME", str(home / "another"))
    assert steps.Journey(SMALL, RunFolder(folder, workflow="generative")).device("ring-3").equals(before)


def test_checkpoints_of_other_settings_are_in_nobodys_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(SMALL, max_sweeps=2, images=None, graphs=None, starts=None)

    def stopped(*_: object, **settings: Any) -> None:
        (Path(settings["checkpoints"]) / "born-000.checkpoint").write_bytes(b"left behind")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "learn", stopped)
        with pytest.raises(KeyboardInterrupt):
            training.Models(config, RunFolder(tmp_path, workflow="generative")).born()
    other = replace(config, max_bond=3)
    assert len(training.Models(other, RunFolder(tmp_path, workflow="generative")).born()) == 3


def test_a_damaged_model_is_fitted_again(folder: Path) -> None:
    file = folder / "models" / "generative-ring-3.npz"
    before = training.Models(SMALL, RunFolder(folder, workflow="generative")).graph_model(3, True)
    file.write_bytes(b"not a model")
    again = training.Models(SMALL, RunFolder(folder, workflow="generative")).graph_model(3, True)
    np.testing.assert_array_equal(again.matrices_, before.matrices_)
    assert file.stat().st_size > 100


def test_snapshots_of_any_source_are_learned_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "scan.nc"
    ds = sample_ising("chain", 5, [0.6, 1.5, 4.0], n_chains=16, n_draws=30, seed=1)
    snapshots.save(ds.assign_attrs(source="nqs", model="TransverseIsing(coupling=1.0, field=1.0)"), file)
    config = GenerativeConfig(
        source="file", file=str(file), max_bond=4, n_layers=(0,), backend="statevector", shots=300,
        images=None, graphs=None, starts=None,
    )  # fmt: skip
    folder = RunFolder(tmp_path / "run", workflow="generative")
    panel = generative.panel(config, folder, steps=Steps(generative.N_STEPS, shown=False))
    names = [row.name for row in panel.rows]
    assert any(name.startswith("largest deviation, |M| a site, statevector") for name in names)
    assert not any("energy" in name or "images" in name or "ring" in name for name in names)
    # The file's content decides, not its name.
    first = training.Models(config, folder).origin()
    snapshots.save(ds.isel(draw=slice(0, 20)), file)
    assert training.Models(config, folder).origin() != first


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": "camera"}, "`source` must be 'ising' or 'file'"),
        ({"source": "file"}, "`file` must name a file exactly where"),
        ({"temperatures": (2.0, 1.0)}, "`temperatures` must be positive and growing"),
        ({"n_layers": (0, 9)}, "`n_layers` must hold whole numbers from 0 to 8"),
        ({"n_layers": (1, 1)}, "`n_layers` must hold each number once"),
        ({"validation_fraction": 1.0}, "`validation_fraction` must be from 0 to below 1"),
        ({"learning_rate": 0.0}, "`learning_rate` must be above 0"),
        ({"shots": 0}, "`shots` must be a whole number from 1"),
        ({"size": 2}, "`size` must be at least 3"),
        ({"lattice": "kagome"}, "must name a lattice"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GenerativeConfig(**settings)  # type: ignore[arg-type]


def test_wrong_settings_of_parts_are_named() -> None:
    with pytest.raises(ValueError, match="`size` must be a whole number from 2 to 4, but it is 5"):
        ImagesConfig(size=5)
    with pytest.raises(ValueError, match="`sizes` must hold whole numbers from 3 to 8"):
        GraphsConfig(sizes=(2,))
    with pytest.raises(ValueError, match="`sizes` must hold each size once"):
        GraphsConfig(sizes=(3, 3))
    with pytest.raises(ValueError, match="`max_condition` must be above 1"):
        GraphsConfig(max_condition=1.0)
    with pytest.raises(ValueError, match="`temperature` must be positive"):
        StartsConfig(temperature=0.0)
    with pytest.raises(ValueError, match="`n_sites` must be a whole number from 3 to 12"):
        StartsConfig(n_sites=13)
