"""The transverse-field Ising chain by free fermions. Public through `qmlphys.exact`.

With a fermion on every site of X = -1, the chain is quadratic (Jordan and Wigner; Lieb, Schultz, Mattis, Ann. Phys. 16,
407 (1961); Pfeuty, Ann. Phys. 57, 79 (1970)). On a ring the parity of the number of fermions, the product of all X,
decides the momenta: even parity has k = pi (2 m + 1) / N, odd parity k = 2 pi m / N. Getting this wrong gives an energy
that is off by the finite-size gap, so both sectors are solved.
"""

from __future__ import annotations

import math
import operator
from numbers import Real

import numpy as np
import numpy.typing as npt
from scipy import linalg

__all__ = ["tfim_chain_correlations", "tfim_chain_energy", "tfim_chain_transverse_magnetization"]


def _check(n_sites: int, **couplings: float) -> None:
    """Refuse what is no chain or no number."""
    try:
        number = operator.index(n_sites)
    except TypeError:
        raise TypeError(f"Argument `n_sites` must be an integer, but is {n_sites!r}.") from None
    if number < 3:
        raise ValueError(f"Argument `n_sites` must be at least 3, but is {n_sites!r}.")
    for name, value in couplings.items():
        if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
            raise ValueError(f"Argument `{name}` must be a finite number, but is {value!r}.")


def _momenta(n_sites: int, *, even: bool) -> npt.NDArray[np.float64]:
    """All momenta of a parity sector of the ring, in (-pi, pi]."""
    steps = 2 * np.arange(n_sites) + (1 if even else 0)
    steps = np.where(steps > n_sites, steps - 2 * n_sites, steps)
    return np.pi * steps / n_sites


def tfim_chain_energy(n_sites: int, *, field: float, coupling: float = 1.0, periodic: bool = True) -> float:
    """Return the total ground-state energy of the chain H = -J sum Z Z - h sum X.

    Parameters
    ----------
    n_sites : int
        Number of sites, at least 3, even or odd.
    field : float, keyword
        h, of any sign.
    coupling : float, keyword
        J, of any sign; negative on an odd ring is frustrated.
    periodic : bool, keyword
        Ring or open chain.

    Returns
    -------
    float
        Energy of the whole chain, in the units of J and h.

    Raises
    ------
    ValueError, TypeError
        If `n_sites` is no integer of at least 3, or a coupling is not finite.

    Notes
    -----
    Ring: E = -sum over k of sqrt(J^2 + h^2 - 2 J h cos k) with the momenta of even parity (Pfeuty 1970,
    section 2) where J, h > 0; in general the modes k = 0 and pi, which have no partner, are filled as parity demands.
    Open chain: minus the sum of the singular values of the matrix with h on the diagonal and J beside it.

    Examples
    --------
    >>> round(tfim_chain_energy(32, field=1.0), 7), round(tfim_chain_energy(32, field=0.5), 7)
    (-40.7600325, -34.0334211)
    """
    _check(n_sites, field=field, coupling=coupling)
    J, h = float(coupling), float(field)
    if not periodic:
        matrix = h * np.eye(n_sites) + J * np.eye(n_sites, k=1)
        return -math.fsum(linalg.svdvals(matrix))
    return min(_ring_energy(n_sites, J, h, even=even) for even in (True, False))


def _ring_energy(n_sites: int, J: float, h: float, *, even: bool) -> float:
    """Lowest energy of the ring in the sector of even or odd fermion number."""
    k = _momenta(n_sites, even=even)
    alone = np.minimum(np.abs(k), np.abs(np.abs(k) - np.pi)) < 0.5 / n_sites
    paired = np.sqrt((J - h) ** 2 + 4 * J * h * np.sin(k[~alone] / 2) ** 2)
    single = h - J * np.cos(k[alone])  # energy +- this where the mode is filled or empty
    n_filled = int((single < 0).sum())
    energy = -math.fsum(paired) - math.fsum(np.abs(single))
    if (n_filled % 2 == 0) == even:
        return energy
    return energy + 2 * float(np.concatenate((paired, np.abs(single))).min())  # the cheapest change of parity


def _correlator(n_sites: int, J: float, h: float) -> npt.NDArray[np.float64]:
    """G(r) for r = -(N-1)..N-1, from which all correlations of the even-parity vacuum at J, h >= 0 follow.

    G(r) = 1/N sum over k of cos(k r + phase), where the phase is the angle of h - J exp(ik); G(0) = <X>.
    """
    k = _momenta(n_sites, even=True)
    r = np.arange(-(n_sites - 1), n_sites)
    symbol = h - J * np.exp(1j * k)
    symbol = symbol / np.abs(symbol)
    return np.real(np.exp(1j * np.outer(r, k)) @ symbol) / n_sites


def tfim_chain_transverse_magnetization(n_sites: int, *, field: float, coupling: float = 1.0) -> float:
    """Return <X> of a site in the ground state of the ring.

    Parameters
    ----------
    n_sites : int
        Number of sites, at least 3.
    field : float, keyword
        h, of any sign but not zero.
    coupling : float, keyword
        J; where it is negative, `n_sites` must be even.

    Returns
    -------
    float
        <X>, of the sign of h.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range.

    Notes
    -----
    Pfeuty, Ann. Phys. 57, 79 (1970), section 3; equal to -dE/dh / n_sites.

    Examples
    --------
    >>> round(tfim_chain_transverse_magnetization(1000, field=1.0), 5), round(2 / np.pi, 5)
    (0.63662, 0.63662)
    """
    J, h = _unfrustrated(n_sites, field, coupling)
    return math.copysign(float(_correlator(n_sites, J, h)[n_sites - 1]), field)


def tfim_chain_correlations(n_sites: int, *, field: float, coupling: float = 1.0) -> npt.NDArray[np.float64]:
    """Return <Z_0 Z_r> in the ground state of the ring.

    Parameters
    ----------
    n_sites : int
        Number of sites, at least 3.
    field : float, keyword
        h, of any sign but not zero, where two ground states have the same energy.
    coupling : float, keyword
        J; where it is negative, `n_sites` must be even.

    Returns
    -------
    ndarray of float64, shape (n_sites,)
        Correlations at the distances r = 0 to n_sites - 1. Their sum / n_sites is <m^2>, m being the mean of Z.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range.

    Notes
    -----
    Toeplitz determinants of the fermions' correlator: Lieb, Schultz, Mattis, Ann. Phys. 16, 407 (1961); Pfeuty 1970,
    section 3.

    Examples
    --------
    >>> tfim_chain_correlations(6, field=2.0).round(4).tolist()
    [1.0, 0.2652, 0.1153, 0.0816, 0.1153, 0.2652]
    """
    J, h = _unfrustrated(n_sites, field, coupling)
    G = _correlator(n_sites, J, h)
    zero = n_sites - 1
    half = n_sites // 2
    values = np.ones(n_sites)
    for r in range(1, half + 1):
        column = -G[zero - 1 : zero - 1 + r]  # G(i - j - 1) with i - j = 0 .. r - 1
        row = -G[np.arange(zero - 1, zero - 1 - r, -1)]
        values[r] = linalg.det(linalg.toeplitz(column, row))
    values[half + 1 :] = values[1 : n_sites - half][::-1]
    if coupling < 0:
        values[1::2] *= -1
    return values


def _unfrustrated(n_sites: int, field: float, coupling: float) -> tuple[float, float]:
    """Check the arguments and return |J| and |h|, to which the model is equal up to a rotation of spins."""
    _check(n_sites, field=field, coupling=coupling)
    if field == 0:
        raise ValueError("Argument `field` must not be zero, where the ground state is degenerate, but is 0.")
    if coupling < 0 and n_sites % 2:
        raise ValueError(
            f"Argument `n_sites` must be even for a negative coupling, whose odd rings are frustrated, "
            f"but is {n_sites}."
        )
    return abs(float(coupling)), abs(float(field))
