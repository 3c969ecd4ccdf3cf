"""DMRG against closed forms and sparse diagonalisation."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from qmlphys import exact, lattices
from qmlphys.hamiltonians import J1J2, Heisenberg, Ising, PauliSum, TransverseIsing
from qmlphys.mps import dmrg


@pytest.mark.parametrize(
    "model",
    [
        TransverseIsing(lattices.chain(12, periodic=False), field=0.9),
        TransverseIsing(lattices.square(3), field=2.0),
        Heisenberg(lattices.chain(9, periodic=False)),
        J1J2(lattices.chain(10), j2=0.3),
        PauliSum([("ZZI", -1.0), ("IXX", 0.5), ("XII", 0.3), ("III", 3.0)]),
        TransverseIsing(lattices.chain(6), field=0.0),
    ],
    ids=lambda m: f"{m.label}-{m.n_sites}",
)
def test_small_models_are_solved_exactly(model):
    """The bond is as large as the state needs, so only the solver's tolerance is left: energies to 1e-9."""
    found = dmrg(model, max_bond=32, rng=1)
    expected = exact.ground_state(model)
    assert found.converged
    assert found.energy == pytest.approx(expected.energy, abs=1e-9)
    assert abs(found.variance) < 1e-7
    assert found.energy == pytest.approx(found.state.expectation(model), rel=1e-12)
    assert found.state.norm == pytest.approx(1, rel=1e-12)
    assert found.state.max_bond <= 32
    assert found.sweep_energies.shape == (found.n_sweeps,)
    assert found.sweep_energies[-1] == pytest.approx(found.energy, abs=1e-8)


def test_rings_are_not_taken_for_open_chains(monkeypatch):
    """In the ordered phase the ends of a ring fluctuate together, which two-site updates alone never find: 1e-3 off."""
    model, expected = TransverseIsing(lattices.chain(24), field=0.5), exact.tfim_chain_energy(24, field=0.5)
    assert dmrg(model, max_bond=16, rng=0).energy == pytest.approx(expected, abs=1e-7)
    monkeypatch.setattr("qmlphys.mps._dmrg._enriched", lambda state, *_: state.tensors)
    assert dmrg(model, max_bond=16, rng=0).energy > expected + 1e-4


def test_energy_is_an_upper_bound_that_falls_with_the_bond():
    """Ring of 14 at the critical point; the variance falls with the error."""
    expected = exact.tfim_chain_energy(14, field=1.0)
    results = [dmrg(TransverseIsing(lattices.chain(14)), max_bond=bond, max_sweeps=5, rng=0) for bond in (4, 8, 16)]
    errors = [result.energy - expected for result in results]
    assert all(error > 0 for error in errors)
    assert errors[0] > 10 * errors[1] > 100 * errors[2]
    assert errors[2] < 1e-4
    assert results[0].variance > 10 * results[1].variance > 100 * results[2].variance
    assert [result.state.max_bond for result in results] == [4, 8, 16]


def test_snapshots_of_the_ground_state_have_its_correlations():
    """<Z_0 Z_1> and <X> of 2,000 independent draws within 5 standard errors; the other field's value is far away."""
    n_sites, n_draws = 16, 2000
    state = dmrg(TransverseIsing(lattices.chain(n_sites)), max_bond=24, rng=0).state
    spins = state.sample(n_draws, 2).astype(float)
    bonds = (spins * np.roll(spins, 1, axis=1)).mean(axis=1)
    expected = exact.tfim_chain_correlations(n_sites, field=1.0)[1]
    error = bonds.std() / np.sqrt(n_draws)
    assert abs(bonds.mean() - expected) < 5 * error
    assert abs(bonds.mean() - exact.tfim_chain_correlations(n_sites, field=0.9)[1]) > 5 * error
    transverse = state.sample(n_draws, 3, basis="X").astype(float).mean(axis=1)
    error = transverse.std() / np.sqrt(n_draws)
    expected = exact.tfim_chain_transverse_magnetization(n_sites, field=1.0)
    assert abs(transverse.mean() - expected) < 5 * error
    assert expected > 0.5


def test_one_seed_gives_one_answer():
    model = Heisenberg(lattices.chain(8))
    first, second = (dmrg(model, max_bond=8, rng=3) for _ in range(2))
    np.testing.assert_array_equal(first.sweep_energies, second.sweep_energies)
    third = dmrg(model, max_bond=8, rng=4)
    assert (first.sweep_energies[0] != third.sweep_energies[0]) or (first.energy != third.energy)


def test_it_says_when_it_has_not_converged(caplog):
    with caplog.at_level(logging.WARNING, logger="qmlphys"):
        found = dmrg(Heisenberg(lattices.chain(12)), max_bond=8, max_sweeps=2, rng=0)
    assert not found.converged
    assert found.n_sweeps == 2
    assert "stopped after 2 sweeps" in caplog.text


@pytest.mark.slow
def test_complex_models():
    """A chiral chain; quimb compiles its complex kernels for it."""
    strings = [
        ("I" * i + letters + "I" * (5 - i), sign * 0.4)
        for i in range(6)
        for letters, sign in zip(("XYZ", "YZX", "ZXY", "XZY", "YXZ", "ZYX"), (1, 1, 1, -1, -1, -1), strict=True)
    ]
    strings += [("I" * i + "ZZ" + "I" * (6 - i), 1.0) for i in range(7)]
    model = PauliSum([*strings, ("Y" + 7 * "I", 0.3), ("IX" + 6 * "I", 0.2)])
    assert not model.flip_terms.is_real
    found = dmrg(model, max_bond=16, rng=0)
    assert found.energy == pytest.approx(exact.ground_state(model).energy, abs=1e-9)


@pytest.mark.slow
def test_long_rings():
    """Eighty sites at the critical point and twenty Heisenberg spins, at the bonds that they need for the tolerance."""
    found = dmrg(TransverseIsing(lattices.chain(80)), max_bond=48, rng=0)
    assert 0 < found.energy - exact.tfim_chain_energy(80, field=1.0) < 1e-5
    found = dmrg(Heisenberg(lattices.chain(20)), max_bond=96, rng=0)
    assert 0 < found.energy - exact.heisenberg_chain_energy(20) < 1e-5


@pytest.mark.parametrize(
    ("model", "keywords", "error", "text"),
    [
        (Ising(lattices.chain(4)), {}, TypeError, "`hamiltonian` must be a quantum model"),
        (PauliSum([("XX", 1.0)]), {}, ValueError, "`hamiltonian` must have at least 3 sites, but it has 2"),
        (Heisenberg(lattices.chain(4)), {"max_bond": 0}, ValueError, "`max_bond` must .* 0"),
        (Heisenberg(lattices.chain(4)), {"max_bond": 8.0}, ValueError, "`max_bond` must"),
        (Heisenberg(lattices.chain(4)), {"max_sweeps": 0}, ValueError, "`max_sweeps` must"),
        (Heisenberg(lattices.chain(4)), {"tol": 0.0}, ValueError, "`tol` must be positive"),
        (Heisenberg(lattices.chain(4)), {"cutoff": 1.0}, ValueError, "`cutoff` must"),
    ],
)
def test_bad_arguments(model, keywords, error, text):
    with pytest.raises(error, match=text):
        dmrg(model, **keywords)
