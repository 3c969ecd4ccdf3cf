"""How many parameters a given entropy takes."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

__all__ = ["parameters_for_entropy"]

# 2^500 parameters are still a float.
_MAX_ENTROPY = 340.0


def parameters_for_entropy(entropies: ArrayLike) -> xr.Dataset:
    """Return the parameters that machines and matrix product states need for an entropy between two halves.

    A restricted Boltzmann machine has it with as many pairs as it takes bits (`maximal_entanglement_rbm`); a bond of D
    carries at most ln D, so that a matrix product state needs D >= exp(entropy).

    Parameters
    ----------
    entropies : array_like, shape (n,)
        Von Neumann entropies of half of the sites in nats, from 0 to 340.

    Returns
    -------
    xarray.Dataset
        Over `entropy`: `n_sites`, the smallest even number of sites that have it, with 2 at least; `rbm`, the 3 n_sites
        / 2 parameters of a sparse machine; `dense_rbm`, those of the same with all weights stored; `bond`, the smallest
        D; `mps`, the entries of the tensors of an open chain of n_sites with no bond above D, each as small as its side
        allows. All float64, as the last two grow exponentially.

    Raises
    ------
    ValueError
        If an entropy is out of range.

    Notes
    -----
    Deng, Li and Das Sarma, Phys. Rev. X 7, 021021 (2017).

    Examples
    --------
    >>> table = parameters_for_entropy(np.log(2) * np.array([1, 10, 100]))
    >>> table["rbm"].values.tolist(), [f"{x:.2g}" for x in table["mps"].values]
    ([3.0, 30.0, 300.0], ['8', '2.8e+06', '4.3e+60'])
    """
    values = np.asarray(entropies, dtype=np.float64)
    if values.ndim != 1 or not values.size or not ((values >= 0) & (values <= _MAX_ENTROPY)).all():
        raise ValueError(
            f"Argument `entropies` must be a row of numbers from 0 to {_MAX_ENTROPY:g} nats, but it is {entropies!r}."
        )
    # Rounding must not make k ln 2 into more than k bits.
    bits = values / np.log(2)
    bits = np.where(np.abs(bits - np.rint(bits)) < 1e-9, np.rint(bits), bits)
    pairs = np.maximum(np.ceil(bits), 1)
    bond = np.where(bits < 50, np.ceil(2**bits - 1e-9), 2**bits)
    columns = {
        "n_sites": 2 * pairs,
        "rbm": 3 * pairs,
        "dense_rbm": 2 * pairs**2 + pairs,
        "bond": bond,
        "mps": np.array([_mps_parameters(int(2 * n), d) for n, d in zip(pairs, bond, strict=True)]),
    }
    table = xr.Dataset({name: ("entropy", column) for name, column in columns.items()}, {"entropy": values})
    table["entropy"].attrs["units"] = "nats"
    return table


def _mps_parameters(n_sites: int, bond: float) -> float:
    exponents = np.minimum(np.arange(n_sites + 1), n_sites - np.arange(n_sites + 1)).astype(np.float64)
    bonds = np.minimum(2.0**exponents, bond)
    return float((2 * bonds[:-1] * bonds[1:]).sum())
