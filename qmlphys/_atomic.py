"""Whole files or none: write under a temporary name beside the target, flush to the disk, rename."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

__all__ = ["atomic_path", "write_text"]


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends well, it becomes `path` in one step.

    A reader therefore sees the old file or the new one, whole, whatever kills the writer and whenever.
    If the block raises, the temporary file is removed and `path` is left as it was.

    Parameters
    ----------
    path : path-like
        The final name. Its folder must exist.

    Yields
    ------
    pathlib.Path
        An existing, empty file in the same folder (a rename is atomic only within one file system).

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_path(Path(folder, "note.txt")) as temporary:
    ...         _ = temporary.write_text("whole")
    ...     sorted(p.name for p in Path(folder).iterdir())
    ['note.txt']
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    # O_EXCL refuses a link that somebody put there; the mode is what a plain open() would give.
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(target)
        _flush(target.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file in one step (see `atomic_path`).

    Parameters
    ----------
    path : path-like
        The final name. Its folder must exist.
    text : str
        The content.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _flush(path: Path) -> None:
    """Ask the operating system to put a file, or a folder's entries, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:  # a few file systems cannot flush a folder; the rename is atomic all the same
        if not path.is_dir():
            raise
    finally:
        os.close(descriptor)
