"""How a task is to be translated and simulated, and which backend can honour what."""

from __future__ import annotations

import dataclasses
import operator
from dataclasses import dataclass
from typing import Any

from qmlphys.execution.backends import Backend

__all__ = ["Options", "check_options"]


@dataclass(frozen=True)
class Options:
    """How a task is to be translated and simulated. What a backend cannot honour is refused, never ignored.

    Parameters
    ----------
    optimization_level : int, optional
        0 to 3, Qiskit's levels of translation. None: 3 on devices and fake devices; on simulators 0, which
        translates only what the simulator does not know. Not on `statevector`, which translates nothing.
    layout : tuple of int, optional
        Physical qubit of each qubit, on devices and fake devices. None: the translation chooses.
    precision : {"double", "single"}
        Of the amplitudes, on `aer` and `aer-gpu`.
    max_bond : int, optional
        Largest bond dimension on `aer-mps`. None: no limit. On fake devices it chooses matrix product states, which
        a circuit on very many qubits needs, with this bond dimension.
    truncation : float
        Sum of squared singular values that matrix product states may drop at each gate, 0 to 1.
    noise : bool
        On fake devices: with the calibrated noise (True) or ideal.
    """

    optimization_level: int | None = None
    layout: tuple[int, ...] | None = None
    precision: str = "double"
    max_bond: int | None = None
    truncation: float = 1e-16
    noise: bool = True

    def __post_init__(self) -> None:
        """Refuse values that no backend can honour."""
        level = self.optimization_level
        if level is not None and (type(level) is not int or not 0 <= level <= 3):
            raise ValueError(f"Option `optimization_level` must be 0, 1, 2 or 3, but it is {level!r}.")
        if self.layout is not None:
            try:
                layout = tuple(operator.index(qubit) for qubit in self.layout)
            except TypeError:
                raise ValueError(f"Option `layout` must be a list of qubits, but it is {self.layout!r}.") from None
            if len(set(layout)) != len(layout) or min(layout, default=0) < 0:
                raise ValueError(f"Option `layout` must hold different qubits >= 0, but it is {list(layout)}.")
            object.__setattr__(self, "layout", layout)
        if self.precision not in ("double", "single"):
            raise ValueError(f"Option `precision` must be 'double' or 'single', but it is {self.precision!r}.")
        if self.max_bond is not None and (type(self.max_bond) is not int or self.max_bond < 1):
            raise ValueError(f"Option `max_bond` must be an integer >= 1, but it is {self.max_bond!r}.")
        if not isinstance(self.truncation, (int, float)) or not 0 <= self.truncation < 1:
            raise ValueError(f"Option `truncation` must lie in [0, 1), but it is {self.truncation!r}.")
        if not isinstance(self.noise, bool):
            raise TypeError(f"Option `noise` must be True or False, but it is {self.noise!r}.")

    def changed(self) -> dict[str, Any]:
        """Return the options that differ from their defaults, by name."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        }


# Which backends can honour which option; the others refuse it.
_HONOURED = {
    "optimization_level": {"aer", "aer-mps", "aer-gpu", "fake", "ibm"},
    "layout": {"fake", "ibm"},
    "precision": {"aer", "aer-gpu"},
    "max_bond": {"aer-mps", "fake"},
    "truncation": {"aer-mps", "fake"},
    "noise": {"fake"},
}


def check_options(options: Options, target: Backend) -> None:
    """Refuse options that the backend cannot honour."""
    key = target.kind if target.kind in ("fake", "ibm") else target.name
    for name, value in options.changed().items():
        if key not in _HONOURED[name]:
            able = ", ".join(sorted(_HONOURED[name]))
            raise ValueError(
                f"Option `{name}` must keep its default on {target.name}, but it is {value!r}: only {able} can use it."
            )
    if target.kind == "fake" and options.max_bond is None and options.truncation != Options().truncation:
        raise ValueError(
            f"Option `truncation` must keep its default on {target.name} unless `max_bond` chooses matrix product "
            f"states, but it is {options.truncation!r}."
        )
