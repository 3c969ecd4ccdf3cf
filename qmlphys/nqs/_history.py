"""What an optimisation wrote down at each step: plain lists while it runs, a Dataset at the door."""

from __future__ import annotations

import json
import platform
from collections import deque
from functools import cache
from importlib import metadata
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from qmlphys.stats import autocorrelation_time, r_hat

__all__ = ["COLUMNS", "Diagnostics", "History"]

COLUMNS: dict[str, tuple[str, str]] = {
    "energy": ("J", "total energy of the step's samples"),
    "error": ("J", "standard error of the energy; 0 for a full sum"),
    "variance": ("J^2", "variance of the local energies, which is that of the Hamiltonian"),
    "v_score": ("1", "n_sites variance / (energy - trace(H) / 2^n_sites)^2"),
    "r_hat": ("1", "split R-hat of the chains over the last draws; nan without chains"),
    "tau": ("draws", "integrated autocorrelation time of the local energy over the last draws; nan without chains"),
    "acceptance": ("1", "share of accepted proposals; nan without proposals"),
    "step_size": ("1", "factor of the step"),
    "diagonal_shift": ("1", "lambda of the step"),
    "update_norm": ("1", "Euclidean norm of the change of the parameters"),
    "seconds": ("s", "wall time of the step"),
}
"""Units and meaning of each column."""

_MIN_DRAWS = 16  # draws a chain from which R-hat and tau are measured; fewer in a step are joined with earlier steps
_MAX_CHAINS = 256  # chains that are looked at: more would cost time and change neither number


@cache
def _versions() -> str:
    """Return, as JSON, the versions of what writes a history."""
    found = {"python": platform.python_version()}
    for package in ("qmlphys", "numpy", "torch", "numba", "xarray"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # run from a source tree that was never installed
            found[package] = "unknown"
    return json.dumps(found, sort_keys=True)


class History:
    """Columns of numbers, one entry a step."""

    def __init__(self) -> None:
        self.columns: dict[str, list[float]] = {name: [] for name in COLUMNS}

    def __len__(self) -> int:
        return len(self.columns["energy"])

    def append(self, **row: float) -> None:
        """Add one step; every column must be given."""
        for name, column in self.columns.items():
            column.append(row[name])

    def truncate(self, n_steps: int) -> None:
        """Forget all but the first steps."""
        for column in self.columns.values():
            del column[n_steps:]

    def mean(self, name: str, n_last: int) -> float:
        """Return the mean of a column over the last steps."""
        return float(np.mean(self.columns[name][-n_last:]))

    def to_dataset(self, attrs: dict[str, Any]) -> xr.Dataset:
        """Return the columns over `step`, which counts from 0."""
        variables = {
            name: (
                "step",
                np.array(column, dtype=np.float64),
                {"units": COLUMNS[name][0], "long_name": COLUMNS[name][1]},
            )
            for name, column in self.columns.items()
        }
        return xr.Dataset(variables, {"step": np.arange(len(self))}, {**attrs, "versions": _versions()})

    def state_dict(self) -> dict[str, Tensor]:
        """Return the columns as float64 tensors."""
        return {name: torch.tensor(column, dtype=torch.float64) for name, column in self.columns.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take the columns of `state_dict`; whoever calls has checked them."""
        self.columns = {name: state[name].tolist() for name in COLUMNS}


class Diagnostics:
    """R-hat and autocorrelation time of the running chains.

    A step of thousands of chains draws each of them once or twice, which shows nothing of their correlations. So the
    local energies of the last 16 draws a chain are kept, those of each step less their mean: the parameters, and with
    them the energy, move between steps.
    """

    def __init__(self) -> None:
        self._recent: deque[NDArray[np.float64]] = deque()

    def add(self, series: NDArray[np.float64]) -> tuple[float, float]:
        """Take the local energies of a step, (n_chains, n_draws); return R-hat and tau, or nan while too short."""
        series = series[:_MAX_CHAINS]
        self._recent.append(series - series.mean())
        n_draws = sum(part.shape[1] for part in self._recent)
        while n_draws - self._recent[0].shape[1] >= _MIN_DRAWS:
            n_draws -= self._recent.popleft().shape[1]
        if n_draws < _MIN_DRAWS:
            return float("nan"), float("nan")
        joined = self._recent[0] if len(self._recent) == 1 else np.concatenate(self._recent, axis=1)
        return r_hat(joined), autocorrelation_time(joined)

    def clear(self) -> None:
        """Forget the chains."""
        self._recent.clear()

    def state_dict(self) -> dict[str, Tensor]:
        """Return what is kept, as tensors."""
        return {str(k): torch.tensor(part) for k, part in enumerate(self._recent)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take what `state_dict` returned; raises ValueError if it is something else."""
        parts = [state[str(k)] for k in range(len(state))]
        if any(part.ndim != 2 or part.dtype != torch.float64 or len(part) != len(parts[0]) for part in parts):
            raise ValueError("the recent local energies must be float64 of shape (n_chains, n_draws)")
        self._recent = deque(part.numpy() for part in parts)
