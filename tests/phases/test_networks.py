"""Networks: the fast path is the convolution, nothing depends on the lattice's size, and symmetries hold exactly."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qmlphys.phases._patterns import count_patterns, mean_over_patterns, pattern_spins
from qmlphys.phases._training import build
from qmlphys.phases.networks import DenseNetwork, PeriodicCNN
from tests.reference import patterns

GEOMETRIES = [((7,), 3), ((2,), 5), ((1,), 3), ((5, 6), 3), ((2, 2), 3), ((4, 5), 2), ((3, 4, 5), 2), ((4, 4), 1)]


def random_spins(n: int, n_sites: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).choice(np.array([-1, 1], dtype=np.int8), size=(n, n_sites))


def calibrated(
    shape: tuple[int, ...], kernel_size: int | None = None, seed: int = 0, **settings: object
) -> PeriodicCNN:
    """A float64 network whose whitening is not the identity."""
    network = build(lambda: PeriodicCNN(shape, kernel_size=kernel_size, **settings), seed=seed).double()
    with torch.no_grad():
        network.calibrate(network.features(torch.from_numpy(random_spins(200, int(np.prod(shape)), seed=9)).double()))
    return network


@pytest.mark.parametrize(("shape", "kernel_size"), GEOMETRIES)
def test_pattern_counts_agree_with_the_plain_twin(shape, kernel_size):
    spins = random_spins(20, int(np.prod(shape)))
    counts = count_patterns(spins, shape, kernel_size=kernel_size)
    np.testing.assert_array_equal(counts, patterns.count_patterns(spins, shape, kernel_size))
    table = np.random.default_rng(1).normal(size=counts.shape[1])
    np.testing.assert_allclose(
        mean_over_patterns(spins, shape, table, kernel_size=kernel_size),
        counts @ table / spins.shape[1],
        rtol=1e-12,
        atol=1e-14,
    )


@settings(deadline=None, max_examples=25)
@given(rows=st.integers(1, 9), columns=st.integers(1, 9), seed=st.integers(0, 2**16))
def test_reversing_all_spins_mirrors_the_pattern_counts(rows, columns, seed):
    spins = random_spins(3, rows * columns, seed)
    counts = count_patterns(spins, (rows, columns))
    np.testing.assert_array_equal(count_patterns(-spins, (rows, columns)), counts[:, ::-1])
    assert (counts.sum(1) == rows * columns).all()


def test_counts_of_large_lattices_do_not_overflow():
    spins = np.ones((1, 200 * 200), dtype=np.int8)
    counts = count_patterns(spins, (200, 200))
    assert counts.dtype == np.int32
    assert counts[0, 0] == 40_000
    assert count_patterns(spins[:, :100], (10, 10)).dtype == np.int16


@pytest.mark.parametrize(("shape", "kernel_size"), GEOMETRIES)
def test_the_fast_path_is_the_convolution(shape, kernel_size):
    network = calibrated(shape, kernel_size)
    spins = random_spins(30, int(np.prod(shape)), seed=3)
    counts = torch.from_numpy(count_patterns(spins, shape, kernel_size=kernel_size))
    with torch.no_grad():
        slow = network(torch.from_numpy(spins).double())
        fast = network.forward_histogram(counts)
        torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-9)  # the whitening amplifies rounding by up to 1e3
        torch.testing.assert_close(network.forward_histogram(counts.double() / 7), fast)
        single = copy.deepcopy(network).float()
        torch.testing.assert_close(
            single.features_histogram(counts), single.features(torch.from_numpy(spins).float()), rtol=1e-5, atol=1e-5
        )
    assert slow.std() > 1e-3 or np.prod(shape) < 3


def test_the_fast_path_is_refused_for_what_it_cannot_do():
    assert not PeriodicCNN((6, 6), channels=(4, 4)).supports_histogram
    assert not PeriodicCNN((6, 6), kernel_size=4).supports_histogram
    assert not PeriodicCNN((6, 6, 6), kernel_size=3).supports_histogram
    with pytest.raises(ValueError, match="Pattern counts need one convolution layer"):
        PeriodicCNN((6, 6), channels=(4, 4)).forward_histogram(torch.ones(1, 512))
    with pytest.raises(ValueError, match="at most 12 sites"):
        count_patterns(np.ones((1, 36), dtype=np.int8), (6, 6), kernel_size=4)
    with pytest.raises(ValueError, match=r"shape \(n, 36\)"):
        count_patterns(np.ones((1, 35), dtype=np.int8), (6, 6))
    with pytest.raises(ValueError, match="window must have at most 12"):
        pattern_spins(2, 4)


@pytest.mark.parametrize("channels", [(6,), (6, 5)])
@pytest.mark.parametrize("shape", [(6,), (5, 4), (3, 4, 2)])
def test_the_cnn_is_translation_invariant_and_knows_no_size(shape, channels):
    network = calibrated(shape, channels=channels)
    field = torch.from_numpy(random_spins(8, int(np.prod(shape)), seed=5)).double().reshape(8, *shape)
    axes = tuple(range(1, len(shape) + 1))
    with torch.no_grad():
        logits = network(field.flatten(1))
        moved = network(torch.roll(field, tuple(range(1, len(shape) + 1)), axes).flatten(1))
        torch.testing.assert_close(moved, logits, rtol=1e-9, atol=1e-9)
        # A snapshot repeated periodically shows the same local patterns in the same proportions.
        network.shape = tuple(2 * size for size in shape)
        tiled = network(field.repeat(1, *[2] * len(shape)).flatten(1))
        torch.testing.assert_close(tiled, logits, rtol=1e-9, atol=1e-9)
        assert not torch.allclose(network(-field.repeat(1, *[2] * len(shape)).flatten(1)), logits)


def test_calibration_whitens_what_the_head_sees():
    network = calibrated((6, 6), pointwise=(4,))
    spins = torch.from_numpy(random_spins(200, 36, seed=9)).double()
    with torch.no_grad():
        seen = (network.features(spins) - network.centre) @ network.whiten
    torch.testing.assert_close(seen.mean(0), torch.zeros(4).double(), atol=1e-9, rtol=0)
    covariance = seen.T @ seen / 200
    # Directions that carry less than 1e-6 of the largest variance are left small.
    assert torch.allclose(covariance, torch.diag(covariance.diagonal()), atol=1e-8)
    assert (covariance.diagonal() < 1 + 1e-8).all()
    assert covariance.diagonal().max() == pytest.approx(1)


def test_features_of_the_dense_network_are_linear():
    network = DenseNetwork(10, hidden=(7, 5), n_outputs=3).double()
    x, y = torch.randn(2, 4, 10, dtype=torch.float64)
    with torch.no_grad():
        zero = network.features(torch.zeros(1, 10).double())
        torch.testing.assert_close(network.features(x + y) + zero, network.features(x) + network.features(y))
        torch.testing.assert_close(network.readout(network.features(x)), network(x))
        assert not torch.allclose(network(x + y) + network(0 * x), network(x) + network(y))
    assert network(x).shape == (4, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DenseNetwork(4, hidden=()), "`hidden` must name at least one"),
        (lambda: DenseNetwork(4, hidden=(0,)), "`hidden` must hold positive integers"),
        (lambda: DenseNetwork(4, n_outputs=0), "`n_outputs` must hold positive"),
        (lambda: PeriodicCNN((2, 2, 2, 2)), "`shape` must have 1 to 3 axes"),
        (lambda: PeriodicCNN(()), "`shape` must have 1 to 3 axes"),
        (lambda: PeriodicCNN((4, -4)), "`shape` must hold positive"),
        (lambda: PeriodicCNN((4, 4), channels=()), "`channels` must name at least one"),
        (lambda: PeriodicCNN((4, 4), kernel_size=0), "`kernel_size` must hold positive"),
    ],
)
def test_impossible_networks_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
