"""Autoregressive network: normalised, and sampled without a Markov chain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from qmlphys.nqs.ansatz._arguments import count, read_dtype, torch_generator, uniforms
from qmlphys.nqs.ansatz._base import Ansatz
from qmlphys.nqs.ansatz._functions import activation as read_activation
from qmlphys.nqs.ansatz._functions import log_amplitude
from qmlphys.nqs.ansatz._layers import Dense

__all__ = ["Autoregressive"]


class Autoregressive(Ansatz):
    """Masked network with |psi(s)|^2 = prod_i p(s_i | s_0 ... s_(i-1)): normalised, whatever the parameters.

    Sharir et al., Phys. Rev. Lett. 124, 020503 (2020), with the masked layers of Germain et al. (MADE, ICML 2015) and a
    direct connection from the spins to the conditional probabilities.

    Parameters
    ----------
    n_sites : int
        Number of sites, which the conditionals go through in order.
    widths : sequence of int, keyword
        Hidden units a site in each hidden layer, at least one layer: layer l has widths[l] * n_sites units.
    activation : {"gelu", "log_cosh", "selu", "silu", "tanh"}, keyword
        Of the hidden layers.
    phase : bool, keyword
        Whether a network with one hidden layer of n_sites * widths[0] units gives the phase of psi; otherwise psi > 0.
    dtype : {"float64", "float32"} or torch.dtype, keyword
        Of the parameters, which are real.
    scale : float, keyword
        Initial weights have the standard deviation scale / sqrt(inputs of a unit); biases begin at 0.
    rng : None, int or numpy Generator, keyword
        Source of the initial weights.

    Examples
    --------
    >>> ansatz = Autoregressive(4, widths=(2,), rng=0)
    >>> every = torch.cartesian_prod(*[torch.tensor([1, -1])] * 4)
    >>> round(ansatz(every).exp().abs().square().sum().item(), 12)
    1.0
    >>> ansatz.sample(1000, rng=1).shape
    torch.Size([1000, 4])
    """

    def __init__(
        self,
        n_sites: int,
        *,
        widths: Sequence[int] = (4,),
        activation: str = "gelu",
        phase: bool = False,
        dtype: str | torch.dtype = "float64",
        scale: float = 0.5,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        super().__init__(n_sites)
        kind, generator = read_dtype(dtype, real=True), torch_generator(rng)
        if len(widths) < 1:
            raise ValueError(f"Argument `widths` must hold at least one width, but it is {widths!r}.")
        self.derivative = "complex" if phase else "real"
        self.activation = read_activation(activation, kind)
        sizes = [1, *(count("widths", width) for width in widths)]
        # Units belong to sites, site by site within each copy. Those of the first layer at site i see the spins before
        # i, as does the direct connection; later ones see units up to i.
        before = torch.ones(n_sites, n_sites, dtype=torch.bool).tril(-1)
        upto = torch.ones(n_sites, n_sites, dtype=torch.bool).tril()

        def masked(n_in: int, n_out: int, mask: Tensor, *, bias: bool = True) -> Dense:
            return Dense(
                n_in * n_sites,
                n_out * n_sites,
                bias=bias,
                dtype=kind,
                scale=scale / math.sqrt(n_in * (n_sites + 1) / 2),
                mask=mask.repeat(n_out, n_in),
                generator=generator,
            )

        self.hidden = nn.ModuleList(
            masked(n_in, n_out, before if layer == 0 else upto) for layer, (n_in, n_out) in enumerate(pairwise(sizes))
        )
        self.output = masked(sizes[-1], 1, upto)
        self.direct = masked(1, 1, before, bias=False) if n_sites > 1 else None
        self.phase_hidden = self.phase_output = None
        if phase:
            units = sizes[1] * n_sites
            self.phase_hidden = Dense(n_sites, units, dtype=kind, scale=scale / math.sqrt(n_sites), generator=generator)
            self.phase_output = Dense(
                units, 1, bias=False, dtype=kind, scale=scale / math.sqrt(units), generator=generator
            )

    def log_psi(self, spins: Tensor) -> Tensor:
        """Do the work of `forward` without its checks; samplers call this."""
        x = spins.to(self.dtype)
        # p(s_i | ...) = 1 / (1 + exp(-2 s_i y_i)), half of whose logarithm belongs to psi.
        modulus = 0.5 * nn.functional.logsigmoid(2 * x * self._fields(x)).to(torch.float64).sum(1)
        if self.phase_hidden is None or self.phase_output is None:
            return log_amplitude(modulus)
        return log_amplitude(modulus, self.phase_output(self.activation(self.phase_hidden(x))).squeeze(1))

    def conditionals(self, spins: Tensor) -> Tensor:
        """Return the probability of +1 at every site, given the spins before it.

        Parameters
        ----------
        spins : Tensor of -1 and +1, shape (n, n_sites)
            Configurations; the value at a site does not matter for it and those before it.

        Returns
        -------
        Tensor of the parameters' dtype, shape (n, n_sites)
        """
        return torch.sigmoid(2 * self._fields(spins.to(self.dtype)))

    @torch.no_grad()
    def sample(self, n_samples: int, rng: int | np.random.Generator | torch.Generator | None = None) -> Tensor:
        """Draw independent configurations from |psi|^2.

        Parameters
        ----------
        n_samples : int
            Number of configurations.
        rng : None, int, numpy Generator or torch Generator
            Source of one uniform number a spin.

        Returns
        -------
        Tensor of int8, shape (n_samples, n_sites)
        """
        u = uniforms(n_samples, self.n_sites, rng, self.device)
        spins = torch.ones(n_samples, self.n_sites, dtype=self.dtype, device=self.device)
        for site in range(self.n_sites):
            spins[:, site] = torch.where(u[:, site] < self.conditionals(spins)[:, site], 1, -1).to(self.dtype)
        return spins.to(torch.int8)

    def _fields(self, x: Tensor) -> Tensor:
        """Half the log odds of +1 at every site."""
        h = x
        for layer in self.hidden:
            h = self.activation(layer(h))
        y = self.output(h)
        return y if self.direct is None else y + self.direct(x)
