"""The whole demonstration in one report: phases, ground states, circuits, generative models, entanglement."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from os import PathLike

from qmlphys.workflows import entanglement_scaling, generative, ground_state, ising_phases, quantum_circuits
from qmlphys.workflows.entanglement_scaling import OverviewConfig
from qmlphys.workflows.generative import GenerativeConfig
from qmlphys.workflows.ground_state import PhasesConfig
from qmlphys.workflows.ising_phases import IsingPhasesConfig
from qmlphys.workflows.outcome import Outcome
from qmlphys.workflows.quantum_circuits import QuantumCircuitsConfig
from qmlphys.workflows.runs import RunFolder, Steps

__all__ = ["DemoConfig", "run"]

_TITLE = "Machine learning and quantum physics, in both directions"

_SUMMARY = (
    "Everything on this page was computed just now, on this machine. Every number has its error, and stands beside the "
    "exact value where there is one."
)


@dataclass(frozen=True)
class DemoConfig:
    """Settings of the demonstration; equal settings give the same numbers.

    Parameters
    ----------
    phases : IsingPhasesConfig
        Settings of the first part.
    ground_states : PhasesConfig
        Settings of the second part.
    circuits : QuantumCircuitsConfig
        Settings of the third part.
    generative_models : GenerativeConfig
        Settings of the fourth part.
    entanglement : OverviewConfig
        Settings of the fifth part.

    Examples
    --------
    >>> DemoConfig.seeded(3).circuits.seed
    3
    """

    phases: IsingPhasesConfig = field(default_factory=IsingPhasesConfig)
    ground_states: PhasesConfig = field(default_factory=ground_state.demo_config)
    circuits: QuantumCircuitsConfig = field(default_factory=QuantumCircuitsConfig)
    generative_models: GenerativeConfig = field(default_factory=generative.demo_config)
    entanglement: OverviewConfig = field(default_factory=entanglement_scaling.demo_config)

    @classmethod
    def seeded(cls, seed: int) -> DemoConfig:
        """Return the default settings with another seed.

        Parameters
        ----------
        seed : int
            Where all randomness starts.

        Returns
        -------
        DemoConfig
            For `run`.
        """
        return cls(
            IsingPhasesConfig(seed=seed),
            ground_state.demo_config(seed=seed),
            QuantumCircuitsConfig(seed=seed),
            generative.demo_config(seed=seed),
            entanglement_scaling.demo_config(seed=seed),
        )


def run(
    config: DemoConfig | None = None,
    *,
    out: str | PathLike[str] = "runs/demo",
    progress: bool = False,
    bars: bool = False,
    fresh: bool = False,
) -> Outcome:
    """Go the whole way and write the report.

    Parameters
    ----------
    config : DemoConfig, optional
        Settings.
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
    config = config or DemoConfig()
    folder = RunFolder(out, workflow="demo", fresh=fresh)
    parts = (ising_phases, ground_state, quantum_circuits, generative, entanglement_scaling)
    steps = Steps(sum(part.N_STEPS for part in parts), shown=progress)
    panels = [
        ising_phases.panel(config.phases, folder, steps=steps, bars=bars),
        ground_state.panel(config.ground_states, folder, steps=steps),
        quantum_circuits.panel(config.circuits, folder, steps=steps),
        generative.panel(config.generative_models, folder, steps=steps),
        entanglement_scaling.panel(config.entanglement, folder, steps=steps),
    ]
    report = folder.write_panels(config, panels, title=_TITLE, summary=_SUMMARY)
    rows = [row for panel in panels for row in panel.rows]
    return Outcome(_TITLE, rows, report, time.perf_counter() - started, folder.n_resumed)
