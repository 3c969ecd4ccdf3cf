"""Numbers and figures of infinite width and of tangent kernels in `qmlphys.workflows.entanglement_scaling`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from qmlphys.plotting._entanglement import entropy_curves, kernel_distances, kernel_spectra, training_flow
from qmlphys.report import Row
from qmlphys.workflows import _entanglement_wide as wide
from qmlphys.workflows._entanglement_config import BatteryConfig
from qmlphys.workflows._entanglement_output import Curve, figure_of
from qmlphys.workflows.runs import Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["infinite_panel", "tangent_panel"]

PAPER = "Luo and Halverson, arXiv:2112.00723"


def infinite_panel(config: BatteryConfig, found: Mapping[str, dict[str, Any]]) -> Panel:
    """Show the limit of infinite width."""
    part = config.infinite_width
    if part is None:
        raise ValueError("Argument `config` must have `infinite_width`, but it is None.")
    from qmlphys.nqs import infinite_width

    figures: dict[str, tuple[Figure, str]] = {}
    rows = []
    curves: dict[str, Curve] = {}
    for width, entry in found.items():
        label = "infinite width" if width == "infinite" else f"H = {width}"
        annealed, exact = np.array(entry["annealed"]), np.array(entry["exact"])
        error = np.array(entry["annealed_error"])
        curves[label] = (entry["lengths"], annealed / exact, error / exact)
        if width == "infinite":
            curves["Tr ρ² averaged, infinite width"] = (
                entry["lengths"], np.array(entry["mean"]) / exact, np.array(entry["mean_error"]) / exact,
            )  # fmt: skip
        length = entry["lengths"][-1]
        text = f"{part.n_networks} networks, n = {part.n_sites}, {_ratio(part.scale)}; exact: Wick's theorem"
        rows.append(
            Row(
                f"annealed purity of {length} sites, {label}",
                float(annealed[-1]),
                float(error[-1]),
                float(exact[-1]),
                source=text,
            )
        )
        rows.append(
            Row(
                f"mean purity of {length} sites, {label}",
                entry["mean"][-1],
                entry["mean_error"][-1],
                None,
                source="the same, of normalised states",
            )
        )
    lengths = next(iter(found.values()))["lengths"]
    ax = entropy_curves(
        curves,
        references={"closed form": ([lengths[0], lengths[-1]], [1.0, 1.0])},
        y_label="purity / closed form",
        title=f"cosine networks, n = {part.n_sites}",
    )
    # Close around the points: all are near 1.
    ends = np.concatenate([[(y - e).min(), (y + e).max()] for _, y, e in curves.values()])
    margin = 0.06 * float(ends.max() - ends.min())
    ax.set_ylim(float(ends.min()) - margin, float(ends.max()) + margin)
    figures["entanglement-purity"] = (
        figure_of(ax),
        "Purity of |A| sites of random cosine networks over the closed form of infinite width, which is that of the "
        "annealed average E[Tr rho^2 norm^2] / E[norm^2]; the average of normalised states lies below it.",
    )
    sizes = list(part.sizes)
    laws: dict[str, Curve] = {}
    for sigma in part.sigma_w:
        laws[f"σ_w = {sigma:g}"] = (sizes, [wide.closed_form(n, n // 2, sigma) for n in sizes], None)
        last = laws[f"σ_w = {sigma:g}"][1][-1]
        limit = -math.log(infinite_width.saturated_purity(0.5, sigma_w=sigma))
        text = f"n = {sizes[-1]}; exact: its limit for n to infinity, ln cosh sigma_w^2"
        rows.append(Row(f"Rényi-2 entropy of half, σ_w = {sigma:g}", last, None, limit, "nats", text))
    for scale in part.scales:
        values = [wide.closed_form(n, n // 2, scale * math.sqrt(n)) for n in sizes]
        laws[_ratio(scale)] = (sizes, values, None)
        slope = (values[-1] - values[-2]) / (sizes[-1] - sizes[-2])
        rate = -0.5 * math.log((1 + math.exp(-4 * scale**2)) / 2)
        text = f"from n = {sizes[-2]} to {sizes[-1]}; exact: -ln(r) / 2, the volume law"
        rows.append(Row(f"entropy a site, {_ratio(scale)}", slope, None, rate, "nats", text))
    ax = entropy_curves(
        laws,
        x_label="number of sites $n$",
        y_label="annealed Rényi-2 entropy of half (nats)",
        title="infinite width",
    )
    figures["entanglement-saturation"] = (
        figure_of(ax),
        "Closed form at infinite width: with fixed sigma_w the entropy of half of the sites saturates; sigma_w^2 that "
        "grows like n gives a volume law.",
    )
    summary = (
        "Infinitely wide cosine networks psi = f + i g are a Gaussian process (Luo and Halverson, arXiv:2112.00723)."
    )
    return Panel("Infinite width", summary, rows, figures)


def _ratio(scale: float) -> str:
    """Return what sigma_w^2 is in units of n, in words."""
    return "σ_w² = n" if scale == 1 else f"σ_w² = {scale**2:.3g} n"


def tangent_panel(config: BatteryConfig, found: Mapping[str, Any]) -> Panel:
    """Show training beside the tangent kernel, the kernel beside its limit, and conditioned states."""
    part = config.tangent
    if part is None:
        raise ValueError("Argument `config` must have `tangent`, but it is None.")
    rows: list[Row] = []
    runs = {}
    for name, words in wide.targets(part).items():
        entry = found["trained"][name]
        label = words.split(",", 1)[0]
        runs[label] = (entry["time"][1:], entry["loss"][1:], entry["linear_loss"][1:])
        text = f"{words}; width {part.width}, {entry['n_strings']} strings, {entry['n_steps']} steps"
        rows += [
            Row(f"drift of the kernel, {label}", entry["drift"], source=f"Frobenius, relative; {text}"),
            Row(
                f"loss against the linear flow, {label}",
                entry["deviation"],
                None,
                0.0,
                source="largest, relative, to 1e-6",
            ),
            Row(f"final infidelity, {label}", entry["infidelity"], None, 0.0, source=f"loss {entry['final_loss']:.2g}"),
        ]
    distance, rates, known = found["distances"], found["rates"], found["conditioned"]
    text = f"n = {part.kernel_sites}, {part.n_networks} networks of each width {part.widths[0]} to {part.widths[-1]}"
    rows.append(
        Row(
            "slope of the kernel's distance",
            distance["slope"],
            distance["slope_error"],
            -0.5,
            "",
            f"{text}; exact: H^(-1/2)",
        )
    )
    for scale, time in zip(rates["scales"], rates["times"], strict=True):
        value = math.inf if time is None else time
        label = f"time to loss 1e-6, {_ratio(scale)}"
        if math.isfinite(value):
            rows.append(Row(label, value, source="in units of the fastest mode's, infinite kernel, Ising ground state"))
        else:
            rows.append(Row(label, math.nan, source="no time is enough in double precision: modes that hardly move"))
    figures = {
        "entanglement-training": (
            figure_of(training_flow(runs, title=f"cosine networks, H = {part.width}")),
            "Loss of networks that are taught ground states by full-batch descent, centred at their start, beside the "
            "linear dynamics under the tangent kernel of that start.",
        ),
        "entanglement-kernels": (
            figure_of(
                kernel_distances(
                    distance["widths"], distance["mean"], distance["error"],
                    slope=distance["slope"], prefactor=distance["prefactor"],
                    title=f"tangent kernels, n = {part.kernel_sites}",
                )
            ),
            "Relative Frobenius distance of tangent kernels from that of infinite width, over all strings.",
        ),
        "entanglement-rates": (
            figure_of(
                kernel_spectra(
                    {
                        _ratio(scale): values
                        for scale, values in zip(rates["scales"], rates["eigenvalues"], strict=True)
                    },
                    title=f"rates of convergence, n = {part.n_sites}",
                )
            ),
            "Eigenvalues of the infinite tangent kernel: the rates at which the parts of a target are learned. A small "
            "sigma_w leaves most of them without any.",
        ),
        "entanglement-conditioned": (figure_of(_known_axes(known)), (
            "Infidelity of the mean of an infinitely wide state that is conditioned on some amplitudes of the Ising "
            "ground state, drawn at random; with all of them known the target comes back."
        )),
    }  # fmt: skip
    posterior = f"posterior mean, {known['n_strings']} amplitudes in all"
    for scale, values in zip(known["scales"], known["infidelities"], strict=True):
        half = int(np.argmin(np.abs(np.array(known["counts"]) - known["n_strings"] / 2)))
        label = _ratio(scale)
        rows += [
            Row(
                f"infidelity, {known['counts'][half]} amplitudes known, {label}", values[half], source="posterior mean"
            ),
            Row(f"infidelity, all amplitudes known, {label}", values[-1], None, 0.0, source=posterior),
        ]
    summary = f"Quantum-state neural tangent kernels: sigma_a = 1, sigma_w^2 = n ({PAPER})."
    return Panel("Tangent kernels", summary, rows, figures)


def _known_axes(known: Mapping[str, Any]) -> Axes:
    curves: dict[str, Curve] = {}
    for scale, values in zip(known["scales"], known["infidelities"], strict=True):
        share = np.array(known["counts"]) / known["n_strings"]
        curves[_ratio(scale)] = (share, values, None)
    return entropy_curves(
        curves, x_label="share of the amplitudes that is known", y_label="infidelity", title="given amplitudes"
    )
