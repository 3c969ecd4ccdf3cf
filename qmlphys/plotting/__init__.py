"""Pictures: data in, matplotlib Axes out.

Every function draws on the axes given as `ax`, or on those of a new figure (``ax.figure``), and returns them. One
restrained style serves all; it is applied locally, and pyplot's global state is never touched. A measured curve is a
Dataset with `mean` and `error` over the coordinate `parameter`, as `qmlphys.phases.mean_curve` and `curve` make it.
"""

from __future__ import annotations

from qmlphys.plotting._curves import curve, curves, data_collapse, indicator, network_output
from qmlphys.plotting._device import sources
from qmlphys.plotting._entanglement import (
    entropy_curves,
    growth_laws,
    kernel_distances,
    kernel_spectra,
    parameter_counts,
    training_flow,
)
from qmlphys.plotting._generative import correlations, generated_images, residuals, success_probability
from qmlphys.plotting._generative_training import loss_curve, training_starts
from qmlphys.plotting._nqs import convergence, phase_diagram, v_scores
from qmlphys.plotting._numbers import accuracies, estimates
from qmlphys.plotting._quantum import circuit_drawing, components, histogram, spectrum
from qmlphys.plotting._snapshots import plane, snapshot_grid
from qmlphys.plotting._style import STYLE, figure, save

__all__ = [
    "STYLE",
    "accuracies",
    "circuit_drawing",
    "components",
    "convergence",
    "correlations",
    "curve",
    "curves",
    "data_collapse",
    "entropy_curves",
    "estimates",
    "figure",
    "generated_images",
    "growth_laws",
    "histogram",
    "indicator",
    "kernel_distances",
    "kernel_spectra",
    "loss_curve",
    "network_output",
    "parameter_counts",
    "phase_diagram",
    "plane",
    "residuals",
    "save",
    "snapshot_grid",
    "sources",
    "spectrum",
    "success_probability",
    "training_flow",
    "training_starts",
    "v_scores",
]
