"""Exact energy and specific heat of lattices too large to enumerate: row-to-row transfer matrices.

Twin of nothing that is compiled: plain sums, written from Z = trace(V^rows), with V and its first two derivatives with
respect to the inverse temperature carried along.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qmlphys.hamiltonians import Ising


def _rows(model: Ising) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
    """Return the number of rows, the energy of each state of a row, and the energy between states of adjacent rows."""
    lattice = model.lattice
    n_rows = lattice.size
    width = lattice.n_sites // n_rows
    states = 1 - 2 * (np.arange(2**width)[:, None] >> np.arange(width) & 1)
    inside = -model.field * states.sum(axis=1)
    between = np.zeros((2**width, 2**width))
    row, column = np.divmod(lattice.edges, width)
    for (row_a, row_b), (a, b) in zip(row.tolist(), column.tolist(), strict=True):
        if row_a == row_b == 0:
            inside = inside - model.coupling * states[:, a] * states[:, b]
        elif (row_a, row_b) == (0, 1):
            between -= model.coupling * np.outer(states[:, a], states[:, b])
    return n_rows, inside, between


def _times(a: list[NDArray], b: list[NDArray]) -> list[NDArray]:
    """Multiply two matrices that carry their first and second derivatives."""
    return [a[0] @ b[0], a[1] @ b[0] + a[0] @ b[1], a[2] @ b[0] + 2.0 * a[1] @ b[1] + a[0] @ b[2]]


def energy_and_specific_heat(model: Ising, temperature: float) -> tuple[float, float]:
    """Return the energy and the specific heat per site.

    All rows of the lattice must be alike, and joined to the next one alike; at most 10 sites a row.
    """
    n_rows, inside, between = _rows(model)
    if len(inside) > 2**10:
        raise ValueError("Argument `model` must have at most 10 sites a row.")
    exponent = -(between + inside[None, :])
    largest = exponent.max()
    # Energies from the largest exponent on, so that nothing overflows.
    weights = np.exp((exponent - largest) / temperature)
    step = [weights, (exponent - largest) * weights, (exponent - largest) ** 2 * weights]
    n_steps = n_rows - (not model.lattice.periodic)
    power = step
    for _ in range(n_steps - 1):
        power = _times(power, step)
    if model.lattice.periodic:
        z = [np.trace(part) for part in power]
        shift = n_rows * largest
    else:
        first = -(inside - inside.min())
        w = np.exp(first / temperature)
        start = [w[None, :], (first * w)[None, :], (first**2 * w)[None, :]]
        z = [part.sum() for part in _times(start, power)]
        shift = n_steps * largest - inside.min()
    mean = z[1] / z[0]
    variance = z[2] / z[0] - mean**2
    n_sites = model.lattice.n_sites
    return float(-(mean + shift) / n_sites), float(variance / temperature**2 / n_sites)
