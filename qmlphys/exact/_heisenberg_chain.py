"""The Heisenberg chain by the Bethe ansatz. Public through `qmlphys.exact`."""

from __future__ import annotations

import math
import operator
from numbers import Real

import numpy as np

__all__ = ["heisenberg_chain_energy"]

MAX_SITES = 8192
MAX_STEPS = 50


def heisenberg_chain_energy(n_sites: int, *, coupling: float = 1.0) -> float:
    """Return the total ground-state energy of the ring H = +J sum (X X + Y Y + Z Z).

    Parameters
    ----------
    n_sites : int
        Number of sites, even, 4 to 8192.
    coupling : float, keyword
        J > 0 (antiferromagnetic). In spin operators S = sigma / 2 the exchange is 4 J.

    Returns
    -------
    float
        Energy of the whole chain in the units of J; a site's tends to J (1 - 4 ln 2) (Hulthen 1938).

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range.
    RuntimeError
        If Newton's method does not converge.

    Notes
    -----
    Bethe, Z. Phys. 71, 205 (1931), in the form of Karbach, Hu, Mueller, Comput. Phys. 12, 565 (1998): the n_sites / 2
    rapidities z_j solve N arctan z_j = pi I_j + sum over k of arctan((z_j - z_k) / 2) with
    I_j = -(N/4 - 1/2), ..., N/4 - 1/2, and E = J N - 8 J sum of 1 / (1 + z_j^2).

    Examples
    --------
    >>> round(heisenberg_chain_energy(20), 7)
    -35.6175461
    """
    try:
        number = operator.index(n_sites)
    except TypeError:
        raise TypeError(f"Argument `n_sites` must be an integer, but is {n_sites!r}.") from None
    if number % 2 or not 4 <= number <= MAX_SITES:
        raise ValueError(f"Argument `n_sites` must be an even number from 4 to {MAX_SITES}, but is {n_sites!r}.")
    if not isinstance(coupling, Real) or isinstance(coupling, bool) or not (math.isfinite(coupling) and coupling > 0):
        raise ValueError(f"Argument `coupling` must be positive and finite, but is {coupling!r}.")
    n_magnons = number // 2
    quantum_numbers = np.arange(n_magnons) - (n_magnons - 1) / 2
    z = np.tan(np.pi * quantum_numbers / number)
    for _ in range(MAX_STEPS):
        differences = (z[:, None] - z[None, :]) / 2
        residual = number * np.arctan(z) - np.pi * quantum_numbers - np.arctan(differences).sum(axis=1)
        kernel = 0.5 / (1 + differences**2)
        jacobian = kernel + np.diag(number / (1 + z**2) - kernel.sum(axis=1))
        step = np.linalg.solve(jacobian, residual)
        z = z - step
        if np.abs(step / (1 + np.abs(z))).max() < 1e-13:
            return float(coupling) * (number - 8 * math.fsum(1 / (1 + z**2)))
    raise RuntimeError(
        f"The Bethe equations of {number} sites did not converge in {MAX_STEPS} steps of Newton's method."
    )
