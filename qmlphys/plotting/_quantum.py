"""Pictures of circuits and of what they measure: drawings, histograms, solutions, spectra (in `qmlphys.plotting`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from qmlphys import snapshots
from qmlphys.plotting._style import CYCLE, GREY, MARKERS, axes_of, axis_label, figure, legend_beside, plain, styled

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from qmlphys.stats import Estimate

__all__ = ["circuit_drawing", "components", "histogram", "spectrum"]

_MAX_DRAWN = 2000  # instructions; beyond this nobody can read a drawing, and it takes minutes


def circuit_drawing(circuit: QuantumCircuit, *, fold: int = 25, ax: Axes | None = None) -> Axes:
    """Draw a circuit, time running to the right.

    Parameters
    ----------
    circuit : qiskit.QuantumCircuit
        At most 2,000 instructions; draw a part of a longer one. Its global phase is not shown.
    fold : int
        Gates in a line before the drawing goes on below; -1 for a single line.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    ValueError
        If the circuit is too long to be drawn.

    Examples
    --------
    >>> from qiskit import QuantumCircuit
    >>> bell = QuantumCircuit(2)
    >>> _ = bell.h(0), bell.cx(0, 1)
    >>> circuit_drawing(bell).figure.get_size_inches()[1] > 0
    np.True_
    """
    if len(circuit.data) > _MAX_DRAWN:
        raise ValueError(
            f"Argument `circuit` must have at most {_MAX_DRAWN} instructions to be drawn, but it has "
            f"{len(circuit.data)}: draw a part of it."
        )
    if ax is None:
        n_layers = max(circuit.depth(), 1)
        n_lines = 1 if fold < 1 else -(-n_layers // fold)
        width = min(n_layers, fold if fold > 0 else n_layers)
        ax = figure(
            width=float(np.clip(1.8 + 0.55 * width, 3.6, 14)),
            height=float(np.clip(0.9 + 0.42 * (circuit.num_qubits + 1) * n_lines, 1.6, 40)),
        )[1][0]
    shown = circuit.copy()
    shown.global_phase = 0.0  # Qiskit would write it with pyplot, on a figure of its own
    with styled():
        shown.draw("mpl", ax=ax, fold=fold, style="iqp")
    return ax


def histogram(
    ds: xr.Dataset,
    *,
    parameter: int | None = None,
    exact: Mapping[str, float] | None = None,
    n_most: int = 16,
    ax: Axes | None = None,
) -> Axes:
    """Draw how often each bit string was measured, with standard errors.

    Parameters
    ----------
    ds : xarray.Dataset
        Snapshots.
    parameter : int, optional
        Index of the control parameter's value, where there are several.
    exact : mapping of str to float, optional
        Known probabilities by bit string (site 0 at the right), drawn as marks.
    n_most : int
        Bit strings drawn: the most frequent ones; the rest is one bar.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    ValueError
        If `n_most` is below 1, or `parameter` is needed or out of range.

    Examples
    --------
    >>> ds = snapshots.from_counts({"00": 48, "11": 52}, 0.0, name="field", units="J", model="", lattice="", seed=1)
    >>> ax = histogram(ds, exact={"00": 0.5, "11": 0.5})
    >>> [label.get_text() for label in ax.get_xticklabels()]
    ['00', '11']
    """
    if n_most < 1:
        raise ValueError(f"Argument `n_most` must be at least 1, but it is {n_most}.")
    counted = snapshots.counts(ds, parameter=parameter)
    n_shots = sum(counted.values())
    shown = sorted(list(counted)[:n_most])
    shares = np.array([counted[key] / n_shots for key in shown])
    rest = 1 - shares.sum()
    labels = shown + (["others"] if len(counted) > n_most else [])
    heights = np.append(shares, rest)[: len(labels)]
    errors = np.sqrt(heights * (1 - heights) / n_shots)
    ax = axes_of(ax, width=max(3.6, 1.2 + 0.28 * len(labels)))
    with styled():
        places = np.arange(len(labels))
        colours = [CYCLE[0]] * len(shown) + [GREY] * (len(labels) - len(shown))
        ax.bar(places, heights, 0.75, yerr=errors, color=colours, ecolor="#333333", label="measured")
        if exact is not None:
            marks = [exact.get(key, 0.0) for key in shown]
            ax.plot(
                places[: len(shown)], marks, linestyle="none", marker="_", ms=9, mew=1.6, color=CYCLE[1], label="exact"
            )
            ax.legend()
        long = max(map(len, labels), default=0) > 4
        ax.set_xticks(places, labels, rotation=90 if long else 0, family="monospace" if long else None)
        ax.set_ylabel(f"share of {n_shots:,} shots")
        ax.set_ylim(bottom=0)
    return ax


def components(
    found: Mapping[str, ArrayLike],
    *,
    errors: Mapping[str, ArrayLike] | None = None,
    labels: Sequence[str] | None = None,
    x_label: str = "component",
    y_label: str = "$x_i$",
    ax: Axes | None = None,
) -> Axes:
    """Draw vectors component by component beside each other, such as a solution and the classical one.

    Parameters
    ----------
    found : mapping of str to array_like of float, shape (n,)
        Name to vector, real; all of one length.
    errors : mapping of str to array_like of float, shape (n,), optional
        Standard errors, by the same names.
    labels : sequence of str, length n, optional
        Names of the components; their numbers unless given.
    x_label, y_label : str
        What the axes mean.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    ValueError
        If the vectors differ in length or are complex.

    Examples
    --------
    >>> components({"quantum": [1.0, 2.0], "classical": [1.01, 1.99]}).get_xlabel()
    'component'
    """
    vectors = {name: np.asarray(values) for name, values in found.items()}
    lengths = {len(values) for values in vectors.values()}
    if len(lengths) != 1:
        raise ValueError(f"Argument `found` must hold vectors of one length, but they have {sorted(lengths)}.")
    if any(np.iscomplexobj(values) for values in vectors.values()):
        raise ValueError(
            "Argument `found` must hold real vectors, but one is complex: draw its real or imaginary part."
        )
    n = lengths.pop()
    names = [str(i) for i in range(n)] if labels is None else list(labels)
    if len(names) != n:
        raise ValueError(f"Argument `labels` must have {n} names, but it has {len(names)}.")
    ax = axes_of(ax, width=float(np.clip(2.4 + 0.3 * n, 4.4, 9)))
    width = 0.8 / len(vectors)
    with styled():
        for i, (label, values) in enumerate(vectors.items()):
            places = np.arange(n) + (i - (len(vectors) - 1) / 2) * width
            bars = None if errors is None or label not in errors else np.asarray(errors[label])
            ax.bar(places, values, 0.92 * width, yerr=bars, color=CYCLE[i % len(CYCLE)], label=plain(label))
        ax.axhline(0, color="#333333", linewidth=0.8)
        step = max(1, n // 16)
        ax.set_xticks(range(0, n, step), [plain(name) for name in names[::step]])
        ax.set(xlabel=x_label, ylabel=y_label)
        legend_beside(ax)
    return ax


def spectrum(
    measured: Mapping[str, xr.Dataset],
    *,
    peaks: Sequence[Estimate] = (),
    exact: Sequence[float] = (),
    ax: Axes | None = None,
) -> Axes:
    """Draw power against frequency, with the frequencies that were found.

    Parameters
    ----------
    measured : mapping of str to xarray.Dataset
        Label to ``power`` and ``error`` over ``frequency``, as `qmlphys.workflows.spectrum` gives them. A spectrum
        without errors is drawn as a line, one with errors as points.
    peaks : sequence of Estimate
        Frequencies found, drawn as triangles with their errors above the spectra.
    exact : sequence of float
        Known frequencies, drawn as dotted lines.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    ValueError
        If there is nothing to draw.

    Examples
    --------
    >>> shares = {"power": ("frequency", [0.1, 0.8, 0.1]), "error": ("frequency", [0.0, 0.0, 0.0])}
    >>> spectrum({"exact": xr.Dataset(shares, {"frequency": [0.0, 0.25, 0.5]})}).get_ylabel()
    'share of the power'
    """
    if not measured:
        raise ValueError("Argument `measured` must hold at least one spectrum, but it is empty.")
    ax = axes_of(ax, width=7.2, height=2.9)
    top, units = 0.0, "1"
    with styled():
        for i, (label, ds) in enumerate(measured.items()):
            ordered = ds.sortby("frequency")
            x, y, error = (ordered[key].values for key in ("frequency", "power", "error"))
            units = ordered["frequency"].attrs.get("units", units)
            top = max(top, float((y + error).max()))
            look: dict[str, Any] = {"color": CYCLE[i % len(CYCLE)], "label": plain(label)}
            if error.any():
                ax.errorbar(x, y, error, marker=MARKERS[i % len(MARKERS)], ms=3, linestyle="none", zorder=3, **look)
            else:
                ax.plot(x, y, drawstyle="steps-mid", **look)
        for value in exact:
            ax.axvline(value, color="#000000", linewidth=0.9, linestyle=(0, (1, 1.5)), zorder=0)
        if peaks:
            places, bars = [peak.mean for peak in peaks], [peak.error for peak in peaks]
            heights = np.full(len(peaks), 1.06 * top)
            ax.errorbar(places, heights, xerr=bars, linestyle="none", marker="v", color="#000000", label="found")
        ax.set(xlabel=axis_label("frequency", units), ylabel="share of the power")
        ax.set_ylim(bottom=0, top=1.14 * top)
        legend_beside(ax)
    return ax
