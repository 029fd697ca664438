"""Models found and listed; a reference resolved to a version."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead import ids
from fairlead.accounts.policy import Caller, may_see
from fairlead.bundles.manifest import ModelManifest
from fairlead.bundles.reading import closest
from fairlead.errors import NotFound, Unavailable
from fairlead.messages import Target
from fairlead.status import VersionStatus
from fairlead.store.records import Alias, Event, Model, ModelVersion

PRODUCTION = "production"
_NEAR_AMONG = 1000
"""Among so many names one is searched for that looks like a mistaken one."""
_HINT = "fairlead models lists those that you may see"


def get(session: Session, caller: Caller | None, name: str) -> Model:
    """Return the model; raises :class:`NotFound`, also for one that the caller may not see."""
    model = session.get(Model, name)
    if model is None or model.removed_at is not None or not may_see(caller, model.owner, model.visibility):
        raise NotFound(f"there is no model {name}", code="no_such_model", hint=_near(session, caller, name))
    return model


def _near(session: Session, caller: Caller | None, name: str) -> str:
    """Return what to do about a name that is none: of those that the caller may see, the one that looks like it."""
    known = select(Model.name, Model.owner, Model.visibility).where(Model.removed_at.is_(None)).limit(_NEAR_AMONG)
    near = closest(name, [one.name for one in session.execute(known) if may_see(caller, one.owner, one.visibility)])
    return f"{near} {_HINT}" if near else _HINT


def list_all(session: Session, caller: Caller | None) -> list[Model]:
    """Return all models that the caller may see, by name."""
    models = session.scalars(select(Model).where(Model.removed_at.is_(None)).order_by(Model.name))
    return [model for model in models if may_see(caller, model.owner, model.visibility)]


def versions_of(session: Session, name: str) -> list[ModelVersion]:
    """Return the versions of a model that were not removed, the newest first."""
    query = select(ModelVersion).where(ModelVersion.model == name, ModelVersion.removed_at.is_(None))
    return list(session.scalars(query.order_by(ModelVersion.ordinal.desc())))


def versions_of_all(session: Session, names: Collection[str]) -> dict[str, list[ModelVersion]]:
    """Return the versions of these models by name, the newest first: one query however many there are."""
    query = select(ModelVersion).where(ModelVersion.model.in_(names), ModelVersion.removed_at.is_(None))
    found: dict[str, list[ModelVersion]] = {name: [] for name in names}
    for version in session.scalars(query.order_by(ModelVersion.ordinal.desc())):
        found[version.model].append(version)
    return found


@dataclass(frozen=True, slots=True)
class Standing:
    """What lists tell of a version; its manifest and signature, which are long, are not read for it."""

    version: str
    status: VersionStatus
    reason: str
    created_at: datetime


def standings_of_all(session: Session, names: Collection[str]) -> dict[str, list[Standing]]:
    """Return how the versions of these models stand by name, the newest first: one query however many there are."""
    columns = (ModelVersion.model, ModelVersion.version, ModelVersion.status, ModelVersion.reason)
    query = select(*columns, ModelVersion.created_at).where(
        ModelVersion.model.in_(names), ModelVersion.removed_at.is_(None)
    )
    found: dict[str, list[Standing]] = {name: [] for name in names}
    for model, version, status, reason, created_at in session.execute(query.order_by(ModelVersion.ordinal.desc())):
        found[model].append(Standing(version, status, reason, created_at))
    return found


def aliases_of_all(session: Session, names: Collection[str]) -> dict[str, list[Alias]]:
    """Return the aliases of these models by name: one query however many there are."""
    found: dict[str, list[Alias]] = {name: [] for name in names}
    for alias in session.scalars(select(Alias).where(Alias.model.in_(names)).order_by(Alias.alias)):
        found[alias.model].append(alias)
    return found


def version_of(session: Session, name: str, number: str) -> ModelVersion:
    """Return the version; raises :class:`NotFound`, also for one that was removed."""
    found = session.get(ModelVersion, (name, number))
    if found is None or found.removed_at is not None:
        raise NotFound(
            f"there is no version {number} of {name}",
            code="version_not_found",
            hint=f"fairlead models show {name} lists them",
        )
    return found


def aliases_of(session: Session, name: str) -> list[Alias]:
    """Return the aliases of a model by name."""
    return list(session.scalars(select(Alias).where(Alias.model == name).order_by(Alias.alias)))


def alias_of(session: Session, name: str, alias: str) -> Alias:
    """Return the alias; raises :class:`NotFound`."""
    found = session.get(Alias, (name, alias))
    if found is None:
        raise _no_alias(name, alias)
    return found


def moves_of(session: Session, name: str, alias: str) -> list[Event]:
    """Return what was done to an alias, the latest first, as far as the journal still has it."""
    query = select(Event).where(Event.kind == "alias", Event.ref == f"{name}@{alias}")
    return list(session.scalars(query.order_by(Event.id.desc()).limit(10)))


def _no_alias(name: str, alias: str) -> NotFound:
    message = f"{name} has no alias {alias}"
    return NotFound(message, code="version_not_found", hint=f"fairlead models show {name} lists them")


def resolve(session: Session, caller: Caller | None, name: str, ref: str = PRODUCTION, chance: float = 0.0) -> str:
    """Return the version that ``ref`` (alias or version) of a model means now; ``chance`` (0 to 1) picks by weight.

    Raises what :func:`targets_of` raises.
    """
    return pick(targets_of(session, caller, name, ref), chance)


def targets_of(session: Session, caller: Caller | None, name: str, ref: str = PRODUCTION) -> tuple[Target, ...]:
    """Return the versions that ``ref`` (alias or version) of a model means now, by weight.

    Raises :class:`NotFound`, with code ``version_gone`` for a version that no alias names, and
    :class:`Unavailable` (``model_not_ready``) before the first version is ready.
    """
    get(session, caller, name)
    aliases = aliases_of(session, name)
    if ids.is_version(ref):
        version_of(session, name, ref)
        if not any(target.version == ref for held in aliases for target in held.targets):
            raise NotFound(
                f"no alias names {name}@{ref} any more", code="version_gone", hint=f"fairlead models show {name}"
            )
        return (Target(ref, 1),)
    held = next((held for held in aliases if held.alias == ref), None)
    if held is None and ref == PRODUCTION:
        raise Unavailable(f"no version of {name} is ready yet", code="model_not_ready", hint=f"fairlead why {name}")
    if held is None:
        raise _no_alias(name, ref)
    return held.targets


def pick(targets: tuple[Target, ...], chance: float) -> str:
    """Return the version on which ``chance`` (0 to 1) falls, each as wide as its weight."""
    mark = chance * sum(target.weight for target in targets)
    for target in targets:
        mark -= target.weight
        if mark < 0:
            return target.version
    return max(targets, key=lambda target: target.weight).version


def may_come_back(session: Session, name: str, number: str) -> bool:
    """Whether nodes have this version, or will: it is live, an alias names it, or a push asked for it again."""
    version = session.get(ModelVersion, (name, number))
    if version is None:
        return False
    return is_live(version) or is_named(session, name, number) or version.takes is not None


def is_named(session: Session, name: str, number: str) -> bool:
    """Whether an alias names this version."""
    return any(target.version == number for held in aliases_of(session, name) for target in held.targets)


def manifest_of(version: ModelVersion) -> ModelManifest:
    """Return the manifest of a version."""
    return _manifest(version.manifest)


def is_live(version: ModelVersion) -> bool:
    """Whether nodes shall have it: it is prepared, starts, runs or sleeps."""
    return version.status not in (VersionStatus.FAILED, VersionStatus.RETIRED)


@lru_cache(maxsize=4096)
def _manifest(text: str) -> ModelManifest:
    return msgspec.json.decode(text, type=ModelManifest)
