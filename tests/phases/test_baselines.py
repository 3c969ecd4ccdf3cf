"""Baselines: the cuts against brute force, the Bayes limit against exact distributions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.estimator_checks import parametrize_with_checks

from qmlphys.hamiltonians import Ising
from qmlphys.lattices import chain, square, triangular
from qmlphys.phases.baselines import CutClassifier, accuracy, bayes_limit, report

TEMPERATURES = np.array([2.0, 3.0, 4.0, 6.0])
ORDERED = np.array([1, 1, 0, 0])


def all_spins(n_sites: int) -> np.ndarray:
    return np.array(list(itertools.product([1, -1], repeat=n_sites)), dtype=np.int8)


def boltzmann(energy: np.ndarray) -> np.ndarray:
    """Exact probabilities (n_temperatures, n_states)."""
    weight = np.exp(-(energy - energy.min()) / TEMPERATURES[:, None])
    return weight / weight.sum(1, keepdims=True)


@parametrize_with_checks([CutClassifier("magnetization"), CutClassifier("energy")])
def test_sklearn_checks(estimator, check):
    check(estimator)


@settings(deadline=None, max_examples=60)
@given(data=st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=25))
def test_no_threshold_is_better_than_the_one_found(data):
    value, y = np.array(data, dtype=np.int64).T
    if len(set(y)) < 2:
        return
    X = value[:, None] / 8  # a single column: the statistic is its absolute value (and never 1, which would be a bit)
    cut = CutClassifier("magnetization").fit(X, y)
    x = np.abs(value)
    best = max(np.mean((x > edge) == (y == side)) for edge in np.arange(-1, 5) + 0.5 for side in (0, 1))
    assert cut.score(X, y) == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("lattice", [square(4), triangular(3), square(3, periodic=False)])
def test_the_energy_is_that_of_the_hamiltonian(lattice):
    X = np.random.default_rng(0).choice([-1, 1], size=(50, lattice.n_sites)).astype(np.int8)
    cut = CutClassifier("energy", lattice=lattice).fit(X, np.arange(50) % 2)
    energy = Ising(lattice).energy(X) / lattice.n_sites
    np.testing.assert_allclose(cut.sign_ * cut.decision_function(X) + cut.threshold_, energy, rtol=1e-12, atol=1e-12)
    bits = (1 - X) // 2
    np.testing.assert_array_equal(cut.predict(bits), cut.predict(X))
    ring = CutClassifier("energy").fit(X, np.arange(50) % 2)
    same = CutClassifier("energy", lattice=chain(lattice.n_sites)).fit(X, np.arange(50) % 2)
    np.testing.assert_array_equal(ring.decision_function(X), same.decision_function(X))


def test_the_energy_knows_all_a_snapshot_says_of_its_temperature():
    """Bayes over all 65,536 states of the 4 x 4 lattice is the best threshold on the energy, not on |m|."""
    X = all_spins(16)
    energy = Ising(square(4)).energy(X)
    joint = boltzmann(energy) / len(TEMPERATURES)
    ordered = joint[ORDERED == 1].sum(0)
    limit = np.maximum(ordered, 1 / len(TEMPERATURES) * boltzmann(energy).sum(0) - ordered).sum()
    total = joint.sum(0)

    def best(statistic: np.ndarray) -> float:
        scores = []
        for edge in np.unique(statistic):
            above = statistic > edge
            hit = ordered[above].sum() + (total - ordered)[~above].sum()
            scores += [hit, 1 - hit]
        return max(scores)

    assert best(energy) == pytest.approx(limit, rel=1e-12)
    assert best(np.abs(X.mean(1))) < limit - 0.001
    # Rows in exact proportion are not to be had; a large exact sample is: 5 standard errors.
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.choice(65_536, size=20_000, p=p) for p in boltzmann(energy)])
    T, y = np.repeat(TEMPERATURES, 20_000), np.repeat(ORDERED, 20_000)
    exact_z = np.log([np.exp(-energy / t).sum() for t in TEMPERATURES])
    for log_partition in (None, exact_z, exact_z + 7):
        found = bayes_limit(energy[rows], T, y, log_partition=log_partition)
        assert abs(found.deviation(limit)) < 5
        assert 0 < found.error < 2e-3


def test_exact_proportions_give_the_exact_limit():
    # Energies 0 and 2 ln 2 with 1 and 4 states: P(E | T = 1) = 1/2, 1/2 and P(E | T = 2) = 1/3, 2/3 exactly.
    energy = np.repeat([0, 2 * np.log(2), 0, 2 * np.log(2)], [3, 3, 2, 4])
    T = np.repeat([1.0, 2.0], 6)
    limit = bayes_limit(energy, T, np.repeat([1, 0], 6))
    assert limit.mean == pytest.approx((1 / 2 + 2 / 3) / 2, rel=1e-6)  # Newton stops at 1e-8
    # Label names do not matter, nor does the zero of the energy.
    assert bayes_limit(energy - 50, T, np.repeat(["a", "b"], 6)).mean == pytest.approx(limit.mean, rel=1e-6)


def test_distributions_that_do_not_overlap_are_told_apart():
    energy = np.repeat([-30.0, -29.0, 30.0, 31.0], 5)
    limit = bayes_limit(energy, np.repeat([0.5, 5.0], 10), np.repeat([1, 0], 10))
    assert limit.mean == pytest.approx(1, abs=1e-6)


def test_shuffled_labels_carry_nothing():
    """Control: with labels drawn at random the cuts have an accuracy of one half."""
    rng = np.random.default_rng(1)
    X = rng.choice([-1, 1], size=(8000, 16)).astype(np.int8)
    X[:4000] = 1
    y = rng.permutation(np.repeat([0, 1], 4000))
    for statistic in ("magnetization", "energy"):
        cut = CutClassifier(statistic, lattice=square(4)).fit(X[::2], y[::2])
        assert abs(accuracy(y[1::2], cut.predict(X[1::2])).deviation(0.5)) < 5
        honest = CutClassifier(statistic, lattice=square(4)).fit(X[::2], np.arange(8000)[::2] < 4000)
        assert honest.score(X[1::2], np.arange(8000)[1::2] < 4000) > 0.99


def test_the_error_of_an_accuracy_knows_chains_and_strata():
    y = np.ones(8, dtype=int)
    answer = np.array([1, 1, 1, 1, 0, 0, 0, 0])
    chains = np.repeat([0, 1, 2, 3], 2)
    assert accuracy(y, answer).mean == 0.5
    assert accuracy(y, answer).error == pytest.approx(np.sqrt(0.25 / 7), rel=1e-12)
    assert accuracy(y, answer, groups=chains).error == pytest.approx(np.sqrt(0.25 / 3), rel=1e-12)
    # The two halves are two temperatures, each known exactly.
    assert accuracy(y, answer, groups=chains, parameter=np.repeat([1.0, 2.0], 4)).error == 0
    assert np.isnan(accuracy(y, answer, groups=np.zeros(8)).error)


def test_the_report_names_every_learner_and_the_limit():
    X = np.random.default_rng(0).choice([-1, 1], size=(600, 16)).astype(np.int8)
    X[:300] = np.where(np.random.default_rng(1).random((300, 16)) < 0.95, 1, -1)
    T, y = np.repeat([1.0, 5.0], 300), np.repeat([1, 0], 300)
    learners = {name: CutClassifier(name, lattice=square(4)).fit(X, y) for name in ("magnetization", "energy")}
    table = report(learners, X, y, parameter=T, energy=Ising(square(4)).energy(X))
    assert list(table) == ["magnetization", "energy", "Bayes limit"]
    assert table["energy"].mean == learners["energy"].score(X, y)
    assert all(0.9 < estimate.mean <= 1 and 0 <= estimate.error < 0.02 for estimate in table.values())
    with pytest.raises(ValueError, match="must hold the temperatures"):
        report(learners, X, y, energy=np.zeros(600))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bayes_limit([1.0, 2.0], [1.0, -2.0], [0, 1]), "must be positive"),
        (lambda: bayes_limit([1.0, 2.0], [1.0, 1.0], [0, 1]), "must be a function of the temperature"),
        (lambda: bayes_limit([1.0, np.nan], [1.0, 2.0], [0, 1]), "`energy` must be a list of finite"),
        (lambda: bayes_limit([1.0, 2.0], [1.0, 2.0], [1, 1]), "must hold two classes"),
        (lambda: bayes_limit([1.0, 2.0], [1.0, 2.0], [1, 0], log_partition=[0.0]), "for each of the 2 temperatures"),
        (lambda: accuracy([1, 0], [1]), "lists of one length"),
        (lambda: CutClassifier("entropy").fit(np.eye(4), [0, 1, 0, 1]), "must be 'magnetization' or 'energy'"),
        (lambda: CutClassifier("energy", lattice=square(3)).fit(np.eye(4), [0, 1, 0, 1]), "one site a column"),
        (lambda: CutClassifier().fit(np.eye(4), [1, 1, 1, 1]), "one class only"),
    ],
)
def test_wrong_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
