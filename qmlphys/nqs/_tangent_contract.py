"""Sums over positions of delta (x) features: the derivatives by a layer's weights, multiplied out."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from qmlphys.nqs.ansatz._layers import PeriodicConvolution

__all__ = ["contract", "contract_convolution", "product"]

# Taps from which Fourier transforms cost less than gathering the windows.
_FOURIER_TAPS = 12


def product(left: Tensor, right: Tensor) -> Tensor:
    """Matrix product; where only one factor is complex it takes two real products, not the four of a cast."""
    if left.is_complex() == right.is_complex():
        return left @ right
    if right.is_complex():
        return torch.complex(left @ right.real, left @ right.imag)
    return torch.complex(left.real @ right, left.imag @ right)


def contract(features: Tensor, deltas: Tensor) -> Tensor:
    """Multiply out the derivatives by all weights of a layer.

    Parameters
    ----------
    features : Tensor, shape (n, positions, n_in)
        Inputs.
    deltas : Tensor, shape (n, positions, n_out)
        Derivatives by the outputs.

    Returns
    -------
    Tensor, shape (n, n_out * n_in)
        Sums over positions, in the order of the flattened weight.
    """
    if features.shape[1] == 1:
        return (deltas.mT * features).flatten(1)
    return product(deltas.mT, features).flatten(1)


def contract_convolution(layer: PeriodicConvolution, x: Tensor, deltas: Tensor, n: int) -> Tensor:
    """Multiply out the derivatives by all weights of a convolution, without its windows where they are wide.

    The derivative by a tap is the correlation of deltas and inputs at the tap's distance, so Fourier transforms give
    those of all taps at once.

    Parameters
    ----------
    layer : PeriodicConvolution
        The layer.
    x : Tensor, shape (n * k, channels_in, *shape)
        Inputs, k rows a sample.
    deltas : Tensor, shape (n * k, channels_out, *shape)
        Derivatives by the outputs.
    n : int
        Samples.

    Returns
    -------
    Tensor, shape (n, channels_out * channels_in * taps)
        Sums over rows and positions, in the order of the flattened weight.
    """
    c_in, c_out, (sites, taps) = layer.channels_in, layer.channels_out, layer.table.shape
    k = len(x) // n
    if taps < _FOURIER_TAPS:
        # With the channels innermost the gather copies stretches, not single numbers.
        windows = x.reshape(n * k, c_in, sites).mT.contiguous().index_select(1, layer.table.flatten())
        outer = deltas.reshape(n, k, c_out, sites).transpose(1, 2).reshape(n, c_out, k * sites)
        found = product(outer, windows.view(n, k * sites, taps * c_in))
        return found.view(n, c_out, taps, c_in).transpose(2, 3).flatten(1)
    axes = tuple(range(2, 2 + len(layer.shape)))
    if deltas.is_complex():
        outer, inner = torch.fft.fftn(deltas.conj(), dim=axes), torch.fft.fftn(x, dim=axes)
    else:
        outer, inner = torch.fft.rfftn(deltas, dim=axes), torch.fft.rfftn(x, dim=axes)
    waves = outer.shape[2:]
    outer = outer.conj().reshape(n, k, c_out, -1).permute(0, 3, 2, 1)
    inner = inner.reshape(n, k, c_in, -1).permute(0, 3, 1, 2)
    spectrum = (outer @ inner).permute(0, 2, 3, 1).reshape(n, c_out * c_in, math.prod(waves)).unflatten(2, waves)
    if deltas.is_complex():
        found = torch.fft.ifftn(spectrum, dim=axes)
    else:
        found = torch.fft.irfftn(spectrum, s=layer.shape, dim=axes)
    # Row 0 of the table holds the distances of the taps, as sites seen from site 0.
    return found.flatten(2)[:, :, layer.table[0]].flatten(1)
