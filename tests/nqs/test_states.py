"""Energies, gradients and vectors of states against dense algebra and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qmlphys import bits, snapshots
from qmlphys.hamiltonians import J1J2, Heisenberg, PauliSum, TransverseIsing
from qmlphys.lattices import chain, square
from qmlphys.nqs import Exact, FullSumState, Metropolis, MonteCarloState
from qmlphys.nqs.ansatz import (
    CNN,
    MLP,
    RBM,
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
from qmlphys.nqs.tangent import assign_flat, flat_parameters

N = 6
REAL = TransverseIsing(chain(N), field=0.8)
# Terms with one and two Y, three-spin terms and a constant: complex matrix elements and no symmetry.
COMPLEX = PauliSum(
    [("XYZIII", 0.7), ("IYIIII", 0.4), ("ZZIIIZ", -0.9), ("IIXXII", 0.6), ("IIIYXY", 0.3), ("IIIIII", 0.2)]
)

ANSATZE = {
    "rbm": lambda: RBM(N, alpha=2, scale=0.3, rng=1),
    "rbm-complex": lambda: RBM(N, alpha=2, dtype="complex128", scale=0.3, rng=1),
    "translation-rbm": lambda: TranslationRBM(N, alpha=2, scale=0.3, rng=1),
    "translation-rbm-complex": lambda: TranslationRBM(N, alpha=2, dtype="complex128", scale=0.3, rng=1),
    "short-range-rbm": lambda: ShortRangeRBM(N, radius=1, dtype="complex128", scale=0.3, rng=1),
    "jastrow": lambda: Jastrow(N, scale=0.3, bias=True, rng=1),
    "jastrow-complex": lambda: Jastrow(N, dtype="complex128", scale=0.3, rng=1),
    "marshall": lambda: Marshall(RBM(N, scale=0.3, rng=1), N),
    "symmetrized": lambda: Symmetrized(RBM(N, scale=0.3, rng=1), SymmetryGroup.translations(N)),
    "symmetrized-complex": lambda: Symmetrized(
        RBM(N, dtype="complex128", scale=0.3, rng=1), SymmetryGroup.spin_flip(N, -1)
    ),
    "momentum": lambda: Symmetrized(RBM(N, scale=0.3, rng=1), SymmetryGroup.translations(N, momentum=1)),
    "mlp": lambda: MLP(N, widths=[5, 4], rng=1),
    "mlp-phase": lambda: MLP(N, widths=[5], phase=True, rng=1),
    "mlp-complex": lambda: MLP(N, widths=[5], activation="log_cosh", dtype="complex128", scale=0.3, rng=1),
    "cnn": lambda: CNN(N, channels=3, kernel_size=3, rng=1),
    "cnn-phase": lambda: CNN(N, channels=3, kernel_size=3, phase=True, rng=1),
    "transformer-phase": lambda: VisionTransformer(N, d_model=4, n_heads=2, n_layers=1, phase=True, rng=1),
    "autoregressive": lambda: Autoregressive(N, rng=1),
    "autoregressive-phase": lambda: Autoregressive(N, phase=True, rng=1),
    "mps": lambda: MPSAnsatz(N, bond=3, rng=1),
    "mps-complex": lambda: MPSAnsatz(N, bond=3, periodic=True, dtype="complex128", rng=1),
}


@pytest.fixture(params=sorted(ANSATZE))
def ansatz(request):
    made = ANSATZE[request.param]()
    # Away from starting values: zero biases and zero output layers would hide terms of the gradient.
    noise = torch.randn(made.n_parameters, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    if made.dtype.is_complex:
        noise = torch.complex(noise, noise.flip(0))
    assign_flat(made, flat_parameters(made) + 0.1 * noise)
    return made


def dense_psi(ansatz):
    """Amplitudes from the ansatz alone, in the order of integers."""
    spins = torch.from_numpy(bits.integers_to_spins(np.arange(2**ansatz.n_sites), ansatz.n_sites))
    with torch.no_grad():
        psi = ansatz(spins).numpy()
    psi = np.exp(psi - psi.real.max())
    return psi / np.linalg.norm(psi)


def dense_energy(ansatz, matrix):
    psi = dense_psi(ansatz)
    return float(np.vdot(psi, matrix @ psi).real)


@pytest.mark.parametrize("model", [REAL, COMPLEX], ids=["real", "complex"])
def test_full_sum_energy_and_variance_are_those_of_dense_algebra(ansatz, model):
    matrix = model.to_sparse().toarray()
    psi = dense_psi(ansatz)
    energy = np.vdot(psi, matrix @ psi).real
    # Zeros by symmetry have no local energy, so that what H psi has there is missing.
    image = (matrix @ psi)[psi != 0]
    variance = np.vdot(image, image).real - energy**2
    expectation = FullSumState(ansatz).expect(model)
    assert variance > 0.1  # far from an eigenstate
    assert expectation.energy.mean == pytest.approx(energy, rel=1e-12, abs=1e-12)
    assert expectation.energy.error == 0
    assert expectation.variance.mean == pytest.approx(variance, rel=1e-11)  # a difference of numbers ten times as large
    v_score = N * variance / (energy - np.trace(matrix).real / 2**N) ** 2
    assert expectation.v_score == pytest.approx(v_score, rel=1e-10)
    assert FullSumState(ansatz, chunk=5).expect(model).energy.mean == pytest.approx(energy, rel=1e-13, abs=1e-13)
    np.testing.assert_allclose(FullSumState(ansatz).vector(), psi, rtol=0, atol=1e-14)


@pytest.mark.parametrize("model", [REAL, COMPLEX], ids=["real", "complex"])
def test_full_sum_gradient_is_that_of_finite_differences(ansatz, model):
    matrix = model.to_sparse()
    gradient, expectation = FullSumState(ansatz).gradient(model)
    start = flat_parameters(ansatz)
    assert gradient.dtype == start.dtype
    assert expectation.energy.mean == pytest.approx(dense_energy(ansatz, matrix), rel=1e-12, abs=1e-12)
    assert float(gradient.abs().max()) > 0.05
    step = 1e-5
    rng = np.random.default_rng(3)
    for k in rng.choice(len(start), size=min(8, len(start)), replace=False):
        for direction in (1.0, 1.0j) if start.is_complex() else (1.0,):
            change = torch.zeros_like(start)
            change[k] = step * direction
            energies = []
            for sign in (1, -1):
                assign_flat(ansatz, start + sign * change)
                energies.append(dense_energy(ansatz, matrix))
            slope = (energies[0] - energies[1]) / (2 * step)
            expected = gradient[k].imag if direction == 1.0j else gradient[k].real
            # Central differences: h^2 and rounding / h both cost about 1e-10 here.
            assert float(expected) == pytest.approx(slope, rel=1e-6, abs=2e-9)
    assign_flat(ansatz, start)


def test_monte_carlo_expectation_is_the_full_sum_within_its_error(ansatz):
    everything = FullSumState(ansatz)
    exact = everything.expect(COMPLEX)
    state = MonteCarloState(ansatz, Exact(), n_samples=4096, rng=5)
    found = state.expect(COMPLEX)
    assert found.n_samples == 4096
    assert abs(found.energy.deviation(exact.energy.mean)) < 5
    # Near a zero of psi local energies are large and rare: 4096 samples then tell nothing of their square's mean.
    samples = everything.samples()
    squares = (everything.measure(COMPLEX, samples)[0] - exact.energy.mean).abs() ** 2
    kurtosis = float((samples.weights * squares**2).sum()) / exact.variance.mean**2
    assert kurtosis > 20 or abs(found.variance.deviation(exact.variance.mean)) < 5
    assert abs(found.energy.deviation(exact.energy.mean + 20 * found.energy.error)) > 5  # negative control


@pytest.mark.parametrize("name", ["rbm-complex", "symmetrized", "cnn-phase", "mps", "autoregressive"])
def test_chunks_do_not_change_a_monte_carlo_energy(name):
    found = [
        MonteCarloState(ANSATZE[name](), Metropolis(n_chains=16, n_warmup=2), n_samples=32, rng=2, chunk=chunk).expect(
            REAL
        )
        for chunk in (None, 7)
    ]
    assert found[1].energy.mean == pytest.approx(found[0].energy.mean, rel=1e-12)
    assert found[1].variance.mean == pytest.approx(found[0].variance.mean, rel=1e-10)
    assert found[0].variance.mean > 0.1


def test_many_samples_are_several_draws_of_the_same_chains():
    state = MonteCarloState(RBM(N, rng=1), Metropolis(n_chains=8), n_samples=16, rng=1)
    assert state.expect(REAL, n_samples=100).n_samples == 112
    assert state.expect(REAL, n_samples=100).r_hat < 1.5


def test_sector_of_magnetisation():
    model = Heisenberg(chain(N))
    ansatz = RBM(N, scale=0.3, rng=4)
    state = FullSumState(ansatz, magnetization=2)
    vector = state.vector()
    matrix = model.to_sparse()
    spins = bits.integers_to_spins(np.arange(2**N), N).sum(axis=1)
    assert np.abs(vector[spins != 2]).max() == 0
    assert np.count_nonzero(vector) == 15
    assert state.expect(model).energy.mean == pytest.approx(np.vdot(vector, matrix @ vector).real, rel=1e-12)
    assert len(state.samples().weights) == 15


@pytest.mark.parametrize(
    ("sampler", "n_chains"), [(Metropolis(n_chains=8), 8), (Exact(), 5), (None, 5)], ids=["chains", "exact", "all"]
)
def test_snapshots_are_those_of_the_schema(sampler, n_chains):
    lattice = square(3)
    model = TransverseIsing(lattice, field=2.0)
    ansatz = RBM(9, scale=0.2, rng=1)
    state = FullSumState(ansatz, rng=3) if sampler is None else MonteCarloState(ansatz, sampler, n_samples=16, rng=3)
    ds = state.snapshots(300, parameter=2.0, hamiltonian=model, n_chains=n_chains)
    snapshots.check(ds)
    assert dict(ds.sizes) == {"parameter": 1, "chain": n_chains, "draw": 300, "site": 9}
    assert ds.attrs["source"] == "nqs"
    assert ds.attrs["model"] == model.label
    assert ds.attrs["lattice"] == "square(3)"
    assert ds.attrs["basis"] == "Z"
    assert ds.attrs["seed"] == 3
    assert ds.parameter.attrs == {"name": "field", "units": "J"}
    np.testing.assert_allclose(ds.magnetization, ds.spins.mean("site"), rtol=1e-12, atol=1e-15)
    exact = FullSumState(ansatz).expect(model)
    spread = np.sqrt(exact.variance.mean / ds.energy.size) / 9
    # Five standard errors of independent draws, twice as many for chains.
    assert abs(float(ds.energy.mean()) - exact.energy.mean / 9) < (10 if n_chains == 8 else 5) * spread
    # Every configuration with its probability: chi-squared of the exact distribution.
    if n_chains == 5:
        p = np.abs(FullSumState(ansatz).vector()) ** 2
        counts = np.bincount(bits.spins_to_integers(ds.spins.values.reshape(-1, 9)), minlength=512)
        chi2 = ((counts - 1500 * p) ** 2 / (1500 * p)).sum()
        assert abs(chi2 - 511) < 5 * np.sqrt(2 * 511)
        shifted = np.roll(p, 1)
        assert ((counts - 1500 * shifted) ** 2 / (1500 * shifted)).sum() > 511 + 5 * np.sqrt(2 * 511)


def test_fresh_states_share_the_parameters_and_nothing_random():
    state = MonteCarloState(RBM(N, rng=1), Metropolis(n_chains=8), n_samples=16, rng=1)
    first = state.samples().spins
    other = state.fresh(rng=2)
    assert other.ansatz is state.ansatz
    assert not torch.equal(other.samples().spins, first)
    assert torch.equal(state.fresh(rng=1).samples().spins, first)
    full = FullSumState(RBM(N, rng=1), magnetization=0)
    assert full.fresh().sector == (0, None)


def test_state_dict_goes_on_with_the_same_draws():
    state = MonteCarloState(RBM(N, rng=1), Metropolis(n_chains=8), n_samples=16, rng=1)
    state.samples()
    saved = state.state_dict()
    following = [state.samples().spins.clone() for _ in range(3)]
    other = MonteCarloState(RBM(N, rng=1), Metropolis(n_chains=8), n_samples=16, rng=99)
    other.load_state_dict(saved)
    assert all(torch.equal(other.samples().spins, spins) for spins in following)


def test_j1j2_on_squares_of_odd_size():
    model = J1J2(square(3), j2=0.4)
    ansatz = RBM(9, scale=0.2, dtype="complex128", rng=1)
    psi = dense_psi(ansatz)
    energy = np.vdot(psi, model.to_sparse() @ psi).real
    assert FullSumState(ansatz).expect(model).energy.mean == pytest.approx(energy, rel=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_parameters_and_chains_go_from_state_to_state(dtype):
    sampler = Metropolis(8, n_warmup=3)
    first, second = (MonteCarloState(RBM(N, dtype=dtype, rng=seed), sampler, n_samples=8, rng=seed) for seed in (1, 2))
    assert first.chains is None
    first.prepare()
    values = first.parameters
    assert values.dtype == (np.complex128 if dtype == "complex128" else np.float64)
    assert not np.array_equal(second.parameters, values)
    second.parameters = values
    second.chains = first.chains
    np.testing.assert_array_equal(second.parameters, values)
    np.testing.assert_array_equal(second.chains, first.chains)
    second.chains[:] = 0  # a copy
    assert np.abs(second.chains).min() == 1
    with pytest.raises(ValueError, match="must have shape"):
        second.parameters = values[:-1]
    with pytest.raises(ValueError, match="must hold finite"):
        second.parameters = np.full_like(values, np.nan)
    with pytest.raises(ValueError, match="must hold spins, int8 of shape"):
        second.chains = first.chains[:3]
    with pytest.raises(ValueError, match="must hold -1 and \\+1 only"):
        second.chains = 0 * first.chains
