"""How every picture looks, and how it is written (public through `qmlphys.plotting`)."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from cycler import cycler
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from qmlphys._atomic import atomic_path

__all__ = [
    "CYCLE",
    "GREY",
    "MARKERS",
    "SPIN_COLOURS",
    "STYLE",
    "axes_of",
    "axis_label",
    "figure",
    "legend_beside",
    "plain",
    "save",
    "shades",
    "styled",
]

# Okabe and Ito's palette, without its yellow, which is too light for lines: told apart by every kind of eye.
CYCLE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#6b6b6b"
SPIN_COLOURS = ("#f1ede4", "#1f3a5f")
"""Colours of spin -1 and spin +1; they differ in lightness, so a grey print shows the same."""

STYLE: dict[str, Any] = {
    "axes.edgecolor": "#333333",
    "axes.grid": False,
    "axes.labelsize": 9.5,
    "axes.linewidth": 0.8,
    "axes.prop_cycle": cycler(color=CYCLE),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "errorbar.capsize": 0,
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, so that a picture is the same everywhere
    "font.size": 9,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "mathtext.fontset": "dejavusans",
    "path.simplify": True,
    "savefig.bbox": "standard",
    "savefig.dpi": 200,  # of what is drawn as pixels inside an SVG: thousands of dots would make it megabytes
    "svg.fonttype": "path",
    "svg.hashsalt": "qmlphys",  # otherwise element ids are random and no two files are the same
    "xtick.direction": "out",
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
}
"""The one style of all pictures."""

_UNITS = {"J/k_B": r"$J/k_\mathrm{B}$", "J": "$J$"}
_SYMBOLS = {"temperature": "temperature $T$", "field": "field $h$", "coupling": "coupling $J$"}
_MAX_TEXT = 60


class _Figure(Figure):
    """A figure that notebooks show as a picture; they show one that pyplot does not know as text."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        with styled():
            self.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
        return buffer.getvalue()


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Apply `STYLE` to what is drawn inside the block, and to nothing else."""
    with rc_context(STYLE):  # type: ignore[arg-type]
        yield


def figure(
    n_rows: int = 1, n_columns: int = 1, *, width: float = 3.6, height: float = 2.7
) -> tuple[Figure, list[Axes]]:
    """Make an empty figure in the style of this package, without pyplot and its global state; notebooks show it.

    Parameters
    ----------
    n_rows, n_columns : int
        Panels.
    width, height : float
        Size of one panel in inches.

    Returns
    -------
    figure : matplotlib.figure.Figure
        Save it with `save`.
    axes : list of matplotlib.axes.Axes
        Row by row.

    Examples
    --------
    >>> fig, axes = figure(1, 2)
    >>> len(axes)
    2
    """
    with styled():
        fig = _Figure(figsize=(width * n_columns, height * n_rows))
        axes = fig.subplots(n_rows, n_columns, squeeze=False)
    return fig, list(axes.ravel())


def axes_of(ax: Axes | None, *, width: float = 3.6, height: float = 2.7) -> Axes:
    """Return `ax`, or the axes of a new figure if there is none yet."""
    return figure(width=width, height=height)[1][0] if ax is None else ax


def save(fig: Figure | Axes, path: str | os.PathLike[str]) -> None:
    """Write a figure as SVG, whole or not at all; the same figure always gives the same bytes.

    Parameters
    ----------
    fig : matplotlib.figure.Figure or matplotlib.axes.Axes
        The figure, or axes on it.
    path : path-like
        Where to; the name must end in ``.svg`` and the folder must exist.

    Raises
    ------
    ValueError
        If the name does not end in ``.svg``.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> fig, _ = figure()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(fig, pathlib.Path(folder, "empty.svg"))
    ...     pathlib.Path(folder, "empty.svg").read_text()[:5]
    '<?xml'
    """
    name = os.fspath(path)
    if not name.endswith(".svg"):
        raise ValueError(f"Argument `path` must end in '.svg', but it is {name!r}.")
    whole = fig.get_figure(root=True)
    if whole is None:
        raise ValueError("Argument `fig` must be a figure or axes on one, but these axes belong to none.")
    with styled(), atomic_path(name) as temporary:
        whole.savefig(temporary, format="svg", metadata={"Date": None, "Creator": "qmlphys"})


def plain(text: object) -> str:
    """Return text that matplotlib draws as it stands: no mathematics, one line, not endless."""
    line = " ".join(str(text).split())
    if len(line) > _MAX_TEXT:
        line = line[: _MAX_TEXT - 1] + "…"
    return line.replace("\\", "\\\\").replace("$", r"\$")


def axis_label(name: str, units: str) -> str:
    """Return a label such as "temperature $T$ ($J/k_B$)"."""
    label = _SYMBOLS.get(name, plain(name))
    return label if units in ("", "1") else f"{label} ({_UNITS.get(units, plain(units))})"


def shades(number: int) -> list[str]:
    """Return colours that run from light to dark, for things that have an order, such as lattice sizes."""
    return [to_hex(c) for c in colormaps["viridis_r"](np.linspace(0.18, 0.95, max(number, 1)))]


def legend_beside(ax: Axes) -> None:
    """Put the legend to the right of the axes, where it hides nothing: measured things first, then guides."""
    handles, labels = ax.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: not isinstance(handles[i], ErrorbarContainer))
    ax.legend(
        [handles[i] for i in order],
        [labels[i] for i in order],
        loc="upper left",
        bbox_to_anchor=(1.0, 1.02),
        borderaxespad=0.3,
    )
