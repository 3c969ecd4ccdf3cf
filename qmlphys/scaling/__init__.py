"""Finite-size scaling: cumulants, crossings, extrapolation and data collapse, all with error bars.

Plain arrays in, frozen results out; k_B = 1. No known critical value enters: guesses come from the data.
"""

from __future__ import annotations

from qmlphys.scaling._collapse import Collapse, collapse
from qmlphys.scaling._crossings import crossing, pair_crossing, slope_at
from qmlphys.scaling._cumulants import Cumulant, cumulant_from_moments, cumulant_ratio
from qmlphys.scaling._error_budget import ErrorBudget, join_errors
from qmlphys.scaling._power_laws import ExponentFit, Extrapolation, exponent_from_slopes, extrapolate
from qmlphys.scaling._windows import FitWindow, WindowScan, window_scan

__all__ = [
    "Collapse",
    "Cumulant",
    "ErrorBudget",
    "ExponentFit",
    "Extrapolation",
    "FitWindow",
    "WindowScan",
    "collapse",
    "crossing",
    "cumulant_from_moments",
    "cumulant_ratio",
    "exponent_from_slopes",
    "extrapolate",
    "join_errors",
    "pair_crossing",
    "slope_at",
    "window_scan",
]
