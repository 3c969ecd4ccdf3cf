"""The part of a network's features that is odd under reversal of all spins, and the order parameter made of it."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.utils.validation import check_is_fitted, validate_data

from qmlphys._arguments import no_dataset
from qmlphys.phases._front import Front
from qmlphys.phases._patterns import count_patterns, mean_over_patterns
from qmlphys.phases._training import threads_for, torch_threads
from qmlphys.phases.networks import DenseNetwork, PeriodicCNN

__all__ = ["OrderParameterMixin", "blocks", "find_direction", "project_odd"]

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


class OrderParameterMixin:
    """What estimators with one trained network, or several of one shape, know about order in snapshots."""

    _front: Front
    order_direction_: npt.NDArray[np.float64] | None

    def _networks(self) -> list[Network]:
        """Return the trained networks; the first one gives the order parameter."""
        return list(getattr(self, "networks_", None) or [self.network_])  # type: ignore[attr-defined]

    def order_parameter(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the learned order parameter q(s), odd under s -> -s.

        The odd part of the network's features, o(s) = [f(s) - f(-s)] / 2, is projected on the direction in which the
        training snapshots with order (the class 1, or all of them where there are no labels) have the largest mean
        square, and scaled so that the largest |q| among them is 1. The
        features are linear in the spins (dense network) or lattice averages of local functions (CNN), so q is an
        extensive odd operator divided by the volume: near a ferromagnetic critical point all of these scale like the
        magnetisation. Its cumulant ratio <q^2>^2 / <q^4> therefore crosses at the critical point for different sizes,
        whatever threshold the readout has drawn between the phases. (At the square lattice's critical point, for six
        CNNs trained at L = 20, it differs from that of m by at most 0.013 at L = 8 and 0.0005 at L = 64, like L^-7/4.)

        Parameters
        ----------
        X : array_like of shape (n, n_sites)
            Snapshots (bits or spins).

        Returns
        -------
        ndarray of float64, shape (n,)
            q, positive for all spins +1 unless that state has q = 0.

        Raises
        ------
        ValueError
            If the fit was not one on snapshots, or held more or fewer than two labelled classes.
        """
        check_is_fitted(self)
        no_dataset("X", X)
        data: npt.NDArray[Any] = validate_data(self, X, reset=False, dtype="numeric")
        if self.order_direction_ is None:
            raise ValueError(
                "An order parameter needs a fit on snapshots (bits or spins), of two classes where there are labels, "
                f"but the features were {self._front.alphabet!r}, or the classes others."
            )
        network = self._networks()[0]
        return np.concatenate(
            [project_odd(network, self._front.spins(block), self.order_direction_) for block in blocks(data)]
        )

    def resized(self, shape: tuple[int, ...]) -> Self:
        """Return the fitted CNN for another lattice size, with the same weights.

        Parameters
        ----------
        shape : tuple of int
            New shape, with as many axes as the old one.

        Returns
        -------
        estimator
            A fitted copy.

        Raises
        ------
        ValueError
            If the network is dense, whose weights belong to sites, or the number of axes differs.
        """
        check_is_fitted(self)
        first = self._networks()[0]
        if not isinstance(first, PeriodicCNN):
            # The estimator's settings are at fault, not the type of an argument.
            raise ValueError("Only a CNN can be applied to another size, but this one is dense.")  # noqa: TRY004
        if len(shape) != len(first.shape):
            raise ValueError(f"Argument `shape` must have {len(first.shape)} axes, but it is {shape!r}.")
        twin = copy.deepcopy(self)
        twin.set_params(shape=tuple(shape))  # type: ignore[attr-defined]
        for network in twin._networks():
            network.shape = tuple(shape)
        twin._front.shape = tuple(shape)
        twin.n_features_in_ = twin._front.n_features = math.prod(shape)  # type: ignore[attr-defined]
        if hasattr(twin, "feature_names_in_"):
            del twin.feature_names_in_
        return twin
