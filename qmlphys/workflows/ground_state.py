"""Ground states by neural quantum states: one of them, a scan along a field, and the phase transition in it.

`run` finds one ground state and reports how good it is. `scan` trains states along a control parameter and returns
their snapshots. `phases` lets the classifiers of `qmlphys.phases` find the transition in them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as setting
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import xarray as xr

from qmlphys import lattices, plotting
from qmlphys.report import Row
from qmlphys.workflows._ground_state_models import (
    MODELS,
    Recipe,
    ansatz_of,
    driver_of,
    known_energy,
    model_of,
    sampler_of,
)
from qmlphys.workflows._ground_state_output import SUMMARY, TITLE, figures, rows
from qmlphys.workflows._ground_state_phases import N_STEPS, Journey, PhasesConfig
from qmlphys.workflows._ground_state_scan import ScanConfig, energies_of, scan
from qmlphys.workflows.outcome import Outcome
from qmlphys.workflows.runs import Panel, RunFolder, Steps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from qmlphys import nqs

__all__ = [
    "MODELS",
    "N_STEPS",
    "GroundState",
    "GroundStateConfig",
    "PhasesConfig",
    "Recipe",
    "ScanConfig",
    "demo_config",
    "energies_of",
    "panel",
    "phases",
    "run",
    "scan",
]


@dataclass(frozen=True)
class GroundStateConfig:
    """Settings of one ground state; equal settings give the same numbers on one machine and number of threads.

    Parameters
    ----------
    hamiltonian : str
        "tfim", "heisenberg" or "j1j2".
    lattice : str
        "chain", "square", ...
    size : int
        Linear size.
    periodic : bool
        Whether the ends of every axis are joined.
    field : float
        Transverse field h of "tfim", J2 of "j1j2", in units of J; without meaning for "heisenberg".
    n_steps : int
        Most steps of the optimisation.
    n_final : int
        Fresh samples for the final energy.
    recipe : Recipe
        Network and optimiser.
    seed : int
        Where all randomness starts.

    Examples
    --------
    >>> GroundStateConfig(size=16).model.label
    'TransverseIsing(coupling=1.0, field=1.0)'
    """

    hamiltonian: str = "tfim"
    lattice: str = "chain"
    size: int = 32
    periodic: bool = True
    field: float = 1.0
    n_steps: int = 400
    n_final: int = 65_536
    recipe: Recipe = setting(default_factory=Recipe)
    seed: int = 1

    def __post_init__(self) -> None:
        if self.n_steps < 1:
            raise ValueError(f"Argument `n_steps` must be at least 1, but it is {self.n_steps}.")
        if self.n_final < 2:
            raise ValueError(f"Argument `n_final` must be at least 2, but it is {self.n_final}.")
        self.model  # noqa: B018 - refuses names and numbers now

    @property
    def geometry(self) -> lattices.Lattice:
        """The lattice."""
        boundary = "" if self.periodic else ", periodic=False"
        return lattices.from_label(f"{self.lattice}({self.size}{boundary})")

    @property
    def model(self) -> Any:
        """The Hamiltonian."""
        return model_of(self.hamiltonian, self.geometry, self.field)


@dataclass(frozen=True, eq=False)
class GroundState:
    """What a run found.

    Parameters
    ----------
    energy : Expectation
        Energy, variance and V-score on fresh samples.
    history : xarray.Dataset
        The optimisation, step by step.
    rows : list of Row
        Every number.
    report : pathlib.Path or None
        The page, if a folder was given.
    """

    energy: nqs.Expectation
    history: xr.Dataset
    rows: list[Row]
    report: Path | None


def run(
    config: GroundStateConfig | None = None, *, out: str | PathLike[str] | None = None, progress: bool = False
) -> GroundState:
    """Find one ground state and measure it on fresh samples.

    Parameters
    ----------
    config : GroundStateConfig, optional
        Settings.
    out : path-like, optional
        Run folder. A run that was stopped, or killed, goes on from its checkpoint there, and ends with the same bits.
    progress : bool
        Show a progress bar.

    Returns
    -------
    GroundState
        Energy, history and numbers.

    Raises
    ------
    ValueError
        If the settings do not fit.
    VMCError
        If the energy becomes nan or inf.

    Examples
    --------
    >>> recipe = Recipe(alpha=1, n_samples=128, n_chains=32, step_size=0.05)
    >>> found = run(GroundStateConfig(size=6, field=2.0, n_steps=60, n_final=4096, recipe=recipe))
    >>> found.energy.v_score < 1e-2
    True
    """
    config = config or GroundStateConfig()
    from qmlphys import nqs

    started = time.perf_counter()
    model, recipe = config.model, config.recipe
    folder = None if out is None else RunFolder(out, workflow="ground-state")
    ansatz = ansatz_of(model, recipe, rng=config.seed)
    sampler = sampler_of(model, n_chains=recipe.n_chains)
    state = nqs.MonteCarloState(ansatz, sampler, n_samples=recipe.n_samples, rng=config.seed)
    driver = driver_of(model, state, recipe, n_steps=config.n_steps)
    checkpoint = None
    if folder is not None:
        # A folder belongs to one set of settings: a checkpoint of others is refused by `resume`.
        folder.path.mkdir(parents=True, exist_ok=True)
        checkpoint = folder.path / "state.pt"
        if checkpoint.exists():
            driver = nqs.VMC.resume(checkpoint, model, state)
    history = driver.run(
        max(0, config.n_steps - driver.n_steps),
        target=recipe.target or None,
        checkpoint=checkpoint,
        progress=progress,
    )
    energy = driver.estimate(config.n_final)
    known = known_energy(config.hamiltonian, config.geometry, config.field)
    table = _rows(config, energy, history, ansatz.n_parameters, known, time.perf_counter() - started)
    report = None
    if folder is not None:
        ax = plotting.convergence(history, exact=None if known is None else known[0])
        title = f"Ground state of {model.label} on {config.geometry.label}"
        caption = "The optimisation, step by step. The final energy in the table is that of fresh samples."
        picture = {"convergence": (cast("Figure", ax.get_figure(root=True)), caption)}
        report = folder.write_panels(
            config, [Panel(title, "Variational Monte Carlo with a neural state.", table, picture)]
        )
    return GroundState(energy, history, table, report)


def _rows(
    config: GroundStateConfig,
    energy: nqs.Expectation,
    history: xr.Dataset,
    n_parameters: int,
    known: tuple[float, str] | None,
    seconds: float,
) -> list[Row]:
    """List the numbers of one ground state."""
    exact, origin = (None, "") if known is None else (known[0], f"; exact: {known[1]}")
    n_sites = config.geometry.n_sites
    table = [
        Row("energy", energy.energy.mean, energy.energy.error, exact, "J", f"{energy.n_samples} fresh samples{origin}"),
        Row(
            "energy a site",
            energy.energy.mean / n_sites,
            energy.energy.error / n_sites,
            None if exact is None else exact / n_sites,
            "J",
            "the same",
        ),
        Row("variance of H", energy.variance.mean, energy.variance.error, 0.0, "J^2", "the same; 0 for an eigenstate"),
        Row("V-score", energy.v_score, source="Wu et al., Science 386, 296 (2024)"),
        Row("R-hat of the energy", energy.r_hat, source="1 where chains agree"),
        Row("parameters", n_parameters, source="of the network"),
        Row("steps", history.sizes["step"], source="of the natural gradient"),
        Row("time", seconds, unit="s", source="wall clock, this start"),
    ]
    return [row for row in table if np.isfinite(row.value)]


def demo_config(*, seed: int = 1) -> PhasesConfig:
    """Return the settings of the demonstration: small sizes, half a minute.

    Parameters
    ----------
    seed : int
        Where all randomness starts.

    Returns
    -------
    PhasesConfig
        For `panel`.

    Examples
    --------
    >>> max(demo_config().sizes) <= 32
    True
    """
    return PhasesConfig(
        sizes=(8, 12, 16),
        training_size=12,
        n_seeds=2,
        n_scan=11,
        n_scan_draws=8,
        n_draws=250,
        n_fields=5,
        half_width=1.5,
        recipe=Recipe(alpha=4, n_samples=512, n_chains=128, target=1e-4),
        n_first_steps=60,
        n_steps=60,
        n_window_steps=50,
        seed=seed,
    )


def phases(
    config: PhasesConfig | None = None,
    *,
    out: str | PathLike[str] = "runs/ground-state-phases",
    progress: bool = False,
    tell: Callable[[str], None] | None = None,
    fresh: bool = False,
) -> Outcome:
    """Train ground states along the field, learn phases from them in three ways, and write the report.

    Parameters
    ----------
    config : PhasesConfig, optional
        Settings; the default takes tens of minutes.
    out : path-like
        Run folder. States and steps that were finished in it with the same settings are read instead of computed.
    progress : bool
        Tell on standard error which step is under way.
    tell : callable, optional
        Told of each state as its training begins.
    fresh : bool
        Compute every step again.

    Returns
    -------
    Outcome
        Every number, and where the report is.

    Raises
    ------
    ValueError
        If the settings do not fit, or the scan does not show two phases.
    """
    started = time.perf_counter()
    config = config or PhasesConfig()
    folder = RunFolder(out, workflow="ground-state-phases", fresh=fresh)
    found = panel(config, folder, steps=Steps(N_STEPS, shown=progress), tell=tell)
    report = folder.write_panels(config, [found])
    return Outcome(TITLE, list(found.rows), report, time.perf_counter() - started, folder.n_resumed)


def panel(config: PhasesConfig, folder: RunFolder, *, steps: Steps, tell: Callable[[str], None] | None = None) -> Panel:
    """Do the work of `phases` and return what it found instead of writing a report.

    Parameters
    ----------
    config : PhasesConfig
        Settings.
    folder : RunFolder
        Where finished steps are kept.
    steps : Steps
        Told of each step as it begins.
    tell : callable, optional
        Told of each state as its training begins.

    Returns
    -------
    Panel
        Numbers and pictures.
    """
    journey = Journey(config, folder, tell=tell)
    steps.begin(f"neural ground states along the field, L = {', '.join(map(str, config.sizes))}")
    for size in config.sizes:
        journey.scan(size)
    steps.begin("networks that see both far ends of the field, and one that saw classical Monte Carlo only")
    outputs = journey.outputs()
    steps.begin("more ground states near the transition, and the critical field from what was learned")
    found = journey.critical_points()
    steps.begin("clustering and confusion on ground states")
    unlabelled = journey.unlabelled()
    steps.begin("pictures of the quantum transition")
    return Panel(
        TITLE,
        SUMMARY,
        rows(config, outputs, found, unlabelled),
        figures(config, outputs, found, unlabelled),
    )
