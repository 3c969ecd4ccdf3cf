"""One training of a Born machine: batches, passes, the best state, and a checkpoint from which it goes on."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from qmlphys.generative._data import packed
from qmlphys.generative._file import ModelFileError
from qmlphys.generative._sweeps import Array, Sweeper, canonical, first_tensors, log_likelihoods, smoothed
from qmlphys.generative._training import Checkpoint, Trace, restore_rng, rng_text
from qmlphys.mps import MatrixProductState

__all__ = ["BornTraining"]

_SECONDS = 10.0  # between two checkpoints
_MAX_BYTES = 2**33


class Settings(Protocol):
    """What training reads of a `BornMachine`."""

    max_bond: int
    cutoff: float
    learning_rate: float
    smoothing: float
    max_sweeps: int
    batch_size: int | None
    patience: int
    tolerance: float
    verbose: bool


@dataclass
class BornTraining:
    """One training: the sweeps, what they have reached, and where they stand."""

    model: Settings
    train_bits: NDArray[np.int8]
    validation_bits: NDArray[np.int8]
    rng: np.random.Generator

    def __post_init__(self) -> None:
        self.bits, self.weights = packed(self.train_bits)
        self.validation = packed(self.validation_bits) if len(self.validation_bits) else None
        self._check_memory()
        self.trace = Trace(patience=self.model.patience, tolerance=self.model.tolerance)
        self.best: list[Array] = []

    @property
    def n_batches(self) -> int:
        size = self.model.batch_size or len(self.bits)
        return -(-len(self.bits) // size)

    def _check_memory(self) -> None:
        n_sites = self.bits.shape[1]
        bonds = sum(min(self.model.max_bond, 2 ** min(i, n_sites - i, 30)) for i in range(1, n_sites))
        rows = -(-len(self.bits) // self.n_batches)
        needed = 8 * rows * bonds
        if needed > _MAX_BYTES:
            raise ValueError(
                f"Argument `batch_size` must let the vectors of a batch fit into {_MAX_BYTES / 2**30:.0f} GiB, but "
                f"{rows} rows of {n_sites} sites at max_bond = {self.model.max_bond} need {needed / 2**30:.1f} GiB: "
                "lower one of them."
            )

    def nll(self, tensors: list[Array]) -> tuple[float, float]:
        """Return training and validation NLL of a state of norm 1, in nats a row."""
        found = -float(self.weights @ log_likelihoods(tensors, self.bits))
        if self.validation is None:
            return found, float("nan")
        bits, weights = self.validation
        return found, -float(weights @ log_likelihoods(tensors, bits))

    def batches(self) -> list[NDArray[np.intp]]:
        """Cut the rows into batches, in an order drawn anew each pass."""
        if self.n_batches == 1:
            return [np.arange(len(self.bits))]
        return np.array_split(self.rng.permutation(len(self.bits)), self.n_batches)

    def train(self, checkpoint: Checkpoint, saved: Any, seed: int) -> None:
        """Sweep until nothing improves, from the start or from where a checkpoint stands."""
        model = self.model
        n_done, batch, position = 0, 0, 0
        if saved is None:
            tensors = canonical(first_tensors(self.bits, self.weights, self.rng))
        else:
            tensors, n_done, batch, position = self._restore(*saved)
        sweeper = Sweeper(tensors, max_bond=model.max_bond, cutoff=model.cutoff, learning_rate=model.learning_rate)
        written = time.monotonic()
        with Progress(console=Console(stderr=True), disable=not model.verbose) as progress:
            task = progress.add_task("Born machine", total=model.max_sweeps, completed=n_done)
            while n_done < model.max_sweeps and not self.trace.stalled:
                text = rng_text(self.rng)  # from here the order of this pass can be drawn again
                batches = self.batches()
                while batch < len(batches):
                    rows = batches[batch]
                    sweeper.begin(self.bits[rows], self.weights[rows] / self.weights[rows].sum(), position)
                    while sweeper.position < sweeper.n_positions:
                        sweeper.update()
                        if checkpoint.path is not None and time.monotonic() > written + _SECONDS:
                            self._write(checkpoint, sweeper, seed, text, (n_done, batch, sweeper.position))
                            written = time.monotonic()
                    batch, position = batch + 1, 0
                batch = 0
                n_done += 1
                reached = smoothed(sweeper.tensors, model.smoothing)
                train, validation = self.nll(reached)
                self.trace.add(train, validation, max_bond=max(tensor.shape[2] for tensor in reached))
                if self.trace.improved:
                    self.best = reached
                shown = train if self.validation is None else validation
                progress.update(task, completed=n_done, description=f"Born machine, NLL {shown:.5g}")
        self._write(checkpoint, sweeper, seed, rng_text(self.rng), (n_done, 0, 0))

    def _write(
        self, checkpoint: Checkpoint, sweeper: Sweeper, seed: int, rng: str, place: tuple[int, int, int]
    ) -> None:
        arrays = {f"tensor_{site}": tensor for site, tensor in enumerate(sweeper.tensors)}
        arrays |= {f"best_{site}": tensor for site, tensor in enumerate(self.best)}
        header = {"seed": seed, "rng": rng, "place": list(place), "trace": self.trace.text()}
        checkpoint.write(header, arrays)

    def _restore(self, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> tuple[list[Array], int, int, int]:
        n_sites = self.bits.shape[1]
        try:
            self.rng = restore_rng(header["rng"])
            self.trace.restore(header["trace"])
            n_done, batch, position = (int(value) for value in header["place"])
            tensors = [np.array(arrays[f"tensor_{site}"], dtype=np.float64) for site in range(n_sites)]
            if len(self.trace):
                self.best = [np.array(arrays[f"best_{site}"], dtype=np.float64) for site in range(n_sites)]
            for state in filter(None, (tensors, self.best)):
                MatrixProductState(tuple(state))  # checks shapes and numbers
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelFileError(
                f"The checkpoint must hold the state of a training, but it does not: {error}."
            ) from None
        if len(self.trace) != n_done or not 0 <= batch < self.n_batches or not 0 <= position <= 2 * n_sites:
            raise ModelFileError(f"The checkpoint must stand inside the training, but it stands at {header['place']}.")
        return tensors, n_done, batch, position
