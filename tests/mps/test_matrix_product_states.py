"""Matrix product states against their full vectors and dense operators."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmlphys import bits, exact, lattices
from qmlphys.hamiltonians import J1J2, Heisenberg, Ising, PauliSum, TransverseIsing
from qmlphys.mps import MatrixProductState
from qmlphys.mps._operator import operator_tensors
from qmlphys.mps._tensors import compressed


def random_state(n_sites, bond, seed=0, *, dtype=complex):
    rng = np.random.default_rng(seed)
    widths = [1, *[bond] * (n_sites - 1), 1]
    tensors = []
    for left, right in itertools.pairwise(widths):
        tensor = rng.standard_normal((left, 2, right))
        tensors.append(tensor + 1j * rng.standard_normal(tensor.shape) if dtype is complex else tensor)
    return MatrixProductState(tensors)


def plain_amplitude(state, spins):
    """The product of matrices, one configuration at a time."""
    product = np.ones((1, 1))
    for tensor, spin in zip(state.tensors, spins, strict=True):
        product = product @ tensor[:, 0 if spin == 1 else 1, :]
    return product[0, 0]


def all_spins(n_sites):
    return bits.integers_to_spins(np.arange(2**n_sites), n_sites)


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize(("n_sites", "bond"), [(1, 1), (2, 2), (5, 3), (6, 1)])
def test_amplitudes_are_products_of_matrices(n_sites, bond, dtype):
    state = random_state(n_sites, bond, dtype=dtype)
    spins = all_spins(n_sites)
    expected = np.array([plain_amplitude(state, row) for row in spins])
    np.testing.assert_allclose(state.amplitudes(spins), expected, rtol=1e-12)
    np.testing.assert_allclose(np.exp(state.log_amplitudes(spins)), expected, rtol=1e-12)
    np.testing.assert_allclose(state.to_vector(), expected, rtol=1e-12)
    assert state.amplitudes(spins).dtype == (np.complex128 if dtype is complex else np.float64)
    assert state.norm == pytest.approx(np.linalg.norm(expected), rel=1e-12)
    normalized = state.normalized()
    np.testing.assert_allclose(normalized.to_vector(), expected / np.linalg.norm(expected), rtol=1e-11)
    assert normalized.norm == pytest.approx(1, rel=1e-13)
    for tensor in normalized.tensors:  # right-canonical
        overlap = np.einsum("asb,csb->ac", tensor, tensor.conj())
        np.testing.assert_allclose(overlap, np.eye(len(overlap)), rtol=0, atol=1e-13)
    assert np.ptp(np.abs(expected)) > 0.01 * np.abs(expected).max()


@given(st.integers(1, 8), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_vectors_survive_the_decomposition(n_sites, seed):
    rng = np.random.default_rng(seed)
    vector = rng.standard_normal(2**n_sites) + 1j * rng.standard_normal(2**n_sites)
    state = MatrixProductState.from_vector(vector)
    np.testing.assert_allclose(state.to_vector(), vector, rtol=0, atol=1e-12)
    assert state.bonds == tuple(2 ** min(k, n_sites - k) for k in range(1, n_sites))


def test_truncation_keeps_the_largest_singular_values():
    """The squared error of one cut is the sum of the squares that were left out (Eckart and Young)."""
    vector = np.random.default_rng(3).standard_normal(16)
    singular = np.linalg.svd(vector.reshape(4, 4), compute_uv=False)
    state = MatrixProductState.from_vector(vector, max_bond=3)
    assert state.bonds == (2, 3, 2)
    error = np.linalg.norm(state.to_vector() - vector) ** 2
    assert error == pytest.approx(singular[3] ** 2, rel=1e-12)
    assert state.max_bond == 3
    assert state.n_parameters == 4 + 12 + 12 + 4
    tensors, log_norm = compressed(MatrixProductState.from_vector(vector).tensors, 3)
    assert MatrixProductState(tensors).bonds == (2, 3, 2)
    assert np.exp(log_norm) == pytest.approx(np.linalg.norm(vector), rel=1e-12)
    overlap = np.linalg.norm(MatrixProductState(tensors).to_vector() * np.exp(log_norm) - vector) ** 2
    assert overlap == pytest.approx(singular[3] ** 2, rel=1e-12)


def test_known_bonds():
    ghz = np.zeros(32)
    ghz[[0, 31]] = 1
    assert MatrixProductState.from_vector(ghz).bonds == (2, 2, 2, 2)
    assert MatrixProductState.from_vector(np.ones(32)).bonds == (1, 1, 1, 1)


def test_long_states_neither_overflow_nor_underflow():
    """Norm 2^(n/2) * 1e5^n at n = 400 is beyond floats; its logarithm is not."""
    tensors = [np.full((1, 2, 1), 1e5)] * 400
    state = MatrixProductState(tensors)
    assert state.log_norm == pytest.approx(400 * np.log(1e5) + 200 * np.log(2), rel=1e-14)
    assert state.norm == np.inf
    assert state.log_amplitudes(np.ones((1, 400)))[0] == pytest.approx(400 * np.log(1e5), rel=1e-14)
    assert state.expectation(PauliSum([("X" + "I" * 399, 2.0)])) == pytest.approx(2, rel=1e-12)
    assert state.normalized().norm == pytest.approx(1, rel=1e-12)


def test_zero_amplitudes_have_no_logarithm():
    state = MatrixProductState([[[[1.0], [0.0]]], [[[1.0], [1.0]]]])
    logs = state.log_amplitudes([[1, -1], [-1, 1]])
    assert logs[0] == 0
    assert logs[1].real == -np.inf
    assert state.amplitudes([[-1, 1]])[0] == 0


# --- operators --------------------------------------------------------------------------------------------------------

MODELS = [
    Heisenberg(lattices.chain(6)),
    TransverseIsing(lattices.square(3), field=0.7),
    J1J2(lattices.chain(7), j2=0.3),
    PauliSum([("XYZI", 0.3), ("IYXX", -1.2), ("ZZZZ", 0.5), ("IIII", 2.5), ("YIII", 0.1), ("YYYI", 0.9)]),
    PauliSum([("Y", 1.0), ("Z", 0.5)]),
    PauliSum([], n_sites=3),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.label)
def test_operators_are_the_matrices(model):
    tensors = operator_tensors(model.to_pauli(), model.n_sites)
    product = np.ones((1, 1, 1))  # rows, columns, bond
    for tensor in tensors:  # later sites have more weight
        product = np.einsum("xya,abst->sxtyb", product, tensor)
        size = product.shape[0] * product.shape[1]
        product = product.reshape(size, size, -1)
    np.testing.assert_allclose(product[:, :, 0], model.to_sparse().toarray(), rtol=0, atol=1e-13)
    if model.flip_terms.is_real:
        assert tensors[0].dtype == np.float64


def test_operator_bonds_are_the_smallest():
    """3 for a nearest-neighbour Ising chain in a field, 5 for Heisenberg; on a ring one and three more."""
    for periodic, expected in ((False, (3, 5)), (True, (4, 8))):
        lattice = lattices.chain(12, periodic=periodic)
        for model, bond in zip((TransverseIsing(lattice), Heisenberg(lattice)), expected, strict=True):
            assert operator_tensors(model.to_pauli(), 12)[6].shape == (bond, bond, 2, 2)


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.label)
@pytest.mark.parametrize("dtype", [float, complex])
def test_expectation_and_variance(model, dtype):
    state = random_state(model.n_sites, 3, dtype=dtype)
    vector = state.to_vector()
    matrix = model.to_sparse()
    energy = (vector.conj() @ (matrix @ vector)).real / np.linalg.norm(vector) ** 2
    variance = np.linalg.norm(matrix @ vector - energy * vector) ** 2 / np.linalg.norm(vector) ** 2
    assert state.expectation(model) == pytest.approx(energy, rel=1e-12, abs=1e-12)
    assert state.variance(model) == pytest.approx(variance, rel=1e-11, abs=1e-12)
    for basis in "XYZ":
        assert state.rotated(basis).expectation(model.rotated(basis)) == pytest.approx(energy, rel=1e-11, abs=1e-12)


def test_the_variance_of_an_eigenstate_is_zero():
    model = Heisenberg(lattices.chain(8))
    state = MatrixProductState.from_vector(exact.ground_state(model, vectors=True).vector)
    assert state.expectation(model) == pytest.approx(exact.heisenberg_chain_energy(8), rel=1e-12)
    assert abs(state.variance(model)) < 1e-12  # rounding: 1e-16 E^2 of each of many terms


# --- samples ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("basis", ["Z", "X", "Y", "XYZX"])
def test_rotated_is_the_turned_vector(basis):
    """Overlaps with the eigenvectors of the measured Pauli matrices, +1 first."""
    state = random_state(4, 3)
    eigenvectors = {
        "X": np.array([[1, 1], [1, -1]]) / np.sqrt(2),
        "Y": np.array([[1, 1j], [1, -1j]]) / np.sqrt(2),
        "Z": np.eye(2),
    }
    vector = state.to_vector()
    letters = basis if len(basis) > 1 else basis * 4
    turned = state.rotated(basis)
    for row in range(16):
        measured = np.ones(1)
        for site, letter in enumerate(letters):
            measured = np.kron(eigenvectors[letter][(row >> site) & 1], measured)
        probability = abs(measured.conj() @ vector) ** 2
        assert abs(turned.to_vector()[row]) ** 2 == pytest.approx(probability, rel=1e-11)


@pytest.mark.parametrize("basis", ["Z", "YXZY"])
def test_samples_follow_the_squared_amplitudes(basis):
    """Chi-squared of 16 outcomes, 15 degrees of freedom: within 5 standard deviations, and another state is far out."""
    n_draws = 20_000
    state = random_state(4, 3, seed=5)
    counts = np.bincount(bits.spins_to_integers(state.sample(n_draws, 1, basis=basis)), minlength=16)

    def chi_squared(other):
        probabilities = np.abs(other.rotated(basis).to_vector()) ** 2 / other.norm**2
        return ((counts - n_draws * probabilities) ** 2 / (n_draws * probabilities)).sum()

    assert chi_squared(state) < 15 + 5 * np.sqrt(30)
    assert chi_squared(random_state(4, 3, seed=6)) > 1000
    assert counts.max() / n_draws > 2 / 16


def test_samples_of_certain_outcomes():
    up, down = [[[1.0], [0.0]]], [[[0.0], [3.0]]]
    state = MatrixProductState([up, down, up, down])
    np.testing.assert_array_equal(state.sample(5, 0), [[1, -1, 1, -1]] * 5)
    plus = MatrixProductState([[[[1.0], [1.0]]], [[[1.0], [-1.0]]], [[[1.0], [1j]]]])
    np.testing.assert_array_equal(plus.sample(5, 0, basis="XXY"), [[1, -1, 1]] * 5)
    assert len(np.unique(plus.sample(200, 0), axis=0)) == 8


def test_samples_are_seeded():
    state = random_state(6, 4)
    first = state.sample(50, 7)
    assert first.dtype == np.int8
    np.testing.assert_array_equal(first, state.sample(50, np.random.default_rng(7)))
    assert (first != state.sample(50, 8)).any()


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tensors", "text"),
    [
        ([], "at least one tensor"),
        ([np.ones((1, 3, 1))], r"site 0 has shape \(1, 3, 1\)"),
        ([np.ones((1, 2))], r"shape \(1, 2\)"),
        ([np.ones((1, 2, 2)), np.ones((3, 2, 1))], "site 1 has a left bond of 3 beside one of 2"),
        ([np.ones((2, 2, 1))], "site 0 has a left bond of 2 beside one of 1"),
        ([np.ones((1, 2, 2))], "right bond of 1, but it is 2"),
        ([np.full((1, 2, 1), np.nan)], "finite, but that of site 0"),
        ([np.zeros((1, 2, 1))], "all its amplitudes are zero"),
        ([[[["a"], ["b"]]]], "dtype"),
    ],
)
def test_bad_tensors(tensors, text):
    with pytest.raises(ValueError, match=text):
        MatrixProductState(tensors)


@pytest.mark.parametrize(
    ("vector", "keywords", "text"),
    [
        (np.ones(3), {}, "2\\^n_sites amplitudes"),
        (np.ones(1), {}, "2\\^n_sites amplitudes"),
        (np.ones(0), {}, "2\\^n_sites amplitudes"),
        (np.ones((2, 2)), {}, "2\\^n_sites amplitudes"),
        (np.zeros(4), {}, "not zero"),
        (np.array([1, np.inf]), {}, "finite"),
        (np.ones(4), {"max_bond": 0}, "`max_bond` must"),
        (np.ones(4), {"cutoff": 1.0}, "`cutoff` must"),
        (np.ones(4), {"cutoff": -0.1}, "`cutoff` must"),
    ],
)
def test_bad_vectors(vector, keywords, text):
    with pytest.raises(ValueError, match=text):
        MatrixProductState.from_vector(vector, **keywords)


def test_bad_arguments():
    state = random_state(4, 2)
    for call in (state.amplitudes, state.log_amplitudes):
        with pytest.raises(ValueError, match="`spins` must"):
            call(np.ones((1, 3)))
        with pytest.raises(ValueError, match="`spins` must hold -1"):
            call(np.zeros((1, 4)))
    for n_draws in (0, True, 1.5):
        with pytest.raises(ValueError, match="`n_draws` must"):
            state.sample(n_draws)
    with pytest.raises(ValueError, match="`basis` must be X, Y or Z"):
        state.sample(1, basis="XY")
    with pytest.raises(TypeError, match="`hamiltonian` must be a quantum model"):
        state.expectation(Ising(lattices.chain(4)))
    with pytest.raises(ValueError, match="`hamiltonian` must have 4 sites"):
        state.variance(Heisenberg(lattices.chain(5)))
    with pytest.raises(ValueError, match="at most 24 sites"):
        MatrixProductState([np.ones((1, 2, 1))] * 25).to_vector()
    with pytest.raises(ValueError, match="read-only"):
        state.tensors[0][:] = 0


def test_the_tensors_are_copies():
    source = np.ones((1, 2, 1))
    state = MatrixProductState([source])
    source[:] = 5
    np.testing.assert_array_equal(state.to_vector(), [1, 1])


def test_import_loads_no_quimb():
    program = (
        "import sys; from qmlphys import mps; mps.MatrixProductState.from_vector([1.0, 0, 0, 1]).sample(3, 1); "
        "print([m for m in ('quimb', 'torch', 'scipy.sparse') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
