"""Numbers and figures of `qmlphys.workflows.ising_phases`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from qmlphys import exact, plotting
from qmlphys.report import Row
from qmlphys.stats import Estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from qmlphys.workflows.ising_phases import IsingPhasesConfig

__all__ = ["SUMMARY", "Results", "figures", "rows"]

SUMMARY = (
    "Monte Carlo configurations of the Ising model go in, a critical temperature with an error bar comes out. Networks "
    "saw labelled snapshots from the two far ends of a temperature scan only; clustering saw no labels; learning by "
    "confusion tried all of them. What a learner takes for order is measured on fresh snapshots of several lattice "
    "sizes near the transition, where the ratio of its moments does not depend on the size. Exact values entered "
    "nothing: they stand beside the results for comparison."
)

_SOURCES = {"square": "exact: Onsager 1944", "triangular": "exact: Houtappel 1950"}
_NETWORKS = {"cnn": "CNN", "dense": "dense network"}
_UNIT = "J/k_B"


@dataclass(frozen=True, eq=False)
class Results:
    """Outcomes of the steps, as they lie in the run folder."""

    sizes: tuple[int, ...]
    training_size: int
    outputs: dict[str, Any]
    square: dict[str, Any]
    triangular: dict[str, Any]
    clusters: dict[str, Any]
    confusion: dict[str, Any]
    accuracies: dict[str, Any]


def _number(value: float | None) -> float:
    """Read a number that JSON may have kept as null."""
    return math.nan if value is None else float(value)


def _row(name: str, pair: list[float | None], source: str, *, known: float | None = None, unit: str = _UNIT) -> Row:
    """Return a row from a value and its error."""
    value, error = map(_number, pair)
    return Row(name, value, error if math.isfinite(error) else None, known, unit, source)


def _range(ends: tuple[float, float]) -> str:
    """Say which temperatures of the square lattice were labelled."""
    low, high = (4 * end for end in ends)
    return f"labels from T <= {low + (high - low) / 4:.4g} and T >= {high - (high - low) / 4:.4g}"


def rows(config: IsingPhasesConfig, results: Results) -> list[Row]:
    """List every number of the run.

    Parameters
    ----------
    config : IsingPhasesConfig
        Settings.
    results : Results
        What was found.

    Returns
    -------
    list of Row
        For ``results.json`` and the report.
    """
    square, triangular = (exact.critical_temperature(name) for name in ("square", "triangular"))
    sizes = f"L = {', '.join(map(str, results.sizes))}"
    size = results.training_size
    found = results.square
    table = [
        _row("T_c, square lattice, CNN", found["cnn"][:2], f"collapse of its order parameter's <q^2>^2/<q^4>, {sizes}; "
             f"{config.n_seeds} networks, {_range(config.ends)}; {_SOURCES['square']}", known=square),
        _row("nu, square lattice, CNN", found["cnn"][2:], "same fit; exact: Onsager 1944", known=1.0, unit="1"),
        _row("T_c, control: ends moved down", found["moved down"][:2], f"the same with {_range(config.moved_down)}",
             known=square),
        _row("T_c, control: ends moved up", found["moved up"][:2], f"the same with {_range(config.moved_up)}",
             known=square),
        _row("T_c, square lattice, dense network", found["dense"][:2], f"the same, one network a size, "
             f"{_range(config.ends)}", known=square),
        _row("T_c, square lattice, no labels", found["component"][:2], "the same with the first principal component",
             known=square),
        _row("T_c, square lattice, magnetisation", found["magnetisation"][:2],
             "nothing learned: the known order parameter on the same snapshots", known=square),
        _row("T_c, triangular lattice, CNN", results.triangular["cnn"][:2],
             f"trained on the square lattice alone, {sizes}; {_SOURCES['triangular']}", known=triangular),
        _row("nu, triangular lattice, CNN", results.triangular["cnn"][2:], "same fit", known=1.0, unit="1"),
    ]  # fmt: skip
    for kind, label in _NETWORKS.items():
        for length in results.sizes:
            source = "mean output crosses 1/2, a threshold that its training chose"
            outcome = results.outputs[f"{kind} {length}"]
            table.append(_row(f"transition, {label}, L = {length}", outcome["crossing"], source))
    for place, pair in results.clusters["transition"].items():
        source = "half of the snapshots in the ordered cluster; moves towards T_c as L grows"
        table.append(_row(f"transition, clustering, L = {place}", pair, source))
    confusion = results.confusion
    distance = np.abs(np.subtract(confusion["network"][0], confusion["best"][0])).max()
    table += [
        _row(
            f"transition, confusion, L = {size}", confusion["network maximum"], "maximum of W; one CNN for all splits"
        ),
        _row(f"the same, best possible, L = {size}", confusion["best maximum"], "energy alone, on the same snapshots"),
        Row(f"largest distance of the two W, L = {size}", float(distance), unit="1", source="held-out snapshots"),
    ]
    for place, accuracies in results.accuracies.items():
        for name, pair in accuracies.items():
            table.append(
                _row(f"accuracy, {_NETWORKS.get(name, name)}, L = {place}", pair, "held-out snapshots", unit="1")
            )
    return table


def figures(config: IsingPhasesConfig, results: Results, ds: xr.Dataset) -> dict[str, tuple[Figure, str]]:
    """Draw every picture of the run.

    Parameters
    ----------
    config : IsingPhasesConfig
        Settings.
    results : Results
        What was found.
    ds : xarray.Dataset
        Snapshots of the largest lattice.

    Returns
    -------
    dict of str to (Figure, str)
        Name to figure and caption.
    """
    critical = Estimate(*map(_number, results.square["cnn"][:2]))
    nu = Estimate(*map(_number, results.square["cnn"][2:]))
    transferred = Estimate(*map(_number, results.triangular["cnn"][:2]))
    known = exact.critical_temperature("square")
    outputs = {f"L = {size}": _curve(results.outputs[f"cnn {size}"]) for size in results.sizes}
    low, high = (4 * end for end in config.ends)
    quarter = (high - low) / 4
    points = {key: np.asarray(value, dtype=float) for key, value in results.square["points"].items()}
    ratios = {}
    for size in results.sizes:
        chosen = points["size"] == size
        values = (points[key][chosen] for key in ("temperature", "ratio", "error"))
        ratios[f"L = {size}"] = plotting.curve(*values, name="temperature", units=_UNIT)
    label = r"$\langle q^2\rangle^2 / \langle q^4\rangle$"
    drawn = {
        "snapshots": (
            plotting.snapshot_grid(ds),
            f"Snapshots of the {ds.attrs['lattice']} lattice across the scan.",
        ),
        "network-output": (
            plotting.network_output(
                outputs, critical_point=critical, exact=known, trained_on=[(low, low + quarter), (high - quarter, high)]
            ),
            f"What a convolutional network says, trained at L = {results.training_size} on the shaded ends alone. The "
            f"line is the critical temperature {critical} that follows from the order parameter it learned.",
        ),
        "triangular": (
            plotting.network_output(
                {f"L = {results.training_size}": _curve(results.outputs["triangular"])},
                critical_point=transferred,
                exact=exact.critical_temperature("triangular"),
            ),
            f"The same network on the triangular lattice, which it has never seen. The line is {transferred}, again "
            "from the order parameter that it learned on the square lattice.",
        ),
        "cumulant-crossing": (
            plotting.curves(ratios, y_label=label, critical_point=critical, exact=known),
            "Ratio of the moments of the order parameter that the network learned, near the transition: curves of all "
            "sizes cross at T_c, up to corrections that die off with the size.",
        ),
        "cumulant-collapse": (
            plotting.data_collapse(
                ratios, results.sizes, critical_point=critical.mean, exponent=nu.mean, y_label=label
            ),
            f"The same against (T - T_c) L^(1/nu), with the fitted T_c = {critical} and nu = {nu}: large lattices fall "
            "on one curve. What is left between the sizes is the correction to scaling that the fit allows for.",
        ),
        "principal-components": (
            plotting.plane(
                results.clusters["plane"],
                results.clusters["temperature"],
                explained_variance_ratio=results.clusters["explained"],
            ),
            f"Snapshots at L = {results.training_size} in the plane of their first two principal components, found "
            "without labels. A snapshot and its mirror image count as one, so the first component has no sign.",
        ),
        "confusion": (
            plotting.indicator(
                {
                    "CNN": _indicator(results.confusion, "network"),
                    "best possible": _indicator(results.confusion, "best"),
                },
                exact=known,
            ),
            f"Learning by confusion at L = {results.training_size}: accuracy of one network for all assumed critical "
            "temperatures, beside the best that any learner can reach on the same snapshots, which the energy alone "
            "gives. Its maximum on a finite lattice is not yet T_c.",
        ),
        "accuracies": (
            _accuracies(results),
            "Which side of the critical temperature is a snapshot from? Held-out accuracy of two networks, beside the "
            "best cut in one number and the Bayes limit.",
        ),
        "critical-temperatures": (
            _overview(results),
            "All critical temperatures of this run, as deviations from the exact ones, with one standard error. Those "
            "of the square lattice come from the same snapshots, so they fluctuate together.",
        ),
    }
    return {name: (ax.get_figure(root=True), caption) for name, (ax, caption) in drawn.items()}


def _curve(outcome: dict[str, Any]) -> xr.Dataset:
    return plotting.curve(outcome["parameter"], outcome["mean"], outcome["error"], name="temperature", units=_UNIT)


def _indicator(outcome: dict[str, Any], name: str) -> xr.Dataset:
    return plotting.curve(outcome["splits"], *outcome[name], name="temperature", units=_UNIT)


def _accuracies(results: Results) -> Any:
    """Draw accuracies against lattice size."""
    by_size = [results.accuracies[str(size)] for size in results.sizes]
    names = {"CNN": "cnn", "dense network": "dense"}
    limits = {"Bayes limit": "Bayes limit", "best cut in energy": "cut in energy", "best cut in |m|": "cut in |m|"}
    return plotting.accuracies(
        results.sizes,
        {label: [table[key][0] for table in by_size] for label, key in names.items()},
        errors={label: [table[key][1] for table in by_size] for label, key in names.items()},
        limits={label: [table[key][0] for table in by_size] for label, key in limits.items()},
    )


def _overview(results: Results) -> Any:
    """Draw the critical temperatures under each other, each beside its exact value."""
    kinds = {
        "CNN": "cnn",
        "CNN, ends moved down": "moved down",
        "CNN, ends moved up": "moved up",
        "dense network": "dense",
        "no labels, first component": "component",
        "magnetisation": "magnetisation",
    }
    found = {label: Estimate(*map(_number, results.square[key][:2])) for label, key in kinds.items()}
    known = dict.fromkeys(found, exact.critical_temperature("square"))
    transferred = "CNN on the triangular lattice"
    found[transferred] = Estimate(*map(_number, results.triangular["cnn"][:2]))
    known[transferred] = exact.critical_temperature("triangular")
    return plotting.estimates(found, exact=known)
