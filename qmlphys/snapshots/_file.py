"""Writing snapshot files, and reading ones that may be damaged or hostile.

HDF5 can declare far more than it holds, point into other files, and hide any type behind a name. So nothing is handed
to a general reader: the root group must hold exactly the schema, each item is judged by its metadata, and only then
are arrays of the declared size allocated.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from qmlphys._atomic import atomic_path
from qmlphys.snapshots._schema import MAX_BYTES, OBSERVABLE_DIMS, SPIN_DIMS, SnapshotError, check

__all__ = ["load", "save"]

_CHUNK_BYTES = 2**22
_MAX_ITEMS = 64
_MAX_TEXT = 65_536
_MAX_NAME = 256
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# Deflate cannot pack better than 1032 to 1, so a file of n bytes holds at most that times n. The other filters that
# are accepted do not shrink anything; scale-offset and plug-ins, which can pack without limit, are refused.
_MAX_RATIO = 1100
_SLACK = 4096
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
# What netCDF keeps for itself; object references among it are never followed.
_NETCDF_ATTRIBUTES = {"_FillValue", "CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "DIMENSION_LABELS"}
_NETCDF_ATTRIBUTES |= {"_Netcdf4Dimid", "_Netcdf4Coordinates", "_NCProperties", "_nc3_strict", "coordinates"}


@dataclass(frozen=True)
class _Content:
    """What a file holds, once its metadata has been judged."""

    spins: NDArray[np.int8]
    parameter: NDArray[np.float64]
    parameter_attrs: dict[str, Any]
    attrs: dict[str, Any]
    observables: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    register: NDArray[np.str_] | None = None


def save(ds: xr.Dataset, path: str | os.PathLike[str]) -> None:
    """Write a snapshot Dataset as netCDF, whole or not at all.

    The file is written under a temporary name in the same folder, flushed to the disk and renamed: a reader sees the
    old file or the new one, whatever kills the writer. Spins are compressed (deflate, level 1: measured at 150 MB/s
    and a factor of 5 to 200; level 4 gains a third in size at half the speed, lzf loses half).

    Parameters
    ----------
    ds : xarray.Dataset
        A snapshot Dataset; it is checked first.
    path : path-like
        Where to; the folder must exist. An existing file is replaced.

    Raises
    ------
    SnapshotError
        If `ds` is not a snapshot Dataset.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from qmlphys.snapshots import from_counts
    >>> ds = from_counts({"01": 3}, 0.5, name="field", units="J", model="", lattice="", seed=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(ds, Path(folder, "a.nc"))
    ...     load(Path(folder, "a.nc")).identical(ds)
    True
    """
    check(ds)
    unknown = sorted(str(key) for key in ds.coords if key not in ("parameter", "register"))
    if unknown:
        raise SnapshotError(
            f"A snapshot file keeps only the coordinates `parameter` and `register`, but not {unknown}."
        )
    with atomic_path(path) as temporary:
        _write(ds, temporary)


def load(path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES) -> xr.Dataset:
    """Read a snapshot Dataset from a file that may be damaged or hostile.

    The file's own description is judged first: types, shapes, filters, links and sizes. Only then is anything of the
    declared size allocated, and the values are checked after that. No pickle is ever read.

    Parameters
    ----------
    path : path-like
        A netCDF file that `save` (or another program that keeps the schema) wrote.
    max_bytes : int
        The largest data set to accept, in bytes once unpacked; 4 GiB unless told otherwise.

    Returns
    -------
    xarray.Dataset
        A checked snapshot Dataset, in memory; the file is closed.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    SnapshotError
        If the file is no snapshot file, or is truncated, damaged, too large or unlike what it declares.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.nc").write_text("not a snapshot")
    ...     try:
    ...         load(Path(folder, "a.nc"))
    ...     except SnapshotError as error:
    ...         print(str(error).replace(folder, ""))
    '/a.nc' is not a snapshot file: it is not netCDF-4 (HDF5), or its beginning is missing.
    """
    name = Path(path)
    content = _read(name, max_bytes=max_bytes)
    coordinates: dict[str, Any] = {"parameter": ("parameter", content.parameter, content.parameter_attrs)}
    if content.register is not None:
        coordinates["register"] = ("site", content.register)
    variables: dict[str, Any] = {"spins": (SPIN_DIMS, content.spins)}
    variables.update({key: (OBSERVABLE_DIMS, value) for key, value in content.observables.items()})
    result = xr.Dataset(variables, coordinates, content.attrs)
    try:
        check(result)
    except SnapshotError as error:
        raise SnapshotError(f"'{name}' is not a valid snapshot file: {error}") from None
    return result


def _write(ds: xr.Dataset, path: Path) -> None:
    """Write a checked snapshot Dataset as netCDF-4.

    Parameters
    ----------
    ds : xarray.Dataset
        A snapshot Dataset.
    path : pathlib.Path
        The file, which is overwritten in place: callers give a temporary name.
    """
    spins = ds["spins"].values
    with h5netcdf.File(path, "w") as file:
        file.dimensions = dict(ds.sizes)
        file.attrs.update({str(key): _fixed(value) for key, value in ds.attrs.items()})
        rows_per_chunk = max(1, _CHUNK_BYTES // spins.shape[3])
        n_draws = min(spins.shape[2], rows_per_chunk)
        n_chains = min(spins.shape[1], max(1, rows_per_chunk // n_draws))
        file.create_variable(
            "spins",
            SPIN_DIMS,
            data=spins,
            chunks=(1, n_chains, n_draws, spins.shape[3]),
            compression="gzip",
            compression_opts=1,
        )
        parameter = file.create_variable("parameter", ("parameter",), data=ds["parameter"].values)
        parameter.attrs.update({key: _fixed(ds["parameter"].attrs[key]) for key in ("name", "units")})
        for key, variable in ds.data_vars.items():
            if key != "spins":
                file.create_variable(str(key), OBSERVABLE_DIMS, data=variable.values)
        if "register" in ds.coords:
            names = [str(name).encode("utf-8") for name in ds["register"].values]
            width = max(2, *(len(name) for name in names))
            letters = np.array(names, dtype=f"S{width}").view("S1").reshape(len(names), width)
            file.dimensions["register_length"] = width
            register = file.create_variable("register", ("site", "register_length"), data=letters)
            register.attrs["_Encoding"] = _fixed("utf-8")
            file["spins"].attrs["coordinates"] = _fixed("register")  # how other readers learn that it is a coordinate


def _fixed(value: Any) -> Any:
    """Give text a fixed length; leave numbers as they are.

    HDF5 keeps text of variable length in heaps behind pointers. A forged pointer or heap makes the library (2.0 and
    before) ask for gigabytes or run for ever, so `read` accepts no such text, and none is written.
    """
    if not isinstance(value, str):
        return value
    octets = value.encode("utf-8")
    # Two bytes at least: a single letter comes back from h5netcdf as a byte, not as text.
    return np.array(octets, dtype=h5py.string_dtype("utf-8", max(2, len(octets))))


def _read(path: Path, *, max_bytes: int) -> _Content:
    """Read the parts of a snapshot file after judging each by its metadata.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    max_bytes : int
        The largest number of bytes to allocate for all parts together.

    Returns
    -------
    _Content
        Arrays with the right types and shapes; their values are not checked yet.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    SnapshotError
        If the file is not what it should be.
    """
    if not path.exists():
        raise FileNotFoundError(f"There is no file '{path}'.")
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise SnapshotError(f"'{path}' is not a snapshot file: it is not a regular file.")
    with path.open("rb") as file:  # h5py would call a file that may not be read "no HDF5"; this says why
        if file.read(len(_SIGNATURE)) != _SIGNATURE:
            raise SnapshotError(
                f"'{path}' is not a snapshot file: it is not netCDF-4 (HDF5), or its beginning is missing."
            )
    try:
        with h5py.File(path, "r") as file:
            return _read_root(file, path=path, max_bytes=min(max_bytes, _MAX_RATIO * status.st_size + _SLACK))
    except SnapshotError:
        raise
    except MemoryError:
        raise SnapshotError(f"'{path}' needs more memory than this machine has.") from None
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, UnicodeError) as error:
        # h5py lets the C library's complaints through as any of these; the first line says what happened.
        reason = (str(error).splitlines() or ["unknown"])[0].rstrip(".")
        raise SnapshotError(f"'{path}' is truncated or damaged and cannot be read ({reason}).") from None


def _read_root(file: h5py.File, *, path: Path, max_bytes: int) -> _Content:
    """Judge all items of the root group, then read them."""
    items = _datasets(file, path=path)
    if "spins" not in items or "parameter" not in items:
        missing = "spins" if "spins" not in items else "parameter"
        raise SnapshotError(f"'{path}' is not a snapshot file: it has no variable `{missing}`.")
    spins = items.pop("spins")
    _judge(spins, name="spins", kind="int8", n_dims=4, path=path)
    parameter = items.pop("parameter")
    _judge(parameter, name="parameter", kind="float64", n_dims=1, shape=spins.shape[:1], path=path)
    register = items.pop("register", None)
    if register is not None:
        width = register.shape[-1] if register.shape else 0
        _judge(register, name="register", kind="letters", n_dims=2, shape=(spins.shape[3], width), path=path)
        if not 1 <= width <= _MAX_NAME:
            raise SnapshotError(f"'{path}' is not a snapshot file: register names are {width} characters long.")
    for name, item in items.items():
        _judge(item, name=name, kind="float64", n_dims=3, shape=spins.shape[:3], path=path)
    everything = [spins, parameter, *items.values(), *([register] if register is not None else [])]
    total = sum(_declared_bytes(item) for item in everything)
    if total > max_bytes:
        raise SnapshotError(
            f"'{path}' declares {total} bytes of data, but at most {max_bytes} are accepted "
            "(the limit given to `load`, or what a file of this size can hold)."
        )
    return _Content(
        spins=np.asarray(spins[...], dtype=np.int8),
        parameter=np.asarray(parameter[...], dtype=np.float64),
        parameter_attrs=_attributes(parameter, path=path),
        attrs=_attributes(file, path=path),
        observables={name: np.asarray(item[...], dtype=np.float64) for name, item in items.items()},
        register=None if register is None else _read_names(register),
    )


def _datasets(file: h5py.File, *, path: Path) -> dict[str, h5py.Dataset]:
    """Return the variables of the root group; refuse links out of it, groups and named types."""
    if len(file) > _MAX_ITEMS:
        raise SnapshotError(f"'{path}' is not a snapshot file: it holds {len(file)} items.")
    found: dict[str, h5py.Dataset] = {}
    for name in file:
        # Links are judged before they are opened: opening an external one would open another file.
        if file.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
            raise SnapshotError(f"'{path}' is not a snapshot file: `{name}` is a link to somewhere else.")
        item = file[name]
        if not isinstance(item, h5py.Dataset):
            raise SnapshotError(f"'{path}' is not a snapshot file: `{name}` is a {type(item).__name__}.")
        if _is_dimension_only(item):
            continue
        found[name] = item
    return found


def _is_dimension_only(item: h5py.Dataset) -> bool:
    """Tell whether an item is only the length of a netCDF dimension, with nothing stored in it."""
    if "NAME" not in item.attrs:
        return False
    handle = item.attrs.get_id("NAME")
    if handle.shape != () or handle.dtype.kind != "S" or handle.dtype.itemsize > _MAX_NAME:
        return False
    return bytes(item.attrs["NAME"]).startswith(b"This is a netCDF dimension but not a netCDF variable")


def _judge(
    item: h5py.Dataset, *, name: str, kind: str, n_dims: int, path: Path, shape: tuple[int, ...] | None = None
) -> None:
    """Refuse a variable of the wrong type or shape, or stored in a way that can hide something."""
    dtype = item.dtype
    fits = {
        "int8": dtype == np.int8,
        "float64": dtype.kind == "f" and dtype.itemsize == 8,
        "letters": dtype == np.dtype("S1"),
    }[kind]
    if not fits:
        raise SnapshotError(f"'{path}' is not a snapshot file: `{name}` must be {kind}, but it is {dtype}.")
    if item.shape is None or len(item.shape) != n_dims or (shape is not None and item.shape != shape):
        expected = f"the shape {shape}" if shape is not None else f"{n_dims} dimensions"
        raise SnapshotError(
            f"'{path}' is not a snapshot file: `{name}` must have {expected}, but its shape is {item.shape}."
        )
    if item.external or item.is_virtual:
        raise SnapshotError(f"'{path}' is not a snapshot file: `{name}` keeps its data in other files.")
    properties = item.id.get_create_plist()
    filters = {properties.get_filter(i)[0] for i in range(properties.get_nfilters())}
    if filters - _FILTERS:
        raise SnapshotError(f"'{path}' is not a snapshot file: `{name}` is packed by a filter other than deflate.")


def _declared_bytes(item: h5py.Dataset) -> int:
    """Return what reading a variable allocates at least: the whole, or one chunk if that is larger."""
    sizes = [item.shape, item.chunks or ()]
    largest = 0
    for shape in sizes:
        number = item.dtype.itemsize
        for length in shape:
            number *= int(length)  # Python integers: a product of declared lengths may pass 2**64
        largest = max(largest, number)
    return largest


def _attributes(owner: h5py.File | h5py.Dataset, *, path: Path) -> dict[str, Any]:
    """Return the attributes that are text or single numbers; refuse all else that is not netCDF's own."""
    found: dict[str, Any] = {}
    if len(owner.attrs) > _MAX_ITEMS:
        raise SnapshotError(f"'{path}' is not a snapshot file: it has {len(owner.attrs)} attributes.")
    for name in owner.attrs:
        if name in _NETCDF_ATTRIBUTES:
            continue
        handle = owner.attrs.get_id(name)
        if handle.shape not in ((), (1,)) or handle.dtype.kind not in "iufS" or handle.dtype.itemsize > _MAX_TEXT:
            raise SnapshotError(
                f"'{path}' is not a snapshot file: attribute `{name}` is neither a number nor text of fixed length "
                "(`qmlphys.snapshots.save` writes such files)."
            )
        value = owner.attrs[name]
        if isinstance(value, np.ndarray):
            value = value.reshape(-1)[0]
        if isinstance(value, bytes):
            value = value.decode("utf-8")
        found[name] = value.item() if isinstance(value, np.generic) else value
    return found


def _read_names(register: h5py.Dataset) -> NDArray[np.str_]:
    """Put the letters of register names together."""
    letters = register[...]
    names = np.ascontiguousarray(letters).view(f"S{letters.shape[1]}")[:, 0]
    return np.array([bytes(name).decode("utf-8") for name in names], dtype=np.str_)
