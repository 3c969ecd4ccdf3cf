"""Free parameters of invertible 2 x 2 matrices: angles, in which the condition number cannot leave its bound."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["Angles", "condition_numbers", "normalized"]


class Angles:
    """Invertible matrices on qubits as functions of unconstrained real numbers.

    Up to a factor, M = RY(b) RZ(c) diag(1, s) RY(d) RZ(e) with a phase before each measurement outcome, which nothing
    depends on, so that five numbers describe a visible qubit. What a hidden qubit does does not depend on a unitary
    from the left either, and three numbers remain. The smaller singular value is s = exp(-log(max_condition) sin^2(t /
    2)): the bound is reached at a finite t, and no step can leave it. Taking the entries of M as parameters and cutting
    singular values after each step would do the same for plain gradient steps, but would spoil the curvature that a
    quasi-Newton method has learned; and the factors and phases would be directions in which nothing changes.

    Parameters
    ----------
    n_qubits : int
        Number of qubits.
    visible : sequence of int
        The visible ones.
    max_condition : float
        Bound, at least 1.
    """

    def __init__(self, n_qubits: int, visible: tuple[int, ...], max_condition: float) -> None:
        self.visible = np.array(sorted(visible), dtype=np.int64)
        self.hidden = np.setdiff1d(np.arange(n_qubits), self.visible)
        self.log_condition = math.log(max_condition)

    @property
    def size(self) -> int:
        """Number of parameters."""
        return 5 * len(self.visible) + 3 * len(self.hidden)

    def start(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw random directions, with condition numbers up to ten."""
        theta = rng.uniform(-math.pi, math.pi, size=self.size)
        largest = 2 * math.asin(math.sqrt(min(1.0, math.log(10) / max(self.log_condition, 1e-300))))
        n = len(self.visible) + len(self.hidden)
        theta[:n] = rng.uniform(0.2, 1.0, size=n) * largest  # the numbers t come first
        return theta

    def matrices(self, theta: torch.Tensor) -> torch.Tensor:
        """Return the matrices, shape (n_qubits, 2, 2), complex128; largest singular value 1."""
        n_visible, n_hidden = len(self.visible), len(self.hidden)
        n = n_visible + n_hidden
        t, d, e, rest = theta[:n], theta[n : 2 * n], theta[2 * n : 3 * n], theta[3 * n :]
        small = torch.exp(-self.log_condition * torch.sin(t / 2) ** 2)
        right = _turn_y(d) * _phases(e)[:, None, :]
        scaled = right * torch.stack([torch.ones_like(small), small], dim=1)[:, :, None]
        left = _turn_y(rest[:n_visible]) * _phases(rest[n_visible:])[:, None, :]
        qubits = np.concatenate([self.visible, self.hidden])
        found = torch.cat([left @ scaled[:n_visible], scaled[n_visible:]])
        return found[torch.from_numpy(np.argsort(qubits))]


def _turn_y(angles: torch.Tensor) -> torch.Tensor:
    cosine, sine = torch.cos(angles / 2), torch.sin(angles / 2)
    rows = [torch.stack([cosine, -sine], dim=1), torch.stack([sine, cosine], dim=1)]
    return torch.stack(rows, dim=1).to(torch.complex128)


def _phases(angles: torch.Tensor) -> torch.Tensor:
    half = angles / 2
    return torch.exp(1j * torch.stack([-half, half], dim=1))


def normalized(matrices: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Scale each matrix to a largest singular value of 1."""
    return matrices / np.linalg.svd(matrices, compute_uv=False)[:, :1, None]


def condition_numbers(matrices: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Largest singular value over the smallest one, of each matrix."""
    singular = np.linalg.svd(matrices, compute_uv=False)
    with np.errstate(divide="ignore", invalid="ignore"):
        return singular[:, 0] / singular[:, 1]
