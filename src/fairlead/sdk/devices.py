"""Devices as an app sees them: by role, never by address."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, overload

import msgspec

from fairlead.clock import from_text
from fairlead.errors import Error, Invalid, NotFound, Unavailable
from fairlead.sdk import cause
from fairlead.sdk.calls import encode_json, media
from fairlead.sdk.channel import Channel
from fairlead.sdk.wire import Binding, CommandState, CommandStates, Measure, Measures, SendBody

_ANSWER_GRACE_S = 3.0
"""Added to a command's ``timeout_s``: the keeper's answer about a command that timed out comes a little later."""


class Reading:
    """One value of one property at one moment. ``value``: an Image, an Audio, another File, or a JSON value."""

    __slots__ = ("at", "device", "property", "stale", "value")

    def __init__(self, device: str, property: str, value: Any, at: datetime, stale: bool = False) -> None:
        self.device = device
        self.property = property
        self.value = value
        self.at = at
        self.stale = stale

    def __repr__(self) -> str:
        return f"Reading({self.device}.{self.property} = {cause.short(self.value)} at {self.at:%H:%M:%S}Z)"


def reading_of(measure: Measure) -> Reading:
    """Return what came over the channel as the app gets it."""
    value = media(measure.media, measure.content_type) if measure.content_type else measure.value
    return Reading(measure.device, measure.property, value, from_text(measure.at), measure.stale)


class Command(msgspec.Struct, frozen=True):
    """What became of a command. ``reason`` says why it waits or failed."""

    id: str
    status: str
    """accepted, sent, delivered, applied, observed or failed."""
    reason: str | None = None
    device: str = ""

    @property
    def ok(self) -> bool:
        """Whether the device did it."""
        return self.status in ("applied", "observed")


class Property:
    """One property of the device that stands for a role."""

    def __init__(self, channel: Channel, role: str, name: str, device: str | None = None) -> None:
        self.role = role
        self.name = name
        self._channel = channel
        self._device = device

    async def get(self, max_age_s: float | None = None) -> Reading:
        """Return the last reading; where it is older than ``max_age_s`` the device is asked. Raises :class:`Error`."""
        measures = await _measures(self._channel, self.role, self.name, self._device, max_age_s)
        if not measures:
            where = self._device or self.role
            raise NotFound(f"{where}.{self.name} has no reading yet", code="no_reading", hint="give max_age_s to ask")
        return reading_of(measures[0])

    def __repr__(self) -> str:
        return f"Property({self._device or self.role}.{self.name})"


class Properties:
    """The same property of all devices of a role."""

    def __init__(self, channel: Channel, role: str, name: str) -> None:
        self.role = role
        self.name = name
        self._channel = channel

    async def get(self, max_age_s: float | None = None) -> list[Reading]:
        """Return the last reading of each device that has one, in the order of the devices."""
        return [reading_of(m) for m in await _measures(self._channel, self.role, self.name, None, max_age_s)]

    def __repr__(self) -> str:
        return f"Properties({self.role}.{self.name})"


class Device:
    """The one device of a role; ``device.temperature`` (or ``device["send"]``) is a :class:`Property`."""

    def __init__(self, channel: Channel, role: str, device: str | None = None) -> None:
        self._channel = channel
        self._role = role
        self._device = device

    @property
    def id(self) -> str:
        """The device's id in this run; raises :class:`Error` before the run began."""
        if self._device is not None:
            return self._device
        devices = binding_of(self._channel, self._role).devices
        if len(devices) != 1:
            raise Unavailable(
                f"role {self._role} has {len(devices)} devices",
                code="role_not_bound" if not devices else "role_has_many",
                hint=f'use app.devices("{self._role}")',
            )
        return devices[0]

    async def send(
        self,
        *,
        hold_s: float | None = None,
        timeout_s: float = 5,
        because: Sequence[str] | str | None = None,
        **values: Any,
    ) -> Command:
        """Set writable properties and return what became of it; never raises. Held until the window ends, or for
        ``hold_s`` seconds. ``because`` adds to the reading in hand and the predictions made since."""
        try:
            body = _send_body(values, hold_s, timeout_s, because, self._device)
            (state, *_) = await _post(self._channel, self._role, body, timeout_s)
        except Error as error:
            return Command("", "failed", _said(error), self._device or self._role)
        return Command(state.id, state.status, state.reason, state.device)

    async def release(self, *properties: str) -> None:
        """Stop holding ``properties`` (all that this run holds, when none is named). Raises :class:`Error`."""
        await _release(self._channel, self._role, self._device, properties)

    def __getitem__(self, name: str) -> Property:
        _check_property(self._channel, self._role, name)
        return Property(self._channel, self._role, name, self._device)

    def __getattr__(self, name: str) -> Property:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __repr__(self) -> str:
        return f"Device({self._device or self._role})"


class Devices(Sequence[Device]):
    """The devices of a role, maybe none; ``devices.image`` is that property of them all."""

    def __init__(self, channel: Channel, role: str) -> None:
        self._channel = channel
        self._role = role

    @property
    def id(self) -> tuple[str, ...]:
        """The ids, in order."""
        return binding_of(self._channel, self._role).devices

    async def send(
        self,
        *,
        hold_s: float | None = None,
        timeout_s: float = 5,
        because: Sequence[str] | str | None = None,
        **values: Any,
    ) -> list[Command]:
        """As :meth:`Device.send`, to all; one command for each device."""
        try:
            states = await _post(
                self._channel, self._role, _send_body(values, hold_s, timeout_s, because, None), timeout_s
            )
        except Error as error:
            failed = [Command("", "failed", _said(error), device) for device in self._ids_if_known()]
            return failed or [Command("", "failed", _said(error), self._role)]
        return [Command(state.id, state.status, state.reason, state.device) for state in states]

    async def release(self, *properties: str) -> None:
        """As :meth:`Device.release`, of all."""
        await _release(self._channel, self._role, None, properties)

    def __len__(self) -> int:
        return len(self.id)

    @overload
    def __getitem__(self, index: int) -> Device: ...
    @overload
    def __getitem__(self, index: slice) -> list[Device]: ...
    @overload
    def __getitem__(self, index: str) -> Properties: ...
    def __getitem__(self, index: int | slice | str) -> Device | list[Device] | Properties:
        if isinstance(index, str):
            _check_property(self._channel, self._role, index)
            return Properties(self._channel, self._role, index)
        if isinstance(index, slice):
            return [Device(self._channel, self._role, device) for device in self.id[index]]
        return Device(self._channel, self._role, self.id[index])

    def __getattr__(self, name: str) -> Properties:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __repr__(self) -> str:
        return f"Devices({self._role})"

    def _ids_if_known(self) -> tuple[str, ...]:
        return self.id if self._channel.is_open else ()


def binding_of(channel: Channel, role: str) -> Binding:
    """Return what stands for ``role``; raises :class:`NotFound` for a role that the manifest does not name."""
    bindings = channel.welcome.bindings
    if role not in bindings:
        raise NotFound(
            f"no role {role} in [devices]",
            code="role_unknown",
            hint=f"roles: {', '.join(sorted(bindings)) or 'none'}; add it to fairlead.toml",
        )
    return bindings[role]


def _check_property(channel: Channel, role: str, name: str) -> None:
    """Raise :class:`AttributeError` for a property that the type lacks, as soon as the run knows its types."""
    if not channel.is_open or role not in channel.welcome.bindings:
        return
    binding = channel.welcome.bindings[role]
    if not binding.has(name):
        raise AttributeError(f"role {role} has no property {name}; it has {binding.names}")


def _send_body(
    values: dict[str, Any],
    hold_s: float | None,
    timeout_s: float,
    because: Sequence[str] | str | None,
    device: str | None,
) -> bytes:
    if not values:
        raise Invalid("a command sets at least one property", code="invalid_input", hint="send(on=True)")
    given = (because,) if isinstance(because, str) else tuple(because or ())
    return encode_json(
        SendBody(set=values, device=device, hold_s=hold_s, timeout_s=timeout_s, because=(*cause.current(), *given))
    )


async def _post(channel: Channel, role: str, body: bytes, timeout_s: float) -> tuple[CommandState, ...]:
    response = await channel.call(
        "POST", f"/devices/{role}", content=body, timeout_s=timeout_s + _ANSWER_GRACE_S, hold_s=timeout_s
    )
    return msgspec.json.decode(response.content, type=CommandStates).items


async def _release(channel: Channel, role: str, device: str | None, properties: tuple[str, ...]) -> None:
    params: dict[str, Any] = {"property": list(properties)} if properties else {}
    if device is not None:
        params["device"] = device
    await channel.call("DELETE", f"/devices/{role}", params=params)


async def _measures(
    channel: Channel, role: str, name: str, device: str | None, max_age_s: float | None
) -> tuple[Measure, ...]:
    params: dict[str, Any] = {} if max_age_s is None else {"max_age_s": max_age_s}
    if device is not None:
        params["device"] = device
    response = await channel.call("GET", f"/devices/{role}/{name}", params=params)
    return msgspec.json.decode(response.content, type=Measures).items


def _said(error: Error) -> str:
    return f"{error.code}: {error.message}"
