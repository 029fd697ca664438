"""Commands to devices: rows first, then what must be published on ``dev/<device>/cmd`` once they are committed.

Every function that may have something to send returns it; the caller publishes after its commit. A message lost on
the way is sent again with growing distance until the device answered or the command's time is over. Causes of a failed
command open its reason: ``offline``, ``refused``, ``no_ack``, ``not_observed``, ``superseded``, ``expired``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from fairlead import clock, ids
from fairlead.devices import arbiter, registry
from fairlead.devices.arbiter import Claim
from fairlead.devices.door import Ack
from fairlead.devices.types import DeviceType, check_command
from fairlead.errors import Invalid, NotFound, Problem
from fairlead.status import CommandStatus, DeviceStatus
from fairlead.store.move import move_to, note
from fairlead.store.records import Command, Device, Event, Hold, LastValue

RESEND_S = 1.0
RESEND_FACTOR = 1.5
RESEND_MAX_S = 60.0
SAFE_FOR_S = 600.0
"""So long a device is urged to take its safe value."""
HUMAN_HOLD_S = 3600.0
"""A person's command holds so long unless said."""
WAIT_MAX = timedelta(days=1)
"""A command without an end waits no longer than this for its turn."""
_OPEN = (CommandStatus.SENT, CommandStatus.DELIVERED, CommandStatus.APPLIED)


class Outgoing(msgspec.Struct, frozen=True):
    """To be published on ``dev/<device>/cmd`` after the commit."""

    device: str
    payload: bytes


class Asked(msgspec.Struct, frozen=True):
    command: Command
    outgoing: tuple[Outgoing, ...] = ()


class Author(msgspec.Struct, frozen=True):
    """Who asks, and why."""

    tier: str
    user: str = ""
    run: str | None = None
    because: tuple[str, ...] = ()


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
    row = _write(session, device, now, author, set=dict(values), hold_until=hold_until, timeout_s=timeout_s, id=command)
    _replace_own(session, row, now)
    claims = arbiter.alive(_claims(session, device), now)
    decision = arbiter.decide(row.id, values, author.tier, claims)
    session.add_all(_holds(row))
    session.flush()
    if isinstance(decision, arbiter.Wait):
        row.reason = decision.reason
        row.due_at = hold_until or now + WAIT_MAX
        note(session, "command", row.id, decision.reason, now)
        return Asked(row)
    out = _supersede_safe(session, row, now)
    _supersede(session, decision.superseded, row, now)
    return Asked(row, (*out, *_send(session, row, record, now)))


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
    row = _write(session, device, now, author, get=tuple(properties), timeout_s=timeout_s)
    return Asked(row, _send(session, row, record, now))


def refuse(
    session: Session, device: str, values: Mapping[str, Any], now: datetime, author: Author, why: str
) -> Command:
    """Write a command that was not allowed, so that it can be seen and explained; ``why`` begins with the cause."""
    row = _write(session, device, now, author, set=dict(values))
    _fail(session, row, why, now)
    return row


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
    return _drop(session, device, session.scalars(holds).all(), now, reason)


def release_run(session: Session, run: str, now: datetime, reason: str) -> tuple[Outgoing, ...]:
    """Take away every claim of a run, on all devices; nothing happens the second time."""
    out: list[Outgoing] = []
    for device in session.scalars(select(Hold.device).where(Hold.run == run).distinct().order_by(Hold.device)).all():
        out += release(session, device, now, reason, run=run)
    return tuple(out)


# --- what devices answer ----------------------------------------------------------------------------------------------


def acknowledge(session: Session, device: str, ack: Ack, now: datetime) -> tuple[Outgoing, ...]:
    """Take a device's acknowledgement; one of a command that is over, or another device's, is left aside."""
    row = session.get(Command, ack.id)
    if row is None or row.device != device or row.status not in _OPEN:
        return ()
    if ack.status == "refused":
        _fail(session, row, f"refused: {ack.reason[:200] or 'the device gave no reason'}", now)
        holds = session.scalars(select(Hold).where(Hold.command == row.id)).all()
        return _drop(session, device, holds, now, "the device refused it")
    row.resend_at = None
    if ack.status == "delivered":
        if row.status is CommandStatus.SENT:
            move_to(session, row, CommandStatus.DELIVERED, _after(row, "delivered", now), now)
        return ()
    if row.status is not CommandStatus.APPLIED:
        move_to(session, row, CommandStatus.APPLIED, _after(row, "applied", now), now)
    kind = registry.kind_of(session, session.get_one(Device, device))
    if not row.get and not any(kind.properties[name].readable for name in row.set):
        row.finished_at = now  # it can only be written: nothing more will prove it
    elif row.set and _proven(session, row, kind, now):
        _observe(session, row, now)
    return ()


def observe(session: Session, device: str, now: datetime) -> None:
    """Look whether the device's last values prove commands that are open; call it after values were recorded."""
    rows = session.scalars(select(Command).where(Command.device == device, Command.finished_at.is_(None))).all()
    if not rows:
        return
    kind = registry.kind_of(session, session.get_one(Device, device))
    for row in rows:
        if row.status in _OPEN and _proven(session, row, kind, now):
            _observe(session, row, now)


def resend(session: Session, device: str, now: datetime) -> tuple[Outgoing, ...]:
    """Return what a device must be told that came back: all that holds, open questions, and safe values it lacks."""
    record = session.get_one(Device, device)
    claims = arbiter.alive(_claims(session, device), now)
    out = []
    for command, values in arbiter.desired(claims).items():
        row = session.get_one(Command, command)
        out.append(_payload(row, values))
        note(session, "command", command, "sent again: the device came back", now)
    open_rows = session.scalars(
        select(Command).where(Command.device == device, Command.finished_at.is_(None), Command.status.in_(_OPEN))
    ).all()
    held = {claim.command for claim in claims}
    out += [_payload(row, row.set) for row in open_rows if row.id not in held]
    urged = {name for row in open_rows if row.tier == "default" for name in row.set}
    bare = _lacking(session, record, {claim.property for claim in claims if claim.sent} | urged)
    return (*out, *_make_safe(session, record, bare, now, "it came back, and nobody holds it"))


# --- time -------------------------------------------------------------------------------------------------------------


def sweep(session: Session, now: datetime) -> tuple[Outgoing, ...]:
    """Let claims end, fail commands whose time is over, and send again what was not answered."""
    out: list[Outgoing] = []
    ended = session.scalars(select(Hold).where(Hold.until.is_not(None), Hold.until <= now)).all()
    for device in sorted({hold.device for hold in ended}):
        out += _drop(session, device, [hold for hold in ended if hold.device == device], now, "its time is over")
    due = select(Command).where(Command.finished_at.is_(None), Command.due_at <= now)
    for row in session.scalars(due.order_by(Command.id)).all():
        why = _overdue(session, row)
        if row.status is CommandStatus.ACCEPTED:  # it never held anything, and must not begin to
            session.execute(delete(Hold).where(Hold.command == row.id))
        _fail(session, row, why, now)
    again = select(Command).where(Command.finished_at.is_(None), Command.resend_at <= now).order_by(Command.id)
    for row in session.scalars(again).all():
        out += _send_again(session, row, now)
    session.flush()
    return tuple(out)


def next_at(session: Session) -> datetime | None:
    """Return when :func:`sweep` has something to do, as far as is known now."""
    moments = [
        session.scalar(select(func.min(Hold.until))),
        session.scalar(select(func.min(Command.due_at)).where(Command.finished_at.is_(None))),
        session.scalar(select(func.min(Command.resend_at)).where(Command.finished_at.is_(None))),
    ]
    return min((moment for moment in moments if moment is not None), default=None)


def show(session: Session, command: str) -> Command:
    """Return the command that ``command``, an id or a unique beginning of one, names."""
    row = session.get(Command, command)
    if row is None:
        found = session.scalars(select(Command).where(Command.id.startswith(command, autoescape=True)).limit(2)).all()
        if len(found) != 1:
            what = "is ambiguous" if found else "names no command"
            raise NotFound(f"{command[:40]!r} {what}", code="command_not_found", hint="fairlead devices show DEVICE")
        row = found[0]
    return row


def list_commands(
    session: Session, device: str | None = None, limit: int = 100, *, run: str | None = None
) -> Sequence[Command]:
    """Return commands, newest first."""
    query = select(Command).order_by(Command.created_at.desc(), Command.id.desc()).limit(limit)
    if device is not None:
        query = query.where(Command.device == device)
    if run is not None:
        query = query.where(Command.run == run)
    return session.scalars(query).all()


def history(session: Session, command: str) -> Sequence[Event]:
    """Return what happened to a command, in order."""
    return session.scalars(select(Event).where(Event.kind == "command", Event.ref == command).order_by(Event.id)).all()


def holders(session: Session, device: str, now: datetime) -> tuple[Claim, ...]:
    """Return every living claim on a device, those that wait included; ``arbiter.winners`` tells who holds."""
    return arbiter.alive(_claims(session, device), now)


def list_holds(session: Session, device: str) -> Sequence[Hold]:
    """Return all claims on a device, by property, those that were made last first."""
    return session.scalars(select(Hold).where(Hold.device == device).order_by(Hold.property, Hold.since.desc())).all()


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


def _write(
    session: Session,
    device: str,
    now: datetime,
    author: Author,
    *,
    set: dict[str, Any] | None = None,
    get: tuple[str, ...] = (),
    hold_until: datetime | None = None,
    timeout_s: float = 5,
    id: str = "",
) -> Command:
    row = Command(
        id=id or ids.new("cmd"),
        device=device,
        set=set or {},
        get=get,
        tier=author.tier,
        run=author.run,
        user=author.user,
        because=author.because,
        hold_until=hold_until,
        timeout_s=timeout_s,
        due_at=now + timedelta(seconds=timeout_s),
        created_at=now,
    )
    session.add(row)
    said = f"{words(row)}, tier {author.tier}"
    by = "" if author.run else author.user
    note(session, "command", row.id, said, now, because=author.because, by=by, status=CommandStatus.ACCEPTED)
    session.flush()
    return row


def words(row: Command) -> str:
    """Return what a command does, e.g. ``on = true``."""
    if row.get:
        return f"read {', '.join(row.get)}"
    return ", ".join(f"{name} = {msgspec.json.encode(value).decode()}" for name, value in row.set.items())


def _holds(row: Command) -> Iterable[Hold]:
    for name, value in row.set.items():
        yield Hold(
            command=row.id,
            property=name,
            device=row.device,
            value=msgspec.json.encode(value).decode(),
            tier=row.tier,
            run=row.run,
            user=row.user,
            since=row.created_at,
            until=row.hold_until,
        )


def _claims(session: Session, device: str) -> tuple[Claim, ...]:
    rows = session.execute(
        select(Hold, Command.status).join(Command, Command.id == Hold.command).where(Hold.device == device)
    )
    return tuple(
        Claim(
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
        for hold, status in rows
    )


def _replace_own(session: Session, row: Command, now: datetime) -> None:
    """Drop earlier claims of the same author that end no later: they could never come back, and would pile up."""
    mine = select(Hold).where(
        Hold.device == row.device, Hold.tier == row.tier, Hold.run == row.run, Hold.property.in_(row.set)
    )
    if row.run is None:
        mine = select(Hold).where(
            Hold.device == row.device,
            Hold.tier == row.tier,
            Hold.run.is_(None),
            Hold.user == row.user,
            Hold.property.in_(row.set),
        )
    for hold in session.scalars(mine).all():
        if row.hold_until is None or (hold.until is not None and hold.until <= row.hold_until):
            _lose(session, hold, now, f"superseded: by {row.id}", besides=row.set)
    session.flush()


def _lose(session: Session, hold: Hold, now: datetime, why: str, *, besides: Iterable[str] = ()) -> None:
    """Delete a claim; its command, when still open, ends with the last of its claims."""
    left = session.scalars(
        select(Hold.property).where(Hold.command == hold.command, Hold.property != hold.property)
    ).all()
    session.delete(hold)
    if not left:
        owner = session.get_one(Command, hold.command)
        if owner.finished_at is None:
            _fail(session, owner, why, now)
    session.flush()


def _supersede(session: Session, commands: Iterable[str], by: Command, now: datetime) -> None:
    """End commands that hold nothing any more and were not observed yet; their claims stay, to come back."""
    for command in commands:
        row = session.get_one(Command, command)
        if row.finished_at is None:
            who = by.run or by.user or "the platform"
            _fail(session, row, f"superseded: {who} ({by.tier}) set {words(by)}", now)


def _supersede_safe(session: Session, by: Command, now: datetime) -> tuple[Outgoing, ...]:
    """End safe values that are still urged on properties which ``by`` now sets; the others are urged on."""
    urged = select(Command).where(
        Command.device == by.device, Command.tier == "default", Command.finished_at.is_(None), Command.id != by.id
    )
    out: list[Outgoing] = []
    for row in session.scalars(urged).all():
        rest = {name: value for name, value in row.set.items() if name not in by.set}
        if len(rest) < len(row.set):
            _fail(session, row, f"superseded: {by.id} sets it", now)
            out += _make_safe(
                session, session.get_one(Device, row.device), rest, now, row.because[0] if row.because else ""
            )
    return tuple(out)


def _send(session: Session, row: Command, device: Device, now: datetime) -> tuple[Outgoing, ...]:
    if device.status is DeviceStatus.OFFLINE and row.tier != "default":
        since = f" since {device.last_seen_at:%Y-%m-%d %H:%M:%S} UTC" if device.last_seen_at else ""
        _fail(session, row, f"offline: {device.id} is offline{since}; it is told when it comes back", now)
        return ()
    move_to(session, row, CommandStatus.SENT, "sent", now)
    row.epoch += 1
    row.sent_at = now
    row.due_at = now + timedelta(seconds=row.timeout_s)
    row.resend_at = now + timedelta(seconds=RESEND_S)
    return (_payload(row, row.set),)


def _send_again(session: Session, row: Command, now: datetime) -> tuple[Outgoing, ...]:
    wait_s = min(RESEND_MAX_S, RESEND_S * RESEND_FACTOR**row.epoch)
    row.epoch += 1
    row.resend_at = now + timedelta(seconds=wait_s)
    values = row.set
    if row.set and row.tier != "default":
        # Only what it still holds: another command may have taken one of its properties meanwhile.
        values = arbiter.desired(arbiter.alive(_claims(session, row.device), now)).get(row.id, {})
        if not values:
            return ()
    note(session, "command", row.id, f"sent again, {row.epoch}. time", now)
    return (_payload(row, values),)


def _payload(row: Command, values: Mapping[str, Any]) -> Outgoing:
    body: dict[str, Any] = {"id": row.id}
    if row.get:
        body["get"] = list(row.get)
    else:
        body["set"] = dict(values)
        if row.hold_until is not None:
            body["until"] = clock.to_text(row.hold_until)
    return Outgoing(row.device, msgspec.json.encode(body))


def _fail(session: Session, row: Command, why: str, now: datetime) -> None:
    move_to(session, row, CommandStatus.FAILED, why, now, because=row.because)
    row.finished_at = now
    row.resend_at = None


def _observe(session: Session, row: Command, now: datetime) -> None:
    move_to(session, row, CommandStatus.OBSERVED, _after(row, "observed", now), now, because=row.because)
    row.finished_at = now
    row.resend_at = None


def _after(row: Command, what: str, now: datetime) -> str:
    seconds = (now - (row.sent_at or row.created_at)).total_seconds()
    return f"{what} after {seconds * 1000:.0f} ms" if seconds < 1 else f"{what} after {seconds:.1f} s"


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


def _proven(session: Session, row: Command, kind: DeviceType, now: datetime) -> bool:
    """Whether the last values equal what was set, or all values that were asked for are new."""
    wanted = set(row.get) or {name for name in row.set if kind.properties[name].readable}
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
    return all(arbiter.same(msgspec.json.decode(last[name].value), row.set[name]) for name in wanted)


def _drop(session: Session, device: str, holds: Sequence[Hold], now: datetime, reason: str) -> tuple[Outgoing, ...]:
    """Delete claims and tell the device what holds instead."""
    if not holds:
        return ()
    before = _claims(session, device)
    for hold in holds:
        owner = session.get_one(Command, hold.command)
        cause = "expired" if owner.status is CommandStatus.ACCEPTED else "superseded"
        _lose(session, hold, now, f"{cause}: {reason}")
    after = arbiter.alive(_claims(session, device), now)
    record = session.get_one(Device, device)
    safe = _safe_values(registry.kind_of(session, record))
    change = arbiter.settle(before, after, safe)
    out: list[Outgoing] = []
    for claim in change.back:
        row = session.get_one(Command, claim.command)
        note(session, "command", row.id, f"holds {claim.property} again: {reason}", now)
        out.append(_payload(row, {claim.property: claim.value}))
    for command in change.enter:
        row = session.get_one(Command, command)
        out += _supersede_safe(session, row, now)
        out += _send(session, row, record, now)
    return (*out, *_make_safe(session, record, change.safe, now, f"nobody holds it: {reason}"))


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
    row = _write(session, device.id, now, author, set=dict(values), timeout_s=SAFE_FOR_S)
    return _send(session, row, device, now)
