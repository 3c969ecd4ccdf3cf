"""Docstrings as reStructuredText: what a physicist writes plainly must not be taken for markup."""

from __future__ import annotations

import re
from collections.abc import Iterable

_LITERAL = re.compile(r"(``.+?``|:[a-z:]+:`[^`]*`|`[^`]+`_?)")
_EMPHASIS = re.compile(r"(?<![\w*\\])(\*{1,2}[^\s*](?:[^*]*[^\s*])?\*{1,2})(?![\w*])")


def _plain(text: str) -> str:
    """Escape |m|, a stray star and names that end in an underscore."""
    pieces = _EMPHASIS.split(text)
    for place in range(0, len(pieces), 2):
        piece = re.sub(r"(?<!\\)\*(?=\S)", r"\\*", pieces[place])
        piece = re.sub(r"(?<!\\)\|", r"\\|", piece)
        pieces[place] = re.sub(r"(?<=[A-Za-z0-9])(?<!\\)_(?!\w)", r"\\_", piece)
    return "".join(pieces)


def escape(text: str) -> str:
    r"""Escape one line of text, except what stands in backticks.

    Examples
    --------
    >>> print(escape("|m| of `coef_`, and intercept_"))
    \|m\| of `coef_`, and intercept\_
    """
    pieces = _LITERAL.split(text)
    return "".join(piece if place % 2 else _plain(piece) for place, piece in enumerate(pieces))


def escape_lines(lines: Iterable[str]) -> list[str]:
    """Escape a docstring line by line; examples and literal blocks stay as they are."""
    result: list[str] = []
    example = False
    literal: int | None = None  # indentation of the paragraph that announced a literal block
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if not line.strip():
            example = False
        elif literal is not None and indent <= literal:
            literal = None
        example = example or line.lstrip().startswith(">>>")
        result.append(line if example or literal is not None or line.lstrip().startswith("..") else escape(line))
        if literal is None and not example and line.rstrip().endswith("::"):
            literal = indent
    return result


def first_sentence(docstring: str | None) -> str:
    """Return the first line of a docstring, or of the paragraph that it begins, without its full stop."""
    paragraph = (docstring or "").strip().split("\n\n")[0]
    return " ".join(paragraph.split()).rstrip(".")
