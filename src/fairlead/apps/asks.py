"""What runs ask control for through their keeper: commands, fresh values, state, mail. Each ask is held against what
the run may do: its devices, its window."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from fairlead import clock
from fairlead.apps import versions
from fairlead.apps.letters import Letter
from fairlead.devices import commands, holds, readings, registry
from fairlead.devices.commands import Asked
from fairlead.devices.sending import Author, Outgoing
from fairlead.errors import Conflict, Forbidden, Invalid, NotFound
from fairlead.messages import CommandAsk, FreshAsk, MailAsk, ReadingsAsk, ReleaseAsk, StateGet, StatePut
from fairlead.sdk.wire import STATE_MAX_BYTES, CommandState, Measure, Stored
from fairlead.status import RunStatus
from fairlead.store.records import AppVersion, Command, LastValue, Run, RunState, Schedule

STATE_KEYS_MAX = 1000
BECAUSES_MAX = 20
"""Causes of a command that are kept: the newest."""
BECAUSE_MAX = 500
"""Characters of a cause."""
HOLD_MAX_S = 366 * 24 * 3600.0


def command(session: Session, ask: CommandAsk, now: datetime) -> Asked:
    """Write and decide a command of a run; what it may not do is a failed command with its reason, never lost."""
    run = _live(session, ask.run)
    tier = _tier(session, run, ask.role, ask.device)
    causes = tuple(text[:BECAUSE_MAX] for text in ask.because[-BECAUSES_MAX:])
    author = Author(tier, run.user, run.id, causes)
    if ask.command and (there := session.get(Command, ask.command)) is not None:
        if there.run != run.id:
            hint = "leave the id out: one is made"
            raise Conflict(f"{ask.command} is another run's command", code="command_taken", hint=hint)
        return Asked(there)
    if ask.hold_s is not None and not 0 < ask.hold_s <= HOLD_MAX_S:
        refusal = f"refused: hold_s {ask.hold_s:g} is not above 0 and up to {HOLD_MAX_S:g}"
        return Asked(commands.refuse(session, ask.device, ask.set, now, author, refusal))
    until = run.ends_at
    if ask.hold_s is not None:
        until = min(now + timedelta(seconds=ask.hold_s), until) if until else now + timedelta(seconds=ask.hold_s)
    try:
        return commands.ask(
            session,
            ask.device,
            ask.set,
            now,
            author,
            hold_until=until,
            timeout_s=ask.timeout_s,
            command=ask.command,
        )
    except Invalid as error:
        said = "; ".join(f"{problem.path}: {problem.message}" for problem in error.problems) or error.message
        return Asked(commands.refuse(session, ask.device, ask.set, now, author, f"refused: {said}"))


def state_of(row: Command) -> CommandState:
    """Return a command as the SDK reads it."""
    return CommandState(row.id, row.status.value, row.reason or None, row.device)


def shown(session: Session, run: str, command_id: str) -> Command:
    """Return a run's own command."""
    row = commands.show(session, command_id)
    if row.run != run:
        raise NotFound(
            f"there is no command {command_id[:40]!r}", code="command_not_found", hint="a run sees its own alone"
        )
    return row


def release(session: Session, ask: ReleaseAsk, now: datetime) -> tuple[Outgoing, ...]:
    run = _any(session, ask.run)
    _bound(run, ask.role, ask.device)
    return holds.release(session, ask.device, now, f"{run.id} released it", run=run.id, properties=ask.properties)


def fresh(session: Session, ask: FreshAsk, now: datetime) -> Asked:
    """Ask a device of the run for fresh values."""
    run = _live(session, ask.run)
    tier = _tier(session, run, ask.role, ask.device)
    return commands.ask_fresh(session, ask.device, ask.properties, now, Author(tier, run.user, run.id))


def last_values(session: Session, ask: ReadingsAsk, now: datetime) -> tuple[tuple[Measure, str], ...]:
    """Return the last values of devices of a run, each with the key of its media in the bucket (or nothing)."""
    run = _any(session, ask.run)
    mine = {device for devices in run.bindings.values() for device in devices}
    found: list[tuple[Measure, str]] = []
    for device in ask.devices:
        if device not in mine:
            raise Forbidden(f"{device} is not of {run.id}", code="not_bound", hint="devices of the run only")
        fresh_s = readings.fresh_of(registry.kind_of(session, registry.show_device(session, device)))
        values = readings.last(session, device)
        found += [(_measure(value, fresh_s.get(value.property), now), value.media_key) for value in values]
    return tuple(found)


def _measure(value: LastValue, fresh_s: float | None, now: datetime) -> Measure:
    return Measure(
        device=value.device,
        property=value.property,
        at=clock.to_text(value.at),
        value=msgspec.json.decode(value.value),
        content_type=value.content_type,
        stale=fresh_s is not None and (now - value.at).total_seconds() > fresh_s,
    )


def state_get(session: Session, ask: StateGet) -> Stored | None:
    """Return what the schedule of the run keeps under a key."""
    run = _any(session, ask.run)
    row = session.get(RunState, (run.schedule, ask.key))
    return None if row is None else Stored(msgspec.json.decode(row.value), row.version)


def state_put(session: Session, ask: StatePut, now: datetime) -> Stored:
    """Keep a value; raises :class:`Conflict` when ``if_version`` is not what is there (0: nothing).

    A run that stops may still keep what it knows: ``@app.stop`` is for that.
    """
    run = _any(session, ask.run)
    if run.status is not RunStatus.STOPPING:
        run = _live(session, ask.run)
    if len(ask.value) > STATE_MAX_BYTES:
        message = f"{ask.key[:60]}: {len(ask.value)} bytes are more than {STATE_MAX_BYTES}"
        raise Invalid(message, code="state_too_large", hint="keep large things in app.files")
    if not ask.key or len(ask.key) > 200:
        raise Invalid("a key has 1 to 200 characters", code="key_invalid", hint="give it a short name")
    try:
        value = msgspec.json.decode(ask.value)
    except msgspec.DecodeError as error:
        raise Invalid("the value is no JSON", code="not_json", hint='a text has quotes: "on"') from error
    row = session.get(RunState, (run.schedule, ask.key))
    there = row.version if row else 0
    if ask.if_version is not None and ask.if_version != there:
        message = f"{ask.key[:60]} is at version {there}, not {ask.if_version}"
        raise Conflict(message, code="state_changed", hint="read it again")
    if row is None:
        if len(session.scalars(select(RunState.key).where(RunState.schedule == run.schedule)).all()) >= STATE_KEYS_MAX:
            raise Invalid(f"more than {STATE_KEYS_MAX} keys", code="too_many_keys", hint="keep lists in one key")
        session.add(RunState(schedule=run.schedule, key=ask.key, value=ask.value, version=1, at=now))
    else:
        row.value, row.version, row.at = ask.value, there + 1, now
    session.flush()
    return Stored(value, there + 1)


def letter(session: Session, ask: MailAsk) -> Letter:
    """Return the letter of a run; without an address it goes to those whom the schedule notifies."""
    run = _any(session, ask.run)
    to = ask.to or session.get_one(Schedule, run.schedule).notify
    if not to:
        raise Invalid("nobody to write to", code="no_recipient", hint="--notify of the schedule, or to=")
    return Letter(tuple(to), ask.subject, ask.text, run.id)


def _any(session: Session, run: str) -> Run:
    row = session.get(Run, run)
    if row is None:
        raise NotFound(f"there is no run {run[:40]!r}", code="run_not_found", hint="fairlead runs lists them")
    return row


def _live(session: Session, run: str) -> Run:
    row = _any(session, run)
    if row.status not in (RunStatus.STARTING, RunStatus.READY):
        raise Conflict(f"{row.id} is {row.status}: {row.reason}", code="run_over", hint="its window is closed")
    return row


def _bound(run: Run, role: str, device: str) -> None:
    if device not in run.bindings.get(role, ()):
        message = f"{device[:63]} does not stand for {role[:63]} in {run.id}"
        hint = ", ".join(f"{name} = {' '.join(devices)}" for name, devices in run.bindings.items())
        raise Forbidden(message, code="not_bound", hint=hint)


def _tier(session: Session, run: Run, role: str, device: str) -> str:
    _bound(run, role, device)
    manifest = versions.manifest_of(session.get_one(AppVersion, (run.app, run.version)))
    return manifest.devices[role].tier
