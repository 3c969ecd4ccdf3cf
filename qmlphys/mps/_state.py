"""Matrix product states. Public through `qmlphys.mps`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qmlphys.hamiltonians import SpinHalf
from qmlphys.hamiltonians._flip_terms import spin_rows
from qmlphys.hamiltonians._spin_half import basis_letters
from qmlphys.mps._operator import energy_moments
from qmlphys.mps._tensors import right_canonical

__all__ = ["MatrixProductState"]

MAX_VECTOR_SITES = 24

# The turns of `SpinHalf.rotated`: they make the measured letter Z.
_TURNS: dict[str, NDArray[Any]] = {
    "X": np.array([[1, 1], [1, -1]]) / np.sqrt(2),
    "Y": np.array([[1, -1j], [1j, -1]]) / np.sqrt(2),
    "Z": np.eye(2),
}


@dataclass(frozen=True, eq=False)
class MatrixProductState:
    """A state whose amplitudes are products of matrices, psi(s) = A_0[s_0] A_1[s_1] ... A_{n-1}[s_{n-1}].

    Parameters
    ----------
    tensors : sequence of array_like, each of shape (left, 2, right)
        One a site; index 0 of the middle axis is spin +1. `right` of each is `left` of the next; the first `left` and
        the last `right` are 1. Real or complex; copied, and kept as float64 or complex128.

    Raises
    ------
    ValueError
        If the shapes do not fit together, a number is not finite, or the state is zero.

    Examples
    --------
    >>> up, down = [[[1.0], [0.0]]], [[[0.0], [1.0]]]
    >>> state = MatrixProductState([up, down, up])
    >>> state.amplitudes([[1, -1, 1], [1, 1, 1]]).tolist()
    [1.0, 0.0]
    """

    tensors: tuple[NDArray[Any], ...]

    def __post_init__(self) -> None:
        arrays = [np.array(tensor) for tensor in self.tensors]
        if not arrays:
            raise ValueError("Argument `tensors` must hold at least one tensor, but it is empty.")
        for site, array in enumerate(arrays):
            if array.dtype.kind not in "iufc" or array.ndim != 3 or array.shape[1] != 2 or 0 in array.shape:
                raise ValueError(
                    "Argument `tensors` must hold arrays of numbers of shape (left, 2, right), but that of site "
                    f"{site} has shape {array.shape} and dtype {array.dtype}."
                )
            if not np.isfinite(array).all():
                raise ValueError(f"Argument `tensors` must be finite, but that of site {site} is not.")
            before = arrays[site - 1].shape[2] if site else 1
            if array.shape[0] != before:
                raise ValueError(
                    f"Argument `tensors` must fit together, but that of site {site} has a left bond of "
                    f"{array.shape[0]} beside one of {before}."
                )
        if arrays[-1].shape[2] != 1:
            raise ValueError(f"Argument `tensors` must end with a right bond of 1, but it is {arrays[-1].shape[2]}.")
        dtype = np.complex128 if any(array.dtype.kind == "c" for array in arrays) else np.float64
        frozen = tuple(np.ascontiguousarray(array, dtype=dtype) for array in arrays)
        for array in frozen:
            array.setflags(write=False)
        object.__setattr__(self, "tensors", frozen)
        if not np.isfinite(self.log_norm):
            raise ValueError("Argument `tensors` must make a state, but all its amplitudes are zero.")

    @classmethod
    def from_vector(
        cls, vector: ArrayLike, *, max_bond: int | None = None, cutoff: float = 1e-14
    ) -> MatrixProductState:
        """Decompose a state vector, site by site.

        Parameters
        ----------
        vector : array_like, shape (2^n_sites,)
            Amplitudes, site i of weight 2^i; at most 24 sites.
        max_bond : int, optional, keyword
            Largest bond, at least 1; by default as large as it takes.
        cutoff : float, keyword
            Singular values up to this times the largest of their cut are left out, from 0 to below 1.

        Returns
        -------
        MatrixProductState
            Equal to the vector up to what was left out.

        Raises
        ------
        ValueError
            If the length is no power of two from 2 to 2^24, or another argument is out of range.

        Notes
        -----
        Vidal, Phys. Rev. Lett. 91, 147902 (2003).

        Examples
        --------
        >>> MatrixProductState.from_vector([1.0, 0.0, 0.0, 1.0]).bonds
        (2,)
        """
        array = np.asarray(vector)
        n_sites = array.size.bit_length() - 1
        if array.ndim != 1 or array.dtype.kind not in "iufc" or array.size != 1 << max(n_sites, 0) or n_sites < 1:
            raise ValueError(
                f"Argument `vector` must hold 2^n_sites amplitudes, but its shape is {array.shape} and its dtype "
                f"{array.dtype}."
            )
        if n_sites > MAX_VECTOR_SITES:
            raise ValueError(f"Argument `vector` must have at most {MAX_VECTOR_SITES} sites, but has {n_sites}.")
        if max_bond is not None and (isinstance(max_bond, bool) or not isinstance(max_bond, int) or max_bond < 1):
            raise ValueError(f"Argument `max_bond` must be an integer of at least 1, but it is {max_bond!r}.")
        if not 0 <= cutoff < 1:
            raise ValueError(f"Argument `cutoff` must be from 0 to below 1, but it is {cutoff!r}.")
        if not np.isfinite(array).all() or not array.any():
            raise ValueError("Argument `vector` must be finite and not zero, but it is not.")
        tensors = []
        rest = array.reshape(1, -1)  # (bond, sites to come)
        for _ in range(n_sites - 1):
            left = len(rest)
            # The site of smallest weight is the last axis.
            matrix = rest.reshape(left, -1, 2).transpose(0, 2, 1).reshape(2 * left, -1)
            u, singular, v = np.linalg.svd(matrix, full_matrices=False)
            kept = max(1, int((singular > cutoff * singular[0]).sum()))
            kept = kept if max_bond is None else min(kept, max_bond)
            tensors.append(u[:, :kept].reshape(left, 2, kept))
            rest = singular[:kept, None] * v[:kept]
        tensors.append(rest.reshape(len(rest), 2, 1))
        return cls(tuple(tensors))

    @property
    def n_sites(self) -> int:
        """Number of sites."""
        return len(self.tensors)

    @property
    def bonds(self) -> tuple[int, ...]:
        """Bond dimensions between neighbouring sites, n_sites - 1 of them."""
        return tuple(tensor.shape[2] for tensor in self.tensors[:-1])

    @property
    def max_bond(self) -> int:
        """The largest bond dimension."""
        return max(self.bonds, default=1)

    @property
    def n_parameters(self) -> int:
        """Number of entries of all tensors; complex ones count once."""
        return sum(tensor.size for tensor in self.tensors)

    @cached_property
    def _canonical(self) -> tuple[tuple[NDArray[Any], ...], float]:
        return right_canonical(self.tensors)

    @property
    def log_norm(self) -> float:
        """Logarithm of the norm."""
        return self._canonical[1]

    @property
    def norm(self) -> float:
        """The norm, sqrt of the sum of |psi(s)|^2; infinite beyond the range of floats (see `log_norm`)."""
        with np.errstate(over="ignore"):
            return float(np.exp(self.log_norm))

    def normalized(self) -> MatrixProductState:
        """Return the state of norm 1, in right-canonical form."""
        return MatrixProductState(self._canonical[0])

    def log_amplitudes(self, spins: ArrayLike) -> NDArray[np.complex128]:
        """Logarithms of amplitudes, without overflow on any number of sites.

        Parameters
        ----------
        spins : array_like of -1 and +1, shape (n, n_sites)
            Configurations.

        Returns
        -------
        ndarray of complex128, shape (n,)
            log psi(s); the imaginary part is the phase, and a zero amplitude gives -inf.

        Raises
        ------
        ValueError
            If the shape does not fit or a value is neither -1 nor +1.
        """
        ends, logs = self._follow(spin_rows(spins, self.n_sites))
        return logs + 1j * np.angle(ends)

    def amplitudes(self, spins: ArrayLike) -> NDArray[Any]:
        """Amplitudes psi(s), not normalised.

        Parameters
        ----------
        spins : array_like of -1 and +1, shape (n, n_sites)
            Configurations.

        Returns
        -------
        ndarray of float64 or complex128, shape (n,)
            psi(s).

        Raises
        ------
        ValueError
            If the shape does not fit or a value is neither -1 nor +1.
        """
        ends, logs = self._follow(spin_rows(spins, self.n_sites))
        return ends * np.exp(logs)

    def _follow(self, rows: NDArray[np.int8]) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Products of matrices along configurations: numbers of absolute value 1 or 0, and logs of their factors."""
        vectors = np.ones((len(rows), 1), dtype=self.tensors[0].dtype)
        logs = np.zeros(len(rows))
        with np.errstate(divide="ignore"):
            for site, tensor in enumerate(self.tensors):
                up = rows[:, site] == 1
                following = np.empty((len(rows), tensor.shape[2]), dtype=tensor.dtype)
                following[up], following[~up] = vectors[up] @ tensor[:, 0], vectors[~up] @ tensor[:, 1]
                size = np.abs(following).max(axis=1)
                logs += np.log(size)
                vectors = following / np.where(size > 0, size, 1.0)[:, None]
        return vectors[:, 0], logs

    def to_vector(self) -> NDArray[Any]:
        """Return all amplitudes, not normalised.

        Returns
        -------
        ndarray of float64 or complex128, shape (2^n_sites,)
            Site i has weight 2^i.

        Raises
        ------
        ValueError
            If there are more than 24 sites.
        """
        if self.n_sites > MAX_VECTOR_SITES:
            raise ValueError(
                f"Argument `self` must have at most {MAX_VECTOR_SITES} sites to become a vector, but it has "
                f"{self.n_sites}."
            )
        vector = np.ones((1, 1), dtype=self.tensors[0].dtype)
        for tensor in self.tensors:
            # Later sites have more weight, so their axis comes first.
            vector = np.tensordot(vector, tensor, axes=(1, 0)).transpose(1, 0, 2).reshape(-1, tensor.shape[2])
        return vector[:, 0]

    def rotated(self, basis: str) -> MatrixProductState:
        """Return the same state as seen from another Pauli basis: measuring Z on it is measuring `basis` on this one.

        Parameters
        ----------
        basis : str
            X, Y or Z for all sites, or one letter a site, site 0 first. The same turns as in `SpinHalf.rotated`.

        Returns
        -------
        MatrixProductState
            With the same bonds.

        Raises
        ------
        ValueError
            If `basis` holds another letter or its length is neither 1 nor n_sites.
        """
        letters = basis_letters(basis, self.n_sites)
        return MatrixProductState(
            tuple(np.einsum("ts,lsr->ltr", _TURNS[c], t) for c, t in zip(letters, self.tensors, strict=True))
        )

    def sample(
        self, n_draws: int, rng: np.random.Generator | int | None = None, *, basis: str = "Z"
    ) -> NDArray[np.int8]:
        """Measure all sites: independent draws from |psi|^2, without a Markov chain.

        Parameters
        ----------
        n_draws : int
            Number of measurements, at least 1.
        rng : None, int or numpy.random.Generator
            Source of randomness.
        basis : str, keyword
            X, Y or Z for all sites, or one letter a site, site 0 first.

        Returns
        -------
        ndarray of int8, shape (n_draws, n_sites)
            -1 and +1.

        Raises
        ------
        ValueError
            If `n_draws` is less than 1 or `basis` is malformed.

        Notes
        -----
        Site by site from conditional probabilities: Ferris and Vidal, Phys. Rev. B 85, 165146 (2012).

        Examples
        --------
        >>> ghz = MatrixProductState.from_vector([1.0, 0, 0, 0, 0, 0, 0, 1.0])
        >>> ghz.sample(4, 1).tolist()
        [[-1, -1, -1], [-1, -1, -1], [-1, -1, -1], [1, 1, 1]]
        """
        if isinstance(n_draws, bool) or not isinstance(n_draws, int | np.integer) or n_draws < 1:
            raise ValueError(f"Argument `n_draws` must be an integer of at least 1, but it is {n_draws!r}.")
        state = self if basis == "Z" else self.rotated(basis)
        tensors = state._canonical[0]
        uniform = np.random.default_rng(rng).random((n_draws, self.n_sites))
        spins = np.empty((n_draws, self.n_sites), dtype=np.int8)
        vectors = np.ones((n_draws, 1), dtype=tensors[0].dtype)
        for site, tensor in enumerate(tensors):
            branches = np.stack([vectors @ tensor[:, 0], vectors @ tensor[:, 1]])
            # In right-canonical form the sites to come sum to one.
            weights = (np.abs(branches) ** 2).sum(axis=2)
            down = uniform[:, site] * weights.sum(axis=0) >= weights[0]
            spins[:, site] = np.where(down, -1, 1)
            chosen = down.astype(np.int64)
            rows = np.arange(n_draws)
            vectors = branches[chosen, rows] / np.sqrt(weights[chosen, rows])[:, None]
        return spins

    def expectation(self, hamiltonian: SpinHalf) -> float:
        """Return <psi|H|psi> / <psi|psi>.

        Parameters
        ----------
        hamiltonian : SpinHalf
            Operator on as many sites, for example a `PauliSum`.

        Returns
        -------
        float
            Expectation value.

        Raises
        ------
        ValueError, TypeError
            If it is no such operator.
        """
        self._check_operator(hamiltonian)
        return energy_moments(self._canonical[0], hamiltonian.to_pauli(), centre=None)

    def variance(self, hamiltonian: SpinHalf) -> float:
        """Return <(H - <H>)^2>, which is zero on an eigenstate.

        Parameters
        ----------
        hamiltonian : SpinHalf
            Operator on as many sites.

        Returns
        -------
        float
            Variance, >= 0 up to a rounding error of about 1e-16 <H>^2.

        Raises
        ------
        ValueError, TypeError
            If it is no such operator.
        """
        centre = self.expectation(hamiltonian)
        return energy_moments(self._canonical[0], hamiltonian.to_pauli(), centre=centre)

    def _check_operator(self, hamiltonian: SpinHalf) -> None:
        if not isinstance(hamiltonian, SpinHalf):
            raise TypeError(f"Argument `hamiltonian` must be a quantum model or a PauliSum, but it is {hamiltonian!r}.")
        if hamiltonian.n_sites != self.n_sites:
            raise ValueError(
                f"Argument `hamiltonian` must have {self.n_sites} sites as the state has, but {hamiltonian.label} has "
                f"{hamiltonian.n_sites}."
            )
