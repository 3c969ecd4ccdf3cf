"""The graph-state model against dense algebra, transfer matrices, finite differences and enumeration."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from qmlphys.generative import _networks
from qmlphys.generative.graph_model import GraphGenerativeModel
from qmlphys.lattices import chain, square
from qmlphys.mps import MatrixProductState

PATH = (4, [(0, 1), (1, 2), (2, 3)])


def random_matrices(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(n, 2, 2)) + 1j * rng.normal(size=(n, 2, 2))


def ring(n: int) -> tuple[int, list[tuple[int, int]]]:
    return n, [(i, (i + 1) % n) for i in range(n)]


def ladder(length: int) -> tuple[int, list[tuple[int, int]]]:
    along = [(3 * k + r, 3 * k + 3 + r) for k in range(length - 1) for r in range(3)]
    return 3 * length, along + [(3 * k + r, 3 * k + r + 1) for k in range(length) for r in range(2)]


def dense_state(graph: tuple[int, list[tuple[int, int]]], matrices: np.ndarray) -> np.ndarray:
    """|Q> by Kronecker products, from the definition."""
    n, edges = graph
    state = np.array([(-1.0) ** sum((x >> i) & (x >> j) & 1 for i, j in edges) for x in range(2**n)])
    operator = np.ones((1, 1))
    for matrix in matrices:
        operator = np.kron(matrix, operator)  # later qubits have more weight
    state = operator @ state
    return state / np.linalg.norm(state)


def all_rows(n: int) -> np.ndarray:
    return np.array(list(itertools.product([0, 1], repeat=n)))


def marginals(state: np.ndarray, visible: tuple[int, ...]) -> np.ndarray:
    """Probabilities of `all_rows` on the visible qubits."""
    n = len(state).bit_length() - 1
    p = (np.abs(state) ** 2).reshape((2,) * n)  # axis k is qubit n - 1 - k
    kept = [n - 1 - qubit for qubit in visible]
    p = np.moveaxis(p, kept, range(len(kept)))
    return p.reshape(2 ** len(kept), -1).sum(axis=1)


def chi_squared_p(counts: np.ndarray, probabilities: np.ndarray) -> float:
    expected = probabilities * counts.sum()
    order = np.argsort(expected)
    # Patterns that are expected less than ten times are counted together.
    rare = order[np.cumsum(expected[order]) < 10]
    keep = np.setdiff1d(order, rare)
    counts = np.append(counts[keep], counts[rare].sum())
    expected = np.append(expected[keep], expected[rare].sum())
    counts, expected = counts[expected > 0], expected[expected > 0]
    return float(chi2.sf(((counts - expected) ** 2 / expected).sum(), len(counts) - 1))


def count(rows: np.ndarray) -> np.ndarray:
    n = rows.shape[1]
    return np.bincount(rows @ (1 << np.arange(n)[::-1]), minlength=2**n)


@st.composite
def cases(draw: st.DrawFn, most: int = 6) -> tuple[tuple[int, list[tuple[int, int]]], np.ndarray, tuple[int, ...]]:
    n = draw(st.integers(1, most))
    pairs = list(itertools.combinations(range(n), 2))
    edges = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    visible = draw(st.permutations(range(n)))[: draw(st.integers(1, n))]
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return (n, edges), random_matrices(n, rng), tuple(visible)


@settings(max_examples=40, deadline=None)
@given(cases())
def test_likelihood_is_that_of_dense_algebra(case: Any) -> None:
    graph, matrices, visible = case
    model = GraphGenerativeModel.from_matrices(graph, matrices, visible=visible)
    state = dense_state(graph, matrices)
    # Matrices are scaled by positive numbers, so that not even the phase changes.
    np.testing.assert_allclose(model.to_vector(), state, rtol=0, atol=1e-12)
    q = np.exp(model.score_samples(all_rows(len(visible))))
    np.testing.assert_allclose(q, marginals(state, visible), rtol=1e-9, atol=1e-14)
    assert abs(q.sum() - 1) < 1e-12


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases(5), st.integers(0, 1000))
def test_both_gradients_agree_with_finite_differences(case: Any, seed: int) -> None:
    graph, matrices, visible = case
    rng = np.random.default_rng(seed)
    model = GraphGenerativeModel.from_matrices(graph, matrices, visible=visible)
    rows = rng.integers(0, 2, size=(5, len(visible)))
    by_autograd = model.gradient(rows)
    by_expectation = model.gradient(rows, form="expectation")
    size = np.abs(by_autograd).max()
    np.testing.assert_allclose(by_expectation, by_autograd, rtol=0, atol=1e-10 * max(1, size))
    step = 1e-5
    for _ in range(6):
        entry = tuple(int(rng.integers(k)) for k in (graph[0], 2, 2))
        for direction in (1.0, 1j):
            scores = []
            for sign in (1, -1):
                moved = model.matrices_.copy()
                moved[entry] += sign * step * direction
                scores.append(GraphGenerativeModel.from_matrices(graph, moved, visible=visible).score(rows))
            slope = (scores[0] - scores[1]) / (2 * step)
            expected = by_autograd[entry].real if direction == 1.0 else by_autograd[entry].imag
            assert abs(slope - expected) < 1e-6 * max(1, size**3)


@pytest.mark.parametrize(
    ("graph", "visible"),
    [
        ((9, [(0, k) for k in range(1, 5)] + [(4, k) for k in range(5, 9)]), (8, 1, 4)),
        (ring(10), (0, 1, 5, 7, 9)),
        (ladder(4), (0, 2, 3, 6, 8, 11)),
        (ladder(4), None),
        (chain(5), (3, 0)),
        (square(3), None),
    ],
    ids=["tree", "ring", "ladder", "ladder without hidden", "lattice ring", "torus"],
)
def test_graphs_of_all_kinds(graph: Any, visible: Any) -> None:
    n = graph[0] if isinstance(graph, tuple) else graph.n_sites
    model = GraphGenerativeModel.from_matrices(graph, random_matrices(n, np.random.default_rng(7)), visible=visible)
    edges = graph[1] if isinstance(graph, tuple) else graph.edges.tolist()
    rows = all_rows(len(model.visible_))[:: max(1, 2 ** len(model.visible_) // 64)]
    state = model.to_vector()
    np.testing.assert_allclose(state[:8], dense_amplitudes((n, edges), model.matrices_, 8), rtol=1e-10)
    p = marginals(state, model.visible_)[:: max(1, 2 ** len(model.visible_) // 64)]
    np.testing.assert_allclose(np.exp(model.score_samples(rows)), p, rtol=1e-9)
    assert p.max() / p.min() > 2  # far from uniform
    gap = model.gradient(rows) - model.gradient(rows, form="expectation")
    assert np.abs(gap).max() < 1e-10


def dense_amplitudes(graph: Any, matrices: np.ndarray, n_first: int) -> np.ndarray:
    """The first amplitudes of |Q>, normalised, by summing over all graph indices."""
    n, edges = graph
    state = np.array([(-1.0) ** sum((x >> i) & (x >> j) & 1 for i, j in edges) for x in range(2**n)], dtype=complex)
    tensor = state.reshape((2,) * n)
    for qubit, matrix in enumerate(matrices):
        axis = n - 1 - qubit
        tensor = np.moveaxis(np.tensordot(matrix, tensor, axes=(1, axis)), 0, axis)
    return tensor.ravel()[:n_first] / np.linalg.norm(tensor)


def test_a_chain_of_300_qubits_is_its_matrix_product_state() -> None:
    n, rng = 300, np.random.default_rng(3)
    matrices = random_matrices(n, rng)
    model = GraphGenerativeModel.from_matrices((n, [(i, i + 1) for i in range(n - 1)]), matrices)
    # A_i[g, x, g'] = M_i[x, g] (-1)^(g g'): the bond carries the next qubit's graph index.
    tensors = [np.einsum("xg,gh->gxh", matrix, [[1, 1], [1, -1]]) for matrix in matrices]
    tensors[0] = tensors[0].sum(axis=0, keepdims=True)
    tensors[-1] = matrices[-1].T[:, :, None]
    state = MatrixProductState(tuple(tensors))
    spins = np.concatenate([state.sample(20, 1), rng.choice([-1, 1], size=(20, n))])
    expected = 2 * (state.log_amplitudes(spins).real - state.log_norm)
    found = model.score_samples(spins)
    assert np.isfinite(found).all()
    assert found.min() < -250  # the product of the unscaled weights and of the norm would leave the range of floats
    np.testing.assert_allclose(found, expected, rtol=1e-11)
    drawn = model.sample(500, 2)
    # Both estimate the same mean of log q, minus the entropy.
    ours, theirs = model.score_samples(drawn), model.score_samples(state.sample(500, 4))
    error = np.sqrt((ours.var() + theirs.var()) / 500)
    assert abs(ours.mean() - theirs.mean()) < 5 * error


def test_hidden_qubits_of_a_long_ring_by_transfer_matrices() -> None:
    n, rng = 200, np.random.default_rng(5)
    matrices = random_matrices(n, rng)
    visible = tuple(range(0, n, 2))
    model = GraphGenerativeModel.from_matrices(ring(n), matrices, visible=visible)
    rows = rng.integers(0, 2, size=(3, len(visible)))
    sign = np.kron([[1, 1], [1, -1]], [[1, 1], [1, -1]])  # both layers

    def log_trace(bits: dict[int, int]) -> float:
        product, log = np.eye(4, dtype=complex), 0.0
        for qubit, matrix in enumerate(matrices):
            outcomes = [bits[qubit]] if qubit in bits else [0, 1]
            product = product * sum(np.kron(matrix[y], matrix[y].conj()) for y in outcomes) @ sign
            log += np.log(np.abs(product).max())
            product = product / np.abs(product).max()
        return log + np.log(np.trace(product).real)

    expected = [log_trace(dict(zip(visible, row, strict=True))) - log_trace({}) for row in rows.tolist()]
    np.testing.assert_allclose(model.score_samples(rows), expected, rtol=1e-10)


def test_nearly_singular_matrices_cost_no_digits() -> None:
    rng, n, visible = np.random.default_rng(0), 8, (0, 2, 3, 5, 6)
    turns = np.linalg.qr(random_matrices(2 * n, rng))[0]
    model = GraphGenerativeModel.from_matrices(ring(n), turns[:n] @ np.diag([1, 1e-6]) @ turns[n:], visible=visible)
    np.testing.assert_allclose(model.condition_numbers_, 1e6, rtol=1e-8)
    # Dense algebra in long double.
    numbers = range(2**n)
    signs = [(-1) ** sum((x >> i) & (x >> j) & 1 for i, j in ring(n)[1]) for x in numbers]
    state = np.array(signs, dtype=np.clongdouble)
    for qubit, matrix in enumerate(model.matrices_.astype(np.clongdouble)):
        state = np.einsum("ab,xby->xay", matrix, state.reshape(-1, 2, 1 << qubit)).reshape(-1)
    p = marginals(state, visible)
    np.testing.assert_allclose(model.score_samples(all_rows(5)), np.log(p / p.sum()).astype(float), rtol=0, atol=1e-12)


def test_samples_follow_the_likelihood() -> None:
    graph, visible = ladder(3), (4, 0, 8, 2)
    rng = np.random.default_rng(11)
    model = GraphGenerativeModel.from_matrices(graph, random_matrices(9, rng), visible=visible, alphabet="bits")
    q = np.exp(model.score_samples(all_rows(4)))
    drawn = model.sample(20_000, 1)
    assert drawn.dtype == np.int8
    assert chi_squared_p(count(drawn), q) > 1e-3
    # Control: the same test must notice that one matrix was another one.
    other = model.matrices_.copy()
    other[4] = other[4] @ np.array([[1, 0.3], [0, 1]])
    wrong = GraphGenerativeModel.from_matrices(graph, other, visible=visible, alphabet="bits")
    assert chi_squared_p(count(wrong.sample(20_000, 1)), q) < 1e-6


def test_in_painting_is_the_conditional_distribution() -> None:
    rng = np.random.default_rng(12)
    model = GraphGenerativeModel.from_matrices(ring(6), random_matrices(6, rng), visible=(5, 0, 2, 3), alphabet="bits")
    rows = all_rows(4)
    q = np.where((rows[:, 1] == 1) & (rows[:, 3] == 0), np.exp(model.score_samples(rows)), 0)
    drawn = model.sample(20_000, 3, given=[np.nan, 1, np.nan, 0])
    assert set(drawn[:, 1]) == {1}
    assert set(drawn[:, 3]) == {0}
    assert chi_squared_p(count(drawn), q / q.sum()) > 1e-3
    assert chi_squared_p(count(model.sample(20_000, 3)[:, [0, 2]]), count_pairs(q / q.sum(), rows)) < 1e-6
    assert (model.sample(3, given=[0, 1, 1, 0]) == [0, 1, 1, 0]).all()


def count_pairs(q: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.bincount(2 * rows[:, 0] + rows[:, 2], q)


def test_impossible_patterns_are_refused() -> None:
    # (1 x H) CZ |++> is a Bell pair: the two bits are equal.
    bell = GraphGenerativeModel.from_matrices((2, [(0, 1)]), [np.eye(2), [[1, 1], [1, -1]]], alphabet="bits")
    assert set(map(tuple, bell.sample(50, 0).tolist())) == {(0, 0), (1, 1)}
    assert bell.sample(2, 0, given=[1, np.nan]).tolist() == [[1, 1], [1, 1]]
    with pytest.raises(ValueError, match="its probability is zero"):
        bell.sample(1, 0, given=[1, 0])
    with pytest.raises(ValueError, match="one has probability zero"):
        bell.gradient([[0, 1]])


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    model = GraphGenerativeModel.from_matrices(ladder(3), random_matrices(9, rng), visible=range(0, 9, 2))
    rows = rng.integers(0, 2, size=(60, 5))
    whole = (
        model.score_samples(rows),
        model.gradient(rows),
        model.gradient(rows, form="expectation"),
        model.sample(99, 1),
    )
    monkeypatch.setattr(_networks, "_CHUNK", 8 * model._networks.rows.network.tree.total)
    assert model._networks.rows.network.rows_at_once(kept=True) == 8
    cut = model.score_samples(rows), model.gradient(rows), model.gradient(rows, form="expectation"), model.sample(99, 1)
    for before, after in zip(whole, cut, strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    ("graph", "error", "match"),
    [
        (7, TypeError, "must be a Lattice or a pair"),
        ("ring", TypeError, "must be a Lattice or a pair"),
        ((2, 3), TypeError, "must hold edges as pairs"),
        (("2", []), TypeError, "must begin with the number of qubits"),
        ((0, []), ValueError, "must have 1 to 65536 qubits"),
        ((3, [(0, 3)]), ValueError, r"holds the edge \(0, 3\)"),
        ((3, [(-1, 2)]), ValueError, r"holds the edge \(-1, 2\)"),
        ((3, [(1, 1)]), ValueError, r"holds the loop \(1, 1\)"),
        ((3, [(0, 1), (1, 0)]), ValueError, r"\(0, 1\) stands twice"),
        ((3, [(0, 1, 2)]), TypeError, "as pairs of qubits"),
        (
            (40, list(itertools.combinations(range(40), 2))),
            ValueError,
            r"must be of small treewidth, .* more than 2\^26",
        ),
    ],
)
def test_graphs_that_are_refused(graph: Any, error: type[Exception], match: str) -> None:
    n = graph[0] if isinstance(graph, tuple) and isinstance(graph[0], int) else 4
    with pytest.raises(error, match=match):
        GraphGenerativeModel(graph).fit(np.zeros((2, max(n, 1)), dtype=int))
    with pytest.raises(error, match=match):
        GraphGenerativeModel.from_matrices(graph, [np.eye(2)] * n)


@pytest.mark.parametrize(
    ("visible", "error", "match"),
    [
        ([], ValueError, "at least one qubit"),
        ([0, 4], ValueError, "it holds 4"),
        ([1, 1], ValueError, "1 stands twice"),
        (3, TypeError, "must be a sequence of qubits"),
        ([0.5], TypeError, "must be a sequence of qubits"),
    ],
)
def test_visible_qubits_that_are_refused(visible: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        GraphGenerativeModel(PATH, visible=visible).fit([[0, 1]])


@pytest.mark.parametrize(
    ("matrices", "match"),
    [
        (np.ones((4, 2)), r"of shape \(4, 2, 2\)"),
        (np.ones((3, 2, 2)), r"of shape \(4, 2, 2\)"),
        (np.full((4, 2, 2), np.nan), "must be finite"),
        ([np.eye(2), np.ones((2, 2)), np.eye(2), np.eye(2)], "that of qubit 1 is singular"),
        ([np.eye(2), np.eye(2), np.zeros((2, 2)), np.eye(2)], "that of qubit 2 is singular"),
        ([np.eye(2), np.eye(2), np.eye(2), np.diag([1, 1e-13])], r"condition number is 1e\+13"),
    ],
)
def test_matrices_that_are_refused(matrices: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        GraphGenerativeModel.from_matrices(PATH, matrices)


def test_calls_that_are_refused() -> None:
    model = GraphGenerativeModel.from_matrices(PATH, [np.eye(2)] * 4)
    with pytest.raises(ValueError, match="it holds 2"):
        GraphGenerativeModel(PATH).fit([[0, 1, 2, 0]])
    with pytest.raises(ValueError, match="must have 4 sites a row, but it has 3"):
        GraphGenerativeModel(PATH).fit([[0, 1, 0]])
    with pytest.raises(ValueError, match="must have one entry a row"):
        GraphGenerativeModel(PATH, validation_fraction=0.5).fit(np.zeros((4, 4)), groups=[0, 1])
    with pytest.raises(ValueError, match="must have 4 sites"):
        model.score_samples([[0, 1]])
    with pytest.raises(ValueError, match="n_samples"):
        model.sample(0)
    with pytest.raises(TypeError, match="Argument `rng`"):
        model.sample(1, "x")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one entry a site"):
        model.sample(1, given=[1])
    with pytest.raises(ValueError, match="must hold -1, 1 or NaN"):
        model.sample(1, given=[0, np.nan, np.nan, np.nan])
    with pytest.raises(ValueError, match="Argument `form`"):
        model.gradient([[0, 1, 0, 1]], form="numeric")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Argument `alphabet`"):
        GraphGenerativeModel.from_matrices(PATH, [np.eye(2)] * 4, alphabet="real")  # type: ignore[arg-type]
    large = GraphGenerativeModel.from_matrices(ring(21), [np.eye(2)] * 21)
    with pytest.raises(ValueError, match="at most 20 qubits"):
        large.to_vector()
