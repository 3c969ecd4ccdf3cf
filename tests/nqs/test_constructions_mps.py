"""Restricted Boltzmann machines as matrix product states, the way back, functions of two spins, and the table."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qmlphys.hamiltonians import TransverseIsing
from qmlphys.lattices import chain
from qmlphys.mps import MatrixProductState
from qmlphys.nqs._metropolis import evaluate
from qmlphys.nqs.ansatz import MLP, RBM, Marshall, ShortRangeRBM, TranslationRBM
from qmlphys.nqs.constructions import (
    SparseRBM,
    dicke_ansatz,
    from_matrix_product_state,
    ghz_rbm,
    graph_state_rbm,
    maximal_entanglement_rbm,
    parameters_for_entropy,
    to_matrix_product_state,
)
from qmlphys.nqs.constructions._pairs import pair_factor
from qmlphys.nqs.samplers import configurations
from qmlphys.nqs.tangent import assign_flat, flat_parameters

SPINS = np.array([1.0, -1.0])


def amplitudes(ansatz):
    return evaluate(ansatz, torch.from_numpy(configurations(ansatz.n_sites))).exp().numpy()


def infidelity(psi, phi):
    return 1 - abs(np.vdot(psi, phi)) / np.linalg.norm(psi) / np.linalg.norm(phi)


def shaken(ansatz, seed=1, scale=0.3):
    rng, flat = np.random.default_rng(seed), flat_parameters(ansatz)
    noise = rng.normal(size=len(flat)) + (1j * rng.normal(size=len(flat)) if flat.is_complex() else 0)
    assign_flat(ansatz, flat + scale * torch.from_numpy(noise))
    return ansatz


MACHINES = {
    "sparse": lambda: SparseRBM(7, [(0, 1), (3,), (2, 4), (4, 5, 6), (1, 0)], scale=0.5, rng=1),
    "sparse complex": lambda: SparseRBM(6, [(i, i + 1) for i in range(5)], dtype="complex128", scale=0.7, rng=2),
    "short range, open": lambda: ShortRangeRBM(
        chain(8, periodic=False), radius=1, dtype="complex128", scale=0.5, rng=3
    ),
    "short range, ring": lambda: ShortRangeRBM(6, radius=1, alpha=2, scale=0.5, rng=4),
    "dense": lambda: RBM(4, alpha=1.5, dtype="complex128", scale=0.5, rng=5),
    "single precision": lambda: RBM(4, dtype="float32", scale=0.5, rng=6),
    "translations with Marshall's sign": lambda: Marshall(TranslationRBM(6, scale=0.5, rng=7), 6),
    "one site": lambda: RBM(1, alpha=2, scale=0.5, rng=8),
}


@pytest.mark.parametrize("name", MACHINES)
def test_machines_become_matrix_product_states_exactly(name):
    ansatz = shaken(MACHINES[name]())
    psi, state = amplitudes(ansatz), to_matrix_product_state(ansatz)
    # In single precision the machine itself rounds; its parameters are taken in double precision.
    tolerance = 1e-5 if name == "single precision" else 1e-12
    assert np.abs(state.to_vector() / psi - 1).max() < tolerance
    small = to_matrix_product_state(ansatz, compress=True)
    assert small.norm == pytest.approx(1, abs=1e-12)
    assert infidelity(small.to_vector(), psi) < max(tolerance**2, 1e-13)
    assert all(a <= b for a, b in zip(small.bonds, state.bonds, strict=True))


@pytest.mark.parametrize("radius", [1, 2])
def test_bond_of_a_short_range_machine(radius):
    """Units of radius R see 2 R + 1 sites: 2 R units are cut in the middle of an open chain, whatever its length."""
    for n in (8, 14):
        ansatz = ShortRangeRBM(chain(n, periodic=False), radius=radius, scale=0.4, rng=1)
        bonds = to_matrix_product_state(ansatz).bonds
        assert max(bonds) == bonds[n // 2] == 4**radius


def test_a_long_chain_stays_cheap():
    n = 300
    ansatz = shaken(SparseRBM(n, [(i, i + 1) for i in range(n - 1)], scale=0.3, rng=1), scale=0.1)
    state = to_matrix_product_state(ansatz)
    rows = torch.from_numpy((2 * np.random.default_rng(1).integers(0, 2, (5, n)) - 1).astype(np.int8))
    np.testing.assert_allclose(state.log_amplitudes(rows.numpy()), evaluate(ansatz, rows).numpy(), rtol=1e-12)


def test_graph_states_have_their_bonds():
    assert to_matrix_product_state(graph_state_rbm((6, [(i, i + 1) for i in range(5)]))).bonds == (2,) * 5
    ring = graph_state_rbm((6, [(i, (i + 1) % 6) for i in range(6)]))
    assert to_matrix_product_state(ring, compress=True).bonds == (2, 4, 4, 4, 2)
    assert to_matrix_product_state(maximal_entanglement_rbm(8), compress=True).bonds == (2, 4, 8, 16, 8, 4, 2)


def test_machines_that_do_not_fit_in_a_matrix_product_state():
    with pytest.raises(ValueError, match="12 see sites on both sides of the bond from site 0"):
        to_matrix_product_state(RBM(12, rng=1))
    for other in (MLP(4, widths=(3,), rng=1), np.ones(4)):
        with pytest.raises(TypeError, match="must be a restricted Boltzmann machine"):
            to_matrix_product_state(other)
    with pytest.raises(ValueError, match="finite"):
        to_matrix_product_state(SparseRBM.from_parameters(2, [(0, 1)], weights=[800.0, 800.0]))


@pytest.mark.parametrize("zeros", range(15))
def test_functions_of_two_spins(zeros):
    rng = np.random.default_rng(zeros)
    alive = np.array([not (zeros >> k) & 1 for k in range(4)]).reshape(2, 2)
    for spread in (0, 0, 0, 4, 4, 4):
        g = (rng.normal(size=(2, 2)) + 1j * rng.normal(size=(2, 2))) * 10.0 ** rng.uniform(-spread, spread, (2, 2))
        g = g * alive
        factor = pair_factor(g)
        found = np.exp(factor.left * SPINS[:, None] + factor.right * SPINS)
        for u, v, b in factor.units:
            found = found * 2 * np.cosh(b + u * SPINS[:, None] + v * SPINS)
        largest = np.unravel_index(np.abs(g).argmax(), g.shape)
        found *= g[largest] / found[largest]
        assert np.abs(found - g).max() < 1e-14 * np.abs(g).max()
        assert len(factor.units) <= 2


def test_a_product_takes_no_unit_and_zero_is_refused():
    assert pair_factor(np.outer([1, 2j], [3, -1])).units == ()
    with pytest.raises(ValueError, match="zero everywhere"):
        pair_factor(np.zeros((2, 2)))


def pairwise(n, rng, density=1.0):
    """A product of random functions of neighbouring spins, with zeros where density < 1."""
    spins, psi = configurations(n), np.ones(2**n, dtype=complex)
    for i in range(n - 1):
        g = rng.normal(size=(2, 2)) + 1j * rng.normal(size=(2, 2))
        g *= rng.random((2, 2)) < density
        psi *= g[(1 - spins[:, i]) // 2, (1 - spins[:, i + 1]) // 2]
    return psi


@pytest.mark.parametrize("density", [1.0, 0.85])
@pytest.mark.parametrize("n", [2, 3, 7])
def test_products_of_neighbours_come_back(n, density):
    rng, n_states = np.random.default_rng(n), 0
    for _ in range(12):
        psi = pairwise(n, rng, density)
        if not psi.any():
            continue
        n_states += 1
        ansatz = from_matrix_product_state(MatrixProductState.from_vector(psi))
        assert infidelity(amplitudes(ansatz), psi) < 1e-13
        assert ansatz.n_hidden <= 2 * n
    assert n_states >= 3


NAMED = {
    "cluster": lambda: amplitudes(graph_state_rbm((7, [(i, i + 1) for i in range(6)]))),
    "ghz": lambda: amplitudes(ghz_rbm(6, phase=0.4)),
    "all down": lambda: np.eye(32)[31],
    "product": lambda: np.kron([1, 2j], np.kron([0.1, -1], [3, 1])),
    "one site": lambda: np.array([0.6, -0.8j]),
    "one site down": lambda: np.array([0.0, 1.0]),
    "Ising weights": lambda: np.exp(
        0.35 * (configurations(8)[:, :-1] * configurations(8)[:, 1:]).sum(1) + 0.1 * configurations(8).sum(1)
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_named_states_come_back(name):
    psi = NAMED[name]()
    ansatz = from_matrix_product_state(MatrixProductState.from_vector(psi))
    assert infidelity(amplitudes(ansatz), psi) < 1e-13


def test_from_machine_to_state_and_back():
    ansatz = shaken(SparseRBM(9, [(i, i + 1) for i in range(8)], dtype="complex128", scale=0.6, rng=3))
    back = from_matrix_product_state(to_matrix_product_state(ansatz))
    assert infidelity(amplitudes(back), amplitudes(ansatz)) < 1e-13
    assert back.n_hidden == 8


def test_hundreds_of_sites_come_back():
    n = 200
    ansatz = shaken(SparseRBM(n, [(i, i + 1) for i in range(n - 1)], scale=0.3, rng=1), scale=0.1)
    back = from_matrix_product_state(to_matrix_product_state(ansatz))
    rows = torch.from_numpy((2 * np.random.default_rng(1).integers(0, 2, (20, n)) - 1).astype(np.int8))
    difference = evaluate(back, rows) - evaluate(ansatz, rows)
    turned = torch.exp(difference - difference[0])  # one constant factor for all
    assert (turned - 1).abs().max() < 1e-9


@pytest.mark.parametrize("name", ["w", "random", "transverse", "three spins"])
def test_other_states_are_refused(name):
    if name == "w":
        psi = amplitudes(dicke_ansatz(5, 1))
    elif name == "random":
        psi = np.random.default_rng(1).normal(size=64)
    elif name == "transverse":
        psi = np.linalg.eigh(TransverseIsing(chain(6)).to_sparse().toarray())[1][:, 0]
    else:
        psi = amplitudes(SparseRBM(5, [(0, 1, 2), (2, 3, 4)], scale=1.0, rng=1))
    with pytest.raises(ValueError, match="both sides stay entangled"):
        from_matrix_product_state(MatrixProductState.from_vector(psi))


def test_bad_input_of_the_way_back():
    with pytest.raises(TypeError, match="MatrixProductState"):
        from_matrix_product_state([np.ones((1, 2, 1))])
    with pytest.raises(ValueError, match="tolerance"):
        from_matrix_product_state(MatrixProductState([np.ones((1, 2, 1))]), tolerance=1.0)


def test_table_counts_what_the_states_really_have():
    pairs = np.array([1, 2, 3, 5])
    table = parameters_for_entropy(pairs * np.log(2))
    for k, column in zip(pairs, table.transpose("entropy").to_dataframe().to_dict("records"), strict=True):
        ansatz = maximal_entanglement_rbm(int(2 * k))
        state = to_matrix_product_state(ansatz, compress=True)
        assert column["n_sites"] == 2 * k
        assert column["rbm"] == ansatz.n_parameters
        assert column["dense_rbm"] == RBM(int(2 * k), alpha=0.5, visible_bias=False).n_parameters
        assert column["bond"] == state.max_bond == 2**k
        assert column["mps"] == state.n_parameters


def test_machines_grow_linearly_and_matrix_product_states_exponentially():
    pairs = np.array([10, 20, 40, 80, 400])
    table = parameters_for_entropy(pairs * np.log(2))
    np.testing.assert_allclose(table["rbm"], 3 * pairs)
    # Two tensors of 2 D^2 / 2 at the middle bond, and a quarter of that at each next one: 8/3 D^2 in all.
    np.testing.assert_allclose(np.log(table["mps"] / (8 / 3)) / np.log(2), 2 * pairs, atol=1e-4)
    assert parameters_for_entropy([0.0])["mps"] == 4
    assert parameters_for_entropy([5.0])["bond"] == np.ceil(np.exp(5.0))


@pytest.mark.parametrize("entropies", [[-0.1], [np.nan], 1.0, [], [341.0]])
def test_bad_entropies(entropies):
    with pytest.raises(ValueError, match="from 0 to 340"):
        parameters_for_entropy(entropies)
