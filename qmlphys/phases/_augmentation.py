"""Showing a network its training snapshots in all their equivalent forms: lattice translations and spin reversal."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["AUGMENTATIONS", "Augmentation"]

AUGMENTATIONS = ("translations", "flip")


class Augmentation:
    """Moves a batch by a random lattice translation and reverses all spins of random rows.

    One translation serves a whole batch: it costs one copy instead of a gather, and over thousands of batches every
    snapshot meets every translation all the same.

    Parameters
    ----------
    names : sequence of {"translations", "flip"}
        Symmetries to use.
    shape : tuple of int or None
        The lattice's shape; needed for translations.
    counts : bool
        Whether batches hold pattern counts; they know no translations, and a flip reverses their order.
    """

    def __init__(self, names: Sequence[str], *, shape: tuple[int, ...] | None, counts: bool) -> None:
        if not set(names) <= set(AUGMENTATIONS):
            raise ValueError(
                f"Argument `augment` must be 'auto', None or hold names from {AUGMENTATIONS}, but it is {names!r}."
            )
        if "translations" in names and shape is None:
            raise ValueError(
                "Argument `augment` must not ask for translations unless `shape` is given, but `shape` is None."
            )
        self.shape = shape if "translations" in names and not counts else None
        self.flip = "flip" in names
        self.counts = counts

    def __call__(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Return the batch (n, n_features) in a random equivalent form."""
        if self.shape is not None:
            steps = [int(torch.randint(size, (), generator=generator)) for size in self.shape]
            axes = list(range(1, len(steps) + 1))
            batch = torch.roll(batch.reshape(-1, *self.shape), steps, axes).flatten(1)
        if self.flip:
            reverse = (torch.rand(len(batch), 1, generator=generator) < 0.5).to(batch.device)
            # The pattern with all spins reversed is the complement, which stands at the mirrored place.
            batch = torch.where(reverse, batch.flip(1) if self.counts else -batch, batch)
        return batch
