"""Generated snapshots beside the originals: energy, magnetisation, correlations, and what a phase classifier says."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import shortest_path

from qmlphys import lattices, snapshots, stats
from qmlphys.bits import integers_to_spins
from qmlphys.hamiltonians import Ising
from qmlphys.snapshots import SnapshotError

__all__ = ["EXACT", "QUANTITIES", "exact_values", "ising_of", "judge"]

QUANTITIES = {"energy": "energy a site", "magnetization": "|M| a site", "correlation": "spin correlations"}
"""What is measured on every source of snapshots, by its name in the Dataset."""

EXACT = "exact"
"""Name of the exact values among the sources."""

_ISING = re.compile(r"Ising\(coupling=(?P<coupling>[-+.\de]{1,40}), field=(?P<field>[-+.\de]{1,40})\)")
_MAX_ENUMERATED = 16
_MAX_TRAINING_ROWS = 4000  # of the classifier: the ends are easily told apart
_ROWS_A_GROUP = 50  # of independent rows: fewer groups make a faster bootstrap, with the same error
_INDEPENDENT = ("device", "generative")  # every row of these is drawn anew


def ising_of(ds: xr.Dataset) -> Ising | None:
    """Return the classical Ising model that a data set names, if it names one.

    Parameters
    ----------
    ds : xarray.Dataset
        Snapshots.

    Returns
    -------
    Ising or None
        The model on the lattice of the data set.
    """
    found = _ISING.fullmatch(ds.attrs["model"])
    if found is None:
        return None
    try:
        model = Ising(_lattice(ds), coupling=float(found["coupling"]), field=float(found["field"]))
    except ValueError:
        return None
    return model


def judge(
    originals: xr.Dataset,
    others: Mapping[str, xr.Dataset],
    *,
    label: str = "originals",
    network: str = "cnn",
    end_fraction: float = 0.25,
    seed: int = 0,
) -> xr.Dataset:
    """Measure generated snapshots and the originals in the same way, and let a classifier of phases look at both.

    The classifier is trained on the originals alone: on half of their chains, with labels from both far ends of the
    scan. The other half of the chains, and all generated rows, are judged.

    Parameters
    ----------
    originals : xarray.Dataset
        Snapshots on a lattice, ordered at the low end of their scan, with at least four chains.
    others : mapping of str to xarray.Dataset
        Label, such as "Aer", to snapshots at the same values of the parameter.
    label : str
        What the originals are called.
    network : {"cnn", "dense"}
        Which classifier.
    end_fraction : float
        Share of the scan's range at each end that is labelled, in (0, 0.5).
    seed : int
        Seeds classifier and split.

    Returns
    -------
    xarray.Dataset
        Over ``source`` (the originals first) and ``parameter``: ``energy`` a site (of classical Ising models only) and
        ``magnetization``, the mean of |M| a site; over ``distance`` too, in bonds, ``correlation``, the mean of
        s_i s_j over all pairs at that distance; ``output``, the mean probability of order, where the scan has at least
        three values. Each has its standard error (``energy_error``, ...) and its deviation from the originals in units
        of both errors together (``energy_deviation``, ...). ``transition`` and ``transition_error``, over ``source``:
        where the output crosses 1/2, nan where it does not.

    Raises
    ------
    ValueError
        If the data sets name no lattice or differ in their sites or values, or the originals have too few chains.

    Notes
    -----
    Errors of the originals come from their chains, with autocorrelation; generated rows are independent. A model
    inherits the fluctuations of the rows that it was trained on, so a deviation of two sigma from the originals is
    even rarer than for independent samples.

    Examples
    --------
    >>> from qmlphys.workflows.sampling import sample_ising
    >>> ds = sample_ising("square", 3, [1.5, 3.0, 4.5], n_chains=16, n_draws=20, seed=1)
    >>> twin = sample_ising("square", 3, [1.5, 3.0, 4.5], n_chains=16, n_draws=20, seed=2)
    >>> found = judge(ds, {"twin": twin})
    >>> bool(abs(found["energy_deviation"].sel(source="twin")).max() < 4)
    True
    """
    lattice = _lattice(originals)
    sources = {label: originals, **others}
    if len(sources) != 1 + len(others):
        raise ValueError(f"Argument `others` must not use the label of the originals, but it holds {label!r}.")
    for name, ds in others.items():
        if ds.sizes["site"] != lattice.n_sites or not np.array_equal(ds["parameter"], originals["parameter"]):
            raise ValueError(
                f"Argument `others` must hold snapshots of {lattice.n_sites} sites at the values of the originals, but "
                f"{name!r} has {ds.sizes['site']} sites at {ds['parameter'].values.tolist()}."
            )
    pairs, distances = _pairs(lattice)
    model = ising_of(originals)
    columns: dict[str, list[Any]] = {}
    for ds in sources.values():
        for key, values in _measured(ds, model, pairs).items():
            columns.setdefault(key, []).append(values)
    outputs, transitions = _outputs(sources, lattice, network=network, end_fraction=end_fraction, seed=seed)
    if outputs:
        columns["output"] = outputs
    variables: dict[str, Any] = {}
    for key, tables in columns.items():
        table = np.array(tables)  # source, parameter, (distance,) mean and error
        mean, error = table[..., 0], table[..., 1]
        dims = ("source", "parameter", "distance")[: mean.ndim]
        both = np.hypot(error, error[:1])
        # Without any scatter, at low temperatures, equal means agree and others do not.
        unscaled = np.where(mean == mean[:1], 0.0, np.inf)
        deviation = np.divide(mean - mean[:1], both, out=unscaled, where=both > 0)
        variables |= {key: (dims, mean), f"{key}_error": (dims, error), f"{key}_deviation": (dims, deviation)}
    if outputs:
        variables |= {
            "transition": ("source", [found[0] for found in transitions]),
            "transition_error": ("source", [found[1] for found in transitions]),
        }
    coordinates = {
        "source": list(sources),
        "parameter": ("parameter", originals["parameter"].values, dict(originals["parameter"].attrs)),
        "distance": distances,
    }
    return xr.Dataset(variables, coordinates, {"lattice": lattice.label, "model": originals.attrs["model"]})


def exact_values(ds: xr.Dataset) -> xr.Dataset | None:
    """Return exact averages of a small Ising model at the temperatures of a data set, by enumeration.

    Parameters
    ----------
    ds : xarray.Dataset
        Snapshots.

    Returns
    -------
    xarray.Dataset or None
        ``energy``, ``magnetization`` over ``parameter`` and ``correlation`` over ``distance`` too, as in `judge`; None
        for other models, other parameters, and more than 16 sites.

    Examples
    --------
    >>> from qmlphys.hamiltonians import Ising
    >>> from qmlphys.lattices import square
    >>> from qmlphys.montecarlo import sample
    >>> scan = sample(Ising(square(3)), [1.0, 5.0], n_chains=4, n_draws=5, rng=1)
    >>> exact_values(scan)["energy"].values.round(3)
    array([...])
    """
    model = ising_of(ds)
    if model is None or ds["parameter"].attrs["name"] != "temperature" or model.lattice.n_sites > _MAX_ENUMERATED:
        return None
    n_sites = model.lattice.n_sites
    states = integers_to_spins(np.arange(2**n_sites), n_sites)
    energies = model.energy(states)
    pairs, distances = _pairs(model.lattice)
    rows = {
        "energy": energies / n_sites,
        "magnetization": np.abs(states.mean(axis=1)),
        "correlation": _correlations(states, pairs),
    }
    found: dict[str, list[Any]] = {key: [] for key in rows}
    for temperature in ds["parameter"].values:
        weights = np.exp(-(energies - energies.min()) / temperature)
        weights /= weights.sum()
        for key, values in rows.items():
            found[key].append(weights @ values)
    dims = ("parameter", "distance")
    return xr.Dataset(
        {key: (dims[: np.ndim(values)], np.array(values)) for key, values in found.items()},
        {"parameter": ds["parameter"], "distance": distances},
    )


def _lattice(ds: xr.Dataset) -> lattices.Lattice:
    """Return the lattice of a data set, which must fit its rows."""
    try:
        lattice = lattices.from_label(ds.attrs["lattice"])
    except ValueError:
        raise SnapshotError(
            f"The snapshots must lie on a lattice such as 'square(4)', but theirs is {ds.attrs['lattice']!r}."
        ) from None
    if lattice.n_sites != ds.sizes["site"]:
        raise SnapshotError(
            f"The snapshots must have the {lattice.n_sites} sites of {lattice.label}, but they have {ds.sizes['site']}."
        )
    return lattice


def _pairs(lattice: lattices.Lattice) -> tuple[list[NDArray[np.int64]], NDArray[np.float64]]:
    """Return the pairs of sites by their distance in bonds, which every lattice and boundary has."""
    edges = lattice.edges
    n = lattice.n_sites
    graph = csr_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(n, n))
    steps = shortest_path(graph, directed=False, unweighted=True)
    distances = np.unique(steps[np.isfinite(steps) & (steps > 0)])
    return [np.argwhere(np.triu(steps == distance)) for distance in distances], distances


def _correlations(rows: NDArray[np.int8], pairs: list[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Return, for each row, the mean of s_i s_j over the pairs of each distance, shape (..., n_distances)."""
    columns = [(rows[..., which[:, 0]] * rows[..., which[:, 1]]).mean(axis=-1, dtype=np.float64) for which in pairs]
    return np.stack(columns, axis=-1)


def _measured(ds: xr.Dataset, model: Ising | None, pairs: list[NDArray[np.int64]]) -> dict[str, Any]:
    """Return mean and error of every quantity at every value of the parameter."""
    independent = ds.attrs["source"] in _INDEPENDENT
    found: dict[str, list[Any]] = {}
    for spins in ds["spins"].values:  # chain, draw, site
        values = {"magnetization": np.abs(spins.mean(axis=-1))}
        if model is not None:
            values["energy"] = model.energy(spins) / spins.shape[-1]
        for key, series in values.items():
            found.setdefault(key, []).append(_estimate(series, independent=independent))
        table = _correlations(spins, pairs)
        column = [_estimate(table[..., k], independent=independent) for k in range(table.shape[-1])]
        found.setdefault("correlation", []).append(column)
    return found


def _estimate(series: NDArray[np.float64], *, independent: bool) -> tuple[float, float]:
    """Return mean and standard error of a quantity measured over (chain, draw)."""
    if independent:
        rows = series.ravel()
        return float(rows.mean()), float(rows.std(ddof=1) / math.sqrt(rows.size)) if rows.size > 1 else math.nan
    found = stats.estimate(series)
    return found.mean, found.error


def _outputs(
    sources: Mapping[str, xr.Dataset], lattice: lattices.Lattice, *, network: str, end_fraction: float, seed: int
) -> tuple[list[list[tuple[float, float]]], list[tuple[float, float]]]:
    """Return the mean output of a classifier of the originals along the scan, and its crossing, for each source."""
    originals = next(iter(sources.values()))
    if originals.sizes["parameter"] < 3:
        return [], []  # two ends and nothing between them: no scan that a classifier could judge
    from qmlphys.phases import SupervisedPhaseClassifier
    from qmlphys.phases.curves import far_ends, mean_curve

    n_parameters, n_chains, n_draws, _ = originals["spins"].shape
    if n_chains < 4:
        raise ValueError(
            f"Argument `originals` must have at least four chains, two to learn from and two to judge, but it has "
            f"{n_chains}."
        )
    # Drawn at random: chains often start with alternating signs.
    chosen = np.random.default_rng(seed).permutation(n_chains) < n_chains // 2
    seen = np.tile(np.repeat(chosen, n_draws), n_parameters)
    X, parameter, groups = snapshots.as_xy(originals)
    ends, labels = far_ends(parameter, fraction=end_fraction)
    y = np.full(len(ends), -1)
    y[ends] = labels
    training = np.flatnonzero(seen & ends)
    # Evenly over ends, chains and draws.
    training = training[np.linspace(0, len(training) - 1, min(len(training), _MAX_TRAINING_ROWS)).astype(int)]
    classifier = SupervisedPhaseClassifier(
        "dense" if network == "dense" else "cnn", shape=lattice.shape, max_epochs=10, random_state=seed
    ).fit(X[training], y[training], groups=groups[training])
    outputs, transitions = [], []
    for place, ds in enumerate(sources.values()):
        X, parameter, groups = snapshots.as_xy(ds)
        if place == 0:
            X, parameter, groups = X[~seen], parameter[~seen], groups[~seen]
        elif ds.attrs["source"] in _INDEPENDENT:
            groups = np.arange(len(X)) // _ROWS_A_GROUP
        curve = mean_curve(classifier.predict_proba(X)[:, 1], parameter, groups=groups)
        order = np.argsort(np.argsort(originals["parameter"].values))  # the curve runs upwards
        outputs.append([(float(curve["mean"][k]), float(curve["error"][k])) for k in order])
        try:
            crossing = classifier.transition(X, parameter, groups=groups)
        except ValueError:
            transitions.append((math.nan, math.nan))  # this source shows one phase only
        else:
            transitions.append((crossing.mean, crossing.error))
    return outputs, transitions
