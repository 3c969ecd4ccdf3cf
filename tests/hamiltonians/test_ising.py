"""The Ising energy against plain loops, known ground states and symmetries."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmlphys import hamiltonians, lattices
from qmlphys.hamiltonians import Ising

LATTICES = [
    make(size, periodic=periodic)
    for make, size in [
        (lattices.chain, 7),
        (lattices.square, 4),
        (lattices.square, 3),
        (lattices.triangular, 3),
        (lattices.honeycomb, 3),
        (lattices.cubic, 3),
    ]
    for periodic in (True, False)
]


def plain_energy(model, spins):
    """E = -J sum over edges s s' - h sum over sites s, term by term, each edge found from both ends."""
    total = 0.0
    for site, spin in enumerate(spins):
        for other in model.lattice.neighbours[site]:
            if other >= 0:
                total -= model.coupling * int(spin) * int(spins[other]) / 2.0
        total -= model.field * int(spin)
    return total


@pytest.mark.parametrize("lattice", LATTICES, ids=lambda lattice: lattice.label)
@pytest.mark.parametrize(("coupling", "field"), [(1.0, 0.0), (-0.7, 0.3), (0.0, -2.0)])
def test_energy_is_the_plain_sum(lattice, coupling, field):
    model = Ising(lattice, coupling=coupling, field=field)
    spins = np.random.default_rng(1).choice(np.array([-1, 1], dtype=np.int8), size=(2, 5, lattice.n_sites))
    energies = model.energy(spins)
    assert energies.shape == (2, 5)
    assert energies.dtype == np.float64
    expected = [[plain_energy(model, row) for row in block] for block in spins]
    np.testing.assert_allclose(energies, expected, rtol=1e-12, atol=1e-12)
    assert np.ptp(energies) > 0


@pytest.mark.parametrize("lattice", LATTICES, ids=lambda lattice: lattice.label)
def test_ferromagnetic_ground_states(lattice):
    up = np.ones(lattice.n_sites, dtype=np.int8)
    n_edges = len(lattice.edges)
    assert Ising(lattice).energy(up) == Ising(lattice).energy(-up) == -n_edges
    assert Ising(lattice, field=0.5).energy(up) == -n_edges - 0.5 * lattice.n_sites
    assert Ising(lattice, field=0.5).energy(-up) == -n_edges + 0.5 * lattice.n_sites
    assert Ising(lattice, coupling=-2.0).energy(up) == 2.0 * n_edges


@pytest.mark.parametrize(
    ("lattice", "energy"),
    [
        (lattices.chain(6), -6),  # all bonds satisfied
        (lattices.chain(7), -5),  # an odd ring: one bond is not
        (lattices.square(4), -32),
        (lattices.square(3), -6),  # odd both ways: each of the six rings of three has one unsatisfied bond
        (lattices.triangular(3), -9),  # two of three bonds of every triangle
        (lattices.honeycomb(3), -27),
    ],
    ids=lambda value: getattr(value, "label", ""),
)
def test_antiferromagnetic_ground_states(lattice, energy):
    """Minimum over all states; frustration by geometry and by odd periods."""
    n = lattice.n_sites
    states = (1 - 2 * (np.arange(2 ** (n - 1))[:, None] >> np.arange(n) & 1)).astype(np.int8)  # one of each mirror pair
    energies = Ising(lattice, coupling=-1.0).energy(states)
    assert energies.min() == energy
    assert energies.max() == len(lattice.edges)


def test_one_flip_costs_the_local_field():
    model = Ising(lattices.honeycomb(4), coupling=0.8, field=0.25)
    rng = np.random.default_rng(2)
    spins = rng.choice(np.array([-1, 1]), size=32)
    for site in range(32):
        flipped = spins.copy()
        flipped[site] *= -1
        local = 0.8 * spins[model.lattice.neighbours[site]].sum() + 0.25
        change = model.energy(flipped) - model.energy(spins)
        np.testing.assert_allclose(change, 2 * spins[site] * local, rtol=1e-12, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**16 - 1), st.floats(-3, 3), st.floats(-3, 3))
def test_symmetries(bits, coupling, field):
    """Turning all spins and the field over, and turning one sublattice and the coupling over."""
    lattice = lattices.square(4)
    spins = 1 - 2 * (bits >> np.arange(16) & 1)
    chessboard = (-1) ** (np.indices((4, 4)).sum(axis=0).ravel())
    energy = Ising(lattice, coupling=coupling, field=field).energy(spins)
    np.testing.assert_allclose(
        Ising(lattice, coupling=coupling, field=-field).energy(-spins), energy, rtol=1e-12, atol=1e-12
    )
    np.testing.assert_allclose(
        Ising(lattice, coupling=-coupling).energy(spins * chessboard),
        Ising(lattice, coupling=coupling).energy(spins),
        rtol=1e-12,
        atol=1e-12,
    )


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.float32, np.float64])
def test_any_number_type(dtype):
    """Sums are made in 64 bits: a row of 300 spins overflows int8."""
    lattice = lattices.chain(300)
    spins = np.ones((3, 300), dtype=dtype)
    assert Ising(lattice, field=1.0).energy(spins).tolist() == [-600.0] * 3
    assert Ising(lattice, field=1.0).energy(spins.tolist()).tolist() == [-600.0] * 3


def test_many_rows_are_split_in_blocks():
    """More products than one block holds: the same numbers as row by row."""
    lattice = lattices.square(64)
    spins = np.random.default_rng(1).choice(np.array([-1, 1], dtype=np.int8), size=(1100, 4096))
    model = Ising(lattice, field=0.1)
    energies = model.energy(spins)
    for row in (0, 511, 512, 1023, 1024, 1099):
        assert energies[row] == model.energy(spins[row])
    assert model.energy(spins[:0]).shape == (0,)


@pytest.mark.parametrize("shape", [(), (15,), (16, 15), (17,)])
def test_wrong_shapes(shape):
    with pytest.raises(ValueError, match=r"Argument `spins` must have shape \(\.\.\., 16\) on square\(4\), but it is"):
        Ising(lattices.square(4)).energy(np.ones(shape))


@pytest.mark.parametrize("value", [0, 2, 0.5, np.nan, np.inf])
def test_wrong_values(value):
    spins = np.ones((2, 16))
    spins[1, 3] = value
    with pytest.raises(ValueError, match=r"Argument `spins` must hold -1 and \+1 only, but it holds"):
        Ising(lattices.square(4)).energy(spins)


@pytest.mark.parametrize("name", ["coupling", "field"])
@pytest.mark.parametrize("value", [np.nan, np.inf, "1", None, True, 1j, [1.0]])
def test_wrong_parameters(name, value):
    with pytest.raises((ValueError, TypeError), match=f"Argument `{name}` must be a finite number, but it is"):
        Ising(lattices.square(4), **{name: value})


@pytest.mark.parametrize("lattice", ["square(4)", 4, None, lattices.square])
def test_wrong_lattice(lattice):
    with pytest.raises(TypeError, match=r"Argument `lattice` must be a Lattice, such as square\(16\), but it is"):
        Ising(lattice)


def test_a_model_is_a_value():
    model = Ising(lattices.square(4), coupling=2, field=np.float32(0.5))
    assert model == Ising(lattices.square(4), coupling=2.0, field=0.5)
    assert hash(model) == hash(Ising(lattices.square(4), coupling=2.0, field=0.5))
    assert model.label == "Ising(coupling=2.0, field=0.5)"
    assert isinstance(model.coupling, float)
    assert hamiltonians.Ising is Ising
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.field = 1.0
    with pytest.raises(TypeError):
        Ising(lattices.square(4), 1.0)  # keywords only
