"""Slow collective modes against dense algebra: what they see of a state that is off, and how they bring it back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from qmlphys import bits, exact
from qmlphys.hamiltonians import J1J2, Heisenberg, TransverseIsing
from qmlphys.lattices import chain, honeycomb, square
from qmlphys.nqs import (
    VMC,
    CollectiveModes,
    Exact,
    FullSumState,
    Metropolis,
    MonteCarloState,
    NaturalGradient,
    Samples,
    SymmetryGroup,
    TranslationRBM,
    local_energies,
    parameter_offset,
)
from qmlphys.nqs.ansatz import Ansatz


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


@pytest.mark.parametrize("lattice", [chain(8), square(3)], ids=str)
def test_a_deviation_in_the_span_relaxes_at_the_rate(lattice):
    # psi = psi_0 exp(eps f): what replaces the local energy in the span of the features must be rate * eps * f.
    n, eps, rate = lattice.n_sites, 1e-4, 40.0
    model = TransverseIsing(lattice, field=1.2)
    modes = CollectiveModes(lattice, n_modes=2, rate=rate)
    spins = all_spins(n)
    features = modes.values(spins).numpy()
    deviation = features @ [0.7, -0.4, 0.5]
    ansatz = Amplitudes(ground_vector(lattice, 1.2) * np.exp(eps * deviation))
    with torch.no_grad():
        log_psi = ansatz(spins)
    weights = (2 * log_psi.real).softmax(0)
    energies = local_energies(model, ansatz, spins, log_psi)
    found = modes.accelerated(model, ansatz, Samples(spins, weights, log_psi, 0, np.nan), energies)
    root, w = weights.sqrt().numpy(), weights.numpy()
    centred = root[:, None] * (features - w @ features)
    target = energies.real.numpy() - float(weights @ energies.real)
    inside = centred @ np.linalg.lstsq(centred, root * target, rcond=None)[0]
    replaced = root * (found - energies).real.numpy() + inside
    expected = rate * eps * root * (deviation - w @ deviation)
    assert np.linalg.norm(expected) > 5 * np.linalg.norm(inside)
    np.testing.assert_allclose(replaced, expected, atol=2e-3 * np.abs(expected).max())


def test_an_eigenstate_stays_as_it_is():
    lattice = chain(6)
    model = TransverseIsing(lattice, field=0.9)
    ansatz, spins = Amplitudes(ground_vector(lattice, 0.9)), all_spins(6)
    with torch.no_grad():
        log_psi = ansatz(spins)
    samples = Samples(spins, (2 * log_psi.real).softmax(0), log_psi, 0, np.nan)
    energies = local_energies(model, ansatz, spins, log_psi)
    found = CollectiveModes(lattice).accelerated(model, ansatz, samples, energies)
    exact_energy = exact.tfim_chain_energy(6, field=0.9)
    np.testing.assert_allclose(found.real, exact_energy, atol=1e-10)


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


def test_samples_show_the_offset_within_their_error():
    lattice = chain(10)
    noise = 0.1 * CollectiveModes(lattice, n_modes=6).values(all_spins(10)).numpy()[:, 4:6].sum(axis=1)
    noise += 0.05 * np.random.default_rng(3).standard_normal(2**10)
    ansatz = Amplitudes(ground_vector(lattice, 1.06) * np.exp(noise))
    models = [TransverseIsing(lattice, field=h) for h in (1.0, 2.0)]
    modes = CollectiveModes(lattice, n_modes=3)
    whole = parameter_offset(FullSumState(ansatz), *models, modes)
    state = MonteCarloState(ansatz, Exact(), n_samples=500, rng=1)
    found = [parameter_offset(state, *models, modes, n_samples=1500) for _ in range(8)]
    errors = np.array([part.error for part in found])
    assert ((errors > 0) & (errors < 0.02)).all()
    pulls = (np.array([part.mean for part in found]) - whole.mean) / errors
    assert (np.abs(pulls) < 4).all()
    assert 0.4 < np.sqrt((pulls**2).mean()) < 1.8  # chi-squared with 8 degrees of freedom: 99.9 %


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
            drawn = np.concatenate([state.samples().spins.numpy().mean(axis=1) ** 2 for _ in range(40)])
            assert drawn.mean() == pytest.approx(known, rel=0.05)  # 3 sigma of some 1500 independent draws
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


def test_exchanges_keep_the_magnetisation():
    # m^2 is constant where the magnetisation is conserved: it drops out, and longer waves remain.
    lattice = chain(6)
    state = FullSumState(TranslationRBM(6, alpha=1, rng=1), magnetization=0)
    vmc = VMC(Heisenberg(lattice), state, collective=CollectiveModes(lattice))
    vmc.run(3)
    assert np.isfinite(state.parameters).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: CollectiveModes(chain(8), n_modes=0), ValueError, "`n_modes` must be"),
        (lambda: CollectiveModes(chain(8), rate=0.0), ValueError, "`rate` must be a positive number"),
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
