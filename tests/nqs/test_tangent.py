"""Derivatives of log psi, their kernel, and products with them, against explicit Jacobians and finite differences.

One long file: all of it shares the table of networks and their explicit Jacobians.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from qmlphys.lattices import chain, square
from qmlphys.nqs import _tangent_contract, _tangent_kernel, _tape
from qmlphys.nqs._tangent_contract import contract_convolution
from qmlphys.nqs.ansatz import (
    CNN,
    MLP,
    RBM,
    Ansatz,
    Autoregressive,
    Dense,
    Jastrow,
    Marshall,
    MPSAnsatz,
    PeriodicConvolution,
    ShortRangeRBM,
    Symmetrized,
    SymmetryGroup,
    TranslationRBM,
    VisionTransformer,
)
from qmlphys.nqs.natural_gradient import energy_gradient
from qmlphys.nqs.tangent import Tangent, assign_flat, flat_parameters

COMPLEX = torch.complex128
GROUP = SymmetryGroup


class Own(Ansatz):
    """An ansatz of a user's: the sum of what one module makes of the spins, as modulus and perhaps phase."""

    def __init__(self, n_sites, net, *, derivative="real"):
        super().__init__(n_sites)
        self.net, self.derivative = net, derivative

    def log_psi(self, spins):
        y = self.net(spins.double()).flatten(1)
        y = y / y.shape[1] ** 0.5
        if self.derivative == "complex":
            return torch.complex(y.sin().sum(1), y.square().sum(1))
        return y.sin().sum(1).to(COMPLEX)


class Twice(nn.Module):
    """One layer called two times on numbers of rows that differ: 3 a sample and 1."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        several = torch.stack([x, x.roll(1, 1), x.roll(2, 1)], dim=1).flatten(0, 1)
        return torch.cat([self.layer(several).reshape(len(x), -1), torch.sin(self.layer(x))], dim=1)


class Loose(nn.Module):
    """Parameters outside of the structured layers, and layers that do not see the samples, or are not called."""

    def __init__(self, dtype=torch.float64, layer_norm=True):
        super().__init__()
        self.first = dense(6, 8, dtype=dtype)
        self.norm = nn.LayerNorm(8, dtype=dtype) if layer_norm else None
        self.scale = nn.Parameter(torch.linspace(0.5, 1.5, 8).to(dtype))
        self.table = dense(3, 8, dtype=dtype)
        self.idle = dense(2, 2, dtype=dtype)
        # As many rows as there are samples in the tests below.
        self.register_buffer("places", torch.linspace(-1, 1, 3 * N).reshape(N, 3))

    def forward(self, x):
        y = torch.sin(self.first(x))
        y = y if self.norm is None else self.norm(y)
        return y * self.scale + self.table(self.places).sum(0)


class Chain(nn.Module):
    """Convolutions of which the second has many channels, then a masked layer at every site."""

    def __init__(self, dtype=torch.float64):
        super().__init__()
        one = lambda *a: PeriodicConvolution((3, 2), *a, dtype=dtype, scale=0.3, generator=generator())  # noqa: E731
        self.first, self.second = one((2, 2), 1, 9), one((3, 1), 9, 16)
        self.last = Dense(16, 3, dtype=dtype, scale=0.3, mask=MASK, generator=generator())

    def forward(self, x):
        y = torch.sin(self.second(torch.sin(self.first(x.reshape(-1, 1, 3, 2)))))
        return self.last(y.flatten(2).mT)


N = 7
MASK = torch.from_numpy(np.random.default_rng(3).random((3, 16)) < 0.4)


def generator():
    return torch.Generator().manual_seed(5)


def dense(n_in, n_out, *, dtype=torch.float64, bias=True, mask=None):
    return Dense(n_in, n_out, bias=bias, dtype=dtype, scale=0.4, mask=mask, generator=generator())


def causal(n_in, n_out):
    """Equal rows in blocks: output o sees the inputs up to o's share."""
    return torch.arange(n_in)[None, :] * n_out <= torch.arange(n_out)[:, None] // 8 * 8 * n_in


def randomised(ansatz):
    """No bias at 0, no parameter at a special place."""
    noise = torch.randn(ansatz.n_parameters, dtype=torch.float64, generator=generator())
    flat = flat_parameters(ansatz)
    if flat.is_complex():
        noise = torch.complex(noise, noise.flip(0))
    assign_flat(ansatz, flat + 0.1 * noise)
    return ansatz


C6, S3 = chain(6), square(3)
BUILDERS = {
    "rbm": lambda: RBM(6, alpha=2, scale=0.3, rng=1),
    "rbm-float32": lambda: RBM(6, alpha=2, scale=0.3, rng=1, dtype="float32"),
    "rbm-complex": lambda: RBM(6, alpha=2, scale=0.3, rng=1, dtype=COMPLEX),
    "rbm-even": lambda: RBM(6, alpha=2, scale=0.3, rng=1, dtype=COMPLEX, visible_bias=False, hidden_bias=False),
    "short": lambda: ShortRangeRBM(C6, radius=1, alpha=2, scale=0.3, rng=1),
    "short-complex": lambda: ShortRangeRBM(C6, radius=1, alpha=2, scale=0.3, rng=1, dtype=COMPLEX),
    "translation": lambda: TranslationRBM(S3, alpha=2, scale=0.3, rng=1),
    "translation-complex": lambda: TranslationRBM(C6, alpha=2, scale=0.3, rng=1, dtype=COMPLEX),
    "mlp": lambda: MLP(6, widths=(8, 5), rng=1),
    "mlp-phase": lambda: MLP(6, widths=(8, 5), phase=True, rng=1),
    "mlp-complex": lambda: MLP(6, widths=(8, 5), activation="log_cosh", dtype=COMPLEX, scale=0.3, rng=1),
    "cnn": lambda: CNN(S3, channels=3, depth=2, rng=1),
    "cnn-small": lambda: CNN(S3, channels=3, depth=2, kernel_size=2, phase=True, rng=1),
    "jastrow": lambda: Jastrow(6, scale=0.3, bias=True, rng=1),
    "jastrow-complex": lambda: Jastrow(6, scale=0.3, rng=1, dtype=COMPLEX),
    "autoregressive": lambda: Autoregressive(6, rng=1),
    "autoregressive-phase": lambda: Autoregressive(6, widths=(4, 3), phase=True, rng=1),
    "mps": lambda: MPSAnsatz(6, bond=3, rng=1),
    "mps-ring": lambda: MPSAnsatz(6, bond=3, dtype=COMPLEX, periodic=True, rng=1),
    "transformer": lambda: VisionTransformer(C6, patch=2, d_model=8, n_heads=2, n_layers=1, rng=1),
    "transformer-phase": lambda: VisionTransformer(C6, patch=2, d_model=4, n_heads=2, n_layers=1, phase=True, rng=1),
    "marshall": lambda: Marshall(RBM(6, scale=0.3, dtype=COMPLEX, rng=1), C6),
    "projected": lambda: Symmetrized(RBM(6, alpha=2, scale=0.3, rng=1), GROUP.translations(6) * GROUP.spin_flip(6)),
    "momentum": lambda: Symmetrized(RBM(6, scale=0.3, rng=1), GROUP.translations(6, momentum=1)),
    "momentum-complex": lambda: Symmetrized(RBM(6, scale=0.3, rng=1, dtype=COMPLEX), GROUP.translations(6, momentum=2)),
    "projected-cnn": lambda: Symmetrized(CNN(C6, channels=3, depth=2, rng=1), GROUP.point_group(C6)),
    "own-twice": lambda: Own(6, Twice(dense(6, 5))),
    "own-twice-wide": lambda: Own(6, Twice(dense(6, 90)), derivative="complex"),
    "own-causal": lambda: Own(6, dense(6, 320, mask=causal(6, 320)), derivative="complex"),
    "own-causal-complex": lambda: Own(6, dense(6, 320, dtype=COMPLEX, mask=causal(6, 320)), derivative="holomorphic"),
    "own-loose": lambda: Own(6, Loose()),
    "own-loose-phase": lambda: Own(6, Loose(), derivative="complex"),
    "own-loose-complex": lambda: Own(6, Loose(COMPLEX, layer_norm=False), derivative="holomorphic"),
    "own-chain": lambda: Own(6, Chain(), derivative="complex"),
    "own-chain-complex": lambda: Own(6, Chain(COMPLEX), derivative="holomorphic"),
}
every_ansatz = pytest.mark.parametrize("name", BUILDERS)


def make(name, n=N):
    ansatz = randomised(BUILDERS[name]())
    spins = torch.from_numpy(np.random.default_rng(11).choice([-1, 1], (n, ansatz.n_sites)).astype(np.int8))
    return ansatz, spins


def reference(ansatz, spins):
    """One backward pass a sample, or two."""
    parameters = list(ansatz.parameters())

    def gradient(value):
        found = torch.autograd.grad(value, parameters, retain_graph=True, materialize_grads=True)
        return torch.cat([g.flatten() for g in found]).to(COMPLEX)

    rows = []
    for spin in spins:
        value = ansatz.log_psi(spin[None])[0]
        if ansatz.derivative == "complex":
            rows.append(gradient(value.real) + 1j * gradient(value.imag))
        else:
            rows.append(gradient(value.real).conj())
    found = torch.stack(rows)
    return found.real if ansatz.derivative == "real" else found


def tolerance(ansatz):
    """Networks in single precision differentiate in single precision."""
    single = ansatz.dtype == torch.float32
    return {"rtol": 1e-5, "atol": 1e-5} if single else {"rtol": 1e-11, "atol": 1e-11}


def weights_of(n):
    weights = torch.rand(n, dtype=torch.float64, generator=generator())
    weights[2] = 0.0
    return weights / weights.sum()


def explicit(tangent, weights=None):
    """X, stacked for the derivative "complex"."""
    X = tangent.jacobian()
    if weights is not None:
        X = weights.sqrt()[:, None] * (X - weights.to(X.dtype) @ X)
    return torch.cat([X.real, X.imag]) if tangent.derivative == "complex" else X


# --- the Jacobian -----------------------------------------------------------------------------------------------------


@every_ansatz
def test_jacobian_is_that_of_autograd(name):
    ansatz, spins = make(name)
    tangent = Tangent(ansatz, spins)
    expected = reference(ansatz, spins)
    assert tangent.jacobian().dtype == expected.dtype == tangent.row_dtype
    torch.testing.assert_close(tangent.jacobian(), expected, **tolerance(ansatz))
    torch.testing.assert_close(tangent.jacobian(slice(2, 5)), tangent.jacobian()[2:5], rtol=0, atol=0)
    torch.testing.assert_close(tangent.log_psi, ansatz(spins).detach(), rtol=1e-13, atol=1e-13)
    assert expected.abs().max() > 0.03
    # No two samples have the same derivatives, unless the state is even under the symmetry that joins them.
    assert torch.linalg.matrix_rank(expected) > 1


@pytest.mark.parametrize("name", [name for name in BUILDERS if name != "rbm-float32"])
def test_jacobian_is_the_slope_of_log_psi(name):
    """Central differences along a random direction: error of second order, so 1/4 at half the step."""
    ansatz, spins = make(name)
    tangent, start = Tangent(ansatz, spins), flat_parameters(ansatz)
    direction = torch.randn(len(start), dtype=torch.float64, generator=generator()).to(start.dtype)
    if start.is_complex():
        direction = direction * torch.exp(1j * torch.arange(len(start)))
    direction /= direction.norm()
    slope, errors = tangent.apply(direction), []
    for step in (2e-2, 1e-2):
        values = []
        for sign in (1, -1):
            assign_flat(ansatz, start + sign * step * direction)
            values.append(ansatz.log_psi(spins).detach())
        change = values[0] - values[1]
        change = torch.complex(change.real, torch.remainder(change.imag + np.pi, 2 * np.pi) - np.pi) / (2 * step)
        nowhere = torch.isneginf(values[0].real)  # no state of the sector: no derivative
        errors.append((torch.where(nowhere, 0.0, change) - slope).abs().max().item())
        assert not slope[nowhere].any()
    # Where log psi is (almost) linear both errors are rounding.
    assert errors[1] < 1e-9 or errors[1] < 0.35 * errors[0]
    assert errors[1] < 0.02 * slope.abs().max()


# --- products and kernels ---------------------------------------------------------------------------------------------


@every_ansatz
def test_kernel_is_that_of_the_explicit_jacobian(name):
    ansatz, spins = make(name)
    tangent, weights = Tangent(ansatz, spins), weights_of(N)
    for given in (None, weights):
        X = explicit(tangent, given)
        kernel = tangent.kernel(given)
        assert kernel.shape == (tangent.n_rows, tangent.n_rows)
        assert kernel.dtype == tangent.parameter_dtype
        scale = float((X @ X.mH).abs().max())
        torch.testing.assert_close(kernel, X @ X.mH, rtol=0, atol=1e-12 * max(scale, tangent.kernel().abs().max()))
        torch.testing.assert_close(kernel, kernel.mH, rtol=0, atol=1e-13 * scale)
        assert scale > 1e-3
    # Centred: sqrt(w) is in the null space of every part.
    root = weights.sqrt().repeat(tangent.n_rows // N).to(kernel.dtype)
    assert (kernel @ root).abs().max() < 1e-12 * tangent.kernel().abs().max()


@every_ansatz
def test_products_with_vectors(name):
    ansatz, spins = make(name)
    tangent = Tangent(ansatz, spins)
    J = tangent.jacobian()
    v = torch.randn(tangent.n_parameters, dtype=torch.float64, generator=generator()).to(tangent.parameter_dtype)
    c = torch.randn(N, dtype=COMPLEX, generator=generator())
    if v.is_complex():
        v = v * (1 + 2j)
    torch.testing.assert_close(tangent.apply(v), J @ v.to(J.dtype), rtol=1e-12, atol=1e-12)
    back = J.mH.to(COMPLEX) @ c
    back = back if tangent.derivative == "holomorphic" else back.real
    torch.testing.assert_close(tangent.adjoint(c), back, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(tangent.adjoint(c.real), tangent.adjoint(c.real.to(COMPLEX)), rtol=1e-14, atol=1e-14)
    weights = weights_of(N)
    torch.testing.assert_close(tangent.mean(weights), weights.to(J.dtype) @ J, rtol=1e-12, atol=1e-12)


@every_ansatz
def test_every_chunk_gives_the_same(name):
    ansatz, spins = make(name)
    if name.startswith("own-loose"):
        # The layer that sees as many rows as there are samples in one pass is still no layer of the samples.
        assert any(isinstance(block, _tape.Explicit) for block in Tangent(ansatz, spins)._blocks)
    whole = Tangent(ansatz, spins, chunk=N)
    for chunk in (1, 3, None):
        tangent = Tangent(ansatz, spins, chunk=chunk)
        torch.testing.assert_close(tangent.jacobian(), whole.jacobian(), **tolerance(ansatz))
        torch.testing.assert_close(tangent.kernel(), whole.kernel(), **tolerance(ansatz))
        torch.testing.assert_close(tangent.log_psi, whole.log_psi, **tolerance(ansatz))


@pytest.mark.parametrize("name", ["own-twice-wide", "own-chain", "own-chain-complex", "own-causal", "short-complex"])
def test_small_blocks_give_the_same_kernel(name, monkeypatch):
    ansatz, spins = make(name, 21)
    tangent = Tangent(ansatz, spins)
    whole = tangent.kernel()
    monkeypatch.setattr(_tangent_kernel, "_BLOCK_BYTES", 4096)
    torch.testing.assert_close(tangent.kernel(), whole, rtol=1e-12, atol=1e-12)
    X = explicit(tangent)
    torch.testing.assert_close(whole, X @ X.mH, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("shape", "kernel_size"),
    [((7,), (7,)), ((8,), (4,)), ((6,), (1,)), ((4, 5), (4, 5)), ((5, 4), (3, 2)), ((3, 3, 4), (3, 2, 4))],
)
@pytest.mark.parametrize("kind", ["real", "phase", "complex", "complex-inputs"])
def test_correlations_are_sums_over_windows(shape, kernel_size, kind, monkeypatch):
    """By Fourier transforms and by gathering, for several rows a sample."""
    dtype = COMPLEX if kind.startswith("complex") else torch.float64
    layer = PeriodicConvolution(shape, kernel_size, 2, 3, dtype=dtype, scale=0.3, generator=generator())
    x = torch.randn(10, 2, *shape, dtype=COMPLEX if kind == "complex-inputs" else torch.float64, generator=generator())
    deltas = torch.randn(10, 3, *shape, dtype=torch.float64 if kind == "real" else COMPLEX, generator=generator())
    windows = layer.features(x).reshape(5, -1, layer.n_in)
    expected = layer.deltas(deltas).reshape(5, -1, 3).mT @ windows.to(deltas.dtype)
    for taps in (0, 10**6):
        monkeypatch.setattr(_tangent_contract, "_FOURIER_TAPS", taps)
        found = contract_convolution(layer, x, deltas, 5)
        torch.testing.assert_close(found, expected.flatten(1), rtol=1e-12, atol=1e-12)
    assert expected.abs().min() > 0


@pytest.mark.parametrize("name", ["translation-complex", "cnn", "cnn-small", "projected-cnn", "own-chain-complex"])
def test_jacobian_by_fourier_transforms(name, monkeypatch):
    ansatz, spins = make(name)
    monkeypatch.setattr(_tangent_contract, "_FOURIER_TAPS", 0)
    torch.testing.assert_close(Tangent(ansatz, spins).jacobian(), reference(ansatz, spins), rtol=1e-11, atol=1e-11)


def test_passes_are_cut_to_the_memory(monkeypatch):
    ansatz, spins = make("projected", 20)
    seen = []
    ansatz.ansatz.hidden.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0]) // 12))
    monkeypatch.setattr(_tape, "_PASS_BYTES", 7 * 12 * (8 * (6 + 12) + 8 * (6 + 1)))
    Tangent(ansatz, spins)
    assert seen == [1, 7, 7, 6]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("rbm-complex", {(1, 6, 12)}),
        ("rbm", {(1, 6, 12)}),
        ("own-twice-wide", {(4, 6, 90)}),
        ("own-chain", {(6, 27, 16)}),
        ("translation", set()),
        ("cnn", set()),
        ("projected", set()),
    ],
)
def test_what_is_smaller_is_kept(name, kept):
    """Factors where there are many weights, the product of the factors where there are many positions."""
    ansatz, spins = make(name)
    blocks = Tangent(ansatz, spins)._blocks
    factors = [block for block in blocks if isinstance(block, _tape.Factors)]
    shapes = {(*f.features.shape[1:], f.deltas.shape[2]) for f in factors}
    assert shapes == kept
    # Spins are real, also in a complex network; no block holds more numbers than its factors would.
    assert all(not f.features.is_complex() for f in factors if name.startswith("rbm"))


def test_kernel_of_an_rbm_is_the_formula():
    """K = S S^T + t t^H + (S S^T) * (t t^H)."""
    ansatz, spins = make("rbm-complex")
    S = spins.to(COMPLEX)
    t = torch.tanh(S @ ansatz.hidden.weight.detach().T + ansatz.hidden.bias.detach())
    expected = S @ S.T + t @ t.mH + (S @ S.T) * (t @ t.mH)
    torch.testing.assert_close(Tangent(ansatz, spins).kernel(), expected, rtol=1e-13, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 9, 40])
def test_any_number_of_samples(n):
    ansatz, spins = make("rbm-complex", n)
    tangent = Tangent(ansatz, spins)
    torch.testing.assert_close(tangent.kernel(), tangent.jacobian() @ tangent.jacobian().mH, rtol=1e-12, atol=1e-12)


def test_cost_counts_what_the_kernel_multiplies():
    ansatz, spins = make("rbm-complex")
    assert Tangent(ansatz, spins).kernel_cost == 6 + 12 + 6
    blocks = _tangent_kernel._rectangles(causal(6, 320))
    assert sum(len(out) * len(inner) for out, inner in blocks) == int(causal(6, 320).sum())
    assert len(blocks) <= 6
    # Masked units in blocks cost a fraction of their weights.
    ansatz, spins = make("own-causal-complex")
    assert Tangent(ansatz, spins).kernel_cost < 0.7 * int(causal(6, 320).sum())


def test_masked_weights_are_not_active():
    ansatz, spins = make("short")
    tangent = Tangent(ansatz, spins)
    assert len(tangent.active) == 12 * 3 + 12 + 6
    assert tangent.n_parameters == 12 * 6 + 12 + 6
    rest = torch.ones(tangent.n_parameters, dtype=torch.bool)
    rest[tangent.active] = False
    assert not tangent.jacobian()[:, rest].any()
    ansatz, spins = make("own-loose")
    assert len(Tangent(ansatz, spins).active) == ansatz.n_parameters


# --- the gradient of the energy ---------------------------------------------------------------------------------------


def every_configuration(n_sites):
    return torch.tensor(list(product([1, -1], repeat=n_sites)), dtype=torch.int8)


def energy_of(ansatz, H):
    """<H> from the whole vector, its local energies and weights."""
    with torch.no_grad():
        log_psi = ansatz.log_psi(every_configuration(ansatz.n_sites))
    psi = torch.exp(log_psi - log_psi.real.max())
    weights = psi.abs().square() / psi.abs().square().sum()
    image = H @ psi
    energies = torch.where(weights > 0, image / psi, 0.0)
    return float((psi.conj() @ image).real / psi.abs().square().sum()), energies, weights


@pytest.mark.parametrize("name", [name for name in BUILDERS if name != "rbm-float32"])
def test_gradient_of_the_energy(name):
    """Of a random complex Hermitian matrix, over all configurations, against central differences of <H>."""
    ansatz, _ = make(name)
    size = 2**ansatz.n_sites
    H = torch.randn(size, size, dtype=COMPLEX, generator=generator())
    H = (H + H.mH) / size**0.5
    _, energies, weights = energy_of(ansatz, H)
    spins = every_configuration(ansatz.n_sites)
    gradient = energy_gradient(Tangent(ansatz, spins), energies, weights)
    start = flat_parameters(ansatz)
    assert gradient.dtype == start.dtype
    for phase in (1, 1j) if start.is_complex() else (1,):
        direction = gradient / gradient.norm() + 0.3 * start / start.norm()
        direction = phase * direction
        values = []
        for move in (-2, -1, 1, 2):
            assign_flat(ansatz, start + 5e-4 * move * direction)
            values.append(energy_of(ansatz, H)[0])
        # Five points: the error is of fourth order, 1e-13 times a fifth derivative.
        slope = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / 6e-3
        expected = float((gradient.conj() * direction).sum().real)
        assert abs(slope - expected) < 1e-7 * max(1.0, float(gradient.norm()))
        assert phase == 1j or abs(expected) > 1e-3


# --- vectors of parameters --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rbm", "rbm-float32", "rbm-complex", "cnn", "transformer"])
def test_flat_parameters_go_there_and_back(name):
    ansatz, spins = make(name)
    flat, value = flat_parameters(ansatz), ansatz(spins).detach()
    assert flat.dtype == (COMPLEX if "complex" in name else torch.float64)
    assign_flat(ansatz, torch.zeros_like(flat))
    assert not any(parameter.any() for parameter in ansatz.parameters())
    assert all(parameter.requires_grad for parameter in ansatz.parameters())
    assign_flat(ansatz, flat)
    torch.testing.assert_close(ansatz(spins).detach(), value, rtol=0, atol=0)
    places = torch.cat([p.detach().flatten() for p in ansatz.parameters()])
    torch.testing.assert_close(flat.to(places.dtype), places, rtol=0, atol=0)
    flat[0] = 7.0  # a copy
    assert next(ansatz.parameters()).flatten()[0] != 7.0


def test_bad_vectors():
    ansatz, _ = make("rbm")
    with pytest.raises(ValueError, match=r"Argument `vector` must have shape \(90,\).*but it has \(89,\)"):
        assign_flat(ansatz, torch.zeros(89))
    with pytest.raises(
        ValueError, match=r"Argument `vector` must be real, as the parameters are, but it is torch.comp"
    ):
        assign_flat(ansatz, torch.zeros(90, dtype=COMPLEX))


# --- bad input --------------------------------------------------------------------------------------------------------


def test_bad_spins_and_chunks():
    ansatz, spins = make("rbm")
    with pytest.raises(ValueError, match=r"Argument `spins` must have shape \(n, 6\), but it is \(7, 5\)"):
        Tangent(ansatz, spins[:, 1:])
    with pytest.raises(ValueError, match="Argument `spins` must hold -1 and \\+1 only, but it holds -2"):
        Tangent(ansatz, 2 * spins)
    with pytest.raises(ValueError, match="Argument `spins` must hold at least one sample"):
        Tangent(ansatz, spins[:0])
    for chunk in (0, -3, 2.0, True):
        with pytest.raises(ValueError, match=f"Argument `chunk` must be an integer of at least 1 or None, .*{chunk}"):
            Tangent(ansatz, spins, chunk=chunk)


def test_bad_parameters():
    ansatz, spins = make("rbm")
    ansatz.hidden.bias.requires_grad_(False)
    with pytest.raises(ValueError, match=r"Argument `ansatz` must have no frozen parameter, but `hidden.bias` is"):
        Tangent(ansatz, spins)
    ansatz, spins = make("rbm")
    ansatz.derivative = "holomorphic"
    with pytest.raises(
        ValueError, match=r"must have complex parameters for the derivative 'holomorphic', but `.*float64"
    ):
        Tangent(ansatz, spins)
    ansatz.derivative = "analytic"
    with pytest.raises(
        ValueError, match=r"must have the derivative 'real', 'holomorphic' or 'complex', but .*'analytic'"
    ):
        Tangent(ansatz, spins)
    ansatz, spins = make("rbm-complex")
    ansatz.derivative = "real"
    with pytest.raises(ValueError, match=r"must have real parameters for the derivative 'real', but `.*complex128"):
        Tangent(ansatz, spins)
    shared = nn.Sequential(dense(6, 6), nn.Tanh(), dense(6, 6))
    shared[2].weight = shared[0].weight
    with pytest.raises(ValueError, match="must not share a weight between layers"):
        Tangent(Own(6, shared), spins)


def test_nothing_is_left_behind():
    """No hook, no gradient, no graph; and the mode of the caller does not matter."""
    ansatz, spins = make("own-loose")
    with torch.no_grad():
        tangent = Tangent(ansatz, spins)
    assert not any(module._forward_hooks for module in ansatz.modules())
    assert all(parameter.grad is None for parameter in ansatz.parameters())
    assert not tangent.log_psi.requires_grad
    assert not tangent.kernel().requires_grad
    torch.testing.assert_close(tangent.kernel(), Tangent(ansatz, spins).kernel(), rtol=0, atol=0)
    with pytest.raises(RuntimeError):  # and the hooks go also when the network fails
        Tangent(Own(6, nn.Sequential(dense(6, 4), dense(3, 2))), spins)
