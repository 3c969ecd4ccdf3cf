"""Numbers and figures of `qmlphys.workflows.ground_state`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from qmlphys import plotting
from qmlphys.report import Row
from qmlphys.stats import Estimate
from qmlphys.workflows._ground_state_phases import COMPONENT, CONFUSION, MAGNETIZATION, TRANSFERRED, PhasesConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SUMMARY", "TITLE", "figures", "rows"]

TITLE = "Neural quantum states and a quantum phase transition"

SUMMARY = (
    "Restricted Boltzmann machines become ground states of the Ising model in a transverse field, by variational Monte "
    "Carlo along a scan of the field (on at most 16 sites by sums over all configurations instead of samples), and are "
    "measured in the basis of the coupling. Classifiers read these snapshots "
    "as they read those of Monte Carlo: labels come from the two far ends of the scan only, and what a network takes "
    "for order is measured near the transition on several sizes. Exact values entered nothing; they stand beside the "
    "results. Errors are those of chains, training seeds, fit windows, and of states that are not quite ground states."
)

_KNOWN = {"chain": (1.0, "exact: Pfeuty 1970", 1.0), "square": (3.04433, "literature: arXiv:2005.10066", 0.62997)}


def _number(value: float | None) -> float:
    """Read a number that JSON may have kept as null."""
    return math.nan if value is None else float(value)


def _row(name: str, pair: list[float | None], source: str, known: float | None, unit: str = "J") -> Row:
    value, error = map(_number, pair)
    return Row(name, value, error if math.isfinite(error) else None, known, unit, source)


def rows(config: PhasesConfig, outputs: dict[str, Any], found: dict[str, Any], unlabelled: dict[str, Any]) -> list[Row]:
    """List every number of the search.

    Parameters
    ----------
    config : PhasesConfig
        Settings.
    outputs, found, unlabelled : dict
        What the steps of the journey returned.

    Returns
    -------
    list of Row
        For ``results.json`` and the report.
    """
    critical, origin, nu = _KNOWN[config.lattice]
    sizes = f"L = {', '.join(map(str, config.sizes))}"
    fields = np.array(config.fields)
    span = config.end_fraction * (fields[-1] - fields[0])
    labels = f"labels from h <= {fields[0] + span:.4g} and h >= {fields[-1] - span:.4g}"
    table = [
        _row("h_c, CNN", found["network"][:2], f"collapse of <q^2>^2/<q^4>, {sizes}; {config.n_seeds} networks, "
             f"{labels}; {origin}", critical),
        _row("nu, CNN", found["network"][2:], "same fit", nu, "1"),
        _row("h_c, control: ends moved down", found["moved down"][:2], "the same without the scan's top", critical),
        _row("h_c, control: ends moved up", found["moved up"][:2], "the same without its bottom", critical),
        _row("h_c, trained on classical Monte Carlo", found[TRANSFERRED][:2],
             "CNN that saw layers of the classical Ising model one dimension up, and no ground state", critical),
        _row("h_c, clustering", found[COMPONENT][:2], "no labels: the clusterer's first component as order", critical),
        _row("nu, clustering", found[COMPONENT][2:], "same fit", nu, "1"),
        _row("h_c, confusion", found[CONFUSION][:2], "no labels: order in the network of a confusion", critical),
        _row("nu, confusion", found[CONFUSION][2:], "same fit", nu, "1"),
        _row("h_c, magnetisation", found[MAGNETIZATION][:2], "nothing learned, on the same snapshots", critical),
    ]  # fmt: skip
    table.append(
        Row("part of these errors: imperfect states", found["state_error"], unit="J",
            source="measured offset of the field at which the ground state has their order, largest size")
    )  # fmt: skip
    for size in config.sizes:
        here, bare = outputs[str(size)], unlabelled[str(size)]
        near = np.array(found["v_score"][str(size)], dtype=float)
        table += [
            _row(f"transition, CNN, L = {size}", here["network 0"]["crossing"],
                 "mean output crosses 1/2; moves towards h_c as L grows", None),
            _row(f"transition, clustering, L = {size}", bare["clustering"], "half of the snapshots ordered", None),
            _row(f"transition, confusion, L = {size}", bare["confusion"], "maximum of W; moves as L grows", None),
            Row(f"largest V-score near the transition, L = {size}", float(near.max()), source="of the snapshots"),
        ]  # fmt: skip
    return table


def figures(
    config: PhasesConfig, outputs: dict[str, Any], found: dict[str, Any], unlabelled: dict[str, Any]
) -> dict[str, tuple[Figure, str]]:
    """Draw every picture of the search.

    Parameters
    ----------
    config : PhasesConfig
        Settings.
    outputs, found, unlabelled : dict
        What the steps of the journey returned.

    Returns
    -------
    dict of str to (Figure, str)
        Name to figure and caption.
    """
    known = _KNOWN[config.lattice][0]
    critical, nu = Estimate(*map(_number, found["network"][:2])), Estimate(*map(_number, found["network"][2:]))
    fitted = critical if math.isfinite(critical.mean) else None
    band = "light band: the critical field found, " if fitted else ""
    measured = {size: _curve(outputs[str(size)]["network 0"]) for size in config.sizes}
    points = {key: np.asarray(value, dtype=float) for key, value in found["points"].items()}
    ratios = {}
    for size in config.sizes:
        chosen = points["size"] == size
        values = (points[key][chosen] for key in ("field", "ratio", "error"))
        ratios[f"L = {size}"] = plotting.curve(*values, name="field", units="J")
    label = r"$\langle q^2\rangle^2 / \langle q^4\rangle$"
    fields = np.array(config.fields)
    span = config.end_fraction * (fields[-1] - fields[0])
    ends = [(fields[0], fields[0] + span), (fields[-1] - span, fields[-1])]
    scores = {
        f"L = {size}": (np.array(config.fields), np.array(outputs[str(size)]["v_score"], dtype=float))
        for size in config.sizes
    }
    indicators = {
        f"L = {size}": plotting.curve(
            unlabelled[str(size)]["splits"], *unlabelled[str(size)]["indicator"], name="field", units="J"
        )
        for size in config.sizes
    }
    drawn = {
        "ground-state-output": (
            plotting.network_output(
                {f"L = {size}": line for size, line in measured.items()},
                critical_point=fitted,
                exact=known,
                trained_on=ends,
            ),
            f"What a network says of ground states, trained at L = {config.training_size} on the shaded ends alone. "
            + (
                f"The line is the critical field {critical} that follows from the order parameter it learned."
                if fitted
                else "No critical field follows from the order parameters that networks learned: no fit is acceptable."
            ),
        ),
        "ground-state-phases": (
            plotting.phase_diagram(
                {float(size): line for size, line in measured.items()}, critical_point=fitted, exact=known
            ),
            f"The same as a phase diagram; {band}dotted: the known one.",
        ),
        "ground-state-crossing": (
            plotting.curves(ratios, y_label=label, critical_point=fitted, exact=known),
            "Ratio of the moments of the learned order parameter near the transition: sizes cross at h_c.",
        ),
        "ground-state-confusion": (
            plotting.indicator(indicators, exact=known),
            "Learning by confusion on the same snapshots, without any label.",
        ),
        "ground-state-v-scores": (
            plotting.v_scores(scores),
            "How good the states of the scan are: the V-score is zero for an exact ground state.",
        ),
    }
    if fitted:
        collapse = plotting.data_collapse(
            ratios, config.sizes, critical_point=critical.mean, exponent=nu.mean, y_label=label
        )
        collapse.set_xlabel(r"$(h - h_\mathrm{c})\,L^{1/\nu}$")
        drawn["ground-state-collapse"] = (
            collapse,
            f"The ratio of the moments, scaled with the fitted h_c = {critical} and nu = {nu}. Corrections to scaling, "
            "which the fits allow for, are not taken off: they show at the smallest size.",
        )
    return {name: (_figure(ax), caption) for name, (ax, caption) in drawn.items()}


def _figure(ax: Any) -> Figure:
    return cast("Figure", ax.get_figure(root=True))


def _curve(outcome: dict[str, Any]) -> Any:
    return plotting.curve(outcome["parameter"], outcome["mean"], outcome["error"], name="field", units="J")
