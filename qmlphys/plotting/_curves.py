"""Pictures of curves along a scan, with errors and the critical point they give (public in `qmlphys.plotting`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from qmlphys.plotting._style import CYCLE, GREY, MARKERS, axes_of, axis_label, legend_beside, plain, shades, styled

if TYPE_CHECKING:
    from qmlphys.stats import Estimate

__all__ = ["curve", "curves", "data_collapse", "indicator", "network_output"]

_TEMPERATURE = ("temperature", "J/k_B")


def curve(
    parameter: ArrayLike, mean: ArrayLike, error: ArrayLike | None = None, *, name: str = "", units: str = ""
) -> xr.Dataset:
    """Put a measured curve into the form that this module draws.

    Parameters
    ----------
    parameter, mean : array_like of float, shape (n,)
        Where and what was measured.
    error : array_like of float, shape (n,), optional
        One standard error; none is drawn without it.
    name, units : str
        What the parameter is, for the axis label.

    Returns
    -------
    xarray.Dataset
        `mean` and `error` over `parameter`.

    Raises
    ------
    ValueError
        If lengths differ.

    Examples
    --------
    >>> curve([1.0, 2.0], [0.9, 0.1], name="temperature", units="J/k_B")["mean"].values.tolist()
    [0.9, 0.1]
    """
    x, y = np.asarray(parameter, dtype=np.float64), np.asarray(mean, dtype=np.float64)
    bars = np.full(x.shape, np.nan) if error is None else np.asarray(error, dtype=np.float64)
    if x.ndim != 1 or y.shape != x.shape or bars.shape != x.shape:
        raise ValueError(
            f"Arguments `parameter`, `mean` and `error` must have one length, but their shapes are {x.shape}, "
            f"{y.shape} and {bars.shape}."
        )
    coordinate = ("parameter", x, {"name": name, "units": units})
    return xr.Dataset({"mean": ("parameter", y), "error": ("parameter", bars)}, {"parameter": coordinate})


def curves(
    measured: Mapping[str, xr.Dataset],
    *,
    y_label: str,
    critical_point: Estimate | None = None,
    exact: float | None = None,
    level: float | None = None,
    ordered: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw measured curves against the control parameter, with error bars and the critical point they give.

    Serves the cumulant ratio, the energy, accuracies: whatever was measured along a scan.

    Parameters
    ----------
    measured : mapping of str to xarray.Dataset
        Label, such as "L = 16", to curve (see the head of this module).
    y_label : str
        What was measured.
    critical_point : Estimate, optional
        Drawn as a band of one standard error.
    exact : float, optional
        The known value, drawn as a dotted line; shown beside the result, it entered nothing.
    level : float, optional
        A horizontal guide, such as 1/2.
    ordered : bool
        Whether the labels have an order (sizes), shown as light to dark, or are just different things.
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
    >>> ax = curves({"L = 8": curve([1, 2, 3], [1.0, 0.5, 0.0], name="temperature", units="J/k_B")}, y_label="output")
    >>> ax.get_ylabel()
    'output'
    """
    if not measured:
        raise ValueError("Argument `measured` must hold at least one curve, but it is empty.")
    ax = axes_of(ax, width=4.9)
    colours = shades(len(measured)) if ordered else [CYCLE[i % len(CYCLE)] for i in range(len(measured))]
    with styled():
        if level is not None:
            ax.axhline(level, color=GREY, linewidth=0.7, linestyle=(0, (1, 2)), zorder=0)
        for i, (label, line) in enumerate(measured.items()):
            _draw_line(ax, line, label=plain(label), colour=colours[i], marker=MARKERS[i % len(MARKERS)])
        _draw_critical(ax, critical_point, exact)
        attrs = next(iter(measured.values()))["parameter"].attrs
        ax.set_xlabel(axis_label(attrs.get("name") or _TEMPERATURE[0], attrs.get("units") or _TEMPERATURE[1]))
        ax.set_ylabel(y_label)
        legend_beside(ax)
    return ax


def _draw_line(ax: Axes, line: xr.Dataset, *, label: str, colour: str, marker: str) -> None:
    """Draw one curve with its error bars, where they are known."""
    x, y, error = (line[key].values for key in ("parameter", "mean", "error"))
    order = np.argsort(x)
    bars: Any = error[order] if np.isfinite(error).any() else None
    ax.errorbar(
        x[order],
        y[order],
        bars,
        label=label,
        color=colour,
        marker=marker,
        markersize=3.2,
        linewidth=1.1,
        elinewidth=0.9,
    )


def _draw_critical(ax: Axes, critical_point: Estimate | None, exact: float | None) -> None:
    """Draw a result as a band and the known value as a dotted line."""
    if critical_point is not None and math.isfinite(critical_point.mean):
        error = critical_point.error if math.isfinite(critical_point.error) else 0.0
        low, high = critical_point.mean - error, critical_point.mean + error
        ax.axvspan(low, high, color=CYCLE[1], alpha=0.3, linewidth=0, zorder=0)
        ax.axvline(critical_point.mean, color=CYCLE[1], linewidth=0.9, zorder=1, label=f"{critical_point}")
    if exact is not None:
        ax.axvline(exact, color="#000000", linewidth=0.9, linestyle=(0, (1, 1.5)), zorder=1, label=f"exact {exact:.6g}")


def network_output(
    measured: Mapping[str, xr.Dataset],
    *,
    critical_point: Estimate | None = None,
    exact: float | None = None,
    trained_on: Sequence[tuple[float, float]] = (),
    ax: Axes | None = None,
) -> Axes:
    """Draw what a network says along a scan: its mean probability of "ordered" for several sizes.

    Parameters
    ----------
    measured : mapping of str to xarray.Dataset
        Label, such as "L = 16", to curve of the mean probability.
    critical_point : Estimate, optional
        Drawn as a band of one standard error.
    exact : float, optional
        The known value, for comparison.
    trained_on : sequence of (float, float)
        Ranges of the parameter that held the labelled snapshots, shaded.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Examples
    --------
    >>> network_output({"L = 8": curve([1, 2, 3], [1.0, 0.5, 0.0])}, trained_on=[(1.0, 1.5)]).get_ylabel()
    'probability of order'
    """
    ax = curves(
        measured,
        y_label="probability of order",
        critical_point=critical_point,
        exact=exact,
        level=0.5,
        ax=ax,
    )
    with styled():
        for low, high in trained_on:
            ax.axvspan(low, high, color="#00000010", linewidth=0, zorder=-1)
        if trained_on:
            ax.plot([], [], color="#00000022", linewidth=6, label="labels seen")
            legend_beside(ax)
        ax.set_ylim(-0.04, 1.04)
    return ax


def data_collapse(
    measured: Mapping[str, xr.Dataset],
    sizes: Sequence[float],
    *,
    critical_point: float,
    exponent: float,
    y_label: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw curves of several sizes against (T - Tc) L^(1/nu): if both numbers are right, they fall on one.

    Parameters
    ----------
    measured : mapping of str to xarray.Dataset
        Label, such as "L = 16", to curve of something that does not scale by itself, such as a cumulant ratio.
    sizes : sequence of float
        L of each curve, in the same order.
    critical_point : float
        Tc, in the units of the parameter.
    exponent : float
        nu, > 0.
    y_label : str
        What was measured.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    ValueError
        If there are not as many sizes as curves, or `exponent` is not positive.

    Examples
    --------
    >>> ax = data_collapse({"L = 4": curve([1, 3], [1, 0])}, [4], critical_point=2.0, exponent=1.0, y_label="R")
    >>> ax.lines[0].get_xdata().tolist()
    [-4.0, 4.0]
    """
    if len(sizes) != len(measured):
        raise ValueError(f"Argument `sizes` must have one size a curve ({len(measured)}), but it has {len(sizes)}.")
    if not exponent > 0:
        raise ValueError(f"Argument `exponent` must be > 0, but it is {exponent}.")
    scaled = {
        label: line.assign_coords(parameter=(line["parameter"] - critical_point) * float(size) ** (1 / exponent))
        for (label, line), size in zip(measured.items(), sizes, strict=True)
    }
    ax = curves(scaled, y_label=y_label, ax=ax)
    with styled():
        ax.set_xlabel(r"$(T - T_\mathrm{c})\,L^{1/\nu}$")
    return ax


def indicator(
    measured: Mapping[str, xr.Dataset],
    *,
    critical_point: Estimate | None = None,
    exact: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the W curves of learning by confusion: held-out accuracy against the assumed critical point.

    Parameters
    ----------
    measured : mapping of str to xarray.Dataset
        Label, such as "network" or "optimum", to curve.
    critical_point : Estimate, optional
        The maximum that was found, as a band of one standard error.
    exact : float, optional
        The known value of the infinite lattice, for comparison.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Examples
    --------
    >>> indicator({"network": curve([1, 2, 3], [0.9, 1.0, 0.9])}).get_ylabel()
    'accuracy $W$'
    """
    ax = curves(measured, y_label="accuracy $W$", critical_point=critical_point, exact=exact, ordered=False, ax=ax)
    with styled():
        attrs = next(iter(measured.values()))["parameter"].attrs
        where = axis_label(attrs.get("name") or _TEMPERATURE[0], attrs.get("units") or _TEMPERATURE[1])
        ax.set_xlabel(f"assumed critical {where}")
    return ax
