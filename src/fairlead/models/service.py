"""Models changed: pushed, aliases moved, rolled back, retired, granted. All take a session and the moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead import ids
from fairlead.accounts import usage, vault
from fairlead.accounts.policy import Caller, Verb, check, check_owner, in_force
from fairlead.bundles.manifest import ModelManifest
from fairlead.errors import Conflict, Invalid
from fairlead.messages import EnvironmentSpec, Target
from fairlead.models import queries, replicas
from fairlead.models.queries import PRODUCTION
from fairlead.status import VersionStatus
from fairlead.store.move import move_to, note
from fairlead.store.records import Alias, App, Bundle, Model, ModelVersion

NO_ALIAS = "none"
GRANTS = ("public", "outbound")
TARGETS_MAX = 10
_USABLE = (VersionStatus.READY, VersionStatus.SLEEPING, VersionStatus.RETIRED)
"""What an alias may name; a retired version comes back by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """A checked bundle that lies in the bucket."""

    manifest: ModelManifest
    digest: str
    size_bytes: int
    key: str
    environment: EnvironmentSpec
    warnings: tuple[str, ...] = ()
    alias: str = PRODUCTION
    """Taken once the version is ready; ``none``: nothing."""


@dataclass(frozen=True, slots=True)
class Push:
    """What a push came to."""

    version: ModelVersion
    again: bool
    """The same content was there already."""


def push(session: Session, caller: Caller, pushed: Pushed, now: datetime) -> Push:
    """Keep the bundle as a version: the same content is the same version again.

    Raises :class:`Conflict`: ``name_taken`` (an app has the name), ``version_exists`` (other content has the version),
    ``route_taken``; :class:`Invalid`: ``secret_missing``; :class:`Forbidden` for who may not push or does not own it.
    """
    check(caller, Verb.PUSH_MODELS)
    manifest = pushed.manifest
    alias = _checked_alias(pushed.alias)
    model = session.get(Model, manifest.name)
    is_new = model is None or model.removed_at is not None
    if model is not None and model.removed_at is None:
        check_owner(caller, model.owner, f"the model {model.name}")
    elif (app := session.get(App, manifest.name)) is not None and app.removed_at is None:
        raise Conflict(f"an app is called {manifest.name}", code="name_taken", hint="models and apps share their names")
    _refuse_taken_routes(session, manifest)
    if session.get(Bundle, pushed.digest) is None:
        session.add(_bundle(pushed, caller, now))
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
    if alias is not None:
        version.takes, version.takes_at = alias, now
    return Push(version, again=before is not None and not came_back)


def move_alias(
    session: Session, caller: Caller, name: str, alias: str, targets: Sequence[Target], now: datetime
) -> Alias:
    """Have ``alias`` name ``targets`` (weights say who gets how much) and return it.

    Raises :class:`Invalid` for bad names and weights, :class:`NotFound` for unknown versions and :class:`Conflict`
    (``version_not_ready``) for one that never was ready.
    """
    model = _managed(session, caller, name)
    if not ids.is_alias(alias) or alias == NO_ALIAS:
        raise Invalid(f"{alias!r} is no alias", code="alias_invalid", hint="begin with a letter: production, staging")
    _check_targets(targets)
    for target in targets:
        _usable(session, name, target.version, alias)
    return place_alias(session, model, alias, tuple(targets), now, asked_at=now, by=caller.name)


def remove_alias(session: Session, caller: Caller, name: str, alias: str, now: datetime) -> None:
    """Remove ``alias``; ``production`` stays."""
    _managed(session, caller, name)
    if alias == PRODUCTION:
        raise Conflict(
            "production always exists", code="alias_kept", hint=f"move it: fairlead models alias {name} production=…"
        )
    session.delete(queries.alias_of(session, name, alias))
    note(session, "alias", f"{name}@{alias}", "removed", now, by=caller.name)


def rollback(session: Session, caller: Caller, name: str, now: datetime, alias: str = PRODUCTION) -> Alias:
    """Put back what ``alias`` held before; once more puts it forth again.

    Raises :class:`Conflict` (``nothing_before``) where it held nothing.
    """
    model = _managed(session, caller, name)
    held = queries.alias_of(session, name, alias)
    if not held.previous or shares(held.previous) == shares(held.targets):
        raise Conflict(
            f"{alias} of {name} held nothing before",
            code="nothing_before",
            hint=f"fairlead models alias {name} {alias}=VERSION; fairlead models show {name} lists the versions",
        )
    for target in held.previous:
        _usable(session, name, target.version, alias)
    return place_alias(session, model, alias, held.previous, now, asked_at=now, by=caller.name)


def place_alias(
    session: Session,
    model: Model,
    alias: str,
    targets: tuple[Target, ...],
    now: datetime,
    *,
    asked_at: datetime,
    by: str,
) -> Alias:
    """Set the alias and remember what it held; one that has the same share already changes nothing.

    Everything was checked.
    """
    held = session.get(Alias, (model.name, alias))
    before: tuple[Target, ...] = ()
    if held is None:
        held = Alias(model=model.name, alias=alias, targets=targets, moved_by=by, moved_at=now, asked_at=asked_at)
        session.add(held)
    else:
        before = held.targets
        if shares(before) == shares(targets):
            targets = before
        else:
            held.targets, held.previous = targets, before
            held.moved_by, held.moved_at = by, now
        held.asked_at = asked_at
    if before != targets:
        said = f"{say(before)} → {say(targets)}" if before else f"→ {say(targets)}"
        note(session, "alias", f"{model.name}@{alias}", said, now, by=by)
    for target in targets:
        version = session.get_one(ModelVersion, (model.name, target.version))
        if version.takes == alias:
            version.takes, version.takes_at = None, None
    if alias == PRODUCTION:
        main = max(targets, key=lambda target: target.weight)
        version = session.get_one(ModelVersion, (model.name, main.version))
        apply_access(session, model, queries.manifest_of(version), by, now)
    session.flush()
    return held


def apply_access(session: Session, model: Model, manifest: ModelManifest, by: str, now: datetime) -> None:
    """Put the visibility that the manifest says in force; ``public`` only where a configurer granted it."""
    wanted = in_force(model.visibility, manifest.access.visibility, model.granted)
    if wanted != model.visibility:
        note(session, "model", model.name, f"visibility {model.visibility} → {wanted}", now, by=by)
        model.visibility = wanted


def grant(session: Session, caller: Caller, name: str, what: str, given: bool, now: datetime) -> Model:
    """Grant a model ``public`` or ``outbound``, or take it back; raises :class:`Invalid` for anything else."""
    check(caller, Verb.GRANT)
    if what not in GRANTS:
        raise Invalid(f"{what} is nothing to grant", code="grant_unknown", hint=" or ".join(GRANTS))
    model = queries.get(session, caller, name)
    if given == (what in model.granted):
        return model
    rest = tuple(one for one in model.granted if one != what)
    model.granted = tuple(sorted((*rest, what))) if given else rest
    note(session, "model", name, f"{what} {'granted' if given else 'no longer granted'}", now, by=caller.name)
    if what == "public":
        visibility = "public" if given and "public" in model.asked else model.visibility
        model.visibility = "team" if not given and visibility == "public" else visibility
    return model


def set_visibility(session: Session, caller: Caller, name: str, visibility: str, now: datetime) -> Model:
    """Change who may see and call a model until its next version says otherwise; ``public`` takes a grant."""
    model = _managed(session, caller, name)
    if visibility not in ("private", "team", "public"):
        raise Invalid(f"{visibility} is no visibility", code="visibility_unknown", hint="private, team or public")
    if visibility == "public" and "public" not in model.granted:
        check(caller, Verb.GRANT)
        model.granted = tuple(sorted((*model.granted, "public")))
    if visibility != model.visibility:
        note(session, "model", name, f"visibility {model.visibility} → {visibility}", now, by=caller.name)
        model.visibility = visibility
    return model


def retire(session: Session, caller: Caller, name: str, number: str, now: datetime) -> ModelVersion:
    """Remove a version that no alias names: it is stopped, answers 410, is not listed and gives its bytes back.

    Its number stays taken; the same content pushed again brings it back. One that is not ready yet is given up.
    """
    _managed(session, caller, name)
    version = queries.version_of(session, name, number)
    holders = [held.alias for held in queries.aliases_of(session, name) if number in _versions(held.targets)]
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
    model = _managed(session, caller, name)
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


def say(targets: Sequence[Target]) -> str:
    """Return targets as people write them: ``1.3.0`` or ``1.3.0:10,1.2.0:90``."""
    if len(targets) == 1:
        return targets[0].version
    return ",".join(f"{target.version}:{target.weight}" for target in targets)


def shares(targets: Sequence[Target]) -> dict[str, float]:
    """Return who gets which share of the calls: ``4:10`` alone is the same as ``4``."""
    whole = sum(target.weight for target in targets) or 1
    return {target.version: target.weight / whole for target in targets if target.weight}


def _versions(targets: Sequence[Target]) -> set[str]:
    return {target.version for target in targets}


def _managed(session: Session, caller: Caller, name: str) -> Model:
    model = queries.get(session, caller, name)
    check(caller, Verb.MANAGE_MODELS)
    check_owner(caller, model.owner, f"the model {name}")
    return model


def _checked_alias(alias: str) -> str | None:
    if alias == NO_ALIAS:
        return None
    if not ids.is_alias(alias):
        raise Invalid(f"{alias!r} is no alias", code="alias_invalid", hint="begin with a letter: production, staging")
    return alias


def _check_targets(targets: Sequence[Target]) -> None:
    if not 0 < len(targets) <= TARGETS_MAX or len(_versions(targets)) != len(targets):
        raise Invalid(
            f"an alias names 1 to {TARGETS_MAX} different versions", code="targets_invalid", hint="1.3.0:10,1.2.0:90"
        )
    if any(not 0 <= target.weight <= 1000 for target in targets) or not any(target.weight for target in targets):
        raise Invalid("weights are 0 to 1000, and not all 0", code="weights_invalid", hint="1.3.0:10,1.2.0:90")


def _usable(session: Session, name: str, number: str, alias: str) -> None:
    """Raise :class:`Conflict` unless ``alias`` may name the version: ready once, and its paths free still."""
    version = queries.version_of(session, name, number)
    if version.status not in _USABLE or version.ready_at is None:
        raise Conflict(
            f"{name}@{number} is {version.status}: {version.reason or 'it never was ready'}",
            code="version_not_ready",
            hint=f"fairlead why {name}@{number}",
        )
    usage.keep_again(session, version.created_by, session.get_one(Bundle, version.digest), name)
    manifest = queries.manifest_of(version)
    vault.require(session, name, manifest.run.secrets)
    if alias == PRODUCTION:
        _refuse_taken_routes(session, manifest)


def _refuse_taken_routes(session: Session, manifest: ModelManifest) -> None:
    """Raise :class:`Conflict` where a path is another model's: of what its ``production`` names, or soon will."""
    wanted = {route.path for route in manifest.routes}
    if not wanted:
        return
    others = session.scalars(select(Alias).where(Alias.alias == PRODUCTION, Alias.model != manifest.name))
    holders = {(other.model, target.version) for other in others for target in other.targets}
    coming = select(ModelVersion.model, ModelVersion.version).where(
        ModelVersion.takes == PRODUCTION,
        ModelVersion.model != manifest.name,
        ModelVersion.status != VersionStatus.FAILED,
    )
    holders.update((model, version) for model, version in session.execute(coming))
    for holder in sorted(holders):
        for route in queries.manifest_of(session.get_one(ModelVersion, holder)).routes:
            if route.path in wanted:
                raise Conflict(
                    f"the path {route.path} belongs to the model {holder[0]}",
                    code="route_taken",
                    hint="choose another path in [[routes]]",
                )


def _bundle(pushed: Pushed, caller: Caller, now: datetime) -> Bundle:
    return Bundle(
        digest=pushed.digest,
        kind="model",
        name=pushed.manifest.name,
        size_bytes=pushed.size_bytes,
        key=pushed.key,
        created_by=caller.name,
        created_at=now,
    )


def _ask_grants(model: Model, manifest: ModelManifest) -> None:
    asked = [("public", manifest.access.visibility == "public"), ("outbound", manifest.network.outbound)]
    model.asked = tuple(what for what, wanted in asked if wanted)


def _same(session: Session, pushed: Pushed) -> ModelVersion | None:
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


def _add(session: Session, caller: Caller, pushed: Pushed, now: datetime) -> ModelVersion:
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
