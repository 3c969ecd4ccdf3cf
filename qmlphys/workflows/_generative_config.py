"""Settings of `qmlphys.workflows.generative`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from dataclasses import field as setting
from typing import Any

from qmlphys import lattices

__all__ = ["GenerativeConfig", "GraphsConfig", "ImagesConfig", "StartsConfig"]

_SOURCES = ("ising", "file")


def _whole(owner: object, *, least: int = 1, **most: int) -> None:
    """Check that fields hold whole numbers in range."""
    for name, top in most.items():
        value: Any = getattr(owner, name)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= top:
            raise ValueError(f"Argument `{name}` must be a whole number from {least} to {top}, but it is {value!r}.")


def _positive(temperature: float) -> None:
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"Argument `temperature` must be positive, but it is {temperature!r}.")


@dataclass(frozen=True)
class ImagesConfig:
    """Bars and stripes: learned, compiled exactly and sampled.

    Parameters
    ----------
    size : int
        Rows and columns, 2 to 4.
    max_bond : int
        Of the Born machine, 1 to 64.
    shots : int
        Of its circuit.
    n_shown : int
        Images in the picture.
    """

    size: int = 4
    max_bond: int = 16
    shots: int = 6000
    n_shown: int = 14

    def __post_init__(self) -> None:
        _whole(self, least=2, size=4)
        _whole(self, max_bond=64, shots=10**8, n_shown=100)


@dataclass(frozen=True)
class GraphsConfig:
    """Graph-state models of small Ising chains: rings with post-selection, the largest open chain without.

    Parameters
    ----------
    sizes : tuple of int
        Visible sites, 3 to 8; a hidden qubit lies between neighbours.
    temperature : float
        In J/k_B, > 0.
    n_draws : int
        Snapshots that each model is trained on.
    shots : int
        Of each circuit.
    max_condition : float
        Bound on the condition numbers of the matrices, > 1: what the filters cost.
    max_steps : int
        Of each training.
    n_starts : int
        Trainings from random matrices, of which the best one is kept.
    """

    sizes: tuple[int, ...] = (3, 4, 5, 6)
    temperature: float = 1.5
    n_draws: int = 2000
    shots: int = 6000
    max_condition: float = 3.0
    max_steps: int = 200
    n_starts: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", tuple(self.sizes))
        if not self.sizes or not all(isinstance(n, int) and 3 <= n <= 8 for n in self.sizes):
            raise ValueError(f"Argument `sizes` must hold whole numbers from 3 to 8, but it is {self.sizes}.")
        if len(set(self.sizes)) < len(self.sizes):
            raise ValueError(f"Argument `sizes` must hold each size once, but it is {self.sizes}.")
        _positive(self.temperature)
        if not 1 < self.max_condition <= 1e6:
            raise ValueError(
                f"Argument `max_condition` must be above 1 and at most 1e6, but it is {self.max_condition!r}."
            )
        _whole(self, n_draws=10**7, shots=10**8, max_steps=10**6, n_starts=100)


@dataclass(frozen=True)
class StartsConfig:
    """Circuits trained from a Born machine and from random angles, on snapshots of an Ising ring.

    Parameters
    ----------
    n_sites : int
        Sites of the ring, 3 to 12: qubits of the circuit.
    temperature : float
        In J/k_B, > 0.
    n_draws : int
        Snapshots.
    n_layers : int
        Layers of the circuit, 1 to 8.
    max_bond : int
        Of the Born machine whose angles are one start.
    n_seeds : int
        Trainings from each start.
    max_steps : int
        Of each training.
    """

    n_sites: int = 8
    temperature: float = 1.0
    n_draws: int = 2000
    n_layers: int = 2
    max_bond: int = 4
    n_seeds: int = 3
    max_steps: int = 60

    def __post_init__(self) -> None:
        _whole(self, least=3, n_sites=12)
        _whole(self, n_draws=10**7, n_layers=8, max_bond=64, n_seeds=100, max_steps=10**6)
        _positive(self.temperature)


@dataclass(frozen=True)
class GenerativeConfig:
    """Settings; equal settings give the same numbers on one machine and number of threads.

    Parameters
    ----------
    source : {"ising", "file"}
        Monte Carlo of the Ising model, or the snapshots in `file`.
    file : str
        A snapshot Dataset (netCDF) of whatever source, on a lattice, ordered at the low end of its scan.
    lattice : str
        "chain", "square", ...
    size : int
        Linear size.
    periodic : bool
        Whether the ends of every axis are joined. A state on a chain of sites has to carry the correlations that cross
        a cut, which are twice as many on a torus.
    temperatures : tuple of float
        In J/k_B, growing; order at the low end.
    n_chains, n_draws : int
        Chains at each temperature, and draws from each.
    max_bond, max_sweeps : int
        Of the Born machines.
    learning_rate : float
        Of their sweeps, above 0 up to 1; smaller ones generalise better and take longer.
    validation_fraction : float
        Share of the chains that is held out to end their training, 0 to below 1.
    patience : int
        Sweeps without an improvement after which it ends.
    tolerance : float
        What counts as one, in nats a row.
    n_layers : tuple of int
        Circuits of the Born machines: 0 for the exact one, other numbers for so many layers of two-qubit gates.
    backend : str
        What runs all circuits: "aer", "statevector", "fake_torino", "ibm_...".
    shots : int
        At each temperature; the models themselves draw as many.
    images : ImagesConfig or None
        Bars and stripes; None leaves them out.
    graphs : GraphsConfig or None
        Graph-state models; None leaves them out.
    starts : StartsConfig or None
        Training of circuits; None leaves it out.
    seed : int
        Where all randomness starts.

    Examples
    --------
    >>> GenerativeConfig(seed=3).n_layers
    (0, 3)
    """

    source: str = "ising"
    file: str = ""
    lattice: str = "square"
    size: int = 4
    periodic: bool = False
    temperatures: tuple[float, ...] = (1.0, 1.5, 2.0, 2.5, 3.0)
    n_chains: int = 64
    n_draws: int = 600
    max_bond: int = 8
    max_sweeps: int = 20
    learning_rate: float = 0.3
    validation_fraction: float = 0.2
    patience: int = 2
    tolerance: float = 1e-4
    n_layers: tuple[int, ...] = (0, 3)
    backend: str = "aer"
    shots: int = 2000
    images: ImagesConfig | None = setting(default_factory=ImagesConfig)
    graphs: GraphsConfig | None = setting(default_factory=GraphsConfig)
    starts: StartsConfig | None = setting(default_factory=StartsConfig)
    seed: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "temperatures", tuple(float(value) for value in self.temperatures))
        object.__setattr__(self, "n_layers", tuple(self.n_layers))
        if self.source not in _SOURCES:
            raise ValueError(f"Argument `source` must be 'ising' or 'file', but it is {self.source!r}.")
        if (self.source == "file") != bool(self.file):
            raise ValueError(
                f"Argument `file` must name a file exactly where `source` is 'file', but they are {self.file!r} and "
                f"{self.source!r}."
            )
        values = self.temperatures
        if not values or not all(math.isfinite(T) and T > 0 for T in values) or list(values) != sorted(set(values)):
            raise ValueError(f"Argument `temperatures` must be positive and growing, but it is {values}.")
        if not self.n_layers or not all(isinstance(n, int) and 0 <= n <= 8 for n in self.n_layers):
            raise ValueError(f"Argument `n_layers` must hold whole numbers from 0 to 8, but it is {self.n_layers}.")
        if len(set(self.n_layers)) < len(self.n_layers):
            raise ValueError(f"Argument `n_layers` must hold each number once, but it is {self.n_layers}.")
        if not 0 < self.learning_rate <= 1:
            raise ValueError(
                f"Argument `learning_rate` must be above 0 and at most 1, but it is {self.learning_rate!r}."
            )
        if not 0 <= self.validation_fraction < 1:
            raise ValueError(
                f"Argument `validation_fraction` must be from 0 to below 1, but it is {self.validation_fraction!r}."
            )
        _whole(self, n_chains=10**6, n_draws=10**7, max_bond=4096, max_sweeps=10**6, patience=10**6, shots=10**8)
        self.geometry  # noqa: B018 - refuses names and sizes now

    @property
    def geometry(self) -> lattices.Lattice:
        """The lattice of Monte Carlo."""
        return lattices.from_label(f"{self.lattice}({self.size}{'' if self.periodic else ', periodic=False'})")
