"""Energy and specific heat of `sample` against exact values: every algorithm on every lattice.

Energy and specific heat come from independent runs. Errors come from the scatter of independent chains (jackknife over
chains, which also takes the bias of a variance of finitely many draws); a deviation in units of a measured error has
Student's distribution and is turned into the normal deviation of the same rarity, so that chi-squared can be judged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from scipy import special

from qmlphys import exact, lattices
from qmlphys.hamiltonians import Ising
from qmlphys.montecarlo import sample
from tests.reference import transfer_matrix

ALGORITHMS = ("metropolis", "swendsen-wang", "wolff")
# Chains and draws: Metropolis has them for next to nothing.
CHAINS = {"metropolis": 256, "swendsen-wang": 96, "wolff": 96, "auto": 192}
N_DRAWS = 24
# As many draws from a third of the chains, where pilot runs of all chains are what takes time.
FEW_CHAINS = {**CHAINS, "swendsen-wang": 32, "wolff": 32}
MIN_EXCITED = 100  # draws above the lowest energy; with fewer, the error bar itself is not known


@cache
def _enumeration(model):
    return exact.enumerate_ising(model)


@cache
def exact_values(model, temperature):
    """Energy and specific heat per site, by the cheapest exact method that applies."""
    lattice, coupling = model.lattice, model.coupling
    if lattice.n_sites <= 20:
        counted = _enumeration(model)
        return float(counted.energy(temperature)), float(counted.specific_heat(temperature))
    # Turning every second spin over is a symmetry of J = -1 where the period is even; then it equals J = 1.
    if lattice.periodic and model.field == 0.0 and (coupling == 1.0 or (coupling == -1.0 and lattice.size % 2 == 0)):
        if lattice.name == "square":
            energy, heat = exact.ising_square_energy, exact.ising_square_specific_heat
            return float(energy(lattice.size, temperature)), float(heat(lattice.size, temperature))
        if lattice.name == "chain":
            energy, heat = exact.ising_chain_energy, exact.ising_chain_specific_heat
            return float(energy(lattice.size, temperature)), float(heat(lattice.size, temperature))
    if lattice.n_sites // lattice.size <= 10:
        return transfer_matrix.energy_and_specific_heat(model, temperature)
    counted = _enumeration(model)
    return float(counted.energy(temperature)), float(counted.specific_heat(temperature))


@dataclass(frozen=True)
class Comparison:
    """One measured value beside its exact one."""

    what: str
    deviation: float


def normal_deviation(value, replicas, truth):
    """Deviation of a jackknifed value from the truth, as that of a normal number of the same rarity."""
    n = len(replicas)
    corrected = n * value - (n - 1) * replicas.mean()
    error = math.sqrt((n - 1) / n * ((replicas - replicas.mean()) ** 2).sum())
    t = (corrected - truth) / error
    return -math.copysign(special.ndtri(special.stdtr(n - 1, -abs(t))), t)


def compare(model, algorithm, temperatures, *, seed, chains):
    """Two independent runs, one for the energy, one for the specific heat."""
    n_sites = model.lattice.n_sites
    found = []
    for quantity in (0, 1):
        ds = sample(
            model,
            temperatures,
            n_chains=chains[algorithm],
            n_draws=N_DRAWS * CHAINS[algorithm] // chains[algorithm],
            algorithm=algorithm,
            rng=2 * seed + quantity,
        )
        for energies, temperature in zip(ds["energy"].values, temperatures, strict=True):
            if np.count_nonzero(energies > energies.min() + 1e-9) < MIN_EXCITED:
                continue
            n = len(energies)
            first, second = energies.mean(axis=1), (energies**2).mean(axis=1)
            # Means over all chains, and over all but one.
            means = np.array([first.mean(), second.mean()])
            others = (n * means[:, None] - np.stack([first, second])) / (n - 1)
            if quantity == 0:
                values = means[0], others[0]
            else:
                scale = n_sites / temperature**2
                values = (means[1] - means[0] ** 2) * scale, (others[1] - others[0] ** 2) * scale
            truth = exact_values(model, temperature)[quantity]
            assert truth != 0.0
            what = f"{('energy', 'specific heat')[quantity]} of {model.label} on {model.lattice.label}, {algorithm}"
            found.append(Comparison(f"{what}, T = {temperature}", normal_deviation(*values, truth)))
    return found


def assert_agreement(found, *, at_least):
    """No deviation beyond 4.5 sigma, and chi-squared per degree of freedom within 1 +- 3 sqrt(2 / dof).

    The parts - energies, specific heats, each algorithm - have 4 sqrt(2 / dof): there are five of them.
    """
    assert len(found) >= at_least
    deviations = np.array([comparison.deviation for comparison in found])
    worst = found[int(np.abs(deviations).argmax())]
    assert abs(worst.deviation) < 4.5, worst
    for subset in ("", "energy", "specific heat", *ALGORITHMS):
        chosen = deviations[[subset in comparison.what for comparison in found]]
        if len(chosen) >= 20:
            chi2 = (chosen**2).mean()
            limit = (4.0 if subset else 3.0) * math.sqrt(2.0 / len(chosen))
            assert abs(chi2 - 1.0) < limit, f"{subset or 'all'}: chi2 / dof = {chi2:.3f}, {len(chosen)} comparisons"


def run_panel(cases, *, seed, chains=CHAINS):
    """Compare all cases (lattice, coupling, field, temperatures, algorithms)."""
    found = []
    for lattice, coupling, field, temperatures, algorithms in cases:
        for algorithm in algorithms:
            model = Ising(lattice, coupling=coupling, field=field)
            found += compare(model, algorithm, temperatures, seed=seed, chains=chains)
            seed += 1
    return found


# --- the references agree with each other -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lattice",
    [
        *(lattices.square(4), lattices.square(4, periodic=False), lattices.triangular(4), lattices.honeycomb(3)),
        *(lattices.triangular(4, periodic=False), lattices.honeycomb(3, periodic=False)),
    ],
    ids=str,
)
@pytest.mark.parametrize(("coupling", "field"), [(1.0, 0.0), (-0.7, 0.3)])
def test_transfer_matrix_against_enumeration(lattice, coupling, field):
    model = Ising(lattice, coupling=coupling, field=field)
    counted = exact.enumerate_ising(model)
    for temperature in (0.5, 2.269, 7.0):
        energy, heat = transfer_matrix.energy_and_specific_heat(model, temperature)
        np.testing.assert_allclose(energy, counted.energy(temperature), rtol=1e-12)
        # The variance is a difference of large numbers: twelve digits where it is of order one.
        np.testing.assert_allclose(heat, counted.specific_heat(temperature), rtol=1e-12, atol=1e-12)


def test_transfer_matrix_against_kaufman():
    for size in (7, 8):
        energy, heat = transfer_matrix.energy_and_specific_heat(Ising(lattices.square(size)), 2.269)
        np.testing.assert_allclose(energy, exact.ising_square_energy(size, 2.269), rtol=1e-12)
        np.testing.assert_allclose(heat, exact.ising_square_specific_heat(size, 2.269), rtol=1e-12)


def test_the_judgement_is_sound():
    """Independent normal chains pass; the same with errors 15 % too small, or a shift of 5 sigma, do not."""
    rng = np.random.default_rng(1)

    def comparisons(scale, shift):
        for k in range(1000):
            chains = rng.normal(size=96)
            replicas = (chains.sum() - chains) / 95
            deviation = normal_deviation(chains.mean(), replicas, shift * (k == 0) / math.sqrt(96))
            yield Comparison("", scale * deviation)

    assert_agreement(list(comparisons(1.0, 0.0)), at_least=1000)
    with pytest.raises(AssertionError):
        assert_agreement(list(comparisons(1.15, 0.0)), at_least=1000)
    with pytest.raises(AssertionError, match="deviation"):
        assert_agreement(list(comparisons(1.0, 7.0)), at_least=1000)


# --- the panels -------------------------------------------------------------------------------------------------------

SMALL_TORI = [
    (lattices.square(4), 1.0, 0.0, [1.8, 2.269, 3.0, 20.0], ALGORITHMS),
    (lattices.square(7), 1.0, 0.0, [1.8, 2.269, 3.0], ALGORITHMS),
    (lattices.square(16), 1.0, 0.0, [1.8, 2.269, 3.0], ALGORITHMS),
    (lattices.chain(3), 1.0, 0.0, [1.0, 2.0, 8.0], ALGORITHMS),  # where always accepting gives wrong numbers
    (lattices.chain(16), 1.0, 0.0, [0.7, 1.5, 4.0], ALGORITHMS),
    (lattices.square(4), 0.8, 0.3, [1.0, 2.0, 4.0], ("metropolis", "auto")),
]
SMALL_OTHERS = [
    (lattices.triangular(5), 1.0, 0.0, [2.5, 3.641, 6.0], ALGORITHMS),
    (lattices.triangular(4), -1.0, 0.0, [2.0, 4.0], ALGORITHMS),  # frustrated
    (lattices.honeycomb(4), 1.0, 0.0, [1.2, 1.5187, 3.0], ALGORITHMS),
    (lattices.cubic(3), 1.0, 0.0, [4.51, 9.0], ALGORITHMS),
    (lattices.chain(9, periodic=False), 1.0, 0.0, [0.8, 2.0, 6.0], ALGORITHMS),
    (lattices.square(5, periodic=False), -1.0, 0.0, [1.0, 2.0], ALGORITHMS),
    (lattices.triangular(4), -1.0, 1.5, [1.0, 2.0, 4.0], ("metropolis",)),
]


@pytest.mark.parametrize(("cases", "seed"), [(SMALL_TORI, 1), (SMALL_OTHERS, 101)], ids=["tori", "others"])
def test_small_panel(cases, seed):
    assert_agreement(run_panel(cases, seed=seed, chains=FEW_CHAINS), at_least=90)


# Temperatures from well below the transition to far above; the critical one among them.
SQUARE = [1.5, 1.9, 2.15, 2.269, 2.4, 2.8, 4.0, 12.0]
TRIANGULAR = [2.2, 3.0, 3.4, 3.641, 3.9, 4.5, 7.0, 20.0]
HONEYCOMB = [0.9, 1.2, 1.4, 1.5187, 1.65, 2.0, 3.0, 10.0]
CUBIC = [2.8, 3.6, 4.2, 4.51, 4.9, 6.0, 9.0, 25.0]
CHAIN = [0.6, 0.8, 1.0, 1.4, 2.0, 3.0, 5.0, 15.0]
FRUSTRATED = [1.6, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0, 25.0]
FIELD = ("metropolis", "auto")

TORI = [
    *((lattices.square(size), 1.0, 0.0, SQUARE, ALGORITHMS) for size in (4, 5, 6, 7, 8, 9, 10, 12, 15, 16)),
    *((lattices.square(size), 1.0, 0.0, SQUARE, ("metropolis", "auto")) for size in (3, 11, 13, 20)),
    *((lattices.square(size), 1.0, 0.0, SQUARE[::2], ALGORITHMS) for size in (24, 31, 32)),
    *((lattices.square(size), 1.0, 0.0, [1.9, 2.4, 2.8, 4.0], ("metropolis",)) for size in (48, 63, 64)),
    *((lattices.square(size), 1.0, 0.0, [1.9, 2.269, 2.8], ("swendsen-wang",)) for size in (48, 63, 64)),
    *((lattices.square(size), 1.0, 0.0, [1.9, 2.269], ("wolff",)) for size in (48, 63, 64)),
    *((lattices.chain(size), 1.0, 0.0, CHAIN, ALGORITHMS) for size in (3, 4, 5, 8, 16, 33, 64)),
    *((lattices.square(size), -1.0, 0.0, SQUARE, ALGORITHMS) for size in (4, 8)),
    *(
        (lattices.square(4), coupling, field, SQUARE, FIELD)
        for coupling, field in [(1.0, 0.1), (0.8, -0.5), (-1.0, 2.0)]
    ),
]

OTHERS = [
    *((lattices.triangular(size), 1.0, 0.0, TRIANGULAR, ALGORITHMS) for size in (3, 4, 5, 6, 7, 8)),
    *((lattices.honeycomb(size), 1.0, 0.0, HONEYCOMB, ALGORITHMS) for size in (3, 4, 5)),
    (lattices.cubic(3), 1.0, 0.0, CUBIC, ALGORITHMS),
    (lattices.cubic(3, periodic=False), 1.0, 0.0, CUBIC, ALGORITHMS),
    (lattices.cubic(3), -1.0, 0.0, FRUSTRATED, ALGORITHMS),
    *((lattices.square(size, periodic=False), 1.0, 0.0, SQUARE, ALGORITHMS) for size in (3, 4, 8, 9)),
    (lattices.triangular(5, periodic=False), 1.0, 0.0, TRIANGULAR, ALGORITHMS),
    (lattices.honeycomb(3, periodic=False), 1.0, 0.0, HONEYCOMB, ALGORITHMS),
    (lattices.chain(12, periodic=False), 1.0, 0.0, CHAIN, ALGORITHMS),
    *((lattices.triangular(size), -1.0, 0.0, FRUSTRATED, ALGORITHMS) for size in (3, 4, 6)),
    (lattices.square(5), -1.0, 0.0, FRUSTRATED, ALGORITHMS),
    (lattices.chain(7), -1.0, 0.0, CHAIN, ALGORITHMS),
    (lattices.honeycomb(4), -1.0, 0.0, HONEYCOMB, ALGORITHMS),
    (lattices.square(7, periodic=False), -0.7, 0.0, SQUARE, ALGORITHMS),
    (lattices.triangular(6), -1.0, 1.5, FRUSTRATED, FIELD),
    (lattices.triangular(8), 0.9, -0.3, TRIANGULAR, FIELD),
    (lattices.honeycomb(4), 1.0, 0.2, HONEYCOMB, FIELD),
    (lattices.cubic(3), -0.8, 1.1, CUBIC, FIELD),
    (lattices.chain(10), 1.0, 0.4, CHAIN, FIELD),
    (lattices.square(8, periodic=False), 1.0, 0.25, SQUARE, FIELD),
]


@pytest.mark.slow
@pytest.mark.parametrize(("cases", "seed"), [(TORI, 1000), (OTHERS, 2000)], ids=["tori", "others"])
def test_large_panel(cases, seed):
    assert_agreement(run_panel(cases, seed=seed), at_least=1000)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lattice", "temperatures"),
    [
        (lattices.triangular(16), [3.2, 3.641, 4.5]),
        (lattices.honeycomb(16), [1.3, 1.5187, 2.0]),
        (lattices.cubic(4), [3.6, 4.51, 6.0]),
        (lattices.cubic(8), [3.6, 4.51, 6.0]),
        (lattices.cubic(16), [3.6, 4.2]),
        (lattices.cubic(5, periodic=False), [3.0, 6.0]),
    ],
    ids=str,
)
def test_algorithms_agree_where_nothing_is_exact(lattice, temperatures):
    """Layouts of four and eight slabs, and a cube of even size: three independent codes, 4.5 sigma."""
    means = {}
    for seed, algorithm in enumerate(ALGORITHMS):
        n_chains = CHAINS[algorithm]
        ds = sample(Ising(lattice), temperatures, n_chains=n_chains, n_draws=N_DRAWS, algorithm=algorithm, rng=seed)
        for name, series in (("energy", ds["energy"]), ("magnetization", abs(ds["magnetization"]))):
            chains = series.mean("draw").values
            means[name, algorithm] = chains.mean(axis=1), chains.var(axis=1, ddof=1) / n_chains
    for name in ("energy", "magnetization"):
        for first, second in [(0, 1), (0, 2), (1, 2)]:
            a, var_a = means[name, ALGORITHMS[first]]
            b, var_b = means[name, ALGORITHMS[second]]
            assert np.abs((a - b) / np.sqrt(var_a + var_b)).max() < 4.5, (name, ALGORITHMS[first], ALGORITHMS[second])
            assert np.abs(b / np.sqrt(var_b)).min() > 20.0
