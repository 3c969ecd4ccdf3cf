"""Restricted Boltzmann machines that store only the connections that they have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from qmlphys.nqs.ansatz._arguments import count, read_dtype, torch_generator
from qmlphys.nqs.ansatz._base import Ansatz, RBMParameters
from qmlphys.nqs.ansatz._functions import log_amplitude, log_cosh

__all__ = ["SparseRBM"]


class SparseRBM(Ansatz):
    """Restricted Boltzmann machine with a given list of connections.

    psi(s) = exp(sum_i a_i s_i) prod_m 2 cosh(b_m + sum_i W_mi s_i), where the sum runs over the sites of unit m. The
    same state as an `RBM` whose other weights are zero, but they are neither stored nor trained: the number of
    parameters is that of the connections and biases.

    Parameters
    ----------
    n_sites : int
        Number of sites.
    connections : sequence of sequences of int
        For each hidden unit the sites that it sees, at least one, each once. There may be no unit at all.
    visible_bias, hidden_bias : bool, keyword
        Whether a and b are there.
    dtype : {"float64", "float32", "complex128"} or torch.dtype, keyword
        Of the parameters.
    scale : float, keyword
        Standard deviation of the initial weights (a and b begin at 0); complex ones share it between both parts.
    rng : None, int or numpy Generator, keyword
        Source of the initial weights.

    Raises
    ------
    ValueError
        If a site does not exist, comes twice in a unit, a unit sees none, or there would be no parameter at all.

    Examples
    --------
    >>> ansatz = SparseRBM(4, [(0, 1), (1, 2), (2, 3)], rng=0)
    >>> ansatz.n_parameters, ansatz.rbm().weight.count_nonzero().item()
    (13, 6)
    """

    units: Tensor
    sites: Tensor

    def __init__(
        self,
        n_sites: int,
        connections: Sequence[Sequence[int]],
        *,
        visible_bias: bool = True,
        hidden_bias: bool = True,
        dtype: str | torch.dtype = "float64",
        scale: float = 0.05,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        super().__init__(n_sites)
        kind, generator = read_dtype(dtype), torch_generator(rng)
        rows = [_checked_unit(unit, n_sites) for unit in connections]
        if not rows and not visible_bias:
            raise ValueError("Argument `connections` must hold a hidden unit where there is no visible bias.")
        self.derivative = "holomorphic" if kind.is_complex else "real"
        self.n_hidden = len(rows)
        units = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
        sites = np.array([site for row in rows for site in row], dtype=np.int64)
        # Geometry, not state: it is made anew by the constructor.
        self.register_buffer("units", torch.from_numpy(units.astype(np.int64)), persistent=False)
        self.register_buffer("sites", torch.from_numpy(sites), persistent=False)
        self.weight = nn.Parameter(scale * torch.randn(len(sites), dtype=kind, generator=generator))
        self.hidden = nn.Parameter(torch.zeros(self.n_hidden, dtype=kind)) if hidden_bias and rows else None
        self.visible = nn.Parameter(torch.zeros(n_sites, dtype=kind)) if visible_bias else None

    @classmethod
    def from_parameters(
        cls,
        n_sites: int,
        connections: Sequence[Sequence[int]],
        *,
        weights: ArrayLike,
        hidden: ArrayLike | None = None,
        visible: ArrayLike | None = None,
    ) -> Self:
        """Return the machine with given parameters, in complex128 if any is complex and else in float64.

        Parameters
        ----------
        n_sites : int
            Number of sites.
        connections : sequence of sequences of int
            For each hidden unit the sites that it sees.
        weights : array_like, shape (number of connections,), keyword
            W, unit after unit in the order of `connections`.
        hidden : array_like, shape (n_hidden,), optional, keyword
            b; without it there is no hidden bias.
        visible : array_like, shape (n_sites,), optional, keyword
            a; without it there is no visible bias.

        Raises
        ------
        ValueError
            If a shape does not fit or a number is not finite.

        Examples
        --------
        >>> ansatz = SparseRBM.from_parameters(2, [(0, 1)], weights=[0.5, -0.5])
        >>> ansatz(torch.tensor([[1, 1]])).exp().real.item()
        2.0
        """
        arrays = {"weights": np.asarray(weights)}
        arrays |= {} if hidden is None else {"hidden": np.asarray(hidden)}
        arrays |= {} if visible is None else {"visible": np.asarray(visible)}
        is_complex = any(array.dtype.kind == "c" for array in arrays.values())
        ansatz = cls(
            n_sites,
            connections,
            visible_bias=visible is not None,
            hidden_bias=hidden is not None,
            dtype="complex128" if is_complex else "float64",
            scale=0.0,
        )
        found = {"weights": ansatz.weight, "hidden": ansatz.hidden, "visible": ansatz.visible}
        with torch.no_grad():
            for name, array in arrays.items():
                parameter = found[name]
                shape = (0,) if parameter is None else tuple(parameter.shape)
                if array.shape != shape or array.dtype.kind not in "iufc" or not np.isfinite(array).all():
                    raise ValueError(
                        f"Argument `{name}` must hold {shape[0]} finite numbers, but it is {array!r} "
                        f"of shape {array.shape}."
                    )
                if parameter is not None:
                    parameter.copy_(torch.from_numpy(array.astype(np.complex128 if is_complex else np.float64)))
        return ansatz

    def log_psi(self, spins: Tensor) -> Tensor:
        """Do the work of `forward` without its checks; samplers call this."""
        x = spins.to(self.weight.real.dtype)
        theta = torch.zeros((x.shape[0], self.n_hidden), dtype=self.weight.dtype, device=x.device)
        theta = theta.index_add(1, self.units, x[:, self.sites] * self.weight)
        total = log_cosh(theta if self.hidden is None else theta + self.hidden).sum(1)
        if self.visible is not None:
            total = total + (x * self.visible).sum(1)
        return log_amplitude(total)

    def rbm(self) -> RBMParameters:
        """Return the parameters with a dense weight, without gradients and at least in float64."""
        kind = torch.promote_types(self.dtype, torch.float64)
        weight = torch.zeros((self.n_hidden, self.n_sites), dtype=kind, device=self.device)
        weight[self.units, self.sites] = self.weight.detach().to(kind)
        return RBMParameters(
            weight.new_zeros(self.n_sites) if self.visible is None else self.visible.detach().to(kind),
            weight,
            weight.new_zeros(self.n_hidden) if self.hidden is None else self.hidden.detach().to(kind),
            torch.ones(self.n_sites, dtype=torch.float64, device=self.device),
        )


def _checked_unit(unit: Sequence[int], n_sites: int) -> list[int]:
    """Return the sites of a hidden unit."""
    sites = [count("connections", site, least=0) for site in unit]
    if not sites or max(sites) >= n_sites or len(set(sites)) < len(sites):
        raise ValueError(
            f"Argument `connections` must hold for each hidden unit distinct sites from 0 to {n_sites - 1}, "
            f"but it holds {tuple(unit)!r}."
        )
    return sites
