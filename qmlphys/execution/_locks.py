"""Locks between processes that no crash leaves behind, and who is still alive.

The kernel drops a ``flock`` when its holder ends, however it ends, so a lock that can be taken proves that nobody is at
work; a lock file that is left over means nothing. Lock files are never removed: whoever removed one could hand the
same name to two holders.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import logging
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Process", "hold", "is_held", "try_hold"]

_log = logging.getLogger("qmlphys")
_POLL_SECONDS = 0.05
_PATIENCE_SECONDS = 1.0

# Descriptors of held locks. A forked child inherits them, and would keep the lock alive after its parent has died.
_held: set[int] = set()


def _drop_in_child() -> None:
    """Close the parent's locks in a forked child; the parent still holds them."""
    while _held:
        with contextlib.suppress(OSError):
            os.close(_held.pop())


os.register_at_fork(after_in_child=_drop_in_child)


@contextlib.contextmanager
def try_hold(path: Path, *, patience: float = 0.0, shared: bool = False) -> Iterator[bool]:
    """Take a lock if it is free, for the length of the block.

    Parameters
    ----------
    path : pathlib.Path
        The lock file; it is made (mode 0600) when it is missing, its folder must exist.
    patience : float
        For how many seconds to try again: those who only look (`is_held`) hold it for a moment.
    shared : bool
        Take it beside others who share it; only one who wants it alone is kept out.

    Yields
    ------
    bool
        Whether the lock was taken. Another thread of this process counts as another holder.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with try_hold(Path(folder, "a.lock")) as first, try_hold(Path(folder, "a.lock")) as second:
    ...         print(first, second)
    True False
    """
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    _held.add(descriptor)
    try:
        taken = _flock(descriptor, shared=shared)
        end = time.monotonic() + patience
        while not taken and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)
            taken = _flock(descriptor, shared=shared)
        if taken and not shared:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)  # only for the message of those who wait
        yield taken
    finally:
        # In a forked child the number may belong to another file by now: then it is no longer in the set.
        if descriptor in _held:
            _held.discard(descriptor)
            os.close(descriptor)


def _flock(descriptor: int, *, shared: bool) -> bool:
    """Try once to lock an open file."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def hold(path: Path, *, what: str, timeout: float = 600.0) -> Iterator[None]:
    """Take a lock for the length of the block; wait for it, and say so in the log.

    Parameters
    ----------
    path : pathlib.Path
        The lock file; it is made when it is missing.
    what : str
        What the lock is for, as it stands in the message: "the jobs are synchronised".
    timeout : float
        How long to wait, in seconds.

    Raises
    ------
    TimeoutError
        If another process still holds the lock after `timeout`; the text names the process.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, hold(Path(folder, "a.lock"), what="a file is written"):
    ...     is_held(Path(folder, "a.lock"))
    True
    """
    start = time.monotonic()
    said = False
    while True:
        with try_hold(path) as taken:
            if taken:
                yield
                return
        waited = time.monotonic() - start
        if waited >= timeout:
            raise TimeoutError(
                f"Process {_holder(path)} has held the lock '{path}' ({what}) for more than {timeout:g} s: "
                "wait until it is done, or end it, and try again."
            )
        if waited >= _PATIENCE_SECONDS and not said:
            _log.warning("Waiting for process %s, which holds the lock '%s' (%s).", _holder(path), path, what)
            said = True
        time.sleep(_POLL_SECONDS)


def is_held(path: Path) -> bool:
    """Tell whether some process holds a lock at this moment.

    Parameters
    ----------
    path : pathlib.Path
        The lock file; a missing one is not held.

    Returns
    -------
    bool
        True while it is held.
    """
    if not path.exists():
        return False
    with try_hold(path, shared=True) as taken:
        return not taken


def _holder(path: Path) -> str:
    """Return the process number that the holder wrote into its lock file."""
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return "unknown"
    return text if text.isdigit() else "unknown"


@functools.cache
def _machine() -> str:
    """Name this start of this machine, and the space in which its process numbers have a meaning.

    Containers share the kernel's boot id but not the numbers of their processes. Where the kernel tells neither, the
    host's name must do; then only the lease notices that a restarted machine has given a number to somebody else.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return platform.node()


def _started(pid: int) -> str | None:
    """Return the kernel's start time of a process, "" where the system does not tell, None if it has ended."""
    if not Path("/proc/self/stat").exists():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            return ""
        return ""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The command's name, in brackets, may hold blanks and brackets of its own.
    fields = text.rpartition(")")[2].split()
    if len(fields) < 20 or fields[0] in "ZX":  # a zombie computes nothing any more
        return None
    return fields[19]


@dataclass(frozen=True)
class Process:
    """A process that can be recognised later, even after its number was given to another one.

    Parameters
    ----------
    pid : int
        Its number.
    started : str
        When it started, as the kernel tells it; empty where it does not.
    machine : str
        The start of the machine, and the space of process numbers, in which this holds.

    Examples
    --------
    >>> Process.current().alive()
    True
    """

    pid: int
    started: str
    machine: str

    @classmethod
    def current(cls) -> Process:
        """Return this very process."""
        return cls(os.getpid(), _started(os.getpid()) or "", _machine())

    @classmethod
    def of(cls, pid: int) -> Process:
        """Return the process that has this number now; one that has just ended gets no start time."""
        started = _started(pid)
        return cls(pid, "ended" if started is None else started, _machine())

    def alive(self) -> bool | None:
        """Tell whether this process still runs; None if it lives on another machine, where nobody can tell from here.

        Returns
        -------
        bool or None
            True, False, or None.
        """
        if self.machine != _machine():
            return None
        started = _started(self.pid)
        return started is not None and started == self.started
