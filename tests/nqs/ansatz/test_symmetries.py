"""Projected states have the quantum numbers that they claim; unphysical sectors are refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from qmlphys.lattices import chain, cubic, honeycomb, square, triangular
from qmlphys.nqs.ansatz import RBM, Symmetrized, SymmetryGroup

LATTICES = [
    chain(5),
    chain(6, periodic=False),
    square(3),
    square(4),
    square(3, periodic=False),
    triangular(3),
    triangular(4),
    triangular(3, periodic=False),
    honeycomb(3),
    honeycomb(4),
    honeycomb(3, periodic=False),
    cubic(3),
]
ORDER = {"chain": (2, 2), "square": (8, 8), "triangular": (12, 4), "honeycomb": (12, 4), "cubic": (48, 48)}


def all_configurations(n_sites):
    rows = list(itertools.product([1, -1], repeat=n_sites))
    return torch.tensor(rows, dtype=torch.int8).flip(1)  # row number = integer of the configuration


def integers(spins):
    return (((1 - spins.astype(np.int64)) // 2) << np.arange(spins.shape[1])).sum(1)


def vector(ansatz):
    return ansatz(all_configurations(ansatz.n_sites)).exp().detach().numpy()


def acted(psi, permutation, flip):
    """(U psi)(s) = psi(g s) with (g s)_i = +-s[p(i)]."""
    spins = all_configurations(len(permutation)).numpy()
    return psi[integers((-1 if flip else 1) * spins[:, permutation])]


SECTORS = {
    "trivial ring": (6, SymmetryGroup.translations(6)),
    "momentum pi": (6, SymmetryGroup.translations(6, momentum=3)),
    "momentum 1": (5, SymmetryGroup.translations(5, momentum=1)),
    "momentum -2": (5, SymmetryGroup.translations(5, momentum=-2)),
    "square momentum": (9, SymmetryGroup.translations(square(3), momentum=(1, 2))),
    "even": (5, SymmetryGroup.spin_flip(5)),
    "odd": (5, SymmetryGroup.spin_flip(5, -1)),
    "reversal odd": (6, SymmetryGroup.point_group(6, reflection=-1)),
    "open chain odd": (6, SymmetryGroup.point_group(chain(6, periodic=False), reflection=-1)),
    "square a2": (9, SymmetryGroup.point_group(square(3), reflection=-1)),
    "square b1": (9, SymmetryGroup.point_group(square(3), rotation=-1)),
    "square b2": (9, SymmetryGroup.point_group(square(3), rotation=-1, reflection=-1)),
    "triangle": (9, SymmetryGroup.point_group(triangular(3), rotation=-1)),
    "everything": (
        6,
        SymmetryGroup.translations(6, momentum=3)
        * SymmetryGroup.point_group(6, reflection=-1)
        * SymmetryGroup.spin_flip(6, -1),
    ),
}


@pytest.mark.parametrize("name", sorted(SECTORS))
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_projected_state_has_its_quantum_numbers(name, dtype):
    n_sites, group = SECTORS[name]
    inner = RBM(n_sites, dtype=dtype, scale=0.4, rng=3)
    with torch.no_grad():  # without biases it is even already
        inner.visible.weight += 0.3 * torch.randn(1, n_sites, generator=torch.Generator().manual_seed(1))
    state = Symmetrized(inner, group)
    psi, raw = vector(state), vector(inner)
    dense = np.zeros_like(psi)
    for permutation, flip, character in zip(group.permutations, group.spin_flips, group.characters, strict=True):
        dense += np.conj(character) * acted(raw, permutation, flip) / len(group)
    scale = np.abs(raw).max()
    np.testing.assert_allclose(psi, dense, rtol=1e-10, atol=1e-12 * scale)
    assert np.abs(psi).max() > 1e-4 * scale, "there is a state in the sector"
    changed = 0.0
    for permutation, flip, character in zip(group.permutations, group.spin_flips, group.characters, strict=True):
        np.testing.assert_allclose(acted(psi, permutation, flip), character * psi, rtol=1e-10, atol=1e-12 * scale)
        changed = max(changed, np.abs(acted(raw, permutation, flip) - character * raw).max())
    assert changed > 0.01 * scale, "the inner state does not have them already"
    expected = "holomorphic" if dtype == "complex128" else "real" if group.is_real else "complex"
    assert state.derivative == expected


def test_zeros_of_a_sector():
    """No state of momentum pi lives on a configuration that a step does not change."""
    state = Symmetrized(RBM(6, scale=0.4, rng=3), SymmetryGroup.translations(6, momentum=3))
    spins = torch.tensor([[1, 1, 1, 1, 1, 1], [1, -1, 1, 1, -1, 1], [1, -1, 1, 1, 1, 1]])
    value = state(spins)
    assert torch.isneginf(value.real).tolist() == [True, True, False]
    value.real[:2].sum().backward()
    assert all((p.grad == 0).all() for p in state.parameters())


def test_momentum_is_that_of_plane_waves():
    """One down spin at x with amplitude exp(i k x): a translation by one site multiplies it with exp(-i k)."""
    n, m = 6, 2
    k = 2 * np.pi * m / n
    group = SymmetryGroup.translations(n, momentum=m)
    wave = np.zeros(2**n, dtype=complex)
    wave[2 ** np.arange(n)] = np.exp(1j * k * np.arange(n))
    step = int(np.flatnonzero(group.permutations[:, 0] == 1)[0])
    np.testing.assert_allclose(acted(wave, group.permutations[step], False), np.exp(-1j * k) * wave, atol=1e-14)
    np.testing.assert_allclose(group.characters[step], np.exp(-1j * k), atol=1e-15)


@pytest.mark.parametrize("lattice", LATTICES, ids=str)
def test_point_groups(lattice):
    group = SymmetryGroup.point_group(lattice)
    assert len(group) == ORDER[lattice.name][0 if lattice.periodic else 1]
    for k in (1,) if lattice.size == 3 else (1, 2):
        edges = {tuple(edge) for edge in lattice.edges_of_order(k).tolist()}
        for permutation in group.permutations:
            assert {tuple(sorted(permutation[list(edge)].tolist())) for edge in edges} == edges
    assert (group.characters == 1).all()


@pytest.mark.parametrize("lattice", LATTICES, ids=str)
def test_point_group_characters(lattice):
    """The signs are representations (the constructor checks), all different, and as many as there are."""
    n_found = set()
    for rotation, reflection in itertools.product((1, -1), repeat=2):
        if lattice.n_dimensions == 1 and rotation == -1:
            with pytest.raises(ValueError, match="rotation"):
                SymmetryGroup.point_group(lattice, rotation=rotation)
            continue
        characters = SymmetryGroup.point_group(lattice, rotation=rotation, reflection=reflection).characters
        n_found.add(tuple(characters.tolist()))
    assert len(n_found) == (2 if lattice.n_dimensions == 1 else 4)


@pytest.mark.parametrize("lattice", [chain(5), square(4), triangular(3), honeycomb(3)], ids=str)
def test_space_group(lattice):
    group = SymmetryGroup.translations(lattice) * SymmetryGroup.point_group(lattice)
    n_cells = lattice.n_sites // lattice.n_basis
    assert len(group) == n_cells * ORDER[lattice.name][0]
    assert len(np.unique(group.permutations, axis=0)) == len(group)


def test_unphysical_sectors():
    ring = SymmetryGroup.translations(6)
    with pytest.raises(ValueError, match="no state"):
        SymmetryGroup(ring.permutations, ring.spin_flips, np.array([1, 0.5, 1, 1, 1, 1]))
    with pytest.raises(ValueError, match="no state"):
        SymmetryGroup(ring.permutations, ring.spin_flips, np.array([1, -1, -1, 1, 1, 1]))
    with pytest.raises(ValueError, match="no state"):
        SymmetryGroup(ring.permutations, ring.spin_flips, -np.ones(6))
    with pytest.raises(ValueError, match="no state"):
        SymmetryGroup(ring.permutations, ring.spin_flips, np.full(6, np.nan))
    with pytest.raises(ValueError, match="no state"):
        # an odd ring has no momentum pi
        SymmetryGroup(SymmetryGroup.translations(5).permutations, np.zeros(5, dtype=bool), (-1.0) ** np.arange(5))
    with pytest.raises(ValueError, match="momentum"):
        SymmetryGroup.translations(6, momentum=0.5)
    with pytest.raises(ValueError, match="momentum"):
        SymmetryGroup.translations(square(3), momentum=(1, 2, 0))
    with pytest.raises(ValueError, match="no state"):
        # a reflection turns momentum 1 into -1
        SymmetryGroup.translations(5, momentum=1) * SymmetryGroup.point_group(5)


def test_no_groups():
    ring = SymmetryGroup.translations(6)
    with pytest.raises(ValueError, match="missing"):
        SymmetryGroup(ring.permutations[:3], ring.spin_flips[:3], np.ones(3))
    with pytest.raises(ValueError, match="twice"):
        SymmetryGroup(np.zeros((2, 1), dtype=int), np.array([False, False]), np.ones(2))
    with pytest.raises(ValueError, match="twice"):
        ring * ring
    with pytest.raises(ValueError, match="each site once"):
        SymmetryGroup(np.array([[0, 0]]), np.array([False]), np.ones(1))
    with pytest.raises(ValueError, match="integers"):
        SymmetryGroup(np.array([[0.0, 1.0]]), np.array([False]), np.ones(1))
    with pytest.raises(ValueError, match="shape"):
        SymmetryGroup(ring.permutations, ring.spin_flips, np.ones(5))
    with pytest.raises(ValueError, match="same number"):
        ring * SymmetryGroup.spin_flip(5)
    with pytest.raises(ValueError, match="sign"):
        SymmetryGroup.spin_flip(5, 0)
    with pytest.raises(ValueError, match="no translations"):
        SymmetryGroup.translations(chain(5, periodic=False))


def test_arrays_are_read_only():
    group = SymmetryGroup.spin_flip(3)
    with pytest.raises(ValueError, match="read-only"):
        group.characters[0] = 2


def test_without_gradients_in_pieces():
    """More images than one piece holds: the same numbers as in one go."""
    inner = RBM(10, scale=0.3, rng=0)
    state = Symmetrized(inner, SymmetryGroup.translations(10) * SymmetryGroup.spin_flip(10))
    spins = all_configurations(10)[::1]
    assert spins.shape[0] * len(state.group) > 2**14
    with torch.no_grad():
        pieces = state(spins)
    # rows of a matrix product in blocks of another size
    torch.testing.assert_close(pieces, state(spins).detach(), rtol=1e-13, atol=1e-13)
