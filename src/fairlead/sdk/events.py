"""Streams of server-sent events as callers of models and jobs read them."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
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


async def pieces_as_they_come(body: AsyncIterable[bytes]) -> AsyncIterator[Any]:
    """As :func:`pieces_of`, of a body that is still on its way."""
    reader = _Reader()
    async for block in body:
        for name, value in reader.take(block):
            if name == "done":
                return
            if name == "error":
                raise failure_of(value)
            yield value
    raise Unavailable("the answer ended in the middle", code="stream_cut", hint="send it again")


def events_of(body: Iterable[bytes]) -> Iterator[tuple[str, Any]]:
    """Yield name and value of each server-sent event in the blocks of ``body``."""
    reader = _Reader()
    for block in body:
        yield from reader.take(block)
    yield from reader.take(b"\n")


class _Reader:
    """Takes a stream block by block. Lines end with a line feed: U+2028 and its like are part of a text."""

    def __init__(self) -> None:
        self._name = "message"
        self._parts: list[bytes] = []  # of a line whose end has not come; joined once, for it may be long

    def take(self, block: bytes) -> Iterator[tuple[str, Any]]:
        """Yield name and value of each event that is whole with ``block``."""
        *whole, rest = block.split(b"\n")
        for line in whole:
            text = b"".join((*self._parts, line)).rstrip(b"\r").decode("utf-8", "replace")
            self._parts.clear()
            field, _, value = text.partition(":")
            if field == "event":
                self._name = value.strip()
            elif field == "data":
                yield self._name, msgspec.json.decode(value.strip() or "null")
            elif not text:
                self._name = "message"
        self._parts.append(rest)
