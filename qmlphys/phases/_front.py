"""What stands before a network: the alphabet of snapshots, the scale of other features, pattern counts, symmetries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from qmlphys._alphabet import Alphabet, find_alphabet, to_spins
from qmlphys.phases._augmentation import Augmentation
from qmlphys.phases._patterns import count_patterns, holds_spins
from qmlphys.phases._training import build, logits_of
from qmlphys.phases.networks import DenseNetwork, PeriodicCNN

__all__ = ["Front"]


@dataclass
class Front:
    """Makes networks for some data and turns rows into what they read.

    Parameters
    ----------
    network : {"dense", "cnn"}
        Which network.
    shape : tuple of int, int or None
        The lattice's shape.
    hidden, channels, kernel_size, pointwise
        Layers, as in `DenseNetwork` and `PeriodicCNN`.
    augment : "auto", None or sequence of str
        Symmetries used as augmentation; "auto" is translations for a dense network with a shape.
    """

    network: Literal["dense", "cnn"]
    shape: tuple[int, ...] | int | None
    hidden: tuple[int, ...]
    channels: tuple[int, ...]
    kernel_size: int | None
    pointwise: tuple[int, ...]
    augment: Literal["auto"] | Sequence[str] | None
    alphabet: Alphabet = "real"
    histogram: bool = False
    n_features: int = 0
    _window: int = 0
    _offset: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    _scale: npt.NDArray[np.float64] = field(default_factory=lambda: np.ones(1))

    @property
    def lattice(self) -> tuple[int, ...]:
        """The lattice's shape; a ring if none was given."""
        if self.shape is None:
            return (self.n_features,)
        return (self.shape,) if isinstance(self.shape, int) else tuple(self.shape)

    def fit(self, data: npt.NDArray[Any], training: npt.NDArray[np.bool_]) -> None:
        """Learn the alphabet from all rows and, for real features, the scale from the training rows."""
        self.n_features = data.shape[1]
        if math.prod(self.lattice) != self.n_features:
            raise ValueError(
                f"Argument `shape` must have as many sites as a row of X has entries ({self.n_features}), but is "
                f"{self.shape!r}."
            )
        self.alphabet = find_alphabet(data)
        if self.alphabet == "real":
            # A convolution must not tell sites apart: one scale for all of them.
            axis = 0 if self.network == "dense" else None
            scale = np.atleast_1d(data[training].std(axis=axis, dtype=np.float64))
            self._offset = np.atleast_1d(data[training].mean(axis=axis, dtype=np.float64))
            self._scale = np.where(scale > 0, scale, 1.0)
        probe = build(partial(self.make, 1), seed=0)
        self.histogram = self.alphabet != "real" and isinstance(probe, PeriodicCNN) and probe.supports_histogram
        self._window = probe.kernel_size if self.histogram else 0

    def make(self, n_outputs: int) -> DenseNetwork | PeriodicCNN:
        """Return a new network."""
        if self.network == "dense":
            return DenseNetwork(self.n_features, hidden=self.hidden, n_outputs=n_outputs)
        return PeriodicCNN(
            self.lattice,
            channels=self.channels,
            kernel_size=self.kernel_size,
            pointwise=self.pointwise,
            hidden=self.hidden,
            n_outputs=n_outputs,
        )

    def augmentation(self) -> Augmentation | None:
        """Return what each training batch goes through."""
        if self.augment is None:
            return None
        names: Sequence[str] = (self.augment,) if isinstance(self.augment, str) else tuple(self.augment)
        if names == ("auto",):
            names = ("translations",) if self.network == "dense" and self.shape is not None else ()
        if "flip" in names and self.alphabet == "real":
            raise ValueError("Argument `augment` must not ask for flips unless X holds snapshots, but X holds others.")
        shape = self.lattice if self.network == "cnn" or self.shape is not None else None
        return Augmentation(names, shape=shape, counts=self.histogram) if names else None

    def inputs(self, data: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Turn rows into pattern counts, spins or standardised numbers."""
        if self.alphabet == "real":
            return ((data - self._offset) / self._scale).astype(np.float64)
        spins = self.spins(data)
        return count_patterns(spins, self.lattice, kernel_size=self._window) if self.histogram else spins

    def spins(self, data: npt.NDArray[Any]) -> npt.NDArray[np.int8]:
        """Return snapshots as int8 spins."""
        if self.alphabet == "spins" and data.dtype == np.int8 and holds_spins(data):
            return data  # the common case, in one pass and without a copy
        spins = to_spins(data, self.alphabet)
        if not (np.abs(spins) == 1).all():
            raise ValueError("Argument `X` must hold snapshots (-1/+1 or 0/1), as in `fit`, but holds other numbers.")
        return spins.astype(np.int8, copy=False)

    def logits(self, network: DenseNetwork | PeriodicCNN, inputs: npt.NDArray[Any], *, device: str) -> Any:
        """Return the logits (n, n_outputs) of a trained network."""
        # Convolutions over snapshots have no fast float64; everything else is exact to 1e-12 whatever its neighbours.
        slow = self.network == "cnn" and not self.histogram and self.alphabet != "real"
        dtype = torch.float32 if slow else torch.float64
        return logits_of(network, inputs, histogram=self.histogram, device=device, dtype=dtype)
