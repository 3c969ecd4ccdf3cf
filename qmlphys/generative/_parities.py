"""Factors as interactions of parities, and each interaction as a hidden qubit."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

__all__ = ["coefficients", "parities"]

_MAX_DEGREE = 10
_ROUNDING = 1e-15


def coefficients(
    scopes: tuple[tuple[int, ...], ...], tables: tuple[NDArray[np.float64], ...], zero_floor: float | None
) -> dict[tuple[int, ...], float]:
    """Walsh coefficients of the log-probability, by set of sites."""
    found: dict[tuple[int, ...], float] = defaultdict(float)
    size = 1.0
    for scope, table in zip(scopes, tables, strict=True):
        if len(scope) > _MAX_DEGREE:
            raise ValueError(
                f"Argument `factors` must have scopes of at most {_MAX_DEGREE} sites, but one has {len(scope)}: its "
                "hidden qubits would be too many."
            )
        if (table == 0).any():
            if zero_floor is None:
                raise ValueError(
                    f"Argument `factors` must be strictly positive, but the table of the scope {scope} holds a zero: "
                    "give `zero_floor` to approach it."
                )
            table = np.where(table == 0, zero_floor, table)
        logs = np.log(table)
        size += float(np.abs(logs).max())
        for axis in range(logs.ndim):
            even, odd = np.take(logs, 0, axis), np.take(logs, 1, axis)
            logs = np.stack([(even + odd) / 2, (even - odd) / 2], axis)
        for index, value in np.ndenumerate(logs):
            chosen = tuple(sorted(site for site, bit in zip(scope, index, strict=True) if bit))
            if chosen:
                found[chosen] += float(value)
    # What only rounding left is no interaction.
    return {chosen: value for chosen, value in found.items() if abs(value) > _ROUNDING * size}


def parities(
    values: dict[tuple[int, ...], float], n_sites: int, log_condition: float
) -> tuple[NDArray[np.float64], list[tuple[int, int]]]:
    """Matrices and edges of the graph state; strong interactions are shared by several hidden qubits."""
    matrices = [np.eye(2) for _ in range(n_sites)]
    edges: list[tuple[int, int]] = []
    for chosen, value in sorted(values.items()):
        if len(chosen) == 1:
            own = math.copysign(min(abs(value), log_condition), value)
            matrices[chosen[0]] = np.diag(np.exp([own / 2, -own / 2]))
            value -= own
        n_qubits = math.ceil(abs(value) / log_condition)
        for _ in range(n_qubits):
            small = math.exp(-abs(value) / n_qubits)
            scale = [1.0, small] if value > 0 else [small, 1.0]
            edges += [(site, len(matrices)) for site in chosen]
            matrices.append(np.diag(scale) @ np.array([[1.0, 1.0], [1.0, -1.0]]))
    return np.array(matrices), edges
