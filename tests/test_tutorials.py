"""The notebooks as they are committed, and what executes them. `make tutorials` runs them."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "tutorials"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MAX_BYTES = 600_000
# A space or a quote, then at least two folders: "/a/b". Fractions such as m/s or 1/2 are no paths.
ABSOLUTE_PATH = re.compile(r"""(?:^|[\s'"(=])(?:/[A-Za-z][\w.-]*/[\w./-]+|[A-Z]:\\)""", re.MULTILINE)


def cells(path: Path, kind: str | None = None) -> list[dict[str, Any]]:
    every = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in every if kind in (None, cell["cell_type"])]


def text_of(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def outputs(path: Path) -> list[dict[str, Any]]:
    return [output for cell in cells(path, "code") for output in cell["outputs"]]


def printed(path: Path) -> str:
    """Return all that the notebook's cells printed or showed as text."""
    found = []
    for output in outputs(path):
        found.append("".join(output.get("text", [])))
        found += ["".join(part) for kind, part in output.get("data", {}).items() if kind.startswith("text/")]
    return "\n".join(found)


every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_are_ten():
    assert [path.name[:3] for path in NOTEBOOKS] == [f"{number:02d}-" for number in range(1, 11)]


@every_notebook
def test_a_title_at_the_top_and_words_at_the_end(path):
    first, *_, last = cells(path)
    assert first["cell_type"] == last["cell_type"] == "markdown"
    assert re.match(r"# \w", text_of(first))
    assert len(re.findall(r"^# ", "\n".join(map(text_of, cells(path, "markdown"))), re.MULTILINE)) == 1


@every_notebook
def test_all_cells_were_executed_in_order_and_quietly(path):
    code = cells(path, "code")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    for output in outputs(path):
        assert output["output_type"] in {"stream", "display_data", "execute_result"}
        assert output.get("name", "stdout") == "stdout"
    assert any("image/png" in output.get("data", {}) for output in outputs(path))


@every_notebook
def test_it_ends_in_asserted_physics(path):
    last = ast.parse(text_of(cells(path, "code")[-1]))
    asserted = [node.test for node in ast.walk(last) if isinstance(node, ast.Assert)]
    # A constant cannot fail: each assertion names something, and some of them compare.
    assert all(any(isinstance(part, ast.Name) for part in ast.walk(test)) for test in asserted)
    assert any(isinstance(part, ast.Compare) for test in asserted for part in ast.walk(test))


@every_notebook
def test_nothing_of_the_machine_that_ran_it_stays(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["metadata"] == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert all(set(cell["metadata"]) <= {"tags"} for cell in content["cells"])
    assert not ABSOLUTE_PATH.findall(printed(path))
    assert not ABSOLUTE_PATH.findall("\n".join(map(text_of, cells(path, "code"))))
    assert not re.findall(r" at 0x[0-9a-f]+", printed(path))  # an address differs from run to run
    assert path.stat().st_size < MAX_BYTES


@every_notebook
def test_the_readme_tells_of_it(path):
    assert path.name in (ROOT / "README.md").read_text(encoding="utf-8")


def test_paths_are_recognised():
    assert ABSOLUTE_PATH.search("'/srv/data/x.nc'")
    assert ABSOLUTE_PATH.search("file C:\\x")
    assert not ABSOLUTE_PATH.search("3 m/s, 1/2, and/or, http://host/a/b, runs/demo/x.nc, a / b / c")


@pytest.fixture(scope="module")
def runner():
    spec = importlib.util.spec_from_file_location("tutorials_main", FOLDER / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["tutorials_main"] = module  # its dataclass looks its own module up
    spec.loader.exec_module(module)
    return module


def test_notebooks_are_found_by_number_and_by_name(runner):
    first = NOTEBOOKS[0]
    for name in ("1", "01", first.stem, first.name, f"tutorials/{first.name}"):
        assert runner.find([name]) == [first]
    assert runner.find([]) == NOTEBOOKS
    assert runner.find(["1", "01"]) == [first]
    with pytest.raises(ValueError, match=r"Argument `names` must hold tutorials .*but it has 'ising'"):
        runner.find(["ising"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["99"], "Argument `names` must hold"),
        (["--timeout", "-1"], "`--timeout` must be positive, but it is -1"),
        (["--jobs", "0"], "`--jobs` must be at least 1, but it is 0"),
    ],
)
def test_wrong_input_is_one_message_and_exit_code_2(arguments, message):
    pytest.importorskip("nbclient", reason="needs the extra tutorials")
    pytest.importorskip("ipykernel", reason="needs the extra tutorials")
    command = [sys.executable, "-m", "tutorials", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def write(path: Path, *sources: str) -> Path:
    notebook = {
        "cells": [
            {"cell_type": "code", "execution_count": 7, "metadata": {"x": 1}, "outputs": [], "source": source}
            for source in sources
        ],
        "metadata": {"jupytext": {}},
        "nbformat": 4,
        "nbformat_minor": 4,
    }
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path


def test_the_runner_judges_and_saves(runner, tmp_path):
    pytest.importorskip("nbclient", reason="needs the extra tutorials")
    pytest.importorskip("ipykernel", reason="needs the extra tutorials")
    good = write(tmp_path / "good.ipynb", "import os\nx = 6", "print(x * 7, os.listdir())")
    wrong = write(tmp_path / "wrong.ipynb", "x = 6", "assert x == 7")
    loud = write(tmp_path / "loud.ipynb", "import warnings; warnings.warn('hm')")
    before = {path: path.read_text() for path in (wrong, loud)}

    execute = runner.Runner(timeout=120, save=True)
    assert execute.run(good).fault is None
    assert "AssertionError" in execute.run(wrong).fault
    assert "wrote to stderr" in execute.run(loud).fault
    assert {path: path.read_text() for path in (wrong, loud)} == before  # only what is good is saved

    first = good.read_bytes()
    assert [cell["execution_count"] for cell in cells(good)] == [1, 2]
    assert printed(good).strip() == "42 []"  # an empty folder of its own
    assert [cell["metadata"] for cell in cells(good)] == [{}, {}]
    assert execute.run(good).fault is None
    assert good.read_bytes() == first


def test_the_runner_knows_the_time_limit(runner, tmp_path):
    pytest.importorskip("nbclient", reason="needs the extra tutorials")
    pytest.importorskip("ipykernel", reason="needs the extra tutorials")
    endless = write(tmp_path / "endless.ipynb", "while True:\n    pass")
    assert runner.Runner(timeout=3, save=False).run(endless).fault == "it took longer than 3 s"


def test_ctrl_c_leaves_no_kernel_behind(tmp_path):
    pytest.importorskip("nbclient", reason="needs the extra tutorials")
    psutil = pytest.importorskip("psutil", reason="needs the extra tutorials")
    noted = tmp_path / "pid"
    source = f"import os, pathlib\npathlib.Path({str(noted)!r}).write_text(str(os.getpid()))\nwhile True:\n    pass"
    write(tmp_path / "01-endless.ipynb", source)
    program = (
        "import pathlib, runpy\n"
        f"names = runpy.run_path({str(FOLDER / '__main__.py')!r})\n"
        f"path = pathlib.Path({str(tmp_path / '01-endless.ipynb')!r})\n"
        "raise SystemExit(names['_run']([path], names['Runner'](timeout=300, save=True), n_jobs=1))\n"
    )
    # A shell that started the tests in the background has made SIGINT ignored, for its children too.
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + program
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not (noted.exists() and noted.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "Stopped; notebooks that had not ended are as they were.\n"
    kernel = int(noted.read_text())
    assert not psutil.pid_exists(kernel) or psutil.Process(kernel).status() == psutil.STATUS_ZOMBIE
