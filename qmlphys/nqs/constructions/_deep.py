"""States that deep Boltzmann machines hold exactly: restricted ones after gates on single sites."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qmlphys.nqs.ansatz._arguments import count
from qmlphys.nqs.ansatz._base import Ansatz
from qmlphys.nqs.ansatz.dbm import DBM, MAX_ENUMERATED
from qmlphys.nqs.constructions._pairs import pair_factor

__all__ = ["rotated_dbm"]


def rotated_dbm(rbm: Ansatz, gates: Mapping[int, ArrayLike]) -> DBM:
    """Return a restricted Boltzmann machine after gates on single sites, as a deep Boltzmann machine.

    The spin that a gate acts on becomes a deep unit: psi'(s) = sum_d G[s, d] psi(d) needs the sum over what the machine
    saw at that site. Its hidden units see the deep unit instead of the site, and up to two more hidden units between
    both are the gate. Sites without a gate stay as they are.

    Parameters
    ----------
    rbm : Ansatz
        A state with `rbm()` parameters, such as `graph_state_rbm`.
    gates : mapping of int to array_like of shape (2, 2)
        Site and matrix G[out, in], index 0 being spin +1; at least one gate and at most 16.

    Returns
    -------
    DBM
        Complex, of the amplitudes of the rotated state up to a constant factor.

    Raises
    ------
    TypeError
        If the state is no restricted Boltzmann machine.
    ValueError
        If there is no gate or too many of them, a site does not exist, or a matrix is malformed or zero.

    Notes
    -----
    Gao and Duan, Nat. Commun. 8, 662 (2017): amplitudes of cluster states in two dimensions after rotations of all
    sites are #P-hard, while a machine of one layer with polynomially many units gives its amplitudes in polynomial
    time. So one layer cannot hold all these states with few units, unless the polynomial hierarchy collapses; two can.

    Examples
    --------
    >>> from qmlphys.nqs.ansatz import RBM
    >>> hadamard = np.array([[1, 1], [1, -1]])
    >>> state = rotated_dbm(RBM(3, scale=0.0), {0: hadamard})  # |+++> becomes |0++>
    >>> import torch
    >>> psi = state(torch.tensor([[1, 1, 1], [-1, 1, 1], [1, -1, 1]])).exp().abs()
    >>> [round(x, 12) for x in (psi / psi[0]).tolist()]
    [1.0, 0.0, 1.0]
    """
    if not isinstance(rbm, Ansatz) or (parameters := rbm.rbm()) is None:
        raise TypeError(f"Argument `rbm` must be a restricted Boltzmann machine, but it is a {type(rbm).__name__}.")
    n_sites = rbm.n_sites
    matrices = {count("gates", site, least=0): _checked_gate(gate) for site, gate in gates.items()}
    if not 1 <= len(matrices) <= MAX_ENUMERATED or max(matrices) >= n_sites:
        raise ValueError(
            f"Argument `gates` must have 1 to {MAX_ENUMERATED} gates on sites from 0 to {n_sites - 1}, "
            f"but it has {len(matrices)}, on {sorted(matrices)}."
        )
    weight, hidden, visible = (
        array.cpu().numpy().astype(np.complex128)
        for array in (parameters.weight, parameters.hidden, parameters.visible)
    )
    signs = parameters.signs.cpu().numpy()
    # A sign s_i is exp(i pi (1 - s_i) / 2): a field of -i pi/2 up to a constant.
    visible = visible + np.where(signs < 0, -0.5j * np.pi, 0)
    sites = sorted(matrices)
    deep = visible[sites]
    deep_weight = weight[:, sites].T.copy()
    weight[:, sites], visible[sites] = 0, 0
    rows, columns, biases = [weight], [deep_weight], [hidden]
    for place, site in enumerate(sites):
        factor = pair_factor(matrices[site])
        visible[site] = factor.left
        deep[place] += factor.right
        for u, v, b in factor.units:
            row, column = np.zeros((1, n_sites), dtype=complex), np.zeros((len(sites), 1), dtype=complex)
            row[0, site], column[place, 0] = u, v
            rows.append(row)
            columns.append(column)
            biases.append(np.array([b]))
    weights = np.concatenate(rows)
    if not len(weights):  # gates without coupling on a state without hidden units: any unit will do
        weights = np.zeros((1, n_sites), dtype=complex)
        columns, biases = [np.zeros((len(sites), 1), dtype=complex)], [np.zeros(1, dtype=complex)]
    return DBM.from_parameters(
        weights,
        np.concatenate(columns, axis=1),
        visible=visible,
        hidden=np.concatenate(biases),
        deep=deep,
    )


def _checked_gate(gate: ArrayLike) -> NDArray[np.complex128]:
    matrix = np.asarray(gate)
    is_number = matrix.dtype.kind in "iufc"
    if matrix.shape != (2, 2) or not is_number or not np.isfinite(matrix).all() or not matrix.any():
        raise ValueError(f"Argument `gates` must hold finite 2 x 2 matrices that are not zero, but one is {gate!r}.")
    return matrix.astype(np.complex128)
