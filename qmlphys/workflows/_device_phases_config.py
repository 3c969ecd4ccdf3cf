"""Settings of `qmlphys.workflows.device_phases`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from dataclasses import field as setting
from typing import Any

import numpy as np

from qmlphys.execution import backends
from qmlphys.workflows._ground_state_models import Recipe
from qmlphys.workflows._ground_state_scan import ScanConfig

__all__ = ["DevicePhasesConfig"]

# Twice the coupling is where mean-field theory puts the transition of a chain; the scan runs from 0.2 to 1.1 of it.
_FIELDS = tuple(float(h) for h in np.linspace(0.4, 2.2, 13).round(6))
_MAX_SITES = 64
_MAX_SHOTS = 1_000_000
_MAX_LAYERS = 8


def _whole(owner: object, *, least: int = 1, **most: int) -> None:
    """Check that fields hold whole numbers in range."""
    for name, top in most.items():
        value: Any = getattr(owner, name)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= top:
            raise ValueError(f"Argument `{name}` must be a whole number from {least} to {top}, but it is {value!r}.")


@dataclass(frozen=True)
class DevicePhasesConfig:
    """Settings of a search for a quantum transition with snapshots of circuits; equal settings, equal numbers.

    The model is the Ising ring in a transverse field, -J sum ZZ - h sum X, measured in the basis Z of its order.

    Parameters
    ----------
    sizes : tuple of int
        Sites of the rings, at least two growing sizes from 3 to 64. The classifier is trained on the largest.
    fields : tuple of float
        Transverse fields in units of J, positive, at least five; the scan must reach well into both phases.
    backends : tuple of str
        Where the circuits run, such as "aer", "fake_torino", or a device of yours by name.
    n_layers : tuple of int
        0 prepares the matrix product states exactly, which takes hundreds of CX from 10 sites on; n = 1 to 8 takes n
        layers of two-qubit gates, approximate. Every number given runs on every backend.
    shots : int
        Of each circuit, at least 200.
    max_bond : int
        Largest bond of the matrix product states, 2 to 64.
    recipe : Recipe
        How neural states are trained.
    n_first_steps, n_steps : int
        Optimisation steps of a neural scan's first state, and of each later one.
    n_draws : int
        Snapshots from each chain of a neural state.
    end_fraction : float
        Share of the scan at each end whose neural snapshots are labelled, in (0, 0.5).
    monte_carlo : bool
        Whether to judge classical Monte Carlo too (see `classical_twin`).
    n_chains, n_configurations : int
        Of the Monte Carlo.
    seed : int
        Where all randomness starts.

    Examples
    --------
    >>> DevicePhasesConfig(sizes=(6, 8), backends=("aer",)).training_size
    8
    """

    sizes: tuple[int, ...] = (6, 8, 10)
    fields: tuple[float, ...] = _FIELDS
    backends: tuple[str, ...] = ("aer", "fake_torino")
    n_layers: tuple[int, ...] = (2,)
    shots: int = 8000
    max_bond: int = 32
    recipe: Recipe = setting(default_factory=lambda: Recipe(alpha=4, n_samples=512, n_chains=128, target=1e-5))
    n_first_steps: int = 100
    n_steps: int = 60
    n_draws: int = 32
    end_fraction: float = 0.25
    monte_carlo: bool = True
    n_chains: int = 64
    n_configurations: int = 16
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("sizes", "fields", "backends", "n_layers"):
            value: Any = getattr(self, name)
            if isinstance(value, str) or not hasattr(value, "__iter__"):
                raise TypeError(f"Argument `{name}` must be a list or a tuple, but it is {value!r}.")
            object.__setattr__(self, name, tuple(value))
        if len(self.sizes) < 2 or list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError(f"Argument `sizes` must hold at least two growing sizes, but it is {self.sizes}.")
        if not 3 <= self.sizes[0] <= self.sizes[-1] <= _MAX_SITES:
            raise ValueError(f"Argument `sizes` must lie from 3 to {_MAX_SITES}, but it is {self.sizes}.")
        values = tuple(sorted({float(h) for h in self.fields}))
        if len(values) < 5 or not all(math.isfinite(h) and h > 0 for h in values):
            raise ValueError(
                f"Argument `fields` must hold at least five different positive numbers, but it is {self.fields}."
            )
        object.__setattr__(self, "fields", values)
        self._check_backends()
        if not self.n_layers or len(set(self.n_layers)) != len(self.n_layers):
            raise ValueError(
                f"Argument `n_layers` must hold different numbers, at least one, but it is {self.n_layers}."
            )
        for number in self.n_layers:
            if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= _MAX_LAYERS:
                raise ValueError(f"Argument `n_layers` must lie from 0 to {_MAX_LAYERS}, but it holds {number!r}.")
        _whole(self, least=200, shots=_MAX_SHOTS)
        _whole(self, least=2, max_bond=64, n_chains=4096)
        _whole(self, n_first_steps=100_000, n_steps=100_000, n_draws=100_000, n_configurations=100_000)
        if not 0 < self.end_fraction < 0.5:
            raise ValueError(f"Argument `end_fraction` must lie between 0 and 0.5, but it is {self.end_fraction}.")
        if self.recipe.n_chains < 4:
            raise ValueError(f"Argument `recipe` must have at least 4 chains, but it has {self.recipe.n_chains}.")

    def _check_backends(self) -> None:
        names = [backends.resolve(name).name for name in self.backends]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"Argument `backends` must name different backends, at least one, but it is {names}.")
        if "ibm" in names:
            raise ValueError(
                "Argument `backends` must name its device, such as ibm_torino, but it is 'ibm': the least busy device "
                "of today is not that of tomorrow, and a run that goes on must find the job that it sent."
            )
        object.__setattr__(self, "backends", tuple(names))

    @property
    def training_size(self) -> int:
        """Sites of the ring whose neural snapshots the classifier sees."""
        return self.sizes[-1]

    def scan_config(self, size: int) -> ScanConfig:
        """Return the settings of the neural states of one size."""
        return ScanConfig(
            size=size,
            fields=self.fields,
            recipe=self.recipe,
            n_first_steps=self.n_first_steps,
            n_steps=self.n_steps,
            n_draws=self.n_draws,
            seed=self.seed,
        )
