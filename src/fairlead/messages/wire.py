"""What every message is, and how it becomes bytes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, TypeVar

import msgspec

if TYPE_CHECKING:
    import asyncio  # the command line needs none of it


FRAME_MAX_BYTES = 64 * 1024**2
PORTION_BYTES = 1024**2
"""Inputs and results of jobs that are longer go over a channel in portions of this size: nobody holds all of them."""
PARTIAL_BYTES = 256 * 1024
"""Pieces of one job's answer that are told while it is made, ``PIECE_BYTES`` for each beside its own."""
PIECE_BYTES = 64
_LENGTH = struct.Struct(">I")


class Message(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Base of all messages; the tag is the class's name."""


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of what messages are made of."""


M = TypeVar("M", bound=Message)
_encoder = msgspec.msgpack.Encoder()


def encode(message: Message) -> bytes:
    """Return the msgpack of ``message``."""
    return _encoder.encode(message)


def decode(data: bytes, kind: type[M]) -> M:
    """Return the message of class ``kind`` in ``data``; raises :class:`msgspec.DecodeError`."""
    return msgspec.msgpack.decode(data, type=kind)


def frame(message: Message) -> bytes:
    """Return ``message`` as one frame of a channel; raises :class:`ValueError` above ``FRAME_MAX_BYTES``."""
    data = _encoder.encode(message)
    if len(data) > FRAME_MAX_BYTES:
        raise ValueError(f"{type(message).__name__}: {len(data)} bytes are more than a frame holds")
    return _LENGTH.pack(len(data)) + data


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """Return the next frame's msgpack; raises :class:`EOFError` at the end, :class:`ValueError` when it is too long."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > FRAME_MAX_BYTES:
            raise ValueError(f"a frame of {length} bytes is too long")
        return await reader.readexactly(length)
    except EOFError as error:
        raise EOFError("the channel was closed") from error
