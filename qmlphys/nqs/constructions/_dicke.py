"""States whose amplitude is one nonlinear function of one number: Dicke states among them."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from qmlphys.nqs.ansatz._arguments import count, read_dtype, torch_generator
from qmlphys.nqs.ansatz._base import Ansatz
from qmlphys.nqs.ansatz._functions import log_amplitude
from qmlphys.nqs.ansatz._layers import Dense

__all__ = ["GaussianRidge", "dicke_ansatz"]


class GaussianRidge(Ansatz):
    """One scalar nonlinearity: psi(s) = exp(-sharpness (w.s + b)^2), which sees the spins only through w.s.

    Analytic and bounded for all real inputs.

    Parameters
    ----------
    n_sites : int
        Number of sites.
    sharpness : float, keyword
        Above 0; not trained.
    dtype : {"float64", "float32"} or torch.dtype, keyword
        Of the parameters.
    scale : float, keyword
        Standard deviation of the initial w; b begins at 0.
    rng : None, int or numpy Generator, keyword
        Source of the initial weights.

    Raises
    ------
    ValueError
        If the sharpness is not finite and above 0, or the dtype is another.

    Examples
    --------
    >>> ansatz = GaussianRidge(4, rng=0)
    >>> ansatz.n_parameters, ansatz(torch.ones(1, 4)).shape
    (5, torch.Size([1]))
    """

    derivative = "real"

    def __init__(
        self,
        n_sites: int,
        *,
        sharpness: float = 1.0,
        dtype: str | torch.dtype = "float64",
        scale: float = 0.05,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        super().__init__(n_sites)
        if isinstance(sharpness, bool) or not isinstance(sharpness, int | float) or not 0 < sharpness < math.inf:
            raise ValueError(f"Argument `sharpness` must be finite and above 0, but it is {sharpness!r}.")
        self.sharpness = float(sharpness)
        self.feature = Dense(
            n_sites, 1, dtype=read_dtype(dtype, real=True), scale=scale, generator=torch_generator(rng)
        )

    def log_psi(self, spins: Tensor) -> Tensor:
        """Do the work of `forward` without its checks; samplers call this."""
        y = self.feature(spins.to(self.dtype)).squeeze(1)
        return log_amplitude(-self.sharpness * y * y)


def dicke_ansatz(n_sites: int, k: int, *, sharpness: float = 100.0) -> GaussianRidge:
    """Return the Dicke state of n sites with k spins -1: one nonlinearity of the sum of all spins.

    psi(s) = exp(-sharpness y^2), where the integer y is k minus the number of spins -1. Outside of the sector the
    modulus is at most exp(-sharpness), 4e-44 by default, which no sum in double precision sees. k = 1 is the W state.

    Parameters
    ----------
    n_sites : int
        Number of sites.
    k : int
        Spins that are -1 (bits that are 1), 0 to `n_sites`.
    sharpness : float, keyword
        Above 0; from 40 on the state is exact in double precision.

    Returns
    -------
    GaussianRidge
        Real, with n + 1 parameters. Single flips have amplitude zero:
        sample with ``Metropolis(moves="exchange", magnetization=n_sites - 2 * k)``.

    Raises
    ------
    ValueError
        If a number is out of range.

    Notes
    -----
    Dicke, Phys. Rev. 93, 99 (1954). The entropy of a part grows as the logarithm of its size, and one nonlinearity is
    enough for that.

    Examples
    --------
    >>> w = dicke_ansatz(3, 1)
    >>> w(torch.tensor([[1, 1, 1], [-1, 1, 1], [1, -1, 1], [-1, -1, 1]])).exp().real.round(decimals=9).tolist()
    [0.0, 1.0, 1.0, 0.0]
    """
    n_sites, k = count("n_sites", n_sites), count("k", k, least=0)
    if k > n_sites:
        raise ValueError(f"Argument `k` must be at most the {n_sites} sites, but it is {k}.")
    ansatz = GaussianRidge(n_sites, sharpness=sharpness, scale=0.0)
    with torch.no_grad():
        ansatz.feature.weight.fill_(0.5)
        assert ansatz.feature.bias is not None  # noqa: S101 - for the type checker
        ansatz.feature.bias.fill_(k - n_sites / 2)
    return ansatz
