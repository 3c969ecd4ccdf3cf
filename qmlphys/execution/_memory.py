"""How much memory this machine has left, so that too large a state is refused before it is allocated."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["available_bytes"]


def available_bytes() -> int:
    """Return the memory that this process may still take, in bytes.

    Returns
    -------
    int
        The least of what the system reports as available (Linux; elsewhere half of what is built in) and what the
        control group of a container leaves.
    """
    found = [_system()]
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        total, taken = _integer(limit), _integer(used)
        if total is not None and taken is not None:
            found.append(max(0, total - taken))
    return min(found)


def _system() -> int:
    """Return what the operating system reports."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _integer(path: str) -> int | None:
    """Return the number in a file, or None."""
    try:
        return int(Path(path).read_text(encoding="ascii"))
    except (OSError, ValueError):  # "max": no limit
        return None
