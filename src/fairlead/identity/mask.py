"""Takes secrets out of text that people read. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable

MASK = "***"
SHORTEST = 4
"""Shorter texts are left: they are no secrets worth the name, and would be found in every other word."""


class Mask:
    """Replaces known values in texts; those of several lines line by line, as logs have them, and as they stand within
    JSON and Python's ``repr``."""

    def __init__(self, values: Iterable[str]) -> None:
        parts = {part for value in values for part in (value.strip(), *map(str.strip, value.splitlines()))}
        escaped = {form for part in parts if len(part) >= SHORTEST for form in _escaped(part)}
        self._parts = sorted((part for part in parts | escaped if len(part) >= SHORTEST), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for part in self._parts:
            if part in text:
                text = text.replace(part, MASK)
        return text

    def __bool__(self) -> bool:
        return bool(self._parts)


def _escaped(text: str) -> set[str]:
    """Return ``text`` as it stands between quotes in JSON, with and without letters beyond ASCII, and in Python."""
    return {form[1:-1] for form in (json.dumps(text), json.dumps(text, ensure_ascii=False), repr(text), ascii(text))}
