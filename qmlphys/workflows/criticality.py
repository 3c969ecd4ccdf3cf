"""Critical temperature and exponent nu from a network that saw only the two far ends of a temperature scan.

The order parameter that the network learned (`SupervisedPhaseClassifier.order_parameter`) is measured on fresh
snapshots near the transition, on several lattice sizes. Its cumulant ratio R = <q^2>^2 / <q^4> does not depend on the
size at the critical temperature (Binder, Z. Phys. B 43, 119, 1981), so a data collapse of R(T, L) gives T_c and nu. No
exact critical value enters: the ends of the scan follow from the mean-field bound T_c < z J, and each window from the
step before it.

One file, because its steps hand a dozen values to each other and are read in their order; a third of it documents them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from math import ceil
from os import PathLike
from typing import Any

import numba
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from qmlphys import lattices, scaling, snapshots
from qmlphys.hamiltonians import Ising
from qmlphys.montecarlo import Simulation, sample
from qmlphys.phases import SupervisedPhaseClassifier, far_ends
from qmlphys.scaling import WindowScan
from qmlphys.stats import Estimate
from qmlphys.workflows._criticality_output import figures, rows
from qmlphys.workflows.runs import RunFolder

__all__ = [
    "MAGNETIZATION",
    "Criticality",
    "CriticalityConfig",
    "analyse",
    "collapse",
    "figures",
    "locate",
    "measure",
    "rows",
    "run",
    "scan",
    "train",
]

MAGNETIZATION = "magnetization"
"""Name of the known order parameter, which is measured beside the learned ones."""

_BATCH_BYTES = 2**27  # of spins at a time


@dataclass(frozen=True)
class CriticalityConfig:
    """Settings of a run; equal settings give the same bits.

    Parameters
    ----------
    lattice : str
        The lattice whose transition is sought: "square", "triangular", "honeycomb", ...
    training_lattice : str
        The lattice that the network is trained on.
    sizes : tuple of int
        Linear sizes of the collapse, at least two.
    training_size : int
        Linear size of the training snapshots.
    n_seeds : int
        Networks, each with its own training snapshots and its own start.
    ends : tuple of float
        Lowest and highest temperature of the scan, in units of z J (J the coupling, z the number of neighbours).
    end_fraction : float
        Fraction of the scan at each end that gets a label.
    n_scan, n_scan_draws : int
        Temperatures in the scan, and draws from each chain at each of them.
    n_temperatures : int
        Temperatures in the window of each size.
    half_width : float
        Half of the window: |T / T_0 - 1| L at its ends, with T_0 from `locate`.
    n_chains : int
        Chains a temperature.
    n_draws : tuple of int
        Draws from each chain in a chunk, one number a size.
    n_chunks : tuple of int
        Independent runs a size, each saved when done; one number a size.
    seed : int
        Where all randomness starts.

    Examples
    --------
    >>> quick = CriticalityConfig(sizes=(8, 12), training_size=8, n_draws=(150, 150), n_chunks=(1, 1))
    >>> quick.sizes, quick.n_seeds
    ((8, 12), 4)
    """

    lattice: str = "square"
    training_lattice: str = "square"
    sizes: tuple[int, ...] = (16, 32, 64, 128)
    training_size: int = 16
    n_seeds: int = 4
    ends: tuple[float, float] = (0.25, 1.0)
    end_fraction: float = 0.25
    n_scan: int = 25
    n_scan_draws: int = 40
    n_temperatures: int = 7
    half_width: float = 0.5
    n_chains: int = 64
    n_draws: tuple[int, ...] = (2000, 1000, 400, 250)
    n_chunks: tuple[int, ...] = (1, 1, 4, 4)
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("sizes", "n_draws", "n_chunks", "ends"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(set(self.sizes)) < 2 or list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError(f"Argument `sizes` must hold at least two growing sizes, but it is {self.sizes}.")
        for name in ("n_draws", "n_chunks"):
            if len(getattr(self, name)) != len(self.sizes) or min(getattr(self, name)) < 1:
                raise ValueError(
                    f"Argument `{name}` must hold a positive number for each of the {len(self.sizes)} sizes, "
                    f"but it is {getattr(self, name)}."
                )
        if not 0 < self.ends[0] < self.ends[1]:
            raise ValueError(f"Argument `ends` must be two growing positive numbers, but it is {self.ends}.")
        if not 0 < self.half_width * 2 < min(self.sizes):
            raise ValueError(f"Argument `half_width` must be positive and below L / 2, but it is {self.half_width}.")
        for name in ("n_seeds", "n_scan", "n_scan_draws", "n_temperatures", "n_chains"):
            least = 1 if name in ("n_seeds", "n_scan_draws") else 3
            if getattr(self, name) < least:
                raise ValueError(f"Argument `{name}` must be at least {least}, but it is {getattr(self, name)}.")


@dataclass(frozen=True, eq=False)
class Criticality:
    """What a run found.

    Attributes
    ----------
    critical_point, nu : Estimate
        Joined over chains, training seeds and fit windows.
    start : Estimate
        Where the window of the collapse was put, from two small sizes.
    scans : dict of str to WindowScan
        The fits of each learner; "magnetization" is the known order parameter on the same snapshots, for comparison.
    cumulants : xarray.Dataset
        Variables "ratio" and "error" over (learner, point), with coordinates "size" and "temperature".
    """

    critical_point: Estimate
    nu: Estimate
    start: Estimate
    scans: dict[str, WindowScan]
    cumulants: xr.Dataset


def _lattice(name: str, size: int) -> lattices.Lattice:
    return lattices.from_label(f"{name}({size})")


def _seed(config: CriticalityConfig, *path: int) -> int:
    """Random seeds by purpose, so that each step can be repeated alone."""
    return int(np.random.SeedSequence(config.seed, spawn_key=path).generate_state(1, np.uint64)[0] >> np.uint64(1))


def scan(config: CriticalityConfig, index: int, *, lattice: str | None = None, progress: bool = False) -> xr.Dataset:
    """Sample the whole range of temperatures at the training size.

    Parameters
    ----------
    config : CriticalityConfig
        Settings.
    index : int
        Which training seed.
    lattice : str, optional
        Another lattice than the one that is trained on.
    progress : bool
        Show progress.

    Returns
    -------
    xarray.Dataset
        Snapshots at `n_scan` temperatures.
    """
    where = _lattice(lattice or config.training_lattice, config.training_size)
    scale = where.neighbours.shape[1]
    temperatures = np.linspace(config.ends[0] * scale, config.ends[1] * scale, config.n_scan)
    return sample(
        Ising(where), temperatures, n_draws=config.n_scan_draws, rng=_seed(config, 0, index), progress=progress
    )


def train(config: CriticalityConfig, index: int, *, progress: bool = False) -> SupervisedPhaseClassifier:
    """Train one network on the two far ends of its own scan.

    Parameters
    ----------
    config : CriticalityConfig
        Settings.
    index : int
        Which training seed.
    progress : bool
        Show progress.

    Returns
    -------
    SupervisedPhaseClassifier
        Fitted; a convolutional net, so that it applies to every size.
    """
    ds = scan(config, index, progress=progress)
    X, temperature, groups = snapshots.as_xy(ds)
    ends, y = far_ends(temperature, fraction=config.end_fraction)
    classifier = SupervisedPhaseClassifier(
        network="cnn",
        shape=lattices.from_label(ds.attrs["lattice"]).shape,
        random_state=_seed(config, 1, index) % 2**32,
    )
    return classifier.fit(X[ends], y, groups=groups[ends])


def _draws(simulation: Simulation, n_draws: int, n_skip: int | None, progress: bool) -> Iterator[xr.Dataset]:
    """Draw in batches that fit into memory."""
    n_sites = simulation.model.lattice.n_sites
    batch = max(1, _BATCH_BYTES // (simulation.temperatures.size * simulation.n_chains * n_sites))
    while n_draws > 0:
        yield simulation.draw(min(batch, n_draws), n_skip=n_skip, progress=progress)
        n_draws -= batch


def measure(
    classifiers: Sequence[SupervisedPhaseClassifier],
    simulation: Simulation,
    *,
    n_draws: int,
    progress: bool = False,
) -> xr.Dataset:
    """Measure moments of the learned order parameters and of the magnetisation on one set of snapshots.

    Parameters
    ----------
    classifiers : sequence of SupervisedPhaseClassifier
        Fitted convolutional classifiers, of any size.
    simulation : Simulation
        Chains to draw from; thermalised here if they are not.
    n_draws : int
        Draws from each chain, one measured autocorrelation time apart.
    progress : bool
        Show progress.

    Returns
    -------
    xarray.Dataset
        "second" and "fourth", the moments <q^2> and <q^4> of each chain, over (learner, parameter, chain); attributes
        "size" and "lattice".
    """
    lattice = simulation.model.lattice
    if not simulation.n_thermalize.any():
        simulation.thermalize(progress=progress)
    n_skip = max(1, ceil(simulation.autocorrelation_times.max()))
    resized = [classifier.resized(lattice.shape) for classifier in classifiers]
    names = [*(f"network {k}" for k in range(len(classifiers))), MAGNETIZATION]
    sums = np.zeros((2, len(names), simulation.temperatures.size, simulation.n_chains))
    for ds in _draws(simulation, n_draws, n_skip, progress):
        X = snapshots.as_xy(ds)[0]
        shape = ds["magnetization"].shape
        with ThreadPoolExecutor(numba.get_num_threads()) as pool:  # pattern counting lets go of the global lock
            learned = [
                q.reshape(shape) for q in pool.map(lambda classifier, X=X: classifier.order_parameter(X), resized)
            ]
        for k, q in enumerate([*learned, ds["magnetization"].values]):
            square = q**2
            sums[0, k] += square.sum(axis=-1)
            sums[1, k] += (square**2).sum(axis=-1)
    dims = ("learner", "parameter", "chain")
    return xr.Dataset(
        {"second": (dims, sums[0] / n_draws), "fourth": (dims, sums[1] / n_draws)},
        {"learner": names, "parameter": simulation.temperatures},
        {"size": lattice.size, "lattice": lattice.label, "n_draws": n_draws, "n_skip": n_skip},
    )


def _ratio(moments: xr.Dataset, learner: str) -> scaling.Cumulant:
    chosen = moments.sel(learner=learner)
    return scaling.cumulant_from_moments(chosen["second"].values, chosen["fourth"].values)


def locate(
    config: CriticalityConfig, classifiers: Sequence[SupervisedPhaseClassifier], *, progress: bool = False
) -> Estimate:
    """Find the transition roughly: where the mean output is 1/2, then where two small sizes cross.

    Parameters
    ----------
    config : CriticalityConfig
        Settings.
    classifiers : sequence of SupervisedPhaseClassifier
        Fitted classifiers; the first is used.
    progress : bool
        Show progress.

    Returns
    -------
    Estimate
        Centre of the windows of the collapse.
    """
    ds = scan(config, config.n_seeds, lattice=config.lattice, progress=progress)
    X, temperature, groups = snapshots.as_xy(ds)
    shape = lattices.from_label(ds.attrs["lattice"]).shape
    centre = classifiers[0].resized(shape).transition(X, temperature, groups=groups).mean

    def cross(step: int, width: float) -> Estimate:
        curves = []
        temperatures = centre * np.linspace(1 - width, 1 + width, 13)
        for k, size in enumerate((config.training_size, 2 * config.training_size)):
            model = Ising(_lattice(config.lattice, size))
            simulation = Simulation(model, temperatures, n_chains=config.n_chains, rng=_seed(config, 2, step, k))
            curves.append(_ratio(measure(classifiers[:1], simulation, n_draws=60, progress=progress), "network 0"))
        return scaling.pair_crossing(
            temperatures,
            curves[0].values,
            curves[1].values,
            first_errors=curves[0].errors,
            second_errors=curves[1].errors,
            rng=_seed(config, 3, step),
        )

    try:
        centre = cross(0, 0.15).mean
    except ValueError:  # the output's threshold is wherever training put it, which may be farther away than that
        centre = cross(0, 0.35).mean
    return cross(1, 0.04)


def collapse(moments: Sequence[xr.Dataset], *, learner: str) -> WindowScan:
    """Fit the data collapse of one learner's cumulant ratio over many fit windows.

    Parameters
    ----------
    moments : sequence of xarray.Dataset
        From `measure`; several of one size are independent chunks.
    learner : str
        "network 0", ..., or "magnetization".

    Returns
    -------
    WindowScan
        T_c and nu with statistical and window errors.
    """
    sizes, temperatures, values, errors, replicas = _points(moments, learner)
    return scaling.window_scan(sizes, temperatures, values, errors, replicas=replicas)


def _points(moments: Sequence[xr.Dataset], learner: str) -> tuple[NDArray[np.float64], ...]:
    """Cumulant ratios of all sizes and temperatures; chunks of one size are joined chain by chain."""
    rows = []
    for size in sorted({int(m.attrs["size"]) for m in moments}):
        chunks = [m for m in moments if int(m.attrs["size"]) == size]
        joined = sum(m[["second", "fourth"]] for m in chunks[1:]) + chunks[0] if len(chunks) > 1 else chunks[0]
        ratio = _ratio(joined / len(chunks), learner)
        rows.append((np.full(ratio.values.size, float(size)), joined["parameter"].values, ratio))
    return (
        np.concatenate([row[0] for row in rows]),
        np.concatenate([row[1] for row in rows]),
        np.concatenate([row[2].values for row in rows]),
        np.concatenate([row[2].errors for row in rows]),
        np.concatenate([row[2].replicas for row in rows]),
    )


def _cumulants(moments: Sequence[xr.Dataset]) -> xr.Dataset:
    learners = [str(name) for name in moments[0]["learner"].values]
    points = [_points(moments, learner) for learner in learners]
    return xr.Dataset(
        {
            "ratio": (("learner", "point"), np.array([p[2] for p in points])),
            "error": (("learner", "point"), np.array([p[3] for p in points])),
        },
        {"learner": learners, "size": ("point", points[0][0]), "temperature": ("point", points[0][1])},
    )


def analyse(moments: Sequence[xr.Dataset], start: Estimate) -> Criticality:
    """Turn measured moments into T_c and nu.

    Parameters
    ----------
    moments : sequence of xarray.Dataset
        From `measure`, all sizes and chunks.
    start : Estimate
        From `locate`; kept in the result.

    Returns
    -------
    Criticality
        Errors join chains, training seeds (where there are several) and fit windows.
    """
    learners = [str(name) for name in moments[0]["learner"].values]
    scans = {learner: collapse(moments, learner=learner) for learner in learners}
    networks = [scans[name] for name in learners if name != MAGNETIZATION]
    joined = []
    for k, get in enumerate((lambda scan: scan.critical_point, lambda scan: scan.nu)):
        if len(networks) == 1:
            joined.append(get(networks[0]))
            continue
        statistical = [Estimate(get(scan).mean, scan.statistical[k]) for scan in networks]
        window = float(np.sqrt(np.mean([scan.window[k] ** 2 for scan in networks])))
        joined.append(scaling.join_errors(statistical, window=window).estimate)
    return Criticality(joined[0], joined[1], start, scans, _cumulants(moments))


def run(
    config: CriticalityConfig | None = None,
    *,
    out: str | PathLike[str] | None = None,
    progress: bool = False,
) -> Criticality:
    """Train, locate the transition, measure on all sizes and fit.

    Parameters
    ----------
    config : CriticalityConfig, optional
        Settings; the default is the long run of `make criticality`.
    out : path-like, optional
        Run folder. What is finished in it is taken up again, so that a run which was stopped or killed goes on;
        figures, `results.json` and `report.html` are written there. Without it nothing is kept.
    progress : bool
        Show progress.

    Returns
    -------
    Criticality
        T_c and nu with honest errors.
    """
    config = config or CriticalityConfig()
    folder = None if out is None else RunFolder(out, workflow="criticality")

    def step(name: str, settings: Mapping[str, Any], compute: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        return compute() if folder is None else folder.step(name, settings, compute)

    @cache  # trained only if a step is missing; the same seeds give the same networks
    def classifiers() -> list[SupervisedPhaseClassifier]:
        return [train(config, k, progress=progress) for k in range(config.n_seeds)]

    training = {
        key: value
        for key, value in asdict(config).items()
        if key not in ("sizes", "n_draws", "n_chunks", "n_temperatures", "half_width")
    }
    found = step("locate", training, lambda: asdict(locate(config, classifiers(), progress=progress)))
    start = Estimate(found["mean"], found["error"])
    moments = []
    for k, size in enumerate(config.sizes):
        window = 1 + config.half_width / size * np.linspace(-1, 1, config.n_temperatures)
        for chunk in range(config.n_chunks[k]):
            settings = {
                **training,
                "centre": start.mean,
                "half_width": config.half_width,
                "n_temperatures": config.n_temperatures,
                "n_draws": config.n_draws[k],
            }

            def compute(size: int = size, k: int = k, chunk: int = chunk, window: Any = window) -> Mapping[str, Any]:
                simulation = Simulation(
                    Ising(_lattice(config.lattice, size)),
                    start.mean * window,
                    n_chains=config.n_chains,
                    rng=_seed(config, 4, size, chunk),
                )
                return measure(classifiers(), simulation, n_draws=config.n_draws[k], progress=progress).to_dict()

            moments.append(xr.Dataset.from_dict(dict(step(f"size-{size}-chunk-{chunk}", settings, compute))))
    result = analyse(moments, start)
    if folder is not None:
        _write(folder, config, result)
    return result


def _write(folder: RunFolder, config: CriticalityConfig, result: Criticality) -> None:
    drawn = figures(config, result)
    folder.write_settings(
        config,
        title=f"Critical point of the Ising model on the {config.lattice} lattice",
        summary="A convolutional network saw snapshots from the two far ends of a temperature scan only. The order "
        "parameter that it learned is measured on fresh snapshots near the transition.",
        figures=[(name, caption) for name, (_, caption) in drawn.items()],
    )
    for name, (figure, _) in drawn.items():
        folder.save_figure(name, figure)
    folder.write_results(rows(config, result))
    folder.write_report()
