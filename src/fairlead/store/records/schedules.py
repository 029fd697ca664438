"""Schedules, runs of apps, what must be done at a moment, and what apps keep between runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import (
    Boolean,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from fairlead.status import RunStatus
from fairlead.store.records.base import WORDS, Base, JsonOf, Moment, status_of
from fairlead.store.records.devices import VALUES


class Window(msgspec.Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """Days of the week and local times; ``to`` at or before ``from`` is on the next day."""

    days: tuple[str, ...]
    start: str
    end: str


class Dst(msgspec.Struct, frozen=True):
    """What daylight saving does to a window."""

    gap: str = "shift"
    """shift or skip."""
    overlap: str = "first"
    """first or both."""
    length: str = "wall"
    """wall or elapsed."""


WINDOWS: JsonOf[tuple[Window, ...]] = JsonOf(tuple[Window, ...])
DST: JsonOf[Dst] = JsonOf(Dst)
ROLES: JsonOf[dict[str, tuple[str, ...]]] = JsonOf(dict[str, tuple[str, ...]])


class Schedule(Base, kw_only=True):
    """When an app runs at a place."""

    __tablename__ = "schedules"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    app: Mapped[str] = mapped_column(ForeignKey("apps.name"), index=True)
    at: Mapped[str] = mapped_column(ForeignKey("locations.path"), index=True)
    zone: Mapped[str] = mapped_column(Text)
    cron: Mapped[str | None] = mapped_column(Text, default=None)
    every_s: Mapped[float | None] = mapped_column(default=None)
    for_s: Mapped[float | None] = mapped_column(default=None)
    windows: Mapped[tuple[Window, ...]] = mapped_column(WINDOWS, default=())
    start: Mapped[str | None] = mapped_column(Text, default=None)
    """First day, ISO, local."""
    end: Mapped[str | None] = mapped_column(Text, default=None)
    """Last day, ISO, local."""
    once_from: Mapped[datetime | None] = mapped_column(Moment, default=None)
    """Start of a schedule of one firing, such as ``apps run`` makes."""
    once_to: Mapped[datetime | None] = mapped_column(Moment, default=None)
    excepted: Mapped[tuple[str, ...]] = mapped_column(WORDS, default=())
    """Days without a firing (``except``)."""
    dst: Mapped[Dst] = mapped_column(DST, default=Dst())
    overlap: Mapped[str] = mapped_column(Text, default="skip")
    """skip or restart."""
    catch_up: Mapped[str] = mapped_column(Text, default="while_open")
    """while_open or none."""
    paused: Mapped[str | None] = mapped_column(Text, default=None)
    """Why it is paused; none: it is not."""
    params: Mapped[dict[str, Any]] = mapped_column(VALUES, default_factory=dict)
    bind: Mapped[dict[str, tuple[str, ...]]] = mapped_column(ROLES, default_factory=dict)
    notify: Mapped[tuple[str, ...]] = mapped_column(WORDS, default=())
    """Mail addresses."""
    created_by: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Moment)
    removed_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    seen_until: Mapped[datetime] = mapped_column(Moment)
    """Firings up to this moment were decided; it only grows, so that none is repeated when a clock goes back."""
    next_at: Mapped[datetime | None] = mapped_column(Moment, default=None, index=True)
    """When to look again; none: never."""


class Run(Base, kw_only=True):
    """One run of an app in one window; its history is in the journal, kind ``run``."""

    __tablename__ = "runs"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    app: Mapped[str] = mapped_column(Text)
    version: Mapped[str] = mapped_column(Text)
    schedule: Mapped[str] = mapped_column(ForeignKey("schedules.id"))
    place: Mapped[str] = mapped_column(Text)
    status: Mapped[RunStatus] = mapped_column(status_of(RunStatus), default=RunStatus.PLANNED)
    reason: Mapped[str] = mapped_column(Text, default="")
    starts_at: Mapped[datetime] = mapped_column(Moment)
    """Start of the window; at most one run of a schedule has it."""
    ends_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    bindings: Mapped[dict[str, tuple[str, ...]]] = mapped_column(ROLES, default_factory=dict)
    params: Mapped[dict[str, Any]] = mapped_column(VALUES, default_factory=dict)
    stop: Mapped[str] = mapped_column(Text, default="")
    """Why it must stop; empty: it goes on."""
    attempt: Mapped[int] = mapped_column(default=0)
    """Counts restarts that somebody asked for."""
    restarts: Mapped[int] = mapped_column(default=0)
    page: Mapped[bool] = mapped_column(Boolean, default=False)
    last_lines: Mapped[tuple[str, ...]] = mapped_column(WORDS, default=())
    user: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Moment)
    started_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    ready_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    finished_at: Mapped[datetime | None] = mapped_column(Moment, default=None)

    __table_args__ = (
        ForeignKeyConstraint(["app", "version"], ["app_versions.app", "app_versions.version"]),
        UniqueConstraint("schedule", "starts_at"),
        Index("runs_starts_at", "starts_at", "id"),
        Index("runs_app_starts_at", "app", "starts_at", "id"),
        *(
            Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))
            for name, columns, where in (
                ("runs_live", ("starts_at", "id"), "finished_at IS NULL"),
                ("runs_schedule_live", ("schedule",), "finished_at IS NULL"),
            )
        ),
    )


class RunState(Base, kw_only=True):
    """A value that an app keeps between the runs of a schedule."""

    __tablename__ = "run_state"

    schedule: Mapped[str] = mapped_column(ForeignKey("schedules.id"), primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[bytes] = mapped_column(LargeBinary)
    """JSON."""
    version: Mapped[int]
    """1 at first, then one more each time."""
    at: Mapped[datetime] = mapped_column(Moment)
