"""What was measured, kept: the newest value of each property, and history until its type says otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from fairlead.devices import registry
from fairlead.devices.door import Heard
from fairlead.store.records import LastValue, Reading
from fairlead.store.rows import Rows, table_of

_READINGS = Rows(table_of(Reading), ("device", "property", "at", "value"))
_NEWEST = Rows(
    table_of(LastValue),
    ("device", "property", "value", "media_key", "content_type", "at"),
    more="ON CONFLICT (device, property) DO UPDATE SET value = excluded.value, media_key = excluded.media_key,"
    " content_type = excluded.content_type, at = excluded.at WHERE last_values.at <= excluded.at",
)
"""One that was measured earlier and came late is history only."""


def keep(session: Session, group: Iterable[tuple[Heard, Mapping[str, str]]]) -> None:
    """Write the readings of judged messages, in order; each with the keys of its media in the bucket, by property."""
    newest: dict[tuple[str, str], tuple[Any, ...]] = {}
    rows: list[tuple[Any, ...]] = []
    for heard, keys in group:
        for one in heard.measured:
            device, name, at = heard.device, one.property, heard.at
            key = keys.get(name, "")
            value = msgspec.json.encode(one.value).decode()
            rows.append((device, name, at, msgspec.json.encode(key).decode() if one.media else value))
            there = newest.get((device, name))
            if there is None or there[-1] <= at:
                newest[device, name] = (device, name, value, key, one.content_type, at)
    if not rows:
        return
    session.flush()
    _READINGS.insert(session.connection(), rows)
    _NEWEST.insert(session.connection(), list(newest.values()))
    for record in session.identity_map.values():  # those that a caller holds are read anew
        if isinstance(record, LastValue) and (record.device, record.property) in newest:
            session.expire(record)


def look(
    session: Session,
    device: str,
    name: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 1000,
) -> Sequence[Reading]:
    """Return readings of a property, newest first."""
    query = select(Reading).where(Reading.device == device, Reading.property == name)
    if since is not None:
        query = query.where(Reading.at >= since)
    if until is not None:
        query = query.where(Reading.at <= until)
    return session.scalars(query.order_by(Reading.at.desc(), Reading.id.desc()).limit(limit)).all()


class Old(msgspec.Struct, frozen=True):
    """Readings that are older than their type keeps."""

    ids: tuple[int, ...] = ()
    keys: tuple[str, ...] = ()
    """Of their media in the bucket."""


def old(session: Session, now: datetime, limit: int) -> Old:
    """Return at most ``limit`` readings that are to be removed; reads only: it asks once for each property there is."""
    ids: list[int] = []
    keys: list[str] = []
    for device, kind in registry.kinds(session, retired=True).items():
        for name, prop in (*kind.properties.items(), *kind.events.items()):
            found = session.execute(
                select(Reading.id, Reading.value)
                .where(Reading.device == device, Reading.property == name)
                .where(Reading.at < now - timedelta(days=prop.keep_days))
                .limit(limit - len(ids))
            ).all()
            ids += [row.id for row in found]
            keys += [msgspec.json.decode(row.value) for row in found if prop.media]
            if len(ids) >= limit:
                return Old(tuple(ids), tuple(keys))
    return Old(tuple(ids), tuple(keys))


def forget(session: Session, ids: Sequence[int]) -> None:
    """Remove readings, at most some 30,000 at once; their media are gone already."""
    session.execute(delete(Reading).where(Reading.id.in_(ids)))
