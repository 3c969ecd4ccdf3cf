"""Stabiliser entropies against dense states."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmlphys import lattices
from qmlphys.entanglement import StabilizerState, entropy
from qmlphys.entanglement._gf2 import pivot_columns
from qmlphys.hamiltonians import PauliSum

LN2 = math.log(2)


def clifford_strings(n, rng):
    """Z on every site, taken through random H, S and CZ, as bits."""
    x, z = np.zeros((n, n), dtype=bool), np.eye(n, dtype=bool)
    for _ in range(6 * n):
        a, b = rng.permutation(n)[:2]
        kind = rng.integers(3)
        if kind == 0:
            x[:, a], z[:, a] = z[:, a].copy(), x[:, a].copy()
        elif kind == 1:
            z[:, a] ^= x[:, a]
        else:
            z[:, a] ^= x[:, b]
            z[:, b] ^= x[:, a]
    return ["".join("IXZY"[int(p) + 2 * int(q)] for p, q in zip(*row, strict=True)) for row in zip(x, z, strict=True)]


def dense_state(strings):
    """Project a random vector on +1 of every string."""
    n = len(strings)
    vector = np.random.default_rng(0).standard_normal(2**n) + 0j
    for string in strings:
        vector = (vector + PauliSum([(string, 1.0)]).to_sparse() @ vector) / 2
    return vector


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 6), st.integers(0, 10_000), st.data())
def test_random_stabilizer_states_agree_with_dense_ones(n, seed, data):
    strings = clifford_strings(n, np.random.default_rng(seed))
    state = StabilizerState(strings)
    assert state.generators == strings
    sites = data.draw(st.lists(st.integers(0, n - 1), unique=True))
    expected = entropy(dense_state(strings), sites)
    assert state.entropy(sites) == pytest.approx(expected, abs=1e-10)
    assert entropy(state, sites, order=data.draw(st.sampled_from([0, 1, 2]))) == state.entropy(sites)


def test_graph_states_agree_with_dense_ones():
    rng = np.random.default_rng(1)
    for _ in range(10):
        edges = [(a, b) for a in range(7) for b in range(a) if rng.random() < 0.4]
        vector = np.ones(2**7)
        for a, b in edges:
            both = (np.arange(2**7) >> a) & (np.arange(2**7) >> b) & 1
            vector *= 1 - 2 * both
        graph = StabilizerState.from_graph(7, edges)
        again = StabilizerState(graph.generators)
        for sites in ([0], [1, 4], [0, 2, 6]):
            assert graph.entropy(sites) == pytest.approx(entropy(vector, sites), abs=1e-11)
            assert again.entropy(sites) == graph.entropy(sites)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(1, 140), st.integers(0, 1000))
def test_pivots_count_the_rank_of_the_first_columns(n_rows, n_columns, seed):
    bits = np.random.default_rng(seed).random((n_rows, n_columns)) < 0.3
    pivots = pivot_columns(bits)

    def rank(matrix):  # plain elimination on whole numbers
        rows, count = [int("".join(map(str, row.astype(int))), 2) for row in matrix], 0
        while rows:
            pivot = rows.pop()
            if pivot:
                count += 1
                low = pivot & -pivot
                rows = [row ^ pivot if row & low else row for row in rows]
        return count

    for first in {1, n_columns // 2, n_columns}:
        if first:
            assert np.searchsorted(pivots, first) == rank(bits[:, :first])


def test_thousands_of_sites():
    n = 4096
    pairs = StabilizerState.from_graph(n, [(i, i + n // 2) for i in range(n // 2)])
    assert pairs.entropy(range(1000)) == pytest.approx(1000 * LN2)
    torus = lattices.square(45)  # 2025 sites
    graph = StabilizerState.from_graph(torus.n_sites, torus.edges)
    # A strip of 20 rows has two borders of 45 independent edges.
    assert graph.entropy(range(20 * 45)) == pytest.approx(90 * LN2)


def test_sparse_and_dense_tables_of_commutation_agree():
    n = 200
    strings = ["I" * i + "XX" + "I" * (n - 2 - i) for i in range(n - 1)] + ["Z" * n]
    assert StabilizerState(strings).entropy(range(50)) == pytest.approx(LN2)  # GHZ in the X basis
    wrong = [*strings[:-1], "Z" * 100 + "Y" + "Z" * 99]
    with pytest.raises(ValueError, match="strings 99 and 199 do not"):
        StabilizerState(["I" * n if i == 7 else s for i, s in enumerate(wrong[:-1])] + ["I" * 100 + "Z" + "I" * 99])
    dense = clifford_strings(40, np.random.default_rng(5))
    assert StabilizerState(dense).n_sites == 40
    broken = [*dense[:-1], dense[-1].translate(str.maketrans("IXYZ", "ZXYI"))]
    with pytest.raises(ValueError, match="must commute"):
        StabilizerState(broken)


@pytest.mark.parametrize(
    ("strings", "error", "text"),
    [
        ("XX", TypeError, "sequence of Pauli strings"),
        ([1, 2], TypeError, "sequence of Pauli strings"),
        ([], ValueError, "must be between 1"),
        (["XX"], ValueError, "1 strings of 1 letters"),
        (["XA", "ZZ"], ValueError, "string 0 is 'XA'"),
        (["XX", "ZI"], ValueError, "strings 0 and 1 do not"),
        (["ZZ", "ZZ"], ValueError, "only 1 of the 2"),
        (["II", "ZZ"], ValueError, "must be independent"),
    ],
)
def test_bad_generators(strings, error, text):
    with pytest.raises(error, match=text):
        StabilizerState(strings)


@pytest.mark.parametrize("edges", [[(0, 0)], [(0, 1), (1, 0)], [(0, 3)]])
def test_bad_edges(edges):
    with pytest.raises(ValueError, match="`edges` must"):
        StabilizerState.from_graph(3, edges)
