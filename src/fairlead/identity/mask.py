"""Takes secrets out of text that people read. Pure."""

from __future__ import annotations

from collections.abc import Iterable

MASK = "***"
SHORTEST = 4
"""Shorter texts are left: they are no secrets worth the name, and would be found in every other word."""


class Mask:
    """Replaces known values in texts; those of several lines line by line, as logs have them."""

    def __init__(self, values: Iterable[str]) -> None:
        parts = {part for value in values for part in (value.strip(), *map(str.strip, value.splitlines()))}
        self._parts = sorted((part for part in parts if len(part) >= SHORTEST), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for part in self._parts:
            if part in text:
                text = text.replace(part, MASK)
        return text

    def __bool__(self) -> bool:
        return bool(self._parts)
