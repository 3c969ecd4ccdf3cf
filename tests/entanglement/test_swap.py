"""The swap estimator against exact Rényi-2 entropies."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from qmlphys import bits, nqs
from qmlphys.entanglement import entropy, swap_entropy
from qmlphys.mps import MatrixProductState


class Exact:
    """Draws from a state vector, and evaluates it."""

    def __init__(self, vector):
        self.vector = np.asarray(vector, dtype=complex)
        self.n = self.vector.size.bit_length() - 1
        self.p = np.abs(self.vector) ** 2 / (np.abs(self.vector) ** 2).sum()
        self.most = 0

    def sample(self, n, rng):
        return bits.integers_to_spins(rng.choice(self.vector.size, size=n, p=self.p), self.n)

    def log_psi(self, spins):
        self.most = max(self.most, len(spins))
        with np.errstate(divide="ignore"):
            return np.log(self.vector[bits.spins_to_integers(spins)])


def random_state(n, seed):
    rng = np.random.default_rng(seed)
    product = np.array([1.0])
    for _ in range(n):
        product = np.kron(product, [1.0, 0.5 + 0.5j])
    noise = rng.standard_normal(2**n) + 1j * rng.standard_normal(2**n)
    return product / np.linalg.norm(product) + noise / np.linalg.norm(noise)


def ghz(n):
    vector = np.zeros(2**n)
    vector[[0, -1]] = 1.0
    return vector


@pytest.mark.parametrize("seed", range(4))
def test_random_states_within_five_errors(seed):
    state = Exact(1e-30 * random_state(6, seed))
    sites = [[0], [1, 4], [0, 1, 2], [2, 3, 4, 5]][seed]
    found = swap_entropy(state.sample, state.log_psi, sites, n_samples=20_000, chunk_size=1000, rng=seed)
    exact_value = entropy(state.vector, sites, order=2)
    assert found.error < 0.03
    assert abs(found.deviation(exact_value)) < 5
    assert state.most <= 1000
    # Controls: another order and another subsystem are told apart.
    assert abs(found.deviation(entropy(state.vector, sites))) > 5
    other = [3, 5] if seed in (0, 2) else [0, 3, 5]
    assert abs(found.deviation(entropy(state.vector, other, order=2))) > 5


def test_errors_are_those_of_the_scatter():
    state = Exact(random_state(4, 9))
    runs = [swap_entropy(state.sample, state.log_psi, [0, 1], n_samples=2000, rng=seed) for seed in range(100)]
    scatter = np.std([run.mean for run in runs], ddof=1)
    claimed = np.mean([run.error for run in runs])
    assert claimed == pytest.approx(scatter, rel=5 / math.sqrt(2 * 99))


def test_amplitudes_of_zero_and_products():
    state = Exact(ghz(5))
    found = swap_entropy(state.sample, state.log_psi, [0, 3], n_samples=8000, rng=2)
    assert abs(found.deviation(math.log(2))) < 5
    product = Exact(np.kron([1, 2j], np.kron([3, 1], [1, -1])))
    found = swap_entropy(product.sample, product.log_psi, [1], n_samples=100, rng=0)
    assert (abs(found.mean), found.error) == pytest.approx((0, 0), abs=1e-12)
    nothing = swap_entropy(state.sample, state.log_psi, [], n_samples=100, rng=0)
    assert (nothing.mean, nothing.error) == (0, 0)


def test_a_chain_of_100_sites_with_its_own_sampler():
    rng = np.random.default_rng(3)
    tensors = [rng.standard_normal((2, 2, 2)) for _ in range(100)]
    tensors[0], tensors[-1] = tensors[0][:1], tensors[-1][:, :, :1]
    state = MatrixProductState(tensors)
    found = swap_entropy(state.sample, state.log_amplitudes, range(50), n_samples=4000, rng=1)
    assert abs(found.deviation(entropy(state, range(50), order=2))) < 5


def test_a_network_with_its_own_sampler():
    ansatz = nqs.Autoregressive(8, widths=(2,), phase=True, scale=2.0, rng=4)

    def log_psi(spins):
        with torch.no_grad():
            return ansatz(torch.from_numpy(spins)).numpy()

    def draw(n, rng):
        return ansatz.sample(n, rng).numpy()

    everything = bits.integers_to_spins(np.arange(2**8), 8)
    exact_value = entropy(np.exp(log_psi(everything)), range(4), order=2)
    found = swap_entropy(draw, log_psi, range(4), n_samples=6000, rng=5)
    assert exact_value > 0.1
    assert abs(found.deviation(exact_value)) < 5


def markov_chains(state, n_chains, rng, length, stay):
    """Chains that keep their configuration with a probability: correlated rows of known correlation time."""
    rows = state.sample(n_chains * length, rng).reshape(n_chains, length, -1)
    for step in range(1, length):
        kept = rng.random(n_chains) < stay
        rows[kept, step] = rows[kept, step - 1]
    return rows.reshape(n_chains * length, -1)


def test_groups_make_errors_of_chains_honest():
    state, n_chains, length, stay = Exact(random_state(5, 1)), 32, 100, 0.9
    groups = np.repeat(np.arange(n_chains), length)
    exact_value = entropy(state.vector, [0, 2], order=2)

    def draw(n, rng):
        if n == n_chains * length:
            return markov_chains(state, n_chains, rng, length, stay)
        return markov_chains(state, 1, rng, n, stay)

    honest, naive = [], []
    for seed in range(40):
        arguments = {"n_samples": n_chains * length // 2, "rng": seed}
        run = swap_entropy(draw, state.log_psi, [0, 2], groups=groups, **arguments)
        honest.append(run.deviation(exact_value))
        naive.append(swap_entropy(draw, state.log_psi, [0, 2], chunk_size=3200, **arguments).deviation(exact_value))
    assert run.tau > 3
    assert np.sqrt(np.mean(np.square(honest))) == pytest.approx(1, abs=5 / math.sqrt(80))
    assert np.sqrt(np.mean(np.square(naive))) > 1.8  # the control: errors that ignore the chains are too small


def test_unknown_entropies_are_refused():
    rng = np.random.default_rng(0)
    state = Exact(rng.standard_normal(2**12) + 1j * rng.standard_normal(2**12))
    with pytest.raises(ValueError, match=r"`n_samples` must be larger than 50.*not 3 errors above zero"):
        swap_entropy(state.sample, state.log_psi, range(6), n_samples=50, rng=1)


def good(n, rng):
    return np.ones((n, 3), dtype=np.int8)


def flat(spins):
    return np.zeros(len(spins))


@pytest.mark.parametrize(
    ("sample", "log_psi", "sites", "keywords", "error", "text"),
    [
        (good, flat, [3], {}, ValueError, "sites from 0 to 2"),
        (good, flat, [0], {"n_samples": 1}, ValueError, "`n_samples` must be between 2"),
        (good, flat, [0], {"chunk_size": 0}, ValueError, "`chunk_size` must be between 1"),
        (lambda n, rng: np.ones(n), flat, [0], {}, ValueError, "`sample` must return an array"),
        (lambda n, rng: np.zeros((n, 3)), flat, [0], {}, ValueError, "`sample` must return spins"),
        (good, lambda s: 0.0, [0], {}, ValueError, "`log_psi` must return"),
        (good, lambda s: np.full(len(s), -np.inf), [0], {}, ValueError, "must draw configurations with an amplitude"),
        (good, flat, [0], {"groups": [0, 1]}, ValueError, "`groups` must have shape"),
        (good, flat, [0], {"n_samples": 4, "groups": [0] * 8}, ValueError, "even number of groups"),
        (good, flat, [0], {"n_samples": 9, "groups": [*range(9), *range(8), 0]}, ValueError, "of equal size"),
    ],
)
def test_bad_arguments(sample, log_psi, sites, keywords, error, text):
    with pytest.raises(error, match=text):
        swap_entropy(sample, log_psi, sites, **{"n_samples": 10, "rng": 0} | keywords)
