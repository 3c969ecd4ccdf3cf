"""Files that a build makes among its sources: written only when they change, so that the next build is quick."""

from __future__ import annotations

from pathlib import Path


def write_all(folder: Path, contents: dict[str, str | bytes]) -> None:
    """Make a folder hold these files and nothing else; names may have folders in them."""
    for path in sorted(folder.rglob("*"), reverse=True) if folder.is_dir() else []:
        if path.is_file() and path.relative_to(folder).as_posix() not in contents:
            path.unlink()
    for name, content in contents.items():
        path = folder / name
        data = content.encode() if isinstance(content, str) else content
        if not path.is_file() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def heading(text: str, line: str = "=") -> str:
    """Return a heading of reStructuredText."""
    return f"{text}\n{line * len(text)}\n"
