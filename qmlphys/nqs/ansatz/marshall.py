"""The sign rule of Marshall for antiferromagnets on two sublattices."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from qmlphys.lattices import Lattice
from qmlphys.nqs.ansatz._arguments import graph_distances, read_lattice
from qmlphys.nqs.ansatz._base import Ansatz, RBMParameters

__all__ = ["Marshall"]


class Marshall(Ansatz):
    """An ansatz times the Marshall sign, (-1)^(number of down spins on the sublattice of site 0).

    The ground state of the Heisenberg antiferromagnet on a bipartite lattice is this sign times a positive function:
    Marshall, Proc. R. Soc. A 232, 48 (1955). The derivative is that of the ansatz inside.

    Parameters
    ----------
    ansatz : Ansatz
        What the sign multiplies.
    lattice : Lattice or int
        A lattice, or the number of sites of a ring.

    Raises
    ------
    ValueError
        If the lattice has no two sublattices without edges inside, or another number of sites than the ansatz.

    Examples
    --------
    >>> from qmlphys.nqs.ansatz import RBM
    >>> state = Marshall(RBM(4, rng=0), 4)
    >>> state(torch.tensor([[-1, 1, 1, 1], [1, -1, 1, 1]])).exp().real.sign().tolist()
    [-1.0, 1.0]
    """

    sublattice: Tensor

    def __init__(self, ansatz: Ansatz, lattice: Lattice | int) -> None:
        super().__init__(ansatz.n_sites)
        lattice = read_lattice(lattice)
        if lattice.n_sites != ansatz.n_sites:
            raise ValueError(
                f"Argument `lattice` must have the ansatz's {ansatz.n_sites} sites, "
                f"but {lattice.label} has {lattice.n_sites}."
            )
        even = graph_distances(lattice)[0] % 2 == 0
        if np.any(even[lattice.edges[:, 0]] == even[lattice.edges[:, 1]]):
            raise ValueError(f"Argument `lattice` must be bipartite, but {lattice.label} is not: it has odd rings.")
        self.ansatz = ansatz
        self.derivative = ansatz.derivative
        self.register_buffer("sublattice", torch.from_numpy(even), persistent=False)

    def log_psi(self, spins: Tensor) -> Tensor:
        """Do the work of `forward` without its checks; samplers call this."""
        down = ((spins < 0) & self.sublattice).sum(1)
        sign = torch.pi * (down % 2).to(torch.float64)
        return self.ansatz.log_psi(spins) + torch.complex(torch.zeros_like(sign), sign)

    def rbm(self) -> RBMParameters | None:
        """Return the inner ansatz's parameters with the signs, or None if it is no restricted Boltzmann machine."""
        inner = self.ansatz.rbm()
        if inner is None:
            return None
        return dataclasses.replace(inner, signs=torch.where(self.sublattice, -inner.signs, inner.signs))
