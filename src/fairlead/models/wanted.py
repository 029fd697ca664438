"""From rows to what nodes are told of models. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import or_, select, tuple_
from sqlalchemy.orm import Session

from fairlead.accounts import vault
from fairlead.bundles.manifest import ModelManifest
from fairlead.bundles.specs import model_spec
from fairlead.figures import counted_ms
from fairlead.identity.seal import Sealer
from fairlead.messages import ExtraRoute, ModelRoute, Target, VersionWanted
from fairlead.models.queries import PRODUCTION, is_live, manifest_of
from fairlead.status import VersionStatus
from fairlead.store.records import Alias, Bundle, Model, ModelVersion

_KEYS = select(ModelVersion.model, ModelVersion.version).order_by(ModelVersion.model, ModelVersion.ordinal.desc())
GONE_MAX = 100
"""Versions of a model that answer 410; older ones answer 404."""


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows that say what is wanted of models."""

    models: Sequence[Model]
    versions: Sequence[ModelVersion]
    """Those that are live or named by an alias: what was pushed over the years is not read each second."""
    aliases: Sequence[Alias]
    keys: dict[str, str]
    """Digest of a bundle to its key in the bucket."""
    once: dict[str, list[str]]
    """By model every version that ever was ready, the newest first."""
    secrets: dict[str, dict[str, bytes]]
    """By bundle its sealed secrets by name."""


def load(session: Session) -> Rows:
    """Read the rows."""
    aliases = list(session.scalars(select(Alias).order_by(Alias.model, Alias.alias)))
    named = {(alias.model, target.version) for alias in aliases for target in alias.targets}
    over = (VersionStatus.FAILED, VersionStatus.RETIRED)
    back = [
        (key.model, key.version)
        for key in session.execute(_KEYS.where(ModelVersion.status.in_(over)))
        if (key.model, key.version) in named
    ]
    wanted = or_(ModelVersion.status.not_in(over), tuple_(ModelVersion.model, ModelVersion.version).in_(back))
    keys = session.execute(
        select(Bundle.digest, Bundle.key).join(ModelVersion, ModelVersion.digest == Bundle.digest).where(wanted)
    )
    once: dict[str, list[str]] = {}
    for model, version in session.execute(_KEYS.where(ModelVersion.ready_at.is_not(None))):
        once.setdefault(model, []).append(version)
    in_order = select(ModelVersion).where(wanted).order_by(ModelVersion.model, ModelVersion.ordinal)
    return Rows(
        models=list(session.scalars(select(Model).order_by(Model.name))),
        versions=list(session.scalars(in_order)),
        aliases=aliases,
        keys={digest: key for digest, key in keys},
        once=once,
        secrets=vault.sealed(session),
    )


def versions(rows: Rows, now: datetime, sealer: Sealer) -> tuple[VersionWanted, ...]:
    """Return every version that nodes shall have, in a stable order."""
    models = {model.name: model for model in rows.models}
    return tuple(
        version_wanted(version, models[version.model], rows, now, sealer)
        for version in rows.versions
        if is_live(version)
    )


def version_wanted(version: ModelVersion, model: Model, rows: Rows, now: datetime, sealer: Sealer) -> VersionWanted:
    """Return what a node is told of one version."""
    manifest = manifest_of(version)
    building = version.status is VersionStatus.BUILDING
    starting = version.status is VersionStatus.STARTING
    return VersionWanted(
        spec=model_spec(manifest, version.version),
        digest=version.digest,
        bundle_key=rows.keys[version.digest],
        environment=version.environment,
        gate=sealer.derive(f"gate {version.model}@{version.version} {version.digest}"),
        prepare=building,
        replicas=0 if building else _replicas(version, manifest, now),
        may_sleep=not starting and manifest.scale.min == 0,
        idle_s=manifest.scale.idle_s,
        memory_mb=manifest.resources.memory_mb,
        outbound=manifest.network.outbound and "outbound" in model.granted,
        preload=version.preload,
        attempt=version.attempt,
        proven=version.ready_at is not None,
        secrets=vault.chosen(manifest.run.secrets, rows.secrets.get(version.model, {})),
        slow_ms=_slow_ms(manifest),
    )


def _slow_ms(manifest: ModelManifest) -> float | None:
    """Return from when on an answer is slow, as far as it can be counted; None: nothing was promised."""
    if manifest.slo is None:
        return None
    return counted_ms(manifest.slo.latency_ms) if manifest.slo.latency_ms is not None else 0.0


def _replicas(version: ModelVersion, manifest: ModelManifest, now: datetime) -> int:
    least = manifest.scale.min
    fresh = version.ready_at is not None and now - version.ready_at < timedelta(seconds=manifest.scale.idle_s)
    if version.status is VersionStatus.STARTING or (fresh and version.status is VersionStatus.READY):
        least = max(1, least)  # a version that was just deployed does not fall asleep before its first call
    return min(max(least, version.replicas), manifest.scale.max)


def routes(rows: Rows) -> tuple[ModelRoute, ...]:
    """Return how the front door treats each model."""
    by_model: dict[str, dict[str, ModelVersion]] = {}
    for version in rows.versions:
        by_model.setdefault(version.model, {})[version.version] = version
    aliases: dict[str, list[Alias]] = {}
    for alias in rows.aliases:
        aliases.setdefault(alias.model, []).append(alias)
    return tuple(
        _route(model, by_model.get(model.name, {}), aliases.get(model.name, ()), rows.once.get(model.name, ()))
        for model in rows.models
        if model.removed_at is None
    )


def _route(model: Model, known: dict[str, ModelVersion], aliases: Iterable[Alias], once: Sequence[str]) -> ModelRoute:
    targets = {alias.alias: alias.targets for alias in aliases}
    named = {target.version for group in targets.values() for target in group}
    manifests = {version: manifest_of(known[version]) for version in named}
    main = _main(targets.get(PRODUCTION, ()))
    extra = manifests[main].routes if main else ()
    return ModelRoute(
        model=model.name,
        visibility=model.visibility,
        owner=model.owner,
        targets=targets,
        versions=tuple(sorted(named)),
        gone=tuple(version for version in once if version not in named)[:GONE_MAX],
        timeout_s=max((manifest.run.timeout_s for manifest in manifests.values()), default=60),
        entries=tuple(sorted({entry for version in named for entry in entries_of(known[version])})),
        extra=tuple(
            ExtraRoute(path=one.path, methods=one.methods, entry=one.entry, produces=one.produces or "")
            for one in extra
        ),
    )


def entries_of(version: ModelVersion) -> tuple[str, ...]:
    """Return the endpoints of a version beside ``predict``: those with a route, and those the inspection found."""
    found = {route.entry for route in manifest_of(version).routes}
    endpoints = (version.signature or {}).get("endpoints")
    if isinstance(endpoints, dict):
        found.update(str(name) for name in endpoints)
    return tuple(sorted(found - {"predict"}))


def _main(targets: Sequence[Target]) -> str | None:
    return max(targets, key=lambda target: target.weight).version if targets else None
