"""Deep Boltzmann machines with two hidden layers, summed exactly."""

from __future__ import annotations

import math
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from qmlphys.nqs.ansatz._arguments import count, read_dtype, torch_generator
from qmlphys.nqs.ansatz._base import Ansatz
from qmlphys.nqs.ansatz._functions import log_amplitude, log_cosh
from qmlphys.nqs.ansatz._layers import Dense

__all__ = ["DBM", "MAX_ENUMERATED"]

MAX_ENUMERATED = 16
"""Units of a layer whose 2^16 configurations are still enumerated."""

# Arguments of hidden units that are held at a time, without gradients: 64 MB in complex128.
_BLOCK = 2**22


class DBM(Ansatz):
    """Deep Boltzmann machine: spins see hidden units h, which see deep units d; both are -1 or +1 and summed.

    psi(s) = sum over h and d of exp(a.s + b.h + c.d + h.W s + d.U h). One layer is summed analytically and the smaller
    one, of at most 16 units, by enumeration: with the deep units enumerated,
    psi(s) = exp(a.s) sum_d exp(c.d) prod_j 2 cosh(b_j + (W s)_j + (d U)_j). Real parameters give psi > 0.

    Parameters
    ----------
    n_sites : int
        Number of sites.
    n_hidden : int, keyword
        Units of the first hidden layer.
    n_deep : int, keyword
        Units of the second one.
    dtype : {"float64", "float32", "complex128"} or torch.dtype, keyword
        Of the parameters.
    visible_bias, hidden_bias, deep_bias : bool, keyword
        Whether a, b and c are there.
    scale : float, keyword
        Standard deviation of the initial weights; the biases begin at 0.
    rng : None, int or numpy Generator, keyword
        Source of the initial weights.

    Raises
    ------
    ValueError
        If a number is out of range; by `log_psi` if both layers have more than 16 units: such a machine of real
        parameters can only be sampled, with `amplitude_ratios` and `DeepGibbs`.

    Notes
    -----
    Gao and Duan, Nat. Commun. 8, 662 (2017): the second layer makes ground states of local Hamiltonians and rotated
    cluster states cheap that no machine of one layer is believed to hold with few units. Carleo, Nomura and Imada,
    Nat. Commun. 9, 5322 (2018): sampling them. A configuration costs 2^(enumerated units) times the units of the other
    layer; gradients keep all of it in memory, so train large machines with a small `chunk`.

    Examples
    --------
    >>> ansatz = DBM(4, n_hidden=6, n_deep=3, rng=0)
    >>> ansatz.n_parameters, ansatz(torch.ones(1, 4)).shape
    (55, torch.Size([1]))
    """

    def __init__(
        self,
        n_sites: int,
        *,
        n_hidden: int,
        n_deep: int,
        dtype: str | torch.dtype = "float64",
        visible_bias: bool = True,
        hidden_bias: bool = True,
        deep_bias: bool = True,
        scale: float = 0.05,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        super().__init__(n_sites)
        kind, generator = read_dtype(dtype), torch_generator(rng)
        self.derivative = "holomorphic" if kind.is_complex else "real"
        self.n_hidden, self.n_deep = count("n_hidden", n_hidden), count("n_deep", n_deep)
        self.hidden = Dense(n_sites, self.n_hidden, bias=hidden_bias, dtype=kind, scale=scale, generator=generator)
        self.deep_weight = nn.Parameter(
            scale * torch.randn(self.n_deep, self.n_hidden, dtype=kind, generator=generator)
        )
        self.deep_bias = nn.Parameter(torch.zeros(self.n_deep, dtype=kind)) if deep_bias else None
        self.visible = (
            Dense(n_sites, 1, bias=False, dtype=kind, scale=0.0, generator=generator) if visible_bias else None
        )

    @classmethod
    def from_parameters(
        cls,
        weight: ArrayLike,
        deep_weight: ArrayLike,
        *,
        visible: ArrayLike | None = None,
        hidden: ArrayLike | None = None,
        deep: ArrayLike | None = None,
    ) -> Self:
        """Return the machine with given parameters, in complex128 if any is complex and else in float64.

        Parameters
        ----------
        weight : array_like, shape (n_hidden, n_sites)
            W.
        deep_weight : array_like, shape (n_deep, n_hidden)
            U.
        visible : array_like, shape (n_sites,), optional, keyword
            a; without it there is no such bias, as with the next two.
        hidden : array_like, shape (n_hidden,), optional, keyword
            b.
        deep : array_like, shape (n_deep,), optional, keyword
            c.

        Raises
        ------
        ValueError
            If a shape does not fit or a number is not finite.

        Examples
        --------
        >>> DBM.from_parameters(np.zeros((2, 3)), np.zeros((1, 2)))(torch.ones(1, 3)).exp().real.round().item()
        8.0
        """
        arrays = {"weight": np.asarray(weight), "deep_weight": np.asarray(deep_weight)}
        if arrays["weight"].ndim != 2 or not arrays["weight"].size:
            raise ValueError(
                f"Argument `weight` must have shape (n_hidden, n_sites), but it is {arrays['weight'].shape}."
            )
        n_hidden, n_sites = arrays["weight"].shape
        n_deep = len(arrays["deep_weight"]) if arrays["deep_weight"].ndim else 0
        shapes: dict[str, tuple[int, ...]] = {"weight": (n_hidden, n_sites), "deep_weight": (n_deep, n_hidden)}
        for name, bias, size in (("visible", visible, n_sites), ("hidden", hidden, n_hidden), ("deep", deep, n_deep)):
            if bias is not None:
                arrays[name], shapes[name] = np.asarray(bias), (size,)
        for name, array in arrays.items():
            fits = array.dtype.kind in "iufc" and array.shape == shapes[name] and array.size
            if not fits or not np.isfinite(array).all():
                raise ValueError(
                    f"Argument `{name}` must hold finite numbers in the shape {shapes[name]}, but it has the shape "
                    f"{array.shape} and holds {array!r}."
                )
        is_complex = any(array.dtype.kind == "c" for array in arrays.values())
        ansatz = cls(
            n_sites,
            n_hidden=n_hidden,
            n_deep=n_deep,
            dtype="complex128" if is_complex else "float64",
            visible_bias=visible is not None,
            hidden_bias=hidden is not None,
            deep_bias=deep is not None,
            scale=0.0,
        )
        places = {
            "weight": ansatz.hidden.weight,
            "deep_weight": ansatz.deep_weight,
            "visible": None if ansatz.visible is None else ansatz.visible.weight,
            "hidden": ansatz.hidden.bias,
            "deep": ansatz.deep_bias,
        }
        with torch.no_grad():
            for name, array in arrays.items():
                place = places[name]
                if place is not None:
                    values = torch.from_numpy(array.astype(np.complex128 if is_complex else np.float64))
                    place.copy_(values.view_as(place))
        return ansatz

    def log_psi(self, spins: Tensor) -> Tensor:
        """Do the work of `forward` without its checks; samplers call this."""
        n_enumerated = min(self.n_hidden, self.n_deep)
        if n_enumerated > MAX_ENUMERATED:
            raise ValueError(
                f"Argument `n_hidden` or `n_deep` must be at most {MAX_ENUMERATED} for log psi, which enumerates one "
                f"layer, but they are {self.n_hidden} and {self.n_deep}; real machines can be sampled, with "
                "amplitude_ratios, gibbs_samples and gibbs_energy."
            )
        x = spins.to(self.hidden.weight.real.dtype)
        theta = self.hidden(x)
        total_width = max(self.n_hidden, self.n_deep) * max(1, len(x))
        size = max(1, min(1 << n_enumerated, _BLOCK // total_width))
        # The sum over a layer in pieces, each kept as its logarithm.
        logs = [
            self._partial(theta, torch.arange(first, min(first + size, 1 << n_enumerated), device=x.device))
            for first in range(0, 1 << n_enumerated, size)
        ]
        total = log_amplitude(logs[0] if len(logs) == 1 else _log_sum_exp(torch.stack(logs, dim=1)))
        return total if self.visible is None else total + self.visible(x).squeeze(1)

    def _partial(self, theta: Tensor, codes: Tensor) -> Tensor:
        """Return the logarithm of the sum over some configurations of the enumerated layer, shape (rows,)."""
        places = torch.arange(min(self.n_hidden, self.n_deep), device=theta.device)
        units = (1 - 2 * ((codes[:, None] >> places) & 1)).to(theta.dtype)
        if self.n_deep <= self.n_hidden:
            field = units @ self.deep_weight  # what the hidden units see of the deep ones
            logs = log_cosh(theta[:, None, :] + field).sum(2)
            return _log_sum_exp(logs if self.deep_bias is None else logs + units @ self.deep_bias)
        above = units @ self.deep_weight.mT
        logs = log_cosh(above if self.deep_bias is None else above + self.deep_bias).sum(1)
        return _log_sum_exp(logs + theta @ units.mT)


def _log_sum_exp(logs: Tensor) -> Tensor:
    """Return log sum exp over axis 1; a complex sum of exactly zero has the logarithm -inf and no derivative."""
    if not logs.is_complex():
        return torch.logsumexp(logs, dim=1)
    largest = logs.real.detach().amax(dim=1)
    largest = torch.where(torch.isfinite(largest), largest, 0.0)
    total = torch.exp(logs - largest[:, None]).sum(1)
    zero = total == 0
    return torch.where(zero, -math.inf, torch.log(torch.where(zero, 1.0, total)) + largest)
