"""`sample` and `Simulation`: what users pass in, what they get back, and what one seed promises."""

from __future__ import annotations

import json
import os
import signal
import threading
import time

import numba
import numpy as np
import pytest
import xarray as xr

from qmlphys import exact, lattices, snapshots
from qmlphys.hamiltonians import Ising
from qmlphys.montecarlo import Simulation, sample, simulation
from qmlphys.montecarlo._engines import MetropolisUnit, Tables, make_units, start_spins
from qmlphys.stats import autocorrelation_time, estimate
from tests.reference import metropolis, transition_matrices

SQUARE = Ising(lattices.square(6))
QUICK = {"n_draws": 3, "n_thermalize": 20, "n_skip": 2}


def report(ds):
    """What the Dataset says about its making."""
    return json.loads(ds.attrs["montecarlo"])


# --- the Dataset ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["metropolis", "swendsen-wang", "wolff", "auto"])
def test_dataset(algorithm):
    ds = sample(SQUARE, [3.0, 2.0], n_chains=5, algorithm=algorithm, rng=7, **QUICK)
    snapshots.check(ds)
    assert dict(ds.sizes) == {"parameter": 2, "chain": 5, "draw": 3, "site": 36}
    assert ds["parameter"].values.tolist() == [3.0, 2.0]
    assert ds["parameter"].attrs == {"name": "temperature", "units": "J/k_B"}
    assert ds["spins"].dtype == np.int8
    assert ds["energy"].dims == ds["magnetization"].dims == ("parameter", "chain", "draw")
    expected = {"source": "montecarlo", "model": SQUARE.label, "lattice": "square(6)", "basis": "Z", "seed": 7}
    assert {key: ds.attrs[key] for key in expected} == expected
    assert report(ds)["algorithm"] == ["swendsen-wang" if algorithm == "auto" else algorithm] * 2
    assert report(ds)["n_skip"] == [2, 2]
    assert report(ds)["n_thermalize"] == [20, 20]
    assert report(ds)["autocorrelation_time"] == [None, None]


@pytest.mark.parametrize(
    "model",
    [
        Ising(lattices.square(5)),
        Ising(lattices.honeycomb(4), coupling=-0.7, field=0.4),
        Ising(lattices.triangular(4, periodic=False), coupling=1.3, field=-0.2),
        Ising(lattices.cubic(3), coupling=-1.0),
        Ising(lattices.chain(16), coupling=0.0, field=1.0),
        Ising(lattices.chain(5), coupling=0.0),
    ],
    ids=lambda model: f"{model.label} on {model.lattice.label}",
)
def test_energy_and_magnetization_belong_to_the_spins(model):
    for algorithm in ("metropolis",) if model.field else ("metropolis", "swendsen-wang", "wolff"):
        ds = sample(model, [1.5, 4.0], n_chains=70, algorithm=algorithm, rng=1, **QUICK)
        spins = ds["spins"].values
        n_sites = model.lattice.n_sites
        np.testing.assert_allclose(ds["energy"].values, model.energy(spins) / n_sites, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(ds["magnetization"].values, spins.mean(axis=-1, dtype=float))
        assert (spins[:, :, :-1] != spins[:, :, 1:]).any()  # draws differ


def test_files_round_trip(tmp_path):
    ds = sample(SQUARE, [1.0, 5.0], n_chains=3, n_draws=4, rng=2)
    snapshots.save(ds, tmp_path / "a.nc")
    again = snapshots.load(tmp_path / "a.nc")
    xr.testing.assert_identical(again, ds)
    assert report(again) == report(ds)
    assert lattices.from_label(again.attrs["lattice"]) == SQUARE.lattice


@pytest.mark.parametrize("n_chains", [1, 2, 63, 64, 65, 100, 129])
@pytest.mark.parametrize("lattice", [lattices.square(5), lattices.square(16)], ids=str)
def test_any_number_of_chains(lattice, n_chains):
    """Words of 64 chains need not be full; eight words, or one, to a group."""
    ds = sample(Ising(lattice), [3.5, 5.0, 9.0], n_chains=n_chains, algorithm="metropolis", rng=1, **QUICK)
    spins = ds["spins"].values
    assert spins.shape == (3, n_chains, 3, lattice.n_sites)
    assert len(np.unique(spins.reshape(-1, lattice.n_sites), axis=0)) > 0.98 * 9 * n_chains


def test_one_temperature_may_be_a_number():
    ds = sample(SQUARE, 2.5, n_chains=2, rng=1, **QUICK)
    assert ds["parameter"].values.tolist() == [2.5]


def test_many_temperatures():
    """Forty, repeated and unordered, each at its own place."""
    temperatures = [4.0, 1.0] * 20
    ds = sample(SQUARE, temperatures, n_chains=64, n_draws=4, n_thermalize=50, n_skip=5, algorithm="metropolis", rng=1)
    energy = ds["energy"].mean(("chain", "draw")).values
    truth = exact.ising_square_energy(6, np.array(temperatures))
    assert np.abs(energy - truth).max() < 0.05
    hot = ds["spins"].values[::2].reshape(20, -1)
    assert len(np.unique(hot, axis=0)) == 20  # no two share their random numbers


def test_both_signs_below_the_transition():
    """Without a field half of the cold chains point up; their energy is that of the ground states with a few flips."""
    for algorithm in ("metropolis", "swendsen-wang", "wolff"):
        ds = sample(SQUARE, [0.8], n_chains=100, algorithm=algorithm, rng=3, **QUICK)
        up = (ds["magnetization"].values > 0).mean()
        assert 0.3 < up < 0.7
        assert np.abs(ds["magnetization"].values).mean() > 0.95


# --- seeds and threads ------------------------------------------------------------------------------------------------


def identical(a, b):
    return all(np.array_equal(a[name].values, b[name].values) for name in ("spins", "energy", "magnetization"))


MIXED = {"n_chains": 96, "n_draws": 3}


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        (SQUARE, {"algorithm": "metropolis", "n_chains": 600, **QUICK}),
        (SQUARE, {"algorithm": "swendsen-wang", "n_chains": 40, **QUICK}),
        (SQUARE, {"algorithm": "wolff", "n_chains": 40, **QUICK}),
        (SQUARE, MIXED),
        (Ising(lattices.square(5), field=0.8), MIXED),
    ],
    ids=["metropolis", "swendsen-wang", "wolff", "pilot", "field"],
)
def test_one_seed_gives_the_same_bits_on_any_number_of_threads(monkeypatch, model, arguments):
    used = set()
    run = MetropolisUnit.trajectory

    def trajectory(self, *args):
        used.add(threading.current_thread().name)
        time.sleep(0.002)  # lets the other thread in
        return run(self, *args)

    monkeypatch.setattr(MetropolisUnit, "trajectory", trajectory)
    results = []
    for n_threads in (1, 2, 3):
        monkeypatch.setattr(numba, "get_num_threads", lambda n=n_threads: n)
        used.clear()
        results.append(sample(model, [1.8, 2.5, 3.5], rng=11, **arguments))
        if arguments.get("algorithm") == "metropolis":
            assert len(used) == n_threads
    assert identical(results[0], results[1])
    assert identical(results[0], results[2])
    assert report(results[0]) == report(results[2])
    other = sample(model, [1.8, 2.5, 3.5], rng=12, **arguments)
    assert not identical(results[0], other)
    assert (other["spins"].values != results[0]["spins"].values).mean() > 0.05


def test_generators_and_no_seed():
    first, second = (sample(SQUARE, [3.0], rng=np.random.default_rng(5), **QUICK) for _ in range(2))
    assert identical(first, second)
    assert first.attrs["seed"] == second.attrs["seed"]
    assert identical(first, sample(SQUARE, [3.0], rng=first.attrs["seed"], **QUICK))  # the seed that is written down
    generator = np.random.default_rng(5)
    assert not identical(*(sample(SQUARE, [3.0], rng=generator, **QUICK) for _ in range(2)))
    assert not identical(*(sample(SQUARE, [3.0], **QUICK) for _ in range(2)))


def test_global_random_state_is_left_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the legacy state is what must not change
    sample(SQUARE, [3.0], **QUICK)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


# --- simulations that go on -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["metropolis", "swendsen-wang", "wolff"])
def test_drawing_in_parts_is_drawing_at_once(algorithm):
    at_once, in_parts = (Simulation(SQUARE, [2.0, 3.0], n_chains=66, algorithm=algorithm, rng=1) for _ in range(2))
    for run in (at_once, in_parts):
        run.thermalize(70)  # more than one step between two looks at Ctrl-C
    whole = at_once.draw(5, n_skip=3)
    parts = [in_parts.draw(2, n_skip=3), in_parts.draw(3, n_skip=3)]
    assert np.array_equal(whole["spins"], np.concatenate([part["spins"] for part in parts], axis=2))
    assert at_once.n_thermalize.tolist() == [70, 70]


def test_thermalizing_twice_adds_up():
    run = Simulation(SQUARE, [2.0], n_chains=4, algorithm="metropolis", rng=1)
    run.thermalize(30)
    run.thermalize(10)
    other = Simulation(SQUARE, [2.0], n_chains=4, algorithm="metropolis", rng=1)
    other.thermalize(40)
    assert run.n_thermalize.tolist() == [40]
    assert identical(run.draw(2, n_skip=1), other.draw(2, n_skip=1))


def test_no_thermalization_starts_from_the_start():
    """One sweep after the ground states."""
    ds = sample(SQUARE, [0.1], n_chains=4, n_draws=1, n_thermalize=0, n_skip=1, rng=1)
    assert ds["energy"].values.ravel().tolist() == [-2.0] * 4
    run = Simulation(SQUARE, [0.1], n_chains=4, algorithm="metropolis", rng=1)
    run.thermalize(0)
    assert run.draw(1, n_skip=1)["magnetization"].values.ravel().tolist() == [1.0, -1.0, 1.0, -1.0]


def test_ctrl_c_ends_a_long_run():
    """The run would take hours; the interrupt arrives after a moment and is not swallowed."""
    run = Simulation(Ising(lattices.square(64)), [2.0, 2.3], n_chains=128, algorithm="metropolis", rng=1)
    run.thermalize(1)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        run.thermalize(10**8)
    timer.join()
    assert run.n_thermalize.tolist() == [1, 1]


def test_progress_goes_to_standard_error(capsys):
    sample(SQUARE, [2.0], n_chains=2, rng=1, progress=True, **QUICK)
    assert capsys.readouterr().out == ""
    sample(SQUARE, [2.0], n_chains=2, rng=1, **QUICK)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


# --- autocorrelation times and the choice of an algorithm -------------------------------------------------------------


def exact_times(model, temperature):
    """Integrated autocorrelation times of energy and |magnetisation| in sweeps, from the whole transition matrix."""
    unit = make_units(Tables(model), np.array([temperature]), ["metropolis"], 64, np.random.SeedSequence(1))[0]
    sweep = transition_matrices.product(transition_matrices.metropolis_updates(unit))
    weights = transition_matrices.boltzmann(model, temperature)
    states = transition_matrices.all_states(model.lattice.n_sites)
    times = []
    for series in (model.energy(states), np.abs(states.sum(axis=1))):
        x = series - weights @ series
        # 1/2 + sum over t > 0 of <x M^t x> / <x x>, the sum being a linear system.
        total = np.linalg.solve(np.eye(len(x)) - sweep + weights[None, :], x)
        times.append((weights * x) @ total / ((weights * x) @ x) - 0.5)
    return times


@pytest.mark.parametrize(
    ("lattice", "temperature"),
    [(lattices.chain(8), 1.0), (lattices.chain(9), 4.0), (lattices.square(3), 3.0), (lattices.triangular(3), 5.0)],
    ids=str,
)
def test_measured_times_are_the_exact_ones(lattice, temperature):
    """256 or more sweeps of 1,024 chains: a few per cent of statistical error."""
    model = Ising(lattice)
    run = Simulation(model, [temperature], n_chains=1024, algorithm="metropolis", rng=1)
    run.thermalize()
    expected = max(exact_times(model, temperature))
    assert run.autocorrelation_times[0] == pytest.approx(expected, rel=0.08)
    assert 0.55 < expected < 20.0
    skip = report(run.draw(1))["n_skip"][0]
    assert skip == np.ceil(2.0 * run.autocorrelation_times[0])
    assert run.n_thermalize[0] >= 20 * expected


def test_pilot_agrees_with_a_long_series():
    """Too large for a matrix: L = 16 near the critical temperature."""
    run = Simulation(Ising(lattices.square(16)), [2.4], n_chains=256, algorithm="metropolis", rng=1)
    run.thermalize()
    ds = run.draw(3000, n_skip=1)
    long = max(
        autocorrelation_time(ds["energy"].values[0]), autocorrelation_time(np.abs(ds["magnetization"].values[0]))
    )
    assert long > 10.0
    assert run.autocorrelation_times[0] == pytest.approx(long, rel=0.15)


def test_draws_are_nearly_independent_by_default():
    ds = sample(SQUARE, [2.3, 4.0], n_chains=128, n_draws=200, rng=5)
    for quantity in (ds["energy"], abs(ds["magnetization"])):
        for series in quantity.values:
            assert autocorrelation_time(series) < 0.65
            assert estimate(series).r_hat < 1.01


def test_auto_takes_metropolis_where_it_is_fast():
    run = Simulation(Ising(lattices.square(8)), [1.0, 2.269, 5.0], rng=1)
    run.thermalize()
    assert run.algorithms == ["metropolis"] * 3


def test_auto_takes_clusters_at_the_critical_point():
    """L = 64 at Tc, where Metropolis needs thousands of sweeps; not away from it."""
    run = Simulation(Ising(lattices.square(64)), [1.0, 2.269, 5.0], n_chains=64, rng=1)
    run.thermalize()
    assert run.algorithms == ["metropolis", "swendsen-wang", "metropolis"]
    assert run.autocorrelation_times.max() < 20.0
    ds = run.draw(2)
    assert report(ds)["algorithm"] == run.algorithms
    assert report(ds)["n_thermalize"] == run.n_thermalize.tolist()


def test_auto_shares_no_chain_between_algorithms(monkeypatch):
    """An odd size: words of all temperatures share a group, of which the clusters take over one temperature only."""
    monkeypatch.setattr(simulation, "_AUTO_PILOT", 2**10)
    run = Simulation(Ising(lattices.square(33)), [1.5, 2.269, 4.0], n_chains=80, rng=1)
    run.thermalize()
    assert run.algorithms == ["metropolis", "swendsen-wang", "metropolis"]
    owners = sorted(tuple(member) for unit in run._units for member in unit.members.tolist())
    assert owners == [(t, chain) for t in range(3) for chain in range(80)]
    ds = run.draw(2)
    spins = ds["spins"].values.astype(np.int64)
    pairs, total = metropolis.measure(run.model, spins)
    np.testing.assert_allclose(ds["energy"].values, -pairs / 1089, rtol=1e-12)
    np.testing.assert_allclose(ds["magnetization"].values, total / 1089, rtol=1e-12, atol=1e-12)
    assert (
        np.abs(ds["energy"].mean(("chain", "draw")).values - exact.ising_square_energy(33, run.temperatures)).max()
        < 0.02
    )


def test_auto_in_a_field_is_metropolis():
    run = Simulation(Ising(lattices.square(12), field=0.02), [2.269], n_chains=64, rng=1)
    run.thermalize()
    assert run.algorithms == ["metropolis"]
    assert sample(Ising(lattices.square(4), field=1.0), [2.0], rng=1, **QUICK).attrs["montecarlo"].count("metropolis")


def test_times_too_long_to_measure(monkeypatch):
    """A clear error instead of chains that are not in equilibrium."""
    monkeypatch.setattr(simulation, "_LONGEST_PILOT", 2**9)
    with pytest.raises(RuntimeError, match=r"autocorrelation time of metropolis at T = 2.269 on square\(32\) exceeds"):
        sample(Ising(lattices.square(32)), [4.0, 2.269], algorithm="metropolis", rng=1)


def test_given_numbers_are_taken(monkeypatch):
    """No pilot run where both are given; a pilot where only n_skip is missing."""
    run = Simulation(SQUARE, [3.0], algorithm="metropolis", rng=1)
    run.thermalize(10)
    assert np.isnan(run.autocorrelation_times).all()
    run.draw(1, n_skip=4)
    assert np.isnan(run.autocorrelation_times).all()
    ds = run.draw(1)
    assert np.isfinite(run.autocorrelation_times).all()
    assert report(ds)["n_thermalize"][0] > 10


# --- starting configurations ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "energy_per_edge"),
    [
        (Ising(lattices.square(4)), -1.0),
        (Ising(lattices.square(4), coupling=-1.0), -1.0),
        (Ising(lattices.square(3, periodic=False), coupling=-1.0), -1.0),
        (Ising(lattices.honeycomb(3), coupling=-1.0), -1.0),
        (Ising(lattices.cubic(4), coupling=-1.0), -1.0),
        (Ising(lattices.triangular(4)), -1.0),
    ],
    ids=lambda value: getattr(value, "label", ""),
)
def test_cold_chains_start_in_a_ground_state(model, energy_per_edge):
    spins = start_spins(model, 1.0, 6, rng=np.random.default_rng(1))
    np.testing.assert_allclose(model.energy(spins), energy_per_edge * len(model.lattice.edges))
    np.testing.assert_array_equal(spins[0], -spins[1])
    np.testing.assert_array_equal(spins[0], spins[2])


@pytest.mark.parametrize(
    ("model", "temperature"),
    [
        (Ising(lattices.square(8)), 4.01),  # above the mean-field temperature
        (Ising(lattices.square(8), coupling=0.0), 0.1),
        (Ising(lattices.triangular(8), coupling=-1.0), 0.5),  # frustrated
        (Ising(lattices.square(5), coupling=-1.0), 0.5),  # frustrated by its odd period
    ],
    ids=str,
)
def test_other_chains_start_at_random(model, temperature):
    spins = start_spins(model, temperature, 500, rng=np.random.default_rng(1))
    assert set(np.unique(spins)) == {-1, 1}
    assert abs(spins.mean()) < 5.0 / np.sqrt(spins.size)
    assert len(np.unique(spins, axis=0)) == 500


def test_a_field_starts_all_chains_along_it():
    for field in (0.5, -0.5):
        spins = start_spins(Ising(lattices.square(4), field=field), 1.0, 4, rng=np.random.default_rng(1))
        assert (spins == np.sign(field)).all()
    spins = start_spins(Ising(lattices.square(4), coupling=-1.0, field=0.5), 1.0, 4, rng=np.random.default_rng(1))
    assert (spins.sum(axis=1) == 0).all()
