"""An event that a person has a simulated device send: its body is told on the topic of its commands."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy.orm import Session

from fairlead.devices import registry, types
from fairlead.devices.sending import Outgoing
from fairlead.devices.types import DeviceType, Property
from fairlead.errors import Conflict, Invalid, NotFound
from fairlead.status import DeviceStatus

NOT_CONNECTED = "body_not_connected"
"""A body takes a moment to sign in."""


class Happens(msgspec.Struct, frozen=True):
    """What is sent in the device's name."""

    name: str
    value: Any
    outgoing: Outgoing


def happen(session: Session, device: str, name: str | None, value: Any = None) -> Happens:
    """Return what has the body of ``device`` send an event, or report a property; None: its only event, and what its
    type says of it (``true``).

    Raises :class:`Conflict` for who has no body (``not_simulated``), or none that is connected yet,
    :class:`NotFound` and :class:`Invalid`.
    """
    record = registry.show_device(session, device)
    kind = registry.kind_of(session, record)
    if not record.simulated:
        hint = f"fairlead simulate {record.at} gives it a body"
        raise Conflict(f"{device} is not simulated", code="not_simulated", hint=hint)
    if record.status not in (DeviceStatus.ONLINE, DeviceStatus.STALE):
        hint = f"fairlead devices show {device} says when it is online; a body with the fault offline never is"
        raise Conflict(f"{device}: its body is not connected", code=NOT_CONNECTED, hint=hint)
    name, value = meant(device, kind, name, value)
    return Happens(name, value, Outgoing(device, msgspec.json.encode({"happens": {name: value}})))


def meant(device: str, kind: DeviceType, name: str | None, value: Any = None) -> tuple[str, Any]:
    """Return which event, or reading, of a device of ``kind`` is meant, and its value; pure.

    Raises :class:`NotFound` and :class:`Invalid`.
    """
    name, prop = _named(device, kind, name)
    if value is None:
        if "enum" not in prop.schema and prop.schema["type"] != "boolean":
            hint = f"{types.expects(prop)}: --press {device}.{name}=VALUE"
            raise Invalid(f"{device}: {name}: say which value", code="event_invalid", hint=hint)
        value = prop.schema["enum"][0] if "enum" in prop.schema else True
    wrong = types.check_value(prop, value)
    if wrong is not None:
        message = f"{device}: {name}: {wrong.message}"
        raise Invalid(message, code="event_invalid", hint=f"{types.expects(prop)}: --press {device}.{name}=VALUE")
    return name, value


def _named(device: str, kind: DeviceType, name: str | None) -> tuple[str, Property]:
    """Return what is meant: an event, or what is only read and no picture."""
    sensed = {one: prop for one, prop in kind.properties.items() if prop.access == "r"}
    known = {one: prop for one, prop in (kind.events | sensed).items() if prop.media is None}
    if name is None:
        among = [one for one in kind.events if one in known] or list(known)
        name = among[0] if len(among) == 1 else ""
    if name not in known:
        what = f"no event {name[:60]}" if name else "not one event alone"
        hint = f"--press {device}.NAME; it has {', '.join(known)}" if known else f"{kind.name} has none"
        raise NotFound(f"{device} has {what}", code="event_not_found", hint=hint)
    return name, known[name]
