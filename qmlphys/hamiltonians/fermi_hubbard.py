"""The Fermi-Hubbard model on chains and rectangles, as Pauli strings and in sectors of fixed particle numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb, isfinite, prod
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from qmlphys import bits
from qmlphys._arguments import whole_number
from qmlphys.hamiltonians.pauli_sum import PauliSum

__all__ = ["FermiHubbardState", "fermi_hubbard", "fermi_hubbard_ground_state"]

_MAX_ORBITALS = 62
_MAX_DIMENSION = 2**21
_MAX_VECTOR_ORBITALS = 24
_MAX_DENSE = 600  # dimension up to which LAPACK is quicker than Lanczos, and sees every degeneracy


def fermi_hubbard(
    shape: int | Sequence[int], *, hopping: float = 1.0, interaction: float = 4.0, periodic: bool = False
) -> PauliSum:
    """Return the Fermi-Hubbard model by the Jordan-Wigner transformation.

    H = -t sum over neighbours and spins (c^+_i c_j + c^+_j c_i) + U sum over sites n_i,up n_i,down, without a chemical
    potential.

    Parameters
    ----------
    shape : int or sequence of int
        Number of sites of a chain, or of rows and columns (any number of axes); site i counts along the last axis
        first. At most 31 sites.
    hopping : float, keyword
        t, the unit of energy.
    interaction : float, keyword
        U, in units of energy; positive is repulsive.
    periodic : bool, keyword
        Whether the ends of every axis are joined; then each axis must have 1 or at least 3 sites, since on 2 sites the
        bond around is the bond between.

    Returns
    -------
    PauliSum
        On 2 n qubits, n being the number of lattice sites: first the orbitals of spin up, qubits 0 to n - 1, then
        those of spin down. An occupied orbital is bit 1, spin -1, Z = -1.

    Raises
    ------
    ValueError, TypeError
        If the shape or a number is out of range.

    Notes
    -----
    c_j = Z_0 ... Z_(j-1) (X_j + i Y_j) / 2 (Jordan and Wigner, Z. Phys. 47, 631 (1928)), so a bond between orbitals
    j < k is -t/2 (X_j Z ... Z X_k + Y_j Z ... Z Y_k), and n_up n_down = (1 - Z_up - Z_down + Z_up Z_down) / 4.

    Examples
    --------
    >>> fermi_hubbard(2, interaction=8.0).to_pauli()[:3]
    [('XXII', -0.5), ('YYII', -0.5), ('IIXX', -0.5)]
    """
    axes, t, u = _read(shape, hopping, interaction)
    n = prod(axes)
    terms: list[tuple[str, float]] = []
    for offset in (0, n):
        for i, j in _bonds(axes, periodic):
            for letter in "XY":
                string = ["I"] * (2 * n)
                string[offset + i : offset + j + 1] = [letter, *"Z" * (j - i - 1), letter]
                terms.append(("".join(string), -t / 2))
    for i in range(n):
        for occupied, sign in (((), 1), ((i,), -1), ((i + n,), -1), ((i, i + n), 1)):
            terms.append(("".join("Z" if k in occupied else "I" for k in range(2 * n)), sign * u / 4))
    ends = "periodic" if periodic else "open"
    label = f"FermiHubbard({'x'.join(map(str, axes))}, {ends}, hopping={t!r}, interaction={u!r})"
    return PauliSum(terms, n_sites=2 * n, label=label)


@dataclass(frozen=True, eq=False)
class FermiHubbardState:
    """A ground state in the sector of given particle numbers; made by `fermi_hubbard_ground_state`.

    Parameters
    ----------
    energy : float
        Lowest energy of the sector.
    gap : float
        Distance to the next energy of the sector; inf where it has one state only.
    amplitudes : ndarray of float64, shape (n_down_states * n_up_states,)
        Normalised; entry d * n_up_states + u belongs to row u of `up` and row d of `down`, which is the order of the
        integers of the whole configurations. The first of the largest is positive.
    up, down : ndarray of int8 in {-1, +1}, shape (n_states, n_lattice)
        Spins of the qubits of spin up and of spin down, -1 where the orbital is occupied; rows in the order of their
        integers.
    """

    energy: float
    gap: float
    amplitudes: NDArray[np.float64]
    up: NDArray[np.int8]
    down: NDArray[np.int8]

    @property
    def spins(self) -> NDArray[np.int8]:
        """All configurations of the sector, shape (n_states, 2 n_lattice), in the order of `amplitudes`."""
        n_up, n_down = len(self.up), len(self.down)
        return np.hstack([np.tile(self.up, (n_down, 1)), np.repeat(self.down, n_up, axis=0)])

    @property
    def vector(self) -> NDArray[np.float64]:
        """The state over all configurations of at most 24 qubits, qubit i of weight 2^i."""
        n_qubits = 2 * self.up.shape[1]
        if n_qubits > _MAX_VECTOR_ORBITALS:
            raise ValueError(f"Argument `self` must have at most {_MAX_VECTOR_ORBITALS} qubits, but has {n_qubits}.")
        vector = np.zeros(2**n_qubits)
        vector[bits.spins_to_integers(self.spins)] = self.amplitudes
        return vector


def fermi_hubbard_ground_state(
    shape: int | Sequence[int],
    n_up: int,
    *,
    n_down: int,
    hopping: float = 1.0,
    interaction: float = 4.0,
    periodic: bool = False,
) -> FermiHubbardState:
    """Diagonalise the Fermi-Hubbard model for given numbers of particles.

    Parameters
    ----------
    shape, hopping, interaction, periodic
        As of `fermi_hubbard`.
    n_up, n_down : int
        Particles of each spin, 0 to the number of lattice sites.

    Returns
    -------
    FermiHubbardState
        Energy, gap and amplitudes in the basis of `fermi_hubbard`.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or the sector has more than 2^21 states.

    Notes
    -----
    The hopping of one spin does not see the other, so the matrix is T_up (x) 1 + 1 (x) T_down + U (doubly occupied
    sites); LAPACK up to 600 states, Lanczos from a fixed start beyond. On a bipartite lattice at half filling and U > 0
    the ground state with n_up = n_down is unique for equal sublattices: Lieb, Phys. Rev. Lett. 62, 1201 (1989).

    Examples
    --------
    >>> dimer = fermi_hubbard_ground_state(2, 1, n_down=1, interaction=4.0)
    >>> round(dimer.energy, 12) == round(2 - 8**0.5, 12)
    True
    """
    axes, t, u = _read(shape, hopping, interaction)
    n = prod(axes)
    counts = [whole_number("n_up", n_up, least=0, most=n), whole_number("n_down", n_down, least=0, most=n)]
    dimension = comb(n, counts[0]) * comb(n, counts[1])
    if dimension > _MAX_DIMENSION:
        raise ValueError(
            f"Argument `shape` must give a sector of at most {_MAX_DIMENSION} states, but has {dimension}."
        )
    from scipy.sparse import csr_array, diags_array, eye_array, kron
    from scipy.sparse.linalg import eigsh

    strings, hops = [], []
    for count in counts:
        integers = np.sort([sum(1 << i for i in chosen) for chosen in combinations(range(n), count)])
        strings.append(bits.integers_to_bits(integers, n))
        hops.append(csr_array(_hopping(integers, strings[-1], _bonds(axes, periodic), t)))
    up, down = strings
    double = (down.astype(np.float64) @ up.T).reshape(-1)
    matrix = kron(eye_array(len(down)), hops[0]) + kron(hops[1], eye_array(len(up))) + diags_array(u * double)
    if dimension <= _MAX_DENSE:
        energies, states = np.linalg.eigh(matrix.toarray())
    else:
        start = np.random.default_rng(0).standard_normal(dimension)
        energies, states = eigsh(csr_array(matrix), k=2, which="SA", v0=start, tol=1e-13)
        order = np.argsort(energies)
        energies, states = energies[order], states[:, order]
    vector = states[:, 0] / np.linalg.norm(states[:, 0])
    largest = np.flatnonzero(np.abs(vector) > np.abs(vector).max() * (1 - 1e-9))[0]
    gap = float(energies[1] - energies[0]) if len(energies) > 1 else np.inf
    return FermiHubbardState(
        float(energies[0]), gap, vector * np.sign(vector[largest]), bits.bits_to_spins(up), bits.bits_to_spins(down)
    )


def _read(shape: int | Sequence[int], hopping: float, interaction: float) -> tuple[tuple[int, ...], float, float]:
    """Check what both functions take."""
    axes = tuple(shape) if isinstance(shape, Sequence | np.ndarray) and not isinstance(shape, str) else (shape,)
    if not axes:
        raise ValueError("Argument `shape` must have at least one axis, but it is empty.")
    sizes = tuple(whole_number("shape", size, most=_MAX_ORBITALS // 2) for size in axes)
    if 2 * prod(sizes) > _MAX_ORBITALS:
        raise ValueError(f"Argument `shape` must give at most {_MAX_ORBITALS // 2} sites, but it gives {prod(sizes)}.")
    for name, value in (("hopping", hopping), ("interaction", interaction)):
        if isinstance(value, bool) or not isinstance(value, Real) or not isfinite(value):
            raise ValueError(f"Argument `{name}` must be a finite number, but it is {value!r}.")
    return sizes, float(hopping), float(interaction)


def _bonds(axes: tuple[int, ...], periodic: bool) -> list[tuple[int, int]]:
    """Neighbouring pairs of sites, smaller first, each once."""
    if not isinstance(periodic, bool | np.bool_):
        raise TypeError(f"Argument `periodic` must be True or False, but it is {periodic!r}.")
    if periodic and 2 in axes:
        raise ValueError(f"Argument `shape` must have axes of 1 or at least 3 sites if periodic, but it is {axes}.")
    number = np.arange(prod(axes)).reshape(axes)
    pairs = []
    for axis, size in enumerate(axes):
        ahead = np.roll(number, -1, axis=axis)
        steps = range(size if periodic and size > 1 else size - 1)
        pairs += [np.sort(np.stack([np.take(a, steps, axis=axis).ravel() for a in (number, ahead)], axis=1), axis=1)]
    return [(int(i), int(j)) for i, j in np.concatenate(pairs)]


def _hopping(
    integers: NDArray[np.int64], occupied: NDArray[np.int8], bonds: list[tuple[int, int]], t: float
) -> NDArray[np.float64]:
    """Hopping of one spin between its configurations; each step past a particle in between changes the sign."""
    matrix = np.zeros((len(integers), len(integers)))
    for i, j in bonds:
        movable = np.flatnonzero(occupied[:, i] != occupied[:, j])
        target = np.searchsorted(integers, integers[movable] ^ ((1 << i) | (1 << j)))
        matrix[target, movable] += -t * (-1.0) ** occupied[movable, i + 1 : j].sum(axis=1)
    return matrix
