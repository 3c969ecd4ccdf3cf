"""Detailed balance, stationarity and convergence of every update, from its whole transition matrix: nothing is sampled.

The matrices are read from the tables that the compiled kernels are given (Metropolis) or made by the plain twins, which
`test_twins` ties to the kernels bit for bit.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from qmlphys import lattices
from qmlphys.hamiltonians import Ising
from qmlphys.montecarlo import _clusters
from qmlphys.montecarlo._engines import Tables, make_units
from qmlphys.montecarlo._layout import LAZY_DIGITS
from tests.reference import clusters, transition_matrices

TINY = [
    lattices.chain(3),  # an odd ring, one slab
    lattices.chain(4),  # two slabs
    lattices.chain(8),  # four slabs
    lattices.chain(4, periodic=False),
    lattices.square(3),
    lattices.square(3, periodic=False),
    lattices.triangular(3),
    lattices.triangular(3, periodic=False),
]
# Without a field, in one, with signs that frustrate, and at values where moves that change both terms cost nothing.
COUPLINGS = [(1.0, 0.0), (-1.0, 0.0), (1.0, 0.3), (-0.7, -0.4), (1.0, 2.0), (-1.0, 4.0), (0.0, 0.5), (0.0, 0.0)]
TEMPERATURES = (0.7, 2.5, 30.0)
RESOLUTION = 2.0**-64  # acceptance probabilities are rounded down to 64 binary digits


def detailed_balance_error(matrix, equilibrium, *, resolution=0.0):
    """Largest |flow from a to b - flow from b to a| beyond the resolution of a probability, in units of the larger."""
    a, b = sparse.coo_array(matrix).coords
    dense = sparse.coo_array(matrix).toarray()
    forth, back = equilibrium[a] * dense[a, b], equilibrium[b] * dense[b, a]
    excess = abs(forth - back) - resolution * np.maximum(equilibrium[a], equilibrium[b])
    return float((np.maximum(excess, 0.0) / np.maximum(forth, back))[forth > 0].max())


def second_eigenvalue(matrix):
    """Modulus of the second largest eigenvalue; the largest must be 1."""
    moduli = np.sort(abs(np.linalg.eigvals(matrix)))[::-1]
    assert moduli[0] == pytest.approx(1.0, abs=1e-10)  # eigenvalues of a matrix of 512 rows lose some digits
    return float(moduli[1])


def metropolis_unit(model, temperatures):
    n = len(temperatures)
    return make_units(Tables(model), np.array(temperatures), ["metropolis"] * n, 64, np.random.SeedSequence(1))[0]


# --- Metropolis -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("coupling", "field"), COUPLINGS)
@pytest.mark.parametrize("lattice", TINY, ids=lambda lattice: lattice.label)
def test_metropolis(lattice, coupling, field):
    """Each single-site update is in detailed balance; the sweep leaves the Boltzmann distribution, and reaches it."""
    model = Ising(lattice, coupling=coupling, field=field)
    for temperature in TEMPERATURES:
        equilibrium = transition_matrices.boltzmann(model, temperature)
        updates = transition_matrices.metropolis_updates(metropolis_unit(model, [temperature]))
        assert len(updates) == lattice.n_sites
        for update in updates:
            np.testing.assert_allclose(update.sum(axis=1), 1.0, rtol=1e-15)
            # Energies of this size carry a rounding error of 1e-15 / T into the weights.
            assert detailed_balance_error(update, equilibrium, resolution=RESOLUTION) < 1e-13
        sweep = transition_matrices.product(updates)
        np.testing.assert_allclose(equilibrium @ sweep, equilibrium, rtol=1e-12, atol=lattice.n_sites * RESOLUTION)
        if temperature == 2.5:
            assert transition_matrices.is_primitive(sweep)
            assert second_eigenvalue(sweep) < 0.9999


def test_every_word_has_its_own_temperature():
    """Two slabs, so that four words of different temperatures share a vector."""
    temperatures = [0.9, 1.7, 2.6, 8.0]
    model = Ising(lattices.chain(4), field=0.2)
    unit = metropolis_unit(model, temperatures)
    for word, temperature in enumerate(temperatures):
        equilibrium = transition_matrices.boltzmann(model, temperature)
        for update in transition_matrices.metropolis_updates(unit, word=word):
            assert detailed_balance_error(update, equilibrium, resolution=RESOLUTION) < 1e-13
            assert detailed_balance_error(update, transition_matrices.boltzmann(model, 3.3)) > 1e-3


@pytest.mark.parametrize(
    ("lattice", "reason"),
    [
        (lattices.chain(3), "the order of walls around a ring is conserved"),
        (lattices.chain(8), "the same"),
        (lattices.square(3), "four pairs of states turn into each other for ever"),
    ],
    ids=lambda value: getattr(value, "label", ""),
)
def test_always_accepting_would_not_converge(lattice, reason):
    """Negative control: what the chance to stay is for. The usual acceptance in sequential order is reducible here."""
    updates = transition_matrices.metropolis_updates(metropolis_unit(Ising(lattice), [2.5]))
    usual = []
    for update in updates:
        moves = (update - sparse.diags_array(update.diagonal())) / (1.0 - 0.5**LAZY_DIGITS)
        moves.data = np.minimum(moves.data, 1.0)
        usual.append((moves + sparse.diags_array(1.0 - moves.sum(axis=1))).tocsr())
    sweep = transition_matrices.product(usual)
    equilibrium = transition_matrices.boltzmann(Ising(lattice), 2.5)
    np.testing.assert_allclose(equilibrium @ sweep, equilibrium, rtol=1e-12)  # stationary, and yet never reached
    assert not transition_matrices.is_primitive(sweep), reason
    assert second_eigenvalue(sweep) > 1.0 - 1e-9
    assert second_eigenvalue(transition_matrices.product(updates)) < 0.95


def test_acceptance_is_exact_to_all_digits():
    """Digits of the tables add up to (1 - 2^-4) exp(-dE / T) as a double has it."""
    model = Ising(lattices.cubic(3), coupling=0.77, field=0.31)
    unit = metropolis_unit(model, np.linspace(0.8, 9.0, 8))
    starts, codes, differences = Tables(model).classes
    planes = unit._planes.reshape(len(codes), 64, 8)
    for c, difference in enumerate(differences):
        for lane, temperature in enumerate(np.linspace(0.8, 9.0, 8)):
            number = sum(int(digit & 1) << (63 - k) for k, digit in enumerate(planes[c, :, lane].tolist()))
            expected = (1.0 - 2.0**-LAZY_DIGITS) * np.exp(-difference / temperature)
            assert abs(number - expected * 2.0**64) <= expected * 2.0**11 + 1.0
    assert starts[-1] == len(codes) == 7  # of 14 moves of a site with six neighbours in a field, half cost energy


# --- clusters ---------------------------------------------------------------------------------------------------------


def effective_probability(model, temperature):
    """Bond probability as the kernels have it, in units of 2^-32, and the temperature it is exact for."""
    p = int(_clusters.bond_threshold(model.coupling, temperature)) / 2.0**32
    effective = -2.0 * abs(model.coupling) / np.log1p(-p)
    assert effective == pytest.approx(temperature, rel=2.0**-30)
    return p, effective


CLUSTER_CASES = [
    (lattices.chain(3), 1.0),
    (lattices.chain(3), -1.0),  # frustrated
    (lattices.chain(4), -1.0),
    (lattices.chain(5), 1.0),
    (lattices.chain(5), -1.0),  # frustrated
    (lattices.chain(4, periodic=False), 1.0),
    (lattices.square(3, periodic=False), 1.0),
    (lattices.square(3, periodic=False), -1.0),
]


@pytest.mark.parametrize("update", ["swendsen_wang", "wolff"])
@pytest.mark.parametrize(
    ("lattice", "coupling"), CLUSTER_CASES, ids=lambda value: getattr(value, "label", f"J={value}")
)
def test_clusters(lattice, coupling, update):
    model = Ising(lattice, coupling=coupling)
    p, temperature = effective_probability(model, 1.9)
    matrix = getattr(transition_matrices, update)(lattice, alike=int(coupling), bond_probability=p)
    equilibrium = transition_matrices.boltzmann(model, temperature)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, rtol=1e-12)
    assert detailed_balance_error(matrix, equilibrium) < 1e-12  # sums of up to 4,096 terms
    assert detailed_balance_error(matrix, transition_matrices.boltzmann(model, 2.0)) > 0.01
    assert transition_matrices.is_primitive(matrix)
    assert second_eigenvalue(matrix) < 0.99


def test_swendsen_wang_alone_flips_symmetrically():
    """Every state and its mirror image are reached with the same probability."""
    matrix = transition_matrices.swendsen_wang(lattices.chain(4), alike=1, bond_probability=0.6)
    np.testing.assert_allclose(matrix, matrix[:, ::-1], rtol=1e-14)


@pytest.mark.parametrize("lattice", [lattices.square(4), lattices.triangular(5), lattices.cubic(3)], ids=str)
def test_bonds_that_close_a_loop_are_left_out_safely(lattice):
    """The kernel drops an active bond whose loop of four is closed anyway: the clusters stay the same."""
    tables = _clusters.cluster_tables(lattice)
    rng = np.random.default_rng(4)
    n_dropped = 0
    for _ in range(200):
        joined = rng.random(lattice.n_sites) < 0.7
        joined[:: tables.row] = False
        active = rng.random(tables.first.size) < 0.7
        along = [(site - 1, site) for site in np.flatnonzero(joined).tolist()]
        other = list(zip(tables.first.tolist(), tables.second.tolist(), strict=True))
        kept = []
        for k, (a, b) in enumerate(other):
            drop = k > 0 and active[k - 1] and joined[a] and joined[b] and tables.follows[k]
            n_dropped += bool(active[k] and drop)
            if active[k] and not drop:
                kept.append((a, b))
        everything = along + [edge for k, edge in enumerate(other) if active[k]]
        assert clusters.components(lattice.n_sites, along + kept) == clusters.components(lattice.n_sites, everything)
    assert n_dropped > 200
