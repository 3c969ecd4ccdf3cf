"""Slow collective modes against dense algebra: what they see of a state that is off, and how they bring it back."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from qmlphys import bits, exact
from qmlphys.hamiltonians import J1J2, Heisenberg, TransverseIsing
from qmlphys.lattices import chain, honeycomb, square
from qmlphys.nqs import (
    MLP,
    VMC,
    CollectiveModes,
    Exact,
    FullSumState,
    Marshall,
    Metropolis,
    MonteCarloState,
    NaturalGradient,
    SymmetryGroup,
    TranslationRBM,
    VMCError,
    parameter_offset,
)
from qmlphys.nqs._settings import Settings
from qmlphys.nqs.ansatz import Ansatz
from qmlphys.stats import estimate


class Amplitudes(Ansatz):
    """Any real vector without zeros: every amplitude is a parameter."""

    derivative = "real"

    def __init__(self, vector):
        super().__init__(int(np.log2(vector.size)))
        self.logarithms = nn.Parameter(torch.from_numpy(np.log(np.abs(vector))))

    def log_psi(self, spins):
        places = 2 ** torch.arange(self.n_sites)
        return self.logarithms[((1 - spins.long()) // 2 * places).sum(1)].to(torch.complex128)


def ground_vector(lattice, field):
    model = TransverseIsing(lattice, field=field)
    return np.linalg.eigh(model.to_sparse().toarray())[1][:, 0]


def all_spins(n):
    return torch.from_numpy(bits.integers_to_spins(np.arange(2**n), n))


def order(vector, n):
    """<m^2> of a state vector."""
    m = bits.integers_to_spins(np.arange(2**n), n).mean(axis=1)
    return float(vector**2 @ m**2 / (vector**2).sum())


@pytest.mark.parametrize("n", [6, 7])
def test_features_of_a_ring_are_its_structure_factor(n):
    spins = all_spins(n)
    waves = np.abs(np.fft.fft(spins.numpy(), axis=1)) ** 2 / n**2
    m = spins.numpy().mean(axis=1)
    expected = np.column_stack([waves[:, :3], m**4])
    np.testing.assert_allclose(CollectiveModes(chain(n), n_modes=3).values(spins), expected, atol=1e-12)


def test_small_lattices_have_fewer_modes():
    assert CollectiveModes(chain(4), n_modes=9).values(all_spins(4)).shape == (16, 4)  # waves 0, 1, 2, and m^4


def test_features_of_a_square_join_waves_of_one_length():
    spins = torch.from_numpy(np.random.default_rng(1).choice([-1, 1], (20, 16)))
    waves = np.abs(np.fft.fft2(spins.numpy().reshape(-1, 4, 4))) ** 2 / 16**2
    found = CollectiveModes(square(4), n_modes=3).values(spins).numpy()
    long_ones = (waves[:, 0, 1] + waves[:, 1, 0] + waves[:, 0, 3] + waves[:, 3, 0]) / 4
    np.testing.assert_allclose(found[:, 1], long_ones, atol=1e-12)
    # Diagonal waves have the level of those of half the length along an axis there: 2 + 2 = 4 + 0.
    rest = (waves[:, 1, 1] + waves[:, 1, 3] + waves[:, 3, 1] + waves[:, 3, 3] + waves[:, 0, 2] + waves[:, 2, 0]) / 6
    np.testing.assert_allclose(found[:, 2], rest, atol=1e-12)


@pytest.mark.parametrize("lattice", [chain(5, periodic=False), square(3), honeycomb(3)], ids=str)
def test_changes_are_differences(lattice):
    n = lattice.n_sites
    spins = torch.from_numpy(np.random.default_rng(2).choice([-1, 1], (9, n)))
    flips = torch.tensor([[-1, -1], [0, -1], [2, n - 1]])
    modes = CollectiveModes(lattice, n_modes=2)
    for term, sites in enumerate(([], [0], [2, n - 1])):
        other = spins.clone()
        other[:, sites] *= -1
        expected = modes.values(other) - modes.values(spins)
        assert term == 0 or expected.abs().max() > 0.03
        torch.testing.assert_close(modes.changes(spins, flips)[:, term], expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize(("step_size", "rate"), [(1e-3, 40.0), (0.02, 25.0)])  # at most half of 1 / step size
@pytest.mark.parametrize("lattice", [chain(8), square(3)], ids=str)
def test_a_deviation_in_the_span_relaxes_at_the_rate(lattice, step_size, rate):
    # psi = psi_0 exp(eps f): what replaces the local energy in the span of the features must be rate * eps * f.
    n, eps = lattice.n_sites, 1e-4
    model = TransverseIsing(lattice, field=1.2)
    modes = CollectiveModes(lattice, n_modes=2, rate=40.0)
    features = modes.values(all_spins(n)).numpy()
    deviation = features @ [0.7, -0.4, 0.5]
    state = FullSumState(Amplitudes(ground_vector(lattice, 1.2) * np.exp(eps * deviation)))
    samples = state.samples()
    assert (samples.spins == all_spins(n)).all()
    energies = state.measure(model, samples)[0]
    found = modes.accelerated(model, state, samples, energies, step_size=step_size)
    w = samples.weights.numpy()
    root = np.sqrt(w)
    centred = root[:, None] * (features - w @ features)
    target = energies.real.numpy() - w @ energies.real.numpy()
    inside = centred @ np.linalg.lstsq(centred, root * target, rcond=None)[0]
    replaced = root * (found - energies).real.numpy() + inside
    expected = rate * eps * root * (deviation - w @ deviation)
    assert np.linalg.norm(expected) > 1.2 * np.linalg.norm(inside)
    np.testing.assert_allclose(replaced, expected, atol=2e-3 * np.abs(expected).max())


def test_an_eigenstate_stays_as_it_is():
    lattice = chain(6)
    model = TransverseIsing(lattice, field=0.9)
    state = FullSumState(Amplitudes(ground_vector(lattice, 0.9)))
    samples = state.samples()
    energies = state.measure(model, samples)[0]
    found = CollectiveModes(lattice).accelerated(model, state, samples, energies, step_size=0.01)
    np.testing.assert_allclose(found.real, exact.tfim_chain_energy(6, field=0.9), atol=1e-10)


def test_sums_over_orbits_give_the_same_step_and_offset():
    lattice, models = chain(8), [TransverseIsing(chain(8), field=h) for h in (1.0, 2.0)]
    group = SymmetryGroup.translations(lattice) * SymmetryGroup.spin_flip(8)
    found = []
    for symmetry in (None, group):
        ansatz = TranslationRBM(8, alpha=2, visible_bias=False, hidden_bias=False, scale=0.2, rng=1)
        state = FullSumState(ansatz, symmetry=symmetry)
        VMC(models[0], state, step_size=0.05, collective=CollectiveModes(lattice)).run(30)
        found.append([*state.parameters, parameter_offset(state, *models, CollectiveModes(lattice)).mean])
    assert abs(found[0][-1]) > 1e-5
    np.testing.assert_allclose(found[0], found[1], atol=1e-8)


@pytest.mark.parametrize(
    "build",
    [
        lambda: TranslationRBM(8, alpha=2, dtype="complex128", scale=0.05, rng=1),
        lambda: TranslationRBM(8, alpha=4, dtype="float32", scale=0.1, rng=1),
        lambda: MLP(8, widths=(16,), rng=1),
    ],
    ids=["complex", "single", "mlp"],
)
def test_every_kind_of_network_shows_where_it_was_trained(build):
    lattice = chain(8)
    models = [TransverseIsing(lattice, field=h) for h in (1.0, 1.03, 2.0)]
    ansatz = build()
    settings = {"step_size": 0.05, "collective": CollectiveModes(lattice)}
    VMC(models[1], FullSumState(ansatz), **settings).run(250)
    offsets = [
        parameter_offset(FullSumState(ansatz, chunk=chunk), models[0], models[2], CollectiveModes(lattice)).mean
        for chunk in (None, 37)
    ]
    assert offsets[0] == pytest.approx(0.03, abs=0.004)
    assert offsets[1] == pytest.approx(offsets[0], rel=1e-4)  # of float32; more elsewhere


@pytest.mark.parametrize("d", [0.01, -0.02])
@pytest.mark.parametrize("lattice", [chain(10), square(3)], ids=str)
def test_the_ground_state_elsewhere_shows_where(lattice, d):
    state = FullSumState(Amplitudes(ground_vector(lattice, 1.1 + d)))
    models = [TransverseIsing(lattice, field=h) for h in (1.1, 2.1)]
    found = parameter_offset(state, *models, CollectiveModes(lattice, n_modes=2))
    assert found.mean == pytest.approx(d, rel=0.03)  # second order in d, and what the span leaves out
    assert found.error == 0


def test_the_offset_of_a_state_in_training_predicts_its_order():
    # Local energies alone say by how much <m^2> is off; a sixth of it is out of the span of the features.
    n, lattice = 12, chain(12)
    models = [TransverseIsing(lattice, field=h) for h in (1.0, 2.0)]
    ansatz = TranslationRBM(n, alpha=2, visible_bias=False, hidden_bias=False, scale=0.1, rng=1)
    symmetry = SymmetryGroup.translations(lattice) * SymmetryGroup.spin_flip(n)
    state = FullSumState(ansatz, symmetry=symmetry)
    VMC(models[0], state, step_size=0.1).run(40)
    known = [float(np.mean(exact.tfim_chain_correlations(n, field=h))) for h in (1.0, 0.99, 1.01)]
    slope = (known[2] - known[1]) / 0.02
    missing = order(FullSumState(ansatz).vector().real, n) - known[0]
    found = parameter_offset(state, *models, CollectiveModes(lattice))
    assert missing < -0.01 * known[0]
    assert found.mean * slope == pytest.approx(missing, rel=0.2)


@pytest.mark.parametrize("sampler", [Exact(), Metropolis(n_chains=512, flip_all=True)], ids=["exact", "chains"])
def test_samples_show_the_offset_within_their_error(sampler):
    # Far from the ground state, where the response itself is noisy: that must be in the error.
    lattice = chain(10)
    models = [TransverseIsing(lattice, field=h) for h in (1.0, 2.0)]
    modes = CollectiveModes(lattice)
    ansatz = TranslationRBM(10, alpha=2, visible_bias=False, hidden_bias=False, scale=0.1, rng=1)
    symmetry = SymmetryGroup.translations(lattice) * SymmetryGroup.spin_flip(10)
    whole = FullSumState(ansatz, symmetry=symmetry)
    VMC(models[0], whole, step_size=0.1).run(12)
    known = parameter_offset(whole, *models, modes).mean
    state = MonteCarloState(ansatz, sampler, n_samples=512, rng=1)
    found = [parameter_offset(state, *models, modes, n_samples=4096) for _ in range(24)]
    errors = np.array([part.error for part in found])
    assert ((errors > 0) & (errors < abs(known))).all()
    pulls = (np.array([part.mean for part in found]) - known) / errors
    assert 0.65 < np.sqrt((pulls**2).mean()) < 1.4  # chi-squared with 24 degrees of freedom, 99 % either way


def test_order_settles_in_a_few_steps():
    # The ring at its transition, from a state whose order is 15 % off, by the same samples with and without the modes.
    n = 20
    lattice, model = chain(n), TransverseIsing(chain(n), field=1.0)
    known = float(np.mean(exact.tfim_chain_correlations(n, field=1.0)))
    found = {}
    for modes in (None, CollectiveModes(lattice)):
        ansatz = TranslationRBM(n, alpha=2, visible_bias=False, hidden_bias=False, scale=0.1, rng=1)
        state = MonteCarloState(ansatz, Metropolis(n_chains=256, flip_all=True), n_samples=256, rng=1)
        gradient = NaturalGradient(diagonal_shift=1e-2, clip=2.0)
        VMC(TransverseIsing(lattice, field=1.1), state, natural_gradient=gradient, step_size=0.06).run(120)
        VMC(model, state, natural_gradient=gradient, step_size=0.03, collective=modes).run(25)
        shifted = TransverseIsing(lattice, field=2.0)
        found[modes] = parameter_offset(state, model, shifted, CollectiveModes(lattice), n_samples=8192)
        if modes is not None:
            drawn = np.array([state.samples().spins.numpy().mean(axis=1) ** 2 for _ in range(40)])
            order = estimate(drawn.T)
            assert order.error < 0.02 * known
            assert abs(order.mean - known) < 4 * order.error
    slow, fast = found.values()
    assert slow.mean > 0.02
    assert abs(fast.mean) < slow.mean / 4


def test_a_run_with_modes_goes_on_bit_for_bit(tmp_path):
    def make():
        ansatz = TranslationRBM(10, alpha=1, rng=1)
        return MonteCarloState(ansatz, Metropolis(n_chains=32), n_samples=64, rng=2)

    model, modes = TransverseIsing(chain(10)), CollectiveModes(chain(10), n_modes=2, rate=3.0)
    whole = VMC(model, make(), collective=modes)
    whole.run(12)
    part = VMC(model, make(), collective=modes)
    part.run(5, checkpoint=tmp_path / "run.pt")
    resumed = VMC.resume(tmp_path / "run.pt", model, make())
    assert resumed.collective == modes
    resumed.run(7)
    np.testing.assert_array_equal(resumed.state.parameters, whole.state.parameters)
    assert "CollectiveModes" in resumed.history().attrs["collective"]
    plain = VMC(model, make())
    plain.run(12)
    assert not np.array_equal(plain.state.parameters, whole.state.parameters)


def test_where_the_magnetisation_is_conserved_the_waves_remain():
    # m^2 and m^4 are constant and drop out; the other features still speed up what is not the ground state.
    lattice, model = chain(8), Heisenberg(chain(8))
    found = []
    for modes in (None, CollectiveModes(lattice, rate=20.0)):
        ansatz = Marshall(TranslationRBM(8, alpha=1, visible_bias=False, hidden_bias=False, rng=1), lattice)
        state = FullSumState(ansatz, magnetization=0)
        energies = VMC(model, state, step_size=0.01, collective=modes).run(20)["energy"].values
        assert energies[-1] < energies[0] - 0.1
        found.append(state.parameters)
    assert np.isfinite(found).all()
    assert not np.allclose(*found)


def test_a_form_that_cannot_be_solved_leaves_the_run_whole(monkeypatch, tmp_path):
    def broken(*_, **__):
        raise torch.linalg.LinAlgError("no convergence")

    monkeypatch.setattr(CollectiveModes, "accelerated", broken)
    vmc = VMC(TransverseIsing(chain(6)), small(), collective=CollectiveModes(chain(6)))
    with pytest.raises(VMCError, match="no convergence"):
        vmc.run(3, checkpoint=tmp_path / "run.pt")
    assert (tmp_path / "run.pt").exists()


def test_settings_without_modes_are_those_of_a_run_without():
    vmc = VMC(TransverseIsing(chain(6)), small())
    text = json.loads(Settings.of(vmc.hamiltonian, vmc.state, vmc.natural_gradient, vmc.step_size, None).to_json())
    del text["collective"]  # as files were before there were any
    assert Settings.from_json(json.dumps(text), "old").collective is None


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: CollectiveModes(chain(8), n_modes=0), ValueError, "`n_modes` must be"),
        (lambda: CollectiveModes(chain(8), rate=0.0), ValueError, "`rate` must be a positive number"),
        (lambda: CollectiveModes(chain(8), rate="x"), ValueError, "`rate` must be a positive number"),
        (lambda: CollectiveModes("chain(8)"), TypeError, "`lattice` must be a Lattice"),
        (lambda: CollectiveModes.from_dict({"lattice": "chain(8)"}), ValueError, "must have the keys"),
        (
            lambda: VMC(TransverseIsing(chain(6)), small(), collective=CollectiveModes(chain(8))),
            ValueError,
            "`collective` must have the 6 sites of the state, but it has 8",
        ),
        (lambda: VMC(TransverseIsing(chain(6)), small(), collective=3), TypeError, "`collective` must be"),
        (
            lambda: parameter_offset(
                FullSumState(TranslationRBM(6, alpha=1, scale=0.1, rng=1), magnetization=0),
                *[J1J2(chain(6), j2=j2) for j2 in (0.2, 1.2)],
                CollectiveModes(chain(6)),
            ),
            ValueError,
            "magnetisation that varies",
        ),
        (
            lambda: parameter_offset(small(), *[TransverseIsing(chain(6), field=1.0)] * 2, CollectiveModes(chain(6))),
            ValueError,
            "does not respond",
        ),
    ],
)
def test_wrong_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def small():
    return FullSumState(TranslationRBM(6, alpha=1, scale=0.1, rng=1))
