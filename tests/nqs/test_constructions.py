"""Exact constructions: graph states, maximal entanglement, GHZ and Dicke states, sparse machines."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
import torch

from qmlphys.hamiltonians import PauliSum, TransverseIsing
from qmlphys.lattices import chain, square
from qmlphys.nqs._metropolis import evaluate
from qmlphys.nqs.ansatz import RBM
from qmlphys.nqs.constructions import (
    GaussianRidge,
    SparseRBM,
    dicke_ansatz,
    ghz_rbm,
    graph_state_rbm,
    maximal_entanglement_rbm,
)
from qmlphys.nqs.samplers import Exact, Metropolis, configurations
from qmlphys.nqs.samplers._cluster_moves import ClusterMetropolis
from qmlphys.nqs.states import FullSumState, MonteCarloState
from qmlphys.nqs.tangent import Tangent, assign_flat, flat_parameters


def vector(ansatz):
    """Normalised state vector, site i of weight 2^i."""
    log = evaluate(ansatz, torch.from_numpy(configurations(ansatz.n_sites))).numpy()
    psi = np.exp(log - log.real.max())
    return psi / np.linalg.norm(psi)


def difference(psi, phi):
    """Largest difference of two normalised vectors, their phases made equal."""
    overlap = np.vdot(phi, psi)
    return np.abs(psi * (abs(overlap) / overlap) - phi).max()


def graph_vector(n, edges):
    """The graph state gate by gate: CZ is -1 where both bits are 1."""
    bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    signs = np.ones(2**n)
    for i, j in edges:
        signs *= 1 - 2 * bits[:, i] * bits[:, j]
    return signs / np.sqrt(2**n)


def entropy(psi, sites):
    n = int(np.log2(len(psi)))
    axes = [n - 1 - site for site in sites]
    rest = [axis for axis in range(n) if axis not in axes]
    singular = np.linalg.svd(psi.reshape((2,) * n).transpose(axes + rest).reshape(2 ** len(axes), -1))[1]
    p = singular[singular > 1e-12] ** 2
    return float(-(p * np.log(p)).sum())


def stabilizers(n, edges):
    for site in range(n):
        string = ["I"] * n
        string[site] = "X"
        for edge in edges:
            if site in edge:
                string[sum(edge) - site] = "Z"
        yield "".join(string)


def random_graph(n, seed, density=0.5):
    rng = np.random.default_rng(seed)
    return n, [edge for edge in combinations(range(n), 2) if rng.random() < density]


GRAPHS = {
    "cluster ring": (8, [(i, (i + 1) % 8) for i in range(8)]),
    "cluster chain": (7, [(i, i + 1) for i in range(6)]),
    "star": (6, [(0, i) for i in range(1, 6)]),
    "single edge": (2, [(1, 0)]),
    "one site": (1, []),
    "no edges": (4, []),
    "complete": (5, list(combinations(range(5), 2))),
    "random 1": random_graph(9, 1),
    "random 2": random_graph(8, 2, 0.3),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_graph_state_is_the_exact_state_with_all_stabilizers(name):
    n, edges = GRAPHS[name]
    psi = vector(graph_state_rbm((n, edges)))
    assert difference(psi, graph_vector(n, edges)) < 1e-12
    for string in stabilizers(n, edges):
        matrix = PauliSum([(string, 1.0)]).to_sparse()
        assert np.abs(matrix @ psi - psi).max() < 1e-12


@pytest.mark.parametrize("lattice", [square(3), chain(5, periodic=False)])
def test_graph_state_of_a_lattice(lattice):
    edges = [(int(i), int(j)) for i, j in lattice.edges]
    assert difference(vector(graph_state_rbm(lattice)), graph_vector(lattice.n_sites, edges)) < 1e-12


def test_the_other_sign_of_the_bias_turns_stabilizers_of_odd_degree():
    n, edges = GRAPHS["star"]
    weights = np.full(2 * len(edges), 0.25j * np.pi)
    psi = vector(SparseRBM.from_parameters(n, edges, weights=weights, hidden=weights[: len(edges)]))
    values = [np.vdot(psi, PauliSum([(string, 1.0)]).to_sparse() @ psi).real for string in stabilizers(n, edges)]
    np.testing.assert_allclose(values, [-1] * 6, atol=1e-12)


def test_graph_state_of_hundreds_of_sites_by_its_stabilizers():
    n, edges = random_graph(200, 3, 0.02)
    ansatz = graph_state_rbm((n, edges))
    model = PauliSum([(string, -1.0) for string in stabilizers(n, edges)])
    expectation = MonteCarloState(ansatz, Metropolis(8, n_warmup=2), n_samples=8, rng=1).expect(model)
    assert expectation.energy.mean == pytest.approx(-n, abs=1e-10)
    assert expectation.variance.mean < 1e-20


@pytest.mark.parametrize(
    ("graph", "match"),
    [
        ((3, [(0, 0)]), "two different sites"),
        ((3, [(0, 3)]), "from 0 to 2"),
        ((3, [(0, 1), (1, 0)]), "comes twice"),
        ((3, [(0, 1, 2)]), "two different sites"),
        ((0, []), "at least 1"),
    ],
)
def test_bad_graphs(graph, match):
    with pytest.raises(ValueError, match=match):
        graph_state_rbm(graph)


@pytest.mark.parametrize("graph", [5, "chain", (3, [(0, "1")])])
def test_graphs_of_the_wrong_type(graph):
    with pytest.raises(TypeError, match="Argument `graph`"):
        graph_state_rbm(graph)


def ring_blocks(n):
    return [[(start + k) % n for k in range(length)] for length in range(1, n // 2 + 1) for start in range(n)]


@pytest.mark.parametrize("n", [2, 4, 8, 10])
def test_every_block_is_maximally_entangled(n):
    ansatz = maximal_entanglement_rbm(n)
    psi = vector(ansatz)
    assert ansatz.n_parameters == 3 * n // 2
    assert difference(psi, graph_vector(n, [(j, j + n // 2) for j in range(n // 2)])) < 1e-12
    for block in ring_blocks(n):
        assert entropy(psi, block) == pytest.approx(len(block) * np.log(2), abs=1e-12)


@pytest.mark.parametrize("n", [4, 6, 8, 10])
def test_the_gates_of_the_chain_are_a_trap(n):
    psi = vector(maximal_entanglement_rbm(n, with_chain=True))
    lost = [len(block) * np.log(2) - entropy(psi, block) for block in ring_blocks(n)]
    assert min(lost) > -1e-12
    assert max(lost) == pytest.approx(np.log(2), abs=1e-12)


def test_bad_input_of_maximal_entanglement():
    with pytest.raises(ValueError, match="must be even"):
        maximal_entanglement_rbm(5)
    with pytest.raises(ValueError, match="at least 4"):
        maximal_entanglement_rbm(2, with_chain=True)
    with pytest.raises(TypeError, match="with_chain"):
        maximal_entanglement_rbm(4, with_chain=1)


@pytest.mark.parametrize("n", [2, 3, 7])
@pytest.mark.parametrize("phase", [0.0, np.pi, 0.7])
def test_ghz_is_exact(n, phase):
    psi = vector(ghz_rbm(n, phase=phase))
    exact = np.zeros(2**n, dtype=complex)
    exact[0], exact[-1] = 1, np.exp(1j * phase)
    assert difference(psi, exact / np.sqrt(2)) < 1e-12
    for sites in ([0], list(range(n - 1))):
        assert entropy(psi, sites) == pytest.approx(np.log(2), abs=1e-12)


def test_ghz_measures_like_any_ansatz():
    """-J sum ZZ - h sum X of a GHZ state is -J n on a ring: no single flip leads back into it."""
    energy = FullSumState(ghz_rbm(6)).expect(TransverseIsing(chain(6), field=0.7)).energy.mean
    assert energy == pytest.approx(-6, abs=1e-12)


def test_ghz_is_sampled_by_flipping_all_spins():
    sampler = ClusterMetropolis(64, moves=(tuple(range(20)),), n_warmup=3)
    samples = MonteCarloState(ghz_rbm(20), sampler, n_samples=640, rng=2).samples()
    up = (samples.spins.sum(1) == 20).to(torch.float64).mean().item()
    assert bool((samples.spins.sum(1).abs() == 20).all())
    assert samples.acceptance == pytest.approx(1.0)
    assert abs(up - 0.5) < 5 * 0.5 / np.sqrt(640)  # draws are independent


def test_bad_input_of_ghz():
    with pytest.raises(ValueError, match="at least 2"):
        ghz_rbm(1)
    with pytest.raises(ValueError, match="phase"):
        ghz_rbm(3, phase=float("nan"))


@pytest.mark.parametrize(("n", "k"), [(1, 0), (4, 2), (6, 1), (7, 3), (8, 8)])
def test_dicke_state_is_exact(n, k):
    psi = vector(dicke_ansatz(n, k))
    weight = np.array([i.bit_count() for i in range(2**n)])
    exact = (weight == k) / np.sqrt(comb(n, k))
    assert difference(psi, exact) < 1e-12


@pytest.mark.parametrize(("n", "k", "n_a"), [(8, 1, 3), (9, 4, 4), (10, 5, 2)])
def test_dicke_entropy_is_hypergeometric(n, k, n_a):
    p = np.array([comb(n_a, j) * comb(n - n_a, k - j) / comb(n, k) for j in range(min(k, n_a) + 1)])
    p = p[p > 0]
    found = entropy(vector(dicke_ansatz(n, k)), range(1, 1 + n_a))
    assert found == pytest.approx(-(p * np.log(p)).sum(), abs=1e-12)


def test_dicke_sees_the_sum_only_and_is_one_function_of_one_real_number():
    ansatz = dicke_ansatz(6, 2)
    x = torch.randn(5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    step = torch.randn(5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    moved = x + step - step.mean(dim=1, keepdim=True)  # along the null space of the feature
    before, after = ansatz.log_psi(x).detach(), ansatz.log_psi(moved).detach()
    assert (before - after).abs().max() < 1e-10
    assert (before - ansatz.log_psi(x + 0.1).detach()).abs().min() > 1e-3  # off it the state does change


def test_dicke_is_sampled_in_its_sector():
    sampler = Metropolis(32, moves="exchange", magnetization=12 - 2 * 3)
    samples = MonteCarloState(dicke_ansatz(12, 3), sampler, n_samples=64, rng=1).samples()
    assert bool((samples.log_psi.real == 0).all())


def test_bad_input_of_dicke():
    with pytest.raises(ValueError, match="at most the 4 sites"):
        dicke_ansatz(4, 5)
    with pytest.raises(ValueError, match="`k`"):
        dicke_ansatz(4, -1)
    with pytest.raises(ValueError, match="sharpness"):
        GaussianRidge(4, sharpness=0.0)
    with pytest.raises(ValueError, match="dtype"):
        GaussianRidge(4, dtype="complex128")


CONNECTIONS = [(0, 1), (2,), (3, 1, 4), (0, 1, 2, 3, 4), (4, 0)]


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("biases", [True, False])
def test_sparse_machine_equals_the_dense_one(dtype, biases):
    sparse = SparseRBM(5, CONNECTIONS, dtype=dtype, visible_bias=biases, hidden_bias=biases, scale=0.5, rng=1)
    assign_flat(sparse, flat_parameters(sparse) + 0.1)
    found = sparse.rbm()
    dense = RBM(5, alpha=1, dtype=dtype)
    with torch.no_grad():
        dense.hidden.weight.copy_(found.weight)
        dense.hidden.bias.copy_(found.hidden)
        dense.visible.weight.copy_(found.visible[None])
    spins = torch.from_numpy(configurations(5))
    torch.testing.assert_close(sparse(spins), dense(spins), rtol=1e-13, atol=1e-13)
    assert sparse.n_parameters == sum(map(len, CONNECTIONS)) + (10 if biases else 0)
    assert found.weight.count_nonzero() == sum(map(len, CONNECTIONS))


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_derivatives_of_the_sparse_machine(dtype):
    ansatz = SparseRBM(5, CONNECTIONS, dtype=dtype, scale=0.5, rng=2)
    spins = torch.from_numpy(configurations(5)[::3].copy())
    jacobian, flat, step = Tangent(ansatz, spins).jacobian(), flat_parameters(ansatz), 1e-6
    for k in range(ansatz.n_parameters):
        direction = torch.zeros_like(flat)
        direction[k] = step
        assign_flat(ansatz, flat + direction)
        ahead = ansatz(spins).detach()
        assign_flat(ansatz, flat - direction)
        found = (ahead - ansatz(spins).detach()) / (2 * step)
        torch.testing.assert_close(found, jacobian[:, k].to(torch.complex128), rtol=1e-7, atol=1e-8)
    assign_flat(ansatz, flat)


def test_sparse_machine_without_hidden_units_is_a_product():
    ansatz = SparseRBM.from_parameters(3, [], weights=np.zeros(0), visible=np.array([0.1, 0.2, 0.3]))
    model = TransverseIsing(chain(3), field=0.5)
    psi = vector(ansatz)
    exact = psi @ (model.to_sparse() @ psi)
    assert FullSumState(ansatz).expect(model).energy.mean == pytest.approx(exact, abs=1e-12)
    state = MonteCarloState(ansatz, Metropolis(16), n_samples=32, rng=1)
    assert np.isfinite(state.expect(model).energy.mean)
    assert Exact().draw(ansatz, Exact().start(ansatz, np.random.default_rng(1)), 4, np.random.default_rng(1))


@pytest.mark.parametrize("connections", [[(0, 5)], [()], [(1, 1)]])
def test_bad_connections(connections):
    with pytest.raises(ValueError, match="distinct sites from 0 to 4"):
        SparseRBM(5, connections)


def test_bad_parameters_of_the_sparse_machine():
    with pytest.raises(ValueError, match="visible bias"):
        SparseRBM(5, [], visible_bias=False)
    with pytest.raises(ValueError, match="`weights` must hold 2 finite"):
        SparseRBM.from_parameters(2, [(0, 1)], weights=[1.0])
    with pytest.raises(ValueError, match="`hidden` must hold 1 finite"):
        SparseRBM.from_parameters(2, [(0, 1)], weights=[1.0, 1.0], hidden=[np.nan])
    with pytest.raises(ValueError, match="`visible` must hold 2 finite"):
        SparseRBM.from_parameters(2, [(0, 1)], weights=[1.0, 1.0], visible=["a", "b"])
