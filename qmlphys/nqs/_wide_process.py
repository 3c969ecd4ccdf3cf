"""Infinitely wide states as Gaussian processes. Public through `qmlphys.nqs.infinite_width`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qmlphys._arguments import whole_number
from qmlphys.nqs._wide_cosnet import positive_number
from qmlphys.nqs._wide_domain import StringSet, as_strings

__all__ = ["CosNetKernel", "GaussianProcessState", "Kernel", "kernel_matrix"]

Kernel = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]

MAX_DENSE_SITES = 12
MAX_PRODUCT_SITES = 24


@dataclass(frozen=True)
class CosNetKernel:
    """E[f(x) f(y)] of the infinite cosine network: (sigma_a^2 / 2) exp(-sigma_w^2 |x - y|^2 / 2n).

    f = sum_i a_i cos(w_i.x + b_i), w ~ N(0, sigma_w^2 / n), a ~ N(0, sigma_a^2 / H), b uniform. On spins it is
    sigma_a^2 / 2 times q = exp(-2 sigma_w^2 / n) to the number of sites in which the strings differ: a product over
    sites.

    Parameters
    ----------
    sigma_w, sigma_a : float
        Positive.

    Examples
    --------
    >>> CosNetKernel(1.0)([[1, 1]], [[1, 1], [1, -1]]).round(4).tolist()
    [[0.5, 0.1839]]
    """

    sigma_w: float
    sigma_a: float = 1.0

    def __post_init__(self) -> None:
        for name in ("sigma_w", "sigma_a"):
            object.__setattr__(self, name, positive_number(name, getattr(self, name)))

    def __call__(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Return the kernel between rows of spins, shape (n_x, n_y)."""
        rows, others = as_strings(x, "x"), as_strings(y, "y")
        n_sites = rows.shape[1]
        if others.shape[1] != n_sites:
            raise ValueError(f"Argument `y` must have {n_sites} sites as `x` has, but it has {others.shape[1]}.")
        return self.sigma_a**2 / 2 * np.exp(-(self.sigma_w**2) * (1 - rows @ others.T / n_sites))

    def site_factor(self, n_sites: int) -> NDArray[np.float64]:
        """Return c, shape (2, 2): the kernel is sigma_a^2 / 2 times the product of c over n_sites sites."""
        q = float(np.exp(-2 * self.sigma_w**2 / whole_number("n_sites", n_sites)))
        return np.array([[1.0, q], [q, 1.0]])


@dataclass(frozen=True, eq=False)
class GaussianProcessState:
    """psi = f + i g with independent real Gaussian processes f and g: what an infinitely wide network is.

    Parameters
    ----------
    strings : ndarray of float64, shape (n_strings, n_sites)
        Configurations.
    mean : ndarray of complex128, shape (n_strings,)
        E[psi].
    covariance : ndarray of float64, shape (n_strings, n_strings)
        Of f, and the same of g: E[|psi - mean|^2] is twice its diagonal.

    Examples
    --------
    >>> prior = GaussianProcessState.prior(CosNetKernel(2.0), 4)
    >>> prior.sample(3, rng=0).shape
    (3, 16)
    >>> known = prior.condition([0, 5], [1.0, 1j])
    >>> known.mean[[0, 5]].round(12).tolist(), round(float(known.covariance[5, 5]), 12)
    ([(1+0j), 1j], 0.0)
    """

    strings: NDArray[np.float64]
    mean: NDArray[np.complex128]
    covariance: NDArray[np.float64]

    @classmethod
    def prior(cls, kernel: Kernel, n_sites: int, *, strings: ArrayLike | None = None) -> GaussianProcessState:
        """Make the state before anything is known.

        Parameters
        ----------
        kernel : callable, (n_x, n_sites), (n_y, n_sites) -> (n_x, n_y)
            E[f(x) f(y)], such as `CosNetKernel`.
        n_sites : int
            Number of spins.
        strings : array_like of -1 and +1, shape (n_strings, n_sites), optional, keyword
            At most 4,096 configurations; by default all, in the order of integers, of at most 12 sites.
        """
        n_sites = whole_number("n_sites", n_sites)
        if strings is None:
            whole_number("n_sites", n_sites, most=MAX_DENSE_SITES)
            rows = StringSet.all(n_sites).spins
        else:
            rows = as_strings(strings)
            if rows.shape[1] != n_sites or len(rows) > 2**MAX_DENSE_SITES:
                raise ValueError(
                    f"Argument `strings` must have {n_sites} sites and at most {2**MAX_DENSE_SITES} rows, but its "
                    f"shape is {rows.shape}."
                )
        return cls(rows, np.zeros(len(rows), dtype=np.complex128), kernel_matrix(kernel, rows))

    def sample(self, n_draws: int, *, rng: np.random.Generator | int | None = None) -> NDArray[np.complex128]:
        """Draw states.

        Parameters
        ----------
        n_draws : int
            How many.
        rng : None, int or numpy.random.Generator, keyword
            Source.

        Returns
        -------
        ndarray of complex128, shape (n_draws, n_strings)
            Amplitudes, not normalised.
        """
        n_draws = whole_number("n_draws", n_draws)
        generator = np.random.default_rng(rng)
        values, vectors = np.linalg.eigh(self.covariance)
        root = vectors * np.sqrt(np.maximum(values, 0))  # known amplitudes have the variance 0 up to rounding
        noise = generator.standard_normal((2, n_draws, len(values)))
        return self.mean + (noise[0] + 1j * noise[1]) @ root.T

    def condition(self, known: ArrayLike, amplitudes: ArrayLike, *, noise: float = 0.0) -> GaussianProcessState:
        """Return the state given some amplitudes.

        Parameters
        ----------
        known : array_like of int, shape (n_known,)
            Rows of `strings`, each once.
        amplitudes : array_like of complex128, shape (n_known,)
            Their amplitudes.
        noise : float, keyword
            Standard deviation of an error of the real and of the imaginary parts of the amplitudes, at least 0.

        Returns
        -------
        GaussianProcessState
            Posterior: with G = K_k (K_kk + noise^2)^-1 the mean is m + G (amplitudes - m_k) and the covariance
            K - G K_k^T.

        Raises
        ------
        ValueError
            If the shapes do not fit, a row is named twice or is none, or the covariance of the known amplitudes is
            singular to working precision, which a positive `noise` cures.
        """
        from scipy.linalg import LinAlgError, cho_factor, cho_solve

        rows = np.asarray(known)
        if rows.ndim != 1 or rows.dtype.kind not in "iu" or not len(rows) or len(np.unique(rows)) != len(rows):
            raise ValueError("Argument `known` must hold integers along one axis, none twice.")
        if rows.min() < 0 or rows.max() >= len(self.mean):
            raise ValueError(f"Argument `known` must lie in [0, {len(self.mean)}), but it holds others.")
        values = np.asarray(amplitudes, dtype=np.complex128)
        if values.shape != rows.shape or not np.isfinite(values).all():
            raise ValueError(f"Argument `amplitudes` must hold {len(rows)} finite numbers, as `known` does.")
        noise = positive_number("noise", noise, zero=True)
        among = self.covariance[np.ix_(rows, rows)] + noise**2 * np.eye(len(rows))
        try:
            factor = cho_factor(among, lower=True)
        except LinAlgError:
            factor = None
        largest = np.diag(among).max()
        if factor is None or np.diag(factor[0]).min() ** 2 <= 1e-13 * largest:
            raise ValueError(
                f"Argument `noise` must be larger, but it is {noise:g}: the covariance of the {len(rows)} known "
                "amplitudes is singular to working precision."
            )
        across = self.covariance[:, rows]
        gain = cho_solve(factor, across.T).T
        covariance = self.covariance - gain @ across.T
        return GaussianProcessState(
            self.strings, self.mean + gain @ (values - self.mean[rows]), (covariance + covariance.T) / 2
        )

    def infidelity(self, target: ArrayLike) -> float:
        """Return 1 - |<target|mean>|^2 / (|target|^2 |mean|^2); 1 where the mean is 0."""
        aim = np.asarray(target, dtype=np.complex128)
        if aim.shape != self.mean.shape or not np.linalg.norm(aim) > 0:
            raise ValueError(f"Argument `target` must have shape {self.mean.shape} and not be 0.")
        norm = np.linalg.norm(self.mean)
        return 1.0 if norm == 0 else 1 - float(abs(np.vdot(aim, self.mean)) / norm / np.linalg.norm(aim)) ** 2


def kernel_matrix(kernel: Any, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluate a kernel on strings and check that it is a symmetric matrix."""
    if not callable(kernel):
        raise TypeError(f"Argument `kernel` must be callable, such as CosNetKernel(1.0), but it is {kernel!r}.")
    matrix = np.asarray(kernel(rows, rows), dtype=np.float64)
    if matrix.shape != (len(rows),) * 2 or not np.isfinite(matrix).all():
        raise ValueError(f"Argument `kernel` must return {len(rows)} x {len(rows)} finite numbers, but did not.")
    if np.abs(matrix - matrix.T).max() > 1e-10 * np.abs(matrix).max():
        raise ValueError("Argument `kernel` must be symmetric, but it is not.")
    return matrix
