"""Pictures of generated samples: images, cost of post-selection, residuals, correlations (in `qmlphys.plotting`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from numpy.typing import ArrayLike, NDArray

from qmlphys.plotting._style import (
    CYCLE,
    GREY,
    MARKERS,
    SPIN_COLOURS,
    axes_of,
    axis_label,
    legend_beside,
    plain,
    styled,
)

__all__ = ["correlations", "generated_images", "residuals", "success_probability"]

_DOTTED = (0, (1, 1.5))


def generated_images(
    images: Mapping[str, ArrayLike],
    *,
    shape: tuple[int, int],
    weights: Mapping[str, ArrayLike] | None = None,
    n_images: int = 12,
    ax: Axes | None = None,
) -> Axes:
    """Show samples as images, one line for the data and one for each source of generated rows.

    Parameters
    ----------
    images : mapping of str to array_like, shape (n, n_sites)
        Label, such as "data" or "Aer", to rows of bits (0/1) or spins (-1/+1); the first ones are shown, so draw or
        sort them before.
    shape : (int, int)
        Rows and columns of an image; site i is row i // columns, column i % columns.
    weights : mapping of str to array_like, shape (n,), optional
        Shares of the images, by the same labels, written below them in percent.
    n_images : int
        How many of each are shown.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, without ticks; bit 1 (spin -1) is light.

    Raises
    ------
    ValueError
        If there is nothing to draw, a row does not have the sites of the shape, or holds anything but bits or spins.

    Examples
    --------
    >>> ax = generated_images({"data": [[0, 1, 0, 1]], "Aer": [[0, 1, 1, 1]]}, shape=(2, 2))
    >>> [text.get_text() for text in ax.texts]
    ['data', 'Aer']
    """
    if not images:
        raise ValueError("Argument `images` must hold at least one set of rows, but it is empty.")
    if n_images < 1:
        raise ValueError(f"Argument `n_images` must be at least 1, but it is {n_images}.")
    rows = {label: _spins(values, shape, label) for label, values in images.items()}
    shares = {label: np.asarray(values, dtype=np.float64) for label, values in (weights or {}).items()}
    for label, values in shares.items():
        if label not in rows or values.shape != (len(rows[label]),):
            raise ValueError(
                f"Argument `weights` must have one share an image, but those of {label!r} have the shape "
                f"{values.shape}."
            )
    n_columns = min(n_images, max(len(found) for found in rows.values()))
    step, line = 1.16, 1.42 if shares else 1.16
    # An image is 0.45 inches wide; a letter of a label takes about a sixth of that.
    margin = 0.35 + 0.17 * max(len(plain(label)) for label in rows)
    ax = axes_of(ax, width=0.45 * (margin + step * n_columns), height=0.45 * (line * len(rows) + 0.3))
    colours = ListedColormap(SPIN_COLOURS)
    with styled():
        for place, (label, found) in enumerate(rows.items()):
            low = -line * place
            for column, row in enumerate(found[:n_columns]):
                left = step * column
                extent = (left, left + 1, low, low + 1)
                ax.imshow(row.reshape(shape), cmap=colours, vmin=-1, vmax=1, interpolation="none", extent=extent)
                ax.plot(
                    [left, left + 1, left + 1, left, left],
                    [low, low, low + 1, low + 1, low],
                    color="#333333",
                    linewidth=0.6,
                )
                if label in shares:
                    text = f"{100 * shares[label][column]:.2g} %"
                    ax.text(left + 0.5, low - 0.06, text, ha="center", va="top", fontsize=7, color=GREY)
            ax.text(-0.25, low + 0.5, plain(label), ha="right", va="center", fontsize=9)
        bottom = -line * (len(rows) - 1) - (0.4 if shares else 0.1)
        ax.set(xlim=(-margin, step * n_columns - 0.06), ylim=(bottom, 1.1), aspect="equal")
        ax.set_axis_off()
    return ax


def _spins(values: ArrayLike, shape: tuple[int, int], label: str) -> NDArray[np.float64]:
    """Check rows and write them as spins."""
    rows = np.asarray(values, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != shape[0] * shape[1] or not len(rows):
        raise ValueError(
            f"Argument `images` must hold rows of {shape[0]} x {shape[1]} sites, but those of {label!r} have the shape "
            f"{rows.shape}."
        )
    if not np.isin(rows, (-1, 0, 1)).all() or ((rows == 0).any() and (rows == -1).any()):
        raise ValueError(f"Argument `images` must hold bits (0/1) or spins (-1/+1), but {label!r} holds other numbers.")
    # Rows of ones alone could be either; as spins they are +1, as bits -1: like the rest of the package, spins.
    return 1 - 2 * rows if (rows == 0).any() else rows


def success_probability(
    sizes: Sequence[float],
    predicted: ArrayLike,
    *,
    measured: ArrayLike | None = None,
    errors: ArrayLike | None = None,
    certain: Sequence[float] = (),
    x_label: str = "sites",
    ax: Axes | None = None,
) -> Axes:
    """Draw how the share of shots that post-selection keeps falls with the size.

    Parameters
    ----------
    sizes : sequence of float
        Where it was predicted.
    predicted : array_like of float, shape (n,)
        Probabilities, drawn as a line.
    measured, errors : array_like of float, shape (n,), optional
        Shares of the shots that were kept, with standard errors, drawn as points.
    certain : sequence of float
        Sizes that were prepared without post-selection: marks at probability 1.
    x_label : str
        What the sizes are.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes, logarithmic.

    Raises
    ------
    ValueError
        If lengths differ or a prediction is not a probability above 0.

    Examples
    --------
    >>> success_probability([2, 3, 4], [0.5, 0.25, 0.125], measured=[0.51, 0.24, 0.12]).get_yscale()
    'log'
    """
    values = np.asarray(predicted, dtype=np.float64)
    found = None if measured is None else np.asarray(measured, dtype=np.float64)
    bars = None if errors is None else np.asarray(errors, dtype=np.float64)
    for name, array in (("predicted", values), ("measured", found), ("errors", bars)):
        if array is not None and array.shape != (len(sizes),):
            raise ValueError(
                f"Argument `{name}` must have one number a size ({len(sizes)}), but its shape is {array.shape}."
            )
    if not ((values > 0) & (values <= 1 + 1e-12)).all():
        raise ValueError(f"Argument `predicted` must hold probabilities above 0, but it holds {values.tolist()}.")
    ax = axes_of(ax, width=4.6)
    with styled():
        ax.plot(sizes, values, color=CYCLE[0], marker="", label="predicted")
        if found is not None:
            shown = np.where(found > 0, found, np.nan)  # a logarithm has no zero
            ax.errorbar(sizes, shown, bars, color=CYCLE[1], marker="o", linestyle="none", label="measured")
        if len(certain):
            ones = np.ones(len(certain))
            ax.plot(certain, ones, color=CYCLE[2], marker="s", linestyle="none", label="chain, no post-selection")
        ax.set_yscale("log")
        ax.set_ylim(top=1.35)
        ax.set(xlabel=x_label, ylabel="success probability")
        places = sorted({*sizes, *certain})
        ax.set_xticks(places, [f"{size:g}" for size in places])
        legend_beside(ax)
    return ax


def residuals(measured: Mapping[str, xr.Dataset], *, y_label: str, ax: Axes | None = None) -> Axes:
    """Draw how far measured curves lie from what they should be: points with errors around zero.

    Parameters
    ----------
    measured : mapping of str to xarray.Dataset
        Label to the curve of a difference, as `curve` makes it.
    y_label : str
        What is subtracted from what.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes; points at one value are set beside each other.

    Raises
    ------
    ValueError
        If there is nothing to draw.

    Examples
    --------
    >>> from qmlphys.plotting import curve
    >>> residuals({"Aer": curve([1.0, 2.0], [0.01, -0.02], [0.01, 0.01])}, y_label="E - exact").get_ylabel()
    'E - exact'
    """
    if not measured:
        raise ValueError("Argument `measured` must hold at least one curve, but it is empty.")
    ax = axes_of(ax, width=4.6)
    first = next(iter(measured.values()))["parameter"]
    gap = float(np.diff(np.unique(first.values)).min()) if first.size > 1 else 1.0
    with styled():
        ax.axhline(0, color="#000000", linewidth=0.9, linestyle=_DOTTED, zorder=0)
        for i, (label, line) in enumerate(measured.items()):
            shift = (i - (len(measured) - 1) / 2) * 0.1 * gap
            x, y, error = (line[key].values for key in ("parameter", "mean", "error"))
            look: dict[str, Any] = {"color": CYCLE[i % len(CYCLE)], "marker": MARKERS[i % len(MARKERS)]}
            ax.errorbar(x + shift, y, error, linestyle="none", label=plain(label), **look)
        attrs = first.attrs
        ax.set(xlabel=axis_label(attrs.get("name") or "temperature", attrs.get("units") or "J/k_B"), ylabel=y_label)
        legend_beside(ax)
    return ax


def correlations(
    measured: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]],
    *,
    exact: tuple[ArrayLike, ArrayLike] | None = None,
    y_label: str = r"$\langle s_i s_j \rangle$",
    ax: Axes | None = None,
) -> Axes:
    """Draw spin correlations against distance, for data and generated samples beside each other.

    Parameters
    ----------
    measured : mapping of str to (array_like, array_like, array_like)
        Label to distances, values and standard errors, each of shape (n,).
    exact : (array_like, array_like), optional
        Distances and exact values, drawn as a dotted line.
    y_label : str
        What is correlated.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes; points of one distance are set beside each other so that error bars stay apart.

    Raises
    ------
    ValueError
        If there is nothing to draw or lengths differ.

    Examples
    --------
    >>> ax = correlations({"data": ([1, 1.41], [0.7, 0.6], [0.01, 0.01])}, exact=([1, 1.41], [0.71, 0.6]))
    >>> ax.get_xlabel()
    'distance'
    """
    if not measured:
        raise ValueError("Argument `measured` must hold at least one curve, but it is empty.")
    curves: dict[str, tuple[NDArray[np.float64], ...]] = {}
    for label, (distances, values, errors) in measured.items():
        arrays = tuple(np.asarray(part, dtype=np.float64) for part in (distances, values, errors))
        if arrays[0].ndim != 1 or len({array.shape for array in arrays}) != 1:
            shapes = [array.shape for array in arrays]
            raise ValueError(
                f"Argument `measured` must hold arrays of one length, but those of {label!r} have {shapes}."
            )
        curves[label] = arrays
    reach = np.unique(np.concatenate([arrays[0] for arrays in curves.values()]))
    gap = float(np.diff(reach).min()) if reach.size > 1 else 1.0
    width = min(0.12, 0.16 * gap * 4 / max(len(curves), 4))
    ax = axes_of(ax, width=4.6)
    with styled():
        if exact is not None:
            ax.plot(*exact, color="#000000", linewidth=0.9, linestyle=_DOTTED, zorder=0, label="exact")
        for i, (label, (distances, values, errors)) in enumerate(curves.items()):
            shift = (i - (len(curves) - 1) / 2) * width
            look: dict[str, Any] = {"color": CYCLE[i % len(CYCLE)], "marker": MARKERS[i % len(MARKERS)]}
            ax.errorbar(distances + shift, values, errors, linestyle="none", label=plain(label), **look)
        ax.set(xlabel="distance", ylabel=y_label)
        legend_beside(ax)
    return ax
