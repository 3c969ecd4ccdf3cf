"""Wick's theorem against closed forms and sampled states; networks of finite width against the infinite one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qmlphys import exact
from qmlphys.hamiltonians import TransverseIsing
from qmlphys.lattices import chain
from qmlphys.nqs.infinite_width import (
    CosNetKernel,
    GaussianProcessState,
    annealed_purity,
    annealed_renyi,
    cosnet_ensemble,
    cosnet_renyi,
    ensemble_entanglement,
    infinite_cosnet_states,
    saturated_purity,
)
from qmlphys.nqs.neural_tangent import StringSet, TangentCosNet


def page(n_a, n):
    """Page, Phys. Rev. Lett. 71, 1291 (1993): mean entropy of random states, for the smaller side first."""
    small, large = sorted((2**n_a, 2 ** (n - n_a)))
    return sum(1 / k for k in range(large + 1, small * large + 1)) - (small - 1) / (2 * large)


def moment(states, n_a, order):
    """Tr rho_A^m of states that keep their norms, and norm^m, one a row."""
    cut = states.reshape(len(states), -1, 2**n_a)
    values = np.linalg.svd(cut, compute_uv=False) ** 2
    return (values**order).sum(1), values.sum(1) ** order


# The kernel


def test_kernel_is_the_correlation_of_many_units():
    n, width = 4, 200_000
    strings = StringSet.all(n)
    network = TangentCosNet.random(n, width=width, sigma_w=1.3, sigma_a=0.8, rng=1).parameters
    # f is a sum of independent units: the correlation of one unit, averaged over units, is the kernel.
    units = network.a[0] * np.cos(strings.spins @ (network.w[0] / 2).T + network.b[0])
    found = units @ units.T / width
    expected = CosNetKernel(1.3, 0.8)(strings.spins, strings.spins)
    assert np.abs(found - expected).max() < 5 * 0.8**2 / math.sqrt(width)
    assert np.abs(found - CosNetKernel(1.0, 0.8)(strings.spins, strings.spins)).max() > 0.02


def test_kernel_is_a_product_over_sites():
    kernel = CosNetKernel(1.7, 1.2)
    factor, product = kernel.site_factor(5), np.ones((1, 1))
    for _ in range(5):
        product = np.kron(factor, product)
    strings = StringSet.all(5).spins
    np.testing.assert_allclose(kernel(strings, strings), 1.44 / 2 * product, rtol=1e-13)


# Wick's theorem


@pytest.mark.parametrize("subsystem", [[0], [0, 1], [1, 3], [4, 0, 2], []])
@pytest.mark.parametrize("order", [2, 3])
def test_dense_sum_agrees_with_the_product_form(subsystem, order):
    found = annealed_renyi(CosNetKernel(1.4), 5, subsystem=subsystem, order=order)
    assert found == pytest.approx(cosnet_renyi(5, len(subsystem), sigma_w=1.4, order=order), abs=1e-12)


def test_dense_sum_of_fourth_order():
    found = annealed_renyi(CosNetKernel(1.4), 4, subsystem=[0, 2], order=4)
    assert found == pytest.approx(cosnet_renyi(4, 2, sigma_w=1.4, order=4), abs=1e-12)


@pytest.mark.parametrize("sigma_w", [0.3, 1.0, 3.0, 10.0])
@pytest.mark.parametrize(("n", "n_a"), [(4, 2), (10, 3), (30, 15), (7, 0), (7, 7)])
def test_purity_is_the_closed_form(n, n_a, sigma_w):
    # The formula is in the docstring of annealed_purity; here from the general sum over pairings.
    assert cosnet_renyi(n, n_a, sigma_w=sigma_w) == pytest.approx(
        -math.log(annealed_purity(n, n_a, sigma_w=sigma_w)), abs=1e-12
    )
    assert annealed_purity(n, n_a, sigma_w=sigma_w) == annealed_purity(n, n - n_a, sigma_w=sigma_w)


def correlated(n, rng, *, hermitian=False):
    """A covariance without any product structure, and a square root of it."""
    generator = np.random.default_rng(rng)
    root = generator.standard_normal((2**n, 3))
    if hermitian:
        root = root + 1j * generator.standard_normal((2**n, 3))
    return root @ root.conj().T, root


@pytest.mark.parametrize("field", ["complex", "real", "hermitian"])
@pytest.mark.parametrize("order", [2, 3])
def test_wick_sums_agree_with_sampled_states(field, order):
    n, n_a, n_draws = 3, 1, 60_000
    matrix, root = correlated(n, 5, hermitian=field == "hermitian")
    generator = np.random.default_rng(6)
    noise = generator.standard_normal((n_draws, 3))
    if field != "real":
        noise = noise + 1j * generator.standard_normal((n_draws, 3))
    above, below = moment(noise @ root.T, n_a, order)
    ratio = above.mean() / below.mean()
    error = (above - ratio * below).std() / math.sqrt(n_draws) / below.mean()
    kind = "real" if field == "real" else "complex"
    expected = math.exp((1 - order) * annealed_renyi(matrix, n, subsystem=[0], order=order, field=kind))
    assert abs(ratio - expected) < 5 * error
    # The same numbers for another block, and for the other kind of field, must not fit.
    other = math.exp((1 - order) * annealed_renyi(matrix, n, subsystem=[1], order=order, field=kind))
    assert abs(ratio - other) > 10 * error
    if field == "real":
        wrong = math.exp((1 - order) * annealed_renyi(matrix, n, subsystem=[0], order=order))
        assert abs(ratio - wrong) > 10 * error


def test_white_noise_gives_the_moments_of_random_states():
    # Lubkin, J. Math. Phys. 19, 1028 (1978); third moment: Zyczkowski and Sommers, J. Phys. A 34, 7111 (2001).
    d_a, d_b = 4, 8
    identity = np.eye(d_a * d_b)
    second = (d_a + d_b) / (d_a * d_b + 1)
    third = ((d_a + d_b) ** 2 + d_a * d_b + 1) / ((d_a * d_b + 1) * (d_a * d_b + 2))
    assert annealed_renyi(identity, 5, subsystem=[0, 3]) == pytest.approx(-math.log(second), abs=1e-12)
    assert annealed_renyi(identity, 5, subsystem=[0, 3], order=3) == pytest.approx(-math.log(third) / 2, abs=1e-12)
    # Real random states: E Tr rho^2 = (d_A + d_B + 1) / (d_A d_B + 2), three pairings in place of two.
    real = annealed_renyi(identity, 5, subsystem=[0, 3], field="real")
    assert real == pytest.approx(-math.log((d_a + d_b + 1) / (d_a * d_b + 2)), abs=1e-12)


def test_a_single_state_has_no_random_entanglement():
    # A kernel of rank one is one fixed state times a random number.
    state = np.zeros(16)
    state[[0, 15]] = 1.0
    for order in (2, 3, 4):
        found = annealed_renyi(np.outer(state, state), 4, subsystem=[0, 1], order=order)
        assert found == pytest.approx(math.log(2), abs=1e-12)


# Saturation and volume law


def test_entropy_saturates_at_fixed_sigma_w():
    for sigma_w in (0.5, 1.0, 2.0):
        found = [-math.log(annealed_purity(n, n // 2, sigma_w=sigma_w)) for n in (10, 40, 160, 640, 2560)]
        steps = np.diff(found)
        assert (np.abs(steps[1:]) < 0.4 * np.abs(steps[:-1])).all()  # each fourfold size adds a quarter of the last
        limit = -math.log(saturated_purity(0.5, sigma_w=sigma_w))
        assert found[-1] == pytest.approx(limit, rel=5e-3)
        assert limit < sigma_w**2  # 2 sigma_w^2 n_A / n


def test_volume_law_needs_sigma_w_squared_like_n():
    found = [-math.log(annealed_purity(n, n // 2, sigma_w=math.sqrt(0.3 * n))) for n in (40, 80, 160)]
    r = (1 + math.exp(-1.2)) / 2
    np.testing.assert_allclose(np.diff(found), [-20 * math.log(r), -40 * math.log(r)], rtol=1e-3)


# Ensembles


def check_against_closed_form(n, sigma_w, width, n_draws, rng):
    found = cosnet_ensemble(n, n // 2, sigma_w=sigma_w, width=width, n_draws=n_draws, rng=rng)
    # Exactly, at this width, ...
    assert abs(found.annealed_purity.deviation(annealed_purity(n, n // 2, sigma_w=sigma_w, width=width))) < 5
    # ... and near the infinite one: 12/H of the purity at these sizes.
    expected = annealed_purity(n, n // 2, sigma_w=sigma_w)
    difference = abs(found.annealed_purity.mean - expected)
    assert difference < max((0.01 if width >= 4000 else 0.03) * expected, 3 * found.annealed_purity.error)
    return found


@pytest.mark.parametrize("sigma_w", [3.0, 5.0, 10.0])
def test_networks_of_width_4000_have_the_purity_of_the_infinite_one(sigma_w):
    check_against_closed_form(8, sigma_w, 4000, 60, 3)


@pytest.mark.parametrize(("width", "sigma_w"), [(1, 0.7), (1, 10.0), (2, 2.0), (30, 2.0)])
def test_purity_of_narrow_networks_is_exact(width, sigma_w):
    found = cosnet_ensemble(6, 2, sigma_w=sigma_w, width=width, n_draws=3000, rng=13).annealed_purity
    assert abs(found.deviation(annealed_purity(6, 2, sigma_w=sigma_w, width=width))) < 5
    if width <= 2:
        assert abs(found.deviation(annealed_purity(6, 2, sigma_w=sigma_w))) > 6


def test_purity_of_finite_widths_runs_to_the_infinite_one():
    limit = annealed_purity(12, 5, sigma_w=2.0)
    gaps = [annealed_purity(12, 5, sigma_w=2.0, width=10**k) - limit for k in (2, 3, 4, 5)]
    np.testing.assert_allclose(np.divide(gaps[:-1], gaps[1:]), 10, rtol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("sigma_w", [3.0, 5.0, 10.0])
@pytest.mark.parametrize("width", [400, 1000, 4000])
def test_networks_of_ten_sites(width, sigma_w):
    found = check_against_closed_form(10, sigma_w, width, 300, 4)
    if sigma_w == 10:
        # Page's value, where the largest possible entropy lies 0.5 above.
        assert found.entropy.mean == pytest.approx(page(5, 10), rel=2.5 / width + 1e-3)
        assert abs(found.entropy.mean - 5 * math.log(2)) > 0.3


def test_infinite_states_have_the_covariance_of_the_kernel():
    n, sigma_w, n_draws = 3, 1.1, 15_000
    generator = np.random.default_rng(7)
    draw = infinite_cosnet_states(n, sigma_w=sigma_w)
    states = np.stack([draw(generator) for _ in range(n_draws)])
    strings = StringSet.all(n).spins
    kernel = CosNetKernel(sigma_w)(strings, strings)
    assert np.abs(states.T @ states.conj() / n_draws - 2 * kernel).max() < 6 / math.sqrt(n_draws)
    assert np.abs(states.T @ states / n_draws).max() < 6 / math.sqrt(n_draws)
    process = GaussianProcessState.prior(CosNetKernel(sigma_w), n).sample(n_draws, rng=8)
    assert np.abs(process.T @ process.conj() / n_draws - 2 * kernel).max() < 6 / math.sqrt(n_draws)


def test_ten_standard_deviations_of_w_lead_to_random_states():
    found = cosnet_ensemble(10, 4, sigma_w=10.0, width=None, n_draws=200, rng=9)
    assert found.entropy.mean == pytest.approx(page(4, 10), abs=5 * found.entropy.error + 1e-3)
    assert found.entropy.error < 0.002
    assert page(4, 10) < 4 * math.log(2) - 0.1
    assert abs(found.annealed_purity.deviation(annealed_purity(10, 4, sigma_w=10.0))) < 5


def test_annealed_and_mean_purity_part_at_small_sigma_w():
    # Norm and purity are dependent: large norms come with states near a product, and count more in the annealed one.
    gaps = {}
    for sigma_w in (1.0, 10.0):
        found = cosnet_ensemble(8, 4, sigma_w=sigma_w, width=None, n_draws=1500, rng=10)
        assert abs(found.annealed_purity.deviation(annealed_purity(8, 4, sigma_w=sigma_w))) < 5
        gaps[sigma_w] = found.annealed_purity.mean - found.mean_purity.mean
        if sigma_w == 1.0:
            assert gaps[sigma_w] > 10 * (found.annealed_purity.error + found.mean_purity.error)
            assert found.renyi.mean > -math.log(found.mean_purity.mean)  # Jensen
    assert gaps[1.0] > 0.08
    assert abs(gaps[10.0]) < 1e-3


def test_ensemble_of_known_states():
    bell = np.zeros(16)
    bell[[0, 5]] = 1.0  # sites 0 and 2

    def draw(rng):
        return bell * rng.random() if rng.random() < 0.5 else np.eye(16)[3] * 2

    found = ensemble_entanglement(draw, 4, n_a=1, n_draws=2000, rng=12)
    assert abs(found.mean_purity.deviation(0.75)) < 5
    assert abs(found.entropy.deviation(math.log(2) / 2)) < 5
    # E[norm^2 purity] = (4/5 * 1/2 + 16) / 2 with norm = 2 u^2, and E[norm^2] = (4/5 + 16) / 2.
    assert abs(found.annealed_purity.deviation(16.4 / 16.8)) < 5


# Gaussian processes


def tfim(n, field=1.0):
    return exact.ground_state(TransverseIsing(chain(n), field=field), vectors=True).vector


def test_all_amplitudes_known_is_the_target():
    target = tfim(6) * np.exp(0.4j)
    prior = GaussianProcessState.prior(CosNetKernel(math.sqrt(6)), 6)
    posterior = prior.condition(np.arange(64), target)
    np.testing.assert_allclose(posterior.mean, target, atol=1e-13)
    assert np.abs(posterior.covariance).max() < 1e-13
    assert posterior.infidelity(target) < 1e-13
    np.testing.assert_allclose(posterior.sample(2, rng=0), np.stack([target, target]), atol=1e-6)
    assert prior.infidelity(target) == 1


def test_conditioning_is_that_of_the_joint_normal_distribution():
    prior = GaussianProcessState.prior(CosNetKernel(1.0), 4)
    known, values = np.array([2, 7, 11]), np.array([0.3, -0.2 + 0.5j, 1.1j])
    posterior = prior.condition(known, values, noise=0.1)
    # By the precision matrix of all: block inversion, the other way round.
    rest = np.setdiff1d(np.arange(16), known)
    noisy = prior.covariance.copy()
    noisy[known, known] += 0.01
    precision = np.linalg.inv(noisy)
    block = np.linalg.inv(precision[np.ix_(rest, rest)])
    np.testing.assert_allclose(posterior.covariance[np.ix_(rest, rest)], block, atol=1e-9)
    mean = -block @ precision[np.ix_(rest, known)] @ values
    np.testing.assert_allclose(posterior.mean[rest], mean, atol=1e-9)
    # One after the other gives the same as all at once.
    turns = prior.condition(known[:2], values[:2], noise=0.1).condition(known[2:], values[2:], noise=0.1)
    np.testing.assert_allclose(turns.mean, posterior.mean, atol=1e-9)
    np.testing.assert_allclose(turns.covariance, posterior.covariance, atol=1e-9)


def test_posterior_samples_have_its_mean_and_covariance():
    prior = GaussianProcessState.prior(CosNetKernel(1.0), 3)
    posterior = prior.condition([1, 6], [0.5, -0.3j])
    draws = posterior.sample(40_000, rng=3)
    np.testing.assert_allclose(draws[:, [1, 6]], np.tile([0.5, -0.3j], (40_000, 1)), atol=1e-6)
    assert np.abs(draws.mean(0) - posterior.mean).max() < 5 / 200
    centred = draws - posterior.mean
    assert np.abs(centred.T @ centred.conj() / 40_000 - 2 * posterior.covariance).max() < 6 / 200


def test_a_target_is_recovered_from_part_of_its_amplitudes():
    n = 8
    target = tfim(n, field=1.5)
    order = np.random.default_rng(4).permutation(2**n)
    infidelities = {}
    for sigma_w in (1.0, 10.0):
        prior = GaussianProcessState.prior(CosNetKernel(sigma_w), n)
        infidelities[sigma_w] = [
            prior.condition(order[:m], target[order[:m]], noise=1e-6).infidelity(target) for m in (32, 128, 224)
        ]
        assert np.all(np.diff(infidelities[sigma_w]) < 0)
    # A smooth kernel tells what was not shown; a white one only repeats what was.
    missing = 1 - np.linalg.norm(target[order[:128]]) ** 2
    assert infidelities[10.0][1] == pytest.approx(missing, rel=0.05)
    assert infidelities[1.0][1] < 0.1 * missing


def test_a_sector_as_a_process():
    strings = StringSet.all(6).spins
    sector = strings[strings.sum(1) == 0]
    process = GaussianProcessState.prior(CosNetKernel(2.0), 6, strings=sector)
    assert process.sample(2, rng=0).shape == (2, 20)
    target = np.random.default_rng(0).standard_normal(20)
    assert process.condition(np.arange(20), target).infidelity(target) < 1e-12


# Bad input


def test_bad_numbers():
    cases = [
        ("`sigma_w` must be positive", lambda: CosNetKernel(0.0)),
        ("`y` must have 2 sites", lambda: CosNetKernel(1.0)([[1, 1]], [[1]])),
        ("`n_a` must be between", lambda: annealed_purity(4, 5, sigma_w=1.0)),
        ("`width` must be", lambda: annealed_purity(4, 2, sigma_w=1.0, width=0)),
        ("`fraction` must lie", lambda: saturated_purity(1.5, sigma_w=1.0)),
        ("`order` must be between 2 and 8", lambda: cosnet_renyi(4, 2, sigma_w=1.0, order=9)),
        ("`order` must be between 2 and 4", lambda: annealed_renyi(CosNetKernel(1.0), 4, subsystem=[0], order=5)),
        ("`n` must be between 1 and 6", lambda: annealed_renyi(CosNetKernel(1.0), 7, subsystem=[0], order=4)),
        ("`subsystem` must be between", lambda: annealed_renyi(CosNetKernel(1.0), 4, subsystem=[4])),
        ("`subsystem` must hold each", lambda: annealed_renyi(CosNetKernel(1.0), 4, subsystem=[1, 1])),
        ("`field` must be", lambda: annealed_renyi(np.eye(4), 2, subsystem=[1], field="quaternion")),
        ("`kernel` must hold", lambda: annealed_renyi(np.eye(4), 3, subsystem=[1])),
        ("must be symmetric", lambda: annealed_renyi(np.triu(np.ones((4, 4))), 2, subsystem=[1])),
        ("must be real", lambda: annealed_renyi(np.eye(4) + 0j, 2, subsystem=[1], field="real")),
        ("positive trace", lambda: annealed_renyi(np.zeros((4, 4)), 2, subsystem=[1])),
        ("must return 4 x 4", lambda: annealed_renyi(lambda x, y: x, 2, subsystem=[1])),
        ("must be symmetric", lambda: annealed_renyi(lambda x, y: x @ np.ones((2, 4)), 2, subsystem=[1])),
        ("`width` must be", lambda: cosnet_ensemble(4, 2, sigma_w=1.0, width=0, n_draws=3)),
        ("`n_draws` must be", lambda: cosnet_ensemble(4, 2, sigma_w=1.0, width=4, n_draws=1)),
        ("`n_a` must be between 1 and 3", lambda: cosnet_ensemble(4, 4, sigma_w=1.0, width=4, n_draws=2)),
        ("`draw` must return", lambda: ensemble_entanglement(lambda rng: np.zeros(4), 2, n_a=1, n_draws=2)),
        ("`n` must be between 1 and 24", lambda: infinite_cosnet_states(25, sigma_w=1.0)),
    ]
    for match, call in cases:
        with pytest.raises(ValueError, match=match):
            call()


def test_bad_processes():
    with pytest.raises(TypeError, match="`kernel` must be callable"):
        GaussianProcessState.prior("rbf", 3)
    with pytest.raises(ValueError, match="between 1 and 12"):
        GaussianProcessState.prior(CosNetKernel(1.0), 13)
    with pytest.raises(ValueError, match="must have 3 sites"):
        GaussianProcessState.prior(CosNetKernel(1.0), 3, strings=[[1, 1]])
    prior = GaussianProcessState.prior(CosNetKernel(1.0), 3)
    cases = [
        ("none twice", ([1, 1], [1.0, 1.0]), {}),
        ("`known` must lie", ([8], [1.0]), {}),
        ("`amplitudes` must hold 2", ([1, 2], [1.0]), {}),
        ("`noise` must be at least 0", ([1], [1.0]), {"noise": -1.0}),
    ]
    for match, arguments, keywords in cases:
        with pytest.raises(ValueError, match=match):
            prior.condition(*arguments, **keywords)
    with pytest.raises(ValueError, match="`target` must have shape"):
        prior.infidelity(np.zeros(8))
    flat = GaussianProcessState.prior(CosNetKernel(0.01), 4)
    with pytest.raises(ValueError, match="`noise` must be larger"):
        flat.condition(np.arange(16), np.ones(16))
