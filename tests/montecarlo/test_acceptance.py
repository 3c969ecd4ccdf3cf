"""The running kernel: acceptance probabilities, move by move and digit by digit; replicas share no random bit."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qmlphys import lattices
from qmlphys.hamiltonians import Ising
from qmlphys.montecarlo import _kernels, sample
from qmlphys.montecarlo._engines import Tables, make_units
from qmlphys.montecarlo._layout import LAZY_DIGITS, N_PLANES, bit_planes
from qmlphys.montecarlo._random import states
from tests.reference import metropolis
from tests.reference.random_words import Lanes

LANES = 8
REPLICAS = 64
N_ACTORS = 2**15  # sites that move; every one of them sees the same still neighbours


def accepted_moves(unit, n_unlike, degree, spin, *, planes=None, n_rounds=1):
    """Count accepted moves of one class, lane by lane: all actors have `spin`, `n_unlike` neighbours do not.

    The kernel runs on a geometry made for the purpose: behind the actors come one site of spin +1 and one of spin -1.
    """
    down, up = np.uint64(2**64 - 1), np.uint64(0)
    own, other = (up, down) if spin > 0 else (down, up)
    words = np.empty(LANES * (N_ACTORS + 2), dtype=np.uint64)
    words[LANES * N_ACTORS : LANES * (N_ACTORS + 1)] = own
    words[LANES * (N_ACTORS + 1) :] = other
    places = [LANES * (N_ACTORS + (q < n_unlike)) for q in range(degree)]
    neighbours = np.tile(np.array(places, dtype=np.int64), (N_ACTORS, 1))
    rotations = np.zeros_like(neighbours)
    degrees = np.full(N_ACTORS, degree, dtype=np.int64)
    counts = np.zeros(LANES, dtype=np.int64)
    planes = unit._planes if planes is None else planes
    for _ in range(n_rounds):
        words[: LANES * N_ACTORS] = own
        tables = (degrees, neighbours, rotations, unit._starts, unit._codes, planes)
        _kernels.metropolis(words, *tables, unit._state, 1)
        moved = (words[: LANES * N_ACTORS] ^ own).reshape(N_ACTORS, LANES)
        counts += np.bitwise_count(moved).sum(axis=0, dtype=np.int64)
    return counts


def deviation(count, n, p):
    """How many standard deviations a count lies off a binomial distribution."""
    return (count - n * p) / math.sqrt(n * p * (1.0 - p))


def metropolis_unit(model, temperatures, seed=1):
    n = len(temperatures)
    return make_units(Tables(model), np.array(temperatures), ["metropolis"] * n, 64, np.random.SeedSequence(seed))[0]


@pytest.mark.parametrize(
    ("lattice", "coupling", "field"),
    [
        (lattices.chain(3), 1.0, 0.0),  # one class
        (lattices.honeycomb(3), 1.0, 0.0),  # two: the path of the kernel with masks in registers
        (lattices.square(3), 1.0, 0.0),
        (lattices.square(3), -1.0, 0.0),
        (lattices.triangular(3), 1.0, 0.0),  # three
        (lattices.square(3), 0.8, 0.3),
        (lattices.cubic(3), -0.9, 0.5),  # seven
    ],
    ids=lambda value: getattr(value, "label", value),
)
def test_every_class_of_move(lattice, coupling, field):
    """Every move at eight temperatures: 1.7e7 attempts for each move, 2.1e6 for each temperature; 5 sigma."""
    temperatures = np.linspace(1.3, 6.0, LANES)
    model = Ising(lattice, coupling=coupling, field=field)
    unit = metropolis_unit(model, temperatures)
    degree = lattice.neighbours.shape[1]
    n = N_ACTORS * REPLICAS
    for spin in (1, -1):
        for n_unlike in range(degree + 1):
            change = 2.0 * spin * (coupling * spin * (degree - 2 * n_unlike) + field)
            counts = accepted_moves(unit, n_unlike, degree, spin)
            for count, temperature in zip(counts, temperatures, strict=True):
                p = (1.0 - 0.5**LAZY_DIGITS) * min(1.0, math.exp(-change / temperature))
                assert abs(deviation(count, n, p)) < 5.0


def test_acceptance_with_many_draws():
    """One class, 1.3e8 attempts: 5 sigma are a thousandth of the probability. An energy 1 % larger would be seen."""
    temperature = 2.269
    unit = metropolis_unit(Ising(lattices.square(3)), [temperature] * LANES)
    n_rounds = 8
    n = n_rounds * N_ACTORS * REPLICAS * LANES
    assert n > 1.3e8
    p = (1.0 - 0.5**LAZY_DIGITS) * math.exp(-4.0 / temperature)
    count = accepted_moves(unit, 1, 4, 1, n_rounds=n_rounds).sum()
    assert abs(deviation(count, n, p)) < 5.0
    assert abs(deviation(count, n, (1.0 - 0.5**LAZY_DIGITS) * math.exp(-4.04 / temperature))) > 50.0


def digit_weights(digits, n_rounds):
    """Acceptance counts of the three kinds of kernel paths when the probability is a single binary digit."""
    for lattice, n_unlike in [(lattices.chain(3), 0), (lattices.square(3), 0), (lattices.triangular(3), 1)]:
        unit = metropolis_unit(Ising(lattice), [2.0] * LANES)
        degree = lattice.neighbours.shape[1]
        for k in digits:
            planes = np.zeros((len(unit._codes), N_PLANES, LANES), dtype=np.uint64)
            planes[:, k - 1] = 2**64 - 1
            count = accepted_moves(unit, n_unlike, degree, 1, planes=planes.ravel(), n_rounds=n_rounds).sum()
            yield k, int(count), n_rounds * N_ACTORS * REPLICAS * LANES * 2.0**-k


def test_every_digit_has_its_weight():
    """A probability of 2^-k accepts 2^-k of the moves: every digit is read at its place, to 2^-20."""
    for k, count, expected in digit_weights([1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 16, 18, 20], n_rounds=4):
        assert expected > 60
        assert abs(count - expected) < 5.0 * math.sqrt(expected), f"digit {k}"


@pytest.mark.slow
def test_rare_digits_have_their_weight():
    """To 2^-26: beyond the 24 bits that acceptance promises."""
    for k, count, expected in digit_weights([22, 24, 26], n_rounds=400):
        assert expected > 90
        assert abs(count - expected) < 5.0 * math.sqrt(expected), f"digit {k}"


def test_bit_planes_are_exact():
    """A double has 53 digits; all of them above 2^-64 are in the table."""
    rng = np.random.default_rng(1)
    p = np.concatenate([rng.random(40), 2.0 ** -rng.uniform(1, 60, 40), [0.0, 0.5, 2.0**-64, 2.0**-65, 1 - 2.0**-53]])
    planes = bit_planes(p[:, None])
    assert planes.shape == (85, 64, 1)
    assert set(np.unique(planes)) == {0, 2**64 - 1}
    for value, digits in zip(p.tolist(), (planes[:, :, 0] & np.uint64(1)).tolist(), strict=True):
        number = sum(digit << (63 - k) for k, digit in enumerate(digits))
        assert number == int(value * 2.0**64)  # exact: a power of two moves the exponent only
        if value >= 2.0**-11:
            assert number == value * 2.0**64  # nothing was cut off
    assert bit_planes(np.empty((0, 8))).shape == (0, 64, 8)


# --- independence of replicas -----------------------------------------------------------------------------------------


def shared_randomness(series):
    """Largest correlation between two rows, and chi-squared of all, both in standard deviations of independent rows.

    The first is turned into the deviation of a single normal number of the same rarity.
    """
    n_rows, n_draws = series.shape
    z = series - series.mean(axis=1, keepdims=True)
    z /= np.sqrt((z**2).sum(axis=1, keepdims=True))
    r = (z @ z.T)[np.triu_indices(n_rows, 1)]
    # Correlations of independent normal series have variance 1 / (n - 1) and kurtosis 3 (n - 1) / (n + 1).
    chi2 = (r**2).sum() * (n_draws - 1)
    spread = math.sqrt(r.size * (3.0 * (n_draws - 1) / (n_draws + 1) - 1.0))
    largest = np.abs(r).max() * math.sqrt(n_draws - 1)
    return largest, (chi2 - r.size) / spread


# Of 130,816 pairs the largest is 4.6 in the mean; 6 would be chance once in 4,000 runs.
def assert_independent(series):
    largest, chi2 = shared_randomness(series)
    assert largest < 6.0
    assert abs(chi2) < 5.0


def metropolis_series(unit, n_draws, n_skip):
    """Energies and magnetisations of all replicas of a group, shape (2, replicas, draws), draws nearly independent."""
    unit.advance(50)
    series = unit.trajectory(n_draws, n_skip)
    return np.stack([series.pairs, series.spins]).astype(float)


@pytest.mark.parametrize("lattice", [lattices.square(5), lattices.square(16), lattices.triangular(8)], ids=str)
def test_replicas_of_a_group_are_independent(lattice):
    """All replicas of a vector: words, bits of a word and lanes (slabs) share nothing."""
    n_words = LANES // Tables(Ising(lattice)).geometry.n_slabs
    unit = metropolis_unit(Ising(lattice), [4.5] * n_words, seed=7)
    energies, magnetizations = metropolis_series(unit, 400, 12)
    assert energies.shape == (n_words * REPLICAS, 400)
    assert energies.std(axis=1).min() > 0
    assert_independent(energies)
    assert_independent(magnetizations)


def test_sampled_chains_are_independent():
    """The same of `sample`: 640 chains in ten words and two groups, and chains of the cluster algorithms."""
    for algorithm, n_chains, n_skip in [("metropolis", 640, 12), ("swendsen-wang", 128, 4), ("wolff", 128, 40)]:
        ds = sample(
            Ising(lattices.square(5)),
            [4.0],
            n_chains=n_chains,
            n_draws=300,
            n_thermalize=100,
            n_skip=n_skip,
            algorithm=algorithm,
            rng=3,
        )
        for name in ("energy", "magnetization"):
            assert_independent(ds[name].values[0])


def test_temperatures_are_independent():
    """Chains of different temperatures run in one vector."""
    ds = sample(Ising(lattices.square(5)), [3.5, 4.0, 4.5], n_draws=400, n_thermalize=100, n_skip=12, rng=4)
    for name in ("energy", "magnetization"):
        assert_independent(ds[name].values.reshape(-1, 400))


def test_shared_lanes_are_caught():
    """Negative control: two lanes with one state draw the same random bits in two of eight words."""
    unit = metropolis_unit(Ising(lattices.square(5)), [4.5] * LANES, seed=7)
    unit._state[[1, 9]] = unit._state[[0, 8]]
    energies, magnetizations = metropolis_series(unit, 400, 12)
    for series in (energies, magnetizations):
        largest, chi2 = shared_randomness(series)
        assert largest > 10.0
        assert chi2 > 10.0


class _SharedBits(Lanes):
    """Random words whose odd bits repeat the even ones: a tempting way to halve the cost of random numbers."""

    def words(self):
        even = 0x5555555555555555
        return [(word & even) | (word & even) << 1 for word in super().words()]


@pytest.mark.parametrize(("generator", "caught"), [(Lanes, False), (_SharedBits, True)])
def test_shared_bits_are_caught(generator, caught):
    """Negative control: the plain twin of the kernel, with sound random words and with words that share bits."""
    model = Ising(lattices.chain(4))
    temperatures = np.full(4, 3.0)
    spins = np.random.default_rng(2).choice(np.array([-1, 1]), size=(4, REPLICAS, 4))
    lanes = generator(states(np.random.SeedSequence(9), 1)[0].tolist())
    energies = np.empty((4 * REPLICAS, 150))
    for k in range(150):
        for _ in range(4):
            metropolis.sweep(model, temperatures, spins, n_slabs=2, lanes=lanes)
        energies[:, k] = -metropolis.measure(model, spins)[0].ravel()
    if caught:
        largest, chi2 = shared_randomness(energies)
        assert largest > 8.0
        assert chi2 > 10.0
    else:
        assert_independent(energies)


def test_equal_seeds_are_caught():
    """Negative control: two groups from one random state, with different spins to begin with."""
    units = [metropolis_unit(Ising(lattices.square(5)), [4.5] * LANES, seed=7) for _ in range(2)]
    units[1]._words[:] = ~units[1]._words
    series = np.concatenate([metropolis_series(unit, 400, 12)[0] for unit in units])
    largest, chi2 = shared_randomness(series)
    assert largest > 10.0
    assert chi2 > 5.0
    assert_independent(series[:512])  # each half alone is sound


def test_cluster_chains_with_one_state_are_caught():
    """Negative control: two of 64 chains of Swendsen-Wang with the same random words."""
    model = Ising(lattices.square(5))
    units = make_units(Tables(model), np.array([4.0]), ["swendsen-wang"], 64, np.random.SeedSequence(1))
    units[1]._state[0] = units[0]._state[0]
    for unit in units:
        unit.advance(20)
    series = np.concatenate([unit.trajectory(300, 4).pairs for unit in units]).astype(float)
    largest, _ = shared_randomness(series)
    assert largest > 10.0


def test_states_of_the_generators_come_from_the_seed_alone():
    first, second = (states(np.random.SeedSequence(seed), 4) for seed in (1, 2))
    np.testing.assert_array_equal(first, states(np.random.SeedSequence(1), 4))
    assert not np.isin(first, second).any()
