"""Convolutional networks on periodic lattices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from qmlphys.lattices import Lattice
from qmlphys.nqs.ansatz._arguments import Cells, count, read_dtype, read_lattice, torch_generator
from qmlphys.nqs.ansatz._base import Ansatz
from qmlphys.nqs.ansatz._functions import activation as read_activation
from qmlphys.nqs.ansatz._functions import log_amplitude, log_cosh
from qmlphys.nqs.ansatz._layers import Dense, PeriodicConvolution

__all__ = ["CNN"]


class CNN(Ansatz):
    """Periodic convolutional network, invariant under all translations of the lattice.

    Layers h_1 = C_1 s and h_l = h_(l-1) + C_l f(h_(l-1)), then log psi = sum over channels and sites of log 2 cosh h.
    The idea is that of Choo, Neupert, Carleo, Phys. Rev. B 100, 125124 (2019), with residual layers (He et
    al., 2016) and the closing log cosh of a restricted Boltzmann machine, which the network is at depth 1.

    Parameters
    ----------
    lattice : Lattice or int
        A periodic lattice, or the number of sites of a ring. Sites of a unit cell are channels of the input.
    channels : int, keyword
        Channels of every layer.
    kernel_size : int, sequence of int or None, keyword
        Cells that a filter covers along each axis, at most the lattice's; None covers the lattice.
    depth : int, keyword
        Number of convolutions.
    activation : {"gelu", "log_cosh", "selu", "silu", "tanh"}, keyword
        f; complex weights need a holomorphic one, "log_cosh" or "tanh".
    bias : bool, keyword
        Whether the convolutions have biases. Without them and with f = tanh, which is odd, psi is even under the flip
        of all spins (but for the phase).
    phase : bool, keyword
        Whether a second head, linear in f of the last layer, gives the phase of psi; otherwise real weights give
        psi > 0.
    dtype : {"float64", "float32", "complex128"} or torch.dtype, keyword
        Of the parameters.
    scale : float, keyword
        Initial weights have the standard deviation scale / sqrt(inputs of a unit); biases begin at 0.
    rng : None, int or numpy Generator, keyword
        Source of the initial weights.

    Raises
    ------
    ValueError
        If the lattice is open, a kernel is larger than it, the activation is not there or not holomorphic, or a phase
        is asked for beside complex weights, which have one.

    Examples
    --------
    >>> ansatz = CNN(8, channels=4, kernel_size=3, depth=2, rng=0)
    >>> ansatz.n_parameters
    68
    >>> spins = torch.ones(1, 8).index_fill_(1, torch.tensor([2, 3]), -1)
    >>> torch.allclose(ansatz(spins), ansatz(spins.roll(1, 1)))
    True
    """

    def __init__(
        self,
        lattice: Lattice | int,
        *,
        channels: int = 8,
        kernel_size: int | Sequence[int] | None = None,
        depth: int = 2,
        activation: str = "tanh",
        bias: bool = True,
        phase: bool = False,
        dtype: str | torch.dtype = "float64",
        scale: float = 0.3,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        lattice = read_lattice(lattice, periodic=True)
        super().__init__(lattice.n_sites)
        kind, generator = read_dtype(dtype), torch_generator(rng)
        if phase and kind.is_complex:
            raise ValueError("Argument `phase` must be False with complex weights, which have a phase, but it is True.")
        self.derivative = "holomorphic" if kind.is_complex else "complex" if phase else "real"
        self.activation = read_activation(activation, kind)
        self.cells = Cells(lattice)
        kernel = _read_kernel(kernel_size, self.cells.shape)
        n_channels = [self.cells.n_basis] + [count("channels", channels)] * count("depth", depth)
        self.convolutions = nn.ModuleList(
            PeriodicConvolution(
                self.cells.shape,
                kernel,
                n_in,
                channels,
                bias=bias,
                dtype=kind,
                scale=scale / math.sqrt(n_in * math.prod(kernel)),
                generator=generator,
            )
            for n_in in n_channels[:-1]
        )
        self.phase = None
        if phase:
            self.phase = Dense(channels, 1, bias=False, dtype=kind, scale=scale / channels, generator=generator)

    def log_psi(self, spins: Tensor) -> Tensor:
        """Do the work of `forward` without its checks; samplers call this."""
        first, *others = cast("list[PeriodicConvolution]", list(self.convolutions))
        h = first(self.cells.split(spins.to(first.weight.real.dtype)))
        for layer in others:
            h = h + layer(self.activation(h))
        modulus = log_cosh(h).flatten(1).sum(1)
        if self.phase is None:
            return log_amplitude(modulus)
        return log_amplitude(modulus, self.phase(self.activation(h).flatten(2).sum(2)).squeeze(1))


def _read_kernel(kernel_size: int | Sequence[int] | None, shape: tuple[int, ...]) -> tuple[int, ...]:
    if kernel_size is None:
        return shape
    sizes = [kernel_size] * len(shape) if isinstance(kernel_size, int) else list(kernel_size)
    if len(sizes) != len(shape) or any(not 1 <= k <= n for k, n in zip(sizes, shape, strict=False)):
        raise ValueError(
            f"Argument `kernel_size` must lie between 1 and the number of cells along each axis, {shape}, "
            f"but it is {kernel_size!r}."
        )
    return tuple(count("kernel_size", k) for k in sizes)
