"""Values that secrets had before: sealed like those in force, and taken out of logs that may still hold them.

They stay as long as their bundle, since a log is bounded by its size and not by its age; ``logs.retention`` says more.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.store.records import FormerSecret, Secret


def keep(session: Session, secret: Secret, now: datetime) -> None:
    """Remember the value of a secret that is about to be replaced or removed."""
    session.add(FormerSecret(bundle=secret.bundle, name=secret.name, sealed=secret.sealed, replaced_at=now))


def of(session: Session, bundles: Iterable[str]) -> list[FormerSecret]:
    """Return what secrets of ``bundles`` were before; the empty name stands for all."""
    wanted = set(bundles)
    query = select(FormerSecret)
    if "" not in wanted:
        query = query.where(FormerSecret.bundle.in_(sorted(wanted)))
    return list(session.scalars(query))
