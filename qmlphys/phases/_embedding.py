"""Principal axes and diffusion maps of snapshots, block by block: int8 snapshots stay int8 in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh
from scipy.linalg.blas import ssyrk
from scipy.sparse.linalg import eigsh

__all__ = ["blocks", "diffuse", "diffusion_axes", "principal_axes", "project", "squared_distances"]

Floats = npt.NDArray[np.float64]

# Rows that are turned into floating point at a time.
_BLOCK = 4096
# Above this number of features a few eigenvectors come faster from Lanczos iterations than from the full reduction,
_MAX_DENSE = 600
# and above this one the matrix itself is too large (128 MiB here).
_MAX_FORMED = 4096
_OVERSAMPLING = 14
_N_ITERATIONS = 8


def blocks(rows: npt.NDArray[Any]) -> Iterator[Floats]:
    """Yield the rows as float64, a few thousand at a time."""
    for start in range(0, len(rows), _BLOCK):
        yield rows[start : start + _BLOCK].astype(np.float64)


def _with_sign(axes: Floats) -> Floats:
    """Give each axis a sign of its own: an eigenvector has none, so its largest entry is made positive."""
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    return axes * np.sign(largest)


def _second_moment(rows: npt.NDArray[Any], mean: Floats) -> Floats:
    n_features = rows.shape[1]
    moment = np.zeros((n_features, n_features))
    if rows.dtype != np.int8:
        for block in blocks(rows):
            centred = block - mean
            moment += centred.T @ centred
        return moment
    # Sums of +-1 over a block are integers that single precision holds exactly; half of the symmetric matrix is enough.
    for start in range(0, len(rows), _BLOCK):
        moment += ssyrk(1.0, rows[start : start + _BLOCK].astype(np.float32), trans=True, lower=False)
    moment = np.triu(moment) + np.triu(moment, 1).T
    return moment - len(rows) * np.outer(mean, mean)


def _iterate(rows: npt.NDArray[Any], mean: Floats, n_components: int) -> tuple[Floats, Floats]:
    """Return leading moments and axes by subspace iteration, for when the second moment is too large to be formed.

    Axes that stand out converge to rounding; those at the edge of a continuum of noise, which mean nothing, to some
    per cent of its width (N. Halko, P.-G. Martinsson and J. A. Tropp, SIAM Rev. 53, 217 (2011), algorithm 4.4).
    """
    # Started always alike, so that one data set gives one answer.
    basis = np.random.default_rng(0).normal(size=(rows.shape[1], n_components + _OVERSAMPLING))
    for step in range(_N_ITERATIONS + 1):
        basis = np.linalg.qr(basis)[0]
        image = np.zeros_like(basis)
        for block in blocks(rows):
            centred = block - mean
            image += centred.T @ (centred @ basis)
        if step < _N_ITERATIONS:
            basis = image
    values, mix = np.linalg.eigh(basis.T @ image)
    return values[::-1][:n_components], (basis @ mix).T[::-1][:n_components]


def principal_axes(rows: npt.NDArray[Any], mean: Floats, n_components: int) -> tuple[Floats, Floats]:
    """Return the leading axes (n_components, n_features) of the second moment about `mean`, and their shares of it."""
    n_samples, n_features = rows.shape
    if n_samples < n_features:
        singular, axes = np.linalg.svd(rows.astype(np.float64) - mean, full_matrices=False)[1:]
        moments, trace = singular[:n_components] ** 2, float((singular**2).sum())
    elif n_features <= _MAX_DENSE or n_components > n_features // 10:
        moment = _second_moment(rows, mean)
        ascending, vectors = eigh(moment, subset_by_index=(n_features - n_components, n_features - 1))
        moments, axes, trace = ascending[::-1], vectors.T[::-1], float(np.trace(moment))
    else:
        trace = sum(float(((block - mean) ** 2).sum()) for block in blocks(rows))
        if n_features > _MAX_FORMED:
            moments, axes = _iterate(rows, mean, n_components)
        else:
            start = np.random.default_rng(0).normal(size=n_features)
            values, vectors = eigsh(_second_moment(rows, mean), n_components, v0=start)
            order = np.argsort(values)[::-1]
            moments, axes = values[order], vectors.T[order]
    if not trace > 0:
        raise ValueError("Argument `X` must hold different rows, but they are all the same.")
    return _with_sign(axes[:n_components]), np.maximum(moments, 0) / trace


def project(rows: npt.NDArray[Any], mean: Floats, axes: Floats) -> Floats:
    """Return the coordinates (n, n_components) along the axes."""
    return np.concatenate([(block - mean) @ axes.T for block in blocks(rows)])


def squared_distances(block: Floats, landmarks: Floats, *, symmetric: bool) -> Floats:
    """Return squared distances (n, n_landmarks); with the symmetry, to the landmark or its mirror image."""
    overlap = block @ landmarks.T
    if symmetric:
        overlap = np.abs(overlap)
    squares = (block**2).sum(axis=1)[:, None] + (landmarks**2).sum(axis=1)
    return np.maximum(squares - 2 * overlap, 0)


def diffusion_axes(
    landmarks: Floats, n_components: int, *, bandwidth: float, symmetric: bool
) -> tuple[Floats, Floats, float]:
    """Return eigenvectors (n_components, n_landmarks), shares of the squared diffusion distance, the kernel's scale.

    The random walk goes from one landmark to another with probability proportional to exp(-d^2 / scale). Its right
    eigenvectors, less the constant one, have norm 1 under the stationary distribution.
    """
    distances = squared_distances(landmarks, landmarks, symmetric=symmetric)
    np.fill_diagonal(distances, 0)
    n = len(landmarks)
    mean = float(distances.sum()) / (n * (n - 1))
    # Rounding leaves distances of this order between equal rows.
    if not mean > 1e-12 * float((landmarks**2).sum()) / n:
        raise ValueError(
            "Argument `X` must hold different rows, but all landmarks are the same"
            f"{' (up to a mirror image)' if symmetric else ''}."
        )
    kernel = np.exp(-distances / (bandwidth * mean))
    root = np.sqrt(kernel.sum(axis=1))
    values, vectors = np.linalg.eigh(kernel / np.outer(root, root))
    walk = (vectors[:, ::-1] / root[:, None]) * np.sqrt((root**2).sum())
    weights = values[-2::-1] ** 2
    return _with_sign(walk[:, 1 : n_components + 1].T), weights[:n_components] / weights.sum(), bandwidth * mean


def diffuse(rows: npt.NDArray[Any], landmarks: Floats, axes: Floats, *, scale: float, symmetric: bool) -> Floats:
    """Return the diffusion coordinates of any rows: the eigenvectors averaged over one step of the walk."""
    parts = []
    for block in blocks(rows):
        logits = -squared_distances(block, landmarks, symmetric=symmetric) / scale
        # Shifted before the exponential: a row far from every landmark would divide zero by zero.
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        parts.append(weights @ axes.T / weights.sum(axis=1, keepdims=True))
    return np.concatenate(parts)
