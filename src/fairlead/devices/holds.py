"""Who holds a device's properties, on records: claims that come, go and end, and safe values where nobody holds.

:mod:`~fairlead.devices.arbiter` decides; what must be published is returned, for after the commit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fairlead.devices import arbiter, registry
from fairlead.devices.arbiter import Claim
from fairlead.devices.sending import RESEND_S, Author, Outgoing, fail, payload, send, words, write
from fairlead.devices.types import DeviceType
from fairlead.status import CommandStatus, DeviceStatus, RunStatus
from fairlead.store.move import note
from fairlead.store.records import Command, Device, Hold, LastValue, Run

URGE_S = 600.0
"""So long a device is urged to take its safe value, or what holds again."""
DEVICES_MAX = 50
"""Devices whose claims one transaction ends: readings and jobs wait for it. What is left is for the next sweep."""
_OPEN = (CommandStatus.SENT, CommandStatus.DELIVERED, CommandStatus.APPLIED)


def release(
    session: Session,
    device: str,
    now: datetime,
    reason: str,
    *,
    run: str | None = None,
    user: str | None = None,
    properties: Sequence[str] = (),
) -> tuple[Outgoing, ...]:
    """Take away what a run, or a person, claims on a device; earlier claims come back, else the safe values."""
    holds = select(Hold).where(Hold.device == device)
    if run is not None:
        holds = holds.where(Hold.run == run)
    if user is not None:
        holds = holds.where(Hold.user == user, Hold.tier == "human")
    if properties:
        holds = holds.where(Hold.property.in_(properties))
    return drop(session, device, session.scalars(holds).all(), now, reason)


def release_run(session: Session, run: str, now: datetime, reason: str) -> tuple[Outgoing, ...]:
    """Take away the claims of a run; on all but :data:`DEVICES_MAX` devices :func:`release_left` does so."""
    out: list[Outgoing] = []
    devices = select(Hold.device).where(Hold.run == run).distinct().order_by(Hold.device)
    for device in session.scalars(devices.limit(DEVICES_MAX)).all():
        out += release(session, device, now, reason, run=run)
    return tuple(out)


def release_left(session: Session, now: datetime) -> tuple[Outgoing, ...]:
    """Take away more of the claims that a run left when it ended, or began to stop."""
    run = left(session)
    return release_run(session, run.id, now, f"the run ended: {run.reason}") if run is not None else ()


def left(session: Session) -> Run | None:
    """Return a run that claims devices still, though it ended or began to stop."""
    claiming = select(Hold.run).where(Hold.run.is_not(None)).distinct()
    over = Run.finished_at.is_not(None) | (Run.status == RunStatus.STOPPING)
    return session.scalars(select(Run).where(Run.id.in_(claiming), over).order_by(Run.id).limit(1)).first()


def expire(session: Session, now: datetime) -> tuple[Outgoing, ...]:
    """Take away claims whose time is over, of :data:`DEVICES_MAX` devices: first where it has been over for longest."""
    over = Hold.until.is_not(None) & (Hold.until <= now)
    devices = select(Hold.device).where(over).group_by(Hold.device).order_by(func.min(Hold.until), Hold.device)
    found: dict[str, list[Hold]] = {device: [] for device in session.scalars(devices.limit(DEVICES_MAX))}
    for hold in session.scalars(select(Hold).where(over, Hold.device.in_(found))) if found else ():
        found[hold.device].append(hold)
    return tuple(
        [out for device, ended in found.items() for out in drop(session, device, ended, now, "its time is over")]
    )


def claim(session: Session, row: Command, before: Collection[Claim]) -> None:
    """Claim what a command sets, later than all that is claimed there (``before``); while it is accepted the claims
    wait.

    The clock may stand still or have been set back: what is written last is what was asked last.
    """
    newest = max((one.since for one in before), default=None)
    since = row.created_at if newest is None else max(row.created_at, newest + timedelta(microseconds=1))
    for name, value in row.set.items():
        session.add(
            Hold(
                command=row.id,
                property=name,
                device=row.device,
                value=msgspec.json.encode(value).decode(),
                tier=row.tier,
                run=row.run,
                user=row.user,
                since=since,
                until=row.hold_until,
            )
        )
    session.flush()


def replace_own(session: Session, row: Command, now: datetime, *, waiting: bool = False) -> None:
    """Drop earlier claims of the same author that end no later: they could never come back, and would pile up.

    With ``waiting`` only those of commands that wait themselves: one that holds does so until ``row`` enters.
    """
    own = session.execute(select(Hold.property, Hold.since).where(Hold.command == row.id)).all()
    mine = select(Hold).where(
        Hold.device == row.device,
        Hold.tier == row.tier,
        Hold.run.is_(None) & (Hold.user == row.user) if row.run is None else Hold.run == row.run,
        Hold.property.in_([name for name, _ in own]),
        Hold.since < min(since for _, since in own),
    )
    if waiting:
        mine = mine.join(Command, Command.id == Hold.command).where(Command.status == CommandStatus.ACCEPTED)
    for hold in session.scalars(mine).all():
        if row.hold_until is None or (hold.until is not None and hold.until <= row.hold_until):
            _lose(session, hold, now, f"superseded: by {row.id}")
    session.flush()


def drop(session: Session, device: str, holds: Sequence[Hold], now: datetime, reason: str) -> tuple[Outgoing, ...]:
    """Delete claims and tell the device what holds instead."""
    if not holds:
        return ()
    dropped = {(hold.command, hold.property) for hold in holds}
    before = claims_of(session, device)
    before = tuple(one for one in before if (one.command, one.property) in dropped or arbiter.alive([one], now))
    for hold in holds:
        owner = session.get_one(Command, hold.command)
        cause = "expired" if owner.status is CommandStatus.ACCEPTED else "superseded"
        _lose(session, hold, now, f"{cause}: {reason}")
    return settle(session, session.get_one(Device, device), before, now, reason)


def settle(
    session: Session, device: Device, before: Sequence[Claim], now: datetime, reason: str
) -> tuple[Outgoing, ...]:
    """Tell the device what holds, after its claims went from ``before`` to what its rows say now.

    Commands that waited enter where nobody above holds any more; safe values are urged where nobody holds at all.
    """
    after = arbiter.alive(claims_of(session, device.id), now)
    change = arbiter.settle(before, after, _safe_values(registry.kind_of(session, device)))
    out: list[Outgoing] = []
    out += _tell_again(session, device, change.back, now, reason)
    for command, values in change.enter.items():
        row = session.get_one(Command, command)
        replace_own(session, row, now)
        out += _supersede_safe(session, row, values, now)
        out += send(session, row, values, device, now)
    for command, by in change.superseded.items():
        _supersede(session, session.get_one(Command, command), session.get_one(Command, by), now)
    return (*out, *_make_safe(session, device, change.safe, now, f"nobody holds it: {reason}"))


def resend(session: Session, device: str, now: datetime) -> tuple[Outgoing, ...]:
    """Return what a device must be told that came back: all that holds, open questions, and safe values it lacks."""
    record = session.get_one(Device, device)
    claims = arbiter.alive(claims_of(session, device), now)
    out: list[Outgoing] = []
    over: list[Claim] = []
    for command, values in arbiter.desired(claims).items():
        row = session.get_one(Command, command)
        if row.finished_at is not None:  # nothing would send it a second time
            over += [claim for claim in arbiter.winners(claims).values() if claim.command == command]
            continue
        row.epoch, row.resend_at = 1, now + timedelta(seconds=RESEND_S)
        if row.origin is not None:
            row.due_at = now + timedelta(seconds=row.timeout_s)
        out.append(payload(row, values))
        note(session, "command", command, "sent again: the device came back", now)
    out += _tell_again(session, record, over, now, "the device came back")
    open_rows = session.scalars(
        select(Command).where(Command.device == device, Command.finished_at.is_(None), Command.status.in_(_OPEN))
    ).all()
    held = {claim.command for claim in holders(session, device, now)}
    for row in open_rows:
        if row.id not in held:
            row.epoch, row.resend_at = 1, now + timedelta(seconds=RESEND_S)
            out.append(payload(row, row.set))
    urged = {name for row in open_rows if row.tier == "default" for name in row.set}
    bare = _lacking(session, record, {claim.property for claim in claims if claim.sent} | urged)
    return (*out, *_make_safe(session, record, bare, now, "it came back, and nobody holds it"))


def lacking_safe(session: Session, devices: Collection[str]) -> set[str]:
    """Return those of ``devices`` that show another value than the safe one of some property, whoever holds it."""
    safe = {key: values for key, kind in registry.types_of(session).items() if (values := _safe_values(kind))}
    if not safe:
        return set()
    names = {name for values in safe.values() for name in values}
    query = (
        select(LastValue.device, LastValue.property, LastValue.value, Device.type, Device.type_version)
        .join(Device, Device.id == LastValue.device)
        .where(LastValue.device.in_(devices), LastValue.property.in_(names))
    )
    return {
        device
        for device, name, value, kind, version in session.execute(query)
        if name in safe.get((kind, version), ())
        and not arbiter.same(msgspec.json.decode(value), safe[kind, version][name])
    }


def claims_of(session: Session, device: str) -> tuple[Claim, ...]:
    """Return every claim on a device, those that wait and those whose time is over included."""
    rows = session.execute(
        select(Hold, Command.status).join(Command, Command.id == Hold.command).where(Hold.device == device)
    )
    return tuple(claim_of(hold, status) for hold, status in rows)


def claim_of(hold: Hold, status: CommandStatus) -> Claim:
    """Return a claim out of its row and the status of its command."""
    return Claim(
        command=hold.command,
        property=hold.property,
        value=msgspec.json.decode(hold.value),
        tier=hold.tier,
        since=hold.since,
        until=hold.until,
        sent=status is not CommandStatus.ACCEPTED,
        run=hold.run,
        user=hold.user,
    )


def holders(session: Session, device: str, now: datetime) -> tuple[Claim, ...]:
    """Return every living claim on a device, those that wait included; ``arbiter.winners`` tells who holds."""
    return arbiter.alive(claims_of(session, device), now)


def _tell_again(
    session: Session, device: Device, claims: Iterable[Claim], now: datetime, reason: str
) -> tuple[Outgoing, ...]:
    """Have claims hold again: each command's as one of its own, which is sent until the device answers.

    The command that made the claim may long be over, so nothing would repeat it, nor tell what became of it.
    """
    again: dict[str, list[Claim]] = {}
    for claim in claims:
        again.setdefault(claim.command, []).append(claim)
    out: list[Outgoing] = []
    for command, own in again.items():
        row = session.get_one(Command, command)
        first = row.origin or row.id
        author = Author(row.tier, row.user, row.run, (f"command {first} holds again: {reason}",))
        values = {claim.property: claim.value for claim in own}
        told = write(
            session, device.id, now, author, set=values, hold_until=row.hold_until, timeout_s=URGE_S, origin=first
        )
        note(session, "command", row.id, f"holds {', '.join(values)} again: {reason}, told as {told.id}", now)
        for hold in session.scalars(select(Hold).where(Hold.command == row.id, Hold.property.in_(values))).all():
            hold.command = told.id
        out += send(session, told, values, device, now)
    session.flush()
    return tuple(out)


def _lose(session: Session, hold: Hold, now: datetime, why: str) -> None:
    """Delete a claim; its command, when still open, ends with the last of its claims."""
    left = session.scalars(
        select(Hold.property).where(Hold.command == hold.command, Hold.property != hold.property)
    ).all()
    session.delete(hold)
    if not left:
        owner = session.get_one(Command, hold.command)
        if owner.finished_at is None:
            fail(session, owner, why, now)
    session.flush()


def _supersede(session: Session, row: Command, by: Command, now: datetime) -> None:
    """End a command that holds nothing and was not observed yet; its claims stay, to come back."""
    if row.finished_at is None:
        who = by.run or by.user or "the platform"
        fail(session, row, f"superseded: {who} ({by.tier}) set {words(by)}", now)


def _supersede_safe(session: Session, by: Command, values: Mapping[str, Any], now: datetime) -> tuple[Outgoing, ...]:
    """End safe values still urged on properties that ``by`` takes with ``values``; the others are urged on."""
    urged = select(Command).where(
        Command.device == by.device, Command.tier == "default", Command.finished_at.is_(None), Command.id != by.id
    )
    out: list[Outgoing] = []
    for row in session.scalars(urged).all():
        rest = {name: value for name, value in row.set.items() if name not in values}
        if len(rest) < len(row.set):
            fail(session, row, f"superseded: {by.id} sets it", now)
            out += _make_safe(
                session, session.get_one(Device, row.device), rest, now, row.because[0] if row.because else ""
            )
    return tuple(out)


def _safe_values(kind: DeviceType) -> dict[str, Any]:
    return {name: prop.safe for name, prop in kind.properties.items() if prop.safe is not msgspec.UNSET}


def _lacking(session: Session, device: Device, held: set[str]) -> dict[str, Any]:
    """Return the safe values of properties that nobody holds and that say otherwise."""
    safe = _safe_values(registry.kind_of(session, device))
    last = {
        value.property: msgspec.json.decode(value.value)
        for value in session.scalars(select(LastValue).where(LastValue.device == device.id))
    }
    return {
        name: value
        for name, value in safe.items()
        if name not in held and name in last and not arbiter.same(last[name], value)
    }


def _make_safe(
    session: Session, device: Device, values: Mapping[str, Any], now: datetime, why: str
) -> tuple[Outgoing, ...]:
    if not values or device.status is DeviceStatus.RETIRED:
        return ()
    author = Author("default", because=(why,))
    row = write(session, device.id, now, author, set=dict(values), timeout_s=URGE_S)
    return send(session, row, row.set, device, now)
