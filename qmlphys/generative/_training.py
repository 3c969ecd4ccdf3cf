"""What every training in this room shares: the trace of the likelihood, early stopping, checkpoints."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from qmlphys.generative._file import ModelFileError, read_arrays, write_arrays

__all__ = ["Checkpoint", "Trace", "restore_rng", "rng_text"]

_NO_VALIDATION = float("nan")


class Trace:
    """Negative log-likelihoods pass by pass, and whether training has to go on.

    What is watched is the validation NLL where there is one, else the training NLL.

    Parameters
    ----------
    patience : int
        Passes without an improvement after which training ends.
    tolerance : float
        What counts as an improvement, in nats a row.
    """

    def __init__(self, *, patience: int, tolerance: float) -> None:
        self.patience = patience
        self.tolerance = tolerance
        self.columns: dict[str, list[float]] = {"train_nll": [], "validation_nll": []}

    def __len__(self) -> int:
        return len(self.columns["train_nll"])

    def add(self, train_nll: float, validation_nll: float = _NO_VALIDATION, **others: float) -> None:
        """Write down one pass; `others` (bond dimension, condition number, ...) must be the same each time."""
        for name, value in {"train_nll": train_nll, "validation_nll": validation_nll, **others}.items():
            self.columns.setdefault(name, []).append(float(value))

    @property
    def _watched(self) -> NDArray[np.float64]:
        validation = np.array(self.columns["validation_nll"])
        # An infinite NLL, of a row that the model calls impossible, is a validation like any other; NaN is none.
        return np.array(self.columns["train_nll"]) if np.isnan(validation).any() else validation

    @property
    def best(self) -> int:
        """Index of the pass with the lowest watched NLL."""
        return int(np.argmin(self._watched))

    @property
    def improved(self) -> bool:
        """Whether the last pass is the best one."""
        return self.best == len(self) - 1

    @property
    def stalled(self) -> bool:
        """Whether the last `patience` passes brought no improvement by more than the tolerance."""
        watched = self._watched
        if watched.size <= self.patience:
            return False
        return bool(watched[-self.patience :].min() > watched[: -self.patience].min() - self.tolerance)

    def to_dataset(self) -> xr.Dataset:
        """Return the trace over `step`, in nats a row; the attribute `best_step` says where the model was kept."""
        ds = xr.Dataset({name: ("step", np.array(values)) for name, values in self.columns.items()})
        ds = ds.assign_coords(step=np.arange(len(self)))
        for name in ("train_nll", "validation_nll"):
            ds[name].attrs["units"] = "nats"
        ds.attrs["best_step"] = self.best
        return ds

    def text(self) -> str:
        """Return the trace for a checkpoint."""
        return json.dumps(self.columns)

    def restore(self, text: str) -> None:
        """Take the trace of a checkpoint."""
        self.columns = {name: [float(v) for v in values] for name, values in json.loads(text).items()}


class Checkpoint:
    """A file from which training goes on with the same bits; `path=None` keeps nothing.

    Parameters
    ----------
    path : path-like or None
        The file; its folder must exist.
    kind : str
        The model's class.
    settings : mapping
        Everything that decides the numbers, as JSON knows it. Without `max_steps`: a longer run continues a shorter.
    data : sequence of ndarray
        What the model is trained on.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        *,
        kind: str,
        settings: Mapping[str, Any],
        data: tuple[NDArray[Any], ...],
    ) -> None:
        self.path = None if path is None else Path(path)
        self.kind = kind
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True, allow_nan=False).encode())
        for array in data:
            digest.update(f"{array.shape}{array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        self.digest = digest.hexdigest()

    def read(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]] | None:
        """Return what was written last, or None.

        Raises
        ------
        ModelFileError
            If the file is damaged, or belongs to other settings or data.
        """
        if self.path is None or not self.path.exists():
            return None
        header, arrays = read_arrays(self.path, kind=f"{self.kind} checkpoint")
        if header.get("digest") != self.digest:
            raise ModelFileError(
                f"Checkpoint {self.path.name!r} must belong to the same settings and data, but it belongs to others: "
                "give another file name, or remove it."
            )
        return header, arrays

    def write(self, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write numbers, text and arrays, whole or not at all."""
        if self.path is not None:
            write_arrays(
                self.path, kind=f"{self.kind} checkpoint", header={**header, "digest": self.digest}, arrays=arrays
            )


def rng_text(rng: np.random.Generator) -> str:
    """Return the state of a generator as text."""
    return json.dumps(rng.bit_generator.state)


def restore_rng(text: str) -> np.random.Generator:
    """Return a generator in the state that was written down."""
    rng = np.random.default_rng()
    try:
        rng.bit_generator.state = json.loads(text)
    except (TypeError, ValueError, KeyError) as error:
        raise ModelFileError(
            f"The checkpoint must hold the state of a random generator, but it does not: {error}."
        ) from None
    return rng
