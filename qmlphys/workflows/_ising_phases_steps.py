"""The steps of `qmlphys.workflows.ising_phases`, each kept in the run folder when it is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from qmlphys import lattices, scaling, snapshots
from qmlphys.hamiltonians import Ising
from qmlphys.montecarlo import Simulation, sample
from qmlphys.phases import ConfusionScheme, PhaseClusterer, SupervisedPhaseClassifier, baselines, far_ends
from qmlphys.phases.confusion import optimal_indicator
from qmlphys.phases.curves import mean_curve
from qmlphys.stats import Estimate
from qmlphys.workflows import criticality
from qmlphys.workflows.criticality import MAGNETIZATION
from qmlphys.workflows.runs import RunFolder

if TYPE_CHECKING:
    from qmlphys.workflows.ising_phases import IsingPhasesConfig

__all__ = ["N_STEPS", "Journey"]

N_STEPS = 8
"""How many steps a user is told of."""

# What is measured near the transition after the networks of all seeds and before the magnetisation.
_LEARNERS = ("moved down", "moved up", "dense", "component")
_MAX_POINTS = 1500  # of the plane, kept for the picture


class _PerSize:
    """One learner a lattice size, behind the face of a network that fits every size."""

    def __init__(self, learners: Mapping[int, Callable[[Any], NDArray[np.float64]]], n_sites: int = 0) -> None:
        self.learners = learners
        self.n_sites = n_sites

    def resized(self, shape: tuple[int, ...]) -> _PerSize:
        return _PerSize(self.learners, int(np.prod(shape)))

    def order_parameter(self, X: Any) -> NDArray[np.float64]:
        return self.learners[self.n_sites](X)


class Journey:
    """The steps of one run; each is kept in the folder when it is done."""

    def __init__(self, config: IsingPhasesConfig, folder: RunFolder, *, bars: bool) -> None:
        self.config = config
        self.folder = folder
        self.square = config.on("square")
        self.bars = bars
        # Methods are cached one by one: an lru_cache on the class would keep every journey alive.
        self.scan = cache(self._scan)
        self.networks = cache(self._networks)
        self.per_size = cache(self._per_size)

    def seed(self, *path: int) -> int:
        """Return a random seed by purpose, so that each step can be repeated alone."""
        return int(np.random.SeedSequence(self.config.seed, spawn_key=(1, *path)).generate_state(1)[0] >> np.uint32(1))

    def _scan(self, size: int, lattice: str = "square") -> xr.Dataset:
        """Snapshots of the whole scan at one size."""
        settings = replace(self.square, training_size=size, n_scan_draws=self.config.n_scan_draws)
        return self.folder.snapshots(
            f"{lattice}-{size:02d}",
            [settings.ends, settings.n_scan, settings.n_scan_draws, self.config.seed, lattice, size],
            lambda: criticality.scan(settings, self.config.n_seeds, lattice=lattice, progress=self.bars),
        )

    def _networks(self) -> list[SupervisedPhaseClassifier]:
        """Convolutional networks: one a seed, then the two controls."""
        n_seeds = self.config.n_seeds
        trained = [criticality.train(self.square, k, progress=self.bars) for k in range(n_seeds)]
        # Random numbers of snapshots number n_seeds belong to `scan`.
        for k, ends in enumerate((self.config.moved_down, self.config.moved_up), start=n_seeds + 1):
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
        """Mean output of the networks along the scans, and where it crosses one half."""

        def compute() -> dict[str, Any]:
            network, size = self.networks()[0], self.config.training_size
            found = {}
            for length in self.config.sizes:
                found[f"cnn {length}"] = self._output(network.resized((length, length)), self.scan(length))
                found[f"dense {length}"] = self._output(self.per_size()[0][length], self.scan(length))
            found["triangular"] = self._output(network, self.scan(size, "triangular"))
            return found

        return self.folder.step("outputs", self.config, compute)

    @staticmethod
    def _output(network: SupervisedPhaseClassifier, ds: xr.Dataset) -> dict[str, Any]:
        """Return the mean output of a network along a scan."""
        X, temperature, groups = snapshots.as_xy(ds)
        curve = mean_curve(network.predict_proba(X)[:, 1], temperature, groups=groups)
        crossing = _pair(network.transition(X, temperature, groups=groups))
        return {key: curve[key].values for key in ("parameter", "mean", "error")} | {"crossing": crossing}

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

    def _start(self, lattice: str) -> dict[str, float]:
        """Find the transition roughly: where the output is 1/2, then where smallest and largest lattice cross."""
        size = self.config.training_size
        output = self.outputs()["triangular" if lattice == "triangular" else f"cnn {size}"]
        # The output may be several percent off, since training chose its threshold.
        temperatures = output["crossing"][0] * np.linspace(0.88, 1.12, 13)
        curves = []
        for length in (min(self.config.sizes), max(self.config.sizes)):
            model = Ising(lattices.from_label(f"{lattice}({length})"))
            rng = self.seed(8, len(lattice), length)
            simulation = Simulation(model, temperatures, n_chains=self.config.n_chains, rng=rng)
            moments = criticality.measure(self.networks()[:1], simulation, n_draws=60, progress=self.bars)
            chosen = moments.sel(learner="network 0")
            curves.append(scaling.cumulant_from_moments(chosen["second"].values, chosen["fourth"].values))
        first, second = curves
        crossing = scaling.pair_crossing(
            temperatures,
            first.values,
            second.values,
            first_errors=first.errors,
            second_errors=second.errors,
            rng=self.seed(9, len(lattice)),
        )
        return {"mean": crossing.mean, "error": crossing.error}

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

        start = self.folder.step(f"near-{lattice}-start", self.config, lambda: self._start(lattice))
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
        return self.folder.step(f"near-{lattice}-collapse", [self.config, start], lambda: self._collapse(moments))

    def _collapse(self, moments: list[xr.Dataset]) -> dict[str, Any]:
        """Critical temperature and exponent of each kind of learner."""
        seeds = [f"network {k}" for k in range(self.config.n_seeds)]
        scans = {str(name): _fit(moments, str(name)) for name in moments[0]["learner"].values}
        found: dict[str, Any] = {"cnn": []}
        for k, quantity in enumerate(("critical_point", "nu")):
            # Chains, seeds and the choice of the fit window: each has its part in the error.
            parts = [(getattr(scans[name], quantity).mean, scans[name].statistical[k]) for name in seeds]
            window = float(np.sqrt(np.mean([scans[name].window[k] ** 2 for name in seeds])))
            joined = scaling.join_errors([Estimate(*part) for part in parts], window=window)
            found["cnn"] += _pair(joined.estimate)
        others = [name for name in scans if name not in (*seeds, MAGNETIZATION)]
        for kind, name in (*zip(_LEARNERS, others, strict=False), ("magnetisation", MAGNETIZATION)):
            found[kind] = [*_pair(scans[name].critical_point), *_pair(scans[name].nu)]
        sizes, temperatures, values, errors, _ = _points(moments, seeds[0])
        found["points"] = {"size": sizes, "temperature": temperatures, "ratio": values, "error": errors}
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


def _points(moments: list[xr.Dataset], learner: str) -> list[NDArray[np.float64]]:
    """Return size, temperature, cumulant ratio, its error and its delete-one-chain replicas at every point."""
    columns: list[list[NDArray[np.float64]]] = [[], [], [], [], []]
    for part in moments:
        chosen = part.sel(learner=learner)
        ratio = scaling.cumulant_from_moments(chosen["second"].values, chosen["fourth"].values)
        sizes = np.full(ratio.values.size, float(part.attrs["size"]))
        entries = (sizes, chosen["parameter"].values, ratio.values, ratio.errors, ratio.replicas)
        for column, entry in zip(columns, entries, strict=True):
            column.append(entry)
    return [np.concatenate(column) for column in columns]


def _fit(moments: list[xr.Dataset], learner: str) -> scaling.WindowScan:
    """Collapse the ratios of one learner over many fit windows.

    Every acceptable window counts the same. Weights by likelihood often rest on one window, and on lattices as small as
    these the error is then too small: over six seeds the root mean square of (T_c - exact) / error was 1.4 with
    them and 0.94 without.
    """
    sizes, temperatures, values, errors, replicas = _points(moments, learner)
    return scaling.window_scan(sizes, temperatures, values, errors, replicas=replicas, weights="flat")


def _first_component(clusterer: PhaseClusterer) -> Callable[[Any], NDArray[np.float64]]:
    """Return the order parameter that a clusterer found: the first component, per root of the number of sites."""

    def order(X: Any) -> NDArray[np.float64]:
        return clusterer.transform(X)[:, 0] / np.sqrt(X.shape[1])

    return order
