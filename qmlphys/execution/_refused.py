"""The error that says why a circuit cannot run, before anything is run or sent."""

from __future__ import annotations

__all__ = ["CircuitRefused"]


class CircuitRefused(ValueError):  # noqa: N818 (it says what happened)
    """The circuit cannot run on this backend; the text says why and what to do, in one sentence."""


CircuitRefused.__module__ = "qmlphys.execution"  # where users find it
