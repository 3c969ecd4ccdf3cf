"""The Jastrow state: a factor for every pair of spins."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from qmlphys.nqs.ansatz._arguments import read_dtype, torch_generator
from qmlphys.nqs.ansatz._base import Ansatz
from qmlphys.nqs.ansatz._functions import log_amplitude
from qmlphys.nqs.ansatz._layers import Dense

__all__ = ["Jastrow"]


class Jastrow(Ansatz):
    """Jastrow state: log psi(s) = sum_i a_i s_i + sum_{i<j} J_ij s_i s_j.

    Jastrow, Phys. Rev. 98, 1479 (1955), for spins with a coupling of its own for each pair.

    Parameters
    ----------
    n_sites : int
        Number of sites, at least 2.
    bias : bool, keyword
        Whether a is there; without it the state is even under the flip of all spins.
    dtype : {"float64", "float32", "complex128"} or torch.dtype, keyword
        Of the parameters.
    scale : float, keyword
        Standard deviation of the initial couplings (a begins at 0); complex ones share it between both parts.
    rng : None, int or numpy Generator, keyword
        Source of the initial couplings.

    Examples
    --------
    >>> ansatz = Jastrow(4, rng=0)
    >>> ansatz.couplings().shape
    torch.Size([4, 4])
    """

    def __init__(
        self,
        n_sites: int,
        *,
        bias: bool = False,
        dtype: str | torch.dtype = "float64",
        scale: float = 0.01,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        super().__init__(n_sites)
        if n_sites < 2:
            raise ValueError(f"Argument `n_sites` must be at least 2 for a pair of spins, but it is {n_sites}.")
        kind, generator = read_dtype(dtype), torch_generator(rng)
        self.derivative = "holomorphic" if kind.is_complex else "real"
        # The j-th unit of this layer sums J_ij s_i over i < j; times s_j and summed it is the pairs' sum.
        pairs = torch.ones(n_sites, n_sites, dtype=torch.bool).tril(-1)
        self.pairs = Dense(n_sites, n_sites, bias=False, dtype=kind, scale=scale, mask=pairs, generator=generator)
        self.field = Dense(n_sites, 1, bias=False, dtype=kind, scale=0.0, generator=generator) if bias else None

    def log_psi(self, spins: Tensor) -> Tensor:
        """Do the work of `forward` without its checks; samplers call this."""
        x = spins.to(self.pairs.weight.real.dtype)
        total = (self.pairs(x) * x).sum(1)
        return log_amplitude(total if self.field is None else total + self.field(x).squeeze(1))

    def couplings(self) -> Tensor:
        """Return J, symmetric with zeros on the diagonal, shape (n_sites, n_sites), without gradients."""
        lower = self.pairs.effective_weight.detach()
        return lower + lower.T
