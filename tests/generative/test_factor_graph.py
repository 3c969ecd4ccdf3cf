"""Factor graphs against enumeration, and their images as graph states."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from qmlphys.generative._factor_networks import FactorLikelihood, FactorNetworks
from qmlphys.generative._file import ModelFileError
from qmlphys.generative.factor_graph import FactorGraphModel, from_factor_graph

Factors = tuple[list[tuple[int, ...]], list[np.ndarray], int]


def all_rows(n: int) -> np.ndarray:
    return np.array(list(itertools.product([0, 1], repeat=n)))


def enumerated(factors: Factors) -> np.ndarray:
    scopes, tables, n = factors
    weights = np.array(
        [np.prod([t[tuple(x[i] for i in s)] for s, t in zip(scopes, tables, strict=True)]) for x in all_rows(n)]
    )
    return weights / weights.sum()


@st.composite
def factor_graphs(draw: st.DrawFn) -> Factors:
    n = draw(st.integers(1, 7))
    scope = st.permutations(range(n)).flatmap(lambda sites: st.integers(1, min(4, n)).map(lambda k: tuple(sites[:k])))
    scopes = draw(st.lists(scope, min_size=1, max_size=5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return scopes, [np.exp(rng.normal(size=(2,) * len(s))) for s in scopes], n


@settings(max_examples=40, deadline=None)
@given(factor_graphs())
def test_likelihood_is_that_of_enumeration(factors: Factors) -> None:
    scopes, tables, n = factors
    model = FactorGraphModel.from_tables(scopes, tables, n_sites=n)
    np.testing.assert_allclose(np.exp(model.score_samples(all_rows(n))), enumerated(factors), rtol=1e-12)
    assert all(table.max() == 1 for table in model.tables_)


@settings(max_examples=15, deadline=None)
@given(factor_graphs(), st.sampled_from([1e3, 2.0]))
def test_the_graph_state_has_the_same_distribution(factors: Factors, max_condition: float) -> None:
    model = from_factor_graph(factors, max_condition=max_condition)
    n = factors[2]
    p = enumerated(factors)
    found = np.exp(model.score_samples(all_rows(n)))
    np.testing.assert_allclose(found, p, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found, p, rtol=1e-10)
    # The definition, without any contraction: squares of amplitudes, hidden qubits summed.
    if model.matrices_.shape[0] <= 14:
        squares = np.abs(model.to_vector()) ** 2
        p_dense = squares.reshape(-1, 2**n).sum(axis=0).reshape((2,) * n).transpose().ravel()
        np.testing.assert_allclose(p_dense, p, rtol=0, atol=1e-12)
    assert model.visible_ == tuple(range(n))
    assert model.condition_numbers_.max() <= max_condition * (1 + 1e-9)


def test_the_condition_number_is_the_strength_of_the_interaction() -> None:
    # ln f = +-c times the parity of three sites: one hidden qubit with e^|c|.
    for c in (0.7, -1.3):
        parity = 1 - 2 * (np.indices((2, 2, 2)).sum(axis=0) % 2)
        model = from_factor_graph(([(2, 0, 1)], [np.exp(c * parity)]))
        assert model.matrices_.shape[0] == 4
        np.testing.assert_allclose(model.condition_numbers_, [1, 1, 1, np.exp(abs(c))], rtol=1e-12)


def test_zeros_are_approached() -> None:
    # x1 = x0 with certainty.
    copy: tuple[Any, Any] = ([(0, 1)], [[[1, 0], [0, 1]]])
    with pytest.raises(ValueError, match=r"strictly positive, .* \(0, 1\) holds a zero"):
        from_factor_graph(copy)
    conditions = []
    for floor in (1e-2, 1e-4, 1e-6):
        model = from_factor_graph(copy, zero_floor=floor)
        q = np.exp(model.score_samples(all_rows(2)))
        np.testing.assert_allclose(q, np.array([1, floor, floor, 1]) / (2 + 2 * floor), rtol=1e-8)
        conditions.append(model.condition_numbers_.max())
    np.testing.assert_allclose(conditions, np.array([1e-2, 1e-4, 1e-6]) ** -0.5, rtol=1e-9)


def test_strong_factors_are_shared() -> None:
    factors: Any = ([(0, 1), (0,)], [[[1, 1e-4], [1e-4, 1]], [1, 1e-3]])
    one, many = from_factor_graph(factors), from_factor_graph(factors, max_condition=3.0)
    assert one.matrices_.shape[0] == 3
    assert many.matrices_.shape[0] > 6
    assert many.condition_numbers_.max() <= 3 * (1 + 1e-12)
    np.testing.assert_allclose(many.score_samples(all_rows(2)), one.score_samples(all_rows(2)), rtol=1e-10)


def test_a_long_chain_is_its_transfer_matrix() -> None:
    n, rng = 300, np.random.default_rng(0)
    table = np.exp(rng.normal(size=(2, 2)))
    model = FactorGraphModel.from_tables([(i, i + 1) for i in range(n - 1)], [table] * (n - 1))
    log_z, vector = 0.0, np.ones(2)
    for _ in range(n - 1):
        vector = table @ vector
        log_z += np.log(vector.max())
        vector = vector / vector.max()
    log_z += np.log(vector.sum())
    rows = rng.integers(0, 2, size=(4, n))
    expected = np.log(table)[rows[:, :-1], rows[:, 1:]].sum(axis=1) - log_z
    np.testing.assert_allclose(model.score_samples(rows), expected, rtol=1e-12)
    assert from_factor_graph(model).score_samples(rows) == pytest.approx(expected, rel=1e-9)


def chi_squared_p(counts: np.ndarray, p: np.ndarray) -> float:
    counts, expected = counts[p > 0], p[p > 0] * counts.sum()
    assert expected.min() > 5
    return float(chi2.sf(((counts - expected) ** 2 / expected).sum(), len(counts) - 1))


def test_samples_follow_the_distribution() -> None:
    rng = np.random.default_rng(1)
    scopes = [(0, 3, 1), (1, 2), (4, 0)]
    tables = [np.exp(rng.normal(size=(2,) * len(s)) / 2) for s in scopes]
    model = FactorGraphModel.from_tables(scopes, tables, n_sites=5, alphabet="bits")
    numbers = 1 << np.arange(5)[::-1]
    p = np.exp(model.score_samples(all_rows(5)))
    drawn = model.sample(20_000, 0)
    assert chi_squared_p(np.bincount(drawn @ numbers, minlength=32), p) > 1e-3
    # Control: reversed sites are another distribution.
    assert chi_squared_p(np.bincount(drawn[:, ::-1] @ numbers, minlength=32), p) < 1e-6
    rows = all_rows(5)
    conditional = np.where((rows[:, 0] == 1) & (rows[:, 2] == 0), p, 0)
    painted = model.sample(20_000, 0, given=[1, np.nan, 0, np.nan, np.nan])
    assert chi_squared_p(np.bincount(painted @ numbers, minlength=32), conditional / conditional.sum()) > 1e-3
    assert model.sample(2, 0, given=[1, 0, 1, 0, 1]).tolist() == [[1, 0, 1, 0, 1]] * 2
    spins = FactorGraphModel.from_tables(scopes, tables, n_sites=5)
    np.testing.assert_array_equal(spins.sample(50, 3), 1 - 2 * model.sample(50, 3))


def test_the_gradient_is_that_of_finite_differences() -> None:
    rng = np.random.default_rng(2)
    likelihood = FactorLikelihood(FactorNetworks(((0, 2), (1,), (3, 1, 2)), 5), 0.3)
    theta = rng.normal(size=likelihood.size)
    batch = likelihood.prepare(rng.integers(0, 2, size=(7, 5)).astype(np.int8), np.full(7, 1 / 7))
    objective, nll, gradient = likelihood.gradient(theta, batch)
    assert objective == pytest.approx(nll + 0.15 * theta @ theta, rel=1e-13)
    step = 1e-5
    for k in range(likelihood.size):
        move = step * np.eye(likelihood.size)[k]
        slope = (likelihood.gradient(theta + move, batch)[0] - likelihood.gradient(theta - move, batch)[0]) / (2 * step)
        assert abs(slope - gradient[k]) < 1e-8


def test_training_matches_the_marginals_of_the_data() -> None:
    rng = np.random.default_rng(3)
    scopes = [(0, 1), (1, 2), (2, 3), (3, 0)]
    X = rng.integers(0, 2, size=(400, 4))
    X[:, 1] ^= X[:, 0] & (rng.random(400) < 0.7)
    X[:, 2] |= X[:, 1]
    model = FactorGraphModel(scopes, tolerance=1e-12).fit(X)
    p = np.exp(model.score_samples(all_rows(4)))
    for i, j in scopes:
        ours = [p[(all_rows(4)[:, [i, j]] == pair).all(axis=1)].sum() for pair in all_rows(2)]
        theirs = [(X[:, [i, j]] == pair).all(axis=1).mean() for pair in all_rows(2)]
        # The optimum of the convex likelihood is where these agree.
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    independent = FactorGraphModel([(0,), (1,), (2,), (3,)]).fit(X)
    rates = X.mean(axis=0)
    entropy = -(rates * np.log(rates) + (1 - rates) * np.log(1 - rates)).sum()
    assert independent.score(X) == pytest.approx(-entropy, abs=1e-6)
    assert model.score(X) > independent.score(X) + 0.05
    image = from_factor_graph(model)
    assert image.score(X) == pytest.approx(model.score(X), abs=1e-10)
    assert image.alphabet_ == "bits"


def test_penalty_validation_and_checkpoint(tmp_path: Any) -> None:
    X = np.repeat(np.random.default_rng(4).integers(0, 2, size=(12, 4)), 3, axis=0)
    scopes = [(0, 1, 2), (1, 2, 3)]
    loose, tight = FactorGraphModel(scopes).fit(X), FactorGraphModel(scopes, l2=1.0).fit(X)
    assert loose.score(X) > tight.score(X) + 0.1
    common: dict[str, Any] = {"validation_fraction": 0.25, "random_state": 1, "patience": 40}
    groups = np.repeat(np.arange(12), 3)
    whole = FactorGraphModel(scopes, max_steps=12, **common).fit(X, groups=groups)
    validation = whole.history_["validation_nll"].values
    assert whole.history_.attrs["best_step"] == validation.argmin()
    assert np.isfinite(validation).all()
    file = tmp_path / "run"
    FactorGraphModel(scopes, max_steps=3, checkpoint=file, **common).fit(X, groups=groups)
    resumed = FactorGraphModel(scopes, max_steps=12, checkpoint=file, **common).fit(X, groups=groups)
    assert all(np.array_equal(a, b) for a, b in zip(resumed.tables_, whole.tables_, strict=True))
    assert resumed.history_.identical(whole.history_)


def test_estimator_manners_and_files() -> None:
    X = np.random.default_rng(4).integers(0, 2, size=(12, 4))
    model = FactorGraphModel([(0, 1), (3,)], n_sites=4, max_steps=5)
    assert clone(model).get_params() == model.get_params()
    for call in (lambda: model.sample(1), lambda: model.score(X), lambda: from_factor_graph(model)):
        with pytest.raises(NotFittedError):
            call()
    again = FactorGraphModel._from_file(*model.fit(X)._to_file())
    np.testing.assert_array_equal(again.score_samples(X), model.score_samples(X))
    assert again.history_.identical(model.history_)
    assert again.scopes_ == ((0, 1), (3,))
    assert again.alphabet_ == "bits"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda h, a: a.pop("table_0"), "must hold one table a scope"),
        (lambda h, a: a.update(table_0=np.ones((2, 2, 2))), "shape"),
        (lambda h, a: a.update(table_0=np.zeros((2, 2))), "positive"),
        (lambda h, a: a.update(history_train_nll=np.ones(99)), "equal length"),
        (lambda h, a: h["parameters"].update(scopes=[[0, 0]]), "different sites"),
        (lambda h, a: h["parameters"].update(scopes="x"), "must be a sequence"),
        (lambda h, a: h["parameters"].update(l2="x"), "l2"),
        (lambda h, a: h["parameters"].update(extra=1), "must hold the settings"),
        (lambda h, a: h.pop("alphabet"), "alphabet"),
    ],
)
def test_damaged_files_are_refused(change: Any, match: str) -> None:
    model = FactorGraphModel([(0, 1), (2,)], max_steps=3).fit(np.eye(3, dtype=int))
    header, arrays = model._to_file()
    change(header, arrays)
    with pytest.raises(ModelFileError, match=match):
        FactorGraphModel._from_file(header, arrays)


@pytest.mark.parametrize(
    ("scopes", "options", "error", "match"),
    [
        ([], {}, ValueError, "at least one scope"),
        ([()], {}, ValueError, "1 to 20 sites"),
        ([tuple(range(21))], {}, ValueError, "1 to 20 sites"),
        ([(0, 0)], {}, ValueError, "different sites"),
        ([(0, -1)], {}, ValueError, "different sites from 0 on"),
        ([(0, 0.5)], {}, TypeError, "sequence of sequences of sites"),
        (3, {}, TypeError, "sequence of sequences of sites"),
        ([(0, 4)], {"n_sites": 4}, ValueError, "beyond site 4"),
        ([(0, 1)], {"n_sites": "x"}, TypeError, "n_sites"),
        ([(0, 1)], {"l2": -1.0}, ValueError, "l2"),
        ([(0, 1)], {"max_steps": 0}, ValueError, "max_steps"),
        (list(itertools.combinations(range(50), 2)), {}, ValueError, "Argument `scopes` must be of small treewidth"),
    ],
)
def test_models_that_are_refused(scopes: Any, options: Any, error: type[Exception], match: str) -> None:
    n = 50 if isinstance(scopes, list) and len(scopes) > 9 else 2
    with pytest.raises(error, match=match):
        FactorGraphModel(scopes, **options).fit(np.zeros((2, n), dtype=int))


@pytest.mark.parametrize(
    ("tables", "match"),
    [
        ([], "must hold one table a scope"),
        ([np.ones((2, 2, 2))], r"shape \(2, 2\)"),
        ([[["a", "b"], ["c", "d"]]], "must hold numbers"),
        ([[[1, -1], [1, 1]]], "must be positive and finite"),
        ([[[1, np.inf], [1, 1]]], "must be positive and finite"),
        ([[[0, 0], [0, 0]]], "must be positive"),
        ([[[1, 0], [1, 1]]], "holds a zero"),
    ],
)
def test_tables_that_are_refused(tables: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        FactorGraphModel.from_tables([(0, 1)], tables)


def test_conversions_that_are_refused() -> None:
    model = FactorGraphModel.from_tables([(0, 1)], [np.ones((2, 2))])
    for wrong in (7, [model], "factors", (1, 2, 3, 4)):
        with pytest.raises(TypeError, match=r"Argument `factors`|Argument `scopes`"):
            from_factor_graph(wrong)
    with pytest.raises(ValueError, match="max_condition"):
        from_factor_graph(model, max_condition=1.0)
    with pytest.raises(ValueError, match="zero_floor"):
        from_factor_graph(model, zero_floor=0.0)
    with pytest.raises(ValueError, match="at most 10 sites, but one has 11"):
        from_factor_graph(([tuple(range(11))], [np.ones((2,) * 11)]))
    with pytest.raises(ValueError, match="it holds 3"):
        model.score_samples([[0, 3]])
    with pytest.raises(ValueError, match="n_samples"):
        model.sample(0)
    with pytest.raises(ValueError, match="one entry a site"):
        model.sample(1, given=[1.0])
    with pytest.raises(ValueError, match="Argument `alphabet`"):
        FactorGraphModel.from_tables([(0,)], [[1, 1]], alphabet="x")  # type: ignore[arg-type]
