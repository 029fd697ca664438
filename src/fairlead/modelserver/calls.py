"""What goes into the data plane and what comes out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fairlead import ids
from fairlead.sdk.model import Request

if TYPE_CHECKING:
    from fairlead.sdk.files import Image

ProgressHook = Callable[[int, int | None, "Image | None", str], None]
PieceHook = Callable[[int, bytes], None]
"""Told of each piece that is gathered: its number and its JSON."""


class Call:
    """One request or job. Shaped like ``sdk.model.Scope``: the code under it sees its request and its cancellation.

    ``deadline`` is of the monotonic clock, in seconds. ``peer`` is what the caller is watched by, if it can leave.
    ``respond`` makes the reply of a call of tensors from its answers; no other call has it.
    """

    __slots__ = ("body", "canceled", "deadline", "endpoint", "id", "on_piece", "on_progress", "peer", "respond")
    respond: Callable[[Sequence[Any]], Reply]
    is_job = False

    def __init__(self, endpoint: str, body: bytes, id: str, deadline: float) -> None:
        self.endpoint = endpoint
        self.body = body
        self.id = id
        self.deadline = deadline
        self.on_piece: PieceHook | None = None
        self.on_progress: ProgressHook | None = None
        self.canceled = False
        self.peer: Any = None

    @property
    def content_type(self) -> str:
        return "application/json"

    @property
    def accept(self) -> str:
        return "*/*"

    @property
    def query(self) -> str:
        return ""

    @property
    def user(self) -> str:
        return ""

    @property
    def trace(self) -> str:
        """W3C ``traceparent`` that it came with."""
        return ""

    @property
    def asked_by(self) -> str:
        """Id of the request that submitted it, where that is not its own."""
        return ""

    @property
    def encoding(self) -> str:
        """Content encoding of the body."""
        return ""

    @property
    def head_length(self) -> str:
        """Bytes of JSON before binary tensors, as the caller wrote it; empty: the body is JSON."""
        return ""

    @property
    def request(self) -> Request:
        left_s = self.deadline - time.monotonic()
        return Request(self.id, self.user, datetime.fromtimestamp(time.time() + left_s, UTC), self.trace)


class TypedCall(Call):
    """A call whose types are given, as jobs have them."""

    __slots__ = ("_accept", "_asked_by", "_content_type", "_query", "_trace", "_user")

    def __init__(
        self,
        endpoint: str,
        body: bytes,
        id: str,
        deadline: float,
        *,
        content_type: str = "application/json",
        accept: str = "*/*",
        query: str = "",
        user: str = "",
        trace: str = "",
        asked_by: str = "",
        on_progress: ProgressHook | None = None,
        on_piece: PieceHook | None = None,
    ) -> None:
        super().__init__(endpoint, body, id, deadline)
        self._content_type = content_type
        self._accept = accept
        self._query = query
        self._user = user
        self._trace = trace
        self._asked_by = asked_by
        self.on_progress = on_progress
        self.on_piece = on_piece

    @property
    def content_type(self) -> str:
        return self._content_type

    @property
    def accept(self) -> str:
        return self._accept

    @property
    def query(self) -> str:
        return self._query

    @property
    def user(self) -> str:
        return self._user

    @property
    def trace(self) -> str:
        return self._trace

    @property
    def asked_by(self) -> str:
        return self._asked_by


class JobCall(TypedCall):
    """A job: it waits behind requests, and is never refused for how many wait."""

    __slots__ = ()
    is_job = True


class Reply:
    """An answer as bytes, how long it waited and was worked on (seconds), and when it was queued (monotonic)."""

    __slots__ = ("added", "body", "compute_s", "content_type", "queue_s")

    def __init__(self, body: bytes, content_type: str, queue_s: float = 0.0, compute_s: float = 0.0) -> None:
        self.body = body
        self.content_type = content_type
        self.queue_s = queue_s
        self.compute_s = compute_s
        self.added = 0.0


class RequestIds:
    """Makes ``req-`` ids for nearly nothing: a ULID whose random part is 40 bits of this process and a counter.

    The time in it is refreshed by :meth:`refresh`, once a second; hexadecimal digits are Crockford digits too.
    """

    def __init__(self) -> None:
        self._count = int.from_bytes(os.urandom(3), "big")
        self.refresh()

    def refresh(self) -> None:
        self._head = ids.new("req")[: len("req-") + 18]

    def new(self) -> str:
        self._count += 1
        return f"{self._head}{self._count & 0xFFFFFFFF:08x}"
