"""What a device said, judged before anything is kept: topic and payload in, good values and refusals out.

No records are read here, so thousands of messages a second can be judged and passed on; the good ones are then
recorded in groups by ``readings.record``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from fairlead import clock
from fairlead.devices.types import DeviceType, Measurement, Refusal, unknown, validate, validate_all

AHEAD_MAX = timedelta(minutes=1)
"""A device's clock may be ahead of ours by so much."""
BEHIND_MIN = timedelta(days=1)
"""So long a device may hold readings back, or as long as its type keeps them: older ones would go as they come."""
TOPIC_MAX = 80
"""So much of a topic is told back."""
ERROR_EVERY_S = 1.0
"""A device that sends nonsense is told so at most this often for each topic and code."""


class Ack(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """Payload of ``dev/<device>/cmd/ack``."""

    id: str
    status: str = "applied"
    reason: str = ""


class DeviceError(msgspec.Struct, frozen=True):
    """Payload of ``dev/<device>/error``."""

    topic: str
    code: str
    message: str
    hint: str = ""


class Heard(msgspec.Struct, frozen=True):
    """One message of a device, judged."""

    device: str
    at: datetime
    """When it was measured, else when it came."""
    came: datetime
    measured: tuple[Measurement, ...] = ()
    online: bool | None = None
    """What it said on ``status``."""
    ack: Ack | None = None
    description: dict[str, Any] | None = None
    errors: tuple[DeviceError, ...] = ()


class Door:
    """Judges the messages of devices; remembers only how fast each speaks. Used from one thread."""

    def __init__(self) -> None:
        self.kinds: Mapping[str, DeviceType] = {}
        """Type of each device that may speak; set it anew when devices change."""
        self._last: dict[tuple[str, str], float] = {}
        self._told: dict[tuple[str, str, str], float] = {}

    def hear(self, device: str, tail: str, payload: bytes, now: datetime, monotonic: float) -> Heard:
        """Return what ``payload`` on ``dev/<device>/<tail>`` says; ``tail`` as in MQTT, with slashes."""
        kind = self.kinds.get(device)
        if kind is None:
            error = Refusal(
                "device_not_found",
                f"{device} is not registered",
                f"fairlead devices add {device} --type TYPE --at PLACE",
            )
            return self._heard(device, tail, now, monotonic, refusals=[error])
        match tail.split("/"):
            case ["status"]:
                return self._status(device, tail, payload, now, monotonic)
            case ["state"]:
                return self._state(device, kind, payload, now, monotonic)
            case ["state", name]:
                prop = kind.find(name)
                result = validate(name, prop, payload) if prop else unknown(kind, name)
                if isinstance(result, Refusal):
                    return self._heard(device, tail, now, monotonic, refusals=[result])
                return self._heard(device, tail, now, monotonic, kind=kind, measured=[result])
            case ["cmd", "ack"]:
                return self._ack(device, tail, payload, now, monotonic)
            case ["desc"]:
                return self._described(device, tail, payload, now, monotonic)
            case _:
                hint = "state, state/<property or event>, status, cmd/ack or desc"
                error = Refusal("unknown_topic", f"{tail[:TOPIC_MAX]!r} is no topic of a device", hint)
                return self._heard(device, tail, now, monotonic, refusals=[error])

    def _status(self, device: str, tail: str, payload: bytes, now: datetime, monotonic: float) -> Heard:
        if payload in (b"online", b"offline"):
            return Heard(device, now, now, online=payload == b"online")
        error = Refusal("wrong_type", "status is neither online nor offline", "publish online, retained")
        return self._heard(device, tail, now, monotonic, refusals=[error])

    def _state(self, device: str, kind: DeviceType, payload: bytes, now: datetime, monotonic: float) -> Heard:
        good, refusals, text = validate_all(kind, payload)
        moment = now
        if text is not None:
            told = _moment(text, now, _kept(kind, good))
            if isinstance(told, Refusal):
                refusals.append(told)
            else:
                moment = told
        return self._heard(device, "state", now, monotonic, kind=kind, measured=good, refusals=refusals, at=moment)

    def _ack(self, device: str, tail: str, payload: bytes, now: datetime, monotonic: float) -> Heard:
        try:
            ack = msgspec.json.decode(payload, type=Ack)
        except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
            refusal = Refusal("not_json", f"the acknowledgement is unreadable: {error}", '{"id": "cmd-…"}')
            return self._heard(device, tail, now, monotonic, refusals=[refusal])
        if ack.status not in ("applied", "delivered", "refused"):
            refusal = Refusal("wrong_type", f"{ack.status[:40]!r} is no status", "applied, delivered or refused")
            return self._heard(device, tail, now, monotonic, refusals=[refusal])
        return Heard(device, now, now, ack=ack)

    def _described(self, device: str, tail: str, payload: bytes, now: datetime, monotonic: float) -> Heard:
        try:
            if len(payload) > 4096:
                raise msgspec.ValidationError("it is longer than 4096 bytes")
            return Heard(device, now, now, description=msgspec.json.decode(payload, type=dict[str, Any]))
        except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
            refusal = Refusal("not_json", f"the description is unreadable: {error}", '{"type": "fan@1"}')
            return self._heard(device, tail, now, monotonic, refusals=[refusal])

    def _heard(
        self,
        device: str,
        tail: str,
        now: datetime,
        monotonic: float,
        *,
        kind: DeviceType | None = None,
        measured: list[Measurement] | None = None,
        refusals: list[Refusal] | None = None,
        at: datetime | None = None,
    ) -> Heard:
        kept, refused = [], list(refusals or ())
        for one in measured or ():
            limit = kind.find(one.property) if kind else None
            if limit and limit.max_per_s and not self._in_time(device, one.property, limit.max_per_s, monotonic):
                text = f"{one.property}: more than {limit.max_per_s:g} readings a second"
                refused.append(Refusal("too_fast", text, "send less often; max_per_s stands in the type"))
            else:
                kept.append(one)
        errors = tuple(
            DeviceError(f"dev/{device}/{tail[:TOPIC_MAX]}", one.code, one.message, one.hint)
            for one in refused
            if self._tell(device, tail, one.code, monotonic)
        )
        return Heard(device, at or now, now, measured=tuple(kept), errors=errors)

    def _in_time(self, device: str, name: str, max_per_s: float, monotonic: float) -> bool:
        """Whether a reading fits: GCRA with a burst of one second, so that jitter of the network costs nothing."""
        due = max(self._last.get((device, name), 0.0), monotonic)
        if due - monotonic > max(0.0, 1.0 - 1.0 / max_per_s):
            return False
        self._last[device, name] = due + 1.0 / max_per_s
        return True

    def _tell(self, device: str, tail: str, code: str, monotonic: float) -> bool:
        key = (device, tail if len(tail) <= TOPIC_MAX else "", code)
        if monotonic - self._told.get(key, -ERROR_EVERY_S) < ERROR_EVERY_S:
            return False
        if len(self._told) > 10_000:  # a device that invents topics must not fill our memory
            self._told.clear()
        self._told[key] = monotonic
        return True


def _kept(kind: DeviceType, good: Iterable[Measurement]) -> timedelta:
    """Return for how long the type keeps readings of what was measured, the longest; a day at least."""
    specs = [kind.find(one.property) for one in good]
    return max([BEHIND_MIN, *(timedelta(days=spec.keep_days) for spec in specs if spec)])


def _moment(text: str, now: datetime, kept: timedelta) -> datetime | Refusal:
    """Return the moment that ``at`` says, or why it counts for nothing: a device without a battery wakes up in 1970."""
    try:
        moment = clock.from_text(text)
    except ValueError:
        message = f"at: {text[:40]!r} is no moment; what came with it counts as of now"
        return Refusal("wrong_type", message, "2026-11-20T14:03:00Z")
    hint = "set the device's clock, or leave at out"
    if moment > now + AHEAD_MAX:
        return Refusal("clock_ahead", f"at: {text} lies in the future; it counts as of now", hint)
    if moment < now - kept:
        return Refusal("clock_behind", f"at: {text} is older than what is kept; it counts as of now", hint)
    return moment
