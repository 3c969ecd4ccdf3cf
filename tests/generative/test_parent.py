"""The parent Hamiltonian: projectors, zero energy, uniqueness."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from qmlphys.generative.graph_model import GraphGenerativeModel
from qmlphys.generative.parent import ParentHamiltonian, parent_hamiltonian


def random_model(rng: np.random.Generator, n: int) -> GraphGenerativeModel:
    share = rng.uniform(0.1, 0.6)
    edges = [pair for pair in itertools.combinations(range(n), 2) if rng.random() < share]
    degrees = np.bincount(np.array(edges, dtype=int).ravel(), minlength=n)
    while degrees.max(initial=0) > 10:  # a handful of dense graphs of 12 qubits
        edges.pop()
        degrees = np.bincount(np.array(edges, dtype=int).ravel(), minlength=n)
    matrices = rng.normal(size=(n, 2, 2)) + 1j * rng.normal(size=(n, 2, 2))
    return GraphGenerativeModel.from_matrices((n, edges), matrices)


def dense(hamiltonian: ParentHamiltonian, term: int) -> np.ndarray:
    """One term as a full matrix, entry by entry."""
    sites, projector = hamiltonian.terms[term]
    size = 2**hamiltonian.n_qubits
    found = np.zeros((size, size), dtype=complex)
    mask = sum(1 << site for site in sites)
    for row, column in itertools.product(range(size), repeat=2):
        if (row ^ column) & ~mask == 0:
            a, b = (sum((x >> site & 1) << k for k, site in enumerate(sites)) for x in (row, column))
            found[row, column] = projector[a, b]
    return found


def test_a_hundred_random_graphs() -> None:
    rng = np.random.default_rng(8)
    largest = 0.0
    for _ in range(100):
        model = random_model(rng, int(rng.integers(2, 11)))
        hamiltonian = parent_hamiltonian(model)
        state = model.to_vector()
        largest = max(largest, hamiltonian.energy(state))
        n = hamiltonian.n_qubits
        assert len(hamiltonian.terms) == n
        for sites, projector in hamiltonian.terms:
            k = len(sites)
            assert projector.shape == (2**k, 2**k)
            assert np.abs(projector @ projector - projector).max() < 1e-12
            assert np.abs(projector - projector.conj().T).max() < 1e-14
            assert abs(np.trace(projector).real - 2 ** (k - 1)) < 1e-9  # half of the space: of norm 1
            # Frustration-free: each term by itself.
            assert ParentHamiltonian(n, ((sites, projector),)).energy(state) < 1e-10
        # Control: another state has energy.
        other = state + 0.1 * rng.normal(size=len(state)) / np.sqrt(len(state))
        assert hamiltonian.energy(other) > 1e-7
    assert largest < 1e-10


def test_the_ground_state_is_unique() -> None:
    rng = np.random.default_rng(9)
    for n in (1, 2, 3, 4, 5, 6, 7, 9):
        model = random_model(rng, n)
        hamiltonian = parent_hamiltonian(model)
        assert hamiltonian.spectral_gap() > 1e-5
        if n <= 6:
            energies, vectors = np.linalg.eigh(hamiltonian.to_sparse().toarray())
            assert abs(energies[0]) < 1e-12
            assert abs(abs(np.vdot(vectors[:, 0], model.to_vector())) - 1) < 1e-9
            assert hamiltonian.spectral_gap() == pytest.approx(energies[1], abs=1e-10)
    # Without matrices the terms commute: energies are whole numbers.
    plain = GraphGenerativeModel.from_matrices((9, [(i, i + 1) for i in range(8)]), [np.eye(2)] * 9)
    assert parent_hamiltonian(plain).spectral_gap() == pytest.approx(1, abs=1e-8)


def test_terms_stand_where_their_qubits_are() -> None:
    rng = np.random.default_rng(10)
    model = GraphGenerativeModel.from_matrices(
        (5, [(0, 3), (3, 1), (1, 4), (2, 4)]), rng.normal(size=(5, 2, 2)) + 1j * rng.normal(size=(5, 2, 2))
    )
    hamiltonian = parent_hamiltonian(model)
    assert [sites for sites, _ in hamiltonian.terms] == [(0, 3), (1, 3, 4), (2, 4), (3, 0, 1), (4, 1, 2)]
    total = sum(dense(hamiltonian, term) for term in range(5))
    np.testing.assert_allclose(hamiltonian.to_sparse().toarray(), total, rtol=0, atol=1e-14)
    vector = rng.normal(size=32) + 1j * rng.normal(size=32)
    expected = np.vdot(vector, total @ vector).real / np.vdot(vector, vector).real
    assert hamiltonian.energy(vector) == pytest.approx(expected, rel=1e-12)


def test_terms_are_the_ranges_of_the_turned_stabilisers() -> None:
    rng = np.random.default_rng(11)
    model = random_model(rng, 4)
    edges = model.graph[1]
    x, z = np.array([[0, 1], [1, 0]]), np.diag([1, -1])

    def product(matrices: list[np.ndarray]) -> np.ndarray:
        found = np.ones((1, 1))
        for matrix in matrices:
            found = np.kron(matrix, found)
        return found

    whole = product(list(model.matrices_))
    for term in range(4):
        around = [j for pair in edges for j in pair if term in pair and j != term]
        stabiliser = product([x if j == term else z if j in around else np.eye(2) for j in range(4)])
        inverse = np.linalg.inv(whole)
        turned = inverse.conj().T @ (np.eye(16) - stabiliser) / 2 @ inverse
        projector = dense(parent_hamiltonian(model), term)
        # M on the other qubits turns their spaces only, so the ranges agree on the whole.
        assert np.linalg.matrix_rank(turned, tol=1e-9) == 8
        np.testing.assert_allclose(projector @ turned, turned, rtol=0, atol=1e-10 * np.abs(turned).max())


def test_what_is_refused() -> None:
    with pytest.raises(TypeError, match="Argument `model`"):
        parent_hamiltonian("graph")  # type: ignore[arg-type]
    with pytest.raises(NotFittedError):
        parent_hamiltonian(GraphGenerativeModel((2, [])))
    star = GraphGenerativeModel.from_matrices((12, [(3, k) for k in range(12) if k != 3]), [np.eye(2)] * 12)
    with pytest.raises(ValueError, match="qubit 3 has 11"):
        parent_hamiltonian(star)
    ring = GraphGenerativeModel.from_matrices((21, [(k, (k + 1) % 21) for k in range(21)]), [np.eye(2)] * 21)
    large = parent_hamiltonian(ring)
    for call in (large.to_sparse, large.spectral_gap, lambda: large.energy(np.ones(2))):
        with pytest.raises(ValueError, match=r"at most (14|20) qubits, but the Hamiltonian has 21"):
            call()
    small = parent_hamiltonian(GraphGenerativeModel.from_matrices((2, [(0, 1)]), [np.eye(2)] * 2))
    with pytest.raises(ValueError, match=r"2\^2 amplitudes"):
        small.energy(np.ones(8))
    with pytest.raises(ValueError, match="not zero"):
        small.energy(np.zeros(4))
