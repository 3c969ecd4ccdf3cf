"""Pictures of entanglement and of wide networks (public in `qmlphys.plotting`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from qmlphys.plotting._style import CYCLE, GREY, MARKERS, axes_of, legend_beside, plain, shades, styled

__all__ = [
    "entropy_curves",
    "growth_laws",
    "kernel_distances",
    "kernel_spectra",
    "parameter_counts",
    "training_flow",
]

_ENTROPY = r"entropy $S_A$ (nats)"
_DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("--", ":", "-.", (0, (5, 1.5, 1, 1.5, 1, 1.5)))
_LAWS = {
    "area": ("constant", CYCLE[2], (0, (1, 1.5))),
    "logarithmic": (r"$a + b\,\ln\,n$", CYCLE[0], "-"),
    "volume": (r"$a + b\,n$", CYCLE[1], (0, (4, 2))),
}


def _row(name: str, values: ArrayLike, size: int | None = None) -> NDArray[np.float64]:
    row = np.asarray(values, dtype=np.float64)
    if row.ndim != 1 or not row.size or (size is not None and row.size != size):
        wanted = "a row of numbers" if size is None else f"a row of {size} numbers"
        raise ValueError(f"Argument `{name}` must be {wanted}, but its shape is {row.shape}.")
    return row


def entropy_curves(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike | None]],
    *,
    references: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    x_label: str = "block length $|A|$",
    y_label: str = _ENTROPY,
    log_x: bool = False,
    ordered: bool = False,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw entropies, or what stands for them, against the length of a block, the number of sites or of nonlinearities.

    Parameters
    ----------
    curves : mapping of str to (array_like, array_like, array_like or None)
        Label to values of x, entropies in nats and their standard errors, each of shape (n_points,).
    references : mapping of str to (array_like, array_like), optional
        Label to x and exact values, drawn as grey lines without points.
    x_label, y_label : str
        Labels of the axes.
    log_x : bool
        Whether x is logarithmic, on which a logarithm is a straight line.
    ordered : bool
        Whether the curves have an order, such as a width; their colours then run from light to dark.
    title : str
        Of the panel.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    ValueError
        If there is no curve, or lengths do not agree.

    Examples
    --------
    >>> ax = entropy_curves({"tanh": ([1, 2, 3], [0.3, 0.5, 0.6], [0.1, 0.1, 0.1])}, log_x=True)
    >>> ax.get_xscale()
    'log'
    """
    if not curves:
        raise ValueError("Argument `curves` must hold at least one curve, but it is empty.")
    ax = axes_of(ax, width=5.2, height=2.9)
    colours: Sequence[str] = shades(len(curves)) if ordered else CYCLE
    ticks: set[float] = set()
    with styled():
        for i, (label, (x, y, error)) in enumerate(curves.items()):
            at = _row("curves", x)
            values = _row("curves", y, at.size)
            spread = None if error is None else _row("curves", error, at.size)
            ticks |= set(at.tolist())
            ax.errorbar(
                at,
                values,
                yerr=spread,
                color=colours[i % len(colours)],
                marker=MARKERS[i % len(MARKERS)],
                markersize=3.6,
                linewidth=1.1,
                linestyle="-" if i < len(CYCLE) or ordered else "--",
                label=plain(label),
            )
        for i, (label, (x, y)) in enumerate((references or {}).items()):
            at = _row("references", x)
            ax.plot(
                at,
                _row("references", y, at.size),
                color=GREY,
                linestyle=_DASHES[i % len(_DASHES)],
                linewidth=1.1,
                zorder=1,
                label=plain(label),
            )
        ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
        _x_axis(ax, sorted(ticks), log=log_x)
        ax.set(xlabel=x_label, ylabel=y_label)
        if title:
            ax.set_title(plain(title))
        legend_beside(ax)
    return ax


def _x_axis(ax: Axes, values: Sequence[float], *, log: bool) -> None:
    """Choose the scale of x; the points themselves are the ticks where they are whole numbers and few."""
    if log:
        ax.set_xscale("log")
        ax.minorticks_off()
    if len(values) <= 12 and all(value == int(value) for value in values):
        places = np.log(values) if log else np.array(values)
        gap = (0.055 if log else 0.045) * (places[-1] - places[0])
        shown = [0]
        for k in range(1, len(values)):  # neighbours that would write over each other are left out
            if places[k] - places[shown[-1]] > gap:
                shown.append(k)
        ax.set_xticks([values[k] for k in shown], [f"{values[k]:g}" for k in shown])


def growth_laws(
    n_sites: ArrayLike,
    entropies: ArrayLike,
    errors: ArrayLike | None = None,
    *,
    laws: Mapping[str, tuple[float, float]],
    verdict: str = "",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw entropies against the number of sites with the fitted laws, on a logarithmic axis of n.

    Parameters
    ----------
    n_sites, entropies : array_like, shape (n_points,)
        Sizes, and entropies in nats.
    errors : array_like, shape (n_points,), optional
        Standard errors of the entropies.
    laws : mapping of str to (float, float)
        "area", "logarithmic", "volume" to intercept a and slope b: S = a, a + b ln n, a + b n.
    verdict : str
        The law that was chosen; its line is drawn strong, the others faint.
    title : str
        Of the panel.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    ValueError
        If lengths do not agree, or a law has another name.

    Examples
    --------
    >>> laws = {"logarithmic": (0.1, 0.5), "volume": (0.7, 0.05)}
    >>> growth_laws([8, 16, 32], [1.1, 1.5, 1.8], laws=laws, verdict="logarithmic").get_xlabel()
    'number of sites $n$'
    """
    x = _row("n_sites", n_sites)
    y = _row("entropies", entropies, x.size)
    spread = None if errors is None else _row("errors", errors, x.size)
    unknown = sorted(set(laws) - set(_LAWS))
    if unknown:
        raise ValueError(f"Argument `laws` must name laws of {sorted(_LAWS)}, but it names {unknown}.")
    ax = axes_of(ax, width=4.9)
    fine = np.geomspace(0.96 * x.min(), 1.04 * x.max(), 200)
    with styled():
        ax.errorbar(x, y, yerr=spread, fmt="o", color="#222222", markersize=4, label="measured", zorder=3)
        bounds = ax.get_ylim()
        for law, (label, colour, dashes) in _LAWS.items():
            if law in laws:
                a, b = laws[law]
                line = a + b * {"area": 0 * fine, "logarithmic": np.log(fine), "volume": fine}[law]
                chosen = law == verdict
                ax.plot(
                    fine,
                    line,
                    color=colour,
                    linestyle=dashes,
                    linewidth=1.8 if chosen else 1.0,
                    alpha=1.0 if chosen or not verdict else 0.55,
                    label=f"{label}, chosen" if chosen else label,
                )
        margin = 0.25 * (bounds[1] - bounds[0])
        ax.set_ylim(bounds[0] - margin, bounds[1] + margin)
        _x_axis(ax, sorted(set(x.tolist())), log=True)
        ax.set(xlabel="number of sites $n$", ylabel=_ENTROPY)
        if title:
            ax.set_title(plain(title))
        legend_beside(ax)
    return ax


def training_flow(
    runs: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]],
    *,
    x_label: str = r"training time $\eta\,\lambda_\mathrm{max}\,t$",
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the loss of training runs with the linear flow that the tangent kernel at the start predicts.

    Parameters
    ----------
    runs : mapping of str to (array_like, array_like, array_like)
        Label to time, loss of the network, and loss of the linear flow at the same times; each of shape (n_times,).
    x_label : str
        What time is.
    title : str
        Of the panel.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, both logarithmic.

    Raises
    ------
    ValueError
        If there is no run, or lengths do not agree.

    Examples
    --------
    >>> training_flow({"H = 4096": ([1, 10, 100], [0.5, 0.1, 1e-4], [0.5, 0.1, 9e-5])}).get_yscale()
    'log'
    """
    if not runs:
        raise ValueError("Argument `runs` must hold at least one run, but it is empty.")
    ax = axes_of(ax, width=4.9)
    with styled():
        for i, (label, (time, loss, flow)) in enumerate(runs.items()):
            at = _row("runs", time)
            measured, predicted = (_positive(_row("runs", values, at.size)) for values in (loss, flow))
            colour = CYCLE[i % len(CYCLE)]
            ax.plot(at, measured, color=colour, linewidth=2.4, alpha=0.45, label=plain(label))
            predicted_label = "linear flow" if i == len(runs) - 1 else None
            ax.plot(at, predicted, color="#222222", linewidth=0.9, linestyle="--", label=predicted_label)
        ax.set_xscale("symlog" if any(np.any(np.asarray(t) <= 0) for t, _, _ in runs.values()) else "log")
        ax.set_yscale("log")
        ax.set(xlabel=x_label, ylabel=r"loss $|\psi - \psi_\mathrm{T}|^2$")
        if title:
            ax.set_title(plain(title))
        legend_beside(ax)
    return ax


def _positive(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Blank what a logarithm cannot show."""
    return np.where(values > 0, values, np.nan)


def kernel_distances(
    widths: ArrayLike,
    distances: ArrayLike,
    errors: ArrayLike | None = None,
    *,
    slope: float | None = None,
    prefactor: float | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw how far a network's tangent kernel is from that of infinite width, against the width.

    Parameters
    ----------
    widths, distances : array_like, shape (n_widths,)
        H, and the relative distance (Frobenius), both positive.
    errors : array_like, shape (n_widths,), optional
        Standard errors of the distances.
    slope, prefactor : float, optional
        A fit prefactor H^slope, drawn if both are given.
    title : str
        Of the panel.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, both logarithmic.

    Raises
    ------
    ValueError
        If lengths do not agree, or a number is not positive.

    Examples
    --------
    >>> kernel_distances([1024, 4096], [0.02, 0.01], slope=-0.5, prefactor=0.64).get_xscale()
    'log'
    """
    x = _row("widths", widths)
    y = _row("distances", distances, x.size)
    spread = None if errors is None else _row("errors", errors, x.size)
    for name, values in (("widths", x), ("distances", y)):
        if not (values > 0).all():
            raise ValueError(f"Argument `{name}` must be positive, but it is {values.tolist()}.")
    ax = axes_of(ax, width=4.6)
    with styled():
        ax.errorbar(x, y, yerr=spread, fmt="o", color=CYCLE[0], label="networks")
        if slope is not None and prefactor is not None:
            ends = np.array([x.min() / 1.2, x.max() * 1.2])
            label = rf"$\propto H^{{{slope:.2f}}}$"
            ax.plot(ends, prefactor * ends**slope, color=GREY, linestyle="--", zorder=1, label=label)
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.set_xticks(x, [f"{value:g}" for value in x])
        ax.set(xlabel="width $H$", ylabel=r"$|\Theta - \Theta_\infty|\,/\,|\Theta_\infty|$")
        if title:
            ax.set_title(plain(title))
        legend_beside(ax)
    return ax


def kernel_spectra(
    eigenvalues: Mapping[str, ArrayLike],
    *,
    floor: float = 1e-16,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw eigenvalues of tangent kernels, in units of the largest: the rates at which a target is learned.

    Parameters
    ----------
    eigenvalues : mapping of str to array_like of shape (n_values,)
        Label to eigenvalues, in any order; the labels run from light to dark.
    floor : float
        Ratios below this are rounding and are not drawn.
    title : str
        Of the panel.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, the vertical one logarithmic.

    Raises
    ------
    ValueError
        If there is none, or the largest eigenvalue is not positive.

    Examples
    --------
    >>> len(kernel_spectra({"sigma_w = 1": [1.0, 0.1, 0.001]}).lines)
    1
    """
    if not eigenvalues:
        raise ValueError("Argument `eigenvalues` must hold at least one spectrum, but it is empty.")
    ax = axes_of(ax, width=4.9)
    with styled():
        for colour, (label, values) in zip(shades(len(eigenvalues)), eigenvalues.items(), strict=True):
            falling = np.sort(_row("eigenvalues", values))[::-1]
            if not falling[0] > 0:
                raise ValueError(f"Argument `eigenvalues` must have a positive largest one, but it is {falling[0]}.")
            ratios = falling / falling[0]
            shown = np.where(ratios > floor, ratios, np.nan)
            ax.plot(np.arange(1, falling.size + 1), shown, color=colour, label=plain(label))
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set(xlabel="number of the eigenvalue", ylabel=r"$\lambda_i\,/\,\lambda_1$")
        if title:
            ax.set_title(plain(title))
        legend_beside(ax)
    return ax


def parameter_counts(table: xr.Dataset, *, title: str = "", ax: Axes | None = None) -> Axes:
    """Draw how many parameters a given entropy takes in a Boltzmann machine and in a matrix product state.

    Parameters
    ----------
    table : xarray.Dataset
        `rbm`, `dense_rbm` and `mps` over `entropy`, as `qmlphys.nqs.constructions.parameters_for_entropy` makes it.
    title : str
        Of the panel.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, the vertical one logarithmic.

    Raises
    ------
    ValueError
        If a column is missing.

    Examples
    --------
    >>> columns = {name: ("entropy", [3.0, 9.0]) for name in ("rbm", "dense_rbm", "mps")}
    >>> len(parameter_counts(xr.Dataset(columns, {"entropy": [0.7, 2.1]})).lines)
    3
    """
    names = {
        "mps": "matrix product state",
        "dense_rbm": "Boltzmann machine, all weights stored",
        "rbm": "Boltzmann machine, sparse",
    }
    missing = sorted((set(names) | {"entropy"}) - set(map(str, table.variables)))
    if missing:
        here = sorted(map(str, table.variables))
        raise ValueError(f"Argument `table` must hold {', '.join(missing)}, but it holds {here}.")
    ax = axes_of(ax, width=5.6)
    with styled():
        for i, (name, label) in enumerate(names.items()):
            ax.plot(
                table["entropy"].values,
                table[name].values,
                color=CYCLE[(1, 4, 0)[i]],
                marker=MARKERS[i],
                markersize=3.4,
                linewidth=1.2,
                label=label,
            )
        ax.set_yscale("log")
        ax.set(xlabel="entropy between two halves (nats)", ylabel="parameters")
        if title:
            ax.set_title(plain(title))
        legend_beside(ax)
    return ax
