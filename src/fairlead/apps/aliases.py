"""Aliases of apps on records: which version each names, and when that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead.store.move import note
from fairlead.store.records import AppAlias, AppVersion


def list_all(session: Session, app: str) -> Sequence[AppAlias]:
    """Return the aliases of an app by name."""
    return session.scalars(select(AppAlias).where(AppAlias.app == app).order_by(AppAlias.alias)).all()


def place(
    session: Session, app: str, alias: str, version: str, now: datetime, *, asked_at: datetime, by: str
) -> AppAlias:
    """Have ``alias`` name ``version``, which was checked, and remember what it named before."""
    record = session.get(AppAlias, (app, alias))
    if record is None:
        record = AppAlias(app=app, alias=alias, version=version, moved_by=by, moved_at=now)
        session.add(record)
        note(session, "alias", f"{app}@{alias}", f"names {version}", now, by=by)
    elif record.version != version:
        note(session, "alias", f"{app}@{alias}", f"{record.version} → {version}", now, by=by)
        record.previous, record.version, record.moved_by, record.moved_at = record.version, version, by, now
    record.asked_at = asked_at
    session.flush()
    return record


def take(session: Session, version: AppVersion, now: datetime, by: str) -> None:
    """Give a version that is ready the alias that it was pushed for.

    An alias that was moved since, or that a later push took, stays: whoever asked last has it, whatever is ready first.
    """
    alias, asked_at = version.takes, version.takes_at or now
    version.takes, version.takes_at = None, None
    if alias is None:
        return
    held = session.get(AppAlias, (version.app, alias))
    if held is not None and held.asked_at is not None and held.asked_at > asked_at:
        said = f"{alias} was moved after this version was pushed: it stays as it is"
        note(session, "app_version", f"{version.app}@{version.version}", said, now)
        return
    place(session, version.app, alias, version.version, now, asked_at=asked_at, by=by)
