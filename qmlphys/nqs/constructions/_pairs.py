"""Any function of two spins as hidden units and fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["PairFactor", "pair_factor"]

_QUARTER = 0.25j * np.pi
# Couplings up to this, relative to the logarithms that they are differences of, are rounding: no unit is spent on them.
_NEGLIGIBLE = 4 * np.finfo(np.float64).eps


@dataclass(frozen=True)
class PairFactor:
    """A function g(s, t) of two spins as exp(left s + right t) prod_m 2 cosh(b_m + u_m s + v_m t), up to a constant.

    Attributes
    ----------
    left, right : complex
        Fields.
    units : tuple of (u, v, b)
        Hidden units; u or v is 0 where the unit sees one spin only.
    """

    left: complex
    right: complex
    units: tuple[tuple[complex, complex, complex], ...]


def pair_factor(g: NDArray[Any], *, zero: float = 0.0) -> PairFactor:
    """Write a function of two spins with one hidden unit for its coupling and up to two for its zeros.

    The logarithm of a function without zeros is c + A s + B t + J s t, and 2 cosh(w (s + t)) is exp(J s t) up to a
    constant if cosh 2w = exp 2J. Zeros are made by units whose argument is i pi/2 there and that have the same modulus
    elsewhere or are divided out of the rest.

    Parameters
    ----------
    g : ndarray, shape (2, 2)
        Values; index 0 is spin +1.
    zero : float, keyword
        Values up to this times the largest count as zero.

    Returns
    -------
    PairFactor

    Raises
    ------
    ValueError
        If all values are zero.
    """
    values = np.array(g, dtype=np.complex128)
    size = np.abs(values).max()
    if not size > 0:
        raise ValueError(f"Argument `g` must not be zero everywhere, but it is {g!r}.")
    values = values / size
    dead = np.abs(values) <= zero
    units = _zeros(dead)
    signs = np.array([1.0, -1.0])
    for u, v, b in units:
        factor = 2 * np.cosh(b + u * signs[:, None] + v * signs[None, :])
        values = np.divide(values, factor, out=np.zeros_like(values), where=~dead)
    _fill(values, dead)
    log = np.log(values)
    left = (log[0].sum() - log[1].sum()) / 4
    right = (log[:, 0].sum() - log[:, 1].sum()) / 4
    coupling = (log[0, 0] + log[1, 1] - log[0, 1] - log[1, 0]) / 4
    # exp(i pi/2 s t) is i s t, which fields of i pi/2 make as well.
    turns = np.rint(2 * coupling.imag / np.pi)
    coupling -= 0.5j * np.pi * turns
    left += 0.5j * np.pi * turns
    right += 0.5j * np.pi * turns
    if abs(coupling) > _NEGLIGIBLE * max(1.0, np.abs(log).max()):
        # Of both orientations the one whose hyperbolic cosine is the larger one: near its zeros digits are lost.
        sign = 1.0 if coupling.real >= 0 else -1.0
        w = 0.5 * np.arccosh(np.exp(2 * sign * coupling))
        units.append((complex(w), complex(sign * w), 0j))
    return PairFactor(complex(left), complex(right), tuple(units))


def _zeros(dead: NDArray[np.bool_]) -> list[tuple[complex, complex, complex]]:
    """Return units that are zero, up to rounding, exactly where the pattern says so."""
    n_dead = int(dead.sum())
    units: list[tuple[complex, complex, complex]] = []
    if n_dead == 2 and dead[0, 0] == dead[1, 1]:
        # Parity: i pi/4 (s + t) is i pi/2 up to sign for equal spins and 0 for unequal ones.
        units.append((_QUARTER, _QUARTER if dead[0, 0] else -_QUARTER, 0j))
    elif n_dead == 1:
        # i pi/4 + i pi/8 (p s + q t) is i pi/2 at one place, i pi/4 at its neighbours and 0 at the last one.
        row, column = (int(index[0]) for index in np.nonzero(dead))
        p, q = 1 - 2 * row, 1 - 2 * column
        eighth = _QUARTER / 2
        units.append((eighth * p, eighth * q, _QUARTER))
    elif n_dead >= 2:
        for axis in (0, 1):
            lines = dead.all(axis=1 - axis)
            if lines.any():
                p = 1 - 2 * int(np.argmax(lines))
                units.append((_QUARTER * p, 0j, _QUARTER) if axis == 0 else (0j, _QUARTER * p, _QUARTER))
    return units


def _fill(values: NDArray[np.complex128], dead: NDArray[np.bool_]) -> None:
    """Give the places of zeros, which units have taken care of, values that need no coupling where they can."""
    if not dead.any():
        return
    if int(dead.sum()) == 2 and dead[0, 0] == dead[1, 1]:
        # Two values are left, of equal or of unequal spins: a field on the first spin holds their ratio.
        for row in (0, 1):
            values[row, dead[row]] = values[row, ~dead[row]]
        return
    for row in (0, 1):
        if dead[row].all():
            values[row] = values[1 - row]
    still = values == 0
    for column in (0, 1):
        if still[:, column].all():
            values[:, column] = values[:, 1 - column]
    for row, column in zip(*np.nonzero(values == 0), strict=True):
        needless = values[row, 1 - column] * values[1 - row, column] / values[1 - row, 1 - column]
        # The zero of the unit is one of 1e-16: what it multiplies must not be larger than the rest.
        values[row, column] = needless * min(1.0, np.abs(values).max() / abs(needless))
