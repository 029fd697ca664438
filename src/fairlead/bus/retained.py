"""What devices have nats-server retain for MQTT: the last word of each is told, and what else is kept is cleared.

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
ROOM_BYTES = 16 * 1024**2
"""So much may be retained before what serves nobody is cleared: 2,000 devices' words are 0.3 MB."""
KEPT = ("status", "desc")
"""Topics of a device whose retained messages are of use: the last values of all others are in the store."""
_ROOMS_MAX = 32
"""Topics of one device that are cleared one by one; of one with more all are: it is to say anew that it is there."""
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


class _State(msgspec.Struct):
    bytes: int = 0
    subjects: dict[str, int] = {}


class _Info(msgspec.Struct):
    state: _State | None = None
    error: _Failed | None = None


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

    async def clear(self) -> Mapping[str, int]:
        """Clear what serves nobody, once more than :data:`ROOM_BYTES` are retained; return how many topics of which
        device. Raises :class:`Unavailable` ``bus_down``.

        Any device may have any message retained on topics of its own, of as many names as it likes, and the room is
        everybody's.
        """
        try:
            if (await self._state()).bytes <= ROOM_BYTES:
                return {}
            held = (await self._state(subjects.retained(subjects.devices()))).subjects
            strange = strange_topics(held)
            for device, topics in strange.items():
                patterns = {one for topic in topics for one in (topic, f"{topic}.>")}
                for pattern in patterns if len(topics) <= _ROOMS_MAX else (f"{device}.>",):
                    ask = json.dumps({"filter": subjects.retained(f"dev.{pattern}")}).encode()
                    await self._client.request(subjects.RETAINED_PURGE, ask, timeout=_ANSWER_S)
        except (nats.errors.Error, TimeoutError, ValueError) as error:
            said = f"what devices have the bus retain is not cleared: {error}"
            raise Unavailable(said, code="bus_down", retry_after_s=1) from error
        return {device: len(topics) for device, topics in strange.items()}

    async def _state(self, of: str = "") -> _State:
        ask = json.dumps({"subjects_filter": of}).encode() if of else b""
        reply = await self._client.request(subjects.RETAINED_STATE, ask, timeout=_ANSWER_S)
        info = msgspec.json.decode(reply.data, type=_Info)
        if info.state is None:
            if info.error is not None and info.error.code != _NO_MESSAGE:
                raise ValueError(info.error.description)
            return _State()  # there is no stream yet
        return info.state

    async def _word(self, device: str) -> Word | None:
        ask = json.dumps({"last_by_subj": subjects.retained_status(device)}).encode()
        reply = await self._client.request(subjects.RETAINED, ask, timeout=_ANSWER_S)
        got = msgspec.json.decode(reply.data, type=_Got)
        if got.message is None:
            if got.error is not None and got.error.code != _NO_MESSAGE:
                raise ValueError(got.error.description)
            return None  # none was kept, or there is no stream yet: no device ever signed in
        return Word(base64.b64decode(got.message.data), clock.from_text(got.message.time))


def strange_topics(held: Iterable[str]) -> dict[str, set[str]]:
    """Return, by device, which of its topics are retained and serve nobody: the first part of each, ``t1.state``; pure.

    ``held``: subjects under which messages are kept.
    """
    found: dict[str, set[str]] = {}
    for subject in held:
        _, _, _, device, *tail = subject.split(".")
        if len(tail) != 1 or tail[0] not in KEPT:
            found.setdefault(device, set()).add(f"{device}.{tail[0]}" if tail else device)
    return found
