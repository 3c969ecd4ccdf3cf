"""Sums of hyperbolic tangents at all spin strings, compiled.

The first and the second half of the spins add u and v to the input of a unit, and

    tanh(u + v) = 1 - 2 / (1 + e^2u e^2v).

Exponentials of half-strings are few, and a string costs one division a unit, of full accuracy also where a unit is
saturated.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from qmlphys import bits

__all__ = ["tanh_sums"]

# Products of two exponentials stay in the range of numbers.
_LARGEST = 300.0
# Half-strings whose exponentials stay in the cache together.
_TILE = 32


@numba.njit(cache=True, nogil=True, fastmath={"contract", "nsz", "reassoc"}, error_model="numpy")
def _pairs(low: NDArray[Any], high: NDArray[Any], a: NDArray[Any], out: NDArray[Any]) -> None:
    """Set out[i, j] to the sum over units of a tanh; low and high hold exponentials, (n, units)."""
    total = a.sum()
    for start in range(0, len(low), _TILE):
        for i in range(len(high)):
            for j in range(start, min(start + _TILE, len(low))):
                found = 0.0
                for m in range(len(a)):
                    found += a[m] / (1.0 + low[j, m] * high[i, m])
                out[i, j] = total - 2.0 * found


def tanh_sums(a: NDArray[np.float64], w: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return sum_m a_m tanh(w_m.s + b_m) at all strings in the order of integers.

    Parameters
    ----------
    a, w, b : ndarray of float64, shapes (units,), (units, n_sites), (units,)
        Parameters.

    Returns
    -------
    ndarray of float64, shape (2^n_sites,), or None
        None where an input is too large for exponentials.
    """
    n_sites = w.shape[1]
    if (np.abs(w).sum(axis=1) + np.abs(b)).max() > _LARGEST:
        return None
    n_low = n_sites // 2
    low, high = _inputs(w[:, :n_low]), _inputs(w[:, n_low:]) + b
    out = np.empty((len(high), len(low)))
    _pairs(np.exp(2.0 * low), np.exp(2.0 * high), np.ascontiguousarray(a), out)
    return out.reshape(-1)


def _inputs(w: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return w.s at all strings, shape (2^n_sites, units)."""
    units, n_sites = w.shape
    if not n_sites:
        return np.zeros((1, units))
    return bits.integers_to_spins(np.arange(2**n_sites), n_sites).astype(np.float64) @ w.T
