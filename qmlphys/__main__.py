"""`python -m qmlphys` is `qmlphys`."""

from __future__ import annotations

from qmlphys.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
