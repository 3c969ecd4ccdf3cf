"""Metropolis sampling with moves that flip given sets of sites."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from math import inf, nan
from numbers import Real

import numpy as np
import torch
from torch import Tensor

from qmlphys._arguments import whole_number
from qmlphys.nqs._metropolis import Chains, Moves, evaluate, make_chains
from qmlphys.nqs.ansatz._base import Ansatz
from qmlphys.nqs.ansatz._functions import log_cosh
from qmlphys.nqs.samplers._base import Sampler, SamplerState, Samples

__all__ = ["ClusterMetropolis"]

# Proposals whose random numbers are held at a time: 12 bytes each.
_BLOCK = 2**22
# A hidden unit this much smaller than it could be is a zero that rounding has filled up.
_ZERO = 1e-12


@dataclass(frozen=True)
class ClusterMetropolis(Sampler):
    """Markov chains with the distribution |psi|^2 whose moves each flip a given set of sites.

    For states where single flips have amplitude zero: stars and loops of the toric code, all spins of a GHZ state.
    Chains start from one given configuration, since a random one would have amplitude zero, and see those that its
    moves lead to.

    Parameters
    ----------
    n_chains : int
        Independent chains; the number of samples of a draw is a multiple of it.
    moves : tuple of tuples of int, keyword
        The sites that each move flips, in no order and each once. Moves of the same size are chosen at random among
        each other; in one sweep each is proposed once in the mean, and the last proposal of each size is void with
        probability 1/2. Where all moves are accepted, their number would else be the same for all chains, and its
        parity can show in the spins.
    initial : tuple of int, optional, keyword
        Where all chains start, -1 and +1; by default all spins are +1. Its amplitude must not be zero.
    n_sweeps : float, keyword
        Sweeps from draw to draw; may be a fraction.
    n_warmup : float, keyword
        Sweeps before the first draw. As all chains start from one configuration there must be some.

    Raises
    ------
    ValueError
        If a value is out of range; at `start` if the sites or the initial configuration do not fit the ansatz.
    TypeError
        If a number is no number.

    Examples
    --------
    >>> from qmlphys.nqs.constructions import ghz_rbm
    >>> sampler, rng = ClusterMetropolis(4, moves=(tuple(range(6)),)), np.random.default_rng(1)
    >>> ansatz = ghz_rbm(6)
    >>> samples = sampler.draw(ansatz, sampler.start(ansatz, rng), 8, rng)
    >>> samples.spins.sum(dim=1).abs().tolist()
    [6, 6, 6, 6, 6, 6, 6, 6]
    """

    n_chains: int = 16
    _: KW_ONLY
    moves: tuple[tuple[int, ...], ...]
    initial: tuple[int, ...] | None = None
    n_sweeps: float = 1
    n_warmup: float = 10

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_chains", whole_number("n_chains", self.n_chains))
        moves = tuple(tuple(whole_number("moves", site, least=0) for site in move) for move in self.moves)
        if not moves or not all(moves) or any(len(set(move)) < len(move) for move in moves):
            raise ValueError(
                "Argument `moves` must hold at least one move, and every move different sites, "
                f"but it is {self.moves!r}."
            )
        object.__setattr__(self, "moves", moves)
        if self.initial is not None:
            initial = tuple(whole_number("initial", spin, least=-1, most=1) for spin in self.initial)
            if 0 in initial:
                raise ValueError("Argument `initial` must hold -1 and +1 only, but it holds 0.")
            object.__setattr__(self, "initial", initial)
        for name in ("n_sweeps", "n_warmup"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real):
                raise TypeError(f"Argument `{name}` must be a number, but it is {value!r}.")
            if not 0 < float(value) < inf:
                raise ValueError(f"Argument `{name}` must be finite and above 0, but it is {value!r}.")

    def start(self, ansatz: Ansatz, rng: np.random.Generator) -> SamplerState:
        """Put all chains on the initial configuration and warm them up; see `Sampler.start`."""
        n_sites = ansatz.n_sites
        largest = max(max(move) for move in self.moves)
        if largest >= n_sites:
            raise ValueError(
                f"Argument `moves` must hold sites from 0 to {n_sites - 1} of the ansatz, but it holds {largest}."
            )
        row = (1,) * n_sites if self.initial is None else self.initial
        if len(row) != n_sites:
            raise ValueError(f"Argument `initial` must have the ansatz's {n_sites} sites, but it has {len(row)}.")
        spins = torch.tensor(row, dtype=torch.int8, device=ansatz.device)[None]
        if _is_zero(ansatz, spins):
            raise ValueError(
                "Argument `initial` must be a configuration whose amplitude is not zero, but it is zero up to "
                "rounding; chains would never leave such configurations."
            )
        chains = make_chains(ansatz, spins.repeat(self.n_chains, 1), self._longest())
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
        chains = make_chains(ansatz, state.spins, self._longest())
        spins, log_psi, moved = [], [], np.zeros(2, dtype=np.int64)
        for _ in range(n_samples // self.n_chains):
            moved += self._advance(chains, self.n_sweeps, rng)
            spins.append(chains.spins.clone())
            log_psi.append(chains.log_psi())
        state.spins = chains.spins
        return Samples(
            spins=torch.cat(spins),
            weights=torch.full((n_samples,), 1.0 / n_samples, dtype=torch.float64, device=ansatz.device),
            log_psi=torch.cat(log_psi),
            n_chains=self.n_chains,
            acceptance=float(moved[0] / moved[1]) if moved[1] else nan,
        )

    def _classes(self) -> Iterator[Moves]:
        """Moves by their size, for the chains flip equally many sites in all moves that they choose from."""
        for size in sorted({len(move) for move in self.moves}):
            yield Moves(np.array([move for move in self.moves if len(move) == size], dtype=np.int64))

    def _longest(self) -> Moves:
        """Return the moves that flip most sites: the kernels are chosen such that none of them overflows."""
        return list(self._classes())[-1]

    def _advance(self, chains: Chains, n_sweeps: float, rng: np.random.Generator) -> tuple[int, int]:
        """Run sweeps and return the numbers of accepted and of proposed moves."""
        n_chains, n_accepted, n_proposed = len(chains.spins), 0, 0
        step = max(1, _BLOCK // n_chains)
        for moves in self._classes():
            # Each class leaves the distribution as it is, and so do all of them one after the other.
            chains.moves = moves
            n_proposals = max(1, round(n_sweeps * len(moves.sites)))
            for first in range(0, n_proposals, step):
                shape = (n_chains, min(step, n_proposals - first))
                chosen = rng.integers(len(moves.sites), size=shape, dtype=np.int32)
                thresholds = -rng.standard_exponential(shape)
                n_proposed += thresholds.size
                if first + step >= n_proposals:
                    void = rng.random(n_chains) < 0.5
                    thresholds[void, -1] = inf
                    n_proposed -= int(void.sum())
                n_accepted += chains.sweep(chosen, thresholds)
        return n_accepted, n_proposed


def _is_zero(ansatz: Ansatz, spins: Tensor) -> bool:
    """Whether the amplitude of one configuration is zero, also where rounding hides it."""
    if not bool(torch.isfinite(evaluate(ansatz, spins).real).all()):
        return True
    parameters = ansatz.rbm()
    if parameters is None or not len(parameters.hidden):
        return False
    theta = parameters.weight @ spins[0].to(parameters.weight.dtype) + parameters.hidden
    if not theta.is_complex():
        return False
    # |2 cosh theta| against 2 cosh Re theta, which it could be.
    loss = log_cosh(theta).real - log_cosh(theta.real)
    return bool((loss < np.log(_ZERO)).any())
