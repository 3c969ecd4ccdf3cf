"""Entropies and spectra of subsystems, of state vectors, matrix product states and stabiliser states."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qmlphys._arguments import whole_number
from qmlphys.entanglement._matrix_products import block_spectra, chain_spectrum
from qmlphys.entanglement._spectra import read_order, read_subsystem, renyi_entropy
from qmlphys.entanglement._vectors import read_vector, vector_spectrum
from qmlphys.entanglement.stabilizers import StabilizerState
from qmlphys.mps import MatrixProductState

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["block_entropies", "entropy", "renyi_entropy", "spectrum"]

_State: TypeAlias = ArrayLike | MatrixProductState | StabilizerState

# Halvings of a flat spectrum that may be written out.
_MAX_FLAT = 24


def entropy(state: _State, subsystem: Iterable[int], *, order: float = 1.0) -> float:
    """Return the entanglement entropy of a subsystem of a pure state, in nats.

    Parameters
    ----------
    state : array_like of shape (2^n_sites,), MatrixProductState or StabilizerState
        The state. Vectors: site i of weight 2^i, real or complex, of any norm but zero, at most 24 sites.
    subsystem : iterable of int
        Sites, each once, in any order; none or all of them give 0.
    order : float, keyword
        Rényi order, at least 0: 1 is von Neumann's entropy, inf the min-entropy, and 0 the logarithm of the Schmidt
        rank, for which values that rounding explains are zero.

    Returns
    -------
    float
        ln(Tr rho_A^order) / (1 - order), or its limit.

    Raises
    ------
    ValueError, TypeError
        If the state is malformed, a site does not exist or stands twice, or the order is negative. For a matrix product
        state also if the subsystem has so many borders that the sum over its bonds takes too much memory.

    Notes
    -----
    Vectors: the smaller side's density matrix, or below order 1 the singular values, from chunks of 2^22 amplitudes.
    Matrix product states: singular values on the chain's bonds; a block costs (product of the bonds at its ends)^3.
    Stabiliser states have flat spectra, the same entropy at every order.

    Examples
    --------
    >>> ghz = np.zeros(8)
    >>> ghz[[0, 7]] = 1.0
    >>> round(entropy(ghz, [0]), 6), round(entropy(MatrixProductState.from_vector(ghz), [0, 2], order=2), 6)
    (0.693147, 0.693147)
    """
    number = read_order(order)
    if isinstance(state, StabilizerState):
        return state.entropy(subsystem)
    if isinstance(state, MatrixProductState):
        return chain_spectrum(state, read_subsystem(subsystem, state.n_sites)).entropy(number)
    vector, n_sites = read_vector(state)
    sites = read_subsystem(subsystem, n_sites)
    return vector_spectrum(vector, n_sites, sites, accurate=number < 1).entropy(number)


def spectrum(state: _State, subsystem: Iterable[int]) -> NDArray[np.float64]:
    """Return the eigenvalues of the reduced density matrix of a subsystem of a pure state.

    Parameters
    ----------
    state, subsystem
        As for `entropy`.

    Returns
    -------
    ndarray of float64, shape (n_values,)
        Falling, of sum 1; at most one for each state of the smaller side, and zeros may be left out.

    Raises
    ------
    ValueError, TypeError
        As `entropy`; or if a stabiliser state has more than 2^24 equal ones.

    Notes
    -----
    Squares of singular values: small ones are right to 1e-16 of the largest Schmidt coefficient, that is 1e-32. On
    blocks of matrix product states with large bonds a density matrix is diagonalised, to 1e-16.

    Examples
    --------
    >>> spectrum([0.6, 0.0, 0.0, 0.8], [1]).round(12).tolist()
    [0.64, 0.36]
    """
    if isinstance(state, StabilizerState):
        halvings = round(state.entropy(subsystem) / np.log(2))
        if halvings > _MAX_FLAT:
            raise ValueError(
                f"Argument `subsystem` must have at most 2^{_MAX_FLAT} equal eigenvalues to be written out, but it has "
                f"2^{halvings}."
            )
        return np.full(2**halvings, 0.5**halvings)
    if isinstance(state, MatrixProductState):
        return chain_spectrum(state, read_subsystem(subsystem, state.n_sites)).values
    vector, n_sites = read_vector(state)
    return vector_spectrum(vector, n_sites, read_subsystem(subsystem, n_sites), accurate=True).values


def block_entropies(
    state: _State, *, lengths: Iterable[int] | None = None, order: float = 1.0, periodic: bool = True
) -> xr.DataArray:
    """Return the entropies of all contiguous blocks, in nats.

    Parameters
    ----------
    state : array_like of shape (2^n_sites,), MatrixProductState or StabilizerState
        As for `entropy`, of at least two sites.
    lengths : iterable of int, optional, keyword
        Lengths of the blocks, 1 to n_sites - 1; all by default.
    order : float, keyword
        Rényi order, as for `entropy`.
    periodic : bool, keyword
        Whether blocks wrap around the end; where they do not, entries of blocks that stick out are nan.

    Returns
    -------
    xarray.DataArray, dimensions (start, length)
        Entropy of the sites start, start + 1, ..., start + length - 1 (modulo n_sites).

    Raises
    ------
    ValueError, TypeError
        As `entropy`; or if there is a single site, or a length is out of range.

    Examples
    --------
    >>> ring = StabilizerState.from_graph(6, [(i, (i + 1) % 6) for i in range(6)])
    >>> blocks = block_entropies(ring)
    >>> (blocks.sel(length=3) / np.log(2)).values.tolist()
    [2.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    """
    import xarray as xr

    number = read_order(order)
    vector: NDArray | None = None
    if isinstance(state, MatrixProductState | StabilizerState):
        n_sites = state.n_sites
    else:
        vector, n_sites = read_vector(state)
    if n_sites < 2:
        raise ValueError(f"Argument `state` must have at least 2 sites to have blocks, but it has {n_sites}.")
    wanted = list(range(1, n_sites)) if lengths is None else [int(length) for length in lengths]
    for length in wanted:
        whole_number("lengths", length, most=n_sites - 1)
    cells = [(start, length) for start in range(n_sites) for length in wanted if periodic or start + length <= n_sites]
    needed = {_plain_block(start, length, n_sites) for start, length in cells}
    found: dict[tuple[int, int], float] = {}
    if vector is not None:
        for start, stop in sorted(needed):
            sites = list(range(start, stop))
            found[start, stop] = vector_spectrum(vector, n_sites, sites, accurate=number < 1).entropy(number)
    elif isinstance(state, MatrixProductState):
        found = {block: values.entropy(number) for block, values in block_spectra(state, needed)}
    elif isinstance(state, StabilizerState):
        found = state._blocks(needed)
    table = np.full((n_sites, len(wanted)), np.nan)
    for start, length in cells:
        table[start, wanted.index(length)] = found[_plain_block(start, length, n_sites)]
    return xr.DataArray(
        table,
        dims=("start", "length"),
        coords={"start": np.arange(n_sites), "length": wanted},
        name="entropy",
        attrs={"units": "nats", "order": number, "periodic": int(periodic)},
    )


def _plain_block(start: int, length: int, n_sites: int) -> tuple[int, int]:
    """Return (start, stop) of the block, or of its complement where that one does not wrap: both have one entropy."""
    stop = start + length
    if stop > n_sites:
        return stop - n_sites, start
    # Of a pair without wrapping the one that does not hold the last site: each pair is computed once.
    return (0, start) if stop == n_sites else (start, stop)
