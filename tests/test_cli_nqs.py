"""Neural ground states on the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from qmlphys import cli, exact, snapshots


def run_cli(arguments: Sequence[object], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Run the command line in this process."""
    with pytest.raises(SystemExit) as leaving:
        cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert isinstance(leaving.value.code, int)
    return leaving.value.code, captured.out, captured.err


SMALL = ("--size", 6, "--alpha", 1, "--samples", 128, "--chains", 32)


def test_a_ground_state_is_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, folder = tmp_path / "numbers.json", tmp_path / "run"
    command = ["nqs", "ground-state", *SMALL, "--field", 2.0, "--steps", 60, "--out", folder, "--json", table]
    code, out, err = run_cli(command, capsys)
    assert (code, err) == (0, "")
    assert "V-score" in out
    rows = {row["name"]: row for row in json.loads(table.read_text(encoding="utf-8"))}
    truth = exact.tfim_chain_energy(6, field=2.0)
    assert rows["energy"]["exact"] == truth
    assert rows["energy"]["value"] == pytest.approx(truth, rel=1e-3)
    assert (folder / "report.html").exists()


def test_a_scan_becomes_a_file_that_learners_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "scan.nc"
    command = ["nqs", "scan", *SMALL, "--fields", "1.5,2.0", "--steps", 10, "--draws", 4, "--relaxation", 0.5]
    code, out, err = run_cli([*command, "--out", file], capsys)
    assert (code, err) == (0, "")
    offset = float(re.search(r"fields are off by up to about (\S+) J", out)[1])
    assert 1e-6 < abs(offset) < 0.05
    assert "256 snapshots of chain(6) at 2 fields" in " ".join(out.split())
    ds = snapshots.load(file)
    assert ds.attrs["source"] == "nqs"
    assert ds["parameter"].values.tolist() == [1.5, 2.0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ground-state", "--hamiltonian", "hubbard"], "hubbard"),
        (["ground-state", "--size", 2], "size"),
        (["ground-state", "--size", 0], "'--size'"),
        (["ground-state", "--size", 100_000], "less than or equal to 4096"),
        (["ground-state", "--lattice", "square", "--size", 65], "at most 4096 sites, but square(65) has 4225"),
        (["ground-state", "--lattice", "honeycomb", "--size", 46], "honeycomb(46) has 4232"),
        (["ground-state", "--lattice", "cubic", "--size", 17], "cubic(17) has 4913"),
        (["ground-state", "--hamiltonian", "heisenberg", "--field", 1], "--field belongs to tfim and j1j2"),
        (["ground-state", "--field", -1], "must be at least 0 for tfim"),
        (["ground-state", "--out", "file"], "'file' is a file; give the name of a folder"),
        (["scan", "--hamiltonian", "heisenberg", "--out", "x.nc"], "no field to scan"),
        (["scan", "--relaxation", 1, "--out", "x.nc"], "less than or equal to 0.95"),
        (
            ["scan", "--hamiltonian", "j1j2", "--relaxation", 0.5, "--out", "x.nc"],
            "must be 0 but for the order of tfim",
        ),
        (["scan", "--folder", "file/below", "--out", "x.nc"], "'file' is a file"),
        (["phases", "--sizes", "8,100000000"], "must be 1 to 4096, but it is 100000000"),
        (["phases", "--sizes=-8,16"], "must be 1 to 4096, but it is -8"),
        (["phases", "--out", "file"], "'file' is a file"),
        (["ground-state", "--samples", 100, "--chains", 64], "multiple of the 64 chains"),
        (["scan", "--fields", "a,b", "--out", "x.nc"], "a,b"),
        (["phases", "--sizes", "8;16"], "Sizes must be a list"),
        (["phases", "--sizes", "16"], "at least two growing sizes"),
    ],
)
def test_wrong_input_gives_one_line(
    arguments: list[object],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("no folder")
    code, _, err = run_cli(["nqs", *arguments], capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert code == 2
    assert words in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1
