"""Until when the caller of a held request waits: ``Prefer: wait=N`` (RFC 7240), and the ``timeout`` of ``/v2``.

That one stands in the body, which is left in the socket else: of a call of ``/v2`` the JSON is read, where it is short
and comes at once.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from typing import Any

import msgspec

from fairlead.keeper.doors.splice import field, fields

JSON_MAX = 64 * 1024
"""Of longer JSON the ``timeout`` is seen by the replica alone."""
COMES_S = 0.2
"""A body that takes longer to come is not waited for: the version is woken meanwhile."""
_WAIT = re.compile(r"\bwait=(\d+(?:\.\d+)?)")
_TIMEOUT_END_US = 2**53


class _Request(msgspec.Struct):
    parameters: dict[str, Any] = {}


def is_inference(head: bytes) -> bool:
    """Whether the request is one of the Open Inference Protocol."""
    return b" /v2/" in head.partition(b"\r\n")[0]


async def beginning(reader: asyncio.StreamReader, head: bytes) -> bytes:
    """Return what was read of the body, to be passed on: the JSON of a call of ``/v2``, nothing of any other."""
    size = _json_size(head)
    if not size:
        return b""
    try:
        async with asyncio.timeout(COMES_S):
            return await reader.readexactly(size)
    except TimeoutError:
        return b""  # what came stays in the reader
    except asyncio.IncompleteReadError as error:
        return error.partial


def until(head: bytes, body: bytes) -> float | None:
    """Return the moment (monotonic) until which the caller waits; None: it does not say."""
    wait = _WAIT.search(", ".join(fields(head, b"prefer")))
    left_s = min(float(wait[1]) if wait else math.inf, _timeout_s(body))
    return time.monotonic() + left_s if left_s < math.inf else None


def _json_size(head: bytes) -> int:
    """Return the length of the JSON that the body begins with, 0 where it is not read."""
    if not is_inference(head) or field(head, b"content-encoding"):
        return 0
    whole = field(head, b"content-length")
    part = field(head, b"inference-header-content-length") or whole
    if not (whole.isdecimal() and part.isdecimal() and whole.isascii() and part.isascii()):
        return 0
    size = min(int(whole[:18]), int(part[:18]))
    return size if size <= JSON_MAX else 0


def _timeout_s(body: bytes) -> float:
    """Return the parameter ``timeout`` (microseconds) in seconds, endless without it or where it is wrong."""
    if not body:
        return math.inf
    try:
        asked = msgspec.json.decode(body, type=_Request).parameters.get("timeout")
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return math.inf
    return asked / 1e6 if type(asked) is int and 0 < asked < _TIMEOUT_END_US else math.inf
