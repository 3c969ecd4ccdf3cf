"""Numbers that change from step to step: of step sizes and diagonal shifts."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, fields
from numbers import Real
from typing import Any

__all__ = ["Constant", "CosineDecay", "ExponentialDecay", "Linear", "Schedule", "WarmUp", "as_schedule"]


@dataclass(frozen=True)
class Schedule(ABC):
    """A number for each step. Abstract: subclasses are final frozen dataclasses that implement ``__call__``.

    Examples
    --------
    >>> schedule = Linear(0.1, 0.0, n_steps=10)
    >>> [schedule(step) for step in (0, 5, 10, 100)]
    [0.1, 0.05, 0.0, 0.0]
    >>> Schedule.from_dict(schedule.to_dict()) == schedule
    True
    """

    @abstractmethod
    def __call__(self, step: int) -> float:
        """Return the value at a step, counted from 0."""

    def to_dict(self) -> dict[str, Any]:
        """Return the schedule as a dictionary that JSON can hold; `from_dict` reads it back."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values = {name: value.to_dict() if isinstance(value, Schedule) else value for name, value in values.items()}
        return {"kind": type(self).__name__, **values}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Schedule:
        """Make the schedule that a dictionary of `to_dict` describes.

        Raises
        ------
        ValueError
            If the dictionary describes none.
        """
        name = values.get("kind") if isinstance(values, Mapping) else None
        if not isinstance(name, str) or name not in _KINDS:
            raise ValueError(
                f"Argument `values` must have the key 'kind' with one of {sorted(_KINDS)}, but it is {values!r}."
            )
        kind = _KINDS[name]
        rest = {name: value for name, value in values.items() if name != "kind"}
        names = [field.name for field in fields(kind)]
        if sorted(rest) != sorted(names):
            raise ValueError(f"Argument `values` must have the keys {names} for {kind.__name__}, but it is {values!r}.")
        return kind(**{n: Schedule.from_dict(v) if isinstance(v, Mapping) else v for n, v in rest.items()})


@dataclass(frozen=True)
class Constant(Schedule):
    """The same value at every step.

    Parameters
    ----------
    value : float
        At least 0.

    Examples
    --------
    >>> Constant(0.01)(1000)
    0.01
    """

    value: float

    def __post_init__(self) -> None:
        _check_values(self, "value")

    def __call__(self, step: int) -> float:  # noqa: ARG002 - the same call for all schedules
        """Return the value."""
        return self.value


@dataclass(frozen=True)
class Linear(Schedule):
    """Along a straight line from `start` to `stop`, then constant.

    Parameters
    ----------
    start, stop : float
        Values at step 0 and from step `n_steps` on, at least 0.
    n_steps : int, keyword
        Steps between them, at least 1.

    Examples
    --------
    >>> Linear(0.01, 0.03, n_steps=100)(50)
    0.02
    """

    start: float
    stop: float
    _: KW_ONLY
    n_steps: int

    def __post_init__(self) -> None:
        _check_values(self, "start", "stop")
        _check_steps(self)

    def __call__(self, step: int) -> float:
        """Return the value at a step."""
        part = min(step / self.n_steps, 1.0)
        return (1.0 - part) * self.start + part * self.stop


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """Geometrically from `start` to `stop`, then constant: start (stop / start)^(step / n_steps).

    Parameters
    ----------
    start, stop : float
        Values at step 0 and from step `n_steps` on, greater than 0.
    n_steps : int, keyword
        Steps between them, at least 1.

    Examples
    --------
    >>> round(ExponentialDecay(1e-2, 1e-4, n_steps=100)(50), 12)
    0.001
    """

    start: float
    stop: float
    _: KW_ONLY
    n_steps: int

    def __post_init__(self) -> None:
        _check_values(self, "start", "stop", positive=True)
        _check_steps(self)

    def __call__(self, step: int) -> float:
        """Return the value at a step."""
        return self.stop if step >= self.n_steps else self.start * (self.stop / self.start) ** (step / self.n_steps)


@dataclass(frozen=True)
class CosineDecay(Schedule):
    """Half a period of a cosine from `start` to `stop`, then constant.

    Loshchilov and Hutter, ICLR 2017 (arXiv:1608.03983), Eq. (5), without restarts.

    Parameters
    ----------
    start, stop : float
        Values at step 0 and from step `n_steps` on, at least 0.
    n_steps : int, keyword
        Steps between them, at least 1.

    Examples
    --------
    >>> round(CosineDecay(0.1, 0.0, n_steps=100)(50), 12)
    0.05
    """

    start: float
    stop: float
    _: KW_ONLY
    n_steps: int

    def __post_init__(self) -> None:
        _check_values(self, "start", "stop")
        _check_steps(self)

    def __call__(self, step: int) -> float:
        """Return the value at a step."""
        part = min(step / self.n_steps, 1.0)
        return self.stop + (self.start - self.stop) * (1.0 + math.cos(math.pi * part)) / 2.0


@dataclass(frozen=True)
class WarmUp(Schedule):
    """Another schedule, multiplied during its first `n_steps` steps by (step + 1) / n_steps.

    Parameters
    ----------
    schedule : Schedule or float
        What is warmed up.
    n_steps : int, keyword
        Steps until the factor is 1, at least 1.

    Examples
    --------
    >>> [WarmUp(0.1, n_steps=4)(step) for step in (0, 1, 3, 50)]
    [0.025, 0.05, 0.1, 0.1]
    """

    schedule: Schedule
    _: KW_ONLY
    n_steps: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "schedule", as_schedule(self.schedule, name="schedule"))
        _check_steps(self)

    def __call__(self, step: int) -> float:
        """Return the value at a step."""
        return self.schedule(step) * min((step + 1) / self.n_steps, 1.0)


_KINDS: dict[str, type[Schedule]] = {
    kind.__name__: kind for kind in (Constant, CosineDecay, ExponentialDecay, Linear, WarmUp)
}


def as_schedule(value: Schedule | float, *, name: str = "value") -> Schedule:
    """Return a schedule as it is, and a number as a constant one.

    Parameters
    ----------
    value : Schedule or float
        A number must be at least 0.
    name : str, keyword
        Of the argument, for the error text.

    Raises
    ------
    TypeError
        If it is neither a schedule nor a number.
    ValueError
        If the number is negative or not finite.

    Examples
    --------
    >>> as_schedule(0.01)
    Constant(value=0.01)
    """
    if isinstance(value, Schedule):
        return value
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"Argument `{name}` must be a number or a schedule, but it is {value!r}.")
    return Constant(_checked(name, value))


def _checked(name: str, value: object, *, positive: bool = False) -> float:
    what = "greater than 0" if positive else "at least 0"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"Argument `{name}` must be a number, but it is {value!r}.")
    number = float(value)
    if not math.isfinite(number) or number < 0 or (positive and number == 0):
        raise ValueError(f"Argument `{name}` must be finite and {what}, but it is {value!r}.")
    return number


def _check_values(schedule: Schedule, *names: str, positive: bool = False) -> None:
    for name in names:
        object.__setattr__(schedule, name, _checked(name, getattr(schedule, name), positive=positive))


def _check_steps(schedule: Linear | ExponentialDecay | CosineDecay | WarmUp) -> None:
    n_steps = schedule.n_steps
    if isinstance(n_steps, bool) or not isinstance(n_steps, int) or n_steps < 1:
        raise ValueError(f"Argument `n_steps` must be an integer of at least 1, but it is {n_steps!r}.")
