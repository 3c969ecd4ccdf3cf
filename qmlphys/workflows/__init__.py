"""Whole journeys, one frozen configuration and one `run` a file: the only room that joins the others."""

from __future__ import annotations

__all__: list[str] = []
