"""Checkpoint files: tensors, numbers and text, written whole or not at all, and read as if they were hostile."""

from __future__ import annotations

import os
import pickle
import pickletools
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qmlphys._atomic import atomic_path

__all__ = ["MAX_BYTES", "CheckpointError", "read", "require_history", "require_tensors", "write"]

MAX_BYTES = 4 * 2**30
"""The largest checkpoint that is read, in bytes."""

_FORMAT, _VERSION = "qmlphys.nqs.vmc", 1
_MAX_PICKLE = 2**22  # bytes of structure; the tensors lie beside it
_STORAGES = {f"torch {kind}Storage" for kind in ("Float", "Double", "ComplexDouble", "ComplexFloat", "Char", "Byte")}
_STORAGES |= {f"torch {kind}Storage" for kind in ("Short", "Int", "Long", "Bool")}
_NAMES = {"torch._utils _rebuild_tensor_v2", "collections OrderedDict", *_STORAGES}


class CheckpointError(ValueError):
    """The file is no checkpoint, is damaged, or belongs to another calculation; the text says why in one sentence."""


CheckpointError.__module__ = "qmlphys.nqs"  # where users find it


def write(path: str | os.PathLike[str], content: dict[str, Any]) -> None:
    """Write a checkpoint under a temporary name and rename it.

    Parameters
    ----------
    path : path-like
        Where to; the folder must exist. An existing file is replaced.
    content : dict
        Nested dicts of tensors, int, float, str and None.
    """
    with atomic_path(path) as temporary:
        torch.save({"format": _FORMAT, "version": _VERSION, **content}, temporary)


def read(path: str | os.PathLike[str], *, keys: set[str]) -> dict[str, Any]:
    """Read a checkpoint onto the CPU, after its structure has been judged.

    Parameters
    ----------
    path : path-like
        The file.
    keys : set of str, keyword
        What it must hold, no more and no less.

    Returns
    -------
    dict
        What `write` was given.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CheckpointError
        If it is not a checkpoint of this version, damaged or too large.
    """
    path = Path(path)
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise CheckpointError(f"Checkpoint {path.name!r} must have at most {MAX_BYTES} bytes, but it has {size}.")
    try:
        _judge(path, size)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except (OSError, EOFError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        raise CheckpointError(f"File {path.name!r} is no checkpoint or is damaged: {_first_line(error)}") from error
    # A tensor may declare more numbers than the file holds; torch would make room for them.
    if _bytes_of(content) > size:
        raise CheckpointError(f"File {path.name!r} declares more numbers than it holds.")
    if not isinstance(content, dict) or content.pop("format", None) != _FORMAT:
        raise CheckpointError(f"File {path.name!r} is no checkpoint of an optimisation.")
    version = content.pop("version", None)
    if version != _VERSION:
        raise CheckpointError(f"Checkpoint {path.name!r} must have version {_VERSION}, but it has {version!r}.")
    if set(content) != keys:
        odd = sorted(map(str, set(content) ^ keys))
        raise CheckpointError(f"Checkpoint {path.name!r} must hold {sorted(keys)}, but it differs in {odd}.")
    return content


def require_tensors(found: Any, expected: dict[str, Tensor], what: str, *, finite: bool = True) -> None:
    """Refuse a dict of tensors that differs from the expected one in names, shapes, dtypes or layout.

    Parameters
    ----------
    found : object
        Read from a file.
    expected : dict of str to Tensor
        What it is to replace.
    what : str
        How to call them in the message.
    finite : bool, keyword
        Whether nan and inf are refused too.

    Raises
    ------
    CheckpointError
        If anything differs, or a number is not finite.
    """
    if not isinstance(found, dict) or set(found) != set(expected):
        names = sorted(map(str, found)) if isinstance(found, dict) else found
        raise CheckpointError(f"The {what} of the checkpoint must be {sorted(expected)}, but they are {names}.")
    for name, wanted in expected.items():
        value = found[name]
        if not isinstance(value, Tensor) or value.shape != wanted.shape or value.dtype != wanted.dtype:
            shown = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
            raise CheckpointError(
                f"The {what} {name!r} of the checkpoint must be {wanted.dtype} {tuple(wanted.shape)}, but is {shown}."
            )
        if finite and not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"The {what} {name!r} of the checkpoint must be finite, but holds nan or inf.")


def require_history(found: Any, columns: Iterable[str]) -> None:
    """Refuse a history whose columns are not float64 and equally long.

    Parameters
    ----------
    found : object
        Read from a file.
    columns : iterable of str
        Their names.

    Raises
    ------
    CheckpointError
        If anything differs.
    """
    first = next(iter(found.values()), None) if isinstance(found, dict) else None
    n_steps = len(first) if isinstance(first, Tensor) and first.ndim == 1 else 0
    expected = {name: torch.empty(n_steps, dtype=torch.float64) for name in columns}
    require_tensors(found, expected, "history's columns", finite=False)


def _judge(path: Path, size: int) -> None:
    """Look at the archive's directory and at the names in its pickle before anything is unpacked."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        # torch stores without packing; a packed entry could unfold to any size.
        if (
            any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
            or sum(entry.file_size for entry in entries) > size
        ):
            raise CheckpointError(f"File {path.name!r} is packed, which no checkpoint is.")
        pickles = [entry for entry in entries if entry.filename.endswith(".pkl")]
        if len(pickles) != 1 or pickles[0].file_size > _MAX_PICKLE:
            raise CheckpointError(f"File {path.name!r} is no checkpoint: its list of contents is missing or too long.")
        structure = archive.read(pickles[0])
    # torch's own unpickler allows more than a checkpoint needs, such as calls that allocate memory.
    for opcode, argument, _ in pickletools.genops(structure):
        if opcode.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4") or (
            opcode.name == "GLOBAL" and argument not in _NAMES
        ):
            raise CheckpointError(f"File {path.name!r} names {argument or opcode.name!r}, which no checkpoint does.")


def _bytes_of(content: Any) -> int:
    if isinstance(content, Tensor):
        return content.numel() * content.element_size()
    return sum(map(_bytes_of, content.values())) if isinstance(content, dict) else 0


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
