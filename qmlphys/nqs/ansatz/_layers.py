"""Layers whose structure gives the natural gradient's kernel without a Jacobian.

Both are linear maps y = W x + b applied at one or more positions of an input. The derivative of log psi by W is the sum
over positions of (delta at the output) x (features of the input), so kernels of many samples are products of Gram
matrices; `qmlphys.nqs.tangent` reads `features` and the derivative by the output, and never sees W's Jacobian.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["Dense", "PeriodicConvolution"]

# A convolution is a dense product while at most this share of the product is with zeros; measured on CPUs, where a
# matrix product runs near the peak rate and gathering windows does not.
_MAX_SITES_PER_TAP = 6


class Dense(nn.Module):
    """Linear layer on the last axis: (rows, n_in) -> (rows, n_out), or (rows, positions, n_in) with shared weights.

    Parameters
    ----------
    n_in, n_out : int
        Sizes.
    bias : bool, keyword
        Whether there is one.
    dtype : torch.dtype, keyword
        float32, float64 or complex128.
    scale : float, keyword
        Standard deviation of the initial weights; complex ones share it between real and imaginary part.
    mask : Tensor of bool, shape (n_out, n_in), optional, keyword
        Weights that exist; the others are zero and have no derivative.
    generator : torch.Generator, keyword
        Source of the initial weights.
    """

    mask: Tensor | None

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        bias: bool = True,
        dtype: torch.dtype = torch.float64,
        scale: float,
        mask: Tensor | None = None,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.n_in, self.n_out = n_in, n_out
        weight = scale * torch.randn(n_out, n_in, dtype=dtype, generator=generator)
        if mask is not None:
            weight = weight * mask
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(n_out, dtype=dtype)) if bias else None
        self.register_buffer("mask", mask)

    @property
    def effective_weight(self) -> Tensor:
        """The weights, with zeros where the mask says so; shape (n_out, n_in)."""
        return self.weight if self.mask is None else self.weight * self.mask

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer."""
        return _linear(x, self.effective_weight, self.bias)

    def features(self, x: Tensor) -> Tensor:
        """Return the input as (rows, positions, n_in)."""
        return x.to(self.weight.dtype).reshape(x.shape[0], -1, self.n_in)

    def deltas(self, y: Tensor) -> Tensor:
        """Return something shaped like the output as (rows, positions, n_out)."""
        return y.reshape(y.shape[0], -1, self.n_out)


class PeriodicConvolution(nn.Module):
    """Convolution on a torus: (rows, channels_in, *shape) -> (rows, channels_out, *shape), at every site the same.

    Parameters
    ----------
    shape : sequence of int
        Of the lattice; up to three axes.
    kernel_size : sequence of int
        At most `shape` along each axis; the site itself is in the middle (of an even size, just after it).
    channels_in, channels_out : int
        Channels.
    bias, dtype, scale, generator
        As for `Dense`.
    """

    table: Tensor
    places: Tensor
    mask: None = None

    def __init__(
        self,
        shape: Sequence[int],
        kernel_size: Sequence[int],
        channels_in: int,
        channels_out: int,
        *,
        bias: bool = True,
        dtype: torch.dtype = torch.float64,
        scale: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.shape, self.kernel_size = tuple(shape), tuple(kernel_size)
        self.channels_in, self.channels_out = channels_in, channels_out
        self.n_positions, n_taps = math.prod(self.shape), math.prod(self.kernel_size)
        self.n_in, self.n_out = channels_in * n_taps, channels_out
        self.weight = nn.Parameter(scale * torch.randn(self.n_out, self.n_in, dtype=dtype, generator=generator))
        self.bias = nn.Parameter(torch.zeros(self.n_out, dtype=dtype)) if bias else None
        self.is_dense = self.n_positions <= _MAX_SITES_PER_TAP * n_taps
        # table[p, t]: the site that tap t of the window around site p looks at.
        sites = torch.arange(self.n_positions).reshape(self.shape)
        axes = tuple(range(len(self.shape)))
        steps = torch.cartesian_prod(*[torch.arange(k) - k // 2 for k in self.kernel_size]).reshape(n_taps, -1)
        table = torch.stack([torch.roll(sites, tuple((-step).tolist()), axes).reshape(-1) for step in steps], dim=1)
        self.register_buffer("table", table)
        self.register_buffer("places", self._find_places() if self.is_dense else table.new_empty(0), persistent=False)

    def _find_places(self) -> Tensor:
        """For each entry of the dense weight its place in the flattened weight, one past the end where it is zero."""
        n_taps = self.table.shape[1]
        taps = torch.full((self.n_positions, self.n_positions), -1)  # of the window around p, the tap that looks at q
        taps.scatter_(1, self.table, torch.arange(n_taps).expand_as(self.table))
        taps = taps[None, :, None, :]
        rows = torch.arange(self.channels_out)[:, None, None, None] * self.n_in
        places = rows + torch.arange(self.channels_in)[:, None] * n_taps + taps
        return torch.where(taps < 0, self.weight.numel(), places).reshape(-1)

    @property
    def effective_weight(self) -> Tensor:
        """The weights, shape (channels_out, channels_in * taps)."""
        return self.weight

    def dense_weight(self) -> Tensor:
        """Return the layer as a matrix on flattened arrays, (channels_out * positions, channels_in * positions).

        For layers with `is_dense` only: of others it would be mostly zeros.
        """
        flat = self.weight.reshape(-1)
        if self.table.shape[1] < self.n_positions:
            flat = torch.cat([flat, flat.new_zeros(1)])
        dense = flat.index_select(0, self.places)
        return dense.reshape(self.channels_out * self.n_positions, self.channels_in * self.n_positions)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer."""
        rows = x.shape[0]
        if self.is_dense:
            y = _linear(x.reshape(rows, self.channels_in * self.n_positions), self.dense_weight(), None)
            y = y.reshape(rows, self.channels_out, *self.shape)
            return y if self.bias is None else y + self.bias.reshape(-1, *[1] * len(self.shape))
        pads = [pad for k in reversed(self.kernel_size) for pad in (k // 2, (k - 1) // 2)]
        padded = nn.functional.pad(x.to(self.weight.dtype), pads, mode="circular")
        convolve = (nn.functional.conv1d, nn.functional.conv2d, nn.functional.conv3d)[len(self.shape) - 1]
        kernel = self.weight.reshape(self.channels_out, self.channels_in, *self.kernel_size)
        return convolve(padded, kernel, self.bias)

    def features(self, x: Tensor) -> Tensor:
        """Return the windows around all sites, shape (rows, positions, channels_in * taps)."""
        flat = x.to(self.weight.dtype).reshape(x.shape[0], self.channels_in, -1)
        windows = flat[:, :, self.table]  # (rows, channels_in, positions, taps)
        return windows.transpose(1, 2).reshape(x.shape[0], self.n_positions, self.n_in)

    def deltas(self, y: Tensor) -> Tensor:
        """Return something shaped like the output as (rows, positions, channels_out)."""
        return y.reshape(y.shape[0], self.channels_out, self.n_positions).transpose(1, 2)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """W x + b; of real x and complex W by one real product of twice the size, half the work of a complex one."""
    if x.is_complex() or not weight.is_complex():
        return nn.functional.linear(x.to(weight.dtype), weight, bias)
    parts = torch.view_as_real(weight)  # (n_out, n_in, 2)
    stacked = parts.transpose(1, 2).reshape(2 * weight.shape[0], weight.shape[1])
    y = nn.functional.linear(x.to(stacked.dtype), stacked)
    y = torch.view_as_complex(y.reshape(*y.shape[:-1], weight.shape[0], 2))
    return y if bias is None else y + bias
