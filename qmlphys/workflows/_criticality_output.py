"""Numbers and figures of `qmlphys.workflows.criticality`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qmlphys import exact, lattices, plotting
from qmlphys.workflows.runs import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from qmlphys.workflows.criticality import Criticality, CriticalityConfig

__all__ = ["figures", "rows"]


def rows(config: CriticalityConfig, result: Criticality) -> list[Row]:
    """List the numbers of a run beside the exact ones.

    Parameters
    ----------
    config : CriticalityConfig
        Settings of the run.
    result : Criticality
        From `run`.

    Returns
    -------
    list of Row
        For `results.json` and the report.
    """
    exact_nu = 1.0 if lattices.from_label(f"{config.lattice}(3)").n_dimensions == 2 else None
    exact_point = exact.critical_temperature(config.lattice)
    known = result.scans["magnetization"]
    trained = "" if config.lattice == config.training_lattice else f", trained on the {config.training_lattice} lattice"
    sizes = f"L = {', '.join(map(str, config.sizes))}"
    what = f"{config.lattice} lattice"
    return [
        Row(f"T_c, {what}, learned order parameter", result.critical_point.mean, result.critical_point.error,
            exact_point, "J/k_B", f"collapse of <q^2>^2/<q^4>, {sizes}{trained}"),
        Row(f"nu, {what}, learned order parameter", result.nu.mean, result.nu.error, exact_nu, "1", "same fit"),
        Row(f"T_c, {what}, magnetisation", known.critical_point.mean, known.critical_point.error,
            exact_point, "J/k_B", "the known order parameter on the same snapshots"),
        Row(f"nu, {what}, magnetisation", known.nu.mean, known.nu.error, exact_nu, "1", "same fit"),
    ]  # fmt: skip


def figures(config: CriticalityConfig, result: Criticality) -> dict[str, tuple[Figure, str]]:
    """Draw the cumulant ratios and their collapse.

    Parameters
    ----------
    config : CriticalityConfig
        Settings of the run.
    result : Criticality
        From `run`.

    Returns
    -------
    dict of str to (Figure, str)
        Name to figure and caption.
    """
    chosen = result.cumulants.sel(learner="network 0")
    measured = {}
    for size in config.sizes:
        part = chosen.isel(point=np.flatnonzero(chosen["size"].values == size))
        measured[f"L = {size}"] = plotting.curve(
            part["temperature"].values,
            part["ratio"].values,
            error=part["error"].values,
            name="temperature",
            units="J/k_B",
        )
    label = r"$\langle q^2\rangle^2 / \langle q^4\rangle$"
    crossing, (crossing_axes,) = plotting.figure(width=4.9)
    collapsed, (collapsed_axes,) = plotting.figure(width=4.9)
    plotting.curves(
        measured,
        y_label=label,
        critical_point=result.critical_point,
        exact=exact.critical_temperature(config.lattice),
        ax=crossing_axes,
    )
    plotting.data_collapse(
        measured,
        config.sizes,
        critical_point=result.critical_point.mean,
        exponent=result.nu.mean,
        y_label=label,
        ax=collapsed_axes,
    )
    return {
        "cumulant-crossing": (
            crossing,
            "Cumulant ratio of the order parameter that the network learned, near the transition. Curves of all sizes "
            f"cross at T_c = {result.critical_point}.",
        ),
        "cumulant-collapse": (
            collapsed,
            f"The same against (T - T_c) L^(1/nu), with the fitted T_c = {result.critical_point} and nu = {result.nu}.",
        ),
    }
