"""The parent Hamiltonian of a graph-state model: local projectors whose only common zero is the state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from qmlphys.generative.graph_model import GraphGenerativeModel

__all__ = ["ParentHamiltonian", "parent_hamiltonian"]

_Term = tuple[tuple[int, ...], NDArray[np.complex128]]

_MAX_DEGREE = 10
_MAX_SPARSE = 20
_MAX_SPECTRUM = 14
_DENSE = 8


@dataclass(frozen=True, eq=False)
class ParentHamiltonian:
    """A sum of projectors, each on a few qubits; made by `parent_hamiltonian`.

    Parameters
    ----------
    n_qubits : int
        Number of qubits.
    terms : tuple of (tuple of int, ndarray of shape (2^k, 2^k))
        Qubits and projector of each term; the first qubit has the smallest weight in the matrix.
    """

    n_qubits: int
    terms: tuple[_Term, ...]

    def to_sparse(self) -> Any:
        """Return the matrix.

        Returns
        -------
        scipy.sparse.csr_array, shape (2^n_qubits, 2^n_qubits)
            Complex; qubit i has weight 2^i.

        Raises
        ------
        ValueError
            If there are more than 20 qubits.
        """
        from scipy.sparse import coo_array, csr_array

        self._check_size(_MAX_SPARSE)
        size = 1 << self.n_qubits
        total = csr_array((size, size), dtype=np.complex128)
        states = np.arange(size)
        for sites, projector in self.terms:
            local = sum(((states >> site) & 1) << k for k, site in enumerate(sites))
            rest = states & ~sum(1 << site for site in sites)
            # Column by column of the small matrix: where each basis state goes, and with what amplitude.
            spread = np.array(
                [sum(((row >> k) & 1) << site for k, site in enumerate(sites)) for row in range(len(projector))]
            )
            rows = rest[None, :] + spread[:, None]
            values = projector[:, local]
            columns = np.broadcast_to(states, rows.shape)
            keep = values != 0
            total = total + coo_array((values[keep], (rows[keep], columns[keep])), shape=(size, size)).tocsr()
        return total

    def energy(self, vector: ArrayLike) -> float:
        """Return <v|H|v> / <v|v>, which is never negative.

        Parameters
        ----------
        vector : array_like, shape (2^n_qubits,)
            Amplitudes, qubit i of weight 2^i; at most 20 qubits.

        Returns
        -------
        float
            Sum over the terms of the squared norm of the projection.

        Raises
        ------
        ValueError
            If the length does not fit, or the vector is zero or not finite.
        """
        self._check_size(_MAX_SPARSE)
        array = np.asarray(vector)
        if array.dtype.kind not in "iufc" or array.shape != (1 << self.n_qubits,):
            raise ValueError(
                f"Argument `vector` must hold 2^{self.n_qubits} amplitudes, but its shape is {array.shape} and its "
                f"dtype {array.dtype}."
            )
        norm = float(np.linalg.norm(array))
        if not (np.isfinite(norm) and norm > 0):
            raise ValueError("Argument `vector` must be finite and not zero, but it is not.")
        # Axis of qubit i: the last axis has the smallest weight.
        amplitudes = (array / norm).reshape((2,) * self.n_qubits)
        total = 0.0
        for sites, projector in self.terms:
            axes = [self.n_qubits - 1 - site for site in reversed(sites)]
            front = np.moveaxis(amplitudes, axes, range(len(axes))).reshape(len(projector), -1)
            total += float(np.linalg.norm(projector @ front) ** 2)
        return total

    def spectral_gap(self) -> float:
        """Return the difference of the two lowest eigenvalues, the lowest being zero.

        Returns
        -------
        float
            Positive, as the ground state is unique.

        Raises
        ------
        ValueError
            If there are more than 14 qubits.
        """
        self._check_size(_MAX_SPECTRUM)
        matrix = self.to_sparse()
        if self.n_qubits <= _DENSE:
            energies = np.linalg.eigvalsh(matrix.toarray())
        else:
            from scipy.sparse.linalg import eigsh

            start = np.random.default_rng(0).normal(size=1 << self.n_qubits)
            energies = np.sort(eigsh(matrix, k=2, which="SA", v0=start, return_eigenvectors=False))
        return float(energies[1] - energies[0])

    def _check_size(self, most: int) -> None:
        if self.n_qubits > most:
            raise ValueError(f"This needs at most {most} qubits, but the Hamiltonian has {self.n_qubits}.")


def parent_hamiltonian(model: GraphGenerativeModel) -> ParentHamiltonian:
    """Return the Hamiltonian whose unique ground state is the state |Q> of a model, with energy zero.

    Parameters
    ----------
    model : GraphGenerativeModel
        Fitted, or made of matrices; each qubit with at most 10 neighbours.

    Returns
    -------
    ParentHamiltonian
        One term for each qubit, on the qubit and its neighbours.

    Raises
    ------
    TypeError, ValueError
        If it is no such model, or a qubit has more neighbours.

    Notes
    -----
    The graph state is the only common +1 eigenstate of K_i = X_i prod_j Z_j, j the neighbours of i. With S = {i} and
    its neighbours, and M_S the product of their matrices, (M_S^-1)^+ (1 - K_i) / 2 M_S^-1 vanishes on |Q> = M |G> and,
    as M is invertible, on no other state for all i. The term is the orthogonal projector onto its range, which has the
    same zeros and norm 1: X. Gao, Z.-Y. Zhang and L.-M. Duan, Sci. Adv. 4, eaat9004 (2018).

    Examples
    --------
    >>> model = GraphGenerativeModel.from_matrices((3, [(0, 1), (1, 2)]), [[[1, 0.2], [0, 0.5]]] * 3)
    >>> hamiltonian = parent_hamiltonian(model)
    >>> [sites for sites, _ in hamiltonian.terms]
    [(0, 1), (1, 0, 2), (2, 1)]
    >>> hamiltonian.energy(model.to_vector()) < 1e-12
    True
    """
    if not isinstance(model, GraphGenerativeModel):
        raise TypeError(f"Argument `model` must be a GraphGenerativeModel, but it is {type(model).__name__}.")
    check_is_fitted(model, "matrices_")
    around = model._networks.graph.neighbours()
    degrees = [len(others) for others in around]
    if max(degrees) > _MAX_DEGREE:
        raise ValueError(
            f"Argument `model` must have at most {_MAX_DEGREE} neighbours a qubit, but qubit {int(np.argmax(degrees))} "
            f"has {max(degrees)}."
        )
    turned = np.linalg.inv(model.matrices_).conj().transpose(0, 2, 1)
    terms = []
    for qubit, others in enumerate(around):
        columns = _range(turned[qubit], [turned[other] for other in others])
        basis = np.linalg.qr(columns)[0]
        terms.append(((qubit, *others), basis @ basis.conj().T))
    return ParentHamiltonian(model._networks.graph.n_qubits, tuple(terms))


def _range(own: NDArray[np.complex128], others: list[NDArray[np.complex128]]) -> NDArray[np.complex128]:
    """Columns that span the range of (M_S^-1)^+ (1 - K): one for each pattern of the neighbours, of norm 1."""
    # On the pattern z of the neighbours 1 - K projects the qubit onto |0> - (-1)^|z| |1>.
    ends = [own @ np.array([1.0, -1.0]), own @ np.array([1.0, 1.0])]
    patterns: list[tuple[NDArray[Any], int]] = [(np.ones(1, dtype=np.complex128), 0)]
    for matrix in others:
        # Later qubits have more weight, so they come first in the product.
        patterns = [(np.kron(matrix[:, bit], vector), parity ^ bit) for vector, parity in patterns for bit in (0, 1)]
    columns = [np.kron(vector, ends[parity]) for vector, parity in patterns]
    return np.stack([column / np.linalg.norm(column) for column in columns], axis=1)
