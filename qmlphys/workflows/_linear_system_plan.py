"""How a linear system becomes a circuit: checks, bounds, embedding, filter and time, and nothing that solves it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from qiskit import QuantumCircuit

from circuits.linear_systems import hhl
from qmlphys.workflows import _linear_system_filter as filters
from qmlphys.workflows._linear_system_bounds import Embedding, embed, norm_is_at_most, singular_value_bounds
from qmlphys.workflows._linear_system_result import Matrix

__all__ = ["MAX_UNKNOWNS", "MIN_ERROR", "Method", "Plan", "check_options", "check_shots", "make_plan", "system_of"]

MAX_UNKNOWNS = 64
"""The largest system that is solved."""

MIN_ERROR = 1e-6
"""The smallest error that can be asked for; how much of it a condition number allows, `make_plan` says."""

# Condition numbers are rounded up to a ladder of this ratio, so that systems alike share a filter.
_LADDER = 1.01
_LEAST_CONDITION = 1.05

# Norms are sums of squares.
_SMALLEST = 1e-70

Method = Literal["exponential", "diagonalised"]


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything that shapes the circuit, found without solving anything."""

    system: Embedding
    chosen: filters.Filter
    time: float
    bounds: tuple[float, float]
    blocks: bool
    method: Method

    def circuit(self) -> QuantumCircuit:
        """Build the circuit."""
        matrix, table = self.system.matrix, self.chosen.table
        if self.chosen.definite:
            # Positive angles up to 2 pi: half a turn less brings them into the clock's signed range, and the table
            # turns along.
            matrix = matrix - np.pi / self.time * np.eye(len(matrix))
            table = np.roll(table, len(table) // 2)
        return hhl(
            matrix,
            self.system.vector,
            n_clock=self.chosen.n_clock,
            evolution="blocks" if self.blocks else self.method,
            time=self.time,
            window=self.chosen.window,
            reciprocal=table,
        )

    @property
    def per_amplitude(self) -> float:
        """What a post-selected amplitude is multiplied by to give an unknown."""
        return self.system.factor * self.time / self.chosen.scale


def system_of(matrix: ArrayLike, rhs: ArrayLike) -> tuple[Matrix, Matrix]:
    """Check a linear system; complex arrays without imaginary part become real ones."""
    a, b = _numbers(matrix, "matrix"), _numbers(rhs, "rhs")
    if a.ndim != 2 or a.shape[0] != a.shape[1] or not 2 <= len(a) <= MAX_UNKNOWNS:
        raise ValueError(f"Argument `matrix` must be square with 2 to {MAX_UNKNOWNS} rows, but its shape is {a.shape}.")
    if b.shape != a.shape[:1]:
        raise ValueError(
            f"Argument `rhs` must be a vector of {len(a)} numbers, one a row of the matrix, but its shape is {b.shape}."
        )
    if not b.any():
        raise ValueError(
            "Argument `rhs` must not be zero, but it is: the solution is zero then, and no state holds it."
        )
    if not a.any():
        raise ValueError("Argument `matrix` must not be zero, but it is: no solution exists.")
    return a, b


def _numbers(values: ArrayLike, argument: str) -> Matrix:
    """Return a finite array of float64 or complex128."""
    try:
        array = np.asarray(values)
    except ValueError:
        raise ValueError(f"Argument `{argument}` must be an array of numbers, but its rows differ in length.") from None
    if array.dtype.kind not in "biufc":
        raise TypeError(f"Argument `{argument}` must hold numbers, but its dtype is {array.dtype}.")
    if not np.isfinite(array).all():
        n_bad = int(np.count_nonzero(~np.isfinite(array)))
        raise ValueError(f"Argument `{argument}` must be finite, but {n_bad} of {array.size} numbers are nan or inf.")
    largest = float(np.abs(array).max(initial=0))
    if largest and not _SMALLEST < largest < 1 / _SMALLEST:
        raise ValueError(
            f"Argument `{argument}` must have its largest entry between {_SMALLEST:g} and {1 / _SMALLEST:g}, so that "
            f"squares fit double precision, but it is {largest:g}: scale the system."
        )
    if array.dtype.kind == "c" and array.imag.any():
        return array.astype(np.complex128)
    return array.real.astype(np.float64)


def check_options(error: float, max_condition: float, n_clock: int | None, window: str, method: str) -> None:
    """Check the scalar arguments."""
    if isinstance(error, bool) or not isinstance(error, (int, float)) or not MIN_ERROR <= error < 1:
        raise ValueError(f"Argument `error` must be a number in [{MIN_ERROR:g}, 1), but it is {error!r}.")
    if not (isinstance(max_condition, (int, float)) and 1 <= max_condition < math.inf):
        raise ValueError(f"Argument `max_condition` must be a finite number >= 1, but it is {max_condition!r}.")
    low, high = filters.MIN_CLOCK, filters.MAX_CLOCK
    if n_clock is not None and (
        isinstance(n_clock, bool) or not isinstance(n_clock, (int, np.integer)) or not low <= n_clock <= high
    ):
        raise ValueError(f"Argument `n_clock` must be a whole number from {low} to {high}, but it is {n_clock!r}.")
    if window not in ("sine", "uniform"):
        raise ValueError(f"Argument `window` must be 'sine' or 'uniform', but it is {window!r}.")
    if method not in ("exponential", "diagonalised"):
        raise ValueError(f"Argument `method` must be 'exponential' or 'diagonalised', but it is {method!r}.")


def check_shots(shots: int | None, rng: object, backend: str, *, exact: bool) -> None:
    """Check the number of shots against the kind of backend."""
    if exact:
        if shots is not None or rng is not None:
            given = "shots" if shots is not None else "rng"
            raise ValueError(
                f"Argument `{given}` must be left out on backend {backend!r}, which is exact, but it is given: choose "
                "a sampled backend such as 'aer'."
            )
        return
    if isinstance(shots, bool) or not isinstance(shots, (int, np.integer)) or shots < 1:
        raise ValueError(
            f"Argument `shots` must be a positive whole number on backend {backend!r}, which samples, but it is "
            f"{shots!r}."
        )


def make_plan(
    a: Matrix,
    b: Matrix,
    *,
    error: float,
    bounds: tuple[float, float] | None,
    max_condition: float,
    n_clock: int | None,
    window: Literal["sine", "uniform"],
    method: Method,
    blocks: bool,
) -> Plan:
    """Choose bounds, embedding, filter and time."""
    low, high = _bounds(a, bounds)
    # The bounds are 0.2 % wide each, which is no reason to refuse a matrix of just the largest condition number.
    if not low * max_condition * 1.005 >= high:
        estimate = f"at least {high / low / 1.005:.3g}" if low else "beyond what double precision resolves"
        raise ValueError(
            f"Argument `matrix` must have a condition number of at most {max_condition:g}, but it is {estimate}: "
            "regularise the system (for example solve (A^H A + d I) x = A^H b), precondition it, or raise "
            "`max_condition`."
        )
    system = embed(a, b, bounds=(low, high))
    condition = max(system.high / system.low, _LEAST_CONDITION)
    condition = _LADDER ** math.ceil(math.log(condition) / math.log(_LADDER) - 1e-9)
    chosen = filters.design(condition, error, definite=system.definite, window=window, n_clock=n_clock)
    if chosen is None:
        size = n_clock or filters.MAX_CLOCK
        best = filters.narrowest(condition, size, definite=system.definite, window=window).error
        cure = "raise `error`" if n_clock is None else "raise `error`, or leave `n_clock` out"
        raise ValueError(
            f"Argument `error` must be reachable with {size} clock qubits, but the circuit must be right to {error:g} "
            f"and at condition number {condition:.3g} they reach {best:.2g}: {cure}."
        )
    return Plan(system, chosen, chosen.high / system.high, (low, high), blocks, method)


def _bounds(a: Matrix, bounds: tuple[float, float] | None) -> tuple[float, float]:
    """Return the given bounds after a check, or find some."""
    if bounds is None:
        return singular_value_bounds(a)
    try:
        low, high = (float(value) for value in bounds)
    except (TypeError, ValueError):
        raise TypeError(f"Argument `bounds` must be two numbers (low, high), but it is {bounds!r:.80}.") from None
    if not 0 < low <= high < math.inf:
        raise ValueError(f"Argument `bounds` must satisfy 0 < low <= high, but it is ({low:g}, {high:g}).")
    # Above the upper bound phases would wrap around. The lower one concerns only the part that b has there, which may
    # be nothing, and is judged by the residual.
    if not norm_is_at_most(a, high):
        raise ValueError(
            f"Argument `bounds` must enclose every singular value, but the matrix has one above {high:g}: raise the "
            "upper bound, or leave both out to have them found."
        )
    return low, high
