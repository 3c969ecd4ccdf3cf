"""Generative models on the command line: fit, sample, compile, run; wrong input gives one line."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from qmlphys import cli, generative, snapshots
from qmlphys.execution import circuit_files
from qmlphys.mps import MatrixProductState
from qmlphys.workflows import _generative_files as files
from qmlphys.workflows.sampling import sample_ising


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder and a ledger of its own for each test, and no account."""
    monkeypatch.setenv("QMLPHYS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith(("QISKIT_IBM", "IAM_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def scan(home: Path) -> Path:
    """Snapshots of an open chain at two temperatures."""
    sample_ising("chain", 6, [0.8, 3.0], periodic=False, n_chains=16, n_draws=25, seed=1, out="scan.nc")
    return home


def run_cli(arguments: Sequence[object], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as leaving:
        cli.main(["generative", *(str(argument) for argument in arguments)])
    captured = capsys.readouterr()
    assert isinstance(leaving.value.code, int)
    return leaving.value.code, captured.out, captured.err


def good(arguments: Sequence[object], capsys: pytest.CaptureFixture[str]) -> str:
    code, out, err = run_cli(arguments, capsys)
    assert (code, err) == (0, "")
    return out


def test_snapshots_are_learned_sampled_and_compiled(scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["fit", "scan.nc", "-o", "born.npz", "--parameter", 0.8, "--max-bond", 2, "--max-steps", 5, "--seed", 1]
    command += ["--figure", "loss.svg", "--json", "fit.json", "--checkpoint", "born.checkpoint"]
    fitted = good(command, capsys)
    assert "NLL of the rows held out" in fitted
    numbers = {row["name"]: row["value"] for row in json.loads(Path("fit.json").read_text())}
    assert numbers["largest bond"] == 2
    assert numbers["entropy of all rows"] < numbers["NLL of the rows held out"] < 6 * np.log(2)
    assert Path("loss.svg").read_text().startswith("<?xml")
    assert Path("born.checkpoint").exists()
    model, origin = files.load_model("born.npz")
    assert (origin.parameter, origin.name, origin.lattice) == (0.8, "temperature", "chain(6, periodic=False)")

    good(["sample", "born.npz", "-n", 400, "-o", "own.nc", "--seed", 3], capsys)
    own = snapshots.load("own.nc")
    assert (own.attrs["source"], own.attrs["lattice"]) == ("generative", "chain(6, periodic=False)")
    assert own["parameter"].values.tolist() == [0.8]
    np.testing.assert_array_equal(own["spins"].values[0, 0], model.sample(400, 3))

    out = good(["sample", "born.npz", "-n", 300, "-o", "shots.nc", "--backend", "statevector", "--layers", 0], capsys)
    assert "Job: " in out
    shots = snapshots.load("shots.nc")
    assert (shots.attrs["source"], shots.sizes["draw"], shots["parameter"].attrs["units"]) == ("device", 300, "J/k_B")

    good(["sample", "born.npz", "-n", 50, "-o", "given.nc", "--given", "1????0"], capsys)
    filled = snapshots.load("given.nc")["spins"].values[0, 0]
    assert (filled[:, 0] == 1).all()  # the right-most character is site 0, and bit 0 is spin +1
    assert (filled[:, 5] == -1).all()
    assert len(np.unique(filled, axis=0)) > 1

    out = good(["compile", "born.npz", "-o", "born.qpy", "--measure", "--figure", "born.svg"], capsys)
    assert "Fidelity with the model's state: 1" in out
    circuit = circuit_files.read("born.qpy")
    assert (circuit.num_qubits, circuit.num_clbits) == (6, 6)
    good(["compile", "born.npz", "-o", "shallow.qasm", "--layers", 1], capsys)
    assert circuit_files.read("shallow.qasm").num_clbits == 0


def test_graph_and_factor_models(scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--parameter", 3.0, "--max-steps", 10, "--validation", 0]
    out = good(["fit", "scan.nc", "-o", "factor.npz", "--model", "factor", *common], capsys)
    assert "NLL of the training rows" in out
    assert "held out" not in out
    # A ring of 7 qubits, the last one hidden.
    Path("ring.json").write_text(json.dumps([7, [[i, (i + 1) % 7] for i in range(7)]]))
    graph = ["--graph", "ring.json", "--visible", "0,1,2,3,4,5", "--max-condition", 3]
    assert "condition number" in good(
        ["fit", "scan.nc", "-o", "graph.npz", "--model", "graph", *graph, *common], capsys
    )
    out = good(["compile", "graph.npz", "-o", "graph.qpy", "--ancillas", "reused"], capsys)
    assert "Post-selection on flags 0 keeps a share" in out
    assert circuit_files.read("graph.qpy").num_qubits == 8
    out = good(["sample", "graph.npz", "-n", 3000, "-o", "kept.nc", "--backend", "statevector"], capsys)
    assert "Post-selection kept 0." in out
    assert 0 < snapshots.load("kept.nc").sizes["draw"] < 3000
    good(["sample", "factor.npz", "-n", 10, "-o", "factor.nc"], capsys)


def test_rows_of_an_array_are_learned_too(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save("rows.npy", np.array([[0, 0, 1], [1, 1, 0]] * 20))
    good(["fit", "rows.npy", "-o", "rows.npz", "--validation", 0], capsys)
    good(["sample", "rows.npz", "-n", 100, "-o", "rows.nc"], capsys)
    assert set(snapshots.counts(snapshots.load("rows.nc"))) == {"100", "011"}
    assert generative.load("rows.npz").alphabet_ == "bits"


def test_a_run_writes_its_report(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample_ising("chain", 4, [0.6, 1.5, 4.0], n_chains=8, n_draws=20, seed=1, out="scan.nc")
    command = ["run", "--out", "found", "--snapshots", "scan.nc", "--max-bond", 2, "--layers", "0", "--shots", 200]
    command += ["--backend", "statevector", "--no-images", "--no-graphs", "--no-starts"]
    code, out, err = run_cli(command, capsys)
    assert code == 0
    assert "[5/5]" in err
    assert "Report: found/report.html" in out
    assert Path("found/report.html").is_file()
    assert "steps taken up from before" in run_cli(command, capsys)[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit", "missing.nc", "-o", "m.npz"], "missing.nc"),
        (["fit", "scan.nc", "-o", "m.npz"], "must choose one of the values 0.8, 3, but it is None"),
        (["fit", "scan.nc", "-o", "m.npz", "--parameter", 2], "must be one of the values 0.8, 3, but it is 2"),
        (["fit", "scan.nc", "-o", "nowhere/m.npz", "--parameter", 3], "no folder 'nowhere'"),
        (["fit", "grey.npy", "-o", "m.npz"], "must hold bits (0/1) or spins (-1/+1), but it holds 2"),
        (["fit", "flat.npy", "-o", "m.npz"], "its shape is (4,)"),
        (["fit", "rows.npy", "-o", "m.npz", "--parameter", 1], "leave --parameter away"),
        (["fit", "rows.npy", "-o", "m.npz", "--model", "graph"], "give --graph"),
        (["fit", "rows.npy", "-o", "m.npz", "--model", "graph", "--graph", "chain(5)"], "as the rows have sites, 3"),
        (
            ["fit", "rows.npy", "-o", "m.npz", "--model", "factor", "--graph", "chain(5)"],
            "as many sites as the rows, 3",
        ),
        (["fit", "rows.npy", "-o", "m.npz", "--model", "graph", "--graph", "bad.json"], "[n_qubits, [[i, j], ...]]"),
        (["fit", "rows.npy", "-o", "m.npz", "--model", "graph", "--graph", "loop.json"], "the loop (1, 1)"),
        (["fit", "rows.npy", "-o", "m.npz", "--graph", "chain(3)"], "--graph does not belong to --model born"),
        (["fit", "rows.npy", "-o", "m.npz", "--model", "factor", "--max-bond", 2], "--max-bond does not belong"),
        (["fit", "rows.npy", "-o", "m.npz", "--max-condition", 2], "--max-condition does not belong"),
        (["fit", "rows.npy", "-o", "m.npz", "--validation", 1], "`validation_fraction` must be"),
        (["sample", "missing.npz", "-o", "s.nc"], "missing.npz"),
        (["sample", "rows.npy", "-o", "s.nc"], "must be a model of qmlphys"),
        (["sample", "wide.npz", "-o", "s.nc", "--backend", "aer"], "bonds of at most 64"),
        (["sample", "wide.npz", "-o", "s.nc", "--layers", 2], "--layers needs a --backend"),
        (["sample", "wide.npz", "-o", "s.nc", "--given", "01"], "14 characters 0, 1 or ?"),
        (["sample", "wide.npz", "-o", "s.nc", "--given", "?" * 14, "--backend", "aer"], "leave --backend away"),
        (["sample", "ring.npz", "-o", "s.nc", "--backend", "aeer"], "did you mean 'aer'"),
        (["compile", "wide.npz", "-o", "c.qpy"], "take `n_layers` of 1 or more"),
        (["compile", "wide.npz", "-o", "c.txt"], "must end in .qasm"),
        (["compile", "ring.npz", "-o", "c.qpy", "--layers", 2], "`n_layers` must be 0 for a GraphGenerativeModel"),
        (["compile", "wide.npz", "-o", "c.qpy", "--layers", 1, "--ancillas", "reused"], "its circuit has none"),
        (["compile", "scan.nc", "-o", "c.qpy"], "must be a model of qmlphys"),
        (["compile", "odd.npz", "-o", "c.qpy"], "must name the parameter"),
        (["run", "--out", "r", "--snapshots", "scan.nc", "--size", 4], "leave --snapshots away"),
        (["run", "--out", "rows.npy"], "'rows.npy' is a file; give the name of a folder"),
        (["run", "--out", "r", "--layers", "deep"], "whole numbers such as 0,2,4"),
        (["run", "--out", "r", "--snapshots", "missing.nc"], "missing.nc"),
        (["run", "--out", "r", "--snapshots", "scan.nc", "--backend", "fake_torin"], "did you mean 'fake_torino'"),
    ],
)
def test_wrong_input_gives_one_line_and_loses_nothing(
    scan: Path, arguments: list[object], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("grey.npy", np.array([[0, 1, 2]] * 4))
    np.save("flat.npy", np.zeros(4))
    np.save("rows.npy", np.array([[0, 0, 1], [1, 1, 0]] * 4))
    Path("bad.json").write_text('{"edges": 3}')
    Path("loop.json").write_text("[3, [[1, 1]]]")
    vector = np.random.default_rng(1).normal(size=2**14)
    wide = generative.BornMachine.from_state(MatrixProductState.from_vector(vector), alphabet="bits")
    generative.save(wide, "wide.npz")
    ring = generative.GraphGenerativeModel.from_matrices((3, [(0, 1), (1, 2), (2, 0)]), [[[1, 0], [0.2, 0.5]]] * 3)
    generative.save(ring, "ring.npz")
    files.save_model(ring, "odd.npz", origin=files.Origin(parameter="hot"))  # type: ignore[arg-type]
    before = {path.name for path in scan.iterdir()}
    code, out, err = run_cli(arguments, capsys)
    assert (code, out) == (2, "")
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert words in " ".join(err.split())
    assert {path.name for path in scan.iterdir()} - before <= {"home", ".config", ".cache", ".matplotlib", ".qiskit"}
