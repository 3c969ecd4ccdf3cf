"""Numbers and figures of `qmlphys.workflows.generative`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import xarray as xr

from qmlphys import plotting
from qmlphys.report import Row
from qmlphys.workflows._generative_config import GenerativeConfig, GraphsConfig, ImagesConfig, StartsConfig
from qmlphys.workflows._generative_judge import EXACT, QUANTITIES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SUMMARY", "TITLE", "Results", "figures", "rows"]

TITLE = "Generative models: from snapshots to a circuit and back"

SUMMARY = (
    "Tensor networks learn distributions of bits with exact likelihoods, become quantum circuits, and are sampled shot "
    "by shot; a classifier that knows only the originals judges what came out. Born machines - matrix product states "
    "whose squared amplitudes are the probabilities - learn bars and stripes and Ising snapshots. Graph states with a "
    "matrix on each qubit (Gao, Zhang and Duan 2018) learn small Ising chains: their filters succeed by chance, and "
    "the chance falls exponentially with the size, except on open chains, where no filter is needed. Everything was "
    "simulated classically, and at these sizes the classical model draws the same samples faster than any device. "
    "Errors of generated samples hold their own scatter and that of the snapshots that the model was trained on."
)


@dataclass(frozen=True, eq=False)
class Results:
    """Outcomes of the steps, as they lie in the run folder; None where a part was left out."""

    jobs: dict[str, dict[str, Any]]
    judged: dict[str, Any]
    images: dict[str, Any] | None
    graphs: dict[str, Any] | None
    factors: dict[str, Any] | None
    starts: dict[str, Any] | None


def _number(value: Any) -> float:
    """Read a number that JSON may have kept as null."""
    return math.nan if value is None else float(value)


def _table(values: Any) -> np.ndarray:
    """Read nested lists in which JSON may have kept nan as null."""
    return np.array(values, dtype=np.float64)


def _dataset(kept: dict[str, Any]) -> xr.Dataset:
    """Return a Dataset as it was before JSON."""
    ds = xr.Dataset.from_dict(kept)
    return ds.assign({name: (ds[name].dims, _table(ds[name].values)) for name in ds.data_vars})


def rows(config: GenerativeConfig, results: Results) -> list[Row]:
    """List every number of the run.

    Parameters
    ----------
    config : GenerativeConfig
        Settings.
    results : Results
        What was found.

    Returns
    -------
    list of Row
        For ``results.json`` and the report.
    """
    table: list[Row] = []
    if config.images is not None and results.images is not None:
        table += _image_rows(config, config.images, results.images, results.jobs["images"])
    table += _snapshot_rows(config, results)
    if config.graphs is not None and results.graphs is not None and results.factors is not None:
        table += _graph_rows(config, config.graphs, results.graphs, results.factors)
    if config.starts is not None and results.starts is not None:
        table += _start_rows(config.starts, _dataset(results.starts))
    return table


def _image_rows(config: GenerativeConfig, part: ImagesConfig, found: dict[str, Any], job: dict[str, Any]) -> list[Row]:
    """List the numbers of bars and stripes."""
    images = f"bars and stripes {part.size}x{part.size}"
    how = f"exact circuit on {config.backend}, {part.shots} shots"
    metadata = job["metadata"][0]
    test, control = found["test"], found["control"]
    share, error = found["valid"]
    source = f"Born machine, bond {found['bond']}; exact: ln of the number of images, the lowest possible"
    return [
        Row(f"NLL, {images}", found["nll"], None, found["floor"], "nats", source),
        Row("two-qubit gates of its circuit", metadata["two_qubit_gates"], source=f"{job['n_qubits'][0]} qubits"),
        Row("infidelity of its circuit", 1 - metadata["fidelity"], None, 0.0, source="from the synthesised gates"),
        Row("share of valid images", share, error, found["expected"], source=f"{how}; exact: the model's own"),
        Row("chi squared, p-value", test["p_value"], source=f"{how}, against the model; {test['dof'] + 1} bins"),
        Row("the same, control", control["p_value"], source="one pixel inverted: must be 0"),
    ]


def _snapshot_rows(config: GenerativeConfig, results: Results) -> list[Row]:
    """List the numbers of the snapshots and their likenesses."""
    found = _dataset(results.judged["judged"])
    known = None if results.judged["exact"] is None else _dataset(results.judged["exact"])
    name, units = (found["parameter"].attrs[key] for key in ("name", "units"))
    middle = found.sizes["parameter"] // 2
    place = f"{name} {found['parameter'].values[middle]:g}"
    originals, *others = [str(source) for source in found["source"].values]
    train, held_out = map(_number, results.judged["nll"][middle])
    source = f"bond {results.judged['bonds'][middle]}, exact likelihoods"
    table = [Row(f"NLL at {place}, Born machine, training rows", train, unit="nats", source=source)]
    if math.isfinite(held_out):
        text = f"{source}; whole chains that were not trained on"
        table.append(Row(f"NLL at {place}, Born machine, held-out rows", held_out, unit="nats", source=text))
    for key in ("energy", "magnetization"):
        if key not in found:
            continue
        exact = None if known is None else float(known[key][middle])
        error = found[f"{key}_error"].values
        for k, source in enumerate([originals, *others]):
            both = float(error[0, middle] if k == 0 else np.hypot(error[0, middle], error[k, middle]))
            origin = "the snapshots that are learned" if k == 0 else "own scatter and that of the training rows"
            origin += "; exact: enumeration" if exact is not None else ""
            mean = float(found[key][k, middle])
            table.append(Row(f"{QUANTITIES[key]} at {place}, {source}", mean, both, exact, _unit(key), origin))
    for source in others:
        text = f"{source} against the originals, of {found.sizes['parameter']} values of the {name}"
        for key, words in QUANTITIES.items():
            if key in found:
                largest = float(np.abs(found[f"{key}_deviation"].sel(source=source).values).max())
                table.append(Row(f"largest deviation, {words}, {source}", largest, unit="sigma", source=text))
    for source, values in results.judged["p_values"].items():
        text = f"{source} against its own models; of {len(values)} tests, each fair one uniform on 0 to 1"
        table.append(Row(f"chi squared, smallest p-value, {source}", min(map(_number, values)), source=text))
    if "output" in found:
        for k, source in enumerate([originals, *others]):
            crossing, scatter = (float(found[key][k]) for key in ("transition", "transition_error"))
            text = "network trained on both ends of the originals; on so small a lattice no critical value"
            table.append(
                Row(
                    f"classifier's crossing, {source}",
                    crossing,
                    scatter if math.isfinite(scatter) else None,
                    unit=units,
                    source=text,
                )
            )
        for source in others:
            distance = float(np.abs(found["output"].sel(source=source).values - found["output"][0].values).max())
            text = f"mean probability of order, {source} against the originals, largest over the scan"
            table.append(Row(f"difference of the classifier's output, {source}", distance, source=text))
    for n_layers in config.n_layers:
        job = results.jobs[f"layers-{n_layers}"]
        kind = f"{n_layers} layers" if n_layers else "exact circuits"
        gates = [entry["two_qubit_gates"] for entry in job["metadata"]]
        fidelities = [entry["fidelity"] for entry in job["metadata"]]
        table += [
            Row(f"two-qubit gates, {kind}", max(gates), source=f"the largest of {len(gates)} circuits"),
            Row(
                f"fidelity, {kind}", min(fidelities), None, 1.0, source=f"the smallest of {len(gates)}, with the model"
            ),
        ]
    return table


def _unit(key: str) -> str:
    return "J" if key == "energy" else "1"


def _graph_rows(
    config: GenerativeConfig, part: GraphsConfig, found: dict[str, Any], factors: dict[str, Any]
) -> list[Row]:
    """List the numbers of the graph models."""
    table = []
    for n in part.sizes:
        ring = found[f"ring-{n}"]
        text = f"{2 * n} qubits and {2 * n} filters at most, {part.shots} shots on {config.backend}; exact: predicted"
        label = f"success of post-selection, ring of {n} sites"
        share, error = ring["kept"]
        table.append(Row(label, share, error, ring["success_probability"], source=text))
    for kind in ("ring", "chain"):
        of_kind = [entry for name, entry in found.items() if name.startswith(kind)]
        largest = found[f"{kind}-{max(part.sizes)}"]
        label = f"{'ring' if kind == 'ring' else 'open chain'} of {max(part.sizes)} sites"
        source = f"graph model, condition number {largest['condition']:.3g}; exact: entropy of the rows"
        table += [
            Row(f"NLL, {label}", largest["nll"], None, largest["entropy"], "nats", source),
            Row(
                f"divergence from Boltzmann, {label}", largest["divergence"], None, 0.0, "nats", "sum p ln(p/q), exact"
            ),
            Row(f"two-qubit gates, {label}", largest["two_qubit_gates"], source=str(largest["preparation"])),
            Row(
                f"chi squared, smallest p-value, {kind}",
                min(_number(entry["p_value"]) for entry in of_kind),
                source=f"what was kept against the model, {len(of_kind)} of them",
            ),
        ]
    largest_n = max(part.sizes)
    table += [
        Row(
            f"NLL, factor graph of the ring of {largest_n}", factors["nll"], None,
            found[f"ring-{largest_n}"]["entropy"], "nats", "classical baseline on the same rows, convex training",
        ),
        Row(
            "largest difference of ln q", factors["difference"], None, 0.0, "nats",
            f"factor graph and the quantum model made of it; condition number {factors['condition']:.3g}",
        ),
    ]  # fmt: skip
    return table


def _start_rows(part: StartsConfig, found: xr.Dataset) -> list[Row]:
    """List the numbers of the trainings."""
    table = []
    n = found.sizes["seed"]
    floor = found.attrs["entropy"]
    text = f"{found.attrs['n_parameters']} angles, {part.max_steps} steps, {n} seeds; entropy of the rows: {floor:.4f}"
    for k, start in enumerate(found["start"].values):
        for name, values in (("best_nll", found["best_nll"][k].values), ("nll", found["nll"][k, :, 0].values)):
            error = float(values.std(ddof=1) / math.sqrt(n)) if n > 1 else None
            label = f"NLL of a circuit {'after training' if name == 'best_nll' else 'before it'}, start: {start}"
            table.append(Row(label, float(values.mean()), error, None, "nats", text))
    return table


def figures(config: GenerativeConfig, results: Results) -> dict[str, tuple[Figure, str]]:
    """Draw every picture of the run.

    Parameters
    ----------
    config : GenerativeConfig
        Settings.
    results : Results
        What was found.

    Returns
    -------
    dict of str to (Figure, str)
        Name to figure and caption.
    """
    drawn: dict[str, tuple[Any, str]] = {}
    if config.images is not None and results.images is not None:
        drawn |= _image_figures(config, config.images, results.images)
    drawn |= _snapshot_figures(results)
    if config.graphs is not None and results.graphs is not None:
        drawn |= _graph_figures(config, config.graphs, results.graphs)
    if config.starts is not None and results.starts is not None:
        found = _dataset(results.starts)
        traces = {str(start): list(found["nll"][k].values) for k, start in enumerate(found["start"].values)}
        drawn["generative-starts"] = (
            plotting.training_starts(traces, floor=float(found.attrs["entropy"])),
            f"The same circuit of {found.attrs['n_qubits']} qubits and {found.attrs['n_parameters']} angles, trained "
            "on snapshots of an Ising ring from the angles of a Born machine and from random ones, "
            f"{found.sizes['seed']} seeds each.",
        )
    return {name: (cast("Figure", ax.get_figure(root=True)), caption) for name, (ax, caption) in drawn.items()}


def _image_figures(config: GenerativeConfig, part: ImagesConfig, found: dict[str, Any]) -> dict[str, tuple[Any, str]]:
    """Draw bars and stripes."""
    from qmlphys.workflows._generative_models import bars_and_stripes

    data = bars_and_stripes(part.size)
    chosen = np.random.default_rng(config.seed).permutation(len(data))[: part.n_shown]
    images = {"data": data[chosen], "Born machine": found["own"], f"{config.backend}, exact circuit": found["drawn"]}
    train, validation = (_table(column) for column in found["history"])
    history = xr.Dataset({"train_nll": ("step", train), "validation_nll": ("step", validation)})
    history.attrs["best_step"] = found["best_step"]
    return {
        "generative-images": (
            plotting.generated_images(images, shape=(part.size, part.size), n_images=part.n_shown),
            f"Bars and stripes: data, samples of the Born machine that learned them, and shots of its circuit. Of "
            f"{part.shots} shots {100 * found['valid'][0]:.4g} % are valid images.",
        ),
        "generative-loss": (
            plotting.loss_curve(history, floor=found["floor"], label=f"ln {len(data)}", above_floor=True),
            f"Negative log-likelihood of the images, sweep by sweep, above ln {len(data)}, the lowest possible.",
        ),
    }


def _snapshot_figures(results: Results) -> dict[str, tuple[Any, str]]:
    """Draw what was measured on originals and likenesses."""
    found = _dataset(results.judged["judged"])
    known = None if results.judged["exact"] is None else _dataset(results.judged["exact"])
    attrs = found["parameter"].attrs
    values = found["parameter"].values
    sources = [str(source) for source in found["source"].values]

    def lines(key: str) -> dict[str, xr.Dataset]:
        drawn = {
            source: plotting.curve(values, found[key][k].values, found[f"{key}_error"][k].values, **attrs)
            for k, source in enumerate(sources)
        }
        if known is not None and key in known:
            drawn[EXACT] = plotting.curve(values, known[key].values, **attrs)
        return drawn

    origin = f"snapshots of {found.attrs['lattice']}"
    drawn: dict[str, tuple[Any, str]] = {}
    for key, label, words in (
        ("energy", "energy a site ($J$)", "Energy a site"),
        ("magnetization", r"$\langle |M| \rangle$ a site", "Magnetisation"),
        ("output", "probability of order", "What a classifier of phases says, trained on both ends of the originals"),
    ):
        if key in found:
            drawn[f"generative-{key}"] = (
                plotting.curves(lines(key), y_label=label, ordered=False),
                f"{words}: {origin}, the Born machines that learned them, and the shots of their circuits.",
            )
    if known is not None and "energy" in known:
        attrs = dict(attrs)
        distance = {
            source: plotting.curve(
                values, found["energy"][k].values - known["energy"].values, found["energy_error"][k].values, **attrs
            )
            for k, source in enumerate(sources)
        }
        drawn["generative-energy-residuals"] = (
            plotting.residuals(distance, y_label="energy a site - exact ($J$)"),
            "The same energies less the exact ones, with the scatter of each set of snapshots. A model carries the "
            "errors of the snapshots that it learned, and a shallow circuit those of its state.",
        )
    middle = len(values) // 2
    distances = found["distance"].values
    measured = {
        source: (distances, found["correlation"][k, middle].values, found["correlation_error"][k, middle].values)
        for k, source in enumerate(sources)
    }
    drawn["generative-correlations"] = (
        plotting.correlations(
            measured, exact=None if known is None else (distances, known["correlation"][middle].values)
        ),
        f"Spin correlations against the distance in bonds, at {attrs['name']} {values[middle]:g}: {origin} and their "
        "likenesses.",
    )
    return drawn


def _graph_figures(config: GenerativeConfig, part: GraphsConfig, found: dict[str, Any]) -> dict[str, tuple[Any, str]]:
    """Draw the cost of post-selection."""
    rings = [found[f"ring-{n}"] for n in part.sizes]
    ax = plotting.success_probability(
        part.sizes,
        [ring["success_probability"] for ring in rings],
        measured=[ring["kept"][0] for ring in rings],
        errors=[ring["kept"][1] for ring in rings],
        certain=[max(part.sizes)],
        x_label="visible sites",
    )
    return {
        "generative-success": (
            ax,
            f"Share of the shots on {config.backend} that post-selection keeps, for graph models of Ising rings with a "
            "hidden qubit between neighbours: it falls exponentially. Open chains are prepared without post-selection.",
        )
    }
