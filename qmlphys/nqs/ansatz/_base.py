"""What all ansätze are: torch modules from spins to complex log amplitudes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["Ansatz", "RBMParameters", "check_spins"]

Derivative = Literal["real", "holomorphic", "complex"]


@dataclass(frozen=True, eq=False)
class RBMParameters:
    """A state as a restricted Boltzmann machine, for the samplers and local energies that know its closed forms.

    psi(s) = sign(s) exp(sum_i a_i s_i) prod_m 2 cosh(b_m + sum_i W_mi s_i), where flipping site i multiplies sign(s)
    by `signs[i]`.

    Parameters
    ----------
    visible : Tensor, shape (n_sites,)
        a, float64 or complex128.
    weight : Tensor, shape (n_hidden, n_sites)
        W, of the same dtype.
    hidden : Tensor, shape (n_hidden,)
        b, of the same dtype.
    signs : Tensor of float64, shape (n_sites,)
        -1 or +1.
    """

    visible: Tensor
    weight: Tensor
    hidden: Tensor
    signs: Tensor


class Ansatz(nn.Module, ABC):
    """A trial state: log psi of spin configurations.

    Abstract: subclasses are final, call ``super().__init__(n_sites)``, set `derivative`, and implement `log_psi`.

    Parameters
    ----------
    n_sites : int
        Number of sites.

    Attributes
    ----------
    derivative : {"real", "holomorphic", "complex"}
        What d log psi / d parameter is: "real" - real parameters, and log psi is real up to a phase that does not
        depend on them; "holomorphic" - complex parameters, of which log psi is a holomorphic function; "complex" -
        real parameters and a complex log psi.
    """

    derivative: Derivative

    def __init__(self, n_sites: int) -> None:
        super().__init__()
        if isinstance(n_sites, bool) or not isinstance(n_sites, int) or n_sites < 1:
            raise ValueError(f"Argument `n_sites` must be an integer of at least 1, but it is {n_sites!r}.")
        self.n_sites = n_sites

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the parameters."""
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @property
    def n_parameters(self) -> int:
        """Length of the flat parameter vector; complex numbers count once, and weights behind a mask count."""
        return sum(parameter.numel() for parameter in self.parameters())

    def forward(self, spins: Tensor) -> Tensor:
        """Return log psi of checked configurations.

        Parameters
        ----------
        spins : Tensor of -1 and +1, shape (n, n_sites)
            Configurations, of any real dtype.

        Returns
        -------
        Tensor of complex128, shape (n,)
            Logarithms of the amplitudes, which are not normalised; the imaginary part is the phase.

        Raises
        ------
        ValueError
            If the shape does not fit or a value is neither -1 nor +1.
        """
        check_spins(spins, self.n_sites)
        return self.log_psi(spins)

    @abstractmethod
    def log_psi(self, spins: Tensor) -> Tensor:
        """Do the work of `forward` without its checks; samplers call this."""

    def rbm(self) -> RBMParameters | None:
        """Return the state as a restricted Boltzmann machine, without gradients, or None if it is not one."""
        return None


def check_spins(spins: Tensor, n_sites: int) -> None:
    """Refuse what is no batch of spins.

    Parameters
    ----------
    spins : Tensor
        The candidate.
    n_sites : int
        Length of a configuration.

    Raises
    ------
    ValueError
        If the shape is not (n, n_sites) or a value is neither -1 nor +1.

    Examples
    --------
    >>> import torch
    >>> check_spins(torch.tensor([[1.0, -1.0, 0.5]]), 3)
    Traceback (most recent call last):
        ...
    ValueError: Argument `spins` must hold -1 and +1 only, but it holds 0.5.
    """
    if spins.ndim != 2 or spins.shape[1] != n_sites:
        raise ValueError(f"Argument `spins` must have shape (n, {n_sites}), but it is {tuple(spins.shape)}.")
    bad = spins.abs() != 1
    if bool(bad.any()):
        raise ValueError(f"Argument `spins` must hold -1 and +1 only, but it holds {spins[bad][0].item():g}.")
