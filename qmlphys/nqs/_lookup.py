"""Flip ratios of restricted Boltzmann machines in closed form: compiled on processors, in torch on other devices.

The algebra is told in `_rbm_kernels`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qmlphys.nqs import _rbm_kernels as kernels
from qmlphys.nqs.ansatz._base import RBMParameters

__all__ = ["MAX_EXPONENT", "Lookup", "Machine", "fits"]

# Natural logarithm that the product over one block of hidden units may reach; the square of e^250 is still a double.
MAX_EXPONENT = 250.0
# Factors below which further threads cost more than they save.
_SERIAL_WORK = 2**18
# Complex numbers in one temporary array of `log_ratios`: 256 MB.
_BLOCK = 2**24


def fits(parameters: RBMParameters, n_flips: int) -> bool:
    """Whether no factor of a hidden unit can overflow when `n_flips` sites are flipped.

    Parameters
    ----------
    parameters : RBMParameters
        On any device.
    n_flips : int
        Sites that are flipped together.

    Returns
    -------
    bool
        False as well where a weight is not finite.
    """
    return max(1, n_flips) * _exponent(parameters) <= MAX_EXPONENT


def _exponent(parameters: RBMParameters) -> float:
    """Return the largest |Re 2 W|, what one flip can add to the logarithm of one factor; nan if one is."""
    weight = parameters.weight
    return 2.0 * float(weight.real.abs().max()) if weight.numel() else 0.0


class Machine:
    """A restricted Boltzmann machine as the kernels read it.

    Parameters
    ----------
    parameters : RBMParameters
        On the processor, such that `fits` is true for all flips that are asked for.
    """

    def __init__(self, parameters: RBMParameters) -> None:
        weight = np.ascontiguousarray(parameters.weight.detach().numpy().T)
        hidden, visible = (array.detach().contiguous().numpy() for array in (parameters.hidden, parameters.visible))
        growth = np.exp(np.stack((-2.0 * weight, 2.0 * weight), axis=1))
        self._exponent = _exponent(parameters)
        self._is_complex = np.iscomplexobj(weight)
        self._arrays: tuple[NDArray[np.float64], ...] = (weight, hidden, visible, growth)
        if self._is_complex:
            apart = [np.stack((array.real, array.imag)) for array in (weight, hidden, visible)]
            self._arrays = (*apart, np.stack((growth.real, growth.imag), axis=2))

    def sweep(
        self,
        spins: NDArray[np.int8],
        *,
        sites: NDArray[np.int64],
        chosen: NDArray[np.int32],
        thresholds: NDArray[np.float64],
        exchange: bool,
    ) -> int:
        """Run Metropolis moves on all chains, in place.

        Parameters
        ----------
        spins : ndarray of int8, shape (n_chains, n_sites)
            Configurations; overwritten.
        sites : ndarray of int64, shape (n_moves, n_flips)
            Sites that each move flips.
        chosen : ndarray of int32, shape (n_chains, n_steps)
            The move that each chain proposes at each step.
        thresholds : ndarray of float64, shape (n_chains, n_steps)
            Logarithms of uniform random numbers: a proposal is taken where the threshold lies below
            log |psi(s') / psi(s)|^2.
        exchange : bool
            Whether a move of two sites is void where their spins are parallel.

        Returns
        -------
        int
            Number of accepted proposals.
        """
        kernel = kernels.sweep_complex if self._is_complex else kernels.sweep_real
        accepted = np.zeros(len(spins), dtype=np.int64)
        arrays = (*self._arrays, self._block(sites.shape[1]))

        def work(first: int, last: int) -> None:
            part = slice(first, last)
            kernel(spins[part], sites, chosen[part], thresholds[part], exchange, *arrays, accepted[part])

        _in_threads(work, len(spins), chosen.size * self._arrays[0].shape[-1])
        return int(accepted.sum())

    def log_ratios(self, spins: Tensor, sites: Tensor, wanted: Tensor) -> Tensor:
        """Return log psi(s') - log psi(s), without the sign structure.

        Parameters
        ----------
        spins : Tensor of int8, shape (n, n_sites)
            Configurations s.
        sites : Tensor of int64, shape (n_terms, n_flips)
            Flipped sites of each term, filled up with -1.
        wanted : Tensor of bool, shape (n, n_terms)
            What is to be computed.

        Returns
        -------
        Tensor of float64 or complex128, shape (n, n_terms)
            0 where nothing is wanted, or flipped.
        """
        kernel = kernels.ratios_complex if self._is_complex else kernels.ratios_real
        rows, chosen = spins.contiguous().numpy(), wanted.contiguous().numpy()
        out = np.zeros((*chosen.shape, 2) if self._is_complex else chosen.shape)
        moves = sites.contiguous().numpy()
        arrays = (*self._arrays, self._block(moves.shape[1]))

        def work(first: int, last: int) -> None:
            part = slice(first, last)
            kernel(rows[part], moves, chosen[part], *arrays, out[part])

        _in_threads(work, len(rows), chosen.size * self._arrays[0].shape[-1])
        result = torch.from_numpy(out)
        return torch.view_as_complex(result) if self._is_complex else result

    def _block(self, n_flips: int) -> int:
        """Hidden units whose product of factors stays a double when `n_flips` sites are flipped."""
        return int(MAX_EXPONENT / max(n_flips * self._exponent, 1e-6))


def _in_threads(work: Callable[[int, int], None], n: int, cost: int) -> None:
    """Call work(first, last) on pieces of range(n), on as many threads as torch may use; pieces share nothing."""
    n_threads = min(torch.get_num_threads(), n, max(1, cost // _SERIAL_WORK))
    if n_threads <= 1:
        work(0, n)
        return
    bounds = np.linspace(0, n, n_threads + 1).astype(int).tolist()
    with ThreadPoolExecutor(n_threads) as pool:
        for future in [pool.submit(work, *piece) for piece in pairwise(bounds)]:
            future.result()


class Lookup:
    """A restricted Boltzmann machine on any device, for all chains at once.

    Parameters
    ----------
    parameters : RBMParameters
        On any device, such that `fits` is true for all flips that are asked for.
    """

    def __init__(self, parameters: RBMParameters) -> None:
        self._weight, self._hidden = parameters.weight.detach(), parameters.hidden.detach()
        half = torch.exp(-2.0 * self._weight.T)
        # Site n_sites, the padding, is one more row: flipping it changes nothing.
        ones = torch.ones_like(half[:1])
        self._growth = torch.stack((torch.cat((half, ones)), torch.cat((1.0 / half, ones))), dim=1)
        self._visible = torch.cat((parameters.visible.detach(), torch.zeros_like(parameters.visible[:1])))

    def populations(self, spins: Tensor) -> tuple[Tensor, Tensor]:
        """Return p and q, each (n, n_hidden): exp(theta) and exp(-theta) over 2 cosh(theta)."""
        theta = spins.to(self._weight.dtype) @ self._weight.T + self._hidden
        positive = theta.real >= 0
        e = torch.exp(torch.where(positive, -2.0 * theta, 2.0 * theta))
        large = 1.0 / (1.0 + e)
        small = e * large
        return torch.where(positive, large, small), torch.where(positive, small, large)

    def flipped(self, spins: Tensor, sites: Tensor, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return log psi(s') - log psi(s) and the shares of p and q in the factors, which are their sums.

        Parameters
        ----------
        spins : Tensor, shape (n, n_sites)
            Configurations s.
        sites : Tensor of int64, shape (n, ..., n_flips)
            Flipped sites, filled up with -1.
        p, q : Tensor, shape (n, ..., n_hidden)
            Populations, as far as broadcasting is needed with axes of length 1.

        Returns
        -------
        logarithm : Tensor, shape (n, ...)
        p, q : Tensor, shape (n, ..., n_hidden)
        """
        padded = torch.cat((spins, torch.ones_like(spins[:, :1])), dim=1)
        where = torch.where(sites < 0, spins.shape[1], sites)
        values = padded.gather(1, where.flatten(1)).reshape(where.shape)
        logarithm = (-2.0 * values * self._visible[where]).sum(dim=-1)
        code = (values < 0).long()
        for k in range(sites.shape[-1]):
            p = p * self._growth[where[..., k], code[..., k]]
            q = q * self._growth[where[..., k], 1 - code[..., k]]
        return logarithm + torch.log(p + q).sum(dim=-1), p, q

    def log_ratios(self, spins: Tensor, sites: Tensor, wanted: Tensor) -> Tensor:
        """Do the same as `Machine.log_ratios`."""
        n_hidden, n_terms = len(self._hidden), len(sites)
        n_rows = max(1, _BLOCK // max(1, n_hidden * n_terms))
        n_columns = max(1, _BLOCK // max(1, n_hidden * n_rows))
        rows = []
        for part in spins.split(n_rows):
            p, q = (x[:, None, :] for x in self.populations(part))
            columns = [self.flipped(part, group.expand(len(part), -1, -1), p, q)[0] for group in sites.split(n_columns)]
            rows.append(torch.cat(columns, dim=1))
        return torch.where(wanted, torch.cat(rows), 0.0)
