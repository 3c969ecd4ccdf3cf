"""Pictures of neural quantum states: convergence, V-scores and the phase diagram (public in `qmlphys.plotting`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from qmlphys.plotting._style import CYCLE, MARKERS, axes_of, axis_label, legend_beside, plain, shades, styled

if TYPE_CHECKING:
    from qmlphys.stats import Estimate

__all__ = ["convergence", "phase_diagram", "v_scores"]


def convergence(history: xr.Dataset, *, exact: float | None = None, ax: Axes | None = None) -> Axes:
    """Draw how an optimisation converges: V-score and, where it is known, the energy's relative error at each step.

    Parameters
    ----------
    history : xarray.Dataset
        `energy` and `v_score` over `step`, as `VMC.history` returns them.
    exact : float, optional
        The exact energy, for comparison.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, logarithmic.

    Examples
    --------
    >>> history = xr.Dataset({"energy": ("step", [-1.0, -2.0]), "v_score": ("step", [0.1, 0.01])}, {"step": [0, 1]})
    >>> convergence(history, exact=-2.1).get_yscale()
    'log'
    """
    ax = axes_of(ax, width=4.9)
    step = history["step"].values
    with styled():
        # A step's samples may all have one energy; a logarithm shows nothing there.
        score = history["v_score"].values
        ax.plot(step, np.where(score > 0, score, np.nan), color=CYCLE[0], label="V-score")
        if exact is not None:
            error = np.abs(history["energy"].values / exact - 1)
            ax.plot(step, error, color=CYCLE[1], linewidth=0.9, zorder=1, label="|E / exact - 1|")
        ax.set_yscale("log")
        ax.set(xlabel="step", ylabel="V-score and relative error")
        legend_beside(ax)
    return ax


def v_scores(
    scores: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    name: str = "field",
    units: str = "J",
    ax: Axes | None = None,
) -> Axes:
    """Draw how good the states of a scan are.

    Parameters
    ----------
    scores : mapping of str to (array_like, array_like)
        Label, such as "L = 16", to values of the parameter and V-scores there.
    name, units : str
        What the parameter is.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, logarithmic.

    Raises
    ------
    ValueError
        If there is nothing to draw.

    Examples
    --------
    >>> v_scores({"L = 8": (np.array([0.5, 1.0]), np.array([1e-5, 1e-4]))}).get_ylabel()
    'V-score'
    """
    if not scores:
        raise ValueError("Argument `scores` must hold at least one curve, but it is empty.")
    ax = axes_of(ax, width=4.9)
    colours = shades(len(scores))
    with styled():
        for i, (label, (values, score)) in enumerate(scores.items()):
            order = np.argsort(values)
            score = np.asarray(score, dtype=np.float64)
            shown = np.where(score > 0, score, np.nan)[order]
            ax.plot(
                np.asarray(values)[order],
                shown,
                color=colours[i],
                marker=MARKERS[i % len(MARKERS)],
                markersize=3.2,
                linewidth=1.1,
                label=plain(label),
            )
        ax.set_yscale("log")
        ax.set(xlabel=axis_label(name, units), ylabel="V-score")
        legend_beside(ax)
    return ax


def phase_diagram(
    measured: Mapping[float, xr.Dataset],
    *,
    critical_point: Estimate | None = None,
    exact: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw which phase a network sees, over the control parameter and the lattice size.

    Parameters
    ----------
    measured : mapping of float to xarray.Dataset
        Lattice size to the curve of the mean probability of order, over the same values for all.
    critical_point : Estimate, optional
        Drawn as a band of one standard error.
    exact : float, optional
        The known value, for comparison.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    ValueError
        If there is no curve, or the curves have different lengths.

    Examples
    --------
    >>> from qmlphys.plotting import curve
    >>> line = curve([0.5, 1.0, 1.5], [1.0, 0.5, 0.0], name="field", units="J")
    >>> phase_diagram({8: line, 16: line}).get_ylabel()
    'lattice size $L$'
    """
    if not measured:
        raise ValueError("Argument `measured` must hold at least one curve, but it is empty.")
    lengths = {line.sizes["parameter"] for line in measured.values()}
    if len(lengths) > 1:
        raise ValueError(
            f"Argument `measured` must hold curves of one length, but their lengths are {sorted(lengths)}."
        )
    ax = axes_of(ax, width=4.9)
    first = next(iter(measured.values()))["parameter"]
    values = first.values
    middle = (values[1:] + values[:-1]) / 2
    edges = np.concatenate(([1.5 * values[0] - 0.5 * values[1]], middle, [1.5 * values[-1] - 0.5 * values[-2]]))
    with styled():
        table = np.array([line["mean"].values for line in measured.values()])
        mesh = ax.pcolormesh(
            edges, np.arange(len(measured) + 1) - 0.5, table, cmap="cividis", vmin=0, vmax=1, rasterized=True
        )
        bar = ax.figure.colorbar(mesh, ax=ax)
        bar.set_label("probability of order")
        if critical_point is not None:
            low, high = critical_point.mean - critical_point.error, critical_point.mean + critical_point.error
            ax.axvspan(low, high, color="white", alpha=0.5, linewidth=0)
            ax.axvline(critical_point.mean, color="white", linewidth=1.0)
        if exact is not None:
            ax.axvline(exact, color="#d55e00", linewidth=1.0, linestyle=(0, (1, 1.5)))
        ax.set_yticks(range(len(measured)), [f"{size:g}" for size in measured])
        ax.set(
            xlabel=axis_label(first.attrs.get("name") or "field", first.attrs.get("units") or "J"),
            ylabel="lattice size $L$",
        )
    return ax
