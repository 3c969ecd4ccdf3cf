"""Optimisation end to end: exact ground states, errors that hold, what a history says."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import eigsh

from qmlphys.hamiltonians import Heisenberg, PauliSum, TransverseIsing
from qmlphys.lattices import chain, square
from qmlphys.nqs import (
    RBM,
    VMC,
    Exact,
    ExponentialDecay,
    FullSumState,
    Marshall,
    Metropolis,
    MonteCarloState,
    NaturalGradient,
    TranslationRBM,
)
from qmlphys.nqs.tangent import flat_parameters


def tfim_energy(n_sites, field):
    """Free fermions in the even sector: Pfeuty, Ann. Phys. 57, 79 (1970), eq. 3.4."""
    k = np.pi * (2 * np.arange(n_sites) + 1) / n_sites
    return -np.sqrt(1 + field**2 - 2 * field * np.cos(k)).sum()


def ground(model):
    return float(eigsh(model.to_sparse(), k=1, which="SA", v0=np.ones(2**model.n_sites))[0][0])


@pytest.mark.parametrize("field", [0.5, 1.0])
def test_full_sum_reaches_the_exact_energy(field):
    model = TransverseIsing(chain(8), field=field)
    exact = tfim_energy(8, field)
    assert exact == pytest.approx(ground(model), rel=1e-12)
    ansatz = TranslationRBM(8, alpha=4, visible_bias=False, hidden_bias=False, scale=0.1, rng=1)
    vmc = VMC(
        model,
        FullSumState(ansatz),
        natural_gradient=NaturalGradient(diagonal_shift=ExponentialDecay(1e-2, 1e-8, n_steps=100)),
        step_size=0.06,
    )
    history = vmc.run(160)
    found = vmc.estimate()
    assert history.energy.values[0] > exact + 0.5
    assert found.energy.mean == pytest.approx(exact, abs=1e-8)
    assert found.energy.mean > exact - 1e-11
    assert found.v_score < 1e-8


def test_full_sum_with_complex_parameters_and_complex_elements():
    model = PauliSum([("XYZI", 0.7), ("IYII", 0.4), ("ZZIZ", -0.9), ("IXXI", 0.6), ("YIXY", 0.3), ("IIZY", -0.5)])
    exact = ground(model)
    ansatz = RBM(4, alpha=2, dtype="complex128", scale=0.2, rng=2)
    vmc = VMC(
        model,
        FullSumState(ansatz),
        natural_gradient=NaturalGradient(diagonal_shift=ExponentialDecay(1e-1, 1e-6, n_steps=100)),
        step_size=0.2,
    )
    vmc.run(120)
    assert vmc.estimate().energy.mean == pytest.approx(exact, abs=1e-8)


def test_monte_carlo_on_the_chain_of_16():
    model = TransverseIsing(chain(16), field=1.0)
    exact = tfim_energy(16, 1.0)
    state = MonteCarloState(
        RBM(16, alpha=1, visible_bias=False, hidden_bias=False, rng=1), Metropolis(n_chains=256), n_samples=256, rng=1
    )
    vmc = VMC(model, state, step_size=0.05)
    history = vmc.run(120)
    found = vmc.estimate(2**13)
    assert found.n_samples == 2**13
    assert abs(found.energy.mean / exact - 1) < 1e-3
    assert found.energy.deviation(exact) > -4
    assert found.energy.error < 0.01
    assert found.v_score < 3e-3
    assert found.r_hat < 1.05
    # The trace is noisy: its minimum lies below the ground state, which is why it is never reported.
    assert float(history.energy.min()) < exact
    # Step energies scatter about those of the final state as their errors say.
    late = history.isel(step=slice(-50, None))
    pull = (late.energy.values - found.energy.mean) / late.error.values
    assert abs(pull.mean()) < 2
    assert np.sqrt((pull**2).mean()) < 2


def test_complex_machine_on_the_chain_of_10():
    model = TransverseIsing(chain(10), field=1.0)
    exact = tfim_energy(10, 1.0)
    state = MonteCarloState(RBM(10, alpha=1, dtype="complex128", rng=1), Metropolis(n_chains=256), n_samples=256, rng=1)
    vmc = VMC(model, state, natural_gradient=NaturalGradient(momentum=0.8), step_size=0.05)
    vmc.run(60)
    found = vmc.estimate(2**12)
    assert abs(found.energy.mean / exact - 1) < 2e-3
    assert found.energy.deviation(exact) > -4


def test_heisenberg_chain_with_marshall_sign_and_exchange():
    model = Heisenberg(chain(8))
    exact = ground(model)
    ansatz = Marshall(RBM(8, alpha=2, visible_bias=False, hidden_bias=False, scale=0.05, rng=1), 8)
    sampler = Metropolis(n_chains=128, moves="exchange", magnetization=0, lattice=chain(8))
    vmc = VMC(model, MonteCarloState(ansatz, sampler, n_samples=256, rng=1), step_size=0.03)
    history = vmc.run(80)
    found = vmc.estimate(2**12)
    assert history.energy.values[0] > exact + 1
    assert abs(found.energy.mean / exact - 1) < 2e-3
    assert found.energy.deviation(exact) > -4
    # Without the sign a positive state is stuck far above.
    stuck = VMC(model, FullSumState(RBM(8, rng=1), magnetization=0), step_size=0.02)
    stuck.run(40)
    assert stuck.estimate().energy.mean > exact + 2


def test_sampling_exactly_and_by_chains_agree():
    model = TransverseIsing(chain(6), field=0.7)
    exact = tfim_energy(6, 0.7)
    for sampler in (Exact(), Metropolis(n_chains=64)):
        vmc = VMC(model, MonteCarloState(RBM(6, rng=3), sampler, n_samples=256, rng=4))
        vmc.run(60)
        found = vmc.estimate(2**12)
        assert found.energy.deviation(exact) > -4
        assert found.energy.mean < exact * 0.99


def run_short(**changes):
    settings = {"chunk": None, "rng": 5}
    settings.update(changes)
    state = MonteCarloState(
        RBM(8, dtype="complex128", rng=1),
        Metropolis(n_chains=32),
        n_samples=64,
        chunk=settings["chunk"],
        rng=settings["rng"],
    )
    vmc = VMC(TransverseIsing(chain(8)), state, natural_gradient=NaturalGradient(diagonal_shift=1e-2, momentum=0.5))
    return vmc, vmc.run(10)


def test_one_seed_gives_the_same_bits_and_another_other_ones():
    first, again, other = run_short()[0], run_short()[0], run_short(rng=6)[0]
    assert torch.equal(flat_parameters(first.state.ansatz), flat_parameters(again.state.ansatz))
    assert not torch.equal(flat_parameters(first.state.ansatz), flat_parameters(other.state.ansatz))


@pytest.mark.parametrize("chunk", [7, 64])
def test_chunks_do_not_change_the_optimisation(chunk):
    plain, chunked = run_short(), run_short(chunk=chunk)
    found = flat_parameters(chunked[0].state.ansatz)
    # Sums in another order; ten steps carry the rounding on.
    torch.testing.assert_close(found, flat_parameters(plain[0].state.ansatz), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(chunked[1].energy, plain[1].energy, rtol=1e-10)


def test_history_holds_every_column_at_every_step():
    vmc, history = run_short()
    assert dict(history.sizes) == {"step": 10}
    names = ["energy", "error", "variance", "v_score", "r_hat", "tau", "acceptance", "step_size", "diagonal_shift"]
    assert list(history.data_vars) == [*names, "update_norm", "seconds"]
    for name in set(history.data_vars) - {"r_hat", "tau"}:
        assert np.isfinite(history[name]).all(), name
    # Two draws a chain and step: 16 draws are there from the eighth step on.
    assert np.isnan(history.r_hat.values[:7]).all()
    assert (history.r_hat.values[7:] < 2).all()
    assert (history.tau.values[7:] >= 0.5).all()
    assert (history.acceptance > 0).all()
    assert (history.acceptance <= 1).all()
    assert history.energy.attrs["units"] == "J"
    assert history.attrs["model"] == "TransverseIsing(coupling=1.0, field=1.0)"
    assert history.attrs["n_parameters"] == 8 + 8 + 64
    v_score = 8 * history.variance / history.energy**2
    np.testing.assert_allclose(history.v_score, v_score, rtol=1e-12)
    longer = vmc.run(3)
    assert dict(longer.sizes) == {"step": 13}
    assert (longer.energy.values[:10] == history.energy.values).all()


def test_estimate_leaves_the_optimisation_alone():
    plain, measured = run_short()[0], run_short()[0]
    first = measured.estimate(256)
    assert first == measured.estimate(256)
    assert first != measured.estimate(256, rng=1)
    plain.run(3)
    measured.run(3)
    assert torch.equal(flat_parameters(plain.state.ansatz), flat_parameters(measured.state.ansatz))
    assert measured.estimate(256) != first


def test_estimates_scatter_as_their_errors_say():
    vmc, _ = run_short()
    exact = FullSumState(vmc.state.ansatz).expect(vmc.hamiltonian).energy.mean
    pulls = np.array([vmc.estimate(256, rng=seed).energy.deviation(exact) for seed in range(40)])
    # 40 numbers of unit variance: their mean to 0.16, their mean square to 0.22; five times that.
    assert abs(pulls.mean()) < 0.8
    assert abs((pulls**2).mean() - 1) < 1.1
    assert (pulls > -4).all()


def test_targets_stop_the_run():
    model = TransverseIsing(chain(6), field=3.0)

    def fresh():
        return VMC(model, MonteCarloState(RBM(6, rng=1), Exact(), n_samples=256, rng=1), step_size=0.1)

    by_score = fresh().run(300, target=1e-3)
    assert 10 < by_score.sizes["step"] < 300
    last = by_score.isel(step=slice(-10, None))
    assert 6 * float(last.variance.mean()) / float(last.energy.mean()) ** 2 <= 1e-3
    by_error = fresh().run(300, target_error=0.05)
    assert 10 < by_error.sizes["step"] < 300
    assert float(by_error.error[-10:].mean()) <= 0.05
    assert fresh().run(12, target=0.0).sizes["step"] == 12
    calls = []
    assert fresh().run(50, callback=lambda vmc: calls.append(vmc.n_steps) or vmc.n_steps == 4).sizes["step"] == 4
    assert calls == [1, 2, 3, 4]


def test_progress_is_shown_only_when_asked_for(capsys):
    vmc, _ = run_short()
    vmc.run(2)
    assert capsys.readouterr() == ("", "")
    vmc.run(2, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "E = " in shown.err


def test_float32_network_with_a_float64_step():
    model = TransverseIsing(chain(6), field=1.0)
    state = FullSumState(RBM(6, alpha=2, dtype="float32", visible_bias=False, hidden_bias=False, scale=0.1, rng=1))
    vmc = VMC(model, state, natural_gradient=NaturalGradient(diagonal_shift=1e-4))
    vmc.run(80)
    assert state.ansatz.dtype == torch.float32
    assert vmc.estimate().energy.mean == pytest.approx(tfim_energy(6, 1.0), rel=1e-4)  # what float32 weights allow


def test_odd_square():
    model = TransverseIsing(square(3), field=3.0)
    vmc = VMC(model, FullSumState(RBM(9, alpha=1, visible_bias=False, hidden_bias=False, rng=1)), step_size=0.03)
    vmc.run(60)
    assert vmc.estimate().energy.mean == pytest.approx(ground(model), rel=1e-3)


def test_the_driver_says_nothing_unless_asked(caplog):
    with caplog.at_level(logging.WARNING, logger="qmlphys"):
        run_short()
    assert not caplog.records
