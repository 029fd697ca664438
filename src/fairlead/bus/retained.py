"""The last retained word of a device, as nats-server keeps it for MQTT: told while nobody of ours listened.

nats-server keeps what is published as retained in a stream of the account, the newest by subject
(https://docs.nats.io/running-a-nats-service/configuration/mqtt: ``$MQTT_rmsgs``); the payload is the message's, or JSON
around it before 2.10.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec
import nats.errors
from nats.aio.client import Client

from fairlead import clock
from fairlead.bus import subjects
from fairlead.errors import Unavailable

_AT_ONCE = 100
_ANSWER_S = 5
_NO_MESSAGE = 404


class Word(msgspec.Struct, frozen=True):
    """What was said, and when nats-server kept it."""

    payload: bytes
    at: datetime


class _Message(msgspec.Struct):
    time: str
    data: str = ""


class _Failed(msgspec.Struct):
    code: int = 0
    description: str = ""


class _Got(msgspec.Struct):
    message: _Message | None = None
    error: _Failed | None = None


class Retained:
    """Knows what devices said last on ``status`` and asked to be kept."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def words(self, devices: Iterable[str]) -> Mapping[str, Word]:
        """Return the last word of each of ``devices`` that has one; raises :class:`Unavailable` ``bus_down``."""
        names = list(devices)
        found: dict[str, Word] = {}
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            try:
                told = await asyncio.gather(*(self._word(name) for name in some))
            except (nats.errors.Error, TimeoutError, ValueError, binascii.Error) as error:
                said = f"it is not known what devices said last: {error}"
                raise Unavailable(said, code="bus_down", retry_after_s=1) from error
            found |= {name: word for name, word in zip(some, told, strict=True) if word is not None}
        return found

    async def _word(self, device: str) -> Word | None:
        ask = json.dumps({"last_by_subj": subjects.retained_status(device)}).encode()
        reply = await self._client.request(subjects.RETAINED, ask, timeout=_ANSWER_S)
        got = msgspec.json.decode(reply.data, type=_Got)
        if got.message is None:
            if got.error is not None and got.error.code != _NO_MESSAGE:
                raise ValueError(got.error.description)
            return None  # none was kept, or there is no stream yet: no device ever signed in
        return Word(base64.b64decode(got.message.data), clock.from_text(got.message.time))
