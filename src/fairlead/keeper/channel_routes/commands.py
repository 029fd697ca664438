"""Commands of a run to the devices of its roles."""

from __future__ import annotations

import asyncio

import msgspec
from aiohttp import web

from fairlead import ids
from fairlead.bus.port import Bus
from fairlead.errors import Error, Invalid
from fairlead.keeper.channel_routes.answers import answer, parse
from fairlead.keeper.channel_routes.grant import Grant, chosen
from fairlead.keeper.running.asks import ask
from fairlead.messages import CommandAsk, CommandShow, ReleaseAsk
from fairlead.messages.devices import SET_MAX, is_plain
from fairlead.sdk.wire import CommandState, CommandStates, SendBody

_GRACE_S = 1.0
"""Added to a command's ``timeout_s``, within which control says how it ended."""
_LOOK_S = 2.0
"""Longest wait of one look at a command: one that control did not live to answer is made again."""
_MAX_S = 600.0
_SENT_MAX_BYTES = 128 * 1024
_SETTLED = ("applied", "observed", "failed")


class CommandRoutes:
    """``POST`` and ``DELETE`` of ``/devices``."""

    def __init__(self, grant: Grant, bus: Bus) -> None:
        self._grant = grant
        self._bus = bus

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/devices/{role}", self._send), web.delete("/devices/{role}", self._release)]

    async def _send(self, request: web.Request) -> web.Response:
        role = request.match_info["role"]
        self._grant.check_window()
        binding = self._grant.binding(role)
        sent = await request.read()
        body = parse(sent, SendBody)
        if len(sent) > _SENT_MAX_BYTES or len(body.set) > SET_MAX:
            message = f"a command has at most {SET_MAX} properties and {_SENT_MAX_BYTES} bytes"
            raise Invalid(message, code="body_too_large", hint="set less at once")
        if not is_plain(body.set):
            raise Invalid(
                "set holds a number that is none", code="invalid_input", hint="numbers that a double can hold"
            )
        if not body.set:
            raise Invalid("set is empty", code="invalid_input", hint='for example {"set": {"on": true}}')
        if not 0 < body.timeout_s <= _MAX_S:
            said, hint = f"timeout_s {body.timeout_s:g} is outside 0 to {_MAX_S:g}", "5 seconds unless it is said"
            raise Invalid(said, code="invalid_input", hint=hint)
        devices = chosen(binding, body.device)
        return answer(CommandStates(tuple(await asyncio.gather(*(self._command(role, d, body) for d in devices)))))

    async def _command(self, role: str, device: str, body: SendBody) -> CommandState:
        """Have control write the command and wait for what becomes of it, ``timeout_s`` at most."""
        run, loop = self._grant.run.run, asyncio.get_running_loop()
        deadline = loop.time() + body.timeout_s
        command = ids.new("cmd")
        message = CommandAsk(
            run, role, device, body.set, body.hold_s, body.timeout_s, because=body.because, command=command
        )
        try:
            told = await ask(self._bus, message, body.timeout_s, each_s=_LOOK_S)
            state = _state(told, device)
        except Error as error:
            return CommandState(command, "failed", f"{error.code}: {error.message}", device)
        while state.status not in _SETTLED and (left := deadline + _GRACE_S - loop.time()) > 0:
            look = CommandShow(run, state.id, min(left, _LOOK_S))
            try:
                told = await ask(self._bus, look, left + _GRACE_S, each_s=look.wait_s + _GRACE_S)
            except Error:
                break
            state = _state(told, device)
        return state

    async def _release(self, request: web.Request) -> web.Response:
        role = request.match_info["role"]
        binding = self._grant.binding(role)
        properties = tuple(request.query.getall("property", []))
        for device in chosen(binding, request.query.get("device")):
            await ask(self._bus, ReleaseAsk(self._grant.run.run, role, device, properties))
        return web.Response(status=204)


def _state(told: bytes, device: str) -> CommandState:
    state = msgspec.json.decode(told, type=CommandState)
    return msgspec.structs.replace(state, device=state.device or device)
