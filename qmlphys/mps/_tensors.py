"""Standard forms of chains of (left, 2, right) tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["compressed", "right_canonical"]

Tensors = tuple[NDArray[Any], ...]


def right_canonical(tensors: Tensors) -> tuple[Tensors, float]:
    """Return the normalised state in right-canonical form, sum over s of A[s] A[s]^H = 1, and the log of its norm.

    A state that is zero has the log -inf, and its tensors mean nothing.
    """
    found = list(tensors)
    carried: NDArray[Any] = np.ones((1, 1))
    log_norm = 0.0
    for site in range(len(found) - 1, -1, -1):
        tensor = np.tensordot(found[site], carried, axes=(2, 0))
        left, _, right = tensor.shape
        q, r = np.linalg.qr(tensor.reshape(left, 2 * right).conj().T)
        found[site] = q.conj().T.reshape(-1, 2, right)
        carried = r.conj().T
        scale = float(np.abs(carried).max())  # norms grow exponentially with the number of sites
        if scale == 0:
            return tuple(found), -np.inf
        carried = carried / scale
        log_norm += float(np.log(scale))
    found[0] = found[0] * carried[0, 0]  # of absolute value 1: the phase
    return tuple(found), log_norm


def compressed(tensors: Tensors, max_bond: int) -> tuple[Tensors, float]:
    """Return nearly the same state, scaled to norm 1, with bonds of at most `max_bond`, and the log of its norm before.

    The largest singular values of each bond are kept, from left to right.
    """
    canonical, log_norm = right_canonical(tensors)
    if log_norm == -np.inf:
        return canonical, log_norm
    found = []
    carried: NDArray[Any] = np.ones((1, 1))
    for tensor in canonical[:-1]:
        joined = np.tensordot(carried, tensor, axes=(1, 0))
        left, _, right = joined.shape
        u, singular, v = np.linalg.svd(joined.reshape(2 * left, right), full_matrices=False)
        kept = max(1, min(max_bond, int((singular > 1e-14 * singular[0]).sum())))
        found.append(u[:, :kept].reshape(left, 2, kept))
        carried = singular[:kept, None] * v[:kept]
    return (*found, np.tensordot(carried, canonical[-1], axes=(1, 0))), log_norm
