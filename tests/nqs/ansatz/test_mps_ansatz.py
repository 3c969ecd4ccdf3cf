"""Matrix product states against dense contractions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from qmlphys.nqs.ansatz import MPSAnsatz


def all_configurations(n_sites):
    rows = list(itertools.product([1, -1], repeat=n_sites))
    return torch.tensor(rows, dtype=torch.int8).flip(1)


def random_tensors(bonds, dtype, seed=0):
    generator = np.random.default_rng(seed)
    tensors = []
    for left, right in itertools.pairwise(bonds):
        tensor = generator.normal(size=(left, 2, right))
        if dtype == "complex128":
            tensor = tensor + 1j * generator.normal(size=tensor.shape)
        tensors.append(tensor)
    return tensors


def dense(tensors):
    """All amplitudes; site 0 has weight 1."""
    psi = tensors[0]
    for tensor in tensors[1:]:
        psi = np.einsum("l...a,abr->l...br", psi, tensor)
    psi = np.einsum("l...l->...", psi)
    return psi.transpose().reshape(-1)


BONDS = {"open": (1, 2, 3, 3, 2, 1), "product": (1, 1, 1, 1), "ring": (3, 2, 4, 2, 3)}


@pytest.mark.parametrize("name", sorted(BONDS))
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_amplitudes(name, dtype):
    tensors = random_tensors(BONDS[name], dtype)
    ansatz = MPSAnsatz.from_tensors(tensors)
    assert ansatz.derivative == ("real" if dtype == "float64" else "holomorphic")
    psi = ansatz(all_configurations(ansatz.n_sites)).exp().detach().numpy()
    expected = dense(tensors)
    np.testing.assert_allclose(psi, expected, rtol=1e-11, atol=1e-13 * np.abs(expected).max())
    assert dtype == "complex128" or ((expected < 0).any() and (expected > 0).any())
    for ours, given in zip(ansatz.tensors(), tensors, strict=True):
        np.testing.assert_array_equal(ours, given)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
@pytest.mark.parametrize("periodic", [False, True])
def test_new_state(dtype, periodic):
    ansatz = MPSAnsatz(7, bond=3, periodic=periodic, dtype=dtype, scale=0.0, rng=0)
    flat = ansatz(all_configurations(7))
    assert (flat - flat[0]).abs().max() < 1e-6, "all configurations alike"
    noisy = MPSAnsatz(7, bond=3, periodic=periodic, dtype=dtype, rng=0)
    assert noisy(all_configurations(7)).real.std() > 0.05
    np.testing.assert_allclose(
        noisy(all_configurations(7)).exp().detach().numpy(),
        dense(noisy.tensors()),
        rtol=1e-4 if dtype == "float32" else 1e-11,  # float32 has 24 bits
    )
    assert noisy.bonds == ((3,) * 8 if periodic else (1, 2, 3, 3, 3, 3, 2, 1))


def test_long_chains_neither_overflow_nor_underflow():
    spins = 1 - 2 * torch.randint(2, (3, 400), generator=torch.Generator().manual_seed(1))
    for size in (1e3, 1e-3):
        tensors = [size * tensor for tensor in random_tensors((1, *[2] * 399, 1), "float64")]
        value = MPSAnsatz.from_tensors(tensors)(spins)
        assert torch.isfinite(value.real).all()
        assert value.real.abs().min() > 1000


def test_zero_amplitudes():
    ghz = np.stack([np.diag([1.0, 0.0]), np.diag([0.0, 1.0])], axis=1)
    ansatz = MPSAnsatz.from_tensors([ghz] * 4)
    value = ansatz(torch.tensor([[1, 1, 1, 1], [1, 1, -1, 1]]))
    assert value.real.tolist() == [0.0, -np.inf]
    value.real[1].backward()
    assert all((p.grad == 0).all() for p in ansatz.parameters())


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_sample(dtype):
    tensors = random_tensors((1, 2, 3, 2, 2, 1), dtype)
    ansatz = MPSAnsatz.from_tensors(tensors)
    probability = np.abs(dense(tensors)) ** 2
    probability /= probability.sum()
    n_samples = 40_000
    spins = ansatz.sample(n_samples, rng=4)
    observed = np.bincount((((1 - spins.numpy().astype(int)) // 2) << np.arange(5)).sum(1), minlength=32)

    def chi_square(expected):
        return ((observed - n_samples * expected) ** 2 / (n_samples * expected)).sum()

    assert n_samples * probability.min() > 1 / 2
    # 31 degrees of freedom: mean 31, standard deviation 7.9 (more where few are expected); five of them
    assert chi_square(probability) < 31 + 5 * 7.9
    assert chi_square(np.roll(probability, 1)) > 1000, "negative control"
    assert torch.equal(spins, ansatz.sample(n_samples, rng=4))


def test_sample_of_a_ghz_state():
    bulk = np.stack([np.diag([1.0, 0.0]), np.diag([0.0, 1.0])], axis=1)
    left, right = np.ones((1, 2)), np.ones((2, 1))
    tensors = [np.einsum("xl,lsr->xsr", left, bulk), bulk, bulk, np.einsum("lsr,rx->lsx", bulk, right)]
    spins = MPSAnsatz.from_tensors(tensors).sample(200, rng=0)
    assert set(spins.sum(1).tolist()) == {-4, 4}


def test_refused():
    with pytest.raises(ValueError, match="ring"):
        MPSAnsatz(5, bond=2, periodic=True).sample(3)
    with pytest.raises(ValueError, match="n_sites"):
        MPSAnsatz(1, bond=2)
    with pytest.raises(ValueError, match="bond"):
        MPSAnsatz(4, bond=0)
    with pytest.raises(ValueError, match="fit"):
        MPSAnsatz.from_tensors(random_tensors((1, 2, 1), "float64") + random_tensors((2, 1), "float64"))
    with pytest.raises(ValueError, match="left, 2, right"):
        MPSAnsatz.from_tensors([np.ones((1, 3, 1))] * 2)
