"""Requests to control on behalf of runs: held while control is away, answers turned into values or errors."""

from __future__ import annotations

import asyncio

from fairlead.bus.port import Bus
from fairlead.errors import Unavailable
from fairlead.messages import ErrorInfo, Message

ASK_S = 5.0
_RETRY_S = 0.2


async def ask(
    bus: Bus, message: Message, timeout_s: float = ASK_S, *, again: bool = True, each_s: float | None = None
) -> bytes:
    """Return the JSON text that control answers; raises the :class:`Error` it answers.

    While control is away it is asked again until ``timeout_s``, then :class:`Unavailable`
    ``control_unavailable``. ``again`` False: ask once, since asking twice would do it twice. ``each_s``: after so long
    without an answer it is asked again too, since a control that ended meanwhile never answers.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while (left := deadline - loop.time()) > 0:
        try:
            answer = await bus.request(message, timeout_s=left if each_s is None else min(left, each_s))
        except Unavailable as error:
            was_heard = error.code != "bus_down" and loop.time() >= deadline - left / 2  # nobody there: told at once
            if was_heard and not again:
                raise _control_away(timeout_s) from error
        else:
            if answer.error is not None or not answer.ok:
                raise (answer.error or ErrorInfo(code="internal", message="control refused")).to_error()
            return answer.value
        await asyncio.sleep(min(_RETRY_S, max(0.0, deadline - loop.time())))
    raise _control_away(timeout_s)


def _control_away(timeout_s: float) -> Unavailable:
    return Unavailable(
        f"control did not answer within {timeout_s:g} s",
        code="control_unavailable",
        hint="it is started again by itself; try again shortly",
        retry_after_s=1,
    )
