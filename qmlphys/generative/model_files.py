"""Files of fitted generative models: JSON and plain arrays, no pickle."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

from qmlphys.generative._file import ModelFileError, read_arrays, write_arrays

__all__ = ["ModelFileError", "load", "save"]

# Where each kind lives: nothing that a file names is imported by that name.
_KINDS = {
    "BornMachine": "born_machine",
    "CircuitBornMachine": "circuit_born_machine",
    "FactorGraphModel": "factor_graph",
    "GraphGenerativeModel": "graph_model",
}


def _class_of(kind: str) -> Any:
    return getattr(importlib.import_module(f"qmlphys.generative.{_KINDS[kind]}"), kind)


def save(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted model, whole or not at all.

    Parameters
    ----------
    model : BornMachine, GraphGenerativeModel or FactorGraphModel
        Fitted. Settings are kept, except for `checkpoint` and `verbose`.
    path : path-like
        Where to; the folder must exist.

    Raises
    ------
    TypeError
        If it is no such model.
    sklearn.exceptions.NotFittedError
        If it is not fitted.

    Examples
    --------
    >>> import tempfile
    >>> from qmlphys.generative import BornMachine
    >>> model = BornMachine(max_bond=2, random_state=0).fit([[0, 0], [1, 1]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(model, Path(folder, "pairs.model"))
    ...     again = load(Path(folder, "pairs.model"))
    >>> again.bonds_, again.score([[0, 0]]) == model.score([[0, 0]])
    ((2,), True)
    """
    kind = type(model).__name__
    # The module is asked for by its name first, so that nothing heavy is loaded to refuse something else.
    if kind not in _KINDS or type(model) is not _class_of(kind) or not hasattr(model, "_to_file"):
        raise TypeError(f"Argument `model` must be a generative model that files can keep, but it is {kind}.")
    header, arrays = model._to_file()
    write_arrays(path, kind=kind, header=header, arrays=arrays)


def load(path: str | os.PathLike[str]) -> Any:
    """Read a model that `save` wrote. Nothing in a file is executed, and its size is judged before it is read.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    BornMachine, GraphGenerativeModel or FactorGraphModel
        Fitted.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelFileError
        If it is damaged, too large, or no model.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "model.npz").write_bytes(b"no model")
    ...     load(Path(folder, "model.npz"))
    Traceback (most recent call last):
        ...
    qmlphys.generative.ModelFileError: ...
    """
    header, arrays = read_arrays(path)
    kind = header.get("kind")
    name = Path(path).name
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ModelFileError(f"File {name!r} must hold a model ({', '.join(_KINDS)}), but it holds {kind!r}.")
    model_class = _class_of(kind)
    if not hasattr(model_class, "_from_file"):
        raise ModelFileError(f"File {name!r} must hold a model that files can keep, but it holds {kind!r}.")
    try:
        return model_class._from_file(header, arrays)
    except ModelFileError:
        raise
    except Exception as error:
        # Whatever a header of the wrong types makes of a constructor.
        raise ModelFileError(f"File {name!r} must hold a {kind}, but it cannot be made of it: {error}.") from error
