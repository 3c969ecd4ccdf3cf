"""Restricted Boltzmann machines, Jastrow and Marshall against their formulas in NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from qmlphys.hamiltonians import Heisenberg
from qmlphys.lattices import chain, honeycomb, square, triangular
from qmlphys.nqs.ansatz import RBM, Jastrow, Marshall, ShortRangeRBM, TranslationRBM


def all_configurations(n_sites):
    rows = list(itertools.product([1, -1], repeat=n_sites))
    return torch.tensor(rows, dtype=torch.int8).flip(1)


def move_biases(ansatz, seed=7):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in ansatz.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, dtype=parameter.dtype, generator=generator)
    return ansatz


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_rbm_formula(dtype):
    ansatz = move_biases(RBM(5, alpha=2, dtype=dtype, scale=0.5, rng=0))
    a, w, b = (p.detach().numpy() for p in (ansatz.visible.weight, ansatz.hidden.weight, ansatz.hidden.bias))
    s = all_configurations(5).numpy()
    psi = np.exp(s @ a[0]) * np.prod(2 * np.cosh(b + s @ w.T), axis=1)
    np.testing.assert_allclose(np.exp(ansatz(torch.from_numpy(s)).detach().numpy()), psi, rtol=1e-12)
    assert np.ptp(np.abs(psi)) > np.abs(psi).mean()


def test_rbm_without_biases_is_even():
    spins = all_configurations(6)
    even = RBM(6, alpha=2, visible_bias=False, hidden_bias=False, scale=0.5, rng=0)
    torch.testing.assert_close(even(spins), even(-spins), rtol=1e-14, atol=1e-14)
    assert sum(1 for _ in even.parameters()) == 1
    odd = move_biases(RBM(6, scale=0.5, rng=0))
    assert (odd(spins) - odd(-spins)).abs().max() > 0.1


@pytest.mark.parametrize("lattice", [6, square(3), honeycomb(3)], ids=str)
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_translation_rbm(lattice, dtype):
    ansatz = move_biases(TranslationRBM(lattice, alpha=2, dtype=dtype, scale=0.3, rng=0))
    n_sites = ansatz.n_sites
    shape, n_basis = ((n_sites,), 1) if lattice == 6 else ((3, 3), lattice.n_basis)
    generator = torch.Generator().manual_seed(1)
    spins = 1 - 2 * torch.randint(2, (20, n_sites), generator=generator)
    grid = spins.reshape(-1, *shape, n_basis)
    for axis in range(len(shape)):
        moved = grid.roll(1, 1 + axis).reshape(-1, n_sites)
        torch.testing.assert_close(ansatz(moved), ansatz(spins), rtol=1e-12, atol=1e-12)
    swapped = spins.flip(1) if n_basis == 2 else spins[:, torch.randperm(n_sites, generator=generator)]
    assert (ansatz(swapped) - ansatz(spins)).abs().max() > 0.1, "other permutations are no symmetry"
    form = ansatz.rbm()
    assert form.weight.shape == (2 * n_sites, n_sites)
    assert len(torch.unique(form.weight.abs())) == 2 * n_basis * n_sites, "each weight once a cell"


@pytest.mark.parametrize("lattice", [chain(7), chain(7, periodic=False), square(4), triangular(4)], ids=str)
def test_short_range_rbm(lattice):
    radius = 2
    ansatz = ShortRangeRBM(lattice, radius=radius, alpha=2, rng=0)
    adjacency = np.zeros((lattice.n_sites, lattice.n_sites))
    adjacency[tuple(lattice.edges.T)] = 1
    walks = np.linalg.matrix_power(np.eye(lattice.n_sites) + adjacency + adjacency.T, radius)
    seen = ansatz.rbm().weight.numpy() != 0
    np.testing.assert_array_equal(seen, np.tile(walks > 0, (2, 1)))
    assert not seen.all() or lattice.name == "triangular"


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_jastrow_formula(dtype):
    ansatz = move_biases(Jastrow(5, bias=True, dtype=dtype, scale=0.5, rng=0))
    s = all_configurations(5).numpy()
    coupling, field = ansatz.couplings().numpy(), ansatz.field.weight.detach().numpy()[0]
    assert (np.diag(coupling) == 0).all()
    expected = sum(coupling[i, j] * s[:, i] * s[:, j] for i in range(5) for j in range(i)) + s @ field
    np.testing.assert_allclose(ansatz(torch.from_numpy(s)).detach().numpy(), expected, rtol=1e-12, atol=1e-13)
    pairs_only = Jastrow(5, scale=0.5, rng=0)
    torch.testing.assert_close(pairs_only(torch.from_numpy(s)), pairs_only(torch.from_numpy(-s)))


@pytest.mark.parametrize("lattice", [chain(6), chain(8), chain(7, periodic=False), square(3, periodic=False)], ids=str)
def test_marshall_sign_makes_the_heisenberg_ground_state_positive(lattice):
    spins = all_configurations(lattice.n_sites)
    matrix = Heisenberg(lattice).to_sparse().toarray()
    # Odd sizes: the two ground states differ by all spins flipped; stay in one sector.
    number = 1 if lattice.n_sites % 2 else 0
    sector = np.flatnonzero(spins.numpy().sum(1) == number)
    energies, vectors = np.linalg.eigh(matrix[np.ix_(sector, sector)])
    assert energies[1] - energies[0] > 0.1
    inner = RBM(lattice.n_sites, scale=0.3, rng=0)
    state = Marshall(inner, lattice)
    signs = (state(spins[sector]) - inner(spins[sector])).exp().detach().numpy()
    product = (vectors[:, 0] * signs).real
    assert (product > 1e-8).all() or (product < -1e-8).all()
    assert (signs.real < 0).any()
    assert (signs.real > 0).any()


def test_marshall_twice_is_nothing():
    inner = RBM(6, scale=0.3, rng=0, dtype="complex128")
    spins = all_configurations(6)
    twice = Marshall(Marshall(inner, 6), 6)
    torch.testing.assert_close(twice(spins).exp(), inner(spins).exp(), rtol=1e-12, atol=1e-12)
    assert torch.equal(twice.rbm().signs, torch.ones(6, dtype=torch.float64))
    assert Marshall(Jastrow(6), 6).rbm() is None
    assert twice.derivative == "holomorphic"


def test_marshall_needs_two_sublattices():
    for lattice in (triangular(4), chain(5), square(3)):
        with pytest.raises(ValueError, match="bipartite"):
            Marshall(RBM(lattice.n_sites), lattice)
    for lattice in (chain(5, periodic=False), square(4), honeycomb(3)):
        state = Marshall(RBM(lattice.n_sites), lattice)
        even = state.sublattice.numpy()
        assert (even[lattice.edges[:, 0]] != even[lattice.edges[:, 1]]).all()
