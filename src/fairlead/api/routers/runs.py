"""Runs: listed, shown, followed, stopped, restarted, run again."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from sqlalchemy.orm import Session

from fairlead.accounts.policy import Caller, Verb, check, check_owner
from fairlead.api.deps import TheHouse, Verified, Who
from fairlead.api.handover import entry
from fairlead.api.stream import follow, sse
from fairlead.api.views.base import Page, page
from fairlead.api.views.runs import EntryView, RunView, run_view
from fairlead.apps import runs, sight
from fairlead.apps.pages import show_page
from fairlead.control.house import House
from fairlead.errors import Unavailable
from fairlead.schedules import service as schedules
from fairlead.schedules.sight import show_schedule
from fairlead.status import RunStatus, is_final
from fairlead.store import journal, names
from fairlead.store.lookup import check_limit
from fairlead.store.records import App, Event, Run, Schedule

router = APIRouter(tags=["runs"])


@router.get("/runs")
async def list_runs(
    house: TheHouse,
    who: Who,
    live: bool = False,
    app: str | None = None,
    schedule: str | None = None,
    at: str | None = None,
    limit: int = 100,
) -> Page[RunView]:
    """Return runs, those that started last first; ``schedule`` is a name or an id."""
    check_limit(limit)

    def read(session: Session) -> list[RunView]:
        of = show_schedule(session, who, schedule).id if schedule else None
        found = runs.list_runs(session, who, live=live, app=app, schedule=of, at=at, limit=limit)
        _kept = runs.read_ahead(session, found)
        return [_view(session, house, who, run) for run in found]

    return page(await house.database.read(read))


@router.get("/runs/{run}")
async def show(run: str, house: TheHouse, who: Who) -> RunView:
    return await house.database.read(lambda session: _whole(session, house, who, run))


@router.get("/runs/{run}/events")
async def follow_run(run: str, house: TheHouse, who: Who) -> StreamingResponse:
    """Stream a run's changes until it ended."""
    found = await house.database.read(lambda session: sight.show_run(session, who, run).id)
    return sse(house, who, follow(house, f"runs/{found}", lambda s: _change(s, house, who, found)))


@router.post("/runs/{run}/page")
async def enter_page(run: str, request: Request, house: TheHouse, who: Who, claims: Verified) -> EntryView:
    """Return where a browser opens the run's page as who asks, in a frame too: one use, within a minute."""

    def read(session: Session) -> str:
        return show_page(session, who, sight.show_run(session, who, run).id).name

    name = await house.database.read(read)
    await house.reconcile.in_force()  # else the front door may not lead to a page that is ready just now
    return EntryView(url=entry(request.app.state.handovers, house, claims, name, name, "/"))


@router.post("/runs/{run}/stop")
async def stop(run: str, house: TheHouse, who: Who) -> RunView:
    now = house.clock.now()
    await house.database.write(lambda s: runs.stop(s, _own(s, who, run).id, now, by=who.name))
    return await _settled(house, who, run)


@router.post("/runs/{run}/restart")
async def restart(run: str, house: TheHouse, who: Who) -> RunView:
    """Have its processes started anew; window, version and devices stay."""
    now = house.clock.now()
    await house.database.write(lambda s: runs.restart(s, _own(s, who, run).id, now, by=who.name))
    return await _settled(house, who, run)


@router.post("/runs/{run}/again", status_code=201)
async def again(run: str, house: TheHouse, who: Who) -> RunView:
    """Run the same app once more, now, at the same place; answers with the new run."""
    check(who, Verb.SCHEDULE)
    now = house.clock.now()

    def write(session: Session) -> Schedule:
        old = sight.show_run(session, who, run)
        sight.show_app(session, who, old.app)
        return schedules.again(session, old.id, now, by=who.name, may_safety=who.may(Verb.SCHEDULE_SAFETY))

    schedule = await house.database.write(write)
    await house.reconcile.settle()

    def read(session: Session) -> RunView:
        found = runs.list_runs(session, who, schedule=schedule.id, limit=1)
        if not found:
            hint = f"fairlead why {schedule.name}"
            raise Unavailable(f"{schedule.name} did not open a run yet", code="not_ready", hint=hint, retry_after_s=1)
        return _view(session, house, who, found[0])

    return await house.database.read(read)


def _own(session: Session, who: Caller, run: str) -> Run:
    check(who, Verb.SCHEDULE)
    record = sight.show_run(session, who, run)
    check_owner(who, record.user, f"the run {record.id}")
    return record


async def _settled(house: House, who: Caller, run: str) -> RunView:
    await house.reconcile.settle()
    return await house.database.read(lambda session: _whole(session, house, who, run))


def _view(session: Session, house: House, who: Caller, run: Run, history: Sequence[Event] = ()) -> RunView:
    """Return the run; what it logged is for those who may read its log."""
    schedule = names.name_of(session, session.get_one(Schedule, run.schedule))
    view = run_view(run, schedule, _url(house, run, schedule), history)
    reads_log = who.owns(run.user) or who.owns(session.get_one(App, run.app).owner)
    return view if reads_log else view.model_copy(update={"last_lines": []})


def _whole(session: Session, house: House, who: Caller, ref: str) -> RunView:
    run = sight.show_run(session, who, ref)
    return _view(session, house, who, run, journal.history(session, "run", run.id))


def _url(house: House, run: Run, schedule: str) -> str | None:
    return house.runs.address(schedule) if run.page and run.status is RunStatus.READY else None


def _change(session: Session, house: House, who: Caller, run: str) -> tuple[RunView, str | None]:
    view = _whole(session, house, who, run)
    return view, "done" if is_final(RunStatus(view.status)) else None
