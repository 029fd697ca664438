"""Drives the report of this machine: to control, on every change and at least every second."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import msgspec

from fairlead.bus.port import Bus
from fairlead.errors import Unavailable
from fairlead.messages import NodeReport

_log = logging.getLogger(__name__)
EVERY_S = 1.0
TOGETHER_S = 0.01
"""Changes that come this close together go out as one report; with many models, that take longer to tell of, more."""
SHARE = 0.1
"""Of the time reports may take while changes follow each other."""


async def report(bus: Bus, make: Callable[[], NodeReport], changed: asyncio.Event) -> None:
    """Publish until canceled; a bus that is down is waited for."""
    silent = False
    clock = asyncio.get_running_loop().time
    while True:
        began = clock()
        made = make()
        took = clock() - began
        try:
            await _tell(bus, made)
            silent = False
        except Unavailable as error:
            if not silent:
                _log.warning("reports wait for the bus", extra={"reason": error.message})
            silent = True
        try:
            async with asyncio.timeout(EVERY_S):
                await changed.wait()
        except TimeoutError:
            pass
        changed.clear()
        await asyncio.sleep(max(TOGETHER_S, min(EVERY_S, took / SHARE)))


async def _tell(bus: Bus, made: NodeReport) -> None:
    """Publish ``made``; where no message carries it, what one carries of it and why that is not all."""
    try:
        await bus.publish(made)
    except Unavailable as error:
        if error.code != "message_too_long":
            raise
        _log.error("a report is shortened", extra={"reason": error.message})
        await bus.publish(lean(made, error.message))
    except (OverflowError, RecursionError, ValueError, TypeError) as error:
        fitting, culprits = sifted(made)
        _log.error("a report is shortened: %s", error, extra={"left_out": culprits})
        await bus.publish(lean(fitting, f"{', '.join(culprits)}: {str(error)[:200]}"))


def lean(made: NodeReport, why: str) -> NodeReport:
    """Return ``made`` without the texts and descriptions of bundles, and with why. Pure."""
    return msgspec.structs.replace(
        made,
        prepared=tuple(msgspec.structs.replace(one, signature=None, last_lines=()) for one in made.prepared),
        versions=tuple(msgspec.structs.replace(one, last_lines=()) for one in made.versions),
        runs=tuple(msgspec.structs.replace(one, last_lines=()) for one in made.runs),
        trouble=why[:1000],
    )


def sifted(made: NodeReport) -> tuple[NodeReport, tuple[str, ...]]:
    """Return ``made`` without the entries that cannot be encoded, and their names. Pure."""
    culprits: list[str] = []
    kept: dict[str, tuple[object, ...]] = {}
    for field in ("replicas", "prepared", "versions", "runs"):
        entries: list[object] = []
        for one in getattr(made, field):
            try:
                msgspec.msgpack.encode(one)
            except (OverflowError, RecursionError, ValueError, TypeError):
                culprits.append(f"{getattr(one, 'model', '') or getattr(one, 'name', '') or getattr(one, 'run', '')}")
            else:
                entries.append(one)
        kept[field] = tuple(entries)
    return msgspec.structs.replace(made, **kept), tuple(dict.fromkeys(culprits))
