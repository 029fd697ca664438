"""Tasks of the house: named, ended together, and loops that outlive a fault of ours."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

from fairlead.errors import Error

_log = logging.getLogger(__name__)
T = TypeVar("T")
AGAIN_S = 1.0


class Tasks(asyncio.TaskGroup):
    """A group that can be told to end: its loops would go on for ever."""

    def __init__(self) -> None:
        super().__init__()
        self._made: set[asyncio.Task[Any]] = set()

    def create_task(  # type: ignore[override] # generators are no tasks of ours
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[T]:
        """Start a task of the group."""
        task = super().create_task(coro, name=name, context=context)
        self._made.add(task)
        task.add_done_callback(self._made.discard)
        return task

    def cancel_all(self) -> None:
        """Cancel what still runs; leaving the group waits for it."""
        for task in tuple(self._made):
            task.cancel()


async def guarded(work: Awaitable[None], name: str) -> None:
    """Do ``work``; a fault in it is logged and nobody else's."""
    try:
        await work
    except Error as error:
        _log.warning("%s: %s", name, error.message)
    except Exception:  # noqa: BLE001 - else a full disk at one start would let go of every model
        _log.exception("%s failed", name)


async def forever(run: Callable[[], Awaitable[None]]) -> None:
    """Run a loop of the house until canceled; a fault in it is logged, and the loop begins again."""
    while True:
        try:
            await run()
        except Exception:  # noqa: BLE001 - a fault in one loop must not end the machine's other work
            _log.exception("a loop of the keeper failed; it begins again")
        await asyncio.sleep(AGAIN_S)
