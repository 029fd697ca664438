"""Answers nats-server's question who may sign in, from the gate's file alone.

Several programs answer at once (the keeper, and control beside it), so that none of them is missed when it restarts:
nats-server asks one of those that are there. Nobody there means refused for good, see ``bus.server``.

Format: https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_callout (ADR-26 of
https://github.com/nats-io/nats-architecture-and-design).
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from fairlead.bus import credentials, subjects
from fairlead.bus.credentials import Key, SealKey
from fairlead.bus.gate import DeviceGate, refusal
from fairlead.bus.nats import Once, dial, settle
from fairlead.bus.server import SIGN_IN_S, GateAccess
from fairlead.errors import Error, Unavailable

_log = logging.getLogger(__name__)
_SERVER_KEY = "Nats-Server-Xkey"
_SUBSCRIPTIONS = 32
"""Of one device; it has two topics to hear."""
_PAGE = 1024
_REMEMBERED = 1_000
_ANSWER_S = 5
_LATE_S = 0.5


@asynccontextmanager
async def respond(access: GateAccess, gate: DeviceGate, *, wait_s: float = 10) -> AsyncIterator[Responder]:
    """Answer nats-server while the block runs; in force on entry. Raises ``bus_down`` when it cannot be reached."""
    responder = Responder(access, gate)
    asking, warden = Client(), Client()
    try:
        await dial(warden, access.warden, responder.note, wait_s=wait_s)
        await dial(asking, access.callout, responder.note, wait_s=wait_s)
        await asking.subscribe(subjects.CALLOUT, "callout", responder.take)
        await settle(asking)
        responder.warden = warden
        yield responder
    finally:
        await asking.close()
        await warden.close()


class Responder:
    """Lets in whom the gate knows, and puts out whom it no longer knows."""

    def __init__(self, access: GateAccess, gate: DeviceGate, now: Callable[[], float] = time.time) -> None:
        self.warden: Client | None = None
        self._now = now
        self._gate = gate
        self._auth = Key(access.auth_seed)
        self._fairlead = Key(access.fairlead_seed)
        self._seal = SealKey(access.seal_seed)
        self._refused: dict[str, str] = {}
        self._said = Once()

    async def take(self, message: Msg) -> None:
        """Answer one question of nats-server."""
        server_key = (message.headers or {}).get(_SERVER_KEY, "")
        try:
            asked = credentials.claims_of(self._seal.open(message.data, server_key))
            if self._now() - asked["iat"] > SIGN_IN_S:
                return  # nats-server waits no more: who asks now must not wait for those who left
            answered = self.answer(asked["nats"])
            await message.respond(self._seal.seal(answered.encode(), server_key))
        except (Error, nats.errors.Error, KeyError) as error:
            _log.error("a sign-in was not answered: %s", error)

    def answer(self, asked: Any) -> str:
        """Return the signed answer to ``asked``, the claims of nats-server's question."""
        user = str(asked["connect_opts"].get("user", ""))
        # MQTT: nats-server passes the password as auth_token, other connections never get here (sentinel)
        password = str(asked["connect_opts"].get("pass") or asked["connect_opts"].get("auth_token") or "")
        client_id = str(asked["client_info"].get("mqtt_id", ""))
        why = refusal(self._gate.table, user, password, client_id)
        if not why and asked["client_info"].get("type") != "mqtt":
            why = "devices speak MQTT"
        self._log(user, why)
        nkey = asked["user_nkey"]
        claims = {"type": "authorization_response"}
        if why:
            claims["error"] = why
        else:
            claims["jwt"] = credentials.user_jwt(
                self._fairlead, nkey, user, subjects.device_permissions(user),
                subs=_SUBSCRIPTIONS, allowed_connection_types=["MQTT"],
            )  # fmt: skip
        return credentials.mint(self._auth, nkey, "", claims, audience=asked["server_id"]["id"])

    async def put_out(self, devices: Collection[str]) -> int:
        """Close the connections of ``devices`` and return how many there were; raises ``bus_down``.

        They try again at once and are refused or, with a new password, let in. Idempotent.
        """
        if not devices:
            return 0
        closed = await self._close(devices)
        # one that was let in a moment before the gate changed was not in nats-server's list yet
        await asyncio.sleep(_LATE_S)
        return closed + await self._close(devices)

    @property
    def reconnects(self) -> int:
        """How often the bus was away since."""
        return int(self.warden.stats["reconnects"]) if self.warden is not None else 0

    async def devices(self) -> frozenset[str]:
        """Return which devices are connected now; raises ``bus_down``."""
        if self.warden is None:
            raise Unavailable("the bus is not connected", code="bus_down", retry_after_s=1)
        try:
            found = await connections(self.warden)
        except (nats.errors.Error, TimeoutError, msgspec.DecodeError) as error:
            raise Unavailable(f"it is not known who is connected: {error}", code="bus_down", retry_after_s=1) from error
        return frozenset(one.authorized_user for _, one in found if one.mqtt_client is not None)

    async def _close(self, devices: Collection[str]) -> int:
        if self.warden is None:
            raise Unavailable("the bus is not connected", code="bus_down", retry_after_s=1)
        closed = 0
        try:
            for server, connection in await connections(self.warden):
                if connection.authorized_user in devices and connection.mqtt_client is not None:
                    ask = json.dumps({"cid": connection.cid}).encode()
                    await self.warden.request(subjects.kick(server), ask, timeout=_ANSWER_S)
                    closed += 1
        except (nats.errors.Error, TimeoutError, msgspec.DecodeError) as error:
            raise Unavailable(
                f"devices that must go are still connected: {error}", code="bus_down", hint="try again"
            ) from error
        return closed

    async def note(self, error: Exception) -> None:
        """Log what nats-py reports on the side."""
        self._said.warn(f"bus, sign-in of devices: {type(error).__name__} {error}")

    def _log(self, user: str, why: str) -> None:
        """Log a refusal once, not at every try of a device that cannot know better."""
        if not why:
            self._refused.pop(user, None)
        elif self._refused.get(user) != why:
            if len(self._refused) >= _REMEMBERED:
                self._refused.clear()
            self._refused[user] = why
            _log.warning("device %r was refused: %s", user[:64], why)


class _Connection(msgspec.Struct):
    cid: int
    authorized_user: str = ""
    mqtt_client: str | None = None


class _Server(msgspec.Struct):
    id: str


class _Page(msgspec.Struct):
    connections: list[_Connection]
    total: int


class _Told(msgspec.Struct):
    server: _Server
    data: _Page


async def connections(warden: Client) -> list[tuple[str, _Connection]]:
    """Return nats-server's id with each of its connections."""
    found: list[tuple[str, _Connection]] = []
    while True:
        ask = json.dumps({"auth": True, "offset": len(found), "limit": _PAGE}).encode()
        reply = await warden.request(subjects.CONNECTIONS, ask, timeout=_ANSWER_S)
        told = msgspec.json.decode(reply.data, type=_Told)
        found += [(told.server.id, each) for each in told.data.connections]
        if not told.data.connections or len(found) >= told.data.total:
            return found
