"""What a workflow that writes a report gives back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qmlphys.report import Row

__all__ = ["Outcome"]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What was found, and where it can be read.

    Parameters
    ----------
    title : str
        What was done.
    rows : list of Row
        Every number.
    report : pathlib.Path
        The page.
    seconds : float
        How long it took.
    n_resumed : int
        Steps that were read from an earlier start instead of computed.
    """

    title: str
    rows: list[Row]
    report: Path
    seconds: float
    n_resumed: int
