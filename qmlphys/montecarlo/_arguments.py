"""Checks of what users pass to the Monte Carlo functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["temperature_list"]


def temperature_list(values: ArrayLike) -> NDArray[np.float64]:
    """Check temperatures and return them as a float64 array (n_temperatures,)."""
    try:
        temperatures = np.array(values, dtype=np.float64, ndmin=1)
    except (TypeError, ValueError):
        raise TypeError(f"Argument `temperatures` must hold numbers, but it is {values!r}.") from None
    if temperatures.ndim != 1 or temperatures.size == 0:
        raise ValueError(
            f"Argument `temperatures` must be a list of at least one value, but its shape is {temperatures.shape}."
        )
    bad = temperatures[~(np.isfinite(temperatures) & (temperatures > 0))]
    if bad.size:
        raise ValueError(
            f"Argument `temperatures` must be positive and finite (units J / k_B), but it holds {bad[0]:g}."
        )
    return temperatures
