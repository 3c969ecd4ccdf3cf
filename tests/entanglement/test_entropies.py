"""Entropies against dense partial traces, closed forms and free fermions."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmlphys import entanglement, lattices
from qmlphys.entanglement import (
    StabilizerState,
    block_entropies,
    dicke_entropy,
    entropy,
    page_entropy,
    renyi_entropy,
    spectrum,
)
from qmlphys.entanglement import _matrix_products as chains
from qmlphys.entanglement import _vectors as vectors
from qmlphys.hamiltonians import TransverseIsing
from qmlphys.mps import MatrixProductState, dmrg

LN2 = math.log(2)
ORDERS = [0.0, 0.3, 0.999, 1.0, 1.0 + 1e-9, 1.3, 2.0, 3.5, math.inf]


def dense_spectrum(vector, sites):
    """Eigenvalues of rho_A, element by element from its definition."""
    vector = np.asarray(vector, dtype=complex) / np.linalg.norm(vector)
    n = vector.size.bit_length() - 1
    others = [i for i in range(n) if i not in sites]
    rho = np.zeros((2 ** len(sites),) * 2, dtype=complex)
    index = [[0] * 2 ** len(others) for _ in range(2 ** len(sites))]
    for a in range(2 ** len(sites)):
        for b in range(2 ** len(others)):
            index[a][b] = sum(((a >> k) & 1) << s for k, s in enumerate(sites))
            index[a][b] += sum(((b >> k) & 1) << s for k, s in enumerate(others))
    for a, c in itertools.product(range(2 ** len(sites)), repeat=2):
        rho[a, c] = sum(vector[i] * vector[j].conjugate() for i, j in zip(index[a], index[c], strict=True))
    return np.linalg.eigvalsh(rho)[::-1].clip(min=0)


def dense_renyi(values, order):
    values = values[values > 1e-13]
    if order == 1:
        return -(values * np.log(values)).sum()
    if order == math.inf:
        return -math.log(values.max())
    return math.log((values**order).sum()) / (1 - order)


def random_vector(n, seed=0, *, real=False):
    rng = np.random.default_rng(seed)
    vector = rng.standard_normal(2**n)
    return vector if real else vector + 1j * rng.standard_normal(2**n)


def random_chain(n, bond, seed=0, *, real=False):
    rng = np.random.default_rng(seed)
    tensors = []
    for left, right in itertools.pairwise([1, *[bond] * (n - 1), 1]):
        tensor = rng.standard_normal((left, 2, right))
        tensors.append(tensor if real else tensor + 1j * rng.standard_normal(tensor.shape))
    return MatrixProductState(tensors)


def ghz(n):
    vector = np.zeros(2**n)
    vector[[0, -1]] = 1.0
    return vector


def dicke(n, k):
    weights = np.array([int(i).bit_count() for i in range(2**n)])
    return (weights == k).astype(float)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 6), st.data())
def test_every_subsystem_of_random_states_agrees_with_the_dense_partial_trace(n, data):
    vector = random_vector(n, data.draw(st.integers(0, 1000)), real=data.draw(st.booleans()))
    sites = data.draw(st.lists(st.integers(0, n - 1), unique=True))
    expected = dense_spectrum(vector, sorted(sites))
    order = data.draw(st.sampled_from(ORDERS))
    # Order 1 + 1e-9 of the plain formula divides a rounding by 1e-9.
    value = dense_renyi(expected, 1.0 if abs(order - 1) < 1e-6 else order)
    tolerance = 1e-8 if abs(order - 1) < 1e-6 else 1e-11
    state = MatrixProductState.from_vector(vector)
    for given_state in (vector, 1e-200 * vector, state):
        found = spectrum(given_state, sites)
        np.testing.assert_allclose(found, expected[: len(found)], rtol=0, atol=1e-13)
        assert expected[len(found) :].sum() < 1e-13
        assert entropy(given_state, sites, order=order) == pytest.approx(value, abs=tolerance)


def test_accurate_and_fast_ways_agree_on_any_cut_and_in_any_chunks(monkeypatch):
    vector = random_vector(13, 3)
    for sites in ([0], [3, 5, 12], [0, 2, 4, 6, 8, 10], list(range(7, 13)), list(range(1, 12))):
        exact_values = vectors.vector_spectrum(vector, 13, sites, accurate=True).values
        fast = vectors.vector_spectrum(vector, 13, sites, accurate=False).values
        np.testing.assert_allclose(fast, exact_values, rtol=1e-11, atol=1e-15)
        monkeypatch.setattr(vectors, "_CHUNK", 2**6)
        for accurate in (True, False):
            chunked = vectors.vector_spectrum(vector, 13, sites, accurate=accurate).values
            np.testing.assert_allclose(chunked, exact_values, rtol=1e-11, atol=1e-15)
        monkeypatch.undo()
    assert entropy(vector, range(6)) > 3.5


def test_small_schmidt_coefficients_are_known():
    a, b = 1.0, 1e-13
    vector = np.kron([a, 0, 0, b], [1.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(spectrum(vector, [2]), [1.0, 1e-26], rtol=1e-12)
    assert entropy(vector, [2], order=0) == pytest.approx(LN2)
    assert entropy(vector, [0], order=0) == 0.0


@pytest.mark.parametrize("order", ORDERS)
def test_closed_forms(order):
    assert entropy(ghz(6), [0, 3], order=order) == pytest.approx(LN2, abs=1e-9)
    bell = np.zeros(16)
    bell[[0b0000, 0b0101, 0b1010, 0b1111]] = 1.0  # sites 0, 2 and sites 1, 3
    assert entropy(bell, [0, 1], order=order) == pytest.approx(2 * LN2, abs=1e-9)
    assert entropy(bell, [0, 2], order=order) == pytest.approx(0, abs=1e-9)
    for n, k in ((5, 1), (6, 3), (7, 2)):
        for n_a in range(n + 1):
            expected = dicke_entropy(n, k, n_a, order=order)
            assert entropy(dicke(n, k), range(n_a), order=order) == pytest.approx(expected, abs=1e-9)
    w = entropy(dicke(6, 1), [5], order=1)
    assert w == pytest.approx(-(5 / 6) * math.log(5 / 6) - math.log(1 / 6) / 6, abs=1e-12)


def test_products_have_none():
    vector = np.kron(np.kron([1, 2j], [0.6, -0.8]), [1, 1e-8])
    for order in ORDERS:
        for sites in ([], [0], [1], [0, 2], [0, 1, 2]):
            assert 0 <= entropy(vector, sites, order=order) < 1e-13


def test_mean_of_random_states_is_pages():
    n, n_a, n_states = 8, 3, 400
    values = np.array([entropy(random_vector(n, seed), range(n_a)) for seed in range(n_states)])
    error = values.std(ddof=1) / math.sqrt(n_states)
    assert error < 2e-3
    assert abs(values.mean() - page_entropy(n_a, n)) < 4 * error
    # Real states are another ensemble, and full entropy another number: both are seen.
    assert n_a * LN2 - values.mean() > 20 * error


@pytest.mark.parametrize("real", [False, True])
def test_matrix_product_states_agree_with_their_vectors(real):
    state = random_chain(9, 3, real=real)
    vector = state.to_vector()
    for start in range(9):
        for stop in range(start, 10):
            sites = list(range(start, stop))
            found, expected = spectrum(state, sites), spectrum(vector, sites)
            assert len(found) <= 9
            np.testing.assert_allclose(found, expected[: len(found)], atol=1e-13)
    for sites in ([0, 2, 4, 6, 8], [1, 2, 5, 8], [8, 0]):
        for order in (0.5, 1, 2):
            assert entropy(state, sites, order=order) == pytest.approx(entropy(vector, sites, order=order), abs=1e-10)


def test_large_bonds_take_the_density_matrix(monkeypatch):
    state = random_chain(12, 4, seed=5)
    sites = list(range(2, 9))
    expected = spectrum(state, sites)
    blocks = block_entropies(state, lengths=[3, 7])
    monkeypatch.setattr(chains, "_MAX_NUMBERS", 200)
    np.testing.assert_allclose(spectrum(state, sites), expected, atol=1e-13)
    np.testing.assert_allclose(block_entropies(state, lengths=[3, 7]), blocks, atol=1e-12)
    with pytest.raises(ValueError, match=r"must cut fewer or smaller bonds.* 11 borders"):
        entropy(state, [0, 2, 4, 6, 8, 10])
    monkeypatch.setattr(chains, "_MAX_DENSITY", 8)
    with pytest.raises(ValueError, match="product is at most 8"):
        entropy(state, sites)
    monkeypatch.setattr(chains, "_MAX_NUMBERS", 20)
    with pytest.raises(ValueError, match="1 border takes"):
        block_entropies(state, lengths=[1])


def aklt(n_spins):
    """Spin-1 chain as pairs of qubits; the first bond index is fixed to one end state."""
    plus, zero, minus = np.array([[0, 1], [0, 0]]), np.diag([1, -1]) / math.sqrt(2), np.array([[0, 0], [-1, 0]])
    pair = np.zeros((2, 2, 2, 2))  # left, qubit, qubit, right
    pair[:, 0, 0, :] = plus
    pair[:, 0, 1, :] = pair[:, 1, 0, :] = zero / math.sqrt(2)
    pair[:, 1, 1, :] = minus
    u, s, v = np.linalg.svd(pair.reshape(4, 4))
    kept = int((s > 1e-12).sum())
    one, two = u[:, :kept].reshape(2, 2, kept), (s[:kept, None] * v[:kept]).reshape(kept, 2, 2)
    tensors = [one, two] * n_spins
    tensors[0] = tensors[0][:1]
    tensors[-1] = tensors[-1][:, :, :1]
    return MatrixProductState(tensors)


def test_aklt_cuts_hold_one_bell_pair():
    # Affleck, Kennedy, Lieb, Tasaki (1987): a cut bond is one singlet, up to 3^-distance from the ends.
    long = aklt(60)
    assert entropy(long, range(60)) == pytest.approx(LN2, abs=1e-12)
    inner = entropy(long, range(40, 80))
    assert inner == pytest.approx(2 * LN2, abs=1e-8)
    short = aklt(4)
    assert short.max_bond <= 4
    for sites in ([0, 1], [0, 1, 2, 3], [2, 3, 4, 5]):
        assert entropy(short, sites) == pytest.approx(entropy(short.to_vector(), sites), abs=1e-12)
    assert LN2 - entropy(short, [0, 1, 2, 3]) > 1e-5


def test_cluster_chain_as_tensors_as_vector_and_by_stabilizers():
    n = 10
    # CZ between neighbours: the bond carries the spin.
    site = np.zeros((2, 2, 2))
    for a, s in itertools.product(range(2), repeat=2):
        site[a, s, s] = (-1) ** (a * s)
    chain = MatrixProductState([site[:1], *[site] * (n - 2), site.sum(2, keepdims=True)])
    graph = StabilizerState.from_graph(n, [(i, i + 1) for i in range(n - 1)])
    for first, last in ((0, 5), (2, 7), (9, 10), (3, 4)):
        expected = LN2 * ((first > 0) + (last < n)) if last - first > 1 else LN2
        for state in (chain, chain.to_vector(), graph):
            assert entropy(state, range(first, last), order=2) == pytest.approx(expected, abs=1e-12)
    np.testing.assert_allclose(spectrum(graph, [3, 6]), [0.25] * 4)


def ising_correlations(n):
    """<gamma gamma> of Majorana operators in the ground state of the critical periodic chain (even sector)."""
    momenta = math.pi * (2 * np.arange(n) + 1 - n) / n
    phase = (1 - np.exp(1j * momenta)) / np.abs(1 - np.exp(1j * momenta))
    distance = np.arange(1 - n, n)
    row = (np.exp(1j * momenta * distance[:, None]) * phase).mean(axis=1).real
    return row[np.arange(n)[:, None] - np.arange(n)[None, :] + n - 1]


def fermion_entropy(n, n_a):
    """Peschel, J. Phys. A 36, L205 (2003): two-state entropies of the singular values of the correlations."""
    nu = np.linalg.svd(ising_correlations(n)[:n_a, :n_a], compute_uv=False).clip(max=1)
    p = np.stack([(1 + nu) / 2, (1 - nu) / 2])
    return float(-(p * np.log(np.where(p > 0, p, 1))).sum())


def test_critical_ising_chain_agrees_with_free_fermions():
    from scipy.sparse.linalg import eigsh

    n = 10
    _, vector = eigsh(TransverseIsing(lattices.chain(n)).to_sparse(), k=1, which="SA", v0=np.ones(2**n))
    for n_a in (1, 3, 5):
        exact_value = fermion_entropy(n, n_a)
        assert entropy(vector[:, 0], range(2, 2 + n_a)) == pytest.approx(exact_value, abs=1e-9)
    state = dmrg(TransverseIsing(lattices.chain(n, periodic=False)), rng=1).state
    assert entropy(state, range(5)) == pytest.approx(entropy(state.to_vector(), range(5)), abs=1e-10)


def test_slope_of_critical_ising_chains_is_a_sixth():
    # S = (c / 3) ln n at a fixed share of a ring, c = 1/2: Calabrese, Cardy, J. Stat. Mech. P06002 (2004).
    sizes = [16, 32, 64, 128, 256]
    fit = entanglement.fit_growth(sizes, [fermion_entropy(n, n // 2) for n in sizes])
    assert fit.verdict == "logarithmic"
    assert fit.slope == pytest.approx(1 / 6, abs=5e-4)


@pytest.mark.parametrize("kind", ["vector", "chain", "graph"])
def test_blocks_are_the_entropies_of_their_sites(kind):
    n = 7
    state = {
        "vector": random_vector(n),
        "chain": random_chain(n, 3, 2),
        "graph": StabilizerState.from_graph(n, [(0, 3), (1, 4), (2, 6), (5, 0), (6, 1)]),
    }[kind]
    table = block_entropies(state, order=1 if kind == "graph" else 2)
    assert table.dims == ("start", "length")
    assert table.attrs["units"] == "nats"
    for start in range(n):
        for length in range(1, n):
            sites = [(start + k) % n for k in range(length)]
            assert table.sel(start=start, length=length).item() == pytest.approx(
                entropy(state, sites, order=2), abs=1e-11
            )
    open_table = block_entropies(state, lengths=[3], order=2, periodic=False)
    assert np.isnan(open_table.values[:, 0]).tolist() == [start + 3 > n for start in range(n)]


def test_of_24_sites_in_bounded_memory():
    vector = np.zeros(2**24, dtype=np.float32)
    vector[[0, -1]] = 1.0
    assert entropy(vector, range(0, 24, 6)) == pytest.approx(LN2, abs=1e-12)


@pytest.mark.slow
def test_largest_cut_of_a_random_state_of_20_sites():
    assert entropy(random_vector(20), range(10)) == pytest.approx(page_entropy(10, 20), abs=2e-3)


def test_renyi_entropies_fall_with_the_order_and_are_continuous_at_one():
    p = np.random.default_rng(0).random(20)
    values = [renyi_entropy(p, order=order) for order in ORDERS]
    assert all(later <= earlier + 1e-12 for earlier, later in itertools.pairwise(values))
    assert renyi_entropy(p, order=1 + 1e-12) == pytest.approx(renyi_entropy(p), abs=1e-11)
    assert renyi_entropy(p, order=1.5 - 1e-9) == pytest.approx(renyi_entropy(p, order=1.5), abs=1e-8)
    assert renyi_entropy([1e-320, 1.0], order=1e6) == 0.0
    assert values[0] == pytest.approx(math.log(20))


@pytest.mark.parametrize(
    ("state", "sites", "order", "error", "text"),
    [
        (np.ones(6), [0], 1, ValueError, "must be a vector of 2\\^n_sites amplitudes"),
        (np.ones((2, 2)), [0], 1, ValueError, "must be a vector"),
        (["a", "b"], [0], 1, ValueError, "must be a vector"),
        (np.zeros(4), [0], 1, ValueError, "finite and not zero"),
        (np.array([1, np.nan]), [0], 1, ValueError, "finite and not zero"),
        (np.ones(2**25, dtype=np.int8), [0], 1, ValueError, "at most 24 sites"),
        (np.ones(4), [2], 1, ValueError, "sites from 0 to 1, but it holds 2"),
        (np.ones(4), [-1], 1, ValueError, "sites from 0 to 1"),
        (np.ones(4), [1, 1], 1, ValueError, "names 1 twice"),
        (np.ones(4), 1, 1, TypeError, "must be a sequence of sites"),
        (np.ones(4), [0.5], 1, TypeError, "must be a sequence of sites"),
        (np.ones(4), [0], -1, ValueError, "`order` must be at least 0"),
        (np.ones(4), [0], math.nan, ValueError, "`order` must be at least 0"),
        (np.ones(4), [0], "x", TypeError, "`order` must be a number"),
    ],
)
def test_bad_arguments(state, sites, order, error, text):
    with pytest.raises(error, match=text):
        entropy(state, sites, order=order)


def test_bad_arguments_of_the_others():
    with pytest.raises(ValueError, match="`probabilities` must be a row"):
        renyi_entropy([-0.1, 1.1])
    with pytest.raises(ValueError, match="`lengths` must be between 1 and 2"):
        block_entropies(np.ones(8), lengths=[3])
    with pytest.raises(ValueError, match="at least 2 sites"):
        block_entropies([1.0, 0.0])
    pairs = StabilizerState.from_graph(60, [(i, i + 30) for i in range(30)])
    with pytest.raises(ValueError, match="at most 2\\^24 equal"):
        spectrum(pairs, range(30))


def test_names_are_lazy():
    assert set(entanglement.__all__) <= set(dir(entanglement))
    assert entanglement.swap.__name__ == "qmlphys.entanglement.swap"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = entanglement.nothing
