"""Projection of an ansatz on quantum numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from qmlphys.nqs.ansatz._base import Ansatz
from qmlphys.nqs.ansatz.symmetry import SymmetryGroup

__all__ = ["Symmetrized"]

# Configurations that the ansatz inside sees at once where no derivative is asked for: they should stay in the cache.
_MAX_ROWS = 2**14
# Roundings of log psi, in units of its own, that a sum of equal terms with opposite signs may leave.
_ROUNDINGS = 32


class Symmetrized(Ansatz):
    """An ansatz projected on a sector: psi(s) = 1/|G| sum_g conj(chi_g) psi_0(g s).

    Nomura, J. Phys.: Condens. Matter 33, 174003 (2021). Every U_g psi = chi_g psi exactly, whatever the
    parameters. With real characters the derivative stays of the kind of the ansatz inside. Configurations on which
    no state of the sector lives have log psi = -inf.

    Parameters
    ----------
    ansatz : Ansatz
        psi_0.
    group : SymmetryGroup
        G with its characters.

    Raises
    ------
    ValueError
        If the group permutes another number of sites.

    Examples
    --------
    >>> from qmlphys.nqs.ansatz import RBM
    >>> state = Symmetrized(RBM(4, rng=0), SymmetryGroup.translations(4))
    >>> a, b = state(torch.tensor([[-1, 1, 1, 1], [1, 1, -1, 1]])).tolist()
    >>> abs(a - b) < 1e-14
    True
    """

    permutations: Tensor
    flips: Tensor
    conjugates: Tensor

    def __init__(self, ansatz: Ansatz, group: SymmetryGroup) -> None:
        super().__init__(ansatz.n_sites)
        if group.n_sites != ansatz.n_sites:
            raise ValueError(
                f"Argument `group` must permute the ansatz's {ansatz.n_sites} sites, but it permutes {group.n_sites}."
            )
        self.ansatz, self.group = ansatz, group
        self.derivative = "complex" if ansatz.derivative == "real" and not group.is_real else ansatz.derivative
        signs = torch.where(torch.from_numpy(group.spin_flips.copy()), -1, 1)
        self.register_buffer("permutations", torch.from_numpy(group.permutations.copy()), persistent=False)
        self.register_buffer("flips", signs[:, None], persistent=False)
        characters = torch.from_numpy(group.characters.copy()).to(torch.complex128)
        self.register_buffer("conjugates", (characters.conj() / len(group)).resolve_conj(), persistent=False)

    def log_psi(self, spins: Tensor) -> Tensor:
        """Do the work of `forward` without its checks; samplers call this."""
        step = max(1, _MAX_ROWS // len(self.group))
        if torch.is_grad_enabled() or spins.shape[0] <= step:
            return self._project(spins)
        return torch.cat([self._project(part) for part in spins.split(step)])

    def _project(self, spins: Tensor) -> Tensor:
        images = spins[:, self.permutations] * self.flips.to(spins.dtype)  # (n, n_elements, n_sites)
        logs = self.ansatz.log_psi(images.flatten(0, 1)).unflatten(0, images.shape[:2])
        largest = logs.real.detach().amax(dim=1, keepdim=True)
        largest = torch.where(torch.isneginf(largest), 0.0, largest)
        terms = torch.exp(logs - largest) * self.conjugates
        total = terms.sum(dim=1)
        # What cancels but for the rounding of the logarithms is a zero of the sector: log psi is -inf, and has no
        # derivative.
        noise = _ROUNDINGS * torch.finfo(self.dtype).eps * (1 + logs.detach().abs().nan_to_num(posinf=0.0).amax(dim=1))
        zero = total.detach().abs() <= noise * terms.detach().abs().sum(dim=1)
        log = torch.log(torch.where(zero, 1.0, total)) + largest.squeeze(1)
        return torch.where(zero, -torch.inf, log)
