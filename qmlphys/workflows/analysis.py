"""One data set, one learner: a critical point with its error, and a picture.

What `qmlphys phases` runs. Each function takes a snapshot Dataset that scans a transition on one lattice. A single
size gives the transition of that size, which on a finite lattice lies off the critical point of the infinite one; the
workflows that join sizes extrapolate.

More than a third of this file is documentation of its three public functions, which share all helpers.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from qmlphys import exact, lattices, plotting, snapshots
from qmlphys.report import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Analysis", "Scan", "clustering", "confusion", "known_critical_point", "scan_of", "supervised"]

_TRANSVERSE = re.compile(r"TransverseIsing\(coupling=(?P<coupling>[-+.\de]{1,40})(?:, field=[-+.\de]{1,40})?\)")
# Pfeuty, Ann. Phys. 57, 79 (1970); arXiv:2005.10066.
_TRANSVERSE_FIELDS = {"chain": 1.0, "square": 3.04433}
_MODEL = re.compile(r"Ising\(coupling=(?P<coupling>[-+.\de]{1,40}), field=(?P<field>[-+.\de]{1,40})\)")


@dataclass(frozen=True, eq=False)
class Analysis:
    """What a learner found in a data set.

    Parameters
    ----------
    title : str
        What was done.
    rows : list of Row
        The numbers.
    figure : matplotlib.figure.Figure
        The picture.
    """

    title: str
    rows: list[Row]
    figure: Figure


@dataclass(frozen=True, eq=False)
class Scan:
    """A data set as rows for a learner, with what is known of its lattice.

    Parameters
    ----------
    X : ndarray of int8, shape (n, n_sites)
        Snapshots.
    parameter : ndarray of float, shape (n,)
        Control parameter of each.
    groups : ndarray of int, shape (n,)
        Independent chain of each.
    lattice : Lattice or None
        None if the data set names none that is known.
    name, units : str
        What the parameter is.
    """

    X: NDArray[np.int8]
    parameter: NDArray[np.float64]
    groups: NDArray[np.int64]
    lattice: lattices.Lattice | None
    name: str
    units: str

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Shape of the lattice; None where it is not known, which the networks take for a ring."""
        return None if self.lattice is None else self.lattice.shape

    @property
    def place(self) -> str:
        """The lattice in words."""
        return f"{self.X.shape[1]} sites" if self.lattice is None else self.lattice.label


def scan_of(ds: xr.Dataset) -> Scan:
    """Lay a data set out for a learner, after checking that it scans something.

    Parameters
    ----------
    ds : xarray.Dataset
        A snapshot Dataset with several values of its parameter.

    Returns
    -------
    Scan
        Its rows.

    Raises
    ------
    ValueError
        If there are fewer than four values of the parameter, or the lattice it names has another number of sites.

    Examples
    --------
    >>> ds = snapshots.dataset(np.ones((4, 2, 1, 9), dtype=np.int8), [1, 2, 3, 4], name="temperature",
    ...                        units="J/k_B", source="montecarlo", model="", lattice="square(3)", seed=0)
    >>> scan_of(ds).shape
    (3, 3)
    """
    X, parameter, groups = snapshots.as_xy(ds)
    n_values = len(np.unique(parameter))
    if n_values < 4:
        raise ValueError(f"The data set must scan at least four values of its parameter, but it has {n_values}.")
    try:
        lattice = lattices.from_label(ds.attrs["lattice"])
    except ValueError:
        lattice = None  # snapshots of a device or another program need no lattice of ours
    if lattice is not None and lattice.n_sites != X.shape[1]:
        raise ValueError(
            f"The data set must have as many sites as its lattice, but {lattice.label} has {lattice.n_sites} and a "
            f"snapshot has {X.shape[1]}."
        )
    attrs = ds["parameter"].attrs
    return Scan(X, parameter, groups, lattice, attrs["name"], attrs["units"])


def known_critical_point(ds: xr.Dataset) -> float | None:
    """Return the critical temperature or field of the infinite lattice where it is known, for comparison only.

    Parameters
    ----------
    ds : xarray.Dataset
        A snapshot Dataset.

    Returns
    -------
    float or None
        For Ising models with J > 0 and no field, scanned in temperature, and those in a transverse field, scanned in
        this field; None otherwise.

    Examples
    --------
    >>> ds = snapshots.dataset([[[[1] * 9]]], [1.0], name="temperature", units="J/k_B", source="montecarlo",
    ...                        model="Ising(coupling=2.0, field=0.0)", lattice="square(3)", seed=0)
    >>> round(known_critical_point(ds), 4)
    4.5384
    """
    transverse = _TRANSVERSE.fullmatch(ds.attrs["model"])
    if transverse is not None and ds["parameter"].attrs["name"] == "field":
        try:
            value = (
                abs(float(transverse["coupling"])) * _TRANSVERSE_FIELDS[lattices.from_label(ds.attrs["lattice"]).name]
            )
        except (KeyError, ValueError):
            return None
        return value if value > 0 else None
    model = _MODEL.fullmatch(ds.attrs["model"])
    if model is None or ds["parameter"].attrs["name"] != "temperature":
        return None
    try:
        coupling, field = float(model["coupling"]), float(model["field"])
        value = coupling * exact.critical_temperature(lattices.from_label(ds.attrs["lattice"]).name)
    except ValueError:
        return None
    return value if coupling > 0 and field == 0 and value > 0 else None


def _comparison(ds: xr.Dataset, scan: Scan) -> list[Row]:
    """Return the row of the known value, if there is one."""
    value = known_critical_point(ds)
    if value is None:
        return []
    return [Row("infinite lattice, for comparison", value, unit=scan.units, source="closed form or literature")]


def supervised(
    ds: xr.Dataset,
    *,
    network: Literal["dense", "cnn"] = "cnn",
    end_fraction: float = 0.25,
    seed: int = 0,
    progress: bool = False,
) -> Analysis:
    """Train a network on the two far ends of the scan and find where its output changes side.

    Half of the chains train, the other half is measured.

    Parameters
    ----------
    ds : xarray.Dataset
        A snapshot Dataset with at least two chains, ordered at its low end.
    network : {"dense", "cnn"}
        Which network.
    end_fraction : float
        Share of the scan at each end that is labelled, in (0, 0.5).
    seed : int
        Seeds the training.
    progress : bool
        Show progress.

    Returns
    -------
    Analysis
        Where the output crosses 1/2; held-out accuracies on the ends, beside the best cut in |m|.

    Raises
    ------
    ValueError
        If the data set does not scan a transition, or has one chain only.

    Examples
    --------
    >>> from qmlphys.hamiltonians import Ising
    >>> from qmlphys.lattices import square
    >>> from qmlphys.montecarlo import sample
    >>> scan = sample(Ising(square(4)), np.linspace(1.0, 4.0, 9), n_chains=16, n_draws=20, rng=1)
    >>> found = supervised(scan, network="dense", seed=1)
    >>> 1.5 < found.rows[0].value < 3.5
    True
    """
    from qmlphys.phases import SupervisedPhaseClassifier, baselines
    from qmlphys.phases.curves import far_ends, mean_curve

    scan = scan_of(ds)
    training = _training_half(ds, seed=seed)
    ends, labels = far_ends(scan.parameter, fraction=end_fraction)
    y = np.full(len(ends), -1)
    y[ends] = labels
    seen, judged = training & ends, ~training & ends
    learner = SupervisedPhaseClassifier(network, shape=scan.shape, random_state=seed, verbose=progress)
    learner.fit(scan.X[seen], y[seen], groups=scan.groups[seen])
    X, parameter, groups = (part[~training] for part in (scan.X, scan.parameter, scan.groups))
    crossing = learner.transition(X, parameter, groups=groups)
    cut = baselines.CutClassifier("magnetization").fit(scan.X[seen], y[seen])
    accuracy = baselines.report(
        {f"{network} network": learner, "best cut in |m|": cut},
        scan.X[judged],
        y[judged],
        groups=scan.groups[judged],
        parameter=scan.parameter[judged],
    )
    rows = [
        Row(
            f"critical {scan.name} on {scan.place}",
            crossing.mean,
            crossing.error,
            unit=scan.units,
            source="output crosses 1/2; moves with the size",
        ),
        *_comparison(ds, scan),
        *(
            Row(f"accuracy on the ends, {key}", value.mean, value.error, source="held-out chains")
            for key, value in accuracy.items()
        ),
    ]
    curve = mean_curve(learner.predict_proba(X)[:, 1], parameter, groups=groups)
    curve["parameter"].attrs.update(name=scan.name, units=scan.units)
    values = scan.parameter[ends]
    low, high = values[labels == 1], values[labels == 0]
    ax = plotting.network_output(
        {scan.place: curve},
        critical_point=crossing,
        exact=known_critical_point(ds),
        trained_on=[(low.min(), low.max()), (high.min(), high.max())],
    )
    return _analysis(f"Supervised: {network} network, labels from both far ends", rows, ax)


def _training_half(ds: xr.Dataset, *, seed: int) -> NDArray[np.bool_]:
    """Return a mask of the rows in half of the chains.

    The half is drawn at random: chains often start with alternating signs, so that every other chain would show the
    network only one of the two signs of the magnetisation.
    """
    n_parameters, n_chains, n_draws, _ = ds["spins"].shape
    if n_chains < 2:
        raise ValueError(
            f"The data set must have at least two chains, one to learn from and one to judge on, but it has {n_chains}."
        )
    chosen = np.random.default_rng(seed).permutation(n_chains) < (n_chains + 1) // 2
    return np.tile(np.repeat(chosen, n_draws), n_parameters)


def clustering(
    ds: xr.Dataset,
    *,
    method: Literal["kmeans", "mixture"] = "kmeans",
    embedding: Literal["pca", "diffusion"] = "pca",
    seed: int = 0,
) -> Analysis:
    """Find two phases without any label, and where most snapshots change from one to the other.

    Parameters
    ----------
    ds : xarray.Dataset
        A snapshot Dataset with at least two chains.
    method : {"kmeans", "mixture"}
        How clusters are found.
    embedding : {"pca", "diffusion"}
        In which coordinates.
    seed : int
        Seeds the clustering.

    Returns
    -------
    Analysis
        The transition and the share of variance of the first component.

    Raises
    ------
    ValueError
        If the scan does not show two phases.

    Examples
    --------
    >>> from qmlphys.hamiltonians import Ising
    >>> from qmlphys.lattices import square
    >>> from qmlphys.montecarlo import sample
    >>> scan = sample(Ising(square(4)), np.linspace(1.0, 8.0, 9), n_chains=16, n_draws=20, rng=1)
    >>> found = clustering(scan, seed=1)
    >>> 1.5 < found.rows[0].value < 5.0
    True
    """
    from qmlphys.phases import PhaseClusterer

    scan = scan_of(ds)
    learner = PhaseClusterer(method=method, embedding=embedding, random_state=seed).fit(scan.X)
    found = learner.transition(scan.X, scan.parameter, scan.groups)
    ratio = learner.explained_variance_ratio_
    rows = [
        Row(
            f"critical {scan.name} on {scan.place}",
            found.mean,
            found.error,
            unit=scan.units,
            source="half of the snapshots ordered; moves with the size",
        ),
        *_comparison(ds, scan),
        Row("variance along the first component", float(ratio[0]), source=embedding),
    ]
    ax = plotting.plane(
        learner.transform(scan.X),
        scan.parameter,
        name=scan.name,
        units=scan.units,
        explained_variance_ratio=[float(share) for share in ratio],
    )
    return _analysis(f"Clustering: {embedding}, {method}, no labels", rows, ax)


def confusion(
    ds: xr.Dataset,
    *,
    network: Literal["dense", "cnn"] = "cnn",
    strategy: Literal["multitask", "per-split"] = "multitask",
    n_splits: int = 100,
    seed: int = 0,
    progress: bool = False,
) -> Analysis:
    """Learn by confusion: try every critical point and take the one that is easiest to learn.

    Parameters
    ----------
    ds : xarray.Dataset
        A snapshot Dataset with at least two chains.
    network : {"dense", "cnn"}
        Which network.
    strategy : {"multitask", "per-split"}
        One network for all splits, or one for each.
    n_splits : int
        Largest number of splits.
    seed : int
        Seeds the training.
    progress : bool
        Show progress.

    Returns
    -------
    Analysis
        The maximum of the W curve, beside that of the best curve possible where the data set has energies.

    Raises
    ------
    ValueError
        If there are too few chains to hold some out.

    Examples
    --------
    >>> from qmlphys.hamiltonians import Ising
    >>> from qmlphys.lattices import square
    >>> from qmlphys.montecarlo import sample
    >>> scan = sample(Ising(square(4)), np.linspace(1.0, 4.0, 9), n_chains=16, n_draws=20, rng=1)
    >>> found = confusion(scan, network="dense", n_splits=4, seed=1)
    >>> 1.5 < found.rows[0].value < 3.5
    True
    """
    from qmlphys.phases import ConfusionScheme
    from qmlphys.phases.confusion import optimal_indicator

    scan = scan_of(ds)
    learner = ConfusionScheme(
        network=network,
        shape=scan.shape,
        strategy=strategy,
        n_splits=n_splits,
        random_state=seed,
        verbose=progress,
    ).fit(scan.X, scan.parameter, groups=scan.groups)
    source = f"{strategy}, {len(learner.splits_)} splits"
    rows = [
        _maximum(
            f"critical {scan.name} on {scan.place}",
            learner.critical_point_,
            learner.critical_point_error_,
            scan,
            source,
        )
    ]
    curves = {f"{network} network": _curve(scan, learner.splits_, learner.indicator_, learner.indicator_error_)}
    if "energy" in ds:
        optimum = optimal_indicator(
            ds["energy"].values.ravel(),
            scan.parameter,
            splits=learner.splits_,
            groups=scan.groups,
            held_out=learner.held_out_,
            rng=seed,
        )
        rows.append(
            _maximum(
                "the same, best possible", optimum.critical_point, optimum.critical_point_error, scan, "energy alone"
            )
        )
        distance = float(np.abs(learner.indicator_ - optimum.indicator).max())
        rows.append(Row("largest distance from the best curve", distance, source="held-out chains"))
        curves["best possible (energy)"] = _curve(scan, optimum.splits, optimum.indicator)
    rows[1:1] = _comparison(ds, scan)
    ax = plotting.indicator(curves, exact=known_critical_point(ds))
    return _analysis(f"Learning by confusion: {network} network, {source}", rows, ax)


def _maximum(name: str, value: float, error: float, scan: Scan, source: str) -> Row:
    """Return the row of a maximum, which may not have been found."""
    return Row(name, value, error if math.isfinite(value) else None, unit=scan.units, source=source)


def _curve(
    scan: Scan, splits: NDArray[np.float64], values: NDArray[np.float64], errors: NDArray[np.float64] | None = None
) -> xr.Dataset:
    """Return a W curve in the form that `plotting` draws."""
    return plotting.curve(splits, values, errors, name=scan.name, units=scan.units)


def _analysis(title: str, rows: list[Row], ax: Any) -> Analysis:
    """Put an outcome together."""
    return Analysis(title, rows, ax.figure)
