"""The one training loop of this room: mini-batches, cosine decay, early stopping on held-out groups, one seed."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn
from torch.nn import functional

from qmlphys.phases.networks import PeriodicCNN

__all__ = ["Plan", "build", "find_device", "logits_of", "split_rows", "threads_for", "torch_threads", "train"]

# Threads wait for each other after every operation. A step below this many multiplications gains nothing from them, and
# on a busy machine the waiting costs twenty times the work.
_WORK_FOR_THREADS = 2**24
_MAX_THREADS = 4
# Rows that are evaluated at once, so that memory stays bounded for any number of snapshots.
_BLOCK = 8192
# Rows from which the frozen scale of the features is taken.
_CALIBRATION_ROWS = 20_000
# A validation loss that falls by less (in nats a row) counts as standing still: separable classes would otherwise be
# trained to ever larger logits.
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Plan:
    """How to train.

    Parameters
    ----------
    max_epochs : int
        Passes over the training rows, >= 1; the learning rate falls to zero along a cosine over this many.
    batch_size : int
        Rows a step, >= 1.
    learning_rate : float
        Largest step of AdamW, > 0; reached after a short warm-up.
    weight_decay : float
        Decoupled weight decay of AdamW, >= 0.
    patience : int
        Epochs in which the validation loss does not fall (by 1e-4) before training stops, >= 1.
    device : str
        "cpu", "cuda", "cuda:1", "mps", ...
    verbose : bool
        Whether to show a progress bar.
    """

    max_epochs: int = 50
    batch_size: int = 256
    learning_rate: float = 1e-2
    weight_decay: float = 0.0
    patience: int = 10
    device: str = "cpu"
    verbose: bool = False

    def __post_init__(self) -> None:
        for name in ("max_epochs", "batch_size", "patience"):
            value = getattr(self, name)
            if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
                raise ValueError(f"Argument `{name}` must be an integer >= 1, but it is {value!r}.")
        if not 0 < self.learning_rate < np.inf:
            raise ValueError(f"Argument `learning_rate` must be positive and finite, but it is {self.learning_rate!r}.")
        if not 0 <= self.weight_decay < np.inf:
            raise ValueError(f"Argument `weight_decay` must be >= 0 and finite, but it is {self.weight_decay!r}.")


@contextmanager
def torch_threads(n: int) -> Iterator[None]:
    """Limit torch to at most n threads inside the block and restore the number after it."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(n, before))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threads_for(network: nn.Module, n_rows: int, *, histogram: bool = False) -> int:
    """Return how many threads a pass of that many rows through the network is worth: 1 for small networks."""
    work = n_rows * sum(weights.numel() for weights in network.parameters())
    if isinstance(network, PeriodicCNN):
        work = n_rows * len(network.patterns) * network.n_features if histogram else work * math.prod(network.shape)
    return 1 if work < _WORK_FOR_THREADS else _MAX_THREADS


def find_device(name: str) -> torch.device:
    """Return the torch device of that name, or say that it is not there."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(
            f"Argument `device` must name a device torch can use here, but it is {name!r}: {error}"
        ) from error
    return device


def build(factory: Callable[[], nn.Module], *, seed: int) -> Any:
    """Make a network whose initial weights depend on the seed only; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return factory()


def split_rows(
    labels: npt.NDArray[np.intp],
    groups: npt.NDArray[Any] | None,
    fraction: float,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.bool_], Literal["groups", "rows", "none"]]:
    """Choose validation rows: whole groups, the same share of each class.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
        Class of each row, 0 .. n_classes - 1.
    groups : ndarray of shape (n,) or None
        Independent group (Monte Carlo chain) of each row. Rows of one group never stand on both sides.
    fraction : float
        Share that is held out, in [0, 1); 0 holds out nothing.
    rng : Generator
        Source of the choice.

    Returns
    -------
    mask : ndarray of bool, shape (n,)
        True for validation rows.
    kind : {"groups", "rows", "none"}
        What was split. "rows" if no groups were given, or (with a warning) if a class has fewer than two of them;
        "none" if nothing is held out.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"Argument `validation_fraction` must lie in [0, 1), but it is {fraction!r}.")
    mask = np.zeros(len(labels), dtype=bool)
    if fraction == 0:
        return mask, "none"
    n_classes = int(labels.max()) + 1
    if groups is not None:
        names, index = np.unique(groups, return_inverse=True)
        # A group that holds several classes is counted with the one it holds most of.
        table = np.bincount(index * n_classes + labels, minlength=len(names) * n_classes).reshape(-1, n_classes)
        owner = table.argmax(1)
        if (np.bincount(owner, minlength=n_classes) >= 2).all():
            held = _share_of_each(owner, fraction, rng)
            return held[index], "groups"
        warnings.warn(
            "Argument `groups` must hold at least 2 groups of each class to keep some for validation, but a class has "
            "fewer; rows were split instead, so that early stopping sees draws correlated with the training draws.",
            UserWarning,
            stacklevel=3,
        )
    mask = _share_of_each(labels, fraction, rng)
    return mask, "rows" if mask.any() else "none"


def _share_of_each(labels: npt.NDArray[np.intp], fraction: float, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Pick that share of every class, at least one and not all of those with two members or more."""
    chosen = np.zeros(len(labels), dtype=bool)
    for label in range(int(labels.max()) + 1):
        members = rng.permutation(np.flatnonzero(labels == label))
        if len(members) >= 2:
            chosen[members[: min(max(round(fraction * len(members)), 1), len(members) - 1)]] = True
    return chosen


def train(
    network: nn.Module,
    inputs: npt.NDArray[Any],
    targets: npt.NDArray[Any],
    *,
    validation: npt.NDArray[np.bool_],
    plan: Plan,
    seed: int,
    weights: npt.NDArray[np.floating[Any]] | None = None,
    histogram: bool = False,
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
    description: str = "training",
) -> dict[str, list[float]]:
    """Train a network in place and leave it at its best validation loss (at its last epoch if nothing is held out).

    Parameters
    ----------
    network : Module
        Takes float32 input (n, ...) and returns logits (n, n_outputs). A `PeriodicCNN` is calibrated first.
    inputs : ndarray of shape (n, ...)
        Any real dtype; each batch is converted to float32, so int8 snapshots and int16 counts stay small.
    targets : ndarray
        Integers (n,) with n_outputs > 1: classes, cross entropy. Numbers in [0, 1] of shape (n, n_outputs), or (n,)
        with one output: independent sigmoid outputs, binary cross entropy.
    validation : ndarray of bool, shape (n,)
        Rows that are only looked at to stop. All False: train for all epochs.
    plan : Plan
        Epochs, rates, device.
    seed : int
        Decides the order of the batches and the augmentation.
    weights : ndarray, optional
        Weight of each term of the loss, >= 0, of shape (n,), or (n, n_outputs) or (1, n_outputs) for sigmoid outputs.
    histogram : bool
        Whether the inputs are pattern counts for `PeriodicCNN.forward_histogram`.
    augment : callable, optional
        Takes a float batch and a generator and returns the batch to train on. Never applied to validation rows.
    description : str
        What the progress bar says.

    Returns
    -------
    dict
        "loss" and "validation_loss" (empty without validation rows), one number an epoch; "best_epoch", one entry.
    """
    device = find_device(plan.device)
    generator = torch.Generator().manual_seed(seed)
    train_rows = torch.from_numpy(np.flatnonzero(~validation))
    held_rows = torch.from_numpy(np.flatnonzero(validation))
    x = _tensor(inputs, device)
    y = _tensor(targets, device)
    w = None if weights is None else _tensor(np.asarray(weights, dtype=np.float32), device)
    network.to(device)
    forward = _forward(network, histogram)
    history: dict[str, list[float]] = {"loss": [], "validation_loss": [], "best_epoch": []}
    n_threads = threads_for(network, plan.batch_size, histogram=histogram)
    with torch_threads(n_threads), Progress(console=Console(stderr=True), disable=not plan.verbose) as progress:
        if isinstance(network, PeriodicCNN):
            picked = train_rows[torch.randperm(len(train_rows), generator=generator)[:_CALIBRATION_ROWS]]
            network.calibrate(torch.cat([_features(network, x[rows], histogram) for rows in picked.split(_BLOCK)]))
        # The fused step costs a quarter of the plain one, which matters for networks this small.
        fused = device.type in ("cpu", "cuda")
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=fused
        )
        n_steps = plan.max_epochs * -(-len(train_rows) // plan.batch_size)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _Cosine(n_steps))
        best, best_epoch, best_state = np.inf, 0, None
        mark, mark_epoch = np.inf, 0
        task = progress.add_task(description, total=plan.max_epochs)
        for epoch in range(plan.max_epochs):
            network.train()
            total = torch.zeros((), device=device)
            for chosen in torch.randperm(len(train_rows), generator=generator).split(plan.batch_size):
                rows = train_rows[chosen].to(device)
                batch = x[rows].float()
                if augment is not None:
                    batch = augment(batch, generator)
                loss = _loss(forward(batch), y[rows], None if w is None else w if len(w) == 1 else w[rows])
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
                schedule.step()
                total += loss.detach() * len(rows)
            history["loss"].append(float(total) / len(train_rows))
            progress.update(task, advance=1, description=f"{description}: loss {history['loss'][-1]:.4f}")
            if not len(held_rows):
                best_epoch = epoch
                continue
            score = _validate(network, forward, x, y, w, held_rows.to(device))
            history["validation_loss"].append(score)
            if score < best:
                best, best_epoch = score, epoch
                best_state = copy.deepcopy(network.state_dict())
            if score < mark - _TOLERANCE:
                mark, mark_epoch = score, epoch
            elif epoch - mark_epoch >= plan.patience:
                break
        if best_state is not None:
            network.load_state_dict(best_state)
    history["best_epoch"].append(best_epoch)
    network.eval().to("cpu")
    return history


class _Cosine:
    """Learning rate relative to its largest: linear warm-up over 2 % of the steps, then half a cosine."""

    def __init__(self, n_steps: int) -> None:
        self.n_steps = n_steps
        self.n_warm = max(1, n_steps // 50)

    def __call__(self, step: int) -> float:
        warm = (step + 1) / self.n_warm
        return min(warm, 0.5 * (1 + np.cos(np.pi * min(step / self.n_steps, 1))))


def _tensor(array: npt.NDArray[Any], device: torch.device) -> Tensor:
    """Hand an array to torch; read-only memory is copied, since torch cannot promise to leave it alone."""
    array = np.ascontiguousarray(array)
    return torch.from_numpy(array if array.flags.writeable else array.copy()).to(device)


def _forward(network: nn.Module, histogram: bool) -> Callable[[Tensor], Tensor]:
    if not histogram:
        return network
    if not isinstance(network, PeriodicCNN):
        raise TypeError(f"Only a PeriodicCNN reads pattern counts, but the network is a {type(network).__name__}.")
    return network.forward_histogram


def _features(network: PeriodicCNN, batch: Tensor, histogram: bool) -> Tensor:
    with torch.no_grad():
        batch = batch.float()
        return network.features_histogram(batch) if histogram else network.features(batch)


def _loss(logits: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """Weighted mean of the cross entropy."""
    if targets.ndim == 1 and logits.shape[1] > 1:
        terms = functional.cross_entropy(logits, targets.long(), reduction="none")
    else:
        terms = functional.binary_cross_entropy_with_logits(
            logits, targets.reshape(logits.shape).to(logits.dtype), reduction="none"
        )
        if weights is not None and weights.ndim == 1:
            weights = weights[:, None]
    if weights is None:
        return terms.mean()
    weights = weights.expand_as(terms)
    # A batch may hold no row that counts; its loss is then zero and not 0 / 0.
    return (weights * terms).sum() / weights.sum().clamp_min(1e-12)


def _validate(
    network: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, w: Tensor | None, rows: Tensor
) -> float:
    network.eval()
    total = weight = 0.0
    with torch.no_grad():
        for block in rows.split(_BLOCK):
            chosen = None if w is None else w if len(w) == 1 else w[block]
            share = float(len(block)) if chosen is None or len(chosen) == 1 else float(chosen.sum())
            total += share * float(_loss(forward(x[block].float()), y[block], chosen))
            weight += share
    return total / weight if weight > 0 else np.inf


def logits_of(
    network: nn.Module,
    inputs: npt.NDArray[Any],
    *,
    histogram: bool = False,
    device: str = "cpu",
    dtype: torch.dtype = torch.float64,
) -> npt.NDArray[np.float64]:
    """Return the logits of a trained network, block by block.

    Parameters
    ----------
    network : Module
        A trained network; it is left as it is.
    inputs : ndarray of shape (n, ...)
        Rows, or pattern counts if `histogram`.
    histogram : bool
        Whether the inputs are pattern counts.
    device : str
        Where to compute.
    dtype : torch.dtype
        Precision. In float64 the answer for a row does not depend on its neighbours to 1e-12; float32 is faster for
        convolutions.

    Returns
    -------
    ndarray of float64, shape (n, n_outputs)
        Logits.
    """
    place = find_device(device)
    if place.type == "mps" and dtype == torch.float64:
        place = torch.device("cpu")  # Apple's GPUs have no float64
    twin = copy.deepcopy(network).to(place, dtype)
    forward = _forward(twin, histogram)
    n_threads = threads_for(twin, min(len(inputs), _BLOCK), histogram=histogram)
    with torch_threads(n_threads), torch.no_grad():
        pieces = [
            forward(_tensor(inputs[start : start + _BLOCK], place).to(dtype)).double().cpu().numpy()
            for start in range(0, len(inputs), _BLOCK)
        ]
    return np.concatenate(pieces)
