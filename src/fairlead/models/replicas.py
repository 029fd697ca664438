"""How many replicas versions shall have, as the records hold it, and why: written by whoever scales."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, or_, select, tuple_
from sqlalchemy.orm import Session

from fairlead.bundles.manifest import ModelManifest
from fairlead.models.queries import manifest_of
from fairlead.status import VersionStatus
from fairlead.store.records import ModelVersion, ScalingDecision

KEPT = 100
"""Decisions of each version that are kept."""
_AWAKE = (VersionStatus.READY, VersionStatus.SLEEPING)
Key = tuple[str, str]
"""Model and version."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the records say of a version that may be scaled."""

    key: Key
    replicas: int
    """0: whatever the waker starts."""
    manifest: ModelManifest


@dataclass(frozen=True, slots=True)
class Made:
    """A decision to be written."""

    key: Key
    was: int
    wanted: int
    rule: str
    why: str
    inputs: dict[str, float | None]


def asked(session: Session, keys: Collection[Key]) -> dict[Key, Asked]:
    """Return those of ``keys`` that are ready or sleep, and all others of which replicas are wanted."""
    chosen = or_(ModelVersion.replicas > 0, tuple_(ModelVersion.model, ModelVersion.version).in_(sorted(keys)))
    rows = session.scalars(select(ModelVersion).where(ModelVersion.status.in_(_AWAKE), chosen))
    return {(row.model, row.version): Asked((row.model, row.version), row.replicas, manifest_of(row)) for row in rows}


def write(session: Session, made: Sequence[Made], now: datetime) -> None:
    """Bring decisions into the records. One replica is the waker's and its keeper's to start and to end: it is not
    written, so that a model that is woken now and then costs nothing."""
    for one in made:
        version = session.get(ModelVersion, one.key)
        if version is None:
            continue
        version.replicas = one.wanted if one.wanted > 1 else 0
        session.add(
            ScalingDecision(
                model=one.key[0],
                version=one.key[1],
                at=now,
                was=one.was,
                wanted=one.wanted,
                rule=one.rule,
                why=one.why,
                inputs=one.inputs,
            )
        )
    session.flush()
    for key in {one.key for one in made}:
        _prune(session, key)


def decisions(session: Session, model: str, limit: int = KEPT) -> list[ScalingDecision]:
    """Return the last decisions about a model's versions, newest first."""
    query = select(ScalingDecision).where(ScalingDecision.model == model)
    return list(session.scalars(query.order_by(ScalingDecision.id.desc()).limit(limit)))


def forget(session: Session, models: Iterable[str]) -> None:
    """Remove the decisions about models that are gone."""
    session.execute(delete(ScalingDecision).where(ScalingDecision.model.in_(list(models))))


def _prune(session: Session, key: Key) -> None:
    of = (ScalingDecision.model == key[0], ScalingDecision.version == key[1])
    border = session.scalar(
        select(ScalingDecision.id).where(*of).order_by(ScalingDecision.id.desc()).offset(KEPT).limit(1)
    )
    if border is not None:
        session.execute(delete(ScalingDecision).where(*of, ScalingDecision.id <= border))
