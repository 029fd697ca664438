"""Small values that a schedule keeps from run to run."""

from __future__ import annotations

import msgspec
from aiohttp import web

from fairlead.bus.port import Bus
from fairlead.errors import Invalid, NotFound
from fairlead.keeper.channel_routes.answers import answer, parse
from fairlead.keeper.channel_routes.grant import Grant
from fairlead.keeper.running.asks import ask
from fairlead.messages import StateGet, StatePut
from fairlead.sdk.wire import STATE_MAX_BYTES, Stored

_VERSION_DIGITS = 18


class StateRoutes:
    """``/state``."""

    def __init__(self, grant: Grant, bus: Bus) -> None:
        self._grant = grant
        self._bus = bus

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/state/{key}", self._get), web.put("/state/{key}", self._put)]

    async def _get(self, request: web.Request) -> web.Response:
        key = request.match_info["key"]
        told = await ask(self._bus, StateGet(self._grant.run.run, key))
        stored = msgspec.json.decode(told, type=Stored | None)
        if stored is None:
            raise NotFound(f"no value is kept under {key}", code="no_value", hint=f"PUT /state/{key} keeps one")
        return answer(stored.value, headers={"etag": f'"{stored.version}"'})

    async def _put(self, request: web.Request) -> web.Response:
        body = await request.read()
        if len(body) > STATE_MAX_BYTES:
            raise Invalid(
                f"{len(body)} bytes are more than {STATE_MAX_BYTES}",
                code="state_too_large",
                hint="keep large things as files",
            )
        parse(body, msgspec.Raw)
        match = request.headers.get("if-match", "").strip('"')
        if match and not (match.isascii() and match.isdigit() and len(match) <= _VERSION_DIGITS):
            raise Invalid(f"if-match: {match[:40]} is no version", code="invalid_input", hint="give the ETag of a GET")
        key = request.match_info["key"]
        message = StatePut(self._grant.run.run, key, body, int(match) if match else None)
        stored = msgspec.json.decode(await ask(self._bus, message, again=not match), type=Stored | None)
        return web.Response(status=204, headers={"etag": f'"{stored.version if stored else 0}"'})
