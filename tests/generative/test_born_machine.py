from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import chi2
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

from qmlphys.bits import bits_to_integers, integers_to_bits, integers_to_spins
from qmlphys.exact import enumerate_ising
from qmlphys.generative import BornMachine
from qmlphys.generative._conditional import FREE, draw, log_marginal
from qmlphys.hamiltonians import Ising
from qmlphys.lattices import square
from qmlphys.mps import MatrixProductState


def all_bits(n_sites: int) -> NDArray[np.int8]:
    return integers_to_bits(np.arange(2**n_sites), n_sites)


def bars_and_stripes(size: int) -> NDArray[np.int8]:
    lines = list(itertools.product((0, 1), repeat=size))
    return np.unique([np.repeat(k, size) for k in lines] + [np.tile(k, size) for k in lines], axis=0).astype(np.int8)


def markov_chain(n: int, n_sites: int, flip: float, rng: np.random.Generator) -> NDArray[np.int8]:
    first = rng.integers(0, 2, (n, 1))
    flips = rng.random((n, n_sites - 1)) < flip
    return (np.cumsum(np.hstack([first, flips]), axis=1) % 2).astype(np.int8)


def random_state(n_sites: int, bond: int, rng: np.random.Generator, *, real: bool = False) -> MatrixProductState:
    shapes = [(1 if i == 0 else bond, 2, 1 if i == n_sites - 1 else bond) for i in range(n_sites)]
    parts = [rng.normal(size=(*shape, 2)) @ ([1, 0] if real else [1, 1j]) for shape in shapes]
    return MatrixProductState(tuple(parts))


def probabilities(state: MatrixProductState) -> NDArray[np.float64]:
    p = np.abs(state.to_vector()) ** 2
    return p / p.sum()


def p_value(rows: NDArray[np.int8], p: NDArray[np.float64]) -> float:
    """Chi-squared test of rows of bits; rare outcomes are put together."""
    counts = np.bincount(bits_to_integers(rows), minlength=len(p)).astype(float)
    expected = p * len(rows)
    assert counts[p < 1e-14].sum() == 0
    rare = expected < 10
    counts = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    if expected[-1] < 1:
        counts, expected = counts[:-1], expected[:-1]
    return float(chi2.sf(((counts - expected) ** 2 / expected).sum(), len(counts) - 1))


# Likelihoods and draws of given states ----------------------------------------------------------------------------


@given(st.integers(1, 7), st.integers(1, 4), st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_likelihoods_are_those_of_dense_algebra(n_sites: int, bond: int, seed: int) -> None:
    state = random_state(n_sites, bond, np.random.default_rng(seed))
    model = BornMachine.from_state(state)
    bits = all_bits(n_sites)
    p = probabilities(state)
    for rows in (bits, 1 - 2 * bits.astype(float)):
        logs = (
            model.score_samples(rows)
            if rows is not bits
            else BornMachine.from_state(state, alphabet="bits").score_samples(rows)
        )
        np.testing.assert_allclose(np.exp(logs), p, rtol=1e-9, atol=1e-15)
    assert model.score(1 - 2 * bits) == pytest.approx(np.log(p).mean(), rel=1e-9)


@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_marginals_of_any_known_sites_are_those_of_dense_algebra(n_sites: int, bond: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    state = random_state(n_sites, bond, rng).normalized()
    known = rng.integers(-1, 2, n_sites).astype(np.int8)
    fits = ((all_bits(n_sites) == known) | (known == FREE)).all(axis=1)
    assert log_marginal(state.tensors, known) == pytest.approx(np.log(probabilities(state)[fits].sum()), abs=1e-9)


@pytest.mark.parametrize(
    "known",
    [[-1] * 6, [0] + [-1] * 5, [-1] * 5 + [1], [-1, 1, -1, -1, 0, -1], [0, 1, 1, -1, 0, 1], [1, 0, 0, 1, 0, 1]],
)
def test_draws_follow_the_conditional_distribution(known: list[int]) -> None:
    rng = np.random.default_rng(11)
    state = random_state(6, 3, rng)
    pattern = np.array(known, dtype=np.int8)
    fits = ((all_bits(6) == pattern) | (pattern == FREE)).all(axis=1)
    p = probabilities(state) * fits
    model = BornMachine.from_state(state, alphabet="bits")
    row = np.where(pattern == FREE, np.nan, pattern)
    drawn = model.sample(20_000, 12, given=row)
    assert drawn.dtype == np.int8
    assert ((drawn == pattern) | (pattern == FREE)).all()
    if fits.sum() > 1:
        assert p_value(drawn, p / p.sum()) > 1e-3
        other = probabilities(random_state(6, 3, rng)) * fits
        assert p_value(drawn, other / other.sum()) < 1e-6  # the control


def test_spins_are_drawn_and_given_as_spins() -> None:
    state = random_state(4, 2, np.random.default_rng(1))
    bits = BornMachine.from_state(state, alphabet="bits").sample(50, 3, given=[1, np.nan, 0, np.nan])
    spins = BornMachine.from_state(state, alphabet="spins").sample(50, 3, given=[-1, np.nan, 1, np.nan])
    np.testing.assert_array_equal(spins, 1 - 2 * bits)
    assert set(np.unique(spins)) == {-1, 1}


def test_seeds_decide_the_draws() -> None:
    model = BornMachine.from_state(random_state(8, 3, np.random.default_rng(1)))
    np.testing.assert_array_equal(model.sample(30, 5), model.sample(30, 5))
    assert (model.sample(30, 5) != model.sample(30, 6)).any()
    assert (model.sample(30) != model.sample(30)).any()
    rng = np.random.default_rng(5)
    assert (model.sample(30, rng) != model.sample(30, rng)).any()
    np.testing.assert_array_equal(model.sample(30, np.random.default_rng(5)), model.sample(30, 5 * np.int64(1)))


def test_patterns_without_probability_are_refused() -> None:
    ghz = MatrixProductState.from_vector(np.eye(64)[0] + np.eye(64)[63])
    model = BornMachine.from_state(ghz, alphabet="bits")
    free = np.nan
    assert model.sample(1, 1, given=[free, free, 1, free, free, 1]).tolist() == [[1] * 6]
    for row in ([0, free, free, free, free, 1], [free, free, 1, 0, free, free], [0, 0, 0, 1, 0, 0]):
        with pytest.raises(ValueError, match="`given` must be possible"):
            model.sample(1, 1, given=row)
    assert model.score_samples([[0, 0, 0, 1, 0, 0]])[0] < -60  # its square is rounding
    # A product of equal amplitudes: two known sites are a quarter.
    bond = MatrixProductState.from_vector(np.ones(32)).tensors
    assert log_marginal(bond, np.array([0, -1, -1, -1, 1], dtype=np.int8)) - log_marginal(
        bond, np.full(5, FREE)
    ) == pytest.approx(-2 * np.log(2))


# Learning ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_bars_and_stripes_are_learned_exactly(seed: int) -> None:
    X = bars_and_stripes(4)
    assert len(X) == 30
    model = BornMachine(max_bond=32, random_state=seed).fit(X)
    assert np.log(30) - 1e-12 <= -model.score(X) < 3.40125
    p = np.exp(model.score_samples(all_bits(16)))
    assert p.sum() == pytest.approx(1, rel=1e-10)
    assert (np.exp(model.score_samples(X)) > 0.033).all()
    assert max(model.bonds_) <= 20  # adapted: 16 are enough, 32 were allowed
    drawn = model.sample(200, 1)
    assert {tuple(row) for row in drawn.tolist()} <= {tuple(row) for row in X.tolist()}
    # Half a picture leaves one possibility or few, and all of them are drawn.
    top = np.full(16, np.nan)
    top[:4] = [1, 0, 1, 0]
    np.testing.assert_array_equal(model.sample(5, 2, given=top), np.tile([1, 0, 1, 0], (5, 4)))
    top[:4] = 1
    assert len(np.unique(model.sample(300, 3, given=top), axis=0)) == 8


def test_correlations_without_pairs_are_learned() -> None:
    # All pairs of a parity are independent: the product of single sites is a stationary point.
    X = all_bits(7)[all_bits(7).sum(axis=1) % 2 == 0]
    model = BornMachine(max_bond=4, random_state=2).fit(X)
    assert -model.score(X) == pytest.approx(np.log(64), abs=1e-5)
    assert model.bonds_ == (2,) * 6


def test_shares_of_rows_are_learned() -> None:
    X = np.repeat([[0, 0, 1], [1, 1, 1], [1, 0, 0]], [1, 3, 4], axis=0)
    model = BornMachine(max_bond=4, random_state=0).fit(X)
    found = np.exp(model.score_samples([[0, 0, 1], [1, 1, 1], [1, 0, 0], [1, 0, 1]]))
    np.testing.assert_allclose(found, [1 / 8, 3 / 8, 4 / 8, 0], atol=1e-5)


def test_one_site_and_two_sites_are_exact() -> None:
    model = BornMachine(random_state=0).fit([[-1], [1], [1], [1]])
    np.testing.assert_allclose(np.exp(model.score_samples([[1], [-1]])), [0.75, 0.25], rtol=1e-12)
    assert model.bonds_ == ()
    pairs = BornMachine(random_state=0).fit([[0, 0], [0, 1], [1, 1], [1, 1]])
    np.testing.assert_allclose(np.exp(pairs.score_samples([[0, 0], [0, 1], [1, 1]])), [0.25, 0.25, 0.5], atol=1e-4)
    constant = BornMachine(random_state=0).fit([[1, 1, 1], [1, 1, 1]])
    assert constant.score([[1, 1, 1]]) == pytest.approx(0, abs=1e-9)


def test_bits_and_spins_give_the_same_model() -> None:
    X = markov_chain(40, 6, 0.2, np.random.default_rng(1))
    bits = BornMachine(max_bond=3, max_sweeps=3, random_state=7).fit(X)
    spins = BornMachine(max_bond=3, max_sweeps=3, random_state=7).fit(1 - 2 * X)
    assert (bits.alphabet_, spins.alphabet_) == ("bits", "spins")
    np.testing.assert_array_equal(bits.score_samples(X), spins.score_samples(X))
    np.testing.assert_array_equal(1 - 2 * bits.sample(9, 1), spins.sample(9, 1))


def test_seeds_decide_the_fit_and_order_of_rows_does_not() -> None:
    X = markov_chain(60, 8, 0.2, np.random.default_rng(1))
    fits = [
        BornMachine(max_bond=4, max_sweeps=4, random_state=s).fit(rows)
        for s, rows in ((3, X), (3, X[::-1]), (np.random.default_rng(3), X), (4, X))
    ]
    scores = [model.score_samples(X) for model in fits]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert (scores[0] != scores[3]).any()
    assert np.isfinite(scores[2]).all()
    unseeded = [BornMachine(max_bond=4, max_sweeps=1).fit(X).score_samples(X) for _ in range(2)]
    assert (unseeded[0] != unseeded[1]).any()


@pytest.mark.parametrize("n_sites", [1000])
def test_a_thousand_sites(n_sites: int) -> None:
    rng = np.random.default_rng(0)
    flip = 0.1
    # Closed form: the square root of a Markov chain is a state of bond 2.
    step = np.sqrt(np.array([[1 - flip, flip], [flip, 1 - flip]]))
    first = np.sqrt(np.full((1, 2, 1), 0.5)) * np.eye(2)[None]
    inner = np.einsum("lr,rs->lsr", step, np.eye(2))
    last = np.einsum("lr,rs->lsr", step, np.eye(2)).sum(axis=2, keepdims=True)
    model = BornMachine.from_state(MatrixProductState((first, *[inner] * (n_sites - 2), last)), alphabet="bits")
    X = markov_chain(50, n_sites, flip, rng)
    n_flips = (np.diff(X, axis=1) != 0).sum(axis=1)
    exact = np.log(0.5) + n_flips * np.log(flip) + (n_sites - 1 - n_flips) * np.log(1 - flip)
    np.testing.assert_allclose(model.score_samples(X), exact, rtol=1e-11)
    drawn = model.sample(200, 1)
    per_row = (np.diff(drawn, axis=1) != 0).mean(axis=1)
    assert abs(per_row.mean() - flip) < 5 * np.sqrt(flip * (1 - flip) / (n_sites - 1) / 200)
    given = np.full(n_sites, np.nan)
    given[[0, 2]] = [0, 0]
    middle = model.sample(1000, 2, given=given)[:, 1].mean()
    assert middle == pytest.approx(flip**2 / (flip**2 + (1 - flip) ** 2), abs=5 * np.sqrt(0.012 / 1000))
    # Training: two states of a thousand sites and their shares.
    ghz = np.repeat([[0] * n_sites, [1] * n_sites], [3, 1], axis=0)
    learned = BornMachine(max_bond=2, max_sweeps=1, learning_rate=0.8, random_state=0).fit(ghz)
    assert -learned.score(ghz) == pytest.approx(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)), abs=2e-3)
    assert learned.sample(1, 1, given=[1, *[np.nan] * (n_sites - 1)]).all()


@pytest.mark.slow
def test_training_a_thousand_sites_finds_their_law() -> None:
    rng = np.random.default_rng(0)
    X, fresh = markov_chain(400, 1000, 0.1, rng), markov_chain(400, 1000, 0.1, rng)
    model = BornMachine(max_bond=2, learning_rate=0.2, validation_fraction=0.2, patience=2, random_state=0).fit(X)
    entropy = np.log(2) + 999 * -(0.1 * np.log(0.1) + 0.9 * np.log(0.9))
    # Some 2000 numbers from 320 rows cost 2000 / (2 x 320) = 3 nats at least; independent sites have 693 nats.
    assert entropy - 5 < -model.score(fresh) < entropy + 15


def test_batches_learn_too() -> None:
    rng = np.random.default_rng(2)
    X = markov_chain(400, 8, 0.15, rng)
    model = BornMachine(max_bond=2, batch_size=40, learning_rate=0.02, max_sweeps=15, random_state=1).fit(X)
    whole = BornMachine(max_bond=2, random_state=1).fit(X)
    independent = -sum(p * np.log(p) + (1 - p) * np.log(1 - p) for p in X.mean(axis=0))
    assert -whole.score(X) < -model.score(X) < -whole.score(X) + 0.1 < independent - 1
    assert len(model.history_.step) <= 15


def test_early_stopping_keeps_the_best_pass() -> None:
    rng = np.random.default_rng(3)
    X, fresh = markov_chain(60, 12, 0.2, rng), markov_chain(4000, 12, 0.2, rng)
    stopped = BornMachine(max_bond=16, learning_rate=0.1, validation_fraction=0.3, patience=3, random_state=0).fit(X)
    history = stopped.history_
    best = history.attrs["best_step"]
    assert best == int(np.argmin(history["validation_nll"].values))
    assert history.sizes["step"] <= best + 1 + 3
    assert float(history["validation_nll"][-1]) > float(history["validation_nll"][best])
    memorised = BornMachine(max_bond=16, learning_rate=0.5, random_state=0).fit(X)
    assert np.isnan(memorised.history_["validation_nll"]).all()
    assert -memorised.score(X) < -stopped.score(X)
    assert -memorised.score(fresh) > -stopped.score(fresh) + 1


def test_smoothing_helps_new_rows() -> None:
    rng = np.random.default_rng(3)
    X, fresh = markov_chain(60, 12, 0.2, rng), markov_chain(4000, 12, 0.2, rng)
    scores = {tau: BornMachine(max_bond=16, smoothing=tau, max_sweeps=6, random_state=0).fit(X) for tau in (0.0, 0.2)}
    assert scores[0.2].score(fresh) > scores[0.0].score(fresh) + 1
    assert scores[0.2].score(X) < scores[0.0].score(X)
    # What the history says is what the model does.
    for model in scores.values():
        found = float(model.history_["train_nll"][model.history_.attrs["best_step"]])
        assert -model.score(X) == pytest.approx(found, rel=1e-10)


def test_groups_are_held_out_whole() -> None:
    # Each group is one pattern. A model that has seen a part of every group gives all of them probability.
    patterns = np.unique(np.random.default_rng(0).integers(0, 2, (12, 10)), axis=0)
    X, groups = np.repeat(patterns, 4, axis=0), np.repeat(np.arange(len(patterns)), 4)
    common = {"max_bond": 16, "validation_fraction": 0.25, "max_sweeps": 6, "patience": 6, "random_state": 1}
    whole = BornMachine(**common).fit(X, groups=groups)
    split = BornMachine(**common).fit(X)
    assert whole.history_["validation_nll"].min() > split.history_["validation_nll"].min() + 3


def ising_observables(model: Ising, rows: NDArray[np.int8], size: int) -> NDArray[np.float64]:
    """Energy per site, |m|, and correlations of neighbours along both axes: a row each."""
    s = rows.reshape(-1, size, size).astype(float)
    correlations = [(s * np.roll(s, 1, axis=axis)).mean(axis=(1, 2)) for axis in (1, 2)]
    return np.stack([model.energy(rows) / size**2, np.abs(s.mean(axis=(1, 2))), *correlations])


@pytest.mark.parametrize(
    ("size", "temperature", "max_bond"),
    [
        (3, 1.8, 16),
        (3, 3.5, 16),
        *(pytest.param(4, t, 64, marks=pytest.mark.slow) for t in (1.8, 2.269, 3.5)),
    ],
)
def test_samples_of_ising_snapshots_have_their_energy_magnetisation_and_correlations(
    size: int, temperature: float, max_bond: int
) -> None:
    model = Ising(square(size))
    spins = integers_to_spins(np.arange(2 ** (size * size)), size * size)
    energies = model.energy(spins)
    p = np.exp(-(energies - energies.min()) / temperature)
    p /= p.sum()
    values = ising_observables(model, spins, size)
    exact = values @ p
    enumeration = enumerate_ising(model)
    assert exact[0] == pytest.approx(float(enumeration.energy(temperature)), rel=1e-10)
    assert exact[1] == pytest.approx(float(enumeration.abs_magnetization(temperature)), rel=1e-10)
    rng = np.random.default_rng(1)
    X = spins[rng.choice(len(p), size=4000, p=p)]
    drawn = BornMachine(max_bond=max_bond, max_sweeps=8, random_state=0).fit(X).sample(4000, 2)
    # Errors of the training set and of the draws.
    error = np.sqrt((values**2 @ p - exact**2) * (1 / len(X) + 1 / len(drawn)))
    assert (np.abs(ising_observables(model, drawn, size).mean(axis=1) - exact) < 4 * error).all()
    shuffled = rng.permuted(drawn, axis=0)  # the control: the same sites, no correlations
    assert (np.abs(ising_observables(model, shuffled, size).mean(axis=1) - exact) > 10 * error)[[0, 2, 3]].all()


# Manners ----------------------------------------------------------------------------------------------------------


def test_it_is_an_estimator() -> None:
    model = BornMachine(max_bond=7, smoothing=0.1)
    again = clone(model)
    assert again.get_params() == model.get_params()
    assert again.set_params(max_bond=3).max_bond == 3
    for call in (lambda: model.sample(1), lambda: model.score([[0, 1]]), lambda: model.score_samples([[0, 1]])):
        with pytest.raises(NotFittedError):
            call()
    X = [[0, 1], [1, 0]]
    assert model.fit(X) is model
    assert model.n_features_in_ == 2
    assert BornMachine(max_bond=np.int64(2), random_state=np.int64(1)).fit(X).bonds_ == (2,)


def test_progress_is_shown_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    BornMachine(max_bond=2, max_sweeps=2, verbose=True, random_state=0).fit([[0, 1], [1, 0]])
    shown = capsys.readouterr()
    assert "Born machine" in shown.err
    assert shown.out == ""
    BornMachine(max_bond=2, max_sweeps=2, random_state=0).fit([[0, 1], [1, 0]])
    assert capsys.readouterr().err == ""


def test_settings_can_be_searched() -> None:
    X = markov_chain(150, 8, 0.2, np.random.default_rng(1))
    search = GridSearchCV(
        BornMachine(max_bond=8, max_sweeps=3, random_state=0), {"smoothing": [0.0, 0.1, 0.9]}, cv=2
    ).fit(X)
    assert search.best_params_ == {"smoothing": 0.1}
    assert search.best_score_ < search.best_estimator_.score(X) < 0


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"max_bond": 0}, ValueError, "`max_bond` must be between 1 and 4096"),
        ({"max_bond": 2.5}, TypeError, "`max_bond` must be an integer"),
        ({"cutoff": 1.0}, ValueError, "`cutoff` must be from 0 to below 1"),
        ({"cutoff": np.nan}, ValueError, "`cutoff`"),
        ({"learning_rate": 0.0}, ValueError, "`learning_rate` must be above 0"),
        ({"learning_rate": 1.5}, ValueError, "`learning_rate`"),
        ({"smoothing": -0.1}, ValueError, "`smoothing` must be from 0"),
        ({"max_sweeps": 0}, ValueError, "`max_sweeps`"),
        ({"batch_size": 0}, ValueError, "`batch_size`"),
        ({"validation_fraction": 1.0}, ValueError, "`validation_fraction`"),
        ({"patience": 0}, ValueError, "`patience`"),
        ({"tolerance": -1.0}, ValueError, "`tolerance`"),
        ({"tolerance": np.inf}, ValueError, "`tolerance`"),
        ({"random_state": -1}, ValueError, "`random_state` must be between"),
        ({"random_state": "seed"}, TypeError, "`random_state` must be None, an integer"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        BornMachine(**changes).fit([[0, 1], [1, 0], [1, 1]])


def test_bad_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="`X` must hold bits"):
        BornMachine().fit([[0, 2]])
    with pytest.raises(ValueError, match=r"one entry a row \(2\)"):
        BornMachine().fit([[0, 1], [1, 0]], groups=[1])
    with pytest.raises(ValueError, match="at least 2 independent groups"):
        BornMachine(validation_fraction=0.5).fit([[0, 1], [1, 0]], groups=[1, 1])
    model = BornMachine(max_bond=2, max_sweeps=1, random_state=0).fit([[0, 1], [1, 0]])
    with pytest.raises(ValueError, match="`X` must have 2 sites a row, but it has 3"):
        model.score_samples([[0, 1, 1]])
    for n_samples, error in ((0, ValueError), (1.5, TypeError)):
        with pytest.raises(error, match="`n_samples`"):
            model.sample(n_samples)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="`rng`"):
        model.sample(1, "seed")  # type: ignore[arg-type]
    for row, text in (([1, 1, 1], r"its shape is \(3,\)"), ([-1, 1], "holds -1"), ([0.5, 1], "holds 0.5")):
        with pytest.raises(ValueError, match=text):
            model.sample(1, given=row)
    with pytest.raises(TypeError, match="`given` must hold numbers"):
        model.sample(1, given=[None, 1])


def test_what_would_not_fit_into_memory_is_refused_at_once() -> None:
    X = np.random.default_rng(0).integers(0, 2, (4000, 600))
    with pytest.raises(ValueError, match=r"`batch_size` must let .* 4000 rows of 600 sites at max_bond = 4096 need"):
        BornMachine(max_bond=4096).fit(X)


def test_states_are_checked() -> None:
    with pytest.raises(TypeError, match="`state` must be a MatrixProductState, but it is list"):
        BornMachine.from_state([1, 2])  # type: ignore[arg-type]
    state = random_state(3, 2, np.random.default_rng(0))
    with pytest.raises(ValueError, match="`alphabet` must be 'bits' or 'spins'"):
        BornMachine.from_state(state, alphabet="real")  # type: ignore[arg-type]
    made = BornMachine.from_state(state)
    assert made.state_.norm == pytest.approx(1, rel=1e-12)
    assert made.alphabet_ == "spins"
    assert not hasattr(made, "history_")


def test_draws_of_a_right_canonical_and_of_any_other_form_are_the_same() -> None:
    state = random_state(5, 3, np.random.default_rng(4))
    known = np.array([FREE, 1, FREE, FREE, 0], dtype=np.int8)
    drawn = [draw(s.tensors, known, 200, np.random.default_rng(1)) for s in (state, state.normalized())]
    np.testing.assert_array_equal(*drawn)
