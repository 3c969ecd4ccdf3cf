"""A run folder becomes one self-contained page: every figure, every number with its error and its exact value.

`write` reads ``settings.json``, ``results.json`` and ``figures/*.svg`` of a run folder and nothing else. The page needs
no script, loads nothing from anywhere, and stays harmless whatever stands in those files: every string is escaped,
figures are embedded as images, in which a browser runs nothing, and a policy in the page's head forbids the rest.
"""

from __future__ import annotations

import base64
import html
import json
import math
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qmlphys._atomic import write_text
from qmlphys.report._page import PAGE, TABLE
from qmlphys.stats import Estimate

__all__ = ["ReportError", "Row", "read_results", "write"]

_MAX_JSON = 16 * 2**20
_MAX_FIGURE = 32 * 2**20
_MAX_FIGURES = 200
_MAX_ROWS = 10_000
_MAX_TEXT = 2_000
# Beyond this many standard errors a number is marked, so that a reader sees at once what does not agree.
_FAR = 3.0


class ReportError(ValueError):
    """The run folder cannot be made into a report; the text says why."""


@dataclass(frozen=True)
class Row:
    """One number of a run, as it stands in ``results.json``.

    Parameters
    ----------
    name : str
        What was measured.
    value : float
        The result.
    error : float, optional
        One standard error; None where there is none (a count, a setting).
    exact : float, optional
        The known value, for comparison; it entered nothing.
    unit : str
        The unit; empty for a pure number.
    source : str
        How the value was found, and where the exact one comes from.
    section : str
        Heading of the part of the report that the row belongs to; empty where there is only one part.

    Examples
    --------
    >>> row = Row("critical temperature", 2.2705, 0.0021, 2.269185, unit="J/k_B", source="CNN; Onsager 1944")
    >>> row.text, row.deviation_text
    ('2.271(2)', '+0.6 σ')
    """

    name: str
    value: float
    error: float | None = None
    exact: float | None = None
    unit: str = ""
    source: str = ""
    section: str = ""

    @property
    def text(self) -> str:
        """Value and error as they are printed, such as 2.2693(4)."""
        if not math.isfinite(self.value):
            return "none found"
        if self.error is None or not math.isfinite(self.error) or self.error == 0:
            return f"{self.value:.6g}"
        return str(Estimate(self.value, self.error))

    @property
    def deviation(self) -> float | None:
        """Deviation from the exact value in standard errors; None where one of the three is missing."""
        if self.exact is None or self.error is None or not self.error > 0 or not math.isfinite(self.value):
            return None
        return (self.value - self.exact) / self.error

    @property
    def unit_text(self) -> str:
        """The unit as it is printed; empty for a pure number."""
        return "" if self.unit == "1" else self.unit

    @property
    def exact_text(self) -> str:
        """The exact value as it is printed; empty where there is none."""
        return "" if self.exact is None else f"{self.exact:.7g}"

    @property
    def deviation_text(self) -> str:
        """The deviation as it is printed; empty where there is none."""
        return "" if self.deviation is None else f"{self.deviation:+.1f} σ"


def read_results(folder: str | os.PathLike[str]) -> list[Row]:
    """Read ``results.json`` of a run folder.

    Parameters
    ----------
    folder : path-like
        The run folder.

    Returns
    -------
    list of Row
        In the order of the file.

    Raises
    ------
    ReportError
        If the file is missing, too large, not JSON, or holds something else than rows.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "results.json").write_text('[{"name": "nu", "value": 1.01, "error": 0.02, "exact": 1}]')
    ...     read_results(folder)[0].text
    '1.01(2)'
    """
    rows = _read_json(Path(folder, "results.json"))
    if not isinstance(rows, list) or len(rows) > _MAX_ROWS:
        raise ReportError(f"'{Path(folder, 'results.json')}' must hold a list of at most {_MAX_ROWS} rows.")
    return [_row(row, place) for place, row in enumerate(rows)]


def _row(row: Any, place: int) -> Row:
    """Turn one entry of ``results.json`` into a Row."""
    if not isinstance(row, dict):
        raise ReportError(f"Row {place} of results.json must be an object, but it is {type(row).__name__}.")
    numbers: dict[str, float | None] = {}
    for key in ("value", "error", "exact"):
        value = row.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise ReportError(
                f"`{key}` in row {place} of results.json must be a number or null, but it is {value!r:.80}."
            )
        try:
            numbers[key] = None if value is None else float(value)
        except OverflowError:
            raise ReportError(f"`{key}` in row {place} of results.json is too large for a number.") from None
    texts = {}
    for key in ("name", "unit", "source", "section"):
        text = row.get(key, "")
        if not isinstance(text, str):
            raise ReportError(f"`{key}` in row {place} of results.json must be text, but it is {text!r:.80}.")
        texts[key] = text[:_MAX_TEXT]
    value = numbers["value"]
    return Row(
        texts["name"],
        math.nan if value is None else value,  # JSON has no nan: a number that could not be found is null
        numbers["error"],
        numbers["exact"],
        unit=texts["unit"],
        source=texts["source"],
        section=texts["section"],
    )


def write(folder: str | os.PathLike[str]) -> Path:
    """Write ``report.html`` into a run folder, from what lies in it.

    Parameters
    ----------
    folder : path-like
        The run folder, with ``settings.json`` and ``results.json``, and with ``figures/*.svg`` if there are figures. In
        the settings, ``title`` and ``summary`` are texts for the head of the page, and ``figures`` is a list of objects
        with the keys ``file`` and ``caption``, which gives the figures their order; other figures follow by name.

    Returns
    -------
    pathlib.Path
        The page.

    Raises
    ------
    ReportError
        If a file is missing, too large, not what its name says, or a link to somewhere else.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "settings.json").write_text('{"title": "<b>A run</b>"}')
    ...     _ = Path(folder, "results.json").write_text('[{"name": "nu", "value": 1.01, "error": 0.02, "exact": 1}]')
    ...     page = write(folder).read_text(encoding="utf-8")
    >>> "&lt;b&gt;A run&lt;/b&gt;" in page, "1.01(2)" in page
    (True, True)
    """
    path = Path(folder)
    settings = _read_json(path / "settings.json")
    if not isinstance(settings, dict):
        raise ReportError(f"'{path / 'settings.json'}' must hold an object.")
    rows = read_results(path)
    figures = _figures(path, settings)
    summaries = _sections(settings)
    titles = dict.fromkeys([*summaries, *(row.section for row in rows), *(section for _, _, section in figures)])
    parts = [
        _part(
            title,
            summaries.get(title, ""),
            [row for row in rows if row.section == title],
            [(file, caption) for file, caption, section in figures if section == title],
        )
        for title in titles
    ]
    page = PAGE.format(
        title=_escape(_text(settings, "title") or "A run of qmlphys"),
        summary=_summary(_text(settings, "summary")),
        parts="\n".join(parts),
        settings=_escape(json.dumps(settings, indent=2, sort_keys=True, ensure_ascii=False)),
    )
    target = path / "report.html"
    write_text(target, page)
    return target


def _sections(settings: dict[str, Any]) -> dict[str, str]:
    """Return the headings of the report's parts with their summaries, in order."""
    listed = settings.get("sections", [])
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise ReportError("`sections` in settings.json must be a list of objects with the keys `title` and `summary`.")
    return {_text(entry, "title"): _text(entry, "summary") for entry in listed}


def _summary(text: str) -> str:
    """Return a paragraph, or nothing."""
    return f'<p class="summary">{_escape(text)}</p>' if text else ""


def _part(title: str, summary: str, rows: Sequence[Row], figures: Sequence[tuple[Path, str]]) -> str:
    """Return one part of the page: figures above numbers where it has a heading of its own, else under headings."""
    table = TABLE.format(rows="\n".join(map(_table_row, rows))) if rows else ""
    pictures = "\n".join(_figure(file, caption) for file, caption in figures)
    if not title:
        return f"<h2>Numbers</h2>\n{table}\n<h2>Figures</h2>\n{pictures}"
    return f"<h2>{_escape(title)}</h2>\n{_summary(summary)}\n{pictures}\n{table}"


def _escape(text: str) -> str:
    """Escape text for HTML, inside and outside of attributes, and drop what is no text at all."""
    return html.escape("".join(c for c in text if c in "\n\t" or c.isprintable()), quote=True)


def _text(settings: dict[str, Any], key: str) -> str:
    """Return a text from the settings, shortened; empty if there is none."""
    value = settings.get(key, "")
    if not isinstance(value, str):
        raise ReportError(f"`{key}` in settings.json must be text, but it is {value!r:.80}.")
    return value[:_MAX_TEXT]


def _table_row(row: Row) -> str:
    """Return the table row of one number; on a narrow screen each cell shows its own heading."""
    deviation = row.deviation
    mark = ' class="far"' if deviation is not None and abs(deviation) > _FAR else ""
    cells = (
        ("value", row.text),
        ("exact", row.exact_text),
        ("deviation", row.deviation_text),
        ("unit", row.unit_text),
        ("source", row.source),
    )
    body = "".join(f'<td data-label="{label}">{_escape(text)}</td>' for label, text in cells)
    return f'<tr{mark}><th scope="row">{_escape(row.name)}</th>{body}</tr>'


def _figures(path: Path, settings: dict[str, Any]) -> Sequence[tuple[Path, str, str]]:
    """Return figures, captions and sections: first the figures that the settings name, then the others."""
    folder = path / "figures"
    found = {} if folder.is_symlink() else {file.name: file for file in sorted(folder.glob("*.svg"))}
    if len(found) > _MAX_FIGURES:
        raise ReportError(f"'{folder}' must hold at most {_MAX_FIGURES} figures, but it holds {len(found)}.")
    listed = settings.get("figures", [])
    if not isinstance(listed, list):
        raise ReportError("`figures` in settings.json must be a list.")
    ordered: list[tuple[Path, str, str]] = []
    for entry in listed:
        if not isinstance(entry, dict) or not isinstance(entry.get("file"), str):
            raise ReportError("Each of `figures` in settings.json must be an object with the key `file`.")
        # Looked up among what the folder holds, never used as a path.
        if entry["file"] in found:
            ordered.append((found.pop(entry["file"]), _text(entry, "caption"), _text(entry, "section")))
    return [*ordered, *((file, file.stem.replace("-", " "), "") for file in found.values())]


def _figure(file: Path, caption: str) -> str:
    """Return a figure as an image of its own: its ids clash with nobody's and nothing in it is executed."""
    content = _read_bytes(file, limit=_MAX_FIGURE)
    head = content[:4096].lstrip()
    if not head.startswith((b"<?xml", b"<svg")) or b"<svg" not in head:
        raise ReportError(f"'{file}' must be an SVG picture, but it does not begin like one.")
    if b"<!ENTITY" in content:
        raise ReportError(f"'{file}' must be a plain SVG picture, but it defines entities.")
    data = base64.b64encode(content).decode("ascii")
    text = _escape(caption)
    image = f'<img alt="{text}"{_least_width(content[:4096])} src="data:image/svg+xml;base64,{data}">'
    return f'<figure><div class="picture">{image}</div><figcaption>{text}</figcaption></figure>'


def _least_width(head: bytes) -> str:
    """Return the style that keeps a wide figure large enough to be read on a phone, where it scrolls in its own box."""
    found = re.search(rb'<svg[^>]*?\swidth="(\d{1,5}(?:\.\d{1,9})?)pt"', head)
    width = float(found[1]) * 4 / 3 if found else 0.0  # 72 points and 96 pixels are an inch
    return f' style="min-width: {min(0.6 * width, 800):.0f}px"' if width > 560 else ""


def _read_bytes(file: Path, *, limit: int) -> bytes:
    """Read a regular file of a bounded size; never follow a link out of the folder."""
    try:
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise ReportError(f"'{file}' cannot be read: {error.strerror}.") from None
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ReportError(f"'{file}' must be a regular file.")
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise ReportError(f"'{file}' must be at most {limit} bytes long.")
    return content


def _read_json(file: Path) -> Any:
    """Read a JSON file of a bounded size."""
    content = _read_bytes(file, limit=_MAX_JSON)
    try:
        return json.loads(content.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError):  # bad UTF-8, bad JSON, or nested so deeply that it cannot be meant well
        raise ReportError(f"'{file}' must be a JSON file, but it cannot be read as one.") from None


def _no_constant(name: str) -> None:
    """Refuse NaN and Infinity, which are no JSON."""
    raise ValueError(name)
