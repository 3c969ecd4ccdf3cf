"""Lowest states of spin models by sparse diagonalisation in symmetry sectors. Public through `qmlphys.exact`.

A sector's basis is one configuration, the smallest integer, of each orbit of the group: with O_a the size of the orbit
of a and c_a = psi(a) sqrt(O_a), the matrix is M_ab = sqrt(O_a / O_b) times the sum over s' in the orbit of b of
<a|H|s'> psi(s') / psi(b).
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qmlphys import bits
from qmlphys.exact._symmetry import Group, Sector, sector_group

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from qmlphys.hamiltonians import SpinHalf

__all__ = ["GroundState", "ground_state"]

MAX_SITES = 30
MAX_VECTOR_SITES = 26
MAX_DENSE = 400  # dimension up to which LAPACK is quicker than Lanczos, and sees every degeneracy
MAX_ENTRIES = 2**29
CHUNK = 2**20

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class GroundState:
    """The lowest states of a model, in a symmetry sector or altogether; made by `ground_state`.

    Parameters
    ----------
    energies : ndarray of float64, shape (k,)
        Total energies, rising.
    dimension : int
        Number of states of the sector.
    vectors : ndarray of float64 or complex128, shape (2^n_sites, k), or None
        Normalised states over all configurations, site i of weight 2^i; the first of their largest entries is positive.
    """

    energies: npt.NDArray[np.float64]
    dimension: int
    vectors: npt.NDArray[Any] | None

    @property
    def energy(self) -> float:
        """The lowest energy."""
        return float(self.energies[0])

    @property
    def vector(self) -> npt.NDArray[Any]:
        """The lowest state, shape (2^n_sites,)."""
        if self.vectors is None:
            raise ValueError("Argument `vectors` of ground_state must be True to have the state, but was False.")
        return self.vectors[:, 0]


def ground_state(
    hamiltonian: SpinHalf, *, sector: Sector | None = None, k: int = 1, vectors: bool = False
) -> GroundState:
    """Diagonalise a model of few sites: its lowest energies and states, to machine precision.

    Parameters
    ----------
    hamiltonian : SpinHalf
        Model; at most 24 sites without, and 30 with a sector.
    sector : Sector, optional, keyword
        Quantum numbers; by default none.
    k : int, keyword
        Number of states, at least 1 and at most the sector's dimension.
    vectors : bool, keyword
        Whether to return the states too, for at most 26 sites.

    Returns
    -------
    GroundState
        Energies, dimension and states.

    Raises
    ------
    ValueError, TypeError
        If the model is too large, has not the symmetry, or no state has the quantum numbers.

    Notes
    -----
    Lanczos from a fixed start (scipy's eigsh), or LAPACK where the dimension is at most 400. Lanczos may miss copies of
    a degenerate energy. Basis of orbits as in Sandvik, AIP Conf. Proc. 1297, 135 (2010), section 4.

    Examples
    --------
    >>> from qmlphys import hamiltonians, lattices
    >>> sector = Sector(magnetization=0, spin_flip=1, momentum=(0, 0))
    >>> found = ground_state(hamiltonians.J1J2(lattices.square(4)), sector=sector)
    >>> round(found.energy, 7), found.dimension
    (-33.8316934, 441)
    """
    from qmlphys.hamiltonians import SpinHalf

    if not isinstance(hamiltonian, SpinHalf):
        raise TypeError(f"Argument `hamiltonian` must be a quantum model, such as Heisenberg, but is {hamiltonian!r}.")
    if sector is not None and not isinstance(sector, Sector):
        raise TypeError(f"Argument `sector` must be a Sector or None, but is {sector!r}.")
    n_sites = hamiltonian.n_sites
    if vectors and n_sites > MAX_VECTOR_SITES:
        raise ValueError(f"Argument `vectors` must be False beyond {MAX_VECTOR_SITES} sites, but there are {n_sites}.")
    if sector is None:
        matrix = hamiltonian.to_sparse()
        _check_k(k, matrix.shape[0])
        energies, states = _lowest(matrix, k)
        return GroundState(energies, matrix.shape[0], _phased(states) if vectors else None)
    group = sector_group(sector, hamiltonian)
    if n_sites > MAX_SITES:
        raise ValueError(
            f"Argument `hamiltonian` must have at most {MAX_SITES} sites to be diagonalised, but has {n_sites}."
        )
    tables = _Tables(group, n_sites)
    basis, orbits = _basis(tables, group, n_sites, sector.magnetization)
    _check_k(k, len(basis))
    energies, states = _lowest(_matrix(hamiltonian, tables, group, basis, orbits), k)
    if not vectors:
        return GroundState(energies, len(basis), None)
    amplitudes = states / np.sqrt(orbits)[:, None]
    whole = np.zeros((1 << n_sites, k), dtype=np.result_type(states, group.characters))
    for element, character in enumerate(group.characters):
        whole[tables.apply(element, basis)] = character * amplitudes
    return GroundState(energies, len(basis), _phased(whole))


def _check_k(k: int, dimension: int) -> None:
    if dimension == 0:
        raise ValueError("Argument `sector` must hold quantum numbers that some state has, but no state has these.")
    if isinstance(k, bool) or not 1 <= operator.index(k) <= dimension:
        raise ValueError(f"Argument `k` must be between 1 and the dimension {dimension}, but is {k!r}.")


class _Tables:
    """Group elements as maps of integers, looked up byte by byte."""

    def __init__(self, group: Group, n_sites: int) -> None:
        n_bytes = -(-n_sites // 8)
        self.all_ones = np.int64((1 << n_sites) - 1)
        self.flips = group.flips
        self.tables = np.zeros((group.order, n_bytes, 256), dtype=np.int64)
        values = np.arange(256)
        for element, permutation in enumerate(group.permutations):
            for target, source in enumerate(permutation.tolist()):  # (g s)[target] = s[source]
                self.tables[element, source // 8] |= ((values >> (source % 8)) & 1) << target

    def apply(self, element: int, states: Integers) -> Integers:
        """Images of configurations under one group element."""
        images = self.tables[element, 0][states & 255]
        for byte in range(1, self.tables.shape[1]):
            images |= self.tables[element, byte][(states >> (8 * byte)) & 255]
        return images ^ self.all_ones if self.flips[element] else images


def _basis(
    tables: _Tables, group: Group, n_sites: int, magnetization: int | None
) -> tuple[Integers, npt.NDArray[np.float64]]:
    """Representatives whose orbits carry a state of the sector, and the sizes of these orbits."""
    n_down = None if magnetization is None else (n_sites - magnetization) // 2
    found, sizes = [], []
    for start in range(0, 1 << n_sites, CHUNK):
        states = np.arange(start, min(start + CHUNK, 1 << n_sites))
        if n_down is not None:
            states = states[np.bitwise_count(states) == n_down]
        stabiliser = np.ones(len(states), dtype=group.characters.dtype)
        fixed = np.ones(len(states))
        for element in range(1, group.order):
            images = tables.apply(element, states)
            same = images == states
            stabiliser[same] += group.characters[element]
            fixed[same] += 1
            keep = images >= states
            states, stabiliser, fixed = states[keep], stabiliser[keep], fixed[keep]
        carried = np.abs(stabiliser) > 0.5  # the sum of characters over a subgroup is its order or zero
        found.append(states[carried])
        sizes.append(group.order / fixed[carried])
    return np.concatenate(found), np.concatenate(sizes)


def _matrix(
    hamiltonian: SpinHalf, tables: _Tables, group: Group, basis: Integers, orbits: npt.NDArray[np.float64]
) -> csr_array:
    """The sector's Hermitian matrix."""
    from scipy.sparse import coo_array, csr_array

    terms, n_sites = hamiltonian.flip_terms, hamiltonian.n_sites
    if len(basis) * terms.n_terms > MAX_ENTRIES:
        raise ValueError(
            f"Argument `sector` must leave at most {MAX_ENTRIES} matrix elements, but there are {len(basis)} states "
            f"with {terms.n_terms} each: ask for more quantum numbers."
        )
    masks = np.where(terms.flips >= 0, np.int64(1) << np.maximum(terms.flips, 0), 0).sum(axis=1)
    size = len(basis)
    total = csr_array((size, size))
    step = max(1, 4 * CHUNK // terms.n_terms)
    for first in range(0, size, step):
        part = basis[first : first + step]
        elements = terms.elements(bits.integers_to_spins(part, n_sites))
        row, term = np.nonzero(elements)
        target = part[row] ^ masks[term]
        smallest, phase = target.copy(), np.ones(len(target), dtype=group.characters.dtype)
        for element in range(1, group.order):
            images = tables.apply(element, target)
            lower = images < smallest
            smallest[lower] = images[lower]
            # target = g^-1 smallest, so psi(target) = conj(character of g) psi(smallest).
            phase[lower] = np.conj(group.characters[element])
        column = np.minimum(np.searchsorted(basis, smallest), size - 1)
        there = basis[column] == smallest  # an orbit that carries no state drops out
        row, column = row[there], column[there]
        weights = np.sqrt(orbits[first + row] / orbits[column])
        values = elements[row, term[there]] * phase[there] * weights
        total = total + coo_array((values, (first + row, column)), shape=(size, size)).tocsr()
    return total


def _lowest(matrix: csr_array, k: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any]]:
    """The k lowest eigenvalues, rising, and their eigenvectors."""
    from scipy.sparse.linalg import eigsh

    size = matrix.shape[0]
    if size <= max(MAX_DENSE, k + 1):
        energies, states = np.linalg.eigh(matrix.toarray())
        return energies[:k], states[:, :k]
    start = np.random.default_rng(0).standard_normal(size).astype(matrix.dtype)
    energies, states = eigsh(matrix, k=k, which="SA", v0=start, tol=0, ncv=min(size, max(2 * k + 1, 40)))
    order = np.argsort(energies)
    return energies[order], states[:, order]


def _phased(states: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """States turned so that the first of their largest entries is positive: the phase they come with means nothing."""
    size = np.abs(states)
    first = (size > 0.999999 * size.max(axis=0)).argmax(axis=0)  # symmetry makes many entries equal up to rounding
    largest = states[first, np.arange(states.shape[1])]
    return states * (np.conj(largest) / np.abs(largest))
