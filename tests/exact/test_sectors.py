"""Diagonalisation in symmetry sectors against the dense matrix, its projectors and published numbers."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from qmlphys import bits, exact, lattices
from qmlphys.exact import Sector, ground_state
from qmlphys.hamiltonians import J1J2, Heisenberg, Ising, PauliSum, TransverseIsing


def spectrum(model):
    return np.linalg.eigvalsh(model.to_sparse().toarray())


def moved(state, permutation, *, flip=False):
    """psi(g s) for all s, site by site: (g s)[i] = +-s[permutation[i]]."""
    n_sites = len(permutation)
    spins = bits.integers_to_spins(np.arange(2**n_sites), n_sites)[:, permutation]
    return state[bits.spins_to_integers(-spins if flip else spins)]


def shift(n_sites):
    return np.roll(np.arange(n_sites), -1)


CHIRAL = [
    *((letters + "III", sign * 0.3) for letters, sign in zip(
        ("XYZ", "YZX", "ZXY", "XZY", "YXZ", "ZYX"), (1, 1, 1, -1, -1, -1), strict=True)),
    ("ZZIIII", 0.7),
]  # fmt: skip

RING_MODELS = [
    TransverseIsing(lattices.chain(6), field=0.8),
    TransverseIsing(lattices.chain(7), coupling=-1.0, field=0.5),
    Heisenberg(lattices.chain(6), anisotropy=0.4),
    Heisenberg(lattices.chain(7)),
    J1J2(lattices.chain(8), j2=0.3),
    Heisenberg(lattices.chain(6)).rotated("XYZXYZ"),
    # Complex: a chiral term on every triple of neighbours.
    PauliSum(
        [(string[-s:] + string[:-s], coefficient) for s in range(6) for string, coefficient in CHIRAL],
        lattice=lattices.chain(6),
    ),
]


@pytest.mark.parametrize("model", [m for m in RING_MODELS if m is not RING_MODELS[5]], ids=lambda m: m.label)
def test_momentum_sectors_make_up_the_spectrum(model):
    """All energies of all momenta together are all energies; every state has its momentum."""
    n_sites = model.n_sites
    energies, dimensions = [], 0
    for number in range(n_sites):
        sector = Sector(momentum=(number,))
        dimension = ground_state(model, sector=sector).dimension
        found = ground_state(model, sector=sector, k=dimension, vectors=True)
        dimensions += dimension
        energies.extend(found.energies)
        phase = np.exp(2j * np.pi * number / n_sites)
        matrix = model.to_sparse()
        np.testing.assert_allclose(found.vectors.conj().T @ found.vectors, np.eye(dimension), rtol=0, atol=1e-12)
        for energy, state in zip(found.energies, found.vectors.T, strict=True):
            np.testing.assert_allclose(matrix @ state, energy * state, rtol=0, atol=1e-11)
            np.testing.assert_allclose(moved(state, shift(n_sites)), phase * state, rtol=0, atol=1e-12)
    assert dimensions == 2**n_sites
    np.testing.assert_allclose(np.sort(energies), spectrum(model), rtol=0, atol=1e-11)


def test_the_chiral_model_tells_momenta_apart():
    """A complex Hamiltonian without mirror symmetry: k and -k have other energies, so a wrong sign would show."""
    model = RING_MODELS[-1]
    assert not model.flip_terms.is_real
    assert abs(ground_state(model, sector=Sector(momentum=(1,))).energy
               - ground_state(model, sector=Sector(momentum=(5,))).energy) > 0.01  # fmt: skip


@pytest.mark.parametrize("model", [RING_MODELS[2], RING_MODELS[3], RING_MODELS[4]], ids=lambda m: m.label)
def test_magnetization_sectors_make_up_the_spectrum(model):
    n_sites = model.n_sites
    energies = []
    total = bits.integers_to_spins(np.arange(2**n_sites), n_sites).sum(axis=1)
    for magnetization in range(-n_sites, n_sites + 1, 2):
        dimension = int((total == magnetization).sum())
        found = ground_state(model, sector=Sector(magnetization=magnetization), k=dimension, vectors=True)
        assert found.dimension == dimension
        energies.extend(found.energies)
        assert (found.vectors[total != magnetization] == 0).all()
    np.testing.assert_allclose(np.sort(energies), spectrum(model), rtol=0, atol=1e-11)


@pytest.mark.parametrize("make", [TransverseIsing, Heisenberg])
def test_all_symmetries_of_a_square_together(make):
    """Translations, rotation, reflection and flip of the 3x3 torus, by an explicit projector."""
    model = make(lattices.square(3))
    sites = np.arange(9).reshape(3, 3)
    generators = [np.rot90(sites).ravel(), sites[:, ::-1].ravel()]
    translations = [np.roll(sites, -1, axis=axis).ravel() for axis in (0, 1)]
    for flip_sign in (1, -1):
        for reflection in (1, -1):
            sector = Sector(spin_flip=flip_sign, momentum=(0, 0), permutations=generators, characters=[1, reflection])
            # The projector is the product of the averages over each cyclic group.
            basis = np.eye(512)
            for permutation, character, order in (
                (translations[0], 1, 3),
                (translations[1], 1, 3),
                (generators[0], 1, 4),
                (generators[1], reflection, 2),
            ):
                total, power = np.zeros_like(basis), basis
                for step in range(order):
                    total = total + character**step * power
                    power = moved(power, permutation)
                basis = total / order
            basis = (basis + flip_sign * moved(basis, np.arange(9), flip=True)) / 2
            np.testing.assert_allclose(basis @ basis, basis, rtol=0, atol=1e-13)
            values, vectors = np.linalg.eigh(basis)
            vectors = vectors[:, values > 0.5]
            n_states = min(2, vectors.shape[1])
            found = ground_state(model, sector=sector, k=n_states, vectors=True)
            assert vectors.shape[1] == found.dimension
            expected = np.linalg.eigvalsh(vectors.T @ (model.to_sparse() @ vectors))
            np.testing.assert_allclose(found.energies, expected[:n_states], rtol=0, atol=1e-11)
            for state in found.vectors.T:
                np.testing.assert_allclose(basis @ state, state, rtol=0, atol=1e-12)


def test_odd_characters_differ_from_even_ones():
    model = Heisenberg(lattices.chain(8))
    mirror = [np.arange(8)[::-1]]
    energies = [
        ground_state(model, sector=Sector(magnetization=0, permutations=mirror, characters=[c])).energy for c in (1, -1)
    ]
    assert abs(energies[0] - energies[1]) > 0.5
    assert min(energies) == pytest.approx(exact.heisenberg_chain_energy(8), rel=1e-12)


def test_honeycomb_translations_keep_the_sublattice():
    model = TransverseIsing(lattices.honeycomb(3), field=2.0)
    found = ground_state(model, sector=Sector(momentum=(0, 0), spin_flip=1), vectors=True)
    assert (found.vector > 0).all()  # by Perron and Frobenius only the ground state is positive
    matrix = model.to_sparse()
    assert np.abs(matrix @ found.vector - found.energy * found.vector).max() < 1e-10


# --- reference values -------------------------------------------------------------------------------------------------


def test_j1j2_square_reference_value():
    """4x4, J2 = 0.5 (project anchor), in its symmetry sector and without."""
    model = J1J2(lattices.square(4))
    sector = Sector(magnetization=0, spin_flip=1, momentum=(0, 0))
    found = ground_state(model, sector=sector)
    assert found.energy == pytest.approx(-33.8316934, abs=5.1e-8)
    assert found.dimension == 441
    whole = ground_state(model, vectors=True)
    assert whole.energy == pytest.approx(found.energy, rel=1e-12)
    assert abs(np.linalg.norm(whole.vector) - 1) < 1e-12


def test_heisenberg_chain_against_the_bethe_ansatz():
    """The lowest state has momentum 0 and is even where n_sites / 2 is even; else momentum pi, and it is odd."""
    for n_sites, number, flip in ((16, 0, 1), (18, 9, -1), (20, 0, 1)):
        sector = Sector(magnetization=0, spin_flip=flip, momentum=(number,))
        energy = ground_state(Heisenberg(lattices.chain(n_sites)), sector=sector).energy
        assert energy == pytest.approx(exact.heisenberg_chain_energy(n_sites), rel=1e-12)


def test_ising_chain_against_free_fermions():
    for n_sites, field in ((13, 0.5), (16, 1.0)):
        model = TransverseIsing(lattices.chain(n_sites), field=field)
        even = ground_state(model, sector=Sector(spin_flip=1, momentum=(0,))).energy
        odd = ground_state(model, sector=Sector(spin_flip=-1, momentum=(0,))).energy
        assert even == pytest.approx(exact.tfim_chain_energy(n_sites, field=field), rel=1e-12)
        assert odd > even + 1e-6


# --- shapes -----------------------------------------------------------------------------------------------------------


def test_states_are_returned_when_asked_for():
    model = TransverseIsing(lattices.chain(5), field=0.7)
    silent = ground_state(model)
    assert silent.vectors is None
    assert silent.dimension == 32
    with pytest.raises(ValueError, match="`vectors` of ground_state must be True"):
        _ = silent.vector
    found = ground_state(model, k=32, vectors=True)
    assert found.vectors.shape == (32, 32)
    assert found.energies.shape == (32,)
    assert (found.vector > 0).all()  # Perron and Frobenius
    np.testing.assert_allclose(found.energies, spectrum(model), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(ground_state(model, vectors=True).vector, found.vector)


def test_lanczos_and_lapack_agree(monkeypatch):
    model = J1J2(lattices.chain(10), j2=0.2)
    direct = ground_state(model, sector=Sector(magnetization=0), k=3, vectors=True)
    monkeypatch.setattr("qmlphys.exact._sectors.MAX_DENSE", 10)
    lanczos = ground_state(model, sector=Sector(magnetization=0), k=3, vectors=True)
    np.testing.assert_allclose(lanczos.energies, direct.energies, rtol=1e-12)
    np.testing.assert_allclose(lanczos.vector, direct.vector, rtol=0, atol=1e-9)  # the gap, 1, sets it: eps / gap


def test_chunks_do_not_matter(monkeypatch):
    model = Heisenberg(lattices.chain(10))
    sector = Sector(magnetization=0, momentum=(5,), spin_flip=-1)
    whole = ground_state(model, sector=sector, k=5)
    monkeypatch.setattr("qmlphys.exact._sectors.CHUNK", 7)
    pieces = ground_state(model, sector=sector, k=5)
    np.testing.assert_allclose(pieces.energies, whole.energies, rtol=1e-13)
    assert pieces.dimension == whole.dimension


# --- refusals ---------------------------------------------------------------------------------------------------------

RING = Heisenberg(lattices.chain(6))


@pytest.mark.parametrize(
    ("model", "sector", "text"),
    [
        (RING, Sector(magnetization=1), r"`magnetization` must be one of -6, -4, \.\.\., 6.*but is 1"),
        (RING, Sector(magnetization=8), "`magnetization` must be one of"),
        (TransverseIsing(lattices.chain(6)), Sector(magnetization=0), "`magnetization` must be None.*not conserve"),
        (RING, Sector(spin_flip=2), r"`spin_flip` must be -1 or \+1, but is 2"),
        (RING, Sector(spin_flip=1, magnetization=2), "`spin_flip` must be None where the magnetization is not zero"),
        (PauliSum([("ZI", 1.0), ("IX", 1.0)]), Sector(spin_flip=1), "`spin_flip` must be a symmetry.*flip of all"),
        (RING, Sector(momentum=(6,)), "`momentum` must hold 1 integers from 0 to 5"),
        (RING, Sector(momentum=(0.5,)), "`momentum` must hold 1 integers"),
        (RING, Sector(momentum=(0, 0)), "`momentum` must hold 1 integers"),
        (Heisenberg(lattices.chain(6, periodic=False)), Sector(momentum=(0,)), "lattice is periodic"),
        (PauliSum([("ZZ", 1.0)]), Sector(momentum=(0,)), "has no lattice"),
        (RING.rotated("XYZXYZ"), Sector(momentum=(0,)), "`momentum` must be a symmetry"),
        (RING, Sector(permutations=[[0, 1, 2]]), "`permutations` must hold permutations of 0 to 5"),
        (RING, Sector(permutations=[[0, 0, 2, 3, 4, 5]]), "`permutations` must hold permutations of 0 to 5"),
        (RING, Sector(permutations=[[1, 0, 2, 3, 4, 5]]), "`permutations` must be a symmetry of the model"),
        (RING, Sector(permutations=[[5, 4, 3, 2, 1, 0]], characters=[1, 1]), "`characters` must hold one number"),
        (RING, Sector(characters=[1]), "`characters` must be None without permutations"),
        # A mirror is its own inverse, so its character is +-1; with it, momentum 1 turns into 5.
        (RING, Sector(permutations=[[5, 4, 3, 2, 1, 0]], characters=[1j]), "no representation"),
        (RING, Sector(permutations=[[5, 4, 3, 2, 1, 0]], characters=[0.5]), "no representation"),
        (RING, Sector(permutations=[[5, 4, 3, 2, 1, 0]], momentum=(1,)), "no representation"),
        (RING, Sector(magnetization=6, momentum=(2,)), "no state has these"),
    ],
)
def test_unphysical_sectors(model, sector, text):
    with pytest.raises(ValueError, match=text):
        ground_state(model, sector=sector)


def test_groups_are_bounded():
    """All permutations of eight sites are too many, though each is a symmetry of a model without bonds."""
    model = PauliSum([("X" + "I" * 7, 0.0)], n_sites=8)
    generators = [[1, 0, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 6, 7, 0]]
    with pytest.raises(ValueError, match="at most 4096 elements"):
        ground_state(model, sector=Sector(permutations=generators))


def test_bad_arguments():
    with pytest.raises(TypeError, match="`hamiltonian` must be a quantum model"):
        ground_state(Ising(lattices.chain(4)))
    with pytest.raises(TypeError, match="`sector` must be a Sector or None"):
        ground_state(RING, sector={"magnetization": 0})
    with pytest.raises(TypeError, match="`magnetization` must be an integer"):
        ground_state(RING, sector=Sector(magnetization=0.0))
    for k in (0, 65, True):
        with pytest.raises(ValueError, match=f"`k` must be between 1 and the dimension 64, but is {k}"):
            ground_state(RING, k=k)
    with pytest.raises(ValueError, match="at most 24 sites"):
        ground_state(Heisenberg(lattices.chain(26)))
    with pytest.raises(ValueError, match="at most 30 sites to be diagonalised, but has 32"):
        ground_state(Heisenberg(lattices.chain(32)), sector=Sector(magnetization=0))
    with pytest.raises(ValueError, match="`vectors` must be False beyond 26 sites"):
        ground_state(Heisenberg(lattices.chain(28)), sector=Sector(magnetization=0), vectors=True)


def test_import_is_light():
    program = (
        "import sys; from qmlphys import exact; "
        "print([m for m in ('scipy.sparse.linalg', 'torch', 'quimb') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
