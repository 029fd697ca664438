"""Server-sent events as callers read them, whatever the blocks they come in."""

from __future__ import annotations

import pytest

from fairlead.errors import Unavailable
from fairlead.sdk.events import events_of, pieces_of

STREAM = b'event: piece\r\ndata: {"a": "x\xe2\x80\xa8y"}\r\n\r\ndata: 2\n\nevent: done\ndata: null\n\n'
EVENTS = [("piece", {"a": "x\u2028y"}), ("message", 2), ("done", None)]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_events_are_the_same_however_their_bytes_come(size: int) -> None:
    blocks = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    assert list(events_of(blocks)) == EVENTS


def test_a_stream_without_its_end_is_cut() -> None:
    with pytest.raises(Unavailable, match="ended in the middle"):
        list(pieces_of([b"data: 1\n\nda", b"ta: 2"]))


class Block(bytes):
    """One that does not let itself be put behind another."""

    def __radd__(self, other: bytes) -> bytes:
        raise AssertionError("a long line is copied with each of its blocks")


def test_a_long_line_is_put_together_once() -> None:
    text = b"x" * 1000
    found = list(events_of([Block(b'data: "'), *[Block(text)] * 100, Block(b'"\n\n')]))
    assert found == [("message", "x" * 100_000)]
