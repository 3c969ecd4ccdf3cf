"""Learning by confusion against the exact optimum of the 4 x 4 Ising model, whose 65,536 states are enumerated."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator

from qmlphys import snapshots
from qmlphys.hamiltonians import Ising
from qmlphys.lattices import square
from qmlphys.montecarlo import sample
from qmlphys.phases._indicator import bin_means, interior_maximum, midpoints
from qmlphys.phases.confusion import ConfusionScheme, exact_indicator, optimal_indicator

SHAPE = (4, 4)
TEMPERATURES = np.linspace(1, 5, 41)
SPLITS = (TEMPERATURES[1:] + TEMPERATURES[:-1]) / 2
CNN = {"network": "cnn", "shape": SHAPE, "max_epochs": 20, "random_state": 0}


class Enumeration:
    """All states of the 4 x 4 lattice with their probabilities."""

    def __init__(self) -> None:
        bits = (np.arange(2**16)[:, None] >> np.arange(16)) & 1
        self.spins = (1 - 2 * bits).astype(np.int8)
        self.energy = Ising(square(4)).energy(self.spins)
        weights = np.exp(-(self.energy + 32) / TEMPERATURES[:, None])
        self.state_probability = weights / weights.sum(axis=1, keepdims=True)
        self.levels, self.level = np.unique(self.energy, return_inverse=True)
        self.level_probability = np.array(
            [np.bincount(self.level, weights=row, minlength=len(self.levels)) for row in self.state_probability]
        )

    def draw(self, n_draws: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Independent snapshots, their temperatures and energies."""
        rng = np.random.default_rng(seed)
        picks = np.concatenate([rng.choice(2**16, size=n_draws, p=row) for row in self.state_probability])
        return self.spins[picks], np.repeat(TEMPERATURES, n_draws), self.energy[picks]


@pytest.fixture(scope="module")
def exact():
    return Enumeration()


@pytest.fixture(scope="module")
def scan(exact):
    return exact.draw(160, 0)


@pytest.fixture(scope="module")
def fitted(scan):
    X, temperature, _ = scan
    return ConfusionScheme(**CNN).fit(X, temperature)


# scikit-learn trains dozens of times, and asks for a good score only once: large steps, and few of them.
FAST = {"learning_rate": 0.02, "max_epochs": 10}


@pytest.mark.parametrize(
    "settings",
    [FAST, {"network": "cnn", "max_epochs": 5}, {"strategy": "per-split", "n_splits": 3, **FAST, "max_epochs": 6}],
    ids=str,
)
def test_scikit_learn_checks(settings):
    check_estimator(ConfusionScheme(**settings), on_skip=None)


def test_energy_is_sufficient(exact):
    # The Bayes classifier on all 16 spins does no better than that on the energy alone: both in closed form.
    assert np.count_nonzero(exact.energy == 0) == 20_524  # Kaufman 1949, by expansion of the partition function
    on_states = exact_indicator(exact.state_probability, TEMPERATURES, splits=SPLITS)
    on_energy = exact_indicator(exact.level_probability, TEMPERATURES, splits=SPLITS)
    np.testing.assert_allclose(on_energy, on_states, rtol=1e-11)
    share = np.maximum(np.arange(1, 41), 41 - np.arange(1, 41)) / 41
    assert (on_energy >= share - 1e-12).all()
    assert (on_energy - share).max() > 0.25  # far from the constant answer
    # Fewer facts, lower curve: the magnetisation says less of the temperature.
    magnetization = np.abs(exact.spins.sum(axis=1, dtype=int))
    table = np.array([np.bincount(magnetization, weights=row) for row in exact.state_probability])
    on_magnetization = exact_indicator(table, TEMPERATURES, splits=SPLITS)
    assert (on_magnetization <= on_energy + 1e-12).all()
    assert (on_energy - on_magnetization).max() > 0.01


def test_weights_change_the_sampled_distribution(exact):
    weights = np.where(TEMPERATURES < 3, 3.0, 1.0)
    repeated = np.repeat(np.arange(41), weights.astype(int))
    np.testing.assert_allclose(
        exact_indicator(exact.level_probability, TEMPERATURES, splits=SPLITS, weights=weights),
        exact_indicator(exact.level_probability[repeated], TEMPERATURES[repeated], splits=SPLITS),
        rtol=1e-12,
    )


def test_optimal_indicator_reaches_the_closed_form(exact):
    _, temperature, energy = exact.draw(400, 1)
    optimum = optimal_indicator(energy, temperature, splits=SPLITS, rng=0)
    closed_form = exact_indicator(exact.level_probability, TEMPERATURES, splits=SPLITS)
    # A threshold off by a level near the ends of the scan, where the errors vanish, costs 0.004.
    assert (np.abs(optimum.indicator - closed_form) < 4.5 * optimum.indicator_error + 4e-3).all()
    assert optimum.indicator_error.max() < 0.01
    # A better threshold for a higher cut is never lower.
    assert (np.diff(optimum.thresholds) >= 0).all()
    place, _ = interior_maximum(SPLITS, closed_form, np.tile(closed_form, (2, 1)))
    assert abs(optimum.critical_point - place) < 4.5 * optimum.critical_point_error
    assert 0.005 < optimum.critical_point_error < 0.15


def test_optimal_indicator_errors_cover(exact):
    closed_form = exact_indicator(exact.level_probability, TEMPERATURES, splits=SPLITS)
    middle = slice(8, 33)
    pulls = []
    for seed in range(12):
        _, temperature, energy = exact.draw(60, 10 + seed)
        optimum = optimal_indicator(energy, temperature, splits=SPLITS, rng=seed)
        pulls.append((optimum.indicator - closed_form)[middle] / optimum.indicator_error[middle])
    # Thresholds learnt on 30 draws a temperature lose a little: the mean lies below zero.
    assert 0.7 < np.std(pulls) < 1.3
    assert -1.5 < np.mean(pulls) < 0.3


def test_optimal_indicator_knows_the_direction_of_the_statistic(scan, fitted):
    _, temperature, energy = scan
    settings = {"splits": SPLITS, "held_out": fitted.held_out_, "rng": 0}
    up = optimal_indicator(energy, temperature, **settings)
    down = optimal_indicator(-energy, temperature, **settings)
    np.testing.assert_array_equal(up.indicator, down.indicator)
    np.testing.assert_allclose(up.thresholds, -down.thresholds)


def test_cnn_meets_the_optimum_at_every_split(scan, fitted, exact):
    X, temperature, energy = scan
    optimum = optimal_indicator(energy, temperature, splits=fitted.splits_, held_out=fitted.held_out_, rng=0)
    np.testing.assert_allclose(fitted.splits_, SPLITS)
    assert np.abs(fitted.indicator_ - optimum.indicator).max() < 0.02
    closed_form = exact_indicator(exact.level_probability, TEMPERATURES, splits=SPLITS)
    assert (np.abs(fitted.indicator_ - closed_form) < 4.5 * fitted.indicator_error_ + 0.01).all()
    place, _ = interior_maximum(SPLITS, closed_form, np.tile(closed_form, (2, 1)))
    assert abs(fitted.critical_point_ - place) < 4.5 * fitted.critical_point_error_
    assert isinstance(fitted.critical_point_, float)
    assert isinstance(fitted.critical_point_error_, float)
    assert 0.01 < fitted.critical_point_error_ < 0.2
    assert 1.9 < fitted.critical_point_ < 2.5
    # W is what it is said to be: the accuracy on the held-out rows.
    held = fitted.held_out_
    said = fitted.predict_split_proba(X[held]) > 0.5
    np.testing.assert_array_equal(fitted.indicator_, (said == (temperature[held, None] < SPLITS)).mean(axis=0))


def check_square_lattice(size, n_chains, n_draws):
    temperatures = np.linspace(1, 3.5, 51)
    dataset = sample(Ising(square(size)), temperatures, n_chains=n_chains, n_draws=n_draws, rng=size)
    X, parameter, groups = snapshots.as_xy(dataset)
    energy = dataset["energy"].values.ravel()
    scheme = ConfusionScheme("cnn", shape=(size, size), random_state=0).fit(X, parameter, groups=groups)
    optimum = optimal_indicator(
        energy, parameter, splits=scheme.splits_, groups=groups, held_out=scheme.held_out_, rng=0
    )
    assert np.abs(scheme.indicator_ - optimum.indicator).max() < 0.02
    share = (parameter[scheme.held_out_, None] < scheme.splits_).mean(axis=0)
    assert (optimum.indicator - np.maximum(share, 1 - share)).max() > 0.35
    for place, error in (
        (scheme.critical_point_, scheme.critical_point_error_),
        (optimum.critical_point, optimum.critical_point_error),
    ):
        # The maximum of a finite lattice lies near 2 / ln(1 + sqrt 2) = 2.2692, not at it.
        assert abs(place - 2.2692) < 4.5 * error + 0.03
        assert error < 0.15


def test_square_lattice_meets_the_optimum():
    check_square_lattice(12, 12, 10)


@pytest.mark.slow
@pytest.mark.parametrize("size", [16, 32])
def test_larger_square_lattices_meet_the_optimum(size):
    check_square_lattice(size, 32, 25)


def test_outputs_are_the_exact_posterior(exact, fitted):
    # P(T < s | E) and E(T | E) for equally sampled temperatures, by Bayes' theorem from the enumeration.
    posterior = (exact.level_probability / exact.level_probability.sum(axis=0))[:, exact.level]
    mean = TEMPERATURES @ posterior
    frequency = exact.state_probability.mean(axis=0)
    learnt = fitted.predict_split_proba(exact.spins)
    deviation = learnt - (SPLITS[:, None] > TEMPERATURES).astype(float).dot(posterior).T
    assert np.sqrt(frequency @ deviation**2).max() < 0.08  # 2,600 training rows
    assert np.sqrt(frequency @ (fitted.predict(exact.spins) - mean) ** 2) < 0.15
    assert np.sqrt(frequency @ (mean - frequency @ mean) ** 2) > 0.8  # what a constant would be off by


def test_posterior_mean_of_perfect_outputs():
    parameter = np.repeat([1.0, 2.0, 4.0], [3, 1, 2])
    cuts = midpoints(parameter, 100)
    np.testing.assert_array_equal(cuts, [1.5, 3.0])
    means = bin_means(parameter, cuts)
    np.testing.assert_array_equal(means, [1.0, 2.0, 4.0])
    np.testing.assert_allclose(means[-1] - (parameter[:, None] < cuts) @ np.diff(means), parameter)


@given(n_values=st.integers(2, 60), n_splits=st.integers(1, 80))
def test_cuts_are_midpoints_evenly_thinned(n_values, n_splits):
    cuts = midpoints(np.arange(n_values, dtype=float), n_splits)
    assert len(cuts) == min(n_splits, n_values - 1)
    assert (np.diff(cuts) >= 1).all()
    assert ((cuts % 1) == 0.5).all()
    if n_splits < n_values - 1:
        assert abs((cuts[0] - 0.5) - (n_values - 1.5 - cuts[-1])) <= (n_values - 1) / n_splits


def test_one_network_agrees_with_one_a_split(scan):
    X, temperature, _ = scan
    settings = CNN | {"splits": [1.6, 2.2, 2.8, 3.4, 4.0], "max_epochs": 10}
    one = ConfusionScheme(**settings).fit(X, temperature)
    many = ConfusionScheme(strategy="per-split", **settings).fit(X, temperature)
    assert (len(one.networks_), len(many.networks_), len(many.history_)) == (1, 5, 5)
    np.testing.assert_array_equal(one.held_out_, many.held_out_)
    assert np.abs(one.indicator_ - many.indicator_).max() < 0.03
    assert np.abs(one.predict(X) - many.predict(X)).mean() < 0.15


def test_dense_network_finds_the_transition(scan, exact):
    X, temperature, _ = scan
    scheme = ConfusionScheme(shape=SHAPE, augment=("translations", "flip"), max_epochs=15, random_state=0)
    scheme.fit(X, temperature)
    closed_form = exact_indicator(exact.level_probability, TEMPERATURES, splits=SPLITS)
    assert (scheme.indicator_ - closed_form < 4.5 * scheme.indicator_error_ + 0.005).all()  # none beats the optimum
    assert np.abs(scheme.indicator_ - closed_form).max() < 0.06
    assert abs(scheme.critical_point_ - 2.2) < 0.4


def test_shuffled_parameters_teach_nothing(scan):
    X, temperature, energy = scan
    shuffled = np.random.default_rng(0).permutation(temperature)
    scheme = ConfusionScheme(**(CNN | {"max_epochs": 5})).fit(X, shuffled)
    held = shuffled[scheme.held_out_]
    share = (held[:, None] < scheme.splits_).mean(axis=0)
    assert (scheme.indicator_ < np.maximum(share, 1 - share) + 0.03).all()
    assert np.isnan(scheme.critical_point_)
    assert np.isnan(scheme.critical_point_error_)
    assert abs(scheme.score(X, temperature)) < 0.1
    with pytest.raises(ValueError, match="no interior maximum"):
        scheme.predict_phase(X)
    assert np.isnan(optimal_indicator(energy, shuffled, splits=SPLITS, rng=0).critical_point)


def test_groups_keep_memory_from_passing_for_physics():
    # Noise that repeats within a chain: a network can only learn it by heart.
    rng = np.random.default_rng(0)
    X = np.repeat(rng.choice([-1, 1], size=(40, 24)), 20, axis=0)
    parameter = np.repeat(np.arange(40) % 8, 20)
    groups = np.repeat(np.arange(40), 20)
    settings = {"splits": [3.5], "max_epochs": 10, "random_state": 0}
    honest = ConfusionScheme(**settings).fit(X, parameter, groups=groups)
    flattered = ConfusionScheme(**settings).fit(X, parameter)
    assert honest.indicator_[0] < 0.75
    assert flattered.indicator_[0] > 0.95
    held = np.unique(groups[honest.held_out_])
    assert not np.isin(groups[~honest.held_out_], held).any()
    # The error counts chains and not rows.
    assert honest.indicator_error_[0] > 0.05


def test_bits_and_spins_are_the_same_snapshots(scan, fitted):
    X, temperature, _ = scan
    bits = ((1 - X) // 2).astype(bool)
    twin = ConfusionScheme(**CNN).fit(bits, temperature)
    np.testing.assert_array_equal(twin.indicator_, fitted.indicator_)
    np.testing.assert_array_equal(twin.predict(bits), fitted.predict(X))
    np.testing.assert_array_equal(fitted.predict(bits.astype(int)), fitted.predict(X))
    with pytest.raises(ValueError, match="must hold snapshots"):
        fitted.predict(np.full((1, 16), 0.5))


def test_phase_is_the_side_of_the_critical_point(exact, fitted):
    frozen, hot = exact.spins[[0, -1]], exact.spins[exact.energy == 0]
    np.testing.assert_array_equal(fitted.predict_phase(frozen), 1)
    np.testing.assert_array_equal(fitted.predict_phase(hot), 0)


def test_one_seed_one_answer_and_pickle(scan, fitted):
    X, temperature, _ = scan
    again = clone(fitted).fit(X, temperature)
    np.testing.assert_array_equal(again.indicator_, fitted.indicator_)
    assert again.critical_point_ == fitted.critical_point_
    restored = pickle.loads(pickle.dumps(fitted))  # noqa: S301
    np.testing.assert_array_equal(restored.predict(X), fitted.predict(X))
    other = clone(fitted).set_params(random_state=1).fit(X, temperature)
    assert (other.indicator_ != fitted.indicator_).any()


def test_several_seeds_are_averaged(scan):
    X, temperature, _ = scan
    settings = CNN | {"max_epochs": 6, "n_seeds": 3}
    scheme = ConfusionScheme(**settings).fit(X, temperature)
    assert len(scheme.networks_) == 3
    held = scheme.held_out_
    curves = []
    for network in scheme.networks_:
        logits = scheme._logits([network], scheme._front.inputs(X[held]))
        curves.append(((logits > 0) == (temperature[held, None] < scheme.splits_)).mean(axis=0))
    np.testing.assert_allclose(scheme.indicator_, np.mean(curves, axis=0), rtol=1e-12)
    single = np.sqrt(np.var(curves, axis=0, ddof=1) / 3)
    assert (scheme.indicator_error_ >= single).all()
    assert scheme.critical_point_error_ > 0


def test_pipeline_and_grid_search(scan):
    X, temperature, _ = scan
    rows = np.random.default_rng(0).permutation(len(X))[:800]
    pipeline = make_pipeline(FunctionTransformer(np.negative), ConfusionScheme(**(CNN | {"max_epochs": 5})))
    search = GridSearchCV(pipeline, {"confusionscheme__held_out_fraction": [0.3, 0.5]}, cv=2)
    search.fit(X[rows], temperature[rows])
    assert search.best_score_ > 0.3
    assert search.predict(X[:2]).shape == (2,)


def test_interior_maximum_of_a_known_curve():
    x = np.linspace(0, 1, 41)
    curve = 0.6 + 0.4 * (2 * x - 1) ** 2 + 0.2 * np.exp(-(((x - 0.46) / 0.1) ** 2))
    fine = np.linspace(0.3, 0.6, 100_001)
    values = 0.4 * (2 * fine - 1) ** 2 + 0.2 * np.exp(-(((fine - 0.46) / 0.1) ** 2))
    exact_place = fine[np.argmax(values)]
    rng = np.random.default_rng(0)
    place, error = interior_maximum(x, curve, curve + 0.003 * rng.normal(size=(100, 41)))
    assert abs(place - exact_place) < 0.005  # cubic fit, a fifth of the spacing
    assert 0.0005 < error < 0.02
    assert place != x[np.argmin(abs(x - place))]  # not a point of the grid
    pulls = []
    for _ in range(30):
        noisy = curve + 0.003 * rng.normal(size=41)
        place, error = interior_maximum(x, noisy, noisy + 0.003 * rng.normal(size=(60, 41)))
        pulls.append((place - exact_place) / error)
    assert np.std(pulls) < 1.4
    assert abs(np.mean(pulls)) < 1
    # Few cuts: the error knows that the curve between them is unknown.
    place, error = interior_maximum(x[::5], curve[::5], np.tile(curve[::5], (5, 1)))
    assert 0.03 < error < 0.1
    assert abs(place - exact_place) < 3 * error


def test_no_interior_maximum_is_invented():
    x = np.linspace(0, 1, 41)
    rng = np.random.default_rng(0)
    for curve in (np.maximum(x, 1 - x), np.full(41, 0.9), x):
        found = []
        for _ in range(20):
            noisy = curve + 0.01 * rng.normal(size=41)
            found.append(interior_maximum(x, noisy, noisy + 0.01 * rng.normal(size=(50, 41))))
        assert np.isnan(found).all(axis=1).mean() >= 0.9
        assert np.isnan(interior_maximum(x, curve, np.tile(curve, (5, 1)))).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network": "transformer"}, "Argument `network` must be one of"),
        ({"strategy": "both"}, "Argument `strategy` must be one of"),
        ({"n_seeds": 0}, "Argument `n_seeds` must be an integer"),
        ({"n_splits": 2.5}, "Argument `n_splits` must be an integer"),
        ({"splits": [3.0, 2.0]}, "finite, increasing"),
        ({"splits": [0.5, 2.0]}, "strictly between"),
        ({"held_out_fraction": 1.0}, "Argument `held_out_fraction` must lie"),
        ({"validation_fraction": 1.0}, "Argument `validation_fraction` must lie"),
        ({"network": "cnn", "shape": (5, 5)}, "Argument `shape` must have as many sites"),
        ({"augment": ("mirror",)}, "Argument `augment` must be"),
        ({"max_epochs": 0}, "Argument `max_epochs` must be"),
        ({"device": "abacus"}, "Argument `device` must"),
    ],
)
def test_wrong_settings_are_refused(scan, settings, message):
    X, temperature, _ = scan
    with pytest.raises(ValueError, match=message):
        ConfusionScheme(**settings).fit(X[::40], temperature[::40])


def test_wrong_data_are_refused(scan, fitted):
    X, temperature, energy = scan
    scheme = ConfusionScheme(max_epochs=1)
    with pytest.raises(ValueError, match="at least 2 different"):
        scheme.fit(X, np.ones(len(X)))
    with pytest.raises(ValueError, match="at least 2 independent groups"):
        scheme.fit(X, temperature, groups=np.zeros(len(X)))
    with pytest.raises(ValueError, match="one entry a row"):
        scheme.fit(X, temperature, groups=[0, 1])
    with pytest.raises(ValueError, match="NaN"):
        scheme.fit(np.where(X > 0, np.nan, 0.0), temperature)
    with pytest.raises(ValueError, match="inf"):
        scheme.fit(X, np.where(temperature > 4, np.inf, temperature))
    with pytest.raises(ValueError, match="features"):
        fitted.predict(X[:, :9])
    with pytest.raises(ValueError, match="finite numbers"):
        optimal_indicator(np.full(len(X), np.nan), temperature, splits=SPLITS)
    with pytest.raises(ValueError, match="must be a mask"):
        optimal_indicator(energy, temperature, splits=SPLITS, held_out=np.ones(len(X), dtype=bool))
    with pytest.raises(ValueError, match="not of sum 1"):
        exact_indicator([[0.5, 0.6], [0.5, 0.5]], [1.0, 2.0], splits=[1.5])
    with pytest.raises(ValueError, match="one row a parameter value"):
        exact_indicator([[0.5, 0.5]], [1.0, 2.0], splits=[1.5])
    with pytest.raises(ValueError, match="Argument `weights`"):
        exact_indicator([[0.5, 0.5]] * 2, [1.0, 2.0], splits=[1.5], weights=[-1.0, 2.0])


def test_few_chains_are_enough_for_a_curve_but_not_for_an_error(scan):
    X, temperature, _ = scan
    groups = np.arange(len(X)) % 3
    scheme = ConfusionScheme(splits=[2.2], max_epochs=2, held_out_fraction=0.3, validation_fraction=0, random_state=0)
    scheme.fit(X, temperature, groups=groups)
    assert len(np.unique(groups[scheme.held_out_])) == 1
    assert np.isfinite(scheme.indicator_).all()
    assert np.isnan(scheme.indicator_error_).all()
    assert np.isnan(scheme.critical_point_)


def test_the_network_of_a_confusion_knows_the_order_parameter(fitted, scan):
    X, temperature, _ = scan
    q, m = fitted.order_parameter(X), X.mean(axis=1)
    np.testing.assert_allclose(fitted.order_parameter(-X), -q, rtol=1e-9, atol=1e-12)
    assert abs(np.corrcoef(q, m)[0, 1]) > 0.9
    assert np.mean(q[temperature == temperature.min()] ** 2) > 2 * np.mean(q[temperature == temperature.max()] ** 2)
    height, width = SHAPE
    tiled = np.tile(X.reshape(-1, height, width), (1, 2, 1)).reshape(len(X), -1)
    np.testing.assert_allclose(fitted.resized((2 * height, width)).order_parameter(tiled), q, rtol=1e-9, atol=1e-12)


def test_no_order_parameter_without_snapshots():
    scheme = ConfusionScheme(max_epochs=1, random_state=0)
    scheme.fit(np.random.default_rng(0).normal(size=(40, 5)), np.repeat([1.0, 2.0], 20))
    with pytest.raises(ValueError, match="needs a fit on snapshots"):
        scheme.order_parameter(np.zeros((1, 5)))
    with pytest.raises(ValueError, match="Only a CNN"):
        scheme.resized((5,))
