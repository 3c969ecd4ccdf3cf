"""Samplers without chains: enumeration, exact draws from it, and direct draws."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qmlphys._arguments import whole_number
from qmlphys.bits import integers_to_spins, spins_to_integers
from qmlphys.nqs._metropolis import evaluate
from qmlphys.nqs.ansatz._base import Ansatz
from qmlphys.nqs.ansatz.symmetry import SymmetryGroup
from qmlphys.nqs.samplers._base import Sampler, SamplerState, Samples, check_sector

__all__ = ["Direct", "Exact", "FullSum", "configurations"]

MAX_SITES = 24
MAX_CONFIGURATIONS = 2**20
# Deviation from a symmetry, of amplitudes whose largest is 1: far above rounding, also in float32.
_SYMMETRIC = 1e-5


@lru_cache(maxsize=4)
def _rows(n_sites: int, magnetization: int | None, parity: int | None) -> NDArray[np.int8]:
    """Make what `configurations` returns; states ask for it at every step."""
    numbers = np.arange(1 << n_sites, dtype=np.int64)
    n_down = np.bitwise_count(numbers)
    if magnetization is not None:
        numbers = numbers[n_down == (n_sites - magnetization) // 2]
    elif parity is not None:
        numbers = numbers[n_down % 2 == (1 - parity) // 2]
    if len(numbers) > MAX_CONFIGURATIONS:
        raise ValueError(
            f"Argument `n_sites` must give at most {MAX_CONFIGURATIONS} configurations to enumerate them, "
            f"but {n_sites} sites have {len(numbers)}; take Metropolis."
        )
    return integers_to_spins(numbers, n_sites)


def configurations(n_sites: int, *, magnetization: int | None = None, parity: int | None = None) -> NDArray[np.int8]:
    """All configurations of a sector, in the order of the integers that they are.

    Parameters
    ----------
    n_sites : int
        Number of sites, 1 to 24.
    magnetization : int, optional, keyword
        Sum of all spins.
    parity : {-1, +1}, optional, keyword
        Product of all spins.

    Returns
    -------
    ndarray of int8, shape (n, n_sites)
        Without a sector row k is the configuration of the integer k: bit 0 is spin +1, site i has the weight 2^i.

    Raises
    ------
    ValueError
        If there are more than 24 sites or 2^20 configurations, or none.

    Examples
    --------
    >>> configurations(3, magnetization=1).tolist()
    [[-1, 1, 1], [1, -1, 1], [1, 1, -1]]
    """
    n_sites = whole_number("n_sites", n_sites)
    check_sector(n_sites, magnetization, parity)
    if n_sites > MAX_SITES:
        raise ValueError(
            f"Argument `n_sites` must be at most {MAX_SITES} to enumerate configurations, but it is {n_sites}; "
            "take Metropolis."
        )
    return _rows(n_sites, magnetization, parity).copy()


def _distribution(
    ansatz: Ansatz, magnetization: int | None, parity: int | None, symmetry: SymmetryGroup | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Configurations of a sector on the device of the ansatz, with |psi|^2 normalised to 1 and log psi."""
    if symmetry is None:
        rows, sizes = configurations(ansatz.n_sites, magnetization=magnetization, parity=parity), None
    else:
        rows, sizes = _orbits(ansatz.n_sites, magnetization, parity, symmetry)
    spins = torch.from_numpy(rows).to(ansatz.device)
    log_psi = evaluate(ansatz, spins)
    largest = log_psi.real.max()
    if not bool(torch.isfinite(largest)):
        raise FloatingPointError(
            f"The largest log |psi| of the {len(rows)} configurations is {largest.item()}: "
            "the amplitudes are not finite, or all zero."
        )
    weights = torch.exp(2.0 * (log_psi.real - largest))
    if sizes is not None:
        weights = weights * torch.from_numpy(sizes).to(ansatz.device)
    return spins, weights / weights.sum(), log_psi


@lru_cache(maxsize=4)
def _orbits(
    n_sites: int, magnetization: int | None, parity: int | None, symmetry: SymmetryGroup
) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Return one configuration of each orbit of a group, and how many the orbit has."""
    rows = configurations(n_sites, magnetization=magnetization, parity=parity)
    numbers = spins_to_integers(rows)
    weights = np.int64(1) << np.arange(n_sites, dtype=np.int64)
    down = rows == -1
    first, fixed = numbers.copy(), np.zeros(len(numbers), dtype=np.int64)
    for permutation, flip in zip(symmetry.permutations, symmetry.spin_flips, strict=True):
        images = (down[:, permutation] ^ flip) @ weights
        np.minimum(first, images, out=first)
        fixed += images == numbers
    kept = first == numbers
    return rows[kept], len(symmetry) / fixed[kept]


def _check_symmetry(ansatz: Ansatz, rows: NDArray[np.int8], symmetry: SymmetryGroup) -> None:
    """Refuse an ansatz that does not have the symmetry, judged on some configurations and some elements of the group.

    Elements are taken at odd steps through the group, so that all factors of a product are among them.
    """
    if symmetry.n_sites != ansatz.n_sites:
        raise ValueError(
            f"Argument `symmetry` must have {ansatz.n_sites} sites, as the ansatz, but it has {symmetry.n_sites}."
        )
    some = rows[np.linspace(0, len(rows) - 1, min(len(rows), 32)).astype(np.int64)]
    elements = np.arange(0, len(symmetry), 1 + 2 * (len(symmetry) // 64))
    signs = np.where(symmetry.spin_flips[elements], -1, 1).astype(np.int8)
    images = some[:, symmetry.permutations[elements]] * signs[None, :, None]  # (rows, elements, sites)
    spins = torch.from_numpy(images.reshape(-1, ansatz.n_sites)).to(ansatz.device)
    log_psi = evaluate(ansatz, spins).cpu().numpy().reshape(len(some), len(elements))
    known = evaluate(ansatz, torch.from_numpy(some).to(ansatz.device)).cpu().numpy()
    scale = max(known.real.max(), log_psi.real.max())
    if not np.isfinite(scale):
        return  # all zero there: nothing is known, and a state that is zero everywhere is refused when it is summed
    expected = np.exp(known - scale)[:, None] * symmetry.characters[None, elements]
    deviation = np.abs(np.exp(log_psi - scale) - expected)
    row, element = np.unravel_index(int(deviation.argmax()), deviation.shape)
    if deviation[row, element] > _SYMMETRIC * np.abs(expected[row, element]) + _SYMMETRIC:
        raise ValueError(
            "Argument `symmetry` must be a symmetry of the ansatz, psi(g s) = chi_g psi(s), but for element "
            f"{elements[element]} and the configuration {some[row].tolist()} the two sides differ by "
            f"{deviation[row, element]:.2g}; wrap the ansatz in Symmetrized."
        )


def _no_chains(ansatz: Ansatz) -> SamplerState:
    return SamplerState(torch.ones((0, ansatz.n_sites), dtype=torch.int8, device=ansatz.device))


def _equal_weights(n_samples: int, device: torch.device) -> Tensor:
    return torch.full((n_samples,), 1.0 / n_samples, dtype=torch.float64, device=device)


@dataclass(frozen=True)
class FullSum(Sampler):
    """Every configuration, weighted with |psi|^2: sums instead of samples, for small systems.

    Configurations of zero weight are left out.

    Parameters
    ----------
    magnetization : int, optional, keyword
        Only configurations with this sum of all spins.
    parity : {-1, +1}, optional, keyword
        Only configurations with this product of all spins.
    symmetry : SymmetryGroup, optional, keyword
        A symmetry of the ansatz and of what is measured: one configuration stands for all that the group makes of it,
        with their joint weight, and the sums are the same at a fraction of the work.

    Raises
    ------
    ValueError
        At `start`, if there are too many configurations or the ansatz does not have the symmetry.

    Examples
    --------
    >>> from qmlphys.nqs.ansatz import RBM
    >>> ansatz, rng = RBM(3, scale=0.0), np.random.default_rng(1)
    >>> samples = FullSum().draw(ansatz, FullSum().start(ansatz, rng), 0, rng)
    >>> samples.weights.tolist()
    [0.125, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125]
    """

    _: KW_ONLY
    magnetization: int | None = None
    parity: int | None = None
    symmetry: SymmetryGroup | None = None
    n_chains: int = field(default=0, init=False, repr=False)

    def start(self, ansatz: Ansatz, rng: np.random.Generator) -> SamplerState:  # noqa: ARG002 - nothing is random
        """Check that the sector exists and is small enough, and the symmetry; see `Sampler.start`."""
        rows = configurations(ansatz.n_sites, magnetization=self.magnetization, parity=self.parity)
        if self.symmetry is not None:
            if self.symmetry.spin_flips.any() and (self.magnetization or (self.parity == -1 and ansatz.n_sites % 2)):
                raise ValueError(
                    f"Argument `symmetry` must not flip the spins with magnetization={self.magnetization} and "
                    f"parity={self.parity}, which flipping changes."
                )
            _check_symmetry(ansatz, rows, self.symmetry)
        return _no_chains(ansatz)

    def draw(self, ansatz: Ansatz, state: SamplerState, n_samples: int, rng: np.random.Generator) -> Samples:  # noqa: ARG002
        """Return all configurations, whatever the arguments after `ansatz` are."""
        spins, weights, log_psi = _distribution(ansatz, self.magnetization, self.parity, self.symmetry)
        there = weights > 0  # elsewhere the local energy is not defined
        return Samples(spins[there], weights[there], log_psi[there], 0, float("nan"))


@dataclass(frozen=True)
class Exact(Sampler):
    """Independent draws from |psi|^2 over all configurations, for small systems.

    Parameters
    ----------
    magnetization : int, optional, keyword
        Only configurations with this sum of all spins.
    parity : {-1, +1}, optional, keyword
        Only configurations with this product of all spins.

    Examples
    --------
    >>> from qmlphys.nqs.ansatz import RBM
    >>> ansatz, rng = RBM(4, rng=1), np.random.default_rng(1)
    >>> sampler = Exact(magnetization=0)
    >>> sampler.draw(ansatz, sampler.start(ansatz, rng), 5, rng).spins.sum(dim=1).tolist()
    [0, 0, 0, 0, 0]
    """

    _: KW_ONLY
    magnetization: int | None = None
    parity: int | None = None
    n_chains: int = field(default=0, init=False, repr=False)

    def start(self, ansatz: Ansatz, rng: np.random.Generator) -> SamplerState:  # noqa: ARG002 - nothing to warm up
        """Check that the sector exists and is small enough; see `Sampler.start`."""
        configurations(ansatz.n_sites, magnetization=self.magnetization, parity=self.parity)
        return _no_chains(ansatz)

    def draw(self, ansatz: Ansatz, state: SamplerState, n_samples: int, rng: np.random.Generator) -> Samples:  # noqa: ARG002
        """Draw by inverting the cumulative distribution; see `Sampler.draw`."""
        n_samples = whole_number("n_samples", n_samples)
        spins, weights, log_psi = _distribution(ansatz, self.magnetization, self.parity)
        cumulative = weights.cpu().numpy().cumsum()
        # Strictly below the end, and the first of equal entries: a configuration of zero weight is never found.
        numbers = np.searchsorted(cumulative, rng.random(n_samples) * cumulative[-1], side="right")
        found = torch.from_numpy(numbers).to(ansatz.device)
        return Samples(spins[found], _equal_weights(n_samples, ansatz.device), log_psi[found], 0, float("nan"))


@dataclass(frozen=True)
class Direct(Sampler):
    """Independent draws by the ansatz itself, without enumeration: autoregressive networks, matrix product states.

    Examples
    --------
    >>> from qmlphys.nqs.ansatz import Autoregressive
    >>> ansatz, rng = Autoregressive(6, rng=1), np.random.default_rng(1)
    >>> Direct().draw(ansatz, Direct().start(ansatz, rng), 100, rng).spins.shape
    torch.Size([100, 6])
    """

    n_chains: int = field(default=0, init=False, repr=False)

    def start(self, ansatz: Ansatz, rng: np.random.Generator) -> SamplerState:  # noqa: ARG002 - nothing to warm up
        """Check that the ansatz can be drawn from; see `Sampler.start`."""
        if not callable(getattr(ansatz, "sample", None)):
            raise TypeError(
                f"Argument `ansatz` must have a method `sample` to be drawn from directly, but {type(ansatz).__name__} "
                "has none; take Metropolis."
            )
        self._sample(ansatz, 1, np.random.default_rng(0))  # some can under conditions only, and say which
        return _no_chains(ansatz)

    def draw(self, ansatz: Ansatz, state: SamplerState, n_samples: int, rng: np.random.Generator) -> Samples:  # noqa: ARG002
        """Let the ansatz draw; see `Sampler.draw`."""
        n_samples = whole_number("n_samples", n_samples)
        spins = self._sample(ansatz, n_samples, rng)
        return Samples(spins, _equal_weights(n_samples, ansatz.device), evaluate(ansatz, spins), 0, float("nan"))

    @staticmethod
    def _sample(ansatz: Ansatz, n_samples: int, rng: np.random.Generator) -> Tensor:
        with torch.no_grad():
            return ansatz.sample(n_samples, rng).to(torch.int8)  # type: ignore[operator]
