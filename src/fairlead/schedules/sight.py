"""Who may see schedules, and what happened to them: those who see the app, and whoever made the schedule."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, or_, select, true
from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller, Verb
from fairlead.apps import sight
from fairlead.errors import NotFound
from fairlead.store import lookup, names
from fairlead.store.records import App, Event, Schedule


def schedules(caller: Caller) -> ColumnElement[bool]:
    """Return the condition of a schedule that ``caller`` may see."""
    if caller.may(Verb.MANAGE_OTHERS):
        return true()
    return or_(Schedule.created_by == caller.name, Schedule.app.in_(select(App.name).where(sight.apps(caller))))


def show_schedule(session: Session, caller: Caller, ref: str) -> Schedule:
    """Return the schedule that ``ref``, its name, its id or a unique beginning of it, names; else the last that had
    this name before it was removed.

    Raises :class:`NotFound`, also for one that the caller may not see.
    """
    seen = schedules(caller)
    found = session.scalar(select(Schedule).where(Schedule.name == ref, seen))
    found = found or lookup.unique(session, Schedule, ref, seen) or names.called(session, ref, seen)
    if found is None:
        message = f"there is no schedule {ref[:80]!r}"
        raise NotFound(message, code="schedule_not_found", hint="fairlead schedules lists them")
    return found


def seen_events(session: Session, caller: Caller, events: Sequence[Event]) -> list[Event]:
    """Return the events that ``caller`` may see: what happened to runs, schedules and commands that they see."""

    def refs(kind: str) -> list[str]:
        return [one.ref for one in events if one.kind == kind]

    seen = {
        "run": sight.seen_runs(session, caller, refs("run")),
        "command": sight.seen_commands(session, caller, refs("command")),
        "schedule": set(
            session.scalars(select(Schedule.id).where(Schedule.id.in_(refs("schedule")), schedules(caller)))
        ),
    }
    return [one for one in events if one.kind not in seen or one.ref in seen[one.kind]]
