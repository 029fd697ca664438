"""Streams of server-sent events as callers of models and jobs read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from fairlead.errors import Unavailable
from fairlead.sdk.refusals import failure_of


def pieces_of(body: Iterable[bytes]) -> Iterator[Any]:
    """Yield the pieces of a streamed answer; raises :class:`Error` where it ends with one, or without its end."""
    for name, value in events_of(body):
        if name == "done":
            return
        if name == "error":
            raise failure_of(value)
        yield value
    raise Unavailable("the answer ended in the middle", code="stream_cut", hint="send it again")


def events_of(body: Iterable[bytes]) -> Iterator[tuple[str, Any]]:
    """Yield name and value of each server-sent event in the blocks of ``body``."""
    name = "message"
    for line in _lines(body):
        field, _, value = line.partition(":")
        if field == "event":
            name = value.strip()
        elif field == "data":
            yield name, msgspec.json.decode(value.strip() or "null")
        elif not line:
            name = "message"


def _lines(body: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines of ``body``, which end with a line feed: U+2028 and its like are part of a text."""
    parts: list[bytes] = []  # of a line whose end has not come; joined once, for it may be long
    for block in body:
        *whole, rest = block.split(b"\n")
        for line in whole:
            yield b"".join((*parts, line)).rstrip(b"\r").decode("utf-8", "replace")
            parts.clear()
        parts.append(rest)
    if last := b"".join(parts):
        yield last.decode("utf-8", "replace")
