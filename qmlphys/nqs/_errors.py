"""The error of an optimisation that met nan or inf. Public through `qmlphys.nqs`."""

from __future__ import annotations

__all__ = ["VMCError"]


class VMCError(RuntimeError):
    """The optimisation met nan or inf; the last good parameters are back in the ansatz.

    Attributes
    ----------
    step : int
        Step at which it happened, counted from 0.
    where : str
        "energy" or "step".
    """

    def __init__(self, message: str, *, step: int, where: str) -> None:
        super().__init__(message)
        self.step, self.where = step, where


VMCError.__module__ = "qmlphys.nqs"  # where users find it
