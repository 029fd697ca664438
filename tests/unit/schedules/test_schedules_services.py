"""From a schedule to a run, its commands and its end, on records in memory."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session

from fairlead.accounts.policy import SYSTEM
from fairlead.apps import asks, plan, runs, stepping, versions, wanted
from fairlead.bundles import manifest
from fairlead.devices import readings, registry
from fairlead.devices.door import Heard
from fairlead.devices.types import Measurement
from fairlead.errors import Conflict, Forbidden, Invalid, NotFound
from fairlead.logs import facts
from fairlead.messages import (
    HANDLERS_FAIL,
    CommandAsk,
    EnvironmentSpec,
    Prepared,
    ReadingsAsk,
    RunReport,
    StateGet,
    StatePut,
)
from fairlead.models.pushed import Pushed
from fairlead.schedules import ahead, conflicts, due, opening, service
from fairlead.schedules.check import Wanted
from fairlead.status import CommandStatus, RunStatus, VersionStatus
from fairlead.store import journal
from fairlead.store.move import note
from fairlead.store.records import App, Model, Run, Schedule, User, Window
from fairlead.testing.store import memory

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)  # a Friday; 13:00 in Berlin
FAN = """
name = "fan"
version = "1.0.0"
[properties.on]
type = "boolean"
access = "rw"
safe = false
[properties.temperature]
type = "number"
"""
APP = """
kind = "app"
name = "cool"
[run]
entry = "app:app"
web = "/healthz"
[devices]
fan = { type = "fan" }
[params]
above = { type = "number", default = 26, maximum = 40 }
"""
AFTERNOON = (Window(days=("fri",), start="14:00", end="18:00"),)


def later(**delta: float) -> datetime:
    return NOON + timedelta(**delta)


def push(
    session: Session, text: str = APP, digest: str = "d1", now: datetime = NOON, **more: object
) -> versions.Registered:
    parsed = manifest.parse(text)
    assert isinstance(parsed, manifest.AppManifest)
    pushed = Pushed(
        manifest=parsed,
        environment=EnvironmentSpec(requires=("numpy",)),
        digest=digest,
        key=f"bundles/{digest}.zip",
        size_bytes=9,
    )
    return versions.register(session, pushed, now, **{"by": "dev", **more})  # type: ignore[arg-type]


def prepare(session: Session, version: str = "1") -> None:
    versions.prepared(session, Prepared("app", "cool", version, "d1", "done"), NOON)


@pytest.fixture
def session() -> Iterator[Session]:
    with memory() as session:
        for name in ("dev", "ada"):
            session.add(User(name=name, roles=("user",), created_at=NOON))
        session.flush()
        registry.add_type(session, FAN, NOON, by="root")
        registry.add_location(session, "campus/lab", NOON, by="root", zone="Europe/Berlin")
        registry.add_device(session, "fan-1", NOON, by="root", type="fan", at="campus/lab")
        push(session)
        prepare(session)
        yield session


def schedule(session: Session, now: datetime = NOON, **more: object) -> Schedule:
    fields = {"app": "cool", "at": "campus/lab", "windows": AFTERNOON, "name": "daily", **more}
    return service.add(session, Wanted(**fields), now, by="ada")  # type: ignore[arg-type]


def step(session: Session, now: datetime, *reports: RunReport, **more: object) -> runs.Outcome:
    opening.fire(session, now)
    seen = {report.run: plan.Seen(report, **more) for report in reports}  # type: ignore[arg-type]
    return stepping.step(session, seen, now, lambda name: f"http://{name}.apps.localhost").outcome


def next_at(session: Session) -> datetime | None:
    """Return when the next window of any schedule opens."""
    return session.scalar(select(func.min(Schedule.next_at)))


def the_run(session: Session) -> Run:
    return session.scalars(select(Run).order_by(Run.created_at.desc(), Run.id.desc())).first()  # type: ignore[return-value]


def up(session: Session) -> Run:
    """Return a run that is ready."""
    schedule(session, notify=("ada@example.org",))
    step(session, later(hours=1))
    run = the_run(session)
    step(session, later(hours=1, seconds=2), RunReport(run.id, RunStatus.READY, page=True))
    return run


def test_who_sees_an_app_follows_the_version_that_production_names(session: Session) -> None:
    push(session)
    prepare(session)
    app = session.get_one(App, "cool")
    asks = '\n[access]\nvisibility = "public"\n[network]\noutbound = true\n'
    push(session, APP + asks, "d2")
    assert (app.visibility, app.asked) == ("team", ("public", "outbound"))
    push(session, APP + '\n[access]\nvisibility = "private"\n', "d3")
    assert app.visibility == "team"
    versions.prepared(session, Prepared("app", "cool", "3", "d3", "done"), NOON)
    assert app.visibility == "private"
    versions.rollback(session, "cool", NOON, by="dev")
    assert app.visibility == "team"
    app.granted = ("public",)
    versions.prepared(session, Prepared("app", "cool", "2", "d2", "done"), NOON)
    versions.set_alias(session, "cool", "production", "2", NOON, by="dev")
    assert app.visibility == "public"


def test_a_window_opens_on_time_once_and_says_so(session: Session) -> None:
    schedule(session)

    assert next_at(session) == later(hours=1)
    assert step(session, later(minutes=59)).moved == ()
    outcome = step(session, later(hours=1))
    again = step(session, later(hours=1))

    run = the_run(session)
    assert (outcome.moved, again.moved) == ((run.id,), ())
    assert (run.status, run.bindings, run.params) == (RunStatus.STARTING, {"fan": ("fan-1",)}, {"above": 26})
    assert run.ends_at == later(hours=5)
    assert [event.said for event in journal.history(session, "run", run.id)] == [
        "window opened",
        "starts with fan = fan-1",
    ]


def test_what_a_node_is_told_of_a_run(session: Session) -> None:
    up(session)

    (told,) = wanted.runs(session)

    assert told.environment.requires == ("numpy",)
    assert told.bindings["fan"].properties["on"] == {"type": "boolean", "access": "rw", "safe": False, "keep_days": 30}
    assert (told.bindings["fan"].single, told.zone, told.ends) == (True, "Europe/Berlin", "2026-11-20T17:00:00Z")
    assert {page.name for page in wanted.pages(session)} == {"daily", told.run}


def test_a_ready_run_is_mailed_with_its_address_once(session: Session) -> None:
    schedule(session, notify=("ada@example.org",))
    step(session, later(hours=1))
    run = the_run(session)

    first = step(session, later(hours=1, seconds=2), RunReport(run.id, RunStatus.READY, page=True))
    step(session, later(hours=2), RunReport(run.id, RunStatus.STARTING, restarts=1, reason="exit 1"))
    second = step(session, later(hours=2), RunReport(run.id, RunStatus.READY, page=True, restarts=1))

    (letter,) = first.letters
    assert letter.to == ("ada@example.org",)
    assert "http://daily.apps.localhost" in letter.text
    assert "until 2026-11-20 18:00 CET" in letter.text
    assert second.letters == ()
    assert run.restarts == 1


def test_a_run_that_cannot_be_moved_holds_up_no_other_and_fails_the_second_time(session: Session) -> None:
    schedule(session)
    step(session, later(hours=1))
    run = the_run(session)
    schedule(session, name="also", now=later(hours=1))
    opening.fire(session, later(hours=1))
    other = session.scalars(select(Run).where(Run.id != run.id)).one()
    reports = {run.id: plan.Seen(RunReport(run.id, RunStatus.READY, page=True))}

    def address(name: str) -> str:
        raise ZeroDivisionError(name)

    first = stepping.step(session, reports, later(hours=1), address)
    assert first.raised == {run.id}
    assert (run.status, run.ready_at) == (RunStatus.STARTING, None)
    assert other.reason.startswith("waits: ")
    assert "ready" not in [event.status_to for event in journal.history(session, "run", run.id)]

    stepping.step(session, reports, later(hours=1), address, first.raised)
    assert (run.status, run.finished_at) == (RunStatus.FAILED, later(hours=1))
    assert "ZeroDivisionError" in run.reason
    assert stepping.step(session, reports, later(hours=1), address, first.raised).raised == frozenset()


def test_a_run_whose_handlers_fail_says_so_until_they_work_again(session: Session) -> None:
    run = up(session)
    fails = f"{HANDLERS_FAIL}: cool: KeyError: 'x'; fairlead logs {run.id}"
    for second in range(20):  # one that comes and goes does not fill the journal
        step(session, later(hours=1, seconds=3 + 2 * second), RunReport(run.id, RunStatus.READY, fails, page=True))
        assert (run.status, run.reason) == (RunStatus.READY, fails)
        if not second:
            assert facts.why(session, run.id, later(hours=2)).answer.endswith(f": {fails}.")
        step(session, later(hours=1, seconds=4 + 2 * second), RunReport(run.id, RunStatus.READY, page=True))
        assert run.reason == "it is ready"

    told = [one.said for one in journal.history(session, "run", run.id)]
    assert told.count(fails) == 1
    assert told.count("its handlers work again") == 1


def test_the_end_of_the_window_stops_the_run_and_makes_its_devices_safe(session: Session) -> None:
    run = up(session)
    asks.command(session, CommandAsk(run.id, "fan", "fan-1", {"on": True}), later(hours=2))

    ending = step(session, later(hours=5), RunReport(run.id, RunStatus.READY, page=True))
    done = step(session, later(hours=5, seconds=3), RunReport(run.id, RunStatus.SUCCEEDED))

    assert [msgspec.json.decode(one.payload)["set"] for one in ending.outgoing] == [{"on": False}]
    assert wanted.runs(session) == ()
    assert (run.status, run.reason, done.outgoing) == (RunStatus.SUCCEEDED, "the window closed", ())
    assert run.finished_at == later(hours=5, seconds=3)


def test_an_end_that_came_while_the_machine_was_off_is_kept_at_the_next_start(session: Session) -> None:
    run = up(session)
    asks.command(session, CommandAsk(run.id, "fan", "fan-1", {"on": True}), later(hours=2))

    outcome = step(session, later(days=2))
    step(session, later(days=2), RunReport("x", RunStatus.READY))
    stepping.step(session, {run.id: plan.Seen(since_stop=True)}, later(days=2), str)

    assert len(outcome.outgoing) == 1
    assert run.status is RunStatus.SUCCEEDED


def test_a_run_that_cannot_be_bound_waits_and_says_for_what(session: Session) -> None:
    run = up(session)
    service.add(
        session, Wanted(app="cool", at="campus/lab", windows=AFTERNOON, name="second"), later(hours=2), by="ada"
    )

    step(session, later(hours=2), RunReport(run.id, RunStatus.READY, page=True))

    waiting = session.scalars(select(Run).where(Run.status == RunStatus.PLANNED)).one()
    assert waiting.reason == (
        f"waits: fan needs 1 fan at campus/lab; of 1, 1 is held: fan-1 by {run.id} until 2026-11-20 18:00 CET"
    )
    step(session, later(hours=5), RunReport(run.id, RunStatus.SUCCEEDED))
    assert waiting.status is RunStatus.SKIPPED
    assert waiting.reason.startswith("waits: fan needs 1 fan")


def test_a_platform_that_was_off_catches_up_while_the_window_is_open(session: Session) -> None:
    schedule(session)

    step(session, later(hours=3))

    assert journal.history(session, "run", the_run(session).id)[0].said == "window opened 2.0 h ago; caught up"


def test_missed_windows_are_one_row_each_and_no_more_than_twenty(session: Session) -> None:
    schedule(session, windows=(Window(days=("mon", "tue", "wed", "thu", "fri"), start="14:00", end="18:00"),))

    step(session, later(days=60, hours=12))

    statuses = [run.status for run in runs.list_runs(session, SYSTEM)]
    assert statuses == [RunStatus.SKIPPED] * 20
    assert next_at(session) is not None


def test_a_schedule_that_cannot_be_fired_holds_up_no_other_and_is_tried_again(session: Session) -> None:
    odd = schedule(session, name="odd")
    schedule(session)
    odd.zone = "Mars/Olympus"  # restored where the table of time zones is another
    session.flush()
    (opened,) = opening.fire(session, later(hours=1))
    assert session.get_one(Schedule, opened.schedule).name == "daily"
    assert opening.fire(session, later(hours=1, minutes=1)) == ()
    told = [event.said for event in journal.history(session, "schedule", odd.id) if "could not" in event.said]
    assert len(told) == 1  # it fails each minute
    assert "could not be fired: ZoneInfoNotFoundError" in told[0]
    odd.zone = "Europe/Berlin"
    assert opening.fire(session, later(hours=1, minutes=1, seconds=1)) == ()
    (late,) = opening.fire(session, later(hours=1, minutes=2))
    assert (late.schedule, late.starts_at) == (odd.id, later(hours=1))


def test_a_clock_that_goes_back_fires_nothing_twice(session: Session) -> None:
    schedule(session)
    step(session, later(hours=1))

    step(session, later(minutes=30))
    step(session, later(hours=1))

    assert len(runs.list_runs(session, SYSTEM)) == 1


def test_a_clock_that_was_a_year_ahead_and_is_put_right_loses_no_window(session: Session) -> None:
    schedule(session)
    step(session, later(days=365))
    skipped = {run.id for run in runs.list_runs(session, SYSTEM)}
    assert next_at(session) > later(days=365)  # type: ignore[operator]

    opening.rewind(session, later(minutes=1))
    step(session, later(hours=1))

    (run,) = [run for run in runs.list_runs(session, SYSTEM) if run.id not in skipped]
    assert (run.starts_at, run.status) == (later(hours=1), RunStatus.STARTING)
    opening.rewind(session, later(hours=1, minutes=-30))
    step(session, later(hours=1, minutes=1))
    assert len(runs.list_runs(session, SYSTEM)) == len(skipped) + 1


def test_a_schedule_added_within_its_window_runs_at_once(session: Session) -> None:
    schedule(session, later(hours=2))

    step(session, later(hours=2))

    assert the_run(session).status is RunStatus.STARTING


def test_why_of_a_schedule_that_waits_says_when_it_starts(session: Session) -> None:
    record = schedule(session)
    assert record.next_at is not None

    answer = facts.why(session, record.name, NOON).answer

    assert answer.endswith(f"It starts next at {record.next_at + timedelta(hours=1):%Y-%m-%d %H:%M} CET.")


def test_why_of_a_paused_schedule_says_who_paused_it_since_when_and_why(session: Session) -> None:
    record = schedule(session)
    service.pause(session, record.name, NOON, by="ada", why="cleaning")

    answer = facts.why(session, record.name, later(hours=1)).answer

    assert answer == f"{record.name} is paused by ada since 2026-11-20 {NOON:%H:%M:%S}Z: cleaning."
    assert "is paused" not in facts.why(session, record.name, NOON - timedelta(hours=1)).answer


def test_why_of_a_model_tells_first_what_callers_get(session: Session) -> None:
    session.add(Model(name="mood", owner="ada", visibility="public", created_at=NOON))
    note(session, "alias", "mood@production", "5", NOON)
    note(session, "alias", "mood@staging", "6", NOON)

    answer = facts.why(session, "mood", NOON).answer

    assert answer.startswith("mood@production")
    assert "mood@staging" in answer


def test_paused_nothing_opens_and_resumed_it_does_again(session: Session) -> None:
    schedule(session)
    service.pause(session, "daily", NOON, by="ada", why="holidays")

    step(session, later(hours=6))
    assert runs.list_runs(session, SYSTEM) == []
    service.resume(session, "daily", later(hours=6), by="ada")
    assert next_at(session) == later(days=7, hours=1)


def test_a_run_that_waits_does_not_start_once_its_schedule_is_paused(session: Session) -> None:
    first = up(session)
    schedule(session, later(hours=1), name="second")
    step(session, later(hours=1, minutes=1))
    waiting = the_run(session)
    assert waiting.status is RunStatus.PLANNED

    service.pause(session, "second", later(hours=2), by="ada")
    runs.stop(session, first.id, later(hours=2), by="ada")  # what it waited for is free now
    for _ in range(2):
        step(session, later(hours=2), RunReport(first.id, RunStatus.SUCCEEDED), since_stop=True)

    assert (waiting.status, waiting.reason) == (RunStatus.CANCELED, "its schedule was paused by ada")
    assert first.finished_at is not None


def test_removing_a_schedule_stops_its_run_and_frees_its_name(session: Session) -> None:
    run = up(session)
    service.remove(session, "daily", later(hours=2), by="ada")

    step(session, later(hours=2), RunReport(run.id, RunStatus.READY, page=True))
    step(session, later(hours=2), RunReport(run.id, RunStatus.SUCCEEDED))

    assert (run.status, run.reason) == (RunStatus.CANCELED, "its schedule was removed by ada")
    schedule(session)


def change(session: Session, now: datetime, **more: object) -> Schedule:
    fields = {"app": "cool", "at": "campus/lab", "windows": AFTERNOON, **more}
    return service.change(session, "daily", Wanted(**fields), now, by="ada")  # type: ignore[arg-type]


def test_a_changed_schedule_opens_its_new_windows_and_its_run_goes_on_as_it_was(session: Session) -> None:
    run = up(session)
    evening = (Window(days=("fri",), start="20:00", end="21:00"),)
    record = change(session, later(hours=2), windows=evening, params={"above": 30})

    assert (record.windows, record.params, record.name) == (evening, {"above": 30}, "daily")
    assert record.next_at == later(hours=7), "20:00 in Berlin"
    assert (run.status, run.params["above"], run.ends_at) == (RunStatus.READY, 26, later(hours=5))
    step(session, later(hours=7), RunReport(run.id, RunStatus.SUCCEEDED))
    assert [one.params["above"] for one in runs.list_runs(session, SYSTEM, live=True)] == [30]


def test_a_schedule_that_is_changed_within_a_new_window_runs_at_once_and_a_paused_one_stays_so(
    session: Session,
) -> None:
    schedule(session)
    noon = (Window(days=("fri",), start="12:00", end="15:00"),)
    change(session, NOON, windows=noon)
    step(session, NOON)
    assert the_run(session).starts_at == later(hours=-1)

    service.pause(session, "daily", later(hours=3), by="ada")
    assert change(session, later(hours=3)).next_at is None
    assert service.resume(session, "daily", later(hours=3), by="ada").next_at == later(hours=1), "it is open"


@pytest.mark.parametrize(
    ("more", "path"), [({"name": "other"}, "name"), ({"app": "none"}, "app"), ({"windows": ()}, "windows")]
)
def test_a_change_that_is_refused_changes_nothing(session: Session, more: dict[str, object], path: str) -> None:
    record = schedule(session)
    with pytest.raises(Invalid) as caught:
        change(session, NOON, **more)
    assert [problem.path for problem in caught.value.problems] == [path]
    assert (record.windows, record.app, record.next_at) == (AFTERNOON, "cool", later(hours=1))


def test_the_preview_of_a_change_clashes_with_others_alone(session: Session) -> None:
    record = schedule(session)
    wanted = Wanted(app="cool", at="campus/lab", windows=AFTERNOON)
    assert [one.schedule for one in service.preview(session, wanted, NOON, SYSTEM).clashes] == ["daily"]
    assert service.preview(session, wanted, NOON, SYSTEM, besides=record.id).clashes == ()


def test_windows_of_a_week_are_told_in_their_order_from_when_their_schedule_was_made(session: Session) -> None:
    daily = schedule(session, windows=(Window(days=due.DAYS, start="14:00", end="18:00"),))
    late = schedule(session, name="late", windows=(Window(days=("fri", "sat"), start="22:00", end="02:00"),))
    told = ahead.windows([late, daily], later(days=-1), later(days=1, hours=11))
    assert [(record.name, firing.opens) for record, firing in told.windows] == [
        ("daily", later(hours=1)),
        ("late", later(hours=9)),
        ("daily", later(days=1, hours=1)),
        ("late", later(days=1, hours=9)),
    ], "13:00 in Berlin was before they were made"
    inside = ahead.windows([late], later(hours=12), later(hours=12, minutes=30))
    assert [firing.opens for _, firing in inside.windows] == [later(hours=9)], "one that is open is in it"
    assert ahead.windows([late], later(hours=13), later(hours=14)).windows == ()


def test_a_schedule_with_very_many_windows_is_cut_and_says_so(session: Session) -> None:
    often = schedule(session, name="often", windows=(), cron="*/5 * * * *", for_s=60)
    once = schedule(session, name="once", windows=(), once_from=NOON)
    told = ahead.windows([often, once], later(hours=-1), later(days=7))
    assert (len(told.windows), told.cut) == (ahead.EACH_MAX + 1, ("often",))
    assert [one.opens for _, one in ahead.windows([once], later(days=3), later(days=4)).windows] == [NOON]


def test_run_once_without_end_goes_on_until_it_is_stopped(session: Session) -> None:
    service.run_once(session, Wanted(app="cool", at="campus/lab"), NOON, by="ada")
    step(session, NOON)
    run = the_run(session)

    assert (run.status, run.ends_at) == (RunStatus.STARTING, None)
    runs.stop(session, run.id, later(days=9), by="ada")
    step(session, later(days=9))
    step(session, later(days=9), RunReport(run.id, RunStatus.SUCCEEDED))
    assert (run.status, run.reason) == (RunStatus.CANCELED, "stopped by ada")
    with pytest.raises(Conflict):
        runs.stop(session, run.id, later(days=9), by="ada")
    assert service.again(session, run.id, later(days=10), by="ada").once_to is None


def test_every_problem_of_a_schedule_comes_at_once(session: Session) -> None:
    with pytest.raises(Invalid) as caught:
        schedule(
            session,
            at="moon",
            zone="Mars/Olympus",
            windows=(Window(days=("monday",), start="25:00", end="18:00"),),
            end="tomorrow",
            overlap="queue",
            params={"above": 99, "abov": 1},
            notify=("nobody",),
            bind={"lamp": ("x",)},
        )

    paths = {problem.path for problem in caught.value.problems}
    assert paths >= {
        "at",
        "zone",
        "windows.0.days",
        "windows.0.from",
        "end",
        "overlap",
        "params.above",
        "params.abov",
        "notify",
        "bind.lamp",
    }


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"windows": ()}, "one_of"),
        ({"cron": "0 8 * * *"}, "one_of"),
        ({"windows": (), "cron": "0 8 * *", "for_s": 60}, "cron"),
        ({"windows": (), "cron": "0 8 * * *"}, "required"),
        ({"windows": (), "every_s": 5, "for_s": 1}, "range"),
        ({"windows": (), "every_s": 60, "for_s": 61}, "le"),
        ({"start": "2026-01-02", "end": "2026-01-01"}, "ge"),
        ({"end": "2020-01-01"}, "never"),
        ({"notify": ("a;b@example.org",)}, "mail"),
        ({"notify": ("a@b@example.org",)}, "mail"),
        ({"windows": (), "cron": "0 8 30 2 *", "for_s": 60}, "cron"),
        ({"windows": (), "cron": "0 8 * * mon", "for_s": 60, "start": "2026-11-24", "end": "2026-11-26"}, "never"),
        ({"start": "2026-11-23", "end": "2026-11-26"}, "never"),
        ({"start": "2026-11-27", "end": "2026-11-27", "excepted": ("2026-11-27",)}, "never"),
    ],
)
def test_what_makes_no_sense(session: Session, fields: dict[str, object], rule: str) -> None:
    with pytest.raises(Invalid) as caught:
        schedule(session, **fields)

    assert rule in {problem.rule for problem in caught.value.problems}


def test_a_safety_app_needs_a_configurer(session: Session) -> None:
    push(session, APP.replace('"fan" }', '"fan", tier = "safety" }').replace("cool", "alarm"), "d9")
    versions.prepared(session, Prepared("app", "alarm", "1", "d9", "done"), NOON)

    with pytest.raises(Forbidden):
        schedule(session, app="alarm")
    service.add(session, Wanted(app="alarm", at="campus/lab", windows=AFTERNOON), NOON, by="root", may_safety=True)


def test_a_preview_shows_bindings_windows_and_clashes_and_writes_nothing(session: Session) -> None:
    schedule(session)

    shown = service.preview(session, Wanted(app="cool", at="campus/lab", windows=AFTERNOON), NOON, SYSTEM)

    assert shown.bindings == {"fan": ("fan-1",)}
    assert [one.opens for one in shown.firings][:2] == [later(hours=1), later(days=7, hours=1)]
    assert [(clash.schedule, clash.devices) for clash in shown.clashes] == [("daily", ("fan-1",))]
    assert shown.problems == ()
    assert len(conflicts.list_schedules(session, SYSTEM)) == 1


def test_a_preview_of_nonsense_tells_its_problems(session: Session) -> None:
    shown = service.preview(
        session, Wanted(app="ghost", at="moon", windows=(Window(days=(), start="", end=""),)), NOON, SYSTEM
    )

    assert {problem.path for problem in shown.problems} >= {"app", "at", "windows.0.days", "windows.0.from"}


# --- what a run may do ------------------------------------------------------------------------------------------------


def test_a_run_commands_only_its_own_devices(session: Session) -> None:
    run = up(session)
    registry.add_device(session, "fan-2", NOON, by="root", type="fan", at="campus/lab")

    with pytest.raises(Forbidden, match="does not stand for"):
        asks.command(session, CommandAsk(run.id, "fan", "fan-2", {"on": True}), later(hours=2))
    with pytest.raises(NotFound):
        asks.command(session, CommandAsk("run-x", "fan", "fan-1", {"on": True}), later(hours=2))
    with pytest.raises(Forbidden):
        asks.last_values(session, ReadingsAsk(run.id, ("fan-2",)), later(hours=2))


def test_a_value_out_of_range_is_a_failed_command(session: Session) -> None:
    run = up(session)

    row = asks.command(session, CommandAsk(run.id, "fan", "fan-1", {"on": 3}), later(hours=2)).command

    assert (row.status, row.reason) == (CommandStatus.FAILED, "refused: on: 3 is neither true nor false")


def test_a_hold_ends_with_the_window(session: Session) -> None:
    run = up(session)

    row = asks.command(session, CommandAsk(run.id, "fan", "fan-1", {"on": True}, hold_s=1e6), later(hours=2)).command

    assert row.hold_until == later(hours=5)


def test_a_run_that_stops_commands_nothing_more(session: Session) -> None:
    run = up(session)
    step(session, later(hours=5))

    with pytest.raises(Conflict, match="the window closed"):
        asks.command(session, CommandAsk(run.id, "fan", "fan-1", {"on": True}), later(hours=5))


def test_state_is_kept_between_runs_and_guarded_by_its_version(session: Session) -> None:
    run = up(session)

    assert asks.state_get(session, StateGet(run.id, "seen")) is None
    assert asks.state_put(session, StatePut(run.id, "seen", b"1", 0), NOON).version == 1
    assert asks.state_put(session, StatePut(run.id, "seen", b"2", 1), NOON).version == 2
    with pytest.raises(Conflict):
        asks.state_put(session, StatePut(run.id, "seen", b"3", 1), NOON)
    with pytest.raises(Invalid):
        asks.state_put(session, StatePut(run.id, "seen", b"{", None), NOON)
    with pytest.raises(Invalid):
        asks.state_put(session, StatePut(run.id, "seen", b'"' + b"x" * 256_000 + b'"', None), NOON)
    stored = asks.state_get(session, StateGet(run.id, "seen"))
    assert stored
    assert stored.value == 2


# --- versions ---------------------------------------------------------------------------------------------------------


def test_versions_count_and_the_same_content_is_the_same_version(session: Session) -> None:
    second = push(session, digest="d2")
    same = push(session, digest="d2")

    assert (second.version.version, second.created, same.created) == ("2", True, False)
    versions.prepared(session, Prepared("app", "cool", "2", "d2", "done"), NOON)
    assert versions.show_version(session, "cool").version == "2"
    assert versions.rollback(session, "cool", NOON, by="dev").version == "1"


def test_the_alias_is_whose_push_asked_for_it_last_whatever_is_ready_first(session: Session) -> None:
    push(session, digest="d2", now=later(minutes=1))
    push(session, digest="d3", now=later(minutes=2))
    versions.prepared(session, Prepared("app", "cool", "3", "d3", "done"), later(minutes=3))
    versions.prepared(session, Prepared("app", "cool", "2", "d2", "done"), later(minutes=4))
    assert versions.show_version(session, "cool").version == "3"
    assert "was moved after" in journal.history(session, "app_version", "cool@2")[-1].said


def test_a_push_does_not_take_an_alias_that_was_moved_by_hand_since(session: Session) -> None:
    push(session, digest="d2", now=later(minutes=1))
    versions.set_alias(session, "cool", "production", "1", later(minutes=2), by="dev")
    versions.prepared(session, Prepared("app", "cool", "2", "d2", "done"), later(minutes=3))
    assert versions.show_version(session, "cool").version == "1"


def test_a_taken_version_with_other_content_is_refused(session: Session) -> None:
    push(session, APP.replace("[run]", 'version = "9"\n[run]'), "d3")

    with pytest.raises(Conflict, match="other content"):
        push(session, APP.replace("[run]", 'version = "9"\n[run]'), "d4")
    with pytest.raises(Forbidden):
        push(session, digest="d5", by="ada")


def test_a_failed_version_moves_no_alias_and_is_tried_again(session: Session) -> None:
    push(session, digest="d2")
    versions.prepared(session, Prepared("app", "cool", "2", "d2", "failed", "no numpy", last_lines=("boom",)), NOON)
    version = versions.show_version(session, "cool", "2")

    assert (version.status, version.reason, version.last_lines) == (VersionStatus.FAILED, "no numpy", ("boom",))
    assert versions.show_version(session, "cool").version == "1"
    push(session, digest="d2")
    assert (version.status, version.attempt) == (VersionStatus.BUILDING, 1)
    assert [(one.version, one.attempt) for one in versions.wanted(session)] == [("1", 0), ("2", 1)]


def test_a_live_run_keeps_its_version(session: Session) -> None:
    run = up(session)
    push(session, digest="d2")
    versions.prepared(session, Prepared("app", "cool", "2", "d2", "done"), NOON)

    assert [told.version for told in wanted.runs(session)] == ["1"]
    assert run.version == "1"


# --- why --------------------------------------------------------------------------------------------------------------


def test_why_tells_who_set_a_property_and_upon_what(session: Session) -> None:
    run = up(session)
    heard = Heard("fan-1", later(hours=2), later(hours=2), measured=(Measurement("on", False),))
    readings.record(session, [readings.Kept(heard)], later(hours=2))
    said = ("reading t1.temperature 27.4 at 14:00:06Z",)
    asks.command(session, CommandAsk(run.id, "fan", "fan-1", {"on": True}, because=said), later(hours=2, seconds=7))

    told = facts.why(session, "fan-1.on", later(hours=2, minutes=1))

    assert told.answer == "cool switched fan-1 on: t1.temperature read 27.4."
    assert told.chain[0].kind == "schedule"
    assert ("reading", "27.4", later(hours=2, seconds=6)) in [(link.kind, link.said, link.at) for link in told.chain]
    assert facts.why(session, "fan-1.on", later(hours=2, seconds=1)).answer.startswith("The device reported")


@pytest.mark.parametrize("of", ["daily", "cool", "cool@1", "fan-1", "cool@production"])
def test_why_knows_every_noun(session: Session, of: str) -> None:
    run = up(session)

    assert facts.why(session, of, later(hours=3)).chain
    told = facts.why(session, run.id[:12], later(hours=3))
    assert told.answer == "cool at campus/lab is ready: it is ready."
    assert facts.why(session, "cool", later(hours=3)).answer == "cool@production names 1."


def test_why_of_a_schedule_that_was_removed_still_has_its_name(session: Session) -> None:
    run = up(session)
    service.remove(session, "daily", later(hours=2), by="ada")

    assert facts.why(session, run.id, later(hours=2)).chain[0].said.startswith("daily: window opened")


def test_why_of_a_run_that_waits_is_a_sentence(session: Session) -> None:
    up(session)
    schedule(session, name="other")
    step(session, later(hours=1, minutes=1))

    told = facts.why(session, the_run(session).id, later(hours=2))
    assert told.answer.startswith("cool at campus/lab waits: fan needs 1 fan")


def test_why_of_nothing_says_what_it_takes(session: Session) -> None:
    with pytest.raises(NotFound, match="nothing is known"):
        facts.why(session, "ghost", NOON)


# --- clashes, states and reads ----------------------------------------------------------------------------------------


def test_a_clash_is_told_from_when_to_when_both_want_it_and_never_in_the_past(session: Session) -> None:
    schedule(session)
    early = (Window(days=("fri",), start="12:00", end="15:00"),)

    (clash,) = service.preview(
        session, Wanted(app="cool", at="campus/lab", windows=early), later(minutes=30), SYSTEM
    ).clashes
    assert (clash.starts, clash.ends) == (later(hours=1), later(hours=2))
    (clash,) = service.preview(
        session, Wanted(app="cool", at="campus/lab", windows=AFTERNOON), later(hours=3), SYSTEM
    ).clashes
    assert (clash.starts, clash.ends) == (later(hours=3), later(hours=5))


def test_a_schedule_that_is_there_clashes_with_others_alone(session: Session) -> None:
    first, second = schedule(session), schedule(session, name="second")

    assert [one.schedule for one in service.outlook(session, second, NOON, SYSTEM)[0]] == ["daily"]
    service.pause(session, first.id, NOON, by="ada")
    assert service.outlook(session, second, NOON, SYSTEM)[0] == ()


def test_what_was_stopped_for_good_clashes_with_nothing(session: Session) -> None:
    wanted = Wanted(app="cool", at="campus/lab", name="once", for_s=7200)
    service.run_once(session, wanted, NOON, by="ada")
    step(session, NOON)
    second = schedule(session)
    assert [one.schedule for one in service.outlook(session, second, NOON, SYSTEM)[0]] == ["once"]

    runs.stop(session, the_run(session).id, NOON, by="ada")
    for _ in range(2):
        step(session, NOON, RunReport(the_run(session).id, RunStatus.SUCCEEDED), since_stop=True)

    assert service.outlook(session, second, NOON, SYSTEM)[0] == ()


def test_windows_of_every_minute_clash_with_what_is_to_come(session: Session) -> None:
    """Of many windows the first are looked at: not those of yesterday."""
    schedule(session, windows=(), cron="* * * * *", for_s=10.0)
    (clash,) = service.preview(
        session, Wanted(app="cool", at="campus/lab", windows=AFTERNOON), later(minutes=50), SYSTEM
    ).clashes
    assert (clash.starts, clash.ends) == (later(hours=1), later(hours=1, seconds=10))


def test_one_person_has_so_many_schedules(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "SCHEDULES_MAX", 2)
    schedule(session)
    service.run_once(session, Wanted(app="cool", at="campus/lab", name="once", for_s=60), NOON, by="ada")
    step(session, NOON)  # it was opened: it has no window to come
    schedule(session, name="second")
    with pytest.raises(Conflict) as refused:
        schedule(session, name="third")
    assert refused.value.code == "schedules_full"
    service.remove(session, "second", NOON, by="ada")
    schedule(session, name="third")


def test_what_a_schedule_does_now(session: Session) -> None:
    daily = schedule(session)
    once = service.run_once(session, Wanted(app="cool", at="campus/lab", name="once", for_s=60), NOON, by="ada")
    step(session, NOON)
    assert service.states(session, [daily, once]) == {daily.id: "waiting", once.id: "running"}
    service.pause(session, daily.id, NOON, by="ada")
    run = the_run(session)
    step(session, later(minutes=2), RunReport(run.id, RunStatus.SUCCEEDED), since_stop=True)
    step(session, later(minutes=2), RunReport(run.id, RunStatus.SUCCEEDED), since_stop=True)
    assert service.states(session, [daily, once]) == {daily.id: "paused", once.id: "done"}


def test_what_nodes_are_told_takes_as_many_queries_for_many_runs_as_for_one(session: Session) -> None:
    def reads() -> int:
        session.flush()
        session.expunge_all()
        count = 0

        def one(*_: object) -> None:
            nonlocal count
            count += 1

        event.listen(session.get_bind(), "before_cursor_execute", one)
        assert wanted.runs(session)
        assert wanted.pages(session)
        event.remove(session.get_bind(), "before_cursor_execute", one)
        return count

    up(session)
    single = reads()
    for number in range(4):
        registry.add_device(session, f"fan-2{number}", NOON, by="root", type="fan", at="campus/lab")
        schedule(session, name=f"more-{number}", now=later(hours=1))
    step(session, later(hours=1, minutes=1))
    live = session.scalars(select(Run).where(Run.finished_at.is_(None))).all()
    step(session, later(hours=1, minutes=2), *(RunReport(run.id, RunStatus.READY, page=True) for run in live))
    assert len(live) == 5
    assert reads() == single


def test_the_page_of_an_app_is_that_of_its_newest_ready_run(session: Session) -> None:
    assert runs.page_of(session, SYSTEM, "cool") is None
    run = up(session)
    assert runs.page_of(session, SYSTEM, "cool") == "daily"
    runs.stop(session, run.id, later(hours=2), by="ada")
    step(session, later(hours=2))
    assert runs.page_of(session, SYSTEM, "cool") is None


def test_a_preview_marks_the_windows_in_which_another_wants_the_same_devices(session: Session) -> None:
    schedule(session, windows=(Window(days=("mon",), start="10:00", end="12:00"),))
    weekdays = Window(days=("mon", "tue"), start="11:00", end="13:00")

    seen = service.preview(session, Wanted(app="cool", at="campus/lab", windows=(weekdays,)), NOON, SYSTEM)

    marked = [conflicts.within(seen.clashes, firing) for firing in seen.firings]
    assert marked == [("daily",), ()] * 5
    assert len(seen.clashes[0].meets) == conflicts.MEETS_MAX


def test_a_clash_half_a_year_ahead_is_found_and_a_schedule_elsewhere_is_not_looked_at(session: Session) -> None:
    registry.add_location(session, "campus/hall", NOON, by="root")
    registry.add_device(session, "fan-2", NOON, by="root", type="fan", at="campus/hall")
    schedule(session, at="campus/hall", name="hall")
    schedule(session, start="2027-05-01", name="summer")
    schedule(session, at="campus/hall", bind={"fan": ("fan-1",)}, name="far")

    seen = service.preview(session, Wanted(app="cool", at="campus/lab", windows=AFTERNOON), NOON, SYSTEM)

    assert [(clash.schedule, clash.starts.date().isoformat()) for clash in seen.clashes] == [
        ("far", "2026-11-20"),
        ("summer", "2027-05-07"),
    ]


def test_windows_of_one_schedule_that_overlap_are_a_warning(session: Session) -> None:
    both = (Window(days=("mon",), start="10:00", end="12:00"), Window(days=("mon",), start="11:00", end="13:00"))

    seen = service.preview(session, Wanted(app="cool", at="campus/lab", windows=both), NOON, SYSTEM)

    assert seen.warnings == (
        "its windows overlap: 2026-11-23 11:00 opens while the one of 10:00 goes on until 12:00; "
        "overlap says which of the two runs",
        "fan-1 (fan) was never connected",
    )


def test_a_preview_says_which_devices_are_away_and_prefers_one_that_is_there(session: Session) -> None:
    asked = Wanted(app="cool", at="campus/lab", windows=AFTERNOON)
    hear = Heard("fan-1", NOON, NOON, online=True)
    readings.record(session, [readings.Kept(hear)], NOON)
    assert service.preview(session, asked, NOON, SYSTEM).warnings == ()
    gone = msgspec.structs.replace(hear, online=False, came=later(minutes=1))
    readings.record(session, [readings.Kept(gone)], later(minutes=1))
    assert service.preview(session, asked, later(minutes=2), SYSTEM).warnings == (
        "fan-1 (fan) is offline: it went offline, heard last 2026-11-20 12:01:00Z",
    )
    registry.add_device(session, "fan-2", NOON, by="root", type="fan@1", at="campus/lab")
    readings.record(session, [readings.Kept(msgspec.structs.replace(hear, device="fan-2"))], NOON)
    seen = service.preview(session, asked, later(minutes=2), SYSTEM)
    assert (seen.bindings, seen.warnings) == ({"fan": ("fan-2",)}, ())


def test_later_windows_that_daylight_saving_changes_are_told(session: Session) -> None:
    night = (Window(days=("sat",), start="22:00", end="06:00"),)

    seen = service.preview(session, Wanted(app="cool", at="campus/lab", windows=night), NOON, SYSTEM)

    assert [(firing.opens.date().isoformat(), firing.note) for firing in seen.odd] == [
        ("2027-03-27", "clocks go forward: it lasts 7 h instead of 8 h"),
        ("2027-10-30", "clocks go back: it lasts 9 h instead of 8 h"),
    ]
