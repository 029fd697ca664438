"""Apps and their versions: registered, prepared, named by aliases."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

import msgspec
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fairlead import ids
from fairlead.accounts import usage, vault
from fairlead.accounts.policy import Caller, in_force
from fairlead.apps import aliases, sight
from fairlead.bundles.manifest import AppManifest
from fairlead.errors import Conflict, Forbidden, Invalid, NotFound
from fairlead.messages import AppWanted, Prepared
from fairlead.models.pushed import Pushed
from fairlead.status import VersionStatus
from fairlead.store.move import move_to, note
from fairlead.store.records import App, AppAlias, AppVersion, Bundle, Model, Run, Schedule

PRODUCTION = "production"


class Registered(msgspec.Struct, frozen=True):
    version: AppVersion
    created: bool
    """False: the same content was there."""


def register(
    session: Session,
    pushed: Pushed[AppManifest],
    now: datetime,
    *,
    by: str,
    alias: str | None = PRODUCTION,
    admin: bool = False,
) -> Registered:
    """Add a version and have it prepared; it takes ``alias`` once it is ready (None: no alias is moved)."""
    manifest = pushed.manifest
    if alias is not None and not ids.is_alias(alias):
        raise Invalid(f"{alias[:63]!r} is no alias", code="alias_invalid", hint="begin with a letter: staging")
    app = _app(session, manifest, now, by, admin)
    vault.require(session, app.name, manifest.run.secrets)
    found = session.scalars(
        select(AppVersion).where(AppVersion.app == app.name, AppVersion.digest == pushed.digest)
    ).first()
    if found is not None:
        return Registered(_again(session, found, alias, now, by), False)
    if session.get(Bundle, pushed.digest) is None:
        session.add(pushed.record(by, now))
        session.flush()
    number, ordinal = _number(session, manifest)
    version = AppVersion(
        app=app.name,
        version=number,
        ordinal=ordinal,
        digest=pushed.digest,
        manifest=msgspec.json.encode(manifest).decode(),
        environment=pushed.environment,
        takes=alias,
        takes_at=now,
        created_by=by,
        created_at=now,
    )
    session.add(version)
    note(session, "app_version", f"{app.name}@{number}", "pushed", now, by=by, status=VersionStatus.BUILDING)
    session.flush()
    return Registered(version, True)


def _app(session: Session, manifest: AppManifest, now: datetime, by: str, admin: bool) -> App:
    there = session.get(Model, manifest.name)
    if there is not None and there.removed_at is None:
        message = f"{manifest.name} is the name of a model"
        raise Conflict(message, code="name_taken", hint="models and apps share one set of names: choose another")
    app = session.get(App, manifest.name)
    is_new = app is None or app.removed_at is not None
    if app is None:
        app = App(name=manifest.name, owner=by, visibility="team", created_at=now)
        session.add(app)
        vault.begin(session, app.name, by)
    elif app.removed_at is not None:
        app.removed_at, app.owner, app.granted, app.visibility = None, by, (), "team"
        vault.begin(session, app.name, by)
    elif app.owner != by and not admin:
        message = f"{manifest.name} belongs to {app.owner}"
        raise Forbidden(message, code="not_owner", hint="choose another name, or ask a configurer")
    asked = (("public", manifest.access.visibility == "public"), ("outbound", manifest.network.outbound))
    app.asked = tuple(what for what, wants in asked if wants)
    if is_new:  # later it follows the version that production names
        app.visibility = in_force(app.visibility, manifest.access.visibility, app.granted)
    app.summary = manifest.summary
    app.card = msgspec.to_builtins(manifest.card)
    session.flush()
    return app


def _again(session: Session, version: AppVersion, alias: str | None, now: datetime, by: str) -> AppVersion:
    """The same content was pushed: it takes the alias, and a failed one is tried anew."""
    version.takes, version.takes_at = alias, now
    if version.status is VersionStatus.FAILED:
        version.attempt += 1
        version.last_lines, version.error = (), None
        move_to(session, version, VersionStatus.BUILDING, "pushed again", now, by=by)
    elif version.status is VersionStatus.RETIRED:
        move_to(session, version, VersionStatus.READY, "pushed again", now, by=by)
    if version.status is VersionStatus.READY:
        aliases.take(session, version, now, by)
        _follow_production(session, version.app, now, by)
    session.flush()
    return version


def _number(session: Session, manifest: AppManifest) -> tuple[str, int]:
    taken = set(session.scalars(select(AppVersion.version).where(AppVersion.app == manifest.name)))
    ordinal = (session.scalar(select(func.max(AppVersion.ordinal)).where(AppVersion.app == manifest.name)) or 0) + 1
    if manifest.version is None:
        number = ordinal
        while str(number) in taken:
            number += 1
        return str(number), ordinal
    if manifest.version in taken:
        message = f"{manifest.name}@{manifest.version} is there with other content"
        raise Conflict(message, code="version_exists", hint="a version never changes: raise version, or leave it out")
    return manifest.version, ordinal


def prepared(session: Session, report: Prepared, now: datetime) -> None:
    """Take what a node says of the preparation of a version; old news and unknown versions are left aside."""
    version = session.get(AppVersion, (report.name, report.version))
    if version is None or report.attempt != version.attempt or version.status is not VersionStatus.BUILDING:
        return
    version.step = report.step
    version.warnings = report.warnings or version.warnings
    if report.step == "failed":
        version.last_lines, version.error = report.last_lines, report.error
        said = report.error.message if report.error else report.said or "its preparation failed"
        move_to(session, version, VersionStatus.FAILED, said, now)
    elif report.step == "done":
        version.ready_at = version.ready_at or now
        move_to(session, version, VersionStatus.READY, "its environment is built and its entry imports", now)
        aliases.take(session, version, now, version.created_by)
        _follow_production(session, version.app, now, version.created_by)
    session.flush()


def set_alias(session: Session, app: str, alias: str, version: str, now: datetime, *, by: str) -> AppAlias:
    """Name a version; runs that go on keep theirs, schedules follow at their next window."""
    show_version(session, app, version)
    placed = aliases.place(session, app, alias, version, now, asked_at=now, by=by)
    _follow_production(session, app, now, by)
    return placed


def _follow_production(session: Session, name: str, now: datetime, by: str) -> None:
    """Put the visibility in force that the version wants which ``production`` names."""
    named = session.get(AppAlias, (name, PRODUCTION))
    if named is None:
        return
    app, version = session.get_one(App, name), session.get_one(AppVersion, (name, named.version))
    wanted = in_force(app.visibility, manifest_of(version).access.visibility, app.granted)
    if wanted != app.visibility:
        note(session, "app", name, f"visibility {app.visibility} → {wanted}", now, by=by)
        app.visibility = wanted


def rollback(session: Session, app: str, now: datetime, *, by: str, alias: str = PRODUCTION) -> AppAlias:
    """Put back what the alias named before, once: a second time would put forth again what was taken back."""
    record = session.get(AppAlias, (app, alias))
    if record is None or record.previous is None:
        message = f"{app}@{alias} named nothing before, or that was put back already"
        raise Conflict(message, code="nothing_before", hint=f"fairlead apps show {app} lists its versions")
    placed = set_alias(session, app, alias, record.previous, now, by=by)
    placed.previous = None
    return placed


def remove(session: Session, app: str, now: datetime, *, by: str) -> None:
    """Remove an app: its versions are retired, its aliases dropped, and it is as if it were not there.

    What was done with it stays in the journal; the name can be pushed again. Raises :class:`Conflict`
    (``app_in_use``) with the names of schedules and runs that still want it.
    """
    record = show_app(session, app)
    live = session.scalars(select(Run).where(Run.app == app, Run.finished_at.is_(None)).order_by(Run.id)).all()
    schedules = session.scalars(select(Schedule).where(Schedule.app == app, Schedule.removed_at.is_(None))).all()
    wanting = [one.name for one in schedules if one.next_at is not None or one.paused is not None]
    if wanting or live:
        used = ", ".join(
            (*(f"the schedule {name}" for name in sorted(wanting)), *(f"the run {run.id}" for run in live))
        )
        hint = "remove them first: fairlead schedules rm SCHEDULE, fairlead runs stop RUN"
        raise Conflict(f"{app} is in use by {used}", code="app_in_use", hint=hint)
    for schedule in schedules:  # each of them is done
        schedule.removed_at, schedule.name = now, schedule.id
    for alias in aliases.list_all(session, app):
        session.delete(alias)
    for version in list_versions(session, app):
        version.takes = None
        said = f"retired by {by}"
        if version.status in (VersionStatus.BUILDING, VersionStatus.STARTING):
            move_to(session, version, VersionStatus.FAILED, said, now, by=by)
        elif version.status is VersionStatus.READY:
            move_to(session, version, VersionStatus.RETIRED, said, now, by=by)
    vault.forget(session, app, now)
    usage.give_back(session, app)
    record.removed_at = now
    note(session, "app", app, "removed", now, by=by)
    session.flush()


def show_app(session: Session, app: str) -> App:
    record = session.get(App, app)
    if record is None or record.removed_at is not None:
        raise NotFound(f"there is no app {app[:80]!r}", code="app_not_found", hint="fairlead apps lists them")
    return record


def list_apps(session: Session, caller: Caller) -> Sequence[App]:
    """Return the apps that the caller may see, by name."""
    return session.scalars(select(App).where(App.removed_at.is_(None), sight.apps(caller)).order_by(App.name)).all()


def list_versions(session: Session, app: str) -> Sequence[AppVersion]:
    """Return an app's versions, newest first."""
    return session.scalars(select(AppVersion).where(AppVersion.app == app).order_by(AppVersion.ordinal.desc())).all()


def show_version(session: Session, app: str, ref: str = PRODUCTION) -> AppVersion:
    """Return the version that ``ref``, a version or an alias, names."""
    show_app(session, app)
    version = session.get(AppVersion, (app, ref))
    if version is None and (alias := session.get(AppAlias, (app, ref))) is not None:
        version = session.get(AppVersion, (app, alias.version))
    if version is None:
        known = ", ".join(one.version for one in list_versions(session, app)[:10])
        raise NotFound(f"{app} has no {ref[:63]!r}", code="version_not_found", hint=f"versions: {known or 'none'}")
    return version


@lru_cache(maxsize=512)
def _manifest(text: str) -> AppManifest:
    return msgspec.json.decode(text, type=AppManifest)


def manifest_of(version: AppVersion) -> AppManifest:
    """Return the manifest of a version."""
    return _manifest(version.manifest)


def wanted(session: Session) -> tuple[AppWanted, ...]:
    """Return the versions that nodes shall have prepared: those in the making, named, or in use."""
    named = {(alias.app, alias.version) for alias in session.scalars(select(AppAlias))}
    named |= {(run.app, run.version) for run in session.scalars(select(Run).where(Run.finished_at.is_(None)))}
    states = (VersionStatus.BUILDING, VersionStatus.STARTING, VersionStatus.READY)
    rows = session.scalars(
        select(AppVersion).where(AppVersion.status.in_(states)).order_by(AppVersion.app, AppVersion.ordinal)
    )
    secrets = vault.sealed(session)
    return tuple(
        AppWanted(
            app=row.app,
            version=row.version,
            digest=row.digest,
            bundle_key=session.get_one(Bundle, row.digest).key,
            environment=row.environment,
            entry=manifest_of(row).run.entry,
            attempt=row.attempt,
            secrets=vault.chosen(manifest_of(row).run.secrets, secrets.get(row.app, {})),
        )
        for row in rows
        if row.status is not VersionStatus.READY or (row.app, row.version) in named
    )
