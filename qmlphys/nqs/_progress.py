"""What a user sees and does while an optimisation runs: the progress bar, and Ctrl-C."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from qmlphys.stats import Estimate

__all__ = ["Bar", "Interrupt"]

_LOG = logging.getLogger(__name__)

_SECONDS = 0.1  # between two texts: writing one costs as much as a step of a tiny network


class Bar:
    """A rich progress bar on standard error that shows energy and V-score; nothing at all when not enabled.

    Parameters
    ----------
    n_steps : int
        Length.
    enabled : bool
        Whether to show it.
    """

    def __init__(self, n_steps: int, *, enabled: bool) -> None:
        self._bar: Progress | None = None
        if enabled:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._task = self._bar.add_task("compiling and starting chains", total=n_steps)
        self._next = 0.0

    def __enter__(self) -> Bar:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, n_done: int, energy: float, error: float, v_score: float, *, last: bool) -> None:
        """Move the bar on to `n_done` steps."""
        if self._bar is None:
            return
        now = time.monotonic()
        if now >= self._next or last:
            self._next = now + _SECONDS
            text = f"E = {Estimate(energy, error)}  V-score {v_score:.1e}"
            self._bar.update(self._task, completed=n_done, description=text)


class Interrupt:
    """While open, Ctrl-C is a wish that the loop looks at between steps; a second Ctrl-C interrupts at once.

    A step that is broken off half way would leave chains that no checkpoint has seen. Outside of the main thread, where
    Python delivers no signals, nothing changes.
    """

    def __init__(self) -> None:
        self.wished = False
        self._before: Callable[[int, FrameType | None], Any] | int | None = None
        self._active = False

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._handle)
            self._active = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._active:
            signal.signal(signal.SIGINT, self._before if self._before is not None else signal.SIG_DFL)

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as signal wants it
        if self.wished:
            raise KeyboardInterrupt
        self.wished = True
        _LOG.info("interrupted: the step is finished first")
