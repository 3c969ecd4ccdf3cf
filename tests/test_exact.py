"""Closed forms against enumeration, limits and published numbers; enumeration against brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from qmlphys import exact, lattices
from qmlphys.hamiltonians import Ising

T_CRITICAL = 2 / math.log(1 + math.sqrt(2))
TEMPERATURES = np.array([0.02, 0.3, 0.59, 0.61, 1.0, 1.7, 2.2, T_CRITICAL, 2.5, 4.0, 20.0, 299.0, 301.0, 1e4])


@pytest.fixture(scope="module")
def tori():
    """Complete enumerations of periodic squares, odd and even."""
    return {size: exact.enumerate_ising(Ising(lattices.square(size))) for size in (3, 4, 5)}


# --- enumeration ------------------------------------------------------------------------------------------------------


def test_state_count_of_the_4x4_torus(tori):
    """20,524 of 65,536 states have zero energy (project anchor)."""
    energies, counts = tori[4].density_of_states()
    assert int(counts.sum()) == 65_536
    assert int(counts[energies == 0][0]) == 20_524
    assert energies[0] == -32
    assert counts[0] == 2
    assert int(counts[energies == -24][0]) == 32  # one flipped spin, either sign of the background
    np.testing.assert_array_equal(counts, counts[::-1])  # an even torus is bipartite


@pytest.mark.parametrize(
    ("lattice", "coupling", "field"),
    [
        (lattices.square(3), 1.0, 0.0),
        (lattices.square(3, periodic=False), -0.7, 0.3),
        (lattices.triangular(3), 1.0, -0.25),
        (lattices.honeycomb(3, periodic=False), 1.0, 0.1),
        (lattices.chain(11), 0.5, 1.5),
        (lattices.chain(3), -1.0, 0.0),
    ],
)
def test_enumeration_equals_brute_force(lattice, coupling, field):
    """All states listed one by one, energies by the model itself."""
    n = lattice.n_sites
    model = Ising(lattice, coupling=coupling, field=field)
    states = np.array(list(itertools.product((-1, 1), repeat=n)), dtype=np.int8)
    energies, m = model.energy(states), states.mean(axis=1, dtype=float)
    result = exact.enumerate_ising(model)
    assert result.counts.sum() == 2**n
    levels, counts = result.density_of_states()
    assert counts.sum() == 2**n
    assert (np.diff(levels) > 0).all()
    temperatures = np.array([0.3, 1.0, 3.0])
    for t, log_z, e, c, mean_m, abs_m, m4 in zip(
        temperatures,
        result.log_partition(temperatures),
        result.energy(temperatures),
        result.specific_heat(temperatures),
        result.magnetization(temperatures),
        result.abs_magnetization(temperatures),
        result.magnetization_moment(4, temperatures),
        strict=True,
    ):
        weights = np.exp(-(energies - energies.min()) / t)
        p = weights / weights.sum()
        mean = p @ energies
        assert log_z == pytest.approx(math.log(weights.sum()) - energies.min() / t, rel=1e-12)
        assert e == pytest.approx(mean / n, rel=1e-12)
        assert c == pytest.approx(p @ (energies - mean) ** 2 / t**2 / n, rel=1e-10)  # mean is rounded in the sum
        assert mean_m == pytest.approx(p @ m, rel=1e-12, abs=1e-14)
        assert abs_m == pytest.approx(p @ np.abs(m), rel=1e-12)
        assert m4 == pytest.approx(p @ m**4, rel=1e-12)


def test_enumeration_of_the_ring_meets_the_closed_form():
    result = exact.enumerate_ising(Ising(lattices.chain(20)))
    np.testing.assert_allclose(result.energy(TEMPERATURES), exact.ising_chain_energy(20, TEMPERATURES), rtol=1e-12)
    np.testing.assert_allclose(
        result.specific_heat(TEMPERATURES), exact.ising_chain_specific_heat(20, TEMPERATURES), rtol=1e-11, atol=1e-300
    )


def test_enumeration_of_a_paramagnet():
    """No coupling: n free spins in a field, <m> = tanh(h / T)."""
    result = exact.enumerate_ising(Ising(lattices.cubic(3, periodic=False), coupling=0.0, field=0.4))
    np.testing.assert_allclose(result.magnetization([0.5, 2.0]), np.tanh([0.8, 0.2]), rtol=1e-12)
    np.testing.assert_allclose(result.log_partition(2.0), 27 * math.log(2 * math.cosh(0.2)), rtol=1e-12)


def test_enumeration_of_open_trees_and_frustration():
    """Open chain: Z = 2 (2 cosh K)^(n-1). Antiferromagnetic triangle: six ground states."""
    result = exact.enumerate_ising(Ising(lattices.chain(15, periodic=False)))
    np.testing.assert_allclose(
        result.log_partition(1.3), math.log(2) + 14 * math.log(2 * math.cosh(1 / 1.3)), rtol=1e-12
    )
    energies, counts = exact.enumerate_ising(Ising(lattices.chain(3), coupling=-1.0)).density_of_states()
    assert (energies[0], counts[0]) == (-1.0, 6)


def test_enumeration_is_frozen_and_bounded():
    result = exact.enumerate_ising(Ising(lattices.square(3)))
    with pytest.raises(ValueError, match="read-only"):
        result.counts[0] = 1
    with pytest.raises(ValueError, match="at most 30 sites to be enumerated, but has 36"):
        exact.enumerate_ising(Ising(lattices.square(6)))
    with pytest.raises(ValueError, match="`temperature` must be positive"):
        result.energy(-1.0)
    with pytest.raises(ValueError, match="`power` must be >= 0"):
        result.magnetization_moment(-1, 1.0)
    assert result.energy(2.0).shape == ()
    assert result.energy(np.ones((2, 3))).shape == (2, 3)


# --- Kaufman's torus --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [3, 4, 5])
def test_kaufman_equals_enumeration(tori, size):
    """Odd and even, T_c and both ends included. The tolerance is cancellation near the ends, T ~ 0.6 and T ~ 300."""
    np.testing.assert_allclose(
        exact.ising_square_energy(size, TEMPERATURES), tori[size].energy(TEMPERATURES), rtol=2e-10
    )
    np.testing.assert_allclose(
        exact.ising_square_specific_heat(size, TEMPERATURES), tori[size].specific_heat(TEMPERATURES), rtol=2e-10
    )
    np.testing.assert_allclose(
        exact.ising_square_free_energy(size, TEMPERATURES),
        -TEMPERATURES * tori[size].log_partition(TEMPERATURES) / size**2,
        rtol=1e-12,
    )
    middle = np.linspace(1.0, 5.0, 41)
    np.testing.assert_allclose(exact.ising_square_energy(size, middle), tori[size].energy(middle), rtol=1e-12)
    np.testing.assert_allclose(
        exact.ising_square_specific_heat(size, middle), tori[size].specific_heat(middle), rtol=1e-11
    )


def test_neighbouring_size_is_a_different_answer(tori):
    """Negative control of the comparison above."""
    assert abs(exact.ising_square_energy(5, 2.3) / tori[4].energy(2.3) - 1) > 1e-3


@pytest.mark.parametrize(
    ("size", "temperature", "energy", "specific_heat"),
    [
        # Kaufman's formula in 60-digit arithmetic (mpmath), differentiated by 5-point differences with step 1e-15.
        (16, 1.7, -1.89817293393624, 0.34166760819667509),
        (33, 2.2, -1.546558500251394, 1.4030590912380037),
        (64, 0.7, -1.9999120889432421, 0.0014424552050985329),
        (64, 2.5, -1.1060829924720924, 0.86185508316313216),
        (300, 2.2, -1.546489144098454, 1.414277691343422),
        (300, 20.0, -0.10041801062029366, 0.0050628370584692723),
        (16, T_CRITICAL, -1.4530648528134769, 1.4987049594000263),
        (33, T_CRITICAL, -1.4330695941762424, 1.8621459949807808),
        (64, T_CRITICAL, -1.4239383898330107, 2.1922113931405718),
        (300, T_CRITICAL, -1.4162883529204672, 2.9583204244065523),
    ],
)
def test_kaufman_in_high_precision(size, temperature, energy, specific_heat):
    assert exact.ising_square_energy(size, temperature) == pytest.approx(energy, rel=2e-14)
    # Sums of N terms of size N cancel to the specific heat: 1e-16 times a few thousand at T_c, 1e-12 at T = 0.7.
    assert exact.ising_square_specific_heat(size, temperature) == pytest.approx(specific_heat, rel=5e-12)


@pytest.mark.parametrize("size", [4, 31, 128, 512])
def test_kaufman_is_smooth_through_the_critical_point(size):
    """gamma_0 changes sign at T_c: energies on both sides and at T_c lie on one line of slope C."""
    step = 1e-6 / size
    e = exact.ising_square_energy(size, T_CRITICAL + step * np.array([-1.0, 0.0, 1.0]))
    c = exact.ising_square_specific_heat(size, T_CRITICAL + step * np.array([-1.0, 0.0, 1.0]))
    # Curvature of e over the step is below 1e-10 of its slope; energies carry 1e-15.
    np.testing.assert_allclose(np.diff(e) / step, c[1], rtol=4e-15 * size / 1e-6 + 1e-6)
    np.testing.assert_allclose(c, c[1], rtol=1e-5)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(3, 64), st.floats(0.3, 50.0))
def test_specific_heat_is_the_slope_of_the_energy(size, temperature):
    h = 1e-3 * temperature
    e = exact.ising_square_energy(size, temperature + h * np.array([-2.0, -1.0, 1.0, 2.0]))
    slope = (8 * (e[2] - e[1]) - (e[3] - e[0])) / (12 * h)
    # Five-point difference: h^4 times the fifth derivative; sharp peaks of size 64 are the worst.
    assert slope == pytest.approx(float(exact.ising_square_specific_heat(size, temperature)), rel=1e-4, abs=1e-11)


def test_free_energy_gives_the_energy():
    """E = d(F/T)/d(1/T), by a five-point difference."""
    k = 1 / 2.3 + 1e-3 * np.array([-2.0, -1.0, 1.0, 2.0])
    f = exact.ising_square_free_energy(10, 1 / k) * k
    assert (8 * (f[2] - f[1]) - (f[3] - f[0])) / 12e-3 == pytest.approx(
        float(exact.ising_square_energy(10, 2.3)), rel=1e-7
    )


@pytest.mark.parametrize("temperature", [0.02, 0.5, 0.7, 1.5, 2.0, 2.6, 4.0, 250.0, 400.0])
def test_large_torus_is_onsagers_lattice(temperature):
    """Away from T_c finite-size corrections are exp(-L / xi): none are left at 512."""
    assert exact.ising_square_energy(512, temperature) == pytest.approx(
        float(exact.onsager_energy(temperature)), rel=1e-10
    )
    assert exact.ising_square_specific_heat(512, temperature) == pytest.approx(
        float(exact.onsager_specific_heat(temperature)), rel=2e-10
    )


def test_finite_size_energy_at_the_critical_point():
    """Ferdinand and Fisher 1969: E(T_c, L) = -sqrt(2) - 0.622438.. / L for the square torus (theta constants)."""
    q = math.exp(-math.pi)
    theta2 = 2 * sum(q ** ((n + 0.5) ** 2) for n in range(8))
    theta3 = 1 + 2 * sum(q ** (n * n) for n in range(1, 8))
    theta4 = 1 + 2 * sum((-1) ** n * q ** (n * n) for n in range(1, 8))
    amplitude = 2 * theta2 * theta3 * theta4 / (theta2 + theta3 + theta4)
    for size in (64, 128, 256):
        shift = float(exact.ising_square_energy(size, T_CRITICAL)) + math.sqrt(2)
        assert shift * size == pytest.approx(-amplitude, rel=1 / size**2)  # the next term is of relative order L^-2
    assert 0.6 < amplitude < 0.65


# --- closed forms of infinite lattices --------------------------------------------------------------------------------


def test_onsager_energy_by_quadrature():
    """ln Z / N = ln 2 + mean of ln[cosh^2 2K - sinh 2K (cos a + cos b)] / 2 over both angles (Onsager 1944, eq. 108).

    Its slope in K, with the mean over b done in closed form: 1 / (x - cos b) averages to 1 / sqrt(x^2 - 1).
    """
    for temperature in (1.0, 2.0, 3.0):
        s, c = math.sinh(2 / temperature), math.cosh(2 / temperature)

        def mean_over_b(a, s=s, c=c):
            x = c * c / s - math.cos(a)
            return (4 * c * s - 2 * c**3 / s) / (s * math.sqrt(x * x - 1)) + 2 * c / s

        value, _ = integrate.quad(mean_over_b, 0, math.pi, epsabs=1e-13, epsrel=1e-13)
        assert float(exact.onsager_energy(temperature)) == pytest.approx(-value / (2 * math.pi), rel=1e-10)


def test_onsager_at_the_critical_point():
    assert float(exact.onsager_energy(T_CRITICAL)) == pytest.approx(-math.sqrt(2), rel=1e-12)
    # Onsager 1944, eq. 120: C ~ -(2/pi) ln^2(1 + sqrt 2) [ln |t| + ..]; the coefficient, from two decades of t.
    heat = exact.onsager_specific_heat(T_CRITICAL * (1 + np.array([1e-8, 1e-6])))
    expected = 2 / math.pi * math.log(1 + math.sqrt(2)) ** 2
    assert (heat[0] - heat[1]) / math.log(100) == pytest.approx(expected, rel=1e-4)  # corrections t ln t


def test_onsager_magnetization():
    m = exact.onsager_magnetization(np.array([1e-3, 1.0, 2.0, T_CRITICAL * (1 + 1e-12), 3.0, 1e6]))
    assert m[0] == 1.0
    # Yang 1952: T = 1 and T = 2, evaluated from (1 - sinh^-4(2/T))^(1/8) in 30 digits.
    assert m[1] == pytest.approx(0.999275751951, rel=1e-11)
    assert m[2] == pytest.approx(0.911319377877, rel=1e-11)
    assert (m[3:] == 0).all()
    # beta = 1/8 from the slope of the logarithm.
    t = np.array([1e-6, 1e-8])
    slope = np.diff(np.log(exact.onsager_magnetization(T_CRITICAL * (1 - t)))) / np.diff(np.log(t))
    assert slope[0] == pytest.approx(0.125, rel=1e-5)


def test_low_temperature_magnetization_meets_enumeration():
    """Below T = 0.8 the 5x5 torus is as good as infinite: each flipped spin costs 8, a band of spins 20."""
    result = exact.enumerate_ising(Ising(lattices.square(5)))
    assert float(result.abs_magnetization(0.8)) == pytest.approx(float(exact.onsager_magnetization(0.8)), rel=1e-8)


@pytest.mark.parametrize(
    ("name", "value"),
    # Project anchors, six digits; cubic: 1 / 0.221654626 (Ferrenberg, Xu, Landau 2018).
    [("square", 2.269185), ("triangular", 3.640957), ("honeycomb", 1.518651), ("cubic", 4.511523), ("chain", 0.0)],
)
def test_critical_temperature(name, value):
    assert exact.critical_temperature(name) == pytest.approx(value, abs=5e-7)


def test_critical_temperatures_obey_duality_and_star_triangle():
    k = {name: 1 / exact.critical_temperature(name) for name in ("square", "triangular", "honeycomb")}
    assert math.sinh(2 * k["square"]) == pytest.approx(1, rel=1e-12)
    # The dual of the honeycomb is the triangular lattice: sinh 2K sinh 2K* = 1.
    assert math.sinh(2 * k["honeycomb"]) * math.sinh(2 * k["triangular"]) == pytest.approx(1, rel=1e-12)


# --- the ring ---------------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(3, 40), st.floats(0.1, 100.0))
def test_ring_by_its_transfer_matrix(n, temperature):
    """Z = trace of the transfer matrix to the n; energy from the same trace with one derivative."""
    k = 1 / temperature
    up, down = math.exp(0.0), math.exp(-2 * k)  # relative to exp(k)
    matrix = np.array([[up, down], [down, up]])
    slope = np.array([[up, -down], [-down, up]])
    power = np.linalg.matrix_power(matrix, n - 1)
    assert float(exact.ising_chain_energy(n, temperature)) == pytest.approx(
        -np.trace(slope @ power) / np.trace(matrix @ power), rel=1e-10
    )


def test_ring_at_the_ends():
    assert float(exact.ising_chain_energy(10, 1e-4)) == -1.0
    assert float(exact.ising_chain_specific_heat(10, 1e-4)) == 0.0
    # At high T: E = -K per site, C = K^2 per site.
    assert float(exact.ising_chain_energy(10, 1e6)) == pytest.approx(-1e-6, rel=1e-11)
    assert float(exact.ising_chain_specific_heat(10, 1e6)) == pytest.approx(1e-12, rel=1e-11)
    # A ring of 3 has its gap 4: C -> 3 pairs of 2 states, (4/T)^2 3 exp(-4/T) / 3 sites.
    assert float(exact.ising_chain_specific_heat(3, 0.1)) == pytest.approx(1600 * math.exp(-40), rel=1e-12)


# --- wrong input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [exact.ising_square_energy, exact.ising_chain_specific_heat])
def test_bad_arguments(function):
    with pytest.raises(ValueError, match="`size` must lie between 3 and 4096, but is 2"):
        function(2, 1.0)
    with pytest.raises(TypeError, match=r"`size` must be an integer, but is 4\.0"):
        function(4.0, 1.0)
    for bad in (-1.0, 0.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="`temperature` must be positive and finite, but holds"):
            function(4, [1.0, bad])
    with pytest.raises(TypeError, match="real numbers"):
        function(4, "cold")
    with pytest.raises(ValueError, match="must be one of 'chain', 'square'"):
        exact.critical_temperature("kagome")
