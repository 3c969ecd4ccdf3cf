"""Natural-gradient steps against dense algebra: both spaces, momentum, pseudo-inverse, and exact imaginary time."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from qmlphys.lattices import chain, square
from qmlphys.nqs import natural_gradient
from qmlphys.nqs.ansatz import CNN, MLP, RBM, Ansatz, Autoregressive, ShortRangeRBM, Symmetrized, SymmetryGroup
from qmlphys.nqs.natural_gradient import NaturalGradient, energy_gradient
from qmlphys.nqs.schedules import ExponentialDecay
from qmlphys.nqs.tangent import Tangent, assign_flat, flat_parameters

COMPLEX = torch.complex128
N = 14

BUILDERS = {
    "rbm": lambda: RBM(6, alpha=2, scale=0.3, rng=1),
    "rbm-complex": lambda: RBM(6, alpha=2, scale=0.3, rng=1, dtype=COMPLEX),
    "short-complex": lambda: ShortRangeRBM(6, radius=1, alpha=2, scale=0.3, rng=1, dtype=COMPLEX),
    "mlp-phase": lambda: MLP(6, widths=(8, 5), phase=True, rng=1),
    "autoregressive-phase": lambda: Autoregressive(6, phase=True, rng=1),
    "cnn": lambda: CNN(square(3), channels=3, depth=2, rng=1),
    "momentum": lambda: Symmetrized(RBM(6, scale=0.3, rng=1), SymmetryGroup.translations(6, momentum=1)),
    "single": lambda: RBM(6, alpha=2, scale=0.3, rng=1, dtype="float32"),
}
every_ansatz = pytest.mark.parametrize("name", BUILDERS)


class Table(Ansatz):
    """Every amplitude is a parameter: log psi(s) = p[s]."""

    def __init__(self, n_sites, *, derivative):
        super().__init__(n_sites)
        self.derivative = derivative
        values = torch.randn(2**n_sites, dtype=COMPLEX, generator=generator())
        self.values = nn.Parameter(values if derivative == "holomorphic" else values.real)

    def log_psi(self, spins):
        weights = 2 ** torch.arange(self.n_sites)
        index = ((1 - spins.long()) // 2 * weights).sum(1)
        picked = (index[:, None] == torch.arange(2**self.n_sites)).to(self.values.dtype) @ self.values
        return picked.to(COMPLEX)


def generator():
    return torch.Generator().manual_seed(8)


def make(name, n=N):
    """An ansatz, its tangent at samples with random weights, and random complex energies."""
    ansatz = BUILDERS[name]()
    spins = torch.from_numpy(np.random.default_rng(12).choice([-1, 1], (n, ansatz.n_sites)))
    if name == "momentum":
        spins = spins[torch.isfinite(ansatz(spins).real)]
    weights = torch.rand(len(spins), dtype=torch.float64, generator=generator())
    energies = torch.randn(len(spins), dtype=COMPLEX, generator=generator()) - 5
    return ansatz, Tangent(ansatz, spins), energies, weights / weights.sum()


def dense(tangent, energies, weights):
    """X and e as NumPy arrays, real ones stacked."""
    J, E, w = tangent.jacobian().numpy(), energies.numpy(), weights.numpy()
    X = np.sqrt(w)[:, None] * (J - w @ J)
    e = np.sqrt(w) * (E - w @ E)
    if tangent.derivative == "real":
        return X, e.real
    if tangent.derivative == "complex":
        return np.vstack([X.real, X.imag]), np.concatenate([e.real, e.imag])
    return X, e


def expected_step(tangent, energies, weights, shift, momentum=0.0, previous=None):
    """The step by the textbook equation in the space of parameters."""
    X, e = dense(tangent, energies, weights)
    S = X.conj().T @ X + shift * np.eye(X.shape[1])
    if previous is None:
        return np.linalg.solve(S, X.conj().T @ e)
    d = momentum * previous.numpy()
    return np.linalg.solve(S, X.conj().T @ (e - X @ d)) + d


def distance(a, b):
    return float(np.linalg.norm(np.asarray(a) - np.asarray(b)) / np.linalg.norm(np.asarray(b)))


# --- the step ---------------------------------------------------------------------------------------------------------


@every_ansatz
@pytest.mark.parametrize("shift", [1e-1, 1e-4])
def test_both_spaces_give_the_same_step(name, shift):
    ansatz, tangent, energies, weights = make(name)
    steps = {
        method: NaturalGradient(method, diagonal_shift=shift).direction(tangent, energies, weights)
        for method in ("sr", "minsr")
    }
    exact = expected_step(tangent, energies, weights, shift)
    for method, step in steps.items():
        assert (step.method, step.solver, step.shift) == (method, "cholesky", shift)
        assert step.delta.dtype == flat_parameters(ansatz).dtype
        # 1e-10: the condition number is up to 1e6.
        assert distance(step.delta, exact) < 1e-10
    assert distance(steps["sr"].delta, steps["minsr"].delta) < 1e-10
    assert np.linalg.norm(exact) > 0.1
    # Where the shift matters, it is not the plain gradient.
    plain = energy_gradient(tangent, energies, weights).numpy()
    cosine = abs(np.vdot(plain, exact)) / np.linalg.norm(plain) / np.linalg.norm(exact)
    assert shift > 1e-2 or cosine < 0.95


@every_ansatz
@pytest.mark.parametrize("method", ["sr", "minsr"])
def test_momentum(name, method):
    """SPRING minimises |X d - e|^2 + shift |d - mu d'|^2; its gradient is 0 there."""
    _, tangent, energies, weights = make(name)
    previous = 0.1 * torch.randn(tangent.n_parameters, dtype=torch.float64, generator=generator())
    previous = torch.complex(previous, previous.flip(0)) if tangent.derivative == "holomorphic" else previous
    rule = NaturalGradient(method, diagonal_shift=1e-2, momentum=0.9)
    step = rule.direction(tangent, energies, weights, previous=previous)
    assert distance(step.delta, expected_step(tangent, energies, weights, 1e-2, 0.9, previous)) < 1e-11
    X, e = dense(tangent, energies, weights)
    d = step.delta.numpy()
    slope = X.conj().T @ (X @ d - e) + 1e-2 * (d - 0.9 * previous.numpy())
    assert np.abs(slope).max() < 1e-12 * np.abs(X.conj().T @ e).max() * X.shape[1]
    assert step.length == pytest.approx(np.linalg.norm(X @ d), rel=1e-10)
    # Without anything to carry on it is the plain step.
    first = rule.direction(tangent, energies, weights)
    plain = NaturalGradient(method, diagonal_shift=1e-2).direction(tangent, energies, weights, previous=previous)
    assert torch.equal(first.delta, plain.delta)
    assert distance(step.delta, plain.delta) > 1e-2


@every_ansatz
def test_without_shift_it_is_the_pseudo_inverse(name):
    _, tangent, energies, weights = make(name)
    X, e = dense(tangent, energies, weights)
    exact = np.linalg.pinv(X, rcond=1e-6) @ e
    rank = np.linalg.matrix_rank(X, tol=1e-6 * np.linalg.norm(X, 2))
    for method in ("sr", "minsr"):
        step = NaturalGradient(method, diagonal_shift=0.0).direction(tangent, energies, weights)
        assert (step.solver, step.rank) == ("eigen", rank)
        # The eigenvalues are squares of singular values, down to 1e-12 of the largest.
        assert distance(step.delta, exact) < 1e-5
        assert step.length == pytest.approx(np.linalg.norm(X @ step.delta.numpy()), rel=1e-8)


def test_a_singular_matrix_is_reported():
    """Equal samples and a shift below rounding: Cholesky would divide by noise."""
    ansatz, _, _, _ = make("rbm-complex")
    spins = torch.from_numpy(np.random.default_rng(2).choice([-1, 1], (4, 6))).repeat(5, 1)
    energies = torch.randn(4, dtype=COMPLEX, generator=generator()).repeat(5)
    weights = torch.full((20,), 0.05, dtype=torch.float64)
    tangent = Tangent(ansatz, spins)
    for shift, solver in ((1e-18, "eigen"), (1e-6, "cholesky")):
        step = NaturalGradient("minsr", diagonal_shift=shift).direction(tangent, energies, weights)
        assert step.solver == solver
        assert distance(step.delta, expected_step(tangent, energies, weights, 1e-9)) < 1e-3
        assert step.rank == (3 if solver == "eigen" else 20)


def test_when_nothing_depends_on_the_parameters():
    """One configuration alone: X = 0, and the step with it."""
    ansatz, _, _, _ = make("rbm")
    tangent = Tangent(ansatz, torch.ones(3, 6))
    weights, energies = torch.full((3,), 1 / 3, dtype=torch.float64), torch.full((3,), -2.0, dtype=COMPLEX)
    for method, shift in (("minsr", 0.0), ("sr", 0.0), ("minsr", 1e-3), ("sr", 1e-3)):
        step = NaturalGradient(method, diagonal_shift=shift).direction(tangent, energies, weights)
        assert step.delta.abs().max() < 1e-12
        assert step.length < 1e-12


def test_imaginary_time_is_exact_where_every_amplitude_is_free():
    """X d = e has a solution: d log psi = (E_loc - E) d tau, the flow of exp(-tau H)."""
    H = torch.randn(16, 16, dtype=COMPLEX, generator=generator())
    H = H + H.mH
    spins = torch.tensor(list(product([1, -1], repeat=4)))[:, [3, 2, 1, 0]]  # row i is the integer i: site 0 first
    for derivative, matrix in (("holomorphic", H), ("real", H.real.to(COMPLEX))):
        ansatz = Table(4, derivative=derivative)
        psi = torch.exp(ansatz.log_psi(spins).detach())
        weights = psi.abs().square() / psi.abs().square().sum()
        energies = matrix @ psi / psi
        for method in ("sr", "minsr"):
            rule = NaturalGradient(method, diagonal_shift=0.0)
            delta = rule.direction(Tangent(ansatz, spins), energies, weights).delta
            wanted = energies if derivative == "holomorphic" else energies.real
            difference = delta - wanted
            # Up to a constant, which is the norm.
            assert (difference - difference.mean()).abs().max() < 1e-9 * wanted.abs().max()
            assert (delta - delta.mean()).abs().max() > 1


@pytest.mark.parametrize("name", ["rbm", "rbm-complex", "mlp-phase", "cnn"])
def test_a_step_lowers_the_energy(name):
    """To first order by step_size times 2 Re e^H X d > 0."""
    ansatz = BUILDERS[name]()
    size = 2**ansatz.n_sites
    spins = torch.tensor(list(product([1, -1], repeat=ansatz.n_sites)))
    H = torch.randn(size, size, dtype=COMPLEX, generator=generator())
    H = (H + H.mH) / size**0.5

    def measure():
        psi = torch.exp(ansatz.log_psi(spins).detach())
        weights = psi.abs().square() / psi.abs().square().sum()
        energies = H @ psi / psi
        return float((weights * energies).sum().real), energies, weights

    before, energies, weights = measure()
    tangent = Tangent(ansatz, spins)
    delta = NaturalGradient(diagonal_shift=1e-3).direction(tangent, energies, weights).delta
    expected = float((energy_gradient(tangent, energies, weights).conj() * delta).sum().real)
    start, drops = flat_parameters(ansatz), []
    for step_size in (1e-4, 5e-5):
        assign_flat(ansatz, start - step_size * delta)
        drops.append((before - measure()[0]) / step_size)
    # Linear extrapolation to no step; the next order is the step size squared.
    assert 2 * drops[1] - drops[0] == pytest.approx(expected, rel=1e-5)
    assert expected > 0.01


# --- what it does on the way ------------------------------------------------------------------------------------------


def test_the_cheaper_space_is_taken():
    few, many = RBM(4, alpha=1, rng=1), RBM(10, alpha=4, rng=1)
    for ansatz, n, method in ((few, 200, "sr"), (few, 3, "minsr"), (many, 60, "minsr")):
        spins = torch.from_numpy(np.random.default_rng(4).choice([-1, 1], (n, ansatz.n_sites)))
        weights = torch.full((n,), 1 / n, dtype=torch.float64)
        energies = torch.randn(n, dtype=COMPLEX, generator=generator())
        step = NaturalGradient().direction(Tangent(ansatz, spins), energies, weights)
        assert step.method == method
        other = NaturalGradient("minsr" if method == "sr" else "sr").direction(
            Tangent(ansatz, spins), energies, weights
        )
        assert distance(step.delta, other.delta) < 1e-9


def test_rows_come_in_pieces(monkeypatch):
    for name in ("rbm-complex", "mlp-phase", "cnn"):
        _, tangent, energies, weights = make(name)
        rule = NaturalGradient("sr")
        whole = rule.direction(tangent, energies, weights).delta
        monkeypatch.setattr(natural_gradient, "_JACOBIAN_BYTES", 3 * 16 * tangent.n_parameters)
        assert distance(rule.direction(tangent, energies, weights).delta, whole) < 1e-11
        monkeypatch.undo()


def test_shift_by_schedule():
    _, tangent, energies, weights = make("rbm-complex")
    rule = NaturalGradient("minsr", diagonal_shift=ExponentialDecay(1e-1, 1e-3, n_steps=10))
    for step, shift in ((0, 1e-1), (5, 1e-2), (10, 1e-3), (99, 1e-3)):
        direction = rule.direction(tangent, energies, weights, step=step)
        assert direction.shift == pytest.approx(shift, rel=1e-14)
        assert distance(direction.delta, expected_step(tangent, energies, weights, shift)) < 1e-10


@pytest.mark.parametrize("method", ["sr", "minsr"])
@pytest.mark.parametrize("name", ["rbm-complex", "mlp-phase"])
def test_clip(name, method):
    _, tangent, energies, weights = make(name)
    plain = NaturalGradient(method).direction(tangent, energies, weights)
    X, _ = dense(tangent, energies, weights)
    assert plain.length == pytest.approx(np.linalg.norm(X @ plain.delta.numpy()), rel=1e-9)
    assert not plain.clipped
    clipped = NaturalGradient(method, clip=0.5 * plain.length).direction(tangent, energies, weights)
    assert clipped.clipped
    assert clipped.length == plain.length
    assert distance(clipped.delta, 0.5 * plain.delta) < 1e-13
    loose = NaturalGradient(method, clip=2 * plain.length).direction(tangent, energies, weights)
    assert torch.equal(loose.delta, plain.delta)


def test_condition_is_a_lower_bound():
    _, tangent, energies, weights = make("rbm-complex")
    X, _ = dense(tangent, energies, weights)
    for shift in (1e-1, 1e-5):
        exact = np.linalg.cond(X @ X.conj().T + shift * np.eye(N))
        step = NaturalGradient("minsr", diagonal_shift=shift).direction(tangent, energies, weights)
        assert 0.01 * exact < step.condition <= exact * (1 + 1e-9)


def test_samples_of_no_weight_do_not_count():
    ansatz, tangent, energies, weights = make("rbm-complex")
    rule = NaturalGradient("minsr")
    weights[3] = 0.0
    weights /= weights.sum()
    energies[3] = 1e6
    step = rule.direction(tangent, energies, weights)
    rows = [i for i in range(N) if i != 3]
    spins = torch.from_numpy(np.random.default_rng(12).choice([-1, 1], (N, 6)))[rows]
    without = rule.direction(Tangent(ansatz, spins), energies[rows], weights[rows])
    assert distance(step.delta, without.delta) < 1e-11


def test_repeated_samples_are_weights():
    ansatz, _, _, _ = make("mlp-phase")
    spins = torch.from_numpy(np.random.default_rng(5).choice([-1, 1], (5, 6)))
    counts = torch.tensor([1, 2, 3, 1, 2])
    energies = torch.randn(5, dtype=COMPLEX, generator=generator())
    rule = NaturalGradient("minsr")
    short = rule.direction(Tangent(ansatz, spins), energies, counts / counts.sum(dtype=torch.float64))
    many = spins.repeat_interleave(counts, dim=0)
    equal = torch.full((9,), 1 / 9, dtype=torch.float64)
    long = rule.direction(Tangent(ansatz, many), energies.repeat_interleave(counts), equal)
    assert distance(short.delta, long.delta) < 1e-10


# --- settings and bad input -------------------------------------------------------------------------------------------


def test_settings_there_and_back():
    for rule in (
        NaturalGradient(),
        NaturalGradient("sr", diagonal_shift=0.1, momentum=0.5, clip=2.0),
        NaturalGradient(diagonal_shift=ExponentialDecay(0.1, 0.01, n_steps=5)),
    ):
        assert NaturalGradient.from_dict(json.loads(json.dumps(rule.to_dict()))) == rule
    for values in ({}, {"method": "sr"}, {**NaturalGradient().to_dict(), "more": 1}, None):
        with pytest.raises(ValueError, match="Argument `values` must have the keys"):
            NaturalGradient.from_dict(values)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"method": "adam"}, "Argument `method` must be 'auto', 'sr' or 'minsr', but it is 'adam'"),
        ({"diagonal_shift": -1e-3}, "Argument `diagonal_shift` must be finite and at least 0, but it is -0.001"),
        ({"momentum": 1.0}, "Argument `momentum` must be at least 0 and less than 1, but it is 1.0"),
        ({"momentum": float("nan")}, "Argument `momentum` must be .* but it is nan"),
        ({"clip": 0.0}, "Argument `clip` must be greater than 0 or None, but it is 0.0"),
        ({"clip": float("nan")}, "Argument `clip` must be .* but it is nan"),
    ],
)
def test_bad_settings(arguments, text):
    with pytest.raises(ValueError, match=text):
        NaturalGradient(**arguments)


def test_bad_samples():
    _, tangent, energies, weights = make("rbm")
    rule = NaturalGradient(momentum=0.9)
    with pytest.raises(ValueError, match=r"Argument `local_energies` must have shape \(14,\), .* but it is \(13,\)"):
        rule.direction(tangent, energies[1:], weights)
    with pytest.raises(ValueError, match=r"Argument `weights` must have shape \(14,\).*but it is \(14, 1\)"):
        rule.direction(tangent, energies, weights[:, None])
    with pytest.raises(ValueError, match=r"Argument `previous` must have shape \(90,\), but it is \(9,\)"):
        rule.direction(tangent, energies, weights, previous=torch.zeros(9, dtype=torch.float64))
    energies[4] = float("nan")
    with pytest.raises(ValueError, match=r"Argument `local_energies` must be finite, but that of sample 4 is .*nan"):
        rule.direction(tangent, energies, weights)
    energies[4] = 0.0
    with pytest.raises(ValueError, match=r"Argument `weights` must be at least 0 and have the sum 1, .* the sum 2"):
        rule.direction(tangent, energies, 2 * weights)
    weights[0], weights[1] = -weights[0], weights[1] + 2 * weights[0]
    with pytest.raises(
        ValueError, match="Argument `weights` must be at least 0 and have the sum 1, but the least is -"
    ):
        energy_gradient(tangent, energies, weights)


@pytest.mark.parametrize("method", ["sr", "minsr"])
def test_derivatives_that_are_not_numbers(method):
    ansatz, _, energies, weights = make("rbm-complex")
    spins = torch.from_numpy(np.random.default_rng(12).choice([-1, 1], (N, 6)))
    with torch.no_grad():
        ansatz.hidden.weight[0, 0] = float("nan")
    with pytest.raises(FloatingPointError, match="The derivatives of log psi must be finite, but"):
        NaturalGradient(method).direction(Tangent(ansatz, spins), energies, weights)


def test_the_chain_is_left_alone():
    """A direction changes neither the state nor what it was given."""
    ansatz, tangent, energies, weights = make("rbm")
    assert chain(6).n_sites == ansatz.n_sites
    before = [flat_parameters(ansatz), energies.clone(), weights.clone(), tangent.jacobian()]
    NaturalGradient("sr").direction(tangent, energies, weights)
    NaturalGradient("minsr").direction(tangent, energies, weights)
    after = [flat_parameters(ansatz), energies, weights, tangent.jacobian()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
