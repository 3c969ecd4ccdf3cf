"""What the README shows works as it stands: every block and every command in it is executed, in its order."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from qmlphys import cli, exact, nqs, snapshots

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCED = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
BLOCKS = [block for language, block in FENCED if language == "python"]
SHELL = [block.splitlines() for language, block in FENCED if not language]
MAKE, ACTIVATE, QUICK, LONG = SHELL
LONG_RUNS = {
    "demo": ("demo", "run"),
    "criticality": ("criticality", "run"),
    "nqs phases": ("ground_state", "phases"),
    "generative run": ("generative", "run"),
    "entanglement battery": ("entanglement_scaling", "run"),
    "phases device": ("device_phases", "run"),
}
"""What each long command hands its work to: module of `qmlphys.workflows`, function."""


def words_of(line: str) -> list[str]:
    """Return the words of a command as a shell would, its comment left away."""
    return shlex.split(line, comments=True)


def section(title: str) -> str:
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)[1]


def table(title: str) -> list[list[str]]:
    """Return the cells of the one table of a section, without its head."""
    rows = [line for line in section(title).splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def value_and_error(text: str) -> tuple[float, float]:
    """Read a number such as 2.269(4)."""
    mean, digits = re.fullmatch(r"(-?\d+\.\d+)\((\d+)\)", text).groups()
    return float(mean), int(digits) * 10.0 ** -len(mean.partition(".")[2])


def execute(number: int, capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    """Execute a block of Python; return its names and what it printed."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(BLOCKS[number], f"README block {number}", "exec"), names)  # noqa: S102
    return names, capsys.readouterr().out


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, with a ledger of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QMLPHYS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def test_every_block_is_known_here():
    assert len(BLOCKS) == 4
    assert README.count("```") == 2 * (len(BLOCKS) + len(SHELL))


def test_the_example_prints_the_critical_temperature(folder, capsys):
    assert len([line for line in BLOCKS[0].splitlines() if line]) <= 21
    _, printed = execute(0, capsys)
    found = re.fullmatch(r"Tc = (\S+)\n", printed)
    mean, error = value_and_error(found[1])
    assert error < 0.02
    assert abs(mean - exact.critical_temperature("square")) < 4 * error


def test_the_neural_state_finds_the_ground_state(folder, capsys):
    names, printed = execute(1, capsys)
    energy, v_score, known = printed.split()
    mean, error = value_and_error(energy)
    assert error < 1e-2
    assert -4 * error < mean - float(known) < 1e-3
    assert 0 < float(v_score) < 1e-4
    # What the text below the block says of the same names.
    assert "`vmc.run(..., checkpoint=" in README
    names["vmc"].run(1, checkpoint="state.pt")
    assert Path("state.pt").is_file()
    assert callable(nqs.VMC.resume)
    assert "device" in inspect.signature(nqs.MonteCarloState).parameters
    assert "symmetry" in inspect.signature(nqs.FullSumState).parameters


def test_the_circuit_is_run_and_submitted(folder, capsys):
    _, printed = execute(2, capsys)
    at_once, fetched = (ast.literal_eval(line) for line in printed.splitlines())
    # The transform of |000> is uniform: all 8 outcomes, 1000 shots.
    assert len(at_once) == len(fetched) == 8
    assert sum(at_once.values()) == sum(fetched.values()) == 1000
    assert max(at_once.values()) < 125 + 5 * np.sqrt(125)


def test_the_born_machine_draws_bars_and_stripes(folder, capsys):
    names, printed = execute(3, capsys)
    nll, least, n_gates, valid = map(float, printed.split())
    assert least <= nll + 1e-12
    assert nll < least + 1e-6
    assert n_gates < 300
    assert valid == 1
    completion = re.search(r"`(model\.sample\(10, given=.*?\))` fills in", README)[1]
    completed = eval(completion, names)  # noqa: S307
    assert completed.shape == (10, 9)
    assert (completed[:, :2] == [1, 0]).all()
    assert {*map(tuple, completed)} <= {*map(tuple, names["X"])}


def run_cli(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run the command line in this process and return what it printed."""
    with pytest.raises(SystemExit) as leaving:
        cli.main(words)
    printed = capsys.readouterr()
    assert leaving.value.code == 0, f"qmlphys {shlex.join(words)}: {printed.out}\n{printed.err}"
    return printed.out


def test_the_quick_commands_run_in_their_order(folder, capsys):
    printed, written = {}, {}
    for line in QUICK:
        program, *words = words_of(line)
        if "ID" in words:
            words[words.index("ID")] = printed["qmlphys submit"].split()[0][:12]
        if program == "python":
            subprocess.run([sys.executable, *words], check=True, timeout=60)
            continue
        assert program == "qmlphys"
        started = time.time()
        out = run_cli(words, capsys)
        assert out.strip(), line
        printed[" ".join(["qmlphys", *words[:2]])] = printed[f"qmlphys {words[0]}"] = out
        for name in words:
            if re.fullmatch(r"[a-z]+\.(nc|npz|qpy|qasm)", name) and Path(name).stat().st_mtime > started - 1:
                written[name] = line
    # Physics, not only an exit code: half a dozen of the numbers are known.
    transition = float(re.search(r"critical temperature.*?(\d\.\d+)\(", printed["qmlphys phases supervised"])[1])
    assert 2.1 < transition < 2.6  # an L = 8 lattice turns within this window
    ground = printed["qmlphys nqs ground-state"]
    energy, error = value_and_error(re.search(r"energy +│ (\S+)", ground)[1])
    assert abs(energy - exact.tfim_chain_energy(10, field=1.0)) < max(5 * error, 1e-4)
    assert "critical field" in printed["qmlphys phases clustering"]  # the second one, of ground states
    assert snapshots.load("new.nc").sizes["draw"] == 1000
    counted = printed["qmlphys jobs fetch"]
    assert len(re.findall(r"\b[01]{5}\b", counted)) >= 16  # the transform of |00000> is uniform
    assert float(re.search(r"fidelity.*?(\d\.\d+)", printed["qmlphys solve"], re.DOTALL)[1]) > 0.999
    assert abs(float(re.search(r"frequency 1 +│ (\d\.\d+)", printed["qmlphys spectrum"])[1]) - 0.2) < 1e-3
    assert {"ising.nc", "ground.nc", "born.npz", "new.nc", "born.qpy", "qft.qasm", "hhl.qpy"} <= set(written)


def test_the_long_commands_reach_their_work(folder, monkeypatch):
    class Reached(Exception):  # noqa: N818
        pass

    def reached(*arguments: Any, **options: Any) -> None:
        raise Reached

    commands = [words_of(line)[1:] for line in LONG]
    known = {name: words for words in commands for name in LONG_RUNS if words[: len(name.split())] == name.split()}
    assert len(known) == len(commands) == len(LONG_RUNS)
    for name, words in known.items():
        module, function = LONG_RUNS[name]
        monkeypatch.setattr(importlib.import_module(f"qmlphys.workflows.{module}"), function, reached)
        with pytest.raises(Reached):  # every option was read and accepted, and the settings checked
            cli.main(words)


@pytest.mark.slow  # three minutes and more, each
@pytest.mark.parametrize("line", LONG, ids=[" ".join(words_of(line)[1:3]) for line in LONG])
def test_the_long_commands_run(folder, line):
    program, *words = words_of(line)
    assert program == "qmlphys"
    done = subprocess.run([sys.executable, "-m", "qmlphys", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = re.search(r"Report: (\S+report\.html)", done.stdout)
    assert Path(report[1]).stat().st_size > 10_000


def names_of_commands(app: typer.Typer, before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return every command of the command line as its words."""
    found = [(*before, command.name or command.callback.__name__) for command in app.registered_commands]
    for group in app.registered_groups:
        found += names_of_commands(group.typer_instance, (*before, group.name or group.typer_instance.info.name))
    return found


def test_every_command_is_shown():
    shown = [tuple(words_of(line)[1:3]) for line in QUICK + LONG]
    listed = section("Command line")
    for words in names_of_commands(cli.app):
        if words == ("version",):
            continue
        if words[0] == "jobs":
            assert re.search(rf"\b{words[1]}\b", listed), words
        else:
            assert any(pair[: len(words)] == words for pair in shown), words


def test_the_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = re.findall(r"`make ([a-z -]+?)(?: [A-Z_]+=\S+)?`", README.replace("\n", " "))
    targets = {word for text in named for word in text.split()} | {line.removeprefix("make ") for line in MAKE}
    assert {"demo", "test", "lint", "tutorials", "lab", "docs", "bench", "criticality"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
        make = shutil.which("make")
        if make:  # what it would do
            dry = subprocess.run([make, "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
            assert dry.returncode == 0, dry.stderr
    assert ACTIVATE == ["source .venv/bin/activate"]
    assert re.search(r"^VENV := \.venv$", makefile, re.MULTILINE)


def test_extras_and_variables_exist():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = set(re.findall(r"qmlphys\[([\w-]+)\]", README))
    assert extras == {"aer-gpu"}
    assert extras <= set(project["optional-dependencies"])
    assert "qiskit-aer-gpu" in str(project["optional-dependencies"]["aer-gpu"])
    read = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "qmlphys" / "execution").glob("*.py"))
    for name in set(re.findall(r"`(Q[A-Z_]+)`", README)):
        assert name in read + (ROOT / "qmlphys/_arguments.py").read_text(encoding="utf-8"), name


def test_an_ibm_account_is_saved_as_it_says():
    service = pytest.importorskip("qiskit_ibm_runtime").QiskitRuntimeService
    assert "save_account(token=..., instance=...)" in README.replace("\n", " ")
    assert {"token", "instance"} <= set(inspect.signature(service.save_account).parameters)


def test_the_backends_are_known(folder, capsys):
    shown = re.search(r"\*\*Backends:\*\*(.*?)\n- ", README, re.DOTALL)[1]
    printed = run_cli(["backends"], capsys)
    for name in ("statevector", "aer", "aer-mps", "aer-gpu"):
        assert f"`{name}`" in shown
        assert re.search(rf"\b{name}\b", printed)


@pytest.mark.parametrize("row", table("Measured"), ids=lambda row: row[0][:40])
def test_measured_rows_have_a_command(row):
    rows = table("Measured")
    command = row[3].strip("`")
    above = rows[: rows.index(row)]
    while command == "same":
        command = above.pop()[3].strip("`")
    program, *words = shlex.split(command)
    if program == "make":
        assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    elif words[:2] == ["-m", "pytest"]:
        assert all((ROOT / word).exists() for word in words[2:])
    elif program == "qmlphys":
        assert any(line.split("#")[0].split() == [program, *words] for line in README.splitlines())  # a tested command
    else:
        assert program == "python"
        assert (ROOT / words[0]).is_file()
        text = (ROOT / words[0]).read_text(encoding="utf-8")
        for option in words[1:]:
            assert f'"{option}"' in text, option


@pytest.mark.parametrize("script", sorted(set(re.findall(r"`python (benchmarks/\w+\.py)", README))))
def test_the_benchmarks_start(script, folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))  # what Python does for a script
    with pytest.raises(SystemExit) as leaving:
        runpy.run_path(str(ROOT / script), run_name="__main__")
    assert leaving.value.code == 0
    assert "usage" in capsys.readouterr().out


def test_the_rooms_hold_what_they_say():
    for names, contents in table("Rooms"):
        parts = re.findall(r"`([\w.]+)`", names)
        first = parts[0]
        # Others stand beside the first one: `qmlphys.lattices`, `hamiltonians`.
        homes = [first, *(f"{first.rpartition('.')[0]}.{part}" for part in parts[1:])]
        modules = [importlib.import_module(home) for home in homes]
        for name in re.findall(r"`(\w+)`", contents):
            assert any(hasattr(module, name) for module in modules), (name, homes)


def test_the_tutorials_are_listed():
    linked = re.findall(r"\]\((tutorials/[\w-]+\.ipynb)\)", section("Tutorials"))
    assert linked == sorted(linked)
    assert len(linked) == len(table("Tutorials")) == 10
    assert linked == sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "tutorials").glob("[0-9]*.ipynb"))


def test_files_that_it_links_are_there():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    for path in links:
        assert path.startswith("http") or (ROOT / path).is_file(), path
    for name in re.findall(r"`([A-Z]+\.(?:md|cff))`", README):
        assert (ROOT / name).is_file(), name


def test_it_warns_of_the_other_circuits():
    assert "also installs a top-level package `circuits`" in " ".join(README.split())
    assert importlib.import_module("circuits").__file__ == os.fspath(ROOT / "circuits" / "__init__.py")
