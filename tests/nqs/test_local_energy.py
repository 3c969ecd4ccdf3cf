"""Local energies against dense algebra: E_loc = (H psi) / psi."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qmlphys.hamiltonians import J1J2, Heisenberg, PauliSum, TransverseIsing
from qmlphys.lattices import chain, square, triangular
from qmlphys.nqs import local_energy
from qmlphys.nqs._lookup import Lookup
from qmlphys.nqs.ansatz import (
    CNN,
    MLP,
    RBM,
    Ansatz,
    Autoregressive,
    Jastrow,
    Marshall,
    MPSAnsatz,
    ShortRangeRBM,
    Symmetrized,
    SymmetryGroup,
    TranslationRBM,
    VisionTransformer,
)
from qmlphys.nqs.local_energy import flip_ratios, local_energies
from qmlphys.nqs.samplers import configurations


class Plain(Ansatz):
    """Another ansatz without its closed forms, which counts what goes through it."""

    def __init__(self, inner):
        super().__init__(inner.n_sites)
        self.inner, self.derivative, self.n_rows = inner, inner.derivative, 0

    def log_psi(self, spins):
        self.n_rows += len(spins)
        return self.inner.log_psi(spins)


def random_sum(n_sites, *, real, seed=0):
    """Random Pauli strings, flipping up to all sites; an even number of Y makes them real."""
    rng = np.random.default_rng(seed)
    terms = []
    while len(terms) < 25:
        string = "".join(rng.choice(list("IIXYZ"), size=n_sites))
        if not real or string.count("Y") % 2 == 0:
            terms.append((string, float(rng.normal())))
    return PauliSum(terms)


HAMILTONIANS = {
    "tfim": TransverseIsing(chain(7), field=0.8),
    "tfim open": TransverseIsing(chain(6, periodic=False), coupling=-0.5),
    "tfim triangular": TransverseIsing(triangular(3)),
    "tfim rotated": TransverseIsing(chain(6), field=0.8).rotated("X"),
    "heisenberg": Heisenberg(square(3), anisotropy=0.6),
    "j1j2": J1J2(chain(7), j2=0.4),
    "real sum": random_sum(5, real=True),
    "complex sum": random_sum(5, real=False),
}


def exact(hamiltonian, ansatz):
    """All configurations, log psi, and local energies from the sparse matrix."""
    spins = torch.from_numpy(configurations(hamiltonian.n_sites))
    log_psi = ansatz(spins).detach()
    psi = log_psi.exp().numpy()
    with np.errstate(divide="ignore", invalid="ignore"):  # projected states vanish on some configurations
        return spins, log_psi, (hamiltonian.to_sparse() @ psi) / psi


def ansatz_of(kind, n_sites):
    if kind == "jastrow":
        return Jastrow(n_sites, scale=0.2, rng=5)
    return RBM(n_sites, alpha=2, dtype=kind, scale=0.2, rng=5)


def compare(found, expected):
    assert found.dtype == torch.complex128
    scale = np.abs(expected).max()
    assert scale > 1
    assert np.ptp(expected.real) > 0.1
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12 * scale)


@pytest.mark.parametrize("kind", ["float64", "complex128", "jastrow"])
@pytest.mark.parametrize("name", HAMILTONIANS)
def test_local_energies_are_those_of_dense_algebra(name, kind):
    hamiltonian = HAMILTONIANS[name]
    ansatz = ansatz_of(kind, hamiltonian.n_sites)
    spins, log_psi, expected = exact(hamiltonian, ansatz)
    compare(local_energies(hamiltonian, ansatz, spins, log_psi), expected)
    plain = Plain(ansatz)
    some = torch.arange(0, len(spins), 3)
    for chunk in (None, 1, 7):
        found = local_energies(hamiltonian, plain, spins[some], log_psi[some], chunk=chunk)
        compare(found, expected[some.numpy()])


RING = SymmetryGroup.translations(chain(6), momentum=3)
ANSAETZE = {
    "mlp": lambda: MLP(6, widths=[5], phase=True, rng=2),
    "cnn": lambda: CNN(chain(6), channels=3, kernel_size=3, activation="log_cosh", dtype="complex128", rng=2),
    "autoregressive": lambda: Autoregressive(6, phase=True, rng=2),
    "mps": lambda: MPSAnsatz(6, bond=3, dtype="complex128", scale=0.5, rng=2),
    "transformer": lambda: VisionTransformer(chain(6), d_model=4, n_heads=2, n_layers=1, phase=True, rng=2),
    "short range": lambda: ShortRangeRBM(chain(6), radius=1, alpha=2, dtype="complex128", scale=0.3, rng=2),
    "translations": lambda: TranslationRBM(chain(6), alpha=2, dtype="complex128", scale=0.3, rng=2),
    "momentum": lambda: Symmetrized(RBM(6, dtype="complex128", scale=0.5, rng=2), RING),
}


@pytest.mark.parametrize("name", ANSAETZE)
@pytest.mark.parametrize("hamiltonian", [Heisenberg(chain(6)), TransverseIsing(chain(6), field=0.8)])
def test_every_ansatz(name, hamiltonian):
    ansatz = ANSAETZE[name]()
    spins, log_psi, expected = exact(hamiltonian, ansatz)
    # In a momentum sector some amplitudes vanish, up to rounding; local energies are not defined there.
    there = (log_psi.real > log_psi.real.max() - 15).nonzero()[:, 0]
    assert len(there) > 30
    # Projected amplitudes are differences of others, and neighbours of small ones weigh much: rounding grows.
    tolerance = 1e-9 if name == "momentum" else 1e-12
    found = local_energies(hamiltonian, ansatz, spins[there], log_psi[there], chunk=50)
    np.testing.assert_allclose(found, expected[there], rtol=tolerance, atol=tolerance * np.abs(expected[there]).max())
    assert np.ptp(expected[there].real) > 0.1


def test_the_complex_sum_is_complex_and_flips_many():
    terms = HAMILTONIANS["complex sum"].flip_terms
    assert not terms.is_real
    assert terms.max_flips > 2


@pytest.mark.parametrize("kind", ["float64", "complex128"])
def test_marshall_signs_are_in_the_ratios(kind):
    lattice = chain(6)
    hamiltonian, ansatz = Heisenberg(lattice), Marshall(ansatz_of(kind, 6), lattice)
    spins, log_psi, expected = exact(hamiltonian, ansatz)
    assert ansatz.rbm() is not None
    assert (ansatz.rbm().signs < 0).any()
    found = local_energies(hamiltonian, ansatz, spins, log_psi)
    compare(found, expected)
    unsigned = local_energies(hamiltonian, ansatz_of(kind, 6), spins, log_psi)
    assert np.abs(unsigned.numpy() - expected).max() > 1


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("name", ["tfim", "heisenberg", "complex sum"])
def test_the_look_up_table_of_other_devices_agrees(name, dtype, monkeypatch):
    hamiltonian = HAMILTONIANS[name]
    ansatz = ansatz_of(dtype, hamiltonian.n_sites)
    spins, log_psi, expected = exact(hamiltonian, ansatz)
    monkeypatch.setattr(local_energy, "_lookup", Lookup)
    compare(local_energies(hamiltonian, ansatz, spins, log_psi), expected)


@pytest.mark.parametrize("block", [1, 100, 2000])
def test_blocks_of_samples_change_nothing(block, monkeypatch):
    hamiltonian = HAMILTONIANS["heisenberg"]
    for ansatz in (ansatz_of("complex128", 9), ansatz_of("jastrow", 9)):
        spins, log_psi, expected = exact(hamiltonian, ansatz)
        monkeypatch.setattr(local_energy, "_BLOCK", block)
        compare(local_energies(hamiltonian, ansatz, spins[:60], log_psi[:60]), expected[:60])


def test_a_full_sum_needs_no_further_evaluations():
    hamiltonian = HAMILTONIANS["tfim"]
    ansatz = Plain(ansatz_of("float64", 7))
    spins, log_psi, expected = exact(hamiltonian, ansatz)
    ansatz.n_rows = 0
    compare(local_energies(hamiltonian, ansatz, spins, log_psi), expected)
    assert ansatz.n_rows == 0
    # Two copies of one configuration need its seven neighbours, each once.
    found = local_energies(hamiltonian, ansatz, spins[[5, 5]], log_psi[[5, 5]])
    assert ansatz.n_rows == 7
    np.testing.assert_allclose(found.numpy(), expected[[5, 5]], rtol=1e-12)


@pytest.mark.parametrize("hamiltonian", [TransverseIsing(chain(66), field=0.7), Heisenberg(chain(63))])
def test_more_sites_than_an_integer_has_bits(hamiltonian):
    n_sites = hamiltonian.n_sites
    ansatz = RBM(n_sites, dtype="complex128", scale=0.1, rng=1)
    plain = Plain(ansatz)
    spins = np.random.default_rng(1).choice(np.array([-1, 1], dtype=np.int8), size=(6, n_sites))
    spins = torch.from_numpy(spins)
    log_psi = ansatz(spins).detach()
    found = local_energies(hamiltonian, ansatz, spins, log_psi)
    # Twin: a sum over the connected configurations.
    configurations_, elements = hamiltonian.connected(spins.numpy())
    flat = torch.from_numpy(configurations_.reshape(-1, n_sites))
    ratios = (ansatz(flat).detach().reshape(6, -1) - log_psi[:, None]).exp()
    compare(found, (torch.from_numpy(elements) * ratios).sum(dim=1).numpy())
    np.testing.assert_allclose(local_energies(hamiltonian, plain, spins, log_psi, chunk=10), found, rtol=1e-12)
    # Zero elements, of parallel spins in the Heisenberg model, are not evaluated.
    assert plain.n_rows == (elements[:, 1:] != 0).sum()


def test_zero_amplitudes_have_the_ratio_zero():
    class Half(Ansatz):
        """1 where the first spin is up, 0 elsewhere, with a phase that is not a number."""

        derivative = "real"

        def log_psi(self, spins):
            table = torch.tensor([complex(-np.inf, np.nan), 0.0], dtype=torch.complex128)
            return table[(spins[:, 0] > 0).long()]

    hamiltonian = TransverseIsing(chain(3), field=0.5)
    spins = torch.tensor([[1, 1, 1], [1, -1, -1]], dtype=torch.int8)
    ansatz = Half(3)
    found = local_energies(hamiltonian, ansatz, spins, ansatz.log_psi(spins))
    assert found.tolist() == [-3.0 - 1.0, 1.0 - 1.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.int8])
def test_spins_of_any_dtype(dtype):
    hamiltonian = HAMILTONIANS["tfim"]
    for ansatz in (ansatz_of("float64", 7), ansatz_of("jastrow", 7)):
        spins, log_psi, expected = exact(hamiltonian, ansatz)
        compare(local_energies(hamiltonian, ansatz, spins.to(dtype)[:9], log_psi[:9]), expected[:9])


def test_no_samples_have_no_energies():
    found = local_energies(
        HAMILTONIANS["tfim"], ansatz_of("float64", 7), torch.ones((0, 7)), torch.zeros(0, dtype=torch.complex128)
    )
    assert found.shape == (0,)


def test_weights_that_overflow_take_the_plain_way():
    hamiltonian = TransverseIsing(chain(4))
    ansatz = RBM(4, rng=1)
    with torch.no_grad():
        ansatz.hidden.weight[0, 0] = 400.0
    spins = torch.from_numpy(configurations(4))
    log_psi = ansatz(spins).detach()
    found = local_energies(hamiltonian, ansatz, spins, log_psi)
    assert torch.isfinite(found.real).all()
    np.testing.assert_allclose(found, local_energies(hamiltonian, Plain(ansatz), spins, log_psi), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_flip_ratios(dtype):
    ansatz = ansatz_of(dtype, 5)
    spins = torch.from_numpy(configurations(5))
    psi = ansatz(spins).detach().exp()
    flipped = torch.arange(32)[:, None] ^ (1 << torch.arange(5))
    expected = psi[flipped] / psi[:, None]
    found = flip_ratios(ansatz.rbm(), spins)
    assert (expected - 1).abs().max() > 0.3
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-12)
    signed = flip_ratios(Marshall(ansatz_of(dtype, 6), chain(6)).rbm(), torch.ones((1, 6)))
    assert (signed.real < 0).sum() == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ansatz": RBM(6)}, "`ansatz` must have the 7 sites of the Hamiltonian, but it has 6"),
        ({"spins": torch.ones(3, 6)}, r"`spins` must have shape \(n, 7\), but it is \(3, 6\)"),
        ({"spins": torch.full((3, 7), 0.5)}, "`spins` must hold -1 and"),
        ({"log_psi": torch.zeros(2)}, r"`log_psi` must have shape \(3,\).* \(2,\)"),
        ({"chunk": 0}, "`chunk` must be at least 1, but it is 0"),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {"ansatz": RBM(7), "spins": torch.ones(3, 7), "log_psi": torch.zeros(3), "chunk": None} | change
    with pytest.raises(ValueError, match=message):
        local_energies(HAMILTONIANS["tfim"], **arguments)


def test_flip_ratios_refuse_weights_that_overflow():
    ansatz = RBM(3, rng=1)
    with torch.no_grad():
        ansatz.hidden.weight[0, 0] = -300.0
    with pytest.raises(ValueError, match=r"`parameters` must have finite weights.*but one is 300"):
        flip_ratios(ansatz.rbm(), torch.ones(1, 3))
