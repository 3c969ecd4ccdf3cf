"""Losses of a circuit's exact probabilities, and where its training stands."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qmlphys.bits import bits_to_integers, integers_to_bits
from qmlphys.generative._file import ModelFileError
from qmlphys.generative._training import Trace

__all__ = [
    "ROUNDING",
    "Discrepancy",
    "LogLikelihood",
    "Loss",
    "State",
    "angles_of",
    "frequencies_of",
    "log",
    "string_weights",
    "walsh",
]

Loss = Literal["nll", "mmd"]
Vector = NDArray[np.float64]

ROUNDING = 1e-28
"""Below this a probability is the square of rounding in its amplitude (1e-16 a gate); its logarithm has no meaning."""

# Pairs of steps and changes of the gradient that describe the curvature.
_MEMORY = 20
# A step must bring this share of the descent that the slope promises (J. Nocedal and S. J. Wright, Numerical
# Optimization, ch. 3); after so many shorter trials, rounding is all that is left.
_SUFFICIENT, _MAX_TRIALS = 1e-4, 25


class LogLikelihood:
    """Negative log-likelihood a row, and its derivatives by the probabilities of the different rows."""

    def __init__(self, frequencies: Vector) -> None:
        self.outcomes = np.flatnonzero(frequencies)
        self.shares = frequencies[self.outcomes]

    def check(self, p: Vector, n_qubits: int) -> None:
        """Refuse rows of probability zero, where the logarithm has no gradient."""
        missed = self.outcomes[p[self.outcomes] < ROUNDING]
        if missed.size:
            row = integers_to_bits(missed[0], n_qubits).tolist()
            raise ValueError(
                "The log-likelihood must start from parameters that give every row of X a probability, but "
                f"{missed.size} rows have none (the first in bits: {row}): change them a little, or take loss='mmd'."
            )

    def value(self, p: Vector) -> float:
        return float(-(self.shares @ log(p[self.outcomes])))

    def slopes(self, p: Vector) -> tuple[NDArray[np.int64], Vector]:
        # A step that overshoots may land on a zero: the bound keeps the way back finite.
        return self.outcomes, -self.shares / np.maximum(p[self.outcomes], ROUNDING)


class Discrepancy:
    """Squared maximum mean discrepancy as a weighted sum over Z strings, and its derivatives."""

    def __init__(self, frequencies: Vector, weights: Vector) -> None:
        self.frequencies = frequencies
        self.weights = weights

    def value(self, p: Vector) -> float:
        return float(self.weights @ walsh(p - self.frequencies) ** 2)

    def slopes(self, p: Vector) -> tuple[NDArray[np.int64], Vector]:
        return np.arange(len(p)), 2.0 * walsh(self.weights * walsh(p - self.frequencies))


class State:
    """Where training stands: parameters, what is known of the curvature, what was seen.

    Steps are those of L-BFGS (J. Nocedal, Math. Comput. 35, 773 (1980)): gradients are exact here and free of noise,
    and it needs several times fewer of them than the gradient descents made for noise. A line search asks for
    probabilities alone, which cost a fifth of a gradient.
    """

    _ARRAYS = ("parameters", "best", "last_parameters", "last_gradient", "moves", "changes")

    def __init__(self, start: Vector, trace: Trace, loss: Loss, seed: int) -> None:
        self.parameters = start
        self.best = start
        self.last_parameters = start
        self.last_gradient = np.zeros_like(start)
        self.moves = np.empty((0, start.size))
        self.changes = np.empty((0, start.size))
        self.ended = False
        self.trace = trace
        self.loss = loss
        self.seed = seed
        # What training lowers is what is watched; for the likelihood both are one.
        self.watch = trace if loss == "nll" else Trace(patience=trace.patience, tolerance=trace.tolerance)

    def add(self, nll: list[float], losses: list[float], gradient: Vector) -> None:
        """Write down the present parameters' losses, training and validation, and the step that led to them."""
        others = {"gradient_norm": float(np.linalg.norm(gradient))}
        if self.loss == "mmd":
            others |= dict(zip(("train_mmd", "validation_mmd"), (*losses, math.nan), strict=False))
            self.watch.add(*losses)
        self.trace.add(*nll, **others)
        if self.watch.improved:
            self.best = self.parameters
        move, change = self.parameters - self.last_parameters, gradient - self.last_gradient
        # Where the loss is not convex along the step, the pair would turn descent into ascent.
        if move @ change > 1e-10 * np.linalg.norm(move) * np.linalg.norm(change):
            self.moves = np.vstack([self.moves, move])[-_MEMORY:]
            self.changes = np.vstack([self.changes, change])[-_MEMORY:]
        self.last_parameters, self.last_gradient = self.parameters, gradient

    def step(self, loss: Callable[[Vector], float], longest: float) -> None:
        """Go downhill, no angle by more than `longest`; nowhere lower is the end."""
        here, gradient = self.watch.columns["train_nll"][-1], self.last_gradient
        for direction in (self._quasi_newton(), -gradient):
            largest = np.abs(direction).max()
            if largest == 0.0:
                break
            direction = direction * min(1.0, longest / largest)
            slope = float(gradient @ direction)
            length = 1.0
            for _ in range(_MAX_TRIALS):
                there = loss(self.parameters + length * direction)
                if there < here and there <= here + _SUFFICIENT * length * slope:
                    self.parameters = self.parameters + length * direction
                    return
                # The lowest point of the parabola through what is known, within bounds.
                lowest = -slope * length**2 / (2.0 * (there - here - slope * length))
                length = float(np.clip(lowest, 0.1 * length, 0.5 * length))
            # The curvature that is remembered may be the fault: once more without it.
            self.moves, self.changes = self.moves[:0], self.changes[:0]
        self.ended = True

    def _quasi_newton(self) -> Vector:
        """Return minus the inverse curvature times the gradient, by the recursion of L-BFGS."""
        direction = -self.last_gradient
        pairs = list(zip(self.moves, self.changes, strict=True))
        shares = []
        for move, change in reversed(pairs):
            shares.append((move @ direction) / (move @ change))
            direction = direction - shares[-1] * change
        if pairs:
            move, change = pairs[-1]
            direction = direction * (move @ change) / (change @ change)
        for (move, change), share in zip(pairs, reversed(shares), strict=True):
            direction = direction + (share - (change @ direction) / (move @ change)) * move
        return direction

    def content(self) -> tuple[dict[str, Any], dict[str, Vector]]:
        """Return header and arrays of a checkpoint."""
        header: dict[str, Any] = {"trace": self.trace.text(), "watch": self.watch.text(), "seed": self.seed}
        header["ended"] = self.ended
        return header, {name: getattr(self, name) for name in self._ARRAYS}

    @staticmethod
    def seed_of(header: Mapping[str, Any]) -> int:
        """Return the seed with which a checkpoint's training began."""
        seed = header.get("seed")
        if not isinstance(seed, int) or seed < 0:
            raise ModelFileError(f"The checkpoint must hold the seed of its training, but it holds {seed!r}.")
        return seed

    def restore(self, header: Mapping[str, Any], arrays: Mapping[str, Vector]) -> None:
        """Take a checkpoint."""
        try:
            self.watch.restore(header["watch"])
            self.trace.restore(header["trace"])
            self.ended = bool(header["ended"])
            found = {name: arrays[name] for name in self._ARRAYS}
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ModelFileError(f"The checkpoint must hold trace and parameters, but it does not: {error}.") from None
        for name, array in found.items():
            rows = found["moves"].shape[:1] if name in ("moves", "changes") else ()
            if array.shape != (*rows, self.parameters.size) or array.dtype.kind != "f" or not np.isfinite(array).all():
                raise ModelFileError(f"The checkpoint must hold finite {name} of the circuit, but it does not.")
        for name, array in found.items():
            setattr(self, name, array)


def log(p: Vector) -> Vector:
    with np.errstate(divide="ignore"):
        return cast(Vector, np.log(p))


def walsh(values: Vector) -> Vector:
    """Return sum_x (-1)^(number of common ones of x and S) values[x] for every S."""
    for stride in 2 ** np.arange(len(values).bit_length() - 1):
        pairs = values.reshape(-1, 2, stride)
        values = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1).reshape(-1)
    return values


def string_weights(n_qubits: int, bandwidth: float | Sequence[float]) -> Vector:
    """Return the weight of each Z string in the mean of Gaussian kernels; they sum to one."""
    widths = np.atleast_1d(np.asarray(bandwidth, dtype=np.float64))
    if widths.ndim != 1 or not widths.size or not (np.isfinite(widths) & (widths > 0)).all():
        raise ValueError(f"Argument `bandwidth` must be a positive number or several, but it is {bandwidth!r}.")
    ones = np.bitwise_count(np.arange(2**n_qubits)).astype(np.float64)
    share = -np.expm1(-0.5 / widths[:, np.newaxis] ** 2) / 2
    weights = (share**ones * (1 - share) ** (n_qubits - ones)).mean(axis=0)
    return cast(Vector, weights / weights.sum())


def frequencies_of(bits: NDArray[np.int8]) -> Vector:
    """Return the share of every outcome among the rows."""
    return np.bincount(bits_to_integers(bits), minlength=2 ** bits.shape[1]) / len(bits)


def angles_of(values: ArrayLike, n_parameters: int, argument: str) -> Vector:
    """Read one finite angle a free parameter."""
    angles = np.asarray(values)
    if angles.dtype.kind not in "biuf":
        raise TypeError(f"Argument `{argument}` must hold real numbers, but its dtype is {angles.dtype}.")
    if angles.shape != (n_parameters,):
        raise ValueError(
            f"Argument `{argument}` must have one angle a parameter, shape ({n_parameters},), but its shape is "
            f"{angles.shape}."
        )
    if not np.isfinite(angles).all():
        raise ValueError(f"Argument `{argument}` must be finite, but it holds NaN or infinity.")
    return angles.astype(np.float64)
