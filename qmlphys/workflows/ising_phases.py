"""The demonstration: three kinds of learner find the phases of the Ising model, and its critical temperature.

Configurations come from Monte Carlo. Networks see labels at the two far ends of a temperature scan only; clustering
sees no labels; learning by confusion tries all of them. What they learned is then measured near the transition on
several lattice sizes, whose cumulant ratios cross at the critical temperature. No exact value enters anything but one
column of the table. `qmlphys.workflows.criticality` does the same with more patience and smaller errors.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from qmlphys import lattices, snapshots
from qmlphys.hamiltonians import Ising
from qmlphys.montecarlo import Simulation, sample
from qmlphys.phases import ConfusionScheme, PhaseClusterer, SupervisedPhaseClassifier, baselines, far_ends
from qmlphys.phases.confusion import optimal_indicator
from qmlphys.phases.curves import mean_curve
from qmlphys.stats import Estimate
from qmlphys.workflows import _ising_phases_output as output
from qmlphys.workflows import criticality
from qmlphys.workflows.criticality import MAGNETIZATION, CriticalityConfig
from qmlphys.workflows.runs import Row, RunFolder

__all__ = ["IsingPhases", "IsingPhasesConfig", "run"]

TITLE = "From Ising configurations to a critical temperature"

# What is measured near the transition, in this order; seeds of the first kind are joined into one result.
_LEARNERS = ("moved down", "moved up", "dense", "component")
_MAX_POINTS = 1500  # of the plane, kept for the picture


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
    n_scan_draws: int = 20
    n_training_draws: int = 12
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


@dataclass(frozen=True, eq=False)
class IsingPhases:
    """What the demonstration found.

    Parameters
    ----------
    title : str
        What was done.
    rows : list of Row
        Every number.
    report : pathlib.Path
        The page.
    seconds : float
        How long it took.
    n_resumed : int
        Steps that were read from an earlier start instead of computed.
    """

    title: str
    rows: list[Row]
    report: Path
    seconds: float
    n_resumed: int


class _PerSize:
    """One learner a lattice size, behind the face of a network that fits every size."""

    def __init__(self, learners: Mapping[int, Callable[[Any], NDArray[np.float64]]], n_sites: int = 0) -> None:
        self.learners = learners
        self.n_sites = n_sites

    def resized(self, shape: tuple[int, ...]) -> _PerSize:
        return _PerSize(self.learners, int(np.prod(shape)))

    def order_parameter(self, X: Any) -> NDArray[np.float64]:
        return self.learners[self.n_sites](X)


class _Journey:
    """The steps of one run; each is kept in the folder when it is done."""

    def __init__(self, config: IsingPhasesConfig, folder: RunFolder, *, progress: bool, bars: bool) -> None:
        self.config = config
        self.folder = folder
        self.square = config.on("square")
        self.progress = progress
        self.bars = bars
        self.n_done = 0
        # Methods are cached one by one: an lru_cache on the class would keep every journey alive.
        self.scan = cache(self._scan)
        self.networks = cache(self._networks)
        self.per_size = cache(self._per_size)

    def say(self, text: str) -> None:
        """Tell a user who watches what happens now."""
        self.n_done += 1
        if self.progress:
            from rich.console import Console

            Console(stderr=True, highlight=False).print(f"[{self.n_done}/{output.N_STEPS}] {text}", markup=False)

    def seed(self, *path: int) -> int:
        """Return a random seed by purpose, so that each step can be repeated alone."""
        return int(np.random.SeedSequence(self.config.seed, spawn_key=(1, *path)).generate_state(1)[0] >> np.uint32(1))

    def _scan(self, size: int) -> xr.Dataset:
        """Snapshots of the whole scan at one size."""
        settings = replace(self.square, training_size=size, n_scan_draws=self.config.n_scan_draws)
        return self.folder.snapshots(
            f"square-{size:02d}",
            [settings.ends, settings.n_scan, settings.n_scan_draws, self.config.seed, size],
            lambda: criticality.scan(settings, self.config.n_seeds + 1, progress=self.bars),
        )

    def _networks(self) -> list[SupervisedPhaseClassifier]:
        """Convolutional networks: one a seed, then the two controls."""
        n_seeds = self.config.n_seeds
        trained = [criticality.train(self.square, k, progress=self.bars) for k in range(n_seeds)]
        # Snapshots number n_seeds serve `criticality.locate`, those after it `scan`.
        for k, ends in enumerate((self.config.moved_down, self.config.moved_up), start=n_seeds + 2):
            trained.append(criticality.train(replace(self.square, ends=ends), k, progress=self.bars))
        return trained

    def _per_size(self) -> tuple[dict[int, SupervisedPhaseClassifier], dict[int, PhaseClusterer]]:
        """Learners that belong to one size: a dense network and a clusterer for each."""
        dense, clusterers = {}, {}
        for size in self.config.sizes:
            X, temperature, groups = snapshots.as_xy(self.scan(size))
            ends, y = far_ends(temperature)
            # The ends are easily told apart: a few passes are enough.
            network = SupervisedPhaseClassifier(
                "dense", shape=(size, size), max_epochs=10, random_state=self.seed(0, size)
            )
            dense[size] = network.fit(X[ends], y, groups=groups[ends])
            clusterers[size] = PhaseClusterer(random_state=self.seed(1, size)).fit(X)
        return dense, clusterers

    def outputs(self) -> dict[str, Any]:
        """Mean output of the networks along the scan, and where it crosses one half."""

        def compute() -> dict[str, Any]:
            found: dict[str, Any] = {}
            for size in self.config.sizes:
                X, temperature, groups = snapshots.as_xy(self.scan(size))
                for kind, network in (
                    ("cnn", self.networks()[0].resized((size, size))),
                    ("dense", self.per_size()[0][size]),
                ):
                    curve = mean_curve(network.predict_proba(X)[:, 1], temperature, groups=groups)
                    crossing = network.transition(X, temperature, groups=groups)
                    found[f"{kind} {size}"] = {
                        "parameter": curve["parameter"].values,
                        "mean": curve["mean"].values,
                        "error": curve["error"].values,
                        "crossing": [crossing.mean, crossing.error],
                    }
            return found

        return self.folder.step("outputs", self.config, compute)

    def clusters(self) -> dict[str, Any]:
        """Where snapshots change cluster, and the plane of the first two components."""

        def compute() -> dict[str, Any]:
            found: dict[str, Any] = {"transition": {}}
            for size in self.config.sizes:
                X, temperature, groups = snapshots.as_xy(self.scan(size))
                clusterer = self.per_size()[1][size]
                transition = clusterer.transition(X, temperature, groups)
                found["transition"][str(size)] = [transition.mean, transition.error]
                if size == self.config.training_size:
                    chosen = np.linspace(0, len(X) - 1, min(len(X), _MAX_POINTS)).astype(int)
                    found["plane"] = clusterer.transform(X[chosen])[:, :2].round(4)
                    found["temperature"] = temperature[chosen].round(6)
                    found["explained"] = clusterer.explained_variance_ratio_
            return found

        return self.folder.step("clusters", self.config, compute)

    def confusion(self) -> dict[str, Any]:
        """The W curve of a network and the best one possible, on the same held-out snapshots."""
        size = self.config.training_size
        model = Ising(lattices.square(size))
        low, high = (4 * end for end in self.config.confusion_ends)
        ds = self.folder.snapshots(
            f"square-{size:02d}-confusion",
            [low, high, self.config.n_scan, self.config.n_scan_draws, self.config.n_chains, self.config.seed, size],
            lambda: sample(
                model,
                np.linspace(low, high, self.config.n_scan),
                n_chains=self.config.n_chains,
                n_draws=self.config.n_scan_draws,
                rng=self.seed(2),
                progress=self.bars,
            ),
        )

        def compute() -> dict[str, Any]:
            X, temperature, groups = snapshots.as_xy(ds)
            scheme = ConfusionScheme(network="cnn", shape=(size, size), random_state=self.seed(3))
            scheme.fit(X, temperature, groups=groups)
            best = optimal_indicator(
                ds["energy"].values.ravel(),
                temperature,
                splits=scheme.splits_,
                groups=groups,
                held_out=scheme.held_out_,
                rng=self.seed(4),
            )
            return {
                "splits": scheme.splits_,
                "network": [scheme.indicator_, scheme.indicator_error_],
                "network maximum": [scheme.critical_point_, scheme.critical_point_error_],
                "best": [best.indicator, best.indicator_error],
                "best maximum": [best.critical_point, best.critical_point_error],
            }

        return self.folder.step("confusion", self.config, compute)

    def near_transition(self, lattice: str) -> dict[str, Any]:
        """Cumulant ratios of what was learned, near the transition, and what their collapse gives."""
        settings = self.config.on(lattice)

        def learners() -> list[Any]:
            networks: list[Any] = list(self.networks())
            if lattice != "square":
                return networks[: self.config.n_seeds]
            dense, clusterers = self.per_size()
            return [
                *networks,
                _PerSize({size**2: network.order_parameter for size, network in dense.items()}),
                _PerSize({size**2: _first_component(clusterer) for size, clusterer in clusterers.items()}),
            ]

        start = self.folder.step(
            f"near-{lattice}-start",
            settings,
            lambda: dict(zip(("mean", "error"), _pair(criticality.locate(settings, self.networks())), strict=True)),
        )
        moments = []
        for k, size in enumerate(settings.sizes):
            window = 1 + settings.half_width / size * np.linspace(-1, 1, settings.n_temperatures)

            def compute(size: int = size, k: int = k, window: NDArray[np.float64] = window) -> dict[str, Any]:
                model = Ising(lattices.from_label(f"{lattice}({size})"))
                rng = self.seed(5, len(lattice), size)
                simulation = Simulation(model, start["mean"] * window, n_chains=settings.n_chains, rng=rng)
                which = cast("Sequence[SupervisedPhaseClassifier]", learners())
                return dict(
                    criticality.measure(which, simulation, n_draws=settings.n_draws[k], progress=self.bars).to_dict()
                )

            step = self.folder.step(f"near-{lattice}-{size:02d}", [self.config, start], compute)
            moments.append(xr.Dataset.from_dict(step))
        return self.folder.step(
            f"near-{lattice}-collapse", [self.config, start], lambda: self._collapse(moments, start)
        )

    def _collapse(self, moments: list[xr.Dataset], start: Mapping[str, float]) -> dict[str, Any]:
        """Critical temperature and exponent of each kind of learner."""
        seeds = [f"network {k}" for k in range(self.config.n_seeds)]
        joined = criticality.analyse(
            [part.sel(learner=[*seeds, MAGNETIZATION]) for part in moments], Estimate(start["mean"], start["error"])
        )
        known = joined.scans[MAGNETIZATION]
        found: dict[str, Any] = {
            "cnn": [*_pair(joined.critical_point), *_pair(joined.nu)],
            "magnetisation": [*_pair(known.critical_point), *_pair(known.nu)],
        }
        others = [name for name in map(str, moments[0]["learner"].values) if name not in (*seeds, MAGNETIZATION)]
        for kind, name in zip(_LEARNERS, others, strict=False):
            scan = criticality.collapse(moments, learner=name)
            found[kind] = [*_pair(scan.critical_point), *_pair(scan.nu)]
        chosen = joined.cumulants.sel(learner=seeds[0])
        found["points"] = {key: chosen[key].values for key in ("size", "temperature", "ratio", "error")}
        return found

    def accuracies(self, critical_temperature: float) -> dict[str, Any]:
        """Held-out accuracies of networks and single numbers, with labels from the temperature that was found."""

        def compute() -> dict[str, Any]:
            found: dict[str, Any] = {}
            for size in self.config.sizes:
                ds = self.scan(size)
                X, temperature, groups = snapshots.as_xy(ds)
                y = (temperature < critical_temperature).astype(int)
                n_chains = ds.sizes["chain"]
                half = np.random.default_rng(self.seed(6)).permutation(n_chains) % 2 == 0
                seen = half[groups % n_chains]
                lattice = lattices.square(size)
                judged = {
                    kind: SupervisedPhaseClassifier(
                        kind, shape=lattice.shape, max_epochs=15, random_state=self.seed(7, size)
                    ).fit(X[seen], y[seen], groups=groups[seen])
                    for kind in ("dense", "cnn")
                }
                cuts = {
                    "cut in |m|": baselines.CutClassifier("magnetization").fit(X[seen], y[seen]),
                    "cut in energy": baselines.CutClassifier("energy", lattice=lattice).fit(X[seen], y[seen]),
                }
                table = baselines.report(
                    judged | cuts,
                    X[~seen],
                    y[~seen],
                    groups=groups[~seen],
                    parameter=temperature[~seen],
                    energy=ds["energy"].values.ravel()[~seen] * lattice.n_sites,
                )
                found[str(size)] = {name: _pair(value) for name, value in table.items()}
            return found

        return self.folder.step("accuracies", [self.config, critical_temperature], compute)


def _pair(value: Estimate) -> list[float]:
    return [value.mean, value.error]


def _first_component(clusterer: PhaseClusterer) -> Callable[[Any], NDArray[np.float64]]:
    """Return the order parameter that a clusterer found: the first component, per root of the number of sites."""

    def order(X: Any) -> NDArray[np.float64]:
        return clusterer.transform(X)[:, 0] / np.sqrt(X.shape[1])

    return order


def run(
    config: IsingPhasesConfig | None = None,
    *,
    out: str | PathLike[str] = "runs/demo",
    progress: bool = False,
    bars: bool = False,
    fresh: bool = False,
) -> IsingPhases:
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
    IsingPhases
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
    journey = _Journey(config, folder, progress=progress, bars=bars)
    journey.say(f"sampling the square lattice at L = {', '.join(map(str, config.sizes))}")
    for size in config.sizes:
        journey.scan(size)
    journey.say("supervised: dense and convolutional networks, labels from both far ends")
    outputs = journey.outputs()
    journey.say("the critical temperature from what they learned, with the ends moved as a control")
    square = journey.near_transition("square")
    journey.say("the same networks on the triangular lattice, which they have never seen")
    triangular = journey.near_transition("triangular")
    journey.say("clustering without labels")
    clusters = journey.clusters()
    journey.say("learning by confusion")
    confusion = journey.confusion()
    journey.say("accuracies beside the best cut in one number and the Bayes limit")
    accuracies = journey.accuracies(square["cnn"][0])
    journey.say("figures and report")
    results = output.Results(
        config.sizes, config.training_size, outputs, square, triangular, clusters, confusion, accuracies
    )
    rows = output.rows(config, results)
    figures = output.figures(config, results, journey.scan(max(config.sizes)))
    folder.write_settings(
        config,
        title=TITLE,
        summary=output.SUMMARY,
        figures=[(name, caption) for name, (_, caption) in figures.items()],
    )
    for name, (figure, _) in figures.items():
        folder.save_figure(name, figure)
    folder.write_results(rows)
    return IsingPhases(TITLE, rows, folder.write_report(), time.perf_counter() - started, folder.n_resumed)
