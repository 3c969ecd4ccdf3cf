"""The supervised classifier: scikit-learn's contract, honest validation, symmetries, controls."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from qmlphys.hamiltonians import Ising
from qmlphys.lattices import square
from qmlphys.montecarlo import sample
from qmlphys.phases import ConfusionScheme, PhaseClusterer, SupervisedPhaseClassifier, far_ends
from qmlphys.phases.baselines import CutClassifier, accuracy, bayes_limit
from qmlphys.snapshots import as_xy

L = 8
TEMPERATURES = [1.2, 1.6, 2.0, 2.2, 2.4, 2.6, 3.0, 3.6, 4.2]


@pytest.fixture(scope="module")
def scan() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Independent training snapshots of the 8 x 8 Ising model: 9 temperatures, 16 chains, 30 draws."""
    return as_xy(sample(Ising(square(L)), TEMPERATURES, n_chains=16, n_draws=30, rng=1))


@pytest.fixture(scope="module")
def held_out() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same from other chains."""
    return as_xy(sample(Ising(square(L)), TEMPERATURES, n_chains=16, n_draws=30, rng=2))


@pytest.fixture(scope="module", params=["dense", "cnn"])
def fitted(request, scan) -> SupervisedPhaseClassifier:
    """A classifier of the far ends."""
    X, T, groups = scan
    mask, y = far_ends(T)
    return SupervisedPhaseClassifier(request.param, shape=(L, L), max_epochs=20, random_state=0).fit(
        X[mask], y, groups=groups[mask]
    )


@parametrize_with_checks(
    [
        SupervisedPhaseClassifier("dense", hidden=(20,), max_epochs=20, learning_rate=2e-2),
        SupervisedPhaseClassifier("cnn", max_epochs=3),
    ]
)
def test_sklearn_checks(estimator, check):
    check(estimator)


def test_it_clones_pickles_and_reports_how_it_stopped(fitted, held_out):
    X = held_out[0][::7]
    twin = pickle.loads(pickle.dumps(fitted))  # noqa: S301 - our own bytes
    np.testing.assert_array_equal(twin.predict_proba(X), fitted.predict_proba(X))
    np.testing.assert_array_equal(twin.order_parameter(X), fitted.order_parameter(X))
    fresh = clone(fitted)
    assert fresh.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        fresh.predict(X)
    assert fitted.validation_ == "groups"
    assert len(fitted.history_["loss"]) == len(fitted.history_["validation_loss"]) <= 20
    assert fitted.history_["loss"][-1] < fitted.history_["loss"][0]
    assert not fitted.network_.training


def test_one_seed_gives_the_same_bits(fitted, scan):
    X, T, groups = scan
    mask, y = far_ends(T)
    again = clone(fitted).fit(X[mask], y, groups=groups[mask])
    np.testing.assert_array_equal(again.decision_function(X), fitted.decision_function(X))
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    other = clone(fitted).set_params(random_state=1).fit(X[mask], y, groups=groups[mask])
    assert not np.array_equal(other.decision_function(X), fitted.decision_function(X))
    assert torch.equal(before, torch.random.get_rng_state())  # the global generator is the user's


def test_it_works_in_a_pipeline_and_a_grid_search(scan):
    X, T, groups = scan
    mask, y = far_ends(T)
    model = SupervisedPhaseClassifier("cnn", shape=(L, L), max_epochs=3, random_state=0)
    # Shuffled: chains start from alternating signs, so that every other chain would be one sign of the magnetisation.
    folds = StratifiedGroupKFold(2, shuffle=True, random_state=0)
    search = GridSearchCV(model, {"kernel_size": [1, 2], "channels": [(4,), (8,)]}, cv=folds)
    search.fit(X[mask], y, groups=groups[mask])
    assert search.best_score_ > 0.8
    pipeline = make_pipeline(StandardScaler(), SupervisedPhaseClassifier(max_epochs=5, random_state=0)).fit(X[mask], y)
    assert pipeline.score(X[mask], y) > 0.8


def test_bits_and_spins_are_one_snapshot(fitted, held_out):
    X = held_out[0][::5]
    bits = (1 - X) // 2
    for other in (bits, bits.astype(np.float64), X.astype(np.int64)):
        np.testing.assert_array_equal(fitted.predict_proba(other), fitted.predict_proba(X))
    assert 0.1 < fitted.predict_proba(X)[:, 1].mean() < 0.9
    with pytest.raises(ValueError, match="must hold snapshots"):
        fitted.predict(0.5 * X)


def test_the_answer_for_a_row_does_not_depend_on_its_neighbours(fitted, held_out):
    X = held_out[0][:300]
    together = fitted.decision_function(X)
    alone = np.concatenate([fitted.decision_function(row[None]) for row in X[::50]])
    np.testing.assert_allclose(alone, together[::50], rtol=1e-10, atol=1e-10)  # sums of a few hundred terms, reordered


def test_three_phases_can_be_told_apart(scan, held_out):
    """Labels of any kind: three temperatures, by name."""
    names = np.array(["cold", "mild", "hot"])
    chosen = [1.2, 2.2, 4.2]

    def pick(data):
        X, T, groups = data
        keep = np.isin(T, chosen)
        return X[keep], names[np.searchsorted(chosen, T[keep])], groups[keep]

    X, y, groups = pick(scan)
    model = SupervisedPhaseClassifier("cnn", shape=(L, L), max_epochs=25, random_state=0).fit(X, y, groups=groups)
    assert model.classes_.tolist() == ["cold", "hot", "mild"]
    X, y, _ = pick(held_out)
    assert model.score(X, y) > 0.85  # a third by chance
    probability = model.predict_proba(X)
    np.testing.assert_allclose(probability.sum(1), 1, rtol=1e-12)
    assert (model.classes_[probability.argmax(1)] == model.predict(X)).all()
    with pytest.raises(ValueError, match="needs two classes"):
        model.transition(X, np.arange(len(X)))
    with pytest.raises(ValueError, match="two classes"):
        model.order_parameter(X)


def test_networks_lie_between_the_magnetisation_and_the_bayes_limit(scan, held_out):
    """Labels by temperature, cut at 2.3: the CNN comes near the limit, and nothing passes it."""
    X, T, groups = scan
    y = (T < 2.3).astype(int)
    X_test, T_test, groups_test = held_out
    y_test = (T_test < 2.3).astype(int)
    energy = Ising(square(L)).energy(X_test)
    limit = bayes_limit(energy, T_test, y_test, groups=groups_test)
    cut = CutClassifier("magnetization").fit(X, y)
    energy_cut = CutClassifier("energy", lattice=square(L)).fit(X, y)
    line = accuracy(y_test, cut.predict(X_test), groups=groups_test, parameter=T_test)
    settings = {"shape": (L, L), "random_state": 0, "augment": ("translations", "flip")}
    found = {}
    for network in ("dense", "cnn"):
        model = SupervisedPhaseClassifier(network, **settings).fit(X, y, groups=groups)
        found[network] = accuracy(y_test, model.predict(X_test), groups=groups_test, parameter=T_test)
    best = accuracy(y_test, energy_cut.predict(X_test), groups=groups_test, parameter=T_test)
    for estimate in (line, best, *found.values()):
        assert 0.8 < estimate.mean < limit.mean + 5 * np.hypot(estimate.error, limit.error)
    # All on the same rows, so that their scatter cancels; 4,320 training rows only (the benchmark has 100,000).
    assert found["dense"].mean > line.mean - 0.01
    assert found["cnn"].mean > best.mean - 0.01


@pytest.mark.parametrize("network", ["dense", "cnn"])
def test_shuffled_labels_carry_nothing(network, scan, held_out):
    """Control: labels drawn at random a chain give half of the held-out rows right, within 5 standard errors."""
    X, T, groups = scan
    rng = np.random.default_rng(3)
    y = rng.permutation(np.arange(groups.max() + 1) % 2)[groups]
    model = SupervisedPhaseClassifier(network, shape=(L, L), max_epochs=5, random_state=0).fit(X, y, groups=groups)
    X_test, T_test, groups_test = held_out
    y_test = rng.permutation(np.arange(groups_test.max() + 1) % 2)[groups_test]
    assert abs(accuracy(y_test, model.predict(X_test), groups=groups_test).deviation(0.5)) < 5
    honest = clone(model).fit(X, T < 2.3, groups=groups)
    assert honest.score(X_test, T_test < 2.3) > 0.8


def test_validation_on_chains_sees_what_rows_hide():
    """A chain that stands still is learnt by heart: rows of it held out look easy, whole chains of it do not."""
    rng = np.random.default_rng(0)
    chains = rng.choice([-1, 1], size=(60, 30)).astype(np.int8)
    X, groups = np.repeat(chains, 10, axis=0), np.repeat(np.arange(60), 10)
    y = (np.arange(60) % 2)[groups]
    settings = {"max_epochs": 40, "patience": 40, "random_state": 0, "validation_fraction": 0.2}
    by_chain = SupervisedPhaseClassifier(**settings).fit(X, y, groups=groups)
    by_row = SupervisedPhaseClassifier(**settings).fit(X, y)
    assert (by_chain.validation_, by_row.validation_) == ("groups", "rows")
    assert by_row.history_["validation_loss"][-1] < 0.2
    assert by_chain.history_["validation_loss"][-1] > np.log(2)
    with pytest.warns(UserWarning, match="at least 2 groups of each class"):
        SupervisedPhaseClassifier(max_epochs=1).fit(X, y, groups=y)


def test_the_transition_lies_between_the_ends(fitted, held_out, scan):
    X, T, groups = held_out
    crossing = fitted.transition(X, T, groups=groups)
    # At L = 8 the crossing is a property of the trained threshold, not T_c: it only has to lie where |m| falls.
    assert 2.0 < crossing.mean < 2.7
    assert 0 < crossing.error < 0.1
    # Shifted ends move it by less than the finite-size rounding of the transition, which is about T_c / L.
    mask, y = far_ends(scan[1], low=1.2, high=3.0)
    shifted = clone(fitted).fit(scan[0][mask], y, groups=scan[2][mask]).transition(X, T, groups=groups)
    assert abs(shifted.mean - crossing.mean) < 2.3 / L
    with pytest.raises(ValueError, match="must run from one phase into the other"):
        fitted.transition(X[T > 3], T[T > 3], groups=groups[T > 3])


def test_the_order_parameter_is_odd_and_follows_the_magnetisation(fitted, held_out):
    X, T, _ = held_out
    q = fitted.order_parameter(X)
    np.testing.assert_allclose(fitted.order_parameter(-X), -q, rtol=1e-9, atol=1e-12)
    assert fitted.order_parameter(np.ones((1, L * L)))[0] == pytest.approx(1, abs=0.05)
    magnetization = X.mean(1)
    for temperature in (2.2, 2.6):
        at = temperature == T
        assert np.corrcoef(q[at], magnetization[at])[0, 1] > 0.99
    hot = np.abs(q[T == 4.2])
    assert hot.mean() < 0.4


def test_an_order_parameter_needs_no_majority(scan):
    """Chains that all chose the same sign of the magnetisation do not spoil the direction."""
    X, T, groups = scan
    mask, y = far_ends(T)
    X = np.where((X.sum(1) < 0) & (T < 2), -X.T, X.T).T
    model = SupervisedPhaseClassifier("cnn", shape=(L, L), max_epochs=5, random_state=0).fit(
        X[mask], y, groups=groups[mask]
    )
    q = model.order_parameter(scan[0])
    cold = T < 2
    assert np.corrcoef(q[cold], scan[0][cold].mean(1))[0, 1] > 0.99


def test_a_dense_network_finds_a_staggered_order(scan):
    """On sublattice-flipped snapshots (the antiferromagnet) the direction is the staggered magnetisation."""
    X, T, groups = scan
    checkerboard = np.where(np.indices((L, L)).sum(0).ravel() % 2, -1, 1).astype(np.int8)
    mask, y = far_ends(T)
    model = SupervisedPhaseClassifier("dense", max_epochs=10, random_state=0).fit(
        (X * checkerboard)[mask], y, groups=groups[mask]
    )
    q = model.order_parameter(X * checkerboard)
    assert abs(np.corrcoef(q, X.mean(1))[0, 1]) > 0.99
    assert abs(model.order_parameter(np.ones((1, L * L)))[0]) < 0.2


def test_a_resized_cnn_gives_tiled_snapshots_the_same_answer(scan, held_out):
    X, T, groups = scan
    mask, y = far_ends(T)
    model = SupervisedPhaseClassifier("cnn", shape=(L, L), max_epochs=3, random_state=0).fit(
        X[mask], y, groups=groups[mask]
    )
    small = held_out[0][::20]
    tiled = np.tile(small.reshape(-1, L, L), (1, 2, 3)).reshape(len(small), -1)
    large = model.resized((2 * L, 3 * L))
    np.testing.assert_allclose(large.predict_proba(tiled), model.predict_proba(small), rtol=1e-9)
    np.testing.assert_allclose(large.order_parameter(tiled), model.order_parameter(small), rtol=1e-9, atol=1e-12)
    assert model.shape == (L, L)
    assert model.n_features_in_ == L * L
    with pytest.raises(ValueError, match="expecting 384 features"):
        large.predict(small)
    with pytest.raises(ValueError, match="must have 2 axes"):
        model.resized((4,))


def test_a_dense_network_cannot_be_resized(scan):
    X, T, _ = scan
    mask, y = far_ends(T)
    with pytest.raises(ValueError, match="this one is dense"):
        SupervisedPhaseClassifier(max_epochs=1).fit(X[mask], y).resized((4, 4))


def test_deeper_networks_take_the_slow_path(scan, held_out):
    X, T, groups = scan
    mask, y = far_ends(T)
    model = SupervisedPhaseClassifier("cnn", shape=(L, L), channels=(4, 4), pointwise=(), max_epochs=2, random_state=0)
    model.fit(X[mask], y, groups=groups[mask])
    assert not model.network_.supports_histogram
    assert model.score(X[mask], y) > 0.9
    q = model.order_parameter(held_out[0])
    assert abs(np.corrcoef(q, held_out[0].mean(1))[0, 1]) > 0.95


def test_progress_is_shown_only_on_request(scan, capsys):
    X, T, _ = scan
    mask, y = far_ends(T)
    SupervisedPhaseClassifier("cnn", shape=(L, L), max_epochs=1, random_state=0).fit(X[mask], y)
    silent = capsys.readouterr()
    assert silent.out == silent.err == ""
    SupervisedPhaseClassifier("cnn", shape=(L, L), max_epochs=1, random_state=0, verbose=True).fit(X[mask], y)
    shown = capsys.readouterr()
    assert "cnn network" in shown.out + shown.err


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_gpu_gives_the_same_phases(scan, held_out):
    X, T, groups = scan
    mask, y = far_ends(T)
    settings = {"shape": (L, L), "max_epochs": 5, "random_state": 0}
    answers = [
        SupervisedPhaseClassifier("cnn", device=device, **settings)
        .fit(X[mask], y, groups=groups[mask])
        .predict(held_out[0])
        for device in ("cpu", "cuda")
    ]
    assert np.mean(answers[0] == answers[1]) > 0.98


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network": "transformer"}, "`network` must be 'dense' or 'cnn', but it is 'transformer'"),
        ({"shape": (3, 3)}, "`shape` must have as many sites"),
        ({"shape": (2, 2, 2, 2), "network": "cnn"}, "`shape` must have 1 to 3 axes"),
        ({"augment": ("rotations",)}, "`augment` must be 'auto', None or hold"),
        ({"augment": "translations"}, "unless `shape` is given"),
        ({"device": "abacus"}, "`device` must name a device"),
        ({"validation_fraction": 1.0}, r"`validation_fraction` must lie in \[0, 1\)"),
        ({"max_epochs": 0}, "`max_epochs` must be an integer >= 1"),
        ({"hidden": ()}, "`hidden` must name at least one"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    X = np.random.default_rng(0).choice([-1, 1], size=(20, 16))
    with pytest.raises(ValueError, match=message):
        SupervisedPhaseClassifier(**settings).fit(X, np.arange(20) % 2)


def test_wrong_data_are_named():
    rng = np.random.default_rng(0)
    X, y = rng.choice([-1, 1], size=(20, 16)), np.arange(20) % 2
    model = SupervisedPhaseClassifier(max_epochs=1)
    with pytest.raises(ValueError, match="one class only"):
        model.fit(X, np.zeros(20))
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.where(X > 0, np.nan, 1.0), y)
    with pytest.raises(ValueError, match="inconsistent numbers"):
        model.fit(X, y, groups=np.arange(19))
    with pytest.raises(ValueError, match="must not ask for flips unless X holds snapshots"):
        SupervisedPhaseClassifier(augment="flip").fit(rng.normal(size=(20, 16)), y)
    with pytest.raises(ValueError, match="needs a fit on snapshots"):
        model.fit(rng.normal(size=(20, 16)), y).order_parameter(X)


def test_a_whole_data_set_is_refused_with_what_makes_rows_of_it():
    ds = sample(Ising(square(4)), [1.0, 4.0], n_chains=4, n_draws=3, rng=1)
    X, temperature, _ = as_xy(ds)
    supervised = SupervisedPhaseClassifier("dense", max_epochs=1, random_state=0).fit(X, temperature < 2.0)
    clusterer = PhaseClusterer(random_state=0).fit(X)
    confusion = ConfusionScheme("dense", max_epochs=1, random_state=0).fit(X, temperature)
    calls = [
        lambda: SupervisedPhaseClassifier().fit(ds, temperature < 2.0),
        lambda: supervised.predict(ds),
        lambda: supervised.order_parameter(ds),
        lambda: PhaseClusterer().fit(ds),
        lambda: clusterer.predict(ds),
        lambda: ConfusionScheme().fit(ds, temperature),
        lambda: confusion.predict_split_proba(ds),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=r"Argument `X` must be rows .* but it is an xarray.Dataset: .*as_xy"):
            call()


def test_fitting_is_quiet(scan):
    X, T, groups = scan
    mask, y = far_ends(T)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SupervisedPhaseClassifier("cnn", shape=(L, L), max_epochs=1).fit(X[mask], y, groups=groups[mask])
