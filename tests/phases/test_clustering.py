"""Phases without labels: axes, symmetry, clusters and the transition."""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import gammaln
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator

from qmlphys import snapshots
from qmlphys.hamiltonians import Ising
from qmlphys.lattices import square
from qmlphys.montecarlo import sample
from qmlphys.phases import _embedding
from qmlphys.phases.clustering import PhaseClusterer

N_SITES = 64
TEMPERATURES = np.linspace(0.3, 2.1, 13)

VARIANTS = [
    {},
    {"method": "mixture"},
    {"symmetric": False},
    {"embedding": "diffusion"},
    {"embedding": "diffusion", "method": "mixture", "symmetric": False},
]


def mean_field_distribution(temperature: float, n: int = N_SITES) -> tuple[np.ndarray, np.ndarray]:
    """Magnetisations and their exact probabilities in the Curie-Weiss model, E = -M^2 / 2n (critical at T = 1)."""
    up = np.arange(n + 1)
    magnetization = 2 * up - n
    log = gammaln(n + 1) - gammaln(up + 1) - gammaln(n - up + 1) + magnetization**2 / (2 * n * temperature)
    weight = np.exp(log - log.max())
    return magnetization, weight / weight.sum()


def mean_field_snapshots(temperatures, n_draws: int, seed: int, n: int = N_SITES):
    """Independent snapshots, drawn exactly: the magnetisation first, then which spins are up."""
    rng = np.random.default_rng(seed)
    rows = []
    for temperature in temperatures:
        magnetization, probability = mean_field_distribution(temperature, n)
        up = (rng.choice(magnetization, size=n_draws, p=probability) + n) // 2
        rank = rng.random((n_draws, n)).argsort(axis=1).argsort(axis=1)
        rows.append(np.where(rank < up[:, None], 1, -1).astype(np.int8))
    return np.concatenate(rows), np.repeat(temperatures, n_draws)


@pytest.fixture(scope="module")
def scan():
    return mean_field_snapshots(TEMPERATURES, 150, 0)


@pytest.mark.parametrize("settings_", VARIANTS, ids=str)
def test_scikit_learn_checks(settings_):
    check_estimator(PhaseClusterer(**settings_), on_skip=None)


def test_axis_and_its_share_match_the_exact_second_moment():
    # Exchange symmetry: <s_i s_j> = c off the diagonal, so the leading share is (1 + (n - 1) c) / n = <m^2>.
    X, _ = mean_field_snapshots(TEMPERATURES, 400, 1)
    exact, fluctuation = [], []
    for temperature in TEMPERATURES:
        magnetization, probability = mean_field_distribution(temperature)
        square = (magnetization / N_SITES) ** 2
        exact.append(probability @ square)
        fluctuation.append(probability @ square**2 - exact[-1] ** 2)
    error = np.sqrt(np.mean(fluctuation) / len(X))
    clusterer = PhaseClusterer(random_state=0).fit(X)
    assert abs(clusterer.explained_variance_ratio_[0] - np.mean(exact)) < 4.5 * error + 1e-3
    assert clusterer.explained_variance_ratio_[1] < 0.1
    np.testing.assert_allclose(clusterer.components_ @ clusterer.components_.T, np.eye(2), atol=1e-12)
    overlap = clusterer.components_[0].sum() / np.sqrt(N_SITES)
    assert abs(overlap) > 0.999  # the magnetisation
    second_moment = X.T.astype(float) @ X / len(X)
    np.testing.assert_allclose(
        second_moment @ clusterer.components_[0],
        clusterer.explained_variance_ratio_[0] * N_SITES * clusterer.components_[0],
        atol=1e-12 * N_SITES,
    )


def test_more_features_than_rows_gives_the_same_axes():
    X, _ = mean_field_snapshots([0.5, 2.0], 20, 2)
    wide = PhaseClusterer(random_state=0).fit(X)
    values, vectors = np.linalg.eigh(X.T.astype(float) @ X)
    np.testing.assert_allclose(wide.explained_variance_ratio_, values[:-3:-1] / values.sum(), rtol=1e-10)
    np.testing.assert_allclose(np.abs(wide.components_ @ vectors[:, :-3:-1]), np.eye(2), atol=1e-9)


@pytest.mark.parametrize("formed", [True, False])
@pytest.mark.parametrize("centred", [True, False])
def test_ways_for_many_features_give_the_same_axes(monkeypatch, scan, formed, centred):
    X, _ = scan
    mean = X.mean(axis=0, dtype=float) if centred else np.zeros(N_SITES)
    axes, shares = _embedding.principal_axes(X, mean, 2)
    monkeypatch.setattr(_embedding, "_MAX_DENSE", 10)
    monkeypatch.setattr(_embedding, "_MAX_FORMED", 10_000 if formed else 10)
    for rows, scale in ((X, 1), (X * 2.0, 2)):  # integers take a short cut, floating-point numbers do not
        other, other_shares = _embedding.principal_axes(rows, mean * scale, 2)
        np.testing.assert_allclose(other_shares[0], shares[0], rtol=1e-9)
        np.testing.assert_allclose(other[0], axes[0], atol=1e-7)
        # The second axis lies at the edge of the noise, where subspace iteration is good to some per cent only.
        np.testing.assert_allclose(other_shares[1], shares[1], rtol=1e-9 if formed else 0.02)


@pytest.mark.parametrize("method", ["kmeans", "mixture"])
def test_transition_is_the_exact_root_for_the_cut_that_was_found(method):
    X, parameter = mean_field_snapshots(TEMPERATURES, 400, 3)
    clusterer = PhaseClusterer(n_components=1, method=method, random_state=0).fit(X)
    # The cut in |m|, read off from the prediction for every magnetisation.
    projections = clusterer.transform(X)[:, 0]
    cut = (projections[clusterer.labels_ == 1].min() + projections[clusterer.labels_ == 0].max()) / 2 / np.sqrt(N_SITES)

    def excess(temperature):
        magnetization, probability = mean_field_distribution(temperature)
        return probability[np.abs(magnetization) / N_SITES > cut].sum() - 0.5

    exact = brentq(excess, 0.4, 2.0)
    result = clusterer.transition(X, parameter)
    # The learnt axis is the magnetisation but for noise, which shifts the cut by less than one spin.
    assert abs(result.mean - exact) < 4.5 * result.error
    assert 0.002 < result.error < 0.05
    # |m| = sqrt(3 (1 - T)) passes one half at T = 0.92 in the infinite system: the cut, not the critical point T = 1.
    assert 0.8 < exact < 1.0


def test_transition_error_covers_repeated_experiments():
    results = []
    for seed in range(16):
        X, parameter = mean_field_snapshots(TEMPERATURES, 60, 100 + seed)
        results.append(PhaseClusterer(random_state=0).fit(X).transition(X, parameter, n_resamples=60))
    means, errors = np.array([r.mean for r in results]), np.array([r.error for r in results])
    assert 0.6 < means.std(ddof=1) / np.sqrt(np.mean(errors**2)) < 1.5


def test_square_lattice_ising():
    transitions = {}
    for size in (8, 16):
        dataset = sample(Ising(square(size)), np.linspace(1.5, 3.2, 18), n_chains=16, n_draws=10, rng=size)
        X, temperature, groups = snapshots.as_xy(dataset)
        for name in ("kmeans", "mixture"):
            clusterer = PhaseClusterer(method=name, random_state=0).fit(X)
            transitions[name, size] = clusterer.transition(X, temperature, groups)
            magnetization = np.abs(X.mean(axis=1, dtype=float))
            assert np.corrcoef(clusterer.transform(X)[:, 0], magnetization)[0, 1] > 0.99
    for name in ("kmeans", "mixture"):
        small, large = transitions[name, 8], transitions[name, 16]
        # Above the critical temperature 2 / ln(1 + sqrt 2) = 2.2692 (Onsager 1944), and coming down to it.
        assert 2.2692 < large.mean < 2.46
        assert small.mean - large.mean > 3 * np.hypot(small.error, large.error)
        assert large.error < 0.03


@pytest.mark.parametrize("settings_", [v for v in VARIANTS if v.get("symmetric", True)], ids=str)
def test_mirror_images_are_one_phase(scan, settings_):
    X, _ = scan
    clusterer = PhaseClusterer(random_state=0, **settings_).fit(X)
    np.testing.assert_allclose(clusterer.transform(-X), clusterer.transform(X), rtol=0, atol=1e-9)
    np.testing.assert_array_equal(clusterer.predict(-X), clusterer.predict(X))
    up = np.ones((1, N_SITES), dtype=np.int8)
    assert clusterer.predict(up) == clusterer.predict(-up) == 1
    cold, hot = X[:150], X[-150:]
    assert clusterer.predict(cold).mean() > 0.99
    assert clusterer.predict(hot).mean() < 0.2
    assert set(np.sign(cold.sum(axis=1))) == {-1, 1}
    # Fitting on mirrored rows changes nothing either.
    mirrored = X * np.random.default_rng(0).choice([-1, 1], size=(len(X), 1)).astype(np.int8)
    again = clone(clusterer).fit(mirrored)
    np.testing.assert_array_equal(again.labels_, clusterer.labels_)


def test_without_the_symmetry_the_signs_are_taken_apart(scan):
    # Negative control: what symmetric=True is for.
    X, parameter = scan
    cold = parameter < 0.5
    clusterer = PhaseClusterer(symmetric=False, random_state=0).fit(X)
    agreement = np.mean(clusterer.labels_[cold] == (X[cold].sum(axis=1) > 0))
    assert min(agreement, 1 - agreement) < 0.01
    with pytest.raises(ValueError, match="widen the scan"):
        clusterer.transition(X, parameter)


def test_field_driven_transition_without_the_symmetry():
    # Independent spins in a field h: fraction up (1 + tanh h) / 2; the two clusters exchange at h = 0 by symmetry.
    rng = np.random.default_rng(0)
    field = np.repeat(np.linspace(-1, 1, 21), 60)
    X = np.where(rng.random((len(field), 36)) < (1 + np.tanh(field[:, None])) / 2, 1, -1)
    clusterer = PhaseClusterer(symmetric=False, random_state=0).fit(X)
    result = clusterer.transition(X, field)
    assert abs(result.mean) < 4.5 * result.error
    assert result.error < 0.05


@pytest.mark.parametrize("settings_", VARIANTS, ids=str)
def test_bits_and_spins_are_the_same_snapshots(scan, settings_):
    X, parameter = scan
    bits = (1 - X) // 2
    from_spins = PhaseClusterer(random_state=0, **settings_).fit(X)
    from_bits = PhaseClusterer(random_state=0, **settings_).fit(bits)
    assert (from_spins.alphabet_, from_bits.alphabet_) == ("spins", "bits")
    np.testing.assert_array_equal(from_bits.components_, from_spins.components_)
    np.testing.assert_array_equal(from_bits.labels_, from_spins.labels_)
    np.testing.assert_array_equal(from_bits.predict(X), from_spins.predict(bits))
    np.testing.assert_array_equal(from_bits.transform(bits.astype(float)), from_spins.transform(X))
    if settings_.get("symmetric", True):
        assert from_bits.transition(bits, parameter) == from_spins.transition(X, parameter)


def test_a_row_of_ones_is_read_in_the_alphabet_of_the_fit(scan):
    X, _ = scan
    ones = np.ones((1, N_SITES), dtype=np.int8)
    from_spins = PhaseClusterer(random_state=0, symmetric=False).fit(X)
    from_bits = PhaseClusterer(random_state=0, symmetric=False).fit((1 - X) // 2)
    np.testing.assert_array_equal(from_bits.transform(ones), from_spins.transform(-ones))
    assert (from_bits.predict(ones) != from_spins.predict(ones)).all()
    # Beside other rows there is no doubt.
    np.testing.assert_array_equal(
        from_bits.predict(np.concatenate([ones, X])), from_spins.predict(np.concatenate([ones, X]))
    )
    with pytest.raises(ValueError, match="both -1 and 0"):
        from_bits.predict(np.concatenate([X, 1 - X]) // 2)
    # Averages of bits are averages of spins.
    mean_bit = np.full((1, N_SITES), 0.3)
    np.testing.assert_allclose(from_bits.transform(mean_bit), from_spins.transform(1 - 2 * mean_bit), atol=1e-12)


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**16))
def test_relabelled_sites_and_a_gauge_change_nothing(seed):
    # A Mattis gauge (any fixed set of spins flipped) turns the ferromagnet into any other pattern of order.
    rng = np.random.default_rng(seed)
    X, _ = mean_field_snapshots([0.4, 0.7, 1.0, 1.4, 2.0], 40, 7)
    changed = (X * rng.choice([-1, 1], size=N_SITES).astype(np.int8))[:, rng.permutation(N_SITES)]
    one, other = (PhaseClusterer(random_state=0).fit(data) for data in (X, changed))
    np.testing.assert_allclose(other.transform(changed), one.transform(X), atol=1e-8)
    np.testing.assert_array_equal(other.labels_, one.labels_)


def test_diffusion_coordinates_solve_the_eigenvalue_equation(scan):
    X, _ = scan
    clusterer = PhaseClusterer(embedding="diffusion", n_landmarks=200, random_state=0).fit(X)
    landmarks = clusterer.landmarks_
    assert landmarks.shape == (200, N_SITES)
    # Plain version: distances up to a mirror image, row-normalised kernel, stationary distribution.
    plus = ((landmarks[:, None] - landmarks) ** 2).sum(axis=2)
    minus = ((landmarks[:, None] + landmarks) ** 2).sum(axis=2)
    distances = np.minimum(plus, minus)
    assert clusterer.scale_ == pytest.approx(distances[~np.eye(200, dtype=bool)].mean(), rel=1e-12)
    kernel = np.exp(-distances / clusterer.scale_)
    walk = kernel / kernel.sum(axis=1, keepdims=True)
    stationary = kernel.sum(axis=1) / kernel.sum()
    modes = clusterer.components_.T
    eigenvalues = (stationary[:, None] * modes * (walk @ modes)).sum(axis=0)
    np.testing.assert_allclose(walk @ modes, modes * eigenvalues, atol=1e-10)
    np.testing.assert_allclose((stationary[:, None] * modes**2).sum(axis=0), 1, rtol=1e-10)
    np.testing.assert_allclose(clusterer.transform(landmarks), modes * eigenvalues, atol=1e-10)
    assert 0 < eigenvalues[1] < eigenvalues[0] < 1
    # Out of sample: the leading coordinate follows |m| on rows that are no landmarks.
    magnetization = np.abs(X.mean(axis=1, dtype=float))
    assert abs(np.corrcoef(clusterer.transform(X)[:, 0], magnetization)[0, 1]) > 0.99


def test_diffusion_map_survives_rows_far_from_every_landmark(scan):
    X, _ = scan
    clusterer = PhaseClusterer(embedding="diffusion", bandwidth=1e-3, n_landmarks=50, random_state=0).fit(X)
    assert np.isfinite(clusterer.transform(X)).all()


@pytest.mark.parametrize("settings_", VARIANTS[:2] + VARIANTS[3:4], ids=str)
def test_every_variant_finds_the_same_transition(scan, settings_):
    X, parameter = scan
    result = PhaseClusterer(random_state=0, **settings_).fit(X).transition(X, parameter)
    assert 0.8 < result.mean < 1.1
    assert 0.002 < result.error < 0.06


def test_order_says_which_cluster_is_ordered(scan):
    X, _ = scan
    clusterer = PhaseClusterer(random_state=0).fit(X)
    for label in (0, 1):
        inside = X[clusterer.labels_ == label]
        assert clusterer.order_[label] == pytest.approx(
            ((inside @ clusterer.components_.T) ** 2).sum() / inside.size, rel=1e-12
        )
    assert clusterer.order_[0] < 0.3
    assert clusterer.order_[1] > 0.6
    assert clusterer.cluster_centers_[1, 0] > clusterer.cluster_centers_[0, 0]


def test_one_seed_one_answer_and_pickle_and_pipeline(scan):
    X, parameter = scan
    first, second = (PhaseClusterer(random_state=4).fit(X).transition(X, parameter) for _ in range(2))
    assert first == second
    clusterer = PhaseClusterer(random_state=4, embedding="diffusion", n_landmarks=100).fit(X)
    restored = pickle.loads(pickle.dumps(clusterer))  # noqa: S301
    np.testing.assert_array_equal(restored.predict(X), clusterer.predict(X))
    pipeline = make_pipeline(FunctionTransformer(partial(np.multiply, -1)), PhaseClusterer(random_state=4))
    np.testing.assert_array_equal(pipeline.fit(X).predict(X), PhaseClusterer(random_state=4).fit(X).labels_)
    assert list(PhaseClusterer().fit(X).get_feature_names_out()) == ["phaseclusterer0", "phaseclusterer1"]


@pytest.mark.parametrize(
    "temperatures", [np.linspace(0.2, 0.5, 7), np.linspace(2, 6, 7)], ids=["ordered", "disordered"]
)
@pytest.mark.parametrize("method", ["kmeans", "mixture"])
def test_one_phase_alone_gives_no_transition(temperatures, method):
    X, parameter = mean_field_snapshots(temperatures, 100, 5)
    clusterer = PhaseClusterer(method=method, random_state=0).fit(X)
    with pytest.raises(ValueError, match=r"wid(er|en)"):
        clusterer.transition(X, parameter)


def test_pure_noise_gives_no_transition():
    rng = np.random.default_rng(0)
    X = rng.choice([-1, 1], size=(400, 16))
    for symmetric in (True, False):
        with pytest.raises(ValueError, match=r"wid(er|en)"):
            PhaseClusterer(symmetric=symmetric, random_state=0).fit(X).transition(X, np.repeat(np.arange(10.0), 40))


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"method": "dbscan"}, "Argument `method` must be"),
        ({"embedding": "tsne"}, "Argument `embedding` must be"),
        ({"n_components": 0}, "Argument `n_components` must be an integer"),
        ({"n_components": 65}, "must not exceed the number of rows or of features"),
        ({"n_clusters": True}, "Argument `n_clusters` must be an integer"),
        ({"n_clusters": 10_000}, "must not exceed the number of rows"),
        ({"embedding": "diffusion", "bandwidth": 0.0}, "Argument `bandwidth` must be a positive number"),
        ({"embedding": "diffusion", "n_landmarks": 2}, "must be below the number of landmarks"),
    ],
)
def test_wrong_settings_are_refused(scan, settings_, message):
    with pytest.raises(ValueError, match=message):
        PhaseClusterer(**settings_).fit(scan[0])


def test_degenerate_data_are_refused(scan):
    X, parameter = scan
    for constant in (np.ones((10, 5)), np.zeros((10, 5)), np.full((10, 5), -1)):
        for settings_ in VARIANTS:
            with pytest.raises(ValueError, match="different rows"):
                PhaseClusterer(**settings_).fit(constant)
    # Both signs of one state are one row, up to a mirror image.
    with pytest.raises(ValueError, match="mirror image"):
        PhaseClusterer().fit(np.array([[1, 1, 1]] * 5 + [[-1, -1, -1]] * 5))
    with pytest.raises(ValueError, match="minimum of 2"):
        PhaseClusterer().fit([[1, -1, 1]])
    clusterer = PhaseClusterer(random_state=0).fit(X)
    with pytest.raises(ValueError, match="NaN"):
        clusterer.predict(np.full((1, N_SITES), np.nan))
    with pytest.raises(ValueError, match="features"):
        clusterer.predict(X[:, :5])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        clusterer.transition(X, parameter[:-1])
    with pytest.raises(ValueError, match="must be finite"):
        clusterer.transition(X, np.where(parameter > 2, np.inf, parameter))
    with pytest.raises(ValueError, match="n_groups = 1"):
        clusterer.transition(X, parameter, np.zeros(len(X)))
    with pytest.raises(ValueError, match="at least 2 for a transition"):
        PhaseClusterer(n_clusters=1, random_state=0).fit(X).transition(X, parameter)
