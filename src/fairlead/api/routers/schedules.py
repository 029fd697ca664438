"""Schedules: previewed, added, changed, paused, removed; their windows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, Field
from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller, Verb, check, check_owner
from fairlead.api.deps import TheHouse, Who
from fairlead.api.params import Moment
from fairlead.api.views.base import Body, Page, page
from fairlead.api.views.schedules import (
    AheadsView,
    PreviewView,
    ScheduleView,
    aheads_view,
    preview_view,
    schedule_view,
)
from fairlead.apps.sight import show_app
from fairlead.clock import to_text
from fairlead.errors import Invalid, NotFound
from fairlead.schedules import ahead, conflicts, service, sight
from fairlead.schedules.check import Wanted
from fairlead.store.records import App, Dst, Schedule, Window

router = APIRouter(tags=["schedules"])
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class WindowBody(Body):
    days: list[str] = Field(default_factory=DAYS.copy)
    start: str = Field(alias="from")
    to: str


class DstBody(Body):
    gap: str = "shift"
    overlap: str = "first"
    length: str = "wall"


class ScheduleBody(Body):
    app: str
    at: str
    name: str | None = None
    zone: str | None = None
    windows: list[WindowBody] = Field(default_factory=list)
    cron: str | None = None
    every_s: float | None = None
    for_s: float | None = None
    now: bool = False
    """One firing that begins now; without ``for_s`` it goes on until it is stopped."""
    once_from: AwareDatetime | None = None
    once_to: AwareDatetime | None = None
    start: str | None = None
    end: str | None = None
    excepted: list[str] = Field(default_factory=list, alias="except")
    dst: DstBody = Field(default_factory=DstBody)
    overlap: str = "skip"
    catch_up: str = "while_open"
    params: dict[str, Any] = Field(default_factory=dict)
    bind: dict[str, list[str]] = Field(default_factory=dict)
    notify: list[str] = Field(default_factory=list)
    dry_run: bool = False
    show: int = Field(default=10, ge=1, le=100)
    """So many windows are told with ``dry_run``."""

    def wanted(self, now: datetime) -> Wanted:
        """Return it as the schedules take it."""
        return Wanted(
            app=self.app,
            at=self.at,
            name=self.name,
            zone=self.zone,
            windows=tuple(Window(days=tuple(one.days), start=one.start, end=one.to) for one in self.windows),
            cron=self.cron,
            every_s=self.every_s,
            for_s=self.for_s,
            once_from=now if self.now else self.once_from,
            once_to=None if self.now else self.once_to,
            start=self.start,
            end=self.end,
            excepted=tuple(self.excepted),
            dst=Dst(gap=self.dst.gap, overlap=self.dst.overlap, length=self.dst.length),
            overlap=self.overlap,
            catch_up=self.catch_up,
            params=self.params,
            bind={role: tuple(devices) for role, devices in self.bind.items()},
            notify=tuple(self.notify),
        )


class ScheduleChange(Body):
    paused: bool
    why: str = ""


@router.get("/schedules")
async def list_schedules(
    house: TheHouse, who: Who, app: str | None = None, at: str | None = None
) -> Page[ScheduleView]:
    def read(session: Session) -> list[ScheduleView]:
        found = conflicts.list_schedules(session, who, app=app, at=at)
        states = service.states(session, found)
        return [schedule_view(one, states[one.id]) for one in found]

    return page(await house.database.read(read))


@router.get("/windows")
async def list_windows(
    house: TheHouse,
    who: Who,
    since: Annotated[Moment, Query(alias="from")],
    until: Annotated[Moment, Query(alias="to")],
    app: str | None = None,
    at: str | None = None,
) -> AheadsView:
    """Return the windows that schedules have between two moments, at most 35 days apart.

    Those of a paused one are among them, with its note. ``cut`` names schedules with more than 200 of them.
    """
    if not timedelta() < until - since <= ahead.SPAN_MAX:
        message = f"from {to_text(since)} to {to_text(until)} is no span"
        hint = f"to is later than from, by {ahead.SPAN_MAX.days} days at most"
        raise Invalid(message, code="span_invalid", hint=hint)

    def read(session: Session) -> AheadsView:
        return aheads_view(ahead.windows(conflicts.list_schedules(session, who, app=app, at=at), since, until))

    return await house.database.read(read)


@router.post("/schedules", status_code=201, responses={200: {"model": PreviewView, "description": "with dry_run"}})
async def add(body: ScheduleBody, response: Response, house: TheHouse, who: Who) -> ScheduleView | PreviewView:
    """Have an app run at a place and time; with ``dry_run`` tell what that would come to, and write nothing."""
    check(who, Verb.SCHEDULE)
    now = house.clock.now()
    wanted = body.wanted(now)
    if body.dry_run:
        response.status_code = 200
        return await house.database.read(lambda session: _preview(session, who, wanted, now, body.show))

    def write(session: Session) -> str:
        _check_app(session, who, wanted.app)
        may_safety = who.may(Verb.SCHEDULE_SAFETY)
        make = service.run_once if body.now else service.add
        return make(session, wanted, now, by=who.name, may_safety=may_safety).id

    made = await house.database.write(write)
    house.reconcile.nudge()
    return await house.database.read(lambda session: _told(session, who, made, now))


@router.get("/schedules/{ref}")
async def show(ref: str, house: TheHouse, who: Who) -> ScheduleView:
    """Return the schedule of this name, id or unique beginning of an id."""
    return await house.database.read(lambda session: _view(session, sight.show_schedule(session, who, ref)))


@router.put("/schedules/{ref}")
async def replace(ref: str, body: ScheduleBody, house: TheHouse, who: Who) -> ScheduleView | PreviewView:
    """Have a schedule say something else from now on; its app and its name stay, and a run that was opened goes on as
    it was. With ``dry_run`` tell what that would come to, and write nothing."""
    now = house.clock.now()
    wanted = body.wanted(now)
    if body.dry_run:
        return await house.database.read(lambda s: _preview(s, who, wanted, now, body.show, _own(s, who, ref).id))

    def write(session: Session) -> str:
        old = _own(session, who, ref)
        may_safety = who.may(Verb.SCHEDULE_SAFETY)
        return service.change(session, old.id, wanted, now, by=who.name, may_safety=may_safety).id

    changed = await house.database.write(write)
    house.reconcile.nudge()
    return await house.database.read(lambda session: _told(session, who, changed, now))


@router.patch("/schedules/{ref}")
async def change(ref: str, body: ScheduleChange, house: TheHouse, who: Who) -> ScheduleView:
    """Pause a schedule, or have it go on; a run that goes on is left alone."""
    now = house.clock.now()

    def write(session: Session) -> ScheduleView:
        record = _own(session, who, ref)
        if body.paused:
            return _view(session, service.pause(session, record.id, now, by=who.name, why=body.why))
        return _view(session, service.resume(session, record.id, now, by=who.name))

    view = await house.database.write(write)
    house.reconcile.nudge()
    return view


@router.delete("/schedules/{ref}", status_code=204)
async def remove(ref: str, house: TheHouse, who: Who) -> None:
    """Take a schedule away; its run is stopped."""
    now = house.clock.now()
    await house.database.write(lambda s: service.remove(s, _own(s, who, ref).id, now, by=who.name))
    await house.reconcile.settle()


def _view(session: Session, record: Schedule) -> ScheduleView:
    return schedule_view(record, service.states(session, [record])[record.id])


def _told(session: Session, who: Caller, written: str, now: datetime) -> ScheduleView:
    """Return the schedule of this id, with what its writer should know of it: found out when it is written, since it
    takes longer the more there are, and the writer is one."""
    record = session.get_one(Schedule, written)
    clashes, warnings = service.outlook(session, record, now, who)
    return schedule_view(record, service.states(session, [record])[record.id], clashes, warnings)


def _own(session: Session, who: Caller, ref: str) -> Schedule:
    check(who, Verb.SCHEDULE)
    record = sight.show_schedule(session, who, ref)
    check_owner(who, record.created_by, f"the schedule {record.name}")
    return record


def _preview(session: Session, who: Caller, wanted: Wanted, now: datetime, show: int, besides: str = "") -> PreviewView:
    _check_app(session, who, wanted.app)
    return preview_view(service.preview(session, wanted, now, who, limit=show, besides=besides))


def _check_app(session: Session, who: Caller, name: str) -> None:
    """Raise :class:`Invalid`, as if it were not there, for an app that the caller may not see."""
    try:
        show_app(session, who, name)
    except NotFound as error:
        if (app := session.get(App, name)) is not None and app.removed_at is None:
            raise Invalid(f"app: {error.message}", code="schedule_invalid", hint=error.hint) from error
