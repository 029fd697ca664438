"""Devices that died while a run goes on: another of the same type takes their place, and the run's history says so."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from fairlead.apps import ground, rebinding, versions
from fairlead.apps.binding import Candidate
from fairlead.apps.rebinding import NoSpare, Swap
from fairlead.apps.runs import Outcome
from fairlead.devices import holds
from fairlead.devices.readings import WENT_OFFLINE
from fairlead.devices.sending import Outgoing
from fairlead.status import DeviceStatus, RunStatus
from fairlead.store.move import note
from fairlead.store.records import AppVersion, Device, Event, Run, Schedule

_log = logging.getLogger(__name__)
GONE_S = 15.0
"""A device that said, or whose last will said, that it went has so long to come back."""
NOT_SEEN_S = 60.0
"""The same for one that was only not there when the platform looked: some connect for each word they say."""
_HAVE = (RunStatus.STARTING, RunStatus.READY)
_THERE = (DeviceStatus.ONLINE, DeviceStatus.STALE)


def replace_gone(session: Session, now: datetime) -> Outcome:
    """Bind another device where one of a live run has been offline for a while; the same again changes nothing."""
    rows = session.scalars(select(Run).where(Run.finished_at.is_(None), Run.status.in_(_HAVE)).order_by(Run.id))
    live = [run for run in rows if run.bindings and not run.stop]
    gone = _gone(session, {device for run in live for bound in run.bindings.values() for device in bound}, now)
    if not gone:
        return Outcome()
    candidates = ground.candidates(session)
    there = frozenset(session.scalars(select(Device.id).where(Device.status.in_(_THERE))))
    out: list[Outgoing] = []
    moved: list[str] = []
    for run in live:
        if not any(device in gone for bound in run.bindings.values() for device in bound):
            continue
        try:
            with session.begin_nested():
                told = _of_run(session, run, candidates, gone, there, now)
        except (OperationalError, InterfaceError):
            raise  # the database itself: nothing of this pass is kept
        except Exception:  # noqa: BLE001 - whatever it is belongs to this run, not to those beside it
            _log.exception("the devices of a run could not be replaced", extra={"run": run.id})
            continue
        if told is not None:
            out += told
            moved.append(run.id)
    return Outcome(tuple(out), moved=tuple(moved))


def _of_run(
    session: Session,
    run: Run,
    candidates: Sequence[Candidate],
    gone: Mapping[str, datetime],
    there: frozenset[str],
    now: datetime,
) -> tuple[Outgoing, ...] | None:
    """Return what the devices that a run lost must be told; None: none was replaced."""
    decided = _decided(session, run, candidates, gone, there)
    for one in decided:
        if isinstance(one, NoSpare):
            _tell(session, run, one, gone[one.gone], now)
    swaps = [one for one in decided if isinstance(one, Swap)]
    told = [out for one in swaps for out in _swap(session, run, one, gone[one.gone], now)]
    return tuple(told) if swaps else None


def _gone(session: Session, bound: Iterable[str], now: datetime) -> dict[str, datetime]:
    """Return the devices that have been offline for so long that another may take their place, and since when."""
    names = sorted(bound)
    if not names:
        return {}
    offline = session.execute(
        select(Device.id, Device.reason).where(Device.status == DeviceStatus.OFFLINE, Device.id.in_(names))
    ).all()
    if not offline:
        return {}
    moves = select(Event.ref, func.max(Event.at)).where(
        Event.kind == "device",
        Event.ref.in_([device for device, _ in offline]),
        Event.status_to == DeviceStatus.OFFLINE.value,
    )
    since = {ref: at for ref, at in session.execute(moves.group_by(Event.ref))}
    found = {}
    for device, reason in offline:
        grace_s = GONE_S if reason == WENT_OFFLINE else NOT_SEEN_S
        if now - since.get(device, now) >= timedelta(seconds=grace_s):
            found[device] = since[device]
    return found


def _decided(
    session: Session, run: Run, candidates: Sequence[Candidate], gone: Mapping[str, datetime], there: frozenset[str]
) -> tuple[Swap | NoSpare, ...]:
    manifest = versions.manifest_of(session.get_one(AppVersion, (run.app, run.version)))
    return rebinding.replace(
        ground.roles_of(manifest),
        run.place,
        run.bindings,
        candidates,
        ground.taken(session, besides=run.id),
        gone=gone,
        there=there,
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


def _tell(session: Session, run: Run, lack: NoSpare, since: datetime, now: datetime) -> None:
    """Note once for each time a device went that nothing takes its place."""
    said = f"{lack.role}: {lack.gone} has been offline since {since:%H:%M:%S} UTC; {lack.why}"
    told = select(Event.id).where(Event.kind == "run", Event.ref == run.id, Event.said == said)
    if session.scalars(told.limit(1)).first() is None:
        note(session, "run", run.id, said, now, because=(f"device {lack.gone}",))
        session.flush()
