"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller
from fairlead.control import condition
from fairlead.control.house import DENIED, House

BEAT_S = 10.0
"""A comment this often keeps idle connections open and finds out who has gone."""

AWAY_S = 5.0
"""A keeper that is gone for so long is not just being started again."""
AWAY_LOOK_S = 1.0
BEHIND_S = 60.0
"""What the front door does not do within so long after it was decided is not waited for any more."""


def event(name: str, data: Any) -> bytes:
    """Return one event with JSON data."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False, default=str)}\n\n".encode()


V = TypeVar("V", bound=BaseModel)


async def follow(
    house: House,
    key: str,
    read: Callable[[Session], tuple[V, str | None]],
    again_s: float = 5.0,
    *,
    in_force: Callable[[], Awaitable[str]] | None = None,
    needs_keeper: bool = False,
) -> AsyncIterator[bytes]:
    """Yield ``step`` with what ``read`` returns each time it changed, until it names the last event.

    That is ``done``, or ``error`` in the place of a step. It is read when ``key`` is told, and every ``again_s``.
    ``in_force`` returns why what the records say is not in force yet: until it returns nothing it is not ``done``, and
    that reason is what the steps say. It ends with ``away`` where that lasts :data:`BEHIND_S`, and with
    ``needs_keeper`` once the keeper has been gone for :data:`AWAY_S`: nothing moves until it is back.
    """
    last: V | None = None
    told, gone_for, behind_for = "", _Lasting(house), _Lasting(house)
    with house.waiters.ticket(key) as ticket:
        while not house.closing.is_set():
            view, end = await house.database.read(read)
            if view != last and end != "error":
                last = view
                yield event("step", view.model_dump(by_alias=True))
            behind = await in_force() if end == "done" and in_force is not None else ""
            if end is not None and not behind:
                yield event(end, view.model_dump(by_alias=True))
                return
            if behind and behind != told:
                told = behind
                yield event("step", view.model_dump(by_alias=True) | {"said": behind})
            gone = condition.keeper(house.home) if needs_keeper else ()
            if gone_for.at_least(AWAY_S, since=bool(gone)):
                yield event("away", _away(gone[0]))
                return
            if behind_for.at_least(BEHIND_S, since=bool(behind)):
                yield event("away", _behind(behind))
                return
            if not behind:  # else it was waited for already
                await ticket.wait(min(again_s, AWAY_LOOK_S) if needs_keeper else again_s)


class _Lasting:
    """For how long something has been so."""

    def __init__(self, house: House) -> None:
        self._now, self._since = house.clock.monotonic, math.inf

    def at_least(self, seconds: float, *, since: bool) -> bool:
        """Note whether it is so now; return whether it has been for ``seconds``."""
        self._since = min(self._since, self._now()) if since else math.inf
        return self._now() - self._since >= seconds


def _behind(why: str) -> dict[str, str]:
    """Return the error that says what the front door does not do yet."""
    return {"code": "not_in_force", "message": why, "hint": "it takes effect once that is mended: fairlead status"}


def _away(said: str) -> dict[str, str]:
    """Return the error that says what waits for the keeper, from what ``status`` says of it."""
    what, _, hint = said.partition("; ")
    return {"code": "keeper_gone", "message": what, "hint": f"what was pushed is kept; {hint}"}


def sse(house: House, who: Caller, events: AsyncIterator[bytes]) -> StreamingResponse:
    """Return ``events`` as a stream, never cached nor buffered, that ends with its token: revoked or expired."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_while_allowed(house, who, events), media_type="text/event-stream", headers=headers)


async def _while_allowed(house: House, who: Caller, events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    pending: asyncio.Task[bytes] | None = None
    try:
        with house.waiters.ticket(DENIED) as denials:
            while who.token not in house.denied and (left_s := _left_s(house, who)) > 0:
                pending = pending or asyncio.ensure_future(anext(events))
                denied = asyncio.ensure_future(denials.wait(min(BEAT_S, left_s)))
                done, _ = await asyncio.wait([pending, denied], return_when=asyncio.FIRST_COMPLETED)
                denied.cancel()
                if pending in done:
                    finished, pending = pending, None
                    try:
                        yield finished.result()
                    except StopAsyncIteration:
                        return
                elif not denied.result():
                    yield b": still here\n\n"
    finally:
        if pending is not None:
            pending.cancel()


def _left_s(house: House, who: Caller) -> float:
    return math.inf if who.expires is None else who.expires - house.clock.now().timestamp()
