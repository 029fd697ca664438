"""Readings that are older than their type keeps become sums of hours, and these go once they are too old as well.

A reading is added to its hour by the transaction that removes it: it counts once, whenever the power goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.orm import Session

from fairlead.devices import registry, sums
from fairlead.devices.sums import Sum
from fairlead.devices.types import Property
from fairlead.store.records import Reading, ReadingHour

_LONGEST_DAYS = 36_600.0
"""A century: of types that were registered before their numbers had bounds."""
_UNKNOWN = Property(schema={})
"""Of what a type has no more: kept as long as what says nothing else."""
_KEYS_MAX = 300
"""Hours that are asked for at once."""
_Hour = tuple[str, str, datetime]


class Old(msgspec.Struct, frozen=True):
    """Readings that are older than their type keeps."""

    ids: tuple[int, ...] = ()
    keys: tuple[str, ...] = ()
    """Of their media in the bucket."""
    device: str = ""
    """Where to go on looking; empty: that was all."""


def old(session: Session, now: datetime, limit: int, device: str = "") -> Old:
    """Return at most ``limit`` readings that are to be removed, of ``device`` and those after it; reads only."""
    ids: list[int] = []
    keys: list[str] = []
    kinds = registry.kinds(session, retired=True)
    for name in sorted(one for one in kinds if one >= device):
        for prop, oldest in _reported(session, name):
            kept = (kinds[name].find(prop) or _UNKNOWN).keep_days
            before = now - timedelta(days=min(kept, _LONGEST_DAYS))
            if oldest >= before:
                continue
            found = session.execute(
                select(Reading.id, Reading.value)
                .where(Reading.device == name, Reading.property == prop, Reading.at < before)
                .order_by(Reading.at)
                .limit(limit - len(ids))
            ).all()
            ids += [row.id for row in found]
            keys += [msgspec.json.decode(row.value) for row in found if _is_media(name, prop, row.value)]
            if len(ids) >= limit:
                return Old(tuple(ids), tuple(keys), name)
    return Old(tuple(ids), tuple(keys))


def thin(session: Session, ids: Sequence[int], *, since: datetime | None) -> int:
    """Remove readings, some thousands at most, and add them to their hours; return how many there were.

    Their media are gone already. ``since``: hours before are not kept any more; None: none is kept.
    """
    columns = select(Reading.device, Reading.property, Reading.at, Reading.value)
    rows = session.execute(columns.where(Reading.id.in_(ids)).order_by(Reading.at, Reading.id)).all()
    hours: dict[_Hour, Sum] = {}
    for device, prop, at, value in rows:
        hour = sums.begin_of(at, sums.HOUR_S)
        if _is_media(device, prop, value) or since is None or hour < since:
            continue
        key, one = (device, prop, hour), sums.sum_one(at, value)
        there = hours.get(key)
        hours[key] = one if there is None else sums.add(there, one)
    _add(session, hours)
    session.execute(delete(Reading).where(Reading.id.in_(ids)))
    return len(rows)


def forget_hours(session: Session, before: datetime) -> bool:
    """Remove the oldest hour of all properties where it is over ``before``; return whether there was one."""
    oldest = session.scalar(select(func.min(ReadingHour.at)))
    if oldest is None or oldest >= before:
        return False
    session.execute(delete(ReadingHour).where(ReadingHour.at == oldest))
    return True


def sum_of(hour: ReadingHour) -> Sum:
    """Return the sum that a record keeps."""
    return Sum(**{name: getattr(hour, name) for name in Sum.__struct_fields__})


def _add(session: Session, hours: Mapping[_Hour, Sum]) -> None:
    key = tuple_(ReadingHour.device, ReadingHour.property, ReadingHour.at)
    there: dict[_Hour, ReadingHour] = {}
    for some in _portions(list(hours), _KEYS_MAX):
        for hour in session.scalars(select(ReadingHour).where(key.in_(some))):
            there[hour.device, hour.property, hour.at] = hour
    for (device, prop, at), more in hours.items():
        known = there.get((device, prop, at))
        if known is None:
            session.add(ReadingHour(device=device, property=prop, at=at, **msgspec.structs.asdict(more)))
            continue
        for name, value in msgspec.structs.asdict(sums.add(sum_of(known), more)).items():
            setattr(known, name, value)
    session.flush()


def _is_media(device: str, prop: str, value: str) -> bool:
    """Whether the value of a reading is the key of its bytes in the bucket."""
    return value.startswith(f'"media/{device}/{prop}/')


def _reported(session: Session, device: str) -> Iterator[tuple[str, datetime]]:
    """Yield which properties a device has readings of, also those that its type has no more, and the oldest's moment.

    From one to the next by the index: there are many readings of each.
    """
    query = select(Reading.property, Reading.at).where(Reading.device == device)
    query = query.order_by(Reading.property, Reading.at).limit(1)
    row = session.execute(query).first()
    while row is not None:
        yield row.property, row.at
        row = session.execute(query.where(Reading.property > row.property)).first()


def _portions(keys: Sequence[_Hour], most: int) -> Iterator[Sequence[_Hour]]:
    for start in range(0, len(keys), most):
        yield keys[start : start + most]
