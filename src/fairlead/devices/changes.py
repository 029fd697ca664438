"""Changes of what is registered: many devices at once, fields, new hardware, types going out of use."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy.orm import Session

from fairlead.bus.gate import password_hash
from fairlead.devices import registry
from fairlead.devices.registry import Added
from fairlead.errors import Conflict, Error, Invalid, Problem
from fairlead.status import DeviceStatus
from fairlead.store.move import move_to, note
from fairlead.store.records import Device, DeviceType

MANY_MAX = 10_000


class Wanted(msgspec.Struct, frozen=True):
    """A device to be registered."""

    id: str
    type: str
    at: str
    title: str = ""


def add_many(session: Session, wanted: Sequence[Wanted], now: datetime, *, by: str) -> list[Added]:
    """Register all of ``wanted`` or none; raises :class:`Invalid` with everything that is wrong with any of them.

    The path of a problem begins with the index of its device.
    """
    if not 0 < len(wanted) <= MANY_MAX:
        message = f"{len(wanted)} devices are not 1 to {MANY_MAX:,}"
        raise Invalid(message, code="devices_invalid", hint="send them in several parts" if wanted else "")
    added, problems, seen = [], [], set()
    for index, one in enumerate(wanted):
        if one.id in seen:
            problems.append(Problem(f"{index}.id", "taken", f"{one.id[:80]} stands there twice", "one line a device"))
            continue
        seen.add(one.id)
        try:
            added.append(registry.add_device(session, one.id, now, by=by, type=one.type, at=one.at, title=one.title))
        except Error as error:
            of_one = error.problems or (Problem("id", error.code, error.message, error.hint),)
            problems += [msgspec.structs.replace(each, path=f"{index}.{each.path}") for each in of_one]
    if problems:
        count = len({one.path.partition(".")[0] for one in problems})
        message = f"{count} of {len(wanted)} devices cannot be registered, so none was"
        if len(problems) == 1:
            message = f"{problems[0].message}; none of {len(wanted)} devices was registered"
        hint = "correct them and send all again"
        raise Invalid(message, code="devices_invalid", hint=hint, problems=tuple(problems))
    return added


def set_device(
    session: Session,
    device: str,
    now: datetime,
    *,
    by: str,
    at: str | None = None,
    title: str | None = None,
    type_version: str | None = None,
    new_password: bool = False,
) -> Added:
    """Change a device; the password of the answer is empty unless a new one was asked for.

    ``type_version`` may be another version of the same major; raises :class:`Invalid` as :func:`replace_device` does.
    """
    record = registry.show_device(session, device)
    if record.status is DeviceStatus.RETIRED:
        raise Conflict(f"{device} is retired", code="device_retired", hint="register it again")
    said = []
    if at is not None:
        record.at = registry.show_location(session, at).path
        said.append(f"moved to {at}")
    if title is not None:
        record.title = title
        said.append("title changed")
    if type_version is not None:
        _take_type(session, record, f"{record.type}@{type_version}")
        said.append(f"is now {record.type}@{record.type_version}")
    password = ""
    if new_password:
        password = registry.made_password()
        record.password_hash = password_hash(device, password)
        said.append("new password")
    note(session, "device", device, "; ".join(said) or "nothing changed", now, by=by)
    session.flush()
    return Added(record, password)


def replace_device(session: Session, device: str, now: datetime, *, by: str, type: str | None = None) -> Added:
    """Have other hardware stand for ``device``: same id, place, claims and apps; a new password, and no values yet.

    ``type`` may be another version of the same major, which apps rely on; raises :class:`Invalid` for any other, and
    for one that is deprecated.
    """
    record = registry.show_device(session, device)
    if record.status is DeviceStatus.RETIRED:
        raise Conflict(f"{device} is retired", code="device_retired", hint="register it again: fairlead devices add")
    if type is not None:
        _take_type(session, record, type)
    password = registry.made_password()
    record.simulated = False
    registry.begin_anew(session, record, password)
    if record.status is DeviceStatus.PROVISIONED:
        note(session, "device", device, "replaced", now, by=by)
    else:
        move_to(session, record, DeviceStatus.PROVISIONED, "replaced", now, by=by)
    session.flush()
    return Added(record, password)


def _take_type(session: Session, record: Device, ref: str) -> None:
    """Give a device another version of its major."""
    chosen = registry.show_type(session, ref)
    old = registry.kind_of(session, record)
    if (chosen.name, chosen.major) != (old.name, old.major):
        message = (
            f"{record.id} is a {old.name}@{old.major}, which apps rely on; {chosen.name}@{chosen.major} is another"
        )
        hint = f"fairlead devices add NEW --type {chosen.name} --at {record.at}, then fairlead devices rm {record.id}"
        raise Invalid(message, code="device_type_differs", hint=hint)
    if chosen.version == record.type_version:
        return
    if problems := registry.deprecation(chosen):
        first = problems[0]
        raise Invalid(first.message, code="device_invalid", hint=first.hint, problems=problems)
    record.type_version = chosen.version


def deprecate_type(session: Session, ref: str, why: str | None, now: datetime, *, by: str) -> DeviceType:
    """Have no more devices get a version of a type, or (``why`` is None) again; those that have it go on."""
    record = registry.show_type(session, ref)
    record.deprecated = why
    said = "no longer deprecated" if why is None else f"deprecated: {why}" if why else "deprecated"
    note(session, "type", f"{record.name}@{record.version}", said, now, by=by)
    session.flush()
    return record
