"""The Fermi-Hubbard model against anticommuting matrices, free fermions and the dimer."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from qmlphys import bits
from qmlphys.hamiltonians.fermi_hubbard import fermi_hubbard, fermi_hubbard_ground_state


def annihilators(n_orbitals):
    """Matrices c_j that act on sets of occupied orbitals, with the sign of the particles before: no Pauli matrices."""
    made = []
    for j in range(n_orbitals):
        c = np.zeros((2**n_orbitals, 2**n_orbitals))
        for state in range(2**n_orbitals):
            if state >> j & 1:
                before = (state & ((1 << j) - 1)).bit_count()
                c[state ^ (1 << j), state] = (-1) ** before
        made.append(c)
    return made


def by_operators(n, bonds, t, u):
    c = annihilators(2 * n)
    h = np.zeros_like(c[0])
    for spin in (0, n):
        for i, j in bonds:
            h -= t * (c[spin + i].T @ c[spin + j] + c[spin + j].T @ c[spin + i])
    for i in range(n):
        h += u * c[i].T @ c[i] @ c[i + n].T @ c[i + n]
    return h


BONDS = {
    ((3,), False): [(0, 1), (1, 2)],
    ((3,), True): [(0, 1), (1, 2), (0, 2)],
    ((2, 2), False): [(0, 1), (2, 3), (0, 2), (1, 3)],
    ((1, 4), True): [(0, 1), (1, 2), (2, 3), (0, 3)],
}


@pytest.mark.parametrize(("shape", "periodic"), BONDS)
def test_matrix_is_that_of_anticommuting_operators(shape, periodic):
    model = fermi_hubbard(shape, hopping=0.7, interaction=3.1, periodic=periodic)
    expected = by_operators(int(np.prod(shape)), BONDS[shape, periodic], 0.7, 3.1)
    np.testing.assert_allclose(model.to_sparse().toarray(), expected, atol=1e-13)


def test_operators_of_the_reference_anticommute():
    c = annihilators(4)
    for i in range(4):
        for j in range(4):
            np.testing.assert_array_equal(c[i] @ c[j].T + c[j].T @ c[i], np.eye(16) * (i == j))


@pytest.mark.parametrize(
    ("shape", "periodic", "n_up", "n_down"),
    [((3,), True, 2, 1), ((2, 2), False, 2, 2), ((1, 4), True, 1, 3), ((2, 2), False, 0, 3), ((4,), False, 4, 4)],
)
def test_sector_is_that_of_the_whole_matrix(shape, periodic, n_up, n_down):
    state = fermi_hubbard_ground_state(shape, n_up, n_down=n_down, hopping=0.9, interaction=2.5, periodic=periodic)
    matrix = fermi_hubbard(shape, hopping=0.9, interaction=2.5, periodic=periodic).to_sparse()
    n = int(np.prod(shape))
    occupied = bits.integers_to_bits(np.arange(4**n), 2 * n)
    inside = (occupied[:, :n].sum(1) == n_up) & (occupied[:, n:].sum(1) == n_down)
    energies = np.linalg.eigvalsh(matrix.toarray()[np.ix_(inside, inside)])
    assert state.energy == pytest.approx(energies[0], abs=1e-11)
    vector = state.vector
    np.testing.assert_allclose(matrix @ vector, state.energy * vector, atol=1e-11)
    assert np.linalg.norm(vector[inside]) == pytest.approx(1, abs=1e-12)
    np.testing.assert_array_equal(np.flatnonzero(inside), bits.spins_to_integers(state.spins))
    if len(energies) > 1:
        assert state.gap == pytest.approx(energies[1] - energies[0], abs=1e-10)


@pytest.mark.parametrize("u", [0.0, 1.0, 4.0, 12.0])
def test_dimer(u):
    # Two sites, one particle of each spin: E = U/2 - sqrt(U^2/4 + 4 t^2), in any text on the Hubbard model.
    state = fermi_hubbard_ground_state(2, 1, n_down=1, hopping=1.3, interaction=u)
    assert state.energy == pytest.approx(u / 2 - sqrt(u**2 / 4 + 4 * 1.3**2), abs=1e-12)


@pytest.mark.parametrize("periodic", [False, True])
def test_free_fermions_fill_the_levels_of_one_particle(periodic):
    shape = (3, 3) if periodic else (2, 3)
    state = fermi_hubbard_ground_state(shape, 3, n_down=2, interaction=0.0, periodic=periodic)
    number = np.arange(np.prod(shape)).reshape(shape)
    single = np.zeros((number.size, number.size))
    for axis in (0, 1):
        for cell in np.ndindex(shape):
            other = list(cell)
            other[axis] += 1
            if periodic or other[axis] < shape[axis]:
                i, j = number[cell], number[tuple(np.mod(other, shape))]
                single[i, j] = single[j, i] = -1
    levels = np.linalg.eigvalsh(single)
    assert state.energy == pytest.approx(levels[:3].sum() + levels[:2].sum(), abs=1e-10)


def test_two_by_three_at_half_filling():
    state = fermi_hubbard_ground_state((2, 3), 3, n_down=3, interaction=4.0)
    assert len(state.amplitudes) == 400
    assert state.gap > 0.1  # unique: Lieb, Phys. Rev. Lett. 62, 1201 (1989)
    # Spins up and down may be exchanged, which changes no weight.
    weights = state.amplitudes.reshape(20, 20) ** 2
    np.testing.assert_allclose(weights, weights.T, atol=1e-12)
    # Particles and holes may be exchanged on a bipartite lattice, which adds U (particles - sites) to the energy.
    more = fermi_hubbard_ground_state((2, 3), 4, n_down=3, interaction=4.0).energy
    less = fermi_hubbard_ground_state((2, 3), 2, n_down=3, interaction=4.0).energy
    assert more - less == pytest.approx(4.0, abs=1e-10)
    # Between free fermions and the Heisenberg limit, far from both.
    free = fermi_hubbard_ground_state((2, 3), 3, n_down=3, interaction=0.0).energy
    assert free + 1 < state.energy < -1


def test_lanczos_agrees_with_lapack_about_symmetry():
    big = fermi_hubbard_ground_state(7, 3, n_down=3, interaction=4.0)  # 1225 states
    matrix = fermi_hubbard(7, interaction=4.0).to_sparse()
    vector = big.vector
    assert np.abs(matrix @ vector - big.energy * vector).max() < 1e-9


@pytest.mark.parametrize(
    ("arguments", "keywords", "error", "match"),
    [
        (((),), {}, ValueError, "at least one axis"),
        (((2, 0),), {}, ValueError, "`shape` must be between"),
        (("4",), {}, TypeError, "`shape` must be an integer"),
        (((8, 4),), {}, ValueError, "at most 31 sites"),
        ((3,), {"hopping": np.nan}, ValueError, "`hopping` must be a finite"),
        ((3,), {"interaction": True}, ValueError, "`interaction` must be a finite"),
        (((2, 3),), {"periodic": True}, ValueError, "1 or at least 3 sites"),
        ((3,), {"periodic": 1}, TypeError, "`periodic` must be True or False"),
    ],
)
def test_bad_models(arguments, keywords, error, match):
    with pytest.raises(error, match=match):
        fermi_hubbard(*arguments, **keywords)


@pytest.mark.parametrize(
    ("arguments", "n_down", "match"),
    [((3, 4), 1, "`n_up` must be between 0 and 3"), ((3, 1), -1, "`n_down`"), ((16, 8), 8, "at most 2097152 states")],
)
def test_bad_sectors(arguments, n_down, match):
    with pytest.raises(ValueError, match=match):
        fermi_hubbard_ground_state(*arguments, n_down=n_down)


def test_vector_of_too_many_qubits():
    with pytest.raises(ValueError, match="at most 24 qubits"):
        _ = fermi_hubbard_ground_state(13, 1, n_down=1).vector
