"""Which devices have a simulated body: those of a place, from when somebody asked for it until it is switched off.

While a device is simulated only its body may sign in, with a password that is derived from the home's key; the device's
own password counts again afterwards. A device that is connected by itself is left alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from fairlead.bus.gate import password_hash
from fairlead.devices import recordings, registry
from fairlead.errors import Invalid, NotFound, Problem
from fairlead.identity.seal import Sealer
from fairlead.messages import BodyWanted, DeviceAccess, Simulated
from fairlead.messages.devices import FAULTS, body_secret
from fairlead.status import DeviceStatus
from fairlead.store.move import note
from fairlead.store.records import Device, Location, Simulation

SPEED_MAX = 10_000.0
SOUND = "none"
"""What is said of a device that has no fault, though a simulation farther above names one."""
_FAULTS = f"{', '.join(FAULTS)}, or {SOUND}"
_CONNECTED = (DeviceStatus.ONLINE, DeviceStatus.STALE)


class Shown(msgspec.Struct, frozen=True):
    """A simulation, the devices that have a body, and those that are left alone since they are connected themselves."""

    record: Simulation
    devices: tuple[str, ...]
    left: tuple[str, ...]


def start(
    session: Session,
    at: str,
    now: datetime,
    *,
    by: str,
    speed: float = 1,
    faults: Mapping[str, str] | None = None,
    media: Mapping[str, tuple[str, ...] | None] | None = None,
) -> Shown:
    """Give every device at ``at`` and below a simulated body; said again, it changes speed and faults.

    ``media``: keys of what each device shows or plays, None for one that keeps what it has; devices left out lose
    theirs. None leaves that as it is.
    """
    faults = dict(faults or {})
    place, there = checked(session, at, speed, faults, media)
    for device in there:
        if not device.simulated and device.status not in _CONNECTED:
            device.simulated = True
            note(session, "device", device.id, "it has a simulated body now", now, by=by)
    record = session.get(Simulation, place.path)
    if record is None:
        record = Simulation(at=place.path, speed=speed, faults=faults, created_by=by, created_at=now)
        session.add(record)
    else:
        record.speed, record.faults = speed, faults
    if media is not None:
        had = {
            device: record.media[device] for device, found in media.items() if found is None and device in record.media
        }
        record.media = had | {device: found for device, found in media.items() if found is not None}
    note(session, "location", place.path, f"simulated at speed {speed:g}", now, by=by)
    session.flush()
    return _shown(session, record)


def checked(
    session: Session,
    at: str,
    speed: float,
    faults: Mapping[str, str],
    media: Mapping[str, tuple[str, ...] | None] | None,
) -> tuple[Location, Sequence[Device]]:
    """Return the place and its devices; raises :class:`Invalid` with all that is wrong with a simulation of them."""
    place = registry.show_location(session, at)
    there = registry.list_devices(session, at=at)
    _check(at, speed, faults, [one.id for one in there])
    new = {device: found for device, found in (media or {}).items() if found is not None}
    _check_media(session, new, {one.id: one for one in there})
    return place, there


def stop(session: Session, at: str, now: datetime, *, by: str) -> None:
    """Take their simulated bodies from the devices at ``at`` and below."""
    place = registry.show_location(session, at)
    records = session.scalars(
        select(Simulation).where(or_(Simulation.at == at, Simulation.at.startswith(f"{at}/", autoescape=True)))
    ).all()
    bodies = [one for one in registry.list_devices(session, at=at) if one.simulated]
    if not records and not bodies:
        hint = "fairlead simulate lists what is"
        raise NotFound(f"nothing is simulated at {at[:80]}", code="simulation_not_found", hint=hint)
    for record in records:
        session.delete(record)
    for device in bodies:
        device.simulated = False
        note(session, "device", device.id, "its simulated body was taken away", now, by=by)
    note(session, "location", place.path, "simulated no more", now, by=by)
    session.flush()


def list_simulations(session: Session) -> Sequence[Shown]:
    return [_shown(session, one) for one in session.scalars(select(Simulation).order_by(Simulation.at))]


def access(session: Session, sealer: Sealer) -> tuple[DeviceAccess, ...]:
    """Return who may sign in as a device, simulated bodies in place of what they stand for."""
    bodies = {body.device for body in wanted(session).bodies}
    return tuple(
        DeviceAccess(one.device, password_hash(one.device, sealer.derive(body_secret(one.device))))
        if one.device in bodies
        else one
        for one in registry.access(session)
    )


def wanted(session: Session) -> Simulated:
    """Return the bodies that are wanted, each as the nearest simulation above its place says.

    Fault and media are those of the nearest that names the device.
    """
    devices = session.scalars(
        select(Device).where(Device.simulated, Device.status != DeviceStatus.RETIRED).order_by(Device.id)
    ).all()
    if not devices:
        return Simulated()
    said = {one.at: one for one in session.scalars(select(Simulation))}
    types = registry.kinds(session, only=[one.id for one in devices])
    bodies, kinds, events = [], {}, {}
    for device in devices:
        kind, over = types[device.id], list(_over(said, device.at))
        ref = f"{kind.name}@{kind.version}"
        kinds[ref] = {name: prop.flat() for name, prop in kind.properties.items()}
        if kind.events:
            events[ref] = {name: prop.flat() for name, prop in kind.events.items()}
        speed = over[0].speed if over else 1.0
        fault = next((one.faults[device.id] for one in over if device.id in one.faults), SOUND)
        media = next((one.media[device.id] for one in over if device.id in one.media), ())
        bodies.append(BodyWanted(device.id, ref, device.at, speed, "" if fault == SOUND else fault, media))
    return Simulated(tuple(bodies), kinds, events)


def _over(said: Mapping[str, Simulation], at: str) -> Iterator[Simulation]:
    """Yield the simulations of a place and those above it, the nearest first."""
    while at:
        if at in said:
            yield said[at]
        at = at.rpartition("/")[0]


def _shown(session: Session, record: Simulation) -> Shown:
    there = registry.list_devices(session, at=record.at)
    return Shown(
        record,
        tuple(one.id for one in there if one.simulated),
        tuple(one.id for one in there if not one.simulated),
    )


def keys(session: Session) -> set[str]:
    """Return the keys of all recordings that some simulation names."""
    return {key for one in session.scalars(select(Simulation)) for found in one.media.values() for key in found}


def _check_media(session: Session, media: Mapping[str, tuple[str, ...]], there: Mapping[str, Device]) -> None:
    for device, found in media.items():
        why = "it does not stand there"
        if device in there:
            why = recordings.unfit(registry.kind_of(session, there[device]), found)
        if why:
            problem = Problem(
                f"media.{device}", "unfit", f"{device[:63]}: {why}", "name a camera or a microphone there"
            )
            raise Invalid(problem.message, code="simulation_invalid", hint=problem.hint, problems=(problem,))


def _check(at: str, speed: float, faults: Mapping[str, str], there: Sequence[str]) -> None:
    problems = []
    if not (math.isfinite(speed) and 0 < speed <= SPEED_MAX):
        hint = f"1 is real time, {SPEED_MAX:,.0f} the most"
        problems.append(Problem("speed", "range", f"{speed:g} is not above 0 and up to {SPEED_MAX:,.0f}", hint))
    for device, fault in faults.items():
        if device not in there:
            known = f"there: {', '.join(there[:10])}" if there else "nothing stands there"
            problems.append(Problem(f"faults.{device}", "unknown", f"{device[:63]} does not stand at {at}", known))
        elif fault not in (SOUND, *FAULTS):
            problems.append(Problem(f"faults.{device}", "enum", f"{fault[:40]!r} is no fault", _FAULTS))
    if not there:
        hint = f"fairlead devices add ID --type TYPE --at {at}"
        problems.append(Problem("at", "empty", f"no device stands at {at}", hint))
    if problems:
        first = problems[0]
        raise Invalid(first.message, code="simulation_invalid", hint=first.hint, problems=tuple(problems))
