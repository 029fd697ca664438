"""What was measured, kept: the newest value of each property, and history until :mod:`thinning` thins it out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

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
_DEVICE, _PROPERTY = itemgetter(0), itemgetter(1)
"""Of a row."""


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
    _READINGS.insert(session.connection(), _as_the_index_lies(rows))
    _NEWEST.insert(session.connection(), _as_the_index_lies(newest.values()))
    for record in session.identity_map.values():  # those that a caller holds are read anew
        if isinstance(record, LastValue) and (record.device, record.property) in newest:
            session.expire(record)


def _as_the_index_lies(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return rows by device and property, each property's own in order. Twice by a text: pairs take twice as long."""
    return sorted(sorted(rows, key=_PROPERTY), key=_DEVICE)


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
