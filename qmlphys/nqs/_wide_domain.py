"""Sets of spin strings on which wide networks are trained. Public through `qmlphys.nqs.neural_tangent`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qmlphys import bits
from qmlphys._arguments import whole_number

__all__ = ["StringSet", "as_strings"]

MAX_SITES = 24


def as_strings(strings: ArrayLike, name: str = "strings") -> NDArray[np.float64]:
    """Return rows of spins as float64, shape (n_strings, n_sites)."""
    rows = np.asarray(strings, dtype=np.float64)
    if rows.ndim != 2 or 0 in rows.shape:
        raise ValueError(f"Argument `{name}` must have shape (n_strings, n_sites), but it is {rows.shape}.")
    if not (np.abs(rows) == 1).all():
        raise ValueError(f"Argument `{name}` must hold -1 and +1 only.")
    return rows


@dataclass(frozen=True, eq=False)
class StringSet:
    """Spin strings as all pairs of a part on the first sites and a part on the last ones.

    All strings of n sites are of this kind, and so is a sector of fixed numbers of particles of both spins. Sums over
    the set of exp(i w.x) then factorise into matrix products, which need no trigonometric function a string.

    Parameters
    ----------
    low : array_like of -1 and +1, shape (n_low, n_low_sites)
        Parts on the first sites.
    high : array_like of -1 and +1, shape (n_high, n_high_sites), optional
        Parts on the last sites; None for strings that are not cut.

    Examples
    --------
    >>> strings = StringSet.all(3)
    >>> len(strings), strings.n_sites, strings.spins[5].tolist()
    (8, 3, [-1.0, 1.0, -1.0])
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def __init__(self, low: ArrayLike, high: ArrayLike | None = None) -> None:
        object.__setattr__(self, "low", as_strings(low, "low"))
        object.__setattr__(self, "high", np.ones((1, 0)) if high is None else as_strings(high, "high"))

    @classmethod
    def all(cls, n_sites: int) -> StringSet:
        """Return all 2^n strings of 1 to 24 sites, in the order of integers."""
        n_sites = whole_number("n_sites", n_sites, most=MAX_SITES)
        n_low = (n_sites + 1) // 2
        halves = [bits.integers_to_spins(np.arange(2**n), n) for n in (n_low, n_sites - n_low) if n]
        return cls(*halves)

    def __len__(self) -> int:
        return len(self.low) * len(self.high)

    @property
    def n_sites(self) -> int:
        """Length of a string."""
        return self.low.shape[1] + self.high.shape[1]

    @property
    def spins(self) -> NDArray[np.float64]:
        """The strings, shape (n_strings, n_sites): row h * n_low + l joins rows l of `low` and h of `high`."""
        n_low, n_high = len(self.low), len(self.high)
        return np.hstack([np.tile(self.low, (n_high, 1)), np.repeat(self.high, n_low, axis=0)])
