"""The training loop: one seed, no leak between the groups, masks that mask, threads left as found."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qmlphys.phases._augmentation import Augmentation
from qmlphys.phases._patterns import count_patterns
from qmlphys.phases._training import Plan, build, logits_of, split_rows, torch_threads, train
from qmlphys.phases.networks import DenseNetwork, PeriodicCNN


def problem(n: int = 400, n_sites: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Cold rows (mostly one sign) against hot ones."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    up = np.where(y == 1, 0.9, 0.5)[:, None]
    spins = np.where(rng.random((n, n_sites)) < up, 1, -1) * rng.choice([-1, 1], size=(n, 1))
    return spins.astype(np.int8), y


def test_one_seed_gives_the_same_bits_and_leaves_torch_as_it_was():
    X, y = problem()
    mask = np.arange(len(y)) % 5 == 0
    threads = torch.get_num_threads()
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    results = []
    for seed in (1, 1, 2):
        network = build(partial(DenseNetwork, 16, hidden=(8,)), seed=seed)
        history = train(network, X, y, validation=mask, plan=Plan(max_epochs=4, batch_size=32), seed=seed)
        results.append((history, logits_of(network, X)))
    assert results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1], results[1][1])
    assert not np.array_equal(results[0][1], results[2][1])
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads


def test_threads_are_restored_even_after_an_error():
    before = torch.get_num_threads()
    seen = []

    def fail() -> None:
        with torch_threads(1):
            seen.append(torch.get_num_threads())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert seen == [1]
    assert torch.get_num_threads() == before


def test_the_best_epoch_is_the_one_that_is_kept():
    X, y = problem(n_sites=64)
    noise = np.random.default_rng(0).random(len(y)) < 0.25
    y = np.where(noise, 1 - y, y)  # so much noise that the network over-learns
    mask = np.arange(len(y)) % 2 == 0
    network = build(partial(DenseNetwork, 64, hidden=(50,)), seed=0)
    history = train(network, X, y, validation=mask, plan=Plan(max_epochs=30, batch_size=16, patience=30), seed=0)
    held = history["validation_loss"]
    assert history["best_epoch"] == [int(np.argmin(held))]
    assert min(held) < held[-1] - 0.05
    logits = logits_of(network, X[mask])[:, 0]
    loss = np.mean(np.logaddexp(0, logits) - y[mask] * logits)
    assert loss == pytest.approx(min(held), rel=1e-4)  # float32 there, float64 here


def test_patience_stops_early():
    X, _ = problem()
    y = np.random.default_rng(0).integers(2, size=len(X))
    mask = np.arange(len(y)) % 2 == 0
    network = build(partial(DenseNetwork, 16), seed=0)
    history = train(network, X, y, validation=mask, plan=Plan(max_epochs=200, batch_size=16, patience=3), seed=0)
    assert len(history["loss"]) < 100


def test_masked_terms_do_not_train():
    X, y = problem()
    targets = np.stack([y, 1 - y, y], axis=1)
    weights = np.array([[1.0, 0.0, 1.0]])
    none = np.zeros(len(y), dtype=bool)
    network = build(partial(DenseNetwork, 16, hidden=(8,), n_outputs=3), seed=0)
    before = network.head[-1].weight.detach().clone()
    train(network, X, targets, validation=none, plan=Plan(max_epochs=30, batch_size=64), seed=0, weights=weights)
    after = network.head[-1].weight.detach()
    assert torch.equal(before[1], after[1])
    assert not torch.equal(before[0], after[0])
    right = (logits_of(network, X) > 0) == targets
    assert right[:, [0, 2]].mean() > 0.8
    # A row of weight zero is as good as absent: with labels of half the rows spoiled, the others are learnt.
    spoiled = np.where(np.arange(len(y)) < 200, 1 - y, y)
    network = build(partial(DenseNetwork, 16, hidden=(8,)), seed=0)
    train(
        network,
        X,
        spoiled,
        validation=none,
        plan=Plan(max_epochs=30, batch_size=64),
        seed=0,
        weights=(np.arange(len(y)) >= 200).astype(float),
    )
    assert ((logits_of(network, X)[:, 0] > 0) == y).mean() > 0.8


def test_many_outputs_share_the_cost_and_the_counts():
    X, y = problem()
    network = build(partial(PeriodicCNN, (4, 4), n_outputs=100), seed=0)
    counts = count_patterns(X, (4, 4))
    targets = np.repeat(y[:, None], 100, axis=1).astype(np.int8)
    train(
        network, counts, targets, validation=np.arange(len(y)) % 5 == 0, plan=Plan(max_epochs=6), seed=0, histogram=True
    )
    logits = logits_of(network, counts, histogram=True)
    assert logits.shape == (400, 100)
    assert ((logits > 0) == targets).mean() > 0.85
    np.testing.assert_allclose(logits, logits_of(network, X), rtol=1e-6, atol=1e-6)


def test_counts_need_a_network_that_reads_them():
    with pytest.raises(TypeError, match="Only a PeriodicCNN"):
        logits_of(DenseNetwork(4), np.ones((2, 512)), histogram=True)


@settings(deadline=None, max_examples=40)
@given(
    n_groups=st.integers(2, 30),
    n_draws=st.integers(1, 5),
    n_classes=st.integers(2, 4),
    fraction=st.floats(0.05, 0.9),
    seed=st.integers(0, 2**16),
)
def test_no_group_stands_on_both_sides(n_groups, n_draws, n_classes, fraction, seed):
    rng = np.random.default_rng(seed)
    owner = np.arange(n_groups * n_classes) % n_classes
    groups = np.repeat(np.arange(len(owner)), n_draws)
    labels = owner[groups]
    shuffle = rng.permutation(len(groups))
    mask, kind = split_rows(labels[shuffle], groups[shuffle], fraction, rng)
    assert kind == "groups"
    assert not set(groups[shuffle][mask]) & set(groups[shuffle][~mask])
    for side in (mask, ~mask):
        assert set(labels[shuffle][side]) == set(range(n_classes))
    per_class = np.bincount(owner[np.unique(groups[shuffle][mask])])
    assert np.ptp(per_class) == 0


def test_what_cannot_be_split_by_groups_is_said():
    labels = np.repeat([0, 1], 10)
    with pytest.warns(UserWarning, match="at least 2 groups of each class"):
        mask, kind = split_rows(labels, labels, 0.2, np.random.default_rng(0))
    assert kind == "rows"
    assert np.bincount(labels[mask]).tolist() == [2, 2]
    assert split_rows(labels, None, 0.2, np.random.default_rng(0))[1] == "rows"
    assert split_rows(labels, None, 0.0, np.random.default_rng(0))[1] == "none"
    assert split_rows(np.array([0, 1]), None, 0.2, np.random.default_rng(0))[1] == "none"
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\)"):
        split_rows(labels, None, 1.0, np.random.default_rng(0))


def test_augmentation_only_shows_equivalent_snapshots():
    generator = torch.Generator().manual_seed(0)
    X, _ = problem(6, 20)
    shape = (4, 5)
    equivalent = {
        row: {
            (sign * np.roll(X[row].reshape(shape), (a, b), (0, 1))).tobytes()
            for a in range(4)
            for b in range(5)
            for sign in (1, -1)
        }
        for row in range(6)
    }
    change = Augmentation(("translations", "flip"), shape=shape, counts=False)
    seen: set[bytes] = set()
    for _ in range(300):
        batch = change(torch.from_numpy(X).float(), generator).numpy().astype(np.int8)
        seen.add(batch[0].tobytes())
        assert all(batch[row].tobytes() in equivalent[row] for row in range(6))
    assert len(seen) == len(equivalent[0])
    counts = torch.from_numpy(count_patterns(X, shape))
    flipped = Augmentation(("flip",), shape=shape, counts=True)(counts, generator)
    mirrored = torch.from_numpy(count_patterns(-X, shape))
    is_mirror = (flipped == mirrored).all(1)
    assert ((flipped == counts).all(1) | is_mirror).all()
    assert 0 < is_mirror.sum() < 6


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"max_epochs": 0}, "`max_epochs` must be an integer >= 1, but it is 0"),
        ({"batch_size": 1.5}, "`batch_size` must be an integer"),
        ({"patience": True}, "`patience` must be an integer"),
        ({"learning_rate": 0.0}, "`learning_rate` must be positive"),
        ({"learning_rate": float("nan")}, "`learning_rate` must be positive"),
        ({"weight_decay": -1.0}, "`weight_decay` must be >= 0"),
    ],
)
def test_impossible_plans_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        Plan(**setting)
