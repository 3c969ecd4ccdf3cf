"""Pictures of trainings: the loss step by step, and from several starts (public in `qmlphys.plotting`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from qmlphys.plotting._style import CYCLE, axes_of, legend_beside, plain, styled

__all__ = ["loss_curve", "training_starts"]


def loss_curve(
    history: xr.Dataset,
    *,
    floor: float | None = None,
    label: str = "floor",
    above_floor: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw the negative log-likelihood of a training, pass by pass, and where the model was kept.

    Parameters
    ----------
    history : xarray.Dataset
        `train_nll` and `validation_nll` over `step`, and the attribute `best_step`, as the models' `history_`.
    floor : float, optional
        The entropy of the data, in nats: no model comes below it on these rows. Drawn as a dotted line.
    label : str
        What the floor is called.
    above_floor : bool
        Draw the distance from the floor instead, on a logarithmic scale.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    ValueError
        If the history is empty, or `above_floor` has no floor.

    Examples
    --------
    >>> history = xr.Dataset({"train_nll": ("step", [3.0, 2.0]), "validation_nll": ("step", [3.1, 2.2])})
    >>> loss_curve(history.assign_attrs(best_step=1)).get_ylabel()
    'NLL (nats)'
    """
    if "train_nll" not in history or not history.sizes.get("step"):
        raise ValueError("Argument `history` must hold `train_nll` over at least one step, but it does not.")
    if above_floor and floor is None:
        raise ValueError("Argument `floor` must be given to draw the distance from it, but it is None.")

    def shown(values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what is drawn; below 1e-14 a distance is rounding."""
        return np.maximum(values - floor, 1e-14) if above_floor and floor is not None else values

    ax = axes_of(ax, width=4.6)
    with styled():
        steps = np.asarray(history["step"].values if "step" in history.coords else np.arange(history.sizes["step"]))
        look: dict[str, Any] = {"markersize": 3, "marker": "o" if steps.size <= 30 else ""}
        ax.plot(steps, shown(history["train_nll"].values), color=CYCLE[0], label="training rows", **look)
        watched = history["train_nll"].values
        if "validation_nll" in history and np.isfinite(history["validation_nll"].values).any():
            watched = history["validation_nll"].values
            look["marker"] = "s" if look["marker"] else ""
            ax.plot(steps, shown(watched), color=CYCLE[1], label="held-out rows", **look)
        best = history.attrs.get("best_step")
        if best is not None and 0 <= int(best) < steps.size:
            ax.plot(
                steps[int(best)], shown(watched)[int(best)], "o", ms=8, mfc="none", mec="#000000", mew=1.0, label="kept"
            )
        if above_floor:
            ax.set_yscale("log")
            ax.set(xlabel="step", ylabel=f"NLL above {label.rstrip(' =')} (nats)")
        else:
            _floor(ax, floor, label)
            ax.set(xlabel="step", ylabel="NLL (nats)")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        legend_beside(ax)
    return ax


def training_starts(
    histories: Mapping[str, Sequence[ArrayLike]],
    *,
    y_label: str = "NLL (nats)",
    floor: float | None = None,
    log: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw trainings from different starts: every run as a thin line, the mean of each kind of start as a thick one.

    Parameters
    ----------
    histories : mapping of str to sequence of array_like, shape (n_steps,)
        Label, such as "random start", to one trace a seed, all of one length.
    y_label : str
        What the traces hold.
    floor : float, optional
        The lowest value possible, drawn as a dotted line.
    log : bool
        Whether the scale is logarithmic.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    ValueError
        If there is no trace, or the traces of one label differ in length.

    Examples
    --------
    >>> ax = training_starts({"random": [[4.0, 3.0], [4.2, 3.4]], "Born machine": [[2.2, 2.1]]}, floor=2.08)
    >>> len(ax.lines)
    6
    """
    if not histories or not all(len(runs) for runs in histories.values()):
        raise ValueError("Argument `histories` must hold at least one trace a label, but it does not.")
    ax = axes_of(ax, width=4.6)
    with styled():
        for i, (label, runs) in enumerate(histories.items()):
            lengths = {len(np.asarray(run)) for run in runs}
            if len(lengths) > 1:
                raise ValueError(
                    f"Argument `histories` must hold traces of one length, but those of {label!r} have "
                    f"{sorted(lengths)}."
                )
            table = np.array([np.asarray(run, dtype=np.float64) for run in runs])
            colour = CYCLE[i % len(CYCLE)]
            for run in table:
                ax.plot(run, color=colour, linewidth=0.6, alpha=0.45)
            ax.plot(table.mean(axis=0), color=colour, linewidth=1.8, label=f"{plain(label)} ({len(table)})")
        _floor(ax, floor, "floor")
        ax.set(xlabel="step", ylabel=y_label)
        if log:
            ax.set_yscale("log")
        legend_beside(ax)
    return ax


def _floor(ax: Axes, floor: float | None, label: str) -> None:
    if floor is not None:
        ax.axhline(
            floor, color="#000000", linewidth=0.9, linestyle=(0, (1, 1.5)), zorder=0, label=f"{label} {floor:.5g}"
        )
