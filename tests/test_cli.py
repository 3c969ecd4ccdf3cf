"""The command line as a user meets it: help, results, and one clear line for whatever is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from qmlphys import cli, snapshots
from qmlphys.report import Row
from qmlphys.workflows.outcome import Outcome


def run_cli(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Run the command line in this process."""
    with pytest.raises(SystemExit) as leaving:
        cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert isinstance(leaving.value.code, int)
    return leaving.value.code, captured.out, captured.err


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write snapshots of a made-up magnet that loses its order half way through the scan."""
    rng = np.random.default_rng(7)
    temperature = np.linspace(1.0, 3.0, 11)
    order = np.where(temperature < 1.95, 0.95, 0.5)[:, None, None, None]
    sign = rng.choice([-1, 1], size=(11, 8, 10, 1))
    spins = (sign * np.where(rng.random((11, 8, 10, 36)) < order, 1, -1)).astype(np.int8)
    path = tmp_path_factory.mktemp("scan") / "scan.nc"
    ds = snapshots.dataset(
        spins,
        temperature,
        name="temperature",
        units="J/k_B",
        source="montecarlo",
        model="Ising(coupling=1.0, field=0.0)",
        lattice="square(6)",
        seed=7,
        observables={"energy": -np.abs(spins.mean(axis=-1, dtype=np.float64))},
    )
    snapshots.save(ds, path)
    return path


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run_cli(["version"], capsys)
    assert (code, out, err) == (0, "qmlphys 0.1.0\n", "")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ([], ["demo", "ising", "phases", "version"]),
        (
            ["ising", "sample"],
            ["--lattice", "--size", "--temperatures", "J/k_B", "--algorithm", "swendsen-wang", "--seed"],
        ),
        (["phases"], ["supervised", "clustering", "confusion"]),
        (["phases", "supervised"], ["--network", "--ends", "--figure", "--json"]),
        (["demo"], ["--out", "--seed", "--fresh"]),
    ],
)
def test_help_names_what_there_is(
    command: list[str], words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # wide enough that no word is broken
    code, out, _ = run_cli([*command, "--help"], capsys)
    assert code == 0
    assert out.lstrip().startswith("Usage: qmlphys")
    for word in words:
        assert word in out


def test_help_and_version_load_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from qmlphys import cli\n"
        "for arguments in (['version'], ['--help'], ['phases', 'confusion', '--help']):\n"
        "    try: cli.main(arguments)\n"
        "    except SystemExit as leaving: assert leaving.code == 0\n"
        "heavy = {'numpy', 'numba', 'torch', 'xarray', 'matplotlib', 'sklearn', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_sampling_writes_what_was_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a.nc"
    arguments = ["--size", 4, "--temperatures", "2:3:3", "--chains", 4, "--draws", 6, "--seed", 5, "--coupling", 1.5]
    code, _, err = run_cli(["ising", "sample", "--lattice", "triangular", "--out", out, *arguments], capsys)
    assert code == 0, err
    ds = snapshots.load(out)
    assert dict(ds.sizes) == {"parameter": 3, "chain": 4, "draw": 6, "site": 16}
    assert ds["parameter"].values.tolist() == [2.0, 2.5, 3.0]
    assert ds.attrs["lattice"] == "triangular(4)"
    assert ds.attrs["model"] == "Ising(coupling=1.5, field=0.0)"
    first = out.read_bytes()
    assert run_cli(["ising", "sample", "--lattice", "triangular", "--out", out, *arguments], capsys)[0] == 0
    assert out.read_bytes() == first


@pytest.mark.parametrize("learner", ["supervised", "clustering", "confusion"])
def test_learners_find_where_the_made_up_magnet_melts(
    learner: str, scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figure, table = tmp_path / "a.svg", tmp_path / "a.json"
    code, out, err = run_cli(["phases", learner, scan, "--figure", figure, "--json", table], capsys)
    assert code == 0, err
    rows = [Row(**row) for row in json.loads(table.read_text())]
    assert rows[0].name == "critical temperature on square(6)"
    assert abs(rows[0].value - 1.9) < 0.11  # half the spacing of the scan, and a little
    assert rows[0].error is not None
    assert rows[0].text in out
    assert rows[1].value == pytest.approx(2.269185, abs=1e-6)
    assert rows[1].error is None
    assert figure.read_text().startswith("<?xml")


def test_exact_values_do_not_enter_the_result(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same snapshots under a model whose critical temperature nobody knows give the same numbers."""
    ds = snapshots.load(scan).assign_attrs(model="something else")
    snapshots.save(ds, tmp_path / "other.nc")
    for learner in ("supervised", "clustering", "confusion"):
        tables = []
        for file in (scan, tmp_path / "other.nc"):
            assert run_cli(["phases", learner, file, "--json", tmp_path / "a.json"], capsys)[0] == 0
            tables.append(json.loads((tmp_path / "a.json").read_text()))
        known = [row for row in tables[0] if row["name"] != "infinite lattice, for comparison"]
        assert len(known) == len(tables[0]) - 1
        assert tables[1] == known


def test_demo_prints_the_table_and_where_the_report_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from qmlphys.workflows import demo

    asked = {}

    def run(config: demo.DemoConfig, **options: object) -> Outcome:
        asked.update(options, seeds={config.phases.seed, config.circuits.seed})
        rows = [Row("T_c", 2.27, 0.002, 2.269185, unit="J/k_B"), Row("nu", 1.01, 0.02, 1.0, unit="1")]
        return Outcome("A title", rows, tmp_path / "report.html", 31.4, 2)

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(demo, "run", run)
    code, out, _ = run_cli(["demo", "--out", tmp_path, "--seed", 9, "--fresh"], capsys)
    assert code == 0
    assert asked == {"seeds": {9}, "out": tmp_path, "progress": True, "bars": False, "fresh": True}
    for expected in (
        "A title",
        "2.270(2)",
        "2.269185",
        "+0.4 σ",
        "1.01(2)",
        f"Report: {tmp_path / 'report.html'}",
        "31 s",
    ):
        assert expected in out


SAMPLE = ["ising", "sample", "--out", "a.nc"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*SAMPLE, "--temperatures", "-1"], "Temperatures must be positive, in units of J/k_B, but one of them is -1."),
        ([*SAMPLE, "--temperatures", "2,0"], "but one of them is 0."),
        ([*SAMPLE, "--temperatures", "nan"], "but one of them is nan."),
        ([*SAMPLE, "--temperatures", "2,inf"], "but one of them is inf."),
        ([*SAMPLE, "--temperatures", "warm"], "but they are 'warm'."),
        ([*SAMPLE, "--temperatures", ""], "but they are ''."),
        ([*SAMPLE, "--temperatures", "1:2"], "but they are '1:2'."),
        ([*SAMPLE, "--temperatures", "1:2:2.5"], "but they are '1:2:2.5'."),
        ([*SAMPLE, "--temperatures", "1:2:1000000000"], "must be 2 to 10000"),
        ([*SAMPLE, "--size", "2"], "must be at least 3, but it is 2"),
        ([*SAMPLE, "--size", "-4"], "must be at least 3, but it is -4"),
        ([*SAMPLE, "--size", "many"], "'--size'"),
        ([*SAMPLE, "--size", "30000"], "sites"),
        ([*SAMPLE, "--size", "1000", "--draws", "1000000"], "at most 4 GiB"),
        ([*SAMPLE, "--chains", "0"], "`n_chains` must be"),
        ([*SAMPLE, "--draws", "-3"], "`n_draws` must be"),
        ([*SAMPLE, "--coupling", "nan"], "`coupling` must be a finite number, but it is nan"),
        ([*SAMPLE, "--lattice", "kagome"], "'kagome'"),
        ([*SAMPLE, "--algorithm", "magic"], "'magic'"),
        ([*SAMPLE, "--seed", "-1"], "'--seed'"),
        ([*SAMPLE, "--seed", 10**20], "less than or equal to 4294967295"),
        (["ising", "sample", "-o", "a.nc", "--coupling", "0"], "--temperatures must be given where --coupling is 0"),
        (["ising", "sample"], "Missing option '-o' / '--out'"),
        (["demo", "-o", "text.nc"], "'text.nc' is a file; give the name of a folder."),
        (["criticality", "--out", "text.nc/below/it"], "'text.nc' is a file; give the name of a folder."),
        (["ising", "sample", "--out", "none/a.nc"], "There is no folder 'none'"),
        (["ising", "sample", "--out", "."], "is a folder"),
        (["boil"], "No such command 'boil'"),
        (["phases", "supervised"], "Missing argument 'FILE'"),
        (["phases", "supervised", "none.nc"], "There is no file 'none.nc'."),
        (["phases", "clustering", "text.nc"], "'text.nc' is not a snapshot file"),
        (["phases", "confusion", "cut.nc"], "'cut.nc' is truncated or damaged"),
        (["phases", "clustering", "."], "not a regular file"),
        (["phases", "clustering", "scan.nc", "--figure", "a.png"], "must end in '.svg'"),
        (["phases", "clustering", "scan.nc", "--json", "none/a.json"], "There is no folder 'none'"),
        (["phases", "supervised", "scan.nc", "--ends", "0.7"], "between 0 and 0.5"),
        (["phases", "supervised", "scan.nc", "--ends", "nan"], "between 0 and 0.5"),
        (["phases", "confusion", "scan.nc", "--splits", "0"], "n_splits"),
        (["phases", "supervised", "single.nc"], "at least four values"),
        (["phases", "supervised", "chain.nc"], "at least two chains"),
        (["phases", "supervised", "cold.nc"], "one phase into the other"),
        (["phases", "clustering", "hot.nc"], "must hold two phases"),
        (["phases", "supervised", "misfit.nc"], "square(5) has 25 and a snapshot has 36"),
        (["phases", "confusion", "nan.nc"], "`parameter` must hold finite values"),
    ],
)
def test_wrong_input_is_one_clear_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    scan: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    ds = snapshots.load(scan)
    Path("text.nc").write_text("2.0 2.1 2.2")
    Path("cut.nc").write_bytes(scan.read_bytes()[:4000])
    Path("scan.nc").write_bytes(scan.read_bytes())
    snapshots.save(ds.isel(parameter=slice(0, 1)), "single.nc")
    snapshots.save(ds.isel(chain=slice(0, 1)), "chain.nc")
    snapshots.save(ds.isel(parameter=slice(0, 5)), "cold.nc")
    snapshots.save(ds.isel(parameter=slice(6, 11)), "hot.nc")
    snapshots.save(ds.assign_attrs(lattice="square(5)"), "misfit.nc")
    broken = bytearray(scan.read_bytes())
    place = broken.find(ds["parameter"].values.tobytes())
    assert place > 0
    broken[place : place + 8] = np.array([np.nan]).tobytes()
    Path("nan.nc").write_bytes(broken)
    before = sorted(tmp_path.iterdir())
    code, _, err = run_cli(arguments, capsys)
    assert code == 2
    assert err.startswith("Error: ")
    assert message in err
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 25600 bytes."), "25600 bytes"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory. Tried to allocate 2.00 GiB."), "2.00 GiB"),
        (MemoryError("Unable to allocate 373. GiB for an array"), "373. GiB"),
        (MemoryError(), "(MemoryError)"),
    ],
)
def test_memory_that_is_not_there_is_one_line_and_exit_code_2(
    error: Exception, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from qmlphys.workflows import sampling

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(sampling, "sample_ising", fail)
    code, _, err = run_cli(["ising", "sample", "--out", tmp_path / "a.nc"], capsys)
    assert code == 2
    assert err.count("\n") == 1
    assert err.startswith("Error: There is not enough memory (")
    assert said in err


def test_a_fault_of_the_program_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from qmlphys.workflows import sampling

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a tensor has the wrong shape")

    monkeypatch.setattr(sampling, "sample_ising", fail)
    with pytest.raises(RuntimeError, match="wrong shape"):
        cli.main(["ising", "sample", "--out", str(tmp_path / "a.nc")])


def _commands(group: Any, *names: str) -> list[tuple[str, ...]]:
    """Return all commands below a group that do something."""
    below = getattr(group, "commands", None)
    if below is None:
        return [names]
    return [found for name, command in below.items() for found in _commands(command, *names, name)]


COMMANDS = _commands(typer.main.get_command(cli.app))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_same_thing_has_the_same_name_everywhere(command: tuple[str, ...]) -> None:
    found: Any = typer.main.get_command(cli.app)
    for name in command:
        found = found.commands[name]
    options = {option: parameter for parameter in found.params for option in parameter.opts}
    assert ("--out" in options) == ("-o" in options), "an output has its short name everywhere"
    assert found.help.strip().splitlines()[0].endswith(".")
    for parameter in found.params:
        if parameter.name not in ("help", "context"):
            assert parameter.help.endswith((".", "slow).", "default).")), parameter.name


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_is_shown_as_it_is_written(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Square brackets of a help text are not read as markup."""
    monkeypatch.setenv("COLUMNS", "400")
    found: Any = typer.main.get_command(cli.app)
    for name in command:
        found = found.commands[name]
    code, out, _ = run_cli([*command, "--help"], capsys)
    assert code == 0
    shown = " ".join(out.replace("\u2502", " ").split())
    for parameter in found.params:
        if parameter.name != "help":
            assert " ".join(parameter.help.split()) in shown


def test_commands_stand_in_the_order_in_which_they_are_met(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run_cli(["--help"], capsys)
    table = out[out.index("Commands") :]
    names = ["demo", "ising", "phases", "nqs", "generative", "entanglement", "circuit", "solve", "submit", "jobs"]
    places = [table.index(f" {name} ") for name in names]
    assert places == sorted(places)


def test_nothing_typed_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run_cli([], capsys)
    assert code == 2
    assert "demo" in out + err
    assert "Error" not in out + err


def test_hostile_texts_in_a_file_are_printed_as_they_stand(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ds = snapshots.load(scan)
    ds["parameter"].attrs.update(name="[red]bold[/] $x$ \\frac{", units="[link=http://x]")
    snapshots.save(ds, tmp_path / "a.nc")
    code, out, err = run_cli(["phases", "clustering", tmp_path / "a.nc", "--figure", tmp_path / "a.svg"], capsys)
    assert code == 0, err
    assert "[red]bold" in out


def test_ctrl_c_leaves_with_130_and_nothing_half_written(tmp_path: Path) -> None:
    """Interrupted in the middle of a long sampling run, over an older file."""
    target = tmp_path / "a.nc"
    target.write_bytes(b"older")
    program = (
        "import os, signal, sys, threading\n"
        "from qmlphys import cli\n"
        "from qmlphys.workflows import sampling\n"
        "whole = sampling.sample\n"
        "def interrupted(*arguments, **options):\n"
        "    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "    return whole(*arguments, **options)\n"
        "sampling.sample = interrupted\n"
        "cli.main(sys.argv[1:])\n"
    )
    arguments = [
        "ising",
        "sample",
        "--out",
        str(target),
        "--size",
        "256",
        "--draws",
        "10",
        "--temperatures",
        "2.2:2.3:8",
    ]
    answer = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=100)
    assert answer.returncode == 130
    assert answer.stderr == "Stopped. What was finished before is kept.\n"
    assert target.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("text", "values"),
    [("2", [2.0]), ("2.0,2.5", [2.0, 2.5]), ("3:1:3", [3.0, 2.0, 1.0]), ("1e0:2:2", [1.0, 2.0])],
)
def test_temperatures_are_read_in_both_ways(text: str, values: list[float]) -> None:
    assert cli.temperatures_of(text) == values
