"""What the ansätze share in reading their arguments: sizes, dtypes, seeds, geometry."""

from __future__ import annotations

import math
import operator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qmlphys.lattices import Lattice, chain

__all__ = [
    "Cells",
    "count",
    "graph_distances",
    "hidden_units",
    "read_dtype",
    "read_lattice",
    "torch_generator",
    "uniforms",
]

_DTYPES = {"float32": torch.float32, "float64": torch.float64, "complex128": torch.complex128}


def torch_generator(rng: int | np.random.Generator | torch.Generator | None) -> torch.Generator:
    """Return a torch generator, or one seeded by `rng`; a Generator moves on, so that two networks differ."""
    if isinstance(rng, torch.Generator):
        return rng
    return torch.Generator().manual_seed(int(np.random.default_rng(rng).integers(2**63)))


def uniforms(
    n_samples: int, n_sites: int, rng: int | np.random.Generator | torch.Generator | None, device: torch.device
) -> Tensor:
    """Return float64 numbers in [0, 1), shape (n_samples, n_sites), drawn where the generator lives."""
    generator = torch_generator(rng)
    shape = (count("n_samples", n_samples, least=0), n_sites)
    return torch.rand(shape, dtype=torch.float64, generator=generator, device=generator.device).to(device)


def read_dtype(dtype: str | torch.dtype, *, real: bool = False) -> torch.dtype:
    """Return the dtype by name; only float32 and float64 where the network is `real`."""
    allowed = [name for name in _DTYPES if not (real and name == "complex128")]
    name = dtype if isinstance(dtype, str) else str(dtype).removeprefix("torch.")
    if name not in allowed:
        raise ValueError(f"Argument `dtype` must be one of {allowed}, but it is {name!r}.")
    return _DTYPES[name]


def count(name: str, value: int, *, least: int = 1) -> int:
    """Return a checked integer."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"Argument `{name}` must be an integer, but it is {value!r}.") from None
    if isinstance(value, bool) or number < least:
        raise ValueError(f"Argument `{name}` must be an integer of at least {least}, but it is {value!r}.")
    return number


def hidden_units(alpha: float, n_sites: int) -> int:
    """Return alpha * n_sites, which must be a positive integer."""
    number = alpha * n_sites
    if not math.isfinite(number) or round(number) < 1 or abs(number - round(number)) > 1e-9 * n_sites:
        raise ValueError(
            f"Argument `alpha` must give a positive whole number of hidden units on {n_sites} sites, "
            f"but it is {alpha!r}."
        )
    return round(number)


def read_lattice(lattice: Lattice | int, *, periodic: bool = False) -> Lattice:
    """Return the lattice, or the ring of that many sites.

    Parameters
    ----------
    lattice : Lattice or int
        The argument of a public class.
    periodic : bool, keyword
        Whether open boundaries are refused, because the network has the translations' symmetry.
    """
    if isinstance(lattice, int) and not isinstance(lattice, bool):
        lattice = chain(lattice)
    if not isinstance(lattice, Lattice):
        raise TypeError(f"Argument `lattice` must be a Lattice or a number of sites of a ring, but it is {lattice!r}.")
    if periodic and not lattice.periodic:
        raise ValueError(f"Argument `lattice` must be periodic, but {lattice.label} has no translations.")
    return lattice


class Cells:
    """The torus of unit cells: what translations shift. Sites of a cell are channels.

    Parameters
    ----------
    lattice : Lattice
        A periodic one.
    """

    def __init__(self, lattice: Lattice) -> None:
        self.shape = (lattice.size,) * lattice.n_dimensions
        self.n_basis = lattice.n_basis
        self.n_cells = math.prod(self.shape)

    def split(self, spins: Tensor) -> Tensor:
        """Return configurations (n, n_sites) as (n, n_basis, *shape)."""
        rows = spins.shape[0]
        return spins.reshape(rows, self.n_cells, self.n_basis).transpose(1, 2).reshape(rows, self.n_basis, *self.shape)


def graph_distances(lattice: Lattice) -> NDArray[np.int64]:
    """Return the number of edges between all pairs of sites, shape (n_sites, n_sites)."""
    distances = np.full((lattice.n_sites, lattice.n_sites), -1, dtype=np.int64)
    reached = np.eye(lattice.n_sites, dtype=bool)
    step = np.eye(lattice.n_sites, dtype=bool)
    step[lattice.edges[:, 0], lattice.edges[:, 1]] = step[lattice.edges[:, 1], lattice.edges[:, 0]] = True
    distances[reached] = 0
    radius = 0
    while not reached.all():
        radius += 1
        grown = (reached.astype(np.float32) @ step.astype(np.float32)) > 0
        distances[grown & ~reached] = radius
        reached = grown
    return distances
