"""The part of a network's features that is odd under reversal of all spins, and the order parameter made of it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from qmlphys.phases._patterns import count_patterns, mean_over_patterns
from qmlphys.phases._training import threads_for, torch_threads
from qmlphys.phases.networks import DenseNetwork, PeriodicCNN

__all__ = ["blocks", "find_direction", "project_odd"]

Network = DenseNetwork | PeriodicCNN

# Numbers that are expanded from int8 to floating point at a time.
_BLOCK = 2**24
# Rows that are enough to find a direction among a few dozen features.
_MAX_ROWS = 20_000


def blocks(X: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Cut rows into pieces whose floating-point copy stays small."""
    step = max(1, _BLOCK // max(X.shape[1], 512))
    for start in range(0, len(X), step):
        yield X[start : start + step]


def _odd_table(network: PeriodicCNN) -> npt.NDArray[np.float64]:
    """Half the difference of the features of each pattern and of its mirror image, (n_patterns, n_features)."""
    with torch.no_grad():
        table = copy.deepcopy(network).double().pattern_features().numpy()
    return (table - table[::-1]) / 2


def _odd_features(network: Network, spins: npt.NDArray[np.int8]) -> npt.NDArray[np.float64]:
    """Return [f(s) - f(-s)] / 2, shape (n, n_features)."""
    if isinstance(network, PeriodicCNN) and network.supports_histogram:
        counts = count_patterns(spins, network.shape, kernel_size=network.kernel_size)
        return counts @ _odd_table(network) / spins.shape[1]
    if isinstance(network, DenseNetwork):
        return spins.astype(np.float64) @ network.first.weight.detach().double().numpy().T
    with torch_threads(threads_for(network, len(spins))), torch.no_grad():
        x = torch.from_numpy(spins.astype(np.float32))
        return ((network.features(x) - network.features(-x)) / 2).double().numpy()


def project_odd(
    network: Network, spins: npt.NDArray[np.int8], direction: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the odd features along a direction, without forming them where one pass over the spins does."""
    if isinstance(network, PeriodicCNN) and network.supports_histogram:
        table = _odd_table(network) @ direction
        return mean_over_patterns(spins, network.shape, table, kernel_size=network.kernel_size)
    if isinstance(network, DenseNetwork):
        return spins.astype(np.float64) @ (network.first.weight.detach().double().numpy().T @ direction)
    return _odd_features(network, spins) @ direction


def find_direction(network: Network, ordered: npt.NDArray[np.int8]) -> npt.NDArray[np.float64] | None:
    """Return the direction of largest mean square of the odd features over ordered snapshots.

    The second moment is taken about zero, which is the mean over s and -s, so that chains which all chose the same sign
    of the magnetisation do no harm. Scaled to a largest |q| of 1 among them; positive for all spins +1 unless that
    state has q = 0. None if the features have no odd part.
    """
    ordered = ordered[:: -(-len(ordered) // _MAX_ROWS)]
    odd = np.concatenate([_odd_features(network, block) for block in blocks(ordered)])
    direction = np.linalg.eigh(odd.T @ odd)[1][:, -1]
    largest = float(np.abs(odd @ direction).max())
    if largest <= 1e-12 * float(np.abs(odd).max(initial=1e-12)):
        return None
    direction = direction / largest
    up = float(project_odd(network, np.ones((1, ordered.shape[1]), dtype=np.int8), direction)[0])
    sign = up if abs(up) > 1e-6 else direction[np.abs(direction).argmax()]
    return direction if sign > 0 else -direction
