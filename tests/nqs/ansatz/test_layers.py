"""Structured layers against sums over sites, and the contract that the natural gradient reads."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from qmlphys.nqs.ansatz import Dense, PeriodicConvolution
from qmlphys.nqs.ansatz._functions import activation, log_cosh

CONVOLUTIONS = [
    ((5,), (5,), "float64"),
    ((6,), (3,), "float64"),
    ((6,), (4,), "complex128"),
    ((17,), (2,), "float64"),
    ((17,), (2,), "complex128"),
    ((3, 4), (3, 4), "complex128"),
    ((4, 5), (2, 3), "float64"),
    ((7, 8), (3, 2), "float64"),
    ((3, 3, 3), (2, 2, 3), "float64"),
    ((4, 4, 4), (2, 2, 2), "complex128"),
]


def convolution(shape, kernel, dtype, channels=(2, 3)):
    generator = torch.Generator().manual_seed(1)
    layer = PeriodicConvolution(shape, kernel, *channels, dtype=getattr(torch, dtype), scale=1.0, generator=generator)
    with torch.no_grad():
        layer.bias.copy_(torch.randn(channels[1], dtype=layer.bias.dtype, generator=generator))
    return layer


def inputs(shape, dtype, rows=4, channels=2):
    generator = torch.Generator().manual_seed(2)
    return torch.randn(rows, channels, *shape, dtype=getattr(torch, dtype), generator=generator)


def by_sums(layer, x):
    """The definition: y[o, p] = b[o] + sum over channels c and steps d of W[o, c, d] x[c, p + d]."""
    weight = layer.weight.detach().numpy().reshape(layer.channels_out, layer.channels_in, *layer.kernel_size)
    x = x.numpy()
    y = np.zeros((x.shape[0], layer.channels_out, *layer.shape), dtype=np.result_type(weight, x))
    for site in np.ndindex(*layer.shape):
        for tap in np.ndindex(*layer.kernel_size):
            there = tuple(
                (p + t - k // 2) % n for p, t, k, n in zip(site, tap, layer.kernel_size, layer.shape, strict=True)
            )
            y[(..., *site)] += x[(..., *there)] @ weight[(..., *tap)].T
        y[(..., *site)] += layer.bias.detach().numpy()
    return y


@pytest.mark.parametrize(("shape", "kernel", "dtype"), CONVOLUTIONS)
@pytest.mark.parametrize("real_input", [True, False])
def test_convolution_is_its_definition(shape, kernel, dtype, real_input):
    layer = convolution(shape, kernel, dtype)
    x = inputs(shape, "float64" if real_input else dtype)
    np.testing.assert_allclose(layer(x).detach().numpy(), by_sums(layer, x), rtol=1e-12, atol=1e-12)


def test_both_ways_of_convolution_are_tested():
    ways = {convolution(*arguments).is_dense for arguments in CONVOLUTIONS}
    assert ways == {True, False}


@pytest.mark.parametrize(("shape", "kernel", "dtype"), CONVOLUTIONS)
def test_features_and_deltas_of_convolution_give_the_derivatives(shape, kernel, dtype):
    layer = convolution(shape, kernel, dtype)
    x = inputs(shape, dtype)
    y = layer(x)
    target = torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(3))
    (y * target).real.sum().backward()
    features, deltas = layer.features(x), layer.deltas(target)
    assert features.shape == (4, np.prod(shape), layer.n_in)
    assert deltas.shape == (4, np.prod(shape), layer.n_out)
    # torch gives the conjugate of the derivative by complex numbers
    expected = torch.einsum("npo,npi->oi", deltas, features).conj()
    torch.testing.assert_close(layer.weight.grad, expected.resolve_conj(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(layer.bias.grad, deltas.sum((0, 1)).conj().resolve_conj(), rtol=1e-12, atol=1e-12)
    rebuilt = torch.nn.functional.linear(features, layer.effective_weight, layer.bias)
    torch.testing.assert_close(rebuilt, layer.deltas(y), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("positions", [None, 3])
def test_dense(dtype, positions):
    generator = torch.Generator().manual_seed(1)
    mask = torch.rand(4, 5, generator=generator) < 0.6
    layer = Dense(5, 4, dtype=getattr(torch, dtype), scale=0.7, mask=mask, generator=generator)
    x = torch.randn(*((6, 5) if positions is None else (6, positions, 5)), dtype=torch.float64, generator=generator)
    weight = layer.weight.detach().numpy().copy()
    assert np.all((weight == 0) == ~mask.numpy())
    with torch.no_grad():
        layer.weight.add_(1.0)  # weights behind the mask are never seen
    expected = x.numpy() @ np.where(mask.numpy(), weight + 1, 0).T
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-12, atol=1e-13)
    y = layer(x)
    y.real.sum().backward()
    ones = layer.deltas(torch.ones_like(y))
    expected = torch.einsum("npo,npi->oi", ones, layer.features(x)) * mask
    torch.testing.assert_close(layer.weight.grad, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_log_cosh(dtype):
    x = 3 * torch.randn(500, dtype=getattr(torch, dtype), generator=torch.Generator().manual_seed(0))
    x.requires_grad_()
    y = log_cosh(x)
    torch.testing.assert_close(y.exp(), 2 * x.cosh(), rtol=1e-12, atol=1e-13)
    (gradient,) = torch.autograd.grad(y.real.sum(), x)
    torch.testing.assert_close(gradient, x.detach().tanh().conj().resolve_conj(), rtol=1e-11, atol=1e-12)


def test_log_cosh_of_large_numbers():
    large = torch.tensor([-1e5, 1e5, 750.0, -750.0], dtype=torch.float64)
    assert torch.equal(log_cosh(large), large.abs())
    z = torch.complex(large, torch.tensor([1.0, 1.0, -2.0, -2.0], dtype=torch.float64)).requires_grad_()
    y = log_cosh(z)
    torch.testing.assert_close(y.real.detach(), large.abs(), rtol=1e-15, atol=0)
    torch.testing.assert_close(y.imag.detach(), torch.tensor([-1.0, 1.0, -2.0, 2.0]).double(), rtol=1e-15, atol=0)
    (gradient,) = torch.autograd.grad(y.real.sum(), z)
    torch.testing.assert_close(gradient, torch.sign(large).to(gradient.dtype), rtol=1e-15, atol=1e-15)


def test_log_cosh_near_its_zeros():
    """log 2 cosh (i pi/2 + e) = log(2i sinh e): no digits are lost in the modulus but those of pi/2 itself."""
    for e in (1e-3, 1e-6, 1e-9):
        z = torch.tensor([complex(e, np.pi / 2)], dtype=torch.complex128)
        exact = np.log(2 * np.sinh(e))  # cos(pi/2) in float64 is 6e-17
        assert abs(log_cosh(z).real.item() - exact) < 1e-12 + (1e-16 / e) ** 2


def test_activations():
    with pytest.raises(ValueError, match="'relu'"):
        activation("relu", torch.float64)
    for name, dtype in itertools.product(("log_cosh", "tanh"), (torch.float64, torch.complex128)):
        assert activation(name, dtype)(torch.ones(2, dtype=dtype)).dtype == dtype
