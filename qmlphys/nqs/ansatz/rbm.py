"""Restricted Boltzmann machines: dense, tied by translations, and of short range."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from qmlphys.lattices import Lattice
from qmlphys.nqs.ansatz._arguments import (
    Cells,
    count,
    graph_distances,
    hidden_units,
    read_dtype,
    read_lattice,
    torch_generator,
)
from qmlphys.nqs.ansatz._base import Ansatz, RBMParameters
from qmlphys.nqs.ansatz._functions import log_amplitude, log_cosh
from qmlphys.nqs.ansatz._layers import Dense, PeriodicConvolution

__all__ = ["RBM", "ShortRangeRBM", "TranslationRBM"]


class RBM(Ansatz):
    """Restricted Boltzmann machine: psi(s) = exp(sum_i a_i s_i) prod_m 2 cosh(b_m + sum_i W_mi s_i).

    Carleo and Troyer, Science 355, 602 (2017), Eq. (2), with the hidden spins summed. With real parameters psi > 0.
    Without biases it is even under the flip of all spins.

    Parameters
    ----------
    n_sites : int
        Number of sites.
    alpha : float, keyword
        Hidden units a site; alpha * n_sites must be a whole number.
    dtype : {"float64", "float32", "complex128"} or torch.dtype, keyword
        Of the parameters.
    visible_bias, hidden_bias : bool, keyword
        Whether a and b are there.
    scale : float, keyword
        Standard deviation of the initial weights (a and b begin at 0); complex ones share it between both parts.
    rng : None, int or numpy Generator, keyword
        Source of the initial weights.

    Raises
    ------
    ValueError
        If alpha gives no whole number of hidden units, or the dtype is another.

    Examples
    --------
    >>> ansatz = RBM(4, alpha=2, rng=0)
    >>> ansatz.n_parameters
    44
    >>> ansatz(torch.ones(1, 4)).shape
    torch.Size([1])
    """

    def __init__(
        self,
        n_sites: int,
        *,
        alpha: float = 1,
        dtype: str | torch.dtype = "float64",
        visible_bias: bool = True,
        hidden_bias: bool = True,
        scale: float = 0.05,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        super().__init__(n_sites)
        kind, generator = read_dtype(dtype), torch_generator(rng)
        self.derivative = "holomorphic" if kind.is_complex else "real"
        self.hidden = Dense(
            n_sites, hidden_units(alpha, n_sites), bias=hidden_bias, dtype=kind, scale=scale, generator=generator
        )
        self.visible = _field(n_sites, kind, generator) if visible_bias else None

    def log_psi(self, spins: Tensor) -> Tensor:
        """Do the work of `forward` without its checks; samplers call this."""
        return _log_psi(spins, self.hidden, self.visible)

    def rbm(self) -> RBMParameters:
        """Return the parameters, without gradients and at least in float64."""
        return _parameters(self.hidden, self.visible)


class ShortRangeRBM(Ansatz):
    """Restricted Boltzmann machine whose hidden units see a site and what lies around it.

    Such a state obeys an area law: Deng, Li, Das Sarma, Phys. Rev. X 7, 021021 (2017).

    Parameters
    ----------
    lattice : Lattice or int
        A lattice, or the number of sites of a ring.
    radius : int, keyword
        Edges from the unit's own site to the farthest that it sees, at least 0.
    alpha : int, keyword
        Hidden units a site.
    dtype, visible_bias, hidden_bias, scale, rng
        As for `RBM`.

    Examples
    --------
    >>> ansatz = ShortRangeRBM(6, radius=1, rng=0)
    >>> ansatz.hidden.effective_weight.count_nonzero().item()
    18
    """

    def __init__(
        self,
        lattice: Lattice | int,
        *,
        radius: int,
        alpha: int = 1,
        dtype: str | torch.dtype = "float64",
        visible_bias: bool = True,
        hidden_bias: bool = True,
        scale: float = 0.05,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        lattice = read_lattice(lattice)
        super().__init__(lattice.n_sites)
        kind, generator = read_dtype(dtype), torch_generator(rng)
        self.derivative = "holomorphic" if kind.is_complex else "real"
        seen = torch.from_numpy(graph_distances(lattice) <= count("radius", radius, least=0))
        self.hidden = Dense(
            lattice.n_sites,
            count("alpha", alpha) * lattice.n_sites,
            bias=hidden_bias,
            dtype=kind,
            scale=scale,
            mask=seen.repeat(alpha, 1),
            generator=generator,
        )
        self.visible = _field(lattice.n_sites, kind, generator) if visible_bias else None

    def log_psi(self, spins: Tensor) -> Tensor:
        """Do the work of `forward` without its checks; samplers call this."""
        return _log_psi(spins, self.hidden, self.visible)

    def rbm(self) -> RBMParameters:
        """Return the parameters, without gradients and at least in float64."""
        return _parameters(self.hidden, self.visible)


class TranslationRBM(Ansatz):
    """Restricted Boltzmann machine with the translations of a lattice: every filter is shifted to every cell.

    Carleo and Troyer, Science 355, 602 (2017), supplement. Invariant under all translations.

    Parameters
    ----------
    lattice : Lattice or int
        A periodic lattice, or the number of sites of a ring.
    alpha : float, keyword
        Hidden units a site; alpha times the sites of a cell must be a whole number, that of the filters.
    dtype, visible_bias, hidden_bias, scale, rng
        As for `RBM`; there is one visible bias a site of the cell and one hidden bias a filter.

    Examples
    --------
    >>> ansatz = TranslationRBM(6, alpha=2, rng=0)
    >>> ansatz.n_parameters, ansatz.rbm().weight.shape
    (15, torch.Size([12, 6]))
    """

    def __init__(
        self,
        lattice: Lattice | int,
        *,
        alpha: float = 1,
        dtype: str | torch.dtype = "float64",
        visible_bias: bool = True,
        hidden_bias: bool = True,
        scale: float = 0.05,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        lattice = read_lattice(lattice, periodic=True)
        super().__init__(lattice.n_sites)
        kind, generator = read_dtype(dtype), torch_generator(rng)
        self.derivative = "holomorphic" if kind.is_complex else "real"
        self.cells = Cells(lattice)
        self.hidden = PeriodicConvolution(
            self.cells.shape,
            self.cells.shape,
            self.cells.n_basis,
            hidden_units(alpha, self.cells.n_basis),
            bias=hidden_bias,
            dtype=kind,
            scale=scale,
            generator=generator,
        )
        self.visible = _field(self.cells.n_basis, kind, generator) if visible_bias else None

    def log_psi(self, spins: Tensor) -> Tensor:
        """Do the work of `forward` without its checks; samplers call this."""
        x = self.cells.split(spins.to(self.hidden.weight.real.dtype))
        hidden = log_cosh(self.hidden(x)).flatten(1).sum(1)
        if self.visible is not None:
            hidden = hidden + self.visible(x.flatten(2).sum(2)).squeeze(1)
        return log_amplitude(hidden)

    def rbm(self) -> RBMParameters:
        """Return the parameters of all shifted filters, without gradients and at least in float64."""
        weight = _at_least_double(self.hidden.dense_weight())
        n_cells, n_basis = self.cells.n_cells, self.cells.n_basis
        # The layer's columns run over (site in cell, cell), those of a configuration over (cell, site in cell).
        weight = weight.reshape(-1, n_basis, n_cells).transpose(1, 2).reshape(-1, self.n_sites)
        zero = weight.new_zeros
        hidden = zero(weight.shape[0])
        if self.hidden.bias is not None:
            hidden = _at_least_double(self.hidden.bias).repeat_interleave(n_cells)
        visible = zero(self.n_sites)
        if self.visible is not None:
            visible = _at_least_double(self.visible.weight[0]).repeat(n_cells)
        return RBMParameters(visible, weight, hidden, torch.ones(self.n_sites, dtype=torch.float64, device=self.device))


def _field(n_in: int, dtype: torch.dtype, generator: torch.Generator) -> Dense:
    """Return the visible bias as a layer, so that the natural gradient knows its structure; it begins at 0."""
    return Dense(n_in, 1, bias=False, dtype=dtype, scale=0.0, generator=generator)


def _log_psi(spins: Tensor, hidden: Dense, visible: Dense | None) -> Tensor:
    x = spins.to(hidden.weight.real.dtype)
    total = log_cosh(hidden(x)).sum(1)
    return log_amplitude(total if visible is None else total + visible(x).squeeze(1))


def _parameters(hidden: Dense, visible: Dense | None) -> RBMParameters:
    weight = _at_least_double(hidden.effective_weight)
    return RBMParameters(
        weight.new_zeros(weight.shape[1]) if visible is None else _at_least_double(visible.weight[0]),
        weight,
        weight.new_zeros(weight.shape[0]) if hidden.bias is None else _at_least_double(hidden.bias),
        torch.ones(weight.shape[1], dtype=torch.float64, device=weight.device),
    )


def _at_least_double(parameter: Tensor) -> Tensor:
    return parameter.detach().to(torch.promote_types(parameter.dtype, torch.float64))
