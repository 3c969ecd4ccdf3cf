"""Numbers and figures of `qmlphys.workflows.entanglement_scaling`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import xarray as xr

from qmlphys import entanglement, plotting
from qmlphys.plotting._entanglement import entropy_curves, growth_laws, parameter_counts
from qmlphys.report import Row
from qmlphys.workflows._entanglement_config import BatteryConfig
from qmlphys.workflows._entanglement_measure import at_block, fit_at, laws_of
from qmlphys.workflows._entanglement_states import CONTROL, LABELS
from qmlphys.workflows.runs import Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "curve_of",
    "exact_panel",
    "figure_of",
    "growth_panel",
    "growth_rows",
    "page_curve",
    "single_panel",
    "wide_panel",
]

Curve = tuple[Any, Any, Any]
PAPER = "arXiv:2510.11797"


def figure_of(ax: Axes) -> Figure:
    """Return the figure that axes belong to."""
    return cast("Figure", ax.get_figure(root=True))


def curve_of(table: xr.Dataset) -> Curve:
    """Return block lengths, means and errors of a table of one size."""
    part = table.isel(size=0)
    return part["length"].values, part["mean"].values, part["error"].values


def page_curve(table: xr.Dataset) -> tuple[Any, Any]:
    """Return block lengths and Page's values of a table of one size."""
    part = table.isel(size=0)
    return part["length"].values, part["page"].values


def _at_end(table: xr.Dataset) -> tuple[int, int, float, float, float]:
    """Return size, longest block, entropy there, its error and Page's value."""
    part = table.isel(size=0, length=-1)
    return int(part["size"]), int(part["length"]), float(part["mean"]), float(part["error"]), float(part["page"])


def _samples(config: Any) -> str:
    return f"{config.n_seeds} states, {config.n_windows} cyclic windows each"


def _end_rows(config: Any, tables: Mapping[str, xr.Dataset], labels: Mapping[str, str]) -> list[Row]:
    rows = []
    for name, table in tables.items():
        n, length, mean, error, page = _at_end(table)
        text = f"n = {n}, {_samples(config)}; random states have {page:.4f} (Page)"
        rows.append(Row(f"entropy of {length} sites, {labels[name]}", mean, error, None, "nats", text))
    return rows


def single_panel(config: BatteryConfig, tables: Mapping[str, xr.Dataset]) -> Panel:
    """Show the entropies of states of one nonlinearity."""
    figures: dict[str, tuple[Figure, str]] = {}
    for suffix, a in (("", "1"), ("-i", "i")):
        chosen = {name: table for name, table in tables.items() if name.endswith("-i") == bool(suffix)}
        ax = entropy_curves(
            {name.removesuffix("-i"): curve_of(table) for name, table in chosen.items()},
            references={"Page": page_curve(next(iter(chosen.values())))},
            title=f"ψ = exp({'i ' if suffix else ''}φ(w·s + b))",
        )
        caption = (
            f"Entropy of |A| neighbouring sites of n = {config.n_sites} for one nonlinearity of a random linear form, "
            f"a = {a}; {_samples(config)}. It stays far below that of random states."
            + ("" if suffix else " With gelu and relu, which are not bounded, one configuration outweighs all others.")
        )
        figures[f"entanglement-single{suffix}"] = (figure_of(ax), caption)
    summary = f"States psi = exp(a phi(w.s + b)) with w, b ~ N(0, 1): a single affine feature ({PAPER})."
    return Panel("One nonlinearity", summary, _end_rows(config, tables, LABELS), figures)


def growth_rows(name: str, words: str, found: entanglement.GrowthFit | None, sizes: Sequence[int]) -> list[Row]:
    """List slope and verdict of the growth of a kind of states; nothing where there are too few sizes."""
    label = f"{LABELS[name]}, {words}"
    if found is None:
        return []
    text = f"{found.verdict}; n = {', '.join(map(str, sizes))}; {found.sentence}"
    log, volume = found.weights["logarithmic"], found.weights["volume"]
    control = name == CONTROL and words.startswith("half")
    weight = Row(
        f"weight of ln n against n, {label}",
        log / (log + volume) if log + volume > 0 else math.nan,
        exact=0.0 if control else None,
        source=f"Akaike weights {_weights(found)}",
    )
    rows = [Row(f"slope of S against ln n, {label}", found.slope, found.slope_error, None, "nats", text), weight]
    if control:
        source = f"1 if p is below 0.001; it is {found.fits['logarithmic'].p_value:.2g}"
        rows.append(Row(f"logarithm rejected, {label}", float(found.rejects_logarithm), None, 1.0, "", source))
    return rows


def _weights(found: entanglement.GrowthFit) -> str:
    return ", ".join(f"{law} {weight:.2g}" for law, weight in found.weights.items())


def growth_panel(
    config: BatteryConfig,
    networks: Mapping[str, xr.Dataset],
    growth: Mapping[str, xr.Dataset],
    nonlinearities: Mapping[str, list[dict[str, Any]]],
    features: Mapping[str, dict[str, Any]],
) -> Panel:
    """Show entropies of networks, their growth with n, and with the number of nonlinearities."""
    rows = _end_rows(config, networks, LABELS)
    figures: dict[str, tuple[Figure, str]] = {}
    many = f"{config.n_growth_seeds} states of each size, {config.n_seeds} transformers"
    references = {}
    for table in networks.values():
        references[f"Page, n = {int(table['size'][0])}"] = page_curve(table)
    curves = {f"{LABELS[name]}, n = {int(table['size'][0])}": curve_of(table) for name, table in networks.items()}
    figures["entanglement-networks"] = (
        figure_of(entropy_curves(curves, references=references, title="random networks")),
        f"Entropy of |A| neighbouring sites of random networks; {_samples(config)}. The transformer's embedding has as "
        "many affine features as sites, so that the bound says nothing of it.",
    )
    for words, block, key in (
        ("half of the sites", 0.5, "half"),
        (f"|A| = {config.fixed_length}", config.fixed_length, "fixed"),
    ):
        fits = {name: (at_block(table, block)) for name, table in growth.items()}
        drawn: dict[str, Curve] = {LABELS[name]: points for name, points in fits.items() if name != CONTROL}
        sizes = list(config.sizes)
        lengths = [n // 2 if key == "half" else config.fixed_length for n in sizes]
        page = [entanglement.page_entropy(length, n) for length, n in zip(lengths, sizes, strict=True)]
        ax = entropy_curves(
            drawn,
            references={"Page": (sizes, page)},
            x_label="number of sites $n$ (logarithmic)",
            log_x=True,
            title=words,
        )
        if key == "half":  # what random states have leaves the picture, so that networks can be seen
            ax.set_ylim(0.0, max(1.3 * max(max(means) for _, means, _ in drawn.values()), 1.1 * page[1]))
        figures[f"entanglement-growth-{key}"] = (
            figure_of(ax),
            f"Entropy of {words} against the number of sites: a straight line is a logarithm; {many}.",
        )
        for name, (at, means, errors) in fits.items():
            rows += growth_rows(name, words, fit_at(at, means, errors), at)
    _, panels = plotting.figure(1, 2, width=4.9, height=2.9)
    for name, ax in zip(("tanh", CONTROL), panels, strict=True):
        at, means, errors = at_block(growth[name], 0.5)
        found = fit_at(at, means, errors)
        verdict = "" if found is None else found.verdict
        growth_laws(
            at, means, errors, laws={} if found is None else laws_of(found), verdict=verdict,
            title=f"{LABELS[name]}: {verdict}", ax=ax,
        )  # fmt: skip
    figures["entanglement-laws"] = (
        figure_of(panels[0]),
        "The same fits of a network and of the control, whose volume law they must not take for a logarithm.",
    )
    rows += _feature_rows(features)
    figures["entanglement-nonlinearities"] = (figure_of(_k_axes(config, nonlinearities)), (
        "Entropy against k, the number of nonlinearities as it is counted; the bound says nothing where the affine "
        "features are as many as the sites."
    ))  # fmt: skip
    for kind, entries in nonlinearities.items():
        last = entries[-1]
        label = f"entropy of {last['length']} sites, {_kind(kind)}"
        rows.append(
            Row(f"{label}, k = {last['n_nonlinearities']}", last["mean"], last["error"], None, "nats", _samples(config))
        )
    summary = (
        "k nonlinearities leave at most k + 1 affine features mu, and S <= c mu ln n for analytic, bounded networks of "
        f"any depth ({PAPER}). Slopes are fitted over the sizes shown; a verdict holds for these."
    )
    return Panel("Networks: growth with the number of sites and of nonlinearities", summary, rows, figures)


def _kind(kind: str) -> str:
    if kind.startswith("mlp-"):
        return f"MLP of depth 2, {kind.removeprefix('mlp-')}"
    return f"exp(i sum of {kind.removesuffix('-i')})" if kind.endswith("-i") else f"exp(sum of {kind})"


def _k_axes(config: BatteryConfig, nonlinearities: Mapping[str, list[dict[str, Any]]]) -> Axes:
    curves: dict[str, Curve] = {}
    for kind, entries in nonlinearities.items():
        columns = [[entry[key] for entry in entries] for key in ("n_nonlinearities", "mean", "error")]
        curves[_kind(kind)] = (columns[0], columns[1], columns[2])
    first = next(iter(nonlinearities.values()))
    page = entanglement.page_entropy(first[0]["length"], config.n_sites)
    every = [entry["n_nonlinearities"] for entries in nonlinearities.values() for entry in entries]
    ends = [min(every), max(every)]
    return entropy_curves(
        curves,
        references={"Page": (ends, [page, page])},
        x_label="nonlinearities $k$",
        title=f"n = {config.n_sites}, |A| = {first[0]['length']}",
    )


def _feature_rows(features: Mapping[str, dict[str, Any]]) -> list[Row]:
    rows = []
    for name, found in features.items():
        label = LABELS.get(name, name)
        rows += [
            Row(f"nonlinearities k, {label}", found["n_nonlinearities"], source=found["sentence"]),
            Row(f"affine features mu, {label}", found["rank"], source=_change(found["largest_change"])),
        ]
    return rows


def _change(change: float | None) -> str:
    if change is None or not math.isfinite(change):
        return "no null space: the bound says nothing"
    return f"real inputs moved along the null space change psi by {change:.1g}"


def wide_panel(config: BatteryConfig, found: Mapping[str, Mapping[str, xr.Dataset]]) -> Panel:
    """Show networks of one hidden layer that become wide."""
    figures: dict[str, tuple[Figure, str]] = {}
    rows = []
    for kind, tables in found.items():
        words = LABELS[kind]
        labels = {name: f"{words}, H = {name.rsplit('-', 1)[1]}" for name in tables}
        ax = entropy_curves(
            {f"H = {name.rsplit('-', 1)[1]}": curve_of(table) for name, table in tables.items()},
            references={"Page": page_curve(next(iter(tables.values())))},
            ordered=True,
            title=words,
        )
        figures[f"entanglement-{kind}"] = (
            figure_of(ax),
            f"Entropy of |A| neighbouring sites of n = {config.n_sites} for H hidden units with w ~ N(0, 100/n), a ~ "
            f"N(0, 1/H), b uniform; {_samples(config)}.",
        )
        rows += _end_rows(config, tables, labels)
    curves: dict[str, Curve] = {}
    for kind, tables in found.items():
        ends = [_at_end(table) for table in tables.values()]
        curves[LABELS[kind]] = (list(config.hidden), [end[2] for end in ends], [end[3] for end in ends])
    length, page = ends[0][1], ends[0][4]
    ax = entropy_curves(
        curves,
        references={"Page": ([config.hidden[0], config.hidden[-1]], [page, page])},
        x_label="hidden units $H$",
        log_x=len(config.hidden) > 1,
        title=f"n = {config.n_sites}, |A| = {length}",
    )
    figures["entanglement-width"] = (
        figure_of(ax),
        f"The same at |A| = {length} against the number of hidden units, H in the real and H in the imaginary part. "
        "With weights this large tanh is nearly a step, and gains little from each further unit.",
    )
    summary = "Networks of one hidden layer from few nonlinearities to many: the entropy approaches Page's value."
    return Panel("Growing width", summary, rows, figures)


def exact_panel(found: Mapping[str, Any]) -> Panel:
    """Show exact constructions and what they cost."""
    rows = [
        Row(
            name,
            value,
            None,
            exact if exact is not None and math.isfinite(exact) else None,
            "nats",
            "exact construction",
        )
        for name, (value, exact) in found["values"].items()
    ]
    columns = found["parameters"]
    table = xr.Dataset(
        {name: ("entropy", np.array(columns[name])) for name in ("rbm", "dense_rbm", "mps")},
        {"entropy": np.array(columns["entropy"])},
    )
    for name, words in (("rbm", "sparse Boltzmann machine"), ("mps", "matrix product state")):
        value = float(table[name].values[-1])
        source = f"for an entropy of {float(table['entropy'][-1]):.4g} nats between two halves"
        rows.append(Row(f"parameters, {words}", value, source=source))
    figures = {
        "entanglement-parameters": (
            figure_of(parameter_counts(table)),
            "Parameters that a given entropy between two halves needs: linear in it for a Boltzmann machine with a "
            "hidden unit a pair, exponential for a matrix product state.",
        )
    }
    return Panel("Exact constructions", "States that a Boltzmann machine holds exactly.", rows, figures)
