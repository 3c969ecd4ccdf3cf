"""Numbers and figures of `qmlphys.workflows.device_phases`."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import xarray as xr

from qmlphys import exact, plotting
from qmlphys.execution import backends
from qmlphys.report import Row
from qmlphys.stats import Estimate
from qmlphys.workflows._device_phases_judge import LEARNED, MAGNETIZATION, ratio_of
from qmlphys.workflows._device_phases_steps import MONTE_CARLO, NEURAL, SAMPLED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from qmlphys.workflows._device_phases_config import DevicePhasesConfig
    from qmlphys.workflows._device_phases_steps import Journey

__all__ = ["SUMMARY", "TITLE", "Results", "figures", "rows"]

TITLE = "One transition, three kinds of snapshots"

SUMMARY = (
    "Ground states of the Ising ring in a transverse field, measured in the basis Z of their order: as neural states, "
    "as layers of a classical lattice in Monte Carlo, as matrix product states, and as circuits that prepare these on "
    "backends. One classifier, which saw neural states from the two far ends of the field only, judges all of them in "
    "the same way. A short ring has no sharp transition: the fields below belong to these sizes, and so do the exact "
    "values, which are what the same classifier and the same analysis give for the exact ground states. What is left "
    "between a backend and its exact value is the noise of the device. Errors are those of the finite number of "
    "snapshots; all sources share one network. Exact values entered nothing."
)

_KINDS = {
    NEURAL: "restricted Boltzmann machines",
    MONTE_CARLO: "diagonals of the square lattice, exactly equivalent (Stephen and Mittag 1972)",
    SAMPLED: "sampled without a circuit",
}


class Results:
    """What the steps of the journey found, collected once."""

    def __init__(self, journey: Journey, *, timeout: float | None = None) -> None:
        config = journey.config
        self.sources = journey.sources()
        self.scans = journey.scans()
        self.judged = {
            (source, size): journey.judged(source, size, timeout=timeout)
            for source in self.sources
            for size in config.sizes
        }
        self.critical = journey.critical_fields(timeout=timeout)
        self.known = journey.known()
        self.imperfections = journey.imperfections()
        self.readout = {
            label: _readout_error(backend, journey.device(label, config.sizes[-1], timeout=timeout))
            for label, (backend, _) in self.scans.items()
        }


def _readout_error(backend: str, ds: xr.Dataset) -> float | None:
    """Return the mean readout error of a scan's qubits, as calibrated; None where no calibration is at hand."""
    if backends.resolve(backend).kind != "fake" or not ds.attrs.get("noise", 1) or "layout" not in ds.attrs:
        return None
    measure = backends.fake_device(backend).target["measure"]
    # The qubits of all circuits, or those of each, which the translation chooses one by one.
    qubits = np.ravel(json.loads(ds.attrs["layout"])).tolist()
    return float(np.mean([measure[(qubit,)].error for qubit in qubits]))


def _number(value: float | None) -> float:
    """Read a number that JSON may have kept as null."""
    return math.nan if value is None else float(value)


def _exact(value: float | None) -> float | None:
    """Return an exact value, None where there is none."""
    return None if value is None or not math.isfinite(value) else float(value)


def _row(name: str, pair: list[float | None], source: str, known: float | None = None, unit: str = "J") -> Row:
    value, error = map(_number, pair)
    return Row(name, value, error if math.isfinite(error) else None, _exact(known), unit, source)


def _place(config: DevicePhasesConfig, results: Results) -> int:
    """Return which field of the scan is next to where neural states cross: the critical one, as this run knows it."""
    found = _number(results.critical[NEURAL][LEARNED][0])
    fields = np.array(config.fields)
    return int(np.abs(fields - found).argmin()) if math.isfinite(found) else len(fields) // 2


def _square(judged: xr.Dataset, k: int) -> list[float | None]:
    """Return <m^2> at one field with its error."""
    groups = judged["second"].sel(learner=MAGNETIZATION).values[k]
    return [float(groups.mean()), float(groups.std(ddof=1) / math.sqrt(groups.size))]


def rows(config: DevicePhasesConfig, results: Results) -> list[Row]:
    """List every number of the run.

    Parameters
    ----------
    config : DevicePhasesConfig
        Settings.
    results : Results
        What was found.

    Returns
    -------
    list of Row
        For ``results.json`` and the report.
    """
    fields = np.array(config.fields)
    small, large = config.sizes[0], config.sizes[-1]
    span = config.end_fraction * (fields[-1] - fields[0])
    labels = f"labels from neural states at h <= {fields[0] + span:.4g} and h >= {fields[-1] - span:.4g}, N = {large}"
    known = results.known
    table = [
        _row(f"field where {small} and {large} sites cross, {source}", results.critical[source][LEARNED],
             f"<q^2>^2/<q^4> of the order learned; {_KINDS.get(source, f'{config.shots} shots a field')}; {labels}",
             known["crossing"].get(LEARNED))
        for source in results.sources
    ]  # fmt: skip
    table += [
        _row(f"the same, ends moved, {NEURAL}", results.critical["control"][LEARNED],
             "control: a network that saw nothing of the scan's top", known["crossing"].get(LEARNED)),
        _row(f"the same, magnetisation, {SAMPLED}", results.critical[SAMPLED][MAGNETIZATION],
             "nothing learned: <m^2>^2/<m^4> on the same snapshots", known["crossing"].get(MAGNETIZATION)),
        Row("endless chain, for comparison", 1.0, unit="J", source="exact: Pfeuty 1970; short rings cross below it"),
    ]  # fmt: skip
    for size in config.sizes:
        table += [
            _row(f"output 1/2, N = {size}, {source}", _transition(results.judged[source, size]),
                 "mean probability of order; depends on the threshold the network learned, the same for all sources",
                 known["transition"].get(str(size)))
            for source in results.sources
        ]  # fmt: skip
    return [*table, *_noise_rows(config, results), *_state_rows(config, results)]


def _transition(judged: xr.Dataset) -> list[float | None]:
    return [judged.attrs["transition"], judged.attrs["transition_error"]]


def _noise_rows(config: DevicePhasesConfig, results: Results) -> list[Row]:
    """Order and correlations near the transition on the largest ring, source by source."""
    size, k = config.sizes[-1], _place(config, results)
    field = config.fields[k]
    known = exact.tfim_chain_correlations(size, field=field)
    place = f"N = {size}, h = {field:g}"
    table = []
    for source in results.sources:
        judged = results.judged[source, size]
        pair: list[float | None] = [float(judged[key][k, 0]) for key in ("correlation", "correlation_error")]
        table += [
            _row(f"<m^2>, {place}, {source}", _square(judged, k), "basis Z; exact: free fermions", known.mean(), "1"),
            _row(f"<Z Z'> of neighbours, {place}, {source}", pair, "the same; -J times it is a bond's energy",
                 known[1], "1"),
        ]  # fmt: skip
    distances = sorted({1, size // 2})
    for label in results.scans:
        judged = results.judged[label, size]
        for r in distances:
            value, error = (float(judged[key][k, r - 1]) / known[r] for key in ("correlation", "correlation_error"))
            text = "of the exact value; what gates lose grows with the distance, what readout loses does not"
            table.append(Row(f"share of <Z Z'> kept, distance {r}, {place}, {label}", value, error, None, "1", text))
        wrong = results.readout[label]
        if wrong is not None:
            text = "of the calibration, mean over the qubits used; alone it leaves this share of any <Z Z'>: "
            table.append(Row(f"readout error, {label}", wrong, None, None, "1", f"{text}{(1 - 2 * wrong) ** 2:.3g}"))
    return table


def _state_rows(config: DevicePhasesConfig, results: Results) -> list[Row]:
    """How good states and circuits are before any noise."""
    table = []
    for size in config.sizes:
        score = results.imperfections["v_score"][str(size)]
        table.append(Row(f"largest V-score, neural states, N = {size}", float(score), source="0 for exact states"))
    for name, (fidelity, gates) in results.imperfections["circuits"].items():
        label, size = name.split("|")
        table += [
            Row(
                f"least fidelity of a circuit, N = {size}, {label}", float(fidelity), source="with its state, no noise"
            ),
            Row(f"CX of the longest circuit, N = {size}, {label}", float(gates), source="before translation"),
        ]
    return table


def figures(config: DevicePhasesConfig, results: Results) -> dict[str, tuple[Figure, str]]:
    """Draw every picture of the run.

    Parameters
    ----------
    config : DevicePhasesConfig
        Settings.
    results : Results
        What was found.

    Returns
    -------
    dict of str to (Figure, str)
        Name to figure and caption.
    """
    fields = np.array(config.fields)
    small, large = config.sizes[0], config.sizes[-1]
    span = config.end_fraction * (fields[-1] - fields[0])
    ends = [(fields[0], fields[0] + span), (fields[-1] - span, fields[-1])]
    known = results.known
    output = known["output"].get(str(large))
    outputs = {
        source: _curve(fields, results.judged[source, large]["output"], results.judged[source, large]["output_error"])
        for source in results.sources
    }
    differences = {source: _difference(config, results, source) for source in results.sources}
    ratios = [known["ratio"].get(str(size)) for size in (small, large)]
    exact_difference = None if None in ratios else _curve(fields, np.subtract(ratios[1], ratios[0]))
    drawn: dict[str, tuple[Any, str]] = {
        "device-output": (
            plotting.sources(
                outputs,
                exact=None if output is None else _curve(fields, output),
                trained_on=ends,
                level=0.5,
                y_label="probability of order",
            ),
            f"What one network says of the snapshots of all sources on {large} sites. It was trained on neural states "
            "of the shaded ends alone. The line is what it would say of endless exact snapshots.",
        ),
        "device-crossing": (
            plotting.sources(
                differences,
                exact=exact_difference,
                level=0.0,
                y_label=rf"$R_{{{large}}} - R_{{{small}}}$,  $R = \langle q^2\rangle^2/\langle q^4\rangle$",
            ),
            f"Difference of the cumulant ratios of the learned order parameter on {large} and {small} sites; where it "
            "changes sign both sizes cross. Larger circuits lose more to noise, which moves the crossing to lower "
            "fields, or leaves none.",
        ),
    }
    drawn |= _estimate_figures(config, results)
    k = _place(config, results)
    measured = {}
    for source in results.sources:
        judged = results.judged[source, large]
        measured[source] = (
            judged["distance"].values,
            judged["correlation"].values[k],
            judged["correlation_error"].values[k],
        )
    truth = exact.tfim_chain_correlations(large, field=float(fields[k]))
    distances = np.arange(1, large // 2 + 1)
    drawn["device-correlations"] = (
        plotting.correlations(measured, exact=(distances, truth[distances]), y_label=r"$\langle Z_i Z_{i+r} \rangle$"),
        f"Correlations along the ring of {large} sites at h = {fields[k]:g}: noise lowers them.",
    )
    return {name: (cast("Figure", ax.get_figure(root=True)), caption) for name, (ax, caption) in drawn.items()}


def _estimate_figures(config: DevicePhasesConfig, results: Results) -> dict[str, tuple[Any, str]]:
    """Draw the fields that were found, source by source."""
    small, large = config.sizes[0], config.sizes[-1]
    drawn = {}
    crossings = {source: _estimate(results.critical[source][LEARNED]) for source in results.sources}
    halves = {source: _estimate(_transition(results.judged[source, large])) for source in results.sources}
    for name, found, truth, x_label, caption in (
        ("device-critical-fields", crossings, results.known["crossing"].get(LEARNED),
         f"field where {small} and {large} sites cross ($J$)",
         "Critical field of these two sizes from each source. Sources that are missing show no significant crossing. "
         "Dotted: the same for exact ground states; the endless chain has 1."),
        ("device-transitions", halves, results.known["transition"].get(str(large)),
         f"field where the output is 1/2, {large} sites ($J$)",
         "Where the network finds as much order as disorder. Dotted: the same for exact ground states. Noise looks "
         "like disorder, so that a noisy device shows the transition at a lower field."),
    ):  # fmt: skip
        seen = {source: value for source, value in found.items() if math.isfinite(value.mean)}
        if seen:
            drawn[name] = (plotting.estimates(seen, exact=_exact(truth), x_label=x_label), caption)
    return drawn


def _estimate(pair: list[float | None]) -> Estimate:
    value, error = map(_number, pair)
    return Estimate(value, error)


def _difference(config: DevicePhasesConfig, results: Results, source: str) -> xr.Dataset:
    """Return the difference of the cumulant ratios of the largest and the smallest size along the field."""
    first, last = (ratio_of(results.judged[source, size]) for size in (config.sizes[0], config.sizes[-1]))
    return _curve(np.array(config.fields), last.values - first.values, np.hypot(first.errors, last.errors))


def _curve(fields: Any, mean: Any, error: Any = None) -> xr.Dataset:
    return plotting.curve(fields, mean, error, name="field", units="J")
