"""Rotations and reflections that map a lattice on itself, found from the coordinates of its sites."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from qmlphys.lattices import Lattice

__all__ = ["Isometries", "isometries"]


@dataclass(frozen=True, eq=False)
class Isometries:
    """The point group of a lattice.

    Attributes
    ----------
    permutations : ndarray of int64, shape (n_elements, n_sites)
        Where each element looks: the site at its image.
    turns : ndarray of int64, shape (n_elements,)
        Number of smallest rotations, after the reference reflection if `mirrors`; in three dimensions 1 for an odd
        exchange of axes.
    mirrors : ndarray of bool, shape (n_elements,)
        Whether the element changes handedness.
    """

    permutations: NDArray[np.int64]
    turns: NDArray[np.int64]
    mirrors: NDArray[np.bool_]


def isometries(lattice: Lattice) -> Isometries:
    """Return the largest group of rotations and reflections about one point."""
    vectors = _cell_vectors(lattice)
    matrices = _orthogonal(vectors)
    best: tuple[list[NDArray[np.float64]], list[NDArray[np.int64]]] = ([], [])
    for centre in _centres(lattice, vectors):
        found = [(matrix, _images(lattice, vectors, matrix, centre)) for matrix in matrices]
        kept = [(matrix, image) for matrix, image in found if image is not None]
        if len(kept) > len(best[0]):
            best = ([matrix for matrix, _ in kept], [image for _, image in kept])
    rotations = np.array(best[0])
    mirrors = np.linalg.det(rotations) < 0
    return Isometries(np.array(best[1]), _turns(rotations, mirrors), mirrors)


def _cell_vectors(lattice: Lattice) -> NDArray[np.float64]:
    """Rows: the steps from a cell to the next along each axis."""
    dim = lattice.n_dimensions
    first = lattice.coordinates.reshape(*(lattice.size,) * dim, lattice.n_basis, dim)[..., 0, :]
    return np.array([first[tuple(np.eye(dim, dtype=int)[axis])] - first[(0,) * dim] for axis in range(dim)])


def _orthogonal(vectors: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """All orthogonal matrices that map the infinite lattice of cells on itself."""
    dim = len(vectors)
    short = np.array(list(product((-1, 0, 1), repeat=dim))) @ vectors
    gram = vectors @ vectors.T
    candidates = [short[np.abs((short**2).sum(axis=1) - gram[axis, axis]) < 1e-9] for axis in range(dim)]
    found: list[NDArray[np.float64]] = []
    for choice in product(*candidates):
        images = np.array(choice)
        if np.abs(images @ images.T - gram).max() < 1e-9:
            found.append(
                np.asarray(np.linalg.solve(vectors, images).T, dtype=np.float64)
            )  # column vectors: matrix @ vector = image
    return found


def _centres(lattice: Lattice, vectors: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    if not lattice.periodic:
        return [(lattice.coordinates.min(axis=0) + lattice.coordinates.max(axis=0)) / 2]
    if lattice.n_basis == 1:
        return [lattice.coordinates[0]]
    # The symmetric points of a cell lie at sixths of its vectors at most (hexagon centres at thirds).
    return list(np.array(list(product(range(6), repeat=lattice.n_dimensions))) / 6 @ vectors)


def _images(
    lattice: Lattice, vectors: NDArray[np.float64], matrix: NDArray[np.float64], centre: NDArray[np.float64]
) -> NDArray[np.int64] | None:
    """The site at each site's image, or None if an image is no site."""
    moved = (lattice.coordinates - centre) @ matrix.T + centre
    steps = moved[:, None, :] - lattice.coordinates[None, :, :]
    if lattice.periodic:
        cells = np.linalg.solve(vectors.T, steps.reshape(-1, steps.shape[2]).T).T / lattice.size
        steps = ((cells - np.round(cells)) * lattice.size @ vectors).reshape(steps.shape)
    matches = (np.abs(steps) < 1e-6).all(axis=2)
    if not (matches.sum(axis=1) == 1).all():
        return None
    return matches.argmax(axis=1).astype(np.int64)


def _turns(rotations: NDArray[np.float64], mirrors: NDArray[np.bool_]) -> NDArray[np.int64]:
    dim = rotations.shape[1]
    if dim == 1:
        return np.zeros(len(rotations), dtype=np.int64)
    if dim == 3:
        # Signed permutations of the axes: the sign of the permutation is det |matrix|.
        return (np.linalg.det(np.abs(rotations)) < 0).astype(np.int64)
    # A reflection about the first axis, the second column turned around, leaves a proper rotation.
    proper = np.where(mirrors[:, None, None], rotations @ np.diag([1.0, -1.0]), rotations)
    angles = np.arctan2(proper[:, 1, 0], proper[:, 0, 0]) % (2 * np.pi)
    angles = np.where(angles > 2 * np.pi - 1e-6, 0.0, angles)
    smallest = min((angle for angle in angles[~mirrors] if angle > 1e-6), default=np.inf)
    offset = min(angles[mirrors], default=0.0)  # an open rhombus has no mirror along an axis: count from its first
    return np.round((angles - np.where(mirrors, offset, 0.0)) / smallest).astype(np.int64)
