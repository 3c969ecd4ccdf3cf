"""One quantity along a scan from several sources of snapshots, beside its exact value (in `qmlphys.plotting`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from qmlphys.plotting._style import CYCLE, GREY, MARKERS, axes_of, axis_label, legend_beside, plain, styled

__all__ = ["sources"]


def sources(
    measured: Mapping[str, xr.Dataset],
    *,
    y_label: str,
    exact: xr.Dataset | None = None,
    trained_on: Sequence[tuple[float, float]] = (),
    level: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw what snapshots of several sources say along a scan, as points beside the exact curve.

    Points of one value of the parameter are set beside each other, so that error bars stay apart.

    Parameters
    ----------
    measured : mapping of str to xarray.Dataset
        Label, such as "aer", to curve (see the head of `qmlphys.plotting`).
    y_label : str
        What was measured.
    exact : xarray.Dataset, optional
        A curve without errors, drawn as a line.
    trained_on : sequence of (float, float)
        Ranges of the parameter that held labelled snapshots, shaded.
    level : float, optional
        A horizontal guide, such as 1/2.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    ValueError
        If there is no curve.

    Examples
    --------
    >>> from qmlphys.plotting import curve
    >>> line = curve([0.5, 1.0, 1.5], [0.9, 0.6, 0.2], [0.01] * 3, name="field", units="J")
    >>> ax = sources({"aer": line}, exact=line, y_label="probability of order", level=0.5)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('field $h$ ($J$)', 'probability of order')
    """
    if not measured:
        raise ValueError("Argument `measured` must hold at least one curve, but it is empty.")
    ax = axes_of(ax, width=5.4, height=3.0)
    first = next(iter(measured.values()))["parameter"]
    gap = float(np.diff(np.unique(first.values)).min()) if first.size > 1 else 1.0
    step = min(0.12, 0.5 / len(measured)) * gap
    with styled():
        if level is not None:
            ax.axhline(level, color=GREY, linewidth=0.7, linestyle=(0, (1, 2)), zorder=0)
        if exact is not None:
            ax.plot(
                exact["parameter"].values,
                exact["mean"].values,
                color="#000000",
                linewidth=0.9,
                zorder=1,
                label="exact",
            )
        for i, (label, line) in enumerate(measured.items()):
            shift = (i - (len(measured) - 1) / 2) * step
            x, y, error = (line[key].values for key in ("parameter", "mean", "error"))
            look: dict[str, Any] = {"color": CYCLE[i % len(CYCLE)], "marker": MARKERS[i % len(MARKERS)]}
            bars = error if np.isfinite(error).any() else None
            ax.errorbar(x + shift, y, bars, linestyle="none", markersize=3.6, label=plain(label), zorder=2, **look)
        for low, high in trained_on:
            ax.axvspan(low, high, color="#00000010", linewidth=0, zorder=-1)
        if trained_on:
            ax.plot([], [], color="#00000022", linewidth=6, label="labels seen")
        attrs = first.attrs
        ax.set(xlabel=axis_label(attrs.get("name") or "field", attrs.get("units") or "J"), ylabel=y_label)
        legend_beside(ax)
    return ax
