"""Models changed: pushed, retired, removed. All take a session and the moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.accounts import usage, vault
from fairlead.accounts.policy import Caller, Verb, check, check_owner
from fairlead.bundles.manifest import ModelManifest
from fairlead.errors import Conflict
from fairlead.models import queries, replicas
from fairlead.models.access import apply_access, managed
from fairlead.models.aliases import checked_alias, refuse_taken_routes, versions_in
from fairlead.models.pushed import Pushed
from fairlead.models.queries import PRODUCTION
from fairlead.status import VersionStatus
from fairlead.store.move import move_to, note
from fairlead.store.records import App, Bundle, Model, ModelVersion


@dataclass(frozen=True, slots=True)
class Push:
    """What a push came to."""

    version: ModelVersion
    again: bool
    """The same content was there already."""


def push(
    session: Session, caller: Caller, pushed: Pushed[ModelManifest], now: datetime, alias: str = PRODUCTION
) -> Push:
    """Keep the bundle as a version that takes ``alias`` once it is ready (``none``: nothing).

    The same content is the same version again.

    Raises :class:`Conflict`: ``name_taken`` (an app has the name), ``version_exists`` (other content has the version),
    ``route_taken``; :class:`Invalid`: ``secret_missing``; :class:`Forbidden` for who may not push or does not own it.
    """
    check(caller, Verb.PUSH_MODELS)
    manifest = pushed.manifest
    takes = checked_alias(alias)
    model = session.get(Model, manifest.name)
    is_new = model is None or model.removed_at is not None
    if model is not None and model.removed_at is None:
        check_owner(caller, model.owner, f"the model {model.name}")
    elif (app := session.get(App, manifest.name)) is not None and app.removed_at is None:
        raise Conflict(f"an app is called {manifest.name}", code="name_taken", hint="models and apps share their names")
    refuse_taken_routes(session, manifest)
    if session.get(Bundle, pushed.digest) is None:
        session.add(pushed.record(caller.name, now))
    if model is None:
        model = Model(name=manifest.name, owner=caller.name, created_at=now)
        session.add(model)
        apply_access(session, model, manifest, caller.name, now)
    elif model.removed_at is not None:
        model.removed_at, model.owner, model.granted, model.visibility = None, caller.name, (), "team"
        apply_access(session, model, manifest, caller.name, now)
    session.flush()
    if is_new:
        vault.begin(session, model.name, caller.name)
    vault.require(session, model.name, manifest.run.secrets)
    model.summary = manifest.summary
    model.card = msgspec.to_builtins(manifest.card)
    _ask_grants(model, manifest)
    before = _same(session, pushed)
    version = before or _add(session, caller, pushed, now)
    came_back = before is not None and _come_back(session, before, caller, now)
    if before is not None and before.status is VersionStatus.FAILED:
        _try_again(session, before, caller, now)
    if takes is not None:
        version.takes, version.takes_at = takes, now
    return Push(version, again=before is not None and not came_back)


def retire(session: Session, caller: Caller, name: str, number: str, now: datetime) -> ModelVersion:
    """Remove a version that no alias names: it is stopped, answers 410, is not listed and gives its bytes back.

    Its number stays taken; the same content pushed again brings it back. One that is not ready yet is given up.
    """
    managed(session, caller, name)
    version = queries.version_of(session, name, number)
    holders = [held.alias for held in queries.aliases_of(session, name) if number in versions_in(held.targets)]
    if holders:
        raise Conflict(
            f"{', '.join(holders)} names {name}@{number}", code="version_in_use", hint="move the alias first"
        )
    _retire(session, version, caller, now)
    usage.give_back(session, name, version.digest)
    note(session, "version", f"{name}@{number}", "removed", now, by=caller.name, status=version.status)
    session.flush()
    return version


def remove(session: Session, caller: Caller, name: str, now: datetime) -> None:
    """Remove a model: its versions are stopped, its aliases dropped, and it is as if it were not there.

    What was done with it stays in the journal; the name can be pushed again, by anyone who may push.
    """
    model = managed(session, caller, name)
    for held in queries.aliases_of(session, name):
        session.delete(held)
    for version in queries.versions_of(session, name):
        _retire(session, version, caller, now)
    vault.forget(session, name, now)
    replicas.forget(session, [name])
    usage.give_back(session, name)
    model.removed_at = now
    note(session, "model", name, "removed", now, by=caller.name)
    session.flush()


def _retire(session: Session, version: ModelVersion, caller: Caller, now: datetime) -> None:
    version.takes, version.takes_at, version.replicas = None, None, 0
    said = f"retired by {caller.name}"
    if version.status in (VersionStatus.BUILDING, VersionStatus.STARTING):
        # It never was ready, so nothing may wake it: pushing it again begins anew.
        move_to(session, version, VersionStatus.FAILED, said, now, by=caller.name)
    elif version.status in (VersionStatus.READY, VersionStatus.SLEEPING):
        move_to(session, version, VersionStatus.RETIRED, said, now, by=caller.name)
    version.removed_at = now


def _ask_grants(model: Model, manifest: ModelManifest) -> None:
    asked = [("public", manifest.access.visibility == "public"), ("outbound", manifest.network.outbound)]
    model.asked = tuple(what for what, wanted in asked if wanted)


def _same(session: Session, pushed: Pushed[ModelManifest]) -> ModelVersion | None:
    """Return the version that has this content; raises where its number has other content."""
    name, number = pushed.manifest.name, pushed.manifest.version
    if number is None:
        query = select(ModelVersion).where(ModelVersion.model == name, ModelVersion.digest == pushed.digest)
        return session.scalar(query.order_by(ModelVersion.ordinal.desc()).limit(1))
    found = session.get(ModelVersion, (name, number))
    if found is not None and found.digest != pushed.digest:
        raise Conflict(
            f"{name}@{number} exists with other content",
            code="version_exists",
            hint="a version never changes: raise version in fairlead.toml, or leave it out to have it counted",
        )
    return found


def _add(session: Session, caller: Caller, pushed: Pushed[ModelManifest], now: datetime) -> ModelVersion:
    name = pushed.manifest.name
    query = select(ModelVersion.version, ModelVersion.ordinal).where(ModelVersion.model == name)
    taken = {row.version: row.ordinal for row in session.execute(query)}
    version = ModelVersion(
        model=name,
        version=pushed.manifest.version or next_number(taken),
        ordinal=max(taken.values(), default=0) + 1,
        digest=pushed.digest,
        manifest=msgspec.json.encode(pushed.manifest).decode(),
        environment=pushed.environment,
        warnings=pushed.warnings,
        reason="pushed",
        created_by=caller.name,
        created_at=now,
    )
    session.add(version)
    said = f"pushed by {caller.name}"
    note(session, "version", f"{name}@{version.version}", said, now, by=caller.name, status=version.status)
    session.flush()
    return version


def next_number(taken: Sequence[str] | dict[str, int]) -> str:
    """Return the next of 1, 2, 3 … that is above all whole numbers in ``taken``."""
    numbers = [int(version) for version in taken if version.isdecimal() and version.isascii()]
    return str(max(numbers, default=0) + 1)


def _come_back(session: Session, version: ModelVersion, caller: Caller, now: datetime) -> bool:
    """Have a version that was removed in the list again; False where it was not removed."""
    if version.removed_at is None:
        return False
    version.removed_at = None
    said = f"pushed again by {caller.name} after it was removed"
    note(session, "version", f"{version.model}@{version.version}", said, now, by=caller.name, status=version.status)
    return True


def _try_again(session: Session, version: ModelVersion, caller: Caller, now: datetime) -> None:
    version.attempt += 1
    version.step, version.last_lines, version.error, version.ready_at = "", (), None, None
    move_to(session, version, VersionStatus.BUILDING, "pushed again after it had failed", now, by=caller.name)
