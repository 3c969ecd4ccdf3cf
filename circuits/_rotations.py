"""Which rotations of a Fourier transform may be left out, and what that costs at most."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["angle", "integer", "leave_out", "one_qubit_parts", "tolerance"]


def integer(value: int, name: str, *, low: int, high: int) -> int:
    """Return `value` as an int after checking its range."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"Argument `{name}` must be an integer, but it is {value!r}.")
    number = value.__index__()
    if not low <= number <= high:
        raise ValueError(f"Argument `{name}` must be {low} to {high}, but it is {number}.")
    return number


def tolerance(error: float) -> float:
    """Return the allowed operator-norm error as a float after checking it."""
    if isinstance(error, bool) or not isinstance(error, (int, float)) or not 0.0 <= error < math.inf:
        raise ValueError(f"Argument `error` must be a finite number >= 0, but it is {error!r}.")
    return float(error)


def angle(distance: int) -> float:
    """Return the angle of the controlled phase between two qubits `distance` apart, pi / 2^distance."""
    return math.ldexp(math.pi, -distance)


def leave_out(n: int, error: float) -> tuple[frozenset[tuple[int, int]], float]:
    """Choose the pairs of qubits whose controlled phase is left out.

    A left-out gate CP(t) is replaced by P(t/2) on both of its qubits and a global phase -t/4, so that what is missing
    is exp(i (t/4) Z Z). The missing gates of one target qubit j commute; together they are
    exp(i Z_j sum_m (t_m/4) Z_m), whose distance from 1 in the operator norm is 2 sin(sum_m t_m / 8). The blocks of
    different targets do not commute; replacing them one after the other adds their distances, and that sum is the
    bound.

    Parameters
    ----------
    n : int
        Number of qubits.
    error : float
        Largest allowed bound.

    Returns
    -------
    pairs : frozenset of tuple of int
        The left-out pairs (target j, control m < j).
    bound : float
        The certified bound, at most `error`.
    """
    if error <= 0:
        return frozenset(), 0.0
    pairs: set[tuple[int, int]] = set()
    missing = [0.0] * n  # sum of the left-out angles of each target
    bound = 0.0
    # The smallest angles first: no other choice leaves out more gates for the same sum of angles. The running bound is
    # rounded at every step, so that it stays a little below the target; the certified one is summed anew at the end.
    for distance in range(n - 1, 0, -1):
        for target in range(n - 1, distance - 1, -1):
            larger = missing[target] + angle(distance)
            growth = _distance(larger) - _distance(missing[target])
            if bound + growth > error * (1.0 - 1e-12):
                return frozenset(pairs), math.fsum(map(_distance, missing))
            missing[target] = larger
            bound += growth
            pairs.add((target, target - distance))
    return frozenset(pairs), math.fsum(map(_distance, missing))


def _distance(total: float) -> float:
    """Return the operator norm of 1 - exp(i (total / 4) Z Z)."""
    return 2.0 * math.sin(total / 8.0)


def one_qubit_parts(n: int, omitted: frozenset[tuple[int, int]]) -> NDArray[np.float64]:
    """Return (n, 2): the phase each qubit keeps of its left-out gates after its Hadamard gate, and before it."""
    parts = np.zeros((n, 2))
    for target, control in omitted:
        parts[target, 0] += angle(target - control) / 2
        parts[control, 1] += angle(target - control) / 2
    return parts
