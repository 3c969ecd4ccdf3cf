"""Fully connected networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from qmlphys.nqs.ansatz._arguments import count, read_dtype, torch_generator
from qmlphys.nqs.ansatz._base import Ansatz
from qmlphys.nqs.ansatz._functions import activation as read_activation
from qmlphys.nqs.ansatz._functions import log_amplitude
from qmlphys.nqs.ansatz._layers import Dense

__all__ = ["MLP"]


class MLP(Ansatz):
    """Multilayer perceptron: layers h_l = f(W_l h_(l-1) + b_l), then log psi = w h, linear.

    Cai and Liu, Phys. Rev. B 97, 035116 (2018); of one layer with f = log 2 cosh and w = 1 it is the
    restricted Boltzmann machine. With real weights and no phase psi > 0.

    Parameters
    ----------
    n_sites : int
        Number of sites.
    widths : sequence of int, keyword
        Units of each hidden layer, at least one layer.
    activation : {"gelu", "log_cosh", "selu", "silu", "tanh"}, keyword
        f; complex weights need a holomorphic one, "log_cosh" or "tanh".
    phase : bool, keyword
        Whether a second linear form of the last layer gives the phase of psi.
    dtype : {"float64", "float32", "complex128"} or torch.dtype, keyword
        Of the parameters.
    scale : float, keyword
        Initial weights have the standard deviation scale / sqrt(inputs of a unit); biases begin at 0.
    rng : None, int or numpy Generator, keyword
        Source of the initial weights.

    Raises
    ------
    ValueError
        If a width is not positive, the activation is not there or not holomorphic, or a phase is asked for beside
        complex weights, which have one.

    Examples
    --------
    >>> ansatz = MLP(6, widths=(8, 4), rng=0)
    >>> ansatz.n_parameters
    96
    >>> ansatz(torch.ones(3, 6)).shape
    torch.Size([3])
    """

    def __init__(
        self,
        n_sites: int,
        *,
        widths: Sequence[int],
        activation: str = "gelu",
        phase: bool = False,
        dtype: str | torch.dtype = "float64",
        scale: float = 1.0,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        super().__init__(n_sites)
        kind, generator = read_dtype(dtype), torch_generator(rng)
        if phase and kind.is_complex:
            raise ValueError("Argument `phase` must be False with complex weights, which have a phase, but it is True.")
        if len(widths) < 1:
            raise ValueError(f"Argument `widths` must hold at least one width, but it is {widths!r}.")
        self.derivative = "holomorphic" if kind.is_complex else "complex" if phase else "real"
        self.activation = read_activation(activation, kind)
        sizes = [n_sites, *(count("widths", width) for width in widths)]
        self.hidden = nn.ModuleList(
            Dense(n_in, n_out, dtype=kind, scale=scale / math.sqrt(n_in), generator=generator)
            for n_in, n_out in pairwise(sizes)
        )
        # A bias of the last form would be the norm of psi, or its global phase.
        self.output = Dense(
            sizes[-1],
            2 if phase else 1,
            bias=False,
            dtype=kind,
            scale=scale / math.sqrt(sizes[-1]),
            generator=generator,
        )

    def log_psi(self, spins: Tensor) -> Tensor:
        """Do the work of `forward` without its checks; samplers call this."""
        h = spins.to(self.output.weight.real.dtype)
        for layer in self.hidden:
            h = self.activation(layer(h))
        y = self.output(h)
        return log_amplitude(y[:, 0], y[:, 1] if y.shape[1] == 2 else None)
