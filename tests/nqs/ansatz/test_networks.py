"""Deep networks against their formulas in NumPy, and their symmetries."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.special import erf

from qmlphys.lattices import square
from qmlphys.nqs.ansatz import CNN, MLP, Autoregressive, VisionTransformer

ACTIVATIONS = {
    "gelu": lambda x: x * (1 + erf(x / np.sqrt(2))) / 2,
    "log_cosh": lambda x: np.log(2 * np.cosh(x)),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * (np.exp(x) - 1)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "tanh": np.tanh,
}


def all_configurations(n_sites):
    rows = list(itertools.product([1, -1], repeat=n_sites))
    return torch.tensor(rows, dtype=torch.int8).flip(1)


def some_configurations(n_sites, n=30):
    return 1 - 2 * torch.randint(2, (n, n_sites), generator=torch.Generator().manual_seed(1))


def move_biases(ansatz):
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in ansatz.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, dtype=parameter.dtype, generator=generator)
    return ansatz


def numbers(layer):
    return layer.weight.detach().numpy(), layer.bias.detach().numpy()


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("phase", [False, True])
def test_mlp_formula(activation, phase):
    ansatz = move_biases(MLP(5, widths=(4, 3), activation=activation, phase=phase, rng=0))
    s = all_configurations(5)
    h = s.numpy()
    for layer in ansatz.hidden:
        weight, bias = numbers(layer)
        h = ACTIVATIONS[activation](h @ weight.T + bias)
    y = h @ ansatz.output.weight.detach().numpy().T
    expected = y[:, 0] + (1j * y[:, 1] if phase else 0)
    np.testing.assert_allclose(ansatz(s).detach().numpy(), expected, rtol=1e-12, atol=1e-13)


def test_mlp_refuses():
    for arguments, message in (
        ({"widths": ()}, "widths"),
        ({"widths": (3, 0)}, "widths"),
        ({"widths": (3,), "activation": "gelu", "dtype": "complex128"}, "holomorphic"),
        ({"widths": (3,), "activation": "tanh", "dtype": "complex128", "phase": True}, "phase"),
    ):
        with pytest.raises(ValueError, match=message):
            MLP(5, **arguments)


@pytest.mark.parametrize(("activation", "phase"), [("silu", False), ("tanh", True)])
def test_cnn_formula(activation, phase):
    ansatz = move_biases(CNN(6, channels=3, kernel_size=4, depth=3, activation=activation, phase=phase, rng=0))
    s = all_configurations(6)
    h = s.numpy()[:, None, :].astype(float)
    for number, layer in enumerate(ansatz.convolutions):
        weight, bias = numbers(layer)
        weight = weight.reshape(3, -1, 4)
        x = h if number == 0 else ACTIVATIONS[activation](h)
        # tap t of a kernel of 4 looks t - 2 sites on
        y = sum(np.einsum("oc,ncp->nop", weight[:, :, t], np.roll(x, 2 - t, axis=2)) for t in range(4))
        h = y + bias[:, None] + (0 if number == 0 else h)
    expected = np.log(2 * np.cosh(h)).sum((1, 2)).astype(complex)
    if phase:
        expected += 1j * ACTIVATIONS[activation](h).sum(2) @ ansatz.phase.weight.detach().numpy()[0]
    np.testing.assert_allclose(ansatz(s).detach().numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kernel_size", [3, (2, 4), None])
def test_cnn_is_invariant_under_translations(kernel_size):
    ansatz = move_biases(CNN(square(4), channels=3, kernel_size=kernel_size, depth=2, rng=0))
    spins = some_configurations(16)
    for axis in (1, 2):
        moved = spins.reshape(-1, 4, 4).roll(1, axis).reshape(-1, 16)
        torch.testing.assert_close(ansatz(moved), ansatz(spins), rtol=1e-12, atol=1e-12)
    assert (ansatz(spins.flip(1)) - ansatz(spins)).abs().max() > 1e-3, "reversal is no translation"


def test_cnn_without_biases_is_even():
    spins = some_configurations(8)
    even = CNN(8, channels=3, depth=3, activation="tanh", bias=False, scale=1.0, rng=0)
    torch.testing.assert_close(even(spins), even(-spins), rtol=1e-13, atol=1e-13)
    assert even(spins).real.std() > 0.1
    other = CNN(8, channels=3, depth=3, activation="silu", bias=False, scale=1.0, rng=0)
    assert (other(spins) - other(-spins)).abs().max() > 0.01


@pytest.mark.parametrize(("patch", "phase"), [(1, False), (2, True)])
def test_vision_transformer_is_invariant_under_translations_by_patches(patch, phase):
    ansatz = move_biases(
        VisionTransformer(square(4), patch=patch, d_model=6, n_heads=2, n_layers=2, phase=phase, scale=2.0, rng=0)
    )
    spins = some_configurations(16)
    value = ansatz(spins)
    assert value.real.std() > 0.1
    assert bool(value.imag.abs().max() > 0.1) == phase
    for axis in (1, 2):
        moved = [spins.reshape(-1, 4, 4).roll(step, axis).reshape(-1, 16) for step in (patch, 1)]
        torch.testing.assert_close(ansatz(moved[0]).exp(), value.exp(), rtol=1e-11, atol=1e-11)
        assert patch == 1 or (ansatz(moved[1]) - value).abs().max() > 1e-3


def test_vision_transformer_formula():
    """One head and one layer on a chain of four patches, with loops over patches."""
    ansatz = move_biases(VisionTransformer(8, patch=2, d_model=3, n_heads=1, n_layers=1, rng=0))
    spins = some_configurations(8, 5)

    def dense(layer, x):
        weight, bias = numbers(layer)
        return weight @ x + bias

    def normal(x):
        return (x - x.mean()) / np.sqrt(x.var() + 1e-5)

    (layer,) = ansatz.layers
    alpha = layer.heads[0].weight.detach().numpy()[0]  # tap t looks t - 2 patches on
    for row, value in zip(spins.numpy(), ansatz(spins).detach().numpy(), strict=True):
        x = [dense(ansatz.embedding, row[2 * p : 2 * p + 2]) for p in range(4)]
        v = [dense(layer.values, normal(y)) for y in x]
        x = [x[p] + dense(layer.mix, sum(alpha[t] * v[(p + t - 2) % 4] for t in range(4))) for p in range(4)]
        x = [y + dense(layer.narrow, ACTIVATIONS["gelu"](dense(layer.wide, normal(y)))) for y in x]
        z = dense(ansatz.output, normal(sum(x)))
        np.testing.assert_allclose(value, np.log(2 * np.cosh(z)).sum(), rtol=1e-12)


def test_vision_transformer_refuses():
    for arguments, message in (
        ({"patch": 3}, "patch"),
        ({"patch": 0}, "patch"),
        ({"d_model": 6, "n_heads": 4}, "d_model"),
        ({"dtype": "complex128"}, "dtype"),
        ({"n_layers": 0}, "n_layers"),
    ):
        with pytest.raises(ValueError, match=message):
            VisionTransformer(8, **arguments)


@pytest.mark.parametrize("phase", [False, True])
@pytest.mark.parametrize("widths", [(1,), (3, 2), (2, 3, 2)])
@pytest.mark.parametrize("n_sites", [1, 2, 7])
def test_autoregressive_is_normalised(n_sites, widths, phase):
    ansatz = move_biases(Autoregressive(n_sites, widths=widths, phase=phase, rng=0))
    probabilities = ansatz(all_configurations(n_sites)).exp().abs().square()
    assert abs(probabilities.sum().item() - 1) < 1e-12
    assert n_sites < 7 or probabilities.max() > 1.5 * probabilities.mean()


def test_conditionals_are_those_of_the_distribution():
    n = 6
    ansatz = move_biases(Autoregressive(n, widths=(3, 2), rng=0))
    spins = all_configurations(n)
    probability = ansatz(spins).exp().abs().square().detach().reshape((2,) * n)  # axes: site n-1 ... site 0
    found = ansatz.conditionals(spins).detach()
    for site in range(n):
        marginal = probability.sum(dim=tuple(range(n - 1 - site))) if site < n - 1 else probability
        for row, value in zip(spins.tolist(), found[:, site].tolist(), strict=True):
            before = tuple((1 - s) // 2 for s in row[:site])[::-1]
            up, down = marginal[(0, *before)].item(), marginal[(1, *before)].item()
            assert abs(value - up / (up + down)) < 1e-12
    changed = spins.clone()
    changed[:, 3:] *= -1
    assert torch.equal(ansatz.conditionals(changed)[:, :4], ansatz.conditionals(spins)[:, :4])
    assert (found[:, -1].max() - found[:, -1].min()) > 0.1, "the spins before do matter"


def test_autoregressive_sample():
    n, n_samples = 5, 40_000
    ansatz = move_biases(Autoregressive(n, widths=(3,), rng=0))
    probability = ansatz(all_configurations(n)).exp().abs().square().detach().numpy()
    spins = ansatz.sample(n_samples, rng=5)
    assert spins.dtype == torch.int8
    observed = np.bincount((((1 - spins.numpy().astype(int)) // 2) << np.arange(n)).sum(1), minlength=2**n)

    def chi_square(expected):
        return ((observed - n_samples * expected) ** 2 / (n_samples * expected)).sum()

    # 31 degrees of freedom: mean 31, standard deviation 7.9; five of them
    assert chi_square(probability) < 31 + 5 * 7.9
    assert chi_square(np.roll(probability, 1)) > 1000, "negative control"
    assert torch.equal(spins, ansatz.sample(n_samples, rng=5))
    assert torch.equal(
        ansatz.sample(9, torch.Generator().manual_seed(3)), ansatz.sample(9, torch.Generator().manual_seed(3))
    )
    assert ansatz.sample(0).shape == (0, n)
    with pytest.raises(ValueError, match="n_samples"):
        ansatz.sample(-1)
