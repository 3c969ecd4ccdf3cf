"""Snapshot files that are damaged or hostile: each is refused in one sentence, before much is allocated."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from qmlphys import snapshots
from qmlphys.snapshots import SnapshotError


@pytest.fixture
def good(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    ds = snapshots.dataset(
        rng.choice(np.array([-1, 1], dtype=np.int8), (3, 2, 4, 9)),
        [1.0, 2.0, 3.0],
        name="temperature",
        units="J/k_B",
        source="montecarlo",
        model="Ising(coupling=1.0, field=0.0)",
        lattice="square(3)",
        seed=3,
        observables={"energy": rng.normal(size=(3, 2, 4))},
        register=["a"] * 9,
    )
    snapshots.save(ds, tmp_path / "good.nc")
    return tmp_path / "good.nc"


def refused(path: Path, message: str, **options: Any) -> None:
    """Check that loading fails with one sentence that holds `message`."""
    with pytest.raises(SnapshotError, match=message) as caught:
        snapshots.load(path, **options)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"\x89HDF", b"CDF\x01" + bytes(100), b"PK\x03\x04", b"\x80\x04\x95", b"hello"]
)
def test_not_hdf5(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.nc"
    path.write_bytes(content)
    refused(path, "not netCDF-4")


def test_no_file_and_no_regular_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no file .*none\.nc"):
        snapshots.load(tmp_path / "none.nc")
    refused(tmp_path, "not a regular file")


def test_truncated_at_any_place(good: Path) -> None:
    whole = good.read_bytes()
    for length in np.linspace(8, len(whole) - 1, 60).astype(int):
        good.write_bytes(whole[:length])
        refused(good, "truncated or damaged")


def test_damaged_bytes_never_do_worse_than_an_error(good: Path) -> None:
    """Thirty thousand such files were tried by hand; HDF5 once ran for ever and once took four gigabytes."""
    whole = good.read_bytes()
    rng = np.random.default_rng(11)
    n_refused = 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(300):
        broken = bytearray(whole)
        for place in rng.integers(len(whole), size=rng.integers(1, 9)):
            broken[place] = rng.integers(256)
        good.write_bytes(broken)
        try:
            snapshots.check(snapshots.load(good))
        except SnapshotError:
            n_refused += 1
    assert 100 < n_refused < 300
    scale = 1 if peak > 10**8 else 1024  # macOS counts bytes, Linux kibibytes
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) * scale < 2**28


def no_spins(f: h5py.File) -> None:
    del f["spins"]


def no_attributes(f: h5py.File) -> None:
    del f.attrs["model"]


def other_schema(f: h5py.File) -> None:
    f.attrs["schema_version"] = 7


def float_spins(f: h5py.File) -> None:
    del f["spins"]
    f["spins"] = np.ones((3, 2, 4, 9))


def object_spins(f: h5py.File) -> None:
    del f["spins"]
    f.create_dataset("spins", (3, 2, 4, 9), dtype=h5py.vlen_dtype(np.int8))


def flat_spins(f: h5py.File) -> None:
    del f["spins"]
    f["spins"] = np.ones((3, 8, 9), dtype=np.int8)


def zero_spin(f: h5py.File) -> None:
    f["spins"][0, 0, 0, 0] = 0


def big_spin(f: h5py.File) -> None:
    f["spins"][2, 1, 3, 8] = 2


def nan_parameter(f: h5py.File) -> None:
    f["parameter"][1] = np.nan


def short_parameter(f: h5py.File) -> None:
    del f["parameter"]
    f["parameter"] = np.ones(2)


def integer_parameter(f: h5py.File) -> None:
    del f["parameter"]
    f["parameter"] = np.arange(3)


def infinite_energy(f: h5py.File) -> None:
    f["energy"][0, 0, 0] = np.inf


def text_energy(f: h5py.File) -> None:
    del f["energy"]
    f["energy"] = np.full((3, 2, 4), b"pickle")


def extra_group(f: h5py.File) -> None:
    f.create_group("more")


def soft_link(f: h5py.File) -> None:
    f["loop"] = h5py.SoftLink("/spins")


def external_link(f: h5py.File) -> None:
    del f["spins"]
    f["spins"] = h5py.ExternalLink("/etc/passwd", "/spins")


def external_storage(f: h5py.File) -> None:
    del f["spins"]
    f.create_dataset("spins", (3, 2, 4, 9), dtype=np.int8, external=[("/etc/passwd", 0, 216)])


def virtual(f: h5py.File) -> None:
    del f["spins"]
    layout = h5py.VirtualLayout((3, 2, 4, 9), dtype=np.int8)
    layout[:] = h5py.VirtualSource("other.h5", "spins", shape=(3, 2, 4, 9))
    f.create_virtual_dataset("spins", layout)


def other_filter(f: h5py.File) -> None:
    del f["spins"]
    f.create_dataset("spins", data=np.ones((3, 2, 4, 9), dtype=np.int8), scaleoffset=0)


def text_of_any_length(f: h5py.File) -> None:
    f.attrs["model"] = "Ising"


def long_attribute(f: h5py.File) -> None:
    f.attrs["note"] = np.zeros(100)


def many_attributes(f: h5py.File) -> None:
    for i in range(70):
        f.attrs[f"a{i}"] = i


def many_items(f: h5py.File) -> None:
    for i in range(70):
        f[f"a{i}"] = np.ones((3, 2, 4))


def wide_register(f: h5py.File) -> None:
    del f["register"]
    f["register"] = np.full((9, 1000), b"a", dtype="S1")


def short_register(f: h5py.File) -> None:
    del f["register"]
    f["register"] = np.full((8, 2), b"a", dtype="S1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (no_spins, "no variable `spins`"),
        (no_attributes, "no attribute `model`"),
        (other_schema, "must be 1, but it is 7"),
        (float_spins, "`spins` must be int8, but it is float64"),
        (object_spins, "`spins` must be int8, but it is object"),
        (flat_spins, "must have 4 dimensions"),
        (zero_spin, "but it holds 0"),
        (big_spin, "but it holds 2"),
        (nan_parameter, "`parameter` must hold finite values"),
        (short_parameter, "`parameter` must have the shape"),
        (integer_parameter, "`parameter` must be float64"),
        (infinite_energy, "`energy` must hold finite values"),
        (text_energy, "`energy` must be float64"),
        (extra_group, "`more` is a Group"),
        (soft_link, "`loop` is a link"),
        (external_link, "`spins` is a link"),
        (external_storage, "keeps its data in other files"),
        (virtual, "keeps its data in other files"),
        (other_filter, "filter other than deflate"),
        (text_of_any_length, "text of fixed length"),
        (long_attribute, "neither a number nor text"),
        (many_attributes, "attributes"),
        (many_items, "items"),
        (wide_register, "1000 characters"),
        (short_register, "`register` must have the shape"),
    ],
)
def test_refused_content(good: Path, change: Callable[[h5py.File], None], message: str) -> None:
    with h5py.File(good, "r+") as file:
        change(file)
    refused(good, message)


def declare(path: Path, shape: tuple[int, ...], **options: Any) -> None:
    """Give `path` a spins variable of any declared size with next to nothing in it."""
    with h5py.File(path, "r+") as file:
        for name in ("spins", "parameter", "energy", "register"):
            del file[name]
        file.create_dataset("spins", shape, dtype=np.int8, fillvalue=1, **options)
        file["parameter"] = np.ones(shape[0])


@pytest.mark.parametrize("shape", [(1, 64, 2**20, 2**20), (1, 1, 2**31, 2**31), (1, 2**10, 2**10, 2**10)])
def test_declared_sizes_are_bounded_before_anything_is_allocated(good: Path, shape: tuple[int, ...]) -> None:
    declare(good, shape, chunks=(1, 1, 2**10, 2**10))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(good, "but at most")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 10**5


def test_huge_chunk_of_a_small_variable(good: Path) -> None:
    declare(good, (1, 1, 1, 2), chunks=(1, 1, 2**15, 2**15), maxshape=(None, None, None, None))
    refused(good, "but at most")


def test_compression_bomb(good: Path) -> None:
    """A gigabyte of equal spins packs a thousandfold; the limit counts bytes once unpacked."""
    declare(good, (1, 1, 2**14, 2**12), chunks=(1, 1, 2**10, 2**12), compression="gzip", compression_opts=9)
    with h5py.File(good, "r+") as file:
        file["spins"][0, 0, : 2**13] = 1
    assert good.stat().st_size < 2**17
    refused(good, "at most 1000000 are accepted", max_bytes=10**6)


def test_ordered_snapshots_pack_well_and_still_load(tmp_path: Path) -> None:
    """The bound on what a file can hold must not refuse honest data: all spins up is the worst case."""
    ds = snapshots.dataset(
        np.ones((1, 4, 1000, 1024), dtype=np.int8),
        [0.5],
        name="temperature",
        units="J/k_B",
        source="montecarlo",
        model="",
        lattice="",
        seed=0,
    )
    snapshots.save(ds, tmp_path / "a.nc")
    assert (tmp_path / "a.nc").stat().st_size < 4.1e6 / 100
    assert snapshots.load(tmp_path / "a.nc").identical(ds)
