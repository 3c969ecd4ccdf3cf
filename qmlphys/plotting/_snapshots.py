"""Pictures of snapshots, one by one and in the plane of their components (public in `qmlphys.plotting`)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib.collections
import matplotlib.colors
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from qmlphys import lattices
from qmlphys.plotting._style import SPIN_COLOURS, axes_of, axis_label, plain, styled

__all__ = ["plane", "snapshot_grid"]

_MAX_POINTS = 4000


def snapshot_grid(ds: xr.Dataset, *, n_values: int = 6, chain: int = 0, draw: int = -1, ax: Axes | None = None) -> Axes:
    """Show one snapshot at each of several values of the control parameter, in a row.

    Parameters
    ----------
    ds : xarray.Dataset
        A snapshot Dataset of one- or two-dimensional lattices (its attribute `lattice` says which), in order of the
        parameter. Of a chain, the last draws are stacked as rows, so that time runs downwards.
    n_values : int
        How many values, evenly spread over those of the data set.
    chain, draw : int
        Which snapshot.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, without ticks.

    Raises
    ------
    ValueError
        If the lattice is not known or has three dimensions, or if there is no such chain or draw.

    Examples
    --------
    >>> from qmlphys import snapshots
    >>> ds = snapshots.dataset([[[[1, -1, 1] * 3]]], [2.0], name="temperature", units="J/k_B", source="montecarlo",
    ...                        model="", lattice="square(3)", seed=0)
    >>> [text.get_text() for text in snapshot_grid(ds).texts]
    ['$T$ = 2.00']
    """
    lattice = lattices.from_label(ds.attrs["lattice"])
    if lattice.n_dimensions > 2:
        raise ValueError(f"Argument `ds` must hold a flat lattice to be drawn, but it holds {lattice.label}.")
    for key, index in (("chain", chain), ("draw", draw)):
        if not -ds.sizes[key] <= index < ds.sizes[key]:
            raise ValueError(f"Argument `{key}` must be one of {ds.sizes[key]}, but it is {index}.")
    n_parameters = ds.sizes["parameter"]
    chosen = np.unique(np.linspace(0, n_parameters - 1, min(n_values, n_parameters)).round().astype(int))
    ax = axes_of(ax, width=1.25 * len(chosen) + 0.3, height=1.75)
    symbol = "$T$" if ds["parameter"].attrs["name"] == "temperature" else plain(ds["parameter"].attrs["name"])
    with styled():
        for place, index in enumerate(chosen):
            rows = ds["spins"].values[index, chain]
            if lattice.name in ("chain", "square"):
                picture = rows[-lattice.size :] if lattice.n_dimensions == 1 else rows[draw].reshape(lattice.shape)
                _draw_squares(ax, picture, left=1.08 * place)
            else:
                _draw_cells(ax, rows[draw], lattice.coordinates, left=1.08 * place)
            value = float(ds["parameter"].values[index])
            ax.text(1.08 * place + 0.5, 1.05, f"{symbol} = {value:.2f}", ha="center", va="bottom", fontsize=9)
        ax.set(xlim=(-0.02, 1.08 * len(chosen) - 0.06), ylim=(-0.02, 1.22), aspect="equal")
        ax.set_axis_off()
    return ax


def _draw_squares(ax: Axes, picture: NDArray[np.int8], *, left: float) -> None:
    """Draw spins as the pixels of an image of unit size."""
    colours = matplotlib.colors.ListedColormap(SPIN_COLOURS)
    ax.imshow(
        picture, cmap=colours, vmin=-1, vmax=1, interpolation="none", extent=(left, left + 1, 0, 1), aspect="auto"
    )
    ax.plot([left, left + 1, left + 1, left, left], [0, 0, 1, 1, 0], color="#333333", linewidth=0.6)


def _draw_cells(ax: Axes, spins: NDArray[np.int8], positions: NDArray[np.float64], *, left: float) -> None:
    """Draw each spin as a disc at its place, the whole fitted into the unit square."""
    middle = (positions.min(axis=0) + positions.max(axis=0)) / 2
    extent = float(np.ptp(positions, axis=0).max()) + 1.0
    centres = (positions - middle) / extent + np.array([left + 0.5, 0.5])
    angles = np.linspace(0, 2 * math.pi, 6, endpoint=False) + math.pi / 6
    corners = np.stack([np.cos(angles), np.sin(angles)], axis=1) / (math.sqrt(3) * extent)
    cells = matplotlib.collections.PolyCollection(
        list(centres[:, None, :] + corners[None, :, :]),
        facecolors=[SPIN_COLOURS[int(s > 0)] for s in spins],
        edgecolors="#33333355",
        linewidths=0.15,
        rasterized=True,
    )
    ax.add_collection(cells)


def plane(
    coordinates: ArrayLike,
    parameter: ArrayLike,
    *,
    name: str = "temperature",
    units: str = "J/k_B",
    explained_variance_ratio: Sequence[float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw snapshots in the plane of their first two components, coloured by the control parameter.

    Parameters
    ----------
    coordinates : array_like of float, shape (n, >= 2)
        The components; of more than 4000 snapshots, an even selection is drawn.
    parameter : array_like of float, shape (n,)
        Control parameter of each snapshot.
    name, units : str
        What the parameter is.
    explained_variance_ratio : sequence of float, optional
        Shares of the variance, written at the axes.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes; a colour bar stands beside them.

    Raises
    ------
    ValueError
        If there are fewer than two components, or lengths differ.

    Examples
    --------
    >>> plane([[0.0, 1.0], [1.0, 0.0]], [1.0, 3.0], explained_variance_ratio=[0.7, 0.1]).get_xlabel()
    'first component (70 %)'
    """
    points, values = np.asarray(coordinates, dtype=np.float64), np.asarray(parameter, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] < 2 or values.shape != points.shape[:1]:
        raise ValueError(
            "Arguments `coordinates` and `parameter` must have the shapes (n, 2 or more) and (n,), but they have "
            f"{points.shape} and {values.shape}."
        )
    ax = axes_of(ax, width=4.2, height=3.1)
    keep = np.unique(np.linspace(0, len(points) - 1, min(len(points), _MAX_POINTS)).astype(int))
    # Drawn in a fixed shuffled order: otherwise the last temperature would lie on top of all others.
    keep = np.random.default_rng(0).permutation(keep)
    shares = [
        f" ({100 * share:.0f} %)" for share in (() if explained_variance_ratio is None else explained_variance_ratio)
    ] + ["", ""]
    with styled():
        dots = ax.scatter(
            points[keep, 0],
            points[keep, 1],
            c=values[keep],
            s=5,
            cmap="plasma",
            linewidths=0,
            alpha=0.7,
            rasterized=True,
        )
        bar = ax.get_figure(root=True).colorbar(dots, ax=ax, label=axis_label(name, units))  # type: ignore[union-attr]
        bar.solids.set_alpha(1)  # type: ignore[union-attr]
        bar.outline.set_visible(False)
        ax.set(xlabel=f"first component{shares[0]}", ylabel=f"second component{shares[1]}")
    return ax
