"""Detailed balance of the Metropolis chains: their transition matrices, enumerated."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qmlphys.bits import spins_to_integers
from qmlphys.lattices import chain
from qmlphys.nqs._lookup import Lookup, Machine
from qmlphys.nqs._metropolis import CompiledChains, LookupChains, NetworkChains, make_chains
from qmlphys.nqs.ansatz import RBM, Jastrow
from qmlphys.nqs.samplers import Metropolis, configurations

N_SITES = 4
KINDS = ["network", "compiled", "lookup"]
MOVES = {
    "flip": ({}, {}),
    "exchange": ({"magnetization": 0}, {"magnetization": 0}),
    "exchange of neighbours": ({"magnetization": -2, "lattice": chain(4)}, {"magnetization": -2}),
    "pair": ({"parity": -1}, {"parity": -1}),
    "pair of neighbours": ({"parity": 1, "lattice": chain(4, periodic=False)}, {"parity": 1}),
}


def make(kind, ansatz, spins, moves):
    if kind == "network":
        return NetworkChains(ansatz, spins, moves)
    if kind == "compiled":
        return CompiledChains(ansatz, spins, moves, machine=Machine(ansatz.rbm()))
    return LookupChains(ansatz, spins, moves, lookup=Lookup(ansatz.rbm()))


def distribution(ansatz, spins):
    weights = np.exp(2 * ansatz(spins).detach().real.numpy())
    return weights / weights.sum()


def transition_matrix(kind, ansatz, moves, spins, target):
    """One proposal from every configuration by every move; acceptance is located between two thresholds.

    The chains themselves decide: a proposal of acceptance probability A is taken at a uniform number just below A and
    refused just above.
    """
    n, n_moves = len(spins), len(moves.sites)
    index = {code: k for k, code in enumerate(spins_to_integers(spins.numpy()).tolist())}
    matrix = np.zeros((n, n))
    for move in range(n_moves):
        chosen = np.full((n, 1), move, dtype=np.int32)
        moved = make(kind, ansatz, spins, moves)
        n_accepted = moved.sweep(chosen, np.full((n, 1), -np.inf))
        ends = np.array([index[code] for code in spins_to_integers(moved.spins.numpy()).tolist()])
        void = ends == np.arange(n)
        assert n_accepted == n - void.sum()
        accept = np.minimum(1.0, target[ends] / target)
        for shift, taken in ((-1e-9, ~void), (1e-9, ~void & (accept == 1.0))):
            bounds = np.log(accept) + shift
            found = make(kind, ansatz, spins, moves)
            # At acceptance 1 any threshold of a uniform number, below 0, is to be taken.
            found.sweep(chosen, np.minimum(bounds, -1e-12)[:, None])
            stays = (found.spins == spins).all(dim=1).numpy()
            np.testing.assert_array_equal(~stays, taken)
        matrix[np.arange(n), ends] += np.where(void, 1.0, accept) / n_moves
        matrix[np.arange(n), np.arange(n)] += np.where(void, 0.0, 1.0 - accept) / n_moves
    return matrix


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("name", MOVES)
@pytest.mark.parametrize("kind", KINDS)
def test_detailed_balance(kind, name, dtype):
    options, sector = MOVES[name]
    moves = Metropolis(8, moves=name.split()[0], **options)._moves(N_SITES)
    ansatz = RBM(N_SITES, alpha=2, dtype=dtype, scale=0.4, rng=3)
    spins = torch.from_numpy(configurations(N_SITES, **sector))
    target = distribution(ansatz, spins)
    assert target.max() > 1.5 * target.min()
    matrix = transition_matrix(kind, ansatz, moves, spins, target)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, rtol=1e-14)
    flow = target[:, None] * matrix
    np.testing.assert_allclose(flow, flow.T, atol=1e-15)
    # Ergodic in the sector: sooner or later everything is reached from everywhere.
    assert (np.linalg.matrix_power(matrix, 64) > 0).all()
    assert np.sort(np.abs(np.linalg.eigvals(matrix)))[-2] < 0.999


def test_the_wrong_distribution_is_found():
    ansatz = RBM(N_SITES, scale=0.4, rng=3)
    spins = torch.from_numpy(configurations(N_SITES))
    wrong = distribution(ansatz, spins) ** 0.5  # |psi| instead of |psi|^2
    with pytest.raises(AssertionError):
        transition_matrix("compiled", ansatz, Metropolis(8)._moves(N_SITES), spins, wrong / wrong.sum())


@pytest.mark.parametrize("kind", KINDS)
def test_global_flip_is_in_detailed_balance(kind):
    ansatz = RBM(3, scale=0.5, rng=1)
    with torch.no_grad():
        ansatz.visible.weight.fill_(0.2)
    spins = torch.from_numpy(configurations(3))
    target = distribution(ansatz, spins)
    accept = np.minimum(1.0, target[::-1] / target)
    assert accept.min() < 0.9
    for shift, taken in ((-1e-9, np.ones(8, dtype=bool)), (1e-9, accept == 1.0)):
        chains = make(kind, ansatz, spins, Metropolis(8)._moves(3))
        chains.flip_all(np.minimum(np.log(accept) + shift, -1e-12))
        np.testing.assert_array_equal((chains.spins == -spins).all(dim=1).numpy(), taken)
        np.testing.assert_allclose(chains.log_psi().numpy(), ansatz(chains.spins).detach().numpy(), rtol=1e-14)


@pytest.mark.parametrize("moves", ["flip", "exchange", "pair"])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_all_kinds_of_chains_walk_alike(moves, dtype):
    ansatz = RBM(7, alpha=2, dtype=dtype, scale=0.3, rng=2)
    table = Metropolis(8, moves=moves)._moves(7)
    rng = np.random.default_rng(4)
    spins = torch.from_numpy(rng.choice(np.array([-1, 1], dtype=np.int8), size=(50, 7)))
    chosen = rng.integers(len(table.sites), size=(50, 60), dtype=np.int32)
    thresholds = -rng.standard_exponential((50, 60))
    ends, counts = [], []
    for kind in KINDS:
        chains = make(kind, ansatz, spins, table)
        counts.append(chains.sweep(chosen, thresholds))
        ends.append(chains.spins)
        np.testing.assert_allclose(chains.log_psi().numpy(), ansatz(chains.spins).detach().numpy(), rtol=1e-12)
    assert counts[0] == counts[1] == counts[2] > 100
    assert torch.equal(ends[0], ends[1])
    assert torch.equal(ends[0], ends[2])


def test_the_way_follows_the_ansatz():
    spins, moves = torch.ones((2, 4), dtype=torch.int8), Metropolis(8)._moves(4)
    ansatz = RBM(4, rng=1)
    assert isinstance(make_chains(ansatz, spins, moves), CompiledChains)
    assert isinstance(make_chains(Jastrow(4, rng=1), spins, moves), NetworkChains)
    with torch.no_grad():
        ansatz.hidden.weight[0, 0] = 1000.0  # e^2000 is no double
    chains = make_chains(ansatz, spins, moves)
    assert isinstance(chains, NetworkChains)
    assert chains.sweep(np.full((2, 1), 1, dtype=np.int32), np.full((2, 1), -1.0)) == 2


def chi_squared(ansatz, sampler, seed):
    """Chi squared of one draw of many independent chains, with the number of degrees of freedom."""
    rng = np.random.default_rng(seed)
    samples = sampler.draw(ansatz, sampler.start(ansatz, rng), sampler.n_chains, rng)
    spins = torch.from_numpy(configurations(ansatz.n_sites))
    expected = distribution(ansatz, spins) * sampler.n_chains
    found = np.bincount(spins_to_integers(samples.spins.numpy()), minlength=len(expected))
    return ((found - expected) ** 2 / expected).sum(), len(expected) - 1


@pytest.mark.parametrize("flip_all", [False, True])
def test_draws_follow_the_distribution(flip_all):
    ansatz = RBM(4, alpha=2, scale=0.5, rng=8)
    target = distribution(ansatz, torch.from_numpy(configurations(4)))
    assert target.max() > 10 * target.min()
    options = {"n_sweeps": 5, "flip_all": flip_all}
    value, freedom = chi_squared(ansatz, Metropolis(20000, n_warmup=30, **options), seed=1)
    assert abs(value - freedom) < 5 * np.sqrt(2 * freedom)
    # Chains that were not warmed up are still at infinite temperature.
    value, freedom = chi_squared(ansatz, Metropolis(20000, n_warmup=0, n_sweeps=0.3), seed=1)
    assert value - freedom > 20 * np.sqrt(2 * freedom)
