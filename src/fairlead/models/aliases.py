"""Aliases of models: moved, rolled back, removed. All take a session and the moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead import ids
from fairlead.accounts import vault
from fairlead.accounts.policy import Caller
from fairlead.bundles.manifest import ModelManifest
from fairlead.clock import to_text
from fairlead.errors import Conflict, Invalid
from fairlead.messages import Target
from fairlead.models import queries
from fairlead.models.access import apply_access, managed
from fairlead.models.queries import PRODUCTION
from fairlead.status import VersionStatus
from fairlead.store.move import note
from fairlead.store.records import Alias, Model, ModelVersion

NO_ALIAS = "none"
TARGETS_MAX = 10
_USABLE = (VersionStatus.READY, VersionStatus.SLEEPING, VersionStatus.RETIRED)
"""What an alias may name; a retired version comes back by it."""


def move_alias(
    session: Session, caller: Caller, name: str, alias: str, targets: Sequence[Target], now: datetime
) -> Alias:
    """Have ``alias`` name ``targets`` (weights say who gets how much) and return it.

    Raises :class:`Invalid` for bad names and weights, :class:`NotFound` for unknown versions and :class:`Conflict`
    (``version_not_ready``) for one that never was ready.
    """
    model = managed(session, caller, name)
    if not ids.is_alias(alias) or alias == NO_ALIAS:
        raise Invalid(f"{alias!r} is no alias", code="alias_invalid", hint="begin with a letter: production, staging")
    _check_targets(targets)
    for target in targets:
        _check_usable(session, name, target.version, alias)
    return place_alias(session, model, alias, tuple(targets), now, asked_at=now, by=caller.name)


def remove_alias(session: Session, caller: Caller, name: str, alias: str, now: datetime) -> None:
    """Remove ``alias``; ``production`` stays."""
    managed(session, caller, name)
    if alias == PRODUCTION:
        raise Conflict(
            "production always exists", code="alias_kept", hint=f"move it: fairlead models alias {name} production=…"
        )
    session.delete(queries.alias_of(session, name, alias))
    note(session, "alias", f"{name}@{alias}", "removed", now, by=caller.name)


def rollback(session: Session, caller: Caller, name: str, now: datetime, alias: str = PRODUCTION) -> Alias:
    """Put back what ``alias`` held before, once: a second time would put forth again what was taken back.

    Raises :class:`Conflict` (``nothing_before``) where it held nothing, or that was put back already.
    """
    model = managed(session, caller, name)
    held = queries.alias_of(session, name, alias)
    if not held.previous or shares(held.previous) == shares(held.targets):
        raise _nothing_before(session, held)
    for target in held.previous:
        _check_usable(session, name, target.version, alias)
    placed = place_alias(session, model, alias, held.previous, now, asked_at=now, by=caller.name)
    placed.previous = ()
    return placed


def _nothing_before(session: Session, held: Alias) -> Conflict:
    """Return the refusal of a rollback; who put back what before is told, where that is why."""
    name, alias = held.model, held.alias
    said = f"{alias} of {name} held nothing before"
    was, arrow, _ = next((move.said for move in queries.moves_of(session, name, alias)), "").partition(" → ")
    if was and arrow:
        back = f"{alias} of {name} was put back to {say(held.targets)} already"
        said = f"{back}, by {held.moved_by} at {to_text(held.moved_at)}; {was} was before that"
    hint = f"fairlead models alias {name} {alias}=VERSION goes to any other; fairlead models show {name} lists them"
    return Conflict(said, code="nothing_before", hint=hint)


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


def say(targets: Sequence[Target]) -> str:
    """Return targets as people write them: ``1.3.0`` or ``1.3.0:10,1.2.0:90``."""
    if len(targets) == 1:
        return targets[0].version
    return ",".join(f"{target.version}:{target.weight}" for target in targets)


def shares(targets: Sequence[Target]) -> dict[str, float]:
    """Return who gets which share of the calls: ``4:10`` alone is the same as ``4``."""
    whole = sum(target.weight for target in targets) or 1
    return {target.version: target.weight / whole for target in targets if target.weight}


def versions_in(targets: Sequence[Target]) -> set[str]:
    return {target.version for target in targets}


def checked_alias(alias: str) -> str | None:
    if alias == NO_ALIAS:
        return None
    if not ids.is_alias(alias):
        raise Invalid(f"{alias!r} is no alias", code="alias_invalid", hint="begin with a letter: production, staging")
    return alias


def _check_targets(targets: Sequence[Target]) -> None:
    if not 0 < len(targets) <= TARGETS_MAX or len(versions_in(targets)) != len(targets):
        raise Invalid(
            f"an alias names 1 to {TARGETS_MAX} different versions", code="targets_invalid", hint="1.3.0:10,1.2.0:90"
        )
    if any(not 0 <= target.weight <= 1000 for target in targets) or not any(target.weight for target in targets):
        raise Invalid("weights are 0 to 1000, and not all 0", code="weights_invalid", hint="1.3.0:10,1.2.0:90")


def _check_usable(session: Session, name: str, number: str, alias: str) -> None:
    """Raise :class:`Conflict` unless ``alias`` may name the version: ready once, and its paths free still."""
    version = queries.version_of(session, name, number)
    if version.status not in _USABLE or version.ready_at is None:
        raise Conflict(
            f"{name}@{number} is {version.status}: {version.reason or 'it never was ready'}",
            code="version_not_ready",
            hint=f"fairlead why {name}@{number}",
        )
    manifest = queries.manifest_of(version)
    vault.require(session, name, manifest.run.secrets)
    if alias == PRODUCTION:
        refuse_taken_routes(session, manifest)


def refuse_taken_routes(session: Session, manifest: ModelManifest) -> None:
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
