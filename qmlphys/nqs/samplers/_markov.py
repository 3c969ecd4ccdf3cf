"""Metropolis sampling."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from math import inf
from numbers import Real

import numpy as np
import torch
from numpy.typing import NDArray

from qmlphys._arguments import whole_number
from qmlphys.lattices import Lattice
from qmlphys.nqs._metropolis import Chains, Moves, make_chains
from qmlphys.nqs.ansatz._base import Ansatz
from qmlphys.nqs.samplers._base import Sampler, SamplerState, Samples, check_sector

__all__ = ["Metropolis"]

_MOVES = ("flip", "exchange", "pair")
# Proposals whose random numbers are held at a time: 12 bytes each.
_BLOCK = 2**22


@dataclass(frozen=True)
class Metropolis(Sampler):
    """Markov chains with the distribution |psi|^2: Metropolis et al., J. Chem. Phys. 21, 1087 (1953).

    Restricted Boltzmann machines advance in closed form, one flip costing as much as reading one row of the weights.
    For other ansätze the proposals of all chains go through the network together.

    Parameters
    ----------
    n_chains : int
        Independent chains; the number of samples of a draw is a multiple of it.
    moves : {"flip", "exchange", "pair"}, keyword
        What is proposed: to flip one spin; to exchange two, which keeps the magnetisation; or to flip two, which keeps
        the product of all spins.
    n_sweeps : float, keyword
        Sweeps, of n_sites proposals each, from draw to draw; may be a fraction.
    n_warmup : float, keyword
        Sweeps from a random configuration to the first draw.
    flip_all : bool, keyword
        Whether each sweep ends with the proposal to flip all spins; for states that are ordered in two ways.
    magnetization : int, optional, keyword
        Sum of all spins, for exchanges only; by default 0, or 1 on an odd number of sites.
    parity : {-1, +1}, optional, keyword
        Product of all spins, for pairs only; by default +1.
    lattice : Lattice, optional, keyword
        Exchanges and pairs are of neighbours on it; by default of any two sites.

    Raises
    ------
    ValueError
        If a value is out of range, or of no use to these moves.
    TypeError
        If a number is no integer, or `lattice` no lattice.

    Examples
    --------
    >>> from qmlphys.nqs.ansatz import RBM
    >>> ansatz, rng = RBM(6, rng=1), np.random.default_rng(1)
    >>> sampler = Metropolis(4, moves="exchange")
    >>> samples = sampler.draw(ansatz, sampler.start(ansatz, rng), 8, rng)
    >>> samples.spins.shape, samples.spins.sum(dim=1).tolist()
    (torch.Size([8, 6]), [0, 0, 0, 0, 0, 0, 0, 0])
    """

    n_chains: int = 1024
    _: KW_ONLY
    moves: str = "flip"
    n_sweeps: float = 1
    n_warmup: float = 10
    flip_all: bool = False
    magnetization: int | None = None
    parity: int | None = None
    lattice: Lattice | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_chains", whole_number("n_chains", self.n_chains))
        for name, lowest in (("n_sweeps", "above 0"), ("n_warmup", "at least 0")):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real):
                raise TypeError(f"Argument `{name}` must be a number, but it is {value!r}.")
            if not 0 <= float(value) < inf or (lowest == "above 0" and float(value) == 0):
                raise ValueError(f"Argument `{name}` must be finite and {lowest}, but it is {value!r}.")
        if self.moves not in _MOVES:
            raise ValueError(f"Argument `moves` must be one of {', '.join(_MOVES)}, but it is {self.moves!r}.")
        if not isinstance(self.flip_all, bool):
            raise TypeError(f"Argument `flip_all` must be True or False, but it is {self.flip_all!r}.")
        if self.lattice is not None and not isinstance(self.lattice, Lattice):
            raise TypeError(f"Argument `lattice` must be a Lattice, such as chain(16), but it is {self.lattice!r}.")
        for name, moves in (("magnetization", "exchange"), ("parity", "pair")):
            if getattr(self, name) is not None and self.moves != moves:
                raise ValueError(
                    f"Argument `{name}` must be left out with moves={self.moves!r}, which do not keep it, "
                    f"but it is {getattr(self, name)!r}; take moves={moves!r}."
                )
        if self.lattice is not None and self.moves == "flip":
            raise ValueError(
                f"Argument `lattice` must be left out with moves='flip', which flip one site, but it is {self.lattice}."
            )

    def start(self, ansatz: Ansatz, rng: np.random.Generator) -> SamplerState:
        """Start chains at random and warm them up; see `Sampler.start`."""
        spins = torch.from_numpy(self._random_spins(ansatz.n_sites, rng)).to(ansatz.device)
        chains = make_chains(ansatz, spins, self._moves(ansatz.n_sites))
        self._advance(chains, self.n_warmup, rng)
        return SamplerState(chains.spins)

    def draw(self, ansatz: Ansatz, state: SamplerState, n_samples: int, rng: np.random.Generator) -> Samples:
        """Advance all chains and read them, as often as is needed; see `Sampler.draw`."""
        n_samples = whole_number("n_samples", n_samples)
        if n_samples % self.n_chains:
            raise ValueError(
                f"Argument `n_samples` must be a multiple of the {self.n_chains} chains, but it is {n_samples}."
            )
        if state.spins.shape != (self.n_chains, ansatz.n_sites):
            raise ValueError(
                f"Argument `state` must hold {self.n_chains} chains of {ansatz.n_sites} sites, "
                f"but it holds spins of shape {tuple(state.spins.shape)}."
            )
        chains = make_chains(ansatz, state.spins, self._moves(ansatz.n_sites))
        n_draws = n_samples // self.n_chains
        spins, log_psi, n_accepted = [], [], 0
        for _ in range(n_draws):
            n_accepted += self._advance(chains, self.n_sweeps, rng)
            spins.append(chains.spins.clone())
            log_psi.append(chains.log_psi())
        state.spins = chains.spins
        n_proposals = n_samples * _n_proposals(self.n_sweeps, ansatz.n_sites)
        return Samples(
            spins=torch.cat(spins),
            weights=torch.full((n_samples,), 1.0 / n_samples, dtype=torch.float64, device=ansatz.device),
            log_psi=torch.cat(log_psi),
            n_chains=self.n_chains,
            acceptance=n_accepted / n_proposals,
        )

    def _advance(self, chains: Chains, n_sweeps: float, rng: np.random.Generator) -> int:
        """Run sweeps and return the number of accepted moves."""
        n_chains, n_sites = chains.spins.shape
        n_proposals = _n_proposals(n_sweeps, n_sites)
        n_accepted = 0
        for start in range(0, n_proposals, n_sites):
            end = min(start + n_sites, n_proposals)
            step = max(1, _BLOCK // n_chains)
            for first in range(start, end, step):
                shape = (n_chains, min(step, end - first))
                chosen = rng.integers(len(chains.moves.sites), size=shape, dtype=np.int32)
                n_accepted += chains.sweep(chosen, -rng.standard_exponential(shape))
            if self.flip_all:
                chains.flip_all(-rng.standard_exponential(n_chains))
        return n_accepted

    def _moves(self, n_sites: int) -> Moves:
        """Return the moves on this number of sites."""
        if self.moves == "flip":
            return Moves(np.arange(n_sites)[:, None])
        if n_sites < 2:
            raise ValueError(f"Argument `moves` must be 'flip' on a single site, but it is {self.moves!r}.")
        if self.lattice is not None and self.lattice.n_sites != n_sites:
            raise ValueError(
                f"Argument `lattice` must have the {n_sites} sites of the ansatz, but {self.lattice} has "
                f"{self.lattice.n_sites}."
            )
        pairs = np.stack(np.triu_indices(n_sites, 1), axis=1) if self.lattice is None else self.lattice.edges
        # A copy, for numba compiles a kernel anew for arrays that cannot be written to.
        return Moves(np.array(pairs, dtype=np.int64), exchange=self.moves == "exchange")

    def _random_spins(self, n_sites: int, rng: np.random.Generator) -> NDArray[np.int8]:
        """Draw where the chains start, in the sector that the moves keep."""
        shape = (self.n_chains, n_sites)
        if self.moves == "exchange":
            total = n_sites % 2 if self.magnetization is None else self.magnetization
            check_sector(n_sites, total, None)
            if self.flip_all and total:
                raise ValueError(
                    f"Argument `flip_all` must be False where the magnetization is {total}, "
                    "for flipping all spins changes its sign, but it is True."
                )
            row = np.where(np.arange(n_sites) < (n_sites + total) // 2, 1, -1).astype(np.int8)
            return rng.permuted(np.tile(row, (self.n_chains, 1)), axis=1)
        spins = (2 * rng.integers(0, 2, size=shape, dtype=np.int8) - 1).astype(np.int8)
        if self.moves == "pair":
            parity = 1 if self.parity is None else self.parity
            check_sector(n_sites, None, parity)
            if self.flip_all and n_sites % 2:
                raise ValueError(
                    f"Argument `flip_all` must be False for pairs on {n_sites} sites, "
                    "for flipping an odd number of spins changes their product, but it is True."
                )
            spins[:, 0] *= spins.prod(axis=1, dtype=np.int8) * np.int8(parity)
        return spins


def _n_proposals(n_sweeps: float, n_sites: int) -> int:
    """Proposals to every chain in a number of sweeps: at least one, unless there are no sweeps."""
    return max(round(n_sweeps * n_sites), 1 if n_sweeps else 0)
