"""What all commands share: kinds of options, tables, and checks of where a result is to be written."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qmlphys.report import Row
    from qmlphys.workflows.analysis import Analysis

__all__ = ["Picture", "Seed", "Table", "print_rows", "show", "watched", "writable", "writable_folder", "write_rows"]

Seed = Annotated[
    int,
    typer.Option(min=0, max=2**32 - 1, help="Where all randomness starts: the same number, the same result."),
]
Picture = Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Write the picture here.")]
Table = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the numbers here, as JSON.")]


def writable(path: Path | None, *, suffix: str = "") -> None:
    """Refuse, before any work is done, a file that could not be written at its end."""
    if path is None:
        return
    if suffix and path.suffix != suffix:
        raise ValueError(f"The name of the file must end in '{suffix}', but it is '{path}'.")
    if path.is_dir():
        raise ValueError(f"'{path}' is a folder; give the name of a file.")
    if not path.parent.is_dir():
        raise ValueError(f"There is no folder '{path.parent}' to write '{path.name}' into.")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"The folder '{path.parent}' cannot be written to.")


def writable_folder(path: Path | None) -> None:
    """Refuse, before any work is done, a run folder that could not be made or filled."""
    if path is None:
        return
    place = path
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise ValueError(f"'{place}' is a file; give the name of a folder.")
    if not os.access(place, os.W_OK | os.X_OK):
        raise ValueError(f"The folder '{place}' cannot be written to.")


def watched() -> bool:
    """Tell whether somebody watches; a log file or a pipe gets no progress bars."""
    return sys.stderr.isatty()


def print_rows(rows: Sequence[Row], *, title: str, deviations: bool) -> None:
    """Print numbers as a table.

    Parameters
    ----------
    rows : sequence of Row
        The numbers.
    title : str
        Head of the table.
    deviations : bool
        Whether to show exact values and the deviations from them, or else where the numbers come from.

    Examples
    --------
    >>> from qmlphys.report import Row
    >>> print_rows([Row("nu", 1.01, 0.02, 1.0)], title="Exponent", deviations=True)  # doctest: +ELLIPSIS
    Exponent
    ...
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left", title_style="bold")
    table.add_column("quantity", overflow="fold")
    table.add_column("value", no_wrap=True, style="bold")
    if deviations:
        table.add_column("exact", no_wrap=True)
        table.add_column("deviation", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    if not deviations:
        table.add_column("source", overflow="fold")
    for row in rows:
        cells = [row.name, row.text, row.unit_text, row.source]
        if deviations:
            cells = [row.name, row.text, row.exact_text, row.deviation_text, row.unit_text]
        table.add_row(*map(escape, cells))
    Console().print(table)


def show(analysis: Analysis, *, figure: Path | None, table: Path | None) -> None:
    """Print an outcome and write what was asked for."""
    print_rows(analysis.rows, title=analysis.title, deviations=False)
    if figure is not None:
        from qmlphys import plotting

        plotting.save(analysis.figure, figure)
        typer.echo(f"Picture: {figure}")
    if table is not None:
        write_rows(analysis.rows, table)


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Write numbers as JSON.

    Parameters
    ----------
    rows : sequence of Row
        The numbers.
    path : pathlib.Path
        The file.
    """
    import dataclasses

    from qmlphys._atomic import write_text

    plain = [
        {
            key: None if isinstance(v, float) and not math.isfinite(v) else v
            for key, v in dataclasses.asdict(row).items()
        }
        for row in rows
    ]
    write_text(path, json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    typer.echo(f"Numbers: {path}")
