"""What holds for every ansatz: its derivative, its dtypes, its independence of the batch, refused input."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.func import functional_call, grad, vmap

from qmlphys.lattices import chain, honeycomb, square
from qmlphys.nqs.ansatz import (
    CNN,
    DBM,
    MLP,
    RBM,
    Autoregressive,
    Dense,
    Jastrow,
    Marshall,
    MPSAnsatz,
    ShortRangeRBM,
    Symmetrized,
    SymmetryGroup,
    TranslationRBM,
    VisionTransformer,
)
from qmlphys.nqs.constructions import GaussianRidge, SparseRBM

COMPLEX = {"dtype": "complex128"}
BIG = {"scale": 0.4, "rng": 1}
MAKERS = {
    "rbm": lambda: RBM(6, alpha=1.5, **BIG),
    "rbm complex": lambda: RBM(6, **COMPLEX, **BIG),
    "rbm no bias": lambda: RBM(6, visible_bias=False, hidden_bias=False, **BIG),
    "short rbm": lambda: ShortRangeRBM(square(3), radius=1, **COMPLEX, **BIG),
    "translation rbm": lambda: TranslationRBM(6, alpha=2, **BIG),
    "translation rbm complex": lambda: TranslationRBM(square(3), alpha=2, **COMPLEX, **BIG),
    "translation rbm honeycomb": lambda: TranslationRBM(honeycomb(3), alpha=1, **BIG),
    "sparse rbm": lambda: SparseRBM(6, [(0, 1, 2), (2, 3), (3, 4, 5), (5, 0)], **COMPLEX, **BIG),
    "gaussian ridge": lambda: GaussianRidge(6, sharpness=0.7, **BIG),
    "dbm": lambda: DBM(6, n_hidden=4, n_deep=3, **BIG),
    "dbm complex": lambda: DBM(6, n_hidden=4, n_deep=3, **COMPLEX, **BIG),
    "jastrow": lambda: Jastrow(6, bias=True, **BIG),
    "jastrow complex": lambda: Jastrow(6, **COMPLEX, **BIG),
    "marshall": lambda: Marshall(RBM(6, **BIG), 6),
    "cnn": lambda: CNN(8, channels=3, kernel_size=3, depth=3, **BIG),
    "cnn thin": lambda: CNN(14, channels=2, kernel_size=2, depth=2, activation="gelu", **BIG),
    "cnn thin complex": lambda: CNN(14, channels=2, kernel_size=2, depth=2, activation="tanh", **COMPLEX, **BIG),
    "cnn phase": lambda: CNN(square(3), channels=3, depth=2, phase=True, activation="tanh", **BIG),
    "cnn complex": lambda: CNN(square(3), channels=2, kernel_size=2, depth=2, activation="log_cosh", **COMPLEX, **BIG),
    "mlp": lambda: MLP(6, widths=(5, 4), activation="selu", rng=1),
    "mlp phase": lambda: MLP(6, widths=(5,), phase=True, rng=1),
    "mlp complex": lambda: MLP(6, widths=(5, 4), activation="tanh", **COMPLEX, rng=1),
    "vit": lambda: VisionTransformer(12, patch=3, d_model=6, n_heads=2, n_layers=2, rng=1),
    "vit phase": lambda: VisionTransformer(square(4), patch=2, d_model=4, n_heads=2, n_layers=1, phase=True, rng=1),
    "vit honeycomb": lambda: VisionTransformer(honeycomb(3), patch=1, d_model=4, n_heads=1, n_layers=1, rng=1),
    "autoregressive": lambda: Autoregressive(6, widths=(3, 2), rng=1),
    "autoregressive phase": lambda: Autoregressive(6, widths=(2,), activation="tanh", phase=True, rng=1),
    "mps": lambda: MPSAnsatz(7, bond=3, **BIG),
    "mps complex": lambda: MPSAnsatz(7, bond=3, **COMPLEX, **BIG),
    "mps ring": lambda: MPSAnsatz(6, bond=3, periodic=True, **BIG),
    "mps ring complex": lambda: MPSAnsatz(6, bond=2, periodic=True, **COMPLEX, **BIG),
    "symmetrized": lambda: Symmetrized(RBM(6, **BIG), SymmetryGroup.translations(6) * SymmetryGroup.point_group(6)),
    "symmetrized odd": lambda: Symmetrized(RBM(6, **BIG), SymmetryGroup.spin_flip(6, -1)),
    "symmetrized momentum": lambda: Symmetrized(RBM(6, **BIG), SymmetryGroup.translations(6, momentum=1)),
    "symmetrized marshall": lambda: Symmetrized(
        Marshall(RBM(6, **COMPLEX, **BIG), 6), SymmetryGroup.translations(6, momentum=3)
    ),
}
every = pytest.mark.parametrize("name", sorted(MAKERS))


@pytest.fixture
def ansatz(name):
    state = MAKERS[name]()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():  # biases begin at zero: move away from special points
        for parameter in state.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, dtype=parameter.dtype, generator=generator)
    return state


def configurations(ansatz, n=12, seed=3):
    """Random configurations on which the state does not vanish by symmetry."""
    generator = torch.Generator().manual_seed(seed)
    spins = (1 - 2 * torch.randint(2, (8 * n, ansatz.n_sites), generator=generator)).to(torch.int8)
    return spins[torch.isfinite(ansatz(spins).real)][:n]


def sample_gradients(ansatz, spins, part):
    """Derivatives sample by sample, as torch.func makes them."""
    parameters = {key: value.detach() for key, value in ansatz.named_parameters()}

    class Bare(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, spins):
            return self.inner.log_psi(spins)

    bare = Bare(ansatz)

    def value(parameters, row):
        named = {f"inner.{key}": p for key, p in parameters.items()}
        return getattr(functional_call(bare, named, (row[None],)), part).sum()

    return vmap(grad(value), in_dims=(None, 0))(parameters, spins.double())


@every
def test_derivative_by_finite_differences(name, ansatz):
    spins = configurations(ansatz)
    generator = torch.Generator().manual_seed(4)
    names = [key for key, _ in ansatz.named_parameters()]
    step = 1e-5
    gradients = {part: sample_gradients(ansatz, spins, part) for part in ("real", "imag")}
    for _ in range(3):
        move = {}
        for key, parameter in ansatz.named_parameters():
            move[key] = torch.randn(parameter.shape, dtype=parameter.dtype, generator=generator)

        def shifted(amount, move=move):
            named = {key: p.detach() + amount * move[key] for key, p in ansatz.named_parameters()}
            return functional_call(ansatz, named, (spins,))

        numeric = (shifted(step) - shifted(-step)) / (2 * step)
        change = torch.zeros(len(spins), dtype=torch.complex128)
        for part, unit in (("real", 1.0), ("imag", 1j)):
            for key in names:
                # Re <gradient, move>: what torch's conjugate convention means for complex parameters.
                change += unit * (gradients[part][key].conj() * move[key]).real.reshape(len(spins), -1).sum(1)
        assert change.abs().max() > 0.1
        # The central difference errs by step^2 times the third derivative, and by rounding over the step.
        torch.testing.assert_close(change, numeric, rtol=1e-6, atol=1e-6 * float(change.abs().max()))


@every
def test_kind_of_the_derivative(name, ansatz):
    spins = configurations(ansatz)
    real, imag = (sample_gradients(ansatz, spins, part) for part in ("real", "imag"))
    size = max(float(g.abs().max()) for g in real.values())
    assert size > 0.1
    for key, parameter in ansatz.named_parameters():
        assert parameter.is_complex() == (ansatz.derivative == "holomorphic"), key
        if ansatz.derivative == "real":
            assert imag[key].abs().max() <= 1e-12 * size, key
        elif ansatz.derivative == "holomorphic":
            # Cauchy-Riemann: with f holomorphic, torch's gradients of Re f and Im f are conj(f') and i conj(f').
            torch.testing.assert_close(imag[key], 1j * real[key], rtol=1e-9, atol=1e-11 * size)
    if ansatz.derivative == "complex":
        assert max(float(g.abs().max()) for g in imag.values()) > 1e-3


@every
def test_output(name, ansatz):
    spins = configurations(ansatz)
    value = ansatz(spins)
    assert value.dtype == torch.complex128
    assert value.shape == (12,)
    assert value.real.std() > 0.05
    assert torch.equal(value, ansatz(spins.float())), "any real dtype"
    with torch.no_grad():
        one_by_one = torch.cat([ansatz(row[None]) for row in spins])
    torch.testing.assert_close(value, one_by_one, rtol=1e-12, atol=1e-12)
    assert ansatz(spins[:0]).shape == (0,)


@every
def test_masked_weights_have_no_derivative(name, ansatz):
    masks = [m for m in ansatz.modules() if isinstance(m, Dense) and m.mask is not None]
    assert ansatz.n_parameters == sum(p.numel() for p in ansatz.parameters()) > 0
    assert bool(masks) == any(word in name for word in ("short", "jastrow", "autoregressive"))
    ansatz.log_psi(configurations(ansatz)).real.sum().backward()
    for layer in masks:
        assert not layer.mask.all()
        assert (layer.weight.grad[~layer.mask] == 0).all()


@every
def test_seed(name):
    first, second = MAKERS[name](), MAKERS[name]()
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


@every
def test_state_dict_round_trip(name, ansatz, tmp_path):
    torch.save(ansatz.state_dict(), tmp_path / "state.pt")
    other = MAKERS[name]()
    spins = configurations(ansatz)
    assert not torch.equal(other(spins), ansatz(spins))
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(other(spins), ansatz(spins))


@every
def test_everything_moves_to_another_device(name, ansatz):
    """The meta device computes shapes only, but refuses tensors that were left on the CPU, as CUDA would."""
    spins = configurations(ansatz)
    moved = ansatz.to("meta")
    value = moved.log_psi(spins.to("meta"))
    assert value.device.type == "meta"
    assert value.shape == (12,)
    value.real.sum().backward()


@every
def test_bad_spins(name, ansatz):
    with pytest.raises(ValueError, match="shape"):
        ansatz(torch.ones(2, ansatz.n_sites + 1))
    spins = torch.ones(2, ansatz.n_sites)
    spins[1, 0] = 0
    with pytest.raises(ValueError, match="holds 0"):
        ansatz(spins)


@every
def test_rbm_closed_form(name, ansatz):
    form = ansatz.rbm()
    if form is None:
        assert "rbm" not in name
        return
    spins = configurations(ansatz).double()
    theta = form.hidden + spins.to(form.weight.dtype) @ form.weight.T
    sign = torch.where(spins < 0, form.signs, 1.0).prod(1)
    psi = sign * torch.exp(spins.to(form.visible.dtype) @ form.visible) * (2 * torch.cosh(theta)).prod(1)
    assert not form.weight.requires_grad
    assert form.weight.dtype in (torch.float64, torch.complex128)
    torch.testing.assert_close(ansatz(spins).exp(), psi.to(torch.complex128), rtol=1e-11, atol=0)


def all_configurations(n_sites):
    rows = list(itertools.product([1, -1], repeat=n_sites))
    return torch.tensor(rows, dtype=torch.int8).flip(1)  # site 0 has weight 1


def test_float32_follows_float64():
    double = RBM(6, rng=np.random.default_rng(5), scale=0.5)
    single = RBM(6, rng=0, dtype=torch.float32)
    single.load_state_dict({key: value.float() for key, value in double.state_dict().items()})
    spins = all_configurations(6)
    assert single.dtype == torch.float32
    # float32 has 24 bits
    torch.testing.assert_close(single(spins), double(spins), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: RBM(0), "n_sites"),
        (lambda: RBM(4, alpha=0.3), "alpha"),
        (lambda: RBM(4, dtype="int8"), "dtype"),
        (lambda: TranslationRBM(chain(6, periodic=False)), "periodic"),
        (lambda: Marshall(RBM(5), 5), "bipartite"),
        (lambda: Marshall(RBM(5), 6), "sites"),
        (lambda: Jastrow(1), "at least 2"),
        (lambda: CNN(6, kernel_size=7), "kernel_size"),
        (lambda: CNN(6, activation="gelu", dtype="complex128"), "holomorphic"),
        (lambda: CNN(6, activation="relu"), "activation"),
        (lambda: CNN(6, activation="tanh", phase=True, dtype="complex128"), "phase"),
        (lambda: CNN(6, channels=0), "channels"),
        (lambda: ShortRangeRBM(6, radius=-1), "radius"),
        (lambda: Symmetrized(RBM(5), SymmetryGroup.translations(6)), "sites"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_wrong_lattice_type():
    with pytest.raises(TypeError, match="lattice"):
        CNN((3, 3))
