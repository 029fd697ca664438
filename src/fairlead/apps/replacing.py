"""Devices that died while a run goes on: another of the same type takes their place, and the run's history says so."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import func, select
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from fairlead.apps import ground, rebinding, versions
from fairlead.apps.binding import Taken
from fairlead.apps.rebinding import NoSpare, Swap
from fairlead.apps.runs import Outcome
from fairlead.devices import holds
from fairlead.devices.readings import WENT_OFFLINE
from fairlead.devices.sending import Outgoing
from fairlead.status import DeviceStatus, RunStatus
from fairlead.store.move import note
from fairlead.store.records import AppVersion, Device, Event, Run, Schedule
from fairlead.store.rows import among, table_of

_log = logging.getLogger(__name__)
GONE_S = 15.0
"""A device that said, or whose last will said, that it went has so long to come back."""
NOT_SEEN_S = 60.0
"""The same for one that was only not there when the platform looked: some connect for each word they say."""
_HAVE = (RunStatus.STARTING, RunStatus.READY)
_THERE = (DeviceStatus.ONLINE, DeviceStatus.STALE)
_OF = ("device", "run", "schedule")
"""Kinds of the journal's entries after which another device may be free, gone or named."""
_DEVICES = table_of(Device)


class Look(msgspec.Struct, frozen=True):
    """What a look at the devices of live runs came to."""

    at: datetime
    seen: int
    """The journal's newest entry then."""
    is_due: bool
    """:func:`replace_gone` has something to do."""
    next_at: datetime | None
    """When the next device has been away for long enough, if nothing else happens."""


def look(session: Session, now: datetime, before: Look | None) -> Look:
    """Return whether there is something to do; reads only.

    What ``before`` found holds until a device, a run or a schedule moves, or the next device is away for too long.
    """
    newest = session.scalar(select(func.max(Event.id))) or 0
    if before is not None and not before.is_due and _holds(session, before, newest, now):
        return msgspec.structs.replace(before, at=now, seen=newest)
    lost = _lost(session, now)
    spares = _Spares(session, lost.gone)
    is_due = any(_has_work(session, run, spares) for run in lost.runs())
    return Look(now, newest, is_due, lost.next_at)


def replace_gone(session: Session, now: datetime) -> Outcome:
    """Bind another device where one of a live run has been offline for a while; the same again changes nothing."""
    lost = _lost(session, now)
    spares = _Spares(session, lost.gone)
    out: list[Outgoing] = []
    moved: list[str] = []
    for run in lost.runs():
        try:
            with session.begin_nested():
                told = _of_run(session, run, spares, now)
        except (OperationalError, InterfaceError):
            raise  # the database itself: nothing of this pass is kept
        except Exception:  # noqa: BLE001 - whatever it is belongs to this run, not to those beside it
            _log.exception("the devices of a run could not be replaced", extra={"run": run.id})
            continue
        if told is not None:
            out += told
            moved.append(run.id)
            spares.forget()
    return Outcome(tuple(out), moved=tuple(moved))


class _Lost(msgspec.Struct, frozen=True):
    """Live runs, and which of their devices have been offline for so long that another may take their place."""

    live: tuple[Run, ...]
    gone: dict[str, datetime]
    """Since when, by device."""
    next_at: datetime | None

    def runs(self) -> Iterator[Run]:
        """Yield those that lost a device."""
        for run in self.live:
            if any(device in self.gone for bound in run.bindings.values() for device in bound):
                yield run


class _Spares:
    """All devices, those that are there and who has which: read where a run lost one, and taken anew after a swap."""

    def __init__(self, session: Session, gone: Mapping[str, datetime]) -> None:
        self._session = session
        self.gone = gone
        if gone:
            self.candidates = ground.candidates(session)
            self.there = frozenset(session.scalars(select(Device.id).where(Device.status.in_(_THERE))))
        self._taken: Mapping[str, Sequence[Taken]] | None = None

    def taken(self, besides: str) -> dict[str, list[Taken]]:
        """Return what runs have, but for one of them."""
        if self._taken is None:
            self._taken = ground.taken(self._session)
        return {device: [one for one in by if one.by != besides] for device, by in self._taken.items()}

    def forget(self) -> None:
        """Read anew who has what: a device was bound."""
        self._taken = None


def _holds(session: Session, before: Look, newest: int, now: datetime) -> bool:
    """Whether a look would find what it found ``before``."""
    if now < before.at or (before.next_at is not None and now >= before.next_at) or newest < before.seen:
        return False
    moved = select(Event.id).where(Event.id > before.seen, Event.id <= newest, Event.kind.in_(_OF))
    return session.scalars(moved.limit(1)).first() is None


def _lost(session: Session, now: datetime) -> _Lost:
    having = select(Run).where(Run.finished_at.is_(None), Run.status.in_(_HAVE))
    rows = session.scalars(having.order_by(*ground.IN_ORDER))
    live = tuple(run for run in rows if run.bindings and not run.stop)
    bound = {device for run in live for devices in run.bindings.values() for device in devices}
    moments = _offline(session, bound) if bound else {}
    gone = {device: since for device, (since, until) in moments.items() if until <= now}
    return _Lost(live, gone, min((until for _, until in moments.values() if until > now), default=None))


def _offline(session: Session, names: Iterable[str]) -> dict[str, tuple[datetime, datetime]]:
    """Return since when those of ``names`` are offline that are, and until when they have to come back."""
    moves = select(Event.at).where(
        Event.kind == "device", Event.ref == Device.id, Event.status_to == DeviceStatus.OFFLINE.value
    )
    since = moves.order_by(Event.id.desc()).limit(1).correlate(Device).scalar_subquery()
    offline = select(Device.id, Device.reason, since).where(
        Device.status == DeviceStatus.OFFLINE, among(session, _DEVICES.c.id, sorted(names))
    )
    return {
        device: (at, at + timedelta(seconds=GONE_S if reason == WENT_OFFLINE else NOT_SEEN_S))
        for device, reason, at in session.execute(offline)
        if at is not None
    }


def _has_work(session: Session, run: Run, spares: _Spares) -> bool:
    try:
        decided = _decided(session, run, spares)
    except (OperationalError, InterfaceError):
        raise
    except Exception:  # noqa: BLE001 - replace_gone meets it too, apart from the other runs, and tells
        return True
    return any(isinstance(one, Swap) or not _is_told(session, run, one, spares.gone[one.gone]) for one in decided)


def _of_run(session: Session, run: Run, spares: _Spares, now: datetime) -> tuple[Outgoing, ...] | None:
    """Return what the devices that a run lost must be told; None: none was replaced."""
    decided = _decided(session, run, spares)
    for one in decided:
        if isinstance(one, NoSpare) and not _is_told(session, run, one, spares.gone[one.gone]):
            note(session, "run", run.id, _words(one, spares.gone[one.gone]), now, because=(f"device {one.gone}",))
            session.flush()
    swaps = [one for one in decided if isinstance(one, Swap)]
    told = [out for one in swaps for out in _swap(session, run, one, spares.gone[one.gone], now)]
    return tuple(told) if swaps else None


def _decided(session: Session, run: Run, spares: _Spares) -> tuple[Swap | NoSpare, ...]:
    manifest = versions.manifest_of(session.get_one(AppVersion, (run.app, run.version)))
    return rebinding.replace(
        ground.roles_of(manifest),
        run.place,
        run.bindings,
        spares.candidates,
        spares.taken(besides=run.id),
        gone=spares.gone,
        there=spares.there,
        fixed=session.get_one(Schedule, run.schedule).bind,
    )


def _swap(session: Session, run: Run, swap: Swap, since: datetime, now: datetime) -> tuple[Outgoing, ...]:
    """Bind the one instead of the other; what the run claimed on the old one is released, for when it comes back."""
    said = f"{swap.role}: {swap.instead} in the place of {swap.gone}, which has been offline since {since:%H:%M:%S} UTC"
    released = holds.release(session, swap.gone, now, f"{run.id} goes on with {swap.instead}", run=run.id)
    bound = tuple(swap.instead if device == swap.gone else device for device in run.bindings[swap.role])
    run.bindings = {**run.bindings, swap.role: bound}
    note(session, "run", run.id, said, now, because=(f"device {swap.gone}",))
    session.flush()
    return released


def _words(lack: NoSpare, since: datetime) -> str:
    return f"{lack.role}: {lack.gone} has been offline since {since:%H:%M:%S} UTC; {lack.why}"


def _is_told(session: Session, run: Run, lack: NoSpare, since: datetime) -> bool:
    """Whether the run's journal says already, of this time that the device went, that nothing takes its place."""
    said = select(Event.id).where(Event.kind == "run", Event.ref == run.id, Event.said == _words(lack, since))
    return session.scalars(said.order_by(Event.id.desc()).limit(1)).first() is not None
