"""Closed forms: critical temperatures, the Onsager solution, the ring."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import special

from qmlphys.exact._kaufman import (
    COLD,
    FROZEN,
    HOT,
    MAX_SIZE,
    checked_size,
    checked_temperatures,
    ising_square_energy,
    ising_square_specific_heat,
)

__all__ = [
    "critical_temperature",
    "ising_chain_energy",
    "ising_chain_specific_heat",
    "onsager_energy",
    "onsager_magnetization",
    "onsager_specific_heat",
]

_CRITICAL_TEMPERATURES = {
    "chain": 0.0,
    "square": 2 / math.log(1 + math.sqrt(2)),
    "triangular": 4 / math.log(3),
    "honeycomb": 2 / math.log(2 + math.sqrt(3)),
    "cubic": 1 / 0.221654626,
}

Values = npt.NDArray[np.float64]


def critical_temperature(lattice_name: str) -> float:
    """Return the critical temperature of the ferromagnetic Ising model on an infinite lattice.

    For comparison only: no fit, label or window in this package uses it.

    Parameters
    ----------
    lattice_name : {"chain", "square", "triangular", "honeycomb", "cubic"}
        Name of the lattice, as in `Lattice.name`.

    Returns
    -------
    float
        T_c in units of J / k_B; 0 for the chain. The cubic value is numerical, K_c = 0.221654626(5); all others are
        exact.

    Raises
    ------
    ValueError
        If the name is not known.

    References
    ----------
    L. Onsager, Phys. Rev. 65, 117 (1944), eq. 121 (square); R. M. F. Houtappel, Physica 16, 425 (1950) (triangular,
    honeycomb); A. M. Ferrenberg, J. Xu, D. P. Landau, Phys. Rev. E 97, 043301 (2018) (cubic).

    Examples
    --------
    >>> round(critical_temperature("square"), 6)
    2.269185
    """
    try:
        return _CRITICAL_TEMPERATURES[lattice_name]
    except (KeyError, TypeError):
        names = ", ".join(repr(name) for name in _CRITICAL_TEMPERATURES)
        raise ValueError(f"Argument `lattice_name` must be one of {names}, but is {lattice_name!r}.") from None


# --- the infinite square lattice --------------------------------------------------------------------------------------


def _onsager(temperature: npt.ArrayLike) -> tuple[Values, Values, Values, Values, Values]:
    """Return T, coth 2K, 2 tanh^2 2K - 1 and the complete elliptic integrals K, E of modulus 2 sinh 2K / cosh^2 2K."""
    temperatures = checked_temperatures(temperature)
    K = 1 / np.maximum(temperatures, FROZEN)
    s, c = np.sinh(2 * K), np.cosh(2 * K)
    # 1 - k^2 = ((s^2 - 1) / c^2)^2, free of cancellation at T_c; at T_c itself K diverges but is multiplied by zero.
    complement = np.maximum(((s - 1) * (s + 1) / c**2) ** 2, np.finfo(float).tiny)
    return temperatures, c / s, (s - 1) * (s + 1) / c**2, special.ellipkm1(complement), special.ellipe(1 - complement)


def _far_from_critical(finite: Callable[[int, Values], Values], temperatures: Values, values: Values) -> Values:
    """Replace values where the closed form loses digits by those of the largest torus, infinite to all digits there."""
    far = (temperatures < COLD) | (temperatures > HOT)
    result = np.array(values)
    result[far] = finite(MAX_SIZE, temperatures[far])
    return result


def onsager_energy(temperature: npt.ArrayLike) -> Values:
    """Return the exact energy per site of the infinite square lattice, zero field.

    Parameters
    ----------
    temperature : array_like
        Temperatures in units of J / k_B, > 0.

    Returns
    -------
    ndarray of the shape of `temperature`
        Energy per site in units of J; -sqrt(2) at T_c.

    Raises
    ------
    ValueError, TypeError
        If a temperature is not positive and finite.

    References
    ----------
    L. Onsager, Phys. Rev. 65, 117 (1944), eq. 116.

    Examples
    --------
    >>> float(onsager_energy(critical_temperature("square")).round(12))
    -1.414213562373
    """
    temperatures, coth, kappa, elliptic, _ = _onsager(temperature)
    return _far_from_critical(ising_square_energy, temperatures, -coth * (1 + 2 / math.pi * kappa * elliptic))


def onsager_specific_heat(temperature: npt.ArrayLike) -> Values:
    """Return the exact specific heat per site of the infinite square lattice, zero field.

    Parameters
    ----------
    temperature : array_like
        Temperatures in units of J / k_B, > 0.

    Returns
    -------
    ndarray of the shape of `temperature`
        Specific heat per site in units of k_B; it diverges like -ln|T - T_c| at T_c.

    Raises
    ------
    ValueError, TypeError
        If a temperature is not positive and finite.

    References
    ----------
    L. Onsager, Phys. Rev. 65, 117 (1944), eq. 117.

    Examples
    --------
    >>> onsager_specific_heat([2.0, 2.5]).round(6)
    array([0.724871, 0.861698])
    """
    temperatures, coth, kappa, elliptic, second = _onsager(temperature)
    bracket = 2 * elliptic - 2 * second - (1 - kappa) * (math.pi / 2 + kappa * elliptic)
    # At T_c the integrals are evaluated at the smallest float; the true value is infinite.
    heat = np.where(kappa == 0, math.inf, 2 / math.pi * (coth / temperatures) ** 2 * bracket)
    return _far_from_critical(ising_square_specific_heat, temperatures, heat)


def onsager_magnetization(temperature: npt.ArrayLike) -> Values:
    """Return the spontaneous magnetisation per site of the infinite square lattice.

    Parameters
    ----------
    temperature : array_like
        Temperatures in units of J / k_B, > 0.

    Returns
    -------
    ndarray of the shape of `temperature`
        (1 - sinh(2 / T)^-4)^(1/8) below T_c, 0 at and above it.

    Raises
    ------
    ValueError, TypeError
        If a temperature is not positive and finite.

    References
    ----------
    C. N. Yang, Phys. Rev. 85, 808 (1952), eq. 96.

    Examples
    --------
    >>> onsager_magnetization([1.0, 2.2, 2.3]).round(6)
    array([0.999276, 0.784755, 0.      ])
    """
    s = np.sinh(2 / np.maximum(checked_temperatures(temperature), FROZEN))
    return np.maximum(1 - s**-4.0, 0.0) ** 0.125


# --- the ring ---------------------------------------------------------------------------------------------------------


def _ring(size: int, temperature: npt.ArrayLike) -> tuple[int, Values, Values, Values]:
    """Return N, K = 1 / T, ln tanh K (without the cancellation at small T) and 1 / cosh^2 K."""
    n, temperatures = checked_size(size, 3), checked_temperatures(temperature)
    K = 1 / np.maximum(temperatures, 1e-3)
    decay = np.exp(-2 * K)
    return n, K, np.log1p(-decay) - np.log1p(decay), 4 * decay / (1 + decay) ** 2


def ising_chain_energy(size: int, temperature: npt.ArrayLike) -> Values:
    """Return the exact mean energy per site of the periodic Ising chain, zero field.

    Parameters
    ----------
    size : int
        Number of sites N, 3 to 4096.
    temperature : array_like
        Temperatures in units of J / k_B, > 0.

    Returns
    -------
    ndarray of the shape of `temperature`
        -(t + t^(N-1)) / (1 + t^N) with t = tanh(1 / T), in units of J.

    Raises
    ------
    ValueError, TypeError
        If the size or a temperature is out of range.

    References
    ----------
    E. Ising, Z. Phys. 31, 253 (1925): Z = (2 cosh K)^N + (2 sinh K)^N.

    Examples
    --------
    >>> float(ising_chain_energy(1000, 1.0).round(12)), float(-np.tanh(1.0).round(12))
    (-0.761594155956, -0.761594155956)
    """
    n, _, log_t, _ = _ring(size, temperature)
    return -(np.exp(log_t) + np.exp((n - 1) * log_t)) / (1 + np.exp(n * log_t))


def ising_chain_specific_heat(size: int, temperature: npt.ArrayLike) -> Values:
    """Return the exact specific heat per site of the periodic Ising chain, zero field.

    Parameters
    ----------
    size : int
        Number of sites N, 3 to 4096.
    temperature : array_like
        Temperatures in units of J / k_B, > 0.

    Returns
    -------
    ndarray of the shape of `temperature`
        Specific heat per site in units of k_B.

    Raises
    ------
    ValueError, TypeError
        If the size or a temperature is out of range.

    References
    ----------
    E. Ising, Z. Phys. 31, 253 (1925): second derivative of ln Z = ln[(2 cosh K)^N + (2 sinh K)^N].

    Examples
    --------
    >>> float(ising_chain_specific_heat(1000, 1.0).round(12)), float((1 / np.cosh(1.0) ** 2).round(12))
    (0.419974341614, 0.419974341614)
    """
    n, K, log_t, sech2 = _ring(size, temperature)
    numerator = -np.expm1((2 * n - 2) * log_t) - (n - 1) * np.exp((n - 2) * log_t) * np.expm1(2 * log_t)
    return K**2 * sech2 * numerator / (1 + np.exp(n * log_t)) ** 2
