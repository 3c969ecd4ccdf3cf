"""The demonstration: three kinds of learner find the phases of the Ising model, and its critical temperature.

Configurations come from Monte Carlo. Networks see labels at the two far ends of a temperature scan only; clustering
sees no labels; learning by confusion tries all of them. What they learned is then measured near the transition on
several lattice sizes, whose cumulant ratios cross at the critical temperature. No exact value enters anything but one
column of the table. `qmlphys.workflows.criticality` does the same with more patience and smaller errors.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from os import PathLike

from qmlphys.workflows import _ising_phases_output as output
from qmlphys.workflows._ising_phases_steps import N_STEPS, Journey
from qmlphys.workflows.criticality import CriticalityConfig
from qmlphys.workflows.outcome import Outcome
from qmlphys.workflows.runs import Panel, RunFolder, Steps

__all__ = ["N_STEPS", "IsingPhasesConfig", "panel", "run"]

_TITLE = "From Ising configurations to a critical temperature"


@dataclass(frozen=True)
class IsingPhasesConfig:
    """Settings of the demonstration; equal settings give the same numbers.

    Parameters
    ----------
    sizes : tuple of int
        Linear sizes, at least two, growing; one of them is `training_size`.
    training_size : int
        Linear size on which the convolutional networks are trained.
    n_seeds : int
        Convolutional networks, each trained on snapshots of its own; at least 2.
    ends : tuple of float
        Lowest and highest temperature of the scans, in units of z J (J the coupling, z the number of neighbours).
    moved_down, moved_up : tuple of float
        The same for the two controls, whose labelled ends lie elsewhere.
    confusion_ends : tuple of float
        The same for the scan on which confusion is learned.
    n_scan : int
        Temperatures in a scan.
    n_scan_draws, n_training_draws : int
        Draws from each chain of the scans that are saved, and of those on which convolutional networks are trained.
    n_draws, n_transfer_draws : tuple of int
        Draws from each chain near the transition, one number a size, on the square and the triangular lattice.
    n_chains : int
        Chains a temperature.
    seed : int
        Where all randomness starts.

    Examples
    --------
    >>> IsingPhasesConfig(seed=3).sizes
    (8, 16, 32)
    """

    sizes: tuple[int, ...] = (8, 16, 32)
    training_size: int = 16
    n_seeds: int = 2
    ends: tuple[float, float] = (0.25, 1.0)
    moved_down: tuple[float, float] = (0.25, 0.85)
    moved_up: tuple[float, float] = (0.4, 1.0)
    confusion_ends: tuple[float, float] = (0.4, 0.8)
    n_scan: int = 25
    n_scan_draws: int = 12
    n_training_draws: int = 10
    n_draws: tuple[int, ...] = (1000, 500, 250)
    n_transfer_draws: tuple[int, ...] = (500, 250, 120)
    n_chains: int = 64
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("sizes", "ends", "moved_down", "moved_up", "confusion_ends", "n_draws", "n_transfer_draws"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.training_size not in self.sizes:
            raise ValueError(
                f"Argument `training_size` must be one of the sizes {self.sizes}, but it is {self.training_size}."
            )
        if self.n_seeds < 2:
            raise ValueError(f"Argument `n_seeds` must be at least 2 to know their scatter, but it is {self.n_seeds}.")
        self.on("square")  # checks all that both share

    def on(self, lattice: str) -> CriticalityConfig:
        """Return the settings of the measurement near the transition of one lattice.

        Parameters
        ----------
        lattice : str
            "square" or "triangular".

        Returns
        -------
        CriticalityConfig
            Trained on the square lattice in any case.
        """
        return CriticalityConfig(
            lattice=lattice,
            sizes=self.sizes,
            training_size=self.training_size,
            n_seeds=self.n_seeds,
            ends=self.ends,
            n_scan=self.n_scan,
            n_scan_draws=self.n_training_draws,
            n_chains=self.n_chains,
            n_draws=self.n_draws if lattice == "square" else self.n_transfer_draws,
            n_chunks=(1,) * len(self.sizes),
            seed=self.seed,
        )


def run(
    config: IsingPhasesConfig | None = None,
    *,
    out: str | PathLike[str] = "runs/demo",
    progress: bool = False,
    bars: bool = False,
    fresh: bool = False,
) -> Outcome:
    """Sample, learn in three ways, measure, and write the report.

    Parameters
    ----------
    config : IsingPhasesConfig, optional
        Settings; the default takes less than a minute on two cores.
    out : path-like
        Run folder. Steps that were finished in it with the same settings are read instead of computed.
    progress : bool
        Tell on standard error which step is under way.
    bars : bool
        Show a progress bar inside the longer steps.
    fresh : bool
        Compute every step again.

    Returns
    -------
    Outcome
        Every number, and where the report is.

    Raises
    ------
    ValueError
        If the settings do not fit.
    OSError
        If the folder cannot be written.
    """
    started = time.perf_counter()
    config = config or IsingPhasesConfig()
    folder = RunFolder(out, workflow="ising-phases", fresh=fresh)
    found = panel(config, folder, steps=Steps(N_STEPS, shown=progress), bars=bars)
    report = folder.write_panels(config, [found])
    return Outcome(_TITLE, list(found.rows), report, time.perf_counter() - started, folder.n_resumed)


def panel(config: IsingPhasesConfig, folder: RunFolder, *, steps: Steps, bars: bool = False) -> Panel:
    """Do the work of `run` and return what it found instead of writing a report.

    Parameters
    ----------
    config : IsingPhasesConfig
        Settings.
    folder : RunFolder
        Where finished steps are kept.
    steps : Steps
        Told of each step as it begins.
    bars : bool
        Show a progress bar inside the longer steps.

    Returns
    -------
    Panel
        Numbers and pictures.
    """
    journey = Journey(config, folder, bars=bars)
    steps.begin(f"sampling the square lattice at L = {', '.join(map(str, config.sizes))}")
    for size in config.sizes:
        journey.scan(size)
    steps.begin("supervised: dense and convolutional networks, labels from both far ends")
    outputs = journey.outputs()
    steps.begin("the critical temperature from what they learned, with the ends moved as a control")
    square = journey.near_transition("square")
    steps.begin("the same networks on the triangular lattice, which they have never seen")
    triangular = journey.near_transition("triangular")
    steps.begin("clustering without labels")
    clusters = journey.clusters()
    steps.begin("learning by confusion")
    confusion = journey.confusion()
    steps.begin("accuracies beside the best cut in one number and the Bayes limit")
    accuracies = journey.accuracies(square["cnn"][0])
    steps.begin("pictures of the phases")
    results = output.Results(
        config.sizes, config.training_size, outputs, square, triangular, clusters, confusion, accuracies
    )
    figures = output.figures(config, results, journey.scan(max(config.sizes)))
    return Panel(_TITLE, output.SUMMARY, output.rows(config, results), figures)
