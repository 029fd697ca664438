"""Has the front door end what it has in hand, before anything behind it is stopped."""

from __future__ import annotations

import logging

from fairlead.clock import Clock
from fairlead.errors import Unavailable
from fairlead.gateway import Gateway

_log = logging.getLogger(__name__)
CALLERS_S = 3.5
"""So long the front door asks callers to close their connections (``gateway.envoy``); then it takes no new ones."""
CALLS_S = 12.0
"""Longest wait for calls of models that are under way then."""
_LOOK_S = 0.05


async def callers_gone(gateway: Gateway, clock: Clock) -> None:
    """Begin to drain the front door; return once nobody is connected to it, or it takes no connections any more."""
    try:
        await gateway.drain()
        await _until(gateway, clock, CALLERS_S, idle=True)
    except Unavailable as error:
        _log.info("the front door is gone already", extra={"reason": error.message})


async def calls_ended(gateway: Gateway, clock: Clock) -> None:
    """Return once no call of a model is under way, at the latest after ``CALLS_S``.

    Streams of control and pages are not waited for: they have no end, and whoever reads them comes back.
    """
    try:
        if not await _until(gateway, clock, CALLS_S, idle=False):
            _log.warning("calls of models are cut off: they did not end within %g s", CALLS_S)
    except Unavailable as error:
        _log.info("the front door is gone already", extra={"reason": error.message})


async def _until(gateway: Gateway, clock: Clock, limit_s: float, *, idle: bool) -> bool:
    """Return whether within ``limit_s`` there is no connection (``idle``), or no call of a model."""
    end = clock.monotonic() + limit_s
    while True:
        connections, calls = await gateway.in_hand()
        if not (connections if idle else calls):
            return True
        if clock.monotonic() >= end:
            return False
        await clock.sleep(_LOOK_S)
