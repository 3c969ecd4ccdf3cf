"""The square-lattice Ising model on a finite torus, exactly. Public through `qmlphys.exact`."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["ising_square_energy", "ising_square_free_energy", "ising_square_specific_heat"]

MAX_SIZE = 4096
# Below this temperature every excitation is frozen out (exp(-8 / T) < 1e-300), and hyperbolic functions overflow.
FROZEN = 0.0115
# Below this one the closed forms cancel to exp(-8 / T) of their terms, while the expansion about the ground state is
# exact to 2e-11: ln Z / N = 2 K + ln 2 / N + sum over k = 4, 6, .., 12 of coefficients times exp(-2 K k). Those of the
# infinite lattice follow from C. Domb, Adv. Phys. 9, 149 (1960); flipped bands around a small torus add to them
# (sizes 3 to 5 from the complete enumeration, size 6 its 30 bands of energy 24).
COLD = 0.6
COLD_POWERS = np.array([4, 6, 8, 10, 12])
COLD_COEFFICIENTS = {
    3: (1, 8 / 3, 13 / 2, -16, -295 / 3),
    4: (1, 2, 21 / 4, 22, 151 / 3),
    5: (1, 2, 9 / 2, 64 / 5, 178 / 3),
    6: (1, 2, 9 / 2, 12, 112 / 3 + 30 / 36),
}
COLD_INFINITE = (1, 2, 9 / 2, 12, 112 / 3)
# Above this temperature the energy, of order 1 / T, is a small difference of large terms, and the expansion in closed
# graphs is exact to 1e-10: ln Z / N = ln 2 + 2 ln cosh K + sum over k = 3, .., 6 of coefficients times tanh(K)^k. Loops
# around a small torus (sizes 3 to 5 from the complete enumeration) add to the graphs of the infinite lattice.
HOT = 300.0
_HOT_POWERS = np.array([3, 4, 5, 6])
_HOT_COEFFICIENTS = {
    3: (2 / 3, 1, 4, 19 / 3),
    4: (0, 3 / 2, 0, 8),
    5: (0, 1, 2 / 5, 2),
    6: (0, 1, 0, 2 + 1 / 3),
}
_HOT_INFINITE = (0, 1, 0, 2)

Values = npt.NDArray[np.float64]


def checked_temperatures(temperature: npt.ArrayLike) -> Values:
    """Return temperatures as float64, or refuse them."""
    array = np.asarray(temperature)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"Argument `temperature` must hold real numbers, but its dtype is {array.dtype}.")
    array = array.astype(np.float64)
    bad = ~((array > 0) & np.isfinite(array))
    if bad.any():
        raise ValueError(f"Argument `temperature` must be positive and finite, but holds {array[bad].flat[0]}.")
    return array


def checked_size(size: int, smallest: int) -> int:
    """Return the size, or refuse it."""
    if isinstance(size, bool) or not isinstance(size, int | np.integer):
        raise TypeError(f"Argument `size` must be an integer, but is {size!r}.")
    if not smallest <= size <= MAX_SIZE:
        raise ValueError(f"Argument `size` must lie between {smallest} and {MAX_SIZE}, but is {size}.")
    return int(size)


def _kaufman(size: int, temperature: float) -> tuple[float, float, float]:
    """Return ln Z and its first two derivatives with respect to K = 1 / T, all per site.

    Z = (2 sinh 2K)^(N/2) / 2 times the sum of four products over modes, P(cosh, odd), P(sinh, odd), P(cosh, even) and
    P(sinh, even), where P(f, modes) is the product of 2 f(l gamma_r / 2). Every product enters through its logarithm
    and the derivatives of that. The one mode whose gamma changes sign at T_c, r = 0 in P(sinh, even), is split off and
    carried as a plain factor, so that nothing is divided by zero or cancels there.
    """
    n_sites = size * size
    K = 1 / temperature
    if temperature < COLD:
        terms = np.array(COLD_COEFFICIENTS.get(size, COLD_INFINITE)) * np.exp(-2 * K * COLD_POWERS)
        log_z = 2 * K + math.log(2) / n_sites + float(terms.sum())
        return log_z, 2 - 2 * float(terms @ COLD_POWERS), 4 * float(terms @ COLD_POWERS**2)
    if temperature > HOT:
        t, k, b = math.tanh(K), _HOT_POWERS, np.array(_HOT_COEFFICIENTS.get(size, _HOT_INFINITE))
        log_z = math.log(2) + 2 * math.log(math.cosh(K)) + float(b @ t**k)
        slope_t, bend_t = float(k * b @ t ** (k - 1)), float(k * b @ ((k - 1) * t ** (k - 2) - (k + 1) * t**k))
        return log_z, 2 * t + (1 - t * t) * slope_t, (1 - t * t) * (2 + bend_t)
    s, c = math.sinh(2 * K), math.cosh(2 * K)
    # sinh^2(gamma_r / 2) = (1 - s)^2 / 2s + sin^2(pi r / 2l): free of the cancellation in cosh gamma_r - 1.
    modes = np.arange(1, 2 * size)
    q = (1 - s) ** 2 / (2 * s) + np.sin(math.pi * modes / (2 * size)) ** 2
    gamma = 2 * np.arcsinh(np.sqrt(q))
    cosh, sinh = 1 + 2 * q, 2 * np.sqrt(q * (1 + q))
    slope = 2 * c * (1 - 1 / s**2) / sinh  # d gamma / dK
    bend = ((4 * s + 4 / s + 8 / s**3) - cosh * slope**2) / sinh
    zero, zero_slope, zero_bend = 2 * K + math.log(math.tanh(K)), 2 + 2 / s, -4 * c / s**2  # gamma_0 and derivatives

    def product(selected: npt.NDArray[np.intp], *, hyperbolic_sine: bool) -> Values:
        """Return the logarithm of a product of 2 cosh or 2 sinh of l gamma / 2, and its two derivatives."""
        half = size / 2
        decay = np.exp(-size * gamma[selected])
        sign = -1.0 if hyperbolic_sine else 1.0
        ratio = (1 - sign * decay) / (1 + sign * decay)  # tanh or coth
        logarithm = half * gamma[selected] + np.log1p(sign * decay)
        first = half * ratio * slope[selected]
        second = half * ratio * bend[selected] + (half * slope[selected]) ** 2 * (1 - ratio**2)
        return np.array([logarithm.sum(), first.sum(), second.sum()])

    odd, even = np.arange(0, 2 * size - 1, 2), np.arange(1, 2 * size - 1, 2)  # positions of r = 1, 3, .. and 2, 4, ..
    x = size / 2 * abs(zero)
    x_slope, x_bend = size / 2 * zero_slope, size / 2 * zero_bend
    cosh_zero = np.array(
        [
            x + math.log1p(math.exp(-2 * x)),
            math.tanh(size / 2 * zero) * x_slope,
            math.tanh(size / 2 * zero) * x_bend + x_slope**2 / math.cosh(min(x, 300.0)) ** 2,
        ]
    )
    cosh_odd = product(odd, hyperbolic_sine=False)
    sinh_odd = product(odd, hyperbolic_sine=True)
    cosh_even = product(even, hyperbolic_sine=False) + cosh_zero
    rest = product(even, hyperbolic_sine=True)
    # Weights relative to the first product, derivatives relative to its slope: sums of small numbers only.
    weights, means, squares = 0.0, 0.0, 0.0
    for log_product, first, second in (cosh_odd, sinh_odd, cosh_even):
        weight = math.exp(log_product - cosh_odd[0])
        shift = first - cosh_odd[1]
        weights += weight
        means += weight * shift
        squares += weight * (second + shift**2)
    # The last product, 2 sinh(l gamma_0 / 2) times the rest, by the product rule.
    scale = math.exp(rest[0] + x - cosh_odd[0])
    value = math.copysign(-math.expm1(-2 * x), zero) * scale
    hyper = (1 + math.exp(-2 * x)) * scale
    shift = rest[1] - cosh_odd[1]
    value_slope = hyper * x_slope
    weights += value
    means += value_slope + value * shift
    squares += value * x_slope**2 + hyper * x_bend + 2 * value_slope * shift + value * (rest[2] + shift**2)
    mean = means / weights
    log_z = n_sites / 2 * (2 * K + math.log(-math.expm1(-4 * K))) - math.log(2) + cosh_odd[0] + math.log(weights)
    first = n_sites * c / s + cosh_odd[1] + mean
    second = -2 * n_sites / s**2 + squares / weights - mean**2
    return log_z / n_sites, first / n_sites, second / n_sites


def _kaufman_over(size: int, temperature: npt.ArrayLike) -> tuple[Values, Values]:
    """Return temperatures and, along the last axis, ln Z and its derivatives per site."""
    size, temperatures = checked_size(size, 3), checked_temperatures(temperature)
    table = np.array([_kaufman(size, float(t)) for t in temperatures.ravel()]).reshape(*temperatures.shape, 3)
    return temperatures, table


def ising_square_free_energy(size: int, temperature: npt.ArrayLike) -> Values:
    """Return the exact free energy per site, -T ln Z / N, of the periodic `size` x `size` square lattice.

    Parameters
    ----------
    size : int
        Linear size l, 3 to 4096, odd or even.
    temperature : array_like
        Temperatures in units of J / k_B, > 0.

    Returns
    -------
    ndarray of the shape of `temperature`
        Free energy per site in units of J.

    Raises
    ------
    ValueError, TypeError
        If the size or a temperature is out of range.

    References
    ----------
    B. Kaufman, Phys. Rev. 76, 1232 (1949), partition function of the finite torus.

    Examples
    --------
    >>> bool(abs(ising_square_free_energy(4, 1e4) / 1e4 + np.log(2)) < 1e-7)
    True
    """
    temperatures, table = _kaufman_over(size, temperature)
    return -temperatures * table[..., 0]


def ising_square_energy(size: int, temperature: npt.ArrayLike) -> Values:
    """Return the exact mean energy per site of the periodic `size` x `size` square lattice, zero field.

    Analytic derivative of Kaufman's partition function, summed in logarithms; exact to about 1e-14 around T_c and 1e-10
    (relative) at any temperature.

    Parameters
    ----------
    size : int
        Linear size l, 3 to 4096, odd or even.
    temperature : array_like
        Temperatures in units of J / k_B, > 0.

    Returns
    -------
    ndarray of the shape of `temperature`
        Energy per site in units of J, between -2 and 0.

    Raises
    ------
    ValueError, TypeError
        If the size or a temperature is out of range.

    References
    ----------
    B. Kaufman, Phys. Rev. 76, 1232 (1949), partition function of the finite torus; A. E. Ferdinand, M. E. Fisher, Phys.
    Rev. 185, 832 (1969), sec. II (its derivatives).

    Examples
    --------
    >>> ising_square_energy(16, [2.0, 2.269185, 2.5]).round(6)
    array([-1.745531, -1.453065, -1.131318])
    """
    return -_kaufman_over(size, temperature)[1][..., 1] + 0.0


def ising_square_specific_heat(size: int, temperature: npt.ArrayLike) -> Values:
    """Return the exact specific heat per site, Var(E) / (N T^2), of the periodic `size` x `size` square lattice.

    Parameters
    ----------
    size : int
        Linear size l, 3 to 4096, odd or even.
    temperature : array_like
        Temperatures in units of J / k_B, > 0.

    Returns
    -------
    ndarray of the shape of `temperature`
        Specific heat per site in units of k_B, to a relative 1e-12 around T_c and 1e-10 at
        any temperature.

    Raises
    ------
    ValueError, TypeError
        If the size or a temperature is out of range.

    References
    ----------
    B. Kaufman, Phys. Rev. 76, 1232 (1949), partition function of the finite torus; A. E. Ferdinand, M. E. Fisher, Phys.
    Rev. 185, 832 (1969), sec. II (its derivatives).

    Examples
    --------
    >>> ising_square_specific_heat(16, [2.0, 2.269185, 2.5]).round(6)
    array([0.725509, 1.498704, 1.064977])
    """
    temperatures, table = _kaufman_over(size, temperature)
    return table[..., 2] / temperatures**2
