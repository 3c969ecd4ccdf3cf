"""The snapshot Dataset: layout, order of rows, round trips through files, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qmlphys import snapshots
from qmlphys.snapshots import SnapshotError


def make(shape: tuple[int, int, int, int] = (3, 2, 5, 9), *, seed: int = 0, **changes: Any) -> xr.Dataset:
    """Build a small data set of random spins."""
    rng = np.random.default_rng(seed)
    arguments: dict[str, Any] = {
        "name": "temperature",
        "units": "J/k_B",
        "source": "montecarlo",
        "model": "Ising(coupling=1.0, field=0.0)",
        "lattice": "square(3)",
        "seed": seed,
        "observables": {"energy": rng.normal(size=shape[:3]), "magnetization": rng.normal(size=shape[:3])},
    }
    arguments.update(changes)
    spins = rng.choice(np.array([-1, 1], dtype=np.int8), shape)
    return snapshots.dataset(spins, np.linspace(1.0, 3.0, shape[0]), **arguments)


def test_layout_is_the_contract() -> None:
    ds = make()
    assert ds["spins"].dims == ("parameter", "chain", "draw", "site")
    assert ds["spins"].dtype == np.int8
    assert ds["energy"].dims == ("parameter", "chain", "draw")
    assert ds["parameter"].attrs == {"name": "temperature", "units": "J/k_B"}
    assert set(ds.attrs) == {"schema_version", "source", "model", "lattice", "basis", "seed", "versions"}
    assert ds.attrs["basis"] == "Z"
    assert {"qmlphys", "numpy", "python"} <= set(json.loads(ds.attrs["versions"]))


def test_int8_spins_are_not_copied() -> None:
    spins = np.ones((1, 1, 2, 3), dtype=np.int8)
    ds = snapshots.dataset(
        spins, [1.0], name="field", units="J", source="nqs", model="m", lattice="chain(3)", seed=None
    )
    assert np.shares_memory(ds["spins"].values, spins)
    assert ds.attrs["seed"] == "unknown"


def test_rows_run_over_parameter_then_chain_then_draw() -> None:
    ds = make((2, 3, 4, 5))
    rows, parameter, groups = snapshots.as_xy(ds)
    assert rows.shape == (24, 5)
    i = 0
    for p in range(2):
        for c in range(3):
            for d in range(4):
                np.testing.assert_array_equal(rows[i], ds["spins"].values[p, c, d])
                assert parameter[i] == ds["parameter"].values[p]
                assert groups[i] == p * 3 + c
                i += 1
    assert np.shares_memory(rows, ds["spins"].values)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 20)),
    seed=st.one_of(st.integers(0, 2**128), st.text("abc", max_size=3)),
    model=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
    with_register=st.booleans(),
    basis=st.sampled_from(["Z", "X"]),
)
def test_round_trip_through_a_file(
    tmp_path: Path, shape: tuple[int, int, int, int], seed: int | str, model: str, with_register: bool, basis: str
) -> None:
    register = [f"r{i // 4}é" for i in range(shape[3])] if with_register else None
    ds = make(shape, model=model, register=register, basis=basis, seed=1).assign_attrs(
        seed=seed if isinstance(seed, str) or seed < 2**63 else str(seed)
    )
    snapshots.save(ds, tmp_path / "a.nc")
    back = snapshots.load(tmp_path / "a.nc")
    xr.testing.assert_identical(back, ds)
    assert back["spins"].dtype == np.int8


def test_other_readers_understand_the_file(tmp_path: Path) -> None:
    ds = make(register=["data"] * 4 + ["flag"] * 5)
    snapshots.save(ds, tmp_path / "a.nc")
    with xr.open_dataset(tmp_path / "a.nc", engine="h5netcdf") as other:
        np.testing.assert_array_equal(other["spins"].values, ds["spins"].values)
        assert other["spins"].dims == ds["spins"].dims
        np.testing.assert_array_equal(other["energy"].values, ds["energy"].values)
        assert other["register"].values.tolist() == ds["register"].values.tolist()
        assert {key: other.attrs[key] for key in ds.attrs} == ds.attrs
        assert other["parameter"].attrs == ds["parameter"].attrs
        snapshots.check(other.load())


def test_large_seeds_keep_every_digit() -> None:
    seed = np.random.SeedSequence(5).spawn(1)[0].generate_state(4, np.uint32)
    whole = int.from_bytes(seed.tobytes(), "little")
    ds = snapshots.dataset(
        [[[[1]]]], [0.0], name="field", units="J", source="nqs", model="", lattice="", seed=whole, basis="Y"
    )
    assert int(ds.attrs["seed"]) == whole > 2**64


def test_counts_there_and_back() -> None:
    found = {"0 01": 3, "1 11": 2, "0 00": 7}
    ds = snapshots.from_counts(
        found, 0.5, name="field", units="J", model="", lattice="", seed=1, registers={"data": 2, "flag": 1}
    )
    assert ds.attrs["source"] == "device"
    assert ds["spins"].shape == (1, 1, 12, 3)
    # Site 0 is the rightmost character: "0 01" has a bit, spin -1, at site 0 alone.
    assert ds["spins"].values[0, 0, 0].tolist() == [-1, 1, 1]
    assert ds["register"].values.tolist() == ["data", "data", "flag"]
    assert snapshots.counts(ds) == found
    assert list(snapshots.counts(ds)) == ["0 00", "0 01", "1 11"]


def test_counts_of_more_than_62_sites() -> None:
    ds = make((1, 2, 3, 100))
    found = snapshots.counts(ds)
    assert sum(found.values()) == 6
    assert all(len(string) == 100 for string in found)


def test_counts_never_pool_over_the_parameter() -> None:
    ds = make((2, 1, 3, 2))
    with pytest.raises(ValueError, match="which of the 2 values"):
        snapshots.counts(ds)
    assert sum(snapshots.counts(ds, parameter=1).values()) == 3
    with pytest.raises(ValueError, match="but it is 2"):
        snapshots.counts(ds, parameter=2)


def test_concatenate_keeps_all() -> None:
    parts = [make(seed=s) for s in (1, 2)]
    whole = snapshots.concatenate(parts)
    assert whole.sizes["parameter"] == 6
    np.testing.assert_array_equal(whole["energy"].values[3:], parts[1]["energy"].values)
    assert whole.attrs["seed"] == "1,2"
    xr.testing.assert_identical(snapshots.concatenate(parts[:1]), parts[0])


def test_concatenate_keeps_extra_attributes_that_agree() -> None:
    parts = [make(seed=s).assign_attrs(note="same", number=s) for s in (1, 2)]
    whole = snapshots.concatenate(parts)
    assert whole.attrs["note"] == "same"
    assert "number" not in whole.attrs


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "Ising(coupling=2.0, field=0.0)"}, "agree in attribute `model`"),
        ({"lattice": "square(4)"}, "agree in attribute `lattice`"),
        ({"units": "K"}, "agree in `units`"),
        ({"observables": {}}, "agree in measured quantities"),
        ({"register": ["a"] * 9}, "agree in registers"),
    ],
)
def test_concatenate_refuses_what_does_not_fit(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SnapshotError, match=message):
        snapshots.concatenate([make(), make(**changes)])


def test_concatenate_refuses_nothing_and_other_shapes() -> None:
    with pytest.raises(SnapshotError, match="at least one"):
        snapshots.concatenate([])
    with pytest.raises(SnapshotError, match="agree in number of draws"):
        snapshots.concatenate([make(), make((3, 2, 4, 9))])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spins": np.zeros((1, 1, 1, 2), dtype=np.int8)}, "only -1 and \\+1, but it holds 0"),
        ({"spins": np.full((1, 1, 1, 2), 257)}, "but it holds 257"),
        ({"spins": np.ones((1, 1, 1, 2))}, "must hold integers"),
        ({"spins": np.ones((1, 1, 2), dtype=np.int8)}, "must have the axes"),
        ({"spins": np.ones((1, 0, 1, 2), dtype=np.int8)}, "must not be empty"),
        ({"parameter": [1.0, 2.0]}, "one value per row"),
        ({"parameter": [np.nan]}, "finite"),
        ({"source": "guess"}, "must be one of"),
        ({"basis": "ZZZ"}, "one Pauli letter"),
        ({"basis": "A"}, "one Pauli letter"),
        ({"observables": {"energy": np.ones((1, 1))}}, "must have the shape"),
        ({"observables": {"energy": np.full((1, 1, 1), np.inf)}}, "finite"),
        ({"register": ["a"]}, "each of the 2 sites"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    whole: dict[str, Any] = {
        "spins": np.ones((1, 1, 1, 2), dtype=np.int8),
        "parameter": [1.0],
        "name": "temperature",
        "units": "J/k_B",
        "source": "montecarlo",
        "model": "",
        "lattice": "",
        "seed": 0,
    } | arguments
    with pytest.raises(SnapshotError, match=message):
        snapshots.dataset(whole.pop("spins"), whole.pop("parameter"), **whole)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({}, "at least one shot"),
        ({"0": -1}, "numbers >= 0"),
        ({"0": 1, "00": 1}, "of one length"),
        ({"0": 10**12}, "at most"),
        ({"2": 1}, "only 0, 1"),
    ],
)
def test_wrong_counts_are_named(found: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        snapshots.from_counts(found, 0.0, name="field", units="J", model="", lattice="", seed=0)


def test_registers_must_fit_the_strings() -> None:
    for registers, message in (({"a": 2}, "3 bits together"), ({"a": 1, "b": 2}, "other parts")):
        with pytest.raises(SnapshotError, match=message):
            snapshots.from_counts(
                {"0 01": 1}, 0.0, name="field", units="J", model="", lattice="", seed=0, registers=registers
            )


def test_check_names_what_is_missing() -> None:
    ds = make()
    with pytest.raises(TypeError, match="DataArray"):
        snapshots.check(ds["spins"])  # type: ignore[arg-type]
    for broken, message in (
        (ds.drop_vars("spins"), "no variable `spins`"),
        (ds.drop_vars("parameter"), "no coordinate `parameter`"),
        (ds.assign_attrs(schema_version=99), "must be 1, but it is 99"),
        (ds.transpose("chain", ...), "must lie over"),
        (ds.assign(spins=ds["spins"].astype(np.int16)), "must be int8"),
        (ds.assign(energy=ds["energy"].astype(np.float32)), "must be float64"),
        (ds.assign_attrs(model=3), "must be text"),
        (ds.assign_attrs(note=[1, 2]), "text or a number"),
        (ds.assign_attrs(seed=0.5), "integer or text"),
    ):
        with pytest.raises(SnapshotError, match=message):
            snapshots.check(broken)
    incomplete = ds.copy()
    del incomplete.attrs["basis"]
    with pytest.raises(SnapshotError, match="no attribute `basis`"):
        snapshots.check(incomplete)


def test_save_refuses_what_a_file_would_lose(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="keeps only the coordinates"):
        snapshots.save(make().assign_coords(draw=np.arange(5)), tmp_path / "a.nc")
    assert list(tmp_path.iterdir()) == []


def test_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ds = make()
    snapshots.save(ds, tmp_path / "a.nc")
    before = (tmp_path / "a.nc").read_bytes()

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        snapshots.save(make(seed=5), tmp_path / "a.nc")
    assert (tmp_path / "a.nc").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.nc"]


def test_kill_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    """A writer that is killed when all is written but nothing renamed: the last moment at which it can go wrong."""
    target = tmp_path / "a.nc"
    old = make()
    snapshots.save(old, target)
    program = (
        "import os, sys, time\n"
        "from qmlphys import snapshots\n"
        "ds = snapshots.load(sys.argv[1])\n"
        "def wait(_):\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
        "os.fsync = wait\n"
        "snapshots.save(ds.isel(parameter=[0]), sys.argv[1])\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(target)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        writer.kill()
    assert len(list(tmp_path.glob(".a.nc.*.part"))) == 1
    xr.testing.assert_identical(snapshots.load(target), old)
