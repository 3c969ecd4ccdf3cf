"""Sphinx extension: the pages of the command line, made from the commands themselves."""

from __future__ import annotations

import enum
import re
from pathlib import Path
from typing import Any

from files import heading, write_all
from markup import escape

_KINDS = {int: "INTEGER", float: "NUMBER", str: "TEXT", Path: "PATH"}


def _text(text: str | None) -> str:
    """Return help as paragraphs; a backspace begins one that keeps its lines, as in the help itself."""
    paragraphs = re.split(r"\n\s*\n", (text or "").replace("\f", "").strip())
    result = []
    for paragraph in paragraphs:
        lines = [escape(line.strip()) for line in paragraph.replace("\b", "").strip().splitlines()]
        kept = "\b" in paragraph
        result.append("\n".join(f"| {line}" for line in lines) if kept else "\n".join(lines))
    return "\n\n".join(result)


def _default(parameter: Any) -> str:
    """Return the default of an option as it is typed; empty where there is none to tell."""
    value = parameter.default
    if value is None or value is ... or callable(value) or value is False or value in ((), [], ""):
        return ""
    if value is True:
        return "on"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(getattr(value, "value", value))


def _kind(parameter: Any) -> str:
    """Return what an option takes, as its help shows it; empty for a switch."""
    if parameter.metavar:
        return str(parameter.metavar)
    kind = parameter.type_descriptor.annotation
    if getattr(parameter, "is_flag", False) or kind is bool:
        return ""
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return "{" + "|".join(str(choice.value) for choice in kind) + "}"
    if kind not in _KINDS:
        raise ValueError(f"`_KINDS` must name what {parameter.opts[0]} takes, but it leaves out {kind!r}.")
    return _KINDS[kind]


def _parameter(parameter: Any) -> str:
    """Return one option or argument as a directive that search and index know."""
    argument = parameter.param_type_name == "argument"
    metavar = _kind(parameter)
    if argument:
        names = parameter.metavar or parameter.name.upper()
    else:
        names = ", ".join(f"{name} {metavar}".strip() for name in (*parameter.opts, *parameter.secondary_opts))
    text = _text(getattr(parameter, "help", None))
    default = "" if argument else _default(parameter)
    notes = [f"Default: ``{default}``."] if default and "default" not in text.lower() else []
    if parameter.required and not argument:
        notes.append("Required.")
    body = " ".join([text.replace("\n", " "), *notes]).strip()
    return f".. option:: {names.replace('[', '').replace(']', '')}\n\n   {body or 'See above.'}\n"


def _command(command: Any, words: list[str], line: str) -> list[str]:
    """Return the section of one command and, for a group, of those below it."""
    title = " ".join(words)
    parts = [heading(title, line), _text(command.help or command.short_help) + "\n"]
    below = getattr(command, "commands", None)
    if below:
        shown = {name: sub for name, sub in below.items() if not sub.hidden}
        for name, sub in shown.items():
            parts += _command(sub, [*words, name], "-" if line == "=" else "~")
        return parts
    shown = [p for p in command.params if not getattr(p, "hidden", False) and p.name != "help"]
    arguments = [p for p in shown if p.param_type_name == "argument"]
    usage = [*words, "[OPTIONS]", *(f"{p.metavar or p.name.upper()}" for p in arguments)]
    parts.append(f".. code-block:: text\n\n   {' '.join(usage)}\n")
    parts.append(f".. program:: {title}\n")
    parts += [_parameter(parameter) for parameter in shown]
    return parts


def pages() -> dict[str, str]:
    """Return the pages of the command line by their file names: one for each word after `qmlphys`."""
    import typer.main

    from qmlphys.cli import app

    root = typer.main.get_command(app)
    found = {name: command for name, command in root.commands.items() if not command.hidden}  # type: ignore[attr-defined]
    result = {f"{name}.rst": "\n".join(_command(sub, ["qmlphys", name], "=")) for name, sub in found.items()}
    lines = [heading("Command line"), _text(root.help) + "\n"]
    lines.append(
        "Wrong input gives one line and exit code 2; a job that failed or is not ready, or a service that does not\n"
        "answer, exit code 1; Ctrl-C gives exit code 130 and loses nothing that was finished.\n"
    )
    for name, sub in found.items():
        help_text = _text(sub.help or sub.short_help).split("\n\n")[0].replace("\n", " ")
        lines.append(f"- :doc:`qmlphys {name} <{name}>` - {help_text}")
    lines.append("\n.. toctree::\n   :hidden:\n\n" + "\n".join(f"   {name}" for name in found) + "\n")
    result["index.rst"] = "\n".join(lines)
    return result


def _make_pages(app: Any) -> None:
    """Write the pages before Sphinx looks for its sources."""
    write_all(Path(app.srcdir, "commands"), pages())


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", _make_pages, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
