"""Infinitely wide states: Gaussian processes, their entanglement by Wick's theorem, and networks of finite width.

Luo and Halverson, arXiv:2112.00723: at infinite width the amplitudes of a random network are a Gaussian process, so all
that is a polynomial in them is a sum of products of the kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qmlphys._arguments import whole_number
from qmlphys.nqs._wide_cosnet import TangentCosNet, positive_number
from qmlphys.nqs._wide_domain import StringSet
from qmlphys.nqs._wide_process import (
    MAX_PRODUCT_SITES,
    CosNetKernel,
    GaussianProcessState,
    Kernel,
    kernel_matrix,
)
from qmlphys.nqs._wide_wick import annealed_moment, cut_tensor, product_moment
from qmlphys.stats import Estimate

__all__ = [
    "CosNetKernel",
    "EnsembleEntanglement",
    "GaussianProcessState",
    "annealed_purity",
    "annealed_renyi",
    "cosnet_ensemble",
    "cosnet_renyi",
    "ensemble_entanglement",
    "infinite_cosnet_states",
    "saturated_purity",
]

_MAX_SITES = {2: 10, 3: 10, 4: 6}  # by order: bounds the tensors in between
_MAX_ORDER = 8


def annealed_purity(n: int, n_a: int, *, sigma_w: float, width: int | None = None) -> float:
    """Return E[Tr rho_A^2 norm^2] / E[norm^2] of random cosine networks psi = f + i g.

    Parameters
    ----------
    n, n_a : int
        Sites, and those of A (any set of that size), 0 <= n_a <= n.
    sigma_w : float, keyword
        w ~ N(0, sigma_w^2 / n); positive.
    width : int, optional, keyword
        H, hidden units of f, and as many of g; None for the infinite width.

    Returns
    -------
    float
        (r^n_A + r^(n - n_A)) / (1 + r^n) with r = (1 + q^2)/2 and q = exp(-2 sigma_w^2 / n) for the infinite width,
        and the exact number with the correction of order 1/H for a finite one.

    Notes
    -----
    The two terms are the two pairings of Wick's theorem. For sigma_w^2 >> n, r = 1/2 and this is the mean purity of
    random states, (d_A + d_B) / (d_A d_B + 1): Lubkin, J. Math. Phys. 19, 1028 (1978). With H units of each part the
    fourth cumulant of psi is 2/H (3 E[cos cos cos cos] - sum over pairings E[cos cos] E[cos cos]), where the mean over
    b keeps the three ways to split four strings into two with + and two with -, and that over w is a product over sites
    of exp(-sigma_w^2 (s1 + s2 - s3 - s4)^2 / 2n). There is no cumulant beyond it in a purity.

    Examples
    --------
    >>> round(annealed_purity(10, 5, sigma_w=10.0), 6), round(64 / 1025, 6)
    (0.062439, 0.062439)
    >>> round(annealed_purity(10, 5, sigma_w=10.0, width=400), 6)
    0.06419
    """
    n, n_a, sigma_w = _sizes(n, n_a, sigma_w)
    n_b, q = n - n_a, math.exp(-2 * sigma_w**2 / n)
    r, split = (1 + q**2) / 2, (1 + q**4) / 2
    above, below = r**n_a + r**n_b, 1 + r**n
    if width is not None:
        weight = 2 / whole_number("width", width)
        above += weight * (3 / 8 * (split**n_b + 1 + split**n_a) - (r**n_a + r**n + r**n_b) / 4)
        below += weight * (3 / 8 * (split**n + 2) - (1 + 2 * r**n) / 4)
    return above / below


def saturated_purity(fraction: float, *, sigma_w: float) -> float:
    """Return the limit of `annealed_purity` for n to infinity at fixed n_A / n and fixed sigma_w.

    Then r^n_A tends to exp(-2 sigma_w^2 n_A / n), so the entropy stays below 2 sigma_w^2 n_A/n: only sigma_w^2 growing
    like n gives a volume law, r^n_A with r below 1.

    Parameters
    ----------
    fraction : float
        n_A / n, from 0 to 1.
    sigma_w : float, keyword
        Positive.

    Examples
    --------
    >>> abs(saturated_purity(0.5, sigma_w=1.0) - annealed_purity(10_000, 5_000, sigma_w=1.0)) < 1e-3
    True
    """
    fraction = positive_number("fraction", fraction, zero=True)
    if fraction > 1:
        raise ValueError(f"Argument `fraction` must lie between 0 and 1, but it is {fraction!r}.")
    rate = 2 * positive_number("sigma_w", sigma_w) ** 2
    return (math.exp(-rate * fraction) + math.exp(-rate * (1 - fraction))) / (1 + math.exp(-rate))


def cosnet_renyi(n: int, n_a: int, *, sigma_w: float, order: int = 2) -> float:
    """Return the annealed Rényi entropy of the infinite cosine network psi = f + i g, for any number of sites.

    Parameters
    ----------
    n, n_a : int
        Sites, and those of A (any set of that size), 0 <= n_a <= n.
    sigma_w : float, keyword
        Positive.
    order : int, keyword
        m, 2 to 8.

    Returns
    -------
    float
        ln(E[Tr rho_A^m norm^m] / E[norm^m]) / (1 - m), in nats.

    Notes
    -----
    The kernel is a product over sites, and so is each of the m! terms of Wick's theorem.

    Examples
    --------
    >>> abs(cosnet_renyi(12, 4, sigma_w=2.0) + math.log(annealed_purity(12, 4, sigma_w=2.0))) < 1e-12
    True
    """
    n, n_a, sigma_w = _sizes(n, n_a, sigma_w)
    order = whole_number("order", order, least=2, most=_MAX_ORDER)
    moment = product_moment(CosNetKernel(sigma_w).site_factor(n), (n_a, n - n_a), order)
    return math.log(moment) / (1 - order)


def annealed_renyi(
    kernel: Kernel | ArrayLike,
    n: int,
    *,
    subsystem: Sequence[int],
    order: int = 2,
    field: Literal["complex", "real"] = "complex",
) -> float:
    """Return the annealed Rényi entropy of any Gaussian ensemble of states, exactly.

    Parameters
    ----------
    kernel : callable or array_like, shape (2^n, 2^n)
        E[f(x) f(y)], as a function of rows of spins or as a matrix in the order of integers; Hermitian and complex is
        allowed for E[psi(x) psi*(y)] of a circular psi.
    n : int
        Sites: at most 10 for orders 2 and 3, and 6 for order 4.
    subsystem : sequence of int, keyword
        Sites of A.
    order : int, keyword
        m, 2 to 4.
    field : {"complex", "real"}, keyword
        psi = f + i g with g like f and independent of it, so that E[psi psi] = 0; or psi = f.

    Returns
    -------
    float
        ln(E[Tr rho_A^m norm^m] / E[norm^m]) / (1 - m), in nats.

    Raises
    ------
    ValueError, TypeError
        If the kernel is no symmetric matrix, a site is none or named twice, or an argument is out of range.

    Examples
    --------
    >>> found = annealed_renyi(CosNetKernel(2.0), 6, subsystem=[0, 3])
    >>> abs(found - cosnet_renyi(6, 2, sigma_w=2.0)) < 1e-12
    True
    """
    order = whole_number("order", order, least=2, most=max(_MAX_SITES))
    n = whole_number("n", n, most=_MAX_SITES[order])
    sites = [whole_number("subsystem", site, least=0, most=n - 1) for site in subsystem]
    if len(set(sites)) < len(sites):
        raise ValueError(f"Argument `subsystem` must hold each site once, but it is {sites}.")
    if field not in ("complex", "real"):
        raise ValueError(f"Argument `field` must be 'complex' or 'real', but it is {field!r}.")
    if callable(kernel):
        matrix = kernel_matrix(kernel, StringSet.all(n).spins)
    else:
        matrix = np.asarray(kernel)
        if matrix.shape != (2**n, 2**n) or not np.isfinite(matrix).all():
            raise ValueError(f"Argument `kernel` must hold {2**n} x {2**n} finite numbers, but is {matrix.shape}.")
        if np.abs(matrix - matrix.conj().T).max() > 1e-10 * np.abs(matrix).max():
            raise ValueError("Argument `kernel` must be symmetric, or Hermitian, but it is not.")
        if field == "real" and np.iscomplexobj(matrix):
            raise ValueError("Argument `kernel` must be real for a real field, but it is complex.")
    if not np.trace(matrix).real > 0:
        raise ValueError("Argument `kernel` must have a positive trace, but it has not.")
    moment = annealed_moment(cut_tensor(matrix, n, sites), order, complex_field=field == "complex")
    return math.log(moment) / (1 - order)


@dataclass(frozen=True)
class EnsembleEntanglement:
    """Entanglement of random states, averaged in several ways; made by `ensemble_entanglement`.

    Parameters
    ----------
    annealed_purity : Estimate
        E[Tr rho_A^2 norm^2] / E[norm^2].
    mean_purity : Estimate
        E[Tr rho_A^2] of the normalised states.
    renyi : Estimate
        E[-ln Tr rho_A^2] of the normalised states, in nats.
    entropy : Estimate
        Mean von Neumann entropy, in nats.
    """

    annealed_purity: Estimate
    mean_purity: Estimate
    renyi: Estimate
    entropy: Estimate


def ensemble_entanglement(
    draw: Callable[[np.random.Generator], NDArray[np.complex128]],
    n: int,
    *,
    n_a: int,
    n_draws: int,
    rng: np.random.Generator | int | None = None,
) -> EnsembleEntanglement:
    """Measure the entanglement of the first sites in independent random states.

    Parameters
    ----------
    draw : callable, Generator -> ndarray, shape (2^n,)
        Makes a state with its own norm, site i of weight 2^i.
    n : int
        Sites, at most 24.
    n_a : int, keyword
        A is sites 0 to n_a - 1; 1 <= n_a < n.
    n_draws : int, keyword
        Number of states, at least 2.
    rng : None, int or numpy.random.Generator, keyword
        Source of the states.

    Returns
    -------
    EnsembleEntanglement
        Averages with standard errors; that of the ratio by the delta method.

    Examples
    --------
    >>> found = ensemble_entanglement(lambda rng: np.ones(16) * rng.random(), 4, n_a=2, n_draws=5, rng=0)
    >>> round(found.annealed_purity.mean, 12), round(found.entropy.mean, 12) == 0
    (1.0, True)
    """
    n = whole_number("n", n, least=2, most=MAX_PRODUCT_SITES)
    n_a = whole_number("n_a", n_a, least=1, most=n - 1)
    n_draws = whole_number("n_draws", n_draws, least=2)
    generator = np.random.default_rng(rng)
    rows = np.empty((n_draws, 3))
    for k in range(n_draws):
        state = np.asarray(draw(generator))
        if state.shape != (2**n,) or not np.isfinite(state).all() or not state.any():
            raise ValueError(f"Argument `draw` must return {2**n} finite numbers, not all 0, but did not.")
        values = np.linalg.svd(state.reshape(-1, 2**n_a), compute_uv=False) ** 2
        norm = values.sum()
        p = values[values > 0] / norm
        rows[k] = norm, (p**2).sum(), -(p * np.log(p)).sum()
    norms, purities, entropies = rows.T
    weights = (norms / norms.mean()) ** 2
    ratio = float((weights * purities).mean() / weights.mean())
    error = float((weights * (purities - ratio)).std(ddof=1) / math.sqrt(n_draws) / weights.mean())
    return EnsembleEntanglement(
        Estimate(ratio, error, n_draws), *(_mean(values) for values in (purities, -np.log(purities), entropies))
    )


def infinite_cosnet_states(n: int, *, sigma_w: float) -> Callable[[np.random.Generator], NDArray[np.complex128]]:
    """Return a function that draws states of the infinite cosine network, of up to 24 sites.

    The kernel is a product over sites, so its square root is applied to white noise site by site.

    Parameters
    ----------
    n : int
        Sites.
    sigma_w : float, keyword
        Positive.

    Examples
    --------
    >>> infinite_cosnet_states(5, sigma_w=1.0)(np.random.default_rng(0)).shape
    (32,)
    """
    n = whole_number("n", n, most=MAX_PRODUCT_SITES)
    values, vectors = np.linalg.eigh(CosNetKernel(sigma_w).site_factor(n))
    root = (vectors * np.sqrt(values)) @ vectors.T

    def draw(rng: np.random.Generator) -> NDArray[np.complex128]:
        noise = rng.standard_normal((2, 2**n))
        state = noise[0] + 1j * noise[1]
        for site in range(n):
            state = np.einsum("ab,xbz->xaz", root, state.reshape(2 ** (n - 1 - site), 2, 2**site))
        return state.ravel() / math.sqrt(2)

    return draw


def cosnet_ensemble(
    n: int,
    n_a: int,
    *,
    sigma_w: float,
    width: int | None,
    n_draws: int,
    rng: np.random.Generator | int | None = None,
) -> EnsembleEntanglement:
    """Measure the entanglement of random cosine networks psi = f + i g of a width, or of the infinite one.

    Parameters
    ----------
    n, n_a : int
        Sites, and those of A, which are the first ones; by symmetry any others have the same averages.
    sigma_w : float, keyword
        w ~ N(0, sigma_w^2 / n); positive.
    width : int or None, keyword
        Hidden units of f, and as many of g; None for the infinite width.
    n_draws : int, keyword
        Number of networks, at least 2.
    rng : None, int or numpy.random.Generator, keyword
        Source of the networks.

    Returns
    -------
    EnsembleEntanglement
        Averages with standard errors.

    Examples
    --------
    >>> found = cosnet_ensemble(6, 3, sigma_w=3.0, width=400, n_draws=50, rng=1)
    >>> abs(found.annealed_purity.deviation(annealed_purity(6, 3, sigma_w=3.0))) < 4
    True
    """
    n, _, sigma_w = _sizes(n, n_a, sigma_w)
    if width is None:
        draw = infinite_cosnet_states(n, sigma_w=sigma_w)
    else:
        strings, width = StringSet.all(n), whole_number("width", width)

        def draw(rng: np.random.Generator) -> NDArray[np.complex128]:
            return TangentCosNet.random(n, width=width, sigma_w=sigma_w, rng=rng).values(strings)

    return ensemble_entanglement(draw, n, n_a=n_a, n_draws=n_draws, rng=rng)


def _mean(values: NDArray[np.float64]) -> Estimate:
    return Estimate(float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values))), len(values))


def _sizes(n: int, n_a: int, sigma_w: float) -> tuple[int, int, float]:
    n = whole_number("n", n)
    return n, whole_number("n_a", n_a, least=0, most=n), positive_number("sigma_w", sigma_w)
