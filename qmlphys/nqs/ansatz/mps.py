"""Matrix product states as networks, to be trained and sampled as the others are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qmlphys.nqs.ansatz._arguments import count, read_dtype, torch_generator, uniforms
from qmlphys.nqs.ansatz._base import Ansatz
from qmlphys.nqs.ansatz._functions import log_amplitude
from qmlphys.nqs.ansatz._layers import Dense

__all__ = ["MPSAnsatz"]


class MPSAnsatz(Ansatz):
    """Matrix product state: psi(s) = l A_0[s_0] A_1[s_1] ... r, or the trace of the product on a ring.

    Sandvik and Vidal, Phys. Rev. Lett. 99, 220602 (2007). The product is taken from the left and rescaled at
    every site, so that chains of any length neither overflow nor underflow.

    Parameters
    ----------
    n_sites : int
        Number of sites, at least 2.
    bond : int, keyword
        Bond dimension, the same at all bonds but, on an open chain, where fewer states of the shorter side exist.
    periodic : bool, keyword
        Whether the last bond goes back to the first site; the cost is then `bond` times higher.
    dtype : {"float64", "float32", "complex128"} or torch.dtype, keyword
        Of the tensors.
    scale : float, keyword
        The state begins at A[s] = 1 + noise of this standard deviation: near the sum of all configurations.
    rng : None, int or numpy Generator, keyword
        Source of the noise.

    Examples
    --------
    >>> ansatz = MPSAnsatz(6, bond=4, rng=0)
    >>> [array.shape for array in ansatz.tensors()]
    [(1, 2, 2), (2, 2, 4), (4, 2, 4), (4, 2, 4), (4, 2, 2), (2, 2, 1)]
    """

    def __init__(
        self,
        n_sites: int,
        *,
        bond: int,
        periodic: bool = False,
        dtype: str | torch.dtype = "float64",
        scale: float = 0.1,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        super().__init__(n_sites)
        count("n_sites", n_sites, least=2)
        kind, generator = read_dtype(dtype), torch_generator(rng)
        bond = count("bond", bond)
        bonds = [bond] * (n_sites + 1)
        if not periodic:
            bonds = [min(bond, 2 ** min(i, n_sites - i, 62)) for i in range(n_sites + 1)]
        self._make(bonds, kind, scale, generator)
        with torch.no_grad():
            for layer in self._layers:
                blocks = layer.weight.view(layer.n_out, 2, layer.n_in // 2)
                blocks += torch.eye(layer.n_out, layer.n_in // 2)[:, None, :]

    def _make(self, bonds: Sequence[int], dtype: torch.dtype, scale: float, generator: torch.Generator) -> None:
        self.derivative = "holomorphic" if dtype.is_complex else "real"
        self.bonds = tuple(bonds)
        self.periodic = bonds[0] > 1
        # A site is a layer on (left vector if s = +1, left vector if s = -1): W[right, spin, left] = A[s][left, right].
        # So the natural gradient of the tensors needs no Jacobian.
        self.sites = nn.ModuleList(
            Dense(2 * left, right, bias=False, dtype=dtype, scale=scale, generator=generator)
            for left, right in pairwise(bonds)
        )

    @property
    def _layers(self) -> list[Dense]:
        return cast("list[Dense]", list(self.sites))

    @classmethod
    def from_tensors(cls, tensors: Sequence[NDArray]) -> Self:
        """Return the ansatz that holds given tensors, such as those of a state from DMRG.

        Parameters
        ----------
        tensors : sequence of ndarray, shape (left, 2, right) each
            A[left, bit, right], bit 0 is spin +1; the last right bond is the first left bond (1 on an open chain).

        Raises
        ------
        ValueError
            If the bonds do not fit together.

        Examples
        --------
        >>> ghz = np.stack([np.diag([1.0, 0.0]), np.diag([0.0, 1.0])], axis=1)
        >>> state = MPSAnsatz.from_tensors([ghz] * 4)
        >>> state(torch.tensor([[1, 1, 1, 1], [1, -1, 1, 1]])).exp().real.tolist()
        [1.0, 0.0]
        """
        arrays = [np.asarray(tensor) for tensor in tensors]
        shapes = [array.shape for array in arrays]
        if len(arrays) < 2 or any(len(shape) != 3 or shape[1] != 2 for shape in shapes):
            raise ValueError(f"Argument `tensors` must hold at least 2 arrays (left, 2, right), but it has {shapes}.")
        for here, there in zip(shapes, shapes[1:] + shapes[:1], strict=True):
            if here[2] != there[0]:
                raise ValueError(f"Argument `tensors` must have bonds that fit, but {here} is followed by {there}.")
        is_complex = any(np.iscomplexobj(array) for array in arrays)
        state = cls(len(arrays), bond=1, dtype="complex128" if is_complex else "float64", rng=0)
        state._make([*(shape[0] for shape in shapes), shapes[-1][2]], state.dtype, 0.0, torch_generator(0))
        with torch.no_grad():
            for layer, array in zip(state._layers, arrays, strict=True):
                weight = torch.from_numpy(np.ascontiguousarray(array.transpose(2, 1, 0)))
                layer.weight.copy_(weight.reshape(layer.n_out, layer.n_in))
        return state

    def tensors(self) -> list[NDArray]:
        """Return copies of the tensors as arrays (left, 2, right); bit 0 is spin +1."""
        weights = [layer.weight.detach().cpu() for layer in self._layers]
        return [w.reshape(w.shape[0], 2, -1).permute(2, 1, 0).contiguous().numpy().copy() for w in weights]

    @torch.no_grad()
    def sample(self, n_samples: int, rng: int | np.random.Generator | torch.Generator | None = None) -> Tensor:
        """Draw independent configurations from |psi|^2: Ferris and Vidal, Phys. Rev. B 85, 165146 (2012).

        Parameters
        ----------
        n_samples : int
            Number of configurations.
        rng : None, int, numpy Generator or torch Generator
            Source of one uniform number a spin.

        Returns
        -------
        Tensor of int8, shape (n_samples, n_sites)

        Raises
        ------
        ValueError
            On a ring, whose conditional probabilities cost a power of the bond more.
        """
        if self.periodic:
            raise ValueError(
                "Method `sample` must be called on an open chain, but this state is a ring; take Metropolis."
            )
        u = uniforms(n_samples, self.n_sites, rng, self.device)
        kind = torch.promote_types(self.dtype, torch.float64)
        sites = [layer.weight.to(kind).reshape(layer.n_out, 2, -1).permute(1, 2, 0) for layer in self._layers]
        # right[i]: the norm of everything from site i on, as a matrix on the bond to its left.
        right = [torch.ones(1, 1, dtype=kind, device=self.device)]
        for matrices in reversed(sites):
            outer = (matrices @ right[0] @ matrices.mH).sum(0)
            right.insert(0, outer / outer.abs().max())
        vectors = torch.ones(len(u), 1, dtype=kind, device=self.device)
        spins = torch.empty(len(u), self.n_sites, dtype=torch.int8, device=self.device)
        for site, matrices in enumerate(sites):
            both = vectors @ matrices  # (2, n, right): for spin up and down
            weights = ((both @ right[site + 1]) * both.conj()).sum(2).real.clamp(min=0)
            up = u[:, site] * weights.sum(0) < weights[0]
            spins[:, site] = torch.where(up, 1, -1)
            vectors = torch.where(up[:, None], both[0], both[1])
            vectors = vectors / vectors.abs().amax(dim=1, keepdim=True)
        return spins

    def log_psi(self, spins: Tensor) -> Tensor:
        """Do the work of `forward` without its checks; samplers call this."""
        up = (spins > 0).to(self.dtype)
        # One row vector on an open chain; on a ring one for each state of the bond that closes it.
        vectors = torch.eye(self.bonds[0], dtype=self.dtype, device=self.device).expand(spins.shape[0], -1, -1)
        log_scale = torch.zeros(spins.shape[0], dtype=torch.float64, device=self.device)
        for site, layer in enumerate(self._layers):
            chosen = up[:, site, None, None]
            vectors = layer(torch.cat([vectors * chosen, vectors * (1 - chosen)], dim=2))
            largest = vectors.detach().abs().amax(dim=(1, 2))
            largest = torch.where(largest > 0, largest, 1.0)
            vectors = vectors / largest[:, None, None]
            log_scale = log_scale + torch.log(largest).to(torch.float64)
        amplitude = vectors.diagonal(dim1=1, dim2=2).sum(1)
        # An amplitude of exactly zero has the logarithm -inf and no derivative, not NaN.
        zero = amplitude == 0
        safe = torch.where(zero, 1.0, amplitude)
        log = log_amplitude(torch.log(safe)) if safe.is_complex() else _log_of_real(safe)
        return torch.where(zero, -torch.inf, log + log_scale)


def _log_of_real(amplitude: Tensor) -> Tensor:
    return log_amplitude(torch.log(amplitude.abs()), torch.pi * (amplitude.detach() < 0).to(torch.float64))
