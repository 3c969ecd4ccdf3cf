"""Restricted Boltzmann machines as matrix product states, and back where a state allows it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qmlphys.mps import MatrixProductState
from qmlphys.mps._tensors import compressed, right_canonical
from qmlphys.nqs.ansatz._base import Ansatz
from qmlphys.nqs.constructions._pairs import pair_factor
from qmlphys.nqs.constructions._sparse import SparseRBM

__all__ = ["from_matrix_product_state", "to_matrix_product_state"]

Array = NDArray[Any]

# Bonds up to this fit into memory, 2 * 16 * 2^22 bytes a site.
_MAX_BOND = 2**11
# Values of a function of two spins up to this, relative to the largest, are rounding.
_ZERO = 1e-13


def to_matrix_product_state(rbm: Ansatz, *, compress: bool = False) -> MatrixProductState:
    """Return a restricted Boltzmann machine as a matrix product state, exactly.

    A hidden unit is a spin h with the factor exp(h (b + sum_i W_i s_i)), which travels along the chain from the first
    site that it sees to the last one. The bond between two sites is 2^(hidden units that see sites on both sides),
    small for machines of short range; units that see one site only cost nothing.

    Parameters
    ----------
    rbm : Ansatz
        A state with `rbm()` parameters: `SparseRBM`, `ShortRangeRBM`, `RBM`, `TranslationRBM`, or one of these with
        Marshall's sign. On a ring, units across its end see both ends of the chain and cost a factor 2 at all bonds.
    compress : bool, keyword
        Whether bonds are cut to the number of singular values above 1e-14 of the largest; the norm is then 1.

    Returns
    -------
    MatrixProductState
        psi(s), with its norm unless `compress`.

    Raises
    ------
    TypeError
        If the state is no restricted Boltzmann machine.
    ValueError
        If a bond would be above 2^11, or an amplitude overflows.

    Notes
    -----
    Chen, Cheng, Xie, Wang and Xiang, Phys. Rev. B 97, 085104 (2018).

    Examples
    --------
    >>> from qmlphys.nqs.constructions import graph_state_rbm
    >>> cluster = graph_state_rbm((5, [(0, 1), (1, 2), (2, 3), (3, 4)]))
    >>> to_matrix_product_state(cluster).bonds
    (2, 2, 2, 2)
    """
    if not isinstance(rbm, Ansatz) or (parameters := rbm.rbm()) is None:
        raise TypeError(f"Argument `rbm` must be a restricted Boltzmann machine, but it is a {type(rbm).__name__}.")
    weight, hidden, visible, signs = (
        array.cpu().numpy() for array in (parameters.weight, parameters.hidden, parameters.visible, parameters.signs)
    )
    ends = [(int(seen[0]), int(seen[-1])) if len(seen) else (0, 0) for seen in (np.nonzero(row)[0] for row in weight)]
    n_sites = rbm.n_sites
    crossing = [sum(low <= cut < high for low, high in ends) for cut in range(n_sites - 1)]
    if 2 ** max(crossing, default=0) > _MAX_BOND:
        cut = int(np.argmax(crossing))
        raise ValueError(
            f"Argument `rbm` must have at most {_MAX_BOND.bit_length() - 1} hidden units across any bond, but "
            f"{crossing[cut]} see sites on both sides of the bond from site {cut} to {cut + 1}."
        )
    spins = np.array([1.0, -1.0])
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused by the state that it would make
        tensors: list[Array] = [
            (np.exp(a * spins) * np.array([1.0, sign])).reshape(1, 2, 1) for a, sign in zip(visible, signs, strict=True)
        ]
        for row, bias, (low, high) in zip(weight, hidden, ends, strict=True):
            if low == high:
                tensors[low] = tensors[low] * (2 * np.cosh(bias + row[low] * spins))[None, :, None]
                continue
            for site in range(low, high + 1):
                # factor[h, s] of this site; the bias goes with the first one.
                factor = np.exp(np.multiply.outer(spins, row[site] * spins + (bias if site == low else 0)))
                tensors[site] = _times(tensors[site], factor, first=site == low, last=site == high)
    if not compress:
        return MatrixProductState(tuple(tensors))
    return MatrixProductState(compressed(tuple(tensors), _MAX_BOND)[0])


def _times(tensor: Array, factor: Array, *, first: bool, last: bool) -> Array:
    """Put the factor of one hidden spin on a site's tensor; on inner sites the spin comes in and goes out unchanged."""
    left, _, right = tensor.shape
    if first:
        return np.einsum("lsr,hs->lsrh", tensor, factor).reshape(left, 2, 2 * right)
    if last:
        return np.einsum("lsr,hs->lhsr", tensor, factor).reshape(2 * left, 2, right)
    return np.einsum("lsr,hs,hk->lhsrk", tensor, factor, np.eye(2)).reshape(2 * left, 2, 2 * right)


def from_matrix_product_state(state: MatrixProductState, *, tolerance: float = 1e-10) -> SparseRBM:
    """Return a matrix product state as a restricted Boltzmann machine with units on neighbours, where it is one.

    It is one exactly when fixing any one inner spin leaves no entanglement between what lies left and right of it; then
    psi(s) = prod_i g_i(s_i, s_(i+1)), all bonds are at most 2, and each g_i takes at most two hidden units on its
    two sites. Such are product states, GHZ states, cluster states on a chain, square roots of Boltzmann weights of the
    Ising chain with any fields, and all machines whose units see two neighbours. W states and ground states of chains
    in a transverse field are not of this kind: a machine for them has units of longer range, in general too many.

    Parameters
    ----------
    state : MatrixProductState
        Of at least one site.
    tolerance : float, keyword
        What may be left out: the second singular value of the state with one spin fixed, relative to the norm. From 0
        to below 1.

    Returns
    -------
    SparseRBM
        Complex. Its amplitudes are those of the state up to one constant factor.

    Raises
    ------
    TypeError
        If `state` is no MatrixProductState.
    ValueError
        If the state is not of this kind; the text says which site entangles its sides and how much.

    Examples
    --------
    >>> ghz = MatrixProductState.from_vector([1.0, 0, 0, 0, 0, 0, 0, 1.0])
    >>> from_matrix_product_state(ghz).n_hidden
    2
    >>> w = MatrixProductState.from_vector([0, 1.0, 1.0, 0, 1.0, 0, 0, 0])
    >>> from_matrix_product_state(w)
    Traceback (most recent call last):
    ...
    ValueError: Argument `state` must be a product of functions of neighbouring spins, but with the spin of site 1 ...
    """
    if not isinstance(state, MatrixProductState):
        raise TypeError(f"Argument `state` must be a MatrixProductState, but it is a {type(state).__name__}.")
    if not 0 <= tolerance < 1:
        raise ValueError(f"Argument `tolerance` must be from 0 to below 1, but it is {tolerance!r}.")
    pairs, last = _pair_functions(state, tolerance)
    n_sites = state.n_sites
    connections: list[tuple[int, ...]] = []
    weights: list[complex] = []
    hidden: list[complex] = []
    visible = np.zeros(n_sites, dtype=complex)

    def add(g: Array, left: int, right: int | None) -> None:
        factor = pair_factor(g, zero=_ZERO)
        visible[left] += factor.left
        if right is not None:
            visible[right] += factor.right
        for u, v, bias in factor.units:
            seen = [(site, w) for site, w in ((left, u), (right, v)) if w and site is not None]
            connections.append(tuple(site for site, _ in seen))
            weights.extend(w for _, w in seen)
            hidden.append(bias)

    for site, g in enumerate(pairs):
        add(g, site, site + 1)
    # The last site's own factor is a function of it and of nothing.
    add(np.stack([last, last], axis=1), n_sites - 1, None)
    return SparseRBM.from_parameters(
        n_sites,
        connections,
        weights=np.array(weights, dtype=complex),
        hidden=np.array(hidden, dtype=complex) if hidden else None,
        visible=visible,
    )


def _pair_functions(state: MatrixProductState, tolerance: float) -> tuple[list[Array], Array]:
    """Return g_i of all pairs of neighbours, and the factor of the last site.

    With rows of A_i[s] in an orthonormal basis of the left side, the state with s_i = s fixed is a product if and only
    if the centre C_i[s] has rank 1. Its left vector u_i(s) then gives A_i[s] = u_i(s) v_i(s), and
    g_i(s, t) = v_i(s).u_(i+1)(t).
    """
    canonical, _ = right_canonical(compressed(state.tensors, state.max_bond)[0])
    pairs: list[Array] = []
    carried: Array = np.ones((1, 1))
    before: Array | None = None  # v of the site before, (2, bond)
    for site, tensor in enumerate(canonical):
        centre = np.tensordot(carried, tensor, axes=(1, 0))
        columns, _, right = centre.shape
        lefts = np.zeros((2, columns), dtype=centre.dtype)
        for spin in (0, 1):
            u, singular, _ = np.linalg.svd(centre[:, spin], full_matrices=False)
            if len(singular) > 1 and singular[1] > tolerance:
                raise ValueError(
                    "Argument `state` must be a product of functions of neighbouring spins, but with the spin of site "
                    f"{site} fixed to {1 - 2 * spin:+d} both sides stay entangled: the second singular value is "
                    f"{singular[1]:.2g}, relative to the norm."
                )
            # Left of the first site there is nothing, and no phase of it that a g could hold.
            lefts[spin] = u[:, 0] if site else 1.0
        if before is not None:
            pairs.append(before @ lefts.T)
        # The last site keeps what is carried to it.
        basis, carried = np.linalg.qr(centre.reshape(2 * columns, right))
        rows = centre if site == len(canonical) - 1 else basis.reshape(columns, 2, -1)
        before = np.einsum("sl,lsr->sr", lefts.conj(), rows)
    assert before is not None  # noqa: S101 - for the type checker: there is at least one site
    return pairs, before[:, 0]
