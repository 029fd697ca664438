"""Types, locations and devices: what is registered."""

from __future__ import annotations

import secrets
import string
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from fairlead import ids
from fairlead.bus.gate import password_hash
from fairlead.devices import definitions, evolution, types
from fairlead.errors import Conflict, Invalid, NotFound, Problem
from fairlead.messages import DeviceAccess
from fairlead.status import DeviceStatus
from fairlead.store.move import move_to, note
from fairlead.store.records import Device, DeviceType, Hold, LastValue, Location, Run

PASSWORD_LETTERS = string.ascii_letters + string.digits
PASSWORD_LENGTH = 32
_KINDS = "kinds"
"""Key of a session's ``info``: types that were read in it."""


def made_password() -> str:
    """Return a password for a device."""
    return "".join(secrets.choice(PASSWORD_LETTERS) for _ in range(PASSWORD_LENGTH))


class Added(msgspec.Struct, frozen=True):
    """A device and the password that is shown this once."""

    device: Device
    password: str


# --- types ------------------------------------------------------------------------------------------------------------


def add_type(session: Session, source: str, now: datetime, *, by: str, keeps: bool = True) -> DeviceType:
    """Register the type written in ``source``; the same text again changes nothing, other text is refused.

    With ``keeps`` so is a version that does not keep what others of its major promise.
    """
    kind = definitions.parse(source)
    there = session.get(DeviceType, (kind.name, kind.version))
    definition = types.encode(kind)
    if there is not None:
        if there.definition == definition:
            return there
        raise Conflict(
            f"{kind.name}@{kind.version} is registered with other content",
            code="version_exists",
            hint="a version of a type never changes: give this one a new version",
        )
    if keeps:
        _require_kept(session, kind)
    record = DeviceType(
        name=kind.name,
        version=kind.version,
        major=kind.major,
        title=kind.title,
        source=source,
        definition=definition,
        created_by=by,
        created_at=now,
    )
    session.add(record)
    note(session, "type", f"{kind.name}@{kind.version}", "registered", now, by=by)
    session.flush()
    return record


def _require_kept(session: Session, kind: types.DeviceType) -> None:
    """Raise :class:`Invalid` (``type_invalid``) where ``kind`` and its neighbors of the same major do not fit."""
    of_major = select(DeviceType).where(DeviceType.name == kind.name, DeviceType.major == kind.major)
    others = sorted(session.scalars(of_major).all(), key=lambda record: _numbers(record.version))
    before = [one for one in others if _numbers(one.version) < _numbers(kind.version)][-1:]
    after = [one for one in others if _numbers(one.version) > _numbers(kind.version)][:1]
    problems = [one for record in before for one in evolution.broken(_decoded(record.definition), kind)]
    problems += [one for record in after for one in evolution.broken(kind, _decoded(record.definition))]
    if problems:
        first = problems[0]
        raise Invalid(
            f"{kind.name}@{kind.version} does not keep what its major promises: {first.path}: {first.message}",
            code="type_invalid",
            hint=f'what is taken away or changed wants a new major: version = "{_next_major(session, kind.name)}.0.0"',
            problems=tuple(problems),
        )


def _next_major(session: Session, name: str) -> int:
    return 1 + (session.scalar(select(func.max(DeviceType.major)).where(DeviceType.name == name)) or 0)


def list_types(session: Session) -> Sequence[DeviceType]:
    """Return every version of every type, the newest version of each first."""
    records = session.scalars(select(DeviceType)).all()
    return sorted(records, key=lambda record: (record.name, [-part for part in _numbers(record.version)]))


def show_type(session: Session, ref: str) -> DeviceType:
    """Return the type named ``name``, ``name@major`` or ``name@version``: the newest that fits.

    What is deprecated comes after all that is not.
    """
    name, _, version = ref.partition("@")
    found = session.scalars(select(DeviceType).where(DeviceType.name == name)).all()
    fits = [one for one in found if version in ("", one.version, str(one.major))]
    if not fits:
        known = sorted({*session.scalars(select(DeviceType.name).distinct())})
        hint = f"registered: {', '.join(known)}" if known else "fairlead types add FILE"
        raise NotFound(f"there is no device type {ref[:80]!r}", code="type_not_found", hint=hint)
    return max(fits, key=lambda record: (record.deprecated is None, _numbers(record.version)))


def deprecation(kind: DeviceType) -> tuple[Problem, ...]:
    """Return why no device may be given this version of a type; nothing where it may."""
    if kind.deprecated is None:
        return ()
    why = f": {kind.deprecated}" if kind.deprecated else ""
    message = f"{kind.name}@{kind.version} is deprecated{why}"
    return (Problem("type", "type_deprecated", message, "fairlead types lists the others"),)


def _numbers(version: str) -> list[int]:
    parts = [int(part) for part in version.split(".")]
    return parts + [0] * (3 - len(parts))


@lru_cache(maxsize=1024)
def _decoded(definition: str) -> types.DeviceType:
    return types.decode(definition)


def kind_of(session: Session, device: Device) -> types.DeviceType:
    """Return the type of ``device``, which the session remembers: a version of a type never changes."""
    known: dict[tuple[str, str], types.DeviceType] = session.info.setdefault(_KINDS, {})
    key = (device.type, device.type_version)
    if key not in known:
        its = (DeviceType.name == device.type) & (DeviceType.version == device.type_version)
        known[key] = _decoded(session.execute(select(DeviceType.definition).where(its)).scalar_one())
    return known[key]


def types_of(session: Session) -> dict[tuple[str, str], types.DeviceType]:
    """Return each version of each type, by name and version."""
    found = session.execute(select(DeviceType.name, DeviceType.version, DeviceType.definition))
    return {(name, version): _decoded(definition) for name, version, definition in found}


def kinds(session: Session, *, retired: bool = False, only: Sequence[str] | None = None) -> dict[str, types.DeviceType]:
    """Return the type of every device that is in use, what ``door.Door`` needs; with ``retired`` of the others too.

    ``only`` these devices, where it is given.
    """
    query = select(Device.id, DeviceType.definition).join(
        DeviceType, (DeviceType.name == Device.type) & (DeviceType.version == Device.type_version)
    )
    if not retired:
        query = query.where(Device.status != DeviceStatus.RETIRED)
    if only is not None:
        query = query.where(Device.id.in_(only))
    return {device: _decoded(definition) for device, definition in session.execute(query)}


# --- locations --------------------------------------------------------------------------------------------------------


def add_location(
    session: Session, path: str, now: datetime, *, by: str, zone: str | None = None, title: str = ""
) -> Location:
    """Register a place and the places above it; without ``zone`` it has that of the nearest place above, or UTC."""
    if not ids.is_location(path):
        hint = "up to six names joined by /, e.g. campus/lab"
        raise Invalid(f"{path[:80]!r} is no location", code="location_invalid", hint=hint)
    if zone is not None:
        check_zone(zone)
    if session.get(Location, path) is not None:
        hint = "fairlead locations lists them; choose another path"
        raise Conflict(f"the location {path} is there already", code="location_exists", hint=hint)
    parts = path.split("/")
    inherited = zone or "UTC"
    for depth in range(1, len(parts)):
        above = "/".join(parts[:depth])
        there = session.get(Location, above)
        if there is None:
            there = _location(session, above, inherited, "", now, by)
        inherited = there.zone
    record = _location(session, path, zone or inherited, title, now, by)
    session.flush()
    return record


def _location(session: Session, path: str, zone: str, title: str, now: datetime, by: str) -> Location:
    record = Location(path=path, zone=zone, title=title, created_at=now)
    session.add(record)
    note(session, "location", path, "added", now, by=by)
    return record


def check_zone(zone: str) -> None:
    """Raise :class:`Invalid` unless ``zone`` is an IANA name that this machine knows."""
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        message = f"{zone[:60]!r} is no time zone"
        raise Invalid(message, code="zone_unknown", hint="an IANA name, e.g. Europe/Berlin") from error


def list_locations(session: Session) -> Sequence[Location]:
    return session.scalars(select(Location).order_by(Location.path)).all()


def show_location(session: Session, path: str) -> Location:
    record = session.get(Location, path)
    if record is None:
        raise NotFound(
            f"there is no location {path[:80]!r}", code="location_not_found", hint=f"fairlead locations add {path[:80]}"
        )
    return record


def set_location(
    session: Session, path: str, now: datetime, *, by: str, zone: str | None = None, title: str | None = None
) -> Location:
    record = show_location(session, path)
    if zone is not None:
        check_zone(zone)
        record.zone = zone
    if title is not None:
        record.title = title
    note(session, "location", path, "changed", now, by=by)
    return record


# --- devices ----------------------------------------------------------------------------------------------------------


def add_device(
    session: Session,
    device: str,
    now: datetime,
    *,
    by: str,
    type: str,
    at: str,
    title: str = "",
    simulated: bool = False,
) -> Added:
    """Register a device of the newest version of ``type`` and give it a password, which is returned only here."""
    record = session.get(Device, device)
    kind, place = _checked(session, device, record, type, at)
    password = made_password()
    if record is None:
        record = Device(
            id=device,
            type=kind.name,
            type_version=kind.version,
            at=place.path,
            title=title,
            password_hash=password_hash(device, password),
            simulated=simulated,
            created_by=by,
            created_at=now,
        )
        session.add(record)
        note(session, "device", device, "registered", now, by=by, status=DeviceStatus.PROVISIONED)
    else:
        record.type, record.type_version, record.at, record.title = kind.name, kind.version, place.path, title
        record.simulated = simulated
        begin_anew(session, record, password)
        move_to(session, record, DeviceStatus.PROVISIONED, "registered again", now, by=by)
    session.flush()
    return Added(record, password)


def begin_anew(session: Session, record: Device, password: str) -> None:
    """Have ``record`` stand for hardware of which nothing is known yet: what the last one said is its own."""
    record.password_hash = password_hash(record.id, password)
    record.description = record.online_at = record.last_seen_at = None
    session.execute(delete(LastValue).where(LastValue.device == record.id))


def _checked(session: Session, device: str, record: Device | None, type: str, at: str) -> tuple[DeviceType, Location]:
    """Return the type and the place of a device that may be registered.

    Raises :class:`Conflict` for one that is, and :class:`Invalid` with all that is wrong.
    """
    problems = []
    if not ids.is_name(device):
        problems.append(Problem("id", "name", f"{device[:80]!r} is no name", "lower-case letters, digits and hyphens"))
    if record is not None and record.status is not DeviceStatus.RETIRED:
        raise Conflict(f"{device} is registered already", code="device_exists", hint=f"fairlead devices show {device}")
    kind = place = None
    try:
        kind = show_type(session, type)
        problems += deprecation(kind)
    except NotFound as error:
        problems.append(Problem("type", error.code, error.message, error.hint))
    try:
        place = show_location(session, at)
    except NotFound as error:
        problems.append(Problem("at", error.code, error.message, error.hint))
    if kind is None or place is None or problems:
        first = problems[0]
        raise Invalid(first.message, code="device_invalid", hint=first.hint, problems=tuple(problems))
    return kind, place


def show_device(session: Session, device: str) -> Device:
    record = session.get(Device, device)
    if record is None:
        hint = "fairlead devices lists them"
        raise NotFound(f"there is no device {device[:80]!r}", code="device_not_found", hint=hint)
    return record


def list_devices(
    session: Session,
    *,
    at: str | None = None,
    type: str | None = None,
    retired: bool = False,
    after: str = "",
    limit: int | None = None,
) -> Sequence[Device]:
    """Return the devices in order of their ids, ``limit`` of those after one; ``at`` takes in what lies below it."""
    query = select(Device).where(Device.id > after).order_by(Device.id).limit(limit)
    if not retired:
        query = query.where(Device.status != DeviceStatus.RETIRED)
    if at is not None:
        query = query.where((Device.at == at) | Device.at.startswith(f"{at}/", autoescape=True))
    if type is not None:
        name, major = types.split_role(type)
        query = query.where(Device.type == name)
        if major is not None:
            query = query.where(func.substr(Device.type_version, 1, len(f"{major}.")).in_((f"{major}.", str(major))))
    return session.scalars(query).all()


def retire_device(session: Session, device: str, now: datetime, *, by: str) -> Device:
    """Take a device out of service: it can no longer sign in. Refused while a run holds it."""
    record = show_device(session, device)
    if record.status is DeviceStatus.RETIRED:
        return record
    held = session.scalars(select(Hold.run).where(Hold.device == device, Hold.run.is_not(None))).first()
    bound = session.execute(select(Run.id, Run.bindings).where(Run.finished_at.is_(None)))
    live = [run for run, bindings in bound if _has(bindings, device)]
    if held or live:
        by_run = held or live[0]
        hint = f"fairlead runs stop {by_run}"
        raise Conflict(f"{device} is in use by {by_run}", code="device_in_use", hint=hint)
    session.execute(delete(Hold).where(Hold.device == device))
    record.password_hash = ""
    move_to(session, record, DeviceStatus.RETIRED, "retired", now, by=by)
    session.flush()
    return record


def _has(bindings: dict[str, tuple[str, ...]], device: str) -> bool:
    return any(device in devices for devices in bindings.values())


def access(session: Session) -> tuple[DeviceAccess, ...]:
    """Return who may sign in as a device: what every node is told."""
    rows = session.execute(
        select(Device.id, Device.password_hash).where(Device.status != DeviceStatus.RETIRED).order_by(Device.id)
    )
    return tuple(DeviceAccess(device=device, password_hash=hashed) for device, hashed in rows)
