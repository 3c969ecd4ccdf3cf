"""Training by exact likelihoods: quasi-Newton steps on all rows, or Adam on batches; early stopping, checkpoints."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from qmlphys.generative._data import packed
from qmlphys.generative._file import ModelFileError
from qmlphys.generative._training import Checkpoint, Trace, restore_rng, rng_text

__all__ = ["Problem", "Schedule", "descend"]

Batch = TypeVar("Batch")
Vector = NDArray[np.float64]

_SECONDS = 10.0  # between two checkpoints
_PAIRS = 30  # steps that the quasi-Newton method remembers
_FLAT = 1e-9  # the gradient's largest entry at which there is nothing left to gain
_ARMIJO, _CURVATURE = 1e-4, 0.9
_TRIALS = 30
_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8


class Problem(Protocol[Batch]):
    """What is minimised over a vector of parameters."""

    def prepare(self, rows: NDArray[np.int8], weights: Vector) -> Batch:
        """Do once what rows of bits with weights of sum 1 need at all parameters."""

    def gradient(self, theta: Vector, batch: Batch) -> tuple[float, float, Vector]:
        """Return objective, negative log-likelihood (without penalties) and the objective's gradient."""

    def nll(self, theta: Vector, batch: Batch) -> float:
        """Return the negative log-likelihood."""

    def measured(self, theta: Vector) -> dict[str, float]:
        """Return what else the history shows."""


@dataclass(frozen=True)
class Schedule:
    """How training runs.

    Parameters
    ----------
    max_steps : int
        Steps; passes over the data where there are batches.
    trace : Trace
        Where likelihoods go; it decides when training has stalled.
    checkpoint : Checkpoint
        Where to continue from, and to write to.
    learning_rate : float, optional
        Adam's; None takes quasi-Newton steps.
    batch_size : int, optional
        Rows a step of Adam; None takes all.
    verbose : bool
        Whether to show a bar.
    """

    max_steps: int
    trace: Trace
    checkpoint: Checkpoint
    learning_rate: float | None
    batch_size: int | None
    verbose: bool


@dataclass(frozen=True)
class _State:
    """Everything from which training goes on; replaced as a whole, so that Ctrl-C finds a whole one."""

    theta: Vector
    best: Vector
    n_done: int = 0
    finished: bool = False
    objective: float = math.inf
    gradient: Vector = field(default_factory=lambda: np.empty(0))
    moves: Vector = field(default_factory=lambda: np.empty((0, 0)))  # quasi-Newton: steps, latest last
    changes: Vector = field(default_factory=lambda: np.empty((0, 0)))  # and changes of the gradient
    first: Vector = field(default_factory=lambda: np.empty(0))  # Adam: mean gradient
    second: Vector = field(default_factory=lambda: np.empty(0))  # and mean square
    n_updates: int = 0


_ARRAYS = ("theta", "best", "gradient", "moves", "changes", "first", "second")
_NUMBERS = ("n_done", "finished", "objective", "n_updates")


def descend(
    problem: Problem[Any],
    start: Callable[[], Vector],
    bits: NDArray[np.int8],
    hold_out: Callable[[], NDArray[np.bool_]],
    rng: np.random.Generator,
    schedule: Schedule,
) -> Vector:
    """Minimise the negative log-likelihood of rows.

    Parameters
    ----------
    problem : Problem
        Likelihood and gradient.
    start : callable
        Draws the first parameters.
    bits : ndarray of int8, shape (n, n_sites)
        All rows.
    hold_out : callable
        Draws the mask of rows that are held out for validation.
    rng : Generator
        What `start` and `hold_out` draw from; the order of batches comes from it, too.
    schedule : Schedule
        Length, method, early stopping, checkpoint.

    Returns
    -------
    ndarray
        The parameters of the best step.
    """
    trace, checkpoint = schedule.trace, schedule.checkpoint
    found = checkpoint.read()
    if found is None:
        held = hold_out()
        theta = start()
        state = _State(theta, theta)
    else:
        state, held, rng = _restored(*found, len(bits), trace)
    train = bits[~held]
    batch = problem.prepare(*packed(train))
    validation = problem.prepare(*packed(bits[held])) if held.any() else None

    def record(theta: Vector, nll: float) -> None:
        trace.add(nll, math.nan if validation is None else problem.nll(theta, validation), **problem.measured(theta))

    if found is None:
        objective, nll, gradient = problem.gradient(state.theta, batch)
        record(state.theta, nll)
        state = replace(state, objective=objective, gradient=gradient)
    text = rng_text(rng)
    written = time.monotonic()
    with _Bar(schedule) as bar:
        try:
            while state.n_done < schedule.max_steps and not state.finished and not trace.stalled:
                if schedule.learning_rate is None:
                    following, nll = _quasi_newton_step(problem, state, batch)
                else:
                    following = _adam_pass(
                        problem, state, train, batch, rng, schedule.batch_size, schedule.learning_rate
                    )
                    nll = problem.nll(following.theta, batch)
                if not following.finished:
                    record(following.theta, nll)
                    following = replace(following, n_done=state.n_done + 1)
                    if trace.improved:
                        following = replace(following, best=following.theta)
                state, text = following, rng_text(rng)
                bar.show(state.n_done, nll)
                if time.monotonic() - written > _SECONDS:
                    _write(checkpoint, state, held, trace, text)
                    written = time.monotonic()
        finally:
            # Also after Ctrl-C: nothing that was done is lost.
            _write(checkpoint, state, held, trace, text)
    return state.best


def _write(checkpoint: Checkpoint, state: _State, held: NDArray[np.bool_], trace: Trace, rng: str) -> None:
    columns = {name: values[: state.n_done + 1] for name, values in trace.columns.items()}
    header = {name: getattr(state, name) for name in _NUMBERS} | {"trace": json.dumps(columns), "rng": rng}
    checkpoint.write(header, {name: getattr(state, name) for name in _ARRAYS} | {"held": held})


def _restored(
    header: dict[str, Any], arrays: dict[str, NDArray[Any]], n_rows: int, trace: Trace
) -> tuple[_State, NDArray[np.bool_], np.random.Generator]:
    try:
        trace.restore(header["trace"])
        fields: dict[str, Any] = {name: header[name] for name in _NUMBERS} | {name: arrays[name] for name in _ARRAYS}
        state, held = _State(**fields), arrays["held"]
        rng = restore_rng(header["rng"])
        whole = len(trace) == state.n_done + 1 and held.shape == (n_rows,) and held.dtype == bool
        whole = whole and state.theta.shape == state.best.shape == state.gradient.shape
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"The checkpoint must hold a training, but it is damaged: {error}.") from None
    if not whole:
        raise ModelFileError("The checkpoint must hold a training, but its parts do not fit together.")
    return state, held, rng


def _quasi_newton_step(problem: Problem[Any], state: _State, batch: Any) -> tuple[_State, float]:
    """L-BFGS with a bisection for the weak Wolfe conditions, which keep its metric positive definite.

    Nocedal and Wright, Numerical Optimization (2006), algorithm 7.4; Lewis and Overton, Math. Program. 141, 135 (2013).
    """
    gradient = state.gradient
    if np.abs(gradient).max() <= _FLAT:
        return replace(state, finished=True), math.nan
    moves, changes = state.moves, state.changes
    direction = -_preconditioned(gradient, moves, changes)
    slope = float(direction @ gradient)
    if not slope < 0:  # lost to rounding: start again from the gradient
        moves = changes = np.empty((0, 0))
        direction, slope = -gradient, -float(gradient @ gradient)
    length = 1.0 if len(moves) else min(1.0, 1.0 / float(np.linalg.norm(gradient)))
    low, high = 0.0, math.inf
    for _ in range(_TRIALS):
        theta = state.theta + length * direction
        objective, nll, new = problem.gradient(theta, batch)
        if not objective <= state.objective + _ARMIJO * length * slope:
            high = length
        elif float(new @ direction) < _CURVATURE * slope:
            low = length
        else:
            break
        length = (low + high) / 2 if math.isfinite(high) else 2 * length
    if not objective < state.objective:
        if not len(moves):
            return replace(state, finished=True), math.nan  # not even downhill: rounding is all that is left
        return _quasi_newton_step(problem, replace(state, moves=np.empty((0, 0)), changes=np.empty((0, 0))), batch)
    move, change = theta - state.theta, new - gradient
    if float(move @ change) > 0:
        moves = np.vstack([moves.reshape(-1, len(move)), move])[-_PAIRS:]
        changes = np.vstack([changes.reshape(-1, len(move)), change])[-_PAIRS:]
    return replace(state, theta=theta, objective=objective, gradient=new, moves=moves, changes=changes), nll


def _preconditioned(gradient: Vector, moves: Vector, changes: Vector) -> Vector:
    """Two loops over the remembered steps: the inverse Hessian times the gradient."""
    q = gradient.copy()
    if not len(moves):
        return q
    rho = 1 / np.einsum("ij,ij->i", moves, changes)
    alpha = np.empty(len(moves))
    for k in range(len(moves) - 1, -1, -1):
        alpha[k] = rho[k] * float(moves[k] @ q)
        q -= alpha[k] * changes[k]
    q *= 1 / (rho[-1] * float(changes[-1] @ changes[-1]))
    for k in range(len(moves)):
        q += (alpha[k] - rho[k] * float(changes[k] @ q)) * moves[k]
    return q


def _adam_pass(
    problem: Problem[Any],
    state: _State,
    train: NDArray[np.int8],
    whole: Any,
    rng: np.random.Generator,
    batch_size: int | None,
    learning_rate: float,
) -> _State:
    """One pass over the rows in random order (Kingma and Ba, ICLR 2015)."""
    theta = state.theta
    first = state.first if state.first.size else np.zeros_like(theta)
    second = state.second if state.second.size else np.zeros_like(theta)
    n_updates = state.n_updates
    size = len(train) if batch_size is None else min(batch_size, len(train))
    order = None if size == len(train) else rng.permutation(len(train))
    for begin in range(0, len(train), size):
        part = whole if order is None else problem.prepare(*packed(train[order[begin : begin + size]]))
        gradient = problem.gradient(theta, part)[2]
        n_updates += 1
        first = _BETA_1 * first + (1 - _BETA_1) * gradient
        second = _BETA_2 * second + (1 - _BETA_2) * gradient**2
        mean, square = first / (1 - _BETA_1**n_updates), second / (1 - _BETA_2**n_updates)
        theta = theta - learning_rate * mean / (np.sqrt(square) + _EPSILON)
    return replace(state, theta=theta, first=first, second=second, n_updates=n_updates)


class _Bar:
    """A progress bar on standard error; nothing where it is not wanted."""

    def __init__(self, schedule: Schedule) -> None:
        self._bar: Any = None
        if schedule.verbose:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._task = self._bar.add_task("training", total=schedule.max_steps)

    def __enter__(self) -> _Bar:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, n_done: int, nll: float) -> None:
        """Move on to `n_done` steps."""
        if self._bar is not None:
            self._bar.update(self._task, completed=n_done, description=f"NLL {nll:.5f}")
