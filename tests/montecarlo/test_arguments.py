"""Wrong arguments of `sample` and `Simulation`, each with its message; extreme ones that are right."""

from __future__ import annotations

import numpy as np
import pytest

from qmlphys import lattices
from qmlphys.hamiltonians import Ising
from qmlphys.montecarlo import Simulation, sample

SQUARE = Ising(lattices.square(6))
QUICK = {"n_draws": 3, "n_thermalize": 20, "n_skip": 2}


@pytest.mark.parametrize("value", [-1.0, 0.0, np.nan, np.inf, -np.inf])
def test_temperatures_must_be_positive(value):
    with pytest.raises(ValueError, match=r"Argument `temperatures` must be positive and finite.*but it holds"):
        sample(SQUARE, [1.0, value])


@pytest.mark.parametrize("value", [[], [[1.0, 2.0]], np.ones((2, 0))])
def test_temperatures_must_be_a_list(value):
    with pytest.raises(ValueError, match="Argument `temperatures` must be a list of at least one value, but its shape"):
        sample(SQUARE, value)


@pytest.mark.parametrize("value", ["warm", None, ["1.0", "x"], [1j], [[1.0], [1.0, 2.0]]])
def test_temperatures_must_be_numbers(value):
    with pytest.raises((TypeError, ValueError), match="Argument `temperatures` must"):
        sample(SQUARE, value)


@pytest.mark.parametrize("model", [None, "square(4)", lattices.square(4), 3])
def test_model_must_be_ising(model):
    with pytest.raises(TypeError, match="Argument `model` must be an Ising model, but it is"):
        sample(model, [1.0])


@pytest.mark.parametrize("name", ["n_chains", "n_draws", "n_skip"])
@pytest.mark.parametrize("value", [0, -1, 2**60, True])
def test_numbers_must_be_in_range(name, value):
    with pytest.raises(ValueError, match=f"Argument `{name}` must be between 1 and .*, but it is {value}"):
        sample(SQUARE, [1.0], **{name: value})


@pytest.mark.parametrize("name", ["n_chains", "n_draws", "n_skip", "n_thermalize"])
@pytest.mark.parametrize("value", [1.5, "3", np.nan, [4]])
def test_numbers_must_be_whole(name, value):
    with pytest.raises(TypeError, match=f"Argument `{name}` must be an integer, but it is"):
        sample(SQUARE, [1.0], **{name: value})


def test_negative_thermalization():
    with pytest.raises(ValueError, match=r"Argument `n_thermalize` must be between 0 and .*, but it is -1"):
        sample(SQUARE, [1.0], n_thermalize=-1)


@pytest.mark.parametrize("value", ["", "Metropolis", "heat-bath", None, 3])
def test_unknown_algorithm(value):
    with pytest.raises(ValueError, match=r"Argument `algorithm` must be one of .*'auto'.*, but it is"):
        sample(SQUARE, [1.0], algorithm=value)


@pytest.mark.parametrize("value", ["wolff", "swendsen-wang"])
def test_clusters_do_not_know_a_field(value):
    with pytest.raises(ValueError, match=f"Argument `algorithm` must be 'metropolis' or 'auto' in a field.*'{value}'"):
        sample(Ising(lattices.square(4), field=-0.1), [1.0], algorithm=value)


@pytest.mark.parametrize("value", [-1, 2**63, 10**30])
def test_seed_range(value):
    with pytest.raises(ValueError, match="Argument `rng` must be between 0 and"):
        sample(SQUARE, [1.0], rng=value)


@pytest.mark.parametrize("value", [1.5, "seed", [1, 2], np.random.RandomState(1)])
def test_seed_type(value):
    with pytest.raises(TypeError, match="Argument `rng` must be None, an integer or a numpy Generator, but it is"):
        sample(SQUARE, [1.0], rng=value)


def test_too_many_spins():
    """Bounded before anything is allocated."""
    with pytest.raises(ValueError, match="Argument `n_draws` must leave at most 17179869184 bytes of spins"):
        sample(SQUARE, [1.0], n_draws=2**40, n_thermalize=0, n_skip=1)


def test_arguments_after_the_second_are_keywords():
    with pytest.raises(TypeError):
        sample(SQUARE, [1.0], 64)
    with pytest.raises(TypeError):
        Simulation(SQUARE, [1.0], 64)


@pytest.mark.parametrize("temperature", [5e-324, 1e-300, 1e-3, 1e6, 1e300])
def test_extreme_temperatures(temperature):
    """Frozen chains stay in the ground state, infinitely hot ones are random; no overflow, no warning."""
    for algorithm in ("metropolis", "swendsen-wang", "wolff"):
        ds = sample(SQUARE, [temperature], n_chains=64, algorithm=algorithm, rng=1, **QUICK)
        energy = ds["energy"].values
        if temperature < 1.0:
            assert (energy == -2.0).all()
        else:
            assert abs(energy.mean()) < 5.0 * np.sqrt(2.0 / 36 / 64)
