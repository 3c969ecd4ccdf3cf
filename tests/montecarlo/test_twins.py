"""Every compiled kernel gives the same bits as its plain twin, from the same random words."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from qmlphys import lattices
from qmlphys.hamiltonians import Ising
from qmlphys.montecarlo import _clusters, _kernels, _random
from qmlphys.montecarlo._engines import ClusterUnit, Tables, make_units
from qmlphys.montecarlo._simd import load
from tests.reference import clusters, metropolis
from tests.reference.random_words import Generator, Lanes

# --- random numbers ---------------------------------------------------------------------------------------------------


@njit
def _scalar_words(state, out):
    s0, s1 = state[0], state[1]
    for k in range(out.size):
        out[k], s0, s1 = _random.scalar_step(s0, s1)


@njit
def _vector_words(state, out):
    s0, s1 = load(state, 0), load(state, 8)
    s0, s1 = _random.fill(out, s0, s1)


@njit
def _numbers_below(n, state, out):
    s0, s1 = state[0], state[1]
    for k in range(out.size):
        out[k], s0, s1 = _random.below(n, s0, s1)


# First outputs of xoroshiro128plusplus.c (Blackman and Vigna) from the state (1, 2); the Rust crate rand_xoshiro tests
# with the same list.
PUBLISHED = [
    393217,
    669327710093319,
    1732421326133921491,
    11394790081659126983,
    9555452776773192676,
    3586421180005889563,
    1691397964866707553,
    10735626796753111697,
    15216282715349408991,
    14247243556711267923,
]


def test_scalar_generator_gives_the_published_numbers():
    twin = Generator(1, 2)
    assert [twin.word() for _ in PUBLISHED] == PUBLISHED
    out = np.empty(len(PUBLISHED), dtype=np.uint64)
    _scalar_words(np.array([1, 2], dtype=np.uint64), out)
    assert out.tolist() == PUBLISHED


def test_vector_generator_is_eight_scalar_ones():
    state = _random.states(np.random.SeedSequence(5), 1)[0]
    twin = Lanes(state.tolist())
    out = np.empty(800, dtype=np.uint64)
    _vector_words(state, out)
    assert out.tolist() == [word for _ in range(100) for word in twin.words()]


@pytest.mark.parametrize("n", [1, 3, 2**31 + 1, 2**32 - 1])  # for 2^31 + 1 nearly half of the words are rejected
def test_numbers_below(n):
    state = np.array([3, 4], dtype=np.uint64)
    twin = Generator(3, 4)
    out = np.empty(200, dtype=np.int64)
    _numbers_below(n, state, out)
    assert out.tolist() == [twin.below(n) for _ in range(200)]


def test_states_differ():
    states = _random.states(np.random.SeedSequence(1), 1000)
    assert states.shape == (1000, 16)
    assert np.unique(states).size == states.size


# --- Metropolis -------------------------------------------------------------------------------------------------------

# Lattice and number of slabs that its layout has; odd and even sizes.
LAYOUTS = [
    (lattices.chain(3), 1),
    (lattices.chain(4), 2),
    (lattices.chain(8), 4),
    (lattices.chain(15), 1),
    (lattices.chain(16), 8),
    (lattices.chain(10, periodic=False), 1),
    (lattices.square(3), 1),
    (lattices.square(5), 1),
    (lattices.square(6), 2),
    (lattices.square(8), 4),
    (lattices.square(16), 8),
    (lattices.square(4, periodic=False), 1),
    (lattices.triangular(3), 1),
    (lattices.triangular(4), 2),
    (lattices.triangular(8), 4),
    (lattices.triangular(16), 8),
    (lattices.triangular(4, periodic=False), 1),
    (lattices.honeycomb(3), 1),
    (lattices.honeycomb(4), 2),
    (lattices.honeycomb(8), 4),
    (lattices.honeycomb(16), 8),
    (lattices.honeycomb(3, periodic=False), 1),
    (lattices.cubic(3), 1),
    (lattices.cubic(4), 2),
    (lattices.cubic(8), 4),
    (lattices.cubic(3, periodic=False), 1),
]
MODELS = [(1.0, 0.0), (-1.0, 0.0), (0.7, 0.3), (-0.6, -1.1), (0.0, 0.4), (0.0, 0.0)]


def _cases():
    """All layouts; small ones with all couplings, larger ones in turn."""
    for k, (lattice, n_slabs) in enumerate(LAYOUTS):
        models = MODELS if lattice.n_sites <= 16 else [MODELS[k % 4]]
        for coupling, field in models:
            yield pytest.param(lattice, n_slabs, coupling, field, id=f"{lattice.label}, J={coupling}, h={field}")


def _metropolis_group(model, temperatures, seed):
    """One full group: 64 chains at each temperature, after some sweeps of the kernel that leave all kinds of states."""
    tables = Tables(model)
    (unit,) = make_units(tables, temperatures, ["metropolis"] * temperatures.size, 64, np.random.SeedSequence(seed))
    unit.advance(3)
    return unit


@pytest.mark.parametrize(("lattice", "n_slabs", "coupling", "field"), list(_cases()))
def test_metropolis_and_measure(lattice, n_slabs, coupling, field):
    model = Ising(lattice, coupling=coupling, field=field)
    temperatures = np.linspace(0.8, 5.0, 8 // n_slabs)
    unit = _metropolis_group(model, temperatures, seed=lattice.n_sites)
    assert unit._geometry.n_slabs == n_slabs
    spins = metropolis.unpack(unit._words, n_slabs=n_slabs)
    lanes = Lanes(unit._state.tolist())
    n_sweeps = 2 if lattice.n_sites <= 32 else 1
    series = unit.trajectory(n_sweeps, 1)
    for k in range(n_sweeps):
        before = spins.copy()
        metropolis.sweep(model, temperatures, spins, n_slabs=n_slabs, lanes=lanes)
        assert (before != spins).any()
        pairs, total = metropolis.measure(model, spins)
        np.testing.assert_array_equal(series.pairs[:, k], pairs.ravel())
        np.testing.assert_array_equal(series.spins[:, k], total.ravel())
    np.testing.assert_array_equal(metropolis.unpack(unit._words, n_slabs=n_slabs), spins)
    assert unit._state.tolist() == lanes.state
    rows = np.empty((len(unit.members), lattice.n_sites), dtype=np.int8)
    unit.snapshot(rows)
    np.testing.assert_array_equal(rows, spins.reshape(rows.shape))


def test_every_layout_is_tried_on_every_lattice():
    """Slabs 1, 2, 4 and 8 of each lattice; cubic(16) with 8 slabs is too large for a plain loop."""
    tried = {(lattice.name, n_slabs) for lattice, n_slabs in LAYOUTS}
    assert tried == {(name, n) for name in lattices._CELLS for n in (1, 2, 4, 8)} - {("cubic", 8)}
    assert Tables(Ising(lattices.cubic(16))).geometry.n_slabs == 8


def test_rare_digits():
    """A site that needs more than the first ten digits is not the exception: twin and kernel go on together."""
    model = Ising(lattices.square(3), field=0.1)
    temperatures = np.full(8, 2.0)
    unit = _metropolis_group(model, temperatures, seed=2)
    spins = metropolis.unpack(unit._words, n_slabs=1)
    lanes = Lanes(unit._state.tolist())
    most = 0
    for _ in range(30):
        most = max(most, metropolis.sweep(model, temperatures, spins, n_slabs=1, lanes=lanes))
    unit.advance(30)
    np.testing.assert_array_equal(metropolis.unpack(unit._words, n_slabs=1), spins)
    assert most >= 16  # 270 sites, each asking 512 replicas: 2^-16 * 138,240 = 2 are expected to go as far


def test_partly_filled_words():
    """100 chains at three temperatures: words of 64 and 36, and lanes without chains, which are not reported."""
    model = Ising(lattices.square(6))
    temperatures = np.array([1.0, 2.0, 3.0])
    units = make_units(Tables(model), temperatures, ["metropolis"] * 3, 100, np.random.SeedSequence(1))
    assert [len(unit.members) for unit in units] == [64 + 36 + 64 + 36, 64 + 36]
    assert sorted(tuple(m) for unit in units for m in unit.members) == [(t, c) for t in range(3) for c in range(100)]
    for unit in units:
        series = unit.trajectory(1, 5)
        rows = np.empty((len(unit.members), 36), dtype=np.int8)
        unit.snapshot(rows)
        pairs, total = metropolis.measure(model, rows.astype(np.int64))
        np.testing.assert_array_equal(series.pairs[:, 0], pairs)
        np.testing.assert_array_equal(series.spins[:, 0], total)


# --- clusters ---------------------------------------------------------------------------------------------------------

CLUSTER_LATTICES = [
    make(size, periodic=periodic)
    for make, sizes in [
        (lattices.chain, (3, 4, 17)),
        (lattices.square, (3, 4, 7)),
        (lattices.triangular, (3, 4, 7)),
        (lattices.honeycomb, (3, 4)),
        (lattices.cubic, (3, 4)),
    ]
    for size in sizes
    for periodic in (True, False)
]


def _cluster_unit(model, temperature, algorithm):
    unit = make_units(Tables(model), np.array([temperature]), [algorithm], 3, np.random.SeedSequence(8))[0]
    assert isinstance(unit, ClusterUnit)
    rng = np.random.default_rng(3)
    unit._spins[...] = rng.choice(np.array([-1, 1], dtype=np.int8), size=unit._spins.shape)
    return unit


@pytest.mark.parametrize("coupling", [1.0, -1.0])
@pytest.mark.parametrize("lattice", CLUSTER_LATTICES, ids=lambda lattice: lattice.label)
def test_swendsen_wang(lattice, coupling):
    model = Ising(lattice, coupling=coupling)
    unit = _cluster_unit(model, 2.5, "swendsen-wang")
    threshold = int(_clusters.bond_threshold(coupling, 2.5))
    for chain in range(3):
        spins = unit._spins[chain].astype(np.int64)
        lanes = Lanes(unit._state[chain].tolist())
        for _ in range(6):
            spins = clusters.swendsen_wang_words(lattice, spins, alike=int(coupling), threshold=threshold, lanes=lanes)
            unit._advance_chain(chain, 1)
            np.testing.assert_array_equal(unit._spins[chain], spins)
        assert unit._state[chain].tolist() == lanes.state


@pytest.mark.parametrize("coupling", [1.0, -1.0])
@pytest.mark.parametrize("lattice", CLUSTER_LATTICES, ids=lambda lattice: lattice.label)
def test_wolff(lattice, coupling):
    model = Ising(lattice, coupling=coupling)
    unit = _cluster_unit(model, 2.5, "wolff")
    threshold = int(_clusters.bond_threshold(coupling, 2.5))
    for chain in range(3):
        spins = unit._spins[chain].astype(np.int64)
        generator = Generator(*unit._state[chain, :2].tolist())
        largest = 0
        for _ in range(40):
            before = spins
            spins = clusters.wolff_words(lattice, spins, alike=int(coupling), threshold=threshold, generator=generator)
            unit._advance_chain(chain, 1)
            np.testing.assert_array_equal(unit._spins[chain], spins)
            largest = max(largest, np.count_nonzero(before != spins))
        assert largest > 1
        assert tuple(unit._state[chain, :2].tolist()) == generator.state


@pytest.mark.parametrize("algorithm", ["swendsen-wang", "wolff"])
def test_cluster_measurements(algorithm):
    model = Ising(lattices.triangular(5), coupling=-1.0)
    unit = _cluster_unit(model, 3.0, algorithm)
    series = unit.trajectory(4, 3)
    pairs, total = metropolis.measure(model, unit._spins.astype(np.int64))
    np.testing.assert_array_equal(series.pairs[:, -1], pairs)
    np.testing.assert_array_equal(series.spins[:, -1], total)
    assert series.pairs.shape == (3, 4)


def test_many_updates_in_one_call_are_many_calls():
    """Kernels keep no state between updates."""
    model = Ising(lattices.square(6))
    for algorithm in ("metropolis", "swendsen-wang", "wolff"):
        at_once, one_by_one = (
            make_units(Tables(model), np.array([2.3]), [algorithm], 8, np.random.SeedSequence(4))[0] for _ in range(2)
        )
        at_once.advance(20)
        for _ in range(20):
            one_by_one.advance(1)
        rows = np.empty((2, 8, 36), dtype=np.int8)
        at_once.snapshot(rows[0])
        one_by_one.snapshot(rows[1])
        np.testing.assert_array_equal(rows[0], rows[1])
        assert (rows[0] != rows[0][:, :1]).any()


def test_bond_threshold():
    """1 - exp(-2 |J| / T) in units of 2^-32, never 2^32 itself."""
    for coupling, temperature in [(1.0, 2.269), (-0.3, 1.0), (2.0, 50.0)]:
        exact = 1.0 - np.exp(-2.0 * abs(coupling) / temperature)
        assert abs(int(_clusters.bond_threshold(coupling, temperature)) - exact * 2.0**32) <= 1.0
    assert _clusters.bond_threshold(0.0, 1.0) == 0
    assert _clusters.bond_threshold(1.0, 0.01) == 2**32 - 1


def test_largest_cluster_tables():
    """Site numbers take 16 bits up to 65,536 sites, where the largest number is 65,535."""
    assert _clusters.cluster_tables(lattices.chain(2**16)).first.dtype == np.uint16
    assert _clusters.cluster_tables(lattices.chain(2**16 + 1)).first.dtype == np.int32
    spins = np.ones(2**16, dtype=np.int8)
    tables = _clusters.cluster_tables(lattices.chain(2**16))
    state = _random.states(np.random.SeedSequence(1), 1)[0]
    move = (np.int8(1), np.uint32(2**32 - 1), state, 64)
    _clusters.swendsen_wang(spins, tables.row, tables.first, tables.second, tables.follows, *move)
    assert abs(spins.sum(dtype=np.int64)) == 2**16  # all bonds active: one cluster


def test_measurement_counts_fit():
    """Counters hold twice the edges of the largest lattice."""
    assert 2**_kernels.COUNTER_PLANES > 6 * lattices.MAX_SITES
