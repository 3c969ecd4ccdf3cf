"""Bounds: what is rigorous is never violated, and reached."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from qmlphys import bits
from qmlphys.entanglement import (
    PolynomialMLP,
    affine_features,
    dicke_entropy,
    distinct_values_bound,
    entanglement_bound,
    entropy,
    polynomial_schmidt_bounds,
    spectrum,
)

LN2 = math.log(2)


def test_the_bound_in_words():
    small = entanglement_bound(1, 22, constant=0.5)
    assert small.value == pytest.approx(0.5 * math.log(22))
    assert small.ceiling == pytest.approx(11 * LN2)
    assert not small.says_nothing
    assert "c itself is not known" in small.sentence
    assert entanglement_bound(3, 22).says_nothing  # 3 ln 22 = 9.27 > 11 ln 2 = 7.62
    assert "at this n it says nothing" in entanglement_bound(3, 22).sentence
    assert "the bound says nothing" in entanglement_bound(22, 22).sentence
    assert entanglement_bound(0, 5).value == 0


def random_function(matrix, seed):
    """A function of the features that takes unrelated values: a random number for each value."""
    rng = np.random.default_rng(seed)
    n = matrix.shape[1]
    sums = bits.integers_to_spins(np.arange(2**n), n) @ matrix.T
    _, inverse = np.unique(np.round(sums, 9), axis=0, return_inverse=True)
    numbers = rng.standard_normal(2**n) + 1j * rng.standard_normal(2**n)
    return numbers[inverse.reshape(-1)]


@pytest.mark.parametrize("seed", range(6))
def test_no_function_of_repeated_weights_exceeds_their_number_of_values(seed):
    rng = np.random.default_rng(seed)
    n, n_features = 10, 1 + seed % 2
    matrix = rng.integers(-2, 3, size=(n_features, n)).astype(float)
    for sites in (range(5), [0, 2, 4, 6], [1]):
        bound = distinct_values_bound(matrix, sites)
        plain = {tuple(matrix[:, list(sites)] @ s) for s in itertools.product([-1, 1], repeat=len(sites))}
        other = [i for i in range(n) if i not in sites]
        rest = {tuple(matrix[:, other] @ s) for s in itertools.product([-1, 1], repeat=len(other))}
        expected = min(math.log(len(plain)), math.log(len(rest)), min(len(sites), len(other)) * LN2)
        assert bound == pytest.approx(expected, abs=1e-12)
        state = random_function(matrix, seed)
        assert entropy(state, sites, order=0) <= bound + 1e-9
        # A factor is no other feature.
        assert distinct_values_bound(math.pi * matrix, sites) == pytest.approx(bound)


def test_distinct_values_are_reached_and_know_rounding():
    state = random_function(np.ones((1, 12)), 0)
    assert entropy(state, range(6), order=0) == pytest.approx(math.log(7))
    assert distinct_values_bound(np.full((1, 12), 0.1), range(6)) == pytest.approx(math.log(7))
    assert dicke_entropy(1000, 500, 500) < distinct_values_bound(np.ones((1, 1000)), range(500))
    generic = np.random.default_rng(0).standard_normal((1, 16))
    assert distinct_values_bound(generic, range(8)) == pytest.approx(8 * LN2)
    assert distinct_values_bound(np.random.default_rng(0).standard_normal((1, 60)), range(30)) == pytest.approx(
        30 * LN2
    )
    assert distinct_values_bound(np.zeros((0, 4)), [0, 1]) == 0
    weights = torch.tensor([1.0, 1, 1, 1, -1, -1, 2, 2], dtype=torch.float64)
    found = affine_features(lambda x: torch.sin(3 * (x @ weights)), n_sites=8)
    assert distinct_values_bound(found.matrix, [0, 1, 2, 4]) == pytest.approx(math.log(5))


def test_polynomial_bounds_count_monomials():
    for depth, degree, width in itertools.product((1, 2), (1, 2, 3), (1, 2, 3)):
        q = degree**depth
        powers = [p for p in itertools.product(range(q + 1), repeat=width) if sum(p) <= q]
        low = [p for p in powers if sum(p) <= q // 2]
        lower = [p for p in powers if sum(p) <= (q - 1) // 2]
        simple, sharp = polynomial_schmidt_bounds(depth, degree, width)
        assert (simple, sharp) == (len(powers), len(low) + len(lower))
        assert sharp <= simple


# depth, degree, width, sites. The bounds are below 2^(sites / 2); the sharp one is the smaller one unless w = 1.
NETWORKS = [
    (1, 2, 2, 8),
    (1, 3, 2, 8),
    (1, 2, 3, 8),
    (1, 3, 3, 10),
    (1, 4, 2, 8),
    (2, 2, 1, 8),
    (2, 2, 2, 8),
    (1, 5, 1, 8),
]


def check_draws(n_draws, rng):
    """Draw networks of all kinds; return how often each reached its sharp bound."""
    reached = dict.fromkeys(NETWORKS, 0)
    for draw in range(n_draws):
        kind = NETWORKS[draw % len(NETWORKS)]
        depth, degree, width, n = kind
        network = PolynomialMLP(n, depth=depth, degree=degree, width=width, rng=rng)
        simple, sharp = network.bounds
        # Half of the draws cut the middle, where the bound is furthest below the dimension; the others anywhere.
        sites = rng.permutation(n)[: n // 2 if draw % 2 else rng.integers(1, n)]
        rank = network.schmidt_rank(sites)
        assert rank <= sharp <= simple, f"{kind} with {sites} has Schmidt rank {rank}"
        assert sharp < 2 ** (n // 2)
        reached[kind] += rank == sharp
    return reached


def test_500_draws_violate_no_bound():
    reached = check_draws(496, np.random.default_rng(0))
    # The bound is not only kept: at half of the sites and one layer it is taken.
    assert all(reached[kind] > 20 for kind in NETWORKS if kind[0] == 1 and kind[1] < 4)


@pytest.mark.slow
def test_10000_draws_violate_no_bound():
    reached = check_draws(10_000, np.random.default_rng(1))
    assert all(reached[kind] > 400 for kind in NETWORKS if kind[0] == 1 and kind[1] < 4)


def test_random_states_would_violate_them():
    # The control of the same rank: a table without structure has the rank of its dimension.
    network = PolynomialMLP(8, depth=1, degree=2, width=2, rng=0)
    numbers = np.random.default_rng(0).integers(0, 10**6, size=2**8)
    network._residues = lambda prime: numbers % prime
    assert network.schmidt_rank(range(4)) == 16 > network.bounds[0]


def test_ranks_are_those_of_singular_values():
    for seed, (depth, degree, width) in enumerate([(1, 2, 2), (1, 3, 2), (2, 2, 1), (2, 2, 2), (1, 1, 3)]):
        network = PolynomialMLP(8, depth=depth, degree=degree, width=width, weight_range=3, rng=seed)
        vector = network.to_vector()
        np.testing.assert_array_equal(vector, np.round(vector))
        np.testing.assert_array_equal(network._residues(2**31 - 1), vector.astype(object) % (2**31 - 1))
        for sites in (range(4), [1, 3, 6], [7, 0, 2, 4, 5]):
            values = spectrum(vector, sites)
            rank = network.schmidt_rank(sites)
            assert (values > 1e-22).sum() == rank
            # The gap that makes the comparison mean something.
            assert values[rank - 1] > 1e-18
            assert values[rank:].max(initial=0) < 1e-26


def test_entropies_stay_below_the_logarithm_of_the_bound():
    network = PolynomialMLP(12, depth=1, degree=2, width=3, weight_range=5, rng=3)
    assert entropy(network.to_vector(), range(6)) < math.log(network.bounds[1]) < 6 * LN2
    spins = bits.integers_to_spins([5, 77], 12)
    np.testing.assert_array_equal(network.amplitudes(spins), network.to_vector()[[5, 77]])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: entanglement_bound(-1, 5), "`n_features` must be between 0"),
        (lambda: entanglement_bound(1, 1), "`n_sites` must be between 2"),
        (lambda: entanglement_bound(1, 5, constant=0), "`constant` must be a positive number"),
        (lambda: entanglement_bound(1, 5, constant=math.inf), "`constant` must be a positive number"),
        (lambda: distinct_values_bound([1.0, 2.0], [0]), "`matrix` must be finite, of shape"),
        (lambda: distinct_values_bound([[np.nan]], [0]), "`matrix` must be finite"),
        (lambda: distinct_values_bound([[1.0]], [1]), "sites from 0 to 0"),
        (lambda: polynomial_schmidt_bounds(0, 2, 2), "`depth` must be between 1"),
        (lambda: polynomial_schmidt_bounds(2, 0, 2), "`degree` must be between 1"),
        (lambda: polynomial_schmidt_bounds(2, 2, 0), "`width` must be between 1"),
        (lambda: polynomial_schmidt_bounds(60, 2, 1), "`degree` must make degree\\^depth at most"),
        (lambda: PolynomialMLP(21, depth=1, degree=2, width=2), "`n_sites` must be between 2 and 20"),
        (lambda: PolynomialMLP(4, depth=1, degree=2, width=2, weight_range=0), "`weight_range` must be between 1"),
        (lambda: PolynomialMLP(4, depth=1, degree=2, width=2).schmidt_rank([4]), "sites from 0 to 3"),
        (
            lambda: PolynomialMLP(4, depth=1, degree=2, width=2).amplitudes([[1, 1, 1]]),
            "-1 and \\+1 in shape \\(n, 4\\)",
        ),
        (lambda: PolynomialMLP(4, depth=1, degree=2, width=2).amplitudes([[1, 1, 1, 0]]), "must hold -1 and \\+1"),
    ],
)
def test_bad_arguments(call, text):
    with pytest.raises(ValueError, match=text):
        call()
