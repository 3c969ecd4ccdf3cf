"""Closed forms of quantum chains against diagonalisation, limits and published numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qmlphys import bits, exact, lattices
from qmlphys.hamiltonians import Heisenberg, TransverseIsing


def lowest(model):
    energies, states = np.linalg.eigh(model.to_sparse().toarray())
    return energies, states[:, 0]


# --- transverse-field Ising -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_sites", "field", "energy"),
    [
        (32, 1.0, -40.7600325),
        (32, 0.5, -34.0334211),
        (80, 0.5, -85.0835528),
        (80, 1.0, -101.8657089),
        (80, 2.0, -170.1671056),
    ],
)
def test_ising_ring_reference_values(n_sites, field, energy):
    """Project anchors, given to seven decimals."""
    assert abs(exact.tfim_chain_energy(n_sites, field=field) - energy) <= 5.1e-8


def test_critical_ising_ring_has_a_closed_sum():
    """At J = h the sum over momenta is -2 / sin(pi / 2N)."""
    for n_sites in (3, 4, 31, 32, 200):
        expected = -2 / math.sin(math.pi / (2 * n_sites))
        assert exact.tfim_chain_energy(n_sites, field=1.0) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("n_sites", [3, 4, 5, 6, 7, 8])
def test_ising_energy_is_the_lowest_eigenvalue(n_sites, periodic):
    """Every sign of both couplings, frustrated odd rings included."""
    lattice = lattices.chain(n_sites, periodic=periodic)
    for coupling in (1.0, -1.0, 0.3, -0.3, 0.0):
        for field in (1.0, 0.4, -1.0, -1.7, 0.0):
            expected = lowest(TransverseIsing(lattice, coupling=coupling, field=field))[0][0]
            found = exact.tfim_chain_energy(n_sites, field=field, coupling=coupling, periodic=periodic)
            assert abs(found - expected) < 1e-12 * n_sites
            assert isinstance(found, float)


def test_the_parity_sector_matters():
    """Odd parity at N = 8, h = 0.5 lies above by the splitting of the two lowest levels, not at the same energy."""
    energies, _ = lowest(TransverseIsing(lattices.chain(8), field=0.5))
    wrong = -np.sqrt(1.25 - np.cos(2 * np.pi * np.arange(8) / 8)).sum()
    right = exact.tfim_chain_energy(8, field=0.5)
    assert abs(wrong - right) > 1e-4
    assert abs(right - energies[0]) < 1e-12


@pytest.mark.parametrize("n_sites", [3, 4, 7, 8])
@pytest.mark.parametrize("field", [0.3, 1.0, 2.0, -1.0])
def test_ising_correlations_and_magnetization(n_sites, field):
    spins = bits.integers_to_spins(np.arange(2**n_sites), n_sites).astype(float)
    for coupling in (1.0, 0.6) if n_sites % 2 else (1.0, -0.6):
        _, state = lowest(TransverseIsing(lattices.chain(n_sites), coupling=coupling, field=field))
        found = exact.tfim_chain_correlations(n_sites, field=field, coupling=coupling)
        np.testing.assert_allclose(found, spins.T @ (spins[:, 0] * state**2), rtol=0, atol=1e-12)
        flipped = state[np.arange(2**n_sites) ^ 1]
        magnetization = exact.tfim_chain_transverse_magnetization(n_sites, field=field, coupling=coupling)
        assert abs(magnetization - state @ flipped) < 1e-12
        assert abs(found[1]) > 0.05
        assert abs(magnetization) > 0.05


def test_magnetization_is_the_derivative_of_the_energy():
    """Hellmann and Feynman; the central difference of step 1e-4 is off by O(1e-8)."""
    step = 1e-4
    for field in (0.4, 1.0, 1.9):
        ends = [exact.tfim_chain_energy(50, field=field + sign * step) for sign in (1, -1)]
        slope = (ends[0] - ends[1]) / (2 * step) / 50
        assert abs(exact.tfim_chain_transverse_magnetization(50, field=field) + slope) < 1e-6


def test_correlations_and_magnetization_add_up_to_the_energy():
    for field in (0.5, 1.0, 2.0):
        bond = exact.tfim_chain_correlations(80, field=field)[1]
        transverse = exact.tfim_chain_transverse_magnetization(80, field=field)
        assert -80 * (bond + field * transverse) == pytest.approx(exact.tfim_chain_energy(80, field=field), rel=1e-12)


def test_order_below_the_critical_field():
    """<Z_0 Z_{N/2}> of a long ring tends to (1 - h^2)^(1/4) below h = 1 and to zero above (Pfeuty 1970)."""
    assert exact.tfim_chain_correlations(200, field=0.5)[100] == pytest.approx(0.75**0.25, rel=1e-10)
    assert abs(exact.tfim_chain_correlations(200, field=2.0)[100]) < 1e-12


# --- Heisenberg -------------------------------------------------------------------------------------------------------


def test_heisenberg_reference_values():
    """Project anchors, given to seven decimals; four sites have -8."""
    assert abs(exact.heisenberg_chain_energy(20) + 35.6175461) <= 5.1e-8
    assert abs(exact.heisenberg_chain_energy(80) + 141.8483046) <= 5.1e-8
    assert exact.heisenberg_chain_energy(4) == pytest.approx(-8, rel=1e-13)
    assert exact.heisenberg_chain_energy(4, coupling=0.5) == pytest.approx(-4, rel=1e-13)


@pytest.mark.parametrize("n_sites", [4, 6, 8, 10])
def test_bethe_ansatz_is_the_lowest_eigenvalue(n_sites):
    expected = lowest(Heisenberg(lattices.chain(n_sites)))[0][0]
    assert exact.heisenberg_chain_energy(n_sites) == pytest.approx(expected, rel=1e-12)


def test_long_heisenberg_chain():
    """A site tends to 1 - 4 ln 2; the approach is -pi^2 / (3 N^2) in Pauli units up to logarithms (Affleck 1986)."""
    n_sites = 1000
    difference = exact.heisenberg_chain_energy(n_sites) / n_sites - (1 - 4 * math.log(2))
    assert -1.1 < difference / (math.pi**2 / (3 * n_sites**2)) < -0.9


# --- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        exact.tfim_chain_energy,
        exact.tfim_chain_correlations,
        exact.tfim_chain_transverse_magnetization,
    ],
)
def test_bad_ising_arguments(call):
    with pytest.raises(ValueError, match=r"`n_sites` must be at least 3, but is 2"):
        call(2, field=1.0)
    with pytest.raises(TypeError, match=r"`n_sites` must be an integer, but is 4\.0"):
        call(4.0, field=1.0)
    for bad in (np.nan, np.inf, "1", None, True):
        with pytest.raises(ValueError, match="`field` must be a finite number"):
            call(4, field=bad)
        with pytest.raises(ValueError, match="`coupling` must be a finite number"):
            call(4, field=1.0, coupling=bad)


@pytest.mark.parametrize("call", [exact.tfim_chain_correlations, exact.tfim_chain_transverse_magnetization])
def test_ambiguous_ground_states_are_refused(call):
    with pytest.raises(ValueError, match="`field` must not be zero"):
        call(4, field=0.0)
    with pytest.raises(ValueError, match=r"`n_sites` must be even.*frustrated, but is 5"):
        call(5, field=1.0, coupling=-1.0)


@pytest.mark.parametrize("n_sites", [2, 5, 0, -4, 8194])
def test_bad_heisenberg_sizes(n_sites):
    with pytest.raises(ValueError, match=f"`n_sites` must be an even number from 4 to 8192, but is {n_sites}"):
        exact.heisenberg_chain_energy(n_sites)


def test_bad_heisenberg_arguments():
    with pytest.raises(TypeError, match="`n_sites` must be an integer"):
        exact.heisenberg_chain_energy(8.0)
    for bad in (0.0, -1.0, np.nan, np.inf, "1", True):
        with pytest.raises(ValueError, match="`coupling` must be positive and finite"):
            exact.heisenberg_chain_energy(8, coupling=bad)
