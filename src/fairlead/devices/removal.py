"""What is taken away for good: types and places, refused while somebody uses them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.devices import builtins, registry
from fairlead.errors import Conflict
from fairlead.status import DeviceStatus
from fairlead.store.move import note
from fairlead.store.records import Device, DeviceType, Location, Schedule

NAMED_MAX = 5
"""So many of those who use something are named."""


def remove_type(session: Session, ref: str, now: datetime, *, by: str) -> DeviceType:
    """Remove the version of a type that ``ref`` names, which no device may have; the only one if none is said.

    What comes with the platform stays: it would be back at the next start.
    """
    record = registry.show_type(session, ref)
    versions = session.scalars(select(DeviceType.version).where(DeviceType.name == record.name)).all()
    if len(versions) > 1 and ref != f"{record.name}@{record.version}":
        message = f"{record.name} has {len(versions)} versions: {', '.join(sorted(versions))}"
        raise Conflict(message, code="type_ambiguous", hint=f"name one of them: {record.name}@{record.version}")
    if builtins.is_builtin(record):
        message = f"{record.name}@{record.version} comes with the platform, and every installation has it"
        hint = f'leave it; a type of your own has another name, e.g. "my-{record.name}": fairlead types add FILE'
        raise Conflict(message, code="type_builtin", hint=hint)
    query = select(Device).where(Device.type == record.name, Device.type_version == record.version).order_by(Device.id)
    used = [
        device.id if device.status is not DeviceStatus.RETIRED else f"{device.id} (retired)"
        for device in session.scalars(query)
    ]
    if used:
        message = f"{record.name}@{record.version} is the type of {_words(used)}"
        hint = "a retired device keeps its type, for its history; fairlead devices rm ID retires the others"
        raise Conflict(message, code="type_in_use", hint=hint)
    session.delete(record)
    note(session, "type", f"{record.name}@{record.version}", "removed", now, by=by)
    session.flush()
    return record


def remove_location(session: Session, path: str, now: datetime, *, by: str) -> None:
    """Remove a place where nothing stands, runs or lies below."""
    record = registry.show_location(session, path)
    for kind, named, column in (
        ("device", Device.id, Device.at),
        ("schedule", Schedule.name, Schedule.at),
        ("place", Location.path, Location.path),
    ):
        wanted = column.startswith(f"{path}/", autoescape=True)
        found = session.execute(
            select(named, column).where(wanted if kind == "place" else (column == path) | wanted).order_by(named)
        ).all()
        if found:
            used = [one if kind == "place" else f"{one} (at {at})" for one, at in found]
            message = f"{path} is in use: {kind}{'s' if len(used) > 1 else ''} {_words(used)}"
            raise Conflict(message, code="location_in_use", hint="move or remove what is there first")
    session.delete(record)
    note(session, "location", path, "removed", now, by=by)
    session.flush()


def _words(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return ", ".join(names[:NAMED_MAX]) + more
