"""Checks of arguments that rooms share."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

__all__ = ["no_dataset", "seed_number", "whole_number"]


def no_dataset(name: str, value: Any) -> None:
    """Refuse a whole data set where rows are wanted, and say how to make rows of it."""
    if type(value).__name__ == "Dataset" and type(value).__module__.startswith("xarray."):
        raise TypeError(
            f"Argument `{name}` must be rows of sites, (n, n_sites), but it is an xarray.Dataset: "
            "`X, parameter, groups = qmlphys.snapshots.as_xy(ds)` makes rows of one."
        )


def whole_number(name: str, value: int, *, least: int = 1, most: int = 2**40) -> int:
    """Check a whole number and its range."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"Argument `{name}` must be an integer, but it is {value!r}.") from None
    if isinstance(value, bool) or not least <= number <= most:
        raise ValueError(f"Argument `{name}` must be between {least} and {most}, but it is {value!r}.")
    return number


def seed_number(rng: np.random.Generator | int | None) -> int:
    """Turn what users may give into one number that can be written down."""
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(2**63))
    if rng is None:
        return int(np.random.SeedSequence().generate_state(1, dtype=np.uint64)[0] >> np.uint64(1))
    try:
        number = operator.index(rng)
    except TypeError:
        raise TypeError(f"Argument `rng` must be None, an integer or a numpy Generator, but it is {rng!r}.") from None
    if not 0 <= number < 2**63:
        raise ValueError(f"Argument `rng` must be between 0 and 2^63 - 1 where it is an integer, but it is {number}.")
    return number
