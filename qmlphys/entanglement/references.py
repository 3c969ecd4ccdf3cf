"""Entropies that are known in closed form."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from qmlphys._arguments import whole_number
from qmlphys.entanglement._spectra import read_order, renyi_entropy

__all__ = ["area_law_ceiling", "dicke_asymptote", "dicke_entropy", "page_entropy"]


def page_entropy(n_a: int, n_sites: int) -> float:
    """Return the mean von Neumann entropy of n_a sites of a random state of n_sites, in nats.

    Parameters
    ----------
    n_a : int
        Sites of the subsystem, 0 to n_sites.
    n_sites : int
        Sites of the state, at least 1.

    Returns
    -------
    float
        Mean over the unitarily invariant ensemble of complex states.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.

    Notes
    -----
    With M <= N the dimensions of both sides, sum over k from N + 1 to M N of 1 / k, less (M - 1) / (2 N): Page,
    Phys. Rev. Lett. 71, 1291 (1993), Eq. (4); proven by Foong and Kanno, Phys. Rev. Lett. 72, 1148 (1994).

    Examples
    --------
    >>> round(page_entropy(1, 2), 12), round(page_entropy(500, 1000) - 500 * math.log(2), 12)
    (0.333333333333, -0.5)
    """
    n_sites = whole_number("n_sites", n_sites)
    n_a = whole_number("n_a", n_a, least=0, most=n_sites)
    few = min(n_a, n_sites - n_a)
    many = n_sites - few
    if few == 0:
        return 0.0
    # 2^-1075 is zero, as it should be.
    part = math.ldexp(1.0, few - many - 1) - math.ldexp(1.0, -many - 1)  # (M - 1) / (2 N)
    if many < 30:
        return float(special.digamma(2.0**n_sites + 1) - special.digamma(2.0**many + 1)) - part
    # digamma(x + 1) = ln x + 1 / (2 x) - ..., whose next term, 1 / (12 x^2), is below the rounding here.
    return few * math.log(2) + math.ldexp(1.0, -n_sites - 1) - math.ldexp(1.0, -many - 1) - part


def dicke_entropy(n_sites: int, n_down: int, n_a: int, *, order: float = 1.0) -> float:
    """Return the entropy of n_a sites of a Dicke state, in nats.

    Parameters
    ----------
    n_sites : int
        Sites, at least 1.
    n_down : int
        Spins -1 of every configuration of the equal superposition, 0 to n_sites.
    n_a : int
        Sites of the subsystem, 0 to n_sites.
    order : float, keyword
        Rényi order, at least 0.

    Returns
    -------
    float
        Entropy in nats.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.

    Notes
    -----
    The spectrum is hypergeometric: C(n_a, j) C(n - n_a, k - j) / C(n, k) for j spins -1 in the subsystem. Latorre,
    Orus, Rico, Vidal, Phys. Rev. A 71, 064101 (2005), Eq. (6).

    Examples
    --------
    >>> round(dicke_entropy(4, 1, 2), 6), round(dicke_entropy(4, 2, 2), 6)
    (0.693147, 0.867563)
    """
    n_sites = whole_number("n_sites", n_sites)
    n_down = whole_number("n_down", n_down, least=0, most=n_sites)
    n_a = whole_number("n_a", n_a, least=0, most=n_sites)
    number = read_order(order)
    first, last = max(0, n_down + n_a - n_sites), min(n_a, n_down)
    j = np.arange(first, last, dtype=np.float64)
    # Ratios of neighbours: logarithms of large factorials would cancel.
    ratios = (n_a - j) * (n_down - j) / ((j + 1) * (n_sites - n_a - n_down + j + 1))
    logs = np.concatenate([[0.0], np.cumsum(np.log(ratios))])
    return renyi_entropy(np.exp(logs - logs.max()), order=number)


def dicke_asymptote(n_sites: int, n_down: int, n_a: int) -> float:
    """Return the entropy of a large block of a large Dicke state, in nats.

    Parameters
    ----------
    n_sites, n_down, n_a : int
        As for `dicke_entropy`, but with something on both sides: 1 to n_sites - 1.

    Returns
    -------
    float
        ln(2 pi e p (1 - p) n_a (n - n_a) / n) / 2, p = n_down / n; the correction falls as 1 / n at fixed fractions.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.

    Notes
    -----
    The entropy of a normal distribution with the variance of the hypergeometric one: Latorre, Orus, Rico, Vidal, Phys.
    Rev. A 71, 064101 (2005).

    Examples
    --------
    >>> 0 < dicke_entropy(1000, 500, 500) - dicke_asymptote(1000, 500, 500) < 1e-3
    True
    """
    n_sites = whole_number("n_sites", n_sites, least=2)
    n_down = whole_number("n_down", n_down, most=n_sites - 1)
    n_a = whole_number("n_a", n_a, most=n_sites - 1)
    p = n_down / n_sites
    return 0.5 * math.log(2 * math.pi * math.e * p * (1 - p) * n_a * (n_sites - n_a) / n_sites)


def area_law_ceiling(surface: int, interaction_range: int, *, units_per_site: int = 1) -> float:
    """Return the largest entropy of a block of a chain in a short-range restricted Boltzmann machine, in nats.

    Parameters
    ----------
    surface : int
        Cut ends of the block: 2 inside a chain or on a ring, 1 at the end of an open chain.
    interaction_range : int
        R: the hidden units of site j see the sites i with |i - j| <= R.
    units_per_site : int, keyword
        Hidden units that belong to a site.

    Returns
    -------
    float
        2 surface R ln 2, times the units a site.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.

    Notes
    -----
    2 R hidden units a site's worth see both sides of a cut, and each is an index of dimension 2. Deng, Li, Das Sarma,
    Phys. Rev. X 7, 021021 (2017), Theorem 1.

    Examples
    --------
    >>> round(area_law_ceiling(2, 1) / math.log(2), 12)
    4.0
    """
    surface = whole_number("surface", surface, least=0)
    reach = whole_number("interaction_range", interaction_range, least=0)
    return 2 * surface * reach * whole_number("units_per_site", units_per_site) * math.log(2)
