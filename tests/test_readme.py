"""What the README shows works as it stands."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from qmlphys.exact import critical_temperature

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SECOND_WORDS = (
    "sample|supervised|clustering|confusion|qft|hhl|ground-state|scan|phases|fit|compile|run|battery|features"
)
COMMANDS = re.findall(rf"^(qmlphys [a-z]+(?: (?:{SECOND_WORDS}))?) .*  ", README, re.MULTILINE)
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_example_prints_the_critical_temperature():
    code = BLOCKS[0]
    assert len(code.splitlines()) <= 24
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = re.fullmatch(r"Tc = (\d\.\d+)\((\d+)\)\n", done.stdout)
    assert found, done.stdout
    error = int(found[2]) * 10.0 ** -len(found[1].partition(".")[2])
    assert error < 0.02
    assert abs(float(found[1]) - critical_temperature("square")) < 4 * error


def test_the_neural_state_finds_the_ground_state():
    done = subprocess.run([sys.executable, "-W", "error", "-c", BLOCKS[1]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    energy, v_score, exact = done.stdout.split()
    mean, digits = re.fullmatch(r"(-\d+\.\d+)\((\d+)\)", energy).groups()
    error = int(digits) * 10.0 ** -len(mean.partition(".")[2])
    assert -4 * error < float(mean) - float(exact) < 1e-3
    assert 0 < float(v_score) < 1e-4


def test_the_circuit_is_run_and_submitted(tmp_path):
    code = BLOCKS[2]
    home = os.environ | {"QMLPHYS_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False, env=home
    )
    assert done.returncode == 0, done.stderr
    at_once, fetched = (ast.literal_eval(line) for line in done.stdout.splitlines())
    # The transform of |000> is uniform: all 8 outcomes, 1000 shots.
    assert len(at_once) == len(fetched) == 8
    assert sum(at_once.values()) == sum(fetched.values()) == 1000


def test_the_born_machine_draws_bars_and_stripes():
    done = subprocess.run([sys.executable, "-W", "error", "-c", BLOCKS[3]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    nll, least, n_gates, valid = map(float, done.stdout.split())
    assert least <= nll + 1e-12
    assert nll < least + 1e-6
    assert n_gates < 300
    assert valid == 1


def test_the_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"make ([a-z][a-z-]*)", README)) - {"sure"}
    assert {"demo", "test", "bench", "criticality"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_the_commands_exist(command):
    words = command.split()[1:]
    done = subprocess.run(
        [sys.executable, "-m", "qmlphys", *words, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_files_that_it_shows_are_there():
    for path in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file(), path
