"""Samplers: shapes, sectors, distributions, and the same bits from the same random numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qmlphys import bits
from qmlphys.hamiltonians import TransverseIsing
from qmlphys.lattices import chain, square
from qmlphys.nqs import _lookup
from qmlphys.nqs._metropolis import evaluate_once
from qmlphys.nqs.ansatz import RBM, Ansatz, Autoregressive, Jastrow, MPSAnsatz
from qmlphys.nqs.local_energy import local_energies
from qmlphys.nqs.samplers import Direct, Exact, FullSum, Metropolis, SamplerState, _markov, configurations


class Product(Ansatz):
    """Independent spins, up with the same probability; it can be drawn from directly."""

    derivative = "real"

    def __init__(self, n_sites, up=0.8):
        super().__init__(n_sites)
        self.up = torch.nn.Parameter(torch.tensor(up, dtype=torch.float64))

    def log_psi(self, spins):
        probabilities = torch.where(spins > 0, self.up, 1 - self.up)
        return (0.5 * probabilities.log()).sum(dim=1).to(torch.complex128)

    def sample(self, n_samples, rng):
        up = torch.from_numpy(rng.random((n_samples, self.n_sites))) < self.up
        return torch.where(up, 1.0, -1.0)


def draw(sampler, ansatz, n_samples, seed=1):
    rng = np.random.default_rng(seed)
    return sampler.draw(ansatz, sampler.start(ansatz, rng), n_samples, rng)


def same(first, second):
    return all(torch.equal(getattr(first, name), getattr(second, name)) for name in ("spins", "weights", "log_psi"))


@pytest.mark.parametrize(
    ("sampler", "n_samples"),
    [
        (Metropolis(16), 48),
        (Metropolis(16, moves="exchange", flip_all=True), 48),
        (Metropolis(16, moves="pair", lattice=square(3)), 48),
        (Exact(), 50),
        (Direct(), 50),
        (FullSum(), 0),
    ],
)
@pytest.mark.parametrize("n_sites", [8, 9])
def test_samples_are_consistent(sampler, n_samples, n_sites):
    if isinstance(sampler, Metropolis) and sampler.lattice is not None and n_sites != 9:
        sampler = Metropolis(16, moves="pair", lattice=chain(n_sites))
    if isinstance(sampler, Metropolis) and sampler.flip_all and n_sites % 2:
        sampler = Metropolis(16, moves="exchange")
    ansatz = Product(n_sites)
    samples = draw(sampler, ansatz, n_samples)
    n = n_samples or 2**n_sites
    assert samples.spins.shape == (n, n_sites)
    assert samples.spins.dtype == torch.int8
    assert samples.weights.dtype == torch.float64
    assert not samples.spins.requires_grad
    assert not samples.log_psi.requires_grad
    np.testing.assert_allclose(samples.weights.sum(), 1.0, rtol=1e-12)
    # Networks see other batches on the way than here: rounding.
    np.testing.assert_allclose(samples.log_psi.numpy(), ansatz(samples.spins).detach().numpy(), rtol=1e-13)
    chains = isinstance(sampler, Metropolis)
    assert samples.n_chains == (16 if chains else 0)
    assert sampler.n_chains == samples.n_chains
    assert (0.05 < samples.acceptance < 1) if chains else np.isnan(samples.acceptance)


@pytest.mark.parametrize("ansatz", [RBM(9, scale=0.3, rng=1), RBM(9, dtype="complex128", scale=0.3, rng=1), Product(9)])
@pytest.mark.parametrize(
    ("options", "total", "product"),
    [
        ({"moves": "exchange"}, 1, None),
        ({"moves": "exchange", "magnetization": -5, "lattice": square(3)}, -5, None),
        ({"moves": "pair"}, None, 1),
        ({"moves": "pair", "parity": -1, "lattice": chain(9)}, None, -1),
    ],
)
def test_chains_stay_in_their_sector(options, total, product, ansatz):
    samples = draw(Metropolis(32, **options), ansatz, 128)
    if total is not None:
        assert (samples.spins.sum(dim=1) == total).all()
    if product is not None:
        assert (samples.spins.prod(dim=1) == product).all()
    assert len(torch.unique(samples.spins, dim=0)) > 10


@pytest.mark.parametrize("options", [{}, {"magnetization": 2}, {"parity": -1}])
@pytest.mark.parametrize("n_sites", [6, 8])
def test_configurations_are_those_of_the_sector(n_sites, options):
    every = bits.integers_to_spins(np.arange(2**n_sites), n_sites)
    if "magnetization" in options:
        every = every[every.sum(axis=1) == 2]
    if "parity" in options:
        every = every[every.prod(axis=1) == -1]
    np.testing.assert_array_equal(configurations(n_sites, **options), every)


def test_a_full_sum_has_the_born_weights():
    ansatz = RBM(5, dtype="complex128", scale=0.5, rng=4)
    samples = draw(FullSum(parity=1), ansatz, 0)
    spins = torch.from_numpy(configurations(5, parity=1))
    psi = ansatz(spins).detach().exp().abs()
    assert torch.equal(samples.spins, spins)
    np.testing.assert_allclose(samples.weights, psi**2 / (psi**2).sum(), rtol=1e-12)


@pytest.mark.parametrize("sampler", [Exact(), Direct(), Metropolis(1000, n_warmup=10)])
def test_means_are_exact_within_their_error(sampler):
    ansatz, n = Product(6, up=0.9), 4000
    spins = draw(sampler, ansatz, n).spins.double()
    # The mean of a spin is 0.8, its variance 0.36. Chains may be correlated over their four draws.
    n_effective = sampler.n_chains or n
    error = np.sqrt(0.36 / (n_effective * 6))
    assert abs(spins.mean() - 0.8) < 5 * error
    correlation = (spins[:, 0] * spins[:, 3]).mean()
    assert abs(correlation - 0.64) < 5 / np.sqrt(n_effective)
    # The control: chains that have not moved.
    cold = draw(Metropolis(1000, n_warmup=0, n_sweeps=0.1), ansatz, 1000).spins.double()
    assert abs(cold.mean() - 0.8) > 20 * np.sqrt(0.36 / 6000)


def test_exact_draws_never_find_what_has_no_weight():
    class Up(Product):
        def log_psi(self, spins):
            log = torch.where((spins > 0).all(dim=1), 0.0, -torch.inf)
            return torch.complex(log.double(), torch.zeros(len(spins), dtype=torch.float64))

    samples = draw(Exact(), Up(4), 100)
    assert (samples.spins == 1).all()
    assert draw(FullSum(), Up(4), 0).spins.tolist() == [[1, 1, 1, 1]]
    # Chains that begin where there is no amplitude find their way to where there is one.
    assert (draw(Metropolis(64, n_warmup=60), Up(4), 64).spins == 1).all()


@pytest.mark.parametrize("ansatz", [RBM(7, dtype="complex128", scale=0.3, rng=1), Jastrow(7, scale=0.3, rng=1)])
@pytest.mark.parametrize("options", [{}, {"flip_all": True, "n_sweeps": 2.5}, {"moves": "exchange"}])
def test_chains_resume_bit_for_bit(options, ansatz, tmp_path):
    sampler, rng = Metropolis(20, **options), np.random.default_rng(9)
    state = sampler.start(ansatz, rng)
    sampler.draw(ansatz, state, 40, rng)
    torch.save(state.state_dict(), tmp_path / "chains.pt")
    saved = rng.bit_generator.state
    expected = [sampler.draw(ansatz, state, 20, rng) for _ in range(2)]
    assert not torch.equal(expected[0].spins, expected[1].spins)
    rng.bit_generator.state = saved
    restored = sampler.restore(ansatz, torch.load(tmp_path / "chains.pt", weights_only=True))
    for samples in expected:
        assert same(sampler.draw(ansatz, restored, 20, rng), samples)


def test_one_seed_gives_the_same_bits_on_any_number_of_threads(monkeypatch):
    monkeypatch.setattr(_lookup, "_SERIAL_WORK", 1)
    ansatz = RBM(12, alpha=2, dtype="complex128", scale=0.3, rng=1)
    n_threads, found = torch.get_num_threads(), []
    try:
        for n in (1, 3):
            torch.set_num_threads(n)
            found.append(draw(Metropolis(33), ansatz, 66, seed=7).spins)
    finally:
        torch.set_num_threads(n_threads)
    assert torch.equal(*found)
    assert not torch.equal(found[0], draw(Metropolis(33), ansatz, 66, seed=8).spins)


def test_blocks_of_random_numbers_leave_the_distribution_alone(monkeypatch):
    monkeypatch.setattr(_markov, "_BLOCK", 3000)  # three proposals of 1000 chains
    spins = draw(Metropolis(1000), Product(8, up=0.9), 1000).spins.double()
    assert abs(spins.mean() - 0.8) < 5 * np.sqrt(0.36 / 8000)


def test_chains_share_no_random_numbers():
    ansatz = RBM(6, scale=0.0)
    spins = draw(Metropolis(400, n_sweeps=1), ansatz, 4000).spins.double().reshape(10, 400, 6)
    # Of 400 chains of infinite temperature, no two have a correlation above 5 sigma; sigma is 1 / sqrt(60).
    series = spins.permute(1, 0, 2).reshape(400, 60).numpy()
    correlation = np.abs(series @ series.T / 60 - np.eye(400)).max()
    assert correlation < 6.5 / np.sqrt(60)
    assert np.abs(series[:, None] @ series[:, :, None] / 60).min() == 1.0  # the control: each with itself


def test_proposals_of_a_sweep():
    class Counting(Product):
        n_rows = 0

        def log_psi(self, spins):
            self.n_rows += len(spins)
            return super().log_psi(spins)

    for n_sweeps, n_proposals in ((1, 8), (0.5, 4), (0.01, 1), (2.25, 18)):
        ansatz, sampler = Counting(8), Metropolis(4, n_sweeps=n_sweeps, n_warmup=0)
        rng = np.random.default_rng(1)
        state = sampler.start(ansatz, rng)
        assert ansatz.n_rows == 0
        sampler.draw(ansatz, state, 4, rng)
        # Each of the four chains at the start, and then proposals, of which equal ones are evaluated once.
        assert 0 <= 4 * (n_proposals + 1) - ansatz.n_rows <= n_proposals // 3


@pytest.mark.parametrize("n_sites", [12, 62, 63])
def test_equal_configurations_are_evaluated_once(n_sites):
    rows = []
    ansatz = Jastrow(n_sites, scale=0.1, rng=1)
    plain = ansatz.log_psi
    ansatz.log_psi = lambda spins: (rows.append(len(spins)), plain(spins))[1]
    spins = torch.ones((40, n_sites), dtype=torch.int8)
    spins[::2, -1] = -1
    spins[3, 5] = -1
    found = evaluate_once(ansatz, spins)
    assert rows == [3 if n_sites <= 62 else 40]
    np.testing.assert_allclose(found.detach().numpy(), plain(spins).detach().numpy(), rtol=1e-12)
    assert len(torch.unique(found.detach().real)) >= 3


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_chains": 0}, ValueError, "`n_chains` must be between 1 and"),
        ({"n_chains": 1.5}, TypeError, "`n_chains` must be an integer, but it is 1.5"),
        ({"n_sweeps": 0}, ValueError, "`n_sweeps` must be finite and above 0, but it is 0"),
        ({"n_sweeps": float("nan")}, ValueError, "`n_sweeps` must be finite and above 0, but it is nan"),
        ({"n_warmup": -1}, ValueError, "`n_warmup` must be finite and at least 0, but it is -1"),
        ({"n_warmup": "ten"}, TypeError, "`n_warmup` must be a number, but it is 'ten'"),
        ({"moves": "swap"}, ValueError, "`moves` must be one of flip, exchange, pair, but it is 'swap'"),
        ({"flip_all": 1}, TypeError, "`flip_all` must be True or False, but it is 1"),
        ({"magnetization": 0}, ValueError, "`magnetization` must be left out with moves='flip'"),
        ({"moves": "exchange", "parity": 1}, ValueError, "`parity` must be left out with moves='exchange'"),
        ({"lattice": chain(6)}, ValueError, r"`lattice` must be left out with moves='flip'.* chain\(6\)"),
        ({"moves": "pair", "lattice": 6}, TypeError, "`lattice` must be a Lattice"),
    ],
)
def test_bad_options_are_named(options, error, message):
    with pytest.raises(error, match=message):
        Metropolis(**options)


@pytest.mark.parametrize(
    ("sampler", "n_sites", "message"),
    [
        (Metropolis(4, moves="exchange", magnetization=1), 6, "`magnetization` must be even.* but it is 1"),
        (Metropolis(4, moves="exchange", magnetization=9), 7, "between -7 and 7 on 7 sites, but it is 9"),
        (Metropolis(4, moves="exchange", flip_all=True), 7, "`flip_all` must be False where the magnetization is 1"),
        (Metropolis(4, moves="pair", flip_all=True), 7, "`flip_all` must be False for pairs on 7 sites"),
        (Metropolis(4, moves="pair", parity=2), 6, r"`parity` must be -1 or \+1, but it is 2"),
        (Metropolis(4, moves="pair", lattice=chain(5)), 6, r"`lattice` must have the 6 sites.*chain\(5\) has 5"),
        (Metropolis(4, moves="pair"), 1, "`moves` must be 'flip' on a single site, but it is 'pair'"),
        (FullSum(magnetization=3), 6, "`magnetization` must be even and between -6 and 6"),
        (FullSum(magnetization=4, parity=1), 6, "`parity` must be -1 on 6 sites with magnetization 4, but it is 1"),
        (Exact(parity=0), 6, "`parity` must be -1"),
        (Exact(), 21, "at most 1048576 configurations to enumerate them, but 21 sites have 2097152"),
        (FullSum(), 40, "`n_sites` must be at most 24 to enumerate configurations, but it is 40"),
    ],
)
def test_sectors_that_do_not_exist_are_named(sampler, n_sites, message):
    with pytest.raises(ValueError, match=message):
        sampler.start(RBM(n_sites, rng=1), np.random.default_rng(1))


def test_a_sector_can_be_enumerated_where_the_whole_cannot():
    assert len(configurations(22, magnetization=0)) == 705432


def test_numbers_of_samples_are_checked():
    ansatz, rng = RBM(4, rng=1), np.random.default_rng(1)
    sampler = Metropolis(8)
    with pytest.raises(ValueError, match="`n_samples` must be a multiple of the 8 chains, but it is 12"):
        sampler.draw(ansatz, sampler.start(ansatz, rng), 12, rng)
    with pytest.raises(ValueError, match=r"`state` must hold 8 chains of 4 sites.* shape \(6, 4\)"):
        sampler.draw(ansatz, Metropolis(6).start(ansatz, rng), 8, rng)
    with pytest.raises(ValueError, match="`n_samples` must be between 1"):
        Exact().draw(ansatz, Exact().start(ansatz, rng), 0, rng)


@pytest.mark.parametrize(
    "ansatz",
    [
        Autoregressive(5, scale=2.0, rng=1),
        Autoregressive(5, phase=True, scale=2.0, rng=2),
        MPSAnsatz(5, bond=3, scale=0.5, rng=3),
        MPSAnsatz(5, bond=2, dtype="complex128", scale=0.5, rng=4),
    ],
)
def test_direct_draws_follow_the_distribution(ansatz):
    n = 20000
    weights = draw(FullSum(), ansatz, 0).weights.numpy()
    assert weights.max() > 5 * weights.min()
    expected = n * weights
    found = np.bincount(bits.spins_to_integers(draw(Direct(), ansatz, n).spins.numpy()), minlength=32)
    freedom = 31
    assert abs(((found - expected) ** 2 / expected).sum() - freedom) < 5 * np.sqrt(2 * freedom)
    # The control: the same draws against the distribution of flipped spins.
    assert ((found - expected[::-1]) ** 2 / expected[::-1]).sum() > freedom + 20 * np.sqrt(2 * freedom)


def test_direct_draws_from_a_ring_are_refused_at_the_start():
    with pytest.raises(ValueError, match="open chain"):
        Direct().start(MPSAnsatz(5, bond=2, periodic=True, rng=1), np.random.default_rng(1))


def test_direct_draws_need_an_ansatz_that_can():
    with pytest.raises(TypeError, match="method `sample` to be drawn from directly, but RBM has none"):
        Direct().start(RBM(4, rng=1), np.random.default_rng(1))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_amplitudes_that_are_no_numbers_are_refused(value):
    ansatz = Product(3)
    ansatz.log_psi = lambda spins: torch.full((len(spins),), complex(value, 0.0), dtype=torch.complex128)
    for sampler in (FullSum(), Exact()):
        with pytest.raises(FloatingPointError, match=r"largest log \|psi\| of the 8 configurations is"):
            draw(sampler, ansatz, 5)


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ({}, "holds None"),
        ({"spins": torch.ones(4, 6)}, "holds torch.float32 of shape"),
        ({"spins": torch.ones((4, 5), dtype=torch.int8)}, r"int8 of shape \(4, 6\), but it holds torch.int8 of shape"),
        ({"spins": torch.zeros((4, 6), dtype=torch.int8)}, r"must hold -1 and \+1 only, but it holds 0"),
    ],
)
def test_checkpoints_that_do_not_fit_are_refused(saved, message):
    state = SamplerState(torch.ones((4, 6), dtype=torch.int8))
    with pytest.raises(ValueError, match=message):
        state.load_state_dict(saved)
    with pytest.raises(ValueError, match=message):
        Metropolis(4).restore(RBM(6, rng=1), saved)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("make", [lambda: RBM(8, alpha=2, dtype="complex128", scale=0.3, rng=1), lambda: Product(8)])
@pytest.mark.parametrize("options", [{"flip_all": True}, {"moves": "exchange"}, {"moves": "pair"}])
def test_a_cuda_device_draws_the_same_chains(options, make):
    sampler = Metropolis(64, **options)
    here, there = draw(sampler, make(), 128), draw(sampler, make().to("cuda"), 128)
    assert there.spins.device.type == there.weights.device.type == "cuda"
    # The random numbers are the same: chains part only where a threshold lies within rounding of a ratio.
    assert torch.equal(there.spins.cpu(), here.spins)
    np.testing.assert_allclose(there.log_psi.cpu().numpy(), here.log_psi.numpy(), rtol=1e-10)
    model = TransverseIsing(chain(8))
    energies = [local_energies(model, make().to(x.spins.device), x.spins, x.log_psi).cpu() for x in (here, there)]
    np.testing.assert_allclose(energies[0].numpy(), energies[1].numpy(), rtol=1e-9)
