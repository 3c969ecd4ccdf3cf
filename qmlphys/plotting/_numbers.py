"""Pictures that compare numbers: accuracies with their limits, estimates with each other (in `qmlphys.plotting`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from qmlphys.plotting._style import CYCLE, GREY, MARKERS, axes_of, legend_beside, plain, styled

if TYPE_CHECKING:
    from qmlphys.stats import Estimate

__all__ = ["accuracies", "estimates"]


def accuracies(
    sizes: Sequence[float],
    values: Mapping[str, Sequence[float]],
    *,
    errors: Mapping[str, Sequence[float]] | None = None,
    limits: Mapping[str, Sequence[float]] | None = None,
    x_label: str = "lattice size $L$",
    ax: Axes | None = None,
) -> Axes:
    """Draw accuracies of networks against lattice size, beside what is possible without one.

    Parameters
    ----------
    sizes : sequence of float
        L.
    values : mapping of str to sequence of float
        Name of a network to its accuracy at each size, 0 to 1; nan where there is none.
    errors : mapping of str to sequence of float, optional
        Standard errors, by the same names.
    limits : mapping of str to sequence of float, optional
        Name of a baseline or bound ("Bayes limit", ...) to its value at each size, drawn as lines.
    x_label : str
        What `sizes` are.
    ax : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        The axes.

    Raises
    ------
    ValueError
        If a sequence is not as long as `sizes`.

    Examples
    --------
    >>> accuracies([8, 16], {"cnn": [0.9, 0.95]}, limits={"Bayes limit": [0.91, 0.96]}).get_ylabel()
    'accuracy (%)'
    """
    for label, numbers in {**values, **(limits or {}), **(errors or {})}.items():
        if len(numbers) != len(sizes):
            raise ValueError(
                f"Argument `sizes` must have one size a number of {label!r} ({len(numbers)}), but it has {len(sizes)}."
            )
    ax = axes_of(ax, width=4.9)
    dashes = ("-", (0, (4, 2)), (0, (1, 1.5)))
    with styled():
        for i, (label, numbers) in enumerate((limits or {}).items()):
            ax.plot(sizes, 100 * np.asarray(numbers), color=GREY, linestyle=dashes[i % 3], label=plain(label), zorder=1)
        for i, (label, numbers) in enumerate(values.items()):
            bars = 100 * np.asarray(errors[label]) if errors and label in errors else None
            ax.errorbar(
                sizes,
                100 * np.asarray(numbers),
                bars,
                label=plain(label),
                color=CYCLE[i % len(CYCLE)],
                marker=MARKERS[i % len(MARKERS)],
                linestyle="none",
                zorder=2,
            )
        ax.set(xlabel=x_label, ylabel="accuracy (%)")
        ax.set_xticks(list(sizes), [f"{size:g}" for size in sizes])
        legend_beside(ax)
    return ax


def estimates(
    found: Mapping[str, Estimate],
    *,
    exact: float | Mapping[str, float] | None = None,
    x_label: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw estimates of one quantity under each other with their error bars.

    Parameters
    ----------
    found : mapping of str to Estimate
        Label to value.
    exact : float or mapping of str to float, optional
        The known value; with a mapping, what is drawn is the deviation from each label's own, in percent.
    x_label : str
        What the quantity is; a critical temperature unless told otherwise.
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
    >>> from qmlphys.stats import Estimate
    >>> ax = estimates({"network": Estimate(2.27, 0.01), "clusters": Estimate(2.28, 0.02)}, exact=2.2692)
    >>> [text.get_text() for text in ax.get_yticklabels()]
    ['network', 'clusters']
    """
    if not found:
        raise ValueError("Argument `found` must hold at least one estimate, but it is empty.")
    ax = axes_of(ax, width=4.8, height=0.9 + 0.3 * len(found))
    with styled():
        line = 0.0 if isinstance(exact, Mapping) else exact
        if line is not None:
            ax.axvline(line, color="#000000", linewidth=0.9, linestyle=(0, (1, 1.5)), zorder=0)
        for place, (label, value) in enumerate(found.items()):
            mean, error = value.mean, value.error
            if isinstance(exact, Mapping):
                mean, error = 100 * (mean / exact[label] - 1), 100 * error / exact[label]
            ax.errorbar([mean], [place], xerr=[error], color=CYCLE[0], marker="o", linestyle="none")
            ax.annotate(
                plain(value),
                (1.02, place),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=8.5,
                color="#333333",
            )
        ax.set_yticks(range(len(found)), [plain(label) for label in found])
        ax.set_ylim(len(found) - 0.5, -0.5)
        default = (
            r"deviation from the exact $T_\mathrm{c}$ (%)"
            if isinstance(exact, Mapping)
            else r"critical $T$ ($J/k_\mathrm{B}$)"
        )
        ax.set_xlabel(x_label or default)
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
    return ax
