"""Ground states along a control parameter, each trained from those before it, as one snapshot Dataset."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from qmlphys import lattices, snapshots
from qmlphys.workflows._ground_state_models import Recipe, ansatz_of, driver_of, model_of, sampler_of, state_of
from qmlphys.workflows.runs import RunFolder

if TYPE_CHECKING:
    from qmlphys import nqs

__all__ = ["ScanConfig", "energies_of", "scan", "scan_states"]

_LOG = logging.getLogger(__name__)

# Of sampled states while slow modes relax. With a small shift the parameters follow the noise of few samples; with this
# one, and without momentum, the order can settle.
_RELAXATION_SHIFT = 1e-2
_OFFSET_DRAWS = 16  # from each chain, for the offset of the parameter


@dataclass(frozen=True)
class ScanConfig:
    """Settings of a scan; equal settings give the same numbers on one machine and number of threads.

    Parameters
    ----------
    hamiltonian : str
        "tfim", "heisenberg" or "j1j2".
    lattice : str
        "chain", "square", ...; periodic.
    size : int
        Linear size.
    fields : tuple of float
        Values of the control parameter, at least one; trained from the highest down.
    basis : str
        Pauli basis of the snapshots: one letter, or one a site.
    recipe : Recipe
        How states are trained.
    n_first_steps, n_steps : int
        Steps of the first state of a scan, and of each later one.
    relaxation : float
        Part of them, at their end, that relax collective modes (`qmlphys.nqs.CollectiveModes`), with a large diagonal
        shift and without momentum where states are sampled; at least 0, less than 1, for "tfim" in basis Z. Above 0,
        each state also comes with its offset: how far the field lies from the one whose ground state has its order.
    n_draws : int
        Draws from each chain.
    n_skip : int
        Sweeps between draws.
    seed : int
        Where all randomness starts.

    Examples
    --------
    >>> ScanConfig(size=8, fields=(0.5, 2.0, 1.0)).fields
    (2.0, 1.0, 0.5)
    """

    hamiltonian: str = "tfim"
    lattice: str = "chain"
    size: int = 32
    fields: tuple[float, ...] = tuple(float(h) for h in np.linspace(0.4, 2.4, 21).round(6))
    basis: str = "Z"
    recipe: Recipe = field(default_factory=Recipe)
    n_first_steps: int = 100
    n_steps: int = 60
    relaxation: float = 0.0
    n_draws: int = 20
    n_skip: int = 5
    seed: int = 1

    def __post_init__(self) -> None:
        values = tuple(sorted({float(h) for h in self.fields}, reverse=True))
        if not values or not np.isfinite(values).all():
            raise ValueError(f"Argument `fields` must hold at least one finite number, but it is {self.fields}.")
        object.__setattr__(self, "fields", values)
        for name in ("n_first_steps", "n_steps", "n_draws", "n_skip"):
            if getattr(self, name) < 1:
                raise ValueError(f"Argument `{name}` must be at least 1, but it is {getattr(self, name)}.")
        if not 0 <= self.relaxation < 1:
            raise ValueError(f"Argument `relaxation` must be at least 0 and less than 1, but it is {self.relaxation}.")
        if self.relaxation and (self.hamiltonian != "tfim" or set(self.basis) != {"Z"}):
            raise ValueError(
                "Argument `relaxation` must be 0 but for the order of tfim in the basis Z, but it is "
                f"{self.relaxation} for {self.hamiltonian} in the basis {self.basis}."
            )
        self.model(values[0])  # names of model, lattice and basis

    @property
    def geometry(self) -> lattices.Lattice:
        """The lattice."""
        return lattices.from_label(f"{self.lattice}({self.size})")

    def model(self, value: float) -> Any:
        """Return the Hamiltonian at a value of the control parameter, in the basis of the snapshots."""
        return model_of(self.hamiltonian, self.geometry, value, basis=self.basis)


def _plain(parameters: NDArray[Any]) -> list[float]:
    """Return parameters as real numbers."""
    return np.ascontiguousarray(parameters).view(np.float64).tolist()


def _assign(state: nqs.State, numbers: NDArray[np.float64]) -> None:
    """Set parameters from real numbers."""
    state.parameters = np.ascontiguousarray(numbers).view(state.parameters.dtype)


def _train(config: ScanConfig, value: float, before: Sequence[xr.Dataset], seed: int, n_steps: int) -> xr.Dataset:
    """Train one state from those before it and draw its snapshots."""
    from qmlphys import nqs

    model, recipe = config.model(value), config.recipe
    uniform = len(set(config.basis)) == 1
    ansatz = ansatz_of(model, recipe, uniform=uniform, rng=seed)
    state = state_of(model, ansatz, recipe, uniform=uniform, rng=seed)
    if before:
        _assign(state, np.array(json.loads(before[-1].attrs["parameters"])))
        if isinstance(state, nqs.MonteCarloState):
            # Chains go on from the last snapshots: in an ordered phase, new ones would need N^2 sweeps to lose their
            # walls.
            state.chains = before[-1]["spins"].values[0, :, -1]
    n_last = min(round(config.relaxation * n_steps), n_steps - 1)
    modes = nqs.CollectiveModes(config.geometry) if config.relaxation else None
    driver_of(model, state, recipe, n_steps=n_steps - n_last).run(n_steps - n_last, target=recipe.target or None)
    if n_last:
        relaxing = recipe
        if isinstance(state, nqs.MonteCarloState):
            relaxing = replace(recipe, diagonal_shift=_RELAXATION_SHIFT, momentum=0.0)
        driver_of(model, state, relaxing, n_steps=n_last, collective=modes).run(n_last)
    drawn: nqs.State = state
    if isinstance(state, nqs.MonteCarloState):
        sampler = sampler_of(model, n_chains=recipe.n_chains, n_sweeps=config.n_skip)
        sampled = nqs.MonteCarloState(ansatz, sampler, n_samples=recipe.n_chains, rng=seed + 1)
        sampled.chains = np.asarray(state.chains)
        drawn = sampled
    ds = drawn.snapshots(
        config.n_draws,
        parameter=value,
        hamiltonian=model,
        n_chains=recipe.n_chains,
        name=_name(config),
        basis=config.basis,
    )
    e = ds["energy"].values[0] * config.geometry.n_sites
    ds.attrs |= {
        "model": _label(config),
        "parameters": json.dumps(_plain(state.parameters)),
        "v_score": float(config.geometry.n_sites * e.var() / (e.mean() - model.reference_energy) ** 2),
    }
    if modes is not None:
        ds.attrs["offset"] = json.dumps(_offset(config, value, drawn, modes))
    return ds


def _offset(config: ScanConfig, value: float, state: nqs.State, modes: nqs.CollectiveModes) -> list[float | None]:
    """Measure the offset of the field and its error; [None, None] where the state gives none."""
    from qmlphys import nqs

    n_samples = _OFFSET_DRAWS * config.recipe.n_chains
    try:
        offset = nqs.parameter_offset(state, config.model(value), config.model(value + 1.0), modes, n_samples=n_samples)
    except ValueError as error:  # all spins up, or far from the ground state: the snapshots are kept all the same
        _LOG.warning("the offset of %s %g is not known: %s", _name(config), value, error)
        return [None, None]
    return [offset.mean, offset.error]


def _name(config: ScanConfig) -> str:
    return "field" if config.hamiltonian == "tfim" else "coupling"


def _label(config: ScanConfig) -> str:
    """The model as text, without the parameter that is scanned."""
    return {"tfim": "TransverseIsing(coupling=1.0)", "heisenberg": "Heisenberg()", "j1j2": "J1J2(j1=1.0)"}[
        config.hamiltonian
    ]


def scan_states(
    config: ScanConfig,
    *,
    folder: RunFolder | None = None,
    name: str = "state",
    before: Sequence[xr.Dataset] = (),
    tell: Callable[[str], None] | None = None,
) -> list[xr.Dataset]:
    """Train the states of a scan one after the other.

    Parameters
    ----------
    config : ScanConfig
        Settings.
    folder : RunFolder, optional
        Where each state is kept as soon as it is trained.
    name : str
        Of the files in it.
    before : sequence of xarray.Dataset
        States of an earlier scan that the first one starts from.
    tell : callable, optional
        Told of each state as it begins.

    Returns
    -------
    list of xarray.Dataset
        Snapshots at one value each, from the highest value down; the attributes "parameters" (JSON) and "v_score" hold
        the state and how good it is, "offset" (JSON) its offset and the error of that, where slow modes were relaxed.
    """
    found = list(before)
    start = [float(ds["parameter"].values[0]) for ds in before]
    for k, value in enumerate(config.fields):
        if tell is not None:
            tell(f"{_name(config)} {value:g} on {config.geometry.label}")
        seed = int(np.random.SeedSequence(config.seed, spawn_key=(config.size, k, len(before))).generate_state(1)[0])
        settings = [replace(config, fields=config.fields[: k + 1]), start]

        n_steps = config.n_steps if k else config.n_first_steps

        def compute(value: float = value, seed: int = seed, n_steps: int = n_steps) -> xr.Dataset:
            return _train(config, value, found, seed, n_steps)

        found.append(compute() if folder is None else folder.snapshots(f"{name}-{k:02d}", settings, compute))
    return found[len(before) :]


def scan(
    config: ScanConfig, *, folder: RunFolder | None = None, tell: Callable[[str], None] | None = None
) -> xr.Dataset:
    """Train ground states along a control parameter and return their snapshots.

    Each state starts from the ones before it; the scan runs from the highest value, where the state of a magnet in a
    field is simple, to the lowest.

    Parameters
    ----------
    config : ScanConfig
        Settings.
    folder : RunFolder, optional
        Where each state is kept as soon as it is trained, so that a scan that was stopped goes on.
    tell : callable, optional
        Told of each state as it begins.

    Returns
    -------
    xarray.Dataset
        A snapshot Dataset, values of the parameter rising, with local energies a site; the attribute "v_scores" holds
        how good each state is, and "offsets" by how much the parameter is off, where it was measured, as JSON.

    Examples
    --------
    >>> config = ScanConfig(size=6, fields=(1.5, 2.0), recipe=Recipe(alpha=1, n_samples=64, n_chains=16),
    ...                     n_first_steps=20, n_steps=5, n_draws=3)
    >>> ds = scan(config)
    >>> ds.spins.shape, ds.attrs["source"], ds.parameter.values.tolist()
    ((2, 16, 3, 6), 'nqs', [1.5, 2.0])
    """
    return joined(scan_states(config, folder=folder, tell=tell))


def joined(states: Sequence[xr.Dataset]) -> xr.Dataset:
    """Join states into one snapshot Dataset with rising values."""
    rising = sorted(states, key=lambda ds: float(ds["parameter"].values[0]))
    ds = snapshots.concatenate([state.drop_attrs(deep=False).assign_attrs(_schema(state)) for state in rising])
    ds.attrs["v_scores"] = json.dumps([state.attrs["v_score"] for state in rising])
    if all("offset" in state.attrs for state in rising):
        ds.attrs["offsets"] = json.dumps([json.loads(state.attrs["offset"]) for state in rising])
    return ds


def _schema(state: xr.Dataset) -> dict[str, Any]:
    return {key: value for key, value in state.attrs.items() if key not in ("parameters", "v_score", "offset")}


def energies_of(ds: xr.Dataset) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the energy a site at each value of a scan, and its error from the scatter of the chains.

    Parameters
    ----------
    ds : xarray.Dataset
        Snapshots with local energies, of `scan`.

    Returns
    -------
    mean, error : ndarray of float64, shape (n_parameters,)
        In units of J.

    Examples
    --------
    >>> ds = xr.Dataset({"energy": (("parameter", "chain", "draw"), [[[-1.0, -1.2], [-1.1, -1.3]]])})
    >>> mean, error = energies_of(ds)
    >>> mean.round(3), error.round(3)
    (array([-1.15]), array([0.05]))
    """
    means = ds["energy"].mean("draw").values
    return means.mean(axis=1), means.std(axis=1, ddof=1) / np.sqrt(means.shape[1])
