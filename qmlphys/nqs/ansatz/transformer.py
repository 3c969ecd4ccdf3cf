"""Vision transformer."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from qmlphys.lattices import Lattice
from qmlphys.nqs.ansatz._arguments import count, read_dtype, read_lattice, torch_generator
from qmlphys.nqs.ansatz._base import Ansatz
from qmlphys.nqs.ansatz._functions import log_amplitude, log_cosh
from qmlphys.nqs.ansatz._layers import Dense, PeriodicConvolution

__all__ = ["VisionTransformer"]


class VisionTransformer(Ansatz):
    """Vision transformer on patches of a periodic lattice.

    Viteritti, Rende, Becca, Phys. Rev. Lett. 130, 236401 (2023): patches are embedded in vectors of d_model numbers,
    then come layers of attention and of a perceptron, both behind a normalisation and added to their input; the
    vectors are summed over the patches and a restricted Boltzmann machine of the sum closes the network. As there, the
    attention of a head depends on the distance between two patches only, A_ij = alpha_(i-j), so the state is invariant
    under translations by patches (project with `Symmetrized` for those inside one). Every parameter sits in a layer of
    known structure.

    Parameters
    ----------
    lattice : Lattice or int
        A periodic lattice, or the number of sites of a ring.
    patch : int, keyword
        Cells of a patch along each axis; it must divide the lattice's size.
    d_model : int, keyword
        Numbers a patch is embedded in; a multiple of n_heads.
    n_heads : int, keyword
        Attention heads a layer.
    n_layers : int, keyword
        Number of layers.
    phase : bool, keyword
        Whether the closing machine has complex units, of real and imaginary parts from two layers; otherwise psi > 0.
    dtype : {"float64", "float32"} or torch.dtype, keyword
        Of the parameters, which are real.
    scale : float, keyword
        Initial weights of the closing machine have the standard deviation scale / sqrt(d_model).
    rng : None, int or numpy Generator, keyword
        Source of the initial weights.

    Raises
    ------
    ValueError
        If the patch does not divide the lattice, d_model is no multiple of n_heads, or the lattice is open.

    Examples
    --------
    >>> ansatz = VisionTransformer(12, patch=2, d_model=8, n_heads=2, n_layers=1, rng=0)
    >>> spins = torch.ones(1, 12).index_fill_(1, torch.tensor([2, 3, 4]), -1)
    >>> torch.allclose(ansatz(spins), ansatz(spins.roll(2, 1)))
    True
    """

    def __init__(
        self,
        lattice: Lattice | int,
        *,
        patch: int = 2,
        d_model: int = 16,
        n_heads: int = 4,
        n_layers: int = 2,
        phase: bool = False,
        dtype: str | torch.dtype = "float64",
        scale: float = 0.3,
        rng: int | np.random.Generator | None = None,
    ) -> None:
        lattice = read_lattice(lattice, periodic=True)
        super().__init__(lattice.n_sites)
        kind, generator = read_dtype(dtype, real=True), torch_generator(rng)
        if lattice.size % count("patch", patch):
            raise ValueError(f"Argument `patch` must divide the size of {lattice.label}, but it is {patch}.")
        if count("d_model", d_model) % count("n_heads", n_heads):
            raise ValueError(f"Argument `d_model` must be a multiple of `n_heads`, {n_heads}, but it is {d_model}.")
        self.derivative = "complex" if phase else "real"
        self.patch, self.d_model, self.n_heads = patch, d_model, n_heads
        self.grid = (lattice.size // patch,) * lattice.n_dimensions
        # Axes (row of patches, row in patch, ...) times the sites of a cell: split, then move the patches to the front.
        n = lattice.n_dimensions
        self.axes = [size for length in self.grid for size in (length, patch)] + [lattice.n_basis]
        self.order = [0, *(1 + 2 * k for k in range(n)), *(2 + 2 * k for k in range(n)), 2 * n + 1]
        n_in = patch**n * lattice.n_basis
        self.embedding = Dense(n_in, d_model, dtype=kind, scale=1 / math.sqrt(n_in), generator=generator)
        self.layers = nn.ModuleList(
            _Layer(self.grid, d_model, n_heads, kind, generator) for _ in range(count("n_layers", n_layers))
        )
        self.output = Dense(d_model, d_model, dtype=kind, scale=scale / math.sqrt(d_model), generator=generator)
        self.phase = None
        if phase:
            self.phase = Dense(d_model, d_model, dtype=kind, scale=scale / math.sqrt(d_model), generator=generator)

    def log_psi(self, spins: Tensor) -> Tensor:
        """Do the work of `forward` without its checks; samplers call this."""
        rows = spins.shape[0]
        patches = (
            spins.reshape(rows, *self.axes).permute(self.order).reshape(rows, math.prod(self.grid), self.embedding.n_in)
        )
        x = self.embedding(patches)
        for layer in self.layers:
            x = layer(x)
        z = _normalise(x.sum(dim=1))
        if self.phase is None:
            return log_amplitude(log_cosh(self.output(z)).sum(1))
        return log_amplitude(log_cosh(torch.complex(self.output(z), self.phase(z))).sum(1))


class _Layer(nn.Module):
    """Attention, then a perceptron of twice the width at each patch, each added to its input."""

    def __init__(
        self, grid: tuple[int, ...], d_model: int, n_heads: int, dtype: torch.dtype, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.grid, self.n_heads, self.width = grid, n_heads, d_model // n_heads

        def dense(n_in: int, n_out: int) -> Dense:
            return Dense(n_in, n_out, dtype=dtype, scale=1 / math.sqrt(n_in), generator=generator)

        self.values, self.mix = dense(d_model, d_model), dense(d_model, d_model)
        self.wide, self.narrow = dense(d_model, 2 * d_model), dense(2 * d_model, d_model)
        # alpha_(i-j) of a head: a convolution over the patches, of each of the head's numbers by itself.
        self.heads = nn.ModuleList(
            PeriodicConvolution(
                grid, grid, 1, 1, bias=False, dtype=dtype, scale=1 / math.sqrt(math.prod(grid)), generator=generator
            )
            for _ in range(n_heads)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to (rows, patches, d_model)."""
        x = x + self.mix(self._attend(self.values(_normalise(x))))
        return x + self.narrow(nn.functional.gelu(self.wide(_normalise(x))))

    def _attend(self, values: Tensor) -> Tensor:
        rows, n_patches, _ = values.shape
        numbers = values.transpose(1, 2).reshape(rows, self.n_heads, self.width, n_patches)
        seen = [
            head(numbers[:, k].reshape(rows * self.width, 1, *self.grid)).reshape(rows, self.width, n_patches)
            for k, head in enumerate(self.heads)
        ]
        return torch.cat(seen, dim=1).transpose(1, 2)


def _normalise(x: Tensor) -> Tensor:
    """Layer normalisation without weights of its own: the linear layer that follows has them."""
    return nn.functional.layer_norm(x, x.shape[-1:])
