"""Training of a matrix product state on rows: two-site updates, each of them a convex problem.

In the mixed canonical form around a pair of sites the norm of the state is that of the pair's tensor B, so the negative
log-likelihood (NLL) of rows x with weights w is -sum_x w_x ln a_x^2 + ln |B|^2, where a_x = l_x B r_x is linear in B.
Its minimum over B is also that of

    g(B) = |B|^2 - sum_x w_x ln a_x^2,

because the best scale makes |B| = 1. As long as no a_x changes its sign g is convex, and its Hessian is that of the
Fisher metric (the identity) plus one term a row: the nearly unit conditioning is why a few conjugate gradients suffice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qmlphys.mps._tensors import right_canonical

__all__ = ["Array", "Sweeper", "canonical", "first_tensors", "log_likelihoods", "smoothed"]

Array = NDArray[np.float64]

_START_BOND = 2
# Conjugate gradients a pair. More of them than this change what a pair learns by less than its neighbours' next steps.
_LOCAL_STEPS = 4
# Newton steps on a line; each costs a pass over the amplitudes only, not over the tensors.
_LINE_STEPS = 30
_LINE_TOLERANCE = 1e-6
# A step ends at the latest this share of the way to where the first amplitude would vanish.
_SHARE_TO_ZERO = 0.9
# Amplitudes are taken to be at least this, with environments of largest entry 1: fourth powers of it are still numbers.
_SMALLEST = 1e-60


def first_tensors(bits: NDArray[np.int8], weights: Array, rng: np.random.Generator) -> list[Array]:
    """Return a state of bond 2 near the product of the single-site distributions.

    All entries are positive, and therefore all amplitudes: the root of a distribution is what is looked for. The random
    part makes both states of a bond different; without it, data without pair correlations would be a stationary point.
    """
    n_sites = bits.shape[1]
    if n_sites == 1:  # no pairs: the answer
        shares = np.array([weights @ (1 - bits[:, 0]), weights @ bits[:, 0]])
        return [np.sqrt(shares)[None, :, None]]
    ones = np.clip(weights @ bits, 0.02, 0.98)  # bits that never vary would start with an amplitude of zero
    roots = np.sqrt(np.stack([1 - ones, ones], axis=1))
    tensors = []
    for site in range(n_sites):
        left = 1 if site == 0 else _START_BOND
        right = 1 if site == n_sites - 1 else _START_BOND
        tensors.append(roots[site][None, :, None] * rng.uniform(0.5, 1.5, (left, 2, right)))
    return tensors


def canonical(tensors: list[Array]) -> list[Array]:
    """Return the state with norm 1 and its centre at site 0."""
    # One layout in memory, as in what is read from a checkpoint: other layouts may give other last bits.
    return [np.ascontiguousarray(tensor) for tensor in right_canonical(tuple(tensors))[0]]


def smoothed(tensors: list[Array], strength: float) -> list[Array]:
    """Return exp(strength X) of every site on the state, again with norm 1 and its centre at site 0."""
    if strength == 0:
        return list(tensors)
    gate = np.cosh(strength) * np.eye(2) + np.sinh(strength) * np.array([[0.0, 1.0], [1.0, 0.0]])
    return canonical([np.einsum("ts,lsr->ltr", gate, tensor) for tensor in tensors])


def advance(vectors: Array, tensor: Array, bits: NDArray[np.int8]) -> tuple[Array, Array]:
    """Multiply row vectors by the matrix of their bit; return them with largest entry 1, and logs of the factors."""
    following = np.empty((len(vectors), tensor.shape[2]))
    for bit in (0, 1):
        rows = np.flatnonzero(bits == bit)
        following[rows] = vectors[rows] @ tensor[:, bit]
    size = np.abs(following).max(axis=1)
    safe = np.maximum(size, np.finfo(np.float64).tiny)
    with np.errstate(divide="ignore"):
        return following / safe[:, None], np.log(size)


def log_likelihoods(tensors: list[Array], bits: NDArray[np.int8]) -> Array:
    """Return ln |psi|^2 of rows for a state of norm 1."""
    vectors, logs = np.ones((len(bits), 1)), np.zeros(len(bits))
    for site, tensor in enumerate(tensors):
        vectors, factor = advance(vectors, tensor, bits[:, site])
        logs += factor
    return 2 * logs


@dataclass(frozen=True)
class Pair:
    """The rows as a pair of sites sees them: vectors from both ends, one block for each value of the two bits.

    Parameters
    ----------
    left, right : list of ndarray, four of shape (m_k, left) and (m_k, right)
        Environments of the rows whose bits are (0, 0), (0, 1), (1, 0), (1, 1).
    weights : ndarray, shape (m,)
        Their weights, in the order of the blocks.

    Notes
    -----
    The environments may have any scale, each row its own: g changes by a constant then.
    """

    left: list[Array]
    right: list[Array]
    weights: Array

    def amplitudes(self, blocks: Array) -> Array:
        """Return l B r of all rows, shape (m,)."""
        return np.concatenate(
            [
                np.einsum("xr,xr->x", left @ block, right)
                for left, block, right in zip(self.left, blocks, self.right, strict=True)
            ]
        )

    def accumulated(self, factors: Array) -> Array:
        """Return sum_x factor_x l_x r_x in the shape of the blocks."""
        found, start = [], 0
        for left, right in zip(self.left, self.right, strict=True):
            found.append(left.T @ (factors[start : start + len(left), None] * right))
            start += len(left)
        return np.stack(found)


def along_line(weights: Array, ratio: Array, slope: float, curvature: float) -> float:
    """Minimise |B + t D|^2 - sum w ln (a + t d)^2 over t > 0, where ratio = d / a, slope = B.D, curvature = D.D."""
    lowest = float(ratio.min(initial=0.0))
    limit = -1 / lowest if lowest < 0 else np.inf
    t = 0.0
    for _ in range(_LINE_STEPS):
        shifted = ratio / (1 + t * ratio)
        first = slope + t * curvature - float(weights @ shifted)
        second = curvature + float(weights @ shifted**2)
        step = -first / second
        # Convex with a wall at the limit: Newton steps that would jump it stop short of it.
        moved = min(t + step, t + _SHARE_TO_ZERO * (limit - t))
        if abs(moved - t) <= _LINE_TOLERANCE * abs(moved):
            return moved
        t = moved
    return t


def minimised(blocks: Array, pair: Pair, *, n_steps: int, learning_rate: float) -> Array:
    """Take the tensor of a pair towards the minimum of g by nonlinear conjugate gradients with exact line searches."""
    start = blocks
    weights = pair.weights
    # A row that cuts have left without amplitude is pulled back as if it had a very small one.
    amplitudes = pair.amplitudes(blocks)
    amplitudes = np.where(np.abs(amplitudes) < _SMALLEST, _SMALLEST, amplitudes)
    direction = previous = np.zeros_like(blocks)
    for step in range(n_steps):
        downhill = pair.accumulated(weights / amplitudes) - blocks
        size = float((downhill * downhill).sum())
        if size < 1e-24 * float((blocks * blocks).sum()):
            break
        if step:  # Polak-Ribiere, restarted where it would be negative
            beta = max(0.0, float((downhill * (downhill - previous)).sum() / (previous * previous).sum()))
            direction = downhill + beta * direction
        else:
            direction = downhill
        if float((downhill * direction).sum()) <= 0:
            direction = downhill
        change = pair.amplitudes(direction)
        t = along_line(
            weights, change / amplitudes, float((blocks * direction).sum()), float((direction * direction).sum())
        )
        blocks = blocks + t * direction
        amplitudes = amplitudes + t * change
        previous = downhill
    # Between the start and the minimum g falls all the way, since it is convex.
    return start + learning_rate * (blocks - start)


class Sweeper:
    """A state in mixed canonical form, and the vectors that every row makes of the sites left and right of a bond.

    Parameters
    ----------
    tensors : list of ndarray, shape (left, 2, right)
        The state, of norm 1, its centre at site 0 (or where the position of `begin` has it); taken over.
    max_bond : int
        Largest bond.
    cutoff : float
        Share of the norm squared that a cut may lose.
    learning_rate : float
        How far towards the minimum a tensor goes, above 0 up to 1.
    n_steps : int
        Conjugate gradients a pair.
    """

    def __init__(
        self, tensors: list[Array], *, max_bond: int, cutoff: float, learning_rate: float, n_steps: int = _LOCAL_STEPS
    ) -> None:
        self.tensors = tensors
        self.max_bond = max_bond
        self.cutoff = cutoff
        self.learning_rate = learning_rate
        self.n_steps = n_steps
        self.n_sites = len(tensors)
        self.position = 0

    @property
    def n_positions(self) -> int:
        """Number of updates of one pass, to the right end and back."""
        return 2 * self.n_sites - 3

    def begin(self, bits: NDArray[np.int8], weights: Array, position: int = 0) -> None:
        """Take rows for one pass, and make the vectors that the update at `position` needs."""
        self.bits, self.weights, self.position = bits, weights, position
        bond = self._bond(position) if position < self.n_positions else 0
        ones = np.ones((len(bits), 1))
        self._left: list[Any] = [ones] + [None] * (self.n_sites - 1)
        self._right: list[Any] = [None] * (self.n_sites - 1) + [ones]
        for site in range(bond):
            self._left[site + 1] = advance(self._left[site], self.tensors[site], bits[:, site])[0]
        for site in range(self.n_sites - 1, bond + 1, -1):
            self._pull(site)

    def _bond(self, position: int) -> int:
        return min(position, self.n_positions - 1 - position)

    def _pull(self, site: int) -> None:
        tensor = self.tensors[site].transpose(2, 1, 0)
        self._right[site - 1] = advance(self._right[site], tensor, self.bits[:, site])[0]

    def update(self) -> None:
        """Update one pair and move on."""
        bond = self._bond(self.position)
        to_right = self.position < self.n_sites - 2  # at the right end the centre turns
        first, second = self.tensors[bond], self.tensors[bond + 1]
        left, right = first.shape[0], second.shape[2]
        blocks = np.tensordot(first, second, axes=(2, 0)).transpose(1, 2, 0, 3).reshape(4, left, right)
        code = 2 * self.bits[:, bond] + self.bits[:, bond + 1]
        groups = [np.flatnonzero(code == k) for k in range(4)]
        pair = Pair(
            [self._left[bond][rows] for rows in groups],
            [self._right[bond + 1][rows] for rows in groups],
            self.weights[np.concatenate(groups)],
        )
        blocks = minimised(blocks, pair, n_steps=self.n_steps, learning_rate=self.learning_rate)
        matrix = blocks.reshape(2, 2, left, right).transpose(2, 0, 1, 3).reshape(2 * left, 2 * right)
        u, singular, v = np.linalg.svd(matrix, full_matrices=False)
        # Weight that is lost when only the first k are kept, k = 0, 1, ...
        lost = np.append(np.cumsum((singular**2)[::-1])[::-1], 0.0)
        kept = int(np.argmax(lost <= self.cutoff * lost[0]))
        kept = max(1, min(kept, self.max_bond))
        singular = singular[:kept] / np.linalg.norm(singular[:kept])
        u, v = u[:, :kept], v[:kept]
        if to_right:
            v = singular[:, None] * v
        else:
            u = u * singular
        self.tensors[bond] = np.ascontiguousarray(u).reshape(left, 2, kept)
        self.tensors[bond + 1] = np.ascontiguousarray(v).reshape(kept, 2, right)
        if to_right:
            self._left[bond + 1] = advance(self._left[bond], self.tensors[bond], self.bits[:, bond])[0]
            self._right[bond + 1] = None
        else:
            self._pull(bond + 1)
            self._left[bond] = None
        self.position += 1
