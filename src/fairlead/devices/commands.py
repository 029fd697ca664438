"""Commands to devices: asking, what devices answer, and time; rows first, then messages.

Every function that may have something to send returns it; the caller publishes after its commit. A message lost on
the way is sent again with growing distance until the device answered or the command's time is over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from fairlead.devices import arbiter, holds, registry
from fairlead.devices.arbiter import Claim
from fairlead.devices.door import Ack
from fairlead.devices.sending import RESEND_S, Author, Outgoing, fail, payload, send, write
from fairlead.devices.types import SET_MAX, DeviceType, check_command
from fairlead.errors import Invalid, NotFound, Problem
from fairlead.status import CommandStatus, DeviceStatus
from fairlead.store import lookup
from fairlead.store.move import move_to, note
from fairlead.store.records import Command, Device, Hold, LastValue

RESEND_FACTOR = 1.5
RESEND_MAX_S = 60.0
HUMAN_HOLD_S = 3600.0
"""A person's command holds so long unless said."""
WAIT_MAX = timedelta(days=1)
"""A command without an end waits no longer than this for its turn."""
SAME_MOMENT = timedelta(seconds=1)
"""Devices tell the time of a measurement in whole seconds."""
SWEEP_MAX = 500
"""Commands that one sweep ends, and sends again: readings and answers wait for it, and the next follows at once."""
_OPEN = (CommandStatus.SENT, CommandStatus.DELIVERED, CommandStatus.APPLIED)


WHY_MAX = 2000
"""Characters of why a command was refused."""


class Asked(msgspec.Struct, frozen=True):
    command: Command
    outgoing: tuple[Outgoing, ...] = ()


# --- asking -----------------------------------------------------------------------------------------------------------


def ask(
    session: Session,
    device: str,
    values: Mapping[str, Any],
    now: datetime,
    author: Author,
    *,
    hold_until: datetime | None = None,
    timeout_s: float = 5,
    command: str = "",
) -> Asked:
    """Write a command and decide on it; the same id again changes nothing.

    ``hold_until`` None: until it is released (people: ``HUMAN_HOLD_S``). Raises :class:`Invalid` with every value that
    the device's type does not allow.
    """
    if command and (there := session.get(Command, command)) is not None:
        return Asked(there)
    record = _usable(session, device)
    problems = check_command(registry.kind_of(session, record), values)
    if problems:
        raise _refused(device, problems)
    if hold_until is None and author.tier == "human":
        hold_until = now + timedelta(seconds=HUMAN_HOLD_S)
    row = write(session, device, now, author, set=dict(values), hold_until=hold_until, timeout_s=timeout_s, id=command)
    before = holds.claims_of(session, device)
    holds.claim(session, row, before)
    if any(not claim.sent for claim in before):
        holds.replace_own(session, row, now, waiting=True)
    out = holds.settle(session, record, arbiter.alive(before, now), now, f"{row.id} was asked")
    if row.status is CommandStatus.ACCEPTED:
        decision = arbiter.decide(row.id, values, author.tier, holds.holders(session, device, now))
        row.reason = decision.reason if isinstance(decision, arbiter.Wait) else ""
        row.due_at = hold_until or now + WAIT_MAX
        note(session, "command", row.id, row.reason, now)
    return Asked(row, out)


def ask_fresh(
    session: Session, device: str, properties: Sequence[str], now: datetime, author: Author, *, timeout_s: float = 5
) -> Asked:
    """Ask a device for fresh values; the command is observed when all of them came."""
    record = _usable(session, device)
    kind = registry.kind_of(session, record)
    problems = [
        Problem(name, "unknown_property", f"{kind.name} has no readable {name[:60]!r}", f"it has {_readable(kind)}")
        for name in properties
        if (prop := kind.properties.get(name)) is None or not prop.readable
    ]
    if problems or not properties:
        raise _refused(device, tuple(problems) or (Problem("get", "required", "nothing to read"),))
    row = write(session, device, now, author, get=tuple(properties), timeout_s=timeout_s)
    return Asked(row, send(session, row, {}, record, now))


def refuse(
    session: Session, device: str, values: Mapping[str, Any], now: datetime, author: Author, why: str
) -> Command:
    """Write a command that was not allowed, so that it can be seen and explained; ``why`` begins with the cause."""
    kept = dict(values) if len(values) <= SET_MAX else {}  # what is beyond all bounds is told, and not kept
    row = write(session, device, now, author, set=kept)
    fail(session, row, why[:WHY_MAX], now)
    return row


# --- what devices answer ----------------------------------------------------------------------------------------------


def acknowledge(session: Session, device: str, ack: Ack, now: datetime) -> tuple[Outgoing, ...]:
    """Take a device's acknowledgement; one of a command that is over, or another device's, is left aside."""
    row = session.get(Command, ack.id)
    if row is None or row.device != device or row.status not in _OPEN:
        return ()
    if ack.status == "refused":
        fail(session, row, f"refused: {ack.reason[:200] or 'the device gave no reason'}", now)
        mine = session.scalars(select(Hold).where(Hold.command == row.id)).all()
        return holds.drop(session, device, mine, now, "the device refused it")
    row.resend_at = None
    if ack.status == "delivered":
        if row.status is CommandStatus.SENT:
            move_to(session, row, CommandStatus.DELIVERED, _after(row, now), now)
        return ()
    if row.status is not CommandStatus.APPLIED:
        move_to(session, row, CommandStatus.APPLIED, _after(row, now), now)
    kind = registry.kind_of(session, session.get_one(Device, device))
    claims = holds.holders(session, device, now)
    if not row.get and not any(_is_readable(kind, name) for name in _held(row, claims)):
        row.finished_at = now  # it can only be written: nothing more will prove it
    elif row.set and _proven(session, row, kind, claims):
        _observe(session, row, now)
    return ()


def observe(session: Session, device: str, now: datetime) -> None:
    """Look whether the device's last values prove commands that are open; call it after values were recorded."""
    rows = session.scalars(select(Command).where(Command.device == device, Command.finished_at.is_(None))).all()
    if not rows:
        return
    kind = registry.kind_of(session, session.get_one(Device, device))
    claims = holds.holders(session, device, now)
    for row in rows:
        if row.status in _OPEN and _proven(session, row, kind, claims):
            _observe(session, row, now)


# --- time -------------------------------------------------------------------------------------------------------------


def sweep(session: Session, now: datetime) -> tuple[Outgoing, ...]:
    """Let claims end, fail commands whose time is over, and send again what was not answered: of each so much that
    others need not wait long; :func:`next_at` tells that more is left."""
    out = [*holds.expire(session, now), *holds.release_left(session, now)]
    due = select(Command).where(Command.finished_at.is_(None), Command.due_at <= now)
    for row in session.scalars(due.order_by(Command.due_at, Command.id).limit(SWEEP_MAX)).all():
        why = _overdue(session, row)
        if row.status is CommandStatus.ACCEPTED:  # it never held anything, and must not begin to
            session.execute(delete(Hold).where(Hold.command == row.id))
        fail(session, row, why, now)
    again = select(Command).where(Command.finished_at.is_(None), Command.resend_at <= now)
    for row in session.scalars(again.order_by(Command.resend_at, Command.id).limit(SWEEP_MAX)).all():
        out += _send_again(session, row, now)
    session.flush()
    return tuple(out)


def next_at(session: Session) -> datetime | None:
    """Return when :func:`sweep` has something to do, as far as is known now."""
    left = holds.left(session)
    is_open = Command.finished_at.is_(None)
    moments = session.execute(
        select(
            select(func.min(Hold.until)).scalar_subquery(),
            select(func.min(Command.due_at)).where(is_open).scalar_subquery(),
            select(func.min(Command.resend_at)).where(is_open).scalar_subquery(),
        )
    ).one()
    known = (*moments, (left.finished_at or left.starts_at) if left is not None else None)
    return min((moment for moment in known if moment is not None), default=None)


# --- looking ----------------------------------------------------------------------------------------------------------


def show(session: Session, command: str) -> Command:
    """Return the command that ``command``, an id or a unique beginning of one, names."""
    return lookup.show(session, Command, command, code="command_not_found", hint="fairlead devices show DEVICE")


def list_commands(
    session: Session,
    device: str | None = None,
    limit: int = 100,
    *,
    run: str | None = None,
    seen: ColumnElement[bool] | None = None,
) -> Sequence[Command]:
    """Return commands, newest first; ``seen`` says which of them the caller may see."""
    query = select(Command).order_by(Command.created_at.desc(), Command.id.desc()).limit(limit)
    if device is not None:
        query = query.where(Command.device == device)
    if run is not None:
        query = query.where(Command.run == run)
    if seen is not None:
        query = query.where(seen)
    return session.scalars(query).all()


def is_settled(command: Command) -> bool:
    """Whether a caller need not wait any longer: applied, observed or failed."""
    return command.finished_at is not None or command.status is CommandStatus.APPLIED


# --- inside -----------------------------------------------------------------------------------------------------------


def _usable(session: Session, device: str) -> Device:
    record = registry.show_device(session, device)
    if record.status is DeviceStatus.RETIRED:
        raise NotFound(f"{device} is retired", code="device_not_found", hint="fairlead devices lists those in use")
    return record


def _refused(device: str, problems: tuple[Problem, ...]) -> Invalid:
    first = problems[0]
    message = (
        f"{device}: {first.path}: {first.message}" if len(problems) == 1 else f"{device}: {len(problems)} problems"
    )
    return Invalid(message, code="command_invalid", hint=first.hint, problems=problems)


def _readable(kind: DeviceType) -> str:
    return ", ".join(name for name, prop in kind.properties.items() if prop.readable) or "none"


def _is_readable(kind: DeviceType, name: str) -> bool:
    """Whether the device reports ``name``; its type may have another version by now, without it."""
    prop = kind.properties.get(name)
    return prop is not None and prop.readable


def _send_again(session: Session, row: Command, now: datetime) -> tuple[Outgoing, ...]:
    wait_s = min(RESEND_MAX_S, RESEND_S * RESEND_FACTOR**row.epoch)
    row.epoch += 1
    row.resend_at = now + timedelta(seconds=wait_s)
    values = row.set
    if row.set and row.tier != "default":
        # Only what it still holds: another command may have taken one of its properties meanwhile.
        values = arbiter.desired(holds.holders(session, row.device, now)).get(row.id, {})
        if not values:
            return ()
    note(session, "command", row.id, f"sent again (attempt {row.epoch})", now)
    return (payload(row, values),)


def _observe(session: Session, row: Command, now: datetime) -> None:
    move_to(session, row, CommandStatus.OBSERVED, _after(row, now), now, because=row.because)
    row.finished_at = now
    row.resend_at = None


def _after(row: Command, now: datetime) -> str:
    seconds = (now - (row.sent_at or row.created_at)).total_seconds()
    return f"after {seconds * 1000:.0f} ms" if seconds < 1 else f"after {seconds:.1f} s"


def _overdue(session: Session, row: Command) -> str:
    device = session.get_one(Device, row.device)
    match row.status:
        case CommandStatus.ACCEPTED:
            return f"expired: it never had its turn ({row.reason or 'it was not sent'})"
        case CommandStatus.APPLIED:
            waited = ", ".join(row.get or row.set)
            return f"not_observed: {row.device} said applied, but did not report {waited} within {row.timeout_s:g} s"
        case _ if device.status not in (DeviceStatus.ONLINE, DeviceStatus.STALE):
            return f"offline: {row.device} is {device.status}; it is told when it comes online"
        case _:
            return f"no_ack: {row.device} did not answer within {row.timeout_s:g} s"


def _held(row: Command, claims: Sequence[Claim]) -> Mapping[str, Any]:
    """Return what a command sets and holds, which is what it answers for; safe values claim nothing."""
    held: Mapping[str, Any] = row.set
    return arbiter.desired(claims).get(row.id, held)


def _proven(session: Session, row: Command, kind: DeviceType, claims: Sequence[Claim]) -> bool:
    """Whether the last values equal what was set and holds, or all values that were asked for are new.

    What was known before it was sent proves nothing until the device answered: it may have changed while it was away.
    """
    held = _held(row, claims)
    wanted = set(row.get) or {name for name in held if _is_readable(kind, name)}
    last = {
        value.property: value
        for value in session.scalars(
            select(LastValue).where(LastValue.device == row.device, LastValue.property.in_(wanted))
        )
    }
    if not wanted or wanted - last.keys():
        return False
    if row.get:
        return row.sent_at is not None and all(value.at >= row.sent_at for value in last.values())
    if row.status is not CommandStatus.APPLIED and row.sent_at is not None:  # it did not answer yet
        known = min(last[name].at for name in wanted)
        if known < row.sent_at - SAME_MOMENT:
            return False
    return all(arbiter.same(msgspec.json.decode(last[name].value), held[name]) for name in wanted)
