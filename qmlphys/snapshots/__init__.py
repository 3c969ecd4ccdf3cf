"""The snapshot Dataset: rows of spins measured at some value of a control parameter.

Every source fills it (Monte Carlo, neural quantum states, devices, generative models) and every learner reads it.
``spins`` is int8 in {-1, +1} over ``(parameter, chain, draw, site)``; what was measured on the way lies over
``(parameter, chain, draw)``. Files are netCDF (HDF5 inside) and hold no pickle; `load` treats them as hostile.
"""

from __future__ import annotations

from qmlphys.snapshots._file import load, save
from qmlphys.snapshots._rows import as_xy, concatenate, counts, from_counts
from qmlphys.snapshots._schema import MAX_BYTES, SCHEMA_VERSION, SOURCES, SnapshotError, check, dataset

__all__ = [
    "MAX_BYTES",
    "SCHEMA_VERSION",
    "SOURCES",
    "SnapshotError",
    "as_xy",
    "check",
    "concatenate",
    "counts",
    "dataset",
    "from_counts",
    "load",
    "save",
]
