"""Devices for the roles of apps: what there is and who has it, read for the pure ``binding``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead import clock
from fairlead.apps import binding, versions
from fairlead.apps.binding import Binding, Candidate, Role, Taken, bind
from fairlead.bundles import rules
from fairlead.bundles.manifest import AppManifest
from fairlead.devices import registry
from fairlead.devices.types import split_role
from fairlead.errors import Problem
from fairlead.status import DeviceStatus, RunStatus
from fairlead.store.records import AppVersion, Device, Run, Schedule

LIVE = (RunStatus.STARTING, RunStatus.READY, RunStatus.STOPPING)
AWAY_MAX = 10
"""So many devices that are away are told one by one."""
_AWAY = {DeviceStatus.STALE: binding.STALE, DeviceStatus.OFFLINE: binding.AWAY, DeviceStatus.PROVISIONED: binding.AWAY}
IN_ORDER = (Run.starts_at, Run.id)
"""Of live runs: as their index has them. By id alone SQLite would go through all that ever were."""


def roles_of(manifest: AppManifest) -> tuple[Role, ...]:
    """Return the manifest's roles as the binding takes them."""
    found = []
    for name, role in manifest.devices.items():
        least, most = rules.span(role.count) or (1, 1)
        kind, major = split_role(role.type)
        found.append(Role(name, kind, major, least, most, role.shared, role.tier))
    return tuple(found)


def candidates(session: Session) -> tuple[Candidate, ...]:
    """Return every device that is in use."""
    known = {
        key: (kind.major, any(prop.writable for prop in kind.properties.values()))
        for key, kind in registry.types_of(session).items()
    }
    in_use = select(Device.id, Device.type, Device.type_version, Device.at, Device.status).order_by(Device.id)
    return tuple(
        Candidate(device, kind, known[kind, version][0], at, known[kind, version][1], _AWAY.get(status, 0))
        for device, kind, version, at, status in session.execute(in_use.where(Device.status != DeviceStatus.RETIRED))
    )


def away(session: Session, roles: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return which devices of ``roles`` are stale or not connected now, and why, each as a sentence."""
    role_of = {device: role for role, devices in roles.items() for device in devices}
    query = select(Device).where(Device.id.in_(role_of), Device.status.in_(_AWAY)).order_by(Device.id)
    gone = session.scalars(query).all()
    found = [f"{one.id} ({role_of[one.id]}) {_so(one)}" for one in gone[:AWAY_MAX]]
    left = len(gone) - len(found)
    return (*found, *((f"{left} more devices are stale or offline",) if left else ()))


def _so(device: Device) -> str:
    if device.status is DeviceStatus.PROVISIONED:
        return "was never connected"
    seen = f", heard last {device.last_seen_at:%Y-%m-%d %H:%M:%SZ}" if device.last_seen_at else ""
    why = f": {device.reason}" if device.reason else ""
    return f"is {device.status}{why}{'' if device.status is DeviceStatus.STALE else seen}"


def taken(session: Session) -> dict[str, list[Taken]]:
    """Return which live run has which device; roles of tier ``safety`` take none."""
    found: dict[str, list[Taken]] = {}
    live = select(Run, Schedule.zone).join(Schedule, Schedule.id == Run.schedule)
    for run, zone in session.execute(live.where(Run.finished_at.is_(None), Run.status.in_(LIVE))):
        until = clock.local(run.ends_at, zone) if run.ends_at else ""
        manifest = versions.manifest_of(session.get_one(AppVersion, (run.app, run.version)))
        for role, devices in run.bindings.items():
            wanted = manifest.devices.get(role)
            if wanted is not None and wanted.tier != "safety":
                for device in devices:
                    found.setdefault(device, []).append(Taken(run.id, wanted.shared, until))
    return found


def binding_of(
    session: Session, manifest: AppManifest, place: str, wishes: Mapping[str, Sequence[str]], *, free: bool = False
) -> Binding:
    """Return the devices that the app would get at ``place`` now; ``free``: as if no run went on."""
    return bind_on(ground_of(session, free=free), manifest, place, wishes)


class Ground(msgspec.Struct, frozen=True):
    """All devices, and which run has which: read once for many bindings."""

    candidates: tuple[Candidate, ...]
    taken: dict[str, list[Taken]]


def ground_of(session: Session, *, free: bool = False) -> Ground:
    """Return the devices and who has them; ``free``: as if no run went on."""
    return Ground(candidates(session), {} if free else taken(session))


def bind_on(ground: Ground, manifest: AppManifest, place: str, wishes: Mapping[str, Sequence[str]]) -> Binding:
    """Return the devices that the app would get at ``place``."""
    return bind(roles_of(manifest), place, ground.candidates, ground.taken, wishes)


def problems_of(
    session: Session, manifest: AppManifest, place: str, wishes: Mapping[str, Sequence[str]]
) -> tuple[Problem, ...]:
    """Return why the app could never be bound at ``place``, whatever runs now."""
    return binding_of(session, manifest, place, wishes, free=True).problems
