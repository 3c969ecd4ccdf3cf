"""From snapshots to a device and back: learn a distribution, compile it, sample the circuit, judge what came out.

`learn` fits Born machines to snapshots of whatever source, `compile_circuit` turns a fitted model into a circuit,
`sample_on` runs circuits on a backend through the ledger, and `judge` measures originals and likenesses in the same way
and lets a classifier of phases look at both. `hybrid` trains a circuit itself, from a Born machine's angles and from
random ones. `run` does all of it and writes a report.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from os import PathLike

from qmlphys.workflows import _generative_output as output
from qmlphys.workflows._generative_config import GenerativeConfig, GraphsConfig, ImagesConfig, StartsConfig
from qmlphys.workflows._generative_device import ChiSquared, chi_squared, fetch, kept_shares, sample_on, submit
from qmlphys.workflows._generative_hybrid import hybrid
from qmlphys.workflows._generative_judge import exact_values, judge
from qmlphys.workflows._generative_models import bars_and_stripes, compile_circuit, learn, model_samples
from qmlphys.workflows._generative_output import TITLE
from qmlphys.workflows._generative_steps import Journey
from qmlphys.workflows.outcome import Outcome
from qmlphys.workflows.runs import Panel, RunFolder, Steps

__all__ = [
    "N_STEPS",
    "ChiSquared",
    "GenerativeConfig",
    "GraphsConfig",
    "ImagesConfig",
    "StartsConfig",
    "bars_and_stripes",
    "chi_squared",
    "compile_circuit",
    "demo_config",
    "exact_values",
    "fetch",
    "hybrid",
    "judge",
    "kept_shares",
    "learn",
    "model_samples",
    "panel",
    "run",
    "sample_on",
    "submit",
]

N_STEPS = 5
"""How many steps a user is told of."""


def demo_config(*, seed: int = 1) -> GenerativeConfig:
    """Return the settings of the demonstration: half a minute on two cores.

    Parameters
    ----------
    seed : int
        Where all randomness starts.

    Returns
    -------
    GenerativeConfig
        For `panel`.

    Examples
    --------
    >>> demo_config(seed=2).backend
    'aer'
    """
    return GenerativeConfig(
        n_draws=400,
        n_layers=(0, 2),
        graphs=GraphsConfig(max_steps=60, n_starts=1),
        starts=StartsConfig(n_sites=6, n_seeds=2, max_steps=20),
        seed=seed,
    )


def run(
    config: GenerativeConfig | None = None,
    *,
    out: str | PathLike[str] = "runs/generative",
    progress: bool = False,
    tell: Callable[[str], None] | None = None,
    fresh: bool = False,
) -> Outcome:
    """Learn, compile, sample, judge, and write the report.

    Parameters
    ----------
    config : GenerativeConfig, optional
        Settings.
    out : path-like
        Run folder. Steps that were finished in it with the same settings are read instead of computed, and jobs that
        were submitted are fetched, not submitted again.
    progress : bool
        Tell on standard error which step is under way.
    tell : callable, optional
        Told of each Born machine as its training begins.
    fresh : bool
        Compute every step again; what the ledger has already sampled is fetched from it.

    Returns
    -------
    Outcome
        Every number, and where the report is.

    Raises
    ------
    ValueError
        If the settings do not fit the data or each other.
    JobError
        If a job failed.
    OSError
        If a file cannot be read or written.
    """
    started = time.perf_counter()
    config = config or GenerativeConfig()
    folder = RunFolder(out, workflow="generative", fresh=fresh)
    found = panel(config, folder, steps=Steps(N_STEPS, shown=progress), tell=tell)
    report = folder.write_panels(config, [found])
    return Outcome(TITLE, list(found.rows), report, time.perf_counter() - started, folder.n_resumed)


def panel(
    config: GenerativeConfig, folder: RunFolder, *, steps: Steps, tell: Callable[[str], None] | None = None
) -> Panel:
    """Do the work of `run` and return what it found instead of writing a report.

    Parameters
    ----------
    config : GenerativeConfig
        Settings.
    folder : RunFolder
        Where finished steps, models and jobs are kept.
    steps : Steps
        Told of each step as it begins.
    tell : callable, optional
        Told of each Born machine as its training begins.

    Returns
    -------
    Panel
        Numbers and pictures.
    """
    journey = Journey(config, folder, tell=tell)
    steps.begin("snapshots, bars and stripes, and the models that learn them")
    journey.models.originals()
    names = journey.jobs()
    # Each job is on its way as soon as its circuits are there, while the next model is trained.
    steps.begin(f"models into circuits, and the circuits to {config.backend}")
    jobs = {name: journey.ready(name) for name in names}
    steps.begin("training circuits by gradients, from a good start and from random ones")
    starts = None if config.starts is None else journey.starts()
    steps.begin("shots beside the originals, and a classifier's judgement of both")
    images = None if config.images is None else journey.images()
    graphs = None if config.graphs is None else journey.graphs()
    factors = None if config.graphs is None else journey.models.factor_graph(max(config.graphs.sizes))
    judged = journey.judged()
    steps.begin("pictures of what was generated")
    results = output.Results(jobs, judged, images, graphs, factors, starts)
    return Panel(TITLE, output.SUMMARY, output.rows(config, results), output.figures(config, results))
