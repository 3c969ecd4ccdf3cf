"""From ground states to a quantum critical point: the steps of `qmlphys.workflows.ground_state.phases`.

One file: the steps of one search hand their results to each other, and are read in their order.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any, cast

import numpy as np
import xarray as xr

from qmlphys import lattices, scaling, snapshots
from qmlphys.hamiltonians import Ising
from qmlphys.montecarlo import sample
from qmlphys.phases import ConfusionScheme, PhaseClusterer, SupervisedPhaseClassifier, far_ends
from qmlphys.phases.curves import mean_curve
from qmlphys.stats import Estimate
from qmlphys.workflows._ground_state_collapse import collapse_of, points_of, ratio_of, scores_of, state_errors
from qmlphys.workflows._ground_state_models import Recipe
from qmlphys.workflows._ground_state_scan import ScanConfig, energies_of, joined, scan_states
from qmlphys.workflows.runs import RunFolder

__all__ = ["COMPONENT", "CONFUSION", "MAGNETIZATION", "N_STEPS", "TRANSFERRED", "Journey", "PhasesConfig"]

N_STEPS = 5
"""How many steps a user is told of."""

MAGNETIZATION = "magnetisation"
CONFUSION = "confusion"
COMPONENT = "component"
TRANSFERRED = "transferred"
_LOG = logging.getLogger(__name__)
_RELAXATION = 2 / 3  # of the steps near the transition
_GROUPS = 32  # chains are joined to so many, which is enough for the jackknife


@dataclass(frozen=True)
class PhasesConfig:
    """Settings of a search for the transition of the transverse-field Ising model; equal settings, equal numbers.

    Parameters
    ----------
    lattice : str
        "chain" or "square".
    sizes : tuple of int
        Linear sizes, at least two, growing.
    training_size : int
        The size whose snapshots the networks are trained on; one of `sizes`.
    n_seeds : int
        Networks, each with its own start; at least 2.
    ends : tuple of float
        Lowest and highest field of the scans, in units of z J (J the coupling, z the number of neighbours): the
        mean-field transition lies at 1.
    moved_down, moved_up : tuple of float
        The same for the two controls: parts of the scan, whose labelled ends lie elsewhere.
    end_fraction : float
        Share of the scan at each end that gets a label.
    n_scan : int
        Fields in a scan.
    n_scan_draws, n_draws : int
        Draws from each chain in the scan and near the transition.
    n_skip : int
        Sweeps between draws.
    n_fields : int
        Fields near the transition, for each size.
    half_width : float, optional
        Half of that window, 1.6 on chains and 0.5 on squares, where more happens: |h / h_0 - 1| L at its ends, with
        h_0 from the sizes before; twice that for the first two sizes, whose h_0 is a guess.
    recipe : Recipe
        How states are trained; its target ends the training of the scan's states only.
    n_first_steps, n_steps, n_window_steps : int
        Optimisation steps of a scan's first state, of its later ones, and of those near the transition at the smallest
        size. Larger sizes take as many more as they are longer, since the gap closes as 1 / L, and the first state in
        a window, which starts from far away, twice as many. Near the transition two thirds of the steps relax the
        collective modes, and the offset of each state's field is measured and enters the errors.
    seed : int
        Where all randomness starts.

    Examples
    --------
    >>> PhasesConfig(sizes=(8, 16), training_size=16).fields[::12]
    (0.4, 2.4)
    """

    lattice: str = "chain"
    sizes: tuple[int, ...] = (16, 32, 64)
    training_size: int = 32
    n_seeds: int = 3
    ends: tuple[float, float] = (0.2, 1.2)
    moved_down: tuple[float, float] = (0.2, 1.0)
    moved_up: tuple[float, float] = (0.3, 1.2)
    end_fraction: float = 0.25
    n_scan: int = 13
    n_scan_draws: int = 4
    n_draws: int = 60
    n_skip: int = 8
    n_fields: int = 7
    half_width: float | None = None
    recipe: Recipe = field(default_factory=lambda: Recipe(target=3e-5))
    n_first_steps: int = 150
    n_steps: int = 80
    n_window_steps: int = 50
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("sizes", "ends", "moved_down", "moved_up"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.half_width is None:
            object.__setattr__(self, "half_width", 1.6 if self.lattice == "chain" else 0.5)
        if len(set(self.sizes)) < 2 or list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError(f"Argument `sizes` must hold at least two growing sizes, but it is {self.sizes}.")
        if self.training_size not in self.sizes:
            raise ValueError(
                f"Argument `training_size` must be one of the sizes {self.sizes}, but it is {self.training_size}."
            )
        if not 0 < self.ends[0] < self.ends[1]:
            raise ValueError(f"Argument `ends` must be two growing positive numbers, but it is {self.ends}.")
        if self.n_seeds < 2:
            raise ValueError(f"Argument `n_seeds` must be at least 2 to know their scatter, but it is {self.n_seeds}.")
        for name in ("n_scan", "n_fields"):
            if getattr(self, name) < 5:
                raise ValueError(f"Argument `{name}` must be at least 5, but it is {getattr(self, name)}.")
        if not 0 < self.width < min(self.sizes) / 2:
            raise ValueError(f"Argument `half_width` must be positive and below L / 2, but it is {self.half_width}.")
        self.scan_config(self.sizes[0])  # names and numbers that both share

    @property
    def width(self) -> float:
        """The half width of a window, as a number."""
        return float(self.half_width or 0.0)

    @property
    def scale(self) -> int:
        """z, the number of neighbours of a site."""
        return self.geometry(self.sizes[0]).neighbours.shape[1]

    @property
    def fields(self) -> tuple[float, ...]:
        """The fields of a scan, rising."""
        low, high = self.ends
        return tuple(float(h) for h in (self.scale * np.linspace(low, high, self.n_scan)).round(9))

    def geometry(self, size: int) -> lattices.Lattice:
        """Return the lattice of a size."""
        return lattices.from_label(f"{self.lattice}({size})")

    def scan_config(self, size: int) -> ScanConfig:
        """Return the settings of the scan of one size."""
        return ScanConfig(
            lattice=self.lattice,
            size=size,
            fields=self.fields,
            recipe=self.recipe,
            n_first_steps=self.n_first_steps,
            n_steps=self.n_steps,
            n_draws=self.n_scan_draws,
            n_skip=self.n_skip,
            seed=self.seed,
        )


def _pair(value: Estimate) -> list[float]:
    return [value.mean, value.error]


class Journey:
    """The steps of one search; each is kept in the folder when it is done."""

    def __init__(self, config: PhasesConfig, folder: RunFolder, *, tell: Callable[[str], None] | None = None) -> None:
        self.config = config
        self.folder = folder
        self.tell = tell
        # Cached one by one: an lru_cache on the class would keep every journey alive.
        self.states = cache(self._states)
        self.confused = cache(self._confused)
        self.networks = cache(self._networks)
        self.window = cache(self._window)

    def _seed(self, *path: int) -> int:
        """Return a random seed by purpose, so that each step can be repeated alone."""
        return int(np.random.SeedSequence(self.config.seed, spawn_key=(7, *path)).generate_state(1)[0] >> np.uint32(1))

    def _name(self, size: int) -> str:
        return f"{self.config.lattice}-{size:02d}"

    def _states(self, size: int) -> list[xr.Dataset]:
        """The states of a scan, from the highest field down."""
        return scan_states(
            self.config.scan_config(size), folder=self.folder, name=f"{self._name(size)}-scan", tell=self.tell
        )

    def scan(self, size: int) -> xr.Dataset:
        """Snapshots of the whole scan at one size."""
        return joined(self.states(size))

    # --- what is learned from the far ends -------------------------------------------------------------------

    def _train(self, ends: tuple[float, float], seed: int) -> SupervisedPhaseClassifier:
        """Train a network on the labelled ends of a part of the scan."""
        X, values, groups = snapshots.as_xy(self.scan(self.config.training_size))
        low, high = (self.config.scale * end for end in ends)
        part = (values > low - 1e-6) & (values < high + 1e-6)
        X, values, groups = X[part], values[part], groups[part]
        labelled, y = far_ends(values, fraction=self.config.end_fraction)
        network = SupervisedPhaseClassifier(
            "cnn", shape=self.config.geometry(self.config.training_size).shape, random_state=seed
        )
        return network.fit(X[labelled], y, groups=groups[labelled])

    def _transfer(self) -> SupervisedPhaseClassifier:
        """Train a network on Monte Carlo of the classical Ising model one dimension up, cut down to the lattice here.

        A ground state in d dimensions weighs configurations as a classical system in d + 1 weighs one of its layers.
        """
        size = self.config.training_size
        bulk = lattices.from_label(f"{ {'chain': 'square', 'square': 'cubic'}[self.config.lattice] }({size})")
        z = bulk.neighbours.shape[1]
        ds = sample(Ising(bulk), z * np.linspace(0.25, 1.0, 13), n_chains=32, n_draws=8, rng=self._seed(1))
        X, temperature, groups = snapshots.as_xy(ds)
        labelled, y = far_ends(temperature)
        shape = self.config.geometry(size).shape
        layer = X[:, : int(np.prod(shape))]  # the last axes of a row-major lattice: one layer of it
        network = SupervisedPhaseClassifier("cnn", shape=shape, random_state=self._seed(2))
        return network.fit(layer[labelled], y, groups=groups[labelled])

    def _confused(self, size: int) -> ConfusionScheme:
        """Learn one size by confusion, without any label."""
        X, values, groups = snapshots.as_xy(self.scan(size))
        scheme = ConfusionScheme(
            network="cnn", shape=self.config.geometry(size).shape, random_state=self._seed(6, size)
        )
        return scheme.fit(X, values, groups=groups)

    def _networks(self) -> dict[str, SupervisedPhaseClassifier | ConfusionScheme]:
        """All networks by name: one a seed, the two controls, the transferred one, that of the confusion."""
        config = self.config
        found: dict[str, SupervisedPhaseClassifier | ConfusionScheme] = {
            f"network {k}": self._train(config.ends, self._seed(0, k)) for k in range(config.n_seeds)
        }
        found["moved down"] = self._train(config.moved_down, self._seed(0, 100))
        found["moved up"] = self._train(config.moved_up, self._seed(0, 101))
        found[TRANSFERRED] = self._transfer()
        found[CONFUSION] = self.confused(config.training_size)
        return found

    def outputs(self) -> dict[str, Any]:
        """Mean output of a network along the scans, where it crosses 1/2, and how good the states are."""

        def compute() -> dict[str, Any]:
            found: dict[str, Any] = {}
            for size in self.config.sizes:
                ds = self.scan(size)
                X, values, groups = snapshots.as_xy(ds)
                here: dict[str, Any] = {"v_score": json.loads(ds.attrs["v_scores"]), "energy": list(energies_of(ds))}
                for name in ("network 0", TRANSFERRED):
                    network = cast("SupervisedPhaseClassifier", self.networks()[name])
                    network = network.resized(self.config.geometry(size).shape)
                    curve = mean_curve(network.predict_proba(X)[:, 1], values, groups=groups)
                    here[name] = {key: curve[key].values for key in ("parameter", "mean", "error")}
                    try:
                        here[name]["crossing"] = _pair(network.transition(X, values, groups=groups))
                    except ValueError:  # a network from elsewhere may never make up its mind on a small lattice
                        here[name]["crossing"] = [math.nan, math.nan]
                found[str(size)] = here
            return found

        return self.folder.step(f"{self.config.lattice}-outputs", self.config, compute)

    # --- what is measured near the transition ----------------------------------------------------------------

    def _first_guess(self) -> float:
        """Where the cumulant ratios of the two smallest sizes cross in their scans: best trained, and far apart.

        Above the transition both ratios tend to 1/3 and differ by little more than noise; the sign of all differences
        together decides between which two fields the crossing lies.
        """
        fields, ratios = np.array(self.config.fields), []
        for size in self.config.sizes[:2]:
            ds = self.scan(size)
            network = self.networks()["network 0"].resized(self.config.geometry(size).shape)
            q = network.order_parameter(snapshots.as_xy(ds)[0])
            ratios.append(scaling.cumulant_ratio(q.reshape(ds["energy"].shape)))
        small, large = ratios
        if small.values.max() < 2 / 3 or small.values.min() > 2 / 3:
            raise ValueError(
                f"The scan must run from one phase into the other, but it shows one between h = {fields[0]:g} and "
                f"{fields[-1]:g} only: its cumulant ratios lie between {small.values.min():.3g} and "
                f"{small.values.max():.3g}."
            )
        difference = large.values - small.values
        k = int(np.cumsum(difference / np.hypot(small.errors, large.errors))[:-1].argmax())
        left, right = difference[k], difference[k + 1]
        part = left / (left - right) if left > 0 > right else 0.5
        return float(fields[k] + part * (fields[k + 1] - fields[k]))

    def _centre(self, size: int) -> float:
        """Where the window of a size is put: where the ratios of the two sizes before it cross, or a first guess."""
        sizes = self.config.sizes
        k = sizes.index(size)
        if k >= 2:
            pair = [self.window(length) for length in sizes[k - 2 : k]]
            ratios = [ratio_of(moments, "network 0") for moments in pair]
            with contextlib.suppress(ValueError):  # no significant crossing: there is only the first guess
                return scaling.pair_crossing(
                    pair[0]["parameter"].values,
                    ratios[0].values,
                    ratios[1].values,
                    first_errors=ratios[0].errors,
                    second_errors=ratios[1].errors,
                    second_parameter=pair[1]["parameter"].values,
                    rng=self._seed(3, size),
                ).mean
        return self._first_guess()

    def _window(self, size: int) -> xr.Dataset:
        """Moments of all order parameters near the transition, (learner, parameter, group)."""
        config = self.config
        centre = self.folder.step(f"{self._name(size)}-centre", [config, size], lambda: {"field": self._centre(size)})[
            "field"
        ]
        # The first guess is coarse: the first two windows are twice as wide.
        width = config.width * (1 if size in config.sizes[2:] else 2) / size
        fields = centre * (1 + min(width, 0.5) * np.linspace(-1, 1, config.n_fields))
        settings = replace(
            config.scan_config(size),
            fields=tuple(float(h) for h in fields),
            # No early end: the collective modes, which make up the order, hardly show in the V-score.
            recipe=replace(config.recipe, target=0.0),
            n_first_steps=2 * config.n_window_steps * size // config.sizes[0],
            n_steps=config.n_window_steps * size // config.sizes[0],
            relaxation=_RELAXATION,
            n_draws=config.n_draws,
        )

        def compute() -> dict[str, Any]:
            before = [ds for ds in self.states(size) if float(ds["parameter"].values[0]) >= fields.max()][-1:]
            near = scan_states(
                settings, folder=self.folder, name=f"{self._name(size)}-near", before=before, tell=self.tell
            )
            return dict(self._moments(joined(near), size).to_dict())

        return xr.Dataset.from_dict(self.folder.step(f"{self._name(size)}-moments", [config, settings], compute))

    def _moments(self, ds: xr.Dataset, size: int) -> xr.Dataset:
        """Second and fourth moment of what each learner takes for order."""
        shape = self.config.geometry(size).shape
        X = snapshots.as_xy(ds)[0]
        orders = {name: network.resized(shape).order_parameter(X) for name, network in self.networks().items()}
        clusterer = PhaseClusterer(random_state=self._seed(4, size)).fit(X)
        orders[COMPONENT] = clusterer.transform(X)[:, 0] / np.sqrt(X.shape[1])
        orders[MAGNETIZATION] = X.mean(axis=1, dtype=np.float64)
        n_fields, n_chains, n_draws = ds["energy"].shape
        n_groups = next(n for n in range(min(_GROUPS, n_chains), 0, -1) if n_chains % n == 0)
        powers = [
            np.array([(q**p).reshape(n_fields, n_groups, -1).mean(axis=-1) for q in orders.values()]) for p in (2, 4)
        ]
        dims = ("learner", "parameter", "group")
        return xr.Dataset(
            {
                "second": (dims, powers[0]),
                "fourth": (dims, powers[1]),
                "v_score": ("parameter", scores_of(ds)),
                "state_error": ("parameter", state_errors(ds)),
            },
            {"learner": list(orders), "parameter": ds["parameter"].values},
            {"size": size, "n_draws": n_draws},
        )

    def critical_points(self) -> dict[str, Any]:
        """Critical field and nu of each kind of learner, by a data collapse of its cumulant ratio."""
        windows = [self.window(size) for size in self.config.sizes]
        return self.folder.step(f"{self.config.lattice}-collapse", self.config, partial(self._collapse, windows))

    def _collapse(self, windows: list[xr.Dataset]) -> dict[str, Any]:
        names = [str(name) for name in windows[0]["learner"].values]
        seeds = [name for name in names if name.startswith("network")]
        found: dict[str, Any] = {"network": [math.nan] * 4}
        try:
            scans = [collapse_of(windows, name) for name in seeds]
        except ValueError as error:  # windows too wide, or states too bad: there is still a report
            _LOG.warning("the networks give no critical field: %s", error)
        else:
            found["network"] = []
            for k, quantity in enumerate(("critical_point", "nu")):
                parts = [Estimate(getattr(scan, quantity).mean, scan.statistical[k]) for scan in scans]
                spread = float(np.sqrt(np.mean([scan.window[k] ** 2 for scan in scans])))
                found["network"] += _pair(scaling.join_errors(parts, window=spread).estimate)
        others = [name for name in names if name not in seeds]
        for name in others:
            try:
                scan = collapse_of(windows, name)
            except ValueError:  # what this learner takes for order does not scale: it has no critical field to report
                found[name] = [math.nan] * 4
            else:
                found[name] = [*_pair(scan.critical_point), *_pair(scan.nu)]
        sizes, fields, values, errors = points_of(windows, seeds[0])
        # States may lag behind the field in one direction, so that this part of the error does not average out.
        state = float(windows[-1]["state_error"].mean())  # of those that are known
        for key in ("network", *others):
            found[key][1] = math.hypot(found[key][1], state)
        found["state_error"] = state
        found["points"] = {"size": sizes, "field": fields, "ratio": values, "error": errors}
        found["v_score"] = {str(int(part.attrs["size"])): part["v_score"].values for part in windows}
        return found

    # --- without labels --------------------------------------------------------------------------------------

    def unlabelled(self) -> dict[str, Any]:
        """Where snapshots change cluster, and the W curve of learning by confusion, size by size."""

        def compute() -> dict[str, Any]:
            found: dict[str, Any] = {}
            for size in self.config.sizes:
                X, values, groups = snapshots.as_xy(self.scan(size))
                clusterer = PhaseClusterer(random_state=self._seed(5, size)).fit(X)
                scheme = self.confused(size)
                try:
                    change = _pair(clusterer.transition(X, values, groups))
                except ValueError:  # small lattices may look ordered, or not, all along the scan
                    change = [math.nan, math.nan]
                found[str(size)] = {
                    "clustering": change,
                    "confusion": [scheme.critical_point_, scheme.critical_point_error_],
                    "splits": scheme.splits_,
                    "indicator": [scheme.indicator_, scheme.indicator_error_],
                }
            return found

        return self.folder.step(f"{self.config.lattice}-unlabelled", self.config, compute)
