"""Files of models and checkpoints: a JSON header and plain arrays, no pickle, written whole or not at all."""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qmlphys._atomic import atomic_path

__all__ = ["MAX_BYTES", "ModelFileError", "read_arrays", "write_arrays"]

MAX_BYTES = 2 * 2**30
"""The largest content that is read, in bytes."""

_FORMAT, _VERSION = "qmlphys.generative", 1
_HEADER = "header"
_MAX_HEADER = 2**24
_MAX_ARRAYS = 20_000


class ModelFileError(ValueError):
    """The file is no model, is damaged, or is of another kind; the text says why in one sentence."""


ModelFileError.__module__ = "qmlphys.generative"  # where users find it


def write_arrays(
    path: str | os.PathLike[str], *, kind: str, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Write a header of JSON and named arrays in one step.

    Parameters
    ----------
    path : path-like
        Where to; the folder must exist.
    kind : str
        What it is.
    header : mapping
        Whatever JSON knows.
    arrays : mapping of str to ndarray
        Arrays of numbers.
    """
    text = json.dumps({"format": _FORMAT, "version": _VERSION, "kind": kind, **header}, allow_nan=True)
    named: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in named.items():
        if array.dtype.kind not in "biufc":
            raise TypeError(f"Array {name!r} must hold numbers, but its dtype is {array.dtype}.")
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        named[_HEADER] = np.frombuffer(text.encode(), dtype=np.uint8)
        np.savez_compressed(file, **named)


def read_arrays(
    path: str | os.PathLike[str], *, kind: str | None = None
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read what `write_arrays` wrote, after its size has been judged.

    Parameters
    ----------
    path : path-like
        The file.
    kind : str, optional
        What it must be.

    Returns
    -------
    (dict, dict of str to ndarray)
        Header and arrays.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelFileError
        If it is damaged, too large, or of another kind.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            _judge(archive, path.name)
        # Each array is read by numpy, which refuses pickles.
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(arrays.pop(_HEADER)[:_MAX_HEADER].tobytes().decode())
    except (FileNotFoundError, IsADirectoryError, PermissionError, ModelFileError):
        raise
    except Exception as error:
        # Whatever a damaged archive makes numpy, zipfile and json raise.
        raise ModelFileError(f"File {path.name!r} must be a model of qmlphys, but cannot be read: {error}.") from error
    if not isinstance(header, dict) or header.get("format") != _FORMAT or header.get("version") != _VERSION:
        raise ModelFileError(f"File {path.name!r} must be a model of qmlphys, version {_VERSION}, but it is not.")
    if kind is not None and header.get("kind") != kind:
        raise ModelFileError(f"File {path.name!r} must hold a {kind}, but it holds a {header.get('kind')}.")
    return header, arrays


def _judge(archive: zipfile.ZipFile, name: str) -> None:
    """Refuse too much content, and arrays that claim a shape beyond what is stored: numpy would allocate it first."""
    entries = archive.infolist()
    total = sum(entry.file_size for entry in entries)
    if total > MAX_BYTES or len(entries) > _MAX_ARRAYS:
        raise ModelFileError(
            f"File {name!r} must hold at most {MAX_BYTES} bytes in {_MAX_ARRAYS} arrays, but it declares {total} in "
            f"{len(entries)}."
        )
    for entry in entries:
        with archive.open(entry) as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
        if dtype.kind not in "biufc" or math.prod(shape) * dtype.itemsize > entry.file_size:
            raise ModelFileError(
                f"File {name!r} must hold arrays of numbers, whole, but {entry.filename!r} claims shape {shape} and "
                f"dtype {dtype} in {entry.file_size} bytes."
            )
