"""Quantum models against Kronecker products of Pauli matrices written down independently."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from qmlphys import bits, lattices
from qmlphys.hamiltonians import J1J2, FlipTerms, Heisenberg, PauliSum, SpinHalf, TransverseIsing

PAULI = {
    "I": np.eye(2, dtype=complex),
    "X": np.array([[0, 1], [1, 0]], dtype=complex),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1.0 + 0j, -1.0]),
}


def kron_string(string):
    """The matrix of a Pauli string: site 0, the leftmost letter, has the smallest weight, so it is the last factor."""
    matrix = np.ones((1, 1), dtype=complex)
    for letter in string:
        matrix = np.kron(PAULI[letter], matrix)
    return matrix


def site_operator(n_sites, site, letter):
    """One Pauli matrix on one site: identity on the sites of more weight (x) P (x) identity on those of less."""
    left, right = sparse.eye_array(2 ** (n_sites - 1 - site)), sparse.eye_array(2**site)
    return sparse.csr_array(sparse.kron(sparse.kron(left, PAULI[letter]), right))


def dense(terms, n_sites):
    total = np.zeros((2**n_sites, 2**n_sites), dtype=complex)
    for string, coefficient in terms:
        total += coefficient * kron_string(string)
    return total


MODELS = [
    TransverseIsing(lattices.chain(6), field=0.7),
    TransverseIsing(lattices.chain(5, periodic=False), coupling=-0.4, field=1.3),
    TransverseIsing(lattices.square(3), field=3.0),
    TransverseIsing(lattices.chain(4), coupling=0.0, field=-0.6),
    TransverseIsing(lattices.chain(4), field=0.0),
    Heisenberg(lattices.chain(7)),
    Heisenberg(lattices.chain(6, periodic=False), coupling=0.8, anisotropy=-1.5),
    Heisenberg(lattices.square(3), anisotropy=0.0),
    Heisenberg(lattices.triangular(3), coupling=-1.0),
    J1J2(lattices.chain(7), j1=1.0, j2=0.3),
    J1J2(lattices.square(3, periodic=False), j2=-0.7),
    J1J2(lattices.chain(6, periodic=False), j1=0.0),
    PauliSum([("XYZI", 0.3), ("IYXX", -1.2), ("ZZZZ", 0.5), ("IIII", 2.5), ("YIII", 0.1), ("YYYI", 0.9)]),
    PauliSum([], n_sites=3),
]


def name(model):
    return f"{model.label} on {model.lattice}"


@pytest.fixture(params=MODELS, ids=name)
def model(request):
    return request.param


def test_the_models_are_the_written_sums():
    """H built from single-site matrices and the lattice's edges, without Pauli strings."""
    chain, square = lattices.chain(5), lattices.square(3, periodic=False)

    def bond(n, i, j, letter):
        return site_operator(n, i, letter) @ site_operator(n, j, letter)

    ising = sum(-0.8 * bond(5, i, (i + 1) % 5, "Z") - 0.3 * site_operator(5, i, "X") for i in range(5))
    np.testing.assert_allclose(
        TransverseIsing(chain, coupling=0.8, field=0.3).to_sparse().toarray(), ising.toarray(), rtol=0, atol=1e-13
    )
    xxz = sum(
        1.1 * (bond(5, i, (i + 1) % 5, "X") + bond(5, i, (i + 1) % 5, "Y") + 0.4 * bond(5, i, (i + 1) % 5, "Z"))
        for i in range(5)
    )
    np.testing.assert_allclose(
        Heisenberg(chain, coupling=1.1, anisotropy=0.4).to_sparse().toarray(), xxz.toarray(), rtol=0, atol=1e-13
    )
    first = [(3 * r + c, 3 * r + c + 1) for r in range(3) for c in range(2)] + [(k, k + 3) for k in range(6)]
    second = [(3 * r + c, 3 * r + c + 4) for r in range(2) for c in range(2)]
    second += [(3 * r + c, 3 * r + c + 2) for r in range(2) for c in range(1, 3)]
    j1j2 = sum(0.9 * bond(9, i, j, p) for i, j in first for p in "XYZ")
    j1j2 = j1j2 + sum(0.35 * bond(9, i, j, p) for i, j in second for p in "XYZ")
    np.testing.assert_allclose(J1J2(square, j1=0.9, j2=0.35).to_sparse().toarray(), j1j2.toarray(), rtol=0, atol=1e-13)


def test_matrix_is_the_sum_of_its_strings(model):
    matrix = model.to_sparse()
    expected = dense(model.to_pauli(), model.n_sites)
    np.testing.assert_allclose(matrix.toarray(), expected, rtol=0, atol=1e-13)
    np.testing.assert_allclose(expected, expected.conj().T, rtol=0, atol=0)
    assert matrix.has_sorted_indices
    assert (matrix.data != 0).all()
    assert matrix.dtype == (np.float64 if model.flip_terms.is_real else np.complex128)
    assert model.flip_terms.is_real == (not expected.imag.any())


def test_connected_gives_every_row_of_the_matrix(model):
    n_sites = model.n_sites
    spins = bits.integers_to_spins(np.arange(2**n_sites), n_sites)
    configurations, elements = model.connected(spins)
    n_terms = model.flip_terms.n_terms
    assert configurations.shape == (2**n_sites, n_terms, n_sites)
    assert configurations.dtype == np.int8
    assert elements.shape == (2**n_sites, n_terms)
    np.testing.assert_array_equal(configurations[:, 0], spins)
    rows = np.zeros((2**n_sites, 2**n_sites), dtype=complex)
    np.add.at(rows, (np.arange(2**n_sites)[:, None], bits.spins_to_integers(configurations)), elements)
    np.testing.assert_allclose(rows, dense(model.to_pauli(), n_sites), rtol=0, atol=1e-13)
    unmoved = (configurations == spins[:, None, :]).all(axis=2)
    assert (unmoved[:, 1:] == (elements[:, 1:] == 0)).all()


def test_flip_terms_are_what_they_say(model):
    """The elements, term by term, from the arrays alone."""
    terms = model.flip_terms
    assert model.flip_terms is terms
    assert (terms.flips[0] == -1).all()
    assert terms.flips.shape == (terms.n_terms, terms.max_flips)
    assert terms.max_flips == max(1, *(sum(c in "XY" for c in string) for string, _ in [("I", 0), *model.to_pauli()]))
    assert terms.zsites.shape[1] >= 1
    assert terms.owner.shape == terms.coefficients.shape == (terms.n_strings,)
    assert (np.unique(terms.owner) == np.arange(terms.n_terms)).all()
    assert (np.diff(terms.owner) >= 0).all()
    assert len({tuple(row) for row in terms.flips.tolist()}) == terms.n_terms
    for array in (terms.flips, terms.owner, terms.coefficients, terms.zsites):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    spins = bits.integers_to_spins(np.random.default_rng(1).integers(2**model.n_sites, size=5), model.n_sites)
    elements = terms.elements(spins)
    matrix = dense(model.to_pauli(), model.n_sites)
    for row, found in zip(spins, elements, strict=True):
        for k, flips in enumerate(terms.flips):
            total = 0
            for owner, coefficient, zsites in zip(terms.owner, terms.coefficients, terms.zsites, strict=True):
                if owner == k:
                    total += coefficient * np.prod(row[zsites[zsites >= 0]])
            assert abs(total - found[k]) < 1e-13
            other = row.copy()
            other[flips[flips >= 0]] *= -1
            assert abs(matrix[bits.spins_to_integers(row), bits.spins_to_integers(other)] - found[k]) < 1e-13


def test_elements_do_not_depend_on_the_block(monkeypatch):
    terms = MODELS[7].flip_terms
    spins = bits.integers_to_spins(np.arange(512), 9)
    whole = terms.elements(spins)
    monkeypatch.setattr("qmlphys.hamiltonians._flip_terms.BLOCK", 100)
    np.testing.assert_array_equal(terms.elements(spins), whole)
    assert np.ptp(whole) > 1


def test_no_configurations_is_an_empty_answer():
    model = MODELS[0]
    configurations, elements = model.connected(np.ones((0, 6), dtype=np.int8))
    assert configurations.shape == (0, 7, 6)
    assert elements.shape == (0, 7)


def test_magnetization_is_conserved_where_the_commutator_vanishes(model):
    n_sites = model.n_sites
    matrix = dense(model.to_pauli(), n_sites)
    magnetization = bits.integers_to_spins(np.arange(2**n_sites), n_sites).sum(axis=1)
    commutator = matrix * (magnetization[None, :] - magnetization[:, None])
    assert model.conserves_magnetization == (np.abs(commutator).max() < 1e-12)


def test_both_kinds_of_models_were_asked():
    assert len({model.conserves_magnetization for model in MODELS}) == 2
    assert len({model.flip_terms.is_real for model in MODELS}) == 2


def test_conservation_survives_rounding():
    """0.1 + 0.2 is not 0.3 in its last bit, but XX and YY cancel all the same."""
    assert PauliSum([("XX", 0.1), ("XX", 0.2), ("YY", 0.3)]).conserves_magnetization
    assert not PauliSum([("XX", 0.3), ("YY", 0.3001)]).conserves_magnetization


def test_reference_energy_is_the_mean_of_the_spectrum(model):
    matrix = dense(model.to_pauli(), model.n_sites)
    assert abs(model.reference_energy - np.trace(matrix).real / 2**model.n_sites) < 1e-13
    if isinstance(model, PauliSum) and model.to_pauli():
        assert model.reference_energy == 2.5


# --- other bases ------------------------------------------------------------------------------------------------------

# Unitaries U with U P U^dagger = Z for the measured letter P, as rotations by pi about an axis halfway between the two.
TURNS = {
    "X": (PAULI["X"] + PAULI["Z"]) / np.sqrt(2),
    "Y": (PAULI["Y"] + PAULI["Z"]) / np.sqrt(2),
    "Z": PAULI["I"],
}


def test_the_turns_make_each_letter_z():
    """So that measuring Z on U psi is measuring the letter on psi."""
    for letter, turn in TURNS.items():
        np.testing.assert_allclose(turn @ turn.conj().T, np.eye(2), rtol=0, atol=1e-15)
        np.testing.assert_allclose(turn @ PAULI[letter] @ turn.conj().T, PAULI["Z"], rtol=0, atol=1e-15)


@pytest.mark.parametrize("model", [model for model in MODELS if model.n_sites < 9], ids=name)
@pytest.mark.parametrize("basis", ["X", "Y", "Z", "mixed"])
def test_rotated_is_a_rotation_that_makes_the_letter_z(model, basis):
    n_sites = model.n_sites
    letters = "XYZZYX"[:n_sites].ljust(n_sites, "Y") if basis == "mixed" else basis
    turned = model.rotated(letters)
    each = letters if len(letters) > 1 else letters * n_sites
    unitary = np.ones((1, 1))
    for letter in each:
        unitary = np.kron(TURNS[letter], unitary)
    expected = unitary @ dense(model.to_pauli(), n_sites) @ unitary.conj().T
    np.testing.assert_allclose(turned.to_sparse().toarray(), expected, rtol=0, atol=1e-13)
    assert turned.lattice == model.lattice
    assert turned.n_sites == n_sites
    assert sorted(map(abs, dict(turned.to_pauli()).values())) == sorted(map(abs, dict(model.to_pauli()).values()))


def test_rotated_keeps_the_built_in_models_real():
    for model in MODELS[:-2]:
        for basis in "XYZ":
            assert model.rotated(basis).flip_terms.is_real


def test_rotated_ising_has_no_sign_problem_in_basis_x():
    """All off-diagonal elements are <= 0, so that the ground state is positive."""
    for field in (0.5, -0.5):
        elements = TransverseIsing(lattices.chain(5), field=field).rotated("X").to_sparse()
        off_diagonal = elements.toarray() - np.diag(elements.diagonal())
        assert off_diagonal.max() == 0
        assert off_diagonal.min() == -1


def test_rotated_heisenberg_is_itself():
    """The isotropic exchange knows no axis."""
    model = Heisenberg(lattices.chain(5))
    for basis in "XYZ":
        assert dict(model.rotated(basis).to_pauli()) == dict(model.to_pauli())


def test_rotated_twice_is_the_same(model):
    for basis in "XY":
        assert dict(model.rotated(basis).rotated(basis).to_pauli()) == dict(model.to_pauli())


@pytest.mark.parametrize("basis", ["", "XY", "x", "I", 3, "XYZXYZX"])
def test_bad_basis(basis):
    with pytest.raises(ValueError, match="Argument `basis` must"):
        MODELS[0].rotated(basis)


# --- sums of strings --------------------------------------------------------------------------------------------------


@st.composite
def pauli_sums(draw):
    n_sites = draw(st.integers(1, 5))
    string = st.text("IXYZ", min_size=n_sites, max_size=n_sites)
    return draw(st.lists(st.tuples(string, st.floats(-2, 2)), min_size=1, max_size=8))


@given(pauli_sums())
@settings(max_examples=60, deadline=None)
def test_any_sum(terms):
    model = PauliSum(terms)
    matrix = dense(terms, len(terms[0][0]))
    np.testing.assert_allclose(model.to_sparse().toarray(), matrix, rtol=0, atol=1e-13)
    assert len({string for string, _ in model.to_pauli()}) == len(model.to_pauli())
    assert abs(model.reference_energy - np.trace(matrix).real / len(matrix)) < 1e-13


def test_strings_that_come_twice_are_added_and_zeros_dropped():
    model = PauliSum([("XX", 1), ("ZZ", 2.0), ("XX", np.float32(0.5)), ("ZZ", -2), ("YI", 3 + 0j)])
    assert model.to_pauli() == [("XX", 1.5), ("YI", 3.0)]
    assert model == PauliSum([("XX", 1.5), ("YI", 3.0)])
    assert hash(model) == hash(PauliSum([("XX", 1.5), ("YI", 3.0)]))
    assert model != PauliSum([("XX", 1.5), ("YI", 2.0)])


@pytest.mark.parametrize("coefficient", [1j, 0.5 + 1e-9j, np.complex128(2 - 1j)])
def test_complex_coefficients_are_non_hermitian(coefficient):
    with pytest.raises(ValueError, match=r"`terms` must be Hermitian, but .*'XY'.*non-Hermitian"):
        PauliSum([("ZZ", 1.0), ("XY", coefficient)])


@pytest.mark.parametrize(
    ("terms", "keywords", "error", "text"),
    [
        ([("XA", 1.0)], {}, ValueError, "'XA'"),
        ([("", 1.0)], {}, ValueError, "''"),
        ([(3, 1.0)], {}, ValueError, "holds 3"),
        ([("XX", 1.0), ("XXX", 1.0)], {}, ValueError, "'XXX' has 3"),
        ([("XX", 1.0)], {"n_sites": 3}, ValueError, "'XX' has 2"),
        ([("XX", float("nan"))], {}, ValueError, "nan"),
        ([("XX", np.inf)], {}, ValueError, "inf"),
        ([("XX", "1")], {}, ValueError, "'1'"),
        ([("XX", True)], {}, ValueError, "True"),
        (["XX"], {}, TypeError, "holds 'XX'|pairs"),
        ([("XX",)], {}, TypeError, "pairs"),
        ([], {}, ValueError, "`n_sites` must .* None"),
        ([], {"n_sites": 0}, ValueError, "`n_sites` must .* 0"),
        ([("XX", 1.0)], {"lattice": 4}, TypeError, "`lattice` must"),
        ([("XX", 1.0)], {"lattice": lattices.chain(3)}, ValueError, r"chain\(3\) has 3"),
        ([("XX", 1.0)], {"label": 4}, TypeError, "`label` must"),
    ],
)
def test_bad_sums(terms, keywords, error, text):
    with pytest.raises(error, match=text):
        PauliSum(terms, **keywords)


# --- arguments --------------------------------------------------------------------------------------------------------


def test_models_are_frozen_values():
    model = TransverseIsing(lattices.chain(4), field=2)
    assert model == TransverseIsing(lattices.chain(4), field=2.0)
    assert model.label == "TransverseIsing(coupling=1.0, field=2.0)"
    assert Heisenberg(lattices.chain(4)).label == "Heisenberg(coupling=1.0, anisotropy=1.0)"
    assert J1J2(lattices.square(4)).label == "J1J2(j1=1.0, j2=0.5)"
    assert isinstance(model, SpinHalf)
    assert isinstance(model.flip_terms, FlipTerms)
    assert len({model, TransverseIsing(lattices.chain(4), field=2.0), TransverseIsing(lattices.chain(4))}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.field = 1.0
    with pytest.raises(TypeError):
        TransverseIsing(lattices.chain(4), 1.0)
    with pytest.raises(TypeError, match="abstract"):
        SpinHalf()


@pytest.mark.parametrize("make", [TransverseIsing, Heisenberg, J1J2])
@pytest.mark.parametrize("value", [np.nan, np.inf, "1", None, True, 1j])
def test_bad_couplings(make, value):
    for field in dataclasses.fields(make)[1:]:
        with pytest.raises(ValueError, match=f"Argument `{field.name}` must be a finite number"):
            make(lattices.chain(6), **{field.name: value})


@pytest.mark.parametrize("make", [TransverseIsing, Heisenberg, J1J2])
def test_bad_lattice(make):
    with pytest.raises(TypeError, match=r"Argument `lattice` must be a Lattice.*, but it is 16"):
        make(16)


def test_second_neighbours_need_room():
    with pytest.raises(ValueError, match="larger lattice"):
        J1J2(lattices.chain(3))


@pytest.mark.parametrize(
    "spins", [np.ones(6), np.ones((2, 5)), np.zeros((1, 6)), np.full((1, 6), 2), np.ones((1, 1, 6))]
)
def test_bad_spins(spins):
    for call in (MODELS[0].connected, MODELS[0].flip_terms.elements):
        with pytest.raises(ValueError, match="Argument `spins` must"):
            call(spins)


def test_too_large_for_a_matrix():
    with pytest.raises(ValueError, match=r"at most 24 sites.*25 sites"):
        TransverseIsing(lattices.chain(25)).to_sparse()
    with pytest.raises(ValueError, match="matrix elements"):
        J1J2(lattices.chain(24)).to_sparse()


def test_models_load_neither_scipy_sparse_nor_numba():
    program = (
        "import sys; from qmlphys import hamiltonians, lattices; "
        "hamiltonians.Heisenberg(lattices.chain(8)).connected([[1, -1] * 4]); "
        "print([m for m in ('scipy', 'numba', 'torch', 'quimb') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
