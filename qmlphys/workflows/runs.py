"""Run folders: what a workflow leaves behind, and what its next start takes up again.

A folder holds ``settings.json`` (what reproduces the run), ``results.json`` (every number), data sets ``*.nc``,
``figures/*.svg`` and ``report.html``. Beside them, ``steps/`` remembers which steps are done and with which settings.
Each file is written whole or not at all, so a run can be stopped or killed at any moment; when it is started again,
finished steps are read instead of computed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import math
import os
import platform
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

import qmlphys
from qmlphys import report, snapshots
from qmlphys._atomic import write_text
from qmlphys.report import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Panel", "Row", "RunFolder", "Steps"]

_log = logging.getLogger("qmlphys")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


def _plain(value: Any) -> Any:
    """Turn dataclasses, NumPy numbers and tuples into what JSON knows; nan and infinity become null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"A run folder keeps numbers, texts, lists and mappings, but not {type(value).__name__}.")


def _write_json(path: Path, value: Any) -> None:
    """Write JSON in one step."""
    write_text(path, json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


class Steps:
    """Tells a user who watches which step of a long run begins.

    Parameters
    ----------
    number : int
        How many steps there will be.
    shown : bool
        Whether to print them, on standard error.

    Examples
    --------
    >>> steps = Steps(3, shown=False)
    >>> steps.begin("sampling")
    >>> steps.n_begun
    1
    """

    def __init__(self, number: int, *, shown: bool) -> None:
        self.number = number
        self.shown = shown
        self.n_begun = 0

    def begin(self, text: str) -> None:
        """Say what begins now.

        Parameters
        ----------
        text : str
            One line.
        """
        self.n_begun += 1
        if self.shown:
            from rich.console import Console

            line = f"[{self.n_begun}/{self.number}] {text}"
            Console(stderr=True, highlight=False).print(line, markup=False, soft_wrap=True)


@dataclasses.dataclass(frozen=True, eq=False)
class Panel:
    """One part of a report: what a workflow found, ready to be written.

    Parameters
    ----------
    title, summary : str
        Its head.
    rows : sequence of Row
        Its numbers.
    figures : mapping of str to (matplotlib.figure.Figure, str)
        File names without ending to pictures and captions, in the order of the report.
    """

    title: str
    summary: str
    rows: Sequence[Row]
    figures: Mapping[str, tuple[Figure, str]]


class RunFolder:
    """A folder that a workflow fills.

    Parameters
    ----------
    path : path-like
        The folder; made, with its parents, when something is written for the first time.
    workflow : str
        Name of the workflow, kept in the settings and part of every step's identity.
    fresh : bool
        Whether to compute every step again, once, whatever lies in the folder.

    Attributes
    ----------
    path : pathlib.Path
        The folder.
    n_resumed : int
        How many steps were read instead of computed so far.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first = RunFolder(folder, workflow="example").step("square", {"x": 3}, lambda: {"y": 9})
    ...     again = RunFolder(folder, workflow="example").step("square", {"x": 3}, lambda: {"y": "computed again"})
    >>> first, again
    ({'y': 9}, {'y': 9})
    """

    def __init__(self, path: str | os.PathLike[str], *, workflow: str, fresh: bool = False) -> None:
        self.path = Path(path)
        self.workflow = workflow
        self.fresh = fresh
        self.n_resumed = 0
        self._known: set[str] = set()  # steps that this object has computed or read

    def write_settings(
        self,
        config: Any,
        *,
        title: str = "",
        summary: str = "",
        figures: Sequence[tuple[str, ...]] = (),
        sections: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Write ``settings.json``: what reproduces the run, and what heads its report.

        Parameters
        ----------
        config : dataclass or mapping
            The workflow's configuration.
        title, summary : str
            Head of the report.
        figures : sequence of (str, str) or (str, str, str)
            Names (as in `save_figure`) and captions, in the order of the report; then the section, if there is one.
        sections : sequence of (str, str)
            Headings and summaries of the report's parts, where it has several.
        """
        self._make()
        _write_json(
            self.path / "settings.json",
            {
                "workflow": self.workflow,
                "title": title,
                "summary": summary,
                "config": config,
                "versions": _versions(),
                "platform": f"{platform.system()} {platform.machine()}",
                "sections": [{"title": heading, "summary": text} for heading, text in sections],
                "figures": [
                    {"file": f"{name}.svg", "caption": caption, "section": section[0] if section else ""}
                    for name, caption, *section in figures
                ],
            },
        )

    def write_panels(self, config: Any, panels: Sequence[Panel], *, title: str = "", summary: str = "") -> Path:
        """Write everything: settings, numbers, pictures and the report.

        Parameters
        ----------
        config : dataclass or mapping
            The workflow's configuration.
        panels : sequence of Panel
            The parts of the report, in order. A single one heads the page itself.
        title, summary : str
            Head of the page where there are several parts.

        Returns
        -------
        pathlib.Path
            The page.
        """
        several = len(panels) > 1
        heads = [panel.title if several else "" for panel in panels]
        self.write_settings(
            config,
            title=title if several else panels[0].title,
            summary=summary if several else panels[0].summary,
            figures=[
                (name, caption, head)
                for panel, head in zip(panels, heads, strict=True)
                for name, (_, caption) in panel.figures.items()
            ],
            sections=[(panel.title, panel.summary) for panel in panels] if several else (),
        )
        for panel in panels:
            for name, (picture, _) in panel.figures.items():
                self.save_figure(name, picture)
        self.write_results(
            dataclasses.replace(row, section=head)
            for panel, head in zip(panels, heads, strict=True)
            for row in panel.rows
        )
        return self.write_report()

    def write_results(self, rows: Iterable[Row]) -> None:
        """Write ``results.json``: every number with its error, its exact value, its unit and its source.

        Parameters
        ----------
        rows : iterable of Row
            The numbers, in the order of the report.
        """
        self._make()
        _write_json(self.path / "results.json", list(rows))

    def save_figure(self, name: str, figure: Figure) -> None:
        """Write a figure as ``figures/<name>.svg``.

        Parameters
        ----------
        name : str
            Lower-case letters, digits, dots, dashes and underscores.
        figure : matplotlib.figure.Figure
            The figure.
        """
        from qmlphys import plotting

        folder = self._make("figures")
        plotting.save(figure, folder / f"{_checked(name)}.svg")

    def write_report(self) -> Path:
        """Write ``report.html`` from what lies in the folder.

        Returns
        -------
        pathlib.Path
            The page.
        """
        return report.write(self.path)

    def step(self, name: str, settings: Any, compute: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """Return the outcome of a step: read it if it was finished with the same settings, else compute and keep it.

        Parameters
        ----------
        name : str
            Name of the step: lower-case letters, digits, dots, dashes and underscores.
        settings : dataclass, mapping, list, number or text
            All that the outcome depends on.
        compute : callable
            Returns a mapping of numbers, texts and (nested) lists; arrays become lists, nan becomes None.

        Returns
        -------
        dict
            The outcome, always as it would be read back.

        Raises
        ------
        ValueError
            If the name is not allowed.
        """
        key = self._key(name, settings)
        record = self._record(name)
        if record is not None and record.get("key") == key and isinstance(record.get("outcome"), dict):
            self._resumed(name)
            return dict(record["outcome"])
        outcome = _plain(compute())
        self._known.add(name)
        _write_json(self._make("steps") / f"{name}.json", {"key": key, "outcome": outcome})
        return dict(outcome)

    def snapshots(self, name: str, settings: Any, compute: Callable[[], xr.Dataset]) -> xr.Dataset:
        """Return snapshots: load ``<name>.nc`` if it was made with the same settings, else compute and save them.

        Parameters
        ----------
        name : str
            Name of the step and of the file.
        settings : dataclass, mapping, list, number or text
            All that the snapshots depend on.
        compute : callable
            Returns the snapshot Dataset.

        Returns
        -------
        xarray.Dataset
            The snapshots.

        Raises
        ------
        ValueError
            If the name is not allowed, or the outcome is not a snapshot Dataset.
        """
        key = self._key(name, settings)
        file = self.path / f"{name}.nc"
        record = self._record(name)
        if record is not None and record.get("key") == key:
            # A file that was damaged or taken away since is made again, like one that never was.
            with contextlib.suppress(snapshots.SnapshotError, OSError):
                ds = snapshots.load(file)
                self._resumed(name)
                return ds
        ds = compute()
        self._known.add(name)
        done = self._make("steps") / f"{name}.json"
        # In this order, so that a kill in between never leaves a record beside data that it does not describe.
        done.unlink(missing_ok=True)
        snapshots.save(ds, file)
        _write_json(done, {"key": key, "file": file.name})
        return ds

    def _resumed(self, name: str) -> None:
        """Count a step that an earlier start has done; one that is read twice counts once."""
        if name not in self._known:
            self._known.add(name)
            self.n_resumed += 1
            _log.info("step %s was done before", name)

    def _make(self, *parts: str) -> Path:
        """Make the folder, or one inside it, and return it."""
        folder = self.path.joinpath(*parts)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _key(self, name: str, settings: Any) -> str:
        """Return the identity of a step: a hash of its name, its settings and this package's version."""
        content = [self.workflow, _checked(name), qmlphys.__version__, _plain(settings)]
        text = json.dumps(content, sort_keys=True, ensure_ascii=True, allow_nan=False)
        return hashlib.sha256(text.encode("ascii")).hexdigest()

    def _record(self, name: str) -> dict[str, Any] | None:
        """Return what is known of a finished step; None if there is nothing, or nothing that can be read."""
        if self.fresh and name not in self._known:
            return None
        try:
            record = json.loads((self.path / "steps" / f"{_checked(name)}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) else None


def _checked(name: str) -> str:
    """Refuse names that could lead out of the folder or clash on some file system."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            "Argument `name` must be made of lower-case letters, digits, dots, dashes and underscores, "
            f"but it is {name!r}."
        )
    return name


def _versions() -> dict[str, str]:
    """Return the versions of all that a result may depend on, without importing any of it."""
    import importlib.metadata

    found = {"python": platform.python_version()}
    for package in ("qmlphys", "numpy", "scipy", "numba", "torch", "scikit-learn", "xarray", "qiskit", "qiskit-aer"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
