"""Sphinx extension: formulas as MathML, which browsers show by themselves: no script, and nothing from a network."""

from __future__ import annotations

import html
import re
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.util import logging

_LOG = logging.getLogger(__name__)
# What docutils does not know, and MathML does not need: sizes of brackets, which grow by themselves.
_SIZES = re.compile(r"\\[bB]igg?[lrm]?(?![a-zA-Z])")
_OTHER_NAMES = {
    r"\dfrac": r"\frac",
    r"\tfrac": r"\frac",
    r"\lvert": "|",
    r"\rvert": "|",
    r"\lVert": r"\|",
    r"\rVert": r"\|",
}
_RENAMED = re.compile("|".join(re.escape(name) + r"(?![a-zA-Z])" for name in _OTHER_NAMES))


def mathml(text: str, *, block: bool) -> str:
    """Return the MathML of a formula.

    Examples
    --------
    >>> mathml("T_c", block=False)[:28]
    '<math xmlns="http://www.w3.o'
    """
    known = _RENAMED.sub(lambda found: _OTHER_NAMES[found[0]], _SIZES.sub("", text))
    return latex2mathml.tex2mathml(known, as_block=block).replace("\n", " ")


def _converted(node: nodes.Element, *, block: bool) -> str:
    """Return the MathML of a node; what cannot be converted is a warning, which fails the build, with its place."""
    try:
        return mathml(node.astext(), block=block)
    except MathError as error:
        _LOG.warning("the formula '%s' cannot be shown: %s", node.astext(), error, location=node)
        return f"<code>{html.escape(node.astext())}</code>"


def _inline(self: Any, node: nodes.Element) -> None:
    self.body.append(f'<span class="math">{_converted(node, block=False)}</span>')
    raise nodes.SkipNode


def _display(self: Any, node: nodes.Element) -> None:
    self.body.append(f'<div class="math">{_converted(node, block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
