"""From records to what nodes are told of runs and their pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead import clock
from fairlead.accounts import vault
from fairlead.apps import versions
from fairlead.apps.ground import IN_ORDER, LIVE
from fairlead.bundles.manifest import AppManifest
from fairlead.devices import registry
from fairlead.devices.types import DeviceType
from fairlead.messages import DeviceBinding, PageRoute, RunWanted
from fairlead.status import RunStatus
from fairlead.store.records import App, AppVersion, Bundle, Run, Schedule


def runs(session: Session) -> tuple[RunWanted, ...]:
    """Return every run that is to go on, or to stop."""
    rows = session.scalars(select(Run).where(Run.finished_at.is_(None), Run.status.in_(LIVE)).order_by(*IN_ORDER))
    secrets = vault.sealed(session)
    live = rows.all()
    _kept = _read_ahead(session, live)
    devices = {device for row in live for bound in row.bindings.values() for device in bound}
    kinds = registry.kinds(session, retired=True, only=sorted(devices)) if devices else {}
    return tuple(_wanted(session, row, secrets.get(row.app, {}), kinds) for row in live)


def _read_ahead(session: Session, live: Sequence[Run]) -> list[object]:
    """Read what the runs belong to, each table once: while it is kept, the session finds it without a query."""
    apps = {row.app for row in live}
    versions_of = list(session.scalars(select(AppVersion).where(AppVersion.app.in_(apps))))
    used = {(row.app, row.version) for row in live}
    digests = {one.digest for one in versions_of if (one.app, one.version) in used}
    return [
        *versions_of,
        *session.scalars(select(App).where(App.name.in_(apps))),
        *session.scalars(select(Schedule).where(Schedule.id.in_({row.schedule for row in live}))),
        *session.scalars(select(Bundle).where(Bundle.digest.in_(digests))),
    ]


def _wanted(session: Session, row: Run, secrets: dict[str, bytes], kinds: Mapping[str, DeviceType]) -> RunWanted:
    version = session.get_one(AppVersion, (row.app, row.version))
    manifest = versions.manifest_of(version)
    schedule = session.get_one(Schedule, row.schedule)
    app = session.get_one(App, row.app)
    return RunWanted(
        run=row.id,
        app=row.app,
        version=row.version,
        digest=version.digest,
        bundle_key=session.get_one(Bundle, version.digest).key,
        environment=version.environment,
        schedule=row.schedule,
        place=row.place,
        starts=clock.to_text(row.starts_at),
        ends=clock.to_text(row.ends_at) if row.ends_at else None,
        user=row.user,
        entry=manifest.run.entry,
        processes=dict(manifest.processes),
        web=manifest.run.web,
        env=dict(manifest.run.env),
        params=row.params,
        bindings={
            role: _binding(kinds, manifest, role, row.bindings[role])
            for role in manifest.devices  # in its order: scripts name roles by their position
            if role in row.bindings
        },
        models=dict(manifest.models),
        memory_mb=manifest.resources.memory_mb,
        outbound=manifest.network.outbound and "outbound" in app.granted,
        start_timeout_s=manifest.run.start_timeout_s,
        stop=row.stop,
        attempt=row.attempt,
        zone=schedule.zone,
        secrets=vault.chosen(manifest.run.secrets, secrets),
    )


def _binding(
    kinds: Mapping[str, DeviceType], manifest: AppManifest, role: str, devices: tuple[str, ...]
) -> DeviceBinding:
    wanted = manifest.devices[role]
    properties, events = {}, {}
    for kind in (kinds[device] for device in devices if device in kinds):
        properties.update({name: prop.flat() for name, prop in kind.properties.items()})
        events.update({name: prop.flat() for name, prop in kind.events.items()})
    return DeviceBinding(
        devices=devices,
        type=wanted.type,
        single=wanted.count in (1, "1"),
        tier=wanted.tier,
        properties=properties,
        events=events,
    )


def pages(session: Session) -> tuple[PageRoute, ...]:
    """Return the pages of runs that are ready: by the schedule's name and by the run's id."""
    ready = select(Run).where(Run.finished_at.is_(None), Run.status == RunStatus.READY, Run.page)
    rows = session.scalars(ready.order_by(*IN_ORDER)).all()
    _kept = _read_ahead(session, rows)
    found = []
    for row in rows:
        app = session.get_one(App, row.app)
        names = (session.get_one(Schedule, row.schedule).name, row.id)
        found += [PageRoute(name=name, run=row.id, visibility=app.visibility, owner=row.user) for name in names]
    return tuple(found)
