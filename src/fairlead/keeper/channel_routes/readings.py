"""Readings of a run's devices: the last ones, fresh ones, and a stream of them as they come."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
from aiohttp import web

from fairlead.bus.port import Bus
from fairlead.clock import Clock, from_text
from fairlead.errors import NotFound
from fairlead.keeper.channel_routes.answers import answer, event, seconds
from fairlead.keeper.channel_routes.grant import Grant, chosen, told
from fairlead.keeper.running.asks import ask
from fairlead.keeper.running.readings import Readings
from fairlead.messages import DeviceBinding, FreshAsk, Measured
from fairlead.sdk.wire import Bound, Dropped, Measure, Measures

_PING_S = 5.0
_FRESH_S = 5.0
"""How long a device may take to send the fresh value it was asked for."""


class ReadingRoutes:
    """``GET`` of ``/devices``, and ``/events``."""

    def __init__(self, grant: Grant, readings: Readings, bus: Bus, clock: Clock) -> None:
        self._grant = grant
        self._readings = readings
        self._bus = bus
        self._clock = clock
        self._streams: set[asyncio.Task[Any] | None] = set()

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    def hang_up(self) -> None:
        """End the streams; the app connects again."""
        for stream in self._streams:
            if stream is not None:
                stream.cancel()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/devices/{role}", self._read_role),
            web.get("/devices/{role}/{property}", self._read_property),
            web.get("/events", self._events),
        ]

    async def _read_role(self, request: web.Request) -> web.Response:
        binding = self._grant.binding(request.match_info["role"])
        items = [
            self._measure(measured, binding, again=False)
            for device in chosen(binding, request.query.get("device"))
            for measured in self._readings.last(device).values()
            if told(binding).has(measured.property)
        ]
        return answer(Measures(tuple(items)))

    async def _read_property(self, request: web.Request) -> web.StreamResponse:
        binding, name = self._grant.binding(request.match_info["role"]), request.match_info["property"]
        if not told(binding).has(name):
            raise NotFound(
                f"{binding.type} has no property {name}", code="property_unknown", hint=f"it has {told(binding).names}"
            )
        max_age_s = seconds(request, "max_age_s")
        devices = chosen(binding, request.query.get("device"))
        if max_age_s is not None:
            self._grant.check_window()
        found = await asyncio.gather(*(self._reading(request, device, name, max_age_s) for device in devices))
        measures = [self._measure(measured, binding, again=False) for measured in found if measured is not None]
        wants_bytes = request.headers.get("accept", "").startswith(("image/", "audio/", "application/octet-stream"))
        if wants_bytes and len(measures) == 1 and measures[0].content_type:
            return web.Response(body=measures[0].media, content_type=measures[0].content_type)
        return answer(Measures(tuple(measures)))

    async def _reading(self, request: web.Request, device: str, name: str, max_age_s: float | None) -> Measured | None:
        """Return the last reading, or one that the device was asked for; the old one where it does not answer."""
        last = self._readings.last(device).get(name)
        if max_age_s is None or (last is not None and self._age(last) <= timedelta(seconds=max_age_s)):
            return last
        following = asyncio.create_task(self._readings.following(device, name, _FRESH_S), name=f"fresh {device}.{name}")
        try:
            await asyncio.sleep(0)  # it waits before anybody is asked
            await ask(self._bus, FreshAsk(self._grant.run.run, request.match_info["role"], device, (name,)))
            return await following or last
        finally:
            following.cancel()

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream", "cache-control": "no-store"})
        bindings = {device: b for b in self._grant.run.bindings.values() for device in b.devices}
        feed = self._readings.follow(bindings)
        self._streams.add(asyncio.current_task())
        try:
            await response.prepare(request)
            await response.write(event("bindings", Bound(self._grant.bindings)))
            for device, binding in bindings.items():
                for measured in self._readings.last(device).values():
                    if told(binding).has(measured.property) and measured.property not in binding.events:
                        await response.write(event("reading", self._measure(measured, binding, again=True)))
            while not feed.closed:
                taken, dropped = await feed.take(_PING_S)
                block = bytearray(event("dropped", Dropped(dropped)) if dropped else b"")
                for measured in taken:
                    block += event("reading", self._measure(measured, bindings[measured.device], again=False))
                await response.write(bytes(block) or b": still here\n\n")
        except ConnectionResetError:
            return response
        finally:
            self._readings.leave(feed)
            self._streams.discard(asyncio.current_task())
        return response

    def _measure(self, measured: Measured, binding: DeviceBinding, *, again: bool) -> Measure:
        fresh_s = binding.properties.get(measured.property, {}).get("fresh_s")
        return Measure(
            device=measured.device,
            property=measured.property,
            at=measured.at,
            value=None if measured.content_type else msgspec.Raw(measured.value),
            media=measured.media,
            content_type=measured.content_type,
            stale=fresh_s is not None and self._age(measured) > timedelta(seconds=fresh_s),
            again=again,
        )

    def _age(self, measured: Measured) -> timedelta:
        return self._clock.now() - from_text(measured.at)
